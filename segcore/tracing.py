r"""Follow any network, operation by operation: what it reads, what it gives, and how its windows lie.

:func:`trace` runs a copy of a module once, in eval mode, on a map without numbers (on the meta device), and
writes down every operation of torch that a map goes through, in all branches. Its record says for each what
units of the maps that come in a unit of the map that comes out looks at, in the words of `segcore.windows`,
which holds the rule for each operation.

>>> network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
>>> for each in trace(network, (3, 32, 32)).operations:
...     print(each.name, each.kind, each.output.shape, each.output.windows[0])
0 Conv2d (1, 8, 15, 15) Window(kernel=3, stride=2, padding=0, dilation=1, transposed=False)
1 ReLU (1, 8, 15, 15) Window(kernel=1, stride=1, padding=0, dilation=1, transposed=False)
2 AdaptiveAvgPool2d (1, 8, 1, 1) Whole(reason='sees the whole image', stride=None)

A module of ``torch.nn`` is one operation; other modules are looked into. Nothing outside the copy is touched,
so that networks can be traced, trained and run in several threads at once. `segcore.receptive_fields`
composes fields from the record, `segcore.dilation` finds strides in it. Left out: one- and three-dimensional
networks, and branches that depend on numbers in a map.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import weakref
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from segcore import inputs, windows
from segcore.windows import Grid, Layer, Map, Operation, Resize, Unknown, Whole, Window, among, replaced

__all__ = [
    "Layer",
    "Map",
    "Operation",
    "Resize",
    "Trace",
    "TracingError",
    "Unknown",
    "Whole",
    "Window",
    "checked_map",
    "exchanged",
    "least_size",
    "map_size",
    "sharing_copy",
    "trace",
    "weightless_copy",
]

TRACED_SIZE = 224  # pixels along each axis where no shape is given: at strides up to 32, no remainder


class TracingError(ValueError):
    """A network that cannot be followed; the message says where, why, and the way out.

    Attributes:
        name: Name of the operation, or of the submodule, where it ended.
        kind: What that is: ``"Conv2d"``, ``"reshape"``.
    """

    def __init__(self, message: str, name: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.name, self.kind = name, kind

    @classmethod
    def at(cls, name: str, kind: str, reason: object) -> TracingError:
        """The error for an operation that cannot be followed."""
        return cls(f"cannot follow the field through node {name!r} ({kind}): {reason}", name, kind)


@dataclass
class Trace:
    """What a network does to an image.

    Attributes:
        image: The map that goes in.
        operations: In the order in which they ran.
        outputs: The maps that the network returns, with their places as names: ``"output"``, or
            ``"output.aux"``; empty where the run ended before (see `ended`).
        ended: Whether an operation that came after everything was seen did not fit the traced size.
    """

    image: Map
    operations: list[Operation] = field(default_factory=list)
    outputs: dict[str, Map] = field(default_factory=dict)
    ended: bool = False

    @property
    def unknown(self) -> Operation | None:
        """The first operation of which it is not known how far it sees."""
        unknown = (each for each in self.operations if isinstance(each.output.windows[0], Unknown))
        return next(unknown, None)

    def known(self) -> Trace:
        """Itself, once it is known of every operation how far it sees; else raises `TracingError`."""
        if (unknown := self.unknown) is not None:
            raise TracingError.at(unknown.name, unknown.kind, unknown.output.windows[0][0])
        return self


def trace(
    network: nn.Module,
    input_shape: Sequence[int] | None = None,
    leaves: Mapping[str | type[nn.Module], Layer] | None = None,
) -> Trace:
    """Follow a network once, from the image to what it returns.

    Args:
        network: Any module on images. It stays as it is: a copy without weights is run. A ``DataParallel``
            or compiled one is followed as the module inside.
        input_shape: Shape ``(C, H, W)`` or ``(N, C, H, W)``; C of the first convolution and 224 × 224 if
            None. Then windows that follow the size of the image are `Whole`.
        leaves: Submodules, by name or by class, that are not looked into, and the window to take for them.

    Returns:
        The record. An operation whose window is not known is in it, as `Unknown`.

    Raises:
        TracingError: A branch that depends on numbers in a map, an operation that fails, a module that takes
            more than an image or cannot be copied, or that returns no map.
        ValueError: A shape of other than three or four numbers, or names in ``leaves`` that are none.
        TypeError: ``network`` is no module, or a window in ``leaves`` is no `Layer`.
    """
    inputs.instance(network, "network", nn.Module)
    leaves = {} if leaves is None else inputs.instance(leaves, "leaves", Mapping, "give {name: Layer(...)}")
    _check_leaves(network, leaves)
    module, originals = _followable(network, leaves)
    _check_arguments(module)
    shape = _traced_shape(module) if input_shape is None else image_shape(input_shape)
    root = nn.Sequential(module) if _is_torchs(module) or type(module) in leaves else module
    tracer = _Tracer(root.eval(), originals, leaves, input_shape is not None)
    image = torch.empty(1, *shape[-3:], dtype=example_parameter(module).dtype, device="meta")
    tracer.trace.image = Map(tuple(image.shape))
    with torch.no_grad(), _OnMeta():
        try:
            output = root(tracer.map(image, tracer.trace.image))
        except TracingError:
            raise
        except Exception as error:  # a forward may fail in any way without numbers
            if tracer.trace.ended:
                return tracer.trace
            raise tracer.stopped(error) from error
    tracer.trace.outputs.update(_ends(output, "output"))
    if any(each.stale for each in among(output, _Map)):
        raise TracingError(f"cannot follow the field to the output: {windows.PART}", "output")
    if not tracer.trace.outputs and not tracer.trace.ended:
        tracer.trace.known()
        raise TracingError("expected a module that returns a map computed from its first argument, got none")
    return tracer.trace


# --- Copies that can be run beside the network itself ---


def sharing_copy(network: nn.Module) -> Any:
    """A copy with the very same parameters and buffers: its modes and layers can change, the network's stay.

    Example:
        >>> layer = nn.Conv2d(1, 1, 3)
        >>> sharing_copy(layer).weight is layer.weight
        True
    """
    return copy.deepcopy(network, {id(value): value for value in _weights(network)})


def weightless_copy(network: nn.Module, memo: dict[int, Any] | None = None) -> Any:
    """A copy on the meta device, without numbers; shares nothing with the network.

    Example:
        >>> weightless_copy(nn.Conv2d(1, 1, 3))(torch.empty(1, 1, 9, 9, device="meta")).shape
        torch.Size([1, 1, 7, 7])
    """
    memo = {} if memo is None else memo
    memo.update({id(value): torch.empty_like(value, device="meta") for value in _weights(network)})
    with _OnMeta():
        return copy.deepcopy(network, memo)


def exchanged(network: nn.Module, found: Trace, layers: Mapping[Operation, nn.Module]) -> nn.Module:
    """A copy that shares parameters and buffers, in which other layers do some operations.

    Args:
        network: Stays as it is.
        found: Its trace.
        layers: The layer for each operation that changes.

    Returns:
        A module of the same class. But a ``torch.fx.GraphModule``, in the network's present mode, where a
        function, or a module that serves in several places, has to change.

    Raises:
        ValueError: torch.fx has to trace the network then, and cannot.
    """
    paths = {id(module): path for path, module in network.named_modules()}
    uses: dict[tuple[bool, str], list[Operation]] = {}  # of a module, by its path; of a function, by its name
    for each in found.operations:
        place = (False, each.kind) if each.module is None else (True, paths[id(each.module)])
        uses.setdefault(place, []).append(each)
    uses = {place: calls for place, calls in uses.items() if not layers.keys().isdisjoint(calls)}
    network = sharing_copy(network)
    own_layers = any(len(calls) > 1 or not is_module for (is_module, _), calls in uses.items())
    graph = _graph(network) if own_layers else None
    for (is_module, path), calls in uses.items():
        if is_module and calls[0] in layers:
            old = network.get_submodule(path)
            for name, each in list(network.named_modules(remove_duplicate=False)):
                if each is old:  # under all names that it has
                    parent, _, child = name.rpartition(".")
                    setattr(network.get_submodule(parent), child, layers[calls[0]])
    return network if graph is None else _unfolded(network, graph, uses, layers)


def _graph(network: nn.Module) -> fx.Graph:
    """The calls of a network as torch.fx finds them."""
    try:
        return fx.Tracer().trace(network)
    except Exception as error:  # a forward may fail in any way when it is traced
        raise ValueError(
            f"expected a network that torch.fx can trace, got {type(network).__name__}: {error}; give each "
            "place of a layer a layer of its own, and use layers in place of functional pools"
        ) from error


def _unfolded(
    network: nn.Module,
    graph: fx.Graph,
    uses: Mapping[tuple[bool, str], list[Operation]],
    layers: Mapping[Operation, nn.Module],
) -> nn.Module:
    """The network with layers of their own for functions that change and for further uses of a module."""
    seen = Counter[tuple[bool, str]]()
    for node in list(graph.nodes):
        is_module = node.op == "call_module"
        place = is_module, str(node.target) if is_module else getattr(node.target, "__name__", "")
        seen[place] += 1
        if place not in uses or (is_module and seen[place] == 1):
            continue
        operation = uses[place][seen[place] - 1]
        layer = layers.get(operation)
        if operation.module is not None:
            layer = layer or sharing_copy(operation.module)  # as it was: its first use may have changed
        elif layer is not None:
            node.op, node.args, node.kwargs = "call_module", node.args[:1], {}
        if layer is not None:
            node.target = f"{node.name}_of_its_own"
            setattr(network, node.target, layer)
    graph.lint()
    return fx.GraphModule(network, graph, type(network).__name__)


def example_parameter(module: nn.Module) -> Tensor:
    """A tensor of the module's dtype and device."""
    return next((each.detach() for each in module.parameters() if each.is_floating_point()), torch.zeros(1))


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as (C, H, W) or (N, C, H, W), each 1 or more."""
    given = inputs.several(shape, "input_shape", "(3, 224, 224)")
    numbers = tuple(inputs.whole(value, "input_shape") for value in given)
    if len(numbers) not in (3, 4):
        raise ValueError(
            f"expected input_shape as (C, H, W) or (N, C, H, W), got {numbers}; add the missing ones"
        )
    return numbers


def _weights(network: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(network.parameters(), network.buffers())


# --- Sizes, found by trying ---


def map_size(
    network: Callable[[Tensor], Any], image: Tensor, size: tuple[int, int]
) -> tuple[int, int] | None:
    """Height and width of the map that a network gives for an image of this size; None if it gives none.

    A module is run without numbers, any other function on zeros. The image says channels and dtype.

    Example:
        >>> map_size(nn.Conv2d(3, 8, 3, stride=2), torch.zeros(1, 3, 9, 9), (101, 201))
        (50, 100)
    """
    try:
        with torch.no_grad():
            if isinstance(network, nn.Module):
                empty = torch.empty(1, image.shape[1], *size, dtype=image.dtype, device="meta")
                output = weightless_copy(network)(empty)
            else:
                output = network(image.new_zeros(1, image.shape[1], *size))
    except Exception:  # whatever it is, the network itself will say it better
        return None
    is_map = isinstance(output, Tensor) and output.dim() == 4 and output.numel() > 0
    return (output.shape[2], output.shape[3]) if is_map else None


def checked_map(output: Any) -> Tensor:
    """What a network gave, once it is one map ``(N, C, h, w)``; else raises ValueError."""
    if isinstance(output, Tensor) and output.dim() == 4:
        return output
    got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(
        f"expected a network that gives one map (N, C, h, w), got {got}; pass its convolutional part, or "
        "write its fully connected layers as convolutions"
    )


def least_size(network: nn.Module, image: Tensor, most: int = 4096) -> tuple[int, int]:
    """The smallest image that a module takes, 0 along an axis where it cannot be told.

    Example:
        >>> least_size(nn.Conv2d(3, 8, (5, 3)), torch.zeros(1, 3, 2, 2))
        (5, 3)
    """

    def takes(height: int, width: int) -> bool:
        return map_size(network, image, (height, width)) is not None

    sizes = range(1, most)
    rows = 1 + bisect_left(sizes, True, key=lambda size: takes(size, most))
    columns = 1 + bisect_left(sizes, True, key=lambda size: takes(most, size))
    return rows % most, columns % most


_MAKERS = {
    getattr(torch, name)
    for name in (
        *("arange", "as_tensor", "asarray", "empty", "eye", "full", "linspace", "logspace", "ones", "rand"),
        *("randint", "randn", "randperm", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
    )
}


class _OnMeta(TorchFunctionMode):
    """What is made or copied in this thread goes to the meta device; other threads do not see it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.__deepcopy__:
            return torch.empty_like(args[0], device="meta")
        if func in _MAKERS and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _followable(network: nn.Module, leaves: Mapping[Any, Any]) -> tuple[nn.Module, dict[int, nn.Module]]:
    """A copy without weights, wrappers taken off; and the network's own module for each of the copy's."""
    memo: dict[int, Any] = {}
    for name, each in network.named_modules():
        is_leaf = name in leaves or type(each) in leaves
        if isinstance(each, torch.jit.ScriptModule):
            if not is_leaf and not any(name.startswith(f"{leaf}.") for leaf in leaves):
                raise TracingError(
                    f"expected a module that runs in Python, got {name or 'one'} compiled by torch.jit; pass "
                    "the module that it was compiled from, or name it in leaves",
                    name,
                    "ScriptModule",
                )
            memo[id(each)] = nn.Identity()
        if any(isinstance(value, nn.UninitializedParameter) for value in each._parameters.values()):
            raise TracingError(
                f"{name or 'the module'} has no weights yet; run it once on an image first", name
            )
    wrappers = [each for each in network.modules() if _inner(each) is not each]
    try:
        for each in reversed(wrappers):  # inner ones first
            memo[id(each)] = weightless_copy(_inner(each), memo)
        module = weightless_copy(network, memo)
    except Exception as error:
        raise TracingError(
            f"cannot copy {type(network).__name__}: {first_line(error)}; the network is run as a copy: keep "
            "what cannot be copied (locks, open files, generators) out of the module, or pass a part without"
        ) from error
    return module, {id(memo[id(each)]): _inner(each) for each in network.modules() if id(each) in memo}


