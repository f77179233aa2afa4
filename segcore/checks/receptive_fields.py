"""Exercises of chapter 5: the recurrence, the way back, branches, the effective field, a design.

The references are written apart from `segcore.receptive_fields`. Layers are (kernel, stride, padding,
dilation) and fields (size, stride, padding), plain tuples of numbers along one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.compare import difference
from segcore.checks.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

Numbers = tuple[int, ...]
Network = Callable[[Tensor], Tensor]


def _draw(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number from low to high, both possible."""
    return int(torch.randint(low, high + 1, (), generator=generator))


# 5.1 -----------------------------------------------------------------------------------------------


def next_field(field: Numbers, layer: Numbers) -> Numbers:
    """The field (size, stride, padding) after one more layer (kernel, stride, padding, dilation)."""
    size, stride, padding = field
    kernel, step, pad, dilation = layer
    return size + dilation * (kernel - 1) * stride, stride * step, padding + pad * stride


def _grown(
    size: Callable[..., int] = lambda R, S, P, k, s, p, d: R + d * (k - 1) * S,
    stride: Callable[..., int] = lambda R, S, P, k, s, p, d: S * s,
    padding: Callable[..., int] = lambda R, S, P, k, s, p, d: P + p * S,
) -> Callable[[Numbers, Numbers], Numbers]:
    """A step with the formulas given; the default ones are right."""
    return lambda field, layer: (size(*field, *layer), stride(*field, *layer), padding(*field, *layer))


def _step_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case(((1, 1, 0), (3, 1, 1, 1)), "a 3×3 convolution on the image itself"),
        Case(((3, 1, 1), (2, 2, 0, 1)), "a 2×2 pooling after it"),
        Case(((4, 2, 1), (3, 1, 1, 1)), "a 3×3 convolution at stride 2"),
        Case(((5, 1, 2), (3, 1, 4, 4)), "a dilated convolution"),
        Case(((10, 4, 3), (11, 4, 2, 1)), "a large kernel with a large stride"),
        Case(((212, 32, 90), (7, 1, 0, 1)), "VGG-16's first fully connected layer, as a convolution"),
    ]
    for _ in range(8):
        field = (_draw(generator, 2, 90), _draw(generator, 2, 16), _draw(generator, 1, 40))
        layer = (
            _draw(generator, 2, 7),
            _draw(generator, 2, 3),
            _draw(generator, 1, 3),
            _draw(generator, 2, 4),
        )
        cases.append(Case((field, layer)))
    return cases


def _by_own_stride(field: Numbers, layer: Numbers) -> Numbers:
    size, stride, padding = field
    kernel, step, pad, dilation = layer
    return size + dilation * (kernel - 1) * step, stride * step, padding + pad * step


def _updated_first(field: Numbers, layer: Numbers) -> Numbers:
    size, stride, padding = field
    kernel, step, pad, dilation = layer
    stride = stride * step
    return size + dilation * (kernel - 1) * stride, stride, padding + pad * stride


def _layer_below(field: Numbers, layer: Numbers) -> Numbers:
    size, stride, padding = field
    kernel, step, pad, dilation = layer
    return (size - 1) * step + dilation * (kernel - 1) + 1, stride * step, padding * step + pad


def _layer_misread(field: Numbers, layer: Numbers) -> Numbers:
    kernel, step, pad, dilation = layer
    return next_field(field, (kernel, pad, step, dilation))


def _padding_before_stride(field: Numbers, layer: Numbers) -> Numbers:
    size, stride, padding = next_field(field, layer)
    return size, padding, stride


