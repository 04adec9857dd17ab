"""The table of data sets, one from outside the package, and how often a source is read."""

import os
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.config import Config, DataConfig
from pmm_jax.config_check import check
from pmm_jax.data.datasets import get_dataset, register
from pmm_jax.data.datasets.market1501 import Market1501
from pmm_jax.data.prepare import prepare
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import open_split
from pmm_jax.errors import UserError
from pmm_jax.registry import DATASETS
from tests.data.market_set import draw

# The table


@pytest.mark.parametrize("name", list(DATASETS))
def test_each_set_is_known_by_its_own_name(name: str) -> None:
    dataset = get_dataset(DataConfig(name=name))
    assert dataset.name == name
    assert dataset.where
    assert set(dataset.published) in ({"train", "query", "gallery"}, set())


def test_a_misspelt_name_gets_the_nearest(market: DataConfig) -> None:
    config = DataConfig(name="markt1501")
    message = (
        r"^data\.name is 'markt1501'; it must be one of market1501, dukemtmc, .*, folder; "
        r"did you mean market1501\?$"
    )
    with pytest.raises(UserError, match=message):
        get_dataset(config)
    with pytest.raises(UserError, match=message):
        check(Config(data=config))


# A set from outside the package, in one file


@pytest.fixture
def stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "_classes", dict(DATASETS._classes))
    runpy.run_path(str(Path(__file__).parents[1] / "outside" / "stripes.py"))


@pytest.mark.usefixtures("stripes")
def test_a_set_from_outside_is_prepared_and_sampled(tmp_path: Path) -> None:
    for identity in range(1, 5):
        for number in range(3):
            split = "train" if identity < 3 else "gallery" if number else "query"
            draw(tmp_path / "stripes" / f"{split}-{identity}-{number}.png", number)
    config = DataConfig(
        name="stripes", root=str(tmp_path / "stripes"), cache_dir=str(tmp_path / "prepared")
    )
    check(Config(data=config))
    prepare(config)
    train = open_split(config, "train")
    labels = np.unique(train.identities, return_inverse=True)[1]
    batch = IdentitySampler(labels, 2, 2, seed=0).batch(0)
    assert sorted(labels[batch]) == [0, 0, 1, 1]
    assert train.read(0) == (tmp_path / "stripes" / train.filenames[0]).read_bytes()
    assert len(set(open_split(config, "gallery").cameras)) == 4
    with pytest.raises(UserError, match=r"data\.root /nowhere does not exist; draw some stripes"):
        prepare(DataConfig(name="stripes", root="/nowhere"))


@pytest.mark.usefixtures("stripes")
def test_what_a_set_from_outside_lists_stays_inside_its_root(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere.png", 0)
    (tmp_path / "stripes").mkdir()
    for split in ("query", "gallery"):
        (tmp_path / "stripes" / f"{split}-1-0.png").symlink_to(tmp_path / "elsewhere.png")
    config = DataConfig(
        name="stripes", root=str(tmp_path / "stripes"), cache_dir=str(tmp_path / "prepared")
    )
    with pytest.raises(UserError, match=r"^2 x leads out of the data set's folder: query-1-0\."):
        prepare(config)


def test_a_name_of_the_package_s_own_is_taken() -> None:
    class Other(Market1501):
        pass

    with pytest.raises(ValueError, match="market1501 is a name of the package's own"):
        register(Other)


# How often a source is scanned and read

EVENTS: list[tuple[str, str]] = []


def _note(event: str, arguments: tuple) -> None:
    if event in ("open", "os.listdir", "os.scandir") and isinstance(
        arguments[0], str | os.PathLike
    ):
        EVENTS.append((event, os.fspath(arguments[0])))


sys.addaudithook(_note)  # Python has no way to take it away again


def looks_at(root: Path, act: Callable[[], object]) -> tuple[Counter[str], Counter[str]]:
    """How often each file under root is opened, and each folder listed."""
    EVENTS.clear()
    act()
    opened = Counter(path for event, path in EVENTS if event == "open")
    listed = Counter(path for event, path in EVENTS if event != "open")
    below = f"{root}{os.sep}"
    return (
        Counter({p: n for p, n in opened.items() if p.startswith(below)}),
        Counter({p: n for p, n in listed.items() if p.startswith(below)}),
    )


def own(market: DataConfig, suffix: str) -> DataConfig:
    """A set without cameras, two images of each person in query and gallery."""
    root = Path(market.cache_dir).parent / "own"
    for split in ("train", "query", "gallery"):
        for person in range(2):
            for number in range(2):
                draw(root / split / f"id{person}" / f"{split}{number}.{suffix}", number)
    return DataConfig(name="folder", root=str(root), cache_dir=market.cache_dir)


@pytest.mark.parametrize("kind", ["market1501", "folder"])
def test_a_source_is_scanned_once_and_each_image_read_once(market: DataConfig, kind: str) -> None:
    config = market if kind == "market1501" else own(market, "png")
    root = Path(config.root)
    for number, file in enumerate(root.rglob("*.png")):  # no two of one size
        with file.open("ab") as stream:
            stream.write(b" " * number)
    images = [str(file) for file in root.rglob("*") if file.is_file() and file.name[0] != "-"]
    opened, listed = looks_at(root, lambda: prepare(config))
    assert opened == dict.fromkeys(images, 1)
    assert set(listed.values()) == {1}
    opened, listed = looks_at(root, lambda: prepare(config))
    assert not opened
    assert set(listed.values()) == {1}


def test_possible_copies_are_read_once_more_before_they_are_prepared(market: DataConfig) -> None:
    """Whether a query without a camera is in the gallery, too, decides its number in the records.

    That is asked of files of one identity and one size alone, and never of a prepared set.
    """
    config = own(market, "bmp")
    root = Path(config.root)
    opened, _ = looks_at(root, lambda: prepare(config))
    assert opened == {str(file): 2 for file in root.rglob("*.bmp")}
    assert not looks_at(root, lambda: prepare(config))[0]
