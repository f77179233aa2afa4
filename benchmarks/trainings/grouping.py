"""Contours, segmentations, proposals and GrabCut, scored on rendered scenes and on two photographs.

No training, but minutes of it. The truth of a scene is its objects, floor and wall; nothing here was fitted
to these seeds. Contours are scored as in the Berkeley benchmark, but for the matching: a pixel is right
within two pixels (Chebyshev) of a pixel of the other side, and one threshold serves all scenes (F at the best
such threshold). The baselines are scikit-image's Sobel magnitude and Canny.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage import feature, filters
from torch import Tensor

from segcore import contours as cues
from segcore.data.images import coin_masks, photograph
from segcore.data.scenes import Scene, make_scenes
from segcore.grouping import (
    Hierarchy,
    contour_probability,
    grabcut,
    multiscale_hierarchy,
    object_proposals,
    probabilistic_rand_index,
    segmentation_covering,
    spectral_contours,
    ultrametric_contour_map,
    variation_of_information,
)
from segcore.superpixels import boundaries, felzenszwalb, slic

TITLE = "Contours, proposals and GrabCut on scenes"

SCENES, SIZE = 60, 96
TOLERANCE = 2
SCORES = {
    "covering": segmentation_covering,
    "Rand index": probabilistic_rand_index,
    "VOI": variation_of_information,
}


def regions(scene: Scene) -> Tensor:
    """The truth: floor 0, objects from 1, and the wall after them."""
    wall = (scene.instances == 0) & (scene.normals[1] > 0)
    return torch.where(wall, scene.instances.max() + 1, scene.instances)


def grey(image: Tensor) -> np.ndarray:
    """Luminance, as scikit-image weighs it."""
    return (image.movedim(0, -1) @ torch.tensor([0.2125, 0.7154, 0.0721])).numpy()


# --- Contours ---


def hits(found: Tensor, truth: Tensor) -> np.ndarray:
    """Found and right, found, of the truth and found, of the truth: pixels."""
    near = [
        F.max_pool2d(each.float()[None], 2 * TOLERANCE + 1, 1, TOLERANCE)[0] > 0 for each in (found, truth)
    ]
    return np.array([float(each.sum()) for each in (found & near[1], found, truth & near[0], truth)])


def best_f(edges: Callable[[Tensor, float], Tensor], images: Sequence[Tensor], truths: Sequence[Tensor],
           thresholds: Sequence[float]) -> dict[str, float]:  # fmt: skip
    """F, precision and recall at the one threshold that suits all images best."""
    rows = sum(
        np.stack([hits(edges(image, t), boundaries(truth)) for t in thresholds])
        for image, truth in zip(images, truths, strict=True)
    )
    precision, recall = rows[:, 0] / np.maximum(rows[:, 1], 1), rows[:, 2] / rows[:, 3]
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    k = int(f.argmax())
    return {
        "F": round(float(f[k]), 4),
        "precision": round(float(precision[k]), 4),
        "recall": round(float(recall[k]), 4),
        "threshold": round(float(thresholds[k]), 4),
    }


def cuts(tree: Callable[[Tensor], Hierarchy]) -> Callable[[Tensor, float], Tensor]:
    """The outlines of a hierarchy's cut; each image's hierarchy is made once."""
    kept: dict[int, Hierarchy] = {}

    def edges(image: Tensor, threshold: float) -> Tensor:
        if id(image) not in kept:
            kept[id(image)] = tree(image)
        return boundaries(kept[id(image)].cut(threshold))

    return edges


def with_spectral(image: Tensor, weight: float = 0.3) -> Hierarchy:
    """Local contours and what normalised cuts make of them."""
    local = contour_probability(image)
    return ultrametric_contour_map((1 - weight) * local + weight * spectral_contours(local))


def one_scale(image: Tensor) -> Hierarchy:
    return ultrametric_contour_map(contour_probability(image))


def sobel(image: Tensor) -> Tensor:
    return torch.from_numpy(filters.sobel(grey(image))).float()


def canny(image: Tensor, threshold: float) -> Tensor:
    return torch.from_numpy(feature.canny(grey(image), 1.0, 0.4 * threshold, threshold))


def without(cue: str) -> Callable[[Tensor], Hierarchy]:
    """The hierarchy without one cue."""

    def tree(image: Tensor) -> Hierarchy:
        weight = cues._CUES[cue]
        cues._CUES[cue] = 0.0
        try:
            return one_scale(image)
        finally:
            cues._CUES[cue] = weight

    return tree


def contours(images: list[Tensor], truths: list[Tensor]) -> dict[str, dict[str, float]]:
    """F of each way to contours."""
    fine, coarse = np.linspace(0.01, 0.4, 40).tolist(), np.linspace(0.02, 0.6, 30).tolist()
    ways: dict[str, tuple[Callable[[Tensor, float], Tensor], list[float]]] = {
        "Sobel, scikit-image": (lambda image, t: sobel(image) > t, fine),
        "Canny, scikit-image": (canny, fine),
        "Sobel, merged by us": (cuts(lambda image: ultrametric_contour_map(sobel(image)[None])), fine),
        "contours, merged": (cuts(one_scale), coarse),
        "and spectral": (cuts(with_spectral), coarse),
        "three scales": (cuts(multiscale_hierarchy), coarse),
    }
    ways |= {f"without {cue}": (cuts(without(cue)), coarse) for cue in cues._CUES}
    return {name: best_f(edges, images, truths, steps) for name, (edges, steps) in ways.items()}


# --- Regions ---


def segmentations(
    images: list[Tensor], truths: list[Tensor], threshold: float
) -> dict[str, dict[str, float]]:
    """Each score's mean; the other two at the scale, or number, that covers the truth best."""
    ways: dict[str, Iterator[Callable[[Tensor], Tensor]]] = {
        "SLIC": (lambda image, k=k: slic(image, k) for k in (6, 12, 25, 50)),
        "Felzenszwalb": (lambda image, k=k: felzenszwalb(image, k) for k in (200, 400, 800, 1600)),
        "hierarchy": iter([lambda image: one_scale(image).cut(threshold)]),
    }
    best = {}
    for name, tries in ways.items():
        rows = []
        for segment in tries:
            found = [segment(image) for image in images]
            pairs = list(zip(found, truths, strict=True))
            row = {key: np.mean([float(f(*pair)) for pair in pairs]) for key, f in SCORES.items()}
            rows.append(row | {"regions": np.mean([len(each.unique()) for each in found])})
        top = max(rows, key=lambda row: row["covering"])
        best[name] = {key: round(float(value), 4) for key, value in top.items()}
    return best


