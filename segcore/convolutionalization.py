r"""A classifier that is run over a whole image at once: its linear layers written as convolutions.

A classifier of 25 × 25 windows can label every place of a photograph: cut out the window around it, classify,
go on. Neighbouring windows overlap, so nearly all of that work is done many times. The convolutions of the
classifier can run on the whole photograph as they are. What follows, ``Flatten`` and ``Linear``, is a
convolution too: a linear layer on a map of C × H × W numbers holds, for every output, as many weights, and
that is a kernel of size H × W. On a map of just that size it fits once; on a larger map it slides:

.. math:: y_o = b_o + \sum_{c,i,j} w_{o,(c,i,j)}\, x_{c,i,j}
   \quad\longrightarrow\quad
   y_o(u, v) = b_o + \sum_{c,i,j} w_{o,(c,i,j)}\, x_{c,\,u+i,\,v+j}.

The numbers are those of the sliding window with the stride of the network. No weight changes, so nothing has
to be trained again:

>>> classifier = PatchClassifier(size=25).eval()
>>> dense = convolutionalize(classifier, input_size=25)
>>> photograph = torch.rand(1, 1, 65, 49)
>>> with torch.no_grad():
...     windows = sliding_window(classifier, photograph, window=25, stride=4)
...     whole = dense(photograph)
>>> whole.shape, torch.allclose(whole, windows, rtol=1e-4, atol=1e-6)
(torch.Size([1, 2, 11, 7]), True)

Only padding stands between the two: a window that is cut out has zeros around it where, inside the
photograph, there are pixels. For a padded classifier (VGG, AlexNet) the dense network run on the crop gives
the classifier's numbers, and on the whole photograph others.

Classifiers over whole images in this way: Sermanet et al. 2014 (OverFeat), Long et al. 2015 (FCN).
Bootstrapping with false alarms, here called mining: Sung & Poggio 1998. Left out: one- and three-dimensional
networks, and classifiers with branches.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from segcore import inputs
from segcore.inputs import size_of

__all__ = [
    "DenseClassifier",
    "PatchClassifier",
    "convolutionalize",
    "hard_negatives",
    "linear_to_conv",
    "sliding_window",
    "windows",
]

Pair = tuple[int, int]  # along y, along x


def linear_to_conv(linear: nn.Linear, input_shape: tuple[int, int, int]) -> nn.Conv2d:
    """Write a linear layer on a flattened map as a convolution whose kernel is as large as the map.

    Args:
        linear: A layer on ``C · H · W`` features. It stays as it is.
        input_shape: ``(C, H, W)`` of the map before it was flattened; ``(C, 1, 1)`` where another linear
            layer comes before.

    Returns:
        A convolution with C input channels, a kernel of H × W and no padding, which holds copies of the
        weights.

    Raises:
        TypeError: ``linear`` is no ``nn.Linear``.
        ValueError: ``input_shape`` is no ``(C, H, W)``, or does not hold as many numbers as the layer takes.

    Example:
        >>> linear = nn.Linear(16 * 5 * 5, 120)
        >>> conv = linear_to_conv(linear, (16, 5, 5))
        >>> conv
        Conv2d(16, 120, kernel_size=(5, 5), stride=(1, 1))
        >>> x = torch.rand(1, 16, 5, 5)
        >>> torch.allclose(conv(x).flatten(1), linear(x.flatten(1)), atol=1e-5)
        True
        >>> conv(torch.rand(1, 16, 8, 9)).shape
        torch.Size([1, 120, 4, 5])
    """
    channels, height, width = _before_flatten(linear, input_shape)
    weight, has_bias = linear.weight, linear.bias is not None
    conv = nn.utils.skip_init(
        nn.Conv2d,
        channels,
        linear.out_features,
        (height, width),
        bias=has_bias,
        device=weight.device,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(weight.reshape(linear.out_features, channels, height, width))
        conv.weight.requires_grad_(weight.requires_grad)
        if has_bias:
            conv.bias.copy_(linear.bias)
            conv.bias.requires_grad_(linear.bias.requires_grad)
    return conv.train(linear.training)


class DenseClassifier(nn.Sequential):
    """A convolutionalized classifier, made by :func:`convolutionalize`.

    Takes images ``(N, C, H, W)`` of ``least`` size or more and gives scores ``(N, K, h, w)``. Unit (i, j)
    says what the classifier says of the window whose upper left pixel is (i · stride, j · stride), for a
    padded classifier but for what its padding does. Layers have the names that they had in the classifier.

    Attributes:
        window: Height and width of the windows that the classifier was given.
        least: The smallest image that gives an output, (y, x); ``window``, or less where the classifier does
            not look at its last rows.
        stride: Pixels from one unit to the next, (y, x).
    """

    window: Pair = (0, 0)
    least: Pair = (0, 0)
    stride: Pair = (1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Image ``(N, C, H, W)`` to scores ``(N, K, h, w)``."""
        try:
            return super().forward(image)
        except RuntimeError as error:
            if isinstance(image, Tensor) and image.dim() == 4:
                _check_least(image, self.least, "for the classifier's window")
            raise error


