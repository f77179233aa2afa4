"""Variants of exercises: each passes its own check, and the lab's answer or another variant's does not."""

from __future__ import annotations

import ast
import importlib
import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from test_mutants import survivors

from segcore import checks
from segcore.__main__ import main
from segcore.checks import engine, ladder
from segcore.checks.compare import agrees
from segcore.checks.engine import judge
from segcore.checks.hints import error_text
from segcore.checks.sandbox import guarded
from segcore.checks.show import block
from segcore.checks.variants import choosing, handing, token, variants, varied, wording
from segcore.checks.variants.making import Variant, head_and_body

state_of_progress = importlib.import_module("segcore.checks.progress")
ROOT = Path(checks.__file__).parents[2]
OF = [each.of for number in checks.CHAPTERS for each in varied(number)]
each_exercise = pytest.mark.parametrize("of", OF)


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """The cases of a seed are made once, and each function runs on each of them once."""
    make_cases, attempt = cache(checks.Exercise.make_cases), engine._attempt
    results = {}

    def attempt_once(function, case):
        key = function, id(case)
        if key not in results:
            results[key] = attempt(function, case)
        return results[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks.Exercise, "make_cases", lambda exercise, seed=0: make_cases(exercise, seed))
        patch.setattr(engine, "_attempt", attempt_once)
        yield


def singles(of: str) -> list[Variant]:
    return [each for each in variants(of) if len(each.twists) == 1]


def same(variant: Variant, one, two) -> bool:
    """Whether two functions do alike in every case of a variant."""
    with guarded():
        for case in variant.make_cases():
            (a, fault), (b, other) = (engine._attempt(function, case) for function in (one, two))
            if fault is not None or other is not None:
                if fault is None or other is None or error_text(fault) != error_text(other):
                    return False
            elif not agrees(a, b, variant.tolerance):
                return False
    return True


# ---- What there is


def test_every_chapter_has_three_variants_and_more():
    for number in checks.CHAPTERS:
        assert sum(len(variants(each.of)) for each in varied(number)) >= 5, number
        assert all(len(variants(each.of)) >= 3 for each in varied(number)), number


@each_exercise
def test_names_words_and_hints_are_in_order(of):
    known = variants(of)
    assert len({each.label for each in known}) == len(known)
    for each in known:
        assert re.fullmatch(r"[a-z0-9-]+", each.label)
        assert checks.exercise(each.id) is each and each.name == each.base.name
        names, hints = ([getattr(m, field) for m in each.mistakes] for field in ("name", "hint"))
        assert len(set(names)) == len(names) and len(set(hints)) == len(hints), each.id
        assert all(40 <= len(hint) <= 260 and hint[-1] in ".?" for hint in hints), each.id
        assert 2 <= len(each.plan) <= 5 and all(20 <= len(step) <= 330 for step in each.plan), each.id


@each_exercise
def test_the_task_says_all_and_works_an_example_of_its_own(of):
    for each in variants(of):
        text, page = wording.in_a_terminal(each), wording.in_a_notebook(each)
        number, args, result = each.example()
        names = ladder.names(each)
        assert not re.search(r"  |[^.]\.\.(?!\.)", wording.sentences(each)), each.id
        for words in (text, page, wording.docstring(each)):
            assert all(name in words for name in names) and "{" not in words.replace("{}", ""), each.id
        for line in block(result):
            assert line in text and line in page
        assert f"{each.name}({', '.join(names[: len(args)])}) = {block(result)[0]}" in text
        for twist in each.twists:
            assert twist.about in " ".join(text.split()) and twist.about in page
        assert max(map(len, text.split("\n"))) <= 110
        lab = each.base.make_cases()[number]
        given = all(agrees(*pair, 0.0) for pair in zip(args, lab.args, strict=False))
        expected = each.base.reference(*lab.args, **lab.kwargs)
        assert not given or not agrees(expected, result, 0.0), f"{each.id}: the example is the lab's"


# ---- Right and wrong answers


@each_exercise
def test_each_reference_passes_and_goes_on_in_the_lab(of):
    base = checks.exercise(of)
    for each in singles(of):
        assert judge(each, each.reference).state == "passed"
        report = judge(base, each.in_the_lab(each.reference))
        assert report.state == "passed", report.card


@each_exercise
def test_no_answer_passes_for_another(of):
    base = checks.exercise(of)
    for each in variants(of):
        assert not same(each, each.reference, base.reference), each.id
        for other in variants(of):
            assert other is each or not same(each, each.reference, other.reference), (each.id, other.id)


@each_exercise
def test_the_labs_own_answer_is_met_with_the_twists_hint(of):
    base = checks.exercise(of)
    for each in singles(of):
        report = judge(each, base.reference)
        assert report.state in ("failed", "error")
        assert report.mistake == f"as in the lab: {each.twists[0].about}", report.card
        assert [part[0] for kind, part in report.card.parts if kind == "hint"] == [each.twists[0].hint]


