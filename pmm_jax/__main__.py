"""python -m pmm_jax VERB ..., which is also the command `pmm VERB ...`."""

from pmm_jax import early  # noqa: F401  # before what takes long to import

# isort: split
from pmm_jax.cli.main import pmm

if __name__ == "__main__":
    pmm()
