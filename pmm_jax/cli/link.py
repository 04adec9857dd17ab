"""pmm link TRACKLETS --model MODEL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmm_jax.cli.parsing import leading_words, output_file, parse, wants_help
from pmm_jax.errors import UserError
from pmm_jax.fields import number, path

if TYPE_CHECKING:
    import numpy as np

    from pmm_jax.api import Model
    from pmm_jax.display import Display
    from pmm_jax.report.linked.linked import Linked
    from pmm_jax.search.tracklets import TrackletTable

USAGE = "pmm link TRACKLETS --model MODEL [options]"
DESCRIPTION = (
    "TRACKLETS --model MODEL [options]: give tracklets of several cameras identities. TRACKLETS is "
    "a CSV file of crops with columns path, camera, track and, if known, time (or frame, or start "
    "and end), or what pmm embed wrote of one."
)


@dataclass(frozen=True)
class Options:
    """Options of `pmm link`."""

    model: str = ""
    """A run's folder, a model file, or hf://OWNER/NAME."""
    threshold: float = number(0.0, 0.0, 1e9)
    """Distance below which two images show one person; 0 takes what pmm calibrate found."""
    out: str = path("identities.csv")
    """CSV file to write: every column of TRACKLETS, and identity."""
    page: str = path("")
    """HTML page to write, which shows each identity's tracklets."""
    json: bool = False
    """Print one JSON object instead of the lines."""


def link_command(arguments: Sequence[str]) -> None:
    """Parse, embed, link, write, print."""
    named, words = leading_words(arguments)
    options = parse(Options(), words, DESCRIPTION, "pmm link")
    if (len(named) != 1 or not options.model) and not wants_help(words):
        raise UserError(f"link needs tracklets and a model: {USAGE}")
    out = output_file("--out", options.out, ".csv")
    page = output_file("--page", options.page, ".html") if options.page else None
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.embedding.embed_source import embedding_table_of
    from pmm_jax.runtime import set_up_training
    from pmm_jax.search.linking import link
    from pmm_jax.search.tracklets import tracklet_table

    set_up_training()
    display, model = Display(stderr=options.json), load_any(options.model)
    threshold, distance = _threshold(model, options)
    table = embedding_table_of(named[0], model, display)
    found = tracklet_table(table, distance)
    total = len(found.tracklets.counts)
    with display.bar("linking", total) as bar:
        identities = link(found.tracklets, threshold, bar.advance)
    figures = found.figures(identities)
    summary: dict[str, Any] = {
        "tracklets": total,
        "images": len(table),
        "cameras": len(set(found.tracklets.cameras.tolist())),
        "identities": int(identities.max()),
        "threshold": threshold,
        "distance": distance,
        "figures": None if figures is None else figures._asdict(),
        "notes": _notes(model, found, options),
    }
    _write(out, found, identities)
    if page is not None:
        about = f"{Path(named[0]).name}, by {Path(options.model).name}"
        _linked(about, summary, found, identities, display).write(page)
    print(json.dumps(summary) if options.json else _text(summary))
    display.info(f"written: {out}{f', {page}' if page else ''}")


def _threshold(model: Model, options: Options) -> tuple[float, str]:
    """Threshold, and how distances are taken.

    Raises:
        UserError: there is no threshold.
    """
    if model.calibration is not None:
        threshold = options.threshold or model.calibration.threshold
        return threshold, model.calibration.distance
    if not options.threshold:
        raise UserError(
            f"{options.model} has no threshold; run pmm calibrate {options.model}, or give "
            "--threshold"
        )
    distance = "euclidean" if model.info is None else model.info.config.evaluate.distance
    return options.threshold, distance


def _notes(model: Model, found: TrackletTable, options: Options) -> list[str]:
    """What a reader should know of the result."""
    notes = []
    if not found.has_times:
        notes.append(
            "without times, nothing keeps two people of one camera apart but their looks; add a "
            "column time, or start and end"
        )
    if model.calibration is not None and not options.threshold:
        cameras = sorted(set(found.table.columns["camera"].astype(str).tolist()))
        notes += model.calibration.warnings(cameras)
    return notes


def _write(out: Path, found: TrackletTable, identities: np.ndarray) -> None:
    """Write the rows of the table with their identities.

    Raises:
        UserError: it can't be written.
    """
    from pmm_jax.files import write_atomic

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = {name: c for name, c in found.table.columns.items() if name != "identity"}
    writer.writerow([*columns, "identity"])
    values = [column.tolist() for column in columns.values()]
    writer.writerows(zip(*values, identities[found.rows].tolist(), strict=True))
    try:
        write_atomic(out, text.getvalue().encode(errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror or error}") from error


def _linked(
    about: str,
    summary: dict[str, Any],
    found: TrackletTable,
    identities: np.ndarray,
    display: Display,
) -> Linked:
    """The page of what was linked."""
    import numpy as np

    from pmm_jax.report.linked.linked import Linked

    first = np.unique(found.rows, return_index=True)[1]
    return Linked(
        about,
        summary,
        found.table.columns["path"].tolist(),
        found.rows,
        identities,
        found.table.columns["camera"].astype(str)[first].tolist(),
        np.stack([found.tracklets.starts, found.tracklets.ends], axis=1),
        display,
    )


def _text(summary: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [
        f"{summary['tracklets']:,} tracklets of {summary['cameras']} cameras: "
        f"{summary['identities']:,} identities, by {summary['distance']} distances below "
        f"{summary['threshold']:.4g}"
    ]
    if summary["figures"] is not None:
        shown = {"precision": "precision", "recall": "recall", "f1": "F1", "idf1": "IDF1"}
        figures = (f"{word} {summary['figures'][name]:.1%}" for name, word in shown.items())
        lines.append(f"by the column id: {', '.join(figures)}")
    return "\n".join([*lines, *(f"note: {note}" for note in summary["notes"])])
