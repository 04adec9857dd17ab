"""Fields in which the configs of several runs differ."""

import dataclasses
from typing import Any

from pmm_jax.config import Config
from pmm_jax.report.runs import Runs
from pmm_jax.report.section import Content


def build(runs: Runs) -> Content:
    """Value of each differing field, by run."""
    fields = [_flat(run.config) for run in runs.runs]
    names = [name for name in fields[0] if any(one[name] != fields[0][name] for one in fields)]
    table = {name: [one[name] for one in fields] for name in names}
    return Content({"labels": runs.labels, "fields": table}, {})


def _flat(config: Config) -> dict[str, Any]:
    return {
        f"{group}.{name}": value
        for group, fields in dataclasses.asdict(config).items()
        for name, value in fields.items()
    }
