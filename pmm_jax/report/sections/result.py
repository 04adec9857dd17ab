"""Headline: metrics with intervals, beside the paper's row and the color baseline; CMC."""

from typing import Any

from pmm_jax.color_baseline import color_baseline
from pmm_jax.data.datasets import get_dataset
from pmm_jax.errors import UserError
from pmm_jax.evaluation.table import HEADINGS
from pmm_jax.report.charts import Line, line_chart
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content

PAPER = {
    ("market1501", "cutout"): (0.941, 0.847),
    ("market1501", "cutmix"): (0.928, 0.824),
    ("market1501", "a_cutmix"): (0.916, 0.781),
    ("market1501", "pmm"): (0.941, 0.852),
    ("dukemtmc", "cutout"): (0.871, 0.745),
    ("dukemtmc", "cutmix"): (0.858, 0.720),
    ("dukemtmc", "a_cutmix"): (0.838, 0.687),
    ("dukemtmc", "pmm"): (0.880, 0.746),
    ("cuhk03", "cutout"): (0.735, 0.698),
    ("cuhk03", "cutmix"): (0.743, 0.699),
    ("cuhk03", "a_cutmix"): (0.656, 0.628),
    ("cuhk03", "pmm"): (0.763, 0.730),
}
"""Rank-1 and mAP by data set and method (paper, Table 3; of CUHK03 the detected boxes)."""


def build(run: RunData) -> Content:
    """Metrics of the checkpoint; where it or its images can't be had, those last logged.

    Raises:
        UserError: nothing was logged, either.
    """
    try:
        summary = run.summary
    except UserError as error:
        return _logged(run, error)
    values = {
        "evaluation": summary.as_json(),
        "logged": None,
        "single_shot": run.config.evaluate.single_shot,
        "headings": _headings(),
        "queries": len(summary.query.identities),
        "evaluated": summary.metrics.evaluated,
        "gallery": len(summary.gallery.identities),
        "cmc": summary.metrics.cmc,
        "paper": _paper(run),
        **_color(run),
    }
    ranks = range(1, len(summary.metrics.cmc) + 1)
    cmc = line_chart(
        [Line("CMC", ranks, 100 * summary.metrics.cmc)],
        "rank",
        "queries with a match, %",
        "CMC curve: share of the queries with a match among their first ranks",
    )
    return Content(values, {"cmc": cmc})


def _logged(run: RunData, reason: UserError) -> Content:
    """The last evaluation in the log, and why there is no other."""
    evaluations = [line for line in run.log if "mAP" in line]
    if not evaluations:
        raise reason
    values = {
        "evaluation": evaluations[-1],
        "logged": str(reason),
        "single_shot": 0,
        "headings": _headings(),
        "paper": None,
        "color": None,
        "color_missing": None,
    }
    return Content(values, {})


def _headings() -> dict[str, str]:
    return {key: HEADINGS.get(key, key) for key in ("rank1", "mAP", "mINP")}


def _paper(run: RunData) -> dict[str, float] | None:
    """The paper's figures, where this is the data set as published."""
    row = PAPER.get((run.config.data.name, run.config.method.name))
    published = get_dataset(run.config.data).published.get("query")
    query, _ = run.embeddings
    if row is None or published is None or published.images != len(query.identities):
        return None
    return {"rank1": row[0], "mAP": row[1]}


def _color(run: RunData) -> dict[str, Any]:
    try:
        metrics = color_baseline(run.split("query"), run.split("gallery"), run.config.evaluate)
    except UserError as error:
        return {"color": None, "color_missing": str(error)}
    figures = {"rank1": metrics.rank1, "mAP": metrics.mAP, "mINP": metrics.mINP}
    return {"color": figures, "color_missing": None}
