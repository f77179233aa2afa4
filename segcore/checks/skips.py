"""Exercises of chapter 7: hypercolumns, scoring first, a filter that starts bilinear, FCN's sums, a poster.

The references are written apart from `segcore.skips`. Every mistake is a reference with one thing wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segcore.checks.exercise import Case, Exercise, Mistake, Property, reaches_gradient

__all__ = ["EXERCISES"]


def _resize(x: Tensor, size: Sequence[int], mode: str = "bilinear", corners: bool = False) -> Tensor:
    options = {} if mode == "nearest" else {"align_corners": corners}
    return F.interpolate(x, tuple(size), mode=mode, **options)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


# 7.1 -----------------------------------------------------------------------------------------------


def hypercolumns(features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Maps ``(N, C, h, w)`` up-sampled to one size and stacked."""
    return torch.cat([_resize(each, size) for each in features], dim=1)


def _columns_with(**options: Any) -> Callable[..., Tensor]:
    return lambda features, size: torch.cat([_resize(each, size, **options) for each in features], dim=1)


def _joined(axis: int) -> Callable[..., Tensor]:
    return lambda features, size: torch.cat([_resize(each, size) for each in features], dim=axis)


def _one_factor(features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Both axes enlarged as the height asks."""
    factors = [size[0] / each.shape[2] for each in features]
    up = [
        F.interpolate(each, scale_factor=factor, mode="bilinear")
        for each, factor in zip(features, factors, strict=True)
    ]
    return torch.cat(up, dim=1)


def _interleaved(features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """The first channel of every map, then the second of every map, and so on."""
    maps = [_resize(each, size) for each in features]
    most = max(each.shape[1] for each in maps)
    return torch.cat([each[:, k : k + 1] for k in range(most) for each in maps], dim=1)


def _unit_length(features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    return F.normalize(hypercolumns(features, size), dim=1)


def _padded_not_resized(features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Each map in the upper left corner, zeros around."""
    fit = [F.pad(each, (0, size[1] - each.shape[3], 0, size[0] - each.shape[2])) for each in features]
    return torch.cat(fit, dim=1)


def _column_cases(generator: torch.Generator) -> list[Case]:
    row = torch.tensor([[[[0.0, 4.0]]]])
    fine = torch.tensor([[[[1.0, 2.0, 3.0, 5.0]]]])
    square = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    cases = [
        Case(([row], (1, 4)), "one map of two cells, to four"),
        Case(([row, fine], (1, 4)), "a coarse map and one that has the size already"),
        Case(([square, row], (2, 4)), "two channels and one, to a size that is not square"),
        Case(([square[:, :1], square[:, 1:], row], (3, 3)), "three maps, to an odd size"),
        Case(([row.expand(2, 1, 1, 2) * torch.tensor([1.0, 2.0])[:, None, None, None]], (2, 3)), "a batch"),
    ]
    for shapes, size in (
        (((2, 3, 4, 6), (2, 2, 2, 3)), (8, 12)),
        (((1, 4, 5, 4), (1, 1, 3, 2), (1, 2, 1, 1)), (9, 7)),
        (((3, 2, 3, 3), (3, 2, 6, 6)), (6, 7)),
    ):
        cases.append(Case(([_normal(generator, *shape) for shape in shapes], size)))
    return cases


def _columns_gradient(function: Callable[..., Any]) -> str | None:
    maps = [torch.rand(1, 2, 2, 2, requires_grad=True), torch.rand(1, 1, 4, 4, requires_grad=True)]
    result = function(maps, (4, 4))
    if not result.requires_grad:
        return "The values are right, but no gradient flows back to the maps."
    result.sum().backward()
    return None if all(each.grad is not None for each in maps) else "The gradient does not reach every map."


HYPERCOLUMNS = Exercise(
    "7.1",
    "Stack hypercolumns",
    hypercolumns,
    _column_cases,
    properties=(
        Property(
            "gradient reaches every map",
            _columns_gradient,
            "The result must stay connected to the maps: .detach(), .data, .numpy() and "
            "torch.tensor(...) cut the connection.",
        ),
    ),
    axes=("image", "channel", "row", "column"),
    plan=(
        "Start with one map: bring it to (H, W). Which of the modes mixes neighbours linearly, and which "
        "setting aligns areas, not corner centres?",
        "Try it with the map 0 4 and four cells. 0 1 3 4 is right; 0 0 4 4 is another mode, 0 1.33 2.67 4 "
        "another alignment.",
        "Do that for every map of the list, in the order in which they come. Their sizes and channels may "
        "all differ.",
        "Join the results along the axis of the channels. Nothing is added up, and no new axis arises.",
    ),
    mistakes=(
        Mistake(
            "corners aligned",
            _columns_with(corners=True),
            "You align the centres of the corner pixels. Here a cell covers an area, and areas are "
            "aligned: what does 0 4 become in four cells? Not 0 1.33 2.67 4.",
        ),
        Mistake(
            "nearest neighbour",
            _columns_with(mode="nearest"),
            "Your maps come out in blocks: each pixel takes its nearest cell. Asked for is bilinear.",
        ),
        Mistake(
            "last map first",
            lambda features, size: hypercolumns(list(features)[::-1], size),
            "Everything is there, in the reverse order. The first map's channels come first.",
        ),
        Mistake(
            "added instead of stacked",
            lambda features, size: sum(_resize(each, size) for each in features),
            "You add the maps up. A hypercolumn keeps what each layer says apart, so the classifier can "
            "choose.",
        ),
        Mistake(
            "channels of the maps mixed",
            _interleaved,
            "The channels of your maps take turns. All channels of the first map come first, then all of "
            "the second.",
        ),
        Mistake(
            "scaled to unit length",
            _unit_length,
            "You scale every hypercolumn to length 1. Leave the values as they are.",
        ),
        Mistake(
            "padded instead of resized",
            _padded_not_resized,
            "A coarse map ends up in the upper left corner, with zeros around. Each of its cells must be "
            "spread over the pixels that it covers.",
        ),
        Mistake(
            "height and width exchanged",
            lambda features, size: hypercolumns(features, (size[1], size[0])),
            "You exchange height and width of the new size: it is given as (H, W), as everywhere.",
        ),
        Mistake(
            "stacked along the batch",
            _joined(0),
            "You join the maps along the batch, as if they came from several images. Which of the four axes "
            "holds the channels?",
        ),
        Mistake(
            "laid side by side",
            _joined(3),
            "You lay the maps side by side, as a wider picture. Each pixel should keep its place and get "
            "more channels.",
        ),
        Mistake(
            "a new axis",
            lambda features, size: torch.stack([_resize(each, size) for each in features]),
            "You make a new axis for the maps, and maps with different numbers of channels do not fit into "
            "it. Join them along an axis that is there already.",
        ),
        Mistake(
            "a list of maps",
            lambda features, size: [_resize(each, size) for each in features],
            "Each map has the right size now, but they still lie in a list. A hypercolumn is one tensor, "
            "with the channels of all maps behind one another.",
        ),
        Mistake(
            "bicubic",
            _columns_with(mode="bicubic"),
            "Your values overshoot: some lie above the largest of the map, or below its smallest. That is "
            "bicubic; asked for is bilinear.",
        ),
        Mistake(
            "as large as the last map",
            lambda features, size: hypercolumns(features, features[-1].shape[2:]),
            "You bring every map to the size of the last one. It may be as coarse as the others: which "
            "argument says how large the result is?",
        ),
        Mistake(
            "as large as the first map",
            lambda features, size: hypercolumns(features, features[0].shape[2:]),
            "You bring every map to the size of the first one. The image may be larger still: which argument "
            "says how large the result is?",
        ),
        Mistake(
            "each cell's mean, not in between",
            lambda features, size: torch.cat([F.adaptive_avg_pool2d(each, size) for each in features], 1),
            "You average over the cells that a pixel touches. Between two centres the value should change "
            "evenly: 0 4 becomes 0 1 3 4.",
        ),
        Mistake(
            "one factor for both axes",
            _one_factor,
            "You enlarge height and width by one factor, that of the height. The result shall have exactly "
            "the size that is asked for, along each axis.",
        ),
    ),
)


# 7.2 -----------------------------------------------------------------------------------------------


def _parts(features: Sequence[Tensor], weight: Tensor) -> tuple[Tensor, ...]:
    return weight.split([each.shape[1] for each in features], dim=1)


def _score(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("kc,nchw->nkhw", weight, x)


def score_first(features: Sequence[Tensor], weight: Tensor, bias: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores of a linear classifier ``(K, sum C)`` on hypercolumns, without making the hypercolumns."""
    return _score_first(features, weight, bias, size)


def _score_first(
    features: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor,
    size: Sequence[int],
    *,
    biases: int = 1,
    reduce: str = "sum",
    parts: Callable[..., Sequence[Tensor]] = _parts,
    after: Callable[[Tensor], Tensor] = lambda scores: scores,
    **options: Any,
) -> Tensor:
    """Score each map where it is, up-sample the scores, add them up; every option is a mistake when set."""
    pairs = zip(features, parts(features, weight), strict=True)
    scores = torch.stack([_resize(after(_score(x, w)), size, **options) for x, w in pairs])
    total = scores.mean(0) if reduce == "mean" else scores.amax(0) if reduce == "max" else scores.sum(0)
    return total + (len(features) if biases < 0 else biases) * bias[:, None, None]


def _scoring_with(**options: Any) -> Callable[..., Tensor]:
    return lambda features, weight, bias, size: _score_first(features, weight, bias, size, **options)


def _from_the_end(features: Sequence[Tensor], weight: Tensor) -> Sequence[Tensor]:
    """The columns of the weight taken as if the last map came first."""
    return _parts(list(features)[::-1], weight)[::-1]


def _from_the_start(features: Sequence[Tensor], weight: Tensor) -> Sequence[Tensor]:
    """Every map takes the first columns of the weight."""
    return [weight[:, : each.shape[1]] for each in features]


def _added_on(choose: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Scores added on the grid of one of the maps, the sum up-sampled."""

    def wrong(features: Sequence[Tensor], weight: Tensor, bias: Tensor, size: Sequence[int]) -> Tensor:
        grid = choose(features, key=lambda each: each.shape[2] * each.shape[3]).shape[2:]
        return _resize(_score_first(features, weight, bias, grid), size)

    return wrong


def _start_not_moved_on(features: Sequence[Tensor], weight: Tensor) -> Sequence[Tensor]:
    """A map's columns begin at the number of channels of the map before, not at their sum."""
    starts = [0, *(each.shape[1] for each in features)]
    return [weight[:, a : a + each.shape[1]] for a, each in zip(starts, features, strict=False)]


def _scores_of_one(number: int) -> Callable[..., Tensor]:
    def wrong(features: Sequence[Tensor], weight: Tensor, bias: Tensor, size: Sequence[int]) -> Tensor:
        return _score_first([features[number]], _parts(features, weight)[number], bias, size)

    return wrong


def _side_by_side(features: Sequence[Tensor], weight: Tensor, bias: Tensor, size: Sequence[int]) -> Tensor:
    pairs = zip(features, _parts(features, weight), strict=True)
    return torch.cat([_score_first([x], w, bias, size) for x, w in pairs], dim=1)


def _score_cases(generator: torch.Generator) -> list[Case]:
    row, fine = torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[1.0, 2.0, 3.0, 5.0]]]])
    square = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, -2.0]]]])
    none, one = torch.zeros(1), torch.tensor([[1.0]])
    two = torch.tensor([[1.0, 10.0, 100.0], [0.0, 1.0, -1.0]])
    cases = [
        Case(([row], one, none, (1, 4)), "one map, the weight 1: up-sampling alone"),
        Case(([row], 2 * one, one[0], (1, 2)), "one map of the right size: twice, plus 1"),
        Case(([row, fine], torch.tensor([[1.0, 10.0]]), none, (1, 4)), "two maps, with the weights 1 and 10"),
        Case(([row, fine], torch.tensor([[1.0, -1.0]]), 5 * one[0], (1, 4)), "two maps and a bias of 5"),
        Case(
            ([square, row], two, torch.tensor([0.5, -2.0]), (2, 4)),
            "two channels and one, two classes",
        ),
    ]
    for shapes, classes, size in (
        (((2, 3, 4, 6), (2, 2, 2, 3)), 4, (8, 12)),
        (((1, 4, 5, 4), (1, 1, 3, 2), (1, 2, 1, 1)), 3, (9, 7)),
        (((3, 2, 3, 3), (3, 4, 6, 6)), 2, (6, 7)),
    ):
        maps = [_normal(generator, *shape) for shape in shapes]
        channels = sum(shape[1] for shape in shapes)
        weight, bias = _normal(generator, classes, channels), _normal(generator, classes)
        cases.append(Case((maps, weight, bias, size)))
    return cases


