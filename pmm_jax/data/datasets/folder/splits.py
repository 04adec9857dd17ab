"""Split of each folder."""

from pathlib import Path

from pmm_jax.data.records import Problem
from pmm_jax.errors import UserError

NAMES = {
    "train": ("train", "training", "bounding_box_train", "image_train"),
    "query": ("query", "queries", "probe", "image_query"),
    "gallery": ("gallery", "bounding_box_test", "image_test"),
}
"""Names of the folders of each split, in small letters: those of Market-1501 and the many sets that
copied it, of VeRi-776, and plain words."""
TEST = ("test", "testing", "val", "valid", "validation")
"""Folders of test images, the first of which is read: the gallery beside a folder of queries, else
to be divided into query and gallery."""

NOT_READ = "folder beside those of the splits, not read"


def split_folders(root: Path, folders: list[str], problems: list[Problem]) -> dict[str, str]:
    """Folder of each split (`train`, `query`, `gallery`; `test` where it is to be divided).

    Empty where no folder is named like a split.

    Raises:
      UserError: the folders don't make up a set, or two claim one split.
    """
    found: dict[str, str] = {}
    for folder in folders:
        split = next((s for s, names in NAMES.items() if folder.lower() in names), None)
        if split in found:
            raise UserError(
                f"{root} has two folders for {split}, {found[split]} and {folder}; "
                "rename or move one of them"
            )
        if split:
            found[split] = folder
    tests = sorted((f for f in folders if f.lower() in TEST), key=lambda f: TEST.index(f.lower()))
    if tests and not {"query", "gallery"} <= set(found):
        found["gallery" if "query" in found else "test"] = tests[0]
    if {"gallery", "test"} <= set(found):
        raise UserError(
            f"{root} has the folders {found['gallery']} and {found['test']} but none of queries; "
            f"name one of the two query, or put all test images into {found['test']} alone"
        )
    others = [folder for folder in folders if folder not in found.values()]
    if len(found) == 1 and others:
        (folder,) = found.values()
        raise UserError(
            f"{root} has a folder {folder}, named like a split, beside {', '.join(others[:3])}; "
            "name the folders of the splits train and test, or train, query and gallery; an "
            f"identity that is called {folder} needs a longer name, or a CSV file"
        )
    if found:
        problems += [Problem(folder, NOT_READ, fatal=False) for folder in others]
    return found
