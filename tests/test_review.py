"""Review from the terminal: what is asked when, what is kept of it, and what may go wrong with a file."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from segcore import checks
from segcore.__main__ import main
from segcore.checks.review import memory
from segcore.checks.review.schedule import DAYS, NEW, Item, given_up, passed, pick, which
from segcore.checks.variants import variants

DAY = date(2026, 3, 2)
SOLUTION = """
from segcore.checks import exercise

{name} = exercise("{id}").reference
"""


@pytest.fixture
def desk(monkeypatch, tmp_path, capsys):
    """A folder to work in, a reader's progress, and the command line on a day."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGCORE_PROGRESS", str(tmp_path / "kept" / "progress.json"))
    for name in ("SEGCORE_STATIC", "SEGCORE_CHECKS", "SEGCORE_REPORT", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)

    def say(*words: str, on: date = DAY) -> tuple[int, str]:
        code = main(["review", *words, "--date", on.isoformat()])
        caught = capsys.readouterr()
        return code, caught.out + caught.err

    return say


def done(*ids: str) -> None:
    path = Path("kept/progress.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"version": 2, "exercises": dict.fromkeys(ids, "passed"), "rungs": {}}))


def solve(file: str) -> str:
    """Answer a file rightly; the id that it answers."""
    text = Path(file).read_text(encoding="utf-8")
    own = next(line.split()[-1] for line in text.splitlines() if line.startswith("# review:"))
    name = checks.exercise(own).name
    Path(file).write_text(text[: text.index("def ")] + SOLUTION.format(name=name, id=own), encoding="utf-8")
    return own


def kept() -> dict:
    return json.loads(Path("kept/review.json").read_text(encoding="utf-8"))["exercises"]


# ---- The schedule


def test_what_went_well_waits_longer_and_what_went_badly_comes_back():
    item = Item(0, DAY, DAY, open="a", seen=("a",))
    waits = []
    for _ in range(7):
        item = passed(item, DAY)
        waits.append((item.due - DAY).days)
    assert waits == [3, 7, 14, 30, 60, 60, 60] and DAYS[0] == 1
    late = passed(Item(3, DAY, DAY, open="a", tries=2), DAY)
    helped = passed(Item(3, DAY, DAY, open="a", rung=3), DAY)
    looked = passed(Item(3, DAY, DAY, open="a", rung=2), DAY)
    assert (late.box, helped.box, looked.box, given_up(Item(3, DAY, DAY, open="a"), DAY).box) == (2, 2, 4, 0)
    assert late.open == "" and late.tries == 0 and late.last == DAY


def test_the_one_begun_then_the_one_due_longest_then_a_new_one():
    old, soon = DAY - timedelta(5), DAY + timedelta(1)
    items = {"5.1": Item(0, DAY, old), "6.1": Item(2, old, old), "7.1": Item(1, soon, old)}
    known = ["5.1", "6.1", "7.1", "8.1", "9.1"]
    assert pick(items, known, known, DAY) == "6.1"
    assert pick({**items, "7.1": Item(1, soon, old, open="a")}, known, known, DAY) == "7.1"
    assert pick({"7.1": items["7.1"]}, known, ["7.1", "9.1"], DAY) == "9.1"
    assert pick({"7.1": items["7.1"]}, known, [], DAY) is None
    today = {f"{n}.1": Item(1, soon, DAY) for n in range(1, NEW + 1)}
    assert pick(today, known, ["9.1"], DAY) is None and pick(today, known, ["9.1"], DAY, 9) == "9.1"


def test_each_variant_is_asked_once_before_one_comes_again():
    labels, seen = [each.label for each in variants("13.2")], []
    for _ in labels:
        seen.append(which("13.2", labels, seen))
    assert sorted(seen) == sorted(labels)
    assert which("13.2", labels, seen) == seen[0]


# ---- Three weeks


def test_three_weeks_with_a_clock(desk):
    done("5.1", "6.1", "6.3", "8.3", "2.1")
    asked: dict[str, list[tuple[date, str]]] = {}
    for number in range(21):
        today = DAY + timedelta(number)
        for _ in range(9):
            before = set(Path().glob("*.py"))
            code, said = desk("--no-edit", on=today)
            assert code == 0
            if "All done for today" in said:
                assert "is due on" in said
                break
            (file,) = set(Path().glob("*.py")) - before
            own = solve(file.name)
            of, _, label = own.partition("@")
            asked.setdefault(of, []).append((today, label))
            code, said = desk("check", file.name, on=today)
            assert code == 0 and "comes again in" in said, said
        else:
            pytest.fail("a day without end")
    assert set(asked) == {"5.1", "6.1", "6.3", "8.3", "2.1"}
    assert sorted({days[0][0] for days in asked.values()}) == [DAY, DAY + timedelta(1)], (
        "three new ones a day"
    )
    for days in asked.values():
        gaps = [(later - day).days for (day, _), (later, _) in itertools.pairwise(days)]
        assert gaps == [3, 7] and len({label for _, label in days}) == len(days)
    assert all(entry["box"] == 3 for entry in kept().values())
    assert not {path.suffix for path in Path("kept").iterdir()} - {".json", ".lock"}


# ---- One task


def test_a_task_from_the_first_word_to_the_last(desk):
    code, said = desk()
    assert code == 0 and "Nothing to review yet" in said and "--chapter 13" in said
    done("13.2")
    code, said = desk()
    assert code == 0 and said.startswith("13.2 Bilinear sampling") and "Write it in review_13_2.py" in said
    assert "By hand:" in said and "Other than in the lab:" in said
    code, said = desk()
    assert code == 0 and "You have begun it in review_13_2.py" in said
    assert [path.name for path in Path().glob("*.py")] == ["review_13_2.py"]
    code, said = desk("check", "review_13_2.py")
    assert code == 1 and "NotImplementedError" in said and kept()["13.2"]["tries"] == 0
    text = Path("review_13_2.py").read_text(encoding="utf-8")
    wrong = text.replace("    raise NotImplementedError()", "    return feature.new_zeros(1, 2)")
    Path("review_13_2.py").write_text(wrong, encoding="utf-8")
    code, said = desk("check", "review_13_2.py")
    assert code == 1 and "not yet" in said and "review check review_13_2.py --hint 2" in said
    code, said = desk("check", "review_13_2.py", "--hint", "4")
    assert code == 1 and "3. How" in said and "in_the_lab" in said and kept()["13.2"]["rung"] == 4
    own = solve("review_13_2.py")
    code, said = desk("check", "review_13_2.py")
    assert code == 0 and "comes again in 1 day," in said and kept()["13.2"]["box"] == 0
    code, said = desk("check", "review_13_2.py")
    assert code == 0 and "stays as it is" in said
    code, said = desk()
    assert code == 0 and "All done for today" in said and "03 March 2026, in 1 day" in said
    code, said = desk("--no-edit", on=DAY + timedelta(1))
    assert "Write it in review_13_2-2.py" in said, "no file is written over"
    assert f"# review: {own}\n" not in Path("review_13_2-2.py").read_text(encoding="utf-8")
    code, said = desk("skip", "review_13_2-2.py", on=DAY + timedelta(1))
    assert code == 0 and "Put back" in said
    code, said = desk("list", on=DAY + timedelta(1))
    assert code == 0 and "13.2" in said and "box 1" in said and "due 04 Mar 2026" in said


def test_a_chapter_may_be_asked_for_and_a_wrong_one_is_refused(desk):
    code, said = desk("--chapter", "6", "--no-edit")
    assert code == 0 and said.startswith("6.1")
    for words, expected in (
        (["--chapter", "19"], "no chapter"),
        (["check"], "which file"),
        (["check", "nowhere.py"], "there is no file"),
        (["list", "review_6_1.py"], "takes no file"),
        (["check", "review_6_1.py", "--hint", "7"], "hint is 7"),
    ):
        code, said = desk(*words)
        assert code == 2 and expected in said


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("def sparse_kernel(kernel, dilation):\n    return kernel\n", 2, "keep that line"),
        ("# review: 6.1\n", 2, "is no variant"),
        ("# review: 6.1@nothing\n", 2, "no variant 'nothing'"),
        ("# review: 6.1@gaps\n", 1, "defines no function sparse_kernel"),
        ("# review: 6.1@gaps\ndef sparse_kernel(:\n", 1, "line 2: invalid syntax"),
        ("# review: 6.1@gaps\n\nraise SystemExit(3)\n", 1, "line 3: SystemExit"),
        ("# review: 6.1@gaps\nsparse_kernel = 3\n", 1, "Expected a function"),
    ],
)
def test_a_file_that_cannot_be_checked_is_said(desk, text, code, expected):
    Path("mine.py").write_text(text, encoding="utf-8")
    found, said = desk("check", "mine.py")
    assert found == code and expected in said


