"""A file of embeddings: whole or in shards, in one go or several."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.display import Display
from pmm_jax.embedding import embed_file, embed_source
from pmm_jax.embedding.embed_file import (
    Embedded,
    EmbedSettings,
    embed_to_file,
    join_tables,
    shard_rows,
)
from pmm_jax.embedding_table import read_table
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from pmm_jax.sources import open_source

COUNT = 22
BATCH = 2


class Toy:
    """A model whose embedding of an image is some of its pixels."""

    def __init__(self, name: str = "a") -> None:
        self.fingerprint = name * 64
        self.image_size = (4, 2)


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of batches embedded, one item each; parts are of two batches."""
    batches: list[int] = []

    def embedder(model: Toy, batch_size: int) -> Callable[[np.ndarray], np.ndarray]:
        def run(images: np.ndarray) -> np.ndarray:
            batches.append(len(images))
            return images.reshape(len(images), -1)[:, :5].astype(np.float32)

        return run

    monkeypatch.setattr(embed_source, "embedder", embedder)
    monkeypatch.setattr(embed_file, "PART", 2 * BATCH)
    return batches


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A CSV file of images."""
    rng = np.random.default_rng(0)
    lines = ["path,id,place"]
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (4, 2, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i // 3},{'a' * i}")
    (tmp_path / "images.csv").write_text("\n".join(lines))
    return tmp_path / "images.csv"


def embed(
    images: Path, name: str, toy: Toy | None = None, display: Display | None = None, **settings: Any
) -> Embedded:
    model: Any = toy or Toy()
    return embed_to_file(
        model,
        open_source(str(images)),
        images.with_name(name),
        EmbedSettings(BATCH, **settings),
        display or Display(quiet=True),
    )


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_file_holds_all_columns_and_the_model(images: Path, ending: str) -> None:
    found = embed(images, f"a{ending}")
    assert found == (COUNT, 5, {})
    table = read_table(images.with_name(f"a{ending}"))
    assert table.fingerprint == "a" * 64
    assert table.shard is None
    assert table.columns["id"].tolist() == [i // 3 for i in range(COUNT)]
    assert table.columns["place"].tolist() == ["a" * i for i in range(COUNT)]
    for path, features in zip(table.columns["path"], table.features, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)).ravel()[:5], features)
    assert not list(images.parent.glob("*.parts"))


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
@pytest.mark.parametrize("shards", [2, 3, 11])
def test_shards_joined_are_one_run(images: Path, ending: str, shards: int) -> None:
    (images.parent / "4.png").write_text("none")
    embed(images, f"whole{ending}", skip_bad=True)
    files = []
    for number in range(1, shards + 1):
        # Of the other kind, too.
        files.append(images.with_name(f"s{number}{('.parquet', '.npz')[number % 2]}"))
        embed(images, files[-1].name, shard=(number, shards), skip_bad=True)
        assert read_table(files[-1]).shard == (number, shards)
    count = join_tables(images.with_name(f"joined{ending}"), files[::-1])
    assert count == COUNT - 1
    joined, whole = (images.with_name(f"{name}{ending}") for name in ("joined", "whole"))
    assert joined.read_bytes() == whole.read_bytes()


def test_shards_that_do_not_belong_together(images: Path) -> None:
    embed(images, "whole.npz")
    for number in (1, 2):
        embed(images, f"{number}.npz", shard=(number, 2))
    embed(images, "other.npz", Toy("b"), shard=(2, 2))
    out, one, two, other, whole = (
        images.with_name(f"{name}.npz") for name in ("out", "1", "2", "other", "whole")
    )
    for files, said in (
        ([one], "shard 2/2 is missing"),
        ([one, one], "is shard 1, as a file before it"),
        ([one, other], "other.npz is no shard of the source that"),
        ([whole, one, two], "whole.npz is no shard"),
    ):
        with pytest.raises(UserError, match=said):
            join_tables(out, files)
    assert not out.exists()


@pytest.mark.parametrize("shards", [1, 2, 3, 11])
def test_shards_are_whole_batches(shards: int) -> None:
    found = [shard_rows(COUNT - 1, EmbedSettings(BATCH, (i + 1, shards))) for i in range(shards)]
    assert np.concatenate(found).tolist() == list(range(COUNT - 1))
    assert all(len(rows) and rows[0] % BATCH == 0 for rows in found)


@pytest.mark.parametrize(
    ("shard", "said"), [((3, 2), "no shard 3/2"), ((1, 12), "at most, not 12")]
)
def test_shards_that_there_are_not(images: Path, shard: tuple[int, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        embed(images, "a.npz", shard=shard)
    assert not images.with_name("a.npz.parts").exists()


class Stopped(Exception):
    """In place of a signal."""


def stopped(monkeypatch: pytest.MonkeyPatch, images: Path, parts: int) -> None:
    """Embed, and be stopped after so many parts."""
    real, left = embed_file.write_part, [None] * parts

    def write_part(*words: Any) -> None:
        if not left:
            raise Stopped
        left.pop()
        real(*words)

    with monkeypatch.context() as patched:
        patched.setattr(embed_file, "write_part", write_part)
        with pytest.raises(Stopped):
            embed(images, "a.npz")


def test_what_was_stopped_goes_on(
    images: Path, embedded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(images, "whole.npz")
    batches = len(embedded)
    stopped(monkeypatch, images, 3)
    assert not images.with_name("a.npz").exists()
    del embedded[:]
    (images.with_name("a.npz.parts") / "000009-0.npz.77.partial").write_text("of a dead process")
    embed(images, "a.npz")
    assert len(embedded) == batches - 3 * 2
    assert images.with_name("a.npz").read_bytes() == images.with_name("whole.npz").read_bytes()
    assert not images.with_name("a.npz.parts").exists()


@pytest.mark.parametrize("change", ["model", "image", "order"])
def test_parts_of_something_else_are_made_anew(
    images: Path,
    embedded: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    stopped(monkeypatch, images, 3)
    if change == "image":
        Image.new("RGB", (2, 4)).save(images.parent / "5.png")
    elif change == "order":
        first, *lines = images.read_text().splitlines()
        images.write_text("\n".join([first, *lines[::-1]]))
    del embedded[:]
    model = Toy("b" if change == "model" else "a")
    embed(images, "a.npz", model, Display())
    stale = 1 if change == "image" else 3
    assert f"{stale} parts are of another model" in capsys.readouterr().out.replace("\n", " ")
    assert len(embedded) == COUNT // BATCH - 2 * (3 - stale)
    embed(images, "whole.npz", model)
    assert images.with_name("a.npz").read_bytes() == images.with_name("whole.npz").read_bytes()


def test_bad_images_are_all_named_at_the_end_and_then_left_out(
    images: Path, embedded: list[int]
) -> None:
    for i in (3, 4, 9, 17):
        (images.parent / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(UserError, match=r"4 of 22 images .*3.png.*4.png.*9.png.*; \.\.\.; mend"):
        embed(images, "a.npz")
    assert not images.with_name("a.npz").exists()
    del embedded[:]
    found = embed(images, "a.npz", skip_bad=True)
    assert (found.images, sorted(found.bad)) == (COUNT - 4, [3, 4, 9, 17])
    assert not embedded
    ids = [i // 3 for i in range(COUNT) if i not in found.bad]
    assert read_table(images.with_name("a.npz")).columns["id"].tolist() == ids


def test_images_that_are_not_there_are_named_before_any_work(
    images: Path, embedded: list[int]
) -> None:
    for i in (3, 4):
        (images.parent / f"{i}.png").unlink()
    with pytest.raises(UserError, match=r"2 of 22 images .*3.png: No such file"):
        embed(images, "a.npz")
    assert not embedded
    assert embed(images, "a.npz", skip_bad=True).images == COUNT - 2


def test_nothing_but_bad_images(images: Path) -> None:
    for i in range(COUNT):
        (images.parent / f"{i}.png").write_text("")
    with pytest.raises(UserError, match="22 of 22 images can't be used"):
        embed(images, "a.npz", skip_bad=True)


def test_two_processes_do_not_write_one_file(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def write_part(*words: Any) -> None:
        with pytest.raises(UserError, match=r"another process is writing .*a.npz; wait"):
            embed(images, "a.npz")
        refused.append(words)
        raise Stopped

    monkeypatch.setattr(embed_file, "write_part", write_part)
    with pytest.raises(Stopped):
        embed(images, "a.npz")
    assert len(refused) == 1


@pytest.mark.slow
def test_killed_in_the_middle_the_command_goes_on(tmp_path: Path, project: Path) -> None:
    """A process of its own for each go, twice killed: half a minute."""
    network = create_network(
        ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.0625, embedding_size=16), "baseline", 5
    )
    Model("baseline", network, *init_params(network, 0), (384, 128)).save(
        tmp_path / "m.safetensors"
    )
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2400):
        pixels = rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{i}.png")

    def start(out: str) -> subprocess.Popen[bytes]:
        words = ["embed", "m.safetensors", "images", out]
        environment = os.environ | {"PYTHONPATH": str(project)}
        return subprocess.Popen(
            [sys.executable, "-m", "pmm_jax", *words], cwd=tmp_path, env=environment
        )

    for parts in (1, 3):
        process = start("a.npz")
        while len(list(tmp_path.glob("a.npz.parts/*.npz"))) < parts:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "a.npz").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("a.npz.parts/*.npz")}
    assert len(kept) >= 3
    assert start("a.npz").wait() == 0
    assert start("whole.npz").wait() == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["a.npz", "images", "m.safetensors", "whole.npz"]
