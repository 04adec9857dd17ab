import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.evaluation.label_errors import LabelErrors, label_errors, sample_identities


class People:
    """Embeddings as hard as a small model's: cameras shift a person, and tracks are alike.

    A fifth of the queries finds somebody else first; of all images, one in twenty lies nearest to
    another person, wherever it comes from.
    """

    def __init__(self, seed: int, identities: int = 150, length: int = 32) -> None:
        rng = np.random.default_rng(seed)
        persons = rng.standard_normal((identities, length))
        views = persons[:, None] + 0.75 * rng.standard_normal((identities, 6, length))
        counts = rng.integers(2, 20, identities)
        self.identities = np.repeat(np.arange(1, identities + 1), counts)
        self.cameras = rng.integers(1, 7, counts.sum())
        noise = 0.72 * rng.standard_normal((counts.sum(), length))
        self.features = (views[self.identities - 1, self.cameras - 1] + noise).astype(np.float32)

    def flipped(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels of which `count` are another identity's, and the rows of these."""
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(self.identities), count, replace=False)
        labels, names = self.identities.copy(), np.unique(self.identities)
        for row in rows:
            labels[row] = rng.choice(names[names != labels[row]])
        return labels, rows


def listed(features: list[list[float]], identities: list[int], cameras: list[int]) -> LabelErrors:
    return label_errors(np.array(features, np.float32), np.array(identities), np.array(cameras))


def test_these_people_are_as_hard_as_real_ones() -> None:
    people = People(0)
    squares = cdist(people.features, people.features)
    np.fill_diagonal(squares, np.inf)
    own = people.identities[:, None] == people.identities
    others_first = squares.argmin(1)
    assert 0.03 < np.mean(people.identities[others_first] != people.identities) < 0.2
    across = np.where(own & (people.cameras[:, None] == people.cameras), np.inf, squares)
    has_match = (own & (people.cameras[:, None] != people.cameras)).any(1)
    right = people.identities[across.argmin(1)] == people.identities
    assert 0.6 < right[has_match].mean() < 0.85


@pytest.mark.parametrize("seed", range(2))
def test_four_of_five_flipped_labels_come_first(seed: int) -> None:
    people = People(seed)
    labels, rows = people.flipped(seed, 100)
    found = label_errors(people.features, labels, people.cameras)
    hits = np.isin(found.images[:150], rows)
    assert hits.sum() >= 80
    assert (np.diff(found.margins) <= 0).all()
    # What they look like is mostly whom they show.
    looks_like = labels[found.nearest_other[:150]][hits]
    assert np.mean(looks_like == people.identities[found.images[:150]][hits]) > 0.8


def test_a_list_by_hand() -> None:
    # Person 1 at 0, person 2 at 10; the image at 9.5 is said to be person 1.
    features = [[0.0], [1.0], [9.5], [10.0], [11.0], [12.0], [30.0], [-1.0]]
    found = listed(features, [1, 1, 1, 2, 2, 2, 2, 1], [1, 2, 3, 3, 4, 1, 2, 4])
    assert found.images.tolist() == [2]
    assert found.own.tolist() == [8.5]
    assert found.other.tolist() == [pytest.approx((0.5 + 1.5 + 2.5) / 3)]
    assert found.margins.tolist() == [pytest.approx((8.5 - 1.5) / (8.5 + 1.5))]
    assert (found.nearest_own[0], found.nearest_other[0]) == (1, 3)
    # Cameras 1, 2 and 4 have both: 9.5, 8.5, 10.5 from the one and 2.5, 20.5, 1.5 from the other.
    assert (found.cameras[0], found.agreeing[0]) == (3, 2)


def test_one_neighbor_accuses_nobody() -> None:
    """Among a person's own comes one image that looks alike; the rest of it is far away."""
    features = [[0.0], [2.0], [4.0], [0.5], [50.0], [51.0]]
    assert listed(features, [1, 1, 1, 2, 2, 2], [1] * 6).images.tolist() == [3]


def test_the_same_image_under_two_names_is_sure() -> None:
    features = [[1.0], [1.0], [1.0], [1.0], [4.0], [4.0], [9.0]]
    found = listed(features, [1, 2, 2, 2, 1, 1, 3], [-1] * 7)
    assert found.images.tolist() == [0]
    assert found.margins.tolist() == [1]
    assert found.cameras.tolist() == [0]  # none is known


@pytest.mark.parametrize("identities", [[1, 1, 1], [1, 2, 3]], ids=["one person", "one image each"])
def test_nothing_is_listed_without_a_choice(identities: list[int]) -> None:
    assert len(listed([[0.0], [1.0], [5.0]], identities, [1, 2, 3]).images) == 0


def test_sampling_keeps_whole_identities() -> None:
    identities = np.random.default_rng(0).integers(1, 30, 400)
    rows = sample_identities(identities, 200, seed=1)
    assert len(rows) == 200
    assert (np.diff(rows) > 0).all()
    kept, counts = np.unique(identities[rows], return_counts=True)
    whole = counts == np.bincount(identities)[kept]
    assert len(kept) < 29
    assert (~whole).sum() <= 1
    assert np.array_equal(rows, sample_identities(identities, 200, seed=1))
    assert len(sample_identities(identities, 1000, seed=1)) == 400
