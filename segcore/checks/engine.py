"""`check`: the reader's function beside the reference, and the mistake that explains the difference."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from segcore.checks import ladder, sandbox
from segcore.checks import progress as _progress
from segcore.checks.calls import Other, other_call, sizes_of
from segcore.checks.card import Card, display
from segcore.checks.chapters import exercise as find_exercise
from segcore.checks.circumstances import apart, axes
from segcore.checks.compare import Difference, agrees, difference
from segcore.checks.exercise import Case, Exercise, Mistake
from segcore.checks.guards import guards_of
from segcore.checks.hints import HINTS, error_hint, error_text, is_stub, signature_fault
from segcore.checks.ladder import Trial
from segcore.checks.naming import Naming
from segcore.checks.patterns import examples, pattern
from segcore.checks.rules import rule
from segcore.checks.sandbox import Outcome, call, guarded, sealed
from segcore.checks.show import clean
from segcore.checks.turned import VAGUE, turned
from segcore.checks.twofold import Attempt, twofold

__all__ = ["CheckFailed", "Report", "check", "judge"]

# For these kinds of fault a merely likely mistake goes before the fault's own hint; the others say more.
_PLAIN = {"value", "near", "raised"}
# For these, what the numbers have in common over all cases may say more than a general hint.
_UNBOUNDED = {"nan", "infinite"}
_NUMBERS = {"value", "shape", *_UNBOUNDED}
# For these, something that explains every case is sought.
_OF_NUMBERS = {"value", "near", "shape", "length", "transposed", "ones", "nan", "infinite", "raised"}


class CheckFailed(AssertionError):
    """Raised in strict mode where an exercise is not passed; its message is the card."""


@dataclass
class Report:
    """What a check found: state, kind of fault, the mistake's name where it is known, and the card."""

    exercise: Exercise
    state: str  # passed, failed, error or not attempted
    card: Card
    kind: str = ""
    text: str = ""  # what is wrong, in one sentence
    mistake: str = ""
    passed: int = 0
    tried: int = 0
    function: Any = None  # where it passed: the reader's, its results in the form that the lab goes on with


def check(exercise: str, function: Callable[..., Any], hint: int | None = None) -> Callable[..., Any]:
    """Check an exercise and show one card.

    Args:
        exercise: Its id, such as ``"13.2"``.
        function: The reader's function.
        hint: How far up the ladder of hints to open the card, where the exercise is not passed: 1 says what
            is wrong, 2 where, 3 how to go about it, 4 shows a solution. Strict mode leaves it at 1.

    Returns:
        The reader's function where it is right, else the reference, so that the cells below work in any case.

    Raises:
        CheckFailed: In strict mode (``SEGCORE_CHECKS=strict``) where the exercise is not passed.
        ValueError: There is no such exercise or rung, or the environment variable says something unknown.
    """
    mode = os.environ.get("SEGCORE_CHECKS", "").strip().lower()
    if mode not in {"", "hints", "strict"}:
        raise ValueError(f"SEGCORE_CHECKS is {mode!r}; it may be 'hints' (the usual way) or 'strict'")
    opened = ladder.depth(hint)
    found = find_exercise(exercise)
    theirs, handed = _readers.get(found.id, (None, None))
    if theirs is not None and function is handed:
        function = theirs  # the check cell ran twice: its name already stood for what a check had returned
    report = judge(found, function)
    card, passed = report.card, report.state == "passed"
    _progress.record(found.id.partition("@")[0], report.state, 0 if passed or mode == "strict" else opened)
    if mode == "strict":
        card.folds = []
        if not passed:
            raise CheckFailed(repr(card))
    else:
        ladder.climb(card, found, opened)
    if not passed:
        card.text("The cells below go on with the course's own function, so you can read on and come back.")
    display(card)
    result = found.in_the_lab(report.function if passed else found.reference)
    _readers[found.id] = function, result
    return result


_readers: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}  # by exercise: given, handed back


