"""Metrics equal their definitions, torchmetrics, scikit-learn and pycocotools' arithmetic."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as peer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from sklearn import metrics as sklearn

from segcore import metrics
from segcore.metrics import (
    METHODS,
    average_precision,
    boundary_f1,
    confusion_matrix,
    dice,
    frequency_weighted_iou,
    iou,
    mean_accuracy,
    mean_iou,
    pixel_accuracy,
    precision_recall,
)

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)
SCORES = (pixel_accuracy, mean_accuracy, iou, mean_iou, frequency_weighted_iou, dice)
DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16)


def maps(shape=(3, 20, 30), classes=5, ignored=255, seed=0, dtype=torch.int64):
    """A truth with ignored pixels, and a prediction that is mostly right."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, shape, generator=generator)
    guess = torch.randint(classes, shape, generator=generator)
    prediction = torch.where(torch.rand(shape, generator=generator) < 0.7, target, guess)
    if ignored is not None:
        target[torch.rand(shape, generator=generator) < 0.2] = ignored
    return prediction.to(dtype), target.to(dtype)


def confusion_twin(prediction, target, classes, ignored):
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True):
        if t != ignored:
            counts[t, p] += 1
    return counts


# --- The confusion matrix ---


@settings(steady, max_examples=60)
@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 7), min_size=0, max_size=3),
    st.sampled_from([255, -1, -100, 0, 3, 9, 70_000, None]),
    st.integers(0, 10**6),
)
def test_the_matrix_is_that_of_a_loop_over_pixels(classes, shape, ignored, seed):
    prediction, target = maps(shape, classes, ignored, seed)
    ours = confusion_matrix(prediction, target, classes, ignored)
    assert ours.dtype == torch.int64
    assert torch.equal(ours, confusion_twin(prediction, target, classes, ignored))


@pytest.mark.parametrize(("one", "other"), itertools.product(DTYPES, DTYPES))
def test_any_two_integer_dtypes_will_do(one, other):
    prediction, target = maps(classes=100, ignored=127)
    expected = confusion_twin(prediction, target, 100, 127)
    assert torch.equal(confusion_matrix(prediction.to(one), target.to(other), 100, 127), expected)


def test_masks_of_bools_are_two_classes():
    prediction, target = maps(classes=2, ignored=None)
    assert torch.equal(
        confusion_matrix(prediction.bool(), target.bool(), 2), confusion_twin(prediction, target, 2, None)
    )


@pytest.mark.parametrize("piece", [1, 7, 1800])
def test_pieces_of_any_size_give_the_same(piece, monkeypatch):
    prediction, target = maps(classes=2, ignored=1)
    expected = confusion_matrix(prediction, target, 2, 1)
    monkeypatch.setattr(metrics, "_PIXELS", piece)
    assert torch.equal(confusion_matrix(prediction, target, 2, 1), expected)
    with pytest.raises(ValueError, match="target holds 5 at a pixel that counts"):
        target[-1, -1, -1] = 5
        confusion_matrix(prediction, target, 2, 1)


def test_a_large_map_is_counted_as_by_torchmetrics():
    prediction, target = maps((4, 400, 500), 19)
    expected = peer.multiclass_confusion_matrix(prediction, target, 19, ignore_index=255)
    assert torch.equal(confusion_matrix(prediction, target, 19), expected)
    assert torch.equal(confusion_matrix(prediction.byte(), target.byte(), 19), expected)


def test_hundreds_of_classes_do_not_overflow():
    prediction, target = maps((100, 100), 999, ignored=1000)
    expected = peer.multiclass_confusion_matrix(prediction, target, 999, ignore_index=1000)
    assert torch.equal(confusion_matrix(prediction, target, 999, 1000), expected)
    assert torch.equal(confusion_matrix(prediction.short(), target.short(), 999, 1000), expected)


def test_inputs_stay_as_they_were_and_need_not_be_contiguous():
    prediction, target = (labels.mT for labels in maps())
    before = prediction.clone(), target.clone()
    ours = confusion_matrix(prediction, target, 5)
    assert torch.equal(prediction, before[0]) and torch.equal(target, before[1])
    assert torch.equal(ours, confusion_matrix(before[0].contiguous(), before[1].contiguous(), 5))


