"""What travels between grader, kernel and judge: numbers, texts, tensors, nothing that runs.

A message is a frame: the lengths of its two parts, a tree as JSON, and the raw bytes of its tensors. Whoever
reads one builds numbers, tensors, lists and dicts and nothing else, so a frame from a process that a
student's code controls can be wrong but can do no harm. Only the grader sends a network (``module``), by
pickle, and only a judge accepts it.
"""

from __future__ import annotations

import io
import json
import pickle
import select
import socket
import struct
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["TREE_LIMIT", "Channel", "Closed", "Foreign", "decode", "encode"]

TREE_LIMIT = 16 << 20  # bytes of a frame's JSON
DATA_LIMIT = 256 << 20  # bytes of a frame's tensors
DEPTH = 40  # containers inside containers
_HEAD = struct.Struct("<IQ")
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
    )
}


class Closed(Exception):
    """The other side is gone, was silent for too long, or sent what is no frame."""


class Foreign:
    """Stands for something that does not travel, such as an object of the reader's own class."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _foreign(name: str) -> Foreign:
    """A stand-in whose class is called as the object's class was."""
    last = name.rpartition(".")[2]
    kind = type(last, (Foreign,), {}) if last.isidentifier() else Foreign
    return kind(name)


def encode(value: Any, data: list[bytes], functions: list[Any] | None = None, depth: int = 0) -> Any:
    """A value as a tree of JSON; the bytes of its tensors are added to `data`.

    Args:
        value: What is to travel.
        data: Gets the bytes of tensors and arrays, in order.
        functions: Gets what can be called: it stays here, and the other side asks for its results. Where None
            is given, only values travel.
        depth: How many containers lie around it.
    """
    if value is None or type(value) is bool or type(value) is str:
        return value
    if isinstance(value, bool | int) and not isinstance(value, torch.SymInt):
        return {"int": hex(value)} if abs(value) > 2**53 else int(value)
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, complex):
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, Tensor):
        return _tensor(value, data)
    if isinstance(value, np.ndarray | np.generic):
        return _array(value, data)
    if depth > DEPTH:
        return {"foreign": "containers in containers without end"}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(each, data, functions, depth + 1) for each in value]}
    if isinstance(value, dict):
        pairs = [
            [encode(key, data, None, depth + 1), encode(each, data, functions, depth + 1)]
            for key, each in value.items()
        ]
        return {"dict": pairs}
    return _other(value, functions)


def _tensor(value: Tensor, data: list[bytes]) -> Any:
    with torch.no_grad(), torch._C.DisableTorchFunction():
        plain = value.as_subclass(Tensor).detach()
        name = str(plain.dtype).removeprefix("torch.")
        if plain.layout != torch.strided or plain.device.type != "cpu" or name not in _DTYPES:
            return {"foreign": f"tensor ({plain.layout}, {plain.dtype}, {plain.device})"}
        if plain.numel() * plain.element_size() > DATA_LIMIT:
            raise ValueError(f"a result of the shape {tuple(plain.shape)} is too large to be compared")
        plain = plain.resolve_conj().resolve_neg()
        raw = plain.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        head = {"dtype": name, "shape": list(plain.shape), "grad": bool(value.requires_grad)}
        head["has"] = bool(value.is_leaf and value.grad is not None)
    data.append(raw)
    return {"tensor": [len(data) - 1, head]}


def _array(value: Any, data: list[bytes]) -> Any:
    try:
        tree = encode(torch.from_numpy(np.array(value, order="C")), data)
    except TypeError:
        return {"foreign": f"NumPy array of {str(value.dtype)[:40]}"}
    return {"array": tree["tensor"]}


def _other(value: Any, functions: list[Any] | None) -> Any:
    if functions is not None and isinstance(value, torch.nn.Module):
        return {"module": pickle.dumps(value).hex()}
    if functions is not None and callable(value):
        functions.append(value)
        return {"function": len(functions) - 1}
    if isinstance(value, torch.nn.Module):
        return {"foreign": "module"}
    kind = type(value)
    return {"foreign": f"{kind.__module__}.{kind.__qualname__}"[:80]}


def decode(tree: Any, data: list[bytes], functions: Any = None) -> Any:
    """The value of a tree.

    Args:
        tree: What `encode` gave.
        data: The bytes of its tensors.
        functions: Makes the stand-in of the other side's function from its number. Given by a judge alone,
            which trusts its grader: only then functions and networks are accepted.

    Raises:
        ValueError: It is no such tree.
    """
    try:
        return _decode(tree, data, functions, 0)
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"expected a value that travelled; came: something else ({error})") from None