def _inner(module: Any) -> nn.Module:
    """The module that a wrapper for several devices, or for a compiler, holds; others themselves."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _inner(module.module)
    return _inner(module._orig_mod) if hasattr(module, "_orig_mod") else module


def _traced_shape(module: nn.Module) -> tuple[int, ...]:
    """The shape to trace a module with: as many channels as its first convolution takes."""
    first = next((each for each in module.modules() if isinstance(each, nn.Conv2d)), None)
    return (3 if first is None else first.in_channels, TRACED_SIZE, TRACED_SIZE)


# --- The run: a map that writes down what becomes of it ---


class _Map(Tensor):
    """A map without numbers that knows its record, its value on the meta device, and who follows it.

    Any function of torch that is called with one comes to ``__torch_function__``.
    """

    map: Map
    value: Tensor
    tracer: _Tracer
    stale: bool  # whether a write into a part of it went unrecorded

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return among((args, kwargs), _Map)[0].tracer.call(func, None, args, kwargs)


class _Tracer:
    """Follows one run of a module.

    Attributes:
        trace: What it has written down.
        inside: Paths of the modules that are running; after an exception, the innermost is still there.
    """

    def __init__(
        self, root: nn.Module, originals: dict[int, nn.Module], leaves: Mapping[Any, Layer], sized: bool
    ) -> None:
        self.root, self.originals, self.leaves, self.sized = root, originals, leaves, sized
        self.trace, self.inside = Trace(Map(())), [""]
        self.paths = {id(module): path for path, module in root.named_modules()}
        self.used: dict[str, int] = {}
        self.storages: dict[int, tuple[Tensor, Grid, list[weakref.ref[_Map]]]] = {}
        for each in root.modules():
            each.forward = partial(self.module, each.forward, each)

    def map(self, value: Tensor, record: Map) -> _Map:
        """The map of a value."""
        new = value.as_subclass(_Map)
        new.map, new.value, new.tracer, new.stale = record, value, self, False
        # The first value in a storage keeps it, and so its address, alive.
        *_, sharing = self.storages.setdefault(_storage(value), (value, record.grid, []))
        sharing.append(weakref.ref(new))
        return new

    def module(self, run: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Run a module: torch's own and the caller's leaves as one operation, others step by step."""
        if not among((args, kwargs), _Map):
            return run(*args, **kwargs)
        if _is_torchs(module) or self._leaf(module) is not None:
            return self.call(run, module, args, kwargs)
        self.inside.append(self.paths[id(module)])
        result = run(*args, **kwargs)
        self.inside.pop()
        return result

    def call(self, function: Callable[..., Any], module: nn.Module | None, args: Any, kwargs: Any) -> Any:
        """Do an operation, and write down what its units see."""
        maps, tensors = (among((args, kwargs), kind) for kind in (_Map, Tensor))
        versions = [_version(each) for each in tensors]
        step = self._step(function, module, args, kwargs, maps)
        plain, named = replaced((args, kwargs), _Map, lambda each: each.value)
        leaf = self._leaf(module)
        try:
            result = function(*plain, **named) if leaf is None else _slid(leaf, maps[0].value)
        except Exception as error:  # shapes that do not fit, or anything else
            result = self._failed(step, module, error)
        values = among(result, Tensor)
        if step.kind == "setitem" and not step.lost:
            values = [plain[0]]
        if not values:
            return windows.marked(result)
        shapes = tuple(Map(tuple(each.shape)) for each in values)
        packed = not isinstance(result, Tensor) and step.kind != "setitem"
        step = replace(step, name=self._named(step.kind, module), outputs=shapes, packed=packed)
        written = [each for each, old in zip(tensors, versions, strict=True) if _version(each) != old]
        partly = any(each.stale for each in maps) or not all(isinstance(each, _Map) for each in written)
        step = replace(step, outputs=_seen(step, leaf, partly))
        self.trace.operations.append(step)
        made = [self._made(value, output, maps) for value, output in zip(values, step.outputs, strict=True)]
        if written:
            self._write(made[0], step, maps)
        following = iter(made)
        return replaced(result, Tensor, lambda _: next(following))

    def stopped(self, error: Exception) -> TracingError:
        """How far a run went that its own code ended, and the way out."""
        self.trace.known()  # what is not known comes first, and may be why
        where = self.inside[-1]
        kind = type(dict(self.root.named_modules()).get(where)).__name__
        latest = self.trace.operations[-1].name if self.trace.operations else "the image"
        size = f" Or does it want another input_shape than {TRACED_SIZE} × {TRACED_SIZE}?"
        return TracingError(
            f"cannot follow {f'submodule {where!r} ({kind})' if where else kind}, after node {latest!r}: "
            f"{first_line(error)}; branches and loops that depend on numbers in the map cannot be followed. "
            f"Say what the submodule's window is with leaves={{{where or 'name'!r}: Layer(...)}}, pass the "
            "part that makes the maps, such as network.backbone, or describe the network as a list of Layer."
            + ("" if self.sized else size),
            where,
            kind,
        )

    def _step(
        self, function: Callable[..., Any], module: nn.Module | None, args: Any, kwargs: Any, maps: list[_Map]
    ) -> Operation:
        """What is done, before it is known what comes out."""
        args, kwargs = replaced((args, kwargs), _Map, lambda each: each.map)
        before = tuple(each.map for each in maps)
        if module is None:
            return Operation("", _operation(function), None, function, args, kwargs, before, sized=self.sized)
        own = self.originals.get(id(module), module)
        return Operation("", _kind(module), own, None, args, kwargs, before, sized=self.sized)

    def _failed(self, step: Operation, module: nn.Module | None, error: Exception) -> Tensor:
        """What to take for the result of an operation that fails, if anything."""
        if step.kind in _ASKING:
            raise error
        if step.lost:
            # Past the end of the grid, shapes may fit one size of image only; nothing hangs on them.
            self.trace.ended = True
            return torch.empty(0, device="meta")
        reason = f"{first_line(error)}; is this the input_shape that the module wants?"
        if not windows.is_known(step.kind):
            reason = windows.how_far(step.kind)
        raise TracingError.at(self._named(step.kind, module), step.kind, reason) from error

    def _made(self, value: Tensor, output: Map, maps: list[_Map]) -> _Map:
        """The map of a result; the one that came in where the operation hands it on, or writes into it."""
        same = [each for each in maps if each.value is value]
        for each in same:
            each.map = output
        return same[0] if same else self.map(value, output)

    def _write(self, changed: _Map, step: Operation, maps: list[_Map]) -> None:
        """What is written into a map changes all maps that share its memory."""
        place = _storage(changed.value)
        if changed.map.windows == (Window(), Window()) and {_storage(each.value) for each in maps} == {place}:
            return  # relu_ and the like: what the units see stays
        base, grid, sharing = self.storages.get(place, (changed.value, None, []))
        for each in [known() for known in sharing]:
            if each is None or each is changed or all(each.map.whole):
                continue
            if not (_spans(changed, base, grid) and _spans(each, base, grid)):
                each.stale = True
                continue
            both = each.map, changed.map
            whole = each.map.whole[0] or changed.map.whole[0], each.map.whole[1] or changed.map.whole[1]
            each.map = Map(each.map.shape, each.map.grid, whole=whole)
            name = f"{step.name}.view"
            view = Operation(name, step.kind, None, step.function, both, {}, both, (each.map,))
            self.trace.operations.append(view)

    def _leaf(self, module: nn.Module | None) -> Layer | None:
        """The window that the caller gives for a submodule."""
        if module is None:
            return None
        return self.leaves.get(self.paths[id(module)], self.leaves.get(type(module)))

    def _named(self, kind: str, module: nn.Module | None) -> str:
        """A name for a step, as ``create_feature_extractor`` of torchvision gives them."""
        inside = filter(None, (self.inside[-1], kind))
        own = ".".join(inside) if module is None else self.paths[id(module)]
        count = self.used[own] = self.used.get(own, -1) + 1
        return f"{own}_{count}" if count else own


