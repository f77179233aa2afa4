"""Exercises of chapter 1: mean colours, SLIC's assignment, Felzenszwalb's merging, undersegmentation error.

The references are written apart from `segcore.superpixels`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _labels(generator: torch.Generator, count: int, height: int, width: int) -> Tensor:
    """A map in which each label occurs."""
    labels = torch.randint(count, (height * width,), generator=generator)
    labels[torch.randperm(height * width, generator=generator)[:count]] = torch.arange(count)
    return labels.reshape(height, width)


# 1.1 -----------------------------------------------------------------------------------------------


def mean_colors(image: Tensor, labels: Tensor) -> Tensor:
    """``(K, C)``: row k is the mean over the pixels of label k."""
    inside = F.one_hot(labels.flatten()).to(image)
    return inside.T @ image.flatten(1).T / inside.sum(0)[:, None]


def _sums(image: Tensor, labels: Tensor) -> Tensor:
    return mean_colors(image, labels) * torch.bincount(labels.flatten())[:, None]


def _last_pixel(image: Tensor, labels: Tensor) -> Tensor:
    colors = image.flatten(1).T
    return torch.stack([colors[labels.flatten() == k][-1] for k in range(int(labels.max()) + 1)])


def _median(image: Tensor, labels: Tensor) -> Tensor:
    colors = image.flatten(1).T
    numbers = range(int(labels.max()) + 1)
    return torch.stack([colors[labels.flatten() == k].median(0).values for k in numbers])


def _color_cases(generator: torch.Generator) -> list[Case]:
    image = torch.tensor([[[0.0, 1.0, 5.0]], [[2.0, 4.0, 6.0]]])
    cases = [
        Case((image, torch.tensor([[0, 0, 1]])), "one row, two channels: (0 + 1) / 2 and (2 + 4) / 2"),
        Case((image, torch.tensor([[1, 0, 1]])), "segment 1 lies on both sides of segment 0"),
        Case((image, torch.tensor([[2, 1, 0]])), "one pixel a segment, from right to left"),
        Case((image, torch.tensor([[0, 0, 0]])), "a single segment"),
        Case((image.flip(0), torch.tensor([[0, 1, 1]])), "the channels the other way round"),
    ]
    for count, channels, height, width in ((4, 3, 5, 7), (9, 1, 6, 6), (30, 3, 12, 20), (5, 4, 3, 30)):
        image = torch.rand(channels, height, width, generator=generator)
        cases.append(Case((image, _labels(generator, count, height, width))))
    return cases


COLORS = Exercise(
    "1.1",
    "The mean colour of each segment",
    mean_colors,
    _color_cases,
    axes=("label", "channel"),
    plan=(
        "Lay the pixels in one row: the image becomes (C, N), the map of labels becomes (N,).",
        "For each label, add up the colours of its pixels, and count these pixels too.",
        "Divide each sum by its own count, so that large and small segments both get a mean.",
        "Put one row for each label, in the order of the labels, with one column for each channel.",
    ),
    mistakes=(
        Mistake(
            "sum, not mean",
            _sums,
            "You add the colours up and do not divide. How many pixels does each segment have?",
        ),
        Mistake(
            "divided by all pixels",
            lambda image, labels: _sums(image, labels) / labels.numel(),
            "You divide by the number of all pixels. Each segment has its own number of pixels.",
        ),
        Mistake(
            "divided by the number of segments",
            lambda image, labels: _sums(image, labels) / (labels.max() + 1),
            "You divide by the number of segments. What counts is how many pixels lie in each of them.",
        ),
        Mistake(
            "one mean for all",
            lambda image, labels: image.flatten(1).mean(1).expand(int(labels.max()) + 1, -1),
            "Each of your rows is the mean of the whole image. Only the pixels of one label belong in a row.",
        ),
        Mistake(
            "transposed",
            lambda image, labels: mean_colors(image, labels).T,
            "Your rows are channels. A row should be a segment, a column a channel: (K, C).",
        ),
        Mistake(
            "channels mixed",
            lambda image, labels: mean_colors(image, labels).mean(1, keepdim=True).expand(-1, len(image)),
            "You average over the channels as well. Each channel has a mean of its own.",
        ),
        Mistake(
            "one number a segment",
            lambda image, labels: mean_colors(image, labels).mean(1),
            "You give one number for each segment. Each channel has a mean of its own, so a row has C "
            "numbers: over which axes do you average?",
        ),
        Mistake(
            "last pixel",
            _last_pixel,
            "Each row is the colour of the segment's last pixel. With colors[labels] = ... every pixel "
            "writes over the one before it.",
        ),
        Mistake(
            "added once",
            lambda image, labels: _last_pixel(image, labels) / torch.bincount(labels.flatten())[:, None],
            "Only one pixel of each segment arrives in your sum. colors[labels] += ... reads, adds and "
            "writes all places together; index_add_ or bincount really adds.",
        ),
        Mistake(
            "labels from 1",
            lambda image, labels: mean_colors(image, labels)[1:],
            "A row is missing: the labels begin with 0, and segment 0 is a segment like any other.",
        ),
        Mistake(
            "median",
            _median,
            "That is the median of each channel. The mean is asked: the sum over the pixels, divided by "
            "their number.",
        ),
    ),
)


# 1.2 -----------------------------------------------------------------------------------------------


def assign(lab: Tensor, centers: Tensor, side: float, compactness: float) -> Tensor:
    """``(H, W)``: the number of the nearest centre whose window reaches the pixel, or -1."""
    distance, dy, dx = _parts(lab, centers)
    distance = distance + (compactness / side) ** 2 * (dy**2 + dx**2)
    reached = (dy.abs() <= side) & (dx.abs() <= side)
    return distance.where(reached, math.inf).argmin(0).where(reached.any(0), -1)


def _parts(lab: Tensor, centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distance of colour and both distances of place: ``(K, H, W)``, ``(K, H, 1)``, ``(K, 1, W)``."""
    color = (lab - centers[:, :3, None, None]).square().sum(1)
    y, x = (torch.arange(n, device=lab.device) for n in lab.shape[1:])
    return color, y[:, None] - centers[:, 3, None, None], x - centers[:, 4, None, None]


