"""What a training leaves to look at: a curve as SVG and CSV, and a page of pictures in one HTML file.

The page needs nothing beside it and follows the reader's light or dark setting. Pictures are PNGs inside it,
each with a description for those who cannot see it. Nothing here needs matplotlib.
"""

from __future__ import annotations

import base64
import colorsys
import io
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["colors", "curve_csv", "curve_svg", "page"]

IGNORE = 255
COURSE = ("777c84", "1c90f7", "f16a01", "23a862", "c81664", "766729", "7f34f4", "1c6e92")  # those of `viz`
SMOOTH = 100  # points of the drawn loss, each the mean of as many steps as it stands for

STYLE = """
:root { color-scheme: light dark; --text: #1d232b; --page: #ffffff; --line: #d5dbe1; --muted: #545d68;
  --first: #0b6e8f; --second: #b45309; }
@media (prefers-color-scheme: dark) { :root { --text: #dfe4ea; --page: #15191e; --line: #353e47;
  --muted: #a3adb8; --first: #5cc3e6; --second: #f0a35e; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--page); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem 1rem .15rem 0;
  border-bottom: 1px solid var(--line); } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.chip { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid var(--line); }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: .5rem; margin: 0 0 1rem; }
.row figure { margin: 0; } .row img { width: 100%; image-rendering: pixelated;
  background: repeating-linear-gradient(45deg, var(--line) 0 4px, transparent 4px 8px); }
figcaption { font-size: .85rem; color: var(--muted); }
svg { max-width: 100%; height: auto; }
"""


# --- The curve ---


def curve_csv(losses: Sequence[float], scores: Sequence[tuple[int, float]]) -> str:
    """Step, loss, and the score where there was one, as CSV.

    Example:
        >>> print(curve_csv([2.0, 1.5], [(2, 0.25)]), end="")
        step,loss,score
        1,2,
        2,1.5,0.25
    """
    found = dict(scores)
    rows = (
        f"{step},{loss:.6g},{f'{found[step]:.6g}' if step in found else ''}"
        for step, loss in enumerate(losses, 1)
    )
    return "\n".join(("step,loss,score", *rows)) + "\n"


def curve_svg(losses: Sequence[float], scores: Sequence[tuple[int, float]], name: str) -> str:
    """The loss over the steps, smoothed, and the validation's score, as an SVG for light and dark pages.

    Args:
        losses: Of each step.
        scores: (steps done, score) of each validation, from 0 to 1.
        name: Of the score.

    Returns:
        The text of an SVG file.
    """
    width, height, left, top, bottom = 420, 230, 42, 28, 34  # fits a phone
    inner, down = width - 2 * left, height - top - bottom
    chunk = max(1, math.ceil(len(losses) / SMOOTH))
    means = [
        (min(n + chunk, len(losses)), float(np.mean(losses[n : n + chunk])))
        for n in range(0, len(losses), chunk)
    ]
    most = max((value for _, value in means), default=1.0) or 1.0
    steps = max(1, len(losses))

    def place(step: float, part: float) -> str:
        return f"{left + inner * step / steps:.1f},{top + down * (1 - min(1.0, max(0.0, part))):.1f}"

    drawn = " ".join(place(step, value / most) for step, value in means)
    known = [(step, value) for step, value in scores if not math.isnan(value)]
    dots = [place(*each).split(",") for each in known]
    ticks = ""
    for part in (0, 0.25, 0.5, 0.75, 1):
        y = top + down * (1 - part)
        ticks += f'<line x1="{left}" x2="{left + inner}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        ticks += (
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" class="first">{most * part:.2g}</text>'
        )
        ticks += f'<text x="{left + inner + 6}" y="{y + 4:.1f}" class="second">{part:.2g}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(_curve_in_words(means, known, name))}"><style>'
        "text{font:13.5px system-ui,sans-serif;fill:#777c84}.grid{stroke:#777c84;stroke-opacity:.25}"
        ".first{fill:#0b6e8f}.second{fill:#b45309}.loss{stroke:#0b6e8f}.score{stroke:#b45309}"
        "@media (prefers-color-scheme:dark){.first{fill:#5cc3e6}.second{fill:#f0a35e}.loss{stroke:#5cc3e6}"
        ".score{stroke:#f0a35e}}</style>"
        f'{ticks}<polyline points="{drawn}" class="loss" fill="none" stroke-width="2"/>'
        f'<polyline points="{" ".join(",".join(dot) for dot in dots)}" class="score" fill="none" '
        'stroke-width="2" stroke-dasharray="5 4"/>'
        + "".join(f'<circle cx="{x}" cy="{y}" r="3.5" class="second"/>' for x, y in dots)
        + f'<text x="{left}" y="14" class="first">loss</text>'
        f'<text x="{left + inner}" y="14" text-anchor="end" class="second">{escape(name)} (dashed)</text>'
        f'<text x="{left}" y="{height - 12}">0</text>'
        f'<text x="{left + inner}" y="{height - 12}" text-anchor="end">{len(losses):,} steps</text></svg>'
    )


