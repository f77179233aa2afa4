"""What is promised of versions, and what a wheel holds: pyproject, the weekly workflow and git agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import try_wheel  # noqa: E402

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
WEEKLY = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8"))["jobs"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def commands(job: str) -> str:
    return "\n".join(step.get("run", "") for step in WEEKLY[job]["steps"])


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        pytest.skip("not a git checkout")
    return done.stdout.splitlines()


# A wheel ---------------------------------------------------------------------------------------------------


def test_a_wheel_holds_all_that_git_knows_of_the_package():
    """The builder takes the package and leaves out what .gitignore names."""
    wheel = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["segcore"]}, "nothing is added or left out by hand"
    files = git("ls-files", "segcore")
    ignored = git("check-ignore", "--no-index", *files)
    assert ignored == [], "git knows them, the wheel would lack them"
    strays = git("ls-files", "--others", "--ignored", "--exclude-standard", "segcore")
    assert [name for name in strays if "__pycache__" not in name] == [], "needed here, in no wheel"
    kinds = {Path(name).suffix for name in files}
    assert {".py", ".js", ".css", ".json", ".avif", ".pt", ".typed"} <= kinds
    for folder in ("checks/shown", "data/weights", "widgets/static/kit", "widgets/static/stills"):
        assert any(name.startswith(f"segcore/{folder}/") for name in files), folder


def test_a_file_that_a_wheel_lacks_is_named(tmp_path):
    files = git("ls-files", "segcore")
    lost = "segcore/data/weights/deeplab.pt"
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for name in files:
            if name != lost:
                archive.writestr(name, "")
    assert lost in files and try_wheel.missing_files(tmp_path / "x.whl") == [lost]


def test_the_weekly_workflow_tries_the_wheel_with_and_without_widgets():
    words = commands("wheel")
    assert "pip wheel --no-deps" in words and "segcore[widgets]" in words
    assert words.count("tools/try_wheel.py") == 2 and words.count("--widgets") == 1


@pytest.mark.parametrize("module", ["segcore.viz", "segcore.figures", "segcore.widgets.roi_align"])
def test_what_lacks_the_extra_says_what_to_install(module):
    """As where the wheel alone is installed: neither matplotlib nor anywidget can be found."""
    code = (
        "import importlib.util as u, importlib, sys\n"
        "find = u.find_spec\n"
        "gone = ('matplotlib', 'anywidget')\n"
        "u.find_spec = lambda name, *rest: None if name in gone else find(name, *rest)\n"
        f"importlib.import_module({module!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.strip().split("\n")[-1].endswith("pip install 'segcore[widgets]'")


# Versions --------------------------------------------------------------------------------------------------


def test_the_pythons_that_are_promised_are_those_that_are_tried():
    told = [each.rpartition(":: ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert told == PYTHONS == WEEKLY["newest"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert SETTINGS["tool"]["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"


def test_the_lower_bounds_are_tried_as_they_stand():
    bounds = dict(re.match(r"([\w.-]+)>=([\w.]+)", each).groups() for each in PROJECT["dependencies"])
    assert bounds["torch"].startswith("2.")
    assert int(bounds["torchvision"].split(".")[1]) == int(bounds["torch"].split(".")[1]) + 15, "a pair"
    words = commands("oldest")
    assert "--resolution lowest-direct" in words and "pyproject.toml" in words
    assert f"--python-version {PYTHONS[0]}" in words
    step = next(each for each in WEEKLY["oldest"]["steps"] if "setup-python" in each.get("uses", ""))
    assert step["with"]["python-version"] == PYTHONS[0]


def test_every_file_that_a_workflow_names_is_there():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for name in re.findall(r"\b(?:tests|tools)/[\w/]+\.py\b", path.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{path.name}: {name}"


def test_own_labs_are_run_weekly():
    assert "tools/own_labs.py" in commands("own-labs")
