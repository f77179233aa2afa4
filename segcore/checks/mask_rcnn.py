"""Chapter 14's exercises: crop a mask's target, its loss, pasting, and what counts as one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, reaches_gradient
from segcore.roi_align import roi_align, roi_pool

__all__ = ["EXERCISES"]


def _disc(size: tuple[int, int], y: float, x: float, radius: float) -> Tensor:
    """The pixels whose centres lie in a circle, bool (H, W)."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= radius**2


# 14.1 ----------------------------------------------------------------------------------------------


def mask_target(mask: Tensor, box: Tensor, size: int) -> Tensor:
    """RoIAlign of the mask ``(H, W)`` with two samples a side: ``(size, size)``."""
    return _target(mask, box, size)


def _target(mask: Tensor, box: Tensor, size: int, samples: int = 2, aligned: bool = True) -> Tensor:
    return roi_align(mask[None, None].float(), [box[None]], size, 1.0, samples, aligned)[0, 0]


def _tight(mask: Tensor) -> Tensor:
    y, x = mask.nonzero(as_tuple=True)
    return torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


def _cut_and_resized(
    mode: str, corners: bool = False, whole: Callable[[Tensor], Tensor] = torch.round
) -> Callable[..., Tensor]:
    def wrong(mask: Tensor, box: Tensor, size: int) -> Tensor:
        x1, y1, x2, y2 = whole(box).int().tolist()
        cut = mask[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].float()
        options = {"align_corners": corners} if mode == "bilinear" else {}
        return F.interpolate(cut[None, None], size=(size, size), mode=mode, **options)[0, 0]

    return wrong


def _cut_outwards(mask: Tensor, box: Tensor, size: int) -> Tensor:
    x1, y1 = box[:2].floor().int().tolist()
    x2, y2 = box[2:].ceil().int().tolist()
    return F.adaptive_avg_pool2d(mask[y1:y2, x1:x2][None].float(), size)[0]


def _target_cases(generator: torch.Generator) -> list[Case]:
    left = torch.zeros(4, 4, dtype=torch.bool)
    left[:, :2] = True
    corner = torch.zeros(5, 6, dtype=torch.bool)
    corner[:2, 3:] = True
    cases = [
        Case((left, torch.tensor([1.0, 0.0, 3.0, 4.0]), 2), "the by-hand example"),
        Case((left, torch.tensor([0.0, 0.0, 4.0, 4.0]), 2), "the whole image: its left half is object"),
        Case((corner, torch.tensor([1.3, 0.4, 5.7, 4.1]), 3), "a box between the pixels"),
        Case((corner, torch.tensor([2.0, 1.0, 5.5, 2.5]), 3), "a box that is wider than high"),
        Case((left, torch.tensor([2.6, 1.0, 3.8, 3.0]), 2), "a box that misses the object"),
    ]
    for height, width, size in ((20, 30, 7), (24, 16, 5), (30, 30, 14), (18, 26, 4)):
        places = torch.rand(3, generator=generator)
        mask = _disc((height, width), height * (0.3 + 0.4 * float(places[0])), width * 0.5, 5.0)
        corner_of = torch.rand(2, generator=generator) * torch.tensor([width, height]) * 0.3
        sides = (0.4 + 0.25 * torch.rand(2, generator=generator)) * torch.tensor([width, height])
        cases.append(Case((mask, torch.cat([corner_of, corner_of + sides]), size)))
    return cases


