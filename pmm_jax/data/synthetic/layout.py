"""Write a synthetic set as Market-1501 lays it out: folders, file names, and a marker file."""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from pmm_jax.data.synthetic.cameras import camera
from pmm_jax.data.synthetic.settings import SyntheticSettings
from pmm_jax.data.synthetic.shots import (
    Shot,
    photograph,
    photograph_distractor,
    photograph_junk,
)
from pmm_jax.data.synthetic.streams import Stream, stream
from pmm_jax.errors import UserError
from pmm_jax.files import printable, read_regular, write_atomic

MARKER = "synthetic.json"
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"

_DRAWING_VERSION = 1
"""Raise it when the same settings would draw other pictures."""

Planned = tuple[str, int, Callable[[], Image.Image]]
"""Path under the root, JPEG quality, and what draws the image."""


def synthesize(
    root: Path,
    settings: SyntheticSettings,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> int:
    """Draw a set of synthetic people into a folder, in Market-1501's layout.

    The same finished set is not drawn again; an interrupted one is drawn from its start.

    Args:
        root: folder to write; made if it does not exist.
        settings: which set.
        progress: called with (images written, images in all) after every image.
        workers: processes that draw; the images do not depend on it.

    Returns:
        Number of images in the set.

    Raises:
        UserError: root holds anything but a set of these settings, or can't be written.
    """
    planned = list(plan(settings))
    state = {"drawing_version": _DRAWING_VERSION, "settings": asdict(settings)}
    if _finished(root, state):
        return len(planned)
    try:
        for folder in (TRAIN, QUERY, GALLERY):
            (root / folder).mkdir(parents=True, exist_ok=True)
        _mark(root, {**state, "finished": False})
        with _mapper(workers) as mapper:
            for done, _ in enumerate(mapper(partial(_draw, root), planned), start=1):
                if progress is not None:
                    progress(done, len(planned))
        _mark(root, {**state, "finished": True})
    except OSError as error:
        raise UserError(
            f"can't write {printable(str(root))} ({error.strerror or error}); free room, or name "
            "another folder"
        ) from error
    return len(planned)


def _draw(root: Path, planned: Planned) -> None:
    path, quality, draw = planned
    # In memory first: PIL overlooks that a disk took only a part of what it wrote.
    encoded = io.BytesIO()
    draw().save(encoded, "JPEG", quality=quality)
    (root / path).write_bytes(encoded.getvalue())


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[..., Iterable[None]]]:
    if workers == 1:
        yield map
        return
    # Spawned, not forked: the caller may hold jax's threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield partial(pool.imap_unordered, chunksize=32)


def plan(settings: SyntheticSettings) -> Iterator[Planned]:
    """All images of a set, in the order in which they are written.

    Training people come first and are numbered from 1, test people after them. Of each test
    person the first shot in a camera is the query, the others are gallery.
    """
    people = settings.train_identities + settings.test_identities
    for identity in range(1, people + 1):
        test = identity > settings.train_identities
        for seen_by, shots in itinerary(settings, identity):
            for index in range(shots):
                folder = TRAIN if not test else QUERY if index == 0 else GALLERY
                shot = Shot(identity, seen_by, index)
                name = market_name(f"{identity:04d}", seen_by, _frame(settings, shot), index)
                draw = partial(photograph, settings, shot)
                yield f"{folder}/{name}", camera(settings, seen_by).quality, draw
    for index in range(settings.distractors):
        seen_by = index % settings.cameras
        name = market_name("0000", seen_by, 100 + 25 * index, 0)
        draw = partial(photograph_distractor, settings, index, seen_by)
        yield f"{GALLERY}/{name}", camera(settings, seen_by).quality, draw
    for index in range(settings.junk):
        identity = settings.train_identities + 1 + index % settings.test_identities
        visits = list(itinerary(settings, identity))
        seen_by = visits[index % len(visits)][0]
        name = market_name("-1", seen_by, 100 + 25 * index, 0)
        draw = partial(photograph_junk, settings, Shot(identity, seen_by, index))
        yield f"{GALLERY}/{name}", camera(settings, seen_by).quality, draw


def itinerary(settings: SyntheticSettings, identity: int) -> Iterator[tuple[int, int]]:
    """The cameras a person walks past, from 0, each with the number of images it takes."""
    rng = stream(settings.seed, Stream.ITINERARY, identity)
    count = int(rng.integers(settings.min_cameras_each, settings.cameras + 1))
    for seen_by in sorted(rng.choice(settings.cameras, count, replace=False)):
        yield int(seen_by), int(rng.integers(settings.min_shots, settings.max_shots + 1))


def market_name(identity: str, seen_by: int, frame: int, index: int) -> str:
    """A file name as Market-1501's: identity, camera and sequence from 1, frame, detection."""
    return f"{identity}_c{seen_by + 1}s1_{frame:06d}_{index + 1:02d}.jpg"


def _frame(settings: SyntheticSettings, shot: Shot) -> int:
    """Frame number: people pass one after the other, and a visit's shots are 25 frames apart."""
    return 151 + 25 * (shot.identity * (settings.max_shots + 2) + shot.index)


def _finished(root: Path, state: dict[str, Any]) -> bool:
    """Whether root holds this set complete; False where it may be drawn, else a UserError."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise UserError(f"{root} is a file; name a folder")
    if not any(root.iterdir()):
        return False
    try:
        found = json.loads(read_regular(root / MARKER))
    except (OSError, ValueError, UserError):
        raise UserError(
            f"{root} is not empty and holds no synthetic set ({MARKER} is missing or unreadable);"
            " name an empty or new folder"
        ) from None
    if not isinstance(found, dict) or any(found.get(key) != state[key] for key in state):
        raise UserError(
            f"{root} holds a synthetic set of other settings (see its {MARKER});"
            " name another folder or delete this one"
        )
    return found.get("finished") is True


def _mark(root: Path, state: dict[str, Any]) -> None:
    write_atomic(root / MARKER, (json.dumps(state, indent=1) + "\n").encode())
