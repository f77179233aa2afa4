"""Which layers have a dilated form, and what it is: the engine of :func:`segcore.dilation.dilate`.

:func:`followed` finds in a network the layers that have a kernel or a padding, and refuses what has no
dilated form, with the reason; :func:`dilated` makes the layer that does the same on a denser map: kernel and
padding are stretched, the parameters are shared. Torch lacks one of them, :class:`DilatedAvgPool2d`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import tracing
from segcore.windows import Operation, Window

__all__ = ["DilatedAvgPool2d", "Place", "dilated", "followed", "times"]

Pair = tuple[int, int]  # along y, along x

_SPATIAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_PADDING = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)
_POOLS: dict[str, Any] = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}
_WHY_NOT = {  # how kinds begin that have no dilated form, and the reason
    ("Linear", "Flatten", "Unflatten"): "it takes the whole map at once, and would have to be a convolution",
    ("Adaptive",): "its windows follow the size of the map",
    ("ConvTranspose", "Upsampl", "PixelShuffle", "MaxUnpool"): "it makes the map finer itself",
    ("GroupNorm", "InstanceNorm", "LayerNorm", "BatchNorm"): "its mean over the map changes when the map is "
    "denser",
}


class DilatedAvgPool2d(nn.Module):
    """``nn.AvgPool2d`` with a dilation, which torch does not have.

    Args:
        kernel_size: (y, x).
        stride: (y, x).
        padding: Zeros on each side, (y, x).
        dilation: (y, x).
        count_include_pad: Whether padded zeros count.
        divisor_override: Divides by this number instead.

    Example:
        >>> pool = DilatedAvgPool2d((1, 2), (1, 1), (0, 0), dilation=(1, 2))
        >>> pool(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]))
        tensor([[[[2., 3.]]]])
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.dilation = padding, dilation
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def extra_repr(self) -> str:
        """The options, for printing."""
        names = ("kernel_size", "stride", "padding", "dilation")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the means of its windows."""
        area = self.divisor_override or self.kernel_size[0] * self.kernel_size[1]
        if self.count_include_pad or self.divisor_override:
            return self._sums(x) / area
        return self._sums(x) / self._sums(torch.ones_like(x[:1, :1]))

    def _sums(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        ones = x.new_ones(channels, 1, *self.kernel_size)
        return F.conv2d(x, ones, None, self.stride, self.padding, self.dilation, groups=channels)


class Place(NamedTuple):
    """A layer that has a kernel or a padding: its name, the layer, its windows along y and x."""

    name: str
    layer: Any
    windows: tuple[Window, Window]

    def along(self, number: str) -> Pair:
        """A number of its windows, (y, x)."""
        y, x = (getattr(window, number) for window in self.windows)
        return y, x


def followed(network: nn.Module) -> tuple[tracing.Trace, dict[Operation, Place]]:
    """What a network does, and its layers with a kernel or padding; all else must look at one place only.

    Raises:
        ValueError: The network cannot be traced, or a layer has no dilated form; the message names it.
    """
    found = _traced(network)
    paths = {id(module): path for path, module in network.named_modules()}
    places = {}
    for each in found.operations:
        name, layer = each.name, each.module
        if layer is not None:
            name = paths[id(layer)]
        elif each.kind in _POOLS:
            layer = _POOLS[each.kind](*each.args[1:], **each.kwargs)
        y, x = each.output.windows
        if isinstance(layer, _SPATIAL + _PADDING) and isinstance(y, Window) and isinstance(x, Window):
            _check_layer(layer, name)
            places[each] = Place(name, layer, (y, x))
        elif any(output.grid is None or set(output.windows) != {Window()} for output in each.outputs):
            if layer is not None:
                raise ValueError(f"{name} ({each.kind}) cannot be dilated: {_why_not(each.kind)}")
            raise ValueError(
                f"{name} cannot be dilated: nothing is known of the call {each.kind}(); use a layer "
                "(nn.Conv2d, nn.MaxPool2d, ...), or dilate the part of the network before it"
            )
    return found, places


def _traced(network: nn.Module) -> tracing.Trace:
    """What the network does, to an image that is large enough for it."""
    channels = next((each.in_channels for each in network.modules() if isinstance(each, nn.Conv2d)), 3)
    for size in (tracing.TRACED_SIZE, 4 * tracing.TRACED_SIZE):
        try:
            return tracing.trace(network, (channels, size, size))
        except tracing.TracingError as error:
            failed = error
    place = f"{failed.name or type(network).__name__} ({failed.kind})"
    raise ValueError(f"{place} cannot be dilated: {_why_not(failed.kind)}: {failed}") from failed


def dilated(place: Place, stride: Pair, dilation: Pair) -> nn.Module:
    """A layer with this stride, its kernel and padding stretched by the dilation; parameters are shared."""
    _check_padding(place, dilation)
    layer = tracing.sharing_copy(place.layer)
    if isinstance(layer, _PADDING):
        (left, right, top, bottom), (down, across) = layer.padding, dilation
        layer.padding = (left * across, right * across, top * down, bottom * down)
        return layer
    kernel, padding = place.along("kernel"), times(place.along("padding"), dilation)
    if isinstance(layer, nn.AvgPool2d) and dilation != (1, 1):
        options = layer.count_include_pad, layer.divisor_override
        return DilatedAvgPool2d(kernel, stride, padding, dilation, *options)
    layer.stride, layer.padding = stride, padding
    if isinstance(layer, nn.AvgPool2d):
        return layer
    layer.dilation = times(place.along("dilation"), dilation)
    if isinstance(layer, nn.Conv2d) or not any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        return layer
    down, across = padding  # torch refuses more than half of a pool's window: in a layer of its own
    layer.padding = (0, 0)
    return nn.Sequential(nn.ConstantPad2d((across, across, down, down), -torch.inf), layer)


def times(numbers: Pair, factors: Pair) -> Pair:
    """Two numbers (y, x), times (y, x)."""
    return numbers[0] * factors[0], numbers[1] * factors[1]


def _check_layer(layer: Any, name: str) -> None:
    """Refuse options of a layer that have no dilated form."""
    if getattr(layer, "ceil_mode", False):
        fault, cure = "ceil_mode=True", "its last window hangs over the edge; set ceil_mode=False first"
    elif getattr(layer, "return_indices", False):
        fault = "return_indices=True"
        cure = "the indices are those of the coarse map; set return_indices=False"
    elif layer.padding == "same" and any(size % 2 == 0 for size in layer.kernel_size):
        fault, cure = "padding='same' and an even kernel", "pad with nn.ZeroPad2d first and set padding=0"
    else:
        return
    raise ValueError(f"{name} ({type(layer).__name__} with {fault}) cannot be dilated: {cure}")


def _check_padding(place: Place, dilation: Pair) -> None:
    """Refuse a padding of what stands at the border: in a denser map something else stands there."""
    layer = place.layer
    kind = getattr(layer, "padding_mode", "zeros")
    kind = {nn.ReflectionPad2d: "reflect", nn.ReplicationPad2d: "replicate"}.get(type(layer), kind)
    pads = layer.padding if isinstance(layer, _PADDING) else place.along("padding")
    if kind != "zeros" and dilation != (1, 1) and any(pads):
        raise ValueError(
            f"{place.name} ({type(layer).__name__} with {kind} padding) cannot be dilated: where the map is "
            "denser, other numbers stand at its lower and right border; pad with zeros, or keep the "
            "strides before it"
        )


def _why_not(kind: str) -> str:
    """The reason for which a layer of this kind cannot be dilated, and what to do."""
    known = (reason for starts, reason in _WHY_NOT.items() if kind.startswith(starts))
    reason = next(known, "nothing is known of such layers")
    return f"{reason}; dilate the part of the network before it"
