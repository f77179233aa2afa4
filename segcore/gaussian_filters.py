r"""Sums over all pixels, weighted by a Gaussian kernel: the one costly step of a fully connected CRF.

The filters compute :math:`y_i = n_i^{-1/2} \sum_j k(f_i, f_j)\, n_j^{-1/2}\, x_j` over all pixels j, i
included, with
:math:`k = e^{-\|f_i - f_j\|^2 / 2}` and :math:`n_i = \sum_j k(f_i, f_j)`. For features f that are positions
this is a blur, one axis after the other. For positions and colours together, five numbers a pixel, there is
no such order, and N pixels make N² terms.

The fast way puts the pixels on a coarse grid of features, filters there, and reads the result back. Between
points of the grid the kernel is exact (colours farther apart than its reach are left out); what is
approximate is writing and reading between the points, by linear weights. Two facts keep the grid small.
Positions matter over `spatial_sigma`, some 80 pixels, so points half that apart will do. And colours fill
few of the places that they might, so only points that are used exist; they lie on the permutohedral lattice
(Adams, Baek and Davis 2010), four to a pixel. A pixel is written in two steps: to its four colours in its
bin, a square of pixels a tenth of the kernel wide, and from the bin's middle to the four points of the grid
around it. Many pixels share a bin and a colour, so the second step is short; reading goes the same way back.
All of this blurs by itself, by a known variance, and the kernel between points is narrower by as much. In
small images the points lie closer and a bin is a pixel, which costs little there.

The five-dimensional lattice of Adams et al., which blurs with (1, 2, 1) along each axis, needs six points a
pixel and no kernel, but loses what would pass through points that do not exist: tried on photographs, it
changed two to five labels in a hundred, where this grid changes at most four in a thousand in small images,
and ten with its wider spacing. The grid is laid out on the processor, whatever device the image is on.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from segcore import inputs

__all__ = ["bilateral_filter", "exact_bilateral_filter", "spatial_filter"]

Filter = Callable[[Tensor], Tensor]


class _Grid(NamedTuple):
    """How fine the grid is, all in widths of the kernel."""

    places: float  # from one point to the next in space
    bins: float  # the side of the squares that pixels are gathered in
    colors: float  # the same for the lattice of colours
    reach: float  # how far colours are followed
    wider: float = 1.0  # makes the variance of colours larger, for what lies beyond reach


# Tried on photographs beside all pairs: `benchmarks.trainings.crf_agreement` says how near they come.
_FINE, _COARSE = _Grid(0.4, 0.0, 0.8, 3.0), _Grid(0.5, 0.1, 1.0, 2.5, 1.06)
_SMALL = 19_200  # up to so many pixels the fine one takes little time
_CUT = 3.6  # how far pixels are followed, in widths
_LIMIT = 4_000_000  # points of the grid: so many numbers are computed for each label
_COLORS = 1 << 25  # places that colours may fill


def spatial_filter(size: tuple[int, int], sigma: float, like: Tensor) -> Filter:
    r"""A blur of ``(H, W, L)``: the kernel :math:`e^{-d^2 / 2 \sigma^2}` of d pixels, normalised.

    Small images and those that the kernel fills are multiplied by all of it. For others it is cut at 3.6 σ,
    and if σ is 3 or more, passed through points that lie farther apart than pixels.

    Args:
        size: H and W.
        sigma: The kernel's width in pixels, above 0.
        like: a tensor of the dtype and device of what will be filtered.

    Returns:
        A function of a tensor ``(H, W, L)``.

    Example:
        >>> spot = torch.zeros(1, 2, 1)
        >>> spot[0, 1] = 1.0
        >>> spatial_filter((1, 2), 1.0, spot)(spot).flatten()  # (0.6065, 1) / 1.6065
        tensor([0.3775, 0.6225])
    """
    height, width = size
    if height * width <= 4096 or 20 * sigma > max(size):
        down, across = (torch.from_numpy(_normal(_gaussians(n, sigma))).to(like) for n in size)
        return lambda x: across @ (down @ x.flatten(1)).view_as(x)
    rows, pixels = _narrow(height, sigma), _narrow(width, sigma)
    pixels = [_repeated(each, rows[0].shape[0]) for each in pixels]
    steps = [_bags(each, like) for each in (rows[0], *pixels, *rows[1:])]

    def apply(x: Tensor) -> Tensor:
        return functools.reduce(lambda y, step: step(y), steps, x).view_as(x)

    return lambda x: _Symmetric.apply(x, apply)


def exact_bilateral_filter(image: Tensor, spatial_sigma: float, color_sigma: float) -> Filter:
    """Like `bilateral_filter`, by the whole matrix of N × N numbers: for small images, and to compare.

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        spatial_sigma: The kernel's width in pixels.
        color_sigma: Its width in colours from 0 to 255.

    Returns:
        A function of a tensor ``(H, W, L)``.

    Example:
        >>> image = torch.tensor([0.0, 0.0, 1.0]).expand(3, 1, 3)  # black, black, white
        >>> exact_bilateral_filter(image, 80.0, 13.0)(torch.tensor([[[1.0], [0.0], [0.0]]])).flatten()
        tensor([0.5000, 0.5000, 0.0000])
    """
    height, width = image.shape[1:]
    y, x = (torch.arange(n, device=image.device).double() / spatial_sigma for n in (height, width))
    places = torch.stack([y[:, None].expand(-1, width), x.expand(height, -1)])
    features = torch.cat([places, image.double() * (255 / color_sigma)]).flatten(1).T  # (N, 5)
    features = features - features.mean(0)
    half = features.square().sum(1) / 2
    kernel = features @ features.T  # and from here on in place: there are N² numbers
    kernel.sub_(half).sub_(half[:, None]).clamp_(max=0).exp_()
    scale = kernel.sum(1).rsqrt()
    kernel = kernel.mul_(scale).mul_(scale[:, None]).to(image.dtype)
    return lambda x: (kernel @ x.flatten(0, 1)).view_as(x)


def bilateral_filter(
    image: Tensor, spatial_sigma: float, color_sigma: float, fine: bool | None = None
) -> Filter:
    r"""Sums over the pixels of ``(H, W, L)``, weighted by likeness in place and colour, normalised.

    The weight of pixels at a distance d whose colours differ by c is
    :math:`e^{-d^2 / 2 \sigma_s^2 - c^2 / 2 \sigma_c^2}`. The grid is laid out once, then filters any
    number of times. It suits kernels that are wide in space: its size grows with the number of
    widths that the image measures.

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        spatial_sigma: The kernel's width in pixels.
        color_sigma: Its width in colours from 0 to 255.
        fine: Whether the points of the grid lie closer: nearer to the kernel, and slower. Unless given, up to
            19,200 pixels.

    Returns:
        A function of a tensor ``(H, W, L)``. Gradients flow through what is filtered, not to the image.

    Raises:
        ValueError: The grid would be too large.

    Example:
        >>> image = torch.tensor([0.0, 0.0, 1.0]).expand(3, 1, 3)  # black, black, white
        >>> spot = torch.tensor([[[1.0], [0.0], [0.0]]])
        >>> bilateral_filter(image, 80.0, 13.0)(spot).flatten().round(decimals=2)
        tensor([0.5000, 0.5000, 0.0000])
    """
    spacing = _FINE if (image[0].numel() <= _SMALL if fine is None else fine) else _COARSE
    colors, places = _lattices(image, spatial_sigma, color_sigma, spacing)
    grid = (int(places[0].points.max()) + 1, int(places[1].points.max()) + 1)
    variance = 1 - spacing.places**2 / 3  # writing and reading add a sixth of the spacing's square each
    variance -= spacing.bins**2 / 6  # and a twelfth of the bin's
    near = [_gaussians(n, math.sqrt(variance) / spacing.places).astype(np.float32) for n in grid]
    steps, occupied = _steps(places, grid[1], colors)
    size = grid[1] * colors.size  # of a line of the grid
    parts = np.split(occupied, np.searchsorted(occupied, np.arange(1, grid[0]) * size))
    reach = (_between(colors, each % size, grid[1]) for each in parts)
    lines = list(zip(_along(near[0], occupied, size), reach, strict=True))
    written = steps[1].T @ (steps[0].T @ np.ones(steps[0].shape[0], np.float32))
    sums = [to @ (near[1] @ (at @ written).reshape(grid[1], -1)).ravel() for at, to in lines]
    scale = (steps[0] @ (steps[1] @ np.concatenate(sums))) ** -0.5
    steps[0].data *= scale.repeat(4)
    write = [_bags(each.T.tocsr(), image) for each in steps]
    read = [_bags(each, image) for each in (steps[1], steps[0])]
    across = torch.from_numpy(near[1]).to(image)
    bags = [(_bags(at, image), _bags(to, image)) for at, to in lines]

    def spread(rows: Tensor) -> Tensor:
        """Over all places and colours: for one line of the grid after the other, which a cache holds."""
        return torch.cat([to(across @ at(rows).view(grid[1], -1)) for at, to in bags])

    def apply(x: Tensor) -> Tensor:
        rows = write[1](write[0](x.flatten(0, 1)))  # (occupied, L)
        return read[1](read[0](spread(rows))).view_as(x)

    return lambda x: _Symmetric.apply(x, apply)


class _Symmetric(torch.autograd.Function):
    """A linear function whose matrix is its own transpose, so that the gradient passes through it as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Filter) -> Tensor:
        ctx.function = function
        return function(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Symmetric.apply(gradient.contiguous(), ctx.function), None


class _Line(NamedTuple):
    """In which bin of a line each pixel lies, and the two points around a bin's middle, with weights."""

    bins: NDArray  # (n,)
    points: NDArray  # (bins, 2)
    weight: NDArray  # (bins, 2)


class _Colors(NamedTuple):
    """The lattice of colours: each pixel's four points and weights, ``(N, 4)``, and which points are near."""

    points: NDArray
    weight: NDArray
    near: sparse.csr_matrix
    size: int


def _gaussians(count: int, sigma: float) -> NDArray:
    """The kernel between any two of so many points in a line, one apart."""
    at = np.arange(count)
    return np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)


