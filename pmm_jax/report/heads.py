"""What the heads of a network are called, and what their CAMs come to together."""

import numpy as np

from pmm_jax.model.pmm import Network

TITLES = {"stage1": "Stage I", "stage2": "Stage II", "stage3": "Stage III"}
ALL = "All"
"""Title of the heads' CAMs together."""


def head_titles(network: Network) -> list[str]:
    """The heads' names, in the order of their embeddings and CAMs."""
    names = list(network.embedding_sizes)
    if names == ["trunk"]:
        return ["Mean of the map"]
    if len(names) == 1:
        return ["The head"]
    if "drop" in names:
        return ["Global branch", "Drop branch"]
    return [TITLES[name] for name in names]


def with_sum(cams: np.ndarray) -> np.ndarray:
    """CAMs of several heads with their sum behind them.

    A CAM is in units of its head's score, and the scores add up: the sum of the heads' logits names
    an identity, and the inner product of two whole embeddings is the sum of the heads'. So CAMs are
    added as they are, none scaled to its own maximum.

    Args:
        cams: (N, S, h, w).

    Returns:
        (N, S + 1, h, w); as they are where there is one head.
    """
    if cams.shape[1] == 1:
        return cams
    return np.concatenate([cams, cams.sum(1, keepdims=True)], axis=1)


def parts(embeddings: np.ndarray, network: Network) -> dict[str, np.ndarray]:
    """Each head's part of embeddings (N, D), by the head's name in the network."""
    sizes = network.embedding_sizes
    pieces = np.split(embeddings, np.cumsum(list(sizes.values()))[:-1], axis=1)
    return dict(zip(sizes, pieces, strict=True))
