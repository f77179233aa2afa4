"""Trainings to start from a command line: ``python -m segcore train unet --data pets``.

A recipe is a network of the course with the data that it can learn from and numbers that suit both.
:func:`train` says what it is about to do, tries whether it can, trains with :func:`segcore.train.fit`, and
leaves in the folder ``--out``:

- ``checkpoint.pt``, from which the same command goes on, and `segcore.train.load` takes the weights;
- ``run.json``: settings, scores, times; ``curve.csv`` and ``curve.svg``: losses and scores over the steps;
- ``report.html``: held-out images, their truth and what the network says, in one file.

The scenes of the course are drawn anew for each batch, so none is seen twice. Of real data, every twentieth
image of what is there to learn from is set aside to choose the best weights by; the final scores are from the
held-out split, at the size of the crops. With `--pretrained` a backbone begins with ImageNet's weights. Left
out: whole images, test-time tricks.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from segcore import report
from segcore.checkpoints import read
from segcore.data import pretrained
from segcore.data.augment import CenterCrop, RandomCrop
from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.train import History, cross_entropy, fit, predict

__all__ = ["RECIPES", "Recipe", "train"]

HELD_OUT, CHOOSING, SHOWN = 500, 100, 8  # examples to score, to choose the weights by, and to show
FEW = 40  # to choose by, where they hold objects, which take longer to score
EVERY = 20  # of real data, every such image is set aside for choosing
KINDS = {"scenes": 4, "pets": 3, "voc": 21, "camvid": 11, "penn_fudan": 2}  # classes, background included
TORCHRUN = "\n            (torchrun itself ends with a traceback and code 1: it reports the interruption)"
WATCHED = 10  # steps after which the time for all of them is estimated


@dataclass(frozen=True)
class Recipe:
    """A network, what it can learn from, and numbers that suit it.

    Attributes:
        title: The network's name.
        build: ``build(classes, real, size)`` makes it: narrow for scenes, wider for real data.
        data: What it can learn from, by the names of `--data`.
        objects: Whether it finds objects, each with a mask; else it labels every pixel.
        scenes: Steps, examples in a batch, side of an image, and learning rate on scenes.
        real: The same on real data.
        backbone: The network of `segcore.data.pretrained` that it has on real data, if any.
    """

    title: str
    build: Callable[[int, bool, int], nn.Module]
    data: tuple[str, ...] = ("scenes", "pets", "voc", "camvid")
    objects: bool = False
    scenes: tuple[int, int, int, float] = (1800, 8, 64, 3e-3)
    real: tuple[int, int, int, float] = (20_000, 16, 256, 1e-3)
    backbone: str | None = None


def _unet(classes: int, real: bool, size: int) -> nn.Module:
    from segcore.encoder_decoders import UNet

    return UNet(3, classes, width=32 if real else 24, depth=4 if real else 3)


def _fcn8s(classes: int, real: bool, size: int) -> nn.Module:
    from segcore.skips import FCN8s

    return FCN8s(3, classes, width=48 if real else 16)


def _deeplab(classes: int, real: bool, size: int) -> nn.Module:
    try:
        from segcore.deeplab import DeepLabV3Plus
    except ImportError as error:
        raise ImportError(
            "this copy of the course has no segcore/deeplab.py yet: take another recipe"
        ) from error
    if real:
        return DeepLabV3Plus("resnet50", classes, output_stride=16)
    return DeepLabV3Plus("small", classes, output_stride=8, channels=64, low_channels=16)


def _mask_rcnn(classes: int, real: bool, size: int) -> nn.Module:
    from segcore.mask_rcnn import MaskRCNN, instance_targets

    class FromMaps(MaskRCNN):
        """Takes a batch whose objects are maps of instances, which several processes can share."""

        def forward(self, images: Any, targets: Any = None) -> Any:
            if isinstance(images, Tensor):
                return super().forward(images, targets)
            pictures, instances, kinds = images
            losses = super().forward(pictures, instance_targets(instances, kinds))
            # Where a batch has no object the mask head has nothing to learn; processes wait for its gradient.
            losses["masks"] = losses["masks"] + 0 * sum(each.sum() for each in self.parameters())
            return losses

    sides = (size / 8, size / 4, size / 2)
    return FromMaps(classes, width=96 if real else 48, anchor_sides=sides)


RECIPES = {
    "unet": Recipe("U-Net", _unet),
    "fcn8s": Recipe("FCN-8s", _fcn8s, scenes=(1800, 16, 96, 3e-3)),
    "deeplab": Recipe("DeepLabv3+", _deeplab, scenes=(1800, 16, 96, 3e-3), backbone="resnet50"),
    "mask_rcnn": Recipe(
        "Mask R-CNN",
        _mask_rcnn,
        data=("scenes", "penn_fudan", "voc"),
        objects=True,
        scenes=(800, 8, 96, 2e-3),
        real=(20_000, 8, 320, 1e-3),
    ),
}
"""The recipes by the names that the command line knows."""


def train(options: Namespace) -> int:
    """Do what a command line says: plan, train, score, show.

    Args:
        options: As ``python -m segcore train --help`` lists them.

    Returns:
        0 where all was done, 130 where Ctrl-C ended it early; what was learnt until then is kept.

    Raises:
        ValueError: An unknown recipe, data that do not fit it, a folder with another training.
        OSError: Data that are not there, or a folder that cannot be written to.
    """
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes only one speaks and writes
    plan, place = _plan(options), _device(options)
    torch.manual_seed(plan.seed)
    out = Path(plan.out)
    if not options.dry_run:
        _check_folder(plan, out)
    material: _Material | None
    try:
        material = _material(plan, options)
    except FileNotFoundError as error:
        if not options.dry_run:
            raise FileNotFoundError(f"{error}; here: add --download") from error
        material, lacking = None, str(error)
    count = KINDS[plan.data] if material is None else len(material.classes)
    model = RECIPES[plan.recipe].build(count, plan.data != "scenes", plan.size)
    if first:
        print(_described(plan, model, place, options.precision), flush=True)
        print(f"data        {material.about if material else lacking}", flush=True)
        if plan.pretrained:
            print(f"backbone    {pretrained.about(_backbone(plan))}", flush=True)
    if options.dry_run or material is None:
        return 0
    done = _done(out)
    if plan.pretrained and not done:  # one that goes on has them from its checkpoint
        pretrained.load(model.get_submodule("backbone"), _backbone(plan))
    if first and done:
        print(f"goes on     from step {done:,}, where {out / 'checkpoint.pt'} was written", flush=True)
    history = _trained(plan, options, model, material, out, first)
    if first:
        if history.interrupted:  # said before the scores, for which torchrun may leave no time
            words = f"stopped     at step {history.steps:,} of {plan.steps:,}; the same command goes on"
            print(words + TORCHRUN * dist.is_torchelastic_launched(), flush=True)
        _finish(plan, model.to(place), material, history, out)
    if dist.is_available() and dist.is_initialized():
        dist.barrier()  # whoever ends first would make torchrun end the others
    return 130 if history.interrupted else 0


# --- The plan ---


@dataclass(frozen=True)
class _Plan:
    """What makes a training what it is; one that goes on must agree in all but steps and rate."""

    recipe: str
    data: str
    size: int
    batch: int
    seed: int
    steps: int
    lr: float
    out: str
    pretrained: bool = False


def _plan(options: Namespace) -> _Plan:
    """The recipe's numbers, and those of the command line where it gives some."""
    if options.recipe not in RECIPES:
        near = difflib.get_close_matches(options.recipe, RECIPES, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"no recipe is called {options.recipe!r}{hint} There are: {', '.join(RECIPES)}")
    recipe = RECIPES[options.recipe]
    if options.data not in recipe.data:
        raise ValueError(
            f"{options.recipe} learns from {', '.join(recipe.data)}, not from {options.data!r}; say which "
            "with --data"
        )
    if options.pretrained and (options.data == "scenes" or recipe.backbone is None):
        able = "; ".join(
            f"{name} with --data {', '.join(each for each in other.data if each != 'scenes')}"
            for name, other in RECIPES.items()
            if other.backbone is not None
        )
        raise ValueError(
            f"{options.recipe} on {options.data} has no backbone whose weights could be fetched; leave "
            f"--pretrained out, or take {able}"
        )
    steps, batch, size, lr = recipe.scenes if options.data == "scenes" else recipe.real
    given = {"steps": options.steps, "batch": options.batch, "size": options.size, "lr": options.lr}
    for name, least in (("steps", 1), ("batch", 1), ("size", 16), ("lr", 1e-12)):
        if given[name] is not None and given[name] < least:
            raise ValueError(f"expected --{name} of {least} or more, got {given[name]}")
    usual = dict(zip(given, (steps, batch, size, lr), strict=True))
    numbers: dict[str, Any] = {name: given[name] or usual[name] for name in given}
    out = options.out or str(Path("runs") / f"{options.recipe}-{options.data}")
    return _Plan(
        options.recipe, options.data, seed=options.seed, out=out, pretrained=options.pretrained, **numbers
    )


