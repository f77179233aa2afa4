"""The small network of chapter 8's second widget, trained in PyTorch with each of its switches.

As in the page: one run for each choice of down-sampling, skips and up-sampling, and two with a learning rate
that is too large. Seed k is the widget's seed k: of the first weights and of the scenes. The score is the
mean IoU on the held-out scenes after the last step.
"""

from __future__ import annotations

import math
from typing import Any

from segcore.widgets.training import STEPS, UPS, SwitchedNet, start, train

TITLE = "A small network with its switches"
LAST = 20  # steps whose losses are averaged
TOO_FAST = {"adam 0.1": ("adam", 0.1), "sgd 1": ("sgd", 1.0)}  # with skips and nearest up-sampling


def settings() -> dict[str, tuple[str, bool, str]]:
    """The switches of each run by its name; with dilation nothing is up-sampled."""
    skips = {"skips": True, "no skips": False}
    found = {f"stride, {name}, {up}": ("stride", skip, up) for name, skip in skips.items() for up in UPS}
    return found | {f"dilation, {name}": ("dilation", skip, "nearest") for name, skip in skips.items()}


def once(switches: tuple[str, bool, str], seed: int, **how: Any) -> dict[str, float | None]:
    """Score and loss of one run; a loss that is no number is None."""
    losses, scores = train(start(SwitchedNet(*switches), seed), seed, STEPS, **how)
    loss = sum(losses[-LAST:]) / LAST
    return {"miou": round(scores[-1][1], 4), "loss": round(loss, 4) if math.isfinite(loss) else None}


def run(seed: int) -> dict[str, Any]:
    """All runs of one seed."""
    result = {name: once(switches, seed) for name, switches in settings().items()}
    for name, (optimizer, rate) in TOO_FAST.items():
        result[name] = once(("stride", True, "nearest"), seed, optimizer=optimizer, rate=rate)
    return result
