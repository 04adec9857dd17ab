"""The CPU's forms of the stock operations: the same mathematics, written so that XLA is fast on it.

On a CPU, XLA transposes whole activations for a convolution's weight gradient and scatters for max
pooling's; here they are dots and comparisons (docs/design/cpu.md has the measurements).
"""

from pmm_jax.model.cpu.convolution import conv
from pmm_jax.model.cpu.normalization import batch_norm
from pmm_jax.model.cpu.pooling import max_pool

__all__ = ["COMPILER_OPTIONS", "batch_norm", "conv", "max_pool"]

COMPILER_OPTIONS: dict[str, str | bool] = {
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"
}
"""A training step's: an order that takes a fifth off the scratch and no time."""
