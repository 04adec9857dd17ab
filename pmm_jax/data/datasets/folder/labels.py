"""Identities and cameras by the folders that images lie in, and by their names.

The depth of the folders decides what they are; where the names of files or folders contradict that,
the set is refused: a split, a camera or a bag of images taken for an identity would give figures
that mean nothing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from pmm_jax.data.datasets.folder.listing import Entry, File
from pmm_jax.data.datasets.folder.splits import NAMES, TEST
from pmm_jax.data.records import Problem
from pmm_jax.errors import UserError

MARKET_STYLE = re.compile(r"(?P<identity>-1|[^_]+)_c(?P<camera>\d+)(s\d+)?_", re.ASCII)
"""The part of Market-1501's names that matters: identity and camera, as in `7_c2_`, `7_c2s1_`."""
VIPER = re.compile(r"(?P<identity>\d+)_\d+\.", re.ASCII)
"""VIPeR's `000_45.bmp` (Gray and Tao, ECCV 2008): identity and angle."""
VIPER_CAMERAS = {"cam_a", "cam_b"}

NO_MATCH = "name is not like ID_c1_anything.jpg, skipped"
LOOSE = "image outside the identities' folders, skipped"
DEEPER = "in more or fewer folders than most images, skipped"

_NAMES_IDENTITY = (
    re.compile(r"(?P<identity>-1|[^_]+)_c\d+(s\d+)?(?![^\W_])", re.ASCII),
    # MARS: 0001C1T0001F001.jpg
    re.compile(r"(?P<identity>\d+)C\d+T\d+F\d+", re.ASCII),
    re.compile(
        r"(?P<identity>(person|people|ped|pid|id|identity|subject|vehicle|animal)[_-]?\d+)(?=[_-]\w)",
        re.ASCII | re.IGNORECASE,
    ),
)
"""File names that say whose image it is."""
_MAY_NAME_IDENTITY = re.compile(r"(?!\D*(19|20)\d{6}[_-])(?P<identity>\D*\d+)[_-]\d+", re.ASCII)
"""File names that may: `0001_02.jpg` could also be a track and a frame. Dates don't."""
_CAMERA = re.compile(r"(?i:cams?|cameras?|views?)((?i:[ _-]?\d+|[ _-]\w+)|[A-Z])?")
_MAY_BE_CAMERA = re.compile(r"c[ _-]?\d{1,3}", re.IGNORECASE)
_SPLIT_WORDS = {word for names in (*NAMES.values(), TEST) for word in names if "_" not in word}
_SPLIT_WORDS |= {"trainset", "testset", "trainval", "probes"}
_BAGS = re.compile(
    r"all|bbox|boxes|crops|data|dataset|files|frames|images?|imgs?|jpe?g|masks|photos|pics|pictures"
    r"|png|raw|unsorted",
    re.IGNORECASE,
)
_REGROUP = "put the images into a folder an identity"
_RENAME = "name the splits' folders train and test, or train, query and gallery"
_FEW = 3
"""So few folders that file names which may be of identities count as such."""


def labeled(where: Path, files: list[File], problems: list[Problem]) -> list[Entry]:
    """Entries of the images in one folder: that of a split, or the root of a set without splits.

    Args:
      where: the folder, for messages.
      files: the images in it.
      problems: gets a note for each image that is left out.

    Raises:
      UserError: folders or names don't say who is on the images.
    """
    if not files:
        return []
    depth = _depth(where, files, problems)
    files = [file for file in files if len(file.folders) == depth]
    if depth == 0:
        return _by_name(where, files, problems)
    if depth == 1:
        return _viper(files) or [
            Entry(file.path, file.folders[0], match["camera"] if match else None)
            for file in files
            for match in [MARKET_STYLE.match(file.name)]
        ]
    if depth == 2:
        camera = _level_of_cameras(where, files)
        return [Entry(f.path, f.folders[1 - camera], f.folders[camera]) for f in files]
    what = f"holds images in {depth} levels of folders, such as {files[0].path}"
    fix = "put them into folders of identities, or of cameras and identities"
    raise refusal(where, what, fix, files[0].path)


def refusal(where: Path | str, what: str, fix: str, path: str) -> UserError:
    """Refusal of a set that no form fits; `path`, one of its images, shows how to write a CSV."""
    return UserError(
        f"{where} {what}; {fix}, or list the images in a CSV file: first the line "
        f"path,id,camera,split, then lines like {path},0001,1,train (split is train, query or "
        "gallery; camera may be left out)"
    )


