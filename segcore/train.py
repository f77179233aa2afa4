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
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW, Optimizer
from tqdm.auto import tqdm

__all__ = ["Batches", "History", "batches", "cross_entropy", "fit", "load", "predict"]

WARM_UP = 0.1  # share of the steps in which the learning rate rises
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
FORMAT = "segcore checkpoint 1"

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
    comes back on the device from which it came and in evaluation mode; with `validate`, with the weights that
    scored best.

    Args:
        model: Called with the inputs of a batch.
        data: Either a function from the number of the step (0, 1, 2, ...) to a batch, as :func:`batches`
            makes one, or something that can be gone through again and again, such as a DataLoader. A batch is
            a pair of inputs and targets: tensors, or tuples, lists and dicts of them, with the examples along
            axis 0.
        loss: ``loss(output, targets)``, a scalar to be made small. Outputs reach it in float32.
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
            it.
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
        ValueError: A number out of range, an unknown precision, data that end or give no pair, or a
            checkpoint of another model.
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
    _check_arguments(model, steps, lr, seconds, validate_every, checkpoint_every)
    steps = _shortened(steps)
    every = _Every(validate_every or max(1, steps // 10), checkpoint_every or max(1, steps // 10))
    place, rank, world = _join(device)
    home = next(model.parameters()).device
    model.to(place).to(memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    chosen = optimizer(parameters) if optimizer else AdamW(parameters, lr, weight_decay=weight_decay)
    dtype = _precision(precision, place)
    scaler = torch.amp.GradScaler(place.type, enabled=dtype == torch.float16)
    state = _State(model, chosen, scaler, History(), None, Path(checkpoint) if checkpoint else None)
    state.resume()
    run = _Run(data, loss, steps, seconds, validate, every, dtype, rank, world, place)
    try:
        _loop(state, run, progress)
    finally:
        if state.best is not None:
            model.load_state_dict(state.best)
        model.to(home).eval()
    return state.history


class _Every(NamedTuple):
    """Steps from one validation to the next, and from one checkpoint to the next."""

    validation: int
    checkpoint: int


class _Run(NamedTuple):
    """What stays the same during a training."""

    data: Data
    loss: Callable[[Any, Any], Tensor]
    steps: int
    seconds: float | None
    validate: Callable[[nn.Module], float] | None
    every: _Every
    dtype: torch.dtype
    rank: int
    world: int
    place: torch.device


def _loop(state: _State, run: _Run, progress: bool) -> None:
    """Train until the steps, or the time, are used up, or somebody stops it."""
    history, model = state.history, state.model
    net = _parallel(model, run)
    first, begun, before = history.steps, time.perf_counter(), history.seconds
    bar = _bar(run, first, progress)
    spent = 0.0  # of the time allowed, as all processes agree
    with bar, _stop_signal() as stop:
        batch_of = _stream(run.data, first)
        try:
            while history.steps < run.steps and spent < 1 and not history.interrupted:
                done = first / run.steps
                _set_rate(state.optimizer, max(history.steps / run.steps, done + (1 - done) * spent))
                value = _step(net, next(batch_of), state, run)
                elapsed = time.perf_counter() - begun
                share = elapsed / run.seconds if run.seconds else 0.0
                value, spent, stopped = _agree(value, share, float(stop.is_set()), run)
                history.losses.append(value)
                history.steps, history.seconds = history.steps + 1, before + elapsed
                history.interrupted = bool(stopped)
                bar.update()
                bar.set_postfix(_figures(history), refresh=False)
                last = history.steps == run.steps or spent >= 1 or history.interrupted
                _look(state, run, bar, last)
        except KeyboardInterrupt:
            history.interrupted = True
            if run.world == 1:
                state.save()


def _step(net: nn.Module, batch: Any, state: _State, run: _Run) -> float:
    """One batch forward and backward, one step of the optimizer; returns the loss."""
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise ValueError(
            f"expected data to give pairs (inputs, targets), got {type(batch).__name__}"
            + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
            + "; return a tuple of two"
        )
    inputs, weight = _share(batch[0], run)
    targets, _ = _share(batch[1], run)
    net.train()
    with torch.autocast(run.place.type, dtype=run.dtype, enabled=run.dtype != torch.float32):
        output = net(inputs)
    value = run.loss(_each(output, lambda x: x.float() if x.is_floating_point() else x), targets)
    _check_loss(value, inputs, state, run)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(value * weight).backward()
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return float(value.detach()) * weight


def _look(state: _State, run: _Run, bar: Any, last: bool) -> None:
    """Validate and write the checkpoint, where it is time to."""
    history, model = state.history, state.model
    if run.validate and (last or history.steps % run.every.validation == 0):
        model.eval()
        with torch.no_grad():
            score = float(run.validate(model)) if run.rank == 0 else math.nan
        score = _from_first(score, run)
        history.scores.append((history.steps, score))
        if not math.isnan(score) and (history.best is None or score > history.best[1]):
            history.best = history.scores[-1]
            state.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    if run.rank == 0 and (last or history.steps % run.every.checkpoint == 0):
        state.save()


def _set_rate(optimizer: Optimizer, part: float) -> None:
    """Set the learning rate for the part of the training that is done, from 0 to 1."""
    rise = min(1.0, (part + 1e-3) / WARM_UP)
    fall = (part - WARM_UP) / (1 - WARM_UP)
    scale = rise if part < WARM_UP else 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * scale


# --- Data ---


class Batches:
    """Random batches of examples that are in memory, as a function of the number of the step."""

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        batch_size: int,
        seed: int,
        augment: Callable[[Any, Any, torch.Generator], tuple[Any, Any]] | None,
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.count = len(_first(inputs))
        self._orders: dict[int, Tensor] = {}

    def order(self, epoch: int) -> Tensor:
        """The examples in the order in which an epoch takes them, int64 (count,)."""
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(_mix(self.seed, epoch))
            self._orders[epoch] = torch.randperm(self.count, generator=generator)
            self._orders.pop(epoch - 2, None)
        return self._orders[epoch]

    def __call__(self, step: int) -> tuple[Any, Any]:
        """The batch of this step; it does not depend on what was asked before."""
        first = step * self.batch_size
        epochs = range(first // self.count, (first + self.batch_size - 1) // self.count + 1)
        order = torch.cat([self.order(epoch) for epoch in epochs])
        start = first - epochs[0] * self.count
        chosen = order[start : start + self.batch_size]
        inputs, targets = (_each(part, lambda x: x[chosen]) for part in (self.inputs, self.targets))
        if self.augment is None:
            return inputs, targets
        return self.augment(inputs, targets, torch.Generator().manual_seed(_mix(self.seed, step) + 1))


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
        ValueError: No examples, numbers that differ, or a batch larger than what there is.

    Example:
        >>> data = batches(torch.arange(6), torch.arange(6) * 10, batch_size=3, seed=1)
        >>> first, second = data(0), data(1)
        >>> sorted(torch.cat([first[0], second[0]]).tolist())
        [0, 1, 2, 3, 4, 5]
        >>> torch.equal(first[1], first[0] * 10)
        True
    """
    counts = {len(x) for x in _leaves(inputs)} | {len(x) for x in _leaves(targets)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"expected as many targets as inputs, at least one, got {sorted(counts)}; the examples "
            "lie along axis 0"
        )
    count = counts.pop()
    if not 1 <= batch_size <= count:
        raise ValueError(f"expected a batch_size from 1 to the {count} examples there are, got {batch_size}")
    return Batches(inputs, targets, batch_size, seed, augment)


def _mix(seed: int, number: int) -> int:
    """One seed of two numbers."""
    return (seed * 1_000_003 + number * 7_919) % 2**62


def _stream(data: Data, first: int) -> Iterator[Any]:
    """Batches from the one of step `first` on, without end."""
    if callable(data):
        yield from map(data, itertools.count(first))
    given = 0
    while True:
        before = given
        for batch in data:  # type: ignore[union-attr]
            given += 1
            if given > first:
                yield batch
        if given == before:
            raise ValueError(
                f"data ended after {given} batches and cannot be gone through again; give a DataLoader, a "
                "list, or batches(inputs, targets)"
                if given
                else "data gave no batch; is the data set empty, or smaller than one batch with drop_last?"
            )


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
        ValueError: No inputs, or a batch size below 1.

    Example:
        >>> predict(nn.Conv2d(3, 4, 1), torch.rand(5, 3, 8, 8), batch_size=2).shape
        torch.Size([5, 4, 8, 8])
    """
    count = len(_first(inputs))
    if not count or batch_size < 1:
        raise ValueError(
            f"expected at least one input and a batch_size of 1 or more, got {count} and {batch_size}"
        )
    place = next((p.device for p in model.parameters()), _first(inputs).device)
    was_training = model.training
    model.eval()
    parts = []
    try:
        with torch.no_grad():
            for chosen in torch.arange(count).split(batch_size):
                parts.append(model(_some(inputs, chosen, place)))
    finally:
        model.train(was_training)
    return _joined([_each(part, lambda x: x.float().cpu()) for part in parts])


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
        ValueError: Sizes that do not fit together, or a label that is neither a class nor ignored.

    Example:
        >>> labels = torch.tensor([[[0, 1, 255]]])
        >>> cross_entropy(torch.zeros(1, 2, 1, 3), labels)
        tensor(0.6931)
    """
    if logits.dim() != 4 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"expected logits (N, C, H, W) and labels (N, H, W) of the same size, got {tuple(logits.shape)} "
            f"and {tuple(labels.shape)}; up-sample the logits to the labels' size, or crop the labels"
        )
    if labels.dtype != torch.int64:
        raise ValueError(
            f"expected labels of dtype int64, got {labels.dtype}; convert them with labels.long()"
        )
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= logits.shape[1]))
    if wrong.any():
        raise ValueError(
            f"expected labels from 0 to {logits.shape[1] - 1}, or {ignore_index} for ignored pixels, got "
            f"{labels[wrong].unique().tolist()[:5]}; relabel them, or give the network more classes"
        )
    return nn.functional.cross_entropy(logits, labels, weight, ignore_index=ignore_index)


# --- Checkpoints ---


@dataclass
class _State:
    """What changes during a training, and how it goes to a file and comes back."""

    model: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    history: History
    best: dict[str, Tensor] | None
    path: Path | None

    def save(self) -> None:
        """Write the checkpoint beside its place, then move it there, so that it is never half a file."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        content = {
            "format": FORMAT,
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": asdict(self.history),
            "random": torch.get_rng_state(),
        }
        try:
            torch.save(content, half)
            half.replace(self.path)
        finally:
            half.unlink(missing_ok=True)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        content = _read(self.path)
        _check_same_model(self.model, content["model"], self.path)
        self.model.load_state_dict(content["model"])
        try:
            self.optimizer.load_state_dict(content["optimizer"])
        except ValueError as error:
            raise ValueError(
                f"{self.path} was written with another optimizer ({error}); give the one that it was trained "
                "with, or another path to begin anew"
            ) from error
        self.scaler.load_state_dict(content["scaler"])
        self.best = content["best"]
        torch.set_rng_state(content["random"].cpu())
        self.history = History(**content["history"])
        self.history.interrupted = False
        self.history.scores = [tuple(each) for each in self.history.scores]  # type: ignore[misc]


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
    content = _read(path)
    weights = content["best"] or content["model"]
    _check_same_model(model, weights, path)
    model.load_state_dict(weights)
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with tensors on the processor."""
    if not path.exists():
        raise FileNotFoundError(
            f"there is no checkpoint {path}; train one with fit(..., checkpoint={str(path)!r})"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} is no checkpoint that can be read ({error}); move it away to begin anew"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no checkpoint of segcore.train.fit; give another path, this file stays as it is"
        )
    return content


def _check_same_model(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Refuse the weights of another model, saying what differs."""
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    others = {name: tuple(value.shape) for name, value in weights.items()}
    if own == others:
        return
    for name in [*own, *others]:
        if own.get(name) != others.get(name):
            here, there = (f"of shape {x[name]}" if name in x else "missing" for x in (own, others))
            break
    differing = sum(own.get(name) != others.get(name) for name in {*own, *others})
    raise ValueError(
        f"{path} is the checkpoint of another model: {name!r} is {there} in the file and {here} in the model "
        f"({differing} tensors differ in all). Make the model as it was trained, or give another path; the "
        "file stays as it is"
    )


# --- Device, precision, processes ---


def _join(device: str | torch.device | None) -> tuple[torch.device, int, int]:
    """Join the other processes, if torchrun started several: the device, the rank, and how many there are.

    They stay together until the script ends: trainings one after the other that each joined and left would
    wait for each other now and then.
    """
    place = torch.device(device) if device is not None else _best_device()
    joined = dist.is_available() and dist.is_initialized()
    if not joined and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return place, 0, 1
    if place.type == "cuda" and place.index is None:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if not joined:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
        atexit.register(_leave)
    return place, dist.get_rank(), dist.get_world_size()


def _leave() -> None:
    """Leave the other processes, at the end of the script."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _precision(name: str, place: torch.device) -> torch.dtype:
    """The dtype of the forward pass."""
    if name != "auto":
        if name not in PRECISIONS:
            raise ValueError(f"expected a precision of auto, {', '.join(PRECISIONS)}, got {name!r}")
        return PRECISIONS[name]
    if place.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if place.type == "cpu" and any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    ):
        return torch.bfloat16
    return torch.float32


def _parallel(model: nn.Module, run: _Run) -> nn.Module:
    """The model, or DistributedDataParallel around it."""
    if run.world == 1:
        return model
    return DistributedDataParallel(model, device_ids=[run.place] if run.place.type == "cuda" else None)


def _share(part: Any, run: _Run) -> tuple[Any, float]:
    """This process's examples of a batch, on its device, and their weight in the mean over all processes."""
    count = len(_first(part))
    if count < run.world:
        raise ValueError(
            f"expected batches of at least {run.world} examples, one for each process, got {count}; "
            "make the batches larger"
        )
    own = range(run.rank, count, run.world)

    def move(x: Tensor) -> Tensor:
        x = (x[run.rank :: run.world] if run.world > 1 else x).to(run.place, non_blocking=True)
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x

    return _each(part, move), len(own) * run.world / count


def _agree(value: float, spent: float, stopped: float, run: _Run) -> tuple[float, float, float]:
    """The mean loss, and whether any process is out of time or was stopped: the same answer in all."""
    if run.world == 1:
        return value, spent, stopped
    total = torch.tensor(value, dtype=torch.float64, device=run.place)
    flags = torch.tensor([spent, stopped], dtype=torch.float64, device=run.place)
    dist.all_reduce(total)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return float(total) / run.world, float(flags[0]), float(flags[1])


def _from_first(score: float, run: _Run) -> float:
    """The number that the first process has, in all of them."""
    if run.world == 1:
        return score
    box = torch.tensor(score, dtype=torch.float64, device=run.place)
    dist.broadcast(box, 0)
    return float(box)


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that no step is left half done; the second one interrupts."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _bar(run: _Run, first: int, progress: bool) -> Any:
    """A progress bar, in the first process alone, unless it is unwanted."""
    off = not progress or run.rank > 0 or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    return tqdm(total=run.steps, initial=first, disable=off, unit="step", desc="training")


def _figures(history: History) -> dict[str, str]:
    """What stands beside the progress bar."""
    last = {"loss": f"{history.losses[-1]:.3f}"}
    return last | ({"score": f"{history.scores[-1][1]:.3f}"} if history.scores else {})


# --- Nested batches, arguments ---


def _leaves(part: Any) -> Iterator[Any]:
    """The tensors in tuples, lists and dicts."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, (tuple, list)):
        for each in part:
            yield from _leaves(each)
    else:
        yield part


def _first(part: Any) -> Any:
    return next(_leaves(part))


def _each(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same form with every tensor changed."""
    if isinstance(part, dict):
        return {key: _each(value, change) for key, value in part.items()}
    if isinstance(part, (tuple, list)):
        return _like(part, [_each(value, change) for value in part])
    return change(part)


def _some(part: Any, chosen: Tensor, place: torch.device) -> Any:
    """The same form with these examples alone, on a device."""
    return _each(part, lambda x: x[chosen.to(x.device)].to(place))


def _joined(parts: list[Any]) -> Any:
    """Outputs of several batches put together along axis 0."""
    if isinstance(parts[0], dict):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    if isinstance(parts[0], (tuple, list)):
        return _like(parts[0], [_joined(list(each)) for each in zip(*parts, strict=True)])
    return torch.cat(parts)


def _like(form: Any, values: list[Any]) -> Any:
    """A list, tuple or named tuple of these values."""
    return type(form)(*values) if hasattr(form, "_fields") else type(form)(values)


def _shortened(steps: int) -> int:
    """The number of steps, cut to the fraction that SEGCORE_STEPS names."""
    text = os.environ.get("SEGCORE_STEPS", "1")
    try:
        part = float(text)
    except ValueError:
        part = math.nan
    if not 0 < part <= 1:
        raise ValueError(
            f"expected SEGCORE_STEPS to be a fraction above 0 and up to 1, such as 0.02, got {text!r}"
        )
    return max(1, round(steps * part))


def _check_arguments(
    model: nn.Module,
    steps: int,
    lr: float,
    seconds: float | None,
    validate_every: int | None,
    checkpoint_every: int | None,
) -> None:
    """Refuse what cannot be trained."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"expected model to be an nn.Module, got {type(model).__name__}; pass an instance, not a class"
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("the model has no parameter that requires a gradient, so there is nothing to train")
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise TypeError(f"expected steps to be an int, got {steps!r}")
    for name, value in {
        "steps": steps,
        "lr": lr,
        "seconds": seconds,
        "validate_every": validate_every,
        "checkpoint_every": checkpoint_every,
    }.items():
        if value is not None and not value > 0:
            raise ValueError(f"expected {name} above 0, got {value}")


def _check_loss(value: Any, inputs: Any, state: _State, run: _Run) -> None:
    """Stop where the loss is not a finite scalar, and say what to try."""
    if not (isinstance(value, Tensor) and value.numel() == 1):
        found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"expected the loss to be a scalar tensor, got {found}; take its mean")
    if math.isfinite(value.detach()):
        return
    rate = state.optimizer.param_groups[0].get("initial_lr", 0.0)
    if not all(bool(x.isfinite().all()) for x in _leaves(inputs) if x.is_floating_point()):
        cure = "the inputs of this batch hold NaN or infinity: look at how they are made"
    elif state.history.steps == 0:
        cure = "look whether every pixel of the batch is ignored, and at the loss for log(0) or 0/0"
    else:
        cure = (
            f"try a smaller lr (it is {rate:g}), precision='float32', and look whether every pixel of the "
            "batch is ignored"
        )
    raise FloatingPointError(f"the loss is {float(value.detach())} at step {state.history.steps}; {cure}")