MASK_TARGET = Exercise(
    "14.1",
    "What the mask head should say",
    mask_target,
    _target_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("row", "column"),
    plan=(
        "The mask is a feature map: one image, one channel, a cell for each pixel. Which shape does "
        "`roi_align` want, and which dtype?",
        "Scale 1, for a cell is a pixel. Two samples a side; check the by-hand example.",
        "One box goes in, so one map comes out: take the two extra axes away again.",
    ),
    mistakes=(
        Mistake(
            "already decided",
            lambda mask, box, size: (_target(mask, box, size) >= 0.5).float(),
            "Your target is 0 or 1 everywhere. A cell that the outline crosses has a share between: keep it.",
        ),
        Mistake(
            "half a pixel off",
            lambda mask, box, size: _target(mask, box, size, aligned=False),
            "You read the mask half a pixel aside. In which form of chapter 13's RoIAlign do pixel centres "
            "lie at .5?",
        ),
        Mistake(
            "one sample",
            lambda mask, box, size: _target(mask, box, size, samples=1),
            "You read each cell at its middle only. The task says two samples a side, four in a cell.",
        ),
        Mistake(
            "as many samples as pixels",
            lambda mask, box, size: _target(mask, box, size, samples=0),
            "You let the box decide how many samples a cell has; that is torchvision's default. Here it is "
            "two a side.",
        ),
        Mistake(
            "the truth's own box",
            lambda mask, box, size: _target(mask, _tight(mask), size),
            "You crop along the box around the mask. The head sees what the proposal shows, so crop along "
            "the box that is given.",
        ),
        Mistake(
            "the whole image",
            lambda mask, box, size: _target(
                mask, torch.tensor([0.0, 0.0, mask.shape[1], mask.shape[0]]), size
            ),
            "You resize the mask of the whole image. The target shows what lies in the box, no more.",
        ),
        Mistake(
            "x and y swapped",
            lambda mask, box, size: _target(mask, box[[1, 0, 3, 2]], size),
            "Your box lies on its side. A box is x1, y1, x2, y2; x counts columns.",
        ),
        Mistake(
            "the mask on its side",
            lambda mask, box, size: _target(mask.T, box, size),
            "Rows and columns of the mask are exchanged before the box is read.",
        ),
        Mistake(
            "the target on its side",
            lambda mask, box, size: _target(mask, box, size).T,
            "Your target is right, but on its side: rows of the target go down the image.",
        ),
        Mistake(
            "corner, width and height",
            lambda mask, box, size: _target(mask, torch.cat([box[:2], box[:2] + box[2:]]), size),
            "You take the last two numbers of the box for its width and height. They are its far corner.",
        ),
        Mistake(
            "whole pixels, resized",
            _cut_and_resized("bilinear"),
            "You cut at whole pixels and resize. That rounds the box, as RoIPool does; read the mask where "
            "the box is.",
        ),
        Mistake(
            "whole pixels, nearest",
            _cut_and_resized("nearest"),
            "You cut at whole pixels and copy the nearest one. The box lies between pixels: read it by "
            "bilinear samples.",
        ),
        Mistake(
            "whole pixels, resized with aligned corners",
            _cut_and_resized("bilinear", corners=True),
            "You cut at whole pixels and resize, the outermost centres on top of each other. Read the mask "
            "where the box is, without cutting anything out.",
        ),
        Mistake(
            "whole pixels cut down, resized",
            _cut_and_resized("bilinear", whole=torch.trunc),
            "You drop what comes after the point, cut at whole pixels and resize. Read the mask where the "
            "box is.",
        ),
        Mistake(
            "whole pixels cut down, nearest",
            _cut_and_resized("nearest", whole=torch.trunc),
            "You drop what comes after the point, cut at whole pixels and copy the nearest one. Read the "
            "mask where the box is, by bilinear samples.",
        ),
        Mistake(
            "whole pixels, averaged",
            _cut_and_resized("area"),
            "You cut at whole pixels and average the pixels of each cell. A cell is the mean of four "
            "samples, read between the pixels.",
        ),
        Mistake(
            "box cut to whole numbers",
            lambda mask, box, size: _target(mask, box.trunc(), size),
            "You drop what comes after the point in the box's numbers. A box may begin between two pixels.",
        ),
        Mistake(
            "box rounded",
            lambda mask, box, size: _target(mask, box.round(), size),
            "You round the box to whole pixels first, as RoIPool does. RoIAlign was made to do without.",
        ),
        Mistake(
            "box widened to whole pixels",
            lambda mask, box, size: _target(mask, torch.cat([box[:2].floor(), box[2:].ceil()]), size),
            "You widen the box to the whole pixels that it touches. Read along the box as it is.",
        ),
        Mistake(
            "half a pixel taken off twice",
            lambda mask, box, size: _target(mask, box - 0.5, size),
            "You move the box by half a pixel. RoIAlign does that already: its pixel centres lie at .5.",
        ),
        Mistake(
            "width and height for the far corner",
            lambda mask, box, size: _target(mask, torch.cat([box[:2], box[2:] - box[:2]]), size),
            "You give the width and the height where the far corner is asked for. `roi_align` takes two "
            "corners, as the box has them.",
        ),
        Mistake(
            "28 written in",
            lambda mask, box, size: _target(mask, box, 28),
            "Your grid has 28 cells a side, whatever is asked. How many it has, size says.",
        ),
        Mistake(
            "14 written in",
            lambda mask, box, size: _target(mask, box, 14),
            "Your grid has 14 cells a side, whatever is asked. How many it has, size says.",
        ),
        Mistake(
            "largest of the samples",
            lambda mask, box, size: F.max_pool2d(_target(mask, box, 2 * size, samples=1)[None], 2)[0],
            "You take the largest of a cell's four samples. Asked is their mean.",
        ),
        Mistake(
            "cut outwards, averaged",
            _cut_outwards,
            "You cut at the whole pixels around the box, then average. The box lies between pixels: cells "
            "are read where it is.",
        ),
        Mistake(
            "whatever is touched",
            lambda mask, box, size: (_target(mask, box, size) > 0).float(),
            "A cell is 1 for you as soon as it touches the object. It holds the mean of its samples.",
        ),
        Mistake(
            "largest value",
            lambda mask, box, size: roi_pool(mask[None, None].float(), [box[None]], size)[0, 0],
            "You take the largest value of each cell, as RoIPool does. A cell is the mean of its samples.",
        ),
        Mistake(
            "background marked",
            lambda mask, box, size: 1 - _target(mask, box, size),
            "You mark what is not the object. The target is 1 where the mask is True.",
        ),
        Mistake(
            "a stride too many",
            lambda mask, box, size: roi_align(mask[None, None].float(), [box[None]], size, 0.25)[0, 0],
            "You divide the box by a stride. The mask has a cell for every pixel, so its scale is 1.",
        ),
        Mistake(
            "sum of the samples",
            lambda mask, box, size: 4 * _target(mask, box, size),
            "Your cells hold the sum of four samples. A share lies between 0 and 1: take their mean.",
        ),
        Mistake(
            "counted to 255",
            lambda mask, box, size: 255 * _target(mask, box, size),
            "Your shares go up to 255. The loss compares them with probabilities: from 0 to 1.",
        ),
    ),
)


# 14.2 ----------------------------------------------------------------------------------------------


