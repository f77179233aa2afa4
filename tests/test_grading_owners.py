"""Whose variant a hand-in answers: another student's, or none, is never passed."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from grading import IMPORTS, NAMES, RIGHT, own_lab, save

from segcore.__main__ import main
from segcore.checks.variants.handing import own_ids
from segcore.checks.variants.roster import Student, in_files, read_roster, same
from segcore.grading.journal import sheets_in
from segcore.grading.owners import Owners, shared, uncompared
from segcore.grading.report import page
from segcore.grading.results import Result, Sheet, from_json, table, to_csv, to_json

IDS = own_ids(13, "ann")


def sheet(student, *results, path=""):
    return Sheet(path or f"class/{student}/lab.ipynb", list(results), student=student, key=student)


def passed(exercise):
    return Result(exercise, "Bilinear sampling", "passed", 1, 1)


def compared(one, **known):
    return Owners(**known).compare(one).results[0]


# A class that is graded ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Ann's and Zoë's own labs; bob copied Ann's file, cat Ann's cells, dan solved the course's lab."""
    root = tmp_path_factory.mktemp("own")
    ann = own_lab(root / "class" / "13_roi_align.ann.ipynb", "ann", key="word")
    own_lab(root / "class" / f"13_roi_align.{in_files('Zoë Müller')}.ipynb", "Zoë Müller", key="word")
    shutil.copyfile(ann, root / "class" / "13_roi_align.bob.ipynb")
    own_lab(root / "class" / "13_roi_align.cat.ipynb", "ann", "'mine'", key="word")
    cells = [f'{RIGHT["13.2"]}\n{NAMES["13.2"]} = check("13.2", {NAMES["13.2"]})']
    save(root / "class" / "13_roi_align.dan.ipynb", IMPORTS, *cells, slug="13_roi_align")
    words = ["grade", str(root / "class"), "--results", str(root / "kept"), "--exercise", "13.1"]
    return root, [*words, "--exercise", "13.2"]


def states(root):
    whole = json.loads((root / "kept" / "results.json").read_text(encoding="utf-8"))["notebooks"]
    return {
        each["student"]: [(row["state"], row["points"], row["variant"]) for row in each["exercises"]]
        for each in whole
    }


def test_what_is_not_ones_own_is_for_a_person(graded, capsys):
    root, words = graded
    assert main(words) == 0  # nobody asks whose
    streams = capsys.readouterr()
    assert "compared with --variants" in streams.err and "belongs to one student, and 3" in streams.err
    assert states(root)["bob"] == states(root)["ann"] == [("passed", 1, ""), ("passed", 1, "")]

    assert main([*words, "--key", "word"]) == 0  # nothing runs again: what was kept is compared
    streams = capsys.readouterr()
    assert "5 notebooks were graded before" in streams.out
    found = states(root)
    assert found["ann"] == found["Zoë_Müller"] == [("passed", 1, "own"), ("passed", 1, "own")]
    assert found["bob"] == found["cat"] == [("for a person", 0, "another student's")] * 2
    assert found["dan"] == [("not reached", 0, ""), ("for a person", 0, "the course's")]
    assert "5 of 9 exercises with variants are not the student's own; 5 of these" in streams.err
    with (root / "kept" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["student"] == "bob"]
    assert [row["reason"] for row in rows] == ["answers another student's variant, that of ann"] * 2
    assert {row["variant"] for row in rows} == {"another student's"}

    assert main([*words, "--variants"]) == 0  # the word was forgotten
    assert "no id is its student's" in capsys.readouterr().err
    assert {row[0] for rows in states(root).values() for row in rows} == {"for a person", "not reached"}
    assert main([*words, "--key", "word"]) == 0 and states(root) == found, "nothing of that stays"


def test_a_journal_alone_holds_no_pass_that_is_not_ones_own(graded):
    root, words = graded
    again = [str(root / "second") if each == str(root / "kept") else each for each in words]
    assert main([*again, "--key", "word"]) == 0
    kept = {each.student: each for each in sheets_in(root / "second" / "journal.jsonl")}
    assert [each.state for each in kept["cat"].results] == ["for a person"] * 2
    assert [each.state for each in kept["ann"].results] == ["passed"] * 2


# Comparing, without a kernel -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "state", "variant", "reason"),
    [
        (IDS["13.2"], "passed", "own", ""),
        (own_ids(13, "bob")["13.2"], "for a person", "another student's", "that of bob"),
        (own_ids(13, "eve")["13.2"], "for a person", "another student's", "student's variant"),
        ("13.2@yx-points", "for a person", "another student's", "student's variant"),
        ("13.2", "for a person", "the course's", "the course's own exercise"),
        ("13.4", "passed", "", ""),  # it has no variants
    ],
)
def test_an_id_is_the_students_or_not(exercise, state, variant, reason):
    found = compared(sheet("Ann ", passed(exercise)), present=["ann", "bob"])
    assert (found.state, found.variant, found.points) == (state, variant, int(state == "passed"))
    assert reason in found.reason


