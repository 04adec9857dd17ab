"""Data sets, a class each: its layout on disk, its published size, and where to get it.

A new one is a subclass of `Dataset` in a file of its own and a line in pmm_jax/registry.py; or,
from outside the package, a subclass with the decorator `register`, in a config file say.
"""

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets.dataset import Dataset, SplitSize
from pmm_jax.data.records import UNKNOWN_CAMERA, Problem, Record, Scan
from pmm_jax.fields import check_choice
from pmm_jax.registry import DATASETS

__all__ = [
    "UNKNOWN_CAMERA",
    "Dataset",
    "Problem",
    "Record",
    "Scan",
    "SplitSize",
    "get_dataset",
    "register",
]

register = DATASETS.register


def get_dataset(config: DataConfig) -> Dataset:
    """The data set that a config names.

    Args:
        config: its name, root and how cameras are taken.

    Raises:
        UserError: there is none of that name.

    Example:
        >>> from pmm_jax.config import DataConfig
        >>> from pmm_jax.data.datasets import get_dataset
        >>> scan = get_dataset(DataConfig(name="market1501", root="data/synthetic")).scan()
        >>> list(scan.splits), scan.problems  # nothing unusual
        (['train', 'query', 'gallery'], [])
    """
    check_choice("data.name", config.name, DATASETS)
    found: Dataset = DATASETS[config.name](config)
    return found
