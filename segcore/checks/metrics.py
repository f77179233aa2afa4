"""Exercises of chapter 3: confusion matrix, IoU, ignored pixels, means over images, precision and recall.

The references are written apart from `segcore.metrics`. Every mistake is a reference with one thing wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _labels(generator: torch.Generator, classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=generator)


def _guess(generator: torch.Generator, target: Tensor, classes: int) -> Tensor:
    """A prediction of which two thirds are right."""
    right = torch.rand(target.shape, generator=generator) < 2 / 3
    return torch.where(right, target, torch.randint(classes, target.shape, generator=generator))


# 3.1 -----------------------------------------------------------------------------------------------


def confusion_matrix(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """int64 ``(C, C)``: pixels of class i (row) that were given class j (column)."""
    truth, guess = (F.one_hot(labels.flatten(), num_classes) for labels in (target, prediction))
    return (truth.T.double() @ guess.double()).long()


def _numbered(
    number: Callable[[Tensor, Tensor, int], Tensor],
) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A histogram of some other number of the pair than target · C + prediction."""

    def wrong(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
        pairs = number(prediction.flatten(), target.flatten(), num_classes)
        return torch.bincount(pairs, minlength=num_classes**2)[: num_classes**2].reshape(num_classes, -1)

    return wrong


def _shares_of_rows(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    counts = confusion_matrix(prediction, target, num_classes).float()
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


def _without_diagonal(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    counts = confusion_matrix(prediction, target, num_classes)
    return counts - counts.diagonal().diag()


def _confusion_cases(generator: torch.Generator) -> list[Case]:
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    guess = torch.tensor([[0, 0, 0, 1], [0, 2, 1, 1]])
    cases = [
        Case((guess, truth, 3), "class 2 is only predicted"),
        Case((truth, truth, 2), "all right: the diagonal"),
        Case((1 - truth, truth, 2), "all wrong"),
        Case((torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1]), 2), "three times the same mistake"),
        Case((guess[:1], truth[:1], 5), "classes 2, 3 and 4 occur nowhere: five rows all the same"),
    ]
    for classes, *shape in ((4, 6, 9), (7, 2, 20, 30), (19, 200, 300), (3, 50)):
        target = _labels(generator, classes, *shape)
        cases.append(Case((_guess(generator, target, classes), target, classes)))
    return cases


def _as_many_as_occur(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    return confusion_matrix(prediction, target, int(torch.maximum(prediction, target).max()) + 1)


def _of_maps(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    pairs = target * num_classes + prediction
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _pairs_that_occur(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    _, counts = torch.unique(target.flatten() * num_classes + prediction.flatten(), return_counts=True)
    return counts.reshape(num_classes, num_classes)


def _short_rows(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for number in range(num_classes):
        counts[number] = torch.bincount(prediction[target == number])
    return counts


CONFUSION = Exercise(
    "3.1",
    "A confusion matrix without a loop",
    confusion_matrix,
    _confusion_cases,
    axes=("true class", "given class"),
    plan=(
        "Take one pixel first. Its truth and its prediction are two digits: written as one number to "
        "the base C, which of them is the first digit, so that it picks the row?",
        "Do so for all pixels at once. The two maps, laid out in one line, give a list of numbers from "
        "0 to C² − 1.",
        "Count how often each number occurs. The list of counts must have a place for every pair, even "
        "if it does not occur at the end.",
        "Lay these C² counts out as C rows.",
    ),
    mistakes=(
        Mistake(
            "transposed",
            lambda prediction, target, num_classes: confusion_matrix(target, prediction, num_classes),
            "Rows and columns are exchanged. The row says what the pixel is, the column what it was taken "
            "for: which of the two has to be multiplied by the number of classes?",
        ),
        Mistake(
            "each pair once",
            lambda prediction, target, num_classes: confusion_matrix(prediction, target, num_classes).clamp(
                max=1
            ),
            "Your matrix says which pairs occur, not how often. With m[target, prediction] += 1 a pair that "
            "occurs many times is still added once: torch reads, adds and writes all places together.",
        ),
        Mistake(
            "one class too few",
            _numbered(lambda prediction, target, classes: target * (classes - 1) + prediction),
            "Two different pairs get the same number. How many columns does a row have, and at which number "
            "does the next row begin?",
        ),
        Mistake(
            "histogram ends early",
            lambda prediction, target, num_classes: torch.bincount(
                target.flatten() * num_classes + prediction.flatten()
            ).reshape(num_classes, num_classes),
            "Your histogram ends with the largest number that occurs. The matrix has a place for every pair, "
            "so the histogram needs a least length.",
        ),
        Mistake(
            "sum of the labels",
            _numbered(lambda prediction, target, classes: target + prediction),
            "You count the sum of the two labels: (0, 1) and (1, 0) fall together, and only the first places "
            "are filled. The number of a pair must tell the two labels apart.",
        ),
        Mistake(
            "shares instead of counts",
            _shares_of_rows,
            "Each of your rows sums to 1. Counts are asked: matrices of several images can then be added up.",
        ),
        Mistake(
            "only the right pixels",
            lambda prediction, target, num_classes: (
                confusion_matrix(prediction, target, num_classes).diagonal().diag()
            ),
            "You count the pixels that are right. Those that are wrong belong beside the diagonal.",
        ),
        Mistake(
            "only the wrong pixels",
            _without_diagonal,
            "The diagonal is empty. Pixels that have their own class count too: row and column "
            "are then equal.",
        ),
        Mistake(
            "as many classes as occur",
            _as_many_as_occur,
            "You take the number of classes from the labels that occur. A class that no pixel has still "
            "gets its row and its column: how many there are is an argument.",
        ),
        Mistake(
            "one long row",
            lambda prediction, target, num_classes: confusion_matrix(
                prediction, target, num_classes
            ).flatten(),
            "All counts are there, in one long row. Lay them out as C rows, one for each class of the truth.",
        ),
        Mistake(
            "one class too many",
            _numbered(lambda prediction, target, classes: target * (classes + 1) + prediction),
            "Between your rows lies a number that no pair has. With classes 0 to C − 1, which number "
            "follows the last pair of a row?",
        ),
        Mistake(
            "maps not laid out",
            _of_maps,
            "A histogram is taken of a list of numbers with one axis. Your maps still have rows and "
            "columns: lay each of them out in one line first.",
        ),
        Mistake(
            "only pairs that occur",
            _pairs_that_occur,
            "You count the pairs that occur and have no place for the others. The matrix has one for "
            "every pair, and a zero where there is nothing to count.",
        ),
        Mistake(
            "rows end early",
            _short_rows,
            "Your rows have different lengths: each ends with the largest class that was predicted there. "
            "Every row has C places, whatever occurs.",
        ),
        Mistake(
            "shares of all pixels",
            lambda prediction, target, num_classes: (
                confusion_matrix(prediction, target, num_classes) / target.numel()
            ),
            "Your matrix sums to 1: these are shares of all pixels. The counts themselves are asked.",
        ),
    ),
)


# 3.2 -----------------------------------------------------------------------------------------------


def class_iou(confusion: Tensor) -> Tensor:
    """IoU of each class ``(C,)``, NaN for a class that occurs nowhere."""
    hits = confusion.diagonal()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


def _only_in_truth(confusion: Tensor) -> Tensor:
    return torch.where(confusion.sum(1) > 0, class_iou(confusion), torch.nan)


def _iou_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case((torch.tensor([[90, 0], [9, 1]]),), "a large class and a small one"),
        Case((torch.tensor([[3, 0, 1], [1, 2, 0], [0, 0, 0]]),), "class 2 is only predicted"),
        Case((torch.tensor([[4, 2, 0], [0, 3, 0], [0, 0, 0]]),), "class 2 is in neither map"),
        Case((torch.tensor([[2, 0, 3], [0, 0, 1], [0, 0, 5]]),), "class 1 is never predicted"),
        Case((torch.zeros(2, 2, dtype=torch.int64),), "no pixel at all"),
    ]
    for size in (3, 5, 5, 8):
        confusion = torch.randint(1, 40, (size, size), generator=generator) + 30 * torch.eye(size).long()
        kind = size % 3
        if kind == 2:
            confusion[1] = confusion[:, 1] = 0
            confusion[2] = 0
        cases.append(Case((confusion,)))
    return cases


def _row_twice(confusion: Tensor) -> Tensor:
    hits, rows = confusion.diagonal(), confusion.sum(1)
    return hits / (2 * rows - hits)


def _of_errors(confusion: Tensor) -> Tensor:
    hits = confusion.diagonal()
    return hits / (confusion.sum(0) + confusion.sum(1) - 2 * hits)


def _of_the_larger(confusion: Tensor) -> Tensor:
    return confusion.diagonal() / torch.maximum(confusion.sum(0), confusion.sum(1))


def _whole_numbers(confusion: Tensor) -> Tensor:
    hits = confusion.diagonal()
    return hits // (confusion.sum(0) + confusion.sum(1) - hits)


def _absent_gone(confusion: Tensor) -> Tensor:
    ious = class_iou(confusion)
    return ious[~ious.isnan()]


def _no_hit_is_nan(confusion: Tensor) -> Tensor:
    return torch.where(confusion.diagonal() > 0, class_iou(confusion), torch.nan)


IOU = Exercise(
    "3.2",
    "Intersection over union",
    class_iou,
    _iou_cases,
    axes=("class",),
    plan=(
        "Read three numbers for one class off the matrix, on paper: the pixels right, the sum of its "
        "row, the sum of its column.",
        "Row and column together hold truth and prediction. Which pixels did you count twice?",
        "IoU = right / (row + column − …)",
        "Now for all classes at once: the diagonal, the sums along either axis. Leave 0 / 0 alone: NaN "
        "is the answer that is wanted there.",
    ),
    mistakes=(
        Mistake(
            "intersection counted twice",
            lambda confusion: confusion.diagonal() / (confusion.sum(0) + confusion.sum(1)),
            "Where all pixels are right you get 1/2. Row and column both contain the diagonal, so the pixels "
            "that are right stand in your union twice.",
        ),
        Mistake(
            "Dice",
            lambda confusion: 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1)),
            "That is the Dice coefficient. It is never below the IoU. Divide by the pixels that are in "
            "either map, each counted once.",
        ),
        Mistake(
            "recall",
            lambda confusion: confusion.diagonal() / confusion.sum(1),
            "You divide by the pixels of the class: that is its recall. Whoever paints the whole image with "
            "one class gets 1 for it. Which other pixels does the union hold?",
        ),
        Mistake(
            "precision",
            lambda confusion: confusion.diagonal() / confusion.sum(0),
            "You divide by the pixels that were predicted: that is precision. Whoever finds one pixel of a "
            "car gets 1. Which other pixels does the union hold?",
        ),
        Mistake(
            "absent is 0",
            lambda confusion: class_iou(confusion).nan_to_num(0.0),
            "A class that is in neither map gets 0 from you, as if it had been missed. It has no IoU: leave "
            "0 / 0 as it is. A small number added below does the same harm.",
        ),
        Mistake(
            "absent is 1",
            lambda confusion: class_iou(confusion).nan_to_num(1.0),
            "A class that is in neither map gets 1 from you, as if it had been found. It has no IoU: leave "
            "0 / 0 as it is.",
        ),
        Mistake(
            "only predicted is left out",
            _only_in_truth,
            "A class that is only predicted has no intersection, but it has a union: its IoU is 0, not NaN. "
            "NaN is for a class that is in neither map.",
        ),
        Mistake(
            "divided by all pixels",
            lambda confusion: confusion.diagonal() / confusion.sum(),
            "You divide by all pixels of the image. Those that have nothing to do with the class, in truth "
            "or in prediction, should not count.",
        ),
        Mistake(
            "mean at once",
            lambda confusion: class_iou(confusion).nanmean(),
            "One number came: the mean. The IoU of each class is asked; averages come later.",
        ),
        Mistake(
            "only the wrong pixels below",
            _of_errors,
            "You divide by the pixels that are wrong: the pixels that are right have left your union "
            "altogether. They belong to it once. How often do row and column together hold them?",
        ),
        Mistake(
            "the larger of row and column",
            _of_the_larger,
            "You divide by the larger of row and column. The union holds both, the pixels of the class "
            "and those that were given it; only what they share is counted once.",
        ),
        Mistake(
            "row twice",
            _row_twice,
            "You add up the same axis twice, so the column is missing: what other classes lost to this "
            "one. Which axis do you sum over, and what is left then?",
        ),
        Mistake(
            "rounded down",
            _whole_numbers,
            "Your division rounds down to whole numbers, and leaves 0 or 1. An IoU is a fraction.",
        ),
        Mistake(
            "absent gone",
            _absent_gone,
            "Your result has fewer values than there are classes. A class in neither map keeps its place, "
            "with NaN in it; else nobody knows which value belongs to which class.",
        ),
        Mistake(
            "no hit is NaN",
            _no_hit_is_nan,
            "A class without a hit gets NaN from you. If it is in one of the two maps it has a union, and "
            "its IoU is 0; NaN is for a class that is in neither.",
        ),
        Mistake(
            "in per cent",
            lambda confusion: 100 * class_iou(confusion),
            "Yours are a hundred times too large: per cent. An IoU lies between 0 and 1.",
        ),
    ),
)


# 3.3 -----------------------------------------------------------------------------------------------


def _ious(prediction: Tensor, target: Tensor, num_classes: int, counted: Tensor) -> Tensor:
    """IoU of each class, from masks; pixels that do not count are in none."""
    ious = []
    for number in range(num_classes):
        guess, truth = ((labels == number) & counted for labels in (prediction, target))
        ious.append((guess & truth).sum() / (guess | truth).sum())
    return torch.stack(ious)


def mean_iou(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Mean over the classes that occur, of the pixels that count."""
    return _ious(prediction, target, num_classes, target != ignore_index).nanmean()


def _counted(
    change: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]],
) -> Callable[[Tensor, Tensor, int, int], Tensor]:
    """Other maps and other pixels that count."""

    def wrong(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
        prediction, target, counted = change(prediction, target, ignore_index)
        return _ious(prediction, target, num_classes, counted).nanmean()

    return wrong


def _averaged(
    average: Callable[[Tensor, Tensor, Tensor, int], Tensor],
) -> Callable[[Tensor, Tensor, int, int], Tensor]:
    """Other averages of the right IoUs: from them, the maps, and how many classes there are."""

    def wrong(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
        counted = target != ignore_index
        ious = _ious(prediction, target, num_classes, counted)
        return average(ious, prediction[counted], target[counted], num_classes)

    return wrong


def _of_true_classes(ious: Tensor, prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    return ious[torch.bincount(target, minlength=num_classes) > 0].nanmean()


def _hits_over_unions(ious: Tensor, prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    hits = (prediction == target).sum()
    return hits / (2 * len(target) - hits)


def _ignoring_cases(generator: torch.Generator) -> list[Case]:
    truth = torch.tensor([[0, 0, 1, 255], [0, 0, 1, 255]])
    guess = torch.tensor([[0, 0, 0, 1], [0, 1, 1, 1]])
    cases = [
        Case((torch.tensor([1, 1, 0, 2]), torch.tensor([0, 1, 1, 2]), 3, 0), "here class 0 is ignored"),
        Case((guess, truth, 2, 255), "two pixels are ignored"),
        Case((guess, truth, 3, 255), "class 2 occurs nowhere"),
        Case((torch.where(guess == 1, 2, guess), truth, 3, 255), "class 2 is only predicted"),
        Case((guess, torch.full_like(truth, 255), 2, 255), "all pixels are ignored"),
        Case((guess, torch.where(truth == 255, -1, truth), 2, -1), "here the label -1 is ignored"),
        Case(
            (torch.where(truth == 255, 255, guess), truth, 2, 255),
            "the prediction holds no class where the truth is ignored",
        ),
    ]
    for classes, ignored, *shape in ((3, 255, 6, 9), (5, -1, 12, 10), (9, 255, 2, 30, 20), (19, 255, 30, 40)):
        target = _labels(generator, classes - 1, *shape)  # the last class is at most predicted
        prediction = _guess(generator, target, classes)
        target[torch.rand(target.shape, generator=generator) < 0.25] = ignored
        cases.append(Case((prediction, target, classes, ignored)))
    return cases


def _matrix(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """As exercise 3.1 counts: what is no class breaks it."""
    pairs = target.flatten() * num_classes + prediction.flatten()
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _nothing_dropped(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    return class_iou(_matrix(prediction, target, num_classes)).nanmean()


def _below_the_classes(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    keep = target < num_classes
    return class_iou(_matrix(prediction[keep], target[keep], num_classes)).nanmean()


def _only_hit_classes(ious: Tensor, prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    return ious[ious > 0].mean()


def _weighted_by_size(ious: Tensor, prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    share = torch.bincount(target, minlength=num_classes) / len(target)
    return (ious * share).nansum() if len(target) else ious.nanmean()


def _ignored_class_out(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    ious = _ious(prediction, target, num_classes, target != ignore_index)
    return ious[[number for number in range(num_classes) if number != ignore_index]].nanmean()


IGNORING = Exercise(
    "3.3",
    "Pixels and classes that do not count",
    mean_iou,
    _ignoring_cases,
    any_float=True,
    plan=(
        "Mark the pixels that count. Only the truth decides, and the label to ignore is an argument: it "
        "may be 255, −1 or even a class.",
        "Keep the marked pixels of both maps; then count them and score each class as in 3.1 and 3.2.",
        "Average over the classes. One that is in neither map is NaN and must not enter; one that is "
        "only predicted is 0 and must.",
        "Where no pixel counts, every class is NaN, and so is the mean.",
    ),
    mistakes=(
        Mistake(
            "ignored pixels in the union",
            _counted(lambda p, t, ignored: (p, t, torch.ones_like(t, dtype=torch.bool))),
            "What is predicted at ignored pixels still enters your unions. Take these pixels out of both "
            "maps before anything is counted.",
        ),
        Mistake(
            "ignored is class 0",
            _counted(
                lambda p, t, ignored: (p, t.where(t != ignored, 0), torch.ones_like(t, dtype=torch.bool))
            ),
            "Ignored pixels count as class 0 in your result. They have no class: drop them from both maps.",
        ),
        Mistake(
            "ignored is class 0 in both",
            _counted(
                lambda p, t, ignored: (
                    p.where(t != ignored, 0),
                    t.where(t != ignored, 0),
                    torch.ones_like(t, dtype=torch.bool),
                )
            ),
            "You set ignored pixels to class 0 in both maps, so that they count as right for that class. "
            "They should be gone, not zero.",
        ),
        Mistake(
            "ignored counts as right",
            _counted(
                lambda p, t, ignored: (p, t.where(t != ignored, p), torch.ones_like(t, dtype=torch.bool))
            ),
            "Ignored pixels count as right in your result, whatever was predicted there. They should count "
            "neither for nor against it.",
        ),
        Mistake(
            "255 written in",
            _counted(lambda p, t, ignored: (p, t, t != 255)),
            "You always ignore 255. The label to ignore is an argument: some data sets use -1 or 0.",
        ),
        Mistake(
            "absent classes are 0",
            _averaged(lambda ious, p, t, classes: ious.nansum() / classes),
            "You divide by the number of all classes. One that occurs in neither map has no IoU and must not "
            "pull the mean down.",
        ),
        Mistake(
            "absent classes are 1",
            _averaged(lambda ious, p, t, classes: ious.nan_to_num(1.0).mean()),
            "A class that occurs in neither map counts as perfect in your mean. It has no IoU: average over "
            "the others.",
        ),
        Mistake(
            "only classes of the truth",
            _averaged(_of_true_classes),
            "You average over the classes of the truth. A class that is predicted where it does not exist "
            "has IoU 0 and counts.",
        ),
        Mistake(
            "nothing is 0",
            _averaged(lambda ious, p, t, classes: ious.nanmean().nan_to_num(0.0)),
            "Where all pixels are ignored you return 0. A score of nothing is NaN, so that nobody takes it "
            "for a bad one.",
        ),
        Mistake(
            "pixel accuracy",
            _averaged(lambda ious, p, t, classes: (p == t).float().mean()),
            "That is the share of pixels that are right. Mean IoU averages over classes, each of which "
            "weighs the same.",
        ),
        Mistake(
            "all hits over all unions",
            _averaged(_hits_over_unions),
            "You add up intersections and unions of all classes and divide once, so that large classes "
            "decide. Divide for each class, then average.",
        ),
        Mistake(
            "NaN in the mean",
            _averaged(lambda ious, p, t, classes: ious.mean()),
            "One class without an IoU makes your whole mean NaN. The mean goes over the classes that have "
            "one.",
        ),
        Mistake(
            "nothing dropped",
            _nothing_dropped,
            "Pixels with the label to ignore are still there when you count, and the matrix has no row "
            "for that label. Drop them from both maps first.",
        ),
        Mistake(
            "labels up to C kept",
            _below_the_classes,
            "You keep every label below the number of classes. What is to be ignored is an argument: it "
            "may be −1, or even one of the classes.",
        ),
        Mistake(
            "only the ignored kept",
            _counted(lambda p, t, ignored: (p, t, t == ignored)),
            "You have kept the pixels that are to be ignored and dropped all the others. Turn the "
            "condition round.",
        ),
        Mistake(
            "ignored predictions dropped",
            _counted(lambda p, t, ignored: (p, t, (t != ignored) & (p != ignored))),
            "You also drop pixels where the prediction is the label to ignore. The truth alone decides, "
            "or a network could choose what is counted.",
        ),
        Mistake(
            "ignored class out of the mean",
            _ignored_class_out,
            "Pixels are ignored, not classes. Where the ignored label is a class, that class may still "
            "have been predicted elsewhere, and then it counts with IoU 0.",
        ),
        Mistake(
            "classes without a hit left out",
            _averaged(_only_hit_classes),
            "You leave out every class with an IoU of 0. Only a class that is in neither map has none; "
            "one that was missed altogether counts, with 0.",
        ),
        Mistake(
            "weighted by size",
            _averaged(_weighted_by_size),
            "You weigh each class by its pixels, so that the large ones decide. In this mean all classes "
            "that occur weigh the same.",
        ),
        Mistake(
            "no mean",
            lambda p, t, num_classes, ignore_index: _ious(p, t, num_classes, t != ignore_index),
            "You return one IoU for each class. One number is asked: their mean, over the classes that "
            "have an IoU.",
        ),
    ),
)


# 3.4 -----------------------------------------------------------------------------------------------


def _image_ious(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """IoU of each class in each image, ``(N, C)``."""
    counted = torch.ones_like(targets[0], dtype=torch.bool)
    pairs = zip(predictions, targets, strict=True)
    return torch.stack([_ious(*pair, num_classes, counted) for pair in pairs])


def _over_images(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    return _image_ious(predictions, targets, num_classes).nanmean(1).mean()


def _over_data_set(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    counted = torch.ones_like(targets, dtype=torch.bool)
    return _ious(predictions, targets, num_classes, counted).nanmean()


def two_means(predictions: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The mean of the images' mIoU, and the mIoU of all pixels together."""
    return _over_images(predictions, targets, num_classes), _over_data_set(predictions, targets, num_classes)


def _first(average: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """Another mean of the images' IoUs ``(N, C)``."""
    return lambda predictions, targets, num_classes: (
        average(_image_ious(predictions, targets, num_classes)),
        _over_data_set(predictions, targets, num_classes),
    )


def _means_cases(generator: torch.Generator) -> list[Case]:
    half = torch.tensor([[0, 0, 1, 1]])
    bare = torch.zeros_like(half)
    speck = torch.tensor([[0, 0, 0, 1]])
    cases = [
        Case((torch.stack([half, bare]), torch.stack([half, speck]), 2), "the speck in image 1 is missed"),
        Case((torch.stack([half, speck]), torch.stack([half, half]), 2), "the same class twice"),
        Case((torch.stack([half, bare]), torch.stack([speck, bare]), 2), "image 1 has one class only"),
        Case((torch.stack([half, bare]), torch.stack([half, bare]), 3), "all right; class 2 occurs nowhere"),
        Case((torch.stack([half]), torch.stack([speck]), 2), "a single image: both are equal"),
        Case((torch.stack([half, 2 * speck]), torch.stack([half, speck]), 3), "class 2 is only predicted"),
    ]
    for images, classes, height, width in ((3, 4, 3, 4), (5, 3, 4, 6), (4, 6, 3, 3), (8, 5, 10, 12)):
        targets = _labels(generator, classes, images, height, width)
        least = torch.arange(images) % (classes - 1)  # so that images hold different classes
        targets = torch.maximum(targets, least[:, None, None])
        predictions = torch.maximum(_guess(generator, targets, classes), least[:, None, None])
        cases.append(Case((predictions, targets, classes)))
    return cases


def _pooled_iou(predictions: Tensor, targets: Tensor) -> Tensor:
    """Intersections of all classes over their unions: a pixel that is wrong is in two of them."""
    hits = (predictions == targets).sum()
    return hits / (2 * targets.numel() - hits)


def _confusion_ious(confusion: Tensor) -> Tensor:
    return confusion.diagonal() / (confusion.sum(0) + confusion.sum(1) - confusion.diagonal())


def _scored(
    score: Callable[[Tensor], Tensor], average: Callable[[Tensor], Tensor] = torch.mean
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """Both means of another score of a confusion matrix."""

    def wrong(predictions: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        pairs = zip(predictions, targets, strict=True)
        images = torch.stack([score(confusion_matrix(*pair, num_classes)) for pair in pairs])
        return average(images), score(confusion_matrix(predictions, targets, num_classes))

    return wrong


MEANS = Exercise(
    "3.4",
    "The mean of what?",
    two_means,
    _means_cases,
    any_float=True,
    places=("the mean of the images", "the score of all pixels together"),
    plan=(
        "Make one confusion matrix for each image. Both answers come from this stack.",
        "First number: score every image by itself, over the classes that it has. Then average these "
        "scores: what is averaged last is images.",
        "Second number: add up all matrices, then score once. What is divided last is counts.",
        "Try both on the case by hand: 0.6875 and 0.75.",
    ),
    mistakes=(
        Mistake(
            "exchanged",
            lambda predictions, targets, num_classes: two_means(predictions, targets, num_classes)[::-1],
            "Both numbers are right, in the wrong order. First the mean of the images' scores, then the "
            "score of all pixels together.",
        ),
        Mistake(
            "data set twice",
            lambda predictions, targets, num_classes: (
                (_over_data_set(predictions, targets, num_classes),) * 2
            ),
            "Your first number is the score of all pixels together. It should be the mean of one mIoU an "
            "image: score first, then average.",
        ),
        Mistake(
            "images twice",
            lambda predictions, targets, num_classes: (_over_images(predictions, targets, num_classes),) * 2,
            "Your second number is the mean of the images' scores. It should be one score for all: add up "
            "the images' counts first, then divide.",
        ),
        Mistake(
            "absent in an image is 0",
            _first(lambda ious: ious.nan_to_num(0.0).mean()),
            "An image that lacks a class gets 0 for it from you. It has no IoU there: each image averages "
            "over its own classes.",
        ),
        Mistake(
            "absent in an image is 1",
            _first(lambda ious: ious.nan_to_num(1.0).mean()),
            "An image that lacks a class gets 1 for it from you. It has no IoU there: each image averages "
            "over its own classes.",
        ),
        Mistake(
            "classes first",
            _first(lambda ious: ious.nanmean(0).nanmean()),
            "You average each class over the images, then over the classes. That is a third score. Each "
            "image should have its own mIoU, and all images weigh the same.",
        ),
        Mistake(
            "all entries alike",
            _first(lambda ious: ious.nanmean()),
            "You average over all images and classes at once, so that an image with more classes weighs "
            "more. First one mIoU an image, then their mean.",
        ),
        Mistake(
            "sum over images",
            _first(lambda ious: ious.nanmean(1).sum()),
            "Your first number grows with the number of images: divide by it.",
        ),
        Mistake(
            "hits over unions of all classes",
            lambda predictions, targets, num_classes: (
                _over_images(predictions, targets, num_classes),
                _pooled_iou(predictions, targets),
            ),
            "Your second number adds up the intersections and the unions of all classes and divides once. "
            "Divide for each class, then average: each class weighs the same.",
        ),
        Mistake(
            "share of right pixels",
            _scored(lambda confusion: confusion.diagonal().sum() / confusion.sum()),
            "Yours is the share of pixels that are right. IoU asks of each class how much of its union is "
            "shared.",
        ),
        Mistake(
            "union too large",
            _scored(
                lambda confusion: (confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))).nanmean()
            ),
            "Each map alone counts the pixels where both have the class, so your union holds them twice. A "
            "perfect image should get 1.",
        ),
        Mistake(
            "Dice",
            _scored(
                lambda confusion: (2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))).nanmean()
            ),
            "That is the Dice score: twice the shared pixels over the sum of both maps. IoU divides what is"
            " shared by the union.",
        ),
        Mistake(
            "recall",
            _scored(lambda confusion: (confusion.diagonal() / confusion.sum(1)).nanmean()),
            "You divide by the pixels of the truth alone. The union holds the pixels that are only "
            "predicted as well.",
        ),
        Mistake(
            "classes of the truth only",
            _scored(lambda confusion: _confusion_ious(confusion)[confusion.sum(1) > 0].mean()),
            "You leave out a class that is only predicted. It has a union, so its IoU is 0, and it counts.",
        ),
        Mistake(
            "class 0 left out",
            _scored(lambda confusion: _confusion_ious(confusion)[1:].nanmean(), torch.nanmean),
            "Class 0 is missing from your means. It is a class like any other here.",
        ),
        Mistake(
            "images with every class only",
            _first(lambda ious: ious.mean(1).nanmean()),
            "An image that lacks a class is left out of your mean as a whole. Leave out the class, not the "
            "image.",
        ),
        Mistake(
            "the first image only",
            lambda predictions, targets, num_classes: two_means(predictions[:1], targets[:1], num_classes),
            "Both numbers come from the first image alone. Does your loop return before it has seen the "
            "others?",
        ),
        Mistake(
            "one score a row",
            lambda predictions, targets, num_classes: (
                _over_images(predictions.flatten(0, 1), targets.flatten(0, 1), num_classes),
                _over_data_set(predictions, targets, num_classes),
            ),
            "You score each row of pixels and average over rows. The first axis counts the images: one "
            "score for each.",
        ),
        Mistake(
            "classes counted in the truth",
            lambda predictions, targets, num_classes: two_means(
                predictions, targets, min(num_classes, int(targets.max()) + 1)
            ),
            "You take the number of classes from the truth. A class that occurs in a prediction alone is "
            "missing then; `num_classes` is given.",
        ),
        Mistake(
            "pixel accuracy second",
            lambda predictions, targets, num_classes: (
                _over_images(predictions, targets, num_classes),
                (predictions == targets).float().mean(),
            ),
            "Your second number is the share of pixels that are right. A mean IoU is asked, from the "
            "counts of all images together.",
        ),
        Mistake(
            "no mean over the images",
            lambda predictions, targets, num_classes: (
                _image_ious(predictions, targets, num_classes).nanmean(1),
                _over_data_set(predictions, targets, num_classes),
            ),
            "Your first value has one score for each image. One number is asked: the mean of these scores.",
        ),
    ),
)


# 3.5 -----------------------------------------------------------------------------------------------


def precision_recall(scores: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall of the k with the highest scores, for k = 1 to K."""
    order = scores.argsort(descending=True)
    hits, misses = correct[order].cumsum(0), (~correct[order]).cumsum(0)
    return hits / (hits + misses), hits / hits[-1]


def _sorted_hits(scores: Tensor, correct: Tensor) -> Tensor:
    return correct[scores.argsort(descending=True)].cumsum(0)


def _precision(
    precision: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Another precision, from the hits, the rank and the scores' right ones in order."""

    def wrong(scores: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
        hits, rank = _sorted_hits(scores, correct), torch.arange(1, len(scores) + 1)
        ordered = correct[scores.argsort(descending=True)]
        return precision(hits, rank, ordered).float(), hits / correct.sum()

    return wrong


def _unsorted(scores: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    hits = correct.cumsum(0)
    return hits / torch.arange(1, len(hits) + 1), hits / correct.sum()


def _recall_of_all(scores: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    precision, _ = precision_recall(scores, correct)
    return precision, _sorted_hits(scores, correct) / len(scores)


def _ranking_cases(generator: torch.Generator) -> list[Case]:
    right = torch.tensor([True, False, True, False])
    cases = [
        Case((torch.tensor([0.9, 0.8, 0.7, 0.2]), right), "already in order: right, wrong, right, wrong"),
        Case((torch.tensor([0.2, 0.9, 0.7, 0.8]), right), "the surest two are wrong"),
        Case((torch.tensor([3.0, -1.0, 2.0, -5.0]), right), "scores of any size: all right ones come first"),
        Case((torch.tensor([2.0, 3.0, -4.0, -1.0]), ~right), "scores below 0 and above 1 differ as well"),
        Case((torch.tensor([0.1, 0.5]), torch.tensor([True, True])), "all are right"),
        Case((torch.tensor([0.5]), torch.tensor([True])), "a single one"),
    ]
    for size in (6, 15, 40, 200):
        scores = torch.randperm(size, generator=generator) / size  # no two alike
        correct = torch.rand(size, generator=generator) < 0.2 + 0.6 * scores
        correct[0] = True
        cases.append(Case((scores, correct)))
    return cases


def _of_hits(ordered: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """The curve of right ones in an order."""
    hits = ordered.cumsum(0)
    return hits / torch.arange(1, len(hits) + 1), hits / total


def _reordered(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], tuple[Tensor, ...]]:
    return lambda scores, correct: tuple(
        change(scores.argsort(descending=True), part) for part in precision_recall(scores, correct)
    )


def _accepted_before(scores: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    """Strictly above the threshold: one pixel fewer each time."""
    hits = torch.cat([torch.zeros(1), _sorted_hits(scores, correct)[:-1].float()])
    return hits / torch.arange(len(hits)).clamp(min=1), hits / correct.sum()


def _recall_not_cumulated(scores: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    precision, _ = precision_recall(scores, correct)
    return precision, correct[scores.argsort(descending=True)] / correct.sum()


RANKING = Exercise(
    "3.5",
    "Precision, recall and a threshold",
    precision_recall,
    _ranking_cases,
    places=("precision", "recall"),
    plan=(
        "Find the order of the pixels, surest first, and put `correct` into this order. The scores are "
        "not needed any more.",
        "Go through it once: after k pixels, how many of them were right? A running sum says so for every k.",
        "Precision divides this by how many were accepted so far, recall by how many right ones there "
        "are in all.",
        "Check the ends: the last recall is 1, and the last precision is the share of right ones.",
    ),
    mistakes=(
        Mistake(
            "least sure first",
            lambda scores, correct: precision_recall(-scores, correct),
            "You begin with the lowest score. The surest pixel comes first.",
        ),
        Mistake(
            "not sorted",
            _unsorted,
            "You go through the pixels in the order in which they came. Sort them by score, and take "
            "`correct` along in the same order.",
        ),
        Mistake(
            "exchanged",
            lambda scores, correct: precision_recall(scores, correct)[::-1],
            "Precision and recall are exchanged. Precision divides by how many you accept, recall by how "
            "many there are to find.",
        ),
        Mistake(
            "precision of all pixels",
            _precision(lambda hits, rank, ordered: hits / len(hits)),
            "Your precision divides by the number of all pixels. After the first k it should divide by k.",
        ),
        Mistake(
            "recall of all pixels",
            _recall_of_all,
            "Your recall divides by the number of all pixels. It should come to 1 once every right one has "
            "been accepted: divide by how many are right.",
        ),
        Mistake(
            "rank from 0",
            _precision(lambda hits, rank, ordered: hits / (rank - 1)),
            "You divide by 0, 1, 2, ...: the first entry accepts one pixel, not none.",
        ),
        Mistake(
            "not cumulated",
            _precision(lambda hits, rank, ordered: ordered / rank),
            "Your precision counts pixel k alone. All of the first k are accepted: how many of "
            "them are right?",
        ),
        Mistake(
            "never falls",
            _precision(lambda hits, rank, ordered: (hits / rank).flip(0).cummax(0).values.flip(0)),
            "Your precision is the highest at this recall or a higher one, as PASCAL VOC interpolates it. "
            "Here it is asked as it is, and may rise and fall.",
        ),
        Mistake(
            "in the order of the input",
            _reordered(lambda order, values: values[order.argsort()]),
            "Your numbers stand at the places where the scores came in. Asked for is the order in which "
            "pixels are accepted: the surest first.",
        ),
        Mistake(
            "ranks as places",
            lambda scores, correct: _unsorted(scores, correct[scores.argsort(descending=True).argsort()]),
            "You pick from `correct` by rank: which place each pixel takes. Needed is which pixel takes "
            "each place.",
        ),
        Mistake(
            "the last one not accepted",
            _accepted_before,
            "For each score you count those above it, so the pixel itself is never accepted. After the "
            "first step one pixel is.",
        ),
        Mistake(
            "scores above one half only",
            lambda scores, correct: _of_hits(
                (correct & (scores > 0.5))[scores.argsort(descending=True)], int(correct.sum())
            ),
            "You count a pixel as accepted only if its score is above one half. Every threshold is asked "
            "for: in the end all pixels are accepted.",
        ),
        Mistake(
            "by absolute value",
            lambda scores, correct: _of_hits(
                correct[scores.abs().argsort(descending=True)], int(correct.sum())
            ),
            "You sort by the size of a score without its sign. A large negative score is the least sure.",
        ),
        Mistake(
            "scores cut to 0 and 1",
            lambda scores, correct: _of_hits(
                correct[scores.clamp(0, 1).argsort(descending=True, stable=True)], int(correct.sum())
            ),
            "Scores below 0 or above 1 become alike in yours, and their order is lost. A score may be any "
            "number.",
        ),
        Mistake(
            "the wrong ones counted",
            lambda scores, correct: precision_recall(scores, ~correct),
            "You count the pixels that are wrong. Precision and recall count the right ones.",
        ),
        Mistake(
            "neither cumulated",
            lambda scores, correct: tuple(
                correct[scores.argsort(descending=True)] / by
                for by in (torch.arange(1, len(scores) + 1), correct.sum())
            ),
            "Both of yours count pixel k alone. After k pixels all of the first k are accepted: how many of"
            " them are right?",
        ),
        Mistake(
            "recall of the accepted",
            lambda scores, correct: (precision_recall(scores, correct)[0],) * 2,
            "Your recall divides by what has been accepted so far, as precision does. It divides by all "
            "that there is to find.",
        ),
        Mistake(
            "IoU for precision",
            _precision(lambda hits, rank, ordered: hits / (rank + ordered.sum() - hits)),
            "Your first number divides by the union of what is accepted and what is to be found. Precision "
            "divides by what is accepted.",
        ),
        Mistake(
            "whole numbers",
            lambda scores, correct: tuple(part.floor() for part in precision_recall(scores, correct)),
            "All your shares are 0 or 1: a division of whole numbers drops what comes after the point.",
        ),
        Mistake(
            "a point before the first",
            lambda scores, correct: tuple(
                torch.cat([torch.full((1,), first), part])
                for first, part in zip((1.0, 0.0), precision_recall(scores, correct), strict=True)
            ),
            "You put the point of nothing accepted before the others. Asked for are K numbers, from the "
            "first pixel on.",
        ),
        Mistake(
            "rank one too large",
            _precision(lambda hits, rank, ordered: hits / (rank + 1)),
            "You divide by 2, 3, 4, ...: after the first step one pixel is accepted, not two.",
        ),
        Mistake(
            "recall not cumulated",
            _recall_not_cumulated,
            "Your recall counts pixel k alone. All right ones among the first k have been found: the "
            "recall never falls, and ends at 1.",
        ),
    ),
)


EXERCISES = (CONFUSION, IOU, IGNORING, MEANS, RANKING)
