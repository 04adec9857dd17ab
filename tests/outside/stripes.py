"""A data set from outside the package: SPLIT-ID-NUMBER.png in one folder, of unknown cameras."""

import os

from pmm_jax.data.datasets import UNKNOWN_CAMERA, Dataset, Record, Scan, register


@register
class Stripes(Dataset):
    """Files in one folder."""

    name = "stripes"
    where = "draw some stripes into data.root"

    def list_images(self) -> Scan:
        splits: dict[str, list[Record]] = {"train": [], "query": [], "gallery": []}
        for name in sorted(os.listdir(self.root)):
            split, identity, _ = name.split("-")
            splits[split].append(Record(name, int(identity), UNKNOWN_CAMERA))
        return Scan(splits)
