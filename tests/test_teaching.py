"""The instructor's pages: each has its parts, its tables say what the labs say, and its numbers come out."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from segcore import checks
from segcore.checks.chapters import exercise
from segcore.encoder_decoders import UNet
from segcore.roi_align import roi_align

ROOT = Path(__file__).parents[1]
TEACHING = ROOT / "book" / "teaching"
PAGES = {str(number): f"{int(number):02d}_{slug}" for number, slug in checks.CHAPTERS.items()}
SECTIONS = [
    "The lesson",
    "What goes wrong, and why",
    "Three questions for the board",
    "If time is short",
    "The lab's questions",
    "In class",
]


def solved(number):
    return json.loads((ROOT / "solutions" / f"{PAGES[number]}.ipynb").read_text(encoding="utf-8"))


def exercises(number):
    return [each["id"] for each in solved(number)["metadata"]["course"]["exercises"]]


def lab_minutes(number):
    return solved(number)["metadata"]["course"]["minutes"]


def exercise_minutes():
    """What the table at the top of each lab says of each exercise."""
    found = {}
    for number in PAGES:
        for cell in solved(number)["cells"][:3]:
            found |= dict(
                re.findall(r"^\| (\d+\.\d) \|.*\| (\d+) \|$", "".join(cell["source"]), re.MULTILINE)
            )
    return {name: int(minutes) for name, minutes in found.items()}


def text_of(name):
    return (TEACHING / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", PAGES)
def test_a_page_has_its_parts(number):
    text, page = text_of(PAGES[number]), PAGES[number]
    assert re.match(rf"# Teaching chapter {int(number)}: \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    parts = dict(zip(SECTIONS, re.split(r"^## .+\n", text, flags=re.MULTILINE)[1:], strict=True))
    lead = re.search(rf"\{{doc\}}`the lab </labs/{page}>` \((\d+)[,)]", text)
    assert int(lead[1]) == lab_minutes(number)
    minutes = [int(each) for each in re.findall(r"^\| (\d+) \|", parts["The lesson"], re.MULTILINE)]
    assert sum(minutes) == 45, "the lesson's rows do not add up"
    if (ROOT / "segcore" / "widgets" / f"{page[3:]}.py").exists():
        assert parts["The lesson"].count("{figure-state}") >= 3
    assert parts["What goes wrong, and why"].count("\n**") >= 4
    questions = parts["Three questions for the board"]
    assert re.findall(r"^(\d)\. \*", questions, re.MULTILINE) == ["1", "2", "3"]
    assert re.findall(r"^- \*\*(\d+\.\d), ", parts["The lab's questions"], re.MULTILINE) == exercises(number)


def test_nothing_stands_among_them_without_a_chapter():
    assert {path.stem for path in TEACHING.glob("*.md")} == {*PAGES.values(), "index", "exam"}


def table(text, heading):
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if re.match(r"\| \d", line)]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in lines]
    return rows, part


def test_twelve_weeks_teach_every_chapter_and_add_up():
    rows, part = table(text_of("index"), "Twelve weeks")
    assert [row[0] for row in rows] == [str(week) for week in range(1, 13)]
    taught = re.findall(r"\{doc\}`(\d+) <(\w+)>`", part)
    assert dict(taught) == PAGES and len(taught) == 18
    total = 0
    for row in rows:
        minutes = lab_minutes(row[2]) if row[2] else 0
        assert int(row[3]) == minutes, row
        total += minutes
    left = [number for number in PAGES if number not in {row[2] for row in rows}]
    everything = sum(lab_minutes(number) for number in PAGES)
    assert f"That is {total} minutes of labs" in part and f"take {everything:,} minutes" in part
    names = ", ".join(left[:-1]) + f" and {left[-1]}"
    assert f"The labs of {names} are left" in part


def test_six_weeks_name_every_chapter_and_add_up():
    rows, part = table(text_of("index"), "Six weeks")
    assert [row[0] for row in rows] == [str(week) for week in range(1, 7)]
    assert sorted(int(n) for n, _ in re.findall(r"\{doc\}`(\d+) <(\w+)>`", part)) == list(range(1, 19))
    given = exercise_minutes()
    for row in rows:
        assert int(row[4]) == sum(given[name] for name in row[3].split(", ")), row


# ---- The lecture's outline

# What the lecture's slides are headed by, in their order; each stands in the table's first column.
TOPICS = """Superpixel segmentation
Contour detection and hierarchical image segmentation
Multiscale combinatorial grouping
interactive segmentation
pixel classification accuracy
intersection over union
average precision
post-process on a classification network
Convolutionalization
Sparse, low-resolution output
Receptive field, stride
Bilinear up-sampling: differentiable
shift and stitch
Dilated convolution
Removing the down-sampling of an FCN
large sparse filter
fields of 3, 7, 15
Multi-scale context aggregation
hypercolumns
skip connections
learned up-sampling
U-Net
Up-convolution: paint
the other view
bilinear up-sampling?
Max unpooling
DeconvNet
Summary of up-sampling architectures
the energy of a labelling
label compatibility times pixel similarity
sharpen a network's prediction
PASCAL VOC 2012
DeepLabv3+
Object detection, semantic and instance segmentation
average precision with region IoU
Mask R-CNN = Faster R-CNN + FCN on RoIs
RoIPool
RoIAlign: bilinear interpolation
From RoIAlign features
28 × 28 soft prediction
example results
Instance segmentation results on COCO
panoptic segmentation
Keypoint prediction
Depth estimation
Surface normals
Depth, normals and labels
Colorization"""


def lecture_rows():
    text = (ROOT / "book" / "lecture.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    return [re.split(r" \| |; (?=\{)", line.strip("|")) for line in lines]


def test_every_topic_of_the_lecture_is_in_the_table():
    topics = [row[0].lower() for row in lecture_rows()]
    assert [topic for topic in TOPICS.split("\n") if not any(topic.lower() in each for each in topics)] == []
    said = {number for row in lecture_rows() for number in re.findall(r"<(\d\d)_\w+>", row[1])}
    assert len(said) == 18, "a chapter that the lecture never reaches"


def test_every_link_of_the_lectures_table_leads_to_what_stands():
    given = exercise_minutes()
    for row in lecture_rows():
        assert len(row) == 4 and all(cell.strip() for cell in row), row
        number, page = re.search(r"\{doc\}`(\d+) <(\w+)>`", row[1]).groups()
        assert PAGES[number] == page
        labs = re.findall(r"\{doc\}`([\d.]+) </labs/(\w+)>`", row[2])
        assert labs, row
        for name, lab in labs:
            assert name in given and lab[:2] == f"{int(name.split('.')[0]):02d}", row
            assert (ROOT / "labs" / f"{lab}.ipynb").is_file()
        assert "{figure-state}`" in row[3]  # that the state exists, test_widget_states tries


# ---- What the pages compute


def run(name, *arguments):
    """The reference of an exercise."""
    return exercise(name).reference(*arguments)


def rows(value):
    return value.tolist() if isinstance(value, torch.Tensor) else [list(each) for each in value]


def near(value, expected, digits=3):
    got = torch.as_tensor(value, dtype=torch.float64)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=10**-digits, rtol=0)


def test_board_of_chapters_1_and_2():
    ends = torch.tensor([[0, 1], [1, 2], [2, 3]])
    assert run("1.3", torch.tensor([1.0, 2.0, 3.0]), ends, 5, 2).tolist() == [0, 0, 0, 3, 4]
    near(run("1.4", torch.tensor([[0, 0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1, 1, 1]])), 2 / 6)
    near(run("2.1", torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 0, 0, 1]])), 0.5)
    pairs, strengths = torch.tensor([[0, 1], [0, 2], [1, 2]]), torch.tensor([1.0, 4.0, 2.0])
    for threshold, answer in ((2.49, [0, 0, 2]), (2.5, [0, 0, 0])):
        assert run("2.2", pairs, strengths, torch.tensor([1, 1, 3]), 3, threshold).tolist() == answer


def test_board_of_chapter_3():
    confusion = torch.tensor([[4, 2], [1, 0]])  # 6 in the truth, 5 predicted, 4 shared
    assert run("3.2", confusion)[0].item() == pytest.approx(4 / 7)
    near(2 * (4 / 7) / (1 + 4 / 7), 8 / 11)
    assert ((8 / 10 + 1 / 2) / 2, (8 + 1) / (10 + 2)) == (0.65, 0.75)


def test_board_of_chapters_4_to_6():
    def classifier(patches):
        return patches.flatten(1)[:, :1]

    assert run("4.2", classifier, torch.zeros(1, 61, 45), 25, 4).shape == (1, 10, 6)
    assert 7 * 7 * 512 * 512 == 12_845_056
    field, sizes = (1, 1, 0), []
    for layer in ((3, 1, 0, 1), (2, 2, 0, 1), (3, 1, 0, 1)):
        field = run("5.1", field, layer)
        sizes.append(field[0])
    assert sizes == [3, 4, 8] and field[1] == 2
    assert tuple(run("5.3", [(5, 1, 2), (3, 1, 2)])) == tuple(run("5.3", [(3, 1, 2), (3, 1, 0)])) == (5, 1, 2)

    def pairs(image):
        return torch.maximum(image[..., ::2][..., : image.shape[-1] // 2], image[..., 1::2])

    row = torch.tensor([3.0, 4, 1, 2, 5]).reshape(1, 1, 1, 5).expand(1, 1, 2, 5)
    assert run("6.2", lambda image: pairs(image)[..., ::2, :], row, 2)[0, 0, 0].tolist() == [4, 4, 2, 5]
    assert rows(run("6.5", [2, 2, 1], 2)) == [[2, 1], [1, 1], [1, 2]]
    for dilations, holes in (([1, 3, 9], False), ([1, 3, 10], True), ([2, 3, 5], True)):
        assert bool((run("6.3", dilations) == 0).any()) == holes


def test_board_of_chapters_7_to_9():
    assert (math.ceil(100 / 32), math.ceil(100 / 16)) == (4, 7)
    assert (560 * 96 * 96 * 4, 4 * 96 * 96 * 4, 560 // 4) == (20_643_840, 147_456, 140)
    tent = run("7.3", 1, 2)[0, 0]
    near(tent.sum(0) / 2, [0.25, 0.75, 0.75, 0.25])
    painted = nn.functional.conv_transpose2d(torch.ones(1, 1, 4, 4), tent[None, None], stride=2, padding=1)
    near(painted[0, 0, 3], [0.75, 1, 1, 1, 1, 1, 1, 0.75])
    assert run("8.3", 4, 3, 3).tolist() == [1, 1, 1, 2, 1, 1, 2, 1, 1, 1]
    assert run("8.1", torch.zeros(4, 4), torch.zeros(3, 3), 2, 0).shape == (9, 9)
    logits = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log().reshape(1, 2, 1, 2)
    near(run("9.4", logits, torch.tensor([[[0, 1]]])), 0.1)
    near(((64 + 96) / 64) ** 2, 6.25)
    near(((256 + 96) / 256) ** 2, 1.89, 2)
    sizes = [572]
    for _ in range(4):
        sizes += [sizes[-1] - 4, (sizes[-1] - 4) // 2]
    sizes.append(sizes[-1] - 4)
    for _ in range(4):
        sizes += [2 * sizes[-1], 2 * sizes[-1] - 4]
    said = "568 → 284 → 280 → 140 → 136 → 68 → 64 → 32 → 28"
    assert [int(each) for each in said.split(" → ")] == sizes[1:10] and sizes[-1] == 388


def test_board_of_chapters_10_and_11():
    labels, costs = torch.tensor([[0, 1, 1, 0]]), torch.zeros(2, 1, 4)
    costs[1, 0, [0, 3]] = 9
    weights = torch.tensor([[[2.0, 5, 2, 0]], [[0.0] * 4]])
    near(run("10.1", labels, costs, weights), 4)
    assert torch.equal(run("10.2", labels, costs, weights), labels)
    assert run("10.1", torch.zeros_like(labels), costs, weights) == 0
    q = torch.tensor([[[0.6, 0.4]], [[0.4, 0.6]]])
    after = run("10.3", q, torch.zeros(2, 1, 2), torch.full((2, 1, 2), 6.0))
    near(after[0, 0], [0.231, 0.769])
    image = torch.tensor([0.0, 0, 1]).expand(3, 1, 3)
    q = torch.tensor([[[1.0, 1, 0]], [[0.0, 0, 1]]])
    near(run("10.4", q, image, 80, 13)[0, 0], [1, 1, 0])
    assert int((run("11.1", (33, 33), 18) == 9).sum()) == 0
    assert int((run("11.1", (33, 33), 12) == 9).sum()) == 81
    layers = [(1, 2, 3, 2), (2, 3, 3, 2)]
    assert [run("11.3", layers, (16, 16), stride) for stride in (4, 2)] == [2016, 4608]


def test_board_of_chapter_12():
    right = torch.tensor([True, False, True, True])
    recalls = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64)
    near(run("12.3", right, 4, recalls), [1, 1, 0.75, 0.75, 0])
    ious, scores = torch.tensor([[0.6, 0.7], [0.0, 0.8]]), torch.tensor([0.8, 0.9])
    assert run("12.2", ious, scores, 0.5).tolist() == [0, 1]
    assert run("12.2", ious, scores, 0.65).tolist() == [-1, 1]
    thresholds = torch.arange(50, 100, 5) / 100
    for side, passed in ((10, 7), (40, 10)):
        mask = torch.zeros(1, 50, 50, dtype=torch.bool)
        mask[0, 1 : side + 1, 1 : side + 1] = True
        iou = run("12.5", mask, 0, 1)
        near(iou, [(side - 1) / (side + 1)])
        assert int((iou >= thresholds).sum()) == passed


def test_board_of_chapters_13_and_14():
    moved = run("13.1", torch.tensor([[21.0, 21.0, 61.0, 61.0]]), 1 / 8)
    near(moved, [[3, 3, 11, 11]])
    feature = torch.eye(4)[:, None].expand(4, 4, 4)  # channel c marks column c
    boxes = [torch.tensor([[1.0, 1.0, 3.0, 3.0]])]
    for aligned, row in ((True, [0, 0.5, 0.5, 0]), (False, [0, 0.25, 0.5, 0.25])):
        near(roi_align(feature[None], boxes, 1, 1.0, 2, aligned)[0, :, 0, 0], row)
    lost = run("14.2", torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1), torch.ones(1, 1, 1), torch.tensor([1]))
    near(lost, 1.313)
    near(math.log(1 + math.exp(-2)), 0.127)
    near(math.log(1 + math.exp(3)), 3.05, 2)
    mask = torch.tensor([True, True, False, False]).expand(4, 4)
    near(run("14.1", mask, torch.tensor([0.0, 0, 4, 4]), 2)[0], [1, 0])
    near(run("14.1", mask, torch.tensor([1.0, 0, 3, 4]), 2)[0], [0.875, 0.125])


def test_board_of_chapter_15():
    def scores(overlap, matched, extra, missed):
        return run("15.3", *(torch.tensor(each) for each in (overlap, matched, extra, missed)))

    near(scores([1.4], [2], [1], [1])[0], [0.467, 0.7, 0.667])
    counted = run("15.4", torch.tensor([[0, 0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 0, 0, -1, -1]]))
    near(counted, [0.75, 1, 0, 0])
    near((0.8 * 0.5 + 0.6 * 1) / 2, 0.5)
    near((0.8 + 0.6) / 2 * (0.5 + 1) / 2, 0.525)


def test_board_of_chapters_16_to_18():
    box = torch.tensor([0.0, 0, 56, 56])
    target = run("16.1", torch.tensor([[21.0, 21.0, 2.0]]), box, 7, 0)
    near(run("16.2", target, box), [[20, 20]])
    line = torch.tensor([[0.0, 0, 0], [1, 4, 3], [0, 0, 0]])[None]
    near(run("16.2", line, torch.tensor([0.0, 0, 3, 3]))[0, 0], 1.75)
    truth = torch.tensor([[[0.0, 0, 2], [0, 0, 2], [0, 0, 2]]])
    found = torch.tensor([[[0.0, 0], [2, 0], [4, 0]]])
    for area, answer in ((100.0, 0.581), (400.0, 0.830)):
        near(run("16.3", found, truth, torch.tensor([area]), torch.full((3,), 0.1)), [[answer]])
    depth, real = torch.tensor([[1.0, 2, 4]]), torch.tensor([[2.0, 4, 8]])
    near(run("17.1", depth, real), [0.5, 0, 0])
    logs = torch.tensor([[[0.2, 0.4]]]).exp()
    for weight, answer in ((0.0, 0.1), (0.5, 0.055), (1.0, 0.01)):
        near(run("17.2", logs, torch.ones(1, 1, 2), weight), answer)
    bins = torch.tensor([[1.0, 0], [0, 1]])
    shares = torch.tensor([0.8, 0.2]).reshape(1, 2, 1, 1)
    near(run("18.5", shares, 0.5, bins).flatten(), [0.941, 0.059])
    near(run("18.5", shares, 2.0, bins).flatten(), [0.667, 0.333])
    near(run("18.3", torch.tensor([0.5, 0.5, 0]), 0.5), [1, 1, 2.5])


# ---- The exam


def test_the_exam_adds_up_and_every_question_has_an_answer():
    text = text_of("exam")
    asked = re.findall(r"^\*\*([ABC]\d)\*\* \(chapters? [\d, ]+, (\d) points\)", text, re.MULTILINE)
    answered = re.findall(r"^:::\{admonition\} ([ABC]\d): answer and points$", text, re.MULTILINE)
    assert [name for name, _ in asked] == answered and len(asked) == 20
    assert sum(int(points) for _, points in asked) == 100


def test_what_level_a_of_the_exam_computes():
    assert (1 + 4 / 2, 2.5 + 4 / 5) == (3, 3.3)
    near(run("3.2", torch.tensor([[30, 10], [20, 0]]))[0], 0.5)
    near(2 * 30 / 90, 0.667)
    field, sizes = (1, 1, 0), []
    for layer in ((3, 2, 0, 1), (3, 1, 0, 1), (3, 1, 0, 2)):
        field = run("5.1", field, layer)
        sizes.append(field[0])
    assert sizes == [3, 7, 15] and field[1] == 2
    assert run("6.1", torch.tensor([[1.0, 2, 3]]), 3).tolist() == [[1, 0, 0, 2, 0, 0, 3]]
    assert run("8.1", torch.tensor([[2.0, 3]]), torch.tensor([[1.0, 2, 1]]), 2, 0).tolist() == [
        [2, 4, 5, 6, 3]
    ]
    ious = torch.tensor([[0.6, 0.55], [0.7, 0]])
    assert run("12.2", ious, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, -1]
    moved = run("13.1", torch.tensor([[30.0, 0, 90, 0]]), 1 / 16)
    near(moved[0, [0, 2]] + torch.tensor([30.0, 90]), [32, 112])
    near(run("15.3", torch.tensor([1.6]), *(torch.tensor([n]) for n in (2, 1, 0)))[0], [0.64, 0.8, 0.8])


def test_what_level_b_of_the_exam_computes():
    patch = nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2))
    assert patch(torch.zeros(1, 1, 32, 32)).shape == (1, 8, 14, 14) and 10 * 8 * 14 * 14 == 15_680
    network = nn.Sequential(*patch, nn.Conv2d(8, 10, 14))
    assert network(torch.zeros(1, 1, 64, 80)).shape[2:] == (17, 25)
    plan = rows(run("6.5", [2, 1, 2, 1, 2, 1], 2))
    assert plan == [[2, 1], [1, 1], [1, 1], [1, 2], [1, 2], [1, 4]]
    first = 21 * sum(c * s * s for c, s in ((64, 128), (128, 64), (256, 32)))
    assert (first, 21 * 448 * 256**2) == (38_535_168, 616_562_688) and 616_562_688 // first == 16
    net = UNet(in_channels=1, num_classes=2, width=2, depth=2, padding="valid").eval()
    assert net(torch.zeros(1, 1, 60, 60)).shape[2:] == (20, 20)
    labels, costs = torch.tensor([[0, 1], [1, 1]]), torch.zeros(2, 2, 2)
    costs[1, 0, 0] = 4
    weights = torch.tensor([3.0, 2.0])[:, None, None].expand(2, 2, 2)
    near(run("10.1", labels, costs, weights), 5)
    after = run("10.2", labels, costs, weights)
    assert after.tolist() == [[1, 1], [1, 1]] and run("10.1", after, costs, weights) == 4
    assert run("10.1", torch.zeros_like(labels), costs, weights) == 0
    right = torch.tensor([True, False, False, True, True])
    recalls = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64)
    precision = run("12.3", right, 4, recalls)
    near(precision, [1, 1, 0.6, 0.6, 0])
    near(precision.mean(), 0.64)
    feature = torch.eye(3)[:, None].expand(3, 1, 3)  # channel c marks column c
    box = [torch.tensor([[0.7, 0, 2.3, 1]])]  # coordinates: half a cell beyond the indices
    weights = roi_align(feature[None], box, (1, 2), 1.0, 1)[0, :, 0].T
    near(weights, [[0.4, 0.6, 0], [0, 0.6, 0.4]])
    near(weights.sum(0), [0.4, 1.2, 0.4])
    bins, shares = torch.tensor([[40.0, 0], [-60, 0]]), torch.tensor([0.6, 0.4]).reshape(1, 2, 1, 1)
    near(run("18.5", shares, 1.0, bins).flatten(), [0, 0])
    near(run("18.5", shares, 0.5, bins).flatten(), [9.2, 0], 1)


def test_what_level_c_of_the_exam_computes():
    assert ((8 / 10 + 1 / 2) / 2, (8 + 1) / 12) == (0.65, 0.75)
    assert ((10 / 10 + 0 / 2) / 2, round(10 / 12, 2)) == (0.5, 0.83)
    assert round(((512 + 96) / 512) ** 2, 2) == 1.41 and 512 % 8 == 0


def test_teaching_pages_are_not_run():
    sys.path.insert(0, str(ROOT / "tools"))
    pytest.importorskip("myst_nb")
    from myst_nb.core.read import is_myst_markdown_notebook

    assert not any(is_myst_markdown_notebook(path.read_text("utf-8")) for path in TEACHING.glob("*.md"))
