"""Depth and surface normals: against plain-loop twins, scikit-learn, random input and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_percentage_error, mean_squared_log_error, root_mean_squared_error

from segcore.data.images import stereo_pair
from segcore.data.scenes import make_scenes
from segcore.geometry import (
    GeometryNet,
    depth_metrics,
    geometry_loss,
    geometry_net_for_scenes,
    normal_metrics,
    normals_from_depth,
    scale_invariant_loss,
)

NAN, INF = math.nan, math.inf
DEPTHS = ["AbsRel", "SqRel", "RMSE", "RMSE log", "SILog", "δ1", "δ2", "δ3"]
ANGLES = ["mean", "median", "within 11.25°", "within 22.5°", "within 30°"]


def depths(*shape, seed=0, holes=0.2):
    generator = torch.Generator().manual_seed(seed)
    depth = 1 + 5 * torch.rand(*shape, generator=generator)
    return depth.masked_fill(torch.rand(*shape, generator=generator) < holes, 0)


# --- Depth ---


def metrics_by_loops(prediction, target):
    pairs = zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True)
    pairs = [(a, b) for a, b in pairs if 0 < a < INF and 0 < b < INF]
    n, logs = len(pairs), [math.log(a / b) for a, b in pairs]
    mean = sum(logs) / n
    return {
        "AbsRel": sum(abs(a - b) / b for a, b in pairs) / n,
        "SqRel": sum((a - b) ** 2 / b for a, b in pairs) / n,
        "RMSE": math.sqrt(sum((a - b) ** 2 for a, b in pairs) / n),
        "RMSE log": math.sqrt(sum(g * g for g in logs) / n),
        "SILog": math.sqrt(sum((g - mean) ** 2 for g in logs) / n),
        **{f"δ{k}": sum(max(a / b, b / a) < 1.25**k for a, b in pairs) / n for k in (1, 2, 3)},
    }


def loss_by_loops(prediction, target, weight):
    losses = []
    for one, other in zip(prediction, target, strict=True):
        pairs = zip(one.flatten().tolist(), other.flatten().tolist(), strict=True)
        g = [math.log(a / b) for a, b in pairs if a > 0 and b > 0]
        if g:
            losses.append(sum(x * x for x in g) / len(g) - weight * (sum(g) / len(g)) ** 2)
    return sum(losses) / len(losses)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_depth_equals_its_twins(seed, count, height, width):
    target = depths(count, height, width, seed=seed)
    prediction = depths(count, height, width, seed=seed + 1, holes=0)
    target[0, 0, 0] = 2.0
    found = depth_metrics(prediction, target)
    assert list(found) == DEPTHS
    assert found == pytest.approx(metrics_by_loops(prediction, target), abs=1e-6)
    for weight in (0, 0.5, 1):
        got = scale_invariant_loss(prediction, target, weight).item()
        assert got == pytest.approx(loss_by_loops(prediction, target, weight), abs=1e-5)


def test_depth_agrees_with_scikit_learn():
    a, b = depths(50, 60, holes=0), depths(50, 60, seed=1, holes=0)
    found, (x, y) = depth_metrics(a, b), (each.flatten().numpy().astype(np.float64) for each in (a, b))
    assert found["AbsRel"] == pytest.approx(mean_absolute_percentage_error(y, x))
    assert found["RMSE"] == pytest.approx(root_mean_squared_error(y, x))
    # scikit-learn takes log(1 + y)
    assert found["RMSE log"] ** 2 == pytest.approx(mean_squared_log_error(y - 1, x - 1), rel=1e-6)


def test_by_hand():
    found = depth_metrics(torch.tensor([2.0, 3.0, 1.0, 5.0]), torch.tensor([2.0, 2.0, 0.0, 4.0]))
    assert found["AbsRel"] == pytest.approx(0.25) and found["SqRel"] == pytest.approx(0.25)
    assert found["δ1"] == pytest.approx(1 / 3)  # 5 / 4 is 1.25, and not below it
    assert found["δ2"] == 1


def test_one_factor_costs_no_silog_and_no_loss_of_weight_one():
    truth = depths(2, 8, 9)
    for factor in (0.25, 3.0):
        found = depth_metrics(factor * truth, truth)
        assert found["SILog"] == pytest.approx(0, abs=1e-6)
        assert found["RMSE log"] == pytest.approx(abs(math.log(factor)), abs=1e-6)
        scales = torch.tensor([factor, 7.0])[:, None, None]  # each image has its own
        assert scale_invariant_loss(scales * truth, truth, 1.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("missing", [0.0, -2.0, NAN, INF, -INF])
def test_missing_depths_count_nowhere(missing):
    truth, guess = depths(1, 4, 5, holes=0), depths(1, 4, 5, seed=3, holes=0)
    holes = torch.zeros(1, 4, 5, dtype=torch.bool)
    holes[0, :2] = True
    for a, b in ((guess, truth.masked_fill(holes, missing)), (guess.masked_fill(holes, missing), truth)):
        assert depth_metrics(a, b) == pytest.approx(depth_metrics(guess[:, 2:], truth[:, 2:]))
        leaf = a.clone().requires_grad_()
        loss = scale_invariant_loss(leaf, b)
        assert loss.item() == pytest.approx(scale_invariant_loss(guess[:, 2:], truth[:, 2:]).item(), abs=1e-6)
        loss.backward()
        assert leaf.grad.isfinite().all() and (leaf.grad[holes] == 0).all() and leaf.grad.abs().sum() > 0


def test_all_missing_is_nan_and_an_image_without_depth_is_left_out():
    nothing, truth = torch.zeros(1, 3, 3), depths(1, 3, 3, holes=0)
    assert all(math.isnan(each) for each in depth_metrics(truth, nothing).values())
    assert all(math.isnan(each) for each in depth_metrics(torch.zeros(0), torch.zeros(0)).values())
    assert scale_invariant_loss(truth, nothing).isnan()
    both = scale_invariant_loss(torch.cat([2 * truth, truth]), torch.cat([truth, nothing]))
    assert both.item() == pytest.approx(scale_invariant_loss(2 * truth, truth).item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_and_layouts(dtype):
    truth, guess = depths(2, 64, 96, holes=0).to(dtype), depths(2, 64, 96, seed=1, holes=0).to(dtype)
    assert depth_metrics(guess, truth) == pytest.approx(depth_metrics(guess.double(), truth.double()))
    found = scale_invariant_loss(guess, truth)
    assert found.item() == pytest.approx(
        scale_invariant_loss(guess.double(), truth.double()).item(), rel=1e-5
    )
    turned = normals_from_depth(truth.transpose(1, 2), 50.0)
    assert torch.equal(turned, normals_from_depth(truth.transpose(1, 2).contiguous(), 50.0))
    assert turned.dtype == dtype


def test_the_gradient_of_the_loss_is_right():
    truth, guess = depths(2, 3, 4).double(), depths(2, 3, 4, seed=5, holes=0).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda each: scale_invariant_loss(each, truth, 0.7), guess)


# --- Normals ---


def normals_by_loops(depth, focal, center):
    height, width = depth.shape

    def point(i, j):
        inside = 0 <= i < height and 0 <= j < width
        z = depth[i, j].item() if inside else NAN
        if not 0 < z < INF:
            return None
        return np.array([z * (j + 0.5 - center[0]) / focal, z * (i + 0.5 - center[1]) / focal, z])

    normals = np.full((3, height, width), NAN)
    for i in range(height):
        for j in range(width):
            here = point(i, j)
            if here is None:
                continue
            steps = []
            for before, after in (((i, j - 1), (i, j + 1)), ((i - 1, j), (i + 1, j))):
                a, b = point(*before), point(*after)
                if a is None and b is None:
                    break
                steps.append((here if b is None else b) - (here if a is None else a))
            else:
                normal = np.cross(steps[1], steps[0])
                normals[:, i, j] = normal / np.linalg.norm(normal)
    return normals


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7), st.floats(2, 60))
def test_normals_equal_their_twin_and_face_the_camera(seed, height, width, focal):
    depth = depths(height, width, seed=seed, holes=0.15).double()
    center = (0.3 * width, 0.8 * height)
    found = normals_from_depth(depth, focal, center)
    assert np.allclose(found.numpy(), normals_by_loops(depth, focal, center), atol=1e-9, equal_nan=True)
    x = (torch.arange(width) + 0.5 - center[0]) / focal
    y = (torch.arange(height) + 0.5 - center[1]) / focal
    rays = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width), torch.ones(height, width)])
    towards = (found * rays).sum(0)
    assert (towards[towards.isfinite()] < 0).all()


def test_normals_are_exact_on_planes_borders_and_hole_rims_included():
    normal, focal = F.normalize(torch.tensor([0.3, -0.5, -0.8]).double(), dim=0), 20.0
    y, x = torch.meshgrid(torch.arange(12).double() - 5.5, torch.arange(16).double() - 7.5, indexing="ij")
    rays = torch.stack([x / focal, y / focal, torch.ones_like(x)]).double()
    depth = -2 / (normal[:, None, None] * rays).sum(0)
    assert (depth > 0).all()
    depth[4:7, 5:8] = NAN
    found = normals_from_depth(depth, focal)
    there = ~found[0].isnan()
    assert torch.equal(there, ~depth.isnan())
    assert (found - normal[:, None, None]).abs()[:, there].max() < 1e-9


def test_normals_of_scenes_are_exact_inside_of_objects():
    """What the issue asks to be shown: the median angle to the truth, inner pixels."""
    scenes = make_scenes(20, 64, seed=3)
    found = normals_from_depth(scenes.depth, scenes.focal_length)
    same = torch.ones_like(scenes.instances, dtype=torch.bool)
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        same &= scenes.instances == scenes.instances.roll(shift, (1, 2))
    inner = same.clone()
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = False
    assert normal_metrics(found, scenes.normals, inner)["median"] < 0.01
    spheres = normal_metrics(found, scenes.normals, inner & (scenes.labels == 1))
    assert spheres["median"] < 5  # curved: central differences are not exact there


def test_the_stereo_pair_keeps_its_holes():
    _, _, disparity = stereo_pair()
    depth = 994.978 * 0.193001 / (disparity + 31.086)
    found = normals_from_depth(depth, 994.978, (311.193, 254.877))
    assert found[:, disparity.isnan()].isnan().all()
    lengths = found.norm(dim=0)
    known = ~found[0].isnan()
    assert (lengths[known] - 1).abs().max() < 1e-4 and known.float().mean() > 0.9


def test_angles_by_hand_and_by_loops():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 5, 7, generator=generator), torch.randn(2, 3, 5, 7, generator=generator)
    b[0, :, 0, 0], b[1, :, 2, 3], a[0, :, 4, 4] = 0, NAN, 0
    mask = torch.rand(2, 5, 7, generator=generator) < 0.7
    angles = []
    for n in range(2):
        for i in range(5):
            for j in range(7):
                u, v = a[n, :, i, j].double().numpy(), b[n, :, i, j].double().numpy()
                if mask[n, i, j] and u.any() and v.any() and np.isfinite(v).all():
                    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                    angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    found = normal_metrics(a, b, mask)
    assert list(found) == ANGLES
    assert found["mean"] == pytest.approx(np.mean(angles)) and found["median"] == pytest.approx(
        np.median(angles)
    )
    for limit in (11.25, 22.5, 30):
        assert found[f"within {limit:g}°"] == pytest.approx(np.mean(np.array(angles) < limit))


def test_small_angles_are_seen_and_nothing_is_nan():
    wall = torch.tensor([0.0, 0.0, -1.0]).reshape(3, 1, 1)
    tilted = torch.tensor([1e-5, 0.0, -1.0]).reshape(3, 1, 1)
    assert normal_metrics(tilted, wall)["mean"] == pytest.approx(math.degrees(1e-5), rel=1e-4)
    assert normal_metrics(wall, wall)["mean"] == 0 and normal_metrics(-wall, wall)["mean"] == 180
    nothing = normal_metrics(wall, torch.zeros(3, 1, 1))
    assert all(math.isnan(each) for each in nothing.values())
    assert all(
        math.isnan(each) for each in normal_metrics(torch.zeros(0, 3, 2, 2), torch.zeros(0, 3, 2, 2)).values()
    )


# --- The network ---


def test_the_network_takes_any_size_and_gives_what_was_asked_for():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 37, 50)
    found = GeometryNet(5, width=4)(image)
    assert {name: tuple(each.shape) for name, each in found.items()} == {
        "depth": (2, 37, 50),
        "normals": (2, 3, 37, 50),
        "labels": (2, 5, 37, 50),
    }
    assert (found["depth"] > 0).all()
    assert torch.allclose(found["normals"].norm(dim=1), torch.ones(2, 37, 50))
    assert list(GeometryNet(5, width=4, tasks=["normals"])(image)) == ["normals"]
    with torch.autocast("cpu", torch.bfloat16):
        assert all(each.dtype == torch.float32 for each in GeometryNet(width=4)(image).values())


def test_the_loss_reaches_every_parameter_and_leaves_out_what_is_missing():
    torch.manual_seed(0)
    scenes = make_scenes(2, 32)
    network = GeometryNet(width=4)
    targets = {"depth": scenes.depth, "normals": scenes.normals, "labels": scenes.labels}
    geometry_loss(network(scenes.image), targets).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())
    holes = scenes.labels == 0
    partly = {
        "depth": scenes.depth.masked_fill(holes, 0),
        "normals": scenes.normals.masked_fill(holes[:, None], 0),
        "labels": scenes.labels.masked_fill(holes, 255),
    }
    outputs = {
        "depth": torch.where(holes, 9.0, scenes.depth),
        "normals": torch.where(holes[:, None], torch.tensor([1.0, 0, 0])[:, None, None], scenes.normals),
        "labels": F.one_hot(scenes.labels, 4).movedim(-1, 1) * 100.0,
    }
    assert geometry_loss(outputs, partly).item() == pytest.approx(0, abs=1e-5)
    assert geometry_loss(outputs, targets).item() > 1


def test_the_weights_count():
    scenes = make_scenes(1, 16)
    targets = {"depth": scenes.depth, "labels": scenes.labels}
    outputs = {"depth": 2 * scenes.depth, "labels": torch.zeros(1, 4, 16, 16)}
    found = geometry_loss(outputs, targets, {"depth": 2.0, "labels": 3.0}).item()
    assert found == pytest.approx(2 * 0.5 * math.log(2) ** 2 + 3 * math.log(4), rel=1e-5)


def test_the_network_that_comes_with_the_library_reaches_the_bands():
    held_out = make_scenes(100, 48, seed=2)
    with torch.no_grad():
        found = geometry_net_for_scenes()(held_out.image)
    depth = depth_metrics(found["depth"], held_out.depth)
    assert depth["AbsRel"] <= 0.11 and depth["δ1"] >= 0.93
    assert normal_metrics(found["normals"], held_out.normals)["mean"] <= 13
    assert normal_metrics(found["normals"], held_out.normals, held_out.labels > 0)["mean"] <= 28


# --- Bad input ---

ONE, WALL = torch.ones(1, 2, 2), torch.tensor([0.0, 0.0, -1.0]).reshape(3, 1, 1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: depth_metrics([1.0], ONE), TypeError, "prediction as a tensor"),
        (lambda: depth_metrics(ONE.long(), ONE), ValueError, "floating point"),
        (lambda: depth_metrics(ONE, ONE[0]), ValueError, "shape of prediction"),
        (lambda: scale_invariant_loss(ONE[0, 0], ONE[0, 0]), ValueError, "(..., H, W)"),
        (lambda: scale_invariant_loss(ONE, ONE, weight=1.5), ValueError, "weight"),
        (lambda: scale_invariant_loss(ONE, ONE, weight=NAN), ValueError, "weight"),
        (lambda: normals_from_depth(ONE, 0), ValueError, "focal_length"),
        (lambda: normals_from_depth(ONE, -3.0), ValueError, "focal_length"),
        (lambda: normals_from_depth(ONE, INF), ValueError, "focal_length"),
        (lambda: normals_from_depth(ONE, "far"), TypeError, "focal_length"),
        (lambda: normals_from_depth(ONE, 5, 3.0), ValueError, "center as (x, y)"),
        (lambda: normals_from_depth(ONE, 5, (NAN, 1)), ValueError, "center's x"),
        (lambda: normals_from_depth(ONE.int(), 5), ValueError, "floating point"),
        (lambda: normal_metrics(ONE, ONE), ValueError, "(..., 3, H, W)"),
        (lambda: normal_metrics(WALL, WALL, torch.ones(1, 1)), ValueError, "mask in bool"),
        (
            lambda: normal_metrics(WALL, WALL, torch.ones(2, 1, dtype=torch.bool)),
            ValueError,
            "shape of the pixels",
        ),
        (lambda: GeometryNet(tasks=("flow",)), ValueError, "each of tasks"),
        (lambda: GeometryNet(tasks=()), ValueError, "one or more"),
        (lambda: GeometryNet(tasks=("depth", "depth")), ValueError, "one or more different"),
        (lambda: GeometryNet(0), ValueError, "num_classes"),
        (lambda: GeometryNet(width=4)(torch.rand(3, 16, 16)), ValueError, "image"),
        (lambda: geometry_loss({}, {}), ValueError, "one task or more"),
        (lambda: geometry_loss({"depth": ONE}, {}), ValueError, "targets"),
        (lambda: geometry_loss({"flow": ONE}, {"flow": ONE}), ValueError, "outputs"),
        (lambda: geometry_loss({"depth": ONE}, {"depth": ONE}, {}), ValueError, "weights"),
    ],
)
def test_bad_input_is_refused_with_words(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
    assert "expected" in str(raised.value) and "got" in str(raised.value) and ";" in str(raised.value)


def test_nothing_given_is_changed():
    depth, truth = depths(1, 5, 6), depths(1, 5, 6, seed=2)
    copies = depth.clone(), truth.clone()
    depth_metrics(depth, truth), scale_invariant_loss(depth, truth), normals_from_depth(depth, 9.0)
    assert torch.equal(depth, copies[0]) and torch.equal(truth, copies[1])


def test_normals_from_depth_err_where_a_step_crosses_an_outline_or_an_edge():
    """What chapter 17 says of them: 99 % of all angles lie on the 15 % of pixels beside one."""
    scenes = make_scenes(40, 48, seed=5)
    everywhere = beside = 0.0
    for i in range(40):
        truth, instances = scenes.normals[i], scenes.instances[i]
        found = normals_from_depth(scenes.depth[i], scenes.focal_length)
        angle = torch.rad2deg((found * truth).sum(0).clamp(-1, 1).acos())
        edge = torch.zeros(48, 48, dtype=torch.bool)
        for dim in (0, 1):
            one, other = (instances.narrow(dim, start, 47) for start in (0, 1))
            cosine = (truth.narrow(dim + 1, 0, 47) * truth.narrow(dim + 1, 1, 47)).sum(0)
            crosses = (one != other) | (cosine < 0.94)
            for start in (0, 1):
                edge.narrow(dim, start, 47).logical_or_(crosses)
        everywhere += angle.sum().item()
        beside += angle[edge].sum().item()
    assert beside > 0.97 * everywhere


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12, 1e30])
def test_normals_do_not_depend_on_the_unit_of_depth(unit):
    """Products of four depths leave float32: the normals once were 0, infinite or NaN."""
    depth = 1 + torch.rand(6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        normals_from_depth(depth * unit, 50.0), normals_from_depth(depth, 50.0), rtol=0, atol=1e-4
    )
