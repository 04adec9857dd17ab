"""Writes the tables of docs/results.md: python -m benchmarks.tools.results_page.

Figures come from benchmarks/results/zoo.csv: percentages, with the limits of 95 % intervals
(`_low`, `_high`) and standard deviations over seeds (`_sd`); `difference` is of Rank-1, from PMM's.
`commit` is what a row was trained with, empty where it wasn't kept. The prose around the tables
stands in the page itself. A test holds the page to the figures.
"""

import csv
import re
from pathlib import Path

ZOO = Path(__file__).parents[1] / "results" / "zoo.csv"
PAGE = Path(__file__).parents[2] / "docs" / "results.md"
PLACE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
"""Where a table of the figures stands in the page."""

Row = dict[str, str]
"""A row of the figures by column; empty where nothing is known."""


def page() -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: a table of the figures has no place in the page, or the other way round.
    """
    with ZOO.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    text = PAGE.read_text(encoding="utf-8")
    places = [found[2] for found in PLACE.finditer(text)]
    if sorted(places) != sorted({row["table"] for row in rows}):
        raise ValueError(f"{PAGE.name} has places for the tables {', '.join(places)}")
    return PLACE.sub(lambda x: x[1] + table([r for r in rows if r["table"] == x[2]]) + x[3], text)


def table(rows: list[Row]) -> str:
    """Rows as Markdown, without the columns that are empty in all of them."""
    cells = [
        {
            "": row["what"],
            "Rank-1": figure(row, "rank1"),
            "mAP": figure(row, "mAP"),
            "mINP": figure(row, "mINP"),
            "Rank-1, from PMM": difference(row),
            "seeds": row["seeds"].replace(" ", ", "),
            "hardware, time": ", ".join(filter(None, (row["hardware"], row["time"]))),
            "command": f"`{row['command']}`",
        }
        for row in rows
    ]
    shown = [name for name in cells[0] if any(row[name] for row in cells)]
    lines = [shown, ["---"] * len(shown)]
    lines += [[row[name] or "-" for name in shown] for row in cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure(row: Row, name: str) -> str:
    """A metric with its interval, or with its standard deviation over seeds."""
    if row[f"{name}_low"]:
        return f"{row[name]} ({row[f'{name}_low']} to {row[f'{name}_high']})"
    spread = row.get(f"{name}_sd")
    return f"{row[name]} ± {spread}" if spread else row[name]


def difference(row: Row) -> str:
    """A difference with its sign and its interval."""
    if not row["difference"]:
        return ""
    mean, low, high = (f"{float(row[f'difference{end}']):+.1f}" for end in ("", "_low", "_high"))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
