"""Exercises of chapter 17: scores of depth, scale invariance, normals from depth, three losses in one.

The references are written apart from `segcore.geometry`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, Property, reaches_gradient

__all__ = ["EXERCISES"]


def _depths(generator: torch.Generator, *shape: int) -> Tensor:
    """Depths from 1 to 6 metres."""
    return 1 + 5 * torch.rand(*shape, generator=generator)


def _with_holes(depth: Tensor, generator: torch.Generator, share: float = 0.25, nan: float = 0.0) -> Tensor:
    """Some depths missing, but never the first of an image; of the holes that share NaN, the others 0."""
    draw = torch.rand(depth.shape, generator=generator)
    draw[..., 0, 0] = 1
    return depth.masked_fill(draw < share, 0).masked_fill(draw < share * nan, torch.nan)


NEAR_AND_FAR = "a pixel at 5 cm and one at 100 m count, too"


# 17.1 ----------------------------------------------------------------------------------------------


def depth_scores(prediction: Tensor, target: Tensor) -> Tensor:
    """AbsRel, SILog and δ1 over the pixels whose true depth is above 0."""
    there = target > 0
    y_hat, y = prediction[there], target[there]
    g = y_hat.log() - y.log()
    near = (y_hat < 1.25 * y) & (y < 1.25 * y_hat)
    return torch.stack(
        [
            ((y_hat - y).abs() / y).mean(),
            (g - g.mean()).square().mean().sqrt(),
            near.float().mean(),
        ]
    )


Number = Callable[[Tensor, Tensor], Tensor]


def _scored(number: int, instead: Number) -> Callable[[Tensor, Tensor], Tensor]:
    """Another formula for one of the three numbers, on the depths that are there."""

    def wrong(prediction: Tensor, target: Tensor) -> Tensor:
        scores, there = depth_scores(prediction, target), target > 0
        scores[number] = instead(prediction[there], target[there])
        return scores

    return wrong


def _off_the_mean(g: Tensor) -> Tensor:
    return g - g.mean()


def _off_the_median(g: Tensor) -> Tensor:
    return g - g.median() if len(g) else g


def _less_the_square(g: Tensor, part: float = 1.0) -> Tensor:
    return (g.square().mean() - part * g.mean().square()).sqrt()


def _near(y_hat: Tensor, y: Tensor, limit: float = 1.25) -> Tensor:
    return ((y_hat < limit * y) & (y < limit * y_hat)).float()


def _kept(keep: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Other pixels counted than those whose true depth is above 0."""

    def wrong(prediction: Tensor, target: Tensor) -> Tensor:
        there = keep(target)
        y_hat, y = prediction[there], target[there]
        g, quotient = y_hat.log() - y.log(), torch.maximum(y_hat / y, y / y_hat)
        silog, near = (g - g.mean()).square().mean().sqrt(), (quotient < 1.25).float().mean()
        return torch.stack([((y_hat - y).abs() / y).mean(), silog, near])

    return wrong


def _nothing_missing(prediction: Tensor, target: Tensor) -> Tensor:
    return depth_scores(prediction, target.nan_to_num().clamp(min=1e-6))


def _as_right(prediction: Tensor, target: Tensor) -> Tensor:
    return depth_scores(prediction, torch.where(target > 0, target, prediction))


def _over_all_pixels(prediction: Tensor, target: Tensor) -> Tensor:
    scores, there = _as_right(prediction, target), target > 0
    return torch.cat([scores[:2], scores[2:] - (~there).float().mean()])


def _far_off_where_missing(prediction: Tensor, target: Tensor) -> Tensor:
    scores, there = depth_scores(prediction, target), target > 0
    scores[2] = scores[2].nan_to_num() * there.float().mean()
    return scores


def _none_is_zero(prediction: Tensor, target: Tensor) -> Tensor:
    return depth_scores(prediction, target).nan_to_num()


def _row_by_row(prediction: Tensor, target: Tensor) -> Tensor:
    return torch.stack([depth_scores(*rows) for rows in zip(prediction, target, strict=True)]).mean(0)


def _score_cases(generator: torch.Generator) -> list[Case]:
    hand = torch.tensor([[2.0, 3.0, 1.0, 5.0]]), torch.tensor([[2.0, 2.0, 0.0, 4.0]])
    four = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    cases = [
        Case(hand, "the by-hand example"),
        Case((2 * four, four), "everything twice as far: one factor for the whole image"),
        Case((four, 2 * four), "everything half as far"),
        Case((four, torch.tensor([[0.5, 3.0], [torch.nan, 8.0]])), "one depth is NaN"),
        Case((four, torch.zeros(2, 2)), "no depth at all"),
        Case(
            (torch.tensor([[4.0, 3.0]]), torch.tensor([[5.0, 3.0]])), "4 for 5: the ratio is 1.25 here, too"
        ),
        Case(
            (torch.tensor([[0.06, 30.0, 90.0, 0.5]]), torch.tensor([[0.05, 20.0, 100.0, 0.5]])), NEAR_AND_FAR
        ),
        # The mean of the squares of ln less the square of the mean: in float32 it is 0 or below, in any order
        # of adding, and below at one wall or another. That has no root; and what is clamped at 0 is right.
        *(
            Case((torch.full((1, n), factor), torch.ones(1, n)), f"a wall: {factor} for 1 at {n} pixels")
            for factor, n in ((9.75, 15), (10.0, 11), (11.0, 15))
        ),
    ]
    for height, width in ((5, 7), (9, 4), (12, 12), (1, 30)):
        target = _with_holes(_depths(generator, height, width), generator, nan=0.4)
        factor = (0.3 * torch.randn(height, width, generator=generator) - 0.1).exp()
        guess = torch.where(target > 0, target, 2.0) * factor
        cases.append(Case((guess, target)))
    return cases


