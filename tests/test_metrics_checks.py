"""Chapter 3's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics as sklearn

from segcore import metrics as library
from segcore.checks.engine import judge
from segcore.checks.metrics import EXERCISES

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("bincount", "nanmean", "cumsum", "argsort", "reshape", "one_hot", "sum(", "!="):
            assert code not in mistake.hint, (mistake.name, code)


# references against the library --------------------------------------------------------------------


def library_means(predictions, targets, classes):
    pairs = zip(predictions, targets, strict=True)
    matrices = torch.stack([library.confusion_matrix(*pair, classes, None) for pair in pairs])
    return library.mean_iou(matrices).mean().float(), library.mean_iou(matrices.sum(0)).float()


LIBRARY = {
    "3.1": lambda *args: library.confusion_matrix(*args, ignore_index=None),
    "3.2": lambda confusion: library.iou(confusion).float(),
    "3.3": lambda *args: library.mean_iou(library.confusion_matrix(*args)).float(),
    "3.4": library_means,
    "3.5": lambda scores, correct: tuple(
        values.float() for values in library.precision_recall(scores, correct, int(correct.sum()))
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", LIBRARY)
def test_the_references_are_the_librarys(number, seed):
    for case in BY_ID[number].make_cases(seed):
        expected = LIBRARY[number](*case.args)
        torch.testing.assert_close(BY_ID[number].reference(*case.args), expected, equal_nan=True)


def test_the_reference_of_3_5_takes_all_pixels_of_a_photograph():
    """The lab goes on with it where the reader's own is not right."""
    precision, recall = BY_ID["3.5"].reference(torch.rand(200_000), torch.rand(200_000) < 0.5)
    assert len(precision) == 200_000 and recall[-1] == 1


# other right solutions -----------------------------------------------------------------------------


def confusion_by_bincount(prediction, target, num_classes):
    pairs = target.flatten() * num_classes + prediction.flatten()
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def confusion_by_accumulation(prediction, target, num_classes):
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    one = torch.ones((), dtype=torch.int64)
    return counts.index_put_((target.flatten(), prediction.flatten()), one, accumulate=True)


def confusion_by_masks(prediction, target, num_classes):
    classes = range(num_classes)
    return torch.tensor([[int(((target == i) & (prediction == j)).sum()) for j in classes] for i in classes])


def confusion_by_sklearn(prediction, target, num_classes):
    counts = sklearn.confusion_matrix(target.flatten(), prediction.flatten(), labels=range(num_classes))
    return torch.from_numpy(counts)


def iou_by_loop(confusion):
    values = []
    for number in range(len(confusion)):
        hits = float(confusion[number, number])
        union = float(confusion[number].sum() + confusion[:, number].sum()) - hits
        values.append(hits / union if union else math.nan)
    return torch.tensor(values)


def iou_from_dice(confusion):
    dice = 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))
    return dice / (2 - dice)


def mean_iou_by_index(prediction, target, num_classes, ignore_index):
    keep = target != ignore_index
    return iou_by_loop(confusion_by_bincount(prediction[keep], target[keep], num_classes)).nanmean()


def mean_iou_with_a_row_to_spare(prediction, target, num_classes, ignore_index):
    rows = torch.where(target == ignore_index, num_classes, target)
    columns = torch.where(target == ignore_index, 0, prediction)
    pairs = (rows * num_classes + columns).flatten()
    counts = torch.bincount(pairs, minlength=(num_classes + 1) * num_classes).reshape(-1, num_classes)
    return iou_from_dice(counts[:-1]).nanmean()


