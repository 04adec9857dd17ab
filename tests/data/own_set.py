"""Sets of one's own for the tests, and what a scan of them found."""

from pathlib import Path
from typing import Any

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets import get_dataset
from pmm_jax.data.records import Scan
from pmm_jax.data.unknown_cameras import number_unknown_cameras


def scan(name: str, root: Path, **options: Any) -> Scan:
    """What was found, the unknown cameras numbered."""
    dataset = get_dataset(DataConfig(name=name, root=str(root), **options))
    return number_unknown_cameras(dataset.base, dataset.scan())


def scan_folder(root: Path, train_fraction: float = 0.5, **options: Any) -> Scan:
    return scan("folder", root, train_fraction=train_fraction, **options)


def write(root: Path, *paths: str) -> Path:
    """Files that differ in content; scans don't decode."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


def write_table(root: Path, *lines: str, header: str = "path,id,camera,split") -> Path:
    root.mkdir(exist_ok=True)
    (root / "set.csv").write_text("\n".join([header, *lines]) + "\n")
    return root / "set.csv"


def rows(found: Scan, split: str) -> list[tuple[str, str, int]]:
    return [(r.path, found.names[r.identity], r.camera) for r in found.splits[split]]


def fatal(found: Scan) -> dict[str, str]:
    return {p.path: p.reason for p in found.problems if p.fatal}


def notes(found: Scan) -> dict[str, str]:
    return {p.path: p.reason for p in found.problems if not p.fatal}
