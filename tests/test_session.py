"""What a session has set changes no result of the library: a default dtype, a default device.

Some rooms have closer tests of their own; here one list is asked, so that no function is forgotten.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segcore
from segcore import (
    color,
    colorization,
    contours,
    convolutionalization,
    crf,
    deeplab,
    detection,
    dilation,
    encoder_decoders,
    gaussian_filters,
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
from segcore.data.augment import CenterCrop
from segcore.data.scenes import ambiguous_colors, make_scenes

SCENES = make_scenes(2, size=32, seed=3)
IMAGE, LABELS, INSTANCES = SCENES.image[0], SCENES.labels[0], SCENES.instances[0]
OTHER, DEPTH, NORMALS = SCENES.labels[1], SCENES.depth[0], SCENES.normals[0]
TORN = LABELS.roll(1)  # a prediction that is somewhat wrong


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


BOXES = torch.tensor([[2.5, 3.0, 17.0, 21.5], [8.0, 6.5, 30.0, 28.0]])
POINTS = torch.tensor([[[6.0, 8.0, 2.0], [12.5, 18.0, 2.0]], [[10.0, 9.0, 2.0], [20.0, 20.0, 1.0]]])
CLASSES, SCORES, AREAS = torch.tensor([1, 2]), torch.tensor([0.9, 0.6]), torch.tensor([200.0, 400.0])
MASKS = torch.stack([LABELS == 0, LABELS > 0])
TRUTH = {"masks": MASKS, "boxes": BOXES, "labels": CLASSES}
FOUND = {**TRUTH, "masks": MASKS.roll(1, 2), "scores": SCORES}
POSES = {"keypoints": POINTS, "boxes": BOXES, "area": AREAS}
UNARY, SMALL = drawn(3, 8, 9), IMAGE[:, 8:16, 8:17]
WEIGHTS = 0.2 + drawn(2, 8, 9)
MARGINALS = torch.tensor([0.2, 0.3, 0.5])[:, None, None].expand(3, 8, 9).clone()
SEGMENTS = panoptic.scene_maps(SCENES.labels, SCENES.instances, SCENES.normals)[0]
LOGITS, TARGET = drawn(1, 4, 32, 32), LABELS[None]
AB, LAB = 40 * drawn(1, 2, 6, 7) - 20, torch.tensor([50.0, 10.0, -20.0])[:, None, None].expand(3, 4, 5)
BINS = torch.tensor([[-20.0, 0.0], [0.0, 0.0], [20.0, 20.0], [30.0, -10.0], [0.0, 30.0], [10.0, 5.0]])
SHARES = torch.full((1, 6, 2, 3), 1 / 6)
MAP, WEIGHT = drawn(1, 2, 5, 6), drawn(2, 3, 3, 3) - 0.5
torch.manual_seed(0)
NET = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)).eval()
CLASSIFIER = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
DENSE = convolutionalization.convolutionalize(CLASSIFIER, 8)
SAME = encoder_decoders.UNet(3, 4, width=4, depth=2).eval()
UNET = encoder_decoders.UNet(3, 4, width=4, depth=2, padding="valid").eval()
TREE = grouping.ultrametric_contour_map(contours.contour_probability(IMAGE))

CALLS: dict[Callable[..., Any], tuple[Any, ...]] = {
    color.lab_to_rgb: (LAB,),
    color.rgb_to_lab: (IMAGE,),
    colorization.ab_bins: (),
    colorization.ab_prior: (AB, BINS),
    colorization.class_rebalancing: (torch.tensor([0.2, 0.3, 0.5]),),
    colorization.colorization_loss: (drawn(1, 6, 2, 3), SHARES, torch.ones(6)),
    colorization.decode_ab: (SHARES, 0.38, BINS),
    colorization.encode_ab: (AB, BINS),
    contours.contour_probability: (IMAGE,),
    contours.contour_strength: (contours.contour_probability(IMAGE),),
    contours.half_disc_kernels: (8, 2.5),
    contours.spectral_contours: (contours.contour_probability(IMAGE),),
    convolutionalization.hard_negatives: (DENSE, [IMAGE], 1, -9.0, 5),
    convolutionalization.linear_to_conv: (CLASSIFIER[3], (4, 6, 6)),
    convolutionalization.convolutionalize: (CLASSIFIER, 8),
    convolutionalization.sliding_window: (CLASSIFIER, IMAGE[None], 8, 4),
    convolutionalization.windows: (IMAGE[None], 8, 4),
    crf.brute_force: (UNARY[:2, :2, :3], WEIGHTS[:, :2, :3]),
    crf.edge_weights: (IMAGE,),
    crf.energy: (UNARY.argmin(0), UNARY, WEIGHTS),
    crf.free_energy: (MARGINALS, UNARY, WEIGHTS),
    crf.graph_cut: (UNARY, WEIGHTS),
    crf.grid_mean_field: (UNARY, WEIGHTS),
    crf.icm: (UNARY, WEIGHTS),
    crf.mean_field: (UNARY, SMALL),
    crf.potts: (3,),
    deeplab.multiscale: (SAME, IMAGE[None]),
    deeplab.valid_weights: (9, 3),
    detection.decode: (0.1 * drawn(2, 4), BOXES),
    detection.encode: (BOXES + 1, BOXES),
    detection.make_anchors: ((3, 4), 8, (12.0, 24.0), (0.5, 2.0)),
    detection.match_boxes: (BOXES + 2, BOXES, 0.5, 0.3),
    dilation.dilate: (NET, 1),
    dilation.shift_and_stitch: (NET, IMAGE[None], 2),
    dilation.sparse_kernel: (WEIGHT, 2),
    encoder_decoders.border_weights: (INSTANCES[None],),
    encoder_decoders.center_crop: (IMAGE[None], 16),
    encoder_decoders.class_weights: (SCENES.labels, 4),
    encoder_decoders.dice_loss: (LOGITS, TARGET),
    encoder_decoders.focal_loss: (LOGITS, TARGET, 2.0, torch.ones(4)),
    encoder_decoders.lovasz_gradient: (torch.tensor([True, False, True]),),
    encoder_decoders.lovasz_softmax: (LOGITS, TARGET),
    encoder_decoders.overlap_tile: (UNET, SCENES.image[:1], 64),
    gaussian_filters.bilateral_filter: (SMALL, 3.0, 13.0),
    gaussian_filters.exact_bilateral_filter: (SMALL, 3.0, 13.0),
    gaussian_filters.spatial_filter: ((8, 9), 2.0, SMALL),
    geometry.depth_metrics: (DEPTH + 0.1, DEPTH),
    geometry.geometry_loss: (
        {"depth": drawn(1, 1, 32, 32), "normals": drawn(1, 3, 32, 32), "labels": LOGITS},
        {"depth": SCENES.depth[:1, None], "normals": NORMALS[None], "labels": TARGET},
    ),
    geometry.normal_metrics: (NORMALS.roll(1, 2)[None], NORMALS[None]),
    geometry.normals_from_depth: (DEPTH, SCENES.focal_length),
    geometry.scale_invariant_loss: (drawn(1, 32, 32), DEPTH[None]),
    graph_cuts.grabcut: (IMAGE, torch.tensor([4.0, 4.0, 28.0, 28.0])),
    graph_cuts.grid_cut: (UNARY[0], UNARY[1], WEIGHTS),
    grouping.multiscale_hierarchy: (IMAGE,),
    grouping.object_proposals: (TREE, 5),
    grouping.ultrametric_contour_map: (contours.contour_probability(IMAGE),),
    instance_metrics.box_iou: (BOXES, BOXES + 1),
    instance_metrics.evaluate_instances: ([FOUND], [TRUTH]),
    instance_metrics.mask_iou: (MASKS, MASKS.roll(1, 2)),
    instance_metrics.match: (FOUND, TRUTH),
    keypoints.decode_keypoints: (drawn(2, 2, 8, 8), BOXES),
    keypoints.evaluate_keypoints: (
        [{"keypoints": POINTS[..., :2] + 1, "scores": SCORES}],
        [POSES],
        (0.1, 0.1),
    ),
    keypoints.gaussian_targets: (POINTS, BOXES, 8),
    keypoints.keypoint_loss: (drawn(2, 2, 8, 8), torch.tensor([[3, -1], [9, 20]])),
    keypoints.keypoint_targets: (POINTS, BOXES, 8),
    keypoints.oks: (POINTS[..., :2] + 1, POINTS, AREAS, (0.1, 0.1)),
    mask_rcnn.instance_targets: (
        SCENES.instances,
        torch.ones(2, int(SCENES.instances.max()), dtype=torch.int64),
    ),
    mask_rcnn.mask_loss: (drawn(2, 3, 8, 8), drawn(2, 8, 8).round(), CLASSES),
    mask_rcnn.mask_targets: (MASKS, BOXES, 8),
    mask_rcnn.paste_masks: (drawn(2, 8, 8), BOXES, (32, 32)),
    metrics.average_precision: (SCORES, torch.tensor([True, False]), 2),
    metrics.boundary_f1: (TORN[None], TARGET, 2.0, 4),
    metrics.confusion_matrix: (TORN, LABELS, 4),
    metrics.precision_recall: (SCORES, torch.tensor([True, False]), 2),
    **{
        each: (metrics.confusion_matrix(TORN, LABELS, 4),)
        for each in (
            metrics.dice,
            metrics.frequency_weighted_iou,
            metrics.iou,
            metrics.mean_accuracy,
            metrics.mean_iou,
            metrics.pixel_accuracy,
        )
    },
    panoptic.match_segments: (SEGMENTS.roll(1, 1), SEGMENTS, (1, 2, 3), (0, 4)),
    panoptic.merge: (LABELS, {"masks": MASKS, "labels": CLASSES, "scores": SCORES}),
    panoptic.panoptic_quality: (SEGMENTS.roll(1, 1), SEGMENTS, (1, 2, 3), (0, 4)),
    panoptic.scene_maps: (SCENES.labels, SCENES.instances, SCENES.normals),
    receptive_fields.effective_receptive_field: (NET, (1, 3, 20, 20)),
    receptive_fields.receptive_field: (NET,),
    region_scores.probabilistic_rand_index: (LABELS, [OTHER, LABELS]),
    region_scores.segmentation_covering: (LABELS, OTHER),
    region_scores.variation_of_information: (LABELS, OTHER),
    roi_align.axis_weights: (0.7, 2.4, 2, 2, 5),
    roi_align.bilinear_sample: (SMALL, torch.tensor([[2.5, 3.25], [7.0, 0.2]])),
    roi_align.roi_align: (IMAGE[None], [BOXES], 7),
    roi_align.roi_pool: (IMAGE[None], [BOXES], 7),
    skips.hypercolumns: ([MAP, MAP[..., ::2, ::2]], (9, 8)),
    superpixels.achievable_segmentation_accuracy: (LABELS, OTHER),
    superpixels.boundaries: (LABELS,),
    superpixels.boundary_precision: (LABELS, OTHER),
    superpixels.boundary_recall: (LABELS, OTHER),
    superpixels.felzenszwalb: (IMAGE,),
    superpixels.mosaic: (IMAGE, LABELS),
    superpixels.overlaps: (LABELS, OTHER),
    superpixels.slic: (IMAGE, 16),
    superpixels.undersegmentation_error: (LABELS, OTHER),
    train.cross_entropy: (LOGITS, TARGET),
    train.predict: (NET, SCENES.image),
    upsampling.bilinear_kernel: (3,),
    upsampling.fractional_conv2d: (MAP, WEIGHT, 2),
    upsampling.max_unpool2d: (MAP, torch.arange(30).reshape(1, 1, 5, 6).expand(1, 2, 5, 6), 1),
    upsampling.overlap_count: (3, 2, 5),
    upsampling.painted_conv2d: (MAP, WEIGHT, 2),
    upsampling.resize_bilinear: (MAP, (9, 8)),
    upsampling.resize_matrix: (5, 9),
    upsampling.transposed_conv2d: (MAP, WEIGHT, 2),
    upsampling.transposed_conv_matrix: (WEIGHT, 5, 2),
    upsampling.zero_insert: (MAP, 2),
    watersheds.basins: (drawn(9, 9),),
    watersheds.split_touching: (LABELS > 0, 0.5),
}

NETWORKS: list[tuple[nn.Module, tuple[Any, ...]]] = [
    (SAME, (SCENES.image,)),
    (encoder_decoders.SegNet(3, 4, 4, 2), (SCENES.image,)),
    (encoder_decoders.DeconvNet(3, 4, 4, 2, kernel=2, hidden=8), (SCENES.image,)),
    (deeplab.DeepLabV3Plus(deeplab.small_backbone(), 4), (SCENES.image,)),
    (deeplab.PSPNet(deeplab.small_backbone(), 4), (SCENES.image,)),
    (skips.FCN8s(3, 4, 4), (SCENES.image,)),
    (dilation.ContextModule(4), (LOGITS,)),
    (geometry.GeometryNet(4, 4, 2), (SCENES.image,)),
    (colorization.ColorizationNet(BINS, 4, 2), (SCENES.image[:, :1],)),
    (mask_rcnn.MaskRCNN(4, width=8), (SCENES.image,)),
    (keypoints.KeypointNet(2), (SCENES.image[:1], [BOXES])),
]
CASES = {f"{each.__module__.split('.')[1]}.{each.__name__}": (each, args) for each, args in CALLS.items()}
CASES |= {type(network).__name__: (network.eval(), args) for network, args in NETWORKS}

# They are given no tensor: what they make lies where the session says, as what torch.zeros makes. And
# torchvision's NMS, which MaskRCNN calls, adds a number of the default device to its boxes.
FREE = {
    "MaskRCNN",
    "contours.half_disc_kernels", "crf.potts", "deeplab.valid_weights", "detection.make_anchors",
    "upsampling.bilinear_kernel", "upsampling.overlap_count",
}  # fmt: skip
# Public, but not asked here: they train, read files or weights, draw pictures or at random, or serve others.
OTHERS = {
    "checkpoints", "dilated_layers", "figures", "inputs", "pixel_graph", "recipes", "report", "tracing",
    "viz", "windows",
    "colorization.colorization_net_for_photographs", "deeplab.deeplab_for_scenes", "deeplab.small_backbone",
    "deeplab.with_auxiliary", "detection.convolution_unit", "detection.draw_balanced",
    "detection.proposal_losses", "dilation.identity_", "geometry.geometry_net_for_scenes",
    "mask_rcnn.mask_rcnn_for_scenes", "panoptic.from_segments", "panoptic.semantic_for_scenes",
    "receptive_fields.input_region", "skips.compact_backbone", "skips.vgg_backbone", "train.batches",
    "train.fit", "train.load",
}  # fmt: skip


def flat(value: Any) -> Iterator[Any]:
    """What a result is made of: tensors and plain values."""
    if isinstance(value, nn.Module):
        yield from value.state_dict().values()
    elif isinstance(value, Mapping):
        yield from (part for key in value for part in (key, *flat(value[key])))
    elif isinstance(value, tuple | list):
        yield from (part for each in value for part in flat(each))
    elif dataclasses.is_dataclass(value):
        yield from (part for each in dataclasses.fields(value) for part in flat(getattr(value, each.name)))
    elif callable(value) and not isinstance(value, Tensor):
        yield value(UNARY.movedim(0, -1))
    else:
        yield value


@contextmanager
def session(setting: str) -> Iterator[None]:
    before = torch.get_default_dtype()
    try:
        if setting == "dtype":
            torch.set_default_dtype(torch.float64)
        else:
            torch.set_default_device("meta")
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


@pytest.mark.parametrize("setting", ["dtype", "device"])
@pytest.mark.parametrize("name", CASES)
def test_a_default_changes_no_result(name: str, setting: str) -> None:
    if setting == "device" and name in FREE:
        return
    function, args = CASES[name]
    with torch.no_grad():
        expected = list(flat(function(*args)))
        with session(setting):
            got = list(flat(function(*args)))
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        if isinstance(other, Tensor):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
        else:
            assert one == other or (one != one and other != other)


@pytest.mark.parametrize("setting", ["dtype", "device"])
def test_a_default_changes_nothing_of_these_either(setting: str) -> None:
    """They change a layer, or belong to `segcore.data`."""

    def made() -> list[Any]:
        layer = nn.Conv2d(2, 2, 3, device="cpu", dtype=torch.float32)
        dilation.identity_(layer, 2)
        scene = make_scenes(1, size=16, seed=5)
        drawn = [scene.image, scene.labels, scene.depth, scene.normals, ambiguous_colors(SCENES)]
        return [layer.weight, layer.bias, *drawn, *CenterCrop(20)(IMAGE, LABELS)]

    expected = made()
    with session(setting):
        got = made()
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


# Operations of networks do in autocast what torch's own do; so do what runs a network, and what is one.
CONVERTED = {
    "convolutionalization.hard_negatives", "convolutionalization.sliding_window", "deeplab.multiscale",
    "dilation.shift_and_stitch", "encoder_decoders.overlap_tile",
    "receptive_fields.effective_receptive_field", "train.predict", "upsampling.fractional_conv2d",
    "upsampling.painted_conv2d", "upsampling.transposed_conv2d", "upsampling.transposed_conv_matrix",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CASES if "." in name and name not in CONVERTED])
def test_what_needs_float32_keeps_it_under_autocast(name: str) -> None:
    """SLIC and contours raised there; colours, mean field and pasted masks came in bfloat16, or as rough."""
    function, args = CASES[name]
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            got = function(*args)
        for one, other in zip(flat(got), flat(function(*args)), strict=True):
            if isinstance(one, Tensor):
                torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
            else:
                assert one == other or (one != one and other != other)


def test_no_function_is_forgotten() -> None:
    public = set()
    for room in pkgutil.iter_modules(segcore.__path__):
        if room.ispkg or room.name.startswith("_") or room.name in OTHERS:
            continue
        module = importlib.import_module(f"segcore.{room.name}")
        for name in getattr(module, "__all__", []):
            found = inspect.unwrap(getattr(module, name)) if callable(getattr(module, name)) else None
            if inspect.isfunction(found) and found.__module__ == module.__name__:
                public.add(f"{room.name}.{name}")
    assert public - set(CASES) == OTHERS & public
