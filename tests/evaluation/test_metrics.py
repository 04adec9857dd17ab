import numpy as np
import numpy.typing as npt
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import RankingMetrics, evaluate_distances
from pmm_jax.evaluation import metrics as module


def naive(
    distances: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    max_rank: int = 50,
) -> dict[str, np.ndarray] | None:
    """The definition: sort every row (stable), walk down it, look at each image in turn."""
    cmc, precisions, penalties, released, firsts = [], [], [], [], []
    for q in range(len(query_ids)):
        rank = found = 0
        hits, early, curve = [], [], []
        for g in np.argsort(distances[q], kind="stable"):
            if gallery_ids[g] == -1:
                continue
            same = gallery_ids[g] == query_ids[q]
            if same and gallery_cameras[g] == query_cameras[q]:
                continue
            rank += 1
            if same:
                found += 1
                hits.append(found / rank)
                if rank <= 50:
                    early.append(found / rank)
            curve.append(found > 0)
        firsts.append(curve.index(True) + 1 if found else np.nan)
        if not found:
            precisions.append(np.nan)
            continue
        released.append(sum(early) / found)
        curve += [True] * max_rank
        cmc.append(curve[:max_rank])
        precisions.append(float(np.mean(hits)))
        penalties.append(hits[-1])
    if not cmc:
        return None
    return {
        "cmc": np.mean(cmc, axis=0),
        "mAP": np.nanmean(precisions),
        "mINP": np.mean(penalties),
        "evaluated": np.array(len(cmc)),
        "average_precision": np.array(precisions),
        "mAP_at_50": np.mean(released),
        "first_match": np.array(firsts),
    }


