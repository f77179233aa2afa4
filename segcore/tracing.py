r"""Follow any network, operation by operation: what it reads, what it gives, and how its windows lie.

:func:`trace` runs a copy of a module once, in eval mode, on a map without numbers (on the meta device), and
writes down every operation of torch that a map goes through, in all branches. Its record says for each what
units of the maps that come in a unit of the map that comes out looks at, along y and along x:

========== =====================================================================================
`Window`   the taps of a convolution or a pooling, of a transposed one, of padding and cropping;
           ``Window()``, one tap, is what looks at one place only
`Resize`   the taps of an interpolation, or of adaptive pooling
`Whole`    the whole image: global pooling, attention, statistics over the map
`Unknown`  not known, with the reason
========== =====================================================================================

>>> network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
>>> for each in trace(network, (3, 32, 32)).operations:
...     print(each.name, each.kind, each.output.shape, each.output.windows[0])
0 Conv2d (1, 8, 15, 15) Window(kernel=3, stride=2, padding=0, dilation=1, transposed=False)
1 ReLU (1, 8, 15, 15) Window(kernel=1, stride=1, padding=0, dilation=1, transposed=False)
2 AdaptiveAvgPool2d (1, 8, 1, 1) Whole(reason='sees the whole image', stride=None)

A module of ``torch.nn`` is one operation; other modules are looked into. Rows and columns need not be the
last two axes: what moves axes about is run once more on each cell's row and column number, which say what
went where. Nothing outside the copy is touched, so that networks can be traced, trained and run in several
threads at once. `segcore.receptive_fields` composes fields from the record, `segcore.dilation` finds
strides in it. Left out: one- and three-dimensional networks, and branches that depend on numbers in a map.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segcore import inputs

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
    "sharing_copy",
    "trace",
    "weightless_copy",
]

Pair = int | tuple[int, int]
Grid = tuple[int, int] | None
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


# --- The record ---


@dataclass(frozen=True)
class Layer:
    """A layer as its window: a convolution, a pooling, or (transposed) an up-sampling.

    Args:
        kernel: Window size, a number or (y, x).
        stride: Step between neighbouring windows; of the result's units, if transposed.
        padding: Zeros put before the first pixel; removed from the result, if transposed.
        dilation: Step between neighbouring taps of the window.
        transposed: Whether the layer is a transposed convolution.

    Raises:
        ValueError: Kernel, stride or dilation below 1, negative padding, or not one number or two.
        TypeError: Not whole numbers.

    Example:
        >>> Layer(3, dilation=2), Layer((1, 7), padding=(0, 3))  # doctest: +NORMALIZE_WHITESPACE
        (Layer(kernel=3, stride=1, padding=0, dilation=2, transposed=False),
         Layer(kernel=(1, 7), stride=1, padding=(0, 3), dilation=1, transposed=False))
    """

    kernel: Pair
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    transposed: bool = False

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("dilation", 1), ("padding", 0)):
            inputs.pair(getattr(self, name), name, least)

    @property
    def windows(self) -> tuple[Window, Window]:
        """Its windows along y and x."""
        numbers = zip(*map(_both, (self.kernel, self.stride, self.padding, self.dilation)), strict=True)
        y, x = (Window(k, s, p, d, self.transposed) for k, s, p, d in numbers)
        return y, x


class Window(NamedTuple):
    """Unit u takes the units -padding + u * stride + 0, dilation, ..., (kernel - 1) * dilation.

    Transposed, unit i of the input is painted into the units -padding + i * stride + 0, dilation, ... of the
    result. A crop has a negative padding. All along one axis.
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False


class Resize(NamedTuple):
    """Unit u takes the units around u * ratio, along one axis.

    Attributes:
        ratio: Input size over output size.
        mode: As of ``F.interpolate``; ``"area"`` is adaptive pooling too.
        align_corners: As of ``F.interpolate``.
    """

    ratio: Fraction
    mode: str
    align_corners: bool = False


