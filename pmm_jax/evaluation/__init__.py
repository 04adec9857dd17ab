"""Ranking of query images against a gallery: CMC, mAP and mINP, by any of the field's protocols."""

from pmm_jax.evaluation.embeddings import Embeddings, evaluate_embeddings, roc
from pmm_jax.evaluation.features_file import load_features
from pmm_jax.evaluation.metrics import RankingMetrics, evaluate_distances

__all__ = [
    "Embeddings",
    "RankingMetrics",
    "evaluate_distances",
    "evaluate_embeddings",
    "load_features",
    "roc",
]
