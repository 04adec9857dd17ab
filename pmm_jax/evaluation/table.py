"""A ranking as text and as JSON."""

from pmm_jax.evaluation.ranking import Ranking

METRICS = {
    "Rank-1": "rank1",
    "Rank-5": "rank5",
    "Rank-10": "rank10",
    "mAP": "mAP",
    "mINP": "mINP",
    "release mAP": "release_mAP",
}
"""Heading of each column, and the key it has in JSON."""


def ranking_json(ranking: Ranking) -> dict[str, float]:
    """`rank1`, `rank5`, `rank10`, `mAP`, `mINP` and `release_mAP` as fractions."""
    return {key: getattr(ranking, key) for key in METRICS.values()}


def ranking_table(ranking: Ranking) -> str:
    """Three lines without a final newline: headings, percentages, and how many queries counted."""
    values = ranking_json(ranking)
    width = max(map(len, METRICS))
    headings = "  ".join(heading.rjust(width) for heading in METRICS)
    percentages = "  ".join(f"{100 * values[key]:.1f}%".rjust(width) for key in METRICS.values())
    queries = len(ranking.average_precision)
    counted = f"{ranking.evaluated:,} of {queries:,} queries have a match"
    return "\n".join((headings, percentages, counted))
