"""U-Net, DeconvNet, SegNet and their losses: loops, definitions, torch, torchmetrics, and bad input."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn import functional as F
from torchmetrics.functional.segmentation import dice_score

from segcore.encoder_decoders import (
    DeconvNet,
    SegNet,
    UNet,
    border_weights,
    center_crop,
    class_weights,
    dice_loss,
    focal_loss,
    lovasz_gradient,
    lovasz_softmax,
    overlap_tile,
)

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(network, *args, seed=0, **options):
    """A network with known weights, in eval mode; statistics of the normalisations are not those of birth."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(*args, **options)
        with torch.no_grad():
            net(torch.rand(2, args[0], 128, 128) if options.get("padding") != "valid" else fitting(net))
    return net.eval()


def fitting(net, more=0):
    size = 2 * net.margin + 4 + more * 2**net.depth
    return torch.rand(2, net.in_channels, size, size, generator=generator(9))


def parameters(net):
    return sum(each.numel() for each in net.parameters())


def problem(seed=0, n=2, c=3, h=5, w=6, ignored=True, dtype=torch.float64):
    g = generator(seed)
    logits = 2 * torch.randn(n, c, h, w, generator=g, dtype=dtype)
    target = torch.randint(c, (n, h, w), generator=g)
    if ignored:
        target[torch.rand(n, h, w, generator=g) < 0.2] = 255
    return logits, target


# --- U-Net ---


