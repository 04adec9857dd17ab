"""Charts as inline SVG by matplotlib, in colors that the page sets for light and dark."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure

SERIES = ("#0b0001", "#0b0002", "#0b0003", "#0b0004", "#0b0005", "#0b0006")
"""Stand for the page's colors --series-1 to --series-6."""
TEXT = "#0a0a0a"
"""Stands for the color of the text around."""
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Of lines, so that they are told apart without color."""
HATCHES = ("////", "....", "\\\\\\\\", "xxxx")
"""Of areas, likewise."""
SIZE = (5.2, 3.0)
"""Inches; at 72 units an inch the text has about its own size on a phone."""

SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "pmm_jax",  # else two runs give two different files
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a run's name may hold dollar signs
    "font.size": 10,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


class Line(NamedTuple):
    """One curve."""

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray


def line_chart(
    lines: Sequence[Line],
    x: str,
    y: str,
    description: str,
    log_x: bool = False,
    log_y: bool = False,
) -> Markup:
    """Curves over each other.

    Args:
        lines: those beyond six share colors, and differ by style.
        x: label of the axis, with its unit.
        y: likewise.
        description: what the chart shows, for those who can't see it.
        log_x: whether the axis is logarithmic.
        log_y: likewise.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_axes(x, y)
        handles = []
        for number, line in enumerate(lines):
            color = SERIES[number % len(SERIES)]
            style = STYLES[(number + number // len(SERIES)) % len(STYLES)]
            mark = "o" if len(line.x) == 1 else ""
            handles += axes.plot(line.x, line.y, color=color, linestyle=style, marker=mark)
        axes.set_xscale("log" if log_x else "linear")
        axes.set_yscale("log" if log_y else "linear")
        if len(lines) > 1:
            # By itself it leaves out names that begin with an underscore.
            axes.legend(handles, [line.label for line in lines])
        return svg(figure, description)


def histogram_chart(
    histograms: Sequence[Line],
    marks: Mapping[str, float],
    x: str,
    y: str,
    description: str,
) -> Markup:
    """Histograms over each other, told apart by outline and hatching, with places marked.

    Args:
        histograms: at most four; x holds the edges of the bars, y their heights.
        marks: places on the x axis, by their labels.
        x: label of the axis, with its unit.
        y: likewise.
        description: what the chart shows, for those who can't see it.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_axes(x, y)
        for line, color, style, hatch in zip(histograms, SERIES, STYLES, HATCHES, strict=False):
            look = {"edgecolor": color, "facecolor": "none", "hatch": hatch, "linestyle": style}
            axes.stairs(line.y, line.x, fill=True, label=line.label, linewidth=1.6, **look)
        # Room for the labels, each a little lower, as thresholds may be close to each other.
        axes.set_ylim(0, 1.3 * max(float(np.max(line.y)) for line in histograms))
        for number, (label, place) in enumerate(marks.items()):
            axes.axvline(place, color=TEXT, linewidth=1)
            at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axes.annotate(label, (place, 1 - 0.08 * number), (3, 0), va="top", fontsize=9, **at)
        figure.legend(loc="outside upper center", ncols=2)
        return svg(figure, description)


def interval_chart(
    labels: Sequence[str],
    means: Sequence[float],
    intervals: Sequence[Sequence[float]],
    x: str,
    y: str,
    description: str,
) -> Markup:
    """A mean with its interval in each of a few groups.

    Args:
        labels: of the groups, in order.
        means: one each.
        intervals: low and high of each.
        x: label of the axis, with its unit.
        y: likewise.
        description: what the chart shows, for those who can't see it.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_axes(x, y)
        lows, highs = np.transpose(intervals)
        middle = np.asarray(means)
        # The mean of few values may lie at an end of its interval, by rounding beyond it.
        spread = np.maximum([middle - lows, highs - middle], 0)
        axes.errorbar(labels, middle, spread, color=SERIES[0], fmt="o", capsize=5)
        axes.margins(x=0.15)
        return svg(figure, description)


def new_axes(x: str, y: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Any]:
    """A figure with one plot, to be drawn on within `matplotlib.rc_context(SETTINGS)`."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def svg(figure: Figure, description: str) -> Markup:
    """A figure as inline SVG, in the page's colors."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    _, _, drawing = stream.getvalue().partition("<svg")
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # Several figures share a page: only what they refer to keeps its id, which is a hash.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', drawing))
    drawing = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", drawing)
    for number, color in enumerate(SERIES, 1):
        drawing = drawing.replace(color, f"var(--series-{number})")
    drawing = drawing.replace(TEXT, "currentColor")
    return Markup(f'<svg role="img" aria-label="{escape(description)}"{drawing}')
