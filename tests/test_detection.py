"""Anchors, box coding, matching and sampling: against torchvision's, plain loops, and bad input."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection import _utils as peer
from torchvision.models.detection.anchor_utils import AnchorGenerator

from segcore.detection import (
    BACKGROUND,
    UNDECIDED,
    UNITS,
    BoxHead,
    MergedPyramid,
    ProposalHead,
    decode,
    draw_balanced,
    encode,
    make_anchors,
    match_boxes,
    proposal_losses,
)


def random_boxes(count, generator, size=100.0):
    corner = torch.rand(count, 2, generator=generator) * size
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * size / 2], 1)


# ---- Anchors


def test_anchors_stand_around_the_centre_of_each_cell():
    anchors = make_anchors((2, 3), 8, [10.0, 20.0], [0.5, 1.0, 2.0]).reshape(2, 3, 2, 3, 4)
    for row, column, s, r in itertools.product(range(2), range(3), range(2), range(3)):
        x1, y1, x2, y2 = anchors[row, column, s, r].tolist()
        assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((8 * column + 4, 8 * row + 4), abs=1e-4)
        assert (x2 - x1) * (y2 - y1) == pytest.approx([100, 400][s], rel=1e-5)
        assert (y2 - y1) / (x2 - x1) == pytest.approx([0.5, 1, 2][r], rel=1e-5)


def test_anchors_have_torchvisions_shapes_up_to_its_rounding():
    theirs = AnchorGenerator.generate_anchors(
        None, [10, 20], [0.5, 1.0, 2.0]
    )  # ratio by ratio, whole numbers
    ours = make_anchors((1, 1), 1, [10, 20], [0.5, 1.0, 2.0]) - 0.5
    torch.testing.assert_close(
        ours.reshape(2, 3, 4).transpose(0, 1).reshape(-1, 4), theirs, atol=0.51, rtol=0
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (((0, 3), 4, [8], [1.0]), "expected size of at least 1"),
        (((2, 3), 0, [8], [1.0]), "expected stride of at least 1"),
        (((2, 3), 4, [], [1.0]), "at least one of sides"),
        (((2, 3), 4, [8], [0.0]), "expected ratios as a finite number above 0"),
    ],
)
def test_anchors_refuse_what_makes_no_sense(args, words):
    with pytest.raises(ValueError, match=words):
        make_anchors(*args)


# ---- Coding


@pytest.mark.parametrize("seed", range(3))
def test_coding_is_torchvisions(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes, anchors = random_boxes(50, generator), random_boxes(50, generator)
    coder = peer.BoxCoder(tuple(1 / unit for unit in UNITS))
    torch.testing.assert_close(
        encode(boxes, anchors), coder.encode_single(boxes, anchors), rtol=1e-4, atol=1e-4
    )
    deltas = torch.randn(50, 4, generator=generator) * 3
    theirs = coder.decode_single(deltas, anchors)
    torch.testing.assert_close(decode(deltas, anchors), theirs, rtol=1e-4, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_decoding_is_the_inverse(seed, count):
    generator = torch.Generator().manual_seed(seed)
    boxes, anchors = random_boxes(count, generator), random_boxes(count, generator)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes, rtol=1e-4, atol=1e-3)


def test_no_box_becomes_infinite():
    box = decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 10.0, 10.0]]))
    assert box.isfinite().all() and box[0, 2] - box[0, 0] == pytest.approx(640, rel=1e-3)


def test_coding_refuses_boxes_without_area():
    with pytest.raises(ValueError, match=r"expected boxes with an area, got none in boxes\[1\]"):
        encode(torch.tensor([[0.0, 0, 1, 1], [2, 2, 2, 5]]), torch.tensor([[0.0, 0, 1, 1]]).repeat(2, 1))
    with pytest.raises(ValueError, match="expected deltas of the shape of anchors"):
        decode(torch.zeros(2, 4), torch.zeros(1, 4))


# ---- Matching


def matched_by_loops(candidates, truths, above, below, keep_best):
    def iou(a, b):
        sides = [max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in range(2)]
        shared = sides[0] * sides[1]
        return shared / sum([(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)], -shared)

    table = [[iou(c, t) for t in truths.tolist()] for c in candidates.tolist()]
    found = []
    for row in table:
        best = max(row, default=0.0)
        found.append(row.index(best) if row and best >= above else BACKGROUND if best < below else UNDECIDED)
    for t in range(len(truths) if keep_best and table else 0):
        best = max(row[t] for row in table)
        for n, row in enumerate(table):
            if best > 0 and abs(row[t] - best) < 1e-7 and found[n] < 0:
                found[n] = t
    return torch.tensor(found)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("keep_best", [False, True])
def test_matching_is_the_loops_and_torchvisions(seed, keep_best):
    generator = torch.Generator().manual_seed(seed)
    candidates, truths = random_boxes(80, generator, 30.0), random_boxes(3, generator, 30.0)
    found = match_boxes(candidates, truths, 0.5, 0.3, keep_best)
    assert torch.equal(found, matched_by_loops(candidates, truths, 0.5, 0.3, keep_best))
    from torchvision.ops import box_iou

    theirs = peer.Matcher(0.5, 0.3, allow_low_quality_matches=False)(box_iou(truths, candidates))
    if not keep_best:
        assert torch.equal(found, theirs)


def test_thresholds_count_as_they_say():
    truth, half = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[0.0, 0, 4, 8]])  # IoU 0.5
    assert match_boxes(half, truth, 0.5, 0.5).tolist() == [0]
    assert match_boxes(half, truth, 0.6, 0.5).tolist() == [UNDECIDED]
    assert match_boxes(half, truth, 0.6, 0.51).tolist() == [BACKGROUND]
    assert match_boxes(half, truth, 0.6, 0.51, keep_best=True).tolist() == [0]
    far = torch.tensor([[50.0, 50, 60, 60]])
    assert match_boxes(far, truth, 0.6, 0.3, keep_best=True).tolist() == [BACKGROUND]
    assert match_boxes(far, truth[:0], 0.6, 0.3, keep_best=True).tolist() == [BACKGROUND]
    assert match_boxes(far[:0], truth, 0.6, 0.3, keep_best=True).shape == (0,)
    with pytest.raises(ValueError, match="exchange them"):
        match_boxes(half, truth, 0.3, 0.5)


# ---- Sampling


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_sampling_takes_as_many_as_there_are(objects, background, count, share):
    matched = torch.tensor([3] * objects + [BACKGROUND] * background + [UNDECIDED] * 5)[
        torch.randperm(objects + background + 5)
    ]
    here, elsewhere = draw_balanced(matched, count, share)
    assert len(here) == min(objects, int(count * share))
    assert len(elsewhere) == min(background, count - len(here))
    assert (matched[here] == 3).all() and (matched[elsewhere] == BACKGROUND).all()
    assert len(torch.cat([here, elsewhere]).unique()) == len(here) + len(elsewhere)


def test_sampling_is_random_and_seeded():
    matched = torch.full((100,), BACKGROUND)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(draw_balanced(matched, 10, 0.5)[1].tolist())
    assert draws[0] == draws[1] != draws[2]
    with pytest.raises(ValueError, match="share"):
        draw_balanced(matched, 10, 1.5)


# ---- Networks


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (7, 5)])
def test_maps_have_a_cell_for_every_four_pixels_begun(height, width):
    features = MergedPyramid(16)(torch.rand(2, 3, height, width))
    assert features.shape == (2, 16, -(-height // 4), -(-width // 4))
    logits, deltas = ProposalHead(16, 3)(features)
    count = len(make_anchors(features.shape[2:], 4, [8, 16, 32], [1.0]))
    assert logits.shape == (2, count) and deltas.shape == (2, count, 4)
    scores, deltas = BoxHead(16, 4)(torch.rand(5, 16, 7, 7))
    assert scores.shape == (5, 4) and deltas.shape == (5, 4, 4)


def test_proposals_are_in_the_order_of_the_anchors():
    """A network whose answers differ from cell to cell, and from anchor to anchor."""
    head = ProposalHead(8, 3).eval()
    features = torch.rand(1, 8, 2, 4)
    logits, deltas = head(features)
    for row, column, anchor in itertools.product(range(2), range(4), range(3)):
        place = (row * 4 + column) * 3 + anchor
        inside = head.conv(features)
        assert logits[0, place] == head.objectness(inside)[0, anchor, row, column]
        expected = head.deltas(inside)[0, 4 * anchor : 4 * anchor + 4, row, column]
        assert torch.equal(deltas[0, place], expected)


def test_proposal_losses_are_the_loops():
    """So few anchors that all of them are drawn."""
    generator = torch.Generator().manual_seed(0)
    anchors = make_anchors((3, 3), 8, [10.0], [1.0, 2.0])
    truths = [torch.tensor([[0.0, 0, 9, 9], [10, 11, 21, 22]]), torch.zeros(0, 4)]
    logits = torch.randn(2, len(anchors), generator=generator)
    deltas = torch.randn(2, len(anchors), 4, generator=generator)
    found = proposal_losses(logits, deltas, anchors, [{"boxes": each} for each in truths])
    seen = off = 0.0
    count = 0
    for n, boxes in enumerate(truths):
        matched = matched_by_loops(anchors, boxes, 0.5, 0.3, True)
        for a, which in enumerate(matched.tolist()):
            if which == UNDECIDED:
                continue
            count += 1
            sign = 1 if which >= 0 else -1
            seen += float(torch.nn.functional.softplus(-sign * logits[n, a]))
            if which >= 0:
                gap = (deltas[n, a] - encode(boxes[which : which + 1], anchors[a : a + 1])[0]).abs()
                off += float(torch.where(gap < 1, gap**2 / 2, gap - 0.5).sum())
    assert float(found["objectness"]) == pytest.approx(seen / count, rel=1e-5)
    assert float(found["proposals"]) == pytest.approx(off / count, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.bfloat16])
def test_boxes_of_any_real_dtype_are_those_in_double(dtype):
    """Units of 0.1 are 0 in whole numbers, and 10 - 20 is 246 in uint8."""
    boxes = torch.tensor([[0, 0, 10, 10], [20, 20, 40, 50]])
    anchors = torch.tensor([[1, 1, 11, 11], [22, 20, 40, 44]])
    moves = encode(boxes.to(dtype), anchors.to(dtype))
    assert moves.dtype == torch.float32
    torch.testing.assert_close(moves, encode(boxes.double(), anchors.double()).float())
    torch.testing.assert_close(decode(moves, anchors.to(dtype)), boxes.float())
    found = match_boxes(boxes.to(dtype), anchors.to(dtype), 0.7, 0.3)
    assert found.tolist() == [UNDECIDED, 1]
    assert match_boxes(boxes.to(dtype), boxes[1:].to(dtype), 0.7, 0.3).tolist() == [BACKGROUND, 0]


def test_large_boxes_in_half_precision():
    box = torch.tensor([[30000.0, 0.0, 40000.0, 100.0]], dtype=torch.float16)  # x1 + x2 is more than it holds
    assert encode(box, box).tolist() == [[0.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(decode(torch.zeros(1, 4), box), box.float())
