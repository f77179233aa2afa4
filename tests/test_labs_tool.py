"""The lab tools: a small solution notebook, made here, goes through every one of them."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from segcore.checks import exercises

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import lab_author  # noqa: E402
import lab_generate  # noqa: E402
import lab_lint  # noqa: E402
from lab_generate import LabError  # noqa: E402

import labs  # noqa: E402

SLUG = "13_roi_align"
NAMES = {each.id: each.name for each in exercises(13)}
# A picture of one pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def skeleton(each):
    return (
        f"def {NAMES[each]}(*args):\n"
        '    """Do it."""\n'
        "    ### BEGIN SOLUTION\n"
        "    # Begin.\n"
        "    first = 1\n"
        "    # End.\n"
        f"    return exercise('{each}').reference(*args)\n"
        "    ### END SOLUTION"
    )


def plot(text="plt.plot([0, 1])", alt="A line that rises."):
    cell = new_code_cell(text, metadata={"tags": ["expected-picture"], "course": {"alt": alt} if alt else {}})
    cell.outputs = [new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure>"})]
    return cell


def solution():
    """A solution notebook of chapter 13 as an author leaves it, with what the lab card shows."""
    cells = [
        new_markdown_cell("# A lab"),
        new_code_cell("from segcore.checks import check, exercise, progress"),
    ]
    for each in NAMES:
        cells += [
            new_markdown_cell(f"## Exercise {each}"),
            new_code_cell(skeleton(each)),
            new_code_cell(f'{NAMES[each]} = check("{each}", {NAMES[each]})'),
        ]
        if each == "13.2":
            cells.append(plot())
    cells += [
        new_markdown_cell("Why?"),
        new_markdown_cell("Because.", metadata={"tags": ["answer"]}),
        new_markdown_cell(
            "In short: <!-- keep -->\n<!-- BEGIN SOLUTION -->\nso.\n<!-- END SOLUTION -->",
            metadata={"tags": ["answer"]},
        ),
        new_code_cell("print('it took long')", metadata={"tags": ["solution-only"]}),
        new_code_cell('progress("13")'),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count = number
    listed = [{"id": each.id, "title": each.title, "minutes": 12, "level": 1} for each in exercises(13)]
    return new_notebook(cells=cells, metadata={"course": {"minutes": 60, "exercises": listed}})


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A repository with one solution, annotated."""
    monkeypatch.delenv("CI", raising=False)
    store(tmp_path, lab_author.annotate(solution(), SLUG))
    return tmp_path


def store(root, notebook, folder="solutions"):
    lab_generate.write(root / folder / f"{SLUG}.ipynb", lab_generate.text_of(notebook))


def load(root, folder="labs", name=SLUG):
    return nbformat.read(root / folder / f"{name}.ipynb", as_version=4)


def run(root, *words):
    return labs.main([words[0], "--root", str(root), *words[1:]])


def cell_with(notebook, text):
    return next(cell for cell in notebook.cells if text in cell.source)


# generate and check ----------------------------------------------------------------------


