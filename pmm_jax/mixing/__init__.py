"""The paper's idea: where a stage looks, and what the next stage gets to see instead.

`pmm_jax/methods.py` lists PMM and the methods that it is compared with.
"""

from pmm_jax.mixing.block_ranking import block_mask, block_scores
from pmm_jax.mixing.grad_cam import grad_cam
from pmm_jax.mixing.hard_mix import hard_mix, nearest_negatives, sample_negatives
from pmm_jax.mixing.replace import mix_features
from pmm_jax.mixing.sample import MixingSample, TrainBatch, sample_mixing

__all__ = [
    "MixingSample",
    "TrainBatch",
    "block_mask",
    "block_scores",
    "grad_cam",
    "hard_mix",
    "mix_features",
    "nearest_negatives",
    "sample_mixing",
    "sample_negatives",
]
