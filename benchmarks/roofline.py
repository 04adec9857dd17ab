"""Peak FLOP/s of a device: measured by a matrix product, and from its data sheet."""

import time

SIZE = 8192
"""Rows and columns of the product on an accelerator; on a CPU a quarter."""
ROUNDS = 5

# FLOP/s of dense matrix products, from the makers' data sheets: (bfloat16, float32 by TF32 where
# there is one). A TPU has no float32 rate of its own.
STATED = {
    "NVIDIA A100": (312e12, 156e12),
    "NVIDIA H100": (989e12, 494e12),
    "NVIDIA H200": (989e12, 494e12),
    "TPU v4": (275e12, None),
    "TPU v5 lite": (197e12, None),
    "TPU v5e": (197e12, None),
    "TPU v5": (459e12, None),  # v5p; the others come first
    "TPU v6 lite": (918e12, None),
}


def matmul_rate(dtype: str = "float32", precision: str = "default") -> float:
    """FLOP/s of the fastest of a few products on the default device.

    Args:
        dtype: of the matrices.
        precision: jax's; "default" is TF32 on NVIDIA GPUs that have it, "highest" exact float32.
    """
    import jax
    import jax.numpy as jnp

    size = SIZE if jax.default_backend() != "cpu" else SIZE // 4
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    product(a, a).block_until_ready()
    fastest = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        product(a, a).block_until_ready()
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest


def stated_peak(device_kind: str, dtype: str) -> float | None:
    """FLOP/s by the data sheet, None for a device that isn't in the table."""
    for name, (half, single) in STATED.items():
        if device_kind.startswith(name):
            return half if dtype == "bfloat16" else single
    return None
