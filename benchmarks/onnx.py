"""Figures of a run's exported files beside the model's own: accuracy, size and speed.

    python -m benchmarks.onnx WORKDIR [--precisions float32 float16 int8] [--json]

Query and gallery are embedded by onnxruntime from the `plain` preset and ranked as the run's config
says, and by jax from the StableHLO file, whose rate includes its compilation; `jax` is the model
itself, and `difference` the largest from it of any image, by the norm of its embedding. Images are
decoded before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.api import load
from pmm_jax.data.decode import decode_split
from pmm_jax.data.split import Split, open_split
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.export.crops import find_crops
from pmm_jax.export.onnx_check import relative_differences, run_onnx
from pmm_jax.export.onnx_file import OnnxOptions, export_onnx
from pmm_jax.export.stablehlo_file import export_stablehlo, run_stablehlo
from pmm_jax.workdir.run_config import load_run_config


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Accuracy, size and speed of exported files.")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--precisions", nargs="+", default=["float32", "float16", "int8"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config, model = load_run_config(options.workdir), load(options.workdir)
    splits = [open_split(config.data, name) for name in ("query", "gallery")]
    images = [decode_split(split, model.image_size, config.data.num_workers) for split in splits]

    embedded: dict[str, list[np.ndarray]] = {}

    def row(name: str, embed: Callable[[np.ndarray], np.ndarray], size: int) -> dict[str, Any]:
        started = time.perf_counter()
        features = [embed(array) for array in images]
        seconds = time.perf_counter() - started
        # The model's own are the first, and what the others are compared with.
        expected = embedded.setdefault("jax", features)
        query, gallery = (_of(*pair) for pair in zip(splits, features, strict=True))
        found = evaluate_ranking(query, gallery, config.evaluate, config.evaluate.query_block)
        return {
            "file": name,
            "bytes": size,
            "images_per_second": sum(map(len, images)) / seconds,
            "difference": max(
                float(relative_differences(*pair).max())
                for pair in zip(features, expected, strict=True)
            ),
            "rank1": found.rank1,
            "mAP": found.mAP,
        }

    model.embed(images[0][:1])  # compiles
    rows = [row("jax", model.embed, sum(a.nbytes for a in model.state_dict().values()))]
    crops = find_crops(model.info)
    with tempfile.TemporaryDirectory() as folder:
        for precision in options.precisions:
            path = Path(folder, f"{precision}.onnx")
            export_onnx(model, path, crops, OnnxOptions(precision=precision))
            data = path.read_bytes()
            rows.append(row(precision, partial(run_onnx, data), len(data)))
        path = Path(folder, "model.stablehlo")
        export_stablehlo(model, path, crops)
        data = path.read_bytes()
        rows.append(row("stablehlo", partial(run_stablehlo, data), len(data)))
    if options.json:
        print(json.dumps(rows))
        return
    for line in rows:
        print(
            f"{line['file']:<10}{line['bytes'] / 1e6:>8.2f} MB{line['images_per_second']:>9.0f} "
            f"images/s   difference {line['difference']:.1e}   Rank-1 {line['rank1']:.17g}   "
            f"mAP {line['mAP']:.17g}"
        )


def _of(split: Split, features: np.ndarray) -> Embeddings:
    return Embeddings(features, split.identities, split.cameras, np.asarray(split.filenames))


if __name__ == "__main__":
    main()