Distance = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]


def _measured(measure: Distance) -> Callable[[Tensor, Tensor, float, float], Tensor]:
    """Another distance, from the parts, the side and the compactness."""

    def wrong(lab: Tensor, centers: Tensor, side: float, compactness: float) -> Tensor:
        color, dy, dx = _parts(lab, centers)
        reached = (dy.abs() <= side) & (dx.abs() <= side)
        distance = measure(color, dy, dx, side, compactness).expand(reached.shape)
        return distance.where(reached, math.inf).argmin(0).where(reached.any(0), -1)

    return wrong


def _windowed(
    window: Callable[[Tensor, Tensor, float], Tensor],
) -> Callable[[Tensor, Tensor, float, float], Tensor]:
    """Another window, from both distances of place and the side."""

    def wrong(lab: Tensor, centers: Tensor, side: float, compactness: float) -> Tensor:
        color, dy, dx = _parts(lab, centers)
        distance = color + (compactness / side) ** 2 * (dy**2 + dx**2)
        reached = window(dy, dx, side)
        return distance.where(reached, math.inf).argmin(0).where(reached.any(0), -1)

    return wrong


def _last_of_equals(lab: Tensor, centers: Tensor, side: float, compactness: float) -> Tensor:
    found = assign(lab, centers.flip(0), side, compactness)
    return (len(centers) - 1 - found).where(found >= 0, -1)