def _backbone(plan: _Plan) -> str:
    """The name of the backbone whose weights are fetched."""
    return RECIPES[plan.recipe].backbone or ""


def _check_folder(plan: _Plan, out: Path) -> None:
    """Before anything is trained: is there a place to write to, room, and no other training?"""
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial = out / f".trial-{os.getpid()}"
        trial.write_bytes(bytes(1 << 16))
        trial.unlink()
    except OSError as error:
        raise OSError(
            f"{out} cannot be written to ({error.strerror}); choose another folder with --out"
        ) from error
    if shutil.disk_usage(out).free < 1 << 28:
        raise OSError(f"{out} has less than 0.3 GB left; make room, or choose another folder with --out")
    if (file := out / "run.json").exists():
        before = json.loads(file.read_text(encoding="utf-8"))["plan"]
        for name in ("recipe", "data", "size", "batch", "seed", "pretrained"):
            old, new = before.get(name, False), getattr(plan, name)
            if old != new:
                raise ValueError(
                    f"{out} holds another training, with {name} {old} and not {new}; give its options to go "
                    "on with it, or choose another folder with --out"
                )


def _done(out: Path) -> int:
    """Steps that the checkpoint in a folder has seen."""
    path = out / "checkpoint.pt"
    return read(path)["history"]["steps"] if path.exists() else 0


