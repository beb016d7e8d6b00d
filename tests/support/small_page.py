"""What a reader sees in parts of a page."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

# A name that would be run where it is not escaped; it ends a script, too, that holds it as text.
EVIL = "</script><script>alert('x')</script>"


def text(*fragments: str) -> str:
    """The text without tags, scripts and styles, and with single spaces."""
    shown = re.sub(r"<(script|style)\b.*?</\1>", " ", "\n".join(fragments), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", shown)))


class Section(HTMLParser):
    """Tags, the text outside of tables with single spaces, cells, and the plots as Plotly gets them.

    cells: of each row, letter by letter. plots: {"traces", "layout"} of each. bars: the attributes of each `<i>`, which
    is a bar in a cell. titles: texts that show when the mouse is over something.
    """

    def __init__(self, fragments: str | list[str]):
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.cells: list[list[str]] = []
        self.plots: list[dict[str, Any]] = []
        self.bars: list[dict[str, str]] = []
        self.titles: list[str] = []
        self._inside = ""
        self._in_plot = False
        self.feed(str(fragments) if isinstance(fragments, str) else "\n".join(fragments))
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = {name: value or "" for name, value in attributes}
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag in ("td", "th", "script", "style", "noscript"):
            self._inside = tag
        if tag == "div":
            self._in_plot = values.get("class") == "drawing"
        if tag == "i":
            self.bars.append(values)
        if "title" in values:
            self.titles.append(values["title"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "span" and self._inside == "td":
            self.cells[-1][-1] += " "
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("td", "th"):
            self.cells[-1][-1] += data
        elif self._inside == "script":
            if self._in_plot:
                self._in_plot = False
                drawing = json.loads(data)
                self.plots.append({"traces": drawing["data"], "layout": drawing["layout"]})
        elif self._inside not in ("style", "noscript"):
            self.text += data

    @property
    def rows(self) -> list[list[str]]:
        """The cells, where a space that does not break is a space."""
        return [[cell.replace("\xa0", " ") for cell in row] for row in self.cells]

    def traces(self, kind: str) -> list[dict[str, Any]]:
        return [trace for plot in self.plots for trace in plot["traces"] if trace["type"] == kind]

    @property
    def axes(self) -> dict[str, dict[str, Any]]:
        return {axis["label"]: axis for trace in self.traces("parcoords") for axis in trace["dimensions"]}

    def named(self, name: str) -> list[dict[str, Any]]:
        return [trace for trace in self.traces("scatter") if trace["name"] == name]