def _assign_cases(generator: torch.Generator) -> list[Case]:
    row = torch.zeros(3, 1, 6)
    row[0] = torch.tensor([0.0, 0.0, 0.0, 9.0, 9.0, 9.0])
    two = torch.tensor([[0.0, 0, 0, 0, 1], [9.0, 0, 0, 0, 4]])
    column = torch.zeros(3, 5, 1)
    ends = torch.tensor([[0.0, 0, 0, 0, 0], [0.0, 0, 0, 4, 0]])
    cases = [
        Case((row, two, 3.0, 3.0), "dark and bright halves, centres at columns 1 and 4"),
        Case((row, two, 1.0, 3.0), "windows of side 1 that reach one pixel to each side"),
        Case((row, two.flip(0), 3.0, 40.0), "very compact, the right centre first"),
        Case((column, ends, 4.0, 10.0), "pixel 2 is as near to both: the first wins"),
        Case((column, ends, 1.0, 10.0), "no window reaches pixel 2"),
        Case(
            (torch.zeros(3, 3, 4), torch.zeros(1, 5), 1.0, 10.0),
            "a window is a square, rim included",
        ),
    ]
    for count, side, compactness, height, width in (
        (5, 4.0, 10.0, 8, 11),
        (9, 5.0, 30.0, 15, 15),
        (12, 3.5, 5.0, 9, 14),
        (20, 6.5, 80.0, 20, 24),
        (6, 2.0, 2.0, 7, 10),
    ):
        lab = torch.rand(3, height, width, generator=generator) * 40
        place = torch.rand(count, 2, generator=generator) * torch.tensor([height - 1.0, width - 1.0])
        colors = torch.rand(count, 3, generator=generator) * 40
        cases.append(Case((lab, torch.cat([colors, place], 1), side, compactness)))
    return cases


ASSIGN = Exercise(
    "1.2",
    "SLIC's assignment",
    assign,
    _assign_cases,
    axes=("row", "column"),
    plan=(
        "For each centre, work out three maps: the squared distance in colour, and how far each pixel "
        "lies from it down and across.",
        "Add them to one squared distance. The part of place is first divided by S², then weighed with m².",
        "Shut out what lies outside a centre's window: give it a distance that can never win.",
        "For each pixel take the number of the centre with the least distance.",
        "Where no window came, there is no least distance that means anything: write −1 there.",
    ),
    mistakes=(
        Mistake(
            "no window",
            _windowed(lambda dy, dx, side: (dy.abs() >= 0) & (dx.abs() >= 0)),
            "A pixel is given to a centre that is too far away to reach it. A centre only sees its window.",
        ),
        Mistake(
            "window of half the size",
            _windowed(lambda dy, dx, side: (dy.abs() <= side / 2) & (dx.abs() <= side / 2)),
            "Your window is S wide. It is 2S × 2S: how far does it reach to each side of its centre?",
        ),
        Mistake(
            "window open at the rim",
            _windowed(lambda dy, dx, side: (dy.abs() < side) & (dx.abs() < side)),
            "A pixel at a distance of just S still belongs to the window.",
        ),
        Mistake(
            "round window",
            _windowed(lambda dy, dx, side: dy**2 + dx**2 <= side**2),
            "Your window is a disc. It is a square: rows and columns are asked one by one.",
        ),
        Mistake(
            "not reached is 0",
            lambda lab, centers, side, compactness: assign(lab, centers, side, compactness).clamp(min=0),
            "A pixel that no window reaches gets centre 0. argmin always finds something: where nothing "
            "was there to be found, −1 is asked.",
        ),
        Mistake(
            "window twice as large",
            _windowed(lambda dy, dx, side: (dy.abs() <= 2 * side) & (dx.abs() <= 2 * side)),
            "Your window reaches 2S to each side. It is 2S wide in all: how far does it reach from its "
            "centre?",
        ),
        Mistake(
            "weight upside down",
            _measured(lambda color, dy, dx, side, m: color + (side / m) ** 2 * (dy**2 + dx**2)),
            "The weight of place is upside down. A larger compactness m makes place count more, not less.",
        ),
        Mistake(
            "half a pixel added",
            _measured(
                lambda color, dy, dx, side, m: color + (m / side) ** 2 * ((dy + 0.5) ** 2 + (dx + 0.5) ** 2)
            ),
            "Your pixels lie half a pixel off. In this task pixel (y, x) has just these coordinates.",
        ),
        Mistake(
            "side forgotten",
            _measured(lambda color, dy, dx, side, m: color + m**2 * (dy**2 + dx**2)),
            "The distance in place is not divided by S, so that place nearly always outweighs colour.",
        ),
        Mistake(
            "weight not squared",
            _measured(lambda color, dy, dx, side, m: color + m / side * (dy**2 + dx**2)),
            "You add squared distances, but the weight m / S is not squared with them.",
        ),
        Mistake(
            "roots added",
            _measured(lambda color, dy, dx, side, m: color.sqrt() + m / side * (dy**2 + dx**2).sqrt()),
            "You add two distances. Here their squares are added, as along two sides of a right angle.",
        ),
        Mistake(
            "place forgotten",
            _measured(lambda color, dy, dx, side, m: color),
            "Only colour decides in your answer. Where two centres are alike in colour, place must decide.",
        ),
        Mistake(
            "colour forgotten",
            _measured(lambda color, dy, dx, side, m: dy**2 + dx**2),
            "Only place decides in your answer. Are the differences in L, a and b part of your sum?",
        ),
        Mistake(
            "colour not squared",
            _measured(lambda color, dy, dx, side, m: color.sqrt() + (m / side) ** 2 * (dy**2 + dx**2)),
            "The distance in colour enters without its square, the one in place with it.",
        ),
        Mistake(
            "rows and columns exchanged",
            lambda lab, centers, side, compactness: assign(
                lab, centers[:, [0, 1, 2, 4, 3]], side, compactness
            ),
            "Rows and columns are exchanged. A centre is (L, a, b, y, x): y counts rows, and comes first.",
        ),
        Mistake(
            "added before the square",
            _measured(lambda color, dy, dx, side, m: color + (m / side) ** 2 * (dy + dx) ** 2),
            "You add the steps down and across before you square them: 3 up and 3 to the right are then no "
            "way at all. Square each by itself.",
        ),
        Mistake(
            "centres on whole pixels",
            lambda lab, centers, side, compactness: assign(
                lab, torch.cat([centers[:, :3], centers[:, 3:].round()], 1), side, compactness
            ),
            "You round the places of the centres to whole pixels. A centre may lie between pixels, and its "
            "distances are measured from there.",
        ),
        Mistake(
            "last of equals",
            _last_of_equals,
            "Where two centres are equally near you take the later one. Take the first: `<` keeps it, "
            "`<=` does not.",
        ),
    ),
)


