r"""Panoptic segmentation: each pixel gets a class, and each object is told from its neighbours.

A panoptic map ``(H, W, 2)`` holds two whole numbers a pixel, its class and its instance. Classes are
*things*, which are counted (spheres, boxes), or *stuff*, which is not (floor, sky): instances of stuff mean
nothing. A *segment* is all pixels of one class and one instance; for stuff, all pixels of the class. The
pair names the segment, so that instances may be numbered anew in each class.

Segments of a prediction and of a truth match if they have the same class and an IoU above one half. None can
match twice, since segments of one map do not overlap. With TP the matched pairs of a class, FP the predicted
segments without a match and FN the true ones, its panoptic quality is

.. math::
    \text{PQ} = \frac{\sum_\text{TP} \text{IoU}}{\text{TP} + \frac12 \text{FP} + \frac12 \text{FN}}
    = \underbrace{\frac{\sum_\text{TP} \text{IoU}}{\text{TP}}}_{\text{SQ}} \cdot
      \underbrace{\frac{\text{TP}}{\text{TP} + \frac12 \text{FP} + \frac12 \text{FN}}}_{\text{RQ}} .

*Void* is the class of pixels that nobody could or would label, crowds among them. Where the truth is void, a
prediction is not judged: these pixels leave the union, and a predicted segment without a match that lies
there by more than half is no FP. Void in a prediction is a pixel left open, and gets no such relief.

The measure, its treatment of void and the way to merge two outputs are from Kirillov et al. 2019; the
numbers are those of the authors' panopticapi where no crowd is marked. (There a crowd keeps its class: it
excuses segments of that class alone, and stays in the union; here it is void.) ``torchmetrics`` differs where
predictions hold void, which it takes out of the union too. Left out: networks that give both outputs, and
measures for parts or for video.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from segcore import inputs
from segcore.encoder_decoders import UNet

__all__ = [
    "SCENE_CLASSES",
    "SCENE_STUFF",
    "SCENE_THINGS",
    "Matching",
    "from_segments",
    "match_segments",
    "merge",
    "panoptic_quality",
    "scene_maps",
    "semantic_for_scenes",
]

VOID = 255

Groups = tuple[set[int], set[int]]  # things and stuff

SCENE_CLASSES = ("floor", "sphere", "box", "cylinder", "wall")
"""The course's scenes as panoptic maps: names of the classes 0 to 4."""

SCENE_THINGS, SCENE_STUFF = (1, 2, 3), (0, 4)
SCENE_WIDTH, SCENE_DEPTH = 8, 3  # of the U-Net that comes with the library

_LARGEST = 1 << 31  # in size, of a class


@dataclass(frozen=True)
class Matching:
    """The segments of a prediction and of a truth, and which belong together.

    Attributes:
        predicted: int64 (P, 2), class and instance of each predicted segment, sorted; stuff has instance 0.
        true: int64 (T, 2), likewise of the truth.
        pairs: int64 (M, 2), the matches as rows of `predicted` and of `true`.
        iou: float64 (M,), their IoU, above one half.
        ignored: bool (P,), whether a predicted segment has no match and lies on the truth's void by more than
            half: it counts for nothing.
    """

    predicted: Tensor
    true: Tensor
    pairs: Tensor
    iou: Tensor
    ignored: Tensor


