"""Figures of finished runs as JSON lines, which the pages under docs/ quote.

    python -m benchmarks.evidence CONFIG RUN [RUN ...]

RUN is the folder of a run by --config CONFIG: of `pmm train`, or one of those in a folder of `pmm
ablate`. Its line in benchmarks/results/evidence.jsonl has the command that trains it alone, by
CONFIG as it is now, and the commit of the code that ran; a run that isn't finished is left out. The
rows of docs/experiments are printed; a test holds the pages to the file.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pmm_jax.ablation.one import RESULT
from pmm_jax.ablation.result import read_result
from pmm_jax.cli.config_file import load_config
from pmm_jax.cli.program import main
from pmm_jax.config import Config
from pmm_jax.errors import UserError
from pmm_jax.workdir.run_config import load_run_config
from pmm_jax.workdir.run_log import read_metrics
from pmm_jax.workdir.sessions import read_sessions, recorded_differences

FILE = Path(__file__).parent / "results" / "evidence.jsonl"

Row = dict[str, Any]


def read_row(config: str, run: Path) -> Row | None:
    """A run's line: what was trained by what, Rank-1 and mAP as fractions; None before its end.

    Args:
        config: what --config named.
        run: its folder.
    """
    sessions = read_sessions(run).sessions
    if not any(session.get("outcome") == "finished" for session in sessions):
        return None
    trained, figures = load_run_config(run), read_metrics(run)[-1]
    overlap = read_result(run / RESULT).overlap if (run / RESULT).is_file() else math.nan
    return {
        "method": trained.method.name,
        "seed": trained.train.seed,
        "command": command(config, trained),
        "commit": sorted({str(session["versions"]["commit"]) for session in sessions}),
        "processor": sorted({session["machine"]["processor"] for session in sessions}),
        "split": "held out" if trained.data.name == "folder" else "test",
        "epochs": trained.train.epochs,
        "rank1": round(figures["rank1"], 6),
        "mAP": round(figures["mAP"], 6),
        "overlap": None if math.isnan(overlap) else round(overlap, 4),
    }


def command(config: str, trained: Config) -> str:
    """Command line that trains this run alone, but for where the images are."""
    words = ["pmm", "train", "--config", config]
    for name, (_, value) in recorded_differences(load_config(config), trained).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            group, _, field = option.rpartition(".")
            words.append(option if value else f"{group}.no-{field}")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            words += [option, *map(str, values)]
    return shlex.join(words)


def read_rows(file: Path = FILE) -> list[Row]:
    """All lines of the results file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Old rows and new ones; of one command at one commit the new one."""
    key = ("command", "split", "commit")
    rows = {json.dumps([row[name] for name in key]): row for row in [*old, *new]}
    return list(rows.values())


def markdown(row: Row) -> str:
    """A row of the table in docs/experiments: percent, and the commit's first seven digits."""
    cells = [f"`{row['command']}`", str(row["seed"]), row["split"]]
    cells += [f"{100 * row[name]:.1f}" for name in ("rank1", "mAP")]
    cells.append("-" if row["overlap"] is None else f"{row['overlap']:.2f}")
    cells.append(", ".join(commit[:7] for commit in row["commit"]))
    return f"| {' | '.join(cells)} |"


def evidence_command(arguments: Sequence[str]) -> None:
    """Read, write, print."""
    if len(arguments) < 2:
        raise UserError("usage: python -m benchmarks.evidence CONFIG RUN [RUN ...]")
    config, *runs = arguments
    found = [row for run in runs if (row := read_row(config, Path(run)))]
    rows = merge(read_rows(), found)
    FILE.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    print("\n".join(map(markdown, rows)))


if __name__ == "__main__":
    main(evidence_command)
