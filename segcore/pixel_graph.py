r"""Felzenszwalb and Huttenlocher's loop over an image's edges, in whole arrays where that gives the same.

The loop takes the edges between eight neighbours from the lightest to the heaviest, and at each asks whether
two components merge (see `segcore.superpixels`, which calls this with a smoothed image). Written down as it
stands it is slow in Python. Three remarks leave it, in a photograph, a seventh of the edges and a third of
the merges (`tests/test_superpixels.py` counts them):

- Where an edge is the lightest of all that leave the one component and of all that leave the other, the loop
  will find both just as they are now. So it can be decided at once, and all such edges together, round after
  round. Each round takes from a large component one neighbour only, so it pays for some rounds.
- In a triangle of pixels the heaviest edge is never the lightest way out of a component: of the other two,
  one leads out as well. The rounds do without these edges, more than half of all.
- An edge heavier than the bound of a component at its end is never taken, so that component stays as it is
  for good. Later edges come in windows, and before each, whole arrays drop those inside a component or at
  one that is done.

Edges of equal weight go in a fixed order: to the right, down, down to the right, down to the left, and in
reading order among these. An edge is one whole number: the bits of its weight (floats that are not negative
sort like their bits), its direction, and the pixel where it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["graph_segments", "in_reading_order"]

# Edges between two cleanings: enough that arrays pay, few enough that a cleaning comes in time.
_WINDOW = 1 << 13
_WORTH = 1 / 40  # of a round's edges: a round that merges fewer costs more than the loop
_PIXELS = 30  # bits for the number of a pixel

_HERE, _THERE, _EVERY = np.s_[:-1], np.s_[1:], np.s_[:]
_SIDES = (  # where edges begin and where they end: to the right, down, down to the right, down to the left
    ((_EVERY, _HERE), (_EVERY, _THERE)),
    ((_HERE, _EVERY), (_THERE, _EVERY)),
    ((_HERE, _HERE), (_THERE, _THERE)),
    ((_HERE, _THERE), (_THERE, _HERE)),
)


class _Edges(NamedTuple):
    """Weights in float32 and the two pixels, or components, of each, all ``(E,)``; in order."""

    weight: NDArray
    one: NDArray
    other: NDArray

    def take(self, places: NDArray) -> _Edges:
        return _Edges(*(each.take(places) for each in self))


class _Forest(NamedTuple):
    """Components: each pixel's parent (a root is its own), and of each root size and Int(C) + k / |C|."""

    parents: NDArray
    sizes: NDArray
    bounds: NDArray
    places: NDArray  # room for numbers

    @classmethod
    def of_pixels(cls, count: int, k: float) -> _Forest:
        single = np.ones(count, dtype=np.int64)
        return cls(np.arange(count), single, np.full(count, float(k)), np.empty(count, dtype=np.int64))

    def roots(self, nodes: NDArray) -> NDArray:
        """The roots above some nodes, which become their parents: the next way up is short."""
        root = self.parents.take(nodes)
        while not np.array_equal(root, up := self.parents.take(root)):
            root = up
        self.parents[nodes] = root
        return root

    def labels(self) -> NDArray:
        return self.roots(np.arange(len(self.parents)))

    def numbered(self, one: NDArray, other: NDArray) -> tuple[NDArray, tuple[list[int], list[int]]]:
        """The components that occur at the ends of edges, and these ends in their numbers."""
        flat = np.concatenate([one, other])
        self.places[flat] = np.arange(
            flat.size
        )  # where it occurs last: of several, the last one written stays
        last = self.places.take(flat)
        own = last == np.arange(flat.size)
        ends = (np.cumsum(own) - 1).take(last)
        return flat.compress(own), (ends[: one.size].tolist(), ends[one.size :].tolist())

    def put(self, touched: NDArray, parents: list[int], sizes: list[int], bounds: list[float]) -> None:
        """What became of some components in numbers of their own."""
        count = len(touched)
        self.parents[touched] = touched.take(np.fromiter(parents, np.int64, count))
        self.sizes[touched] = np.fromiter(sizes, np.int64, count)
        self.bounds[touched] = np.fromiter(bounds, np.float64, count)


