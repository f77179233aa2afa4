"""Exercises of chapter 18: quantise, encode softly, rebalance, the loss, and the annealed mean.

The references are written apart from `segcore.colorization`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, reaches_gradient

__all__ = ["EXERCISES"]


def _column(*values: float) -> Tensor:
    """One pixel with these channels, ``(1, C, 1, 1)``."""
    return torch.tensor(values).reshape(1, -1, 1, 1)


def _random_ab(generator: torch.Generator, count: int, height: int, width: int) -> Tensor:
    return 70 * (2 * torch.rand(count, 2, height, width, generator=generator) - 1)


def _random_bins(generator: torch.Generator, count: int) -> Tensor:
    return (160 * torch.rand(count, 2, generator=generator) - 80).round()


def _distributions(generator: torch.Generator, *shape: int) -> Tensor:
    return (2 * torch.randn(*shape, generator=generator)).softmax(1)


# 18.1 ----------------------------------------------------------------------------------------------


def _squares(ab: Tensor, bins: Tensor) -> Tensor:
    """Squared distance of each pixel to each bin, ``(N, H, W, Q)``."""
    return (ab.movedim(1, -1)[..., None, :] - bins).square().sum(-1)


def nearest_bin(ab: Tensor, bins: Tensor) -> Tensor:
    """The index of the bin that is nearest to each pixel's colour."""
    return _squares(ab, bins).argmin(-1)


