"""The maps in chapter 7's widget: a small FCN's layers on held-out scenes, and a classifier for every subset.

``python -m benchmarks.trainings.skips_widget`` trains FCN-32s, 16s and 8s from one seed (some five minutes on
two cores) and writes ``segcore/widgets/static/skips.json``. The layers are those of FCN-32s, which was never
asked for anything finer than 32 pixels; its weights stand still. For each of the 31 subsets of five layers a
linear classifier (logistic regression) is fitted to pixels of other scenes.

A page holds no 16 to 192 channels a layer. The scores that the 31 classifiers give to a layer span few
directions; the strongest 3 to 8 are kept, as bytes, and the classifiers are fitted once more to exactly these
bytes. So what the page computes is no approximation of its classifiers: it is what they were fitted to.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.receptive_fields import receptive_field
from segcore.skips import FCN8s, FCN16s, FCN32s, hypercolumns
from segcore.train import batches, cross_entropy, fit, predict

TARGET = Path(__file__).parents[2] / "segcore" / "widgets" / "static" / "skips.json"
SEED, BATCH, SIZE = 0, 16, 96
STEPS = {"FCN32s": 900, "FCN16s": 500, "FCN8s": 400}
LAYERS = {"pool1": 3, "pool2": 6, "pool3": 8, "pool4": 8, "fc7": 8}  # directions that are kept
SHOWN = (44, 17)  # of the held-out scenes: one that shows the gain, a hostile one; every class in each
TOLERANCE = 2  # pixels, of the boundary's F1
PIXELS = 60  # of each scene that a classifier is fitted to

SUBSETS = [s for k in range(1, 6) for s in itertools.combinations(range(5), k)]


# --- Training ---


def train(scenes: Scenes) -> dict[str, nn.Module]:
    """FCN-32s, then 16s from it, then 8s from that."""
    torch.manual_seed(SEED)
    nets: dict[str, nn.Module] = {}
    for kind in (FCN32s, FCN16s, FCN8s):
        net = kind(3, len(CLASSES))
        if nets:
            net.start_from(nets[next(reversed(nets))])
        data = batches(scenes.image, scenes.labels, BATCH, seed=SEED + len(nets))
        fit(net, data, cross_entropy, STEPS[kind.__name__])
        nets[kind.__name__] = net
    return nets


def logistic_regression(x: Tensor, y: Tensor, decay: float = 1e-4) -> Tensor:
    """Weights (D + 1, C), the last row the bias, centred over classes, that fit x (n, D) to labels y."""
    weights = torch.zeros(x.shape[1] + 1, len(CLASSES), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weights[:-1] + weights[-1], y) + decay * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (weights - weights.mean(1, keepdim=True)).detach()


# --- From layers to a few bytes ---


def layers_of(net: nn.Module, images: Tensor) -> list[Tensor]:
    """The five maps of each image, from fine to coarse."""
    return [predict(_Layer(net, name), images) for name in LAYERS]


class _Layer(nn.Module):
    def __init__(self, net: nn.Module, name: str) -> None:
        super().__init__()
        self.backbone, self.name = net.backbone, name

    def forward(self, image: Tensor) -> Tensor:
        return self.backbone(image)[self.name]


def sample(maps: list[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor]:
    """The same random pixels of every layer's up-sampled map, (n, channels) each, and their labels."""
    generator = torch.Generator().manual_seed(SEED)
    where = torch.rand(len(labels), SIZE * SIZE, generator=generator).topk(PIXELS, dim=1).indices
    columns = []
    for one in maps:
        parts = []
        for n in range(len(one)):
            full = hypercolumns([one[n : n + 1]], SIZE)[0].flatten(1)  # (channels, pixels)
            parts.append(full[:, where[n]].T)
        columns.append(torch.cat(parts))
    return columns, labels.flatten(1).gather(1, where).flatten()


def fit_subsets(columns: list[Tensor], y: Tensor) -> dict[tuple[int, ...], Tensor]:
    """A classifier for each subset of layers."""
    return {s: logistic_regression(torch.cat([columns[k] for k in s], 1), y) for s in SUBSETS}