def test_a_file_that_is_no_text_is_said(desk):
    Path("mine.py").write_bytes(b"\xff\xfe\x00x")
    assert desk("check", "mine.py")[1].strip().endswith("save it so, and check again")


# ---- What is kept


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{not json", "unreadable"),
        ("[]", "unreadable"),
        ('{"exercises": {}}', "unreadable"),
        ('{"version": 0, "exercises": {}}', "version-0"),
        ('{"version": 2, "exercises": {}}', "version-2"),
    ],
)
def test_a_file_that_is_damaged_or_of_another_version_is_set_aside(desk, content, word):
    done("6.1")
    Path("kept/review.json").write_text(content)
    code, said = desk()
    assert code == 0 and "set aside" in said
    assert Path(f"kept/review.{word}-1.json").read_text() == content
    assert "6.1" in kept()


def test_entries_that_make_no_sense_are_left_out_and_strange_ones_stay(desk):
    done("6.1")
    good = {"box": 1, "due": "2026-03-01", "first": "2026-02-01"}
    entries = {
        "6.1": good,
        "6.3": {"box": 9, **{k: good[k] for k in ("due", "first")}},
        "8.1": 3,
        "99.1": good,
    }
    Path("kept/review.json").write_text(json.dumps({"version": 1, "exercises": entries}))
    code, said = desk()
    assert code == 0 and "2 of 4 entries" in said and "6.1 " in said
    assert set(kept()) == {"6.1", "99.1"}, "an exercise of a newer course is not lost"


