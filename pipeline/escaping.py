"""Text from outside (columns, paths, names, errors), written so that it means nothing but itself where it is shown."""

from __future__ import annotations

import os
import re
import shlex


def on_terminal(text: str) -> str:
    r"""The text in one line; what a terminal would obey or hide is written out, an escape as \x1b, a line break as \n.

    What that is, is what Python's repr writes out as well: controls, marks of direction, blanks other than the usual.
    """
    return text if text.isprintable() else "".join(map(_written_out, text))


def _written_out(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def in_shell(word: str | os.PathLike[str]) -> str:
    """One word of a command as bash, zsh and ksh read it, in printable characters alone."""
    text = os.fspath(word)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_in_ansi_c_quotes, text)) + "'"


def _in_ansi_c_quotes(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    # a byte of a file name that is no UTF-8 stands in Python's text as one of these
    is_byte = "\udc80" <= character <= "\udcff"
    encoded = character.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def in_yaml(text: str) -> str:
    """A YAML string, which also fits into a list in brackets and stands as a key."""
    import yaml

    if re.fullmatch(r"[A-Za-z_][\w./-]*|/[\w./-]*", text) and yaml.safe_load(text) == text:
        return text
    # YAML knows the same escapes as Python
    return '"' + on_terminal(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
