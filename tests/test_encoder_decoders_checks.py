"""Chapter 9's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torchvision.transforms.functional import center_crop

from segcore import encoder_decoders as library
from segcore.checks.encoder_decoders import EXERCISES, blur, crop_and_concatenate
from segcore.checks.engine import judge

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


# mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("::", "[", "//", "dim=", "softmax", "reflect", "clamp", "pop", "// 2"):
            assert code not in mistake.hint, (mistake.name, code)


def hint_of(report):
    return [part[0] for kind, part in report.card.parts if kind == "hint"]


def test_skips_saved_after_the_pooling_end_in_an_error_that_names_the_sizes():
    def unet(image, encoder, up, decoder, score):
        x, skips = image, []
        for block in encoder[:-1]:
            x = F.max_pool2d(block(x), 2)
            skips.append(x)
        x = encoder[-1](x)
        for grow, block in zip(up, decoder, strict=True):
            x = block(torch.cat([skips.pop(), grow(x)], 1))
        return score(x)

    report = judge(BY_ID["9.2"], unet)
    assert report.state == "error" and hint_of(report)


def test_a_decoder_without_its_skip_is_not_told_that_the_decoder_is_missing():
    report = judge(BY_ID["9.1"], lambda skip, x: x)
    assert (report.state, report.mistake) == ("failed", "encoder left out"), report.card


def test_a_loss_that_was_detached_is_told_so():
    report = judge(BY_ID["9.4"], lambda logits, target, ignore_index=255: library.dice_loss(
        logits.detach(), target, ignore_index
    ))  # fmt: skip
    assert report.state == "failed" and report.mistake == "gradient reaches logits"


# references against the library --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_9_4_is_the_librarys(seed):
    for case in BY_ID["9.4"].make_cases(seed):
        torch.testing.assert_close(BY_ID["9.4"].reference(*case.args), library.dice_loss(*case.args))


def test_the_reference_of_9_2_is_the_librarys_forward_pass():
    for padding, size in (("same", 24), ("valid", 48)):
        net = library.UNet(2, 3, width=4, depth=2, padding=padding).eval()
        image = torch.rand(1, 2, size, size)
        with torch.no_grad():
            ours = BY_ID["9.2"].reference(image, net.encoder, net.up, net.decoder, net.score)
            torch.testing.assert_close(ours, net(image))


@pytest.mark.parametrize("tile", [4, 12])
def test_the_reference_of_9_3_is_overlap_tile(tile):
    net = library.UNet(2, 3, width=4, depth=1, padding="valid").eval()
    image = torch.rand(2, 12, 24)
    with torch.no_grad():
        ours = BY_ID["9.3"].reference(net, image, tile, net.margin)
    torch.testing.assert_close(ours, library.overlap_tile(net, image, tile), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_tiles_of_9_3_equal_the_whole(seed):
    for case in BY_ID["9.3"].make_cases(seed):
        network, image, _, margin = case.args
        if network.__name__ == "small_memory":  # which cannot be asked for the whole
            network = blur
        whole = network(F.pad(image[None], (margin,) * 4, mode="reflect"))[0]
        torch.testing.assert_close(BY_ID["9.3"].reference(*case.args), whole)


# other right solutions -----------------------------------------------------------------------------


def crop_by_torchvision(skip, x):
    return torch.cat((center_crop(skip, list(x.shape[-2:])), x), dim=1)


def crop_by_negative_padding(skip, x):
    down, across = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
    return torch.concatenate([F.pad(skip, (-across, -across, -down, -down)), x], 1)


def unet_recursive(image, encoder, up, decoder, score):
    def level(x, encoder, up, decoder):
        x = encoder[0](x)
        if len(encoder) == 1:
            return x
        below = level(F.max_pool2d(x, 2), encoder[1:], up[:-1], decoder[:-1])
        return decoder[-1](crop_and_concatenate(x, up[-1](below)))

    return score(level(image, list(encoder), list(up), list(decoder)))


def unet_by_index(image, encoder, up, decoder, score):
    maps, depth = [encoder[0](image)], len(up)
    for i in range(depth):
        maps.append(encoder[i + 1](torch.nn.MaxPool2d(2)(maps[-1])))
    out = maps[depth]
    for i in range(depth):
        out = decoder[i](crop_and_concatenate(maps[depth - 1 - i], up[i](out)))
    return score(out)


def tiles_into_a_canvas(network, image, tile, margin):
    _, height, width = image.shape
    padded = torch.from_numpy(np.pad(image.numpy(), [(0, 0), *[(margin, margin)] * 2], mode="reflect"))
    canvas = None
    for y, x in itertools.product(range(0, height, tile), range(0, width, tile)):
        part = network(padded[None, :, y : y + tile + 2 * margin, x : x + tile + 2 * margin])
        if canvas is None:
            canvas = torch.zeros(part.shape[1], height, width)
        canvas[:, y : y + tile, x : x + tile] = part[0]
    return canvas


def tiles_as_one_batch(network, image, tile, margin):
    seen = tile + 2 * margin
    padded = F.pad(image[None], (margin,) * 4, mode="reflect")
    parts = padded.unfold(2, seen, tile).unfold(3, seen, tile)  # (1, C, rows, columns, seen, seen)
    rows, columns = parts.shape[2:4]
    out = network(parts[0].movedim(0, 2).flatten(0, 1))  # (tiles, K, tile, tile)
    return out.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def dice_by_loops(logits, target, ignore_index=255):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    known = (target != ignore_index).float()
    total, count = 0.0 * logits.sum(), 0
    for c in range(logits.shape[1]):
        true = (target == c).float() * known
        if true.sum() > 0:
            total = total + 1 - 2 * (p[:, c] * true).sum() / ((p[:, c] * known).sum() + true.sum())
            count += 1
    return total / max(count, 1)


def dice_by_matmul(logits, target, ignore_index=255):
    keep = target.flatten() != ignore_index
    p = logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1])[keep].softmax(-1)
    g = F.one_hot(target.flatten()[keep], logits.shape[1]).to(p)
    table = g.T @ p
    there = table.sum(1) > 1e-9
    score = 2 * table.diagonal() / (table.sum(0) + table.sum(1)).clamp(min=1e-9)
    return ((1 - score) * there).sum() / there.sum().clamp(min=1)


def strokes_by_loops(size, strokes, radius):
    labels = [[255] * size[1] for _ in range(size[0])]
    for label, points in strokes:
        for i, j in itertools.product(range(size[0]), range(size[1])):
            q = (j + 0.5, i + 0.5)
            for a, b in zip(points[:-1] or points, points[1:] or points, strict=True):
                length = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
                t = sum((q[k] - a[k]) * (b[k] - a[k]) for k in (0, 1)) / length if length else 0.0
                t = min(max(t, 0), 1)
                if math.dist(q, [a[k] + t * (b[k] - a[k]) for k in (0, 1)]) <= radius:
                    labels[i][j] = label
    return torch.tensor(labels)


def strokes_by_projection(size, strokes, radius):
    """Inside the band of a segment and between its ends, or in the disk around one of them."""
    rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    q = torch.stack([columns, rows], -1) + 0.5
    labels = torch.full(size, 255, dtype=torch.int64)
    for label, points in strokes:
        points = torch.tensor(points)
        near = (torch.cdist(q.flatten(0, 1), points) <= radius).any(1).unflatten(0, size)
        for a, b in itertools.pairwise(points):
            ahead = (b - a) / (b - a).norm()
            along = (q - a) @ ahead
            beside = (q - a) @ torch.stack([-ahead[1], ahead[0]])
            near |= (along >= 0) & (along <= (b - a).norm()) & (beside.abs() <= radius)
        labels[near] = label
    return labels


RIGHT = {
    "9.1": (crop_by_torchvision, crop_by_negative_padding),
    "9.2": (unet_recursive, unet_by_index),
    "9.3": (tiles_into_a_canvas, tiles_as_one_batch),
    "9.4": (dice_by_loops, dice_by_matmul, library.dice_loss),
    "9.5": (strokes_by_loops, strokes_by_projection),
}
PAIRS = [(each, function) for each, functions in RIGHT.items() for function in functions]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("exercise", "function"), PAIRS, ids=[f"{each}-{function.__name__}" for each, function in PAIRS]
)
def test_right_solutions_of_any_style_pass(exercise, function, seed):
    report = judge(BY_ID[exercise], function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_right_solutions_in_two_styles():
    assert RIGHT.keys() == BY_ID.keys() and min(map(len, RIGHT.values())) >= 2


def test_strokes_look_like_those_of_a_drawing_library():
    """Pillow's lines are not round at the ends and fall on whole pixels: alike, not equal."""
    strokes = [(1, [(10.5, 20.5), (50.5, 30.5)]), (2, [(30.5, 5.5), (30.5, 50.5)])]
    picture = Image.new("L", (64, 60), 255)
    draw = ImageDraw.Draw(picture)
    for label, points in strokes:
        draw.line([(x - 0.5, y - 0.5) for x, y in points], fill=label, width=7)
    theirs = torch.from_numpy(np.array(picture)).long()
    ours = BY_ID["9.5"].reference((60, 64), strokes, 3.4)
    for label in (1, 2):
        both, either = (ours == label) & (theirs == label), (ours == label) | (theirs == label)
        assert both.sum() / either.sum() > 0.8