def _by_name(where: Path, files: list[File], problems: list[Problem]) -> list[Entry]:
    """Entries of images whose names have identity and camera."""
    matches = [(file.path, MARKET_STYLE.match(file.name)) for file in files]
    problems += [Problem(path, NO_MATCH, fatal=False) for path, match in matches if not match]
    entries = [Entry(path, match["identity"], match["camera"]) for path, match in matches if match]
    if not entries:
        what = (
            f"holds {len(files):,} image{'s' if len(files) > 1 else ''} whose names don't tell "
            f"identity and camera as 0001_c1_anything.jpg does, such as {files[0].path}"
        )
        raise refusal(where, what, "put them into a folder an identity", files[0].path)
    return entries


def _depth(where: Path, files: list[File], problems: list[Problem]) -> int:
    """Levels of folders that most images lie in; the others get a note.

    Raises:
      UserError: they are more than a quarter.
    """
    counts = Counter(len(file.folders) for file in files)
    depth = max(counts, key=lambda levels: (counts[levels], levels))
    others = [file for file in files if len(file.folders) != depth]
    if 4 * len(others) > len(files):
        one = next(file for file in files if len(file.folders) == depth).path
        what = (
            f"holds {counts[depth]:,} images like {one} and {len(others):,} like {others[0].path}"
        )
        raise refusal(where, what, "put all into as many folders", one)
    for file in others:
        problems.append(Problem(file.path, DEEPER if file.folders else LOOSE, fatal=False))
    return depth


def _level_of_cameras(where: Path, files: list[File]) -> int:
    """Which of two levels of folders are the cameras."""
    levels = [{file.folders[level] for file in files} for level in (0, 1)]
    for pattern in (_CAMERA, _MAY_BE_CAMERA):
        cameras = [all(pattern.fullmatch(name) for name in names) for names in levels]
        if sum(cameras) == 1:
            return cameras.index(True)
    path, (first, second) = files[0].path, files[0].folders
    splits = sorted(name for name in levels[0] if _kind_of(name) == "a split")
    if splits:
        what = f"has folders that are named like splits ({', '.join(splits[:3])})"
        raise refusal(where, what, _RENAME, path)
    what = (
        f"holds images in two levels of folders, such as {path}, and neither {first} nor {second} "
        "is named like a camera"
    )
    raise refusal(where, what, "name the cameras' folders cam1, cam2", path)


def _viper(files: list[File]) -> list[Entry]:
    """Entries of VIPeR, whose cameras have one image of each identity; of other sets none."""
    if {file.folders[0].lower() for file in files} != VIPER_CAMERAS:
        return []
    matches = [(file, VIPER.match(file.name)) for file in files]
    entries = [Entry(f.path, m["identity"], f.folders[0].lower()) for f, m in matches if m]
    once = len({(entry.identity, entry.camera) for entry in entries}) == len(files)
    return entries if once else []


def check_names(source: Path, entries: Iterable[Entry]) -> None:
    """Refuse identities by folders that the names of folders or files contradict.

    Raises:
      UserError: a folder is named like a split, a camera or a bag of images; or the files of one
        are named after several identities.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        names[entry.identity].append(entry.path)
    for folder, paths in names.items():
        if kind := _kind_of(folder):
            found = len(_identities(paths, _MAY_NAME_IDENTITY))
            more = f", and holds file names of {found:,} identities" if found > 1 else ""
            what = f"of {source} is named like {kind}, not like an identity{more}"
            fix = _RENAME if kind == "a split" else _REGROUP
            raise refusal(f"the folder {folder}", what, fix, paths[0])
    doubtful = len(names) <= _FEW or all(_MAY_BE_CAMERA.fullmatch(name) for name in names)
    for folder, paths in names.items():
        named = _identities(paths)
        if doubtful and len(named) < 2:
            named = _identities(paths, _MAY_NAME_IDENTITY)
            named = named if len(named) > 2 else set()
        if len(named) > 1:
            what = (
                f"of {source} is no identity: its {len(paths):,} images are named after "
                f"{len(named):,} ({', '.join(sorted(named)[:3])})"
            )
            raise refusal(f"the folder {folder}", what, _REGROUP, paths[0])


def _kind_of(folder: str) -> str | None:
    """What a folder's name says that it is, if not an identity."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).lower())
    if _SPLIT_WORDS & set(words):
        return "a split"
    if _CAMERA.fullmatch(folder):
        return "a camera"
    return "a collection of images" if _BAGS.fullmatch(folder) else None


def _identities(paths: list[str], *more: re.Pattern[str]) -> set[str]:
    """Identities that the names of files have."""
    names = [path.rpartition("/")[2] for path in paths]
    patterns = (*_NAMES_IDENTITY, *more)
    matches = (next(filter(None, (p.match(name) for p in patterns)), None) for name in names)
    return {match["identity"] for match in matches if match}
