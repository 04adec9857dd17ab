"""Synthetic people: a small re-identification set with Market-1501's layout and file names."""

from pmm_jax.data.synthetic.layout import synthesize
from pmm_jax.data.synthetic.settings import SyntheticSettings

__all__ = ["SyntheticSettings", "synthesize"]
