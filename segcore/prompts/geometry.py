"""Prompts of chapter 17: errors of depth, what the loss forgives, and normals from depth."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from segcore.geometry import depth_metrics, normals_from_depth, scale_invariant_loss
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]


def _metrics(guess: Sequence[float], truth: Sequence[float]) -> dict[str, float]:
    row = [torch.tensor([list(each)], dtype=torch.float64) for each in (guess, truth)]
    return depth_metrics(*row)


def _draw_abs_rel(rng: random.Random) -> dict[str, object]:
    """Three depths in metres, and guesses that are off in both directions."""
    while True:
        truth = tuple(rng.choice([1, 2, 4, 5, 10]) for _ in range(3))
        guess = tuple(rng.randint(1, 2 * each + 1) for each in truth)
        signs = {(g > t) - (g < t) for g, t in zip(guess, truth, strict=True)}
        if len(set(truth)) > 1 and {-1, 1} <= signs:
            parts = " + ".join(f"{abs(g - t)}/{t}" for g, t in zip(guess, truth, strict=True))
            return {"guess": guess, "truth": truth, "_parts": parts}


def _draw_delta(rng: random.Random) -> dict[str, object]:
    """Five depths whose ratios lie clearly below or above 1.25, some above and some below 1."""
    while True:
        truth = tuple(rng.choice([2, 4, 5, 8, 10]) for _ in range(5))
        factors = [rng.choice([0.5, 0.7, 0.75, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5]) for _ in range(5)]
        guess = tuple(round(t * f, 2) for t, f in zip(truth, factors, strict=True))
        ratios = [max(f, 1 / f) for f in factors]
        one_sided = len([f for f in factors if f < 1.25])
        within = len([g for g, t in zip(guess, truth, strict=True) if abs(g - t) < 0.25])
        right = len([ratio for ratio in ratios if ratio < 1.25])
        if right not in (0, 5, one_sided, within):
            words = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            return {"guess": guess, "truth": truth, "_ratios": words, "_count": right}


def _delta(guess: Sequence[float], truth: Sequence[float]) -> float:
    return round(_metrics(guess, truth)["δ1"], 6)


def _draw_invariant(rng: random.Random) -> dict[str, object]:
    """Errors of two pixels in logarithms, in tenths, whose mean is not 0."""
    while True:
        tenths = rng.sample(range(0, 11), 2)
        total = sum(tenths)
        if total % 2 == 0:
            g = tuple(each / 10 for each in tenths)
            squares = f"({g[0]:g}² + {g[1]:g}²)/2"
            return {"g": g, "weight": rng.choice([0.5, 1.0]), "_squares": squares, "_mean": total / 20}


def _invariant(g: Sequence[float], weight: float) -> float:
    errors = torch.tensor([list(g)], dtype=torch.float64)
    return round(scale_invariant_loss(errors.exp(), torch.ones_like(errors), weight).item(), 6)


def _draw_slope(rng: random.Random) -> dict[str, object]:
    """Depths left and right of a pixel whose normal leans kindly."""
    while True:
        left, right = rng.sample(range(1, 10), 2)
        f, step = rng.choice([2, 3, 4]), abs(right - left)
        if (left + right) in (4, 5, 8, 10) and step * f != left + right and f * step < 4 * (left + right):
            return {"left": left, "right": right, "f": f, "_step": abs(right - left), "_sum": left + right}


def _slope(left: float, right: float, f: float) -> float:
    """How far the normal of the middle pixel leans across for each unit that it looks to the camera."""
    middle = (left + right) / 2
    depth = torch.tensor([[left, middle, right]] * 3, dtype=torch.float64)
    x, _, z = normals_from_depth(depth, f)[:, 1, 1].tolist()
    return round(abs(x / z), 6)


def _draw_stereo(rng: random.Random) -> dict[str, object]:
    """Focal length, baseline and disparity with an offset, with a depth that is kind."""
    while True:
        f, b = rng.choice([400, 500, 800, 1000]), rng.choice([0.1, 0.2, 0.25, 0.5])
        disparity, offset = rng.randint(5, 60), rng.choice([10, 20, 30, 40])
        if (
            round(f * b * 100) % (disparity + offset) == 0
            and f * b != disparity + offset
            and disparity != offset
        ):
            return {"f": f, "b": b, "d": disparity, "offset": offset, "_all": disparity + offset}


def _stereo(f: int, b: float, d: int, offset: int) -> float:
    return (torch.tensor(f * b, dtype=torch.float64) / (d + offset)).item()


def _draw_point(rng: random.Random) -> dict[str, object]:
    """A pixel right of the middle of an even image, and a depth that the focal length divides kindly."""
    f, half = rng.choice([10, 20, 50, 100]), rng.choice([8, 16, 32, 50])
    return {
        "x": half + rng.randint(1, half - 1),
        "width": 2 * half,
        "f": f,
        "z": rng.choice([2, 4, 5, 10]),
        "_half": half,
    }


def _point(x: int, width: int, f: int, z: int) -> float:
    """The x of a point in space, by the ray through the pixel's centre."""
    ray = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2) / f
    return round((z * ray[x]).item(), 6)


