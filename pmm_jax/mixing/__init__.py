"""The paper's idea: where a stage looks, and what the next stage gets to see instead.

`pmm_jax/methods.py` lists PMM and the methods that it is compared with.
"""

from pmm_jax.mixing.block_ranking import block_scores, keep_mask
from pmm_jax.mixing.draws import Draws, draw_mixing
from pmm_jax.mixing.grad_cam import grad_cam
from pmm_jax.mixing.hard_mix import draw_negatives, hard_mix, nearest_negatives
from pmm_jax.mixing.replace import replace_blocks

__all__ = [
    "Draws",
    "block_scores",
    "draw_mixing",
    "draw_negatives",
    "grad_cam",
    "hard_mix",
    "keep_mask",
    "nearest_negatives",
    "replace_blocks",
]
