"""Which hand-ins are found, whose they are, and what is said of all that holds none."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile

import pytest
from grading import document, lab, save

from segcore.__main__ import main
from segcore.grading.collecting import find, label
from segcore.grading.results import Sheet, from_json, to_json, write
from segcore.grading.submissions import code_cells, read


def labels(paths, folder):
    found, problems = find(paths, folder / "unpacked")
    return [each.path.removeprefix(f"{folder}/") for each in found], [str(each) for each in problems]


def test_paths(tmp_path):
    first = lab(tmp_path / "a" / "x.ipynb", {})
    lab(tmp_path / "a" / ".hidden" / "x.ipynb", {})
    (tmp_path / "empty").mkdir()
    found, problems = labels([tmp_path / "a", first, tmp_path / "empty", tmp_path / "none"], tmp_path)
    assert found == ["a/x.ipynb"]
    assert [text.split(": ")[1] for text in problems] == [
        "no notebook in this folder",
        "no such file or folder",
    ]


def test_names_of_all_kinds(tmp_path):
    save(tmp_path / "Zoë Łukasz" / "13 roi (1).ipynb", "x = 1")
    save(tmp_path / "b" / "lab.ipynb", "x = 1")
    foreign = os.path.join(os.fsencode(tmp_path), b"M\xfcller")
    os.mkdir(foreign)
    save(tmp_path / "plain.ipynb", "x = 1").rename(os.fsdecode(foreign + b"/lab.ipynb"))
    found, problems = labels([tmp_path], tmp_path)
    assert sorted(found) == ["Müller/lab.ipynb", "Zoë Łukasz/13 roi (1).ipynb", "b/lab.ipynb"]
    assert problems == [] and label(b"a\x1b[31m\nb") == "a�[31m�b"
    made = find([tmp_path], tmp_path / "unpacked")[0]
    assert sorted(each.student for each in made) == ["Müller", "Zoë Łukasz", "b"]
    text = to_json([Sheet(each.path, student=each.student) for each in made])
    write(tmp_path / "results.json", text)
    assert "Müller" in (tmp_path / "results.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("ann/13_roi_align.ipynb", "ann"),
        ("ann_13_roi_align.ipynb", "ann"),
        ("13_roi_align - Bo Li.ipynb", "Bo Li"),
        ("Ann Smith_4711_assignsubmission_file_/lab.ipynb", "Ann Smith"),
        ("group 1/ann/13_roi_align (2).ipynb", "ann"),
    ],
)
def test_who_handed_in(tmp_path, path, student):
    save(tmp_path / path, "x = 1")
    save(tmp_path / "zed" / "lab.ipynb", "x = 1")
    found = {each.path.removeprefix(f"{tmp_path}/"): each.student for each in find([tmp_path], tmp_path)[0]}
    assert found == {path: student, "zed/lab.ipynb": "zed"}


def test_zips_are_unpacked_inside_and_nowhere_else(tmp_path):
    text = json.dumps(document("x = 1"))
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        archive.writestr("class/ann/lab.ipynb", text)
        archive.writestr("__MACOSX/class/ann/._lab.ipynb", "x")
    for name, member in (("up", "../out.ipynb"), ("root", "/out.ipynb"), ("drive", "C:/out.ipynb")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(member, text)
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    found, problems = labels([tmp_path], tmp_path)
    assert found == ["class.zip/class/ann/lab.ipynb"]
    assert sorted(text.removeprefix(f"{tmp_path}/").split(":")[0] for text in problems) == [
        "broken.zip",
        "drive.zip",
        "none.zip",
        "root.zip",
        "up.zip",
    ]
    assert not (tmp_path.parent / "out.ipynb").exists()


def test_a_zip_in_a_zip_is_unpacked_and_says_whose_it_is(tmp_path):
    """A platform's zip of the zips that students made; and zips of theirs side by side."""
    one = json.dumps(document("x = 1"))
    zipped = {"lab.ipynb": one}
    for _ in range(5):
        zipped = {"in.zip": packed(zipped)}
    moodle = {
        "Eva Stern_11_assignsubmission_file_/my work.zip": packed({"week 3/lab.ipynb": one}),
        "Öz Ä_12_assignsubmission_file_/sub/lab.ipynb": one,
        "deep_13_assignsubmission_file_/in.zip": packed(zipped),
        "broken_14_assignsubmission_file_/in.zip": b"PK no zip",
        "pdf_15_assignsubmission_file_/lab.pdf": b"x",
    }
    (tmp_path / "moodle.zip").write_bytes(packed(moodle))
    for name, inside in (("ann", {"project/lab.ipynb": one}), ("13_roi_align - bo", {"lab.ipynb": one})):
        (tmp_path / f"{name}.zip").write_bytes(packed(inside))
    (tmp_path / "cy").mkdir()
    (tmp_path / "cy" / "hand-in.zip").write_bytes(packed({"a/b/lab.ipynb": one}))
    (tmp_path / "group.zip").write_bytes(packed({"di/lab.ipynb": one, "ed/lab.ipynb": one}))
    found, lost = find([tmp_path], tmp_path / "unpacked")
    whose = ["13_roi_align - bo", "Eva Stern", "ann", "cy", "di", "ed", "Öz Ä"]
    assert sorted(each.student for each in found) == ["Eva Stern", "ann", "bo", *whose[3:]]
    assert sorted((each.student, each.why.partition(" (")[0]) for each in lost) == [
        ("broken", "a zip that cannot be unpacked"),
        ("deep", "a zip that cannot be unpacked"),
        ("pdf", "no notebook in this folder; it holds lab.pdf"),
    ]
    path = next(each.path for each in found if each.student == "Eva Stern")
    assert path.endswith("/moodle.zip/Eva Stern_11_assignsubmission_file_/my work.zip/week 3/lab.ipynb")
    single = find([tmp_path / "group.zip"], tmp_path / "again")[0]
    assert [each.student for each in single] == ["di", "ed"]


