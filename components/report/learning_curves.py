"""The report's learning curves: the loss and the average precision after each epoch of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from components.report.page import epochs_axis, plot, render
from components.report.palette import BLUE, GREY


def learning_curves_section(history: Mapping[str, Sequence[float]]) -> Markup:
    """What goes below the heading.

    history: by name, a value for each epoch; loss, and what there is of val_loss and val_average_precision.
    """
    from plotly.subplots import make_subplots  # loads for two tenths of a second, wanted by the report alone

    figure = make_subplots(rows=1, cols=2, subplot_titles=("loss, log scale", "average precision on eval"))
    epochs = list(range(1, len(history["loss"]) + 1))
    lines = {
        "loss": ("train", GREY, 1),
        "val_loss": ("eval", BLUE, 1),
        "val_average_precision": ("eval, average precision", BLUE, 2),
    }
    for name, (title, colour, column) in lines.items():
        if name in history:
            figure.add_scatter(
                x=epochs,
                y=list(history[name]),
                name=title,
                mode="lines+markers",
                line={"color": colour},
                row=1,
                col=column,
                showlegend=column == 1,
            )
    figure.update_yaxes(type="log", row=1, col=1)
    epochs_axis(figure, len(epochs))
    # above are the titles
    drawing = plot(figure, 340, name="learning-curves-plot", margin={"l": 50, "r": 20, "t": 40, "b": 45})
    return render("learning_curves.html", plot=drawing)
