"""How often a threshold keeps what its intervals say, on identities that it hasn't seen.

    python -m benchmarks.calibration WORKDIR [--data.root DIR] [--splits 20] [--json]

The test identities of the run are split into halves, by seeds 0, 1, ...: one half is calibrated on,
and the rates of false and of missed matches at its threshold are counted on the other half. Both
should lie in the intervals that the first half predicts for as many other identities.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.display import Display
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.evaluation.threshold import find_threshold, rates_at
from pmm_jax.search.calibrate import LabeledImages, labeled_run
from pmm_jax.workdir.run_config import load_run_config

RATES = (1e-2, 1e-3)


def main() -> None:
    """Parse, split, calibrate, print."""
    parser = argparse.ArgumentParser(description="Thresholds on identities they haven't seen.")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--data.root", dest="root", default="", help="where the images are now")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    images = labeled_run(options.workdir, "latest", options.root, Display(stderr=True))
    features = images.features
    if load_run_config(options.workdir).evaluate.distance == "cosine":
        features = unit_length("features", features)
    rows = []
    for seed in range(options.splits):
        for rate in RATES:
            rows.append(_tried(features, images, rate, seed))
            print(json.dumps(rows[-1]) if options.json else _line(rows[-1]), flush=True)
    if not options.json:
        for rate in RATES:
            _summarize([row for row in rows if row["rate"] == rate])


def _tried(features: np.ndarray, images: LabeledImages, rate: float, seed: int) -> dict[str, Any]:
    """What half of the identities predicts, and what the others show."""
    people = np.unique(images.identities[images.identities > 0])
    half = np.random.default_rng(seed).permutation(people)[: len(people) // 2]
    one = np.isin(images.identities, half)
    other = ~one
    found = find_threshold(features[one], images.identities[one], images.cameras[one], rate, seed=0)
    false, missed = rates_at(
        features[other], images.identities[other], images.cameras[other], found.threshold, seed=0
    )
    return {
        "seed": seed,
        "rate": rate,
        "threshold": found.threshold,
        "interval": found.interval,
        "false": false,
        "false_interval": found.false_match_interval,
        "missed": missed,
        "missed_interval": found.missed_match_interval,
    }


def _is_inside(row: dict[str, Any], name: str) -> bool:
    low, high = row[f"{name}_interval"]
    return bool(low <= row[name] <= high)


def _line(row: dict[str, Any]) -> str:
    cells = [f"{row['seed']:>3}  {row['rate']:.1%}  {row['threshold']:8.4g}"]
    for name, digits in (("false", 3), ("missed", 1)):
        low, high = row[f"{name}_interval"]
        mark = " " if _is_inside(row, name) else "!"
        cells.append(f"{name} {row[name]:.{digits}%}{mark} ({low:.{digits}%} to {high:.{digits}%})")
    return "   ".join(cells)


def _summarize(rows: list[dict[str, Any]]) -> None:
    counts = ", ".join(
        f"{name} matches {sum(_is_inside(row, name) for row in rows)}"
        for name in ("false", "missed")
    )
    print(f"rate {rows[0]['rate']:.1%}, inside the interval of {len(rows)} splits: {counts}")


if __name__ == "__main__":
    main()
