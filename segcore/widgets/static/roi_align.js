import { hatchPattern, themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage, uniqueId } from "./kit/elements.js";
import { frameLoop, onResize, onTheme, prefersStillness } from "./kit/figure.js";
import { fixed, signed } from "./kit/numbers.js";
import { fitCanvas, unpackBytes } from "./kit/pictures.js";

// RoIPool and RoIAlign of one box. Arithmetic first, as pure functions; what is drawn comes below.
//
// A feature map is { data, channels, height, width }, values in rows. A box is [x1, y1, x2, y2] in pixels of the image.
// Continuous coordinates put the centre of cell 0 at 0.5; index coordinates put it at 0. Positions are rounded to
// float32 step by step as PyTorch's kernels do, because one rounding decides which cell a box falls into.

const f32 = Math.fround;

// C's round: halves go away from zero.
function roundAway(value) {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

function scaledBox(box, scale) {
  return box.map((edge) => f32(f32(edge) * f32(scale)));
}

// One axis of a bilinear sample: the two cells beside an index coordinate and the weight of the second one.
// Null when it lies more than a cell outside the map, where a sample is zero.
export function axisNeighbours(index, size) {
  if (index < -1 || index > size) return null;
  const at = Math.max(index, 0);
  const low = Math.floor(at);
  if (low >= size - 1) return { low: size - 1, high: size - 1, weight: 0 };
  return { low, high: low + 1, weight: at - low };
}

// The four cells around a point in continuous cell coordinates, with their weights; empty if the point counts as zero.
export function neighbours(x, y, height, width) {
  const across = axisNeighbours(x - 0.5, width);
  const down = axisNeighbours(y - 0.5, height);
  if (!across || !down) return [];
  const cells = [];
  for (const [row, wy] of [[down.low, 1 - down.weight], [down.high, down.weight]]) {
    for (const [column, wx] of [[across.low, 1 - across.weight], [across.high, across.weight]]) {
      cells.push({ row, column, weight: wy * wx });
    }
  }
  return cells;
}

export function bilinear(feature, x, y, channel = 0) {
  const { data, height, width } = feature;
  return neighbours(x, y, height, width).reduce(
    (sum, { row, column, weight }) => sum + weight * data[(channel * height + row) * width + column], 0);
}

// Index coordinates of the samples along one axis: `samples` in each of `bins` equal parts of [start, start + length].
export function axisSamples(start, length, bins, samples) {
  const bin = f32(length / bins);
  return Array.from({ length: bins * samples }, (_, n) => {
    const i = Math.floor(n / samples);
    const k = n % samples;
    return f32(f32(start + f32(i * bin)) + f32(f32((k + 0.5) * bin) / samples));
  });
}

// The matrix (bins, size) whose row i averages the bilinear weights of bin i's samples: RoIAlign along one axis.
export function axisWeights(start, length, bins, samples, size) {
  const rows = Array.from({ length: bins }, () => new Float64Array(size));
  axisSamples(start, length, bins, samples).forEach((index, n) => {
    const at = axisNeighbours(index, size);
    if (!at) return;
    const row = rows[Math.floor(n / samples)];
    row[at.low] += (1 - at.weight) / samples;
    row[at.high] += at.weight / samples;
  });
  return rows;
}

// Where RoIAlign samples, in index coordinates, and how many samples it takes in a bin.
export function alignRegion(box, { outputSize, scale = 1, samplingRatio = 2, aligned = true }) {
  const offset = aligned ? 0.5 : 0;
  const [x1, y1, x2, y2] = scaledBox(box, scale).map((edge) => f32(edge - offset));
  const [rows, columns] = outputSize;
  const atLeast = aligned ? -Infinity : 1;
  const width = Math.max(f32(x2 - x1), atLeast);
  const height = Math.max(f32(y2 - y1), atLeast);
  const count = (length, bins) => (samplingRatio > 0 ? samplingRatio : Math.max(0, Math.ceil(f32(length / bins))));
  return { x: x1, y: y1, width, height, samplesX: count(width, columns), samplesY: count(height, rows) };
}

// RoIAlign of one box: W_y F W_x^T for each channel.
export function roiAlign(feature, box, options) {
  const { data, channels = 1, height, width } = feature;
  const [rows, columns] = options.outputSize;
  const region = alignRegion(box, options);
  const wy = axisWeights(region.y, region.height, rows, region.samplesY, height);
  const wx = axisWeights(region.x, region.width, columns, region.samplesX, width);
  const output = new Float64Array(channels * rows * columns);
  const line = new Float64Array(width);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < rows; i++) {
      line.fill(0);
      for (let y = 0; y < height; y++) {
        if (wy[i][y] === 0) continue;
        for (let x = 0; x < width; x++) line[x] += wy[i][y] * data[(c * height + y) * width + x];
      }
      for (let j = 0; j < columns; j++) {
        let sum = 0;
        for (let x = 0; x < width; x++) sum += line[x] * wx[j][x];
        output[(c * rows + i) * columns + j] = sum;
      }
    }
  }
  return { data: output, channels, height: rows, width: columns };
}

// The whole cells that RoIPool takes for a box; the last one is inclusive and there is at least one.
export function poolRegion(box, scale = 1) {
  const [x1, y1, x2, y2] = scaledBox(box, scale).map(roundAway);
  return { x: x1, y: y1, width: Math.max(x2 - x1 + 1, 1), height: Math.max(y2 - y1 + 1, 1) };
}

// RoIPool along one axis: the cells [from, to) of each bin, cut to the map. Neighbouring bins may share a cell.
export function poolBins(start, length, bins, size) {
  const bin = f32(length / bins);
  const clamp = (cell) => Math.min(Math.max(cell, 0), size);
  return Array.from({ length: bins }, (_, i) => [
    clamp(Math.floor(f32(i * bin)) + start),
    clamp(Math.ceil(f32((i + 1) * bin)) + start),
  ]);
}

// RoIPool of one box, with the cell (row * width + column) that each output came from; -1 for a bin without cells.
export function roiPool(feature, box, { outputSize, scale = 1 }) {
  const { data, channels = 1, height, width } = feature;
  const [rows, columns] = outputSize;
  const region = poolRegion(box, scale);
  const down = poolBins(region.y, region.height, rows, height);
  const across = poolBins(region.x, region.width, columns, width);
  const output = new Float64Array(channels * rows * columns);
  const argmax = new Int32Array(output.length).fill(-1);
  let n = 0;
  for (let c = 0; c < channels; c++) {
    for (const [top, bottom] of down) {
      for (const [left, right] of across) {
        let best = -1;
        for (let y = top; y < bottom; y++) {
          for (let x = left; x < right; x++) {
            const cell = y * width + x;
            if (best < 0 || data[c * height * width + cell] > data[c * height * width + best]) best = cell;
          }
        }
        argmax[n] = best;
        output[n] = best < 0 ? 0 : data[c * height * width + best];
        n += 1;
      }
    }
  }
  return { data: output, argmax, channels, height: rows, width: columns };
}

// A soft mask back into an image: bilinear at the centres of the pixels. Only the pixels whose centre lies in the box
// can differ from zero; they alone are returned, with where they stand.
export function paste(soft, box, { height, width }) {
  const [x1, y1, x2, y2] = box;
  const inside = (low, high, size) => [
    Math.min(Math.max(Math.ceil(low - 0.5), 0), size),
    Math.min(Math.max(Math.ceil(high - 0.5), 0), size),
  ];
  const [left, right] = inside(x1, x2, width);
  const [top, bottom] = inside(y1, y2, height);
  const axis = (from, to, low, high, size) =>
    Array.from({ length: Math.max(0, to - from) }, (_, n) => {
      const index = ((from + n + 0.5 - low) / (high - low)) * size - 0.5;
      return axisNeighbours(Math.min(Math.max(index, 0), size - 1), size);
    });
  const across = axis(left, right, x1, x2, soft.width);
  const down = axis(top, bottom, y1, y2, soft.height);
  const data = new Float64Array(across.length * down.length);
  let n = 0;
  for (const { low: a, high: b, weight: v } of down) {
    const line = Array.from({ length: soft.width }, (_, x) =>
      (1 - v) * soft.data[a * soft.width + x] + v * soft.data[b * soft.width + x]);
    for (const { low, high, weight } of across) data[n++] = (1 - weight) * line[low] + weight * line[high];
  }
  return { left, top, width: across.length, height: down.length, data };
}

// How well a pasted mask, cut at one half, fits the part of the object that lies in the box: intersection over union,
// NaN when both are empty.
export function maskFit(soft, box, mask) {
  const part = paste(soft, box, mask);
  let both = 0;
  let either = 0;
  for (let y = 0; y < part.height; y++) {
    const from = (part.top + y) * mask.width + part.left;
    for (let x = 0; x < part.width; x++) {
      const truth = mask.data[from + x];
      const guess = part.data[y * part.width + x] >= 0.5;
      both += truth && guess ? 1 : 0;
      either += truth || guess ? 1 : 0;
    }
  }
  return { part, iou: both / either };
}

