"""Grouping and interactive segmentation: against a plain-loop twin, the established library, random input and bad input."""

from __future__ import annotations

import torch

from segcore.grouping import placeholder


def twin(values):
    return torch.tensor([value / 2 for value in values.tolist()])


def test_it_equals_its_twin():
    values = torch.randn(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(placeholder(values), twin(values))
