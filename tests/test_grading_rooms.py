"""Grading's rooms one by one, without a kernel: what is found, read, vetted, kept and reported."""

# ruff: noqa: E501 (a hand-in is read best in one piece)
from __future__ import annotations

import ast
import errno
import json
import linecache
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from grading import ASK, HALF, IDS, NAMES, ROOT, document, lab, save

from segcore.__main__ import main
from segcore.grading import grader, judge, similar
from segcore.grading.journal import Journal, sheets_in
from segcore.grading.packing import CannotTravel, pack
from segcore.grading.report import page, sample, tallies
from segcore.grading.results import Result, Sheet, from_json, table, to_csv, to_json, write
from segcore.grading.submissions import CHECK, Submission, code_cells, key_of, read, wanted
from segcore.grading.vetting import GIVEN, vet

# Hand-ins ------------------------------------------------------------------------------------------------


def spoilt(change):
    made = document(HALF, ASK)
    change(made)
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb.update(nbformat_minor=4),
        lambda nb: nb["metadata"].update(kernelspec={"language": "python"}),
        lambda nb: nb["metadata"].update(colab={"provenance": []}, accelerator="GPU", widgets={"x": 1}),
        lambda nb: nb["metadata"].update(course="none", vscode={"interpreter": {}}),
        lambda nb: nb["cells"][0].update(outputs=[{"output_type": "stream", "text": "x"}], metadata=None),
        lambda nb: nb["cells"][0]["metadata"].update(tags=["a", "a"]),
        lambda nb: nb["cells"][0].pop("id"),
        lambda nb: nb["cells"][0].update(source=HALF.splitlines(keepends=True)),
        lambda nb: nb["cells"].insert(0, "no cell"),
    ],
)
def test_cosmetic_faults_lose_nothing(change):
    made = spoilt(change)
    for raw in (
        json.dumps(made).encode(),
        b"\xef\xbb\xbf" + json.dumps(made).encode(),
        json.dumps(made).encode("utf-16"),
    ):
        assert code_cells(read(raw)) == [HALF, ASK]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"{}", b'{"cells": 3}', b"[" * 100_000, b"\xff\xfe\x00", b"\x80"]
)
def test_what_is_no_notebook(raw):
    with pytest.raises(ValueError):
        read(raw)


def test_checks_are_found_in_cells_whatever_else_stands_there():
    cells = [
        '%time f = check("13.2", f)',
        "check( '13.4', lambda: 0)",
        '# f = check("13.5", f)',
        "(\ng = check('13.1@k3f9', g)",
    ]
    found = [match[3] for cell in cells for match in CHECK.finditer(cell)]
    assert found == ["13.2", "13.4", "13.1@k3f9"] and next(CHECK.finditer(cells[0]))[1] == "f"


def test_one_check_stands_for_its_whole_chapter():
    """Else whoever deletes the others, and the metadata, has one point of one."""
    notebook = read(json.dumps(document(ASK)).encode())
    assert [each.id for each in wanted(notebook)] == IDS
    assert [each.id for each in wanted(notebook, ["13.4"])] == ["13.4"]
    assert wanted(read(json.dumps(document("x = 1")).encode())) == []
    assert wanted(read(json.dumps(document("x = 1", slug="99_other")).encode())) == []


def test_the_key_is_the_content(tmp_path):
    one, two = save(tmp_path / "a" / "x.ipynb", "x = 1"), save(tmp_path / "b" / "y.ipynb", "x = 1")
    assert key_of(one) == key_of(two)
    (tmp_path / "b" / "data.txt").write_text("1")
    assert key_of(one) != key_of(two)
    save(two, "x = 2")
    assert key_of(one) != key_of(two)


# Functions that travel -----------------------------------------------------------------------------------


def cell(text, **names):
    """Run a cell as IPython would; its names."""
    name = f"<ipython-input-{abs(hash(text))}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space = {"__name__": "__main__", "torch": torch, **names}
    exec(compile(text, name, "exec"), space)
    vars(sys.modules["__main__"]).update({key: value for key, value in space.items() if key == "dataclass"})
    return space


