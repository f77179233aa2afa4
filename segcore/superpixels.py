r"""Superpixels: similar neighbouring pixels become one segment, so that an image is some hundred regions.

Two algorithms, both bottom-up and without any training, on an RGB image ``(3, H, W)`` in [0, 1]:

`felzenszwalb` (Felzenszwalb and Huttenlocher 2004) takes pixels for the nodes of a graph, whose edges join
the eight neighbours and weigh the difference of their colours. From the lightest edge to the heaviest, the
two components at its ends merge if
:math:`w \le \min(\text{Int}(C_1) + k / |C_1|,\ \text{Int}(C_2) + k / |C_2|)`, where Int is the heaviest edge
that has built a component. The segments are as large as the image's parts.

`slic` (Achanta et al. 2012) is k-means in five dimensions, CIELAB colour and place, where each pixel sees
only the centres near it. The segments are of about one size. We search by the scheme of gSLIC (Ren and Reid
2011; gSLICr, Ren et al. 2015): the image is a grid of tiles, one a centre, and a pixel chooses among the
centres of its own tile and of the eight around it. That is not the 2S × 2S window of the paper, which moves
along with its centre; but it makes an iteration two batched matrix products.

How good is an over-segmentation? `boundary_recall` (Martin et al. 2004) and `boundary_precision` compare
outlines, `undersegmentation_error` (Neubert and Protzel 2012) and `achievable_segmentation_accuracy` (Liu et
al. 2011) compare regions. In these maps every label is a region, 255 too.

>>> image = torch.zeros(3, 4, 6)
>>> image[:, :, 3:] = 1.0  # black and white halves
>>> felzenszwalb(image, sigma=0, min_size=1)
tensor([[0, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1]])
>>> slic(image, n_segments=2)[0]
tensor([0, 0, 0, 1, 1, 1])

Left out: the shift of SLIC's first centres to the lowest gradient (they begin as the means of their tiles),
masks, volumes, and images of other than three channels. Everything is computed in float32.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from segcore import inputs
from segcore.color import rgb_to_lab
from segcore.pixel_graph import graph_segments, in_reading_order

__all__ = [
    "achievable_segmentation_accuracy",
    "boundaries",
    "boundary_precision",
    "boundary_recall",
    "felzenszwalb",
    "mosaic",
    "overlaps",
    "rgb_to_lab",
    "slic",
    "undersegmentation_error",
]

_PIXELS = 1 << 18  # whose distances are worked out at once, nine each: 9 MB
_FAR = 1e12  # the distance of a centre that does not exist


# --- Felzenszwalb and Huttenlocher ---


def felzenszwalb(image: Tensor, scale: float = 100.0, sigma: float = 0.8, min_size: int = 20) -> Tensor:
    """Graph-based segmentation (Felzenszwalb and Huttenlocher 2004), equal to the sequential algorithm.

    Edges of equal weight go in a fixed order: to the right, down, down to the right, down to the left, and
    in reading order among these. (scikit-image leaves the order to its sort, and merges where w is less
    than the bound; the paper, and we, where it is not more.)

    A loop over all edges would be slow in Python. `segcore.pixel_graph` merges along all edges that are the
    lightest at both their ends at once, in some rounds of whole arrays, and drops the edges that can no
    longer join anything; the loop does the rest.

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        scale: k for colours in [0, 255], as in scikit-image; the larger, the larger the segments.
        sigma: Width in pixels of the Gaussian that smooths the image first; 0 for none.
        min_size: Segments of fewer pixels are merged in the end, along their lightest edges.

    Returns:
        int64 ``(H, W)`` on the image's device: labels from 0 in reading order; each segment is 8-connected.

    Raises:
        TypeError: `image` is no tensor, or a number is none.
        ValueError: `image` has another shape or range, or a number is too small.

    Example:
        >>> image = torch.tensor([0.0, 0.1, 0.5, 0.5]).expand(3, 1, 4)
        >>> felzenszwalb(image, scale=50, sigma=0, min_size=1)
        tensor([[0, 0, 1, 1]])
        >>> felzenszwalb(image, scale=50, sigma=0, min_size=3)
        tensor([[0, 0, 0, 0]])
    """
    pixels = _checked(image).numpy(force=True)
    scale = inputs.number(scale, "scale", least=0)
    sigma = inputs.number(sigma, "sigma", least=0)
    min_size = inputs.whole(min_size, "min_size")
    if sigma > 0:
        pixels = ndimage.gaussian_filter(pixels, (0, sigma, sigma))
    return torch.from_numpy(graph_segments(pixels, scale / 255, min_size)).to(image.device)


# --- SLIC ---


def slic(
    image: Tensor,
    n_segments: int = 250,
    compactness: float = 10.0,
    iterations: int = 10,
    enforce_connectivity: bool = True,
) -> Tensor:
    """Simple linear iterative clustering (Achanta et al. 2012): k-means of colour and place, near by.

    The squared distance of a pixel to a centre is the one in CIELAB plus (m / S)² times the one in pixels,
    with m the compactness and S² the mean area of a tile. One iteration moves each centre to the mean of its
    pixels (at first: of its tile) and then lets each pixel choose. A pixel as near to two centres counts for
    both means, and has the label of the first.

    Args:
        image: float ``(3, H, W)`` in [0, 1], sRGB.
        n_segments: How many segments to aim at; the grid has that many tiles, as near as rows and columns
            allow. More than there are pixels mean one a pixel.
        compactness: m, in units of CIELAB: the larger, the more square the segments.
        iterations: At least 1.
        enforce_connectivity: Whether to split segments into their 4-connected parts, and to merge parts
            smaller than a quarter of a tile with the neighbour most like them in mean colour.

    Returns:
        int64 ``(H, W)`` on the image's device: labels from 0 on, each of which occurs.

    Raises:
        TypeError: `image` is no tensor, or a number is none.
        ValueError: `image` has another shape or range, or a number is too small.

    Example:
        >>> image = torch.zeros(3, 4, 8)
        >>> image[0, :, 5:] = 1.0  # red from column 5 on; the tiles meet at column 4
        >>> slic(image, n_segments=2)[0]
        tensor([0, 0, 0, 0, 0, 1, 1, 1])
    """
    image = _checked(image)
    wanted = inputs.whole(n_segments, "n_segments")
    compactness = inputs.number(compactness, "compactness", above=0)
    iterations = inputs.whole(iterations, "iterations")
    with inputs.full_precision(image):  # colours and places need float32
        lab = rgb_to_lab(image)
        rows, columns = _grid(lab.shape[1], lab.shape[2], wanted)
        side = math.sqrt(lab[0].numel() / (rows * columns))
        labels = _cluster(lab / compactness, rows, columns, side, iterations)
        if enforce_connectivity:
            return _connected(labels, lab, smallest=side**2 / 4)
    occurs = torch.bincount(labels.flatten()) > 0
    return (occurs.cumsum(0) - 1)[labels]


def _grid(height: int, width: int, count: int) -> tuple[int, int]:
    """Rows and columns of some `count` tiles that are nearly square."""
    count = min(count, height * width)
    rows = min(max(round(math.sqrt(count * height / width)), 1), height, count)
    columns = min(max(round(count / rows), 1), width)
    return rows, columns


def _cluster(color: Tensor, rows: int, columns: int, side: float, iterations: int) -> Tensor:
    """The k-means: for each pixel of ``(3, H, W)`` the number of its centre, ``(H, W)``."""
    height, width = color.shape[1:]
    tile_of_y, y, y_inside = _tiles(height, rows, color.device)
    tile_of_x, x, x_inside = _tiles(width, columns, color.device)
    axes = [torch.arange(n, device=color.device).to(color) for n in (height, width)]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    features = torch.cat([color, place / side])[:, y][..., x]  # (5, rows, h, columns, w)
    features = features.permute(1, 3, 0, 2, 4).reshape(rows * columns, 5, -1)  # (T, 5, P)
    inside = (y_inside[:, None, :, None] & x_inside[:, None]).reshape(rows * columns, 1, -1).to(color)
    # Counted from the tile's own mean, numbers are small, and float32 loses nothing in the products below.
    origin = (features * inside).sum(-1) / inside.sum(-1)  # (T, 5)
    features = torch.cat([features - origin[..., None], torch.ones_like(inside)], 1) * inside  # (T, 6, P)
    centers, tiles = origin, (rows, columns)
    for _ in range(iterations - 1):
        centers = _moved(centers, features, origin, tiles)
    choice = _chosen(_factors(centers, origin, tiles), features, tiles)  # (T, P)
    tile = tile_of_y[:, None] * columns + tile_of_x
    within = (torch.arange(height, device=y.device) - y[tile_of_y, 0])[:, None] * y.new_tensor(x.shape[1])
    return choice[tile, within + torch.arange(width, device=x.device) - x[tile_of_x, 0]]


def _tiles(length: int, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """An axis cut in `count` nearly equal parts.

    The part of each index ``(length,)``; the indices of each part ``(count, n)``, n the most of any;
    and which of these are its own, ``(count, n)``.
    """
    starts = torch.arange(count + 1, device=device) * length // count
    index = starts[:-1, None] + torch.arange(-(-length // count), device=device)
    part = torch.searchsorted(starts, torch.arange(length, device=device), right=True) - 1
    return part, index.clamp(max=length - 1), index < starts[1:, None]


def _around(grid: Tensor, fill: float = 0.0) -> Tensor:
    """What stands in the nine tiles around each, row by row: ``(rows, columns, n)`` to ``(T, 9, n)``."""
    rows, columns, n = grid.shape
    padded = F.pad(grid, (0, 0, 1, 1, 1, 1), value=fill)
    parts = [padded[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3)]
    return torch.stack(parts, 2).reshape(rows * columns, 9, n)


def _factors(centers: Tensor, origin: Tensor, tiles: tuple[int, int]) -> Tensor:
    """What makes squared distances of features: (-2 c, |c|²) for nine centres c, ``(T, 9, 6)``.

    |f - c|² = |f|² - 2 f · c + |c|², and |f|² is the same for all nine. f ends with a 1.
    """
    near = _around(centers.reshape(*tiles, -1)) - origin[:, None]
    missing = _around(torch.zeros_like(origin[:, :1]).reshape(*tiles, 1), fill=_FAR)
    return torch.cat([-2 * near, near.square().sum(-1, keepdim=True) + missing], -1)


def _moved(centers: Tensor, features: Tensor, origin: Tensor, tiles: tuple[int, int]) -> Tensor:
    """Each centre at the mean of the pixels that are nearest to it, ``(T, 5)``."""
    factors, sums = _factors(centers, origin, tiles), []
    for part, feature in zip(*(_in_pieces(each, features) for each in (factors, features)), strict=True):
        distance = part @ feature  # (t, 9, P)
        nearest = (distance == distance.amin(1, keepdim=True)).to(feature)
        sums.append(nearest @ feature.mT)
    total = torch.cat(sums)  # (T, 9, 6)
    total[..., :5] += total[..., 5:] * origin[:, None]
    total = total.reshape(*tiles, 9, 6)
    rows, columns = tiles
    gathered = total.new_zeros(rows + 2, columns + 2, 6)
    for k in range(9):
        gathered[k // 3 : k // 3 + rows, k % 3 : k % 3 + columns] += total[:, :, k]
    gathered = gathered[1:-1, 1:-1].reshape(-1, 6)
    return torch.where(gathered[:, 5:] > 0, gathered[:, :5] / gathered[:, 5:], centers)


def _chosen(factors: Tensor, features: Tensor, tiles: tuple[int, int]) -> Tensor:
    """The number of the nearest centre for each pixel of each tile, ``(T, P)``."""
    pieces = zip(*(_in_pieces(x, features) for x in (factors, features)), strict=True)
    nearest = torch.cat([(part @ feature).min(1).indices for part, feature in pieces])
    number = torch.arange(len(features), device=features.device).reshape(*tiles, 1)
    return _around(number)[..., 0].gather(1, nearest)


def _in_pieces(values: Tensor, features: Tensor) -> tuple[Tensor, ...]:
    """Tiles in groups that together have some `_PIXELS` pixels; on a GPU all at once."""
    if values.device.type != "cpu":
        return (values,)
    return values.split(max(_PIXELS // features.shape[2], 1))


def _connected(labels: Tensor, lab: Tensor, smallest: float) -> Tensor:
    """Split labels into 4-connected parts; merge each part below a size with the neighbour most like it."""
    parts = _parts(labels.numpy(force=True))
    colors = lab.flatten(1).numpy(force=True)
    sizes = np.bincount(parts.ravel())
    sums = np.stack([np.bincount(parts.ravel(), color) for color in colors])  # (3, n)
    pairs = _neighbours(parts)
    merged = np.arange(len(sizes))
    while pairs.size and (sizes < smallest).any():
        means = sums / sizes
        unlike = np.square(means[:, pairs[0]] - means[:, pairs[1]]).sum(0)
        falling = np.lexsort((pairs[1], unlike))[::-1]
        choice = np.arange(len(sizes))
        choice[pairs[0, falling]] = pairs[1, falling]  # the last one written, the most alike, stays
        choice = np.where(sizes < smallest, choice, np.arange(len(sizes)))
        graph = coo_array((np.ones(len(choice)), (np.arange(len(choice)), choice)), shape=(len(choice),) * 2)
        count, group = connected_components(graph, directed=False)
        sizes = np.bincount(group, sizes, minlength=count)
        sums = np.stack([np.bincount(group, each, minlength=count) for each in sums])
        merged, pairs = group[merged], group[pairs]
        pairs = pairs[:, pairs[0] != pairs[1]]
    return torch.from_numpy(in_reading_order(merged[parts])).to(labels.device)


def _parts(labels: NDArray) -> NDArray:
    """The 4-connected parts of a label map, numbered from 0.

    Between the pixels come links, open where both sides are of one label: then the parts of the labels are
    those of a mask.
    """
    mask = np.zeros([2 * n - 1 for n in labels.shape], dtype=bool)
    mask[::2, ::2] = True
    mask[::2, 1::2] = labels[:, 1:] == labels[:, :-1]
    mask[1::2, ::2] = labels[1:] == labels[:-1]
    return ndimage.label(mask)[0][::2, ::2].astype(np.int64) - 1


def _neighbours(parts: NDArray) -> NDArray:
    """Pairs of parts that share a side of a pixel, each pair both ways and once, ``(2, n)``."""
    sides = [(parts[:, :-1], parts[:, 1:]), (parts[:-1], parts[1:])]
    one, other = (np.concatenate([side[at].ravel() for side in sides]) for at in (0, 1))
    differ = one != other
    count = int(parts.max()) + 1
    one, other = one[differ], other[differ]
    codes = np.unique(np.minimum(one, other) * count + np.maximum(one, other))
    pairs = np.stack([codes // count, codes % count])
    return np.concatenate([pairs, pairs[::-1]], axis=1)


# --- Colour ---


def mosaic(image: Tensor, labels: Tensor) -> Tensor:
    """The image with the mean colour of its segment in each pixel.

    Args:
        image: float ``(C, H, W)``.
        labels: int64 ``(H, W)``.

    Returns:
        Like the image.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The image has no axis of channels or whole numbers, `labels` are not an int64 map of 0 or
            more, or they differ in size or device.

    Example:
        >>> mosaic(torch.tensor([[[0.0, 1.0, 5.0]]]), torch.tensor([[0, 0, 1]]))
        tensor([[[0.5000, 0.5000, 5.0000]]])
    """
    inputs.image(image, form="C H W")
    inputs.label_map(labels, ignore_index=None, form="H W")
    _same_size(image, labels)
    place = _numbers(labels)
    pixels = image.flatten(1).to(_real(image.device))  # float16 ends at 65,504
    sums = pixels.new_zeros(len(image), int(place.max()) + 1).index_add(1, place, pixels)
    return (sums / torch.bincount(place)).to(image.dtype)[:, place].reshape(image.shape)


# --- Scores ---


def boundaries(labels: Tensor) -> Tensor:
    """Pixels of which one of the four neighbours has another label: lines two pixels wide.

    Equal to scikit-image's ``find_boundaries(labels, mode="thick")``.

    Args:
        labels: int64 ``(H, W)``.

    Returns:
        bool ``(H, W)``.

    Raises:
        TypeError: `labels` is no tensor.
        ValueError: It is not an int64 map of labels of 0 or more.

    Example:
        >>> boundaries(torch.tensor([[0, 0, 0, 1, 1]]))
        tensor([[False, False,  True,  True, False]])
    """
    inputs.label_map(labels, ignore_index=None, form="H W")
    found = torch.zeros_like(labels, dtype=torch.bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= right
    found[:, :-1] |= right
    return found


def boundary_recall(labels: Tensor, truth: Tensor, tolerance: int = 2) -> Tensor:
    """Share of the truth's boundary pixels with a boundary pixel of the segments within `tolerance`.

    Distance is the larger of the two along the axes (Chebyshev). Boundaries are those of `boundaries`.

    Args:
        labels: int64 ``(H, W)``, the segments.
        truth: int64 ``(H, W)``.
        tolerance: In pixels.

    Returns:
        ``()``, float64; NaN where the truth has no boundary.

    Raises:
        TypeError: A map is no tensor, or `tolerance` is not whole.
        ValueError: A map is not an int64 map of labels of 0 or more, or they differ in size or device.

    Example:
        >>> labels = torch.tensor([[0, 0, 0, 0, 0, 1]])
        >>> truth = torch.tensor([[0, 0, 1, 1, 1, 1]])  # boundary pixels 1 and 2; those of labels are 4 and 5
        >>> boundary_recall(labels, truth, tolerance=2)
        tensor(0.5000, dtype=torch.float64)
    """
    _check_maps(labels, truth)
    tolerance = inputs.whole(tolerance, "tolerance", least=0)
    wanted, given = boundaries(truth), boundaries(labels)
    for axis in (0, 1):  # a square is as good as the line along one axis, then along the other
        reached = given.clone()
        for step in range(1, min(tolerance, given.shape[axis] - 1) + 1):
            length = given.shape[axis] - step
            reached.narrow(axis, step, length).logical_or_(given.narrow(axis, 0, length))
            reached.narrow(axis, 0, length).logical_or_(given.narrow(axis, step, length))
        given = reached
    real = _real(labels.device)
    return (wanted & given).sum().to(real) / wanted.sum()


def boundary_precision(labels: Tensor, truth: Tensor, tolerance: int = 2) -> Tensor:
    """Share of the segments' boundary pixels with a boundary pixel of the truth within `tolerance`.

    Arguments, result and errors are those of `boundary_recall`, with the roles exchanged: NaN where there
    is one segment only. An over-segmentation cannot have a high one: most of its boundaries are
    inside objects.

    Example:
        >>> labels = torch.tensor([[0, 0, 1, 1, 1, 1, 2, 2]])  # 4 boundary pixels, 2 of them the truth's
        >>> boundary_precision(labels, torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]]), tolerance=0)
        tensor(0.5000, dtype=torch.float64)
    """
    _check_maps(labels, truth)
    return boundary_recall(truth, labels, tolerance)


def undersegmentation_error(labels: Tensor, truth: Tensor) -> Tensor:
    r"""Share of the pixels that leak (Neubert and Protzel 2012).

    .. math:: \frac{1}{N} \sum_{S} \sum_{P:\, P \cap S \ne \emptyset} \min(|P \cap S|,\ |P \setminus S|)

    over segments P and regions S of the truth that meet. A segment that lies in one region adds nothing; one
    that lies half in each of two counts all its pixels.

    Args:
        labels: int64 ``(H, W)``, the segments.
        truth: int64 ``(H, W)``.

    Returns:
        ``()``, float64.

    Raises:
        TypeError: A map is no tensor.
        ValueError: A map is not an int64 map of labels of 0 or more, or they differ in size or device.

    Example:
        >>> labels = torch.tensor([[0, 0, 0, 0, 1, 1]])
        >>> undersegmentation_error(labels, torch.tensor([[0, 0, 0, 1, 1, 1]]))  # (1 + 1) / 6
        tensor(0.3333, dtype=torch.float64)
    """
    segment, _, shared = overlaps(labels, truth)
    whole = torch.bincount(segment, shared)[segment]
    return torch.minimum(shared, whole - shared).sum() / labels.numel()


def achievable_segmentation_accuracy(labels: Tensor, truth: Tensor) -> Tensor:
    """Share of the pixels that are right if each segment takes the region that it shares most with.

    No labelling of whole segments can do better (Liu et al. 2011).

    Args:
        labels: int64 ``(H, W)``, the segments.
        truth: int64 ``(H, W)``.

    Returns:
        ``()``, float64.

    Raises:
        TypeError: A map is no tensor.
        ValueError: A map is not an int64 map of labels of 0 or more, or they differ in size or device.

    Example:
        >>> labels = torch.tensor([[0, 0, 0, 0, 1, 1]])
        >>> achievable_segmentation_accuracy(labels, torch.tensor([[0, 0, 0, 1, 1, 1]]))
        tensor(0.8333, dtype=torch.float64)
    """
    segment, _, shared = overlaps(labels, truth)
    best = shared.new_zeros(int(segment.max()) + 1).scatter_reduce(0, segment, shared, "amax")
    return best.sum() / labels.numel()


def overlaps(labels: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each segment and region that meet: the number of both, and how many pixels they share.

    Args:
        labels: int64 ``(H, W)``, the segments.
        truth: int64 ``(H, W)``.

    Returns:
        Three tensors ``(P,)``: numbers of the segment and of the region in int64, the pixels in float64.

    Raises:
        TypeError: A map is no tensor.
        ValueError: A map is not an int64 map of labels of 0 or more, or they differ in size or device.

    Example:
        >>> overlaps(torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 1]]))[:2]
        (tensor([0, 0, 1]), tensor([0, 1, 1]))
    """
    _check_maps(labels, truth)
    segment, region = _numbers(labels), _numbers(truth)
    regions = int(region.max()) + 1
    pair, shared = (segment * regions + region).unique(return_counts=True)
    return pair // regions, pair % regions, shared.to(_real(labels.device))


# --- What comes in ---


def _numbers(labels: Tensor) -> Tensor:
    """The labels of all pixels in numbers below the number of pixels."""
    flat = inputs.filled(labels, "labels").flatten()
    return flat if int(flat.max()) < len(flat) else flat.unique(return_inverse=True)[1]


def _real(device: torch.device) -> torch.dtype:
    """Double precision, which Apple's GPUs lack."""
    return torch.float32 if device.type == "mps" else torch.float64


def _checked(image: Tensor) -> Tensor:
    """A colour image in [0, 1], in float32."""
    return inputs.color_image(image).detach().float()


def _check_maps(labels: Tensor, truth: Tensor) -> None:
    inputs.label_map(labels, ignore_index=None, form="H W")
    inputs.label_map(truth, "truth", ignore_index=None, form="H W")
    inputs.same_shape(truth, "truth", labels, "labels", "resize by nearest neighbour")
    inputs.same_place(truth, "truth", labels, "labels")


def _same_size(image: Tensor, labels: Tensor) -> None:
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"expected labels of the image's size, {inputs.size_of(image.shape[1:])}, got "
            f"{inputs.size_of(labels.shape)}; segment this very image"
        )
    inputs.same_place(labels, "labels", image, "image")
