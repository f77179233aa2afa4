r"""What the units of a map look at: windows along an axis, and the rule for each operation of torch.

Along y and along x, a unit of the map that comes out of an operation looks at units of the map that came in:

========== =====================================================================================
`Window`   the taps of a convolution or a pooling, of a transposed one, of padding and cropping;
           ``Window()``, one tap, is what looks at one place only
`Resize`   the taps of an interpolation, or of adaptive pooling
`Whole`    the whole image: global pooling, attention, statistics over the map
`Unknown`  not known, with the reason
========== =====================================================================================

>>> Window(kernel=3, stride=2, padding=1).taps()  # unit u takes the units -1 + 2u, 2u, 1 + 2u
(2, [[-1, 0, 1]])

A `Layer` says the same for both axes. `segcore.tracing` runs a network, writes down its `Operation` objects
and asks :func:`sights` for the windows of each. There is one rule for each family of operations; the table
of names at the end says which rule an operation has. Rows and columns need not be the last two axes: what
moves axes about is run once more on each cell's row and column number, which say what went where.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segcore import inputs

__all__ = ["Layer", "Map", "Operation", "Resize", "Unknown", "Whole", "Window", "sights"]

Pair = int | tuple[int, int]
Grid = tuple[int, int] | None
Taps = tuple[int, list[list[int]]]  # unit q * m + r, with m lists of taps, takes the units taps[r] + q * step


@dataclass(frozen=True)
class Layer:
    """A layer as its window: a convolution, a pooling, or (transposed) an up-sampling.

    Args:
        kernel: Window size, a number or (y, x).
        stride: Step between neighbouring windows; of the result's units, if transposed.
        padding: Zeros put before the first pixel; removed from the result, if transposed.
        dilation: Step between neighbouring taps of the window.
        transposed: Whether the layer is a transposed convolution.

    Raises:
        ValueError: Kernel, stride or dilation below 1, negative padding, or not one number or two.
        TypeError: Not whole numbers.

    Example:
        >>> Layer(3, dilation=2), Layer((1, 7), padding=(0, 3))  # doctest: +NORMALIZE_WHITESPACE
        (Layer(kernel=3, stride=1, padding=0, dilation=2, transposed=False),
         Layer(kernel=(1, 7), stride=1, padding=(0, 3), dilation=1, transposed=False))
    """

    kernel: Pair
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    transposed: bool = False

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("dilation", 1), ("padding", 0)):
            inputs.pair(getattr(self, name), name, least)

    @property
    def windows(self) -> tuple[Window, Window]:
        """Its windows along y and x."""
        numbers = zip(*map(both, (self.kernel, self.stride, self.padding, self.dilation)), strict=True)
        y, x = (Window(k, s, p, d, self.transposed) for k, s, p, d in numbers)
        return y, x


class Window(NamedTuple):
    """Unit u takes the units -padding + u * stride + 0, dilation, ..., (kernel - 1) * dilation.

    Transposed, unit i of the input is painted into the units -padding + i * stride + 0, dilation, ... of the
    result. A crop has a negative padding. All along one axis.
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False

    def taps(self) -> Taps:
        """The step from unit to unit and the taps, of each phase if transposed."""
        places = [tap * self.dilation - self.padding for tap in range(self.kernel)]
        if not self.transposed:
            return self.stride, [places]
        taps = []
        for phase in range(self.stride):
            # Painted by unit 0 if that is 0, by unit 1 if it is one stride.
            painted = [phase - place for place in places]
            taps.append([place // self.stride for place in painted if place % self.stride == 0])
        return 1, taps


class Resize(NamedTuple):
    """Unit u takes the units around u * ratio, along one axis.

    Attributes:
        ratio: Input size over output size.
        mode: As of ``F.interpolate``; ``"area"`` is adaptive pooling too.
        align_corners: As of ``F.interpolate``.
    """

    ratio: Fraction
    mode: str
    align_corners: bool = False

    def taps(self) -> Taps:
        """The step from one round of units to the next, and the taps of each unit of a round."""
        return self.ratio.numerator, [self._around(unit) for unit in range(self.ratio.denominator)]

    def _around(self, unit: int) -> list[int]:
        half = Fraction(1, 2)
        if self.mode == "area":
            return list(range(math.floor(unit * self.ratio), math.ceil((unit + 1) * self.ratio)))
        if self.mode.startswith("nearest"):
            return [math.floor((unit + (half if self.mode == "nearest-exact" else 0)) * self.ratio)]
        low = high = (unit + half) * self.ratio - half
        if self.align_corners:  # places drift by up to a unit from one border to the other: all of them
            low, high = sorted((unit * self.ratio, unit * self.ratio + self.ratio - 1))
        if low == high and low.denominator == 1:
            return [int(low)]
        more = 1 if self.mode == "bicubic" else 0
        return list(range(math.floor(low) - more, math.ceil(high) + more + 1))


class Whole(NamedTuple):
    """Each unit sees the whole image along one axis.

    Attributes:
        reason: Why.
        stride: Units of the input from one unit to the next; None where there is no next one.
    """

    reason: str
    stride: Fraction | None = None


class Unknown(NamedTuple):
    """How far a unit sees is not known, for this reason."""

    reason: str


Seen = Window | Resize | Whole | Unknown
Sight = tuple[Seen, Seen, Grid]  # what units see along y and x; where the map's rows and columns are


@dataclass(frozen=True, eq=False)
class Map:
    """A map on its way through a network: the image, or what an operation gave.

    Attributes:
        shape: Its shape, for one image of the traced size.
        grid: Which axes are rows and columns, counted from the end; None where they are gone.
        windows: How its units look at the maps that the operation read, along y and x.
        whole: Whether something before saw the whole image, or is not known, along y and x.
    """

    shape: tuple[int, ...]
    grid: Grid = (-2, -1)
    windows: tuple[Seen, Seen] = (Window(), Window())
    whole: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation that gave a map, or several.

    Attributes:
        name: As ``create_feature_extractor`` of torchvision gives it: ``"layer1.0.add"``.
        kind: The class of the module or the name of the function: ``"Conv2d"``, ``"add"``.
        module: The network's own module, or None for a function.
        function: What was called, or None for a module.
        args: Its arguments by place, each map as its `Map`.
        kwargs: Its arguments by name, likewise.
        inputs: All maps among the arguments.
        outputs: The maps that came out.
        packed: Whether they came out in a tuple or the like.
        sized: Whether the size of the image is the caller's, and not one among many.
    """

    name: str
    kind: str
    module: nn.Module | None
    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Map, ...]
    outputs: tuple[Map, ...] = ()
    packed: bool = False
    sized: bool = False

    @property
    def output(self) -> Map:
        """The first map that came out."""
        return self.outputs[0]

    @property
    def lost(self) -> bool:
        """Whether all maps that come in see the whole image, or are not known, along both axes."""
        return all(all(each.whole) for each in self.inputs)

    @property
    def grid(self) -> Grid:
        """The rows and columns that all maps which come in share."""
        grids = {each.grid for each in self.inputs} - {None}
        whole = all(any(each.whole[axis] for each in self.inputs) for axis in (0, 1))
        if len(grids) > 1 and not whole:
            raise Unfollowed("maps meet whose rows and columns are different axes; permute one of them first")
        return next((each.grid for each in self.inputs if each.grid), None)

    @property
    def image(self) -> Grid:
        """The same, for operations that take the last two axes for rows and columns."""
        if self.grid != (-2, -1) and not self.lost:
            raise Unfollowed("its rows and columns are not the last two axes; permute them there first")
        return -2, -1

    def argument(self, place: int | None, name: str, default: Any = None) -> Any:
        """An argument of the function by place or by name, or the attribute of the module."""
        if self.module is not None:
            return getattr(self.module, name, default)
        given = place is not None and place < len(self.args)
        return self.kwargs.get(name, self.args[place] if given else default)  # type: ignore[index]

    def run(self, change: Callable[[Map], Any]) -> Any:
        """The operation itself, on other values in place of its maps."""
        args, kwargs = replaced((self.args, self.kwargs), Map, change)
        function = self.function if self.module is None else self.module.forward
        return function(*args, **kwargs)  # type: ignore[misc]


class Unfollowed(Exception):
    """Why what an operation sees is not known."""


def sights(operation: Operation, leaf: Layer | None = None) -> list[Sight]:
    """What the units of each output see, and where its rows and columns are.

    Args:
        operation: Its outputs need no more than their shapes.
        leaf: The window to take for it.

    Raises:
        Unfollowed: It is not known how far the operation sees.
    """
    if leaf is not None:
        found: Sight | list[Sight] = (*leaf.windows, operation.image)
    elif operation.lost and (operation.kind not in RULES or not any(each.grid for each in operation.inputs)):
        whole = Whole(_WHOLE, Fraction(1))
        found = whole, whole, None
    elif is_known(operation.kind):
        found = RULES.get(operation.kind, _attended)(operation)
    else:
        raise Unfollowed(how_far(operation.kind))
    return found if isinstance(found, list) else [found] * len(operation.outputs)


def is_known(kind: str) -> bool:
    """Whether there is a rule for an operation."""
    return kind in RULES or "attention" in kind.lower() or "transformer" in kind.lower()


def how_far(kind: str) -> str:
    """The question where there is none."""
    return (
        f"how far does {kind} see? Name the submodule that holds it, and its window, in leaves: "
        'leaves={"block.gate": Layer(1)}; or pass the part that makes the maps, such as network.backbone'
    )


# --- What comes in: numbers that follow the size of the image, nested arguments, pairs ---


class Side(int):
    """A whole number that was computed from the size of a map."""


class Factor(float):
    """Another number that was."""


def marked(value: Any) -> Any:
    """A number, or several, as computed from the size of a map."""
    if isinstance(value, torch.Size):
        return torch.Size([Side(each) for each in value])
    kind = {int: Side, float: Factor}.get(type(value))
    return value if kind is None else kind(value)


def _marking(name: str) -> Callable[[Any, Any], Any]:
    def computed(number: Any, other: Any) -> Any:
        kind = int if isinstance(number, int) and isinstance(other, int) else float
        result = getattr(kind, name)(kind(number), other)
        # How many times one map is as large as another does not follow the size of the image.
        return result if "truediv" in name and isinstance(other, Side | Factor) else marked(result)

    return computed


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "mod", "truediv", "rtruediv"):
    for _kind in (Side, Factor):
        setattr(_kind, f"__{_name}__", _marking(f"__{_name}__"))


def among(values: Any, kind: Any) -> list[Any]:
    """All of a kind in nested arguments."""
    if isinstance(values, kind):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    nested = isinstance(values, tuple | list)
    return [each for value in values for each in among(value, kind)] if nested else []


def replaced(values: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Nested arguments with all of a kind replaced."""
    if isinstance(values, kind):
        return change(values)
    if isinstance(values, Mapping):
        return {key: replaced(value, kind, change) for key, value in values.items()}
    if isinstance(values, tuple | list) and among(values, kind):
        changed = [replaced(value, kind, change) for value in values]
        return getattr(values, "_make", type(values))(changed)
    return values


def both(value: Any) -> tuple[Any, Any]:
    """A number for both axes, or (y, x)."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value,)
    return pair[0], pair[-1]


# --- One rule for each family of operations ---

_WHOLE = "sees the whole image"
_ENDED = "ends the grid of rows and columns"
_FOLLOWS = "has windows that follow the size of the image (give input_shape for those of one size)"
PART = "it writes into a part of a map; join the parts with torch.cat instead"
_PLACES: dict[str, tuple[int | None, ...]] = {  # of kernel or weight, stride, padding and dilation
    "conv2d": (1, 3, 4, 5),
    "conv_transpose2d": (1, 3, 4, 7),
    "max_pool2d": (1, 2, 3, 4),
    "max_pool2d_with_indices": (1, 2, 3, 4),
    "avg_pool2d": (1, 2, 3, None),
    "lp_pool2d": (2, 3, None, None),
    "max_unpool2d": (2, 3, 4, None),
}


def _windowed(call: Operation) -> Sight:
    """Convolutions and poolings. Groups do not matter: they say which channels a window reads, not where."""
    at, name, grid = _PLACES.get(call.kind, (None,) * 4), call.kind.lower(), call.image
    convolves = name.startswith("conv")
    kernel = call.argument(at[0], "weight").shape[-2:] if convolves else call.argument(at[0], "kernel_size")
    if among(kernel, Side):  # such as avg_pool2d(x, x.shape[2:])
        return Whole(_WHOLE), Whole(_WHOLE), grid
    stride = call.argument(at[1], "stride") or (1 if convolves else kernel)
    padding, dilation = call.argument(at[2], "padding", 0), call.argument(at[3], "dilation", 1)
    if isinstance(padding, str):
        spans = [d * (k - 1) for k, d in zip(kernel, both(dilation), strict=True)]
        padding = [span // 2 for span in spans] if padding == "same" else 0
    transposed = "transpose" in name or "unpool" in name
    kernel, stride, padding, dilation = map(both, (kernel, stride, padding, dilation))
    return *Layer(kernel, stride, padding, dilation, transposed).windows, grid


def _adaptive(call: Operation) -> Sight:
    """Adaptive pooling: global where it leaves one unit."""
    y, x = (
        Whole(_WHOLE) if call.output.shape[axis] == 1 else _resized(call, axis, not call.sized, "area")
        for axis in (-2, -1)
    )
    return y, x, call.image


def _interpolated(call: Operation) -> Sight:
    """Interpolation by a factor, to the size of another map, or to a size of its own."""
    grid = call.image
    how = call.argument(3, "mode", "nearest"), bool(call.argument(4, "align_corners"))
    if call.argument(6, "antialias", False):
        raise Unfollowed("an interpolation against aliasing has no fixed window; set antialias=False")
    sizes, factors = both(call.argument(1, "size")), both(call.argument(2, "scale_factor"))
    seen: list[Seen] = []
    for axis, size, factor in zip((-2, -1), sizes, factors, strict=True):
        follows = isinstance(factor, Side | Factor) or (factor is None and not isinstance(size, Side))
        if factor is not None and (call.sized or not follows):
            seen.append(Resize(1 / Fraction(factor).limit_denominator(1000), *how))
        else:
            seen.append(_resized(call, axis, follows and not call.sized, *how))
    return seen[0], seen[1], grid


def _resized(call: Operation, axis: int, follows: bool, mode: str, align_corners: bool = False) -> Seen:
    """From the size before to the size after; where these follow the image's, so do the windows."""
    ratio = Fraction(call.inputs[0].shape[axis], call.output.shape[axis])
    return Whole(_FOLLOWS, ratio) if follows else Resize(ratio, mode, align_corners)


def _shuffled(call: Operation) -> Sight:
    """Depth to space and back."""
    down = "un" in call.kind.lower()
    factor = call.argument(1, "downscale_factor" if down else "upscale_factor")
    window = Window(factor, factor, transposed=not down)
    return window, window, call.image


def _padded(call: Operation) -> Sight:
    """Padding before and after: the units move along."""
    grid, pads = call.grid, call.argument(1, "padding" if call.module else "pad")
    y, x = (
        Window(padding=pads[2 * (-axis - 1)] if 2 * -axis <= len(pads) else 0) for axis in grid or (-2, -1)
    )
    return y, x, grid


def _pointwise(call: Operation) -> Sight:
    """What looks at one place only."""
    return Window(), Window(), call.grid


def _moved(call: Operation) -> list[Sight]:
    """What moves numbers about: run on each cell's row and column number, it says what went where."""
    return _located(call.grid, call.inputs[0].shape, call.run, _ENDED)


def _written(call: Operation) -> Sight:
    """A write into a part: of the channels, or under a mask."""
    target, index, value = call.args
    if isinstance(target, Map) and isinstance(index, Map) and not isinstance(value, Map):
        if len(index.shape) == len(target.shape):
            return _pointwise(call)
    elif isinstance(target, Map) and not among(index, Tensor | Map):
        (y, x, grid), *_ = _located(target.grid, target.shape, lambda number: number(target)[index], PART)
        part = torch.empty(target.shape, device="meta")[index].shape
        sizes = grid and [part[axis] for axis in grid]
        whole = target.grid and [target.shape[axis] for axis in target.grid]
        fits = not isinstance(value, Map) or value.grid == grid
        if fits and sizes and (y, x, sizes) == (Window(), Window(), whole):
            return Window(), Window(), target.grid
    raise Unfollowed(PART)


def _reduced(call: Operation) -> Sight:
    """A mean, a sum, a maximum: along some axes, or of two maps."""
    if len(call.inputs) > 1:
        return _pointwise(call)
    (before,), place = call.inputs, 2 if call.kind == "norm" else 1
    dim, keep = call.argument(place, "dim"), call.argument(place + 1, "keepdim", False)
    dims = tuple(range(len(before.shape))) if dim is None or isinstance(dim, bool) else dim
    return _located(
        before.grid, before.shape, lambda number: number(before).amax(dims, keepdim=keep), _WHOLE
    )[0]


def _mixed(call: Operation) -> Sight:
    """What mixes one or more axes, and is pointwise along the others."""
    grid, shape = call.grid, call.argument(1, "normalized_shape")
    name, rank = call.kind.lower(), len(call.inputs[0].shape)
    if "norm" in name and "layer" in name:
        mixed = range(-len(shape), 0)
    elif name == "linear":
        mixed = range(-1, 0)
    else:
        dim = call.argument(2 if name == "normalize" else 1, "dim")
        dim = 1 if dim is None else dim
        mixed = range((dim % rank) - rank, (dim % rank) - rank + 1)
    y, x = (Whole(_WHOLE, Fraction(1)) if axis in mixed else Window() for axis in grid or (0, 0))
    return y, x, grid


def _normalised(call: Operation) -> Sight:
    """Statistics over the whole map, unless they are kept ones."""
    if getattr(call.module, "track_running_stats", False):
        return _pointwise(call)
    seen = Whole("takes its statistics over the whole image", Fraction(1))
    return seen, seen, call.grid


def _multiplied(call: Operation) -> Sight:
    """Matrix products: with weights along the channels they are 1×1 convolutions."""
    grid, contracted = call.inputs[0].grid, -1 if isinstance(call.args[0], Map) else -2
    if len(call.inputs) > 1 or call.kind == "einsum" or contracted in (grid or ()):
        return _attended(call)
    return Window(), Window(), grid


def _attended(call: Operation) -> Sight:
    """Attention: any place may look at any other."""
    seen = Whole("attends to the whole image")
    return seen, seen, None


# --- Where rows and columns went ---


def _located(
    grid: Grid, size: Sequence[int], move: Callable[[Callable[[Map], Tensor]], Any], reason: str
) -> list[Sight]:
    """Where rows and columns are after a move, for each of its results.

    Args:
        grid: Where they were.
        size: Of the map before.
        move: The move, given what to put in a map's place.
        reason: Why units see the whole image where rows and columns are gone.
    """
    rows, columns = (move(partial(_numbered, axis=axis)) for axis in (0, 1))
    if isinstance(rows, Tensor):
        rows, columns = (rows,), (columns,)
    after: list[Sight] = []
    for pair in zip(rows, columns, strict=True):
        y, x = (_line(numbers, axis, grid, size) for axis, numbers in enumerate(pair))
        if y is None or x is None:
            after.append((Whole(reason), Whole(reason), None))
        else:
            after.append((y[1], x[1], (y[0], x[0])))
    return after


def _numbered(before: Map, axis: int) -> Tensor:
    """A map that holds the number of each cell's row (axis 0) or column (axis 1)."""
    if before.grid is None:
        return torch.zeros((), dtype=torch.int32, device="cpu").expand(before.shape)
    place = before.grid[axis]
    line = torch.arange(before.shape[place], dtype=torch.int32, device="cpu")  # numbers, not shapes
    return line.reshape(-1, *[1] * (-place - 1)).expand(before.shape)


def _line(numbers: Tensor, axis: int, grid: Grid, size: Sequence[int]) -> tuple[int, Window] | None:
    """The one axis along which the numbers go up evenly, and what part of them is there."""
    moving = [d - numbers.dim() for d in range(numbers.dim()) if (numbers.diff(dim=d) != 0).any()]
    if grid and not moving and size[grid[axis]] == 1:
        return (grid[axis], Window()) if numbers.dim() == len(size) else None
    if len(moving) != 1:
        return None
    line = numbers.movedim(moving[0], 0).flatten(1)[:, 0].tolist()
    step = line[1] - line[0]
    even = step > 0 and all(b - a == step for a, b in itertools.pairwise(line))
    return (moving[0], Window(1, step, -line[0])) if even else None


# --- Which operation has which rule ---

_NAMES: dict[Callable[[Operation], Any], str] = {
    _windowed: """Conv2d MaxPool2d AvgPool2d LPPool2d ConvTranspose2d MaxUnpool2d conv2d max_pool2d lp_pool2d
        max_pool2d_with_indices avg_pool2d conv_transpose2d max_unpool2d""",
    _adaptive: """AdaptiveAvgPool2d AdaptiveMaxPool2d adaptive_avg_pool2d adaptive_max_pool2d
        adaptive_max_pool2d_with_indices""",
    _shuffled: "PixelShuffle PixelUnshuffle pixel_shuffle pixel_unshuffle",
    _interpolated: "Upsample interpolate upsample",
    _padded: "pad ZeroPad2d ConstantPad2d ReflectionPad2d ReplicationPad2d CircularPad2d",
    _pointwise: """add sub mul div truediv true_divide floordiv floor_divide mod remainder fmod pow rsub neg
        abs absolute sign sqrt rsqrt square exp expm1 log log1p log2 sin cos tan tanh sigmoid logit erf
        reciprocal clamp clip clamp_min clamp_max maximum minimum round floor ceil trunc frac where lerp
        addcmul addcdiv new_zeros new_ones new_full gt ge lt le eq ne logical_and logical_or logical_not and
        or xor invert pos isnan isfinite nan_to_num masked_fill zeros_like ones_like full_like iadd isub
        imul itruediv copy zero fill relu relu6 elu celu selu leaky_relu rrelu prelu gelu silu mish softplus
        softshrink softsign tanhshrink hardshrink hardtanh hardsigmoid hardswish logsigmoid threshold dropout
        dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout stochastic_depth drop_block2d
        batch_norm local_response_norm to float double half bfloat16 type type_as contiguous clone detach
        Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout LocalResponseNorm
        CrossMapLRN2d Softmax2d ReLU ReLU6 RReLU ELU CELU SELU LeakyReLU PReLU GELU SiLU Mish Softplus
        Softshrink Softsign Tanh Tanhshrink Sigmoid Hardshrink Hardtanh Hardsigmoid Hardswish LogSigmoid
        Threshold""",
    _moved: """reshape view flatten unflatten permute transpose movedim moveaxis swapaxes swapdims t unsqueeze
        squeeze expand expand_as repeat getitem select narrow chunk split tensor_split unbind cat
        concat concatenate stack roll flip channel_shuffle native_channel_shuffle reshape_as
        view_as mT T Flatten Unflatten ChannelShuffle""",
    _written: "setitem",
    _reduced: "mean sum amax amin max min std var norm prod logsumexp argmax argmin any all",
    _mixed: """softmax log_softmax softmin normalize cumsum Softmax LogSoftmax Softmin linear Linear
        layer_norm LayerNorm""",
    _normalised: "BatchNorm2d SyncBatchNorm group_norm GroupNorm instance_norm InstanceNorm2d",
    _multiplied: "matmul bmm einsum",
}
RULES = {name: rule for rule, names in _NAMES.items() for name in names.split()}
