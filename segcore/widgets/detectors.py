"""A Mask R-CNN as four networks and a few numbers, which a page runs: ``static/kit/detector.js``.

The parts are those of `segcore.mask_rcnn`: backbone, proposal head, box head and mask head, each written down
by `segcore.widgets.export_network`. The linear layers of the box head travel as convolutions as large as
their map, for that is what they are (chapter 4). What stands between the parts has no weights: anchors, the
coding of boxes, suppression, RoIAlign, pasting. :func:`import_detector` reads the parts back into a
:class:`MaskRCNN`, which finds what the page finds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segcore import inputs
from segcore.convolutionalization import linear_to_conv
from segcore.detection import BoxHead, ProposalHead
from segcore.mask_rcnn import STRIDE, MaskRCNN
from segcore.widgets.export import export_network, import_network

__all__ = ["PARTS", "export_detector", "import_detector"]

PARTS = ("backbone", "proposal_head", "box_head", "mask_head")
GRIDS = {"box_head": 7, "mask_head": 14}  # cells of RoIAlign along each side


class _Proposing(nn.Module):
    """The proposal head before its numbers are laid out by anchors."""

    def __init__(self, head: ProposalHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        x = self.head.conv(features)
        return {"objectness": self.head.objectness(x), "deltas": self.head.deltas(x)}


class _Naming(nn.Module):
    """The box head with convolutions for linear layers."""

    def __init__(self, head: BoxHead, width: int) -> None:
        super().__init__()
        hidden = head.fc.out_features
        self.conv, self.pool, self.relu = head.conv, nn.MaxPool2d(2), nn.ReLU()
        self.fc = linear_to_conv(head.fc, (width, 3, 3))
        self.scores = linear_to_conv(head.scores, (hidden, 1, 1))
        self.deltas = linear_to_conv(head.deltas, (hidden, 1, 1))

    def forward(self, pooled: Tensor) -> dict[str, Tensor]:
        x = self.relu(self.fc(self.pool(self.conv(pooled))))
        return {"scores": self.scores(x), "deltas": self.deltas(x)}


def export_detector(network: MaskRCNN, size: tuple[int, int], weights: str = "int6") -> dict[str, Any]:
    """What a Mask R-CNN does to an image, as plain JSON values.

    Args:
        network: It stays as it is; it is written down as in eval mode.
        size: (H, W) of the images, both divisible by 4.
        weights: ``"int6"``, ``"int8"``, ``"float16"`` or ``"float32"``, as in `export_network`.

    Returns:
        dict: ``parts``, a described network for each of `PARTS`; ``sides``, ``ratios`` and ``stride`` of the
        anchors; ``proposals`` and ``detections``, how many are kept; ``least``, the score below which
        nothing is.

    Raises:
        TypeError: ``network`` is no `MaskRCNN`.
        ValueError: A size that is not divisible, or an unknown kind of weights.

    Example:
        >>> described = export_detector(MaskRCNN(num_classes=4, width=8), (32, 32))
        >>> [len(part["steps"]) for part in described["parts"].values()]
        [21, 3, 5, 4]
        >>> described["parts"]["mask_head"]["steps"][-1]["shape"]
        [4, 28, 28]
    """
    inputs.instance(network, "network", MaskRCNN)
    height, width = inputs.pair(size, "size", axes="H, W")
    if height % STRIDE or width % STRIDE:
        raise ValueError(f"expected a size divisible by {STRIDE}, got {height} × {width}; crop the images")
    channels = network.proposal_head.objectness.in_channels
    cells = {name: (grid, grid) for name, grid in GRIDS.items()}
    cells["proposal_head"] = (height // STRIDE, width // STRIDE)
    models: dict[str, nn.Module] = {
        "backbone": network.backbone,
        "proposal_head": _Proposing(network.proposal_head),
        "box_head": _Naming(network.box_head, channels),
        "mask_head": network.mask_head,
    }
    parts = {}
    for name, model in models.items():
        shape = (3, height, width) if name == "backbone" else (channels, *cells[name])
        parts[name] = export_network(model, torch.zeros(1, *shape), weights)
    return {
        "parts": parts,
        "stride": STRIDE,
        "sides": list(network.anchor_sides),
        "ratios": list(network.anchor_ratios),
        "proposals": network.proposals,
        "detections": network.detections,
        "least": network.score_threshold,
    }


class _Proposed(nn.Module):
    """A described proposal head, its numbers laid out by anchors."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__()
        self.read = import_network(described)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        found = self.read(features)
        deltas = found["deltas"].permute(0, 2, 3, 1).reshape(len(features), -1, 4)
        return found["objectness"].permute(0, 2, 3, 1).flatten(1), deltas


class _Named(nn.Module):
    """A described box head: logits and deltas of each box."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__()
        self.read = import_network(described)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        found = self.read(pooled)
        return found["scores"].flatten(1), found["deltas"].flatten(1).unflatten(1, (-1, 4))


def import_detector(described: dict[str, Any]) -> MaskRCNN:
    """A Mask R-CNN in evaluation mode that finds what the page finds.

    Args:
        described: What :func:`export_detector` returned.

    Raises:
        ValueError: The weights do not belong to the steps.

    Example:
        >>> network = MaskRCNN(num_classes=4, width=8).eval()
        >>> read = import_detector(export_detector(network, (32, 32), "float32"))
        >>> image = torch.rand(1, 3, 32, 32)
        >>> torch.allclose(read.backbone(image), network.backbone(image), atol=1e-5)
        True
    """
    parts = described["parts"]
    classes = parts["mask_head"]["steps"][-1]["shape"][0]
    numbers = {name: described[name] for name in ("proposals", "detections")}
    network = MaskRCNN(
        classes,
        4,
        described["sides"],
        described["ratios"],
        score_threshold=described["least"],
        **numbers,
    )
    network.backbone = import_network(parts["backbone"])  # type: ignore[assignment]
    network.proposal_head = _Proposed(parts["proposal_head"])  # type: ignore[assignment]
    network.box_head = _Named(parts["box_head"])  # type: ignore[assignment]
    network.mask_head = import_network(parts["mask_head"])  # type: ignore[assignment]
    return network.eval()
