"""`~` is the home folder wherever a path is read, and is expanded once."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import pmm_jax
from pmm_jax.cli.config_file import load_config
from pmm_jax.cli.parsing import parse, parse_run
from pmm_jax.cli.train import TrainOptions
from pmm_jax.config import Config
from pmm_jax.data.datasets.folder.table import read_table
from pmm_jax.errors import UserError
from pmm_jax.evaluation.features_file import load_features
from tests.cli.entry import Program, config_file, start, written


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder; the current folder is another, and stays without a folder named `~`."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_on_the_command_line(home: Path) -> None:
    words = ["--data.root=~/set", "--data.cache-dir", "~/prepared", "--workdir=~/run"]
    words += ["--model.weights", "~/w.pth", "--method.saliency-model=~/g.pth"]
    config, options = parse_run(["--config", config_file(), *words], TrainOptions, "")
    assert config.data.root == str(home / "set")
    assert config.data.cache_dir == str(home / "prepared")
    assert config.model.weights == str(home / "w.pth")
    assert config.method.saliency_model == str(home / "g.pth")
    assert options.workdir == str(home / "run")


def test_in_a_config_file_and_in_its_own_name(home: Path) -> None:
    shutil.move(config_file('Config(data=DataConfig(root="~/set"))'), home / "run.py")
    config, _ = parse_run(["--config=~/run.py"], TrainOptions, "")
    assert config.data.root == str(home / "set")
    assert load_config("~/run.py").data.root == "~/set"


def test_words_that_are_no_paths_stay() -> None:
    config, _ = parse_run(
        ["--config", config_file(), "--evaluate.faiss-index", "~"], TrainOptions, ""
    )
    assert config.evaluate.faiss_index == "~"
    assert (config.model.weights, config.method.saliency_model) == ("imagenet", "own")


def test_another_users_home_that_is_not_there_is_a_name() -> None:
    assert parse(TrainOptions(), ["--workdir", "~nobody-of-that-name/x"], "").workdir[0] == "~"


def test_what_verbs_read_and_write(
    home: Path, refused: Program, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    words = ["--train-identities", "2", "--test-identities", "1", "--cameras", "2"]
    words += ["--min-cameras-each", "2", "--max-shots", "2", "--distractors", "0", "--junk", "0"]
    monkeypatch.setattr("sys.argv", ["pmm_jax", "synthesize", "~/set", *words])
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    start(project, "pmm_jax")
    assert (home / "set" / "synthetic.json").is_file()
    (home / "a.pth").mkdir()
    assert str(home / "none.npz") in refused("pmm_jax", "parity", "~/none.npz")
    assert str(home / "none.pth") in refused("pmm_jax", "convert", "~/none.pth", "~/b.pth")
    (home / "run").mkdir()
    assert f"{home / 'run'} holds no run" in refused("pmm_jax", "convert", "~/run", "~/b.pth")
    assert not Path("~").exists()


def test_what_eval_writes(
    home: Path, monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    features = np.eye(4, dtype=np.float32)
    np.savez(home / "f.npz", features=features, ids=np.array([1, 1, 2, 2]))
    assert len(load_features("~/f.npz")[0].features) == 4
    words = ["--embeddings=~/f.npz", "--per-query=~/q.csv"]
    monkeypatch.setattr("sys.argv", ["eval.py", *words])
    start(project, "eval.py")
    assert (home / "q.csv").is_file()
    assert not Path("~").exists()


def test_the_functions_of_the_package(home: Path, tiny: Config) -> None:
    with pytest.raises(UserError, match=str(home / "run")):
        pmm_jax.load("~/run")
    with pytest.raises(UserError, match=str(home / "none.pth")):
        pmm_jax.load_torch("~/none.pth")


def test_images_of_a_csv_file(home: Path) -> None:
    Path("set.csv").write_text("path,id,split\n~/a.jpg,1,train\n")
    [entry] = read_table(Path("set.csv").absolute(), [])
    assert Path(entry.path) == Path("home/a.jpg")


def test_the_data_set_of_a_run(home: Path, refused: Program, tiny: Config) -> None:
    line = refused("train.py", "--config", written(tiny), "--data.root=~/none")
    assert f"data.root {home / 'none'} does not exist" in line
