"""Images of your own, listed in a CSV file."""

import os
from pathlib import Path

import pytest

from pmm_jax.data.datasets.folder.table import LISTED_TWICE
from pmm_jax.data.datasets.market1501 import JUNK_OUTSIDE_GALLERY
from pmm_jax.errors import UserError
from tests.data.own_set import fatal, notes, rows, scan_folder, write, write_table


def test_table_with_cameras(tmp_path: Path) -> None:
    table = write_table(
        tmp_path,
        "a/1.jpg,bob,3,Train",
        "./a//2.jpg,zoe,0,QUERY",
        f"{tmp_path}/a/3.jpg,zoe,12,gallery",
    )
    found = scan_folder(table, 0.5)
    assert rows(found, "train") == [("a/1.jpg", "bob", 3)]
    assert rows(found, "query") == [("a/2.jpg", "zoe", 0)]
    assert rows(found, "gallery") == [("a/3.jpg", "zoe", 12)]
    assert found.problems == []


def test_named_cameras_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    table = write_table(tmp_path, "1.jpg,a,roof,train", "2.jpg,a,gate,query", "3.jpg,a,7,gallery")
    found = scan_folder(table, 0.5)
    assert [r.camera for r in found.records()] == [2, 1, 0]


@pytest.mark.parametrize("header", ["path,id,camera,split", " Path ,ID,Camera,SPLIT"])
def test_table_of_excel_with_byte_order_mark_and_any_case(tmp_path: Path, header: str) -> None:
    table = write_table(tmp_path, "1.jpg,a,1,query", "2.jpg,a,2,gallery", header=header)
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert rows(scan_folder(table, 0.5), "query") == [("1.jpg", "a", 1)]


def test_unknown_cameras_are_negative_and_unique_to_the_image(tmp_path: Path) -> None:
    lines = ["b.jpg,x,query", "a.jpg,x,gallery", "b.jpg,x,gallery", "c.jpg,y,train"]
    found = scan_folder(write_table(tmp_path, *lines, header="path,id,split"), 0.5)
    assert rows(found, "query") == [("b.jpg", "x", -2)]
    assert rows(found, "gallery") == [("a.jpg", "x", -1), ("b.jpg", "x", -2)]
    assert rows(found, "train") == [("c.jpg", "y", -3)]


