"""MSMT17 (Wei et al., CVPR 2018)."""

import re
from typing import ClassVar

from pmm_jax.data.datasets.dataset import Dataset, SplitSize
from pmm_jax.data.datasets.market1501 import TOO_LONG, TOO_LONG_HINT
from pmm_jax.data.parsing import int64, read_utf8
from pmm_jax.data.records import SPLITS, Problem, Record, Scan, summary_of
from pmm_jax.errors import UserError

BAD_LINE = "line is not `path label`, with a path like 0000/0000_000_01_0303morning_0008_0.jpg"
_LINE = "0000/0000_000_01_0303morning_0008_0.jpg 0"
_NAME = re.compile(r"\d+_\d+_(?P<camera>\d+)_")
"""`0000_000_01_0303morning_0008_0.jpg`: identity, image, camera, then time of day, frame and box,
and after them `_ex` in some names."""


class MSMT17(Dataset):
    """MSMT17: 126,441 boxes of 4,101 people under 15 cameras.

    Read by its list files, version 1 (train, test) or 2 (mask_train_v2, mask_test_v2). Train is
    list_train.txt and list_val.txt together: the 32,621 images of the published protocol.
    """

    name = "msmt17"
    where = (
        "ask for MSMT17 at https://www.pkuvmc.com/dataset.html and unpack it so that "
        "list_train.txt, train and test lie in data.root"
    )
    published: ClassVar = {
        "train": SplitSize(32621, 1041, 15),
        "query": SplitSize(11659, 3060, 15),
        "gallery": SplitSize(82161, 3060, 15),
    }
    numbers_train_apart = True

    def list_images(self) -> Scan:
        """List images as `Dataset.list_images`."""
        train, test = self._folders()
        lists = {
            "train": ((train, "list_train.txt"), (train, "list_val.txt")),
            "query": ((test, "list_query.txt"),),
            "gallery": ((test, "list_gallery.txt"),),
        }
        splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
        problems: list[Problem] = []
        for split, files in lists.items():
            for folder, name in files:
                splits[split] += self._listed(folder, name, problems)
            if not splits[split]:
                why = f": {summary_of(problems)}" if problems else ""
                raise UserError(
                    f"found no lines like {_LINE!r} in {self.root / files[0][1]}{why}; "
                    "copy MSMT17's list files there"
                )
        return Scan(splits, problems)

    def _folders(self) -> tuple[str, str]:
        for train, test in (("train", "test"), ("mask_train_v2", "mask_test_v2")):
            if (self.root / train).is_dir() and (self.root / test).is_dir():
                return train, test
        raise UserError(
            f"found neither train and test nor mask_train_v2 and mask_test_v2 under {self.root}; "
            "data.root is the folder that holds list_train.txt"
        )

    def _listed(self, folder: str, name: str, problems: list[Problem]) -> list[Record]:
        file = self.root / name
        if not file.is_file():
            raise UserError(f"found no {name} under {self.root}; MSMT17 comes with its four lists")
        records: list[Record] = []
        for number, line in enumerate(read_utf8(file).splitlines(), start=1):
            if not line.strip():
                continue
            where = f"{name}:{number}"
            path, _, label = line.strip().rpartition(" ")
            match = _NAME.match(path.rpartition("/")[2])
            if match is None or not label.isdecimal():
                problems.append(Problem(where, BAD_LINE + ", skipped", fatal=False))
                continue
            identity, camera = int64(label), int64(match["camera"])
            if identity is None or camera is None:
                problems.append(Problem(where, TOO_LONG, fatal=True, hint=TOO_LONG_HINT))
            else:
                records.append(Record(f"{folder}/{path.strip()}", identity, camera))
        return records
