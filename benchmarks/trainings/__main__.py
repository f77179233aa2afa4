"""Train for the pages: ``python -m benchmarks.trainings [SLUG ...] [--seeds 0 1 2] [--write]``."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import pkgutil
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import trainings

RESULTS = Path(__file__).parents[2] / "book" / "results"


def known() -> list[str]:
    """The chapters that have trainings."""
    found = (module.name for module in pkgutil.iter_modules(trainings.__path__))
    return [name for name in found if name != "__main__" and _runs(name)]


def _runs(name: str) -> bool:
    return hasattr(importlib.import_module(f"benchmarks.trainings.{name}"), "run")


def measure(name: str, seed: int) -> dict[str, Any]:
    """Run one seed; beside the results, how they came about."""
    module = importlib.import_module(f"benchmarks.trainings.{name}")
    start = time.perf_counter()
    results = module.run(seed)
    measured = {
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start),
    }
    return {"seed": seed, "results": results, "measured": measured}


def write(name: str, entries: list[dict[str, Any]]) -> Path:
    """Keep the results; those of seeds that were not run now stay."""
    path = RESULTS / f"{name}.json"
    kept = {}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        columns = zip(before["seeds"], before["runs"], before["measured"], strict=True)
        kept = {seed: {"seed": seed, "results": run, "measured": how} for seed, run, how in columns}
    kept |= {entry["seed"]: entry for entry in entries}
    rows = [kept[seed] for seed in sorted(kept)]
    seeds = " ".join(map(str, sorted(kept)))
    content = {
        "command": f"python -m benchmarks.trainings {name} --seeds {seeds} --write",
        "seeds": [row["seed"] for row in rows],
        "runs": [row["results"] for row in rows],
        "measured": [row["measured"] for row in rows],
    }
    path.parent.mkdir(exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)
    return path


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainings", description=__doc__)
    parser.add_argument("slug", nargs="*", help=f"of {', '.join(known())}; all unless said")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--write", action="store_true", help=f"keep the results in {RESULTS.name}/SLUG.json")
    options = parser.parse_args()
    if "SEGCORE_STEPS" in os.environ:
        parser.error("SEGCORE_STEPS is set: it would shorten the trainings; unset it")
    if unknown := sorted(set(options.slug) - set(known())):
        parser.error(f"no training is called {', '.join(unknown)}; there are {', '.join(known())}")
    for slug in options.slug or known():
        module = importlib.import_module(f"benchmarks.trainings.{slug}")
        for seed in getattr(module, "SEEDS", options.seeds):
            entry = measure(slug, seed)
            print(json.dumps(entry, ensure_ascii=False)[:4000], flush=True)
            if options.write:
                print(write(slug, [entry]).name, flush=True)


if __name__ == "__main__":
    main()