PROMPTS = (
    Prompt(
        name="17.abs-rel",
        ask="Three pixels have the true depths {truth} m, and a network says {guess} m. What is AbsRel?",
        draw=_draw_abs_rel,
        answer=lambda guess, truth: _metrics(guess, truth)["AbsRel"],
        why="Each error is divided by the true depth: ({_parts})/3 = {answer}.",
        wrong={
            "You divided by what the network says.": (lambda guess, truth: _metrics(truth, guess)["AbsRel"]),
            "Those are metres. An error counts relative to its depth.": lambda guess, truth: (
                sum(abs(g - t) for g, t in zip(guess, truth, strict=True)) / 3
            ),
            "You let errors of both signs cancel. Their size counts.": lambda guess, truth: (
                abs(sum((g - t) / t for g, t in zip(guess, truth, strict=True))) / 3
            ),
        },
        digits=2,
    ),
    Prompt(
        name="17.delta",
        ask="Five pixels have the true depths {truth} m, and a network says {guess} m. What is δ1, the "
        "share less than a quarter off as a ratio?",
        draw=_draw_delta,
        answer=_delta,
        why="The larger over the smaller: {_ratios}. Below 1.25 are {_count}: {_count}/5 = {answer}.",
        wrong={
            "You looked at depths that are too large. Too small ones have the ratio the other way round.": (
                lambda guess, truth: sum(g / t < 1.25 for g, t in zip(guess, truth, strict=True)) / 5
            ),
            "A quarter is a ratio here, not a quarter of a metre.": (
                lambda guess, truth: sum(abs(g - t) < 0.25 for g, t in zip(guess, truth, strict=True)) / 5
            ),
            "That is the share that is farther off.": lambda guess, truth: 1 - _delta(guess, truth),
        },
        digits=1,
    ),
    Prompt(
        name="17.invariant",
        ask="At two pixels the logarithms of prediction and truth differ by {g}. What is the "
        "scale-invariant loss with λ = {weight}?",
        draw=_draw_invariant,
        answer=_invariant,
        why="The mean of the squares less λ times the square of the mean: {_squares} − {weight} · {_mean}² "
        "= {answer}.",
        wrong={
            "You took nothing off. A common factor is forgiven, all of it or a part.": (
                lambda g, weight: _invariant(g, 0.0)
            ),
            "You took the wrong λ: 1 forgives a common factor wholly, 0.5 half of it.": (
                lambda g, weight: _invariant(g, 1.5 - weight)
            ),
            "You added the squares and forgot to take their mean.": (
                lambda g, weight: sum(each**2 for each in g) - weight * (sum(g) / 2) ** 2
            ),
        },
        digits=3,
    ),
    Prompt(
        name="17.slope",
        ask="The pixels left and right of one show points {left} m and {right} m away; above and below "
        "nothing changes. The focal length is {f} pixels, and the pixel lies in the middle of the image. "
        "How far does the normal lean across for each unit towards the camera? Leave the sign aside.",
        draw=_draw_slope,
        answer=_slope,
        why="At these depths the two lie ({left} + {right})/{f} m apart across and {_step} m in depth: "
        "{_step} · {f}/{_sum} = {answer}.",
        wrong={
            "You forgot the focal length.": lambda left, right, f: abs(right - left) / (left + right),
            "You took neighbours to be a metre apart. They are the farther apart the deeper they lie.": (
                lambda left, right, f: abs(right - left) / 2
            ),
            "You turned the fraction over: that is how it leans towards the camera for each unit across.": (
                lambda left, right, f: (left + right) / (abs(right - left) * f)
            ),
        },
        digits=2,
    ),
    Prompt(
        name="17.stereo",
        ask="Two cameras stand {b} m apart, with a focal length of {f} pixels and principal points "
        "{offset} pixels apart. A point has the disparity {d} pixels. How far away is it?",
        draw=_draw_stereo,
        answer=_stereo,
        why="The principal points add to the disparity: {f} · {b}/({d} + {offset}) = {answer}.",
        wrong={
            "You forgot the distance of the principal points.": lambda f, b, d, offset: f * b / d,
            "It goes on, not off: infinitely far away is where disparity is minus the offset.": (
                lambda f, b, d, offset: f * b / abs(d - offset)
            ),
            "What is near moves more: depth goes with one over the disparity.": (
                lambda f, b, d, offset: (d + offset) / (f * b)
            ),
        },
        unit="m",
        digits=2,
    ),
    Prompt(
        name="17.point",
        ask="An image is {width} pixels wide, the focal length is {f} pixels, and the principal point lies "
        "in the middle. Pixel {x}, counted from 0, has the depth {z} m. How far to the right of the axis "
        "is the point that it shows?",
        draw=_draw_point,
        answer=_point,
        why="The pixel's centre is at {x} + 0.5, so {z} · ({x} + 0.5 − {_half})/{f} = {answer}.",
        wrong={
            "You took the pixel's left edge. Its centre is half a pixel further.": (
                lambda x, width, f, z: z * (x - width / 2) / f
            ),
            "You measured from the image's left edge. The axis goes through its middle.": (
                lambda x, width, f, z: z * (x + 0.5) / f
            ),
            "That is the ray at a depth of 1.": lambda x, width, f, z: (x + 0.5 - width / 2) / f,
        },
        unit="m",
        digits=3,
    ),
)