def test_round_trip(house, capsys):
    assert run(house, "generate") == 0
    assert run(house, "check") == 0 and run(house, "lint") == 0, capsys.readouterr().err
    lab = load(house)
    text = json.dumps(lab)
    for gone in ("BEGIN SOLUTION", "END SOLUTION", "first = 1", "Because.", "it took long", 'outputs": [{'):
        assert gone not in text, gone
    assert cell_with(lab, "def bilinear_sample").source == (
        'def bilinear_sample(*args):\n    """Do it."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    )
    assert [cell.source for cell in lab.cells if "ANSWER" in cell.source] == [
        "YOUR ANSWER HERE",
        "In short: <!-- keep -->\nYOUR ANSWER HERE",
    ]
    assert all(cell.execution_count is None for cell in lab.cells if cell.cell_type == "code")
    before = (house / "labs" / f"{SLUG}.ipynb").read_bytes()
    capsys.readouterr()
    assert run(house, "generate") == 0 and "unchanged" in capsys.readouterr().out
    assert (house / "labs" / f"{SLUG}.ipynb").read_bytes() == before


def test_what_hints_show_follows_the_solution(house, capsys):
    shown = house / "segcore" / "checks" / "shown" / f"{SLUG}.json"
    assert run(house, "generate") == 0 and "what its hints show: updated" in capsys.readouterr().out
    begin, end = ["first = 1"], ["return exercise('13.2').reference(*args)"]
    assert json.loads(shown.read_text())["13.2"] == [["Begin.", begin], ["End.", end]]
    changed = load(house, "solutions")
    cell = cell_with(changed, "def bilinear_sample")
    cell.source = cell.source.replace("# Begin.", "# A reason.")
    store(house, changed)
    assert run(house, "check") == 1 and "is not what its solution makes" in capsys.readouterr().err
    assert run(house, "generate") == 0 and run(house, "check") == 0
    assert json.loads(shown.read_text())["13.2"] == [["A reason.", begin], ["End.", end]]
    before = shown.stat().st_mtime_ns
    capsys.readouterr()
    assert run(house, "generate") == 0 and "hints" not in capsys.readouterr().out
    assert shown.stat().st_mtime_ns == before


def test_the_expected_picture_stands_folded_before_its_skeleton(house):
    run(house, "generate")
    lab = load(house)
    at = next(i for i, cell in enumerate(lab.cells) if "Expected picture" in cell.source)
    assert "def bilinear_sample" in lab.cells[at + 1].source
    assert '<img alt="A line that rises."' in lab.cells[at].source and PNG in lab.cells[at].source
    assert lab.cells[at].source.startswith("<details>")
    plots = [cell for cell in lab.cells if cell.source == "plt.plot([0, 1])"]
    assert len(plots) == 1 and plots[0].outputs == []


def test_the_lab_follows_its_solution(house, capsys):
    run(house, "generate")
    changed = load(house, "solutions")
    changed.cells[0].source = "# A better lab"
    store(house, changed)
    assert run(house, "check") == 1 and "older than its solution" in capsys.readouterr().err
    assert run(house, "generate", "13") == 0 and "updated" in capsys.readouterr().out
    assert load(house).cells[0].source == "# A better lab" and run(house, "check") == 0


def test_what_a_reader_wrote_is_never_overwritten(house, capsys):
    run(house, "generate")
    target = house / "labs" / f"{SLUG}.ipynb"
    fresh = target.read_bytes()
    for number, words in enumerate(("my first try", "my second try"), 1):
        mine = load(house)
        cell_with(mine, "def paste").source = f"def paste(*args):\n    return '{words}'"
        nbformat.write(mine, target)
        edited = target.read_bytes()
        assert run(house, "check", "--strict") == 1
        assert "was edited" in capsys.readouterr().err
        assert run(house, "check") == 0 and "was worked in" in capsys.readouterr().out
        assert run(house, "generate") == 0
        assert target.read_bytes() == edited and "kept" in capsys.readouterr().out
        assert run(house, "generate", "--force") == 0
        assert target.read_bytes() == fresh
        assert (house / "labs" / f"{SLUG}.edited-{number}.ipynb").read_bytes() == edited
    assert "my first try" in (house / "labs" / f"{SLUG}.edited-1.ipynb").read_text()


@pytest.mark.parametrize(
    "text", ["{broken", "", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}']
)
def test_a_lab_without_a_record_counts_as_somebodys_work(house, capsys, text):
    target = house / "labs" / f"{SLUG}.ipynb"
    target.parent.mkdir()
    target.write_text(text)
    assert run(house, "generate") == 0
    assert target.read_text() == text and "kept" in capsys.readouterr().out
    assert run(house, "check") == 0 and run(house, "check", "--strict") == 1
    assert run(house, "generate", "--force") == 0
    assert (house / "labs" / f"{SLUG}.edited-1.ipynb").read_text() == text


def ran(lab):
    lab.cells[1].execution_count = 3


def printed(lab):
    lab.cells[1].outputs = [new_output("stream", text="42\n")]


def failed(lab):
    lab.cells[1].outputs = [new_output("error", ename="NameError", evalue="x", traceback=["Traceback"])]


def pasted(lab):
    lab.cells[0].attachments = {"image.png": {"image/png": PNG}}


def tagged(lab):
    lab.cells[1].metadata["tags"] = ["mine"]


def another_kernel(lab):
    lab.metadata["kernelspec"] = {"name": "conda-env-py310", "display_name": "Python [conda env:py310]"}


def empty_cell(lab):
    lab.cells.append(new_code_cell(""))


def half_a_cell(lab):
    cell_with(lab, "def paste").source = "def paste(mask, box"


def older_format(lab):
    lab.nbformat_minor = 2


def doubled_ids(lab):
    lab.cells[1].id = lab.cells[0].id


def no_record(lab):
    del lab.metadata["course"]


CHANGES = [
    ran, printed, failed, pasted, tagged, another_kernel,
    empty_cell, half_a_cell, older_format, doubled_ids, no_record,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_smallest_change_is_somebodys_work(house, capsys, change):
    run(house, "generate")
    target = house / "labs" / f"{SLUG}.ipynb"
    lab = json.loads(target.read_text(), object_hook=nbformat.from_dict)
    change(lab)
    target.write_text(json.dumps(lab))
    mine = target.read_bytes()
    newer = load(house, "solutions")
    newer.cells[0].source = "# A better lab"
    store(house, newer)
    assert run(house, "generate") == 0 and "kept" in capsys.readouterr().out
    assert target.read_bytes() == mine
    assert run(house, "check") == 0 and run(house, "check", "--strict") == 1
    assert run(house, "generate", "--force") == 0 and load(house).cells[0].source == "# A better lab"
    assert (house / "labs" / f"{SLUG}.edited-1.ipynb").read_bytes() == mine


@pytest.mark.parametrize(
    "layout",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: json.dumps(json.loads(text)),
        lambda text: nbformat.writes(nbformat.reads(text, 4)),  # sources as lists of lines
    ],
)
def test_another_layout_of_the_same_lab_is_not_work(house, capsys, layout):
    run(house, "generate")
    target = house / "labs" / f"{SLUG}.ipynb"
    target.write_bytes(layout(target.read_text()).encode())
    newer = load(house, "solutions")
    newer.cells[0].source = "# A better lab"
    store(house, newer)
    assert run(house, "check") == 1 and "older than its solution" in capsys.readouterr().err
    assert run(house, "generate") == 0 and "updated" in capsys.readouterr().out
    assert not list((house / "labs").glob("*edited*"))


def not_utf8(target):
    target.write_bytes("{'cells': 'Müller'}".encode("latin-1"))


def cut_in_half(target):
    target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])


