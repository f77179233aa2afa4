"""The ladder of hints: every rung of every exercise, in text and in HTML, and what its words may ask for."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from cards import climbed, rungs_of
from PIL import Image
from test_exercises import EXERCISES, STANDING, each_exercise, remembered  # noqa: F401

from segcore import checks
from segcore.checks import Case, CheckFailed, Exercise, Mistake, check, engine, ladder
from segcore.checks.compare import difference, differing
from segcore.checks.naming import Naming, listed, plural
from segcore.checks.patterns import pattern
from segcore.checks.show import block

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import lab_shown  # noqa: E402
import reading  # noqa: E402

PAGES = [f"{number:02d}_{checks.CHAPTERS[number]}" for number in STANDING]


# Every exercise ------------------------------------------------------------------------------------------


@each_exercise
def test_a_ladder_is_the_same_twice(exercise):
    one, other = (climbed(exercise, exercise.mistakes[0].function)[0].card for _ in range(2))
    assert (repr(one), one._repr_html_()) == (repr(other), other._repr_html_())


@each_exercise
def test_a_pass_offers_what_was_avoided_and_the_solution(exercise):
    report, text, tree = climbed(exercise, exercise.reference, 0)
    titles = [words.split(":")[0] for _, words in tree.summaries]
    assert titles == ["Mistakes that you avoided", "The course's own solution"]
    assert not any(tree.opened) and text.count("\n") == 1, "the card stays small"
    report.card.opened = 4
    told = [mistake.hint in repr(report.card) for mistake in exercise.mistakes]
    assert told == [True] * min(len(told), 10) + [False] * (len(told) - 10)
    assert (f"And {len(told) - 10} more." in repr(report.card)) == (len(told) > 10)


@pytest.mark.parametrize("slug", PAGES)
def test_what_is_shown_is_what_the_solved_lab_says(slug):
    stored = json.loads(lab_shown.path_of(slug).read_text(encoding="utf-8"))
    assert lab_shown.stale(slug) == []
    assert list(stored) == [each.id for each in checks.exercises(int(slug[:2]))]
    source = json.loads((ROOT / f"solutions/{slug}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]).split("\n") for cell in source["cells"] if cell["cell_type"] == "code"]
    lines = {line.strip() for cell in cells for line in cell}
    for chunks in stored.values():
        assert chunks and all(line.strip() in lines for _, code in chunks for line in code)


@each_exercise
def test_the_plan_keeps_to_its_measure(exercise):
    assert 2 <= len(exercise.plan) <= 5
    assert all(20 <= len(step) <= 240 for step in exercise.plan), [len(step) for step in exercise.plan]
    assert len(" ".join(exercise.plan).split()) <= 160
    assert all(step[-1] in ".?" or "…" in step or "=" in step for step in exercise.plan)


@pytest.mark.parametrize(("name", "texts"), reading.texts().items(), ids=reading.texts())
def test_plans_hints_and_reasons_read_easily(name, texts):
    assert reading.grade(texts) <= reading.HARDEST


def test_the_school_year_is_the_formulas():
    assert reading.words("The `long_name` of x.shape is 3×3, and $a_b$ is a tent: f(x).") == [
        *("The", "of", "is", "and", "is", "a", "tent")
    ]
    counted = {"pixel": 2, "edge": 1, "table": 2, "divided": 3, "stride": 1, "axes": 2, "convolution": 4}
    assert {word: reading.syllables(word) for word in counted} == counted
    # 10 words, 2 sentences, 14 syllables
    text = "The cat sat on a table. Nobody ever saw it."
    assert reading.grade([text]) == pytest.approx(0.39 * 10 / 2 + 11.8 * 14 / 10 - 15.59)
    hard = "Intersectional considerations necessitate multidimensional interpolation methodologies."
    assert reading.grade([hard]) > 20 > reading.HARDEST


# Which case, and what is marked --------------------------------------------------------------------------


def double(x):
    return x * 2


def exercise_of(*cases, **words):
    mistakes = words.pop("mistakes", (Mistake("added", lambda x: x + 2, "You add."),))
    return Exercise("13.9", "Doubling", double, lambda generator: list(cases), mistakes, **words)


def row(length, note=""):
    return Case((torch.arange(1.0, length + 1),), note)


@pytest.mark.parametrize(
    ("cases", "told"),
    [
        ((row(9, "nine"), row(4, "four"), row(6, "six")), "four"),
        ((row(9, "nine"), row(8)), "nine"),
        ((row(9, "nine"), row(3)), "a random one"),
        ((row(0, "none"), row(9, "nine")), "nine"),
    ],
    ids=["fewest cells", "noted before random", "much smaller", "something to see"],
)
def test_the_smallest_failing_case_is_told(cases, told):
    text = climbed(exercise_of(*cases), lambda x: x[None] * 3)[1]
    assert re.search(r"Case \d of \d: (.+)\.\n", text)[1] == told


def test_a_single_number_is_said_once_and_without_a_mark():
    total = Exercise("13.9", "Sum", lambda x: x.sum(), lambda generator: [row(2, "two, or three?")], ())
    _, text, tree = climbed(total, lambda x: x.sum() + 1)
    assert "Case 1 of 1: two, or three?\n" in text and tree.marks == []
    assert "    expected    yours\n    3           4" in text and "Expected 3" not in text


def test_a_case_that_passes_is_never_told():
    text = climbed(exercise_of(row(1, "one"), row(5, "five")), lambda x: x * 2 if len(x) == 1 else x)[1]
    assert "Case 2 of 2: five." in text and "Tried 2 examples: 1 of 2 passed." in text


def test_cells_that_differ_are_marked_and_only_they():
    case = Case((torch.tensor([[1.0, 2.0], [3.0, 4.0]]),), "two by two")
    _, text, tree = climbed(exercise_of(case), lambda x: x + 2)
    assert "[[2* 4 ]     [[3* 4 ]" in text and " [6* 8*]]     [5* 6*]]" in text
    assert tree.marks == ["2*", "6*", "8*", "3*", "5*", "6*"]
    assert text.count("3 of 4 values differ, most at [1, 1]: expected 8, got 6.") == 1


@pytest.mark.parametrize(
    ("expected", "got", "lines"),
    [
        ((3, 4, 2), (3, 5, 2), ["(3, 4*, 2)", "(3, 5*, 2)"]),
        ([1, 2], [1, 2, 7], ["[1, 2]", "[1, 2, 7*]"]),
        ([(1, 2), (3, 4)], [(1, 2), (4, 4)], ["[(1, 2), (3*, 4)]", "[(1, 2), (4*, 4)]"]),
        ((2.0,), (2.5,), ["(2*,)", "(2.5*,)"]),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 0.0]), ["[  1  nan*]", "[1  0*]"]),
        (torch.zeros(2), torch.zeros(1, 2), ["[0 0]", "[[0 0]]"]),
        (torch.zeros(2), [0.0, 1.0], ["[0 0]", "[0, 1]"]),
    ],
)
def test_marks_of_every_kind_of_result(expected, got, lines):
    marks = differing(expected, got, 1e-5)
    assert [line for value in (expected, got) for line in block(value, marks)] == lines


def test_where_an_exercise_compares_in_its_own_way_nothing_is_marked():
    own = exercise_of(row(3, "three"), compare=lambda expected, got: "the wrong set")
    assert climbed(own, lambda x: x * 3)[2].marks == []


def test_a_large_map_is_drawn():
    def wrong(x):
        y = x * 2
        y[1, 2, 10:20, 5:30] += 1
        y[0, 0, 3, 4] = float("nan")
        return y

    large = exercise_of(Case((torch.rand(2, 3, 40, 60, generator=torch.Generator().manual_seed(1)),)))
    report, text, tree = climbed(large, wrong)
    assert "They differ in rows 10 to 19 and columns 5 to 29 of plane [1, 2]." in text
    assert "251 of 14400 values differ" in text
    drawn = [line.strip() for line in text.split("\n") if re.fullmatch(r"    [.*]+", line)]
    assert len(drawn) == 12 and {len(line) for line in drawn} == {36}
    assert [index for index, line in enumerate(drawn) if "*" in line] == [3, 4, 5]  # of 12 that stand for 40
    assert len(tree.sources) == 3 and len(report.card._repr_html_()) < 60_000
    prefix = "data:image/png;base64,"
    pictures = [Image.open(io.BytesIO(base64.b64decode(each.removeprefix(prefix)))) for each in tree.sources]
    assert {picture.size for picture in pictures} == {(48, 40)}
    spots = torch.tensor(list(pictures[2].convert("L").getdata())).reshape(40, 48) < 128
    rows, columns = spots.nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 4, 23)
    assert climbed(large, wrong)[0].card._repr_html_() == report.card._repr_html_()


def test_a_long_row_and_a_map_in_a_tuple_are_drawn():
    long = exercise_of(Case((torch.arange(200.0),)))
    assert "They differ in places 151 to 199." in climbed(long, lambda x: torch.where(x > 150, x, x * 2))[1]
    pair = Exercise("13.9", "Two", lambda x: (1, x * 2), lambda generator: [Case((torch.ones(9, 9),))], ())
    text = climbed(pair, lambda x: (1, x * 2 + torch.eye(9)))[1]
    assert "They differ in rows 0 to 8 and columns 0 to 8." in text


def test_an_error_shows_its_line_and_what_went_in():
    def raises(x):
        return x[7]

    _, text, tree = climbed(exercise_of(row(2, "two")), raises)
    assert re.search(r"2\. Where.*x = \[1 2\]\n    line \d+: return x\[7\]", text, re.DOTALL)
    assert text.count("IndexError") == 1 and len(tree.marks) == 0


def test_a_lost_property_says_that_no_case_fails():
    asked = exercise_of(
        row(2, "two"), properties=(checks.Property("gradient reaches x", lambda f: "No gradient.", "Why?"),)
    )
    report, text, _ = climbed(asked, lambda x: x * 2)
    assert rungs_of(report.card) == [2] and 'a test beyond them, "gradient reaches x"' in text
    assert "Why?" in text.split("2. Where")[0]


@pytest.mark.parametrize("harm", ["</details><script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_what_a_reader_writes_does_no_harm(harm):
    def raises(x):
        raise ValueError(harm)

    for function in (lambda x: harm, lambda x: [harm, x], raises, lambda x: print(harm)):
        report, _, tree = climbed(exercise_of(row(2, harm)), function)
        page = report.card._repr_html_()
        assert "<script" not in page and "<img" not in page and len(tree.summaries) == 1


# How far it is opened ------------------------------------------------------------------------------------


@pytest.fixture
def session(monkeypatch, tmp_path):
    """Exercise 13.9, with a plan; the progress file of a reader."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("SEGCORE_PROGRESS", str(path))
    for name in ("SEGCORE_CHECKS", "SEGCORE_STATIC"):
        monkeypatch.delenv(name, raising=False)
    made = exercise_of(row(2, "two"), plan=("Take each number, and add it to itself.", "y = 2 …"))
    monkeypatch.setattr(engine, "find_exercise", lambda name: made)
    monkeypatch.setattr(
        ladder, "shown", lambda exercise: [("`x` comes twice.", ["y = x + x"]), ("", ["return y"])]
    )
    monkeypatch.setattr(engine, "_readers", {})
    return path