def travel(text, **names):
    """A function as it comes out at the other end, and what the grader says of it."""
    function = cell(text, **names)["f"]
    package, data = pack(function, {})
    return judge.rebuild(package, data, None), vet(package, data, [text], "13.2")


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x + 1",
        "f = lambda x: x + 1",
        "g, f = (lambda x: x), (lambda x: x + 1)",
        "ONE = 1\ndef f(x, k=ONE):\n    return x + k",
        "def f(x):\n    return g(x) + 1\ndef g(x):\n    return f(x - 1) - x + 1 if x > 0 else 0 * x\n",
        "def make(k):\n    def f(x):\n        return x + k\n    return f\nf = make(1)",
        "def make(k):\n    return lambda x: x + k\nf = make(1)",
        "import math\nfrom math import sqrt as root\ndef f(x):\n    return x + int(root(math.cos(0)))",
        "@torch.no_grad()\ndef f(x):\n    return x + 1",
        "class Adds:\n    def __init__(self, k):\n        self.k = k\n    def run(self, x):\n        return x + self.k\n"
        "def f(x):\n    return Adds(1).run(x)",
        "from dataclasses import dataclass\n@dataclass\nclass Step:\n    size: int = 1\n\n"
        "def f(x):\n    return x + Step().size",
        "from functools import partial\ndef add(k, x):\n    return x + k\nf = partial(add, 1)",
        "def f(x: Nowhere) -> Nowhere:\n    'What it does.'\n    return x + 1",
        "sum = lambda x: x + 1\ndef f(x):\n    return sum(x)",
        "K = torch.ones(2, 3)\ndef f(x):\n    return x + int(K[0, 0])",
    ],
)
def test_functions_of_all_kinds_travel(text):
    function, verdict = travel(text)
    assert function(1) == 2 or text.startswith("def f(x):\n    return g(x)")
    assert verdict.kind == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("f = torch.vmap(lambda x: x)", "wrapped"),
        ("net = torch.nn.Linear(1, 1)\ndef f(x):\n    return net(x)", "net"),
        ("class A:\n    def __call__(self, x):\n        return x\nf = A()", "A"),
        ("items = [print]\ndef f(x):\n    return items", "items"),
        ("exec('def f(x): return x')", "stands in no cell"),
    ],
)
def test_what_cannot_travel_is_said(text, words):
    with pytest.raises(CannotTravel, match=words):
        pack(cell(text)["f"], {})


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("def f(x):\n    import segcore.checks\n    return x", "refused", "segcore.checks"),
        ("def f(x):\n    from segcore.roi_align import roi_align\n    return x", "refused", "roi_align"),
        ("def f(x):\n    from segcore import viz\n    return x", "person", "segcore.viz"),
        ("def f(x):\n    import os\n    return x", "person", "os"),
        ("def f(x):\n    return x.__class__.__subclasses__()", "person", "__subclasses__"),
        ("def f(x):\n    return getattr(x, '__globals__')", "person", "__globals__"),
        ("def f(x):\n    return torch.from_file('x')", "person", "from_file"),
        ("def f(x):\n    return torch.ops.image.fetch('x')", "person", "ops"),
        ("import builtins\ndef f(x):\n    return builtins.eval('x')", "person", "builtins"),
        ("run = eval\ndef f(x):\n    return run('x')", "person", "builtins"),
        ("def f(x):\n    global y\n    y = x", "person", "global"),
        ("from numpy import load\ndef f(x):\n    return load('x')", "person", "load"),
        ("def f(x):\n    return torch.overrides._pop_mode()", "person", "overrides"),
        ("K = list(range(65))\ndef f(x):\n    return K", "person", "65 numbers"),
        ("K = 'ab' * 200\ndef f(x):\n    return K", "person", "400 letters"),
        ("K = 10 ** 1000\ndef f(x):\n    return K", "person", "numbers"),
        (f"def f(x):\n    return {list(range(201))}[x]", "person", "a table of 201 numbers"),
        (f"def f(x):\n    return '{'ab' * 900}'[x]", "person", "a table of"),
        (f"K = '{'ab' * 900}'\ndef f(x):\n    return K", "person", "1800 letters"),
        ("def f(x):\n    import numpy as np\n    return np.loadtxt('x')", "person", "loadtxt"),
        ("import numpy as np\ndef f(x):\n    return np.lib.format.open_memmap('x')", "person", "open_memmap"),
        ("def f(x):\n    import codecs\n    return codecs", "person", "codecs"),
        ("def f(x):\n    import timeit\n    return timeit.timeit('x')", "person", "timeit"),
        ("def f(x):\n    from PIL import Image\n    return Image.open('x')", "person", "open"),
        ("def f(x):\n    return getattr(x, '__glo' + 'bals__')", "person", "computed"),
        (
            "def f(x):\n    g = getattr\n    return g(x, '__glo' + 'bals__')",
            "person",
            "getattr under another name",
        ),
        ("g = getattr\ndef f(x):\n    return g(x, '__glo' + 'bals__')", "person", "getattr as g"),
        (
            "import operator\ndef f(x):\n    return operator.attrgetter('f.__globals__')(x)",
            "person",
            "__globals__",
        ),
        ("def f(x):\n    return '{0.__globals__}'.format(x)", "person", "__globals__"),
        ("def f(x):\n    return getattr(x, 'f_back')", "person", "computed"),
        ("def f(x):\n    return getattr(x, 'mean')() if hasattr(x, 'mean') else x", "", ""),
    ],
)
def test_what_may_not_be_judged(text, kind, words):
    package, data = pack(cell(text)["f"], {})
    verdict = vet(package, data, [text], "13.2")
    assert verdict.kind == kind and words in verdict.why