# 1.3 -----------------------------------------------------------------------------------------------


def merge_components(weights: Tensor, ends: Tensor, count: int, k: float) -> Tensor:
    """``(count,)``: for each node the lowest node of its component."""
    lowest = torch.arange(count)
    inner, sizes = torch.zeros(count), torch.ones(count)
    for weight, edge in zip(weights, ends, strict=True):
        keep, gone = lowest[edge].sort().values
        bound = torch.minimum(inner[keep] + k / sizes[keep], inner[gone] + k / sizes[gone])
        if keep != gone and weight <= bound:
            lowest[lowest == gone] = keep
            sizes[keep] += sizes[gone]
            inner[keep] = weight
    return lowest


def _merged(
    bound: Callable[[Tensor, Tensor, float], Tensor] = lambda inner, sizes, k: (inner + k / sizes).min(),
    taken: Callable[[Tensor, Tensor], Tensor] = torch.le,
    new_inner: Callable[[Tensor, Tensor], Tensor] = lambda inner, weight: weight,
    new_size: Callable[[Tensor], Tensor] = torch.sum,
    whole: bool = True,
    stop: bool = False,
) -> Callable[[Tensor, Tensor, int, float], Tensor]:
    """Merging with another bound, comparison or bookkeeping; the two components' values come together."""

    def wrong(weights: Tensor, ends: Tensor, count: int, k: float) -> Tensor:
        lowest, inner, sizes = torch.arange(count), torch.zeros(count), torch.ones(count)
        for weight, edge in zip(weights, ends, strict=True):
            pair = lowest[edge].sort().values
            keep, gone = pair
            if keep == gone:
                continue
            if not taken(weight, bound(inner[pair], sizes[pair], k)):
                if stop:
                    break
                continue
            lowest[(lowest == gone) if whole else edge] = keep
            sizes[keep], inner[keep] = new_size(sizes[pair]), new_inner(inner[pair], weight)
        return lowest

    return wrong


