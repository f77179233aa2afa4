import { hatchPattern, themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage, uniqueId } from "./kit/elements.js";
import { frameLoop, onResize, onTheme, prefersStillness } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { fitCanvas } from "./kit/pictures.js";

// Up-sampling a small grid. Arithmetic first, as pure functions; what is drawn comes below.
//
// A grid is { data, height, width }, values in rows. Every method here is linear in the input: input cell n leaves a
// stroke, its value times a stamp, and the output is the sum of the strokes.

const LIMITS = { rows: [1, 8], columns: [1, 8], kernel: [1, 5], stride: [1, 4], padding: [0, 4], outputPadding: [0, 3] };
const LARGEST_VALUE = 999;

export function outputSize(size, { kernel, stride, padding = 0, outputPadding = 0 }) {
  return (size - 1) * stride - 2 * padding + kernel + outputPadding;
}

// Why a combination of options cannot be, and what could be instead; null where nothing is wrong.
export function optionProblem({ height, width, kernel, stride, padding = 0, outputPadding = 0 }) {
  if (outputPadding >= stride) {
    const room = stride === 1
      ? "With stride 1 there is only one size that the output can have"
      : `With stride ${stride}, ${stride} sizes of the large grid share one small grid`;
    return {
      text: `Output padding ${outputPadding} is not below the stride, ${stride}. ${room}, so it may be ${stride === 1 ? "0 only" : `0 to ${stride - 1}`}.`,
      cure: { outputPadding: stride - 1 },
    };
  }
  const painted = (Math.min(height, width) - 1) * stride + kernel + outputPadding;
  if (painted <= 2 * padding) {
    const most = Math.floor((painted - 1) / 2);
    return {
      text: `Padding ${padding} cuts ${padding} cells off each side, and only ${painted} are there: nothing would be left. It may be ${most ? `0 to ${most}` : "0 only"}.`,
      cure: { padding: most },
    };
  }
  return null;
}

// View 1. Put value times filter down for each input cell, one stride apart, and add.
export function transposedConv(x, filter, { stride, padding = 0, outputPadding = 0 }) {
  const height = outputSize(x.height, { kernel: filter.height, stride, padding, outputPadding });
  const width = outputSize(x.width, { kernel: filter.width, stride, padding, outputPadding });
  const data = new Float64Array(height * width);
  for (let n = 0; n < x.data.length; n++) {
    const top = Math.floor(n / x.width) * stride - padding;
    const left = (n % x.width) * stride - padding;
    for (let a = 0; a < filter.height; a++) {
      for (let b = 0; b < filter.width; b++) {
        const [row, column] = [top + a, left + b];
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        data[row * width + column] += x.data[n] * filter.data[a * filter.width + b];
      }
    }
  }
  return { data, height, width };
}

// View 2, first half: stride - 1 zeros between neighbours.
export function zeroInsert(x, stride) {
  const [height, width] = [(x.height - 1) * stride + 1, (x.width - 1) * stride + 1];
  const data = new Float64Array(height * width);
  x.data.forEach((value, n) => (data[Math.floor(n / x.width) * stride * width + (n % x.width) * stride] = value));
  return { data, height, width };
}

// A border of zeros on each side; a negative one cuts off.
export function pad(x, top, left, bottom, right) {
  const [height, width] = [x.height + top + bottom, x.width + left + right];
  const data = Float64Array.from({ length: height * width }, (_, n) => {
    const [row, column] = [Math.floor(n / width) - top, (n % width) - left];
    return row < 0 || row >= x.height || column < 0 || column >= x.width ? 0 : x.data[row * x.width + column];
  });
  return { data, height, width };
}

// What the flipped filter slides over: zeros between, and kernel - 1 - padding of them around.
export function slidingGround(x, kernel, { stride, padding = 0, outputPadding = 0 }) {
  const border = kernel - 1 - padding;
  return pad(zeroInsert(x, stride), border, border, border + outputPadding, border + outputPadding);
}

export function flip(filter) {
  return { ...filter, data: Float64Array.from(filter.data).reverse() };
}

// What deep learning calls convolution, stride 1 and no padding: the window is not flipped.
export function conv(x, filter) {
  const [height, width] = [x.height - filter.height + 1, x.width - filter.width + 1];
  const data = Float64Array.from({ length: height * width }, (_, n) => {
    const [row, column] = [Math.floor(n / width), n % width];
    let sum = 0;
    for (let a = 0; a < filter.height; a++) {
      for (let b = 0; b < filter.width; b++) sum += x.data[(row + a) * x.width + column + b] * filter.data[a * filter.width + b];
    }
    return sum;
  });
  return { data, height, width };
}

// View 2, whole.
export function fractionalConv(x, filter, options) {
  return conv(slidingGround(x, filter.height, options), flip(filter));
}

// How many strokes reach each output cell.
export function overlapCount(height, width, { kernel, stride, padding = 0, outputPadding = 0 }) {
  const ones = (h, w) => ({ data: new Float64Array(h * w).fill(1), height: h, width: w });
  return transposedConv(ones(height, width), ones(kernel, kernel), { stride, padding, outputPadding });
}

// Far from the border the output of a flat input repeats every `stride` cells. Cell (a, b) of that tile receives the
// weights at rows a, a + stride, ... and columns b, b + stride, ...: if their sums differ, there is a checkerboard.
export function phaseSums(filter, stride) {
  const data = new Float64Array(stride * stride);
  filter.data.forEach((weight, n) => {
    data[(Math.floor(n / filter.width) % stride) * stride + ((n % filter.width) % stride)] += weight;
  });
  return { data, height: stride, width: stride };
}

// One axis of bilinear resizing with align_corners=False: the two cells beside each output and the second one's weight.
export function axisBilinear(size, output) {
  return Array.from({ length: output }, (_, n) => {
    const at = Math.max(((n + 0.5) * size) / output - 0.5, 0);
    const low = Math.min(Math.floor(at), size - 1);
    return { low, high: Math.min(low + 1, size - 1), weight: at - low };
  });
}

export function resizeBilinear(x, height, width) {
  const [down, across] = [axisBilinear(x.height, height), axisBilinear(x.width, width)];
  const at = (row, column) => x.data[row * x.width + column];
  const data = Float64Array.from({ length: height * width }, (_, n) => {
    const [v, u] = [down[Math.floor(n / width)], across[n % width]];
    const upper = (1 - u.weight) * at(v.low, u.low) + u.weight * at(v.low, u.high);
    const lower = (1 - u.weight) * at(v.high, u.low) + u.weight * at(v.high, u.high);
    return (1 - v.weight) * upper + v.weight * lower;
  });
  return { data, height, width };
}

export function nearest(x, factor) {
  const [height, width] = [x.height * factor, x.width * factor];
  const data = Float64Array.from({ length: height * width }, (_, n) =>
    x.data[Math.floor(Math.floor(n / width) / factor) * x.width + Math.floor((n % width) / factor)]);
  return { data, height, width };
}

// Each value back at its place in its square, row by row from 0 to factor * factor - 1; zeros elsewhere.
export function maxUnpool(x, places, factor) {
  const [height, width] = [x.height * factor, x.width * factor];
  const data = new Float64Array(height * width);
  x.data.forEach((value, n) => {
    const row = Math.floor(n / x.width) * factor + Math.floor(places[n] / factor);
    data[row * width + (n % x.width) * factor + (places[n] % factor)] = value;
  });
  return { data, height, width };
}

