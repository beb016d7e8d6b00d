"""Text as it may come from outside: what terminals, rich, shells and YAML would take for something else."""

from __future__ import annotations

from hypothesis import strategies as st

HOSTILE = (
    "[/]",
    "[bold red]urgent[/bold red]",
    "[link=https://example.com]here[/link]",
    ":warning:",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x9b2J",
    "two\nlines",
    "back\rspace\b\b",
    "a\ttab",
    "\u202eright to left\u2066",
    "\u2028line\u2029paragraph\x85next",
    "\ufeffmark\u200b",
    "nul\0",
    "\udc80\ud800",
    "Größe 金額 😀",
    "a, \"b\" 'c' \\n {x} %s $HOME `id` #",
)

TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters()),
    st.lists(st.sampled_from(HOSTILE), max_size=3).map("".join),
)
"""Any text, lone surrogates and controls among it."""
