"""What users, editors and strangers put where the program reads."""

import json
from dataclasses import asdict
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from pmm_jax.config import Config
from pmm_jax.fields import walk

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
"""Words as a command line may hold them: no null byte."""
UNDECODABLE = st.binary(min_size=1, max_size=8).map(
    lambda raw: raw.replace(b"\0", b"\xff").decode("utf-8", "surrogateescape")
)
"""Words in another encoding, as Python hands them over."""
ODD_NUMBERS = st.one_of(
    st.sampled_from(
        [
            "0",
            "-1",
            "2147483648",
            "9223372036854775808",
            "1e400",
            "nan",
            "inf",
            "-inf",
            "1_000",
            "٣",
        ]
    ),
    st.sampled_from(
        ["0x10", "1e-400", "1" * 5000, "+5", " 5", "5 ", "", "-0", "2.0", "true", "None", "--", "-"]
    ),
)
NAMES = st.sampled_from(["a", "b c", "~", "~/x", "../x", "x" * 300, "é", "-", "a\nb", "\x1b[m"])
WORDS = st.one_of(TEXT, UNDECODABLE, ODD_NUMBERS, NAMES)


def joined(parts: list[list[str]]) -> list[str]:
    """All words of all parts."""
    return [word for part in parts for word in part]


def _sound(kind: Any, field: Any) -> st.SearchStrategy[list[str]]:
    """Values of the right form, in range and beyond, as words."""
    if kind is bool:
        return st.just([])
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind)).map(lambda value: [str(value)])
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        count = st.integers(0, 3) if inner[-1] is Ellipsis else st.just(len(inner))
        one = _sound(inner[0], field)
        return count.flatmap(lambda n: st.lists(one, min_size=n, max_size=n).map(joined))
    if "choices" in field.metadata:
        return st.sampled_from(list(field.metadata["choices"])).map(lambda value: [value])
    if kind is str:
        return WORDS.map(lambda value: [value])
    least, most = field.metadata["range"]
    if kind is int:
        return st.integers(least - 1, most + 1).map(lambda value: [str(value)])
    return st.floats(least - 0.1, most * 1.01).map(lambda value: [repr(value)])


def _misspelt(name: str) -> st.SearchStrategy[str]:
    return st.tuples(st.integers(0, len(name)), TEXT).map(
        lambda at: name[: at[0]] + at[1] + name[at[0] + 1 :]
    )


@st.composite
def _option(draw: st.DrawFn, kind: type, sound: bool) -> list[str]:
    """One option and its values; a sound one has its own name and values of its type."""
    dotted, field, value_kind = draw(st.sampled_from(list(walk(kind))))
    name = "--" + dotted.replace("_", "-")
    if value_kind is bool and draw(st.booleans()):
        group, dot, last = name[2:].rpartition(".")
        name = f"--{group}{dot}no-{last}"
    if not sound:
        name = draw(st.one_of(st.just(name), _misspelt(name), st.just(f"--{dotted}"), WORDS))
    values = draw(_sound(value_kind, field) if sound else st.lists(WORDS, max_size=3))
    if len(values) == 1 and draw(st.booleans()):
        return [f"{name}={values[0]}"]
    return [name, *values]


def command_lines(kind: type) -> st.SearchStrategy[list[str]]:
    """Options of a dataclass, repeated ones too; in some lines a wrong one among them."""
    right = st.lists(_option(kind, sound=True), max_size=3)
    wrong = st.tuples(right, _option(kind, sound=False), right).map(
        lambda parts: [*parts[0], parts[1], *parts[2]]
    )
    return st.one_of(right, wrong).map(joined)


PYTHON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=10),
        st.binary(max_size=5),
        st.sampled_from([2**31, 2**63, 10**400, "imagenet", "scratch", "\0", "\ud800", "~"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=5), inner, max_size=2),
    ),
    max_leaves=6,
)
"""Anything that a config file can hold."""

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)

FIELDS = [name for name, _, _ in walk(Config)]


@st.composite
def config_bodies(draw: st.DrawFn) -> bytes:
    """Config files: fields of any value, or another program."""
    if not draw(st.integers(0, 4)):
        return draw(
            st.one_of(
                st.binary(max_size=60),
                st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
                st.sampled_from(
                    [
                        b"raise SystemExit",
                        b"import os; os.abort",
                        b"config = print",
                        b"\xef\xbb\xbf",
                    ]
                ),
                st.sampled_from(
                    [b"def f(): return f()\nf()", b"raise KeyboardInterrupt", b"1/0", b"import a"]
                ),
                st.sampled_from(
                    [b"class config: pass", b"raise BaseException('\\n')", b"assert 0", b"("]
                ),
                st.sampled_from(
                    [b"from pmm_jax.config import *\nconfig = Config(1, 2)", b"config = None"]
                ),
            )
        )
    groups: dict[str, list[str]] = {}
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True)):
        group, field = name.split(".")
        default = getattr(getattr(Config(), group), field)
        value = draw(st.one_of(st.just(default), PYTHON))
        groups.setdefault(group, []).append(f"{field}={value!a}")
    body = ", ".join(
        f"{group}={group.capitalize()}Config({', '.join(values)})"
        for group, values in groups.items()
    )
    program = "from pmm_jax.config import *\ninf = float('inf')\nnan = inf - inf\n"
    return f"{program}config = Config({body})\n".encode("utf-8", "surrogatepass")


