"""Label-smoothed cross entropy and batch-hard soft-margin triplet in PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Mean over the batch; targets are made in float32, as the release makes them.

    Args:
        logits: (N, C).
        labels: (N,) int64.
        smoothing: epsilon.
    """
    targets = torch.zeros(logits.shape, device=logits.device).scatter_(1, labels[:, None], 1)
    targets = (1 - smoothing) * targets + smoothing / logits.shape[1]
    return (-targets * F.log_softmax(logits, 1)).sum(1).mean()


def batch_hard_triplet(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Mean of log(1 + exp(d_ap - d_an)): farthest of the same identity, nearest of another.

    Args:
        embeddings: (N, D), not normalized.
        labels: (N,) int64.
    """
    squares = embeddings.pow(2).sum(1)
    squared = squares[:, None] + squares[None] - 2 * embeddings @ embeddings.T
    distances = squared.clamp(min=1e-12).sqrt()
    same = labels[:, None] == labels[None]
    farthest = distances.masked_fill(~same, float("-inf")).argmax(1)
    nearest = distances.masked_fill(same, float("inf")).argmin(1)
    ap = distances.gather(1, farthest[:, None])
    an = distances.gather(1, nearest[:, None])
    return F.softplus(ap - an).mean()
