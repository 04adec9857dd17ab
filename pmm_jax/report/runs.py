"""Several runs as the comparison page's sections read them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.report.run_data import RunData


class Runs:
    """Two runs or more.

    Attributes:
        runs: in the order in which they were named; the others are compared with the first.
        display: shows progress.
    """

    def __init__(self, workdirs: Sequence[Path], display: Display) -> None:
        """Read configs and logs.

        Args:
            workdirs: of the runs, all different.
            display: shows progress.

        Raises:
            UserError: there is no run, or one is named twice.
        """
        real = [workdir.resolve() for workdir in workdirs]
        for number, workdir in enumerate(real):
            if workdir in real[:number]:
                raise UserError(f"{workdirs[number]} is named twice; name each run once")
        self.display = display
        self.runs = [RunData(workdir, display) for workdir in workdirs]
        # Told apart where folders of one name lie in several places.
        common = os.path.commonpath([path.parent for path in real])
        names = [path.name for path in real]
        unique = len(set(names)) == len(names)
        labels = names if unique else [os.path.relpath(path, common) for path in real]
        self.labels = [printable(label) for label in labels]

    @property
    def name(self) -> str:
        """The runs' names."""
        return " and ".join(self.labels) if len(self.runs) == 2 else ", ".join(self.labels)

    @property
    def subtitle(self) -> str:
        """How many runs, and what they are compared with."""
        return f"{len(self.runs)} runs; differences are to {self.labels[0]}"

    @property
    def missing(self) -> dict[str, str]:
        """Why a picture isn't shown, by the image's path."""
        return {path: reason for run in self.runs for path, reason in run.missing.items()}

    def check_paired(self) -> None:
        """Check that one query is the same question to every run.

        Raises:
            UserError: the runs rank different images, by different protocols, or many galleries.
        """
        first = self.runs[0].summary
        for label, run in zip(self.labels, self.runs, strict=True):
            if run.config.evaluate.single_shot:
                raise UserError(f"{label} is evaluated by single-shot galleries, one a repeat")
            for name, ours, theirs in (
                ("queries", first.query, run.summary.query),
                ("gallery images", first.gallery, run.summary.gallery),
            ):
                one, other = ours.paths, theirs.paths
                if one is None or other is None or not np.array_equal(one, other):
                    raise UserError(f"{label} has other {name} than {self.labels[0]}")
            counted = [np.isnan(s.metrics.first_match) for s in (first, run.summary)]
            if not np.array_equal(*counted):
                raise UserError(f"{label} counts other queries than {self.labels[0]}")