def judge(exercise: Exercise, function: Callable[..., Any], seed: int = 0) -> Report:
    """Run a function on the exercise's cases and say what is wrong; shows nothing and keeps nothing."""
    report = Report(exercise, "failed", Card(f"{exercise.id} {exercise.title}", "failed"))
    with guarded():
        cases = exercise.make_cases(seed)
        if not callable(function):
            _say(
                report,
                "callable",
                f"Expected a function named {exercise.name}; came: {type(function).__name__}.",
            )
        elif fault := signature_fault(exercise, function, cases):
            _say(report, "signature", fault)
        else:
            _run(report, function, cases)
    report.card.state = report.state
    return report


def _say(report: Report, kind: str, text: str, hint: str = "") -> None:
    report.kind, report.text = kind, text
    report.card.text(text)
    report.card.hint(hint or HINTS[kind])


def _run(report: Report, function: Callable[..., Any], cases: list[Case]) -> None:
    exercise, card = report.exercise, report.card
    expected = [exercise.reference(*sealed(case.args), **sealed(dict(case.kwargs))) for case in cases]
    trials = [Trial(*pair) for pair in zip(cases, expected, strict=True)]
    for trial in trials:
        outcome = call(function, trial.case.args, trial.case.kwargs, exercise.seconds)
        trial.outcome, trial.fault = outcome, _fault(exercise, trial.expected, outcome)
        if trial is trials[0] and is_stub(outcome.error, function):
            report.state, report.kind = "not attempted", "not attempted"
            card.text(f"Write {exercise.name} in the cell above, run it, then run this cell again.")
            card.text(
                "(As long as the line raise NotImplementedError() is reached, it counts as not attempted.)"
            )
            return
        if outcome.timeout:
            break
    report.tried = sum(trial.outcome is not None for trial in trials)
    report.passed = sum(trial.outcome is not None and trial.fault is None for trial in trials)
    card.text(_tried(trials, report))
    failed = ladder.smallest(trials)
    if failed is None:
        _properties(report, function)
        report.function = _fitted(function, trials, inspect.signature(exercise.reference))
    else:
        _explain(report, trials, failed, function)
        card.folds = ladder.rungs(exercise, ladder.where(exercise, trials, failed, function))
    if report.state == "passed":
        card.folds = ladder.after(exercise)
    _printed(card, trials)


def _fault(exercise: Exercise, expected: Any, outcome: Outcome) -> Difference | None:
    if outcome.timeout:
        return _of_time(exercise.seconds, outcome.over)
    if outcome.error is not None:
        return Difference("raised", f"Your function raised {error_text(outcome.error)}")
    naming = Naming(exercise.axes, exercise.places)
    try:
        found = difference(expected, outcome.value, exercise.tolerance, naming)
        if found is not None and (found.kind == "type" or (found.kind == "dtype" and exercise.any_float)):
            found = difference(expected, _as(expected, outcome.value), exercise.tolerance, naming)
        if exercise.compare is not None and (found is None or found.kind in {"value", "near"}):
            text = exercise.compare(expected, outcome.value)
            found = Difference("value", text) if text else None
    except Exception as error:
        return Difference("type", f"What your function returned cannot be compared ({type(error).__name__}).")
    if found is None and outcome.changed:
        return Difference("changed", "The result is right, but your function changes its input.")
    return found


def _of_time(seconds: float, over: str) -> Difference:
    if over == "waiting":
        said = f"after {sandbox.IDLE * seconds:g} s, of which it computed in less than a tenth"
        return Difference("waits", f"Your function had not come back {said}.")
    if over == "memory":
        return Difference("memory", f"Your function took more than {sandbox.ROOM / 2**30:g} GB of memory.")
    return Difference("timeout", f"Your function had not come back after {seconds:g} s of computing.")


def _tried(trials: list[Trial], report: Report) -> str:
    worked = sum(bool(trial.case.note) for trial in trials)
    others = len(trials) - worked
    kinds = [
        f"{count} {name}{'s' * (count != 1)}"
        for count, name in ((worked, "example"), (others, "random case"))
        if count
    ]
    result = "all passed" if report.passed == len(trials) else f"{report.passed} of {len(trials)} passed"
    return f"Tried {' and '.join(kinds)}: {result}."


