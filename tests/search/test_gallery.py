import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pmm_jax.calibration import Calibration
from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.search import embedded
from pmm_jax.search.gallery import Gallery, Maker
from pmm_jax.search.results import as_json

MAKER = Maker("/runs/mine", "a" * 64, "euclidean")


def toy(count: int = 12, start: int = 0, **columns: Any) -> EmbeddingTable:
    numbers = np.arange(start, start + count)
    features = np.random.default_rng(start).normal(size=(count, 8)).astype(np.float32)
    known = {
        "id": np.array([f"p{number // 3}" for number in numbers]),
        "camera": numbers % 3,
        "time": numbers / 4,
        "path": np.array([f"{number:03}.jpg" for number in numbers]),
    }
    return EmbeddingTable(features, {**known, **columns}, MAKER.fingerprint)


def named(column: str) -> EmbeddingTable:
    known = toy()
    columns = {**known.columns, column: np.arange(12)}
    return EmbeddingTable(known.features, columns, MAKER.fingerprint)


def paths(gallery: Gallery, query: np.ndarray, **asked: Any) -> list[str]:
    (found,) = gallery.search(query[None], **asked)
    return [result.path for result in found]


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "gallery")


def test_what_is_put_in_is_found(address: str) -> None:
    table = toy()
    Gallery.create(address, table, MAKER)
    gallery = Gallery.open(address)
    found = gallery.search(table.features[:5], 3, "camera != 2")
    assert [results[0].path for results in found[:2]] == ["000.jpg", "001.jpg"]
    assert found[2][0].path != "002.jpg"
    first = found[1][0]
    assert (first.rank, first.distance) == (1, 0)
    assert first.columns == {"path": "001.jpg", "id": "p0", "camera": 1, "time": 0.25}
    assert [result.rank for result in found[4]] == [1, 2, 3]
    info = gallery.info()
    assert (info.images, info.length, info.maker, info.version) == (12, 8, MAKER, 1)
    assert info.columns == {"path": "text", "id": "text", "camera": "integers", "time": "numbers"}


def test_add_replaces_what_is_there_in_its_place(address: str) -> None:
    first, second = toy(), toy(6, start=9)
    gallery, reader = Gallery.create(address, first, MAKER), Gallery.open(address)
    assert paths(reader, first.features[10], top=1) == ["010.jpg"]
    assert gallery.add(second) == (3, 3)
    # Another reader sees it without being opened anew.
    assert reader.search(second.features[1:2], 1)[0][0][1:3] == ("010.jpg", 0)
    assert reader.search(first.features[10:11], 1)[0][0].distance > 0
    everything = np.zeros((1, 8), np.float32)
    assert len(reader.search(everything, 100)[0]) == 15
    gallery.add(EmbeddingTable(0 * second.features, second.columns, MAKER.fingerprint))
    order = paths(reader, everything[0], top=6)
    assert order == [f"{number:03}.jpg" for number in range(9, 15)]  # ties in gallery order


def test_remove(address: str) -> None:
    table = toy()
    gallery = Gallery.create(address, table, MAKER)
    assert gallery.remove(["003.jpg"], 'camera == 1 and id in ["p0", "p1"]') == 3
    left = {f"{number:03}.jpg" for number in range(12)} - {"001.jpg", "003.jpg", "004.jpg"}
    assert set(paths(gallery, table.features[0], top=100)) == left
    data = Path(address, embedded.FILE).read_bytes()
    assert table.features[2].tobytes() in data
    assert table.features[3].tobytes() not in data
    with pytest.raises(UserError, match=r"no image 003\.jpg; nothing was removed"):
        gallery.remove(["005.jpg", "003.jpg"])
    assert gallery.info().images == 9
    assert gallery.remove(where="camera >= 0") == 9
    assert paths(gallery, table.features[0]) == []
    gallery.add(table)
    assert paths(gallery, table.features[3], top=1) == ["003.jpg"]


def test_another_models_table_is_refused_by_name(address: str) -> None:
    gallery = Gallery.create(address, toy(), MAKER)
    other = EmbeddingTable(toy().features, toy().columns, "b" * 64)
    with pytest.raises(UserError, match=r"model b{12}, .* by model a{12} \(/runs/mine\)"):
        gallery.add(other)
    with pytest.raises(UserError, match="an unknown model"):
        gallery.add(EmbeddingTable(other.features, other.columns))
    assert gallery.info().version == 1


LACKING = {name: column for name, column in toy().columns.items() if name != "time"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (toy(frame=np.arange(12)), "has no column frame; leave it out"),
        (toy(camera=np.array(list("abcdefghijkl"))), "camera holds text in the table, and integ"),
        (EmbeddingTable(toy().features, LACKING, "a" * 64), "lacks the column time"),
        (EmbeddingTable(toy().features[:, :7], toy().columns, "a" * 64), "have length 7"),
        (toy(path=np.array(["a.jpg"] * 12)), r"a\.jpg is in the table twice"),
        (toy(id=np.array(["\udcff"] * 12)), "not UTF-8"),
    ],
)
def test_a_table_that_does_not_fit_changes_nothing(
    address: str, table: EmbeddingTable, message: str
) -> None:
    gallery = Gallery.create(address, toy(6, start=20), MAKER)
    with pytest.raises(UserError, match=message):
        gallery.add(table)
    assert (gallery.info().images, gallery.info().version) == (6, 1)