def _slid(leaf: Layer, value: Tensor) -> Tensor:
    """The map that a leaf's window makes, with as many channels."""
    slide = nn.functional.conv_transpose2d if leaf.transposed else nn.functional.conv2d
    kernel, stride, padding, dilation = map(
        windows.both, (leaf.kernel, leaf.stride, leaf.padding, leaf.dilation)
    )
    channels = value.shape[-3]
    weight = value.new_empty(channels, 1, *kernel)
    return slide(value, weight, None, stride, padding, groups=channels, dilation=dilation)


def _seen(step: Operation, leaf: Layer | None, partly: bool) -> tuple[Map, ...]:
    """The maps that an operation gives, with what their units see."""
    try:
        if partly:
            raise windows.Unfollowed(windows.PART)
        sights = windows.sights(step, leaf)
    except Exception as error:  # whatever a rule stumbles over
        unknown = Unknown(first_line(error))
        sights = [(unknown, unknown, None)] * len(step.outputs)
    outputs = []
    for output, (y, x, grid) in zip(step.outputs, sights, strict=True):
        down, across = (
            isinstance(seen, Whole | Unknown) or any(each.whole[axis] for each in step.inputs)
            for axis, seen in enumerate((y, x))
        )
        outputs.append(Map(output.shape, grid, (y, x), (down, across)))
    return tuple(outputs)


