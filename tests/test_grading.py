"""Grading whole notebooks: what became of each exercise, and what a notebook may do to the grader."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
from grading import IDS, NAMES, RIGHT, lab, save

from segcore.__main__ import main
from segcore.grading.results import Sheet

EXCHANGED = RIGHT["13.2"].replace("(1 - (u - column).abs())", "((u - column).abs())")
EXCHANGED = EXCHANGED.replace("(1 - (v - row).abs())", "((v - row).abs())").replace(
    "result = 0", "result = 0  # mine"
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Six notebooks, each run once; text, JSON and CSV of one command over their folder."""
    root = tmp_path_factory.mktemp("submitted")
    lab(root / "ann" / "lab.ipynb", {})
    lab(root / "bob" / "lab.ipynb", RIGHT)
    some = {
        **RIGHT,
        "13.2": RIGHT["13.2"].replace("(points - 0.5)", "points")
        + f"\ncheck('13.2', {NAMES['13.2']}, hint=3)",
        # right only where bilinear_sample stands for the course's function again
        "13.3": RIGHT["13.3"].replace(
            "    return w_y @",
            "    assert bilinear_sample(torch.ones(1, 3, 3), torch.tensor([[0.5, 0.5]])).item() == 1\n"
            "    assert bilinear_sample(torch.arange(9.).reshape(1, 3, 3), torch.full((1, 2), 0.5)) == 0\n"
            "    return w_y @",
        ),
        "13.4": "def roi_align_gradient(*args):\n    return args[0][99]",
        "13.5": "def paste(*args):\n    return args[0] * 3",
    }
    lab(root / "cat" / "lab.ipynb", some)
    broken = {
        **RIGHT,
        "13.1": "def quantization_error(boxes, scale:\n    return boxes",
        "13.2": "assert quantization_error(torch.ones(1, 4), 1.0).shape == (1, 4)\n" + EXCHANGED,
        "13.3": RIGHT["13.3"] + "\nwhile True:\n    print('on and on')",
        "13.5": "import os\nos._exit(3)",
    }
    lab(root / "dan" / "lab.ipynb", broken)
    silent = {**RIGHT, "13.1": RIGHT["13.1"] + "\ncheck_it, check = check, lambda name, function: function"}
    lab(root / "eve" / "lab.ipynb", silent)
    (root / "fay").mkdir()
    (root / "fay" / "lab.ipynb").write_text("{this is no notebook")
    lab(root / "fay" / ".ipynb_checkpoints" / "lab-checkpoint.ipynb", {})
    lab(root / "gus" / "notes.ipynb", {}, slug="", checks=False)
    before = {path: path.read_bytes() for path in root.rglob("*.ipynb")}
    json_file, csv_file = root / "marks.json", root / "marks.csv"
    out, err = io.StringIO(), io.StringIO()
    stdout, stderr, sys.stdout, sys.stderr = sys.stdout, sys.stderr, out, err
    try:
        words = ["grade", str(root), str(root / "nobody"), "--timeout", "8", "--results", str(root / "kept")]
        words += ["--json", str(json_file), "--csv", str(csv_file)]
        code = main([*words, "--strict"])
        first = out.getvalue()
        assert main(words) == 0, "nothing is left to grade: it takes no time and says the same"
        assert "7 notebooks were graded before" in out.getvalue()[len(first) :]
    finally:
        sys.stdout, sys.stderr = stdout, stderr
    assert code == 1
    assert json.loads((root / "kept" / "results.json").read_text()) == json.loads(json_file.read_text())
    assert {path: path.read_bytes() for path in root.rglob("*.ipynb")} == before
    data = json.loads(json_file.read_text(encoding="utf-8"))
    sheets = {sheet["path"].split("/")[-2]: sheet for sheet in data["notebooks"]}
    with csv_file.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return sheets, rows, first, err.getvalue()


def column(sheet, name):
    return [result[name] for result in sheet["exercises"]]


def test_an_untouched_lab_is_not_attempted(graded):
    sheet = graded[0]["ann"]
    assert column(sheet, "exercise") == IDS
    assert column(sheet, "state") == ["not attempted"] * 5
    assert (sheet["points"], sheet["possible"], sheet["problem"]) == (0, 5, "")


def test_a_solved_lab_has_all_points(graded):
    sheet = graded[0]["bob"]
    assert column(sheet, "state") == ["passed"] * 5
    assert (sheet["passed"], sheet["points"], sheet["problem"]) == (5, 5, "")
    assert column(sheet, "reason") == [""] * 5


def test_mistakes_are_named_and_spoil_nothing_after_them(graded):
    sheet = graded[0]["cat"]
    assert column(sheet, "state") == ["passed", "failed", "passed", "error", "failed"]
    assert column(sheet, "mistake")[1] == column(sheet, "reason")[1] == "half pixel forgotten"
    assert "IndexError" in column(sheet, "reason")[3]
    assert column(sheet, "reason")[4].startswith("Expected the shape")
    assert 0 < column(sheet, "passed")[1] < column(sheet, "tried")[1]


def test_the_deepest_hint_that_a_notebook_asks_for_is_said(graded):
    sheets, rows, out, _ = graded
    assert column(sheets["cat"], "rung") == [0, 3, 0, 0, 0] and column(sheets["bob"], "rung") == [0] * 5
    assert [row["rung"] for row in rows if "/cat/" in row["path"]] == ["0", "3", "0", "0", "0"]
    lines = [line for line in out.split("\n") if "hint " in line]
    assert len(lines) == 1 and "13.2" in lines[0] and "hint 3  half pixel forgotten" in lines[0]


