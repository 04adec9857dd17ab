"""`pmm embed`: what can't be embedded is one line; its options reach the work."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.cli.embed import embed_command
from pmm_jax.embedding import embed_source
from pmm_jax.embedding_table import read_table
from tests.cli.entry import Program


@pytest.fixture(autouse=True)
def images() -> None:
    Path("images").mkdir()
    for i in range(5):
        Image.fromarray(np.full((4, 2, 3), i, np.uint8)).save(f"images/{i}.png")
    Path("notes.txt").write_text("hello")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a model, images and a file to write: pmm embed MODEL SOURCE OUT"),
        (["run", "images"], "needs a model, images and a file to write"),
        (["--skip-bad", "run", "images", "a.npz"], "needs a model, images and a file"),
        (["run", "images", "a.npz", "--skipbad"], "no field --skipbad; did you mean --skip-bad"),
        (["run", "images", "a.csv"], "a.csv: its name must end in .npz or .parquet"),
        (["run", "images", "a.npz", "--shard", "0/3"], "--shard 0/3: give I/N, such as 1/3"),
        (["run", "images", "a.npz", "--shard", "4/3"], "--shard 4/3: give I/N"),
        (["run", "images", "a.npz", "--shard", "3"], "--shard 3: give I/N"),
        (["run", "none", "a.npz"], "there is no none; give a folder, a CSV file or a video"),
        (["run", "notes.txt", "a.npz"], "a video needs --detections"),
        (["run", "images", "a.npz"], "run: No such file"),
        (["--join", "a.npz"], "needs a file to write, and its shards: pmm embed --join"),
        (["--join", "a.npz", "none.npz"], "can't read none.npz"),
    ],
)
def test_what_people_mistype(refused: Program, words: list[str], said: str) -> None:
    assert said in refused("pmm_jax", "embed", *words)
    assert not list(Path().glob("a.*"))


class Toy:
    """A model whose embedding of an image is one of its pixels."""

    fingerprint = "a" * 64
    image_size = (4, 2)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmm_jax.api.load_any", lambda *_: Toy())
    monkeypatch.setattr(embed_source, "embedder", lambda *_: lambda images: images[:, 0, 0])


@pytest.mark.usefixtures("toy")
def test_bad_images_are_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    Path("images/3.png").write_text("none")
    embed_command(["run", "images", "a.npz", "--skip-bad"])
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "a.npz: 4 images, embeddings of 3 numbers; 1 left out"
    assert said.err.startswith("left out: image ")
    assert "3.png can't be decoded" in said.err
    assert read_table(Path("a.npz")).features[:, 0].tolist() == [0, 1, 2, 4]


@pytest.mark.usefixtures("toy")
def test_shards_and_their_join(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        embed_command(
            ["run", "images", f"{number}.npz", f"--shard={number}/2", "--batch-size", "2"]
        )
    assert [len(read_table(Path(f"{number}.npz"))) for number in (1, 2)] == [2, 3]
    capsys.readouterr()
    embed_command(["--join", "a.parquet", "2.npz", "1.npz"])
    assert capsys.readouterr().out == "a.parquet: 5 images of 2 shards\n"
    assert read_table(Path("a.parquet")).features[:, 0].tolist() == [0, 1, 2, 3, 4]
