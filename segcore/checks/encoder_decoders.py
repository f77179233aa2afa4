"""Exercises of chapter 9: crop and concatenate, U-Net's forward pass, tiles, Dice, scribbles.

The references are written apart from `segcore.encoder_decoders`. Every mistake is a reference with one thing
wrong.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, Property, reaches_gradient

__all__ = ["EXERCISES"]

Maps = Callable[[Tensor], Tensor]


# 9.1 -----------------------------------------------------------------------------------------------


def _centre(skip: Tensor, x: Tensor) -> Tensor:
    """The middle of skip, as large as x."""
    for axis in (2, 3):
        start = (skip.shape[axis] - x.shape[axis]) // 2
        skip = skip.narrow(axis, start, x.shape[axis])
    return skip


def crop_and_concatenate(skip: Tensor, x: Tensor) -> Tensor:
    """The middle of the encoder's map ``(N, A, H, W)`` before the decoder's ``(N, B, h, w)``."""
    return torch.cat([_centre(skip, x), x], dim=1)


def _crop_and_join(
    skip: Tensor,
    x: Tensor,
    *,
    piece: Callable[[Tensor, Tensor], Tensor] = _centre,
    other: Callable[[Tensor, Tensor], Tensor] = lambda skip, x: x,
    join: Callable[[Tensor, Tensor], Tensor] = lambda piece, x: torch.cat([piece, x], 1),
) -> Tensor:
    """The reference, with a switch for each of the usual slips."""
    return join(piece(skip, x), other(skip, x))


def _corner(skip: Tensor, x: Tensor) -> Tensor:
    return skip[:, :, : x.shape[2], : x.shape[3]]


def _last_corner(skip: Tensor, x: Tensor) -> Tensor:
    return skip.flip(2, 3)[:, :, : x.shape[2], : x.shape[3]].flip(2, 3)


def _padded(skip: Tensor, x: Tensor) -> Tensor:
    down, across = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
    return F.pad(x, (across, across, down, down))


def _crop_cases(generator: torch.Generator) -> list[Case]:
    def count(*shape: int) -> Tensor:
        return torch.arange(1.0, functools.reduce(int.__mul__, shape) + 1).reshape(shape)

    cases = [
        Case((count(1, 1, 4, 4), -count(1, 1, 2, 2)), "4×4 and 2×2: one pixel goes on each side"),
        Case((count(1, 1, 2, 6), -count(1, 1, 2, 2)), "as high as the other, and wider"),
        Case((count(1, 1, 6, 3), -count(1, 1, 2, 3)), "as wide as the other, and higher"),
        Case((count(1, 2, 2, 2), -count(1, 1, 2, 2)), "equal sizes: nothing to crop"),
    ]
    for n, a, b, height, width, down, across in ((2, 3, 2, 8, 7, 1, 2), (1, 4, 4, 9, 12, 3, 1)):
        skip = torch.rand(n, a, height, width, generator=generator)
        inner = torch.rand(n, b, height - 2 * down, width - 2 * across, generator=generator)
        cases.append(Case((skip, inner)))
    return cases


def _rolled(skip: Tensor, x: Tensor) -> Tensor:
    """Moved by a pixel along the axes that are cropped."""
    for axis in (2, 3):
        if skip.shape[axis] > x.shape[axis]:
            skip = skip.roll(-1, axis)
    return skip


def _cut(skip: Tensor, down: int, across: int) -> Tensor:
    return skip[:, :, down : skip.shape[2] - down, across : skip.shape[3] - across]


def _thinned_skip(skip: Tensor, x: Tensor) -> Tensor:
    down, across = (a // b for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
    return _corner(skip[:, :, ::down, ::across], x)


def _first_numbers(skip: Tensor, x: Tensor) -> Tensor:
    return skip.flatten(2)[:, :, : x[0, 0].numel()].reshape(*skip.shape[:2], *x.shape[2:])


def _in_turn(piece: Tensor, x: Tensor) -> Tensor:
    few = min(piece.shape[1], x.shape[1])
    pairs = torch.stack([piece[:, :few], x[:, :few]], 2).flatten(1, 2)
    return torch.cat([pairs, piece[:, few:], x[:, few:]], 1)


def _linear(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, like.shape[2:], mode="bilinear", align_corners=False)


def _whole(skip: Tensor, x: Tensor) -> Tensor:
    return skip


def _joined(join: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return functools.partial(_crop_and_join, join=join)


def _of(piece: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return functools.partial(_crop_and_join, piece=piece)


def _piece(cut: Callable[[Tensor, int, int, int, int], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Another piece of skip, from the borders above and at the left and the size of x."""

    def piece(skip: Tensor, x: Tensor) -> Tensor:
        down, across = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
        return cut(skip, down, across, *x.shape[2:])

    return _of(piece)