def shares(subset: tuple[int, ...], weights: Tensor, widths: Sequence[int]) -> dict[int, Tensor]:
    """A classifier's weights, layer by layer."""
    return dict(zip(subset, weights[:-1].split([widths[k] for k in subset]), strict=True))


def directions(maps: list[Tensor], labels: Tensor) -> list[Tensor]:
    """For each layer a matrix (channels, kept): the directions that carry most of all classifiers' scores."""
    columns, y = sample(maps, labels)
    scale = [1 / column.std(0).clamp(min=1e-3) for column in columns]
    columns = [column * s for column, s in zip(columns, scale, strict=True)]
    widths = [column.shape[1] for column in columns]
    fitted = {s: shares(s, w, widths) for s, w in fit_subsets(columns, y).items()}
    found = []
    for k, kept in enumerate(LAYERS.values()):
        all_weights = torch.cat([parts[k] for parts in fitted.values() if k in parts], 1)
        scores = columns[k] @ all_weights
        _, _, right = torch.linalg.svd(scores - scores.mean(0), full_matrices=False)
        found.append(scale[k][:, None] * all_weights @ right[:kept].T)
    return found


def reduced(maps: list[Tensor], matrices: list[Tensor]) -> list[Tensor]:
    """The kept directions of each layer: maps (N, kept, h, w)."""
    return [torch.einsum("nchw,ck->nkhw", one, matrix) for one, matrix in zip(maps, matrices, strict=True)]


