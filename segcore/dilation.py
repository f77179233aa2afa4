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

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import inputs, tracing
from segcore.dilated_layers import DilatedAvgPool2d, Pair, Place, dilated, followed, times
from segcore.inputs import size_of
from segcore.windows import Operation

__all__ = ["ContextModule", "DilatedAvgPool2d", "dilate", "identity_", "shift_and_stitch", "sparse_kernel"]


def shift_and_stitch(network: Callable[[Tensor], Tensor], image: Tensor, stride: int | Pair) -> Tensor:
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
    inputs.image(image)
    step = inputs.pair(stride, "stride")
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
        if run.shape != place.shape:
            raise ValueError(
                f"expected a network of stride {step}, got outputs that do not interleave: a shift gives "
                f"{tuple(run.shape[2:])} where there is room for {tuple(place.shape[2:])}; check the stride, "
                "and that every layer keeps to it (no ceil_mode, no adaptive pooling, no resizing)"
            )
        place.copy_(run)
    return stitched


def dilate(network: nn.Module, layers_or_stride: int | str | Sequence[str]) -> nn.Module:
    """Take the down-sampling out of a network and dilate the layers that follow.

    The result holds the *same* parameters and buffers (not copies) and a denser output: at every place that
    the network had an output, the same value, and between them what :func:`shift_and_stitch` gives. For an
    unpadded network that is exact everywhere. For a padded one it is exact where the field lies inside the
    image; near the upper and left border the two differ, for a shifted image has its padding elsewhere.

    What can be dilated: ``nn.Conv2d``, ``nn.MaxPool2d``, ``nn.AvgPool2d`` and the functional pools, padding
    with zeros or a constant, and all that looks at one place only: activations, sums, products,
    concatenations, what moves channels about; so any network that `segcore.tracing` can follow and that
    consists of these. Fully connected, adaptive, transposed and up-sampling layers and normalisations over
    the map cannot: dilate the part before them, such as ``network.features``. Nor can padding by what stands
    at the border (replicate, reflect, circular) after a stride that goes.

    Args:
        network: Stays as it is.
        layers_or_stride: The names of the layers (as in ``named_modules``) to take the stride from, where a
            container stands for all layers in it. Or the output stride wanted: strides are kept from the
            first layer on while they divide it, and those of later layers go; 1 takes all.

    Returns:
        A module of the same class. But a ``torch.fx.GraphModule``, traced in the network's present mode,
        where functional pools, or a layer that serves in several places, have to change.

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
    inputs.instance(network, "network", nn.Module)
    if type(network).__module__.startswith("torch.nn.modules") and not isinstance(network, nn.Sequential):
        network = nn.Sequential(network)  # a single layer
    found, places = followed(network)
    return tracing.exchanged(network, found, _changed(found, places, layers_or_stride))


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
    inputs.tensor(kernel, "kernel", "... h w")
    step_y, step_x = inputs.pair(dilation, "dilation")
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
        classes = inputs.whole(num_classes, "num_classes")
        inputs.option(form, "form", self.WIDTHS)
        if noise is None:
            noise = 0.001 if form == "large" else 0.0
        noise = inputs.number(noise, "noise", least=0)
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
        TypeError: ``layer`` is no convolution, or a number is none.
        ValueError: The kernel has no centre, a number of channels is no multiple of C, or noise is negative.

    Example:
        >>> layer = nn.Conv2d(2, 2, 3)
        >>> identity_(layer, num_classes=2)
        >>> layer.weight[0, 0], layer.weight[0, 1].any()
        (tensor([[0., 0., 0.],
                [0., 1., 0.],
                [0., 0., 0.]], grad_fn=<SelectBackward0>), tensor(False))
    """
    inputs.instance(layer, "layer", nn.Conv2d)
    noise = inputs.number(noise, "noise", least=0)
    after, before, height, width = layer.weight.shape
    classes = inputs.whole(num_classes, "num_classes")
    if after % classes or before % classes:
        raise ValueError(
            f"expected channels that are multiples of num_classes={classes}, got {before} to {after}; make "
            "them so"
        )
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"expected a kernel with odd sides, got {height} × {width}; this one has no centre")
    group_in = torch.arange(before, device=layer.weight.device) * classes // before
    group_out = torch.arange(after, device=layer.weight.device) * classes // after
    same = (group_out[:, None] == group_in).to(layer.weight)  # (after, before)
    layer.weight.normal_(0, noise, generator=generator) if noise else layer.weight.zero_()
    layer.weight[:, :, height // 2, width // 2] += same * (classes / after)
    if layer.bias is not None:
        layer.bias.zero_()


# --- Shift and stitch: what can go wrong ---


def _run(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The network's map; an image that is too small is said to be so."""
    if not callable(network):
        raise TypeError(f"expected network as a function of images, got {network!r}; pass a module")
    try:
        output = network(image)
    except RuntimeError as error:
        got = size_of(image.shape[2:])
        if isinstance(network, nn.Module):
            least = tracing.least_size(network, image)
            if all(size >= wanted for size, wanted in zip(image.shape[2:], least, strict=True)):
                raise
            raise ValueError(
                f"expected an image of the size of the network's field at least, {size_of(least)}, got "
                f"{got}; take a larger image, or pad it"
            ) from error
        raise ValueError(f"expected an image that the network takes, got {got}: {error}") from error
    return tracing.checked_map(output)


def _check_stride(network: Callable[[Tensor], Tensor], image: Tensor, stride: Pair) -> None:
    """Refuse a stride that is not the network's, as far as the sizes of its outputs tell."""
    # So many pixels more give step + 1 outputs more, and another number at any other stride. A module is
    # probed without computing, so it may be a hundred times as many, which tells the true stride exactly.
    many = 100 if isinstance(network, nn.Module) else 1
    height, width = image.shape[2:]
    here = tracing.map_size(network, image, (height, width))
    for axis, step in enumerate(stride):
        extra = step * (step + 1) * many
        larger = tracing.map_size(
            network, image, (height, width + extra) if axis else (height + extra, width)
        )
        if here is None or larger is None:
            return
        more = larger[axis] - here[axis]
        if more != (step + 1) * many:
            true = f"{extra / more:.0f}" if more else "without end"
            raise ValueError(
                f"expected the network's own stride, which is {true} along {'yx'[axis]} as the sizes of its "
                f"outputs tell, got {stride[0] if stride[0] == stride[1] else stride}"
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


def _changed(
    found: tracing.Trace, places: Mapping[Operation, Place], wanted: int | str | Sequence[str]
) -> dict[Operation, nn.Module]:
    """The dilated layer of each operation that changes."""
    loses_stride = _choice(wanted, places)
    grids = {found.image: _Grid((1, 1), (1, 1))}
    changed = {}
    for each in found.operations:
        here = {grids[before]: before for before in each.inputs}
        if len(here) > 1:
            maps = " and ".join(f"one of stride {grid.now}" for grid in here)
            raise ValueError(
                f"{each.name} joins maps that no longer fit: {maps}; take the stride from both branches"
            )
        grid = next(iter(here))
        if each in places:
            place = places[each]
            stride = place.along("stride")
            left = (1, 1) if loses_stride(place.name, stride, grid) else stride
            if (left, grid.dilation) != (stride, (1, 1)):
                changed[each] = dilated(place, left, grid.dilation)
            grid = _Grid(times(grid.before, stride), times(grid.now, left))
        grids.update(dict.fromkeys(each.outputs, grid))
    if isinstance(wanted, int):
        _check_reached(wanted, [grids[each] for each in found.outputs.values()], set(grids.values()))
    return changed


def _choice(
    wanted: int | str | Sequence[str], places: Mapping[Operation, Place]
) -> Callable[[str, Pair, _Grid], bool]:
    """Which layers lose their stride."""
    if isinstance(wanted, int):
        stride = inputs.whole(wanted, "output stride")
        return lambda name, own, grid: any(stride % now for now in times(grid.now, own))
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list | tuple | set) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"expected names of layers or the output stride wanted, got {wanted!r}; 1 takes every stride"
        )
    if not names:
        raise ValueError("expected the name of at least one layer, got none; 1 takes every stride")
    strided = dict.fromkeys(place.name for place in places.values() if place.along("stride") != (1, 1))
    for name in names:
        if not any(_belongs(layer, name) for layer in strided):
            there = ", ".join(strided) or "none"
            raise ValueError(f"expected names of layers with a stride, got {name!r}; there are: {there}")
    return lambda layer, own, grid: any(_belongs(layer, name) for name in names)


def _belongs(layer: str, name: str) -> bool:
    """Whether a layer is the one of this name, or in the container of this name."""
    return layer == name or layer.startswith(f"{name}.")


def _check_reached(wanted: int, outputs: list[_Grid], grids: set[_Grid]) -> None:
    """Refuse an output stride that no layer's stride leads to."""
    if [max(grid.now[axis] for grid in outputs) for axis in (0, 1)] != [wanted, wanted]:
        able = ", ".join(str(y) for y, x in sorted({grid.before for grid in grids}) if y == x)
        raise ValueError(
            f"expected an output stride that the network passes through ({able}), got {wanted}; to choose "
            "other layers, give their names"
        )
