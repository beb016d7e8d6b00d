"""The reference of all configuration keys: `python -m pipeline.reference` writes it into docs/configuration.md.

It is made from the types, limits, defaults and descriptions in the settings classes, so it says what the code does.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import MOVED, RENAMED, Config
from pipeline.console import say
from trainer.errors import in_digits
from trainer.search.settings import SPACES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
START = "<!-- Everything below is written by `make reference` from the settings classes; edits here are lost. -->"

_INLINE = {"Range": "range `{low, high}`"}  # models that are a value, and get no section
_LIMITS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
)
_SIZES = (("minItems", "minProperties"), ("maxItems", "maxProperties"))  # fewest, most
_SECTION = "SECTION"  # stands for the link to a section until its anchor is known
_EVERYWHERE = ("auto", "false", "null", "off", "true")  # what descriptions say of these comes after a colon

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A mapping in the configuration: the keys that lead to it, and what JSON Schema says about it."""

    key: str
    schema: Schema
    each: str = ""  # list or mapping: the section is one entry of it

    @property
    def properties(self) -> Mapping[str, Schema]:
        properties: Mapping[str, Schema] = self.schema["properties"]
        return properties

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z_]", "", self.key.lower())


def reference() -> str:
    """All keys by section, in Markdown."""
    sections, known = _all_sections(), known_keys()
    parts = ["## All keys", _renamed_keys()]
    described: list[Section] = []
    repeated: list[Section] = []
    for section in sections:
        if any(section.key.startswith(f"{other.key}.") for other in repeated):
            continue
        parts.append(f"### `{section.key}`" if section.key else "### Top level")
        parts += [_about(section)] if section.key else []
        same = next((other for other in described if _same_keys(section, other)), None)
        if same:
            parts.append(f"The keys are those of [`{same.key}`](#{same.anchor}).")
            repeated.append(section)
            continue
        described.append(section)
        header = "| key | value | default | what it is |\n|---|---|---|---|"
        parts.append("\n".join([header, *_rows(section, sections, known)]))
        if section.key == "tuning.space":
            parts.append(_presets())
    return "\n\n".join(parts) + "\n"


def known_keys() -> set[str]:
    """Every key with the keys that lead to it, as `training.network.units`; NAME stands for a component's name."""
    return {key for section in _all_sections() for key in _keys(section)}


def replaced(page: str, path: Path) -> str:
    """The page with the reference below its marker.

    Raises:
      SystemExit: the page does not have the marker exactly once.
    """
    if page.count(START) != 1:
        raise SystemExit(f"{path} has this line {page.count(START)} times, expected once:\n{START}")
    return f"{page.partition(START)[0]}{START}\n\n{reference()}"


def _all_sections() -> list[Section]:
    whole = Config.model_json_schema(by_alias=True)
    return list(_sections(Section("", whole), whole["$defs"]))


def _sections(section: Section, definitions: Mapping[str, Schema]) -> Iterator[Section]:
    """The section and those inside it, in the order of the keys."""
    yield section
    for name, value in section.properties.items():
        found = _model(value, definitions)
        if found is None:
            continue
        model, each = found
        key = f"{section.key}.{name}" if section.key else name
        yield from _sections(Section(f"{key}.NAME" if each == "mapping" else key, model, each), definitions)


def _model(value: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema, str] | None:
    """The model that a value holds, and whether it is the entry of a list or of a mapping."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return None if name in _INLINE else (definitions[name], "")
    for each, inside in (("list", value.get("items")), ("mapping", value.get("additionalProperties"))):
        if isinstance(inside, Mapping) and (found := _model(inside, definitions)):
            return found[0], each
    alternatives = [*value.get("anyOf", ()), *value.get("oneOf", ())]
    return next(filter(None, (_model(alternative, definitions) for alternative in alternatives)), None)


def _keys(section: Section) -> Iterator[str]:
    for name in section.properties:
        yield f"{section.key}.{name}" if section.key else name


def _same_keys(section: Section, other: Section) -> bool:
    return section.properties.keys() == other.properties.keys()


def _about(section: Section) -> str:
    """The first paragraph of the class's docstring."""
    about = " ".join(section.schema["description"].split("\n\n")[0].split())
    return f"{about} `{section.key}` is a list of these." if section.each == "list" else about


def _rows(section: Section, sections: list[Section], known: set[str]) -> Iterator[str]:
    required = section.schema.get("required", ())
    below = {each.key.removesuffix(".NAME"): each for each in sections}
    for (name, value), key in zip(section.properties.items(), _keys(section), strict=True):
        inside = below.get(key)
        kind = _listed(_kinds(value))
        if inside:
            kind = kind.replace(_SECTION, f"[`{inside.key}`](#{inside.anchor})")
        default = "needed" if name in required else _default(key, value, inside)
        what = _marked(value["description"], _choices(value), known)
        yield f"| `{name}` | {kind} | {default} | {what} |".replace("|  |", "| |")


