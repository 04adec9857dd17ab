"""Run the benchmarks, keep what they print, and write docs/performance.md from it.

    python -m benchmarks.all [SECTION ...] [--data-root DIR] [--fastreid DIR]
    python -m benchmarks.all --page     # the page anew, without measuring

For a quiet machine; all sections take more than half an hour on 2 cores. A section named alone
replaces its own figures, and the others stay. --data-root names Market-1501; without it
data_loading and start read the demo's synthetic people (python -m pmm_jax synthesize
data/synthetic). --fastreid adds fast-reid's evaluators (benchmarks/evaluation.py says how to build
them).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from pmm_jax.runtime.children import tied
from pmm_jax.runtime.machine import versions

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
STORE = Path(__file__).parent / "results" / "performance.json"
HEAD = """# Performance

`python -m benchmarks.all` writes this page from `benchmarks/results/performance.json`, where it
keeps what each benchmark printed; `python -m benchmarks.all SECTION` measures one section again.
Programs take turns within one run, a process each where memory is measured. Seconds are medians,
and only ratios compare across machines.

[Speed](experiments/2026-11-speed.md) has further runs and what was tried,
[forms for the CPU](design/cpu.md) the forms of an operation that were chosen for these figures, and
[on a GPU](experiments/2026-11-h100.md) what an H100 does.
"""


class Section(NamedTuple):
    """One benchmark on the page."""

    title: str
    words: tuple[str, ...]
    """The command after `python -m`."""
    notes: str = ""
    environment: tuple[tuple[str, str], ...] = ()


class Measured(NamedTuple):
    """What a section's command printed, when and where."""

    command: str
    date: str
    commit: str
    """Empty where it wasn't kept."""
    machine: str
    output: list[str]
    """Lines."""


def sections(data_root: str | None = None, fastreid: str | None = None) -> dict[str, Section]:
    """What is run, by name, in the page's order."""
    recipe = ("--config", "configs/market1501_cpu.py")
    data: tuple[str, ...] = ("--config", "configs/demo.py")
    if data_root:
        data = (*recipe, "--data.root", data_root)
    evaluators = ("--fastreid", fastreid) if fastreid else ()
    return {
        "step": Section("A full-size step", ("benchmarks.step", "--rounds", "20")),
        "recipe_step": Section(
            "A step of the CPU recipe", ("benchmarks.step", *recipe, "--rounds", "40")
        ),
        "data_loading": Section("Data loading", ("benchmarks.data_loading", *data)),
        "start": Section("A run's start", ("benchmarks.start", *data)),
        "evaluation": Section(
            "Evaluation at Market-1501's size", ("benchmarks.evaluation", *evaluators)
        ),
        "devices": Section(
            "Devices",
            ("benchmarks.scaling", *recipe),
            "Simulated on the same cores, so the speed says nothing; the transfers are real.",
            (("JAX_NUM_CPU_DEVICES", "8"),),
        ),
    }


def page() -> str:
    """The page as Markdown, with every section that has been measured."""
    stored, parts = read_store(), [HEAD]
    for name, section in sections().items():
        if name in stored:
            found = stored[name]
            commit = f" at {found.commit}" if found.commit else ""
            parts.append(
                f"## {section.title}\n\n`{found.command}`\n\n"
                f"Section `{name}`, {found.date}{commit}, on {found.machine}.\n"
            )
            parts += [f"{section.notes}\n"] if section.notes else []
            parts.append("```text\n" + "".join(f"{line}\n" for line in found.output) + "```\n")
    return "\n".join(parts)


def read_store() -> dict[str, Measured]:
    """The stored sections by name; none where nothing is stored."""
    stored: Any = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
    return {name: Measured(**values) for name, values in stored.items()}


def store(stored: Mapping[str, Measured]) -> None:
    """Write the stored sections."""
    values = {name: found._asdict() for name, found in stored.items()}
    STORE.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def measure(section: Section, hidden: Sequence[str | None]) -> Measured:
    """Run a section's command.

    Args:
        section: what is run.
        hidden: words, such as folders of this machine, that are shown as DIR.

    Raises:
        SystemExit: the command fails.
    """
    shown = " ".join("DIR" if word in hidden else word for word in section.words)
    prefix = "".join(f"{name}={value} " for name, value in section.environment)
    command = f"{prefix}python -m {shown}"
    print(f"{section.title}: {command}", file=sys.stderr, flush=True)
    done = subprocess.run(
        tied([sys.executable, "-m", *section.words]),
        env={**os.environ, **dict(section.environment)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(f"error: {section.title} ended with code {done.returncode}; it stays as it was")
    lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    return Measured(command, date.today().isoformat(), commit(), machine(), lines)


def commit() -> str:
    """The checkout's short commit, with `-dirty` where tracked files differ; empty without git."""
    full, dirty, _ = (versions()["commit"] or "").partition("-dirty")
    return full[:7] + dirty


def machine() -> str:
    """Processor, cores and versions, as a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    found = []
    for package in ("jax", "torch"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    wide = ", AVX-512" if any(x.startswith("flags") and "avx512f" in x for x in lines) else ""
    return f"{model or platform.machine()}{wide}, {os.cpu_count()} cores; {', '.join(found)}"


def main(words: Sequence[str] | None = None) -> None:
    """Run, store, write."""
    parser = argparse.ArgumentParser(description="Run benchmarks and write docs/performance.md.")
    parser.add_argument("section", nargs="*", help=", ".join(sections()), metavar="SECTION")
    parser.add_argument("--data-root")
    parser.add_argument("--fastreid")
    parser.add_argument("--page", action="store_true", help="write the page, measure nothing")
    options = parser.parse_args(words)
    known = sections(options.data_root, options.fastreid)
    for name in options.section:
        if name not in known:
            parser.error(f"{name}: no such section; there are {', '.join(known)}")
    stored = read_store()
    for name in [] if options.page else options.section or known:
        stored[name] = measure(known[name], (options.data_root, options.fastreid))
        store(stored)  # at once: what breaks later loses nothing
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