def test_cells_that_fail_loop_or_kill_cost_no_more_than_their_exercise(graded):
    sheet = graded[0]["dan"]
    # 13.2's cell calls quantization_error, which stands for the reference as its own cell has a syntax error
    assert column(sheet, "state") == ["error", "failed", "passed", "passed", "not reached"]
    assert column(sheet, "reason")[0].startswith("SyntaxError") and "cell [2]" in column(sheet, "reason")[0]
    assert column(sheet, "reason")[1] == "weights exchanged"
    assert sheet["problem"] == column(sheet, "reason")[4]
    assert sheet["problem"] == "the kernel died in cell [10]: it left with exit code 3"
    assert sheet["points"] == 2


def test_only_the_engine_gives_points(graded):
    sheet = graded[0]["eve"]
    assert column(sheet, "state") == ["not reached"] * 5
    assert column(sheet, "reason") == ["its check did not run"] * 5


def test_what_cannot_be_graded_is_said(graded):
    sheets, _, out, err = graded
    assert sheets["fay"]["exercises"] == [] and "not a notebook" in sheets["fay"]["problem"]
    assert sheets["gus"]["exercises"] == [] and "no exercises" in sheets["gus"]["problem"]
    assert "nobody: no such file or folder" in err
    assert len(sheets) == 7, "a notebook's hidden copy is not graded"
    assert "7 notebooks: 9 of 25 exercises passed, 9 of 25 points; 2 not graded" in out


def test_csv_has_a_row_for_each_exercise_and_each_lost_notebook(graded):
    sheets, rows, _, _ = graded
    assert len(rows) == 5 * 5 + 2
    row = next(row for row in rows if "/cat/" in row["path"] and row["exercise"] == "13.2")
    assert row["title"] == "Bilinear sampling" and row["state"] == "failed" and row["points"] == "0"
    assert row["mistake"] == "half pixel forgotten"
    assert {row["path"] for row in rows} == {sheet["path"] for sheet in sheets.values()}
    assert sum(row["state"] == "not graded" for row in rows) == 2


def test_the_table_tells_notebooks_apart_and_fits(graded):
    out = graded[2]
    for person in ("ann", "bob", "cat", "dan", "eve"):
        assert f"/{person}/lab.ipynb: " in out
    assert "half pixel forgotten" in out and "stopped: the kernel died in cell [10]" in out
    assert "on and on" not in out


# without a kernel ----------------------------------------------------------------------


def test_nothing_to_grade(tmp_path, capsys):
    assert main(["grade", str(tmp_path)]) == 2
    assert "no notebook in this folder" in capsys.readouterr().err


def one_sheet(self, submissions, seeds):
    """In place of the processes."""
    yield 0, Sheet(submissions[0].path, problem="a łost one", student="=1+1", key="k")


def test_a_table_that_goes_to_stdout_stands_alone(tmp_path, capsys, monkeypatch):
    save(tmp_path / "lab.ipynb", "x = 1")
    monkeypatch.setattr("segcore.grading.grader.Grader.grade", one_sheet)
    assert main(["grade", str(tmp_path), "--json", "-"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["notebooks"][0]["exercises"] == []
    assert "not graded" in streams.err
    assert main(["grade", str(tmp_path), "--csv", "-"]) == 0
    assert capsys.readouterr().out.startswith("path,student,exercise,title,state,")


def test_a_result_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    save(tmp_path / "lab.ipynb", "x = 1")
    monkeypatch.setattr("segcore.grading.grader.Grader.grade", one_sheet)
    assert main(["grade", str(tmp_path), "--json", str(tmp_path / "no" / "folder.json")]) == 2
    streams = capsys.readouterr()
    assert "cannot be written" in streams.err and "not graded" not in streams.out, "before the grading"
    assert main(["grade", str(tmp_path), "--json", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["grade"],
        ["grade", "x", "--timeout", "-3"],
        ["grade", "x", "--jobs", "0"],
        ["grade", "x", "--json", "-", "--csv", "-"],
        ["mark"],
    ],
)
def test_misuse_is_said(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2 and "usage:" in capsys.readouterr().err


def test_help(capsys):
    assert main([]) == 0
    assert "grade" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["grade", "--help"])
    assert "--timeout" in capsys.readouterr().out


def test_progress_of_this_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["segcore.checks.progress"], "_session", {})
    monkeypatch.setenv("SEGCORE_PROGRESS", str(tmp_path / "progress.json"))
    (tmp_path / "progress.json").write_text(json.dumps({"exercises": {"13.1": "passed", "13.2": "tried"}}))
    assert main(["progress", "13"]) == 0
    out = capsys.readouterr().out
    assert "1 of 5 exercises passed" in out and "tried, not yet passed" in out and "kept in" in out
    assert main(["progress"]) == 0
    assert "Lab 13" in capsys.readouterr().out
    assert main(["progress", "99"]) == 2
    assert "there is no chapter '99'" in capsys.readouterr().err
    monkeypatch.setenv("SEGCORE_PROGRESS", "off")
    assert main(["progress", "13"]) == 0
    assert "kept in no file" in capsys.readouterr().out


def test_the_command_line_imports_nothing_heavy():
    heavy = ("torch", "numpy", "matplotlib", "ipywidgets", "torchvision", "nbclient", "nbformat")
    code = f"import sys, segcore.__main__ as m; m.main([]); print([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