def convolutionalize(classifier: nn.Module, input_size: int | Pair) -> DenseClassifier:
    """Turn a classifier of windows into a network that gives its scores for all windows of an image.

    The layers before ``Flatten`` stay. Every ``Linear`` becomes a convolution: the first with a kernel of the
    size of the map that it has been given, those after it with 1 × 1. ``Flatten`` goes. An
    ``AdaptiveAvgPool2d`` that has nothing to do at ``input_size`` goes too; one that takes the mean of the
    whole map (output 1 × 1) becomes an average pool of the size of that map. ``Dropout`` stays as it is: in
    training each place of the map draws its own units, as each window would. ``BatchNorm1d`` becomes
    ``BatchNorm2d``. Weights are copies, so the classifier stays as it was.

    Args:
        classifier: ``(N, C, H, W)`` to ``(N, K)``: an ``nn.Sequential``, or any module that runs one layer
            after the other, such as torchvision's AlexNet and VGG.
        input_size: Of the windows that the classifier takes, one number or (height, width). 224 for AlexNet
            and VGG.

    Returns:
        The network, with its ``window``, ``least`` image and ``stride``. It adds no padding of its own: a
        window gives 1 × 1 outputs.

    Raises:
        TypeError: ``classifier`` is no module.
        ValueError: A layer looks at more than one place in a way that no convolution does, such as a pooling
            with ``ceil_mode`` whose last window hangs over the map, or the layers do not follow one another
            (the message names the layer); ``input_size`` gives a map that the linear
            layers do not take (the message names the right sizes).

    Example:
        >>> layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 3 * 3, 10)]
        >>> dense = convolutionalize(nn.Sequential(*layers), input_size=8)
        >>> dense
        DenseClassifier(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): ReLU()
          (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
          (3): Identity()
          (4): Conv2d(8, 10, kernel_size=(3, 3), stride=(1, 1))
        )
        >>> dense(torch.rand(1, 3, 8, 8)).shape, dense(torch.rand(1, 3, 60, 80)).shape
        (torch.Size([1, 10, 1, 1]), torch.Size([1, 10, 27, 37]))
        >>> dense.stride
        (2, 2)
    """
    size = inputs.pair(input_size, "input_size", axes="height, width")
    before, pools, after = _parts(_calls(classifier))
    before = _rounding_down(before, size)
    axes = [_Axis.of([layer for _, layer in before], axis) for axis in (0, 1)]
    map_shape = _map_shape(before, axes, size)
    _check_size(size, axes, map_shape, pools, after)
    shape, dense = map_shape, DenseClassifier()
    for name, layer in before:
        _put(dense, name, copy.deepcopy(layer))
    for name, pool in pools:  # one at most
        shape = (shape[0], *_pooled(pool))
        mean = nn.AvgPool2d(map_shape[1:], stride=1)
        _put(dense, name, nn.Identity() if shape == map_shape else mean)
    for name, layer in after:
        if isinstance(layer, nn.Linear):
            _put(dense, name, linear_to_conv(layer, shape))
            shape = (layer.out_features, 1, 1)
        else:
            _put(dense, name, _pointwise(name, layer, alone=shape[1:] == (1, 1)))
    _check_one_place(shape, size)
    dense.window, dense.stride = size, (axes[0].stride, axes[1].stride)
    dense.least = axes[0].least(map_shape[1]), axes[1].least(map_shape[2])
    return _in_mode_of(classifier, dense)