def _curve_in_words(means: Sequence[tuple[int, float]], known: Sequence[tuple[int, float]], name: str) -> str:
    text = f"Loss from {means[0][1]:.2g} to {means[-1][1]:.2g}" if means else "No step was done"
    return f"{text}; {name} from {known[0][1]:.2f} to {known[-1][1]:.2f}" if known else text


# --- The page ---


def colors(count: int) -> list[tuple[int, int, int]]:
    """A color for each of so many classes: grey for class 0, the course's seven, then other hues.

    Example:
        >>> colors(3)
        [(119, 124, 132), (28, 144, 247), (241, 106, 1)]
    """
    first: list[tuple[int, int, int]] = [(x[0], x[1], x[2]) for x in map(bytes.fromhex, COURSE)]
    rest = []
    for n in range(count - len(first)):
        hue = (0.15 + n * 0.381966) % 1  # the golden section, so that hues do not come again
        red, green, blue = colorsys.hls_to_rgb(hue, (0.72, 0.4, 0.57)[n % 3], (0.75, 0.8, 0.5)[n % 3])
        rest.append((round(255 * red), round(255 * green), round(255 * blue)))
    return [*first, *rest][:count]


def page(
    title: str,
    run: dict[str, Any],
    classes: Sequence[str],
    shown: Sequence[tuple[Tensor, Any]],
    guesses: Sequence[Any],
    curve: str,
) -> str:
    """The whole page as one HTML file.

    Args:
        title: Of the page.
        run: What is in ``run.json``.
        classes: Names of the classes.
        shown: Images (3, H, W) and their truth, a label map or a dict of objects.
        guesses: What the network says of each, in the same form; of objects those with a score above one half
            are drawn.
        curve: The SVG of the curve.

    Returns:
        Its text.
    """
    plan, scores = run["plan"], run["held_out"]
    facts = {
        "steps": f"{run['steps']:,} of {plan['steps']:,}",
        "batch": plan["batch"],
        "size": f"{plan['size']} × {plan['size']}",
        "parameters": f"{run['parameters']:,}",
        "time": f"{run['seconds']:,.0f} s, {run['ms_a_step']:.0f} ms a step",
        "processes": run["processes"],
    }
    rows = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    palette = colors(len(classes))
    each = scores["iou"] if "iou" in scores else {k: v for k, v in scores.items() if k != "images"}
    chips = dict(zip(classes, palette, strict=True))
    table = "".join(
        f"<tr><td>{_chip(chips.get(name))}{escape(name)}</td><td class='number'>{_number(value)}</td></tr>"
        for name, value in each.items()
    )
    legend = (
        ""
        if "iou" in scores
        else "<p>" + " ".join(f"{_chip(chips[c])}{escape(c)}" for c in classes[1:]) + "</p>"
    )
    pictures = "".join(
        _row(image, truth, guess, classes, palette)
        for (image, truth), guess in zip(shown, guesses, strict=True)
    )
    head = f"mean IoU {scores['miou']:.4f}" if "miou" in scores else f"AP {_number(scores['AP'])}"
    crops = (
        ""
        if plan["data"] == "scenes"
        else " Scores of crops are not those of whole images, which papers report."
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"<p>Held out: {head} on {scores['images']:,} images of {facts['size']} pixels.{crops}</p>"
        f"<table>{rows}</table><h2>Curve</h2>{curve}"
        f"<h2>{'IoU of each class' if 'iou' in scores else 'Average precision'}</h2><table>{table}</table>"
        f"<h2>Held-out images</h2>{legend}<p>Image, truth, prediction. Hatched: not scored.</p>{pictures}"
        "</main></body></html>\n"
    )