def wrong(x):
    return x + 2


def stub(x):
    raise NotImplementedError()


PARTS = {2: "[1 2]", 3: "1) Take each number", 4: "y = x + x"}


@pytest.mark.parametrize("hint", [None, 1, 2, 3, 4])
def test_hint_opens_the_ladder_so_far(session, capsys, hint):
    assert check("13.9", wrong, hint=hint) is double
    out = capsys.readouterr().out
    for rung, words in PARTS.items():
        assert (words in out) == (rung <= (hint or 0))
    higher = max(2, (hint or 0) + 1)
    assert (f'check("13.9", double, hint={higher})' in out) == (higher <= 4)
    assert ("1. What" in out) == (hint is not None) and "Hint: You add." in out
    kept = json.loads(session.read_text())
    assert kept["version"] == 2 and kept["rungs"] == ({"13.9": hint} if hint else {})


@pytest.mark.parametrize("hint", [0, 1, 2, 3, 4])
def test_in_a_notebook_details_stand_open(session, hint):
    tree = climbed(engine.find_exercise("13.9"), wrong, hint)[2]
    assert [words.split(":")[0] for _, words in tree.summaries] == [
        *("Where", "How", "Show, 1 of 2", "Show, 2 of 2")
    ]
    assert tree.opened == [hint >= 2, hint >= 3, hint >= 4, False], "the solution comes chunk by chunk"


