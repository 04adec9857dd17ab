"""Data sets, a class each: its layout on disk, its published size, and where to get it.

A new one is a subclass of `Dataset` in a file of its own and a line in pmm_jax/registry.py; or,
from outside the package, a subclass with the decorator `register`, in a config file say.
"""

from importlib import import_module
from typing import TypeVar

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

D = TypeVar("D", bound=type[Dataset])


def register(cls: D) -> D:
    """Class decorator: make a data set from outside the package known as data.name `cls.name`.

    Raises:
        ValueError: the package has a data set of that name.
    """
    if isinstance(DATASETS.get(cls.name), str):
        raise ValueError(f"{cls.name} is a name of the package's own; choose another")
    DATASETS[cls.name] = cls
    return cls


def get_dataset(config: DataConfig) -> Dataset:
    """The data set that a config names.

    Raises:
        UserError: there is none of that name.
    """
    check_choice("data.name", config.name, DATASETS)
    cls = DATASETS[config.name]
    if isinstance(cls, str):
        module, _, name = cls.partition(":")
        cls = getattr(import_module(module), name)
    found: Dataset = cls(config)
    return found
