"""Who is taken for whom, labels that may be wrong, and which cameras and pictures are hard."""

import base64
import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, RankingMetrics
from pmm_jax.evaluation.camera_pairs import camera_pairs
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.evaluation.label_errors import label_errors, sample_identities
from pmm_jax.evaluation.protocols import has_no_cameras
from pmm_jax.evaluation.summary import pairs_json
from pmm_jax.report.charts import interval_chart
from pmm_jax.report.difficulty import FACTORS, measure, quartiles
from pmm_jax.report.page import number
from pmm_jax.report.pictures import thumbnail
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content

SHOWN = 12
"""Pairs of identities, and label errors, that are shown with pictures."""
IMAGES = 30_000
"""Images compared with each other, at most: the time grows with the square."""
CAMERAS = 24
"""Cameras of a table that can be read."""
QUERIES = 20_000
"""Queries whose pictures are measured, at most."""
COLUMNS = (
    *("path", "identity", "looks_like", "margin", "distance_own", "distance_other"),
    *("nearest_own", "nearest_other", "cameras", "agreeing_cameras"),
)
"""Of the label errors, in report.json and in the CSV file."""


def build(run: RunData) -> Content:
    """Each part, or the line that says why it isn't there.

    Raises:
        UserError: nothing can be evaluated.
    """
    parts = {
        "identities": lambda: _identities(run),
        "labels": lambda: _labels(run),
        "cameras": lambda: _cameras(run),
        "difficulty": lambda: _difficulty(run),
    }
    if not run.summary.metrics.evaluated:
        raise UserError("no query has a match")
    values = {name: _or_reason(part) for name, part in parts.items()}
    pairs, errors = values["identities"].get("shown", []), values["labels"].get("errors", [])
    paths = {pair[role] for pair in pairs for role in ("query", "found")}
    roles = ("path", "nearest_own", "nearest_other")
    paths |= {error[role] for error in errors[:SHOWN] for role in roles}
    charts = {
        name: _chart(name, groups)
        for name, groups in values["difficulty"].get("factors", {}).items()
    }
    media = {
        "pictures": {path: thumbnail(run, path) for path in sorted(paths)},
        "csv": _csv_link(errors),
        "charts": charts,
    }
    return Content(values, media)