def _score_inputs() -> tuple[Any, ...]:
    maps = [torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[1.0, 2.0, 3.0, 5.0]]]])]
    return maps, torch.tensor([[1.0, 10.0]]), torch.tensor([0.5]), (1, 4)


def _stays_small(function: Callable[..., Any]) -> str | None:
    """Whether the largest tensor on the way is the output, not the hypercolumns."""
    largest = _Largest()
    maps = [torch.rand(1, 64, 4, 4), torch.rand(1, 32, 8, 8)]
    with largest:
        function(maps, torch.rand(2, 96), torch.rand(2), (32, 32))
    return (
        "The values are right, but the hypercolumns, or maps with all channels at full size, were made."
        if largest.cells >= 32 * 32 * 32
        else None
    )


class _Largest(torch.overrides.TorchFunctionMode):
    """Remembers the largest tensor that any call of torch has given."""

    cells = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            self.cells = max(self.cells, each.numel() if isinstance(each, Tensor) else 0)
        return result


SCORE = Exercise(
    "7.2",
    "Score first, then up-sample",
    score_first,
    _score_cases,
    tolerance=1e-4,
    properties=(
        reaches_gradient(1, _score_inputs, "weight"),
        reaches_gradient(2, _score_inputs, "bias"),
        Property(
            "never a large map",
            _stays_small,
            "Score each map at its own size, with its own columns of the weight, and only then up-sample:"
            " K channels instead of all.",
        ),
    ),
    axes=("image", "class", "row", "column"),
    plan=(
        "Begin with a single map and one class. Score it at its own small size: which 1×1 convolution does "
        "that, and what is the shape of its result?",
        "Cut the weight into pieces as wide as the maps have channels, in the order of the maps. Write the "
        "shape of each piece down before you use it.",
        "Up-sample the K scores of each map straight to the image's size, as in 7.1. Never enlarge a map "
        "that still has all its channels.",
        "total = bias + Σ up-sampled scores of map k. How often must the bias come in, and along which axis "
        "does it stand?",
    ),
    mistakes=(
        Mistake(
            "bias with every map",
            _scoring_with(biases=-1),
            "With one map you are right. With two, the bias comes in twice: how often does the "
            "classifier add it?",
        ),
        Mistake(
            "bias forgotten",
            _scoring_with(biases=0),
            "The bias is missing. It is one number for each class.",
        ),
        Mistake(
            "mean of the scores",
            _scoring_with(reduce="mean"),
            "You take the mean over the maps. A dot product with a stacked vector is the sum of the dot "
            "products with its parts.",
        ),
        Mistake(
            "largest of the scores",
            _scoring_with(reduce="max"),
            "You take the largest score over the maps. A dot product with a stacked vector is the sum of "
            "the dot products with its parts.",
        ),
        Mistake(
            "weight cut from the end",
            _scoring_with(parts=_from_the_end),
            "Your maps get each other's columns of the weight. The first map comes first in the "
            "hypercolumn, so the first columns are its own.",
        ),
        Mistake(
            "first columns for every map",
            _scoring_with(parts=_from_the_start),
            "Every map takes the first columns of the weight. Where do those of the second map begin?",
        ),
        Mistake(
            "corners aligned",
            _scoring_with(corners=True),
            "Scores and sum are right, but you align the centres of the corner pixels. Up-sample as in 7.1.",
        ),
        Mistake(
            "nearest neighbour",
            _scoring_with(mode="nearest"),
            "Your scores come out in blocks. Up-sample as in 7.1, bilinearly.",
        ),
        Mistake(
            "softmax on the way",
            _scoring_with(after=lambda scores: scores.softmax(1)),
            "There is a softmax before you add. Scores are added first; probabilities are made of the "
            "sum, later.",
        ),
        Mistake(
            "ReLU on the way",
            _scoring_with(after=F.relu),
            "Negative scores have become 0 on the way. Only linear steps may change places.",
        ),
        Mistake(
            "added on the coarsest grid",
            _added_on(min),
            "You add on the grid of the coarsest map, and up-sample the sum. What the finer maps know of "
            "places is lost there. To which size must each map's scores come before they are added?",
        ),
        Mistake(
            "added on the finest grid",
            _added_on(max),
            "You add on the grid of the finest map, and up-sample the sum. Two bilinear steps one after the "
            "other are not the single one to the image's size.",
        ),
        Mistake(
            "columns begin too early",
            _scoring_with(parts=_start_not_moved_on),
            "With one map and with two you are right. The columns of the third begin behind those of the "
            "first and of the second: does your start move on, or is it set anew?",
        ),
        Mistake(
            "only the last map",
            _scores_of_one(-1),
            "Only the last map's scores come out: each round of your loop throws the earlier ones away.",
        ),
        Mistake(
            "only the first map",
            _scores_of_one(0),
            "Only the first map's scores come out. Does your function leave the loop in its first round?",
        ),
        Mistake(
            "scores stacked",
            _side_by_side,
            "You lay the scores of the maps behind one another, K channels for each map. The classifier has "
            "K in all: what becomes of a dot product when its vector is cut into parts?",
        ),
        Mistake(
            "probabilities at the end",
            lambda features, weight, bias, size: score_first(features, weight, bias, size).softmax(1),
            "You make probabilities of the sum. Asked for are the scores themselves, as the 1×1 convolution "
            "gives them.",
        ),
        Mistake(
            "height and width exchanged",
            lambda features, weight, bias, size: score_first(features, weight, bias, (size[1], size[0])),
            "You exchange height and width of the new size: it is given as (H, W), as everywhere.",
        ),
    ),
)