def panoptic_quality(
    prediction: Tensor | Sequence[Tensor],
    target: Tensor | Sequence[Tensor],
    things: Collection[int],
    stuff: Collection[int],
    void: int = VOID,
) -> dict[str, Any]:
    """Panoptic quality (PQ), and what it is made of: segmentation (SQ) and recognition quality (RQ).

    PQ = SQ · RQ holds in each class, not for the means over classes. A list of maps is one data set: matches
    and misses add up over all images before anything is divided.

    Args:
        prediction: whole numbers (H, W, 2), class and instance of each pixel, or a list of such maps.
        target: as many maps of the same sizes.
        things: classes whose instances are told apart.
        stuff: classes whose instances are not looked at.
        void: class of pixels without a label. See the top of this module for what it does in either map.

    Returns:
        ``{"all": means, "things": means, "stuff": means, "per_class": {class: scores}}``. Means are
        ``{"PQ": ..., "SQ": ..., "RQ": ...}`` over the classes that occur; scores hold the same and the counts
        ``"TP"``, ``"FP"`` and ``"FN"``. A class with segments but no match scores 0 three times, one without
        any segment that counts is NaN and left out of the means.

    Raises:
        TypeError: A map is no tensor, or a class no whole number.
        ValueError: Shapes, numbers of images or devices differ; a map is not of whole numbers; a class is
            both thing and stuff, or void; a map holds a class that is none of them. The message names the
            image.

    Example:
        >>> def panoptic(classes, instances):
        ...     return torch.tensor([classes, instances]).movedim(0, -1)[None]
        >>> truth = panoptic([0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 2, 2, 2])
        >>> guess = panoptic([0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 2, 2, 3])
        >>> result = panoptic_quality(guess, truth, things=[1], stuff=[0])
        >>> {name: round(value, 3) for name, value in result["per_class"][1].items()}
        {'PQ': 0.533, 'SQ': 0.667, 'RQ': 0.8, 'TP': 2, 'FP': 1, 'FN': 0}
        >>> {name: round(value, 3) for name, value in result["all"].items()}
        {'PQ': 0.6, 'SQ': 0.667, 'RQ': 0.9}
    """
    groups = _classes(things, stuff, void)
    tally = {each: [0.0, 0, 0, 0] for each in sorted(groups[0] | groups[1])}  # sum of IoU, TP, FP, FN
    for guess, truth, names in _images(prediction, target):
        found = _match(guess, truth, groups, void, names)
        kinds, true_kinds = found.predicted[:, 0].tolist(), found.true[:, 0].tolist()
        rows, columns = found.pairs.T.tolist()
        ignored = found.ignored.nonzero().flatten().tolist()
        for row, overlap in zip(rows, found.iou.tolist(), strict=True):
            tally[kinds[row]][0] += overlap
            tally[kinds[row]][1] += 1
        for row in set(range(len(kinds))) - set(rows) - set(ignored):
            tally[kinds[row]][2] += 1
        for column in set(range(len(true_kinds))) - set(columns):
            tally[true_kinds[column]][3] += 1
    scores = {each: _scores(*numbers) for each, numbers in tally.items()}
    return {
        "all": _means(scores.values()),
        "things": _means(scores[each] for each in sorted(groups[0])),
        "stuff": _means(scores[each] for each in sorted(groups[1])),
        "per_class": scores,
    }


def match_segments(
    prediction: Tensor,
    target: Tensor,
    things: Collection[int],
    stuff: Collection[int],
    void: int = VOID,
) -> Matching:
    """The segments of one image, and which of them match: same class, IoU above one half.

    Arguments and errors as of :func:`panoptic_quality`, for one map (H, W, 2) each.

    Example:
        >>> truth = torch.tensor([[[1, 1], [1, 1], [1, 1], [1, 2]]])
        >>> guess = torch.tensor([[[1, 7], [1, 7], [1, 8], [1, 8]]])
        >>> found = match_segments(guess, truth, things=[1], stuff=[])
        >>> found.pairs, found.iou  # segment 8 has an IoU of exactly one half with instance 2
        (tensor([[0, 0]]), tensor([0.6667], dtype=torch.float64))
    """
    groups = _classes(things, stuff, void)
    return _match(prediction, target, groups, void, ("prediction", "target"))


