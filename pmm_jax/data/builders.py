"""tfds builders of the data sets: files on disk in, array_record files out, no TensorFlow.

Each is an ordinary `tfds.core.GeneratorBasedBuilder` over `manual_dir`; nothing is downloaded.
`prepare` runs them; they also work alone, for instance

    builder = Market1501(data_dir="data/tfds", file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=root))
    builder.as_data_source("train")
"""

import abc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pmm_jax.config import DataConfig
from pmm_jax.data import cuhk03, folder, layouts, published
from pmm_jax.data.records import Record, Scan, file_reader

VERSION = "1.0.0"
"""Of the tfds builders; build.FORMAT is what makes `prepare` build anew."""


class _Info(tfds.core.DatasetInfo):
    """Description of a data set that only this machine knows."""

    def initialize_from_bucket(self) -> None:
        """Ask no server: tfds would look for its own copy there, and leave a folder in /tmp."""


class _Builder(tfds.core.GeneratorBasedBuilder):
    """What the data sets share; a subclass says how its root is scanned."""

    VERSION = tfds.core.Version(VERSION)
    summary = ""
    found: Scan | None = None
    """What a scan found already; without it, the root is scanned."""

    @abc.abstractmethod
    def scan(self, root: Path) -> Scan:
        """Records of each split under root."""

    def reader(self, root: Path) -> Callable[[str], bytes]:
        """Function from a record's path to its encoded image."""
        return file_reader(root)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3), doc="encoded as on disk"),
                "identity": np.int64,
                "camera": np.int64,
                "filename": tfds.features.Text(doc="path relative to the data set's root"),
            }
        )
        # Built directly: create_dataset_info reads metadata files that only tfds' own sets have.
        # Unshuffled, record i is the scan's i-th, which the index beside the records relies on.
        return _Info(
            builder=self, description=self.summary, features=features, disable_shuffling=True
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        root = Path(dl_manager.manual_dir)
        read, found = self.reader(root), self.found or self.scan(root)
        # tfds has no splits without examples; a set of your own may lack one.
        return {
            split: self._generate_examples(records, read)
            for split, records in found.splits.items()
            if records
        }

    def _generate_examples(
        self, records: list[Record], read: Callable[[str], bytes]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, record in enumerate(records):
            yield (
                index,
                {
                    "image": read(record.path),
                    "identity": record.identity,
                    "camera": record.camera,
                    "filename": record.path,
                },
            )

    # tfds prints here that it downloads; it does not, and prepare reports what happens.
    def _log_download_bytes(self) -> None: ...
    def _log_download_done(self) -> None: ...


class Market1501(_Builder):
    """Market-1501 (Zheng et al., ICCV 2015)."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = published.WHERE["market1501"]
    summary = "Market-1501: 32,668 boxes of 1,501 people under 6 cameras."

    def scan(self, root: Path) -> Scan:
        """Records of each split under root."""
        return layouts.market1501(root)


class DukeMTMC(_Builder):
    """DukeMTMC-reID (Ristani et al., ECCVW 2016; Zheng et al., ICCV 2017)."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = published.WHERE["dukemtmc"]
    summary = "DukeMTMC-reID: 36,411 boxes of 1,404 people under 8 cameras."

    def scan(self, root: Path) -> Scan:
        """Records of each split under root."""
        return layouts.dukemtmc(root)


class CUHK03(_Builder):
    """CUHK03 (Li et al., CVPR 2014) by the new protocol (Zhong et al., CVPR 2017)."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = published.WHERE["cuhk03_detected"]
    summary = "CUHK03, new protocol: some 14,100 boxes of 1,467 people under 2 cameras."
    BUILDER_CONFIGS = [  # noqa: RUF012  (tfds' own convention)
        tfds.core.BuilderConfig(name=kind, description=f"{kind} boxes") for kind in cuhk03.KINDS
    ]

    def scan(self, root: Path) -> Scan:
        """Records of each split under root."""
        return cuhk03.scan(root, self.builder_config.name)

    def reader(self, root: Path) -> Callable[[str], bytes]:
        """Function from a record's path to its encoded image."""
        return cuhk03.reader(root, self.builder_config.name)


class MSMT17(_Builder):
    """MSMT17 (Wei et al., CVPR 2018)."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = published.WHERE["msmt17"]
    summary = "MSMT17: 126,441 boxes of 4,101 people under 15 cameras."

    def scan(self, root: Path) -> Scan:
        """Records of each split under root."""
        return layouts.msmt17(root)


class Folder(_Builder):
    """Images of your own, in any form that pmm_jax/data/folder reads."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = published.WHERE["folder"]
    summary = "Images of your own."

    def __init__(self, *, table: str = "", train_fraction: float = 0.5, **options: Any):
        """As every builder, and: `table` is the name of a CSV file in manual_dir."""
        # Not a BuilderConfig: tfds warns about any that a class does not list beforehand.
        self._table = table
        self._train_fraction = train_fraction
        super().__init__(**options)

    def scan(self, root: Path) -> Scan:
        """Records of each split under root."""
        return folder.scan(root / self._table, self._train_fraction)


def build(config: DataConfig, found: Scan, data_dir: Path) -> Path:
    """Write the array_record files of what was found under data_dir; the folder that holds them."""
    root = Path(config.root)
    options: dict[str, Any] = {"data_dir": data_dir, "file_format": "array_record"}
    builder: _Builder
    if config.name == "folder":
        table = root.name if root.is_file() else ""
        root = root.parent if table else root
        builder = Folder(table=table, train_fraction=config.train_fraction, **options)
    elif config.name in ("cuhk03_detected", "cuhk03_labeled"):
        builder = CUHK03(config=config.name.removeprefix("cuhk03_"), **options)
    else:
        classes = {"market1501": Market1501, "dukemtmc": DukeMTMC, "msmt17": MSMT17}
        builder = classes[config.name](**options)
    builder.found = found
    # The bars speak of examples and shuffling; prepare's own lines say what the user needs.
    tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(
            download_dir=data_dir / "downloads",
            download_config=tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False),
        )
    finally:
        tfds.enable_progress_bar()
    return Path(builder.data_dir)
