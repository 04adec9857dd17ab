"""sessions.jsonl: what each process of a run was, and how it ended."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.config import Config
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.workdir import sessions
from pmm_jax.workdir.sessions import SESSIONS, Command, open_session, read_sessions

CONFIG = Config()


def run(
    workdir: Path,
    first: int = 0,
    last: int = 6,
    error: BaseException | None = None,
    command: Command | None = None,
    config: Config = CONFIG,
) -> None:
    with open_session(workdir, config, command, print) as session:
        session.start(first)
        session.step = last
        if error is not None:
            raise error


def test_a_session_holds_what_the_report_shows(tmp_path: Path) -> None:
    run(tmp_path)
    (found,), damaged = read_sessions(tmp_path)
    assert damaged == 0
    assert (found["first_step"], found["last_step"], found["outcome"]) == (0, 6, "finished")
    assert found["started"] <= found["ended"]
    assert 0 <= found["seconds"] < 60
    assert found["peak_memory_bytes"] > 2**25
    assert found["command"] is None
    assert found["versions"]["jax"]
    assert set(found["versions"]) >= {"pmm_jax", "python", "numpy", "flax", "commit"}
    machine = found["machine"]
    assert machine["processor"]
    assert 1 <= machine["cores"] <= (os.cpu_count() or 1)
    assert machine["memory_bytes"] > found["peak_memory_bytes"]
    assert [(one["platform"], one["count"]) for one in machine["devices"]] == [("cpu", 1)]
    assert machine["processes"] == 1


def test_fields_are_those_that_differ_from_the_named_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config = replace(
        CONFIG,
        data=replace(CONFIG.data, root="/home/ann/set", image_size=(64, 32)),
        model=replace(CONFIG.model, weights="/home/ann/a.pth"),
        evaluate=replace(CONFIG.evaluate, rerank=True, query_block=7),
    )
    line = "pmm train --workdir=/home/ann/run --init-from /home/anna /home/ann"
    run(tmp_path, command=Command(line, "/home/ann/run.py", CONFIG), config=config)
    (found,), _ = read_sessions(tmp_path)
    assert found["command"] == "pmm train --workdir=~/run --init-from /home/anna ~"
    assert found["config"] == "~/run.py"
    assert found["fields"] == {
        "data.image_size": [[384, 128], [64, 32]],
        "evaluate.rerank": [False, True],
        "model.weights": [CONFIG.model.weights, "~/a.pth"],
    }
    assert "/home/ann/" not in (tmp_path / SESSIONS).read_text()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Interrupted(3, 6), "interrupted"),
        (UserError("a\nb"), r"failed: a\nb"),
        (MemoryError(), "failed: MemoryError"),
    ],
)
def test_an_end_says_how_it_came(tmp_path: Path, error: BaseException, outcome: str) -> None:
    with pytest.raises(type(error)):
        run(tmp_path, 0, 3, error)
    (found,), _ = read_sessions(tmp_path)
    assert (found["last_step"], found["outcome"]) == (3, outcome)


def lines(workdir: Path) -> list[str]:
    return (workdir / SESSIONS).read_text().splitlines(keepends=True)


@pytest.mark.parametrize("rest", ["", '{"started": "20'])
def test_one_that_was_killed_has_no_end(tmp_path: Path, rest: str) -> None:
    run(tmp_path, 0, 2)
    (tmp_path / SESSIONS).write_text(lines(tmp_path)[0] + rest)
    run(tmp_path, 2, 6)
    (killed, resumed), damaged = read_sessions(tmp_path)
    assert "ended" not in killed
    assert (resumed["first_step"], resumed["last_step"]) == (2, 6)
    assert damaged == bool(rest)


def test_an_end_is_not_taken_for_another_session_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(2):
        monkeypatch.setattr(sessions, "_now", lambda hour=hour: f"2026-01-01T0{hour}:00:00")
        run(tmp_path)
    first, _, second, end = lines(tmp_path)
    (tmp_path / SESSIONS).write_text(first + second.replace('"first_step": 0', '"x": 0') + end)
    (found,), damaged = read_sessions(tmp_path)
    assert damaged == 1
    assert "ended" not in found


@pytest.mark.parametrize("text", [None, "", "null\n[]\n7\n", "\x00", '{"sha256": 1}\n'])
def test_a_missing_or_damaged_file_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / SESSIONS).write_text(text)
    assert read_sessions(tmp_path).sessions == []


def test_an_end_that_can_not_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    with open_session(tmp_path, CONFIG, None, print) as session:
        session.start(0)
        monkeypatch.setattr(sessions.os, "fsync", full)
    assert "sessions.jsonl lacks the end of this run (No space" in capsys.readouterr().out


def test_a_renamed_folder_takes_its_own_end(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with open_session(tmp_path / "run", CONFIG, None, print) as session:
        session.start(0)
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").mkdir()
    assert not list((tmp_path / "run").iterdir())
    assert len(lines(tmp_path / "moved")) == 2


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "is_first", lambda: False)
    run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_that_never_started_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError), open_session(tmp_path, CONFIG, None, print):
        raise UserError("no room")
    assert not list(tmp_path.iterdir())


def test_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SESSIONS)
    with pytest.raises(UserError, match="named pipe"):
        run(tmp_path)
    assert read_sessions(tmp_path).sessions == []


def test_each_line_is_json(tmp_path: Path) -> None:
    run(tmp_path)
    assert all(json.loads(line)["sha256"] for line in lines(tmp_path))