def test_a_source_must_stand_in_the_notebook():
    text = "def f(x):\n    return x + 1"
    package, data = pack(cell(text)["f"], {})
    assert vet(package, data, ["%%time\ndef f(x):  # mine\n\n    return x+1\n!ls"], "13.2").kind == ""
    assert "stands in no cell" in vet(package, data, ["def f(x):\n    return x + 2"], "13.2").why


@pytest.mark.parametrize(
    "change",
    [
        lambda package: package["names"].update(
            g={"module": "torch", "from": "segcore.roi_align", "name": "f"}
        ),
        lambda package: package["names"].update(g={"function": 0}),
        lambda package: package["names"].update(g={"torch": "torch.hub", "kind": "dtype"}),
        lambda package: package["names"].update(g={"from": "torch", "name": "x)("}),
        lambda package: package["names"].update(__builtins__={"value": {"dict": []}}),
        lambda package: package["names"].update({"g, h": {"value": 1}}),
        lambda package: package["sources"][0].update(free=["a=print(1)"]),
        lambda package: package["sources"][0].update(made="f\n    import os"),
        lambda package: package["sources"][0].update(held={"lambda": {"value": 1}}),
        lambda package: package["sources"][0].update(text=["def f(x): pass"]),
    ],
)
def test_parts_of_a_package_that_packing_never_makes(change):
    """What the judge would put into code, and what would be read in two ways."""
    text = "def f(x):\n    return x + 1"
    package, data = pack(cell(text)["f"], {})
    assert vet(package, data, [text], "13.2").kind == ""
    change(package)
    verdict = vet(package, data, [text], "13.2")
    assert verdict.kind == "person" and "no package" in verdict.why


def test_no_part_of_a_package_is_left_unseen():
    text = "def f(x):\n    return x + 1"
    package, data = pack(cell(text)["f"], {})
    part = {"from": "segcore.roi_align", "name": "roi_align"}
    for _ in range(10_000):
        part = {"partial": part, "args": [], "keywords": {}}
    package["names"]["g"] = part
    assert vet(package, data, [text], "13.2").kind == "person"


@pytest.mark.parametrize(
    "package",
    [None, [], {}, {"target": 1, "sources": [], "names": {}}, {"target": {}, "sources": [1], "names": {}}],
)
def test_a_forged_package_is_left_to_a_person(package):
    assert vet(package, [], ["x = 1"], "13.2").kind == "person"


def test_references_of_earlier_exercises_may_be_called_others_may_not():
    def reference(x):
        return x

    text = "def f(x):\n    return earlier(x)"
    package, data = pack(cell(text, earlier=reference)["f"], {id(reference): "13.2"})
    assert package["names"]["earlier"] == {"reference": "13.2"}
    assert vet(package, data, [text], "13.3").kind == ""
    for own in ("13.2", "13.2@k3f9", "13.1", "14.3"):  # later ones tell too much, other labs hand none out
        assert vet(package, data, [text], own).kind == "refused"


