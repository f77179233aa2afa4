"""Colours as people see them: sRGB to CIELAB and back.

CIELAB takes a colour apart into its lightness L* and two axes of colour, a* from green to red and b* from
blue to yellow, so that equal distances look about equally different. Superpixels and contours compare colours
in it; colorization predicts two of its three numbers from the third. White is D65, matrices and limits are
scikit-image's, and both directions agree with it within rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segcore import inputs

__all__ = ["lab_to_rgb", "rgb_to_lab"]

_WHITE = (0.95047, 1.0, 1.08883)  # CIE XYZ of D65, the white of sRGB
_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)


def rgb_to_lab(image: Tensor) -> Tensor:
    """CIELAB of sRGB: lightness from 0 to 100, and two axes of colour, green to red and blue to yellow.

    Args:
        image: Floating point ``(..., 3, H, W)`` in [0, 1].

    Returns:
        float32, of the same shape: L*, a*, b*, for white D65.

    Raises:
        TypeError: No tensor.
        ValueError: Another shape, or whole numbers.

    Example:
        >>> rgb_to_lab(torch.tensor([1.0, 0.0, 0.0])[:, None, None]).flatten()
        tensor([53.2406, 80.0923, 67.2027])
    """
    rgb = inputs.floating(image, "image", "... 3 H W").float()
    curved = ((rgb.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)  # of less, the root has no slope
    linear = torch.where(rgb > 0.04045, curved, rgb / 12.92)
    to_xyz = linear.new_tensor(_TO_XYZ) / linear.new_tensor(_WHITE)[:, None]
    with inputs.full_precision(linear):  # bfloat16 cannot tell colours apart
        xyz = torch.einsum("ij,...jhw->...ihw", to_xyz, linear)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856).pow(1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """SRGB of CIELAB, clipped to [0, 1]: many L*, a*, b* are colours that no screen shows.

    Args:
        lab: Floating point ``(..., 3, H, W)``: L*, a*, b*, for white D65.

    Returns:
        float32, of the same shape, in [0, 1]. Where a channel was clipped, lightness and hue change, too.

    Raises:
        TypeError: No tensor.
        ValueError: Another shape, or whole numbers.

    Example:
        >>> lab_to_rgb(torch.tensor([53.2406, 80.0923, 67.2027])[:, None, None]).flatten().round(decimals=3)
        tensor([1., 0., 0.])
    """
    lightness, a, b = inputs.floating(lab, "lab", "... 3 H W").float().unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, (y - b / 200).clamp(min=0)], -3)
    xyz = torch.where(f > 0.2068966, f.pow(3), (f - 16 / 116) / 7.787)
    to_rgb = (f.new_tensor(_TO_XYZ).double().inverse() * f.new_tensor(_WHITE)).to(f)
    with inputs.full_precision(xyz):
        linear = torch.einsum("ij,...jhw->...ihw", to_rgb, xyz)
    curved = 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear).clamp(0, 1)
