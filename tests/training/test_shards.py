"""Every layout of batch and devices: what is mixed in is of another identity."""

import itertools
from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config
from pmm_jax.mixing import sample_negatives
from pmm_jax.training.train_step import negative_shards

LAYOUTS = [
    (identities, each, devices)
    for identities, each, devices in itertools.product((2, 4), (1, 2, 3), (1, 2, 3, 4))
    if identities * each % devices == 0
]


def layout(identities: int, each: int, negatives: str) -> Config:
    config = Config()
    return replace(
        config,
        data=replace(config.data, identities_per_batch=identities, images_per_identity=each),
        method=replace(config.method, negatives=cast(Any, negatives)),
    )


@pytest.mark.parametrize(("identities", "each", "devices"), LAYOUTS)
def test_negatives_come_from_the_device_where_it_has_two_identities(
    identities: int, each: int, devices: int
) -> None:
    labels = np.repeat(np.arange(identities), each)  # as the sampler lists them
    shards = negative_shards(layout(identities, each, "shard"), devices)
    parts = labels.reshape(devices, -1)
    has_two = all(len(set(part)) > 1 for part in parts)
    # A device that ends inside an identity may show two by chance; more images than one has is
    # what is promised.
    assert shards == (devices if parts.shape[1] > each else 1)
    assert shards == 1 or has_two
    drawn = np.asarray(sample_negatives(jax.random.key(0), jnp.asarray(labels), shards))
    assert (labels[drawn] != labels).all()
    size = len(labels) // shards
    assert (drawn // size == np.arange(len(labels)) // size).all()


def test_negatives_may_come_from_the_whole_batch() -> None:
    for identities, each, devices in LAYOUTS:
        assert negative_shards(layout(identities, each, "batch"), devices) == 1
