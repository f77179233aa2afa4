r"""Mask R-CNN: a detector that also says which pixels of each box are the object (He et al. 2017).

Faster R-CNN finds boxes in two stages. A small network on the feature map proposes boxes (is there anything
here?), then a head reads each proposal with RoIAlign and says what it is and where exactly it ends. Mask
R-CNN adds a second head, a small fully convolutional network on RoIAlign's grid, that predicts an M × M mask
*for each class* (:class:`MaskHead`). The box head alone decides the class; the loss looks at that class's
mask only, pixel by pixel (:func:`mask_loss`), so classes do not compete for pixels. In the end the small soft
mask is drawn back into the image (:func:`paste_masks`), which is again two matrix products a box,

.. math:: P = W_y\, m\, W_x^T.

:class:`MaskRCNN` is complete and compact: 0.37 million parameters, one pyramid level. What serves the boxes,
from anchors to their heads, is in `segcore.detection`, RoIAlign in `segcore.roi_align`, NMS comes from
torchvision. What differs from the paper: the pyramid's levels are merged into the finest one, heads are
narrower, all is trained from random weights. Left out: crowds, and images of different sizes in a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image

from segcore import inputs
from segcore.detection import (
    BoxHead,
    MergedPyramid,
    ProposalHead,
    convolution_unit,
    decode,
    draw_balanced,
    encode,
    make_anchors,
    match_boxes,
    proposal_losses,
)
from segcore.roi_align import roi_align

__all__ = [
    "MaskHead",
    "MaskRCNN",
    "instance_targets",
    "mask_loss",
    "mask_rcnn_for_scenes",
    "mask_targets",
    "paste_masks",
]

METHODS = ("exact", "torchvision")
STRIDE = 4  # of the feature map that all heads read


# --- Masks: what they are trained on, and how they come back ---


def mask_targets(masks: Tensor, boxes: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Cut each object's mask out along a box and resize it: what the mask head should say of this box.

    It is RoIAlign of the mask at scale 1, so the target lies exactly where the features were read.

    Args:
        masks: bool ``(N, H, W)``.
        boxes: ``(N, 4)`` as x1, y1, x2, y2, one for each mask.
        size: Cells of the target, M or (h, w).

    Returns:
        float32 ``(N, h, w)``: the share of each cell's samples that are object, 0 to 1. What lies outside the
        image is no object.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Wrong shapes or dtypes, or another number of boxes than masks.

    Example:
        >>> mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> mask[0, :, :2] = True  # the left half
        >>> mask_targets(mask, torch.tensor([[0.0, 0.0, 4.0, 4.0]]), 2)
        tensor([[[1., 0.],
                 [1., 0.]]])
    """
    _as_many(inputs.masks(masks), "masks", inputs.boxes(boxes), "boxes")
    rows, columns = inputs.pair(size, "size", axes="h, w")
    if not len(masks):
        return torch.zeros(0, rows, columns, device=masks.device)
    border = F.pad(masks[:, None].float(), (1, 1, 1, 1))  # outside the image there is no object
    numbers = torch.arange(len(masks), device=masks.device, dtype=torch.float32)[:, None]
    return roi_align(border, torch.cat([numbers, boxes.detach().float() + 1], 1), (rows, columns))[
        :, 0
    ].clamp(0, 1)


