"""Speed beside the peers. ``python -m benchmarks`` measures, ``--write`` also writes ``book/benchmarks.md``.

A chapter takes part with a module ``benchmarks/slug.py``. Its docstring, first line apart, says on the
page what is measured (Markdown); ``TITLE`` heads its section (number first: sections are sorted by it);
``PACKAGES`` names the libraries whose versions count; ``cases()`` yields one :class:`Case` after the
other, so that memory holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """Two ways to the same tensor.

    Attributes:
        name: What is computed, for the table.
        ours: Computes it with segcore.
        peer: Computes it with the established library.
        peer_name: What the peer is called, for the table.
        goal: How many times as fast ours should be, if the course promises anything.
    """

    name: str
    ours: Callable[[], Tensor]
    peer: Callable[[], Tensor]
    peer_name: str
    goal: float | None = None