// The stamp of each input cell: { top, left, height, width, weights }, places counted on the canvas before anything is cut.
export function stamps(method, { height, width, filter, places, stride }) {
  const cells = Array.from({ length: height * width }, (_, n) => ({ row: Math.floor(n / width), column: n % width }));
  const square = (row, column, side, weights) => ({ top: row * stride, left: column * stride, height: side, width: side, weights });
  if (method === "transposed") return cells.map(({ row, column }) => square(row, column, filter.height, filter.data));
  if (method === "nearest") return cells.map(({ row, column }) => square(row, column, stride, new Float64Array(stride * stride).fill(1)));
  if (method === "unpool") {
    return cells.map(({ row, column }, n) => {
      const weights = new Float64Array(stride * stride);
      weights[places[n]] = 1;
      return square(row, column, stride, weights);
    });
  }
  const [down, across] = [axisStamps(height, height * stride), axisStamps(width, width * stride)];
  return cells.map(({ row, column }) => {
    const [v, u] = [down[row], across[column]];
    const weights = new Float64Array(v.weights.length * u.weights.length);
    v.weights.forEach((a, i) => u.weights.forEach((b, j) => (weights[i * u.weights.length + j] = a * b)));
    return { top: v.start, left: u.start, height: v.weights.length, width: u.weights.length, weights };
  });
}

// One axis of bilinear resizing seen from the input: where each cell's stamp begins, and its weights.
function axisStamps(size, output) {
  const weights = Array.from({ length: size }, () => new Map());
  axisBilinear(size, output).forEach(({ low, high, weight }, n) => {
    for (const [cell, share] of [[low, 1 - weight], [high, weight]]) {
      if (share > 0) weights[cell].set(n, (weights[cell].get(n) ?? 0) + share);
    }
  });
  return weights.map((map) => {
    const places = [...map.keys()].sort((a, b) => a - b);
    return { start: places[0], weights: places.map((place) => map.get(place)) };
  });
}

// The canvas after `count` strokes (all of them by default); the next one may be there in part.
export function paint(x, strokes, { height, width }, count = strokes.length, part = 0) {
  const data = new Float64Array(height * width);
  for (let n = 0; n < strokes.length && n < count + (part > 0 ? 1 : 0); n++) {
    const value = n < count ? x.data[n] : part * x.data[n];
    const { top, left, height: h, width: w, weights } = strokes[n];
    for (let a = 0; a < h; a++) {
      for (let b = 0; b < w; b++) data[(top + a) * width + left + b] += value * weights[a * w + b];
    }
  }
  return { data, height, width };
}

// The strokes that reach one cell of the canvas: which input cell, and with which weight.
export function termsAt(strokes, row, column) {
  const terms = [];
  strokes.forEach(({ top, left, height, width, weights }, n) => {
    const [a, b] = [row - top, column - left];
    if (a >= 0 && a < height && b >= 0 && b < width) terms.push({ n, a, b, weight: weights[a * width + b] });
  });
  return terms;
}

// A number as people type it: 2, -0.5, 0,5, 1/4; NaN if it is none.
export function parseNumber(text) {
  const match = text.trim().replace("\u2212", "-").replace(",", ".").match(/^([+-]?(?:\d+\.?\d*|\.\d+))(?:\s*\/\s*(\d+\.?\d*))?$/);
  return match ? Number(match[1]) / (match[2] === undefined ? 1 : Number(match[2])) : NaN;
}

// ---- Presets -----------------------------------------------------------------------------------------------------

// The eye of the cat in scikit-image's "chelsea", 80 pixels of it at a tenth of their size, dark 0 to bright 9.
const EYE = ["99877887", "52322387", "36641127", "37611333", "56500441", "84633532", "68555321", "66875542"];
// Weights such as an untrained layer has, around one third; fixed, so that everyone sees the same.
const RANDOM = [
  [0.4, -0.2, 0.7, 0.1, 0.5],
  [0.9, 0.3, -0.1, 0.6, 0.2],
  [-0.3, 0.8, 0.5, 0.2, 0.7],
  [0.6, 0.1, 0.4, -0.4, 0.3],
  [0.2, 0.5, 0.3, 0.8, -0.1],
];

const rowsOf = (height, width, value) => Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => value(i, j)));

export const INPUTS = {
  single: ["A single 1", (h, w) => rowsOf(h, w, (i, j) => Number(i === h >> 1 && j === w >> 1))],
  ones: ["Flat: all 1", (h, w) => rowsOf(h, w, () => 1)],
  ramp: ["Ramp", (h, w) => rowsOf(h, w, (i, j) => i * w + j + 1)],
  step: ["An edge", (h, w) => rowsOf(h, w, (i, j) => (j >= w / 2 ? 4 : 0))],
  eye: ["A cat\u2019s eye", () => EYE.map((line) => Array.from(line, Number))],
};

const tent = (k) => Array.from({ length: k }, (_, i) => 1 - Math.abs(i - (k - 1) / 2) / Math.ceil(k / 2));
const hill = (k) => Array.from({ length: k }, (_, i) => Math.min(i + 1, k - i));

export const FILTERS = {
  ones: ["Ones", (k) => rowsOf(k, k, () => 1)],
  bilinear: ["Bilinear", (k) => rowsOf(k, k, (i, j) => tent(k)[i] * tent(k)[j])],
  random: ["Random", (k) => rowsOf(k, k, (i, j) => RANDOM[i][j])],
  edge: ["Edge", (k) => rowsOf(k, k, (i, j) => (k === 1 ? 1 : hill(k)[i] * Math.sign(j - (k - 1) / 2)))],
};

const METHODS = {
  transposed: ["Up-convolution", ""],
  nearest: ["Nearest", "Each value fills a square of its own. That is the filter of ones whose kernel equals the stride: no overlap, no checkerboard, and nothing but blocks."],
  bilinear: ["Bilinear", "Values are read between the centres of the input cells (align_corners = False). Inside, every stamp is the same tent; at the border the outermost cells take over what would fall outside."],
  unpool: ["Max unpooling", "Each value goes back to where the maximum was before pooling; all else is zero. Click a cell of the output, or press Enter on it, to move the maximum of its square there."],
};

const FLAT = { method: "transposed", padding: 0, output_padding: 0 };
const TRIALS = [
  ["One stroke", { ...FLAT, input: INPUTS.single[1](3, 3), filter: FILTERS.random[1](3), stride: 2 },
    "One 1 among zeros leaves exactly one copy of the filter: the response of the layer to an impulse."],
  ["Checkerboard", { ...FLAT, input: INPUTS.ones[1](4, 4), filter: FILTERS.ones[1](3), stride: 2 },
    "A flat input, a flat filter, and yet a pattern: kernel 3 with stride 2 lets 1, 2 or 4 strokes reach a cell."],
  ["Divisible", { ...FLAT, input: INPUTS.ones[1](4, 4), filter: FILTERS.ones[1](4), stride: 2, padding: 1 },
    "Kernel 4 is divisible by stride 2: away from the border each cell gets 4 strokes. Change one weight of the filter and see the pattern return."],
  ["Same counts, no pattern", { ...FLAT, input: INPUTS.ones[1](4, 4), filter: FILTERS.bilinear[1](3), stride: 2, padding: 0 },
    "The counts are as uneven as in the checkerboard, and the flat input comes out flat: these weights make up for it. Only weights like these do."],
  ["Holes", { ...FLAT, input: INPUTS.ramp[1](3, 3), filter: FILTERS.ones[1](2), stride: 3 },
    "A stride larger than the kernel leaves gaps that no stroke reaches. No choice of weights can fill them."],
  ["A cat\u2019s eye", { ...FLAT, input: INPUTS.eye[1](), filter: FILTERS.random[1](3), stride: 2, padding: 1, output_padding: 1 },
    "An untrained filter over a photograph: the weave lies over everything. Compare with the other methods above."],
];

// ---- Small things for drawing ------------------------------------------------------------------------------------

const COLOURS = ["page", "panel", "text", "muted", "line", "control", "accent", "second", "accent-soft", "second-soft", "low"];
const TRAITS = ["input", "filter", "stride", "padding", "output_padding", "method", "mode", "step", "places"];
const SECONDS = 9; // one run through all strokes, unless there are few
const ease = (t) => t * t * (3 - 2 * t);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function gridOf(rows) {
  return { data: Float64Array.from(rows.flat()), height: rows.length, width: rows[0].length };
}