STEP = Exercise(
    "5.1",
    "One step of the recurrence",
    next_field,
    _step_cases,
    places=("size", "stride", "padding"),
    plan=(
        "Draw the map that comes in as dots. Two neighbours see pixels S apart, and each of them sees R "
        "pixels.",
        "Put the kernel on it: how many dots is it from the first tap to the last, if taps are d apart? "
        "Each of these steps is S pixels, and R grows by so many.",
        "Padding is put around the map that comes in, so one row of it is worth S pixels too. Stride: "
        "one step up is s steps below, each worth S.",
        "R' = R + … · S,  S' = s · S,  P' = P + … · S",
        "Use the old S for size and padding, even though it changes.",
    ),
    mistakes=(
        Mistake(
            "new stride",
            _grown(size=lambda R, S, P, k, s, p, d: R + d * (k - 1) * S * s),
            "You measure the kernel's steps with the stride after this layer. Its taps lie on the map that "
            "comes in: how far apart are neighbours there, in pixels?",
        ),
        Mistake(
            "steps counted in units",
            _grown(size=lambda R, S, P, k, s, p, d: R + d * (k - 1)),
            "At stride 1 your size is right. The taps are units of the map that comes in; how many pixels "
            "lie between two of them?",
        ),
        Mistake(
            "whole kernel",
            _grown(size=lambda R, S, P, k, s, p, d: R + d * k * S),
            "Three taps in a row: how many steps is it from the first to the last?",
        ),
        Mistake(
            "dilated kernel minus one",
            _grown(size=lambda R, S, P, k, s, p, d: R + (d * k - 1) * S),
            "Without dilation all is right. Three taps with a step of 4 lie at 0, 4 and 8: the last is how "
            "far from the first?",
        ),
        Mistake(
            "dilation forgotten",
            _grown(size=lambda R, S, P, k, s, p, d: R + (k - 1) * S),
            "Without dilation all is right. With it, the taps lie further apart; the field grows by more.",
        ),
        Mistake(
            "fields multiplied",
            _grown(size=lambda R, S, P, k, s, p, d: R * (1 + d * (k - 1))),
            "The fields of neighbouring taps overlap: each tap adds no more pixels than its field is shifted "
            "from the one before.",
        ),
        Mistake(
            "padding added to the size",
            _grown(size=lambda R, S, P, k, s, p, d: R + d * (k - 1) * S - 2 * p * S),
            "Does padding change what a unit sees, or only where it sees? Look at the size again.",
        ),
        Mistake(
            "stride replaced",
            _grown(stride=lambda R, S, P, k, s, p, d: s),
            "The size is right. The stride of a map after several layers counts all of them: two poolings by "
            "2 make one unit for every how many pixels?",
        ),
        Mistake(
            "strides added",
            _grown(stride=lambda R, S, P, k, s, p, d: S + s - 1),
            "The size is right. After a map of stride 2, one more step of 2 is how many pixels?",
        ),
        Mistake(
            "padding in units",
            _grown(padding=lambda R, S, P, k, s, p, d: P + p),
            "Size and stride are right. A row of padding is as wide as a unit of the map that it is put "
            "around: how many pixels is that?",
        ),
        Mistake(
            "padding by the new stride",
            _grown(padding=lambda R, S, P, k, s, p, d: P + p * S * s),
            "Size and stride are right. The padding is put around the map that comes in. Which stride does "
            "that have?",
        ),
        Mistake(
            "padding on both sides",
            _grown(padding=lambda R, S, P, k, s, p, d: P + 2 * p * S),
            "Size and stride are right. Padding is put on both sides, but only what is put before the first "
            "unit moves the field.",
        ),
        Mistake(
            "padding replaced",
            _grown(padding=lambda R, S, P, k, s, p, d: p * S),
            "Size and stride are right. The earlier layers had padding as well; it moves everything that "
            "follows.",
        ),
        Mistake(
            "size by the layer's own stride",
            _grown(size=lambda R, S, P, k, s, p, d: R + d * (k - 1) * s),
            "You count the kernel's steps in the layer's own stride. That is how far the kernel moves "
            "from unit to unit; how far apart its taps lie in pixels, the layers below decide.",
        ),
        Mistake(
            "padding by the layer's own stride",
            _grown(padding=lambda R, S, P, k, s, p, d: P + p * s),
            "Size and stride are right. You count the padding in the layer's own stride; it is put around "
            "the map that comes in, whose units stand how far apart?",
        ),
        Mistake(
            "all by the layer's own stride",
            _by_own_stride,
            "Size and padding are both counted in the layer's own stride. Taps and padding lie on the map "
            "that comes in: use the stride that this map has.",
        ),
        Mistake(
            "stride changed too early",
            _updated_first,
            "You change the stride first and then use the new one. Size and padding are both counted on "
            "the map that comes in, with its old stride.",
        ),
        Mistake(
            "padding taken away",
            _grown(padding=lambda R, S, P, k, s, p, d: P - p * S),
            "Size and stride are right. More padding lets the field of unit 0 begin further before the "
            "image, and P says how far before: does it grow or shrink?",
        ),
        Mistake(
            "padding dilated",
            _grown(padding=lambda R, S, P, k, s, p, d: P + p * d * S),
            "Size and stride are right. Dilation moves the taps apart; a row of padding stays as wide as "
            "one unit of the map that comes in.",
        ),
        Mistake(
            "one pixel more",
            _grown(size=lambda R, S, P, k, s, p, d: R + d * (k - 1) * S + 1),
            "Your size is one too large, with every layer again. The first tap's field has R pixels "
            "already, itself among them.",
        ),
        Mistake(
            "stride stays",
            _grown(stride=lambda R, S, P, k, s, p, d: S),
            "Your stride is that of the map that comes in. One unit further on the new map is how many "
            "units further below?",
        ),
        Mistake(
            "stride dilated",
            _grown(stride=lambda R, S, P, k, s, p, d: S * s * d),
            "The size is right. Dilation moves the taps of one unit apart; how far the next unit moves "
            "on, the layer's stride alone says.",
        ),
        Mistake(
            "dilation added",
            _grown(size=lambda R, S, P, k, s, p, d: R + (k - 1) * S + d - 1),
            "With dilation 1 all is right. Every gap between two taps grows with the dilation, not one "
            "gap alone.",
        ),
        Mistake(
            "dilation one too large",
            _grown(size=lambda R, S, P, k, s, p, d: R + (d + 1) * (k - 1) * S),
            "Your taps stand one unit too far apart. Without a gap the dilation is 1, and neighbouring "
            "taps lie on neighbouring units.",
        ),
        Mistake(
            "as if the layer were below",
            _layer_below,
            "This is the step for a layer put under the others. The new layer lies on top: it widens the "
            "field by its kernel, counted in the stride so far.",
        ),
        Mistake(
            "layer misread",
            _layer_misread,
            "You take the layer's stride for its padding and the other way round. Its four numbers come "
            "in the order kernel, stride, padding, dilation.",
        ),
        Mistake(
            "padding before stride",
            _padding_before_stride,
            "All three numbers are right, but they come in the wrong order: size, stride, padding.",
        ),
    ),
)


# 5.2 -----------------------------------------------------------------------------------------------