def _chip(color: tuple[int, int, int] | None) -> str:
    return "" if color is None else f'<span class="chip" style="background:rgb{color}"></span>'


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"


def _row(
    image: Tensor, truth: Any, guess: Any, classes: Sequence[str], palette: list[tuple[int, int, int]]
) -> str:
    """Image, truth and prediction side by side, each described."""
    objects = isinstance(truth, dict)
    if objects:
        sure = guess["scores"] > 0.5
        guess = {name: guess[name][sure] for name in ("masks", "labels")}
    draw, words = (_painted, _objects_in_words) if objects else (_colored, _labels_in_words)
    cells = (
        ("image", _png(_rgb(image)), "The image"),
        ("truth", _png(draw(image, truth, palette)), f"Truth: {words(truth, classes)}"),
        ("prediction", _png(draw(image, guess, palette)), f"Prediction: {words(guess, classes)}"),
    )
    return (
        '<div class="row">'
        + "".join(
            f'<figure><img src="{source}" alt="{escape(text)}"><figcaption>{name}</figcaption></figure>'
            for name, source, text in cells
        )
        + "</div>"
    )


def _labels_in_words(labels: Tensor, classes: Sequence[str]) -> str:
    """Which share of the picture each class takes."""
    counted = labels[labels != IGNORE]
    shares = torch.bincount(counted.flatten(), minlength=len(classes)).double() / max(1, counted.numel())
    order = shares.argsort(descending=True).tolist()
    return (
        ", ".join(f"{classes[k]} {100 * shares[k]:.0f} %" for k in order[:5] if shares[k] >= 0.005)
        or "nothing"
    )


def _objects_in_words(objects: dict[str, Tensor], classes: Sequence[str]) -> str:
    """How many objects of each class there are."""
    counts = torch.bincount(objects["labels"].cpu(), minlength=len(classes)).tolist()
    return ", ".join(f"{n} {name}" for n, name in zip(counts, classes, strict=True) if n) or "no object"


def _rgb(image: Tensor) -> np.ndarray:
    return (image.movedim(0, -1).clamp(0, 1) * 255).round().byte().numpy()


def _colored(image: Tensor, labels: Tensor, palette: list[tuple[int, int, int]]) -> np.ndarray:
    """A label map in colors, transparent where it is ignored."""
    table = np.zeros((256, 4), np.uint8)
    table[: len(palette), :3], table[: len(palette), 3] = palette, 255
    return table[labels.clamp(0, 255).numpy()]


def _painted(image: Tensor, objects: dict[str, Tensor], palette: list[tuple[int, int, int]]) -> np.ndarray:
    """Masks laid over the image, each with a rim."""
    canvas = _rgb(image).astype(float) * 0.6 + 40
    for mask, label in zip(objects["masks"].numpy(), objects["labels"].tolist(), strict=True):
        color = np.array(palette[label], float)
        canvas[mask] = 0.45 * canvas[mask] + 0.55 * color
        inner = mask.copy()
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        canvas[mask & ~inner] = color
    return canvas.clip(0, 255).astype(np.uint8)


def _png(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