// At most `digits` decimals, none that say nothing.
function tidy(value, digits = 2) {
  const text = fixed(value, digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function hexToRgb(hex) {
  return [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
}

// Colours of values: the page's for zero, teal above, orange below; with whichever ink reads better on them.
function palette(colours) {
  const [page, up, down] = ["low", "accent", "second"].map((name) => hexToRgb(colours[name]));
  const inks = [colours.text, colours.page, "#ffffff", "#000000"];
  const shades = [down, up].map((end) =>
    Array.from({ length: 101 }, (_, t) => {
      const rgb = page.map((v, n) => Math.round(v + (0.72 * (end[n] - v) * t) / 100));
      const ratio = (ink) => contrast(hexToRgb(ink), rgb);
      const best = inks.find((ink) => ratio(ink) > 4.6) ?? inks.reduce((a, b) => (ratio(a) > ratio(b) ? a : b));
      return { fill: `rgb(${rgb.join(" ")})`, ink: best };
    }));
  const at = (value, largest) => shades[value < 0 ? 0 : 1][largest > 0 ? Math.round(100 * Math.min(1, Math.abs(value) / largest)) : 0];
  return { fill: (value, largest) => at(value, largest).fill, ink: (value, largest) => at(value, largest).ink };
}

function contrast(a, b) {
  const [x, y] = [a, b].map((rgb) => {
    const [r, g, blue] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue + 0.05;
  });
  return Math.max(x, y) / Math.min(x, y);
}

function drawNumber(pen, text, x, y, unit, colour, font, scale = 1) {
  const size = Math.min(unit * 0.42, (unit * 1.45) / Math.max(2, text.length), 17) * scale;
  if (size < 6.5) return;
  pen.fillStyle = colour;
  pen.font = `${size.toFixed(1)}px ${font}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, x + unit / 2, y + unit / 2 + 0.5);
}

function outline(pen, x, y, width, height, colour, thickness, dash = []) {
  pen.setLineDash(dash);
  pen.strokeStyle = colour;
  pen.lineWidth = thickness;
  pen.strokeRect(x, y, width, height);
  pen.setLineDash([]);
}

// Cells as coloured squares with a gap, and their numbers where there is room.
function drawCells(pen, { data, width }, unit, look, { digits = unit < 30 ? 1 : 2, largest, numbers = 24, blank = null }) {
  const gap = unit > 12 ? 1 : 0;
  for (let n = 0; n < data.length; n++) {
    const [x, y] = [(n % width) * unit, Math.floor(n / width) * unit];
    pen.fillStyle = look.colours.fill(data[n], largest);
    pen.fillRect(x + gap / 2, y + gap / 2, unit - gap, unit - gap);
    if (unit >= numbers && !blank?.[n]) drawNumber(pen, tidy(data[n], digits), x, y, unit, look.colours.ink(data[n], largest), look.font);
  }
}

function hatch(pen, x, y, width, height, pattern) {
  pen.fillStyle = pattern;
  pen.fillRect(x, y, width, height);
}

// ---- What one setting comes to -----------------------------------------------------------------------------------

function placesFor(state, height, width) {
  const area = state.stride ** 2;
  return Array.from({ length: height * width }, (_, n) => (state.places[Math.floor(n / width)]?.[n % width] ?? 0) % area);
}

function optionsOf(state) {
  return { stride: state.stride, padding: state.padding, outputPadding: state.output_padding };
}

function finalOutput(method, state) {
  const x = gridOf(state.input);
  if (method === "transposed") return transposedConv(x, gridOf(state.filter), optionsOf(state));
  if (method === "nearest") return nearest(x, state.stride);
  if (method === "unpool") return maxUnpool(x, placesFor(state, x.height, x.width), state.stride);
  return resizeBilinear(x, x.height * state.stride, x.width * state.stride);
}

const largestOf = ({ data }) => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

// The canvas that is painted is larger than the output by what the padding cuts off; `cut` says where the output lies.
function compute(state) {
  const x = gridOf(state.input);
  const filter = gridOf(state.filter);
  const options = optionsOf(state);
  const transposed = state.method === "transposed";
  const strokes = stamps(state.method, {
    height: x.height, width: x.width, filter, places: placesFor(state, x.height, x.width), stride: state.stride,
  });
  const output = finalOutput(state.method, state);
  const cut = transposed ? state.padding : 0;
  const reach = (size, end) => Math.max(transposed ? (size - 1) * state.stride + filter.height : size * state.stride, cut + end);
  const canvas = { height: reach(x.height, output.height), width: reach(x.width, output.width) };
  const zeros = transposed && state.mode === "zeros";
  const whole = paint(x, strokes, canvas);
  const ones = { data: x.data.map(() => 1), height: x.height, width: x.width };
  const inside = (grid) => pad(grid, -cut, -cut, cut + output.height - canvas.height, cut + output.width - canvas.width);
  return {
    x, filter, strokes, output, cut, canvas, zeros, transposed,
    largest: largestOf(whole),
    count: zeros ? output.data.length : strokes.length,
    ground: transposed ? slidingGround(x, filter.height, options) : null,
    flipped: flip(filter),
    counts: inside(paint(ones, strokes.map((s) => ({ ...s, weights: s.weights.map(() => 1) })), canvas)),
    flat: inside(paint(ones, strokes, canvas)),
    views: transposed ? difference(output, fractionalConv(x, filter, options)) : null,
  };
}

function difference(a, b) {
  return a.data.reduce((most, value, n) => Math.max(most, Math.abs(value - b.data[n])), 0);
}

// ---- The parts of the figure. Each gives its node and a function that draws it. ----------------------------------

function field(label, { name, low, high, title }, onInput) {
  const id = uniqueId("upsampling-field");
  const input = element("input", {
    id, type: "number", min: low, max: high, step: "1", inputmode: "numeric", title,
    oninput: () => onInput(name, input.value === "" ? NaN : Number(input.value)),
  });
  return { name, input, node: element("div", { class: "field" }, element("label", { class: "segcore-label", for: id, text: label }), input) };
}

const FIELDS = [
  ["Kernel", "kernel"], ["Stride", "stride"], ["Padding", "padding"], ["Output padding", "outputPadding"],
];
const FIELD_NAMES = { rows: "The input\u2019s rows", columns: "The input\u2019s columns", kernel: "The kernel", stride: "The stride", padding: "Padding", outputPadding: "Output padding" };

// What the fields say may be illegal for a while; the figure follows as soon as it is legal.
function draftOf(state) {
  return {
    rows: state.input.length, columns: state.input[0].length, kernel: state.filter.length,
    stride: state.stride, padding: state.padding, outputPadding: state.output_padding,
  };
}

export function draftProblem(draft, transposed = true) {
  const names = transposed ? Object.keys(LIMITS) : ["rows", "columns", "stride"];
  for (const name of names) {
    const [low, high] = LIMITS[name];
    const value = draft[name];
    if (Number.isInteger(value) && value >= low && value <= high) continue;
    if (name === "outputPadding" && Number.isInteger(value) && value > high) break; // the stride says it better
    return { text: `${FIELD_NAMES[name]} must be a whole number from ${low} to ${high}.`, at: name, cure: null };
  }
  if (!transposed) return null;
  const found = optionProblem({ ...draft, height: draft.rows, width: draft.columns });
  return found && { ...found, at: Object.keys(found.cure)[0] };
}

// The other size of a filter: the same preset, or the same weights with a border cut or put on.
function resizedRows(rows, height, width, presets, make) {
  const preset = Object.values(presets).find(([, build]) => same(make(build, rows.length, rows[0].length), rows));
  if (preset) {
    const built = make(preset[1], height, width);
    if (built.length === height && built[0].length === width) return built;
  }
  return rowsOf(height, width, (i, j) => rows[i]?.[j] ?? 0);
}

function applyDraft(figure, draft) {
  const { state } = figure;
  const values = { stride: draft.stride };
  if (state.method === "transposed") Object.assign(values, { padding: draft.padding, output_padding: draft.outputPadding });
  const now = draftOf(state);
  if (draft.kernel !== now.kernel && state.method === "transposed") {
    values.filter = resizedRows(state.filter, draft.kernel, draft.kernel, FILTERS, (build, k) => build(k));
  }
  if (draft.rows !== now.rows || draft.columns !== now.columns) {
    values.input = resizedRows(state.input, draft.rows, draft.columns, INPUTS, (build, h, w) => build(h, w));
  }
  figure.change(values);
}

function buildSettings(figure) {
  const problem = element("p", { class: "problem", role: "status" });
  const cure = element("button", { type: "button", class: "segcore-button cure", hidden: true });
  const sizes = element("p", { class: "sizes" });
  const note = element("p", { class: "method-note" });
  let draft = draftOf(figure.state);
  let fields = [];
  const onInput = (name, value) => settle({ ...draft, [name]: value });

  function settle(next) {
    draft = next;
    const found = draftProblem(draft, figure.state.method === "transposed");
    if (!found) applyDraft(figure, draft);
    show(found);
    figure.mark("settings");
  }
  function show(found) {
    setText(problem, found ? `${found.text} The figure still shows the last legal choice.` : "");
    cure.hidden = !found?.cure;
    fields.forEach(({ name, input }) => input.setAttribute("aria-invalid", String(found?.at === name)));
    if (!found?.cure) return;
    const [name, value] = Object.entries(found.cure)[0];
    setText(cure, `Set ${FIELD_NAMES[name].toLowerCase()} to ${value}`);
    cure.onclick = () => settle({ ...draft, ...found.cure });
  }

  fields = [...FIELDS, ["Rows", "rows"], ["Columns", "columns"]].map(([label, name]) =>
    field(label, { name, low: LIMITS[name][0], high: LIMITS[name][1] }, onInput));
  const byName = Object.fromEntries(fields.map((one) => [one.name, one]));
  const mode = choice("View", [["paint", "Paint"], ["zeros", "Zeros inserted"]], figure.state.mode, (value) =>
    figure.choose({ mode: value }, figure.position / figure.result.count));
  const node = element("div", { class: "settings" },
    mode.node, ...FIELDS.map(([, name]) => byName[name].node), sizes, note, element("div", { class: "complaint" }, problem, cure));

  function draw() {
    const { state } = figure;
    const transposed = state.method === "transposed";
    mode.set(state.mode);
    mode.node.hidden = !transposed;
    for (const name of ["kernel", "padding", "outputPadding"]) byName[name].node.hidden = !transposed;
    if (!draftProblem(draft, transposed)) { draft = draftOf(state); show(null); }
    for (const { name, input } of fields) {
      if ((input.value === "" || Number(input.value) !== draft[name]) && !Number.isNaN(draft[name])) input.value = String(draft[name]);
    }
    setText(sizes, sizeLine(figure));
    setText(note, METHODS[state.method][1]);
  }
  const forget = () => { draft = draftOf(figure.state); show(null); };
  for (const name of ["rows", "columns"]) byName[name].input.setAttribute("aria-label", FIELD_NAMES[name]);
  const size = element("div", { class: "size" }, byName.rows.input, " \u00d7 ", byName.columns.input);
  return { node, draw, forget, size };
}

function sizeLine({ state, result }) {
  const { x, output } = result;
  if (!result.transposed) return `Output: ${x.height} \u00b7 ${state.stride} = ${output.height} rows, ${x.width} \u00b7 ${state.stride} = ${output.width} columns`;
  const one = (size, out) => `(${size} \u2212 1) \u00b7 ${state.stride} \u2212 2 \u00b7 ${state.padding} + ${state.filter.length} + ${state.output_padding} = ${out}`;
  return x.height === x.width
    ? `Output: ${one(x.height, output.height)} on a side`
    : `Output: ${one(x.height, output.height)} rows, ${one(x.width, output.width)} columns`;
}

// A grid of number fields with one tab stop. Arrow keys walk, typing edits, fractions may be typed.
function buildEditor(figure, { name, title, presets, build, extras = null }) {
  const heading = element("h3", { text: title });
  const help = element("p", { class: "segcore-hidden", id: uniqueId("upsampling-help"), text: "Arrow keys walk from cell to cell. Type to change a value; fractions such as 1/4 may be typed. Page Up and Page Down add or take off one." });
  const cells = element("div", { class: "cells", role: "group", "aria-label": `${title}, cell by cell`, "aria-describedby": help.id });
  const note = element("p", { class: "cell-problem", role: "status" });
  const picker = element("select", { "aria-label": `${title}: examples`, onchange: () => picker.value && figure.change({ [name]: build(presets[picker.value][1]) }) },
    element("option", { value: "", text: "Edited" }),
    ...Object.entries(presets).map(([key, [label]]) => element("option", { value: key, text: label })));
  const node = element("section", { class: `editor ${name}` }, element("div", { class: "editor-head" }, heading, picker, extras), cells, help, note);
  let inputs = [];
  let at = 0;

  function edit(n, value) {
    const fine = Number.isFinite(value) && Math.abs(value) <= LARGEST_VALUE;
    inputs[n].setAttribute("aria-invalid", String(!fine));
    setText(note, fine ? "" : `A cell takes a number from \u2212${LARGEST_VALUE} to ${LARGEST_VALUE}, such as 2, \u22120.5 or 1/4.`);
    if (!fine) return;
    const across = figure.state[name][0].length;
    figure.change({ [name]: figure.state[name].map((row, i) => row.map((old, j) => (i * across + j === n ? value : old))) });
  }
  function walk(n) {
    at = clamp(n, 0, inputs.length - 1);
    inputs.forEach((input, i) => (input.tabIndex = i === at ? 0 : -1));
    inputs[at].focus();
    inputs[at].select();
  }
  function onKey(event) {
    const { target, key } = event;
    const across = figure.state[name][0].length;
    const whole = target.selectionStart === 0 && target.selectionEnd === target.value.length;
    const move = { ArrowUp: -across, ArrowDown: across, ArrowLeft: -1, ArrowRight: 1, Enter: across }[key];
    const add = { PageUp: 1, PageDown: -1 }[key];
    if (add) {
      edit(at, (parseNumber(target.value) || 0) + add);
      target.value = tidy(figure.state[name].flat()[at], 3).replace("\u2212", "-");
    } else if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    else if (Math.abs(move) === 1 && !whole && target.selectionStart !== (move < 0 ? 0 : target.value.length)) return;
    else if (at + move >= 0 && at + move < inputs.length) walk(at + move);
    event.preventDefault();
  }
  function grow(count) {
    inputs = Array.from({ length: count }, (_, n) => element("input", {
      type: "text", inputmode: "text", autocomplete: "off", spellcheck: "false", tabindex: n === 0 ? "0" : "-1",
      oninput: (event) => edit(n, parseNumber(event.target.value)),
      onfocus: (event) => { at = n; inputs.forEach((input, i) => (input.tabIndex = i === n ? 0 : -1)); event.target.select(); },
      onblur: () => { inputs[n]?.setAttribute("aria-invalid", "false"); setText(note, ""); figure.mark("editors"); },
      onkeydown: onKey,
      onpointerenter: () => figure.pointAt(name, n),
      onpointerleave: () => figure.pointAt(null),
    }));
    at = 0;
    cells.replaceChildren(...inputs);
  }
  function draw(look) {
    const rows = figure.state[name];
    const shape = `${rows.length}x${rows[0].length}`;
    if (cells.dataset.shape !== shape) {
      grow(rows.length * rows[0].length);
      cells.dataset.shape = shape;
      cells.style.setProperty("--columns", rows[0].length);
      inputs.forEach((input, n) => input.setAttribute("aria-label", `${title}, row ${Math.floor(n / rows[0].length)}, column ${n % rows[0].length}`));
    }
    const grid = gridOf(rows);
    const most = largestOf(grid);
    inputs.forEach((input, n) => {
      const value = grid.data[n];
      if (document.activeElement !== input || (parseNumber(input.value) !== value && input.getAttribute("aria-invalid") !== "true")) {
        input.value = tidy(value, 3).replace("\u2212", "-");
      }
      input.style.background = look.colours.fill(value, most);
      input.style.color = look.colours.ink(value, most);
    });
    const found = Object.entries(presets).find(([, [, make]]) => same(build(make), rows));
    picker.value = found ? found[0] : "";
    picker.options[0].hidden = Boolean(found);
  }
  const light = (lit, kind) => inputs.forEach((input, n) => input.classList.toggle(kind, lit.has(n)));
  return { node, draw, light };
}

// The four methods as small pictures, each with what it makes of the same input.
function buildMethods(figure) {
  const group = uniqueId("upsampling-method");
  const cards = Object.entries(METHODS).map(([method, [label]]) => {
    const input = element("input", { type: "radio", name: group, value: method, onchange: () => figure.choose({ method }, 1) });
    const canvas = element("canvas", { "aria-hidden": "true" });
    return { method, input, canvas, node: element("label", {}, input, element("span", { class: "method" }, canvas, element("span", { text: label }))) };
  });
  const node = element("fieldset", { class: "methods" }, element("legend", { class: "segcore-label", text: "The same input, up-sampled by" }), element("div", { class: "method-row" }, ...cards.map((card) => card.node)));
  function draw(look) {
    for (const { method, input, canvas } of cards) {
      input.checked = method === figure.state.method;
      const output = finalOutput(method, figure.state);
      const unit = 54 / Math.max(output.height, output.width);
      fitCanvas(canvas, output.width * unit, output.height * unit);
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, 100, 100);
      drawCells(pen, output, unit, look, { largest: largestOf(output), numbers: Infinity });
    }
  }
  return { node, draw };
}

// Left of the output: the stroke that is being painted, or the ground over which the flipped filter slides.
function buildSource(figure) {
  const heading = element("h3");
  const line = element("p", { class: "caption" });
  const canvas = element("canvas", { role: "img" });
  const view = element("div", { class: "view" }, canvas);
  const node = element("section", { class: "source" }, heading, line, view);
  function draw(look) {
    const { result } = figure;
    const most = node.parentNode.clientWidth;
    if (result.zeros) drawGround(figure, look, { heading, line, canvas, most });
    else drawStamp(figure, look, { heading, line, canvas, most });
  }
  return { node, draw };
}

// Which stroke is at work, and how much of it is there.
function moment(figure) {
  const { position, result } = figure;
  const done = Math.min(Math.floor(position), result.count);
  const part = done === result.count ? 0 : position - done;
  const current = part > 0 ? done : Math.max(0, done - 1);
  return { done, part, current, glide: part > 0 ? ease(clamp(part / 0.45, 0, 1)) : 1, ink: ease(clamp((part - 0.4) / 0.6, 0, 1)) };
}

function drawStamp(figure, look, { heading, line, canvas, most }) {
  const { result, state } = figure;
  const { done, part, current } = moment(figure);
  const stroke = result.strokes[current];
  const value = result.x.data[current];
  const idle = done === 0 && part === 0;
  setText(heading, idle ? `Before stroke 1 of ${result.count}` : `Stroke ${current + 1} of ${result.count}`);
  const what = { transposed: "the filter", nearest: `a square of ones`, bilinear: "its tent", unpool: "a single 1 at its place" }[state.method];
  setText(line, `${tidy(value)} \u00d7 ${what}`);
  const unit = Math.min(48, most / stroke.width, 200 / stroke.height);
  fitCanvas(canvas, Math.round(stroke.width * unit), Math.round(stroke.height * unit));
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, most + 99, 999);
  pen.globalAlpha = idle ? 0.45 : 1;
  const products = { height: stroke.height, width: stroke.width, data: Float64Array.from(stroke.weights, (w) => w * value) };
  drawCells(pen, products, unit, look, { largest: result.largest });
  pen.globalAlpha = 1;
  outline(pen, 1.25, 1.25, stroke.width * unit - 2.5, stroke.height * unit - 2.5, look.text, 2.5);
  canvas.setAttribute("aria-label", `Stroke ${current + 1}: ${tidy(value)} times ${what}`);
}

function drawGround(figure, look, { heading, line, canvas, most }) {
  const { result, state } = figure;
  const { ground, flipped, output } = result;
  const kernel = flipped.height;
  const { current, glide, part } = moment(figure);
  const border = kernel - 1 - state.padding;
  setText(heading, `Step ${current + 1} of ${result.count}`);
  setText(line, state.stride === 1 ? "Stride 1: no zeros between. The flipped filter slides." : `${state.stride - 1} zero${state.stride > 2 ? "s" : ""} between neighbours, and around; the flipped filter slides.`);
  const unit = Math.min(48, most / ground.width);
  fitCanvas(canvas, Math.round(ground.width * unit), Math.round(ground.height * unit));
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, most + 99, 4000);
  const largest = largestOf(result.x);
  for (let n = 0; n < ground.data.length; n++) {
    const [row, column] = [Math.floor(n / ground.width), n % ground.width];
    const real = row >= border && column >= border && (row - border) % state.stride === 0 && (column - border) % state.stride === 0
      && (row - border) / state.stride < result.x.height && (column - border) / state.stride < result.x.width;
    drawGroundCell(pen, look, { x: column * unit, y: row * unit, unit, value: ground.data[n], real, largest });
  }
  const spot = (n) => [(n % output.width) * unit, Math.floor(n / output.width) * unit];
  const [x1, y1] = spot(current);
  const [x0, y0] = part > 0 && current > 0 ? spot(current - 1) : [x1, y1];
  const [x, y] = [x0 + (x1 - x0) * glide, y0 + (y1 - y0) * glide];
  drawWindow(pen, look, { x, y, unit, flipped });
  if (figure.pick) {
    const [u, v] = spot(figure.pick.row * output.width + figure.pick.column);
    outline(pen, u + 1, v + 1, kernel * unit - 2, kernel * unit - 2, look.second, 2, [4, 3]);
  }
  canvas.setAttribute("aria-label", `Input with zeros inserted, ${ground.height} by ${ground.width}; the flipped filter stands at row ${Math.floor(current / output.width)}, column ${current % output.width}`);
}

function drawGroundCell(pen, look, { x, y, unit, value, real, largest }) {
  pen.fillStyle = real ? look.colours.fill(value, largest) : look.panel;
  pen.fillRect(x + 0.5, y + 0.5, unit - 1, unit - 1);
  if (real) drawNumber(pen, tidy(value), x, y, unit, look.colours.ink(value, largest), look.font);
  else if (unit > 17) drawNumber(pen, "0", x, y, unit, look.muted, look.font, 0.8);
}

function drawWindow(pen, look, { x, y, unit, flipped }) {
  const side = flipped.height;
  pen.fillStyle = look["accent-soft"];
  pen.fillRect(x, y, side * unit, side * unit);
  outline(pen, x + 1.25, y + 1.25, side * unit - 2.5, side * unit - 2.5, look.text, 2.5);
  if (unit < 24) return;
  pen.textAlign = "right";
  pen.textBaseline = "bottom";
  pen.font = `600 ${Math.min(10.5, unit * 0.29).toFixed(1)}px ${look.font}`;
  flipped.data.forEach((weight, n) => {
    const text = `\u00d7${tidy(weight)}`;
    const [right, bottom] = [x + ((n % side) + 1) * unit - 3, y + (Math.floor(n / side) + 1) * unit - 2];
    pen.lineWidth = 2.5;
    pen.strokeStyle = look.page;
    pen.strokeText(text, right, bottom);
    pen.fillStyle = look.text;
    pen.fillText(text, right, bottom);
  });
}

// The output. With padding the painted canvas is larger, and what is cut off is hatched.
function buildOutput(figure) {
  const heading = element("h3");
  const line = element("p", { class: "caption" });
  const canvas = element("canvas", { class: "output-canvas", tabindex: "0", role: "application", "aria-roledescription": "grid of output values" });
  const view = element("div", { class: "view" }, canvas);
  const node = element("section", { class: "result" }, heading, line, view);
  const self = { node, draw, canvas, unit: 1, origin: 0 };

  function cellAt(event) {
    const frame = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - frame.top) / self.unit) - self.origin;
    const column = Math.floor((event.clientX - frame.left) / self.unit) - self.origin;
    const { output } = figure.result;
    return row >= 0 && column >= 0 && row < output.height && column < output.width ? { row, column } : null;
  }
  canvas.addEventListener("pointermove", (event) => figure.setPick(cellAt(event) ?? figure.pick));
  canvas.addEventListener("pointerdown", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    figure.setPick(cell);
    figure.movePlace(cell);
  });
  canvas.addEventListener("keydown", (event) => {
    const { output } = figure.result;
    const [row, column] = [figure.pick?.row ?? 0, figure.pick?.column ?? 0];
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Enter" || event.key === " ") figure.movePlace({ row, column });
    else if (!move) return;
    else figure.setPick({ row: clamp(row + move[0], 0, output.height - 1), column: clamp(column + move[1], 0, output.width - 1) }, { aloud: true });
    event.preventDefault();
  });

  function draw(look) {
    const { result } = figure;
    const { output, zeros, canvas: painted, cut } = result;
    const shown = zeros ? output : painted;
    const most = node.clientWidth;
    self.unit = Math.min(48, most / shown.width);
    self.origin = zeros ? 0 : cut;
    setText(heading, `Output, ${output.height} \u00d7 ${output.width}`);
    const trimmed = shown.height !== output.height || shown.width !== output.width;
    setText(line, trimmed ? "Hatched: cut off by the padding. Point at a cell to see its sum." : "Point at a cell to see its sum.");
    fitCanvas(canvas, Math.round(shown.width * self.unit), Math.round(shown.height * self.unit));
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, most + 99, 4000);
    if (zeros) drawArrived(figure, look, pen, self.unit);
    else drawPainted(figure, look, pen, self);
    drawPick(figure, look, pen, self);
    drawPointed(figure, look, pen, self);
    canvas.setAttribute("aria-label", `Output, ${output.height} rows and ${output.width} columns. Arrow keys walk from cell to cell.`);
  }
  return self;
}

function drawPainted(figure, look, pen, { unit }) {
  const { result } = figure;
  const { done, part, current, glide, ink } = moment(figure);
  const now = paint(result.x, result.strokes, result.canvas, done, ink);
  const { height, width } = result.canvas;
  const { output, cut, strokes } = result;
  drawCells(pen, now, unit, look, { largest: result.largest, blank: done < result.count ? untouched(result, done) : null });
  const [right, bottom] = [cut + output.width, cut + output.height];
  for (const [x, y, w, h] of [[0, 0, width, cut], [0, bottom, width, height - bottom], [0, cut, cut, output.height], [right, cut, width - right, output.height]]) {
    if (w <= 0 || h <= 0) continue;
    pen.fillStyle = look.veil;
    pen.fillRect(x * unit, y * unit, w * unit, h * unit);
    hatch(pen, x * unit, y * unit, w * unit, h * unit, look.hatch);
  }
  if (cut) outline(pen, cut * unit, cut * unit, output.width * unit, output.height * unit, look.control, 1.25);
  if (done === 0 && part === 0) return;
  const here = strokes[current];
  const before = part > 0 && current > 0 ? strokes[current - 1] : here;
  const mix = (name) => (before[name] + (here[name] - before[name]) * glide) * unit;
  const fade = part > 0 ? 1 : 0.75;
  pen.globalAlpha = fade;
  outline(pen, mix("left") + 1.25, mix("top") + 1.25, mix("width") - 2.5, mix("height") - 2.5, look.text, 2.5);
  pen.globalAlpha = 1;
}

// Cells of the canvas that no stroke has reached yet: they stay without a number.
function untouched({ x, strokes, canvas }, count) {
  const ones = { ...x, data: x.data.map(() => 1) };
  const { data } = paint(ones, strokes.map((stroke) => ({ ...stroke, weights: stroke.weights.map(() => 1) })), canvas, count);
  return data.map((value) => (value > 0 ? 0 : 1));
}

function drawArrived(figure, look, pen, unit) {
  const { result } = figure;
  const { done, part, current, ink } = moment(figure);
  const { output } = result;
  const shown = { ...output, data: output.data.map((value, n) => (n < done ? value : n === done && part > 0 ? value * ink : 0)) };
  drawCells(pen, shown, unit, look, { largest: result.largest, numbers: Infinity });
  for (let n = 0; n < Math.min(done, output.data.length); n++) {
    const [x, y] = [(n % output.width) * unit, Math.floor(n / output.width) * unit];
    if (unit >= 24) drawNumber(pen, tidy(output.data[n], unit < 30 ? 1 : 2), x, y, unit, look.colours.ink(output.data[n], result.largest), look.font);
  }
  if (done === 0 && part === 0) return;
  outline(pen, (current % output.width) * unit + 1.25, Math.floor(current / output.width) * unit + 1.25, unit - 2.5, unit - 2.5, look.text, 2.5);
}

// The picked cell, and around it the outlines of all strokes that reach it.
function drawPick(figure, look, pen, { unit, origin }) {
  const { pick, result } = figure;
  if (!pick) return;
  if (!result.zeros) {
    for (const { n } of termsAt(result.strokes, pick.row + result.cut, pick.column + result.cut)) {
      const { left, top, width, height } = result.strokes[n];
      const inset = 2 + (n % 3);
      outline(pen, left * unit + inset, top * unit + inset, width * unit - 2 * inset, height * unit - 2 * inset, look.second, 1.5, [4, 3]);
    }
  }
  outline(pen, (pick.column + origin) * unit + 1.5, (pick.row + origin) * unit + 1.5, unit - 3, unit - 3, look.second, 3);
}

// What the pointer is over in the editors: an input cell shows its stroke, a weight shows where it went in each stroke.
function drawPointed({ pointed, result }, look, pen, { unit, origin }) {
  if (!pointed.name || !result.strokes[pointed.n]) return;
  const shift = origin - result.cut;
  const side = result.filter.height;
  const marks = pointed.name === "input"
    ? [result.strokes[pointed.n]]
    : result.strokes.map(({ top, left }) => ({ top: top + Math.floor(pointed.n / side), left: left + (pointed.n % side), height: 1, width: 1 }));
  for (const { top, left, height, width } of marks) {
    outline(pen, (left + shift) * unit + 1.5, (top + shift) * unit + 1.5, width * unit - 3, height * unit - 3, look.accent, 3);
  }
}

// The line under the output: where one number comes from.
function buildSum(figure) {
  const title = element("h4");
  const sum = element("p", { class: "sum" });
  const node = element("section", { class: "why" }, title, sum);
  function draw() {
    const { pick, result } = figure;
    if (!pick) return;
    const terms = figure.pickTerms();
    const { done } = moment(figure);
    const value = result.output.data[pick.row * result.output.width + pick.column];
    const arrived = result.zeros ? (pick.row * result.output.width + pick.column < done ? terms.length : 0) : terms.filter(({ n }) => n < done).length;
    const many = `${terms.length} stroke${terms.length === 1 ? "" : "s"}`;
    setText(title, `Output at row ${pick.row}, column ${pick.column}: ${terms.length ? many : "no stroke"}${arrived === terms.length ? "" : result.zeros ? ", not reached yet" : `, ${arrived} painted so far`}`);
    const parts = terms.map(({ n, weight }) => element("span", { class: !result.zeros && n >= done ? "term waiting" : "term", text: `${tidy(result.x.data[n], 3)} \u00d7 ${tidy(weight, 3)}` }));
    const joined = parts.flatMap((part, n) => (n ? [" + ", part] : [part]));
    sum.replaceChildren(...(terms.length ? joined : ["nothing"]), " = ", element("strong", { text: tidy(terms.length ? value : 0, 3) }));
    sum.dataset.value = String(terms.length ? value : 0);
  }
  return { node, draw };
}

// Two maps: how many strokes reach each cell, and what becomes of a flat input.
function buildMaps(figure) {
  const map = (title) => {
    const canvas = element("canvas", { role: "img" });
    const line = element("p", { class: "caption" });
    return { canvas, line, node: element("section", { class: "map" }, element("h4", { text: title }), canvas, line) };
  };
  const counts = map("Strokes per output cell");
  const flat = map("A flat input of ones comes out as");
  const verdict = element("p", { class: "verdict" });
  const node = element("div", { class: "maps" }, counts.node, flat.node, verdict);
  function draw(look) {
    const { result } = figure;
    for (const [part, grid] of [[counts, result.counts], [flat, result.flat]]) {
      const unit = Math.min(26, part.node.clientWidth / grid.width);
      fitCanvas(part.canvas, Math.round(grid.width * unit), Math.round(grid.height * unit));
      const pen = part.canvas.getContext("2d");
      pen.clearRect(0, 0, 999, 999);
      drawCells(pen, grid, unit, look, { largest: largestOf(grid), digits: 1, numbers: 17 });
      const [low, high] = [Math.min(...grid.data), Math.max(...grid.data)];
      const range = tidy(low, 2) === tidy(high, 2) ? `${tidy(low, 2)} everywhere` : `from ${tidy(low, 2)} to ${tidy(high, 2)}`;
      setText(part.line, range);
      part.canvas.setAttribute("aria-label", `${part === counts ? "Strokes per output cell" : "Response to a flat input"}: ${range}`);
    }
    setText(verdict, verdictOf(figure));
    verdict.dataset.kind = verdictKind(figure);
  }
  return { node, draw };
}

function phases({ state, result }) {
  const sums = phaseSums(result.filter, state.stride).data;
  const [low, high] = [Math.min(...sums), Math.max(...sums)];
  return { low, high, even: high - low < 1e-6 * Math.max(1, Math.abs(high)) };
}

function verdictKind(figure) {
  return figure.result.transposed && !phases(figure).even ? "uneven" : "even";
}

function verdictOf(figure) {
  const { state, result } = figure;
  if (state.method === "unpool") return "A flat input comes out sparse: a convolution has to follow that spreads the values.";
  if (!result.transposed) return "A flat input stays flat: no checkerboard can arise. A convolution of stride 1 after it keeps that so.";
  const { low, high, even } = phases(figure);
  const [kernel, stride] = [state.filter.length, state.stride];
  const agree = ` Painting and zero insertion differ by ${result.views < 1e-9 ? "0" : result.views.toExponential(1)}.`;
  if (stride === 1) return `With stride 1 every inner cell gets the same weights: no pattern can arise.${agree}`;
  const counts = kernel < stride
    ? `Kernel ${kernel} is smaller than stride ${stride}: some cells are never reached.`
    : kernel % stride === 0
      ? `Kernel ${kernel} is divisible by stride ${stride}: every inner cell gets ${(kernel / stride) ** 2} stroke${kernel === stride ? "" : "s"}.`
      : `Kernel ${kernel} is not divisible by stride ${stride}: inner cells get ${Math.floor(kernel / stride) ** 2} to ${Math.ceil(kernel / stride) ** 2} strokes.`;
  const flat = even
    ? ` These weights add up to ${tidy(low, 2)} in every inner cell: no checkerboard.`
    : ` These weights add up to ${tidy(low, 2)} in some inner cells and ${tidy(high, 2)} in others: a checkerboard.`;
  return counts + flat + agree;
}

const ICONS = {
  first: "M3 3h2v10H3zM14 3v10L6 8z", back: "M10.5 2L4.5 8l6 6 1.5-1.5L7.5 8 12 3.5z", reverse: "M12 2v12L3 8z",
  play: "M4 2v12l9-6z", pause: "M4 3h3v10H4zM9 3h3v10H9z", on: "M5.5 2l6 6-6 6L4 12.5 8.5 8 4 3.5z", last: "M2 3v10l8-5zM11 3h2v10h-2z",
};

function icon() {
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(name, "path"));
  return svg;
}

function setIcon(button, shape) {
  button.querySelector("path").setAttribute("d", ICONS[shape]);
}

// Play, step, reverse, scrub.
function buildPlayer(figure) {
  const button = (label, shape, onclick) => {
    const made = element("button", { type: "button", class: "segcore-button", "aria-label": label, title: label, onclick }, icon());
    setIcon(made, shape);
    return made;
  };
  const still = prefersStillness();
  const slider = element("input", { type: "range", min: "0", step: still ? "1" : "0.01", "aria-label": "Strokes painted" });
  const reading = element("output", { class: "reading" });
  const play = button("Play", "play", () => figure.play(1));
  const reverse = button("Play backwards", "reverse", () => figure.play(-1));
  const node = element("div", { class: "player" },
    button("To the beginning", "first", () => figure.seek(0)),
    still ? null : reverse,
    button("One step back", "back", () => figure.seek(Math.ceil(figure.position) - 1)),
    button("One step on", "on", () => figure.seek(Math.floor(figure.position) + 1)),
    still ? null : play,
    button("To the end", "last", () => figure.seek(figure.result.count)),
    slider, reading);
  slider.addEventListener("input", () => figure.seek(Number(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: figure.result.x.width, PageDown: -figure.result.x.width }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    figure.seek(by > 0 ? Math.floor(figure.position) + by : Math.ceil(figure.position) + by);
  });
  function draw() {
    const { result, position, playing } = figure;
    if (slider.max !== String(result.count)) slider.max = String(result.count);
    if (Math.abs(Number(slider.value) - position) > 0.006) slider.value = String(position);
    const done = Math.floor(position);
    const words = result.zeros ? `${done} of ${result.count} cells` : `${done} of ${result.count} strokes`;
    setText(reading, words);
    slider.setAttribute("aria-valuetext", words);
    for (const [node, way, label, shape] of [[play, 1, "Play", "play"], [reverse, -1, "Play backwards", "reverse"]]) {
      setIcon(node, playing === way ? "pause" : shape);
      node.setAttribute("aria-label", playing === way ? "Pause" : label);
      node.title = playing === way ? "Pause" : label;
    }
  }
  return { node, draw };
}

function buildTrials(figure) {
  const note = element("p", { class: "trial-note", role: "status" });
  const rest = "Change any number of the input or the filter. Play the strokes, or drag the slider back and forth.";
  const buttons = TRIALS.map(([label, values, text]) => element("button", {
    type: "button", class: "segcore-button", "aria-pressed": "false", text: label,
    onclick: (event) => {
      figure.choose(values, 1);
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === event.currentTarget)));
      setText(note, text);
    },
  }));
  setText(note, rest);
  function clear() {
    if (buttons.every((button) => button.getAttribute("aria-pressed") === "false")) return;
    buttons.forEach((button) => button.setAttribute("aria-pressed", "false"));
  }
  const bar = element("div", { class: "trials" }, element("span", { class: "segcore-label", text: "Try" }), ...buttons);
  return { node: element("div", {}, bar, note), clear };
}

// ---- The figure --------------------------------------------------------------------------------------------------

function readLook(root) {
  const colours = themeColours(root, COLOURS);
  const pen = document.createElement("canvas").getContext("2d");
  return { ...colours, colours: palette(colours), veil: `${colours.page}a8`, hatch: hatchPattern(pen, `${colours.control}70`, 1, 6, 1) };
}

// The figure's state and what may be done to it; the parts ask it and draw.
class Figure {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.state = Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
    this.result = compute(this.state);
    this.position = Math.min(this.state.step, this.result.count);
    this.pick = { row: 2, column: 2 };
    this.playing = 0;
    this.dirty = new Set(["all"]);
    this.announce = announcer();
    this.loop = frameLoop((now) => this.draw(now));
    root.frames = this.loop.times;
    this.pointed = { name: null, n: 0 };
  }

  mark(...parts) {
    parts.forEach((part) => this.dirty.add(part));
    this.loop.request();
  }

  change(values, { keepTrial = false } = {}) {
    const news = Object.entries(values).filter(([name, value]) => !same(this.state[name], value));
    if (!news.length) return;
    for (const [name, value] of news) {
      this.state[name] = value;
      this.model.set(name, value);
    }
    this.model.save_changes();
    if (!keepTrial) this.parts.trials.clear();
    if (values.step !== undefined || news.some(([name]) => name !== "step")) this.refresh(values.step !== undefined);
  }

  // Another method or view, with a share of its strokes done.
  choose(values, share) {
    this.change(values, { keepTrial: true });
    this.seek(Math.round(share * this.result.count));
  }

  // What follows from the state, after it changed from inside or outside.
  refresh(stepped) {
    const before = this.result;
    this.result = compute(this.state);
    const finished = before.count > 0 && this.position >= before.count;
    if (stepped) this.position = Math.min(this.state.step, this.result.count);
    else if (before.count !== this.result.count) this.seek(finished ? this.result.count : Math.min(this.position, this.result.count), { keep: true });
    const { output } = this.result;
    this.pick = { row: clamp(this.pick.row, 0, output.height - 1), column: clamp(this.pick.column, 0, output.width - 1) };
    this.mark("all");
  }

  follow(name) {
    const value = this.model.get(name);
    if (same(this.state[name], value)) return;
    this.state[name] = value;
    if (name === "step") {
      this.stop();
      this.position = Math.min(value, this.result.count);
      this.mark("time");
      return;
    }
    this.dirty.add("stale"); // several traits may arrive in a row; they are legal only together
    this.parts.settings.forget();
    this.loop.request();
  }

  seek(position, { keep = false } = {}) {
    if (!keep) this.stop();
    this.position = clamp(position, 0, this.result.count);
    const step = Math.floor(this.position);
    if (step !== this.state.step) {
      this.state.step = step;
      this.model.set("step", step);
      this.model.save_changes();
    }
    this.mark("time");
  }

  play(way) {
    if (this.playing === way) {
      this.stop();
      return;
    }
    const end = way > 0 ? this.result.count : 0;
    if (this.position === end) this.seek(this.result.count - end);
    this.playing = way;
    this.last = null;
    this.mark("time");
  }

  stop() {
    if (!this.playing) return;
    this.playing = 0;
    this.mark("time");
  }

  advance(now) {
    if (!this.playing) return;
    const rate = Math.max(1.1, this.result.count / SECONDS); // strokes a second
    const by = this.last === null ? 0 : Math.min(100, now - this.last) / 1000;
    this.last = now;
    const next = this.position + this.playing * by * rate;
    this.seek(next, { keep: true });
    if (this.playing > 0 ? next >= this.result.count : next <= 0) this.stop();
  }

  setPick(cell, { aloud = false } = {}) {
    if (!cell || same(cell, this.pick)) return;
    this.pick = cell;
    this.mark("pick");
    if (aloud) this.announce.say(this.sentence());
  }

  pickTerms() {
    return termsAt(this.result.strokes, this.pick.row + this.result.cut, this.pick.column + this.result.cut);
  }

  sentence() {
    const { row, column } = this.pick;
    const terms = this.pickTerms().map(({ n, weight }) => `${tidy(this.result.x.data[n], 3)} times ${tidy(weight, 3)}`);
    const { output } = this.result;
    return `Row ${row}, column ${column}: ${terms.length ? terms.join(" plus ") : "no stroke"} is ${tidy(output.data[row * output.width + column], 3)}`;
  }

  movePlace({ row, column }) {
    if (this.state.method !== "unpool") return;
    const { stride } = this.state;
    const { x } = this.result;
    const places = placesFor(this.state, x.height, x.width);
    places[Math.floor(row / stride) * x.width + Math.floor(column / stride)] = (row % stride) * stride + (column % stride);
    this.change({ places: rowsOf(x.height, x.width, (i, j) => places[i * x.width + j]) });
  }

  pointAt(name, n = 0) {
    if (name === this.pointed.name && n === this.pointed.n) return;
    this.pointed = { name, n };
    this.mark("pick");
  }

  // Input cells and filter weights that take part: in the stroke at work, and in the picked sum.
  light() {
    const { editors } = this.parts;
    const { current, done, part } = moment(this);
    const working = !this.result.zeros && (done > 0 || part > 0) ? [current] : [];
    const terms = this.pickTerms();
    const side = this.state.filter.length;
    editors.input.light(new Set(working), "working");
    editors.input.light(new Set(terms.map(({ n }) => n)), "taking-part");
    editors.filter.light(new Set(this.result.transposed ? terms.map(({ a, b }) => a * side + b) : []), "taking-part");
  }

  draw(now) {
    this.advance(now);
    if (this.dirty.has("stale")) this.refresh(false);
    const all = this.dirty.has("all") || this.dirty.has("stale");
    const [time, editors, settings] = ["time", "editors", "settings"].map((name) => all || this.dirty.has(name));
    this.dirty.clear();
    if (!this.root.clientWidth) return;
    const look = (this.look ??= readLook(this.root));
    const { parts } = this;
    if (all) {
      this.root.dataset.view = this.result.zeros ? "zeros" : "paint";
      parts.editors.filter.node.hidden = !this.result.transposed;
      parts.methods.draw(look);
      parts.maps.draw(look);
    }
    if (settings) parts.settings.draw();
    if (editors) Object.values(parts.editors).forEach((editor) => editor.draw(look));
    if (time) parts.player.draw();
    parts.source.draw(look);
    parts.output.draw(look);
    parts.sum.draw();
    this.light();
    if (this.playing) this.mark("time");
  }
}

function buildParts(figure) {
  const settings = buildSettings(figure);
  const editors = {
    input: buildEditor(figure, {
      name: "input", title: "Input", presets: INPUTS, extras: settings.size,
      build: (make) => make(figure.state.input.length, figure.state.input[0].length),
    }),
    filter: buildEditor(figure, { name: "filter", title: "Filter", presets: FILTERS, build: (make) => make(figure.state.filter.length) }),
  };
  return {
    trials: buildTrials(figure), methods: buildMethods(figure), settings, editors,
    source: buildSource(figure), output: buildOutput(figure), player: buildPlayer(figure), sum: buildSum(figure), maps: buildMaps(figure),
  };
}

function render({ model, el }) {
  const root = stage(el, "upsampling");
  const figure = new Figure(model, root);
  const parts = (figure.parts = buildParts(figure));
  root.append(
    parts.trials.node, parts.methods.node, parts.settings.node,
    element("div", { class: "work" },
      element("div", { class: "left" }, parts.editors.input.node, parts.editors.filter.node, parts.source.node), parts.output.node),
    parts.player.node, parts.sum.node, parts.maps.node, figure.announce.node,
  );
  const stops = TRAITS.map((name) => {
    const follow = () => figure.follow(name);
    model.on(`change:${name}`, follow);
    return () => model.off(`change:${name}`, follow);
  });
  stops.push(onTheme(() => { figure.look = null; figure.mark("all"); }));
  stops.push(onResize(root, () => figure.mark("all")));
  figure.draw(performance.now());
  return () => {
    figure.loop.stop();
    figure.announce.stop();
    stops.forEach((stop) => stop());
    root.remove();
  };
}

export default { render };
