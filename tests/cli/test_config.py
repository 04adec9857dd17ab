"""Config fields and files that are wrong: one line, exit code 2, never a traceback."""

import os
from pathlib import Path

import pytest

from pmm_jax.cli.config_file import load_config, shipped_configs
from pmm_jax.config import Config
from tests.cli.entry import IMPORTS, Program, config_file


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


@pytest.mark.parametrize("name", ["train.py", "eval.py"])
def test_a_misspelt_config_is_not_called_missing(refused: Program, name: str) -> None:
    line = refused(name, "--confg", "configs/demo.py")
    assert "no field --confg; did you mean --config?" in line


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


def test_a_config_is_required(refused: Program) -> None:
    assert "--config FILE is missing" in refused("train.py")
    assert "x holds no run" in refused("eval.py", "--workdir", "x")
    assert "--config FILE is missing" in refused("pmm_jax", "prepare")


def test_an_unknown_config_file(refused: Program) -> None:
    Path("configs").mkdir()
    config_file(name="configs/demo.py")
    line = refused("train.py", "--config", "configs/dmo.py")
    assert "configs/dmo.py: no such file; did you mean configs/demo.py?" in line
    assert "there are configs/demo.py, cuhk03, demo, duke" in refused("train.py", "--config", "zzz")
    line = refused("train.py", "--config", "configs/market151.py")
    assert "did you mean market1501?" in line


def test_a_shipped_config_by_its_bare_name_anywhere(refused: Program, project: Path) -> None:
    """This is an empty folder. A file of that name comes first, a folder doesn't."""
    assert set(shipped_configs()) == {path.stem for path in (project / "configs").glob("*.py")}
    for name, path in shipped_configs().items():
        assert load_config(name) == load_config(str(path))
    assert load_config("duke").method.top_k == 6
    Path("duke").mkdir()
    assert load_config("duke").method.top_k == 6
    config_file("Config(method=MethodConfig(top_k=7))", "demo")
    assert load_config("demo").method.top_k == 7
    line = refused("pmm_jax", "prepare", "--config", "market1501", "--data.root", "nowhere")
    assert "data.root nowhere does not exist" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 3\n", ["must define config = Config(...)"]),
        ("config = (\n", ["line 1"]),
        ("import no_such_module\n", ["no_such_module"]),
        ("1 / 0\n", ["ZeroDivisionError: division by zero"]),
        ("class A: pass\nA(x=3)\n", ["A() takes no arguments"]),
        (
            "class A:\n    def __init__(self): ...\nA(x=3)\n",
            ["unexpected keyword argument 'x'"],
        ),
        ("raise SystemExit(0)\n", ["SystemExit: 0"]),
        ("import sys\nsys.exit()\n", ["SystemExit"]),
        ("exit(3)\n", ["SystemExit: 3"]),
        ("raise KeyboardInterrupt\n", ["KeyboardInterrupt"]),
        ("raise GeneratorExit\n", ["GeneratorExit"]),
        ("def f(): f()\nf()\n", ["RecursionError"]),
        ("raise ValueError('two\\nlines \\x1b[31m')\n", [r"ValueError: two lines \x1b[31m"]),
        (
            "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E\n",
            ["E: <exception str() failed>"],
        ),
        ("config = 3\n", ["must define config = Config(...)"]),
        ("from pmm_jax.config import Config\nconfig = Config\n", ["must define config"]),
        ("from pmm_jax.config import Config\nconfig = Config(data=3)\n", ["data is 3"]),
        ("from pmm_jax.config import *\nconfig = Config(DataConfig(root=b'x'))\n", ["b'x'"]),
        (
            "from pmm_jax.config import *\nconfig = Config(DataConfig('folder', 'a\\0b'))\n",
            ["root"],
        ),
        ("x = 1\0\n", ["run.py"]),
    ],
)
def test_a_file_that_is_no_config(refused: Program, content: str, words: list[str]) -> None:
    Path("run.py").write_text(content)
    line = refused("train.py", "--config", "run.py")
    for word in ["run.py", *words]:
        assert word in line


def test_a_file_that_is_no_text_or_no_file(refused: Program) -> None:
    Path("binary.py").write_bytes(bytes(range(256)))
    assert "binary.py" in refused("train.py", "--config", "binary.py")
    Path("latin.py").write_bytes("name = 'Zürich'".encode("latin-1"))
    line = refused("train.py", "--config", "latin.py")
    assert "latin.py" in line
    assert "not Python" in line
    Path("large.py").write_bytes(b"#" * 2**21)
    assert "large.py has more than 1,048,576 bytes" in refused("train.py", "--config", "large.py")
    Path("folder.py").mkdir()
    assert "folder.py is a folder" in refused("train.py", "--config", "folder.py")
    os.mkfifo("pipe.py")
    assert "pipe.py is a named pipe" in refused("train.py", "--config", "pipe.py")
    assert "/dev/zero is a device" in refused("train.py", "--config", "/dev/zero")
    assert "no such file" in refused("train.py", "--config", "")
    assert "can't be read" in refused("train.py", "--config", "a\0b")
    line = refused("train.py", "--config", f"{config_file()}/x.py")
    assert "Not a directory" in line