def mask_loss(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    r"""Mean binary cross-entropy of each object's mask, taken from the channel of its class alone.

    .. math:: L = -\frac{1}{N M^2} \sum_n \sum_{ij} t \log \sigma(z) + (1 - t) \log(1 - \sigma(z)),
        \qquad z = z_{n, y_n, i, j}.

    The other channels get no gradient: an object of one class says nothing about the masks of the others.

    Args:
        logits: ``(N, C, M, M)``, before the sigmoid.
        targets: ``(N, M, M)``, from 0 to 1.
        labels: int64 ``(N,)``, the class of each object, 0 to C - 1.

    Returns:
        A scalar; 0 with a gradient of 0 where there are no objects, so that a batch without any can be
        trained on.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes that do not fit together, a target outside [0, 1], or a label that is no class.

    Example:
        >>> logits = torch.zeros(1, 3, 2, 2)
        >>> logits[0, 1] = 100.0  # the other classes may say what they like
        >>> mask_loss(logits, torch.zeros(1, 2, 2), torch.tensor([2]))
        tensor(0.6931)
    """
    inputs.floating(logits, "logits", "N C h w")
    inputs.floating(targets, "targets", "N h w")
    inputs.label_map(labels, "labels", logits.shape[1], None, "N")
    _as_many(logits, "logits", labels, "labels")
    inputs.same_place(targets, "targets", logits, "logits")
    own = logits[torch.arange(len(labels), device=logits.device), labels]  # (N, M, M)
    cure = "make them with mask_targets"
    inputs.same_shape(targets, "targets", own, "the mask of one class", cure)
    if not len(logits):
        return logits.sum()
    if not targets.is_meta and not bool(((targets >= 0) & (targets <= 1)).all()):
        raise ValueError("expected targets from 0 to 1, got others; make them with mask_targets")
    return F.binary_cross_entropy_with_logits(own, targets)


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int], method: str = "exact") -> Tensor:
    """Draw soft masks back into the image, each into its box.

    "exact" reads each mask at the centres of the image's pixels by bilinear interpolation; a mask is zero
    outside its box, so it goes over to zero within half a cell on either side of the box's edge. It is
    detectron2's way, ``grid_sample`` with ``align_corners=False``. "torchvision" gives what
    `torchvision.models.detection.roi_heads.paste_masks_in_image` gives: the mask gets a border of one cell of
    zeros, its enlarged box is cut to whole numbers and taken to be one pixel longer, and the mask is resized
    to these pixels.

    Args:
        masks: ``(N, M, M)``, or ``(N, h, w)``; probabilities as a rule, floating point.
        boxes: ``(N, 4)`` as x1, y1, x2, y2. They may reach over the image's edge.
        size: The image's (H, W).
        method: "exact" or "torchvision".

    Returns:
        ``(N, H, W)``, dtype and device of `masks`; soft: compare with 0.5 for the final mask. Differentiable
        in `masks`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: Wrong shapes, boxes without area or not finite, another number of boxes than masks, or an
            unknown method.

    Example:
        >>> mask, box = torch.ones(1, 1, 1), torch.tensor([[1.0, 0.0, 3.0, 2.0]])
        >>> paste_masks(mask, box, (2, 4))
        tensor([[[0.1875, 0.5625, 0.5625, 0.1875],
                 [0.1875, 0.5625, 0.5625, 0.1875]]])
    """
    inputs.floating(masks, "masks", "N h w"), inputs.option(method, "method", METHODS)
    _as_many(masks, "masks", inputs.same_place(inputs.boxes(boxes), "boxes", masks, "masks"), "boxes")
    height, width = inputs.pair(size, "size", axes="H, W")
    dtype = torch.promote_types(masks.dtype, torch.float32)  # half precision cannot tell 2500.5 from 2500
    boxes = boxes.detach().to(dtype)
    flat = boxes[:, 2:] <= boxes[:, :2]
    if not boxes.is_meta and bool(flat.any()):
        row = int(flat.any(1).nonzero()[0])
        raise ValueError(f"expected boxes with an area, got none in boxes[{row}]; drop such boxes first")
    down = _paste_index(boxes[:, 1], boxes[:, 3], masks.shape[1], height, method)  # (N, H)
    across = _paste_index(boxes[:, 0], boxes[:, 2], masks.shape[2], width, method)  # (N, W)
    with inputs.full_precision(masks):
        if masks.device.type != "cpu" or (torch.is_grad_enabled() and masks.requires_grad):
            w_y, w_x = _hats(down, masks.shape[1]), _hats(across, masks.shape[2])  # (N, H, h), (N, W, w)
            return (w_y @ masks.to(dtype) @ w_x.mT).to(masks.dtype)
        return _paste_windows(masks.detach().to(dtype), down, across).to(masks.dtype)


def _paste_index(
    low: Tensor,
    high: Tensor,
    cells: int,
    pixels: int,
    method: str,
) -> Tensor:
    """Where the centre of each pixel along one axis lies in the masks, in indices of cells, (N, pixels)."""
    pixel = torch.arange(pixels, device=low.device, dtype=low.dtype) + 0.5
    low, high = low[:, None], high[:, None]
    if method == "exact":
        return (pixel - low) / (high - low) * cells - 0.5
    middle, half = (low + high) / 2, (high - low) / 2 * ((cells + 2) / cells)
    # Cut to whole pixels, and one pixel longer.
    low, high = (middle - half).trunc(), (middle + half).trunc() + 1
    part = (pixel - low) / (high - low)
    # The border's cells are number -1 and number `cells`.
    index = (part * (cells + 2) - 0.5).clamp(0, cells + 1) - 1
    return torch.where((part > 0) & (part < 1), index, -2)


