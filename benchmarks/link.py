"""How well tracklets are linked: Market-1501's test set, cut by identity, camera and sequence.

    python -m benchmarks.link RUN [--false-match-rates 1e-2 1e-3] [--seeds 0 1 2] [--json]

Half of the test identities are calibrated on, the tracklets of the other half are linked by that
threshold; beside it each tracklet alone, and the best threshold chosen with hindsight.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.display import Display
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.evaluation.threshold import find_threshold
from pmm_jax.inference import embed_run
from pmm_jax.search.linking import Tracklets, link, link_figures, overlapping, sum_up
from pmm_jax.workdir.run_config import load_run_config

NAME = re.compile(r"(-?\d+)_c(\d+)s(\d+)_(\d+)_")
"""Identity, camera, sequence and frame of an image."""
SEQUENCE = 10_000_000
"""Frames between the starts of two sequences: more than one has."""
STEPS = 41


def main() -> None:
    """Parse, embed, link, print."""
    parser = argparse.ArgumentParser(description="Accuracy of linked tracklets.")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--false-match-rates", nargs="+", type=float, default=[1e-2, 1e-3, 1e-4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config, display = load_run_config(options.workdir), Display(stderr=True)
    # As Model.embed does, which pmm link uses.
    config = replace(config, evaluate=replace(config.evaluate, flip_average=False))
    query, gallery = embed_run(config, options.workdir, display)
    assert query.paths is not None
    assert gallery.paths is not None
    features = np.concatenate([query.features, gallery.features])
    if config.evaluate.distance == "cosine":
        features = unit_length("features", features)
    paths = np.concatenate([query.paths, gallery.paths])
    parts = [NAME.search(Path(path).name) for path in paths]
    labels = np.array([[int(n) for n in part.groups()] if part else [-1] * 4 for part in parts])
    rows = []
    for seed in options.seeds:
        rows += split_rows(features, labels, seed, options.false_match_rates)
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"seed {row['seed']}  {row['threshold']:<24} {row['distance']:>7.3f}  precision "
            f"{row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}  "
            f"IDF1 {row['idf1']:.3f}  {row['identities']} identities of {row['people']} people, "
            f"{row['tracklets']} tracklets, {row['twice']} twice at once"
        )


def split_rows(
    features: np.ndarray, labels: np.ndarray, seed: int, rates: list[float]
) -> list[dict[str, Any]]:
    """Figures of one split of the identities."""
    people = np.unique(labels[:, 0])
    people = people[people > 0]
    half = np.random.default_rng(seed).permutation(people)[: len(people) // 2]
    known = labels[:, 0] > 0
    mine = np.isin(labels[:, 0], half)
    images, names = features[known & ~mine], labels[known & ~mine]
    keys, tracklet = np.unique(names[:, :3], axis=0, return_inverse=True)
    times = (names[:, 2] * SEQUENCE + names[:, 3]).astype(float)
    tracklets = sum_up(images, tracklet.ravel(), names[:, 1], np.stack([times, times], 1))
    chosen = {
        f"false-match rate {rate:g}": find_threshold(
            features[mine], labels[mine, 0], labels[mine, 1], rate, seed
        ).threshold
        for rate in rates
    }
    rows = [_row("each tracklet alone", 0.0, tracklets, keys[:, 0], seed)]
    rows += [_row(name, value, tracklets, keys[:, 0], seed) for name, value in chosen.items()]
    low, high = min(chosen.values()) * 0.7, max(chosen.values()) * 1.3
    tried = [
        _row("best with hindsight", float(value), tracklets, keys[:, 0], seed)
        for value in np.linspace(low, high, STEPS)
    ]
    return [*rows, max(tried, key=lambda row: row["f1"])]


def _row(
    name: str, threshold: float, tracklets: Tracklets, true: np.ndarray, seed: int
) -> dict[str, Any]:
    found = link(tracklets, threshold)
    twice = overlapping(tracklets) & (found[:, None] == found[None])
    np.fill_diagonal(twice, False)
    return {
        "seed": seed,
        "threshold": name,
        "distance": threshold,
        "tracklets": len(found),
        "identities": int(found.max()),
        "people": len(np.unique(true)),
        "twice": int(twice.sum()) // 2,
        **link_figures(found, true, tracklets.counts)._asdict(),
    }


if __name__ == "__main__":
    main()