def windows(image: Tensor, window: int | Pair, stride: int | Pair = 1) -> Tensor:
    """All windows of an image, as a view: nothing is copied.

    Args:
        image: ``(N, C, H, W)``.
        window: Height and width, one number or (y, x).
        stride: Pixels from one window to the next, one number or (y, x).

    Returns:
        ``(N, h, w, C, height, width)`` with h = (H - height) // stride + 1: entry (n, i, j) is the window
        whose upper left pixel is (i · stride, j · stride).

    Raises:
        TypeError: ``image`` is no tensor.
        ValueError: ``image`` has another rank or is smaller than the window; ``window`` or ``stride`` is
            below 1 or not whole.

    Example:
        >>> image = torch.arange(12).reshape(1, 1, 3, 4)
        >>> all_of_them = windows(image, window=2, stride=2)
        >>> all_of_them.shape
        torch.Size([1, 1, 2, 1, 2, 2])
        >>> all_of_them[0, 0, 1, 0]
        tensor([[2, 3],
                [6, 7]])
    """
    (height, width), (down, right) = inputs.pair(window, "window"), inputs.pair(stride, "stride")
    inputs.tensor(image, "image", "N C H W")
    _check_least(image, (height, width), "for the window")
    return image.unfold(2, height, down).unfold(3, width, right).permute(0, 2, 3, 1, 4, 5)


def sliding_window(
    classifier: Callable[[Tensor], Tensor],
    image: Tensor,
    window: int | Pair,
    stride: int | Pair = 1,
    batch_size: int = 256,
) -> Tensor:
    """Classify every window of an image by brute force, many windows at a time.

    Args:
        classifier: ``(B, C, height, width)`` to scores ``(B, K)``. In eval mode, else dropout draws.
        image: ``(N, C, H, W)``.
        window: Height and width, one number or (y, x).
        stride: Pixels from one window to the next, one number or (y, x).
        batch_size: Windows that are copied and classified together.

    Returns:
        ``(N, K, h, w)`` with h = (H - height) // stride + 1. Differentiable; run it under
        ``torch.no_grad()`` where no gradient is wanted, for there are many windows.

    Raises:
        TypeError: ``image`` is no tensor, or ``classifier`` cannot be called.
        ValueError: As in :func:`windows`; or the classifier gives no ``(B, K)``.

    Example:
        >>> image = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> sliding_window(lambda patches: patches.mean((2, 3)), image, window=2, stride=1)
        tensor([[[[2.5000, 3.5000, 4.5000],
                  [6.5000, 7.5000, 8.5000]]]])
    """
    batch_size = inputs.whole(batch_size, "batch_size")
    if not callable(classifier):
        raise TypeError(f"expected classifier as a function, got {classifier!r}; pass a network")
    view = windows(image, window, stride)
    count, rows, columns = view.shape[:3]
    numbers = torch.arange(count * rows * columns, device=image.device)
    scores = []
    for chunk in numbers.split(batch_size):
        n, i, j = chunk // (rows * columns), chunk // columns % rows, chunk % columns
        scores.append(_scores(classifier, view[n, i, j]))
    found = torch.cat(scores)
    return found.reshape(count, rows, columns, found.shape[1]).permute(0, 3, 1, 2)


