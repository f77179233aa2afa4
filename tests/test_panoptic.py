"""Panoptic quality and merging: against plain loops, torchmetrics, random maps, and bad input."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.detection import panoptic_quality as peer

from segcore.data.scenes import make_scenes
from segcore.mask_rcnn import mask_rcnn_for_scenes
from segcore.panoptic import (
    SCENE_CLASSES,
    SCENE_STUFF,
    SCENE_THINGS,
    from_segments,
    match_segments,
    merge,
    panoptic_quality,
    scene_maps,
    semantic_for_scenes,
)

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)
THINGS, STUFF, VOID = [1, 2, 5], [0, 7], 255
NAMES = ("PQ", "SQ", "RQ")


def random_map(height, width, seed, void=0.0, instances=3, cell=4):
    """Blocks of random classes and instances, some of them void."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = -(-height // cell), -(-width // cell)
    classes = torch.tensor(THINGS + STUFF)[torch.randint(5, (rows, columns), generator=generator)]
    classes[torch.rand(rows, columns, generator=generator) < void] = VOID
    numbers = torch.randint(instances, (rows, columns), generator=generator)
    coarse = torch.stack([classes, numbers], dim=-1)
    return coarse.repeat_interleave(cell, 0).repeat_interleave(cell, 1)[:height, :width].contiguous()


def disturbed(panoptic, seed, share=0.2, void=0.0):
    """The map with some pixels copied from another place, some made void, and a row moved aside."""
    generator = torch.Generator().manual_seed(seed)
    other = panoptic.flip(1)
    where = torch.rand(panoptic.shape[:2], generator=generator) < share
    result = torch.where(where[..., None], other, panoptic)
    result[torch.rand(panoptic.shape[:2], generator=generator) < void] = VOID
    return result


def segments_of(panoptic, things, void):
    """For each segment the set of its pixels."""
    found = {}
    for y, x in itertools.product(range(panoptic.shape[0]), range(panoptic.shape[1])):
        kind, number = panoptic[y, x].tolist()
        if kind != void:
            found.setdefault((kind, number if kind in things else 0), set()).add((y, x))
    return found


def twin(predictions, targets, things, stuff, void=VOID):
    """COURSE's definition, pixel sets and loops only."""
    sums = {each: [0.0, 0, 0, 0] for each in [*things, *stuff]}
    for prediction, target in zip(predictions, targets, strict=True):
        guesses, truths = (segments_of(each, things, void) for each in (prediction, target))
        height, width = target.shape[:2]
        open_ = {p for p in itertools.product(range(height), range(width)) if target[p][0] == void}
        matched = set()
        for (kind, _), guess in guesses.items():
            hit = False
            for (other, other_number), truth in truths.items():
                overlap = len(guess & truth) / len((guess - open_) | truth)
                if kind == other and overlap > 0.5:
                    assert not hit and (other, other_number) not in matched, "a segment matches twice"
                    hit = True
                    matched.add((other, other_number))
                    sums[kind][0] += overlap
                    sums[kind][1] += 1
            if not hit and len(guess & open_) / len(guess) <= 0.5:
                sums[kind][2] += 1
        for kind, number in truths:
            if (kind, number) not in matched:
                sums[kind][3] += 1
    scores = {}
    for kind, (overlap, tp, fp, fn) in sums.items():
        size = tp + fp / 2 + fn / 2
        if size == 0:
            scores[kind] = (math.nan,) * 3
        else:
            scores[kind] = (overlap / size, overlap / tp if tp else 0.0, tp / size)
    return scores, {kind: tuple(each[1:]) for kind, each in sums.items()}


def mean_of(scores, kinds):
    counted = [scores[kind] for kind in kinds if not math.isnan(scores[kind][0])]
    return [sum(each[n] for each in counted) / len(counted) if counted else math.nan for n in range(3)]


def assert_equals_twin(predictions, targets, things=THINGS, stuff=STUFF, void=VOID):
    found = panoptic_quality(predictions, targets, things, stuff, void)
    scores, counts = twin(predictions, targets, things, stuff, void)
    assert set(found) == {"all", "things", "stuff", "per_class"}
    for kind, expected in scores.items():
        row = found["per_class"][kind]
        assert [row[name] for name in NAMES] == pytest.approx(list(expected), abs=1e-12, nan_ok=True)
        assert (row["TP"], row["FP"], row["FN"]) == counts[kind]
    for group, kinds in (("all", [*things, *stuff]), ("things", things), ("stuff", stuff)):
        expected = mean_of(scores, kinds)
        assert [found[group][name] for name in NAMES] == pytest.approx(expected, abs=1e-12, nan_ok=True)


