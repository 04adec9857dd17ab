"""Made-up people: the same bytes every time, Market-1501's layout, clues where they should be."""

import hashlib
import json
import os
import re
import resource
import signal
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations
from math import pi
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.data.synthetic import SyntheticSettings, synthesize
from pmm_jax.data.synthetic.drawing import draw_person
from pmm_jax.data.synthetic.identities import LOGOS, person
from pmm_jax.data.synthetic.pose import Pose
from pmm_jax.data.synthetic.shots import Shot, photograph
from pmm_jax.data.synthetic.textures import logo_mask
from pmm_jax.errors import UserError

SMALL = SyntheticSettings(
    train_identities=5, test_identities=4, outfits=3, distractors=3, junk=2, max_shots=3
)
FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
CLUES = ("logo", "hair_style", "hair", "skin", "shoes", "boots", "bag", "leg_mark", "belt", "scarf")
NAME = re.compile(r"(-1|\d{4})_c([1-6])s1_\d{6}_\d{2}\.jpg")


def digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def labels(folder: Path) -> list[tuple[int, int]]:
    found = []
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name)
        assert match, path.name
        found.append((int(match[1]), int(match[2])))
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people") / "set"
    synthesize(root, SMALL)
    return root


def test_same_settings_give_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, SMALL)
    assert digest(tmp_path) == digest(drawn)


def test_another_seed_gives_other_pictures() -> None:
    shot = Shot(identity=1, camera=0, index=0)
    one, other = photograph(SMALL, shot), photograph(replace(SMALL, seed=1), shot)
    assert np.abs(np.asarray(one, float) - np.asarray(other, float)).mean() > 1


def test_an_image_does_not_depend_on_what_was_drawn_before(drawn: Path, tmp_path: Path) -> None:
    # With more training people, all those that both sets hold must stay as they are.
    synthesize(tmp_path, replace(SMALL, train_identities=6))
    more, fewer = digest(tmp_path), digest(drawn)
    train = [name for name in fewer if name.startswith("bounding_box_train")]
    assert train
    assert all(more[name] == fewer[name] for name in train)


def test_count_layout_and_size(drawn: Path) -> None:
    images = list(drawn.rglob("*.jpg"))
    assert synthesize(drawn, SMALL) == len(images)
    assert {path.parent.name for path in images} == set(FOLDERS)
    for path in images:
        with Image.open(path) as image:
            assert (image.size, image.mode, image.format) == ((64, 128), "RGB", "JPEG")


def test_identities_are_disjoint_and_numbered(drawn: Path) -> None:
    train, query, gallery = (labels(drawn / folder) for folder in FOLDERS)
    assert {identity for identity, _ in train} == {1, 2, 3, 4, 5}
    assert {identity for identity, _ in query} == {6, 7, 8, 9}
    assert {identity for identity, _ in gallery} == {-1, 0, 6, 7, 8, 9}
    counts = Counter(identity for identity, _ in gallery)
    assert (counts[0], counts[-1]) == (SMALL.distractors, SMALL.junk)


def test_every_query_has_a_match_in_another_camera(drawn: Path) -> None:
    cameras = defaultdict(set)
    for identity, camera in labels(drawn / "bounding_box_test"):
        cameras[identity].add(camera)
    query = labels(drawn / "query")
    assert len(query) == len(set(query))
    assert all(cameras[identity] - {camera} for identity, camera in query)


def test_default_set_is_of_the_size_it_promises() -> None:
    # Imported here: how a set is planned is not for others to use.
    from pmm_jax.data.synthetic.layout import plan

    paths = [path for path, _, _ in plan(SyntheticSettings())]
    assert len(paths) == len(set(paths))
    assert 5000 <= len(paths) <= 6000


def test_a_finished_set_is_not_drawn_again(drawn: Path) -> None:
    calls: list[tuple[int, int]] = []
    before = {path: path.stat().st_mtime_ns for path in drawn.rglob("*")}
    synthesize(drawn, SMALL, lambda done, total: calls.append((done, total)))
    assert calls == []
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*")} == before


def test_an_interrupted_set_is_drawn_anew(drawn: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, SMALL, stop)
    assert json.loads((tmp_path / "synthetic.json").read_text())["finished"] is False
    calls: list[tuple[int, int]] = []
    total = synthesize(tmp_path, SMALL, lambda done, total: calls.append((done, total)))
    assert calls == [(done, total) for done in range(1, total + 1)]
    assert digest(tmp_path) == digest(drawn)


