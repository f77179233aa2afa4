"""The widget of chapter 3: a prediction painted over a truth, and every score that moves with it.

Label maps travel as rows of digits, one character a pixel, with ``-`` where the truth is ignored. The street
of the default is drawn here: a tree, a car and a small person on a background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["MetricsWidget"]

IGNORE = 255
IGNORED = "-"
LARGEST = 64  # pixels along a side
MOST_CLASSES = 6
LARGEST_TOLERANCE = 6
STREET = (42, 56)  # height and width of the default
EXAMPLES = ("guess", "perfect", "background", "missed", "shifted", "blocks", "swapped")


def _ellipse(y: float, x: float, ry: float, rx: float) -> Tensor:
    """Mask of the pixels of the street whose centres lie in the ellipse: bool ``(42, 56)``."""
    rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in STREET), indexing="ij")
    return ((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1


def _box(top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(STREET, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def street() -> Tensor:
    """The truth of the default: int64 ``(42, 56)``; 0 background, 1 tree, 2 car, 3 person."""
    labels = torch.zeros(STREET, dtype=torch.int64)
    labels[_ellipse(11.0, 11.5, 9.0, 9.0) | _box(18, 10, 34, 13)] = 1
    cabin = _ellipse(26.5, 35.0, 5.5, 7.5) & _box(0, 0, 27, 56)
    wheels = _ellipse(34.0, 30.0, 2.6, 2.6) | _ellipse(34.0, 41.0, 2.6, 2.6)
    labels[cabin | _box(26, 25, 34, 46) | wheels] = 2
    labels[_ellipse(23.5, 51.0, 1.6, 1.6) | _box(25, 49, 31, 53) | _box(31, 49, 36, 50)] = 3
    labels[_box(31, 52, 36, 53)] = 3
    return labels


def guess() -> Tensor:
    """The prediction of the default: everything a pixel off, the car's rear taken for tree, no person."""
    labels = street()
    labels[labels == 3] = 0
    labels = labels.roll((1, 1), dims=(0, 1))
    labels[(labels == 2) & _box(0, 0, 42, 30)] = 1
    return labels


def rows_of(labels: Tensor) -> list[str]:
    """A label map as rows of digits, ``-`` for 255."""
    return ["".join(IGNORED if k == IGNORE else str(k) for k in row) for row in labels.tolist()]


def labels_of(rows: Sequence[str]) -> Tensor:
    """Rows of digits as a label map: int64 ``(H, W)``, 255 for ``-``."""
    return torch.tensor([[IGNORE if k == IGNORED else int(k) for k in row] for row in rows])


class MetricsWidget(CourseWidget):
    """Paint a prediction and a truth; confusion matrix, accuracies, IoU, Dice and boundary F follow.

    Attributes:
        truth: rows of digits of one length, one digit a pixel, ``-`` for ignored; at most 64 by 64.
        prediction: rows of digits, as many and as long as the truth's.
        classes: names of the classes, two to six; digits count from the first.
        tolerance: of the boundary F-score, 0 to 6 pixels.
        example: a prediction that the figure makes from the truth and then sets: "guess" (the one it was
            given), "perfect", "background", "missed" (the smallest class), "shifted", "blocks" or "swapped";
            "" once something was painted.

    Truth and prediction of another size are set together, inside
    ``with widget.hold_trait_notifications():``.

    Example:
        >>> widget = MetricsWidget(truth=["0011", "00-1"], prediction=["0001", "0011"], classes=["a", "b"])
        >>> widget.truth_labels
        tensor([[  0,   0,   1,   1],
                [  0,   0, 255,   1]])
        >>> widget.prediction = ["0001", "0012"]
        Traceback (most recent call last):
        traitlets.traitlets.TraitError: prediction holds a class that has no name: the digits are 0 to 1
    """

    _slug = "metrics"
    _title = "Paint a prediction and watch its scores"

    truth = traitlets.List(traitlets.Unicode()).tag(sync=True)
    prediction = traitlets.List(traitlets.Unicode()).tag(sync=True)
    classes = traitlets.List(traitlets.Unicode(), default_value=["background", "tree", "car", "person"]).tag(
        sync=True
    )
    tolerance = traitlets.Int(2).tag(sync=True)
    example = traitlets.Enum(("", *EXAMPLES), default_value=EXAMPLES[0]).tag(sync=True)

    @traitlets.default("truth")
    def _street(self) -> list[str]:
        return rows_of(street())

    @traitlets.default("prediction")
    def _guess(self) -> list[str]:
        return rows_of(guess())

    @traitlets.validate("classes")
    def _check_classes(self, proposal: Any) -> list[str]:
        names = proposal["value"]
        if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) != len(names) or not all(names):
            raise traitlets.TraitError(f"classes must be 2 to {MOST_CLASSES} different names; got {names}")
        return names

    @traitlets.validate("truth", "prediction")
    def _check_labels(self, proposal: Any) -> list[str]:
        name, rows = proposal["trait"].name, proposal["value"]
        lengths = sorted({len(row) for row in rows})
        if len(lengths) != 1 or not 1 <= lengths[0] <= LARGEST or len(rows) > LARGEST:
            raise traitlets.TraitError(
                f"{name} must be 1 to {LARGEST} rows of one length, 1 to {LARGEST}; "
                f"got {len(rows)} rows of lengths {lengths}"
            )
        other = self.prediction if name == "truth" else self.truth
        if (len(rows), lengths[0]) != (len(other), len(other[0])):
            raise traitlets.TraitError(
                f"truth and prediction must be of one size; {name} has {len(rows)} by {lengths[0]}, "
                f"the other {len(other)} by {len(other[0])}"
            )
        allowed = {str(k) for k in range(len(self.classes))}
        if name == "truth":
            allowed.add(IGNORED)
        if any(set(row) - allowed for row in rows):
            last = len(self.classes) - 1
            extra = f", and {IGNORED} for ignored" if name == "truth" else ""
            raise traitlets.TraitError(
                f"{name} holds a class that has no name: the digits are 0 to {last}{extra}"
            )
        return rows

    @traitlets.validate("tolerance")
    def _check_tolerance(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] <= LARGEST_TOLERANCE:
            raise traitlets.TraitError(
                f"tolerance must be from 0 to {LARGEST_TOLERANCE} pixels; got {proposal['value']}"
            )
        return proposal["value"]

    @property
    def truth_labels(self) -> Tensor:
        """The truth as a label map: int64 ``(H, W)``, 255 where it is ignored."""
        return labels_of(self.truth)

    @property
    def predicted_labels(self) -> Tensor:
        """The prediction as a label map: int64 ``(H, W)``."""
        return labels_of(self.prediction)
