"""Pictures of the demo's report, for the docs (needs Chromium and Playwright).

    python -m benchmarks.tools.report_pictures RUN docs/images

RUN is a run on synthetic people that has its report: pictures of real people are not ours to show.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from pmm_jax.data.images import open_image
from pmm_jax.data.prepare import SYNTHETIC
from pmm_jax.workdir.run_config import load_run_config

CHROMIUM = "/usr/bin/chromium"
WIDTH = 1120
PICTURES = {
    "attention": ("#attention", 640),
    "rank_lists": ("#rank_lists", 720),
    "distances": ("#distances", 620),
    "embedding_map": ("#embedding_map", 760),
}
"""Name, the section, and pixels of it that are shown."""


def take(page: Any, selector: str, height: int) -> bytes:
    """The upper part of a section, as WebP."""
    box = page.locator(selector).bounding_box()
    clip = {**box, "height": min(height, box["height"])}
    with open_image(page.screenshot(clip=clip, full_page=True)) as image:
        stream = io.BytesIO()
        image.save(stream, "WEBP", quality=80, method=6)
    return stream.getvalue()


def main() -> None:
    """Parse the command line, take the pictures."""
    parser = argparse.ArgumentParser(description="Pictures of the demo's report.")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if not Path(load_run_config(arguments.run).data.root, SYNTHETIC).exists():
        sys.exit(f"{arguments.run} was not trained on synthetic people")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto((arguments.run / "report.html").absolute().as_uri())
        for name, (selector, height) in PICTURES.items():
            (arguments.folder / f"report-{name}.webp").write_bytes(take(page, selector, height))
        page.locator("#rank_lists button.tile").nth(3).click()
        page.wait_for_timeout(500)
        with open_image(page.locator("dialog[open]").screenshot()) as image:
            image.save(arguments.folder / "report-pair.webp", quality=80, method=6)
        browser.close()


if __name__ == "__main__":
    main()
