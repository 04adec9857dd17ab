"""The baseline's optimizer: what is decayed, and how."""

from dataclasses import replace
from typing import Literal

import pytest

torch = pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

from pmm_jax.config import MethodConfig, ModelConfig, OptimConfig  # noqa: E402
from pmm_jax.torch_baseline.model import PMM  # noqa: E402
from pmm_jax.torch_baseline.step import adam  # noqa: E402

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
OPTIM = OptimConfig(peak_lr=0.5, betas=(0.8, 0.9), eps=1e-7)


def model() -> PMM:
    made = PMM(SIZES, MethodConfig(), 5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(1, 2)  # no bias is 0, where decay can't be seen
            parameter.grad = torch.zeros_like(parameter)
    return made


def test_adamw_decays_the_kernels_alone() -> None:
    made = model()
    before = {name: value.detach().clone() for name, value in made.named_parameters()}
    optimizer = adam(made, replace(OPTIM, optimizer="adamw", weight_decay=0.1))
    optimizer.step()
    kinds = {1: 0, 2: 0, 4: 0}
    for name, value in made.named_parameters():
        factor = 1 - 0.5 * 0.1 if value.ndim > 1 else 1
        torch.testing.assert_close(value.detach(), factor * before[name], msg=name)
        kinds[value.ndim] += 1
    assert all(kinds.values())
    assert {(g["lr"], g["betas"], g["eps"]) for g in optimizer.param_groups} == {
        (0.5, (0.8, 0.9), 1e-7)
    }


def test_adams_decay_is_in_the_gradient_of_every_parameter() -> None:
    made = model()
    before = {name: value.detach().clone() for name, value in made.named_parameters()}
    optimizer = adam(made, replace(OPTIM, weight_decay=0.1))
    assert type(optimizer) is torch.optim.Adam
    optimizer.step()
    for name, value in made.named_parameters():
        # The first step of Adam is the rate long, whatever the gradient, which is the decay alone.
        torch.testing.assert_close(
            value.detach(), before[name] - 0.5, msg=name, rtol=1e-4, atol=1e-5
        )
    assert {(g["betas"], g["eps"]) for g in optimizer.param_groups} == {((0.8, 0.9), 1e-7)}


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize(("which", "count"), [("classifiers", 3), ("kernels", 26)])
def test_centralized_gradients_are_ours(
    optimizer: Literal["adam", "adamw"], which: Literal["classifiers", "kernels"], count: int
) -> None:
    """As the definition that tests/training/test_optimizer.py holds ours to."""
    plain = replace(OPTIM, optimizer=optimizer, weight_decay=0.1)
    one, other = model().double(), model().double()
    other.load_state_dict(one.state_dict())
    centralizing = adam(one, replace(plain, centralize=which))
    by_hand = adam(other, plain if optimizer == "adamw" else replace(plain, weight_decay=0.0))
    torch.manual_seed(0)
    moved = 0
    for _ in range(2):
        for (name, mine), its in zip(one.named_parameters(), other.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            whole = mine.grad + (0.1 * its.detach() if optimizer == "adam" else 0)
            if mine.ndim > 1 and (which == "kernels" or "softmax" in name):
                whole = whole - torch.stack([torch.full_like(w, w.mean().item()) for w in whole])
                moved += 1
            its.grad = whole
        centralizing.step()
        by_hand.step()
    assert moved == 2 * count
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)