def proposals(scenes: list[Scene], trees: list[list[Hierarchy]]) -> dict[str, float]:
    """Share of objects with a proposal of IoU 0.5 among the first n, and the mean best IoU."""
    best: dict[int, list[float]] = {10: [], 100: [], 500: []}
    for scene, of_image in zip(scenes, trees, strict=True):
        masks, _ = object_proposals(of_image, max(best))
        found, truth = (each.flatten(1).float() for each in (masks, scene.masks))
        shared = truth @ found.T
        iou = shared / (truth.sum(1)[:, None] + found.sum(1) - shared)
        for n, row in best.items():
            row += iou[:, :n].amax(1).tolist()
    recall = {f"recall at {n}": round(float(np.mean(np.array(row) >= 0.5)), 4) for n, row in best.items()}
    return recall | {f"best IoU of {n}": round(float(np.mean(row)), 4) for n, row in best.items()}


# --- GrabCut ---


def opencv(image: Tensor, trimap: Tensor, iterations: int = 5) -> Tensor:
    """OpenCV's GrabCut on the same 8-bit image and trimap."""
    pixels = (image.movedim(0, -1) * 255).round().byte().numpy()[..., ::-1].copy()
    mask = np.array([cv2.GC_BGD, cv2.GC_PR_FGD, cv2.GC_FGD], np.uint8)[trimap.numpy()]
    cv2.setRNGSeed(0)
    cv2.grabCut(pixels, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def iou(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


def box_trimap(mask: Tensor, margin: int) -> Tensor:
    """1 in the box around a mask, some pixels wider, and 0 outside."""
    rows, columns = (torch.where(mask.any(axis))[0] for axis in (1, 0))
    trimap = torch.zeros_like(mask, dtype=torch.int64)
    y, x = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    trimap[y : int(rows[-1]) + margin + 1, x : int(columns[-1]) + margin + 1] = 1
    return trimap


def cut_out(pairs: list[tuple[Tensor, Tensor]], margin: int) -> dict[str, float]:
    """Mean IoU with the truth, of ours and of OpenCV's, and with each other."""
    rows = []
    for image, truth in pairs:
        trimap = box_trimap(truth, margin)
        image = (image * 255).round() / 255
        if not (trimap == 0).any():
            continue
        ours, theirs = grabcut(image, trimap), opencv(image, trimap)
        rows.append(
            (iou(ours, truth), iou(theirs, truth), iou(ours, theirs) if (ours | theirs).any() else 1.0)
        )
    means = np.mean(rows, 0)
    return {
        "ours": round(float(means[0]), 4),
        "OpenCV": round(float(means[1]), 4),
        "both": round(float(means[2]), 4),
        "objects": len(rows),
    }


def run(seed: int) -> dict[str, Any]:
    """All of it; the seed is that of the scenes."""
    drawn = make_scenes(SCENES, size=SIZE, seed=seed, antialias=True)
    scenes = list(drawn)
    images, truths = [scene.image for scene in scenes], [regions(scene) for scene in scenes]
    lines = contours(images, truths)
    single = [[one_scale(image)] for image in images]
    coins, horse = photograph("coins"), photograph("horse")
    objects = [(scene.image, mask) for scene in scenes for mask in scene.masks if mask.sum() >= SIZE**2 / 100]
    return {
        "contours": lines,
        "segmentations": segmentations(images, truths, lines["contours, merged"]["threshold"]),
        "proposals": {
            "one hierarchy": proposals(scenes, single),
            "three scales": proposals(scenes, [[multiscale_hierarchy(image)] for image in images]),
        },
        "grabcut": {
            "scenes": cut_out(objects, 3),
            "coins": cut_out([(coins, mask) for mask in coin_masks()], 6),
            "horse": cut_out([(horse, horse.mean(0) < 0.5)], 10),
        },
    }
