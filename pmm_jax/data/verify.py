"""Checks of a data set as a whole, and reports of what they find."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pmm_jax.data.datasets import Dataset
from pmm_jax.data.parsing import shortened
from pmm_jax.data.records import EXAMPLES, SPLITS, Problem, Record, Scan, left_out, summary_of
from pmm_jax.data.source_images import SourceImages
from pmm_jax.errors import UserError

SHOWN = 30
"""Files of one kind of note that are listed on the screen; a file has them all."""
NO_MATCH = "query without a match that counts, left out of Rank-1 and mAP"
IN_BOTH = "image of train is in query or gallery, too"


def report_notes(problems: list[Problem], notes: Path, info: Callable[[str], None]) -> None:
    """List the files that were left out or are unusual, by kind; `notes` holds the whole list."""
    for reason, kind in _kinds(problems, fatal=False).items():
        hint = f"; {kind[0].hint}" if kind[0].hint else ""
        info(f"note: {len(kind):,} x {reason}{hint}:")
        for problem in kind[:SHOWN]:
            info(f"  {problem.path}" + (f" ({problem.detail})" if problem.detail else ""))
        if len(kind) > SHOWN:
            info(f"  and {len(kind) - SHOWN:,} more, listed in {notes}")


def refuse(problems: list[Problem], notes: Path, info: Callable[[str], None]) -> None:
    """Raise with the first kind of fatal problems, once the other kinds have been reported."""
    first, *others = _kinds(problems, fatal=True).values() or [[]]
    if not first:
        return
    for kind in others:
        info(f"error: {_line(kind, notes)}")
    more = f" (and {len(others)} other kinds of errors, listed above)" if others else ""
    raise UserError(f"{_line(first, notes)}{more}")


def _kinds(problems: list[Problem], fatal: bool) -> dict[str, list[Problem]]:
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        if problem.fatal == fatal:
            kinds.setdefault(problem.reason, []).append(problem)
    return kinds


def _line(kind: list[Problem], notes: Path) -> str:
    return summary_of(kind, f" (all in {notes})" if len(kind) > EXAMPLES else "")


def unmatched(found: Scan, same_camera_rule: bool) -> list[Problem]:
    """A note for each query that the protocol leaves without a match.

    Args:
        found: what the set holds.
        same_camera_rule: whether matches in the query's own camera are left out.
    """
    cameras: dict[int, set[int]] = {}
    for record in found.splits["gallery"]:
        cameras.setdefault(record.identity, set()).add(record.camera)

    def has_match(query: Record) -> bool:
        # Where no camera is known, its negative number stands for the query image itself.
        own = {query.camera} if same_camera_rule or query.camera < 0 else set()
        return bool(cameras.get(query.identity, set()) - own)

    alone = (query for query in found.splits["query"] if not has_match(query))
    return [Problem(query.path, NO_MATCH, fatal=False) for query in alone]


def check_matches(dataset: Dataset, found: Scan, same_camera_rule: bool) -> None:
    """Check that a query has a match that counts.

    Raises:
        UserError: none has.
    """
    queries = found.splits["query"]
    if not queries or len(unmatched(found, same_camera_rule)) < len(queries):
        return
    present = {record.identity for record in found.splits["gallery"]}
    skipped = left_out(found.problems)
    seen = next((query for query in queries if query.identity in present), None)
    identity = (seen or queries[0]).identity
    example = shortened(found.names.get(identity, str(identity)))
    if seen is None:
        raise UserError(
            f"no query of {dataset.root} has its identity in the gallery (identity {example}, for "
            f"one); add gallery images of the queries' identities{skipped}"
        )
    if seen.camera < 0:
        raise UserError(
            f"the gallery of {dataset.root} has no other image of any query's identity than the "
            f"query itself (identity {example}, for one); add gallery images{skipped}"
        )
    camera = shortened(found.camera_names.get(seen.camera, str(seen.camera)))
    raise UserError(
        f"no query of {dataset.root} has a match in another camera (identity {example} is only in "
        f"camera {camera}), and matches in its own camera don't count; add images from other "
        "cameras, or let them count by --evaluate.no-cameras, or by --data.cameras ignore where "
        f"the cameras mean nothing{skipped}"
    )


def shared_identities(dataset: Dataset, found: Scan) -> list[str]:
    """Names of the identities that are in train and in query or gallery, sorted.

    Identity 0 of sets that number their identities stands for distractors, not for one person.
    """
    if dataset.numbers_train_apart:
        return []
    train = {record.identity for record in found.splits["train"]}
    test = {record.identity for split in SPLITS[1:] for record in found.splits[split]}
    shared = sorted(train & test)
    return [found.names.get(i, str(i)) for i in shared if i in found.names or i]


def duplicates(images: SourceImages, fatal: bool) -> list[Problem]:
    """A problem for each training image that query or gallery has, too, byte for byte.

    Args:
        images: those of the set, all read.
        fatal: whether that stops.
    """

    def hashed(split: str) -> Iterator[tuple[str, str]]:
        # Sound images only: damaged ones that are alike are no copies.
        for record, hashes in zip(images.found.splits[split], images.hashes[split], strict=True):
            if hashes:
                yield record.path, hashes.sha256

    test = {sha256: path for split in SPLITS[1:] for path, sha256 in hashed(split)}
    hint = (
        "figures on images that were trained on mean nothing; take them out of train or out of the "
        "test, or set --data.allow-duplicates"
    )
    return [
        Problem(path, IN_BOTH, fatal, hint if fatal else "", detail=test[sha256])
        for path, sha256 in dict(hashed("train")).items()
        if sha256 in test
    ]
