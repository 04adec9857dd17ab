"""Identity-balanced batches, P identities x K images, as a pure function of (seed, step)."""

from dataclasses import dataclass, field

import numpy as np

from pmm_jax.errors import UserError


@dataclass(frozen=True)
class IdentitySampler:
    """Sampler of identity-balanced batches.

    An epoch shows every identity once, in a random order, with K of its images; the last partial
    batch is dropped, so that a few identities sit an epoch out. Images are sampled with
    replacement only where an identity has fewer than K.
    """

    labels: np.ndarray
    """(N,) int, classes 0 to C - 1 of the training images."""
    identities_per_batch: int
    """P."""
    images_per_identity: int
    """K."""
    seed: int
    """One seed, one sequence of batches."""
    _members: list[np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        num_ids = int(self.labels.max()) + 1
        if num_ids < self.identities_per_batch:
            raise UserError(
                f"a batch needs {self.identities_per_batch} identities and the training set has "
                f"{num_ids}; lower data.identities_per_batch"
            )
        order = np.argsort(self.labels, kind="stable")
        ends = np.cumsum(np.bincount(self.labels, minlength=num_ids))
        object.__setattr__(self, "_members", np.split(order, ends[:-1]))

    @property
    def batch_size(self) -> int:
        """P x K images."""
        return self.identities_per_batch * self.images_per_identity

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return len(self._members) // self.identities_per_batch

    def batch(self, step: int) -> np.ndarray:
        """(P * K,) int64 positions of batch `step`, each identity's images side by side."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self._members))
        start = position * self.identities_per_batch
        rng = np.random.default_rng([self.seed, 1, step])
        k = self.images_per_identity
        positions = []
        for identity in order[start : start + self.identities_per_batch]:
            members = self._members[identity]
            positions.append(rng.choice(members, k, replace=len(members) < k))
        return np.concatenate(positions)