@each_exercise
def test_known_mistakes_are_named_and_other_variants_answers_too(of):
    """Where two of them end in the same error, either name will do."""
    each = singles(of)[-1]
    known = {mistake.name: mistake for mistake in each.mistakes}
    other = next(name for name in known if name.startswith("another variant"))
    for name in (*each.varied.keeps, other):
        report = judge(each, known[name].function)
        assert report.state != "passed" and report.mistake in known, (each.id, name)
        assert same(each, known[name].function, known[report.mistake].function), (each.id, name)


# What does the same: arguments that may change places, and axes that a single box does not have.
EQUIVALENT = {
    "8.1@turned-filter": r".*exchanged \[weight\.flip\(0, 1\)\]",
    "2.1@disagreement": r"labels and truth exchanged|.*exchanged \[.*labels.*truth.*\]",
    "14.1@yxyx-box": r".*exchanged \[\(\.\.\., .*",
}


@pytest.mark.parametrize("of", [varied(number)[0].of for number in checks.CHAPTERS])
def test_no_mutant_of_the_lines_around_passes(of):
    each = singles(of)[0]
    tried, passed = survivors(each)
    known = EQUIVALENT.get(each.id, "")
    assert tried >= 4
    assert [name for name in passed if not re.fullmatch(known, name)] == []


# ---- The solution that a hint shows, and that a lecturer's copy has


@cache
def cells(of: str) -> tuple[str, dict]:
    """The solved cell of an exercise, and what the notebook's imports bring."""
    number = int(of.partition(".")[0])
    path = ROOT / f"solutions/{number:02d}_{checks.CHAPTERS[number]}.ipynb"
    every = [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    sources = ["".join(cell["source"]) for cell in every]
    space: dict = {each.name: each.reference for each in checks.exercises(number)}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), str(path.name), "exec"), space)
    name = checks.exercise(of).name
    return next(each for each in sources if f"def {name}(" in each and "BEGIN SOLUTION" in each), space


@each_exercise
def test_the_solutions_that_are_shown_and_written_are_right(of):
    source, space = cells(of)
    for each in singles(of):
        written = handing.solved(each, source)
        found = dict(space)
        exec(compile(written, "<solved>", "exec"), found)
        assert same(each, each.reference, found[each.name]), each.id
        assert written.count("BEGIN SOLUTION") == written.count("END SOLUTION") >= 1
        lines = [line for _, chunk in ladder.shown(each) for line in chunk]
        if not any(line.startswith(f"def {each.name}(") for line in lines):
            lines = [f"def {each.name}({head_and_body(each)[0]}):", *(f"    {line}" for line in lines)]
        shown = dict(space)
        exec(compile("\n".join(lines), "<shown>", "exec"), shown)
        assert same(each, each.reference, shown[each.name]), each.id


# ---- Finding one


def test_a_token_means_one_variant_and_belongs_to_one_student():
    assert token("13.2", "s1") == token("13.2", " S1 ") != token("13.2", "s2")
    assert token("13.2", "s1") != token("13.2", "s1", "secret") and token("13.2", "s1") != token("13.1", "s1")
    drawn: dict[str, set[str]] = {}
    for number in range(300):
        own = token("13.2", f"student {number}")
        found = checks.exercise(f"13.2@{own}")
        assert found.id == f"13.2@{own}" and found.base.id == "13.2"
        drawn.setdefault(found.label, set()).add(own)
    assert set(drawn) == {each.label for each in variants("13.2")}
    assert all(len(tokens) > 5 for tokens in drawn.values()), "who has a variant is not said by its token"


def test_what_is_no_variant_is_said():
    own = token("13.2", "s1")
    wrong = own[:-1] + ("0" if own[-1] != "0" else "1")
    for name, words in {
        f"13.2@{wrong}": "do not fit",
        "13.2@yx-point": "the nearest are .*13.2@yx-points",
        "13.4@yx-points": "has no variants",
        "13.9@yx-points": "there is no exercise",
        "13.2@": "no variant ''",
    }.items():
        with pytest.raises(ValueError, match=words):
            checks.exercise(name)
    with pytest.raises(ValueError, match="needs a name"):
        token("13.2", "  ")
    with pytest.raises(ValueError, match="no chapter"):
        varied(19)
    size = choosing.DRAWN + choosing.CHECKED
    for of in OF:
        for each in variants(of):
            drawn = each.label[: choosing.DRAWN]
            good = len(each.label) == size and each.label == drawn + choosing._signs(f"{of}|{drawn}", 2)
            assert not good, "a name that could be a token"


# ---- A check in a lab


