"""The report's learning curves: the loss and the average precision after each epoch of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from components.report.page import epochs_axis, plot, render
from components.report.palette import BLUE, GREY


def learning_curves_section(history: Mapping[str, Sequence[float]]) -> Markup:
    """What goes below the heading.

    history: by name, a value for each epoch; loss, and what there is of val_loss and val_average_precision.
    """
    losses = {"train": ("loss", GREY), "eval": ("val_loss", BLUE)}
    return render(
        "learning_curves.html",
        loss=_plot(history, losses, "loss-plot", type="log"),
        precision=_plot(history, {"eval": ("val_average_precision", BLUE)}, "average-precision-plot"),
    )


def _plot(history: Mapping[str, Sequence[float]], lines: Mapping[str, tuple[str, str]], name: str, **y: Any) -> Markup:
    """lines: by what they are of, their names in the history and colours."""
    import plotly.graph_objects as go  # wanted by the report alone

    figure = go.Figure()
    epochs = list(range(1, len(history["loss"]) + 1))
    for title, (key, colour) in lines.items():
        if key in history:
            figure.add_scatter(x=epochs, y=list(history[key]), name=title, mode="lines+markers", line={"color": colour})
    figure.update_yaxes(**y)
    figure.update_layout(showlegend=True)
    epochs_axis(figure, len(epochs))
    return plot(figure, 320, name=name)
