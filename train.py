"""Train: python train.py --config configs/NAME.py --workdir DIR [--group.field VALUE ...].

The same as `pmm train`; pmm_jax/cli/train.py has its options.
"""

from pmm_jax import early  # noqa: F401  # before what takes long to import

# isort: split
from pmm_jax.cli.main import pmm

if __name__ == "__main__":
    pmm("train")