def _explain(report: Report, trials: list[Trial], failed: Trial, function: Callable[..., Any]) -> None:
    """What is wrong in the case that is told, in a sentence or two, and the hint."""
    card, fault, outcome = report.card, failed.fault, failed.outcome
    assert fault is not None and outcome is not None
    report.kind, report.text = fault.kind, clean(fault.text, 600)
    if outcome.error is not None:
        report.state = "error"
    if fault.kind not in ladder.FIGURES:
        card.text(report.text)
    if outcome.changed:
        names = [name for index, name in enumerate(ladder.names(report.exercise)) if index in outcome.changed]
        card.text(f"It writes into its argument{'s' * (len(names) > 1)} {' and '.join(names)}.")
    if outcome.stuck:
        card.text("It could not be stopped and still runs: restart the kernel before you go on.")
    kind = fault.kind
    if kind == "ones" and any(trial.fault is not None and trial.fault.kind != "ones" for trial in trials):
        kind = "shape"  # one value looks right in any shape: the other cases know better
    known: list[list[Attempt]] = []
    mistake, perhaps = (None, "") if outcome.timeout else recognise(report.exercise, trials, known)
    sought = kind in _OF_NUMBERS and (mistake is None or bool(perhaps))
    sure = None
    if sought:
        sure = _remembers(report.exercise, failed, function)
        sure = sure or _sure(report.exercise, trials, [] if kind == "ones" else known)
    if sure is not None and not (mistake is not None and sure.name == VAGUE):
        report.mistake = sure.name
        card.hint(sure.hint)
    elif mistake is not None and (not perhaps or kind in _PLAIN or kind != fault.kind):
        report.mistake = f"{mistake.name} (perhaps)" if perhaps else mistake.name
        card.hint(f"{perhaps}{mistake.hint}")
    elif outcome.changed:
        card.hint(HINTS["changed"])
    elif outcome.error is not None:
        card.hint(error_hint(outcome.error))
    else:
        card.hint(_seen(report.exercise, trials, kind) if kind in _NUMBERS else HINTS[kind])


def _remembers(exercise: Exercise, failed: Trial, function: Callable[..., Any]) -> Other | None:
    """Whether a function gives another result when it is called again with the same arguments."""
    before = failed.outcome
    if before is None or before.error is not None or before.changed:
        return None
    again = call(function, failed.case.args, failed.case.kwargs, exercise.seconds)
    if again.timeout or again.error is not None or agrees(before.value, again.value, exercise.tolerance):
        return None
    return Other(
        "state kept between calls",
        "Called again with the same arguments, your function gives something else. What does it keep between "
        "calls: a list or a counter outside it, a default argument that is changed, a random number?",
    )


def _sure(exercise: Exercise, trials: list[Trial], known: list[list[Attempt]]) -> Other | None:
    """What holds in every case: another call of the reference, a rule, a change of it, or two faults."""
    if any(trial.outcome is None or trial.outcome.changed for trial in trials):
        return None
    try:
        if found := other_call(exercise, trials):
            return found
        sizes = [sizes_of(exercise.reference, trial.case) for trial in trials]
        if text := rule(_pairs(trials), sizes, exercise.tolerance):
            return Other("", text)
        for alike in (False, True):
            if found := turned(exercise, trials, alike):
                seen = _pattern(exercise, trials)  # where it is wrong, beside what is done
                return Other(found.name, f"{seen} {found.hint}" if seen else found.hint)
            if known and not alike and (both := twofold(exercise, trials, known)):
                return both
        return None
    except Exception:  # what a reader returns may be anything
        return None


