import base64
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, evaluate_embeddings
from pmm_jax.evaluation.summary import summarize
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Section
from pmm_jax.report.sections import confusions
from pmm_jax.report.sections.confusions import confused, identity_pairs, labeled_images


def embeddings(run: RunData, seed: int = 0) -> tuple[Embeddings, Embeddings]:
    """Random ones of the run's query and gallery."""
    rng = np.random.default_rng(seed)
    query, gallery = (
        Embeddings(
            rng.standard_normal((len(split), 6)).astype(np.float32),
            split.identities,
            split.cameras,
            np.array(split.filenames),
        )
        for split in (run.split("query"), run.split("gallery"))
    )
    return query, gallery


def run_with(workdir: Path, **changes: object) -> RunData:
    """The run with random embeddings, and evaluate.* as given."""
    run = RunData(workdir, Display(quiet=True))
    run = RunData(workdir, Display(quiet=True), embeddings(run))
    evaluate = replace(run.config.evaluate, **changes)  # type: ignore[arg-type]
    run.config = replace(run.config, evaluate=evaluate)
    return run


def test_pairs_are_counted_in_both_directions() -> None:
    query = np.array([1, 1, 1, 2, 2, 3, 4, 4])
    found = np.array([2, 2, -1, 1, 3, 2, 1, 1])
    assert identity_pairs(query, found) == [(1, 2, 2, 1), (2, 3, 1, 1), (4, 1, 2, 0)]


def test_who_is_found_before_the_first_match() -> None:
    gallery_ids = np.array([1, 2, 3, 0])
    query = Embeddings(np.array([[0.1], [2.6], [6.1]]), np.array([1, 1, 2]), np.ones(3, int))
    gallery = Embeddings(np.array([[0.0], [9.0], [3.0], [6.0]]), gallery_ids, np.full(4, 2))
    metrics = evaluate_embeddings(query, gallery, first_images=True)
    assert confused(metrics, gallery_ids).tolist() == [-1, 3, 0]
    with pytest.raises(UserError, match="single-shot"):
        confused(replace(metrics, first_images=None), gallery_ids)


def test_labels_are_of_people_and_each_image_counts_once() -> None:
    query = Embeddings(np.eye(2), np.array([1, 2]), np.array([1, 1]), np.array(["a", "b"]))
    gallery_ids = np.array([1, 0, -1, 3])
    gallery = Embeddings(np.eye(4, 2), gallery_ids, np.ones(4, int), np.array(["a", "c", "d", "e"]))
    images = labeled_images(query, gallery)
    assert images.paths is not None
    assert (images.paths.tolist(), images.identities.tolist()) == (["a", "b", "e"], [1, 2, 3])


def test_camera_pairs_and_the_list_are_what_is_computed(finished: Path) -> None:
    run = run_with(finished)
    content = confusions.build(run)
    settings = run.config.evaluate
    expected = summarize(*run.embeddings, settings, camera_pairs=True).as_json()["camera_pairs"]
    assert content.values["cameras"]["camera_pairs"] == expected
    errors = content.values["labels"]["errors"]
    assert errors
    header, _, encoded = content.media["csv"].partition(",")
    assert header == "data:text/csv;charset=utf-8;base64"
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(encoded).decode())))
    assert [row["path"] for row in rows] == [error["path"] for error in errors]
    assert [float(row["margin"]) for row in rows] == [error["margin"] for error in errors]
    # Where a page's pictures are of one height, that is no reason for a query to be hard.
    assert content.values["difficulty"]["alike"].keys() == {"height"}
    assert not run.missing


def reasons(run: RunData, page: Path) -> dict[str, str]:
    write_page(run, [Section("confusions", "What it confuses", confusions.build)], page)
    values = json.loads(page.with_suffix(".json").read_bytes())["confusions"]
    return {name: part["missing"] for name, part in values.items() if "missing" in part}


def test_a_part_that_cannot_be_shown_says_why(finished: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert reasons(run_with(finished), page) == {}
    assert (
        "camera pairs are of the plain ranking"
        in (reasons(run_with(finished, single_shot=2), page)["cameras"])
    )
    assert reasons(run_with(finished, multi_query="average"), page).keys() == {"difficulty"}
    assert reasons(run_with(finished, cameras=False), page).keys() == {"cameras"}
    run = run_with(finished)
    query, gallery = run.embeddings
    alone = query.take(query.identities == query.identities[0])
    one = RunData(
        finished, run.display, (alone, gallery.take(gallery.identities <= alone.identities[0]))
    )
    assert "one identity" in reasons(one, page)["labels"]
    assert "one identity" in page.read_text()
