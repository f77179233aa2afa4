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

import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from segcore import inputs, tracing
from segcore.windows import Layer, Resize, Seen, Whole, Window, among, both

__all__ = [
    "Layer",
    "ReceptiveField",
    "ReceptiveFields",
    "effective_receptive_field",
    "input_region",
    "receptive_field",
]

Number = int | float
INF = math.inf


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
        return INF not in both(self.size)


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

    def _add(self, name: str, axes: Axes) -> None:
        """One more layer."""
        pairs = zip(*map(_summary, axes), strict=True)
        self.append(ReceptiveField(*(y if y == x else (y, x) for y, x in pairs)))
        self.names.append(name)

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
        bounded = list(itertools.takewhile(lambda item: item[1].bounded, self.items()))
        return bounded[-1] if bounded else None

    def __repr__(self) -> str:
        width = max((len(name) for name in self.names), default=5)
        rows = [f"{'layer':<{width}}  {'size':>12}  {'stride':>12}  {'padding':>12}"]
        for name, found in self.items():
            texts = (" × ".join(f"{each:g}" for each in dict.fromkeys(both(value))) for value in found)
            rows.append(f"{name:<{width}}  " + "  ".join(f"{text:>12}" for text in texts))
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
            convolution and 224 × 224 if None. Adaptive pooling, and interpolation to a fixed size, have a
            bounded field only if it is given.
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
        return _of_module(network, input_shape, leaves)
    layers = {"0": network} if isinstance(network, Layer) else network
    if not isinstance(layers, Mapping):
        if not isinstance(layers, Sequence) or isinstance(layers, str):
            got = type(network).__name__
            raise TypeError(f"expected layers or a module, got {got}; write [Layer(3), Layer(2, stride=2)]")
        layers = {str(index): layer for index, layer in enumerate(layers)}
    if not layers:
        raise ValueError("expected at least one layer, got none; the image itself is [Layer(1)]")
    fields, axes = ReceptiveFields(), (_PIXELS, _PIXELS)
    for name, layer in layers.items():
        if not isinstance(layer, Layer):
            raise TypeError(f"expected each layer as a Layer, got {layer!r}; a 3×3 convolution is Layer(3)")
        axes = _after([axes], layer.windows)
        fields._add(name, axes)
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
    inputs.instance(field, "field", ReceptiveField, "receptive_field(...)[-1] is one")
    corners = inputs.several(output_region, "output_region", "(0, 0, 1, 1)")
    if len(corners) != 4:
        raise ValueError(
            f"expected output_region as x1, y1, x2, y2, got {output_region!r}; unit (0, 0) is (0, 0, 1, 1)"
        )
    x1, y1, x2, y2 = (inputs.whole(value, "output_region", -sys.maxsize) for value in corners)
    if x1 >= x2 or y1 >= y2:
        raise ValueError(
            f"expected x1 < x2 and y1 < y2, got {(x1, y1, x2, y2)}; a single unit at column x and row y is "
            "(x, y, x + 1, y + 1)"
        )
    (size_y, size_x), (stride_y, stride_x), (padding_y, padding_x) = map(both, field)
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
    inputs.instance(module, "module", nn.Module, "wrap layers in nn.Sequential")
    *batch, channels, height, width = tracing.image_shape(input_shape)
    network = tracing.sharing_copy(module).eval()
    generator = torch.Generator().manual_seed(inputs.whole(seed, "seed", -sys.maxsize))
    heat = tracing.example_parameter(module).new_zeros(height, width)
    _check_room(module, (1, channels, height, width))
    plain: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # the same numbers in every session
    with torch.enable_grad():
        for _ in range(batch[0] if batch else inputs.whole(samples, "samples")):
            noise = torch.randn(1, channels, height, width, generator=generator, **plain).to(heat)
            noise.requires_grad_()
            found = _map_of(network(noise))
            row, column = _checked_unit(unit, found)
            mixture = torch.randn(found.shape[1], generator=generator, **plain).to(found)
            (gradient,) = torch.autograd.grad(found[0, :, row, column] @ mixture, noise)
            heat += gradient[0].abs().sum(dim=0)
    if not heat.any():
        raise ValueError(
            "expected a unit that sees the image, got gradient zero everywhere; are weights or ReLUs all 0?"
        )
    return heat / heat.sum()


# --- Fields along one axis, phase by phase ---


class _Axis(NamedTuple):
    """What the units of a map see along one axis; everything, if not told.

    Unit q * m + r, with m phases, sees first[r] + q * m * stride ... last[r] + q * m * stride.
    """

    stride: Fraction | None = None  # None: a single unit, without neighbours
    first: tuple[Number, ...] = (-INF,)
    last: tuple[Number, ...] = (INF,)

    @property
    def infinite(self) -> bool:
        return self.first == (-INF,)


Axes = tuple[_Axis, _Axis]  # along y, along x
_PIXELS = _Axis(Fraction(1), (0,), (0,))


