"""Exercises of chapter 8: painting, zeros between, overlaps, a filter found, and a map made dense.

The references are written apart from `segcore.upsampling`. Every mistake is a reference with one thing wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segcore.checks.exercise import Case, Exercise, Mistake, Property, reaches_gradient

__all__ = ["EXERCISES"]


# 8.1 -----------------------------------------------------------------------------------------------


def _stroke(
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: int = 0,
    *,
    step: int | None = None,
    combine: str = "add",
    more: int = 0,
    swap: bool = False,
) -> Tensor:
    """Paint stroke by stroke; `step`, `combine`, `more` and `swap` are mistakes when set."""
    (rows, columns), (height, width) = x.shape, weight.shape
    step = stride if step is None else step
    size = ((rows - 1) * stride + height + more, (columns - 1) * stride + width + more)
    canvas, count = x.new_zeros(size), x.new_zeros(size)
    for i in range(rows):
        for j in range(columns):
            top, left = (j * step, i * step) if swap else (i * step, j * step)
            here = (slice(top, top + height), slice(left, left + width))
            stroke = x[i, j] * weight
            if combine == "largest":
                canvas[here] = torch.maximum(canvas[here], stroke)
            else:
                canvas[here] = stroke + (0 if combine == "last" else canvas[here])
            count[here] += 1
    if combine == "mean":
        canvas = canvas / count.clamp(min=1)
    return canvas[padding : size[0] - padding, padding : size[1] - padding]


def paint(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
    """Up-convolution of one map ``(H, W)`` with one filter ``(h, w)``, stroke by stroke."""
    return _stroke(x, weight, stride, padding)


def _paint_with(**options: Any) -> Callable[..., Tensor]:
    return lambda x, weight, stride, padding=0: _stroke(x, weight, stride, padding, **options)


def _same_canvas(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
    """The canvas has size times stride cells; what does not fit is lost."""
    full = _stroke(x, weight, stride)
    size = [count * stride for count in x.shape]
    grown = F.pad(full, (0, max(0, size[1] - full.shape[1]), 0, max(0, size[0] - full.shape[0])))
    return grown[padding : size[0] - padding, padding : size[1] - padding]


def _one_side(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
    return _stroke(x, weight, stride)[padding:, padding:]


def _cut(start: Callable[[int], int], end: Callable[[int], int | None]) -> Callable[..., Tensor]:
    """The whole canvas, cut by one slice along both axes."""

    def wrong(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
        part = slice(start(padding), end(padding))
        return _stroke(x, weight, stride)[part, part]

    return wrong


def _plain_convolution(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
    return F.conv2d(x[None, None], weight[None, None], stride=stride, padding=padding)[0, 0]


def _up_cases(generator: torch.Generator) -> list[Case]:
    two, filter_ = torch.tensor([[1.0, 10.0]]), torch.tensor([[1.0, 2.0, 4.0]])
    square = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    cases = [
        Case((torch.ones(1, 1), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2), "a single 1: the filter itself"),
        Case((two, filter_, 3), "two values, strokes side by side"),
        Case((two, filter_, 2), "two values, strokes that share a cell"),
        Case((square, torch.arange(1.0, 10.0).reshape(3, 3), 2), "four values, a filter of 3 by 3"),
        Case((square, torch.arange(1.0, 10.0).reshape(3, 3), 2, 1), "the same, one cell of padding"),
        Case((square, torch.tensor([[1.0, 2.0]]), 3), "a stride larger than the filter"),
    ]
    for size, kernel, stride, padding in (
        ((3, 4), (3, 3), 1, 0),
        ((4, 3), (4, 4), 2, 1),
        ((2, 5), (2, 3), 3, 0),
        ((3, 3), (5, 5), 2, 2),
    ):
        x, weight = (torch.randn(*shape, generator=generator) for shape in (size, kernel))
        cases.append(Case((x, weight, stride, padding)))
    return cases


def _up_inputs() -> tuple[Any, ...]:
    return torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.arange(1.0, 10.0).reshape(3, 3), 2, 1


PAINT = Exercise(
    "8.1",
    "Paint with a filter",
    paint,
    _up_cases,
    properties=(reaches_gradient(0, _up_inputs, "x"), reaches_gradient(1, _up_inputs, "weight")),
    axes=("row", "column"),
    plan=(
        "How large is the canvas before anything is cut off? One stroke is h cells high; each further row "
        "of strokes begins a stride lower.",
        "Where does the stroke of the value in row i and column j begin, and where does it end? Write both "
        "as slices of the canvas, rows first.",
        "In two loops, add value times filter to that part of the canvas. Strokes that meet add up; nothing "
        "is replaced.",
        "At the end cut `padding` rows and columns off all four sides. Try it with a padding of 0 too: the "
        "whole canvas must come out.",
    ),
    mistakes=(
        Mistake(
            "overwritten instead of added",
            _paint_with(combine="last"),
            "Where two strokes share a cell, yours keeps the later one. What does the lecture do with "
            "overlapping values?",
        ),
        Mistake(
            "averaged where strokes overlap",
            _paint_with(combine="mean"),
            "Where strokes overlap you take their mean. Paint adds up: a cell under two strokes holds "
            "their sum.",
        ),
        Mistake(
            "filter flipped",
            lambda x, weight, stride, padding=0: _stroke(x, weight.flip(0, 1), stride, padding),
            "Look at the single 1: it should paint the filter as it is. Yours is turned by 180 degrees; that "
            "belongs to the other view, in 8.2.",
        ),
        Mistake(
            "filter transposed",
            lambda x, weight, stride, padding=0: _stroke(x, weight.mT, stride, padding),
            "Rows and columns of your filter are exchanged. The first axis of a tensor goes down.",
        ),
        Mistake(
            "strokes one cell apart",
            _paint_with(step=1),
            "The canvas has the right size, but each stroke lies one cell after the last. How far apart are "
            "the strokes of two neighbours?",
        ),
        Mistake(
            "canvas of size times stride",
            _same_canvas,
            "Count the canvas again: the first stroke takes as many cells as the filter, and each further "
            "one adds a stride.",
        ),
        Mistake(
            "one row and column too many",
            _paint_with(more=1),
            "Your canvas has a row and a column that nothing is painted on. Between n values there are n - 1 "
            "steps.",
        ),
        Mistake(
            "padding forgotten",
            lambda x, weight, stride, padding=0: _stroke(x, weight, stride),
            "All is painted as it should be. Padding takes cells away at every border; it is a convolution "
            "in the other direction that adds them.",
        ),
        Mistake(
            "padding added",
            lambda x, weight, stride, padding=0: F.pad(_stroke(x, weight, stride), (padding,) * 4),
            "Your output grows with the padding. The convolution in the other direction pads, so this one "
            "has to take the border off again.",
        ),
        Mistake(
            "padding cut off on one side",
            _one_side,
            "You take the padding off above and on the left only. A border has four sides.",
        ),
        Mistake(
            "an ordinary convolution",
            _plain_convolution,
            "Your output is smaller than the input: this is the convolution itself. Here one value makes "
            "many, not many one.",
        ),
        Mistake(
            "nothing left without padding",
            _cut(lambda padding: padding, lambda padding: -padding),
            "With padding you are right. Without any, nothing is left: a slice that ends at -0 ends before "
            "the first cell. How else can you say where it ends?",
        ),
        Mistake(
            "padding cut off at the end only",
            _cut(lambda padding: 0, lambda padding: -padding or None),
            "You take the padding off below and on the right only. A border has four sides.",
        ),
        Mistake(
            "twice the padding at one end",
            _cut(lambda padding: 2 * padding, lambda padding: None),
            "The size is right, but you take both borders off above and on the left. One of each goes there, "
            "the other below and on the right.",
        ),
        Mistake(
            "twice the padding at the other end",
            _cut(lambda padding: 0, lambda padding: -2 * padding or None),
            "The size is right, but you take both borders off below and on the right. One of each goes "
            "there, the other above and on the left.",
        ),
        Mistake(
            "y and x exchanged",
            _paint_with(swap=True),
            "Your strokes lie at the wrong places: row and column of a value are exchanged. The row of a "
            "value says how far down its stroke begins.",
        ),
        Mistake(
            "strokes a filter apart",
            lambda x, weight, stride, padding=0: _stroke(x, weight, stride, padding, step=len(weight)),
            "Your strokes lie side by side, a whole filter from each other. How far apart they begin says "
            "the stride.",
        ),
        Mistake(
            "larger of two strokes",
            _paint_with(combine="largest"),
            "Where strokes share a cell yours keeps the larger value. Paint adds up, and a stroke may be "
            "negative.",
        ),
        Mistake(
            "the value left out",
            lambda x, weight, stride, padding=0: _stroke(torch.ones_like(x), weight, stride, padding),
            "Every stroke of yours is the filter itself. How strongly is it painted where the input is 10?",
        ),
    ),
)


# 8.2 -----------------------------------------------------------------------------------------------


def _spread(x: Tensor, stride: int, kind: str = "zeros") -> Tensor:
    """The map with zeros between its values; any other kind is a mistake."""
    if kind == "repeated":
        spread = x.repeat_interleave(stride, 0).repeat_interleave(stride, 1)
        return spread[: (len(x) - 1) * stride + 1, : (x.shape[1] - 1) * stride + 1]
    step = stride + 1 if kind == "more" else stride
    tail = stride - 1 if kind == "after" else 0
    spread = x.new_zeros((len(x) - 1) * step + 1 + tail, (x.shape[1] - 1) * step + 1 + tail)
    spread[::step, ::step] = x
    return spread


def _slide(
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: int = 0,
    *,
    kind: str = "zeros",
    flips: Sequence[int] = (0, 1),
    border: Callable[[int, int], int] = lambda kernel, padding: kernel - 1 - padding,
) -> Tensor:
    """Zeros between, a border, the flipped filter; every option is a mistake when set."""
    down, across = (border(cells, padding) for cells in weight.shape)
    padded = F.pad(_spread(x, stride, kind), (across, across, down, down))
    windows = padded.unfold(0, weight.shape[0], 1).unfold(1, weight.shape[1], 1)  # (H', W', h, w)
    return (windows * weight.flip(tuple(flips))).sum((2, 3))


def slide(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
    """Up-convolution of one map from the other side: zeros between, then the flipped filter slides."""
    return _slide(x, weight, stride, padding)


def _slide_with(**options: Any) -> Callable[..., Tensor]:
    return lambda x, weight, stride, padding=0: _slide(x, weight, stride, padding, **options)


def _slide_padded(pad: Callable[[int, int], tuple[int, ...]], step: int = 0) -> Callable[..., Tensor]:
    """A border of another kind; `step` 1: the stride taken once more as the filter slides."""

    def wrong(x: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
        down, across = (cells - 1 - padding for cells in weight.shape)
        padded = F.pad(_spread(x, stride), pad(down, across))
        turned = weight.flip(0, 1)[None, None]
        return F.conv2d(padded[None, None], turned, stride=stride if step else 1)[0, 0]

    return wrong


class _Painting(torch.overrides.TorchFunctionMode):
    """Notes those of torch's functions that paint: each name under which a transposed convolution goes."""

    NAMES = ("conv_transpose", "convolution_backward", "fold", "col2im")

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "").split(".")[0]
        transposed = name == "convolution" and True in (*args[6:7], (kwargs or {}).get("transposed"))
        if name.startswith(self.NAMES) or transposed:
            self.names.add(name)
        return func(*args, **(kwargs or {}))


