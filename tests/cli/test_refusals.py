"""Data and runs that can't be used: one line, exit code 2, never a traceback."""

import errno
import os
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from pmm_jax.config import Config
from pmm_jax.workdir.run_config import register_run
from tests.cli.entry import Program, config_file, start, written


@pytest.mark.parametrize("name", ["train.py", "pmm_jax"])
def test_a_missing_data_folder(refused: Program, name: str) -> None:
    verb = ["prepare"] if name == "pmm_jax" else []
    line = refused(name, *verb, "--config", config_file(), "--data.root", "nowhere")
    assert "data.root nowhere does not exist" in line
    assert not Path("runs").exists()


def test_an_empty_data_folder(refused: Program) -> None:
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        Path("set", folder).mkdir(parents=True)
    line = refused("train.py", "--config", config_file(), "--data.root", "set")
    assert "set/bounding_box_train" in line
    shutil.rmtree("set/query")
    line = refused("train.py", "--config", config_file(), "--data.root", "set")
    assert "there is no folder query" in line


def test_a_corrupt_image_is_named(refused: Program, people: Path) -> None:
    shutil.copytree(people, "set")
    image = sorted(Path("set/query").iterdir())[1]
    image.write_bytes(image.read_bytes()[:300])
    line = refused("train.py", "--config", config_file(), "--data.root", "set")
    assert f"query/{image.name}: can't be decoded" in line


@pytest.mark.parametrize("name", ["x\x1b[2J.jpg", "x\nerror: all is lost.jpg", "\udcff.jpg"])
def test_names_of_files_can_not_forge_a_line(refused: Program, name: str) -> None:
    Path("set/ann").mkdir(parents=True)
    Path("set/bob").mkdir()
    Path("set/ann", name).touch()
    Path("set/bob/1.jpg").touch()
    config = ["--config", config_file(), "--data.name", "folder", "--data.train-fraction", "1"]
    line = refused("pmm_jax", "prepare", *config, "--data.root", "set")
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\\" in line


def test_people_seen_by_one_camera_only(refused: Program, people: Path) -> None:
    shutil.copytree(people, "set")
    for image in Path("set/bounding_box_test").glob("*_c2*"):
        image.unlink()
    for image in Path("set/query").glob("*_c2*"):
        image.unlink()
    arguments = ["--config", config_file(), "--data.root", "set"]
    # compare needs torch, and has a word of its own where that is missing.
    compare = [["pmm_jax", "compare"]] if find_spec("torch") else []
    for program in (["train.py"], ["pmm_jax", "prepare"], *compare):
        line = refused(*program, *arguments)
        assert "no query of set has a match in another camera" in line
    # Where such matches count, what comes next is refused.
    arguments += ["--evaluate.no-cameras", "--data.identities-per-batch", "100"]
    for program in (["train.py"], *compare):
        assert "a batch needs 100 identities" in refused(*program, *arguments)


def test_too_few_people_for_a_batch(refused: Program, tiny: Config) -> None:
    path = written(tiny)
    line = refused("train.py", "--config", path, "--data.identities-per-batch", "10")
    assert "a batch needs 10 identities and the training set has 9" in line


def test_weights_that_are_not_there(refused: Program, tiny: Config) -> None:
    line = refused("train.py", "--config", written(tiny), "--model.weights", "none.safetensors")
    assert "none.safetensors" in line


def test_a_workdir_of_another_config(refused: Program, tiny: Config) -> None:
    register_run(Path("run"), replace(tiny, train=replace(tiny.train, seed=5)))
    Path("run/metrics.jsonl").write_text('{"step": 1, "epoch": 1, "loss": 9.0}\n')
    line = refused("train.py", "--config", written(tiny), "--workdir", "run")
    assert "run holds a run with train.seed 5, not 0" in line


def test_a_workdir_that_can_not_be(refused: Program, tiny: Config) -> None:
    Path("file").write_text("")
    line = refused("train.py", "--config", written(tiny), "--workdir", "file")
    assert "--workdir file" in line


def test_evaluating_where_no_run_is(refused: Program, tiny: Config) -> None:
    assert "none holds no run" in refused("eval.py", "--config", written(tiny), "--workdir", "none")
    register_run(Path("run"), tiny)
    assert "run has no latest checkpoint yet" in refused(
        "eval.py", "--config", written(tiny), "--workdir", "run"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/log"),
            r"no room .* \(run/log\); free",
        ),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "no room left on the disk; free some"),
        (OSError(errno.EIO, os.strerror(errno.EIO), "a\nb"), r"Input/output error \(a\\nb\)"),
        (MemoryError("Unable to allocate 9 TiB"), r"out of memory \(Unable .*; lower the batch"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out\nof memory"),
            r"out of memory \(RES.* Out of memory",
        ),
    ],
)
def test_what_the_system_refuses(
    refused: Program, tiny: Config, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def train(*_: object) -> None:
        raise error

    monkeypatch.setattr("pmm_jax.training.loop.train", train)
    assert re.search(said, refused("train.py", "--config", written(tiny)))


def test_another_error_stays_one(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    def train(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("pmm_jax.training.loop.train", train)
    monkeypatch.setattr("sys.argv", ["train.py", "--config", written(tiny)])
    with pytest.raises(RuntimeError, match="a bug"):
        start(project, "train.py")


def test_synthetic_people_where_no_folder_can_be(refused: Program) -> None:
    Path("file").touch()
    assert "file/x" in refused("pmm_jax", "synthesize", "file/x")
    assert "synthesize needs a folder" in refused("pmm_jax", "synthesize", "")


def test_embeddings_that_are_not_there(refused: Program) -> None:
    assert "can't read none.npz" in refused("eval.py", "--embeddings", "none.npz")
    refused("eval.py", "--embeddings")
    Path("text.npz").write_text("hello")
    assert "text.npz is not an npz file" in refused("eval.py", "--embeddings=text.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model.weights", "none.pth"], "model.weights none.pth is no file"),
        (["--model.weights", "imagenet"], "needs model.width 1 and model.stage_sizes 3 4 6 3"),
        (
            ["--method.name", "a_cutmix", "--method.saliency-model", "none.pth"],
            "method.saliency_model none.pth is no file",
        ),
    ],
)
def test_weights_are_looked_for_before_the_data(
    refused: Program, tiny: Config, arguments: list[str], words: str
) -> None:
    line = refused("train.py", "--config", written(tiny), "--data.root", "nowhere", *arguments)
    assert words in line
