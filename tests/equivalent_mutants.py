# ruff: noqa: E501
"""Mutants that still do what their task says, with the reason; `test_mutants` tries that each passes."""

EQUIVALENT: dict[str, dict[str, list[str]]] = {
    "1.2": {
        "window and distance treat both axes alike": [
            "assign: 2 and 3 exchanged [(distance, dy, dx)]",
            "_parts: 2 and 3 exchanged [(color, y[:, None] - centers[:, 3, None, None], x - centers[:, 4, None, None])]",
        ],
        "two new axes of length 1": [
            "_parts: 2 and 3 exchanged [(:, 3, None, None)]",
            "_parts: 2 and 3 exchanged [(:, 4, None, None)]",
        ],
    },
    "1.3": {
        "the smaller of two numbers": [
            "merge_components: arguments 1 and 2 exchanged [torch.minimum(inner[keep] + k / sizes[keep], inner[gone] + k / sizes[gone])]",
        ],
    },
    "1.4": {
        "the smaller of two numbers": [
            "undersegmentation_error: arguments 1 and 2 exchanged [torch.minimum(shared, shared.sum(1, keepdim=True) - shared)]",
        ],
    },
    "2.1": {
        "to agree is the same both ways, for two maps and for the two pixels of a pair": [
            "rand_index: 1 and 2 exchanged [(ours, theirs)]",
            "rand_index: 1 and 2 exchanged [(_together(labels), _together(truth))]",
            "_together: 1 and 2 exchanged [(one, other)]",
            "_together: turned [labels.flatten()[one] == labels.flatten()[other]]",
            "labels and truth exchanged",
        ],
    },
    "2.2": {
        "a boundary has no first side": [
            "_borders: 1 and 2 exchanged [(a, b)]",
            "_borders: arguments 1 and 2 exchanged [min(lowest[a], lowest[b])]",
            "_borders: arguments 1 and 2 exchanged [max(lowest[a], lowest[b])]",
        ],
    },
    "3.3": {
        "IoU is the same with prediction and truth exchanged": [
            "mean_iou: arguments 1 and 2 exchanged [_ious(prediction, target, num_classes, target != ignore_index)]",
            "_ious: 1 and 2 exchanged [(guess, truth)]",
            "_ious: 1 and 2 exchanged [(prediction, target)]",
        ],
        "a class that occurs nowhere is NaN and left out of the mean": [
            "_ious: one round more [range(num_classes)]",
        ],
    },
    "3.4": {
        "IoU is the same with prediction and truth exchanged": [
            "two_means: arguments 1 and 2 exchanged [_over_images(predictions, targets, num_classes)]",
            "two_means: arguments 1 and 2 exchanged [_over_data_set(predictions, targets, num_classes)]",
            "_over_images: arguments 1 and 2 exchanged [_image_ious(predictions, targets, num_classes)]",
            "_ious: 1 and 2 exchanged [(guess, truth)]",
            "_ious: 1 and 2 exchanged [(prediction, target)]",
            "_over_data_set: arguments 1 and 2 exchanged [_ious(predictions, targets, num_classes, counted)]",
            "predictions and targets exchanged",
        ],
        "ones of any dtype select the same pixels": [
            "_image_ious: dtype left out [torch.ones_like(targets[0], dtype=torch.bool)]",
            "_over_data_set: dtype left out [torch.ones_like(targets, dtype=torch.bool)]",
        ],
        "all images have one shape": [
            "_image_ious: one less [0]",
        ],
        "a class that occurs nowhere is NaN and left out of the mean": [
            "_ious: one round more [range(num_classes)]",
        ],
        "nothing is ignored in this task": [
            "_ious: right part gone [(labels == number) & counted]",
        ],
    },
    "3.5": {
        "tensors of one axis: 0 and -1 name it": [
            "precision_recall: one less [0]",
            "precision_recall: one less [0] #2",
        ],
    },
    "4.2": {
        "no window fits only in the wrong answers": [
            "_scored: never [if not rows or not columns:]",
            "_scored: and for or [not rows or not columns]",
            "_scored: condition 1 gone [not rows or not columns]",
            "_scored: condition 2 gone [not rows or not columns]",
        ],
        "stacking along the last axis, counted from the other end": [
            "_scored: one less [0]",
            "_scored: sign gone [-1]",
        ],
    },
    "4.3": {
        "a blank batch of any size has one shape behind it": [
            "_dense: one more [1] #5",
            "_dense: one less [1] #5",
        ],
    },
    "4.4": {
        "the threshold is None only in a wrong answer": [
            "_places: always [if threshold is not None:]",
        ],
        "margins differ, so places never decide": [
            "_places: key left out [found.sort(key=lambda each: each[0], reverse=order == 'falling')]",
        ],
    },
    "4.5": {
        "windows lie in the image: only wrong answers cut patches short, and they are squares": [
            "_mined: 1 and 2 exchanged [(:, :crop.shape[1], :crop.shape[2])]",
            "_mined: 2 and 3 exchanged [(:, :crop.shape[1], :crop.shape[2])]",
            "_mined: to the last [:crop.shape[1]]",
            "_mined: to the last [:crop.shape[2]]",
            "_mined: one more [1]",
            "_mined: one less [2]",
        ],
        "margins differ, so places never decide": [
            "_places: key left out [found.sort(key=lambda each: each[0], reverse=order == 'falling')]",
        ],
    },
    "5.3": {
        "all paths have one stride": [
            "join_fields: one less [0]",
        ],
    },
    "5.4": {
        "a network that does not look at its images is in no case": [
            "_heat: always the first [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)]",
        ],
        "a factor that the division takes out": [
            "_heat: mean instead [sizes.sum(dim=(0, 1))]",
            "_heat: mean instead [(picked[:, 0] if one_channel else picked).sum()]",
        ],
        "the order of the summed axes": [
            "_heat: 1 and 2 exchanged [(0, 1)]",
        ],
        "the scale of a wrong answer": [
            "_heat: min instead [heat.max()]",
        ],
    },
    "5.5": {
        "min of two": [
            "design: arguments 1 and 2 exchanged [min(field, (size - field) // 2)]",
        ],
    },
    "6.1": {
        "the dilation is the same along both axes": [
            "_spread: 1 and 2 exchanged [((rows, y), (columns, x))]",
            "_spread: 1 and 2 exchanged [(y, x)]",
        ],
        "a tail of zeros, in a wrong answer only": [
            "_spread: computed otherwise [step - 1]",
            "_spread: right part gone [step - 1]",
            "_spread: one more [1] #4",
            "_spread: one less [1] #4",
        ],
    },
    "6.2": {
        "the last two of four axes from either end; the runs of a row are of one height, of a column of one width": [
            "_interleave: sign gone [-2]",
            "_interleave: sign gone [-2] #2",
            "_interleave: one more [0]",
            "_interleave: one less [0]",
            "_interleave: one more [0] #2",
            "_interleave: one less [0] #2",
        ],
    },
    "6.3": {
        "three equal taps at the same places, whatever their order; one axis; a symmetric kernel": [
            "_convolved: one less [0]",
            "_convolved: one less [0] #2",
            "_convolved: left out [kernel.flip(0)]",
            "_convolved: one less [0] #3",
            "_taps: 1 and 2 exchanged [[0, dilation, 2 * dilation]]",
            "_taps: 2 and 3 exchanged [[0, dilation, 2 * dilation]]",
        ],
    },
    "6.4": {
        "a place (1, 1): nothing is left to be reshaped; the value of one number": [
            "_identity: arguments 2 and 3 exchanged [(same * value(outputs, inputs, classes)).reshape(outputs, inputs, *[1] * (weight[..., *place].dim() - 2))]",
            "_identity: one more [1] #3",
            "_identity: one less [1] #3",
            "_identity: one more [2]",
        ],
    },
    "6.5": {
        "what was lost is read by wrong answers only": [
            "_plan: 2 and 3 exchanged [(plan, before, now)]",
            "_plan: 1 and 2 exchanged [[*lost, stride // left]]",
            "_plan: computed otherwise [stride // left]",
            "_plan: arguments 3 and 4 exchanged [dilation_of(before, now, stride // left, lost)]",
            "_plan: computed otherwise [stride // left] #2",
        ],
    },
    "7.2": {
        "the axis of two maps that are added": [
            "_score_first: one more [0] #2",
            "_score_first: one less [0] #2",
        ],
    },
    "7.4": {
        "a sum": [
            "_decode: arguments 1 and 2 exchanged [fuse(up(x, weight, finer), finer)]",
        ],
        "cutting at other sides, in wrong answers only": [
            "_crop: 1 and 2 exchanged [(down, across)]",
            "_crop: 1 and 2 exchanged [(x.shape[2] - size[0], x.shape[3] - size[1])]",
            "_crop: computed otherwise [x.shape[2] - size[0]]",
            "_crop: right part gone [x.shape[2] - size[0]]",
            "_crop: computed otherwise [x.shape[3] - size[1]]",
            "_crop: right part gone [x.shape[3] - size[1]]",
            "_crop: from the first [down:down + size[0]]",
            "_crop: from the first [across:across + size[1]]",
            "_crop: one more [2]",
            "_crop: one less [2]",
            "_crop: one more [0] #2",
            "_crop: one less [0] #2",
            "_crop: one less [3]",
            "_crop: one less [1]",
            "_crop: left part gone [down + size[0]]",
            "_crop: left part gone [across + size[1]]",
        ],
    },
    "7.5": {
        "regions that do not occur, and one more of them, are never read": [
            "_means: left out [torch.bincount(labels.flatten(), minlength=count).clamp(min=1)]",
            "_means: left out [int(labels.max())]",
            "_means: one more [1]",
            "_means: minlength left out [torch.bincount(labels.flatten(), minlength=count)]",
            "_means: one more [1] #4",
            "_means: one less [1] #4",
        ],
        "the window is a square; a batch of one map": [
            "_near: 1 and 2 exchanged [(down, across)]",
            "_near: one less [0]",
        ],
    },
    "8.1": {
        "the count is read by a wrong answer only": [
            "_stroke: 1 and 2 exchanged [(canvas, count)]",
            "_stroke: gone [count[here] += 1]",
            "_stroke: overwritten [count[here] += 1]",
            "_stroke: one more [1]",
            "_stroke: one less [1]",
        ],
    },
    "8.2": {
        "the order of flipped axes": [
            "_slide: 1 and 2 exchanged [(2, 3)]",
        ],
        "the tail of a wrong answer": [
            "_spread: computed otherwise [(len(x) - 1) * step + 1 + tail]",
            "_spread: right part gone [(len(x) - 1) * step + 1 + tail]",
            "_spread: computed otherwise [(x.shape[1] - 1) * step + 1 + tail]",
            "_spread: right part gone [(x.shape[1] - 1) * step + 1 + tail]",
        ],
    },
    "8.4": {
        "float32 is the default": [
            "_paintings: dtype left out [torch.eye(kernel * kernel, dtype=x.dtype)]",
        ],
        "the two axes of a transposition": [
            "_paintings: arguments 1 and 2 exchanged [painted.transpose(0, 1)]",
        ],
    },
    "8.5": {
        "a guard against 0 / 0: where there is no paint, none was painted; strokes of one channel": [
            "_dense: always the first [torch.where(weight > 0, painted / torch.where(weight > 0, weight, 1), 0)]",
            "_dense: turned [weight > 0]",
            "_dense: one less [0] #2",
            "_dense: always the first [torch.where(weight > 0, weight, 1)]",
            "_dense: turned [weight > 0] #2",
            "_dense: one more [1]",
            "_dense: one less [1]",
            "_dense: one less [0] #3",
        ],
        "a wrong answer's places": [
            "_scatter: 1 and 2 exchanged [(height, width)]",
        ],
        "a batch of one channel": [
            "_brush: one less [0]",
        ],
    },
    "9.1": {
        "the order of the two axes": [
            "_centre: 1 and 2 exchanged [(2, 3)]",
        ],
    },
    "9.3": {
        "sizes are multiples of the tile; the batch is one image": [
            "_tiles: one round less [range(0, image.shape[1], tile)]",
            "_tiles: one less [0]",
            "_tiles: one round less [range(0, image.shape[2], tile)]",
        ],
    },
    "9.4": {
        "a class that does not occur is left out": [
            "_dice: one round more [range(logits.shape[1])]",
        ],
        "no pixel that counts means no class that occurs": [
            "_dice: and for or [not counts.any() or not costs]",
            "_dice: condition 1 gone [not counts.any() or not costs]",
            "_dice: condition 2 gone [not counts.any() or not costs]",
        ],
        "sums that a wrong answer reads": [
            "_dice: 1 and 2 exchanged [(both, sums)]",
            "_dice: 1 and 2 exchanged [(both + overlap, sums + total)]",
            "_dice: computed otherwise [both + overlap]",
            "_dice: right part gone [both + overlap]",
            "_dice: left part gone [both + overlap]",
            "_dice: computed otherwise [sums + total]",
            "_dice: right part gone [sums + total]",
            "_dice: left part gone [sums + total]",
        ],
        "the sum of no pixel; zeros": [
            "_dice: mean instead [g.sum()]",
            "_dice: one more [0] #2",
            "_dice: one less [0] #2",
        ],
        "zero times it, which keeps the gradient": [
            "_dice: computed otherwise [logits.sum() * 0]",
            "_dice: right part gone [logits.sum() * 0]",
            "_dice: left part gone [logits.sum() * 0]",
            "_dice: mean instead [logits.sum()]",
        ],
    },
    "9.5": {
        "closing a stroke, or ending it in squares, is a wrong answer": [
            "_paint: arguments 4 and 5 exchanged [_distances(part, y, x, endless, square)]",
            "_paint: to the last [:1]",
            "_paint: one more [1]",
            "_paint: one less [1]",
        ],
        "the distance is the same from either end, and from either side; a single point has no length": [
            "_distances: 1 and 2 exchanged [((x0, y0), (x1, y1))]",
            "_distances: 1 and 2 exchanged [(off_x, off_y)]",
            "_distances: arguments 1 and 2 exchanged [torch.minimum(nearest, distance)]",
            "_distances: arguments 1 and 2 exchanged [max(dx * dx + dy * dy, 1e-12)]",
            "_distances: arguments 1 and 2 exchanged [torch.hypot(off_x, off_y)]",
            "_distances: one more [1e-12]",
            "_distances: one less [0] #2",
            "_distances: one less [0] #3",
        ],
        "options of wrong answers": [
            "_distances: always the second [along if endless else along.clamp(0, 1)]",
            "_distances: 1 and 2 exchanged [((x - x0 - along * dx).abs(), (y - y0 - along * dy).abs())]",
            "_distances: always the second [torch.maximum(off_x, off_y) if square else torch.hypot(off_x, off_y)]",
            "_distances: left out [(x - x0 - along * dx).abs()]",
            "_distances: left out [(y - y0 - along * dy).abs()]",
        ],
    },
    "10.2": {
        "a tensor of one number serves as an index": [
            "_visit: left out [int(cost.argmin())]",
        ],
        "options of wrong answers": [
            "_visit: gone [asked.append(int(other))]",
            "_visit: left out [int(now[y, x])]",
            "_visit: left out [int(other)]",
        ],
    },
    "10.3": {
        "the first to be added to zeros": [
            "_votes: overwritten [votes[:, :, :-1] += right * q[:, :, 1:]]",
        ],
    },
    "10.4": {
        "the kernel is symmetric": [
            "message: one less [1]",
        ],
        "distances treat both axes alike": [
            "_kernel: 1 and 2 exchanged [[y[:, None].expand(-1, width), x.expand(height, -1)]]",
        ],
    },
    "11.2": {
        "the mean over both axes of the map": ["aspp: 1 and 2 exchanged [(2, 3)]"],
    },
    "11.3": {
        "a product has no order: height times width, channels in times channels out": [
            "multiply_adds: 1 and 2 exchanged [(height, width)]",
            "multiply_adds: 1 and 2 exchanged [(height, width)] #2",
            "multiply_adds: 1 and 2 exchanged [(math.ceil(height / stride), math.ceil(width / stride))]",
            "multiply_adds: 1 and 2 exchanged [(before, after, kernel, stride)]",
        ],
    },
    "11.4": {
        "a mean has no order": ["multiscale: 1 and 2 exchanged [(straight, mirrored)]"],
        "False is what F.interpolate does unless told": [
            "_resize: align_corners left out [F.interpolate(x, size, mode='bilinear', align_corners=False)]",
        ],
    },
    "11.5": {
        "SciPy's numbers are int64 already": [
            "match_masks: dtype left out [torch.as_tensor(queries, dtype=torch.int64)]"
        ],
        "what is added to every cost changes no pairing": [
            "match_masks: one more [1]",
            "match_masks: one less [1]",
        ],
        "the sum over both axes of the map": [
            "match_masks: 1 and 2 exchanged [(1, 2)]",
            "match_masks: 1 and 2 exchanged [(1, 2)] #2",
        ],
    },
    "12.3": {
        "tensors of one axis: 0 and -1 name it": [
            "_curve: one less [0]",
        ],
    },
    "12.4": {
        "tensors of one axis: 0 and -1 name it": [
            "_curve: one less [0]",
        ],
        "only whether a truth was taken counts: its number is 0 or more, in any dtype": [
            "greedy_match: one more [1]",
            "greedy_match: dtype left out [torch.zeros(len(scores), dtype=torch.int64)]",
        ],
    },
    "12.5": {
        "IoU is the same with both masks exchanged": [
            "iou_after_shift: 1 and 2 exchanged [[masks, _moved(masks, dy, dx)]]",
        ],
    },
    "13.1": {
        "the larger of two": [
            "quantization_error: arguments 1 and 2 exchanged [torch.maximum(cells[:, 2:], cells[:, :2])]",
        ],
    },
    "13.2": {
        "both axes are treated alike, or the order of a sum": [
            "_pull: 1 and 2 exchanged [(0, 1)]",
            "_pull: 1 and 2 exchanged [(0, 1)] #2",
        ],
        "the neighbour has weight 0 there, or indices are clamped once more": [
            "_pull: left out [x.clamp(0, width - 1)]",
            "_pull: left out [y.clamp(0, height - 1)]",
            "_pull: one less [0] #4",
            "_pull: computed otherwise [width - 1]",
            "_pull: right part gone [width - 1]",
            "_pull: one less [0] #5",
            "_pull: computed otherwise [height - 1]",
            "_pull: right part gone [height - 1]",
            "_pull: one less [1] #5",
            "_pull: one less [1] #6",
            "_pull: one less [0] #6",
            "_pull: one less [0] #7",
        ],
    },
    "13.5": {
        "exchanged twice": [
            "_place: 1 and 2 exchanged [(matrices, masks)]",
        ],
        "the task leaves open a centre that lies exactly on the edge": [
            "_place: turned [part >= 0]",
            "_place: turned [part < 1]",
        ],
    },
    "14.1": {
        "the last of one is the first": [
            "_target: one less [0]",
            "_target: one less [0] #2",
        ],
    },
    "14.4": {
        "IoU is the same both ways": [
            "_distinct: arguments 1 and 2 exchanged [overlap(masks[row], masks[other])]",
        ],
    },
    "15.3": {
        "segments left over in either map count alike": [
            "quality: arguments 3 and 4 exchanged [_rows(overlap, matched, extra, missed)]",
            "extra and missed exchanged",
        ],
    },
    "18.1": {
        "the bin of least mean is the bin of least sum": [
            "_squares: mean instead [(ab.movedim(1, -1)[..., None, :] - bins).square().sum(-1)]",
        ],
    },
    "18.3": {
        "a factor that all weights share is divided out": [
            "rebalance: one more [1]",
        ],
    },
}
