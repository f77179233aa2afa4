r"""The receptive field: which pixels a unit sees, for a list of layers and for any network.

Along one axis, unit *u* of a map sees the pixels

.. math:: -P + uS \;\dots\; -P + uS + R - 1,

with the field's size *R*, its stride *S* (how far the field moves from a unit to its neighbour) and its
padding *P* (how far unit 0's field begins left of the image). A layer with kernel *k*, stride *s*, padding
*p* and dilation *d* makes

.. math:: R' = R + d(k - 1)S, \qquad S' = sS, \qquad P' = P + pS

of them (Araujo et al. 2019). Where paths meet, the field is the hull of theirs. A transposed convolution
moves by a fraction of a pixel and its units take turns in what they see, so the code keeps the fields of one
round of units (*phases*) and composes those; the three numbers are the tightest that hold for all of them.

:func:`receptive_field` runs a module once, in eval mode, on a map without numbers that takes down what its
units see at each step. What a unit *can* see is half the truth: :func:`effective_receptive_field` measures
how much each pixel counts (Luo et al. 2016). Left out: one- and three-dimensional networks, and what the
border cuts off (the field is that of a unit far inside).
"""

from __future__ import annotations

import inspect
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

__all__ = [
    "Layer",
    "ReceptiveField",
    "ReceptiveFields",
    "effective_receptive_field",
    "input_region",
    "receptive_field",
]

Pair = int | tuple[int, int]
Number = int | float
INF = math.inf
# The size of the image that a module is traced with where none is given: at strides up to 32, no remainder.
TRACED_SIZE = 224


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
            for value in _pair(name, getattr(self, name)):
                if value < least:
                    cure = "a layer without padding has 0" if name == "padding" else "a layer without has 1"
                    raise ValueError(f"expected {name} of at least {least}, got {value}; {cure}")


class ReceptiveField(NamedTuple):
    """What the units of a map see; a number where both axes agree, else (y, x).

    Unit u sees the pixels from -padding + u * stride to -padding + u * stride + size - 1. After an
    up-sampling the stride is a fraction, and so may be the ends: the pixels between them count.

    Attributes:
        size: Pixels along the axis; infinite where a unit sees the whole image, whatever its size.
        stride: Pixels between the fields of neighbouring units; infinite where there are no neighbours.
        padding: How far unit 0's field begins before pixel 0; infinite with the size.
    """

    size: Number | tuple[Number, Number]
    stride: Number | tuple[Number, Number]
    padding: Number | tuple[Number, Number]

    @property
    def bounded(self) -> bool:
        """Whether the field has a size along both axes."""
        return INF not in _both(self.size)


class ReceptiveFields(list[ReceptiveField]):
    """The receptive field after each layer, in order; the last one is the network's.

    A list, and its entries have names: ``fields[-1]``, ``fields["layer1.0.add"]``, ``fields.names``. Printed,
    it is a table.

    Attributes:
        names: A name for each entry; for modules those of ``create_feature_extractor`` in torchvision.
        unbounded: The layers that made a bounded field infinite, with the reason, in order.
    """

    def __init__(self, fields: Iterable[ReceptiveField] = ()) -> None:
        super().__init__(fields)
        self.names: list[str] = [str(index) for index in range(len(self))]
        self.unbounded: dict[str, str] = {}

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self.names:
            raise KeyError(f"no layer named {key!r}; .names lists the {len(self)} there are")
        return super().__getitem__(self.names.index(key))

    def items(self) -> Iterator[tuple[str, ReceptiveField]]:
        """Names and fields, in order."""
        return zip(self.names, self, strict=True)

    @property
    def last_bounded(self) -> tuple[str, ReceptiveField] | None:
        """Name and field of the last layer before the first infinite one."""
        last = None
        for name, found in self.items():
            if not found.bounded:
                break
            last = name, found
        return last

    def __repr__(self) -> str:
        width = max((len(name) for name in self.names), default=5)
        rows = [f"{'layer':<{width}}  {'size':>12}  {'stride':>12}  {'padding':>12}"]
        for name, found in self.items():
            rows.append(f"{name:<{width}}  " + "  ".join(f"{_text(value):>12}" for value in found))
        return "\n".join(rows + [f"{name}: {reason}" for name, reason in self.unbounded.items()])


def receptive_field(
    network: nn.Module | Layer | Sequence[Layer] | Mapping[str, Layer],
    input_shape: Sequence[int] | None = None,
    leaves: Mapping[str | type[nn.Module], Layer] | None = None,
) -> ReceptiveFields:
    """Compute the receptive field after each layer; the last one is the network's.

    A module is run once in eval mode, on the meta device, so that nothing is computed but shapes; every
    operation of torch on a map is followed, in all branches. The field is infinite from the first layer that
    sees the whole image (global pooling, attention, squeeze-and-excitation, group normalisation, flattening),
    which ``.unbounded`` names with the reason; ``.last_bounded`` is what comes before it.

    Args:
        network: Layers in order, or named in a dict, or any module on images.
        input_shape: Shape ``(C, H, W)`` or ``(N, C, H, W)`` that a module is traced with; C of its first
            convolution and 224 × 224 if None. Adaptive pooling has a bounded field only if it is given.
        leaves: Submodules, by name or by class, that are not looked into, and the window to take for them.
            The way out where a module cannot be followed.

    Returns:
        A list of `ReceptiveField`, with names.

    Raises:
        ValueError: A branch that depends on numbers in a map, an operation whose window is unknown, or paths
            of different strides that meet: the message names the place. No layers.
        TypeError: Neither layers nor a module.

    Example:
        Two 3×3 convolutions and a pooling; then a residual block, where the longer path decides:

        >>> fields = receptive_field([Layer(3, padding=1), Layer(3, padding=1), Layer(2, stride=2)])
        >>> fields[-1]
        ReceptiveField(size=6, stride=2, padding=2)
        >>> class Block(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.conv = nn.Conv2d(8, 8, 3, padding=1)
        ...     def forward(self, x):
        ...         return x + self.conv(x).relu()
        >>> receptive_field(nn.Sequential(Block(), Block()))
        layer           size        stride       padding
        0.conv             3             1             1
        0.relu             3             1             1
        0.add              3             1             1
        1.conv             5             1             2
        1.relu             5             1             2
        1.add              5             1             2
    """
    if isinstance(network, nn.Module):
        return _of_module(network, input_shape, leaves or {})
    layers = {"0": network} if isinstance(network, Layer) else network
    if not isinstance(layers, Mapping):
        if not isinstance(layers, Sequence) or isinstance(layers, str):
            got = type(network).__name__
            raise TypeError(f"expected layers or a module, got {got}; write [Layer(3), Layer(2, stride=2)]")
        layers = {str(index): layer for index, layer in enumerate(layers)}
    if not layers:
        raise ValueError("expected at least one layer, got none; the image itself is [Layer(1)]")
    fields, axes = ReceptiveFields(), (_PIXELS, _PIXELS)
    for layer in layers.values():
        if not isinstance(layer, Layer):
            raise TypeError(f"expected each layer as a Layer, got {layer!r}; a 3×3 convolution is Layer(3)")
        axes = cast(tuple[_Axis, _Axis], tuple(map(_compose, axes, _windows(layer))))
        fields.append(_published(*axes))
    fields.names = list(layers)
    return fields


