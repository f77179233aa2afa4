"""Checks that know the usual mistakes: ``bilinear_sample = check("13.2", bilinear_sample)``.

A check runs the reader's function beside a reference, prints one card and returns the reader's function where
it is right, the reference where it is not, so that the rest of a lab always works. `exercise` says what an
exercise is made of; ``segcore/checks/<slug>.py`` lists those of a chapter. `predict` asks for a guess before
a cell runs, and marks nothing. Environment variables:

- ``SEGCORE_CHECKS=strict``: what does not pass raises `CheckFailed` (nbgrader marks by that).
- ``SEGCORE_PROGRESS``: the file that keeps progress, instead of ``~/.segcore/progress.json``; ``off``: none.
"""

from segcore.checks.chapters import CHAPTERS, exercise, exercises
from segcore.checks.engine import CheckFailed, check
from segcore.checks.exercise import Case, Exercise, Mistake, Property
from segcore.checks.predict import Prediction, predict
from segcore.checks.progress import progress

__all__ = [
    "CHAPTERS",
    "Case",
    "CheckFailed",
    "Exercise",
    "Mistake",
    "Prediction",
    "Property",
    "check",
    "exercise",
    "exercises",
    "predict",
    "progress",
]