# --- Panoptic quality ---


@settings(steady, max_examples=80)
@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.integers(0, 999),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from([1, 2, 4]),
)
def test_it_equals_the_definition_with_void_in_both(height, width, seed, void, open_, cell):
    truth = random_map(height, width, seed, void, cell=cell)
    guess = disturbed(
        random_map(height, width, seed if seed % 3 else seed + 1, 0.1, cell=cell), seed, void=open_
    )
    assert_equals_twin([guess], [truth])


def test_counts_of_all_images_are_added_before_anything_is_divided():
    truths = [random_map(12, 15, seed, 0.1) for seed in range(4)]
    guesses = [disturbed(each, seed, 0.1 * seed, 0.1) for seed, each in enumerate(truths)]
    assert_equals_twin(guesses, truths)
    together = panoptic_quality(guesses, truths, THINGS, STUFF)
    alone = [panoptic_quality(*pair, THINGS, STUFF) for pair in zip(guesses, truths, strict=True)]
    assert together["per_class"][1]["TP"] == sum(each["per_class"][1]["TP"] for each in alone)
    assert panoptic_quality(torch.stack(guesses), torch.stack(truths), THINGS, STUFF) == together


@pytest.mark.parametrize("seed", range(40))
def test_it_equals_torchmetrics_where_predictions_have_no_void(seed):
    truths = [random_map(20, 24, 10 * seed + n, 0.2 * (seed % 2)) for n in range(3)]
    guesses = [disturbed(random_map(20, 24, 10 * seed + n), n, 0.1 + 0.02 * n) for n in range(3)]
    found = panoptic_quality(guesses, truths, THINGS, STUFF)
    arguments = (torch.stack(guesses), torch.stack(truths), set(THINGS), set(STUFF))
    theirs = peer(*arguments, return_sq_and_rq=True)
    assert [found["all"][name] for name in NAMES] == pytest.approx(theirs.tolist(), abs=1e-6)
    rows = peer(*arguments, return_sq_and_rq=True, return_per_class=True)
    for kind, row in zip([*sorted(THINGS), *sorted(STUFF)], rows.tolist(), strict=True):
        ours = [found["per_class"][kind][name] for name in NAMES]
        assert [0 if math.isnan(each) else each for each in ours] == pytest.approx(row, abs=1e-6)


def test_torchmetrics_differs_where_a_prediction_is_void():
    """It leaves a prediction's void out of the union: six of eight pixels found, all called perfect."""
    truth = torch.tensor([[[1, 1]] * 8])
    guess = truth.clone()
    guess[0, 6:] = VOID
    assert panoptic_quality(guess, truth, [1], [0])["all"]["PQ"] == 0.75
    assert peer(guess[None], truth[None], {1}, {0}, allow_unknown_preds_category=True) == 1


def line(classes, instances=None):
    """A map of one row."""
    return torch.tensor([classes, instances or [0] * len(classes)]).movedim(0, -1)[None]


def test_the_rules_one_by_one():
    def counts(guess, truth, kind=1):
        row = panoptic_quality(guess, truth, THINGS, STUFF)["per_class"][kind]
        return row["TP"], row["FP"], row["FN"]

    # An IoU of exactly one half is no match; a pixel more is.
    assert counts(line([1, 0, 0]), line([1, 1, 0])) == (0, 1, 1)
    assert counts(line([1, 1, 0]), line([1, 1, 1])) == (1, 0, 0)
    # Void in the truth leaves the union: 2 of 2, not 2 of 4.
    found = panoptic_quality(line([1, 1, 1, 1]), line([1, 1, 255, 255]), [1], [0])
    assert found["per_class"][1] == {"PQ": 1, "SQ": 1, "RQ": 1, "TP": 1, "FP": 0, "FN": 0}
    # A prediction without a match: half on void still counts, more than half does not.
    assert counts(line([1, 1, 0]), line([0, 255, 0])) == (0, 1, 0)
    assert counts(line([1, 1, 1]), line([0, 255, 255])) == (0, 0, 0)
    # Void in a prediction gets no relief: the truth is missed.
    assert counts(line([255, 255, 1]), line([1, 1, 1])) == (0, 1, 1)
    # Instances of stuff are not looked at; those of things are, and are told apart by class too.
    assert counts(line([0, 0], [1, 2]), line([0, 0], [3, 3]), kind=0) == (1, 0, 0)
    assert counts(line([1, 1, 2, 2], [4, 4, 4, 4]), line([1, 1, 2, 2], [1, 1, 1, 1])) == (1, 0, 0)
    # Another class is another segment, however good the overlap.
    assert counts(line([2, 2]), line([1, 1])) == (0, 0, 1)