SCORES = Exercise(
    "17.1",
    "How wrong is a depth?",
    depth_scores,
    _score_cases,
    any_float=True,
    axes=("score",),
    places=("AbsRel", "SILog", "δ1"),
    plan=(
        "Throw out the pixels whose true depth is missing, from both maps, before you compute anything.",
        "For AbsRel divide each error, without its sign, by the true depth, then take the mean.",
        "For SILog take the logarithm of both. How far is each difference from the mean of all differences? "
        "Square, mean, root.",
        "For δ1 ask of each pixel both quotients, and take the larger one: being twice too far and twice too "
        "near are equally wrong.",
    ),
    mistakes=(
        Mistake(
            "missing depths left in",
            _kept(lambda target: torch.ones_like(target, dtype=torch.bool)),
            "Pixels without a true depth come into your numbers. Which of the two maps has holes, and which "
            "two values mark them?",
        ),
        Mistake(
            "zeros left in",
            _kept(lambda target: ~target.isnan()),
            "You leave out NaN, but not 0: the sensor's other word for a depth that it could not measure. "
            "What is a share of 0?",
        ),
        Mistake(
            "NaN left in",
            _kept(lambda target: target != 0),
            "You leave out 0, but not NaN. What does NaN != 0 give, and what does NaN > 0?",
        ),
        Mistake(
            "far depths left out",
            _kept(lambda target: (target > 1e-3) & (target < 80)),
            "You leave out a depth that is far away. Some benchmarks do so; which depths does this task call "
            "missing?",
        ),
        Mistake(
            "missing depths counted",
            _nothing_missing,
            "Your numbers explode where depth is missing. Such a pixel says nothing and must not count.",
        ),
        Mistake(
            "divided by all pixels",
            _over_all_pixels,
            "You divide by the number of all pixels. Only those with a true depth belong into the mean.",
        ),
        Mistake(
            "missing depths count as right",
            _as_right,
            "Where depth is missing, yours counts the guess as right: every hole makes the scores better. "
            "Which pixels belong into the means?",
        ),
        Mistake(
            "missing depths count as far off",
            _far_off_where_missing,
            "δ1: a pixel without a true depth counts as too far off in yours. By how many do you divide?",
        ),
        Mistake(
            "nothing is 0",
            _none_is_zero,
            "Where no depth is known at all, yours says 0: the best AbsRel and the worst δ1. What does the "
            "task ask for there?",
        ),
        Mistake(
            "row by row",
            _row_by_row,
            "You take a mean for each row and the mean of those. Rows with few known depths weigh as much as "
            "full ones then. How many means does the formula take?",
        ),
        Mistake(
            "relative to the prediction",
            _scored(0, lambda y_hat, y: ((y_hat - y).abs() / y_hat).mean()),
            "AbsRel: you divide by what was predicted. A guess could make its own error small that way.",
        ),
        Mistake(
            "relative to the larger one",
            _scored(0, lambda y_hat, y: ((y_hat - y).abs() / torch.maximum(y_hat, y)).mean()),
            "AbsRel: you divide by the larger of the two depths. Errors are a share of the true one.",
        ),
        Mistake(
            "relative to both",
            _scored(0, lambda y_hat, y: (2 * (y_hat - y).abs() / (y_hat + y)).mean()),
            "AbsRel: you divide by the mean of both depths. It is the true one that errors are a share of.",
        ),
        Mistake(
            "sign kept",
            _scored(0, lambda y_hat, y: ((y_hat - y) / y).mean()),
            "AbsRel: too far and too near cancel in yours. It is the size of the error that counts.",
        ),
        Mistake(
            "ratio of the means",
            _scored(0, lambda y_hat, y: (y_hat - y).abs().mean() / y.mean()),
            "AbsRel: you divide the mean error by the mean depth. Each pixel's error has its own depth.",
        ),
        Mistake(
            "in metres",
            _scored(0, lambda y_hat, y: (y_hat - y).abs().mean()),
            "AbsRel: that is the error in metres. It is asked relative to the true depth.",
        ),
        Mistake(
            "squared",
            _scored(0, lambda y_hat, y: ((y_hat - y).square() / y).mean()),
            "AbsRel: you square the error, which is SqRel, another number of the same family.",
        ),
        Mistake(
            "relative error squared",
            _scored(0, lambda y_hat, y: ((y_hat - y) / y).square().mean()),
            "AbsRel: you square the shares. How does the formula get rid of the sign?",
        ),
        Mistake(
            "size of the mean",
            _scored(0, lambda y_hat, y: ((y_hat - y) / y).mean().abs()),
            "AbsRel: you take the size after the mean. What have too far and too near done to each other by "
            "then?",
        ),
        Mistake(
            "median",
            _scored(0, lambda y_hat, y: ((y_hat - y).abs() / y).median()),
            "AbsRel: that is a median. The mean over the pixels is asked.",
        ),
        Mistake(
            "mean not taken off",
            _scored(1, lambda y_hat, y: (y_hat / y).log().square().mean().sqrt()),
            "SILog: a common factor should cost nothing, and in yours it does. What do all pixels share?",
        ),
        Mistake(
            "most of the mean taken off",
            _scored(1, lambda y_hat, y: _less_the_square((y_hat / y).log(), 0.85)),
            "SILog: you take off 0.85 of the squared mean, as some losses do. The score takes off all of it.",
        ),
        Mistake(
            "mean not squared",
            _scored(1, lambda y_hat, y: (g := (y_hat / y).log()).square().mean().sub(g.mean()).abs().sqrt()),
            "SILog: you take the mean itself off the mean of the squares. To which power is it asked?",
        ),
        Mistake(
            "divided by one less",
            _scored(1, lambda y_hat, y: (y_hat / y).log().std()),
            "SILog: torch's std divides by one pixel less than there are. The formula has plain means.",
        ),
        Mistake(
            "no root",
            _scored(1, lambda y_hat, y: (y_hat / y).log().var(unbiased=False)),
            "SILog: you stop at the variance. The formula has a root around it.",
        ),
        Mistake(
            "no logarithm",
            _scored(1, lambda y_hat, y: (y_hat - y).std(unbiased=False)),
            "SILog: you take differences in metres. The differences are those of logarithms.",
        ),
        Mistake(
            "quotient for its logarithm",
            _scored(1, lambda y_hat, y: (y_hat / y).std(unbiased=False)),
            "SILog: you take the spread of the quotients themselves. What is g in the formula?",
        ),
        Mistake(
            "logarithm to base 10",
            _scored(1, lambda y_hat, y: (y_hat / y).log10().std(unbiased=False)),
            "SILog: your logarithm has base 10; ln is asked, torch.log.",
        ),
        Mistake(
            "log(1 + depth) in SILog",
            _scored(1, lambda y_hat, y: (y_hat.log1p() - y.log1p()).std(unbiased=False)),
            "SILog: you add 1 before the logarithm. Does a common factor still become a common difference?",
        ),
        Mistake(
            "mean of squares less square of the mean",
            _scored(1, lambda y_hat, y: _less_the_square((y_hat / y).log())),
            "SILog: on a wall, where one factor holds everywhere, your variance should be 0; rounding has "
            "made it less, and that has no root. Does the formula subtract before it squares, or after?",
        ),
        Mistake(
            "mean distance",
            _scored(1, lambda y_hat, y: _off_the_mean((y_hat / y).log()).abs().mean()),
            "SILog: you average the sizes of the distances from the mean. What does the formula do with each "
            "distance before it averages?",
        ),
        Mistake(
            "median taken off",
            _scored(1, lambda y_hat, y: _off_the_median((y_hat / y).log()).square().mean().sqrt()),
            "SILog: you take the median off. Which kind of middle has the bar in the formula?",
        ),
        Mistake(
            "half of the factor forgiven",
            _scored(1, lambda y_hat, y: _less_the_square((y_hat / y).log(), 0.5)),
            "SILog: you take off half of the squared mean, as a loss may. In SILog a common factor costs "
            "nothing at all. How much is taken off then?",
        ),
        Mistake(
            "in hundredths",
            _scored(1, lambda y_hat, y: 100 * (y_hat / y).log().std(unbiased=False)),
            "SILog: some benchmarks print it times 100, and so do you. Does the formula have such a factor?",
        ),
        Mistake(
            "at the limit counts",
            _scored(2, lambda y_hat, y: (torch.maximum(y_hat / y, y / y_hat) <= 1.25).float().mean()),
            "δ1: look at the pixel whose ratio is 1.25 exactly. Does the formula count it?",
        ),
        Mistake(
            "one side only",
            _scored(2, lambda y_hat, y: (y_hat / y < 1.25).float().mean()),
            "δ1: a depth of a tenth of the true one passes in yours. Ask the other quotient, too.",
        ),
        Mistake(
            "the other side only",
            _scored(2, lambda y_hat, y: (y / y_hat < 1.25).float().mean()),
            "δ1: a depth ten times too large passes in yours. Ask the other quotient, too.",
        ),
        Mistake(
            "the smaller quotient",
            _scored(2, lambda y_hat, y: (torch.minimum(y_hat / y, y / y_hat) < 1.25).float().mean()),
            "δ1: one of the two quotients is always 1 or less. Which one says how far off a depth is?",
        ),
        Mistake(
            "share of the bad ones",
            _scored(2, lambda y_hat, y: (torch.maximum(y_hat / y, y / y_hat) >= 1.25).float().mean()),
            "δ1: yours is the share that is too far off. The share that is near enough is asked.",
        ),
        Mistake(
            "within a quarter",
            _scored(2, lambda y_hat, y: ((y_hat - y).abs() / y < 0.25).float().mean()),
            "δ1: you ask whether the error is below a quarter of the truth. For depths that are too small "
            "this is not the same as the quotient: 4 for 5 against 5 for 4.",
        ),
        Mistake(
            "within a quarter of a logarithm",
            _scored(2, lambda y_hat, y: ((y_hat / y).log().abs() < 0.25).float().mean()),
            "δ1: you ask whether the logarithm of the quotient lies within 0.25. It is the quotient itself "
            "that is compared with 1.25.",
        ),
        Mistake(
            "in percent",
            _scored(2, lambda y_hat, y: 100 * _near(y_hat, y).mean()),
            "δ1: yours is in percent. A share lies between 0 and 1.",
        ),
        Mistake(
            "counted, not averaged",
            _scored(2, lambda y_hat, y: _near(y_hat, y).sum()),
            "δ1: you count the pixels that are near enough. A share of how many is asked?",
        ),
        Mistake(
            "δ2",
            _scored(2, lambda y_hat, y: _near(y_hat, y, 1.25**2).mean()),
            "δ1: your limit is 1.25 squared, which makes it δ2. Which limit stands in the task?",
        ),
        Mistake(
            "less than 1.25 metres off",
            _scored(2, lambda y_hat, y: ((y_hat - y).abs() < 1.25).float().mean()),
            "δ1: you compare a difference in metres with 1.25. What has no unit in the formula?",
        ),
        Mistake(
            "in another order",
            lambda prediction, target: depth_scores(prediction, target)[[1, 0, 2]],
            "The numbers are there, in another order: AbsRel, SILog, δ1.",
        ),
    ),
)


# 17.2 ----------------------------------------------------------------------------------------------


