r"""Dense output from a network that down-samples: shift the image and stitch, or dilate what follows.

A network of stride s gives one output for every s × s pixels. *Shift and stitch* runs it s² times, on the
image shifted by 0 ... s - 1 pixels along each axis, and interleaves the outputs. Consider a layer A of
stride 2 and a layer B after it. The four runs give four maps of A, and B sees one at a time. Stitched into
one map, the neighbours that B wants stand two apart: so B with *dilation* 2 on the map of A at stride 1
gives the same numbers, in one run. :func:`dilate` rewrites a network in this way. Every layer has then the
dilation

.. math:: \text{dilation} = \frac{\text{stride of its input, before}}{\text{stride of its input, now}}.

The lecture's example: an image of 12 × 12 pixels, numbered down the columns; A is 3×3 with stride 2, so
that each of its four maps has 5 × 5 units; B is 3×3 with stride 1.

>>> image = torch.arange(144.0).reshape(1, 1, 12, 12).mT + 1
>>> A, B = nn.Conv2d(1, 1, 3, stride=2, bias=False), nn.Conv2d(1, 1, 3, bias=False)
>>> A(image).shape, shift_and_stitch(A, image, stride=2).shape
(torch.Size([1, 1, 5, 5]), torch.Size([1, 1, 10, 10]))
>>> network = nn.Sequential(A, B)
>>> dense = shift_and_stitch(network, image, stride=2)  # (1, 1, 6, 6) from four runs that give 3 × 3 each
>>> dilated = dilate(network, 1)
>>> dilated
Sequential(
  (0): Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), bias=False)
  (1): Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2), bias=False)
)
>>> torch.allclose(dilated(image), dense, rtol=1e-5, atol=1e-5)
True

Shift and stitch is from Sermanet et al. 2014 (OverFeat) and Long et al. 2015 (FCN), who also show that
dilation gives the same; the name and the context module are from Yu & Koltun 2016. Left out: one- and
three-dimensional networks.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

__all__ = ["ContextModule", "DilatedAvgPool2d", "dilate", "identity_", "shift_and_stitch", "sparse_kernel"]

Pair = tuple[int, int]  # along y, along x


def shift_and_stitch(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    stride: int | Pair,
) -> Tensor:
    """Run a network once for each shift within its stride and interleave the outputs.

    Output (y, x) is what the network gives where its field begins y pixels lower and x pixels further right
    than that of its first output. So ``result[..., ::stride, ::stride]`` is ``network(image)``.

    For outputs at row d, d + s, d + 2s, ... the image is moved so that row d comes to where a field begins.
    It is moved down by s - d, with zeros above, rather than up by d, and the first output is dropped: no
    pixel is lost, so that the result is exact wherever the field lies inside the image, for padded networks
    too.

    Args:
        network: Maps an image ``(N, C, H, W)`` to one map ``(N, K, h, w)``. Any module or function whose
            output moves by one when its input moves by ``stride``. Batch normalisation should be in eval
            mode.
        image: ``(N, C, H, W)``, floating point.
        stride: Of the network as a whole, one number or (y, x).

    Returns:
        ``(N, K, H', W')``: all outputs at stride 1. H' is H - field + 1 for an unpadded network.
        Differentiable.

    Raises:
        TypeError: ``image`` is no tensor.
        ValueError: ``image`` has another rank, is not floating point or is smaller than the network's field;
            ``stride`` is below 1 or is not the network's; the network gives no map.

    Example:
        >>> image = torch.tensor([[[[1.0, 5.0, 2.0, 4.0, 3.0]]]])
        >>> pool = nn.MaxPool2d((1, 2), stride=(1, 2))
        >>> pool(image)
        tensor([[[[5., 4.]]]])
        >>> shift_and_stitch(pool, image, stride=(1, 2))
        tensor([[[[5., 5., 4., 4.]]]])
    """
    _check_image(image)
    step = _positive_pair("stride", stride)
    _check_stride(network, image, step)
    runs = {}
    for y, x in itertools.product(range(step[0]), range(step[1])):
        down, right = -y % step[0], -x % step[1]
        moved = F.pad(image, (right, 0, down, 0))
        run = _run(network, moved)
        runs[y, x] = run[..., min(down, 1) :, min(right, 1) :]
    return _stitch(runs, step)


def _stitch(runs: dict[Pair, Tensor], step: Pair) -> Tensor:
    """Interleave the maps of all shifts."""
    height = sum(runs[y, 0].shape[-2] for y in range(step[0]))
    width = sum(runs[0, x].shape[-1] for x in range(step[1]))
    channels = runs[0, 0].shape[:2]
    stitched = runs[0, 0].new_zeros(*channels, height, width)
    for (y, x), run in runs.items():
        place = stitched[..., y :: step[0], x :: step[1]]
        _check_fits(run, place, step)
        place.copy_(run)
    return stitched


def dilate(
    network: nn.Module,
    layers_or_stride: int | str | Sequence[str],
) -> nn.Module:
    """Take the down-sampling out of a network and dilate the layers that follow.

    The result holds the *same* parameters and buffers (not copies) and a denser output: at every place that
    the network had an output, the same value, and between them what :func:`shift_and_stitch` gives. For an
    unpadded network that is exact everywhere. For a padded one it is exact where the field lies inside the
    image; near the upper and left border the two differ, for a shifted image has its padding elsewhere.

    What can be dilated: ``nn.Conv2d``, ``nn.MaxPool2d``, ``nn.AvgPool2d`` and the functional pools, padding
    layers, pointwise layers, sums, products and concatenations of maps; so any network that ``torch.fx`` can
    trace and that consists of these. Fully connected, adaptive, transposed and up-sampling layers and
    normalisations over the map cannot: dilate the part before them, such as ``network.features``.

    Args:
        network: Stays as it is.
        layers_or_stride: The names of the layers (as in ``named_modules``) to take the stride from, where a
            container stands for all layers in it. Or the output stride wanted: strides are kept from the
            first layer on while they divide it, and those of later layers go; 1 takes all.

    Returns:
        A module of the same class. But a ``torch.fx.GraphModule``, traced in the network's present mode,
        where there are functional pools or a layer that serves in several places has changed.

    Raises:
        TypeError: ``network`` is no module, or ``layers_or_stride`` is neither a number nor names.
        ValueError: A layer cannot be dilated or the network cannot be traced (the message names the layer);
            no layer has such a name, or it has no stride; the output stride cannot be reached.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3))
        >>> dilated = dilate(network, 1)
        >>> dilated
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): MaxPool2d(kernel_size=2, stride=(1, 1), padding=(0, 0), dilation=(1, 1), ceil_mode=False)
          (2): Conv2d(8, 4, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2))
        )
        >>> dilated[2].weight is network[2].weight
        True
        >>> image = torch.rand(1, 3, 16, 16)
        >>> network(image).shape, dilated(image).shape
        (torch.Size([1, 4, 5, 5]), torch.Size([1, 4, 9, 9]))
    """
    calls = _Calls(_sharing_copy(_as_network(network)))
    loses_stride = _choice(layers_or_stride, calls.strides)
    grids: dict[fx.Node, _Grid] = {}
    for node in calls.maps:
        grid = _grid_of_inputs(node, grids)
        if node in calls.layers:
            stride = calls.strides[node]
            left = (1, 1) if loses_stride(node, grid) else stride
            if (left, grid.dilation) != (stride, (1, 1)):
                layer = _dilated(calls.layers[node], left, grid.dilation)
                calls.replace(node, layer)
            grid = grid.after(stride, left)
        grids[node] = grid
    if isinstance(layers_or_stride, int):
        _check_reached(layers_or_stride, grids)
    return calls.network()


def sparse_kernel(kernel: Tensor, dilation: int | Pair) -> Tensor:
    """Put zeros between the weights of a kernel: a dilated convolution is a convolution with this kernel.

    Args:
        kernel: ``(..., h, w)``, such as the weight of a convolution.
        dilation: Distance of two neighbouring weights, 1 or more; one number or (y, x).

    Returns:
        ``(..., (h - 1) · dilation + 1, (w - 1) · dilation + 1)``. Differentiable.

    Raises:
        TypeError: ``kernel`` is no tensor.
        ValueError: ``kernel`` has no height and width or is empty; ``dilation`` is below 1 or not whole.

    Example:
        >>> sparse_kernel(torch.tensor([[1, 2], [3, 4]]), dilation=2)
        tensor([[1, 0, 2],
                [0, 0, 0],
                [3, 0, 4]])
    """
    _check_kernel(kernel)
    step_y, step_x = _positive_pair("dilation", dilation)
    *channels, height, width = kernel.shape
    size = (height - 1) * step_y + 1, (width - 1) * step_x + 1
    sparse = kernel.new_zeros(*channels, *size)
    sparse[..., ::step_y, ::step_x] = kernel
    return sparse


class ContextModule(nn.Module):
    """The context module of Yu & Koltun 2016: class maps in, class maps out, a field of 67 × 67 between them.

    Seven 3×3 convolutions of dilation 1, 1, 2, 4, 8, 16, 1, each with a ReLU, and a last one of 1×1
    without. The field grows as 3, 5, 9, 17, 33, 65, 67, 67. Layers have the names of the authors' code
    without its ``ctx_``. In the *basic* form every layer has C = ``num_classes`` channels, in the *large*
    form they have 2C, 2C, 4C, 8C, 16C, 32C, 32C and C.

    At the start the module hands its input on: each output channel takes the centre pixel of its own input
    channel (*identity initialisation*; in the large form, of its group of channels). Negative inputs do not
    survive the ReLU: without noise the new module is ``relu``.

    Args:
        num_classes: Channels C of input and output.
        form: ``"basic"`` or ``"large"``.
        noise: Standard deviation of what is added to the weights at the start. The large form needs some,
            else the channels of a group stay equal for ever. 0.001 for the large form and 0 for the basic
            one if not told.
        padding: Whether maps keep their size, padded with zeros. Without, height and width shrink by 66.
        generator: Of the noise.

    Raises:
        ValueError: ``num_classes`` is below 1, ``form`` is unknown, or ``noise`` is negative.

    Example:
        >>> module = ContextModule(num_classes=5)
        >>> scores = torch.rand(1, 5, 80, 80)
        >>> torch.equal(module(scores), scores)
        True
    """

    DILATIONS = (1, 1, 2, 4, 8, 16, 1)
    WIDTHS = {  # noqa: RUF012
        "basic": (1, 1, 1, 1, 1, 1, 1, 1),
        "large": (2, 2, 4, 8, 16, 32, 32, 1),
    }

    def __init__(
        self,
        num_classes: int,
        form: str = "basic",
        noise: float | None = None,
        padding: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        (classes,) = _whole_numbers("num_classes", [num_classes])
        if form not in self.WIDTHS:
            raise ValueError(f"expected form 'basic' or 'large', got {form!r}")
        if noise is None:
            noise = 0.001 if form == "large" else 0.0
        if not noise >= 0:
            raise ValueError(f"expected noise of 0 or more (a standard deviation), got {noise}")
        widths = [1, *self.WIDTHS[form]]
        layers = [
            nn.Conv2d(classes * a, classes * b, 3, dilation=d, padding=d if padding else 0)
            for a, b, d in zip(widths[:-2], widths[1:-1], self.DILATIONS, strict=True)
        ]
        self.conv1_1, self.conv1_2, self.conv2_1, self.conv3_1, self.conv4_1, self.conv5_1, self.fc1 = layers
        self.final = nn.Conv2d(classes * widths[-2], classes, 1)
        for layer in (*layers, self.final):
            identity_(layer, classes, noise, generator)

    def forward(self, scores: Tensor) -> Tensor:
        """Class maps ``(N, C, H, W)`` to class maps."""
        x = F.relu(self.conv1_1(scores))
        x = F.relu(self.conv1_2(x))
        x = F.relu(self.conv2_1(x))
        x = F.relu(self.conv3_1(x))
        x = F.relu(self.conv4_1(x))
        x = F.relu(self.conv5_1(x))
        x = F.relu(self.fc1(x))
        return self.final(x)


@torch.no_grad()
def identity_(
    layer: nn.Conv2d,
    num_classes: int,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> None:
    """Make a convolution hand on its input (identity initialisation of Yu & Koltun 2016), in place.

    Channel a of m inputs belongs to group ⌊a C / m⌋, channel b of n outputs to group ⌊b C / n⌋. The centre
    weight between two channels of one group is C / n, all others are noise. In a row of layers that begins
    and ends with C channels, these factors cancel.

    Args:
        layer: Its kernel has odd sides; its channels are multiples of C.
        num_classes: C.
        noise: Standard deviation of normal noise on all weights.
        generator: Of the noise.

    Raises:
        ValueError: The kernel has no centre, or a number of channels is no multiple of C.

    Example:
        >>> layer = nn.Conv2d(2, 2, 3)
        >>> identity_(layer, num_classes=2)
        >>> layer.weight[0, 0], layer.weight[0, 1].any()
        (tensor([[0., 0., 0.],
                [0., 1., 0.],
                [0., 0., 0.]], grad_fn=<SelectBackward0>), tensor(False))
    """
    outputs, inputs, height, width = layer.weight.shape
    _check_identity(layer, num_classes)
    group_in = torch.arange(inputs) * num_classes // inputs
    group_out = torch.arange(outputs) * num_classes // outputs
    same = (group_out[:, None] == group_in).to(layer.weight)  # (outputs, inputs)
    layer.weight.normal_(0, noise, generator=generator) if noise else layer.weight.zero_()
    layer.weight[:, :, height // 2, width // 2] += same * (num_classes / outputs)
    if layer.bias is not None:
        layer.bias.zero_()


def _check_identity(layer: nn.Conv2d, num_classes: int) -> None:
    """Refuse a layer that cannot hand its channels on."""
    outputs, inputs, height, width = layer.weight.shape
    (classes,) = _whole_numbers("num_classes", [num_classes])
    if outputs % classes or inputs % classes:
        raise ValueError(
            f"expected channels that are multiples of num_classes={classes}, got {inputs} to {outputs}"
        )
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"expected a kernel with odd sides, got {height} × {width}: it has no centre")


# --- Shift and stitch: what can go wrong ---


def _check_image(image: object) -> None:
    """Refuse what is not a batch of floating-point images."""
    if not isinstance(image, Tensor):
        raise TypeError(
            f"expected image as a tensor (N, C, H, W), got {type(image).__name__}; use torch.as_tensor(image)"
        )
    if image.dim() != 4:
        cure = "add the batch axis with image[None]" if image.dim() == 3 else "reshape it"
        raise ValueError(f"expected image of shape (N, C, H, W), got {tuple(image.shape)}; {cure}")
    if 0 in image.shape:
        raise ValueError(
            f"expected image (N, C, H, W) without an empty axis, got {tuple(image.shape)}; check the slicing"
        )
    if not image.is_floating_point():
        raise ValueError(f"expected image in floating point, got {image.dtype}; convert with image.float()")


def _run(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The network's map; an image that is too small is said to be so."""
    try:
        output = network(image)
    except RuntimeError as error:
        least = _least_size(network, image)
        if any(n > size for n, size in zip(least, image.shape[2:], strict=True)):
            raise ValueError(
                f"expected an image of the size of the network's field at least, {least[0]} × {least[1]}, "
                f"got {image.shape[2]} × {image.shape[3]}; take a larger image, or pad it"
            ) from error
        if isinstance(network, nn.Module):
            raise
        size = f"{image.shape[2]} × {image.shape[3]}"
        raise ValueError(f"expected an image that the network takes, got {size}: {error}") from error
    if not isinstance(output, Tensor) or output.dim() != 4:
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"expected the network to give one map (N, K, h, w), got {got}; pass its convolutional part, or "
            "write its fully connected layers as convolutions"
        )
    return output


