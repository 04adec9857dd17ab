"""Files of embeddings of any content: figures equal to a plain loop's, or one line."""

import contextlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmm_jax.cli.eval import eval_command
from tests.fuzz.outcome import empty_folder, outcome

SIDES = ("query", "gallery")


@dataclass(frozen=True)
class Sides:
    """Arrays of a sound file, by their names in it."""

    arrays: dict[str, np.ndarray]


def matrices(count: int, length: int) -> st.SearchStrategy[np.ndarray]:
    # Small integers: distances and their ties are the same in any arithmetic.
    return st.lists(st.integers(-4, 4), min_size=count * length, max_size=count * length).map(
        lambda values: np.array(values, np.float32).reshape(count, length)
    )


@st.composite
def sound(draw: st.DrawFn) -> Sides:
    length, has_cameras = draw(st.sampled_from([1, 3])), draw(st.booleans())
    arrays = {}
    for side in SIDES:
        count = draw(st.integers(1, 8))
        arrays[f"{side}_features"] = draw(matrices(count, length))
        labels = st.lists(st.integers(-1, 3), min_size=count, max_size=count)
        kind = draw(st.sampled_from([np.int64, np.int32, np.int16]))
        arrays[f"{side}_ids"] = np.array(draw(labels), kind)
        if has_cameras:
            arrays[f"{side}_cameras"] = np.array(draw(labels), kind)
    return Sides(arrays)


def plain(arrays: dict[str, np.ndarray]) -> tuple[float, float] | None:
    """Rank-1 and mAP by loops over queries and ranks; None where no query has a match."""
    hits, precisions = [], []
    has_cameras = "query_cameras" in arrays
    for i, query in enumerate(arrays["query_features"]):
        identity = arrays["query_ids"][i]
        ranked = []
        for j, found in enumerate(arrays["gallery_features"]):
            other = arrays["gallery_ids"][j]
            same = other == identity
            if other == -1:
                continue
            if has_cameras and same and arrays["gallery_cameras"][j] == arrays["query_cameras"][i]:
                continue
            ranked.append((float(((query.astype(float) - found) ** 2).sum()), j, bool(same)))
        matches = [match for _, _, match in sorted(ranked)]
        if not any(matches):
            continue
        hits.append(matches[0])
        right = 0
        terms = []
        for rank, match in enumerate(matches, 1):
            if match:
                right += 1
                terms.append(right / rank)
        precisions.append(sum(terms) / len(terms))
    return (float(np.mean(hits)), float(np.mean(precisions))) if hits else None


def evaluated(*words: str) -> dict[str, Any]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        eval_command(["--embeddings", "f.npz", "--json", *words])
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


@given(sound())
def test_a_sound_file(sides: Sides) -> None:
    with empty_folder():
        np.savez("f.npz", allow_pickle=False, **sides.arrays)
        found, expected = outcome(evaluated), plain(sides.arrays)
    if isinstance(found, str):
        assert expected is None, found
    else:
        assert expected is not None
        assert (found["rank1"], found["mAP"]) == pytest.approx(expected, abs=1e-9)


