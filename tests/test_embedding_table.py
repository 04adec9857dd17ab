from pathlib import Path

import numpy as np
import pytest

from pmm_jax.embedding_table import ENDINGS, EmbeddingTable, read_table, write_table
from pmm_jax.errors import UserError
from pmm_jax.evaluation import load_features


def toy(**columns: np.ndarray) -> EmbeddingTable:
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    paths = np.array([f"{i}.jpg" for i in range(6)])
    return EmbeddingTable(features, {"path": paths, **columns}, "a" * 64)


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path: Path, ending: str) -> None:
    written = toy(id=np.arange(6), name=np.array(list("äbcdef")), x=np.linspace(0, 1, 6))
    files = [tmp_path / f"{name}{ending}" for name in "ab"]
    for file in files:
        write_table(file, written)
    assert files[0].read_bytes() == files[1].read_bytes()
    found = read_table(files[0])
    assert found.fingerprint == written.fingerprint
    np.testing.assert_array_equal(found.features, written.features)
    assert found.features.dtype == np.float32
    assert set(found.columns) == set(written.columns)
    for name, column in written.columns.items():
        np.testing.assert_array_equal(found.columns[name], column)
        assert found.columns[name].dtype == column.dtype


def test_eval_reads_the_npz(tmp_path: Path) -> None:
    written = toy(id=np.repeat([1, 2, 3], 2), camera=np.arange(6) % 2)
    write_table(tmp_path / "a.npz", written)
    query, gallery = load_features(tmp_path / "a.npz")
    np.testing.assert_array_equal(query.features, written.features)
    np.testing.assert_array_equal(gallery.cameras, written.columns["camera"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_file_is_refused(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a{ending}"
    with pytest.raises(UserError, match="can't read"):
        read_table(file)
    file.write_bytes(b"no table")
    with pytest.raises(UserError, match=r"is no parquet file|is not an npz file"):
        read_table(file)


@pytest.mark.parametrize("name", ["features", "ids", "embedding"])
def test_a_reserved_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"can't be called {name}"):
        write_table(tmp_path / "a.npz", toy(**{name: np.arange(6)}))


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="lacks the column embedding"):
        read_table(tmp_path / "a.parquet")
