"""Functions that run in another process: called as if they were here, differentiated as if they were here.

The grader calls the reader's function in a judge; the reader's function may call back what it was given, a
network of a case or an earlier exercise's reference, which stays with the grader. Both directions are the
same: a `Peer` at each end of a channel, which answers the other's questions while it waits for its own
answer. Gradients cross in the same way: the side that computed keeps the graph, the other asks it for the
gradients.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import math
import resource
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from segcore.grading.wire import Channel, Closed, decode, encode

__all__ = ["Ended", "Peer", "Remote"]

CALLS = 100_000  # questions that a reader's function may ask in a row
GRAPHS = 10_000  # graphs that are kept for gradients


class Ended(Exception):
    """The process that ran the reader's function ended."""


class Peer:
    """One end of a channel: asks, and answers while it waits.

    Args:
        channel: To the other end.
        trusts: Whether the other end may send functions and networks. Only a judge trusts, its grader.
    """

    def __init__(self, channel: Channel, trusts: bool = False) -> None:
        self.channel, self.trusts = channel, trusts
        self.functions: list[Callable[..., Any]] = []
        self.graphs: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self.count = self.asked = 0
        self.patience: float | None = None  # seconds to wait for an answer

    def expose(self, function: Callable[..., Any]) -> int:
        """Let the other end call a function by the number that is returned."""
        self.functions.append(function)
        return len(self.functions) - 1

    def stand_in(self, number: Any) -> Remote:
        """The other end's function of this number."""
        return Remote(self, int(number))

    def request(self, tree: dict[str, Any], data: list[bytes] | None = None) -> tuple[Any, list[bytes]]:
        """Ask, answer what is asked meanwhile, and return the answer.

        Raises:
            Ended: The other end is gone or breaks the rules.
            TimeoutError: It was silent for longer than `patience`.
        """
        try:
            self.channel.send(tree, data)
            while True:
                answer, parts = self.channel.receive(self.patience)
                if not isinstance(answer, dict):
                    raise Closed("a frame is no message")
                if answer.get("op") == "ended":
                    raise Ended(str(answer.get("why"))[:200])
                if answer.get("op") == "reply":
                    return answer, parts
                self.answer(answer, parts)
        except Closed as error:
            raise Ended(str(error)) from None

    def serve(self) -> None:
        """Answer until the other end closes."""
        with contextlib.suppress(Closed):
            while True:
                self.answer(*self.channel.receive())

    def answer(self, message: Any, data: list[bytes]) -> None:
        """Answer one question."""
        parts: list[bytes] = []
        self.asked += 1
        try:
            if self.asked > CALLS and not self.trusts:
                raise ValueError(f"more than {CALLS} calls")
            op = message.get("op") if isinstance(message, dict) else None
            answers = {"call": self._called, "backward": self._backward}
            if op not in answers:
                raise ValueError(f"expected a question; came: {str(op)[:40]!r}")
            reply = answers[op](message, data, parts)
        except (Closed, Ended):
            raise
        except BaseException as error:
            parts, reply = [], {"error": _described(error)}
        self.channel.send({"op": "reply", **reply}, parts)

    def _called(self, message: dict[str, Any], data: list[bytes], parts: list[bytes]) -> dict[str, Any]:
        makes = self.stand_in if self.trusts else None
        args = decode(message["args"], data, makes)
        kwargs = decode(message["kwargs"], data, makes)
        function = self.functions[int(message["function"])]
        if message.get("seconds") and self.trusts:
            _hurry(float(message["seconds"]))
        before = [_print(each) for each in args] if message.get("watch") else []
        leaves = [each for each in _tensors((args, kwargs)) if each.requires_grad]
        seen: list[list[Any]] = []
        with torch.enable_grad(), _Trace(seen) if message.get("trace") else contextlib.nullcontext():
            value = function(*args, **kwargs)
        made = [each for each in _tensors(value) if each.requires_grad]
        reply: dict[str, Any] = {"value": encode(value, parts), "trace": seen}
        if made:
            if len(self.graphs) > GRAPHS:
                raise ValueError("too many results that want a gradient")
            self.count += 1
            self.graphs[self.count] = leaves, made
            reply["graph"] = self.count
        changed = [index for index, was in enumerate(before) if _print(args[index]) != was]
        reply["changed"] = [[index, encode(args[index], parts)] for index in changed]
        reply["modes"] = [[index, _state(args[index], parts)] for index in changed]
        return reply

    def _backward(self, message: dict[str, Any], data: list[bytes], parts: list[bytes]) -> dict[str, Any]:
        leaves, made = self.graphs[int(message["graph"])]
        grads = decode(message["grads"], data)
        pairs = [pair for pair in zip(made, grads, strict=True) if pair[1] is not None]
        kept = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        if pairs:
            torch.autograd.backward([a for a, _ in pairs], [b for _, b in pairs], retain_graph=True)
        found = [leaf.grad for leaf in leaves]
        for leaf, grad in zip(leaves, kept, strict=True):
            leaf.grad = grad
        return {"value": encode(found, parts)}


