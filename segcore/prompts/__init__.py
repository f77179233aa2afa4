r"""Prompts: short questions of the book whose numbers are drawn anew, "what comes out?".

A prompt is a question with gaps, a way to draw the numbers that fill them, and a function of the library that
gives the answer. ``segcore/prompts/<slug>.py`` lists a chapter's prompts as ``PROMPTS``. The book draws some
two dozen instances of each when it is built and its pages ask one at random, so an answer is computed here
and never written down::

    Prompt(
        name="06.span",
        ask="A convolution's kernel is {k} wide, its dilation {d}. How many columns does it span?",
        draw=lambda random: {"k": random.choice([3, 5, 7]), "d": random.randint(2, 6)},
        answer=lambda k, d: span(k, d),
        why="Between {k} taps lie {k} - 1 gaps, each {d} wide, and the last tap adds 1: {answer}.",
        wrong={"You multiplied, and counted the gap behind the last tap too.": lambda k, d: k * d},
    )

**Gaps.** ``{k}`` stands for the number that ``draw`` gave the name ``k``, ``{k:.2f}`` for it in that format;
in ``why`` and in the sentences of ``wrong``, ``{answer}`` is the right answer. Braces around anything else
stay as they are, so roles (``{term}`stride```) and formulas work; a number inside TeX's own braces has two
pairs, ``\frac{{k}}{{d}}``. What ``draw`` returns under a name with a leading underscore fills gaps and is
not passed to ``answer`` and ``wrong``.

Importing this package is light: a chapter's prompts are loaded when they are asked for.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Drawn", "Prompt", "drawn", "fill", "gaps", "prompt_slugs", "prompts"]

GAP = re.compile(r"\{(?P<name>_?[A-Za-z]\w*)(?::(?P<form>[^{}`]+))?\}(?!`)")
Number = int | float
Answer = Number | tuple[Number, ...]


@dataclass(frozen=True)
class Prompt:
    """A question whose numbers are drawn anew.

    Attributes:
        name: The chapter's number, a dot and a slug ("06.span"); unique, since readers' schedules keep it.
        ask: One or two sentences in MyST's inline markup, with gaps such as ``{k}``.
        draw: Draws the numbers, by their names in the gaps.
        answer: Takes the drawn numbers as keywords; an int, a float or a tuple of them, computed by the
            library.
        why: The reason, in inline markup, with the same gaps and ``{answer}``.
        wrong: For each known wrong idea, a sentence to the reader that says what was forgotten, and the
            function that gives what then comes out (None where the idea gives nothing).
        unit: What stands behind the field for the answer ("px").
        digits: Decimals that count in an answer that is no whole number; a reader's last one may be rounded
            either way.
    """

    name: str
    ask: str
    draw: Callable[[random.Random], dict[str, object]]
    answer: Callable[..., object]
    why: str
    wrong: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    unit: str = ""
    digits: int = 0


@dataclass(frozen=True)
class Drawn:
    """One instance of a prompt.

    Attributes:
        numbers: What was drawn, by name, those with a leading underscore too.
        answer: The right answer, of ints and floats.
        wrong: What each wrong idea gives, by its sentence; only where that differs from the right answer.
    """

    numbers: Mapping[str, object]
    answer: Answer
    wrong: Mapping[str, Answer]


def prompt_slugs() -> list[str]:
    """The chapters that have prompts, by their slugs in alphabetical order.

    Example:
        >>> "roi_align" in prompt_slugs()
        True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def prompts(slug: str) -> tuple[Prompt, ...]:
    """A chapter's prompts, in the order in which the chapter asks them.

    Args:
        slug: The chapter's slug, such as "roi_align".

    Raises:
        ValueError: There is no such chapter, or it has no prompts.

    Example:
        >>> prompts("roi_align")[0].name.startswith("13.")
        True
    """
    if slug not in prompt_slugs():
        raise ValueError(f"no prompts for {slug!r}; expected one of {', '.join(prompt_slugs())}")
    found: tuple[Prompt, ...] = importlib.import_module(f"{__name__}.{slug}").PROMPTS
    return found


