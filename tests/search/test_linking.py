"""Linked tracklets against plain loops."""

import itertools

import numpy as np
import pytest

from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.search import linking
from pmm_jax.search.linking import Tracklets, link, link_figures, overlapping, sum_up
from pmm_jax.search.tracklets import tracklet_table


def random_tracklets(seed: int, total: int = 25) -> Tracklets:
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 50, total)
    return Tracklets(
        rng.normal(size=(total, 3)).astype(np.float32),
        rng.integers(1, 9, total),
        rng.integers(0, 3, total),
        starts,
        starts + rng.uniform(0, 10, total),
    )


def linked_by_loops(tracklets: Tracklets, threshold: float) -> np.ndarray:
    """Compares every two groups anew in each round."""
    means, counts = tracklets.means.astype(float), tracklets.counts
    cameras, starts, ends = tracklets.cameras, tracklets.starts, tracklets.ends
    groups = [[i] for i in range(len(means))]
    while True:
        best, pair = threshold**2, None
        for a, b in itertools.combinations(range(len(groups)), 2):
            pairs = list(itertools.product(groups[a], groups[b]))
            if any(
                cameras[i] == cameras[j] and starts[i] <= ends[j] and starts[j] <= ends[i]
                for i, j in pairs
            ):
                continue
            weights = [counts[i] * counts[j] for i, j in pairs]
            squares = [((means[i] - means[j]) ** 2).sum() for i, j in pairs]
            distance = np.average(squares, weights=weights)
            if distance < best:
                best, pair = distance, (a, b)
        if pair is None:
            break
        groups[pair[0]] += groups.pop(pair[1])
    found = np.zeros(len(means), int)
    for number, group in enumerate(sorted(groups, key=min), 1):
        found[group] = number
    return found


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.5, 3.0, 100.0])
def test_the_nearest_groups_are_joined(threshold: float) -> None:
    for seed in range(3):
        tracklets = random_tracklets(seed)
        found = link(tracklets, threshold)
        np.testing.assert_array_equal(found, linked_by_loops(tracklets, threshold))


def test_one_camera_shows_nobody_twice_at_once() -> None:
    tracklets = random_tracklets(7, 200)
    found = link(tracklets, 100.0)
    together = found[:, None] == found[None]
    np.fill_diagonal(together, False)
    assert together.any()
    assert not (together & overlapping(tracklets)).any()


def test_without_times_looks_alone_decide() -> None:
    tracklets = random_tracklets(1)._replace(starts=np.full(25, np.nan), ends=np.full(25, np.nan))
    assert (link(tracklets, 100.0) == 1).all()


def test_one_tracklet_and_progress() -> None:
    assert link(random_tracklets(0, 1), 1.0).tolist() == [1]
    done: list[int] = []
    found = link(random_tracklets(0), 1.5, done.append)
    assert sum(done) == 25 - found.max()


def test_figures_are_those_of_all_pairs_and_assignments() -> None:
    rng = np.random.default_rng(0)
    found, true, counts = rng.integers(0, 4, 30), rng.integers(0, 4, 30), rng.integers(1, 9, 30)
    pairs = list(itertools.combinations(range(30), 2))
    put = [(i, j) for i, j in pairs if found[i] == found[j]]
    same = [(i, j) for i, j in pairs if true[i] == true[j]]
    right = len(set(put) & set(same))
    figures = link_figures(found, true, counts)
    assert figures.precision == pytest.approx(right / len(put))
    assert figures.recall == pytest.approx(right / len(same))
    assert figures.f1 == pytest.approx(2 * right / (len(put) + len(same)))
    best = max(
        sum(counts[i] for i in range(30) if order[found[i]] == true[i])
        for order in itertools.permutations(range(4))
    )
    assert figures.idf1 == pytest.approx(best / counts.sum())
    assert link_figures(true, true, counts) == (1, 1, 1, 1)


def test_too_many_tracklets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "MOST", 3)
    with pytest.raises(UserError, match="4 tracklets are too many"):
        sum_up(np.ones((4, 2)), np.arange(4), np.zeros(4, int), np.zeros((4, 2)))


def crops(**columns: object) -> EmbeddingTable:
    """Two cameras with two tracks each, in turns."""
    features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    known = {
        "path": np.array([f"{i}.jpg" for i in range(8)]),
        "camera": np.array(list("bbaabbaa")),
        "track": np.array([1, 2, 1, 2, 1, 2, 1, 2]),
        "time": np.arange(8.0),
        "id": np.array(["x", "y", "x", "0", "x", "y", "x", "0"]),
    }
    known |= {name: np.asarray(column) for name, column in columns.items()}
    return EmbeddingTable(features, {n: c for n, c in known.items() if c.shape == (8,)})


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_a_table_is_grouped_by_camera_and_track(distance: str) -> None:
    table = crops()
    found = tracklet_table(table, distance)
    assert found.rows.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    features = table.features
    if distance == "cosine":
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(
        found.tracklets.means, (features[:4] + features[4:]) / 2, rtol=1e-5, atol=1e-6
    )
    assert found.tracklets.starts.tolist() == [0, 1, 2, 3]
    assert found.tracklets.ends.tolist() == [4, 5, 6, 7]
    assert found.tracklets.counts.tolist() == [2] * 4
    assert found.has_times
    # Nobody knows who the last one is.
    assert found.figures(np.array([1, 2, 1, 2])) == (1, 1, 1, 1)
    assert found.figures(np.array([1, 2, 2, 1])) == (0, 0, 0, 4 / 6)


def test_start_and_end_go_before_time() -> None:
    found = tracklet_table(crops(start=np.arange(8) + 10, end=np.arange(8) + 20), "euclidean")
    assert found.tracklets.starts.tolist() == [10, 11, 12, 13]
    assert found.tracklets.ends.tolist() == [24, 25, 26, 27]


def test_without_times_and_ids() -> None:
    found = tracklet_table(crops(time=0, id=0), "euclidean")
    assert not found.has_times
    assert not overlapping(found.tracklets).any()
    assert found.figures(np.arange(4)) is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"track": 0}, "no column track"),
        ({"camera": 0}, "no column camera"),
        ({"time": list("abcdefgh")}, "column time must hold numbers"),
        ({"start": np.arange(8), "end": np.arange(8)[::-1]}, r"4.jpg ends at 3, before it starts"),
    ],
)
def test_what_cannot_be_grouped_is_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tracklet_table(crops(**columns), "euclidean")


def test_a_tracklet_of_two_people_is_refused() -> None:
    found = tracklet_table(crops(id=list("abcdefgh")), "euclidean")
    with pytest.raises(UserError, match="two ids"):
        found.figures(np.arange(4))
