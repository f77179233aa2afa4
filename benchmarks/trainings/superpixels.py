"""Superpixels of ours and of scikit-image's at equal number of segments: outlines, leaks, what is achievable.

No training, but minutes of it. On each image scikit-image's SLIC goes first. The others are then brought to
its number of segments: ours by trying numbers to aim at, the graph-based ones by bisecting their scale.
`matched` is the share of images where that number was met within two per cent. The truth is the rendered
scene's regions (each object one), and on two photographs that of a threshold: the coins of `coin_masks` and
the silhouette of the horse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from skimage import segmentation as peer
from torch import Tensor

from segcore.data.images import coin_masks, photograph
from segcore.data.scenes import make_scenes
from segcore.superpixels import (
    achievable_segmentation_accuracy,
    boundary_precision,
    boundary_recall,
    felzenszwalb,
    slic,
    undersegmentation_error,
)

TITLE = "Superpixels at equal number of segments"

SCENES, SIZE = 200, 96
SEGMENTS = {"scenes": (100,), "photographs": (200, 400)}
SCORES = {
    "boundary recall": boundary_recall,
    "boundary precision": boundary_precision,
    "undersegmentation error": undersegmentation_error,
    "ASA": achievable_segmentation_accuracy,
}


def _with_peer(function: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """A function of scikit-image's, from and to tensors."""
    return lambda image, **options: torch.from_numpy(
        function(image.movedim(0, -1).double().numpy(), **options).astype(np.int64)
    )


their_slic, their_graph = _with_peer(peer.slic), _with_peer(peer.felzenszwalb)


def count(labels: Tensor) -> int:
    """How many segments a map has."""
    return len(labels.unique())


def nearest(wanted: int, maps: Iterator[Tensor]) -> Tensor:
    """Of some maps, the one whose number of segments is nearest; the first within a per cent will do."""
    best, least = torch.zeros(0), math.inf
    for labels in maps:
        miss = abs(count(labels) - wanted)
        if miss < least:
            best, least = labels, miss
        if miss <= 0.01 * wanted:
            break
    return best


def aimed(image: Tensor, wanted: int) -> Iterator[Tensor]:
    """SLIC's maps for numbers around the one that is wanted, the nearest numbers first."""
    numbers = range(round(0.8 * wanted), round(1.25 * wanted))
    for number in sorted(numbers, key=lambda each: abs(each - wanted)):
        yield slic(image, number)


def bisected(image: Tensor, wanted: int, graph: Callable[[Tensor, float], Tensor]) -> Iterator[Tensor]:
    """Graph-based maps, the scale bisected in its logarithm."""
    low, high = 1.0, 10000.0
    for _ in range(14):
        middle = math.sqrt(low * high)
        labels = graph(image, middle)
        yield labels
        low, high = (middle, high) if count(labels) > wanted else (low, middle)


GRAPHS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Felzenszwalb, scikit-image": lambda image, scale: their_graph(image, scale=scale, sigma=0.8, min_size=8),
    "Felzenszwalb, ours": lambda image, scale: felzenszwalb(image, scale, min_size=8),
}


def measure(images: list[Tensor], truths: list[Tensor], segments: int) -> dict[str, dict[str, float]]:
    """Mean scores of each method, its mean number of segments, and the share of images where that was met."""
    rows: dict[str, list[dict[str, float]]] = {}
    for image, truth in zip(images, truths, strict=True):
        first = their_slic(image, n_segments=segments, start_label=0)
        wanted = count(first)
        maps = {"SLIC, scikit-image": first}
        maps["SLIC, ours"] = nearest(wanted, aimed(image, wanted))
        for name, graph in GRAPHS.items():
            maps[name] = nearest(wanted, bisected(image, wanted, graph))
        for name, labels in maps.items():
            row = {key: float(score(labels, truth)) for key, score in SCORES.items()}
            row |= {"segments": count(labels), "matched": abs(count(labels) / wanted - 1) <= 0.02}
            rows.setdefault(name, []).append(row)
    return {
        name: {key: round(sum(row[key] for row in of) / len(of), 4) for key in of[0]}
        for name, of in rows.items()
    }


def run(seed: int) -> dict[str, Any]:
    """All of it; the seed is that of the scenes."""
    scenes = make_scenes(SCENES, size=SIZE, seed=seed, antialias=True)
    sets = {
        "scenes": (list(scenes.image), list(scenes.instances)),
        "photographs": (
            [photograph("coins"), photograph("horse")],
            [
                (coin_masks() * torch.arange(1, 25)[:, None, None]).amax(0),
                (photograph("horse").mean(0) > 0.5).long(),
            ],
        ),
    }
    return {name: {str(n): measure(*pair, n) for n in SEGMENTS[name]} for name, pair in sets.items()}
