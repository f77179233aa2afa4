"""Variants of an exercise: the same idea with another convention, axis order, label or range.

A `Twist` changes one convention. It is written as the lines that lead from the variant's form to the lab's,
and back: the reference, the cases, the mistakes, the way back into the lab and the last rung of the hints
are all made from them, so nothing of an exercise is written twice. A `Varied` exercise lists its twists and
says the task in words; each twist makes a variant, and so do two twists that do not speak of the same thing.

The lines see the arguments by their names, the lab's result as ``result``, and ``torch`` and ``F``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import linecache
import re
import textwrap
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from segcore.checks.compare import agrees
from segcore.checks.exercise import Case, Exercise, Mistake, Property

__all__ = ["Twist", "Variant", "Varied", "head_and_body", "make", "renamed"]

LAB = "in_the_lab"  # what the lab's own function is called inside of a variant's


@dataclass(frozen=True, eq=False)
class Twist:
    """One convention that is not the lab's.

    Args:
        name: A word or two for the variant's name, ``yx-points``.
        about: What is different, in a few words without a full stop.
        hint: For a reader who keeps the lab's convention.
        take: Lines from the arguments as they come here to those that the lab's function takes.
        hand: The way back: lines from the lab's arguments to those of the variant.
        give: Lines from the lab's ``result`` to what is asked here.
        back: The way back: from what is asked here to the lab's ``result``.
        given: What the task says of arguments, by their names, instead of the usual words.
        returns: What the task says of the result, instead of the usual words.
        says: Sentences of the task, by the names of their places, instead of the usual ones.
    """

    name: str
    about: str
    hint: str
    take: str = ""
    hand: str = ""
    give: str = ""
    back: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    returns: str = ""
    says: Mapping[str, str] = field(default_factory=dict)

    @property
    def places(self) -> set[str]:
        """What of a task it speaks of; two twists of one variant share none."""
        result = {"returns"} if self.returns or self.give else set()
        return {*self.given, *(f"{{{place}}}" for place in self.says), *result}


@dataclass(frozen=True, eq=False)
class Varied:
    """An exercise of a lab and the twists that make its variants.

    Args:
        of: The exercise's id.
        task: The task in words, complete but for arguments and result; ``{place}`` stands for a sentence.
        given: What each argument is, by its name.
        returns: What comes back.
        twists: What can be different.
        says: The usual sentences, by the names of their places.
        keeps: Names of the lab's mistakes whose hints hold in every variant.
        example: Which of the lab's cases is worked by hand in the task's text.
        why: A sentence or two on that example, true in every variant.
        notes: Other notes for cases whose own would be wrong in a variant.
    """

    of: str
    task: str
    given: Mapping[str, str]
    returns: str
    twists: tuple[Twist, ...]
    says: Mapping[str, str] = field(default_factory=dict)
    keeps: tuple[str, ...] = ()
    example: int = 0
    why: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def choices(self) -> list[tuple[Twist, ...]]:
        """The twists of each variant: every one alone, then every two that do not meet in one place."""
        pairs = [
            (one, two) for one, two in itertools.combinations(self.twists, 2) if not one.places & two.places
        ]
        return [*((each,) for each in self.twists), *pairs]


@dataclass(frozen=True, eq=False)
class Variant(Exercise):
    """An exercise with other conventions; the engine checks it like any other.

    Args:
        label: Its name, made of its twists' names.
        base: The lab's exercise.
        varied: Where its words come from.
        twists: What is different.
    """

    label: str = ""
    base: Exercise = None  # type: ignore[assignment]
    varied: Varied = None  # type: ignore[assignment]
    twists: tuple[Twist, ...] = ()

    def in_the_lab(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of this variant in the lab's form, for the cells below its check."""
        return _in_the_lab(self.base, self.twists, function)

    def example(self) -> tuple[int, tuple[Any, ...], Any]:
        """The case that the task works by hand, its arguments, and what comes out.

        It is the exercise's own example, or the first after it on which the lab's answer is another one.
        """
        cases, lab = self.make_cases(), self.base.make_cases()
        numbers = [each for each, case in enumerate(cases) if case.note]
        first = self.varied.example
        for number in [*numbers[first:], *numbers[:first]]:
            args, usual = cases[number].args, lab[number].args
            result = self.reference(*args)
            told = agrees(result, self.base.reference(*usual, **lab[number].kwargs), 0.0)
            if not told or not all(agrees(*pair, 0.0) for pair in zip(args, usual, strict=False)):
                return number, args, result
        return first, cases[first].args, self.reference(*cases[first].args)