def test_a_class_without_segments_is_left_out_and_one_without_matches_is_zero():
    found = panoptic_quality(line([0, 0, 2]), line([0, 0, 1]), [1, 2, 5], [0, 7])
    assert [found["per_class"][kind]["PQ"] for kind in (0, 1, 2)] == [1, 0, 0]
    assert all(math.isnan(found["per_class"][kind][name]) for kind in (5, 7) for name in NAMES)
    assert found["all"] == {name: pytest.approx(1 / 3) for name in NAMES}
    assert found["things"]["PQ"] == 0 and found["stuff"]["SQ"] == 1
    nothing = panoptic_quality([], [], [1], [0])
    assert all(math.isnan(nothing[group][name]) for group in ("all", "things", "stuff") for name in NAMES)
    void = panoptic_quality(line([1, 0]), line([255, 255]), [1], [0])
    assert math.isnan(void["all"]["PQ"])


def test_pq_is_a_product_in_a_class_and_not_of_means():
    truth = line([0] * 8 + [1] * 4, [0] * 8 + [1, 1, 2, 2])
    guess = line([0] * 6 + [255] * 2 + [1] * 4, [0] * 8 + [1, 1, 1, 1])
    found = panoptic_quality(guess, truth, [1], [0])
    for row in found["per_class"].values():
        assert row["PQ"] == pytest.approx(row["SQ"] * row["RQ"])
    assert found["all"]["PQ"] != pytest.approx(found["all"]["SQ"] * found["all"]["RQ"])


@settings(steady, max_examples=60)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 999))
def test_no_segment_matches_twice_and_names_do_not_matter(height, width, seed):
    truth, guess = (
        random_map(height, width, seed, 0.2, cell=2),
        random_map(height, width, seed + 1, 0.1, cell=3),
    )
    most = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) < 0.7
    guess = torch.where(most[..., None], truth, guess)
    found = match_segments(guess, truth, THINGS, STUFF)
    for side in (0, 1):
        assert len(found.pairs[:, side].unique()) == len(found.pairs)
    assert (found.iou > 0.5).all() and not found.ignored[found.pairs[:, 0]].any()
    renamed = guess.clone()
    renamed[..., 1] = 10**9 - 7 * renamed[..., 1]
    one, other = (panoptic_quality(each, truth, THINGS, STUFF)["per_class"] for each in (renamed, guess))
    for kind, expected in one.items():
        assert other[kind] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_any_whole_numbers_any_layout_inputs_untouched(dtype):
    truth, guess = random_map(13, 11, 3, 0.2), disturbed(random_map(13, 11, 3), 5, 0.3, 0.1)
    expected = panoptic_quality(guess, truth, THINGS, STUFF)
    kept = guess.clone(), truth.clone()
    if dtype != torch.uint8:
        assert panoptic_quality(guess.to(dtype), truth, THINGS, STUFF) == expected
    small = [torch.where(each == VOID, 200, each).to(dtype) for each in (guess, truth)]
    assert panoptic_quality(*small, THINGS, STUFF, void=200) == expected
    planes = [each.movedim(-1, 0).contiguous().movedim(0, -1) for each in (guess, truth)]
    assert not planes[0].is_contiguous()
    assert panoptic_quality(*planes, tuple(THINGS), set(STUFF)) == expected
    assert torch.equal(guess, kept[0]) and torch.equal(truth, kept[1])