def test_an_empty_camera_cell_makes_all_cameras_unknown(tmp_path: Path) -> None:
    """Else a query without a camera would find itself in the gallery, where it has one."""
    lines = ["a.jpg,x,,query", "a.jpg,x,1,gallery", "b.jpg,x,2,gallery"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert rows(found, "query") == [("a.jpg", "x", -1)]
    assert rows(found, "gallery") == [("a.jpg", "x", -1), ("b.jpg", "x", -2)]
    assert "all cameras are ignored" in notes(found)["a.jpg"]


def test_training_images_need_no_camera(tmp_path: Path) -> None:
    lines = ["a.jpg,x,5,query", "b.jpg,x,6,gallery", "c.jpg,y,,train"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert [r.camera for r in found.records()] == [-1, 5, 6]
    assert not notes(found)


def test_identity_minus_one_is_dropped_from_tables_and_folders(tmp_path: Path) -> None:
    lines = ["j.jpg,-1,1,gallery", "t.jpg,-1,1,train", "q.jpg,x,1,query", "g.jpg,x,2,gallery"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert [r.path for r in found.records()] == ["q.jpg", "g.jpg"]
    assert notes(found) == {"t.jpg": JUNK_OUTSIDE_GALLERY}
    write(tmp_path / "own", "-1/j.jpg", "x/1.jpg", "x/2.jpg")
    assert set(scan_folder(tmp_path / "own", 0.0).names.values()) == {"x"}


@pytest.mark.parametrize("path", ["../out.jpg", "a/../../out.jpg", "/etc/out.jpg", "link.jpg"])
def test_paths_out_of_the_table_s_folder_are_fatal(tmp_path: Path, path: str) -> None:
    write(tmp_path, "out.jpg")
    table = write_table(tmp_path / "set", "in.jpg,a,1,query", f"{path},a,2,gallery")
    os.symlink(tmp_path / "out.jpg", tmp_path / "set" / "link.jpg")
    found = scan_folder(table, 0.5)
    (reason,) = fatal(found).values()
    assert "leads out of the data set's folder" in reason
    assert rows(found, "gallery") == []


@pytest.mark.parametrize(
    ("line", "where", "reason"),
    [
        ("b.jpg,a,1,tset", "set.csv:4", "split is none of train, query, gallery"),
        (",a,1,train", "set.csv:4", "lacks its path or id"),
        ("b.jpg,,1,train", "set.csv:4", "lacks its path or id"),
        ("q.jpg,b,1,train", "set.csv:4", "listed as two identities"),
        ("b.jpg", "set.csv:4", "lacks its path or id"),
    ],
)
def test_faulty_lines_are_fatal_and_numbered(
    tmp_path: Path, line: str, where: str, reason: str
) -> None:
    found = scan_folder(write_table(tmp_path, "q.jpg,a,1,query", "g.jpg,a,2,gallery", line), 0.5)
    assert reason in fatal(found)[where]


def test_a_line_given_twice_counts_once(tmp_path: Path) -> None:
    lines = ["q.jpg,a,1,query", "g.jpg,a,2,gallery", "g.jpg,a,2,gallery"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert len(found.splits["gallery"]) == 1
    assert notes(found) == {"g.jpg": LISTED_TWICE}


def test_missing_columns_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no column split .*\(path;id\)|no column path"):
        scan_folder(write_table(tmp_path, "a;b", header="path;id"), 0.5)
    (tmp_path / "set.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"set\.csv:1 is not UTF-8"):
        scan_folder(tmp_path / "set.csv", 0.5)


LONG = "8901410321111851072012345"


def test_identities_and_cameras_of_any_length_are_names(tmp_path: Path) -> None:
    """Beyond 64 bits they would overflow, or collide."""
    lines = [f"a.jpg,{LONG}0,{LONG}2,query", f"b.jpg,{LONG}0,{LONG}1,gallery"]
    found = scan_folder(write_table(tmp_path, *lines, f"c.jpg,{'9' * 5000},7,train"), 0.5)
    assert rows(found, "query") == [("a.jpg", f"{LONG}0", 2)]
    assert rows(found, "gallery") == [("b.jpg", f"{LONG}0", 1)]
    assert found.camera_names == {0: "7", 1: f"{LONG}1", 2: f"{LONG}2"}
    assert "9" * 5000 in found.names.values()


@pytest.mark.parametrize(
    ("cameras", "numbers"),
    [
        (["3", "12", "0"], [3, 12, 0]),
        (["cam3", "cam12", "cam1"], [3, 12, 1]),
        (["c003", "c012", "c001"], [3, 12, 1]),
        (["3", "cam12", "roof"], [0, 1, 2]),
        (["9223372036854775807", "1", "2"], [2**63 - 1, 1, 2]),
        (["9223372036854775808", "1", "2"], [2, 0, 1]),
        (["18446744073709551615", "1", "2"], [1, 0, 2]),
    ],
)
def test_numbers_of_cameras(tmp_path: Path, cameras: list[str], numbers: list[int]) -> None:
    splits = ("train", "query", "gallery")
    lines = [f"{s}.jpg,a,{c},{s}" for s, c in zip(splits, cameras, strict=True)]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert [record.camera for record in found.records()] == numbers
    assert [found.camera_names[number] for number in numbers] == cameras


def test_camera_minus_one_is_unknown(tmp_path: Path) -> None:
    lines = ["a.jpg,x,-1,query", "b.jpg,x,-1,gallery"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert [record.camera for record in found.records()] == [-1, -2]


def test_cameras_may_be_ignored(tmp_path: Path) -> None:
    lines = ["a.jpg,x,4,query", "a.jpg,x,4,gallery", "b.jpg,x,,gallery"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5, cameras="ignore")
    assert [record.camera for record in found.records()] == [-1, -1, -2]
    assert not found.problems
    assert not found.camera_names


def test_backslashes_are_slashes_where_the_table_was_written_on_windows(tmp_path: Path) -> None:
    write(tmp_path, "d/a.jpg", "odd\\b.jpg")
    lines = ["d\\a.jpg,x,1,query", "odd\\b.jpg,x,2,gallery", "..\\c.jpg,x,1,gallery"]
    found = scan_folder(write_table(tmp_path, *lines, "C:\\d.jpg,x,1,gallery"), 0.5)
    assert rows(found, "query") == [("d/a.jpg", "x", 1)]
    assert rows(found, "gallery") == [("odd\\b.jpg", "x", 2)]
    assert set(fatal(found)) == {"../c.jpg", "set.csv:5"}
    assert fatal(found)["set.csv:5"] == "path begins with a Windows drive"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"b\0.jpg,a,1,train", r"set\.csv:2: line holds a NUL"),
        (b"\xe9.jpg,a,1,train", r"set\.csv:2 is not UTF-8"),
        (b"b.jpg," + b"9" * 200_000 + b",1,train", r"set\.csv:2 is not CSV .*field limit"),
        (b'"b.jpg,a,1,train\nc.jpg,b,2,train', r"set\.csv:3: line lacks its path or id"),
        (b"b.jpg,a,1," + b"x" * 5000, r"set\.csv:2: split is none .*xxx\.\.\.xxx"),
        (b"", r"found no images"),
    ],
)
def test_hostile_lines_are_refused_by_number(tmp_path: Path, line: bytes, said: str) -> None:
    table = tmp_path / "set.csv"
    table.write_bytes(b"path,id,camera,split\n" + line + b"\n")
    with pytest.raises(UserError, match=said) as raised:
        scan_folder(table, 0.5)
    assert len(str(raised.value)) < 500


def test_a_path_that_no_system_opens_is_no_traceback(tmp_path: Path) -> None:
    lines = [f"{'x' * 5000}.jpg,a,1,query", f"{'x/' * 5000}y.jpg,a,1,gallery", "z\\z.jpg,a,,train"]
    found = scan_folder(write_table(tmp_path, *lines), 0.5)
    assert len(list(found.records())) == 3


@pytest.mark.parametrize(("mark", "shown"), [(";", "';'"), ("\t", r"'\\t'")])
def test_other_marks_than_commas_are_named(tmp_path: Path, mark: str, shown: str) -> None:
    with pytest.raises(UserError, match=f"separated by commas, not by {shown}"):
        scan_folder(write_table(tmp_path, header=f"path{mark}id{mark}split"), 0.5)


def test_a_table_elsewhere_is_told_where_it_could_lie(tmp_path: Path) -> None:
    write(tmp_path, "set/a.jpg", "set/b.jpg")
    lines = ["../set/a.jpg,a,1,query", f"{tmp_path}/set/b.jpg,a,2,gallery"]
    found = scan_folder(write_table(tmp_path / "lists", *lines), 0.5)
    assert {problem.path for problem in found.problems} == {"../set/a.jpg", "../set/b.jpg"}
    (hint,) = {problem.hint for problem in found.problems}
    assert f"a CSV file in {tmp_path}, which holds them all" in hint
