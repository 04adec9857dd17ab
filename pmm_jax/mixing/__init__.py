"""The paper's idea: where a stage looks, and what the next stage gets to see instead."""

from pmm_jax.mixing.block_ranking import block_scores, keep_mask
from pmm_jax.mixing.grad_cam import grad_cam
from pmm_jax.mixing.hard_mix import draw_negatives, hard_mix

__all__ = ["block_scores", "draw_negatives", "grad_cam", "hard_mix", "keep_mask"]