@st.composite
def options(draw: st.DrawFn) -> list[str]:
    """Options of an evaluation, each in its range."""
    numbers = st.sampled_from([0, 1, 2, 3, 7, 50])
    words = [
        draw(st.sampled_from(["--no-cameras", "--cameras"])),
        *draw(st.sampled_from([[], ["--roc"], ["--intervals"], ["--camera-pairs"]])),
        f"--distance={draw(st.sampled_from(['cosine', 'cosine', 'euclidean']))}",
        f"--multi-query={draw(st.sampled_from(['none', 'none', 'average', 'max']))}",
        f"--query-block={draw(st.sampled_from([1, 3, 512]))}",
    ]
    for name in ("query-expansion-k", "dba-k"):
        if draw(st.booleans()):
            words.append(f"--{name}={draw(numbers)}")
    words.append(f"--qe-alpha={draw(st.sampled_from([0, 1, 3, 100]))}")
    ranking = draw(st.sampled_from(["plain", "rerank", "single_shot", "index"]))
    if ranking == "rerank":
        weight = draw(st.sampled_from([0, 0.3, 1]))
        words += [
            "--rerank",
            f"--k1={draw(numbers)}",
            f"--k2={draw(numbers)}",
            f"--rerank-lambda={weight}",
        ]
    if ranking == "single_shot":
        words += [f"--single-shot={draw(numbers)}", f"--seed={draw(numbers)}"]
    if ranking == "index":
        index = draw(st.sampled_from(["Flat", "IVF2,Flat", "IVF64,Flat", "x", "HNSW8"]))
        words.append(f"--faiss-index={index}")
        words += [f"--nprobe={draw(numbers)}", f"--index-top-n={draw(numbers)}"]
    return words


@given(sound(), options())
def test_any_options(sides: Sides, words: list[str]) -> None:
    with empty_folder():
        np.savez("f.npz", allow_pickle=False, **sides.arrays)
        found = outcome(lambda: evaluated(*words))
    if not isinstance(found, str):
        for name in ("rank1", "mAP", "mINP"):
            assert 0 <= found[name] <= 1


ODD = st.one_of(
    st.sampled_from(
        [
            np.array(3.0),
            np.zeros((0, 3), np.float32),
            np.zeros((2, 0), np.float32),
            np.zeros((2, 3, 1), np.float32),
            np.full((2, 3), np.nan, np.float32),
            np.full((2, 3), 1e38, np.float32),
            np.full((2, 3), 1e300),
            np.array(["a", "b"]),
            np.array([b"a", b"b"]),
            np.array([1, 2**63], np.uint64),
            np.array([1, -(2**63)]),
            np.array([1 + 2j, 0]),
            np.array([True, False]),
            np.array([1.5, 2.0]),
            np.array(["2020-01-01", "NaT"], "datetime64[D]"),
            np.zeros(2, [("a", "i4"), ("b", "f4")]),
            np.zeros((2, 3), np.float16),
            np.zeros((2, 3), ">f4"),
        ]
    ),
    st.integers(1, 4).flatmap(lambda count: matrices(count, 3)),
)


SHAPES = ["(9999999999999,)", "(2,-3)", "(True,)", "()", "(1", "9" * 30]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A sound file with an odd array, a missing one, or damaged bytes."""
    arrays: dict[str, Any] = dict(draw(sound()).arrays)
    what = draw(st.sampled_from(["array", "array", "missing", "object", "header", "bytes", "any"]))
    name = draw(st.sampled_from(sorted(arrays)))
    if what == "array":
        arrays[name] = draw(ODD)
    if what == "missing":
        del arrays[name]
    if what == "object":
        arrays[name] = np.array([{}, []], object)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    content = stream.getvalue()
    if what == "header":
        shape = draw(st.sampled_from(SHAPES))
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
        stream = io.BytesIO(content)
        with zipfile.ZipFile(stream, "a") as file:
            array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            file.writestr("features.npy", array)
        content = stream.getvalue()
    if what == "bytes":
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(content) - 1))
            content = content[:at] + draw(st.binary(max_size=3)) + content[at + 1 :]
    if what == "any":
        content = draw(st.binary(max_size=100))
    return content


@given(broken(), st.booleans())
def test_a_broken_file(content: bytes, writes: bool) -> None:
    with empty_folder() as folder:
        Path("f.npz").write_bytes(content)
        words = ["--per-query", "q.csv"] if writes else []
        with np.errstate(all="raise"):
            found = outcome(lambda: evaluated(*words))
        left = {path.name for path in folder.iterdir()}
        if isinstance(found, str):
            assert left == {"f.npz"}
        else:
            assert 0 <= found["mAP"] <= 1
            assert left == ({"f.npz", "q.csv"} if writes else {"f.npz"})
