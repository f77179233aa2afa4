"""`tools/check.py`: one run names all that failed, and what passed only at a second try."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import check  # noqa: E402

FLAKY = """
import pathlib, pytest
MARK = pathlib.Path(__file__).with_name("mark")

def test_good(): pass

@pytest.mark.parametrize("words", ["a b - c"])
def test_second(words):
    first = not MARK.exists()
    MARK.touch()
    assert not first, "the machine was busy"

def test_bad(): assert False, "always"

@pytest.fixture
def broken(): raise RuntimeError("on purpose")

def test_error(broken): pass
"""


def step(code, **variables):
    return check.Step(("-c", code), variables)


def parts(monkeypatch, **given):
    monkeypatch.setattr(check, "PARTS", given)


def test_every_step_of_every_part_runs_and_the_table_says_what_failed(monkeypatch, capfd):
    parts(
        monkeypatch,
        lint=[step("print('one'); raise SystemExit(3)"), step("print('two')")],
        unit=[step("import os; print('three', os.environ['X'])", X="y")],
        book=[step("raise SystemExit(1)")],
    )
    assert check.main([]) == 1
    said = capfd.readouterr().out
    assert all(f"\n{words}\n" in said for words in ("one", "two", "three y"))
    table = said[said.index("part ") :]
    assert re.findall(r"^(\w+) +(passed|FAILED) +\d+ s +\d+ s$", table, re.MULTILINE) == [
        ("lint", "FAILED"),
        ("unit", "passed"),
        ("book", "FAILED"),
    ]
    assert "raise SystemExit(3) (exit code 3)" in table and "second try" not in table
    assert check.main(["unit"]) == 0
    assert "lint" not in capfd.readouterr().out


def test_an_unknown_part_is_named(capsys):
    with pytest.raises(SystemExit):
        check.main(["units"])
    assert "there is no part units; there are lint, unit, nbval, book, browser" in capsys.readouterr().err


def test_tests_that_failed_and_tests_that_were_tried_twice_are_named(monkeypatch, tmp_path, capfd):
    pytest.importorskip("pytest_rerunfailures")
    (tmp_path / "test_x.py").write_text(FLAKY)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    words = ("-m", "pytest", "-p", "no:cacheprovider", *check.TWO, "loadfile", *check.SECOND_TRY, "test_x.py")
    parts(monkeypatch, browser=[check.Step(words)])
    assert check.main([]) == 1
    said = capfd.readouterr().out
    failed, again = said[said.index("Failed:") :].split("Passed only at the second try:")
    assert sorted(failed.split("\n")[1:3]) == [
        "  browser: test_x.py::test_bad",
        "  browser: test_x.py::test_error",
    ]
    assert again.split("\n")[1] == "  browser: test_x.py::test_second[a b - c]"
    assert "the machine was busy" in said, "why the first try failed"


def test_the_processor_time_of_what_ran_is_counted(monkeypatch):
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    # The system counts in hundredths of a second, and may have missed one or two.
    assert 0.45 <= check.run_part("unit", [step(busy)], threading.Event()).processor < 5


MEET = """
import pathlib, sys, time
mine, other = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
mine.touch()
end = time.monotonic() + 60
while not other.exists() and time.monotonic() < end: time.sleep(.01)
print(mine.name, "met" if other.exists() else "alone", flush=True)
print(mine.name, "ends")
"""


def test_two_parts_run_side_by_side_and_what_the_second_says_stays_together(monkeypatch, tmp_path, capfd):
    """Each waits for the other; one that is asked for alone runs alone."""
    files = [str(tmp_path / name) for name in ("a", "b")]
    monkeypatch.setattr(check, "BESIDE", {"unit": "lint"})
    parts(
        monkeypatch,
        lint=[check.Step(("-c", MEET, *files)), step("print('then'); raise SystemExit(1)")],
        unit=[check.Step(("-c", MEET, *files[::-1]))],
        book=[step("print('last')")],
    )
    assert check.main([]) == 1
    said = capfd.readouterr().out
    assert "a met" in said and "b met" in said
    held = said[said.index("== lint") : said.index("then\n")]
    assert "== unit" not in held and "b met" not in held, "in one piece"
    assert said.index("b ends") < said.index("last")
    names = re.findall(r"^(\w+) +(?:passed|FAILED) ", said[said.index("part ") :], re.MULTILINE)
    assert names == ["lint", "unit", "book"], "in the order in which they are listed"
    assert check.main(["lint"]) == 1 and "== unit" not in capfd.readouterr().out


def test_limits_are_generous_and_only_browser_tests_are_tried_twice():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert settings["timeout"] >= 1200
    assert {*check.BESIDE, *check.BESIDE.values()} <= {*check.PARTS} - {"browser"}, "its frames are measured"
    for part, steps in check.PARTS.items():
        for each in steps:
            assert ("--reruns" in each.words) == (part == "browser")
            if "-n" in each.words and part != "browser":
                assert each.variables["OMP_NUM_THREADS"] == "1", "two processes share two cores"


BESIDE = """
import pathlib, time, pytest
HERE = pathlib.Path(__file__).parent

def note(words):
    with open(HERE / "log", "a") as file: print(words, file=file)

@pytest.mark.parametrize("n", range(12))
def test_beside(n):
    note("in"); time.sleep(0.05); note("out")
"""
TWICE = """
from test_a import HERE, note

def test_twice():
    first = not (HERE / "mark").exists()
    (HERE / "mark").touch()
    if first: raise AssertionError
    note("alone in"); import time; time.sleep(0.3); note("alone out")
"""


def test_a_second_try_is_alone(tmp_path):
    """The hooks of the browser tests' conftest, with tests that need no browser."""
    pytest.importorskip("pytest_rerunfailures")
    pytest.importorskip("fcntl")
    given = (ROOT / "tests" / "widgets" / "conftest.py").read_text()
    hooks = given[given.index("\nHERE = ") : given.index('@pytest.fixture(scope="session")')]
    head = "import os, fcntl, pytest\nfrom collections import Counter\nfrom pathlib import Path\n"
    head += "from collections.abc import Iterator\n"
    (tmp_path / "conftest.py").write_text(head + hooks)
    (tmp_path / "test_a.py").write_text(BESIDE)
    (tmp_path / "test_b.py").write_text(TWICE)
    words = ["-p", "no:cacheprovider", *check.TWO, "loadfile", *check.SECOND_TRY, "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 rerun" in done.stdout, done.stdout
    log = (tmp_path / "log").read_text().split("\n")
    at = log.index("alone in")
    assert log[at + 1] == "alone out", log
    assert log[:at].count("in") == log[:at].count("out"), "a test ran when it began"
