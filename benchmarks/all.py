"""Run every benchmark and write docs/performance.md.

    python -m benchmarks.all [--data-root DIR] [--fastreid DIR]

For a quiet machine, about half an hour on 2 cores. --data-root names Market-1501; without it
data_loading and start read the demo's synthetic people (python -m pmm_jax synthesize
data/synthetic). --fastreid adds fast-reid's evaluators (benchmarks/evaluation.py says how to
build them).
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from pmm_jax.runtime.children import tied

PAGE = Path("docs/performance.md")
HEAD = """# Performance

Written by `python -m benchmarks.all`. Programs take turns within one run, a process each where
memory is measured; seconds are medians, and only ratios compare across machines.
docs/design/choices.md says which forms of an operation were chosen for them.
"""


class Section(NamedTuple):
    """One benchmark on the page."""

    title: str
    words: tuple[str, ...]
    """The command after `python -m`."""
    notes: str = ""
    environment: tuple[tuple[str, str], ...] = ()


def sections(data_root: str | None, fastreid: str | None) -> list[Section]:
    """What is run, in order."""
    recipe = ("--config", "configs/market1501_cpu.py")
    data: tuple[str, ...] = ("--config", "configs/demo.py")
    if data_root:
        data = (*recipe, "--data.root", data_root)
    evaluators = ("--fastreid", fastreid) if fastreid else ()
    return [
        Section("A full-size step", ("benchmarks.step",)),
        Section("A step of the CPU recipe", ("benchmarks.step", *recipe)),
        Section("Data loading", ("benchmarks.data_loading", *data)),
        Section("A run's start", ("benchmarks.start", *data)),
        Section("Evaluation at Market-1501's size", ("benchmarks.evaluation", *evaluators)),
        Section(
            "Devices",
            ("benchmarks.scaling", *recipe),
            "Simulated on the same cores, so the speed says nothing; the transfers are real.",
            (("JAX_NUM_CPU_DEVICES", "8"),),
        ),
    ]


def machine() -> str:
    """Processor, cores and versions, as a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    versions = []
    for package in ("jax", "torch"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    wide = ", AVX-512" if any(x.startswith("flags") and "avx512f" in x for x in lines) else ""
    return f"{model or platform.machine()}{wide}, {os.cpu_count()} cores; {', '.join(versions)}"


def main() -> None:
    """Run, write."""
    parser = argparse.ArgumentParser(description="Run every benchmark.")
    parser.add_argument("--data-root")
    parser.add_argument("--fastreid")
    options = parser.parse_args()
    page = [HEAD, f"Machine: {machine()}.\n"]
    for section in sections(options.data_root, options.fastreid):
        own = (options.data_root, options.fastreid)
        shown = " ".join("DIR" if word in own else word for word in section.words)
        prefix = "".join(f"{name}={value} " for name, value in section.environment)
        print(f"{section.title}: {prefix}python -m {shown}", file=sys.stderr, flush=True)
        done = subprocess.run(
            tied([sys.executable, "-m", *section.words]),
            env={**os.environ, **dict(section.environment)},
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            sys.exit(f"error: {section.title} ended with code {done.returncode}; page not written")
        table = "".join(f"    {line}\n" for line in done.stdout.splitlines())
        notes = f"\n{section.notes}\n" if section.notes else ""
        page.append(f"## {section.title}\n\n`{prefix}python -m {shown}`\n{notes}\n{table}")
    PAGE.write_text("\n".join(page), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
