"""Speed of `pmm embed` beside its embedding step alone.

    python -m benchmarks.embed MODEL SOURCE [--images 15913] [--rounds 3] [--json]

In each round, one after the other: the step alone on images that are decoded already, and the whole
way from files to a file, parts included. Both begin with a function that was not traced yet, and
whose program is in the compile cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pmm_jax.runtime import set_up_process
from pmm_jax.sources import Source, open_source


class FirstRows(Source):
    """The first rows of a source."""

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self.columns = {name: column[:count] for name, column in source.columns.items()}

    def image(self, row: int) -> np.ndarray:
        """As of Source."""
        return self._source.image(row)

    def pixels(self, row: int, image_size: tuple[int, int]) -> np.ndarray:
        """As of Source."""
        return self._source.pixels(row, image_size)

    def stamp(self, row: int) -> str:
        """As of Source."""
        return self._source.stamp(row)


def measure(model_name: str, source: Source, rounds: int) -> dict[str, object]:
    """Images a second and seconds of CPU time of both, and their ratio."""
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.embedding.embed_file import EmbedSettings, embed_to_file
    from pmm_jax.embedding.embed_source import BATCH, embedder
    from pmm_jax.inference import stream_batches

    model = load_any(model_name)
    images = np.stack([source.pixels(row, model.image_size) for row in range(len(source))])

    def batches() -> Iterator[tuple[np.ndarray, None]]:
        whole = len(images) // BATCH * BATCH
        for start in range(0, whole, BATCH):
            yield images[start : start + BATCH], None
        if whole < len(images):
            rest = np.zeros((BATCH, *images.shape[1:]), np.uint8)
            rest[: len(images) - whole] = images[whole:]
            yield rest, None

    def step() -> None:
        for _ in stream_batches(embedder(model, BATCH), batches()):
            pass

    def command() -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out.npz")
            embed_to_file(model, source, out, EmbedSettings(), Display(quiet=True))

    step()  # compiles
    measured = [(_timed(step), _timed(command)) for _ in range(rounds)]
    found: dict[str, object] = {"images": len(images), "rounds": rounds}
    for name, times in zip(("step", "embed"), zip(*measured, strict=True), strict=True):
        seconds, cpu = (statistics.median(kind) for kind in zip(*times, strict=True))
        found[f"{name}_images_per_second"] = round(len(images) / seconds, 1)
        found[f"{name}_cpu_seconds"] = round(cpu, 2)
    found["ratio"] = round(statistics.median(a[0] / b[0] for a, b in measured), 3)
    found["cpu_ratio"] = round(statistics.median(a[1] / b[1] for a, b in measured), 3)
    return found


def _timed(run: Callable[[], None]) -> tuple[float, float]:
    started, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - used


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Speed of pmm embed beside its step alone.")
    parser.add_argument("model")
    parser.add_argument("source", help="a folder, or a CSV file with a column path")
    parser.add_argument("--images", type=int, default=10**9, help="take the first so many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    set_up_process()  # as the command does, before jax is imported
    source = FirstRows(open_source(options.source), options.images)
    found = measure(options.model, source, options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['images']} images, median of {options.rounds} rounds\n")
    for name in ("step", "embed"):
        speed, cpu = found[f"{name}_images_per_second"], found[f"{name}_cpu_seconds"]
        print(f"{name:<8}{speed:>9} images/s{cpu:>9} s of CPU time")
    print(f"\nembed at {found['ratio']} of the step's speed ({found['cpu_ratio']} by CPU time)")


if __name__ == "__main__":
    main()