def merge(
    semantic: Tensor,
    instances: Mapping[str, Tensor],
    things: Collection[int] | None = None,
    score_threshold: float = 0.5,
    overlap: float = 0.5,
    stuff_area: int = 0,
    void: int = VOID,
) -> Tensor:
    """One panoptic map from a semantic and an instance output that know nothing of each other.

    Instances come first, the surest before the others. Each takes the pixels of its mask that are still free,
    if these are at least `overlap` of its mask; else it is dropped. What is left takes its class from the
    semantic map where that is stuff. A pixel that neither gives an answer for is void: one that the semantic
    map calls a thing, though no instance has taken it.

    Args:
        semantic: int64 (H, W), the class of each pixel, or `void`.
        instances: ``"masks"`` bool (N, H, W), which may overlap, ``"labels"`` int64 (N,) and ``"scores"``
            (N,).
        things: classes that are no stuff; by default those of the instances. Name them where a
            thing may be in the semantic map alone: it would be taken for stuff.
        score_threshold: instances with a lower score are dropped first.
        overlap: share of a mask, 0 to 1, that must still be free.
        stuff_area: stuff of a class with fewer pixels in all becomes void.
        void: class of the pixels that stay open.

    Returns:
        int64 (H, W, 2), class and instance. Instances of things are 1, 2, ... in the order of their scores
        (equal scores in the order given), without a gap; stuff and void have 0.

    Raises:
        TypeError: Something is no tensor, or no number.
        ValueError: A field of the instances is missing; sizes do not fit; masks are not bool; scores are not
            finite; a label is void or no thing.

    Example:
        >>> semantic = torch.tensor([[0, 0, 1, 1, 1, 2]])
        >>> masks = torch.tensor([[[0, 1, 1, 1, 0, 0]], [[0, 0, 0, 1, 1, 0]]]) > 0
        >>> found = {"masks": masks, "labels": torch.tensor([1, 1]), "scores": torch.tensor([0.6, 0.9])}
        >>> merge(semantic, found, things=[1, 2])[0].T  # the last pixel is of a thing that nobody found
        tensor([[  0,   1,   1,   1,   1, 255],
                [  0,   2,   2,   1,   1,   0]])
    """
    masks, labels, scores = _instances(semantic, instances, void)
    known = set(labels.tolist()) if things is None else _whole_numbers(things, "things")
    if void in known or set(labels.tolist()) - known:
        wrong = sorted(set(labels.tolist()) - (known - {void})) or [void]
        raise ValueError(
            f"expected things other than void ({void}) and labels that are things, got label {wrong[0]}; add "
            "it to things, or drop such instances"
        )
    threshold = inputs.number(score_threshold, "score_threshold")
    least = inputs.number(overlap, "overlap", least=0, most=1)
    smallest = inputs.whole(stuff_area, "stuff_area", 0)
    order = [n for n in scores.argsort(descending=True, stable=True).tolist() if scores[n] >= threshold]
    classes, numbers, free = _lay(masks[order], labels[order], void, least)
    for kind in set(semantic.unique().tolist()) - known:
        region = (semantic == kind) & free
        if region.sum() >= smallest:
            classes[region] = kind
    return torch.stack([classes, numbers], dim=-1)


def _lay(masks: Tensor, labels: Tensor, void: int, least: float) -> tuple[Tensor, ...]:
    """Masks laid down one after the other: classes, instances, and what is still free; (H, W) each."""
    free = torch.ones_like(masks.sum(0), dtype=torch.bool)
    classes = torch.where(free, void, 0)
    numbers, count = torch.zeros_like(classes), 0
    for mask, label in zip(masks, labels, strict=True):
        mine = mask & free
        if mine.any() and mine.sum() >= least * mask.sum():
            count += 1
            classes[mine], numbers[mine] = label, count
            free = free & ~mine
    return classes, numbers, free


def from_segments(ids: Tensor, segments: Iterable[Mapping[str, int]], void: int = VOID) -> Tensor:
    """A panoptic map from COCO's form: a map of segment ids, and a list that says what each of them is.

    Args:
        ids: whole numbers (H, W), the segment of each pixel; 0 is void.
        segments: a dict for each segment, with ``"id"``, ``"category_id"`` and, if it is a crowd,
            ``"iscrowd"``: crowds become void.
        void: class of pixels without a label.

    Returns:
        int64 (H, W, 2), class and segment id; void has 0.

    Raises:
        TypeError: `ids` is no tensor, or a field no whole number.
        ValueError: A field is missing, an id stands in the list twice, or the map holds one that does not.

    Example:
        >>> ids = torch.tensor([[0, 7, 7, 9]])
        >>> from_segments(ids, [{"id": 7, "category_id": 2}, {"id": 9, "category_id": 1, "iscrowd": 1}])[0].T
        tensor([[255,   2,   2, 255],
                [  0,   7,   7,   0]])
    """
    inputs.filled(_whole_map(ids, "ids", "H W"), "ids")
    void = inputs.whole(void, "void", -_LARGEST)
    found, place = ids.long().unique(return_inverse=True)
    named = {0: (void, 0)}
    for n, segment in enumerate(inputs.several(segments, "segments", "[{'id': 7, 'category_id': 2}]")):
        inputs.instance(segment, f"segments[{n}]", Mapping, "give a dict for each segment")
        for field in ("id", "category_id"):
            if field not in segment:
                raise ValueError(f"expected segments[{n}] with {field!r}, got {sorted(segment)}; add it")
        number = inputs.whole(segment["id"], f"segments[{n}]['id']", 1)
        kind = inputs.whole(segment["category_id"], f"segments[{n}]['category_id']", 0)
        if number in named:
            raise ValueError(
                f"expected each segment once, got segments[{n}] with id {number} again, of class {kind}; "
                "give each segment an id of its own"
            )
        named[number] = (void, 0) if segment.get("iscrowd") else (kind, number)
    if unknown := sorted(set(found.tolist()) - set(named)):
        raise ValueError(f"expected ids that stand in segments, or 0, got {unknown[0]}; list it, or write 0")
    table = torch.tensor([named[each] for each in found.tolist()], device=ids.device)
    return table[place]