def test_what_a_prediction_says_at_ignored_pixels_is_not_looked_at():
    prediction, target = maps()
    expected = confusion_matrix(prediction, target, 5)
    for nonsense in (255, -7, 5, 10**9):
        changed = torch.where(target == 255, nonsense, prediction)
        assert torch.equal(confusion_matrix(changed, target, 5), expected)


def test_unsigned_labels_do_not_wrap_to_a_negative_ignore_index():
    """uint8 255 compares equal to -1 in torch."""
    target = torch.tensor([0, 255], dtype=torch.uint8)
    with pytest.raises(ValueError, match="target holds 255 at a pixel that counts"):
        confusion_matrix(torch.zeros_like(target), target, 2, ignore_index=-1)
    with pytest.raises(ValueError, match="target holds 255"):
        boundary_f1(torch.zeros(1, 2, dtype=torch.uint8), target[None], 1, 2, ignore_index=-1)
    assert confusion_matrix(torch.zeros_like(target), target, 300, None)[255, 0] == 1


def test_labels_beyond_32_bits_are_not_taken_for_classes():
    wrong = torch.tensor([0, 2**32 + 1])
    with pytest.raises(ValueError, match=f"prediction holds {2**32 + 1} at a pixel that counts"):
        confusion_matrix(wrong, torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match=f"target holds {2**32 + 1} at a pixel that counts"):
        confusion_matrix(torch.tensor([0, 1]), wrong, 2)


def test_all_ignored_or_empty_is_a_matrix_of_zeros_and_every_score_is_nan():
    ignored = torch.full((4, 4), 255)
    for prediction, target in ((ignored, ignored), (torch.zeros(0, 4).long(), torch.zeros(0, 4).long())):
        confusion = confusion_matrix(prediction, target, 3)
        assert torch.equal(confusion, torch.zeros(3, 3, dtype=torch.int64))
        for score in SCORES:
            assert score(confusion).isnan().all(), score.__name__
        assert boundary_f1(prediction, target, 1, 3).isnan().all()


@pytest.mark.parametrize(
    ("prediction", "target", "text"),
    [
        ([0, 3], [0, 1], "prediction holds 3 at a pixel that counts: expected classes 0 to 2$"),
        ([-1, -1], [0, 1], "prediction holds -1 at a pixel that counts: expected classes 0 to 2$"),
        ([0, 255], [0, 1], "prediction holds 255 .* only the target can ignore a pixel"),
        ([0, 1], [0, 3], "target holds 3 at a pixel that counts: expected .* 0 to 2, or ignore_index=255"),
        ([0, 1], [-1, 3], "target holds -1 at a pixel that counts"),
        ([0, 1], [256, 0], "target holds 256 at a pixel that counts"),
        ([255, 1], [255, 254], "target holds 254 at a pixel that counts"),
    ],
)
def test_a_label_that_is_no_class_is_named(prediction, target, text):
    prediction, target = torch.tensor(prediction), torch.tensor(target)
    with pytest.raises(ValueError, match=text):
        confusion_matrix(prediction, target, 3)
    with pytest.raises(ValueError, match=text):
        boundary_f1(prediction[None], target[None], 1, 3)


def test_where_nothing_is_ignored_255_is_refused():
    labels = torch.tensor([0, 255])
    with pytest.raises(ValueError, match=r"target holds 255 .* 0 to 1, and nothing is ignored"):
        confusion_matrix(torch.zeros(2, dtype=torch.int64), labels, 2, ignore_index=None)


