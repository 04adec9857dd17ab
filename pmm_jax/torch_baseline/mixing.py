"""Grad-CAM and block ranking in PyTorch."""

import torch
from torch import Tensor


def head_cam(logits: Tensor, feature_map: Tensor, labels: Tensor) -> Tensor:
    """Grad-CAM by the backward of the head alone: autograd stops at the map.

    Args:
        logits: (N, identities).
        feature_map: (N, C, h, w), the map that the head saw.
        labels: (N,) int64.

    Returns:
        (N, h, w), detached.
    """
    (gradient,) = torch.autograd.grad(_score(logits, labels), feature_map, retain_graph=True)
    return _cam(gradient, feature_map)


def released_cam(logits: Tensor, feature_map: Tensor, labels: Tensor) -> Tensor:
    """Grad-CAM as the release computes it: a backward through the whole trunk.

    It leaves gradients in every parameter, which must be zeroed before the loss's own backward.
    """
    caught: list[Tensor] = []
    handle = feature_map.register_hook(caught.append)
    _score(logits, labels).backward(retain_graph=True)
    handle.remove()
    return _cam(caught[0], feature_map)


def _score(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).sum()


def _cam(gradient: Tensor, feature_map: Tensor) -> Tensor:
    weights = gradient.mean((2, 3))
    return torch.einsum("nc,nchw->nhw", weights, feature_map.detach()).relu()


def block_mask(cam: Tensor, block: tuple[int, int], top_k: int) -> Tensor:
    """(N, 1, h, w) bool: False in the `top_k` blocks with the highest sums of `cam`, (N, h, w).

    Equal blocks are taken in reading order.
    """
    n, h, w = cam.shape
    rows, columns = h // block[0], w // block[1]
    scores = cam.reshape(n, rows, block[0], columns, block[1]).sum((2, 4)).flatten(1)
    chosen = scores.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
    mask = torch.ones_like(scores, dtype=torch.bool).scatter_(1, chosen, False)
    mask = mask.reshape(n, 1, rows, columns)
    return mask.repeat_interleave(block[0], 2).repeat_interleave(block[1], 3)
