r"""Where an image has contours, and how strong they are in each of eight directions.

`contour_probability` is Pb (Martin, Fowlkes and Malik 2004; Arbeláez, Maire, Fowlkes and Malik 2011, section
3). A disc around the pixel is cut in two halves along a direction. If the two halves have different
histograms of brightness, of colour or of texture, a contour of that direction runs through the pixel.
`spectral_contours` makes local cues global with normalised cuts (Shi and Malik 2000): what separates large
parts of the image stays, what ends nowhere goes.

Simplified against the papers: the largest discs lie on smaller copies of the image rather than on the image
itself; the weights of cues and scales are set by hand, not learned from human outlines; the result is no
calibrated probability, and it is not smoothed along the contour; textons come from 13 filters, not 17, and
the eigenvectors from a smaller copy of the map. Chapter 2 measures what each cue brings.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import eigsh
from torch import Tensor

from segcore import inputs
from segcore.color import rgb_to_lab

__all__ = ["contour_probability", "contour_strength", "half_disc_kernels", "spectral_contours"]

_RADIUS = 5.0  # of the discs, in pixels of each copy of the image
_SHRUNK = (1, 2, 4)  # the copies: discs of 5, 10 and 20 pixels
_CUES = {"brightness": 1.0, "color": 2.0, "texture": 1.0}  # four histograms, two of them of colour
_BINS = 16  # of each histogram of brightness and colour
_TEXTONS = 16
_RANGES = ((0.0, 100.0), (-73.0, 95.0), (-73.0, 95.0))  # of L*, a*, b*, as in the authors' code


def contour_probability(image: Tensor, orientations: int = 8) -> Tensor:
    r"""The strength of a contour at each pixel, for each direction.

    The distance of two halves with histograms g and h is :math:`\tfrac12 \sum (g - h)^2 / (g + h)`. It is 0
    for equal and 1 for disjoint ones. The mean over cues and scales is returned. Beyond its border the image
    is continued by its outermost pixels.

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        orientations: How many directions share the half circle evenly; at least 1.

    Returns:
        float32 ``(orientations, H, W)`` in [0, 1]. Map k is for contours that run at an angle of
        180° k / orientations to the x axis, counted downwards: map 0 for horizontal ones, the middle
        one of 8 for vertical ones.

    Raises:
        TypeError: `image` is no tensor, or `orientations` is not whole.
        ValueError: `image` has another shape or range.

    Example:
        >>> image = torch.zeros(3, 20, 20)
        >>> image[:, :, 10:] = 1.0  # a vertical edge between columns 9 and 10
        >>> strength = contour_probability(image)
        >>> strength[:, 10, 9].argmax()
        tensor(4)
        >>> strength[4, 10].argmax() in (9, 10)
        True
    """
    image = inputs.color_image(image).detach().float()
    orientations = inputs.whole(orientations, "orientations")
    with image.device:
        kernels = half_disc_kernels(orientations, _RADIUS)
    size = image.shape[1:]
    total = image.new_zeros(orientations, *size)
    with inputs.full_precision(image):  # histograms need float32
        texture = _textons(image)
        for shrink in _SHRUNK:
            small = [max(round(n / shrink), 1) for n in size]
            lab = rgb_to_lab(_resized(image, small).clamp(0, 1))
            shares = [(_soft_bins(lab[:1], _RANGES[:1]), _CUES["brightness"])]
            shares += [(_soft_bins(lab[k : k + 1], _RANGES[k : k + 1]), _CUES["color"] / 2) for k in (1, 2)]
            shares += [(_resized(texture, small), _CUES["texture"])]
            for histogram, weight in shares:
                total += weight * _resized(_distances(histogram, kernels), size)
    return total / (len(_SHRUNK) * sum(_CUES.values()))


def contour_strength(contours: Tensor) -> Tensor:
    """The strongest direction of each pixel: ``(O, H, W)`` to ``(H, W)``."""
    return inputs.floating(contours, "contours", "O H W").amax(0)


def half_disc_kernels(orientations: int, radius: float) -> Tensor:
    """Kernels ``(orientations + 1, 1, n, n)``: one half of a disc less the other, and the whole disc.

    A pixel through which the cut runs belongs to both halves in part.

    Args:
        orientations: How many directions share the half circle evenly; at least 1.
        radius: Of the disc in pixels, at least 0; the kernels are n = 2 ⌊radius⌋ + 1 wide.

    Raises:
        TypeError: `orientations` is not whole, or `radius` no number.
        ValueError: One of them is too small.

    Example:
        >>> half_disc_kernels(2, 1.0)[:, 0]  # a horizontal cut, a vertical one, and the disc
        tensor([[[ 0., -1.,  0.],
                 [ 0.,  0.,  0.],
                 [ 0.,  1.,  0.]],
        <BLANKLINE>
                [[ 0.,  0.,  0.],
                 [ 1.,  0., -1.],
                 [ 0.,  0.,  0.]],
        <BLANKLINE>
                [[ 0.,  1.,  0.],
                 [ 1.,  1.,  1.],
                 [ 0.,  1.,  0.]]])
    """
    orientations = inputs.whole(orientations, "orientations")
    radius = inputs.number(radius, "radius", least=0)
    reach = math.floor(radius)
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0, dtype=torch.float32)] * 2, indexing="ij")
    disc = (y.square() + x.square() <= radius**2).float()
    angles = [math.pi * k / orientations for k in range(orientations)]
    sides = [(2 * (math.cos(a) * y - math.sin(a) * x)).clamp(-1, 1).round(decimals=6) for a in angles]
    return torch.stack([side * disc for side in sides] + [disc])[:, None] + 0.0  # no -0


def _distances(shares: Tensor, kernels: Tensor) -> Tensor:
    """The distance of both halves' histograms, ``(O, H, W)``, from the bins' shares ``(B, H, W)``."""
    reach = kernels.shape[-1] // 2
    padded = F.pad(shares[:, None], [reach] * 4, mode="replicate")
    total = shares.new_zeros(len(kernels) - 1, *shares.shape[1:])
    for bin_ in padded:  # one at a time: eight maps fit the processor's cache
        sums = F.conv2d(bin_[None], kernels)[0]
        total += sums[:-1].square() / sums[-1].clamp(min=1e-6)
    # With halves of mass 1, d²/s becomes half the sum of (g - h)²/(g + h).
    return total / kernels[-1].sum()


def _soft_bins(values: Tensor, ranges: tuple[tuple[float, float], ...]) -> Tensor:
    """Each value shared among the two nearest bins: ``(C, H, W)`` to ``(C * bins, H, W)``."""
    centers = torch.arange(_BINS, device=values.device)[:, None, None]
    shares = []
    for value, (low, high) in zip(values, ranges, strict=True):
        place = ((value - low) / (high - low)).clamp(0, 1) * (_BINS - 1)
        shares.append((1 - (place - centers).abs()).clamp(min=0))
    return torch.cat(shares)


def _textons(image: Tensor) -> Tensor:
    """What texture is around each pixel: its nearest of some typical filter responses, ``(B, H, W)``."""
    lightness = rgb_to_lab(image)[:1] / 100
    responses = _filtered(lightness)
    features = responses.flatten(1).T  # (N, F)
    step = max(len(features) // 4000, 1)
    centers = _typical(features[::step], _TEXTONS)
    nearest = torch.cat([torch.cdist(part, centers).argmin(1) for part in features.split(1 << 16)])
    shares = F.one_hot(nearest, len(centers)).to(image)
    return shares.T.reshape(-1, *image.shape[1:]).contiguous()


def _filtered(lightness: Tensor) -> Tensor:
    """First and second derivatives in six directions, and a centre less its surround: ``(13, H, W)``."""
    reach, sigma = 6, 1.6
    place = torch.arange(-reach, reach + 1.0, dtype=torch.float32, device=lightness.device)
    y, x = torch.meshgrid(place, place, indexing="ij")
    filters = []
    for k in range(6):
        angle = math.pi * k / 6
        along, across = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
        bell = torch.exp(-(along.square() / 9 + across.square()) / (2 * sigma**2))
        filters += [across * bell, (across.square() / sigma**2 - 1) * bell]
    r2 = y.square() + x.square()
    filters.append(torch.exp(-r2 / (2 * sigma**2)) - 0.5 * torch.exp(-r2 / (4 * sigma**2)))
    bank = torch.stack(filters)[:, None].to(lightness)
    bank = bank - bank.mean((2, 3), keepdim=True)
    bank = bank / bank.abs().sum((2, 3), keepdim=True)
    return F.conv2d(F.pad(lightness[None], [reach] * 4, mode="replicate"), bank)[0]


def _typical(features: Tensor, count: int, rounds: int = 8) -> Tensor:
    """The centres of k-means, without chance: they begin spread along the sorted norms."""
    order = features.norm(dim=1).argsort(stable=True)
    spread = torch.linspace(0, len(order) - 1, count, dtype=torch.float32, device=order.device).long()
    centers = features[order[spread]].unique(dim=0)
    for _ in range(rounds):
        nearest = torch.cdist(features, centers).argmin(1)
        inside = F.one_hot(nearest, len(centers)).to(features)
        counts = inside.sum(0)[:, None]
        centers = torch.where(counts > 0, inside.T @ features / counts.clamp(min=1), centers)
    return centers


def _resized(maps: Tensor, size: torch.Size | list[int]) -> Tensor:
    return F.interpolate(maps[None], tuple(size), mode="bilinear", antialias=True)[0]


# --- Normalised cuts ---


def spectral_contours(contours: Tensor, vectors: int = 8) -> Tensor:
    r"""What of the contours separates large parts of the image (Shi and Malik 2000).

    Two pixels near each other belong together by :math:`w = e^{-m / \rho}`, with m the strongest contour on
    the line between them. The normalised cuts of that graph are the eigenvectors of
    :math:`(D - W) v = \lambda D v` with the smallest :math:`\lambda > 0`, where D holds the sums of W's rows.
    They are nearly constant inside regions and change at contours that close. So their gradients, each
    weighted by :math:`1 / \sqrt \lambda`, are contours too. Computed on a copy of some 100 pixels in length.

    Args:
        contours: float ``(O, H, W)``, as from `contour_probability`.
        vectors: How many eigenvectors to take, the constant one apart.

    Returns:
        float32 ``(O, H, W)``, scaled to the largest value of `contours`: ready to be averaged with them. 0
        where the image has too few pixels, or no contour at all.

    Raises:
        TypeError: `contours` is no tensor, or `vectors` is not whole.
        ValueError: It is not of shape ``(O, H, W)``, not floating point, not finite or negative.

    Example:
        >>> image = torch.zeros(3, 24, 24)
        >>> image[:, :, 10:] = 1.0
        >>> spectral_contours(contour_probability(image)).amax((1, 2)).argmax()
        tensor(4)
    """
    strength = contour_strength(checked(contours)).detach().float()
    vectors = inputs.whole(vectors, "vectors")
    shrink = max(max(strength.shape) / _LONGEST, 1)
    size = [max(round(n / shrink), 1) for n in strength.shape]
    small = F.adaptive_max_pool2d(strength[None], size)[0].numpy(force=True).astype(np.float64)
    if small.size < vectors + 3 or small.max() <= 0:
        return torch.zeros_like(contours, dtype=torch.float32)
    values, images = _eigenvectors(_affinity(small), vectors)
    total = 0
    angles = np.pi * np.arange(len(contours)) / len(contours)
    for value, image in zip(values, images.reshape(-1, *size), strict=True):
        down, right = np.gradient(np.pad(image, 1, mode="edge"))  # an axis of one pixel has a gradient too
        turned = np.cos(angles)[:, None, None] * down - np.sin(angles)[:, None, None] * right
        total = total + np.abs(turned[:, 1:-1, 1:-1]) / (np.ptp(image) * math.sqrt(value))
    found = _resized(torch.from_numpy(total).float(), strength.shape).to(contours.device)
    return found * (strength.max() / found.max().clamp(min=1e-12))


_LONGEST = 100
_REACH = 4  # of the links, in pixels of the small copy
_RHO = 0.1  # of the largest strength


def _affinity(strength: np.ndarray) -> coo_array:
    """The graph of near pixels, ``(N, N)``: weak where a contour lies between."""
    height, width = strength.shape
    index = np.arange(strength.size).reshape(height, width)
    scaled = strength / strength.max()
    ends, weights = [], []
    for dy in range(_REACH + 1):
        for dx in range(-_REACH, _REACH + 1):
            if not 0 < dy**2 + dx**2 <= _REACH**2 or (dy == 0 and dx < 0) or dy >= height or abs(dx) >= width:
                continue
            steps = max(dy, abs(dx))
            line = [(round(dy * t / steps), round(dx * t / steps)) for t in range(steps + 1)]
            rows, left, right = height - dy, max(-dx, 0), width - max(dx, 0)
            between = [scaled[y : y + rows, left + x : right + x] for y, x in line]
            ends.append((index[:rows, left:right].ravel(), index[dy:, left + dx : right + dx].ravel()))
            weights.append(np.exp(-np.maximum.reduce(between).ravel() / _RHO))
    one, other = (np.concatenate(each) for each in zip(*ends, strict=True))
    weight = np.concatenate(weights)
    both = np.concatenate([one, other]), np.concatenate([other, one])
    return coo_array((np.concatenate([weight, weight]), both), shape=(strength.size,) * 2)


def _eigenvectors(affinity: coo_array, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest eigenvalues but the first, and the rows of their vectors."""
    degree = np.asarray(affinity.sum(1)).ravel()
    root = diags_array(1 / np.sqrt(degree))
    laplacian = diags_array(np.ones(len(degree))) - root @ affinity @ root
    start = np.random.default_rng(0).random(len(degree))  # the same in every run
    values, vectors = eigsh(laplacian.tocsc(), k=count + 1, sigma=-1e-4, v0=start)
    order = np.argsort(values)[1:]
    return np.maximum(values[order], 1e-6), (root @ vectors[:, order]).T


def checked(contours: Tensor) -> Tensor:
    """Maps of strength ``(O, H, W)``, once they are finite and not negative."""
    inputs.filled(inputs.floating(contours, "contours", "O H W"), "contours")
    inputs.finite(contours, "contours", "replace such pixels first")
    if contours.min() < 0:
        raise ValueError(
            f"expected contours of 0 or more, got {contours.min().item():g}; take the strength, as in abs()"
        )
    return contours