def ranges(maps: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Least value and step of each channel, so that bytes reach from the least to the greatest."""
    found = []
    for one in maps:
        flat = one.transpose(0, 1).flatten(1)
        low = flat.amin(1)
        found.append((low, ((flat.amax(1) - low) / 255).clamp(min=1e-6)))
    return found


def to_bytes(one: Tensor, low: Tensor, step: Tensor) -> Tensor:
    """Maps (n, k, h, w) as whole numbers from 0 to 255."""
    return ((one - low[:, None, None]) / step[:, None, None]).round().clamp(0, 255)


def from_bytes(one: Tensor, low: Tensor, step: Tensor) -> Tensor:
    return one * step[:, None, None] + low[:, None, None]


# --- What the page gets ---


def packed(values: Tensor) -> str:
    """Whole numbers from 0 to 255 as base64."""
    return base64.b64encode(values.to(torch.uint8).numpy().tobytes()).decode("ascii")


def halves(values: Tensor) -> str:
    """bfloat16, as the page reads it, in base64: the upper two bytes of each float32."""
    return base64.b64encode(values.bfloat16().view(torch.int16).numpy().astype("<i2").tobytes()).decode(
        "ascii"
    )


def rounded(weights: Tensor) -> Tensor:
    return weights.bfloat16().float()


def jpeg(image: Tensor) -> str:
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=88, subsampling=0)
    return base64.b64encode(file.getvalue()).decode("ascii")


def runs(labels: Tensor) -> str:
    """A label map as bytes: four times the length of a run of equal labels, at most 63, plus the label."""
    values, counts = labels.flatten().unique_consecutive(return_counts=True)
    parts = []
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        full, rest = divmod(count, 63)
        parts += [4 * 63 + value] * full + [4 * rest + value] * (rest > 0)
    return packed(torch.tensor(parts))


def score_maps(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """An FCN's scores of each map, before any up-sampling."""
    with torch.no_grad():
        maps = net.eval().backbone(images)
        return {
            name: getattr(net, name)(maps[source])
            for name, source in (("score_fr", "fc7"), ("score_pool4", "pool4"), ("score_pool3", "pool3"))
            if hasattr(net, name)
        }


def grade(prediction: Tensor, labels: Tensor) -> list[float]:
    """Mean IoU and mean boundary F1 over all scenes together."""
    confusion = confusion_matrix(prediction, labels, len(CLASSES))
    outline = boundary_f1(prediction, labels, TOLERANCE, len(CLASSES))
    return [round(mean_iou(confusion).item(), 3), round(outline.nanmean().item(), 3)]


def predicted(subset: tuple[int, ...], weights: Tensor, maps: list[Tensor]) -> Tensor:
    """Scores at each layer's own size, up-sampled, added: the label map of each scene."""
    parts = shares(subset, weights, [one.shape[1] for one in maps])
    total = weights[-1][:, None, None]
    for k, w in parts.items():
        scores = torch.einsum("nkhw,kc->nchw", maps[k], w)
        total = total + F.interpolate(scores, (SIZE, SIZE), mode="bilinear", align_corners=False)
    return total.argmax(1)


def scene(n: int, held_out: Scenes, bytes_: list[Tensor], nets: dict[str, nn.Module]) -> dict[str, Any]:
    """One scene for the page."""
    image = held_out.image[n : n + 1]
    fcn = {}
    for kind, net in nets.items():
        for name, scores in score_maps(net, image).items():
            fcn[f"{kind}.{name}"] = halves(scores[0])
    return {
        "image": jpeg(held_out.image[n]),
        "labels": runs(held_out.labels[n]),
        "features": [packed(one[n]) for one in bytes_],
        "fcn": fcn,
    }


def layer_facts(net: nn.Module) -> list[dict[str, Any]]:
    """Name, stride, channels and field of each layer."""
    b = net.backbone
    parts = [b.stage1, b.stage2, b.stage3, b.stage4, nn.Sequential(b.stage5, b.fc6, b.fc7)]
    facts = []
    for k, (name, kept) in enumerate(LAYERS.items()):
        field = receptive_field(nn.Sequential(*parts[: k + 1]))
        facts.append(
            {
                "name": name,
                "stride": 2 ** (k + 1),
                "channels": b.channels[name],
                "kept": kept,
                "field": int(field[-1].size),
            }
        )
    return facts


def build(nets: dict[str, nn.Module]) -> dict[str, Any]:
    """All that the widget needs, from trained networks."""
    deep = nets["FCN32s"]
    scenes = make_scenes(200, SIZE, seed=73)
    held_out = make_scenes(200, SIZE, seed=72)
    full = layers_of(deep, scenes.image)
    matrices = directions(full, scenes.labels)
    small = reduced(full, matrices)
    means = [one.mean((0, 2, 3))[:, None, None] for one in small]  # so that a layer's share is about its own
    small = [one - mean for one, mean in zip(small, means, strict=True)]
    limits = ranges(small)
    quantised = [from_bytes(to_bytes(one, *limit), *limit) for one, limit in zip(small, limits, strict=True)]
    columns, y = sample(quantised, scenes.labels)
    classifiers = {s: rounded(w) for s, w in fit_subsets(columns, y).items()}

    seen = reduced(layers_of(deep, held_out.image), matrices)
    bytes_ = [to_bytes(one - mean, *limit) for one, mean, limit in zip(seen, means, limits, strict=True)]
    maps = [from_bytes(one, *limit) for one, limit in zip(bytes_, limits, strict=True)]
    table = {key(s): grade(predicted(s, w, maps), held_out.labels) for s, w in classifiers.items()}
    fcn_table = {k: grade(predict(n, held_out.image).argmax(1), held_out.labels) for k, n in nets.items()}
    up = {f"{k}.{u}": halves(getattr(n, u).weight) for k, n in nets.items() for u in UPS if hasattr(n, u)}
    return {
        "size": SIZE,
        "classes": list(CLASSES),
        "tolerance": TOLERANCE,
        "layers": layer_facts(deep),
        "ranges": [[low.tolist(), step.tolist()] for low, step in limits],
        "classifiers": {key(s): halves(w) for s, w in classifiers.items()},
        "upscore": up,
        "scenes": [scene(n, held_out, bytes_, nets) for n in SHOWN],
        "held_out": len(held_out),
        "table": table,
        "fcn_table": fcn_table,
    }


UPS = ("upscore2", "upscore_pool4")


def key(subset: tuple[int, ...]) -> str:
    """A subset's strides, such as "2 8 32"."""
    return " ".join(str(2 ** (k + 1)) for k in subset)


def main() -> None:
    nets = train(make_scenes(2048, SIZE, seed=71))
    content = build(nets)
    print(json.dumps({name: content[name] for name in ("table", "fcn_table")}, indent=1))
    TARGET.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
