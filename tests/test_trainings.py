"""The runner of long trainings: results kept by seed, none lost."""

from __future__ import annotations

import importlib
import json
import types

import pytest

runner = importlib.import_module("benchmarks.trainings.__main__")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "results")
    module = types.ModuleType("nap")
    module.run = lambda seed: {"miou": 0.5 + seed / 10}
    monkeypatch.setattr(runner, "known", lambda: ["nap"])
    load = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda name: module if name == "benchmarks.trainings.nap" else load(name)
    )
    return tmp_path / "results" / "nap.json"


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["trainings", *words])
    runner.main()


def test_seeds_that_were_not_run_stay(results, monkeypatch):
    call(monkeypatch, "nap", "--seeds", "2", "0", "--write")
    call(monkeypatch, "--seeds", "1", "--write")
    content = json.loads(results.read_text())
    assert content["seeds"] == [0, 1, 2]
    assert content["runs"] == [{"miou": 0.5}, {"miou": 0.6}, {"miou": 0.7}]
    assert content["command"] == "python -m benchmarks.trainings nap --seeds 0 1 2 --write"
    assert {"date", "torch", "threads", "seconds"} == set(content["measured"][0])
    assert [path.name for path in results.parent.iterdir()] == ["nap.json"]


def test_nothing_is_written_unasked(results, monkeypatch, capsys):
    call(monkeypatch, "nap", "--seeds", "0")
    assert not results.exists()
    assert '"miou": 0.5' in capsys.readouterr().out


def test_shortened_trainings_and_unknown_names_are_refused(results, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "nip")
    assert "there are nap" in capsys.readouterr().err
    monkeypatch.setenv("SEGCORE_STEPS", "0.02")
    with pytest.raises(SystemExit):
        call(monkeypatch, "nap")
    assert "SEGCORE_STEPS is set" in capsys.readouterr().err