def mean_iou_as_a_number(prediction, target, num_classes, ignore_index):
    values = iou_by_loop(
        torch.stack(
            [
                torch.stack(
                    [
                        ((target == i) & (prediction == j) & (target != ignore_index)).sum()
                        for j in range(num_classes)
                    ]
                )
                for i in range(num_classes)
            ]
        )
    )
    known = [value for value in values.tolist() if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def means_from_matrices(predictions, targets, num_classes):
    pairs = zip(predictions, targets, strict=True)
    matrices = [confusion_by_bincount(*pair, num_classes) for pair in pairs]
    each = torch.stack([iou_by_loop(matrix).nanmean() for matrix in matrices])
    return each.mean(), iou_by_loop(sum(matrices)).nanmean()


def means_as_numbers(predictions, targets, num_classes):
    each = [
        mean_iou_by_index(p, t, num_classes, -1).item() for p, t in zip(predictions, targets, strict=True)
    ]
    return [sum(each) / len(each), mean_iou_by_index(predictions, targets, num_classes, -1).item()]


def ranking_by_sorting(scores, correct):
    hits = correct[scores.argsort(descending=True)].cumsum(0)
    return hits / torch.arange(1, len(hits) + 1), hits / hits[-1]


def ranking_by_loop(scores, correct):
    pairs = sorted(zip(scores.tolist(), correct.tolist(), strict=True), reverse=True)
    hits, precision, recall = 0, [], []
    for rank, (_, right) in enumerate(pairs, 1):
        hits += right
        precision.append(hits / rank)
        recall.append(hits / int(correct.sum()))
    return torch.tensor(precision), torch.tensor(recall)


RIGHT = {
    "3.1": (
        confusion_by_bincount,
        confusion_by_accumulation,
        confusion_by_masks,
        confusion_by_sklearn,
        LIBRARY["3.1"],
    ),
    "3.2": (iou_by_loop, iou_from_dice, LIBRARY["3.2"]),
    "3.3": (mean_iou_by_index, mean_iou_with_a_row_to_spare, mean_iou_as_a_number),
    "3.4": (means_from_matrices, means_as_numbers, library_means),
    "3.5": (ranking_by_sorting, ranking_by_loop),
}
PAIRS = [
    pytest.param(number, function, id=f"{number}-{function.__name__}")
    for number, functions in RIGHT.items()
    for function in functions
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("number", "function"), PAIRS)
def test_right_solutions_of_any_style_pass(number, function, seed):
    report = judge(BY_ID[number], function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_two_right_solutions():
    assert RIGHT.keys() == BY_ID.keys() and all(len(functions) >= 2 for functions in RIGHT.values())


# mistakes as students write them -------------------------------------------------------------------


def one_place_once(prediction, target, num_classes):
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    counts[target.flatten(), prediction.flatten()] += 1
    return counts


def small_number_below(confusion):
    hits = confusion.diagonal()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits + 1e-9)


def small_number_on_both_sides(confusion):
    hits = confusion.diagonal()
    return (hits + 1e-9) / (confusion.sum(0) + confusion.sum(1) - hits + 1e-9)


def union_of_all_pixels(prediction, target, num_classes, ignore_index):
    pairs = [(prediction == number, target == number) for number in range(num_classes)]
    return torch.stack([(p & t).sum() / (p | t).sum() for p, t in pairs]).nanmean()


def mean_of_concatenated(predictions, targets, num_classes):
    whole = mean_iou_by_index(predictions.flatten(), targets.flatten(), num_classes, -1)
    return whole, whole


def ascending(scores, correct):
    hits = correct[scores.argsort()].cumsum(0)
    return hits / torch.arange(1, len(hits) + 1), hits / hits[-1]


def labels_that_occur(prediction, target, num_classes):
    classes = int(max(prediction.max(), target.max())) + 1
    pairs = target.flatten() * classes + prediction.flatten()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def errors_below(confusion):
    hits = confusion.diagonal()
    missed, wrong = confusion.sum(1) - hits, confusion.sum(0) - hits
    return hits / (missed + wrong)


def mean_with_nan(prediction, target, num_classes, ignore_index):
    keep = target != ignore_index
    return iou_by_loop(confusion_by_bincount(prediction[keep], target[keep], num_classes)).mean()


@pytest.mark.parametrize(
    ("number", "function", "name"),
    [
        ("3.1", one_place_once, "each pair once"),
        ("3.1", lambda p, t, c: confusion_by_bincount(t, p, c), "transposed"),
        ("3.1", labels_that_occur, "as many classes as occur"),
        (
            "3.1",
            lambda p, t, c: torch.bincount(t * c + p, minlength=c * c).reshape(c, c),
            "maps not laid out",
        ),
        ("3.2", errors_below, "only the wrong pixels below"),
        (
            "3.2",
            lambda confusion: iou_by_loop(confusion)[confusion.sum(0) + confusion.sum(1) > 0],
            "absent gone",
        ),
        ("3.2", small_number_below, "absent is 0"),
        (
            "3.3",
            lambda p, t, c, ignored: iou_by_loop(confusion_by_bincount(p, t, c)).nanmean(),
            "nothing dropped",
        ),
        ("3.3", mean_with_nan, "NaN in the mean"),
        ("3.2", small_number_on_both_sides, "absent is 1"),
        ("3.3", union_of_all_pixels, "ignored pixels in the union"),
        ("3.4", mean_of_concatenated, "data set twice"),
        ("3.5", ascending, "least sure first"),
    ],
)
def test_a_mistake_is_recognised_in_another_hand(number, function, name):
    report = judge(BY_ID[number], function)
    assert report.state in ("failed", "error")
    assert report.mistake == name, report.card


def test_two_faults_at_once_are_not_named_wrongly():
    report = judge(BY_ID["3.2"], lambda confusion: BY_ID["3.2"].reference(confusion) * 1.5 + 1)
    assert report.state == "failed" and report.mistake == ""
