"""`pmm explain`: what can't be explained is one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.cli.explain import explain_command, parse_words
from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from tests.cli.entry import Program

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125)


@pytest.fixture(autouse=True)
def two_images() -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((8, 4, 3), 99, np.uint8)).save(name)
    Path("notes.txt").write_text("hello")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a model and images: pmm explain"),
        (["run"], "needs a model and images"),
        (["run", "--pair", "a.png"], "needs a model and two images"),
        (["run", "--pair", "a.png", "b.png", "a.png"], "needs a model and two images"),
        (["--pair", "a.png", "b.png"], "needs a model and two images"),
        (["run", "--pairs", "a.png", "b.png"], "has no option --pairs"),
        (["run", "a.png", "--out"], "--out needs a value"),
        (["run", "a.png", "--out", "page.png"], "must end in .html, or in / for a folder"),
        (["run", "a.png", "--out", "notes.txt"], "is a file"),
        (["run", "a.png", "--out", "none/page.html"], "there is no folder none"),
        (["run", "none.png"], "can't read image none.png: No such file"),
        (["run", "notes.txt"], "image notes.txt can't be decoded"),
        (["run", "."], ". is a folder, not an image: pmm explain MODEL"),
        (["a.png", "."], ". is a folder, not an image: pmm explain MODEL"),
        (["none", "a.png"], "none: No such file"),
        ([".", "a.png"], "holds no run"),
        (["notes.txt", "a.png"], "neither a safetensors nor a PyTorch file"),
    ],
)
def test_what_people_mistype(refused: Program, words: list[str], said: str) -> None:
    assert said in refused("pmm_jax", "explain", *words)
    assert not Path("explain.html").exists()


def test_words() -> None:
    assert parse_words(["run", "a", "b"]) == ("run", ["a", "b"], False, Path("explain.html"))
    either = parse_words(["run", "--pair", "a", "b", "--out=x.html"])
    assert either == parse_words(["--out", "x.html", "--pair", "a", "b", "run"])
    assert either == ("run", ["a", "b"], True, Path("x.html"))
    assert parse_words(["run", "a", "--out", "v1.0/"]).out == Path("v1.0")


@pytest.fixture
def trunk() -> str:
    network = create_network(SIZES, "trunk", 1)
    Model("trunk", network, *init_params(network, 0), (384, 128)).save("trunk.safetensors")
    return "trunk.safetensors"


def test_a_bare_trunk_knows_no_identities(trunk: str) -> None:
    with pytest.raises(UserError, match="a bare ResNet-50, which knows no identities; use --pair"):
        explain_command([trunk, "a.png"])


@pytest.mark.slow
def test_a_bare_trunk_explains_pairs(trunk: str, capsys: pytest.CaptureFixture[str]) -> None:
    explain_command([trunk, "--pair", "a.png", "b.png", "--out", "page.html"])
    said = capsys.readouterr().out
    assert "distance 0, cosine 1.0000" in said
    assert "Mean of the map 100.0 %" in said
    assert Path("page.html").read_text().count("<img ") == 2 * (1 + 1)