def input_region(
    field: ReceptiveField, output_region: Sequence[int]
) -> tuple[Number, Number, Number, Number]:
    """Find the pixels that a box of units sees.

    Args:
        field: The receptive field of the map.
        output_region: Box of units as x1, y1, x2, y2 on the map: columns x1 to x2 - 1, rows y1 to y2 - 1.

    Returns:
        Box of pixels as x1, y1, x2, y2. Not clipped: what lies outside the image is padding.

    Raises:
        ValueError: Not four numbers, or a box without a unit.
        TypeError: Not whole numbers, or not a `ReceptiveField`.

    Example:
        Unit (0, 0) of VGG-16's last pooling; a quarter of its field lies in the image:

        >>> input_region(ReceptiveField(212, 32, 90), (0, 0, 1, 1))
        (-90, -90, 122, 122)
    """
    if not isinstance(field, ReceptiveField):
        raise TypeError(
            f"expected a ReceptiveField, got {type(field).__name__}; receptive_field(...)[-1] is one"
        )
    if len(output_region) != 4:
        raise ValueError(
            f"expected output_region as x1, y1, x2, y2, got {output_region!r}; unit (0, 0) is (0, 0, 1, 1)"
        )
    x1, y1, x2, y2 = (_integer("output_region", value) for value in output_region)
    if x1 >= x2 or y1 >= y2:
        raise ValueError(
            f"expected x1 < x2 and y1 < y2, got {(x1, y1, x2, y2)}; a single unit at column x and row y is "
            "(x, y, x + 1, y + 1)"
        )
    (size_y, size_x), (stride_y, stride_x), (padding_y, padding_x) = map(_both, field)
    left, right = _seen(size_x, stride_x, padding_x, x1, x2 - 1)
    top, bottom = _seen(size_y, stride_y, padding_y, y1, y2 - 1)
    return left, top, right, bottom