def mask_loss(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of the channel of each object's class."""
    own = logits[torch.arange(len(labels)), labels]
    return F.binary_cross_entropy_with_logits(own, targets)


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[torch.arange(len(labels)), labels]


def _bce(probability: Tensor, targets: Tensor) -> Tensor:
    return -(targets * probability.log() + (1 - targets) * (1 - probability).log()).mean()


def _of_own(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A mistake made with the right channel."""
    return lambda logits, targets, labels: function(_own(logits, labels), targets)


def _of_channel(choose: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The right loss of a wrong channel."""

    def wrong(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(choose(logits, labels), targets)

    return wrong


def _all_classes(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    wanted = torch.zeros_like(logits)
    wanted[torch.arange(len(labels)), labels] = targets
    return F.binary_cross_entropy_with_logits(logits, wanted)


def _softmax(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    p = _own(logits.softmax(1), labels)
    return _bce(p.clamp(1e-6, 1 - 1e-6), targets)


def _clamped(eps: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda own, t: _bce(own.sigmoid().clamp(eps, 1 - eps), t)


def _eps_in_log(eps: float) -> Callable[[Tensor, Tensor], Tensor]:
    def wrong(own: Tensor, t: Tensor) -> Tensor:
        p = own.sigmoid()
        return -(t * (p + eps).log() + (1 - t) * (1 - p + eps).log()).mean()

    return wrong


def _dice(own: Tensor, targets: Tensor) -> Tensor:
    p = own.sigmoid()
    return 1 - 2 * (p * targets).sum() / (p.sum() + targets.sum())


def _loss_cases(generator: torch.Generator) -> list[Case]:
    by_hand = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)
    two = torch.tensor([[[0.0, 1.0], [2.0, -1.0]], [[-2.0, 0.5], [1.0, 3.0]], [[1.5, 0.0], [-0.5, 2.5]]])
    share = torch.tensor([[[1.0, 0.25], [0.0, 0.5]]])
    sure = torch.tensor([[100.0, -100.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    cases = [
        Case((by_hand, torch.ones(1, 1, 1), torch.tensor([1])), "the by-hand example"),
        Case((by_hand, torch.zeros(1, 1, 1), torch.tensor([0])), "the other class, and nothing to find"),
        Case((two[None], share, torch.tensor([2])), "targets that are shares"),
        Case((sure, torch.tensor([[[0.0, 0.0]]]), torch.tensor([0])), "a logit of 100 that is wrong"),
        Case((0.4 * sure, torch.tensor([[[0.0, 1.0]]]), torch.tensor([0])), "logits of ±40 that are wrong"),
        Case(
            (
                torch.cat([two[None], two[None].flip(1)]),
                torch.cat([share, 1 - share]),
                torch.tensor([0, 1]),
            ),
            "two objects of two classes",
        ),
    ]
    for count, classes, size in ((3, 4, 3), (6, 3, 7), (4, 5, 5), (2, 4, 6)):
        logits = torch.randn(count, classes, size, size, generator=generator) * 2
        targets = torch.rand(count, size, size, generator=generator)
        labels = torch.randint(1, classes, (count,), generator=generator)
        labels[0] = 1
        cases.append(Case((logits, targets, labels)))
    return cases


MASK_LOSS = Exercise(
    "14.2",
    "One mask for each class",
    mask_loss,
    _loss_cases,
    tolerance=1e-4,
    any_float=True,
    properties=(
        reaches_gradient(
            0, lambda: (torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2), torch.tensor([1])), "logits"
        ),
    ),
    plan=(
        "First pick, for each object, the channel of its class: from (N, C, M, M) to (N, M, M). Row n goes "
        "with label n.",
        "Each number is then a question by itself, yes or no. Squash it to a probability; compare it with "
        "the target.",
        "One call of torch does both from the logits and stays finite where a sigmoid would round to 1.",
        "The mean runs over all cells of all objects.",
    ),
    mistakes=(
        Mistake(
            "object cells forgotten",
            lambda logits, targets, labels: ((1 - targets) * F.softplus(_own(logits, labels))).mean(),
            "Only cells of the ground cost in yours. What does it cost to call a cell of the object ground?",
        ),
        Mistake(
            "all classes asked",
            _all_classes,
            "You also punish the other classes for what they say here. Only the mask of the object's own "
            "class has a say.",
        ),
        Mistake(
            "every class gets the target",
            lambda logits, targets, labels: F.binary_cross_entropy_with_logits(
                logits, targets[:, None].expand_as(logits)
            ),
            "You hold the target against every class. What does an object that is a cup say about the masks "
            "of dogs?",
        ),
        Mistake(
            "softmax over the classes",
            _softmax,
            "Your classes share one sum of 1, so they compete for each pixel. Here each class answers for "
            "itself, by a sigmoid.",
        ),
        Mistake(
            "softmax over the cells",
            lambda logits, targets, labels: _bce(
                _own(logits, labels).flatten(1).softmax(1).view_as(targets).clamp(1e-6, 1 - 1e-6), targets
            ),
            "Your cells share one sum of 1, as if a single one were the object. Each cell is a question by "
            "itself.",
        ),
        Mistake(
            "sum for mean",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, t, reduction="sum")),
            "You add all cells up. A mean does not grow with the number of objects or with the size of the "
            "mask.",
        ),
        Mistake(
            "no mean taken",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, t, reduction="none")),
            "You return the loss of each cell. The task asks for one number: their mean.",
        ),
        Mistake(
            "a mean for each object",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, t, reduction="none").mean((1, 2))),
            "You return a number for each object. The task asks for one: the mean over all.",
        ),
        Mistake(
            "channel 0 for all",
            _of_channel(lambda logits, labels: logits[:, 0]),
            "You read channel 0 for every object. Its label says which channel counts.",
        ),
        Mistake(
            "the classes added up",
            _of_channel(lambda logits, labels: logits.sum(1)),
            "You add the logits of all classes. Only the label's channel is asked.",
        ),
        Mistake(
            "negative logits cut off",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own.relu(), t)),
            "Logits below 0 count as 0 for you. They are the head's way of saying no.",
        ),
        Mistake(
            "distance to the target",
            _of_own(lambda own, t: (own.sigmoid() - t).abs().mean()),
            "You take distances. The task asks for cross-entropy: the log of what you give to the truth.",
        ),
        Mistake(
            "cross-entropy over the classes",
            lambda logits, targets, labels: F.cross_entropy(
                logits, (targets >= 0.5).long() * labels[:, None, None]
            ),
            "You ask at each cell which class it is. The question here is only: object or not?",
        ),
        Mistake(
            "mean over objects only",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, t, reduction="sum") / len(own)),
            "You divide by the number of objects only. The mean runs over all their cells, too.",
        ),
        Mistake(
            "squashed twice",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own.sigmoid(), t)),
            "You take the sigmoid, and the function that you call takes it once more. Once is enough.",
        ),
        Mistake(
            "log of nothing",
            _of_own(lambda own, t: _bce(own.sigmoid(), t)),
            "Small logits are right. At 100 the sigmoid rounds to 1, and the log of 0 is no number: work "
            "from the logits.",
        ),
        Mistake(
            "cut off near 0 and 1",
            _of_own(_clamped(1e-6)),
            "Small logits are right. At 100 you hold the probability off 0 and 1, by a limit or by what you "
            "add, and the loss is too small by far: work from the logits.",
        ),
        Mistake(
            "cut off near 0 alone",
            _of_own(lambda own, t: F.binary_cross_entropy(own.sigmoid().clamp(1e-8, 1 - 1e-8), t)),
            "Small logits are right. Your limit near 0 makes the loss of a large logit too small; that near "
            "1 is rounded to 1, and torch puts 100 for the log of 0: work from the logits.",
        ),
        Mistake(
            "a little added in the log",
            _of_own(_eps_in_log(1e-8)),
            "Small logits are right. At 100 the log of a small number of your own is all that is left, a "
            "loss too small by far: work from the logits.",
        ),
        Mistake(
            "the log cut off at -100",
            _of_own(lambda own, t: F.binary_cross_entropy(own.sigmoid(), t)),
            "Where the sigmoid rounds to 1, torch puts 100 for the log of 0. At a logit of 100 that is right "
            "by luck, at 40 it is not: work from the logits.",
        ),
        Mistake(
            "the power of a large logit",
            _of_own(lambda own, t: (torch.log(1 + torch.exp(own)) - t * own).mean()),
            "Small logits are right. e to the power of 100 is more than float32 can hold, and the log comes "
            "too late. Which function of torch does both at once?",
        ),
        Mistake(
            "logits cut off",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own.clamp(-20, 20), t)),
            "You limit the logits, so the loss of a large wrong one is too small, and no gradient corrects "
            "it. They need no limit if you work from the logits.",
        ),
        Mistake(
            "mean over cells of the object",
            _of_own(
                lambda own, t: (
                    F.binary_cross_entropy_with_logits(own[t > 0], t[t > 0])
                    if (t > 0).any()
                    else own.sum() * 0
                )
            ),
            "Your mean runs over those cells alone whose target is above 0. A cell outside of the object is "
            "asked as well, and should say no.",
        ),
        Mistake(
            "the surest class",
            _of_channel(lambda logits, labels: _own(logits, logits.mean((2, 3)).argmax(1))),
            "You ask the class whose logits are largest. In training the true class is known: `labels` says "
            "which it is.",
        ),
        Mistake(
            "mean over rows only",
            _of_own(
                lambda own, t: (
                    F.binary_cross_entropy_with_logits(own, t, reduction="sum") / own.shape[:2].numel()
                )
            ),
            "You divide by N times M. A mask has M rows and M columns: M² cells.",
        ),
        Mistake(
            "28 written in",
            _of_own(
                lambda own, t: (
                    F.binary_cross_entropy_with_logits(own, t, reduction="sum") / (28 * 28 * len(own))
                )
            ),
            "You divide by 28 × 28 cells for each object. How many a mask has, the shapes say.",
        ),
        Mistake(
            "softmax, and only where the object is",
            lambda logits, targets, labels: -(targets * _own(logits.log_softmax(1), labels)).mean(),
            "Two things: your classes share one sum of 1, and cells outside the object cost nothing. Here "
            "each cell of one channel is a question by itself, yes or no.",
        ),
        Mistake(
            "cross-entropy with the label everywhere",
            lambda logits, targets, labels: F.cross_entropy(
                logits, labels[:, None, None].expand(-1, *logits.shape[2:])
            ),
            "You ask at each cell which class it is, and never look at the target. The question here is "
            "only: object or not?",
        ),
        Mistake(
            "the object's cells alone in the mean",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own[t > 0], t[t > 0])),
            "Your mean runs over the cells where the target is above 0, and has nothing to run over where "
            "none is. Cells outside the object count as well.",
        ),
        Mistake(
            "any share counts as all",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, (t > 0).float())),
            "Every share above 0 counts as 1 for you. A cell on the outline has a share between: use it as "
            "it is.",
        ),
        Mistake(
            "target and answer exchanged",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(t, own.sigmoid())),
            "You take the target for the logit, and the answer's probability for the target. Which comes "
            "first in the function that you call?",
        ),
        Mistake(
            "target and logits exchanged",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(t, own)),
            "Logits and targets have changed places. Which comes first in the function that you call?",
        ),
        Mistake(
            "channel 1 for all",
            _of_channel(lambda logits, labels: logits[:, 1]),
            "You read channel 1 for every object. Its label says which channel counts.",
        ),
        Mistake(
            "squared error",
            _of_own(lambda own, t: F.mse_loss(own.sigmoid(), t)),
            "You take squares of differences. The task asks for cross-entropy: the log of the probability "
            "of what is true.",
        ),
        Mistake(
            "only where the object is",
            _of_own(lambda own, t: -(t * F.logsigmoid(own)).mean()),
            "You score the cells of the object only. Then a mask that is 1 everywhere costs nothing: cells "
            "outside count as well.",
        ),
        Mistake(
            "targets rounded",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, (t >= 0.5).float())),
            "You round the targets to 0 and 1. A cell on the outline has a share between: use it as it is.",
        ),
        Mistake(
            "targets upside down",
            _of_own(lambda own, t: F.binary_cross_entropy_with_logits(own, 1 - t)),
            "You reward the background. Where the target is 1 a large logit must cost little.",
        ),
        Mistake(
            "label one too small",
            _of_channel(lambda logits, labels: _own(logits, labels - 1)),
            "You take the channel before the label. Channel 0 belongs to class 0, and so on.",
        ),
        Mistake(
            "the first object's class",
            _of_channel(lambda logits, labels: logits[:, labels[0]]),
            "You use one class for all objects. Each has its own label.",
        ),
        Mistake(
            "every label for every object",
            lambda logits, targets, labels: F.binary_cross_entropy_with_logits(
                logits[:, labels], targets[:, None].expand(-1, len(labels), -1, -1)
            ),
            "You pick all labels for each object, which gives N times N masks. Pair row n with label n.",
        ),
        Mistake(
            "the strongest class",
            _of_channel(lambda logits, labels: logits.amax(1)),
            "You take the largest logit over the classes. The class is known: it is the label.",
        ),
        Mistake(
            "the mean of the classes",
            _of_channel(lambda logits, labels: logits.mean(1)),
            "You mix the masks of all classes. Only the label's channel is asked.",
        ),
        Mistake(
            "Dice",
            _of_own(_dice),
            "That is the Dice loss of chapter 9. Here it is cross-entropy, cell by cell.",
        ),
        Mistake(
            "the sign",
            _of_own(lambda own, t: -F.binary_cross_entropy_with_logits(own, t)),
            "Your loss falls when the masks get worse. A log of a probability is negative.",
        ),
    ),
)


