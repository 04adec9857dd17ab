"""Summary of an evaluation as text, JSON and CSV."""

import csv
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pmm_jax.config import RankConfig
from pmm_jax.distributed.processes import ProcessShard
from pmm_jax.errors import UserError
from pmm_jax.evaluation import camera_pairs as pairs
from pmm_jax.evaluation.bootstrap import Interval, mean_interval
from pmm_jax.evaluation.camera_pairs import CameraPairs
from pmm_jax.evaluation.embeddings import Embeddings
from pmm_jax.evaluation.embeddings import roc as true_positive_rates
from pmm_jax.evaluation.evaluate import evaluate_preprocessed, preprocess_embeddings
from pmm_jax.evaluation.market_protocol import JUNK
from pmm_jax.evaluation.metrics import RankingMetrics
from pmm_jax.evaluation.protocols import has_no_cameras
from pmm_jax.evaluation.table import metrics_json, metrics_table

QUERY_COLUMNS = (
    "query",
    "identity",
    "camera",
    "first_match",
    "first_match_image",
    "first_wrong_image",
    "first_wrong_identity",
    "average_precision",
    "inverse_negative_penalty",
)
"""Columns of the per-query table."""


@dataclass(frozen=True, eq=False)
class Summary:
    """Metrics, and what was requested besides."""

    query: Embeddings
    """Query set as given, or pooled."""
    gallery: Embeddings
    """Gallery as given, without junk; images without a path are named by their row."""
    metrics: RankingMetrics
    roc: dict[float, float] | None
    """True positive rate at each false positive rate."""
    intervals: dict[str, Interval] | None
    """Bootstrap intervals, by the metrics' names in JSON."""
    camera_pairs: CameraPairs | None

    def text(self) -> str:
        """Summary as text tables."""
        blocks = [metrics_table(self.metrics)]
        if self.intervals is not None:
            lines = ["95 % bootstrap intervals over the queries:"]
            for name, interval in self.intervals.items():
                low, high = 100 * interval.low, 100 * interval.high
                lines.append(f"  {name:<6}{100 * interval.mean:6.1f}%  {low:.1f} to {high:.1f}")
            blocks.append("\n".join(lines))
        if self.roc is not None:
            rates = [f"  {rate:.0e}  {100 * value:5.1f}%" for rate, value in self.roc.items()]
            blocks.append("\n".join(["true positive rate at false positive rate:", *rates]))
        if self.camera_pairs is not None:
            blocks.append(_pairs_text(self.camera_pairs))
        return "\n\n".join(blocks)

    def as_json(self) -> dict[str, object]:
        """Summary as a JSON object, of fractions."""
        result: dict[str, object] = dict(metrics_json(self.metrics))
        if self.intervals is not None:
            result["intervals"] = {n: [i.low, i.high] for n, i in self.intervals.items()}
        if self.roc is not None:
            result["roc"] = {f"{rate:.0e}": value for rate, value in self.roc.items()}
        if self.camera_pairs is not None:
            result["camera_pairs"] = pairs_json(self.camera_pairs)
        return result

    def queries_csv(self) -> str:
        """A line for each query: what it is, what it found first, and its figures.

        The columns are those of QUERY_COLUMNS; docs/guides/evaluation.md says what they hold.
        """
        lines: list[str] = []
        table = csv.writer(_Lines(lines), lineterminator="\n")
        table.writerow(QUERY_COLUMNS)
        of, query = self.metrics, self.query
        for i in range(len(query.identities)):
            match, wrong = (-1, -1) if of.first_images is None else of.first_images[i].tolist()
            table.writerow(
                [
                    _name(query, i),
                    query.identity_name(i),
                    query.camera_name(i),
                    _figure(of.first_match[i]),
                    _name(self.gallery, match),
                    _name(self.gallery, wrong),
                    "" if wrong < 0 else self.gallery.identity_name(wrong),
                    _figure(of.average_precision[i]),
                    _figure(of.inverse_negative_penalty[i]),
                ]
            )
        return "".join(lines)