def _hats(index: Tensor, cells: int) -> Tensor:
    """The share that each place takes of each cell, (..., cells); nothing from cells that are not there."""
    cell = torch.arange(cells, device=index.device)
    return (1 - (index[..., None] - cell).abs()).clamp(min=0)


def _paste_windows(masks: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The two products, taken only where a mask reaches; elsewhere the zeros are left as they were made."""
    # NumPy asks the system for zeros, which it gives at the first touch: an untouched page costs nothing.
    shape = (len(masks), down.shape[1], across.shape[1])
    image = torch.from_numpy(np.zeros(shape, dtype=masks.new_empty(0).numpy().dtype))
    spans = zip(_spans(down, masks.shape[1]), _spans(across, masks.shape[2]), strict=True)
    for n, (rows, columns) in enumerate(spans):
        w_y, w_x = _hats(down[n, rows], masks.shape[1]), _hats(across[n, columns], masks.shape[2])
        image[n, rows, columns] = w_y @ masks[n] @ w_x.T
    return image


def _spans(index: Tensor, cells: int) -> list[slice]:
    """The pixels that take anything, for each mask; they follow one another."""
    taken = (index > -1) & (index < cells)
    first, count = taken.int().argmax(1).tolist(), taken.sum(1).tolist()
    return [slice(start, start + length) for start, length in zip(first, count, strict=True)]


def _as_many(value: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Refuse two lists of different lengths, or on different devices."""
    if len(value) != len(other):
        raise ValueError(
            f"expected as many {other_name} as {name}, {len(value)}, got {len(other)}; give one for each"
        )
    if isinstance(other, Tensor):
        inputs.same_place(other, other_name, value, name)


# --- The network ---


class MaskHead(nn.Module):
    """A small fully convolutional network on RoIAlign's grid: one mask for each class, twice as fine.

    Convolutions of 3×3, an up-convolution that doubles the resolution, a 1×1 convolution to the classes. The
    paper has four convolutions of 256 channels on 14×14 and predicts 28×28.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the result.
        width: Channels between.
        depth: Convolutions before the up-convolution.

    Raises:
        ValueError: A number below 1.

    Example:
        >>> head = MaskHead(16, num_classes=4, width=8)
        >>> head(torch.rand(2, 16, 14, 14)).shape
        torch.Size([2, 4, 28, 28])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 64,
        depth: int = 2,
    ) -> None:
        super().__init__()
        in_channels = inputs.whole(in_channels, "in_channels")
        num_classes = inputs.whole(num_classes, "num_classes")
        width, depth = inputs.whole(width, "width"), inputs.whole(depth, "depth")
        channels = [in_channels] + [width] * depth
        units = [convolution_unit(a, b) for a, b in itertools.pairwise(channels)]
        self.convs = nn.Sequential(*units)
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.score = nn.Conv2d(width, num_classes, 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled features (K, in_channels, h, w) to logits (K, C, 2h, 2w)."""
        return self.score(F.relu(self.up(self.convs(pooled))))


class MaskRCNN(nn.Module):
    """The whole network: pyramid, proposals, box head, mask head.

    In training mode it takes images and targets and gives five losses, to be added up; in evaluation mode it
    takes images and gives what it found in each. So that `segcore.train.fit` can call it with one argument, a
    pair of images and targets will do for the first one (see the example).

    Args:
        num_classes: Classes of the label map, 0 (background) included: 4 for the course's scenes.
        width: Channels of the feature map.
        anchor_sides: Square roots of the anchors' areas, in pixels.
        anchor_ratios: Their heights divided by their widths.
        proposals: Boxes of an image that go on to the heads.
        detections: Objects of an image that are kept, at most.
        score_threshold: What scores less is not kept.

    Raises:
        ValueError: A number out of range.

    Example:
        >>> images, boxes = torch.rand(1, 3, 32, 48), torch.tensor([[4.0, 4.0, 20.0, 28.0]])
        >>> masks = torch.zeros(1, 32, 48, dtype=torch.bool)
        >>> masks[0, 4:28, 4:20] = True
        >>> targets = [{"boxes": boxes, "labels": torch.tensor([2]), "masks": masks}]
        >>> network = MaskRCNN(num_classes=4, width=16)
        >>> sorted(network(images, targets))
        ['boxes', 'classes', 'masks', 'objectness', 'proposals']
        >>> found = network.eval()(images)[0]
        >>> sorted(found), found["masks"].shape[1:]
        (['boxes', 'labels', 'masks', 'scores', 'soft'], torch.Size([32, 48]))

        To train::

            data = lambda step: ((images, targets), None)
            fit(network, data, lambda losses, _: sum(losses.values()), steps=800, lr=2e-3)
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 48,
        anchor_sides: Sequence[float] = (12.0, 24.0, 48.0),
        anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        proposals: int = 64,
        detections: int = 32,
        score_threshold: float = 0.05,
    ) -> None:
        super().__init__()
        self.num_classes = inputs.whole(num_classes, "num_classes", 2)
        self.anchor_sides = _above_zero(anchor_sides, "anchor_sides")
        self.anchor_ratios = _above_zero(anchor_ratios, "anchor_ratios")
        self.proposals = inputs.whole(proposals, "proposals")
        self.detections = inputs.whole(detections, "detections")
        self.score_threshold = inputs.number(score_threshold, "score_threshold", least=0, most=1)
        self.backbone = MergedPyramid(inputs.whole(width, "width", 4))
        self.proposal_head = ProposalHead(width, len(self.anchor_sides) * len(self.anchor_ratios))
        self.box_head = BoxHead(width, num_classes)
        self.mask_head = MaskHead(width, num_classes, width)

    def forward(self, images: Any, targets: Any = None) -> Any:
        """Losses in training mode, detections in evaluation mode.

        Args:
            images: ``(N, 3, H, W)``, or a pair of images and targets.
            targets: For each image a dict of ``boxes`` float32 ``(K, 4)``, ``labels`` int64 ``(K,)`` from 1,
                and ``masks`` bool ``(K, H, W)``. Only in training mode.

        Returns:
            In training mode a dict of scalars: ``objectness`` and ``proposals`` of the first stage,
            ``classes``, ``boxes`` and ``masks`` of the second. In evaluation mode a list of N dicts, best
            first: ``boxes`` ``(D, 4)``, ``labels`` ``(D,)``, ``scores`` ``(D,)``, ``masks`` bool
            ``(D, H, W)``, and ``soft`` ``(D, 28, 28)``, the masks in their boxes before they were pasted.

        Raises:
            TypeError: Images that are no tensor, or targets that are no list of dicts.
            ValueError: Wrong shapes or dtypes, no targets in training mode, or targets that do not fit their
                image; says which image and which field.
        """
        if isinstance(images, (tuple, list)):
            if len(images) != 2:
                raise TypeError(
                    "expected images as a tensor (N, 3, H, W), or a pair of images and targets, got "
                    f"{len(images)} in a {type(images).__name__}; use torch.stack(images)"
                )
            images, targets = images
        size = tuple(inputs.image(images, "images", 3).shape[2:])
        if self.training:
            if not len(images):
                raise ValueError("expected an image in training mode, got none; leave out empty batches")
            targets = _checked_targets(targets, images, self.num_classes)
        elif not len(images):
            return []
        features = self.backbone(images)
        objectness, deltas = self.proposal_head(features)
        cells = (features.shape[2], features.shape[3])
        with images.device:
            anchors = make_anchors(cells, STRIDE, self.anchor_sides, self.anchor_ratios)
        proposals = self._propose(objectness.detach().float(), deltas.detach().float(), anchors, size)
        if self.training:
            first = proposal_losses(objectness.float(), deltas.float(), anchors, targets)
            return first | self._head_losses(features, proposals, targets)
        return self._detect(features, proposals, size)

    def _propose(
        self, objectness: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, ...]
    ) -> list[Tensor]:
        """The best boxes of each image, overlapping ones dropped."""
        score, row = objectness.topk(min(4 * self.proposals, len(anchors)), dim=1)  # (N, P)
        image = torch.arange(len(row), device=row.device).repeat_interleave(row.shape[1])
        moved = decode(
            deltas.gather(1, row[..., None].expand(-1, -1, 4)).flatten(0, 1), anchors[row.flatten()]
        )
        boxes, score = clip_boxes_to_image(moved, size), score.flatten()
        wide = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
        boxes, score, image = boxes[wide], score[wide], image[wide]
        kept = batched_nms(boxes, score, image, 0.7)
        return [boxes[kept[image[kept] == n]][: self.proposals] for n in range(len(row))]

    def _pool(self, features: Tensor, boxes: list[Tensor], size: int) -> Tensor:
        return roi_align(features, [each.detach() for each in boxes], size, spatial_scale=1 / STRIDE)

    def _head_losses(
        self, features: Tensor, proposals: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Losses of the second stage on a sample of the proposals."""
        drawn, labels, wanted, objects, cut = [], [], [], [], []
        for boxes, target in zip(proposals, targets, strict=True):
            # The true boxes come along, so that there are good ones from the beginning on.
            boxes = torch.cat([boxes, target["boxes"]])
            matched = match_boxes(boxes, target["boxes"], 0.5, 0.5)
            here, elsewhere = draw_balanced(matched, 32, 0.25)
            of = matched[here]  # the object that each stands for
            drawn.append(boxes[torch.cat([here, elsewhere])])
            labels.append(F.pad(target["labels"][of], (0, len(elsewhere))))
            objects.append(boxes[here])
            wanted.append(encode(target["boxes"][of], boxes[here]))
            cut.append(mask_targets(target["masks"][of], boxes[here], 28))
        label = torch.cat(labels)
        logits, deltas = self.box_head(self._pool(features, drawn, 7))
        logits, deltas = logits.float(), deltas.float()
        rows = label.nonzero()[:, 0]
        moved = deltas[rows, label[rows]]
        off = F.smooth_l1_loss(moved, torch.cat(wanted), reduction="sum")
        losses = {
            "classes": F.cross_entropy(logits, label),
            "boxes": off / max(1, len(label)),
            "masks": features.sum() * 0,
        }
        if len(rows):
            masks = self.mask_head(self._pool(features, objects, 14)).float()
            losses["masks"] = mask_loss(masks, torch.cat(cut), label[rows])
        return losses

    def _detect(
        self, features: Tensor, proposals: list[Tensor], size: tuple[int, ...]
    ) -> list[dict[str, Tensor]]:
        """What stands in each image: classes and boxes first, then the masks of those that are kept."""
        logits, deltas = (each.float() for each in self.box_head(self._pool(features, proposals, 7)))
        scores, found = logits.softmax(1).split([len(each) for each in proposals]), []
        for boxes, score, delta in zip(
            proposals, scores, deltas.split([len(s) for s in scores]), strict=True
        ):
            row, label = (score[:, 1:] > self.score_threshold).nonzero().unbind(1)
            label = label + 1  # 0 is the background
            box, score = clip_boxes_to_image(decode(delta[row, label], boxes[row]), size), score[row, label]
            wide = (box[:, 2:] - box[:, :2] >= 1).all(1)
            box, label, score = box[wide], label[wide], score[wide]
            kept = batched_nms(box, score, label, 0.5)[: self.detections]  # class by class; best first
            found.append({"boxes": box[kept], "labels": label[kept], "scores": score[kept]})
        last, label = [each["boxes"] for each in found], torch.cat([each["labels"] for each in found])
        masks = self.mask_head(self._pool(features, last, 14)).float().sigmoid()
        own = masks[torch.arange(len(label), device=label.device), label]
        for each, soft in zip(found, own.split([len(b) for b in last]), strict=True):
            pasted = paste_masks(soft, each["boxes"], (size[0], size[1]))
            each |= {"masks": pasted >= 0.5, "soft": soft}
        return found


def _above_zero(values: Sequence[float], name: str) -> tuple[float, ...]:
    """The numbers, once there is one and all are finite and above 0."""
    try:
        numbers = tuple(inputs.number(value, name, above=0) for value in values)
    except TypeError:
        words = f"expected {name} as a list of numbers, got {values!r}; put one into a list, too"
        raise TypeError(words) from None
    if not numbers:
        raise ValueError(f"expected {name} to hold a number, got none; give one or more")
    return numbers


def _checked_targets(targets: Any, images: Tensor, num_classes: int) -> list[dict[str, Tensor]]:
    """The targets, once there is one for each image and all fields fit it."""
    if targets is None:
        raise ValueError("expected targets in training mode, got none; give them, or call eval() first")
    if not isinstance(targets, (list, tuple)) or not all(isinstance(each, dict) for each in targets):
        raise TypeError(f"expected targets as a list of dicts, got {type(targets).__name__}; see forward")
    _as_many(images, "images", targets, "targets")  # type: ignore[arg-type]
    for n, target in enumerate(targets):
        if missing := {"boxes", "labels", "masks"} - set(target):
            raise ValueError(
                f"expected targets[{n}] to have {', '.join(sorted(missing))}, got none; add them"
            )
        names = {field: f"targets[{n}]['{field}']" for field in ("boxes", "labels", "masks")}
        boxes = inputs.boxes(inputs.floating(target["boxes"], names["boxes"], "N 4"), names["boxes"])
        masks = inputs.masks(target["masks"], names["masks"])
        labels = inputs.label_map(target["labels"], names["labels"], num_classes, None, "N")
        _as_many(boxes, names["boxes"], labels, names["labels"])
        _as_many(boxes, names["boxes"], masks, names["masks"])
        if masks.shape[1:] != images.shape[2:]:
            size, came = inputs.size_of(images.shape[2:]), inputs.size_of(masks.shape[1:])
            raise ValueError(
                f"expected {names['masks']} of the images' size, {size}, got {came}; "
                "resize the masks with the images"
            )
        if bool((labels == 0).any()):
            raise ValueError(
                f"expected {names['labels']} from 1, got 0, the background; number classes from 1"
            )
        if bool((boxes[:, 2:] <= boxes[:, :2]).any()):
            raise ValueError(
                f"expected {names['boxes']} with an area, got one without; drop such objects first"
            )
    return list(targets)


def instance_targets(instances: Tensor, classes: Tensor) -> list[dict[str, Tensor]]:
    """What :class:`MaskRCNN` is trained on, from maps of instances such as the course's scenes have.

    Args:
        instances: int64 ``(N, H, W)``, 0 where there is no object, else the object's number from 1.
        classes: int64 ``(N, M)``, the class of object k + 1 in column k.

    Returns:
        For each image a dict of ``boxes`` ``(K, 4)``, tight around the pixels, ``labels`` ``(K,)`` and
        ``masks`` bool ``(K, H, W)``; objects of which nothing is seen are left out.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Wrong shapes or dtypes, or an object without a class.

    Example:
        >>> instance_targets(torch.tensor([[[0, 2], [0, 2]]]), torch.tensor([[1, 3]]))[0]["boxes"]
        tensor([[1., 0., 2., 2.]])
    """
    inputs.filled(inputs.label_map(instances, "instances", ignore_index=None, form="N H W"), "instances")
    inputs.label_map(classes, "classes", ignore_index=None, form="N M")
    _as_many(instances, "instances", classes, "classes")
    if instances.numel() and int(instances.max()) > classes.shape[1]:
        raise ValueError(
            f"expected a class for every object, got {classes.shape[1]} classes an image and an object "
            f"{int(instances.max())}; give classes a column for each object"
        )
    targets = []
    for number, kind in zip(instances, classes, strict=True):
        seen = number.unique()
        seen = seen[seen > 0]
        masks = number == seen[:, None, None]
        targets.append({"boxes": _tight_boxes(masks), "labels": kind[seen - 1], "masks": masks})
    return targets


def _tight_boxes(masks: Tensor) -> Tensor:
    """Boxes (K, 4) around the pixels of masks, none of which is empty."""
    edges = []
    for inside in (masks.any(1), masks.any(2)):  # (K, W), (K, H)
        size = inside.shape[1]
        edges.append(inside.int().argmax(1))
        edges.append(size - inside.flip(1).int().argmax(1))
    return torch.stack([edges[0], edges[2], edges[1], edges[3]], dim=1).float()


def mask_rcnn_for_scenes() -> MaskRCNN:
    """A Mask R-CNN that knows the course's scenes: trained for 800 steps on 96×96 scenes, seed 0.

    The weights come with the library, in half precision; ``benchmarks/trainings/mask_rcnn.py`` makes them.

    Returns:
        The network in evaluation mode, on the processor.

    Raises:
        FileNotFoundError: The library was installed without its weights.

    Example:
        >>> from segcore.data.scenes import make_scenes
        >>> scene = make_scenes(1, size=96, seed=1, start=7)  # two boxes, a cylinder, and a sphere behind it
        >>> found = mask_rcnn_for_scenes()(scene.image)[0]
        >>> found["labels"][found["scores"] > 0.5].sort().values  # the sphere is overlooked
        tensor([2, 2, 3])
    """
    path = files("segcore") / "data" / "weights" / "mask_rcnn.pt"
    if not path.is_file():
        raise FileNotFoundError("the weights lie in segcore/data/weights; install the library whole")
    network = MaskRCNN(num_classes=4)
    with path.open("rb") as file:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return network.eval()
