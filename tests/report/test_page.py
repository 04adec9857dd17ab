"""Numbers as a page shows them."""

import pytest

from pmm_jax.report.page import number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),  # noqa: RUF001
        (0.0, "0"),
        (2.0, "2"),
        (12_345.0, "12,345"),
        (1794.3, "1,794"),
        (17.803, "17.80"),
        (0.0504, "0.05040"),
        (1e-6, "1.000e-06"),
    ],
)
def test_four_digits_and_whole_numbers_in_full(value: float | None, shown: str) -> None:
    assert number(value) == shown
