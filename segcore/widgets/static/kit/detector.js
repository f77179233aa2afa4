// A Mask R-CNN in the page: what stands between its networks, which `segcore.widgets.export_detector` has written down. The
// numbers are those of `segcore.mask_rcnn` and `segcore.detection`. Boxes are [x1, y1, x2, y2] in pixels, maps are { values,
// channels, height, width }. What stands between the two lines below runs in the worker, from its own text.

import { networkWorker, prepare } from "./network.js";
import { pasteIndex, pasteMask, taken } from "./pasting.js";

// --- In the worker ---

// The anchor with a number: row by row, cell by cell, and in a cell side by side, each with all ratios.
function anchorAt(n, width, { stride, sides, ratios }) {
  const each = sides.length * ratios.length;
  const [cell, kind] = [Math.floor(n / each), n % each];
  const [side, root] = [sides[Math.floor(kind / ratios.length)], Math.sqrt(ratios[kind % ratios.length])];
  const [x, y] = [((cell % width) + 0.5) * stride, (Math.floor(cell / width) + 0.5) * stride];
  const [across, down] = [side / root / 2, (side * root) / 2];
  return [x - across, y - down, x + across, y + down];
}

// A box moved and stretched by what a head says, in its units; no side grows more than 64 times.
export function decodeBox([dx, dy, dw, dh], [x1, y1, x2, y2]) {
  const [width, height] = [x2 - x1, y2 - y1];
  const [x, y] = [(x1 + x2) / 2 + 0.1 * dx * width, (y1 + y2) / 2 + 0.1 * dy * height];
  const [across, down] = [[width, dw], [height, dh]].map(([size, by]) => (size * Math.exp(Math.min(0.2 * by, Math.log(64)))) / 2);
  return [x - across, y - down, x + across, y + down];
}

const clipBox = (box, { height, width }) => box.map((edge, n) => Math.min(n % 2 ? height : width, Math.max(0, edge)));
const isWide = ([x1, y1, x2, y2]) => x2 - x1 >= 1 && y2 - y1 >= 1;

function boxIou(a, b) {
  const across = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const down = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const [one, other] = [(a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])];
  return (across * down) / (one + other - across * down);
}

// Non-maximum suppression: the surest first, and none of its label that it overlaps by more than `most`.
function suppressed(boxes, most) {
  const kept = [];
  const sorted = boxes.map((_, n) => n).sort((a, b) => boxes[b].score - boxes[a].score || a - b);
  for (const n of sorted) {
    if (!kept.some((each) => each.label === boxes[n].label && boxIou(each.box, boxes[n].box) > most)) kept.push(boxes[n]);
  }
  return kept;
}

// Of each bin along one axis the cells that its two samples read, each once, and their weights; `ends` says where a bin ends.
function tapsOf(low, high, bins, size) {
  const [start, step] = [low - 0.5, (high - low) / bins];
  const [cells, weights, ends] = [new Int32Array(4 * bins), new Float64Array(4 * bins), new Int32Array(bins)];
  let [first, count] = [0, 0];
  const read = (cell, weight) => {
    if (!weight) return;
    let n = first;
    while (n < count && cells[n] !== cell) n += 1;
    cells[n] = cell;
    weights[n] += weight;
    count = Math.max(count, n + 1);
  };
  for (let bin = 0; bin < bins; bin += 1, first = count) {
    for (const part of [0.25, 0.75]) {
      const at = start + (bin + part) * step;
      if (at < -1 || at > size) continue;
      const inside = Math.min(size - 1, Math.max(0, at));
      const cell = Math.floor(inside);
      read(cell, (cell + 1 - inside) / 2);
      read(Math.min(size - 1, cell + 1), (inside - cell) / 2);
    }
    ends[bin] = count;
  }
  return { cells, weights, ends, read: cells.subarray(0, count) };
}

// RoIAlign of one box: `bins` a side, two samples of each along each axis, the mean of bilinear readings; W_y F W_x^T, the
// rows that are read first.
export function roiAlign({ values, channels, height, width }, box, bins, scale) {
  const [x1, y1, x2, y2] = box.map((edge) => edge * scale);
  const [down, across] = [tapsOf(y1, y2, bins, height), tapsOf(x1, x2, bins, width)];
  const [out, lines] = [new Float32Array(channels * bins * bins), new Float64Array(height * bins)];
  const [top, bottom] = [Math.min(...down.read), Math.max(...down.read)];
  for (let c = 0, to = 0; c < channels; c += 1) {
    for (let row = top; row <= bottom; row += 1) {
      const from = (c * height + row) * width;
      for (let bin = 0, n = 0; bin < bins; bin += 1) {
        let sum = 0;
        for (; n < across.ends[bin]; n += 1) sum += across.weights[n] * values[from + across.cells[n]];
        lines[row * bins + bin] = sum;
      }
    }
    for (let bin = 0, n = 0; bin < bins; bin += 1) {
      const first = n;
      for (let x = 0; x < bins; x += 1, to += 1) {
        let sum = 0;
        for (n = first; n < down.ends[bin]; n += 1) sum += down.weights[n] * lines[down.cells[n] * bins + x];
        out[to] = sum;
      }
    }
  }
  return out;
}

