"""When an exercise comes again: six boxes, the first for tomorrow, the last for two months.

Passed at the first check, and without the plan or the solution, an exercise moves a box up; passed later, a
box down; given up, back to the first. It then waits as many days as its box says, and comes back as another
variant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

__all__ = ["DAYS", "NEW", "Item", "given_up", "passed", "pick", "which"]

DAYS = (1, 3, 7, 14, 30, 60)  # that an exercise waits in each box
NEW = 3  # exercises a day that were never reviewed before
EASY = 2  # the deepest rung of hints that still counts as done alone


@dataclass(frozen=True)
class Item:
    """What is known of an exercise that was reviewed.

    Args:
        box: 0 to 5.
        due: The day on which it comes again.
        first: The day on which it came first.
        last: The day of its last answer; None before there is one.
        seen: Names of the variants that were asked, the latest one last.
        open: The variant that is being worked on, or "".
        tries: How often that one was checked and not passed.
        rung: The deepest hint that was asked for it.
        file: Where it is being worked on.
    """

    box: int
    due: date
    first: date
    last: date | None = None
    seen: tuple[str, ...] = ()
    open: str = ""
    tries: int = 0
    rung: int = 0
    file: str = ""


def pick(
    items: Mapping[str, Item], known: Sequence[str], new: Iterable[str], today: date, limit: int = NEW
) -> str | None:
    """The exercise to ask for: one that is being worked on, else the one due longest, else a new one.

    Args:
        items: What was reviewed, by exercise.
        known: Exercises that may be asked, in the course's order.
        new: Those of them that may be asked for the first time.
        today: The day.
        limit: How many new ones a day may bring.

    Returns:
        An exercise's id, or None where nothing is due.

    Example:
        >>> day = date(2026, 3, 2)
        >>> pick({"5.1": Item(0, day, day), "6.1": Item(2, day - timedelta(3), day)}, ["5.1", "6.1"], [], day)
        '6.1'
    """
    if begun := [each for each in known if each in items and items[each].open]:
        return begun[0]
    if due := [each for each in known if each in items and items[each].due <= today]:
        return min(due, key=lambda each: (items[each].due, items[each].box, known.index(each)))
    if sum(item.first == today for item in items.values()) >= limit:
        return None
    return next((each for each in new if each not in items and each in known), None)


def which(exercise: str, labels: Sequence[str], seen: Sequence[str]) -> str:
    """The variant to ask: one that was not asked yet, in an order of its own, or the one longest ago."""
    order = sorted(labels, key=lambda label: hashlib.sha256(f"{exercise}|{label}".encode()).digest())
    fresh = [label for label in order if label not in seen]
    if fresh:
        return fresh[0]
    latest = {label: at for at, label in enumerate(seen)}
    return min(order, key=lambda label: latest[label])


def passed(item: Item, today: date) -> Item:
    """An exercise whose open variant was passed."""
    alone = item.tries == 0 and item.rung <= EASY
    box = min(item.box + 1, len(DAYS) - 1) if alone else max(item.box - 1, 0)
    return _closed(item, box, today)


def given_up(item: Item, today: date) -> Item:
    """An exercise whose open variant was put back."""
    return _closed(item, 0, today)


def _closed(item: Item, box: int, today: date) -> Item:
    due = today + timedelta(days=DAYS[box])
    return replace(item, box=box, due=due, last=today, open="", tries=0, rung=0, file="")