def _check_stride(network: Callable[[Tensor], Tensor], image: Tensor, stride: Pair) -> None:
    """Refuse a stride that is not the network's, as far as the sizes of its outputs tell."""
    # So many pixels more give step + 1 outputs more, and another number at any other stride. A module is
    # probed without computing, so it may be a hundred times as many, which tells the true stride exactly.
    times = 100 if isinstance(network, nn.Module) else 1
    here = _map_size(network, image, (image.shape[2], image.shape[3]))
    for axis, step in enumerate(stride):
        extra = step * (step + 1) * times
        size = [image.shape[2], image.shape[3]]
        size[axis] += extra
        larger = _map_size(network, image, (size[0], size[1]))
        if here is None or larger is None:
            return
        more = larger[axis] - here[axis]
        if more != (step + 1) * times:
            true = f"{extra / more:.0f}" if more else "without end"
            raise ValueError(
                f"expected the network's own stride, which is {true} along {'yx'[axis]} as the sizes of its "
                f"outputs tell, got {stride[0] if stride[0] == stride[1] else stride}"
            )


def _map_size(network: Callable[[Tensor], Tensor], image: Tensor, size: Pair) -> Pair | None:
    """Size of the output for an image of this size, of a module without computing it; None if unknown."""
    try:
        with torch.no_grad():
            if isinstance(network, nn.Module):
                tensors = itertools.chain(network.parameters(), network.buffers())
                empty = {id(value): torch.empty_like(value, device="meta") for value in tensors}
                shape = (1, image.shape[1], *size)
                output = copy.deepcopy(network, empty)(torch.empty(shape, dtype=image.dtype, device="meta"))
            else:
                output = network(image.new_zeros(1, image.shape[1], *size))
    except Exception:  # whatever it is, the network itself will say it better
        return None
    is_map = isinstance(output, Tensor) and output.dim() == 4 and output.numel() > 0
    return (output.shape[2], output.shape[3]) if is_map else None