def make(varied: Varied, base: Exercise) -> tuple[Variant, ...]:
    """All variants of an exercise, each with its known mistakes.

    Args:
        varied: The exercise's twists and words.
        base: The lab's exercise.

    Returns:
        One variant for each of `varied.choices()`.
    """
    choices = varied.choices()
    return tuple(_variant(varied, base, choice, choices) for choice in choices)


def _variant(
    varied: Varied, base: Exercise, twists: tuple[Twist, ...], others: Sequence[tuple[Twist, ...]]
) -> Variant:
    label = "-and-".join(each.name for each in twists)
    return Variant(
        id=f"{base.id}@{label}",
        title=base.title,
        reference=_compiled(
            base.name, _parameters(base)[0], _body(base, twists, twists), **{LAB: base.reference}
        ),
        cases=functools.partial(_cases, varied, base, twists),
        mistakes=(
            *_kept_from_the_lab(base, twists),
            *_kept(varied, base, twists),
            *_of(base, twists, others),
        ),
        tolerance=base.tolerance,
        compare=base.compare,
        properties=tuple(_property(each, base, twists) for each in base.properties),
        points=base.points,
        seconds=base.seconds,
        any_float=base.any_float,
        plan=_plan(base, twists),
        solution=functools.partial(_solution, base, twists),
        label=label,
        base=base,
        varied=varied,
        twists=twists,
    )


# Lines that become functions ------------------------------------------------------------------------------


def _compiled(name: str, parameters: str, lines: Sequence[str], **known: Any) -> Callable[..., Any]:
    """A function made of lines, which tracebacks and `inspect` can show."""
    source = f"def {name}({parameters}):\n" + textwrap.indent("\n".join(lines), "    ") + "\n"
    file = f"<variant {name} {zlib.crc32(source.encode()):08x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"torch": torch, "F": F, "__name__": __name__, **known}
    exec(compile(source, file, "exec"), space)
    return space[name]


def _parameters(exercise: Exercise) -> tuple[str, str]:
    """An exercise's parameters as a ``def`` has them, and their names as a call has them."""
    signature = inspect.signature(exercise.reference)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(plain))[1:-1], ", ".join(signature.parameters)


def _lines(parts: Sequence[str]) -> list[str]:
    return [line for part in parts for line in textwrap.dedent(part).strip("\n").split("\n") if part]


def _body(base: Exercise, taken: Sequence[Twist], given: Sequence[Twist]) -> list[str]:
    """The lines of a variant's function around a call of the lab's."""
    _, names = _parameters(base)
    ways = _lines([each.give for each in reversed(given)])
    called = f"{LAB}({names})"
    tail = [f"result = {called}", *ways, "return result"] if ways else [f"return {called}"]
    return [*_lines([each.take for each in taken]), *tail]


def _turned(
    base: Exercise,
    twists: Sequence[Twist],
    function: Callable[..., Any],
    given: Sequence[Twist] | None = None,
) -> Callable[..., Any]:
    """A function of the lab, right or wrong, in a variant's form; compiled when it is called."""
    return _later(base, tuple(twists), function, tuple(twists if given is None else given))


@functools.cache
def _later(
    base: Exercise, twists: tuple[Twist, ...], function: Callable[..., Any], given: tuple[Twist, ...]
) -> Callable[..., Any]:
    @functools.cache
    def compiled() -> Callable[..., Any]:
        return _compiled(base.name, _parameters(base)[0], _body(base, twists, given), **{LAB: function})

    def turned(*args: Any, **kwargs: Any) -> Any:
        return compiled()(*args, **kwargs)

    return turned


def _handed(base: Exercise, twists: Sequence[Twist]) -> Callable[..., tuple[Any, ...]]:
    """From the lab's arguments to the variant's."""
    parameters, names = _parameters(base)
    lines = _lines([each.hand for each in reversed(twists)])
    return _compiled("hand", parameters, [*lines, f"return ({names},)"])