def _highest(weights: Tensor, ends: Tensor, count: int, k: float) -> Tensor:
    lowest = merge_components(weights, ends, count, k)
    return torch.stack([(lowest == each).nonzero().max() for each in lowest])


def _numbered(weights: Tensor, ends: Tensor, count: int, k: float) -> Tensor:
    return merge_components(weights, ends, count, k).unique(return_inverse=True)[1]


def _edges(*edges: tuple[float, int, int]) -> tuple[Tensor, Tensor]:
    return torch.tensor([edge[0] for edge in edges]), torch.tensor([edge[1:] for edge in edges])


def _merge_cases(generator: torch.Generator) -> list[Case]:
    row = _edges((1, 0, 1), (2, 3, 4), (3, 1, 2), (6, 2, 3))
    chain = _edges((1, 3, 2), (1, 1, 0), (2, 2, 1), (3, 3, 4))
    cases = [
        Case((*row, 5, 6.0), "five nodes in a row, k = 6: 2 and 3 stay apart"),
        Case((*row, 5, 4.0), "the same with k = 4"),
        Case((*row, 5, 20.0), "k = 20: all merge"),
        Case((*_edges((0, 1, 2), (0, 2, 1), (1, 0, 1)), 3, 0.0), "k = 0: only what is equal merges"),
        Case((*chain, 5, 4.0), "2 and 3 merge first, and have to come along later"),
        Case(
            (*_edges((4, 0, 1), (5, 1, 2), (5, 2, 3), (5, 3, 0)), 5, 5.0), "a ring, and a node without edges"
        ),
        Case((*_edges((2, 0, 1), (3, 1, 2), (4, 3, 4), (4, 4, 2)), 5, 4.0), "a bound that is just met"),
        Case((*_edges((1, 3, 4), (1, 2, 3), (3, 0, 2)), 5, 4.0), "node 0 agrees to 3, {2, 3, 4} does not"),
        Case((*_edges((1, 0, 1), (1, 1, 2), (3, 2, 3)), 4, 4.0), "node 3 agrees to 3, {0, 1, 2} does not"),
        Case(
            (*_edges((2, 0, 1), (2, 1, 2), (2, 3, 4), (2, 4, 5), (5, 2, 3)), 6, 4.0),
            "two components of three, and a heavy edge between them",
        ),
    ]
    for count, number, k in ((8, 20, 30.0), (12, 40, 10.0), (20, 60, 40.0), (30, 90, 60.0), (15, 60, 25.0)):
        weights = torch.randint(1, 40, (number,), generator=generator).float().sort().values
        ends = torch.stack([torch.randperm(count, generator=generator)[:2] for _ in range(number)])
        cases.append(Case((weights, ends, count, k)))
    return cases


