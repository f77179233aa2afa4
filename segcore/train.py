"""Training in one plain function: :func:`fit` takes a model, data, a loss and a number of steps.

Around its loop (draw a batch, forward, backward, step) it does what every training needs. It chooses the
device and the precision, warms the learning rate up and lets it fall along a cosine, keeps the weights that
validated best, writes checkpoints and goes on from them, and stops early without losing what was learnt: on
Ctrl-C, or when its time is up.

Started with ``torchrun --nproc-per-node 4 script.py``, the same call trains on four processes. Each takes its
share of every batch and DistributedDataParallel averages the gradients, so the result is that of one process
with the whole batch, up to rounding; but batch normalisation sees a process's share alone, and a mean over
pixels that are not ignored is taken in each process first.

The length is counted in steps, since seconds depend on the machine. Left out: gradient accumulation, averaged
weights, models too large for one device.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import itertools
import math
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW, Optimizer
from torch.utils.data import RandomSampler, SequentialSampler
from tqdm.auto import tqdm

from segcore import checkpoints, inputs
from segcore.inputs import (
    instance,
    whole,
)  # by their names, since `inputs` is an argument of those that need it

__all__ = ["Batches", "History", "batches", "cross_entropy", "fit", "load", "predict"]

WARM_UP = 0.1  # share of the steps in which the learning rate rises
PRECISIONS = ("float32", "bfloat16", "float16")
HALF = (torch.bfloat16, torch.float16)

Data = Callable[[int], tuple[Any, Any]] | Iterable[tuple[Any, Any]]


@dataclass
class History:
    """What a training did.

    Attributes:
        losses: The loss of each step, the mean over all processes.
        scores: (steps done, score) of each validation.
        best: The entry of `scores` whose weights were kept; None without validation.
        steps: Steps done, those before a resumption included.
        seconds: Time taken, likewise.
        interrupted: Whether Ctrl-C ended it.
    """

    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    steps: int = 0
    seconds: float = 0.0
    interrupted: bool = False


# --- Training ---


def fit(
    model: nn.Module,
    data: Data,
    loss: Callable[[Any, Any], Tensor],
    steps: int,
    *,
    lr: float = 3e-3,
    weight_decay: float = 0.01,
    optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    seconds: float | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    progress: bool = True,
) -> History:
    """Train a model in place.

    The learning rate rises over the first tenth of the steps and falls to 0 along half a cosine. The model
    comes back on the device and in the memory format in which it came, in evaluation mode; with `validate`,
    with the weights that scored best.

    Args:
        model: Called with the inputs of a batch.
        data: Either a function from the number of the step (0, 1, 2, ...) to a batch, as :func:`batches`
            makes one, or something that can be gone through again and again, such as a DataLoader. A batch is
            a pair of inputs and targets: tensors, or tuples, lists and dicts of them, with the examples along
            axis 0; what is no tensor comes along as it is. What is drawn from torch's own generator while
            a batch is made depends on the training's seed and the number of the step alone, so that a
            training that resumes, and each of several processes, sees the same batches.
        loss: ``loss(output, targets)``, a scalar to be made small. Outputs in half precision reach it in
            float32.
        steps: Batches to train on, in all: one that resumes does the rest. The environment variable
            ``SEGCORE_STEPS``, a fraction such as 0.02, shortens every training, to run through a notebook
            quickly.
        lr: The learning rate at its highest.
        weight_decay: AdamW's.
        optimizer: Makes another optimizer of the list of parameters, such as
            ``lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)``; `lr` and `weight_decay` then count for
            nothing.
        validate: ``validate(model)``, a score to be made large, called in evaluation mode without gradients.
        validate_every: Steps from one validation to the next; a tenth of `steps` unless said. The last step
            is always validated.
        checkpoint: A file that keeps the state of the training: where it exists, the training goes on from
            it. What this call says counts, also where the file was written with another `lr`,
            `weight_decay`, `precision` or number of steps. A DataLoader goes on with the epoch that was
            begun, whose earlier batches are read again and dropped; one with a `generator` of its own, with
            its first.
        checkpoint_every: Steps from one writing to the next; a tenth of `steps` unless said. It is also
            written at the end, and on Ctrl-C.
        seconds: A cap on the time of this call. The learning rate then falls so that it reaches 0 when the
            cap or the last step comes, whichever is first.
        device: Where to train; CUDA, else Apple's MPS, else the processor unless said.
        precision: "float32", "bfloat16" or "float16" (the forward pass under autocast), or "auto": bfloat16
            where the hardware computes in it, else float16 on CUDA, else float32.
        progress: Show a progress bar.

    Returns:
        Losses, scores and times.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A number out of range, an unknown precision, data that end or give no pair, processes
            that are given different batches, or a checkpoint of another model or optimizer, or a damaged one.
        OSError: The checkpoint cannot be written; tried before the first step.
        FloatingPointError: The loss is not finite; says at which step and what to try.

    Example:
        A line through points, by gradient descent:

        >>> x = torch.linspace(-1, 1, 64)[:, None]
        >>> torch.manual_seed(0) and None
        >>> line = nn.Linear(1, 1)
        >>> data = batches(x, 3 * x + 1, batch_size=16, seed=0)
        >>> history = fit(line, data, nn.functional.mse_loss, steps=200, lr=0.1, weight_decay=0.0,
        ...               precision="float32", progress=False)
        >>> print(f"{line.weight.item():.2f} {line.bias.item():.2f}")
        3.00 1.00
    """
    part = inputs.number(_number_in(os.environ.get("SEGCORE_STEPS", "1")), "SEGCORE_STEPS", above=0, most=1)
    steps = max(1, round(whole(steps, "steps") * part))
    tenth = max(1, steps // 10)
    every = (
        whole(tenth if validate_every is None else validate_every, "validate_every"),
        whole(tenth if checkpoint_every is None else checkpoint_every, "checkpoint_every"),
    )
    seconds = math.inf if seconds is None else inputs.number(seconds, "seconds", above=0)
    lr = inputs.number(lr, "lr", above=0)
    weight_decay = inputs.number(weight_decay, "weight_decay", least=0)
    inputs.option(precision, "precision", ("auto", *PRECISIONS))
    inputs.instance(model, "model", nn.Module)
    _check_called(loss=loss, optimizer=optimizer, validate=validate)
    if not (callable(data) or isinstance(data, Iterable) or hasattr(data, "__getitem__")):
        raise TypeError(f"expected data that give batches, got {data!r:.40}; make them with batches(...)")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "expected a model to train, got one without a parameter that requires a gradient, so there is "
            "nothing to train; call requires_grad_() on what is to learn"
        )
    group = _join(device)
    with _lent(model, group.place):
        chosen = optimizer(parameters) if optimizer else AdamW(parameters, lr, weight_decay=weight_decay)
        dtype, path = _precision(precision, group.place), Path(checkpoint).absolute() if checkpoint else None
        training = _Training(model, data, loss, steps, seconds, validate, every, path, chosen, dtype, group)
        training.resume()
        training.run(progress)
    return training.history


@dataclass
class _Training:
    """A training under way: what was asked for, and how far it has come."""

    model: nn.Module
    data: Data
    loss: Callable[[Any, Any], Tensor]
    steps: int
    seconds: float
    validate: Callable[[nn.Module], float] | None
    every: tuple[int, int]  # steps from one validation to the next, and from one checkpoint to the next
    path: Path | None
    optimizer: Optimizer
    dtype: torch.dtype
    group: _Group
    history: History = field(default_factory=History)
    best: dict[str, Tensor] | None = None
    whole: bool = True  # False while a step is half done, and not fit to be kept

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(self.group.place.type, enabled=self.dtype == torch.float16)
        with torch.random.fork_rng(devices=[]):  # look at the next number without taking it
            seed = int(torch.randint(2**48, (), device="cpu"))
        self.seed = int(self.group.agree(seed if self.group.rank == 0 else 0)[0])

    def run(self, progress: bool) -> None:
        """Train until the steps, or the time, are used up, or somebody stops it."""
        history, group = self.history, self.group
        first, before, begun = history.steps, history.seconds, time.perf_counter()
        spent, random = 0.0, torch.get_rng_state()  # spent of the time allowed, as all processes agree
        if first < self.steps:
            self.save(trial=True)
        net, stream = group.parallel(self.model), _stream(self.data, first, self.seed)
        kept = _clones(self.model.buffers())  # such as batch norm's statistics
        hidden = not progress or group.rank > 0 or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
        bar = tqdm(total=self.steps, initial=first, disable=hidden, unit="step", desc="training")
        with bar, _stop_signal() as stop:
            try:
                while history.steps < self.steps and spent < 1 and not history.interrupted:
                    done = first / self.steps
                    _set_rate(self.optimizer, max(history.steps / self.steps, done + (1 - done) * spent))
                    random = torch.get_rng_state()
                    batch = next(stream)
                    if history.steps == first:
                        group.check_alike(batch)
                    value = self.step(net, batch)
                    elapsed = time.perf_counter() - begun
                    spent, stopped = group.agree(elapsed / self.seconds, stop.is_set(), largest=True)
                    history.losses.append(group.agree(value)[0] / group.world)
                    history.steps, history.seconds = history.steps + 1, before + elapsed
                    history.interrupted, kept = bool(stopped), _clones(self.model.buffers())
                    self.whole, random = True, torch.get_rng_state()
                    self.look(last=history.steps == self.steps or spent >= 1 or history.interrupted)
                    scores = {"score": history.scores[-1][1]} if history.scores else {}
                    bar.set_postfix({"loss": history.losses[-1]} | scores, refresh=False)
                    bar.update()
            except KeyboardInterrupt:
                history.interrupted = True
                if group.world == 1 and self.whole:
                    # Dropout may have drawn for a step that was not done, and batch norm counted its batch.
                    torch.set_rng_state(random)
                    for buffer, former in zip(self.model.buffers(), kept, strict=True):
                        buffer.copy_(former)
                    self.save()
            finally:
                if self.best is not None:
                    self.model.load_state_dict(self.best)
                self.model.eval()

    def step(self, net: nn.Module, batch: Any) -> float:
        """One batch forward and backward, one step of the optimizer; returns the loss, weighted."""
        (x, targets), weight = self.group.share(batch)
        net.train()
        with torch.autocast(self.group.place.type, self.dtype, enabled=self.dtype != torch.float32):
            output = net(x)
        value = self.loss(_each(lambda y: y.float() if y.dtype in HALF else y, output), targets)
        self.check_loss(value, x)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(value * weight).backward()
        self.whole = False
        with torch.device("cpu"):  # where optimizers count their steps, whatever the default device is
            self.scaler.step(self.optimizer)
        self.scaler.update()
        return float(value.detach()) * weight

    def check_loss(self, value: Any, x: Any) -> None:
        """Stop where the loss is not a finite scalar, and say what to try."""
        if not (isinstance(value, Tensor) and value.numel() == 1):
            found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"expected the loss to be a scalar tensor, got {found}; take its mean")
        if math.isfinite(value.detach()):
            return
        cure = "look whether every pixel of the batch is ignored"
        if not all(bool(leaf.isfinite().all()) for leaf in _leaves(x) if isinstance(leaf, Tensor)):
            cure = "the inputs of this batch hold NaN or infinity: look at how they are made"
        elif self.history.steps == 0:
            cure += ", and at the loss for log(0) or 0/0"
        else:
            rate = self.optimizer.param_groups[0]["initial_lr"]
            cure = f"try a smaller lr (it is {rate:g}), precision='float32', and {cure}"
        raise FloatingPointError(f"the loss is {value.item()} at step {self.history.steps}; {cure}")

    def look(self, last: bool) -> None:
        """Validate and write the checkpoint, where it is time to."""
        history, (validation, checkpoint) = self.history, self.every
        if history.interrupted:  # first of all: torchrun gives its processes half a minute to end
            self.save()
        if self.validate and (last or history.steps % validation == 0):
            self.model.eval()
            with torch.no_grad():
                score = float(self.validate(self.model)) if self.group.rank == 0 else 0.0
            score = self.group.agree(score)[0]
            history.scores.append((history.steps, score))
            if not math.isnan(score) and (history.best is None or score > history.best[1]):
                history.best = history.scores[-1]
                self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        if last or history.steps % checkpoint == 0:
            self.save()

    def save(self, trial: bool = False) -> None:
        """Write the checkpoint, or try whether it can be written."""
        if self.path and self.group.rank == 0:
            content = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "scaler")}
            content |= {"best": self.best, "history": asdict(self.history), "seed": self.seed}
            checkpoints.write(self.path, content | {"random": torch.get_rng_state()}, trial)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; where it does not fit, nothing is changed."""
        if self.path is None or not self.path.exists():
            return
        content = checkpoints.read(self.path)
        # What the optimizer remembers comes from the file; its settings, such as lr, from this call.
        memory = {**content["optimizer"], "param_groups": self.optimizer.state_dict()["param_groups"]}
        checkpoints.check_same_model(self.model, content["model"], self.path)
        checkpoints.check_same_optimizer(memory, content["optimizer"], self.path)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(memory)
        if content["scaler"]:  # empty where it was not float16
            self.scaler.load_state_dict(content["scaler"])
        self.best, self.seed = content["best"], content.get("seed", self.seed)
        self.history = History(**content["history"] | {"interrupted": False})
        torch.set_rng_state(content["random"])