CROP = Exercise(
    "9.1",
    "Crop and concatenate",
    crop_and_concatenate,
    _crop_cases,
    properties=(reaches_gradient(0, lambda: (torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2)), "skip"),),
    axes=("image", "channel", "row", "column"),
    plan=(
        "Work with one axis: of a row of 4 beside a row of 2, which cells lie in the middle? Where do they "
        "begin, and how many are there?",
        "Do the same for the other axis, with its own sizes. Count from the start and by length: an end "
        "counted from behind fails where nothing is to be cut.",
        "Put the middle of the skip before x, along the axis of the channels. Height and width are then "
        "equal.",
    ),
    mistakes=(
        Mistake(
            "upper left corner",
            _of(_corner),
            "You keep the upper left corner of the encoder's map. Unpadded convolutions take a border from "
            "all four sides: which part lies over the decoder's map?",
        ),
        Mistake(
            "lower right corner",
            _of(_last_corner),
            "You keep the lower right corner of the encoder's map. What was lost on the way, was lost on all "
            "four sides alike.",
        ),
        Mistake(
            "decoder first",
            _joined(lambda piece, x: torch.cat([x, piece], 1)),
            "The numbers are right, in the other order: the encoder's channels come first here. The weights "
            "that read them are trained for one order.",
        ),
        Mistake(
            "resized",
            _of(_linear),
            "You shrink the whole of the encoder's map. Then its pixels no longer lie over those of the "
            "decoder, and the place is what the skip is there to bring back.",
        ),
        Mistake(
            "decoder padded",
            functools.partial(_crop_and_join, piece=_whole, other=_padded),
            "You enlarge the decoder's map with zeros instead of cropping the encoder's. In the border the "
            "next layer would then see half of its channels empty.",
        ),
        Mistake(
            "resized to the nearest",
            _of(lambda skip, x: F.interpolate(skip, x.shape[2:])),
            "You pick pixels from all over the encoder's map. Then they no longer lie over those of the "
            "decoder: a piece of it is asked for, as it is.",
        ),
        Mistake(
            "largest of each region",
            _of(lambda skip, x: F.adaptive_max_pool2d(skip, x.shape[2:])),
            "You pool the encoder's map until it fits. Then its pixels no longer lie over those of the "
            "decoder: cut a piece out, as it is.",
        ),
        Mistake(
            "decoder resized",
            functools.partial(_crop_and_join, piece=_whole, other=lambda skip, x: _linear(x, skip)),
            "You enlarge the decoder's map. It stays as it is; the encoder's map is the one that is cropped.",
        ),
        Mistake(
            "one pixel too far",
            _of(lambda skip, x: _centre(_rolled(skip, x), x)),
            "Your piece lies one pixel too far down and to the right. As many pixels go above as below: "
            "half the difference.",
        ),
        Mistake(
            "every so many pixels",
            _of(_thinned_skip),
            "You take every so many pixels of the encoder's map. A piece of it is asked for, with all of "
            "its pixels.",
        ),
        Mistake(
            "first numbers, in a new shape",
            _of(_first_numbers),
            "You take the first numbers of each channel and give them a new shape. Rows and columns are to "
            "be cut, each at both ends.",
        ),
        Mistake(
            "channels in turn",
            _joined(_in_turn),
            "Channels of both maps take turns in yours. All of the encoder's come first, then all of the "
            "decoder's.",
        ),
        Mistake(
            "added",
            _joined(torch.add),
            "You add the two maps. U-Net lays them beside one another: the result has the channels of both.",
        ),
        Mistake(
            "decoder left out",
            _joined(lambda piece, x: piece),
            "Only the encoder's piece comes back. The decoder's map belongs beside it, channel by channel.",
        ),
        Mistake(
            "encoder left out",
            lambda skip, x: x,
            "Only the decoder's map comes back. The middle of the encoder's map belongs before it, channel "
            "by channel.",
        ),
        Mistake(
            "along the batch",
            _joined(lambda piece, x: torch.cat([piece, x])),
            "You join along the first axis, which counts images: there are twice as many now. Channels are "
            "the axis after it.",
        ),
        Mistake(
            "below one another",
            _joined(lambda piece, x: torch.cat([piece, x], 2)),
            "You lay one map below the other: the picture gets higher. They belong beside one another as "
            "channels, pixel on pixel.",
        ),
        Mistake(
            "side by side",
            _joined(lambda piece, x: torch.cat([piece, x], 3)),
            "You lay one map to the right of the other: the picture gets wider. They belong together as "
            "channels, pixel on pixel.",
        ),
        Mistake(
            "a new axis",
            _joined(lambda piece, x: torch.stack([piece, x], 1)),
            "You stack the two maps along a new axis. They are joined along the axis of channels, which is "
            "there already.",
        ),
        Mistake(
            "minus zero",
            _piece(lambda skip, down, across, h, w: skip[:, :, down:-down, across:-across]),
            "Where nothing is to be cut off, your slice ends at minus zero, and that is 0: nothing is left."
            " Say where it ends, counted from the front.",
        ),
        Mistake(
            "one border for both axes",
            _piece(lambda skip, down, across, h, w: _cut(skip, down, down)),
            "You cut as much from the columns as from the rows. Height and width have each a difference of "
            "their own.",
        ),
        Mistake(
            "not cropped",
            _of(_whole),
            "The encoder's map is larger and must be cropped before they can be joined: its middle, as "
            "large as the decoder's.",
        ),
        Mistake(
            "rows alone",
            _piece(lambda skip, down, across, h, w: _cut(skip, down, 0)),
            "You crop the rows and leave the columns as they are. Both have to fit.",
        ),
        Mistake(
            "twice the border",
            _piece(lambda skip, down, across, h, w: _cut(skip, 2 * down, 2 * across)),
            "You cut the whole difference off at either end. Half of it goes above, half below.",
        ),
        Mistake(
            "height and width exchanged",
            _piece(lambda skip, down, across, h, w: skip[:, :, across : across + w, down : down + h]),
            "Your piece is as high as the other is wide. Rows are the axis before columns.",
        ),
        Mistake(
            "borders exchanged",
            _piece(lambda skip, down, across, h, w: skip[:, :, across : across + h, down : down + w]),
            "Your piece begins in the row where its columns should begin, and the other way round. Rows are"
            " the axis before columns.",
        ),
        Mistake(
            "negative padding in the wrong order",
            _piece(lambda skip, down, across, h, w: F.pad(skip, (-down, -down, -across, -across))),
            "F.pad takes the last axis first: left, right, then above, below. You cut the height's border "
            "off the columns.",
        ),
        Mistake(
            "an axis too early",
            _piece(lambda skip, down, across, h, w: skip[:, down : down + h, across : across + w]),
            "Your slices begin at the axis of channels. The axes are images, channels, rows, columns: the "
            "first two stay whole.",
        ),
    ),
)


# 9.2 -----------------------------------------------------------------------------------------------


def keep(x: Tensor) -> Tensor:
    """Return x."""
    return x


def tenfold(x: Tensor) -> Tensor:
    """Return 10 x."""
    return 10 * x


def negate(x: Tensor) -> Tensor:
    """Return -x."""
    return -x


def enlarge(x: Tensor) -> Tensor:
    """Repeat each pixel: twice as high and wide."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def enlarge_and_turn(x: Tensor) -> Tensor:
    """Twice as high and wide, with the value -3 x in the upper left of four cells and x in the others."""
    large = enlarge(x)
    corner = (torch.arange(large.shape[2]) % 2 == 0)[:, None] & (torch.arange(large.shape[3]) % 2 == 0)
    return torch.where(corner, -3 * large, large)


def weigh(x: Tensor) -> Tensor:
    """Channel 0 + 2 · channel 1 + 3 · channel 2 + ..."""
    weights = torch.arange(1.0, x.shape[1] + 1)[:, None, None]
    return (weights * x).sum(1, keepdim=True)


def mean_of_four(x: Tensor) -> Tensor:
    """The mean of 2×2 pixels, unpadded, after `weigh`."""
    return F.avg_pool2d(weigh(x), 2, 1)


def mean_of_nine(x: Tensor) -> Tensor:
    """The mean of 3×3 pixels, unpadded, after `weigh`."""
    return F.avg_pool2d(weigh(x), 3, 1)


def three_channels(x: Tensor) -> Tensor:
    """Three channels out of any number: x, its square and its cosine, weighed."""
    return torch.cat([weigh(x), weigh(x * x), weigh(x.cos())], 1)


def unet(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    """U-Net's forward pass from its blocks."""
    return _unet(image, encoder, up, decoder, score)


def _unet(
    image: Tensor,
    encoder: Sequence[Maps],
    up: Sequence[Maps],
    decoder: Sequence[Maps],
    score: Maps,
    *,
    join: Callable[[Tensor, Tensor], Tensor] = crop_and_concatenate,
    pool: Callable[[Tensor], Tensor] = lambda x: F.max_pool2d(x, 2),
    kept: str = "made",
    reverse: bool = True,
) -> Tensor:
    x, skips = image, []
    for block in encoder[:-1]:
        made = block(x)
        after = pool(made)
        skips.append({"before": x, "pooled": after}.get(kept, made))
        x = after
    x = encoder[-1](x)
    skips = [skips[-1]] * len(skips) if kept == "last" else skips[::-1] if reverse else skips
    for grow, block, skip in zip(up, decoder, skips, strict=True):
        x = block(join(skip, grow(x)))
    return score(x)