MERGE = Exercise(
    "1.3",
    "Felzenszwalb's merging",
    merge_components,
    _merge_cases,
    axes=("node",),
    plan=(
        "Keep three lists: for each node the lowest node of its component, and for each component its "
        "heaviest edge inside (0 at first) and its size (1 at first).",
        "Go through the edges in order. Look up the components of both ends; if they are one, go on.",
        "Merge if the weight is at most the smaller of the two bounds, each being Int(C) + k / …",
        "To merge means three updates: every node of one component gets the new number, the sizes add up, "
        "and Int becomes the edge's weight.",
    ),
    mistakes=(
        Mistake(
            "strictly lighter",
            _merged(taken=torch.lt),
            "An edge whose weight is just the bound still merges. Look at which comparison the rule has.",
        ),
        Mistake(
            "larger bound",
            _merged(bound=lambda inner, sizes, k: (inner + k / sizes).max()),
            "You ask only the component that allows more. Both have to agree, so the smaller bound decides.",
        ),
        Mistake(
            "bound of the first only",
            _merged(bound=lambda inner, sizes, k: (inner + k / sizes)[0]),
            "You ask only one of the two components. Each has its bound, and the smaller one decides.",
        ),
        Mistake(
            "heaviest edge never noted",
            _merged(new_inner=lambda inner, weight: inner[0]),
            "Int stays 0 in your components. After a merge, the edge that was just taken is the heaviest "
            "inside.",
        ),
        Mistake(
            "sizes never noted",
            _merged(new_size=lambda sizes: sizes[0]),
            "Your components keep the size 1, so that their bounds never shrink. What is the size after a "
            "merge?",
        ),
        Mistake(
            "weights added up",
            _merged(new_inner=lambda inner, weight: inner.sum() + weight),
            "Int grows as a sum in your answer. It is the weight of one edge, the heaviest that was taken.",
        ),
        Mistake(
            "size of both",
            _merged(bound=lambda inner, sizes, k: (inner + k / sizes.sum()).min()),
            "You divide k by the size of both together. Each component is asked before the merge, with "
            "its own size.",
        ),
        Mistake(
            "fixed threshold",
            _merged(bound=lambda inner, sizes, k: torch.as_tensor(k)),
            "You compare every edge with k alone. The bound depends on the two components: on Int and on "
            "size.",
        ),
        Mistake(
            "only the two ends",
            _merged(whole=False),
            "Only the two ends of an edge get the new number. Every node of the component must come along.",
        ),
        Mistake(
            "stops at the first refusal",
            _merged(stop=True),
            "You stop at the first edge that is refused. Later edges join other components, and may pass.",
        ),
        Mistake(
            "highest node",
            _highest,
            "Your components are right, but named by their highest node. The lowest one gives the name.",
        ),
        Mistake(
            "numbered through",
            _numbered,
            "Your components are right, but numbered 0, 1, 2, ... Each should carry the number of its "
            "lowest node.",
        ),
    ),
)


# 1.4 -----------------------------------------------------------------------------------------------


def undersegmentation_error(labels: Tensor, truth: Tensor) -> Tensor:
    """Sum of min(|P and S|, |P without S|) over segments P and regions S, divided by all pixels."""
    shared = _shared(labels, truth)
    return torch.minimum(shared, shared.sum(1, keepdim=True) - shared).sum() / labels.numel()


def _shared(labels: Tensor, truth: Tensor) -> Tensor:
    """``(P, S)``: pixels of each segment in each region."""
    segments, regions = (F.one_hot(each.flatten()).float() for each in (labels, truth))
    return segments.T @ regions


