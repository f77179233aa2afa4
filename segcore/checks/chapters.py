"""Which module holds the exercises of which chapter: the one place that knows the numbers."""

from __future__ import annotations

import difflib
import importlib
import importlib.util

from segcore.checks.exercise import Exercise

__all__ = ["CHAPTERS", "exercise", "exercises"]

CHAPTERS = {
    1: "superpixels",
    2: "grouping",
    3: "metrics",
    4: "convolutionalization",
    5: "receptive_fields",
    6: "dilation",
    7: "skips",
    8: "upsampling",
    9: "encoder_decoders",
    10: "crf",
    11: "deeplab",
    12: "instance_metrics",
    13: "roi_align",
    14: "mask_rcnn",
    15: "panoptic",
    16: "keypoints",
    17: "geometry",
    18: "colorization",
}


def exercises(chapter: str | int) -> tuple[Exercise, ...]:
    """The exercises of a chapter, in order.

    Args:
        chapter: Its number, such as ``13`` or ``"13"``.

    Raises:
        ValueError: There is no such chapter, or it has no exercises yet.

    Example:
        >>> [each.name for each in exercises(13)][:2]
        ['quantization_error', 'bilinear_sample']
    """
    text = str(chapter)
    number = int(text) if text.isdecimal() else 0
    if number not in CHAPTERS:
        raise ValueError(
            f"there is no chapter {text!r}: chapters go from 1 to {max(CHAPTERS)}, as in exercises('13')"
        )
    module = f"segcore.checks.{CHAPTERS[number]}"
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"chapter {number} ({CHAPTERS[number]}) has no exercises yet")
    return tuple(importlib.import_module(module).EXERCISES)


def exercise(name: str) -> Exercise:
    """The exercise of this id, or a variant of it.

    Args:
        name: Chapter and number, such as ``"13.2"``. Behind an ``@`` may stand which variant: its name, such
            as ``"13.2@yx-points"``, or what a student's lab has, such as ``"13.2@k3f90d"``.

    Raises:
        ValueError: There is none; the message names the nearest ids.
    """
    if not isinstance(name, str):
        raise ValueError(f"an exercise is named by a text such as '13.2', not by {type(name).__name__}")
    plain, at, which = name.strip().partition("@")
    if at:
        from segcore.checks.variants import variant

        return variant(exercise(plain), which)
    chapter, _, number = plain.partition(".")
    if not chapter.isdecimal() or int(chapter) not in CHAPTERS or not number:
        raise ValueError(f"there is no exercise {name!r}: an id is chapter and number, such as '13.2'")
    known = {each.id: each for each in exercises(chapter)}
    wanted = f"{int(chapter)}.{number}"
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.0)
        raise ValueError(f"there is no exercise {name!r}; the nearest are {', '.join(sorted(near))}")
    return known[wanted]