// The line where a pasted mask crosses one half, as segments [x, y, x, y] in pixels (marching squares).
export function contour(part, level = 0.5) {
  const { left, top, width, height, data } = part;
  const value = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : data[y * width + x]);
  const segments = [];
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const [a, b, c, d] = [value(x, y), value(x + 1, y), value(x + 1, y + 1), value(x, y + 1)];
      const inside = (a >= level) + (b >= level) + (c >= level) + (d >= level);
      if (inside === 0 || inside === 4) continue;
      // Outside the box the mask drops to zero at once: the line then runs half-way, along the box's edge.
      const cut = (p, q) => (p === 0 || q === 0 ? 0.5 : (level - p) / (q - p));
      const points = [];
      if (a >= level !== b >= level) points.push(x + cut(a, b), y);
      if (b >= level !== c >= level) points.push(x + 1, y + cut(b, c));
      if (d >= level !== c >= level) points.push(x + cut(d, c), y + 1);
      if (a >= level !== d >= level) points.push(x, y + cut(a, d));
      for (let n = 0; n + 3 < points.length; n += 4) {
        segments.push([points[n], points[n + 1], points[n + 2], points[n + 3]].map((p, i) => p + 0.5 + (i % 2 ? top : left)));
      }
    }
  }
  return segments;
}

// ---- The figure --------------------------------------------------------------------------------------------------

const MARGIN = 1; // cells of empty room around the map, for boxes that hang over its border
const MASK_VIEW = { x: 24, y: 0, width: 144, height: 96 }; // the part of the image that shows the object
const THUMBNAIL = 102; // its width
const SWEEP = { reach: 20, steps: 81 }; // pixels to either side, and positions tried
const CORNERS = ["nw", "ne", "sw", "se"];
const CORNER_NAMES = { nw: "Top left corner", ne: "Top right corner", sw: "Bottom left corner", se: "Bottom right corner" };
const CHANNEL_LABELS = { edges: "Edges", brightness: "Brightness", mouth: "Cup\u2019s mouth" };
const COLOURS = ["page", "text", "muted", "line", "accent", "second", "accent-soft", "second-soft", "low", "high"];

const START = { box: [57, 5, 137, 70], output_size: [5, 5], sampling_ratio: 2, aligned: true };
const TRIALS = [
  {
    label: "0.2 px aside",
    settings: [{ box: [55.9, 5, 135.9, 70] }, { box: [56.1, 5, 136.1, 70] }],
    note: "Press it again and again: the box moves by 0.2 pixels. RoIAlign\u2019s numbers hardly change; RoIPool\u2019s region jumps by a whole cell, 16 pixels.",
  },
  {
    label: "Half a cell",
    settings: [{ box: [56, 8, 136, 72] }],
    note: "Every edge runs through the middle of a cell. RoIPool moves the left and top edges by half a cell, the right and bottom ones by one and a half, since its last cell is included whole.",
  },
  {
    label: "7 \u00d7 7 bins",
    settings: [{ box: [57, 5, 137, 70], output_size: [7, 7] }],
    note: "Seven bins over six cells: RoIPool reads most cells twice or four times (dots) and repeats their values. RoIAlign reads between the cells.",
  },
  {
    label: "A tiny box",
    settings: [{ box: [81, 33, 87.5, 39.5], output_size: [2, 2] }],
    note: "RoIPool can take no less than one cell, so all its outputs are the same number. RoIAlign still tells left from right.",
  },
  {
    label: "Over the border",
    settings: [{ box: [150, 86, 207, 140], output_size: [4, 4] }],
    note: "Samples less than a cell outside take the border\u2019s value; those farther out are zero (hollow dots). RoIPool\u2019s bins without a cell are zero too.",
  },
  {
    label: "Not aligned",
    settings: [{ box: [57, 5, 137, 70], aligned: false }],
    note: "Without the half-cell correction all samples slide 8 pixels to the right and down, and the mask below slides up and left by as much.",
  },
];

function sameNumbers(a, b) {
  return a.length === b.length && a.every((value, n) => value === b[n]);
}