def test_nothing_is_kept_where_no_progress_is(desk, monkeypatch):
    monkeypatch.setenv("SEGCORE_PROGRESS", "off")
    code, said = desk("--chapter", "6")
    assert code == 0 and "Write it in review_6_1.py" in said
    solve("review_6_1.py")
    code, said = desk("check", "review_6_1.py")
    assert code == 0 and "Nothing is kept of it" in said and not Path("kept").exists()


def test_a_folder_that_cannot_be_written_is_said(desk, monkeypatch):
    Path("wall").write_text("")
    monkeypatch.setenv("SEGCORE_PROGRESS", "wall/progress.json")
    code, said = desk("--chapter", "6")
    assert code == 2 and "wall" in said


def test_two_at_once_wait_for_each_other(desk):
    """Another process adds an entry while this one holds the file: neither is lost."""
    line = (
        "from datetime import date; from segcore.checks.review import memory, schedule\n"
        "with memory.opened() as kept: kept.items['6.3'] = schedule.Item(0, date.today(), date.today())\n"
    )
    with memory.opened() as held:
        other = subprocess.Popen([sys.executable, "-c", line])
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(4)
        held.items["6.1"] = Item(0, DAY, DAY)
    assert other.wait(60) == 0
    assert set(kept()) == {"6.1", "6.3"}


def test_an_editor_is_opened_where_somebody_sits(desk, monkeypatch):
    done("6.1")
    Path("edit.py").write_text("import sys; open('edited', 'w').write(sys.argv[1])")
    monkeypatch.setenv("EDITOR", f'"{sys.executable}" edit.py')
    desk("--chapter", "6")
    assert not Path("edited").exists(), "nobody sits there"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, said = desk("--chapter", "6")
    assert Path("edited").read_text() == "review_6_1.py"
    assert code == 1 and "NotImplementedError" in said, "it is checked as soon as the editor closes"
