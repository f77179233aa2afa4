r"""Grouping: from the contours of an image to a hierarchy of regions, to objects, and their scores.

`ultrametric_contour_map` (Arbeláez, Maire, Fowlkes and Malik 2011) floods the contours into many small
regions. Then the two neighbours with the weakest boundary between them merge, again and again, until one
region is left. `Hierarchy` holds this tree: `cut` at any strength is a segmentation, and a cut at a higher
strength only merges. `multiscale_hierarchy` and `object_proposals` follow MCG (Arbeláez, Pont-Tuset, Barron,
Marques and Malik 2014): hierarchies from several sizes of the image become one, and unions of up to four
neighbouring regions are ranked as candidates for objects.

The contours come from `segcore.contours`, the floods and `split_touching` from `segcore.watersheds`,
`grabcut` from `segcore.graph_cuts`, and the scores from `segcore.region_scores`; all can be imported from
here.

>>> image = torch.zeros(3, 20, 30)
>>> image[:, :, 10:20] = 0.3  # dark, middle and bright columns
>>> image[:, :, 20:] = 1.0
>>> hierarchy = ultrametric_contour_map(contour_probability(image))
>>> [len(hierarchy.cut(t).unique()) for t in (0.0, 1.0)]
[3, 1]

Simplified against the papers: boundaries are cut into pieces by a grid of squares, each with one direction;
all scales count alike; proposals are ranked by a formula, where MCG learns to rank from annotated objects.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from segcore import inputs
from segcore.contours import checked, contour_probability, contour_strength, spectral_contours
from segcore.graph_cuts import grabcut
from segcore.region_scores import (
    probabilistic_rand_index,
    segmentation_covering,
    variation_of_information,
)
from segcore.watersheds import basins, split_touching

__all__ = [
    "Hierarchy",
    "contour_probability",
    "grabcut",
    "multiscale_hierarchy",
    "object_proposals",
    "probabilistic_rand_index",
    "segmentation_covering",
    "spectral_contours",
    "split_touching",
    "ultrametric_contour_map",
    "variation_of_information",
]

_SHALLOW = 0.02  # of contour strength: basins that are not deeper are no leaves
_PIECE = 8  # pixels: within a square of this side a boundary has one direction


# --- The hierarchy ---


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A tree of regions: K leaves, of which two neighbouring regions merge at a time.

    Attributes:
        leaves: int64 ``(H, W)``: the leaf of each pixel, 0 to K - 1.
        merges: int64 ``(K - 1, 2)``: the nodes that merge into node K + i.
        heights: float32 ``(K - 1,)``: the strength of the boundary that falls; it never decreases.

    Raises:
        TypeError: One of them is no tensor.
        ValueError: Another shape, dtype or device; not a merge and a height for all leaves but one; a merge
            of a node that is not there, or not any more; heights that fall, or are NaN.
    """

    leaves: Tensor
    merges: Tensor
    heights: Tensor

    def __post_init__(self) -> None:
        inputs.filled(inputs.label_map(self.leaves, "leaves", ignore_index=None, form="H W"), "leaves")
        inputs.same_place(inputs.integer(self.merges, "merges", "M 2"), "merges", self.leaves, "leaves")
        inputs.same_place(inputs.floating(self.heights, "heights", "M"), "heights", self.leaves, "leaves")
        if not len(self.merges) == len(self.heights) == int(self.leaves.max()):
            raise ValueError(
                f"expected a merge and a height for all but one of {int(self.leaves.max()) + 1} leaves, got "
                f"{len(self.merges)} and {len(self.heights)}; merge until one region is left"
            )
        count = len(self.merges)
        there = torch.arange(count + 1, 2 * count + 1, device=self.leaves.device)[:, None]
        if ((self.merges < 0) | (self.merges >= there)).any() or len(self.merges.unique()) < 2 * count:
            raise ValueError(
                "expected merges of two nodes that are there, and each of them once, got "
                f"{self.merges.tolist()}; merge i makes node {count + 1} + i of two older ones"
            )
        if self.heights.isnan().any() or (self.heights.diff() < 0).any():
            raise ValueError("expected heights that never fall, got some that do; merge the weakest first")

    def cut(self, threshold: float) -> Tensor:
        """The segmentation in which boundaries of strength up to `threshold` are gone.

        Args:
            threshold: Any number; below 0 all leaves stay apart.

        Returns:
            int64 ``(H, W)``: labels from 0 on, in reading order.

        Example:
            >>> merges, heights = torch.tensor([[0, 1], [2, 3]]), torch.tensor([1.0, 2.0])
            >>> Hierarchy(torch.tensor([[0, 1, 2]]), merges, heights).cut(1.0)
            tensor([[0, 0, 1]])
        """
        threshold = inputs.number(threshold, "threshold")
        tops = self._tops(int((self.heights <= threshold).sum()))  # heights rise
        return _in_reading_order(tops[self.leaves])

    @cached_property
    def ucm(self) -> Tensor:
        """The ultrametric contour map, float32 ``(2H + 1, 2W + 1)``.

        Pixel (y, x) stands at (2y + 1, 2x + 1) and is 0. Between two pixels stands the strength at which
        their leaves become one region; where four pixels meet, the largest of the strengths around. So the
        8-connected parts of ``ucm <= t``, for t of 0 or more, are the regions of ``cut(t)``. The frame around
        all is 0 but where a boundary meets it.
        """
        leaves = self.leaves.numpy(force=True)
        height, width = leaves.shape
        ucm = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.float32)
        ucm[1::2, 2:-1:2] = self._falls(leaves[:, :-1], leaves[:, 1:])
        ucm[2:-1:2, 1::2] = self._falls(leaves[:-1], leaves[1:])
        padded = np.pad(ucm, 1)
        around = padded[:-2:2, 1:-1:2], padded[2::2, 1:-1:2], padded[1:-1:2, :-2:2], padded[1:-1:2, 2::2]
        ucm[::2, ::2] = np.maximum.reduce(around)
        return torch.from_numpy(ucm).to(self.leaves.device)

    def _falls(self, one: NDArray, other: NDArray) -> NDArray:
        """The strengths at which pairs of leaves become one region; 0 for a leaf with itself."""
        count = len(self.merges) + 1
        codes, back = np.unique(one.ravel() * count + other.ravel(), return_inverse=True)
        low, high = np.sort([codes // count, codes % count], axis=0)
        parents, heights = self._parents(), np.pad(self.heights.float().numpy(force=True), (count, 0))
        while (apart := low != high).any():  # the younger node climbs: numbers rise towards the root
            low[apart] = parents[low[apart]]
            low, high = np.minimum(low, high), np.maximum(low, high)
        return heights[low][back].reshape(one.shape)

    def _tops(self, count: int) -> Tensor:
        """For each node that is there after `count` merges, the one that it is then a part of."""
        tops = list(range(len(self.merges) + 1 + count))
        for node, (a, b) in enumerate(self.merges[:count].tolist(), len(self.merges) + 1):
            tops[a] = tops[b] = node
        for node in reversed(range(len(tops))):
            tops[node] = tops[tops[node]]
        return torch.tensor(tops, device=self.leaves.device)

    def _parents(self) -> NDArray:
        """The node that each node merges into; the root is its own."""
        parents = np.arange(2 * len(self.merges) + 1)
        parents[self.merges.numpy(force=True).ravel()] = np.repeat(
            np.arange(len(self.merges) + 1, len(parents)), 2
        )
        return parents


def ultrametric_contour_map(contours: Tensor) -> Hierarchy:
    """From contours to a hierarchy of regions: oriented watershed, then merging (Arbeláez et al. 2011).

    The leaves are the basins of the strongest direction. Each boundary between two of them is cut in pieces;
    each piece has the direction of its chord, and its strength is that of the contours in *this* direction,
    so that a boundary which no contour backs is weak even beside a strong one. Then the pair with the least
    mean strength along its common boundary merges, and the boundaries of the new region are joined.

    Args:
        contours: float ``(O, H, W)``, at least 0, as from `contour_probability`. One map (O = 1) counts
            for all directions.

    Raises:
        TypeError: `contours` is no tensor.
        ValueError: It is not of shape ``(O, H, W)``, not floating point, not finite or negative.

    Example:
        >>> contours = torch.zeros(1, 1, 7)
        >>> contours[0, 0, [2, 4]] = torch.tensor([0.3, 0.8])
        >>> hierarchy = ultrametric_contour_map(contours)
        >>> hierarchy.heights
        tensor([0.3000, 0.8000])
        >>> hierarchy.cut(0.5)
        tensor([[0, 0, 0, 0, 1, 1, 1]])
    """
    contours = checked(contours).detach().float()
    leaves = basins(contour_strength(contours), _SHALLOW)
    pairs, strengths, lengths = _boundaries(leaves.numpy(force=True), contours.numpy(force=True))
    return _merged(leaves, pairs, strengths, lengths)


def _sides(leaves: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Where two pixels of different leaves meet: both pixels' places, and the axis of the step, ``(n,)``."""
    place = np.arange(leaves.size).reshape(leaves.shape)
    down = leaves[:-1] != leaves[1:]
    right = leaves[:, :-1] != leaves[:, 1:]
    one = np.concatenate([place[:-1][down], place[:, :-1][right]])
    other = np.concatenate([place[1:][down], place[:, 1:][right]])
    axis = np.repeat([0, 1], [down.sum(), right.sum()])
    return one, other, axis


def _pairs(leaves: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """The leaves of each pair of neighbours, the lower first, and how many sides of pixels they share."""
    one, other, _ = _sides(leaves)
    flat, count = leaves.ravel(), int(leaves.max()) + 1
    codes = np.minimum(flat[one], flat[other]) * count + np.maximum(flat[one], flat[other])
    codes, lengths = np.unique(codes, return_counts=True)
    return codes // count, codes % count, lengths.astype(np.float64)


def _boundaries(leaves: NDArray, contours: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs of neighbouring leaves ``(n, 2)``, the mean strength between them, and its length in sides."""
    one, other, axis = _sides(leaves)
    flat, count = leaves.ravel(), int(leaves.max()) + 1
    low, high = np.minimum(flat[one], flat[other]), np.maximum(flat[one], flat[other])
    codes, boundary = np.unique(low * count + high, return_inverse=True)
    # A piece's normal is the sum of its sides' unit normals, which is the normal of its chord.
    width = leaves.shape[1]
    cell = one // width // _PIECE * (width // _PIECE + 1) + one % width // _PIECE
    _, piece = np.unique(boundary * (cell.max(initial=0) + 1) + cell, return_inverse=True)
    outward = np.where(flat[one] == low, 1.0, -1.0)
    down, right = (np.bincount(piece, outward * (axis == a))[piece] for a in (0, 1))
    # A contour at angle a to the x axis has the normal (-sin a, cos a).
    angle = np.arctan2(-right, down) / np.pi % 1 * len(contours)
    first, share = np.floor(angle).astype(int) % len(contours), angle % 1
    second = (first + 1) % len(contours)
    maps = contours.reshape(len(contours), -1)
    sides = [(1 - share) * maps[first, at] + share * maps[second, at] for at in (one, other)]
    lengths = np.bincount(boundary, minlength=len(codes)).astype(np.float64)
    strengths = np.bincount(boundary, np.maximum(*sides), minlength=len(codes)) / np.maximum(lengths, 1)
    return np.stack([codes // count, codes % count], 1), strengths, lengths


def _merged(leaves: Tensor, pairs: NDArray, strengths: NDArray, lengths: NDArray) -> Hierarchy:
    """Merge the pair with the weakest mean boundary until one region is left.

    A boundary that joins two is their mean by length, and so no weaker than the weaker of them: heights rise.
    """
    count = int(leaves.max()) + 1
    beside: list[dict[int, tuple[float, float]]] = [{} for _ in range(count)]  # other: (sum, length)
    for (a, b), strength, length in zip(pairs.tolist(), strengths.tolist(), lengths.tolist(), strict=True):
        beside[a][b] = beside[b][a] = (strength * length, length)
    queue = [(s / n, a, b) for a in range(count) for b, (s, n) in beside[a].items() if a < b]
    heapq.heapify(queue)
    node = list(range(count))  # of each region that is left
    merges, heights = [], [0.0]
    while queue:
        strength, a, b = heapq.heappop(queue)
        now = beside[a].get(b)
        if now is None or now[0] / now[1] != strength:
            continue  # an entry from before a merge
        if len(beside[a]) < len(beside[b]):
            a, b = b, a
        merges.append((node[a], node[b]))
        heights.append(max(strength, heights[-1]))
        node[a] = count + len(merges) - 1
        del beside[a][b], beside[b][a]
        for other, (total, length) in beside[b].items():
            before = beside[a].get(other, (0.0, 0.0))
            joined = (before[0] + total, before[1] + length)
            beside[a][other] = beside[other][a] = joined
            del beside[other][b]
            heapq.heappush(queue, (joined[0] / joined[1], a, other))
        beside[b] = {}
    device = leaves.device
    return Hierarchy(
        leaves,
        torch.tensor(merges, dtype=torch.int64, device=device).reshape(-1, 2),
        torch.tensor(heights[1:], dtype=torch.float32, device=device),
    )


def _in_reading_order(labels: Tensor) -> Tensor:
    """Labels from 0 on, in the order in which they first occur."""
    numbers, flat = labels.flatten().unique(return_inverse=True)
    place = torch.arange(len(flat), device=labels.device)
    first = torch.full_like(numbers, len(flat)).scatter_reduce(0, flat, place, "amin")
    return first.argsort().argsort()[flat].reshape(labels.shape)


# --- Several scales, and objects ---


def multiscale_hierarchy(image: Tensor, scales: Sequence[float] = (0.5, 1.0, 2.0)) -> Hierarchy:
    """One hierarchy from several sizes of the image (Arbeláez et al. 2014).

    Each size has contours of its own, brought to the image's size, and so a hierarchy. The leaves of the
    largest size stay. Each of them is given, in every other hierarchy, the leaf that it shares most pixels
    with; two neighbours are then apart by the mean, over all hierarchies, of the strength at which they
    become one region. By these strengths they merge anew.

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        scales: Factors above 0 for the image's sides; at least one.

    Raises:
        TypeError: `image` is no tensor, or a scale is no number.
        ValueError: `image` has another shape or range, or there is no scale, or one that is not above 0.

    Example:
        >>> image = torch.zeros(3, 16, 24)
        >>> image[:, :, 12:] = 1.0
        >>> multiscale_hierarchy(image, scales=(1.0, 2.0)).cut(0.2)[0].bincount()
        tensor([12, 12])
    """
    image = inputs.color_image(image).detach().float()
    given = inputs.several(scales, "scales", "(0.5, 1.0, 2.0)")
    factors = [inputs.number(scale, "scales", above=0) for scale in given]
    if not factors:
        raise ValueError("expected at least one scale, got none; give scales such as (0.5, 1.0, 2.0)")
    trees = []
    for factor in sorted(factors, reverse=True):
        size = [max(round(n * factor), 1) for n in image.shape[1:]]
        contours = contour_probability(_resized(image, size).clamp(0, 1))
        trees.append(ultrametric_contour_map(_resized(contours, image.shape[1:])))
    leaves = trees[0].leaves.numpy(force=True)
    low, high, lengths = _pairs(leaves)
    strengths = np.zeros(len(low))
    for tree in trees:
        theirs = _majority(leaves, tree.leaves.numpy(force=True))
        strengths += tree._falls(theirs[low], theirs[high]) / len(trees)
    return _merged(trees[0].leaves, np.stack([low, high], 1), strengths, lengths)


def _majority(leaves: NDArray, other: NDArray) -> NDArray:
    """For each leaf the label of another map that it shares most pixels with."""
    count = int(other.max()) + 1
    codes, shared = np.unique(leaves.ravel() * count + other.ravel(), return_counts=True)
    order = np.argsort(shared, kind="stable")
    best = np.zeros(int(leaves.max()) + 1, dtype=np.int64)
    best[codes[order] // count] = codes[order] % count  # the last one written, the largest, stays
    return best


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps[None], tuple(size), mode="bilinear", antialias=True)[0]


_PARTS = 200  # regions that a candidate is made of: what a hierarchy holds below is too small
_LEVELS = (60, 30, 15, 8)  # regions that are left where unions of neighbours are tried
_ALIKE = 0.85  # IoU from which a proposal says nothing new


def object_proposals(hierarchies: Hierarchy | Sequence[Hierarchy], n: int) -> tuple[Tensor, Tensor]:
    """Candidates for objects, the most promising first: regions, and unions of up to four (after MCG, 2014).

    Candidates are all nodes of the hierarchies, and in four cuts of each all unions of two, three and four
    neighbouring regions. A candidate's score is (m - b / 2) · l^¼: with m the mean strength of its outline,
    where the image's frame counts as 0, b the strongest boundary inside it, and l the length of the outline.
    One that overlaps a better one by an IoU above 0.85 is left out. MCG learns its ranking from annotated
    objects; this formula was chosen by hand on rendered scenes.

    Args:
        hierarchies: One, or several of one image.
        n: How many proposals to return at most.

    Returns:
        masks: bool ``(N, H, W)``, N at most n.
        scores: float32 ``(N,)``, falling.

    Raises:
        TypeError: It is no hierarchy, or `n` is not whole.
        ValueError: There is no hierarchy, or they differ in size.

    Example:
        >>> leaves = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]])
        >>> hierarchy = Hierarchy(leaves, torch.tensor([[1, 2], [0, 3]]), torch.tensor([0.1, 0.9]))
        >>> masks, scores = object_proposals(hierarchy, 3)
        >>> masks[0].long()
        tensor([[0, 0, 0, 0],
                [0, 1, 1, 0],
                [0, 0, 0, 0]])
    """
    if isinstance(hierarchies, Hierarchy):
        hierarchies = [hierarchies]
    trees = inputs.several(hierarchies, "hierarchies", "[hierarchy]")
    n = inputs.whole(n, "n")
    if not trees:
        raise ValueError("expected at least one hierarchy, got none; make one with multiscale_hierarchy")
    for tree in trees:
        inputs.instance(tree, "hierarchies", Hierarchy, "make one with multiscale_hierarchy(image)")
        inputs.same_shape(tree.leaves, "leaves", trees[0].leaves, "the first hierarchy's")
    masks, scores = [], []
    for tree in trees:
        tree = _coarser(tree, _PARTS)
        members, score = _candidates(tree)
        kept = _novel(members, score, np.bincount(tree.leaves.numpy(force=True).ravel()), n)
        inside = torch.from_numpy(members[kept]).to(tree.leaves.device)
        masks.append(inside[:, tree.leaves])
        scores.append(torch.from_numpy(score[kept]).float().to(tree.leaves.device))
    all_masks, all_scores = torch.cat(masks), torch.cat(scores)
    order = all_scores.argsort(descending=True, stable=True)
    all_masks, all_scores = all_masks[order], all_scores[order]
    if len(trees) > 1:
        flat = all_masks.flatten(1).numpy(force=True)
        kept = _novel(flat, all_scores.numpy(force=True), np.ones(flat.shape[1]), n)
        all_masks, all_scores = all_masks[kept], all_scores[kept]
    return all_masks[:n], all_scores[:n]


def _coarser(tree: Hierarchy, count: int) -> Hierarchy:
    """The upper part of a hierarchy, with `count` leaves at most."""
    done = len(tree.merges) + 1 - count
    if done <= 0:
        return tree
    left = [k for k, top in enumerate(tree._tops(done).tolist()) if k == top]
    number = torch.full((2 * len(tree.merges) + 1,), -1)  # in the new tree, of each node of the old one
    number[left] = torch.arange(count)
    number[len(tree.merges) + 1 + done :] = torch.arange(count, 2 * count - 1)
    number = number.to(tree.leaves.device)
    leaves = number[tree._tops(done).to(number.device)[tree.leaves]]
    return Hierarchy(leaves, number[tree.merges[done:]], tree.heights[done:])


def _candidates(tree: Hierarchy) -> tuple[NDArray, NDArray]:
    """Which leaves each candidate has, bool ``(M, K)``, and its score ``(M,)``; none of them twice."""
    merges = tree.merges.numpy(force=True)
    count = len(merges) + 1
    nodes = np.eye(2 * count - 1, count, dtype=bool)
    for node, pair in enumerate(merges, count):
        nodes[node] = nodes[pair].any(0)
    found, inner = [nodes], [np.pad(tree.heights.float().numpy(force=True), (count, 0))]
    one, other, lengths = _pairs(tree.leaves.numpy(force=True))
    falls = tree._falls(one, other)
    for level in _LEVELS:
        if level >= count:
            continue
        left = np.setdiff1d(np.arange(2 * count - level), merges[: count - level])
        parts = nodes[left]  # the regions of this cut, (level, K)
        region = parts.argmax(0)
        between = np.full((level, level), -1.0)  # of two regions all leaves become one at one strength
        between[region[one], region[other]] = between[region[other], region[one]] = falls
        np.fill_diagonal(between, -1.0)
        for union in _unions(between >= 0):
            found.append(parts[list(union)].any(0, keepdims=True))
            inner.append(between[np.ix_(union, union)].max(keepdims=True)[0])
    members, strongest = np.concatenate(found), np.concatenate(inner)
    _, once = np.unique(np.packbits(members, axis=1), axis=0, return_index=True)
    members, strongest = members[np.sort(once)], strongest[np.sort(once)]
    frame = _frame(tree.leaves.numpy(force=True), count)
    around = _across(members, one, other, lengths) + members @ frame
    mean = _across(members, one, other, falls * lengths) / np.maximum(around, 1)
    return members, (mean - 0.5 * strongest) * around**0.25


def _across(members: NDArray, one: NDArray, other: NDArray, weights: NDArray) -> NDArray:
    """For each candidate ``(M, K)`` the sum of the weights of all links that leave it, ``(M,)``."""
    links = csr_array(coo_array((weights, (one, other)), shape=(members.shape[1],) * 2))
    links = links + links.T
    inside = members.astype(np.float32)
    return inside @ links.sum(1) - ((links @ inside.T).T * inside).sum(1)


def _frame(leaves: NDArray, count: int) -> NDArray:
    """How many sides of its pixels each leaf has on the image's frame."""
    rim = np.concatenate([leaves[0], leaves[-1], leaves[:, 0], leaves[:, -1]])
    return np.bincount(rim, minlength=count).astype(np.float64)


def _novel(members: NDArray, score: NDArray, sizes: NDArray, n: int) -> list[int]:
    """The best candidates, at most n, none too like a better one; rows of `members` by parts of some size."""
    kept: list[int] = []
    chosen = np.zeros((0, members.shape[1]))
    areas = members @ sizes
    for k in np.argsort(-score, kind="stable").tolist():
        if kept:
            shared = chosen @ members[k]
            if (shared > _ALIKE * (areas[kept] + areas[k] - shared)).any():
                continue
        kept.append(k)
        if len(kept) == n:
            break
        chosen = np.concatenate([chosen, (members[k] * sizes)[None]])
    return kept


def _unions(between: NDArray) -> list[tuple[int, ...]]:
    """All sets of two, three and four regions that hang together."""
    beside = [set(np.flatnonzero(row).tolist()) for row in between]
    grown = {frozenset((a, b)) for a in range(len(beside)) for b in beside[a]}
    every = set(grown)
    for _ in range(2):
        grown = {one | {new} for one in grown for new in set().union(*(beside[k] for k in one)) - one}
        every |= grown
    return sorted(tuple(sorted(each)) for each in every)
