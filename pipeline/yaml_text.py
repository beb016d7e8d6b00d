"""YAML that people write, read strictly: nothing in it is lost in silence, and nothing that it says takes long to read.

A key that stands twice in a mapping is a fault. So is what makes much of a small text: depth, and aliases of aliases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 20
MOST_VALUES = 20_000  # keys and values, each counted as often as aliases repeat it
DEEPEST = 50  # mappings and lists inside each other

_KINDS = {"int": "a whole number", "float": "a number", "timestamp": "a date or time", "bool": "true or false"}


class _StrictLoader(yaml.SafeLoader):
    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self._level = self._nodes = 0
        self._extent: dict[int, tuple[int, int]] = {}  # of each node, by its id: values in it, and levels

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            node: yaml.Node | None = super().compose_node(parent, index)
            if id(node) not in self._extent:
                mark: Any = event.start_mark
                raise yaml.MarkedYAMLError(
                    problem=f"*{event.anchor} stands inside of what it stands for", problem_mark=mark
                )
            return node
        self._level += 1
        self._nodes += 1
        if self._level > DEEPEST:
            raise _too_deep(event.start_mark)
        if self._nodes > MOST_VALUES:  # long before the end of a text that has far more
            raise _too_many(event.start_mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is not None:
            self._measure(node)
        return node

    def _measure(self, node: yaml.Node) -> None:
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inside = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        extents = [self._extent[id(part)] for part in inside]
        values, levels = 1 + sum(one for one, _ in extents), 1 + max((other for _, other in extents), default=0)
        if levels > DEEPEST:
            raise _too_deep(node.start_mark)
        if values > MOST_VALUES:
            raise _too_many(node.start_mark)
        self._extent[id(node)] = (values, levels)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice; remove one of them", problem_mark=key.start_mark
                )
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # the 45th of a month, a number of 5,000 digits, a word that a tag calls a number
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:
            kind = _KINDS.get(node.tag.rpartition(":")[2], f"what its tag {node.tag} says")
            shown = str(node.value) if len(str(node.value)) <= 40 else f"{str(node.value)[:40]}..."
            raise yaml.MarkedYAMLError(
                problem=f"{shown!r} can't be read as {kind}; put it in quotes if it is a text",
                problem_mark=node.start_mark,
            ) from error


def _too_deep(mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(
        problem=f"it is nested too deeply; at most {DEEPEST} mappings and lists inside each other are read",
        problem_mark=mark,
    )


def _too_many(mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(
        problem=f"it holds more than {MOST_VALUES:,} values, with what aliases repeat, which is too much for settings",
        problem_mark=mark,
    )


def parse(text: str | bytes) -> Any:
    """The value of a YAML document.

    Raises:
      ValueError: it is none, is too large, or a mapping has a key twice; the message says where.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB, which is too much for settings")
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be understood"
        problem = problem.replace("found unhashable key", "a key must be a single value, not a list or a mapping")
        problem = problem.replace("could not determine a constructor for the tag", "settings can't have the tag")
        hint = "; indent with spaces" if "cannot start any token" in problem and "\\t" in problem else ""
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{problem}{hint}") from error
    except yaml.reader.ReaderError as error:
        raise ValueError(_unreadable(error, text)) from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _unreadable(error: yaml.reader.ReaderError, text: str | bytes) -> str:
    """In words: a byte that is not UTF-8, or a character that YAML does not allow as it is."""
    before = text[: error.position]
    line = 1 + (before.count(b"\n") if isinstance(before, bytes) else before.count("\n"))
    if error.encoding != "unicode":
        return f"line {line}: it is not {error.encoding} text; save it as UTF-8"
    number = error.character if isinstance(error.character, int) else ord(error.character)
    escape = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    return f'line {line}: the character {escape} is not allowed as it is; write "{escape}" in double quotes'


def read(path: Path) -> Any:
    """The value of a YAML file, of which no more is read than `parse` takes.

    Raises:
      OSError: it can't be read.
      ValueError: as `parse`.
    """
    with path.open("rb") as file:
        return parse(file.read(MOST_BYTES + 1))


def has_comment(text: str) -> bool:
    """Whether a part of the text is a comment, which is lost where the text is read.

    Raises:
      ValueError: the text is not YAML.
    """
    try:
        spans = [(token.start_mark.index, token.end_mark.index) for token in yaml.scan(text)]
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    between = zip([0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)], strict=True)
    return any("#" in text[end:start] for end, start in between)
