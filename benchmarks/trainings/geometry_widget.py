"""The normals in chapter 17's widget: ``python -m benchmarks.trainings.geometry_widget``.

Two scenes that the stored network has not seen, as bytes: true normals, the network's, and those from the
true depth.
"""

from __future__ import annotations

import base64
import json

import numpy as np
import torch
from torch import Tensor

from segcore.data.scenes import make_scenes
from segcore.geometry import geometry_net_for_scenes, normals_from_depth
from segcore.widgets.geometry import MAPS, SCENES, SIDE

SEED, PICKED = 1_000_019, (7, 4)  # of these scenes one with all kinds of objects, and one with round ones


def text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def packed(normals: Tensor) -> str:
    """Normals ``(3, H, W)`` as three signed bytes a pixel."""
    return text((normals * 127).round().to(torch.int8).permute(1, 2, 0).contiguous().numpy().tobytes())


@torch.no_grad()
def main() -> None:
    """Write the maps."""
    scenes = make_scenes(max(PICKED) + 1, SIDE, seed=SEED)
    network = geometry_net_for_scenes()(scenes.image)["normals"]
    found = {}
    for n, name in zip(PICKED, SCENES, strict=True):
        found[name] = {
            "truth": packed(scenes.normals[n]),
            "network": packed(network[n]),
            "depth": packed(normals_from_depth(scenes.depth[n], scenes.focal_length)),
            "objects": text(np.packbits(scenes.instances[n].numpy() > 0).tobytes()),
        }
    MAPS.write_text(json.dumps(found, sort_keys=True) + "\n", encoding="utf-8")
    print({name: {key: len(value) for key, value in each.items()} for name, each in found.items()})


if __name__ == "__main__":
    main()
