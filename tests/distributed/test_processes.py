"""What a process refuses before it waits for others."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.distributed.processes import (
    any_process,
    assert_equal,
    initialize_distributed,
    is_first,
    run_or_abort_all,
)
from pmm_jax.errors import UserError
from pmm_jax.launch import DistributedConfig

CLUSTERS = ("SLURM", "OMPI", "KUBERNETES", "TPU", "JOBSET")
"""First words of the variables by which jax knows a cluster."""


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ({"coordinator": "host:1"}, "--processes N and --process I is missing"),
        ({"processes": 2, "process": 0}, "--coordinator HOST:PORT is missing"),
        ({"coordinator": "host:1", "processes": 2, "process": 2}, "they count from 0 to 1"),
        *(
            ({"coordinator": address, "processes": 2, "process": 0}, "must be HOST:PORT")
            for address in ("host", ":1", "host:", "host:0", "host:65536", "host:٣", "host:1:x")
        ),
    ],
)
def test_half_an_address_is_refused(launch: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        initialize_distributed(DistributedConfig(**launch))


def test_no_cluster_is_told_in_one_line(project: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(CLUSTERS)}
    done = subprocess.run(
        [sys.executable, "train.py", "--config", "configs/demo.py", "--distributed"],
        cwd=project,
        env={**environment, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --distributed found no cluster; name it with --coord")
    assert done.stderr.count("\n") == 1


def test_a_slurm_allocation_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "7", "NTASKS": "4", "PROCID": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    initialize_distributed(DistributedConfig())
    assert is_first()


def test_one_process_agrees_with_itself() -> None:
    assert any_process(True)
    assert not any_process(False)
    assert_equal("images", "abc")

    def fail() -> None:
        raise UserError("mine")

    with pytest.raises(UserError, match="mine"):
        run_or_abort_all(fail)