def test_a_set_of_other_settings_is_refused_and_kept(drawn: Path) -> None:
    before = digest(drawn)
    with pytest.raises(UserError, match=r"other settings.*name another folder or delete"):
        synthesize(drawn, replace(SMALL, seed=1))
    assert digest(drawn) == before


@pytest.mark.parametrize("content", [None, "not json", "[]"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    if content is not None:
        (tmp_path / "synthetic.json").write_text(content)
    before = digest(tmp_path)
    with pytest.raises(UserError, match=r"another folder|empty or new folder"):
        synthesize(tmp_path, SMALL)
    assert digest(tmp_path) == before


def test_a_marker_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "synthetic.json")
    with pytest.raises(UserError, match="holds no synthetic set"):
        synthesize(tmp_path, SMALL)


def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    """The system refuses the first image, which is larger than the marker."""
    root = tmp_path / "set"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    answer = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(UserError) as caught:
            synthesize(root, SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, answer)
    assert str(caught.value).startswith(f"can't write {root} (")
    assert "File too large" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; name a folder"):
        synthesize(tmp_path / "file", SMALL)


@pytest.mark.parametrize(
    ("field", "value"),
    [("cameras", 1), ("cameras", 10), ("min_cameras_each", 7), ("max_shots", 1), ("outfits", 0)],
)
def test_settings_without_matches_are_refused(field: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"{field} is {value}"):
        SyntheticSettings(**{field: value})


def test_people_share_outfits_and_differ_in_small_clues() -> None:
    settings = SyntheticSettings()
    people = [person(settings, identity) for identity in range(1, 381)]
    worn = defaultdict(list)
    for one in people:
        worn[one.outfit].append(one)
    assert len(worn) == settings.outfits
    for group in worn.values():
        assert len(group) >= 10
        assert len({one.clothes for one in group}) == 1
        differing = [
            sum(getattr(one, clue) != getattr(other, clue) for clue in CLUES)
            for one, other in combinations(group, 2)
        ]
        assert min(differing) >= 1
        assert np.median(differing) >= 4


@pytest.mark.parametrize("logo", [logo for logo in LOGOS if logo != "none"])
def test_a_logo_is_seen_from_the_front_only(logo: str) -> None:
    blue = (0.0, 0.0, 1.0)
    base = person(SMALL, 1)
    clothes = replace(base.clothes, top=(0.4, 0.4, 0.4), pattern="plain")
    one = replace(base, clothes=clothes, logo=logo, logo_color=blue, bag="none", belt=False)

    def logo_pixels(yaw: float) -> int:
        pictures = []
        for who in (one, replace(one, logo="none")):
            canvas = np.zeros((3, 256, 128), np.float32)
            draw_person(canvas, who, Pose(yaw, 0.0, 0.2, False, 64.0, 245.0, 230.0))
            pictures.append(canvas)
        return int((pictures[0] != pictures[1]).any(axis=0).sum())

    front, oblique = logo_pixels(0.0), logo_pixels(pi / 4)
    assert front > 80
    assert 0 < oblique < front
    assert logo_pixels(pi) == logo_pixels(pi + 0.4) == 0


def test_logos_differ_in_shape() -> None:
    across, down = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1.2, 1.2, 49)] * 2))
    masks = {logo: logo_mask(logo, across, down) for logo in LOGOS}
    assert not masks["none"].any()
    for one in LOGOS:
        for other in LOGOS:
            if one < other:
                assert (masks[one] != masks[other]).mean() > 0.04, (one, other)


def test_bags_on_the_back_are_hidden_in_front() -> None:
    base = replace(person(SMALL, 1), bag_color=(0.0, 0.0, 1.0), girth=1.0)

    def bag_pixels(yaw: float) -> int:
        pictures = []
        for bag in ("backpack", "none"):
            canvas = np.zeros((3, 256, 128), np.float32)
            pose = Pose(yaw, 0.0, 0.2, False, 64.0, 245.0, 230.0)
            draw_person(canvas, replace(base, bag=bag), pose)
            pictures.append(canvas)
        return int((pictures[0] != pictures[1]).any(axis=0).sum())

    assert bag_pixels(pi) > 3 * bag_pixels(0.0) > 0
