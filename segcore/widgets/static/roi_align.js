import { hatchPattern, mixer, palette } from "./kit/colours.js";
import { button, heading, key, numberField, traitBox, traitChoice, trials } from "./kit/controls.js";
import { element, put, setText, shape, uniqueId } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget, yesNo } from "./kit/figure.js";
import { conv2d, pad, resizeBilinear } from "./kit/maps.js";
import { clamp, fixed, placeWords, plural, same, signed, tidy } from "./kit/numbers.js";
import { clearCanvas, drawCells, drawDisc, fillAround, outlineRect, picture, strokeAll, strokeLine,
  unpackBytes, unpackMask } from "./kit/pictures.js";
import { player } from "./kit/player.js";
import { arrowOf, draggable, pointIn, walkCells } from "./kit/pointer.js";

// RoIPool and RoIAlign of one box. Arithmetic first, as pure functions; what is drawn comes below.
//
// A feature map is { data, channels, height, width }, values in rows. A box is [x1, y1, x2, y2] in pixels of the image.
// Continuous coordinates put the centre of cell 0 at 0.5; index coordinates put it at 0. Positions are rounded to
// float32 step by step as PyTorch's kernels do, because one rounding decides which cell a box falls into.

const f32 = Math.fround;
const roundAway = (value) => Math.sign(value) * Math.floor(Math.abs(value) + 0.5); // C's round: halves go away from zero
const scaledBox = (box, scale) => box.map((edge) => f32(f32(edge) * f32(scale)));

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
  const [across, down] = [axisNeighbours(x - 0.5, width), axisNeighbours(y - 0.5, height)];
  if (!across || !down) return [];
  const both = ({ low, high, weight }) => [[low, 1 - weight], [high, weight]];
  return both(down).flatMap(([row, wy]) => both(across).map(([column, wx]) => ({ row, column, weight: wy * wx })));
}

export function bilinear({ data, height, width }, x, y, channel = 0) {
  return neighbours(x, y, height, width).reduce((sum, { row, column, weight }) =>
    sum + weight * data[(channel * height + row) * width + column], 0);
}

// Index coordinates of the samples along one axis: `samples` in each of `bins` equal parts of [start, start + length].
export function axisSamples(start, length, bins, samples) {
  const bin = f32(length / bins);
  return Array.from({ length: bins * samples }, (_, n) => {
    const [i, k] = [Math.floor(n / samples), n % samples];
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
export function alignRegion(box, { outputSize: [rows, columns], scale = 1, samplingRatio = 2, aligned = true }) {
  const [x1, y1, x2, y2] = scaledBox(box, scale).map((edge) => f32(edge - (aligned ? 0.5 : 0)));
  const [width, height] = [x2 - x1, y2 - y1].map((length) => Math.max(f32(length), aligned ? -Infinity : 1));
  const count = (length, bins) => (samplingRatio > 0 ? samplingRatio : Math.max(0, Math.ceil(f32(length / bins))));
  return { x: x1, y: y1, width, height, samplesX: count(width, columns), samplesY: count(height, rows) };
}

// RoIAlign of one box: W_y F W_x^T for each channel.
export function roiAlign({ data, channels = 1, height, width }, box, options) {
  const [rows, columns] = options.outputSize;
  const region = alignRegion(box, options);
  const wy = axisWeights(region.y, region.height, rows, region.samplesY, height);
  const wx = axisWeights(region.x, region.width, columns, region.samplesX, width);
  const output = new Float64Array(channels * rows * columns);
  const line = new Float64Array(width);
  for (let c = 0, n = 0; c < channels; c++) {
    for (const down of wy) {
      line.fill(0);
      down.forEach((weight, y) => {
        if (weight) for (let x = 0; x < width; x++) line[x] += weight * data[(c * height + y) * width + x];
      });
      for (const across of wx) output[n++] = line.reduce((sum, value, x) => sum + value * across[x], 0);
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
  const cell = (value) => clamp(value + start, 0, size);
  return Array.from({ length: bins }, (_, i) => [cell(Math.floor(f32(i * bin))), cell(Math.ceil(f32((i + 1) * bin)))]);
}

// RoIPool of one box, with the cell (row * width + column) that each output came from; -1 for a bin without cells.
export function roiPool({ data, channels = 1, height, width }, box, { outputSize: [rows, columns], scale = 1 }) {
  const region = poolRegion(box, scale);
  const down = poolBins(region.y, region.height, rows, height);
  const across = poolBins(region.x, region.width, columns, width);
  const output = new Float64Array(channels * rows * columns);
  const argmax = new Int32Array(output.length).fill(-1);
  for (let n = 0; n < output.length; n++) {
    const plane = Math.floor(n / (rows * columns)) * height * width;
    const [[top, bottom], [left, right]] = [down[Math.floor(n / columns) % rows], across[n % columns]];
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) if (argmax[n] < 0 || data[plane + y * width + x] > output[n]) output[n] = data[plane + (argmax[n] = y * width + x)];
    }
  }
  return { data: output, argmax, channels, height: rows, width: columns };
}

// A soft mask back into an image: bilinear at the centres of the pixels. Only the pixels whose centre lies in the box
// can differ from zero; they alone are returned, with where they stand.
export function paste(soft, [x1, y1, x2, y2], { height, width }) {
  const axis = (low, high, size, cells) => {
    const [from, to] = [low, high].map((edge) => clamp(Math.ceil(edge - 0.5), 0, size));
    const index = (n) => clamp(((from + n + 0.5 - low) / (high - low)) * cells - 0.5, 0, cells - 1);
    return { from, at: Array.from({ length: Math.max(0, to - from) }, (_, n) => axisNeighbours(index(n), cells)) };
  };
  const [across, down] = [axis(x1, x2, width, soft.width), axis(y1, y2, height, soft.height)];
  const data = new Float64Array(across.at.length * down.at.length);
  let n = 0;
  for (const { low: a, high: b, weight: v } of down.at) {
    const line = Array.from({ length: soft.width }, (_, x) => (1 - v) * soft.data[a * soft.width + x] + v * soft.data[b * soft.width + x]);
    for (const { low, high, weight } of across.at) data[n++] = (1 - weight) * line[low] + weight * line[high];
  }
  return { left: across.from, top: down.from, width: across.at.length, height: down.at.length, data };
}

// How well a pasted mask, cut at one half, fits the part of the object that lies in the box: intersection over union,
// NaN when both are empty. `wrong` is 1 for each pixel of the part where they differ.
export function maskFit(soft, box, mask) {
  const part = paste(soft, box, mask);
  let [both, either] = [0, 0];
  const wrong = new Uint8Array(part.data.length);
  part.data.forEach((value, n) => {
    const truth = mask.data[(part.top + Math.floor(n / part.width)) * mask.width + part.left + (n % part.width)];
    const guess = value >= 0.5 ? 1 : 0;
    both += truth & guess;
    either += truth | guess;
    wrong[n] = truth ^ guess;
  });
  return { part, wrong, iou: both / either };
}

// The line where a pasted mask crosses one half, as segments [x, y, x, y] in pixels (marching squares). Outside the box
// the mask drops to zero at once: the line then runs half-way, along the box's edge.
export function contour({ left, top, width, height, data }) {
  const value = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : data[y * width + x]);
  const cut = (p, q) => (p === 0 || q === 0 ? 0.5 : (0.5 - p) / (q - p));
  const segments = [];
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const [a, b, c, d] = [value(x, y), value(x + 1, y), value(x + 1, y + 1), value(x, y + 1)];
      const points = [];
      if (a >= 0.5 !== b >= 0.5) points.push(x + cut(a, b), y);
      if (b >= 0.5 !== c >= 0.5) points.push(x + 1, y + cut(b, c));
      if (d >= 0.5 !== c >= 0.5) points.push(x + cut(d, c), y + 1);
      if (a >= 0.5 !== d >= 0.5) points.push(x, y + cut(a, d));
      for (let n = 0; n < points.length; n += 4) segments.push(points.slice(n, n + 4).map((p, i) => p + 0.5 + (i % 2 ? top : left)));
    }
  }
  return segments;
}

