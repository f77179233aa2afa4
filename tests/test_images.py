"""The photographs are those of scikit-image, and no call leaves the machine."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import skimage.data
import torch

from segcore.data import images
from segcore.data.images import PHOTOGRAPHS, coin_masks, faces, photograph, stereo_pair

GREY = {"cell", "coins", "horse"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a photograph asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_an_image_of_the_house(name):
    image = photograph(name)
    assert image.dtype == torch.float32 and image.ndim == 3 and image.shape[0] == 3
    assert image.is_contiguous() and 0 <= image.min() < 0.2 and 0.8 < image.max() <= 1
    assert bool((image[0] == image[1]).all() and (image[1] == image[2]).all()) == (name in GREY)


@pytest.mark.parametrize("name", ["astronaut", "rocket", "coins", "cell"])
def test_pixels_equal_scikit_images_own(name):
    expected = getattr(skimage.data, name)()
    channels = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    assert np.array_equal((photograph(name) * 255).round().byte().permute(1, 2, 0).numpy(), channels)


def test_the_horse_is_black_on_white():
    assert np.array_equal((photograph("horse")[0] > 0.5).numpy(), skimage.data.horse())


def test_each_call_gives_a_new_tensor():
    photograph("coffee").zero_()
    assert photograph("coffee").max() == 1


@pytest.mark.parametrize(
    "name, near", [("astronot", "astronaut"), ("Coffee", "coffee"), ("hubble", "hubble_deep_field")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"did you mean {near!r}.*There are: astronaut, .*rocket"):
        photograph(name)


@pytest.mark.parametrize("name", ["zzz", "", 3, None, ["astronaut"]])
def test_a_name_near_to_nothing_is_answered_with_the_list(name):
    with pytest.raises(ValueError, match=r"There are: astronaut, .*rocket"):
        photograph(name)


def test_a_missing_file_says_so_and_is_not_fetched(monkeypatch):
    monkeypatch.setitem(images._FILES, "astronaut", "no_such_file.png")
    with pytest.raises(FileNotFoundError, match=r"does not ship data/no_such_file\.png"):
        photograph("astronaut")


def test_faces_and_their_labels():
    patches, labels = faces()
    assert patches.shape == (200, 3, 25, 25) and patches.dtype == torch.float32
    assert labels.dtype == torch.int64 and labels.tolist() == [1] * 100 + [0] * 100
    assert torch.equal(patches[:, 0], patches[:, 2])
    assert torch.allclose(patches[:, 0], torch.from_numpy(skimage.data.lfw_subset()).float())
    detail = patches[:, 0].var(0).mean(), patches[labels == 1, 0].var(0).mean()
    assert detail[1] < 0.75 * detail[0]  # faces are alike, what is no face is not


def test_the_disparity_maps_left_onto_right():
    left, right, disparity = stereo_pair()
    assert left.shape == right.shape == (3, 500, 741) and disparity.shape == (500, 741)
    assert disparity.dtype == torch.float32 and not disparity.isinf().any()
    assert 0.05 < disparity.isnan().float().mean() < 0.10
    y, x = (~disparity.isnan()).nonzero(as_tuple=True)
    there = (x - disparity[y, x]).round().long()
    inside = there >= 0
    difference = (left[:, y[inside], x[inside]] - right[:, y[inside], there[inside]]).abs().mean()
    wrong_way = (x + disparity[y, x]).round().long().clamp(max=740)
    assert difference < 0.05 < 0.15 < (left[:, y, x] - right[:, y, wrong_way]).abs().mean()


def test_coin_masks_are_twenty_four_round_things_apart():
    masks = coin_masks()
    assert masks.dtype == torch.bool and tuple(masks.shape) == (24, *photograph("coins").shape[1:])
    assert masks.sum(dim=0).max() == 1, "no pixel belongs to two coins"
    for mask in masks:
        y, x = mask.nonzero(as_tuple=True)
        height, width = (y.max() - y.min() + 1).item(), (x.max() - x.min() + 1).item()
        assert 30 < height < 70 and 0.8 < width / height < 1.25
        assert 0.65 < mask.sum().item() / (height * width) < 0.9, "a disk fills 0.79 of its box"
    centres = torch.stack([mask.nonzero().float().mean(dim=0) for mask in masks])
    rows = centres[:, 0].reshape(4, 6)
    assert (rows.amax(1)[:-1] < rows.amin(1)[1:]).all() and (
        centres[:, 1].reshape(4, 6).diff(dim=1) > 0
    ).all()


def test_coin_masks_are_the_24_coins_in_reading_order():
    masks = coin_masks()
    assert masks.shape == (24, 303, 384) and masks.dtype == torch.bool
    assert masks.sum(0).max() == 1  # no pixel belongs to two coins
    rows, columns = (
        torch.stack([mask.nonzero()[:, axis].float().mean() for mask in masks]) for axis in (0, 1)
    )
    assert (rows.view(4, 6).mean(1).diff() > 40).all() and (columns.view(4, 6).diff(dim=1) > 30).all()
    grey = photograph("coins")[0]
    assert all(grey[mask].mean() > grey[~masks.any(0)].mean() for mask in masks)
