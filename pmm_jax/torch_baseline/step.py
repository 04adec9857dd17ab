"""One training step in PyTorch."""

from typing import Any

import torch
from torch import Tensor

from pmm_jax.config import OptimConfig
from pmm_jax.torch_baseline.bdb import BDB
from pmm_jax.torch_baseline.losses import batch_hard_triplet, smoothed_cross_entropy
from pmm_jax.torch_baseline.model import PMM


def adam(model: PMM | BDB, optim: OptimConfig) -> torch.optim.Optimizer:
    """Adam with L2 in the gradient, or AdamW with decay of the kernels alone.

    The caller sets each step's learning rate.
    """
    optimizer = _plain_adam(model, optim)
    if optim.centralize != "none":
        chosen = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.ndim > 1 and (optim.centralize == "kernels" or "softmax" in name)
        ]
        # Adam adds its L2 after this, AdamW decays beside the gradient.
        l2 = optim.weight_decay if optim.optimizer == "adam" else 0.0
        optimizer.register_step_pre_hook(lambda *_: _centralize(chosen, l2))
    return optimizer


def _centralize(kernels: list[torch.nn.Parameter], l2: float) -> None:
    """Make each output's gradient, with L2, 0 in the mean over the inputs (Yong et al., 2020)."""
    for kernel in kernels:
        assert kernel.grad is not None
        whole = kernel.grad + l2 * kernel.detach()
        kernel.grad -= whole.mean(tuple(range(1, whole.ndim)), keepdim=True)


def _plain_adam(model: PMM | BDB, optim: OptimConfig) -> torch.optim.Optimizer:
    if optim.optimizer == "adamw":
        kernels = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        return torch.optim.AdamW(
            [
                {"params": kernels, "weight_decay": optim.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            optim.peak_lr,
            optim.betas,
            optim.eps,
        )
    return torch.optim.Adam(
        model.parameters(), optim.peak_lr, optim.betas, optim.eps, optim.weight_decay
    )


def train_step(
    model: PMM | BDB,
    optimizer: torch.optim.Optimizer,
    learning_rate: float,
    images: Tensor,
    labels: Tensor,
    *choices: Any,
) -> tuple[dict[str, float], list[Tensor]]:
    """Forward, losses, backward, Adam.

    Args:
        model: in training mode.
        optimizer: as `adam` makes it.
        learning_rate: of this step.
        images: (N, 3, H, W), normalized and augmented.
        labels: (N,) int64.
        choices: what the model's `stages` takes besides: negatives, masks, rows.

    Returns:
        `loss` and every stage's `triplet*` and `cross_entropy*`; the masks that the CAMs chose.
    """
    outputs = model.stages(images, labels, *choices)
    smoothing = model.method.label_smoothing
    losses = {
        f"triplet{i}": batch_hard_triplet(x, labels) for i, x in enumerate(outputs.embeddings, 1)
    }
    losses |= {
        f"cross_entropy{i}": smoothed_cross_entropy(x, labels, smoothing)
        for i, x in enumerate(outputs.logits, 1)
    }
    loss = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    values = {"loss": loss.item()} | {name: value.item() for name, value in losses.items()}
    return values, outputs.masks