// ---- The scene, and what a box comes to ----------------------------------------------------------------------------

const [MARGIN, FARTHEST] = [1, 1000]; // cells of empty room around the map; pixels from the corner that an edge may lie
const MASK_VIEW = { x: 24, y: 0, width: 144, height: 96 }; // the part of the photograph that shows the object
const KINDS = ["pool", "align"];
const MATTERS = ["box", "output_size", "sampling_ratio", "aligned"]; // what the numbers depend on
const NAMES = { pool: "RoIPool", align: "RoIAlign" };
const CORNERS = { nw: "Top left corner", ne: "Top right corner", sw: "Bottom left corner", se: "Bottom right corner" };
const JUMPS = { Home: [-1, 0], End: [1, 0], PageUp: [0, -1], PageDown: [0, 1] };
const CHANNELS = { // with the largest value, and what 0 and that value mean
  edges: ["Edges", 99, "edges. Masks: from the mouth\u2019s map.", "weak to strong, 0 to 99"],
  brightness: ["Brightness", 99, "brightness. Masks: from the mouth\u2019s map.", "black to white, 0 to 99"],
  mouth: ["Cup\u2019s mouth", 100, "cup\u2019s mouth in each cell", "0 to 100 % of the cell"],
};
// A map's colours are the same by day and by night; so are those on the photograph, which are lighter.
const MAP = { low: "#e9edf2", high: "#7f90a3", text: "#1d232b", page: "#ffffff", accent: "#0b6e8f", second: "#b45309" };
const ON_PHOTOGRAPH = { pool: { line: "#f0a35e", wrong: [224, 123, 26] }, align: { line: "#5cc3e6", wrong: [27, 156, 196] } };

const START = { box: [56.1, 5, 136.1, 70], output_size: [5, 5], sampling_ratio: 2, aligned: true, channel: "mouth" };
const REST = "Drag the box a little to the side. RoIPool\u2019s mask rides along, then jumps by a cell; RoIAlign\u2019s stays on the cup. " +
  "Arrow keys move the box by a pixel, with Shift by a tenth.";
const OFF = "\u201caligned\u201d is off: RoIAlign\u2019s points lie 8 pixels to the right of the box and below it, half a cell.";
const NOTHING = "No part of the mouth lies in the box, so no mask comes back. Drag the box to the cup.";
const TRIALS = [
  ["0.2 px to the left", { box: [55.9, 5, 135.9, 70] },
    "The box moved by a fifth of a pixel. RoIPool\u2019s cells moved by 16 pixels, and its mask jumped with them; RoIAlign\u2019s stayed. " +
    "Press again, and again, to go back and forth."],
  ["Cells cut in half", { box: [56, 8, 136, 72] },
    "Every edge of the box cuts cells in half, and RoIPool rounds all four up: left and top move by 8 pixels, right and bottom by 24, " +
    "for the last cell is taken whole. Farther no edge can move."],
  ["A tiny box", { box: [72, 56, 87, 71] },
    "The box, 15 pixels wide, lies on the mouth\u2019s edge. RoIPool has one cell for it, less than half of it mouth: no mask at all. " +
    "RoIAlign reads between four cells and finds the edge."],
  ["7 \u00d7 7 numbers", { output_size: [7, 7] },
    "More numbers help RoIAlign, whose mask follows the edge more closely. They do not help RoIPool, which repeats the same whole cells."],
  ["Half a cell off", { aligned: false },
    "RoIAlign with \u201caligned\u201d off takes a cell\u2019s corner for its centre. All its points slide 8 pixels right and down, " +
    "and its mask slides left and up."],
];

// The photograph from its packed brightness and coarse colour, with most of the colour left out: marks stand out from it.
function greyPhotograph({ width, height, luma, chroma, chroma_reduction: step }) {
  const bright = unpackBytes(luma);
  const colour = resizeBilinear({ data: unpackBytes(chroma), height: height / step, width: width / step, channels: 2 }, height, width).data;
  return picture(height, width, (n) => {
    const [y, cb, cr] = [bright[n], (colour[n] - 128) * 0.2, (colour[n + width * height] - 128) * 0.2];
    return [y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb];
  });
}

function readScene(model) {
  const [packed, { channels: names, shape, values }, stride] = ["scene", "feature", "stride"].map((name) => model.get(name));
  const [channels, height, width] = shape;
  const mask = unpackMask(packed.mask, packed.height, packed.width);
  const mean = { data: new Float64Array(25).fill(1 / 25), height: 5, width: 5 };
  return {
    names, width, height, stride, scale: 1 / stride, mask, feature: { data: Float64Array.from(values), channels, height, width },
    photograph: greyPhotograph(packed), edge: contour({ left: 0, top: 0, ...conv2d(pad(mask, 2), mean) }), // a smooth line
  };
}

// What a box and the options come to, in all channels and for the mask; bins of cells, and samples in cells.
function compute({ feature, scale, names, mask }, { box, output_size: outputSize, sampling_ratio: samplingRatio, aligned }) {
  const options = { outputSize, scale, samplingRatio, aligned };
  const [rows, columns] = outputSize;
  const from = names.indexOf("mouth") * rows * columns;
  const fit = ({ data }) => maskFit({ data: data.slice(from, from + rows * columns).map((share) => share / 100), height: rows,
    width: columns }, box, mask);
  const [pool, align] = [roiPool(feature, box, options), roiAlign(feature, box, options)];
  const [snapped, region] = [poolRegion(box, scale), alignRegion(box, options)];
  const points = (start, length, bins, samples, size) => axisSamples(start, length, bins, samples)
    .map((index) => ({ at: index + 0.5, zero: !axisNeighbours(index, size) }));
  return {
    pool, align, snapped, region, fits: { pool: fit(pool), align: fit(align) },
    down: poolBins(snapped.y, snapped.height, rows, feature.height), across: poolBins(snapped.x, snapped.width, columns, feature.width),
    ys: points(region.y, region.height, rows, region.samplesY, feature.height),
    xs: points(region.x, region.width, columns, region.samplesX, feature.width),
  };
}

// The same for the figure as it is, worked out once for each state.
function resultOf(figure) {
  const key = JSON.stringify(MATTERS.map((name) => figure.state[name]));
  if (figure.key !== key) Object.assign(figure, { key, result: compute(figure.scene, figure.state) });
  return figure.result;
}

const channelFrom = ({ scene, state }, size) => scene.names.indexOf(state.channel) * size;
const most = ({ state }) => CHANNELS[state.channel][1];

