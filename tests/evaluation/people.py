"""Made-up embeddings of people, for several tests."""

import numpy as np

from pmm_jax.evaluation import Embeddings


def people(
    seed: int, count: int, identities: int, length: int, noise: float, offset: float = 0.0
) -> Embeddings:
    """Identities from -1 (junk) on, three cameras; the more noise, the harder to rank."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(-1, identities, count)
    centers = np.random.default_rng(5).standard_normal((identities + 1, length))
    features = offset + centers[ids] + noise * rng.standard_normal((count, length))
    return Embeddings(features.astype(np.float32), ids, rng.integers(0, 3, count))