def _after(maps: Sequence[Axes], windows: tuple[Seen, Seen]) -> Axes:
    """What the units of a result see, whose windows lie on these maps."""
    y, x = (_compose([each[axis] for each in maps], windows[axis]) for axis in (0, 1))
    return y, x


def _compose(maps: Sequence[_Axis], window: Seen) -> _Axis:
    """The same along one axis."""
    if isinstance(window, Whole) and window.stride is None:
        return _Axis()
    seen = _hull(maps)
    if isinstance(window, Whole):
        return _Axis(None if seen.stride is None else seen.stride * cast(Fraction, window.stride))
    step, taps = cast(Window | Resize, window).taps()
    phases, inner = len(taps), len(seen.first)
    stride = None if seen.stride is None else seen.stride * Fraction(step, phases)
    if seen.infinite or seen.stride is None:
        return _Axis(stride)
    first, last = [], []
    for unit in range(phases * inner // math.gcd(inner, step)):
        turn, phase = divmod(unit, phases)
        pixels = [_pixels(seen, tap + turn * step) for tap in taps[phase]]  # maybe none
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
    if len(axes) == 1:
        return axes[0]
    strides = {axis.stride for axis in axes} - {None}
    if any(axis.infinite for axis in axes):
        return _Axis(strides.pop() if len(strides) == 1 else None)
    if len(strides) > 1:
        steps = " and ".join(str(stride) for stride in sorted(cast(set[Fraction], strides)))
        raise ValueError(f"paths of stride {steps} meet; bring their maps to one resolution first")
    phases = math.lcm(*(len(axis.first) for axis in axes))
    seen = [[_pixels(axis, unit) for axis in axes] for unit in range(phases)]
    return _Axis(axes[0].stride, tuple(min(p)[0] for p in seen), tuple(max(h for _, h in p) for p in seen))


def _summary(seen: _Axis) -> tuple[Number, Number, Number]:
    """Size, stride and padding: the tightest line below `first` and above `last`."""
    stride = seen.stride
    if seen.infinite or stride is None:
        return INF, INF if stride is None else _plain(stride), INF
    padding = max(unit * stride - low for unit, low in enumerate(seen.first) if low < INF)
    end = max(high - unit * stride for unit, high in enumerate(seen.last) if high > -INF)
    return _plain(padding + end + 1), _plain(stride), _plain(padding)


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


# --- Through a module ---


def _of_module(
    module: nn.Module, input_shape: Sequence[int] | None, leaves: Mapping[Any, Layer] | None
) -> ReceptiveFields:
    """The fields of a module, composed along its trace."""
    found = tracing.trace(module, input_shape, leaves).known()
    seen: dict[tracing.Map, Axes] = {found.image: (_PIXELS, _PIXELS)}
    fields = ReceptiveFields()
    for operation in found.operations:
        before = [seen[each] for each in operation.inputs]
        try:
            after = [_after(before, output.windows) for output in operation.outputs]
        except ValueError as error:
            raise tracing.TracingError.at(operation.name, operation.kind, error) from error
        seen.update(zip(operation.outputs, after, strict=True))
        ended = any(axis.infinite for axes in after for axis in axes)
        if ended and not any(axis.infinite for axes in before for axis in axes):
            windows = (window for output in operation.outputs for window in output.windows)
            reasons = (window.reason for window in windows if isinstance(window, Whole))
            fields.unbounded[operation.name] = next(reasons, "")
        if not operation.packed:
            fields._add(operation.name, after[0])
    last = found.operations[-1].output if found.operations else None
    ends = list(found.outputs.items())
    if len(ends) > 1 or (ends and ends[0][1] is not last):
        for name, end in reversed(ends):  # the first output is the network's
            fields._add(name, seen[end])
    return fields


# --- A network at work ---


def _map_of(output: Any) -> Tensor:
    """The first output of a module, if it is a map that gradients flow through."""
    first = tracing.checked_map(next(iter(among(output, Tensor)), output))
    if not first.requires_grad:
        raise ValueError(
            "expected a map with a gradient, got one cut off from the image; is there a .detach()?"
        )
    return first


def _check_room(module: nn.Module, image: tuple[int, ...]) -> None:
    """Refuse an image in which the field, where it is known and bounded, has no room."""
    for shape in (None, image):
        with suppress(ValueError):  # another size, or what cannot be followed: the gradient needs neither
            field = receptive_field(module, shape)[-1]
            break
    else:
        return
    height, width = both(field.size)
    if field.bounded and (height > image[-2] or width > image[-1]):
        raise ValueError(
            f"expected an image that holds the whole receptive field, got {image[-2]} × {image[-1]}; make it "
            f"{height:g} × {width:g} or larger"
        )


def _checked_unit(unit: tuple[int, int] | None, found: Tensor) -> tuple[int, int]:
    """Row and column of the unit, the one in the middle by default."""
    height, width = found.shape[-2:]
    row, column = (height // 2, width // 2) if unit is None else inputs.pair(unit, "unit", 0, "row, column")
    inputs.whole(row, "the unit's row", 0, height - 1)
    return row, inputs.whole(column, "the unit's column", 0, width - 1)