// The values of the map that is shown.
function shownMap(figure) {
  const { feature, width, height } = figure.scene;
  const from = channelFrom(figure, width * height);
  return feature.data.subarray(from, from + width * height);
}

// ---- Moving the box ------------------------------------------------------------------------------------------------

const tenth = (value) => Math.round(value * 10) / 10;
const clean = (value) => Math.round(value * 1e6) / 1e6; // 0.1 + 0.2 is 0.3 to a reader

// A box of which `part` ("move", or the edges by their letters) goes by (dx, dy) pixels, as far as there is room.
function movedBox({ width, height, stride }, [x1, y1, x2, y2], part, dx, dy) {
  const [left, right, top, bottom] = [-MARGIN, width + MARGIN, -MARGIN, height + MARGIN].map((cell) => cell * stride);
  [dx, dy] = [tenth(dx), tenth(dy)];
  if (part === "move") {
    const shift = (by, low, high, least, last) => (by < 0 ? Math.max(by, Math.min(0, least - low)) : Math.min(by, Math.max(0, last - high)));
    [dx, dy] = [shift(dx, x1, x2, left, right), shift(dy, y1, y2, top, bottom)];
    return [x1 + dx, y1 + dy, x2 + dx, y2 + dy].map(clean);
  }
  if (part.includes("w")) x1 = Math.min(clamp(x1 + dx, left, right), x2 - 1);
  if (part.includes("e")) x2 = Math.max(clamp(x2 + dx, left, right), x1 + 1);
  if (part.includes("n")) y1 = Math.min(clamp(y1 + dy, top, bottom), y2 - 1);
  if (part.includes("s")) y2 = Math.max(clamp(y2 + dy, top, bottom), y1 + 1);
  return [x1, y1, x2, y2].map(clean);
}

// Arrow keys by a pixel, with Shift by a tenth; Home, End and Page keys by a cell.
function moveByKeys(figure, node, part) {
  node.addEventListener("keydown", (event) => {
    const jump = event.ctrlKey || event.altKey || event.metaKey ? null : JUMPS[event.key];
    const by = arrowOf(event)?.map((step) => step * (event.shiftKey ? 0.1 : 1)) ?? jump?.map((cells) => cells * figure.scene.stride);
    if (!by) return;
    event.preventDefault();
    figure.set({ box: movedBox(figure.scene, figure.state.box, part, ...by) });
  });
}

// ---- The maps: one to drag the box on ("both"), and two that show what each operation reads ------------------------

function buildMap(figure, kind, help) {
  const main = kind === "both";
  const part = (type, name, attributes = {}) => element("div", { class: `${type} ${type}-${name}`, dataset: { part: name }, ...attributes });
  const handle = (name, label) =>
    part("handle", name, main ? { role: "slider", tabindex: "0", "aria-label": label, "aria-describedby": help.id } : {});
  const corners = Object.fromEntries(Object.entries(main ? CORNERS : {}).map(([name, label]) => [name, handle(name, label)]));
  const handles = { move: handle("move", "Box"), ...corners };
  const edges = main ? [..."nswe"].map((name) => part("edge", name)) : [];
  const canvas = element("canvas", { "aria-hidden": "true" });
  const box = element("div", { class: "box" }, handles.move, ...edges, ...Object.values(corners));
  const view = element("div", { class: "map-view" }, canvas, box);
  const map = { kind, canvas, box, view, handles, unit: 1 };
  if (main) Object.entries(handles).forEach(([name, node]) => moveByKeys(figure, node, name));
  const pick = (event) => pickAt(figure, kind, ...pointIn(view, event, map.unit).map((at) => at - MARGIN));
  const drag = draggable(view, {
    slack: 3,
    start({ target: { dataset: { part: name } } }) {
      if (!name) return main ? null : {};
      figure.parts.slide.player.stop();
      if (main) (handles[name] ?? handles.move).focus({ preventScroll: true });
      return { name, from: figure.state.box };
    },
    move({ name, from }, _, { dx, dy }) {
      const pixels = figure.scene.stride / map.unit;
      if (name) figure.set({ box: movedBox(figure.scene, from, name, dx * pixels, dy * pixels) });
    },
    end({ name, from }, event, moved) {
      if (event.type === "pointercancel" && name && moved) figure.set({ box: from }); // the finger scrolls the page instead
      if (event.type === "pointerup" && !main && !moved) pick(event);
    },
  });
  if (!main) view.addEventListener("pointermove", (event) => !drag.active && event.pointerType !== "touch" && pick(event));
  return map;
}

function measureMap(map, { width, height }) {
  const across = Math.floor(map.view.clientWidth);
  map.unit = across / (width + 2 * MARGIN);
  map.size = [across, Math.round(map.unit * (height + 2 * MARGIN))];
  map.view.style.height = `${map.size[1]}px`;
}

function describeHandles({ parts, state: { box } }) {
  const [x1, y1, x2, y2] = box.map((edge) => fixed(edge));
  const words = { nw: `${x1}, ${y1}`, ne: `${x2}, ${y1}`, sw: `${x1}, ${y2}`, se: `${x2}, ${y2}`, move: `from ${x1}, ${y1} to ${x2}, ${y2}` };
  Object.entries(words).forEach(([name, text]) => put(parts.map.handles[name], {
    "aria-valuemin": -FARTHEST, "aria-valuemax": FARTHEST, "aria-valuenow": box[["ne", "se"].includes(name) ? 2 : 0],
    "aria-valuetext": `${text} pixels`,
  }));
}

// Cells, what is read of them, and numbers; the pen's origin is the map's corner.
function drawMap(figure, map) {
  const { scene, state, look } = figure;
  const { unit, kind } = map;
  const pen = clearCanvas(map.canvas, ...map.size);
  pen.save();
  pen.translate(MARGIN * unit, MARGIN * unit);
  drawCells(pen, { data: shownMap(figure), width: scene.width }, unit, { colours: look.cells, largest: most(figure), numbers: Infinity });
  drawTicks(figure, map, pen);
  if (kind === "both" && state.channel === "mouth") strokeSegments(pen, scene.edge, unit / scene.stride);
  if (kind !== "align") drawPool(figure, pen, unit, kind === "pool");
  const [x1, y1, x2, y2] = state.box.map((edge) => (edge / scene.stride) * unit);
  outlineRect(pen, x1, y1, x2 - x1, y2 - y1, [MAP.page, 4], [MAP.text, 2]);
  if (kind !== "pool") drawSamples(figure, pen, unit, kind === "align");
  if (kind !== "both") drawDigits(figure, pen, unit, kind);
  pen.restore();
  map.box.style.transform = `translate(${x1 + MARGIN * unit}px, ${y1 + MARGIN * unit}px)`;
  [map.box.style.width, map.box.style.height] = [`${x2 - x1}px`, `${y2 - y1}px`];
}

