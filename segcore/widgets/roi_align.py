"""The widget of chapter 13: one box, pooled by RoIPool and by RoIAlign, every number traced to its cells.

Its image is a photograph of a cup at a third of its size, 192 by 128 pixels. Its feature map has a stride
of 16 pixels and three channels made by fixed filters: edge strength, brightness, and the share of each cell
that the cup's mouth covers. All values are whole numbers from 0 to 100, so that what a reader sees in a
cell is what the arithmetic uses.

The mouth of the cup is an ellipse, fitted by eye; its mask is the "toy" whose edge RoIPool displaces.
"""

from __future__ import annotations

import base64
import contextlib
import math
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["RoIAlignWidget"]

STRIDE = 16
REDUCTION = 3  # of the photograph: 576 x 384 pixels of it become 192 x 128
IMAGE_SIZE = (128, 192)  # height, width
CHROMA_REDUCTION = 4  # colour is kept more coarsely than brightness, as in JPEG
FARTHEST = 1000  # pixels from the corner that an edge of the box may lie
CHANNELS = ("edges", "brightness", "mouth")

# The cup's mouth in pixels of the reduced image: centre, half axes, and rotation in radians.
MOUTH_CENTRE = (96.8, 37.7)
MOUTH_AXES = (39.3, 31.3)
MOUTH_ANGLE = 0.16


def _pack(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.uint8).tobytes()).decode("ascii")


def _reduce(values: np.ndarray, factor: int) -> np.ndarray:
    """Sum the last two axes over squares of ``factor`` pixels."""
    *lead, height, width = values.shape
    return values.reshape(*lead, height // factor, factor, width // factor, factor).sum(axis=(-3, -1))


def _image() -> np.ndarray:
    """The reduced photograph as sums of whole numbers, ``(3, 128, 192)``: 9 times its 0..255 values.

    Whole numbers keep the packed page the same on every machine.
    """
    from segcore.data.images import photograph

    height, width = (REDUCTION * n for n in IMAGE_SIZE)
    pixels = (photograph("coffee") * 255).round().to(torch.int64).numpy()[:, :height, :width]
    return _reduce(pixels, REDUCTION)


def _mouth() -> np.ndarray:
    """The mask of the cup's mouth, ``(128, 192)`` bool: pixels whose centre lies in the ellipse."""
    y, x = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]] + 0.5
    x, y = x - MOUTH_CENTRE[0], y - MOUTH_CENTRE[1]
    cosine, sine = math.cos(MOUTH_ANGLE), math.sin(MOUTH_ANGLE)
    along, across = x * cosine + y * sine, y * cosine - x * sine
    return (along / MOUTH_AXES[0]) ** 2 + (across / MOUTH_AXES[1]) ** 2 <= 1


@lru_cache(maxsize=1)
def _scene() -> tuple[dict[str, Any], dict[str, Any]]:
    """The widget's ``scene`` and ``feature`` traits."""
    red, green, blue = _image()
    luma = (299 * red + 587 * green + 114 * blue + 4500) // 9000
    square = CHROMA_REDUCTION**2 * REDUCTION**2
    coarse_red, coarse_green, coarse_blue = (_reduce(c, CHROMA_REDUCTION) for c in (red, green, blue))
    cb = (-169 * coarse_red - 331 * coarse_green + 500 * coarse_blue) // (1000 * square) + 128
    cr = (500 * coarse_red - 419 * coarse_green - 81 * coarse_blue) // (1000 * square) + 128
    mask = _mouth()

    padded = np.pad(luma.astype(np.float64), 1, mode="edge")
    smooth_y = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    smooth_x = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    edges = np.hypot(smooth_y[:, 2:] - smooth_y[:, :-2], smooth_x[2:] - smooth_x[:-2])  # Sobel

    area = STRIDE**2
    strength = _reduce(edges, STRIDE)
    features = np.stack(
        [
            strength * (99 / strength.max()),
            _reduce(luma, STRIDE) * (99 / (255 * area)),
            _reduce(mask.astype(np.int64), STRIDE) * (100 / area),
        ]
    ).round()
    scene = {
        "height": IMAGE_SIZE[0],
        "width": IMAGE_SIZE[1],
        "luma": _pack(luma),
        "chroma": _pack(np.stack([cb, cr])),
        "chroma_reduction": CHROMA_REDUCTION,
        "mask": _pack(np.packbits(mask)),
        "object": "the mouth of the cup",
    }
    feature = {
        "channels": list(CHANNELS),
        "shape": list(features.shape),
        "values": [int(value) for value in features.ravel()],
    }
    return scene, feature