def effective_receptive_field(
    module: nn.Module,
    input_shape: Sequence[int],
    unit: tuple[int, int] | None = None,
    samples: int = 4,
    seed: int = 0,
) -> Tensor:
    """Measure how much each pixel counts for one unit, by its gradient.

    The mean of abs(d unit / d pixel) over random images (normal noise), over the image's channels and over
    random mixtures of the unit's channels, in eval mode; it sums to 1. Luo et al. (2016) start from a
    gradient of 1 and draw the weights anew for each sample; here the network keeps its weights.

    Args:
        module: A network from images to maps ``(N, C', h, w)``. The first output of a tuple or dict counts.
        input_shape: The image as ``(C, H, W)``, or ``(N, C, H, W)`` for N samples.
        unit: Row and column of the unit; the one in the middle if None.
        samples: Random images.
        seed: Of images and mixtures.

    Returns:
        Weights ``(H, W)``, float32 or float64 as the module's, on its device.

    Raises:
        ValueError: An image smaller than the field, an output that is no map, a unit outside it, or a
            gradient that is zero everywhere.
        TypeError: Not a module, or not whole numbers.

    Example:
        Two layers that average three by three pixels. Each axis counts 1, 2, 3, 2, 1 ninths:

        >>> blur = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        >>> _ = nn.init.constant_(blur.weight, 1 / 9)
        >>> effective_receptive_field(nn.Sequential(blur, blur), (1, 9, 9))[4] * 27
        tensor([0.0000, 0.0000, 1.0000, 2.0000, 3.0000, 2.0000, 1.0000, 0.0000, 0.0000])
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"expected a torch.nn.Module, got {type(module).__name__}; wrap layers in nn.Sequential"
        )
    *batch, channels, height, width = _image_shape(input_shape)
    like = _example_parameter(module)
    generator = torch.Generator().manual_seed(seed)
    heat = torch.zeros(height, width, dtype=like.dtype, device=like.device)
    with _evaluating(module), torch.enable_grad():
        for index in range(batch[0] if batch else _at_least_one("samples", samples)):
            noise = torch.randn(1, channels, height, width, generator=generator).to(like)
            noise.requires_grad_()
            if index == 0:
                _check_room(module, noise)
            found = _map_of(module(noise))
            row, column = _checked_unit(unit, found)
            mixture = torch.randn(found.shape[1], generator=generator).to(found)
            (gradient,) = torch.autograd.grad(found[0, :, row, column] @ mixture, noise)
            heat += gradient[0].abs().sum(dim=0)
    if not heat.any():
        raise ValueError(
            "expected a unit that depends on the image, but its gradient is zero everywhere; are its weights "
            "zero, or all ReLUs before it off?"
        )
    return heat / heat.sum()


# --- Fields along one axis, phase by phase ---


class _Axis(NamedTuple):
    """What the units of a map see along one axis.

    Unit q * m + r, with m phases, sees first[r] + q * m * stride ... last[r] + q * m * stride.
    """

    stride: Fraction | None  # None: a single unit, without neighbours
    first: tuple[Number, ...]
    last: tuple[Number, ...]

    @property
    def infinite(self) -> bool:
        return self.first == (-INF,)


class _Window(NamedTuple):
    """Which units of its input a layer's units take, along one axis.

    Unit q * m + r, with m phases, takes those of taps[r] + q * step.
    """

    step: int
    taps: tuple[tuple[int, ...], ...]


_PIXELS = _Axis(Fraction(1), (0,), (0,))


def _everything(stride: Fraction | None = None) -> _Axis:
    return _Axis(stride, (-INF,), (INF,))


def _compose(seen: _Axis, window: _Window) -> _Axis:
    """What units see whose window takes units that see `seen`."""
    phases, inner = len(window.taps), len(seen.first)
    ratio = Fraction(window.step, phases)
    stride = None if seen.stride is None else seen.stride * ratio
    if seen.infinite or seen.stride is None:
        return _everything(stride)
    first, last = [], []
    repeat = phases * inner // math.gcd(inner, window.step)
    for unit in range(repeat):
        turn, phase = divmod(unit, phases)
        taps = [tap + turn * window.step for tap in window.taps[phase]]
        pixels = [_pixels(seen, tap) for tap in taps]  # a phase may see nothing
        first.append(min((low for low, _ in pixels), default=INF))
        last.append(max((high for _, high in pixels), default=-INF))
    return _Axis(stride, tuple(first), tuple(last))


def _pixels(seen: _Axis, unit: int) -> tuple[Number, Number]:
    """First and last pixel that one unit sees."""
    turn, phase = divmod(unit, len(seen.first))
    shift = int(turn * len(seen.first) * cast(Fraction, seen.stride))
    return seen.first[phase] + shift, seen.last[phase] + shift


def _hull(axes: Sequence[_Axis]) -> _Axis:
    """What units see that take the same unit of several maps."""
    strides = {axis.stride for axis in axes} - {None}
    if any(axis.infinite for axis in axes):
        return _everything(strides.pop() if len(strides) == 1 else None)
    if len(strides) > 1:
        steps = " and ".join(str(stride) for stride in sorted(cast(set[Fraction], strides)))
        raise _Unfollowed(f"paths of stride {steps} meet; bring their maps to one resolution first")
    phases = math.lcm(*(len(axis.first) for axis in axes))
    seen = [[_pixels(axis, unit) for axis in axes] for unit in range(phases)]
    return _Axis(axes[0].stride, tuple(min(p)[0] for p in seen), tuple(max(h for _, h in p) for p in seen))


def _slide(
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> _Window:
    """The window of a convolution or pooling."""
    return _Window(stride, (tuple(-padding + tap * dilation for tap in range(kernel)),))


def _spread(
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> _Window:
    """The window of a transposed convolution: unit i is painted from i * stride - padding on."""
    taps = []
    for phase in range(stride):
        places = [phase + padding - tap * dilation for tap in range(kernel)]
        taps.append(tuple(place // stride for place in places if place % stride == 0))
    return _Window(1, tuple(taps))


def _resized(ratio: Fraction, mode: str, align_corners: bool) -> _Window:
    """The window of an interpolation; ratio is input size over output size."""
    taps: list[tuple[int, ...]] = []
    before, after = (1, 2) if mode == "bicubic" else (0, 1)
    for phase in range(ratio.denominator):
        place = (phase + Fraction(1, 2)) * ratio - Fraction(1, 2)
        low = high = place
        if mode in ("nearest", "nearest-exact"):
            shift = Fraction(1, 2) if mode == "nearest-exact" else 0
            taps.append((math.floor((phase + shift) * ratio),))
            continue
        if align_corners:  # places drift by up to a unit from one border to the other: all of them
            low, high = sorted((phase * ratio, phase * ratio + ratio - 1))
        if low == high and low.denominator == 1:
            taps.append((int(low),))
        else:
            taps.append(tuple(range(math.floor(low) - before, math.ceil(high) + after)))
    return _Window(ratio.numerator, tuple(taps))


def _shared(ratio: Fraction) -> _Window:
    """The window of adaptive pooling; ratio is input size over output size."""
    bins = [(math.floor(u * ratio), math.ceil((u + 1) * ratio)) for u in range(ratio.denominator)]
    return _Window(ratio.numerator, tuple(tuple(range(*each)) for each in bins))


def _windows(layer: Layer) -> list[_Window]:
    """A layer's windows along y and x."""
    make = _spread if layer.transposed else _slide
    return [make(*numbers) for numbers in zip(*map(_both, _numbers(layer)), strict=True)]


def _numbers(layer: Layer) -> tuple[Pair, Pair, Pair, Pair]:
    return layer.kernel, layer.stride, layer.padding, layer.dilation


def _summary(seen: _Axis) -> tuple[Number, Number, Number]:
    """Size, stride and padding: the tightest line below `first` and above `last`."""
    stride = seen.stride
    if seen.infinite or stride is None:
        return INF, INF if stride is None else _plain(stride), INF
    padding = max(unit * stride - low for unit, low in enumerate(seen.first) if low < INF)
    end = max(high - unit * stride for unit, high in enumerate(seen.last) if high > -INF)
    return _plain(padding + end + 1), _plain(stride), _plain(padding)


def _published(y: _Axis, x: _Axis) -> ReceptiveField:
    pairs = zip(_summary(y), _summary(x), strict=True)
    return ReceptiveField(*(a if a == b else (a, b) for a, b in pairs))


def _seen(size: Number, stride: Number, padding: Number, first: int, last: int) -> tuple[Number, Number]:
    """Where the pixels begin and end that the units first ... last see."""
    if INF in (size, stride):
        return -INF, INF
    exact = [Fraction(value).limit_denominator(10_000) for value in (size, stride, padding)]
    low, high = (-exact[2] + unit * exact[1] for unit in (first, last))
    return math.ceil(low), math.floor(high + exact[0])