# 7.3 -----------------------------------------------------------------------------------------------


def _tent(factor: int, cells: int | None = None) -> Tensor:
    cells = 2 * factor if cells is None else cells
    return 1 - (torch.arange(cells) - (cells - 1) / 2).abs() / factor


def _own(classes: int, kernel: Tensor) -> Tensor:
    """The kernel from each class to itself, zero between two classes."""
    return torch.eye(classes)[:, :, None, None] * kernel


def upscore_weight(classes: int, factor: int) -> Tensor:
    """Weight ``(classes, classes, 2 factor, 2 factor)`` that up-samples each class by itself, bilinearly."""
    return _own(classes, torch.outer(_tent(factor), _tent(factor)))


def _weight_with(change: Callable[[Tensor, int], Tensor]) -> Callable[..., Tensor]:
    def wrong(classes: int, factor: int) -> Tensor:
        return _own(classes, change(torch.outer(_tent(factor), _tent(factor)), factor))

    return wrong


def _to_all(classes: int, factor: int) -> Tensor:
    return torch.outer(_tent(factor), _tent(factor)).expand(classes, classes, -1, -1).clone()


def _odd(classes: int, factor: int) -> Tensor:
    """The odd tent, with a row and a column of zeros to come to the size."""
    tent = F.pad(_tent(factor, 2 * factor - 1), (0, 1))
    return _own(classes, torch.outer(tent, tent))


def _corner_to_corner(classes: int, factor: int) -> Tensor:
    """A tent that is zero at its outermost cells."""
    cells = 2 * factor
    tent = 1 - (torch.arange(cells) - (cells - 1) / 2).abs() / ((cells - 1) / 2)
    return _own(classes, torch.outer(tent, tent))


def _ramps(ramp: Callable[[int], Tensor]) -> Callable[..., Tensor]:
    """A ramp up, and the same down again."""

    def wrong(classes: int, factor: int) -> Tensor:
        up = ramp(factor)
        tent = torch.cat([up, up.flip(0)])
        return _own(classes, torch.outer(tent, tent))

    return wrong


def _cone(classes: int, factor: int, least: float = -1.0) -> Tensor:
    """The tent of the distance in the plane."""
    off = torch.arange(2 * factor) - (2 * factor - 1) / 2
    return _own(classes, (1 - torch.hypot(off[:, None], off) / factor).clamp(min=least))


def _pyramid(classes: int, factor: int) -> Tensor:
    """Along each axis a tent, but the smaller of the two instead of their product."""
    tent = _tent(factor)
    return _own(classes, torch.minimum(tent[:, None], tent[None]))


