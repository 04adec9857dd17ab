"""From a data set on disk to array_record files with an index, which training reads."""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data import cuhk03, folder, layouts
from pmm_jax.data.decode import to_rgb
from pmm_jax.data.published import PUBLISHED, WHERE
from pmm_jax.data.records import SPLITS, Problem, Record, Scan, file_reader
from pmm_jax.data.split import INDEX, prepared_folder, read_index
from pmm_jax.errors import UserError

FORMAT = 1
"""Of index and records; a change makes prepare build anew."""

SYNTHETIC = "synthetic.json"
"""Marks a root that our synthesizer wrote; the published counts say nothing about it."""


def prepare(config: DataConfig, report: Callable[[str], None] | None = None) -> Path:
    """Scan, verify and build a data set, unless that was done and its source is unchanged.

    Args:
      config: which data set, where it lies, and where its prepared form goes.
      report: called with each line that tells the user what is found and done.

    Returns:
      The folder that `open_split` reads.

    Raises:
      UserError: the source is missing, empty or damaged, or can't be evaluated.
    """
    say = report or (lambda line: None)
    target = prepared_folder(config)
    root = Path(config.root)
    if not root.exists():
        if not _is_whole(target):
            raise UserError(f"data.root {root} does not exist; {WHERE[config.name]}")
        say(f"{config.name}: {root} is gone; using what was prepared from it in {target}")
        return target
    if root.is_file() and config.name != "folder":
        raise UserError(f"data.root {root} is a file, not a folder; {WHERE[config.name]}")
    found = scan(config)
    fingerprint = _fingerprint(config, found)
    if _is_whole(target, fingerprint):
        say(f"{config.name}: prepared in {target}, source unchanged")
        return target
    with _lock(target, say):
        # Another process may have built it while this one waited.
        if not _is_whole(target, fingerprint):
            _report_notes(found, say)
            _refuse(found.problems, say)
            _check_matches(config, found)
            say(f"{config.name}: verifying {sum(1 for _ in found.records()):,} images")
            _refuse(_verify(config, found), say)
            say(f"{config.name}: writing {target}")
            _build(config, found, fingerprint, target)
    for line in _summary(config, found):
        say(line)
    return target


def scan(config: DataConfig) -> Scan:
    """Records and problems of the data set that config names; decodes nothing."""
    root = Path(config.root)
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
            return folder.scan(root, config.train_fraction)


def _base(config: DataConfig) -> Path:
    """The folder that the records' paths are relative to."""
    root = Path(config.root)
    return root.parent if root.is_file() else root


def _reader(config: DataConfig) -> Callable[[str], bytes]:
    if config.name in ("cuhk03_detected", "cuhk03_labeled"):
        return cuhk03.reader(Path(config.root), config.name.removeprefix("cuhk03_"))
    return file_reader(_base(config))


def _fingerprint(config: DataConfig, found: Scan) -> str:
    """Hash of every record's split, name, labels and size in bytes: what a rebuild depends on."""
    digest = hashlib.sha256(f"format {FORMAT}\n".encode())
    base = _base(config)
    for name in cuhk03.MAT_FILES:
        digest.update(f"{name} {_size(base / name)}\n".encode())
    for split in SPLITS:
        for record in found.splits[split]:
            size = _size(f"{base}/{record.path}")
            line = f"{split} {record.path} {record.identity} {record.camera} {size}\n"
            digest.update(line.encode(errors="backslashreplace"))
    return digest.hexdigest()


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _is_whole(target: Path, fingerprint: str | None = None) -> bool:
    """Whether the prepared form is complete, and of this fingerprint if one is given."""
    try:
        index = read_index(target)
    except UserError:
        return False
    if index is None or fingerprint not in (None, index["fingerprint"]):
        return False
    return all(_size(target / name) == size for name, size in index["files"].items())


