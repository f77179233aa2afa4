"""ImageNet's weights for a backbone: what they are, where they lie, and how they come into a network.

torchvision publishes them and keeps what was fetched in torch's own folder, so that what another program
fetched is not fetched again. Its networks were trained on images less ImageNet's mean, divided by its spread;
those of the course are in [0, 1]. `take_raw_images` lets the first layers do that arithmetic.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from filelock import FileLock
from torch import nn

from segcore.data.downloads import size_in_words

__all__ = ["about", "fetch", "load", "take_raw_images"]

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision takes them
WEIGHTS = {"resnet50": "ResNet50_Weights", "resnet101": "ResNet101_Weights"}


def about(name: str) -> str:
    """What will be fetched, how large it is and where it goes, or that it is there.

    Args:
        name: "resnet50" or "resnet101".

    Returns:
        One line.
    """
    published, path = _published(name), _path(name)
    if path.exists():
        return f"{name} with ImageNet's weights, from {path}"
    host = urlsplit(published.url).netloc
    return f"{name} with ImageNet's weights, {_size(published)} from {host} to {path}"


def fetch(name: str) -> dict[str, torch.Tensor]:
    """The weights by name, from the disk if they are there; of several processes one fetches them.

    Args:
        name: "resnet50" or "resnet101".

    Returns:
        What torchvision's network of this name loads.

    Raises:
        OSError: They are not there and cannot be fetched, or written. The message says their size, and where
            to put the file by hand.
        ValueError: The file is damaged.
    """
    published, path = _published(name), _path(name)
    by_hand = f"download {published.url} ({_size(published)}) on another machine and put it at {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock"):
            bar = os.environ.get("TQDM_DISABLE", "") in ("", "0")
            return published.get_state_dict(progress=bar, check_hash=True, weights_only=True)
    except OSError as error:
        raise OSError(
            f"the weights of {name} could not be fetched ({error}). Is this machine offline? Then {by_hand}, "
            "or leave --pretrained out"
        ) from error
    except Exception as error:  # whatever torch finds wrong with a file
        raise ValueError(
            f"{path} is not the published file ({str(error).partition(chr(10))[0]}); delete it and call "
            f"again, or {by_hand}"
        ) from error


def load(backbone: nn.Module, name: str) -> None:
    """Put ImageNet's weights into a backbone, for images in [0, 1].

    Args:
        backbone: A network with the stages of torchvision's ResNet, and no other parameters.
        name: "resnet50" or "resnet101".

    Raises:
        OSError, ValueError: As in :func:`fetch`; or the weights are of another network.
    """
    weights = fetch(name)
    own = backbone.state_dict()
    differing = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    if differing:
        raise ValueError(
            f"{_path(name)} holds another network than {name}: {differing[0]!r} does not fit "
            f"({len(differing)} tensors in all); delete the file and call again"
        )
    backbone.load_state_dict({key: weights[key] for key in own})
    take_raw_images(backbone)


def take_raw_images(backbone: nn.Module) -> None:
    r"""Change a backbone for images less the mean, divided by the spread, into one for images in [0, 1].

    :math:`W (x - m) / s = (W / s)\, x - W m / s`: the filter is divided by s, and what is taken away from
    every pixel goes into the mean that the batch normalisation behind it takes away. Equal but at the rim,
    where the padding is black instead of ImageNet's mean.

    Args:
        backbone: With the layers conv1, without bias, and bn1; changed in place.

    Example:
        >>> net = nn.ModuleDict({"conv1": nn.Conv2d(3, 2, 1, bias=False), "bn1": nn.BatchNorm2d(2)}).eval()
        >>> image, mean, spread = torch.rand(1, 3, 4, 4), *torch.tensor([MEAN, SPREAD])[:, :, None, None]
        >>> before = net["bn1"](net["conv1"]((image - mean) / spread))
        >>> take_raw_images(net)
        >>> torch.allclose(net["bn1"](net["conv1"](image)), before, atol=1e-5)
        True
    """
    conv, norm = backbone.get_submodule("conv1"), backbone.get_submodule("bn1")
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
        raise ValueError("expected a backbone that begins with conv1 and bn1, got another one")
    with torch.no_grad():
        mean, spread = (torch.tensor(each).to(conv.weight)[:, None, None] for each in (MEAN, SPREAD))
        conv.weight /= spread
        norm.running_mean += (conv.weight * mean).sum((1, 2, 3))


def _published(name: str) -> Any:
    """What torchvision knows of the weights."""
    import torchvision  # not before it is needed: it takes a second

    return getattr(torchvision.models, WEIGHTS[name]).IMAGENET1K_V1


def _path(name: str) -> Path:
    """Where torch keeps the file."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(_published(name).url).path).name


def _size(published: Any) -> str:
    return size_in_words(1024**2 * published.meta["_file_size"])
