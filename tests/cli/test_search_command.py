"""`pmm gallery` and `pmm search`, from a table of embeddings to results."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.cli.gallery import gallery_command
from pmm_jax.cli.search import parse_words, search_command
from pmm_jax.config import ModelConfig
from pmm_jax.embedding_table import EmbeddingTable, write_table
from pmm_jax.errors import UserError
from pmm_jax.export.model_file import export_model
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from tests.cli.entry import Program

NAMES = [f"{number}.png" for number in range(5)]


@pytest.fixture(scope="module")
def model() -> Model:
    sizes = ModelConfig(stage_sizes=(1, 1, 1, 1), width=1 / 8, embedding_size=16)
    network = create_network(sizes, "baseline", 3)
    return Model("baseline", network, *init_params(network, 0), (32, 16))


@pytest.fixture
def folder(model: Model) -> None:
    """A model file, images, and what pmm embed would write of them."""
    export_model(model, Path("mine.safetensors"))
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (32, 16, 3), np.uint8)).save(name)
    columns = {"path": np.array(NAMES), "id": np.arange(5) // 2, "camera": np.arange(5) % 3}
    table = EmbeddingTable(model.embed(NAMES), columns, model.fingerprint)
    write_table(Path("some.npz"), table.take(np.arange(3)))
    write_table(Path("others.parquet"), table.take(np.arange(2, 5)))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_from_a_table_to_results(
    model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Compiled once.
    monkeypatch.setattr("pmm_jax.search.model.load_any", lambda _: model)
    gallery_command(["create", "mine", "--model", "mine.safetensors", "some.npz"])
    assert "3 images in mine" in said(capsys)
    gallery_command(["add", "mine", "others.parquet"])
    assert "2 new images, 1 replaced; 5 in mine" in said(capsys)
    with pytest.raises(UserError, match="the table lacks the column camera"):
        gallery_command(["add", "mine", "."])
    search_command(["mine", "1.png", "4.png", "--json", "--top=2", "--where", "camera != 2"])
    answers = [json.loads(line) for line in said(capsys).splitlines()]
    assert [answer["query"] for answer in answers] == ["1.png", "4.png"]
    first = answers[1]["results"][0]
    known = {"rank": 1, "path": "4.png", "identity": 2, "camera": 1, "decision": None}
    assert first == {**known, "distance": pytest.approx(0, abs=1e-3)}
    assert len(answers[0]["results"]) == 2
    gallery_command(["remove", "mine", "0.png", "--where", "id == 2"])
    assert "2 images removed; 3 left in mine" in said(capsys)
    search_command(["mine", "4.png"])
    shown = said(capsys)
    assert "1.png" in shown
    assert "decision" not in shown
    assert all(name not in shown.split(":", 1)[1] for name in ("0.png", "4.png"))
    search_command(["mine", "4.png", "--where", "id == 99"])
    assert "no image of the gallery is left" in said(capsys)
    gallery_command(["info", "mine"])
    told = said(capsys)
    assert str(Path("mine.safetensors").absolute()) in told
    assert model.fingerprint[:12] in told
    assert "path (text), camera (integers), id (integers)" in told


@pytest.mark.usefixtures("folder")
def test_the_gallery_says_which_model_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    gallery_command(["create", "mine", "--model", "mine.safetensors", "some.npz"])
    Path("mine.safetensors").rename("moved.safetensors")
    with pytest.raises(UserError, match=r"model can't be loaded .*; say where it is: --model"):
        search_command(["mine", "1.png"])
    said(capsys)
    search_command(["mine", "1.png", "--json", "--model", "moved.safetensors"])
    assert json.loads(said(capsys))["results"][0]["path"] == "1.png"


@pytest.mark.usefixtures("folder")
def test_a_folder_of_images_is_embedded(
    model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmm_jax.search.model.load_any", lambda _: model)
    gallery_command(["create", "mine", "--model", "mine.safetensors", "."])
    assert "5 images in mine" in said(capsys)
    Path("more").mkdir()
    Image.fromarray(np.full((32, 16, 3), 9, np.uint8)).save("more/9.png")
    gallery_command(["add", "mine", "more"])
    assert "1 new images, 0 replaced; 6 in mine" in said(capsys)
    search_command(["mine", "more/9.png", "--json", "--top", "1"])
    (result,) = json.loads(said(capsys))["results"]
    assert result["path"] == str(Path("more/9.png").absolute())
    assert result["identity"] is None


def test_words() -> None:
    words = parse_words(["g", "a", "--top", "3", "b", "--where=camera == 1", "--json"])
    assert words == ("g", ["a", "b"], 3, "camera == 1", True, None, None)
    assert parse_words(["g", "a", "--out", "x.html"]).out == Path("x.html")


GALLERY = [
    (["gallery"], "needs create, add, remove, info and a gallery"),
    (["gallery", "make", "g"], "needs create, add, remove, info"),
    (["gallery", "create", "g", "a.npz"], "needs --model MODEL"),
    (["gallery", "add", "g", "a.npz", "b.npz"], "takes a gallery and 1 word more, not 2"),
    (["gallery", "add", "g", "a.npz"], "g is no gallery; make one: pmm gallery create"),
    (["gallery", "remove", "g"], "needs paths, or --where CONDITION"),
    (["gallery", "info", "g", "--json"], "has no option --json"),
]
SEARCH = [
    (["search", "g"], "needs a gallery and images: pmm search GALLERY"),
    (["search", "g", "a.png", "--tops", "3"], "has no option --tops"),
    (["search", "g", "a.png", "--top", "0"], "--top 0: it must be a whole number of 1 to 1000"),
    (["search", "g", "a.png", "--top", "x"], "--top x: it must be a whole number"),
    (["search", "g", "a.png", "--out", "page.htm"], "must end in .html"),
    (["search", "g", "none.png"], "can't read image none.png"),
    (["search", "g", "a.png"], "g is no gallery"),
    (["search", "g", "a.png", "--where", "camera is 3"], "can't read the condition"),
]


@pytest.mark.parametrize(("words", "line"), GALLERY + SEARCH)
def test_what_people_mistype_there(refused: Program, words: list[str], line: str) -> None:
    Image.fromarray(np.full((8, 4, 3), 99, np.uint8)).save("a.png")
    assert line in refused("pmm_jax", *words)
    assert not Path("g").exists()