def deep(target):
    target.write_text("[" * 100_000)


def a_list(target):
    target.write_text("[1, 2]")


def folder(target):
    target.unlink()
    (target / "notes").mkdir(parents=True)
    (target / "notes" / "mine.txt").write_text("mine")


def linked(target):
    """The lab lies somewhere else, synchronised between two machines, say; a clean copy of an older state."""
    target.rename(target.with_name("elsewhere.ipynb"))
    target.symlink_to("elsewhere.ipynb")


def dead_link(target):
    target.unlink()
    target.symlink_to("nowhere.ipynb")


@pytest.mark.parametrize("spoil", [not_utf8, cut_in_half, deep, a_list, folder, linked, dead_link])
def test_what_lies_in_a_labs_place_is_kept_or_moved_aside_whatever_it_is(house, capsys, spoil):
    run(house, "generate")
    target = house / "labs" / f"{SLUG}.ipynb"
    spoil(target)
    newer = load(house, "solutions")
    newer.cells[0].source = "# A better lab"
    store(house, newer)
    before = snapshot(house / "labs")
    assert run(house, "generate") == 0 and "kept" in capsys.readouterr().out
    assert run(house, "check") == 0 and run(house, "check", "--strict") == 1
    assert run(house, "clean") == 0 and snapshot(house / "labs") == before
    (house / "labs" / f"{SLUG}.edited-1.ipynb").symlink_to(
        "nowhere"
    )  # a name that is taken, though it leads nowhere
    assert run(house, "generate", "--force") == 0
    after = snapshot(house / "labs")
    assert load(house).cells[0].source == "# A better lab" and not target.is_symlink()
    moved = {name.replace(f"{SLUG}.ipynb", f"{SLUG}.edited-2.ipynb"): what for name, what in before.items()}
    assert moved.items() <= after.items()


def snapshot(place):
    """Every name below a folder, with what stands there."""
    return {
        path.relative_to(place).as_posix(): (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        )
        for path in sorted(place.rglob("*"))
    }