def test_what_the_labs_hand_out_of_the_library_is_known():
    """What the solved labs' exercise cells import from the course is what an answer may use."""
    found = {}
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        given = {}
        for one in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if one["cell_type"] != "code":
                continue
            tree = ast.parse("".join(one["source"]))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("segcore."):
                    given |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
            if "BEGIN SOLUTION" in "".join(one["source"]):
                names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
                own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
                used = tuple(sorted(given[name] for name in (names - own) & given.keys()))
                found |= {one["metadata"]["course"]["exercise"]: used} if used else {}
    assert found == GIVEN


def test_a_judge_can_reach_nothing_of_the_course():
    """Even a function that got past all looks finds no course to import or to read, and starts no process."""
    code = f"""
import sys
from segcore.grading import judge
judge.guard([{str(ROOT / "segcore")!r}])
def tried(what):
    try:
        what()
    except (ImportError, PermissionError) as error:
        return type(error).__name__
    return "done"
import os, subprocess, socket
def imports():
    import segcore.checks
print(tried(imports), tried(lambda: open({str(ROOT / "segcore" / "checks" / "roi_align.py")!r})),
      tried(os.fork), tried(lambda: subprocess.run(["true"])), tried(lambda: os.kill(1, 0)),
      any(name.startswith("segcore") for name in sys.modules), tried(lambda: open(os.devnull).close()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = ["ImportError", *["PermissionError"] * 4, "False", "done"]
    assert done.stdout.split() == expected, done.stderr


# Results -------------------------------------------------------------------------------------------------


def row(state, mistake="", exercise="13.2", **more):
    return Result(exercise, "Bilinear sampling", state, int(state == "passed"), mistake=mistake, **more)


SHEETS = [
    Sheet("a/lab.ipynb", [row("passed"), row("failed", "x and y swapped", "13.3")], "", 2.0, "Ann", "k1"),
    Sheet(
        "b/lab.ipynb",
        [row("failed", "half pixel forgotten", rung=3, code=HALF)],
        "the kernel died",
        1.0,
        "Bo",
        "k2",
    ),
    Sheet(
        "c/lab.ipynb",
        [row("for a person", reason="it uses eval()"), row("error", reason="E <b>")],
        "",
        1.0,
        "Cy",
        "k3",
    ),
    Sheet("d.ipynb", problem="not a notebook", student="=cmd()", key="k4"),
]


def test_json_comes_back_and_older_versions_are_read():
    assert to_json(from_json(to_json(SHEETS))) == to_json(SHEETS)
    old = {
        "version": 1,
        "notebooks": [
            {
                "path": "x/lab.ipynb",
                "exercises": [{"exercise": "13.1", "title": "t", "state": "passed", "odd": 1}],
            }
        ],
    }
    (sheet,) = from_json(json.dumps(old))
    assert sheet.student == "x" and sheet.results[0].state == "passed"
    for text in ("[]", "{}", '{"version": 9, "notebooks": []}', "{", '{"version": 2, "notebooks": [3]}'):
        with pytest.raises(ValueError):
            from_json(text)


def test_csv_says_the_problem_and_holds_no_formula():
    lines = to_csv(SHEETS).splitlines()
    assert lines[0].startswith("path,student,exercise,") and lines[0].endswith(",problem")
    assert lines[3].endswith(",the kernel died") and "'=cmd()" in lines[-1] and "not graded" in lines[-1]
    assert "hint 3" in table(SHEETS[1])


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "results.json"
    write(target, "old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(target, "new")
    assert target.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_a_journal_goes_on_and_loses_no_line(tmp_path):
    journal = Journal(tmp_path / "kept")
    for sheet in SHEETS[:2]:
        journal.add(sheet)
    journal.close()
    path = tmp_path / "kept" / "journal.jsonl"
    with path.open("ab") as file:
        file.write(b'{"sheet": {"path": "cut o')  # killed while writing
    again = Journal(tmp_path / "kept")
    assert again.known == {sheet.key: sheet for sheet in SHEETS[:2]} and again.seed == journal.seed
    assert "cut off" in again.notes[0]
    again.add(SHEETS[2])
    again.close()
    assert [sheet.key for sheet in sheets_in(tmp_path / "kept")] == ["k1", "k2", "k3"]
    assert sheets_in(path) == sheets_in(tmp_path / "kept")


@pytest.mark.parametrize(
    "old", ['{"version": 1, "notebooks": []}\n', "no json\n", '{"segcore": "grading", "version": 1}\n']
)
def test_a_journal_of_another_version_is_kept_aside(tmp_path, old):
    (tmp_path / "journal.jsonl").write_text(old)
    journal = Journal(tmp_path)
    journal.close()
    assert (tmp_path / "journal.old-1.jsonl").read_text() == old and "journal.old-1.jsonl" in journal.notes[0]
    assert journal.known == {}


def test_a_full_disk_ends_the_journal_without_half_a_line(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.add(SHEETS[0])
    before, usual = (tmp_path / "journal.jsonl").read_bytes(), os.write

    def full(file, raw):
        if len(raw) > 20:
            return usual(file, raw[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        journal.add(SHEETS[1])
    monkeypatch.undo()
    journal.close()
    assert (tmp_path / "journal.jsonl").read_bytes() == before


class Staff:
    """In place of the processes: grades in the order given, and stops where told."""

    def __init__(self, stop=99):
        self.stop, self.graded = stop, []

    def grade(self, submissions, seeds):
        for number, each in enumerate(submissions):
            if len(self.graded) == self.stop:
                raise KeyboardInterrupt
            self.graded.append(each.path)
            yield number, Sheet(each.path, [row("passed")], student=each.student, key=key_of(each.file))


def test_a_second_call_grades_only_what_is_new(tmp_path):
    files = [save(tmp_path / f"s{n}" / "lab.ipynb", f"x = {n // 2}") for n in range(6)]  # pairs are alike
    hand_ins = [Submission(path.parent.name, path.parent.name, path) for path in files]
    journal, staff = Journal(tmp_path / "kept"), Staff(stop=2)
    with pytest.raises(KeyboardInterrupt) as stop:
        grader.grade(hand_ins, staff, journal)
    journal.close()
    assert [sheet.path for sheet in stop.value.sheets] == ["s0", "s1", "s2", "s3"] and staff.graded == [
        "s0",
        "s2",
    ]
    journal, staff = Journal(tmp_path / "kept"), Staff()
    sheets = grader.grade(hand_ins, staff, journal)
    assert staff.graded == ["s4"] and [sheet.path for sheet in sheets] == [f"s{n}" for n in range(6)]
    assert [sheet.student for sheet in sheets] == [f"s{n}" for n in range(6)]
    assert grader.grade(hand_ins, staff, journal, again=True) and staff.graded == ["s4", "s0", "s2", "s4"]
    journal.close()


def test_a_disk_that_fills_up_ends_the_command_with_words(tmp_path, monkeypatch, capsys):
    save(tmp_path / "class" / "lab.ipynb", "x = 1")
    monkeypatch.setattr(grader.Grader, "grade", lambda self, each, seeds: Staff().grade(each, seeds))

    def full(self, sheet):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "add", full)
    assert main(["grade", str(tmp_path / "class"), "--results", str(tmp_path / "kept")]) == 2
    assert (
        "stopped after 0 of 1 notebooks (No space left on device); the same command goes on"
        in capsys.readouterr().err
    )


# The report ----------------------------------------------------------------------------------------------


def test_the_report_counts_and_names_nobody():
    text = page(SHEETS)
    assert "4 hand-ins, 3 of them graded: 1 of 5 exercises passed" in text
    for name in ("Ann", "Bo<", "Cy", "lab.ipynb", "=cmd"):
        assert name not in text, name
    assert "half pixel forgotten: 1" in text and "points.floor().long()" in text
    assert "E &lt;b&gt;" in text and "<b>:" not in text
    assert "<script" not in text and "http" not in text
    known = tallies(SHEETS)
    assert [each.id for each in known] == ["13.2", "13.3"] and known[0].asked == 1
    assert known[0].states == {"passed": 1, "failed": 1, "error": 1, "for a person": 1}


def test_names_stand_in_the_report_where_they_are_asked_for():
    text = page(SHEETS, names=True)
    assert "Ann" in text and "Cy, 13.2: it uses eval()" in text and "b/lab.ipynb" not in text


def test_variants_count_with_what_they_vary():
    (tally,) = tallies([Sheet("a", [row("passed")]), Sheet("b", [row("failed", exercise="13.2@k3f9")])])
    assert tally.id == "13.2" and tally.tried == 2


def test_a_sample_says_no_name():
    code = "def f(x):\n    '''Ada Lovelace'''\n    print('by Ada L.')\n    return x  # Ada"
    assert "Ada" not in sample(code) and "return x" in sample(code) and sample("def (") == ""


def test_an_errors_own_words_name_nobody():
    """A class that fails alike is told how; what a single student wrote may be a name."""
    own = ["Your function raised ValueError: I am Ada", "NameError: name 'ada' is not defined in cell [3]"]
    own += ["Your function raised AdaError: no", "Expected one number; came: 'Ada L'."]
    alike = "Your function raised IndexError: index 3 is out of bounds"
    sheets = [
        Sheet(f"{n}", [row("error", reason=text)], student=f"s{n}")
        for n, text in enumerate([*own, *[alike] * 3])
    ]
    text = page(sheets)
    assert "ada" not in text.lower().replace("lambda", "") and "index 3 is out of bounds: 3" in text
    assert "raised ValueError: 1" in text and "NameError: 1" in text and "an error of its own: 1" in text


def test_the_report_command(tmp_path, capsys):
    write(tmp_path / "results.json", to_json(SHEETS))
    out = tmp_path / "report.html"
    assert main(["report", str(tmp_path), "-o", str(out)]) == 0 and out.read_text().startswith(
        "<!DOCTYPE html>"
    )
    (tmp_path / "other.json").write_text('{"version": 7, "notebooks": []}')
    for path, words in ((tmp_path / "other.json", "version 7"), (tmp_path / "none", "cannot be read")):
        assert main(["report", str(path), "-o", str(out)]) == 2
        assert words in capsys.readouterr().err


# Alike ---------------------------------------------------------------------------------------------------

OWN = """
def bilinear_sample(feature, points):
    answer = []
    for k in range(points.shape[0]):
        px, py = points[k].tolist()
        corners = [(int(px - 0.5) + i, int(py - 0.5) + j) for j in (0, 1) for i in (0, 1)]
        parts = [feature[:, b, a] * max(0, 1 - abs(px - 0.5 - a)) * max(0, 1 - abs(py - 0.5 - b)) for a, b in corners]
        answer.append(parts[0] + parts[1] + parts[2] + parts[3])
    total = torch.stack(answer, dim=1)
    if total.numel() == 0:
        total = torch.zeros(feature.shape[0], 0)
    return total
