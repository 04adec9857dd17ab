"""Queries whose first image is right in one run and wrong in another."""

from typing import Any

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.metrics import RankingMetrics
from pmm_jax.evaluation.summary import Summary
from pmm_jax.report.pictures import thumbnail
from pmm_jax.report.runs import Runs
from pmm_jax.report.section import Content

SHOWN = 6
"""Queries shown of each direction."""


def build(runs: Runs) -> Content:
    """Counts and examples, of each run beside the first one.

    Raises:
        UserError: the runs rank different images, or one has no images that come first.
    """
    runs.check_paired()
    if any(run.summary.metrics.first_images is None for run in runs.runs):
        raise UserError("these runs' evaluation doesn't tell which images come first")
    first = runs.runs[0].summary
    pairs: list[dict[str, Any]] = []
    paths: set[str] = set()
    for label, run in zip(runs.labels[1:], runs.runs[1:], strict=True):
        found = agreement(first.metrics, run.summary.metrics)
        examples = {
            name: [_example(query, first, run.summary) for query in found[name][:SHOWN]]
            for name in ("only_first", "only_other")
        }
        counts = {name: len(queries) for name, queries in found.items()}
        pairs.append(
            {"first": runs.labels[0], "other": label, "counts": counts, "examples": examples}
        )
        for example in [*examples["only_first"], *examples["only_other"]]:
            paths |= {example["query"], *(result["path"] for result in example["results"])}
    pictures = {path: thumbnail(runs.runs[0], path) for path in sorted(paths)}
    return Content({"pairs": pairs}, {"pictures": pictures})


def agreement(one: RankingMetrics, other: RankingMetrics) -> dict[str, list[int]]:
    """Queries whose first image is right in both, none or one of two rankings.

    Returns:
        Indices under `both`, `none`, `only_first` and `only_other`, those first whose average
        precision differs most.
    """
    ours, theirs = one.hits == 1, other.hits == 1
    counted = ~np.isnan(one.hits)
    apart = np.abs(np.nan_to_num(one.average_precision - other.average_precision))
    order = np.argsort(-apart, kind="stable")
    masks = {
        "both": ours & theirs,
        "none": ~ours & ~theirs & counted,
        "only_first": ours & ~theirs,
        "only_other": ~ours & theirs,
    }
    return {name: order[mask[order]].tolist() for name, mask in masks.items()}


def _example(query: int, *summaries: Summary) -> dict[str, Any]:
    """A query, and what each run finds first for it."""
    results = []
    for summary in summaries:
        images = summary.metrics.first_images
        assert images is not None
        assert summary.gallery.paths is not None
        is_match = summary.metrics.hits[query] == 1
        image = int(images[query][0 if is_match else 1])
        results.append(
            {
                "path": str(summary.gallery.paths[image]),
                "identity": summary.gallery.identity_name(image),
                "right": bool(is_match),
                "average_precision": float(summary.metrics.average_precision[query]),
            }
        )
    asked = summaries[0].query
    assert asked.paths is not None
    return {
        "query": str(asked.paths[query]),
        "identity": asked.identity_name(query),
        "results": results,
    }