def test_scenes_score_one_with_themselves():
    scenes = make_scenes(6, size=48, seed=4)
    truths = list(torch.stack([scenes.labels, scenes.instances], dim=-1))
    found = panoptic_quality(truths, truths, things=[1, 2, 3], stuff=[0])
    assert found["all"] == dict.fromkeys(NAMES, 1.0)
    assert sum(found["per_class"][k]["TP"] for k in (1, 2, 3)) == sum(len(s.classes) for s in scenes)


def test_floor_and_wall_are_stuff_of_their_own():
    scenes = make_scenes(8, size=64, seed=2)
    maps = scene_maps(scenes.labels, scenes.instances, scenes.normals)
    assert torch.equal(maps[..., 1], scenes.instances)
    assert torch.equal(torch.where(maps[..., 0] == 4, 0, maps[..., 0]), scenes.labels)
    rows = torch.arange(64)[None, :, None].expand(8, 64, 64)
    for panoptic, row in zip(maps[..., 0], rows, strict=True):
        wall, floor = row[panoptic == 4], row[panoptic == 0]
        assert len(wall) and len(floor) and wall.max() <= floor.min() + 1, "the wall is above the floor"
    assert set(SCENE_THINGS) | set(SCENE_STUFF) == set(range(len(SCENE_CLASSES)))
    with pytest.raises(ValueError, match="normals"):
        scene_maps(scenes.labels, scenes.instances, scenes.normals[:, :2])
    with pytest.raises(ValueError, match="instances"):
        scene_maps(scenes.labels, scenes.instances.float(), scenes.normals)


def test_the_networks_weights_know_the_scenes():
    """Floor and wall are found nearly pixel by pixel; merged with Mask R-CNN most objects match."""
    scenes = make_scenes(16, size=96, seed=77)
    truths = list(scene_maps(scenes.labels, scenes.instances, scenes.normals))
    network = semantic_for_scenes()
    assert not network.training
    with torch.no_grad():
        semantic = network(scenes.image).argmax(1)
        found = mask_rcnn_for_scenes()(scenes.image)
    maps = [merge(each, of, things=SCENE_THINGS) for each, of in zip(semantic, found, strict=True)]
    scores = panoptic_quality(maps, truths, SCENE_THINGS, SCENE_STUFF)
    assert scores["stuff"]["PQ"] > 0.95 and scores["things"]["PQ"] > 0.65


# --- Merging ---


def merge_twin(semantic, instances, things, score_threshold, overlap, stuff_area, void):
    """Pixel by pixel, with a dict of who owns what."""
    height, width = semantic.shape
    pixels = list(itertools.product(range(height), range(width)))
    owner, count = {}, 0
    ranked = sorted(enumerate(instances["scores"].tolist()), key=lambda pair: -pair[1])
    for n, score in ranked:
        mask = [p for p in pixels if instances["masks"][n][p]]
        mine = [p for p in mask if p not in owner]
        if score >= score_threshold and mine and len(mine) / len(mask) >= overlap:
            count += 1
            owner |= {p: (int(instances["labels"][n]), count) for p in mine}
    result = torch.empty(height, width, 2, dtype=torch.int64)
    for p in pixels:
        kind = int(semantic[p])
        same = sum(q not in owner and int(semantic[q]) == kind for q in pixels)
        left = (void, 0) if kind in things or same < stuff_area else (kind, 0)
        result[p] = torch.tensor(owner.get(p, left))
    return result


def random_instances(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.arange(height)[:, None], torch.arange(width)
    corner = torch.rand(count, 2, 1, 1, generator=generator) * torch.tensor([height, width])[:, None, None]
    reach = torch.rand(count, 2, 1, 1, generator=generator) * 5
    masks = ((y - corner[:, 0]).abs() <= reach[:, 0]) & ((x - corner[:, 1]).abs() <= reach[:, 1])
    scores = torch.randint(1, 9, (count,), generator=generator) / 10  # with ties
    return {"masks": masks, "labels": torch.randint(1, 4, (count,), generator=generator), "scores": scores}


@settings(steady, max_examples=60)
@given(
    st.integers(1, 10),
    st.integers(1, 10),
    st.integers(0, 6),
    st.integers(0, 999),
    st.sampled_from([0.0, 0.3, 0.5]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0, 1, 5, 20]),
)
def test_merging_equals_its_twin(height, width, count, seed, threshold, overlap, area):
    generator = torch.Generator().manual_seed(seed)
    semantic = torch.tensor([0, 0, 1, 2, 3, 7, 255])[torch.randint(7, (height, width), generator=generator)]
    instances = random_instances(count, height, width, seed)
    expected = merge_twin(semantic, instances, [1, 2, 3], threshold, overlap, area, 255)
    kept = semantic.clone(), {key: value.clone() for key, value in instances.items()}
    found = merge(semantic, instances, [1, 2, 3], threshold, overlap, area)
    assert torch.equal(found, expected)
    assert torch.equal(semantic, kept[0]) and all(torch.equal(instances[k], kept[1][k]) for k in instances)