def graph_segments(pixels: NDArray, k: float, min_size: int) -> NDArray:
    """Segments of an image, equal to those of the loop over all edges.

    Args:
        pixels: float32 ``(C, H, W)`` with fewer than 2³⁰ pixels, without NaN.
        k: Allowance of the predicate, in the unit of the pixels.
        min_size: Segments of fewer pixels are merged in the end, along their lightest edges.

    Returns:
        int64 ``(H, W)``: labels from 0 in reading order.

    Example:
        >>> graph_segments(np.array([[[0, 0.1, 0.5, 0.5]]], dtype=np.float32), k=0.2, min_size=1)
        array([[0, 0, 1, 1]])
    """
    shape = pixels.shape[1:]
    count = shape[0] * shape[1]
    keys = _keys(pixels)
    forest = _Forest.of_pixels(count, k)
    _pair(forest, _in_order(_light(keys), shape[1]), k)
    labels = forest.labels().reshape(shape)
    _grow(forest, _in_order(_between(keys, labels), shape[1]), k)
    labels = forest.labels().reshape(shape)
    small = forest.sizes.take(labels) < min_size
    _absorb(forest, _in_order(_between(keys, labels, small), shape[1]), min_size)
    return in_reading_order(forest.labels()).reshape(shape)


def in_reading_order(labels: NDArray) -> NDArray:
    """Any labels below ``labels.size`` as labels from 0 on, in the order in which they first occur.

    Args:
        labels: int64, of any shape.

    Returns:
        int64, of that shape.

    Example:
        >>> in_reading_order(np.array([[5, 5, 1, 0, 5, 1]]))
        array([[0, 0, 1, 2, 0, 1]])
    """
    flat = labels.ravel()
    first = np.empty(flat.size, dtype=np.int64)
    first[flat[::-1]] = np.arange(flat.size)[::-1]  # of several, the last one written stays
    begin = first.take(flat)
    number = np.cumsum(begin == np.arange(flat.size)) - 1
    return number.take(begin).reshape(labels.shape)


# --- Edges ---


def _keys(pixels: NDArray) -> list[NDArray]:
    """The edges' numbers, for each direction as a map of the pixels where they begin."""
    index = np.arange(pixels[0].size).reshape(pixels.shape[1:])
    keys = []
    for direction, (begin, end) in enumerate(_SIDES):
        weight = np.sqrt(np.square(pixels[:, *begin] - pixels[:, *end]).sum(0), dtype=np.float32)
        keys.append((weight.view(np.int32).astype(np.int64) << 32) + (direction << _PIXELS) + index[begin])
    return keys


def _in_order(parts: Sequence[NDArray], width: int) -> _Edges:
    """The edges of some numbers, from the lightest to the heaviest."""
    keys = np.concatenate(parts)
    keys.sort()
    begin = keys & ((1 << _PIXELS) - 1)
    steps = np.array([1, width, width + 1, width - 1])
    weight = (keys >> 32).astype(np.int32).view(np.float32)
    return _Edges(weight, begin, begin + steps.take(keys >> _PIXELS & 3))


def _light(keys: list[NDArray]) -> list[NDArray]:
    """The edges that are the heaviest of no triangle."""
    light = [np.ones(each.shape, dtype=bool) for each in keys]
    for three, keep in zip(_triangles(*keys), _triangles(*light), strict=True):
        heaviest = np.maximum(np.maximum(three[0], three[1]), three[2])
        for key, kept in zip(three, keep, strict=True):
            kept &= key != heaviest
    return [key.compress(kept.ravel()) for key, kept in zip(map(np.ravel, keys), light, strict=True)]