class _Lines(NamedTuple):
    """File object that csv writes to."""

    lines: list[str]

    def write(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


def _name(images: Embeddings, image: int) -> str:
    """Path of an image, or its row where there are no paths; empty for -1."""
    if image < 0:
        return ""
    return str(image) if images.paths is None else str(images.paths[image])


def _figure(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def summarize(  # noqa: PLR0913
    query: Embeddings,
    gallery: Embeddings,
    settings: RankConfig,
    query_block: int = 512,
    roc: bool = False,
    intervals: bool = False,
    camera_pairs: bool = False,
    per_query: bool = False,
    shard: ProcessShard | None = None,
) -> Summary:
    """Evaluate by the given settings, and add the requested extras.

    Args:
        query: Q images.
        gallery: G images, embedded by the same model.
        settings: distance, protocol, expansion and re-ranking.
        query_block: queries that are compared with a block of the gallery at once.
        roc: add true positive rates.
        intervals: add bootstrap intervals.
        camera_pairs: add a table of camera pairs.
        per_query: tell which images come first for each query.
        shard: as of `evaluate_embeddings`.

    Raises:
        UserError: embeddings or settings that don't allow it.
    """
    if (roc or camera_pairs) and (settings.rerank or settings.single_shot or settings.faiss_index):
        raise UserError(
            "--roc and --camera-pairs are of the plain ranking; leave out rerank, single_shot and "
            "faiss_index"
        )
    if intervals and settings.single_shot:
        raise UserError(
            "--intervals are of one gallery, and single_shot has many; leave out one of them"
        )
    if camera_pairs and (not settings.cameras or has_no_cameras(query) or has_no_cameras(gallery)):
        raise UserError(
            "--camera-pairs needs cameras, and these images have none that is known: with "
            "no-cameras none counts, and a negative one is unknown"
        )
    given = query, gallery
    query, gallery = preprocess_embeddings(query, gallery, settings)
    result = evaluate_preprocessed(
        query, gallery, settings, query_block, shard=shard, first_images=per_query
    )
    kept = np.flatnonzero(np.asarray(given[1].identities) != JUNK)
    paths = kept.astype(str) if gallery.paths is None else gallery.paths
    return Summary(
        query=query if settings.multi_query != "none" else given[0],
        gallery=replace(gallery, paths=paths),
        metrics=result,
        roc=true_positive_rates(query, gallery, query_block) if roc else None,
        intervals=_intervals(result, settings.seed) if intervals else None,
        camera_pairs=pairs.camera_pairs(query, gallery, query_block) if camera_pairs else None,
    )


def _intervals(metrics: RankingMetrics, seed: int) -> dict[str, Interval]:
    values = {
        "rank1": metrics.hits,
        "mAP": metrics.average_precision,
        "mINP": metrics.inverse_negative_penalty,
    }
    return {name: mean_interval(value, seed) for name, value in values.items()}


def _pairs_text(table: CameraPairs) -> str:
    header = "".join(f"{camera:>14}" for camera in table.gallery_cameras)
    lines = ["Rank-1 / mAP by camera of the query (row) and of the gallery (column):"]
    lines.append(" " * 6 + header)
    for row, camera in enumerate(table.query_cameras):
        cells = []
        for rank1, mean in zip(table.rank1[row], table.mAP[row], strict=True):
            empty = np.isnan(rank1)
            cells.append(f"{'-' if empty else f'{100 * rank1:.1f} / {100 * mean:.1f}':>14}")
        lines.append(f"{camera:>6}" + "".join(cells))
    return "\n".join(lines)


def pairs_json(table: CameraPairs) -> list[dict[str, float]]:
    """Each pair of cameras that has queries, as a JSON object of fractions."""
    return [
        {
            "query_camera": int(own),
            "gallery_camera": int(other),
            "queries": int(table.queries[row, column]),
            "rank1": float(table.rank1[row, column]),
            "mAP": float(table.mAP[row, column]),
        }
        for row, own in enumerate(table.query_cameras)
        for column, other in enumerate(table.gallery_cameras)
        if table.queries[row, column]
    ]