// Pixels below and to the right, at the lines between cells; in the maps with numbers, cells above and to the left. None
// where a box that hangs over the border is drawn.
function drawTicks({ scene: { width, height, stride }, state: { box }, result: { snapped, region }, look }, { unit, kind }, pen) {
  const [x1, y1, x2, y2] = box.map((edge) => edge / stride);
  const covered = [snapped, region, { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }];
  const free = (x, y) => !covered.some((one) =>
    x > one.x - 0.6 && x < one.x + one.width + 0.6 && y > one.y - 0.6 && y < one.y + one.height + 0.6);
  pen.font = `11px ${look.font}`;
  pen.fillStyle = look.muted;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const write = (text, x, y) => free(x, y) && pen.fillText(text, x * unit, y * unit);
  for (let column = 0; column <= width; column += 2) write(`${column * stride}${column === width ? " px" : ""}`, column, height + 0.5);
  for (let row = 2; row < height; row += 2) write(String(row * stride), width + 0.5, row);
  if (kind === "both") return;
  for (let column = 0; column < width; column++) write(String(column + 1), column + 0.5, -0.45);
  for (let row = 0; row < height; row++) write(String(row + 1), -0.45, row + 0.5);
}

// A line in pixels of the image, on a map or a photograph; the object's true edge is white with a dark rim.
function strokeSegments(pen, segments, unit, x = 0, y = 0, strokes = [["#000000b0", 4], ["#ffffff", 2]]) {
  pen.beginPath();
  for (const [a, b, c, d] of segments) {
    pen.moveTo((a - x) * unit, (b - y) * unit);
    pen.lineTo((c - x) * unit, (d - y) * unit);
  }
  strokeAll(pen, ...strokes);
}

// RoIPool's cells; closer to, what they add to the box and cut off it, the bins, and the picked one.
function drawPool({ state, scene, look, result: { snapped, down, across }, pick }, pen, unit, close) {
  const [x1, y1, x2, y2] = state.box.map((edge) => (edge / scene.stride) * unit);
  const [box, region] = [[x1, y1, x2 - x1, y2 - y1], [snapped.x, snapped.y, snapped.width, snapped.height].map((cells) => cells * unit)];
  outlineRect(pen, ...region, [MAP.page, 5], [MAP.second, 3]);
  if (!close) return;
  fillAround(pen, region, box, look.added);
  fillAround(pen, box, region, look.cut);
  const outline = ([top, bottom], [left, right], inset, ...strokes) => {
    if (bottom <= top || right <= left) return; // a bin without cells
    outlineRect(pen, left * unit + inset, top * unit + inset, (right - left) * unit - 2 * inset, (bottom - top) * unit - 2 * inset, ...strokes);
  };
  pen.globalAlpha = 0.6; // where two bins share a cell, both outlines run through it
  down.forEach((rows, i) => across.forEach((columns, j) => outline(rows, columns, (i + j) % 2 ? 2 : 4, [MAP.second, 1])));
  pen.globalAlpha = 1;
  outline(down[pick.row], across[pick.column], 2, [MAP.page, 5], [MAP.second, 3]);
}

// RoIAlign's points: full ones that read the map, hollow ones that count as zero; closer to, the bins and the picked point.
function drawSamples(figure, pen, unit, close) {
  const { result: { region, xs, ys }, state: { output_size: [rows, columns] }, look, pick } = figure;
  if (close) {
    const [x, y, w, h] = [region.x + 0.5, region.y + 0.5, region.width / columns, region.height / rows].map((cells) => cells * unit);
    pen.fillStyle = look.soft;
    pen.fillRect(x + pick.column * w, y + pick.row * h, w, h);
    for (let n = 0; n < rows * columns; n++) outlineRect(pen, x + (n % columns) * w, y + Math.floor(n / columns) * h, w, h, [MAP.accent, 1]);
  }
  const radius = clamp(0.22 * unit * Math.min(region.width / xs.length, region.height / ys.length), 1.3, 3.2);
  for (const zero of [true, false]) {
    pen.beginPath();
    for (const v of ys) {
      for (const u of xs) {
        if ((u.zero || v.zero) !== zero) continue;
        pen.moveTo(u.at * unit + radius, v.at * unit);
        pen.arc(u.at * unit, v.at * unit, radius, 0, 7);
      }
    }
    strokeAll(pen, [MAP.page, zero ? 3 : 1.6], ...(zero ? [[MAP.accent, 1.2]] : []));
    pen.fillStyle = MAP.accent;
    if (!zero) pen.fill();
  }
  if (close) drawPicked(figure, pen, unit);
}

// The picked point's four cells, each with a thread as thick as its weight.
function drawPicked(figure, pen, unit) {
  const { sample, near } = trace(figure);
  if (!sample) return;
  for (const { row, column, weight } of near) {
    if (weight < 1e-6) continue;
    outlineRect(pen, column * unit + 1.5, row * unit + 1.5, unit - 3, unit - 3, [MAP.accent, 2]);
    strokeLine(pen, [sample.x, sample.y, column + 0.5, row + 0.5].map((cells) => cells * unit), [`${MAP.accent}90`, 1 + 6 * weight]);
  }
  drawDisc(pen, sample.x * unit, sample.y * unit, 4.5, null, [MAP.page, 3]);
  pen.fill();
}

// Numbers on grounds of their own, above all lines. Where points lie there are none but those of the picked point's four cells.
function drawDigits(figure, pen, unit, kind) {
  const { scene, look, result: { xs, ys, down, across, pool }, state: { output_size: [rows, columns] } } = figure;
  const { near, winner } = trace(figure);
  const under = (points, cell) => points.some(({ at }) => Math.abs(at - cell - 0.5) < 0.42);
  const from = channelFrom(figure, rows * columns);
  const givers = new Set(pool.argmax.subarray(from, from + rows * columns));
  const readers = (bins, cell) => bins.filter(([low, high]) => low <= cell && cell < high).length;
  pen.font = `${clamp(unit * 0.42, 11, 14).toFixed(1)}px ${look.font}`;
  shownMap(figure).forEach((value, n) => {
    const [row, column] = [Math.floor(n / scene.width), n % scene.width];
    if (kind === "align" && under(xs, column) && under(ys, row) && !near.some((cell) => cell.row === row && cell.column === column)) return;
    pen.beginPath();
    pen.ellipse((column + 0.5) * unit, (row + 0.5) * unit, unit * (value > 99 ? 0.46 : 0.37), unit * 0.37, 0, 0, 7);
    pen.fillStyle = look.cells.fill(value, most(figure));
    pen.fill();
    if (kind === "pool" && givers.has(n)) strokeAll(pen, [MAP.page, n === winner ? 5 : 3], [MAP.second, n === winner ? 3 : 1.4]);
    pen.fillStyle = MAP.text;
    pen.fillText(String(value), (column + 0.5) * unit, (row + 0.5) * unit + 0.5);
    if (kind === "pool") drawReaders(pen, (column + 1) * unit, (row + 1) * unit, unit, readers(down, row), readers(across, column));
  });
}

// A cell that several bins read: as many dots in its corner, in rows and columns.
function drawReaders(pen, right, bottom, unit, rows, columns) {
  if (rows * columns < 2) return;
  const step = Math.min(unit * 0.14, (0.9 * unit) / Math.max(rows, columns));
  for (let n = 0; n < rows * columns; n++) {
    drawDisc(pen, right - ((n % columns) + 0.75) * step, bottom - (Math.floor(n / columns) + 0.75) * step, 0.4 * step, MAP.second);
  }
}

// ---- The masks -----------------------------------------------------------------------------------------------------

function buildMask(kind, words) {
  const [ground, canvas, score] = [element("canvas", { "aria-hidden": "true" }), element("canvas", { role: "img" }), element("strong")];
  const view = element("div", { class: "mask-view" }, ground, canvas);
  const title = element("h4", {}, element("b", { text: NAMES[kind] }), element("span", { text: ` ${words}` }));
  const fit = element("p", { class: "score" }, "Overlap (IoU): ", score);
  return { kind, ground, canvas, score, view, node: element("section", { class: `mask ${kind}` }, title, view, fit) };
}