def _triangles(right: NDArray, down: NDArray, falling: NDArray, rising: NDArray) -> list[tuple[NDArray, ...]]:
    """Of each square of four pixels, its sides and diagonals in threes."""
    top, bottom, left, last = right[:-1], right[1:], down[:, :-1], down[:, 1:]
    return [(top, last, falling), (left, bottom, falling), (top, left, rising), (last, bottom, rising)]


def _between(keys: list[NDArray], labels: NDArray, small: NDArray | None = None) -> list[NDArray]:
    """The edges between two labels; with `small`, a mask of pixels, those with one of them at an end."""
    found = []
    for key, (begin, end) in zip(keys, _SIDES, strict=True):
        keep = labels[begin] != labels[end]
        if small is not None:
            keep &= small[begin] | small[end]
        found.append(key.ravel().compress(keep.ravel()))
    return found


# --- Merging ---


def _pair(forest: _Forest, edges: _Edges, k: float) -> None:
    """Rounds that merge along all edges that are the lightest at both ends, where the predicate lets them."""
    parents, sizes, bounds, _ = forest
    merged = len(edges.weight)
    while merged and merged >= _WORTH * len(edges.weight):
        number = np.arange(len(edges.weight), dtype=np.int32)
        first = np.full(len(parents), len(number), dtype=np.int32)  # the lightest edge of each component
        np.minimum.at(first, edges.one, number)
        np.minimum.at(first, edges.other, number)
        both = (first.take(edges.one) == number) & (first.take(edges.other) == number)
        mutual = edges.take(np.flatnonzero(both))
        bound = np.minimum(bounds[mutual.one], bounds[mutual.other])
        weight, one, other = mutual.take(np.flatnonzero(mutual.weight <= bound))
        parents[other] = one
        sizes[one] += sizes[other]
        bounds[one] = weight + k / sizes[one]
        merged = len(one)
        edges = _Edges(edges.weight, parents.take(edges.one), parents.take(edges.other))
        edges = edges.take(np.flatnonzero(edges.one != edges.other))


def _grow(forest: _Forest, edges: _Edges, k: float) -> None:
    """Merge by the predicate, edge after edge."""
    places = [*range(0, len(edges.weight), _WINDOW), len(edges.weight)]
    for begin, end in pairwise(places):
        weight = edges.weight[begin:end]
        one, other = forest.roots(edges.one[begin:end]), forest.roots(edges.other[begin:end])
        bound = np.minimum(forest.bounds.take(one), forest.bounds.take(other))
        open_ = np.flatnonzero((one != other) & (bound >= weight[0]))
        touched, pairs = forest.numbered(one.take(open_), other.take(open_))
        parents, sizes = list(range(len(touched))), forest.sizes.take(touched).tolist()
        bounds = forest.bounds.take(touched).tolist()
        for w, a, b in zip(weight.take(open_).tolist(), *pairs, strict=True):
            while a != parents[a]:
                parents[a] = a = parents[parents[a]]
            while b != parents[b]:
                parents[b] = b = parents[parents[b]]
            if a != b and w <= bounds[a] and w <= bounds[b]:
                if sizes[a] < sizes[b]:
                    a, b = b, a
                parents[b] = a
                sizes[a] += sizes[b]
                bounds[a] = w + k / sizes[a]
        forest.put(touched, parents, sizes, bounds)


def _absorb(forest: _Forest, edges: _Edges, min_size: int) -> None:
    """Merge what is smaller than `min_size`, edge after edge."""
    one, other = forest.roots(edges.one), forest.roots(edges.other)
    touched, pairs = forest.numbered(one, other)
    parents, sizes = list(range(len(touched))), forest.sizes[touched].tolist()
    for a, b in zip(*pairs, strict=True):
        while a != parents[a]:
            parents[a] = a = parents[parents[a]]
        while b != parents[b]:
            parents[b] = b = parents[parents[b]]
        if a != b and (sizes[a] < min_size or sizes[b] < min_size):
            parents[b] = a
            sizes[a] += sizes[b]
    forest.parents[touched] = touched[parents]
