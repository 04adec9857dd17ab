"""Whatever ends a build: one line where it is the disk, and nothing left beside the old form."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.config import DataConfig
from pmm_jax.data import build as building
from pmm_jax.data import tfds_builder
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split, prepared_folder
from pmm_jax.errors import UserError
from pmm_jax.runtime.signals import interrupt_on_signals
from tests.data.market_set import draw, lines_of


def beside(config: DataConfig) -> set[str]:
    """What lies beside a prepared form, by what follows its name."""
    name = prepared_folder(config).name
    return {path.name.removeprefix(name) for path in Path(config.cache_dir).iterdir()}


def change(config: DataConfig) -> None:
    """Make the source another, so that it is built anew."""
    draw(Path(config.root, "query", "0001_c3s1_001051_00.jpg"), 7)


def wrapped(error: OSError) -> RuntimeError:
    """How array_record tells of an error of the system."""
    return RuntimeError(
        f"Failed to finalize writing of split: write() failed: {error.strerror}; writing x"
    )


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/prepared/x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("as_written", [lambda error: error, wrapped], ids=["system", "wrapped"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_disk_that_refuses_is_one_line_and_leaves_nothing(
    market: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    as_written: Callable[[OSError], Exception],
    is_there: bool,
) -> None:
    if is_there:
        prepare(market)
        change(market)

    def fail(*given: Path) -> Path:
        folder = given[-1]
        (folder / "market1501").mkdir(parents=True)
        (folder / "market1501" / "half").write_bytes(b"half")
        raise as_written(system_error(number))

    monkeypatch.setattr(tfds_builder, "run_tfds_builder", fail)
    with pytest.raises(UserError) as caught:
        prepare(market)
    message = str(caught.value)
    assert "\n" not in message
    if number in (errno.ENOSPC, errno.EDQUOT):
        assert message == (
            f"no room left on the disk of {market.cache_dir}; free some, or set data.cache_dir to "
            "a folder on another disk"
        )
    else:
        assert message.startswith(f"can't write {prepared_folder(market)} (")
    assert beside(market) == {".lock"} | ({"", ".notes.txt"} if is_there else set())
    if is_there:
        assert len(open_split(market, "query")) == 1


@pytest.mark.parametrize("name", ["write_index", "_read_back", "size_and_checksum"])
def test_a_disk_that_fills_up_late_leaves_nothing(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        raise system_error(errno.ENOSPC)

    monkeypatch.setattr(building, name, fail)
    with pytest.raises(UserError, match="no room left on the disk of"):
        prepare(market)
    assert beside(market) == {".lock", ".notes.txt"}


def test_records_that_read_back_differently_are_not_kept(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building.SourceImages, "checksums", lambda self, split: [0, 0, 0])
    with pytest.raises(UserError, match=r"can't write .* reads back differently"):
        prepare(market)
    assert beside(market) == {".lock", ".notes.txt"}


def test_a_real_limit_on_files_is_one_line(market: DataConfig) -> None:
    """The system itself refuses array_record's writes: no error of ours, no mock."""
    code = (
        "import resource, signal, sys; from pmm_jax.config import DataConfig;"
        "from pmm_jax.data.prepare import prepare; from pmm_jax.errors import UserError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: prepare(DataConfig(root=sys.argv[1], cache_dir=sys.argv[2]))\n"
        "except UserError as error: sys.exit(f'UserError {error}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, market.root, market.cache_dir], capture_output=True, text=True
    )
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"UserError can't write {prepared_folder(market)} (")
    assert "File too large" in done.stderr
    assert beside(market) == {".lock"}


def test_a_bug_is_no_disk_and_leaves_nothing(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (RuntimeError("a bug"), ZeroDivisionError("another")):

        def fail(*given: Path, error: Exception = error) -> Path:
            (given[-1] / "market1501").mkdir(parents=True)
            raise error

        monkeypatch.setattr(tfds_builder, "run_tfds_builder", fail)
        with pytest.raises(type(error), match=str(error)):
            prepare(market)
        assert beside(market) == {".lock"}


def test_where_the_new_form_cannot_be_moved_in_the_old_one_comes_back(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(market)
    change(market)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.suffix == ".partial":
            raise system_error(errno.EIO)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="can't write"):
        prepare(market)
    assert beside(market) == {"", ".lock", ".notes.txt"}
    assert len(open_split(market, "query")) == 1


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_while_building_leaves_nothing(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    whole = tfds_builder.RecordsBuilder._generate_examples

    def interrupted(self: tfds_builder.RecordsBuilder, split: str) -> Iterator[tuple[int, dict]]:
        yield from list(whole(self, split))[:1]
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(tfds_builder.RecordsBuilder, "_generate_examples", interrupted)
    before = {one: signal.getsignal(one) for one in STOPPING}
    interrupt_on_signals()  # as every command does
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare(market)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert beside(market) == {".lock"}


def test_a_program_s_own_answer_to_a_signal_stays(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    write = building.write_index

    def kill_and_write(*given: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "write_index", kill_and_write)
    try:
        prepare(market)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_a_thread_can_prepare(market: DataConfig) -> None:
    thread = threading.Thread(target=prepare, args=(market,))
    thread.start()
    thread.join()
    assert len(open_split(market, "gallery")) == 3


@pytest.mark.parametrize("is_whole", [False, True])
def test_what_a_killed_build_left_goes_with_the_next(market: DataConfig, is_whole: bool) -> None:
    target = prepared_folder(market)
    if is_whole:
        prepare(market)
    for end in (".partial", ".old"):
        (target.with_name(target.name + end) / "market1501").mkdir(parents=True)
    target.with_name(f"{target.name}.notes.txt.123.partial").write_text("half")
    other = target.with_name("market1501-00000000.partial")
    other.mkdir()  # another set's, which may be being built
    prepare(market)
    other.rmdir()
    assert beside(market) == {"", ".lock", ".notes.txt"}


@pytest.mark.parametrize("how", ["another", "gone"])
def test_an_image_that_changes_before_it_is_read_is_what_was_read_or_refused(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Checks, fingerprint and records are of one and the same reading."""
    change(market)
    whole = tfds_builder.run_tfds_builder
    file = Path(market.root, "query", "0001_c1s1_001051_00.jpg")

    def change_first(*given: Any) -> Path:
        if how == "gone":
            file.unlink()
        else:
            draw(file, 5)
            os.utime(file, ns=(1, 1))
        return whole(*given)

    monkeypatch.setattr(tfds_builder, "run_tfds_builder", change_first)
    if how == "gone":
        with pytest.raises(UserError, match=r"query/0001_c1s1_001051_00\.jpg: no such image"):
            prepare(market)
        assert beside(market) == {".lock", ".notes.txt"}
        return
    prepare(market)
    split = open_split(market, "query")
    assert split.read(0) == file.read_bytes()
    monkeypatch.undo()
    # The scan saw another file, so that the next start prepares anew: the same set.
    lines = lines_of(market)
    assert any("preparing" in line for line in lines)
    assert open_split(market, "query").fingerprint == split.fingerprint
