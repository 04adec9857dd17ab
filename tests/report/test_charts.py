"""Names in charts are shown as they are."""

import re

import pytest

from pmm_jax.report.charts import Line, line_chart


@pytest.mark.parametrize("name", ["_old", "$\\x$", "a$b$c", "<b>&--></svg>"])
def test_a_name_is_shown_as_it_is(name: str) -> None:
    lines = [Line(name, [1, 2], [3, 4]), Line("other", [1, 2], [4, 3])]
    chart = line_chart(lines, "x", "y", "of two runs")
    shown = re.findall("<text[^>]*>([^<]*)</text>", chart)[-2:]
    assert shown == [name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), "other"]


def test_every_line_looks_different() -> None:
    lines = [Line(f"run {number}", [1, 2], [number, 9]) for number in range(14)]
    chart = line_chart(lines, "x", "y", "of many runs")
    assert all(f"run {number}<" in chart for number in range(14))
    looks = re.findall(r'style="(fill: none;[^"]*var\(--series[^"]*)"', chart)
    assert len(looks) == 2 * 14  # the curve, and its line in the legend
    assert len(set(looks)) == 14
