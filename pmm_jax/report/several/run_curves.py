"""Curves of several runs over each other."""

from pmm_jax.errors import UserError
from pmm_jax.report.charts import Line, line_chart
from pmm_jax.report.runs import Runs
from pmm_jax.report.section import Content

CURVES = {"loss": "loss", "accuracy": "accuracy, %", "rank1": "Rank-1, %", "mAP": "mAP, %"}
"""Key of metrics.jsonl, and label of its axis; what ends in % is a fraction there."""


def build(runs: Runs) -> Content:
    """Loss, accuracy and each evaluation over the steps.

    Raises:
        UserError: no run logged anything.
    """
    charts, values = {}, {}
    for key, label in CURVES.items():
        scale = 100 if label.endswith("%") else 1
        lines = []
        for name, run in zip(runs.labels, runs.runs, strict=True):
            some = [line for line in run.log if line.get(key) is not None]
            if some:
                steps = [line["step"] for line in some]
                lines.append(Line(name, steps, [scale * line[key] for line in some]))
        if lines:
            values[key] = {line.label: {"step": line.x, "value": line.y} for line in lines}
            charts[key] = line_chart(lines, "step", label, f"{label} over the steps, by run")
    if not charts:
        raise UserError("none of these runs logged a step yet")
    return Content(values, {"charts": charts})
