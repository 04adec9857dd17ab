"""Which queries' lists a report shows, and what stands in a list."""

import numpy as np

from pmm_jax.evaluation import Embeddings, evaluate_embeddings
from pmm_jax.report.rank_list import LENGTH, Result, choose_queries, rank_lists


def chosen(average_precision: list[float], identities: list[int]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {"best": [], "median": [], "worst": []}
    for query in choose_queries(np.array(average_precision), np.array(identities)):
        groups[query.group].append(query.row)
    return groups


def test_best_median_and_worst_queries() -> None:
    precision = [(7 * i % 31) / 31 for i in range(31)]
    groups = chosen(precision, list(range(31)))
    order = sorted(range(31), key=lambda i: -precision[i])
    assert groups["best"] == order[:4]
    assert groups["worst"] == order[:-5:-1]
    assert groups["median"] == [order[15], order[14], order[16], order[13]]


def test_each_query_shows_another_identity_while_there_are_enough() -> None:
    precision = [1 - i / 30 for i in range(30)]
    identities = [1, 1, 2, 2, 3, 4, *range(5, 25), 25, 1, 25, 26]
    groups = chosen(precision, identities)
    assert groups["best"] == [0, 2, 4, 5]
    assert groups["worst"] == [29, 28, 25, 24]
    assert len({identities[row] for rows in groups.values() for row in rows}) == 12
    # Of one identity alone, all are shown in their order.
    assert chosen(precision, [7] * 30)["best"] == [0, 1, 2, 3]


def test_few_queries_and_those_without_a_match() -> None:
    nan = float("nan")
    assert chosen([nan, 0.5, nan], [1, 2, 3]) == {"best": [1], "median": [], "worst": []}
    assert chosen([0.2, 0.9, nan], [1, 2, 3]) == {"best": [1], "median": [], "worst": [0]}
    assert chosen([0.5] * 5, [1] * 5) == {"best": [0, 1], "median": [2], "worst": [4, 3]}


def embeddings(places: list[float], identities: list[int], cameras: list[int]) -> Embeddings:
    """Images on a line; each is named by its place."""
    return Embeddings(
        np.array(places, np.float32)[:, None],
        np.array(identities),
        np.array(cameras),
        np.array([f"at {place:g}" for place in places]),
    )


def brief(results: list[Result]) -> list[tuple[str, str, int | None]]:
    return [(result["path"], result["mark"], result["rank"]) for result in results]


def test_marks_and_ranks_in_the_order_of_distance() -> None:
    query = embeddings([0], [5], [1])
    gallery = embeddings([7, 1, 2, 3, 4], [5, 6, 5, 0, 5], [2, 1, 1, 3, 3])
    junk = embeddings([1.5, 3.5], [-1, -1], [1, 2])
    (results,) = rank_lists(query, gallery, junk)
    assert brief(results) == [
        ("at 1", "wrong", 1),
        ("at 1.5", "junk", None),
        ("at 2", "same camera", None),
        ("at 3", "distractor", 2),
        ("at 3.5", "junk", None),
        ("at 4", "right", 3),
        ("at 7", "right", 4),
    ]
    assert [result["distance"] for result in results] == [1, 1.5, 2, 3, 3.5, 4, 7]
    (results,) = rank_lists(query, gallery, has_distractors=False)
    assert ("at 3", "wrong", 2) in brief(results)


def test_a_first_match_further_down_comes_last_with_its_rank() -> None:
    query = embeddings([0], [5], [1])
    places = [float(i) for i in range(1, 31)]
    identities = [5, *range(6, 31), 5, 40, 5, 5]
    (results,) = rank_lists(query, embeddings(places, identities, [1] * 26 + [1, 2, 2, 2]))
    assert len(results) == LENGTH + 1
    assert brief(results)[0] == ("at 1", "same camera", None)
    assert brief(results)[-2:] == [("at 10", "wrong", 9), ("at 29", "right", 27)]


def test_ranks_are_the_evaluators() -> None:
    rng = np.random.default_rng(0)
    # On a coarse grid many distances are equal.
    query, gallery = (
        Embeddings(
            rng.integers(0, 3, (count, 6)).astype(np.float32),
            rng.integers(0, 12, count),
            rng.integers(0, 3, count),
            np.arange(count).astype(str),
        )
        for count in (30, 200)
    )
    metrics = evaluate_embeddings(query, gallery, first_images=True)
    assert metrics.first_images is not None
    beyond = 0
    for i, results in enumerate(rank_lists(query, gallery)):
        (first, *_) = [result for result in results if result["mark"] == "right"]
        assert first["rank"] == metrics.first_match[i]
        assert first["path"] == str(metrics.first_images[i, 0])
        beyond += first["rank"] > LENGTH
        squares = np.square(gallery.features - query.features[i]).sum(1)
        nearest = np.argsort(squares, kind="stable")[:LENGTH]
        assert [result["path"] for result in results[:LENGTH]] == [str(image) for image in nearest]
        np.testing.assert_allclose(
            [result["distance"] for result in results[:LENGTH]], np.sqrt(squares[nearest])
        )
    assert beyond > 3