def _described(plan: _Plan, model: nn.Module, place: torch.device, precision: str) -> str:
    """What will be done, and on what."""
    count, world = sum(each.numel() for each in model.parameters()), int(os.environ.get("WORLD_SIZE", "1"))
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{torch.get_num_threads()} threads"
    together = f", {world} processes together" if world > 1 else ""
    return "\n".join(
        (
            f"recipe      {RECIPES[plan.recipe].title}, {count:,} parameters",
            f"training    {plan.steps:,} steps of {plan.batch} images of {plan.size} × {plan.size}, "
            f"learning rate {plan.lr:g}, seed {plan.seed}",
            f"device      {place} ({name}), precision {precision}{together}",
            f"writes      {Path(plan.out)}: checkpoint.pt, run.json, curve.csv, curve.svg, report.html",
        )
    )


def _device(options: Namespace) -> torch.device:
    """The device that is asked for, once there is one, or the best one."""
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=options.device or best).device
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"--device {options.device} is not to be had here ({why}); {best} is") from error


# --- What it learns from ---


@dataclass(frozen=True)
class _Material:
    """Data as `fit` takes them, examples to choose the weights by, and held-out ones."""

    train: Any
    choose: Any
    held_out: Any
    classes: tuple[str, ...]
    about: str


def _material(plan: _Plan, options: Namespace) -> _Material:
    objects = RECIPES[plan.recipe].objects
    if plan.data == "scenes":
        return _scenes(plan, objects)
    from segcore.data import datasets

    root, kind = Path(options.root), "objects" if objects else "classes"
    calls: dict[str, tuple[Callable[..., Any], str, str, dict[str, str]]] = {
        "pets": (datasets.pets, "trainval", "test", {"target": "species"}),
        "voc": (datasets.voc, "train", "val", {"target": kind}),
        "camvid": (datasets.camvid, "train", "test", {}),
        "penn_fudan": (datasets.penn_fudan, "train", "val", {}),
    }
    call, learn, score, more = calls[plan.data]
    download = options.download and not options.dry_run
    crop, middle = RandomCrop(plan.size), CenterCrop(plan.size)
    train = call(root, learn, download=download, transform=crop, **more)
    plain = call(root, learn, transform=middle, **more)
    held_out = call(root, score, transform=middle, **more)
    rest = [n for n in range(len(train)) if n % EVERY]
    if len(rest) < plan.batch:
        raise ValueError(
            f"{len(rest)} images are too few for batches of {plan.batch}; choose a smaller --batch"
        )
    workers = min(8, os.cpu_count() or 1) if options.workers is None else options.workers
    loader = DataLoader(
        Subset(train, rest),
        plan.batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=_gathered if objects else None,
        worker_init_fn=_deaf,
    )
    aside = Subset(plain, list(range(0, len(plain), EVERY))[: FEW if objects else CHOOSING])
    about = (
        f"{train.title} in {root}: {len(rest):,} images to learn from, {len(aside)} to choose the weights by"
    )
    return _Material(loader, aside, held_out, train.classes, f"{about}, {len(held_out):,} held out")


