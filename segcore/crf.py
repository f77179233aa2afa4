r"""Conditional random fields: labels that follow the image's edges.

A classifier looks at each pixel by itself, or at coarse cells. A conditional random field takes its costs
:math:`\psi_i(y_i) = -\log p_i(y_i)` and adds a price for each pair of alike pixels that get different
labels:

.. math:: E(y) = \sum_i \psi_i(y_i) + \sum_{i < j} w_{ij}\, \mu(y_i, y_j), \qquad P(y) \propto e^{-E(y)}

:math:`\mu` says which labels get on with each other (`potts`), w how alike the pixels are. `icm` and
`graph_cut` look for the labels of least energy, `grid_mean_field` and `mean_field` for the probability of
each pixel's labels.

On a grid, only neighbours make a pair: one cut is exact for two labels (Greig, Porteous and Seheult 1989),
and expansions are good for more (Boykov, Veksler and Zabih 2001). In the fully connected field of
Krähenbühl and Koltun (2011) all pixels are pairs, and a mean-field step is two Gaussian filters
(`segcore.gaussian_filters`). `mean_field` normalises as their later code and pydensecrf do: the kernel is
divided by the roots of its sums for both pixels, and a pixel counts itself, which the paper leaves out.

Left out: learning the weights, other compatibilities than Potts' in `graph_cut` and `mean_field`,
potentials of more than two pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore import inputs
from segcore.gaussian_filters import Filter, bilateral_filter, exact_bilateral_filter, spatial_filter
from segcore.graph_cuts import grid_cut

__all__ = [
    "brute_force",
    "edge_weights",
    "energy",
    "free_energy",
    "graph_cut",
    "grid_mean_field",
    "icm",
    "mean_field",
    "potts",
]

_EXACT = 4096  # up to so many pixels the kernel of all pairs is made
_LABELLINGS = 1 << 20
_CLAMP = "clamp probabilities before the logarithm, as in -p.clamp(min=1e-6).log()"


def potts(num_labels: int) -> Tensor:
    """Potts' compatibility: 0 for equal labels, 1 for any two different ones.

    Args:
        num_labels: At least 1.

    Returns:
        float32 ``(L, L)``.

    Example:
        >>> potts(2)
        tensor([[0., 1.],
                [1., 0.]])
    """
    return 1 - torch.eye(inputs.whole(num_labels, "num_labels"), dtype=torch.float32)


def edge_weights(image: Tensor, weight: float = 1.0, color_sigma: float = 13.0) -> Tensor:
    r"""What it costs to part neighbours: :math:`w\, e^{-\|c - c'\|^2 / 2 \sigma^2}`, colours from 0 to 255.

    Args:
        image: float ``(3, H, W)`` in [0, 1].
        weight: The price between equal colours, at least 0.
        color_sigma: Above 0.

    Returns:
        ``(2, H, W)``: between each pixel and its neighbour to the right and below; 0 where there is none.

    Raises:
        TypeError: `image` is no tensor.
        ValueError: Wrong shape, dtype or range.

    Example:
        >>> image = torch.tensor([0.0, 0.0, 1.0]).expand(3, 1, 3)  # black, black, white
        >>> edge_weights(image)[0]
        tensor([[1., 0., 0.]])
    """
    inputs.color_image(image)
    weight = inputs.number(weight, "weight", least=0)
    colors = image * (255 / inputs.number(color_sigma, "color_sigma", above=0))
    right = weight * torch.exp((colors[:, :, 1:] - colors[:, :, :-1]).square().sum(0) / -2)
    down = weight * torch.exp((colors[:, 1:] - colors[:, :-1]).square().sum(0) / -2)
    return torch.stack([F.pad(right, (0, 1)), F.pad(down, (0, 0, 0, 1))])


def energy(labels: Tensor, unary: Tensor, weights: Tensor, compatibility: Tensor | None = None) -> Tensor:
    r"""What a labelling costs: its labels, and its pairs of neighbours, each pair once.

    Args:
        labels: int64 ``(H, W)`` from 0 to L − 1.
        unary: float ``(L, H, W)``, the cost of each label.
        weights: float ``(2, H, W)``: the weight between each pixel and its neighbour to the right, and
            below. Those that leave the grid are not looked at.
        compatibility: float ``(L, L)``, :math:`\mu(\text{here}, \text{neighbour})`; Potts' unless given.

    Returns:
        ``()``.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, a label is no label, or a number is not finite.

    Example:
        >>> unary = torch.tensor([[[0.0, 2.0]], [[3.0, 1.0]]])  # two pixels, two labels
        >>> weights = torch.tensor([[[5.0, 0.0]], [[0.0, 0.0]]])  # 5 between them
        >>> energy(torch.tensor([[0, 1]]), unary, weights)  # 0 + 1 + 5
        tensor(6.)
        >>> energy(torch.tensor([[0, 0]]), unary, weights)  # 0 + 2
        tensor(2.)
    """
    _field(unary, weights)
    inputs.label_map(labels, "labels", len(unary), ignore_index=None, form="H W")
    _same_size(labels.shape, "labels", unary)
    inputs.same_place(labels, "labels", unary, "unary")
    mu = _compatibility(compatibility, unary)
    here = unary.gather(0, labels[None]).sum()
    right = weights[0, :, :-1] * mu[labels[:, :-1], labels[:, 1:]]
    down = weights[1, :-1] * mu[labels[:-1], labels[1:]]
    return here + right.sum() + down.sum()


def icm(
    unary: Tensor,
    weights: Tensor,
    labels: Tensor | None = None,
    iterations: int = 10,
    compatibility: Tensor | None = None,
) -> Tensor:
    """Iterated conditional modes (Besag 1986): each pixel takes the label that is cheapest where it stands.

    First all pixels of one colour of a chessboard, then those of the other. No two of them are neighbours,
    so the energy never rises; it stops where no single pixel can lower it, often far from the least.

    Args:
        unary: float ``(L, H, W)``.
        weights: float ``(2, H, W)``, right and down.
        labels: int64 ``(H, W)``, where to begin; unless given, each pixel's own cheapest label.
        iterations: How often both colours are visited, at most; at least 0.
        compatibility: float ``(L, L)``; Potts' unless given.

    Returns:
        int64 ``(H, W)``.

    Raises:
        TypeError: An argument is no tensor, or `iterations` is not whole.
        ValueError: Shapes do not fit, a label is no label, or a number is not finite.

    Example:
        >>> unary = torch.tensor([[[0.0, 1.0, 0.0]], [[3.0, 0.0, 3.0]]])
        >>> icm(unary, torch.ones(2, 1, 3))  # the one in the middle costs 2, changing it 1
        tensor([[0, 0, 0]])
    """
    _field(unary, weights)
    inputs.whole(iterations, "iterations", least=0)
    mu = _compatibility(compatibility, unary)
    if labels is None:
        labels = unary.argmin(0)
    else:
        inputs.label_map(labels, "labels", len(unary), ignore_index=None, form="H W")
        _same_size(labels.shape, "labels", unary)
    board = _chessboard(unary)
    for _ in range(iterations):
        before = labels
        for color in (board, ~board):
            hard = F.one_hot(labels, len(unary)).movedim(-1, 0).to(unary)
            costs = unary + _from_neighbours(hard, weights, mu)
            # A label that is as cheap as the cheapest stays, so that no pixel goes to and fro for nothing.
            own = costs.gather(0, labels[None])[0]
            labels = torch.where(color & (costs.amin(0) < own), costs.argmin(0), labels)
        if torch.equal(before, labels):
            break
    return labels


def grid_mean_field(
    unary: Tensor,
    weights: Tensor,
    iterations: int = 10,
    parallel: bool = True,
    compatibility: Tensor | None = None,
) -> Tensor:
    r"""Mean field on the grid: each pixel's probabilities, given those of its neighbours.

    .. math:: Q_i(l) \propto \exp\Bigl(-\psi_i(l)
       - \sum_{j \sim i} w_{ij} \sum_{l'} \mu(l, l')\, Q_j(l')\Bigr)

    Begins with :math:`Q_i \propto e^{-\psi_i}`. If all pixels change at once, `free_energy` may rise, and
    two solutions may take turns; if the colours of a chessboard take turns, it never rises.

    Args:
        unary: float ``(L, H, W)``.
        weights: float ``(2, H, W)``, right and down.
        iterations: At least 0.
        parallel: whether all pixels change at once.
        compatibility: float ``(L, L)``; Potts' unless given.

    Returns:
        ``(L, H, W)``, probabilities.

    Raises:
        TypeError: An argument is no tensor, or `iterations` is not whole.
        ValueError: Shapes do not fit, or a number is not finite.

    Example:
        >>> unary = torch.tensor([[[0.0, 1.0, 0.0]], [[3.0, 0.0, 3.0]]])
        >>> grid_mean_field(unary, torch.ones(2, 1, 3), iterations=1)[0]
        tensor([[0.9268, 0.6922, 0.9268]])
    """
    _field(unary, weights)
    inputs.whole(iterations, "iterations", least=0)
    mu, board = _compatibility(compatibility, unary), _chessboard(unary)
    q = (-unary).softmax(0)
    for _ in range(iterations):
        for color in (None,) if parallel else (board, ~board):
            new = (-unary - _from_neighbours(q, weights, mu)).softmax(0)
            q = new if color is None else torch.where(color, new, q)
    return q


def free_energy(
    probabilities: Tensor, unary: Tensor, weights: Tensor, compatibility: Tensor | None = None
) -> Tensor:
    r"""What mean field lowers: the mean energy of independent pixels, less their entropy.

    :math:`F(Q) = \mathbb{E}_Q[E] + \sum_i \sum_l Q_i(l) \log Q_i(l)`, which is the Kullback-Leibler
    divergence of Q from P, less :math:`\log Z`. For a labelling, probabilities 0 and 1, it is the energy.

    Args:
        probabilities: float ``(L, H, W)``.
        unary: float ``(L, H, W)``.
        weights: float ``(2, H, W)``, right and down.
        compatibility: float ``(L, L)``; Potts' unless given.

    Returns:
        ``()``.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, or a number is not finite.

    Example:
        >>> unary = torch.tensor([[[0.0]], [[0.0]]])
        >>> free_energy(torch.full((2, 1, 1), 0.5), unary, torch.zeros(2, 1, 1))  # -ln 2
        tensor(-0.6931)
    """
    _field(unary, weights)
    inputs.floating(probabilities, "probabilities", "L H W")
    inputs.same_shape(probabilities, "probabilities", unary, "unary")
    inputs.same_kind(probabilities, "probabilities", unary, "unary")
    mu, q = _compatibility(compatibility, unary), probabilities
    with inputs.full_precision(q):
        right = torch.einsum("ahw,ab,bhw->hw", q[:, :, :-1], mu, q[:, :, 1:]) * weights[0, :, :-1]
        down = torch.einsum("ahw,ab,bhw->hw", q[:, :-1], mu, q[:, 1:]) * weights[1, :-1]
    return (q * unary).sum() + right.sum() + down.sum() + torch.xlogy(q, q).sum()


def graph_cut(unary: Tensor, weights: Tensor, rounds: int = 10) -> Tensor:
    """Labels of low energy under Potts' model by minimum cuts: of the least for two labels.

    With more labels, expansions (Boykov, Veksler and Zabih 2001): for each label in turn, one cut finds
    which pixels should change to it, the best of all such changes at once. The energy never rises, and
    where no expansion lowers it, it is at most twice the least.

    Args:
        unary: float ``(L, H, W)``, L at least 2.
        weights: float ``(2, H, W)``, right and down, at least 0.
        rounds: How often all labels are tried, at most; it ends where none helps. Two labels need one cut.

    Returns:
        int64 ``(H, W)``.

    Raises:
        TypeError: An argument is no tensor, or `rounds` is not whole.
        ValueError: Shapes do not fit, there is a single label, a number is not finite, or a weight is below
            0.
        ImportError: PyMaxflow is not installed.

    Example:
        >>> unary = torch.tensor([[[0.0, 1.0, 1.0, 0.0]], [[3.0, 0.0, 0.0, 3.0]]])
        >>> icm(unary, 1.5 * torch.ones(2, 1, 4))  # either of the two ones, changed alone, costs 1 more
        tensor([[0, 1, 1, 0]])
        >>> graph_cut(unary, 1.5 * torch.ones(2, 1, 4))  # both together cost 1 less
        tensor([[0, 0, 0, 0]])
    """
    _field(unary, weights)
    inputs.whole(rounds, "rounds")
    if len(unary) < 2:
        raise ValueError(
            "expected unary of two labels or more, got one; with a single label there is no choice"
        )
    if weights.min() < 0:
        raise ValueError(
            f"expected weights of 0 or more, got {weights.min().item():g}; neighbours that must differ "
            "have no fast cut"
        )
    unary, weights = unary.detach(), weights.detach()
    if len(unary) == 2:
        return grid_cut(unary[0], unary[1], weights).long()
    labels = unary.argmin(0)
    least = energy(labels, unary.double(), weights.double())
    for _ in range(rounds):
        before = least
        for label in range(len(unary)):
            moved = _expansion(labels, label, unary, weights)
            cost = energy(moved, unary.double(), weights.double())
            if cost < least:
                labels, least = moved, cost
        if least == before:
            break
    return labels


def _expansion(labels: Tensor, label: int, unary: Tensor, weights: Tensor) -> Tensor:
    r"""The best change of any set of pixels to one label, as a cut with two sides: change or stay.

    A pair costs a if both stay, b or c if only the second or only the first changes, and 0 if both do. That
    is
    :math:`a + (c - a - w)\, x + (b - a - w)\, y + w\, [x \ne y]` with :math:`w = (b + c - a) / 2`.
    """
    change = unary[label].double().clone()  # less the cost of staying
    change -= unary.double().gather(0, labels[None])[0]
    links = torch.zeros_like(weights, dtype=torch.float64)
    differs = (labels != label).double()
    for axis, (first, second) in enumerate(_PAIRS):
        price = weights[axis][first].double()
        a = price * (labels[first] != labels[second])
        b, c = price * differs[first], price * differs[second]
        links[axis][first] = (b + c - a) / 2
        change[first] += c - a - links[axis][first]
        change[second] += b - a - links[axis][first]
    zero = torch.zeros_like(change)
    return torch.where(grid_cut(zero, change, links.clamp(min=0)), label, labels)


_ALL = slice(None)
_PAIRS = (((_ALL, slice(-1)), (_ALL, slice(1, None))), ((slice(-1), _ALL), (slice(1, None), _ALL)))
"""Where in a map the first and the second of two neighbours lie: side by side, and one above the other."""


def brute_force(unary: Tensor, weights: Tensor, compatibility: Tensor | None = None) -> Tensor:
    """The labels of least energy, found by trying all: for a few pixels, to compare.

    Args:
        unary: float ``(L, H, W)`` with at most 2²⁰ labellings.
        weights: float ``(2, H, W)``, right and down.
        compatibility: float ``(L, L)``; Potts' unless given.

    Returns:
        int64 ``(H, W)``; of several, the first in the order of counting.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, a number is not finite, or there are too many labellings.

    Example:
        >>> unary = torch.tensor([[[0.0, 1.0, 1.0, 0.0]], [[3.0, 0.0, 0.0, 3.0]]])
        >>> brute_force(unary, 1.5 * torch.ones(2, 1, 4))
        tensor([[0, 0, 0, 0]])
    """
    _field(unary, weights)
    mu = _compatibility(compatibility, unary)
    count, height, width = unary.shape
    total = count ** (height * width)
    if total > _LABELLINGS:
        raise ValueError(
            f"expected at most {_LABELLINGS} labellings, got {count}^{height * width}; use graph_cut, or cut "
            "out a part"
        )
    number = torch.arange(total, device=unary.device)
    place = count ** torch.arange(height * width - 1, -1, -1, device=unary.device)
    labels = (number[:, None] // place % count).view(total, height, width)
    flat = torch.arange(height * width, device=unary.device)
    costs = unary.double().flatten(1)[labels.flatten(1), flat].sum(1)
    for axis, (first, second) in enumerate(_PAIRS):
        pairs = mu.double()[labels[:, *first], labels[:, *second]]
        costs += (weights[axis][first] * pairs).sum((1, 2))
    return labels[costs.argmin()]


def mean_field(
    unary: Tensor,
    image: Tensor,
    spatial_sigma: float = 3,
    spatial_weight: float = 3,
    bilateral_sigma: float = 80,
    color_sigma: float = 13,
    bilateral_weight: float = 10,
    iterations: int = 5,
    *,
    exact: bool | None = None,
    fine: bool | None = None,
) -> Tensor:
    r"""Mean field where every pixel is every pixel's neighbour (Krähenbühl and Koltun 2011).

    .. math:: Q_i(l) \propto \exp\Bigl(-\psi_i(l) + \sum_m w_m \sum_j
       \frac{k_m(i, j)}{\sqrt{n_i n_j}}\, Q_j(l)\Bigr), \qquad n_i = \sum_j k_m(i, j)

    with one Gaussian kernel of positions, which smooths, and one of positions and colours, which brings
    alike pixels together however far apart. All pixels change at once, beginning with :math:`Q_i \propto
    e^{-\psi_i}`.

    Args:
        unary: float ``(L, H, W)``: −log p, at least 0. Gradients reach it.
        image: float ``(3, H, W)`` in [0, 1].
        spatial_sigma: Width of the kernel of positions in pixels, above 0.
        spatial_weight: Its weight, at least 0.
        bilateral_sigma: Width in pixels of the kernel of positions and colours, above 0.
        color_sigma: Its width in colours from 0 to 255, above 0.
        bilateral_weight: Its weight, at least 0.
        iterations: At least 0.
        exact: True computes the kernel of all pairs, N × N numbers; False filters on a coarse grid, which
            changes few labels and is far quicker. Unless given, images of up to 4,096 pixels are exact.
        fine: Whether that grid is a finer one, which changes fewer labels and takes longer; unless given, for
            images of up to 19,200 pixels.

    Returns:
        ``(L, H, W)``, probabilities, in unary's dtype.

    Raises:
        TypeError: An argument is no tensor, or `iterations` is not whole.
        ValueError: Wrong shape, dtype or range; or `unary` looks like probabilities.

    Example:
        >>> image = torch.tensor([0.0, 0.0, 1.0]).expand(3, 1, 3)  # black, black, white
        >>> unary = -torch.tensor([[[0.9, 0.4, 0.4]], [[0.1, 0.6, 0.6]]]).log()
        >>> mean_field(unary, image)[0] > 0.5  # the second follows the first, whose colour it has
        tensor([[ True,  True, False]])
    """
    _unary(unary)
    inputs.color_image(image)
    _same_size(image.shape[1:], "image", unary)
    inputs.same_place(image, "image", unary, "unary")
    widths = [
        inputs.number(value, name, above=0)
        for value, name in (
            (spatial_sigma, "spatial_sigma"),
            (bilateral_sigma, "bilateral_sigma"),
            (color_sigma, "color_sigma"),
        )
    ]
    inputs.number(spatial_weight, "spatial_weight", least=0)
    inputs.number(bilateral_weight, "bilateral_weight", least=0)
    inputs.whole(iterations, "iterations", least=0)
    alone = -unary.movedim(0, 2).contiguous()  # (H, W, L): a pixel's labels side by side
    if exact is None:
        exact = image[0].numel() <= _EXACT
    image = image.to(unary.dtype)
    smooth = spatial_filter((image.shape[1], image.shape[2]), widths[0], alone)
    wide, color = widths[1:]
    with inputs.full_precision(alone):  # sums over all pixels need their precision
        gather = (
            exact_bilateral_filter(image, wide, color)
            if exact
            else bilateral_filter(image, wide, color, fine)
        )
        q = _steps(alone, smooth, gather, (spatial_weight, bilateral_weight), iterations)
    return q.flatten(0, 1).T.contiguous().view_as(unary)


def _steps(
    alone: Tensor, smooth: Filter, gather: Filter, weights: tuple[float, float], iterations: int
) -> Tensor:
    """Probabilities ``(H, W, L)`` after so many steps, for all pixels at once; `alone` is minus the costs."""
    q = alone.softmax(2)
    # In place, unless a gradient is to flow back: fresh memory takes time.
    room, into = (None, None) if q.requires_grad else (torch.empty_like(q), q)
    for _ in range(iterations):
        # Numbers this small change nothing but make the processor slow.
        q = F.threshold(q, 1e-12, 0.0, inplace=into is not None)
        logits = torch.add(alone, smooth(q), alpha=weights[0], out=room)
        logits.add_(gather(q), alpha=weights[1])
        q = torch.softmax(logits, 2, out=into)
    return q


def _from_neighbours(q: Tensor, weights: Tensor, mu: Tensor) -> Tensor:
    """What each label would cost beside its four neighbours, whose labels are spread as q says."""
    with inputs.full_precision(q):
        ahead = torch.einsum("ab,bhw->ahw", mu, q)  # the neighbour is to the right or below
        behind = torch.einsum("ba,bhw->ahw", mu, q)
    right, down = weights[0, :, :-1], weights[1, :-1]
    costs = F.pad(right * ahead[:, :, 1:], (0, 1)) + F.pad(right * behind[:, :, :-1], (1, 0))
    return costs + F.pad(down * ahead[:, 1:], (0, 0, 0, 1)) + F.pad(down * behind[:, :-1], (0, 0, 1, 0))


def _chessboard(unary: Tensor) -> Tensor:
    """True on the fields of one colour, ``(H, W)``."""
    y, x = (torch.arange(n, device=unary.device) for n in unary.shape[1:])
    return (y[:, None] + x) % 2 == 0


def _field(unary: Tensor, weights: Tensor) -> None:
    """The costs of a field on a grid, once they fit together."""
    inputs.floating(unary, "unary", "L H W")
    inputs.floating(weights, "weights", "2 H W")
    _same_size(weights.shape[1:], "weights", unary)
    inputs.same_kind(weights, "weights", unary, "unary")
    inputs.finite(unary, "unary", _CLAMP)
    inputs.finite(weights, "weights", "use a large number in place of infinity")


def _same_size(size: tuple[int, ...], name: str, unary: Tensor) -> None:
    if tuple(size) != tuple(unary.shape[1:]):
        raise ValueError(
            f"expected {name} of unary's size, {inputs.size_of(unary.shape[1:])}, got "
            f"{inputs.size_of(size)}; resize one of them"
        )


def _compatibility(value: Tensor | None, unary: Tensor) -> Tensor:
    """Potts' compatibility, or the one that was given, in unary's dtype."""
    if value is None:
        with unary.device:  # whatever the default device
            return potts(len(unary)).to(unary)
    inputs.floating(value, "compatibility", f"{len(unary)} {len(unary)}")
    return inputs.finite(value, "compatibility", "use a large number in place of infinity").to(unary)


def _unary(unary: Tensor) -> None:
    """Costs of labels, once they can be −log p."""
    inputs.floating(unary, "unary", "L H W")
    least, most = unary.aminmax()  # not a number if any is not, and quicker than to look at each
    if not bool(least.isfinite() & most.isfinite()):
        inputs.finite(unary, "unary", _CLAMP)
    if least < 0:
        raise ValueError(
            f"expected unary = -log p, at least 0, got {least.item():g}; from logits, take "
            "-logits.log_softmax(0)"
        )
    if len(unary) == 1 or most > 1.001:
        return
    between = (unary > 0) & (unary < 1)
    if bool(between.any()) and bool((unary.sum(0) - 1).abs().max() < 1e-4):
        raise ValueError(
            "expected unary = -log p, got numbers that add up to 1; take -p.clamp(min=1e-6).log()"
        )
