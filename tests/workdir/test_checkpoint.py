"""Checkpoints that are damaged are found out; what comes after a kill or a full disk."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.training.state import TrainState
from pmm_jax.workdir.checkpoint import DAMAGED, PARTIAL, Checkpoints


def state(step: int, value: float = 1.0) -> TrainState:
    params = {"stage1": {"classifier": {"bias": jnp.arange(5.0) + step}}}
    return TrainState(
        jnp.int32(step), params, {"mean": jnp.full(3, value)}, {"m": jnp.zeros((4, 4))}
    )


def saved(workdir: Path, steps: list[int], scores: dict[int, float] | None = None) -> Path:
    """A folder with checkpoints of those steps, evaluated where there is a score."""
    with Checkpoints(workdir) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), f"line {step}\n")
            if step in (scores or {}):
                checkpoints.add_evaluation(step, {"mAP": (scores or {})[step]})
    return workdir / "checkpoints"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files(folder: Path, step: int) -> list[Path]:
    """All files of a checkpoint that a run depends on, its seal among them."""
    inside = [p for p in (folder / str(step)).rglob("*") if p.is_file()]
    return [*(p for p in inside if p.name != "commit_success.txt"), folder / f"{step}.json"]


def test_the_newest_two_and_the_best_stay(tmp_path: Path) -> None:
    folder = saved(tmp_path, [1, 2, 3, 4, 5, 6], {2: 0.9, 4: 0.3, 5: 0.5})
    assert names(folder) == {f"{n}{end}" for n in (2, 4, 5, 6) for end in ("", ".json")}
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (6, 2)
        assert checkpoints.identities(6) == 5
        assert checkpoints.seal(6).log == "line 6\n"
        assert checkpoints.seal(5).evaluation == {"mAP": 0.5}


def test_saving_leaves_no_objects_for_each_array(tmp_path: Path) -> None:
    """tensorstore's to_json leaks what it gives, ten lists and dicts for each array if asked for
    its metadata."""
    many = {f"p{i}": jnp.ones(2) for i in range(60)}
    held = []
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 13):
            checkpoints.save(step, TrainState(jnp.int32(step), many, {}, {}))
            checkpoints.settle()
            gc.collect()
            held.append(len(gc.get_objects()))
    assert held[-1] - held[1] < 10 * len(many)


def test_of_equal_scores_the_first_is_the_best(tmp_path: Path) -> None:
    saved(tmp_path, [1, 2], {1: 0.5, 2: 0.5})
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.best == 1


def test_every_value_comes_back(tmp_path: Path) -> None:
    saved(tmp_path, [3])
    with Checkpoints(tmp_path) as checkpoints:
        found = checkpoints.restore(3, state(0))
        params, stats = checkpoints.restore_weights(3, (state(0).params, state(0).batch_stats))
    jax.tree.map(np.testing.assert_array_equal, found, state(3))
    jax.tree.map(
        np.testing.assert_array_equal, (params, stats), (state(3).params, state(3).batch_stats)
    )


def flipped(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


PLACES = (0.0, 0.31, 0.77, 0.999)
DAMAGE: list[Callable[[Path], object]] = [
    *(
        partial(lambda at, path: flipped(path, int(at * 8 * path.stat().st_size)), at)
        for at in PLACES
    ),
    Path.unlink,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
]


def test_whatever_happens_to_a_file_is_found_out(tmp_path: Path) -> None:
    folder, said = saved(tmp_path, [1, 2]), list[str]()
    for path in files(folder, 2):
        whole = path.read_bytes()
        for damage in DAMAGE:
            damage(path)
            with Checkpoints(tmp_path, read_only=True) as checkpoints:
                assert checkpoints.latest == 2
                with pytest.raises(
                    UserError, match=rf"checkpoints/2 is damaged \(\S*{path.name}|json"
                ):
                    checkpoints.restore_weights(2, (state(0).params, state(0).batch_stats))
            path.write_bytes(whole)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.newest_sound(said.append) == 2
    assert said == []


def test_a_run_goes_back_to_the_one_before_and_keeps_the_damaged_one(tmp_path: Path) -> None:
    folder, said = saved(tmp_path, [1, 2, 3], {1: 0.9}), list[str]()
    flipped(max(files(folder, 3), key=lambda path: path.stat().st_size), 77)
    (folder / "1.json").write_text("{}")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.newest_sound(said.append) == 2
        checkpoints.save(3, state(3))
    assert names(folder) == {"2", "2.json", "3", "3.json", f"3{DAMAGED}", f"1{DAMAGED}"}
    assert len(said) == 2
    assert "going back to step 2" in said[0]
    assert "it is not needed" in said[1]


def test_where_none_is_left_the_run_starts_again(tmp_path: Path) -> None:
    folder, said = saved(tmp_path, [1]), list[str]()
    (folder / "1.json").unlink()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.newest_sound(said.append) == 0
    assert "none to go back to" in said[0]


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    folder = saved(tmp_path, [1])
    (folder / f"2{PARTIAL}" / "d").mkdir(parents=True)
    (folder / "2.json").write_text("a seal without its checkpoint")
    (folder / "1.json.17.partial").write_text("cut sh")
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest == 1
    assert f"2{PARTIAL}" in names(folder)  # a training may be writing it
    with Checkpoints(tmp_path):
        pass
    assert names(folder) == {"1", "1.json"}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_not_saved(tmp_path: Path, bad: float) -> None:
    folder = saved(tmp_path, [1])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, state(2, bad))
        with pytest.raises(UserError, match=r"stats\.mean holds a number that is not finite"):
            checkpoints.settle()
        assert checkpoints.latest == 1
    with Checkpoints(tmp_path):
        pass
    assert names(folder) == {"1", "1.json"}


def test_a_failure_behind_the_training_does_not_hide_the_first_one(tmp_path: Path) -> None:
    def run() -> None:
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, state(1, np.nan))
            raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        run()


@pytest.mark.parametrize("name", ["runs [2]", "a*", "why?", "back\\slash"])
def test_a_path_that_orbax_can_not_read_back_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"its path has a .*use a --workdir whose"):
        Checkpoints(tmp_path / name / "run")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["a b", "100%", "#1", "{x}", "é人", "'quoted\"", "~"])
def test_other_odd_paths_work(tmp_path: Path, name: str) -> None:
    saved(tmp_path / name, [1])
    with Checkpoints(tmp_path / name, read_only=True) as checkpoints:
        checkpoints.restore_weights(1, (state(0).params, state(0).batch_stats))


def test_a_full_disk_is_one_line_and_costs_nothing_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path, [1])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Checkpoints(tmp_path) as checkpoints, monkeypatch.context() as patch:
        patch.setattr("pmm_jax.workdir.checkpoint.write_atomic", full)
        checkpoints.save(2, state(2))
        with pytest.raises(
            UserError, match=r"no room left .* goes on from the checkpoint of step 1"
        ):
            checkpoints.settle()
    assert names(folder) == {"1", "1.json"}


def test_reading_waits_for_nothing(tmp_path: Path) -> None:
    folder = saved(tmp_path, [1])
    path = folder / "1.json"
    path.unlink()
    os.mkfifo(path)
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(UserError, match="damaged"),
    ):
        checkpoints.seal(1)


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.workdir.test_checkpoint import state
from pmm_jax.cli.program import main
from pmm_jax.workdir.checkpoint import Checkpoints
import jax.numpy as jnp

def run(words):
    many = {f"layer{i}": jnp.ones((64, 64)) * i for i in range(40)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    with Checkpoints(Path(words[0])) as checkpoints:
        checkpoints.save(1, state(1).replace(batch_stats=many))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
main(run)
"""


def test_a_write_that_fails_in_many_threads_is_one_line(tmp_path: Path, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no room left on the disk")
    assert done.stderr.count("\n") == 1
    assert names(tmp_path / "checkpoints") == set()