def _bottom_pooled(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    def bottom(x: Tensor) -> Tensor:
        return F.max_pool2d(encoder[-1](x), 2, ceil_mode=True) if up else encoder[-1](x)

    if not up:
        return _unet(image, encoder, up, decoder, score)
    return _unet(image, [*encoder[:-1], bottom], up, decoder, score, join=_fitting)


def _fitting(skip: Tensor, x: Tensor) -> Tensor:
    """Crop whichever is larger."""
    height, width = (min(pair) for pair in zip(skip.shape[2:], x.shape[2:], strict=True))
    return crop_and_concatenate(skip, x[:, :, :height, :width])


def _beside(skip: Tensor, x: Tensor) -> Tensor:
    """Not cropped."""
    return torch.cat([skip, x], 1)


def _sliced(skip: Tensor, x: Tensor) -> Tensor:
    """The crop as most write it, which does not fit where the skip is the smaller one."""
    height, width = x.shape[2:]
    top, left = (skip.shape[2] - height) // 2, (skip.shape[3] - width) // 2
    return torch.cat([skip[:, :, top : top + height, left : left + width], x], 1)


def _resized(skip: Tensor, x: Tensor) -> Tensor:
    small = F.interpolate(skip, x.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([small, x], 1)


def _scored_each_time(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    if not decoder:
        return _unet(image, encoder, up, decoder, score)
    scored = [lambda x, block=block: score(block(x)) for block in decoder]
    return _unet(image, encoder, up, scored, keep)


def _with_probabilities(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    return _unet(image, encoder, up, decoder, score).softmax(1)


def _not_enlarged(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    return _unet(image, encoder, [keep] * len(up), decoder, score)


def _decoder_from_the_top(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    return _unet(image, encoder, up, decoder[::-1], score)


def _up_from_the_top(
    image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
) -> Tensor:
    return _unet(image, encoder, up[::-1], decoder, score)


def _without(block: str) -> Callable[..., Tensor]:
    def wrong(
        image: Tensor, encoder: Sequence[Maps], up: Sequence[Maps], decoder: Sequence[Maps], score: Maps
    ) -> Tensor:
        if block == "bottom":
            encoder = [*encoder[:-1], keep]
        return _unet(image, encoder, up, decoder, keep if block == "score" else score)

    return wrong


def _unet_cases(generator: torch.Generator) -> list[Case]:
    small = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    large = torch.arange(1.0, 37).reshape(1, 1, 6, 6)
    valid = [keep, tenfold, tenfold], [enlarge_and_turn, enlarge], [mean_of_four, weigh], negate
    cases = [
        Case((small, [keep, tenfold], [enlarge], [weigh], negate), "one step down, one step up"),
        Case((small, [tenfold, keep], [enlarge], [weigh], keep), "the first block multiplies by ten"),
        Case((small, [keep, keep], [enlarge_and_turn], [weigh], keep), "a way up of its own"),
        Case((large, [keep, mean_of_nine], [enlarge], [weigh], negate), "unpadded: a skip of 6×6 over 2×2"),
        Case((large, *valid), "two steps, unpadded"),
        Case((small, [tenfold], [], [], negate), "no step: only the bottom"),
    ]
    blocks = [three_channels, three_channels, mean_of_nine], [enlarge, enlarge_and_turn]
    for n, channels, height, width in ((2, 3, 20, 22), (1, 1, 24, 20)):
        image = torch.rand(n, channels, height, width, generator=generator)
        cases.append(Case((image, *blocks, [mean_of_four, three_channels], weigh)))
        deeper = [three_channels, mean_of_nine], [enlarge], [mean_of_four], tenfold
        cases.append(Case((image - 0.5, *deeper)))
    return cases


def _learns(function: Callable[..., Any]) -> str | None:
    """Whether each block is run once, in order, and every one gets a gradient."""
    names = ["encoder[0]", "encoder[1]", "encoder[2]", "up[0]", "up[1]", "decoder[0]", "decoder[1]", "score"]
    calls: list[str] = []
    gains = {name: torch.ones((), requires_grad=True) for name in names}

    def block(name: str, after: Maps) -> Maps:
        def run(x: Tensor) -> Tensor:
            calls.append(name)
            return gains[name] * after(x)

        return run

    kinds = dict(zip(names, [keep, keep, keep, enlarge, enlarge, weigh, weigh, keep], strict=True))
    e0, e1, e2, u0, u1, d0, d1, score = (block(name, kinds[name]) for name in names)
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    result = function(image, [e0, e1, e2], [u0, u1], [d0, d1], score)
    wrong = next((name for name in names if calls.count(name) != 1), None)
    if wrong is not None:
        return f"The values are right, but {wrong} was called {calls.count(wrong)} times; once is right."
    if not result.requires_grad:
        return "The values are right, but nothing can be learnt: no gradient flows back."
    result.square().sum().backward()
    lost = [name for name in names if gains[name].grad is None]
    if lost or image.grad is None:
        return f"The values are right, but no gradient reaches {', '.join(lost) or 'the image'}."
    # Without the skips' part the gradient of the first block is another one.
    return (
        None if _skips_learn(function) else "The values are right, but no gradient flows through the skips."
    )


def _skips_learn(function: Callable[..., Any]) -> bool:
    """Whether the first block learns where only the skip leads to it: what comes from below is cut."""
    gain = torch.ones((), requires_grad=True)
    bottom = [lambda x: gain * x, lambda x: x.detach()]
    result = function(torch.rand(1, 1, 4, 4), bottom, [enlarge], [weigh], keep)
    return bool(result.requires_grad)


FORWARD = Exercise(
    "9.2",
    "U-Net's forward pass",
    unet,
    _unet_cases,
    properties=(
        Property(
            "each block once, all of them learn",
            _learns,
            "The pass is to be trained: call each block once, and keep what lies between connected. "
            ".detach(), .data, .numpy() and torch.no_grad() cut the connection.",
        ),
    ),
    tolerance=1e-4,
    axes=("image", "channel", "row", "column"),
    plan=(
        "Draw the U for one step down and one up, and write the size of the map beside each arrow. Which "
        "map is put away: before its block, behind it, or behind the pooling?",
        "The way down is a loop over all blocks but the last. Think of the case without any step: only the "
        "bottom and the score remain.",
        "The way up goes over `up` and `decoder` side by side. Which of the maps put away has the size that "
        "the first step needs?",
        "Within a step: grow, lay the skip beside it, apply the block. Call each block once, and the score "
        "after the loop.",
    ),
    mistakes=(
        Mistake(
            "first skip first",
            functools.partial(_unet, reverse=False),
            "The first step up gets the first skip. But what stands across from the lowest step of the "
            "decoder? The skip that was put away last is needed first.",
        ),
        Mistake(
            "skip before the block",
            functools.partial(_unet, kept="before"),
            "You put the map away before its block has worked on it. The skip is what the two convolutions "
            "make of it, the same map that is then pooled.",
        ),
        Mistake(
            "no skips",
            functools.partial(_unet, join=lambda skip, x: x),
            "The decoder's block gets only what comes from below. The encoder's map of the same size belongs "
            "beside it: that is what makes it a U-Net.",
        ),
        Mistake(
            "skip cropped at the corner",
            functools.partial(_unet, join=lambda skip, x: torch.cat([_corner(skip, x), x], 1)),
            "The skip is cropped at its upper left corner. Unpadded convolutions take from all sides; "
            "use your function from 9.1.",
        ),
        Mistake(
            "decoder's map first",
            functools.partial(_unet, join=lambda skip, x: torch.cat([x, _centre(skip, x)], 1)),
            "Right maps in the other order: the encoder's channels come first, as in 9.1.",
        ),
        Mistake(
            "average pooling",
            functools.partial(_unet, pool=lambda x: F.avg_pool2d(x, 2)),
            "You halve the maps by averaging. U-Net takes the maximum of 2×2 pixels.",
        ),
        Mistake(
            "pooled at the bottom too",
            _bottom_pooled,
            "You pool once too often. There is one pooling between two blocks of the encoder: what follows "
            "the lowest block is the way up.",
        ),
        Mistake(
            "no block at the bottom",
            _without("bottom"),
            "The encoder's last block is not used. It stands at the bottom, after the last pooling, and "
            "has no skip of its own.",
        ),
        Mistake(
            "no scores",
            _without("score"),
            "What you return are features. One layer is missing at the very end: the one that turns channels "
            "into scores.",
        ),
        Mistake(
            "skip after the pooling",
            functools.partial(_unet, kept="pooled", join=_sliced),
            "You put the map away after it was pooled. Then it is as coarse as what comes from below: the "
            "places that the skip should bring back are gone.",
        ),
        Mistake(
            "the lowest skip at every step",
            functools.partial(_unet, kept="last"),
            "Each of your steps takes the skip that was put away last. It has served once: the next step "
            "needs the one before it.",
        ),
        Mistake(
            "sum instead of concatenation",
            functools.partial(_unet, join=lambda skip, x: _centre(skip, x) + x),
            "You add the skip to what comes from below. Here the two are laid side by side, channel behind "
            "channel, as in 9.1.",
        ),
        Mistake(
            "skip not cropped",
            functools.partial(_unet, join=_beside),
            "With padded blocks you are right. Where blocks lose a border the skip is larger than what comes "
            "from below: your function of 9.1 makes it fit.",
        ),
        Mistake(
            "skip resized",
            functools.partial(_unet, join=_resized),
            "You shrink the whole skip until it fits. Then its pixels no longer lie over those from below; "
            "your function of 9.1 keeps them in their place.",
        ),
        Mistake(
            "every second pixel",
            functools.partial(_unet, pool=lambda x: x[:, :, ::2, ::2]),
            "You halve the maps by leaving out every second row and column. U-Net takes the maximum of 2×2 "
            "pixels.",
        ),
        Mistake(
            "scored at every step",
            _scored_each_time,
            "You apply the last layer in every step of the way up. It belongs at the very end, once: until "
            "then the maps hold features.",
        ),
        Mistake(
            "probabilities at the end",
            _with_probabilities,
            "You make probabilities of the scores. The pass ends with what `score` returns; the loss does "
            "the rest.",
        ),
        Mistake(
            "way up without growth",
            _not_enlarged,
            "The maps on your way up keep the size of the bottom: `up` is not used. Each step doubles the "
            "size before the skip joins.",
        ),
        Mistake(
            "decoder from the top",
            _decoder_from_the_top,
            "Your decoder's blocks come in the reverse order. The list begins at the bottom, as the way up "
            "does.",
        ),
        Mistake(
            "ups from the top",
            _up_from_the_top,
            "The blocks of `up` come in the reverse order. The list begins at the bottom, as the way up "
            "does.",
        ),
    ),
)


# 9.3 -----------------------------------------------------------------------------------------------


def blur(image: Tensor) -> Tensor:
    """The mean of 3×3 pixels, unpadded: the margin is 1."""
    return F.avg_pool2d(image, 3, 1)


def edges(image: Tensor) -> Tensor:
    """Two 3×3 filters, unpadded, one after the other: the margin is 2."""
    first = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -3.0], [1.0, 1.0, -1.0]])
    kernels = torch.stack([first, first.T + 1])[:, None].expand(-1, image.shape[1], -1, -1)
    return F.avg_pool2d(F.conv2d(image, kernels).relu(), 3, 1)


def down_and_up(image: Tensor) -> Tensor:
    """Pools, blurs and enlarges again: the margin is 2, and tiles must begin at even pixels."""
    return enlarge(F.avg_pool2d(F.max_pool2d(image, 2), 3, 1))


def _mirrored(image: Tensor, margin: int) -> Tensor:
    return F.pad(image, (margin,) * 4, mode="reflect")


def _border_repeated(image: Tensor, margin: int) -> Tensor:
    for axis in (2, 3):
        size = image.shape[axis]
        ends = image.narrow(axis, 0, margin).flip(axis), image.narrow(axis, size - margin, margin).flip(axis)
        image = torch.cat([ends[0], image, ends[1]], axis)
    return image


def small_memory(x: Tensor) -> Tensor:
    """Means of 3×3 pixels, of small images only."""
    if max(x.shape[2:]) > 4:
        raise MemoryError(f"this network takes tiles of 4×4 pixels, {tuple(x.shape)} came")
    return blur(x)


def _tiles(
    network: Maps,
    image: Tensor,
    tile: int,
    margin: int,
    *,
    pad: Callable[[Tensor, int], Tensor] = _mirrored,
    exchange: bool = False,
    start: Callable[[int, int], int] = lambda at, margin: at,
    sides: int = 2,
    swap: bool = False,
) -> Tensor:
    padded = pad(image[None], margin)
    seen = tile + sides * margin

    def answer(y: int, x: int) -> Tensor:
        y, x = (start(at, margin) for at in ((x, y) if swap else (y, x)))
        return network(padded[:, :, y : y + seen, x : x + seen])[0]

    rows = [[answer(y, x) for x in range(0, image.shape[2], tile)] for y in range(0, image.shape[1], tile)]
    if exchange:
        rows = [list(column) for column in zip(*rows, strict=True)]
    return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)


def predict_tiles(network: Maps, image: Tensor, tile: int, margin: int) -> Tensor:
    """Output ``(K, H, W)`` of an unpadded network over an image ``(C, H, W)``, tile by tile."""
    return _tiles(network, image, tile, margin)


def _each_mirrored(network: Maps, image: Tensor, tile: int, margin: int) -> Tensor:
    def alone(part: Tensor) -> Tensor:
        inner = part[:, :, margin : margin + tile, margin : margin + tile]
        return network(F.pad(inner, (margin,) * 4, mode="replicate" if tile <= margin else "reflect"))

    return _tiles(alone, image, tile, margin)


def _laid_down(
    network: Maps,
    image: Tensor,
    tile: int,
    margin: int,
    *,
    step: Callable[[int, int], int] = lambda tile, margin: tile,
    room: Callable[[int], int] = lambda margin: 0,
    shift: Callable[[int], int] = lambda margin: 0,
    missing: int = 0,
) -> Tensor:
    """Each answer written into a map of zeros, with `room` around, `shift` aside, the last ones `missing`."""
    padded, seen, by = _mirrored(image[None], margin), tile + 2 * margin, shift(margin)
    starts = [list(range(0, side, step(tile, margin))) for side in image.shape[1:]]
    first = network(padded[:, :, :seen, :seen])[0]
    result = first.new_zeros(len(first), *(side + room(margin) for side in image.shape[1:]))
    for y, x in itertools.product(*(each[: len(each) - missing] for each in starts)):
        place = result[:, y + by : y + by + tile, x + by : x + by + tile]
        answer = network(padded[:, :, y : y + seen, x : x + seen])[0]
        place[:] = answer[:, : place.shape[1], : place.shape[2]]
    return result


def _unpadded(image: Tensor, margin: int) -> Tensor:
    return image


def _whole_then_zeros(network: Maps, image: Tensor, tile: int, margin: int) -> Tensor:
    return F.pad(network(image[None])[0], (margin,) * 4)


def _tile_cases(generator: torch.Generator) -> list[Case]:
    numbers = torch.arange(1.0, 17).reshape(1, 4, 4)
    cases = [
        Case((blur, numbers, 2, 1), "four tiles of 2×2; the network takes means of 3×3"),
        Case((blur, numbers, 4, 1), "a single tile"),
        Case((blur, torch.arange(1.0, 25).reshape(1, 4, 6) ** 2, 2, 1), "two rows of three tiles"),
        Case((edges, torch.arange(1.0, 33).reshape(2, 4, 4) % 7, 4, 2), "two channels, margin 2"),
        Case((small_memory, numbers, 2, 1), "a network that has no room for more than 4×4 pixels"),
    ]
    for network, channels, height, width, tile, margin in (
        (edges, 3, 12, 18, 6, 2),
        (down_and_up, 2, 16, 8, 4, 2),
        (blur, 1, 9, 12, 3, 1),
    ):
        cases.append(
            Case((network, torch.rand(channels, height, width, generator=generator) + 0.5, tile, margin))
        )
    return cases


def _tile_by_tile(function: Callable[..., Any]) -> str | None:
    """Whether the network is called once for each tile, with what the tile sees and no more."""
    seen: list[tuple[int, ...]] = []

    def counting(x: Tensor) -> Tensor:
        seen.extend([tuple(x.shape[1:])] * len(x))
        return blur(x)

    function(counting, torch.arange(18.0).reshape(1, 3, 6), 3, 1)
    if seen == [(1, 5, 5)] * 2:
        return None
    sizes = ", ".join(sorted({" × ".join(map(str, shape[-2:])) for shape in seen})) or "nothing"
    return (
        "The values are right, but of an image of 3 × 6 pixels, in tiles of 3 with a margin of 1, the "
        f"network was given {len(seen)} pieces of {sizes} pixels. There are two tiles, and each needs 5 × 5."
    )


TILES = Exercise(
    "9.3",
    "Overlapping tiles",
    predict_tiles,
    _tile_cases,
    properties=(
        Property(
            "tile by tile",
            _tile_by_tile,
            "A network that is given all of the image at once needs the memory that tiles are to spare. Cut "
            "out for each tile what it sees, and call the network with that.",
        ),
    ),
    axes=("channel", "row", "column"),
    plan=(
        "Mirror the image once, by the margin on all four sides. The mirror stands on the outermost pixel: "
        "3 2 1 2 3.",
        "One tile first, the upper left one. How many pixels must go in, so that tile × tile come out? "
        "Where do they begin in the mirrored image?",
        "Move on by one tile, down and across. All starts are multiples of … , and no margin has to be "
        "subtracted: the mirror has added it.",
        "Lay the answers edge to edge: a row of tiles along the width, the rows below each other along the "
        "height. Drop the batch of one.",
    ),
    mistakes=(
        Mistake(
            "zeros outside",
            functools.partial(_tiles, pad=lambda image, margin: F.pad(image, (margin,) * 4)),
            "Beyond the image you put zeros. The paper mirrors: a tissue that ends in black is a sight that "
            "the network never saw.",
        ),
        Mistake(
            "border repeated outside",
            functools.partial(
                _tiles, pad=lambda image, margin: F.pad(image, (margin,) * 4, mode="replicate")
            ),
            "Beyond the image you repeat its outermost pixel again and again. Mirror it: one step outside "
            "stands what is one step inside.",
        ),
        Mistake(
            "mirrored between pixels",
            functools.partial(_tiles, pad=_border_repeated),
            "You mirror, but the outermost pixel comes twice. The mirror stands on that pixel, not "
            "behind it: 2 3 4 becomes 3 2 3 4 3.",
        ),
        Mistake(
            "wrapped around",
            functools.partial(_tiles, pad=lambda image, margin: F.pad(image, (margin,) * 4, mode="circular")),
            "Beyond the left border you put what stands at the right one. Mirror at the border instead.",
        ),
        Mistake(
            "each tile mirrored",
            _each_mirrored,
            "You mirror each tile at its own border. Only at the image's border is there nothing to see: "
            "inside, the tile's margin is the image around it. That is where tiles overlap.",
        ),
        Mistake(
            "rows and columns exchanged",
            functools.partial(_tiles, exchange=True),
            "Each tile is right, but they stand in the wrong places: what belongs side by side is put one "
            "below the other.",
        ),
        Mistake(
            "border left empty",
            _whole_then_zeros,
            "The middle is right, but near the image's border you answer 0. There the network must see the "
            "mirrored image.",
        ),
        Mistake(
            "tiles without their margin",
            functools.partial(_tiles, pad=_unpadded, sides=0),
            "You give the network the tile itself. It loses a margin on each side, so its answer comes out "
            "too small: what must it be given for a whole tile?",
        ),
        Mistake(
            "margin on one side only",
            functools.partial(_tiles, sides=1),
            "What you cut out is a margin larger than the tile. The network loses a margin on either side of "
            "an axis: how much is that together?",
        ),
        Mistake(
            "margin subtracted once more",
            functools.partial(_tiles, start=lambda at, margin: max(at - margin, 0)),
            "Your tiles begin a margin too early. The mirror has moved the image by one margin already: "
            "where in the padded image does the margin of the first tile begin?",
        ),
        Mistake(
            "margin added once more",
            functools.partial(_tiles, start=lambda at, margin: at + margin),
            "Your tiles begin where the tile does, not where its margin does. In the padded image the first "
            "tile's margin begins at 0.",
        ),
        Mistake(
            "y and x exchanged in the slice",
            functools.partial(_tiles, swap=True),
            "You cut out the tile at (x, y) and put its answer at (y, x). Rows come first in a tensor, in "
            "what you read as in what you write.",
        ),
        Mistake(
            "written a margin too far",
            functools.partial(_laid_down, shift=lambda margin: margin),
            "Each answer is right, but you write it a margin too far down and to the right. In the output "
            "there is no margin: where does the first tile go?",
        ),
        Mistake(
            "output with a margin",
            functools.partial(_laid_down, room=lambda margin: 2 * margin, shift=lambda margin: margin),
            "Your output is as large as the mirrored image, with zeros around. The network loses the "
            "margins: how large is what all tiles give together?",
        ),
        Mistake(
            "last tiles missing",
            functools.partial(_laid_down, missing=1),
            "The last tile of each row and column stays empty. Does your range, or your count of tiles, come "
            "to it?",
        ),
        Mistake(
            "steps as long as what goes in",
            functools.partial(_laid_down, step=lambda tile, margin: tile + 2 * margin),
            "You move on by all that a tile sees, so stripes stay empty. What goes in overlaps; what comes "
            "out lies edge to edge: how far is it to the next tile?",
        ),
        Mistake(
            "steps of a tile and a margin",
            functools.partial(_laid_down, step=lambda tile, margin: tile + margin),
            "You move on by a tile and a margin, so stripes stay empty. What comes out lies edge to edge: "
            "how far is it to the next tile?",
        ),
        Mistake(
            "axis of the batch left",
            lambda network, image, tile, margin: predict_tiles(network, image, tile, margin)[None],
            "Your result still has the batch of one that the network wants. The image came without it, and "
            "so should the answer go.",
        ),
    ),
)


# 9.4 -----------------------------------------------------------------------------------------------


def _dice(
    logits: Tensor,
    target: Tensor,
    ignore_index: int = 255,
    *,
    to_scores: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(1),
    masked: bool = True,
    absent: float | None = None,
    power: int = 1,
    factor: float = 2.0,
    union: bool = False,
    micro: bool = False,
    empty: float = 0.0,
    smooth: float = 0.0,
) -> Tensor:
    counts = (target != ignore_index)[:, None]
    scores, costs = to_scores(logits), []
    both = sums = torch.zeros(())
    for c in range(logits.shape[1]):
        p = scores[:, c : c + 1] * (counts if masked else 1)
        g = ((target == c)[:, None] & counts).float()
        overlap, total = (p * g).sum(), (p**power).sum() + g.sum()
        both, sums = both + overlap, sums + total
        if g.sum() > 0:
            below = total - overlap if union else total
            costs.append(1 - (factor * overlap + smooth) / (below + smooth))
        elif absent is not None:
            costs.append(1 - smooth / (total + smooth) if smooth else torch.tensor(absent))
    if micro and sums > 0:
        return 1 - 2 * both / sums
    none = not counts.any() or not costs
    return logits.sum() * 0 + empty if none else torch.stack(costs).mean()


def dice_loss(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """One minus the mean soft Dice coefficient of the classes that occur."""
    return _dice(logits, target, ignore_index)


def _ignored_as_zero(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    return _dice(logits, torch.where(target == ignore_index, 0, target), ignore_index)


def _mean_over_images(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    pairs = zip(logits.split(1), target.split(1), strict=True)
    return torch.stack([_dice(*pair, ignore_index) for pair in pairs]).mean()


def _fixed_label(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """255 is ignored, whatever is asked; other labels belong to no class."""
    return _dice(logits, target, 255)


def _sum_of_costs(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    occurring = target[target != ignore_index].unique()
    return _dice(logits, target, ignore_index) * len(occurring)


def _reshaped(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """(N, C, H, W) read as rows of C numbers."""
    mixed = logits.softmax(1).reshape(len(logits), *logits.shape[2:], -1).movedim(-1, 1)
    return _dice(mixed, target, ignore_index, to_scores=lambda scores: scores)


def _without_the_first(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """The background's cost left out of the mean."""
    scores, foreground = logits.softmax(1), torch.where(target == ignore_index, -1, target) - 1
    keep = target != ignore_index
    masked = torch.where(keep[:, None], scores[:, 1:], 0.0)
    return _dice(masked, torch.where(keep, foreground, -2), -2, to_scores=lambda each: each)


def _winner(logits: Tensor) -> Tensor:
    return F.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).float()


def _dice_by_class(
    combine: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A loss made of the sums of p g, of p and of g of the classes that occur; 0 where none does."""

    def wrong(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
        keep = target != ignore_index
        p = logits.softmax(1).movedim(1, -1)[keep]
        g = F.one_hot(target[keep], logits.shape[1]).to(p)
        occurs = g.sum(0) > 0
        return combine(*((each.sum(0))[occurs] for each in (p * g, p, g))) if keep.any() else logits.sum() * 0

    return wrong


def _dice_cases(generator: torch.Generator) -> list[Case]:
    row = torch.tensor([2.0, 0.0, -1.0, 1.0])
    logits = torch.stack([row, -row])[None, :, None]  # (1, 2, 1, 4)
    two = logits.expand(2, -1, -1, -1) * torch.tensor([1.0, -0.5])[:, None, None, None]
    cases = [
        Case((logits, torch.tensor([[[0, 0, 1, 1]]])), "two classes, four pixels"),
        Case((logits, torch.tensor([[[0, 0, 1, 255]]])), "the last pixel is ignored"),
        Case((logits, torch.tensor([[[0, 0, 0, 0]]])), "class 1 does not occur: it is left out of the mean"),
        Case((two, torch.tensor([[[0, 0, 1, 1]], [[1, 0, 0, 255]]])), "two images, one sum for both"),
        Case((logits, torch.full((1, 1, 4), 255)), "no pixel counts: 0"),
        Case((logits, torch.tensor([[[0, 0, 1, -1]]]), -1), "another label is ignored"),
        Case((logits, torch.tensor([[[1, 0, 1, 1]]]), 0), "here class 0 is ignored"),
    ]
    for n, classes, height, width in ((2, 3, 5, 6), (3, 4, 4, 4), (1, 5, 6, 3)):
        target = torch.randint(classes - 1, (n, height, width), generator=generator)  # the last never occurs
        target[torch.rand(n, height, width, generator=generator) < 0.25] = 255
        cases.append(Case((2 * torch.randn(n, classes, height, width, generator=generator), target)))
    return cases


DICE = Exercise(
    "9.4",
    "Dice loss with an ignored label",
    dice_loss,
    _dice_cases,
    properties=(
        reaches_gradient(0, lambda: (torch.randn(1, 2, 2, 2), torch.tensor([[[0, 1], [1, 255]]])), "logits"),
    ),
    plan=(
        "Make probabilities of the logits, over the axis of the classes. Look at one pixel: its numbers "
        "must sum to 1.",
        "Throw out the pixels that do not count, from prediction and truth alike, before any sum. Which "
        "label they carry, the caller says.",
        "For one class: Σ p g, Σ p and Σ g over all that is left of the batch. The by-hand example gives 2 "
        "· 0.8 / (1.2 + 1) for class 0.",
        "Loss = 1 - mean of the fractions, over the classes that … . What is left to return where no pixel "
        "counts?",
    ),
    mistakes=(
        Mistake(
            "ignored pixels as class 0",
            _ignored_as_zero,
            "Ignored pixels count as class 0 in your sums. They belong to no class: leave them out of all "
            "three sums.",
        ),
        Mistake(
            "ignored pixels in the sum of p",
            functools.partial(_dice, masked=False),
            "The truth's sum is right, but the probabilities of ignored pixels are still added up below the "
            "fraction. Nobody knows what stands there, so it must not cost anything.",
        ),
        Mistake(
            "absent classes cost 1",
            functools.partial(_dice, absent=1.0),
            "A class that does not occur costs you 1, whatever the network does. Average over the classes in "
            "the truth alone.",
        ),
        Mistake(
            "absent classes cost 0",
            functools.partial(_dice, absent=0.0),
            "You divide by the number of all classes. Absent ones then look perfect and make the loss small: "
            "divide by the number of those that occur.",
        ),
        Mistake(
            "one sum over all classes",
            functools.partial(_dice, micro=True),
            "You add up over the classes before you divide. Then a large class outweighs the small ones, "
            "which is what this loss is to prevent: one fraction a class, then the mean.",
        ),
        Mistake(
            "mean over images",
            _mean_over_images,
            "You compute the loss of each image and average. The sums go over all pixels of the batch; "
            "a class may be rare in one image and common in another.",
        ),
        Mistake(
            "smoothed",
            functools.partial(_dice, smooth=1.0),
            "You add a constant above and below the fraction, as many do against a division by zero. A class "
            "that occurs has at least one pixel, so there is none; and where a class is small, it tells.",
        ),
        Mistake(
            "smoothed, all classes",
            functools.partial(_dice, smooth=1.0, absent=0.0),
            "You add a constant above and below, and average over all classes. Leave the classes out that do "
            "not occur, and no denominator can be zero.",
        ),
        Mistake(
            "argmax",
            functools.partial(_dice, to_scores=_winner),
            "You take the winning class instead of its probability. That is the metric: it has no gradient, "
            "for a small change of the logits changes nothing.",
        ),
        Mistake(
            "logits",
            functools.partial(_dice, to_scores=lambda logits: logits),
            "The logits go into the sums as they are. They may be negative, or a thousand: first make "
            "probabilities of them, which add up to 1 over the classes.",
        ),
        Mistake(
            "sigmoid",
            functools.partial(_dice, to_scores=torch.sigmoid),
            "You squash each logit by itself. The classes exclude each other here: their probabilities must "
            "add up to 1 at each pixel.",
        ),
        Mistake(
            "factor 2 missing",
            functools.partial(_dice, factor=1.0),
            "Even a perfect prediction costs you a half. In the denominator each pixel that is right is "
            "counted twice, once in p and once in g: what must stand above?",
        ),
        Mistake(
            "soft IoU",
            functools.partial(_dice, factor=1.0, union=True),
            "You divide the overlap by the union: that is a soft IoU, a good loss too, but not Dice. Look "
            "at the denominator again.",
        ),
        Mistake(
            "squares below",
            functools.partial(_dice, power=2),
            "You square the probabilities in the denominator, as V-Net does. Here they are added up as they "
            "are.",
        ),
        Mistake(
            "NaN where nothing counts",
            functools.partial(_dice, empty=float("nan")),
            "Where no pixel counts you return NaN. One such batch and all weights are NaN: a loss of nothing "
            "should be 0.",
        ),
        Mistake(
            "Dice instead of one minus Dice",
            lambda logits, target, ignore_index=255: 1 - _dice(logits, target, ignore_index),
            "Your number rises as the prediction gets better: that is the Dice coefficient. A loss must "
            "fall.",
        ),
        Mistake(
            "minus Dice",
            lambda logits, target, ignore_index=255: _dice(logits, target, ignore_index) - 1,
            "You return minus the mean, which falls as it should, but ends at -1. The loss of a perfect "
            "prediction is 0.",
        ),
        Mistake(
            "sum over classes",
            _sum_of_costs,
            "You add up the costs of the classes. Take their mean, so that the loss stays between 0 and 1.",
        ),
        Mistake(
            "one minus the sum over classes",
            _dice_by_class(lambda both, p, g: 1 - (2 * both / (p + g)).sum()),
            "You take the sum of the classes' fractions from 1, so the loss falls below 0. Divide that sum "
            "by the number of classes that occur.",
        ),
        Mistake(
            "logarithm of Dice",
            _dice_by_class(lambda both, p, g: -(2 * both / (p + g)).log().mean()),
            "You take minus the logarithm of each class' fraction. Here the loss is 1 minus their mean.",
        ),
        Mistake(
            "weighted by the size of the class",
            _dice_by_class(lambda both, p, g: 1 - (2 * both / (p + g) * g).sum() / g.sum()),
            "Large classes weigh more in your mean. A rare class should count as much as a common one: a "
            "plain mean over those that occur.",
        ),
        Mistake(
            "weighted against the size of the class",
            _dice_by_class(lambda both, p, g: 1 - 2 * (both / g**2).sum() / ((p + g) / g**2).sum()),
            "You weigh the classes by one over their squared sizes and divide once, as the generalised Dice "
            "does. Here each class has a fraction of its own, and all count the same.",
        ),
        Mistake(
            "the worst class alone",
            _dice_by_class(lambda both, p, g: 1 - (2 * both / (p + g)).min()),
            "Only the worst class tells in yours. Take the mean over the classes that occur.",
        ),
        Mistake(
            "divided by the prediction alone",
            _dice_by_class(lambda both, p, g: 1 - (both / p).mean()),
            "You divide by what was predicted alone: that is a precision. Who predicts little of a class "
            "should pay, too.",
        ),
        Mistake(
            "divided by the truth alone",
            _dice_by_class(lambda both, p, g: 1 - (both / g).mean()),
            "You divide by the truth alone: that is a recall. Who predicts too much of a class should pay, "
            "too.",
        ),
        Mistake(
            "255 written in",
            _fixed_label,
            "Where 255 is the ignored label you are right. The caller says which label it is: another "
            "number, or even a class.",
        ),
        Mistake(
            "softmax over the batch",
            functools.partial(_dice, to_scores=lambda logits: logits.softmax(0)),
            "Your probabilities sum to 1 over the images of the batch; with one image all are 1. Which axis "
            "holds the classes?",
        ),
        Mistake(
            "softmax along a row",
            functools.partial(_dice, to_scores=lambda logits: logits.softmax(-1)),
            "Your probabilities sum to 1 along each row of the image, over its pixels. Which axis holds the "
            "classes?",
        ),
        Mistake(
            "reshaped instead of permuted",
            _reshaped,
            "You read (N, C, H, W) as rows of C numbers. A reshape does not move an axis: those numbers are "
            "of one class at several pixels. Bring the classes to the end first.",
        ),
        Mistake(
            "first class left out",
            _without_the_first,
            "You leave class 0 out of the mean, as if it were background. All classes that occur count here.",
        ),
        Mistake(
            "cross-entropy",
            lambda logits, target, ignore_index=255: F.cross_entropy(
                logits, target, ignore_index=ignore_index
            ),
            "That is cross-entropy, the loss that this one is to replace. Write down the three sums of the "
            "fraction, for one class.",
        ),
        Mistake(
            "1 where nothing counts",
            functools.partial(_dice, empty=1.0),
            "Where no pixel counts you return 1, as if all were wrong. A loss of nothing should be 0.",
        ),
    ),
)


# 9.5 -----------------------------------------------------------------------------------------------

Stroke = tuple[int, list[tuple[float, float]]]


def _distances(
    points: Sequence[tuple[float, float]], y: Tensor, x: Tensor, endless: bool, square: bool
) -> Tensor:
    """Distance of each pixel to a line through points."""
    pairs = list(itertools.pairwise(points)) or [(points[0], points[0])]
    nearest = torch.full_like(y, float("inf"))
    for (x0, y0), (x1, y1) in pairs:
        dx, dy = x1 - x0, y1 - y0
        along = ((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-12)
        along = along if endless else along.clamp(0, 1)
        off_x, off_y = (x - x0 - along * dx).abs(), (y - y0 - along * dy).abs()
        distance = torch.maximum(off_x, off_y) if square else torch.hypot(off_x, off_y)
        nearest = torch.minimum(nearest, distance)
    return nearest


def _paint(
    size: tuple[int, int],
    strokes: Sequence[Stroke],
    radius: float,
    *,
    rest: int = 255,
    exchange: bool = False,
    centre: float = 0.5,
    dots: bool = False,
    endless: bool = False,
    closed: bool = False,
    square: bool = False,
    last_first: bool = False,
    skip_dots: bool = False,
    parts_of: Callable[[list[tuple[float, float]]], list[list[tuple[float, float]]]] | None = None,
) -> Tensor:
    rows, columns = (torch.arange(side) + centre for side in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    labels = torch.full(size, rest)
    for label, points in reversed(strokes) if last_first else strokes:
        points = [(b, a) for a, b in points] if exchange else list(points)
        if skip_dots and len(points) == 1:
            continue
        parts = [[point] for point in points] if dots else [points + points[:1] * closed]
        parts = parts_of(points) if parts_of is not None else parts
        for part in parts:
            labels[_distances(part, y, x, endless, square) <= radius] = label
    return labels


def paint_strokes(size: tuple[int, int], strokes: Sequence[Stroke], radius: float) -> Tensor:
    """A label map ``(H, W)`` of strokes, each ``(label, [(x, y), ...])``; 255 where there is none."""
    return _paint(size, strokes, radius)


def _broken_by_twins(points: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """A piece without a length, 0 / 0 along it, is nowhere near anything."""
    pairs = itertools.pairwise(points) if len(points) > 1 else [(points[0], points[0])]
    return [list(pair) for pair in pairs if pair[0] != pair[1]]


def _line_by_length(size: tuple[int, int], strokes: Sequence[Stroke], radius: float) -> Tensor:
    """Divided by the length in place of its square."""
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
    labels = torch.full(size, 255)
    for label, points in strokes:
        for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
            dx, dy = x1 - x0, y1 - y0
            along = (((x - x0) * dx + (y - y0) * dy) / ((dx**2 + dy**2) ** 0.5 or 1)).clamp(0, 1)
            labels[torch.hypot(x - x0 - along * dx, y - y0 - along * dy) <= radius] = label
    return labels


def _numbered(size: tuple[int, int], strokes: Sequence[Stroke], radius: float) -> Tensor:
    return _paint(size, [(number, points) for number, (_, points) in enumerate(strokes)], radius)


def _stroke_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case(((4, 6), [(1, [(1.5, 0.5), (4.5, 0.5)])], 0.4), "a thin stroke along the first row"),
        Case(((5, 5), [(2, [(2.5, 2.5)])], 1.2), "a single point: a dot"),
        Case(((5, 6), [(1, [(0.5, 0.5), (3.5, 3.5)])], 0.9), "a slanted stroke"),
        Case(((4, 5), [(1, [(2.0, 1.0), (2.0, 3.0)])], 0.8), "a stroke between two columns of pixels"),
        Case(((6, 6), [(1, [(0.5, 2.5), (5.5, 2.5)]), (0, [(2.5, 0.5), (2.5, 5.5)])], 0.4), "two that cross"),
        Case(((6, 6), [(3, [(0.5, 5.5), (0.5, 0.5), (5.5, 0.5)])], 0.4), "a stroke with a corner"),
        Case(((3, 4), [], 2.0), "no stroke at all"),
        Case(((3, 6), [(1, [(1.5, 1.5), (1.5, 1.5), (4.5, 1.5)])], 0.4), "a point that comes twice in a row"),
        Case(((3, 4), [(1, [(1.5, 1.5), (1.5, 1.5)])], 0.9), "nothing but a point that comes twice: a dot"),
    ]
    for height, width, count, length, radius in (
        (20, 30, 3, 3, 1.6),
        (25, 16, 4, 2, 2.3),
        (18, 18, 2, 4, 1.1),
    ):
        spots = torch.rand(count, length, 2, generator=generator) * torch.tensor([width, height])
        strokes = [(number % 3, [tuple(spot) for spot in each]) for number, each in enumerate(spots.tolist())]
        cases.append(Case(((height, width), strokes, radius)))
    return cases


STROKES = Exercise(
    "9.5",
    "Scribbles as a label map",
    paint_strokes,
    _stroke_cases,
    axes=("row", "column"),
    plan=(
        "Start with a map full of 255, and make two grids with the x and the y of every pixel's centre.",
        "Write the distance to one piece from a to b. At a, t is 0; at b it is 1; beyond them it stays "
        "there. Look at one pixel by hand.",
        "What if a and b are one point? 0 / 0 must not arise: such a piece is a dot, and a stroke of a "
        "single point is one too.",
        "Loop over the strokes in their order, and over the pieces of each, from every point to the next. "
        "Where the distance is at most the radius, write the label.",
    ),
    mistakes=(
        Mistake(
            "0 where there is no stroke",
            functools.partial(_paint, rest=0),
            "Where nobody has painted you write class 0. The network would learn that as a fact: which label "
            "says that nothing is known?",
        ),
        Mistake(
            "x and y exchanged",
            functools.partial(_paint, exchange=True),
            "Your strokes are mirrored at the diagonal. A point is (x, y): the first number runs to the "
            "right, along the columns.",
        ),
        Mistake(
            "pixels at whole numbers",
            functools.partial(_paint, centre=0.0),
            "All is moved by half a pixel. The pixel in the first row and column covers the square from 0 to "
            "1: where does its centre lie?",
        ),
        Mistake(
            "only the points",
            functools.partial(_paint, dots=True),
            "You paint the points of a stroke, but not what is between them. A stroke is a line from each "
            "point to the next.",
        ),
        Mistake(
            "lines without end",
            functools.partial(_paint, endless=True),
            "Your strokes do not stop at their ends. The nearest place on a stroke lies between its two "
            "points, and beyond them it is the end itself.",
        ),
        Mistake(
            "closed strokes",
            functools.partial(_paint, closed=True),
            "You draw a line from the last point back to the first. A stroke is open: it ends where the pen "
            "was lifted.",
        ),
        Mistake(
            "square brush",
            functools.partial(_paint, square=True),
            "Your brush is a square: it reaches further along the diagonal. Take the Euclidean distance to "
            "the stroke.",
        ),
        Mistake(
            "first stroke on top",
            functools.partial(_paint, last_first=True),
            "Where two strokes cross, the earlier one stays on top. The later one is painted over it, as on "
            "paper.",
        ),
        Mistake(
            "dots lost",
            functools.partial(_paint, skip_dots=True),
            "Strokes of a single point leave nothing in yours: such a stroke has no second point to pair the "
            "first one with. It is still a dot.",
        ),
        Mistake(
            "0 / 0 where a line has no length",
            functools.partial(_paint, parts_of=_broken_by_twins),
            "A piece of stroke whose two ends are the same point is lost: its length is 0, and 0 / 0 is not "
            "a number. A line without a length is a dot.",
        ),
        Mistake(
            "only the first piece",
            functools.partial(_paint, parts_of=lambda points: [points[:2]]),
            "You paint the line from the first point to the second. A stroke goes on from each point to the "
            "next.",
        ),
        Mistake(
            "from the first point to the last",
            functools.partial(_paint, parts_of=lambda points: [[points[0], points[-1]]]),
            "You draw a straight line from the first point to the last. A stroke goes through all of its "
            "points.",
        ),
        Mistake(
            "radius as a diameter",
            lambda size, strokes, radius: _paint(size, strokes, radius / 2),
            "Your strokes are half as wide as they should be: a radius reaches to either side.",
        ),
        Mistake(
            "square of the distance",
            lambda size, strokes, radius: _paint(size, strokes, radius**0.5),
            "You compare the square of the distance with the radius. Both must be lengths, or both squares.",
        ),
        Mistake(
            "divided by the length",
            _line_by_length,
            "Your t is a length, not a part. Below the fraction stands the square of the length from a to b: "
            "at b itself t is 1.",
        ),
        Mistake(
            "number of the stroke",
            _numbered,
            "You write the number of the stroke, not its label. Several strokes may have one label.",
        ),
        Mistake(
            "height and width exchanged",
            lambda size, strokes, radius: _paint((size[1], size[0]), strokes, radius),
            "Your map has (W, H) cells. The size is given as (H, W), as everywhere; only points are (x, y).",
        ),
    ),
)

EXERCISES = (CROP, FORWARD, TILES, DICE, STROKES)
