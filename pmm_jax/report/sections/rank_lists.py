"""Rank lists of the best, median and worst queries, and what made each result match."""

import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from pmm_jax.api import Model
from pmm_jax.config import EvaluateConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.evaluation.market_protocol import JUNK
from pmm_jax.evaluation.protocols import has_no_cameras
from pmm_jax.report.heads import ALL, head_titles, with_sum
from pmm_jax.report.pictures import cam_layer, thumbnail
from pmm_jax.report.rank_list import LENGTH, choose_queries, rank_lists
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content
from pmm_jax.runtime import on_cpu

BATCH = 16
"""Pairs that are explained at once."""
CPU_BUDGET = 2.5e13
"""Parameters x pixels x pairs that are explained on a CPU: 10 to 20 seconds on 2 cores, which is
the first result of each query by the paper's network, and every result by a small one."""

SIGNS = {
    "right": ("✓", "the query's identity, another camera"),
    "wrong": ("✗", "another identity"),
    "distractor": ("?", "identity 0: a person who is no query"),
    "same camera": ("=", "the query's identity and camera: excluded, takes no rank"),
    "junk": ("–", "identity -1: excluded, takes no rank"),  # noqa: RUF001
}
"""Sign and meaning of each mark."""
WITHOUT_CAMERAS = {
    "right": "the query's identity",
    "same camera": "the query's own image: excluded, takes no rank",
}
"""Meanings where no camera is known."""

Cams = dict[tuple[str, str], tuple[list[str], list[str]]]
"""Of query and result, by their paths: a data URI for each head, and one for their sum."""


def build(run: RunData) -> Content:
    """Lists of the chosen queries.

    Raises:
        UserError: there is no evaluation, or its images have no names.
    """
    query, gallery = run.ranked
    if query.paths is None or gallery.paths is None:
        raise UserError("these embeddings don't say which images they are of")
    metrics = run.summary.metrics
    chosen = choose_queries(metrics.average_precision, query.identities)
    few = query.take(np.array([one.row for one in chosen]))
    lists = rank_lists(few, gallery, _junk(run), not (query.identities == 0).any())
    queries = [
        {
            "group": one.group,
            "path": str(query.paths[one.row]),
            "identity": query.identity_name(one.row),
            "camera": query.camera_name(one.row),
            "average_precision": metrics.average_precision[one.row],
            "first_match": metrics.first_match[one.row],
            "results": results,
        }
        for one, results in zip(chosen, lists, strict=True)
    ]
    results = [result for results in lists for result in results]
    shown = sorted({image["path"] for image in (*queries, *results)})
    pictures = {path: thumbnail(run, path) for path in shown}
    cams, titles, reasons = _explanations(run, queries)
    values = {
        "queries": queries,
        "cameras": _names_of_cameras(gallery, {result["camera"] for result in results}),
        "notes": [*_notes(run.config.evaluate), *reasons],
    }
    marks = {result["mark"] for result in results} | {"right", "wrong"}
    legend = {mark: SIGNS[mark] for mark in SIGNS if mark in marks}
    if has_no_cameras(query):
        texts = {mark: WITHOUT_CAMERAS.get(mark, text) for mark, (_, text) in legend.items()}
        legend = {mark: (SIGNS[mark][0], text) for mark, text in texts.items()}
    media = {"pictures": pictures, "cams": cams, "titles": titles, "legend": legend}
    return Content(values, media)


def _junk(run: RunData) -> Embeddings | None:
    """The gallery's junk, embedded as the images that are ranked; None where there is none."""
    gallery, settings = run.embeddings[1], run.config.evaluate
    is_junk = np.asarray(gallery.identities) == JUNK
    if not is_junk.any() or settings.dba_k:
        return None
    junk = gallery.take(is_junk)
    if settings.distance == "cosine":
        junk = replace(junk, features=unit_length("junk", junk.features))
    return junk if settings.cameras else replace(junk, cameras=np.full(len(junk.cameras), -1))


def _names_of_cameras(gallery: Embeddings, shown: set[str]) -> list[str]:
    """Cameras of the shown results by their numbers; none where there is no choice."""
    _, firsts = np.unique(gallery.cameras, return_index=True)
    names = [name for name in map(gallery.camera_name, firsts) if name in shown and name]
    return names if len(names) > 1 else []


def _notes(settings: EvaluateConfig) -> list[str]:
    """How the lists differ from what the evaluation ranked."""
    notes = {
        "The evaluation re-ranks; these lists are in the order of the plain distance.": (
            settings.rerank
        ),
        "The evaluation samples single-shot galleries; these lists are of the whole gallery.": (
            settings.single_shot
        ),
        "The evaluation searches an index; these lists are in the order of the exact distance.": (
            settings.faiss_index
        ),
        "A query pools several images; its first one is shown and explained.": (
            settings.multi_query != "none"
        ),
        "Junk is not shown: dba_k moves the other images, and not junk.": settings.dba_k,
    }
    return [note for note, applies in notes.items() if applies]


def _explanations(run: RunData, queries: list[dict[str, Any]]) -> tuple[Cams, list[str], list[str]]:
    """CAMs of the shown pairs, their titles, and why some pairs have none."""
    try:
        model = run.model
    except UserError as error:
        return {}, [], [f"No pair is explained: {error}."]
    depth = explained_results(model, len(queries))
    pairs, unread = [], 0
    for query in queries:
        for result in query["results"][:depth]:
            paths = query["path"], result["path"]
            if run.missing.keys() & paths:
                unread += 1
            else:
                pairs.append(paths)
    reasons = []
    if any(len(query["results"]) > depth for query in queries):
        results = "result" if depth == 1 else f"{depth} results"
        reasons.append(
            f"Of each query the first {results} can be opened: on a CPU an explanation by a "
            "network of this size takes about a second."
        )
    if unread:
        reasons.append(f"{unread} pairs are not explained, whose pictures can't be read.")
    titles = head_titles(model.network)
    titles = titles if len(titles) == 1 else [*titles, ALL]
    return _cams(run, model, pairs), titles, reasons


def explained_results(model: Model, queries: int) -> int:
    """Results of each query that are explained, of so many queries: all but on a CPU."""
    if not on_cpu():
        return LENGTH + 1
    parameters = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    pairs = CPU_BUDGET / (parameters * math.prod(model.image_size))
    return max(1, min(LENGTH + 1, int(pairs / queries)))


def _cams(run: RunData, model: Model, pairs: list[tuple[str, str]]) -> Cams:
    if not pairs:
        return {}
    images, others = ([run.image(pair[side]) for pair in pairs] for side in (0, 1))
    both = model.explain_pair(images, others, min(BATCH, len(pairs)))
    sides = [[[cam_layer(cam) for cam in cams] for cams in with_sum(side)] for side in both]
    return dict(zip(pairs, zip(*sides, strict=True), strict=True))