@pytest.fixture
def session(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCORE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("SEGCORE_CHECKS", raising=False)
    monkeypatch.delenv("SEGCORE_STATIC", raising=False)
    monkeypatch.setattr(engine, "_readers", {})
    monkeypatch.setattr(state_of_progress, "_session", {})
    reports = []

    def judged(*args):
        reports.append(judge(*args))
        return reports[-1]

    monkeypatch.setattr(engine, "judge", judged)
    return reports


def of_label(of: str, label: str) -> str:
    """A token that means a variant."""
    tokens = (token(of, f"s{number}") for number in range(1000))
    return next(f"{of}@{each}" for each in tokens if checks.exercise(f"{of}@{each}").label == label)


def test_a_check_hands_on_the_labs_form_and_knows_it_again(session, capsys):
    own, base = of_label("13.2", "yx-points"), checks.exercise("13.2")
    feature, points = torch.arange(12.0).reshape(1, 3, 4), torch.tensor([[2.5, 1.5], [1.8, 1.9]])

    def mine(feature, points):
        return base.reference(feature, points.flip(1))

    handed = checks.check(own, mine)
    assert handed is not mine
    torch.testing.assert_close(handed(feature, points=points), base.reference(feature, points))
    again = checks.check(own, handed)  # the check cell ran twice
    torch.testing.assert_close(again(feature, points), base.reference(feature, points))
    assert state_of_progress.read() == {"13.2": "passed"}
    lab = checks.check(own, base.reference)
    torch.testing.assert_close(lab(feature, points), base.reference(feature, points))
    said = capsys.readouterr().out
    assert said.count("passed") >= 2 and "Which number of a point is which?" in said
    assert [(each.exercise.id, each.state) for each in session] == [
        (own, "passed"), (own, "passed"), (own, "failed")
    ]  # fmt: skip
    assert session[2].mistake == "as in the lab: points as y, x"


def test_a_gradient_still_reaches_the_cells_below(session):
    handed = checks.check("6.1@gaps", checks.exercise("6.1@gaps").reference)
    kernel = torch.ones(2, 2, requires_grad=True)
    handed(kernel, 2).sum().backward()
    torch.testing.assert_close(kernel.grad, torch.ones(2, 2))


# ---- A lab of one's own


def run_through(notebook, monkeypatch) -> dict:
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.setenv("SEGCORE_STEPS", "0.02")
    space: dict = {"__name__": "lab"}
    with torch.random.fork_rng():
        for cell in notebook.cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, "<cell>", "exec"), space)
    return space


@pytest.mark.parametrize("answers", [False, True])
def test_a_lab_runs_to_its_end_unsolved_and_solved(answers, session, monkeypatch, capsys):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    notebook = handing.lab_of(2, "s1234567", answers=answers)
    run_through(notebook, monkeypatch)
    ids = [each["id"] for each in notebook.metadata["course"]["exercises"]]
    assert [each.exercise.id for each in session] == ids and ids[0].startswith("2.1@") and ids[2] == "2.3"
    assert {each.state for each in session} == {"passed" if answers else "not attempted"}


def test_a_lab_is_the_same_for_one_student_and_shows_no_answer():
    one, again = (handing.text_of(handing.lab_of(13, "s1")) for _ in range(2))
    assert one == again and handing.own_ids(13, "s1") == handing.own_ids(13, "S1 ") != handing.own_ids(
        13, "s2"
    )
    assert "BEGIN SOLUTION" not in one and "in_the_lab" not in one and "NotImplementedError" in one
    for of, own in handing.own_ids(13, "s1").items():
        label = checks.exercise(own).label
        assert f'check(\\"{own}\\"' in one and f'check(\\"{of}\\"' not in one
        assert label not in one, "the lab does not name its variants"
    solved = handing.text_of(handing.lab_of(13, "s1", answers=True))
    assert "in_the_lab" in solved and "BEGIN SOLUTION" in solved


def test_the_command_writes_labs_and_never_over_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["variant", "13", "--student", "Zoë Müller"]) == 0
    name = "13_roi_align.Zoë_Müller.ipynb"
    assert capsys.readouterr().out.strip() == name and (tmp_path / name).is_file()
    assert main(["variant", "13", "--student", "Zoë Müller"]) == 0, "the same again is no harm"
    (tmp_path / name).write_text("work")
    assert main(["variant", "13", "--student", "Zoë Müller"]) == 2
    assert "is there already" in capsys.readouterr().err and (tmp_path / name).read_text() == "work"
    (tmp_path / "class.txt").write_text("\ufeffs1\n\n s2 \n", encoding="utf-8")
    assert main(["variant", "5", "--students", "class.txt", "-o", "out", "--key", "word"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "05_receptive_fields.s1.ipynb", "05_receptive_fields.s2.ipynb"
    ]  # fmt: skip
    for words, said in (
        (["19", "--student", "s1"], "no chapter"),
        (["13", "--student", " "], "needs a name"),
        (["13", "--students", "nowhere.txt"], "nowhere.txt"),
    ):
        assert main(["variant", *words]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "class.txt").write_text("a b\na_b\n")
    assert main(["variant", "13", "--students", "class.txt"]) == 2
    assert "change one name" in capsys.readouterr().err


def test_without_a_copy_of_the_course_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(handing, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="copy of the course"):
        handing.lab_of(13, "s1")