function measureMask(mask, photograph) {
  const { x, y, width, height } = MASK_VIEW;
  const across = Math.floor(mask.view.clientWidth);
  mask.size = [across, Math.round((across * height) / width)];
  mask.unit = across / width;
  mask.view.style.height = `${mask.size[1]}px`;
  const pen = clearCanvas(mask.ground, ...mask.size);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(photograph, x, y, width, height, 0, 0, ...mask.size);
}

function drawMask({ scene, state, result }, { kind, canvas, score, size, unit }) {
  const { part, wrong, iou } = result.fits[kind];
  const { x, y } = MASK_VIEW;
  const pen = clearCanvas(canvas, ...size);
  if (wrong.length) {
    const pixels = picture(part.height, part.width, (n) => [...ON_PHOTOGRAPH[kind].wrong, 205 * wrong[n]]);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(pixels, (part.left - x) * unit, (part.top - y) * unit, part.width * unit, part.height * unit);
  }
  pen.lineCap = "round";
  strokeSegments(pen, scene.edge, unit, x, y);
  strokeSegments(pen, contour(part), unit, x, y, [["#000000c0", 5], [ON_PHOTOGRAPH[kind].line, 3]]);
  const [x1, y1, x2, y2] = state.box;
  outlineRect(pen, (x1 - x) * unit, (y1 - y) * unit, (x2 - x1) * unit, (y2 - y1) * unit, ["#ffffffc0", 3], [MAP.text, 1.5]);
  const text = Number.isNaN(iou) ? "undefined" : `${fixed(100 * iou)}\u00a0%`;
  setText(score, text);
  put(canvas, { "aria-label": `Photograph of a cup with the mask of its mouth, as ${NAMES[kind]} leaves it; IoU ${text}` });
}

// ---- Where a number comes from -------------------------------------------------------------------------------------

// All that can be said about the picked output and its picked sample.
function trace(figure) {
  const { result, pick, state, scene } = figure;
  const [rows, columns] = state.output_size;
  const { samplesX, samplesY } = result.region;
  const map = shownMap(figure);
  const valued = (cell) => ({ ...cell, value: map[cell.row * scene.width + cell.column] });
  const [[top, bottom], [left, right]] = [result.down[pick.row], result.across[pick.column]];
  const cells = [];
  for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) cells.push(valued({ row, column }));
  const part = (all, n, count) => all.slice(n * count, (n + 1) * count);
  const samples = part(result.ys, pick.row, samplesY).flatMap((y) => part(result.xs, pick.column, samplesX).map((x) => (
    { x: x.at, y: y.at, value: bilinear(scene.feature, x.at, y.at, scene.names.indexOf(state.channel)) })));
  const n = channelFrom(figure, rows * columns) + pick.row * columns + pick.column;
  const at = pick.sy * samplesX + pick.sx;
  const near = samples.length ? neighbours(samples[at].x, samples[at].y, scene.height, scene.width).map(valued) : [];
  const [winner, pooled, mean] = [result.pool.argmax[n], result.pool.data[n], result.align.data[n]];
  return { cells, top, bottom, left, right, winner, samples, at, sample: samples[at], near, pooled, mean };
}

function setPick(figure, row, column, sy = 0, sx = 0) {
  const next = { row, column, sy, sx };
  if (same(figure.pick, next)) return;
  figure.pick = next;
  figure.mark("pick");
}

// The bin, and for RoIAlign the sample, nearest to a point of the map; a point off the box picks nothing.
function pickAt(figure, kind, x, y) {
  const { result: { snapped, region: { samplesX, samplesY, ...region } }, state: { output_size: [rows, columns] } } = figure;
  const [u, v] = kind === "pool" ? [(x - snapped.x) / snapped.width, (y - snapped.y) / snapped.height]
    : [(x - 0.5 - region.x) / region.width, (y - 0.5 - region.y) / region.height];
  const [down, across] = kind === "pool" ? [1, 1] : [samplesY, samplesX];
  if (!(down && across && u >= -0.05 && u <= 1.05 && v >= -0.05 && v <= 1.05)) return;
  const [sy, sx] = [[v, rows * down], [u, columns * across]].map(([t, n]) => clamp(Math.floor(t * n), 0, n - 1));
  setPick(figure, Math.floor(sy / down), Math.floor(sx / across), sy % down, sx % across);
}

function clampPick({ pick, result: { region }, state: { output_size: [rows, columns] } }) {
  const most = { row: rows - 1, column: columns - 1, sy: Math.max(0, region.samplesY - 1), sx: Math.max(0, region.samplesX - 1) };
  Object.keys(most).forEach((name) => (pick[name] = Math.min(pick[name], most[name])));
}

// The next or last sample, from bin to bin and round again.
function stepSample(figure, by) {
  const { pick, result: { region: { samplesX, samplesY } }, state: { output_size: [rows, columns] } } = figure;
  const inBin = samplesX * samplesY;
  if (!inBin) return;
  const all = inBin * rows * columns;
  const next = ((pick.row * columns + pick.column) * inBin + pick.sy * samplesX + pick.sx + by + all) % all;
  const [bin, sample] = [Math.floor(next / inBin), next % inBin];
  setPick(figure, Math.floor(bin / columns), bin % columns, Math.floor(sample / samplesX), sample % samplesX);
}

// An output as a grid of real text; pointing at a cell, or walking to it, picks it.
function buildGrid(figure, kind, title, caption) {
  const id = uniqueId("roi-align-grid");
  const body = element("div", { role: "grid", class: "grid", "aria-labelledby": id });
  const words = element("p", { class: "prose", text: caption });
  const grid = { kind, body, rows: [], node: element("section", { class: `output ${kind}` }, element("h4", { id, text: title }), body, words) };
  const enter = (row, column) => (figure.pick.row !== row || figure.pick.column !== column) && setPick(figure, row, column);
  walkCells(body, () => grid.rows, { enter });
  body.addEventListener("pointerover", ({ target: { dataset: { row, column } } }) => row && enter(Number(row), Number(column)));
  return grid;
}

function layGrid(grid, [rows, columns]) {
  if (grid.rows.length === rows && grid.rows[0].length === columns) return;
  const cell = (row, column) => element("div", { role: "gridcell", tabindex: "-1", dataset: { row, column } });
  grid.body.style.setProperty("--columns", columns);
  grid.rows = Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => cell(row, column)));
  grid.body.replaceChildren(...grid.rows.map((cells) => element("div", { role: "row" }, ...cells)));
}

function drawGrid(figure, { kind, rows }) {
  const { result, pick, look } = figure;
  const from = channelFrom(figure, rows.length * rows[0].length);
  rows.forEach((cells, row) => cells.forEach((cell, column) => {
    const n = from + row * cells.length + column;
    const [p, a] = [result.pool.data[n], result.align.data[n]];
    const picked = row === pick.row && column === pick.column;
    cell.classList.toggle("picked", picked);
    put(cell, { tabindex: picked ? 0 : -1 });
    setText(cell, kind === "pool" ? fixed(p, 0) : kind === "align" ? tidy(a, 1) : signed(p - a));
    const shade = kind === "difference" ? look.differences.fill(a - p, 100) : look.cells.fill(kind === "pool" ? p : a, most(figure));
    if (cell.shade !== shade) cell.style.background = cell.shade = shade;
  }));
}

