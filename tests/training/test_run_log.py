"""What a run writes about itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from pmm_jax.training.run_log import BEFORE, MetricsFile, read_lines, read_metrics


def test_lines_past_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    log = MetricsFile(tmp_path, 0)
    for step in (1, 2, 3):
        log.write(step, 1, {"loss": float(step)}, "train")
    log.close()
    MetricsFile(tmp_path, 2).close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]


def test_a_start_from_nothing_keeps_what_was_logged_before(tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        log = MetricsFile(tmp_path, 0)
        log.write(1, 1, {"loss": loss}, "train")
        log.close()
    MetricsFile(tmp_path, 0).close()
    assert read_metrics(tmp_path) == []
    assert [line["loss"] for line in read_lines(tmp_path / BEFORE)] == [1.0, 2.0]


def test_writing_events_leaves_torch_alone(tmp_path: Path) -> None:
    """tensorboardX imports it at once: seconds of start-up, and memory that compare would count."""
    pytest.importorskip("torch", reason="torch is not installed")
    code = (
        "import sys; from pathlib import Path; from pmm_jax.training.run_log import MetricsFile\n"
        "log = MetricsFile(Path(sys.argv[1]), 0)\n"
        "log.write(1, 1, {'loss': 2.0}, 'train'); log.close()\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "import torch; torch.zeros(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list(tmp_path.glob("events.out.tfevents.*"))