def _kinds(value: Schema, several: bool = False) -> list[str]:
    """What a value may be, in words: types with their limits, and single values; in the plural for `several`."""
    if "$ref" in value:
        return [_INLINE.get(value["$ref"].rpartition("/")[2], _SECTION)]
    if alternatives := [*value.get("anyOf", ()), *value.get("oneOf", ())]:
        kinds = [kind for alternative in alternatives for kind in _kinds(alternative, several)]
        return sorted(dict.fromkeys(kinds), key=lambda kind: kind == "`null`")  # null last
    if "enum" in value or "const" in value:
        return [f"`{choice}`" for choice in value.get("enum") or [value["const"]]]
    kind = value["type"]
    if kind == "boolean":
        return ["`true`", "`false`"]
    if kind == "null":
        return ["`null`"]
    if kind == "array":
        return [f"list of {_listed(_kinds(value['items'], several=True))}{_size(value)}"]
    if kind == "object":
        inside = value.get("additionalProperties")
        to = f" of names to {_listed(_kinds(inside))}" if isinstance(inside, Mapping) else ""
        return [f"mapping{to}{_size(value)}"]
    if kind == "string":
        return ["path" if value.get("format") == "path" else "text"]
    limits = " and ".join(f"{words} {in_digits(value[limit])}" for limit, words in _LIMITS if limit in value)
    return [
        " ".join(filter(None, ("whole number" if kind == "integer" else "number", limits))).replace(
            "number", "numbers" if several else "number"
        )
    ]


def _size(value: Schema) -> str:
    fewest, most = (next((value[size] for size in sizes if size in value), 0) for sizes in _SIZES)
    limits = [f"{words} {in_digits(limit)}" for words, limit in (("at least", fewest), ("at most", most)) if limit]
    return f", with {' and '.join(limits)}" if limits else ""


def _listed(words: list[str]) -> str:
    """`a`, `b` or `c`; with semicolons where one of them is a list itself."""
    if any(re.search(r",| or | and ", word) for word in words):
        return "; ".join([*words[:-1], f"or {words[-1]}"]) if len(words) > 1 else words[0]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _default(key: str, value: Schema, inside: Section | None) -> str:
    if key == "tuning.space":
        return "`default`"
    if "default" not in value:
        return "`{}`"  # a mapping that is made anew for each configuration
    default = value["default"]
    if inside and default is not None and not inside.each:
        return ""  # that of each key inside it
    return "`" + _flow(default) + "`" if default != "" else "empty"


def _flow(value: Any) -> str:
    """A value on one line, as YAML takes it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _choices(value: Schema) -> set[str]:
    """All single values that are allowed by name, however deep."""
    inside = [*value.get("anyOf", ()), *value.get("oneOf", ()), *([value["items"]] if "items" in value else ())]
    own = {str(choice) for choice in (*value.get("enum", ()), *([value["const"]] if "const" in value else ()))}
    return own.union(*map(_choices, inside))


def _marked(description: str, choices: set[str], known: set[str]) -> str:
    """The description with keys, and values that it explains, as code; as a sentence."""
    names = sorted({key for key in known if "." in key}, key=len, reverse=True)
    text = re.sub(rf"(?<![\w.])({'|'.join(map(re.escape, names))})(?![\w.]\w)", r"`\1`", description)
    values = sorted({*choices, *_EVERYWHERE}, key=len, reverse=True)
    text = re.sub(rf"(?:(?<=^)|(?<=; ))({'|'.join(map(re.escape, values))})(?=:)", r"`\1`", text)
    text = re.sub(r"--[a-z]\S*|FRAUD_PIPELINE_\w+|best_hyperparameters", r"`\g<0>`", text)
    return text.replace("|", r"\|")


def _presets() -> str:
    """The spaces that have a name."""
    spaces = {name: space.model_dump(mode="json", exclude_none=True) for name, space in SPACES.items()}
    lines = [
        f"{name}:\n"
        + "".join(
            f"  {key}: {yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()}\n"
            for key, value in space.items()
        )
        for name, space in spaces.items()
    ]
    return "The presets, by their names:\n\n```yaml\n" + "".join(lines) + "```"


def _renamed_keys() -> str:
    renamed = [f"- `{section}.{old}` is called `{section}.{new}` now." for section, old, new in RENAMED]
    moved = [
        f"- `{'.'.join(map(str, old))}` has become `{new}`; the old key is an error." for old, new in MOVED.items()
    ]
    return (
        "Keys of earlier versions: the ones that were renamed still work, and a run says so.\n\n"
        + "\n".join([*renamed, *moved])
        + "\n\nA key without a default is marked as needed. A key that leads to a section has a table of its own below."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--page", type=Path, default=PAGE, metavar="FILE", help="page to rewrite (default: %(default)s)"
    )
    path = parser.parse_args().page
    page = path.read_text(encoding="utf-8")
    rewritten = replaced(page, path)
    path.write_text(rewritten, encoding="utf-8")
    say(f"{path} is up to date" if rewritten == page else f"rewrote {path}")


if __name__ == "__main__":
    main()
