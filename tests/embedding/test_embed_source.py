"""Embeddings of a source are those of `Model.embed`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.display import Display
from pmm_jax.embedding import embed_source as embed_source_module
from pmm_jax.embedding.embed_source import embed_source, embedding_table_of
from pmm_jax.embedding_table import EmbeddingTable, write_table
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from pmm_jax.pixels import pixels
from pmm_jax.sources import open_source

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)


@pytest.fixture(scope="module")
def model() -> Model:
    network = create_network(SIZES, "trunk", 5)
    return Model("trunk", network, *init_params(network, 0), (32, 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven JPEG files of several sizes, the last one damaged."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(7):
        pixels = rng.integers(0, 256, (90 + i, 40 - i, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    data = (folder / "6.jpg").read_bytes()
    (folder / "6.jpg").write_bytes(data[: len(data) // 2])
    return folder


def test_rows_in_order_and_to_the_bit(model: Model, folder: Path) -> None:
    source = open_source(str(folder))
    blocks = list(embed_source(model, source, np.arange(7), 4))
    assert [block.rows.tolist() for block in blocks] == [[0, 1, 2, 3], [4, 5]]
    assert list(blocks[1].bad) == [6]
    assert "6.jpg can't be decoded" in blocks[1].bad[6]
    features = np.concatenate([block.features for block in blocks])
    paths = source.columns["path"][:6].tolist()
    np.testing.assert_array_equal(features, model.embed(paths, batch_size=4))
    # Nor does it matter what else is embedded.
    (some,) = embed_source(model, source, np.array([2, 5]), 4)
    np.testing.assert_array_equal(some.features, features[[2, 5]])


def test_a_table_of_images_is_refused_where_one_is_bad(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_source_module, "embedder", lambda *_: lambda images: images[:, 0, 0])
    with pytest.raises(UserError, match=r"1 of 7 images can't be used: .*6.jpg.*--skip-bad"):
        embedding_table_of(str(folder), model, Display(quiet=True))


def test_a_table_of_images(
    model: Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_source_module, "embedder", lambda *_: lambda images: images[:, 0, 0])
    (tmp_path / "a.csv").write_text(f"path,id\n{folder}/1.jpg,7\n{folder}/0.jpg,8\n")
    table = embedding_table_of(str(tmp_path / "a.csv"), model, Display())
    assert (table.columns["id"].tolist(), table.fingerprint) == ([7, 8], model.fingerprint)
    expected = [pixels(folder / name, model.image_size)[0, 0] for name in ("1.jpg", "0.jpg")]
    np.testing.assert_array_equal(table.features, expected)


def test_a_table_of_a_file_is_that_models(model: Model, tmp_path: Path) -> None:
    columns = {"path": np.array(["a", "b"])}
    for name, fingerprint in (("a", model.fingerprint), ("b", "0" * 64), ("c", None)):
        table = EmbeddingTable(np.ones((2, 3), np.float32), columns, fingerprint)
        write_table(tmp_path / f"{name}.npz", table)
    assert len(embedding_table_of(str(tmp_path / "a.npz"), model, Display(quiet=True))) == 2
    with pytest.raises(UserError, match="another model embedded it"):
        embedding_table_of(str(tmp_path / "b.npz"), model, Display(quiet=True))
    with pytest.raises(UserError, match="no model is named"):
        embedding_table_of(str(tmp_path / "c.npz"), model, Display(quiet=True))


def test_a_batch_that_devices_cannot_share(model: Model, folder: Path) -> None:
    with pytest.raises(UserError, match=r"a batch of 0 images .*--batch-size"):
        next(embed_source(model, open_source(str(folder)), np.arange(7), 0))
