"""The tfds builder of a data set: files on disk in, array_record files out, no TensorFlow.

An ordinary `tfds.core.GeneratorBasedBuilder`; nothing is downloaded. `prepare` runs it; it also
works alone, for instance

    dataset = get_dataset(config)
    images = SourceImages(dataset, dataset.scan())
    builder = RecordsBuilder(images, data_dir="data/tfds", file_format="array_record")
    builder.download_and_prepare()
    builder.as_data_source("train")
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pmm_jax.data.source_images import SourceImages


class _Info(tfds.core.DatasetInfo):
    """Description of a data set that only this machine knows."""

    def initialize_from_bucket(self) -> None:
        """Ask no server: tfds would look for its own copy there, and leave a folder in /tmp."""


class RecordsBuilder(tfds.core.GeneratorBasedBuilder):
    """Builder of the records of one data set, under that set's name."""

    # Of the records' own form; build.FORMAT is what makes `prepare` build anew.
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, images: SourceImages, **options: Any) -> None:
        """Create the builder; `images` are those to be written."""
        self.name = images.dataset.name
        self._images = images
        super().__init__(**options)

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
            builder=self,
            description=type(self._images.dataset).__doc__ or self.name,
            features=features,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        # tfds has no splits without examples; a set of your own may lack one.
        splits = self._images.found.splits
        return {split: self._generate_examples(split) for split in splits if splits[split]}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (record, image) in enumerate(self._images.read(split)):
            yield (
                index,
                {
                    "image": image,
                    "identity": record.identity,
                    "camera": record.camera,
                    "filename": record.path,
                },
            )

    # tfds prints here that it downloads; it does not, and prepare reports what happens.
    def _log_download_bytes(self) -> None: ...
    def _log_download_done(self) -> None: ...


def run_tfds_builder(images: SourceImages, data_dir: Path) -> Path:
    """Write the array_record files of a data set under data_dir; the folder that holds them."""
    builder = RecordsBuilder(images, data_dir=data_dir, file_format="array_record")
    # The bars speak of examples and shuffling; prepare's own lines say what the user needs.
    tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(
            download_dir=data_dir / "downloads",
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
    finally:
        tfds.enable_progress_bar()
    return Path(builder.data_dir)
