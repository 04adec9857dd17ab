"""Tables of docs/results.md; tests/test_reference_pages.py holds the page to the figures."""

import csv
from pathlib import Path

import pytest

from benchmarks.tools import results_page
from benchmarks.tools.results_page import Row, page, table
from pmm_jax.cli.ablate import AblateOptions
from pmm_jax.cli.config_file import load_config
from pmm_jax.cli.parsing import check_names


def rows() -> list[Row]:
    with results_page.ZOO.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def row(**known: str) -> Row:
    """A row with a command and figures, and what is given."""
    return dict.fromkeys(rows()[0], "") | {"command": "x", "rank1": "9.5", "mAP": "4.9"} | known


def test_the_page_is_short() -> None:
    assert len(page().splitlines()) <= 80


def test_the_commands_name_configs_and_fields_that_there_are() -> None:
    commands = [row["command"].split() for row in rows()]
    ours = [words[2:] for words in commands if words[:2] in (["pmm", "train"], ["pmm", "ablate"])]
    assert len(ours) > 10
    for name, *options in ([word for word in words if word != "--config"] for words in ours):
        load_config(name)
        check_names(AblateOptions, options)


def test_a_table_has_the_columns_that_are_known_and_marks_what_is_not() -> None:
    one = row(what="PMM", seeds="0 1", rank1_low="8.0", rank1_high="11.0", mINP="2.0")
    two = row(what="CutMix", hardware="a core", time="1 min")
    assert table([one, two]) == (
        "|  | Rank-1 | mAP | mINP | seeds | hardware, time | command |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| PMM | 9.5 (8.0 to 11.0) | 4.9 | 2.0 | 0, 1 | - | `x` |\n"
        "| CutMix | 9.5 | 4.9 | - | - | a core, 1 min | `x` |\n"
    )


def test_spread_over_seeds_and_differences_are_told_from_intervals_over_queries() -> None:
    known = {"difference": "1.6", "difference_low": "-48.1", "difference_high": "51.4"}
    *_, line = table([row(what="No mixing", mAP_sd="0.2", **known)]).splitlines()
    assert line == "| No mixing | 9.5 | 4.9 ± 0.2 | +1.6 (-48.1 to +51.4) | `x` |"


def test_a_table_without_a_place_in_the_page_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = tmp_path / "zoo.csv"
    zoo.write_text(results_page.ZOO.read_text(encoding="utf-8") + "duke,PMM,x" + "," * 19 + "\n")
    monkeypatch.setattr(results_page, "ZOO", zoo)
    with pytest.raises(ValueError, match=r"results\.md has places for the tables market1501, synt"):
        page()
