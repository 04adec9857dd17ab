"""Metrics of several runs with intervals, and paired intervals of their differences."""

from typing import Any

from pmm_jax.errors import UserError
from pmm_jax.evaluation.bootstrap import paired_bootstrap
from pmm_jax.evaluation.metrics import RankingMetrics
from pmm_jax.evaluation.table import HEADINGS
from pmm_jax.report.charts import Line, line_chart
from pmm_jax.report.runs import Runs
from pmm_jax.report.section import Content

EACH_QUERY = {
    "rank1": "hits",
    "mAP": "average_precision",
    "mINP": "inverse_negative_penalty",
}
"""Metric, and the attribute of `RankingMetrics` that holds it for each query."""


def build(runs: Runs) -> Content:
    """Figures of each run, differences to the first, CMC curves."""
    rows = [
        {"label": label, "progress": run.progress, "evaluation": run.summary.as_json()}
        for label, run in zip(runs.labels, runs.runs, strict=True)
    ]
    values: dict[str, Any] = {
        "headings": {key: HEADINGS.get(key, key) for key in EACH_QUERY},
        "runs": rows,
        "differences": [],
        "unpaired": None,
    }
    try:
        runs.check_paired()
    except UserError as error:
        values["unpaired"] = str(error)
    else:
        seed = runs.runs[0].config.evaluate.seed
        first = runs.runs[0].summary.metrics
        values["differences"] = [
            {"label": label, **differences(run.summary.metrics, first, seed)}
            for label, run in zip(runs.labels[1:], runs.runs[1:], strict=True)
        ]
    curves = [
        Line(label, range(1, len(run.summary.metrics.cmc) + 1), 100 * run.summary.metrics.cmc)
        for label, run in zip(runs.labels, runs.runs, strict=True)
    ]
    values["cmc"] = {
        label: run.summary.metrics.cmc for label, run in zip(runs.labels, runs.runs, strict=True)
    }
    about = "CMC curves: share of the queries with a match among their first ranks"
    cmc = line_chart(curves, "rank", "queries with a match, %", about)
    return Content(values, {"cmc": cmc})


def differences(one: RankingMetrics, other: RankingMetrics, seed: int) -> dict[str, Any]:
    """Difference of each metric with its paired bootstrap interval over the queries.

    Args:
        one: of a run.
        other: of the run it is compared with, on the same queries.
        seed: of the resampling.
    """
    result = {}
    for key, attribute in EACH_QUERY.items():
        interval = paired_bootstrap(getattr(one, attribute), getattr(other, attribute), seed)
        result[key] = {**interval._asdict(), "holds_zero": interval.holds_zero}
    return result
