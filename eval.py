"""Evaluate a run, or saved embeddings of any model.

python eval.py --config configs/NAME.py --workdir DIR
python eval.py --embeddings FILE.npz [--json]
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pmm_jax.cli import main, parse, parse_run
from pmm_jax.config import Config
from pmm_jax.evaluation import evaluate_embeddings, load_features
from pmm_jax.evaluation.table import ranking_json, ranking_table
from pmm_jax.launch import Launch


@dataclass(frozen=True)
class RunOptions(Config, Launch):
    """What eval.py takes for a run, besides the config's own fields."""

    workdir: str = "runs/latest"
    """Folder that train.py wrote."""
    json: bool = False
    """Print one JSON object instead of the table."""


@dataclass(frozen=True)
class FileOptions:
    """What eval.py takes for saved embeddings."""

    embeddings: str = ""
    """npz file with query_features, query_ids, query_cameras and the same for gallery_."""
    json: bool = False
    """Print one JSON object instead of the table."""


def run(arguments: Sequence[str]) -> None:
    """Parse, evaluate, print."""
    if any(word.split("=")[0] == "--embeddings" for word in arguments):
        file = parse(FileOptions(), arguments, "Rank saved embeddings of any model.")
        ranking, as_json = evaluate_embeddings(*load_features(file.embeddings)), file.json
    else:
        config, options = parse_run(
            arguments, RunOptions, "Evaluate a run; or, with --embeddings FILE.npz, any model."
        )
        # Imported late: ranking saved embeddings needs no jax.
        from pmm_jax.training.display import Display
        from pmm_jax.training.evaluate import evaluate_run
        from pmm_jax.training.processes import is_first, join

        join(options)
        as_json = options.json
        display = Display(stderr=as_json, quiet=not is_first())
        ranking = evaluate_run(config, Path(options.workdir), display)
        if not is_first():
            return
    print(json.dumps(ranking_json(ranking)) if as_json else ranking_table(ranking))


if __name__ == "__main__":
    main(run)