class RoIAlignWidget(CourseWidget):
    """RoIPool and RoIAlign of one box, and what each makes of the cup's mouth.

    Every trait can be read and set from Python while the figure is on screen; ``box`` follows the reader's
    hand.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the image, continuous (pixel (0, 0) covers [0, 1) x [0, 1)).
        output_size: rows and columns of the output, each from 1 to 7.
        sampling_ratio: samples per bin and axis, 0 to 4; 0 lets the box decide (one per cell, rounded up).
        aligned: whether RoIAlign takes off half a cell, as it should.
        channel: which channel of the map is shown: "edges", "brightness" or "mouth".
        stride: pixels of the image per cell of the map; read-only.
        feature: the map, as its channels' names, its shape and its values; read-only.
        scene: the photograph and the object's mask, packed; read-only.

    Example:
        >>> widget = RoIAlignWidget(box=[40.0, 8.0, 104.0, 72.0], output_size=[2, 2])
        >>> widget.pooled.shape, widget.aligned_output.shape
        (torch.Size([3, 2, 2]), torch.Size([3, 2, 2]))
    """

    _slug = "roi_align"
    _title = "RoIPool and RoIAlign of one box"

    feature = traitlets.Dict(read_only=True).tag(sync=True)
    scene = traitlets.Dict(read_only=True).tag(sync=True)
    stride = traitlets.Int(STRIDE, read_only=True).tag(sync=True)
    box = traitlets.List(traitlets.Float(), default_value=[56.1, 5.0, 136.1, 70.0]).tag(sync=True)
    output_size = traitlets.List(traitlets.Int(), default_value=[5, 5]).tag(sync=True)
    sampling_ratio = traitlets.Int(2).tag(sync=True)
    aligned = traitlets.Bool(True).tag(sync=True)
    channel = traitlets.Enum(CHANNELS, default_value=CHANNELS[-1]).tag(sync=True)

    @traitlets.default("feature")
    def _default_feature(self) -> dict[str, Any]:
        return _scene()[1]

    @traitlets.default("scene")
    def _default_scene(self) -> dict[str, Any]:
        return _scene()[0]

    @traitlets.validate("box")
    def _check_box(self, proposal: Any) -> list[float]:
        box = [float(edge) for edge in proposal["value"]]
        if len(box) != 4:
            raise traitlets.TraitError(f"box must hold four numbers, x1, y1, x2, y2; got {len(box)}: {box}")
        if not all(math.isfinite(edge) for edge in box):
            raise traitlets.TraitError(f"box must hold finite numbers; got {box}")
        x1, y1, x2, y2 = box
        if x2 < x1 or y2 < y1:
            raise traitlets.TraitError(
                f"box must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; got {box}. Are its corners swapped?"
            )
        if max(abs(edge) for edge in box) > FARTHEST:
            raise traitlets.TraitError(
                f"box must lie within {FARTHEST} pixels of the image's corner; got {box}"
            )
        return box

    @traitlets.validate("output_size")
    def _check_output_size(self, proposal: Any) -> list[int]:
        size = list(proposal["value"])
        if len(size) != 2 or not all(1 <= n <= 7 for n in size):
            raise traitlets.TraitError(f"output_size must be [rows, columns], each from 1 to 7; got {size}")
        return size

    @traitlets.validate("sampling_ratio")
    def _check_sampling_ratio(self, proposal: Any) -> int:
        ratio = proposal["value"]
        if not 0 <= ratio <= 4:
            raise traitlets.TraitError(f"sampling_ratio must be 0 (adaptive) to 4; got {ratio}")
        return ratio

    @property
    def feature_map(self) -> Tensor:
        """The map as float32 ``(3, 8, 12)``."""
        return torch.tensor(self.feature["values"], dtype=torch.float32).reshape(self.feature["shape"])

    @property
    def pooled(self) -> Tensor:
        """RoIPool of the current box, by `segcore.roi_align.roi_pool`: float32 ``(3, rows, columns)``."""
        from segcore.roi_align import roi_pool

        boxes = [torch.tensor([self.box], dtype=torch.float32)]
        rows, columns = self.output_size
        with _outside_is_said_in_the_widget():
            return roi_pool(self.feature_map[None], boxes, (rows, columns), 1 / self.stride)[0]

    @property
    def aligned_output(self) -> Tensor:
        """RoIAlign of the current box, by `segcore.roi_align.roi_align`: float32 ``(3, rows, columns)``."""
        from segcore.roi_align import roi_align

        boxes = [torch.tensor([self.box], dtype=torch.float32)]
        rows, columns = self.output_size
        with _outside_is_said_in_the_widget():
            return roi_align(
                self.feature_map[None],
                boxes,
                (rows, columns),
                1 / self.stride,
                self.sampling_ratio,
                self.aligned,
            )[0]


@contextlib.contextmanager
def _outside_is_said_in_the_widget() -> Iterator[None]:
    """No warning of a box beside the map: a reader may drag it there, and the widget has a note for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "all .* boxes lie outside the map")
        yield
