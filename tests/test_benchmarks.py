"""The benchmark runner: no ratio of different results, and chapters that keep their sections."""

from __future__ import annotations

import importlib
import time
import types

import pytest
import torch

from benchmarks import Case

runner = importlib.import_module("benchmarks.__main__")


def slow(seconds, value=1.0):
    def call():
        time.sleep(seconds)
        return torch.full((2,), value)

    return call


def chapter(title, *cases):
    module = types.ModuleType("chapter", "First line.\n\nWhat is measured.")
    module.TITLE, module.PACKAGES, module.cases = title, ["torch"], lambda: iter(cases)
    return module


def test_the_ratio_is_the_peers_time_over_ours():
    result = runner.measure(Case("nap", slow(0.005), slow(0.02), "peer", goal=2), rounds=3)
    assert 2 < result.ratio < 5
    assert result.quartiles[0] <= result.ratio <= result.quartiles[1]
    assert runner.row(result).endswith("| peer | ≥ 2: met |")


def test_a_missed_goal_is_said():
    result = runner.measure(Case("nap", slow(0.006), slow(0.003), "peer", goal=2), rounds=3)
    assert runner.row(result).endswith("≥ 2: missed |")


@pytest.mark.parametrize("value", [1.001, float("nan")])
def test_different_results_are_not_compared(value):
    with pytest.raises(SystemExit, match="nap: the results differ"):
        runner.measure(Case("nap", slow(0), slow(0, value), "peer"), rounds=3)


def test_a_chapter_measured_anew_replaces_its_section_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "PAGE", tmp_path / "benchmarks.md")
    first = runner.section(chapter("13 B", Case("old", slow(0.001), slow(0.001), "peer")), rounds=3)
    runner.write([first])
    runner.write([runner.section(chapter("05 A", Case("other", slow(0.001), slow(0.001), "peer")), rounds=3)])
    runner.write([runner.section(chapter("13 B", Case("new", slow(0.001), slow(0.001), "peer")), rounds=3)])
    page = runner.PAGE.read_text(encoding="utf-8")
    assert page.startswith("# Benchmarks\n")
    assert page.index("## 05 A") < page.index("## 13 B")
    assert "| other |" in page and "| new |" in page and "| old |" not in page
    assert "What is measured." in page and "| new |" in capsys.readouterr().out


def test_an_unknown_chapter_is_answered_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "roi_aling"])
    with pytest.raises(SystemExit):
        runner.main()
    assert "there are" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["roi_align"])
def test_every_case_agrees_with_its_peer(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.TITLE[:2].isdecimal() and module.PACKAGES
    runner.check_agreement(next(iter(module.cases())))
