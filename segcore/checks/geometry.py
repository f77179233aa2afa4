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


def _with_holes(depth: Tensor, generator: torch.Generator, share: float = 0.25) -> Tensor:
    """Some depths missing, but never the first of an image."""
    holes = torch.rand(depth.shape, generator=generator) < share
    holes[..., 0, 0] = False
    return depth.masked_fill(holes, 0)


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


def _nothing_missing(prediction: Tensor, target: Tensor) -> Tensor:
    return depth_scores(prediction, target.nan_to_num().clamp(min=1e-6))


def _over_all_pixels(prediction: Tensor, target: Tensor) -> Tensor:
    return depth_scores(prediction, target) * (target > 0).sum() / target.numel()


def _missing_in_prediction(prediction: Tensor, target: Tensor) -> Tensor:
    there = prediction > 0
    return depth_scores(prediction[there], target[there].nan_to_num().clamp(min=1e-3))


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
    ]
    for height, width in ((5, 7), (9, 4), (12, 12), (1, 30)):
        target = _with_holes(_depths(generator, height, width), generator)
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
            "missing asked of the prediction",
            _missing_in_prediction,
            "Which of the two maps has holes? It is the truth that was not measured everywhere.",
        ),
        Mistake(
            "relative to the prediction",
            _scored(0, lambda y_hat, y: ((y_hat - y).abs() / y_hat).mean()),
            "AbsRel: you divide by what was predicted. A guess could make its own error small that way.",
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
            "logarithm to base 10",
            _scored(1, lambda y_hat, y: (y_hat / y).log10().std(unbiased=False)),
            "SILog: your logarithm has base 10; ln is asked, torch.log.",
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
    ]
    for count, height, width, weight in ((1, 4, 5, 0.5), (3, 6, 3, 0.7), (4, 5, 8, 0.25), (2, 9, 9, 1.0)):
        target = _with_holes(_depths(generator, count, height, width), generator)
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


def _not_scaled(depth: Tensor, focal_length: float) -> Tensor:
    points = _put_out(torch.ones_like(depth), focal_length)
    return _crossed(torch.cat([points[:2], depth[None]]))


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
        Case((hand.T.contiguous(), 1.0), "the by-hand example, lying"),
        Case((_plane(4, 6, 8.0, (0.0, -2.0, -1.0)), 8.0), "a floor"),
        Case((_plane(5, 4, 6.0, (1.0, 0.5, -2.0)), 6.0), "a plane that leans to two sides"),
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
            "length not 1",
            lambda depth, focal_length: torch.linalg.cross(
                *reversed(_central(_put_out(depth, focal_length))), dim=0
            ),
            "The directions are right, the lengths are not: a normal has length 1.",
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
            "channels last",
            lambda depth, focal_length: normals_from_depth(depth, focal_length).permute(1, 2, 0),
            "The numbers are right, their order is not: maps have their channels first, (3, H - 2, W - 2).",
        ),
        Mistake(
            "to the absolute",
            lambda depth, focal_length: normals_from_depth(depth, focal_length).abs(),
            "You drop the signs. They say to which side a surface leans.",
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


def _weighed(change: Callable[[Sequence[float]], Sequence[float]]) -> Joint:
    return lambda found, truth, weights: joint_loss(found, truth, change(weights))


def _cosines(found: Tensor, truth: Tensor) -> Tensor:
    return (found * truth).sum(1)[true_there(truth)]


def _reaches_all_three(function: Callable[..., Any]) -> str | None:
    (found, truth, weights), *_ = (case.args for case in _joint_cases(torch.Generator().manual_seed(1)))
    leaves = [each.clone().requires_grad_() for each in found]
    result = function(tuple(leaves), truth, weights)
    if not isinstance(result, Tensor) or not result.requires_grad:
        return "The values are right, but no gradient flows back to what was found."
    result.backward()
    for name, leaf in zip(("depth", "normals", "logits"), leaves, strict=True):
        if leaf.grad is None:
            return f"The values are right, but no gradient flows back to the {name}."
    return None


def _joint_cases(generator: torch.Generator) -> list[Case]:
    depth, ahead = torch.full((1, 1, 2), 2.0), torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    found = depth, ahead.expand(1, 3, 1, 2).clone(), torch.zeros(1, 2, 1, 2)
    normals = torch.cat([ahead, torch.tensor([0.0, -0.6, -0.8]).reshape(1, 3, 1, 1)], 3)
    truth = torch.full((1, 1, 2), 1.0), normals, torch.tensor([[[0, 1]]])
    hole = truth[0], normals * torch.tensor([0.0, 1.0]), torch.tensor([[[0, 1]]])
    ignored = torch.tensor([[[1, 255]]])
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])
    cases = [
        Case((found, truth, (1.0, 10.0, 0.0)), "the by-hand example"),
        Case((found, truth, (0.0, 0.0, 1.0)), "labels alone: two equal logits cost ln 2"),
        Case((found, hole, (0.0, 1.0, 0.0)), "the first pixel has no true normal"),
        Case(((depth, found[1], logits), (*truth[:2], ignored), (0.0, 0.0, 2.0)), "a label is 255"),
    ]
    for count, classes, height, width, weights in (
        (2, 3, 4, 5, (5.0, 3.0, 1.0)),
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
            "255 is a class",
            _joined(
                2,
                lambda found, truth: F.cross_entropy(found, truth.clamp(max=found.shape[1] - 1)),
            ),
            "Pixels with the label 255 count in your loss of the labels. They say nothing.",
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