def _walk(
    layers: Sequence[Numbers],
    first: int,
    last: int,
    *,
    down: bool = True,
    pad: Callable[[int], int] = lambda p: -p,
    span: Callable[[int, int], int] = lambda k, d: d * (k - 1),
    whole: bool = False,
    late: bool = False,
) -> tuple[int, int]:
    """From units to pixels, layer by layer; every option set is a mistake."""
    for kernel, stride, padding, dilation in reversed(layers) if down else layers:
        first = (first + pad(padding)) * stride if late else first * stride + pad(padding)
        last = (last + pad(padding)) * stride if late else last * stride + pad(padding)
        last += span(kernel, dilation) + (stride - 1 if whole else 0)
    return first, last


def seen_pixels(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
    """First and last pixel that the units first ... last of the top layer see."""
    return _walk(layers, first, last)


def _walk_with(**options: Any) -> Callable[..., tuple[int, int]]:
    return lambda layers, first, last: _walk(layers, first, last, **options)


def _only_first(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
    return seen_pixels(layers, first, first)


def _clipped(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
    low, high = seen_pixels(layers, first, last)
    return max(low, 0), high


def _end(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
    low, high = seen_pixels(layers, first, last)
    return low, high + 1


def _length(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
    low, high = seen_pixels(layers, first, last)
    return low, high - low + 1


def _walk_cases(generator: torch.Generator) -> list[Case]:
    conv, pool = (3, 1, 1, 1), (2, 2, 0, 1)
    cases = [
        Case(([conv], 5, 5), "one 3×3 convolution, one unit"),
        Case(([pool], 5, 5), "one 2×2 pooling"),
        Case(([pool], 2, 4), "one 2×2 pooling, three units"),
        Case(([conv, pool], 0, 0), "the first unit of a small network: part of what it sees is padding"),
        Case(([(5, 2, 0, 1), conv], 3, 3), "the order of the layers counts"),
        Case(([conv, (3, 1, 4, 4)], 9, 9), "a dilated convolution on top"),
        Case(([conv, conv, pool, conv, conv, pool], 1, 2), "two blocks of VGG-16"),
        Case(([], 3, 5), "no layer at all: the units are pixels"),
    ]
    for count in (2, 3, 4, 6, 9):
        layers = [
            tuple(_draw(generator, low, high) for low, high in ((2, 5), (1, 3), (0, 3), (1, 3)))
            for _ in range(count)
        ]
        layers[0] = (layers[0][0], 2, 1, 2)
        first = _draw(generator, 0, 6)
        cases.append(Case((layers, first, first + _draw(generator, 0, 5))))
    return cases


def _ends(
    begin: Callable[..., int] = lambda u, k, s, p, d: u * s - p, end: Callable[..., int] | None = None
) -> Callable[..., tuple[int, int]]:
    """Both ends by rules of their own, from a unit and a layer's four numbers."""

    def wrong(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
        for layer in reversed(layers):
            first, last = begin(first, *layer), (end or begin)(last, *layer)
        return first, last

    return wrong


def _last_from_first(layers: Sequence[Numbers], first: int, last: int) -> tuple[int, int]:
    for kernel, stride, padding, dilation in reversed(layers):
        first = first * stride - padding
        last = first + dilation * (kernel - 1)
    return first, last


WALK = Exercise(
    "5.2",
    "From the top down",
    seen_pixels,
    _walk_cases,
    places=("the first pixel", "the last pixel"),
    plan=(
        "Begin with the two units you are given, on top. Which layer do you meet first on the way down: "
        "the last in the list.",
        "Replace the first unit by the first unit of its window on the map below. Here the padding "
        "counts, the kernel's size does not.",
        "Replace the last unit by the last unit of its own window: it begins as any window does, and "
        "ends d (k − 1) further on.",
        "Go on with the next layer. Negative numbers are padding; let them stand.",
    ),
    mistakes=(
        Mistake(
            "from the bottom up",
            _walk_with(down=False),
            "With one layer all is right. You start from units of the top layer: which layer do you meet "
            "first on the way to the image?",
        ),
        Mistake(
            "padding on the wrong side",
            _walk_with(pad=lambda p: p),
            "Padding comes before the first unit: with one row of it, the window of unit 0 begins at which "
            "unit of the map below?",
        ),
        Mistake(
            "padding forgotten",
            _walk_with(pad=lambda p: 0),
            "Without padding all is right. With one row of it, where does the window of unit 0 begin?",
        ),
        Mistake(
            "padding before the stride",
            _walk_with(late=True),
            "Padding is counted in units of the map below, and so it is not multiplied by this layer's "
            "stride. What comes first?",
        ),
        Mistake(
            "whole kernel",
            _walk_with(span=lambda k, d: d * k),
            "The first pixel is right. A window of three that begins at 4 ends at which pixel? The last one "
            "counts as seen.",
        ),
        Mistake(
            "dilation forgotten",
            _walk_with(span=lambda k, d: k - 1),
            "Without dilation all is right. Where is the last tap of a window of three with dilation 4?",
        ),
        Mistake(
            "dilated kernel minus one",
            _walk_with(span=lambda k, d: d * k - 1),
            "Without dilation all is right. Three taps with dilation 4 lie at 0, 4 and 8, not at 0 to 11.",
        ),
        Mistake(
            "units in between",
            _walk_with(whole=True),
            "The last pixel is too far. The last unit's window begins at that unit times the stride; do not "
            "add the steps to the next one.",
        ),
        Mistake(
            "only the first unit",
            _only_first,
            "With a single unit all is right. The last pixel belongs to the last unit's window.",
        ),
        Mistake(
            "clipped at the border",
            _clipped,
            "Inside the image all is right. Pixels before the first one are padding; they are asked for as "
            "well, as negative numbers.",
        ),
        Mistake(
            "one past the last",
            _end,
            "The first pixel is right. The last pixel that is seen is asked for, not the first one that is "
            "not.",
        ),
        Mistake(
            "the number of pixels",
            _length,
            "The first pixel is right. The second number is the last pixel itself, not how many there are.",
        ),
        Mistake(
            "no window at the last unit",
            _walk_with(span=lambda k, d: 0),
            "The last unit sees more than the first pixel of its window. How far is it from its first tap "
            "to its last?",
        ),
        Mistake(
            "padding added at the end",
            _ends(end=lambda u, k, s, p, d: u * s + p + d * (k - 1)),
            "The first pixel is right. Padding moves the whole window back: its end as well as its "
            "beginning.",
        ),
        Mistake(
            "half a window on either side",
            _ends(
                lambda u, k, s, p, d: u * s - d * (k - 1) // 2, lambda u, k, s, p, d: u * s + d * (k - 1) // 2
            ),
            "You lay the window's middle on the unit. Where it begins is said by the padding alone, which "
            "need not be half the kernel.",
        ),
        Mistake(
            "the last from the new first",
            _last_from_first,
            "Your last pixel is computed from the first one, which has changed by then. With a single unit "
            "all is right: keep both ends.",
        ),
        Mistake(
            "one layer only",
            lambda layers, first, last: _walk(layers[-1:], first, last) if layers else None,
            "With one layer all is right. With several you stop after the top one: does your loop end too "
            "early?",
        ),
        Mistake(
            "padding twice",
            _walk_with(pad=lambda p: -2 * p),
            "The window begins too far to the left. Padding stands on both sides, but only what comes "
            "before the first unit moves it.",
        ),
        Mistake(
            "last before first",
            lambda layers, first, last: _walk(layers, first, last)[::-1],
            "Both pixels are right, in the wrong order: the first one comes first.",
        ),
        Mistake(
            "padding and dilation exchanged",
            lambda layers, first, last: _walk([(k, s, d, p) for k, s, p, d in layers], first, last),
            "You read dilation where a layer holds padding. A layer is kernel, stride, padding, dilation, "
            "in this order.",
        ),
        Mistake(
            "kernel and stride exchanged",
            lambda layers, first, last: _walk([(s, k, p, d) for k, s, p, d in layers], first, last),
            "You read stride where a layer holds its kernel. A layer is kernel, stride, padding, dilation, "
            "in this order.",
        ),
        Mistake(
            "the layer's own stride between the taps",
            _ends(end=lambda u, k, s, p, d: u * s - p + d * (k - 1) * s),
            "Where the stride is 1 all is right. Taps lie on the map below, d units apart; this layer's "
            "stride is the step of the whole window.",
        ),
        Mistake(
            "as if kernels were odd",
            _walk_with(span=lambda k, d: 2 * d * (k // 2)),
            "With odd kernels all is right. A window of two ends one unit after it begins.",
        ),
        Mistake(
            "one more in each layer",
            _walk_with(span=lambda k, d: d * (k - 1) + 1),
            "The last pixel is too far, by more with each layer. The last tap itself is counted: how far is"
            " it from the first?",
        ),
        Mistake(
            "no layers, no pixels",
            lambda layers, first, last: _walk(layers, first, last) if layers else (0, 0),
            "Without any layer the units are the pixels themselves: the two numbers come back as they are.",
        ),
    ),
)


# 5.3 -----------------------------------------------------------------------------------------------


def join_fields(fields: Sequence[Numbers]) -> Numbers:
    """The field where paths of one stride meet: the hull of theirs."""
    before = max(padding for _, _, padding in fields)
    after = max(size - padding for size, _, padding in fields)
    return before + after, fields[0][1], before


def _largest(fields: Sequence[Numbers]) -> Numbers:
    return max(fields)


def _each(fields: Sequence[Numbers]) -> Numbers:
    return max(f[0] for f in fields), fields[0][1], max(f[2] for f in fields)


def _summed(fields: Sequence[Numbers]) -> Numbers:
    _, stride, padding = join_fields(fields)
    return sum(f[0] for f in fields), stride, padding


def _strides(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size, stride * len(fields), padding


def _inside(fields: Sequence[Numbers]) -> Numbers:
    before = min(padding for _, _, padding in fields)
    after = min(size - padding for size, _, padding in fields)
    return before + after, fields[0][1], before


def _least_padding(fields: Sequence[Numbers]) -> Numbers:
    size, stride, _ = join_fields(fields)
    return size, stride, min(f[2] for f in fields)


def _last_two(fields: Sequence[Numbers]) -> Numbers:
    return join_fields([fields[0], fields[-1]])


def _one_more(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size + 1, stride, padding


def _join_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case(([(1, 1, 0), (5, 1, 2)],), "a skip over two convolutions"),
        Case(([(3, 1, 0), (3, 1, 2)],), "one path looks right, the other looks left"),
        Case(([(5, 2, 0), (4, 2, 3)],), "the larger field begins later"),
        Case(([(7, 4, 3), (11, 4, 5), (23, 4, 11)],), "three paths with one centre"),
        Case(([(9, 1, 1), (30, 1, 15), (12, 1, 2)],), "the path in the middle sees most on both sides"),
        Case(([(6, 2, 1)],), "a single path"),
        Case(([(1, 1, 0), (1, 1, 4)],), "two pixels four apart: the hull has what lies between"),
    ]
    for count in (2, 3, 4, 5, 3, 2):
        stride = _draw(generator, 2, 8)
        fields: list[Numbers] = []
        for _ in range(count):
            size = _draw(generator, 2, 40)
            fields.append((size, stride, _draw(generator, 0, size)))
        cases.append(Case((fields,)))
    return cases


def _both_ends(fields: Sequence[Numbers]) -> Numbers:
    before = max(padding for _, _, padding in fields)
    return before + max(size + padding for size, _, padding in fields), fields[0][1], before


def _from_pixel_0(fields: Sequence[Numbers]) -> Numbers:
    _, stride, before = join_fields(fields)
    return max(size - padding for size, _, padding in fields), stride, before


def _coordinate(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size, stride, -padding


def _one_less(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size - 1, stride, padding


def _paddings_added(fields: Sequence[Numbers]) -> Numbers:
    before = sum(padding for _, _, padding in fields)
    return before + max(size - padding for size, _, padding in fields), fields[0][1], before


def _in_strides(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size * stride, stride, padding * stride


def _size_in_strides(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size * stride, stride, padding


def _pixels_read(fields: Sequence[Numbers]) -> Numbers:
    _, stride, before = join_fields(fields)
    return len({x for size, _, pad in fields for x in range(-pad, size - pad)}), stride, before


def _order_of_numbers(fields: Sequence[Numbers]) -> Numbers:
    size, stride, padding = join_fields(fields)
    return size, padding, stride


JOIN = Exercise(
    "5.3",
    "Where paths meet",
    join_fields,
    _join_cases,
    places=("size", "stride", "padding"),
    plan=(
        "Write each path as an interval of pixels for unit 0: where does it begin, and where does it "
        "end? Both follow from R and P.",
        "The hull begins where the first of them begins and ends where the last ends. These may be two "
        "different paths.",
        "Turn the interval back into three numbers: its length, the stride that all share, and how far "
        "it begins before pixel 0.",
        "Count once more: from −2 to 2 there are five pixels.",
    ),
    mistakes=(
        Mistake(
            "the largest path",
            _largest,
            "Where one field contains the others all is right. Draw the case as intervals: does the largest "
            "one cover everything that is seen?",
        ),
        Mistake(
            "each number's maximum",
            _each,
            "The padding is right. The largest size is enough only if that field also begins first. Where "
            "does each field end?",
        ),
        Mistake(
            "sizes added",
            _summed,
            "Stride and padding are right. Paths that run side by side see many pixels twice; from the first "
            "to the last, how many are there?",
        ),
        Mistake(
            "strides multiplied",
            _strides,
            "Size and padding are right. The paths run side by side and have one stride; joining them takes "
            "no further step.",
        ),
        Mistake(
            "what all paths see",
            _inside,
            "You keep what every path sees. The unit takes all of them: it sees what any path sees.",
        ),
        Mistake(
            "smallest padding",
            _least_padding,
            "The size is right. The field begins where the first of the fields begins: has that one the "
            "largest padding, or the smallest?",
        ),
        Mistake(
            "only two paths",
            _last_two,
            "With two paths all is right. With more of them, some are left out.",
        ),
        Mistake(
            "one pixel too many",
            _one_more,
            "Stride and padding are right. How many pixels are there from -2 to 2? If your size comes from a "
            "first and a last pixel, count again.",
        ),
        Mistake(
            "padding on both ends",
            _both_ends,
            "Padding moves a field towards smaller numbers, its end as well as its beginning. Where does "
            "a field of R pixels end that begins P pixels before pixel 0?",
        ),
        Mistake(
            "counted from pixel 0",
            _from_pixel_0,
            "Your size counts the pixels from pixel 0 on. What lies before it, as far as the hull begins "
            "there, belongs to the size too.",
        ),
        Mistake(
            "padding as a coordinate",
            _coordinate,
            "The interval is right. Yours is the pixel at which it begins; P says how many pixels that "
            "is before pixel 0.",
        ),
        Mistake(
            "one pixel too few",
            _one_less,
            "Stride and padding are right. From pixel −2 to pixel 2 there are five pixels, not four: "
            "first and last both count.",
        ),
        Mistake(
            "paddings added",
            _paddings_added,
            "You add the paddings up. The paths run side by side: the hull begins where the first of them "
            "begins, and no further.",
        ),
        Mistake(
            "all times the stride",
            _in_strides,
            "You multiply by the stride. Size and padding are given in pixels already, whatever the "
            "stride is.",
        ),
        Mistake(
            "size times the stride",
            _size_in_strides,
            "The padding is right. The sizes are given in pixels already and need no stride.",
        ),
        Mistake(
            "pixels counted",
            _pixels_read,
            "You count the pixels that some path reads. The hull is an interval, and what lies between "
            "two paths belongs to it.",
        ),
        Mistake(
            "padding before stride",
            _order_of_numbers,
            "All three numbers are right, but they come in the wrong order: size, stride, padding.",
        ),
    ),
)


# 5.4 -----------------------------------------------------------------------------------------------


def _heat(
    network: Network,
    images: Tensor,
    unit: tuple[int, int],
    *,
    swap: bool = False,
    everywhere: bool = False,
    one_channel: bool = False,
    signed: bool = False,
    late: bool = False,
    squared: bool = False,
    scale: str = "sum",
    red: bool = False,
    first: bool = False,
) -> Tensor:
    """The effective field; every option set is a mistake."""
    with torch.enable_grad():
        leaf = (images[:1] if first else images).detach().clone().requires_grad_()
        output = network(leaf)
        row, column = unit[::-1] if swap else unit
        picked = output if everywhere else output[:, :, row, column]
        (picked[:, 0] if one_channel else picked).sum().backward()
    gradient = leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
    gradient = gradient[:, :1] if red else gradient
    sizes = gradient if signed or late else gradient**2 if squared else gradient.abs()
    heat = sizes.sum(dim=(0, 1))
    heat = heat.abs() if late else heat
    return heat / {"sum": heat.sum(), "max": heat.max(), "none": torch.ones(())}[scale]


def effective_field(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
    """How much each pixel counts for a unit: mean absolute gradient, (H, W), sum 1."""
    return _heat(network, images, unit)


def _heat_with(**options: Any) -> Callable[..., Tensor]:
    return lambda network, images, unit: _heat(network, images, unit, **options)


def _convolutions(weights: Sequence[Tensor], relu: bool) -> Network:
    """A network of padded convolutions, as a function."""

    def network(x: Tensor) -> Tensor:
        for weight in weights:
            x = F.conv2d(x, weight, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
            x = x.relu() + 0.1 * x if relu else x
        return x

    return network


def _heat_cases(generator: torch.Generator) -> list[Case]:
    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mean = torch.ones(1, 1, 3, 3) / 9
    edge = torch.tensor([[[[-1.0, 0.0, 2.0]]]])
    pair = torch.tensor([[[[1.0, 2.0, 1.0]]], [[[0.0, -1.0, 3.0]]]])
    colour = torch.tensor([[[[1.0]], [[-2.0]], [[5.0]]]])
    cases = [
        Case((_convolutions([mean], False), noise(1, 1, 5, 6), (2, 3)), "a mean over 3×3 pixels"),
        Case((_convolutions([edge], False), noise(1, 1, 3, 6), (1, 4)), "weights -1, 0, 2 in a row"),
        Case((_convolutions([mean, mean], False), noise(1, 1, 6, 6), (2, 3)), "two means in turn"),
        Case((_convolutions([pair], False), noise(1, 1, 4, 5), (1, 2)), "a unit of two channels"),
        Case(
            (_convolutions([colour, mean], False), noise(2, 3, 3, 2), (1, 0)), "two images of three channels"
        ),
    ]
    for size, depth, relu in (
        ((7, 9), 1, False),
        ((9, 12), 2, True),
        ((11, 8), 3, True),
        ((12, 15), 4, True),
    ):
        weights = [noise(4, 4 if k else 3, 3, 3) / 4 for k in range(depth)]
        unit = (_draw(generator, 0, size[0] - 1), _draw(generator, 0, size[0] - 2))
        unit = (unit[0], unit[1] + 1) if unit[0] == unit[1] else unit
        unit = (min(unit[0], min(size) - 1), min(unit[1], min(size) - 1))
        cases.append(Case((_convolutions(weights, relu), noise(3, 3, *size), unit)))
    cases.append(Case((_convolutions(weights, relu), noise(3, 3, *size), unit)))  # other images alone
    return cases


def _gradient(network: Network, images: Tensor, picked: Callable[[Tensor], Tensor]) -> Tensor:
    """Of a number that is picked from the output, with respect to the images."""
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        picked(network(leaf)).backward()
    return leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)


def _with_sizes(sizes: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another way from gradient (N, C, H, W) and images to a map (H, W)."""

    def wrong(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
        gradient = _gradient(network, images, lambda output: output[:, :, unit[0], unit[1]].sum())
        heat = sizes(gradient, images)
        return heat / heat.sum()

    return wrong


def _size_of_output(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
    gradient = _gradient(network, images, lambda output: output[:, :, unit[0], unit[1]].abs().sum())
    return gradient.abs().sum((0, 1)) / gradient.abs().sum()


def _each_channel(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
    def of(channel: int) -> Tensor:
        return _gradient(network, images, lambda output: output[:, channel, unit[0], unit[1]].sum()).abs()

    with torch.no_grad():
        channels = network(images).shape[1]
    heat = torch.stack([of(channel) for channel in range(channels)]).sum((0, 1, 2))
    return heat / heat.sum()


def _no_gradient_asked(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
    with torch.enable_grad():
        network(images)[:, :, unit[0], unit[1]].sum().backward()
    return images


def _many_numbers(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
    with torch.enable_grad():
        leaf = images.clone().requires_grad_()
        network(leaf)[:, :, unit[0], unit[1]].backward()
    heat = cast(Tensor, leaf.grad).abs().sum((0, 1))
    return heat / heat.sum()


def _of_a_copy(network: Network, images: Tensor, unit: tuple[int, int]) -> Tensor:
    with torch.enable_grad():
        network(images.clone().requires_grad_())[:, :, unit[0], unit[1]].sum().backward()
    return cast(Tensor, images.grad).abs().sum((0, 1))


EFFECTIVE = Exercise(
    "5.4",
    "The effective field",
    effective_field,
    _heat_cases,
    tolerance=1e-4,
    axes=("row", "column"),
    plan=(
        "Make a copy of the images that keeps a gradient; the ones that were given stay untouched.",
        "Run the network and pick the unit: its row and column, all channels, all images. Add up what "
        "you picked, for one can only go back from a single number.",
        "Go back, and read the gradient of your copy: one number for each image, channel and pixel.",
        "Take the size of each number before anything is added, or opposite signs cancel. Then add over "
        "images and channels.",
        "Divide by the total, so that the map sums to 1.",
    ),
    mistakes=(
        Mistake(
            "signs kept",
            _heat_with(signed=True),
            "A pixel with a negative weight counts as much as one with a positive weight. What is the size "
            "of a gradient, whatever its sign?",
        ),
        Mistake(
            "absolute value too late",
            _heat_with(late=True),
            "You add up gradients of several channels or images before you take their size; what has "
            "opposite signs cancels. Which comes first?",
        ),
        Mistake(
            "squared",
            _heat_with(squared=True),
            "Strong pixels come out too strong. The size of a gradient is asked for, not its square.",
        ),
        Mistake(
            "gradient of all units",
            _heat_with(everywhere=True),
            "Your map is nearly even: it is the gradient of all units at once. Choose the unit's row and "
            "column in the output before you go back.",
        ),
        Mistake(
            "row and column swapped",
            _heat_with(swap=True),
            "The pattern is right but lies elsewhere. The unit is given as (row, column): which axis of the "
            "output is which?",
        ),
        Mistake(
            "one channel of the unit",
            _heat_with(one_channel=True),
            "With one channel all is right. The unit has several: add them all up before going back.",
        ),
        Mistake(
            "one channel of the image",
            _heat_with(red=True),
            "With grey images all is right. A pixel has several channels, and all of them count.",
        ),
        Mistake(
            "first image only",
            _heat_with(first=True),
            "With a single image all is right. The mean over all of them is asked for.",
        ),
        Mistake(
            "not scaled",
            _heat_with(scale="none"),
            "The pattern is right. The map is to sum to 1, so that networks can be compared.",
        ),
        Mistake(
            "largest is 1",
            _heat_with(scale="max"),
            "The pattern is right. The map is to sum to 1; yours has 1 as its largest value.",
        ),
        Mistake(
            "images added too early",
            _with_sizes(lambda gradient, images: gradient.sum(0).abs().sum(0)),
            "With a single image all is right. You add the gradients of several images before you take "
            "their size, and opposite signs cancel.",
        ),
        Mistake(
            "channels added too early",
            _with_sizes(lambda gradient, images: gradient.sum(1).abs().sum(0)),
            "You add the gradients of a pixel's channels before you take their size, so that opposite "
            "signs cancel. With one channel nobody can tell.",
        ),
        Mistake(
            "root of the squares",
            _with_sizes(lambda gradient, images: gradient.square().sum((0, 1)).sqrt()),
            "You take the root of the summed squares. Asked are absolute values, added up; with one image "
            "of one channel both are the same.",
        ),
        Mistake(
            "largest channel",
            _with_sizes(lambda gradient, images: gradient.abs().amax(1).sum(0)),
            "Of a pixel's channels you keep the largest. All of them count: add them up.",
        ),
        Mistake(
            "each image scaled",
            _with_sizes(
                lambda gradient, images: (
                    gradient.abs().sum(1) / gradient.abs().sum((1, 2, 3))[:, None, None]
                ).sum(0)
            ),
            "You scale every image's map before you add them. Add first, over images and channels, and "
            "divide by the total once.",
        ),
        Mistake(
            "gradient times image",
            _with_sizes(lambda gradient, images: (gradient * images).abs().sum((0, 1))),
            "You multiply the gradient by the image. How much a pixel counts is the gradient alone: what "
            "would change if the pixel did.",
        ),
        Mistake(
            "size of the output",
            _size_of_output,
            "You take the absolute value of the output before you go back, so some channels enter with "
            "the other sign. The size is taken of the gradient, at the end.",
        ),
        Mistake(
            "channel by channel",
            _each_channel,
            "You go back from each channel of the unit by itself and add the sizes. The task adds the "
            "channels up first and goes back once.",
        ),
        Mistake(
            "divided by the images",
            lambda network, images, unit: _heat(network, images, unit, scale="none") / len(images),
            "The pattern is right. You divide by the number of images; the map is to sum to 1, so divide "
            "by its own total.",
        ),
        Mistake(
            "no gradient asked",
            _no_gradient_asked,
            "The images that you are given carry no gradient. Make a copy of them that asks for one "
            "before it goes into the network.",
        ),
        Mistake(
            "not one number",
            _many_numbers,
            "One can only go back from a single number. Add up the unit's channels in all images first.",
        ),
        Mistake(
            "gradient of another copy",
            _of_a_copy,
            "The copy that went into the network has the gradient; you read that of the images that were "
            "given. Keep the copy under a name of its own.",
        ),
    ),
)


# 5.5 -----------------------------------------------------------------------------------------------


def design(size: int) -> list[int]:
    """Dilations of the fewest 3×3 layers at stride 1 that see `size` pixels in a row, without a hole."""
    dilations, field = [], 1
    while field < size:
        dilations.append(min(field, (size - field) // 2))
        field += 2 * dilations[-1]
    return dilations


def _designed(grow: Callable[[int, int], int], rest: bool = True) -> Callable[[int], list[int]]:
    """A design with another rule for the next dilation: grow(field, layers so far)."""

    def wrong(size: int) -> list[int]:
        dilations: list[int] = []
        field = 1
        while field < size and len(dilations) < size:
            step, left = grow(field, len(dilations)), (size - field) // 2
            if step > left and not rest:
                break
            dilations.append(min(step, left))
            field += 2 * dilations[-1]
        return dilations

    return wrong


def _one_sided(size: int) -> list[int]:
    dilations, field = [], 1
    while field < size:
        dilations.append(min(field, size - field))
        field += dilations[-1]
    return dilations


def _too_far(size: int) -> list[int]:
    dilations, field = [], 1
    while field < size:
        dilations.append(field)
        field += 2 * field
    return dilations


def _two_fields(size: int) -> list[int]:
    dilations, field = [], 1
    while field < size:
        dilations.append(min(field, size - field))
        field += 2 * dilations[-1]
    return dilations


def _one_layer(size: int) -> list[int]:
    return [(size - 1) // 2] if size > 1 else []


def _design_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case((3,), "one plain layer is enough"),
        Case((9,), "two layers, the second as far apart as the field so far"),
        Case((5,), "a rest of two pixels"),
        Case((27,), "three layers that see most"),
        Case((67,), "the field of the context module"),
        Case((1,), "the pixel itself: no layer"),
    ]
    return cases + [Case((2 * _draw(generator, 5 * 4**k, 20 * 4**k) + 1,)) for k in range(5)]


def _rest_off_twice(size: int) -> list[int]:
    dilations, field = [], 1
    while field < size:
        dilations.append(field)
        field *= 3
    return [*dilations[:-1], dilations[-1] - (field - size)] if field > size else dilations


def _in_order_of_size(size: int) -> list[int]:
    return sorted(design(size))


def _a_layer_at_least(size: int) -> list[int]:
    return design(size) or [1]


def _rest_first(size: int) -> list[int]:
    *others, last = design(size) or [1]
    return [last, *others] if size > 1 else []


def _one_zero(size: int) -> list[int]:
    return [*design(size), 0]


def _another_design(expected: list[int], got: list[int]) -> str | None:
    """What is wrong with a design; one that sees as much, but by another rule, is told so."""
    found = difference(expected, got, 0.0)
    if found is None:
        return None
    field = 1
    for dilation in got:
        if not 1 <= dilation <= field:
            return found.text
        field += 2 * dilation
    if field != 1 + 2 * sum(expected):
        return found.text
    return (
        f"Yours sees {field} pixels without a hole as well, with as few layers. The task has one answer: "
        "every layer takes the largest dilation that it may, and the last one what is left."
    )


DESIGN = Exercise(
    "5.5",
    "A network for a given field",
    design,
    _design_cases,
    compare=_another_design,
    axes=("layer",),
    plan=(
        "Keep one number, the field so far: 1 before the first layer. And the list of dilations.",
        "How far apart may the next layer's taps be? So far that the fields of neighbouring taps just touch.",
        "By how much does a layer of dilation d widen the field, both sides together? If less than that "
        "is missing, take only what is needed.",
        "Go on until the field has the size that is wanted. For a size of 1 nothing is to be done.",
    ),
    mistakes=(
        Mistake(
            "no dilation",
            _designed(lambda field, done: 1),
            "The field has the right size and no holes, but it takes many layers. How far apart may the taps "
            "be, if the layers below see several pixels in a row?",
        ),
        Mistake(
            "doubled",
            _designed(lambda field, done: 2**done),
            "Doubling leaves no holes, but the fields of the three taps overlap. How far may they be moved "
            "apart until they only touch?",
        ),
        Mistake(
            "holes",
            _designed(lambda field, done: field + 1),
            "Mark what the three taps of your second layer see: between their fields there are pixels that "
            "nobody sees.",
        ),
        Mistake(
            "tripled plus",
            _designed(lambda field, done: 2 * field - 1),
            "Some of your dilations are larger than the field of the layer below, so between the taps there "
            "are pixels that nobody sees.",
        ),
        Mistake(
            "rest left out",
            _designed(lambda field, done: field, rest=False),
            "Powers of three are right. For other sizes a last layer with a smaller dilation takes what is "
            "left.",
        ),
        Mistake(
            "too large",
            _too_far,
            "Powers of three are right. For other sizes your field becomes too large: the last dilation is "
            "only as large as it needs to be.",
        ),
        Mistake(
            "the rest on one side",
            _two_fields,
            "The last layer is too wide. A 3×3 layer grows the field on both sides; each side takes half of "
            "what is left.",
        ),
        Mistake(
            "grows on one side",
            _one_sided,
            "By how much does a 3×3 layer of dilation d grow the field? It has a tap on either side of the "
            "middle one.",
        ),
        Mistake(
            "one layer",
            _one_layer,
            "Three taps see three pixels, however far apart they are. What lies between them must be seen by "
            "the layers below.",
        ),
        Mistake(
            "largest first",
            lambda size: design(size)[::-1],
            "The dilations are the right ones. The first in the list is the first layer, and what it sees "
            "are single pixels: which dilation leaves no holes there?",
        ),
        Mistake(
            "rest taken twice",
            _rest_off_twice,
            "Powers of three are right. Where the field became too large you take the whole surplus off "
            "the last dilation; a dilation counts on both sides.",
        ),
        Mistake(
            "in order of size",
            _in_order_of_size,
            "Your dilations are the right ones, sorted. The rest comes last in the list, even if it is "
            "smaller than the one before it.",
        ),
        Mistake(
            "rest first",
            _rest_first,
            "You begin with the rest. The first layer sees single pixels, so its dilation is 1, and the "
            "rest goes to the last layer.",
        ),
        Mistake(
            "a layer at least",
            _a_layer_at_least,
            "A field of one pixel needs no layer: the pixel sees itself. The list is empty then.",
        ),
        Mistake(
            "a layer too many",
            _one_zero,
            "Your last layer has dilation 0 and adds nothing. Stop as soon as the field has the size that "
            "is wanted.",
        ),
    ),
)

EXERCISES = (STEP, WALK, JOIN, EFFECTIVE, DESIGN)