def _summed(sum_up: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Another sum over the shares ``(P, S)``."""
    return lambda labels, truth: sum_up(_shared(labels, truth))


def _leaks(shared: Tensor) -> Tensor:
    return torch.minimum(shared, shared.sum(1, keepdim=True) - shared)


def _whole_leaks(shared: Tensor) -> Tensor:
    return ((shared.sum(1, keepdim=True) - shared) * (shared > 0)).sum() / shared.sum()


def _error_cases(generator: torch.Generator) -> list[Case]:
    halves = torch.tensor([[0, 0, 0, 1, 1, 1]])
    cases = [
        Case((torch.tensor([[0, 0, 0, 0, 1, 1]]), halves), "segment 0 leaks by one pixel: (1 + 1) / 6"),
        Case((halves, halves), "segments and truth are the same: no error"),
        Case((torch.tensor([[0, 1, 2, 3, 4, 5]]), halves), "one pixel a segment: no error either"),
        Case((torch.zeros_like(halves), halves), "one segment, half in each region: (3 + 3) / 6"),
        Case((halves, torch.tensor([[0, 1, 2, 3, 4, 4]])), "a segment in three regions: each counts"),
        Case(
            (torch.tensor([[0, 0, 0, 0, 0, 1]]), torch.tensor([[0, 1, 1, 1, 1, 1]])),
            "a small share and a large one",
        ),
    ]
    for segments, regions, height, width in ((4, 3, 5, 7), (12, 4, 9, 12), (3, 6, 8, 8), (25, 5, 20, 30)):
        truth = _labels(generator, regions, height, width)
        mixed = torch.where(torch.rand(height, width, generator=generator) < 0.7, truth % segments, 0)
        other = _labels(generator, segments, height, width)
        mixed = torch.where(torch.rand(height, width, generator=generator) < 0.3, other, mixed)
        mixed.view(-1)[:segments] = torch.arange(segments)
        cases.append(Case((mixed, truth)))
    return cases


ERROR = Exercise(
    "1.4",
    "Undersegmentation error",
    undersegmentation_error,
    _error_cases,
    plan=(
        "Make a table: one row for each segment, one column for each region of the truth, and in each "
        "cell the pixels that they share.",
        "A row's sum is the size of its segment. Take a cell away from it, and you have what lies outside "
        "that region.",
        "In each cell keep the smaller of the two numbers: what is inside, or what is outside.",
        "Add up all cells and divide by the number of …",
    ),
    mistakes=(
        Mistake(
            "not divided",
            _summed(lambda shared: _leaks(shared).sum()),
            "That is a number of pixels. The error is a share of all pixels.",
        ),
        Mistake(
            "divided by the segments",
            _summed(lambda shared: _leaks(shared).sum() / len(shared)),
            "You divide by the number of segments. The error is a share of the pixels.",
        ),
        Mistake(
            "each leak once",
            _summed(lambda shared: _leaks(shared).sum() / 2 / shared.sum()),
            "You count a leak once. A segment that lies in two regions appears in the sum for both of them.",
        ),
        Mistake(
            "outside, always",
            _summed(_whole_leaks),
            "You count all of a segment that lies outside the region, even where it only touches it. Of "
            "inside and outside, the smaller part counts.",
        ),
        Mistake(
            "one minus the achievable accuracy",
            _summed(lambda shared: 1 - shared.amax(1).sum() / shared.sum()),
            "You count what lies outside each segment's best region: that is what the achievable accuracy "
            "misses. Here each pair of segment and region adds its smaller part.",
        ),
        Mistake(
            "roles exchanged",
            _summed(lambda shared: _leaks(shared.T).sum() / shared.sum()),
            "You compare with the part of the region that lies outside the segment. The segment leaks, so "
            "it is the segment that is divided.",
        ),
        Mistake(
            "larger part",
            _summed(
                lambda shared: (
                    (torch.maximum(shared, shared.sum(1, keepdim=True) - shared) * (shared > 0)).sum()
                    / shared.sum()
                )
            ),
            "You add the larger part. A segment that lies in one region has no error: which part is zero "
            "there?",
        ),
        Mistake(
            "shares inside",
            _summed(lambda shared: (shared * (shared < shared.sum(1, keepdim=True))).sum() / shared.sum()),
            "You count every pixel of a segment that leaks. Only the smaller part of it counts for each "
            "region.",
        ),
        Mistake(
            "numbers compared",
            lambda labels, truth: (labels != truth).float().mean(),
            "You compare the numbers of segments and regions. These are names only: segment 3 has nothing "
            "to do with region 3.",
        ),
        Mistake(
            "mean of the segments' errors",
            _summed(lambda shared: (_leaks(shared).sum(1) / shared.sum(1)).mean()),
            "You average over the segments, so that a small one weighs as much as a large one. Add up the "
            "pixels first, then divide once.",
        ),
        Mistake(
            "mean of the regions' errors",
            _summed(lambda shared: (_leaks(shared).sum(0) / shared.sum(0)).mean()),
            "You average over the regions of the truth. Add up the pixels of all pairs, then divide once.",
        ),
    ),
)


EXERCISES = (COLORS, ASSIGN, MERGE, ERROR)