def drawn(prompt: Prompt, count: int = 24) -> list[Drawn]:
    """Instances of a prompt, the same ones every time, no two with the same numbers.

    Args:
        prompt: What to draw.
        count: How many; fewer come where the prompt has no more within 20 draws for each.

    Raises:
        TypeError: An answer is no number and no tuple of numbers.
        ValueError: An answer is infinite or no number (NaN).

    Example:
        >>> double = Prompt("00.double", "Twice {k}?", lambda r: {"k": r.randint(1, 3)}, lambda k: 2 * k, "")
        >>> sorted(each.answer for each in drawn(double))
        [2, 4, 6]
    """
    found: dict[str, Drawn] = {}
    for attempt in range(20 * count):
        if len(found) == count:
            break
        numbers = prompt.draw(random.Random(f"{prompt.name}/{attempt}"))
        given = {name: value for name, value in numbers.items() if not name.startswith("_")}
        if repr(given) in found:
            continue
        answer = _plain(prompt.answer(**given), prompt)
        wrong = {}
        for sentence, idea in prompt.wrong.items():
            came = idea(**given)
            if came is not None and not _same(plain := _plain(came, prompt), answer, prompt.digits):
                wrong[sentence] = plain
        found[repr(given)] = Drawn(numbers, answer, wrong)
    return list(found.values())


def gaps(text: str, names: Mapping[str, object]) -> list[str]:
    """The gaps of a text that these names fill, as they stand between the braces.

    Example:
        >>> gaps("{k} by {k:.1f}, {term}`stride`, {d}", {"k": 3})
        ['k', 'k:.1f']
    """
    return [gap[0][1:-1] for gap in GAP.finditer(text) if gap["name"] in names]


def fill(text: str, names: Mapping[str, object]) -> str:
    r"""A text with its gaps filled; braces around other names stay.

    Example:
        >>> fill(r"$\frac{{k}}{{d}}$ is {r:.2f}, a {term}`stride`", {"k": 7, "d": 3, "r": 7 / 3})
        '$\\frac{7}{3}$ is 2.33, a {term}`stride`'
    """

    def one(gap: re.Match[str]) -> str:
        if gap["name"] not in names:
            return gap[0]
        value = names[gap["name"]]
        return _signed(format(value, gap["form"])) if gap["form"] else shown(value)

    return GAP.sub(one, text)


def shown(value: object, digits: int = 6) -> str:
    """A value as the book writes it: floats without noise, a true minus, tuples without their brackets.

    Args:
        value: A number, a tuple of numbers or a text.
        digits: Decimals of floats, at most; zeros at their end are left out.

    Example:
        >>> shown((3, 0.1 + 0.2)), shown(-2 / 3, 2)
        ('3, 0.3', '−0.67')
    """
    if isinstance(value, (tuple, list)):
        return ", ".join(shown(each, digits) for each in value)
    if isinstance(value, float):
        text = f"{value:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.removeprefix("-") if float(text) == 0 else _signed(text)
    return _signed(str(value)) if isinstance(value, int) else str(value)


def _signed(text: str) -> str:
    """A number's text with a true minus sign; the page takes a hyphen as well when it is typed."""
    return "−" + text[1:] if text[:1] == "-" and text[1:2].isdigit() else text


def _plain(value: object, prompt: Prompt) -> Answer:
    """An answer as int, float or tuple, from what torch or numpy may give."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (tuple, list)) and value:
        parts = [_plain(each, prompt) for each in value]
        if not any(isinstance(part, tuple) for part in parts):
            return tuple(part for part in parts if not isinstance(part, tuple))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"an answer of the prompt {prompt.name} is {value!r}; expected an int, a float or a tuple of them"
        )
    if not math.isfinite(value):
        raise ValueError(
            f"an answer of the prompt {prompt.name} is {value}; draw numbers that have an answer"
        )
    return value


def _same(one: Answer, other: Answer, digits: int) -> bool:
    """Whether a reader who types the one is taken to mean the other."""
    left = one if isinstance(one, tuple) else (one,)
    right = other if isinstance(other, tuple) else (other,)
    if len(left) != len(right):
        return False
    close = 0.5 * 10**-digits + 1e-9
    return all(
        abs(a - b) <= (close if isinstance(b, float) else 1e-9) for a, b in zip(left, right, strict=True)
    )