def _in_the_lab(base: Exercise, twists: Sequence[Twist], function: Callable[..., Any]) -> Callable[..., Any]:
    _, names = _parameters(base)
    lines = [*_lines([each.back for each in twists]), "return result"]
    hand, back = _handed(base, twists), _compiled("back", f"result, {names}", lines)
    signature = inspect.signature(base.reference)

    @functools.wraps(base.reference)
    def as_in_the_lab(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return back(function(*hand(*bound.args)), *bound.args)

    return as_in_the_lab


# What an exercise is made of ------------------------------------------------------------------------------


def _cases(varied: Varied, base: Exercise, twists: Sequence[Twist], generator: torch.Generator) -> list[Case]:
    hand, signature = _handed(base, twists), inspect.signature(base.reference)
    made = []
    for case in base.cases(generator):
        bound = signature.bind(*case.args, **case.kwargs)
        bound.apply_defaults()
        args = hand(*bound.args)
        given = len(case.args) if not case.kwargs else len(args)
        while given < len(args) and any(
            not agrees(*pair, 0.0) for pair in zip(args[given:], bound.args[given:], strict=True)
        ):
            given += 1  # what is usually left out is another number here
        made.append(Case(args[:given], varied.notes.get(case.note, case.note)))
    return made


def _kept_from_the_lab(base: Exercise, twists: Sequence[Twist]) -> list[Mistake]:
    """The lab's convention kept: in one of the twists, in all of them, in arguments or result alone."""
    made = []
    for each in twists:
        rest = [other for other in twists if other is not each]
        made.append(Mistake(f"as in the lab: {each.about}", _turned(base, rest, base.reference), each.hint))
        if each.take and each.give:
            words = (
                f"What comes in you read rightly, but your result is still as in the lab. Here: {each.about}."
            )
            function = _turned(base, twists, base.reference, rest)
            made.append(Mistake(f"result as in the lab: {each.about}", function, words))
            words = (
                f"Your result has the right form, but what comes in you read as in the lab. Here: "
                f"{each.about}."
            )
            function = _turned(base, rest, base.reference, twists)
            made.append(Mistake(f"arguments as in the lab: {each.about}", function, words))
    if len(twists) > 1:
        words = f"That is the lab's own answer. This task differs from the lab: {_about(twists)}."
        made.append(Mistake("as in the lab", base.reference, words))
    return made


def _about(twists: Sequence[Twist]) -> str:
    return "; ".join(each.about for each in twists)


def _kept(varied: Varied, base: Exercise, twists: Sequence[Twist]) -> list[Mistake]:
    """The lab's mistakes that hold here."""
    known = {each.name: each for each in base.mistakes}
    found = [known[name] for name in varied.keeps]
    return [Mistake(each.name, _turned(base, twists, each.function), each.hint) for each in found]


def _of(base: Exercise, twists: tuple[Twist, ...], others: Sequence[tuple[Twist, ...]]) -> list[Mistake]:
    """The answers to other variants, but for those that leave out some of this one's twists."""
    made = []
    for each in others:
        if set(each) <= set(twists):
            continue
        words = f"That answers the task with another convention: {_about(each)}. What does this one ask for?"
        made.append(Mistake(f"another variant: {_about(each)}", _turned(base, each, base.reference), words))
    return made


def _property(each: Property, base: Exercise, twists: Sequence[Twist]) -> Property:
    return Property(each.name, lambda function: each.test(_in_the_lab(base, twists, function)), each.hint)


def _plan(base: Exercise, twists: Sequence[Twist]) -> tuple[str, ...]:
    ways = ["bring what you are given into the lab's form"] * any(each.take for each in twists)
    ways += ["turn the lab's result into what is asked here"] * any(each.give for each in twists)
    first = f"Either {' and '.join(ways)}, or change the lab's steps where they meet it: {_about(twists)}."
    steps = list(base.plan)
    if len(steps) > 4:
        steps[3:] = [" ".join(steps[3:])]
    return (first, *steps)


def _solution(base: Exercise, twists: Sequence[Twist]) -> list[tuple[str, list[str]]]:
    """The lab's lines inside a function of their own, then the lines of the twists around a call of it."""
    from segcore.checks.ladder import shown

    chunks = shown(base)
    if not chunks:
        return []
    made: list[tuple[str, list[str]]] = []
    head, inner = f"def {LAB}({_parameters(base)[0]}):", "    "
    if any(line.startswith(f"def {base.name}(") for _, lines in chunks for line in lines):
        head, inner = "", ""
    for number, (reason, lines) in enumerate(chunks):
        code = [renamed(line, base.name) if not head else f"{inner}{line}" for line in lines]
        made.append((reason, [head, *code] if head and not number else code))
    words = (
        f"The lab's own lines, under another name, with what is different here around them: {_about(twists)}."
    )
    body = _body(base, twists, twists)
    if not head:
        body = [f"def {base.name}({_parameters(base)[0]}):", *(f"    {line}" for line in body)]
    return [*made, (words, body)]


def head_and_body(variant: Variant) -> tuple[str, list[str]]:
    """The parameters of a variant's function, and its lines around a call of the lab's."""
    return _parameters(variant.base)[0], _body(variant.base, variant.twists, variant.twists)


def renamed(line: str, name: str) -> str:
    """A line of the lab's solution in which its function is called `in_the_lab`."""
    return re.sub(rf"(?<![.\w]){name}(?=\()", LAB, line)