def test_merging_two_perfect_outputs_gives_the_truth():
    for scene in make_scenes(5, size=48, seed=9):
        instances = {
            "masks": scene.masks,
            "labels": scene.classes,
            "scores": torch.linspace(1, 0.6, len(scene.classes), dtype=torch.float16),
        }
        found = merge(scene.labels, instances)
        assert torch.equal(found, torch.stack([scene.labels, scene.instances], dim=-1))


def test_things_are_those_of_the_instances_unless_named():
    semantic = torch.tensor([[0, 1, 2]])
    instances = {"masks": torch.tensor([[[False, True, False]]]), "labels": torch.tensor([1])}
    instances["scores"] = torch.tensor([0.9])
    assert merge(semantic, instances)[..., 0].tolist() == [[0, 1, 2]]
    assert merge(semantic, instances, things=[1, 2])[..., 0].tolist() == [[0, 1, 255]]
    assert merge(semantic, instances, things=[1, 2], void=9)[..., 0].tolist() == [[0, 1, 9]]
    none = {"masks": torch.zeros(0, 1, 3) > 0, "labels": torch.zeros(0).long(), "scores": torch.zeros(0)}
    assert merge(semantic, none, things=[1, 2])[..., 0].tolist() == [[0, 255, 255]]


# --- COCO's form ---


def test_crowds_and_zero_become_void():
    ids = torch.tensor([[0, 3, 3], [8, 8, 5]])
    listed = [
        {"id": 3, "category_id": 1, "iscrowd": 0},
        {"id": 5, "category_id": 2},
        {"id": 8, "category_id": 1, "iscrowd": 1},
        {"id": 9, "category_id": 1},
    ]
    found = from_segments(ids, listed)
    assert found[..., 0].tolist() == [[255, 1, 1], [255, 255, 2]]
    assert found[..., 1].tolist() == [[0, 3, 3], [0, 0, 5]]
    assert torch.equal(
        from_segments(ids.int(), listed, void=99)[..., 0], found[..., 0].where(found[..., 0] < 255, 99)
    )


# --- Bad input ---