def test_clean_labs_come_from_the_solutions_alone(house):
    run(house, "generate")
    fresh = (house / "labs" / f"{SLUG}.ipynb").read_bytes()
    (house / "labs" / f"{SLUG}.ipynb").write_text("mine")
    clean = house / lab_generate.CLEAN
    clean.mkdir(parents=True)
    (clean / "02_gone.ipynb").write_text("its solution was removed")
    assert run(house, "clean") == 0
    assert {path.name: path.read_bytes() for path in clean.iterdir()} == {f"{SLUG}.ipynb": fresh}
    before = (clean / f"{SLUG}.ipynb").stat().st_mtime_ns
    assert run(house, "clean") == 0
    assert (clean / f"{SLUG}.ipynb").stat().st_mtime_ns == before


def git(root, *words):
    mail = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", "-C", str(root), *mail, *words], check=True, capture_output=True)


def test_ci_and_git_tell_a_readers_copy_from_a_maintainers_slip(house, monkeypatch, capsys):
    """In CI nobody works: what was committed must be right. Elsewhere only what nobody touched must be."""
    target = house / "labs" / f"{SLUG}.ipynb"
    git(house, "init")
    git(house, "commit", "--allow-empty", "-m", "begin")
    assert (
        run(house, "check") == 1 and "is missing" in capsys.readouterr().err
    )  # git never had it: not deleted
    run(house, "generate")
    git(house, "add", ".")
    git(house, "commit", "-m", "all labs")
    target.unlink()
    assert run(house, "check") == 0
    target.write_text("mine")
    for ci in ("", "true"):
        monkeypatch.setenv("CI", ci)
        assert run(house, "check") == 0
    git(house, "commit", "-am", "my work")
    capsys.readouterr()
    assert run(house, "check") == 1 and "was edited" in capsys.readouterr().err
    monkeypatch.setenv("CI", "")
    assert run(house, "check") == 0
    git(house, "rm", f"labs/{SLUG}.ipynb")
    git(house, "commit", "-m", "no lab")
    assert run(house, "check") == 0, "deleted, which git remembers"
    monkeypatch.setenv("CI", "true")
    assert run(house, "check") == 1 and "is missing" in capsys.readouterr().err


def test_slugs(house, capsys):
    for name in ("13", "roi_align", SLUG, f"labs/{SLUG}.ipynb"):
        assert run(house, "generate", name) == 0
    assert run(house, "generate", "crf") == 1
    assert "no solution is called 'crf'" in capsys.readouterr().err
    assert run(house, "check") == 0
    (house / "labs" / f"{SLUG}.ipynb").unlink()
    assert run(house, "check") == 0 and "is missing" in capsys.readouterr().out
    assert run(house, "check", "--strict") == 1 and "is missing" in capsys.readouterr().err


def test_markers_must_match(house, capsys):
    for source, words in (
        ("### BEGIN SOLUTION\nx = 1", "END SOLUTION is missing"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "stands twice"),
    ):
        broken = load(house, "solutions")
        cell_with(broken, "def paste").source = f"def paste(): ...\n{source}"
        store(house, broken)
        assert run(house, "generate") == 1 and words in capsys.readouterr().err
    assert not (house / "labs" / f"{SLUG}.ipynb").exists()


def test_a_solution_without_metadata_never_leaks_into_a_lab(tmp_path, capsys):
    store(tmp_path, solution())
    assert run(tmp_path, "generate") == 1
    assert "run annotate first" in capsys.readouterr().err
    assert not (tmp_path / "labs").exists()


# annotate -------------------------------------------------------------------------------


def test_annotate_is_idempotent_and_leaves_its_input():
    given = solution()
    before = copy.deepcopy(given)
    once = lab_author.annotate(given, SLUG)
    assert given == before
    assert lab_author.annotate(once, SLUG) == once
    assert lab_generate.text_of(lab_author.annotate(once, SLUG)) == lab_generate.text_of(once)


def test_annotate_marks_solutions_checks_and_answers():
    made = lab_author.annotate(solution(), SLUG)
    marks = {
        cell.metadata["nbgrader"]["grade_id"]: cell.metadata["nbgrader"]
        for cell in made.cells
        if "nbgrader" in cell.metadata
    }
    ids = [f"13-{number}-{part}" for number in range(1, 6) for part in ("solution", "check")]
    assert list(marks) == [*ids, "13-5-answer", "13-5-answer-2"]
    assert marks["13-2-solution"]["solution"] and not marks["13-2-solution"]["grade"]
    check = marks["13-2-check"]
    assert check["grade"] and check["locked"] and check["points"] == 1 and not check["solution"]
    assert lab_generate.exercise_of(cell_with(made, "plt.plot")) == "13.2"


