"""Which identities are trained on where a set doesn't say."""

from collections import Counter

import pytest

from pmm_jax.data.datasets.folder.division import divide, query_and_gallery
from pmm_jax.data.datasets.folder.listing import Entry


def entries(count: int, *cameras: str | None) -> list[Entry]:
    return [
        Entry(f"id{i:02d}/{n}.jpg", f"id{i:02d}", camera)
        for i in range(count)
        for n, camera in enumerate(cameras or (None, None))
    ]


def train(divided: list[Entry]) -> set[str]:
    return {entry.identity for entry in divided if entry.split == "train"}


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [
        (20, 0.0, 0),
        (20, 0.01, 1),
        (20, 0.25, 5),
        (20, 0.5, 10),
        (20, 0.99, 19),
        (20, 1.0, 20),
        # The nearest whole number, halves to the even one.
        (10, 0.24, 2),
        (10, 0.26, 3),
        (7, 0.5, 4),
        (5, 0.5, 2),
        (3, 0.6, 2),
        (3, 0.4, 1),
        # A fraction inside 0 and 1 leaves one at least on either side, where there are two.
        (2, 0.1, 1),
        (2, 0.9, 1),
        (1, 0.4, 0),
        (1, 0.6, 1),
    ],
)
def test_the_fraction_of_identities(count: int, fraction: float, expected: int) -> None:
    divided = divide(entries(count), fraction)
    test = {entry.identity for entry in divided if entry.split != "train"}
    assert (len(train(divided)), len(test)) == (expected, count - expected)
    assert not train(divided) & test


def test_the_division_is_fixed_and_not_by_order_of_name() -> None:
    chosen = train(divide(entries(20), 0.5))
    assert chosen == train(divide(entries(20)[::-1], 0.5))
    in_order = [f"id{i:02d}" for i in range(20)]
    assert chosen not in (set(in_order[:10]), set(in_order[10:]))


def test_an_identity_stays_on_its_side_when_others_come() -> None:
    """But for the few at the border that the new ones push over."""
    few, many = train(divide(entries(20), 0.5)), train(divide(entries(24), 0.5))
    assert len(few - many) <= 2


def test_names_that_are_not_utf8_are_divided_too() -> None:
    odd = [Entry("a\udcff/1.jpg", "a\udcff"), *entries(1)]
    assert len(train(divide(odd, 0.5))) == 1


@pytest.mark.parametrize(
    ("cameras", "queries"),
    [
        ((None,), 0),
        ((None, None, None), 1),
        (("1",), 0),
        (("1", "2", "3"), 1),
        (("1", "1", "2"), 1),
        (("1", "1", "2", "2", "2"), 2),
    ],
)
def test_queries_of_an_identity(cameras: tuple[str | None, ...], queries: int) -> None:
    divided = query_and_gallery(entries(1, *cameras))
    assert Counter(entry.split for entry in divided)["query"] == queries
    assert len(divided) == len(cameras)
