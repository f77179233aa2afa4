"""The ladder of hints: four rungs in a card, opened one at a time, for which nothing is run again.

1. *What*: what is wrong, and the question that points at the mistake. The engine writes it; it stands open.
2. *Where*: the smallest case that fails, what was expected beside what came, the cells that differ marked.
3. *How*: the exercise's ``plan``.
4. *Show*: the solution, some lines at a time, each with its reason. They come from the solved lab:
   ``tools/labs.py generate`` writes them into ``shown/NN_slug.json``, so they are never written twice.

Once the exercise is passed, the card offers the mistakes that were avoided and the course's own solution.
"""

from __future__ import annotations

import base64
import functools
import inspect
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from segcore.checks.card import Card, Fold, Part
from segcore.checks.chapters import CHAPTERS
from segcore.checks.compare import Difference, differing
from segcore.checks.exercise import Case, Exercise
from segcore.checks.hints import reader_line
from segcore.checks.sandbox import Outcome
from segcore.checks.show import SCANNED, WHOLE, aligned, block

__all__ = ["Trial", "after", "climb", "depth", "names", "rungs", "shown", "smallest", "where"]

RUNGS = {1: "what", 2: "where", 3: "how", 4: "show"}
FIGURES = {"value", "near", "nan", "infinite"}  # faults whose sentence counts cells: it belongs to *Where*
PICTURE = 48  # cells along the longer side of a picture, at most
AVOIDED = 10  # mistakes that a card of success lists, at most: the first ones are the usual ones
DRAWING = (12, 36)  # rows and columns of a drawing in a terminal, at most


@dataclass(eq=False)
class Trial:
    """One case with what was expected and what came."""

    case: Case
    expected: Any
    outcome: Outcome | None = None
    fault: Difference | None = None


def depth(hint: int | None) -> int:
    """How many rungs a reader asks for; 0 where they ask for none.

    Raises:
        ValueError: There is no such rung.
    """
    if hint is None:
        return 0
    if isinstance(hint, bool) or not isinstance(hint, int) or hint not in RUNGS:
        words = ", ".join(f"{number} ({word})" for number, word in RUNGS.items())
        raise ValueError(f"hint is {hint!r}; it may be {words}")
    return hint


def smallest(trials: Iterable[Trial]) -> Trial | None:
    """The failing case that is told: one that never ended, else the one of the fewest cells.

    A random one counts double, for a noted one can be followed by hand. A case whose value is right but for
    its kind says little where others have wrong values: there it may be right by chance. A case without any
    result to look at, such as one without boxes, comes last.
    """
    failing = [trial for trial in trials if trial.fault is not None]

    def size(trial: Trial) -> tuple[bool, bool, bool, int]:
        assert trial.fault is not None
        cells = _cells(trial.case.args) + _cells(trial.expected)
        ended = trial.outcome is None or not trial.outcome.timeout
        nearly = trial.fault.kind in {"dtype", "whole", "near"}
        return ended, _empty(trial.expected), nearly, cells if trial.case.note else 2 * cells

    return min(failing, key=size, default=None)


def _cells(value: Any) -> int:
    if isinstance(value, tuple | list):
        return sum(map(_cells, value))
    return value.numel() if isinstance(value, torch.Tensor) else 1


