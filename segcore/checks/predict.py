"""A guess before a cell runs, and what came beside it: ``guess = predict("VGG-16's last map", size=...)``.

Whoever says first what will come out looks at it with other eyes. A prediction is no exercise: nothing is
marked, nothing is kept, and one that was not made breaks nothing, whatever ``SEGCORE_CHECKS`` says.
"""

from __future__ import annotations

from typing import Any

from segcore import inputs
from segcore.checks.card import Card, display
from segcore.checks.compare import agrees
from segcore.checks.show import block, summary

__all__ = ["Prediction", "predict"]

LONGEST = 40  # characters of a value in the table; what is longer is said by its kind and size


def predict(question: str, /, *, within: float = 1e-6, **guesses: Any) -> Prediction:
    """Keep what the reader thinks will come out, until :meth:`Prediction.compare` sets it beside what came.

    Args:
        question: What is asked, as a short title.
        within: How far a number may be off and still count as said, relative and absolute.
        **guesses: A name and a value for each number or shape that is asked for; ``...`` for "not yet".

    Returns:
        The guesses.

    Raises:
        TypeError: The question is no text, or `within` no number.
        ValueError: Nothing is asked for, or `within` is negative.

    Example:
        >>> guess = predict("A 3×3 kernel, dilation 2", width=6, weights=9)
        >>> guess.compare(width=5, weights=9)
        ○ A 3×3 kernel, dilation 2: 1 of 2 as you said
                     you said    came
            width    6           5
            weights  9           9     ✓
        <BLANKLINE>
        >>> predict("The same", width=...).compare(width=5)
        ○ The same: came, and you had not said yet
                   you said    came
            width  ...         5
        <BLANKLINE>
    """
    if not isinstance(question, str):
        raise TypeError(f"expected the question as a text, got {summary(question)}; say first what is asked")
    if not guesses:
        raise ValueError('expected something to predict, got nothing; name it: predict("...", shape=...)')
    return Prediction(question, guesses, inputs.number(within, "within", least=0))


class Prediction:
    """What was said beforehand. `predict` makes it.

    Args:
        question: What was asked.
        guesses: The guess for each name; ``...``, or a value that holds it, is none.
        within: How far a number may be off.
    """

    def __init__(self, question: str, guesses: dict[str, Any], within: float) -> None:
        self.question, self.guesses, self.within = question, guesses, within

    def compare(self, **came: Any) -> None:
        """Show each guess beside what came.

        Args:
            **came: What came, under the names that were asked for. What the reader left out, or called
                otherwise, counts as not said.

        Raises:
            ValueError: Nothing came.
        """
        if not came:
            raise ValueError("expected what came, got nothing; give it by the names of the prediction")
        said = {name: self.guesses.get(name, ...) for name in came}
        right = [_agrees(value, said[name], self.within) for name, value in came.items()]
        rows: list[tuple[str, ...]] = [("", "you said", "came", "")]
        for (name, value), good in zip(came.items(), right, strict=True):
            rows.append((name, "..." if _open(said[name]) else _text(said[name]), _text(value), "✓" * good))
        card = Card(self.question, "passed" if all(right) else "not attempted")
        if all(right):
            card.words = "as you said"
        elif all(map(_open, said.values())):
            card.words = "came, and you had not said yet"
        else:
            card.words = f"{sum(right)} of {len(right)} as you said"
        card.block(_table(rows))
        display(card)


def _open(value: Any, depth: int = 4) -> bool:
    """Whether a guess was left as it was, wholly or in part; a list may hold itself, so not for ever."""
    if value is ... or depth == 0 or not isinstance(value, tuple | list):
        return value is ...
    return any(_open(part, depth - 1) for part in value)


def _agrees(came: Any, said: Any, within: float) -> bool:
    """Whether a guess counts as right; one that cannot be compared does not."""
    try:
        return not _open(said) and agrees(came, said, within)
    except Exception:  # whatever a reader may have written for a number
        return False


def _text(value: Any) -> str:
    """A value in one line."""
    lines = block(tuple(value) if isinstance(value, tuple) else value)
    return lines[0] if len(lines) == 1 and len(lines[0]) <= LONGEST else summary(value)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of words in columns: names close to what was said, what came a little apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{name.ljust(widths[0])}  {said.ljust(widths[1])}    {came.ljust(widths[2])}  {good}".rstrip()
        for name, said, came, good in rows
    ]
