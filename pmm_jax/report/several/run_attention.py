"""Where the stages of several runs look, on the same training images (paper, Figure 1)."""

from pmm_jax.errors import UserError
from pmm_jax.report.heads import head_titles
from pmm_jax.report.pictures import data_uri, resized
from pmm_jax.report.run_data import image_of
from pmm_jax.report.runs import Runs
from pmm_jax.report.section import Content
from pmm_jax.report.sections.attention import HEIGHT, identity_rows, stage_looks

IDENTITIES = 6
"""Training identities that are shown."""


def build(runs: Runs) -> Content:
    """CAMs of each run's heads for the true identity of a few images.

    Raises:
        UserError: the runs were trained on different images, or these can't be read.
    """
    split = runs.runs[0].split("train")
    for label, run in zip(runs.labels, runs.runs, strict=True):
        if run.split("train").fingerprint != split.fingerprint:
            raise UserError(f"{label} was trained on other images than {runs.labels[0]}")
    rows = identity_rows(split.identities, IDENTITIES)
    images = [
        {"path": split.filenames[row], "identity": split.names.get(identity, str(identity))}
        for row, identity in zip(rows, split.identities[rows].tolist(), strict=True)
    ]
    media = {
        "plain": [data_uri(resized(image_of(split, row), HEIGHT)) for row in rows],
        "looks": [stage_looks(run, rows) for run in runs.runs],
        "titles": [head_titles(run.model.network) for run in runs.runs],
    }
    return Content({"images": images, "labels": runs.labels}, media)
