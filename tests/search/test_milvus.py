"""Milvus's calls, run by milvus-lite, which is the same client on a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.search import milvus
from pmm_jax.search.gallery import Gallery, Maker
from tests.search.test_gallery import MAKER, named, paths, toy

pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")
ADDRESS = "milvus://localhost:19530/people"


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One server, in place of any."""
    from pymilvus import MilvusClient

    client = MilvusClient(str(tmp_path / "lite.db"))
    monkeypatch.setattr(milvus, "connect", lambda _: client)
    yield
    client.close()


@pytest.mark.slow  # seconds to start
@pytest.mark.usefixtures("lite")
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_a_gallery_in_milvus_is_one_in_a_folder(tmp_path: Path, distance: Any) -> None:
    maker = Maker("/runs/mine", "a" * 64, distance)
    table = toy(100)
    query = np.random.default_rng(5).normal(size=(7, 8)).astype(np.float32)
    both = [
        Gallery.create(address, table, maker) for address in (ADDRESS, str(tmp_path / "folder"))
    ]
    for where in (None, "camera != 2", 'not (id in ["p1", "p3"]) and time < 20.25 or camera = 0'):
        remote, local = (gallery.search(query, 10, where) for gallery in both)
        assert remote == local
    with pytest.raises(UserError, match="is there already"):
        Gallery.create(ADDRESS, table, maker)
    both[0] = Gallery.open(ADDRESS)
    assert len({gallery.add(toy(20, start=90)) for gallery in both}) == 1
    assert len({gallery.remove(["003.jpg"], "camera == 1") for gallery in both}) == 1
    remote, local = (gallery.search(query, 200) for gallery in both)
    assert remote == local
    listed = [gallery.images("camera == 2", 3, 5) for gallery in both]
    assert listed[0][0] == listed[1][0]
    assert [len(rows) for _, rows in listed] == [5, 5]
    assert listed[0][1][0].keys() == listed[1][1][0].keys()
    assert both[0].images(start=1000) == (both[1].images()[0], [])
    infos = [gallery.info() for gallery in both]
    assert [(i.images, i.columns, i.maker, i.version) for i in infos[:1]] == [
        (i.images, i.columns, i.maker, i.version) for i in infos[1:]
    ]
    for gallery in both:
        with pytest.raises(UserError, match=r"no image 003\.jpg; nothing was removed"):
            gallery.remove(["003.jpg"])
        with pytest.raises(UserError, match="no column frame"):
            gallery.search(query, 10, "frame == 1")
        with pytest.raises(UserError, match="have length 7"):
            gallery.search(query[:, 1:], 10)
        with pytest.raises(UserError, match=r"by model a{12}"):
            gallery.check_model("b" * 64, "other")


@pytest.mark.slow
@pytest.mark.usefixtures("lite")
def test_a_create_that_was_killed_is_no_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(milvus.MilvusGallery, "_upsert", killed)
        with pytest.raises(Killed):
            Gallery.create(ADDRESS, toy(), MAKER)
    with pytest.raises(UserError, match="is no gallery"):
        Gallery.open(ADDRESS)
    gallery = Gallery.create(ADDRESS, toy(), MAKER)
    assert paths(gallery, toy().features[3], top=1) == ["003.jpg"]


@pytest.mark.parametrize("address", ["milvus://people", "milvus://host:1/a b", "milvus://h:1/1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="is no address; give milvus://HOST:PORT/NAME"):
        Gallery.open(address)


def test_a_name_that_milvus_does_not_take_is_refused() -> None:
    with pytest.raises(UserError, match="can't be called a b in Milvus"):
        Gallery.create(ADDRESS, named("a b"), MAKER)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "SECONDS", 1.0)
    with pytest.raises(UserError, match="Milvus says: Fail connecting to server on 127"):
        Gallery.open("milvus://127.0.0.1:1/people")