def _least_size(network: Callable[[Tensor], Tensor], image: Tensor, most: int = 4096) -> Pair:
    """The smallest image that the network takes, (0, 0) where it cannot be told."""
    if not isinstance(network, nn.Module):
        return 0, 0
    least = []
    for axis in (0, 1):
        low, high = 0, most  # too small, large enough
        while high - low > 1:
            middle = (low + high) // 2
            size = (middle, most) if axis == 0 else (most, middle)
            low, high = (low, middle) if _map_size(network, image, size) else (middle, high)
        least.append(0 if high == most else high)
    return least[0], least[1]


def _check_fits(run: Tensor, place: Tensor, stride: Pair) -> None:
    """Refuse outputs that do not interleave."""
    if run.shape != place.shape:
        raise ValueError(
            f"expected a network of stride {stride}, got outputs that do not interleave: a shift gives "
            f"{tuple(run.shape[2:])} where there is room for {tuple(place.shape[2:])}; check the stride, and "
            "that every layer keeps to it (no ceil_mode, no adaptive pooling, no resizing)"
        )


# --- Dilation: how far apart the units of a map are ---


class _Grid(NamedTuple):
    """Pixels from one unit of a map to the next, (y, x): in the network, and in its dilated form."""

    before: Pair
    now: Pair

    @property
    def dilation(self) -> Pair:
        """How many units of the denser map the step of one unit has become."""
        return self.before[0] // self.now[0], self.before[1] // self.now[1]

    def after(self, stride: Pair, left: Pair) -> _Grid:
        """The grid after a layer of this stride, of which so much is left."""
        return _Grid(
            (self.before[0] * stride[0], self.before[1] * stride[1]),
            (self.now[0] * left[0], self.now[1] * left[1]),
        )