def test_only_a_pass_changes_and_it_comes_back():
    other = own_ids(13, "bob")["13.2"]
    wrong = Result(other, "x", "failed", 0, 1, "mistake", "half pixel forgotten", "half pixel forgotten")
    silent = [Result(other, "x", "not attempted"), Result("13.2", "x", "not reached")]
    one = Owners().compare(sheet("ann", wrong, *silent, passed(other)))
    assert [each.state for each in one.results] == ["failed", "not attempted", "not reached", "for a person"]
    assert [each.variant for each in one.results] == ["another student's"] * 2 + ["", "another student's"]
    assert "half pixel forgotten [id: another student's]" in table(one)
    assert from_json(to_json([one]))[0].results == one.results
    assert to_csv([one]).split("\n")[1].count("another student's") == 1
    Owners(roster=[Student("bob", ("ann",))]).compare(one)
    assert [each.variant for each in one.results] == ["own", "own", "", "own"]
    assert one.results[3] == Result(other, "Bilinear sampling", "passed", 1, 1, variant="own")


def test_a_roster_says_whose_hand_in_it_is():
    roster = [Student("ann", ("Ada Lovelace", "x1.ipynb")), Student("bob")]
    for student, path in (("Ada Lovelace", ""), ("x1", "class/x1.ipynb"), ("ann", ""), ("ANN", "")):
        assert compared(sheet(student, passed(IDS["13.2"]), path=path), roster=roster).variant == "own"
    bob = sheet("bob", passed(IDS["13.2"]), path="class/bob/13_roi_align.ann.ipynb")
    assert compared(bob, roster=roster).variant == "another student's", "a file's name makes nobody ann"
    unknown = compared(sheet("cy", passed(IDS["13.2"])), roster=roster)
    assert (unknown.state, unknown.variant) == ("for a person", "no student") and "'cy'" in unknown.reason
    two = [sheet("Ada Lovelace", passed(IDS["13.2"])), sheet("ann", passed(IDS["13.2"]))]
    owners = Owners(roster=roster)
    assert any("2 hand-ins are those of ann" in words for words in owners.words([*map(owners.compare, two)]))


def test_what_nobody_compared_is_said():
    two = [sheet("ann", passed(IDS["13.2"])), sheet("bob", passed(IDS["13.2"]))]
    assert uncompared(two) and "ann, bob" in shared(two)[0]
    owners = Owners(present=["ann", "bob"])
    assert not uncompared([owners.compare(each) for each in two])
    assert not uncompared([sheet("ann", passed("13.2"))]) and shared(two[:1]) == []


def test_the_report_counts_them_and_names_nobody():
    owners = Owners(present=["ann", "bob"])
    text = page([owners.compare(sheet("bob", passed(IDS["13.2"])))])
    assert "13.2: 1 right, with an id that is not theirs" in text and "bob" not in text and "ann" not in text
    named = page([owners.compare(sheet("bob", passed(IDS["13.2"])))], names=True)
    assert "that of ann" in named and "bob" in named


# Rosters -------------------------------------------------------------------------------------------------


def test_rosters_of_all_kinds(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffs1\n\n Doe, Jane \n", encoding="utf-8")
    assert read_roster(tmp_path / "a.txt") == [Student("s1"), Student("Doe, Jane")]
    for mark, name in ((",", "a.csv"), (";", "b.csv"), ("\t", "c.tsv")):
        lines = ["Group,Student,File", "1,s1,Ada Lovelace", "1,s2,", "2,s1,x.ipynb"]
        (tmp_path / name).write_text("\n".join(lines).replace(",", mark), encoding="utf-8")
        assert read_roster(tmp_path / name) == [Student("s1", ("Ada Lovelace", "x.ipynb")), Student("s2")]
    assert same(" Zoë_MÜLLER ") == same("Zoë Müller") != same("Zoe Muller")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "\n\n", "names no student"),
        ("a.csv", "s1,Ada\n", "columns, student and file; came: 's1,Ada'"),
        ("a.csv", "", "columns, student and file"),
        ("a.csv", "student,file\n,x\n", "names no student"),
        ("a.csv", "student,file\ns1,x\ns2,X\n", "'X' is that of 's1' and of 's2'"),
    ],
)
def test_bad_rosters_are_named(tmp_path, capsys, name, text, words):
    (tmp_path / name).write_text(text, encoding="utf-8")
    save(tmp_path / "lab.ipynb", "x = 1")
    assert main(["grade", str(tmp_path / "lab.ipynb"), "--students", str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err


def test_a_roster_that_is_not_there(tmp_path, capsys):
    save(tmp_path / "lab.ipynb", "x = 1")
    assert main(["grade", str(tmp_path / "lab.ipynb"), "--students", str(tmp_path / "no.csv")]) == 2
    assert "no.csv" in capsys.readouterr().err
    (tmp_path / "b.csv").write_bytes(b"student\nM\xfcller")
    assert main(["grade", str(tmp_path / "lab.ipynb"), "--students", str(tmp_path / "b.csv")]) == 2
    assert "UTF-8" in capsys.readouterr().err
