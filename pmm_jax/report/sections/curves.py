"""Curves of loss, accuracy, learning rate and evaluation over the steps."""

from pmm_jax.errors import UserError
from pmm_jax.report.charts import Line, line_chart
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content

TRAIN = {"loss": "loss", "accuracy": "accuracy, %", "learning_rate": "learning rate"}
"""Key of metrics.jsonl, and label of its axis."""
TEST = {"rank1": "Rank-1", "mAP": "mAP"}


def build(run: RunData) -> Content:
    """Each logged step's figures.

    Raises:
        UserError: nothing was logged.
    """
    if not run.log:
        raise UserError("this run logged no step yet")
    train = [line for line in run.log if "loss" in line]
    test = [line for line in run.log if "mAP" in line]
    charts = {}
    for key, label in TRAIN.items():
        scale = 100 if key == "accuracy" else 1
        lines = [line for line in train if line.get(key) is not None]
        if lines:
            curve = Line(
                key, [line["step"] for line in lines], [scale * line[key] for line in lines]
            )
            charts[key] = line_chart([curve], "step", label, f"{key} over the steps of training")
    if test:
        curves = [
            Line(
                label,
                [line["step"] for line in test if line.get(key) is not None],
                [100 * line[key] for line in test if line.get(key) is not None],
            )
            for key, label in TEST.items()
        ]
        charts["evaluation"] = line_chart(curves, "step", "%", "Rank-1 and mAP of each evaluation")
    last = {**(train[-1] if train else {}), **(test[-1] if test else {})}
    return Content({"last": last, "train": train, "test": test}, {"charts": charts})
