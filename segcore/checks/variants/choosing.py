"""Which variants there are, and which one a name or a student's token means.

A token such as ``k3f90d`` is drawn from the student's name, the exercise and, where the lecturer gives one, a
secret word; its last two signs are a checksum. Which variant it means follows from the token alone, so a
notebook can be checked anywhere. Two students with one variant have two tokens: it does not say who shares.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import hmac
import importlib
import importlib.util
import unicodedata

from segcore.checks.chapters import CHAPTERS, exercise, exercises
from segcore.checks.exercise import Exercise
from segcore.checks.variants.making import Variant, Varied, make

__all__ = ["token", "variant", "variants", "varied"]

SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"  # no i, l, o and u: they are read as other signs
DRAWN, CHECKED = 4, 2  # signs of a token: those that choose, and those that find a slip of the pen


def varied(chapter: str | int) -> tuple[Varied, ...]:
    """The exercises of a chapter that have variants, in order.

    Args:
        chapter: Its number.

    Raises:
        ValueError: There is no such chapter.

    Example:
        >>> [each.of for each in varied(13)][:2]
        ['13.1', '13.2']
    """
    exercises(chapter)  # says what is wrong with the number
    module = f"segcore.checks.variants.chapters.{CHAPTERS[int(chapter)]}"
    if importlib.util.find_spec(module) is None:
        return ()
    return tuple(importlib.import_module(module).VARIED)


@functools.cache
def variants(of: str) -> tuple[Variant, ...]:
    """The variants of an exercise.

    Args:
        of: The exercise's id.

    Raises:
        ValueError: There is no such exercise.

    Example:
        >>> variants("13.2")[0].id
        '13.2@yx-points'
    """
    base = exercise(of)
    found = next((each for each in varied(base.id.partition(".")[0]) if each.of == base.id), None)
    return make(found, base) if found is not None else ()


def variant(base: Exercise, which: str) -> Exercise:
    """The variant of an exercise that has a name, or that a student's token means.

    Args:
        base: The lab's exercise.
        which: What stands behind the ``@``.

    Returns:
        The variant; its id is the one that was asked for.

    Raises:
        ValueError: The exercise has no variants, no one has this name, or the token has a slip.
    """
    known = {each.label: each for each in variants(base.id)}
    if not known:
        raise ValueError(f"exercise {base.id} has no variants: its id is {base.id!r} alone")
    which = which.strip().lower()
    if which in known:
        return known[which]
    if len(which) == DRAWN + CHECKED and set(which) <= set(SIGNS):
        if which[DRAWN:] != _signs(f"{base.id}|{which[:DRAWN]}", CHECKED):
            raise ValueError(
                f"{base.id}@{which} is no exercise of any lab: its last two signs do not fit the others. "
                f"Copy "
                "the id from the lab as it was handed out"
            )
        label = max(known, key=lambda each: hashlib.sha256(f"{base.id}|{which}|{each}".encode()).digest())
        return _named(known[label], which)
    near = difflib.get_close_matches(which, known, n=3, cutoff=0.0)
    names = ", ".join(f"{base.id}@{each}" for each in sorted(near))
    raise ValueError(f"exercise {base.id} has no variant {which!r}; the nearest are {names}")


def _named(found: Variant, which: str) -> Variant:
    import dataclasses

    return dataclasses.replace(found, id=f"{found.base.id}@{which}")


def token(of: str, student: str, key: str = "") -> str:
    """What a student's lab calls the variant of an exercise.

    Args:
        of: The exercise's id.
        student: The student's name or number; capital letters and spaces around it do not matter.
        key: A word that only the lecturer knows; with it nobody else can tell which token is whose.

    Raises:
        ValueError: The student has no name.

    Example:
        >>> token("13.2", "s1234567") == token("13.2", " S1234567 ")
        True
    """
    who = unicodedata.normalize("NFKC", student).strip().casefold()
    if not who:
        raise ValueError("a student needs a name or a number, such as --student s1234567; this one is empty")
    drawn = _signs(f"{of}|{who}", DRAWN, key)
    return drawn + _signs(f"{of}|{drawn}", CHECKED)


def _signs(text: str, count: int, key: str = "") -> str:
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return "".join(SIGNS[byte % len(SIGNS)] for byte in digest[:count])