def test_the_papers_network_takes_572_to_388_and_has_its_parameters():
    net = UNet(1, 2, width=2, padding="valid", batch_norm=False)
    assert net.margin == 92
    assert net(torch.rand(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    with torch.device("meta"):
        assert parameters(UNet(1, 2, padding="valid", batch_norm=False)) == 31_030_658
        assert parameters(UNet(3, 2)) == 31_043_586
        segnet, deconvnet = SegNet(3, 12), DeconvNet(3, 21)
        assert round(parameters(segnet.encoder) / 1e6, 1) == 14.7  # as SegNet's paper says
        assert parameters(segnet) == 29_480_844
        vgg = 134_260_544  # torchvision's vgg16 without its last layer: here twice, with one fc7
        fc7 = 4096 * 4096
        assert abs(parameters(deconvnet) - (2 * vgg - fc7)) / vgg < 0.001


def twin(net, image):
    """The U-Net of the paper's figure 1, step by step, from the weights by name."""
    weights, around = net.state_dict(), 1 if net.padding == "same" else 0

    def block(x, name):
        for number in (0, 3):
            x = F.conv2d(
                x, weights[f"{name}.{number}.weight"], weights[f"{name}.{number}.bias"], padding=around
            )
            norm = f"{name}.{number + 1}"
            x = F.batch_norm(
                x,
                weights[f"{norm}.running_mean"],
                weights[f"{norm}.running_var"],
                weights[f"{norm}.weight"],
                weights[f"{norm}.bias"],
            )
            x = x.relu()
        return x

    x, kept = image, []
    for level in range(net.depth):
        kept.append(block(x, f"encoder.{level}"))
        x = F.max_pool2d(kept[-1], 2)
    x = block(x, f"encoder.{net.depth}")
    for step in range(net.depth):
        x = F.conv_transpose2d(x, weights[f"up.{step}.weight"], weights[f"up.{step}.bias"], stride=2)
        skip = kept.pop()
        cut = [(a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True)]
        skip = skip[..., cut[0] : cut[0] + x.shape[2], cut[1] : cut[1] + x.shape[3]]
        if net.fusion == "concatenate":
            x = torch.cat([skip, x], 1)
        elif net.fusion == "sum":
            x = skip + x
        x = block(x, f"decoder.{step}")
    return F.conv2d(x, weights["score.weight"], weights["score.bias"])


@pytest.mark.parametrize("fusion", ["concatenate", "sum", "none"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_unet_is_what_its_figure_says(depth, padding, fusion):
    net = made(UNet, 2, 3, width=4, depth=depth, padding=padding, fusion=fusion)
    step = 2**depth
    size = (2 * net.margin + 4 + step, 2 * net.margin + 4) if padding == "valid" else (3 * step, 5 * step)
    image = torch.rand(2, 2, *size, generator=generator())
    torch.testing.assert_close(net(image), twin(net, image), rtol=1e-5, atol=1e-6)


NETWORKS = {
    "unet": lambda: UNet(3, 4, width=4, depth=3),
    "unet valid": lambda: UNet(3, 4, width=4, depth=1, padding="valid"),
    "unet sum": lambda: UNet(3, 4, width=4, depth=2, fusion="sum"),
    "unet none": lambda: UNet(3, 4, width=4, depth=2, fusion="none"),
    "unet plain": lambda: UNet(3, 4, width=4, depth=2, batch_norm=False),
    "deconvnet": lambda: DeconvNet(3, 4, width=4, depth=3, kernel=2, hidden=8),
    "segnet": lambda: SegNet(3, 4, width=4, depth=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    net = NETWORKS[name]()
    net(torch.rand(2, 3, 24, 24)).square().mean().backward()
    still = [name for name, each in net.named_parameters() if each.grad is None or not each.grad.any()]
    # Batch normalisation takes away what a bias before it adds: its gradient is zero to rounding.
    assert not [name for name in still if not name.endswith("bias")]


@pytest.mark.parametrize("name", ["unet", "unet sum", "unet none", "segnet"])
def test_any_size_comes_out_as_it_went_in(name):
    net = NETWORKS[name]().eval()
    for height, width in [(1, 1), (1, 7), (2, 3), (5, 5), (8, 8), (9, 17), (23, 31), (33, 16)]:
        assert net(torch.rand(1, 3, height, width)).shape == (1, 4, height, width)
    assert net(torch.rand(0, 3, 8, 8)).shape == (0, 4, 8, 8)


def test_odd_sizes_are_those_of_an_even_image_away_from_the_border():
    net = made(UNet, 3, 2, width=4, depth=2)
    image = torch.rand(1, 3, 96, 96, generator=generator())
    seen = 6 * 2**2
    torch.testing.assert_close(net(image[..., :93, :91])[..., :60, :60], net(image)[..., :60, :60])
    assert not torch.allclose(net(image[..., :93, :91])[..., 93 - seen :, :60], net(image)[..., 69:93, :60])


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_least_valid_image_and_the_sizes_that_fit(depth):
    net = UNet(1, 2, width=1, depth=depth, padding="valid").eval()
    least = 2 * net.margin + 4
    assert net(torch.rand(1, 1, least, least + 2**depth)).shape == (1, 2, 4, 4 + 2**depth)
    with pytest.raises(ValueError, match=f"at least {least} by {least} pixels .* a height of {least - 1}"):
        net(torch.rand(1, 1, least - 1, least))
    for rest in range(1, 2**depth):
        with pytest.raises(ValueError, match=f"next that fit are {least} and {least + 2**depth}"):
            net(torch.rand(1, 1, least, least + rest))


def test_an_odd_map_before_a_pooling_is_what_the_refused_sizes_would_have():
    fits = []
    for size in range(44, 80):
        maps, n, even = [], size, True
        for _ in range(2):
            n -= 4
            even &= n % 2 == 0
            n //= 2
            maps.append(n)
        if even:
            fits.append(size)
    net = UNet(1, 1, width=1, depth=2, padding="valid").eval()
    for size in range(44, 80):
        if size in fits:
            net(torch.rand(1, 1, size, size))
        else:
            with pytest.raises(ValueError, match="halves evenly"):
                net(torch.rand(1, 1, size, size))


def test_skips_matter_and_their_absence_is_complete():
    """Without skips the output depends on the first map through the bottom alone."""
    net = made(UNet, 1, 2, width=4, depth=1, fusion="none")
    image = torch.rand(1, 1, 8, 8, generator=generator())
    first = net.encoder[0](image)
    pooled = F.max_pool2d(first, 2)
    again = net.decoder[0](net.up[0](net.encoder[1](pooled)))
    torch.testing.assert_close(net.score(again), net(image))


@pytest.mark.parametrize("size", [3, (3, 4), [2, 5], torch.Size((5, 6))])
def test_center_crop(size):
    x = torch.arange(60).reshape(2, 5, 6)
    height, width = (size, size) if isinstance(size, int) else size
    top, left = (5 - height) // 2, (6 - width) // 2
    assert torch.equal(center_crop(x, size), x[:, top : top + height, left : left + width])


# --- Overlapping tiles ---


@pytest.mark.parametrize("tile", [9, 20, 33, 200])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_tiles_equal_the_whole_for_same(depth, tile):
    net = made(UNet, 3, 2, width=4, depth=depth)
    image = torch.rand(2, 3, 75, 58, generator=generator(depth))
    with torch.no_grad():
        whole = net(image)
    torch.testing.assert_close(overlap_tile(net, image, tile), whole, rtol=1e-4, atol=1e-5)
    assert torch.equal(overlap_tile(net, image[0], 200), overlap_tile(net, image[:1], 200)[0])


@pytest.mark.parametrize("tile", [3, 16, 20, 64])
@pytest.mark.parametrize(("depth", "size"), [(1, (30, 37)), (2, (41, 33)), (2, (5, 90)), (3, (60, 50))])
def test_tiles_equal_the_whole_mirrored_image_for_valid(depth, size, tile):
    net = made(UNet, 3, 2, width=4, depth=depth, padding="valid")
    image = torch.rand(2, 3, *size, generator=generator(depth))
    step, margin = 2**depth, net.margin
    out = [-(-(side - 4) // step) * step + 4 for side in size]
    mirrored = image
    for axis, (side, whole) in enumerate(zip(size, out, strict=True), 2):
        places = []
        for index in range(-margin, whole + margin):
            while not 0 <= index < side:  # reflect at one border, then at the other, until it is inside
                index = -index if index < 0 else 2 * (side - 1) - index
            places.append(index)
        mirrored = mirrored.index_select(axis, torch.tensor(places))
    with torch.no_grad():
        whole = net(mirrored)[..., : size[0], : size[1]]
    torch.testing.assert_close(overlap_tile(net, image, tile), whole, rtol=1e-4, atol=1e-5)


def test_what_a_tile_sees_is_needed_and_enough():
    """The gradient of an output reaches as far as the overlap, and a tile that begins elsewhere differs."""
    depth = 2
    net = made(UNet, 1, 1, width=4, depth=depth)
    image = torch.rand(1, 1, 120, 120, generator=generator()).requires_grad_()
    net(image)[0, 0, 56:60, 56:60].sum().backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    reach = max(56 - rows.min().item(), rows.max().item() - 59)
    assert 12 < reach <= 6 * 2**depth
    with torch.no_grad():
        whole = net(image)
        shifted = net(image[..., 2:, 2:])
    inside = slice(40, 70)
    assert (shifted[..., 38:68, 38:68] - whole[..., inside, inside]).abs().max() > 1e-3
    aligned = net(image[..., 4:, 4:])
    torch.testing.assert_close(aligned[..., 36:66, 36:66], whole[..., inside, inside], rtol=1e-4, atol=1e-5)


def test_tiles_of_an_image_of_one_pixel():
    for padding in ("same", "valid"):
        net = made(UNet, 1, 2, width=2, depth=1, padding=padding)
        assert overlap_tile(net, torch.rand(1, 1, 1), 8).shape == (2, 1, 1)


# --- Unpooling ---


@pytest.mark.parametrize("name", ["segnet", "deconvnet"])
def test_the_decoder_gets_its_values_back_at_the_switches(name):
    net = NETWORKS[name]().eval()
    before, after = [], []
    for block in net.encoder:
        block.register_forward_hook(lambda _, __, out: before.append(out))
    for block in net.decoder:
        block.register_forward_pre_hook(lambda _, args: after.append(args[0]))
    with torch.no_grad():
        net(torch.rand(1, 3, 27, 34, generator=generator()))
    for x, spread in zip(before, reversed(after), strict=True):
        assert x.shape == spread.shape
        for channel, i, j in spread[0].nonzero().tolist():
            top, left = i // 2 * 2, j // 2 * 2
            assert x[0, channel, i, j] == x[0, channel, top : top + 2, left : left + 2].max()


def test_the_stages_are_vggs():
    def kinds(blocks):
        return [[each.out_channels for each in block if hasattr(each, "out_channels")] for block in blocks]

    with torch.device("meta"):
        net = DeconvNet(3, 21)
    down = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
    up = [[512] * 3, [512, 512, 256], [256, 256, 128], [128, 64], [64, 64]]
    assert kinds(net.encoder) == down and kinds(net.decoder) == up
    assert net.fc6[0].weight.shape == (4096, 512, 7, 7)
    assert net.deconv_fc6[0].weight.shape == (4096, 512, 7, 7)


def test_deconvnet_names_the_least_image():
    net = DeconvNet(3, 4, width=2, depth=3, kernel=3, hidden=4).eval()
    assert net(torch.rand(1, 3, 17, 40)).shape == (1, 4, 17, 40)
    with pytest.raises(ValueError, match=r"at least 17 by 17 pixels .* got \(2, 5\) cells"):
        net(torch.rand(1, 3, 16, 40))


# --- Losses ---


def dice_twin(logits, target):
    p, costs = logits.softmax(1), []
    for c in range(logits.shape[1]):
        both = predicted = true = 0.0
        for n, i, j in itertools.product(*map(range, target.shape)):
            if target[n, i, j] != 255:
                g = float(target[n, i, j] == c)
                both += p[n, c, i, j].item() * g
                predicted += p[n, c, i, j].item()
                true += g
        if true:
            costs.append(1 - 2 * both / (predicted + true))
    return sum(costs) / len(costs) if costs else 0.0


def focal_twin(logits, target, gamma, weight):
    p, cost, total = logits.softmax(1), 0.0, 0.0
    for n, i, j in itertools.product(*map(range, target.shape)):
        c = target[n, i, j].item()
        if c != 255:
            q = p[n, c, i, j].item()
            cost -= weight[c].item() * (1 - q) ** gamma * math.log(q)
            total += weight[c].item()
    return cost / total if total else 0.0


def jaccard_loss_of(wrong, truth):
    """One minus the IoU of a class where exactly the pixels of a set are got wrong; sets of indices."""
    return len(wrong) / len(truth | wrong) if truth | wrong else 0.0


def lovasz_twin(logits, target, classes="present"):
    """The integral over t of the loss of the set of pixels with an error of at least t: nothing is sorted."""
    places = [p for p in itertools.product(*map(range, target.shape)) if target[p] != 255]
    prob, costs = logits.softmax(1), []
    for c in range(logits.shape[1]):
        truth = {p for p in places if target[p] == c}
        if classes == "present" and not truth:
            continue
        error = {p: abs((p in truth) - prob[p[0], c, p[1], p[2]].item()) for p in places}
        steps, cost = sorted({0.0, *error.values()}), 0.0
        for low, high in itertools.pairwise(steps):
            cost += (high - low) * jaccard_loss_of({p for p in places if error[p] >= high}, truth)
        costs.append(cost)
    return sum(costs) / len(costs) if costs and places else 0.0


@steady
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_losses_equal_their_definitions(seed, c, h, w, ignored):
    logits, target = problem(seed, 2, c, h, w, ignored)
    weight = torch.rand(c, generator=generator(seed), dtype=torch.float64) + 0.1
    close = {"abs": 1e-9, "rel": 1e-9}
    assert dice_loss(logits, target).item() == pytest.approx(dice_twin(logits, target), **close)
    for gamma in (0.0, 0.5, 2.0):
        ours = focal_loss(logits, target, gamma, weight).item()
        assert ours == pytest.approx(focal_twin(logits, target, gamma, weight), **close)
    for classes in ("present", "all"):
        ours = lovasz_softmax(logits, target, classes).item()
        assert ours == pytest.approx(lovasz_twin(logits, target, classes), **close)


@pytest.mark.parametrize("weight", [None, torch.tensor([0.3, 2.0, 1.0], dtype=torch.float64)])
def test_focal_with_gamma_0_is_cross_entropy(weight):
    logits, target = problem(3)
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    ours = focal_loss(leaves[0], target, gamma=0, weight=weight)
    theirs = F.cross_entropy(leaves[1], target, weight, ignore_index=255)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_sure_predictions_cost_one_minus_the_metric(seed):
    g = generator(seed)
    prediction, target = torch.randint(4, (2, 6, 7), generator=g), torch.randint(4, (2, 6, 7), generator=g)
    sure = 1000.0 * F.one_hot(prediction, 4).movedim(-1, 1).float()
    iou, dice = [], []
    for c in range(4):
        both = ((prediction == c) & (target == c)).sum().item()
        either = ((prediction == c) | (target == c)).sum().item()
        iou.append(both / either)
        dice.append(2 * both / (both + either))
    assert lovasz_softmax(sure, target).item() == pytest.approx(1 - sum(iou) / 4, abs=1e-5)
    assert dice_loss(sure, target).item() == pytest.approx(1 - sum(dice) / 4, abs=1e-5)
    as_one = [F.one_hot(each.flatten()[None], 4).mT for each in (prediction, target)]
    theirs = dice_score(*as_one, num_classes=4, average="macro").item()
    assert dice_loss(sure, target).item() == pytest.approx(1 - theirs, abs=1e-5)


@steady
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_lovasz_gradient_is_what_each_wrong_pixel_adds(truth):
    pixels = {index for index, each in enumerate(truth) if each}
    costs = [jaccard_loss_of(set(range(count)), pixels) for count in range(len(truth) + 1)]
    expected = [after - before for before, after in itertools.pairwise(costs)]
    ours = lovasz_gradient(torch.tensor(truth, dtype=torch.float64))
    assert ours.tolist() == pytest.approx(expected, abs=1e-12)
    assert ours.sum().item() == pytest.approx(1)


def test_lovasz_per_image_is_the_mean_over_images_that_count():
    logits, target = problem(5, n=3)
    target[1] = 255
    each = [lovasz_softmax(logits[i : i + 1], target[i : i + 1]).item() for i in (0, 2)]
    assert lovasz_softmax(logits, target, per_image=True).item() == pytest.approx(sum(each) / 2)
    assert lovasz_softmax(logits, target).item() != pytest.approx(sum(each) / 2, abs=1e-4)


LOSSES = {
    "dice": dice_loss,
    "focal": focal_loss,
    "focal, gamma 0.5": lambda *args, **options: focal_loss(*args, gamma=0.5, **options),
    "focal, weighted": lambda logits, *args, **options: focal_loss(
        logits, *args, weight=torch.arange(1.0, logits.shape[1] + 1), **options
    ),
    "lovasz": lovasz_softmax,
    "lovasz, all": lambda *args, **options: lovasz_softmax(*args, classes="all", **options),
    "lovasz, per image": lambda *args, **options: lovasz_softmax(*args, per_image=True, **options),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@each_loss
def test_gradients_pass_gradcheck(loss):
    logits, target = problem(1, c=3, h=3, w=3)
    assert gradcheck(lambda x: loss(x, target), (logits.requires_grad_(),))


@each_loss
def test_ignored_pixels_count_for_nothing(loss):
    logits, target = problem(2)
    others = logits.clone().requires_grad_()
    changed = torch.where((target == 255)[:, None], others.detach() * -3 + 1, others)
    torch.testing.assert_close(loss(logits, target), loss(changed, target), rtol=1e-12, atol=1e-12)
    loss(others, target).backward()
    assert not others.grad.movedim(1, -1)[target == 255].any()
    elsewhere = torch.where(target == 255, -1, target)
    assert loss(logits, elsewhere, ignore_index=-1) == loss(logits, target)


@each_loss
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 5)])
def test_where_no_pixel_counts_the_loss_is_0_and_so_is_its_gradient(loss, shape):
    logits = torch.full(shape, float("nan")).requires_grad_()  # not even that spreads
    value = loss(logits, torch.full((shape[0], *shape[2:]), 255))
    value.backward()
    assert value.shape == () and value.item() == 0 and not logits.grad.any()


@each_loss
def test_extreme_logits_give_finite_numbers(loss):
    scores = torch.tensor([[0.0, 1e4, -1e4], [0.0, 1e4, -1e4]])
    logits = torch.stack([scores, -scores])[None].requires_grad_()
    value = loss(logits, torch.tensor([[[0, 1, 0], [1, 0, 1]]]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@each_loss
def test_the_loss_does_not_touch_what_it_is_given(loss):
    logits, target = problem(4)
    before = logits.clone(), target.clone()
    loss(logits, target)
    assert torch.equal(logits, before[0]) and torch.equal(target, before[1])


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_counts_large_maps_as_float32_does(loss, dtype):
    """512 × 512 pixels are four times what float16 can hold, and a thousand times what bfloat16 can count."""
    target = (
        (torch.arange(512 * 512) % 2 + 2 * (torch.arange(512 * 512) < 100)).reshape(1, 512, 512).clamp(max=2)
    )
    logits = torch.randn(1, 3, 512, 512, generator=generator()).to(dtype).requires_grad_()
    exact = logits.detach().double().requires_grad_()
    ours, theirs = loss(logits, target), loss(exact, target)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)
    (ours * 2**16).backward()  # the gradient of a pixel lies below what float16 can hold
    (theirs * 2**16).backward()
    off = (
        logits.grad.double() - exact.grad
    ).norm() / exact.grad.norm()  # Lovász sorts a few pixels otherwise
    assert off < 0.05


def test_half_precision_of_a_flat_prediction():
    logits, target = torch.zeros(1, 3, 512, 512), torch.arange(512 * 512).reshape(1, 512, 512) % 3
    for dtype in (torch.float16, torch.bfloat16):
        assert dice_loss(logits.to(dtype), target).item() == pytest.approx(2 / 3, abs=1e-3)
        assert focal_loss(logits.to(dtype), target).item() == pytest.approx(math.log(3) * 4 / 9, abs=1e-3)
        assert lovasz_softmax(logits.to(dtype), target).item() == pytest.approx(
            lovasz_softmax(logits, target).item(), abs=1e-3
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_lovasz_gradient_counts_in_float32(dtype):
    truth = torch.rand(100_000, generator=generator()) < 0.5
    expected = lovasz_gradient(truth.double())
    torch.testing.assert_close(lovasz_gradient(truth.to(dtype)).double(), expected, rtol=1e-3, atol=1e-6)


# --- Weights ---


@steady
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(-1, 5))
def test_an_ignored_class_counts_for_nothing_in_class_weights(seed, c, ignore_index):
    """Whatever the ignored label, it is as if its pixels were not there."""
    labels = torch.randint(c, (3, 4, 5), generator=generator(seed))
    elsewhere = torch.where(labels == ignore_index, 255, labels)
    ours = class_weights(labels, c, ignore_index=ignore_index)
    torch.testing.assert_close(ours, class_weights(elsewhere, c))
    assert ignore_index not in range(c) or ours[ignore_index] == 0


def test_class_weights_where_the_background_is_ignored():
    labels = torch.tensor([[0] * 6 + [1] * 3 + [2]])
    torch.testing.assert_close(class_weights(labels, 3, ignore_index=0), torch.tensor([0, 1 / 3, 1]))


def test_class_weights_are_the_median_frequency_over_each():
    labels = torch.tensor([[[0, 0, 0, 1], [0, 0, 255, 255]], [[0, 0, 2, 2], [2, 0, 0, 0]]])
    # of image 1, 6 pixels count: 0 has 5, 1 has 1; of image 2, 8: 0 has 5, 2 has 3
    frequency = torch.tensor([10 / 14, 1 / 6, 3 / 8])
    weights = class_weights(labels, 4)
    torch.testing.assert_close(weights, torch.tensor([*(3 / 8 / frequency), 0.0]))
    assert class_weights(torch.full((1, 2, 2), 255), 3).tolist() == [0, 0, 0]
    assert class_weights(labels[0], 2).tolist() == pytest.approx([0.2, 1.0])  # the lower of two medians


def border_twin(instances, w0, sigma, weights):
    height, width = instances.shape
    out = torch.zeros(height, width)
    numbers = [n for n in instances.unique().tolist() if n]
    for i, j in itertools.product(range(height), range(width)):
        if instances[i, j]:
            out[i, j] = weights[1]
            continue
        nearest = sorted(
            min(math.hypot(i - r, j - c) for r, c in (instances == n).nonzero().tolist()) for n in numbers
        )
        gap = w0 * math.exp(-((nearest[0] + nearest[1]) ** 2) / (2 * sigma**2)) if len(nearest) > 1 else 0
        out[i, j] = weights[0] + gap
    return out


@pytest.mark.parametrize("seed", range(4))
def test_border_weights_equal_the_formula(seed):
    g = generator(seed)
    instances = torch.zeros(3, 11, 14, dtype=torch.int64)
    for number in (1, 2, 7, 300)[: seed + 1]:
        y, x = torch.randint(9, (2,), generator=g).tolist()
        instances[:2, y : y + 3, x : x + 4] = number
    w0, sigma, base = 7.0, 2.5, torch.tensor([0.5, 3.0])
    expected = torch.stack([border_twin(each, w0, sigma, base) for each in instances])
    ours = border_weights(instances, w0, sigma, base)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected)
    assert border_weights(instances[2]).unique().tolist() == [1]  # no cell, nothing to keep apart


def test_border_weights_fall_with_the_gap():
    instances = torch.zeros(1, 30, dtype=torch.int64)
    instances[0, 0], instances[0, 3], instances[0, 15] = 1, 2, 3
    weights = border_weights(instances)[0]
    assert weights[1] == weights[2] and weights[1] > 8 > weights[9] > weights[29]


# --- Where they run ---

SQUARE = torch.tensor([[1, 0, 0, 2], [1, 0, 2, 2]])
EVERY = {  # each function, so that its result hangs on nothing but its arguments
    **{
        name: (lambda loss=loss: loss(*PROBLEM)) for name, loss in LOSSES.items() if name != "focal, weighted"
    },
    "focal, weighted": lambda: focal_loss(*PROBLEM, weight=WEIGHT),
    "class weights": lambda: class_weights(SQUARE, 3),
    "class weights of nothing": lambda: class_weights(SQUARE, 3, ignore_index=255)[3:],
    "border weights": lambda: border_weights(SQUARE),
    "border weights, weighted": lambda: border_weights(SQUARE, weights=BASE),
    "tiles": lambda: overlap_tile(SAME, PICTURE, 4),
    "tiles, valid": lambda: overlap_tile(VALID, PICTURE, 4),
}
PROBLEM, WEIGHT = problem(1, dtype=torch.float32), torch.tensor([1.0, 2.0, 3.0])
BASE, PICTURE = torch.tensor([0.5, 2.0]), torch.rand(1, 3, 9, 10, generator=generator())
SAME = made(UNet, 3, 2, width=2, depth=1)
VALID = made(UNet, 3, 2, width=2, depth=1, padding="valid")


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("setting", ["device", "dtype"])
def test_torchs_defaults_change_nothing(call, setting):
    expected = call()
    if setting == "device":
        with torch.device("meta"):
            found = call()
    else:
        torch.set_default_dtype(torch.float64)
        try:
            found = call()
        finally:
            torch.set_default_dtype(torch.float32)
    assert found.device == expected.device and found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_compiles_as_one_graph_and_exports(name):
    net = NETWORKS[name]().eval()
    image = torch.rand(2, 3, 40, 28, generator=generator())
    with torch.no_grad():
        expected = net(image)
        torch._dynamo.reset()
        compiled = torch.compile(net, fullgraph=True, backend="eager")(image)
        torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-5)
        exported = torch.export.export(net, (image,)).module()(image)
        torch.testing.assert_close(exported, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("name", ["unet", "unet sum", "unet none"])
def test_a_unet_exports_with_free_sizes(name):
    net = NETWORKS[name]().eval()
    # From 9 pixels on: to a map of a single cell torch.export gives code of its own.
    sizes = {0: torch.export.Dim("n"), **{axis: torch.export.Dim(f"d{axis}", min=9) for axis in (2, 3)}}
    exported = torch.export.export(net, (torch.rand(2, 3, 40, 28),), dynamic_shapes=(sizes,)).module()
    for shape in [(1, 3, 33, 47), (3, 3, 64, 41), (2, 3, 40, 28), (2, 3, 37, 37)]:
        image = torch.rand(*shape, generator=generator())
        torch.testing.assert_close(exported(image), net(image), rtol=1e-4, atol=1e-5)


# --- Bad input ---

target = torch.zeros(2, 4, 5, dtype=torch.int64)
logits = torch.zeros(2, 3, 4, 5)


@each_loss
@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ((logits, target[:, :3]), ValueError, r"target \(2, 4, 5\).* got \(2, 3, 5\); .*center_crop"),
        ((logits, target[:1]), ValueError, r"got \(1, 4, 5\)"),
        ((logits, target + 3), ValueError, r"from 0 to 2, or 255 \(ignored\), got 3 at \(0, 0, 0\)"),
        ((logits, target - 1), ValueError, "got -1 at"),
        ((logits, target.float()), ValueError, r"int64, got torch.float32 .*target.long\(\)"),
        ((logits, target[:, None]), ValueError, r"\(N, H, W\), got \(2, 1, 4, 5\)"),
        ((logits[0], target), ValueError, r"add the missing axis with logits\[None\]"),
        ((logits.long(), target), ValueError, "floating point"),
        ((logits.numpy(), target), TypeError, "logits as a tensor"),
        ((logits, [[0]]), TypeError, "target as a tensor"),
    ],
)
def test_losses_refuse_what_does_not_belong_together(loss, bad, error, words):
    with pytest.raises(error, match=words):
        loss(*bad)


image = torch.rand(1, 3, 16, 16)
valid = UNet(3, 2, width=1, depth=1, padding="valid")
BAD = [
    (lambda: UNet(3, 2, padding="full"), ValueError, "padding as one of 'same', 'valid', got 'full'"),
    (lambda: UNet(3, 2, fusion="add"), ValueError, "fusion as one of"),
    (lambda: UNet(3, 2, width=0), ValueError, "width of at least 1"),
    (lambda: UNet(3, 2, depth=0), ValueError, "depth of at least 1"),
    (lambda: UNet(3, 0), ValueError, "num_classes of at least 1"),
    (lambda: UNet(3.5, 2), TypeError, "in_channels as a whole number"),
    (lambda: SegNet(3, 2, depth=1.0), TypeError, "depth as a whole number"),
    (lambda: DeconvNet(3, 2, kernel=0), ValueError, "kernel of at least 1"),
    (lambda: UNet(3, 2, width=1)(image[0]), ValueError, r"missing axis with image\[None\]"),
    (
        lambda: UNet(1, 2, width=1)(image),
        ValueError,
        r"\(N, 1, H, W\), got \(1, 3, 16, 16\)",
    ),
    (lambda: SegNet(3, 2, width=1)(image.byte()), ValueError, r"image\.float\(\) / 255"),
    (lambda: SegNet(3, 2, width=1)(image[..., :0]), ValueError, "expected image"),
    (lambda: UNet(3, 2, width=1)(image.numpy()), TypeError, "image as a tensor"),
    (lambda: valid(image), ValueError, "at least 20 by 20 pixels .* got a height of 16; use overlap_tile"),
    (lambda: overlap_tile(valid, image), ValueError, r"call model.eval\(\)"),
    (
        lambda: overlap_tile(SegNet(3, 2, width=1).eval(), image),
        TypeError,
        "expected model as an instance of UNet, got SegNet; give the UNet itself",
    ),
    (lambda: overlap_tile(UNet(3, 2, width=1).eval(), image, 0), ValueError, "tile of at least 1"),
    (lambda: overlap_tile(UNet(3, 2, width=1).eval(), image.numpy()), TypeError, "image as a tensor"),
    (lambda: center_crop(image, 17), ValueError, r"at least 17 by 17, got \(16, 16\)"),
    (lambda: focal_loss(logits, target, gamma=-1), ValueError, "gamma as a finite number of at least 0"),
    (lambda: focal_loss(logits, target, weight=torch.ones(2)), ValueError, r"shape \(3,\), got \(2,\)"),
    (lambda: lovasz_softmax(logits, target, "some"), ValueError, "classes as one of"),
    (lambda: class_weights(target + 4, 4), ValueError, "from 0 to 3"),
    (lambda: class_weights(target[0, 0], 4), ValueError, "expected labels"),
    (lambda: border_weights(target.float()), ValueError, "int64"),
    (lambda: border_weights(target - 1), ValueError, "instances of 0 or more, got -1 at"),
    (lambda: border_weights(target, sigma=0), ValueError, "sigma as a finite number above 0"),
    (lambda: border_weights([[1]]), TypeError, "instances as a tensor"),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


RESULTS = Path(__file__).parents[1] / "book" / "results"


def test_in_the_stored_trainings_skips_pay_at_every_seed():
    stored = json.loads((RESULTS / "encoder_decoders.json").read_text(encoding="utf-8"))
    assert len(stored["seeds"]) >= 3
    for run in stored["runs"]:
        iou = {name: entry["miou"] for name, entry in run.items()}
        assert min(iou["unet"], iou["unet_sum"]) > iou["unet_none"] + 0.15
        assert iou["unet"] > iou["fcn8s"] > iou["fcn32s"] + 0.3
        assert iou["unet"] > max(iou["deconvnet"], iou["segnet"])
        assert iou["unet_shape"] < iou["unet"] - 0.03


def test_in_the_stored_trainings_unet_reaches_its_goal_at_every_seed():
    stored = json.loads((RESULTS / "unet.json").read_text(encoding="utf-8"))
    assert len(stored["seeds"]) >= 3
    for run in stored["runs"]:
        assert run["unet"]["steps"] == 1800 and run["unet"]["miou"] >= 0.90
        assert run["four poolings"]["steps"] == 1800 and 0.88 < run["four poolings"]["miou"] < 0.93
