"""Draw the picture that others show beside a link to the book: ``python tools/social_card.py``.

A rendered scene of the course, left half as a photograph, right half as its labels, beside the title. The
result is committed (``book/_static/card.png``), for it changes as seldom as the title does.
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.colors import ListedColormap
from PIL import Image

from segcore.data.scenes import CLASSES, make_scenes

CARD = Path(__file__).resolve().parent.parent / "book" / "_static" / "card.png"
PAGE, TEXT, MUTED, ACCENT = "#15191e", "#f2f5f8", "#a3adb8", "#f0a35e"
LABELS = ["#2b3640", "#5cc3e6", "#f0a35e", "#7bd19a", "#c9a6f5", "#ff9c94"]
SIDE = 500


def draw(seed: int = 11) -> Image.Image:
    """The card, 1200 by 630 pixels."""
    scene = make_scenes(1, size=SIDE, seed=seed, objects=(5, 5), antialias=True)
    photograph, labels = scene.image[0].permute(1, 2, 0), scene.labels[0]
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=PAGE)
    axes = figure.add_axes((0.555, (630 - SIDE) / 2 / 630, SIDE / 1200, SIDE / 630))
    axes.imshow(photograph.clamp(0, 1))
    half = labels.float()
    half[:, : SIDE // 2] = torch.nan
    axes.imshow(half, cmap=ListedColormap(LABELS[: len(CLASSES)]), vmin=-0.5, vmax=len(CLASSES) - 0.5)
    axes.axvline(SIDE / 2 - 0.5, color=TEXT, linewidth=2)
    axes.set_axis_off()
    title = "Image\nsegmentation,\nhands on"
    figure.text(0.05, 0.63, title, color=TEXT, fontsize=42, weight="bold", va="center")
    figure.text(0.05, 0.305, "An interactive course:", color=ACCENT, fontsize=19, va="center")
    promise = "figures to take hold of, labs that\ntell you where you went wrong"
    figure.text(0.05, 0.19, promise, color=MUTED, fontsize=19, va="center", linespacing=1.4)
    buffer = io.BytesIO()
    figure.savefig(buffer, facecolor=PAGE)
    plt.close(figure)
    return Image.open(buffer).convert("RGB").quantize(96, dither=Image.Dither.NONE)


if __name__ == "__main__":
    draw().save(CARD, optimize=True)
    print(f"{CARD.name}: {CARD.stat().st_size / 1000:.0f} kB")
