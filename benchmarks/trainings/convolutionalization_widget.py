"""The classifiers in chapter 4's widget: ``python -m benchmarks.trainings.convolutionalization_widget``.

900 batches of 64 mirrored patches of the 200, faces and others, and 64 windows of seven photographs at four
sizes, with brightness, contrast and noise varied; AdamW at 4e-3, no dropout. The padded classifier keeps the
other's convolutions. Weights are rounded to whole numbers from -127 to 127, a scale for each array.
"""

from __future__ import annotations

import base64
import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore.convolutionalization import PatchClassifier, windows
from segcore.data.images import faces, photograph
from segcore.widgets.convolutionalization import NETWORK

SEED, STEPS, HALF, WIDTH = 1, 900, 64, 4
LUMA = torch.tensor([0.299, 0.587, 0.114])
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "coins", "ihc", "cell", "horse")
LAYERS = {"conv1": "features.0", "conv2": "features.3", "fc1": "classifier.1", "fc2": "classifier.4"}


def background() -> Tensor:
    """Windows of photographs without people, ``(K, 1, 25, 25)``."""
    cut = []
    for name in PHOTOGRAPHS:
        grey = torch.einsum("c,chw->hw", LUMA, photograph(name))[None, None]
        cut += [windows(F.avg_pool2d(grey, k), 25, 5).reshape(-1, 1, 25, 25) for k in (2, 3, 4, 6)]
    return torch.cat(cut)


def padded() -> nn.Module:
    """The same layers with zeros around the maps, which are 7 × 7 at the end, not 4 × 4."""
    model = PatchClassifier(25, width=WIDTH)
    model.features[0].padding = model.features[3].padding = (2, 2)
    model.classifier[1] = nn.Linear(2 * WIDTH * 49, 2 * WIDTH)
    return model


def train(model: nn.Module, patches: Tensor, labels: Tensor, others: Tensor) -> nn.Module:
    """Train what requires a gradient."""
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=4e-3, weight_decay=0.02
    )
    model.classifier[3].p = 0.0
    targets = torch.zeros(HALF, dtype=torch.long)
    for _ in range(STEPS):
        chosen = torch.randint(len(patches), (HALF,))
        batch = torch.cat([patches[chosen], others[torch.randint(len(others), (HALF,))]])
        light = batch + 0.15 * torch.randn(2 * HALF, 1, 1, 1)
        contrast = 1 + 0.2 * torch.randn(2 * HALF, 1, 1, 1)
        noisy = light * contrast + 0.03 * torch.randn(2 * HALF, 1, 25, 25)
        loss = F.cross_entropy(model(noisy), torch.cat([labels[chosen], targets]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def packed(plain: nn.Module, twin: nn.Module) -> dict[str, object]:
    """Names, lengths and scales of the arrays, and their whole numbers as text."""
    first, second = plain.state_dict(), twin.state_dict()
    parts = [(f"{n}.{k}", first[f"{layer}.{k}"]) for n, layer in LAYERS.items() for k in ("weight", "bias")]
    parts += [
        (f"padded.{n}.{k}", second[f"{LAYERS[n]}.{k}"]) for n in ("fc1", "fc2") for k in ("weight", "bias")
    ]
    arrays, whole = [], b""
    for name, values in parts:
        scale = float(values.abs().max()) / 127
        arrays.append([name, values.numel(), round(scale, 7)])
        whole += bytes(((values / scale).round().clamp(-127, 127).long() + 128).flatten().tolist())
    return {"arrays": arrays, "bytes": base64.b64encode(whole).decode("ascii")}


def main() -> None:
    """Train both and store them."""
    patches, labels = faces()
    grey = patches[:, :1]
    examples = torch.cat([grey, grey.flip(-1)]), labels.repeat(2), background()
    torch.manual_seed(SEED)
    plain = train(PatchClassifier(25, width=WIDTH), *examples)
    twin = padded()
    twin.features.load_state_dict(plain.features.state_dict())
    twin.features.requires_grad_(False)
    content = packed(plain, train(twin, *examples))
    NETWORK.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{NETWORK.name}: {NETWORK.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
