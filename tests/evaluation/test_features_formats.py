"""Files of other programs give the figures that ours do."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pmm_jax.embedding_table import EmbeddingTable, write_table
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, load_features

SIDES = ("query", "gallery")


def sides() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return {
        "query": {
            "features": rng.normal(size=(3, 8)).astype(np.float32),
            "ids": np.array([1, 2, 3]),
            "cameras": np.array([1, 1, 2]),
        },
        "gallery": {
            "features": rng.normal(size=(5, 8)).astype(np.float32),
            "ids": np.array([1, 2, 3, 0, -1]),
            "cameras": np.array([2, 2, 1, 1, 1]),
        },
    }


def check(found: tuple[Embeddings, Embeddings], has_cameras: bool = True) -> None:
    for read, written in zip(found, sides().values(), strict=True):
        np.testing.assert_array_equal(read.features, written["features"])
        np.testing.assert_array_equal(read.identities, written["ids"])
        if has_cameras:
            np.testing.assert_array_equal(read.cameras, written["cameras"])
        else:
            assert (read.cameras < 0).all()


def layumi() -> dict[str, object]:
    """As Person_reID_baseline_pytorch's test.py makes it: labels are lists of int."""
    return {
        f"{side}_{theirs}": arrays[ours] if ours == "features" else arrays[ours].tolist()
        for side, arrays in sides().items()
        for ours, theirs in (("features", "f"), ("ids", "label"), ("cameras", "cam"))
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_pytorch_result_mat(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "pytorch_result.mat"
    savemat(path, layumi() | {"gallery_path": ["a"] * 5}, do_compression=compressed)
    check(load_features(path))
    savemat(path, {name: value for name, value in layumi().items() if "cam" not in name})
    check(load_features(path), has_cameras=False)


def test_a_mat_file_that_lacks_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for name in ("gallery_f", "query_label", "query_cam"):
        savemat(path, {key: value for key, value in layumi().items() if key != name})
        with pytest.raises(UserError, match=f"lacks {name}"):
            load_features(path)
    savemat(path, layumi() | {"query_label": [1, 2]})
    with pytest.raises(UserError, match=r"query_label has shape \(2,\); it must be \(3,\)"):
        load_features(path)


def test_a_damaged_mat_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, layumi(), do_compression=True)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for size in rng.integers(0, len(whole), 25).tolist():
        path.write_bytes(whole[:size])
        with pytest.raises(UserError) as caught:
            load_features(path)
        assert "\n" not in str(caught.value)
    refused = 0
    for place in rng.integers(0, len(whole), 60).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(UserError):  # nothing else
            load_features(path)
            continue
        refused += 1
    assert refused > 30


def test_variables_of_torchreid(tmp_path: Path) -> None:
    names = {"features": "{}f", "ids": "{}_pids", "cameras": "{}_camids"}
    arrays = {
        names[kind].format(side[0]): array
        for side, kinds in sides().items()
        for kind, array in kinds.items()
    }
    np.savez(tmp_path / "a.npz", allow_pickle=False, **arrays)
    check(load_features(tmp_path / "a.npz"))
    del arrays["g_pids"]
    np.savez(tmp_path / "a.npz", allow_pickle=False, **arrays)
    with pytest.raises(UserError, match="lacks g_pids"):
        load_features(tmp_path / "a.npz")


def table(**columns: np.ndarray) -> EmbeddingTable:
    both = {
        kind: np.concatenate([sides()[side][kind] for side in SIDES])
        for kind in ("features", "ids", "cameras")
    }
    paths = np.array([f"{i}.jpg" for i in range(8)])
    known = {"path": paths, "id": both["ids"], "camera": both["cameras"], **columns}
    return EmbeddingTable(both["features"], known, "f" * 64)


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_table_with_splits(tmp_path: Path, ending: str) -> None:
    split = np.array(["Query"] * 3 + ["gallery"] * 5)
    write_table(tmp_path / f"a{ending}", table(split=split))
    query, gallery = load_features(tmp_path / f"a{ending}")
    check((query, gallery))
    assert query.paths is not None
    assert query.paths.tolist() == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_table_without_splits_is_searched_for_each_of_its_images(
    tmp_path: Path, ending: str
) -> None:
    write_table(tmp_path / f"a{ending}", table(split=np.array(["train"] * 8)))
    query, gallery = load_features(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(query.identities, [1, 2, 3, 1, 2, 3, 0, -1])
    np.testing.assert_array_equal(gallery.identities, query.identities)


def test_a_table_of_nobody_knows_who_is_refused(tmp_path: Path) -> None:
    known = table()
    del known.columns["id"]
    write_table(tmp_path / "a.parquet", known)
    with pytest.raises(UserError, match="has no column id"):
        load_features(tmp_path / "a.parquet")