def _seen(exercise: Exercise, trials: list[Trial], kind: str) -> str:
    """A hint for wrong numbers that no known mistake explains."""
    if found := _pattern(exercise, trials):
        return f"{found} {HINTS[kind]}" if kind in _UNBOUNDED else found
    if found := axes(exercise, trials) or apart(exercise, trials):
        return found
    if kind in _UNBOUNDED:
        return HINTS[kind]
    noted = [(trial.case.note, trial.fault is not None) for trial in trials if trial.case.note]
    others = any(trial.fault is not None for trial in trials if not trial.case.note)
    return examples(noted, others) or HINTS[kind]


def _pattern(exercise: Exercise, trials: list[Trial]) -> str | None:
    return pattern(_pairs(trials), exercise.tolerance, Naming(exercise.axes, exercise.places))


def _pairs(trials: list[Trial]) -> list[tuple[Any, Any]]:
    """What was expected and what came, in the cases that came to an end."""
    outcomes = [(trial.expected, trial.outcome) for trial in trials if trial.outcome is not None]
    return [(expected, each.value) for expected, each in outcomes if each.error is None and not each.timeout]


def recognise(
    exercise: Exercise, trials: list[Trial], known: list[list[Attempt]]
) -> tuple[Mistake | None, str]:
    """The mistake that explains the results, and words to put before its hint where that is not certain.

    Certain is a mistake that gives the reader's results in every case. Else the one that explains most cases
    is named if it explains most of the failed ones, or the one that is told and another one (a single number
    may agree by chance). What each mistake gives in each case is noted in `known`.
    """
    failing, told = [trial for trial in trials if trial.fault is not None], ladder.smallest(trials)
    counts: dict[int, int] = {}
    here: list[int] = []  # what gives the result of the case that is told
    drawn: set[int] = set()  # what gives that of a random case: small ones agree by chance
    for number, mistake in enumerate(exercise.mistakes):
        known.append([_attempt(mistake.function, trial.case) for trial in trials])
        found = [_compared(exercise, *pair) for pair in zip(known[number], trials, strict=True)]
        explained = [trial for trial, (_, wrong) in zip(trials, found, strict=True) if wrong]
        if explained and all(alike for alike, _ in found):
            return mistake, ""
        explained = [trial for trial in explained if not _flat(trial.outcome)]
        counts[number] = len(explained)
        here += [number] if told in explained else []
        drawn |= {number} if any(not trial.case.note for trial in explained) else set()
    if guarded_otherwise := _of_another_guard(exercise, trials, told):
        return guarded_otherwise, ""
    here.sort(key=lambda number: -counts[number])
    best = max(counts, key=lambda number: counts[number], default=0)
    if counts and counts[best] >= 2 and 2 * counts[best] > len(failing):
        return exercise.mistakes[best], "This may be it, at least in most of the cases: "
    here = [number for number in here if number in drawn]
    if here and counts[here[0]] >= 2 and (len(here) == 1 or counts[here[0]] > counts[here[1]]):
        words = "Perhaps not all of it, but this gives your numbers in the smallest case: "
        return exercise.mistakes[here[0]], words
    return None, ""


def _of_another_guard(exercise: Exercise, trials: list[Trial], told: Trial | None) -> Mistake | None:
    """The mistake that gives the reader's results in every case with another small number in it.

    Where several small numbers give them, they do not show, and nothing is said of one.
    """
    first = sorted(trials, key=lambda trial: trial is not told)

    def explains(function: Callable[..., Any]) -> bool:
        found = (_compared(exercise, _attempt(function, trial.case), trial) for trial in first)
        return all(alike for alike, _ in found)

    for mistake in exercise.mistakes:
        if sum(explains(function) for function in guards_of(mistake.function)) == 1:
            return mistake
    return None


def _flat(outcome: Outcome | None) -> bool:
    """Whether a result is one number all over: many faults lead to that, so it tells nothing."""
    value = None if outcome is None or outcome.error is not None else outcome.value
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type == "meta":
        return False
    return value.numel() > 1 and bool((value == value.flatten()[0]).all())


def _compared(exercise: Exercise, attempt: Attempt, trial: Trial) -> tuple[bool, bool]:
    """Whether the reader's function does in a case what a mistake does, and whether both are wrong there."""
    value, error = attempt
    alike = _same(trial.outcome, value, error, exercise.tolerance)
    return alike, alike and (error is not None or not agrees(trial.expected, value, exercise.tolerance))


