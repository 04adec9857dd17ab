"""pmm report RUN [RUN ...] [--out FILE.html]."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pmm_jax.cli.parsing import output_file, take_option, wants_help
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.files import user_path

if TYPE_CHECKING:
    from pmm_jax.config import Config
    from pmm_jax.evaluation import Embeddings

REPORT = "report.html"
"""File name of the page in the run's folder; report.json lies beside it."""
SEVERAL = "comparison.html"
"""File name of the page of several runs, in the folder that holds them."""
USAGE = "pmm report RUN [RUN ...] [--out FILE.html]"
HELP = f"""One run's page goes to RUN/{REPORT}. That of several, beside each other, goes to
{SEVERAL} in the folder that holds them. The numbers lie beside it as JSON."""


def report_command(arguments: Sequence[str]) -> None:
    """Parse, write the page."""
    if wants_help(arguments):
        print(f"usage: {USAGE}\n\n{HELP}")
        return
    out, words = take_option(arguments, "--out")
    unknown = [word for word in words if word.startswith("-")]
    if unknown or not words:
        what = f"has no option {unknown[0]}" if unknown else "needs a run's folder"
        raise UserError(f"report {what}: {USAGE}")
    if out is not None:
        output_file("--out", out, ".html")
    from pmm_jax.runtime import set_up_training

    set_up_training()
    page, folders = None if out is None else user_path(out), [user_path(word) for word in words]
    if len(folders) == 1:
        make_report(folders[0], page, Display())
    else:
        make_comparison(folders, page, Display())


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


def make_comparison(workdirs: Sequence[Path], out: Path | None, display: Display) -> None:
    """Write the page of several runs and say where it is.

    Args:
        workdirs: of the runs.
        out: the page; by default comparison.html in the folder that holds all of them.
        display: shows progress.

    Raises:
        UserError: there is no run, one is named twice, or the page can't be written.
    """
    from pmm_jax.report.page import write_page
    from pmm_jax.report.runs import Runs
    from pmm_jax.report.several import SECTIONS

    runs = Runs(workdirs, display)
    holder = os.path.commonpath([workdir.resolve().parent for workdir in workdirs])
    page = out or Path(holder, SEVERAL)
    write_page(runs, SECTIONS, page)
    display.info(f"report: {page}")


def report_end(config: Config, workdir: Path, query: Embeddings, gallery: Embeddings) -> None:
    """Write the report of a run that has just ended; what prevents it is a warning, no failure.

    Args:
        config: of the run.
        workdir: likewise.
        query: as the last evaluation embedded it.
        gallery: likewise.
    """
    import jax

    display = Display()
    if jax.process_count() > 1:
        # Reading a checkpoint is a matter of all of them, and they would wait for minutes.
        display.info(f"no report by several processes; pmm report {workdir} writes it in one")
        return
    # Its checkpoint is the last one; another one's embeddings are others.
    at_hand = (query, gallery) if config.evaluate.checkpoint == "latest" else None
    try:
        make_report(workdir, None, display, at_hand)
        return
    except UserError as error:
        reason = str(error)
    except KeyboardInterrupt:
        reason = "interrupted; the run is complete"
    # A fault of the report's, or of memory or disk: the run has its weights and its figures.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    display.info(f"warning: no whole report ({reason}); pmm report {workdir} writes it")
