from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import evaluate_distances, evaluate_embeddings, load_features
from pmm_jax.evaluation.evaluate import evaluate_ranking


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
        assert read.features.dtype == written[f"{side}_features"].dtype
        np.testing.assert_array_equal(read.features, written[f"{side}_features"])
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
    path = saved(tmp_path / "a.npz", {name: np.full(arrays()[name].shape, 1j)})
    assert f"{name} holds complex128" in refusal(path)


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
    assert "is a folder, not a regular file" in refusal(tmp_path)


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
    found = [evaluate_ranking(*load_features(tmp_path / f"{n}.npz"), plain) for n in "ab"]
    assert found[0].mAP == found[1].mAP < 1


LABELS = np.array([1, 2, 3, 0, -1])


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("big-endian", lambda a: a.astype(a.dtype.newbyteorder(">"))),
        ("Fortran order", np.asfortranarray),
        ("every second", lambda a: np.repeat(a, 2, axis=0)[::2]),
        ("float ids", lambda a: a.astype(np.float64) if a.dtype.kind in "iu" else a),
        ("unsigned", lambda a: a.astype(np.uint64) if a.dtype.kind == "u" else a),
        ("names", lambda a: a.astype(str) if a.dtype.kind in "iu" else a),
        ("bytes", lambda a: a.astype("S") if a.dtype.kind in "iu" else a),
    ],
)
def test_one_set_in_many_spellings(
    tmp_path: Path, name: str, convert: Callable[[np.ndarray], np.ndarray]
) -> None:
    rng = np.random.default_rng(0)
    written: dict[str, np.ndarray] = {}
    for side, count in (("query", 20), ("gallery", 60)):
        written[f"{side}_features"] = rng.standard_normal((count, 600)).astype(np.float32)
        written[f"{side}_ids"] = rng.integers(-1, 5, count)
        written[f"{side}_cameras"] = rng.integers(0, 3, count).astype(np.uint8)
    plain = evaluate_embeddings(*load_features(saved(tmp_path / "a.npz", written)))
    other = {key: convert(value) for key, value in written.items()}
    found = evaluate_embeddings(*load_features(saved(tmp_path / "b.npz", other)))
    np.testing.assert_array_equal(found.average_precision, plain.average_precision)


def test_half_precision(tmp_path: Path) -> None:
    half = {name: a.astype(np.float16) for name, a in arrays().items() if "features" in name}
    query, gallery = load_features(saved(tmp_path / "a.npz", half))
    assert query.features.dtype == gallery.features.dtype == np.float32
    np.testing.assert_array_equal(gallery.features, half["gallery_features"])


def test_names_are_numbered_alike_on_both_sides(tmp_path: Path) -> None:
    named = {
        "query_ids": np.array(["Ada", "Bo", "0007"]),
        "gallery_ids": np.array(["7", "Bo", "0007", "0", "-1"]),
        "query_cameras": np.array(["door", "yard", "door"]),
        "gallery_cameras": np.array(["yard", "yard", "door", "roof", "door"]),
        "query_paths": np.array(["a.jpg", "b.jpg", "c.jpg"]),
    }
    query, gallery = load_features(saved(tmp_path / "a.npz", named))
    assert (query.identities[:, None] == gallery.identities).tolist() == [
        [False] * 5,
        [False, True, False, False, False],
        [False, False, True, False, False],
    ]
    assert gallery.identities[3:].tolist() == [0, -1]
    assert (query.cameras[:, None] == gallery.cameras).sum() == 2 * 2 + 2
    for images, side in ((query, "query"), (gallery, "gallery")):
        ids = [images.identity_names[i] for i in images.identities.tolist()]
        cameras = [images.camera_names[i] for i in images.cameras.tolist()]
        assert ids == named[f"{side}_ids"].tolist()
        assert cameras == named[f"{side}_cameras"].tolist()
    assert query.paths is not None
    assert query.paths.tolist() == named["query_paths"].tolist()
    assert gallery.paths is None


@pytest.mark.parametrize("kind", ["ids", "cameras"])
def test_integers_beyond_int64_stay_apart(tmp_path: Path, kind: str) -> None:
    large = {
        f"query_{kind}": np.array([2**64 - 1, 2**63, 5], np.uint64),
        f"gallery_{kind}": np.array([2**64 - 1, 2**64 - 2, 2**63, 5, 0], np.uint64),
    }
    query, gallery = load_features(saved(tmp_path / "a.npz", large))
    own, others = (
        getattr(images, {"ids": "identities", "cameras": "cameras"}[kind])
        for images in (query, gallery)
    )
    assert (own[:, None] == others).tolist() == [
        [True, False, False, False, False],
        [False, False, True, False, False],
        [False, False, False, True, False],
    ]
    assert others[4] == 0
    mixed = {f"gallery_{kind}": np.array([-1, 5, 0, 1, 2])}
    query, gallery = load_features(saved(tmp_path / "b.npz", large | mixed))
    others = gallery.identities if kind == "ids" else gallery.cameras
    assert others[0] == -1
    own = query.identities if kind == "ids" else query.cameras
    assert (own[:, None] == others).sum() == 1


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("gallery_ids holds nan in row 2", {"gallery_ids": np.array([1, 2, np.nan, 0, -1])}),
        ("gallery_ids holds inf in row 1", {"gallery_ids": np.array([1, np.inf, 2, 0, -1])}),
        ("gallery_ids holds 1.5 in row 0", {"gallery_ids": LABELS + 0.5}),
        ("gallery_cameras holds 1e+300", {"gallery_cameras": np.full(5, 1e300)}),
        ("both hold numbers, or both names", {"gallery_ids": LABELS.astype(str)}),
        ("holds bytes that are not UTF-8", {"gallery_ids": np.array([b"\xff"] * 5)}),
        ("gallery_ids holds bool", {"gallery_ids": LABELS > 0}),
        ("gallery_ids holds datetime64[D]", {"gallery_ids": LABELS.astype("M8[D]")}),
        ("gallery_ids has shape ()", {"gallery_ids": np.array(1)}),
        ("gallery_ids has shape (4,)", {"gallery_ids": LABELS[:4]}),
        ("gallery_ids has shape (0,)", {"gallery_ids": LABELS[:0]}),
        ("gallery_paths has shape (4,)", {"gallery_paths": np.full(4, "a")}),
        ("gallery_paths holds int64; it must hold str", {"gallery_paths": LABELS}),
        ("gallery_features has shape ()", {"gallery_features": np.array(1.0)}),
        ("gallery_features has shape (0, 8)", {"gallery_features": np.ones((0, 8))}),
        ("gallery_features holds uint8", {"gallery_features": np.ones((5, 8), np.uint8)}),
        ("gallery_ids holds records", {"gallery_ids": np.zeros(5, [("a", int), ("b", int)])}),
    ],
)
def test_what_labels_can_not_be(tmp_path: Path, words: str, changed: dict[str, np.ndarray]) -> None:
    assert words in refusal(saved(tmp_path / "a.npz", changed))