# --- The course's scenes ---


def scene_maps(labels: Tensor, instances: Tensor, normals: Tensor) -> Tensor:
    """Rendered scenes as panoptic maps: objects are things, floor and wall are stuff.

    What the scenes' label map calls background is floor where its normal points up, and wall elsewhere.

    Args:
        labels: int64 (N, H, W), 0 is background, 1 to 3 are objects.
        instances: int64 (N, H, W), 0 where there is no object.
        normals: (N, 3, H, W), camera axes; y points down.

    Returns:
        int64 (N, H, W, 2): class, an index into `SCENE_CLASSES`, and instance.

    Raises:
        TypeError: One is no tensor.
        ValueError: Shapes or dtypes differ from these.

    Example:
        >>> from segcore.data.scenes import make_scenes
        >>> scenes = make_scenes(2, size=64, seed=3)
        >>> maps = scene_maps(scenes.labels, scenes.instances, scenes.normals)
        >>> maps.shape, [SCENE_CLASSES[k] for k in maps[0, ..., 0].unique()]
        (torch.Size([2, 64, 64, 2]), ['floor', 'sphere', 'box', 'cylinder', 'wall'])
    """
    inputs.label_map(labels, "labels", len(SCENE_THINGS) + 1, None, "N H W")
    inputs.same_shape(inputs.integer(instances, "instances", "N H W"), "instances", labels, "labels")
    inputs.same_shape(inputs.image(normals, "normals", 3)[:, 0], "normals[:, 0]", labels, "labels")
    wall = (labels == 0) & (normals[:, 1] >= 0)
    return torch.stack([torch.where(wall, SCENE_STUFF[1], labels), instances], dim=-1)


def semantic_for_scenes() -> UNet:
    """A U-Net that knows the five classes of the course's scenes, trained on 96×96 scenes, seed 0.

    Its weights come with the library, in half precision; ``benchmarks/trainings/panoptic.py`` makes them.

    Returns:
        The network in evaluation mode, on the processor: images (N, 3, H, W) to logits (N, 5, H, W), where H
        and W are multiples of 8.

    Raises:
        FileNotFoundError: The library was installed without its weights.

    Example:
        >>> semantic_for_scenes()(torch.rand(1, 3, 96, 96)).shape
        torch.Size([1, 5, 96, 96])
    """
    path = files("segcore") / "data" / "weights" / "panoptic.pt"
    if not path.is_file():
        raise FileNotFoundError("the weights lie in segcore/data/weights; install the library whole")
    network = UNet(3, len(SCENE_CLASSES), SCENE_WIDTH, SCENE_DEPTH)
    with path.open("rb") as file:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return network.eval()


# --- From pixels to segments to matches ---


def _match(
    prediction: Tensor,
    target: Tensor,
    groups: Groups,
    void: int,
    names: tuple[str, str],
) -> Matching:
    """Which segments match: arithmetic of few numbers, once the shared pixels are counted."""
    predicted, true, a, b, shared = _shared(prediction, target, groups, void, names)
    area = _sums(a, shared, len(predicted) + 1)
    true_area = _sums(b, shared, len(true) + 1)
    unknown = b == len(true)  # the last segment of each map is its void
    on_void = _sums(a[unknown], shared[unknown], len(predicted) + 1)

    both = (a < len(predicted)) & ~unknown
    a, b, shared = a[both], b[both], shared[both]
    union = area[a] - on_void[a] + true_area[b] - shared
    match = (2 * shared > union) & (predicted[a, 0] == true[b, 0])
    a, b, iou = a[match], b[match], _ratio(shared[match], union[match])

    ignored = 2 * on_void[:-1] > area[:-1]
    ignored[a] = False
    return Matching(predicted, true, torch.stack([a, b], dim=1), iou, ignored)


