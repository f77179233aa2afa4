"""The vocabulary of `segcore.inputs`: what it lets in, what it refuses, and what each message says."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segcore import inputs

FORMS = {
    "N C H W": [(2, 3, 4, 5), (0, 3, 4, 5)],
    "C H W": [(3, 4, 5)],
    "K 4": [(7, 4), (0, 4)],
    "... h w": [(2, 2), (1, 2, 3, 4)],
    "H W | N H W": [(2, 3), (0, 2, 3)],
    "K": [(0,), (3,)],
}
OTHERS = {
    "N C H W": [(3, 4, 5), (2, 0, 4, 5), (2, 3, 4, 0), (), (1, 2, 3, 4, 5)],
    "C H W": [(0, 4, 5), (4, 5), (2, 3, 4, 5)],
    "K 4": [(4,), (7, 5), (4, 0)],
    "... h w": [(2,), (), (3, 0)],
    "H W | N H W": [(2,), (0, 3), (1, 1, 1, 1)],
    "K": [(), (3, 1), (1, 3)],
}


def refused(error: type[Exception], call, *words: str) -> str:
    """The message of the error that the call raises: expected, got, a cure, and these words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert re.fullmatch(r"expected .+, got .+; .+", message, re.DOTALL), message
    for each in words:
        assert each in message, message
    return message


@pytest.mark.parametrize("form", FORMS)
def test_a_form_lets_its_shapes_in_and_no_others(form: str):
    for shape in FORMS[form]:
        value = torch.zeros(shape)
        assert inputs.tensor(value, "x", form) is value
    for shape in OTHERS[form]:
        refused(ValueError, lambda shape=shape: inputs.tensor(torch.zeros(shape), "x", form), f"got {shape}")
    for value in ([[1.0]], np.zeros((2, 2)), 3, None):
        refused(TypeError, lambda value=value: inputs.tensor(value, "x", form), "torch.as_tensor(x)")


@pytest.mark.parametrize(
    "shape, form, cure",
    [
        ((3, 4, 5), "N 3 H W", "add the missing axis with x[None]"),
        ((2, 3, 4, 5), "3 H W", "pass them one by one"),
        ((1, 3, 4, 5), "3 H W", "take the first axis away with x[0]"),
        ((4, 5, 3), "3 H W", "put the channels first with x.movedim(-1, 0)"),
        ((2, 4, 5, 3), "N 3 H W", "put the channels first with x.movedim(-1, 1)"),
        ((2, 3, 0, 5), "N 3 H W", "an axis is empty"),
        ((4, 5), "N 3 H W", "reshape it"),
        ((2, 5), "P 2", "turn it over with x.T"),
        ((), "K", "add the missing axis with x[None]"),
    ],
)
def test_the_cure_fits_the_fault(shape, form, cure):
    refused(ValueError, lambda: inputs.tensor(torch.zeros(shape), "x", form), cure)
    for line in re.findall(r"x(?:\[\w+\]|\.movedim\([-\d, ]+\))", cure):  # and it works
        inputs.tensor(eval(line, {"x": torch.zeros(shape)}), "x", form)


def test_dtypes():
    whole, real, yes = (
        torch.zeros(2, 2, dtype=torch.int64),
        torch.zeros(2, 2),
        torch.ones(2, 2, dtype=torch.bool),
    )
    assert inputs.floating(real.half(), "x", "H W").dtype == torch.half
    assert inputs.integer(whole, "x", "H W") is whole
    assert inputs.masks(yes[None]).shape == (1, 2, 2)
    refused(ValueError, lambda: inputs.floating(whole, "x", "H W"), "x.float()")
    refused(ValueError, lambda: inputs.integer(whole.int(), "x", "H W"), "torch.int32", "x.long()")
    refused(ValueError, lambda: inputs.masks(real[None], "soft"), "soft > 0.5")
    refused(ValueError, lambda: inputs.image(whole.byte()[None, None]), "image.float() / 255")
    refused(ValueError, lambda: inputs.image(torch.zeros(1, 4, 8, 8), channels=3), "(N, 3, H, W)")
    assert inputs.image(torch.zeros(4, 8, 8), channels=4, form="C H W").shape == (4, 8, 8)


