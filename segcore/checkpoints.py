"""Checkpoints: one file that is whole or not there, and that is read only where it fits.

A file is torch's archive of a dict, which is a zip file. Such a file may end with a comment; here it is the
SHA-256 of all that stands before it, so that a bit that turned on the disk is noticed. It is written beside
its place, always under the same name, and then moved there: what a killed process left is written over.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["check_same_model", "check_same_optimizer", "read", "write"]

FORMAT, OLD_FORMAT = "segcore checkpoint 2", "segcore checkpoint 1"  # the old one has no checksum
CHECKSUM = 64  # characters of SHA-256
FREE = {"lr", "weight_decay", "foreach", "fused", "capturable", "differentiable"}


def write(path: Path, content: dict[str, Any], trial: bool = False) -> None:
    """Write a checkpoint; a trial is thrown away again, and shows whether there is a place to write to.

    Args:
        path: The file; its folder is made. Where it is a link, the file that it names is written.
        content: Dicts, lists, tuples, numbers, strings and tensors.
        trial: Leave the file as it is.

    Raises:
        OSError: It cannot be written; what was there is still there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder) / "net.pt", {"steps": 3})
        ...     read(Path(folder) / "net.pt")["steps"]
        3
    """
    path = path.resolve()
    half = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("w+b") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.seek(-2, os.SEEK_END)
            file.write(CHECKSUM.to_bytes(2, "little"))  # the length of the archive's comment
            file.seek(0)
            file.write(hashlib.file_digest(file, "sha256").hexdigest().encode())
        if not trial:
            half.replace(path)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"the checkpoint {path} cannot be written ({error}); make room, or choose a folder that you may "
            "write to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            half.unlink()


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with its tensors on the processor.

    Args:
        path: The file, as :func:`write` left it, or an older course's without a checksum.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or damaged.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no checkpoint {path}; train one with fit(..., checkpoint={str(path)!r})"
        )
    try:
        raw = memoryview(path.read_bytes())
        content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} is no checkpoint that can be read ({error}); move it away to begin anew"
        ) from error
    written = content.get("format") if isinstance(content, dict) else None
    if written not in (FORMAT, OLD_FORMAT):
        raise ValueError(
            f"{path} is no checkpoint of segcore.train.fit; give another path, it stays as it is"
        )
    if written == FORMAT and hashlib.sha256(raw[:-CHECKSUM]).hexdigest().encode() != raw[-CHECKSUM:]:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is not what was written; take a whole copy, or move it away"
        )
    return content


def check_same_model(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Refuse the weights of another model, saying what differs.

    Args:
        model: Stays as it is.
        weights: Those in the file, by name.
        path: The file, for the message.

    Raises:
        ValueError: A tensor is missing, or has another shape.
    """
    own, others = ({k: tuple(v.shape) for k, v in each.items()} for each in (model.state_dict(), weights))
    differing = [name for name in {**own, **others} if own.get(name) != others.get(name)]
    if differing:
        name = differing[0]
        here, there = (f"of shape {x[name]}" if name in x else "missing" for x in (own, others))
        raise ValueError(
            f"{path} is the checkpoint of another model: {name!r} is {there} in the file and {here} in the "
            f"model ({len(differing)} tensors differ in all). Make the model as it was trained, or give "
            "another path; the file stays as it is"
        )


def check_same_optimizer(own: dict[str, Any], other: dict[str, Any], path: Path) -> None:
    """Refuse what another kind of optimizer remembers: one that has other settings, or that has others on.

    A momentum of 0, for example, leaves nothing behind from which one of 0.9 could go on. Free are `lr` and
    `weight_decay`, of which nothing is remembered, and what only says how the steps are computed.

    Args:
        own: What the optimizer's `state_dict` gives.
        other: Likewise, as it stands in the file.
        path: The file, for the message.

    Raises:
        ValueError: The kinds differ, or the parameters are not as many.
    """
    here, there = (
        [
            {
                k: k in FREE or (len(v) if k == "params" else bool(v))
                for k, v in group.items()
                if k != "initial_lr"
            }
            for group in state["param_groups"]  # initial_lr is kept there by those who change the rate
        ]
        for state in (own, other)
    )
    if here != there:
        raise ValueError(
            f"{path} was written with another optimizer, {there} and not {here}; give the one that it was "
            "trained with, or another path"
        )