def _plain(value: Fraction | Number) -> Number:
    """A whole number as int, others as float."""
    return int(value) if value == int(value) else float(value)


# --- What an operation does to a map ---


class _Unfollowed(Exception):
    """Why a call cannot be followed."""


class _Signal(NamedTuple):
    """A map on its way: its shape as a meta tensor, what its units see, and where its rows and columns are.

    `grid` counts the axes of rows and columns from the end; None where they are gone.
    """

    value: Tensor
    y: _Axis
    x: _Axis
    grid: tuple[int, int] | None = (-2, -1)


@dataclass(frozen=True)
class _Call:
    """An operation at work: its arguments, the maps among them, and what came out, on meta."""

    name: str
    module: nn.Module | None
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    signals: list[_Signal]
    sized: bool  # whether the image's size is the caller's
    result: Any = None

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the function, or the attribute of the module."""
        if self.module is not None:
            return getattr(self.module, name, default)
        return self.kwargs.get(name, self.args[position] if len(self.args) > position else default)

    def run(self, replace: Callable[[_Signal], Any]) -> Any:
        """The operation itself, with signals replaced."""
        args, kwargs = _replaced((self.args, self.kwargs), _Signal, replace)
        return self.function(*args, **kwargs)

    def joined(self) -> _Signal:
        """The hull of all maps that come in."""
        grids = {signal.grid for signal in self.signals} - {None}
        y, x = _hull([signal.y for signal in self.signals]), _hull([signal.x for signal in self.signals])
        if len(grids) > 1 and not (y.infinite and x.infinite):
            raise _Unfollowed(
                "maps meet whose rows and columns are different axes; permute one of them first"
            )
        grid = next((signal.grid for signal in self.signals if signal.grid), None)
        return _Signal(self.signals[0].value, y, x, grid)

    def image(self) -> _Signal:
        """The same, for operations that take the last two axes for rows and columns."""
        signal = self.joined()
        if signal.grid != (-2, -1) and not (signal.y.infinite and signal.x.infinite):
            raise _Unfollowed("its rows and columns are not the last two axes; permute them there first")
        return signal._replace(grid=(-2, -1))


Outcome = tuple[Any, str]  # a signal, or several in a list; and why it sees everything, if it does
_WHOLE = "sees the whole image"
_ENDED = "ends the grid of rows and columns"
_FOLLOWS = "has windows that follow the size of the image (give input_shape for those of one size)"


def _slid(layer: Layer, value: Tensor) -> Tensor:
    """The map that a layer's window makes, with as many channels."""
    slide = nn.functional.conv_transpose2d if layer.transposed else nn.functional.conv2d
    channels, (kernel, stride, padding, dilation) = value.shape[-3], map(_both, _numbers(layer))
    weight = value.new_empty(channels, 1, *kernel)
    return slide(value, weight, None, stride, padding, groups=channels, dilation=dilation)


def _through(signal: _Signal, y: _Window, x: _Window) -> _Signal:
    return signal._replace(y=_compose(signal.y, y), x=_compose(signal.x, x))


