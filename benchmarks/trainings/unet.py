"""U-Net trained to the end: the scenes of ``encoder_decoders.py``, but 1,800 steps, and one pooling less.

Three poolings and widths of 24, 48, 96 and 192 suit scenes of 64 × 64 better than the race's four and 16 to
256, which are trained as long beside it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.trainings.encoder_decoders import K, entry, pair_of_scenes
from segcore.encoder_decoders import UNet

TITLE = "09 Encoder-decoders: U-Net trained to the end"
STEPS = 1800
WIDTHS = {"unet": (24, 3), "four poolings": (16, 4)}  # and depths


def run(seed: int) -> dict[str, Any]:
    """Train both U-Nets from a seed: parameters, milliseconds a step, and scores of each."""
    return {
        name: entry(partial(UNet, 3, K, *shape), STEPS, pair_of_scenes("color"), seed)
        for name, shape in WIDTHS.items()
    }
