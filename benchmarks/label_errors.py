"""How many of 100 flipped labels the first 150 of a run's label errors hold.

python -m benchmarks.label_errors RUN
"""

import sys
from pathlib import Path

import numpy as np

from pmm_jax.display import Display
from pmm_jax.evaluation.label_errors import label_errors
from pmm_jax.report.run_data import RunData
from pmm_jax.report.sections.confusions import labeled_images

FLIPPED, LISTED, SEEDS = 100, 150, 5


def main(workdir: Path) -> None:
    """Flip labels of query and gallery to another identity's, and count those in the list."""
    run = RunData(workdir, Display(quiet=True))
    images = labeled_images(*run.embeddings)
    names = np.unique(images.identities)
    print(f"{len(images.identities):,} images of {len(names):,} identities")
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(images.identities), FLIPPED, replace=False)
        labels = images.identities.copy()
        for row in rows:
            labels[row] = rng.choice(names[names != labels[row]])
        found = label_errors(images.features, labels, images.cameras, LISTED)
        print(f"seed {seed}: {np.isin(found.images, rows).sum()} of {FLIPPED}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