const DETAILS = {
  pool: ["rounds the box to whole cells and takes the largest of each bin", ["ring second", "cells read"], ["cut", "cut off"],
    ["added", "added"], ["readers", "read by several bins"], ["circle second", "the largest of a bin"]],
  align: ["keeps the box and averages points between cells", ["dot", "points read"], ["hollow", "outside, zero"],
    ["ring", "the four cells of a point"]],
};

// What one operation reads, on a map, and the words for the picked number.
function buildDetail(figure, kind) {
  const [words, ...marks] = DETAILS[kind];
  const map = buildMap(figure, kind);
  const prose = (className = "prose") => element("p", { class: className });
  const detail = { map, shift: prose("shift"), title: element("h4"), text: prose(), sum: prose("sum"), more: prose(), cells: element("div") };
  const { shift, title, text, sum, more, cells } = detail;
  const head = [element("h4", { text: NAMES[kind] }), element("p", { class: "prose", text: words })];
  const column = element("section", { class: `column ${kind}` }, ...head, map.view, shift, key(...marks));
  if (kind === "pool") return { ...detail, nodes: [column, element("section", { class: "why pool" }, title, text, sum, cells, more)] };
  const step = (sign, label, by) => button(sign, () => stepSample(figure, by), { "aria-label": label });
  const steps = element("div", { class: "stepper" }, step("\u2039", "Previous sample", -1), step("\u203a", "Next sample", 1));
  const products = prose("sum sample-sum");
  const why = element("section", { class: "why align" }, title, text, sum, element("div", { class: "sample-head" }, more, steps),
    cells, products);
  return { ...detail, products, nodes: [column, why] };
}

function buildNumbers(figure) {
  const [pool, align] = KINDS.map((kind) => buildDetail(figure, kind));
  const grids = [buildGrid(figure, "pool", "RoIPool", "The largest cell of each bin."),
    buildGrid(figure, "align", "RoIAlign", "The mean of each bin\u2019s samples."),
    buildGrid(figure, "difference", "RoIPool \u2212 RoIAlign", "Orange: RoIPool is higher; teal: RoIAlign is.")];
  const hint = element("p", { class: "prose", text: "Point at a bin, a point or an output to see where its number comes from." });
  const outputs = element("div", { class: "outputs" }, ...grids.map(({ node }) => node));
  const work = element("div", { class: "work" }, ...pool.nodes, ...align.nodes, outputs);
  const fold = figure.more("The outputs as numbers, and where each comes from", [hint, work]);
  return { fold, pool, align, grids };
}

// How far each edge of what is read lies from the box's.
function shiftWords({ scene: { stride }, state }, { x, y, width, height }, half) {
  const moves = [x, y, x + width, y + height].map((edge, n) => (edge + half) * stride - state.box[n]);
  if (moves.every((move) => Math.abs(move) < 0.005)) return "Moved: no edge.";
  return `Moved: ${moves.map((move, n) => `${["left", "top", "right", "bottom"][n]} ${signed(move)}`).join(", ")} px`;
}

const shortList = (values, count) => (values.length > count ? [...values.slice(0, count - 1), "\u2026", values.at(-1)] : values);

function explainPool(figure, { title, text, sum, cells: table, more }) {
  const { scene: { stride, width }, pick } = figure;
  const { cells, top, bottom, left, right, winner, pooled } = trace(figure);
  setText(title, `Output ${placeWords(pick.row, pick.column)}: ${fixed(pooled, 0)}`);
  setText(text, cells.length ? `The largest of ${plural(cells.length, "cell")}.` : "No cell lies in this bin.");
  setText(sum, cells.length ? `max(${shortList(cells.map(({ value }) => value), 12).join(", ")}) = ${fixed(pooled, 0)}` : "0");
  table.className = "bin-cells";
  table.style.setProperty("--columns", Math.max(1, right - left));
  table.replaceChildren(...cells.map(({ row, column, value }) =>
    element("div", { text: value, class: row * width + column === winner ? "winner" : null })));
  const span = (word, from, to) => (to - from === 1 ? `${word} ${from + 1}` : `${word}s ${from + 1} to ${to}`);
  const place = `From ${span("row", top, bottom)}, ${span("column", left, right)} of the map:`;
  setText(more, cells.length ? `${place} ${left * stride} to ${right * stride} px across, ${top * stride} to ${bottom * stride} px down` : "");
}

function explainAlign(figure, { title, text, sum, cells: table, more, products }) {
  const { scene: { stride }, pick } = figure;
  const { samples, at, sample, near, mean } = trace(figure);
  setText(title, `Output ${placeWords(pick.row, pick.column)}: ${fixed(mean, 2)}`);
  setText(text, `The mean of ${plural(samples.length, "sample")}.`);
  const terms = shortList(samples.map(({ value }) => fixed(value)), 6).join(" + ");
  setText(sum, samples.length ? `(${terms}) / ${samples.length} = ${fixed(mean, 2)}` : "0");
  setText(more, !sample ? "The box has no area, so there is no sample." : `Sample ${at + 1} of ${samples.length} at x ${fixed(sample.x, 2)}, ` +
    `y ${fixed(sample.y, 2)} cells, that is ${fixed(sample.x * stride)}, ${fixed(sample.y * stride)} px`);
  table.className = "quad";
  table.replaceChildren(...near.map(({ row, column, weight, value }) => element("div", { style: `--weight: ${Math.round(weight * 100)}%` },
    element("span", { class: "weight", text: fixed(weight, 2) }), " \u00d7 ", element("span", { class: "value", text: value }),
    element("span", { class: "where", text: placeWords(row, column) }))));
  const weighed = near.map(({ weight, value }) => fixed(weight * value, 2)).join(" + ");
  setText(products, near.length ? `${weighed} = ${fixed(sample.value, 2)}` : sample ? "More than a cell outside the map: 0" : "");
}

function drawNumbers(figure, picked) {
  const { fold, pool, align, grids } = figure.parts.numbers;
  const { snapped, region } = figure.result;
  grids.forEach((grid) => layGrid(grid, figure.state.output_size));
  if (!fold.open) return;
  grids.forEach((grid) => drawGrid(figure, grid));
  [pool, align].forEach(({ map }) => drawMap(figure, map));
  explainPool(figure, pool);
  explainAlign(figure, align);
  setText(pool.shift, shiftWords(figure, snapped, 0));
  setText(align.shift, shiftWords(figure, region, 0.5));
  if (picked) figure.say(["RoIPool", pool.title, pool.sum, "RoIAlign", align.sum, align.more, align.products].map((one) =>
    one.textContent ?? one).join(". "));
}

// ---- Settings ------------------------------------------------------------------------------------------------------