def _by(distance: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The nearest by another distance, of differences ``(N, H, W, Q, 2)``."""
    return lambda ab, bins: distance(ab.movedim(1, -1)[..., None, :] - bins).argmin(-1)


def _channels_not_moved(ab: Tensor, bins: Tensor) -> Tensor:
    count, _, height, width = ab.shape
    return nearest_bin(ab.reshape(-1, 2).T[None, :, None], bins).reshape(count, height, width)


def _of_length(ab: Tensor, bins: Tensor) -> Tensor:
    lengths = (ab.norm(dim=1)[..., None] - bins.norm(dim=1)).abs()
    return lengths.argmin(-1)


def _last_of_equals(ab: Tensor, bins: Tensor) -> Tensor:
    return len(bins) - 1 - nearest_bin(ab, bins.flip(0))


def _quantise_cases(generator: torch.Generator) -> list[Case]:
    three = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    cases = [
        Case((_column(6.0, 3.0), three), "the by-hand example"),
        Case((_column(5.0, 0.0), three), "two bins are equally near: the one that comes first"),
        Case(
            (_column(4.0, 4.0), torch.tensor([[10.0, 4.0], [8.0, 8.0], [-40.0, -40.0]])),
            "by the straight way",
        ),
        Case((_column(300.0, -10.0), three), "a colour far from all bins"),
        Case((_column(-5.6, 0.0), torch.tensor([[11.0, 0.0], [0.0, 0.0], [-11.0, 0.0]])), "a negative a*"),
    ]
    for count, height, width, number in ((2, 3, 5, 7), (1, 6, 4, 30), (3, 5, 2, 12)):
        cases.append(Case((_random_ab(generator, count, height, width), _random_bins(generator, number))))
    return cases


QUANTISE = Exercise(
    "18.1",
    "A class for each colour",
    nearest_bin,
    _quantise_cases,
    axes=("image", "row", "column"),
    plan=(
        "You need the difference of every pixel to every bin: one axis more than the image has.",
        "Bring the channels of the image to the end, and give it a new axis for the bins before them.",
        "Square, add up over a and b: what is left has one number for each pixel and bin.",
        "The answer is where that number is smallest along the bins' axis, not how small it is.",
    ),
    mistakes=(
        Mistake(
            "distances along the axes",
            _by(lambda off: off.abs().sum(-1)),
            "You add up the differences of a and b. How long is the straight way, by Pythagoras?",
        ),
        Mistake(
            "larger of the two differences",
            _by(lambda off: off.abs().amax(-1)),
            "You take the larger one of two differences. Both of them make the distance.",
        ),
        Mistake(
            "differences with their signs",
            _by(lambda off: off.sum(-1)),
            "Your differences keep their signs, so far off on one side looks near. Square them first.",
        ),
        Mistake(
            "only a",
            _by(lambda off: off[..., 0].abs()),
            "Only a* counts in yours. A colour has a* and b*.",
        ),
        Mistake(
            "only b",
            _by(lambda off: off[..., 1].abs()),
            "Only b* counts in yours. A colour has a* and b*.",
        ),
        Mistake(
            "a and b exchanged",
            lambda ab, bins: nearest_bin(ab.flip(1), bins),
            "The a* of the pixels is compared with the b* of the bins. Which column of the bins is which?",
        ),
        Mistake(
            "the farthest",
            lambda ab, bins: _squares(ab, bins).argmax(-1),
            "You find the bin that is farthest away. Look at the argmax.",
        ),
        Mistake(
            "scalar product",
            lambda ab, bins: torch.einsum("nkhw,qk->nhwq", ab, bins).argmax(-1),
            "A large product of two vectors is not a small distance: long bins win it. What about the "
            "length of each bin?",
        ),
        Mistake(
            "channels not moved",
            _channels_not_moved,
            "For one pixel you are right. reshape alone takes the a* of two neighbours for a* and b* of one. "
            "Bring the channels to the end first.",
        ),
        Mistake(
            "last of equals",
            _last_of_equals,
            "Where two bins are equally near the one that comes first is asked; you take the last.",
        ),
        Mistake(
            "first image for all",
            lambda ab, bins: nearest_bin(ab[:1], bins).repeat(len(ab), 1, 1),
            "Your answer for each image is that of the first one.",
        ),
        Mistake(
            "the bin's colour",
            lambda ab, bins: bins[nearest_bin(ab, bins)].movedim(-1, 1),
            "You return the colours of the bins. Their indices are asked: what a classifier predicts.",
        ),
        Mistake(
            "the distance itself",
            lambda ab, bins: _squares(ab, bins).amin(-1).sqrt(),
            "You return how far the nearest bin is. Which one it is was asked.",
        ),
        Mistake(
            "the squared distance itself",
            lambda ab, bins: _squares(ab, bins).amin(-1),
            "You return the least squared distance. Which bin has it was asked.",
        ),
        Mistake(
            "sum before the absolute value",
            _by(lambda off: off.sum(-1).abs()),
            "Where a is too large and b too small, your two differences cancel. Square each before you add.",
        ),
        Mistake(
            "half of the square's middle part",
            lambda ab, bins: (bins.square().sum(1) - torch.einsum("nkhw,qk->nhwq", ab, bins)).argmin(-1),
            "You write the square of a difference as a sum: p² − …p·c + c². What stands in the middle?",
        ),
        Mistake(
            "angle alone",
            lambda ab, bins: F.cosine_similarity(
                ab.movedim(1, -1)[..., None, :], bins.expand(*ab.movedim(1, -1).shape[:3], -1, -1), dim=-1
            ).argmax(-1),
            "You compare directions: dull and vivid bins of the same hue are alike in yours.",
        ),
        Mistake(
            "length alone",
            _of_length,
            "You compare how far from grey both are. A red and a green of equal strength are not near.",
        ),
        Mistake(
            "rounded to tens first",
            lambda ab, bins: nearest_bin((ab / 10).round() * 10, bins),
            "You round colours to tens before you compare. Bins may lie anywhere.",
        ),
        Mistake(
            "cut to tens first",
            lambda ab, bins: nearest_bin((ab / 10).floor() * 10, bins),
            "You cut colours down to tens before you compare. The colour itself should be compared.",
        ),
        Mistake(
            "bins reshaped",
            lambda ab, bins: nearest_bin(ab, bins.reshape(2, -1).T),
            "You reshape the bins to (2, Q), which mixes a* and b* of different bins. Transpose them.",
        ),
        Mistake(
            "cut to whole numbers",
            lambda ab, bins: nearest_bin(ab.trunc(), bins),
            "You cut off what stands behind the decimal point, which can move a colour to another bin.",
        ),
        Mistake(
            "signs lost",
            lambda ab, bins: nearest_bin(ab.abs(), bins.abs()),
            "Your colours have lost their signs: green and red, blue and yellow are alike in yours.",
        ),
        Mistake(
            "negative colours cut off",
            lambda ab, bins: nearest_bin(ab.clamp(min=0), bins),
            "You treat negative a* and b* as 0. Green and blue have them.",
        ),
        Mistake(
            "differences multiplied",
            _by(lambda off: off.abs().prod(-1)),
            "You multiply the two differences, so one that is 0 hides the other. Pythagoras adds squares.",
        ),
        Mistake(
            "counted from 1",
            lambda ab, bins: nearest_bin(ab, bins) + 1,
            "Your bins are counted from 1. Indices of a tensor begin with 0.",
        ),
        Mistake(
            "one map for each bin",
            lambda ab, bins: F.one_hot(nearest_bin(ab, bins), len(bins)).movedim(-1, 1),
            "You give a map of zeros and ones for each bin. One number a pixel is asked: the bin's index.",
        ),
        Mistake(
            "least along another axis",
            lambda ab, bins: _squares(ab, bins).argmin(1),
            "Your argmin runs along an axis of the image: it says which pixel. Along the bins' axis it says "
            "which bin.",
        ),
        Mistake(
            "least among the images",
            lambda ab, bins: _squares(ab, bins).movedim(-1, 1).argmin(0),
            "Your argmin runs along the first axis, over the images. Which axis has the bins?",
        ),
    ),
)


# 18.2 ----------------------------------------------------------------------------------------------


def soft_encode(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    """Gaussian shares of the nearest bins, ``(N, Q, H, W)``."""
    squares, index = _squares(ab, bins).topk(neighbors, largest=False)
    shares = (-squares / (2 * sigma**2)).softmax(-1)
    empty = shares.new_zeros(*shares.shape[:-1], len(bins))
    return empty.scatter(-1, index, shares).movedim(-1, 1)


def _other_squares(
    squares: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, int, float], Tensor]:
    """The right shares of other distances: ``squares(ab, bins)``, (N, H, W, Q)."""

    def wrong(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
        far = squares(ab, bins)
        chosen, index = far.topk(neighbors, largest=False)
        shares = (-chosen / (2 * sigma**2)).softmax(-1)
        return torch.zeros_like(far).scatter(-1, index, shares).movedim(-1, 1)

    return wrong


def _channels_reshaped(ab: Tensor, bins: Tensor) -> Tensor:
    count, _, height, width = ab.shape
    return (ab.reshape(-1, 1, 2) - bins).square().sum(-1).reshape(count, height, width, -1)


def _exponents(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> tuple[Tensor, Tensor]:
    squares, index = _squares(ab, bins).topk(neighbors, largest=False)
    return -squares / (2 * sigma**2), index


def _softmax_of_a_map(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    exponents, index = _exponents(ab, bins, neighbors, sigma)
    empty = torch.zeros(*exponents.shape[:-1], len(bins))
    return empty.scatter(-1, index, exponents).softmax(-1).movedim(-1, 1)


def _first_places(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    exponents, _ = _exponents(ab, bins, neighbors, sigma)
    return F.pad(exponents.softmax(-1), (0, len(bins) - neighbors)).movedim(-1, 1)


def _same_for_all_pixels(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    squares = _squares(ab, bins)
    index = squares.mean((0, 1, 2)).topk(neighbors, largest=False).indices
    shares = (-squares[..., index] / (2 * sigma**2)).softmax(-1)
    return torch.zeros_like(squares).index_copy(-1, index, shares).movedim(-1, 1)


def _neighbors_of_the_bin(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    """The nearest bin, and the bins that are nearest to that bin."""
    squares = _squares(ab, bins)
    centre = bins[squares.argmin(-1)].movedim(-1, 1)
    index = _squares(centre, bins).topk(neighbors, largest=False).indices
    shares = (-squares.gather(-1, index) / (2 * sigma**2)).softmax(-1)
    return torch.zeros_like(squares).scatter(-1, index, shares).movedim(-1, 1)


def _nearest_left_out(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    squares, index = _squares(ab, bins).topk(min(neighbors + 1, len(bins)), largest=False)
    shares = (-squares[..., 1:] / (2 * sigma**2)).softmax(-1)
    return torch.zeros(*shares.shape[:-1], len(bins)).scatter(-1, index[..., 1:], shares).movedim(-1, 1)


def _first_bins(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    shares = (-_squares(ab, bins[:neighbors]) / (2 * sigma**2)).softmax(-1)
    return F.pad(shares, (0, len(bins) - neighbors)).movedim(-1, 1)


Shares = Callable[[Tensor, float], Tensor]


def _shared(shares: Shares, largest: bool = False) -> Callable[[Tensor, Tensor, int, float], Tensor]:
    """Other shares of the chosen bins, from their squared distances."""

    def wrong(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
        squares, index = _squares(ab, bins).topk(neighbors, largest=largest)
        found = shares(squares, sigma)
        return torch.zeros(*found.shape[:-1], len(bins)).scatter(-1, index, found).movedim(-1, 1)

    return wrong


def _normal(values: Tensor) -> Tensor:
    return values / values.sum(-1, keepdim=True)


def _gauss_of_all(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    """Shares among all bins first, and then those of the nearest."""
    whole = soft_encode(ab, bins, len(bins), sigma)
    kept = soft_encode(ab, bins, neighbors, 1e3) > 0
    return whole * kept


def _whole_image(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> Tensor:
    raw = _shared(lambda squares, s: (-squares / (2 * s**2)).exp())(ab, bins, neighbors, sigma)
    return raw / raw.sum((1, 2, 3), keepdim=True)


def _encode_cases(generator: torch.Generator) -> list[Case]:
    three = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 50.0]])
    row = torch.tensor([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    cases = [
        Case((_column(2.5, 0.0), three, 2, 5.0), "the by-hand example"),
        Case((_column(9.0, 0.0), row, 3, 8.0), "three bins share, and the Gaussian is wider"),
        Case(
            (torch.cat([_column(9.0, 3.0), _column(200.0, 10.0)], 3), row, 1, 8.0),
            "one bin takes all, for a near colour and for a far one beside it",
        ),
        Case(
            (_column(200.0, 10.0), row, 2, 5.0), "a colour far from all bins: still shares that add up to 1"
        ),
        Case((_column(58.0, 0.0), row, 2, 5.0), "a colour a good way off"),
        Case((_column(4.0, 20.0), three, 3, 10.0), "as many neighbours as there are bins"),
    ]
    for count, height, width, number, neighbors, sigma in (
        (2, 3, 4, 9, 3, 20.0),
        (1, 5, 2, 30, 5, 9.0),
        (3, 2, 3, 14, 4, 14.0),
    ):
        ab = _random_ab(generator, count, height, width)
        cases.append(Case((ab, _random_bins(generator, number), neighbors, sigma)))
    return cases


ENCODE = Exercise(
    "18.2",
    "Neighbours share a pixel",
    soft_encode,
    _encode_cases,
    any_float=True,
    axes=("image", "bin", "row", "column"),
    plan=(
        "Take the squared distances of 18.1. Of each pixel you need the few smallest, and where they stand: "
        "topk gives both.",
        "Turn squared distances into shares: share = exp(−d² / …), divided by the sum over the chosen bins.",
        "Far colours make every exp 0. A softmax of the exponents does the same and never has 0 / 0.",
        "Put the shares into a map of zeros at the bins' places (scatter), and bring the bins to axis 1.",
    ),
    mistakes=(
        Mistake(
            "all bins share",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, len(bins), sigma),
            "In yours all bins have a share. Only the nearest ones should: how many says `neighbors`.",
        ),
        Mistake(
            "always five",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, min(5, len(bins)), sigma),
            "You always share among five bins. The function is told how many.",
        ),
        Mistake(
            "always sigma 5",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, neighbors, 5.0),
            "At σ = 5 you are right. The function is told how wide the Gaussian is.",
        ),
        Mistake(
            "distance not squared",
            _shared(lambda squares, sigma: (-squares.sqrt() / (2 * sigma**2)).softmax(-1)),
            "Your exponent has the distance. A Gaussian has its square.",
        ),
        Mistake(
            "two forgotten",
            _shared(lambda squares, sigma: (-squares / sigma**2).softmax(-1)),
            "Your Gaussian is too narrow. What stands below d² in the exponent?",
        ),
        Mistake(
            "sigma not squared",
            _shared(lambda squares, sigma: (-squares / (2 * sigma)).softmax(-1)),
            "Your Gaussian has the wrong width: d² has the unit of σ squared.",
        ),
        Mistake(
            "plain division",
            _shared(lambda squares, sigma: _normal((-squares / (2 * sigma**2)).exp())),
            "Near colours are right. For a colour far from all bins every exp is 0, and you divide 0 by 0.",
        ),
        Mistake(
            "not divided",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).exp()),
            "Your shares do not add up to 1. They are to be a distribution.",
        ),
        Mistake(
            "divided by all",
            _gauss_of_all,
            "You divide by the sum over all bins and then drop most of them. What is kept must add up to 1.",
        ),
        Mistake(
            "divided by the image",
            _whole_image,
            "You divide by the sum over the whole image. Each pixel has a distribution of its own.",
        ),
        Mistake(
            "divided by the batch",
            lambda ab, bins, neighbors, sigma: (
                (raw := _shared(lambda squares, s: (-squares / (2 * s**2)).exp())(ab, bins, neighbors, sigma))
                / raw.sum()
            ),
            "You divide by the sum over all pixels. Each pixel has a distribution of its own.",
        ),
        Mistake(
            "equal shares",
            _shared(lambda squares, sigma: torch.full_like(squares, 1 / squares.shape[-1])),
            "Your bins share equally. The nearer one should have more.",
        ),
        Mistake(
            "one over the distance",
            _shared(lambda squares, sigma: _normal(1 / squares.sqrt().clamp(min=1e-6))),
            "You share by 1 / distance. A Gaussian of the distance is asked.",
        ),
        Mistake(
            "the farthest share",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).softmax(-1), largest=True),
            "The bins that share in yours are the farthest ones.",
        ),
        Mistake(
            "farther is more",
            _shared(lambda squares, sigma: (squares / (2 * sigma**2)).softmax(-1)),
            "In yours the farther one of the chosen bins gets more. Look at the sign of the exponent.",
        ),
        Mistake(
            "nearest alone",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, 1, sigma),
            "The nearest bin gets all, or nearly all. Do its neighbours share, and is the Gaussian wide?",
        ),
        Mistake(
            "a and b exchanged",
            lambda ab, bins, neighbors, sigma: soft_encode(ab.flip(1), bins, neighbors, sigma),
            "The a* of the pixels is compared with the b* of the bins.",
        ),
        Mistake(
            "bins at the end",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, neighbors, sigma).movedim(1, -1),
            "The shares are there, with the bins along the last axis. They belong to axis 1, like logits.",
        ),
        Mistake(
            "something added below",
            _shared(
                lambda squares, sigma: (
                    (raw := (-squares / (2 * sigma**2)).exp()) / (raw.sum(-1, keepdim=True) + 1e-8)
                )
            ),
            "What you add below the fraction avoids 0 / 0, but the shares of a far colour then add up to "
            "less than 1. Do not let every exp become 0.",
        ),
        Mistake(
            "sum held up",
            _shared(
                lambda squares, sigma: (
                    (raw := (-squares / (2 * sigma**2)).exp()) / raw.sum(-1, keepdim=True).clamp(min=1e-12)
                )
            ),
            "The clamp below the fraction avoids 0 / 0, but leaves a far colour without a share. Do not let "
            "every exp become 0.",
        ),
        Mistake(
            "largest is 1",
            _shared(
                lambda squares, sigma: ((squares.amin(-1, keepdim=True) - squares) / (2 * sigma**2)).exp()
            ),
            "In yours the nearest bin always gets 1. Divide by the sum, so that all add up to 1.",
        ),
        Mistake(
            "distance over sigma",
            _shared(lambda squares, sigma: (-squares.sqrt() / sigma).softmax(-1)),
            "Your exponent is the distance over σ. A Gaussian falls with the square of the distance.",
        ),
        Mistake(
            "softmax of a masked Gaussian",
            lambda ab, bins, neighbors, sigma: (
                (soft_encode(ab, bins, neighbors, 1e3) > 0)
                * (-_squares(ab, bins) / (2 * sigma**2)).exp().movedim(-1, 1)
            ).softmax(1),
            "You take a softmax of numbers that are exp already, and the zeros of the other bins take part.",
        ),
        Mistake(
            "exp held up",
            _shared(lambda squares, sigma: _normal((-squares / (2 * sigma**2)).exp().clamp(min=1e-10))),
            "You lift tiny values of exp, so a far colour is shared equally. Their ratio should stay.",
        ),
        Mistake(
            "something added to each exp",
            _shared(lambda squares, sigma: _normal((-squares / (2 * sigma**2)).exp() + 1e-8)),
            "What you add to each exp is all that is left of a far colour, which is then shared equally. The "
            "ratio of the exps should stay.",
        ),
        Mistake(
            "one over the squared distance",
            _shared(lambda squares, sigma: _normal(1 / (squares + 1e-6))),
            "You share by 1 / distance². A Gaussian of the distance is asked.",
        ),
        Mistake(
            "factor of the density",
            lambda ab, bins, neighbors, sigma: (
                soft_encode(ab, bins, neighbors, sigma) / (2 * torch.pi * sigma**2)
            ),
            "You put the factor of a Gaussian density before the shares, so that they no longer add up to 1.",
        ),
        Mistake(
            "density alone",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).exp() / (2 * torch.pi * sigma**2)),
            "Yours are densities of a Gaussian. Of a pixel's shares one thing is asked: what is their sum?",
        ),
        Mistake(
            "NaN made equal shares",
            _shared(
                lambda squares, sigma: _normal((-squares / (2 * sigma**2)).exp()).nan_to_num(
                    1 / squares.shape[-1]
                )
            ),
            "Where every exp is 0 you share equally. A far colour, too, has a bin that is nearer than the "
            "others. Which exponents keep their ratio?",
        ),
        Mistake(
            "one largest exponent for all pixels",
            _shared(lambda squares, sigma: _normal(((squares.min() - squares) / (2 * sigma**2)).exp())),
            "A far colour is NaN where a near one lies in the same image: you take the same largest exponent "
            "off everywhere. Whose largest one does a pixel need?",
        ),
        Mistake(
            "nearest left out",
            _nearest_left_out,
            "The nearest bin itself has no share in yours. At which place of a sorted list does it stand?",
        ),
        Mistake(
            "mean of the two squares",
            _shared(lambda squares, sigma: (-squares / (4 * sigma**2)).softmax(-1)),
            "Your Gaussian is too wide: d² is half as large as it is. Do you average over a and b, or add?",
        ),
        Mistake(
            "one too few",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, max(neighbors - 1, 1), sigma),
            "One bin too few has a share: the last of the `neighbors` counts, too.",
        ),
        Mistake(
            "one too many",
            lambda ab, bins, neighbors, sigma: soft_encode(ab, bins, min(neighbors + 1, len(bins)), sigma),
            "One bin too many has a share: the nearest one is itself among the `neighbors`.",
        ),
        Mistake(
            "softmax of a map of zeros",
            _softmax_of_a_map,
            "Your softmax runs over the zeros of the other bins, too, and exp(0) is 1. Which values "
            "belong into it?",
        ),
        Mistake(
            "softmax of the Gaussian",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).exp().softmax(-1)),
            "You take exp twice: once for the Gaussian, and again inside softmax.",
        ),
        Mistake(
            "in the order of distance",
            _first_places,
            "Your shares stand in the order of distance, from the front. Each belongs to its bin's place.",
        ),
        Mistake(
            "the neighbours alone",
            lambda ab, bins, neighbors, sigma: (
                _exponents(ab, bins, neighbors, sigma)[0].softmax(-1).movedim(-1, 1)
            ),
            "You return the shares of the neighbours alone. All bins have a place, most of them with 0.",
        ),
        Mistake(
            "softmax over the images",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).softmax(0)),
            "Your shares add up to 1 over the images, not over the bins. Along which axis does the sum run?",
        ),
        Mistake(
            "softmax over the rows",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).softmax(1)),
            "Your shares add up to 1 down the image, not over the bins. Along which axis does the sum run?",
        ),
        Mistake(
            "softmax over the columns",
            _shared(lambda squares, sigma: (-squares / (2 * sigma**2)).softmax(2)),
            "Your shares add up to 1 across the image, not over the bins. Along which axis does the sum run?",
        ),
        Mistake(
            "the first bins",
            _first_bins,
            "The bins that share in yours are the first of the list. What makes a bin one of the nearest?",
        ),
        Mistake(
            "the same bins for all pixels",
            _same_for_all_pixels,
            "You choose the bins once, for all pixels. Each pixel has nearest bins of its own.",
        ),
        Mistake(
            "distances along the axes",
            _other_squares(lambda ab, bins: (ab.movedim(1, -1)[..., None, :] - bins).abs().sum(-1).square()),
            "You add up the differences of a and b, and square the sum. Square first, by Pythagoras.",
        ),
        Mistake(
            "channels not moved",
            _other_squares(_channels_reshaped),
            "For one pixel you are right. reshape alone takes the a* of two neighbours for a* and b* of one.",
        ),
        Mistake(
            "rounded to a bin first",
            lambda ab, bins, neighbors, sigma: soft_encode(
                bins[nearest_bin(ab, bins)].movedim(-1, 1), bins, neighbors, sigma
            ),
            "You round the colour to its bin and measure from there. Measure from the colour itself.",
        ),
        Mistake(
            "neighbours of the nearest bin",
            _neighbors_of_the_bin,
            "You take the bins around the nearest bin. The bins nearest to the colour can be others.",
        ),
    ),
)


# 18.3 ----------------------------------------------------------------------------------------------


def rebalance(prior: Tensor, uniform: float) -> Tensor:
    """Weights that fall with how common a bin is, and are 1 on average over the pixels."""
    weights = 1 / ((1 - uniform) * prior + uniform / len(prior))
    return weights / (prior * weights).sum()


Weigh = Callable[[Tensor, float], Tensor]


def _mixed(prior: Tensor, uniform: float) -> Tensor:
    return (1 - uniform) * prior + uniform / len(prior)


def _weighed(raw: Weigh) -> Weigh:
    """Other weights before they are brought to a mean of 1."""

    def wrong(prior: Tensor, uniform: float) -> Tensor:
        weights = raw(prior, uniform)
        return weights / (prior * weights).sum()

    return wrong


def _rebalance_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case((torch.tensor([0.75, 0.25]), 0.5), "the by-hand example"),
        Case((torch.tensor([0.75, 0.25]), 0.2), "less of the uniform part"),
        Case((torch.tensor([0.6, 0.4, 0.0, 0.0]), 0.5), "two bins that never occur"),
        Case((torch.tensor([0.25, 0.25, 0.25, 0.25]), 0.5), "all equally common: all weights are 1"),
        Case((torch.tensor([0.75, 0.25]), 1.0), "λ = 1: the prior has no part in the mixture"),
    ]
    for count, uniform in ((7, 0.5), (30, 0.3), (12, 0.8)):
        prior = (2 * torch.randn(count, generator=generator)).softmax(0)
        cases.append(Case((prior, uniform)))
    return cases


REBALANCE = Exercise(
    "18.3",
    "Rare colours count more",
    rebalance,
    _rebalance_cases,
    any_float=True,
    axes=("bin",),
    plan=(
        "Mix the prior with the uniform distribution: a part 1 − λ of the one, a part λ of the other. With Q "
        "bins the uniform distribution is 1 / Q everywhere.",
        "The weight before scaling is one over the mixture.",
        "The mean weight of a pixel is Σ prior · weight, for a bin with much prior has many pixels.",
        "Divide by that mean, so that it becomes 1.",
    ),
    mistakes=(
        Mistake(
            "not scaled",
            lambda prior, uniform: 1 / _mixed(prior, uniform),
            "The ratios of your weights are right. Their mean over the pixels should be 1.",
        ),
        Mistake(
            "mean over the bins",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / w.mean(),
            "The mean of your weights over the bins is 1. Over the pixels is asked: common bins have more.",
        ),
        Mistake(
            "sum is 1",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / w.sum(),
            "Your weights add up to 1. They are no distribution: their mean over the pixels should be 1.",
        ),
        Mistake(
            "mean by the mixture",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / (_mixed(prior, uniform) * w).sum(),
            "You take the mean with the mixture. How often a pixel falls into a bin says the prior itself.",
        ),
        Mistake(
            "always one half",
            lambda prior, uniform: rebalance(prior, 0.5),
            "At λ = ½ you are right. The function is told λ.",
        ),
        Mistake(
            "parts exchanged",
            lambda prior, uniform: rebalance(prior, 1 - uniform),
            "Which of both gets the part λ? At λ = 1 all weights should be equal.",
        ),
        Mistake(
            "no uniform part",
            _weighed(lambda prior, uniform: 1 / prior),
            "A bin that never occurs weighs infinitely much in yours. Where is the uniform part?",
        ),
        Mistake(
            "uniform is not divided by Q",
            _weighed(lambda prior, uniform: 1 / ((1 - uniform) * prior + uniform)),
            "Your uniform part adds λ to every bin. The uniform distribution has 1 / Q in each.",
        ),
        Mistake(
            "λ times Q",
            _weighed(lambda prior, uniform: 1 / ((1 - uniform) * prior + uniform * len(prior))),
            "Your uniform part is λ times Q, more than all bins together. How much does each of Q bins get?",
        ),
        Mistake(
            "Q of the lab",
            _weighed(lambda prior, uniform: 1 / ((1 - uniform) * prior + uniform / 261)),
            "You divide by 261, the number of bins further down. How many bins has the prior that is given?",
        ),
        Mistake(
            "uniform added",
            _weighed(lambda prior, uniform: 1 / (prior + uniform / len(prior))),
            "You add the uniform part to the whole prior. In a mixture the prior keeps a part 1 − λ.",
        ),
        Mistake(
            "no reciprocal",
            _weighed(_mixed),
            "Common bins weigh most in yours. It should be the other way round.",
        ),
        Mistake(
            "reciprocals mixed",
            _weighed(lambda prior, uniform: (1 - uniform) / prior.clamp(min=1e-8) + uniform * len(prior)),
            "You mix two reciprocals. The distributions are mixed first; of the mixture you take one over.",
        ),
        Mistake(
            "one less",
            _weighed(lambda prior, uniform: 1 - _mixed(prior, uniform)),
            "Your weights are 1 less the mixture. One over it is asked: half as common, twice as heavy.",
        ),
        Mistake(
            "logarithm",
            _weighed(lambda prior, uniform: -_mixed(prior, uniform).log()),
            "Your weights are minus a logarithm. One over the mixture is asked.",
        ),
        Mistake(
            "root",
            _weighed(lambda prior, uniform: _mixed(prior, uniform).rsqrt()),
            "Your weights grow with the root only. One over the mixture is asked.",
        ),
        Mistake(
            "uniform over the bins that occur",
            _weighed(lambda prior, uniform: 1 / ((1 - uniform) * prior + uniform / (prior > 0).sum())),
            "Your uniform part counts only the bins that occur. Q counts all of them.",
        ),
        Mistake(
            "weight 0 where nothing occurs",
            lambda prior, uniform: rebalance(prior, uniform) * (prior > 0),
            "A bin that never occurs has the weight 0 in yours. The formula makes it the heaviest of all.",
        ),
        Mistake(
            "a small number for the uniform part",
            _weighed(lambda prior, uniform: 1 / ((1 - uniform) * prior + 1e-5)),
            "In place of the uniform part you add a tiny number. Its part is λ, not a safeguard.",
        ),
        Mistake(
            "λ left out of the uniform part",
            _weighed(lambda prior, uniform: 1 / ((1 - uniform) * prior + 1 / len(prior))),
            "Your uniform distribution comes in whole. In the mixture only a part λ of it does.",
        ),
        Mistake(
            "one over the square",
            _weighed(lambda prior, uniform: _mixed(prior, uniform) ** -2),
            "Your weights are one over the square of the mixture. One over it is asked.",
        ),
        Mistake(
            "1 + λ",
            _weighed(lambda prior, uniform: 1 / ((1 + uniform) * prior + uniform / len(prior))),
            "Your two parts add up to more than 1. What λ takes, the prior has to give.",
        ),
        Mistake(
            "times the mean",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) * (prior * w).sum(),
            "You multiply by the mean weight. What brings a mean to 1?",
        ),
        Mistake(
            "mean of the products",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / (prior * w).mean(),
            "You divide by the mean of p · w over the bins. The mean weight of a pixel is their sum: "
            "the prior already holds the parts.",
        ),
        Mistake(
            "sum forgotten",
            lambda prior, uniform: 1 / prior,
            "You divide each weight by its own p · w, which takes the mixture out again. Where is the sum?",
        ),
        Mistake(
            "scaled before the reciprocal",
            lambda prior, uniform: (prior * (m := _mixed(prior, uniform))).sum() / m,
            "You bring the mixture to a mean of 1, and take one over it then. Whose mean should be 1 in the "
            "end?",
        ),
        Mistake(
            "mean over the bins that occur",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / w[prior > 0].mean(),
            "The mean of your weights over the bins that occur is 1. Over the pixels is asked: common bins "
            "have more.",
        ),
        Mistake(
            "largest is 1",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / w.max(),
            "Your largest weight is 1. Their mean over the pixels should be 1.",
        ),
        Mistake(
            "length is 1",
            lambda prior, uniform: F.normalize(1 / _mixed(prior, uniform), dim=0),
            "The squares of your weights add up to 1. Their mean over the pixels should be 1.",
        ),
        Mistake(
            "mean of the squares",
            lambda prior, uniform: (w := 1 / _mixed(prior, uniform)) / (prior * w.square()).sum().sqrt(),
            "You square the weights in their mean. A plain mean over the pixels should be 1.",
        ),
        Mistake(
            "times the prior",
            lambda prior, uniform: prior * rebalance(prior, uniform),
            "What you return is p · w, which adds up to 1. The weights w themselves are asked.",
        ),
        Mistake(
            "softmax of the weights",
            lambda prior, uniform: (1 / _mixed(prior, uniform)).softmax(0),
            "A softmax changes the ratios of the weights. Only a common factor is missing.",
        ),
        Mistake(
            "exponential",
            _weighed(lambda prior, uniform: (-_mixed(prior, uniform)).exp()),
            "Your weights are an exponential. One over the mixture is asked.",
        ),
    ),
)


# 18.4 ----------------------------------------------------------------------------------------------


def color_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with soft targets, each pixel weighed by the bin that its target holds most of."""
    losses = -(target * logits.log_softmax(1)).sum(1)
    return (weights[target.argmax(1)] * losses).mean()


Parts = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _lost(put: Parts) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The losses and weights of the pixels put together otherwise: ``put(losses, w, logits, target)``."""

    def wrong(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        losses = -(target * logits.log_softmax(1)).sum(1)
        return put(losses, weights[target.argmax(1)], logits, target)

    return wrong


def _weighed_inside(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    return -(weights[:, None, None] * target * logits.log_softmax(1)).sum(1).mean()


def _mean_weight(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    losses = -(target * logits.log_softmax(1)).sum(1)
    return (torch.einsum("nqhw,q->nhw", target, weights) * losses).mean()


def _by_prediction(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    losses = -(target * logits.log_softmax(1)).sum(1)
    return (weights[logits.argmax(1)] * losses).mean()


def _by_least(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    losses = -(target * logits.log_softmax(1)).sum(1)
    return (weights[target.argmin(1)] * losses).mean()


def _torch_weights(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    return F.cross_entropy(logits, target.argmax(1), weights)


def _bins_apart(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
    return (weights[target.argmax(1)] * losses).mean()


def _heaviest(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    losses = -(target * logits.log_softmax(1)).sum(1)
    return (losses * ((target > 0) * weights[:, None, None]).amax(1)).mean()


def _loss_cases(generator: torch.Generator) -> list[Case]:
    two = torch.zeros(1, 2, 1, 2)
    target = torch.tensor([[[[0.75, 0.25]], [[0.25, 0.75]]]])
    sure = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])
    cases = [
        Case((two, target, torch.tensor([2.0, 1.0])), "the by-hand example"),
        Case((sure, target, torch.tensor([1.0, 1.0])), "all weights are 1"),
        Case((sure.flip(1), target, torch.tensor([3.0, 0.5])), "what is predicted is wrong"),
        Case((1000 * sure, target, torch.tensor([1.0, 2.0])), "very sure: the loss stays finite"),
    ]
    for count, bins, height, width in ((2, 5, 3, 4), (1, 12, 6, 2), (3, 4, 2, 5)):
        logits = 2 * torch.randn(count, bins, height, width, generator=generator)
        soft = _distributions(generator, count, bins, height, width)
        cases.append(Case((logits, soft, 0.3 + 2 * torch.rand(bins, generator=generator))))
    return cases


LOSS = Exercise(
    "18.4",
    "A loss for distributions",
    color_loss,
    _loss_cases,
    any_float=True,
    properties=(
        reaches_gradient(
            0,
            lambda: (torch.zeros(1, 2, 1, 2), torch.full((1, 2, 1, 2), 0.5), torch.ones(2)),
            "logits",
        ),
    ),
    plan=(
        "Take log_softmax of the logits along the bins: small probabilities are safe that way.",
        "The loss of a pixel is −Σ target · …, over the bins.",
        "Which bin does each target hold most of? An argmax along the bins finds it; look up its weight.",
        "Multiply, then one mean over all pixels of all images.",
    ),
    mistakes=(
        Mistake(
            "weights ignored",
            _lost(lambda losses, w, logits, target: losses.mean()),
            "With equal weights you are right. What are the weights for?",
        ),
        Mistake(
            "weights inside the sum",
            _weighed_inside,
            "You weigh each bin of a target. A pixel has one weight, that of the bin it holds most of.",
        ),
        Mistake(
            "mean weight of the target",
            _mean_weight,
            "You average the weights of all bins in a target. Only the likeliest bin's weight is asked.",
        ),
        Mistake(
            "weight of the prediction",
            _by_prediction,
            "You look up the weight of the predicted bin. A network could dodge heavy weights that way.",
        ),
        Mistake(
            "divided by the weights",
            _lost(lambda losses, w, logits, target: (w * losses).sum() / w.sum()),
            "You divide by the sum of the weights. The task has a plain mean over the pixels.",
        ),
        Mistake(
            "hard targets with torch's weights",
            _torch_weights,
            "You keep one bin of each target, and torch divides by the weights' sum. All of it counts.",
        ),
        Mistake(
            "hard targets",
            _lost(
                lambda losses, w, logits, target: (
                    w * F.cross_entropy(logits, target.argmax(1), reduction="none")
                ).mean()
            ),
            "You keep only the likeliest bin of each target. Its neighbours have a share, too.",
        ),
        Mistake(
            "sum over pixels",
            _lost(lambda losses, w, logits, target: (w * losses).sum()),
            "You add up all pixels, so that large images lose more. The mean is asked.",
        ),
        Mistake(
            "mean over the bins",
            _lost(lambda losses, w, logits, target: (w * losses).mean() / logits.shape[1]),
            "You average over the bins as well. Over the bins it is a sum.",
        ),
        Mistake(
            "softmax twice",
            _lost(
                lambda losses, w, logits, target: (
                    w * F.cross_entropy(logits.softmax(1), target, reduction="none")
                ).mean()
            ),
            "cross_entropy and log_softmax take logits. Yours have been through a softmax already.",
        ),
        Mistake(
            "softmax over the columns",
            _lost(lambda losses, w, logits, target: (w * -(target * logits.log_softmax(-1)).sum(1)).mean()),
            "Your softmax runs along the image's columns. The probabilities of the bins should add up to 1.",
        ),
        Mistake(
            "no logarithm",
            _lost(lambda losses, w, logits, target: (w * -(target * logits.softmax(1)).sum(1)).mean()),
            "You take the probability itself. Where is the logarithm?",
        ),
        Mistake(
            "logarithm of the softmax",
            _lost(lambda losses, w, logits, target: (w * -(target * logits.softmax(1).log()).sum(1)).mean()),
            "Right, until logits are large: a probability is then rounded to 0, or a sum of exp is infinite. "
            "Is there one safe step for softmax and logarithm?",
        ),
        Mistake(
            "overflow",
            _lost(
                lambda losses, w, logits, target: (
                    w * -(target * (logits.exp() / logits.exp().sum(1, keepdim=True)).log()).sum(1)
                ).mean()
            ),
            "Right, until logits are large: what is exp(2000) in 32 bits, and what is left when you divide "
            "by it?",
        ),
        Mistake(
            "sign forgotten",
            _lost(lambda losses, w, logits, target: -(w * losses).mean()),
            "Yours is smallest where the network is most wrong. Look at the sign.",
        ),
        Mistake(
            "divergence",
            _lost(
                lambda losses, w, logits, target: (
                    w * (target * (target.clamp(min=1e-12).log() - logits.log_softmax(1))).sum(1)
                ).mean()
            ),
            "You took off the target's own entropy, as kl_div does. Cross-entropy is asked.",
        ),
        Mistake(
            "squared error",
            _lost(
                lambda losses, w, logits, target: (w * (logits.softmax(1) - target).square().sum(1)).mean()
            ),
            "You square the difference of two distributions. Cross-entropy is asked.",
        ),
        Mistake(
            "logarithm with a guard",
            _lost(
                lambda losses, w, logits, target: (
                    w * -(target * (logits.softmax(1) + 1e-8).log()).sum(1)
                ).mean()
            ),
            "What you add before the logarithm, or hold it above, keeps it finite, but a network that is "
            "wrong and very sure then loses too little. log and softmax in one step need no guard.",
        ),
        Mistake(
            "logarithm held up",
            _lost(
                lambda losses, w, logits, target: (
                    w * -(target * logits.softmax(1).clamp(min=1e-7).log()).sum(1)
                ).mean()
            ),
            "You clamp small probabilities, so that the loss stops growing. log and softmax in one step need "
            "no clamp.",
        ),
        Mistake(
            "weight of the least bin",
            _by_least,
            "You look up the weight of the bin that has the least share. Look at the argmin.",
        ),
        Mistake(
            "weights add up to 1",
            _lost(lambda losses, w, logits, target: (w * losses).mean() / w.sum()),
            "You take the mean and divide by the weights' sum as well. A plain mean of the pixels is asked.",
        ),
        Mistake(
            "weights scaled first",
            lambda logits, target, weights: color_loss(logits, target, weights / weights.sum()),
            "You bring the weights to a sum of 1 before you use them. Take them as they are given.",
        ),
        Mistake(
            "largest term alone",
            _lost(lambda losses, w, logits, target: (w * (target * -logits.log_softmax(1)).amax(1)).mean()),
            "You keep the largest term of each pixel. Over the bins it is a sum.",
        ),
        Mistake(
            "no softmax",
            _lost(lambda losses, w, logits, target: (w * -(target * logits).sum(1)).mean()),
            "You take logits for logarithms of probabilities. Where does the softmax come in?",
        ),
        Mistake(
            "softmax over the images",
            _lost(lambda losses, w, logits, target: (w * -(target * logits.log_softmax(0)).sum(1)).mean()),
            "Your softmax runs along the first axis, the images. Which axis holds the bins?",
        ),
        Mistake(
            "one loss a pixel",
            _lost(lambda losses, w, logits, target: w * losses),
            "You return a map of losses. One number is asked: their mean.",
        ),
        Mistake(
            "sum over the pixels of an image",
            _lost(lambda losses, w, logits, target: (w * losses).sum((1, 2)).mean()),
            "You average over the images, but add up the pixels of each. The mean over all pixels is asked.",
        ),
        Mistake(
            "each bin apart",
            _bins_apart,
            "You ask yes or no for each bin apart. The bins of a pixel share one softmax.",
        ),
        Mistake(
            "divided by the weight",
            _lost(lambda losses, w, logits, target: (losses / w).mean()),
            "You divide by the weight, so that a heavy bin costs least. What should a weight of 2 do?",
        ),
        Mistake(
            "divided by each image's weights",
            _lost(lambda losses, w, logits, target: ((w * losses).sum((1, 2)) / w.sum((1, 2))).mean()),
            "You divide by the sum of an image's weights. The task has a plain mean over the pixels.",
        ),
        Mistake(
            "one softmax for the image",
            _lost(
                lambda losses, w, logits, target: (
                    w * -(target * logits.flatten(1).log_softmax(1).reshape(logits.shape)).sum(1)
                ).mean()
            ),
            "Your probabilities add up to 1 over a whole image. Each pixel has a distribution of its own.",
        ),
        Mistake(
            "two means multiplied",
            _lost(lambda losses, w, logits, target: w.mean() * losses.mean()),
            "You multiply the mean weight by the mean loss. Each pixel's loss has its own weight, before the "
            "mean.",
        ),
        Mistake(
            "largest weight of all bins",
            _heaviest,
            "You take the largest weight that occurs in a target. The bin with the largest share is asked.",
        ),
        Mistake(
            "times the largest share",
            _lost(lambda losses, w, logits, target: (target.amax(1) * w * losses).mean()),
            "You multiply by the largest share as well. It only says whose weight is looked up.",
        ),
        Mistake(
            "target and prediction exchanged",
            _lost(
                lambda losses, w, logits, target: (
                    w * -(logits.softmax(1) * target.clamp(min=1e-9).log()).sum(1)
                ).mean()
            ),
            "You take the logarithm of the target. It is the network's answer whose logarithm is asked.",
        ),
    ),
)


# 18.5 ----------------------------------------------------------------------------------------------


def annealed_mean(probabilities: Tensor, temperature: float, bins: Tensor) -> Tensor:
    """The mean colour of each pixel's sharpened distribution, ``(N, 2, H, W)``."""
    sharp = (probabilities.log() / temperature).softmax(1)
    return torch.einsum("nqhw,qk->nkhw", sharp, bins)


Sharpen = Callable[[Tensor, float], Tensor]


def _sharpened(sharpen: Sharpen) -> Callable[[Tensor, float, Tensor], Tensor]:
    """Another way to sharpen."""
    return lambda probabilities, temperature, bins: torch.einsum(
        "nqhw,qk->nkhw", sharpen(probabilities, temperature), bins
    )


def _mode(probabilities: Tensor, temperature: float, bins: Tensor) -> Tensor:
    return bins[probabilities.argmax(1)].movedim(-1, 1)


def _mode_where_cold(probabilities: Tensor, temperature: float, bins: Tensor) -> Tensor:
    return (_mode if temperature < 0.1 else annealed_mean)(probabilities, temperature, bins)


def _power(p: Tensor, temperature: float) -> Tensor:
    raised = p ** (1 / temperature)
    return raised / raised.sum(1, keepdim=True)


def _with_a_little(little: float) -> Sharpen:
    return lambda p, temperature: ((p + little).log() / temperature).softmax(1)


def _one_largest_for_all(p: Tensor, temperature: float) -> Tensor:
    return _power(p / p.max(), temperature)


def _channels_reshaped_after(probabilities: Tensor, temperature: float, bins: Tensor) -> Tensor:
    shares = (probabilities.log() / temperature).softmax(1)
    count, _, height, width = shares.shape
    return (shares.movedim(1, -1) @ bins).reshape(count, 2, height, width)


def _bins_not_moved(probabilities: Tensor, temperature: float, bins: Tensor) -> Tensor:
    shares = (probabilities.log() / temperature).softmax(1)
    count, number, height, width = shares.shape
    return (shares.reshape(-1, number) @ bins).reshape(count, height, width, 2).movedim(-1, 1)


def _between(probabilities: Tensor, temperature: float, bins: Tensor) -> Tensor:
    """A straight line from the mode to the mean."""
    mean = annealed_mean(probabilities, 1.0, bins)
    return temperature * mean + (1 - temperature) * _mode(probabilities, temperature, bins)


def _anneal_cases(generator: torch.Generator) -> list[Case]:
    bins = torch.tensor([[60.0, 0.0], [-40.0, 10.0]])
    mixed = torch.tensor([0.7, 0.3]).reshape(1, 2, 1, 1)
    three = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 80.0]])
    cases = [
        Case((mixed, 0.5, bins), "the by-hand example"),
        Case((mixed, 1.0, bins), "T = 1 is the plain mean"),
        Case((_column(0.5, 0.5, 0.0), 0.38, three), "a bin with probability 0"),
        Case((_column(0.4, 0.35, 0.25), 2.0, three), "a hot one: flatter than before"),
        Case(
            (_column(0.6, 0.4, 0.0), 4.0, three),
            "a hot one: a bin with probability 0 has no share there, too",
        ),
        Case((_column(0.35, 0.4, 0.25), 0.005, three), "very cold: the mode, and no 0 / 0"),
        Case(
            (_column(0.5025, 0.4975, 0.0), 0.005, three), "very cold, but nearly even odds: not the mode yet"
        ),
    ]
    for count, number, height, width, temperature in (
        (2, 5, 3, 4, 0.38),
        (1, 20, 5, 2, 0.7),
        (3, 9, 2, 6, 0.25),
    ):
        p = _distributions(generator, count, number, height, width)
        cases.append(Case((p, temperature, _random_bins(generator, number))))
    # Very cold, with many bins: likeliest are 1, 0.1 and 0.02, whose 200th power is 0 even in float64.
    likeliest = torch.tensor([1.0, 0.1, 0.02])
    many = ((1 - likeliest) / 59).repeat(60, 1)
    many[range(30, 33), range(3)] = likeliest
    cases.append(Case((many[None, :, None], 0.005, _random_bins(generator, 60))))
    return cases


