"""Config fields and files that are wrong: one line, exit code 2, never a traceback."""

from pathlib import Path

import pytest

from tests.cli.entry import Program, config_file


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
        ("1 / 0\n", ["ZeroDivisionError: division by zero"]),
        ("class A: pass\nA(x=3)\n", ["A() takes no arguments"]),
        (
            "class A:\n    def __init__(self): ...\nA(x=3)\n",
            ["unexpected keyword argument 'x'"],
        ),
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
        (
            ["--method.block", "0", "2"],
            ["method.block is (0, 2)", "each must lie between"],
        ),
        (["--method.top-k", "33"], ["method.top_k 33", "between 1 and 32", "24x8"]),
        (["--method.top-k", "0"], ["method.top_k is 0", "between 1 and"]),
        (["--data.erase-size", "129"], ["data.erase_size 129", "at most 128"]),
        (["--optim.eps", "0"], ["optim.eps is 0.0", "between 1e-16 and 1"]),
        (["--optim.decay-epochs", "300", "200"], ["300 and 200", "ascend"]),
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