def _windowed(call: _Call) -> Outcome:
    """Convolutions and poolings."""
    transposed = "transpose" in call.name.lower() or "unpool" in call.name.lower()
    if call.name.startswith("conv"):
        weight = call.argument(1, "weight")
        kernel = (weight.value if isinstance(weight, _Signal) else weight).shape[-2:]
        places = (3, 4, 7 if transposed else 5)
    else:
        first = 2 if call.name in ("lp_pool2d", "max_unpool2d") else 1
        kernel = _both(call.argument(first, "kernel_size"))
        places = (first + 1, first + 2, first + 3)
    plain = "lp" in call.name.lower() or "avg" in call.name.lower()  # what stands there is no dilation
    unset = 1 if call.name.startswith("conv") else kernel
    stride = call.argument(places[0], "stride") or unset
    padding = 0 if call.name.lower().startswith("lp") else call.argument(places[1], "padding", 0)
    dilation = 1 if plain or "unpool" in call.name.lower() else call.argument(places[2], "dilation", 1)
    if isinstance(padding, str):
        spans = [d * (k - 1) for k, d in zip(kernel, _both(dilation), strict=True)]
        padding = tuple(span // 2 for span in spans) if padding == "same" else 0
    signal = call.image()
    if any(isinstance(side, _Side) for side in kernel):  # such as avg_pool2d(x, x.shape[2:])
        return signal._replace(y=_everything(), x=_everything()), _WHOLE
    make = _spread if transposed else _slide
    numbers = (tuple(kernel), _both(stride), _both(padding), _both(dilation))
    return _through(signal, *(make(*each) for each in zip(*numbers, strict=True))), ""


def _adaptive(call: _Call) -> Outcome:
    """Adaptive pooling: global where it leaves one unit."""
    signal, out = call.image(), _found(call.result, Tensor)[0]
    axes, reason = [], _WHOLE
    for axis, size, count in zip(signal[1:3], signal.value.shape[-2:], out.shape[-2:], strict=True):
        if count == 1:
            axes.append(_everything())
        elif not call.sized:
            stride = None if axis.stride is None else axis.stride * Fraction(size, count)
            axes.append(_everything(stride))
            reason = _FOLLOWS
        else:
            axes.append(_compose(axis, _shared(Fraction(size, count))))
    return signal._replace(y=axes[0], x=axes[1]), reason


def _shuffled(call: _Call) -> Outcome:
    """Depth to space and back."""
    down = "un" in call.name.lower()
    factor = call.argument(1, "downscale_factor" if down else "upscale_factor")
    window = (_slide if down else _spread)(factor, factor)
    return _through(call.image(), window, window), ""


def _interpolated(call: _Call) -> Outcome:
    """Interpolation to a size or by a factor."""
    signal = call.image()
    mode, corners = call.argument(3, "mode", "nearest"), bool(call.argument(4, "align_corners"))
    if call.argument(6, "antialias", False):
        raise _Unfollowed("an interpolation against aliasing has no fixed window; set antialias=False")
    scales = call.argument(2, "scale_factor")
    windows = []
    for axis in (0, 1):
        size, count = signal.value.shape[axis - 2], call.result.shape[axis - 2]
        ratio = Fraction(size, count)
        if scales is not None:
            scale = scales[axis] if isinstance(scales, tuple | list) else scales
            ratio = 1 / Fraction(scale).limit_denominator(1000)
        windows.append(_shared(ratio) if mode == "area" else _resized(ratio, mode, corners))
    return _through(signal, *windows), ""


def _padded(call: _Call) -> Outcome:
    """Padding before and after: the units move along."""
    signal = call.joined()
    pads = call.argument(1, "padding" if call.module else "pad")
    if signal.grid is None:
        return signal, _WHOLE
    before = [pads[2 * (-axis - 1)] if 2 * -axis <= len(pads) else 0 for axis in signal.grid]
    return _through(signal, *(_slide(1, padding=pad) for pad in before)), ""


def _pointwise(call: _Call) -> Outcome:
    """What looks at one place only."""
    return call.joined(), ""


def _moved(call: _Call) -> Outcome:
    """What moves numbers about: run on each cell's row and column number, it says what went where."""
    rows, columns = (_as_tuple(call.run(partial(_numbered, axis=axis))) for axis in (0, 1))
    return _located(call.joined(), rows, columns, _ENDED, several=not isinstance(call.result, Tensor))


def _reduced(call: _Call) -> Outcome:
    """A mean, a sum, a maximum: along some axes, or of two maps."""
    if len(call.signals) > 1:
        return _pointwise(call)
    place = 2 if call.name == "norm" else 1
    dim, keep = call.argument(place, "dim"), call.argument(place + 1, "keepdim", False)
    dims = tuple(range(call.signals[0].value.dim())) if dim is None or isinstance(dim, bool) else dim
    several = not isinstance(call.result, Tensor)  # values and indices
    rows, columns = (
        (_numbered(call.signals[0], axis).amax(dims, keepdim=keep),) * (1 + several) for axis in (0, 1)
    )
    return _located(call.joined(), rows, columns, _WHOLE, several)


def _mixed(call: _Call) -> Outcome:
    """What mixes one or more axes, and is pointwise along the others."""
    signal, shape = call.joined(), call.argument(1, "normalized_shape")
    name, rank = call.name.lower(), call.signals[0].value.dim()
    if "norm" in name and "layer" in name:
        mixed = range(-len(shape), 0)
    elif name == "linear":
        mixed = range(-1, 0)
    else:
        dim = call.argument(2 if name == "normalize" else 1, "dim")
        dim = 1 if dim is None else dim
        mixed = range((dim % rank) - rank, (dim % rank) - rank + 1)
    rows, columns = (axis in mixed for axis in signal.grid or (0, 0))
    y = _everything(signal.y.stride) if rows else signal.y
    x = _everything(signal.x.stride) if columns else signal.x
    return signal._replace(y=y, x=x), _WHOLE


def _normalised(call: _Call) -> Outcome:
    """Statistics over the whole map, unless they are kept ones."""
    signal = call.joined()
    if getattr(call.module, "track_running_stats", False):
        return signal, ""
    y, x = _everything(signal.y.stride), _everything(signal.x.stride)
    return signal._replace(y=y, x=x), "takes its statistics over the whole image"


def _multiplied(call: _Call) -> Outcome:
    """Matrix products: with weights along the channels they are 1×1 convolutions."""
    signal = call.signals[0]
    contracted = -1 if isinstance(call.args[0], _Signal) else -2
    if len(call.signals) > 1 or call.name == "einsum" or contracted in (signal.grid or ()):
        return _attended(call)
    return signal, ""


def _attended(call: _Call) -> Outcome:
    """Attention: any place may look at any other."""
    signal = call.signals[0]
    return signal._replace(y=_everything(), x=_everything(), grid=None), "attends to the whole image"


_NAMES = {
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
        imul itruediv relu relu6 elu celu selu leaky_relu rrelu prelu gelu silu mish softplus softshrink
        softsign tanhshrink hardshrink hardtanh hardsigmoid hardswish logsigmoid threshold dropout dropout1d
        dropout2d dropout3d alpha_dropout feature_alpha_dropout stochastic_depth drop_block2d batch_norm
        local_response_norm to float double half bfloat16 type type_as contiguous clone detach Identity
        Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout LocalResponseNorm
        CrossMapLRN2d Softmax2d ReLU ReLU6 RReLU ELU CELU SELU LeakyReLU PReLU GELU SiLU Mish Softplus
        Softshrink Softsign Tanh Tanhshrink Sigmoid Hardshrink Hardtanh Hardsigmoid Hardswish LogSigmoid
        Threshold""",
    _moved: """reshape view flatten unflatten permute transpose movedim moveaxis swapaxes swapdims t unsqueeze
        squeeze expand expand_as repeat getitem select narrow chunk split tensor_split unbind cat
        concat concatenate stack roll flip channel_shuffle native_channel_shuffle reshape_as
        view_as mT T Flatten Unflatten ChannelShuffle""",
    _reduced: "mean sum amax amin max min std var norm prod logsumexp argmax argmin any all",
    _mixed: """softmax log_softmax softmin normalize cumsum Softmax LogSoftmax Softmin linear Linear
        layer_norm LayerNorm""",
    _normalised: "BatchNorm2d SyncBatchNorm group_norm GroupNorm instance_norm InstanceNorm2d",
    _multiplied: "matmul bmm einsum",
}
_RULES = {name: rule for rule, names in _NAMES.items() for name in names.split()}


def _rule(name: str) -> Callable[[_Call], Outcome]:
    """The rule for an operation."""
    if name in _RULES:
        return _RULES[name]
    if "attention" in name.lower() or "transformer" in name.lower():
        return _attended
    raise _Unfollowed(
        f"how far does {name} see? Name the submodule that holds it, and its window, in leaves: "
        'leaves={"block.gate": Layer(1)}'
    )


def _numbered(signal: _Signal, axis: int) -> Tensor:
    """A map that holds the number of each cell's row (axis 0) or column (axis 1)."""
    shape = signal.value.shape
    if signal.grid is None:
        return torch.zeros((), dtype=torch.int32, device="cpu").expand(shape)
    place = signal.grid[axis]
    line = torch.arange(shape[place], dtype=torch.int32, device="cpu")  # numbers, not shapes
    return line.reshape(-1, *[1] * (-place - 1)).expand(shape)


def _located(signal: _Signal, rows: tuple, columns: tuple, reason: str, several: bool) -> Outcome:
    """Where rows and columns are after a move, for each of its results."""
    found = []
    for pair in zip(rows, columns, strict=True):
        lines = [_line(*each, signal, axis) for axis, each in enumerate(zip(pair))]
        if None in lines:
            found.append(signal._replace(y=_everything(), x=_everything(), grid=None))
            continue
        places, windows = zip(*cast(list[tuple[int, _Window]], lines), strict=True)
        found.append(_through(signal, *windows)._replace(grid=places))
    return found if several else found[0], reason


def _line(numbers: Tensor, signal: _Signal, axis: int) -> tuple[int, _Window] | None:
    """The one axis along which the numbers go up evenly, and what part of them is there."""
    moving = [d - numbers.dim() for d in range(numbers.dim()) if (numbers.diff(dim=d) != 0).any()]
    if signal.grid and not moving and signal.value.shape[signal.grid[axis]] == 1:
        return (signal.grid[axis], _slide(1)) if numbers.dim() == signal.value.dim() else None
    if len(moving) != 1:
        return None
    line = numbers.movedim(moving[0], 0).flatten(1)[:, 0].tolist()
    step = line[1] - line[0]
    even = step > 0 and all(b - a == step for a, b in itertools.pairwise(line))
    return (moving[0], _slide(1, step, -line[0])) if even else None


# --- Through a module: it is run once, on a map that notes what becomes of it ---


class _Map(Tensor):
    """A map without numbers (on the meta device) that knows its signal and the trail that it leaves.

    Any function of torch that is called with one comes to ``__torch_function__``.
    """

    signal: _Signal
    trail: _Trail

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Follow a call."""
        kwargs = kwargs or {}
        return _found((args, kwargs), _Map)[0].trail.call(func, None, args, kwargs)


class _Side(int):
    """A whole number that was computed from the size of a map."""


def _side(value: Any) -> Any:
    """The same, marked."""
    if isinstance(value, torch.Size):
        return torch.Size([_Side(each) for each in value])
    return _Side(value) if type(value) is int else value


def _marking(name: str) -> Callable[[int, Any], Any]:
    return lambda side, other: _side(getattr(int, name)(side, other))


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "mod"):
    setattr(_Side, f"__{_name}__", _marking(f"__{_name}__"))


class _Lost(ValueError):
    """A call that cannot be followed."""


class _Trail:
    """What a run of a module leaves behind.

    Attributes:
        fields: After each call that gave a map.
        last: The signal of the last of them.
        inside: Paths of the modules that are running; after an exception, the innermost is still there.
        latest: Name of the last call.
        ended: Whether a call failed past the end of the grid.
    """

    def __init__(self, root: nn.Module, leaves: Mapping[Any, Layer], sized: bool) -> None:
        self.leaves, self.sized = leaves, sized
        self.paths = {id(module): path for path, module in root.named_modules()}
        self.used: dict[str, int] = {}
        self.fields = ReceptiveFields()
        self.last: _Signal | None = None
        self.inside, self.latest, self.ended = [""], "the image", False

    def module(self, run: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Call a module: torch's own and the caller's leaves as one operation, others step by step."""
        if not _found((args, kwargs), _Map):
            return run(module, *args, **kwargs)
        if _is_torchs(module) or self._leaf(module) is not None:
            return self.call(partial(run, module), module, args, kwargs)
        self.inside.append(self._path(module))
        result = run(module, *args, **kwargs)
        self.inside.pop()
        return result

    def call(self, function: Callable[..., Any], module: nn.Module | None, args: Any, kwargs: Any) -> Any:
        """Do an operation, and take down what its units see."""
        operation = _operation(function) if module is None else _kind(module)
        given, named = _replaced((args, kwargs), _Map, lambda each: each.signal)
        before = _found((given, named), _Signal)
        try:
            call = _Call(operation, module, function, given, named, before, self.sized)
            outcome, reason = self._follow(call)
        except Exception as error:
            if operation in _ASKING:
                raise
            name = self._named(operation, module)
            raise _Lost(
                f"cannot follow the field through node {name!r} ({operation}): {_first_line(error)}"
            ) from error
        if not _found(outcome, _Signal):
            return outcome
        name = self._named(operation, module)
        if not all(map(_bounded, _found(outcome, _Signal))) and all(map(_bounded, before)):
            self.fields.unbounded[name] = reason or _WHOLE
        if isinstance(outcome, _Signal):
            self.note(name, outcome)
            if outcome.value is before[0].value and isinstance(args[0], _Map):  # done in place
                args[0].signal = outcome
        return _replaced(outcome, _Signal, self.map)

    def note(self, name: str, signal: _Signal) -> None:
        """Add a step."""
        self.last, self.latest = signal, name
        self.fields.append(_published(signal.y, signal.x))
        self.fields.names.append(name)

    def map(self, signal: _Signal) -> _Map:
        """The map of a signal."""
        found = signal.value.as_subclass(_Map)
        found.signal, found.trail = signal, self
        return found

    def _follow(self, call: _Call) -> Outcome:
        """The signal, or several in a tuple, that come out; sizes and the like as they are."""
        before, leaf = call.signals, self._leaf(call.module)
        if call.name == "setitem" and not all(map(_lost, before)):
            raise _Unfollowed("it writes into a part of a map; join the parts with torch.cat instead")
        try:
            result = call.run(lambda signal: signal.value) if leaf is None else _slid(leaf, before[0].value)
        except Exception as error:
            if call.name in _ASKING:
                raise
            if all(map(_lost, before)):
                # Past the end of the grid, shapes may fit one size of image only; nothing hangs on them.
                self.ended = True
                return before[0]._replace(value=torch.empty(0, device="meta"), grid=None), ""
            shape = "is this the input_shape that the module wants?"
            raise _Unfollowed(f"{_first_line(error)}; {shape}") from error
        values = _found(result, Tensor)
        if not values:
            return _side(result), ""
        outcome, reason = self._outcome(replace(call, result=result), leaf)
        outcomes = outcome if isinstance(outcome, list) else [outcome] * len(values)
        signals = (each._replace(value=value) for each, value in zip(outcomes, values, strict=True))
        return _replaced(result, Tensor, lambda _: next(signals)), reason

    def _outcome(self, call: _Call, leaf: Layer | None) -> Outcome:
        """What the rule for an operation says, or the caller's window."""
        if leaf is not None:
            return _through(call.image(), *_windows(leaf)), ""
        unknown = call.name not in _RULES or not any(each.grid for each in call.signals)
        if unknown and all(map(_lost, call.signals)):
            return call.signals[0]._replace(grid=None), ""
        return _rule(call.name)(call)

    def _leaf(self, module: nn.Module | None) -> Layer | None:
        """The window that the caller gives for a submodule."""
        return None if module is None else self.leaves.get(self._path(module), self.leaves.get(type(module)))

    def _path(self, module: nn.Module) -> str:
        """Where a module is; one that was made on the way goes by its class."""
        return self.paths.get(id(module), ".".join(filter(None, (self.inside[-1], type(module).__name__))))

    def _named(self, operation: str, module: nn.Module | None) -> str:
        """A name for a step, as ``create_feature_extractor`` of torchvision gives them."""
        name = ".".join(filter(None, (self.inside[-1], operation))) if module is None else self._path(module)
        count = self.used[name] = self.used.get(name, -1) + 1
        return f"{name}_{count}" if count else name


# What asks a map for its numbers: a branch or a loop that depends on them.
_ASKING = {"bool", "int", "float", "index", "item", "tolist", "numpy", "array", "contains", "len"}


def _operation(function: Callable[..., Any]) -> str:
    """What a function does, in a word: add, relu, flatten."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":  # such as x.mT
        name = function.__self__.__name__  # type: ignore[attr-defined]
    return name.strip("_")


def _is_torchs(module: nn.Module) -> bool:
    """Whether a module is a single operation of torch."""
    return type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential)


def _kind(module: nn.Module) -> str:
    """The nearest class of a module that the rules know."""
    classes = [each.__name__ for each in type(module).__mro__]
    return next((name for name in classes if name in _RULES), classes[0])


@contextmanager
def _calls_through(trail: _Trail) -> Iterator[None]:
    """Have calls of modules go through a trail, for a while."""
    run = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return trail.module(run, module, args, kwargs)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = run  # type: ignore[method-assign]


def _of_module(
    module: nn.Module, input_shape: Sequence[int] | None, leaves: Mapping[Any, Layer]
) -> ReceptiveFields:
    """The fields of a module, from one run of it on the meta device."""
    _check_leaves(module, leaves)
    _check_arguments(module)
    shape = _traced_shape(module) if input_shape is None else _image_shape(input_shape)
    root = nn.Sequential(module) if _is_torchs(module) or type(module) in leaves else module
    trail = _Trail(root, leaves, input_shape is not None)
    image = torch.empty(1, *shape[-3:], dtype=_example_parameter(module).dtype, device="meta")
    start = trail.map(_Signal(image, _PIXELS, _PIXELS))
    with _evaluating(root), _on_meta(root), torch.no_grad(), torch.device("meta"), _calls_through(trail):
        try:
            output = root(start)
        except _Lost:
            raise
        except Exception as error:
            if not trail.ended:
                raise ValueError(_not_followed(error, root, trail)) from error
            output = None
    ends = list(_ends(output, "output")) or ([("output", trail.last)] if trail.ended and trail.last else [])
    if not ends:
        raise ValueError("expected a module that returns a map computed from its first argument, got none")
    if len(ends) > 1 or ends[0][1] is not trail.last:
        for name, signal in reversed(ends):  # the first output is the network's
            trail.note(name, signal)
    return trail.fields


def _not_followed(error: Exception, root: nn.Module, trail: _Trail) -> str:
    """How far a run went, and the way out."""
    where = trail.inside[-1]
    kind = type(dict(root.named_modules()).get(where)).__name__
    place = f"submodule {where!r} ({kind})" if where else kind
    size = "" if trail.sized else f" Or does it want another input_shape than {TRACED_SIZE} × {TRACED_SIZE}?"
    return (
        f"cannot follow {place}, after node {trail.latest!r}: {_first_line(error)}; branches and loops that "
        "depend on numbers in the map cannot be followed. Say what the submodule's window is with "
        f"leaves={{{where or 'name'!r}: Layer(...)}}, or describe the network as a list of Layer.{size}"
    )


def _traced_shape(module: nn.Module) -> tuple[int, ...]:
    """The shape to trace a module with: as many channels as its first convolution takes."""
    first = next((each for each in module.modules() if isinstance(each, nn.Conv2d)), None)
    return (3 if first is None else first.in_channels, TRACED_SIZE, TRACED_SIZE)


def _bounded(signal: _Signal) -> bool:
    return not (signal.y.infinite or signal.x.infinite)


def _lost(signal: _Signal) -> bool:
    return signal.y.infinite and signal.x.infinite


def _found(values: Any, kind: type) -> list[Any]:
    """All of a kind in nested arguments."""
    if isinstance(values, kind):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    nested = isinstance(values, tuple | list)
    return [each for value in values for each in _found(value, kind)] if nested else []


def _replaced(values: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Nested arguments with all of a kind replaced."""
    if isinstance(values, kind):
        return change(values)
    if isinstance(values, Mapping):
        return {key: _replaced(value, kind, change) for key, value in values.items()}
    if isinstance(values, tuple | list) and _found(values, kind):
        return _like(values, [_replaced(value, kind, change) for value in values])
    return values


def _like(form: Any, values: list[Any]) -> Any:
    """A list, tuple or named tuple of these values."""
    return getattr(form, "_make", type(form))(values)


def _as_tuple(result: Any) -> tuple:
    return (result,) if isinstance(result, Tensor) else tuple(result)


def _ends(output: Any, name: str) -> Iterator[tuple[str, _Signal]]:
    """The signals in a module's output, with their places as names."""
    if isinstance(output, _Map):
        yield name, output.signal
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _ends(value, f"{name}.{key}")
    elif isinstance(output, tuple | list):
        for index, value in enumerate(output):
            yield from _ends(value, f"{name}.{index}")


def _first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


# --- A network at work ---


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode, for a while."""
    training = [each for each in module.modules() if each.training]
    module.eval()
    try:
        yield
    finally:
        for each in training:
            each.training = True


@contextmanager
def _on_meta(module: nn.Module) -> Iterator[None]:
    """Parameters and buffers without their numbers, for a while."""
    stores: list[Any] = [own for each in module.modules() for own in (each._parameters, each._buffers)]
    kept = [dict(store) for store in stores]
    try:
        for store in stores:
            held = {name: value for name, value in store.items() if value is not None}
            store.update({name: torch.empty_like(value, device="meta") for name, value in held.items()})
        yield
    finally:
        for store, before in zip(stores, kept, strict=True):
            store.update(before)


def _example_parameter(module: nn.Module) -> Tensor:
    """A tensor of the module's dtype and device."""
    return next((each.detach() for each in module.parameters() if each.is_floating_point()), torch.zeros(1))


def _map_of(output: Any) -> Tensor:
    """The first output of a module, if it is a map that gradients flow through."""
    first = output
    while isinstance(first, Mapping | tuple | list) and first:
        first = next(iter(first.values() if isinstance(first, Mapping) else first))
    if not isinstance(first, Tensor) or first.dim() != 4:
        got = f"shape {tuple(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(
            f"expected a module that returns maps (N, C, h, w), got {got}; cut off its classifier"
        )
    if not first.requires_grad:
        raise ValueError(
            "expected a map with a gradient, got one cut off from the image; is there a .detach()?"
        )
    return first


def _check_room(module: nn.Module, image: Tensor) -> None:
    """Refuse an image in which the field, where it is known and bounded, has no room."""
    for shape in (None, tuple(image.shape)):
        try:
            field = receptive_field(module, shape)[-1]
            break
        except ValueError:  # another size, or what cannot be followed: the gradient needs neither
            continue
    else:
        return
    height, width = _both(field.size)
    if field.bounded and (height > image.shape[-2] or width > image.shape[-1]):
        raise ValueError(
            f"expected an image that holds the receptive field of {_text(field.size)} pixels, got "
            f"{image.shape[-2]} × {image.shape[-1]}; make it {height:g} × {width:g} or larger"
        )


def _checked_unit(unit: tuple[int, int] | None, found: Tensor) -> tuple[int, int]:
    """Row and column of the unit, the one in the middle by default."""
    height, width = found.shape[-2:]
    if unit is None:
        return height // 2, width // 2
    row, column = _pair("unit", unit)
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"expected unit within rows 0 to {height - 1} and columns 0 to {width - 1}, got {unit}"
        )
    return row, column


