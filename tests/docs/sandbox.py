"""A folder in which the pages' commands find what they name, all of it tiny."""

import csv
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.data.synthetic import SyntheticSettings, synthesize
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from tests import conftest

PEOPLE = replace(conftest.PEOPLE, test_identities=70)
"""A threshold at 0.001 wants 10,000 pairs of different people."""
PHOTO = "data/synthetic/query/0261_c2s1_039301_01.jpg"
"""The image that getting-started.md names: the whole synthetic set has it."""


def fill(folder: Path, people: SyntheticSettings = PEOPLE, photographed: int = 140) -> None:
    """Images under the names that the pages use, and files that other programs would have written.

    Args:
        folder: empty.
        people: of data/synthetic.
        photographed: people of photos.
    """
    synthesize(folder / "data/synthetic", people)
    album = replace(people, train_identities=photographed, test_identities=1, seed=1)
    synthesize(folder / "album", album)
    images = sorted((folder / "album/bounding_box_train").glob("*.jpg"))
    for path in images:
        identity = path.name.split("_")[0]
        (folder / "photos" / identity).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "photos" / identity / path.name)
    query = sorted((folder / "data/synthetic/query").glob("*.jpg"))
    for name in ("a.jpg", "b.jpg", "stranger.jpg", PHOTO):
        shutil.copy(query[0], folder / name)
    shutil.copytree(folder / "data/synthetic", folder / "data/Market-1501-v15.09.15")
    write_embeddings(folder / "features.npz")
    write_list(folder / "list.csv", images[:80], folder)  # more than a batch
    write_list(folder / "people.csv", images, folder)
    write_list(folder / "tracklets.csv", images[:40], folder)
    if find_spec("av"):
        write_video(folder / "a.mp4", images[:4])
        (folder / "boxes.csv").write_text(
            "frame,x,y,width,height,track\n0,4,8,40,80,1\n3,4,8,40,80,2\n"
        )
    # By its content it is a safetensors file: PyTorch's own need PyTorch.
    write_release(folder / "checkpoint.pth.tar")


def write_embeddings(path: Path) -> None:
    """Random embeddings of query and gallery, as docs/guides/evaluation.md has them."""
    rng = np.random.default_rng(0)
    ids, cameras = np.arange(20) % 5, np.arange(20) % 2
    np.savez(
        path,
        query_features=rng.normal(0, 1, (20, 8)),
        query_ids=ids,
        query_cameras=cameras,
        gallery_features=rng.normal(0, 1, (20, 8)),
        gallery_ids=ids,
        gallery_cameras=1 - cameras,
    )


def write_list(path: Path, images: list[Path], folder: Path) -> None:
    """A CSV of images with identity, camera, tracklet and time."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "id", "camera", "track", "time"])
        for image in images:
            identity, camera = image.name.split("_")[:2]
            track, number = int(identity), int(camera[1])
            row = [image.relative_to(folder), track, number, track, 100 * number + track]
            writer.writerow(row)


def write_video(path: Path, images: list[Path]) -> None:
    """A second of images, one a frame."""
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height = 64, 128
        for image in images:
            with Image.open(image) as picture:
                frame = av.VideoFrame.from_image(picture.resize((64, 128)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_release(path: Path) -> None:
    """Random weights of a tiny PMM under the release's names."""
    sizes = ModelConfig(stage_sizes=(1, 1, 1, 1), width=1 / 8, embedding_size=16)
    network = create_network(sizes, "pmm", 3)
    named = path.with_name("named.safetensors")
    Model("pmm", network, *init_params(network, 0), (64, 32)).save(named)
    named.rename(path)