WEIGHT = Exercise(
    "7.3",
    "A filter that starts bilinear",
    upscore_weight,
    lambda generator: [
        Case((1, 2), "one class, by 2: a filter of 4 by 4"),
        Case((2, 2), "two classes, by 2"),
        Case((1, 4), "one class, by 4: a filter of 8 by 8"),
        Case((3, 4), "three classes, by 4"),
        *(
            Case((int(torch.randint(1, 6, (), generator=generator)), 2 * int(factor)))
            for factor in torch.randint(1, 6, (5,), generator=generator)
        ),
    ],
    axes=("input class", "output class", "kernel row", "kernel column"),
    plan=(
        "One axis first. Number the cells from 0 to 2f - 1: where is the middle? For four cells it is not "
        "2, and no cell lies on it.",
        "Take the distance of every cell from that middle, and from it the tent. With factor 2 you should "
        "see ¼ ¾ ¾ ¼.",
        "Make the square filter: the cell in row i and column j weighs t[i] · t[j]. No sum, and no distance "
        "in the plane.",
        "Now the classes. Of the classes × classes filters, which lead from a class to itself? Those are "
        "the filter, all others are zero.",
    ),
    mistakes=(
        Mistake(
            "from every class to every class",
            _to_all,
            "With one class you are right. With more, each class is painted with all the others' scores "
            "too. weight[a, b] leads from class a to class b: which of them should be zero?",
        ),
        Mistake(
            "sums to 1",
            _weight_with(lambda kernel, factor: kernel / kernel.sum()),
            "You scale the filter so that it sums to 1. Then a map of ones comes out much too small: each "
            "input cell has to paint factor × factor output cells.",
        ),
        Mistake(
            "largest is 1",
            _weight_with(lambda kernel, factor: kernel / kernel.max()),
            "You scale the filter so that its largest value is 1. In an even filter no cell lies on the "
            "centre, so none has the full weight.",
        ),
        Mistake(
            "the odd filter with a row of zeros",
            _odd,
            "Your filter is not symmetric: its last row and column are zero. The centre of an even "
            "filter lies between two cells, at (cells - 1) / 2.",
        ),
        Mistake(
            "centre on a cell",
            lambda classes, factor: _odd(classes, factor).flip(2, 3),
            "Your tent has its top on a cell. With an even number of cells the middle lies between two "
            "of them: where is it for cells 0 to 3?",
        ),
        Mistake(
            "zero at the outermost cells",
            _corner_to_corner,
            "Your tent falls to zero within the filter. It should fall by 1 / factor from cell to cell.",
        ),
        Mistake(
            "smaller of the two tents",
            _pyramid,
            "Along the middle you are right, off it the numbers are too large. Bilinear means: the tent "
            "down times the tent across.",
        ),
        Mistake(
            "as many cells as the factor",
            lambda classes, factor: _own(classes, torch.outer(_tent(factor, factor), _tent(factor, factor))),
            "Your filter has as many cells as the factor. A tent that falls to zero over a distance of "
            "one factor, to either side, covers twice as many.",
        ),
        Mistake(
            "a box",
            _weight_with(lambda kernel, factor: torch.ones_like(kernel) / 4),
            "All cells of your filter weigh the same: that makes blocks with steps. Near the centre the "
            "weight is larger.",
        ),
        Mistake(
            "a cone",
            _cone,
            "You measure the distance in the plane, so your filter is a cone. Take the distance along each "
            "axis by itself: a tent down, a tent across, and their product.",
        ),
        Mistake(
            "a cone, nothing below zero",
            lambda classes, factor: _cone(classes, factor, 0.0),
            "Your filter is a round cone: the distance is measured in the plane. Bilinear interpolation "
            "knows two tents, one down and one across: how do they go together?",
        ),
        Mistake(
            "tents added",
            lambda classes, factor: _own(classes, _tent(factor)[:, None] + _tent(factor)),
            "You add the tent down and the tent across. A cell at the rim of one of them should weigh "
            "little, whatever the other says: multiply.",
        ),
        Mistake(
            "the same down each column",
            lambda classes, factor: _own(classes, _tent(factor).expand(2 * factor, -1)),
            "Your filter has a tent across only, the same in each row. It needs one down as well.",
        ),
        Mistake(
            "a distance, not a tent",
            _weight_with(lambda kernel, factor: torch.outer(1 - _tent(factor), 1 - _tent(factor))),
            "Your weights grow towards the rim: that is the distance itself. The nearer a cell is to the "
            "centre, the more it counts.",
        ),
        Mistake(
            "a bow for a tent",
            _weight_with(
                lambda kernel, factor: torch.outer(1 - (1 - _tent(factor)) ** 2, 1 - (1 - _tent(factor)) ** 2)
            ),
            "You square the distance, and your tent becomes round. It falls by the same amount from cell to "
            "cell.",
        ),
        Mistake(
            "a tent twice as wide",
            _weight_with(
                lambda kernel, factor: torch.outer((1 + _tent(factor)) / 2, (1 + _tent(factor)) / 2)
            ),
            "Your tent falls half as fast as it should: by how much does the text say it falls from cell to "
            "cell? The number of cells is twice that length.",
        ),
        Mistake(
            "a ramp from 0 to 1",
            _ramps(lambda factor: torch.linspace(0, 1, factor)),
            "Your tent begins with 0 and has 1 on two cells. In an even filter the centre lies between two "
            "cells, half a cell from both: what does 1 - d / f give there, and at the rim?",
        ),
        Mistake(
            "two cells at the top",
            _ramps(lambda factor: torch.arange(1, factor + 1) / factor),
            "Two cells of your tent weigh 1. The top lies between them, half a cell from each: what is the "
            "tent's value at that distance?",
        ),
        Mistake(
            "an odd number of cells",
            lambda classes, factor: _own(
                classes, torch.outer(_tent(factor, 2 * factor - 1), _tent(factor, 2 * factor - 1))
            ),
            "Your filter has a cell too few along each axis, and a cell on its centre. The task asks for "
            "twice the factor.",
        ),
        Mistake(
            "one filter for each class",
            lambda classes, factor: _to_all(classes, factor)[:, :1],
            "The second axis of your weight has length 1. It leads from every class to every class: mostly "
            "zeros, but they must stand there.",
        ),
        Mistake(
            "axes of the classes last",
            lambda classes, factor: upscore_weight(classes, factor).permute(2, 3, 0, 1),
            "The numbers are right, the axes stand in another order: the two of the classes come first, "
            "height and width last.",
        ),
    ),
)


# 7.4 -----------------------------------------------------------------------------------------------


def _crop(x: Tensor, size: Sequence[int], where: str = "start") -> Tensor:
    """Part of x as large as size; any place but the start is a mistake."""
    down, across = x.shape[2] - size[0], x.shape[3] - size[1]
    if where == "middle":
        down, across = down // 2, across // 2
    if where == "start":
        down = across = 0
    return x[:, :, down : down + size[0], across : across + size[1]]