# What asks a map for its numbers: a branch or a loop that depends on them.
_ASKING = {"bool", "int", "float", "index", "item", "tolist", "numpy", "array", "contains", "len"}


def _operation(function: Callable[..., Any]) -> str:
    """What a function does, in a word: add, relu, flatten."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":  # such as x.mT
        name = function.__self__.__name__  # type: ignore[attr-defined]
    return name.strip("_")


def _is_torchs(module: nn.Module) -> bool:
    """Whether a module is a single operation of torch."""
    return type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential)


def _kind(module: nn.Module) -> str:
    """The nearest class of a module that the rules know."""
    classes = [each.__name__ for each in type(module).__mro__]
    return next((name for name in classes if name in windows.RULES), classes[0])


def _storage(value: Tensor) -> int:
    return value.untyped_storage()._cdata


def _version(value: Tensor) -> int:
    """How often a tensor, or one that shares its memory, was written into."""
    return (value.value if isinstance(value, _Map) else value)._version


def _spans(part: _Map, base: Tensor, grid: Grid) -> bool:
    """Whether a map has all rows and columns of the one whose memory it shares, each in its place."""
    if grid is None or part.map.grid is None:
        return False
    value, rest = part.value, int(part.value.storage_offset() - base.storage_offset())
    for axis in sorted(range(-base.dim(), 0), key=base.stride, reverse=True):
        start, rest = divmod(rest, base.stride(axis)) if base.shape[axis] > 1 else (0, rest)
        if axis in grid:
            own = part.map.grid[grid.index(axis)]
            if start or value.shape[own] != base.shape[axis] or value.stride(own) != base.stride(axis):
                return False
    return True


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _ends(output: Any, name: str) -> Iterator[tuple[str, Map]]:
    """The maps in a module's output, with their places as names."""
    if isinstance(output, _Map):
        yield name, output.map
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _ends(value, f"{name}.{key}")
    elif isinstance(output, tuple | list):
        for index, value in enumerate(output):
            yield from _ends(value, f"{name}.{index}")


# --- What comes in ---


def _check_leaves(module: nn.Module, leaves: Mapping[Any, Layer]) -> None:
    """Refuse windows that are none, or for no submodule."""
    for key, layer in leaves.items():
        if not isinstance(layer, Layer):
            raise TypeError(
                f"expected leaves[{key!r}] as a Layer, got {layer!r}; Layer(1) looks at one place"
            )
        if isinstance(key, str) and key not in dict(module.named_modules()):
            raise ValueError(f"expected leaves to name submodules, got {key!r}; named_modules() lists them")


def _check_arguments(module: nn.Module) -> None:
    """Refuse a module that takes more than an image."""
    takes = inspect.signature(module.forward).parameters.values()
    needed = [each.name for each in takes if each.default is each.empty and each.kind < each.VAR_POSITIONAL]
    if len(needed) > 1:
        cure = "give it a default, or wrap the module in one that takes the image alone"
        raise TracingError(f"expected a module of one argument, but it needs {needed[1]!r}; {cure}")