@pytest.mark.parametrize("function", [confusion_matrix, lambda p, t, c: boundary_f1(p, t, 1, c)])
def test_what_is_no_pair_of_label_maps_is_refused(function):
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    logits = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"float32 \(2, 3, 4, 4\); take argmax over axis 1"):
        function(logits, labels, 3)
    with pytest.raises(ValueError, match=r"\(2, 4, 4\), got \(2, 3, 4, 4\); .* take argmax over axis 1"):
        function(logits.long(), labels, 3)
    with pytest.raises(ValueError, match=r"target .* got float32 \(2, 4, 4\); .* with target\.long\(\)"):
        function(labels, labels.float(), 3)
    with pytest.raises(ValueError, match=r"shape of target, \(2, 4, 3\), got \(2, 4, 4\)"):
        function(labels, labels[..., 1:], 3)
    with pytest.raises(TypeError, match=r"expected prediction as a tensor .*, got ndarray"):
        function(labels.numpy(), labels, 3)
    with pytest.raises(ValueError, match="num_classes of at least 1, got 0"):
        function(labels, labels, 0)
    with pytest.raises(TypeError, match=r"num_classes as a whole number, got 3\.5"):
        function(labels, labels, 3.5)
    with pytest.raises(ValueError, match="prediction on the device of target, meta, got cpu"):
        function(labels, labels.to("meta"), 3)


# --- Scores of a matrix ---


