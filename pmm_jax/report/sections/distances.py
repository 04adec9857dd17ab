"""Distances of same and of different identities, and the thresholds between them."""

from typing import Any

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.pair_distances import LEAST_ALLOWED, PairDistances, pair_distances
from pmm_jax.evaluation.pair_histograms import BINS, RESAMPLES
from pmm_jax.evaluation.protocols import has_no_cameras
from pmm_jax.report.charts import Line, histogram_chart
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content

BARS = 60
"""At most so many in the chart."""


def build(run: RunData) -> Content:
    """Histograms and operating points of the plain ranking.

    Raises:
        UserError: no query has a match, or all images are of one identity.
    """
    settings = run.config.evaluate
    pairs = pair_distances(*run.ranked, settings.query_block, settings.seed)
    values = describe(pairs)
    values["distance"] = settings.distance
    values["no_cameras"] = has_no_cameras(run.ranked[0])
    values["others"] = [
        name for name in ("rerank", "single_shot", "faiss_index") if getattr(settings, name)
    ]
    edges = np.append(values["bars"]["from"], values["bars"]["from"][-1] + values["bars"]["width"])
    chart = histogram_chart(
        [
            Line("same identity", edges, 100 * np.array(values["bars"]["same"])),
            Line("different identities", edges, 100 * np.array(values["bars"]["different"])),
        ],
        {f"{row['rate']:.0e}": row["threshold"] for row in values["rows"] if row["told"]},
        "Euclidean distance",
        "pairs in a bar, %",
        "Histograms of the distances of same and of different identities, and thresholds",
    )
    return Content(values, {"chart": chart})


def describe(pairs: PairDistances) -> dict[str, Any]:
    """What the page shows of them, as JSON.

    Raises:
        UserError: there is no pair of different identities.
    """
    histograms = pairs.histograms
    same, different = (counts.sum(0) for counts in (histograms.same, histograms.different))
    if not different.any():
        raise UserError("all images that are ranked are of one identity, so no pair is false")
    rows = []
    for point, interval in zip(pairs.points, pairs.intervals, strict=True):
        told = point.allowed >= LEAST_ALLOWED
        row: dict[str, Any] = {"rate": point.rate, "allowed": point.allowed, "told": told}
        if told:
            row |= {
                "threshold": max(point.threshold, 0) ** 0.5,
                "true_positive_rate": point.true_positive_rate,
                "intervals": None if interval is None else interval._asdict(),
            }
        rows.append(row)
    return {
        "queries": pairs.queries,
        "all_queries": pairs.all_queries,
        "identities": len(histograms.same),
        "same": int(same.sum()),
        "different": int(different.sum()),
        "least_allowed": LEAST_ALLOWED,
        "resamples": RESAMPLES,
        "bins": BINS,
        "bin_width": histograms.width,
        "rows": rows,
        "bars": _bars(same, different, histograms.width),
    }


def _bars(same: np.ndarray, different: np.ndarray, width: float) -> dict[str, Any]:
    """Shares of the pairs in each bar, over the distances that occur."""
    filled = np.flatnonzero(same + different)
    first, count = int(filled[0]), int(filled[-1] - filled[0]) + 1
    bins = -(-count // BARS)
    starts = np.arange(0, count, bins)
    shares = [
        np.add.reduceat(counts[first : first + count], starts) / counts.sum()
        for counts in (same, different)
    ]
    return {
        "from": (first + starts) * width,
        "width": bins * width,
        "same": shares[0],
        "different": shares[1],
    }