def _empty(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 0


def rungs(exercise: Exercise, inner: list[Part]) -> list[Fold]:
    """The ladder above *What*; its first fold holds what `where` found."""
    folds = [Fold("Where", "the smallest case that fails", inner, 2)]
    if exercise.plan:
        folds.append(Fold("How", "the plan", [("steps", list(exercise.plan))], 3))
    chunks = shown(exercise)
    for number, (reason, code) in enumerate(chunks, 1):
        words = "the next lines, and why" if number > 1 else "the first lines of a solution, and why"
        if number == len(chunks):
            words = "the last lines, and why" if number > 1 else "a solution"
        parts: list[Part] = [("prose", [reason])] if reason else []
        folds.append(Fold(f"Show, {number} of {len(chunks)}", words, [*parts, ("block", code)], 4))
    return folds


def climb(card: Card, exercise: Exercise, opened: int) -> None:
    """Open a card's ladder so far, and say in a terminal how to climb on."""
    card.opened = opened
    known = [fold.rung for fold in card.folds if fold.rung]
    if higher := [rung for rung in known if rung > opened]:
        card.more = f"Next hint ({RUNGS[higher[0]]}): "
        card.more += f'check("{exercise.id}", {exercise.name}, hint={higher[0]})'
    elif not known and opened > 1 and card.state != "passed":
        card.text("The other hints (where, how, show) open once your function has run.")


def after(exercise: Exercise) -> list[Fold]:
    """What a card offers once the exercise is passed."""
    avoided = [(each.name, each.hint) for each in exercise.mistakes]
    parts: list[Part] = [("items", avoided[:AVOIDED])]
    if more := len(avoided[AVOIDED:]):
        parts.append(("text", [f"And {more} more."]))
    folds = [Fold("Mistakes that you avoided", "what one would have been asked", parts)]
    if code := [line for _, lines in shown(exercise) for line in lines]:
        folds.append(Fold("The course's own solution", "to compare with yours", [("block", code)]))
    return folds


def shown(exercise: Exercise) -> list[tuple[str, list[str]]]:
    """The solution's chunks: the reason for each, and its lines."""
    if exercise.solution is not None:
        return list(exercise.solution())
    return [
        (reason, lines) for reason, lines in _solutions(exercise.id.partition(".")[0]).get(exercise.id, [])
    ]


@functools.cache
def _solutions(chapter: str) -> dict[str, list[Any]]:
    slug = CHAPTERS.get(int(chapter), "") if chapter.isdecimal() else ""
    path = Path(__file__).with_name("shown") / f"{chapter.zfill(2)}_{slug}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


# Where ---------------------------------------------------------------------------------------------------


def where(exercise: Exercise, trials: list[Trial], trial: Trial, function: Callable[..., Any]) -> list[Part]:
    """A failing case: what went in, what was expected and what came, or the line that raised."""
    case, outcome, fault = trial.case, trial.outcome, trial.fault
    assert outcome is not None and fault is not None
    number = next(index for index, each in enumerate(trials, 1) if each is trial)
    which = case.note or "a random one"
    end = "" if which[-1] in ".?!" else "."
    parts: list[Part] = [("text", [f"Case {number} of {len(trials)}: {which}{end}"])]
    lines: list[str] = []
    for name, value in [*zip(names(exercise), case.args, strict=False), *case.kwargs.items()]:
        lines += aligned(f"{name} = ", block(value))
    parts.append(("block", lines))
    if outcome.error is not None:
        if line := reader_line(outcome.error, function):
            parts.append(("block", [f"line {line[0]}: {line[1]}" if line[1] else f"line {line[0]}"]))
    elif not outcome.timeout and fault.kind != "changed":
        parts += _compared(exercise, trial.expected, outcome.value)
    if fault.kind in FIGURES and not fault.text.startswith(
        "Expected"
    ):  # a single number stands there already
        parts.append(("text", [fault.text]))
    return parts


def names(exercise: Exercise) -> list[str]:
    """The names of an exercise's parameters."""
    return list(inspect.signature(exercise.reference).parameters)


def _compared(exercise: Exercise, expected: Any, got: Any) -> list[Part]:
    """Expected and yours, marked; where a large map differs, pictures of both and of the places."""
    marks = None
    if exercise.compare is None:  # where an exercise compares in its own way, equal places say nothing
        try:
            marks = differing(expected, got, exercise.tolerance)
        except Exception:  # a sparse tensor, one without values: what came is shown all the same
            marks = None
    if isinstance(marks, bool) or (isinstance(marks, torch.Tensor) and marks.numel() == 1):
        marks = None  # a single number needs no mark
    sides = [[title, *block(value, marks)] for title, value in (("expected", expected), ("yours", got))]
    found = next(_maps(expected, got, marks), None)
    return [("pair", sides), *(_drawn(*found) if found is not None else [])]


def _maps(expected: Any, got: Any, marks: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The tensors that are too large to be printed, with what differs in them, the first one first."""
    if isinstance(marks, list):
        for each in zip(expected, got, marks, strict=False):
            yield from _maps(*each)
    elif isinstance(marks, torch.Tensor) and WHOLE < marks.numel() <= SCANNED and bool(marks.any()):
        yield expected.detach(), got.detach(), marks


def _drawn(expected: torch.Tensor, got: torch.Tensor, marks: torch.Tensor) -> list[Part]:
    """The plane in which most cells differ: a sentence, three pictures, and a drawing for a terminal."""
    height, width = (1, *marks.shape)[-2:]
    planes = marks.reshape(-1, height, width)
    worst = int(planes.sum((1, 2)).argmax())
    index = torch.unravel_index(torch.tensor(worst), marks.shape[:-2]) if marks.ndim > 2 else ()
    plane = f" of plane [{', '.join(str(int(at)) for at in index)}]" if marks.ndim > 2 else ""
    mask = planes[worst]
    spans = []
    for axis, word in ((1, "row"), (0, "column")):
        places = mask.any(axis).nonzero().flatten().tolist()
        first, last = places[0], places[-1]
        spans.append(f"{word} {first}" if first == last else f"{word}s {first} to {last}")
    place = f"{' and '.join(spans)}{plane}" if marks.ndim > 1 else spans[1].replace("column", "place")
    values = [each.double().reshape(-1, height, width)[worst] for each in (expected, got)]
    shape = (height, width)
    size = f"{height} by {width} cells"
    pictures = [
        (name, f"{words}, {size}, larger values lighter", address, shape)
        for (name, words), address in zip(
            (("expected", "The expected values"), ("yours", "Your values")), _greys(*values), strict=True
        )
    ]
    pictures.append(("where they differ", f"The cells that differ: {place}", _spots(mask), shape))
    small = F.adaptive_max_pool2d(
        mask[None].float(), [min(*pair) for pair in zip(shape, DRAWING, strict=True)]
    )
    drawing = ["".join("*" if cell else "." for cell in row) for row in small[0].tolist()]
    return [
        ("text", [f"They differ in {place}."]),
        ("pictures", pictures),
        ("drawing", drawing),
    ]


def _greys(*values: torch.Tensor) -> list[str]:
    """Maps in grey on one scale; what is not a finite number is red."""
    known = torch.cat([each[each.isfinite()] for each in values])
    low, high = (known.min(), known.max()) if known.numel() else (torch.tensor(0.0), torch.tensor(1.0))
    made = []
    for each in values:
        picked = _picked(each)
        grey = ((picked - low) / (high - low).clamp(min=1e-12)).nan_to_num(0, 0, 0).clamp(0, 1)
        made.append(
            _png(torch.where(picked.isfinite()[..., None], grey[..., None], torch.tensor([0.8, 0, 0])))
        )
    return made


def _spots(mask: torch.Tensor) -> str:
    """Dark spots on a light ground, so that a few cells of a large map are not lost."""
    size = [min(side, PICTURE) for side in mask.shape]
    spots = F.adaptive_max_pool2d(mask[None].float(), size)[0, ..., None]
    return _png(1 - spots * torch.tensor([0.3, 0.9, 0.9]))


def _picked(values: torch.Tensor) -> torch.Tensor:
    """Every so manieth value, where there are too many to draw."""
    for axis in (0, 1):
        size = values.shape[axis]
        values = values.index_select(axis, (torch.arange(min(size, PICTURE)) * size) // min(size, PICTURE))
    return values


def _png(rgb: torch.Tensor) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray((rgb * 255).round().to(torch.uint8).numpy()).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