@pytest.mark.parametrize("name", ["Path", "_ROWID_", "Embedding"])
def test_a_column_that_the_engine_has_itself_is_refused(address: str, name: str) -> None:
    with pytest.raises(UserError, match="can't be called"):
        Gallery.create(address, named(name), MAKER)
    assert not Path(address).exists()


def test_names_and_texts_of_any_kind_come_back(address: str) -> None:
    odd: dict[str, Any] = {
        'a "b"; DROP TABLE images --': np.array(["'; \n\x1b äß"] * 12),
        "order": np.arange(12),
    }
    table = toy(**odd, time=np.full(12, np.nan))
    gallery = Gallery.create(address, table, MAKER)
    (result,) = gallery.search(table.features[4:5], 1)[0]
    assert [result.columns[name] for name in odd] == [column[4] for column in odd.values()]
    assert np.isnan(result.columns["time"])


def test_create_leaves_alone_what_is_there(address: str, tmp_path: Path) -> None:
    Gallery.create(address, toy(), MAKER)
    with pytest.raises(UserError, match="is there already"):
        Gallery.create(address, toy(3), MAKER)
    assert Gallery.open(address).info().images == 12
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").touch()
    with pytest.raises(UserError, match="is there already"):
        Gallery.create(str(tmp_path / "mine"), toy(), MAKER)


def test_what_is_no_gallery_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="is no gallery; make one"):
        Gallery.open(address)
    Path(address).mkdir()
    file = Path(address, embedded.FILE)
    file.write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    with pytest.raises(UserError, match="can't be used as a gallery"):
        Gallery.open(address)
    file.unlink()
    sqlite3.connect(file).execute("CREATE TABLE gallery (value TEXT)").connection.close()
    with pytest.raises(UserError, match="is no gallery"):
        Gallery.open(address)


@pytest.fixture
def writer(address: str) -> Callable[[], sqlite3.Connection]:
    def begun() -> sqlite3.Connection:
        connection = sqlite3.connect(
            Path(address, embedded.FILE), isolation_level=None, check_same_thread=False
        )
        connection.execute("BEGIN IMMEDIATE")
        return connection

    return begun


def test_a_second_writer_waits_or_is_refused(
    address: str, writer: Callable[[], sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery.create(address, toy(), MAKER)
    first = writer()
    ending = threading.Timer(0.3, lambda: first.execute("COMMIT"))
    ending.start()
    assert gallery.add(toy(3, start=20)) == (3, 0)
    ending.join()
    first.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(embedded, "PATIENCE", 0.1)
    with pytest.raises(UserError, match="another process has been writing to"):
        gallery.add(toy(3, start=30))
    assert gallery.info().images == 15  # readers don't wait
    first.close()


def test_results_as_json() -> None:
    from pmm_jax.search.gallery import Result

    class Never:
        def decide(self, distances: np.ndarray) -> np.ndarray:
            return np.where(distances < 1, "same", "unsure")

    results = [
        Result(1, "a.jpg", 0.5, {"path": "a.jpg", "id": "p", "camera": 3, "time": 2.0}),
        Result(2, "b.jpg", 1.5, {"path": "b.jpg"}),
    ]
    answer = as_json("q.jpg", results)
    first = {"rank": 1, "path": "a.jpg", "identity": "p", "camera": 3, "distance": 0.5}
    second = {"rank": 2, "path": "b.jpg", "identity": None, "camera": None, "distance": 1.5}
    assert answer["query"] == "q.jpg"
    assert answer["results"] == [{**first, "decision": None}, {**second, "decision": None}]
    decided = as_json("q.jpg", results, cast(Calibration, Never()))["results"]
    assert [result["decision"] for result in decided] == ["same", "unsure"]


def large(count: int, start: int) -> EmbeddingTable:
    """More than SQLite holds in memory, so that a transaction writes before it ends."""
    numbers = np.arange(start, start + count)
    features = np.random.default_rng(start).normal(size=(count, 1024)).astype(np.float32)
    paths = np.array([f"{number:03}.jpg" for number in numbers])
    return EmbeddingTable(features, {"path": paths}, MAKER.fingerprint)


@pytest.mark.parametrize("change", ["add", "create", "remove"])
def test_what_a_killed_process_leaves_is_as_before(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before, after = large(600, 0), large(900, 300)
    first = b""
    if change != "create":
        Gallery.create(address, before, MAKER)
        first = Path(address, embedded.FILE).read_bytes()
    left, bump = str(tmp_path / "left"), embedded._bump

    def copied(connection: sqlite3.Connection) -> None:
        """The files as they would be found if the process ended here."""
        shutil.copytree(address, left)
        bump(connection)

    monkeypatch.setattr(embedded, "_bump", copied)
    if change == "add":
        Gallery.open(address).add(after)
    elif change == "remove":
        Gallery.open(address).remove(where='path != "000.jpg"')
    else:
        Gallery.create(address, after, MAKER)
    monkeypatch.undo()
    names = {file.name for file in Path(left).iterdir()}
    assert f"{embedded.FILE}-journal" in names
    if change == "create":
        with pytest.raises(UserError, match="is no gallery"):
            Gallery.open(left)
        assert Gallery.create(left, before, MAKER).info().images == 600
        return
    # So that there is something to undo.
    assert Path(left, embedded.FILE).read_bytes() != first
    gallery = Gallery.open(left)
    assert (gallery.info().images, gallery.info().version) == (600, 1)
    found = gallery.search(before.features[::100], 1)
    assert [results[0][1:3] for results in found] == [(f"{n}00.jpg", 0) for n in range(6)]
    gallery.add(after)
    assert gallery.info().images == 1200