GOOD = torch.zeros(4, 5, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: panoptic_quality(GOOD.float(), GOOD, [0], []), ValueError, "prediction in whole numbers"),
        (lambda: panoptic_quality(GOOD, GOOD > 0, [0], []), ValueError, "target in whole numbers"),
        (lambda: panoptic_quality(GOOD, GOOD[:3], [0], []), ValueError, r"prediction of the shape of target"),
        (lambda: panoptic_quality(GOOD[..., 0], GOOD, [0], []), ValueError, "prediction of shape"),
        (lambda: panoptic_quality(GOOD[..., :1], GOOD, [0], []), ValueError, r"\(H, W, 2\)"),
        (
            lambda: panoptic_quality([GOOD, GOOD], [GOOD, GOOD[:, :2]], [0], []),
            ValueError,
            r"prediction\[1\]",
        ),
        (lambda: panoptic_quality([GOOD], [GOOD, GOOD], [0], []), ValueError, "a list of 1 for a list of 2"),
        (lambda: panoptic_quality([GOOD], GOOD, [0], []), ValueError, "for each image"),
        (
            lambda: panoptic_quality([GOOD, GOOD], [GOOD, GOOD + 3], [0], []),
            ValueError,
            r"target\[1\].*class 3",
        ),
        (lambda: panoptic_quality(GOOD + 4, GOOD, [0], [1]), ValueError, r"prediction.*class 4 at \(0, 0\)"),
        (lambda: panoptic_quality(GOOD, GOOD, [0, 1], [1]), ValueError, "got 1 in both"),
        (lambda: panoptic_quality(GOOD, GOOD, [0], [255]), ValueError, "stuff without void"),
        (lambda: panoptic_quality(GOOD, GOOD, [0.5], []), TypeError, r"things\[0\]"),
        (lambda: panoptic_quality(GOOD, GOOD, 1, []), TypeError, "things as a list"),
        (lambda: panoptic_quality(GOOD, GOOD, [0], "ab"), TypeError, "stuff as a list"),
        (lambda: panoptic_quality(GOOD, GOOD, [0], [], void=None), TypeError, "void"),
        (lambda: panoptic_quality(GOOD.numpy(), GOOD, [0], []), TypeError, "prediction as a tensor"),
        (lambda: panoptic_quality("map", GOOD, [0], []), TypeError, "prediction as a tensor"),
        (lambda: panoptic_quality([[1]], [GOOD], [0], []), TypeError, r"prediction\[0\]"),
        (lambda: match_segments(GOOD, GOOD.float(), [0], []), ValueError, "target in whole numbers"),
        (lambda: from_segments(GOOD[..., 0] + 1, []), ValueError, "got 1; list it"),
        (
            lambda: from_segments(GOOD[..., 0], [{"id": 3, "category_id": 1}, {"id": 3, "category_id": 2}]),
            ValueError,
            r"segments\[1\] with id 3 again, of class 2",
        ),
        (lambda: from_segments(GOOD[..., 0], [{"id": 3}]), ValueError, r"segments\[0\] with 'category_id'"),
        (
            lambda: from_segments(GOOD[..., 0], [{"id": -3, "category_id": 1}]),
            ValueError,
            r"segments\[0\]\['id'\]",
        ),
        (lambda: from_segments(GOOD[..., 0].float(), []), ValueError, "ids in whole numbers"),
    ],
)
def test_bad_maps_are_refused(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert re.search(r"expected .*; ", str(caught.value)) or "got" in str(caught.value)


def instances_with(**changes):
    found = {
        "masks": torch.zeros(2, 4, 5) > 0,
        "labels": torch.tensor([1, 1]),
        "scores": torch.tensor([0.9, 0.8]),
    }
    found.update(changes)
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"scores": None}, {}, "instances with 'scores'"),
        ({"labels": None}, {}, "instances with 'labels'"),
        ({"masks": None}, {}, "instances with 'masks'"),
        ({"masks": torch.zeros(2, 4, 5)}, {}, r"instances\['masks'\] in bool"),
        ({"masks": torch.zeros(2, 4, 6) > 0}, {}, r"instances\['masks'\] of the size of semantic, \(4, 5\)"),
        ({"scores": torch.tensor([0.9, float("nan")])}, {}, r"finite instances\['scores'\]"),
        ({"scores": torch.tensor([1, 0])}, {}, r"instances\['scores'\] in floating point"),
        ({"scores": torch.tensor([0.9])}, {}, r"instances\['scores'\] for each of 2 masks, got 1"),
        ({"labels": torch.tensor([1, 1, 1])}, {}, r"instances\['labels'\] for each of 2 masks, got 3"),
        ({"labels": torch.tensor([1.0, 1.0])}, {}, r"instances\['labels'\] in int64"),
        ({"labels": torch.tensor([1, 2])}, {"things": [1]}, "got label 2"),
        ({"labels": torch.tensor([1, 255])}, {}, "got label 255"),
        ({}, {"things": [1, 255]}, "things other than void"),
        ({}, {"overlap": 1.5}, "overlap"),
        ({}, {"stuff_area": -1}, "stuff_area"),
        ({}, {"score_threshold": float("nan")}, "score_threshold"),
    ],
)
def test_bad_instances_are_refused(changes, options, words):
    with pytest.raises(ValueError, match=words):
        merge(GOOD[..., 0], instances_with(**changes), **options)


def test_other_bad_arguments_of_merge():
    with pytest.raises(TypeError, match="instances as a dict"):
        merge(GOOD[..., 0], [1])
    with pytest.raises(ValueError, match="semantic in int64"):
        merge(GOOD[..., 0].float(), instances_with())
    with pytest.raises(TypeError, match="stuff_area"):
        merge(GOOD[..., 0], instances_with(), stuff_area=2.5)