class Whole(NamedTuple):
    """Each unit sees the whole image along one axis.

    Attributes:
        reason: Why.
        stride: Units of the input from one unit to the next; None where there is no next one.
    """

    reason: str
    stride: Fraction | None = None


class Unknown(NamedTuple):
    """How far a unit sees is not known, for this reason."""

    reason: str


Seen = Window | Resize | Whole | Unknown


@dataclass(frozen=True, eq=False)
class Map:
    """A map on its way through a network: the image, or what an operation gave.

    Attributes:
        shape: Its shape, for one image of the traced size.
        grid: Which axes are rows and columns, counted from the end; None where they are gone.
        windows: How its units look at the maps that the operation read, along y and x.
        whole: Whether something before saw the whole image, or is not known, along y and x.
    """

    shape: tuple[int, ...]
    grid: Grid = (-2, -1)
    windows: tuple[Seen, Seen] = (Window(), Window())
    whole: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation that gave a map, or several.

    Attributes:
        name: As ``create_feature_extractor`` of torchvision gives it: ``"layer1.0.add"``.
        kind: The class of the module or the name of the function: ``"Conv2d"``, ``"add"``.
        module: The network's own module, or None for a function.
        function: What was called, or None for a module.
        args: Its arguments by place, each map as its `Map`.
        kwargs: Its arguments by name, likewise.
        inputs: All maps among the arguments.
        outputs: The maps that came out.
        packed: Whether they came out in a tuple or the like.
    """

    name: str
    kind: str
    module: nn.Module | None
    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Map, ...]
    outputs: tuple[Map, ...]
    packed: bool = False

    @property
    def output(self) -> Map:
        """The first map that came out."""
        return self.outputs[0]


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
        if self.unknown is not None:
            raise _not_known(self.unknown)
        return self


def _not_known(operation: Operation) -> TracingError:
    """The error for an operation of which it is not known how far it sees."""
    name, kind, reason = operation.name, operation.kind, operation.output.windows[0][0]
    return TracingError(f"cannot follow the field through node {name!r} ({kind}): {reason}", name, kind)


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
    leaves = leaves or {}
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
            if not tracer.trace.ended:
                raise tracer.stopped(error) from error
            return tracer.trace
    tracer.trace.outputs.update(_ends(output, "output"))
    if any(each.stale for each in _found(output, _Map)):
        raise TracingError(f"cannot follow the field to the output: {_PART}", "output")
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


def example_parameter(module: nn.Module) -> Tensor:
    """A tensor of the module's dtype and device."""
    return next((each.detach() for each in module.parameters() if each.is_floating_point()), torch.zeros(1))


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as (C, H, W) or (N, C, H, W), each 1 or more."""
    numbers = tuple(inputs.whole(value, "input_shape") for value in shape)
    if len(numbers) not in (3, 4):
        raise ValueError(
            f"expected input_shape as (C, H, W) or (N, C, H, W), got {numbers}; add the missing ones"
        )
    return numbers


def _weights(network: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(network.parameters(), network.buffers())


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
        return _found((args, kwargs), _Map)[0].tracer.call(func, None, args, kwargs)


class _Side(int):
    """A whole number that was computed from the size of a map."""


def _side(value: Any) -> Any:
    """The same, marked."""
    if isinstance(value, torch.Size):
        return torch.Size([_Side(each) for each in value])
    return _Side(value) if type(value) is int else value


def _marking(name: str) -> Callable[[int, Any], Any]:
    return lambda side, other: _side(getattr(int, name)(side, other))


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "mod"):
    setattr(_Side, f"__{_name}__", _marking(f"__{_name}__"))


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
        found = value.as_subclass(_Map)
        found.map, found.value, found.tracer, found.stale = record, value, self, False
        # The first value in a storage keeps it, and so its address, alive.
        *_, sharing = self.storages.setdefault(_storage(value), (value, record.grid, []))
        sharing.append(weakref.ref(found))
        return found

    def module(self, run: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Run a module: torch's own and the caller's leaves as one operation, others step by step."""
        if not _found((args, kwargs), _Map):
            return run(*args, **kwargs)
        if _is_torchs(module) or self._leaf(module) is not None:
            return self.call(run, module, args, kwargs)
        self.inside.append(self._path(module))
        result = run(*args, **kwargs)
        self.inside.pop()
        return result

    def call(self, function: Callable[..., Any], module: nn.Module | None, args: Any, kwargs: Any) -> Any:
        """Do an operation, and write down what its units see."""
        kind = _operation(function) if module is None else _kind(module)
        maps = _found((args, kwargs), _Map)
        call = _Call(kind, module, function, args, kwargs, maps, self.sized)
        versions = call.versions()
        result = self._run(call)
        written = [each for each, old in zip(call.tensors(), versions, strict=True) if _version(each) != old]
        values = _found(result, Tensor)
        if kind == "setitem" and not call.lost:
            values = [args[0].value if isinstance(args[0], _Map) else args[0]]
        if not values:
            return _side(result)
        call = replace(call, result=result)
        packed = not isinstance(result, Tensor) and kind != "setitem"
        done = self._note(call, self._outputs(call, len(values), written), packed)
        made = [self._made(value, output, maps) for value, output in zip(values, done.outputs, strict=True)]
        if written:
            self._write(made[0], done, call)
        following = iter(made)
        return _replaced(result, Tensor, lambda _: next(following))

    def stopped(self, error: Exception) -> TracingError:
        """How far a run went that its own code ended, and the way out."""
        if (unknown := self.trace.unknown) is not None:
            return _not_known(unknown)
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

    def _run(self, call: _Call) -> Any:
        """What an operation gives, on meta."""
        leaf = self._leaf(call.module)
        try:
            return call.run(lambda each: each.value) if leaf is None else _slid(leaf, call.maps[0].value)
        except Exception as error:  # shapes that do not fit, or anything else
            if call.kind in _ASKING:
                raise
            if call.lost:
                # Past the end of the grid, shapes may fit one size of image only; nothing hangs on them.
                self.trace.ended = True
                return torch.empty(0, device="meta")
            reason = f"{first_line(error)}; is this the input_shape that the module wants?"
            if not _is_known(call.kind):
                reason = _how_far(call.kind)
            name = self._named(call.kind, call.module)
            raise TracingError(_through_node(name, call.kind, reason), name, call.kind) from error

    def _outputs(self, call: _Call, count: int, written: list[Tensor]) -> tuple[Map, ...]:
        """The records of the maps that came out."""
        try:
            if any(each.stale for each in call.maps) or not all(isinstance(each, _Map) for each in written):
                raise _Unfollowed(_PART)
            sights = self._sights(call)
        except Exception as error:  # whatever a rule stumbles over
            sights = (Unknown(first_line(error)),) * 2 + (None,)
        several = sights if isinstance(sights, list) else [sights] * count
        values = _found(call.result, Tensor) or [call.maps[0].value]
        outputs = []
        for value, (y, x, grid) in zip(values, several, strict=True):
            whole = [
                isinstance(seen, Whole | Unknown) or any(each.map.whole[axis] for each in call.maps)
                for axis, seen in enumerate((y, x))
            ]
            outputs.append(Map(tuple(value.shape), grid, (y, x), (whole[0], whole[1])))
        return tuple(outputs)

    def _sights(self, call: _Call) -> Sight | list[Sight]:
        """What the rule for an operation says, or the caller's window."""
        leaf = self._leaf(call.module)
        if leaf is not None:
            return *leaf.windows, call.image()
        unknown = call.kind not in _RULES or not any(each.map.grid for each in call.maps)
        if unknown and call.lost:
            return Whole(_WHOLE, Fraction(1)), Whole(_WHOLE, Fraction(1)), None
        return _rule(call.kind)(call)

    def _note(self, call: _Call, outputs: tuple[Map, ...], packed: bool) -> Operation:
        """Write an operation down."""
        args, kwargs = _replaced((call.args, call.kwargs), _Map, lambda each: each.map)
        module = None if call.module is None else self.originals.get(id(call.module), call.module)
        function = call.function if module is None else None
        before = tuple(each.map for each in call.maps)
        name = self._named(call.kind, call.module)
        done = Operation(name, call.kind, module, function, args, kwargs, before, outputs, packed)
        self.trace.operations.append(done)
        return done

    def _made(self, value: Tensor, output: Map, maps: list[_Map]) -> _Map:
        """The map of a result; the one that came in where the operation hands it on, or writes into it."""
        same = [each for each in maps if each.value is value]
        for each in same:
            each.map = output
        return same[0] if same else self.map(value, output)

    def _write(self, changed: _Map, done: Operation, call: _Call) -> None:
        """What is written into a map changes all maps that share its memory."""
        place = _storage(changed.value)
        alone = all(_storage(each.value) == place for each in call.maps)
        if alone and changed.map.windows == (Window(), Window()):
            return  # relu_ and the like: what the units see stays
        base, grid, sharing = self.storages.get(place, (changed.value, None, []))
        for each in [found() for found in sharing]:
            if each is None or each is changed or all(each.map.whole):
                continue
            if not (_spans(changed, base, grid) and _spans(each, base, grid)):
                each.stale = True
                continue
            both = each.map, changed.map
            whole = tuple(any(one.whole[axis] for one in both) for axis in (0, 1))
            each.map = Map(each.map.shape, each.map.grid, whole=(whole[0], whole[1]))
            name = f"{done.name}.view"
            self.trace.operations.append(
                Operation(name, done.kind, None, done.function, both, {}, both, (each.map,))
            )

    def _leaf(self, module: nn.Module | None) -> Layer | None:
        """The window that the caller gives for a submodule."""
        return None if module is None else self.leaves.get(self._path(module), self.leaves.get(type(module)))

    def _path(self, module: nn.Module) -> str:
        return self.paths[id(module)]

    def _named(self, operation: str, module: nn.Module | None) -> str:
        """A name for a step, as ``create_feature_extractor`` of torchvision gives them."""
        name = ".".join(filter(None, (self.inside[-1], operation))) if module is None else self._path(module)
        count = self.used[name] = self.used.get(name, -1) + 1
        return f"{name}_{count}" if count else name


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
    return next((name for name in classes if name in _RULES), classes[0])