def _normal(kernel: NDArray) -> NDArray:
    """The kernel, divided by the roots of its sums for both points."""
    scale = kernel.sum(1) ** -0.5
    return scale[:, None] * kernel * scale


def _narrow(count: int, sigma: float) -> list[sparse.csr_matrix]:
    """The same, cut where it no longer matters: one matrix, or two in turn that have fewer entries.

    The two are Gaussians too, of σ / √2, to points up to σ / 1.5 apart and back. The sum of their products
    over such points is the kernel, but for some hundred-thousandths and the cut.
    """
    every = int(sigma / 1.5)
    if every < 2:
        kernel = _gaussians(count, sigma)
        kernel[kernel < math.exp(-0.5 * _CUT**2)] = 0
        return [sparse.csr_matrix(_normal(kernel).astype(np.float32))]
    reach = _CUT * sigma / math.sqrt(2)
    points = every * (np.arange(-(reach // every), (count + reach) // every) + 0.5) - 0.5
    away = np.arange(count)[:, None] - points
    half = np.exp(-((away / sigma) ** 2)) * (abs(away) <= reach)
    half *= (half @ half.sum(0))[:, None] ** -0.5
    read = sparse.csr_matrix(half.astype(np.float32))
    return [read.T.tocsr(), read]


def _repeated(one: sparse.csr_matrix, lines: int) -> sparse.csr_matrix:
    """The same for many lines, one after the other."""
    starts = np.concatenate([[0], np.tile(np.diff(one.indptr), lines).cumsum()])
    index = (np.arange(lines, dtype=np.int32)[:, None] * one.shape[1] + one.indices).ravel()
    return sparse.csr_matrix(
        (np.tile(one.data, lines), index, starts), (lines * one.shape[0], lines * one.shape[1])
    )


def _lattices(
    image: Tensor, spatial_sigma: float, color_sigma: float, grid: _Grid
) -> tuple[_Colors, list[_Line]]:
    """The lattices of colours and of places, if the grid that they make is not too large."""
    colors = image.detach().flatten(1).float().numpy(force=True) * np.float32(255)
    places = [_line(n, spatial_sigma, grid) for n in image.shape[1:]]
    sides = [int(each.points.max()) + 1 for each in places]
    room = _LIMIT // max(math.prod(sides), max(sides) ** 2)  # along a side, the kernel is a whole matrix
    found = _colors(colors / np.float32(color_sigma), grid, room)
    if found is not None:
        return found, places
    what = (
        f"expected a grid of at most {_LIMIT:,} points, got more for {inputs.size_of(image.shape[1:])} "
        f"pixels with spatial_sigma {spatial_sigma:g} and color_sigma {color_sigma:g}"
    )
    for steps in range(1, 40):  # how much wider it must be
        wider = float(f"{color_sigma * 1.25**steps:.2g}")
        if wider < 255 and _colors(colors / np.float32(wider), grid, room) is not None:
            raise ValueError(f"{what}; a color_sigma of {wider:g} fits, or give a larger spatial_sigma")
    raise ValueError(f"{what}; give a larger spatial_sigma")


def _line(count: int, sigma: float, grid: _Grid) -> _Line:
    side = max(1, round(grid.bins * sigma))
    bins = np.arange(count) // side
    middle = np.bincount(bins, np.arange(count)) / np.bincount(bins)  # the last bin may be narrower
    at = middle / (grid.places * sigma)
    low = np.floor(at)
    part = at - low
    return _Line(
        bins, np.stack([low, low + 1], 1).astype(np.int64), np.stack([1 - part, part], 1).astype(np.float32)
    )


def _colors(colors: NDArray, grid: _Grid, room: int) -> _Colors | None:
    """The permutohedral lattice around colours ``(3, N)``, in widths of the kernel (Adams et al. 2010).

    The lattice lies in the plane of four coordinates whose sum is 0; its points have coordinates that are
    equal modulo 4. A colour writes to the corners of the tetrahedron that it is in, one of each remainder.
    None if there is no room for so many points.
    """
    turn = np.array([[1, 1, 1], [-1, 1, 1], [0, -2, 1], [0, 0, -3]]) / np.sqrt([2.0, 6.0, 12.0])
    at = (1 / grid.colors * turn).astype(np.float32) @ colors  # (4, N), in fours
    low = np.rint(at)
    part = at - low
    rank = np.zeros(at.shape, np.int8)  # of a coordinate's part, from the largest
    for i, j in itertools.combinations(range(4), 2):
        before = (part[i] >= part[j]).view(np.int8)
        rank[j] += before
        rank[i] += 1 - before
    rank += low.sum(0).astype(np.int8)  # whoever was rounded too far goes to the next point
    far = (rank < 0).view(np.int8) - (rank > 3).view(np.int8)
    rank += 4 * far
    low += far
    ordered = list(at - low)
    for i, j in ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)):  # the largest first
        ordered[i], ordered[j] = np.maximum(ordered[i], ordered[j]), np.minimum(ordered[i], ordered[j])
    first, second, third, fourth = ordered
    weight = np.stack([1 - first + fourth, third - fourth, second - third, first - second], 1)
    # A point is told by its remainder and the fours in its first three coordinates, numbered like digits.
    margin = math.ceil(grid.reach / grid.colors) + 2  # so far a point's corners and neighbours may lie
    start = low[:3].min(1) - margin
    span = [int(n) for n in low[:3].max(1) - start + margin + 1]
    if math.prod(span) * 4 > _COLORS:
        return None
    digits = np.array([4 * span[1] * span[2], 4 * span[2], 4], np.int32)
    key = digits @ (low[:3] - start[:, None]).astype(np.int32)
    corners = [key]
    for k in range(1, 4):  # one coordinate after the other goes down by four, and all go up by one
        corners.append(corners[-1] + 1 - digits @ (rank[:3] == 4 - k))
    keys = np.stack(corners, 1)
    number = np.zeros(math.prod(span) * 4, np.int32)  # of the points that are used, from 1
    number[keys] = 1
    points = np.flatnonzero(number)
    if len(points) > room:
        return None
    number[points] = np.arange(1, len(points) + 1)
    return _Colors(number[keys] - 1, weight, _near(points, number, digits, grid), len(points))


def _near(points: NDArray, number: NDArray, digits: NDArray, grid: _Grid) -> sparse.csr_matrix:
    """The kernel between points of the lattice of colours, where it is not too small to matter."""
    most = math.ceil(4 * grid.reach / grid.colors)
    away = np.mgrid[(slice(-most, most + 1),) * 3].reshape(3, -1)
    away = away[:, ((away - away[0]) % 4 == 0).all(0)]  # from one point to another
    square = ((away**2).sum(0) + away.sum(0) ** 2) * (grid.colors / 4) ** 2  # in widths
    away, square = away[:, square <= grid.reach**2], square[square <= grid.reach**2]
    variance = grid.wider * (1 - grid.colors**2 / 6)  # writing and reading add a twelfth each
    remainder = np.arange(4)[:, None]
    fours, rest = np.divmod(away[:, None] + remainder, 4)  # (3, 4, n): from a point of each remainder
    step = np.tensordot(digits, fours, 1) + rest[0] - remainder
    found = number[points[:, None] + step[points % 4]]  # 0 where there is none
    there = found > 0
    weight = np.broadcast_to(np.exp(square / (-2 * variance)).astype(np.float32), found.shape)
    starts = np.concatenate([[0], there.sum(1).cumsum()]).astype(np.int32)
    return sparse.csr_matrix((weight[there], found[there] - 1, starts), (len(points),) * 2)


def _steps(places: list[_Line], columns: int, colors: _Colors) -> tuple[list[sparse.csr_matrix], NDArray]:
    """The weights of a pixel for colours in bins, and of those for points of the grid; which are occupied."""
    down, across = places
    bins = (len(down.points), len(across.points))
    index = (down.bins[:, None] * bins[1] + across.bins).reshape(-1, 1) * colors.size + colors.points
    gathered, index = _numbered(index, bins[0] * bins[1] * colors.size)
    first = _four(index, colors.weight, len(gathered))
    around = down.points[:, None, :, None] * columns + across.points[:, None, :]  # of a bin, (…, …, 2, 2)
    weight = down.weight[:, None, :, None] * across.weight[:, None, :]
    bin_, color = np.divmod(gathered, colors.size)
    index = around.reshape(-1, 4).take(bin_, 0) * colors.size + color[:, None]
    occupied, index = _numbered(index, (int(around.max()) + 1) * colors.size)
    weight = weight.reshape(-1, 4).take(bin_, 0)
    return [first, _four(index, weight, len(occupied))], occupied


def _numbered(index: NDArray, size: int) -> tuple[NDArray, NDArray]:
    """Which numbers below `size` there are, in order, and for each entry, where in this list it stands."""
    if size > 64 * index.size:  # a table would be mostly empty
        found, order = np.unique(index, return_inverse=True)
        return found, order.reshape(index.shape)
    used = np.zeros(size, bool)
    used[index] = True
    found = np.flatnonzero(used)
    order = np.empty(size, np.int32)
    order[found] = np.arange(len(found), dtype=np.int32)
    return found, order[index]


def _four(index: NDArray, weight: NDArray, size: int) -> sparse.csr_matrix:
    """A matrix with four entries to a row."""
    starts = np.arange(0, index.size + 1, 4, dtype=np.int32)
    return sparse.csr_matrix((weight.ravel(), index.ravel().astype(np.int32), starts), (len(index), size))


def _along(kernel: NDArray, occupied: NDArray, size: int) -> list[sparse.csr_matrix]:
    """From the points that are occupied to each line of the grid, in the same column and colour."""
    line, at = np.divmod(occupied, size)
    order = np.argsort(at, kind="stable")
    starts = np.concatenate([[0], np.bincount(at, minlength=size).cumsum()])
    return [sparse.csr_matrix((row[line[order]], order, starts), (size, len(occupied))) for row in kernel]


def _between(colors: _Colors, occupied: NDArray, columns: int) -> sparse.csr_matrix:
    """From a line of the grid to its points that are occupied: along colours, at the same place."""
    rows = colors.near[occupied % colors.size]
    starts = rows.indptr[np.searchsorted(occupied, np.arange(columns + 1) * colors.size)]
    for column in range(columns):
        rows.indices[starts[column] : starts[column + 1]] += column * colors.size
    return sparse.csr_matrix((rows.data, rows.indices, rows.indptr), (len(occupied), columns * colors.size))


def _bags(matrix: sparse.csr_matrix, like: Tensor) -> Filter:
    """The product of a sparse matrix with so many rows, by the routine that sums rows of a table."""
    both = (matrix.indices, matrix.indptr)
    index, starts = (torch.from_numpy(each).int().to(like.device) for each in both)
    weight = torch.from_numpy(matrix.data).to(like)
    return lambda x: F.embedding_bag(
        index,
        x.reshape(matrix.shape[1], -1),
        starts,
        mode="sum",
        per_sample_weights=weight,
        include_last_offset=True,
    )
