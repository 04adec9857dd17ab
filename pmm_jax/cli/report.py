"""pmm report RUN [--out FILE.html]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pmm_jax.cli.parsing import take_option, wants_help
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.files import user_path

if TYPE_CHECKING:
    from pmm_jax.config import Config
    from pmm_jax.evaluation import Embeddings

REPORT = "report.html"
"""File name of the page in the run's folder; report.json lies beside it."""
USAGE = "pmm report RUN [--out FILE.html]"


def report_command(arguments: Sequence[str]) -> None:
    """Parse, write the page."""
    if wants_help(arguments):
        print(f"usage: {USAGE}\n\nThe page goes to RUN/report.html, its numbers beside it as JSON.")
        return
    out, words = take_option(arguments, "--out")
    unknown = [word for word in words if word.startswith("-")]
    if unknown or len(words) != 1:
        what = f"has no option {unknown[0]}" if unknown else "needs one run's folder"
        raise UserError(f"report {what}: {USAGE}")
    if out is not None and not out.endswith(".html"):
        raise UserError(f"--out {out} must end in .html")
    from pmm_jax.runtime import set_up_training

    set_up_training()
    display = Display()
    make_report(user_path(words[0]), None if out is None else user_path(out), display)


def make_report(
    workdir: Path,
    out: Path | None,
    display: Display,
    embedded: tuple[Embeddings, Embeddings] | None = None,
) -> None:
    """Write the report of a run and say where it is.

    Args:
        workdir: of the run.
        out: the page; by default report.html in the workdir.
        display: shows progress.
        embedded: query and gallery as the run's last evaluation embedded them.

    Raises:
        UserError: there is no run, or the page can't be written.
    """
    from pmm_jax.report.page import write_page
    from pmm_jax.report.run_data import RunData
    from pmm_jax.report.sections import SECTIONS

    page = out or workdir / REPORT
    write_page(RunData(workdir, display, embedded), SECTIONS, page)
    display.info(f"report: {page}")


def report_end(config: Config, workdir: Path, query: Embeddings, gallery: Embeddings) -> None:
    """Write the report of a run that has just ended; what prevents it is a warning, no failure.

    Args:
        config: of the run.
        workdir: likewise.
        query: as the last evaluation embedded it.
        gallery: likewise.
    """
    display = Display()
    # Its checkpoint is the last one; another one's embeddings are others.
    at_hand = (query, gallery) if config.evaluate.checkpoint == "latest" else None
    try:
        make_report(workdir, None, display, at_hand)
    except UserError as error:
        display.info(f"warning: no report ({error}); pmm report {workdir} writes it")