@pytest.mark.parametrize("hint", [0, 5, -1, 2.0, "2", True, "where"])
def test_a_wrong_rung_is_refused(session, hint):
    with pytest.raises(ValueError, match=r"it may be 1 \(what\), 2 \(where\), 3 \(how\), 4 \(show\)"):
        check("13.9", wrong, hint=hint)
    assert not session.exists()


def test_strict_mode_shows_the_first_rung_alone(session, monkeypatch, capsys):
    monkeypatch.setenv("SEGCORE_CHECKS", "strict")
    with pytest.raises(CheckFailed) as stop:
        check("13.9", wrong, hint=4)
    assert "Hint: You add." in str(stop.value)
    assert not any(words in str(stop.value) for words in (*PARTS.values(), "hint=", "1. What"))
    check("13.9", lambda x: 2 * x, hint=4)
    assert "y = x + x" not in capsys.readouterr().out and json.loads(session.read_text())["rungs"] == {}


def test_nothing_opens_before_the_function_has_run(session, capsys):
    for function, hint in ((stub, 3), (lambda: 0, 2), (3, 4)):
        check("13.9", function, hint=hint)
        out = capsys.readouterr().out
        assert "open once your function has run" in out
        assert not any(words in out for words in PARTS.values()) and "hint=" not in out
    check("13.9", stub)
    assert "open once" not in capsys.readouterr().out