def _or_reason(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return part()
    except UserError as error:
        return {"missing": str(error)}


def confused(metrics: RankingMetrics, gallery_ids: np.ndarray) -> np.ndarray:
    """(Q,) identity that each query finds before its first match; -1 where that comes first.

    Raises:
        UserError: of many galleries no one image comes first.
    """
    if metrics.first_images is None:
        raise UserError("a single-shot evaluation has many galleries, and no one first image")
    wrong = metrics.first_images[:, 1]
    is_confused = (metrics.first_match > 1) & (wrong >= 0)
    return np.where(is_confused, gallery_ids[wrong], -1)


def identity_pairs(query_ids: np.ndarray, found: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Two identities, queries of the one that find the other first, and the other way round.

    Those with most queries come first; the first of a pair is the one with more of them.

    Args:
        query_ids: (Q,) integers.
        found: (Q,) as `confused`; those below 0 are left out.
    """
    wrong = found >= 0
    counts = Counter(zip(query_ids[wrong].tolist(), found[wrong].tolist(), strict=True))
    pairs = []
    for one, other in {(min(pair), max(pair)) for pair in counts}:
        there, back = counts[one, other], counts[other, one]
        pairs.append((one, other, there, back) if there >= back else (other, one, back, there))
    return sorted(pairs, key=lambda pair: (-pair[2] - pair[3], pair))


def _identities(run: RunData) -> dict[str, Any]:
    summary = run.summary
    query, gallery, metrics = summary.query, summary.gallery, summary.metrics
    found = confused(metrics, gallery.identities)
    strangers = (found == 0) & ~_is_person(found, query.identities)
    people = np.where(strangers, -1, found)
    shown = []
    pairs = identity_pairs(query.identities, people)
    assert metrics.first_images is not None  # else `confused` has refused
    for one, other, there, back in pairs[:SHOWN]:
        rows = np.flatnonzero((query.identities == one) & (people == other))
        row = rows[np.argmax(metrics.first_match[rows])]
        image = metrics.first_images[row, 1]
        shown.append(
            {
                "identity": query.identity_name(row),
                "other": gallery.identity_name(image),
                "queries": there,
                "of": _evaluated(metrics, query, one),
                "queries_of_other": back,
                "of_other": _evaluated(metrics, query, other),
                "query": _path(query, row),
                "found": _path(gallery, image),
                "first_match": metrics.first_match[row],
            }
        )
    return {
        "confused": int((found >= 0).sum()),
        "distractors": int(strangers.sum()),
        "evaluated": metrics.evaluated,
        "pairs": len(pairs),
        "shown": shown,
    }


def _is_person(identities: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """Whether an identity is one person: 0 is that of all distractors, unless a query has it."""
    return (identities > 0) | ((identities == 0) & (query_ids == 0).any())


def _evaluated(metrics: RankingMetrics, query: Embeddings, identity: int) -> int:
    mine = query.identities == identity
    return int((mine & ~np.isnan(metrics.first_match)).sum())


def _path(images: Embeddings, row: int) -> str:
    return str(row) if images.paths is None else str(images.paths[row])


def _labels(run: RunData) -> dict[str, Any]:
    images = labeled_images(*run.embeddings)
    names, counts = np.unique(images.identities, return_counts=True)
    if len(names) < 2:
        raise UserError("all images are of one identity, so there is no other that they look like")
    if counts.max() < 2:
        raise UserError("each identity has one image, so none can be compared with its own")
    rows = sample_identities(images.identities, IMAGES, run.config.evaluate.seed)
    some = images.take(rows)
    features = some.features
    if run.config.evaluate.distance == "cosine":
        features = unit_length("image", features).astype(np.float32)
    found = label_errors(features, some.identities, some.cameras)
    errors = []
    for at, row in enumerate(found.images):
        own, other = found.nearest_own[at], found.nearest_other[at]
        cells = (
            *(_path(some, row), some.identity_name(row), some.identity_name(other)),
            *(found.margins[at], found.own[at], found.other[at]),
            *(_path(some, own), _path(some, other)),
            *(int(found.cameras[at]), int(found.agreeing[at])),
        )
        errors.append(dict(zip(COLUMNS, cells, strict=True)))
    return {
        "images": len(images.identities),
        "compared": len(rows),
        "errors": errors,
        "shown": min(SHOWN, len(errors)),
    }


def labeled_images(query: Embeddings, gallery: Embeddings) -> Embeddings:
    """Query and gallery together, without junk and distractors, each image once."""
    paths = None
    if query.paths is not None and gallery.paths is not None:
        paths = np.concatenate([query.paths, gallery.paths])
    both = replace(
        query,
        features=np.concatenate([query.features, gallery.features]),
        identities=np.concatenate([query.identities, gallery.identities]),
        cameras=np.concatenate([query.cameras, gallery.cameras]),
        paths=paths,
        identity_names={**gallery.identity_names, **query.identity_names},
    )
    rows = np.flatnonzero(_is_person(both.identities, query.identities))
    if paths is not None:
        rows = rows[np.sort(np.unique(paths[rows], return_index=True)[1])]
    return both.take(rows)


def _csv_link(errors: list[dict[str, Any]]) -> str:
    """The list as a CSV file in a data URI."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(errors)
    encoded = text.getvalue().encode("utf-8", "backslashreplace")
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(encoded).decode()}"


def _cameras(run: RunData) -> dict[str, Any]:
    settings = run.config.evaluate
    if settings.rerank or settings.single_shot or settings.faiss_index:
        raise UserError(
            "camera pairs are of the plain ranking, and this run is evaluated with rerank, "
            "single_shot or faiss_index"
        )
    query, gallery = run.ranked
    if not settings.cameras or has_no_cameras(query) or has_no_cameras(gallery):
        raise UserError("no camera is known, or none counts")
    count = max(len(np.unique(images.cameras)) for images in (query, gallery))
    if count > CAMERAS:
        raise UserError(f"{count} cameras are too many for a table; eval --camera-pairs prints it")
    table = camera_pairs(query, gallery, settings.query_block)
    cells = pairs_json(table)
    names = {**query.camera_names, **gallery.camera_names}
    seen = sorted({*table.query_cameras.tolist(), *table.gallery_cameras.tolist()})
    return {
        "camera_pairs": cells,
        "query_cameras": table.query_cameras,
        "gallery_cameras": table.gallery_cameras,
        "names": {camera: names.get(camera, str(camera)) for camera in seen},
        "lowest": min(cell["rank1"] for cell in cells),
        "highest": max(cell["rank1"] for cell in cells),
    }


def _difficulty(run: RunData) -> dict[str, Any]:
    settings, query = run.config.evaluate, run.summary.query
    if settings.multi_query != "none":
        raise UserError("a pooled query has several images")
    if query.paths is None:
        raise UserError("the queries' images have no paths")
    precisions = run.summary.metrics.average_precision
    with_match = np.flatnonzero(~np.isnan(precisions))
    places = np.linspace(0, len(with_match) - 1, min(QUERIES, len(with_match))).round()
    rows = with_match[places.astype(int)]
    measures = measure(run, query.paths[rows].tolist())
    factors = {
        name: quartiles(column, precisions[rows], settings.seed)
        for name, column in zip(FACTORS, measures.T, strict=True)
    }
    if not factors["height"]:
        raise UserError("no query's image can be read")
    unreadable = int(np.isnan(measures[:, 0]).sum())
    return {
        "measured": len(rows) - unreadable,
        "unreadable": unreadable,
        "factors": {name: groups for name, groups in factors.items() if len(groups) > 1},
        "alike": {name: groups[0]["low"] for name, groups in factors.items() if len(groups) == 1},
    }


def _chart(name: str, groups: list[dict[str, Any]]) -> str:
    return interval_chart(
        [f"{number(group['low'])} to\n{number(group['high'])}" for group in groups],
        [100 * group["mAP"] for group in groups],
        [[100 * end for end in group["interval"]] for group in groups],
        FACTORS[name],
        "mAP, %",
        f"mAP by {name} of the query's image",
    )
