"""The comparison as Markdown, CSV and a figure."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pmm_jax.ablation.grid import GridPoint
from pmm_jax.ablation.result import Result
from pmm_jax.config_check import feature_map_size
from pmm_jax.evaluation.bootstrap import Interval, paired_bootstrap, runs_interval
from pmm_jax.report.overlap import by_chance

Results = Mapping[str, Mapping[int, Result]]
"""Results by the variant's words, then by seed."""


@dataclass(frozen=True)
class Figure:
    """One metric of a variant."""

    mean: float
    spread: float
    """Standard deviation over seeds; NaN for one seed."""
    difference: Interval | None
    """Difference from the first variant over common seeds; None for the first variant."""


@dataclass(frozen=True)
class Row:
    """Row of the table: one variant."""

    variant: GridPoint
    seeds: int
    rank1: Figure
    mAP: Figure
    overlap: float
    chance: float
    """Overlap of random blocks."""
    minutes: float
    """Median training time over the runs."""


def rows(variants: Sequence[GridPoint], results: Results) -> list[Row]:
    """A row for each variant that has a run."""
    first = results[variants[0].words]
    found = []
    for variant in variants:
        own = results[variant.words]
        if not own:
            continue
        chance = float("nan")
        block = variant.config.method.block
        size = feature_map_size(variant.config.data.image_size)
        overlap = float(np.mean([result.overlap for result in own.values()]))
        if not np.isnan(overlap):
            blocks = (size[0] // block[0]) * (size[1] // block[1])
            chance = by_chance(blocks, variant.config.method.top_k)
        against = None if variant is variants[0] else first
        found.append(
            Row(
                variant=variant,
                seeds=len(own),
                rank1=_figure(own, against, "hits"),
                mAP=_figure(own, against, "average_precision"),
                overlap=overlap,
                chance=chance,
                minutes=float(np.median([result.seconds for result in own.values()]) / 60),
            )
        )
    return found


def _figure(own: Mapping[int, Result], first: Mapping[int, Result] | None, name: str) -> Figure:
    values = {seed: getattr(result, name) for seed, result in own.items()}
    means = [float(np.nanmean(value)) for value in values.values()]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")
    difference = None
    shared = [] if first is None else [seed for seed in values if seed in first]
    if first is not None and shared:
        mine = np.stack([values[seed] for seed in shared])
        theirs = np.stack([getattr(first[seed], name) for seed in shared])
        if len(shared) > 1:
            difference = runs_interval(mine, theirs)
        else:
            difference = paired_bootstrap(mine[0], theirs[0], seed=shared[0])
    return Figure(float(np.mean(means)), spread, difference)


def write_tables(
    variants: Sequence[GridPoint], results: Results, failed: Mapping[str, str], workdir: Path
) -> None:
    """ablation.md and ablation.csv.

    Args:
        variants: the first is what the others are compared with.
        results: of the runs so far.
        failed: the reason of each run that failed.
        workdir: of the comparison.
    """
    table = rows(variants, results)
    text = markdown(table) if table else "No run is finished.\n"
    for name, reason in failed.items():
        text += f"\nFailed: {name}: {reason}\n"
    (workdir / "ablation.md").write_text(text, encoding="utf-8")
    (workdir / "ablation.csv").write_text(_csv(table), encoding="utf-8")


def markdown(table: Sequence[Row]) -> str:
    """A table in percent and points, and what its columns are."""
    lines = [
        "| method | seeds | Rank-1 | mAP | Rank-1, difference | mAP, difference | stages' overlap "
        "(by chance) | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        overlap = "-" if np.isnan(row.overlap) else f"{row.overlap:.2f} ({row.chance:.2f})"
        cells = [
            row.variant.title,
            str(row.seeds),
            _percent(row.rank1),
            _percent(row.mAP),
            _points(row.rank1.difference),
            _points(row.mAP.difference),
            overlap,
            f"{row.minutes:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Mean and standard deviation over seeds. Differences are from {table[0].variant.title} at "
        "the same seeds, with 95 % intervals over queries and training runs (of one seed: over "
        "queries alone). Overlap: mean IoU of the top-K blocks of two stages' Grad-CAMs, on "
        "training images.",
    ]
    return "\n".join(lines) + "\n"


def _percent(figure: Figure) -> str:
    spread = "" if np.isnan(figure.spread) else f" ± {100 * figure.spread:.1f}"
    return f"{100 * figure.mean:.1f}{spread}"


def _points(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    mean, low, high = (100 * value for value in interval)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _csv(table: Sequence[Row]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    of_metric = ("mean", "spread", "difference", "low", "high")
    metrics = [f"{metric}_{name}" for metric in ("rank1", "mAP") for name in of_metric]
    writer.writerow(["method", "seeds", *metrics, "overlap", "chance", "minutes"])
    for row in table:
        values: list[float | str] = []
        for figure in (row.rank1, row.mAP):
            values += [figure.mean, figure.spread]
            values += list(figure.difference) if figure.difference else [""] * 3
        values += [row.overlap, row.chance, row.minutes]
        shown = ["" if isinstance(v, float) and np.isnan(v) else v for v in values]
        writer.writerow([row.variant.words, row.seeds, *shown])
    return stream.getvalue()


def write_figure(variants: Sequence[GridPoint], results: Results, workdir: Path) -> None:
    """ablation.svg: every run a dot, every variant's mean a line, Rank-1 beside mAP."""
    from matplotlib.figure import Figure as Drawing

    shown = [variant for variant in variants if results[variant.words]]
    if not shown:
        return
    drawing = Drawing(figsize=(9, 1 + 0.4 * len(shown)), layout="constrained")
    both = drawing.subplots(1, 2, sharey=True)
    for axes, (label, name) in zip(
        both, (("Rank-1, %", "hits"), ("mAP, %", "average_precision")), strict=True
    ):
        for height, variant in enumerate(shown):
            runs = results[variant.words].values()
            values = [100 * float(np.nanmean(getattr(result, name))) for result in runs]
            axes.plot(values, [height] * len(values), "o", color="C0", alpha=0.6)
            axes.plot([np.mean(values)] * 2, [height - 0.3, height + 0.3], color="C1", linewidth=2)
        axes.set(xlabel=label, yticks=range(len(shown)))
        axes.grid(axis="x", alpha=0.3)
    both[0].set_yticklabels([variant.title for variant in shown])
    both[0].invert_yaxis()
    drawing.savefig(workdir / "ablation.svg", metadata={"Date": None})