@contextmanager
def _lock(target: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time build; the system frees the lock when a process dies."""
    lock = target.with_name(target.name + ".lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise UserError(_cant_write(target, error)) from error
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is preparing {target}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cant_write(target: Path, error: OSError) -> str:
    return (
        f"can't write {target} ({_one_line(error)}); free room, or set data.prepared to a folder "
        "that you can write to"
    )


def _report_notes(found: Scan, say: Callable[[str], None]) -> None:
    """One line a kind of problem: its count and its first file."""
    kinds: dict[str, list[str]] = {}
    for problem in found.problems:
        if not problem.fatal:
            kinds.setdefault(problem.reason, []).append(problem.path)
    for reason, paths in kinds.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        say(f"note: {paths[0]}{more}: {reason}")


def _refuse(problems: list[Problem], say: Callable[[str], None]) -> None:
    """Report every fatal problem and raise with the first."""
    fatal = [problem for problem in problems if problem.fatal]
    if not fatal:
        return
    for problem in fatal:
        say(f"error: {problem.path}: {problem.reason}")
    more = f" (and {len(fatal) - 1} more like it, listed above)" if len(fatal) > 1 else ""
    raise UserError(f"{fatal[0].path}: {fatal[0].reason}{more}")


def _check_matches(config: DataConfig, found: Scan) -> None:
    """Refuse a set in which the same-camera rule leaves no query a single match."""
    cameras: dict[int, set[int]] = {}
    for record in found.splits["gallery"]:
        cameras.setdefault(record.identity, set()).add(record.camera)
    queries = found.splits["query"]
    if not queries or any(cameras.get(q.identity, set()) - {q.camera} for q in queries):
        return
    seen = next((query for query in queries if query.identity in cameras), None)
    example = found.names.get((seen or queries[0]).identity, str((seen or queries[0]).identity))
    if seen is None:
        raise UserError(
            f"no query of {config.root} has its identity in the gallery (identity {example}, for "
            "one); add gallery images of the queries' identities"
        )
    if seen.camera < 0:
        raise UserError(
            f"the gallery of {config.root} has no other image of any query's identity than the "
            f"query itself (identity {example}, for one); add gallery images"
        )
    raise UserError(
        f"no query of {config.root} has a match in another camera (identity {example} is only in "
        f"camera {seen.camera}), and matches in its own camera don't count; add images from other "
        "cameras, or leave the cameras out if they mean nothing"
    )


def _verify(config: DataConfig, found: Scan) -> list[Problem]:
    """Decode every image once; a fatal problem for each that can't be."""
    read = _reader(config)

    def check(path: str) -> Problem | None:
        try:
            path.encode()
            with Image.open(io.BytesIO(read(path))) as image:
                to_rgb(image).load()
        except FileNotFoundError:
            return Problem(path, "no such image; restore it, or take it off the list", fatal=True)
        except UnicodeEncodeError:
            shown = path.encode(errors="backslashreplace").decode()
            return Problem(shown, "file name is not UTF-8; rename it", fatal=True)
        # PIL's plugins raise many types on damaged input (OSError, SyntaxError, struct.error, ...).
        except Exception as error:
            reason = f"can't be decoded ({_one_line(error)}); restore or delete it"
            return Problem(path, reason, fatal=True)
        return None

    distinct = dict.fromkeys(record.path for record in found.records())
    with ThreadPoolExecutor(config.workers) as pool:
        return [problem for problem in pool.map(check, distinct) if problem]


def _one_line(error: Exception) -> str:
    # PIL names the buffer's address where a file name would stand.
    text = re.sub(r" <_io\.BytesIO object at \w+>", "", str(error))
    return " ".join(text.split()) or type(error).__name__


def _build(config: DataConfig, found: Scan, fingerprint: str, target: Path) -> None:
    """Build beside the target and move it into place whole."""
    # Imported here: a prepared set is found without the half second that tfds takes.
    from pmm_jax.data import builders

    partial, old = (target.with_name(target.name + end) for end in (".partial", ".old"))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        records = builders.build(config, partial)
        shutil.rmtree(partial / "downloads", ignore_errors=True)
        index = {
            "dataset": config.name,
            "root": os.path.abspath(config.root),
            "fingerprint": fingerprint,
            "records": records.relative_to(partial).as_posix(),
            "files": {
                file.relative_to(partial).as_posix(): file.stat().st_size
                for file in sorted(records.iterdir())
            },
            "names": found.names,
            "splits": {split: _columns(found.splits[split]) for split in SPLITS},
        }
        (partial / INDEX).write_text(json.dumps(index), encoding="utf-8")
        # Renamed, not deleted first: a deletion cut short could leave an index without records.
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(_cant_write(target, error)) from error


def _columns(records: list[Record]) -> dict[str, list[Any]]:
    return {
        "identities": [record.identity for record in records],
        "cameras": [record.camera for record in records],
        "filenames": [record.path for record in records],
    }


def _summary(config: DataConfig, found: Scan) -> Iterator[str]:
    """A small table of what there is beside what was published."""
    synthetic = (_base(config) / SYNTHETIC).exists()
    expected = {} if synthetic else PUBLISHED.get(config.name, {})
    yield f"{'split':<8} {'images':>8} {'identities':>10} {'cameras':>8}   published"
    warnings: list[str] = []
    for split in SPLITS:
        records = found.splits[split]
        cameras = Counter(record.camera for record in records)
        known = sum(camera >= 0 for camera in cameras)
        counts = (len(records), len({record.identity for record in records}), known)
        as_published = expected.get(split)
        beside = "-"
        if as_published:
            there = (as_published.images, as_published.identities, as_published.cameras)
            beside = "same" if counts == there else " / ".join(f"{n:,}" for n in there)
            if counts != there:
                warnings.append(split)
        cells = f"{counts[0]:>8,} {counts[1]:>10,} {counts[2] or 'unknown':>8}"
        yield f"{split:<8} {cells}   {beside}"
    if warnings:
        yield (
            f"warning: {', '.join(warnings)} of {config.root} differ from {config.name} as "
            "published; results on a part of a set don't compare with published ones"
        )