def test_scores_by_hand():
    confusion = torch.tensor([[3, 0, 1, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert pixel_accuracy(confusion).item() == pytest.approx(5 / 7, abs=1e-15)
    assert mean_accuracy(confusion).item() == pytest.approx((3 / 4 + 2 / 3) / 2, abs=1e-15)
    torch.testing.assert_close(
        iou(confusion), torch.tensor([3 / 5, 2 / 3, 0, math.nan]).double(), equal_nan=True
    )
    assert mean_iou(confusion).item() == pytest.approx((3 / 5 + 2 / 3 + 0) / 3, abs=1e-15)
    assert frequency_weighted_iou(confusion).item() == pytest.approx((4 * 3 / 5 + 3 * 2 / 3) / 7, abs=1e-15)
    torch.testing.assert_close(
        dice(confusion), torch.tensor([6 / 8, 4 / 5, 0, math.nan]).double(), equal_nan=True
    )


@settings(steady, max_examples=30)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_scores_from_sets_of_pixels(classes, seed):
    """Without the matrix: intersections, unions and sums of masks."""
    prediction, target = maps((6, 7), classes, seed=seed)
    counted = target != 255
    ious, recalls, weights, dices = [], [], [], []
    for number in range(classes):
        a, b = (prediction == number) & counted, (target == number) & counted
        both, either = int((a & b).sum()), int((a | b).sum())
        ious.append(both / either if either else math.nan)
        dices.append(2 * both / (int(a.sum()) + int(b.sum())) if either else math.nan)
        recalls.append(both / int(b.sum()) if b.any() else math.nan)
        weights.append(int(b.sum()) / max(int(counted.sum()), 1))
    confusion = confusion_matrix(prediction, target, classes)
    expected = {
        iou: ious,
        dice: dices,
        mean_iou: float(np.nanmean(ious)),
        mean_accuracy: float(np.nanmean(recalls)),
        pixel_accuracy: int((prediction == target)[counted].sum()) / int(counted.sum()),
        frequency_weighted_iou: sum(w * v for w, v in zip(weights, ious, strict=True) if w),
    }
    for score, value in expected.items():
        ours = score(confusion)
        assert ours.dtype == torch.float64
        torch.testing.assert_close(
            ours, torch.tensor(value, dtype=torch.float64), rtol=0, atol=1e-14, equal_nan=True
        )


@pytest.mark.parametrize("ignored", [255, None])
def test_torchmetrics_and_scikit_learn_agree_where_all_classes_occur(ignored):
    prediction, target = maps((2, 50, 60), 7, ignored)
    confusion = confusion_matrix(prediction, target, 7, ignored)
    options = {"num_classes": 7, "ignore_index": ignored}
    for ours, theirs in (
        (iou(confusion), peer.multiclass_jaccard_index(prediction, target, average="none", **options)),
        (mean_iou(confusion), peer.multiclass_jaccard_index(prediction, target, **options)),
        (pixel_accuracy(confusion), peer.multiclass_accuracy(prediction, target, average="micro", **options)),
        (mean_accuracy(confusion), peer.multiclass_accuracy(prediction, target, **options)),
        (dice(confusion), peer.multiclass_f1_score(prediction, target, average="none", **options)),
    ):
        torch.testing.assert_close(ours, theirs.double(), rtol=0, atol=1e-6)
    counted = target != ignored if ignored else torch.ones_like(target, dtype=torch.bool)
    p, t = prediction[counted].numpy(), target[counted].numpy()
    assert np.array_equal(confusion.numpy(), sklearn.confusion_matrix(t, p))
    for ours, theirs in (
        (iou(confusion), sklearn.jaccard_score(t, p, average=None)),
        (mean_iou(confusion), sklearn.jaccard_score(t, p, average="macro")),
        (frequency_weighted_iou(confusion), sklearn.jaccard_score(t, p, average="weighted")),
        (pixel_accuracy(confusion), sklearn.accuracy_score(t, p)),
        (mean_accuracy(confusion), sklearn.balanced_accuracy_score(t, p)),
        (dice(confusion), sklearn.f1_score(t, p, average=None)),
    ):
        torch.testing.assert_close(ours, torch.as_tensor(theirs, dtype=torch.float64), rtol=0, atol=1e-14)


def test_stacked_matrices_are_scored_one_by_one():
    pairs = [maps((5, 5), 4, seed=seed) for seed in range(3)]
    stacked = torch.stack([confusion_matrix(*pair, 4) for pair in pairs])
    for score in SCORES:
        expected = torch.stack([score(confusion) for confusion in stacked])
        torch.testing.assert_close(score(stacked), expected, rtol=0, atol=0, equal_nan=True)


def test_a_normalised_matrix_scores_the_same():
    confusion = confusion_matrix(*maps(), 5)
    for score in SCORES:
        torch.testing.assert_close(score(confusion / confusion.sum()), score(confusion), rtol=1e-6, atol=0)


@pytest.mark.parametrize("score", SCORES)
def test_what_is_no_matrix_is_refused(score):
    with pytest.raises(ValueError, match=r"confusion matrix \(..., C, C\), got int64 \(3, 4\): make it with"):
        score(torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="negative"):
        score(torch.tensor([[1, 0], [0, -1]]))
    with pytest.raises(TypeError, match="got list"):
        score([[1, 0], [0, 1]])


# --- Average precision ---


def ranking(seed, ties=False, size=40):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(size, generator=generator)
    if ties:
        scores = (scores * 6).round() / 6
    return scores, torch.rand(size, generator=generator) < scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_step_is_scikit_learns_average_precision(seed, ties):
    scores, correct = ranking(seed, ties)
    theirs = sklearn.average_precision_score(correct.numpy(), scores.numpy())
    assert average_precision(scores, correct, int(correct.sum())).item() == pytest.approx(theirs, abs=1e-14)
    precision, recall, _ = sklearn.precision_recall_curve(correct.numpy(), scores.numpy())
    ours = precision_recall(scores, correct, int(correct.sum()))
    np.testing.assert_allclose(ours[0].flip(0), precision[:-1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(ours[1].flip(0), recall[:-1], rtol=0, atol=1e-15)


def coco_twin(scores, correct, positives):
    """As in pycocotools' accumulate()."""
    order = np.argsort(-scores.numpy(), kind="mergesort")
    hits = np.cumsum(correct.numpy()[order])
    recall, precision = hits / positives, (hits / np.arange(1, len(hits) + 1)).tolist()
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    found = np.zeros(101)
    for n, place in enumerate(np.searchsorted(recall, np.linspace(0, 1, 101), side="left")):
        if place < len(precision):
            found[n] = precision[place]
    return found.mean()


def voc_twin(scores, correct, positives, years):
    order = np.argsort(-scores.numpy(), kind="mergesort")
    hits = [int(v) for v in np.cumsum(correct.numpy()[order])]
    points = [(h, h / (k + 1)) for k, h in enumerate(hits)]
    if years == "voc07":
        best = [max((p for h, p in points if 10 * h >= t * positives), default=0.0) for t in range(11)]
        return sum(best) / 11
    area, before = 0.0, 0
    for h, _ in points:
        area += (h - before) / positives * max(p for other, p in points if other >= h)
        before = h
    return area


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("missed", [0, 3, 100])
def test_coco_and_voc_are_those_of_the_challenges(seed, ties, missed):
    scores, correct = ranking(seed, ties, size=(30, 7, 100)[seed % 3])
    positives = int(correct.sum()) + missed
    coco = average_precision(scores, correct, positives, "coco").item()
    assert coco == pytest.approx(coco_twin(scores, correct, positives), abs=1e-14)
    for method in ("voc07", "voc10"):
        ours = average_precision(scores, correct, positives, method).item()
        assert ours == pytest.approx(voc_twin(scores, correct, positives, method), abs=1e-14)


@pytest.mark.parametrize("positives", [10, 20, 100, 1000])
def test_a_recall_that_meets_a_threshold_has_reached_it(positives):
    """With all right, precision is 1 up to the recall reached: thresholds 0 to 0.3 are met, 7 of them not."""
    found = 3 * positives // 10
    scores, correct = torch.linspace(1, 0, found), torch.ones(found, dtype=torch.bool)
    assert average_precision(scores, correct, positives, "voc07").item() == pytest.approx(4 / 11, abs=1e-15)
    coco = average_precision(scores, correct, positives, "coco").item()
    assert coco == pytest.approx(coco_twin(scores, correct, positives), abs=1e-15)


def test_the_thresholds_of_coco_are_numpys():
    assert (torch.arange(101).double() * 0.01).tolist() == np.linspace(0, 1, 101).tolist()


def test_equal_scores_enter_together_in_step_and_one_by_one_elsewhere():
    scores = torch.tensor([0.5, 0.5])
    right_first, wrong_first = torch.tensor([True, False]), torch.tensor([False, True])
    assert [average_precision(scores, c, 1).item() for c in (right_first, wrong_first)] == [0.5, 0.5]
    for method in ("voc07", "voc10", "coco"):
        both = [average_precision(scores, c, 1, method).item() for c in (right_first, wrong_first)]
        assert both == [1.0, 0.5]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_find_is_nan_and_nothing_found_is_zero(method):
    none, some = torch.zeros(0), torch.tensor([0.5, 0.2])
    wrong = torch.zeros(2, dtype=torch.bool)
    assert average_precision(none, wrong[:0], 0, method).isnan()
    assert average_precision(some, wrong, 0, method).isnan()
    assert average_precision(none, wrong[:0], 3, method).item() == 0
    assert average_precision(some, wrong, 3, method).item() == 0
    assert average_precision(some, ~wrong, 2, method).item() == 1
    assert [len(values) for values in precision_recall(none, wrong[:0], 3)] == [0, 0]
    assert precision_recall(some, wrong, 0)[1].isnan().all()


def test_bad_rankings_are_refused():
    scores, correct = torch.tensor([0.5, 0.2]), torch.tensor([True, True])
    with pytest.raises(ValueError, match=r"expected correct of the shape of scores, \(2,\), got \(1,\)"):
        average_precision(scores, correct[:1], 2)
    with pytest.raises(ValueError, match=r"expected correct in bool, got torch\.int64; compare first"):
        precision_recall(scores, correct.long(), 2)
    with pytest.raises(ValueError, match="got NaN"):
        precision_recall(torch.tensor([0.5, math.nan]), correct, 2)
    with pytest.raises(ValueError, match=r"at least the 2 that are correct, got 1"):
        average_precision(scores, correct, 1)
    with pytest.raises(TypeError, match=r"num_positives as a whole number, got 2\.5"):
        average_precision(scores, correct, 2.5)
    with pytest.raises(TypeError, match="got list"):
        average_precision([0.5], correct, 2)
    with pytest.raises(ValueError, match="'step', 'voc07', 'voc10', 'coco', got 'area'"):
        average_precision(scores, correct, 2, "area")


# --- Boundaries ---


def boundary_twin(prediction, target, tolerance, classes, ignored):
    """Definition by scipy's exact distance transform, image by image and class by class."""
    counts = np.zeros((classes, 4), dtype=int)  # near, all; of the prediction and of the truth
    for p, t in zip(prediction.numpy(), target.numpy(), strict=True):
        kept = t != ignored
        for number in range(classes):
            edges = []
            for labels in (p, t):
                edge = np.zeros_like(kept)
                for y, x in zip(*np.nonzero((labels == number) & kept), strict=True):
                    for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                        if 0 <= v < kept.shape[0] and 0 <= u < kept.shape[1] and kept[v, u]:
                            edge[y, x] |= labels[v, u] != number
                edges.append(edge)
            for place, (one, other) in enumerate((edges, edges[::-1])):
                near = distance_transform_edt(~other) <= tolerance if other.any() else np.zeros_like(kept)
                counts[number, 2 * place : 2 * place + 2] += (one & near).sum(), one.sum()
    scores = []
    for near_p, all_p, near_t, all_t in counts.tolist():
        if all_p + all_t == 0:
            scores.append(math.nan)
        elif near_p == 0 or near_t == 0:
            scores.append(0.0)
        else:
            scores.append(2 / (all_p / near_p + all_t / near_t))
    return torch.tensor(scores, dtype=torch.float64)


@settings(steady, max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0, 0.5, 1, math.sqrt(2), 1.5, 2, math.sqrt(5), 3.2, math.sqrt(13), 50, math.inf]),
    st.sampled_from([255, -1, None, 0, 1, 2]),
    st.integers(0, 10**6),
)
def test_boundaries_match_within_a_euclidean_distance(images, height, width, tolerance, ignored, seed):
    prediction, target = maps((images, height, width), 3, ignored, seed)
    ours = boundary_f1(prediction, target, tolerance, 4, ignored)
    expected = boundary_twin(prediction, target, tolerance, 4, ignored)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("tolerance", [0, 1, 2.5, 6, math.sqrt(50)])
def test_boundaries_of_regions(tolerance):
    """Blobs rather than noise, shifted by (5, 5), so that the tolerance decides."""
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    target = ((y - 30).hypot(x - 30) < 17).long() + 2 * ((y - 20).abs() + (x - 60).abs() < 12)
    target[:, 28:31] = 255
    prediction = target.roll((5, 5), (0, 1)).where(target.roll((5, 5), (0, 1)) != 255, 1)
    ours = boundary_f1(prediction[None], target[None], tolerance, 3)
    torch.testing.assert_close(ours, boundary_twin(prediction[None], target[None], tolerance, 3, 255))
    assert torch.equal(boundary_f1(prediction, target, tolerance), ours)


@pytest.mark.parametrize("classes", [1, 2, 8, 9, 16, 17, 32, 33, 64, 65, 130])
def test_any_number_of_classes_is_dilated_at_once(classes):
    """Noise, in which nearly every pixel is a boundary; a class has a bit of a word of 8 to 64."""
    prediction, target = maps((2, 40, 50), classes)
    for tolerance in (0, 1, math.sqrt(5)):
        ours = boundary_f1(prediction, target, tolerance, classes)
        expected = boundary_twin(prediction, target, tolerance, classes, 255)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("disk", [0, 1, 2.5, 1000])
@pytest.mark.parametrize("pixels", [1, 400, 1 << 18])
def test_disk_and_rows_and_pieces_of_a_batch_find_the_same(disk, pixels, monkeypatch):
    """Sparse points, some of them alone, of classes that are in one map only, too."""
    generator = torch.Generator().manual_seed(1)
    prediction, target = torch.randint(120, (2, 3, 50, 60), generator=generator).clamp(min=112) - 112
    target[0, 3, 3] = 9
    target[1, :20, :20] = 255
    monkeypatch.setattr(metrics, "_DISK", disk)
    monkeypatch.setattr(metrics, "_PIXELS", pixels)
    for tolerance in (0, 2, 3.7, 11, 25, math.inf):
        ours = boundary_f1(prediction, target, tolerance, 11)
        expected = boundary_twin(prediction, target, tolerance, 11, 255)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-14, equal_nan=True)


def test_labels_of_classes_that_are_far_apart():
    truth = 30_000 * half_and_half(3)
    ours = boundary_f1(truth.roll(1, 1), truth, 0)
    assert ours.shape == (30_001,) and ours[1:-1].isnan().all()
    assert torch.equal(ours[[0, -1]], boundary_f1(truth.roll(1, 1) // 30_000, truth // 30_000, 0))


def half_and_half(column, size=8):
    labels = torch.zeros(size, size, dtype=torch.int64)
    labels[:, column:] = 1
    return labels


def test_a_shifted_edge_counts_once_the_tolerance_reaches_it():
    truth, shifted = half_and_half(3), half_and_half(5)
    for tolerance, score in ((0, 0.0), (1.999, 0.0), (2, 1.0), (9, 1.0)):
        assert boundary_f1(shifted, truth, tolerance).tolist() == [score, score]


@pytest.mark.parametrize(("down", "right"), [(0, 2), (1, 1), (2, 3), (3, 1), (5, 4)])
def test_a_tolerance_equal_to_the_distance_reaches_it(down, right):
    """Squares of roots are rounded: √13² is less than 13."""
    truth = torch.zeros(12, 12, dtype=torch.int64)
    truth[3, 3] = 1
    distance = math.sqrt(down**2 + right**2)
    for tolerance, score in ((math.nextafter(distance, 0), 0.0), (distance, 1.0)):
        assert boundary_f1(truth.roll((down, right), (0, 1)), truth, tolerance)[1] == score


def test_the_rim_of_the_image_and_of_ignored_pixels_is_no_boundary():
    ones = torch.ones(6, 6, dtype=torch.int64)
    assert boundary_f1(ones, ones, 1).isnan().all()
    truth = half_and_half(3)
    truth[:, 3] = 255
    assert boundary_f1(half_and_half(3), truth, 1).isnan().all()


def test_images_of_a_batch_do_not_help_each_other_but_are_counted_together():
    truth = torch.stack([half_and_half(3), torch.zeros(8, 8, dtype=torch.int64)])
    assert boundary_f1(truth.flip(0), truth, 100).tolist() == [0, 0]
    guess = torch.stack([half_and_half(3), half_and_half(3)])
    assert boundary_f1(guess, truth, 0).tolist() == pytest.approx([2 / 3, 2 / 3])


def test_without_a_number_of_classes_it_is_told_from_the_labels():
    truth = half_and_half(4)
    assert boundary_f1(truth, truth, 1).shape == (2,)
    guess = truth.clone()
    guess[0, 0] = 6
    assert boundary_f1(guess, truth, 1).shape == (7,)
    assert boundary_f1(truth, torch.full_like(truth, 255), 1).shape == (1,)
    with pytest.raises(ValueError, match=r"prediction holds 255 at a pixel .* only the target can ignore"):
        guess[0, 0] = 255
        boundary_f1(guess, truth, 1)


def test_bad_boundaries_are_refused():
    labels = half_and_half(4)
    with pytest.raises(ValueError, match=r"maps \(H, W\) or \(N, H, W\), got int64 \(64,\)"):
        boundary_f1(labels.flatten(), labels.flatten(), 1)
    for tolerance in (-1, math.nan):
        with pytest.raises(ValueError, match=f"tolerance .* of at least 0, got {tolerance}"):
            boundary_f1(labels, labels, tolerance)
    with pytest.raises(TypeError, match="tolerance as a number, got None"):
        boundary_f1(labels, labels, None)


# --- Whatever the caller's torch is set to ---


@pytest.mark.parametrize(("one", "other"), itertools.product(DTYPES, DTYPES))
@pytest.mark.parametrize("ignored", [99, 0, 255, None])
def test_boundaries_of_any_two_integer_dtypes(one, other, ignored):
    prediction, target = maps((2, 12, 12), 99, None if ignored == 255 else ignored)
    expected = boundary_f1(prediction, target, 1.5, 99, ignored)
    assert torch.equal(
        boundary_f1(prediction.to(one), target.to(other), 1.5, 99, ignored).nan_to_num(9),
        expected.nan_to_num(9),
    )


def everything():
    """All that the module computes, of one pair of maps and one ranking."""
    prediction, target = maps()
    scores, correct = ranking(0, ties=True)
    confusion = confusion_matrix(prediction.byte(), target.byte(), 5)
    results = [confusion, confusion_matrix(prediction, target, 500, 4)]
    results += [score(confusion) for score in SCORES]
    results += precision_recall(scores, correct, 50)
    results += [average_precision(scores, correct, count, m) for m in METHODS for count in (50, 1000)]
    return results + [boundary_f1(prediction, target, t, 9) for t in (0, 2.5, 30, math.inf)]


@pytest.fixture
def restored():
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)
    torch.set_default_device(None)


def test_another_default_device_or_dtype_changes_nothing(restored, monkeypatch):
    plain, inputs = everything(), (maps(), ranking(0, ties=True))
    monkeypatch.setitem(globals(), "maps", lambda *_: inputs[0])
    monkeypatch.setitem(globals(), "ranking", lambda *_, **__: inputs[1])
    for device, dtype in (("meta", torch.float32), (None, torch.float16), (None, torch.float64)):
        torch.set_default_device(device)
        torch.set_default_dtype(dtype)
        for ours, expected in zip(everything(), plain, strict=True):
            assert ours.dtype == expected.dtype
            assert torch.equal(ours.nan_to_num(9), expected.nan_to_num(9))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_many_detections_with_scores_of_half_precision(dtype):
    """70,000 do not fit into float16, and bfloat16 counts to 256."""
    scores, correct = (each.repeat(1750) for each in ranking(0, ties=True))
    half = scores.to(dtype)
    theirs = sklearn.average_precision_score(correct.numpy(), half.float().numpy())
    assert average_precision(half, correct, int(correct.sum())).item() == pytest.approx(theirs, abs=1e-13)
    for method in METHODS:
        ours = average_precision(half, correct, 10**5, method)
        assert ours.dtype == torch.float64
        assert ours.item() == average_precision(half.double(), correct, 10**5, method).item()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_matrices_in_small_integers_do_not_overflow(dtype):
    confusion = torch.full((3, 3), min(torch.iinfo(dtype).max, 2**30), dtype=dtype)
    for score in SCORES:
        assert torch.equal(score(confusion), score(confusion.double()))


def test_counts_beyond_32_bits_are_exact():
    confusion = torch.tensor([[3 * 2**40 + 1, 2**40], [0, 2**33]])
    assert pixel_accuracy(confusion).item() == (3 * 2**40 + 1 + 2**33) / (2**42 + 1 + 2**33)
    assert iou(confusion).tolist() == [(3 * 2**40 + 1) / (2**42 + 1), 2**33 / (2**40 + 2**33)]


def test_an_ignored_class_is_neither_counted_nor_an_outline_but_may_be_predicted():
    truth, guess = torch.tensor([[0, 0, 1, 1, 2]]), torch.tensor([[1, 2, 1, 0, 2]])
    assert confusion_matrix(guess, truth, 3, ignore_index=0).tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert mean_iou(confusion_matrix(guess, truth, 3, ignore_index=0)).item() == pytest.approx(
        (0 + 1 / 2 + 1) / 3, abs=1e-15
    )
    assert boundary_f1(guess, truth, 0, 3, ignore_index=0).tolist() == [0, 0, 1]
    assert boundary_f1(guess, truth, 1, 3, ignore_index=0).tolist() == [0, 1, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same():
    prediction, target = maps()
    on_gpu = prediction.cuda(), target.cuda()
    confusion = confusion_matrix(*on_gpu, 5)
    assert confusion.is_cuda and torch.equal(confusion.cpu(), confusion_matrix(prediction, target, 5))
    assert mean_iou(confusion).is_cuda
    assert torch.equal(boundary_f1(*on_gpu, 2).cpu(), boundary_f1(prediction, target, 2))