def _slides(function: Callable[..., Any]) -> str | None:
    """Whether it does without torch's own transposed convolutions."""
    with _Painting() as painting:
        function(*_up_inputs())
    found = sorted(painting.names)
    return f"The values are right, but {found[0]} has painted them." if found else None


SLIDE = Exercise(
    "8.2",
    "Zeros between, the filter turned",
    slide,
    _up_cases,
    properties=(
        Property(
            "the other view",
            _slides,
            "This exercise asks for the other view: zeros between the values, a border, and an ordinary "
            "convolution with the flipped filter.",
        ),
        reaches_gradient(0, _up_inputs, "x"),
        reaches_gradient(1, _up_inputs, "weight"),
    ),
    axes=("row", "column"),
    plan=(
        "Take 1 and 10 at stride 2. Make 1 0 10: how many cells is that for n values? A slice with a step "
        "can fill them all at once.",
        "How wide a border lets the filter's last cell touch the first value? For three cells and no "
        "padding it is two; each cell of padding makes it … .",
        "Mind that height and width of the filter may differ, and in which order F.pad wants the sides.",
        "Flip the filter along both axes and let it slide with stride 1. Check: a single 1 must give the "
        "filter itself, not turned.",
    ),
    mistakes=(
        Mistake(
            "filter not flipped",
            _slide_with(flips=()),
            "Feed it a single 1: the filter comes out turned by 180 degrees. What must be done to it before "
            "it slides?",
        ),
        Mistake(
            "flipped up and down only",
            _slide_with(flips=(0,)),
            "Left and right are still exchanged: a filter has two axes to flip.",
        ),
        Mistake(
            "flipped left and right only",
            _slide_with(flips=(1,)),
            "Up and down are still exchanged: a filter has two axes to flip.",
        ),
        Mistake(
            "transposed instead of flipped",
            lambda x, weight, stride, padding=0: _slide(x, weight.mT, stride, padding, flips=()),
            "You exchange rows and columns of the filter. To flip is to reverse the order along both axes.",
        ),
        Mistake(
            "zeros after the last value too",
            _slide_with(kind="after"),
            "The zeros go between the values, not after the last one: 1 2 becomes 1 0 2 at stride 2.",
        ),
        Mistake(
            "one zero too many",
            _slide_with(kind="more"),
            "Your values lie too far apart. At stride 2 they are 2 cells from each other: how many zeros fit "
            "between?",
        ),
        Mistake(
            "values repeated",
            _slide_with(kind="repeated"),
            "Between the values you repeat them. That is nearest-neighbour up-sampling first; here the cells "
            "between hold nothing yet.",
        ),
        Mistake(
            "no border",
            _slide_with(border=lambda kernel, padding: 0),
            "The filter must be able to touch the first value with each of its cells, also the last. How "
            "wide a border of zeros does that take?",
        ),
        Mistake(
            "border as wide as the padding",
            _slide_with(border=lambda kernel, padding: padding),
            "Here more padding makes the output smaller. Without any, the filter's last cell must still "
            "reach the first value; each cell of padding takes one away.",
        ),
        Mistake(
            "padding ignored",
            _slide_with(border=lambda kernel, padding: kernel - 1),
            "Without padding all is right. Each cell of padding makes the border of zeros one cell narrower.",
        ),
        Mistake(
            "border as wide as the filter",
            _slide_with(border=lambda kernel, padding: kernel - padding),
            "Your output has a ring of zeros around it: the filter starts where it touches no value yet. One "
            "cell less.",
        ),
        Mistake(
            "border of the height on all sides",
            _slide_padded(lambda down, across: (down, down, down, down)),
            "For square filters you are right. At the sides the border depends on the filter's width, above "
            "and below on its height.",
        ),
        Mistake(
            "border of the width on all sides",
            _slide_padded(lambda down, across: (across, across, across, across)),
            "For square filters you are right. Above and below, the border depends on the filter's height, "
            "at the sides on its width.",
        ),
        Mistake(
            "border's axes exchanged",
            _slide_padded(lambda down, across: (down, down, across, across)),
            "Your border is as wide above as it should be at the sides. torch's padding begins with the last "
            "axis: left and right come first.",
        ),
        Mistake(
            "border above and on the left only",
            _slide_padded(lambda down, across: (across, 0, down, 0)),
            "Your result stops too early: the border stands above and on the left only. The last value must "
            "be touched by every cell of the filter too.",
        ),
        Mistake(
            "the stride taken twice",
            _slide_padded(lambda down, across: (across, across, down, down), step=1),
            "You let the filter slide with the stride. That is in the zeros already: between them and the "
            "filter's steps of 1 the output grows.",
        ),
        Mistake(
            "the map flipped instead",
            lambda x, weight, stride, padding=0: _slide(x.flip(0, 1), weight, stride, padding, flips=()),
            "You flip the map, and your result comes out turned by 180 degrees. It is the filter that must "
            "be turned.",
        ),
        Mistake(
            "nothing left without padding",
            lambda x, weight, stride, padding=0: _slide(x, weight, stride)[
                padding:-padding, padding:-padding
            ],
            "With padding you are right. Without any, a slice that ends at -0 is empty. The border of zeros "
            "can take the padding into account from the start.",
        ),
    ),
)