def test_annotate_leaves_what_was_set_by_hand():
    given = solution()
    cell_with(given, "plt.plot").metadata["course"]["exercise"] = "13.3"
    assert lab_generate.exercise_of(cell_with(lab_author.annotate(given, SLUG), "plt.plot")) == "13.3"


def test_annotate_refuses_a_skeleton_that_no_check_follows():
    given = solution()
    given.cells = [cell for cell in given.cells if 'check("13.5"' not in cell.source]
    with pytest.raises(LabError, match="no check cell says"):
        lab_author.annotate(given, SLUG)


# execute --------------------------------------------------------------------------------


def test_execute_stores_outputs_that_do_not_vary(tmp_path, capsys):
    given = solution()
    cell_with(given, "plt.plot").source = "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()"
    store(tmp_path, given)
    assert run(tmp_path, "execute") == 0, capsys.readouterr().err
    made = load(tmp_path, "solutions")
    checks = [cell for cell in made.cells if lab_author.check_calls(cell.source)]
    assert all("passed" in json.dumps(cell.outputs) for cell in checks) and len(checks) == 5
    assert "image/png" in json.dumps(cell_with(made, "plt.plot").outputs)
    assert "5 of 5 exercises passed" in json.dumps(made.cells[-1].outputs)
    assert all("execution" not in cell.metadata for cell in made.cells) and "widgets" not in made.metadata
    assert run(tmp_path, "generate") == 0 and run(tmp_path, "lint") == 0, capsys.readouterr().err


def test_execute_writes_nothing_where_a_cell_fails(house, capsys):
    path = house / "solutions" / f"{SLUG}.ipynb"
    broken = load(house, "solutions")
    broken.cells[1].source = "raise RuntimeError('on purpose')"
    store(house, broken)
    before = path.read_bytes()
    assert run(house, "execute") == 1
    assert "on purpose" in capsys.readouterr().err and path.read_bytes() == before


# lint -----------------------------------------------------------------------------------


def faults(house, change):
    notebook = load(house, "solutions")
    change(notebook)
    store(house, notebook)
    return "\n".join(lab_lint.lint(SLUG, house))


def replace(text, new):
    def change(notebook):
        cell = cell_with(notebook, text)
        cell.source = cell.source.replace(text, new)

    return change


def test_lint_finds_nothing_in_a_good_notebook(house):
    assert faults(house, lambda notebook: None) == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    # Begin.\n", "", "begins with no reason: 'first = 1'"),
        ("    # End.\n", "", "has 1 steps; it may have 2 to 7"),
        ("# End.", "# " + "why " * 50, "a reason of 199 characters (at most 160)"),
        ("first = 1", "\n    ".join(["first = 1"] * 9), "a step of 9 lines (at most 8)"),
        ("first = 1", "\n    ".join(["first = 1  # one\n    # More."] * 6 + ["first"]), "has 8 steps"),
    ],
)
def test_lint_finds_steps_that_are_not_as_they_are_shown(house, old, new, words):
    def change(notebook):
        cell = cell_with(notebook, "def paste")
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    assert words in faults(house, change)


def insert(at, source):
    def change(notebook):
        where = next(i for i, cell in enumerate(notebook.cells) if at in cell.source)
        notebook.cells.insert(where, new_code_cell(source, id="inserted", execution_count=1))

    return change


@pytest.mark.parametrize(
    "source", ["paste(1)", "%timeit paste(1)\nx = paste", "y = [paste for _ in range(3)]", "map(paste, [])"]
)
def test_lint_finds_a_function_used_before_its_check(house, source):
    assert "paste is used before its check (13.5)" in faults(house, insert('check("13.5"', source))


def test_lint_finds_nothing_wrong_with_use_after_the_check(house):
    assert faults(house, insert("Why?", "paste(1)")) == ""


@pytest.mark.parametrize("source", ["%%html\n<b>paste</b>", "if True:\n    %matplotlib inline", "!ls"])
def test_lint_takes_magics(house, source):
    assert faults(house, insert("Why?", source)) == ""


