"""The data sets by the name that they have in a config."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any


class Registry(Mapping[str, Any]):
    """Classes by name. Those of the package are imported when they are first looked up."""

    def __init__(self, built_in: dict[str, str]) -> None:
        """`built_in` has MODULE:CLASS for each name."""
        self._built_in = built_in
        self._registered: dict[str, type] = {}

    def register(self, name: str, cls: type) -> None:
        """Add a class from outside the package, or replace one that was added under its name.

        Raises:
            ValueError: the package has that name itself.
        """
        if name in self._built_in:
            raise ValueError(f"{name} is a name of the package's own; choose another")
        self._registered[name] = cls

    def __getitem__(self, name: str) -> Any:
        if name in self._registered:
            return self._registered[name]
        module, _, cls = self._built_in[name].partition(":")
        return getattr(import_module(module), cls)

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._registered

    def __iter__(self) -> Iterator[str]:
        yield from (*self._built_in, *self._registered)

    def __len__(self) -> int:
        return len(self._built_in) + len(self._registered)


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
"""By data.name; `pmm_jax.data.datasets.register` adds one."""
