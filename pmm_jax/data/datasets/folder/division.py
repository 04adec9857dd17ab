"""Train and test, query and gallery, for sets that do not name them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from pmm_jax.data.datasets.folder.listing import Entry


def divide(entries: list[Entry], train_fraction: float) -> list[Entry]:
    """Identities into train and test, by a hash of their names.

    The hash keeps an identity on its side when others are added, and mixes names whose order means
    something (dates, species).
    """
    identities = sorted(
        {entry.identity for entry in entries},
        key=lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest(),
    )
    count = round(train_fraction * len(identities))
    if 0 < train_fraction < 1 and len(identities) > 1:
        count = min(max(count, 1), len(identities) - 1)
    chosen = set(identities[:count])
    train = [replace(entry, split="train") for entry in entries if entry.identity in chosen]
    return train + query_and_gallery(e for e in entries if e.identity not in chosen)


def query_and_gallery(entries: Iterable[Entry]) -> list[Entry]:
    """Each identity's first image in each camera is a query, the rest gallery.

    An image that is its camera's only one stays in the gallery, so that the other cameras' queries
    find it; where that would leave an identity without a query, its first image becomes one. An
    identity's only image goes to the gallery, as a distractor.
    """
    of_identity: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_identity[entry.identity].append(entry)
    divided: list[Entry] = []
    for images in of_identity.values():
        of_camera: dict[str | None, list[Entry]] = defaultdict(list)
        for entry in images:
            of_camera[entry.camera].append(entry)
        queries = [group[0] for group in of_camera.values() if len(group) > 1]
        if not queries and len(images) > 1:
            queries = [images[0]]
        for entry in images:
            divided.append(replace(entry, split="query" if entry in queries else "gallery"))
    return divided