def _grid_of_inputs(node: fx.Node, grids: dict[fx.Node, _Grid]) -> _Grid:
    """The grid that all maps that go into a node share."""
    found = {grids[each]: each for each in node.all_input_nodes if each in grids}
    if node.op == "output" or not found:
        return _Grid((1, 1), (1, 1))
    if len(found) > 1:
        maps = " and ".join(f"one of stride {grid.now} from {_name(each)}" for grid, each in found.items())
        raise ValueError(
            f"{_name(node)} joins maps that no longer fit: {maps}; take the stride from both branches"
        )
    return next(iter(found))


# --- Dilation: one layer ---

_SPATIAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_PADDING = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)
_POINTWISE = (
    *(
        nn.ReLU,
        nn.ReLU6,
        nn.LeakyReLU,
        nn.PReLU,
        nn.RReLU,
        nn.ELU,
        nn.SELU,
        nn.CELU,
        nn.GELU,
        nn.SiLU,
        nn.Mish,
    ),
    *(
        nn.Sigmoid,
        nn.LogSigmoid,
        nn.Tanh,
        nn.Hardtanh,
        nn.Hardsigmoid,
        nn.Hardswish,
        nn.Hardshrink,
        nn.Softshrink,
    ),
    *(nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Threshold, nn.Softmax2d, nn.LocalResponseNorm),
    *(nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity),
    nn.ChannelShuffle,
)
_POINTWISE_CALLS = {
    *("add", "iadd", "add_", "sub", "isub", "sub_", "mul", "imul", "mul_", "truediv", "div", "div_", "neg"),
    *("abs", "exp", "log", "sqrt", "square", "pow", "maximum", "minimum", "clamp", "clamp_", "contiguous"),
    *("relu", "relu_", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *("sigmoid", "logsigmoid", "tanh", "hardtanh", "hardswish", "hardsigmoid", "softplus"),
    *("batch_norm", "dropout", "dropout2d", "alpha_dropout"),
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


def _dilated(layer: Any, stride: Pair, dilation: Pair) -> nn.Module:
    """A layer with this stride, its kernel and padding stretched by the dilation; parameters are shared."""
    layer = _sharing_copy(layer)
    if isinstance(layer, _PADDING):
        (left, right, top, bottom), (down, across) = layer.padding, dilation
        layer.padding = (left * across, right * across, top * down, bottom * down)
        return layer
    layer.padding = _times(_padding(layer), dilation)
    if isinstance(layer, nn.AvgPool2d):
        return _dilated_mean(layer, stride, dilation)
    layer.stride, layer.dilation = stride, _times(layer.dilation, dilation)
    if isinstance(layer, nn.MaxPool2d):
        return _pad_first(layer)
    if layer.padding_mode != "zeros":
        down, across = layer.padding
        layer._reversed_padding_repeated_twice = [across, across, down, down]
    return layer


def _dilated_mean(pool: Any, stride: Pair, dilation: Pair) -> nn.Module:
    """An average pool, whose padding is already scaled, with stride and dilation."""
    if dilation == (1, 1):
        pool.stride = stride
        return pool
    padding = _times(pool.padding, (1, 1))
    options = (pool.count_include_pad, pool.divisor_override)
    return DilatedAvgPool2d(_times(pool.kernel_size, (1, 1)), stride, padding, dilation, *options)


def _pad_first(pool: Any) -> nn.Module:
    """The pool, with a padding that torch refuses (more than half of the window) in a layer of its own."""
    down, across = pool.padding
    height, width = _times(pool.kernel_size, (1, 1))
    if down <= height // 2 and across <= width // 2:
        return pool
    pool.padding = (0, 0)
    return nn.Sequential(nn.ConstantPad2d((across, across, down, down), -torch.inf), pool)


def _padding(layer: Any) -> int | Pair:
    """The padding of a layer in numbers."""
    if layer.padding == "valid":
        return 0
    if layer.padding == "same":
        down, across = _times(layer.dilation, (layer.kernel_size[0] - 1, layer.kernel_size[1] - 1))
        return down // 2, across // 2
    return layer.padding


def _times(value: int | tuple[int, ...], factor: Pair) -> Pair:
    """One number or (y, x), times (y, x)."""
    y, x = value if isinstance(value, tuple | list) else (value, value)
    return y * factor[0], x * factor[1]


def _stride_of(layer: nn.Module) -> Pair:
    """The stride of a layer, (1, 1) of padding."""
    return _times(layer.stride, (1, 1)) if isinstance(layer, _SPATIAL) else (1, 1)


# --- Dilation: the network ---


class _Calls:
    """A network as a graph of calls, and the layers in it that have a kernel or a padding.

    Attributes:
        graph: The graph.
        maps: Its nodes, without those that are computed from parameters alone.
        layers: The layer that a node of the graph calls.
        strides: Its stride.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.graph = _traced(network)
        self._rewired = False  # whether the network's own forward no longer serves
        self.layers: dict[fx.Node, Any] = {}
        for node in _maps(self.graph):
            if node.op == "call_module":
                self._add(node)
            elif node.op in ("call_function", "call_method") and not _is_pointwise(node):
                self._add(self._as_layer(node))
        self.strides = {
            node: _times(layer.stride, (1, 1)) if isinstance(layer, _SPATIAL) else (1, 1)
            for node, layer in self.layers.items()
        }
        self.maps = _maps(self.graph)
        self._uses = Counter(str(node.target) for node in self.layers)

    def _add(self, node: fx.Node) -> None:
        """Take note of the layer that a node calls, unless it is pointwise."""
        layer = self._network.get_submodule(str(node.target))
        if isinstance(layer, _SPATIAL + _PADDING):
            _check_layer(layer, _name(node))
            self.layers[node] = layer
        elif not isinstance(layer, _POINTWISE) and not _over_channels(layer):
            kind = type(layer).__name__
            raise ValueError(f"{_name(node)} ({kind}) cannot be dilated: {_why_not(layer)}")

    def _as_layer(self, node: fx.Node) -> fx.Node:
        """Put a layer in the place of a functional pool."""
        pools: dict[str, Any] = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}
        kind = pools.get(_function(node))
        if kind is None:
            raise ValueError(
                f"{_name(node)} cannot be dilated: nothing is known of the call {_function(node)}(); use a "
                "layer (nn.Conv2d, nn.MaxPool2d, ...), or dilate the part of the network before it"
            )
        (x, *values), options = node.args, dict(node.kwargs)
        name = self._free_name(node.name)
        setattr(self._network, name, kind(*values, **options))
        with self.graph.inserting_after(node):
            new = self.graph.call_module(name, (x,))
        node.replace_all_uses_with(new)
        self.graph.erase_node(node)
        self._rewired = True
        return new

    def _free_name(self, name: str) -> str:
        """A name of no attribute of the network."""
        while hasattr(self._network, name):
            name += "_"
        return name

    def replace(self, node: fx.Node, layer: nn.Module) -> None:
        """Have a node call another layer; other nodes that call the same one are left alone."""
        name = str(node.target)
        if self._uses[name] > 1:
            name, self._rewired = self._free_name(f"{name}_{node.name}".replace(".", "_")), True
            node.target = name
        parent, _, child = name.rpartition(".")
        setattr(self._network.get_submodule(parent), child, layer)

    def network(self) -> nn.Module:
        """The network as it now is."""
        if not self._rewired:
            return self._network
        self.graph.lint()
        return fx.GraphModule(self._network, self.graph, type(self._network).__name__)


def _maps(graph: fx.Graph) -> list[fx.Node]:
    """The nodes that depend on an input of the network."""
    found: dict[fx.Node, None] = {}
    for node in graph.nodes:
        if node.op == "placeholder" or any(each in found for each in node.all_input_nodes):
            found[node] = None
    return list(found)


class _Tracer(fx.Tracer):
    """Remembers where it is, for the message."""

    where = ""

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Go into a module."""
        outer, self.where = self.where, self.path_of_module(m)
        result = super().call_module(m, forward, args, kwargs)
        self.where = outer
        return result


def _traced(network: nn.Module) -> fx.Graph:
    """The graph of calls in a network."""
    tracer = _Tracer()
    try:
        return tracer.trace(network)
    except Exception as error:  # a forward may fail in any way when it is traced
        raise ValueError(
            f"expected a network that torch.fx can trace, got {tracer.where or type(network).__name__}: "
            f"{error}; dilate the parts that can be, or write its forward without decisions on values"
        ) from error


def _as_network(network: object) -> nn.Module:
    """A single layer becomes a network of one layer."""
    if not isinstance(network, nn.Module):
        raise TypeError(f"expected network as a torch.nn.Module, got {type(network).__name__}")
    return nn.Sequential(network) if isinstance(network, _SPATIAL + _PADDING + _POINTWISE) else network


def _sharing_copy(module: nn.Module) -> nn.Module:
    """A copy of a module with the very same parameters and buffers."""
    same = {id(value): value for value in itertools.chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, same)


def _choice(
    layers_or_stride: int | str | Sequence[str], strides: dict[fx.Node, Pair]
) -> Callable[[fx.Node, _Grid], bool]:
    """Which layers lose their stride."""
    if isinstance(layers_or_stride, int):
        (wanted,) = _whole_numbers("output stride", [layers_or_stride])
        return lambda node, grid: any(
            wanted % (now * step) for now, step in zip(grid.now, strides[node], strict=True)
        )
    names = [layers_or_stride] if isinstance(layers_or_stride, str) else layers_or_stride
    if not isinstance(names, list | tuple | set) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"expected names of layers or the output stride wanted (1 takes all), got {layers_or_stride!r}"
        )
    strided = {_name(node): node for node, stride in strides.items() if stride != (1, 1)}
    if not names:
        raise ValueError("expected the name of at least one layer, got none; 1 takes every stride")
    for name in names:
        if not any(_belongs(layer, name) for layer in strided):
            there = ", ".join(strided) or "none"
            raise ValueError(f"expected names of layers with a stride, got {name!r}; there are: {there}")
    return lambda node, grid: any(_belongs(_name(node), name) for name in names)


def _belongs(layer: str, name: str) -> bool:
    """Whether a layer is the one of this name, or in the container of this name."""
    return layer == name or layer.startswith(f"{name}.")


def _check_reached(wanted: int, grids: dict[fx.Node, _Grid]) -> None:
    """Refuse an output stride that no layer's stride leads to."""
    output = next(node for node in grids if node.op == "output")
    maps = [grids[node] for node in output.all_input_nodes if node in grids]
    coarsest = [max(grid.now[axis] for grid in maps) for axis in (0, 1)]
    if coarsest != [wanted, wanted]:
        there = {grid.before for grid in grids.values()}
        able = ", ".join(str(y) for y, x in sorted(there) if y == x)
        raise ValueError(
            f"expected an output stride that the network passes through ({able}), got {wanted}; to choose "
            "other layers, give their names"
        )


def _name(node: fx.Node) -> str:
    """What the reader calls a node: the name of its layer, or torch.fx's name of a call."""
    return str(node.target) if node.op == "call_module" else node.name


def _function(node: fx.Node) -> str:
    """The name of the function or method that a node calls."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _is_pointwise(node: fx.Node) -> bool:
    """Whether a call makes each unit of its output from the units of its inputs at the same place."""
    name = _function(node)
    if name in ("cat", "concat", "concatenate", "softmax", "log_softmax"):
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        return axis in (1, -3)
    return name in _POINTWISE_CALLS


def _over_channels(layer: nn.Module) -> bool:
    """Whether a layer is a softmax over the channels."""
    return isinstance(layer, nn.Softmax | nn.LogSoftmax) and layer.dim in (1, -3)


def _check_layer(layer: Any, name: str) -> None:
    """Refuse options of a layer that have no dilated form."""
    if getattr(layer, "ceil_mode", False):
        fault, cure = "ceil_mode=True", "its last window hangs over the edge; set ceil_mode=False first"
    elif getattr(layer, "return_indices", False):
        fault, cure = (
            "return_indices=True",
            "the indices are those of the coarse map; set return_indices=False",
        )
    elif layer.padding == "same" and any(size % 2 == 0 for size in layer.kernel_size):
        fault, cure = "padding='same' and an even kernel", "pad with nn.ZeroPad2d first and set padding=0"
    else:
        return
    raise ValueError(f"{name} ({type(layer).__name__} with {fault}) cannot be dilated: {cure}")


def _why_not(layer: nn.Module) -> str:
    """The reason for which a layer cannot be dilated, and what to do."""
    kind = type(layer).__name__
    reasons = {
        (
            "Linear",
            "Flatten",
            "Unflatten",
        ): "it takes the whole map at once, and would have to be a convolution",
        ("Adaptive",): "its windows follow the size of the map",
        ("ConvTranspose", "Upsampl", "PixelShuffle", "MaxUnpool"): "it makes the map finer itself",
        ("GroupNorm", "InstanceNorm", "LayerNorm"): "its mean over the map changes when the map is denser",
    }
    reason = next((text for starts, text in reasons.items() if kind.startswith(starts)), "")
    return f"{reason or 'nothing is known of such layers'}; dilate the part of the network before it"


# --- What comes in ---


def _whole_numbers(name: str, values: Sequence[object]) -> tuple[int, ...]:
    """The values as whole numbers, 1 or more."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"expected {name} as a whole number, 1 or more, got {value!r}")
    return tuple(values)  # type: ignore[arg-type]


def _positive_pair(name: str, value: int | Pair) -> Pair:
    """One whole number or two, (y, x), each 1 or more."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"expected {name} as one number or (y, x), got {value!r}")
    y, x = _whole_numbers(name, pair)
    return y, x


def _check_kernel(kernel: object) -> None:
    """Refuse what has no height and width."""
    if not isinstance(kernel, Tensor):
        got = type(kernel).__name__
        raise TypeError(f"expected kernel as a tensor (..., h, w), got {got}; use torch.as_tensor(kernel)")
    if kernel.dim() < 2 or 0 in kernel.shape:
        raise ValueError(
            f"expected kernel of shape (..., h, w) without an empty axis, got {tuple(kernel.shape)}; a row "
            "of weights is kernel[None]"
        )
