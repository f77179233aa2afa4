"""No mutant of a reference passes: every rule of a task has a case, every argument matters in some case."""

from __future__ import annotations

import time
from typing import Any

import pytest
from equivalent_mutants import EQUIVALENT
from mutants import mutants
from test_exercises import EXERCISES

from segcore import checks
from segcore.checks.engine import _fault
from segcore.checks.sandbox import call, guarded, sealed


def survivors(exercise: checks.Exercise, seed: int = 0) -> tuple[int, list[str]]:
    """How many mutants were tried, and the names of those that pass."""
    with guarded():
        cases = exercise.make_cases(seed)
        expected = [exercise.reference(*sealed(case.args), **sealed(dict(case.kwargs))) for case in cases]
        tried, passed = 0, []
        for name, mutant in mutants(exercise.reference, cases):
            tried += 1
            if not rejected(exercise, mutant, list(zip(cases, expected, strict=True))):
                passed.append(name)
    return tried, passed


def rejected(exercise: checks.Exercise, mutant: Any, trials: list[tuple[Any, Any]]) -> bool:
    for case, wanted in trials:
        outcome = call(mutant, case.args, case.kwargs, 2.0)
        if _fault(exercise, wanted, outcome) is not None:
            return True
    tested = (call(lambda each=each: each.test(mutant), (), {}, 4.0) for each in exercise.properties)
    return any(outcome.value or outcome.error or outcome.timeout for outcome in tested)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_no_mutant_passes(exercise: checks.Exercise):
    tried, passed = survivors(exercise)
    known = {name for names in EQUIVALENT.get(exercise.id, {}).values() for name in names}
    assert tried >= 8
    assert sorted(set(passed) - known) == []
    assert sorted(known - set(passed)) == [], "these are rejected now: take them off the list"


if __name__ == "__main__":
    for each in EXERCISES.values():
        begin = time.perf_counter()
        count, left = survivors(each)
        print(
            f"## {each.id} {count} mutants, {len(left)} pass, {time.perf_counter() - begin:.1f} s", flush=True
        )
        for name in left:
            print("   ", name, flush=True)
