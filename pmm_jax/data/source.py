"""The data set on disk that a config names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pmm_jax.config import DataConfig
from pmm_jax.data import cuhk03, folder, layouts
from pmm_jax.data.folder.numbering import unknown_cameras
from pmm_jax.data.records import Scan, file_reader
from pmm_jax.errors import UserError


def scan(config: DataConfig) -> Scan:
    """Records and problems of the data set that config names; decodes nothing.

    Raises:
        UserError: it is missing, empty, or can't be read.
    """
    try:
        found = _scan(config, Path(config.root))
        return _without_cameras(config, found) if config.cameras == "ignore" else found
    except OSError as error:
        raise UserError(
            f"can't read {error.filename or config.root} ({error.strerror}); check data.root and "
            "its permissions"
        ) from error


def _scan(config: DataConfig, root: Path) -> Scan:
    match config.name:
        case "market1501":
            return layouts.market1501(root)
        case "dukemtmc":
            return layouts.dukemtmc(root)
        case "cuhk03_detected" | "cuhk03_labeled":
            return cuhk03.scan(root, config.name.removeprefix("cuhk03_"))
        case "msmt17":
            return layouts.msmt17(root)
        case "folder":
            return folder.scan(root, config.train_fraction, config.cameras == "read")


def _without_cameras(config: DataConfig, found: Scan) -> Scan:
    """The same with all cameras unknown."""
    base = base_folder(config)
    cameras = unknown_cameras(base, [(record.identity, record) for record in found.records()])
    splits = {
        split: [replace(record, camera=cameras[record.path]) for record in records]
        for split, records in found.splits.items()
    }
    return replace(found, splits=splits, camera_names={})


def base_folder(config: DataConfig) -> Path:
    """The folder that the records' paths are relative to."""
    root = Path(config.root)
    return root.parent if root.is_file() else root


def image_bytes(config: DataConfig) -> Callable[[str], bytes]:
    """Function from a record's path to its encoded image."""
    if config.name in ("cuhk03_detected", "cuhk03_labeled"):
        return cuhk03.reader(Path(config.root), config.name.removeprefix("cuhk03_"))
    return file_reader(base_folder(config))