def test_a_right_function_comes_back_whatever_the_hint(session, capsys):
    def mine(x):
        return x + x

    assert check("13.9", mine, hint=4) is mine
    out = capsys.readouterr().out
    assert "added: You add." in out and "    y = x + x\n    return y" in out
    assert json.loads(session.read_text())["rungs"] == {}, "what is offered after a pass is no hint"


def test_the_deepest_rung_stays_and_an_older_file_is_kept(session):
    session.write_text(json.dumps({"version": 1, "exercises": {"13.9": "passed", "13.1": "tried"}}))
    check("13.9", wrong)
    assert json.loads(session.read_text())["version"] == 1, "nothing was new"
    for hint, deepest in ((3, 3), (2, 3), (None, 3), (4, 4)):
        check("13.9", wrong, hint=hint)
        kept = json.loads(session.read_text())
        assert kept == {
            "version": 2,
            "exercises": {"13.9": "passed", "13.1": "tried"},
            "rungs": {"13.9": deepest},
        }
    assert sys.modules["segcore.checks.progress"].rungs() == {"13.9": 4}
    assert [each.name for each in session.parent.iterdir()] == ["progress.json"]


# From the solved lab -------------------------------------------------------------------------------------


def cell(*lines, head="def f(x):"):
    return "\n".join(
        [head, "    ### BEGIN SOLUTION", *(f"    {line}" for line in lines), "    ### END SOLUTION"]
    )


@pytest.mark.parametrize(
    ("lines", "chunks"),
    [
        (("return x",), [("", ["return x"])]),
        (("y = x", "", "return y"), [("", ["y = x"]), ("", ["return y"])]),
        (
            (
                "# First,",
                "# the sum.",
                "y = 0",
                "",
                "for each in x:",
                "    # One by one.",
                "    y += each  # so",
            ),
            [("First, the sum.", ["y = 0", "for each in x:"]), ("One by one.", ["    y += each  # so"])],
        ),
        (("y = 1", "# Then this.", "return y"), [("", ["y = 1"]), ("Then this.", ["return y"])]),
    ],
    ids=["one line", "blank lines", "reasons", "first without"],
)
def test_chunks_of_a_solution(lines, chunks):
    assert lab_shown.chunks(cell(*lines)) == chunks