def scale_invariant_loss(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    """Mean over the images of mean g² less weight times (mean g)², over the depths that are there."""
    there = target > 0
    g = torch.where(there, prediction.log() - target.log(), 0).flatten(1)
    count = there.flatten(1).sum(1)
    mean, square = g.sum(1) / count, g.square().sum(1) / count
    return (square - weight * mean.square()).mean()


def _each_image(
    loss: Callable[[Tensor, float], Tensor], difference: Number = lambda a, b: a.log() - b.log()
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Another loss of one image's differences, or other differences."""

    def wrong(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
        losses = [
            loss(difference(guess[truth > 0], truth[truth > 0]), weight)
            for guess, truth in zip(prediction, target, strict=True)
        ]
        return torch.stack(losses).mean()

    return wrong


def _right(g: Tensor, weight: float) -> Tensor:
    return g.square().mean() - weight * g.mean().square()


def _one_mean_for_all(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    there = target > 0
    return _right(prediction[there].log() - target[there].log(), weight)


def _holes_as_zero(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    g = torch.where(target > 0, prediction.log() - target.log(), 0)
    return (g.square().mean((1, 2)) - weight * g.mean((1, 2)).square()).mean()


def _holes_clamped(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    return scale_invariant_loss(prediction, target.clamp(min=1e-3), weight)


def _sum_of_images(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    return scale_invariant_loss(prediction, target, weight) * len(prediction)


def _keeping(keep: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Other pixels counted than those whose true depth is above 0."""

    def wrong(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
        g, there = prediction.log() - target.log(), keep(target)
        return torch.stack([_right(each[kept], weight) for each, kept in zip(g, there, strict=True)]).mean()

    return wrong


def _images_alone(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    """The loss of each image."""
    pairs = zip(prediction[:, None], target[:, None], strict=True)
    return torch.stack([scale_invariant_loss(*pair, weight) for pair in pairs])


def _weighed_by_pixels(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    count = (target > 0).flatten(1).sum(1)
    return (count * _images_alone(prediction, target, weight)).sum() / count.sum()


def _square_of_all_means(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    square = scale_invariant_loss(prediction, target, 0.0)
    means = [(a[b > 0] / b[b > 0]).log().mean() for a, b in zip(prediction, target, strict=True)]
    return square - weight * torch.stack(means).mean().square()


def _squares_of_the_batch(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    """The mean of the squares over all pixels, the means image by image."""
    whole = _one_mean_for_all(prediction, target, 0.0)
    squares = scale_invariant_loss(prediction, target, 0.0)
    return whole - squares + scale_invariant_loss(prediction, target, weight)


def _each_row(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    return _images_alone(prediction.flatten(0, 1)[:, None], target.flatten(0, 1)[:, None], weight).mean()


def _gradient(function: Callable[..., Any]) -> Tensor:
    """The gradient at two images, both with holes of either kind."""
    target = torch.tensor([[[1.0, 2.0], [0.0, 3.0]], [[torch.nan, 5.0], [1.0, 0.0]]])
    prediction = torch.tensor([[[2.0, 2.5], [3.0, 2.0]], [[1.0, 2.0], [4.0, 2.0]]]).requires_grad_()
    result = function(prediction, target, 0.75)
    return torch.autograd.grad(result.sum(), prediction, materialize_grads=True)[0]


def _no_nan(function: Callable[..., Any]) -> str | None:
    count = int((~_gradient(function).isfinite()).sum())
    return f"The values are right, but the gradient is NaN at {count} of 8 pixels." if count else None


def _of_this_loss(function: Callable[..., Any]) -> str | None:
    if torch.allclose(_gradient(function), _gradient(scale_invariant_loss), atol=1e-4):
        return None
    return "The values are right, but the gradient is not that of this loss."


NO_NAN = (
    "What torch.where, nan_to_num or nanmean hides still has a gradient: there 0 meets an infinite slope, "
    "and that is NaN. Could you leave those pixels out before you divide or take a root or a logarithm?"
)


def _loss_cases(generator: torch.Generator) -> list[Case]:
    truth = torch.tensor([[[1.0, 2.0, 4.0]]])
    guess = torch.tensor([[[2.0, 4.0, 8.0]]])
    hole = torch.tensor([[[1.0, 0.0, 4.0]]])
    uneven = torch.tensor([[[2.0, 2.0, 2.0]]])
    cases = [
        Case((guess, truth, 0.5), "the by-hand example: everything twice as far"),
        Case((guess, truth, 1.0), "everything twice as far, and all of it forgiven"),
        Case((uneven, truth, 0.0), "nothing is forgiven"),
        Case((uneven, hole, 1.0), "one depth is missing"),
        Case(
            (torch.cat([guess, uneven]), torch.cat([truth, hole]), 0.8),
            "two images, each with a factor of its own",
        ),
        Case((guess, torch.tensor([[[1.0, torch.nan, 4.0]]]), 0.5), "one depth is NaN"),
        Case(
            (torch.tensor([[[0.06, 30.0, 90.0]]]), torch.tensor([[[0.05, 20.0, 100.0]]]), 0.5), NEAR_AND_FAR
        ),
        Case(
            (torch.tensor([[[2.0, 4.0], [1.0, 3.0]]]), torch.tensor([[[1.0, 2.0], [2.0, 3.0]]]), 1.0),
            "an image of two rows has one mean, not two",
        ),
    ]
    for count, height, width, weight in ((1, 4, 5, 0.5), (3, 6, 3, 0.7), (4, 5, 8, 0.25), (2, 9, 9, 1.0)):
        target = _with_holes(_depths(generator, count, height, width), generator, nan=0.4)
        cases.append(Case((_depths(generator, count, height, width), target, weight)))
    return cases


INVARIANCE = Exercise(
    "17.2",
    "A loss that forgives the scale",
    scale_invariant_loss,
    _loss_cases,
    any_float=True,
    properties=(
        reaches_gradient(
            0,
            lambda: (torch.full((1, 2, 2), 2.0), torch.tensor([[[1.0, 2.0], [0.0, 3.0]]]), 0.5),
            "prediction",
        ),
        Property("gradient without NaN", _no_nan, NO_NAN),
        Property(
            "gradient of this loss",
            _of_this_loss,
            "Some part of the formula, or some image, is cut off from prediction: where do .detach(), "
            ".item(), float(...) or no_grad stand? Both means have a gradient.",
        ),
    ),
    plan=(
        "Find where the truth is there, and keep the differences of the logarithms to these pixels.",
        "For each image count such pixels: both means divide by this number, not by H · W.",
        "One mean is that of the squares, the other one is squared afterwards. Check: for 2 4 8 and 1 2 4 "
        "both are ln² 2.",
        "loss = mean of squares - … · square of the mean, and at the end the mean over the images.",
    ),
    mistakes=(
        Mistake(
            "one mean for the batch",
            _one_mean_for_all,
            "Alone, each image is right. Two images have two unknown factors: take the means image by image.",
        ),
        Mistake(
            "missing depths as no error",
            _holes_as_zero,
            "You let missing pixels count as right: they make both means smaller. Divide by the pixels that "
            "are there.",
        ),
        Mistake(
            "missing depths left in",
            _keeping(lambda target: torch.ones_like(target, dtype=torch.bool)),
            "Pixels without a true depth still come in: their logarithm is not finite, and 0 times infinity "
            "is NaN. Can you choose pixels, where you multiply now or keep all?",
        ),
        Mistake(
            "zeros left in",
            _keeping(lambda target: ~target.isnan()),
            "You leave out NaN, but not 0. What is the logarithm of 0?",
        ),
        Mistake(
            "NaN left in",
            _keeping(lambda target: target != 0),
            "You leave out 0, but not NaN. What does NaN != 0 give, and what does NaN > 0?",
        ),
        Mistake(
            "far depths left out",
            _keeping(lambda target: (target > 1e-3) & (target < 80)),
            "You leave out a depth that is far away. Which depths does the task call missing?",
        ),
        Mistake(
            "missing depths clamped",
            _holes_clamped,
            "A missing depth is not a very small one: with a clamp it becomes a huge error. Leave it out.",
        ),
        Mistake(
            "always one half",
            _each_image(lambda g, weight: _right(g, 0.5)),
            "At weight 0.5 you are right. The function is told how much to forgive.",
        ),
        Mistake(
            "always all",
            _each_image(lambda g, weight: _right(g, 1.0)),
            "You forgive the whole factor, as a variance does. Where does the weight come in?",
        ),
        Mistake(
            "nothing forgiven, whatever the weight",
            _each_image(lambda g, weight: _right(g, 0.0)),
            "Yours is the mean of the squares alone. What does the formula take off, and how much of it?",
        ),
        Mistake(
            "weight on the first part",
            _each_image(lambda g, weight: weight * g.square().mean() - g.mean().square()),
            "You weigh the mean of the squares. Which of the two parts has λ before it?",
        ),
        Mistake(
            "weight inside the square",
            _each_image(lambda g, weight: g.square().mean() - (weight * g.mean()).square()),
            "Your weight is squared, too. Does λ stand inside the square, or before it?",
        ),
        Mistake(
            "a part of the mean taken off each",
            _each_image(lambda g, weight: (g - weight * g.mean()).square().mean()),
            "You take λ times the mean off each difference and square then. That is right for 0 and 1 only: "
            "what does λ become when you multiply out?",
        ),
        Mistake(
            "weight turned round",
            _each_image(lambda g, weight: _right(g, 1 - weight)),
            "Weight 0 should forgive nothing and weight 1 everything; yours is the other way round.",
        ),
        Mistake(
            "both parts weighed",
            _each_image(lambda g, weight: weight * (g.square().mean() - g.mean().square())),
            "You weigh the whole. Only the second part, the square of the mean, has the weight.",
        ),
        Mistake(
            "added",
            _each_image(lambda g, weight: _right(g, -weight)),
            "You add the second part. What is forgiven is taken off.",
        ),
        Mistake(
            "mean not squared",
            _each_image(lambda g, weight: g.square().mean() - weight * g.mean()),
            "The second part is the square of the mean; yours is the mean itself.",
        ),
        Mistake(
            "mean of sizes",
            _each_image(lambda g, weight: g.square().mean() - weight * g.abs().mean().square()),
            "Your second mean is taken without signs. Only what all pixels share, sign included, is a scale.",
        ),
        Mistake(
            "mean of squares twice",
            _each_image(lambda g, weight: (1 - weight) * g.square().mean()),
            "In the second part you square first and average then. It is the other order: that is the point.",
        ),
        Mistake(
            "sum, not mean, inside the square",
            _each_image(lambda g, weight: g.square().mean() - weight * g.sum().square() / len(g)),
            "The second part grows with the number of pixels in yours. The sum squared has n², not n, below.",
        ),
        Mistake(
            "sums, not means",
            _each_image(lambda g, weight: len(g) * _right(g, weight)),
            "You add the pixels up and do not divide by how many there are.",
        ),
        Mistake(
            "sums inside and outside",
            _each_image(lambda g, weight: g.square().sum() - weight * g.sum().square()),
            "Both of your parts are sums over the pixels. By what does a mean divide, and how many known "
            "pixels are there?",
        ),
        Mistake(
            "divided by one less",
            _each_image(lambda g, weight: g.var() + (1 - weight) * g.mean().square()),
            "torch's var divides by one pixel less than there are. The formula has plain means.",
        ),
        Mistake(
            "sizes for squares",
            _each_image(lambda g, weight: g.abs().mean() - weight * g.mean().abs()),
            "You take sizes where the formula has squares.",
        ),
        Mistake(
            "row by row",
            _each_row,
            "You take the two means row by row. Which pixels share one unknown factor: a row, or an image?",
        ),
        Mistake(
            "first image only",
            lambda prediction, target, weight: scale_invariant_loss(prediction[:1], target[:1], weight),
            "Alone, an image is right; of two you take the first. What does the task do with several?",
        ),
        Mistake(
            "images weighed by their pixels",
            _weighed_by_pixels,
            "An image with more known depths weighs more in yours. Which mean over the images is asked?",
        ),
        Mistake(
            "mean of squares over the batch",
            _squares_of_the_batch,
            "Your squares are averaged over all pixels of the batch, your means image by image. Where images "
            "have unequal holes these differ: both means belong to one image.",
        ),
        Mistake(
            "square of the mean of all means",
            _square_of_all_means,
            "You average the images' means and square then. When does each image need its own square?",
        ),
        Mistake(
            "sum over the images",
            _sum_of_images,
            "You add the images up. The loss is their mean, so that it does not depend on the batch.",
        ),
        Mistake(
            "no logarithm",
            _each_image(_right, lambda a, b: a - b),
            "You compare metres. In metres a common factor is no common difference; in logarithms it is.",
        ),
        Mistake(
            "logarithm to base 10",
            _each_image(_right, lambda a, b: a.log10() - b.log10()),
            "Your logarithm has base 10. ln is asked, torch.log.",
        ),
        Mistake(
            "relative error",
            _each_image(_right, lambda a, b: a / b - 1),
            "Your g is the error as a share of the truth. Another factor does not move all of them by one "
            "number. Which function of the ratio does?",
        ),
        Mistake(
            "log(1 + depth)",
            _each_image(_right, lambda a, b: a.log1p() - b.log1p()),
            "You add 1 before the logarithm. Then a common factor is no common difference any more.",
        ),
        Mistake(
            "root",
            _each_image(lambda g, weight: _right(g, weight).clamp(min=0).sqrt()),
            "You take a root at the end. SILog has one; the loss has none.",
        ),
    ),
)


# 17.3 ----------------------------------------------------------------------------------------------


def normals_from_depth(depth: Tensor, focal_length: float) -> Tensor:
    """Unit normals of the inner pixels, ``(3, H - 2, W - 2)``, that face the camera."""
    height, width = depth.shape
    x = (torch.arange(width) + 0.5 - width / 2) / focal_length
    y = (torch.arange(height) + 0.5 - height / 2) / focal_length
    points = torch.stack([depth * x, depth * y[:, None], depth])
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    normals = torch.linalg.cross(down, across, dim=0)
    return normals / normals.norm(dim=0)


def _put_out(depth: Tensor, focal_length: float, half: float = 0.5, turned: bool = False) -> Tensor:
    """Points in space; with another half pixel, or x and y of the middle exchanged."""
    height, width = depth.shape
    middle_x, middle_y = (height / 2, width / 2) if turned else (width / 2, height / 2)
    x = (torch.arange(width) + half - middle_x) / focal_length
    y = (torch.arange(height) + half - middle_y) / focal_length
    return torch.stack([depth * x, depth * y[:, None], depth])


Steps = Callable[[Tensor], tuple[Tensor, Tensor]]


def _central(points: Tensor) -> tuple[Tensor, Tensor]:
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    return across, points[:, 2:, 1:-1] - points[:, :-2, 1:-1]


def _forward(points: Tensor) -> tuple[Tensor, Tensor]:
    middle = points[:, 1:-1, 1:-1]
    return points[:, 1:-1, 2:] - middle, points[:, 2:, 1:-1] - middle


def _backward(points: Tensor) -> tuple[Tensor, Tensor]:
    middle = points[:, 1:-1, 1:-1]
    return middle - points[:, 1:-1, :-2], middle - points[:, :-2, 1:-1]


def _crossed(points: Tensor, steps: Steps = _central) -> Tensor:
    across, down = steps(points)
    return F.normalize(torch.linalg.cross(down, across, dim=0), dim=0)


def _without_perspective(depth: Tensor, focal_length: float, scale: float = 1.0) -> Tensor:
    """The slope of the depth map as if pixels were lengths."""
    right = (depth[1:-1, 2:] - depth[1:-1, :-2]) / 2 * scale
    below = (depth[2:, 1:-1] - depth[:-2, 1:-1]) / 2 * scale
    return F.normalize(torch.stack([right, below, -torch.ones_like(right)]), dim=0)


def _turned_by_z(normals: Tensor) -> Tensor:
    return torch.where(normals[2:] > 0, -normals, normals)


def _signs(*signs: float) -> Callable[[Tensor, float], Tensor]:
    """The right normals with other signs of x, y and z."""
    factors = torch.tensor(signs)[:, None, None]
    return lambda depth, focal_length: factors * normals_from_depth(depth, focal_length)


def _lengths(divide: Callable[[Tensor], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """The right directions, their length made otherwise."""

    def wrong(depth: Tensor, focal_length: float) -> Tensor:
        across, down = _central(_put_out(depth, focal_length))
        return divide(torch.linalg.cross(down, across, dim=0))

    return wrong


def _along_the_ray(depth: Tensor, focal_length: float) -> Tensor:
    rays = _put_out(torch.ones_like(depth), focal_length)
    return _crossed(depth * rays / rays.norm(dim=0))


def _middle(
    x: Callable[[int, int], float], y: Callable[[int, int], float]
) -> Callable[[Tensor, float], Tensor]:
    """Another middle of the image, from its height and width."""

    def wrong(depth: Tensor, focal_length: float) -> Tensor:
        height, width = depth.shape
        right = (torch.arange(width) + 0.5 - x(height, width)) / focal_length
        below = (torch.arange(height) + 0.5 - y(height, width)) / focal_length
        return _crossed(torch.stack([depth * right, depth * below[:, None], depth]))

    return wrong


def _exchanged(points: Tensor) -> tuple[Tensor, Tensor]:
    return _central(points[[1, 0, 2]])


def _at_the_corner(points: Tensor) -> tuple[Tensor, Tensor]:
    return points[:, :-2, 2:] - points[:, :-2, :-2], points[:, 2:, :-2] - points[:, :-2, :-2]


def _mean_of_corners(depth: Tensor, focal_length: float) -> Tensor:
    points = _put_out(depth, focal_length)
    (right, below), (left, above) = _forward(points), _backward(points)
    corners = [(below, right), (below, left), (above, left), (above, right)]
    normals = [F.normalize(torch.linalg.cross(*each, dim=0), dim=0) for each in corners]
    return F.normalize(torch.stack(normals).sum(0), dim=0)


def _smoothed(points: Tensor) -> tuple[Tensor, Tensor]:
    across, down = points[:, :, 2:] - points[:, :, :-2], points[:, 2:] - points[:, :-2]
    return (
        across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:],
        down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:],
    )


def _not_scaled(depth: Tensor, focal_length: float) -> Tensor:
    points = _put_out(torch.ones_like(depth), focal_length)
    return _crossed(torch.cat([points[:2], depth[None]]))


def _as_wide_as_the_middle(depth: Tensor, focal_length: float) -> Tensor:
    """Steps to the side by one pixel at the middle's depth, whatever the depth of the neighbours."""
    right, below = depth[1:-1, 2:] - depth[1:-1, :-2], depth[2:, 1:-1] - depth[:-2, 1:-1]
    return F.normalize(torch.stack([right, below, -2 * depth[1:-1, 1:-1] / focal_length]), dim=0)


def _plane(height: int, width: int, focal_length: float, normal: Sequence[float]) -> Tensor:
    """Depths of a plane two metres in front of the camera."""
    rays = _put_out(torch.ones(height, width), focal_length)
    n = torch.tensor(normal)[:, None, None]
    return 2 * n[2, 0, 0] / (n * rays).sum(0)


def _normal_cases(generator: torch.Generator) -> list[Case]:
    hand = torch.tensor([[1.0, 1.0, 2.0]] * 3)
    cases = [
        Case((hand, 1.0), "the by-hand example"),
        Case((torch.full((4, 3), 2.0), 5.0), "a wall that faces the camera"),
        Case((hand.T.flip(0).contiguous(), 1.0), "the by-hand example, lying, the far row above"),
        Case((_plane(4, 6, 8.0, (0.0, -2.0, -1.0)), 8.0), "a floor"),
        Case((_plane(5, 4, 6.0, (1.0, 0.5, -2.0)), 6.0), "a plane that leans to two sides"),
        Case(
            (torch.tensor([[1.0, 2.0, 1.5], [3.0, 2.0, 1.0], [2.0, 4.0, 2.5]]), 1.5),
            "nine depths, each step of another height",
        ),
        Case(
            (torch.tensor([[1.0, 1.0] + [4.0] * 5] * 3), 1.0),
            "a wide view: at its edge the camera sees a side whose normal has z above 0",
        ),
    ]
    for height, width, focal_length in ((6, 9, 10.0), (11, 5, 7.0), (8, 8, 30.0), (5, 14, 3.0)):
        depth = 4 + torch.rand(height, width, generator=generator)
        cases.append(Case((depth, focal_length)))
    return cases


NORMALS = Exercise(
    "17.3",
    "Normals from depth",
    normals_from_depth,
    _normal_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("coordinate", "row", "column"),
    plan=(
        "Where does the ray of a pixel's centre meet the plane one metre away? Half a pixel, the middle of "
        "the image and the focal length all have a part in it.",
        "A pixel at depth Z lies Z times as far out: three maps X, Y, Z.",
        "For the inner pixels take right less left, and below less above.",
        "The cross product is perpendicular to both. Its order decides whether it faces the camera: the "
        "wall must give (0, 0, -1).",
        "Make its length 1 at the end.",
    ),
    mistakes=(
        Mistake(
            "into the wall",
            lambda depth, focal_length: -normals_from_depth(depth, focal_length),
            "Your normals point away from the camera. a × b and b × a differ by their sign.",
        ),
        Mistake(
            "turned by the sign of z",
            lambda depth, focal_length: _turned_by_z(normals_from_depth(depth, focal_length)),
            "You turn a normal whose z is above 0. Straight ahead that is right; at the edge of a wide view "
            "the camera looks from the side. Which scalar product tells towards from away?",
        ),
        Mistake(
            "turned by the sum",
            lambda depth, focal_length: (n := normals_from_depth(depth, focal_length)) * -n.sum(0).sign(),
            "You turn a normal where its three numbers add up to more than 0. Against what does a normal "
            "that faces the camera point?",
        ),
        Mistake(
            "z turned alone",
            _signs(1.0, 1.0, -1.0),
            "The sign of z is wrong, those of x and y are right. When a vector turns round, what happens to "
            "its three numbers?",
        ),
        Mistake(
            "x and y turned",
            _signs(-1.0, -1.0, 1.0),
            "The signs of x and y are wrong, that of z is right. By which number did you make z point to the "
            "camera?",
        ),
        Mistake(
            "y upwards in the points",
            _signs(-1.0, 1.0, -1.0),
            "Your points have y upwards: mirrored, a cross product turns round. Row 0 is at the top; which "
            "sign has its y?",
        ),
        Mistake(
            "x to the left in the points",
            _signs(1.0, -1.0, -1.0),
            "Your points have x to the left: mirrored, a cross product turns round. Column 0 is at the left; "
            "which sign has its x?",
        ),
        Mistake(
            "length not 1",
            lambda depth, focal_length: torch.linalg.cross(
                *reversed(_central(_put_out(depth, focal_length))), dim=0
            ),
            "The directions are right, the lengths are not: a normal has length 1.",
        ),
        Mistake(
            "made unit along the rows",
            _lengths(lambda normals: F.normalize(normals, dim=1)),
            "F.normalize works along axis 1 unless you tell it. Along which axis of (3, H - 2, W - 2) do the "
            "three numbers of a normal lie?",
        ),
        Mistake(
            "made unit along the last axis",
            _lengths(lambda normals: F.normalize(normals, dim=-1)),
            "You divide by a length along the last axis: that mixes pixels of a row. Along which axis do the "
            "three numbers of a normal lie?",
        ),
        Mistake(
            "one length for all",
            _lengths(lambda normals: normals / normals.norm()),
            "You divide by one length for the whole map. Each pixel's normal has its own.",
        ),
        Mistake(
            "divided by the squared length",
            _lengths(lambda normals: normals / normals.square().sum(0)),
            "You divide by the sum of the squares. What is missing between that sum and the length?",
        ),
        Mistake(
            "divided by the sum of the sizes",
            _lengths(lambda normals: normals / normals.abs().sum(0)),
            "You divide by the sum of the three sizes. How long is a vector, by Pythagoras?",
        ),
        Mistake(
            "steps made unit, not the normal",
            lambda depth, focal_length: torch.linalg.cross(
                *(F.normalize(step, dim=0) for step in reversed(_central(_put_out(depth, focal_length)))),
                dim=0,
            ),
            "You make both steps as long as 1. Where they are not at right angles, their product is shorter "
            "than 1. What should have length 1 in the end?",
        ),
        Mistake(
            "z made -1",
            _lengths(lambda normals: -normals / normals[2]),
            "You make z equal to -1. Which of its sizes should be 1?",
        ),
        Mistake(
            "half a pixel too far",
            _middle(lambda height, width: (width - 1) / 2, lambda height, width: (height - 1) / 2),
            "Half a pixel is in yours twice: at the pixel's centre and at the middle of the image. What is "
            "x of the centre of the middle pixel of three?",
        ),
        Mistake(
            "middle rounded down",
            _middle(lambda height, width: width // 2, lambda height, width: height // 2),
            "Where width and height are even you are right. What does // do to 3 / 2?",
        ),
        Mistake(
            "width's middle for both",
            _middle(lambda height, width: width / 2, lambda height, width: width / 2),
            "Square images are right. Where is the middle of the rows, if they are fewer than the columns?",
        ),
        Mistake(
            "height's middle for both",
            _middle(lambda height, width: height / 2, lambda height, width: height / 2),
            "Square images are right. Where is the middle of the columns, if they are more than the rows?",
        ),
        Mistake(
            "half a pixel forgotten",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length, half=0.0)),
            "Nearly right. A pixel's value belongs to its centre: at which coordinate does pixel 3 have it?",
        ),
        Mistake(
            "counted from the corner",
            lambda depth, focal_length: _crossed(
                torch.stack(
                    [
                        depth * (torch.arange(depth.shape[1]) + 0.5) / focal_length,
                        depth * (torch.arange(depth.shape[0])[:, None] + 0.5) / focal_length,
                        depth,
                    ]
                )
            ),
            "You count from the image's corner. The camera looks through the middle of the image.",
        ),
        Mistake(
            "middle turned",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length, turned=True)),
            "Square images are right. x runs along the width, y along the height: check both middles.",
        ),
        Mistake(
            "multiplied by the focal length",
            lambda depth, focal_length: _crossed(_put_out(depth, 1 / focal_length)),
            "You multiply by the focal length. The longer it is, the narrower the view.",
        ),
        Mistake(
            "focal length ignored",
            lambda depth, focal_length: _crossed(_put_out(depth, 1.0)),
            "At a focal length of 1 you are right. What does it do to the place of a pixel?",
        ),
        Mistake(
            "place not scaled by depth",
            _not_scaled,
            "Your points stay on their ray's place at one metre. A thing twice as far lies twice as far out.",
        ),
        Mistake(
            "steps as wide as a pixel of the middle",
            _as_wide_as_the_middle,
            "Your steps to the side are those of the middle pixel's depth. The neighbour lies at a depth of "
            "its own: how far out does that put it?",
        ),
        Mistake(
            "depth along the ray",
            _along_the_ray,
            "You make the rays of length 1, so your depth counts along them. It counts along the optical "
            "axis here: which of the three numbers of P is Z?",
        ),
        Mistake(
            "slope in pixels, turned",
            lambda depth, focal_length: -_without_perspective(depth, focal_length),
            "That is the recipe of a height map that is seen from above: (-slope, -slope, 1). Here each "
            "pixel looks along a ray of its own. Where do the points lie?",
        ),
        Mistake(
            "slope in pixels with other signs",
            lambda depth, focal_length: (
                _without_perspective(depth, focal_length) * torch.tensor([-1.0, -1.0, 1.0])[:, None, None]
            ),
            "You take the slopes of a height map, and with signs for another axis. Where in space do the "
            "points lie that the neighbours show?",
        ),
        Mistake(
            "slope in pixels",
            _without_perspective,
            "You take the slope of the depth map, as if a pixel were a metre. Put the pixels out into space "
            "first.",
        ),
        Mistake(
            "x and y exchanged",
            lambda depth, focal_length: normals_from_depth(depth, focal_length)[[1, 0, 2]],
            "The first two numbers are exchanged. x runs to the right, y down.",
        ),
        Mistake(
            "x and y of the points exchanged",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length), _exchanged),
            "In your points rows and columns have changed places. Which of the two indices of depth runs "
            "along x?",
        ),
        Mistake(
            "y upwards",
            lambda depth, focal_length: (
                normals_from_depth(depth, focal_length) * torch.tensor([1.0, -1.0, 1.0])[:, None, None]
            ),
            "The second number has the wrong sign. y runs down in this course.",
        ),
        Mistake(
            "forward differences",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length), _forward),
            "On planes you are right. You take the step from a pixel to the next; the task takes it from the "
            "pixel before to the pixel after.",
        ),
        Mistake(
            "backward differences",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length), _backward),
            "On planes you are right. You take the step from the pixel before; the task takes it from there "
            "to the pixel after.",
        ),
        Mistake(
            "a border of zeros",
            lambda depth, focal_length: F.pad(normals_from_depth(depth, focal_length), (1, 1, 1, 1)),
            "The inner pixels are right. Yours has a border of zeros around them: which size is asked?",
        ),
        Mistake(
            "border repeated",
            lambda depth, focal_length: _crossed(
                F.pad(_put_out(depth, focal_length), (1, 1, 1, 1), mode="replicate")
            ),
            "The inner pixels are right. At the border your steps are one-sided. Which rows and columns "
            "does the task leave out?",
        ),
        Mistake(
            "depth repeated around",
            lambda depth, focal_length: normals_from_depth(
                F.pad(depth[None], (1, 1, 1, 1), mode="replicate")[0], focal_length
            ),
            "The inner pixels are right. You give the outermost rows and columns normals as well: which size "
            "is asked?",
        ),
        Mistake(
            "channels last",
            lambda depth, focal_length: normals_from_depth(depth, focal_length).permute(1, 2, 0),
            "The numbers are right, their order is not: maps have their channels first, (3, H - 2, W - 2).",
        ),
        Mistake(
            "at the corner",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length), _at_the_corner),
            "Your steps start at the pixel's upper left. Which pixels lie right, left, below and above it?",
        ),
        Mistake(
            "mean of four corners",
            _mean_of_corners,
            "On planes you are right. You average the normals of the four corners around a pixel. How many "
            "steps does the task take?",
        ),
        Mistake(
            "smoothed steps",
            lambda depth, focal_length: _crossed(_put_out(depth, focal_length), _smoothed),
            "On planes you are right. Your steps are smoothed over three rows or columns, as Sobel does. How "
            "many points make a step in the task?",
        ),
        Mistake(
            "points, not normals",
            lambda depth, focal_length: F.normalize(_put_out(depth, focal_length), dim=0)[:, 1:-1, 1:-1],
            "Those are the directions in which the pixels lie. A normal stands on the surface.",
        ),
    ),
)