"""
OTHER = """
def bilinear_sample(feature, points):
    C, H, W = feature.shape
    grid = points / torch.tensor([W, H]) * 2 - 1
    found = F.grid_sample(feature[None], grid[None, None], mode="bilinear", align_corners=False)
    outside = (points < -0.5).any(1) | (points[:, 0] > W + 0.5) | (points[:, 1] > H + 0.5)
    found = found[0, :, 0]
    found[:, outside] = 0
    return found.reshape(C, -1)
"""


def test_a_copy_with_other_names_is_worth_a_look(tmp_path):
    renamed = (
        OWN.replace("answer", "out").replace("corners", "near").replace("parts", "p").replace("total", "t")
    )
    names = {"ann": OWN, "bob": f"# all mine\n{renamed}", "cat": OTHER, "dan": HALF}
    paths = [lab(tmp_path / name / "lab.ipynb", {"13.2": code}) for name, code in names.items()]
    hand_ins = [Submission(path.parent.name, path.parent.name, path) for path in paths]
    (pair,) = similar.pairs(hand_ins)
    assert pair["students"] == ["ann", "bob"] and pair["part"] > 0.9
    assert "worth a look: ann and bob" in similar.sentence(pair)


def test_the_labs_and_the_solutions_code_makes_nobody_alike(tmp_path):
    from grading import RIGHT

    paths = [lab(tmp_path / name / "lab.ipynb", RIGHT) for name in ("ann", "bob")]
    assert similar.pairs([Submission(path.parent.name, "", path) for path in paths]) == []
    assert similar.pairs([Submission("x", "x", tmp_path / "none.ipynb")]) == []
    assert partial(similar.tokens, "x = (")() == ["_", "=", "("] and NAMES
