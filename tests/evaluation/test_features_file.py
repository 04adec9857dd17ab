from pathlib import Path

import numpy as np
import pytest

from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import evaluate_distances, evaluate_embeddings, load_features
from pmm_jax.evaluation.measure import ranking, settled


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "query_features": rng.standard_normal((3, 8)).astype(np.float32),
        "query_ids": np.array([1, 2, 3]),
        "query_cameras": np.array([0, 0, 1], np.int32),
        "gallery_features": rng.standard_normal((5, 8)),
        "gallery_ids": np.array([1, 2, 3, 0, -1], np.int16),
        "gallery_cameras": np.array([1, 1, 1, 1, 1], np.uint8),
    }


def saved(path: Path, changed: dict[str, np.ndarray] | None = None) -> Path:
    np.savez(path, allow_pickle=True, **(arrays() | (changed or {})))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_features(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_round_trip(tmp_path: Path, save) -> None:  # type: ignore[no-untyped-def]
    written = arrays()
    save(tmp_path / "a.npz", **written, surplus=np.ones(2))
    query, gallery = load_features(str(tmp_path / "a.npz"))
    for side, read in (("query", query), ("gallery", gallery)):
        assert read.features.dtype == np.float32
        np.testing.assert_array_equal(read.features, written[f"{side}_features"].astype(np.float32))
        np.testing.assert_array_equal(read.identities, written[f"{side}_ids"])
        np.testing.assert_array_equal(read.cameras, written[f"{side}_cameras"])


@pytest.mark.parametrize("name", list(arrays()))
def test_missing_array_is_named(tmp_path: Path, name: str) -> None:
    rest = {key: value for key, value in arrays().items() if key != name}
    np.savez(tmp_path / "a.npz", allow_pickle=False, **rest)
    assert f"lacks {name};" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("name", list(arrays()))
def test_misshapen_array_is_named(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "a.npz", {name: arrays()[name][None]})
    assert f"{name} has shape (1, " in refusal(path)


@pytest.mark.parametrize("name", list(arrays()))
def test_wrong_type_is_named(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "a.npz", {name: np.full(arrays()[name].shape, "x")})
    assert f"{name} holds <U1" in refusal(path)


@pytest.mark.parametrize("name", list(arrays()))
def test_pickled_objects_are_never_loaded(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "a.npz", {name: arrays()[name].astype(object)})
    message = refusal(path)
    assert f"{name} can't be read" in message
    assert "pickled objects are never loaded" in message


def test_nan_is_named_with_its_row(tmp_path: Path) -> None:
    features = arrays()["gallery_features"]
    features[2, 1] = np.nan
    path = saved(tmp_path / "a.npz", {"gallery_features": features})
    assert "gallery_features holds nan in row 2, column 1" in refusal(path)


def test_lengths_that_differ_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", {"gallery_features": np.ones((5, 7), np.float32)})
    assert "query_features has length 8 and gallery_features 7" in refusal(path)


def test_no_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.npz")
    assert "directory" in refusal(tmp_path).lower()


def test_not_an_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))
    assert "is not an npz file" in refusal(tmp_path / "a.npy")
    (tmp_path / "text.npz").write_text("hello")
    assert "is not an npz file" in refusal(tmp_path / "text.npz")
    (tmp_path / "empty.npz").touch()
    assert "is not an npz file" in refusal(tmp_path / "empty.npz")


def test_damaged(tmp_path: Path) -> None:
    content = bytearray(saved(tmp_path / "a.npz").read_bytes())
    content[130:140] = b"0123456789"
    (tmp_path / "a.npz").write_bytes(content)
    refusal(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(content[:-200])
    refusal(tmp_path / "a.npz")


def test_without_cameras_nothing_is_removed(tmp_path: Path) -> None:
    rest = {key: value for key, value in arrays().items() if "cameras" not in key}
    np.savez(tmp_path / "a.npz", allow_pickle=False, **rest)
    query, gallery = load_features(tmp_path / "a.npz")
    assert not np.isin(query.cameras, gallery.cameras).any()


@pytest.mark.parametrize("has_cameras", [True, False])
def test_one_set_asks_itself(tmp_path: Path, has_cameras: bool) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((12, 4)).astype(np.float32)
    cameras = {"cameras": np.arange(12) % 3} if has_cameras else {}
    ids = np.arange(12) // 4
    np.savez(tmp_path / "a.npz", allow_pickle=False, features=features, ids=ids, **cameras)
    query, gallery = load_features(tmp_path / "a.npz")
    matrix = np.square(features[:, None] - features).sum(-1)
    if has_cameras:
        expected = evaluate_distances(matrix, ids, ids, cameras["cameras"], cameras["cameras"]).mAP
    else:
        expected = float(
            np.mean(
                [
                    evaluate_distances(
                        np.delete(matrix[i], i)[None], ids[[i]], np.delete(ids, i), [0], [1] * 11
                    ).mAP
                    for i in range(12)
                ]
            )
        )
    assert evaluate_embeddings(query, gallery).mAP == pytest.approx(expected)


def test_one_set_without_its_cameras_never_finds_the_image_itself(tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    arrays: dict[str, np.ndarray] = {"features": features, "ids": np.arange(12) // 4}
    np.savez(tmp_path / "a.npz", allow_pickle=False, **arrays)
    np.savez(tmp_path / "b.npz", allow_pickle=False, cameras=np.arange(12) % 3, **arrays)
    plain = RankConfig(cameras=False)
    found = [ranking(*settled(*load_features(tmp_path / f"{n}.npz"), plain), plain) for n in "ab"]
    assert found[0].mAP == found[1].mAP < 1