def _decode(tree: Any, data: list[bytes], functions: Any, depth: int) -> Any:
    if depth > DEPTH + 5:
        raise ValueError("expected containers; came: containers in containers without end")
    if tree is None or isinstance(tree, bool | int | str):
        return tree
    ((kind, inside),) = tree.items()
    if kind == "int":
        return int(inside, 16)
    if kind == "float":
        return float.fromhex(inside)
    if kind == "complex":
        return complex(*(float.fromhex(part) for part in inside))
    if kind in ("tensor", "array"):
        made = _made(inside, data)
        return made if kind == "tensor" else made.detach().numpy()
    if kind in ("tuple", "list"):
        parts = [_decode(each, data, functions, depth + 1) for each in inside]
        return tuple(parts) if kind == "tuple" else parts
    if kind == "dict":
        return {
            _decode(key, data, None, depth + 1): _decode(each, data, functions, depth + 1)
            for key, each in inside
        }
    if kind == "foreign":
        return _foreign(str(inside)[:80])
    if functions is not None and kind == "function":
        return functions(inside)
    if functions is not None and kind == "module":
        return pickle.loads(bytes.fromhex(inside))
    raise ValueError(f"expected a kind of value; came: {kind!r}")


def _made(inside: Any, data: list[bytes]) -> Tensor:
    number, head = inside
    dtype, shape = _DTYPES[head["dtype"]], [int(side) for side in head["shape"]]
    cells = 1
    for side in shape:
        if side < 0:
            raise ValueError("expected a shape; came: a negative side")
        cells *= side
    raw = data[int(number)]
    if len(raw) != cells * dtype.itemsize or len(shape) > 60:
        raise ValueError("expected as many bytes as the shape holds; came: another number")
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.zeros(0, dtype=dtype)
    if dtype == torch.bool:
        flat = flat.view(torch.uint8) != 0  # a byte of 2 is no truth value
    made = flat.reshape(shape)
    return (
        made.requires_grad_()
        if head.get("grad") and (made.is_floating_point() or made.is_complex())
        else made
    )


class Channel:
    """Frames over a socket, each read whole or not at all."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.came = link, bytearray()
        link.setblocking(True)

    def send(self, tree: Any, data: list[bytes] | None = None) -> None:
        """Send a frame.

        Raises:
            Closed: Nobody reads any more.
        """
        body = io.BytesIO()
        parts = data or []
        text = json.dumps({"sizes": [len(part) for part in parts], "tree": tree}).encode()
        body.write(_HEAD.pack(len(text), sum(len(part) for part in parts)))
        body.write(text)
        for part in parts:
            body.write(part)
        try:
            self.link.sendall(body.getbuffer())
        except OSError as error:
            raise Closed(f"the other side is gone ({error.strerror})") from None

    def receive(self, seconds: float | None = None) -> tuple[Any, list[bytes]]:
        """The next frame's tree and bytes.

        Args:
            seconds: How long to wait for all of it; for ever where None is given.

        Raises:
            TimeoutError: It did not come in time. What came of it is kept for the next call.
            Closed: It will not come, or is no frame.
        """
        until = None if seconds is None else time.monotonic() + seconds
        self._fill(_HEAD.size, until)
        small, large = _HEAD.unpack(self.came[: _HEAD.size])
        if small > TREE_LIMIT or large > DATA_LIMIT:
            raise Closed("a frame is larger than allowed")
        middle, end = _HEAD.size + small, _HEAD.size + small + large
        self._fill(end, until)
        text, raw = bytes(self.came[_HEAD.size : middle]), bytes(self.came[middle:end])
        del self.came[:end]
        try:
            frame = json.loads(text)
            tree, sizes = frame["tree"], [int(size) for size in frame["sizes"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Closed(f"a frame cannot be read ({type(error).__name__})") from None
        if any(size < 0 for size in sizes) or sum(sizes) != large:
            raise Closed("a frame's sizes do not fit")
        data, start = [], 0
        for size in sizes:
            data.append(raw[start : start + size])
            start += size
        return tree, data

    def _fill(self, count: int, until: float | None) -> None:
        """Wait until so many bytes have come."""
        while len(self.came) < count:
            if until is not None:
                left = until - time.monotonic()
                if left <= 0 or not select.select([self.link], [], [], left)[0]:
                    raise TimeoutError("no answer in time")
            try:
                part = self.link.recv(min(count - len(self.came), 1 << 20))
            except OSError as error:
                raise Closed(f"the other side is gone ({error.strerror})") from None
            if not part:
                raise Closed("the other side is gone")
            self.came += part

    def close(self) -> None:
        """Close the socket."""
        self.link.close()
