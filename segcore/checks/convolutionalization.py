"""Exercises of chapter 4: a layer as a kernel, windows by brute force, one pass, boxes, hard negatives.

The references are written apart from `segcore.convolutionalization`. Every mistake is a reference with one
thing wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore.checks.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


# 4.1 -----------------------------------------------------------------------------------------------


def linear_to_kernel(weight: Tensor, shape: Sequence[int]) -> Tensor:
    """The weight ``(K, C·H·W)`` of a linear layer as a kernel ``(K, C, H, W)``, number by number."""
    channels, height, width = shape
    kernel = weight.new_zeros(len(weight), channels, height, width)
    for column in range(weight.shape[1]):
        place, x = divmod(column, width)
        channel, y = divmod(place, height)
        kernel[:, channel, y, x] = weight[:, column]
    return kernel


def _kernel_cases(generator: torch.Generator) -> list[Case]:
    def numbered(outputs: int, shape: tuple[int, int, int]) -> tuple[Tensor, tuple[int, int, int]]:
        inputs = shape[0] * shape[1] * shape[2]
        return torch.arange(1.0, outputs * inputs + 1).reshape(outputs, inputs), shape

    cases = [
        Case(numbered(1, (1, 2, 3)), "one output on a map of one channel, two rows, three columns"),
        Case(numbered(1, (2, 2, 2)), "two channels"),
        Case(numbered(2, (1, 3, 2)), "two outputs; higher than wide"),
        Case(numbered(3, (4, 1, 1)), "a map of one pixel: the second linear layer"),
        Case(numbered(2, (3, 2, 3)), "two outputs, three channels"),
    ]
    for shape in ((3, 4, 2), (2, 3, 5), (4, 4, 4), (5, 2, 2)):
        inputs = shape[0] * shape[1] * shape[2]
        cases.append(Case((torch.randn(6, inputs, generator=generator), shape)))
    return cases


def _channels_last(weight: Tensor, shape: Sequence[int]) -> Tensor:
    channels, height, width = shape
    return weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _down_the_columns(weight: Tensor, shape: Sequence[int]) -> Tensor:
    channels, height, width = shape
    return weight.reshape(-1, channels, width, height).mT


def _axes_exchanged(weight: Tensor, shape: Sequence[int]) -> Tensor:
    return linear_to_kernel(weight, shape).mT


def _outputs_and_inputs(weight: Tensor, shape: Sequence[int]) -> Tensor:
    return linear_to_kernel(weight, shape).transpose(0, 1)


def _columns_as_outputs(weight: Tensor, shape: Sequence[int]) -> Tensor:
    return linear_to_kernel(weight.T.reshape(weight.shape), shape)


def _channel_axis_last(weight: Tensor, shape: Sequence[int]) -> Tensor:
    channels, height, width = shape
    return weight.reshape(-1, height, width, channels)


def _outputs_run_fastest(weight: Tensor, shape: Sequence[int]) -> Tensor:
    return weight.reshape(*shape, -1).permute(3, 0, 1, 2)


def _channels_before_outputs(weight: Tensor, shape: Sequence[int]) -> Tensor:
    channels, height, width = shape
    return weight.reshape(channels, -1, height, width)


def _width_before_height(weight: Tensor, shape: Sequence[int]) -> Tensor:
    channels, height, width = shape
    return weight.reshape(-1, channels, width, height)


KERNEL = Exercise(
    "4.1",
    "A linear layer is a convolution",
    linear_to_kernel,
    _kernel_cases,
    axes=("output", "channel", "row", "column"),
    plan=(
        "Take one row of the matrix, the weights of one output. Write beside each weight which channel, "
        "row and column of the map it belongs to.",
        "Flatten goes channel by channel, each row by row. Which index changes fastest along your list, "
        "which slowest?",
        "Compare with how a tensor of outputs, channels, rows and columns lies in memory. Does any "
        "weight have to move, or is it only the shape that changes?",
    ),
    mistakes=(
        Mistake(
            "channels last",
            _channels_last,
            "You read the row of weights as if the channel ran fastest. Flatten leaves C, H, W in this "
            "order: which of the three changes from one weight to the next?",
        ),
        Mistake(
            "down the columns",
            _down_the_columns,
            "You fill each channel down its columns. Flatten goes through a channel row by row, from left to "
            "right.",
        ),
        Mistake(
            "height and width exchanged",
            _axes_exchanged,
            "The kernel lies on its side: its rows and columns are exchanged. Maps and kernels are ordered "
            "outputs, channels, height, width.",
        ),
        Mistake(
            "flipped",
            lambda weight, shape: linear_to_kernel(weight, shape).flip(-1, -2),
            "Your kernel is turned round. Torch's convolution lays a kernel on the map as it is, without "
            "flipping it, so each weight stays where its pixel is.",
        ),
        Mistake(
            "one pixel",
            lambda weight, shape: weight.reshape(*weight.shape, 1, 1),
            "A 1×1 kernel looks at one place of the map. The linear layer looks at all of it, and the map "
            "has C channels, not C times H times W.",
        ),
        Mistake(
            "outputs and channels exchanged",
            _outputs_and_inputs,
            "The first axis of a kernel counts the outputs, the second one the input channels. Yours has "
            "them the other way round.",
        ),
        Mistake(
            "columns as outputs",
            _columns_as_outputs,
            "You went through the matrix column by column. In a linear layer a row belongs to an output: "
            "the weights of output 0 are the first row.",
        ),
        Mistake(
            "channel axis last",
            _channel_axis_last,
            "Your axes are output, row, column, channel. A torch kernel has the channels right after the "
            "outputs, and Flatten took them in that order.",
        ),
        Mistake(
            "outputs last",
            lambda weight, shape: weight.reshape(*shape, -1),
            "Your outputs are the last axis. They come first in the matrix, one row each, and they come "
            "first in a kernel.",
        ),
        Mistake(
            "outputs run fastest",
            _outputs_run_fastest,
            "You read the matrix as if neighbouring numbers belonged to different outputs. The weights of "
            "one output stand together, in one row.",
        ),
        Mistake(
            "channels before outputs",
            _channels_before_outputs,
            "You made the channels the first axis. With one output and one channel nobody can tell; else "
            "the rows of the matrix are outputs, and they go first.",
        ),
        Mistake(
            "width before height",
            _width_before_height,
            "Rows and columns of the map have changed places. Its shape is given as channels, height, "
            "width, and the kernel keeps that order.",
        ),
        Mistake(
            "all outputs in one",
            lambda weight, shape: weight[:1].reshape(-1, *shape),
            "One kernel came. Each row of the matrix is an output of its own and becomes a kernel of its "
            "own.",
        ),
    ),
)


# 4.2 -----------------------------------------------------------------------------------------------


def mean_and_corner(patches: Tensor) -> Tensor:
    """Two scores: the mean of a window, and its upper left pixel."""
    return torch.stack([patches.mean((1, 2, 3)), patches[:, 0, 0, 0]], dim=1)


def sums(patches: Tensor) -> Tensor:
    """One score: the sum of the window."""
    return patches.sum((1, 2, 3))[:, None]


def slopes(patches: Tensor) -> Tensor:
    """Three scores: the slope along y, along x, and the largest value."""
    down = patches.diff(dim=2).mean((1, 2, 3))
    return torch.stack([down, patches.diff(dim=3).mean((1, 2, 3)), patches.amax((1, 2, 3))], dim=1)


def sliding_window(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    """Scores ``(K, h, w)`` of the windows of an image ``(C, H, W)``, cut out one by one."""
    return _scored(classifier, image, window, stride)


def _scored(
    classifier: Callable[[Tensor], Tensor],
    image: Tensor,
    window: int,
    stride: int,
    *,
    missing: int = 0,
    start: Callable[[int], int] | None = None,
) -> Tensor:
    rows, columns = ((size - window) // stride + 1 - missing for size in image.shape[1:])
    at = start or (lambda index: index * stride)
    scores = [
        [
            classifier(image[None, :, at(i) : at(i) + window, at(j) : at(j) + window])[0]
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    if not rows or not columns:
        return torch.zeros(classifier(image[None, :, :window, :window]).shape[1], rows, columns)
    return torch.stack([torch.stack(row, dim=-1) for row in scores], dim=-2)


def _hanging_over(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    down, right = (-(size - window) % stride for size in image.shape[1:])
    return _scored(classifier, F.pad(image, (0, right, 0, down)), window, stride)


def _shuffled(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    scores = _scored(classifier, image, window, stride)
    return scores.permute(1, 2, 0).reshape(scores.shape)


def _window_cases(generator: torch.Generator) -> list[Case]:
    def numbered(height: int, width: int) -> Tensor:
        return torch.arange(1.0, height * width + 1).reshape(1, height, width)

    cases = [
        Case((sums, numbered(2, 3), 2, 1), "the sum of 2×2 pixels, stride 1"),
        Case((mean_and_corner, numbered(4, 6), 2, 2), "two scores, stride 2"),
        Case((sums, numbered(5, 4), 3, 2), "the last column is left over"),
        Case((mean_and_corner, numbered(4, 4), 4, 3), "the window is as large as the image"),
        Case((mean_and_corner, numbered(6, 5), 1, 2), "windows of one pixel, with gaps"),
    ]
    for function, shape, window, stride in (
        (slopes, (1, 9, 12), 4, 2),
        (mean_and_corner, (3, 11, 8), 5, 1),
        (slopes, (2, 13, 10), 3, 3),
        (sums, (1, 10, 14), 5, 4),
    ):
        cases.append(Case((function, torch.randn(shape, generator=generator), window, stride)))
    return cases


def _cut_out(
    classifier: Callable[[Tensor], Tensor],
    image: Tensor,
    window: int,
    rows: Sequence[int],
    columns: Sequence[int],
    swap: bool = False,
) -> Tensor:
    """One batch of windows that begin at these rows and columns, as most people write it."""
    places = [(x, y) if swap else (y, x) for y in rows for x in columns]
    patches = torch.stack([image[:, y : y + window, x : x + window] for y, x in places])
    return classifier(patches).T.reshape(-1, len(rows), len(columns))


def _range_ends_early(
    classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int
) -> Tensor:
    rows, columns = (range(0, size - window, stride) for size in image.shape[1:])
    return _cut_out(classifier, image, window, rows, columns)


def _over_the_edge(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    rows, columns = (range(0, size, stride) for size in image.shape[1:])
    return _cut_out(classifier, image, window, rows, columns)


def _sizes_exchanged(
    classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int
) -> Tensor:
    columns, rows = (range(0, size - window + 1, stride) for size in image.shape[1:])
    return _cut_out(classifier, image, window, rows, columns)


def _slice_exchanged(
    classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int
) -> Tensor:
    rows, columns = (range(0, size - window + 1, stride) for size in image.shape[1:])
    return _cut_out(classifier, image, window, rows, columns, swap=True)


def _pushed_back(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    rows, columns = (
        [min(start, size - window) for start in range(0, size - window + stride, stride)]
        for size in image.shape[1:]
    )
    return _cut_out(classifier, image, window, rows, columns)


def _axes_of_unfold(
    classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int
) -> Tensor:
    cut = image.unfold(1, window, stride).unfold(2, window, stride)  # channel, row, column, then the window
    channels, rows, columns = cut.shape[:3]
    return classifier(cut.reshape(-1, channels, window, window)).T.reshape(-1, rows, columns)


def _padded_around(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    return _scored(classifier, F.pad(image, (window // 2,) * 4), window, stride)


def _no_batch(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    return classifier(image[:, :window, :window])


def _two_scores(classifier: Callable[[Tensor], Tensor], image: Tensor, window: int, stride: int) -> Tensor:
    scores = _scored(classifier, image, window, stride)
    result = torch.zeros(2, *scores.shape[1:])
    for y in range(scores.shape[1]):
        for x in range(scores.shape[2]):
            result[:, y, x] = scores[:, y, x]
    return result


WINDOWS = Exercise(
    "4.2",
    "The sliding window",
    sliding_window,
    _window_cases,
    axes=("score", "row", "column"),
    plan=(
        "List the rows at which a window may begin: from 0 in steps of the stride, up to the last one "
        "at which a whole window fits. Which row is that? Do the same for columns.",
        "Cut out all windows, row by row, and hand them to the classifier as one batch: windows first, "
        "then channels, rows and columns.",
        "The scores come with windows first. The map has scores first: move that axis before you lay "
        "the windows out in rows and columns.",
        "Check the shape on the case by hand, 2 × 1, and the numbers with more than one score.",
    ),
    mistakes=(
        Mistake(
            "last windows missing",
            lambda *args: _scored(*args, missing=1),
            "Your map lacks its last row and column. An image as large as the window holds one window: how "
            "many does an image hold that is one stride larger?",
        ),
        Mistake(
            "hanging over",
            _hanging_over,
            "Your last windows hang over the edge and see zeros there. Where no whole window fits any more, "
            "the rows and columns that are left over stay unseen.",
        ),
        Mistake(
            "stride forgotten",
            lambda classifier, image, window, stride: _scored(classifier, image, window, 1),
            "You move on by one pixel each time. The next window begins a stride further on.",
        ),
        Mistake(
            "side by side",
            lambda classifier, image, window, stride: _scored(classifier, image, window, window),
            "Your windows stand side by side. They overlap: the next one begins a stride further on, not a "
            "window further on.",
        ),
        Mistake(
            "windows at the wrong place",
            lambda *args: _scored(*args, start=lambda index: index),
            "The map has the right size, but its windows begin at pixels 0, 1, 2 and so on. Where does "
            "window number 2 begin if the stride is 3?",
        ),
        Mistake(
            "rows and columns exchanged",
            lambda *args: _scored(*args).mT,
            "The map lies on its side. Its rows go down the image and its columns across it: scores, row, "
            "column.",
        ),
        Mistake(
            "scores last",
            lambda *args: _scored(*args).permute(1, 2, 0),
            "Your axes are row, column, score. Maps have their channels first: score, row, column.",
        ),
        Mistake(
            "scores shuffled",
            _shuffled,
            "With one score all is right, with several they are mixed up. What you have is ordered row, "
            "column, score; reshape keeps this order and cannot move an axis. Which function can?",
        ),
        Mistake(
            "range ends early",
            _range_ends_early,
            "A range leaves its end out. Where the last window fits exactly, which is the row at which it "
            "begins, and is that row in your range?",
        ),
        Mistake(
            "cut short at the edge",
            _over_the_edge,
            "Your last windows begin so late that the image ends before they do, and a slice is then cut "
            "short. Which is the last row at which a whole window fits?",
        ),
        Mistake(
            "height for width",
            _sizes_exchanged,
            "You count the rows by the image's width and the columns by its height. On a square image "
            "nobody can tell.",
        ),
        Mistake(
            "row and column exchanged in the slice",
            _slice_exchanged,
            "The map has the right size, but you cut the image at column, row. The axes of an image are "
            "channel, row, column.",
        ),
        Mistake(
            "pushed back at the edge",
            _pushed_back,
            "Where no whole window fits any more you move one back until it does. The task leaves those "
            "rows and columns unseen.",
        ),
        Mistake(
            "axes of the cut",
            _axes_of_unfold,
            "With one channel all is right, with several the windows are made of pieces of different "
            "ones. What you cut has the channel first; in a batch the window comes first. Which function "
            "moves an axis?",
        ),
        Mistake(
            "padded",
            _padded_around,
            "You put zeros around the image, so the first window begins before it. Windows lie within the "
            "image: the first one begins at its first pixel.",
        ),
        Mistake(
            "no batch",
            _no_batch,
            "The classifier takes a batch of patches, with four axes. You give it one patch with three: "
            "put an axis for the batch in front.",
        ),
        Mistake(
            "two scores written in",
            _two_scores,
            "You make room for two scores. How many there are depends on the classifier: look at the "
            "shape of what it returns.",
        ),
        Mistake(
            "class instead of scores",
            lambda *args: _scored(*args).argmax(0),
            "You return which class each window has. Its scores are asked, one map for each class.",
        ),
        Mistake(
            "one score only",
            lambda *args: _scored(*args)[0],
            "One map is left. The result has an axis for the scores, first of the three, even if there is "
            "a single one.",
        ),
    ),
)


# 4.3 -----------------------------------------------------------------------------------------------


def run_densely(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    """Scores ``(N, K, h, w)`` of all windows in one pass."""
    return _dense(classifier, image, window)


def _split(classifier: nn.Sequential) -> tuple[nn.Sequential, list[nn.Module]]:
    """The layers before Flatten and those after it."""
    layers = list(classifier)
    at = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Flatten))
    return nn.Sequential(*layers[:at]), layers[at + 1 :]


Kernel = Callable[[Tensor, Sequence[int]], Tensor]


def _dense(
    classifier: nn.Sequential,
    image: Tensor,
    window: int,
    *,
    kernel: Kernel = linear_to_kernel,
    bias: bool = True,
    relu: bool = True,
    padded: bool = False,
    jump: bool = False,
) -> Tensor:
    features, rest = _split(classifier)
    shape = tuple(features(image.new_zeros(1, image.shape[1], window, window)).shape[1:])
    scores = features(image)
    for layer in rest:
        if isinstance(layer, nn.Linear):
            weight = kernel(layer.weight, shape)
            pad = (shape[1] // 2, shape[2] // 2) if padded else 0
            step = (shape[1], shape[2]) if jump else 1
            scores = F.conv2d(scores, weight, layer.bias if bias else None, stride=step, padding=pad)
            shape = (layer.out_features, 1, 1)
        elif relu:
            scores = layer(scores)
    return scores


def _pooled_first(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    features, rest = _split(classifier)
    shape = features(image.new_zeros(1, image.shape[1], window, window)).shape[2:]
    pooled = F.adaptive_avg_pool2d(features(image), tuple(shape))
    return nn.Sequential(nn.Flatten(), *rest)(pooled)[..., None, None]


def _resized_first(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    small = F.interpolate(image, size=(window, window), mode="bilinear", align_corners=False)
    return classifier(small)[..., None, None]


def _tiles(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    rows, columns = (size // window for size in image.shape[2:])
    at = [[(i * window, j * window) for j in range(columns)] for i in range(rows)]
    return torch.stack(
        [
            torch.stack([classifier(image[..., y : y + window, x : x + window]) for y, x in row], dim=-1)
            for row in at
        ],
        dim=-2,
    )


def _as_it_is(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    return classifier(image)


def _kernel_of_the_image(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    features, rest = _split(classifier)
    scores = features(image)
    for layer in rest:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.reshape(layer.out_features, *scores.shape[1:])
            scores = F.conv2d(scores, weight, layer.bias)
        else:
            scores = layer(scores)
    return scores


def _classifier(
    channels: int, window: int, width: int, outputs: Sequence[int], pool: int, kernel: int, seed: int
) -> nn.Sequential:
    """A small unpadded classifier with weights from a seed."""
    generator = torch.Generator().manual_seed(seed)
    features = [nn.Conv2d(channels, width, kernel), nn.ReLU(), *([nn.MaxPool2d(pool)] if pool > 1 else [])]
    side = (window - kernel + 1) // pool
    layers: list[nn.Module] = [*features, nn.Flatten()]
    inputs = width * side * side
    for number, size in enumerate(outputs):
        layers += [nn.ReLU()] if number else []
        layers.append(nn.Linear(inputs, size))
        inputs = size
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    for parameter in network.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(values / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else values)
    return network


def _dense_cases(generator: torch.Generator) -> list[Case]:
    def numbered(height: int, width: int) -> Tensor:
        return (torch.arange(1.0, height * width + 1).reshape(1, 1, width, height).mT / 10).contiguous()

    one = _classifier(1, 2, 1, [1], 1, 1, seed=0)
    two = _classifier(1, 3, 2, [2], 1, 2, seed=1)
    pooled = _classifier(1, 4, 2, [3, 2], 2, 1, seed=2)
    cases = [
        Case((one, numbered(2, 2), 2), "a window of 2×2: one output, the classifier's own"),
        Case((one, numbered(4, 5), 2), "the same classifier on 4×5 pixels"),
        Case((two, numbered(6, 6), 3), "a 2×2 convolution, then a linear layer on its 2×2 map"),
        Case((pooled, numbered(6, 6), 4), "pooling: the stride is 2; two linear layers"),
    ]
    layers = list(_classifier(1, 4, 2, [5, 3], 2, 1, seed=3))
    layers[-2:-1] = [nn.Tanh(), nn.Dropout(0.5)]
    other = nn.Sequential(*layers).eval()
    cases.append(Case((other, numbered(6, 6), 4), "between the linear layers Tanh and Dropout"))
    for arguments, size in (
        ((2, 9, 4, [6, 3], 2, 2), (2, 2, 21, 15)),
        ((1, 10, 3, [5, 4, 2], 2, 3), (1, 1, 18, 24)),
        ((3, 8, 4, [4], 3, 3), (1, 3, 26, 20)),
    ):
        seed = int(torch.randint(1000, (), generator=generator))
        image = torch.randn(size, generator=generator)
        cases.append(Case((_classifier(*arguments, seed=seed), image, arguments[1])))
    return cases


def _walked(
    classifier: nn.Sequential,
    image: Tensor,
    blank: Tensor,
    *,
    kernel: Callable[[Tensor, Tensor, bool], Tensor],
    flattened: bool = False,
) -> Tensor:
    """Image and blank window through the layers side by side; `kernel` gets weight, blank, first or not."""
    first = True
    for layer in classifier:
        if isinstance(layer, nn.Flatten) and not flattened:
            continue
        if isinstance(layer, nn.Linear):
            weight = kernel(layer.weight, blank, first)
            image, blank = (F.conv2d(x, weight, layer.bias) for x in (image, blank))
            first = False
        else:
            image, blank = layer(image), layer(blank)
    return image


def _reshaped(weight: Tensor, blank: Tensor, first: bool) -> Tensor:
    channels, height, width = blank.shape[1:]
    return weight.reshape(len(weight), channels, height, width)


def _one_by_one(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    features, rest = _split(classifier)
    scores = features(image)
    for layer in rest:
        if isinstance(layer, nn.Linear):
            scores = F.conv2d(scores, layer.weight[:, :, None, None], layer.bias)
        else:
            scores = layer(scores)
    return scores


def _first_shape_for_all(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    features, rest = _split(classifier)
    shape = features(image.new_zeros(1, image.shape[1], window, window)).shape[1:]
    scores = features(image)
    for layer in rest:
        if isinstance(layer, nn.Linear):
            scores = F.conv2d(scores, layer.weight.reshape(len(layer.weight), *shape), layer.bias)
        else:
            scores = layer(scores)
    return scores


def _flattened(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    blank = image.new_zeros(1, image.shape[1], window, window)
    return _walked(classifier, image, blank, kernel=_reshaped, flattened=True)


def _grey_blank(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    return _walked(classifier, image, image.new_zeros(1, 1, window, window), kernel=_reshaped)


def _at_every_pixel(classifier: nn.Sequential, image: Tensor, window: int) -> Tensor:
    rows, columns = (range(size - window + 1) for size in image.shape[2:])
    scores = [
        torch.stack([classifier(image[..., y : y + window, x : x + window]) for x in columns], dim=-1)
        for y in rows
    ]
    return torch.stack(scores, dim=-2)


DENSE = Exercise(
    "4.3",
    "All windows in one pass",
    run_densely,
    _dense_cases,
    tolerance=1e-4,
    axes=("image", "score", "row", "column"),
    plan=(
        "Send the image through the layers one by one. All that stand before Flatten take it as it is.",
        "To know the first kernel's size you need the map of one window: send a blank window along, "
        "with the image's channels, and look at its shape when you reach a linear layer.",
        "There, fold the weights into a kernel of this shape (4.1) and convolve, with the layer's bias. "
        "No padding, stride 1.",
        "Do the same to the blank window. What is left of it, and so how large is the next kernel?",
        "Leave Flatten out; call whatever else stands between the linear layers.",
    ),
    mistakes=(
        Mistake(
            "pooled to the window's map",
            _pooled_first,
            "You shrink the large map until the linear layer takes it. That gives one answer for the whole "
            "image, as torchvision's classifiers do; asked is one for each window.",
        ),
        Mistake(
            "run as it is",
            _as_it_is,
            "You run the classifier as it is. Its first linear layer takes the map of one window and no "
            "larger one: write it as a convolution.",
        ),
        Mistake(
            "kernel of the image's map",
            _kernel_of_the_image,
            "Your kernel takes its size from the map of the whole image. The weights belong to the map of "
            "one window: send a blank window through the layers to see its shape.",
        ),
        Mistake(
            "image resized",
            _resized_first,
            "You shrink the image to one window. The image stays as it is: the layers slide over all of it.",
        ),
        Mistake(
            "tiles",
            _tiles,
            "You cut the image into tiles and classify each. One pass over the whole image is asked, and its "
            "windows overlap.",
        ),
        Mistake(
            "padded",
            lambda *args: _dense(*args, padded=True),
            "Your kernel goes over the edge of the map. A window has to lie within the image, so the kernel "
            "needs no padding: on a single window it fits once.",
        ),
        Mistake(
            "kernel jumps",
            lambda *args: _dense(*args, jump=True),
            "Your kernel jumps by its own size. On the map the next window begins one unit further on.",
        ),
        Mistake(
            "bias forgotten",
            lambda *args: _dense(*args, bias=False),
            "A linear layer has a bias as well as weights. The convolution takes it over as it is.",
        ),
        Mistake(
            "nothing between the linear layers",
            lambda *args: _dense(*args, relu=False),
            "Right for one linear layer, not for several: what stands between them (ReLU) has been left out.",
        ),
        Mistake(
            "kernel in the wrong order",
            lambda *args: _dense(*args, kernel=_channels_last),
            "The kernel has the right size, but its weights stand in the wrong order. Exercise 4.1 has the "
            "function that you need.",
        ),
        Mistake(
            "1×1 from the start",
            _one_by_one,
            "You make all kernels 1×1. That is right for the later linear layers; the first one saw a map "
            "of several rows and columns, and its kernel is as large as that map.",
        ),
        Mistake(
            "one kernel size for all",
            _first_shape_for_all,
            "You give every kernel the size of the first one. What does a linear layer make of one "
            "window, and so what does the next one see of it?",
        ),
        Mistake(
            "flattened all the same",
            _flattened,
            "You still flatten the map, and then nothing is left of rows and columns. A kernel takes the "
            "map as it is.",
        ),
        Mistake(
            "a grey blank",
            _grey_blank,
            "Your blank window has one channel. The first layer wants as many as the image has.",
        ),
        Mistake(
            "windows at every pixel",
            _at_every_pixel,
            "You cut windows out, one at each pixel. Poolings make the map coarser than that, and one "
            "pass over the whole image is asked.",
        ),
        Mistake(
            "activation behind the last layer",
            lambda *args: _dense(*args).relu(),
            "Your last scores are cut off at 0. After each linear layer comes what the classifier has "
            "there, and after the last one there is nothing.",
        ),
        Mistake(
            "averaged over the map",
            lambda *args: _dense(*args).mean((2, 3)),
            "You average over the map, which leaves one answer for the whole image. The map itself is "
            "asked, one answer for each window.",
        ),
        Mistake(
            "softmax",
            lambda *args: _dense(*args).softmax(1),
            "You return probabilities. The classifier gives scores, and these are asked as they are.",
        ),
        Mistake(
            "kernel on its side",
            lambda *args: _dense(*args, kernel=_axes_exchanged),
            "Your kernel lies on its side: rows and columns have changed places on the way from the "
            "matrix. Exercise 4.1 has the order.",
        ),
        Mistake(
            "first image only",
            lambda classifier, image, window: _dense(classifier, image[:1], window),
            "With one image all is right. Of a batch only the first one comes back.",
        ),
    ),
)


# 4.4 -----------------------------------------------------------------------------------------------


def window_boxes(margin: Tensor, window: int, stride: int, threshold: float = 0.0) -> Tensor:
    """Boxes ``(M, 4)`` of the windows above a threshold, the surest first."""
    return _boxes(margin, window, stride, threshold)


def _places(
    margin: Tensor, threshold: float | None = 0.0, order: str = "falling"
) -> list[tuple[float, int, int]]:
    """(margin, row, column) of the places above a threshold, in order."""
    rows, columns = margin.shape
    found = [(margin[i, j].item(), i, j) for i in range(rows) for j in range(columns)]
    if threshold is not None:
        found = [each for each in found if each[0] > threshold]
    if order != "reading":
        found.sort(key=lambda each: each[0], reverse=order == "falling")
    return found


def _boxes(
    margin: Tensor,
    window: int,
    stride: int,
    threshold: float = 0.0,
    *,
    box: Callable[[int, int, int], tuple[float, ...]] | None = None,
    every: bool = False,
    order: str = "falling",
) -> Tensor:
    corners = box or (lambda y, x, window: (x, y, x + window, y + window))
    found = [
        corners(i * stride, j * stride, window)
        for _, i, j in _places(margin, None if every else threshold, order)
    ]
    return torch.tensor(found, dtype=torch.float32).reshape(-1, 4)


def _box_cases(generator: torch.Generator) -> list[Case]:
    def distinct(height: int, width: int) -> Tensor:
        count = height * width
        order = torch.randperm(count, generator=generator).float()
        return (order - count * 0.6).reshape(height, width) / 4

    small = torch.tensor([[-1.0, 2.0, -3.0], [4.0, -5.0, 1.0]])
    cases = [
        Case((small, 5, 2), "three of six windows say yes"),
        Case((small, 25, 4, 2.0), "a higher threshold, which one margin just meets"),
        Case((small - 9, 5, 2), "no window says yes: shape (0, 4)"),
        Case((small.mT.contiguous(), 4, 4), "higher than wide; windows side by side"),
        Case((small[:1], 3, 1, -2.0), "a single row, a threshold below zero"),
    ]
    for size, window, stride, threshold in (
        ((5, 7), 25, 4, 0.0),
        ((8, 4), 13, 2, -1.0),
        ((6, 6), 9, 3, 0.5),
    ):
        cases.append(Case((distinct(*size), window, stride, threshold)))
    return cases


def _without_stride(margin: Tensor, window: int, stride: int, threshold: float = 0.0) -> Tensor:
    return _boxes(margin, window, 1, threshold)


def _strides_of_window(margin: Tensor, window: int, stride: int, threshold: float = 0.0) -> Tensor:
    return _boxes(margin, window, window, threshold)


def _apart(margin: Tensor, window: int, stride: int, threshold: float = 0.0) -> Tensor:
    """Boxes that cover less than half of one another."""
    kept: list[list[float]] = []
    for box in _boxes(margin, window, stride, threshold).tolist():
        sides = [[max(0.0, window - abs(box[k] - other[k])) for k in (0, 1)] for other in kept]
        if all(across * down / (2 * window**2 - across * down) <= 0.5 for across, down in sides):
            kept.append(box)
    return torch.tensor(kept, dtype=torch.float32).reshape(-1, 4)


def _empty_without_columns(margin: Tensor, window: int, stride: int, threshold: float = 0.0) -> Tensor:
    boxes = _boxes(margin, window, stride, threshold)
    return boxes if len(boxes) else torch.zeros(0)


def _columns_sorted(margin: Tensor, window: int, stride: int, threshold: float = 0.0) -> Tensor:
    return _boxes(margin, window, stride, threshold).sort(0).values


BOXES = Exercise(
    "4.4",
    "What a unit of the map looks at",
    window_boxes,
    _box_cases,
    axes=("box", "edge"),
    places=("x1", "y1", "x2", "y2"),
    plan=(
        "Find the units above the threshold: their rows, their columns and their margins.",
        "Order the three together by falling margin.",
        "From unit to pixel: unit 1 begins a stride after unit 0. The column gives x, the row gives y.",
        "The far corner is a window further on, in both axes. If no unit is above the threshold, four "
        "columns are still there, without a row.",
    ),
    mistakes=(
        Mistake(
            "x and y exchanged",
            lambda *args: _boxes(*args, box=lambda y, x, window: (y, x, y + window, x + window)),
            "The row tells how far down a window begins, and that is y. Boxes begin with x.",
        ),
        Mistake(
            "stride forgotten",
            _without_stride,
            "You count in units of the map. From one unit to the next the window moves by a stride of "
            "pixels.",
        ),
        Mistake(
            "steps of a window",
            _strides_of_window,
            "Your windows stand side by side. From one unit to the next the window moves by a stride, not by "
            "its own size.",
        ),
        Mistake(
            "centred",
            lambda *args: _boxes(
                *args,
                box=lambda y, x, window: (
                    x - window / 2,
                    y - window / 2,
                    x + window / 2,
                    y + window / 2,
                ),
            ),
            "You put the window's centre where its corner belongs. The first window lies in the corner of "
            "the image and begins at pixel 0.",
        ),
        Mistake(
            "width and height",
            lambda *args: _boxes(*args, box=lambda y, x, window: (x, y, window, window)),
            "Your boxes are corner, width, height. The course writes two corners: x1, y1, x2, y2.",
        ),
        Mistake(
            "last pixel",
            lambda *args: _boxes(*args, box=lambda y, x, window: (x, y, x + window - 1, y + window - 1)),
            "Your boxes end at the index of the last pixel. They end where that pixel ends: x2 - x1 is the "
            "size of the window.",
        ),
        Mistake(
            "the size of a unit",
            lambda margin, window, stride, threshold=0.0: _boxes(margin, stride, stride, threshold),
            "You draw the square between one unit and the next. What a unit looks at is larger: the whole "
            "window.",
        ),
        Mistake(
            "all windows",
            lambda *args: _boxes(*args, every=True),
            "You return a box for every unit. Those at or below the threshold have not said yes.",
        ),
        Mistake(
            "in reading order",
            lambda *args: _boxes(*args, order="reading"),
            "The boxes are right but come row by row. The largest margin belongs first.",
        ),
        Mistake(
            "weakest first",
            lambda *args: _boxes(*args, order="rising"),
            "The boxes are right but come with the smallest margin first. Turn the order round.",
        ),
        Mistake(
            "the threshold itself counts",
            lambda margin, window, stride, threshold=0.0: _boxes(
                torch.where(margin == threshold, margin + 1e-6, margin), window, stride, threshold
            ),
            "A unit whose margin is just the threshold is among your boxes. Only what lies above it counts.",
        ),
        Mistake(
            "zero written in",
            lambda margin, window, stride, threshold=0.0: _boxes(margin, window, stride),
            "You compare with 0 whatever the threshold is. It is an argument.",
        ),
        Mistake(
            "rows counted by the height",
            lambda margin, window, stride, threshold=0.0: _boxes(
                margin.reshape(margin.shape[1], margin.shape[0]), window, stride, threshold
            ),
            "Row and column of a place are taken from its number by the height. A row of the map has as "
            "many units as the map is wide.",
        ),
        Mistake(
            "centred on the unit",
            lambda margin, window, stride, threshold=0.0: _boxes(
                margin,
                window,
                stride,
                threshold,
                box=lambda y, x, window: (
                    x + (stride - window) / 2,
                    y + (stride - window) / 2,
                    x + (stride + window) / 2,
                    y + (stride + window) / 2,
                ),
            ),
            "You put the window around the middle of a cell of stride pixels. Without padding, the first "
            "window begins at pixel 0.",
        ),
        Mistake(
            "whole centre",
            lambda *args: _boxes(
                *args,
                box=lambda y, x, window: (
                    x - window // 2,
                    y - window // 2,
                    x + window // 2,
                    y + window // 2,
                ),
            ),
            "Half a window lies on either side of your corner, and the box is no larger than an even "
            "number. A window begins at its corner.",
        ),
        Mistake(
            "without the sign",
            lambda margin, window, stride, threshold=0.0: _boxes(margin.abs(), window, stride, threshold),
            "Windows with a margin far below zero are among yours. They say no, and surely: the sign counts.",
        ),
        Mistake(
            "probability against the threshold",
            lambda margin, window, stride, threshold=0.0: _boxes(margin.sigmoid(), window, stride, threshold),
            "You compare probabilities with the threshold, and they are always above 0. The threshold is "
            "one of the margin itself.",
        ),
        Mistake(
            "cut off at the last unit",
            lambda margin, window, stride, threshold=0.0: torch.minimum(
                _boxes(margin, window, stride, threshold),
                stride * torch.tensor([*margin.shape[::-1]] * 2, dtype=torch.float32),
            ),
            "You cut the boxes off where the strides end. The image goes on after the last window's corner,"
            " as far as that window reaches.",
        ),
        Mistake(
            "x1, x2, y1, y2",
            lambda *args: _boxes(*args, box=lambda y, x, window: (x, x + window, y, y + window)),
            "You give both numbers of x first, then both of y. A box is its first corner, then the far one.",
        ),
        Mistake(
            "only boxes apart from one another",
            _apart,
            "You leave out boxes that overlap with a surer one. Every unit above the threshold is asked for.",
        ),
        Mistake(
            "the surest alone",
            lambda *args: _boxes(*args)[:1],
            "Yours is the surest box alone. Every unit above the threshold has one.",
        ),
        Mistake(
            "empty without columns",
            _empty_without_columns,
            "If no window says yes, yours has lost its four columns. Rows are gone, columns stay: the "
            "shape is (0, 4).",
        ),
        Mistake(
            "columns sorted one by one",
            _columns_sorted,
            "You sort every column by itself, and the boxes come apart. A box moves as a whole, by its "
            "margin.",
        ),
        Mistake(
            "the window times the stride",
            lambda margin, window, stride, threshold=0.0: _boxes(margin, window * stride, stride, threshold),
            "You add the window to the unit and multiply both by the stride. The window counts pixels "
            "already; what counts units?",
        ),
        Mistake(
            "half a stride aside",
            lambda margin, window, stride, threshold=0.0: (
                _boxes(margin, window, stride, threshold) + stride / 2
            ),
            "Your boxes lie half a stride too far right and down. The first window begins in the corner of "
            "the image, at pixel 0.",
        ),
    ),
)


# 4.5 -----------------------------------------------------------------------------------------------


def hard_negatives(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    """The worst false alarms of an image without a face, cut out: ``(M, C, window, window)``."""
    return _mined(image, margin, window, stride, limit)


def _mined(
    image: Tensor,
    margin: Tensor,
    window: int,
    stride: int,
    limit: int,
    *,
    threshold: float | None = 0.0,
    order: str = "falling",
    swap: bool = False,
) -> Tensor:
    places = _places(margin, threshold, order)[:limit]
    patches = image.new_zeros(len(places), len(image), window, window)
    for patch, (_, i, j) in zip(patches, places, strict=True):
        y, x = (j, i) if swap else (i, j)
        crop = image[:, y * stride : y * stride + window, x * stride : x * stride + window]
        patch[:, : crop.shape[1], : crop.shape[2]] = crop
    return patches


def _unlimited(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return _mined(image, margin, window, stride, margin.numel())


def _no_stride(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return _mined(image, margin, window, 1, limit)


def _undecided(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return _mined(image, -margin.abs(), window, stride, limit, threshold=None)


def _surest_negatives(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return _mined(image, -margin, window, stride, limit)


def _mining_cases(generator: torch.Generator) -> list[Case]:
    def distinct(height: int, width: int, share: float) -> Tensor:
        order = torch.randperm(height * width, generator=generator).float()
        return (order - height * width * (1 - share) + 0.5).reshape(height, width) / 3

    image = torch.arange(1.0, 31).reshape(1, 5, 6)
    margin = torch.tensor([[-0.5, 1.0], [3.0, -2.0], [0.25, 2.0]])
    cases = [
        Case((image, margin[:2], 3, 2, 2), "two false alarms, the worse one first"),
        Case((image, margin[:2], 3, 2, 4), "room for four, but there are two"),
        Case((image[:, :4, :3], margin, 2, 1, 3), "the three worst of four"),
        Case((image, torch.tensor([[0.0, 1.0], [-2.0, -1.0]]), 3, 2, 4), "a margin of 0 is no alarm"),
        Case((image[:, :4, :3], margin - 9, 2, 1, 3), "no false alarm: shape (0, 1, 2, 2)"),
        Case(
            (image[:, :4, :3].repeat(3, 1, 1), margin - 9, 2, 1, 3),
            "no false alarm in colours: shape (0, 3, 2, 2)",
        ),
    ]
    for channels, window, stride, size, limit, share in (
        (1, 5, 2, (6, 4), 6, 0.5),
        (3, 4, 3, (4, 7), 30, 0.4),
        (2, 6, 4, (5, 5), 8, 0.6),
    ):
        shape = channels, *((n - 1) * stride + window + 1 for n in size)
        values = torch.rand(shape, generator=generator) + 0.1
        cases.append(Case((values, distinct(*size, share), window, stride, limit)))
    return cases


def _sorted_after(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    first = {place[1:] for place in _places(margin, order="reading")[:limit]}
    kept = margin.clone()
    for i in range(margin.shape[0]):
        for j in range(margin.shape[1]):
            kept[i, j] = margin[i, j] if (i, j) in first else -1.0
    return _mined(image, kept, window, stride, limit)


def _zero_alarms(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return _mined(image, torch.where(margin == 0, 1e-9, margin), window, stride, limit)


def _more_than_there_are(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    margin.flatten().topk(limit)
    return _mined(image, margin, window, stride, limit)


def _by_height(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    height, width = margin.shape
    patches = image.new_zeros(0, len(image), window, window)
    for _, i, j in _places(margin)[:limit]:
        y, x = divmod(i * width + j, height)
        crop = image[:, y * stride : y * stride + window, x * stride : x * stride + window]
        crop = F.pad(crop, (0, window - crop.shape[2], 0, window - crop.shape[1]))
        patches = torch.cat([patches, crop[None]])
    return patches


def _nothing_to_stack(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return torch.stack(list(_mined(image, margin, window, stride, limit)))


def _nothing_at_all(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    patches = _mined(image, margin, window, stride, limit)
    return patches if len(patches) else torch.zeros(0)


def _always_limit(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    patches = _mined(image, margin, window, stride, limit)
    return torch.cat([patches, image.new_zeros(limit - len(patches), *patches.shape[1:])])


def _one_pixel_short(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    patches = _mined(image, margin, window, stride, limit)
    return patches[..., :-1, :-1] if len(patches) else patches


def _boxes_of_them(image: Tensor, margin: Tensor, window: int, stride: int, limit: int) -> Tensor:
    return _boxes(margin, window, stride)[:limit]


MINING = Exercise(
    "4.5",
    "Hard negatives",
    hard_negatives,
    _mining_cases,
    axes=("window", "channel", "row", "column"),
    plan=(
        "Which windows are false alarms? There is no face in the image, so all with a margin above 0.",
        "Sort them by margin, the largest first. Only then apply the limit; there may be fewer, or none.",
        "A place in the map times the stride is the window's upper left pixel. Cut the rows by the "
        "map's row and the columns by its column.",
        "Make room for the patches beforehand: how many there are, and as many channels as the image "
        "has. Then nothing special happens when there are none.",
    ),
    mistakes=(
        Mistake(
            "filled up",
            lambda *args: _mined(*args, threshold=None),
            "You fill up to the limit with windows that were classified rightly. A false alarm has a margin "
            "above 0, and there may be fewer than the limit.",
        ),
        Mistake(
            "limit ignored",
            _unlimited,
            "You return all false alarms. At most limit of them are asked, so that no photograph outweighs "
            "the others.",
        ),
        Mistake(
            "mildest first",
            lambda *args: _mined(*args, order="rising"),
            "You take the false alarms with the smallest margins. Those that it is surest of teach most.",
        ),
        Mistake(
            "in reading order",
            lambda *args: _mined(*args, order="reading"),
            "You take the first false alarms from the top of the image. Sort them: the largest margin first.",
        ),
        Mistake(
            "nearest to the border",
            _undecided,
            "You take the windows nearest to a margin of 0. The image holds no face: what is hard here is "
            "what was called a face with the most confidence.",
        ),
        Mistake(
            "what it knows already",
            _surest_negatives,
            "You take the windows that are surely no face. From what it knows already a classifier learns "
            "nothing: the false alarms are wanted.",
        ),
        Mistake(
            "stride forgotten",
            _no_stride,
            "You cut at the place in the map. Row 2 of the map begins two strides down in the image.",
        ),
        Mistake(
            "rows and columns exchanged",
            lambda *args: _mined(*args, swap=True),
            "You cut at column, row. The row of the map tells how far down the window begins in the image.",
        ),
        Mistake(
            "limit before the sort",
            _sorted_after,
            "You cut the list off at the limit before you sort it, so only alarms from the top of the "
            "image have a chance. Sort all of them first.",
        ),
        Mistake(
            "zero is an alarm",
            _zero_alarms,
            "You also take windows with a margin of exactly 0. An alarm lies above 0.",
        ),
        Mistake(
            "more than there are",
            _more_than_there_are,
            "You ask for more of the largest margins than the map has. The limit is the most that may "
            "come back, and it may be larger than the map.",
        ),
        Mistake(
            "divided by the height",
            _by_height,
            "Your patches come from the wrong places where the map is not square. To turn a unit's number "
            "into row and column: how many units stand in one row?",
        ),
        Mistake(
            "nothing to stack",
            _nothing_to_stack,
            "If there is no false alarm, there is nothing to join. The result then has M = 0, and the "
            "other axes as always: make it without joining.",
        ),
        Mistake(
            "empty without axes",
            _nothing_at_all,
            "No false alarm: yours is empty, but has lost its axes. Channels, rows and columns stay; only "
            "M is 0.",
        ),
        Mistake(
            "filled up with black",
            _always_limit,
            "You return as many patches as the limit allows and leave the last ones black. Only false "
            "alarms should come back: there may be fewer.",
        ),
        Mistake(
            "one pixel short",
            _one_pixel_short,
            "Your patches are a pixel too small. A slice leaves its end out, so it may end where the next "
            "window would begin.",
        ),
        Mistake(
            "boxes instead of patches",
            _boxes_of_them,
            "You return where the windows lie. Cut these boxes out of the image: the patches are asked.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (KERNEL, WINDOWS, DENSE, BOXES, MINING)