def test_label_maps():
    labels = torch.tensor([[0, 2], [255, 1]])
    assert inputs.label_map(labels, num_classes=3) is labels
    assert inputs.label_map(labels) is labels
    refused(ValueError, lambda: inputs.label_map(labels, num_classes=2), "got 2 at (0, 1)", "255 (ignored)")
    refused(
        ValueError, lambda: inputs.label_map(labels, num_classes=3, ignore_index=None), "got 255 at (1, 0)"
    )
    refused(
        ValueError, lambda: inputs.label_map(labels, num_classes=3, ignore_index=1), "or 1 (ignored), got 255"
    )
    refused(
        ValueError, lambda: inputs.label_map(-labels, ignore_index=-255), "of 0 or more, or -255", "got -2"
    )
    refused(ValueError, lambda: inputs.label_map(labels.float()), "argmax", "labels.long()")
    refused(ValueError, lambda: inputs.label_map(labels[0]), "(H, W) or (N, H, W)")
    assert inputs.label_map(torch.zeros(2, 2, dtype=torch.int64, device="meta"), num_classes=1).is_meta


def test_boxes_and_points():
    found = torch.tensor([[0, 0, 2, 3], [1, 1, 1, 1]])
    assert inputs.boxes(found) is found, "whole numbers and empty boxes are boxes"
    assert inputs.boxes(torch.zeros(0, 5), form="K 5").shape == (0, 5)
    refused(ValueError, lambda: inputs.boxes(found.flip(1)), "boxes[0] = (3, 2, 0, 0)")
    with_index = torch.tensor([[9.0, 0, 0, 2, 3], [0, 5, 0, 1, 1]])
    refused(ValueError, lambda: inputs.boxes(with_index, form="K 5"), "boxes[1] = (5, 0, 1, 1)")
    refused(ValueError, lambda: inputs.boxes(torch.tensor([[0, 0, math.inf, 1]])), "got inf at (0, 2)")
    refused(ValueError, lambda: inputs.boxes(torch.zeros(1, 4, dtype=torch.bool)), "real numbers")
    refused(ValueError, lambda: inputs.points(torch.zeros(1, 2, dtype=torch.complex64)), "real numbers")
    refused(ValueError, lambda: inputs.points(torch.tensor([[0, math.nan]])), "got nan at (0, 1)")
    assert inputs.points(torch.zeros(0, 2)).shape == (0, 2)


def test_two_that_belong_together():
    here, there = torch.zeros(2), torch.zeros(2, device="meta")
    assert inputs.same_place(here, "a", here, "b") is here
    refused(ValueError, lambda: inputs.same_place(there, "a", here, "b"), "a.to(b.device)", "cpu, got meta")
    refused(ValueError, lambda: inputs.same_kind(here.double(), "a", here, "b"), "like b", "a.to(b)")
    refused(
        ValueError, lambda: inputs.same_shape(here[:1], "a", here, "b", "crop b"), "(2,), got (1,); crop b"
    )


def test_whole_numbers():
    for value in (3, np.int32(3), torch.tensor(3)):
        found = inputs.whole(value, "n")
        assert found == 3 and type(found) is int
    for value in (3.0, True, "3", None, torch.tensor(3.0)):
        refused(TypeError, lambda value=value: inputs.whole(value, "n"), "a whole number", repr(value))
    refused(ValueError, lambda: inputs.whole(0, "n"), "at least 1, got 0; give 1 or more")
    refused(ValueError, lambda: inputs.whole(9, "n", most=4), "at most 4, got 9")
    assert inputs.whole(-2, "n", least=-3) == -2


