"""The comparison as one self-contained page: nothing in it is fetched from anywhere."""

import io
import json
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from pmm_jax.comparison.paired_step import EARLY
from pmm_jax.evaluation.bootstrap import Interval
from pmm_jax.files import write_atomic

matplotlib.rcParams["svg.hashsalt"] = "pmm_jax"  # else two runs give two different files

TEMPLATE = Path(__file__).with_name("page.html.j2")


def write_page(result: dict[str, Any], path: Path) -> None:
    """comparison.html.

    Args:
        result: as `train_pair` or `against` returns it.
        path: file to write.
    """
    steps = result.get("steps")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        result=result,
        runs=result.get("runs"),
        verdict=verdict(result),
        cmc=_cmc(result),
        losses=_losses(steps) if steps else None,
        differences=_differences(steps) if steps else None,
        early=EARLY,
        parted=next((step["step"] for step in steps or [] if step["other_blocks"]), None),
        settings=json.dumps({k: result[k] for k in ("versions", "config")}, indent=2),
        percent=lambda fraction: f"{100 * fraction:.1f} %",
        points=lambda fraction: f"{100 * fraction:+.2f}",
        gib=lambda count: f"{count / 2**30:.2f}",
    )
    write_atomic(path, page.encode())


def verdict(result: dict[str, Any]) -> str:
    """One sentence: whether the difference exceeds the variance over queries, and seeds."""
    samples = "queries and seeds" if "runs" in result else "queries"
    outside = [
        label
        for label, key in (("Rank-1", "rank1"), ("mAP", "mAP"))
        if not _interval(result["difference"][key]).holds_zero
    ]
    if not outside:
        return f"Equal as far as these {samples} can tell: both intervals hold 0."
    return f"They differ by more than the variance over {samples} in {' and '.join(outside)}."


def _cmc(result: dict[str, Any]) -> Markup:
    figure, axes = _axes("rank", "fraction of queries")
    for side, style in (("ours", "-"), ("baseline", "--")):
        curve = result[side]["cmc"]
        axes.plot(range(1, len(curve) + 1), curve, style, label=_label(side))
    axes.legend()
    return _svg(figure, "CMC curves of pmm_jax and PyTorch")


def _losses(steps: list[dict[str, Any]]) -> Markup:
    figure, axes = _axes("step", "loss")
    for side, style in (("ours", "-"), ("baseline", "--")):
        losses = [step[side]["loss"] for step in steps]
        axes.plot([step["step"] for step in steps], losses, style, linewidth=1, label=_label(side))
    axes.legend()
    return _svg(figure, "Training loss of pmm_jax and PyTorch over the steps")


def _differences(steps: list[dict[str, Any]]) -> Markup:
    figure, axes = _axes("step", "relative difference")
    # A difference of exactly 0 has no place on a logarithmic axis.
    values = [max(step["difference"], 1e-17) for step in steps]
    axes.semilogy([step["step"] for step in steps], values, linewidth=1)
    return _svg(figure, "Largest relative difference of a loss, by step")


def _axes(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _label(side: str) -> str:
    return {"ours": "pmm_jax", "baseline": "PyTorch"}[side]


def _svg(figure: Figure, description: str) -> Markup:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    _, _, drawing = stream.getvalue().partition("<svg")
    return Markup(f'<svg role="img" aria-label="{description}"{drawing}')  # our own text alone


def _interval(read: dict[str, float]) -> Interval:
    return Interval(read["difference"], read["low"], read["high"])
