"""The pictures in chapter 18's widget: ``python -m benchmarks.trainings.colorization_widget``.

A scene by a network trained here, in about a minute, and two photographs by the stored network: one that it
has seen and one that it has not. Of each spot the likeliest bins are kept.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.trainings.colorization import BATCH, classify, half, load
from segcore.colorization import ColorizationNet, colorization_net_for_photographs
from segcore.data.scenes import ambiguous_colors, make_scenes
from segcore.train import batches
from segcore.widgets.colorization import COLUMNS, KEPT, MAPS, PICTURES, PIXELS, ROWS
from segcore.widgets.packing import webp

SIZE, STEPS, PICKED = (2 * ROWS, 2 * COLUMNS), 250, 3  # one of the scenes, with several objects


def text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


@torch.no_grad()
def packed(network: ColorizationNet, lab: Tensor) -> dict[str, Any]:
    """A picture as the page holds it."""
    p = F.adaptive_avg_pool2d(network(lab[:, :1]).softmax(1), (ROWS, COLUMNS))
    shares, index = p.topk(KEPT, 1)
    kept = shares.sum(1).mean().item()
    used = index.flatten().bincount(shares.flatten(), minlength=p.shape[1]).topk(256).indices
    used = used[(index.flatten()[:, None] == used).any(0)]
    number = torch.zeros(p.shape[1], dtype=torch.long).scatter(0, used, torch.arange(len(used)))
    known = (index[..., None] == used).any(-1)
    byte = (255 * (shares * known) / (shares * known).sum(1, keepdim=True)).round()
    both = torch.stack([number[index], byte.long()], -1)[0].movedim(0, 2)  # (ROWS, COLUMNS, KEPT, 2)
    truth = F.adaptive_avg_pool2d(lab[:, 1:], (ROWS, COLUMNS))[0].movedim(0, -1).round()
    print(f"{100 * kept:.0f} % of the shares kept, in {len(used)} bins")
    return {
        "lightness": webp((lab[0, :1] / 100).expand(3, -1, -1), (PIXELS * ROWS, PIXELS * COLUMNS)),
        "truth": text(truth.to(torch.int8).numpy().tobytes()),
        "used": used.tolist(),
        "shares": text(both.numpy().astype(np.uint8).tobytes()),
    }


def main() -> None:
    """Write the maps."""
    training = ambiguous_colors(make_scenes(STEPS * BATCH, SIZE, seed=1), seed=1)
    data = batches(training[:, :1], half(training[:, 1:]), BATCH)
    network = classify(data, STEPS, 0, None)
    fine = ambiguous_colors(make_scenes(PICKED + 1, SIZE, seed=2), seed=2)[PICKED:]
    stored = colorization_net_for_photographs()
    made = (
        packed(network.eval(), fine),
        packed(stored, load("coffee")),
        packed(stored, load("chelsea")),
    )
    found = dict(zip(PICTURES, made, strict=True))
    MAPS.write_text(json.dumps(found, sort_keys=True) + "\n", encoding="utf-8")
    print(MAPS.stat().st_size)


if __name__ == "__main__":
    main()