function buildSettings(figure) {
  const { state, scene } = figure;
  const channel = traitChoice(figure, "channel", "Feature map", scene.names.map((name) => [name, CHANNELS[name][0]]));
  const counts = [[0, "auto", "adaptive: one per cell, rounded up"], ...[1, 2, 3, 4].map((n) => [n, String(n)])];
  const samples = traitChoice(figure, "sampling_ratio", "Samples per axis", counts);
  const aligned = traitBox(figure, "aligned", "aligned: a cell\u2019s value belongs to its centre");
  const problem = element("p", { class: "segcore-problem", role: "alert" });
  const sizes = ["Output rows", "Output columns"].map((label, axis) => numberField(label, { min: 1, max: 7, hidden: true }, (value) => {
    const text = whole(1, 7)(value) && "The output has 1 to 7 rows and columns.";
    setText(problem, text);
    if (!text) figure.set({ output_size: state.output_size.map((n, i) => (i === axis ? value : n)) });
    return text;
  }));
  const edges = [["x1", "left"], ["y1", "top"], ["x2", "right"], ["y2", "bottom"]].map(([name, side], n) =>
    edgeField(figure, name, side, n, problem));
  [...sizes, ...edges].forEach(({ input }) => input.addEventListener("blur", () => setText(problem, "")));
  const line = element("p", { class: "size-line" });
  const size = element("div", { class: "size-field", role: "group", "aria-label": "Output size" },
    element("span", { class: "segcore-label", text: "Output size" }), element("div", {}, sizes[0].node, " \u00d7 ", sizes[1].node));
  figure.more("Settings: output size, samples, alignment, the box in numbers, feature map", [
    element("div", { class: "segcore-bar" }, size, samples.node, channel.node, aligned.node),
    element("div", { class: "segcore-bar", role: "group", "aria-label": "Box in pixels" }, ...edges.map(({ node }) => node), line), problem]);
  return { sizes, edges, line };
}

// One edge of the box as a number.
function edgeField(figure, name, side, n, problem) {
  const field = numberField(`${name} ${side}`, { step: "any" }, (value) => {
    const box = figure.state.box.map((edge, i) => (i === n ? clean(value) : edge));
    const text = !Number.isFinite(value) ? "Type a number of pixels, such as 57.5."
      : Math.abs(value) > FARTHEST ? "That is far outside the image; it is 192 by 128 pixels."
      : box[2] < box[0] ? "x2 must not be left of x1." : box[3] < box[1] ? "y2 must not be above y1." : "";
    setText(problem, text);
    if (!text) figure.set({ box });
    return text;
  });
  const cells = element("span", { class: "cells" });
  field.node.classList.add("edge-field");
  field.node.append(cells);
  put(field.input, { "aria-label": `${name}, ${side} edge in pixels` });
  return { ...field, cells };
}

function drawSettings({ parts: { settings: { sizes, edges, line } }, state, scene: { stride } }) {
  sizes.forEach((field, axis) => field.set(state.output_size[axis]));
  edges.forEach(({ set, cells }, n) => {
    set(state.box[n]);
    setText(cells, `${fixed(state.box[n] / stride, 2)} cells`);
  });
  const sides = [state.box[2] - state.box[0], state.box[3] - state.box[1]];
  const [pixels, cells] = [sides.map((side) => fixed(side)), sides.map((side) => fixed(side / stride, 2))].map((pair) => pair.join(" \u00d7 "));
  setText(line, `${pixels} px = ${cells} cells. Stride ${stride} px, so spatial_scale\u00a0=\u00a01/${stride}.`);
}

// ---- IoU while the box slides sideways -----------------------------------------------------------------------------

const [REACH, POSITIONS] = [20, 81]; // pixels to either side, and positions tried on the way
const PLOT = { left: 46, right: 14, top: 12, bottom: 24, height: 168 };

function buildSlide(figure) {
  const each = (tag, className, attributes) =>
    Object.fromEntries(KINDS.map((kind) => [kind, shape(tag, { class: `${className} ${kind}`, ...attributes })]));
  const [frame, cursor, curves, dots] = [shape("g"), shape("line", { class: "cursor" }), each("path", "curve"), each("circle", "dot", { r: 5 })];
  const svg = shape("svg", { class: "plot", role: "img", "aria-label": "IoU" }, frame, ...Object.values(curves), cursor, ...Object.values(dots));
  const slide = { svg, frame, cursor, curves, dots, anchor: null, key: "", at: POSITIONS, low: 0 };
  slide.player = player(figure, {
    label: "Slide the box sideways", reverse: true, count: () => 20 * REACH, rate: () => 100, page: () => 10, // in tenths of a pixel
    get: () => clamp(10 * (figure.state.box[0] - anchorOf(figure, slide) + REACH), 0, 20 * REACH),
    seek: (position) => slideTo(figure, slide.anchor - REACH + position / 10),
    words: () => `left edge at ${fixed(figure.state.box[0])} px`,
  });
  const marks = key(["line second", "RoIPool"], ["line", "RoIAlign"],
    ["dashed text", "an edge passes the middle of a cell, and RoIPool rounds it on"]);
  slide.fold = figure.more("How well each mask fits (IoU) while the box slides sideways", [slide.player.node, svg, marks]);
  return slide;
}

// The middle of the way: a border between cells, kept until the box is out of reach.
function anchorOf({ state, scene: { stride } }, slide) {
  if (slide.anchor === null || Math.abs(state.box[0] - slide.anchor) > REACH) slide.anchor = Math.round(state.box[0] / stride) * stride;
  return slide.anchor;
}

const slidBox = ([x1, y1, x2, y2], left) => [left, y1, left + x2 - x1, y2].map(clean);
const slideTo = (figure, x) => figure.set({ box: slidBox(figure.state.box, Math.round(100 * x) / 100) });

// The curves, worked out for two milliseconds a frame, so that dragging stays smooth.
function updateSlide(figure, anew) {
  const { parts: { slide }, scene, state } = figure;
  if (!slide.fold.open) return;
  const [x1, y1, x2, y2] = state.box;
  const wanted = JSON.stringify([anchorOf(figure, slide), tenth(x2 - x1), y1, y2, state.output_size, state.sampling_ratio, state.aligned]);
  if (slide.at >= POSITIONS && slide.key !== wanted) {
    Object.assign(slide, { key: wanted, at: 0, found: { pool: [], align: [] }, from: slide.anchor, state: { ...state } });
  }
  const until = performance.now() + 2;
  for (; slide.at < POSITIONS && performance.now() < until; slide.at += 1) {
    const left = slide.from - REACH + (2 * REACH * slide.at) / (POSITIONS - 1);
    const { fits } = compute(scene, { ...slide.state, box: slidBox(slide.state.box, left) });
    KINDS.forEach((kind) => slide.found[kind].push(fits[kind].iou));
  }
  if (slide.at < POSITIONS || slide.key !== wanted) figure.mark("slide");
  if (slide.at >= POSITIONS && (slide.shown !== slide.key || anew)) {
    Object.assign(slide, { shown: slide.key, values: slide.found, width: Math.floor(slide.svg.parentNode.clientWidth) });
    drawAxes(slide, scene.stride);
    drawCurves(slide);
  }
  if (slide.values) placeCursor(figure, slide);
}

const plotX = ({ width }, shift) => PLOT.left + ((shift + REACH) / (2 * REACH)) * (width - PLOT.left - PLOT.right);
const plotY = ({ low }, iou) => PLOT.top + ((100 - 100 * iou) / (100 - low)) * (PLOT.height - PLOT.top - PLOT.bottom);

