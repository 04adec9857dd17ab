"""What is wrong with a data set, told before anything is built."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pmm_jax.config import DataConfig
from pmm_jax.data.decode import to_rgb
from pmm_jax.data.images import ImageError, is_rotated, one_line, open_image
from pmm_jax.data.records import Problem, Scan
from pmm_jax.data.source import image_bytes
from pmm_jax.errors import UserError

SHOWN = 30
"""Files of one kind that are listed on the screen; a file has them all."""
NO_MATCH = "query without a match that counts, left out of Rank-1 and mAP"
ROTATED = "EXIF rotation, which is not applied: the image is used as it is stored"


def report_notes(problems: list[Problem], notes: Path, say: Callable[[str], None]) -> None:
    """List the files that were left out or are odd, by kind; `notes` holds the whole list."""
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        if not problem.fatal:
            kinds.setdefault(problem.reason, []).append(problem.path)
    for reason, paths in kinds.items():
        say(f"note: {len(paths):,} x {reason}:")
        for path in paths[:SHOWN]:
            say(f"  {printable(path)}")
        if len(paths) > SHOWN:
            say(f"  and {len(paths) - SHOWN:,} more, listed in {notes}")


def refuse(problems: list[Problem], say: Callable[[str], None]) -> None:
    """Report every fatal problem and raise with the first."""
    fatal = [problem for problem in problems if problem.fatal]
    if not fatal:
        return
    for problem in fatal:
        say(f"error: {problem.path}: {problem.reason}")
    more = f" (and {len(fatal) - 1} more like it, listed above)" if len(fatal) > 1 else ""
    raise UserError(f"{fatal[0].path}: {fatal[0].reason}{more}")


def check_matches(config: DataConfig, found: Scan) -> list[Problem]:
    """A note for each query that the same-camera rule leaves without a match.

    Raises:
        UserError: that is so for every query.
    """
    cameras: dict[int, set[int]] = {}
    for record in found.splits["gallery"]:
        cameras.setdefault(record.identity, set()).add(record.camera)
    queries = found.splits["query"]
    alone = [q for q in queries if not cameras.get(q.identity, set()) - {q.camera}]
    if len(alone) < len(queries) or not queries:
        return [Problem(query.path, NO_MATCH, fatal=False) for query in alone]
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


def verify(config: DataConfig, found: Scan) -> list[Problem]:
    """Decode every image once.

    Returns:
        A fatal problem for each image that can't be decoded, a note for each that is rotated.
    """
    read = image_bytes(config)

    def check(path: str) -> Problem | None:
        try:
            path.encode()
            with open_image(read(path)) as image:
                to_rgb(image).load()
                return Problem(path, ROTATED, fatal=False) if is_rotated(image) else None
        except FileNotFoundError:
            return Problem(path, "no such image; restore it, or take it off the list", fatal=True)
        except UnicodeEncodeError:
            return Problem(printable(path), "file name is not UTF-8; rename it", fatal=True)
        except ImageError as error:
            detail = f" ({error.detail})" if error.detail else ""
            return Problem(path, f"{error.reason}{detail}; {error.hint}", fatal=True)
        except (OSError, ValueError) as error:
            return Problem(path, f"can't be read ({one_line(error)}); restore it", fatal=True)

    distinct = dict.fromkeys(record.path for record in found.records())
    with warnings.catch_warnings(), ThreadPoolExecutor(config.workers) as pool:
        # PIL warns of corrupt EXIF data, which costs no pixel.
        warnings.filterwarnings("ignore", module="PIL")
        return [problem for problem in pool.map(check, distinct) if problem]


def printable(path: str) -> str:
    """A file name with what is not UTF-8 written as escapes."""
    return path.encode(errors="backslashreplace").decode()
