"""FCN-32s, 16s and 8s on rendered scenes: what each skip connection buys, inside regions and at their edges.

Each of the three is trained from scratch for the same number of steps, on the same batches, and measured on
scenes that none has seen: mean IoU, and the F-score of the boundaries (tolerance 1 and 2 pixels, mean over
the classes). Beside them:

- *hypercolumns*: the backbone of the trained FCN-32s is frozen, and one 1×1 convolution learns to classify
  the hypercolumns of its six maps. Fine detail was there all along.
- *staged*: the paper's way. FCN-16s starts from the trained 32s and FCN-8s from that, each with a third of
  the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.skips import FCN8s, FCN16s, FCN32s, hypercolumns
from segcore.train import batches, cross_entropy, fit, predict

TITLE = "FCN-32s, 16s, 8s on scenes of 96 × 96"

SIZE, TRAINING, HELD_OUT = 96, 4000, 200
STEPS, BATCH = 500, 16
MAPS = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc7")


class HypercolumnClassifier(nn.Module):
    """One 1×1 convolution on the hypercolumns of a network that does not learn."""

    def __init__(self, backbone: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.score = nn.Conv2d(channels, classes, 1)

    def train(self, mode: bool = True) -> HypercolumnClassifier:
        """The backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Logits at the size of the image."""
        maps = self.backbone(image)
        columns = hypercolumns([maps[name] for name in MAPS], SIZE // 2)
        return nn.functional.interpolate(self.score(self.norm(columns)), scale_factor=2.0, mode="bilinear")


def measure(model: nn.Module, scenes: Scenes) -> dict[str, float]:
    """Scores on held-out scenes."""
    found = predict(model, scenes.image).argmax(1)
    confusion = confusion_matrix(found, scenes.labels, len(CLASSES))
    return {
        "miou": round(float(mean_iou(confusion)), 4),
        "boundary_f1_1px": round(float(boundary_f1(found, scenes.labels, 1).nanmean()), 4),
        "boundary_f1_2px": round(float(boundary_f1(found, scenes.labels, 2).nanmean()), 4),
    }


def training_scenes(chunk: int = 500) -> tuple[Tensor, Tensor]:
    """Images and labels, without the other ground truth, which takes twice the room."""
    chunks = (make_scenes(chunk, SIZE, seed=1, start=first) for first in range(0, TRAINING, chunk))
    images, labels = zip(*((each.image, each.labels) for each in chunks), strict=True)
    return torch.cat(images), torch.cat(labels)


def flipped(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the examples mirrored, left to right."""
    mirror = torch.rand(len(images), generator=generator) < 0.5
    images = torch.where(mirror[:, None, None, None], images.flip(3), images)
    return images, torch.where(mirror[:, None, None], labels.flip(2), labels)


def run(seed: int) -> dict[str, Any]:
    """Train and measure all of them; times are of this machine."""
    images, labels = training_scenes()
    held_out = make_scenes(HELD_OUT, SIZE, seed=2)

    def train(model: nn.Module, steps: int = STEPS, lr: float = 3e-3) -> dict[str, float]:
        data = batches(images, labels, BATCH, seed, flipped)
        history = fit(model, data, cross_entropy, steps=steps, lr=lr, progress=False)
        parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
        return {
            **measure(model, held_out),
            "parameters": parameters,
            "steps": steps,
            "ms_per_step": round(1000 * history.seconds / history.steps, 1),
            "seconds": round(history.seconds, 1),
        }

    nets: dict[str, nn.Module] = {}
    kinds: dict[str, Callable[..., nn.Module]] = {"fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s}
    result: dict[str, Any] = {}
    for name, kind in kinds.items():
        torch.manual_seed(seed)
        nets[name] = kind(3, len(CLASSES))
        result[name] = train(nets[name])
    coarse: Any = nets["fcn32s"]
    sixteen = FCN16s(3, len(CLASSES)).start_from(coarse)
    result["staged_fcn16s"] = train(sixteen, STEPS // 3, lr=1e-3)
    result["staged_fcn8s"] = train(FCN8s(3, len(CLASSES)).start_from(sixteen), STEPS // 3, lr=1e-3)
    channels = sum(coarse.backbone.channels[name] for name in MAPS)
    torch.manual_seed(seed)
    classifier = HypercolumnClassifier(coarse.backbone, channels, len(CLASSES))
    result["hypercolumns"] = train(classifier, STEPS // 3, lr=1e-2)
    return result
