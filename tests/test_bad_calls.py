"""What no public function takes: each wrong argument is refused in our words, by `TypeError` or `ValueError`.

One right call of each function; then each of its arguments, one at a time, is replaced by what it cannot be.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcore import (
    colorization,
    contours,
    convolutionalization,
    crf,
    deeplab,
    detection,
    dilation,
    encoder_decoders,
    geometry,
    graph_cuts,
    grouping,
    instance_metrics,
    keypoints,
    mask_rcnn,
    metrics,
    panoptic,
    receptive_fields,
    region_scores,
    roi_align,
    skips,
    superpixels,
    train,
    upsampling,
    watersheds,
)
from segcore.data import augment, scenes

DRAWN = torch.Generator().manual_seed(0)
REAL = torch.rand(3, 6, 7, generator=DRAWN)  # an image, unaries, maps of strength, soft masks
LABELS = torch.randint(0, 3, (6, 7), generator=DRAWN)
MASKS = REAL > 0.5
BOXES = torch.tensor([[1.0, 2, 5, 6], [0, 0, 7, 6], [3, 3, 6, 5]])
LOGITS, TARGET = REAL[None], LABELS[None]
LINKS = REAL[:2]
POINTS = torch.cat([5 * REAL[:, :3, :2], torch.full((3, 3, 1), 2.0)], 2)
SIGMAS = (0.1, 0.1, 0.1)
PANOPTIC = torch.stack([LABELS, LABELS], -1)
NORMALS = nn.functional.normalize(REAL - 0.5, dim=0)
BINS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 50.0]])
COUNTS = torch.tensor([[3, 1], [0, 2]])
POOLED = nn.functional.max_pool2d(LOGITS, 2, return_indices=True)
FOUND = {"masks": MASKS, "labels": torch.tensor([1, 1, 2]), "scores": REAL[:, 0, 0]}
NETWORK = nn.Conv2d(3, 2, 3).eval()

CALLS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (superpixels.felzenszwalb, {"image": REAL, "scale": 9.0, "sigma": 0.5, "min_size": 2}),
    (superpixels.slic, {"image": REAL, "n_segments": 4, "compactness": 9.0, "iterations": 2}),
    (superpixels.mosaic, {"image": REAL, "labels": LABELS}),
    (superpixels.boundaries, {"labels": LABELS}),
    (superpixels.boundary_recall, {"labels": LABELS, "truth": LABELS, "tolerance": 1}),
    (superpixels.undersegmentation_error, {"labels": LABELS, "truth": LABELS}),
    (superpixels.rgb_to_lab, {"image": REAL}),
    (contours.contour_probability, {"image": REAL, "orientations": 2}),
    (contours.spectral_contours, {"contours": REAL, "vectors": 2}),
    (contours.half_disc_kernels, {"orientations": 2, "radius": 1.0}),
    (grouping.ultrametric_contour_map, {"contours": REAL}),
    (grouping.multiscale_hierarchy, {"image": REAL, "scales": (1.0,)}),
    (grouping.ultrametric_contour_map(REAL).cut, {"threshold": 0.5}),
    (grouping.object_proposals, {"hierarchies": grouping.ultrametric_contour_map(REAL), "n": 2}),
    (region_scores.segmentation_covering, {"labels": LABELS, "truths": [LABELS]}),
    (watersheds.basins, {"heights": REAL[0], "depth": 0.1}),
    (watersheds.split_touching, {"mask": MASKS[0], "depth": 1.0}),
    (graph_cuts.grabcut, {"image": REAL, "trimap": torch.tensor([1.0, 1, 6, 5]), "iterations": 1}),
    (graph_cuts.grid_cut, {"source": REAL[0], "sink": REAL[1], "links": LINKS}),
    (metrics.confusion_matrix, {"prediction": LABELS, "target": LABELS, "num_classes": 3, "ignore_index": 9}),
    (metrics.mean_iou, {"confusion": COUNTS}),
    (metrics.average_precision, {"scores": REAL[0, 0], "correct": MASKS[0, 0], "num_positives": 9}),
    (metrics.boundary_f1, {"prediction": LABELS, "target": LABELS, "tolerance": 1.0, "ignore_index": 9}),
    (convolutionalization.windows, {"image": LOGITS, "window": 3, "stride": 2}),
    (
        convolutionalization.sliding_window,
        {"classifier": lambda x: x.mean((2, 3)), "image": LOGITS, "window": 3, "batch_size": 4},
    ),
    (convolutionalization.PatchClassifier, {"size": 13, "in_channels": 1, "num_classes": 2, "width": 2}),
    (receptive_fields.receptive_field, {"network": NETWORK, "input_shape": (3, 8, 8), "leaves": None}),
    (
        receptive_fields.input_region,
        {"field": receptive_fields.ReceptiveField(5, 2, 1), "output_region": (0, 0, 3, 3)},
    ),
    (
        receptive_fields.effective_receptive_field,
        {"module": NETWORK, "input_shape": (3, 8, 8), "unit": (1, 1), "samples": 1, "seed": 0},
    ),
    (dilation.shift_and_stitch, {"network": NETWORK, "image": LOGITS, "stride": 1}),
    (dilation.sparse_kernel, {"kernel": REAL, "dilation": 2}),
    (dilation.identity_, {"layer": nn.Conv2d(2, 2, 3), "num_classes": 2, "noise": 0.1}),
    (skips.hypercolumns, {"features": [LOGITS], "size": (6, 7)}),
    (skips.FCN8s, {"in_channels": 3, "num_classes": 2, "width": 2, "backbone": None}),
    (skips.UpScore, {"channels": 2, "factor": 2}),
    (upsampling.bilinear_kernel, {"stride": 2}),
    (upsampling.transposed_conv2d, {"x": LOGITS, "weight": REAL[:, None], "stride": 2, "padding": 1}),
    (upsampling.max_unpool2d, {"x": POOLED[0], "indices": POOLED[1], "kernel": 2, "output_size": (6, 7)}),
    (upsampling.resize_bilinear, {"x": LOGITS, "size": (3, 9)}),
    (upsampling.overlap_count, {"kernel": 3, "stride": 2, "size": 4}),
    (encoder_decoders.center_crop, {"x": REAL, "size": 3}),
    (encoder_decoders.dice_loss, {"logits": LOGITS, "target": TARGET, "ignore_index": 9}),
    (encoder_decoders.focal_loss, {"logits": LOGITS, "target": TARGET, "gamma": 1.0, "ignore_index": 9}),
    (encoder_decoders.lovasz_softmax, {"logits": LOGITS, "target": TARGET, "ignore_index": 9}),
    (encoder_decoders.lovasz_gradient, {"truth": torch.tensor([1.0, 0.0])}),
    (encoder_decoders.class_weights, {"labels": LABELS, "num_classes": 3, "ignore_index": 9}),
    (encoder_decoders.border_weights, {"instances": LABELS, "w0": 9.0, "sigma": 2.0}),
    (crf.edge_weights, {"image": REAL, "weight": 1.0, "color_sigma": 9.0}),
    (crf.energy, {"labels": LABELS, "unary": REAL, "weights": LINKS}),
    (crf.icm, {"unary": REAL, "weights": LINKS, "iterations": 1}),
    (crf.graph_cut, {"unary": REAL, "weights": LINKS, "rounds": 1}),
    (crf.free_energy, {"probabilities": REAL.softmax(0), "unary": REAL, "weights": LINKS}),
    (deeplab.ASPP, {"in_channels": 2, "rates": (1, 2), "channels": 2, "dropout": 0.5}),
    (deeplab.PyramidPooling, {"in_channels": 4, "bins": (1, 2)}),
    (deeplab.multiscale, {"model": lambda x: x, "image": LOGITS, "scales": (1.0,)}),
    (instance_metrics.mask_iou, {"a": MASKS, "b": MASKS}),
    (instance_metrics.box_iou, {"a": BOXES, "b": BOXES}),
    (
        instance_metrics.evaluate_instances,
        {"predictions": [FOUND], "truths": [FOUND], "max_detections": (1, 10), "kind": "mask"},
    ),
    (instance_metrics.match, {"prediction": FOUND, "truth": FOUND, "threshold": 0.5, "kind": "mask"}),
    (roi_align.bilinear_sample, {"feature": REAL, "points": BOXES[:, :2]}),
    (roi_align.roi_align, {"features": LOGITS, "boxes": [BOXES], "output_size": 2, "spatial_scale": 1.0}),
    (roi_align.roi_pool, {"features": LOGITS, "boxes": [BOXES], "output_size": 2, "spatial_scale": 1.0}),
    (roi_align.axis_weights, {"start": 0.5, "length": 3.0, "bins": 2, "samples": 2, "size": 6}),
    (detection.encode, {"boxes": BOXES, "anchors": BOXES}),
    (detection.decode, {"deltas": BOXES, "anchors": BOXES}),
    (detection.make_anchors, {"size": (2, 2), "stride": 4, "sides": (8.0,), "ratios": (1.0,)}),
    (detection.match_boxes, {"candidates": BOXES, "truths": BOXES, "above": 0.5, "below": 0.4}),
    (mask_rcnn.mask_targets, {"masks": MASKS, "boxes": BOXES, "size": 4}),
    (
        mask_rcnn.mask_loss,
        {"logits": REAL[:, None], "targets": MASKS.float(), "labels": torch.tensor([0, 0, 0])},
    ),
    (mask_rcnn.paste_masks, {"masks": REAL, "boxes": BOXES, "size": (6, 7), "method": "exact"}),
    (mask_rcnn.instance_targets, {"instances": TARGET, "classes": torch.tensor([[1, 2]])}),
    (panoptic.panoptic_quality, {"prediction": PANOPTIC, "target": PANOPTIC, "things": [1], "stuff": [0, 2]}),
    (panoptic.merge, {"semantic": LABELS, "instances": FOUND, "score_threshold": 0.5, "overlap": 0.5}),
    (
        panoptic.from_segments,
        {"ids": LABELS, "segments": [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 1}], "void": 9},
    ),
    (keypoints.keypoint_targets, {"keypoints": POINTS, "boxes": BOXES, "size": 4}),
    (keypoints.gaussian_targets, {"keypoints": POINTS, "boxes": BOXES, "size": 4, "sigma": 1.0}),
    (keypoints.keypoint_loss, {"logits": LOGITS, "targets": torch.tensor([[0, 1, -1]])}),
    (keypoints.decode_keypoints, {"heatmaps": REAL[:, None], "boxes": BOXES, "method": "mean"}),
    (keypoints.oks, {"a": POINTS, "b": POINTS, "area": torch.ones(3), "sigmas": SIGMAS}),
    (
        keypoints.evaluate_keypoints,
        {
            "predictions": [{"keypoints": POINTS, "scores": torch.ones(3)}],
            "truths": [{"keypoints": POINTS, "boxes": BOXES, "area": torch.ones(3)}],
            "sigmas": SIGMAS,
        },
    ),
    (geometry.depth_metrics, {"prediction": REAL, "target": REAL}),
    (geometry.scale_invariant_loss, {"prediction": REAL, "target": REAL, "weight": 0.5}),
    (geometry.normals_from_depth, {"depth": REAL[0], "focal_length": 9.0, "center": (3.0, 3.0)}),
    (geometry.normal_metrics, {"prediction": NORMALS, "target": NORMALS, "mask": MASKS[0]}),
    (geometry.geometry_loss, {"outputs": {"depth": REAL}, "targets": {"depth": REAL}}),
    (geometry.GeometryNet, {"num_classes": 2, "width": 2, "depth": 1, "tasks": ("depth",)}),
    (colorization.ab_bins, {"grid": 40}),
    (colorization.encode_ab, {"ab": LOGITS[:, :2], "neighbors": 2, "sigma": 5.0}),
    (colorization.decode_ab, {"probabilities": LOGITS.softmax(1), "temperature": 0.5, "bins": BINS}),
    (colorization.ab_prior, {"ab": LOGITS[:, :2], "bins": BINS, "sigma": 5.0}),
    (colorization.class_rebalancing, {"prior": torch.tensor([0.5, 0.5]), "uniform": 0.5}),
    (
        colorization.colorization_loss,
        {"logits": LOGITS, "target": LOGITS.softmax(1), "weights": torch.ones(3)},
    ),
    (scenes.make_scenes, {"count": 1, "size": 16, "seed": 0, "objects": (1, 1), "difficulty": "color"}),
    (augment.tight_boxes, {"masks": MASKS}),
    (augment.RandomCrop, {"size": 4, "scale": (0.5, 1.0), "flip": 0.5}),
    (train.cross_entropy, {"logits": LOGITS, "labels": TARGET, "weight": torch.ones(3), "ignore_index": 9}),
    (partial(train.batches, REAL, LABELS[:3]), {"batch_size": 2, "seed": 0, "augment": None}),
    (partial(train.predict, NETWORK, LOGITS), {"batch_size": 2}),
]


NAMES = [getattr(each, "func", each).__name__ for each, _ in CALLS]


def no_such(value: Any) -> Iterator[Any]:
    """What an argument that was this value cannot be."""
    yield object()
    if isinstance(value, Tensor):
        yield from (None, 3, "x", value.numpy(), value.tolist(), value.to_sparse())
    elif isinstance(value, (int, float)):
        yield from (None, "3", "x", 1j, [], (1, 2, 3), math.nan, torch.tensor([1, 2]), np.array([1, 2]))
        yield from (torch.tensor(1.0, device="meta"), 10**400)
    elif isinstance(value, (tuple, list)):
        yield from ("x", {"a": 1}, 2.5, (None, None))
    elif isinstance(value, str):
        yield from (5, "", {}, np.array(["a", "b"]), torch.tensor([1, 2]))


@pytest.mark.parametrize(("function", "given"), CALLS, ids=NAMES)
def test_what_an_argument_cannot_be_is_refused_in_our_words(function, given):
    function(**given)
    parameters = inspect.signature(function).parameters
    for name, value in given.items():
        for wrong in no_such(value):
            if wrong is None and "None" in str(parameters[name].annotation):
                continue
            with pytest.raises((TypeError, ValueError), match="expected"):
                function(**{**given, name: wrong})
                pytest.fail(f"{name}={wrong!r:.60} was taken")


@pytest.mark.parametrize(("function", "given"), CALLS, ids=NAMES)
def test_tensors_of_two_devices_are_refused_in_our_words(function, given):
    """The meta device stands for a second one; a function that wants numbers refuses it for that."""
    tensors = [name for name, value in given.items() if isinstance(value, Tensor)]
    for name in tensors if len(tensors) > 1 else ():
        with pytest.raises(ValueError, match=r"on the device of|numbers in it|like unary"):
            function(**{**given, name: given[name].to("meta")})
