"""Data sets and methods by the name that they have in a config.

Configs are below both, so a class of the package is named here as MODULE:CLASS and imported on
first use.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol, TypeVar


class Named(Protocol):
    """A class with a name."""

    name: ClassVar[str]


C = TypeVar("C", bound=type[Named])


class Registry(Mapping[str, Any]):
    """Classes by name.

    Args:
        places: MODULE:CLASS of each that the package has.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)
        self._classes: dict[str, Any] = {}

    def register(self, cls: C) -> C:
        """Class decorator: make a class from outside the package known by its `name`.

        Args:
            cls: a data set or a method.

        Raises:
            ValueError: the package has a class of that name.

        Example:
            >>> from pmm_jax.methods import METHODS, register
            >>> from pmm_jax.methods.pmm import PMM
            >>> @register
            ... class Ours(PMM):
            ...     name, title = "ours", "Ours"
            >>> METHODS["ours"].title  # MethodConfig(name="ours") trains it
            'Ours'
        """
        if cls.name in self._places:
            raise ValueError(f"{cls.name} is a name of the package's own; choose another")
        self._classes[cls.name] = cls
        return cls

    def __getitem__(self, name: str) -> Any:
        if name not in self._classes:
            module, _, cls = self._places[name].partition(":")
            self._classes[name] = getattr(import_module(module), cls)
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places | self._classes)

    def __len__(self) -> int:
        return len(self._places | self._classes)


DATASETS = Registry(
    {
        "market1501": "pmm_jax.data.datasets.market1501:Market1501",
        "dukemtmc": "pmm_jax.data.datasets.dukemtmc:DukeMTMC",
        "cuhk03_detected": "pmm_jax.data.datasets.cuhk03:CUHK03Detected",
        "cuhk03_labeled": "pmm_jax.data.datasets.cuhk03:CUHK03Labeled",
        "msmt17": "pmm_jax.data.datasets.msmt17:MSMT17",
        "folder": "pmm_jax.data.datasets.folder:Folder",
    }
)
"""Subclasses of `data.datasets.Dataset` by data.name."""

METHODS = Registry(
    {
        "pmm": "pmm_jax.methods.pmm:PMM",
        "cutout": "pmm_jax.methods.pmm:CutOut",
        "cutmix": "pmm_jax.methods.cutmix:CutMix",
        "a_cutmix": "pmm_jax.methods.cutmix:AttentiveCutMix",
        "bdb": "pmm_jax.methods.bdb:BDB",
        "random_mix": "pmm_jax.methods.pmm:RandomMix",
        "easy_mix": "pmm_jax.methods.pmm:EasyMix",
        "none": "pmm_jax.methods.pmm:NoMixing",
        "baseline": "pmm_jax.methods.baseline:Baseline",
    }
)
"""Subclasses of `methods.Method` by method.name."""