def _shared(
    prediction: Tensor, target: Tensor, groups: Groups, void: int, names: tuple[str, str]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Segments of both maps, the pairs of them that meet, as two lists, and how many pixels each shares."""
    for value, name in zip((prediction, target), names, strict=True):
        _whole_map(value, name, "H W 2")
    inputs.same_shape(prediction, names[0], target, names[1], "resize the prediction, to nearest pixels")
    inputs.same_place(prediction, names[0], target, names[1])
    starts, lengths = _runs(prediction, target)
    predicted, here = _segments(prediction, starts, groups, void, names[0])
    true, there = _segments(target, starts, groups, void, names[1])
    pair, place = (here * (len(true) + 1) + there).unique(return_inverse=True)
    shared = _sums(place, lengths, len(pair))
    return predicted, true, pair // (len(true) + 1), pair % (len(true) + 1), shared


def _ratio(one: Tensor, other: Tensor) -> Tensor:
    """In double precision, which Apple's GPUs lack."""
    return one.to(torch.float32 if one.device.type == "mps" else torch.float64) / other


def _runs(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Where runs of equal pixels begin, row after row, and how long they are: (R,) each."""
    numbers = [each[..., n].reshape(-1) for each in (prediction, target) for n in (0, 1)]
    begins = torch.ones_like(numbers[0], dtype=torch.bool)
    begins[1:] = False
    for each in numbers:
        begins[1:] |= each[1:] != each[:-1]
    starts = begins.nonzero().flatten()
    return starts, starts.diff(append=starts.new_tensor([len(begins)]))


def _segments(
    panoptic: Tensor, pixels: Tensor, groups: Groups, void: int, name: str
) -> tuple[Tensor, Tensor]:
    """Class and instance of each segment but void, (S, 2), sorted; and which holds some pixels: S is void."""
    kinds, kind = panoptic[..., 0].reshape(-1)[pixels].long().unique(return_inverse=True)
    numbers, number = panoptic[..., 1].reshape(-1)[pixels].long().unique(return_inverse=True)
    things, stuff = groups
    if unknown := sorted(set(kinds.tolist()) - things - stuff - {void}):
        place = tuple((panoptic[..., 0] == unknown[0]).nonzero()[0].tolist())
        raise ValueError(
            f"expected {name} of classes in things or stuff, or void ({void}), got class {unknown[0]} at "
            f"{place}; add it to one of the two, or write {void} there"
        )
    of_things = torch.tensor([each in things for each in kinds.tolist()], device=kinds.device)
    number = torch.where(of_things[kind], number, -1)  # stuff and void have no instances
    code, segment = (kind * (len(numbers) + 1) + number + 1).unique(return_inverse=True)
    kind, number = code // (len(numbers) + 1), code % (len(numbers) + 1) - 1
    segments = torch.stack([kinds[kind], torch.where(number < 0, 0, numbers[number])], dim=1)
    real = segments[:, 0] != void
    order = torch.where(real, real.cumsum(0) - 1, int(real.sum()))
    return segments[real], order[segment]


def _sums(place: Tensor, values: Tensor, count: int) -> Tensor:
    """Values added up by their places: (count,)."""
    return values.new_zeros(count).index_add_(0, place, values)


# --- From counts to scores ---


def _scores(overlap: float, matched: float, extra: float, missed: float) -> dict[str, float]:
    """Scores of a class from the sum of its matches' IoU and its counts; NaN where there is nothing."""
    everything = matched + (extra + missed) / 2
    nothing = 0.0 if everything else math.nan
    return {
        "PQ": overlap / everything if everything else nothing,
        "SQ": overlap / matched if matched else nothing,
        "RQ": matched / everything if everything else nothing,
        "TP": matched,
        "FP": extra,
        "FN": missed,
    }


def _means(scores: Iterable[dict[str, float]]) -> dict[str, float]:
    """Means over the classes that have scores; NaN where there is none."""
    counted = [each for each in scores if not math.isnan(each["PQ"])]
    return {
        name: sum(each[name] for each in counted) / len(counted) if counted else math.nan
        for name in ("PQ", "SQ", "RQ")
    }


# --- What comes in ---


def _images(
    prediction: Tensor | Sequence[Tensor], target: Tensor | Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor, tuple[str, str]]]:
    """Pairs of maps, and what to call them: one image, or each of a list."""
    tensors = [each for each in (prediction, target) if isinstance(each, Tensor)]
    if len(tensors) == 2 and {each.dim() for each in tensors} != {4}:
        yield tensors[0], tensors[1], ("prediction", "target")
        return
    for value, name in ((prediction, "prediction"), (target, "target")):
        if not isinstance(value, Tensor | list | tuple):
            raise TypeError(
                f"expected {name} as a tensor (H, W, 2) or a list of them, got {type(value).__name__}; use "
                f"torch.as_tensor({name})"
            )
    if len(prediction) != len(target) or len(tensors) == 1:
        raise ValueError(
            f"expected a prediction for each image of target, got {_form(prediction)} for {_form(target)}; "
            "pass two maps (H, W, 2), or two lists of one length"
        )
    for n, (guess, truth) in enumerate(zip(prediction, target, strict=True)):
        yield guess, truth, (f"prediction[{n}]", f"target[{n}]")


def _form(value: Tensor | Sequence[Tensor]) -> str:
    """What was given, in words."""
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a list of {len(value)}"


def _classes(things: Collection[int], stuff: Collection[int], void: int) -> Groups:
    """Things and stuff, once no class is both and none is void."""
    none = inputs.whole(void, "void", -_LARGEST)
    groups = _whole_numbers(things, "things"), _whole_numbers(stuff, "stuff")
    if both := sorted(groups[0] & groups[1]):
        raise ValueError(
            f"expected each class in things or in stuff, got {both[0]} in both; take it out of one"
        )
    for group, name in zip(groups, ("things", "stuff"), strict=True):
        if none in group:
            raise ValueError(f"expected {name} without void ({none}), got it among them; set another void")
    return groups


def _whole_numbers(values: Collection[int], name: str) -> set[int]:
    """Classes as a set of whole numbers."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"expected {name} as a list of classes, got {values!r}; give a list or a set")
    return {inputs.whole(each, f"{name}[{n}]", -_LARGEST) for n, each in enumerate(values)}


def _whole_map(value: Any, name: str, form: str) -> Tensor:
    """The value, once it is a tensor of this form and of whole numbers."""
    if (
        inputs.tensor(value, name, form).is_floating_point()
        or value.is_complex()
        or value.dtype == torch.bool
    ):
        raise ValueError(f"expected {name} in whole numbers, got {value.dtype}; convert with {name}.long()")
    return value


def _instances(semantic: Tensor, instances: Mapping[str, Tensor], void: int) -> tuple[Tensor, Tensor, Tensor]:
    """Masks, labels and scores, once they fit each other and the semantic map."""
    inputs.label_map(semantic, "semantic", ignore_index=inputs.whole(void, "void", -_LARGEST), form="H W")
    if not isinstance(instances, Mapping):
        raise TypeError(
            f"expected instances as a dict of masks, labels and scores, got {type(instances).__name__}; "
            "name the three"
        )
    for field in ("masks", "labels", "scores"):
        if field not in instances:
            raise ValueError(f"expected instances with {field!r}, got {sorted(instances)}; add that field")
    masks = inputs.masks(instances["masks"], "instances['masks']")
    labels = inputs.integer(instances["labels"], "instances['labels']", "N")
    scores = inputs.floating(instances["scores"], "instances['scores']", "N")
    inputs.finite(scores, "instances['scores']", "drop such instances first")
    for value, field in ((labels, "labels"), (scores, "scores")):
        if len(value) != len(masks):
            raise ValueError(
                f"expected one of instances['{field}'] for each of {len(masks)} masks, got {len(value)}; "
                "give each instance a mask, a label and a score"
            )
    if masks.shape[1:] != semantic.shape:
        raise ValueError(
            f"expected instances['masks'] of the size of semantic, {tuple(semantic.shape)}, got "
            f"{tuple(masks.shape[1:])}; resize or paste them first"
        )
    for value, field in ((masks, "masks"), (labels, "labels"), (scores, "scores")):
        inputs.same_place(value, f"instances['{field}']", semantic, "semantic")
    return masks, labels, scores
