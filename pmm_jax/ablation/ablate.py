"""Train and evaluate every variant with every seed, and write tables of the results."""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pmm_jax.ablation.grid import GridPoint
from pmm_jax.ablation.one import RESULT
from pmm_jax.ablation.result import Result, read_result
from pmm_jax.ablation.table import write_figure, write_tables
from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.runtime.children import run_to_end
from pmm_jax.workdir.run_config import load_run_config

ERRORS = "error.log"
STOPPED = 130
"""Exit code of a run that was interrupted and has saved its place."""


def ablate(
    variants: Sequence[GridPoint], seeds: Sequence[int], workdir: Path, display: Display
) -> bool:
    """Train all runs, a process each, and rewrite the tables in `workdir` after each.

    The runs of one seed start from the same weights, where they have the same parts, and see the
    same batches. A run that fails is left out of the table and named; the others go on. Finished
    runs are kept: the same command goes on where it stopped.

    Args:
        variants: the first is what the others are compared with.
        seeds: a run of each variant for each.
        workdir: a folder for each run, ablation.md, ablation.csv and ablation.svg.
        display: shows progress.

    Returns:
        Whether no run failed.

    Raises:
        UserError: a seed twice or none, or a folder of another run.
        KeyboardInterrupt: once the run at hand has saved its place.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {' '.join(map(str, seeds))}: give each once, and one at least")
    for data, cameras in {(v.config.data, v.config.evaluate.cameras): None for v in variants}:
        prepare(data, display.info, True, cameras)
    results: dict[str, dict[int, Result]] = {variant.words: {} for variant in variants}
    failed: dict[str, str] = {}
    total = len(variants) * len(seeds)
    # Seed by seed, so that a table of all variants stands early.
    for number, (seed, variant) in enumerate(
        [(seed, variant) for seed in seeds for variant in variants], 1
    ):
        folder = workdir / variant.folder(seed)
        display.info(f"{number}/{total}: {variant.words}, seed {seed}, in {folder}")
        reason = None
        if not _is_done(folder, variant.seeded(seed)):
            reason = _run(variant.seeded(seed), folder)
        if reason is None:
            results[variant.words][seed] = read_result(folder / RESULT)
        else:
            failed[f"{variant.words}, seed {seed}"] = reason
            display.info(f"failed: {reason}")
        write_tables(variants, results, failed, workdir)
    write_figure(variants, results, workdir)
    return not failed


def _is_done(folder: Path, config: Config) -> bool:
    """Whether the folder has the result of this very run.

    Raises:
        UserError: of another one.
    """
    if not (folder / RESULT).is_file():
        return False
    if load_run_config(folder) != config:
        raise UserError(f"{folder} holds a run of other settings; use another --workdir")
    return True


def _run(config: Config, folder: Path) -> str | None:
    """One run to its end; the reason where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pmm_jax.ablation.one"]
    command += [json.dumps(dataclasses.asdict(config)), str(folder)]
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with (folder / ERRORS).open("w", encoding="utf-8") as errors:
        code = run_to_end(command, stderr=errors, env=environment)
    if code == 0:
        return None
    lines = (folder / ERRORS).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if code == STOPPED:
        raise KeyboardInterrupt
    return lines[-1].removeprefix("error: ") if lines else f"it ended with code {code}"
