"""What a ranking would refuse is refused from the labels alone, and nothing else is."""

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.evaluate import check_protocol, evaluate_ranking

needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="faiss is not installed (requirements-dev)"
)
LENGTH = 12


def images(count: int, cameras: int = 3, identities: int = 4, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng([seed, count])
    features = rng.standard_normal((count, LENGTH)).astype(np.float32)
    return Embeddings(features, rng.integers(1, identities + 1, count), np.arange(count) % cameras)


def checked_from_labels(query: Embeddings, gallery: Embeddings, settings: RankConfig) -> None:
    check_protocol(
        query.identities,
        query.cameras,
        gallery.identities,
        gallery.cameras,
        settings,
        query_paths=None if query.paths is None else query.paths.tolist(),
        gallery_paths=None if gallery.paths is None else gallery.paths.tolist(),
        length=LENGTH,
    )


def refusal(function: Any, *arguments: Any) -> str:
    try:
        function(*arguments)
    except UserError as error:
        return str(error)
    return ""


def ranked(query: Embeddings, gallery: Embeddings, settings: RankConfig) -> None:
    evaluate_ranking(query, gallery, settings)


COSINE = {"distance": "cosine"}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"cameras": False},
    {"rerank": True, "k1": 20, "k2": 6},
    {"rerank": True, "k1": 3, "k2": 2},
    {"rerank": True, "k1": 3, "k2": 2, "multi_query": "average"},
    {"rerank": True, "k1": 5, "k2": 6},
    {"multi_query": "max"},
    {"multi_query": "max", "cameras": False},
    {"single_shot": 2},
    {"query_expansion_k": 9, **COSINE},
    {"query_expansion_k": 30, **COSINE},
    {"dba_k": 9, **COSINE},
    {"dba_k": 29, **COSINE},
    {"query_expansion_k": 3},
    {"rerank": True, "single_shot": 2},
]
INDICES = ["Flat", "IVF4,Flat", "IVF99,Flat", "IVF2,PQ5", "PQ4", "PQ4x2", "Nonsense"]
SETS = {
    "plain": (images(8), images(30)),
    "few": (images(2), images(9)),
    "one camera": (images(8, cameras=1), images(30, cameras=1)),
    "no camera": tuple(replace(images(n), cameras=np.full(n, -1)) for n in (8, 30)),
    "strangers": (images(8), replace(images(30), identities=np.arange(100, 130))),
    "junk": (images(8), replace(images(30), identities=np.full(30, -1))),
    "half junk": (images(8), replace(images(30), identities=np.repeat([1, -1], 15))),
    "the same images": tuple(
        replace(images(9), identities=np.arange(9), paths=np.arange(9).astype(str)) for _ in "qg"
    ),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_labels_alone_tell_what_the_ranking_refuses(name: str, settings: dict[str, Any]) -> None:
    query, gallery = SETS[name]
    chosen = replace(RankConfig(), **settings)
    expected = refusal(ranked, query, gallery, chosen)
    assert refusal(checked_from_labels, query, gallery, chosen) == expected


@needs_faiss
@pytest.mark.parametrize("name", ["plain", "few", "half junk", "junk"])
@pytest.mark.parametrize("index", INDICES)
def test_an_index_is_tried_before_there_are_embeddings(name: str, index: str) -> None:
    query, gallery = SETS[name]
    settings = RankConfig(faiss_index=index)
    expected = refusal(ranked, query, gallery, settings)
    assert bool(refusal(checked_from_labels, query, gallery, settings)) == bool(expected)


def test_both_outcomes_are_seen() -> None:
    messages = {
        refusal(checked_from_labels, *pair, replace(RankConfig(), **settings))
        for pair in SETS.values()
        for settings in SETTINGS
    }
    assert not any("\n" in message for message in messages)
    for words in (
        "",
        "same-camera rule",
        "shares a query's identity",
        "needs 1 <= k2 <= k1 < 11",
        "30 neighbors of an image are wanted among 15",
        "find themselves",
        "can't be combined",
    ):
        assert any(words in message if words else not message for message in messages), words


def test_without_faiss_an_index_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UserError, match=r'pip install "pmm_jax\[faiss\]"'):
        checked_from_labels(images(8), images(30), RankConfig(faiss_index="Flat"))


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="query cameras has shape"):
        check_protocol([1, 2], [0], [1, 2], [1, 1], RankConfig())
