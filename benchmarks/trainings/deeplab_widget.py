"""The labels in chapter 11's widget: ``python -m benchmarks.trainings.deeplab_widget``.

Three scenes that no network was trained on, and the labels that five of the networks give them: those that
``python -m benchmarks.trainings deeplab --seeds 0 --write`` leaves in ``_build/deeplab``. Labels are packed
in runs, each byte four times the run's length plus the label.
"""

from __future__ import annotations

import base64
import itertools
import json

import torch
from torch import Tensor

from benchmarks.trainings.deeplab import BUILD, NETWORKS, SIZE
from segcore.data.scenes import make_scenes
from segcore.train import predict
from segcore.widgets.deeplab import LABELS, SCENES
from segcore.widgets.deeplab import NETWORKS as SHOWN
from segcore.widgets.packing import webp

PICKED = (
    31,
    56,
    44,
)  # of the held-out scenes: one that goes well, one of small things, one that none gets right


def runs(labels: Tensor) -> str:
    """A label map of classes 0 to 3, in base64."""
    found = bytearray()
    for label, group in itertools.groupby(labels.flatten().tolist()):
        length = len(list(group))
        while length:
            part = min(length, 63)
            found.append(4 * part + label)
            length -= part
    return base64.b64encode(bytes(found)).decode("ascii")


def main() -> None:
    """Write the labels."""
    every = make_scenes(max(PICKED) + 1, SIZE, seed=2)
    images, truth = every.image[list(PICKED)], every.labels[list(PICKED)]
    scenes = {
        name: {"image": webp(image, (SIZE, SIZE)), "truth": runs(labels)}
        for name, image, labels in zip(SCENES, images, truth, strict=True)
    }
    for network in SHOWN:
        net = BUILD[network]()
        weights = torch.load(NETWORKS / f"{network}.pt", weights_only=True)
        net.load_state_dict({key: w.float() if w.is_floating_point() else w for key, w in weights.items()})
        for name, labels in zip(SCENES, predict(net.eval(), images).argmax(1), strict=True):
            scenes[name][network] = runs(labels)
    LABELS.write_text(json.dumps(scenes, sort_keys=True) + "\n", encoding="utf-8")
    print({name: {key: len(value) for key, value in each.items()} for name, each in scenes.items()})


if __name__ == "__main__":
    main()
