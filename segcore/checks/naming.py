"""Places of a result in the task's words: a row, a class, y, where else stands "axis 0" or "[1]"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Naming", "listed", "plural"]


class Naming(NamedTuple):
    """An exercise's words for what it returns.

    Args:
        axes: What each axis counts, in the singular.
        places: What stands along the last axis, or the values of a tuple.
    """

    axes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def along(self, axis: int) -> str:
        """An axis as in "the rows (axis 1)"; "axis 1" where it has no name."""
        known = axis < len(self.axes)
        return f"the {plural(self.axes[axis])} (axis {axis})" if known else f"axis {axis}"

    def value(self, place: int) -> str:
        """One of several values: its name, or "value [1]"."""
        return self.places[place] if place < len(self.places) else f"value [{place}]"

    def at(self, path: Sequence[int | str], tuples: Sequence[bool]) -> str:
        """Where in a nest of lists and tuples something stands, the outermost first.

        Args:
            path: Index or key in each of them.
            tuples: Which of them are tuples, whose values have names.
        """
        words = []
        for depth, (place, named) in enumerate(zip(path, tuples, strict=True)):
            if named and isinstance(place, int) and place < len(self.places):
                words.append(self.places[place])
            elif not named and isinstance(place, int) and depth < len(self.axes):
                words.append(f"{self.axes[depth]} {place}")
            else:
                return "".join(f"[{each!r}]" for each in path)
        return ", ".join(words)


def plural(noun: str) -> str:
    """The plural of a noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"


def listed(words: Sequence[str]) -> str:
    """Words as in a sentence: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