# 14.3 ----------------------------------------------------------------------------------------------


def paste_masks(masks: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Soft masks ``(N, h, w)`` in their boxes in an image ``(N, H, W)``; a mask is zero outside its box."""
    down = _hats(boxes[:, 1], boxes[:, 3], masks.shape[1], size[0])
    across = _hats(boxes[:, 0], boxes[:, 2], masks.shape[2], size[1])
    return down @ masks @ across.mT


def _hats(low: Tensor, high: Tensor, cells: int, pixels: int) -> Tensor:
    """What each pixel takes from each cell along one axis, (N, pixels, cells)."""
    part = (torch.arange(pixels) + 0.5 - low[:, None]) / (high - low)[:, None]
    place = part * cells - 0.5
    return (1 - (place[..., None] - torch.arange(cells)).abs()).clamp(min=0)


def _paste(
    masks: Tensor,
    boxes: Tensor,
    size: Sequence[int],
    *,
    centre: float = 0.5,
    own_half: float = 0.5,
    nearest: bool = False,
    corners: bool = False,
    clamp: bool = False,
    hard: bool = False,
) -> Tensor:
    """`paste_masks` with options; every one that is set is a mistake."""
    matrices = []
    for axis, cells, pixels in ((1, masks.shape[1], size[0]), (0, masks.shape[2], size[1])):
        low, high = boxes[:, axis, None], boxes[:, axis + 2, None]
        part = (torch.arange(pixels) + centre - low) / (high - low)
        place = part * (cells - 1) if corners else part * cells - own_half
        inside = (part >= 0) & (part < 1)
        if clamp:
            place = place.clamp(0, cells - 1)
        if nearest:
            place = torch.floor(place + 0.5)
        weights = (1 - (place[..., None] - torch.arange(cells)).abs()).clamp(min=0)
        matrices.append(weights * inside[..., None] if hard else weights)
    return matrices[0] @ masks @ matrices[1].mT


def _paste_with(**options: Any) -> Callable[..., Tensor]:
    return lambda masks, boxes, size: _paste(masks, boxes, size, **options)


def _with_hats(hats: Callable[[Tensor, Tensor, int, int], Tensor]) -> Callable[..., Tensor]:
    def wrong(masks: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
        down = hats(boxes[:, 1, None], boxes[:, 3, None], masks.shape[1], size[0])
        across = hats(boxes[:, 0, None], boxes[:, 2, None], masks.shape[2], size[1])
        return down @ masks @ across.mT

    return wrong


def _distances(low: Tensor, high: Tensor, cells: int, pixels: int, times: int) -> Tensor:
    place = (torch.arange(pixels) + 0.5 - low) / (high - low) * times - 0.5
    return (place[..., None] - torch.arange(cells)).abs()


_hats_below_zero = _with_hats(
    lambda low, high, cells, pixels: 1 - _distances(low, high, cells, pixels, cells)
)
_pixels_for_cells = _with_hats(
    lambda low, high, cells, pixels: (1 - _distances(low, high, cells, pixels, pixels)).clamp(min=0)
)


def _hats_of_sum_one(low: Tensor, high: Tensor, cells: int, pixels: int) -> Tensor:
    weights = (1 - _distances(low, high, cells, pixels, cells)).clamp(min=0)
    return weights / weights.sum(-1, keepdim=True)


def _without_distance(low: Tensor, high: Tensor, cells: int, pixels: int) -> Tensor:
    place = (torch.arange(pixels) + 0.5 - low) / (high - low) * cells - 0.5
    return (1 - (place[..., None] - torch.arange(cells))).clamp(min=0)


def _other_cells(choose: Callable[[int, int], tuple[int, int]]) -> Callable[..., Tensor]:
    """The way through the box times a wrong number of cells, (rows, columns)."""

    def wrong(masks: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
        times = choose(masks.shape[1], masks.shape[2])
        matrices = [
            (1 - _distances(boxes[:, k, None], boxes[:, k + 2, None], cells, pixels, each)).clamp(min=0)
            for k, cells, pixels, each in (
                (1, masks.shape[1], size[0], times[0]),
                (0, masks.shape[2], size[1], times[1]),
            )
        ]
        return matrices[0] @ masks @ matrices[1].mT

    return wrong


def _torchvisions(masks: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
    from segcore.mask_rcnn import paste_masks as library

    return library(masks, boxes, (size[0], size[1]), "torchvision")


def _paste_cases(generator: torch.Generator) -> list[Case]:
    one, four = torch.ones(1, 1, 2), torch.tensor([[[0.0, 0.2], [0.4, 1.0]]])
    cases = [
        Case((torch.tensor([[[0.0, 1.0]]]), torch.tensor([[1.0, 0.0, 5.0, 1.0]]), (1, 6)), "the by-hand row"),
        Case((one, torch.tensor([[1.0, 1.0, 5.0, 3.0]]), (4, 6)), "all ones: it fades at the box's edge"),
        Case((four, torch.tensor([[0.3, 1.2, 5.6, 3.9]]), (5, 7)), "a box between the pixels"),
        Case((four, torch.tensor([[-1.8, 2.3, 3.1, 7.7]]), (6, 5)), "a box that reaches over the edges"),
        Case(
            (torch.cat([four, 1 - four]), torch.tensor([[0.0, 0.0, 3.0, 4.0], [1.0, 2.0, 5.0, 4.5]]), (5, 6)),
            "two masks, each in its box",
        ),
    ]
    for count, cells, size in ((2, (3, 5), (9, 14)), (3, (7, 7), (16, 11)), (1, (14, 14), (12, 12))):
        masks = torch.rand(count, *cells, generator=generator)
        corner = torch.rand(count, 2, generator=generator) * 4 - 1.3
        extent = torch.rand(count, 2, generator=generator) * 5 + 2.2
        cases.append(Case((masks, torch.cat([corner, corner + extent], 1), size)))
    return cases


PASTE = Exercise(
    "14.3",
    "From soft masks to the image",
    paste_masks,
    _paste_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("mask", "row", "column"),
    plan=(
        "One axis, one box first. How far through the box does each pixel's centre lie, from 0 to 1? In the "
        "by-hand row, column 2 lies at 0.375.",
        "Times the cells, less one half: the place in indices of cells. Column 2 lies at …",
        "What does a pixel take from cell j? 1 − … of their distance, and never less than 0. That is a "
        "matrix with a row for each pixel.",
        "Do it for all boxes at once: a new axis in front. Then two products, one from each side of the "
        "mask.",
    ),
    mistakes=(
        Mistake(
            "clamped, cut at the box",
            _paste_with(clamp=True, hard=True),
            "That is lab 13's rule: the last cell's value up to the box's edge. Here the mask is zero "
            "outside, and fades on both sides of the edge.",
        ),
        Mistake(
            "clamped, never cut",
            _paste_with(clamp=True),
            "Yours repeats the outermost cell for ever. A cell that is not there gives nothing.",
        ),
        Mistake(
            "cut at the box",
            _paste_with(hard=True),
            "Inside the box all is right. Just outside, the outermost cell still gives a little: it fades "
            "over half a cell.",
        ),
        Mistake(
            "pixel corners",
            _paste_with(centre=0.0),
            "You ask for the value at a pixel's corner. The pixel in column 3 is the place 3.5: its centre.",
        ),
        Mistake(
            "the mask's half cell forgotten",
            _paste_with(own_half=0.0),
            "Cells have centres too. With two cells over the box, the first centre lies at a quarter of its "
            "width, not at 0.",
        ),
        Mistake(
            "half a cell twice",
            _paste_with(own_half=1.0),
            "Your masks lie half a cell aside: the half was taken off twice.",
        ),
        Mistake(
            "corners aligned",
            _paste_with(corners=True),
            "Yours puts the centres of the outermost cells on the edges of the box. The cells fill the box.",
        ),
        Mistake(
            "nearest cell",
            _paste_with(nearest=True),
            "Each pixel of yours copies one cell. Between two cell centres the value goes over from one to "
            "the other.",
        ),
        Mistake(
            "x and y swapped",
            lambda masks, boxes, size: _paste(masks, boxes[:, [1, 0, 3, 2]], size),
            "A box is x1, y1, x2, y2. Rows of the image go with y, columns with x.",
        ),
        Mistake(
            "size as width, height",
            lambda masks, boxes, size: _paste(masks, boxes, (size[1], size[0])),
            "size is (height, width): with (4, 6) there are four rows of six pixels.",
        ),
        Mistake(
            "corner, width and height",
            lambda masks, boxes, size: _paste(
                masks, torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1), size
            ),
            "You take the last two numbers of a box for its width and height. They are its far corner.",
        ),
        Mistake(
            "boxes cut to whole numbers",
            lambda masks, boxes, size: _paste(masks, boxes.trunc(), size),
            "You drop what comes after the point in the boxes' numbers. A mask may begin between two pixels.",
        ),
        Mistake(
            "boxes rounded",
            lambda masks, boxes, size: _paste(masks, torch.floor(boxes + 0.5), size),
            "You round the boxes to whole pixels. A mask may begin between two pixels.",
        ),
        Mistake(
            "torchvision's way",
            _torchvisions,
            "That is how torchvision pastes: it rounds the box first. Map each pixel's centre into the box "
            "as it is.",
        ),
        Mistake(
            "already decided",
            lambda masks, boxes, size: (_paste(masks, boxes, size) >= 0.5).float(),
            "You decide for each pixel at once. The result stays soft; the threshold comes afterwards.",
        ),
        Mistake(
            "one picture for all",
            lambda masks, boxes, size: _paste(masks, boxes, size).amax(0, keepdim=True),
            "You draw all masks into one picture. Each object keeps a picture of its own.",
        ),
        Mistake(
            "all added up",
            lambda masks, boxes, size: _paste(masks, boxes, size).sum(0),
            "You add all masks up in one picture. Each object keeps a picture of its own.",
        ),
        Mistake(
            "one picture for all, and no axis",
            lambda masks, boxes, size: _paste(masks, boxes, size).amax(0),
            "You draw all masks into one picture (H, W). Asked is one for each object: (N, H, W).",
        ),
        Mistake(
            "all added up, with an axis",
            lambda masks, boxes, size: _paste(masks, boxes, size).sum(0, keepdim=True),
            "Your one picture is the sum of all masks. Asked is one for each object: (N, H, W).",
        ),
        Mistake(
            "one upon the other",
            lambda masks, boxes, size: _paste(masks, boxes, size).cumsum(0),
            "Each of your pictures still holds the masks before it. Each begins with an empty one.",
        ),
        Mistake(
            "the sum everywhere",
            lambda masks, boxes, size: (
                _paste(masks, boxes, size).sum(0, keepdim=True).expand(len(masks), -1, -1)
            ),
            "All your pictures are the same: the sum of all masks. Each object has a picture of its own.",
        ),
        Mistake(
            "the first mask only",
            lambda masks, boxes, size: _paste(masks[:1], boxes[:1], size),
            "You paste one mask. Asked is an image for each of the N.",
        ),
        Mistake(
            "both halves forgotten",
            _paste_with(centre=0.0, own_half=0.0),
            "You count from corners, twice: a pixel's centre lies half a pixel in, a cell's centre half a "
            "cell.",
        ),
        Mistake(
            "half a cell the wrong way",
            _paste_with(own_half=-0.5),
            "You add the half cell. The first cell's centre lies half a cell behind the box's edge and has "
            "the index 0: what must become of 0.5?",
        ),
        Mistake(
            "hats that do not fall on one side",
            _with_hats(_without_distance),
            "Cells behind the place give you more than 1. A distance has no sign.",
        ),
        Mistake(
            "shares made to sum to 1",
            _with_hats(_hats_of_sum_one),
            "You divide the weights by their sum. Across the edge a part of them belongs to cells that are "
            "not there; that part is lost, and the mask fades.",
        ),
        Mistake(
            "shares made to sum to 1, outside too",
            _with_hats(lambda *args: _hats_of_sum_one(*args).nan_to_num(0)),
            "You make each pixel's weights sum to 1. At the box's edge a part of them belongs to cells that "
            "are not there; without it the mask fades.",
        ),
        Mistake(
            "rows and columns of the mask exchanged",
            _other_cells(lambda rows, columns: (columns, rows)),
            "Down the box you count the mask's columns, across it its rows. A mask (N, h, w) has h rows.",
        ),
        Mistake(
            "columns for both axes",
            _other_cells(lambda rows, columns: (columns, columns)),
            "You take the mask for a square: along both axes you count its columns.",
        ),
        Mistake(
            "rows for both axes",
            _other_cells(lambda rows, columns: (rows, rows)),
            "You take the mask for a square: along both axes you count its rows.",
        ),
        Mistake(
            "28 written in",
            _other_cells(lambda rows, columns: (28, 28)),
            "You count 28 cells along each axis. How many a mask has, its shape says.",
        ),
        Mistake(
            "a square image, its height",
            lambda masks, boxes, size: _paste(masks, boxes, (size[0], size[0])),
            "Your image is as wide as it is high. size holds both: (H, W).",
        ),
        Mistake(
            "a square image, its width",
            lambda masks, boxes, size: _paste(masks, boxes, (size[1], size[1])),
            "Your image is as high as it is wide. size holds both: (H, W).",
        ),
        Mistake(
            "x1, x2, y1, y2",
            lambda masks, boxes, size: _paste(masks, boxes[:, [0, 2, 1, 3]], size),
            "You take the first two numbers of a box for its two x. A box is x1, y1, x2, y2.",
        ),
        Mistake(
            "the last pixel counted as well",
            lambda masks, boxes, size: _paste(masks, boxes + torch.tensor([0.0, 0.0, 1.0, 1.0]), size),
            "Your boxes are one pixel too long. x2 is a place, not the number of the last pixel.",
        ),
        Mistake(
            "hats without a floor",
            _hats_below_zero,
            "Cells that are far away give you less than nothing. What is the least that a cell can give?",
        ),
        Mistake(
            "pixels for cells",
            _pixels_for_cells,
            "The way through the box you multiply by the pixels of the image. The mask has cells.",
        ),
        Mistake(
            "centre, width and height",
            lambda masks, boxes, size: _paste(
                masks, torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1), size
            ),
            "You take a box for its centre and its size. It is given by two corners.",
        ),
        Mistake(
            "boxes cut at the image",
            lambda masks, boxes, size: _paste(
                masks, torch.minimum(boxes.clamp(min=0), torch.tensor([size[1], size[0]] * 2)), size
            ),
            "You cut the boxes at the image's edge, which squeezes the mask. Its part outside is lost; the "
            "rest stays where it is.",
        ),
        Mistake(
            "the first box for all",
            lambda masks, boxes, size: _paste(masks, boxes[:1].expand(len(masks), 4), size),
            "You put every mask into the first box. Mask n belongs to box n.",
        ),
        Mistake(
            "masks on their side",
            lambda masks, boxes, size: _paste(masks.mT, boxes, size),
            "Your masks lie on their side. A mask's rows go down the box.",
        ),
        Mistake(
            "squashed once more",
            lambda masks, boxes, size: _paste(masks.sigmoid(), boxes, size),
            "Your values are squashed once more. The masks hold shares already.",
        ),
        Mistake(
            "from the image's corner",
            lambda masks, boxes, size: _paste(
                masks, torch.cat([0 * boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), size
            ),
            "All your masks begin in the image's corner. A mask begins where its box begins.",
        ),
        Mistake(
            "the image for the box",
            lambda masks, boxes, size: _paste(
                masks, torch.tensor([0.0, 0.0, size[1], size[0]]).expand(len(masks), 4), size
            ),
            "You stretch the masks over the whole image. A mask fills its box.",
        ),
    ),
)  # fmt: skip


# 14.4 ----------------------------------------------------------------------------------------------


def distinct(masks: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float) -> Tensor:
    """Rows of the masks that stand for objects of their own, surest first: int64 ``(K,)``."""
    return _distinct(masks, scores, score_threshold, iou_threshold)


def _mask_iou(one: Tensor, two: Tensor) -> float:
    return float((one & two).sum() / (one | two).sum())


def _over_smaller(one: Tensor, two: Tensor) -> float:
    return float((one & two).sum() / torch.minimum(one.sum(), two.sum()))


def _box_iou(one: Tensor, two: Tensor) -> float:
    a, b = _tight(one), _tight(two)
    low, high = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])
    shared = (high - low).clamp(min=0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def _distinct(
    masks: Tensor,
    scores: Tensor,
    score_threshold: float,
    iou_threshold: float,
    overlap: Callable[[Tensor, Tensor], float] = _mask_iou,
) -> Tensor:
    kept: list[int] = []
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):  # equal ones stay in their order
        if scores[row] >= score_threshold and masks[row].any():
            new = all(overlap(masks[row], masks[other]) <= iou_threshold for other in kept)
            kept = [*kept, row] if new else kept
    return torch.tensor(kept, dtype=torch.int64)


def _suppress(
    order: Callable[[Tensor], Tensor] = lambda s: s.argsort(descending=True, stable=True),
    sure: Callable[[Tensor, float], Tensor] = lambda s, t: s >= t,
    crowded: Callable[[float, float], bool] = lambda iou, t: iou > t,
    all_before: bool = False,
    empty: bool = False,
    overlap: Callable[[Tensor, Tensor], float] = _mask_iou,
) -> Callable[..., Tensor]:
    """`distinct` with one thing turned wrong."""

    def wrong(masks: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float) -> Tensor:
        kept: list[int] = []
        before: list[int] = []
        for row in order(scores).tolist():
            if not sure(scores[row], score_threshold) or not (empty or masks[row].any()):
                continue
            others = before if all_before else kept
            before = [*before, row]
            if not any(crowded(overlap(masks[row], masks[other]), iou_threshold) for other in others):
                kept.append(row)
        return torch.tensor(kept, dtype=torch.int64)

    return wrong


def _positions(masks: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float) -> Tensor:
    order = scores.argsort(descending=True, stable=True)
    return torch.argsort(order)[_distinct(masks, scores, score_threshold, iou_threshold)]


def _only_neighbours(masks: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float) -> Tensor:
    kept: list[int] = []
    for row in scores.argsort(descending=True, stable=True).tolist():
        sure = scores[row] >= score_threshold and masks[row].any()
        if sure and (not kept or _mask_iou(masks[row], masks[kept[-1]]) <= iou_threshold):
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64)


def _once(
    drops: Callable[[list[float], float], bool] = lambda ious, t: max(ious, default=0.0) > t,
    stop: str = "",
    union: bool = False,
) -> Callable[..., Tensor]:
    """`distinct` with another way to ask those that were kept, or one that stops too early."""

    def wrong(masks: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float) -> Tensor:
        kept: list[int] = []
        for row in scores.argsort(descending=True, stable=True).tolist():
            if scores[row] < score_threshold or not masks[row].any():
                if stop == "passed over":
                    break
                continue
            others = masks[kept].any(0, keepdim=True) if union and kept else masks[kept]
            if not drops([_mask_iou(masks[row], other) for other in others], iou_threshold):
                kept.append(row)
            elif stop == "dropped":
                break
        return torch.tensor(kept, dtype=torch.int64)

    return wrong


def _bars(*spans: tuple[int, int]) -> Tensor:
    """Masks of one row of eight pixels: from ... to."""
    masks = torch.zeros(len(spans), 1, 8, dtype=torch.bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[0, start:stop] = True
    return masks


def _rows_differ(expected: Tensor, got: Any) -> str | None:
    try:
        rows = torch.as_tensor(got)
    except (TypeError, ValueError, RuntimeError):
        return "Expected the numbers of the rows that are kept."
    if rows.dtype == torch.bool or (rows.is_floating_point() and rows.numel()):
        return "Expected whole numbers: the rows that are kept, surest first."
    if rows.shape != expected.shape:
        return f"Expected {len(expected)} rows, {expected.tolist()}; came: {rows.tolist()}."
    if rows.tolist() != expected.tolist():
        return f"Expected the rows {expected.tolist()}; came: {rows.tolist()}."
    if not isinstance(got, Tensor) or rows.dtype != torch.int64:
        return "The rows are right; return them as a tensor of int64."
    return None


def _distinct_cases(generator: torch.Generator) -> list[Case]:
    def case(masks: Tensor, scores: Sequence[float], low: float, most: float, note: str) -> Case:
        return Case((masks, torch.tensor(scores), low, most), note)

    ell = torch.zeros(2, 4, 4, dtype=torch.bool)
    ell[0, :, 0] = ell[0, 3] = True
    ell[1, :3, 1:] = True
    cases = [
        case(_bars((0, 4), (1, 5), (5, 8)), (0.6, 0.9, 0.5), 0.3, 0.5, "the by-hand example"),
        case(_bars((0, 4), (2, 6), (4, 8)), (0.9, 0.8, 0.7), 0.3, 0.3, "who was dropped drops nobody"),
        case(_bars((0, 2), (3, 5), (6, 8)), (0.5, 0.25, 0.125), 0.25, 0.5, "just the score that is asked"),
        case(_bars((0, 4), (0, 2), (4, 8)), (0.9, 0.8, 0.7), 0.3, 0.5, "an IoU of just the threshold"),
        case(_bars((0, 4), (0, 4), (4, 8)), (0.5, 0.5, 0.5), 0.3, 0.5, "equal scores: the earlier row first"),
        case(_bars((0, 4), (2, 2), (4, 8)), (0.5, 0.9, 0.6), 0.3, 0.5, "a mask without a pixel is nothing"),
        case(_bars((0, 8), (0, 3), (5, 6)), (0.9, 0.8, 0.7), 0.3, 0.5, "small ones inside a large one"),
        case(ell, (0.9, 0.8), 0.3, 0.4, "boxes overlap, masks do not"),
        case(_bars((0, 4), (4, 8), (1, 7)), (0.9, 0.8, 0.7), 0.3, 0.5, "not too much of either of two"),
        case(_bars((0, 5), (6, 8), (0, 4)), (0.9, 0.8, 0.7), 0.3, 0.3, "much of one, nothing of another"),
        case(_bars((0, 3), (4, 8)), (0.2, 0.1), 0.3, 0.5, "nothing is sure enough"),
    ]
    for count, size in ((8, (10, 12)), (12, (16, 16)), (6, (12, 9))):
        places = torch.rand(count, 3, generator=generator)
        masks = torch.stack(
            [_disc(size, float(y) * size[0], float(x) * size[1], 2 + 3 * float(r)) for y, x, r in places]
        )
        scores = torch.rand(count, generator=generator)
        cases.append(Case((masks, scores, 0.25, 0.2 + 0.2 * float(places[0, 0]))))
    return cases


DISTINCT = Exercise(
    "14.4",
    "What counts as one object",
    distinct,
    _distinct_cases,
    compare=_rows_differ,
    axes=("object",),
    plan=(
        "Order the rows by score, the largest first; a stable sort leaves equal ones in their order.",
        "Go through them. Who is not sure enough, or has no pixel, is passed over.",
        "Count what it shares with each mask that was *kept* so far, and what the two cover together.",
        "If none of these ratios is above the threshold, keep the row. At the end make one tensor of the "
        "numbers, also when there are none.",
    ),
    mistakes=(
        Mistake(
            "all earlier ones count",
            _suppress(all_before=True),
            "A mask that you dropped still drops others. Compare with those that were kept.",
        ),
        Mistake(
            "only the last one kept",
            _only_neighbours,
            "You compare with the mask that was kept last. It may lie on any of those that were kept.",
        ),
        Mistake(
            "just the threshold drops",
            _suppress(crowded=lambda iou, t: iou >= t),
            "At an IoU of just the threshold you drop the mask. The task says: more than that.",
        ),
        Mistake(
            "just the score is too little",
            _suppress(sure=lambda s, t: s > t),
            "A score of just the threshold is enough. Look at how the task says it: at least.",
        ),
        Mistake(
            "the least sure first",
            _suppress(order=lambda s: s.argsort(stable=True)),
            "You begin with the lowest score. Of two masks of one object the surer one must stay.",
        ),
        Mistake(
            "in the order given",
            _suppress(order=lambda s: torch.arange(len(s))),
            "You go through the rows as they come. Of two masks of one object the surer one must stay.",
        ),
        Mistake(
            "equal ones backwards",
            _suppress(order=lambda s: len(s) - 1 - s.flip(0).argsort(descending=True, stable=True)),
            "Where scores are equal, the earlier row goes first. Is your sort stable?",
        ),
        Mistake(
            "no score asked",
            _suppress(sure=lambda s, t: s >= -1),
            "You keep rows however low their score is. What does score_threshold say?",
        ),
        Mistake(
            "nothing is dropped",
            _suppress(crowded=lambda iou, t: False),
            "You keep two masks of the same object. What does iou_threshold say?",
        ),
        Mistake(
            "whatever touches",
            _suppress(crowded=lambda iou, t: iou > 0),
            "You drop every mask that shares a pixel with another. Neighbours may overlap a little.",
        ),
        Mistake(
            "empty ones kept",
            _suppress(empty=True, crowded=lambda iou, t: iou > t),
            "You keep a mask without a single pixel. Its IoU is 0 / 0; it is no object.",
        ),
        Mistake(
            "over the smaller mask",
            _suppress(overlap=_over_smaller),
            "You divide by the smaller mask's pixels, so a small object inside a large one is dropped. IoU "
            "divides by the pixels of both together.",
        ),
        Mistake(
            "over both areas",
            _suppress(overlap=lambda one, two: float((one & two).sum() / (one.sum() + two.sum()))),
            "You divide by the sum of the two areas. What they share counts once in the union.",
        ),
        Mistake(
            "boxes for masks",
            _suppress(overlap=_box_iou),
            "You compare the boxes. Two objects may share a box and no pixel: compare the masks.",
        ),
        Mistake(
            "Dice for IoU",
            _suppress(overlap=lambda one, two: float(2 * (one & two).sum() / (one.sum() + two.sum()))),
            "Your ratio counts what they share twice: that is Dice. IoU divides once by what either covers.",
        ),
        Mistake(
            "over the larger mask",
            _suppress(
                overlap=lambda one, two: float((one & two).sum() / torch.maximum(one.sum(), two.sum()))
            ),
            "You divide by the larger mask's pixels. IoU divides by the pixels of both together.",
        ),
        Mistake(
            "over its own pixels",
            _suppress(overlap=lambda one, two: float((one & two).sum() / one.sum())),
            "You divide by the pixels of the mask that is asked about. IoU divides by the pixels that either "
            "of the two covers.",
        ),
        Mistake(
            "how many, not which",
            lambda masks, scores, low, most: torch.tensor(len(_distinct(masks, scores, low, most))),
            "You count the objects. Asked are the rows that are kept; their number follows from them.",
        ),
        Mistake(
            "masks for rows",
            lambda masks, scores, low, most: masks[_distinct(masks, scores, low, most)],
            "You give the masks that are kept. Asked are their rows: whole numbers.",
        ),
        Mistake(
            "scores for rows",
            lambda masks, scores, low, most: scores[_distinct(masks, scores, low, most)],
            "You give the scores that are kept. Asked are their rows: whole numbers.",
        ),
        Mistake(
            "rows of what was sure enough",
            lambda masks, scores, low, most: _distinct(
                masks[scores >= low], scores[scores >= low], low, most
            ),
            "You number the rows anew after leaving some out. Asked are their numbers in `masks`.",
        ),
        Mistake(
            "surest last",
            lambda masks, scores, low, most: _distinct(masks, scores, low, most).flip(0),
            "The right rows, backwards. The surest comes first.",
        ),
        Mistake(
            "a score of 0.5 written in",
            lambda masks, scores, low, most: _distinct(masks, scores, 0.5, most),
            "You compare the scores with one half, whatever is asked. What does score_threshold say?",
        ),
        Mistake(
            "a score of 0.3 written in",
            lambda masks, scores, low, most: _distinct(masks, scores, 0.3, most),
            "You compare the scores with 0.3, whatever is asked. What does score_threshold say?",
        ),
        Mistake(
            "an IoU of 0.5 written in",
            lambda masks, scores, low, most: _distinct(masks, scores, low, 0.5),
            "You compare the IoU with one half, whatever is asked. What does iou_threshold say?",
        ),
        Mistake(
            "both thresholds written in",
            lambda masks, scores, low, most: _distinct(masks, scores, 0.3, 0.5),
            "You compare with the lab's numbers, 0.3 and 0.5, whatever is asked. Both thresholds are given.",
        ),
        Mistake(
            "all must be in the way",
            _once(lambda ious, t: bool(ious) and all(iou > t for iou in ious)),
            "You drop a mask only if all that were kept are in its way. One is enough.",
        ),
        Mistake(
            "the mean of the IoUs",
            _once(lambda ious, t: bool(ious) and sum(ious) > t * len(ious)),
            "You take the mean over those that were kept. One that lies on it is enough to drop it.",
        ),
        Mistake(
            "the sum of the IoUs",
            _once(lambda ious, t: sum(ious) > t),
            "You add the IoUs up. Two that overlap it a little do not make one that overlaps it much.",
        ),
        Mistake(
            "all kept ones as one mask",
            _once(union=True),
            "You compare with all that was kept, as one large mask. The larger it gets, the smaller the IoU; "
            "compare with each by itself.",
        ),
        Mistake(
            "ends at the first duplicate",
            _once(stop="dropped"),
            "You stop at the first mask that is dropped. Others may follow that stand for objects of their "
            "own.",
        ),
        Mistake(
            "ends at the first that is passed over",
            _once(stop="passed over"),
            "You stop at the first mask that is passed over. One without a pixel may have a high score: go "
            "on with the next.",
        ),
        Mistake(
            "thresholds exchanged",
            lambda masks, scores, low, most: _distinct(masks, scores, most, low),
            "You ask the scores for the IoU's threshold and the other way round. Look at their order.",
        ),
        Mistake(
            "by number, not by score",
            lambda masks, scores, low, most: _distinct(masks, scores, low, most).sort().values,
            "The right rows, in the wrong order. The surest comes first.",
        ),
        Mistake(
            "places in the sorted list",
            _positions,
            "You return where the kept ones stand in your sorted list. Asked are their rows in `masks`.",
        ),
        Mistake(
            "true and false",
            lambda masks, scores, low, most: torch.zeros(len(masks), dtype=torch.bool).index_fill(
                0, _distinct(masks, scores, low, most), True
            ),
            "You return true or false for each row, which loses the order. Return the rows, surest first.",
        ),
    ),
)  # fmt: skip

EXERCISES = (MASK_TARGET, MASK_LOSS, PASTE, DISTINCT)
