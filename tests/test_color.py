"""sRGB and CIELAB: against scikit-image, both ways, beyond the gamut, and bad input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color

from segcore.color import lab_to_rgb, rgb_to_lab


def theirs(convert, values):
    return torch.from_numpy(convert(values.double().movedim(-3, -1).numpy())).movedim(-1, -3).float()


def colours(*shape, seed=0):
    image = torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    image[..., 0, :] *= 0.05  # the straight part of both curves
    return image


@pytest.mark.parametrize("shape", [(3, 20, 20), (4, 3, 9, 7), (2, 2, 3, 5, 4)])
def test_both_ways_are_scikit_images(shape):
    image = colours(*shape)
    lab = rgb_to_lab(image)
    assert (lab - theirs(color.rgb2lab, image)).abs().max() < 1e-3
    assert (lab_to_rgb(lab) - theirs(color.lab2rgb, lab)).abs().max() < 1e-4
    assert (lab_to_rgb(lab) - image).abs().max() < 1e-4
    assert lab.dtype == torch.float32 and lab.shape == image.shape


@pytest.mark.filterwarnings("ignore:Color data out of range")
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_colours_that_no_screen_shows_are_clipped():
    generator = torch.Generator().manual_seed(1)
    lab = (
        torch.tensor([0.0, -128, -128])[:, None, None]
        + torch.rand(3, 40, 40, generator=generator) * torch.tensor([100.0, 256, 256])[:, None, None]
    )
    found = lab_to_rgb(lab)
    assert found.min() == 0 and found.max() == 1
    assert (found - theirs(color.lab2rgb, lab)).abs().max() < 1e-3


def test_ends_and_greys():
    ends = torch.tensor([[0.0, 0, 0], [100, 0, 0], [50, 0, 0]]).T[:, None]
    found = lab_to_rgb(ends)[:, 0]
    assert torch.allclose(found[:, 0], torch.zeros(3)) and torch.allclose(
        found[:, 1], torch.ones(3), atol=1e-3
    )
    assert (found[:, 2] - found[:, 2].mean()).abs().max() < 1e-3


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_there_and_back_is_the_colour(rgb):
    image = torch.tensor(rgb)[:, None, None]
    assert (lab_to_rgb(rgb_to_lab(image)) - image).abs().max() < 1e-3


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb])
def test_gradients_are_finite_everywhere(convert):
    values = torch.cat([torch.zeros(3, 1, 2), colours(3, 4, 2)], 1).requires_grad_()
    convert(values).sum().backward()
    assert values.grad.isfinite().all()


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb])
def test_bad_input_is_refused(convert):
    with pytest.raises(ValueError, match="3, H, W"):
        convert(torch.zeros(4, 5, 5))
    with pytest.raises(ValueError, match="floating point"):
        convert(torch.zeros(3, 5, 5, dtype=torch.uint8))
    with pytest.raises(TypeError, match="tensor"):
        convert([0.0, 1.0, 0.5])


def test_the_gradient_is_finite_outside_of_the_range():
    """What a network draws may lie a little below 0, where the power that is not taken has no slope."""
    image = torch.linspace(-0.2, 1.2, 12).reshape(3, 2, 2).requires_grad_()
    rgb_to_lab(image).sum().backward()
    assert image.grad.isfinite().all()