def _deaf(_: int) -> None:
    """A terminal sends Ctrl-C to the workers too; they end with the training, once its step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Drawn:
    """Scenes of one seed, rendered a block at a time: a call for a few costs as much as one for many."""

    def __init__(self, size: int, seed: int, block: int) -> None:
        self.size, self.seed, self.block = size, seed, block
        self.number, self.scenes = -1, make_scenes(0, size, seed)

    def part(self, first: int, count: int) -> Scenes:
        """The scenes from `first` on; they must lie in one block."""
        number, place = divmod(first, self.block)
        if number != self.number:
            self.scenes = make_scenes(self.block, self.size, self.seed, start=number * self.block)
            self.number = number
        return self.scenes[place : place + count]


class _Rendered:
    """So many scenes as pairs of image and target."""

    def __init__(self, count: int, size: int, seed: int, objects: bool) -> None:
        self.count, self.drawn, self.objects = count, _Drawn(size, seed, 50), objects

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[Tensor, Any]:
        if not 0 <= i < self.count:
            raise IndexError(i)
        scene = self.drawn.part(i, 1)[0]
        objects = {"boxes": scene.boxes, "labels": scene.classes, "masks": scene.masks}
        return scene.image, objects if self.objects else scene.labels


def _scenes(plan: _Plan, objects: bool) -> _Material:
    """Scenes that nobody has seen: seeds 1 and 2 are held out, each training draws from one of its own."""
    source = _Drawn(plan.size, 100 + plan.seed, 50 * plan.batch)

    def batch(step: int) -> tuple[Any, Any]:
        scenes = source.part(step * plan.batch, plan.batch)
        if objects:
            return (scenes.image, scenes.instances, scenes.object_classes), scenes.labels
        return scenes.image, scenes.labels

    few = FEW if objects else CHOOSING
    held_out, choose = (_Rendered(n, plan.size, seed, objects) for n, seed in ((HELD_OUT, 1), (few, 2)))
    about = f"scenes, new ones for each batch, {few} to choose the weights by, {HELD_OUT} held out"
    return _Material(batch, choose, held_out, CLASSES, f"{about}; nothing to download")


def _gathered(examples: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Any, Tensor]:
    """A batch of objects as maps of instances (N, H, W) and their classes (N, M), 0 where there are fewer."""
    images = torch.stack([image for image, _ in examples])
    most = max(1, *(len(target["labels"]) for _, target in examples))
    instances = torch.zeros(len(images), *images.shape[2:], dtype=torch.int64)
    kinds = torch.zeros(len(images), most, dtype=torch.int64)
    for n, (_, target) in enumerate(examples):
        kinds[n, : len(target["labels"])] = target["labels"]
        for k, mask in enumerate(target["masks"], 1):
            instances[n][mask] = k
    return (images, instances, kinds), instances


# --- Training and scores ---


def _trained(
    plan: _Plan, options: Namespace, model: nn.Module, material: _Material, out: Path, first: bool
) -> History:
    """Fit the model, with an estimate of the time after some steps."""
    objects, begun = RECIPES[plan.recipe].objects, _done(out)
    if options.resume and not begun:
        raise ValueError(f"there is nothing to go on from in {out}; leave --resume out to begin")
    if first and not (out / "run.json").exists():
        _write(out / "run.json", json.dumps({"plan": asdict(plan)}, indent=1))
    seen, start = 0, 0.0

    def loss(output: Any, target: Any) -> Tensor:
        nonlocal seen, start
        seen, start = seen + 1, start or time.perf_counter()
        if seen == WATCHED + 1 and first:
            each, left = (time.perf_counter() - start) / WATCHED, plan.steps - begun - WATCHED
            tqdm.write(
                f"time        {1000 * each:.0f} ms a step: about {_minutes(each * left)} to go", sys.stdout
            )
        return sum(output.values()) if objects else cross_entropy(output, target)

    def score(net: nn.Module) -> float:
        nonlocal start
        begin = time.perf_counter()
        found = _scores(net, material.choose, material.classes, objects)
        start += time.perf_counter() - begin  # it is not the time of a step
        return found["AP" if objects else "miou"]

    return fit(
        model,
        material.train,
        loss,
        plan.steps,
        lr=plan.lr,
        validate=score,
        checkpoint=out / "checkpoint.pt",
        device=options.device,
        precision=options.precision,
    )


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _scores(model: nn.Module, examples: Any, classes: tuple[str, ...], objects: bool) -> dict[str, Any]:
    """Mean IoU and that of each class; of objects COCO's average precision."""
    model.eval()
    place = next(model.parameters()).device
    if objects:
        from segcore.instance_metrics import evaluate_instances

        found, truths = [], []
        with torch.no_grad():
            for image, target in examples:
                best = model(image[None].to(place))[0]
                found.append({name: best[name].cpu() for name in ("masks", "labels", "scores")})
                truths.append({name: target[name] for name in ("masks", "labels")})
        table = evaluate_instances(found, truths)
        return {name: round(table[name], 4) for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")}
    from segcore.metrics import confusion_matrix, iou, mean_iou

    count = len(classes)
    total = torch.zeros(count, count, dtype=torch.int64)
    for images, labels in DataLoader(examples, 16):
        total += confusion_matrix(predict(model, images).argmax(1), labels, count)
    each = {name: round(value, 4) for name, value in zip(classes, iou(total).tolist(), strict=True)}
    return {"miou": round(float(mean_iou(total)), 4), "iou": each}


# --- What is left ---


def _finish(plan: _Plan, model: nn.Module, material: _Material, history: History, out: Path) -> None:
    """Score the network on what it never saw, write all down, and say so."""
    objects = RECIPES[plan.recipe].objects
    scores = _scores(model, material.held_out, material.classes, objects)
    content = {
        "plan": asdict(plan),
        "parameters": sum(each.numel() for each in model.parameters()),
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "ms_a_step": round(1000 * history.seconds / max(1, history.steps), 1),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "torch": torch.__version__.partition("+")[0],
        "best": history.best,
        "held_out": scores | {"images": len(material.held_out)},
    }
    # A score of nothing is NaN, for which JSON has no word but null.
    known: dict[str, Any] = dict(scores, images=len(material.held_out))
    known = {name: None if value != value else value for name, value in known.items()}
    if "iou" in known:
        known["iou"] = {name: None if value != value else value for name, value in known["iou"].items()}
    _write(out / "run.json", json.dumps(content | {"held_out": known}, indent=1, ensure_ascii=False))
    _write(out / "curve.csv", report.curve_csv(history.losses, history.scores))
    name = "AP" if objects else "mean IoU"
    curve = report.curve_svg(history.losses, history.scores, name)
    _write(out / "curve.svg", curve)
    shown = [material.held_out[n] for n in range(min(SHOWN, len(material.held_out)))]
    guesses = []
    with torch.no_grad():
        for image, _ in shown:
            answer = model.cpu()(image[None])
            guesses.append(answer[0] if objects else answer[0].argmax(0))
    title = f"{RECIPES[plan.recipe].title} on {plan.data}"
    page = report.page(title, content, material.classes, shown, guesses, curve)
    _write(out / "report.html", page)
    main = "AP" if objects else "miou"
    print(f"held out    {name} {scores[main]:.4f} on {len(material.held_out):,} images", flush=True)
    print(f"written     {out / 'report.html'}", flush=True)


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    half = path.with_name(path.name + ".part")
    half.write_text(text + ("" if text.endswith("\n") else "\n"), encoding="utf-8", newline="\n")
    half.replace(path)