def packed(files):
    """The bytes of a zip."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return raw.getvalue()


def test_two_of_one_name_in_a_zip_are_both_kept(tmp_path):
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile says that it is odd
        for code in ("x = 1", "x = 2"):
            archive.writestr("ann/lab.ipynb", json.dumps(document(code)))
    found, lost = find([tmp_path / "class.zip"], tmp_path / "unpacked")
    assert [each.file.name for each in found] == ["lab (1).ipynb", "lab.ipynb"] and not lost
    assert {code_cells(read(each.file.read_bytes()))[0] for each in found} == {"x = 1", "x = 2"}


def test_a_zip_with_a_torn_stream_is_named_and_ends_nothing(tmp_path):
    raw = bytearray(packed({"ann/lab.ipynb": json.dumps(document("x = 1")) * 50}))
    raw[60:90] = b"\xff" * 30
    (tmp_path / "torn.zip").write_bytes(raw)
    save(tmp_path / "bo" / "lab.ipynb", "x = 1")
    found, lost = find([tmp_path], tmp_path / "unpacked")
    assert [each.student for each in found] == ["bo"]
    assert [each.student for each in lost] == ["torn"] and "cannot be unpacked" in lost[0].why


def test_what_holds_no_notebook_is_named(tmp_path):
    """Links lead out of the class or to a neighbour; a folder without a notebook is somebody's, too."""
    ann = save(tmp_path / "ann" / "lab.ipynb", "x = 1")
    for name in ("ann/pictures", "cy", "di", "ed/dir.ipynb", "hugo/deep"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("ann/pictures/a.png", "cy/lab.rar", "di/lab.pdf", "ann/data.tar.gz", "hugo/deep/a.py"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "fay").mkdir()
    (tmp_path / "fay" / "lab.ipynb").symlink_to(ann)
    (tmp_path / "gus").mkdir()
    (tmp_path / "gus" / "lab.ipynb").symlink_to("nowhere.ipynb")
    (tmp_path / "ivy").symlink_to(tmp_path / "ann")
    (tmp_path / "joe").mkdir()
    os.mkfifo(tmp_path / "joe" / "lab.ipynb")
    found, lost = find([tmp_path], tmp_path / "unpacked")
    assert [each.student for each in found] == ["ann"]
    why = {each.student: each.why for each in lost}
    assert sorted(why) == ["cy", "di", "ed", "fay", "gus", "hugo", "ivy", "joe"] and len(lost) == len(why)
    assert all(why[name].startswith("a link") for name in ("fay", "gus", "ivy"))
    assert why["di"] == "no notebook in this folder; it holds lab.pdf" and ".rar" in why["cy"]
    assert why["joe"].startswith("no file") and why["ed"].endswith("it holds no file")


def test_what_is_lost_stands_in_the_table_of_the_class(tmp_path, monkeypatch):
    save(tmp_path / "class" / "ann" / "lab.ipynb", "x = 1")
    (tmp_path / "class" / "bo").mkdir()
    monkeypatch.setattr("segcore.grading.grader.Grader.grade", one_by_one)
    kept = tmp_path / "class" / "kept"  # no hand-in, though it lies there
    for _ in range(2):
        assert main(["grade", str(tmp_path / "class"), "--results", str(kept)]) == 0
    made = {sheet.student: sheet.problem for sheet in from_json((kept / "results.json").read_text())}
    assert sorted(made) == ["ann", "bo"] and made["bo"].startswith("no notebook in this folder")


def one_by_one(self, submissions, seeds):
    """In place of the processes."""
    for number, each in enumerate(submissions):
        yield number, Sheet(each.path, problem="not run here", student=each.student, key=str(number))