function drawAxes(slide, stride) {
  const { svg, values, width, from, state: { box } } = slide;
  const known = [...values.pool, ...values.align].filter((value) => !Number.isNaN(value));
  slide.low = known.length ? Math.max(0, Math.floor((100 * Math.min(...known) - 5) / 20) * 20) : 0;
  put(svg, { viewBox: `0 0 ${width} ${PLOT.height}`, width, height: PLOT.height });
  const line = (className, x1, y1, x2, y2) => shape("line", { class: className, x1, y1, x2, y2 });
  const text = (words, x, y, anchor) => shape("text", { class: "tick", x, y, "text-anchor": anchor, text: words });
  const floor = PLOT.height - PLOT.bottom;
  const marks = known.length ? [] : [text("No part of the mouth lies in the box.", width / 2, PLOT.height / 2 - 8, "middle")];
  for (let percent = slide.low; percent <= 100; percent += 20) {
    const y = plotY(slide, percent / 100);
    marks.push(line("rule", PLOT.left, y, width - PLOT.right, y), text(percent === 100 ? "100 %" : percent, PLOT.left - 7, y + 4, "end"));
  }
  for (const edge of [0, box[2] - box[0]]) { // where an edge passes the middle of a cell
    for (let cell = Math.ceil((from - REACH + edge) / stride - 0.5); (cell + 0.5) * stride <= from + REACH + edge; cell++) {
      const x = plotX(slide, (cell + 0.5) * stride - from - edge);
      marks.push(line("flip", x, PLOT.top, x, floor));
    }
  }
  for (const shift of [-16, -8, 0, 8, 16]) {
    const x = plotX(slide, shift);
    marks.push(line("rule", x, floor, x, floor + 4), text(`${from + shift}${shift ? "" : " px"}`, x, PLOT.height - 4, "middle"));
  }
  slide.frame.replaceChildren(...marks);
}

function drawCurves(slide) {
  const { svg, values, curves } = slide;
  const spans = KINDS.map((kind) => {
    const point = (iou, n) => `${plotX(slide, -REACH + (2 * REACH * n) / (POSITIONS - 1)).toFixed(1)} ${plotY(slide, iou).toFixed(1)}`;
    const path = values[kind].map((iou, n, all) => (Number.isNaN(iou) ? "" : `${n && !Number.isNaN(all[n - 1]) ? "L" : "M"}${point(iou, n)}`));
    put(curves[kind], { d: path.join("") });
    const some = values[kind].filter((iou) => !Number.isNaN(iou)).map((iou) => 100 * iou);
    return `${NAMES[kind]} ${some.length ? `${fixed(Math.min(...some))} to ${fixed(Math.max(...some))} percent` : "undefined"}`;
  });
  put(svg, { "aria-label": `IoU over ${2 * REACH} pixels of sideways movement: ${spans.join(", ")}` });
}

function placeCursor({ state, result }, slide) {
  const x = plotX(slide, state.box[0] - slide.from);
  put(slide.cursor, { x1: x, x2: x, y1: PLOT.top, y2: PLOT.height - PLOT.bottom });
  KINDS.forEach((kind) => {
    const { iou } = result.fits[kind];
    put(slide.dots[kind], { visibility: Number.isNaN(iou) ? "hidden" : "visible", cx: x, cy: plotY(slide, iou || 0) });
  });
}

// ---- The figure ----------------------------------------------------------------------------------------------------

function build(figure) {
  figure.scene = readScene(figure.model);
  figure.pick = { row: 0, column: 0, sy: 0, sx: 0 };
  const help = element("p", { class: "segcore-hidden", id: uniqueId("roi-align-help"),
    text: "Arrow keys move by one pixel, with Shift by a tenth. Page Up, Page Down, Home and End move by one cell." });
  const map = buildMap(figure, "both", help);
  const masks = [buildMask("pool", "takes whole cells"), buildMask("align", "reads between cells")];
  const [caption, scale] = [element("p", { class: "caption" }), element("span")];
  const before = () => figure.parts.slide.player.stop();
  const tried = trials(figure, TRIALS.map(([label, values, note]) => ({ label, values: { ...START, ...values }, back: START, note, before })),
    ({ aligned }) => (KINDS.every((kind) => Number.isNaN(resultOf(figure).fits[kind].iou)) ? NOTHING : aligned ? REST : OFF));
  const reset = button("Start again", () => figure.set(START), { class: "segcore-button quiet" });
  tried.node.firstChild.append(reset);
  const marks = key(["outline", "the box"], ["ring second", "RoIPool\u2019s cells"], ["dot", "RoIAlign\u2019s points"],
    ["rim", "true edge"], ["scale", scale], ["wrong", "the mask, filled where wrong"],
    ["hollow", "a point that counts as zero"]);
  const lead = "Each reads the box from a coarse map of the cup\u2019s mouth and draws the mouth into the photograph. Which one fits?";
  figure.first(heading("Read one box from the feature map, two ways"), element("p", { class: "intro", text: lead }),
    element("div", { class: "scene" }, element("section", { class: "map" }, caption, map.view), ...masks.map(({ node }) => node),
      marks), tried.node, help);
  return { map, masks, caption, scale, reset, zero: marks.lastChild, settings: buildSettings(figure),
    numbers: buildNumbers(figure), slide: buildSlide(figure) };
}

function look(colours) {
  const pen = document.createElement("canvas").getContext("2d");
  const mix = mixer(MAP.low, MAP.high);
  const [cut, added] = [hatchPattern(pen, MAP.text, -1, 6, 1.4), hatchPattern(pen, MAP.second, 1, 6, 1.6)];
  return { ...colours, cut, added, soft: `${MAP.accent}30`, cells: { fill: (value, largest) => mix(value / largest) },
    differences: palette(MAP) };
}

function draw(figure, changed, now) {
  const { parts: { map, masks, caption, scale, zero, reset, numbers, slide }, scene, state } = figure;
  slide.player.advance(now);
  if (changed()) {
    [map, ...(numbers.fold.open ? [numbers.pool.map, numbers.align.map] : [])].forEach((one) => measureMap(one, scene));
    masks.forEach((mask) => measureMask(mask, scene.photograph));
  }
  const moved = changed(...MATTERS);
  if (moved) {
    resultOf(figure);
    clampPick(figure);
    masks.forEach((mask) => drawMask(figure, mask));
    zero.style.visibility = [...figure.result.xs, ...figure.result.ys].some((point) => point.zero) ? "visible" : "hidden";
    describeHandles(figure);
  }
  if (moved || changed("channel")) {
    setText(caption, `Feature map: ${CHANNELS[state.channel][2]}`);
    setText(scale, CHANNELS[state.channel][3]);
    drawMap(figure, map);
    drawSettings(figure);
    reset.disabled = Object.keys(START).every((name) => same(state[name], START[name]));
  }
  if (moved || changed("channel", "pick")) drawNumbers(figure, changed("pick"));
  updateSlide(figure, changed());
  slide.player.draw();
}

export default widget({
  slug: "roi_align", build, draw, look, colours: ["muted"],
  traits: {
    output_size: listOf(whole(1, 7), 2), sampling_ratio: whole(0, 4), aligned: yesNo, channel: oneOf(...Object.keys(CHANNELS)),
    box: (box) => listOf(number(-FARTHEST, FARTHEST), 4)(box) ||
      (box[2] < box[0] || box[3] < box[1] ? "x1, y1, x2, y2 with x1 at most x2 and y1 at most y2" : ""),
  },
});
