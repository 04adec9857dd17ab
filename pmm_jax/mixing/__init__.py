"""The paper's idea: where a stage looks, and what the next stage gets to see instead.

Pure functions of arrays; `pmm_jax/methods/` makes methods of them.
"""

from pmm_jax.mixing.block_ranking import block_mask, block_scores, top_block_mask, top_blocks
from pmm_jax.mixing.grad_cam import grad_cam
from pmm_jax.mixing.hard_mix import hard_mix, nearest_negatives, rows_of, sample_negatives

__all__ = [
    "block_mask",
    "block_scores",
    "grad_cam",
    "hard_mix",
    "nearest_negatives",
    "rows_of",
    "sample_negatives",
    "top_block_mask",
    "top_blocks",
]
