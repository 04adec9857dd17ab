"""The comparison as one self-contained page: nothing in it is fetched from anywhere."""

import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pmm_jax.comparison.paired_step import EARLY
from pmm_jax.evaluation.bootstrap import Interval
from pmm_jax.files import write_atomic
from pmm_jax.report.charts import Line, line_chart
from pmm_jax.report.page import page_style

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
        css=page_style(),
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
    curves = ((side, result[side]["cmc"]) for side in ("ours", "baseline"))
    lines = [Line(_label(side), range(1, len(curve) + 1), curve) for side, curve in curves]
    return line_chart(lines, "rank", "fraction of queries", "CMC curves of pmm_jax and PyTorch")


def _losses(steps: list[dict[str, Any]]) -> Markup:
    numbers = [step["step"] for step in steps]
    lines = [
        Line(_label(side), numbers, [step[side]["loss"] for step in steps])
        for side in ("ours", "baseline")
    ]
    return line_chart(lines, "step", "loss", "Training loss of pmm_jax and PyTorch over the steps")


def _differences(steps: list[dict[str, Any]]) -> Markup:
    # A difference of exactly 0 has no place on a logarithmic axis.
    values = [max(step["difference"], 1e-17) for step in steps]
    line = Line("difference", [step["step"] for step in steps], values)
    about = "Largest relative difference of a loss, by step"
    return line_chart([line], "step", "relative difference", about, log_y=True)


def _label(side: str) -> str:
    return {"ours": "pmm_jax", "baseline": "PyTorch"}[side]


def _interval(read: dict[str, float]) -> Interval:
    return Interval(read["difference"], read["low"], read["high"])
