"""Identity-balanced batches."""

import numpy as np
import pytest

from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.errors import UserError

COUNTS = [6, 1, 4, 9, 2, 5, 3, 7, 4, 8]  # images of each of 10 people
P, K = 3, 4


def labels() -> np.ndarray:
    """Not in groups: images of everybody, shuffled."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))


def sampler(seed: int = 0) -> IdentitySampler:
    return IdentitySampler(labels(), P, K, seed)


def test_sizes() -> None:
    assert sampler().batch_size == 12
    assert sampler().steps_per_epoch == 3  # 10 people, 3 a batch, the last one left over


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forwards = [sampler().batch(step) for step in range(8)]
    one = sampler()
    backwards = [one.batch(step) for step in reversed(range(8))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    np.testing.assert_array_equal(one.batch(5), forwards[5])
    assert any((sampler(seed=1).batch(step) != forwards[step]).any() for step in range(8))


def test_the_seed_decides_who_is_in_a_batch_and_which_images_of_them() -> None:
    everybody = np.repeat(np.arange(P), 20)  # in every batch, with 4 of 20 images

    def orders(seed: int) -> list[tuple[int, ...]]:
        one = sampler(seed)
        return [tuple(labels()[one.batch(step)][::K]) for step in range(20)]

    def images_of(seed: int) -> list[list[int]]:
        one = IdentitySampler(everybody, P, K, seed)
        return [np.sort(one.batch(step)).tolist() for step in range(20)]

    for choices in (orders, images_of):
        assert choices(0) == choices(0)
        shared = sum(a == b for a, b in zip(choices(0), choices(1), strict=True))
        assert shared <= 1


def test_a_batch_holds_p_people_side_by_side() -> None:
    for step in range(12):
        people = labels()[sampler().batch(step)].reshape(P, K)
        assert (people == people[:, :1]).all()
        assert len(set(people[:, 0])) == P


def test_an_epoch_shows_everybody_at_most_once() -> None:
    one, orders, missing = sampler(), set(), set()
    for epoch in range(40):
        people = [int(p) for step in range(3) for p in labels()[one.batch(3 * epoch + step)][::K]]
        assert len(people) == len(set(people)) == 9
        orders.add(tuple(people))
        missing |= set(range(10)) - set(people)
    assert len(orders) == 40  # sampled anew every epoch
    assert missing == set(range(10))  # and so is who sits it out


def test_images_are_distinct_where_there_are_enough() -> None:
    one, seen = sampler(), set()
    for step in range(300):
        batch = one.batch(step)
        seen |= set(batch.tolist())
        for images in batch.reshape(P, K):
            person = labels()[images[0]]
            if COUNTS[person] >= K:
                assert len(set(images.tolist())) == K
    assert seen == set(range(sum(COUNTS)))  # every image has its turn


def test_images_are_sampled_anew_every_step() -> None:
    # Everybody has 20 images and is in every batch, side by side: which of the 20 is sampled?
    one = IdentitySampler(np.repeat(np.arange(P), 20), P, K, seed=0)
    samples = [tuple((one.batch(step) % 20).tolist()) for step in range(20)]
    assert len(set(samples)) == 20


def test_people_with_fewer_images_repeat_them() -> None:
    one, repeats = sampler(), set()
    for step in range(30):
        for images in one.batch(step).reshape(P, K):
            person = int(labels()[images[0]])
            if COUNTS[person] < K:
                assert len(set(images.tolist())) <= COUNTS[person]
                repeats.add(person)
    assert repeats == {1, 4, 6}


def test_too_few_people_are_refused_with_the_mend() -> None:
    with pytest.raises(UserError, match=r"needs 11 .* has 10; lower data\.identities_per_batch"):
        IdentitySampler(labels(), 11, K, 0)
    assert IdentitySampler(labels(), 10, K, 0).steps_per_epoch == 1