function hexToRgb(hex) {
  return [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
}

function mixer(low, high) {
  const [a, b] = [hexToRgb(low), hexToRgb(high)];
  return (t) => `rgb(${a.map((v, n) => Math.round(v + (b[n] - v) * Math.min(1, Math.max(0, t)))).join(" ")})`;
}

// The photograph from its packed brightness and coarse colour, as a canvas of its own size.
function decodePhotograph(scene) {
  const { width, height, chroma_reduction: step } = scene;
  const luma = unpackBytes(scene.luma);
  const chroma = unpackBytes(scene.chroma);
  const [rows, columns] = [height / step, width / step];
  const canvas = element("canvas", { width, height });
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    const down = axisNeighbours(Math.max(0, (y + 0.5) / step - 0.5), rows);
    for (let x = 0; x < width; x++) {
      const across = axisNeighbours(Math.max(0, (x + 0.5) / step - 0.5), columns);
      const [cb, cr] = [0, rows * columns].map((from) => {
        const at = (row, column) => chroma[from + row * columns + column];
        const upper = at(down.low, across.low) * (1 - across.weight) + at(down.low, across.high) * across.weight;
        const lower = at(down.high, across.low) * (1 - across.weight) + at(down.high, across.high) * across.weight;
        return upper * (1 - down.weight) + lower * down.weight - 128;
      });
      const bright = luma[y * width + x];
      image.data.set([bright + 1.402 * cr, bright - 0.344 * cb - 0.714 * cr, bright + 1.772 * cb, 255], 4 * (y * width + x));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// The same with most of its colour taken out, so that coloured pixels stand out from it.
function greyed(photograph) {
  const canvas = element("canvas", { width: photograph.width, height: photograph.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(photograph, 0, 0);
  pen.globalCompositeOperation = "saturation";
  pen.globalAlpha = 0.85;
  pen.fillStyle = "#808080";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

function decodeMask(scene) {
  const bits = unpackBytes(scene.mask);
  const data = Uint8Array.from({ length: scene.height * scene.width }, (_, n) => (bits[n >> 3] >> (7 - (n & 7))) & 1);
  return { data, height: scene.height, width: scene.width };
}

// A mask whose outline is smooth enough to draw: each pixel averaged with its neighbours, as a 5 x 5 box.
function softened({ data, height, width }) {
  const soft = Float64Array.from(data, (_, n) => {
    const [y, x] = [Math.floor(n / width), n % width];
    let sum = 0;
    for (let v = Math.max(0, y - 2); v <= Math.min(height - 1, y + 2); v++) {
      for (let u = Math.max(0, x - 2); u <= Math.min(width - 1, x + 2); u++) sum += data[v * width + u];
    }
    return sum / 25;
  });
  return { data: soft, height, width };
}

// What one box and one set of options come to, in all channels and for the mask.
function compute(scene, state) {
  const { feature, scale, maskChannel, mask } = scene;
  const options = { outputSize: state.output_size, scale, samplingRatio: state.sampling_ratio, aligned: state.aligned };
  const pool = roiPool(feature, state.box, options);
  const align = roiAlign(feature, state.box, options);
  const [rows, columns] = state.output_size;
  const soft = (output) => ({
    data: output.data.subarray(maskChannel * rows * columns, (maskChannel + 1) * rows * columns).map((v) => v / 100),
    height: rows,
    width: columns,
  });
  return {
    pool,
    align,
    region: alignRegion(state.box, options),
    snapped: poolRegion(state.box, scale),
    poolFit: maskFit(soft(pool), state.box, mask),
    alignFit: maskFit(soft(align), state.box, mask),
  };
}

function render({ model, el }) {
  const root = stage(el, "roi-align");
  const packed = model.get("feature");
  const [channels, height, width] = packed.shape;
  const stride = model.get("stride");
  const packedScene = model.get("scene");
  const photograph = decodePhotograph(packedScene);
  const greyPhotograph = greyed(photograph);
  const scene = {
    feature: { data: Float64Array.from(packed.values), channels, height, width },
    scale: 1 / stride,
    mask: decodeMask(packedScene),
    maskChannel: packed.channels.length - 1,
  };
  const truthLine = contour({ left: 0, top: 0, ...softened(scene.mask) });

  const traits = ["box", "output_size", "sampling_ratio", "aligned", "channel"];
  const state = Object.fromEntries(traits.map((name) => [name, model.get(name)]));
  const pick = { row: 0, column: 0, sy: 0, sx: 0 };
  const dirty = new Set(["all"]);
  const loop = frameLoop(draw);
  const announce = announcer();
  const stops = [() => loop.stop(), announce.stop];
  let colours = null;
  let result = null;

  function mark(...parts) {
    parts.forEach((part) => dirty.add(part));
    loop.request();
  }

  // -- State: the reader's hand and the kernel's word meet here.
  function change(values, { keepTrial = false } = {}) {
    const news = Object.entries(values).filter(([name, value]) => JSON.stringify(state[name]) !== JSON.stringify(value));
    if (!news.length) return;
    for (const [name, value] of news) {
      state[name] = value;
      model.set(name, value);
    }
    if (!keepTrial) clearTrial();
    mark("box");
    if (news.some(([name]) => name !== "box")) mark("controls", "base");
    model.save_changes(); // the notebook itself waits for a busy kernel and sends the newest values alone
  }
  for (const name of traits) {
    const follow = () => {
      const value = model.get(name);
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      mark("box", "controls", "base");
    };
    model.on(`change:${name}`, follow);
    stops.push(() => model.off(`change:${name}`, follow));
  }

  // -- Moving the box.
  const limits = { x: [-MARGIN * stride, (width + MARGIN) * stride], y: [-MARGIN * stride, (height + MARGIN) * stride] };
  const tenth = (value) => Math.round(value * 10) / 10;
  const clean = (value) => Math.round(value * 1e6) / 1e6; // 0.1 + 0.2 is 0.3 to a reader
  const within = (value, [low, high]) => Math.min(Math.max(value, low), high);

  function movedBox(from, part, dx, dy) {
    let [x1, y1, x2, y2] = from;
    if (part === "move") {
      const shift = (low, high, by, [least, most]) =>
        by < 0 ? Math.max(by, Math.min(0, least - low)) : Math.min(by, Math.max(0, most - high));
      dx = shift(x1, x2, tenth(dx), limits.x);
      dy = shift(y1, y2, tenth(dy), limits.y);
      return [x1 + dx, y1 + dy, x2 + dx, y2 + dy].map(clean);
    }
    [dx, dy] = [tenth(dx), tenth(dy)];
    if (part.includes("w")) x1 = Math.min(within(x1 + dx, limits.x), x2 - 1);
    if (part.includes("e")) x2 = Math.max(within(x2 + dx, limits.x), x1 + 1);
    if (part.includes("n")) y1 = Math.min(within(y1 + dy, limits.y), y2 - 1);
    if (part.includes("s")) y2 = Math.max(within(y2 + dy, limits.y), y1 + 1);
    return [x1, y1, x2, y2].map(clean);
  }

  function onKey(part) {
    return (event) => {
      const step = event.shiftKey ? 0.1 : 1;
      const moves = {
        ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
        Home: [-stride, 0], End: [stride, 0], PageUp: [0, -stride], PageDown: [0, stride],
      };
      const by = moves[event.key];
      if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      change({ box: movedBox(state.box, part, ...by) });
    };
  }

  // -- The two maps.
  const help = element("p", {
    class: "segcore-hidden",
    id: uniqueId("roi-align-help"),
    text: "Arrow keys move by one pixel, with Shift by a tenth. Page Up, Page Down, Home and End move by one cell.",
  });

  function buildMap(kind) {
    const first = kind === "pool";
    const base = element("canvas", { "aria-hidden": "true" });
    const overlay = element("canvas", { "aria-hidden": "true" });
    const digits = element("canvas", { "aria-hidden": "true" });
    const handle = (part, label) =>
      element("div", {
        class: `handle handle-${part}`,
        dataset: { part },
        onkeydown: onKey(part),
        ...(first
          ? { role: "slider", tabindex: "0", "aria-label": label, "aria-describedby": help.id, "aria-valuenow": "0" }
          : {}),
      });
    const corners = CORNERS.map((corner) => handle(corner, CORNER_NAMES[corner]));
    const edges = ["n", "s", "w", "e"].map((edge) => element("div", { class: `edge edge-${edge}`, dataset: { part: edge } }));
    const body = handle("move", "Box");
    const box = element("div", { class: "box", "aria-hidden": first ? null : "true" }, body, ...edges, ...corners);
    const marks = first ? null : element("canvas", { "aria-hidden": "true" });
    const dot = first ? null : element("i", { class: "sample-dot", "aria-hidden": "true" });
    const layers = [base, overlay, digits, marks].filter(Boolean);
    const view = element("div", { class: "map-view" }, ...layers, box, dot);
    const map = { kind, dot, base, overlay, digits, marks, layers, box, view, handles: { move: body }, unit: 1 };
    corners.forEach((node) => (map.handles[node.dataset.part] = node));

    let drag = null;
    const point = (event) => {
      const frame = view.getBoundingClientRect();
      return [(event.clientX - frame.left) / map.unit - MARGIN, (event.clientY - frame.top) / map.unit - MARGIN];
    };
    box.addEventListener("pointerdown", (event) => {
      const part = event.target.dataset.part;
      if (!part || event.button > 0 || drag) return;
      stopPlay();
      box.setPointerCapture(event.pointerId);
      drag = { part, id: event.pointerId, x: event.clientX, y: event.clientY, from: state.box, moved: false };
      root.dataset.dragging = part;
      event.preventDefault();
      (mapOf.pool.handles[part] ?? mapOf.pool.handles.move).focus({ preventScroll: true });
    });
    box.addEventListener("pointermove", (event) => {
      if (!drag || event.pointerId !== drag.id) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (!drag.moved && Math.hypot(dx, dy) < 3) return;
      drag.moved = true;
      change({ box: movedBox(drag.from, drag.part, (dx / map.unit) * stride, (dy / map.unit) * stride) });
    });
    const release = (event) => {
      if (!drag || event.pointerId !== drag.id) return;
      if (!drag.moved && event.type === "pointerup") pickAt(kind, ...point(event));
      drag = null;
      delete root.dataset.dragging;
    };
    box.addEventListener("pointerup", release);
    box.addEventListener("pointercancel", release);
    box.addEventListener("lostpointercapture", release);
    view.addEventListener("pointermove", (event) => {
      if (!drag && event.pointerType !== "touch") pickAt(kind, ...point(event));
    });
    view.addEventListener("click", (event) => {
      if (layers.includes(event.target)) pickAt(kind, ...point(event));
    });
    return map;
  }

  // The bin, and for RoIAlign the sample, nearest to a point of the map; a point off the box picks nothing.
  function pickAt(kind, x, y) {
    if (!result) return;
    const [rows, columns] = state.output_size;
    if (kind === "pool") {
      const { snapped } = result;
      const [u, v] = [(x - snapped.x) / snapped.width, (y - snapped.y) / snapped.height];
      if (u < 0 || u >= 1 || v < 0 || v >= 1) return;
      setPick(Math.floor(v * rows), Math.floor(u * columns), 0, 0);
    } else {
      const { region } = result;
      const [u, v] = [(x - 0.5 - region.x) / region.width, (y - 0.5 - region.y) / region.height];
      if (!(u >= -0.05 && u <= 1.05 && v >= -0.05 && v <= 1.05)) return;
      const nearest = (t, n) => Math.min(n - 1, Math.max(0, Math.floor(t * n)));
      const [sy, sx] = [nearest(v, rows * region.samplesY), nearest(u, columns * region.samplesX)];
      if (region.samplesY && region.samplesX) {
        setPick(Math.floor(sy / region.samplesY), Math.floor(sx / region.samplesX), sy % region.samplesY, sx % region.samplesX);
      }
    }
  }

  function setPick(row, column, sy, sx) {
    if (pick.row === row && pick.column === column && pick.sy === sy && pick.sx === sx) return;
    Object.assign(pick, { row, column, sy, sx });
    mark("pick");
    announce.say(sentence());
  }

  function clampPick() {
    const { region } = result;
    pick.row = Math.min(pick.row, state.output_size[0] - 1);
    pick.column = Math.min(pick.column, state.output_size[1] - 1);
    pick.sy = Math.max(0, Math.min(pick.sy, region.samplesY - 1));
    pick.sx = Math.max(0, Math.min(pick.sx, region.samplesX - 1));
  }

  function stepSample(by) {
    const { samplesX, samplesY } = result.region;
    const perBin = samplesX * samplesY;
    const [rows, columns] = state.output_size;
    if (!perBin) return;
    const all = perBin * rows * columns;
    const at = (pick.row * columns + pick.column) * perBin + pick.sy * samplesX + pick.sx;
    const next = (at + by + all) % all;
    const bin = Math.floor(next / perBin);
    const inBin = next % perBin;
    setPick(Math.floor(bin / columns), bin % columns, Math.floor(inBin / samplesX), inBin % samplesX);
  }

  // -- Controls.
  const trialNote = element("p", { class: "trial-note", role: "status" });
  const trialButtons = TRIALS.map((trial) =>
    element("button", { type: "button", class: "segcore-button", "aria-pressed": "false", text: trial.label, onclick: () => tryOut(trial) }));
  const resetButton = element("button", { type: "button", class: "segcore-button quiet", text: "Reset", onclick: reset });
  let turn = 0;
  function clearTrial() {
    trialButtons.forEach((button) => button.setAttribute("aria-pressed", "false"));
    turn = 0;
  }
  function tryOut(trial) {
    stopPlay();
    const button = trialButtons[TRIALS.indexOf(trial)];
    turn = button.getAttribute("aria-pressed") === "true" ? turn + 1 : 0;
    trialButtons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    change({ ...START, ...trial.settings[turn % trial.settings.length] }, { keepTrial: true });
    setText(trialNote, trial.note);
  }
  const restNote = "Drag the box or its corners in either map, or use the arrow keys. Point at a sample to see its four cells.";
  function reset() {
    stopPlay();
    change({ ...START, channel: "edges" });
    clearTrial();
    setPick(0, 0, 0, 0);
    setText(trialNote, restNote);
  }
  setText(trialNote, restNote);

  const channelChoice = choice("Feature map", packed.channels.map((name) => [name, CHANNEL_LABELS[name] ?? name]), state.channel,
    (channel) => change({ channel }, { keepTrial: true }));
  const samplingChoice = choice("Samples per axis",
    [[0, "auto", "adaptive: one per cell, rounded up"], ...[1, 2, 3, 4].map((n) => [n, String(n)])], state.sampling_ratio,
    (sampling_ratio) => change({ sampling_ratio }));
  const alignedInput = element("input", { type: "checkbox", onchange: () => change({ aligned: alignedInput.checked }) });
  const sizeInputs = ["Output rows", "Output columns"].map((label, axis) =>
    element("input", {
      type: "number", min: "1", max: "7", step: "1", "aria-label": label, inputmode: "numeric",
      oninput: (event) => {
        const value = Number(event.target.value);
        const fine = Number.isInteger(value) && value >= 1 && value <= 7;
        event.target.setAttribute("aria-invalid", String(!fine));
        if (fine) change({ output_size: state.output_size.map((n, i) => (i === axis ? value : n)) });
      },
      onblur: () => mark("controls"),
    }));
  const boxProblem = element("p", { class: "box-problem", role: "alert" });
  const boxInputs = [["x1", "left"], ["y1", "top"], ["x2", "right"], ["y2", "bottom"]].map(([name, side], n) => {
    const input = element("input", {
      type: "number", step: "any", inputmode: "decimal", "aria-label": `${name}, ${side} edge in pixels`,
      oninput: () => typedBox(n),
      onkeydown: (event) => {
        if (!["ArrowUp", "ArrowDown"].includes(event.key)) return;
        event.preventDefault();
        input.setAttribute("aria-invalid", "false");
        const by = (event.shiftKey ? 0.1 : 1) * (event.key === "ArrowUp" ? 1 : -1);
        const box = state.box.map((edge, i) => (i === n ? clean(edge + by) : edge));
        if (box[2] >= box[0] && box[3] >= box[1]) change({ box });
      },
      onblur: () => { setText(boxProblem, ""); mark("controls"); },
    });
    const cells = element("span", { class: "cells" });
    const node = element("label", { class: "edge-field" }, element("span", { class: "segcore-label", text: `${name} ${side}` }), input, cells);
    return { node, input, cells };
  });
  function typedBox(n) {
    const text = boxInputs[n].input.value;
    const box = state.box.map((edge, i) => (i === n ? Number(text) : edge));
    let problem = "";
    if (text.trim() === "" || !Number.isFinite(box[n])) problem = "Type a number of pixels, such as 57.5.";
    else if (Math.abs(box[n]) > 1000) problem = "That is far outside the image; it is 192 by 128 pixels.";
    else if (box[2] < box[0]) problem = "x2 must not be left of x1.";
    else if (box[3] < box[1]) problem = "y2 must not be above y1.";
    setText(boxProblem, problem);
    boxInputs[n].input.setAttribute("aria-invalid", String(Boolean(problem)));
    if (!problem) change({ box });
  }
  const sizeLine = element("p", { class: "size-line" });
  const thumbnailSize = [THUMBNAIL, (THUMBNAIL * packedScene.height) / packedScene.width];
  const thumbnail = element("canvas", { class: "thumbnail", role: "img", "aria-label": "The box in the photograph of a cup" });

  // -- Outputs, as grids of real text.
  function buildGrid(kind, title, caption) {
    const id = uniqueId("roi-align-grid");
    const body = element("div", { role: "grid", class: "grid", "aria-labelledby": id });
    const cells = [];
    const node = element("section", { class: `output ${kind}` }, element("h4", { id, text: title }), body, element("p", { class: "prose", text: caption }));
    const grid = { kind, body, cells, node };
    body.addEventListener("pointerover", (event) => event.target.dataset.n && pickBin(Number(event.target.dataset.n)));
    body.addEventListener("focusin", (event) => event.target.dataset.n && pickBin(Number(event.target.dataset.n)));
    body.addEventListener("keydown", (event) => {
      const [rows, columns] = state.output_size;
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!by) return;
      event.preventDefault();
      const n = Number(event.target.dataset.n);
      const [i, j] = [within(Math.floor(n / columns) + by[0], [0, rows - 1]), within((n % columns) + by[1], [0, columns - 1])];
      cells[i * columns + j].focus();
    });
    return grid;
  }
  function pickBin(n) {
    const columns = state.output_size[1];
    const [row, column] = [Math.floor(n / columns), n % columns];
    if (pick.row !== row || pick.column !== column) setPick(row, column, 0, 0);
  }
  function layGrid(grid) {
    const [rows, columns] = state.output_size;
    if (grid.cells.length === rows * columns && grid.columns === columns) return;
    grid.columns = columns;
    grid.cells.length = 0;
    grid.body.style.setProperty("--columns", columns);
    grid.body.style.setProperty("--most", Math.max(rows, columns));
    grid.body.replaceChildren(...Array.from({ length: rows }, (_, i) =>
      element("div", { role: "row" }, ...Array.from({ length: columns }, (_, j) => {
        const cell = element("div", { role: "gridcell", tabindex: "-1", dataset: { n: i * columns + j } });
        grid.cells.push(cell);
        return cell;
      }))));
  }

  // -- Where the picked number comes from.
  const poolSum = element("p", { class: "sum" });
  const poolTitle = element("h4");
  const poolText = element("p", { class: "prose" });
  const poolCells = element("div", { class: "bin-cells" });
  const poolRegionText = element("p", { class: "prose" });
  const alignTitle = element("h4");
  const alignText = element("p", { class: "prose" });
  const alignSum = element("p", { class: "sum" });
  const sampleText = element("p", { class: "prose" });
  const sampleSum = element("p", { class: "sum sample-sum" });
  const quads = [0, 1, 2, 3].map(() => ({ weight: element("span", { class: "weight" }), value: element("span", { class: "value" }), cell: element("span", { class: "where" }) }));
  const quad = element("div", { class: "quad" }, ...quads.map((q) => element("div", {}, element("span", {}, q.weight, " \u00d7 ", q.value), q.cell)));
  quads.forEach((q, n) => (q.node = quad.children[n]));
  const stepper = element("div", { class: "stepper" },
    element("button", { type: "button", class: "segcore-button", "aria-label": "Previous sample", text: "\u2039", onclick: () => stepSample(-1) }),
    element("button", { type: "button", class: "segcore-button", "aria-label": "Next sample", text: "\u203a", onclick: () => stepSample(1) }));

  // -- The mask toy.
  function buildMask(kind, title) {
    const canvas = element("canvas", { role: "img" });
    const score = element("strong");
    const view = element("div", { class: "mask-view" }, canvas);
    return { kind, canvas, score, view, node: element("section", { class: `mask ${kind}` }, element("h4", {}, `${title}: IoU `, score), view) };
  }
  const wrong = element("canvas"); // wrong pixels, at the photograph's size
  const stills = { scene: element("canvas"), edge: element("canvas"), thumbnail: element("canvas") };
  const slider = element("input", {
    type: "range", min: String(-SWEEP.reach), max: String(SWEEP.reach), step: "0.1", "aria-label": "Slide the box sideways",
    oninput: () => { stopPlay(); slideTo(sweep.anchor + Number(slider.value)); },
  });
  const play = prefersStillness() ? null
    : element("button", { type: "button", class: "segcore-button", "aria-pressed": "false", text: "Rock the box", onclick: () => (playing ? stopPlay() : startPlay()) });
  function slideTo(x) {
    const shift = tenth(x - state.box[0]);
    change({ box: [state.box[0] + shift, state.box[1], state.box[2] + shift, state.box[3]].map(clean) });
  }
  let playing = 0;
  function startPlay() {
    const begin = performance.now();
    const phase = Math.asin(within((state.box[0] - sweep.anchor) / 16, [-1, 1]));
    play.setAttribute("aria-pressed", "true");
    const tick = (now) => {
      if (!root.isConnected) return;
      slideTo(sweep.anchor + 16 * Math.sin(phase + Math.max(0, now - begin) / 900));
      playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  }
  function stopPlay() {
    cancelAnimationFrame(playing);
    playing = 0;
    play?.setAttribute("aria-pressed", "false");
  }
  stops.push(stopPlay);

  // IoU over the box's horizontal position: computed for two milliseconds a frame, so that dragging stays smooth.
  const svgNode = (tag, attributes = {}) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    return node;
  };
  const plot = {
    svg: svgNode("svg", { class: "plot", role: "img", "aria-label": "IoU over the box\u2019s position" }),
    frame: svgNode("g"), pool: svgNode("path", { class: "curve pool" }), align: svgNode("path", { class: "curve align" }),
    cursor: svgNode("line", { class: "cursor" }), poolDot: svgNode("circle", { class: "dot pool", r: 5 }), alignDot: svgNode("circle", { class: "dot align", r: 5 }),
    poolLabel: svgNode("text", { class: "name pool" }), alignLabel: svgNode("text", { class: "name align" }),
  };
  plot.svg.append(plot.frame, plot.pool, plot.align, plot.cursor, plot.poolDot, plot.alignDot, plot.poolLabel, plot.alignLabel);
  const sweep = { anchor: null, key: "", pool: [], align: [], at: SWEEP.steps, shown: null };

  // -- Put it together.
  const mapOf = { pool: buildMap("pool"), align: buildMap("align") };
  const gridOf = {
    pool: buildGrid("pool", "RoIPool", "The largest cell of each bin."),
    align: buildGrid("align", "RoIAlign", "The mean of each bin\u2019s samples."),
    difference: buildGrid("difference", "RoIPool \u2212 RoIAlign", "Orange: RoIPool is higher; teal: RoIAlign is."),
  };
  const maskOf = { pool: buildMask("pool", "RoIPool"), align: buildMask("align", "RoIAlign") };
  const shift = { pool: element("p", { class: "shift" }), align: element("p", { class: "shift" }) };
  const key = (className, text) => element("li", {}, element("i", { class: `key ${className}` }), text);
  const alignKey = element("ul", { class: "legend" });
  const column = (kind, title, subtitle, legend) =>
    element("section", { class: `column ${kind}` }, element("header", {}, element("h3", { text: title }), element("p", { text: subtitle })),
      mapOf[kind].view, shift[kind], legend);

  root.append(
    help,
    element("div", { class: "bar trials" }, element("span", { class: "segcore-label", text: "Try" }), ...trialButtons, resetButton),
    trialNote,
    element("div", { class: "bar settings" }, channelChoice.node,
      element("div", { class: "size-field", role: "group", "aria-label": "Output size" },
        element("span", { class: "segcore-label", text: "Output size" }),
        element("div", {}, sizeInputs[0], " \u00d7 ", sizeInputs[1])),
      samplingChoice.node,
      element("label", { class: "aligned-field" }, alignedInput, element("span", { text: "aligned" }))),
    element("div", { class: "work" },
      column("pool", "RoIPool", "rounds the box to whole cells and takes the largest", element("ul", { class: "legend" },
        key("snap", "region pooled"), key("cut", "cut off"), key("added", "added"), key("twice", "in several bins"), key("ring", "the largest"))),
      element("section", { class: "why pool" }, poolTitle, poolText, poolSum, poolCells, poolRegionText),
      column("align", "RoIAlign", "keeps the box and averages samples between cells", alignKey),
      element("section", { class: "why align" }, alignTitle, alignText, alignSum,
        element("div", { class: "sample-head" }, sampleText, stepper), quad, sampleSum),
      element("div", { class: "bar coordinates", role: "group", "aria-label": "Box in pixels" },
        thumbnail, ...boxInputs.map((field) => field.node), sizeLine, boxProblem),
      element("div", { class: "outputs" }, gridOf.pool.node, gridOf.align.node, gridOf.difference.node)),
    element("div", { class: "masks" },
      element("header", {}, element("h3", { text: "What it costs: a mask\u2019s edge" }),
        element("p", { text: "The cup\u2019s mouth, averaged over cells, pooled by both, put back into the box and cut at one half. White is the true edge; wrong pixels are coloured." })),
      maskOf.pool.node, maskOf.align.node,
      element("div", { class: "slide" },
        element("div", { class: "slide-head" }, element("h4", {}, "IoU while the box slides sideways ", element("small", { text: "dotted: an edge passes the middle of a cell" })), play), plot.svg, slider)),
    announce.node,
  );
  // Frame times are kept for whoever wants to measure the figure; the tests do.
  root.frames = loop.times;

  // ---- Drawing ----------------------------------------------------------------------------------------------------

  const channelIndex = () => packed.channels.indexOf(state.channel);
  const cellValue = (row, column) => scene.feature.data[(channelIndex() * height + row) * width + column];
  const cellRange = () => (state.channel === "mouth" ? 100 : 99);

  function readColours() {
    colours = themeColours(root, COLOURS);
    colours.mix = mixer(colours.low, colours.high);
    const pen = mapOf.pool.overlay.getContext("2d");
    colours.cut = hatchPattern(pen, colours.text, -1, 6, 1.4);
    colours.added = hatchPattern(pen, colours.second, 1, 6, 1.6);
  }

  function measure() {
    for (const map of Object.values(mapOf)) {
      const across = Math.floor(map.view.clientWidth);
      map.unit = across / (width + 2 * MARGIN);
      const tall = Math.round(map.unit * (height + 2 * MARGIN));
      map.size = [across, tall];
      map.view.style.height = `${tall}px`;
      for (const canvas of map.layers) fitCanvas(canvas, across, tall);
    }
    const across = Math.floor(maskOf.pool.view.clientWidth);
    const size = [across, Math.round((across * MASK_VIEW.height) / MASK_VIEW.width)];
    for (const mask of Object.values(maskOf)) {
      fitCanvas(mask.canvas, ...size);
      mask.size = size;
      mask.unit = across / MASK_VIEW.width;
    }
    fitCanvas(thumbnail, ...thumbnailSize);
    drawStills(size);
    plot.width = Math.floor(plot.svg.parentNode.clientWidth);
  }

  // What stays as it is while the box moves is drawn once for each size: photographs and the object's true edge.
  function drawStills([across, tall]) {
    const { x, y, width: w, height: h } = MASK_VIEW;
    if (fitCanvas(stills.thumbnail, ...thumbnailSize)) stills.thumbnail.getContext("2d").drawImage(photograph, 0, 0, ...thumbnailSize);
    if (!fitCanvas(stills.scene, across, tall)) return;
    const pen = stills.scene.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(greyPhotograph, x, y, w, h, 0, 0, across, tall);
    fitCanvas(stills.edge, across, tall);
    const line = stills.edge.getContext("2d");
    line.lineCap = "round";
    traceSegments(line, truthLine, across / w);
    strokeTwice(line, ["#000000a0", 3.5], ["#ffffff", 1.75]);
  }

  function traceSegments(pen, segments, unit) {
    pen.beginPath();
    for (const [a, b, c, d] of segments) {
      pen.moveTo((a - MASK_VIEW.x) * unit, (b - MASK_VIEW.y) * unit);
      pen.lineTo((c - MASK_VIEW.x) * unit, (d - MASK_VIEW.y) * unit);
    }
  }

  // A line with a rim, to be seen on any photograph.
  function strokeTwice(pen, ...strokes) {
    for (const [colour, thickness] of strokes) {
      pen.strokeStyle = colour;
      pen.lineWidth = thickness;
      pen.stroke();
    }
  }

  function drawBase(map) {
    const pen = map.base.getContext("2d");
    const { unit } = map;
    const at = (cell) => (cell + MARGIN) * unit;
    pen.clearRect(0, 0, ...map.size);
    // The digits lie above the overlay, each with a halo of its cell's shade, so that box and bins never hide them.
    const ink = map.digits.getContext("2d");
    ink.clearRect(0, 0, ...map.size);
    ink.font = `${Math.max(9, Math.min(14, unit * 0.46))}px ${colours.font}`;
    ink.lineWidth = 2.5;
    ink.lineJoin = "round";
    ink.fillStyle = colours.text;
    for (const layer of [pen, ink]) {
      layer.textAlign = "center";
      layer.textBaseline = "middle";
    }
    const small = Math.max(8.5, Math.min(11, unit * 0.4));
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const value = cellValue(row, column);
        pen.fillStyle = ink.strokeStyle = colours.mix(value / cellRange());
        pen.fillRect(at(column), at(row), unit + 0.5, unit + 0.5);
        ink.strokeText(String(value), at(column + 0.5), at(row + 0.5) + 0.5);
        ink.fillText(String(value), at(column + 0.5), at(row + 0.5) + 0.5);
      }
    }
    pen.strokeStyle = colours.page;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let column = 1; column < width; column++) { pen.moveTo(at(column), at(0)); pen.lineTo(at(column), at(height)); }
    for (let row = 1; row < height; row++) { pen.moveTo(at(0), at(row)); pen.lineTo(at(width), at(row)); }
    pen.stroke();
    pen.strokeStyle = colours.line;
    pen.strokeRect(at(0), at(0), width * unit, height * unit);
    // Cells are counted above and left; pixels are measured below and right, at the lines between cells.
    pen.font = `${small}px ${colours.font}`;
    pen.fillStyle = colours.muted;
    for (let column = 0; column < width; column++) pen.fillText(String(column), at(column + 0.5), at(-0.45));
    for (let row = 0; row < height; row++) pen.fillText(String(row), at(-0.45), at(row + 0.5));
    for (let column = 0; column <= width; column += 2) pen.fillText(String(column * stride), at(column), at(height + 0.45));
    for (let row = 2; row < height; row += 2) pen.fillText(String(row * stride), at(width + 0.5), at(row));
    pen.fillText("cell", at(-0.45), at(-0.45));
    pen.textAlign = "right";
    pen.fillText("px", at(width + MARGIN) - 2, at(height + 0.45));
  }

  function outline(pen, x, y, w, h, colour, thickness) {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    pen.strokeRect(x, y, w, h);
  }

  function outlineBox(pen, { unit }) {
    const [x1, y1, x2, y2] = state.box.map((edge) => (edge / stride + MARGIN) * unit);
    outline(pen, x1, y1, x2 - x1, y2 - y1, colours.text, 2);
  }

  // Fill the part of rectangle `a` that is not in `b`.
  function fillDifference(pen, a, b, style) {
    pen.save();
    pen.beginPath();
    pen.rect(...a);
    pen.clip();
    pen.beginPath();
    pen.rect(-1e4, -1e4, 3e4, 3e4);
    pen.rect(...b);
    pen.clip("evenodd");
    pen.fillStyle = style;
    pen.fillRect(...a);
    pen.restore();
  }

  function drawPoolOverlay(map) {
    const pen = map.overlay.getContext("2d");
    const { unit } = map;
    const at = (cell) => (cell + MARGIN) * unit;
    const { snapped, pool } = result;
    const [rows, columns] = state.output_size;
    pen.clearRect(0, 0, ...map.size);
    const [x1, y1, x2, y2] = state.box.map((edge) => at(edge / stride));
    const box = [x1, y1, x2 - x1, y2 - y1];
    const region = [at(snapped.x), at(snapped.y), snapped.width * unit, snapped.height * unit];
    fillDifference(pen, region, box, colours.added);
    fillDifference(pen, box, region, colours.cut);

    const down = poolBins(snapped.y, snapped.height, rows, height);
    const across = poolBins(snapped.x, snapped.width, columns, width);
    const [top, bottom] = down[pick.row];
    const [left, right] = across[pick.column];
    pen.fillStyle = colours["second-soft"];
    pen.fillRect(at(left), at(top), (right - left) * unit, (bottom - top) * unit);

    // Bins, drawn inside their cells; where two share a cell, both outlines run through it.
    pen.strokeStyle = colours.second;
    pen.lineWidth = 1;
    pen.beginPath();
    down.forEach(([from, to], i) => across.forEach(([start, end], j) => {
      if (to <= from || end <= start) return;
      const [a, b] = [i % 2 ? 2 : 4.5, j % 2 ? 2 : 4.5].map((inset) => inset * Math.min(1, unit / 24));
      pen.rect(at(start) + b, at(from) + a, (end - start) * unit - 2 * b, (to - from) * unit - 2 * a);
    }));
    pen.globalAlpha = 0.45;
    pen.stroke();
    pen.globalAlpha = 1;
    outline(pen, ...region, colours.second, 2.5);
    if (bottom > top && right > left) outline(pen, at(left) + 2, at(top) + 2, (right - left) * unit - 4, (bottom - top) * unit - 4, colours.second, 2);

    const uses = (ranges, cell) => ranges.filter(([from, to]) => from <= cell && cell < to).length;
    const downUses = Array.from({ length: height }, (_, row) => uses(down, row));
    const acrossUses = Array.from({ length: width }, (_, column) => uses(across, column));
    pen.fillStyle = colours.second;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const most = Math.max(downUses[row], acrossUses[column]);
        if (downUses[row] * acrossUses[column] < 2) continue;
        const step = Math.min(Math.max(3, unit * 0.15), (0.9 * unit) / most);
        for (let i = 0; i < downUses[row]; i++) {
          for (let j = 0; j < acrossUses[column]; j++) {
            pen.beginPath();
            pen.arc(at(column + 1) - (j + 1) * step - 0.5, at(row + 1) - (i + 1) * step - 0.5, Math.min(Math.max(1.1, unit * 0.055), 0.4 * step), 0, 7);
            pen.fill();
          }
        }
      }
    }
    // A ring around each cell that gives an output its number.
    const from = channelIndex() * rows * columns;
    const rings = new Set(pool.argmax.subarray(from, from + rows * columns));
    const picked = pool.argmax[from + pick.row * columns + pick.column];
    for (const cell of rings) {
      if (cell < 0) continue;
      pen.beginPath();
      pen.arc(at((cell % width) + 0.5), at(Math.floor(cell / width) + 0.5), unit * 0.39, 0, 7);
      pen.strokeStyle = colours.second;
      pen.lineWidth = cell === picked ? 3 : 1.4;
      pen.stroke();
    }
    outlineBox(pen, map);
  }

  // The samples of the picked bin, in continuous cells.
  function binSamples() {
    const { region } = result;
    const [rows, columns] = state.output_size;
    const part = (all, n, count) => all.slice(n * count, (n + 1) * count).map((index) => index + 0.5);
    const xs = part(axisSamples(region.x, region.width, columns, region.samplesX), pick.column, region.samplesX);
    const ys = part(axisSamples(region.y, region.height, rows, region.samplesY), pick.row, region.samplesY);
    return ys.flatMap((y) => xs.map((x) => ({ x, y })));
  }

  function drawAlignOverlay(map) {
    const pen = map.overlay.getContext("2d");
    const { unit } = map;
    const at = (cell) => (cell + MARGIN) * unit;
    const { region } = result;
    const [rows, columns] = state.output_size;
    pen.clearRect(0, 0, ...map.size);
    const [x, y] = [at(region.x + 0.5), at(region.y + 0.5)];
    const [w, h] = [region.width * unit, region.height * unit];
    pen.fillStyle = colours["accent-soft"];
    pen.fillRect(x + (pick.column * w) / columns, y + (pick.row * h) / rows, w / columns, h / rows);
    pen.beginPath();
    for (let j = 0; j <= columns; j++) { pen.moveTo(x + (j * w) / columns, y); pen.lineTo(x + (j * w) / columns, y + h); }
    for (let i = 0; i <= rows; i++) { pen.moveTo(x, y + (i * h) / rows); pen.lineTo(x + w, y + (i * h) / rows); }
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.25;
    pen.stroke();

    outlineBox(pen, map);
    drawSamples(map);
    map.dot.hidden = !region.samplesX || !region.samplesY;
    if (map.dot.hidden) return;

    // The picked sample: a thread to each of its four cells, as thick as the cell's weight.
    const { x: px, y: py } = binSamples()[pick.sy * region.samplesX + pick.sx];
    for (const { row, column, weight } of neighbours(px, py, height, width)) {
      if (weight < 1e-6) continue;
      outline(pen, at(column) + 1.5, at(row) + 1.5, unit - 3, unit - 3, colours.accent, 2);
      pen.beginPath();
      pen.moveTo(at(px), at(py));
      pen.lineTo(at(column + 0.5), at(row + 0.5));
      pen.lineWidth = 1 + 6 * weight;
      pen.globalAlpha = 0.55;
      pen.stroke();
      pen.globalAlpha = 1;
    }
    map.dot.style.transform = `translate(${at(px)}px, ${at(py)}px)`;
  }

  // All samples, above the digits; those that count as zero are hollow.
  function drawSamples(map) {
    const pen = map.marks.getContext("2d");
    const at = (cell) => (cell + MARGIN) * map.unit;
    const { region } = result;
    const [rows, columns] = state.output_size;
    const ys = axisSamples(region.y, region.height, rows, region.samplesY);
    const xs = axisSamples(region.x, region.width, columns, region.samplesX);
    const radius = within(0.22 * map.unit * Math.min(region.width / xs.length, region.height / ys.length), [1.1, 3]);
    const hollow = (ix, iy) => !axisNeighbours(ix, width) || !axisNeighbours(iy, height);
    pen.clearRect(0, 0, ...map.size);
    pen.fillStyle = pen.strokeStyle = colours.accent;
    pen.lineWidth = 1;
    for (const zero of [false, true]) {
      pen.beginPath();
      for (const iy of ys) {
        for (const ix of xs) {
          if (hollow(ix, iy) !== zero) continue;
          pen.moveTo(at(ix + 0.5) + radius, at(iy + 0.5));
          pen.arc(at(ix + 0.5), at(iy + 0.5), radius, 0, 7);
        }
      }
      if (zero) pen.stroke();
      else pen.fill();
    }
  }

  function placeBox(map) {
    const [x1, y1, x2, y2] = state.box.map((edge) => (edge / stride + MARGIN) * map.unit);
    map.box.style.transform = `translate(${x1}px, ${y1}px)`;
    map.box.style.width = `${x2 - x1}px`;
    map.box.style.height = `${y2 - y1}px`;
  }

  function describeHandles() {
    const [x1, y1, x2, y2] = state.box.map((edge) => fixed(edge));
    const { handles } = mapOf.pool;
    const tell = (node, now, text) => {
      node.setAttribute("aria-valuemin", String(-stride));
      node.setAttribute("aria-valuemax", String((width + 1) * stride));
      node.setAttribute("aria-valuenow", String(now));
      node.setAttribute("aria-valuetext", text);
    };
    tell(handles.move, state.box[0], `from ${x1}, ${y1} to ${x2}, ${y2} pixels`);
    tell(handles.nw, state.box[0], `${x1}, ${y1} pixels`);
    tell(handles.ne, state.box[2], `${x2}, ${y1} pixels`);
    tell(handles.sw, state.box[0], `${x1}, ${y2} pixels`);
    tell(handles.se, state.box[2], `${x2}, ${y2} pixels`);
  }

  function drawNumbers() {
    const [rows, columns] = state.output_size;
    const from = channelIndex() * rows * columns;
    const range = cellRange();
    for (const grid of Object.values(gridOf)) {
      layGrid(grid);
      grid.cells.forEach((cell, n) => {
        const [p, a] = [result.pool.data[from + n], result.align.data[from + n]];
        const picked = n === pick.row * columns + pick.column;
        if (cell.picked !== picked) {
          cell.picked = picked;
          cell.classList.toggle("picked", picked);
          cell.setAttribute("tabindex", picked ? "0" : "-1");
        }
        const text = grid.kind === "pool" ? fixed(p, 0) : grid.kind === "align" ? fixed(a) : signed(p - a);
        setText(cell, text);
        const shade = grid.kind === "pool" ? colours.mix(p / range) : grid.kind === "align" ? colours.mix(a / range)
          : `color-mix(in srgb, ${p > a ? colours.second : colours.accent} ${Math.round(Math.min(1, Math.abs(p - a) / 60) * 55)}%, ${colours.low})`;
        if (cell.shade !== shade) {
          cell.shade = shade;
          cell.style.background = shade;
        }
      });
    }
  }

  // Everything the inspector says about the picked bin and sample.
  function trace() {
    const [rows, columns] = state.output_size;
    const { snapped, region } = result;
    const [top, bottom] = poolBins(snapped.y, snapped.height, rows, height)[pick.row];
    const [left, right] = poolBins(snapped.x, snapped.width, columns, width)[pick.column];
    const cells = [];
    for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) cells.push({ row, column, value: cellValue(row, column) });
    const samples = binSamples().map(({ x, y }) => ({ x, y, value: bilinear(scene.feature, x, y, channelIndex()) }));
    const n = channelIndex() * rows * columns + pick.row * columns + pick.column;
    const winner = result.pool.argmax[n];
    const at = pick.sy * region.samplesX + pick.sx;
    return { cells, top, bottom, left, right, winner, samples, at, sample: samples[at], pooled: result.pool.data[n], mean: result.align.data[n] };
  }

  function sentence() {
    const { sample, at, samples, pooled, mean } = trace();
    const bin = `Output row ${pick.row}, column ${pick.column}: RoIPool ${fixed(pooled, 0)}, RoIAlign ${fixed(mean, 2)}.`;
    if (!sample) return `${bin} No samples.`;
    const near = neighbours(sample.x, sample.y, height, width);
    const sum = near.length
      ? near.map((cell) => `${fixed(cell.weight, 2)} times ${cellValue(cell.row, cell.column)}`).join(" plus ") + ` is ${fixed(sample.value, 2)}`
      : "outside the map, zero";
    return `${bin} Sample ${at + 1} of ${samples.length}: ${sum}.`;
  }

  function drawInspector() {
    const { cells, top, bottom, left, right, winner, samples, at, sample, pooled, mean } = trace();
    const list = (values, most) => (values.length > most ? [...values.slice(0, most - 1), "\u2026", values.at(-1)] : values);
    setText(poolTitle, `Output row ${pick.row}, column ${pick.column}: ${fixed(pooled, 0)}`);
    setText(poolText, cells.length === 0 ? "No cell lies in this bin." : cells.length === 1 ? "This bin holds one cell." : `The largest of ${cells.length} cells.`);
    setText(poolSum, cells.length ? `max(${list(cells.map(({ value }) => value), 12).join(", ")}) = ${fixed(pooled, 0)}` : "0");
    if (poolCells.children.length !== cells.length) poolCells.replaceChildren(...cells.map(() => element("div")));
    poolCells.style.setProperty("--columns", Math.max(1, right - left));
    cells.forEach(({ row, column, value }, n) => {
      setText(poolCells.children[n], String(value));
      poolCells.children[n].classList.toggle("winner", row * width + column === winner);
    });
    const span = (from, to) => (to - from === 1 ? String(from) : `${from} to ${to - 1}`);
    setText(poolRegionText, cells.length ? `Row${bottom - top > 1 ? "s" : ""} ${span(top, bottom)}, column${right - left > 1 ? "s" : ""} ${span(left, right)} of the map, that is ${left * stride} to ${right * stride} px across, ${top * stride} to ${bottom * stride} px down` : "");
    setText(alignTitle, `Output row ${pick.row}, column ${pick.column}: ${fixed(mean, 2)}`);
    setText(alignText, samples.length === 1 ? "One sample." : `The mean of ${samples.length} samples.`);
    const terms = list(samples.map(({ value }) => fixed(value)), 6).join(" + ");
    setText(alignSum, samples.length ? `(${terms}) / ${samples.length} = ${fixed(mean, 2)}` : "0");
    if (!sample) {
      setText(sampleText, "The box has no area, so there is no sample.");
      setText(sampleSum, "");
      quad.hidden = true;
      return;
    }
    const near = neighbours(sample.x, sample.y, height, width);
    setText(sampleText, `Sample ${at + 1} of ${samples.length} at x ${fixed(sample.x, 2)}, y ${fixed(sample.y, 2)} cells, that is ${fixed(sample.x * stride)}, ${fixed(sample.y * stride)} px`);
    quad.hidden = near.length === 0;
    if (near.length === 0) {
      setText(sampleSum, "More than a cell outside the map: 0");
      return;
    }
    near.forEach(({ row, column, weight }, n) => {
      setText(quads[n].weight, fixed(weight, 2));
      setText(quads[n].value, String(cellValue(row, column)));
      setText(quads[n].cell, `row ${row}, col ${column}`);
      quads[n].node.style.setProperty("--weight", `${Math.round(weight * 100)}%`);
    });
    const products = near.map(({ row, column, weight }) => fixed(weight * cellValue(row, column), 2));
    setText(sampleSum, `${products.join(" + ")} = ${fixed(sample.value, 2)}`);
  }

  function drawShifts() {
    const { snapped, region } = result;
    const words = ["left", "top", "right", "bottom"];
    const line = (edges) => {
      const moves = edges.map((edge, n) => edge * stride - state.box[n]);
      return moves.every((move) => Math.abs(move) < 0.005)
        ? "Moved: no edge."
        : `Moved: ${moves.map((move, n) => `${words[n]} ${signed(move)}`).join(", ")} px`;
    };
    setText(shift.pool, line([snapped.x, snapped.y, snapped.x + snapped.width, snapped.y + snapped.height]));
    setText(shift.align, line([region.x, region.y, region.x + region.width, region.y + region.height].map((edge) => edge + 0.5)));
    boxInputs.forEach(({ cells }, n) => setText(cells, `${fixed(state.box[n] / stride, 2)} cells`));
    const [w, h] = [state.box[2] - state.box[0], state.box[3] - state.box[1]];
    setText(sizeLine, `${fixed(w)} \u00d7 ${fixed(h)} px = ${fixed(w / stride, 2)} \u00d7 ${fixed(h / stride, 2)} cells. Stride ${stride} px, so spatial_scale\u00a0=\u00a01/${stride}.`);
  }

  // A reader who is still typing must not have the text rewritten under the cursor.
  function refresh(input, value) {
    if (document.activeElement === input && input.getAttribute("aria-invalid") === "true") return;
    if (input.value === "" || Number(input.value) !== value) input.value = String(value);
    input.setAttribute("aria-invalid", "false");
  }

  function drawControls() {
    channelChoice.set(state.channel);
    samplingChoice.set(state.sampling_ratio);
    alignedInput.checked = state.aligned;
    sizeInputs.forEach((input, axis) => refresh(input, state.output_size[axis]));
    boxInputs.forEach(({ input }, n) => refresh(input, state.box[n]));
    const wanted = [["dot", state.aligned ? "samples" : "samples, half a cell off"], ["zero", "zero"], ["four", "four cells of one sample"]];
    alignKey.replaceChildren(...wanted.map(([name, text]) => key(name, text)));
  }

  function drawMask(mask, fit) {
    const pen = mask.canvas.getContext("2d");
    const { unit } = mask;
    const { x: x0, y: y0 } = MASK_VIEW;
    const kind = colours[mask.kind === "pool" ? "second" : "accent"];
    pen.drawImage(stills.scene, 0, 0, ...mask.size);
    // Wrong pixels inside the box, in the operation's colour.
    const { part } = fit;
    if (part.width && part.height) {
      const image = new ImageData(part.width, part.height);
      const [r, g, b] = hexToRgb(kind);
      for (let y = 0; y < part.height; y++) {
        for (let x = 0; x < part.width; x++) {
          const n = y * part.width + x;
          const truth = scene.mask.data[(part.top + y) * scene.mask.width + part.left + x];
          if (part.data[n] >= 0.5 !== Boolean(truth)) image.data.set([r, g, b, 205], 4 * n);
        }
      }
      wrong.width = part.width;
      wrong.height = part.height;
      wrong.getContext("2d").putImageData(image, 0, 0);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(wrong, (part.left - x0) * unit, (part.top - y0) * unit, part.width * unit, part.height * unit);
      pen.imageSmoothingEnabled = true;
    }
    pen.drawImage(stills.edge, 0, 0, ...mask.size);
    traceSegments(pen, contour(part), unit);
    // On a photograph the light tones serve both themes.
    strokeTwice(pen, ["#000000c0", 5], [mask.kind === "pool" ? "#f0a35e" : "#5cc3e6", 3]);
    const [x1, y1, x2, y2] = state.box;
    pen.setLineDash([5, 4]);
    outline(pen, (x1 - x0) * unit, (y1 - y0) * unit, (x2 - x1) * unit, (y2 - y1) * unit, "#ffffff", 1.25);
    pen.setLineDash([]);
    const text = Number.isNaN(fit.iou) ? "undefined" : `${fixed(100 * fit.iou)} %`;
    setText(mask.score, text);
    mask.canvas.setAttribute("aria-label", `Photograph of a cup with the mask of its mouth, as ${mask.kind === "pool" ? "RoIPool" : "RoIAlign"} leaves it; IoU ${text}`);
  }

  function drawThumbnail() {
    const pen = thumbnail.getContext("2d");
    pen.drawImage(stills.thumbnail, 0, 0, ...thumbnailSize);
    const [x1, y1, x2, y2] = state.box.map((edge) => (edge * THUMBNAIL) / packedScene.width);
    outline(pen, x1, y1, x2 - x1, y2 - y1, "#000000b0", 3.5);
    outline(pen, x1, y1, x2 - x1, y2 - y1, "#ffffff", 1.5);
  }

  // -- The sweep, a slice at a time.
  function updateSweep() {
    const [x1, y1, x2, y2] = state.box;
    if (sweep.anchor === null || Math.abs(x1 - sweep.anchor) > SWEEP.reach) sweep.anchor = Math.round(x1 / stride) * stride;
    const key = JSON.stringify([sweep.anchor, tenth(x2 - x1), y1, y2, state.output_size, state.sampling_ratio, state.aligned]);
    if (sweep.at >= SWEEP.steps && sweep.key !== key) {
      Object.assign(sweep, { key, at: 0, pool: [], align: [], from: sweep.anchor, box: state.box });
    }
    const until = performance.now() + 2;
    while (sweep.at < SWEEP.steps && performance.now() < until) {
      const left = sweep.from - SWEEP.reach + (2 * SWEEP.reach * sweep.at) / (SWEEP.steps - 1);
      const box = [left, sweep.box[1], left + sweep.box[2] - sweep.box[0], sweep.box[3]];
      const { poolFit, alignFit } = compute(scene, { ...state, box });
      sweep.pool.push(poolFit.iou);
      sweep.align.push(alignFit.iou);
      sweep.at += 1;
    }
    if (sweep.at < SWEEP.steps || sweep.key !== key) mark("sweep");
    if (sweep.at >= SWEEP.steps && sweep.shown !== sweep.key) {
      sweep.shown = sweep.key;
      sweep.curves = { pool: sweep.pool, align: sweep.align };
      drawCurves();
    }
    placeCursor();
  }

  const plotBox = { left: 46, right: 14, top: 12, bottom: 24, height: 168 };
  function plotScale() {
    const inner = plot.width - plotBox.left - plotBox.right;
    const low = sweep.low ?? 0;
    return {
      x: (shiftPx) => plotBox.left + ((shiftPx + SWEEP.reach) / (2 * SWEEP.reach)) * inner,
      y: (value) => plotBox.top + ((100 - value) / (100 - low)) * (plotBox.height - plotBox.top - plotBox.bottom),
    };
  }

  function drawCurves() {
    if (!sweep.curves) return;
    const values = [...sweep.curves.pool, ...sweep.curves.align].filter((value) => !Number.isNaN(value));
    sweep.low = values.length ? Math.max(0, Math.floor((100 * Math.min(...values) - 5) / 20) * 20) : 0;
    const { x, y } = plotScale();
    plot.svg.setAttribute("viewBox", `0 0 ${plot.width} ${plotBox.height}`);
    plot.svg.setAttribute("width", plot.width);
    plot.svg.setAttribute("height", plotBox.height);
    const marks = [];
    for (let value = sweep.low; value <= 100; value += 20) {
      marks.push(svgNode("line", { class: "rule", x1: plotBox.left, x2: plot.width - plotBox.right, y1: y(value), y2: y(value) }));
      const text = svgNode("text", { class: "tick", x: plotBox.left - 7, y: y(value) + 4, "text-anchor": "end" });
      text.textContent = value === 100 ? "100 %" : String(value);
      marks.push(text);
    }
    // Where an edge of the box passes the middle of a cell, RoIPool rounds it to the next one.
    for (const edge of [sweep.box[0], sweep.box[2]]) {
      for (let at = -SWEEP.reach; at <= SWEEP.reach; at += 0.1) {
        const now = sweep.from + at + edge - sweep.box[0];
        if (Math.floor(now / stride + 0.5) === Math.floor((now - 0.1) / stride + 0.5)) continue;
        marks.push(svgNode("line", { class: "flip", x1: x(at), x2: x(at), y1: plotBox.top, y2: y(sweep.low) }));
      }
    }
    for (const at of [-16, -8, 0, 8, 16]) {
      marks.push(svgNode("line", { class: "rule", x1: x(at), x2: x(at), y1: y(sweep.low), y2: y(sweep.low) + 4 }));
      const text = svgNode("text", { class: "tick", x: x(at), y: plotBox.height - 4, "text-anchor": "middle" });
      text.textContent = at === 0 ? `x1 = ${sweep.from} px` : `${signed(at, 0)}`;
      marks.push(text);
    }
    if (!values.length) {
      const text = svgNode("text", { class: "tick", x: plot.width / 2, y: plotBox.height / 2 - 8, "text-anchor": "middle" });
      text.textContent = "No part of the mouth lies in the box.";
      marks.push(text);
    }
    plot.frame.replaceChildren(...marks);
    // Names stand at the end where the curves are farther apart.
    const gap = (n) => Math.abs(sweep.curves.pool.at(n) - sweep.curves.align.at(n));
    const atEnd = !(gap(0) > gap(-1));
    for (const kind of ["pool", "align"]) {
      let started = false;
      const path = sweep.curves[kind].map((value, n) => {
        if (Number.isNaN(value)) { started = false; return ""; }
        const command = started ? "L" : "M";
        started = true;
        return `${command}${x(-SWEEP.reach + (2 * SWEEP.reach * n) / (SWEEP.steps - 1)).toFixed(1)} ${y(100 * value).toFixed(1)}`;
      });
      plot[kind].setAttribute("d", path.join(""));
      const last = sweep.curves[kind].at(atEnd ? -1 : 0);
      const label = plot[`${kind}Label`];
      label.textContent = kind === "pool" ? "RoIPool" : "RoIAlign";
      label.setAttribute("x", atEnd ? plot.width - plotBox.right - 2 : plotBox.left + 4);
      label.setAttribute("text-anchor", atEnd ? "end" : "start");
      label.setAttribute("y", Number.isNaN(last) ? -20 : Math.max(11, y(100 * last) + (kind === "pool" ? 17 : -8)));
      label.setAttribute("visibility", Number.isNaN(last) ? "hidden" : "visible");
    }
    const span = (list) => {
      const some = list.filter((value) => !Number.isNaN(value)).map((value) => 100 * value);
      return some.length ? `${fixed(Math.min(...some))} to ${fixed(Math.max(...some))} percent` : "undefined";
    };
    plot.svg.setAttribute("aria-label", `IoU over 40 pixels of sideways movement: RoIPool ${span(sweep.curves.pool)}, RoIAlign ${span(sweep.curves.align)}`);
  }

  function placeCursor() {
    if (!sweep.curves) return;
    const { x, y } = plotScale();
    const at = state.box[0] - sweep.anchor;
    plot.cursor.setAttribute("x1", x(at));
    plot.cursor.setAttribute("x2", x(at));
    plot.cursor.setAttribute("y1", plotBox.top);
    plot.cursor.setAttribute("y2", plotBox.height - plotBox.bottom);
    for (const [dot, fit] of [[plot.poolDot, result.poolFit], [plot.alignDot, result.alignFit]]) {
      dot.setAttribute("visibility", Number.isNaN(fit.iou) ? "hidden" : "visible");
      if (!Number.isNaN(fit.iou)) { dot.setAttribute("cx", x(at)); dot.setAttribute("cy", y(100 * fit.iou)); }
    }
    if (Number(slider.value) !== tenth(at)) slider.value = String(tenth(at));
    slider.setAttribute("aria-valuetext", `left edge at ${fixed(state.box[0])} pixels`);
  }

  // One frame: only what changed.
  function draw() {
    const all = dirty.has("all");
    const [box, base] = [all || dirty.has("box"), all || dirty.has("base")];
    const controls = all || dirty.has("controls");
    const picked = box || dirty.has("pick");
    dirty.clear();
    if (!root.clientWidth) return;
    if (!colours) readColours();
    if (all) measure();
    if (base) Object.values(mapOf).forEach(drawBase);
    if (box) {
      result = compute(scene, state);
      clampPick();
      Object.values(mapOf).forEach(placeBox);
      describeHandles();
      drawShifts();
      drawThumbnail();
      drawMask(maskOf.pool, result.poolFit);
      drawMask(maskOf.align, result.alignFit);
    }
    if (box || controls) drawControls();
    if (picked) {
      drawPoolOverlay(mapOf.pool);
      drawAlignOverlay(mapOf.align);
      drawNumbers();
      drawInspector();
    }
    if (all) drawCurves();
    updateSweep();
  }

  stops.push(onTheme(() => { colours = null; mark("all"); }));
  stops.push(onResize(root, () => mark("all")));
  draw();
  return () => {
    stops.forEach((stop) => stop());
    root.remove();
  };
}

export default { render };
