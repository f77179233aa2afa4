"""A Mask R-CNN written down in four networks and read back: what it finds stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segcore.data.scenes import make_scenes
from segcore.instance_metrics import match
from segcore.mask_rcnn import MaskRCNN, instance_targets, mask_rcnn_for_scenes
from segcore.widgets.detectors import PARTS, export_detector, import_detector

RESULTS = Path(__file__).parents[1] / "book" / "results" / "instances.json"


@pytest.fixture(scope="module")
def scenes() -> Any:
    return make_scenes(8, 96, seed=2)


def found_by(network: MaskRCNN, scenes: Any) -> list[dict[str, torch.Tensor]]:
    with torch.no_grad():
        return network(scenes.image)


def test_what_is_found_comes_back(scenes: Any):
    network = mask_rcnn_for_scenes()
    described = json.loads(json.dumps(export_detector(network, (96, 96), "float32")))
    assert tuple(described["parts"]) == PARTS
    wanted, found = found_by(network, scenes), found_by(import_detector(described), scenes)
    for a, b in zip(wanted, found, strict=True):
        assert torch.equal(a["labels"], b["labels"])
        for name, tolerance in (("boxes", 1e-3), ("scores", 1e-5), ("soft", 1e-4)):
            torch.testing.assert_close(b[name], a[name], rtol=0, atol=tolerance)


def test_of_another_form():
    """Other anchors, classes, width and size."""
    torch.manual_seed(1)
    network = MaskRCNN(3, 8, [16.0], [0.5, 2.0], proposals=9, detections=5, score_threshold=0.2).eval()
    read = import_detector(export_detector(network, (32, 48), "float32"))
    image = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        wanted, found = network(image), read(image)
        for a, b in zip(
            network.proposal_head(network.backbone(image)),
            read.proposal_head(read.backbone(image)),
            strict=True,
        ):
            torch.testing.assert_close(b, a, rtol=0, atol=1e-5)
    for a, b in zip(wanted, found, strict=True):
        assert len(a["boxes"]) <= 5
        torch.testing.assert_close(b["boxes"], a["boxes"], rtol=0, atol=1e-3)
        assert b["soft"].shape == a["soft"].shape


def test_six_bits_find_as_many(scenes: Any):
    network = mask_rcnn_for_scenes()
    counts = []
    for each in (network, import_detector(export_detector(network, (96, 96)))):
        truths = instance_targets(scenes.instances, scenes.object_classes)
        pairs = zip(found_by(each, scenes), truths, strict=True)
        counts.append([int((match(a, b).truth >= 0).sum()) for a, b in pairs])
    assert abs(sum(counts[0]) - sum(counts[1])) <= 1
    assert sum(counts[0]) > 20


def test_the_six_bits_were_measured():
    """Over six hundred scenes they cost less than .01 AP; and the weights are few."""
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    assert sum(run["scenes"] for run in runs) >= 100
    for run in runs:
        assert run["int6"]["AP"] > run["float32"]["AP"] - 0.01
        assert run["bytes"] < 400_000


def test_bad_arguments():
    with pytest.raises(TypeError, match="network"):
        export_detector(nn.Conv2d(3, 4, 3), (96, 96))  # type: ignore[arg-type]
    network = MaskRCNN(4, 8)
    with pytest.raises(ValueError, match="divisible by 4, got 96 × 90; crop"):
        export_detector(network, (96, 90))
    with pytest.raises(ValueError, match="int4"):
        export_detector(network, (32, 32), "int4")
    described = export_detector(network, (32, 32))
    described["parts"]["mask_head"]["weights"] = described["parts"]["mask_head"]["weights"][:40]
    with pytest.raises(ValueError, match="export the network again"):
        import_detector(described)