def test_what_a_file_prints_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.py").write_text(f"{IMPORTS}print('hello')\nconfig = Config()\n")
    assert load_config("run.py") == Config()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "hello\n")


def test_a_wrong_value_in_a_file_names_the_file(refused: Program) -> None:
    line = refused("train.py", "--config", config_file("Config(train=TrainConfig(epochs=0))"))
    assert "run.py: train.epochs is 0; it must lie between 1 and" in line


def test_options_outside_the_config_have_ranges_too(refused: Program) -> None:
    path = config_file()
    assert "process is -2" in refused("train.py", "--config", path, "--process=-2")
    assert "processes is 99999" in refused("eval.py", "--config", path, "--processes", "99999")
    assert "query_block is 0" in refused("eval.py", "--embeddings", "x.npz", "--query-block", "0")
    assert "qe_alpha is inf" in refused("eval.py", "--embeddings", "x.npz", "--qe-alpha", "inf")
    assert "seeds is (0, -1)" in refused(
        "pmm_jax", "ablate", "--config", path, "--seeds", "0", "-1"
    )
    assert "cameras is 10" in refused("pmm_jax", "synthesize", "x", "--cameras", "10")
    assert "workdir is empty" in refused("train.py", "--config", path, "--workdir=")


def test_a_switch_of_an_entry_points_own_can_be_turned_off(refused: Program) -> None:
    assert "none.npz" in refused("eval.py", "--embeddings", "none.npz", "--no-json", "--no-roc")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data.image-size", "250", "128"], ["height 250", "16 x block height 3", "240 or 288"]),
        (["--data.image-size", "384", "100"], ["width 100", "96 or 128"]),
        (["--data.image-size", "384", "20"], ["width 20", "use 32 "]),
        (["--method.block", "5", "2"], ["height 384", "block height 5", "320 or 400"]),
        (
            ["--method.block", "0", "2"],
            ["method.block is (0, 2)", "each must lie between"],
        ),
        (["--method.top-k", "33"], ["method.top_k 33", "between 1 and 32", "24x8"]),
        (["--method.top-k", "0"], ["method.top_k is 0", "between 1 and"]),
        (["--data.erase-size", "129"], ["data.erase_size 129", "at most 128"]),
        (["--optim.eps", "0"], ["optim.eps is 0.0", "between 1e-16 and 1"]),
        (["--optim.milestones", "300", "200"], ["300 and 200", "ascend"]),
        (
            ["--data.image-size", "96", "8", "--method.name", "baseline"],
            ["(96, 8)", "between 16 and"],
        ),
        (["--train.epochs", "0"], ["train.epochs is 0", "between 1 and"]),
        (["--optim.peak-lr", "nan"], ["optim.peak_lr is nan"]),
        (["--data.flip-probability", "1.5"], ["data.flip_probability is 1.5", "between 0 and 1"]),
        (["--data.identities-per-batch", "1"], ["data.identities_per_batch is 1", "between 2 and"]),
        (
            ["--data.identities-per-batch", "4096", "--data.images-per-identity", "8"],
            ["32,768 images of 384x128", "at most 14,563", "data.identities_per_batch"],
        ),
        (["--evaluate.batch-size", "16000"], ["16,000 images", "evaluate.batch_size"]),
    ],
)
def test_numbers_that_do_not_fit(refused: Program, arguments: list[str], words: list[str]) -> None:
    line = refused("train.py", "--config", config_file(), *arguments)
    for word in words:
        assert word in line


def test_a_method_without_blocks_takes_any_size(refused: Program) -> None:
    free = ["--method.name", "baseline", "--data.image-size", "250", "100", "--data.erase-size"]
    rest = ["120", "--data.erase-probability", "0", "--data.root", "nowhere"]
    line = refused("train.py", "--config", config_file(), *free, *rest)
    assert "data.root nowhere does not exist" in line


def test_all_blocks_and_the_whole_width_are_allowed(refused: Program) -> None:
    limits = ["--method.top-k", "32", "--data.erase-size", "128", "--data.root", "nowhere"]
    assert "nowhere" in refused("train.py", "--config", config_file(), *limits)