def test_pairs():
    assert inputs.pair(2, "kernel") == (2, 2) and inputs.pair([2, 3], "kernel") == (2, 3)
    assert inputs.pair(torch.Size([2, 3]), "size") == (2, 3)
    refused(ValueError, lambda: inputs.pair((1, 2, 3), "size", axes="height, width"), "(height, width)")
    refused(ValueError, lambda: inputs.pair((1, 0), "kernel"), "kernel of at least 1, got 0")
    refused(TypeError, lambda: inputs.pair((1, 0.5), "kernel"), "0.5")
    assert inputs.pair(0, "padding", least=0) == (0, 0)


@given(st.floats(), st.floats(-5, 5), st.floats(-5, 5))
def test_numbers(value: float, least: float, most: float):
    if math.isfinite(value) and least <= value <= most:
        assert inputs.number(value, "x", least=least, most=most) == value
    else:
        refused(ValueError, lambda: inputs.number(value, "x", least=least, most=most), repr(value))


def test_numbers_above_and_others():
    assert inputs.number(np.float32(0.5), "x", above=0) == 0.5
    refused(ValueError, lambda: inputs.number(0.0, "x", above=0), "above 0, got 0.0")
    for value in ("a", None, [1]):
        refused(TypeError, lambda value=value: inputs.number(value, "x"), repr(value))


def test_options_and_instances():
    assert inputs.option("same", "padding", ("same", "valid")) == "same"
    refused(
        ValueError, lambda: inputs.option("full", "padding", ("same", "valid")), "'same', 'valid'", "'full'"
    )
    layer = torch.nn.Identity()
    assert inputs.instance(layer, "model", torch.nn.Module) is layer
    refused(
        TypeError, lambda: inputs.instance(torch.nn.Identity, "model", torch.nn.Module), "Identity itself"
    )
    refused(
        TypeError,
        lambda: inputs.instance(3, "model", torch.nn.Module, "give a network"),
        "int; give a network",
    )


def test_sizes_in_words():
    assert inputs.size_of((224, 224)) == "224 × 224" and inputs.size_of((1.5, 2)) == "1.5 × 2"


def test_what_only_looks_like_a_tensor_of_numbers():
    sparse, meta = torch.eye(2).to_sparse(), torch.zeros(2, device="meta")
    refused(ValueError, lambda: inputs.tensor(sparse, "x", "H W"), "sparse_coo; use x.to_dense()")
    refused(ValueError, lambda: inputs.filled(meta, "x"), "meta device")
    refused(ValueError, lambda: inputs.color_image(torch.zeros(3, 2, 2, device="meta")), "numbers in it")
    assert inputs.filled(sparse, "x") is sparse


def test_what_only_looks_like_a_number():
    several, meta = torch.ones(2), torch.ones((), device="meta")
    for value in ("3", b"3", True, several, meta, torch.ones(0)):
        refused(TypeError, lambda value=value: inputs.number(value, "x"), "x as a number")
    for value in (torch.tensor(True), torch.ones((), dtype=torch.int64, device="meta")):
        refused(TypeError, lambda value=value: inputs.whole(value, "n"), "a whole number")
    refused(ValueError, lambda: inputs.number(10**400, "x"), "a finite number")
    refused(ValueError, lambda: inputs.whole(2**63, "n"), f"at most {2**63 - 1}")
    for value in (np.array(["same", "valid"]), several, {}, ["same"]):
        refused(ValueError, lambda value=value: inputs.option(value, "padding", ("same", "valid")))
    labels = torch.tensor([[0, 7]])
    refused(TypeError, lambda: inputs.label_map(labels, ignore_index=7.0), "ignore_index as a whole number")


def test_lists():
    for value in ((1, 2), [1, 2], range(1, 3), torch.tensor([1, 2]), iter([1, 2])):
        assert inputs.several(value, "sides", "(1, 2)") == [1, 2]
    for value in (None, 3, "12", b"12", {1, 2}, {1: 2}, torch.tensor(1)):
        refused(
            TypeError, lambda value=value: inputs.several(value, "sides", "(1, 2)"), "give such as (1, 2)"
        )