# 8.3 -----------------------------------------------------------------------------------------------


def overlaps(kernel: int, stride: int, size: int) -> Tensor:
    """How many strokes reach each output cell along one axis, int64."""
    cell = torch.arange((size - 1) * stride + kernel)[:, None]
    start = torch.arange(size) * stride
    return ((cell >= start) & (cell < start + kernel)).sum(1)


def _even(kernel: int, stride: int, size: int) -> Tensor:
    """No border: the count of a cell in the middle, everywhere."""
    length, most = (size - 1) * stride + kernel, -(-kernel // stride)
    return torch.full((length,), most)


def _endless(kernel: int, stride: int, size: int) -> Tensor:
    """As if strokes came from outside as well."""
    around = overlaps(kernel, stride, size + 2 * kernel)
    return around[kernel * stride : kernel * stride + (size - 1) * stride + kernel]


def _longer(kernel: int, stride: int, size: int) -> Tensor:
    return F.pad(overlaps(kernel, stride, size), (0, stride))


def _to_the_end(kernel: int, stride: int, size: int) -> Tensor:
    """Strokes begin as long as there are cells."""
    length = (size - 1) * stride + kernel
    return overlaps(kernel, stride, -(-length // stride))[:length]


def _numbers(kernel: int, stride: int, size: int) -> Tensor:
    """Which stroke was the last, not how many there were."""
    result = torch.zeros((size - 1) * stride + kernel, dtype=torch.int64)
    for i in range(size):
        result[i * stride : i * stride + kernel] = i + 1
    return result


OVERLAPS = Exercise(
    "8.3",
    "Where strokes overlap",
    overlaps,
    lambda generator: [
        Case((3, 3, 2), "strokes side by side"),
        Case((3, 2, 3), "three strokes of 3 cells, 2 apart"),
        Case((4, 2, 4), "four strokes of 4 cells, 2 apart"),
        Case((2, 3, 3), "strokes with gaps between them"),
        Case((5, 1, 1), "a single stroke"),
        *(
            Case(
                tuple(int(torch.randint(*ends, (), generator=generator)) for ends in ((4, 9), (2, 5), (3, 9)))
            )
            for _ in range(6)
        ),
    ],
    axes=("cell",),
    plan=(
        "Draw three strokes of 3 cells, 2 apart, below each other, and count down the columns: 1 1 2 1 2 1 "
        "1.",
        "How long is the axis? The first stroke takes its own length, each of the others adds only … cells.",
        "Where does stroke number i begin, and where does it end? Add one to all the cells between. It is "
        "painting with ones.",
        "Start from whole numbers, so that the counts are int64.",
    ),
    mistakes=(
        Mistake(
            "touched or not",
            lambda kernel, stride, size: overlaps(kernel, stride, size).clamp(max=1),
            "Yours says whether a cell is painted, not how often. A cell under two strokes counts 2.",
        ),
        Mistake(
            "the same everywhere",
            _even,
            "You give one number to all cells. Take 3 cells, 2 apart, pen and paper: are two neighbours in "
            "the middle painted equally often?",
        ),
        Mistake(
            "strokes from outside",
            _endless,
            "In the middle you are right. The first cell is reached by the first stroke alone: there is none "
            "before it.",
        ),
        Mistake(
            "length of size times stride",
            lambda kernel, stride, size: F.pad(
                overlaps(kernel, stride, size), (0, max(0, size * stride - (size - 1) * stride - kernel))
            )[: size * stride],
            "Your axis has size times stride cells. It starts with a whole stroke, and each further stroke "
            "adds a stride: how long is that?",
        ),
        Mistake(
            "a stroke one cell too long",
            lambda kernel, stride, size: overlaps(kernel + 1, stride, size)[:-1],
            "Your strokes are one cell too long. A stroke of 3 that starts at cell 4 covers 4, 5 and 6.",
        ),
        Mistake(
            "stride and kernel exchanged",
            lambda kernel, stride, size: overlaps(stride, kernel, size),
            "You exchange kernel and stride: the kernel is how long a stroke is, the stride how far apart "
            "two of them start.",
        ),
        Mistake(
            "stride forgotten",
            lambda kernel, stride, size: F.pad(overlaps(kernel, 1, size), (0, (size - 1) * (stride - 1))),
            "Each of your strokes starts one cell after the last. They start a stride apart.",
        ),
        Mistake(
            "a stroke missing",
            lambda kernel, stride, size: (
                F.pad(overlaps(kernel, stride, size - 1), (0, stride))[: (size - 1) * stride + kernel]
                if size > 1
                else torch.zeros(kernel, dtype=torch.int64)
            ),
            "One stroke is missing at the end. There are as many as size says; only the steps between them "
            "are one less.",
        ),
        Mistake(
            "a stroke one cell too short",
            lambda kernel, stride, size: F.pad(overlaps(kernel - 1, stride, size), (0, 1)),
            "Your strokes are one cell too short. A stroke of 3 that starts at cell 4 covers 4, 5 and 6; "
            "where does a slice end?",
        ),
        Mistake(
            "strokes to the end of the axis",
            _to_the_end,
            "You begin a stroke every stride as long as there are cells. There are only `size` of them: the "
            "last one ends where the axis does.",
        ),
        Mistake(
            "number of the last stroke",
            _numbers,
            "Yours says which stroke came last to a cell, not how many came. Each stroke adds one.",
        ),
        Mistake(
            "one stroke not counted",
            lambda kernel, stride, size: overlaps(kernel, stride, size) - 1,
            "You count how often a cell is painted over again. The first stroke counts as well.",
        ),
        Mistake(
            "axis a stride too long",
            _longer,
            "Your axis ends with cells that no stroke can reach. Between n strokes there are n - 1 steps; "
            "the last one only adds its own length.",
        ),
        Mistake(
            "counted over a square",
            lambda kernel, stride, size: torch.outer(*[overlaps(kernel, stride, size)] * 2),
            "You count in two dimensions. Asked for is one axis; the figure below makes the square of it.",
        ),
    ),
)


# 8.4 -----------------------------------------------------------------------------------------------


def _paintings(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """What each cell of the filter paints by itself, (values of y, kernel²)."""
    units = torch.eye(kernel * kernel, dtype=x.dtype).reshape(1, kernel * kernel, kernel, kernel)
    painted = F.conv_transpose2d(x[:, None], units, stride=stride, padding=padding)  # (N, kernel², H', W')
    return painted.transpose(0, 1).flatten(1).T


def find_filter(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """The filter ``(kernel, kernel)`` that paints maps y ``(N, H', W')`` from x ``(N, H, W)``."""
    paintings = _paintings(x, kernel, stride, padding)
    return torch.linalg.lstsq(paintings, y.flatten()[:, None]).solution.reshape(kernel, kernel)


def _correlated(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return (_paintings(x, kernel, stride, padding).T @ y.flatten()).reshape(kernel, kernel)


def _alone(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Each cell of the filter fitted as if it were the only one."""
    paintings = _paintings(x, kernel, stride, padding)
    return (paintings.T @ y.flatten() / (paintings**2).sum(0)).reshape(kernel, kernel)


def _first_only(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return find_filter(x[:1], y[:1], kernel, stride, padding)


def _divided(by: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def wrong(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        found = find_filter(x, y, kernel, stride, padding)
        return found / by(found)

    return wrong


def _turned(turn: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x, y, kernel, stride, padding: turn(find_filter(x, y, kernel, stride, padding))


def _painted_case(
    weight: Tensor, x: Tensor, stride: int, padding: int, note: str = "", noise: Tensor | None = None
) -> Case:
    y = F.conv_transpose2d(x[:, None], weight[None, None], stride=stride, padding=padding)[:, 0]
    y = y if noise is None else y + 0.1 * noise[:, : y.shape[1], : y.shape[2]]
    return Case((x, y, len(weight), stride, padding), note)


def _filter_cases(generator: torch.Generator) -> list[Case]:
    one, square = torch.ones(1, 1, 1), torch.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    lopsided = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    cases = [
        _painted_case(lopsided, one, 2, 0, "a single 1 has been painted"),
        _painted_case(lopsided, 2 * one, 2, 0, "a single 2 has been painted"),
        _painted_case(lopsided, square, 2, 0, "four values, strokes side by side"),
        _painted_case(
            torch.tensor([[1.0, 2, 0], [0, 4, 1], [0, 1, 3]]), square, 2, 0, "strokes that share cells"
        ),
    ]
    for kernel, stride, padding in ((3, 2, 1), (4, 2, 1), (5, 3, 0), (3, 1, 1)):
        x, noise = torch.randn(3, 5, 6, generator=generator), torch.randn(3, 20, 23, generator=generator)
        cases.append(_painted_case(torch.randn(kernel, kernel, generator=generator), x, stride, padding))
        cases.append(
            _painted_case(torch.randn(kernel, kernel, generator=generator), x, stride, padding, noise=noise)
        )
    return cases


def _fit(paintings: Tensor, y: Tensor, kernel: int) -> Tensor:
    return torch.linalg.lstsq(paintings, y.reshape(-1, 1)).solution[: kernel**2].reshape(kernel, kernel)


def _ridge(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    paintings = _paintings(x, kernel, stride, padding)
    system = paintings.T @ paintings + torch.eye(kernel**2)
    return torch.linalg.solve(system, paintings.T @ y.flatten()).reshape(kernel, kernel)


def _bilinear_anyway(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    tent = 1 - ((torch.arange(kernel) - (kernel - 1) / 2) / stride).abs()
    return torch.outer(tent, tent)


def _with_constant(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    paintings = _paintings(x, kernel, stride, padding)
    return _fit(torch.cat([paintings, torch.ones(len(paintings), 1)], 1), y, kernel)


def _inside(y: Tensor) -> Tensor:
    """1 inside, 0 at the border of each map."""
    return F.pad(torch.ones_like(y[:, 1:-1, 1:-1]), (1, 1, 1, 1)).flatten()[:, None]


def _weighted_fit(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int, weight: Tensor) -> Tensor:
    kept = weight[:, 0] > 0
    weight = weight[kept]
    return _fit(
        _paintings(x, kernel, stride, padding)[kept] * weight, y.flatten()[kept] * weight[:, 0], kernel
    )


def _least_absolute(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Squares weighted again and again by what is left."""
    paintings, found = _paintings(x, kernel, stride, padding), find_filter(x, y, kernel, stride, padding)
    for _ in range(20):
        left = (paintings @ found.flatten() - y.flatten()).abs().clamp(min=1e-4)
        found = _weighted_fit(x, y, kernel, stride, padding, left.rsqrt()[:, None])
    return found


def _descent_unfinished(x: Tensor, y: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    paintings, found = _paintings(x, kernel, stride, padding), torch.zeros(kernel**2)
    for _ in range(50):
        found = found - 0.2 / y.numel() * paintings.T @ (paintings @ found - y.flatten())
    return found.reshape(kernel, kernel)


FIND = Exercise(
    "8.4",
    "Find the filter",
    find_filter,
    _filter_cases,
    tolerance=2e-3,
    axes=("row", "column"),
    plan=(
        "Think of a filter of 2 × 2 as four unknowns. What does the up-convolution paint from x with a 1 in "
        "one cell and zeros elsewhere? Look at one such picture.",
        "Make that picture for each cell, for all maps at once, and flatten it: one column of A. Go through "
        "the cells row by row.",
        "Flatten y in the very same order, all maps in one column: A w = y has … rows and kernel² unknowns.",
        "Let the solver find w. Then put it back into a square, row by row. Test with a filter that is not "
        "symmetric.",
    ),
    mistakes=(
        Mistake(
            "turned by 180 degrees",
            _turned(lambda found: found.flip(0, 1)),
            "Your filter is turned by 180 degrees: it is the one that slides. Asked for is the one that "
            "paints.",
        ),
        Mistake(
            "rows and columns exchanged",
            _turned(lambda found: found.mT.contiguous()),
            "All the numbers are there, with rows and columns exchanged. In which order do you list the "
            "cells, and in which do you put them back?",
        ),
        Mistake(
            "sums to 1",
            _divided(lambda found: found.sum()),
            "You scale the filter so that it sums to 1. A filter that paints bilinearly at stride 2 sums to "
            "4; leave it as it comes out.",
        ),
        Mistake(
            "largest is 1",
            _divided(lambda found: found.max()),
            "You scale the filter so that its largest value is 1. Leave it as it comes out.",
        ),
        Mistake(
            "correlated only",
            _correlated,
            "You multiply each single painting with y and sum. That is the right-hand side of the normal "
            "equations; the system has still to be solved.",
        ),
        Mistake(
            "each cell by itself",
            _alone,
            "You fit each cell of the filter as if it painted alone. Where strokes share cells they must "
            "share y as well: all unknowns belong into one system.",
        ),
        Mistake(
            "first map only",
            _first_only,
            "Where the maps are noisy you are a little off: only the first one counts in yours. All of them "
            "together tell more.",
        ),
        Mistake(
            "a filter for each map, averaged",
            lambda x, y, *numbers: torch.stack(
                [find_filter(x[k : k + 1], y[k : k + 1], *numbers) for k in range(len(x))]
            ).mean(0),
            "Where the maps are noisy you are a little off: you find a filter for each map and average. The"
            " error over all maps together is to be small: one system for all.",
        ),
        Mistake(
            "maps averaged first",
            lambda x, y, *numbers: find_filter(x.mean(0, keepdim=True), y.mean(0, keepdim=True), *numbers),
            "You average the maps before you solve. Each map brings equations of its own: all of them "
            "belong into one system.",
        ),
        Mistake(
            "each map by its size",
            lambda x, y, *numbers: find_filter(
                *(each / x.flatten(1).norm(dim=1)[:, None, None] for each in (x, y)), *numbers
            ),
            "Where the maps are noisy you are a little off: you scale each map first, so that its errors "
            "weigh otherwise. All errors weigh the same.",
        ),
        Mistake(
            "paintings reshaped, axes as they were",
            lambda x, y, kernel, stride, padding: torch.linalg.lstsq(
                _paintings(x, kernel, stride, padding)
                .T.reshape(kernel**2, len(x), -1)
                .transpose(0, 1)
                .reshape(-1, kernel**2),
                y.flatten()[:, None],
            ).solution.reshape(kernel, kernel),
            "The shape of your matrix is right, the numbers are mixed up: a new shape alone moves no axis. "
            "Each painting must become one column.",
        ),
        Mistake(
            "pulled towards zero",
            _ridge,
            "Something is added to the diagonal of your system, which makes the filter too small. Plain "
            "least squares are asked for.",
        ),
        Mistake(
            "negative weights cut off",
            _turned(lambda found: found.clamp(min=0)),
            "Negative cells of the filter have become zero in yours. A filter may be negative.",
        ),
        Mistake(
            "rounded to quarters",
            _turned(lambda found: (4 * found).round() / 4),
            "You round to quarters. They fit the lecture's filter; the filter asked for here is any.",
        ),
        Mistake(
            "made symmetric",
            _turned(
                lambda found: torch.stack([found, found.flip(0), found.flip(1), found.flip(0, 1)]).mean(0)
            ),
            "You average the filter with its mirror images. Bilinear filters are symmetric; this one need "
            "not be.",
        ),
        Mistake(
            "bilinear whatever the data",
            _bilinear_anyway,
            "Yours is the bilinear filter, whatever `y` is. The filter is to be found from the maps.",
        ),
        Mistake(
            "a constant beside the filter",
            _with_constant,
            "You fit a constant as well as the filter, and it takes a part of `y`. An up-convolution alone "
            "is asked for.",
        ),
        Mistake(
            "border of y left out",
            lambda x, y, kernel, stride, padding: _weighted_fit(x, y, kernel, stride, padding, _inside(y)),
            "You leave out the border of `y`. Its cells are painted too, and tell of the filter: every cell"
            " counts.",
        ),
        Mistake(
            "absolute errors",
            _least_absolute,
            "Where the maps are noisy you are a little off: you make the sum of absolute errors small. "
            "Squared errors are asked for.",
        ),
        Mistake(
            "not at the end yet",
            _descent_unfinished,
            "You are on the way, but not there: steps that go downhill must come to an end. A linear system"
            " can be solved at once.",
        ),
    ),
)


# 8.5 -----------------------------------------------------------------------------------------------


def _scatter(values: Tensor, indices: Tensor, size: Sequence[int], kind: str = "right") -> Tensor:
    """Values back at their places, (C, H, W); any other kind is a mistake."""
    channels, (height, width) = len(values), size
    if kind == "shared":
        indices = indices[:1].expand_as(indices)
    if kind == "height":
        rows, columns = indices // height, indices % height
        indices = (rows.clamp(max=height - 1) * width + columns.clamp(max=width - 1)).expand_as(indices)
    if kind == "corner":
        down, across = height // values.shape[1], width // values.shape[2]
        rows = torch.arange(values.shape[1])[:, None] * down
        indices = (rows * width + torch.arange(values.shape[2]) * across).expand_as(indices)
    flat = values.new_zeros(channels, height * width)
    flat = flat.scatter(1, indices.flatten(1), values.flatten(1))
    return flat.reshape(channels, width, height).mT if kind == "columns" else flat.reshape(channels, *size)


def _brush(maps: Tensor, kernel: Tensor) -> Tensor:
    """Paint each value with the kernel's centre on it."""
    return F.conv_transpose2d(maps[:, None], kernel[None, None], padding=len(kernel) // 2)[:, 0]


def _dense(
    pooled: Tensor,
    indices: Tensor,
    size: Sequence[int],
    kernel: Tensor,
    *,
    kind: str = "right",
    divide: str = "weights",
) -> Tensor:
    """Unpool, paint, divide; every option is a mistake when set."""
    sparse = _scatter(pooled, indices, size, kind)
    known = _scatter(torch.ones_like(pooled), indices, size, kind)
    if divide == "nonzero":
        known = (sparse != 0).to(sparse)
    if divide == "positive":
        known = (sparse > 0).to(sparse)
    if divide == "all":
        known = torch.ones_like(sparse)
    painted = _brush(sparse, kernel)
    if divide == "nothing":
        return painted
    if divide == "kernel":
        return painted / kernel.sum()
    weight = _brush(known, torch.ones_like(kernel) if divide == "count" else kernel)
    if divide == "nan":
        return painted / weight
    if divide == "one more":
        return painted / (weight + 1)
    if divide == "largest":
        return painted / weight.max()
    if divide == "clamped":
        return painted / weight.clamp(min=1)
    result = torch.where(weight > 0, painted / torch.where(weight > 0, weight, 1), 0)
    return torch.where(known > 0, sparse, result) if divide == "kept" else result


def densify(pooled: Tensor, indices: Tensor, size: Sequence[int], kernel: Tensor) -> Tensor:
    """Unpool to ``(C, H, W)``, paint with the kernel, and divide by what as many ones would have painted."""
    return _dense(pooled, indices, size, kernel)


def _dense_with(**options: Any) -> Callable[..., Tensor]:
    return lambda pooled, indices, size, kernel: _dense(pooled, indices, size, kernel, **options)


def _turned_brush(pooled: Tensor, indices: Tensor, size: Sequence[int], kernel: Tensor) -> Tensor:
    return _dense(pooled, indices, size, kernel.flip(0, 1))


def _off_centre(pooled: Tensor, indices: Tensor, size: Sequence[int], kernel: Tensor) -> Tensor:
    """The upper left corner of the brush on the value."""
    paint, amount = (
        F.conv_transpose2d(_scatter(values, indices, size)[:, None], kernel[None, None])[:, 0]
        for values in (pooled, torch.ones_like(pooled))
    )
    dense = torch.where(amount > 0, paint / torch.where(amount > 0, amount, 1), 0)
    return dense[:, : size[0], : size[1]]


def _grown(pooled: Tensor, indices: Tensor, size: Sequence[int], kernel: Tensor) -> Tensor:
    """Nothing cut off around."""
    rim = len(kernel) // 2
    wide = [side + 2 * rim for side in size]
    moved = (indices // size[1] + rim) * wide[1] + indices % size[1] + rim
    return _dense(pooled, moved, wide, kernel)


def _dense_cases(generator: torch.Generator) -> list[Case]:
    tent = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    cross = torch.tensor([[0.0, 1, 0], [1, 2, 1], [0, 1, 0]])

    def case(before: Tensor, kernel: Tensor, note: str = "", window: tuple[int, int] = (2, 2)) -> Case:
        pooled, indices = F.max_pool2d(before, window, return_indices=True)
        return Case((pooled, indices, tuple(before.shape[1:]), kernel), note)

    few = torch.tensor([[[1.0, 0, 2, 5], [0, 3, 0, 1]]])
    zero = torch.tensor([[[-1.0, 0, -2, -3, -5, 6], [-4, -2, -1, -4, -2, -1]]])
    cases = [
        case(torch.tensor([[[0.0, 3.0], [1.0, 2.0]]]), torch.ones(1, 1), "one maximum, a brush of one cell"),
        case(few, torch.ones(1, 1), "two maxima, a brush of one cell: unpooling alone"),
        case(few, tent, "two maxima, the lecture's filter as a brush"),
        case(zero, tent, "a maximum that is zero, and a negative one"),
        case(torch.tensor([[[8.0, 0, 0, 0, 0, 4]]]), tent, "a gap that the brush does not reach", (1, 3)),
    ]
    cases += [
        case(
            few,
            torch.tensor([[0.0, 0.01, 0.0], [0.01, 1.0, 0.01], [0.0, 0.01, 0.0]]),
            "a brush that is faint",
        ),
        case(
            torch.tensor([[[1.0, 4, 2, 7, 3], [5, 0, 3, 1, 9], [2, 8, 1, 6, 4]]]),
            tent,
            "2 does not divide 3 and 5",
        ),
    ]
    for channels, height, width, kernel in (
        (1, 6, 8, tent),
        (2, 4, 6, cross),
        (3, 8, 4, tent),
        (2, 7, 9, None),
    ):
        before = torch.randn(channels, height, width, generator=generator)
        brush = torch.rand(5, 5, generator=generator) + 0.1 if kernel is None else kernel
        cases.append(case(before, brush))
    return cases


def _dense_inputs() -> tuple[Any, ...]:
    return (
        torch.tensor([[[3.0, 5.0]]]),
        torch.tensor([[[5, 3]]]),
        (2, 4),
        torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4,
    )


DENSIFY = Exercise(
    "8.5",
    "Unpool and make dense",
    densify,
    _dense_cases,
    tolerance=1e-4,
    properties=(reaches_gradient(0, _dense_inputs, "pooled"),),
    axes=("channel", "row", "column"),
    plan=(
        "Unpool first. Make an empty flat map for each channel, put the values where the indices say, then "
        "give it its height and width.",
        "Paint: an up-convolution with stride 1. How many rows must it cut off at each border, so that the "
        "centre of the brush lies on the value?",
        "Do both once more, with ones in place of the values: that is how much paint each cell has got.",
        "Divide. Where no paint is, leave 0, and do not let a 0 / 0 arise on the way: its gradient would be "
        "NaN.",
    ),
    mistakes=(
        Mistake(
            "not divided",
            _dense_with(divide="nothing"),
            "The paint is on, but a cell under three strokes is brighter than one under one. By how much "
            "paint must each cell be divided?",
        ),
        Mistake(
            "divided by the filter's sum",
            _dense_with(divide="kernel"),
            "You divide every cell by the same number. A cell that one stroke reached and one that four "
            "reached hold different amounts of paint.",
        ),
        Mistake(
            "divided by the number of strokes",
            _dense_with(divide="count"),
            "You divide by how many strokes reached a cell. The rim of a stroke is thinner than its middle: "
            "what would ones have painted there?",
        ),
        Mistake(
            "small weights raised to 1",
            _dense_with(divide="clamped"),
            "Where little paint has arrived you divide by 1 instead of by that little. Take care only where "
            "it is zero.",
        ),
        Mistake(
            "NaN where nothing was painted",
            _dense_with(divide="nan"),
            "A cell that no stroke reached is 0 / 0. It should stay 0.",
        ),
        Mistake(
            "zeros counted as unknown",
            _dense_with(divide="nonzero"),
            "A maximum may be 0, and is still known. What tells known cells from unknown ones is their "
            "place, not their value.",
        ),
        Mistake(
            "known cells kept",
            _dense_with(divide="kept"),
            "You put the maxima back on top at the end. Asked for is the weighted mean of the strokes in "
            "every cell, also in those.",
        ),
        Mistake(
            "indices as columns first",
            _dense_with(kind="columns"),
            "An index counts along the rows: in a map 4 wide, index 5 is row 1, column 1. Where the map is "
            "not square, yours lands elsewhere.",
        ),
        Mistake(
            "places of the first channel",
            _dense_with(kind="shared"),
            "With one channel you are right. Each channel has its own maxima at its own places.",
        ),
        Mistake(
            "corner of the window",
            _dense_with(kind="corner"),
            "You put each maximum into the upper left cell of its window. Where it was is what the indices "
            "are for.",
        ),
        Mistake(
            "filter turned",
            _turned_brush,
            "For filters that look the same from both sides you are right. Painting puts the filter down as "
            "it is; a convolution turns it around.",
        ),
        Mistake(
            "rows counted by the height",
            _dense_with(kind="height"),
            "In square maps you are right. An index counts along the rows: how many cells has a row, the "
            "height or the width of the map?",
        ),
        Mistake(
            "only unpooled",
            lambda pooled, indices, size, kernel: _scatter(pooled, indices, size),
            "The maxima are back in their places. The brush has not been used yet: each of them spreads over "
            "its neighbours.",
        ),
        Mistake(
            "negative ones counted as unknown",
            _dense_with(divide="positive"),
            "A maximum may be negative, or 0, and is still known. What tells known cells from unknown ones "
            "is their place.",
        ),
        Mistake(
            "divided as if all were known",
            _dense_with(divide="all"),
            "You divide by what ones in all cells would have painted. The ones stand only where a value "
            "stood.",
        ),
        Mistake(
            "one added to the paint",
            _dense_with(divide="one more"),
            "You add 1 to the paint before you divide, so all values come out too small. Only where there is "
            "none at all does the division need care.",
        ),
        Mistake(
            "divided by the most paint",
            _dense_with(divide="largest"),
            "You divide every cell by the same number, the most paint of any. Each cell has its own amount.",
        ),
        Mistake(
            "corner of the brush on the value",
            _off_centre,
            "Everything lies too far to the right and below: you put the brush down with its upper left "
            "corner. Its centre belongs on the value.",
        ),
        Mistake(
            "a rim of half a brush around",
            _grown,
            "Your result is larger than the map. Paint that runs over its edge is lost: how much is that on "
            "each side?",
        ),
    ),
)

EXERCISES = (PAINT, SLIDE, OVERLAPS, FIND, DENSIFY)