def _clones(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [each.detach().clone() for each in tensors]


def _set_rate(optimizer: Optimizer, part: float) -> None:
    """Set the learning rate for the part of the training that is done, from 0 to 1."""
    rise = min(1.0, (part + 1e-3) / WARM_UP)
    fall = (part - WARM_UP) / (1 - WARM_UP)
    scale = rise if part < WARM_UP else 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * scale


def _check_called(**functions: Any) -> None:
    """Refuse what is neither a function nor None."""
    for name, value in functions.items():
        if value is not None and not callable(value):
            raise TypeError(f"expected {name} as a function, got {value!r:.40}; pass it without calling it")


def _number_in(text: str) -> float | str:
    """The number that a text holds, or the text."""
    try:
        return float(text)
    except ValueError:
        return text


# --- Data ---


@dataclass(eq=False, repr=False)
class Batches:
    """Random batches of examples that are in memory, as a function of the number of the step."""

    inputs: Any
    targets: Any
    batch_size: int
    seed: int
    augment: Callable[[Any, Any, torch.Generator], tuple[Any, Any]] | None

    def __post_init__(self) -> None:
        self.count = _examples(inputs=self.inputs, targets=self.targets)
        self.batch_size = whole(self.batch_size, "batch_size", most=self.count)
        self.seed = whole(self.seed, "seed", least=-sys.maxsize)
        _check_called(augment=self.augment)
        self._orders: dict[int, Tensor] = {}

    def order(self, epoch: int) -> Tensor:
        """The examples in the order in which an epoch takes them, int64 (count,)."""
        if epoch not in self._orders:
            generator = torch.Generator("cpu").manual_seed(_mix(self.seed, epoch))
            self._orders[epoch] = torch.randperm(self.count, generator=generator, device="cpu")
            self._orders.pop(epoch - 2, None)
        return self._orders[epoch]

    def __call__(self, step: int) -> tuple[Any, Any]:
        """The batch of this step; it does not depend on what was asked before."""
        first = step * self.batch_size
        epochs = range(first // self.count, (first + self.batch_size - 1) // self.count + 1)
        order = torch.cat([self.order(epoch) for epoch in epochs])
        start = first - epochs[0] * self.count
        chosen = order[start : start + self.batch_size]
        x, y = _each(lambda each: each[chosen.to(each.device)], (self.inputs, self.targets))
        if self.augment is None:
            return x, y
        return self.augment(x, y, torch.Generator("cpu").manual_seed(_mix(self.seed, step) + 1))


def batches(
    inputs: Any,
    targets: Any,
    batch_size: int = 8,
    seed: int = 0,
    augment: Callable[[Any, Any, torch.Generator], tuple[Any, Any]] | None = None,
) -> Batches:
    """Random batches of examples that are in memory, for :func:`fit`.

    Every epoch goes through all examples in a new order; where it does not divide into whole batches, a batch
    reaches over into the next epoch. The batch of a step depends on `seed` and on its number alone, so a
    training that resumes sees the batches that it would have seen.

    Args:
        inputs: A tensor with the examples along axis 0, or a tuple, list or dict of such.
        targets: Likewise, as many.
        batch_size: Examples in a batch, at most as many as there are.
        seed: Of the orders, and of what `augment` draws.
        augment: ``augment(inputs, targets, generator)`` gives the batch that is trained on. What it flips or
            crops in the images it must flip and crop in the label maps.

    Returns:
        A function from step to (inputs, targets).

    Raises:
        TypeError: What came is no tensor, no whole number, or cannot be called.
        ValueError: No examples, numbers that differ, or a batch larger than what there is.

    Example:
        >>> data = batches(torch.arange(6), torch.arange(6) * 10, batch_size=3, seed=1)
        >>> first, second = data(0), data(1)
        >>> sorted(torch.cat([first[0], second[0]]).tolist())
        [0, 1, 2, 3, 4, 5]
        >>> torch.equal(first[1], first[0] * 10)
        True
    """
    return Batches(inputs, targets, batch_size, seed, augment)


def _mix(seed: int, number: int) -> int:
    """One seed of two numbers."""
    return (seed * 1_000_003 + number * 7_919) % 2**62


def _stream(data: Data, first: int, seed: int) -> Iterator[Any]:
    """Batches from the one of step `first` on, without end."""
    step = _epoch(data, first)
    while True:
        begun = step
        with _seeded(seed, step):
            source: Any = map(data, itertools.count(step)) if callable(data) else iter(data)
        while True:
            with _seeded(seed, step):
                batch = next(source, source)
            if batch is source:
                break
            if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
                found = f"{type(batch).__name__} {batch!r:.40}"
                raise ValueError(f"expected data to give pairs (inputs, targets), got {found}")
            if step >= first:
                yield batch
            step += 1
        if step == begun:
            raise ValueError(
                f"data ended after {step} batches and cannot be gone through again; give a DataLoader, a "
                "list, or batches(inputs, targets)"
                if step
                else "data gave no batch; is the data set empty, or smaller than one batch with drop_last?"
            )


def _epoch(data: Data, first: int) -> int:
    """Where to begin so as to come to step `first`: at its epoch, where earlier ones do not matter for it."""
    if callable(data):
        return first
    sampler = getattr(getattr(data, "batch_sampler", None), "sampler", None)
    own = (getattr(data, "generator", None), getattr(sampler, "generator", None))
    plain = type(sampler) in (RandomSampler, SequentialSampler) and own == (None, None)
    return first - first % len(data) if plain else 0  # type: ignore[arg-type]


@contextlib.contextmanager
def _seeded(seed: int, step: int) -> Iterator[None]:
    """Let torch's generator give what belongs to this step; afterwards it goes on where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_mix(seed, step))
        yield


# --- Prediction, loss ---


def predict(model: nn.Module, inputs: Any, batch_size: int = 16) -> Any:
    """Run a model over many inputs: evaluation mode, no gradients, in batches.

    Args:
        model: On any device; its mode is put back afterwards.
        inputs: ``(N, ...)``, on any device, or a tuple, list or dict of such, as the model takes it.
        batch_size: How many at a time; fewer where memory is short.

    Returns:
        The outputs in float32 on the processor, put together along axis 0; tuples, lists and dicts of tensors
        keep their form.

    Raises:
        TypeError: No module, or inputs that are no tensors.
        ValueError: No inputs, or a batch size below 1.

    Example:
        >>> predict(nn.Conv2d(3, 4, 1), torch.rand(5, 3, 8, 8), batch_size=2).shape
        torch.Size([5, 4, 8, 8])
    """
    instance(model, "model", nn.Module)
    count, batch_size = _examples(inputs=inputs), whole(batch_size, "batch_size")
    place = next((p.device for p in model.parameters()), _leaves(inputs)[0].device)
    modes = [(module, module.training) for module in model.modules()]
    parts = []
    model.eval()
    try:
        with torch.no_grad():
            for first in range(0, count, batch_size):
                own = slice(first, first + batch_size)
                outputs = model(_each(lambda x, own=own: _moved(x[own], place), inputs))
                parts.append(_each(lambda y: y.float().cpu().contiguous(), outputs))
    finally:
        for module, mode in modes:
            module.training = mode
    return _each(lambda *each: torch.cat(each), *parts)


def cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Mean cross-entropy over the pixels that are not ignored: torch's, with the course's ignored label.

    Args:
        logits: float ``(N, C, H, W)``.
        labels: int64 ``(N, H, W)``, classes 0 to C - 1 and `ignore_index`.
        weight: ``(C,)``, a weight for each class.
        ignore_index: The label that does not count.

    Returns:
        A scalar; NaN where every pixel is ignored, at which :func:`fit` stops.

    Raises:
        TypeError: An argument is no tensor, or `ignore_index` not whole.
        ValueError: Sizes or devices that do not fit together, or a label that is neither a class nor ignored.

    Example:
        >>> labels = torch.tensor([[[0, 1, 255]]])
        >>> cross_entropy(torch.zeros(1, 2, 1, 3), labels)
        tensor(0.6931)
    """
    inputs.floating(logits, "logits", "N C H W")
    inputs.tensor(labels, "labels", "...")
    ignored = whole(ignore_index, "ignore_index", least=-sys.maxsize)
    if labels.shape != logits[:, 0].shape:
        raise ValueError(
            f"expected logits (N, C, H, W) and labels (N, H, W) of the same size, got {tuple(logits.shape)} "
            f"and {tuple(labels.shape)}; up-sample the logits to the labels' size, or crop the labels"
        )
    inputs.label_map(labels, "labels", logits.shape[1], ignored)
    inputs.same_place(labels, "labels", logits, "logits")
    if weight is not None:
        inputs.same_place(inputs.floating(weight, "weight", str(logits.shape[1])), "weight", logits, "logits")
        if not torch.is_autocast_enabled(logits.device.type):  # else both are put in float32
            weight = weight.to(logits.dtype)
    return nn.functional.cross_entropy(logits, labels, weight, ignore_index=ignored)


def load(model: nn.Module, checkpoint: str | Path) -> nn.Module:
    """Load into a model what :func:`fit` kept: the weights that validated best, else the last ones.

    Args:
        model: Made as the one that was trained; stays on its device.
        checkpoint: The file.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or one of another model; says what differs.
    """
    path = Path(checkpoint)
    content = checkpoints.read(path)
    weights = content["best"] or content["model"]
    checkpoints.check_same_model(model, weights, path)
    model.load_state_dict(weights)
    return model.eval()


# --- Device, precision, processes ---


class _Group(NamedTuple):
    """The processes that train together: this one's device and rank, and how many there are."""

    place: torch.device
    rank: int = 0
    world: int = 1

    def agree(self, *values: float, largest: bool = False) -> list[float]:
        """The sum of each of these numbers over all processes, or the largest one: the same in all."""
        if self.world == 1:
            return list(values)
        box = torch.tensor(values, dtype=torch.float64, device=self.place)
        dist.all_reduce(box, dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM)
        return box.tolist()

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model, or DistributedDataParallel around it."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model, device_ids=[self.place] if self.place.type == "cuda" else None)

    def check_alike(self, batch: Any) -> None:
        """Refuse different batches in different processes: their shares would leave examples out."""
        if self.world > 1:
            content = io.BytesIO()
            torch.save(_each(Tensor.cpu, batch), content)
            mark = zlib.crc32(content.getbuffer())
            if sum(self.agree(mark, -mark, largest=True)):  # the largest less the smallest one
                raise ValueError(
                    "the processes were given different batches; give each the same ones, as fit shares them "
                    "out itself: no DistributedSampler, and random numbers of torch's or a seeded generator"
                )

    def share(self, batch: Any) -> tuple[Any, float]:
        """This process's examples of a batch, on its device, and their weight in the mean over all."""
        weight = 1.0
        if self.world > 1:
            count = _examples(inputs=batch[0], targets=batch[1])
            if count < self.world:
                raise ValueError(
                    f"expected batches of at least {self.world} examples, one for each process, got {count}; "
                    "leave the last, smaller one out with DataLoader(..., drop_last=True), or make all larger"
                )
            weight = len(range(self.rank, count, self.world)) * self.world / count
            batch = _each(lambda x: x[self.rank :: self.world], batch)
        return _each(lambda x: _moved(x, self.place), batch), weight


def _moved(x: Tensor, place: torch.device) -> Tensor:
    """The tensor on another device, images with their channels last, as convolutions are fastest."""
    x = x.to(place, non_blocking=place.type == "cuda")
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _join(device: str | torch.device | None) -> _Group:
    """Join the other processes, if torchrun started several.

    They stay together until the script ends: trainings one after the other that each joined and left would
    wait for each other now and then.
    """
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    place = torch.device(device if device is not None else best)
    joined = dist.is_available() and dist.is_initialized()
    if not joined and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _Group(place)
    if place.type == "cuda" and place.index is None:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if not joined:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
        atexit.register(lambda: dist.destroy_process_group() if dist.is_initialized() else None)
    return _Group(place, dist.get_rank(), dist.get_world_size())


def _precision(name: str, place: torch.device) -> torch.dtype:
    """The dtype of the forward pass."""
    if name != "auto":
        return getattr(torch, name)
    if place.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if place.type == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests):
        return torch.bfloat16
    return torch.float32


@contextlib.contextmanager
def _lent(model: nn.Module, place: torch.device) -> Iterator[None]:
    """The model on another device with its channels last; afterwards where and as it was."""
    home = next(model.parameters()).device
    plain = {name for name, x in (*model.named_parameters(), *model.named_buffers()) if x.is_contiguous()}
    model.to(place).to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        model.to(home)
        for name, x in (*model.named_parameters(), *model.named_buffers()):
            if name in plain:
                x.data = x.data.contiguous()


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that no step is left half done; the second one interrupts."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def stop(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


# --- Nested batches ---


def _each(change: Callable[..., Any], *parts: Any) -> Any:
    """The same form with every tensor changed, of several alike with those that stand in the same place."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: _each(change, *(part[key] for part in parts)) for key in first}
    if isinstance(first, (tuple, list)):
        values = [_each(change, *each) for each in zip(*parts, strict=True)]
        return type(first)(*values) if hasattr(first, "_fields") else type(first)(values)
    return change(*parts) if isinstance(first, Tensor) else first


def _leaves(part: Any) -> list[Any]:
    """What stands in tuples, lists and dicts."""
    if isinstance(part, dict):
        part = list(part.values())
    if not isinstance(part, (tuple, list)):
        return [part]
    return [leaf for each in part for leaf in _leaves(each)]


def _examples(**parts: Any) -> int:
    """How many examples there are, along axis 0 of every tensor."""
    leaves = [(name, leaf) for name, part in parts.items() for leaf in _leaves(part)]
    for name, leaf in leaves:
        if not isinstance(leaf, Tensor) or leaf.dim() == 0:
            raise TypeError(
                f"expected {name} as tensors with the examples along axis 0, got {leaf!r:.40}; make a tensor "
                "of it with one entry for each example, or leave it out"
            )
    counts = {len(leaf) for _, leaf in leaves}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"expected as many examples in every tensor of {' and '.join(parts)}, at least one, got "
            f"{sorted(counts)}; they lie along axis 0"
        )
    return counts.pop()
