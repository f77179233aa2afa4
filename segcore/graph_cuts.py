r"""Minimum cuts on the grid of pixels: the exact best labelling with two labels, and GrabCut on top of it.

Each pixel belongs to one of two sides. Being on a side costs something, and so does being on another side
than a neighbour. If the costs between neighbours are not negative, the labelling of least cost is a minimum
cut of a graph, and a maximum flow finds it exactly (Greig, Porteous and Seheult 1989; Boykov and Jolly 2001).
`grid_cut` builds that graph. The flow itself comes from the package PyMaxflow, a wrapper of the algorithm of
Boykov and Kolmogorov (2004). Mind its licence: GPL.

`grabcut` (Rother, Kolmogorov and Blake 2004) takes both sides' colours for Gaussian mixtures, learns them
from the present cut, cuts anew, and so on. It agrees with OpenCV's but for the start: the first components
come from splitting (Orchard and Bouman 1991), without chance, where OpenCV's come from k-means.

Left out: the border matting of the paper, and its hard assignment in the cost (like OpenCV, we sum over the
components).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore import inputs

__all__ = ["BACKGROUND", "FOREGROUND", "UNKNOWN", "grabcut", "grid_cut"]

BACKGROUND, UNKNOWN, FOREGROUND = 0, 1, 2
"""What the numbers of a trimap mean."""

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, down, down to the right, down to the left
_COMPONENTS = 5
_GAMMA = 50.0


def grid_cut(source: Tensor, sink: Tensor, links: Tensor) -> Tensor:
    r"""The labelling of least cost with two labels.

    With :math:`m_p` true on the source's side, the cost is

    .. math:: \sum_p m_p\, \text{sink}_p + (1 - m_p)\, \text{source}_p
       + \sum_{(p, q)} \text{links}_{pq}\, [m_p \ne m_q]

    over pixels p and neighbours p, q, each pair once. Of several minima, one is returned.

    Args:
        source: float ``(H, W)``; what it costs *not* to be on the source's side. Any sign, finite.
        sink: float ``(H, W)``; what it costs not to be on the sink's side, that is, to be on the source's.
        links: float ``(2, H, W)`` or ``(4, H, W)``, at least 0: the cost of a cut between a pixel and its
            neighbour to the right, below, below to the right, below to the left. Links that leave the grid
            are not looked at.

    Returns:
        bool ``(H, W)``: which pixels are on the source's side.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, a number is not finite, or a link is below 0.
        ImportError: PyMaxflow is not installed.

    Example:
        >>> source, sink = torch.tensor([[9.0, 1.0, 0.0]]), torch.tensor([[0.0, 2.0, 9.0]])
        >>> grid_cut(source, sink, torch.zeros(2, 1, 3))
        tensor([[ True, False, False]])
        >>> grid_cut(source, sink, torch.tensor([[[5.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]]))
        tensor([[ True,  True, False]])
    """
    inputs.floating(source, "source", "H W")
    inputs.same_shape(inputs.floating(sink, "sink", "H W"), "sink", source, "source")
    inputs.floating(links, "links", "2 H W | 4 H W")
    if links.shape[1:] != source.shape:
        raise ValueError(
            f"expected links of size {inputs.size_of(source.shape)}, like source, got "
            f"{inputs.size_of(links.shape[1:])}; give each pixel its links, those that leave the grid too"
        )
    for value, name in ((source, "source"), (sink, "sink"), (links, "links")):
        inputs.filled(value, name)
        inputs.finite(value, name, "use a large number in place of infinity")
    if links.numel() and links.min() < 0:
        raise ValueError(
            f"expected links of 0 or more, got {links.min().item():g}; a cut that pays has no fast solution"
        )
    costs = (source - sink).detach().double().numpy(force=True)  # only the difference decides
    graph = _graph(links.detach().double().numpy(force=True))
    return torch.from_numpy(_cut(*graph, costs)).to(source.device)


def _graph(links: NDArray) -> tuple[Any, NDArray]:
    """A graph without costs yet, of links ``(4, H, W)`` or ``(2, H, W)``, and its nodes ``(H, W)``."""
    graph = _maxflow().Graph[float](links[0].size, 4 * links[0].size)
    nodes = graph.add_grid_nodes(links.shape[1:])
    for (dy, dx), weights in zip(_STEPS, links, strict=False):
        structure = np.zeros((3, 3))
        structure[1 + dy, 1 + dx] = 1
        graph.add_grid_edges(nodes, weights=weights, structure=structure, symmetric=True)
    return graph, nodes


def _cut(graph: Any, nodes: NDArray, costs: NDArray) -> NDArray:
    """The source's side, after costs for the sink's side (or below 0, for the source's) are added.

    A graph that was cut before keeps its flow, so that a cut at nearly the same costs is quick.
    """
    graph.add_grid_tedges(nodes, np.maximum(costs, 0), np.maximum(-costs, 0))
    graph.maxflow()
    return ~graph.get_grid_segments(nodes)


def _maxflow() -> Any:
    """The package of the flow: the only one of the course under the GPL, so only whoever cuts loads it."""
    try:
        import maxflow
    except ImportError:
        raise ImportError("expected the package PyMaxflow; install it with pip install PyMaxflow") from None
    return maxflow


# --- GrabCut ---


def grabcut(image: Tensor, trimap: Tensor, iterations: int = 5) -> Tensor:
    r"""Cut out an object, from a box around it or from a few strokes (Rother et al. 2004).

    Foreground and background are mixtures of five Gaussians in RGB. In each iteration every pixel takes the
    likeliest component of its side, the components are fitted to their pixels, and a minimum cut finds the
    new sides: an unknown pixel of colour c costs :math:`-\log p(c)` of its side's mixture, and two of eight
    neighbours on different sides cost :math:`\gamma\, e^{-\beta \|c - c'\|^2} / \text{distance}`, with
    :math:`\gamma = 50` and :math:`1 / \beta` twice the mean of :math:`\|c - c'\|^2`; colours are × 255.
    Pixels that the trimap fixes keep their side (OpenCV's :math:`\lambda = 9 \gamma` never gives way, so only
    the unknown part of the grid is cut here, with the same result in less time).

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        trimap: int64 ``(H, W)``: 0 background, 1 unknown (taken for foreground at first), 2 foreground; or
            a box ``(4,)`` as x1, y1, x2, y2, which means 1 for the pixels whose centres are inside and 0
            outside.
        iterations: At least 1.

    Returns:
        bool ``(H, W)``: the foreground. It may be empty, where all of the unknown looks like background.

    Raises:
        TypeError: An argument is no tensor, or `iterations` is not whole.
        ValueError: Wrong shape, dtype or range; or there is no foreground or no background to learn from.
        ImportError: PyMaxflow is not installed.

    Example:
        >>> image = torch.zeros(3, 6, 8)
        >>> image[0, 2:4, 2:5] = 1.0  # a red thing on black
        >>> grabcut(image, torch.tensor([1.0, 1.0, 7.0, 5.0])).long()
        tensor([[0, 0, 0, 0, 0, 0, 0, 0],
                [0, 0, 0, 0, 0, 0, 0, 0],
                [0, 0, 1, 1, 1, 0, 0, 0],
                [0, 0, 1, 1, 1, 0, 0, 0],
                [0, 0, 0, 0, 0, 0, 0, 0],
                [0, 0, 0, 0, 0, 0, 0, 0]])
    """
    inputs.color_image(image)
    iterations = inputs.whole(iterations, "iterations")
    known = _trimap(image, trimap).numpy(force=True)
    pixels = image.detach().double().mul(255).movedim(0, -1).numpy(force=True)  # (H, W, 3)
    mask, free = known != BACKGROUND, known == UNKNOWN
    if not free.any():
        return torch.from_numpy(mask).to(image.device)
    window = _window(free)
    links, free, sides = _links(pixels)[:, *window], free[window], mask[window]
    fixed = np.where(sides, 9 * _GAMMA, -9 * _GAMMA)
    outside = np.ones_like(mask)
    outside[window] = False
    # Each side's colours, (3, N): the window's first, which may change sides, then what is its own for good.
    rest = [pixels[outside & (mask == side)] for side in (0, 1)]
    colors = [np.concatenate([pixels[window].reshape(-1, 3), each]).T.copy() for each in rest]
    own = [np.pad(sides.ravel() == side, (0, len(rest[side])), constant_values=True) for side in (0, 1)]
    mixtures = [_fit(c[:, at], _split(c[:, at])) for c, at in zip(colors, own, strict=True)]
    costs = [_costs(*each) for each in zip(colors, mixtures, strict=True)]
    graph, before = _graph(links), np.zeros_like(fixed)
    for _ in range(iterations):
        for side in (0, 1):
            own[side][: sides.size] = sides.ravel() == side
            if own[side].any():  # a side that ran empty keeps the colours that it had
                likeliest = costs[side].argmin(0)[own[side]]
                costs[side] = _costs(colors[side], _fit(colors[side][:, own[side]], likeliest))
        back, fore = (_together(cost[:, : sides.size]).reshape(sides.shape) for cost in costs)
        now = np.where(free, back - fore, fixed)
        sides = _cut(*graph, now - before)
        before = now
    mask[window] = sides
    return torch.from_numpy(mask).to(image.device)


def _trimap(image: Tensor, trimap: Tensor) -> Tensor:
    """The trimap as a map ``(H, W)``, once there is something to learn from on both sides."""
    inputs.filled(inputs.tensor(trimap, "trimap", "H W | 4"), "trimap")
    if trimap.ndim == 1:
        x1, y1, x2, y2 = inputs.boxes(trimap[None], "trimap")[0].tolist()
        y, x = (torch.arange(n, device=image.device) + 0.5 for n in image.shape[1:])
        inside = ((y >= y1) & (y < y2))[:, None] & ((x >= x1) & (x < x2))
        trimap = torch.where(inside, UNKNOWN, BACKGROUND)
    inputs.label_map(trimap, "trimap", num_classes=3, ignore_index=None, form="H W")
    if trimap.shape != image.shape[1:]:
        raise ValueError(
            f"expected trimap of the image's size, {inputs.size_of(image.shape[1:])}, got "
            f"{inputs.size_of(trimap.shape)}; draw it on this very image"
        )
    inputs.same_place(trimap, "trimap", image, "image")
    for missing, word, number in (
        (not (trimap == BACKGROUND).any(), "background", BACKGROUND),
        (not (trimap != BACKGROUND).any(), "foreground", FOREGROUND),
    ):
        if missing:
            raise ValueError(
                f"expected a trimap with some {word} to learn its colours from, got none; mark some pixels "
                f"as {number} (0 background, 1 unknown, 2 foreground)"
            )
    return trimap


def _window(free: NDArray) -> tuple[slice, slice]:
    """The part of the grid that can change, and one pixel more on each side: what it is linked to."""
    found = (np.flatnonzero(free.any(axis)) for axis in (1, 0))
    rows, columns = (slice(max(int(at[0]) - 1, 0), int(at[-1]) + 2) for at in found)
    return rows, columns


def _links(pixels: NDArray) -> NDArray:
    """What a cut between neighbours costs, ``(4, H, W)`` in the order of `_STEPS`; 0 where there is none."""
    height, width = pixels.shape[:2]
    squares = np.full((4, height, width), np.nan)
    for square, (dy, dx) in zip(squares, _STEPS, strict=True):
        here = np.s_[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        there = np.s_[dy:, max(dx, 0) : width + min(dx, 0)]
        square[here] = np.square(pixels[here] - pixels[there]).sum(-1)
    exist = ~np.isnan(squares)
    mean = squares[exist].mean() if exist.any() else 0.0
    beta = 1 / (2 * mean) if mean > 0 else 0.0
    distances = np.array([math.hypot(*step) for step in _STEPS])[:, None, None]
    return np.where(exist, _GAMMA * np.exp(-beta * np.nan_to_num(squares)) / distances, 0.0)


def _split(colors: NDArray) -> NDArray:
    """A component for each colour of ``(3, N)``: four times, what varies most is halved at its mean.

    Halved along the direction of its largest variance (Orchard and Bouman 1991).
    """
    component = np.zeros(colors.shape[1], dtype=np.int64)
    spread = [_direction(colors)]
    for new in range(1, _COMPONENTS):
        widest = max(range(len(spread)), key=lambda k: spread[k][0])
        variance, direction, mean = spread[widest]
        if variance <= 1e-6:  # a single colour
            break
        members = np.flatnonzero(component == widest)
        component[members[direction @ (colors[:, members] - mean) > 0]] = new
        spread[widest] = _direction(colors[:, component == widest])
        spread.append(_direction(colors[:, component == new]))
    return component


def _direction(colors: NDArray) -> tuple[float, NDArray, NDArray]:
    """The largest variance of some colours, its direction ``(3,)``, and their mean ``(3, 1)``."""
    mean = colors.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh((colors - mean) @ (colors - mean).T / colors.shape[1])
    return float(values[-1]), vectors[:, -1], mean


Mixture = list[tuple[float, NDArray, NDArray]]


def _fit(colors: NDArray, component: NDArray) -> Mixture:
    """Weight, mean ``(3, 1)`` and covariance ``(3, 3)`` of each component that occurs."""
    mixture = []
    for k in np.flatnonzero(np.bincount(component)):
        own = colors[:, component == k]
        off = own - own.mean(1, keepdims=True)
        covariance = off @ off.T / own.shape[1] + 0.01 * np.eye(3)  # so that a single colour has one too
        mixture.append((own.shape[1] / colors.shape[1], own.mean(1, keepdims=True), covariance))
    return mixture


def _costs(colors: NDArray, mixture: Mixture) -> NDArray:
    """-log of weight times density, but for a constant: one row for each component, ``(K, N)``."""
    costs = np.empty((len(mixture), colors.shape[1]))
    for cost, (weight, mean, covariance) in zip(costs, mixture, strict=True):
        root = np.linalg.cholesky(np.linalg.inv(covariance))  # |root.T off|^2 is the Mahalanobis distance
        off = root.T @ (colors - mean)
        np.einsum("cn,cn->n", off, off, out=cost)
        cost *= 0.5
        cost -= math.log(weight) + np.log(np.diagonal(root)).sum()
    return costs


def _together(costs: NDArray) -> NDArray:
    """-log of the sum over the components' densities, ``(K, N)`` to ``(N,)``."""
    least = costs.min(0)
    return least - np.log(np.exp(least - costs).sum(0))
