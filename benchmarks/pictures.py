"""Pictures of results as SVG, since neither stack's lock has a plotting library that writes files without a browser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from components.report.palette import BLUE, GREEN, LIGHT, ORANGE, RED

COLOURS = (BLUE, RED, GREEN, ORANGE)
_WIDTH = 760
_BAR, _GAP = 14, 10
_LEFT, _RIGHT = 170, 70
_PLOT = 300  # height of a curve's plot


def bars(title: str, unit: str, contenders: Mapping[str, Mapping[str, float]]) -> str:
    """Grouped horizontal bars.

    Args:
      contenders: the values of each contender by label; where a contender lacks a label, there is no bar.
    """
    labels = list(dict.fromkeys(label for values in contenders.values() for label in values))
    largest = max(value for values in contenders.values() for value in values.values()) or 1
    scale = (_WIDTH - _LEFT - _RIGHT) / largest
    shapes, top = [], 60
    for label in labels:
        middle = top + len(contenders) * _BAR / 2 + 4
        shapes.append(_text(_LEFT - 8, middle, label, anchor="end"))
        for colour, values in zip(COLOURS, contenders.values(), strict=False):
            if label in values:
                width = max(values[label], 0) * scale
                shapes.append(f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>')
                shapes.append(_text(_LEFT + width + 4, top + _BAR - 4, f"{values[label]:.3g}"))
            top += _BAR
        top += _GAP
    return _svg(top + 10, [_text(10, 20, f"{title}, {unit}", size=15), *_legend(contenders), *shapes])


@dataclass(frozen=True)
class Curve:
    """A plot with logarithmic axes. values: the y of each x, both above 0."""

    title: str
    values: Mapping[float, float]


def curves(title: str, x_name: str, plots: Sequence[Curve]) -> str:
    """One log-log plot below the other, on the same x axis."""
    shapes = [_text(10, 20, title, size=15)]
    top = 40
    for plot, colour in zip(plots, COLOURS, strict=False):
        shapes += _curve(plot, top, colour)
        top += _PLOT + 60
    return _svg(top, [*shapes, _text(_WIDTH / 2, top - 8, x_name, anchor="middle")])


def _curve(plot: Curve, top: float, colour: str) -> list[str]:
    x_low, x_high = _decades(plot.values.keys())
    y_low, y_high = _decades(plot.values.values())
    left, right, bottom = 90, _WIDTH - 30, top + _PLOT

    def x(value: float) -> float:
        return left + (math.log10(value) - x_low) / (x_high - x_low) * (right - left)

    def y(value: float) -> float:
        return bottom - (math.log10(value) - y_low) / (y_high - y_low) * (_PLOT - 20)

    shapes = [_text(left, top + 12, plot.title)]
    for power in range(x_low, x_high + 1):
        shapes.append(_line(x(10**power), bottom, x(10**power), y(10**y_high)))
        shapes.append(_text(x(10**power), bottom + 16, f"{10**power:,}", anchor="middle"))
    for power in range(y_low, y_high + 1):
        shapes.append(_line(left, y(10.0**power), right, y(10.0**power)))
        shapes.append(_text(left - 6, y(10.0**power) + 4, f"{10.0**power:g}", anchor="end"))
    points = [(x(rows), y(value)) for rows, value in sorted(plot.values.items())]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for (px, py), (_, value) in zip(points, sorted(plot.values.items()), strict=True):
        shapes.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{colour}"/>')
        shapes.append(_text(px, py - 8, f"{value:.3g}", anchor="middle"))
    return shapes


def _decades(values: object) -> tuple[int, int]:
    """Powers of ten that enclose the values."""
    logarithms = [math.log10(value) for value in values]  # type: ignore[attr-defined]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms))
    return low, max(high, low + 1)


def _legend(contenders: Mapping[str, object]) -> list[str]:
    shapes, left = [], 10
    for colour, name in zip(COLOURS, contenders, strict=False):
        shapes.append(f'<rect x="{left}" y="32" width="12" height="12" fill="{colour}"/>')
        shapes.append(_text(left + 18, 43, name))
        left += 40 + 8 * len(name)
    return shapes


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{LIGHT.line}"/>'


def _svg(height: float, shapes: Sequence[str]) -> str:
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="{LIGHT.paper}"/>\n{body}\n</svg>\n'
    )