def _storage(value: Tensor) -> int:
    return value.untyped_storage()._cdata


def _version(value: Tensor) -> int:
    """How often a tensor, or one that shares its memory, was written into."""
    return (value.value if isinstance(value, _Map) else value)._version


def _spans(found: _Map, base: Tensor, grid: Grid) -> bool:
    """Whether a map has all rows and columns of the one whose memory it shares, each in its place."""
    if grid is None or found.map.grid is None:
        return False
    value, rest = found.value, int(found.value.storage_offset() - base.storage_offset())
    for axis in sorted(range(-base.dim(), 0), key=base.stride, reverse=True):
        start, rest = divmod(rest, base.stride(axis)) if base.shape[axis] > 1 else (0, rest)
        if axis in grid:
            own = found.map.grid[grid.index(axis)]
            if start or value.shape[own] != base.shape[axis] or value.stride(own) != base.stride(axis):
                return False
    return True


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _found(values: Any, kind: type) -> list[Any]:
    """All of a kind in nested arguments."""
    if isinstance(values, kind):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    nested = isinstance(values, tuple | list)
    return [each for value in values for each in _found(value, kind)] if nested else []


def _replaced(values: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Nested arguments with all of a kind replaced."""
    if isinstance(values, kind):
        return change(values)
    if isinstance(values, Mapping):
        return {key: _replaced(value, kind, change) for key, value in values.items()}
    if isinstance(values, tuple | list) and _found(values, kind):
        changed = [_replaced(value, kind, change) for value in values]
        return getattr(values, "_make", type(values))(changed)
    return values


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


# --- What an operation does to a map: one rule for each family ---


class _Unfollowed(Exception):
    """Why what an operation sees is not known."""


Sight = tuple[
    Seen, Seen, Grid
]  # what the units of a result see along y and x; where its rows and columns are
_WHOLE = "sees the whole image"
_ENDED = "ends the grid of rows and columns"
_FOLLOWS = "has windows that follow the size of the image (give input_shape for those of one size)"
_PART = "it writes into a part of a map; join the parts with torch.cat instead"


@dataclass(frozen=True)
class _Call:
    """An operation at work: its arguments, the maps among them, and what came out, on meta."""

    kind: str
    module: nn.Module | None
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    maps: list[_Map]
    sized: bool  # whether the image's size is the caller's
    result: Any = None

    @property
    def lost(self) -> bool:
        """Whether all maps that come in see the whole image, or are not known, along both axes."""
        return all(all(each.map.whole) for each in self.maps)

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the function, or the attribute of the module."""
        if self.module is not None:
            return getattr(self.module, name, default)
        return self.kwargs.get(name, self.args[position] if len(self.args) > position else default)

    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments."""
        return _found((self.args, self.kwargs), Tensor)

    def versions(self) -> list[int]:
        return [_version(each) for each in self.tensors()]

    def run(self, change: Callable[[_Map], Any]) -> Any:
        """The operation itself, with maps replaced."""
        args, kwargs = _replaced((self.args, self.kwargs), _Map, change)
        return self.function(*args, **kwargs)

    def grid(self) -> Grid:
        """The rows and columns that all maps which come in share."""
        grids = {each.map.grid for each in self.maps} - {None}
        whole = all(any(each.map.whole[axis] for each in self.maps) for axis in (0, 1))
        if len(grids) > 1 and not whole:
            raise _Unfollowed(
                "maps meet whose rows and columns are different axes; permute one of them first"
            )
        return next((each.map.grid for each in self.maps if each.map.grid), None)

    def image(self) -> Grid:
        """The same, for operations that take the last two axes for rows and columns."""
        if self.grid() != (-2, -1) and not self.lost:
            raise _Unfollowed("its rows and columns are not the last two axes; permute them there first")
        return -2, -1


def _slid(leaf: Layer, value: Tensor) -> Tensor:
    """The map that a leaf's window makes, with as many channels."""
    slide = nn.functional.conv_transpose2d if leaf.transposed else nn.functional.conv2d
    numbers = (leaf.kernel, leaf.stride, leaf.padding, leaf.dilation)
    channels, (kernel, stride, padding, dilation) = value.shape[-3], map(_both, numbers)
    weight = value.new_empty(channels, 1, *kernel)
    return slide(value, weight, None, stride, padding, groups=channels, dilation=dilation)


def _windowed(call: _Call) -> Sight:
    """Convolutions and poolings. Groups do not matter: they say which channels a window reads, not where."""
    grid, name = call.image(), call.kind.lower()
    if name.startswith("conv"):
        weight = call.argument(1, "weight")
        kernel = (weight.value if isinstance(weight, _Map) else weight).shape[-2:]
        places = (3, 4, 7 if "transpose" in name else 5)
    else:
        first = 2 if call.kind in ("lp_pool2d", "max_unpool2d") else 1
        kernel = _both(call.argument(first, "kernel_size"))
        places = (first + 1, first + 2, first + 3)
    if any(isinstance(side, _Side) for side in kernel):  # such as avg_pool2d(x, x.shape[2:])
        return Whole(_WHOLE), Whole(_WHOLE), grid
    plain = any(kind in name for kind in ("lp", "avg", "unpool"))  # what stands there is no dilation
    stride = call.argument(places[0], "stride") or (1 if name.startswith("conv") else kernel)
    padding = 0 if name.startswith("lp") else call.argument(places[1], "padding", 0)
    dilation = 1 if plain else call.argument(places[2], "dilation", 1)
    if isinstance(padding, str):
        spans = [d * (k - 1) for k, d in zip(kernel, _both(dilation), strict=True)]
        padding = tuple(span // 2 for span in spans) if padding == "same" else 0
    numbers = zip(tuple(kernel), *map(_both, (stride, padding, dilation)), strict=True)
    transposed = "transpose" in name or "unpool" in name
    y, x = (Window(k, s, p, d, transposed) for k, s, p, d in numbers)
    return y, x, grid


def _adaptive(call: _Call) -> Sight:
    """Adaptive pooling: global where it leaves one unit."""
    grid, out = call.image(), _found(call.result, Tensor)[0]
    seen: list[Seen] = []
    for size, count in zip(call.maps[0].value.shape[-2:], out.shape[-2:], strict=True):
        ratio = Fraction(size, count)
        if count == 1:
            seen.append(Whole(_WHOLE))
        else:
            seen.append(Resize(ratio, "area") if call.sized else Whole(_FOLLOWS, ratio))
    return seen[0], seen[1], grid


def _shuffled(call: _Call) -> Sight:
    """Depth to space and back."""
    down = "un" in call.kind.lower()
    factor = call.argument(1, "downscale_factor" if down else "upscale_factor")
    window = Window(factor, factor, transposed=not down)
    return window, window, call.image()


def _interpolated(call: _Call) -> Sight:
    """Interpolation by a factor, to the size of another map, or to a size of its own."""
    grid = call.image()
    mode, corners = call.argument(3, "mode", "nearest"), bool(call.argument(4, "align_corners"))
    if call.argument(6, "antialias", False):
        raise _Unfollowed("an interpolation against aliasing has no fixed window; set antialias=False")
    sizes, scales = (_both(call.argument(*each)) for each in ((1, "size"), (2, "scale_factor")))
    seen: list[Seen] = []
    for axis in (0, 1):
        ratio = Fraction(call.maps[0].value.shape[axis - 2], call.result.shape[axis - 2])
        if scales[axis] is not None:
            ratio = 1 / Fraction(scales[axis]).limit_denominator(1000)
        elif not call.sized and not isinstance(sizes[axis], _Side):
            seen.append(Whole(_FOLLOWS, ratio))
            continue
        seen.append(Resize(ratio, mode, corners))
    return seen[0], seen[1], grid


def _padded(call: _Call) -> Sight:
    """Padding before and after: the units move along."""
    grid, pads = call.grid(), call.argument(1, "padding" if call.module else "pad")
    y, x = (
        Window(padding=pads[2 * (-axis - 1)] if 2 * -axis <= len(pads) else 0) for axis in grid or (-2, -1)
    )
    return y, x, grid


def _pointwise(call: _Call) -> Sight:
    """What looks at one place only."""
    return Window(), Window(), call.grid()


def _moved(call: _Call) -> Sight | list[Sight]:
    """What moves numbers about: run on each cell's row and column number, it says what went where."""
    rows, columns = (_as_tuple(call.run(partial(_numbered, axis=axis))) for axis in (0, 1))
    found = _located(call, rows, columns, _ENDED)
    return found[0] if isinstance(call.result, Tensor) else found


def _written(call: _Call) -> Sight:
    """A write into a part: of the channels, or under a mask."""
    target, index, value = call.args
    if isinstance(target, _Map) and isinstance(index, _Map) and not isinstance(value, _Map):
        if index.value.dim() == target.value.dim():
            return _pointwise(call)
    elif isinstance(target, _Map) and not _found(index, Tensor):
        parts = [_numbered(target, axis)[index] for axis in (0, 1)]
        (y, x, grid), *_ = _located(replace(call, maps=[target]), (parts[0],), (parts[1],), _PART)
        sizes = grid and [parts[0].shape[axis] for axis in grid]
        whole = target.map.grid and [target.value.shape[axis] for axis in target.map.grid]
        fits = not isinstance(value, _Map) or value.map.grid == grid
        if fits and sizes and (y, x, sizes) == (Window(), Window(), whole):
            return Window(), Window(), target.map.grid
    raise _Unfollowed(_PART)


def _reduced(call: _Call) -> Sight | list[Sight]:
    """A mean, a sum, a maximum: along some axes, or of two maps."""
    if len(call.maps) > 1:
        return _pointwise(call)
    place = 2 if call.kind == "norm" else 1
    dim, keep = call.argument(place, "dim"), call.argument(place + 1, "keepdim", False)
    dims = tuple(range(call.maps[0].value.dim())) if dim is None or isinstance(dim, bool) else dim
    count = len(_found(call.result, Tensor))  # values, or values and indices
    rows, columns = ((_numbered(call.maps[0], axis).amax(dims, keepdim=keep),) * count for axis in (0, 1))
    found = _located(call, rows, columns, _WHOLE)
    return found[0] if isinstance(call.result, Tensor) else found


def _mixed(call: _Call) -> Sight:
    """What mixes one or more axes, and is pointwise along the others."""
    grid, shape = call.grid(), call.argument(1, "normalized_shape")
    name, rank = call.kind.lower(), call.maps[0].value.dim()
    if "norm" in name and "layer" in name:
        mixed = range(-len(shape), 0)
    elif name == "linear":
        mixed = range(-1, 0)
    else:
        dim = call.argument(2 if name == "normalize" else 1, "dim")
        dim = 1 if dim is None else dim
        mixed = range((dim % rank) - rank, (dim % rank) - rank + 1)
    y, x = (Whole(_WHOLE, Fraction(1)) if axis in mixed else Window() for axis in grid or (0, 0))
    return y, x, grid


def _normalised(call: _Call) -> Sight:
    """Statistics over the whole map, unless they are kept ones."""
    if getattr(call.module, "track_running_stats", False):
        return _pointwise(call)
    seen = Whole("takes its statistics over the whole image", Fraction(1))
    return seen, seen, call.grid()


def _multiplied(call: _Call) -> Sight:
    """Matrix products: with weights along the channels they are 1×1 convolutions."""
    contracted = -1 if isinstance(call.args[0], _Map) else -2
    if len(call.maps) > 1 or call.kind == "einsum" or contracted in (call.maps[0].map.grid or ()):
        return _attended(call)
    return Window(), Window(), call.maps[0].map.grid


def _attended(call: _Call) -> Sight:
    """Attention: any place may look at any other."""
    seen = Whole("attends to the whole image")
    return seen, seen, None


_NAMES: dict[Callable[[_Call], Any], str] = {
    _windowed: """Conv2d MaxPool2d AvgPool2d LPPool2d ConvTranspose2d MaxUnpool2d conv2d max_pool2d lp_pool2d
        max_pool2d_with_indices avg_pool2d conv_transpose2d max_unpool2d""",
    _adaptive: """AdaptiveAvgPool2d AdaptiveMaxPool2d adaptive_avg_pool2d adaptive_max_pool2d
        adaptive_max_pool2d_with_indices""",
    _shuffled: "PixelShuffle PixelUnshuffle pixel_shuffle pixel_unshuffle",
    _interpolated: "Upsample interpolate upsample",
    _padded: "pad ZeroPad2d ConstantPad2d ReflectionPad2d ReplicationPad2d CircularPad2d",
    _pointwise: """add sub mul div truediv true_divide floordiv floor_divide mod remainder fmod pow rsub neg
        abs absolute sign sqrt rsqrt square exp expm1 log log1p log2 sin cos tan tanh sigmoid logit erf
        reciprocal clamp clip clamp_min clamp_max maximum minimum round floor ceil trunc frac where lerp
        addcmul addcdiv new_zeros new_ones new_full gt ge lt le eq ne logical_and logical_or logical_not and
        or xor invert pos isnan isfinite nan_to_num masked_fill zeros_like ones_like full_like iadd isub
        imul itruediv copy zero fill relu relu6 elu celu selu leaky_relu rrelu prelu gelu silu mish softplus
        softshrink softsign tanhshrink hardshrink hardtanh hardsigmoid hardswish logsigmoid threshold dropout
        dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout stochastic_depth drop_block2d
        batch_norm local_response_norm to float double half bfloat16 type type_as contiguous clone detach
        Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout LocalResponseNorm
        CrossMapLRN2d Softmax2d ReLU ReLU6 RReLU ELU CELU SELU LeakyReLU PReLU GELU SiLU Mish Softplus
        Softshrink Softsign Tanh Tanhshrink Sigmoid Hardshrink Hardtanh Hardsigmoid Hardswish LogSigmoid
        Threshold""",
    _moved: """reshape view flatten unflatten permute transpose movedim moveaxis swapaxes swapdims t unsqueeze
        squeeze expand expand_as repeat getitem select narrow chunk split tensor_split unbind cat
        concat concatenate stack roll flip channel_shuffle native_channel_shuffle reshape_as
        view_as mT T Flatten Unflatten ChannelShuffle""",
    _written: "setitem",
    _reduced: "mean sum amax amin max min std var norm prod logsumexp argmax argmin any all",
    _mixed: """softmax log_softmax softmin normalize cumsum Softmax LogSoftmax Softmin linear Linear
        layer_norm LayerNorm""",
    _normalised: "BatchNorm2d SyncBatchNorm group_norm GroupNorm instance_norm InstanceNorm2d",
    _multiplied: "matmul bmm einsum",
}
_RULES = {name: rule for rule, names in _NAMES.items() for name in names.split()}


def _is_attention(kind: str) -> bool:
    return "attention" in kind.lower() or "transformer" in kind.lower()


def _is_known(kind: str) -> bool:
    return kind in _RULES or _is_attention(kind)


def _rule(kind: str) -> Callable[[_Call], Any]:
    """The rule for an operation."""
    if not _is_known(kind):
        raise _Unfollowed(_how_far(kind))
    return _RULES.get(kind, _attended)


def _how_far(kind: str) -> str:
    return (
        f"how far does {kind} see? Name the submodule that holds it, and its window, in leaves: "
        'leaves={"block.gate": Layer(1)}; or pass the part that makes the maps, such as network.backbone'
    )


def _through_node(name: str, kind: str, reason: str) -> str:
    return f"cannot follow the field through node {name!r} ({kind}): {reason}"


def _numbered(found: _Map, axis: int) -> Tensor:
    """A map that holds the number of each cell's row (axis 0) or column (axis 1)."""
    shape, grid = found.value.shape, found.map.grid
    if grid is None:
        return torch.zeros((), dtype=torch.int32, device="cpu").expand(shape)
    line = torch.arange(shape[grid[axis]], dtype=torch.int32, device="cpu")  # numbers, not shapes
    return line.reshape(-1, *[1] * (-grid[axis] - 1)).expand(shape)


def _located(call: _Call, rows: tuple, columns: tuple, reason: str) -> list[Sight]:
    """Where rows and columns are after a move, for each of its results."""
    grid, size = call.grid(), call.maps[0].value.shape
    found: list[Sight] = []
    for pair in zip(rows, columns, strict=True):
        lines = [_line(numbers, axis, grid, size) for axis, numbers in enumerate(pair)]
        if lines[0] is None or lines[1] is None:
            found.append((Whole(reason), Whole(reason), None))
        else:
            (rows_at, y), (columns_at, x) = lines[0], lines[1]
            found.append((y, x, (rows_at, columns_at)))
    return found


def _line(numbers: Tensor, axis: int, grid: Grid, size: Sequence[int]) -> tuple[int, Window] | None:
    """The one axis along which the numbers go up evenly, and what part of them is there."""
    moving = [d - numbers.dim() for d in range(numbers.dim()) if (numbers.diff(dim=d) != 0).any()]
    if grid and not moving and size[grid[axis]] == 1:
        return (grid[axis], Window()) if numbers.dim() == len(size) else None
    if len(moving) != 1:
        return None
    line = numbers.movedim(moving[0], 0).flatten(1)[:, 0].tolist()
    step = line[1] - line[0]
    even = step > 0 and all(b - a == step for a, b in itertools.pairwise(line))
    return (moving[0], Window(1, step, -line[0])) if even else None


def _as_tuple(result: Any) -> tuple:
    return (result,) if isinstance(result, Tensor) else tuple(result)


def _both(value: Any) -> tuple[Any, Any]:
    """A number for both axes, or (y, x)."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value,)
    return pair[0], pair[-1]


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