ANNEAL = Exercise(
    "18.5",
    "From mean to mode",
    annealed_mean,
    _anneal_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("image", "channel", "row", "column"),
    plan=(
        "p to the power 1 / T is exp of log(p) / T. Do you know a function that takes exp of everything and "
        "divides by the sum?",
        "It runs along the bins: each pixel has a distribution of its own. log(0) is −∞, whose share is 0.",
        "The colour is the mean of the bins: Σ share · bin, once for a* and once for b*.",
        "That is a product over the bins' axis: … @ bins, or an einsum.",
    ),
    mistakes=(
        Mistake(
            "temperature ignored",
            _sharpened(lambda p, temperature: p),
            "At T = 1 you are right. Where does the temperature come in?",
        ),
        Mistake(
            "always 0.38",
            _sharpened(lambda p, temperature: (p.log() / 0.38).softmax(1)),
            "At T = 0.38 you are right. The function is told the temperature.",
        ),
        Mistake(
            "to the power T",
            _sharpened(lambda p, temperature: (p.log() * temperature).softmax(1)),
            "In yours a small T makes the distribution flatter. Do you multiply where you should divide?",
        ),
        Mistake(
            "not divided by the sum",
            _sharpened(lambda p, temperature: p ** (1 / temperature)),
            "After sharpening the shares no longer add up to 1, so colours are too grey or too strong.",
        ),
        Mistake(
            "power, then division",
            _sharpened(_power),
            "Right, but at a very low T every power is rounded to 0, and you divide 0 by 0. Stay with "
            "logarithms until the end.",
        ),
        Mistake(
            "softmax without logarithm",
            _sharpened(lambda p, temperature: (p / temperature).softmax(1)),
            "You put probabilities through a softmax. It takes logarithms.",
        ),
        Mistake(
            "logarithm to base 10",
            _sharpened(lambda p, temperature: (p.log10() / temperature).softmax(1)),
            "Your logarithm has base 10; exp belongs to ln, torch.log.",
        ),
        Mistake(
            "logarithm of 1 + p",
            _sharpened(lambda p, temperature: (p.log1p() / temperature).softmax(1)),
            "You take the logarithm of 1 + p. exp undoes the logarithm of p, also where p is 0.",
        ),
        Mistake(
            "softmax of the powers",
            _sharpened(lambda p, temperature: (p ** (1 / temperature)).softmax(1)),
            "You put the powers through a softmax, which takes exp of them. Their sum is what they lack.",
        ),
        Mistake(
            "rounded to a bin at the end",
            lambda p, temperature, bins: bins[nearest_bin(annealed_mean(p, temperature, bins), bins)].movedim(
                -1, 1
            ),
            "You move the mean to the nearest bin. The mean itself may lie between the bins.",
        ),
        Mistake(
            "T squared",
            _sharpened(lambda p, temperature: (p.log() / temperature**2).softmax(1)),
            "You divide by the temperature twice. At T = 1 that makes no difference.",
        ),
        Mistake(
            "the mode",
            _mode,
            "You always take the likeliest bin. That is where T goes to 0.",
        ),
        Mistake(
            "the mode where it is cold",
            _mode_where_cold,
            "Where T is low you take the likeliest bin. Where the odds are nearly even, that is not yet the "
            "mean of the sharpened distribution. Which form of the formula needs no such case?",
        ),
        Mistake(
            "the distribution itself",
            lambda p, temperature, bins: (p.log() / temperature).softmax(1),
            "You return the sharpened distribution. Which colour is the mean of the bins under it?",
        ),
        Mistake(
            "power of the mean",
            lambda p, temperature, bins: (
                (m := annealed_mean(p, 1.0, bins)).sign() * m.abs() ** (1 / temperature)
            ),
            "You take the mean first and the power then. It is the distribution that is sharpened.",
        ),
        Mistake(
            "something added to 0",
            _sharpened(_with_a_little(1e-8)),
            "You add something to all probabilities, or to those of 0. At T = 4 even 1e-8 becomes a share of "
            "0.01. log(0) needs no cure: what is exp(−∞)?",
        ),
        Mistake(
            "logit 0 for probability 0",
            _sharpened(lambda p, temperature: torch.where(p > 0, p.log() / temperature, 0).softmax(1)),
            "A bin with probability 0 goes into your softmax with 0, and exp(0) is 1. Which number has an "
            "exp of 0?",
        ),
        Mistake(
            "0 times infinity",
            _sharpened(lambda p, temperature: (p * p.log() / temperature).softmax(1)),
            "A probability of 0 gives NaN in yours: 0 times −∞. Where does that product come from?",
        ),
        Mistake(
            "softmax over the rows",
            _sharpened(lambda p, temperature: (p.log() / temperature).softmax(2)),
            "Your shares add up to 1 down the image. They should along the bins.",
        ),
        Mistake(
            "softmax over the columns",
            _sharpened(lambda p, temperature: (p.log() / temperature).softmax(-1)),
            "Your shares add up to 1 along the image's columns. They should along the bins.",
        ),
        Mistake(
            "a and b exchanged",
            lambda p, temperature, bins: annealed_mean(p, temperature, bins).flip(1),
            "The numbers are there, but b* comes before a*.",
        ),
        Mistake(
            "temperature cut at 1",
            lambda p, temperature, bins: annealed_mean(p, min(temperature, 1.0), bins),
            "You let no temperature above 1 through. A hot one makes the distribution flatter than it was.",
        ),
        Mistake(
            "temperature held up",
            lambda p, temperature, bins: annealed_mean(p, max(temperature, 0.1), bins),
            "You let no temperature below 0.1 through. How low may it be, and which form of the formula "
            "stays right there?",
        ),
        Mistake(
            "largest is 1",
            _sharpened(lambda p, temperature: (p / p.amax(1, keepdim=True)) ** (1 / temperature)),
            "In yours the likeliest bin always gets 1. Divide by the sum, so that all shares add up to 1.",
        ),
        Mistake(
            "temperature on the colour",
            lambda p, temperature, bins: annealed_mean(p, 1.0, bins) / temperature,
            "You stretch the mean colour. It is the distribution that is sharpened, before the mean.",
        ),
        Mistake(
            "mean over the bins",
            lambda p, temperature, bins: annealed_mean(p, temperature, bins) / len(bins),
            "You divide by the number of bins. The shares add up to 1 already.",
        ),
        Mistake(
            "colours at the end",
            lambda p, temperature, bins: annealed_mean(p, temperature, bins).movedim(1, -1),
            "The colours are there, with a* and b* along the last axis. They belong to axis 1.",
        ),
        Mistake(
            "0 / 0 covered up",
            _sharpened(lambda p, temperature: _power(p, temperature).nan_to_num(0)),
            "At a very low T all powers are rounded to 0. You no longer divide by 0, but the likeliest bin "
            "is lost, and the colour is grey. Do not let the powers vanish.",
        ),
        Mistake(
            "power in float64",
            _sharpened(lambda p, temperature: _power(p.double(), temperature).float()),
            "float64 only puts it off: with many bins and a low T the powers are rounded to 0 in it, too.",
        ),
        Mistake(
            "one largest for all",
            _sharpened(_one_largest_for_all),
            "You divide by the largest probability of the whole image. Beside a pixel that is sure, one "
            "that is not still gets only zeros.",
        ),
        Mistake(
            "small probabilities held up",
            _sharpened(lambda p, temperature: (p.clamp(min=1e-3).log() / temperature).softmax(1)),
            "You lift small probabilities, and so bins get shares that they should not have. log(0) needs no "
            "cure here.",
        ),
        Mistake(
            "divided by the image",
            _sharpened(lambda p, temperature: (q := p ** (1 / temperature)) / q.sum((1, 2, 3), keepdim=True)),
            "You divide by the sum over the whole image. Each pixel has a distribution of its own.",
        ),
        Mistake(
            "to the power 1 − T",
            _sharpened(lambda p, temperature: ((1 - temperature) * p.log()).nan_to_num(0).softmax(1)),
            "Your exponent is 1 − T. It should be 1 at T = 1 and grow without limit as T falls.",
        ),
        Mistake(
            "always squared",
            _sharpened(lambda p, temperature: (2 * p.log()).softmax(1)),
            "At T = ½ you are right: that is a square. Which power belongs to the temperature that is given?",
        ),
        Mistake(
            "whole powers",
            _sharpened(lambda p, temperature: (p.log() * round(1 / temperature)).softmax(1)),
            "Your exponent is rounded to a whole number. 1 / T need not be one.",
        ),
        Mistake(
            "times the probability again",
            _sharpened(
                lambda p, temperature: (q := (p.log() / temperature).softmax(1) * p) / q.sum(1, keepdim=True)
            ),
            "You multiply the sharpened shares by the probabilities again. The shares alone make the mean.",
        ),
        Mistake(
            "between mean and mode",
            _between,
            "You go straight from the mode to the mean. The distribution is to be sharpened, and that is not "
            "a straight way.",
        ),
        Mistake(
            "reshaped at the end",
            _channels_reshaped_after,
            "For one pixel you are right. reshape at the end mixes pixels and channels: move the axis.",
        ),
        Mistake(
            "reshaped at first",
            _bins_not_moved,
            "For one pixel you are right. reshape mixes the bins of one pixel with other pixels: move the "
            "bins to the end first.",
        ),
    ),
)

EXERCISES = (QUANTISE, ENCODE, REBALANCE, LOSS, ANNEAL)
"""Chapter 18's exercises, in order."""