def test_lint_finds_a_cell_that_is_not_python(house):
    assert "this cell is not Python" in faults(house, insert("Why?", "def f(:\n    pass"))


def huge(notebook):
    data = base64.b64encode(b"x" * (lab_lint.LARGEST_PNG + 1)).decode()
    cell_with(notebook, "plt.plot").outputs[0].data["image/png"] = data


def error(notebook):
    cell_with(notebook, 'check("13.1"').outputs = [
        new_output("error", ename="NameError", evalue="", traceback=[])
    ]


def no_alt(notebook):
    del cell_with(notebook, "plt.plot").metadata["course"]["alt"]


def no_picture(notebook):
    cell_with(notebook, "plt.plot").outputs = []


def not_run(notebook):
    notebook.cells[1].execution_count = None


def no_metadata(notebook):
    del cell_with(notebook, 'check("13.1"').metadata["nbgrader"]


def same_id(notebook):
    cell_with(notebook, 'check("13.1"').metadata["nbgrader"]["grade_id"] = "13-2-check"


def no_check(notebook):
    notebook.cells = [cell for cell in notebook.cells if "quantization_error" not in cell.source]


def order(notebook):
    first, second = (cell_with(notebook, f'check("13.{n}"') for n in (1, 2))
    first.source, second.source = second.source, first.source


def no_minutes(notebook):
    del notebook.metadata["course"]["minutes"]


def no_heading(notebook):
    notebook.cells[0].source = "A lab"


def no_list(notebook):
    del notebook.metadata["course"]["exercises"]


def short_list(notebook):
    notebook.metadata["course"]["exercises"].pop()


def no_title(notebook):
    notebook.metadata["course"]["exercises"][1] = {"id": "13.2"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_minutes, "needs `course: {minutes: N}` in its metadata, got minutes = None"),
        (no_heading, "has no heading `# ...`"),
        (no_list, "course.exercises names none"),
        (short_list, "names 13.1, 13.2, 13.3, 13.4; the exercises are 13.1, 13.2, 13.3, 13.4, 13.5"),
        (no_title, "course.exercises gives 13.2 no title"),
        (replace('    """Do it."""\n', ""), "quantization_error has no docstring"),
        (no_alt, "no course.alt"),
        (error, "stores the error NameError"),
        (huge, "a picture of 200 kB (at most 200)"),
        (no_picture, "no stored PNG"),
        (not_run, "was never run"),
        (no_metadata, "does not follow from its cells"),
        (same_id, "'13-2-check' stands twice"),
        (no_check, "the exercises are 13.1"),
        (order, "13.2, 13.1"),
        (replace('paste = check("13.5", paste)', 'glue = check("13.5", glue)'), "is called paste, not glue"),
        (replace('check("13.5"', 'check("13.7"'), "13.7"),
    ],
)
def test_lint_catches(house, change, words):
    assert words in faults(house, change)


def test_lint_says_every_fault_through_the_command(house, capsys):
    faults(house, no_alt)
    assert run(house, "lint") == 1
    assert (
        f"labs.py: solutions/{SLUG}.ipynb: an expected picture has no course.alt" in capsys.readouterr().err
    )


# nbgrader -------------------------------------------------------------------------------


def test_a_lab_is_what_nbgrader_leaves(house):
    """ClearSolutions and ClearOutput of nbgrader itself, on the cells that a lab keeps."""
    preprocessors = pytest.importorskip("nbgrader.preprocessors")
    resources = {"nbgrader": {"notebook": SLUG}, "metadata": {}}
    theirs = load(house, "solutions")
    for kind in (preprocessors.ClearSolutions, preprocessors.ClearOutput):
        theirs, resources = kind().preprocess(theirs, resources)
    run(house, "generate")
    ours = [cell for cell in load(house).cells if cell.metadata.get("course", {}).get("role") != "picture"]
    kept = [cell for cell in theirs.cells if "solution-only" not in cell.metadata.get("tags", [])]
    assert [cell.source for cell in ours] == [cell.source for cell in kept]
    assert [cell.get("outputs") for cell in ours] == [cell.get("outputs") for cell in kept]
    assert [cell.metadata.get("nbgrader") for cell in ours] == [
        cell.metadata.get("nbgrader") for cell in kept
    ]
