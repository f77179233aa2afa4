"""Each test, and each file of tests as it is read, begins with random numbers of its own.

So what a test draws depends neither on the tests before it nor on the day. ``SEGCORE_SEED=1 pytest`` draws
others: a test that then fails has a tolerance that holds by luck.

And the files that take longest come first, so that of two workers none is left alone with one at the end.
"""

from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

SEED = int(os.environ.get("SEGCORE_SEED", "0"))
TESTS = Path(__file__).parent / "tests"
SLOW = ("recipes", "mutants", "exercises", "book_tool", "figures", "train", "grading_attacks", "packaging")


def _begin(name: str) -> None:
    number = (zlib.crc32(name.encode()) + SEED) % 2**32
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    """Before a file is imported, whose parameters may be drawn there."""
    if isinstance(collector, pytest.Module):
        _begin(collector.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a test's fixtures are made."""
    _begin(item.nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files of unit tests first; those of the browser have an order of their own."""
    slow = [TESTS / f"test_{name}.py" for name in SLOW]
    items.sort(key=lambda item: slow.index(item.path) if item.path in slow else len(slow))