@st.composite
def config_texts(draw: st.DrawFn) -> bytes:
    """What config.json may hold after an editor, another version or a bad disk."""
    if not draw(st.integers(0, 4)):
        return draw(st.one_of(st.binary(max_size=60), JSON.map(lambda v: json.dumps(v).encode())))
    groups = json.loads(json.dumps(asdict(Config())))
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=3)):
        group, field = name.split(".")
        what = draw(st.sampled_from(["value", "value", "drop", "rename", "group"]))
        if what == "value":
            groups[group][field] = draw(JSON)
        elif what == "group":
            groups[group] = draw(JSON)
            break
        else:
            value = groups[group].pop(field, None)
            if what == "rename":
                groups[group][draw(st.text(max_size=5))] = value
    text = json.dumps(groups).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.binary(max_size=2)) + text[at + 1 :]
    return text


FILE_NAMES = st.one_of(
    st.sampled_from(
        ["1_c1_a.jpg", "1_c2_b.jpg", "2_c1_a.jpg", "2_c2_b.jpg", "0001_c1s1_000001_00.jpg"]
    ),
    st.sampled_from(
        ["-1_c1s1_000401_03.jpg", "0000_c2s1_000151_01.jpg", "a.jpg", "b.PNG", "c.jpeg", "d.tif"]
    ),
    st.sampled_from(["Thumbs.db", ".hidden.jpg", "x.jpg.jpg", "notes.txt", f"{'9' * 25}_c1_a.jpg"]),
    st.sampled_from(
        [
            f"1_c{'9' * 25}_a.jpg",
            "a\nb.jpg",
            "\x1b[2J.jpg",
            "é_c1_a.jpg",
            "٣_c٣_a.jpg",
            "_c1_.jpg",
        ]
    ),
    st.tuples(
        st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), max_size=12),
        st.sampled_from([".jpg", ".JPG", ".png", "", ".txt"]),
    )
    .map("".join)
    .filter(lambda name: name not in ("", ".", "..")),
    UNDECODABLE.map(lambda name: name.replace("/", "_") + ".jpg"),
)

FOLDER_NAMES = st.one_of(
    st.sampled_from(
        ["train", "query", "gallery", "test", "val", "bounding_box_train", "bounding_box_test"]
    ),
    st.sampled_from(
        ["a", "b", "1", "2", "-1", "0", "0001", "c1", "cam1", "images", ".git", "é", "Query"]
    ),
    FILE_NAMES,
)


SOUND_SETS = [
    ["a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg", "c/4.jpg", "c/5.jpg", "d/6.jpg", "d/7.jpg"],
    ["a/1_c1_a.jpg", "a/1_c2_b.jpg", "b/2_c1_a.jpg", "b/2_c2_b.jpg"],
    ["train/a/0.jpg", "train/b/1.jpg", "query/c/2.jpg", "gallery/c/3.jpg", "gallery/d/4.jpg"],
    ["train/a/0.jpg", "train/b/1.jpg", "test/c/2.jpg", "test/c/3.jpg", "test/d/4.jpg"],
    [
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "bounding_box_train/0007_c6s3_094992_04.jpg",
        "query/0001_c1s1_001051_00.jpg",
        "bounding_box_test/-1_c1s1_000401_03.jpg",
        "bounding_box_test/0001_c2s1_000301_00.jpg",
    ],
    [],
]


@st.composite
def folder_sets(draw: st.DrawFn) -> list[str]:
    """Paths of a set's images: a sound one, some lost, some named anew, others among them."""
    paths = list(draw(st.sampled_from(SOUND_SETS)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 8]))):
        folders = draw(st.lists(FOLDER_NAMES, max_size=3))
        name = draw(FILE_NAMES)
        at = draw(st.integers(0, len(paths)))
        match draw(st.sampled_from(["add", "beside", "lose"])):
            case "add":
                paths.insert(at, "/".join([*folders, name]))
            case "beside" if paths:
                paths.insert(at, f"{paths[at - 1].rpartition('/')[0]}/{name}".lstrip("/"))
            case "lose" if paths:
                del paths[at - 1]
    return paths


CELLS = st.one_of(
    st.sampled_from(["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "./0.jpg", "none.jpg"]),
    st.sampled_from(["1", "2", "3", "-1", "0", "01", "a", "9" * 25, "1" * 5000, "1.5", "nan"]),
    st.sampled_from(["train", "query", "gallery", "Train", "test", ""]),
    st.sampled_from(["~/x", "/dev/zero", "../0.jpg", "a\0b", '"', "'", "٣", "\u2028", "x" * 300]),
    TEXT,
)


ROWS = [
    ["0.jpg", "1", "1", "train"],
    ["1.jpg", "2", "1", "train"],
    ["2.jpg", "3", "1", "query"],
    ["3.jpg", "3", "2", "gallery"],
    ["4.jpg", "a", "2", "gallery"],
]


@st.composite
def csv_files(draw: st.DrawFn) -> bytes:
    """A table of images, sound or with wrong cells and lines, as spreadsheets and scripts write."""
    header = draw(
        st.sampled_from(["path,id,camera,split"] * 9 + ["path,id,split"] * 3 + ["id,path", ""])
    )
    rows = [list(row) for row in ROWS]
    for row in rows if header == "path,id,split" else []:
        del row[2]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 8]))):
        row = draw(st.sampled_from(rows))
        if draw(st.booleans()):
            row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
        else:
            rows.append(draw(st.lists(CELLS, min_size=1, max_size=6)))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8"] * 9 + ["utf-8-sig", "utf-16"]))
    text = end.join([header, *map(",".join, rows)]).encode(encoding)
    return text + draw(st.sampled_from([b"", end.encode()] * 6 + [b"\xff", b"\0", b'"']))
