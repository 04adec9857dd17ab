"""What a run writes about itself."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pmm_jax.workdir.run_log import (
    BEFORE,
    DAMAGED,
    METRICS,
    MetricWriter,
    read_lines,
    read_metrics,
)


def logged(folder: Path, losses: list[float]) -> str:
    """The text of a fresh file with a line for each loss."""
    log = MetricWriter(folder, 0)
    for step, loss in enumerate(losses, 1):
        log.write(step, 1, {"loss": loss}, "train")
    log.close()
    return log.text


def steps(folder: Path) -> list[float]:
    return [line["step"] for line in read_metrics(folder)]


def test_lines_past_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    lines = logged(tmp_path, [1.0, 2.0, 3.0]).splitlines(keepends=True)
    said: list[str] = []
    log = MetricWriter(tmp_path, 2, "".join(lines[:2]), said.append)
    assert steps(tmp_path) == [1, 2]
    log.write(3, 1, {"loss": 3.0}, "train")
    log.close()
    assert (tmp_path / METRICS).read_text() == log.text == "".join(lines)
    assert said == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"null" + text[4:],
        lambda text: text.replace(b"1.0", b"1.5"),
        lambda text: b"\xff" + text,
        lambda text: text.splitlines(keepends=True)[1],
    ],
    ids=["no object", "another number", "not UTF-8", "a line less"],
)
def test_what_is_not_as_written_is_kept_and_mended(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    text, said = logged(tmp_path, [1.0, 2.0]), list[str]()
    damaged = damage(text.encode())
    (tmp_path / METRICS).write_bytes(damaged)
    MetricWriter(tmp_path, 2, text, said.append).close()
    assert (tmp_path / METRICS).read_text() == text
    assert (tmp_path / DAMAGED).read_bytes() == damaged
    assert len(said) == 1
    assert DAMAGED in said[0]


@pytest.mark.parametrize("keep", [0, 10, None])
def test_what_was_cut_short_or_removed_is_written_again(tmp_path: Path, keep: int | None) -> None:
    text, said = logged(tmp_path, [1.0, 2.0]), list[str]()
    (tmp_path / METRICS).write_text(text[:keep]) if keep else (tmp_path / METRICS).unlink()
    MetricWriter(tmp_path, 2, text, said.append).close()
    assert (tmp_path / METRICS).read_text() == text
    assert said == []


def test_damaged_lines_cost_a_reader_themselves_alone(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_bytes(b'{"step": 1}\nnull\n\xff\xfe\n[1]\n{"step": 2, "ep\n{"step": 3}\n{"step": 4')
    assert steps(tmp_path) == [1, 3]


def test_numbers_that_json_has_no_word_for_are_null(tmp_path: Path) -> None:
    text = logged(tmp_path, [float("inf"), float("nan"), 1.0])
    assert [json.loads(line)["loss"] for line in text.splitlines()] == [None, None, 1.0]
    assert "Infinity" not in text
    assert "NaN" not in text


def test_a_start_from_nothing_keeps_what_was_logged_before(tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        logged(tmp_path, [loss])
    MetricWriter(tmp_path, 0).close()
    assert read_metrics(tmp_path) == []
    assert [line["loss"] for line in read_lines(tmp_path / BEFORE)] == [1.0, 2.0]


def test_tensorboard_reads_the_events(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    logged(tmp_path, [1.0, 0.5])
    (file,) = tmp_path.glob("events.out.tfevents.*")
    data, found = file.read_bytes(), []
    while data:  # TFRecord: length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
        data = data[16 + length :]
    assert found == [(1, "train/loss", 1.0), (2, "train/loss", 0.5)]


def test_a_command_writes_events_without_torch(tmp_path: Path) -> None:
    """tensorboardX imports it at once: seconds of start-up, and memory that compare would count."""
    pytest.importorskip("torch", reason="torch is not installed")
    code = (
        "import sys; from pathlib import Path; from pmm_jax.workdir.run_log import MetricWriter\n"
        "from pmm_jax.runtime import set_up_training; set_up_training()\n"
        "log = MetricWriter(Path(sys.argv[1]), 0)\n"
        "log.write(1, 1, {'loss': 2.0}, 'train'); log.close()\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "import torch; torch.zeros(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list(tmp_path.glob("events.out.tfevents.*"))