def _attempt(function: Callable[..., Any], case: Case) -> Attempt:
    try:
        with torch.no_grad():
            return Attempt(function(*sealed(case.args), **sealed(dict(case.kwargs))), None)
    except Exception as error:
        return Attempt(None, error)


def _same(outcome: Outcome | None, value: Any, error: Exception | None, tolerance: float) -> bool:
    if outcome is None:
        return False
    if error is not None or outcome.error is not None:
        # Alike by type is not alike by cause: the words, with the sizes in them, must be the same.
        return type(error) is type(outcome.error) and str(error) == str(outcome.error)
    try:
        return agrees(value, outcome.value, tolerance)
    except Exception:
        return False


def _properties(report: Report, function: Callable[..., Any]) -> None:
    for each in report.exercise.properties:
        outcome = call(lambda each=each: each.test(function), (), {}, report.exercise.seconds)
        if outcome.timeout or outcome.error is not None or outcome.value:
            text = "Your function did not come back." if outcome.timeout else outcome.value
            if outcome.error is not None:
                text = f"{each.name}: {error_text(outcome.error)}"
            report.mistake = each.name
            _say(report, "property", clean(text), each.hint)
            words = f'Not in a case: they all pass. What fails is a test beyond them, "{each.name}".'
            report.card.folds = ladder.rungs(report.exercise, [("text", [words])])
            return
    report.state = "passed"


def _fitted(
    function: Callable[..., Any], trials: list[Trial], wanted: inspect.Signature
) -> Callable[..., Any]:
    """The function; where a check passes what the cells below could not use, in the form that they can.

    They may call it by the names of the skeleton's parameters, whatever the reader calls them.
    """
    values = [(trial.expected, trial.outcome.value) for trial in trials if trial.outcome is not None]
    if all(_as(expected, value) is value for expected, value in values) and _takes(function, wanted):
        return function
    form = trials[0].expected

    @functools.wraps(function)
    def fitted(*args: Any, **kwargs: Any) -> Any:
        given = wanted.bind(*args, **kwargs)
        return _as(form, function(*given.args, **given.kwargs))

    return fitted


def _takes(function: Callable[..., Any], wanted: inspect.Signature) -> bool:
    """Whether a function's parameters have the names that are wanted."""
    try:
        return list(inspect.signature(function).parameters) == list(wanted.parameters)
    except ValueError:  # some built-in functions have no signature
        return False


def _as(form: Any, value: Any) -> Any:
    """A value as a tensor where the form is one, in its precision; the same value where it is so already.

    Where several single numbers are asked for, one tensor of as many will do.
    """
    several = isinstance(form, tuple) and all(type(e) is int or getattr(e, "ndim", 1) == 0 for e in form)
    if several and isinstance(value, torch.Tensor) and value.shape == (len(form),) != (0,):
        value = tuple(value if isinstance(form[0], torch.Tensor) else value.tolist())
    if isinstance(form, tuple | list) and isinstance(value, tuple | list) and len(form) == len(value):
        parts = [_as(*pair) for pair in zip(form, value, strict=True)]
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else type(form)(parts)
    if not isinstance(form, torch.Tensor):
        return value
    if isinstance(value, bool | int | float):
        return torch.tensor(value, dtype=form.dtype)
    floats = isinstance(value, torch.Tensor) and value.is_floating_point() and form.is_floating_point()
    return value.to(form.dtype) if floats else value


def _printed(card: Card, trials: list[Trial]) -> None:
    """What the function printed the first time that it did: a few lines."""
    text = next(
        (trial.outcome.printed for trial in trials if trial.outcome and trial.outcome.printed.strip()), ""
    )
    if text:
        lines = text.rstrip().splitlines()
        card.text(
            "Your function printed:" if len(lines) <= 5 else "Your function printed a lot; the first lines:"
        )
        card.block([clean(line, 120) for line in lines[:5]])