class Remote:
    """A function of the other end.

    Args:
        peer: This end.
        number: The function's number there.
        signature: Its signature, where it is known.
    """

    def __init__(self, peer: Peer, number: int, signature: inspect.Signature | None = None) -> None:
        self.peer, self.number = peer, number
        self.watch = False  # whether what it does to its arguments is done here, too
        self.seconds: float | None = None  # of processor time that a call may take there
        if signature is not None:
            self.__signature__ = signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it there; raises what it raised there, in name and words."""
        spies = _spies()
        with torch._C.DisableTorchFunction():
            data: list[bytes] = []
            functions = None if self.peer.trusts else self.peer.functions
            message = {"op": "call", "function": self.number, "trace": bool(spies), "watch": self.watch}
            message["seconds"] = self.seconds
            message["args"] = encode(list(args), data, functions)
            message["kwargs"] = encode(kwargs, data, functions)
            answer, parts = self.peer.request(message, data)
            _raise(answer)
            value = decode(answer["value"], parts)
            for (index, tree), (_, state) in zip(answer["changed"], answer["modes"], strict=True):
                _overwrite(args[int(index)], decode(tree, parts), decode(state, parts))
            if "graph" in answer:
                leaves = [each for each in _tensors((list(args), kwargs)) if each.requires_grad]
                value = _joined(self.peer, int(answer["graph"]), value, leaves)
        for name, cells in answer["trace"]:
            _retell(spies, str(name), int(cells))
        return value


class _Bridge(torch.autograd.Function):
    """Outputs that were computed at the other end, whose gradients it is asked for."""

    @staticmethod
    def forward(
        ctx: Any, peer: Peer, graph: int, outputs: list[Tensor], anchor: Tensor, *leaves: Tensor
    ) -> Any:
        ctx.peer, ctx.graph, ctx.count = peer, graph, len(leaves)
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        data: list[bytes] = []
        tree = encode([None if each is None else each.detach() for each in grads], data)
        message = {"op": "backward", "graph": ctx.graph, "grads": tree}
        answer, parts = ctx.peer.request(message, data)
        _raise(answer)
        found = decode(answer["value"], parts)
        if not isinstance(found, list) or len(found) != ctx.count:
            raise Ended("gradients that do not fit came back")
        return (None, None, None, None, *found)


def _joined(peer: Peer, graph: int, value: Any, leaves: list[Tensor]) -> Any:
    """The value with the tensors that want a gradient tied to the other end's graph."""
    wanting = [each for each in _tensors(value) if each.requires_grad]
    anchor = torch.ones((), requires_grad=True)  # what learns may lie at the other end alone
    with torch.enable_grad():
        tied = _Bridge.apply(peer, graph, [each.detach() for each in wanting], anchor, *leaves)
    twins = dict(zip(map(id, wanting), tied, strict=True))

    def replace(each: Any) -> Any:
        if isinstance(each, tuple | list):
            return type(each)(replace(part) for part in each)
        if isinstance(each, dict):
            return {key: replace(part) for key, part in each.items()}
        return twins.get(id(each), each)

    return replace(value)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of a value, in the order in which they travel."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)