def _twice(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv_transpose2d(x, weight, stride=2, padding=1)


def decode(scores: Sequence[Tensor], weights: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """FCN after its scores: up by 2, cropped, plus the next; at the end up by what is left, cropped."""
    return _decode(scores, weights, size)


def _decode(
    scores: Sequence[Tensor],
    weights: Sequence[Tensor],
    size: Sequence[int],
    *,
    up: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda x, weight, finer: _crop(
        _twice(x, weight), finer.shape[2:]
    ),
    fuse: Callable[[Tensor, Tensor], Tensor] = torch.add,
    last: Callable[[Tensor, int, Sequence[int]], Tensor] | None = None,
) -> Tensor:
    """Every option is a mistake when set."""
    x = scores[0]
    for weight, finer in zip(weights, scores[1:], strict=True):
        x = fuse(up(x, weight, finer), finer)
    stride = 32 >> len(weights)
    if last is not None:
        return last(x, stride, size)
    return _crop(_resize(x, (stride * x.shape[2], stride * x.shape[3])), size)


def _decode_with(**options: Any) -> Callable[..., Tensor]:
    return lambda scores, weights, size: _decode(scores, weights, size, **options)


def _up_and_crop(where: str) -> Callable[..., Tensor]:
    return lambda x, weight, finer: _crop(_twice(x, weight), finer.shape[2:], where)


def _whole(x: Tensor, stride: int) -> Tensor:
    return _resize(x, (stride * x.shape[2], stride * x.shape[3]))


def _all_at_once(scores: Sequence[Tensor], weights: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Every map brought to the image by itself, then added."""
    return torch.stack([_crop(_whole(x, 32 >> level), size) for level, x in enumerate(scores)]).sum(0)


def _same_weight(scores: Sequence[Tensor], weights: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    return _decode(scores, [weights[0]] * len(weights) if weights else weights, size)


def _uncut(scores: Sequence[Tensor], weights: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    return _decode(scores, weights, size, up=lambda x, weight, finer: _twice(x, weight))


def _zeros_around_finer(x: Tensor, finer: Tensor) -> Tensor:
    return x + F.pad(finer, (0, x.shape[3] - finer.shape[3], 0, x.shape[2] - finer.shape[2]))


def _painted_last(x: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    weight = upscore_weight(x.shape[1], stride)
    return _crop(F.conv_transpose2d(x, weight, stride=stride, padding=stride // 2), size)


def _size_of_the_coarsest(
    scores: Sequence[Tensor], weights: Sequence[Tensor], size: tuple[int, int]
) -> Tensor:
    """At the end stretched to 32 times the coarsest map, not by what is left."""
    whole = [32 * side for side in scores[0].shape[2:]]
    return _decode(scores, weights, size, last=lambda x, stride, size: _crop(_resize(x, whole), size))


def _first_alone(scores: Sequence[Tensor], weights: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    return _decode(scores[:1], [], size)


def _decode_case(
    generator: torch.Generator, levels: int, classes: int, size: tuple[int, int], count: int, note: str = ""
) -> Case:
    shapes = [[-(-side // (32 >> level)) for side in size] for level in range(levels)]
    scores = [_normal(generator, count, classes, *shape) for shape in shapes]
    weights = [
        upscore_weight(classes, 2) + 0.2 * _normal(generator, classes, classes, 4, 4) for _ in scores[1:]
    ]
    return Case((scores, weights, size), note)


def _decode_cases(generator: torch.Generator) -> list[Case]:
    fixed = torch.Generator().manual_seed(7)
    tent = upscore_weight(1, 2)
    one, four = torch.ones(1, 1, 1, 1), torch.arange(4.0).reshape(1, 1, 2, 2)
    return [
        Case(([one], [], (32, 32)), "32s, one cell: a flat map"),
        Case(
            ([torch.tensor([[[[0.0, 1.0]]]])], [], (32, 40)), "32s, an image that ends within the second cell"
        ),
        Case(([one, four], [tent], (32, 32)), "16s, one cell and four"),
        Case(
            ([one, torch.zeros(1, 1, 1, 2)], [torch.arange(16.0).reshape(1, 1, 4, 4)], (16, 32)),
            "16s, pool4 is zero and has one row: half of what is painted is cut off",
        ),
        Case(
            ([one, 0 * four, torch.zeros(1, 1, 3, 4)], [tent, 2 * tent], (24, 32)),
            "8s, two filters that differ",
        ),
        Case(
            (
                [torch.tensor([[[[1.0]], [[10.0]]]]), torch.zeros(1, 2, 2, 2)],
                [torch.tensor([[1.0, 0.0], [5.0, 0.0]])[..., None, None] * tent],
                (32, 32),
            ),
            "two classes: the filter takes both into class 0, with the weights 1 and 5",
        ),
        _decode_case(fixed, 2, 1, (40, 72), 1, "16s, an image of 40 by 72"),
        _decode_case(generator, 1, 3, (70, 33), 2),
        _decode_case(generator, 2, 3, (64, 96), 2),
        _decode_case(generator, 3, 2, (33, 50), 1),
        _decode_case(generator, 3, 4, (100, 77), 2),
    ]


def _decode_gradient(function: Callable[..., Any]) -> str | None:
    scores = [torch.rand(1, 2, 2 << k, 2 << k, requires_grad=True) for k in range(3)]
    weights = [upscore_weight(2, 2).requires_grad_() for _ in range(2)]
    result = function(scores, weights, (64, 64))
    if not result.requires_grad:
        return "The values are right, but no gradient flows back."
    result.square().sum().backward()
    missing = [each for each in (*scores, *weights) if each.grad is None]
    return "The gradient does not reach all scores and filters." if missing else None


DECODE = Exercise(
    "7.4",
    "From 32s to 8s",
    decode,
    _decode_cases,
    tolerance=1e-4,
    properties=(
        Property(
            "gradient reaches scores and filters",
            _decode_gradient,
            "The result must stay connected to scores and filters: .detach(), .data, .numpy() and "
            "torch.tensor(...) cut the connection.",
        ),
    ),
    axes=("image", "class", "row", "column"),
    plan=(
        "Do 32s first, without any loop: up by 32, cut to the size. Rows beyond the image lie below, "
        "columns at the right.",
        "One step: paint with stride 2 and padding 1. Compare the height with that of the finer map. It is "
        "equal, or greater by one: cut, then add.",
        "Put the step into a loop over the weights and the finer scores, side by side. With no weight it "
        "must run no round at all.",
        "Keep account of the stride: it begins at 32, and each step halves it. What is left of it is the "
        "factor of the last up-sampling.",
    ),
    mistakes=(
        Mistake(
            "stretched to fit pool4",
            _decode_with(up=lambda x, weight, finer: _resize(_twice(x, weight), finer.shape[2:])),
            "You stretch the up-sampled scores until they fit the finer map. Then cell and cell no "
            "longer show the same pixels: cut off what hangs over.",
        ),
        Mistake(
            "padding of the up-convolution forgotten",
            _decode_with(
                up=lambda x, weight, finer: _crop(F.conv_transpose2d(x, weight, stride=2), finer.shape[2:])
            ),
            "With one map you are right. In the sums the coarse scores lie one cell too far to the right "
            "and below: what must an up-convolution of four cells cut off at each border?",
        ),
        Mistake(
            "interpolated instead of painted",
            _decode_with(up=lambda x, weight, finer: _crop(_whole(x, 2), finer.shape[2:])),
            "You up-sample by 2 with a fixed filter. The filters are given and learn: paint with them.",
        ),
        Mistake(
            "cut in the middle",
            _decode_with(last=lambda x, stride, size: _crop(_whole(x, stride), size, "middle")),
            "You cut the middle out at the end. Poolings round up at the right and below, so all the "
            "surplus lies there: pixel 0 belongs to cell 0.",
        ),
        Mistake(
            "cropped above and at the left",
            _decode_with(up=_up_and_crop("end")),
            "You keep the lower right part. The upper left cell of both maps shows the same pixels, so "
            "it must stay.",
        ),
        Mistake(
            "mean instead of sum",
            _decode_with(fuse=lambda a, b: (a + b) / 2),
            "You average the two maps. FCN adds scores; that is what lets a skip that begins with zeros "
            "change nothing.",
        ),
        Mistake(
            "larger of the two",
            _decode_with(fuse=torch.maximum),
            "You take the larger of two scores. FCN adds them (the authors tried the maximum: it learned "
            "badly).",
        ),
        Mistake(
            "ReLU after the sum",
            _decode_with(fuse=lambda a, b: F.relu(a + b)),
            "There is a ReLU in the sum. Scores may be negative; nothing stands between the sums.",
        ),
        Mistake(
            "stretched to the image",
            _decode_with(last=lambda x, stride, size: _resize(x, size)),
            "At the end you stretch the map to the image's size. Where that is no multiple of the "
            "stride, all moves. Up-sample by the stride, then cut off.",
        ),
        Mistake(
            "by 32 at the end, whatever came before",
            _decode_with(last=lambda x, stride, size: _crop(_whole(x, 32), size)),
            "32s is right. Each step of 2 has taken up a part of the way: how many pixels does a cell "
            "cover after one step, and after two?",
        ),
        Mistake(
            "nothing cut off at the end",
            _decode_with(last=lambda x, stride, size: _whole(x, stride)),
            "Your result is larger than the image where its sides are no multiples of the stride. What "
            "hangs over at the right and below goes.",
        ),
        Mistake(
            "last step with corners aligned",
            _decode_with(
                last=lambda x, stride, size: _crop(
                    _resize(x, [stride * side for side in x.shape[2:]], corners=True), size
                )
            ),
            "The sums are right. In the last up-sampling you align the centres of the corner pixels; "
            "here areas are aligned.",
        ),
        Mistake(
            "last step in blocks",
            _decode_with(
                last=lambda x, stride, size: _crop(
                    _resize(x, [stride * side for side in x.shape[2:]], mode="nearest"), size
                )
            ),
            "The sums are right. The last up-sampling should be bilinear; yours makes blocks.",
        ),
        Mistake(
            "each map to the image by itself",
            _all_at_once,
            "You bring every map to the image by itself and add there. FCN goes step by step: by 2, add, "
            "by 2, add, with a filter that learns at each step.",
        ),
        Mistake(
            "the first filter at every step",
            _same_weight,
            "16s is right, 8s is not: every step uses the first filter. Each has its own.",
        ),
        Mistake(
            "skips left out",
            _first_alone,
            "Only the coarsest scores are used: this is 32s whatever comes in. Where do the finer ones join?",
        ),
        Mistake(
            "filters in reverse",
            lambda scores, weights, size: decode(scores, weights[::-1], size),
            "16s is right. In 8s the two filters have changed places: the first of them belongs to the step "
            "from the coarsest map.",
        ),
        Mistake(
            "from and to exchanged",
            lambda scores, weights, size: decode(scores, [each.transpose(0, 1) for each in weights], size),
            "With one class you are right. With two, scores go the wrong way between them: the weight's "
            "first axis is the class that is read, the second the one that is painted. Leave it as it comes.",
        ),
        Mistake(
            "not cut before the sum",
            _uncut,
            "You add without cutting. Where poolings have rounded up, the up-sampled map has a row or a "
            "column more than the finer one: what has to go, and on which side?",
        ),
        Mistake(
            "finer map enlarged with zeros",
            _decode_with(up=lambda x, weight, finer: _twice(x, weight), fuse=_zeros_around_finer),
            "You enlarge the finer map with zeros until it fits. Then the rest of the coarse map stays in "
            "the result; the task cuts it off, so that the next step begins with the finer map's size.",
        ),
        Mistake(
            "finest first",
            lambda scores, weights, size: decode(scores[::-1], weights, size),
            "You begin with the finest scores. The list runs from coarse to fine: start with the first one.",
        ),
        Mistake(
            "concatenated",
            _decode_with(fuse=lambda a, b: torch.cat([a, b], 1)),
            "You lay the two maps behind one another, with twice as many channels. FCN adds: class k of the "
            "one to class k of the other.",
        ),
        Mistake(
            "by 8 at the end, whatever came before",
            _decode_with(last=lambda x, stride, size: _crop(_whole(x, 8), size)),
            "8s is right, 16s and 32s come out too small. How many pixels does a cell cover after no step, "
            "and after one?",
        ),
        Mistake(
            "stretched to the coarsest map's size",
            _size_of_the_coarsest,
            "At the end you enlarge to 32 times the coarsest map. After a cut the map covers less than that: "
            "up-sample by the stride that is left, so that each cell keeps its pixels.",
        ),
        Mistake(
            "painted at the end",
            _decode_with(last=_painted_last),
            "Your last step paints with a bilinear filter, and fades at the image's border, where strokes "
            "from outside are missing. Here it is plain interpolation.",
        ),
        Mistake(
            "lower right at the end",
            _decode_with(last=lambda x, stride, size: _crop(_whole(x, stride), size, "end")),
            "The sums are right. In the last cut you keep the lower right part, but cell 0 begins at pixel "
            "0: the surplus lies at the other side.",
        ),
        Mistake(
            "height and width exchanged",
            lambda scores, weights, size: decode(scores, weights, (size[1], size[0])),
            "You cut to (W, H). The size is given as (H, W), and the third axis of the map is the height.",
        ),
        Mistake(
            "filters turned",
            lambda scores, weights, size: decode(scores, [each.flip(2, 3) for each in weights], size),
            "You turn the filters by 180 degrees. An up-convolution puts them down as they are given.",
        ),
        Mistake(
            "finer scores not added",
            _decode_with(fuse=lambda a, b: a),
            "The steps up are right, but the finer scores never come in: they only give the size. What "
            "happens to them after the cut?",
        ),
        Mistake(
            "a third of the stride at the end",
            _decode_with(
                last=lambda x, stride, size: _crop(_whole(x, 32 // (32 // stride).bit_length()), size)
            ),
            "32s and 16s are right. After two steps of 2, how much of the 32 is left? It is not a third.",
        ),
    ),
)


# 7.5 -----------------------------------------------------------------------------------------------


def _means(image: Tensor, labels: Tensor) -> Tensor:
    """The picture (3, H, W) with each region in its mean colour."""
    count = int(labels.max()) + 1
    sums = image.new_zeros(3, count).index_add(1, labels.flatten(), image.flatten(1))
    number = torch.bincount(labels.flatten(), minlength=count).clamp(min=1)
    return (sums / number)[:, labels]


def _near(labels: Tensor, down: int, across: int | None = None) -> Tensor:
    """Whether another label lies within so many rows and columns."""
    x = labels[None].float()
    across = down if across is None else across
    kernel, padding = (2 * down + 1, 2 * across + 1), (down, across)
    most = F.max_pool2d(x, kernel, 1, padding)
    least = -F.max_pool2d(-x, kernel, 1, padding)
    return (most != least)[0]


def poster(image: Tensor, labels: Tensor, width: int) -> Tensor:
    """Regions in their mean colours; black where another label lies within ``width`` rows and columns."""
    return torch.where(_near(labels, width), 0.0, _means(image, labels))


def _first_color(image: Tensor, labels: Tensor) -> Tensor:
    out = image.clone()
    for value in labels.unique().tolist():
        row, column = (labels == value).nonzero()[0].tolist()
        out[:, labels == value] = image[:, row, column][:, None]
    return out


def _grey(image: Tensor, labels: Tensor) -> Tensor:
    return _means(image, labels).mean(0, keepdim=True).expand_as(image)


def _thinned(image: Tensor, labels: Tensor) -> Tensor:
    """Sums divided by all pixels, not those of the region."""
    number = torch.bincount(labels.flatten())
    return _means(image, labels) * (number / labels.numel())[labels]


def _one_side(labels: Tensor, width: int) -> Tensor:
    """Only the side whose label is the smaller."""
    x = labels[None].float()
    return (F.max_pool2d(x, 2 * width + 1, 1, width) != x)[0]


def _cross(labels: Tensor, width: int) -> Tensor:
    return _near(labels, width, 0) | _near(labels, 0, width)


def _other_side(labels: Tensor, width: int) -> Tensor:
    """Only the side whose label is the larger."""
    x = labels[None].float()
    return (-F.max_pool2d(-x, 2 * width + 1, 1, width) != x)[0]


def _framed(outside: float) -> Callable[[Tensor, int], Tensor]:
    """What lies outside the picture counts as a label."""

    def near(labels: Tensor, width: int) -> Tensor:
        x = F.pad(labels[None].float(), (width,) * 4, value=outside)
        return (F.max_pool2d(x, 2 * width + 1, 1) != -F.max_pool2d(-x, 2 * width + 1, 1))[0]

    return near


def _narrow_window(labels: Tensor, width: int) -> Tensor:
    x = labels[None].float()
    most, least = F.max_pool2d(x, width, 1, width // 2), -F.max_pool2d(-x, width, 1, width // 2)
    return (most != least)[0, : labels.shape[0], : labels.shape[1]]


def _minus_forgotten(labels: Tensor, width: int) -> Tensor:
    x = labels[None].float()
    return (F.max_pool2d(x, 2 * width + 1, 1, width) != F.max_pool2d(-x, 2 * width + 1, 1, width))[0]


def _behind(labels: Tensor, width: int) -> Tensor:
    """Only neighbours to the right and below."""
    return _shifted(labels, [(0, step) for step in range(1, width + 1)]) | _shifted(
        labels, [(step, 0) for step in range(1, width + 1)]
    )


def _shifted(labels: Tensor, steps: Sequence[tuple[int, int]]) -> Tensor:
    near = torch.zeros_like(labels, dtype=torch.bool)
    height, width = labels.shape
    for down, across in steps:
        rows, columns = max(height - down, 0), max(width - across, 0)
        near[:rows, :columns] |= labels[:rows, :columns] != labels[down:, across:]
    return near


def _round_window(labels: Tensor, width: int) -> Tensor:
    rows, columns = (torch.arange(side) for side in labels.shape)
    places = torch.cartesian_prod(rows, columns).float()
    flat = labels.flatten()
    near = (torch.cdist(places, places) <= width) & (flat[:, None] != flat)
    return near.any(1).reshape(labels.shape)


def _around_the_edge(labels: Tensor, width: int) -> Tensor:
    steps = range(-width, width + 1)
    turned = [labels.roll((down, across), (0, 1)) != labels for down in steps for across in steps]
    return torch.stack(turned).any(0)


def _without_the_lines(image: Tensor, labels: Tensor, width: int) -> Tensor:
    """Means over the pixels that stay visible."""
    line, flat = _near(labels, width), image.clone()
    for label in labels.unique():
        inside = labels == label
        flat[:, inside] = image[:, inside & ~line].mean(1, keepdim=True)
    return torch.where(line, 0.0, flat)


def _mask_on_channels(image: Tensor, labels: Tensor) -> Tensor:
    flat = image.clone()
    for label in labels.unique():
        flat[labels == label] = image[labels == label].mean()
    return flat


def _median(image: Tensor, labels: Tensor) -> Tensor:
    flat = image.clone()
    for label in labels.unique():
        flat[:, labels == label] = image[:, labels == label].median(1, keepdim=True).values
    return flat


def _on_zeros(count: Callable[[Tensor], int]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda image, labels: torch.where(labels < count(labels), _means(image, labels), 0.0)


def _some_labels(count: Callable[[Tensor], int]) -> Callable[[Tensor, Tensor], Tensor]:
    """Only labels below a number are painted."""
    return lambda image, labels: torch.where(labels < count(labels), _means(image, labels), image)


def _poster_with(
    near: Callable[[Tensor, int], Tensor] = _near,
    paint: Callable[[Tensor, Tensor], Tensor] = _means,
    ink: float = 0.0,
) -> Callable[..., Tensor]:
    return lambda image, labels, width: torch.where(near(labels, width), ink, paint(image, labels))


def _inked_first(image: Tensor, labels: Tensor, width: int) -> Tensor:
    """Mean colours of a picture in which the lines are drawn already."""
    drawn = torch.where(_near(labels, width), 0.0, image)
    return torch.where(_near(labels, width), 0.0, _means(drawn, labels))


def _poster_cases(generator: torch.Generator) -> list[Case]:
    stripe = torch.tensor([[0, 0, 0, 1, 1, 1]])
    ramp = torch.linspace(0, 1, 6).expand(3, 1, 6) * torch.tensor([1.0, 0.5, 0.25])[:, None, None]
    dot = torch.zeros(3, 4, dtype=torch.int64)
    dot[0, 0] = 3
    cases = [
        Case((ramp.clone(), stripe, 0), "two regions, no lines"),
        Case((ramp.clone(), stripe, 1), "two regions, a line of one pixel on either side"),
        Case((torch.ones(3, 3, 4), dot, 1), "one pixel in a corner has label 3: three others are near"),
        Case((torch.ones(3, 3, 4), dot, 2), "the same, two pixels wide"),
        Case((ramp.clone(), 5 * stripe[:, :1].expand(1, 6) + 2, 1), "one region: nothing to draw"),
        Case((ramp.clone(), 2 * stripe, 2), "two regions, labels 0 and 2, lines two pixels wide"),
    ]
    for height, width, regions, line in ((7, 9, 3, 1), (12, 8, 5, 0), (15, 20, 4, 2), (6, 6, 2, 1)):
        coarse = torch.randint(0, regions, (3, 3), generator=generator)
        labels = _resize(coarse[None, None].float(), (height, width), "nearest")[0, 0].long()
        cases.append(Case((torch.rand(3, height, width, generator=generator), labels, line)))
    return cases


POSTER = Exercise(
    "7.5",
    "A poster",
    poster,
    _poster_cases,
    axes=("channel", "row", "column"),
    plan=(
        "Colours first, without lines. For each label that occurs: which pixels have it, and what is the "
        "mean of each channel over them? Write it into a copy.",
        "Then the lines, from the labels alone. Think of the window around a pixel: it reaches `width` "
        "cells to either side of the middle, so it has … cells.",
        "Find the largest and the smallest label in each window. The smallest is minus the largest of the "
        "negatives. Outside the picture nothing may count.",
        "Where the two are equal, the window holds one label: colour. Elsewhere black. A width of 0 must "
        "leave no line.",
    ),
    mistakes=(
        Mistake(
            "first colour of a region",
            _poster_with(paint=_first_color),
            "Each region takes the colour of its first pixel. Take the mean over all of them.",
        ),
        Mistake(
            "grey",
            _poster_with(paint=_grey),
            "Your means run over the three colours too: the poster is grey. One mean for each channel.",
        ),
        Mistake(
            "divided by all pixels",
            _poster_with(paint=_thinned),
            "Small regions come out nearly black. By how many pixels must a region's sum be divided?",
        ),
        Mistake(
            "picture left as it is",
            _poster_with(paint=lambda image, labels: image),
            "The lines are right, but the picture beneath is unchanged. Each region takes its mean colour.",
        ),
        Mistake(
            "lines drawn before the mean",
            _inked_first,
            "With lines your colours are too dark: their black has come into the means. Take the means "
            "first.",
        ),
        Mistake(
            "lines on one side",
            _poster_with(near=_one_side),
            "Between two regions only one side is black. Both have a neighbour of another label.",
        ),
        Mistake(
            "lines of a cross",
            _poster_with(near=_cross),
            "You look along the row and the column only. A label counts if it lies within so many rows "
            "and columns: think of a pixel diagonally beside it.",
        ),
        Mistake(
            "lines one pixel wider",
            _poster_with(near=lambda labels, width: _near(labels, width + 1)),
            "Your lines are a pixel wider on either side. With a width of 0 there are none.",
        ),
        Mistake(
            "no lines",
            _poster_with(near=lambda labels, width: torch.zeros_like(labels, dtype=torch.bool)),
            "The colours are right, the lines are missing. Which pixels have another label near them?",
        ),
        Mistake(
            "white lines",
            _poster_with(ink=1.0),
            "Your lines are white: the value 1 in all channels. Black is 0.",
        ),
        Mistake(
            "the frame taken for a border",
            _poster_with(near=_framed(-1.0)),
            "The rim of your picture is black, also where one region runs up to it. What lies outside the "
            "picture is no label: it must not count in the window.",
        ),
        Mistake(
            "zeros outside taken for a label",
            _poster_with(near=_framed(0.0)),
            "Where another region than 0 touches the rim of the picture, yours draws a line: the zeros that "
            "were put around it count as a label. Outside there is nothing.",
        ),
        Mistake(
            "mean without the line's pixels",
            _without_the_lines,
            "Your means leave out the pixels that the lines cover. The mean is over all pixels of a label, "
            "also those that turn black.",
        ),
        Mistake(
            "window as wide as the line",
            _poster_with(near=_narrow_window),
            "Your window is too small. It reaches so many rows and columns to either side of its middle: how "
            "many cells is that for a width of 1, and for 0?",
        ),
        Mistake(
            "black and colour exchanged",
            lambda image, labels, width: torch.where(_near(labels, width), _means(image, labels), 0.0),
            "Your lines are coloured and the regions black: the condition says the opposite of what you "
            "mean.",
        ),
        Mistake(
            "a minus forgotten",
            _poster_with(near=_minus_forgotten),
            "The largest of the negative labels is not yet the smallest label: for labels 2 and 5 it is -2. "
            "What is still to be done to it?",
        ),
        Mistake(
            "lines on the other side",
            _poster_with(near=_other_side),
            "Between two regions only the side with the larger label is black. Both have a neighbour of "
            "another label.",
        ),
        Mistake(
            "only right and below",
            _poster_with(near=_behind),
            "You compare each pixel with those to the right and below. Another label may also lie to the "
            "left, above, or diagonally.",
        ),
        Mistake(
            "round window",
            _poster_with(near=_round_window),
            "Your window is round. A label counts if it lies within so many rows and so many columns: that "
            "is a square, with its corners.",
        ),
        Mistake(
            "around the edge",
            _poster_with(near=_around_the_edge),
            "Pixels at one edge of your picture look at those of the opposite edge: the shift comes in again "
            "from the other side.",
        ),
        Mistake(
            "lines one pixel narrower",
            _poster_with(near=lambda labels, width: _near(labels, max(width - 1, 0))),
            "Your lines are a pixel too narrow on either side. With a width of 1 the pixels right beside a "
            "border are black.",
        ),
        Mistake(
            "width ignored",
            _poster_with(near=lambda labels, width: _near(labels, min(width, 1))),
            "Your lines are one pixel wide on either side, whatever is asked. What must grow with the width?",
        ),
        Mistake(
            "last label left out",
            _poster_with(paint=_some_labels(lambda labels: int(labels.max()))),
            "One region keeps its picture: that of the largest label. Where does your counting end?",
        ),
        Mistake(
            "labels numbered without gaps",
            _poster_with(paint=_some_labels(lambda labels: len(labels.unique()))),
            "You count labels from 0 up to how many there are. Not all numbers need occur: with 0 and 2 "
            "there are two labels, and 1 is none of them.",
        ),
        Mistake(
            "last label black",
            _poster_with(paint=_on_zeros(lambda labels: int(labels.max()))),
            "The region of the largest label stays black. Where does your counting of labels end?",
        ),
        Mistake(
            "labels without gaps, the rest black",
            _poster_with(paint=_on_zeros(lambda labels: len(labels.unique()))),
            "Some regions stay black: you count labels from 0 up to how many there are. Not all numbers need "
            "occur, so which labels should the loop go through?",
        ),
        Mistake(
            "mask on the channels",
            _poster_with(paint=_mask_on_channels),
            "The picture is (3, H, W), a mask of pixels is (H, W). Put in front, it is laid on channels and "
            "rows. What has to stand for the channels before it?",
        ),
        Mistake(
            "median",
            _poster_with(paint=_median),
            "Your regions take their median. Asked for is the mean of each channel.",
        ),
        Mistake(
            "lines along the rows only",
            _poster_with(near=lambda labels, width: _near(labels, 0, width)),
            "You look to the left and right only. A label also counts that lies above, below, or diagonally.",
        ),
    ),
)

EXERCISES = (HYPERCOLUMNS, SCORE, WEIGHT, DECODE, POSTER)