class PatchClassifier(nn.Module):
    """A small classifier of square windows: two convolutions with pooling, two linear layers, no padding.

    For a window of 25: 4 × 4 convolution to 22, pooling to 11, 4 × 4 convolution to 8, pooling to 4, and a
    linear layer on the 4 × 4 map. Every pixel of the window is seen.

    Args:
        size: Of the windows: 13, 17, 21, 25, ...
        in_channels: 1 for grey, 3 for colour.
        num_classes: Scores for each window.
        width: Channels of the first convolution; the second one has twice as many.

    Attributes:
        size: Of the windows.
        stride: Pixels from one unit to the next of the dense network that it becomes.

    Raises:
        ValueError: ``size`` leaves rows over (the message names the next sizes that do not), or another
            number is below 1.

    Example:
        >>> classifier = PatchClassifier(size=25)
        >>> classifier(torch.rand(8, 1, 25, 25)).shape
        torch.Size([8, 2])
        >>> classifier(torch.rand(1, 1, 64, 64))
        Traceback (most recent call last):
        ...
        ValueError: expected windows of 25 × 25, got 64 × 64; cut windows out, ... convolutionalize(..., 25)
    """

    stride = 4

    def __init__(self, size: int = 25, in_channels: int = 1, num_classes: int = 2, width: int = 16) -> None:
        super().__init__()
        names = ("size", "in_channels", "num_classes", "width")
        given = zip((size, in_channels, num_classes, width), names, strict=True)
        size, in_channels, num_classes, width = (inputs.whole(*each) for each in given)
        if size % 4 != 1 or size < 13:
            below, above = max(13, (size - 1) // 4 * 4 + 1), max(17, (size - 1) // 4 * 4 + 5)
            raise ValueError(
                f"expected a size such as {below} or {above}, of which the poolings leave no row over, "
                f"got {size}; take one of them"
            )
        self.size, side = size, (size - 9) // 4
        self.features = nn.Sequential(
            *(nn.Conv2d(in_channels, width, 4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(width, 2 * width, 4), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Linear(2 * width * side * side, 2 * width), nn.ReLU()),
            *(nn.Dropout(0.5), nn.Linear(2 * width, num_classes)),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Windows ``(B, C, size, size)`` to scores ``(B, K)``."""
        try:
            return self.classifier(self.features(patches))
        except RuntimeError as error:
            if isinstance(patches, Tensor) and patches.shape[2:] != (self.size, self.size):
                raise ValueError(
                    f"expected windows of {self.size} × {self.size}, got {size_of(patches.shape[2:])}; cut "
                    f"windows out, or take the whole image at once with convolutionalize(..., {self.size})"
                ) from error
            raise


@torch.no_grad()
def hard_negatives(
    dense: DenseClassifier,
    images: Iterable[Tensor],
    positive: int = 1,
    threshold: float = 0.0,
    limit: int = 100,
) -> Tensor:
    """Cut the windows out of images without the thing that the classifier takes for the thing.

    Put among the negatives, they teach the classifier what it does not know yet.

    Args:
        dense: From :func:`convolutionalize`, for windows of one kind against others. It runs in eval mode and
            stays in the mode in which it was.
        images: Each ``(C, H, W)``; they may differ in size. None of them shows the thing.
        positive: The class of the thing.
        threshold: A window is a false alarm if its margin, the score of ``positive`` less the best of the
            others, is above this. With a single class the margin is the score itself.
        limit: At most so many windows of each image, those with the largest margins.

    Returns:
        ``(M, C, height, width)``, image after image, the worst false alarm of each first. M may be 0.

    Raises:
        TypeError: ``dense`` has no window and stride, an image is no tensor, or a number is of another type.
        ValueError: An image has another rank or is smaller than the window; ``positive`` is no class;
            there is no image; ``limit`` is below 1.

    Example:
        >>> dense = convolutionalize(PatchClassifier(), 25)
        >>> images = [torch.rand(1, 100, 80), torch.rand(1, 60, 60)]
        >>> hard_negatives(dense, images, threshold=-1e9, limit=5).shape
        torch.Size([10, 1, 25, 25])
    """
    inputs.instance(dense, "dense", DenseClassifier, "make it with convolutionalize(classifier, input_size)")
    limit = inputs.whole(limit, "limit")
    if not isinstance(images, Iterable):
        raise TypeError(f"expected images as a list of tensors, got {images!r}; give [image]")
    if not (isinstance(threshold, float) and math.isinf(threshold)):
        threshold = inputs.number(threshold, "threshold")
    found = []
    modes = [(module, module.training) for module in dense.modules()]
    dense.eval()
    try:
        for image in images:
            scores = dense(inputs.tensor(image, "image", "C H W")[None])[0]
            margin = _margin(scores, positive).flatten()
            order = margin.argsort(descending=True)[:limit]
            order = order[margin[order] > threshold]
            i, j = order // scores.shape[2], order % scores.shape[2]
            found.append(windows(image[None], dense.least, dense.stride)[0, i, j])
    finally:
        for module, mode in modes:
            module.training = mode
    if not found:
        raise ValueError("expected at least one image, got none; give a list of them")
    return torch.cat(found)


# --- The layers of a classifier, in the order in which they run ---

_PADDING = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)
_WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LocalResponseNorm, nn.BatchNorm2d, *_PADDING)
_POINTWISE_IN = ("torch.nn.modules.activation", "torch.nn.modules.dropout")
_NOT_POINTWISE = (nn.MultiheadAttention, nn.GLU, nn.Softmin)
_POOLING = ("kernel_size", "stride", "padding")
_FUNCTIONS: dict[
    str, tuple[Any, tuple[str, ...]]
] = {  # the layer, and what the function's arguments are in it
    **dict.fromkeys(("relu", "relu_"), (nn.ReLU, ("inplace",))),
    "max_pool2d": (nn.MaxPool2d, (*_POOLING, "dilation", "ceil_mode", "return_indices")),
    "avg_pool2d": (nn.AvgPool2d, (*_POOLING, "ceil_mode", "count_include_pad", "divisor_override")),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d, ("output_size",)),
    "flatten": (nn.Flatten, ("start_dim", "end_dim")),
}


def _calls(classifier: nn.Module) -> list[tuple[str, nn.Module]]:
    """Name and layer of each call, from first to last; functions such as ``torch.flatten`` as layers."""
    inputs.instance(classifier, "classifier", nn.Module)
    if isinstance(classifier, nn.Linear | nn.Conv2d):
        raise ValueError("expected a whole classifier, got one layer; use linear_to_conv for a Linear")
    try:
        graph = fx.Tracer().trace(classifier)
    except Exception as error:  # a forward may fail in any way when it is traced
        raise ValueError(
            f"expected a classifier that torch.fx can trace, got {type(classifier).__name__}: {error}; put "
            "its layers into an nn.Sequential"
        ) from error
    calls: dict[str, nn.Module] = {}
    last = None
    for node in graph.nodes:
        if node.op == "placeholder":
            last = last or node
        elif node.op != "output" and not _is_size(node):
            if not node.args or node.args[0] is not last or len(set(node.all_input_nodes) - {last}) > 1:
                raise ValueError(_not_a_chain(node))
            name = str(node.target) if node.op == "call_module" else node.name
            while name in calls:
                name += "_"  # a layer without weights, such as one ReLU, may serve several times
            calls[name], last = _layer(classifier, node), node
    return list(calls.items())


def _layer(classifier: nn.Module, node: fx.Node) -> nn.Module:
    """The layer that a node calls, or a layer that does what its function does."""
    if node.op == "call_module":
        return classifier.get_submodule(str(node.target))
    name = _name(node)
    if name in ("view", "reshape") and len(node.args) == 3 and node.args[2] == -1:
        return nn.Flatten()
    if name not in _FUNCTIONS:
        raise ValueError(_not_a_chain(node))
    kind, names = _FUNCTIONS[name]
    options: dict[str, Any] = {"start_dim": 0} if kind is nn.Flatten else {}  # a Flatten's own default is 1
    options.update(zip(names, node.args[1:], strict=False), **node.kwargs)
    return kind(**{key: value for key, value in options.items() if key != "inplace"})


def _is_size(node: fx.Node) -> bool:
    """Whether a node only asks for the size of a map, as ``x.view(x.size(0), -1)`` does."""
    name = _name(node)
    asks = name == "size" or (name == "getattr" and node.args[1] == "shape")
    return bool(asks) or (name == "getitem" and _is_size(node.all_input_nodes[0]))


def _name(node: fx.Node) -> str:
    """Of the function, method or layer that a node calls."""
    return getattr(node.target, "__name__", str(node.target))


def _not_a_chain(node: fx.Node) -> str:
    """The message for a call that is no layer in a chain."""
    return (
        f"expected a classifier that runs one layer after the other, got the call {_name(node)}() at "
        f"{node.name!r}; branches, sums and other functions are not handled: put the layers into an "
        "nn.Sequential"
    )


Calls = list[tuple[str, nn.Module]]
Pools = list[tuple[str, nn.AdaptiveAvgPool2d]]


def _parts(calls: Calls) -> tuple[Calls, Pools, Calls]:
    """The layers on maps, the adaptive pool behind them (none or one), and what comes from ``Flatten`` on."""
    before: Calls = []
    pools: Pools = []
    after: Calls = []
    for name, layer in calls:
        if isinstance(layer, nn.AdaptiveAvgPool2d) and not pools and not after:
            pools.append((name, layer))
        elif isinstance(layer, nn.Flatten) or after or pools:
            _check_on_features(name, layer)
            after.append((name, layer))
        else:
            _check_on_map(name, layer)
            before.append((name, layer))
    if not any(isinstance(layer, nn.Conv2d) for _, layer in before):
        raise ValueError("expected a classifier with an nn.Conv2d before its Flatten, got none")
    return before, pools, after


def _check_on_map(name: str, layer: nn.Module) -> None:
    """Refuse a layer that, on a map, is no convolution or the like."""
    _check_batch_norm(name, layer)
    if isinstance(layer, nn.Linear):
        raise ValueError(f"expected Flatten before the first Linear, got {name!r} on a map; insert Flatten")
    if not isinstance(layer, _WINDOWED) and not (_is_pointwise(layer) and getattr(layer, "dim", 1) == 1):
        raise ValueError(
            "expected convolutions, poolings, BatchNorm2d, activations and Dropout before Flatten, got "
            f"{name!r} ({type(layer).__name__}), which a larger image would change"
        )


def _check_on_features(name: str, layer: nn.Module) -> None:
    """Refuse a layer behind the map that could not slide over it."""
    if isinstance(layer, nn.Flatten):
        if (layer.start_dim, layer.end_dim) != (1, -1):
            raise ValueError(f"expected {name!r} as Flatten() from axis 1 on, got {layer}")
        return
    _check_batch_norm(name, layer)
    softmax_over_batch = isinstance(layer, nn.Softmax | nn.LogSoftmax) and layer.dim not in (None, 1, -1)
    if softmax_over_batch or not (isinstance(layer, nn.Linear | nn.BatchNorm1d) or _is_pointwise(layer)):
        raise ValueError(
            "expected Linear, BatchNorm1d, activations and Dropout after the map, got "
            f"{name!r} ({layer if softmax_over_batch else type(layer).__name__})"
        )


def _check_batch_norm(name: str, layer: nn.Module) -> None:
    """Refuse statistics that are the batch's own: those of a window are not those of the image."""
    if getattr(layer, "track_running_stats", True) is False:
        raise ValueError(
            f"expected {name!r} with running statistics, got {layer}, which a larger image would change; "
            "make it with track_running_stats=True"
        )


def _rounding_down(before: Calls, size: Pair) -> Calls:
    """The layers without ``ceil_mode``; refused where it gives the window an output more.

    The last window of that output hangs over the map. In a larger image it lies on pixels.
    """
    layers: Calls = []
    for name, layer in before:
        if getattr(layer, "ceil_mode", False):
            layer = copy.deepcopy(layer)
            layer.ceil_mode = False  # type: ignore[assignment]
            for axis in (0, 1):
                pool = _Axis.of([layer], axis)
                cells, rest = divmod(size[axis] - pool.reach, pool.stride)
                inside = (cells + 1) * pool.stride < size[axis] + _along(layer.padding, axis)
                if size[axis] >= pool.smallest and rest and inside:
                    raise ValueError(
                        f"expected poolings that cover the map, got {name!r} with ceil_mode=True on a map of "
                        f"{size_of(size)}: its last window hangs over, and would lie on pixels in a larger "
                        "image; set ceil_mode=False, or choose another input_size"
                    )
        size = _Axis.of([layer], 0).cells(size[0]), _Axis.of([layer], 1).cells(size[1])
        layers.append((name, layer))
    return layers


def _is_pointwise(layer: nn.Module) -> bool:
    """Whether a layer treats every place of a map alike and by itself."""
    if isinstance(layer, nn.Identity):
        return True
    return type(layer).__module__ in _POINTWISE_IN and not isinstance(layer, _NOT_POINTWISE)


def _pointwise(name: str, layer: nn.Module, alone: bool) -> nn.Module:
    """A copy of a layer on features that does the same at every place of a map.

    Behind ``Flatten`` a feature is a channel at a place, until a ``Linear`` has put them together: then each
    place of the map stands alone.
    """
    if isinstance(layer, nn.Flatten):
        return nn.Identity()
    by_feature = nn.Softmax | nn.LogSoftmax | nn.BatchNorm1d
    if not alone and (isinstance(layer, by_feature) or getattr(layer, "num_parameters", 1) > 1):
        raise ValueError(
            f"expected {name!r} ({type(layer).__name__}) after the first Linear, got it before: its features "
            "lie at many places of the map; move it"
        )
    new = copy.deepcopy(layer)
    if isinstance(new, nn.Softmax | nn.LogSoftmax):
        new.dim = 1  # the channels; on (N, K) they are the last axis, too
    if not isinstance(new, nn.BatchNorm1d):
        return new
    over_map = nn.BatchNorm2d(new.num_features)
    over_map.__dict__.update(new.__dict__)  # its options, parameters and buffers
    return over_map


def _in_mode_of(classifier: nn.Module, dense: DenseClassifier) -> DenseClassifier:
    """Set what is new to the mode of the classifier; the layers have theirs already."""
    for module in dense.modules():
        if isinstance(module, nn.Sequential | nn.Identity):
            module.training = classifier.training
    return dense


def _put(dense: nn.Sequential, name: str, layer: nn.Module) -> None:
    """Append a layer under its dotted name."""
    *outer, own = name.split(".")
    place: nn.Module = dense
    for each in outer:
        if each not in place._modules:
            place.add_module(each, nn.Sequential())
        elif each != next(reversed(place._modules)):
            raise ValueError(f"expected the layers of {each!r} to run together, got {name!r} after others")
        place = place.get_submodule(each)
    place.add_module(own, layer)


# --- Sizes: of the map that the linear layers want, and of the images that give it ---


class _Axis(NamedTuple):
    """What the layers before ``Flatten`` make of rows, or of columns: (size - reach) // stride + 1 cells.

    Attributes:
        reach: Pixels that a cell looks at, less the padding.
        stride: Pixels from one cell to the next: so many sizes give the same map.
        smallest: Below this a layer is left without a cell.
    """

    reach: int
    stride: int
    smallest: int

    @classmethod
    def of(cls, layers: Iterable[Any], axis: int) -> _Axis:
        """Of these layers together, along y (axis 0) or x (axis 1)."""
        reach = stride = smallest = 1
        for layer in layers:
            step = 1
            if isinstance(layer, _PADDING):
                left, right, top, bottom = layer.padding
                reach -= stride * (left + right if axis else top + bottom)
            elif isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                more = (_along(layer.kernel_size, axis) - 1) * _along(getattr(layer, "dilation", 1), axis)
                if layer.padding != "same":
                    reach += stride * (
                        more - 2 * (_along(layer.padding, axis) if layer.padding != "valid" else 0)
                    )
                step = _along(layer.stride, axis)
            smallest = max(smallest, reach)
            stride *= step
        return cls(reach, stride, smallest)

    def cells(self, size: int) -> int:
        """Of the map of an image, 0 where the image is too small."""
        return (size - self.reach) // self.stride + 1 if size >= self.smallest else 0

    def least(self, cells: int) -> int:
        """The smallest size that gives so many."""
        return max(self.smallest, self.reach + (cells - 1) * self.stride)

    def sizes(self, cells: int) -> str:
        """All sizes that give so many, in words."""
        least, most = self.least(cells), self.least(cells + 1) - 1
        return str(least) if least == most else f"{least} to {most}"


def _map_shape(before: Calls, axes: list[_Axis], size: Pair) -> tuple[int, int, int]:
    """Shape ``(C, H, W)`` of the map that the layers before Flatten make of one window."""
    channels = [layer.out_channels for _, layer in before if isinstance(layer, nn.Conv2d)][-1]
    return channels, axes[0].cells(size[0]), axes[1].cells(size[1])


def _check_size(
    size: Pair, axes: Sequence[_Axis], shape: tuple[int, int, int], pools: Pools, after: Calls
) -> None:
    """Refuse a size of windows whose map is not the one that the linear layers were made for."""
    wanted = _wanted(shape, pools, after)
    if wanted is None and 0 in shape:
        least = size_of([axis.least(1) for axis in axes])
        raise ValueError(f"expected an input_size of {least} or more, which gives a map, got {size_of(size)}")
    if wanted is not None and wanted != shape[1:]:
        right = [axis.sizes(cells) for axis, cells in zip(axes, wanted, strict=True)]
        got = f"a map of {size_of(shape[1:])}" if 0 not in shape else "none"
        raise ValueError(
            f"expected an input_size with a map of {size_of(wanted)}, which the linear layers take: "
            f"{right[0] if right[0] == right[1] else size_of(right)}; got {size_of(size)}, which gives {got}"
        )


def _wanted(shape: tuple[int, int, int], pools: Pools, after: Calls) -> Pair | None:
    """The size that the map must have, None if any will do."""
    linear = next((layer for _, layer in after if isinstance(layer, nn.Linear)), None)
    if pools or linear is None:
        size = _pooled(pools[0][1]) if pools else (1, 1)
        return None if size == (1, 1) else size
    channels, height, width = shape
    area, rest = divmod(linear.in_features, channels)
    if not rest and height * width == area:
        return height, width
    side = round(area**0.5)
    if rest or side * side != area:
        raise ValueError(
            f"expected a map of {linear.in_features} numbers for the first Linear, got {channels} "
            f"× {height} × {width}; the layer was made for another input_size or for other layers"
        )
    return side, side


def _along(value: Any, axis: int) -> int:
    """One number, or that of an axis."""
    return value[axis] if isinstance(value, tuple | list) else value


def _pooled(pool: nn.AdaptiveAvgPool2d) -> Pair:
    """The size that an adaptive pool gives."""
    size = pool.output_size
    height, width = size if isinstance(size, tuple | list) else (size, size)
    if height is None or width is None:
        raise ValueError(f"expected AdaptiveAvgPool2d with an output size in numbers, got {pool}")
    return height, width


# --- Scores ---


def _scores(classifier: Callable[[Tensor], Tensor], patches: Tensor) -> Tensor:
    """The classifier's scores ``(B, K)``."""
    scores = classifier(patches)
    if isinstance(scores, Tensor) and scores.dim() == 4 and scores.shape[2:] == (1, 1):
        scores = scores.flatten(1)
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(patches):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"expected the classifier to give scores ({len(patches)}, K), got {got}")
    return scores


def _margin(scores: Tensor, positive: int) -> Tensor:
    """By how much the positive class leads, ``(h, w)``, of scores ``(K, h, w)``."""
    count = len(scores)
    known = range(-count, count)
    if isinstance(positive, bool) or inputs.whole(positive, "positive", least=-sys.maxsize) not in known:
        raise ValueError(
            f"expected positive as one of the {count} classes, got {positive}; they count from 0"
        )
    if count == 1:
        return scores[0]
    others = torch.cat([scores[: positive % count], scores[positive % count + 1 :]])
    return scores[positive] - others.amax(0)


# --- What can go wrong ---


def _before_flatten(linear: nn.Linear, input_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape ``(C, H, W)``, once it is that of a map on which the layer works."""
    inputs.instance(linear, "linear", nn.Linear)
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(f"expected input_shape as (C, H, W), got {input_shape!r}; give three numbers")
    channels, height, width = (inputs.whole(each, "input_shape") for each in input_shape)
    if channels * height * width != linear.in_features:
        raise ValueError(
            f"expected an input_shape of {linear.in_features} numbers, which the layer takes, got "
            f"{size_of(input_shape)} = {channels * height * width}; it is the shape of the map before "
            "Flatten"
        )
    return channels, height, width


def _check_one_place(shape: tuple[int, ...], size: Pair) -> None:
    """Refuse a classifier that gives a map for one window."""
    if shape[1:] != (1, 1):
        raise ValueError(
            f"expected scores (N, K) for a window of {size_of(size)}, got a map of "
            f"{size_of(shape[1:])} for each class; add a Linear or, before Flatten, AdaptiveAvgPool2d(1)"
        )


def _check_least(image: Tensor, least: Pair, why: str) -> None:
    """Refuse an image that is smaller than a window."""
    height, width = image.shape[-2:]
    if height < least[0] or width < least[1]:
        raise ValueError(
            f"expected an image of at least {size_of(least)} {why}, got {height} × {width}; "
            "enlarge it, or pad it"
        )