# 17.4 ----------------------------------------------------------------------------------------------


def joint_loss(found: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum of the losses of depth, normals and labels."""
    there = true_there(truth[1])
    cosine = (found[1] * truth[1]).sum(1)
    losses = (
        scale_invariant_loss(found[0], truth[0], 0.5),
        (1 - cosine)[there].mean(),
        F.cross_entropy(found[2], truth[2], ignore_index=255),
    )
    return weights[0] * losses[0] + weights[1] * losses[1] + weights[2] * losses[2]


def true_there(normals: Tensor) -> Tensor:
    """Where there is a true normal."""
    return (normals != 0).any(1)


Joint = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[float]], Tensor]


def _joined(part: int, instead: Callable[[Tensor, Tensor], Tensor]) -> Joint:
    """Another loss for one of the three."""

    def wrong(found: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        others = [0.0 if number == part else weight for number, weight in enumerate(weights)]
        return joint_loss(found, truth, others) + weights[part] * instead(found[part], truth[part])

    return wrong


def _aimed(
    loss: Callable[[Tensor], Tensor] = lambda cosine: 1 - cosine,
    keep: Callable[[Tensor], Tensor] | None = None,
) -> Joint:
    """Another loss of the cosine, or other pixels that have a normal."""

    def instead(found: Tensor, truth: Tensor) -> Tensor:
        there = (keep or true_there)(truth)
        return loss((found * truth).sum(1)[there]).mean()

    return _joined(1, instead)


def _where(keep: Callable[[Tensor, Tensor], Tensor]) -> Joint:
    """The normals' loss where depth or labels say so."""

    def wrong(found: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        there = keep(truth[0], truth[2])
        normals = (1 - (found[1] * truth[1]).sum(1))[there].mean()
        return joint_loss(found, truth, (weights[0], 0.0, weights[2])) + weights[1] * normals

    return wrong


def _where_all(found: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    there = (truth[0] > 0) & true_there(truth[1]) & (truth[2] != 255)
    kept = truth[0] * there, truth[1] * there[:, None], truth[2].masked_fill(~there, 255)
    return joint_loss(found, kept, weights)


def _image_by_image(part: int) -> Joint:
    """The mean of the images' means, for normals or labels."""

    def instead(found: Tensor, truth: Tensor) -> Tensor:
        pairs = zip(found[:, None], truth[:, None], strict=True)
        if part == 1:
            return torch.stack([1 - _cosines(*pair).mean() for pair in pairs]).mean()
        return torch.stack([F.cross_entropy(*pair, ignore_index=255) for pair in pairs]).mean()

    return _joined(part, instead)


def _both_image_by_image(
    found: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    normals = _image_by_image(1)(found, truth, (weights[0], weights[1], 0.0))
    return normals + _image_by_image(2)(found, truth, (0.0, 0.0, weights[2]))


def _labels_where_depth_is(
    found: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    labels = truth[2].masked_fill(~(truth[0] > 0), 255)
    return joint_loss(found, (truth[0], truth[1], labels), weights)


def _rows_of_normals(found: Tensor, truth: Tensor) -> Tensor:
    rows = truth.reshape(-1, 3)
    return (1 - (found.reshape(-1, 3) * rows).sum(1))[(rows != 0).any(1)].mean()


def _rows_of_logits(found: Tensor, truth: Tensor) -> Tensor:
    return F.cross_entropy(found.reshape(-1, found.shape[1]), truth.flatten(), ignore_index=255)


def _weighed(change: Callable[[Sequence[float]], Sequence[float]]) -> Joint:
    return lambda found, truth, weights: joint_loss(found, truth, change(weights))


def _cosines(found: Tensor, truth: Tensor) -> Tensor:
    return (found * truth).sum(1)[true_there(truth)]


def _slopes(function: Callable[..., Any], number: int) -> list[Tensor | None] | None:
    """The gradients of the three maps in a case; None where the result has none."""
    found, truth, weights = _joint_cases(torch.Generator().manual_seed(1))[number].args
    leaves = [each.clone().requires_grad_() for each in found]
    result = function(tuple(leaves), truth, weights)
    if not isinstance(result, Tensor) or not result.requires_grad:
        return None
    result.sum().backward()
    return [leaf.grad for leaf in leaves]


def _across(slope: Tensor, number: int) -> Tensor:
    """The part of a gradient that turns the found normals of a case."""
    normals = _joint_cases(torch.Generator().manual_seed(1))[number].args[0][1]
    return slope - (slope * normals).sum(1, keepdim=True) * normals


PARTS = ("depth", "normals", "logits")


def _reaches_all_three(function: Callable[..., Any]) -> str | None:
    slopes = _slopes(function, 0)
    if slopes is None:
        return "The values are right, but no gradient flows back to what was found."
    for name, slope in zip(PARTS, slopes, strict=True):
        if slope is None:
            return f"The values are right, but no gradient flows back to the {name}."
    return None


def _right_slopes(function: Callable[..., Any]) -> str | None:
    """In the by-hand example, where a cosine is 1, and in the first random case, which has holes."""
    for number in (0, NOTED):
        slopes, wanted = _slopes(function, number), _slopes(joint_loss, number)
        assert slopes is not None and wanted is not None
        for name, slope, right in zip(PARTS, slopes, wanted, strict=True):
            if slope is None or right is None or not slope.isfinite().all():
                return f"The values are right, but the gradient of the {name} is not a number everywhere."
            if name == "normals":  # along the normal itself the loss may do as it likes: lengths are 1
                slope, right = _across(slope, number), _across(right, number)
            if not torch.allclose(slope, right, atol=1e-4):
                return f"The values are right, but the gradient of the {name} is not that of this loss."
    return None


def _joint_cases(generator: torch.Generator) -> list[Case]:
    depth, ahead = torch.full((1, 1, 2), 2.0), torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    found = depth, ahead.expand(1, 3, 1, 2).clone(), torch.zeros(1, 2, 1, 2)
    normals = torch.cat([ahead, torch.tensor([0.0, -0.6, -0.8]).reshape(1, 3, 1, 1)], 3)
    truth = torch.full((1, 1, 2), 1.0), normals, torch.tensor([[[0, 1]]])
    hole = truth[0], normals * torch.tensor([0.0, 1.0]), torch.tensor([[[0, 1]]])
    ignored = torch.tensor([[[1, 255]]])
    logits = torch.tensor([[[[2.0, 0.5]], [[0.0, 1.0]]]])
    cases = [
        Case((found, truth, (1.0, 10.0, 0.0)), "the by-hand example"),
        Case((found, truth, (0.0, 0.0, 1.0)), "labels alone: two equal logits cost ln 2"),
        Case((found, hole, (0.0, 1.0, 0.0)), "the first pixel has no true normal"),
        Case(((depth, found[1], logits), (*truth[:2], ignored), (0.0, 0.0, 2.0)), "a label is 255"),
        *_more_joint_cases(found, truth),
    ]
    assert len(cases) == NOTED
    for count, classes, height, width, weights in (
        (2, 5, 4, 5, (5.0, 3.0, 1.0)),
        (1, 4, 6, 3, (0.5, 2.0, 1.5)),
        (3, 2, 3, 7, (1.0, 1.0, 1.0)),
    ):
        shape = count, height, width
        guess = F.normalize(torch.randn(count, 3, height, width, generator=generator), dim=1)
        right = F.normalize(torch.randn(count, 3, height, width, generator=generator), dim=1)
        right = right * (torch.rand(count, 1, height, width, generator=generator) < 0.8)
        labels = torch.randint(classes, shape, generator=generator)
        labels[torch.rand(shape, generator=generator) < 0.2] = 255
        labels[:, 0, 0] = 0
        target = _with_holes(_depths(generator, *shape), generator)
        logits = torch.randn(count, classes, height, width, generator=generator)
        found = _depths(generator, *shape), guess, logits
        cases.append(Case((found, (target, right, labels), weights)))
    return cases


NOTED = 8  # cases that can be followed by hand


def _more_joint_cases(found: tuple[Tensor, ...], truth: tuple[Tensor, ...]) -> list[Case]:
    """Normals that lean far, or away; one pixel of two that has a normal alone; two images."""
    depth, ahead, logits = found
    side, slant = torch.tensor([[[[0.5**0.5, 1.0]], [[0.0, 0.0]], [[-(0.5**0.5), 0.0]]]]), (0.0, 1.0, 0.0)
    away = ahead * torch.tensor([-1.0, 1.0])
    alone = truth[0] * torch.tensor([1.0, 0.0]), truth[1], torch.tensor([[[0, 255]]])
    twice = torch.cat([depth, 3 * depth]), torch.cat([ahead, away]), torch.cat([logits, logits + truth[0]])
    twice = twice[0], twice[1], twice[2] * torch.tensor([3.0, 1.0])[:, None, None]
    holes = truth[1] * torch.tensor([0.0, 1.0])
    labels = torch.tensor([[[1, 255]], [[0, 1]]])
    both = torch.cat([truth[0], truth[0]]), torch.cat([holes, truth[1]]), labels
    return [
        Case((found, (truth[0], side, truth[2]), slant), "true normals that lean far to the side"),
        Case(((depth, away, logits), truth, slant), "the first found normal points away: its loss is 2"),
        Case((found, alone, (1.0, 10.0, 1.0)), "the second pixel has a normal, but no depth and no label"),
        Case((twice, both, (1.0, 2.0, 4.0)), "two images; the first has one normal and one label only"),
    ]


JOINT = Exercise(
    "17.4",
    "One network, three losses",
    joint_loss,
    _joint_cases,
    any_float=True,
    properties=(
        Property(
            "gradient reaches all three",
            _reaches_all_three,
            "All three must stay connected to the loss: .item(), .detach() and torch.tensor(...) cut them.",
        ),
        Property(
            "gradients of this loss",
            _right_slopes,
            "What torch.where hides still has a gradient: 0 times infinity is NaN. And what .detach() or "
            ".item() touches has none. Which of your lines divides, takes a root, or leaves torch?",
        ),
    ),
    plan=(
        "Take the three losses one by one; the first is yours already, with weight 0.5.",
        "The cosine between two vectors of length 1 is their product, added up over x, y and z. Which axis "
        "of (N, 3, H, W) is that?",
        "A true normal of length 0 is none: keep its pixel out of the mean.",
        "The labels' loss is torch's, told which label to leave out.",
        "loss = weight · depth + … + …",
    ),
    mistakes=(
        Mistake(
            "weights ignored",
            _weighed(lambda weights: (1.0, 1.0, 1.0)),
            "Each of your losses is right, but they are added as they are. What are the weights for?",
        ),
        Mistake(
            "weights divided by their sum",
            _weighed(lambda weights: [weight / sum(weights) for weight in weights]),
            "You divide by the sum of the weights. The task has a plain sum.",
        ),
        Mistake(
            "multiplied",
            lambda found, truth, weights: torch.stack(
                [
                    joint_loss(found, truth, [w * (k == part) for k, w in enumerate(weights)])
                    for part in range(3)
                ]
            ).prod(),
            "You multiply the three. Then one that is 0 hides the others. Which word does the task use?",
        ),
        Mistake(
            "mean of the three",
            _weighed(lambda weights: [weight / 3 for weight in weights]),
            "You take the mean of the three. The task has their sum.",
        ),
        Mistake(
            "weights in another order",
            _weighed(lambda weights: (weights[1], weights[0], weights[2])),
            "Two weights are exchanged: depth, normals, labels.",
        ),
        Mistake(
            "weights of normals and labels exchanged",
            _weighed(lambda weights: (weights[0], weights[2], weights[1])),
            "The last two weights are exchanged. In which order do the three tensors come?",
        ),
        Mistake(
            "weights in reverse",
            _weighed(lambda weights: (weights[2], weights[1], weights[0])),
            "The first and the last weight are exchanged. In which order do the three tensors come?",
        ),
        Mistake(
            "depth left out",
            _weighed(lambda weights: (0.0, weights[1], weights[2])),
            "Your sum has no loss of depth in it. Does it reach the last line?",
        ),
        Mistake(
            "normals left out",
            _weighed(lambda weights: (weights[0], 0.0, weights[2])),
            "Your sum has no loss of normals in it. Does it reach the last line?",
        ),
        Mistake(
            "labels left out",
            _weighed(lambda weights: (weights[0], weights[1], 0.0)),
            "Your sum has no loss of labels in it. Does it reach the last line?",
        ),
        Mistake(
            "depth without its weight",
            _weighed(lambda weights: (1.0, weights[1], weights[2])),
            "Two of the losses have their weights. Which one is added as it is?",
        ),
        Mistake(
            "labels without their weight",
            _weighed(lambda weights: (weights[0], weights[1], 1.0)),
            "The losses of depth and normals have their weights. What about the third?",
        ),
        Mistake(
            "weights of the lab's training",
            _weighed(lambda weights: (5.0, 3.0, 1.0)),
            "You weigh with 5, 3 and 1, the numbers of the training further down. The function is told its "
            "weights.",
        ),
        Mistake(
            "missing normals count",
            _joined(1, lambda found, truth: (1 - (found * truth).sum(1)).mean()),
            "Where the true normal is missing, your loss is 1, whatever was found. Such a pixel must not "
            "count.",
        ),
        Mistake(
            "missing normals count as right",
            _joined(
                1,
                lambda found, truth: ((1 - (found * truth).sum(1)) * true_there(truth)).mean(),
            ),
            "Missing normals cost nothing in yours, but they count in the mean's divisor.",
        ),
        Mistake(
            "normals asked by their z",
            _aimed(keep=lambda truth: truth[:, 2] != 0),
            "You take a normal with z = 0 for none. Which three numbers mark a pixel without a normal?",
        ),
        Mistake(
            "normals asked by their sum",
            _aimed(keep=lambda truth: truth.sum(1) != 0),
            "You take a normal for none where its three numbers add up to 0. Can they do so when its length "
            "is 1?",
        ),
        Mistake(
            "all three numbers asked",
            _aimed(keep=lambda truth: (truth != 0).all(1)),
            "You keep only normals with three numbers other than 0. The wall's (0, 0, -1) is left out then. "
            "Is it all or any?",
        ),
        Mistake(
            "length of exactly 1",
            _aimed(keep=lambda truth: truth.norm(dim=1) == 1),
            "You ask whether a length is exactly 1. Print some lengths: what does rounding do to them?",
        ),
        Mistake(
            "normals where depth is",
            _where(lambda depth, labels: depth > 0),
            "You ask the depth where there is a normal. Can a pixel have a normal and no depth, or a depth "
            "and no normal?",
        ),
        Mistake(
            "normals where labels are",
            _where(lambda depth, labels: labels != 255),
            "You ask the labels where there is a normal. Can a pixel have a normal and no label, or a label "
            "and no normal?",
        ),
        Mistake(
            "only where all three are",
            _where_all,
            "You keep only pixels that have all three. Each task has holes of its own: can a pixel serve one "
            "task and not another?",
        ),
        Mistake(
            "mean of the images' means, both",
            _both_image_by_image,
            "In your losses of normals and labels each image weighs as much as another, however few pixels "
            "of it count. Over what are the task's means?",
        ),
        Mistake(
            "mean of the images' means, normals",
            _image_by_image(1),
            "In your loss of the normals each image weighs as much as another, however few normals it has. "
            "Over what is the task's mean?",
        ),
        Mistake(
            "mean of the images' means, labels",
            _image_by_image(2),
            "In your loss of the labels each image weighs as much as another, however few labels it has. "
            "Over what is the task's mean?",
        ),
        Mistake(
            "sum over the normals",
            _joined(1, lambda found, truth: (1 - _cosines(found, truth)).sum()),
            "Your loss of the normals is a sum over the pixels. Which two examples differ in how many "
            "normals they have?",
        ),
        Mistake(
            "size of the cosine",
            _aimed(lambda cosine: 1 - cosine.abs()),
            "You take the cosine without its sign. What does a normal cost that points into the wall?",
        ),
        Mistake(
            "cosine cut at 0",
            _aimed(lambda cosine: 1 - cosine.clamp(min=0)),
            "You cut the cosine off at 0. What should a normal cost that points into the wall?",
        ),
        Mistake(
            "squared once more",
            _aimed(lambda cosine: (1 - cosine).square()),
            "You square 1 less the cosine. It is above 0 already; what does the task ask of it?",
        ),
        Mistake(
            "squared sine",
            _aimed(lambda cosine: 1 - cosine.square()),
            "You take 1 less the squared cosine. What does a normal cost then that points the other way?",
        ),
        Mistake(
            "half of it",
            _aimed(lambda cosine: (1 - cosine) / 2),
            "Your loss of the normals is half of what is asked: from 0 to 1. How large is 1 less the cosine "
            "where a normal points the other way?",
        ),
        Mistake(
            "1 plus the cosine",
            _aimed(lambda cosine: 1 + cosine),
            "What does a perfect normal cost in yours? Which sign has the cosine in the task?",
        ),
        Mistake(
            "the cosine itself",
            _joined(1, lambda found, truth: _cosines(found, truth).mean()),
            "The cosine is largest where a normal is right; a loss must be smallest there.",
        ),
        Mistake(
            "minus the cosine",
            _joined(1, lambda found, truth: -_cosines(found, truth).mean()),
            "It would train as well, but the loss of a perfect map should be 0: 1 less the cosine.",
        ),
        Mistake(
            "squared distance",
            _joined(1, lambda found, truth: 2 - 2 * _cosines(found, truth).mean()),
            "Your loss of the normals is twice as large as it should be: for vectors of length 1 the squared "
            "distance is 2 less 2 cosines.",
        ),
        Mistake(
            "mean over x, y and z",
            _joined(1, lambda found, truth: (1 - _cosines(found, truth) / 3).mean()),
            "You average the products over x, y and z. A scalar product adds them up.",
        ),
        Mistake(
            "angle",
            _joined(1, lambda found, truth: _cosines(found, truth).clamp(-1, 1).arccos().mean()),
            "That is the angle itself. The task asks for 1 less its cosine, whose gradient has no pole.",
        ),
        Mistake(
            "normals in other rows",
            _joined(1, _rows_of_normals),
            "You reshape the normals to rows of 3 numbers. Do x, y and z of a pixel lie beside each other in "
            "(N, 3, H, W)?",
        ),
        Mistake(
            "cosine along the columns",
            _joined(1, lambda found, truth: (1 - F.cosine_similarity(found, truth, dim=-1)).mean()),
            "Your cosine is one of two rows of pixels. Along which axis of (N, 3, H, W) do the three numbers "
            "of a normal lie? And which pixels have none?",
        ),
        Mistake(
            "logits in other rows",
            _joined(2, _rows_of_logits),
            "You reshape the logits to rows of C numbers. Do the C numbers of a pixel lie beside each other "
            "in (N, C, H, W)? And which shapes does cross_entropy take?",
        ),
        Mistake(
            "no softmax",
            _joined(2, lambda found, truth: F.nll_loss(found, truth, ignore_index=255)),
            "nll_loss expects logarithms of probabilities, and you give it logits. What is missing between?",
        ),
        Mistake(
            "softmax without the logarithm",
            _joined(2, lambda found, truth: F.nll_loss(found.softmax(1), truth, ignore_index=255)),
            "nll_loss expects logarithms of probabilities, and you give it the probabilities themselves.",
        ),
        Mistake(
            "255 is a class",
            _joined(
                2,
                lambda found, truth: F.cross_entropy(found, truth.clamp(max=found.shape[1] - 1)),
            ),
            "Pixels with the label 255 count in your loss of the labels. They say nothing.",
        ),
        Mistake(
            "255 made class 0",
            _joined(2, lambda found, truth: F.cross_entropy(found, truth.masked_fill(truth == 255, 0))),
            "You make class 0 of the label 255, so that these pixels count. They say nothing.",
        ),
        Mistake(
            "label 0 left out",
            _joined(
                2,
                lambda found, truth: F.cross_entropy(
                    found, truth.masked_fill(truth == 0, 255), ignore_index=255
                ),
            ),
            "You leave out the pixels with the label 0. That is a class like the others; which label says "
            "nothing?",
        ),
        Mistake(
            "labels where depth is",
            _labels_where_depth_is,
            "You take the labels only where depth is known. Can a pixel have a label and no depth?",
        ),
        Mistake(
            "ignored labels in the divisor",
            _joined(
                2,
                lambda found, truth: F.cross_entropy(found, truth, ignore_index=255, reduction="none").mean(),
            ),
            "Ignored labels cost nothing in yours, but they count in the mean's divisor.",
        ),
        Mistake(
            "softmax first",
            _joined(2, lambda found, truth: F.cross_entropy(found.softmax(1), truth, ignore_index=255)),
            "cross_entropy takes logits and does the softmax itself; in yours it is done twice.",
        ),
        Mistake(
            "sum over the pixels",
            _joined(
                2,
                lambda found, truth: F.cross_entropy(found, truth, ignore_index=255, reduction="sum"),
            ),
            "Your loss of the labels is a sum; the other two are means over pixels.",
        ),
        Mistake(
            "one mean for the batch",
            _joined(0, lambda found, truth: _one_mean_for_all(found, truth, 0.5)),
            "Your loss of depth takes its means over all images at once. Whose means does 17.2 take?",
        ),
        Mistake(
            "missing depth clamped",
            _joined(0, lambda found, truth: _holes_clamped(found, truth, 0.5)),
            "A missing depth becomes a very small one in yours, and so a huge error. Which pixels does the "
            "loss of 17.2 leave out?",
        ),
        Mistake(
            "depth in metres",
            _joined(0, lambda found, truth: (found - truth)[truth > 0].abs().mean()),
            "Your loss of depth is the mean error in metres. Which loss does the task name?",
        ),
        Mistake(
            "missing depth comes in",
            _joined(0, lambda found, truth: _keeping(lambda depth: depth == depth)(found, truth, 0.5)),
            "A depth of 0 comes into your loss of depth. Which of its two maps has holes, and which is the "
            "second argument?",
        ),
        Mistake(
            "nothing forgiven",
            _joined(0, lambda found, truth: scale_invariant_loss(found, truth, 0.0)),
            "Your loss of depth forgives no scale. It should forgive half: weight 0.5.",
        ),
        Mistake(
            "all forgiven",
            _joined(0, lambda found, truth: scale_invariant_loss(found, truth, 1.0)),
            "Your loss of depth forgives the whole scale, so that nothing would teach it metres. Weight 0.5.",
        ),
    ),
)

EXERCISES = (SCORES, INVARIANCE, NORMALS, JOINT)
