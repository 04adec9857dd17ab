"""Time, memory and size of a run's report, beyond its evaluation.

    python -m benchmarks.report RUN [--json]

The run is embedded and ranked first, as `pmm eval` does; then each section is timed, and where
Chromium and Playwright are installed, how long it takes to open the page.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pmm_jax.display import Display
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.files import user_path
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content
from pmm_jax.report.sections import SECTIONS
from pmm_jax.runtime import set_up_training
from pmm_jax.runtime.peak_rss import peak_rss

CHROMIUM = Path("/usr/bin/chromium")


def measure(workdir: Path) -> dict[str, object]:
    """Seconds, bytes and megabytes of a report."""
    run, seconds = RunData(workdir, Display(stderr=True)), {}
    started = time.perf_counter()
    query, gallery = run.embeddings
    embedded, settings = time.perf_counter(), run.config.evaluate
    evaluate_ranking(query, gallery, settings, settings.query_block)
    evaluated = time.perf_counter()

    def timed(name: str, build: Callable[[RunData], Content]) -> Callable[[RunData], Content]:
        def wrapped(run: RunData) -> Content:
            start = time.perf_counter()
            try:
                return build(run)
            finally:
                seconds[name] = round(time.perf_counter() - start, 2)

        return wrapped

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        write_page(run, [s._replace(build=timed(s.name, s.build)) for s in SECTIONS], page)
        ended = time.perf_counter()
        return {
            "evaluation_seconds": round(evaluated - started, 2),
            "report_seconds": round(ended - evaluated, 2),
            # The report ranks as the evaluation does, once.
            "beyond_evaluation_seconds": round(ended - evaluated - (evaluated - embedded), 2),
            "section_seconds": seconds,
            "peak_gib": round(peak_rss() / 2**30, 2),
            "page_mb": round(page.stat().st_size / 1e6, 2),
            "open_seconds": _open_seconds(page),
        }


def _open_seconds(page: Path) -> float | None:
    """Seconds from the request to the last picture decoded; None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not CHROMIUM.exists():
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page()
        started = time.perf_counter()
        tab.goto(page.as_uri())
        tab.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => null)))")
        seconds = time.perf_counter() - started
        browser.close()
    return round(seconds, 2)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Time, memory and size of a run's report.")
    parser.add_argument("run", type=user_path, metavar="RUN", help="folder of a run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    set_up_training()
    found = measure(arguments.run)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<20} {value}")


if __name__ == "__main__":
    main()
