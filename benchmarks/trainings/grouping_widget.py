"""The trees of regions in chapter 2's widget: ``python -m benchmarks.trainings.grouping_widget``.

Of each picture, at 240 by 180 pixels and as the page has it, the multiscale hierarchy; what falls first is
taken as fallen until at most 400 leaves are left.
"""

from __future__ import annotations

import base64
import io
import json

import torch
from PIL import Image
from torch import Tensor

from segcore.data.images import photograph
from segcore.data.scenes import make_scenes
from segcore.grouping import Hierarchy, multiscale_hierarchy
from segcore.widgets.grouping import HEIGHT, TREES, WIDTH
from segcore.widgets.packing import unpack_webp, webp
from segcore.widgets.scribbles import PHOTOGRAPHS

LEAVES = 400


def text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def coarser(tree: Hierarchy, count: int) -> Hierarchy:
    """The same tree with its first merges done, so that `count` leaves are left."""
    done = max(0, len(tree.heights) + 1 - count)
    threshold = tree.heights[done - 1].item() if done else -1.0
    leaves = tree.cut(threshold)
    done = int((tree.heights <= threshold).sum())
    total, left = len(tree.heights) + 1, int(leaves.max()) + 1
    names = torch.full((2 * total - 1,), -1)
    names[tree.leaves.flatten()] = leaves.flatten()
    for i, (one, _) in enumerate(tree.merges[:done].tolist()):
        names[total + i] = names[one]  # both had the same name already
    names[total + done :] = torch.arange(left, left + total - 1 - done)
    return Hierarchy(leaves, names[tree.merges[done:]], tree.heights[done:])


def packed(image: Tensor, truth: Tensor | None) -> dict[str, object]:
    """What the page holds of a picture ``(3, H, W)``."""
    picture = webp(image, (HEIGHT, WIDTH))
    tree = coarser(multiscale_hierarchy(unpack_webp(picture)), LEAVES)
    third = torch.zeros_like(tree.leaves) if truth is None else truth
    maps = torch.stack([tree.leaves % 256, tree.leaves // 256, third], -1).byte().numpy()
    stream = io.BytesIO()
    Image.fromarray(maps).save(stream, "PNG", optimize=True)
    return {
        "image": picture,
        "leaves": text(stream.getvalue()),
        "merges": text(tree.merges.numpy().astype("<u2").tobytes()),
        "heights": text(tree.heights.numpy().astype("<f4").tobytes()),
        "truth": truth is not None,
    }


def main() -> None:
    """Write the trees."""
    found = {}
    for name in ("astronaut", "cup"):
        file, (left, top, right, bottom) = PHOTOGRAPHS[name]
        found[name] = packed(photograph(file)[:, top:bottom, left:right], None)
    scene = make_scenes(1, (HEIGHT, WIDTH), seed=1, objects=(4, 5), difficulty="shape", antialias=True)[0]
    found["scene"] = packed(scene.image, scene.instances)
    TREES.write_text(json.dumps(found, sort_keys=True) + "\n", encoding="utf-8")
    print({name: {key: len(str(value)) for key, value in each.items()} for name, each in found.items()})


if __name__ == "__main__":
    main()