# --- What comes in ---


def _check_leaves(module: nn.Module, leaves: Mapping[Any, Layer]) -> None:
    """Refuse windows that are none, or for no submodule."""
    for key, layer in leaves.items():
        if not isinstance(layer, Layer):
            raise TypeError(
                f"expected leaves[{key!r}] as a Layer, got {layer!r}; Layer(1) looks at one place"
            )
        if isinstance(key, str) and key not in dict(module.named_modules()):
            raise ValueError(f"expected leaves to name submodules, got {key!r}; named_modules() lists them")


def _check_arguments(module: nn.Module) -> None:
    """Refuse a module that takes more than an image."""
    takes = inspect.signature(module.forward).parameters.values()
    needed = [each.name for each in takes if each.default is each.empty and each.kind < each.VAR_POSITIONAL]
    if len(needed) > 1:
        cure = "give it a default, or wrap the module in one that takes the image alone"
        raise ValueError(f"expected a module of one argument, but it needs {needed[1]!r}; {cure}")


def _image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """(C, H, W) or (N, C, H, W), each 1 or more."""
    numbers = tuple(_at_least_one("input_shape", value) for value in shape)
    if len(numbers) not in (3, 4):
        raise ValueError(
            f"expected input_shape as (C, H, W) or (N, C, H, W), got {numbers}; add the missing ones"
        )
    return numbers


def _both(value: Any) -> tuple[Any, Any]:
    """A number for both axes, or (y, x)."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value,)
    return (pair[0], pair[-1])


def _pair(name: str, value: Any) -> tuple[int, int]:
    """One whole number or two."""
    if isinstance(value, tuple | list) and len(value) != 2:
        raise ValueError(f"expected {name} as one number or (y, x), got {value!r}; name y, then x")
    y, x = _both(value)
    return _integer(name, y), _integer(name, x)


def _integer(name: str, value: Any) -> int:
    """The value as an int; floats and booleans are refused."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(
        f"expected {name} as a whole number, got {value!r}; round it first if that is what you mean"
    )


def _at_least_one(name: str, value: Any) -> int:
    """The value as an int of 1 or more."""
    whole = _integer(name, value)
    if whole < 1:
        raise ValueError(f"expected {name} of at least 1, got {whole}; raise it")
    return whole


def _text(value: Any) -> str:
    """A number or a pair, short."""
    return " × ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else f"{value:g}"
