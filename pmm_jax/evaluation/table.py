"""Metrics as text and as JSON."""

from pmm_jax.evaluation.metrics import RankingMetrics

HEADINGS = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10"}
"""Headings of columns, where they differ from the JSON key."""


def metrics_json(metrics: RankingMetrics) -> dict[str, float]:
    """`rank1`, `rank5`, `rank10`, `mAP`, `mINP` and `mAP@50` as fractions."""
    return {
        "rank1": metrics.rank1,
        "rank5": metrics.rank5,
        "rank10": metrics.rank10,
        "mAP": metrics.mAP,
        "mINP": metrics.mINP,
        "mAP@50": metrics.mAP_at_50,
    }


def metrics_table(metrics: RankingMetrics) -> str:
    """Three lines without a final newline: headings, percentages, and how many queries counted."""
    values = metrics_json(metrics)
    headings = [HEADINGS.get(key, key) for key in values]
    width = max(map(len, headings))
    percentages = [f"{100 * value:.1f}%" for value in values.values()]
    queries = len(metrics.average_precision)
    counted = f"{metrics.evaluated:,} of {queries:,} queries have a match"
    rows = ("  ".join(cell.rjust(width) for cell in row) for row in (headings, percentages))
    return "\n".join((*rows, counted))
