"""What travels between grader and judge, and functions that run at the other end."""

from __future__ import annotations

import socket
import struct
import threading

import numpy as np
import pytest
import torch

from segcore.grading.remote import Ended, Peer, Remote
from segcore.grading.wire import Channel, Closed, Foreign, decode, encode


def across(value):
    data = []
    return decode(encode(value, data), data)


@pytest.mark.parametrize(
    "value", [None, True, 3, -(2**80), 0.1, float("inf"), "ä", [1, (2.5, None)], {"a": 1, 2: [3]}, 1 + 2j, ()]
)
def test_plain_values_come_as_they_went(value):
    came = across(value)
    assert came == value and type(came) is type(value)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float32, torch.complex64]
)
def test_tensors_come_as_they_went(dtype):
    value = torch.arange(6).reshape(2, 3).to(dtype).T
    came = across(value)
    assert came.dtype == dtype and torch.equal(came, value)
    assert across(torch.zeros(0, 3)).shape == (0, 3) and across(torch.tensor(2.0)).shape == ()
    assert across(torch.ones(2, requires_grad=True)).requires_grad


def test_arrays_stay_arrays_and_a_nan_stays_a_nan():
    came = across(np.arange(3.0))
    assert isinstance(came, np.ndarray) and came.tolist() == [0, 1, 2]
    assert across(float("nan")) != across(float("nan"))


class Sly(torch.Tensor):
    def __eq__(self, other):
        return True

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return True


def test_a_subclass_comes_as_plain_numbers():
    came = across(torch.ones(2).as_subclass(Sly))
    assert type(came) is torch.Tensor and came.tolist() == [1, 1]


def test_objects_do_not_travel():
    class Trick:
        def __eq__(self, other):
            return True

    assert isinstance(across(Trick()), Foreign) and isinstance(across(torch.nn.Linear(1, 1)), Foreign)
    assert isinstance(across([print])[0], Foreign)


@pytest.mark.parametrize(
    "tree",
    [
        {"module": "80"},
        {"function": 0},
        {"tensor": [0, {"dtype": "float32", "shape": [2, 3]}]},
        {"tensor": [0, {"dtype": "object", "shape": [1]}]},
        {"tensor": [7, {"dtype": "uint8", "shape": [4]}]},
        {"tensor": [0, {"dtype": "uint8", "shape": [-4]}]},
        {"odd": 1},
        {},
        [1],
        {"list": 5},
        {"dict": [[{"list": []}, 1]]},
    ],
)
def test_what_is_no_value_is_refused(tree):
    with pytest.raises(ValueError, match="expected"):
        decode(tree, [b"1234"])


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack("<IQ", 2**31, 0),
        struct.pack("<IQ", 2, 2**60),
        struct.pack("<IQ", 2, 0) + b"{}",
        struct.pack("<IQ", 2, 0) + b"[[",
        struct.pack("<IQ", 24, 3) + b'{"sizes":[9],"tree":null}'[:24] + b"abc",
        b"short",
    ],
    ids=["tree too large", "data too large", "no tree", "no JSON", "sizes", "short"],
)
def test_broken_frames_end_the_line(raw):
    ours, theirs = socket.socketpair()
    theirs.sendall(raw)
    theirs.close()
    with ours, pytest.raises(Closed):
        Channel(ours).receive(2)


def test_silence_is_told_from_the_end():
    ours, theirs = socket.socketpair()
    with ours:
        with pytest.raises(TimeoutError):
            Channel(ours).receive(0.01)
        theirs.close()
        with pytest.raises(Closed):
            Channel(ours).receive(1)


def test_a_frame_that_comes_in_parts_is_not_lost():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        text = b'{"sizes":[],"tree":5}'
        theirs.sendall(struct.pack("<IQ", len(text), 0) + text[:7])
        channel = Channel(ours)
        with pytest.raises(TimeoutError):
            channel.receive(0.05)
        theirs.sendall(text[7:])
        assert channel.receive(5) == (5, [])


@pytest.fixture
def beside():
    """A function of another thread, as a judge would run it."""
    links = []

    def make(function):
        ours, theirs = socket.socketpair()
        peer, judge = Peer(Channel(ours)), Peer(Channel(theirs), trusts=True)
        judge.expose(function)
        thread = threading.Thread(target=judge.serve, daemon=True)
        thread.start()
        links.append((peer.channel, thread, judge.channel))
        peer.patience = 20
        remote = Remote(peer, 0)
        remote.watch = True
        return remote

    yield make
    for ours, thread, theirs in links:
        ours.close()
        thread.join(10)
        theirs.close()


def test_a_call_and_its_gradient(beside):
    remote = beside(lambda x, k=2: (x * k).sum(0))
    x = torch.ones(3, 2, requires_grad=True)
    result = remote(x, k=5)
    assert result.tolist() == [15, 15] and result.requires_grad
    (result * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [[5, 50]] * 3
    assert not remote(torch.ones(3, 2)).requires_grad


def test_a_call_that_calls_back_learns_there(beside):
    gain = torch.tensor(3.0, requires_grad=True)
    seen = []

    def network(x):
        seen.append(tuple(x.shape))
        return gain * x

    remote = beside(lambda f, x: f(x[1:]) + f(x[:-1]))
    result = remote(network, torch.tensor([1.0, 2.0, 4.0]))
    result.sum().backward()
    assert result.tolist() == [9, 18] and seen == [(2,), (2,)] and gain.grad.item() == 9


def test_what_is_raised_there_is_raised_here(beside):
    def fails(kind):
        raise {"index": IndexError("out of range"), "own": type("Odd", (Exception,), {})("words")}[kind]

    remote = beside(fails)
    with pytest.raises(IndexError, match="out of range"):
        remote("index")
    with pytest.raises(Exception, match="words") as caught:
        remote("own")
    assert type(caught.value).__name__ == "Odd"


def test_what_is_done_to_an_argument_is_done_here(beside):
    def spoils(x, items, module):
        x += 1
        items.append(7)
        module.train()
        return x

    x, items, module = torch.zeros(2), [1], torch.nn.Dropout().eval()
    beside(spoils)(x, items, module)
    assert x.tolist() == [1, 1] and items == [1, 7] and module.training


def test_whoever_watches_torch_hears_of_the_calls_there(beside):
    class Watch(torch.overrides.TorchFunctionMode):
        names, cells = set(), 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            self.names.add(func.__name__)
            self.cells = max(self.cells, result.numel())
            return result

    remote = beside(lambda x: torch.nn.functional.conv_transpose2d(x, torch.ones(1, 1, 2, 2), stride=2))
    with Watch() as watch:
        remote(torch.ones(1, 1, 4, 4))
    assert "conv_transpose2d" in watch.names and watch.cells == 64


def test_a_result_that_cannot_be_held_and_an_end(beside):
    with pytest.raises(ValueError, match="too large"):
        beside(lambda: torch.zeros(1).expand(10**12))()
    remote = beside(lambda: 1)
    remote.peer.channel.link.shutdown(socket.SHUT_RDWR)
    with pytest.raises(Ended):
        remote()
