"""Chapter 16: keypoints of scenes, by size of the map, by target and by decoding.

Networks that differ in nothing but the size of their maps and their targets, trained on the same scenes for
as many steps; the points that they give on held-out scenes, decoded in three ways. Errors are distances in
pixels of images of 96 × 96, over keypoints that are labelled and lie in their boxes; OKS takes one sigma.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segcore.data.scenes import KEYPOINTS, Scenes, make_scenes
from segcore.keypoints import (
    METHODS,
    NOWHERE,
    KeypointNet,
    decode_keypoints,
    evaluate_keypoints,
    gaussian_targets,
    keypoint_loss,
    keypoint_targets,
)
from segcore.train import fit

TITLE = "16 Keypoints: error by size of the map, target and decoding"

SIDE, BATCH, STEPS, RATE = 96, 8, 200, 3e-3
SCENES, HELD_OUT = 500, 100
SIZES = (8, 14, 28)
SIGMA = 0.05  # of each keypoint, for OKS
LEAST = 12.0  # pixels of a box's shorter side, so that an object can be made out


def objects(scenes: Scenes) -> list[dict[str, Tensor]]:
    """Of each scene the boxes, keypoints and areas of its objects, without those that are next to hidden."""
    found = []
    for at in range(len(scenes)):
        boxes = scenes.boxes(at)
        kept = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= LEAST
        area = scenes.masks(at).sum((1, 2))
        found.append({"boxes": boxes[kept], "keypoints": scenes.keypoints(at)[kept], "area": area[kept]})
    return [
        each | {"image": image} for each, image in zip(found, scenes.image, strict=True) if len(each["area"])
    ]


class _Fed(torch.nn.Module):
    """The network on a batch as `fit` hands it over."""

    def __init__(self, network: KeypointNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Any) -> Tensor:
        return self.network(*batch)


def trained(data: list[dict[str, Tensor]], size: int, kind: str, seed: int) -> tuple[KeypointNet, float]:
    """A network after its steps, in evaluation mode, and milliseconds a step."""

    def batch(step: int) -> tuple[Any, Tensor]:
        rows = torch.randint(len(data), (BATCH,), generator=torch.Generator().manual_seed(1000 * step + seed))
        some = [data[row] for row in rows.tolist()]
        points, boxes = (torch.cat([each[name] for each in some]) for name in ("keypoints", "boxes"))
        make = keypoint_targets if kind == "cell" else gaussian_targets
        images = torch.stack([each["image"] for each in some])
        return (images, [each["boxes"] for each in some]), make(points, boxes, size)

    torch.manual_seed(seed)
    network = KeypointNet(len(KEYPOINTS), size)
    history = fit(_Fed(network), batch, keypoint_loss, STEPS, lr=RATE, progress=False)
    return network.eval(), 1000 * history.seconds / STEPS


def scores(network: KeypointNet, data: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Mean and median error of each way of decoding, and OKS AP."""
    with torch.no_grad():
        logits = [network(each["image"][None], [each["boxes"]]) for each in data]
    table: dict[str, Any] = {}
    for method in METHODS:
        found = [decode_keypoints(z, each["boxes"], method) for z, each in zip(logits, data, strict=True)]
        apart = torch.cat([_errors(a, each) for a, each in zip(found, data, strict=True)])
        predictions = [{"keypoints": each, "scores": each[..., 2].mean(1)} for each in found]
        ap = evaluate_keypoints(predictions, data, [SIGMA] * len(KEYPOINTS))["AP"]
        table[method] = {
            "mean": round(apart.mean().item(), 3),
            "median": round(apart.median().item(), 3),
            "AP": round(ap, 4),
        }
    return table


def _errors(found: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """Distances of the keypoints that have a cell, in pixels."""
    asked = keypoint_targets(truth["keypoints"], truth["boxes"], 1) != NOWHERE
    return (found[..., :2] - truth["keypoints"][..., :2]).norm(dim=-1)[asked]


def middle(data: list[dict[str, Tensor]]) -> float:
    """The mean error of who always says the middle of the box."""
    flat = [decode_keypoints(torch.zeros(len(d["boxes"]), 5, 1, 1), d["boxes"]) for d in data]
    return round(torch.cat([_errors(a, d) for a, d in zip(flat, data, strict=True)]).mean().item(), 3)


def run(seed: int) -> dict[str, Any]:
    """Train each network from a seed, and score it."""
    data, held_out = (objects(make_scenes(n, SIDE, seed=s)) for n, s in ((SCENES, 0), (HELD_OUT, 1)))
    result: dict[str, Any] = {"steps": STEPS, "objects": sum(len(each["area"]) for each in held_out)}
    result["middle"] = middle(held_out)
    for size in SIZES:
        for kind in ("cell", "hill"):
            network, ms = trained(data, size, kind, seed)
            result[f"{kind}_{size}"] = scores(network, held_out) | {"ms": round(ms, 1)}
            print(seed, kind, size, result[f"{kind}_{size}"], flush=True)
    result["parameters"] = sum(each.numel() for each in network.parameters())
    return result
