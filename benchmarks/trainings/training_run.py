"""The training of the page "How to use this course": ``python -m segcore train unet``, as a reader types it.

1,800 steps of 8 scenes of 64 × 64, none of which comes twice; 100 scenes choose the weights, 500 others score
them. The loss is kept as means over 20 steps.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from segcore.__main__ import main

TITLE = "A training from the command line"
CHUNK = 20  # steps of each mean


def summary(folder: Path) -> dict[str, Any]:
    """What the page shows of a training, from the folder that it left."""
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    history = torch.load(folder / "checkpoint.pt", weights_only=True)["history"]
    losses = history["losses"]
    means = [statistics.fmean(losses[n : n + CHUNK]) for n in range(0, len(losses), CHUNK)]
    return {
        "parameters": content["parameters"],
        "steps": content["steps"],
        "ms": content["ms_a_step"],
        "seconds": content["seconds"],
        "held_out": content["held_out"],
        "best": content["best"],
        "chunk": CHUNK,
        "losses": [round(value, 4) for value in means],
        "scores": [[step, round(score, 4)] for step, score in history["scores"]],
    }


def run(seed: int) -> dict[str, Any]:
    """Train from a seed, and sum up."""
    with tempfile.TemporaryDirectory() as folder:
        if main(["train", "unet", "--seed", str(seed), "--out", folder]) != 0:
            raise RuntimeError("the training did not end well")
        return summary(Path(folder))