def assert_same(metrics: RankingMetrics, expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(metrics, name), value, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("counted", [0, 3, 1000])
@pytest.mark.parametrize("thousand", range(2))
def test_equals_a_naive_loop_on_thousands_of_random_cases(
    thousand: int, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COUNTED_MATCHES", counted)
    matched = sum(check_a_random_case(1000 * thousand + seed) for seed in range(1000))
    assert 500 < matched < 1000


def check_a_random_case(seed: int) -> bool:
    """True where a query has a match; few images, so that none, one or only junk come up, too."""
    rng = np.random.default_rng(seed)
    queries, gallery = int(rng.integers(1, 12)), int(rng.integers(1, 60))
    identities, cameras = int(rng.integers(1, 8)), int(rng.integers(1, 5))
    distances: np.ndarray
    if seed % 3 == 0:
        distances = rng.integers(0, 4, (queries, gallery)).astype(np.float32)  # many ties
    elif seed % 3 == 1:
        distances = rng.random((queries, gallery))
    else:
        distances = np.repeat(rng.random((queries, gallery), np.float32), 2, axis=1)  # duplicates
    gallery = int(distances.shape[1])
    labels = (
        rng.integers(0, identities, queries),
        rng.integers(-1, identities, gallery),
        rng.integers(0, cameras, queries),
        rng.integers(0, cameras, gallery),
    )
    expected = naive(distances, *labels)
    try:
        if expected is None:
            with pytest.raises(UserError, match="no query has a match"):
                evaluate_distances(distances, *labels)
        else:
            assert_same(evaluate_distances(distances, *labels), expected)
    except BaseException as error:
        error.add_note(f"random case {seed}")
        raise
    return expected is not None


@pytest.mark.parametrize("counted", [0, 1000])
def test_many_matches_by_either_form(counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED_MATCHES", counted)
    rng = np.random.default_rng(0)
    distances = rng.integers(0, 50, (6, 400))
    labels = (
        rng.integers(0, 3, 6),
        rng.integers(0, 3, 400),
        rng.integers(0, 2, 6),
        rng.integers(0, 2, 400),
    )
    expected = naive(distances, *labels)
    assert expected is not None
    assert_same(evaluate_distances(distances, *labels), expected)


def test_by_hand() -> None:
    # Ranked: the removed image (own camera), a stranger, a match, junk, a distractor, a match.
    metrics = evaluate_distances(
        [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], [7], [7, 8, 7, -1, 0, 7], [1], [1, 1, 2, 2, 2, 3]
    )
    assert metrics.cmc[:3].tolist() == [0, 1, 1]
    assert metrics.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert metrics.mINP == pytest.approx(2 / 4)
    assert (metrics.rank1, metrics.rank5, metrics.rank10) == (0, 1, 1)
    assert len(metrics.cmc) == 50


def test_ties_rank_in_gallery_order() -> None:
    match_first = evaluate_distances([[1.0, 1.0]], [1], [1, 2], [0], [1, 1])
    match_last = evaluate_distances([[1.0, 1.0]], [1], [2, 1], [0], [1, 1])
    assert (match_first.mAP, match_last.mAP) == (1, 0.5)


def test_one_gallery_image() -> None:
    metrics = evaluate_distances([[3.0]], [1], [1], [0], [1])
    assert metrics.mAP == metrics.mINP == metrics.rank1 == metrics.rank10 == 1


def test_query_without_a_match_is_left_out_of_every_mean() -> None:
    metrics = evaluate_distances(
        [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [1, 9, -1], [1, -1], [0, 0, 0], [1, 1]
    )
    assert metrics.evaluated == 1
    assert metrics.mAP == metrics.rank1 == 1
    np.testing.assert_array_equal(metrics.average_precision, [1, np.nan, np.nan])


def test_identity_zero_is_a_distractor_and_minus_one_is_junk() -> None:
    distances = [[0.1, 0.2]]
    assert evaluate_distances(distances, [1], [0, 1], [0], [1, 1]).mAP == 0.5
    assert evaluate_distances(distances, [1], [-1, 1], [0], [1, 1]).mAP == 1


def test_single_camera_says_that_the_same_camera_rule_removed_every_match() -> None:
    with pytest.raises(UserError, match="the same-camera rule removed every") as caught:
        evaluate_distances(np.ones((2, 3)), [1, 2], [1, 2, 3], [0, 0], [0, 0, 0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gallery_ids", [[3, 4, 5], [-1, -1, -1]])
def test_no_common_identity_is_told_apart(gallery_ids: list[int]) -> None:
    with pytest.raises(UserError, match="shares a query's identity; check") as caught:
        evaluate_distances(np.ones((2, 3)), [1, -1], gallery_ids, [0, 0], [1, 1, 1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_row(value: float) -> None:
    distances = np.ones((3, 4))
    distances[2, 1] = value
    with pytest.raises(UserError, match=f"distances holds {value} in row 2, column 1"):
        evaluate_distances(distances, [1, 1, 9], [1] * 4, [0] * 3, [1] * 4)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("distances has shape", {"distances": np.ones(4)}),
        ("distances has shape", {"distances": np.ones((0, 4))}),
        ("distances holds complex128", {"distances": np.ones((2, 4), complex)}),
        ("query_ids has shape", {"query_ids": [1]}),
        ("gallery_ids has shape", {"gallery_ids": [[1, 1, 1, 1]]}),
        ("query_cameras holds float64", {"query_cameras": [0.0, 0.0]}),
        ("gallery_cameras has shape", {"gallery_cameras": [1] * 5}),
        ("max_rank is 9", {"max_rank": 9}),
    ],
)
def test_misfits_are_refused_by_name(name: str, changed: dict[str, npt.ArrayLike]) -> None:
    fitting = {
        "distances": np.ones((2, 4)),
        "query_ids": [1, 1],
        "gallery_ids": [1] * 4,
        "query_cameras": [0, 0],
        "gallery_cameras": [1] * 4,
    }
    with pytest.raises(UserError, match=name) as caught:
        evaluate_distances(**(fitting | changed))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_rank_k_is_the_curve_at_k() -> None:
    each = np.ones(1)
    found = RankingMetrics(np.arange(1, 51) / 50, 1.0, 1.0, 1, 1.0, each, each, each)
    assert (found.rank1, found.rank5, found.rank10) == (1 / 50, 5 / 50, 10 / 50)


@pytest.mark.parametrize("rank", [1, 2, 9, 10, 11, 49, 50, 51, 80])
@pytest.mark.parametrize("max_rank", [10, 50, 60])
def test_the_cmc_has_every_rank_up_to_its_last(rank: int, max_rank: int) -> None:
    ids = np.full(80, 2)
    ids[rank - 1] = 1
    found = evaluate_distances(np.arange(80.0)[None], [1], ids, [0], np.ones(80, int), max_rank)
    assert found.cmc.tolist() == [float(rank <= at) for at in range(1, max_rank + 1)]
    assert found.mAP_at_50 == (1 / rank if rank <= 50 else 0)