// The first stage: of the best anchors, moved, those that do not overlap much.
function propose({ objectness, deltas }, { height, width }, settings, size) {
  const [cells, each] = [height * width, settings.sides.length * settings.ratios.length];
  const place = (n, k, count) => ((n % each) * count + k) * cells + Math.floor(n / each);
  const scores = Float32Array.from({ length: cells * each }, (_, n) => objectness[place(n, 0, 1)]);
  const least = scores.slice().sort().at(-4 * settings.proposals) ?? -Infinity; // sorting numbers is quick, sorting places is not
  const likely = Array.from(scores.keys()).filter((n) => scores[n] >= least);
  const best = likely.sort((a, b) => scores[b] - scores[a] || a - b).slice(0, 4 * settings.proposals);
  const moved = best.map((n) => {
    const anchor = anchorAt(n, width, settings);
    return { anchor, box: clipBox(decodeBox([0, 1, 2, 3].map((k) => deltas[place(n, k, 4)]), anchor), size), score: scores[n] };
  });
  return suppressed(moved.filter(({ box }) => isWide(box)), 0.7).slice(0, settings.proposals);
}

function softmaxOf(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((each) => each / sum);
}

// The second stage: what stands in each proposal, a box for each class; the surest of each class are kept.
function named(proposals, network, map, settings, size) {
  const boxes = proposals.flatMap(({ box, ...proposal }, from) => {
    const { scores, deltas } = network.run(roiAlign(map, box, network.maps[0].height, 1 / settings.stride));
    const classes = softmaxOf(scores);
    return classes.map((score, label) => ({ score, label, from, classes, proposal: { ...proposal, box },
      box: clipBox(decodeBox(deltas.slice(4 * label, 4 * label + 4), box), size) }));
  });
  const likely = boxes.filter(({ label, score, box }) => label > 0 && score > settings.least && isWide(box));
  return suppressed(likely, 0.5).slice(0, settings.detections);
}

// The last: a soft mask for each class, of which the own one is laid into the image.
function masked(detection, network, map, settings, size) {
  const { output: logits } = network.run(roiAlign(map, detection.box, network.maps[0].height, 1 / settings.stride));
  const { channels, height, width } = network.maps[network.maps.length - 1];
  const cells = height * width;
  const soft = Array.from({ length: channels }, (_, k) => logits.subarray(k * cells, (k + 1) * cells).map((logit) => 1 / (1 + Math.exp(-logit))));
  const pasted = Float32Array.from(pasteMask({ data: soft[detection.label], height, width }, detection.box, size, "exact"));
  return { ...detection, soft, cells: width, pasted };
}

// All of it: the proposals, best first, and what is found, surest first.
function detect(networks, settings, image) {
  const [{ backbone }, size] = [networks, networks.backbone.maps[0]];
  const values = backbone.run(image).output;
  const map = { ...backbone.maps[backbone.maps.length - 1], values };
  const proposals = propose(networks.proposal_head.run(values), map, settings, size);
  const found = named(proposals, networks.box_head, map, settings, size);
  return { proposals, found: found.map((each) => masked(each, networks.mask_head, map, settings, size)) };
}

function answerDetected(held, given, { image, settings }) {
  held.networks ??= Object.fromEntries(given.map(([name, ...parts]) => [name, prepare(...parts)]));
  if (image) {
    const begin = performance.now();
    held.answer = { ...detect(held.networks, settings, image), kernel: held.networks.backbone.kernel };
    held.answer.time = performance.now() - begin;
  }
  return held.answer;
}

// --- In the page ---

const FUNCTIONS = { pasteIndex, taken, pasteMask, anchorAt, decodeBox, clipBox, isWide, boxIou, suppressed, tapsOf, roiAlign, propose, softmaxOf, named,
  masked, detect, answerDetected };

// As `networkWorker`, of a described detector: `answered({ proposals, found, kernel, time }, about)`.
export function detectorWorker({ parts, ...settings }, answered, failed, { root } = {}) {
  const worker = networkWorker(parts, answered, failed, { root, functions: FUNCTIONS, answer: "answerDetected" });
  return { ...worker, ask: (image, about) => worker.ask(image, about, { settings }) };
}

// The same in the page itself: a function of an image. `load` makes a described network ready.
export function detectorOf({ parts, ...settings }, load) {
  const networks = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, load(part)]));
  return (image) => detect(networks, settings, image);
}

// Which object each detection takes, the surest first: of its class the one with the largest mask IoU, if that is at least
// `least` and nobody took it. `instances` numbers the objects from 1, `labels` are the classes of the pixels.
export function matched(found, { instances, labels }, least = 0.5) {
  const truths = new Map();
  instances.forEach((number, n) => {
    if (!number) return;
    const truth = truths.get(number) ?? { number, label: labels[n], area: 0, by: -1, iou: 0 };
    truth.area += 1;
    truths.set(number, truth);
  });
  const taken = found.map(({ label, pasted }, rank) => {
    const [shared, own] = [new Map(), pasted.reduce((sum, value) => sum + (value >= 0.5 ? 1 : 0), 0)];
    pasted.forEach((value, n) => {
      if (value >= 0.5 && instances[n]) shared.set(instances[n], (shared.get(instances[n]) ?? 0) + 1);
    });
    let best = null;
    for (const truth of truths.values()) {
      const both = shared.get(truth.number) ?? 0;
      const iou = both / (own + truth.area - both);
      if (truth.label === label && truth.by < 0 && iou >= least && iou >= (best?.iou ?? 0)) best = { truth, iou };
    }
    if (best) Object.assign(best.truth, { by: rank, iou: best.iou });
    return best ? { number: best.truth.number, iou: best.iou } : null;
  });
  return { truths: [...truths.values()].sort((a, b) => a.number - b.number), taken };
}