def test_of_two_functions_in_a_cell_each_says_its_name():
    source = cell("# A.", "return 1") + "\n\n\n" + cell("# B.", "return 2", head="def g(x):")
    assert lab_shown.chunks(source) == [
        ("A.", ["def f(x):", "    return 1"]),
        ("B.", ["def g(x):", "    return 2"]),
    ]


def test_nothing_else_is_shown():
    files = sorted(path.name for path in Path(checks.__file__).with_name("shown").iterdir())
    assert files == [f"{page}.json" for page in PAGES]


# In the task's words -------------------------------------------------------------------------------------

ONES = torch.ones(3)


@pytest.mark.parametrize(
    ("axes", "places", "expected", "got", "words"),
    [
        (
            ("layer",),
            ("stride", "dilation"),
            [(1, 1), (1, 6)],
            [(1, 1), (1, 5)],
            "Layer 1, dilation: expected 6",
        ),
        ((), (), [(1, 1), (1, 6)], [(1, 1), (1, 5)], "At [1][1]: expected 6, got 5."),
        ((), ("precision", "recall"), (ONES, ONES), (ONES, ONES * 2), "Recall: 3 of 3 values differ"),
        ((), ("precision", "recall"), (ONES, ONES), (ONES, None), "Recall: none came; expected: float32"),
        ((), (), {"a": [1, 2]}, {"a": [1, 3]}, "At ['a'][1]: expected 2, got 3."),
    ],
)
def test_where_something_stands_in_a_list_is_said_once(axes, places, expected, got, words):
    assert difference(expected, got, 1e-5, Naming(axes, places)).text.startswith(words)


def test_a_plan_of_strides_and_dilations_is_read_in_the_labs_words():
    exercise = EXERCISES["6.5"]
    _, text, _ = climbed(exercise, lambda strides, wanted: [(1, 2) for _ in strides])
    assert "In value" not in text and re.search(r"\nLayer \d, (stride|dilation): expected \d, got \d\.", text)


@pytest.mark.parametrize("number", EXERCISES)
def test_axes_and_places_have_the_names_of_what_comes_back(number):
    exercise = EXERCISES[number]
    for case in exercise.make_cases():
        result = exercise.reference(*case.args, **case.kwargs)
        if isinstance(result, torch.Tensor):
            assert len(exercise.axes) in {0, result.ndim}
            assert not exercise.places or result.shape[-1] == len(exercise.places)
        elif isinstance(result, tuple):
            assert len(exercise.places) in {0, len(result)}
        else:
            assert isinstance(result, int | list) and len(exercise.axes) <= isinstance(result, list)


def test_most_exercises_name_what_comes_back():
    named = [bool(each.axes or each.places) for each in EXERCISES.values()]
    assert sum(named) > 0.8 * len(named)


def test_an_axis_without_a_name_is_not_spoken_of():
    one = torch.arange(12.0).reshape(2, 2, 3)
    wrong = one.clone()
    wrong[..., 1] = 7.5
    pairs = [(one, wrong), (2 * one, 2 * wrong)]
    assert pattern(pairs, 1e-5, Naming(("class", "row", "column"))).startswith("Only column 1 is wrong")
    assert pattern(pairs, 1e-5, Naming((), ("PQ", "SQ", "RQ"))).startswith("Only SQ is wrong")
    assert "last axis" not in (pattern(pairs, 1e-5) or "") and "index" not in (pattern(pairs, 1e-5) or "")
    turned = [(each, each.flip(1)) for each, _ in pairs]
    assert "along the rows (axis 1)" in pattern(turned, 1e-5, Naming(("class", "row", "column")))
    assert "along axis 1" in pattern(turned, 1e-5)
    named = Naming(("box", "edge"), ("x1", "y1", "x2"))
    order = [(each[0], each[0][:, [1, 0, 2]]) for each, _ in pairs]
    assert "yours are y1, x1 and x2" in pattern(order, 1e-5, named)


def test_plurals_and_lists():
    assert [plural(word) for word in ("row", "class", "box", "entry", "key")] == [
        *("rows", "classes", "boxes", "entries", "keys")
    ]
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
