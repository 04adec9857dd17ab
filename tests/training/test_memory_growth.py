"""A long run of train.py, a process of its own, holds no more memory than a short one."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from pmm_jax.config import Config
from pmm_jax.workdir.run_log import read_metrics
from tests.training.programs import command

WARM_UP, STEPS = 200, 2000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_2000_steps_grow_by_less_than_2_percent(
    tiny: Config, tmp_path: Path, project: Path
) -> None:
    epochs = (WARM_UP + STEPS) // 2
    quiet = replace(tiny.train, log_every=50, evaluate_every=0, checkpoint_every=50)
    config = replace(tiny, train=replace(quiet, epochs=epochs))
    workdir = tmp_path / "run"
    words = [*command("train.py", config, tmp_path), "--workdir", str(workdir), "--no-report"]
    held: list[tuple[int, int]] = []
    with subprocess.Popen(words, cwd=project, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.05)
            held += [(step_of(workdir), kilobytes) for kilobytes in resident(process.pid)]
    assert process.returncode == 0
    # Medians of the two halves: what compiling left stays for a few hundred steps, and a checkpoint
    # is followed by a short dip.
    half = WARM_UP + STEPS // 2
    early = median(kilobytes for step, kilobytes in held if WARM_UP <= step < half)
    late = median(kilobytes for step, kilobytes in held if half <= step < WARM_UP + STEPS)
    print(f"resident: median {early / 1e3:.1f} MB before step {half}, {late / 1e3:.1f} MB after")
    assert late < 1.02 * early


def step_of(workdir: Path) -> int:
    """The last step in the run's log."""
    return max((int(row["step"]) for row in read_metrics(workdir)), default=0)


def resident(process: int) -> list[int]:
    """Kilobytes that a process holds; nothing where it has just ended."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
