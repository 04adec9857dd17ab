"""Wrong changes to what writes the pages of figures."""

from tests.mutants.mutant import Mutant

PERFORMANCE = ("tests/test_benchmark_all.py",)
RESULTS = ("tests/test_results_page.py",)

MUTANTS = [
    Mutant(
        "benchmarks/all.py",
        "stored = read_store()\n    for name",
        "stored: dict[str, Measured] = {}\n    for name",
        "a section measured alone throws the others' figures away",
        PERFORMANCE,
    ),
    Mutant(
        "benchmarks/all.py",
        "if done.returncode:",
        "if done.returncode < 0:",
        "a benchmark that failed replaces its figures by nothing",
        PERFORMANCE,
    ),
    Mutant(
        "benchmarks/tools/results_page.py",
        "if any(row[name] for row in cells)",
        "if all(row[name] for row in cells)",
        "a column is gone where one row doesn't know it",
        RESULTS,
    ),
    Mutant(
        "benchmarks/tools/results_page.py",
        """if sorted(places) != sorted({row["table"] for row in rows}):""",
        "if not places:",
        "rows of a table that the page has no place for are left out in silence",
        RESULTS,
    ),
]
