"""Labs opened elsewhere: the first cell, and what Binder, a devcontainer and the workflows install."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import lab_generate  # noqa: E402
import lab_launch  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FIRST = "3.11"  # of the Pythons that are supported


def package(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0]


@pytest.fixture
def elsewhere(monkeypatch):
    """Runs the cell where these modules are missing; the words that pip was given."""

    def run(*missing: str) -> list[list[str]]:
        calls = []
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
        monkeypatch.setattr(subprocess, "run", lambda words, check: calls.append(words))
        exec(compile(lab_launch.first_cell("owner/name"), "<cell>", "exec"), {})
        assert all(each[:5] == [sys.executable, "-m", "pip", "install", "--quiet"] for each in calls)
        return [each[5:] for each in calls]

    return run


def test_the_first_cell_does_nothing_where_the_course_is(elsewhere):
    assert elsewhere() == elsewhere("anywidget", "maxflow") == []


def test_the_first_cell_installs_what_is_missing_and_nothing_else(elsewhere):
    course = ["--no-deps", "segcore @ git+https://github.com/owner/name"]
    assert elsewhere("segcore") == [course]
    assert elsewhere("segcore", "anywidget", "maxflow") == [course, ["anywidget", "PyMaxflow"]]


def test_the_first_cell_knows_all_that_labs_need():
    needed = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["widgets"]}
    assert {name.lower() for name in lab_launch.NEEDS.values()} == {package(each).lower() for each in needed}
    for module in lab_launch.NEEDS:
        assert importlib.util.find_spec(module) is not None, module


def test_the_cell_fits_a_page_and_reads_well():
    assert max(map(len, lab_launch.first_cell("owner/name").split("\n"))) <= 84


def test_every_lab_begins_with_it_where_an_address_is_set():
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        solution = lab_generate.read(path)
        plain = lab_generate.lab_from(solution, path.stem)
        lab = lab_generate.lab_from(solution, path.stem, "owner/name")
        assert lab.cells[0].source.startswith("# "), "the title comes first"
        assert lab.cells[1].source == lab_launch.first_cell("owner/name")
        assert [cell.id for cell in lab.cells if cell.id != "launch"] == [cell.id for cell in plain.cells]
        assert lab_generate.made_here(lab_generate.text_of(lab).encode())
    assert lab_generate.published(ROOT) == lab_launch.find_repository(ROOT / "pyproject.toml")


def test_an_address_that_cannot_be_used_is_said_once_and_for_all_labs(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.course]\nrepository = "https://example.org/a/b"\n')
    with pytest.raises(lab_generate.LabError, match="OWNER/NAME or empty"):
        lab_generate.published(tmp_path)


# What others install ---------------------------------------------------------------------------------------


def test_binder_installs_the_course_with_what_labs_need():
    lines = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").split("\n")
    installed = [line for line in lines if line and not line.startswith(("#", "--extra-index-url"))]
    assert installed == ["--editable .[lab]"] and "lab" in PROJECT["optional-dependencies"]
    assert "segcore[widgets]" in PROJECT["optional-dependencies"]["lab"]
    runtime = (ROOT / ".binder" / "runtime.txt").read_text(encoding="utf-8").strip()
    assert runtime == f"python-{FIRST}" and PROJECT["requires-python"] == f">={FIRST}"


def test_the_devcontainer_sets_up_by_make():
    made = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tool, target, setting = made["postCreateCommand"].split()
    assert tool == "make" and re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert re.search(rf"^{setting.partition('=')[0]} \?=", makefile, re.MULTILINE)
    assert made["image"].partition(":")[2].startswith(f"{FIRST}-")
    settings = made["customizations"]["vscode"]["settings"]
    venv = re.search(r"^VENV := (\S+)$", makefile, re.MULTILINE)[1]
    assert settings["python.defaultInterpreterPath"] == f"${{containerWorkspaceFolder}}/{venv}/bin/python"
    assert set(made["portsAttributes"]) == {str(port) for port in made["forwardPorts"]}
    for words in made["portsAttributes"].values():
        assert re.search(rf"^{words['label'].split('make ')[1]}:", makefile, re.MULTILINE)
