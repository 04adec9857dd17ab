"""The page of benchmarks.gpu: its figures as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.roofline import stated_peak

Section = dict[str, Any]


def page(found: dict[str, Section]) -> str:
    """Markdown of the sections that ran so far; a section that failed says why."""
    lines = ["# One accelerator", ""]
    if found.get("toy"):
        lines += ["A small network for a try: the figures say nothing about the device.", ""]
    for name, (title, write) in PARTS.items():
        if name in found["sections"]:
            section = found["sections"][name]
            text = [f"Failed: {section['failed']}"] if "failed" in section else write(found)
            lines += [f"## {title}", "", *text, ""]
    return "\n".join(lines)


def _device(found: Section) -> Iterable[str]:
    section = found["sections"]["device"]
    yield f"{section['device']} ({section['platform']}), jax {section['jax']}."
    rates = section["matmul_flop_per_second"]
    yield "Products of two square matrices, measured: " + ", ".join(
        f"{name} {rate / 1e12:.4g} TFLOP/s" for name, rate in rates.items()
    )


def _parity(found: Section) -> Iterable[str]:
    section = found["sections"]["parity"]
    verdict = "all agree" if section["agrees"] else "differing: " + ", ".join(section["differing"])
    yield f"{section['quantities']} quantities of the release's golden file, in float64: {verdict}."


def _steps(found: Section) -> Iterable[str]:
    rows = found["sections"]["steps"]["rows"]
    flop = found["sections"].get("flop", {}).get("flop")
    yield from _table(
        ("step", "ms", "images/s", "ratio", "of peak", "peak GB"),
        (
            (name, row["failed"], "", "", "", "")
            if "failed" in row
            else (
                name,
                f"{row['seconds'] * 1e3:.2f}",
                f"{row['images_per_second']:.0f}",
                f"{row['ratio']:.2f}" if "ratio" in row else "-",
                _share(found, row, flop),
                f"{row['peak_memory_bytes'] / 1e9:.2f}",
            )
            for name, row in rows.items()
        ),
    )
    yield ""
    yield (
        "Medians. Ratio: to PyTorch as released. Of peak: FLOP of our float32 program before it is "
        "compiled, the same for every row, over the device's rate by its data sheet where it is "
        "known, else as measured above."
    )


def _share(found: Section, row: Section, flop: float | None) -> str:
    device = found["sections"].get("device", {})
    if not flop or "failed" in device:
        return "-"
    peak = None
    if row["precision"] != "exact float32":
        peak = stated_peak(device["device"], row["precision"])
    peak = peak or device["matmul_flop_per_second"][row["precision"]]
    return f"{flop / row['seconds'] / peak:.0%}"


def _feeding(found: Section) -> Iterable[str]:
    return _table(
        ("training split", "images/s", "ms a step"),
        (
            (name, f"{row['images_per_second']:.0f}", f"{row['seconds_a_step'] * 1e3:.2f}")
            for name, row in found["sections"]["feeding"]["rows"].items()
        ),
    )


def _embedding(found: Section) -> Iterable[str]:
    section = found["sections"]["embedding"]
    yield (
        f"{section['images']} decoded images in {section['seconds']:.2f} s: "
        f"{section['images_per_second']:.0f} a second."
    )


def _ranking(found: Section) -> Iterable[str]:
    section = found["sections"]["ranking"]
    query, gallery = section["images"]
    yield from _table(
        (f"{query} x {gallery} random embeddings", "s", "first, s", "Rank-1", "mAP", "mINP"),
        (
            (
                name,
                f"{row['seconds']:.3f}",
                f"{row['first_seconds']:.3f}",
                *(f"{row[key]:.6f}" for key in ("rank1", "mAP", "mINP")),
            )
            for name, row in section["rows"].items()
        ),
    )


def _profile(found: Section) -> Iterable[str]:
    section = found["sections"]["profile"]
    yield (
        f"{section['steps']} steps in float32: {section['kernel_seconds']:.4f} s of kernels in "
        f"{section['wall_seconds']:.4f} s."
    )
    yield ""
    yield from _table(
        ("kernel", "ms a step", "share", "launches a step"),
        (
            (
                f"`{kernel['name'][:90]}`",
                f"{kernel['seconds'] / section['steps'] * 1e3:.3f}",
                f"{kernel['share']:.1%}",
                f"{kernel['launches'] / section['steps']:.0f}",
            )
            for kernel in section["kernels"]
        ),
    )


def _flop(found: Section) -> Iterable[str]:
    yield f"{found['sections']['flop']['flop'] / 1e12:.4g} TFLOP."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |"


PARTS: dict[str, tuple[str, Callable[[Section], Iterable[str]]]] = {
    "device": ("Device", _device),
    "parity": ("The same numbers as the release", _parity),
    "flop": ("Work of a step", _flop),
    "steps": ("A step", _steps),
    "feeding": ("Steps a call, and where the training split is", _feeding),
    "embedding": ("Embedding", _embedding),
    "ranking": ("Evaluation and re-ranking", _ranking),
    "profile": ("The largest kernels", _profile),
}
"""Title and text of each section, in the page's order."""
