"""How hard texts read: the school year of Flesch and Kincaid's formula, for plans, hints and reasons.

``python tools/reading.py`` lists every exercise's texts, the hardest first. Code, names and formulas are left
out of account. Syllables are counted by groups of vowels, which a few words break ("idea"): good enough for a
limit, not for a comparison.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

HARDEST = 9.5  # the school year that a plan, an exercise's hints and a solution's reasons may ask for
_CODE = re.compile(r"`[^`]*`|\$[^$]*\$|\b\w+(?:\.\w+)*\([^()]*\)|\b\w*[_\d]\w*\b|\b\w+\.\w+\b")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_END = re.compile(r"[.?!…](?=\s|$)")


def words(text: str) -> list[str]:
    """The words that are read as words: letters are names, and so is what has a digit or a sign in it."""
    return [word for word in _WORD.findall(_CODE.sub(" ", text)) if len(word) > 1 or word in "aAI"]


def syllables(word: str) -> int:
    """Groups of vowels; a silent e at the end, in -es and in -ed, is none."""
    plain = re.sub(r"[^a-z]", "", word.lower())
    plain = re.sub(
        r"(?<=[^aeiouytd])ed$|(?<=[^aeiouysxzcgh])es$|(?<=[^aeiouyl])e$|(?<=[aeiouy]l)e$", "", plain
    )
    return max(1, len(re.findall(r"[aeiouy]+", plain)))


def grade(texts: Iterable[str]) -> float:
    """The school year of some texts together; 0 where there are no words."""
    found = [(words(text), len(_END.findall(text)) or 1) for text in texts]
    all_words = [word for each, _ in found for word in each]
    if not all_words:
        return 0.0
    sentences = sum(count for each, count in found if each)
    spoken = sum(map(syllables, all_words))
    return 0.39 * len(all_words) / sentences + 11.8 * spoken / len(all_words) - 15.59


def texts() -> dict[str, list[str]]:
    """Every exercise's plan, hints and reasons."""
    from segcore import checks
    from segcore.checks import ladder

    found = {}
    for number, slug in checks.CHAPTERS.items():
        if Path(checks.__file__).with_name(f"{slug}.py").exists():
            for each in checks.exercises(number):
                found[f"{each.id} plan"] = list(each.plan)
                found[f"{each.id} hints"] = [mistake.hint for mistake in each.mistakes]
                found[f"{each.id} reasons"] = [reason for reason, _ in ladder.shown(each) if reason]
    return {name: each for name, each in found.items() if each}


def main() -> int:
    """List the texts, the hardest first; 1 where one is too hard."""
    grades = {name: grade(each) for name, each in texts().items()}
    for name in sorted(grades, key=lambda name: -grades[name]):
        print(f"{grades[name]:5.1f}  {name}")
    return int(max(grades.values(), default=0) > HARDEST)


if __name__ == "__main__":
    sys.exit(main())
