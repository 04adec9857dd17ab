"""kill -9 during `add`, with processes of their own."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pmm_jax.search.gallery import Gallery
from tests.search.test_gallery import MAKER, large

KILLS = 20
IMAGES = 400
WRITER = """
import sys
from pmm_jax.search.gallery import Gallery
from tests.search.test_gallery import large
gallery, start = Gallery.open(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    gallery.add(large({images}, start))
    start += {images}
    print(start, flush=True)
"""


@pytest.mark.slow  # 20 processes that import jax
def test_what_was_acknowledged_is_there_and_nothing_else(tmp_path: Path, project: Path) -> None:
    address, rng = str(tmp_path / "gallery"), random.Random(0)
    gallery = Gallery.create(address, large(IMAGES, 0), MAKER)
    acknowledged, torn = IMAGES, 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITER.format(images=IMAGES), address, str(acknowledged)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=project) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
            said = writer.stdout.read().split()
        torn += Path(address, "gallery.sqlite-journal").exists()
        acknowledged = int(said[-1]) if said else acknowledged
        # What was written whole may have been killed before it could say so.
        images = gallery.info().images
        assert images in (acknowledged, acknowledged + IMAGES)
        acknowledged = images
        last = large(IMAGES, images - IMAGES)
        for number, results in enumerate(gallery.search(last.features[::100], 1)):
            assert results[0][1:3] == (last.columns["path"][100 * number], 0)
    assert torn > KILLS / 4  # killed in the middle, not between
