"""Bad usage of every kind: one line on standard error, exit code 2, never a traceback."""

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pmm_jax.config import Config, DataConfig
from pmm_jax.training.workdir import claim

Program = Callable[..., str]

IMPORTS = """\
from pmm_jax.config import (
    Config, DataConfig, EvaluateConfig, MethodConfig, ModelConfig, OptimConfig, TrainConfig
)
"""


@pytest.fixture(autouse=True)
def inside_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(project)
    # A process of its own is for it; this one has many threads already.
    monkeypatch.setattr("pmm_jax.cli.keep_freed_memory", lambda: False)


def start(project: Path, name: str) -> None:
    """An entry point, in this process."""
    if name == "pmm_jax":
        runpy.run_module(name, run_name="__main__")
    else:
        runpy.run_path(str(project / name), run_name="__main__")


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path
) -> Program:
    """Runs an entry point in this process; the one line with which it refuses."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as end:
            start(project, name)
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.endswith("\n")
        assert error.count("\n") == 1
        return error.strip()

    return run


def config_file(body: str = "Config()", name: str = "run.py") -> str:
    Path(name).write_text(f"{IMPORTS}\nconfig = {body}\n")
    return name


def written(config: Config) -> str:
    """A config file that says the same as `config`."""
    groups = ", ".join(
        f"{group}={group.capitalize()}Config(**{fields!r})"
        for group, fields in asdict(config).items()
    )
    return config_file(f"Config({groups})")


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("--optim.peek-lr", "--optim.peak-lr"),
        ("--method.topk", "--method.top-k"),
        ("--workdri", "--workdir"),
        ("--data.rot=x", "--data.root"),
        ("--train.sed", "--train.seed"),
    ],
)
def test_a_misspelt_field_gets_the_nearest_name(refused: Program, typed: str, nearest: str) -> None:
    line = refused("train.py", "--config", config_file(), typed, "1")
    assert f"no field {typed.split('=')[0]}" in line
    assert f"did you mean {nearest}?" in line


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Config(method=MethodConfig(topk=3))", ["MethodConfig", "topk", "did you mean top_k?"]),
        ("Config(metod=MethodConfig())", ["Config", "metod", "did you mean method?"]),
        ("Config(optim=OptimConfig(learning=1))", ["OptimConfig has no field learning"]),
    ],
)
def test_a_misspelt_field_in_a_file_gets_the_nearest_name(
    refused: Program, body: str, words: list[str]
) -> None:
    line = refused("train.py", "--config", config_file(body))
    for word in ["run.py", *words]:
        assert word in line


WRONG = [
    (["--method.top-k", "three"], ["--method.top-k", "three"]),
    (["--train.epochs", "2.5"], ["--train.epochs", "2.5"]),
    (["--data.image-size", "384"], ["--data.image-size", "2 values"]),
    (["--data.image-size"], ["--data.image-size"]),
    (["--optim.schedule", "cosin"], ["--optim.schedule", "cosin", "'cosine'"]),
    (["stray"], ["stray"]),
]


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in WRONG])
def test_a_value_of_the_wrong_type(refused: Program, arguments: list[str]) -> None:
    refused("train.py", "--config", config_file(), *arguments)
    assert "--config needs a value" in refused("train.py", "--config")


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_a_value_of_the_wrong_type_is_named(
    refused: Program, arguments: list[str], words: list[str]
) -> None:
    line = refused("train.py", "--config", config_file(), *arguments)
    for word in words:
        assert word in line


def test_tyros_frame_is_left_out_whatever_its_form(refused: Program) -> None:
    line = refused("train.py", "--config", config_file(), "--train.epochs", "2.5")
    assert line.endswith("2.5'")
    assert "--help" not in line


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ('Config(method=MethodConfig(top_k="3"))', "top_k"),
        ("Config(data=DataConfig(image_size=(48, 32, 3)))", "image_size"),
        ('Config(data=DataConfig(name="markt1501"))', "name"),
        ('Config(evaluate=EvaluateConfig(checkpoint="bset"))', "checkpoint"),
        ("Config(train=TrainConfig(epochs=2.5))", "epochs"),
        ("Config(optim=OptimConfig(betas=(0.9, 1.5)))", "betas"),
        ("undefined", "undefined"),
    ],
)
def test_a_wrong_value_in_a_file(refused: Program, body: str, word: str) -> None:
    assert word in refused("train.py", "--config", config_file(body))


def test_a_config_is_asked_for(refused: Program) -> None:
    assert "--config FILE is missing" in refused("train.py")
    assert "--config FILE is missing" in refused("eval.py", "--workdir", "x")
    assert "--config FILE is missing" in refused("pmm_jax", "prepare")


def test_an_unknown_config_file(refused: Program) -> None:
    Path("configs").mkdir()
    config_file(name="configs/demo.py")
    line = refused("train.py", "--config", "configs/dmo.py")
    assert "configs/dmo.py: no such file; did you mean configs/demo.py?" in line
    assert "there are configs/demo.py" in refused("train.py", "--config", "zzz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 3\n", ["must define config = Config(...)"]),
        ("config = (\n", ["line 1"]),
        ("import no_such_module\n", ["no_such_module"]),
    ],
)
def test_a_file_that_is_no_config(refused: Program, content: str, words: list[str]) -> None:
    Path("run.py").write_text(content)
    line = refused("train.py", "--config", "run.py")
    for word in ["run.py", *words]:
        assert word in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data.image-size", "250", "128"], ["height 250", "16 x block height 3", "240 or 288"]),
        (["--data.image-size", "384", "100"], ["width 100", "96 or 128"]),
        (["--data.image-size", "384", "20"], ["width 20", "use 32 "]),
        (["--method.block", "5", "2"], ["height 384", "block height 5", "320 or 400"]),
        (["--method.block", "0", "2"], ["block height", "at least 1"]),
        (["--method.top-k", "33"], ["method.top_k 33", "between 1 and 32", "24x8"]),
        (["--method.top-k", "0"], ["method.top_k 0", "between 1 and 32"]),
        (["--data.erase-size", "129"], ["data.erase_size 129", "at most 128"]),
        (["--train.epochs", "0"], ["train.epochs is 0", "at least 1"]),
        (["--optim.peak-lr", "nan"], ["optim.peak_lr is nan"]),
        (["--data.flip-probability", "1.5"], ["data.flip_probability is 1.5", "between 0 and 1"]),
        (["--data.identities-per-batch", "1"], ["data.identities_per_batch is 1", "at least 2"]),
    ],
)
def test_numbers_that_do_not_fit(refused: Program, arguments: list[str], words: list[str]) -> None:
    line = refused("train.py", "--config", config_file(), *arguments)
    for word in words:
        assert word in line


def test_all_blocks_and_the_whole_width_are_allowed(refused: Program) -> None:
    limits = ["--method.top-k", "32", "--data.erase-size", "128", "--data.root", "nowhere"]
    assert "nowhere" in refused("train.py", "--config", config_file(), *limits)


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


def test_people_seen_by_one_camera_only(refused: Program, people: Path) -> None:
    shutil.copytree(people, "set")
    for image in Path("set/bounding_box_test").glob("*_c2*"):
        image.unlink()
    for image in Path("set/query").glob("*_c2*"):
        image.unlink()
    line = refused("train.py", "--config", config_file(), "--data.root", "set")
    assert "no query of set has a match in another camera" in line


def test_too_few_people_for_a_batch(refused: Program, tiny: Config) -> None:
    path = written(tiny)
    line = refused("train.py", "--config", path, "--data.identities-per-batch", "10")
    assert "a batch needs 10 identities and the training set has 9" in line


def test_weights_that_are_not_there(refused: Program, tiny: Config) -> None:
    line = refused("train.py", "--config", written(tiny), "--model.weights", "none.safetensors")
    assert "none.safetensors" in line


@pytest.mark.parametrize("name", ["train.py", "eval.py"])
def test_a_workdir_of_another_config(refused: Program, tiny: Config, name: str) -> None:
    claim(Path("run"), replace(tiny, train=replace(tiny.train, seed=5)))
    Path("run/metrics.jsonl").write_text('{"step": 1, "epoch": 1, "loss": 9.0}\n')
    line = refused(name, "--config", written(tiny), "--workdir", "run")
    assert "run holds a run with train.seed 5, not 0" in line


def test_a_workdir_that_can_not_be(refused: Program, tiny: Config) -> None:
    Path("file").write_text("")
    line = refused("train.py", "--config", written(tiny), "--workdir", "file")
    assert "--workdir file" in line


def test_evaluating_where_no_run_is(refused: Program, tiny: Config) -> None:
    assert "none holds no run" in refused("eval.py", "--config", written(tiny), "--workdir", "none")
    claim(Path("run"), tiny)
    assert "run has no latest checkpoint yet" in refused(
        "eval.py", "--config", written(tiny), "--workdir", "run"
    )


def test_embeddings_that_are_not_there(refused: Program) -> None:
    assert "can't read none.npz" in refused("eval.py", "--embeddings", "none.npz")
    refused("eval.py", "--embeddings")
    Path("text.npz").write_text("hello")
    assert "text.npz is not an npz file" in refused("eval.py", "--embeddings=text.npz")


def test_an_unknown_verb(refused: Program) -> None:
    assert "no verb nosuchverb; there are prepare" in refused("pmm_jax", "nosuchverb")


@pytest.mark.parametrize("name", ["train.py", "eval.py", "pmm_jax"])
def test_help_is_no_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    project: Path,
    name: str,
) -> None:
    verb = ["prepare"] if name == "pmm_jax" else []
    monkeypatch.setattr(sys, "argv", [name, *verb, "--help"])
    with pytest.raises(SystemExit) as end:
        start(project, name)
    assert not end.value.code
    said = capsys.readouterr()
    assert said.err == ""
    for group, fields in asdict(Config()).items():
        for field in fields:
            assert f"--{group}.{field}".replace("_", "-") in said.out


def run_program(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "pmm_jax", "nosuchverb"],
        ["train.py", "--config", "configs/demo.py", "--data.root", "no/such/folder"],
    ],
)
def test_as_a_process_of_its_own(project: Path, tmp_path: Path, arguments: list[str]) -> None:
    if arguments[0] == "train.py":
        arguments = [*arguments, "--workdir", str(tmp_path), "--data.prepared", str(tmp_path)]
    done = run_program(project, *arguments)
    assert done.returncode == 2
    assert re.fullmatch(r"error: .+\n", done.stderr)
    assert done.stdout == ""


def test_the_config_file_written_here_says_the_same(tiny: Config) -> None:
    found = runpy.run_path(written(tiny))["config"]
    assert found == tiny
    assert isinstance(found.data, DataConfig)
