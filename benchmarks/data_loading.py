"""Images a second that the host loads, beside a PyTorch DataLoader.

    python -m benchmarks.data_loading --config FILE [--group.field VALUE ...] [--json]

Reads training batches of the config's data set in random order, decoded and resized anew each time
(data.host_cache_gib 0), and from memory, as a set that fits is kept. The PyTorch DataLoader does
the same with PIL in as many worker processes. Each round gives every loader a turn.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pmm_jax.cli.parsing import parse_run
from pmm_jax.cli.program import main
from pmm_jax.config import Config
from pmm_jax.data.decode import decode_record, decode_split
from pmm_jax.data.loading import image_reader, train_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split
from pmm_jax.training.setup import training_data

SIZES = ((384, 128), (192, 64))


@dataclass(frozen=True)
class Options(Config):
    """What the benchmark takes besides a run's own fields."""

    batches: int = 20
    """Batches of a turn."""
    rounds: int = 5
    """Turns of each loader."""
    json: bool = False
    """Print one JSON object instead of the table."""


class Images:
    """A PyTorch dataset of decoded images, by position."""

    def __init__(self, split: Split, size: tuple[int, int]) -> None:
        self._split, self._size = split, size

    def __len__(self) -> int:
        """Images of the split."""
        return len(self._split)

    def __getitem__(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        return decode_record(self._split, int(index), self._size)


def turn(load: Callable[[range], Any], steps: range, batch_size: int) -> float:
    """Images a second over some batches; the workers' start is part of it."""
    started = time.perf_counter()
    for _ in load(steps):
        pass
    return len(steps) * batch_size / (time.perf_counter() - started)


def loaders(
    split: Split, sampler: IdentitySampler, config: Config
) -> dict[str, Callable[[range], Any]]:
    """Functions from steps to their batches, by name."""
    data = config.data
    anew = image_reader(split, replace(data, host_cache_gib=0))
    kept = decode_split(split, data.image_size, data.num_workers)
    found: dict[str, Callable[[range], Any]] = {
        "decoded anew": lambda steps: train_batches(anew, sampler, steps, data.num_workers),
        "from memory": lambda steps: train_batches(
            lambda positions: kept[positions], sampler, steps, data.num_workers
        ),
    }
    if importlib.util.find_spec("torch"):
        import torch
        from torch.utils.data import DataLoader

        images: Any = Images(split, data.image_size)  # no subclass: torch may be missing
        found["PyTorch DataLoader"] = lambda steps: DataLoader(
            images,
            batch_sampler=[sampler.batch(step).tolist() for step in steps],
            num_workers=data.num_workers,
            collate_fn=lambda images: torch.from_numpy(np.stack(images)),
        )
    else:
        print("torch is not installed: its DataLoader is left out", file=sys.stderr)
    return found


def measure(config: Config, options: Options) -> dict[str, dict[str, float]]:
    """Median images a second, by size and loader."""
    prepare(config.data, same_camera_rule=config.evaluate.cameras)
    split, sampler = training_data(config)
    result = {}
    for size in SIZES:
        sized = replace(config, data=replace(config.data, image_size=size))
        turns: dict[str, list[float]] = {}
        all_loaders = loaders(split, sampler, sized)
        for number in range(options.rounds):
            steps = range(number * options.batches, (number + 1) * options.batches)
            for name, load in all_loaders.items():
                turns.setdefault(name, []).append(turn(load, steps, sampler.batch_size))
        result[f"{size[0]}x{size[1]}"] = {name: float(np.median(t)) for name, t in turns.items()}
    return result


def data_loading_command(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    config, options = parse_run(arguments, Options, "Time the loading of training images.")
    result = measure(config, options)
    if options.json:
        print(json.dumps(result))
        return
    for size, speeds in result.items():
        for name, speed in speeds.items():
            print(f"{size:<10}{name:<22}{speed:>9,.0f} images/s")


if __name__ == "__main__":
    main(data_loading_command)