def _hurry(seconds: float) -> None:
    """End this process when it has computed for so long from now."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    limit = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), limit))


def _print(value: Any) -> Any:
    """What tells whether an argument was changed."""
    data: list[bytes] = []
    return encode(value, data), data, _state(value, data)


def _state(value: Any, data: list[bytes]) -> Any:
    """Of a network: which parts train, and its numbers."""
    if not isinstance(value, torch.nn.Module):
        return None
    return encode([[each.training for each in value.modules()], dict(value.state_dict())], data)


def _overwrite(given: Any, new: Any, state: Any) -> None:
    """Do to an argument here what was done to it there."""
    if isinstance(given, Tensor) and isinstance(new, Tensor):
        with torch.no_grad():
            given.data = new.detach().to(given.dtype)
        given.requires_grad_(given.requires_grad or new.requires_grad)
    elif isinstance(given, list) and isinstance(new, list):
        for one, other in zip(given, new, strict=False):
            _overwrite(one, other, None)
        same = len(given) == len(new) and all(isinstance(each, Tensor) for each in given)
        if not same:
            given[:] = new
    elif isinstance(given, dict) and isinstance(new, dict):
        given.clear()
        given.update(new)
    elif isinstance(given, tuple) and isinstance(new, tuple):
        for one, other in zip(given, new, strict=False):
            _overwrite(one, other, None)
    elif isinstance(given, torch.nn.Module) and isinstance(state, list):
        for module, training in zip(given.modules(), state[0], strict=False):
            module.training = bool(training)
        with contextlib.suppress(RuntimeError, TypeError):
            given.load_state_dict(state[1])


class _Trace(torch.overrides.TorchFunctionMode):
    """Notes each call of torch: its name and the size of the largest tensor that it gave."""

    def __init__(self, seen: list[list[Any]]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            cells = max((each.numel() for each in _tensors(result)), default=0)
        if len(self.seen) < CALLS:
            self.seen.append([str(getattr(func, "__name__", "")), cells])
        return result


def _spies() -> list[Any]:
    """Whoever watches the calls of torch here, as some properties do."""
    stack: list[Any] = torch.overrides._get_current_function_mode_stack()
    return [mode for mode in stack if type(mode).__name__ != "DeviceContext"]


def _retell(spies: list[Any], name: str, cells: int) -> None:
    """Tell those who watch here of a call that happened at the other end."""

    def happened(*args: Any, **kwargs: Any) -> Tensor:
        return torch.empty(cells, device="meta")

    happened.__name__ = name
    for spy in spies:
        with torch._C.DisableTorchFunction():
            spy.__torch_function__(happened, (), (), {})


def _described(error: BaseException) -> dict[str, Any]:
    """An exception in plain words, whatever its own methods do."""
    kind = type(error)
    try:
        only = error.args[0] if len(error.args) == 1 and type(error.args[0]) is str else None
        text = only if only is not None else str(error)
        stub = kind is NotImplementedError and _reader_raised(error)
    except BaseException:
        text, stub = "(its message cannot be shown)", False
    name = "RuntimeError" if kind is NotImplementedError and not stub else kind.__name__
    return {"name": name[:60], "text": str(text)[:2000], "stub": stub}


def _reader_raised(error: BaseException) -> bool:
    """Whether the last line of the traceback is the reader's own."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return not str(error) or (step is not None and step.tb_frame.f_code.co_filename.startswith("<reader"))


def _raise(answer: Any) -> None:
    """Raise what was raised at the other end."""
    error = answer.get("error")
    if error is None:
        return
    name, text = str(error.get("name")), str(error.get("text"))
    if error.get("stub"):
        raise NotImplementedError
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception | SystemExit | KeyboardInterrupt)):
        word = name if name.isidentifier() else "Error"
        kind = type(word, (Exception,), {"__module__": "reader"})
    try:
        made = kind(text) if text else kind()
    except Exception:  # some want more than a text
        made = RuntimeError(text)
    raise made
