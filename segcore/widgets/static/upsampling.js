import { hatchPattern, palette } from "./kit/colours.js";
import { button, choice, heading, key, numberField, trials } from "./kit/controls.js";
import { element, put, setText, uniqueId } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { bilinearAxis, conv2d, gridOf, largestOf, pad, rowsOf } from "./kit/maps.js";
import { between, brief, clamp, ease, parseNumber, placeWords, plural, same, tidy } from "./kit/numbers.js";
import { clearCanvas, drawCells, drawNumber, frameCells, outlineRect } from "./kit/pictures.js";
import { player } from "./kit/player.js";
import { onArrows, onPress, pointIn, walkCells } from "./kit/pointer.js";

// Up-sampling a small grid. Arithmetic first, as pure functions; what is drawn comes below.
//
// A grid is { data, height, width }, values in rows. Every method here is linear in the input: input cell n leaves a
// stroke, its value times a stamp, and the output is the sum of the strokes.

const LIMITS = { rows: [1, 8], columns: [1, 8], kernel: [1, 5], stride: [1, 4], padding: [0, 4], output_padding: [0, 3] };
const LARGEST = 999; // a number in a cell
const SMALLEST = 18; // a cell, in CSS pixels, in which one can still type
const ROOMY = 32; // one in which the window's weight stands below the number
const SECONDS = 9; // one run through all strokes, unless there are few
const METHODS = ["transposed", "nearest", "bilinear", "unpool"];
const SHAPE = ["input", "filter", "stride", "padding", "output_padding", "method", "mode", "places"];

// Why a combination of options cannot be, and what could be instead; null where nothing is wrong.
export function optionProblem({ height, width, kernel, stride, padding, output_padding: more }) {
  if (more >= stride) {
    const room = stride === 1
      ? "With stride 1 there is only one size that the output can have, so it may be 0 only."
      : `With stride ${stride}, ${stride} sizes of the large grid share one small grid, so it may be 0 to ${stride - 1}.`;
    return { text: `Output padding ${more} is not below the stride, ${stride}. ${room}`, cure: { output_padding: stride - 1 } };
  }
  const all = (Math.min(height, width) - 1) * stride + kernel + more;
  if (all > 2 * padding) return null;
  const most = Math.floor((all - 1) / 2);
  const text = `Padding ${padding} cuts ${padding} cells off each side, and only ${all} are there: nothing would be left.`;
  return { text: `${text} It may be ${most ? `0 to ${most}` : "0 only"}.`, cure: { padding: most } };
}

// The stamp of each input cell: { top, left, height, width, weights }, places counted on the canvas before anything is cut.
export function stamps(method, { height, width, filter, places, stride }) {
  const cells = Array.from({ length: height * width }, (_, n) => ({ row: Math.floor(n / width), column: n % width }));
  const square = (weights, side = stride) => ({ row, column }, n) => ({
    top: row * stride, left: column * stride, height: side, width: side, weights: weights(n),
  });
  if (method === "transposed") return cells.map(square(() => filter.data, filter.height));
  if (method === "nearest") return cells.map(square(() => new Float64Array(stride * stride).fill(1)));
  const single = (n) => Float64Array.from({ length: stride * stride }, (_, place) => Number(place === places[n]));
  if (method === "unpool") return cells.map(square(single));
  const [down, across] = [axisStamps(height, height * stride), axisStamps(width, width * stride)];
  return cells.map(({ row, column }) => {
    const [v, u] = [down[row], across[column]];
    const weights = Float64Array.from([...v.weights].flatMap((a) => [...u.weights].map((b) => a * b)));
    return { top: v.start, left: u.start, height: v.weights.length, width: u.weights.length, weights };
  });
}

// One axis of bilinear resizing seen from the input: where each cell's stamp begins, and its weights.
function axisStamps(size, output) {
  const all = Array.from({ length: size }, () => new Float64Array(output));
  bilinearAxis(size, output).forEach(({ low, high, weight }, n) => {
    all[low][n] += 1 - weight;
    all[high][n] += weight;
  });
  return all.map((line) => {
    const start = line.findIndex((weight) => weight > 0);
    return { start, weights: line.slice(start, line.findLastIndex((weight) => weight > 0) + 1) };
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

// The other view, first half: stride - 1 zeros between neighbours.
export function zeroInsert(x, stride) {
  const [height, width] = [(x.height - 1) * stride + 1, (x.width - 1) * stride + 1];
  const data = new Float64Array(height * width);
  x.data.forEach((value, n) => (data[Math.floor(n / x.width) * stride * width + (n % x.width) * stride] = value));
  return { data, height, width };
}

// What the flipped filter slides over: zeros between, and kernel - 1 - padding of them around.
export function slidingGround(x, kernel, { stride, padding, output_padding: more }) {
  const border = kernel - 1 - padding;
  return pad(zeroInsert(x, stride), border, border, border + more, border + more);
}

const flip = (filter) => ({ ...filter, data: Float64Array.from(filter.data).reverse() });

// The other view, whole.
export function fractionalConv(x, filter, options) {
  return conv2d(slidingGround(x, filter.height, options), flip(filter));
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

function placesFor(state, height, width) {
  const area = state.stride ** 2;
  return Array.from({ length: height * width }, (_, n) => (state.places[Math.floor(n / width)]?.[n % width] ?? 0) % area);
}

const sizesOf = (state) => ({ ...state, height: state.input.length, width: state.input[0].length, kernel: state.filter.length });

// All that follows from a state. The canvas that is painted is larger than the output by what the padding cuts off; `cut`
// says where the output lies.
export function compute(state) {
  const [x, filter] = [gridOf(state.input), gridOf(state.filter)];
  const transposed = state.method === "transposed";
  const zeros = transposed && state.mode === "zeros";
  const strokes = stamps(state.method, { ...x, filter, places: placesFor(state, x.height, x.width), stride: state.stride });
  const cut = transposed ? state.padding : 0;
  const covered = (size) => (transposed ? (size - 1) * state.stride + filter.height : size * state.stride);
  const side = (size) => covered(size) - 2 * cut + (transposed ? state.output_padding : 0);
  const canvas = Object.fromEntries(["height", "width"].map((name) => [name, Math.max(covered(x[name]), cut + side(x[name]))]));
  const inside = (grid) => pad(grid, -cut, -cut, cut + side(x.height) - canvas.height, cut + side(x.width) - canvas.width);
  const whole = paint(x, strokes, canvas);
  const [output, ones] = [inside(whole), { ...x, data: x.data.map(() => 1) }];
  const touches = strokes.map((stroke) => ({ ...stroke, weights: stroke.weights.map(() => 1) }));
  const other = transposed ? fractionalConv(x, filter, state) : output;
  return {
    x, filter, strokes, output, cut, canvas, zeros, transposed,
    largest: largestOf(whole),
    count: zeros ? output.data.length : strokes.length,
    ground: zeros ? slidingGround(x, filter.height, state) : null,
    border: filter.height - 1 - state.padding,
    reached: (count) => paint(ones, touches, canvas, count), // how many of the first strokes reach each cell
    counts: inside(paint(ones, touches, canvas)),
    flat: inside(paint(ones, strokes, canvas)),
    views: largestOf({ data: output.data.map((value, n) => value - other.data[n]) }), // by how much they differ
  };
}

// ---- Presets -----------------------------------------------------------------------------------------------------

// The eye of the cat in scikit-image's "chelsea", 80 pixels of it at a tenth of their size, dark 0 to bright 9.
const EYE = ["99877887", "52322387", "36641127", "37611333", "56500441", "84633532", "68555321", "66875542"];
// Weights such as an untrained layer has, around one third; fixed, so that everyone sees the same.
const RANDOM = [
  [0.4, -0.2, 0.7, 0.1, 0.4],
  [0.9, 0.3, -0.1, 0.6, 0.2],
  [-0.3, 0.8, 0.4, 0.2, 0.7],
  [0.6, 0.1, 0.4, -0.4, 0.3],
  [0.2, 0.6, 0.3, 0.8, -0.1],
];

const table = (height, width, value) => Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => value(i, j)));

export const INPUTS = {
  ramp: ["Ramp", (h, w) => table(h, w, (i, j) => i * w + j + 1)],
  single: ["A single 1", (h, w) => table(h, w, (i, j) => Number(i === h >> 1 && j === w >> 1))],
  ones: ["Flat: all 1", (h, w) => table(h, w, () => 1)],
  step: ["An edge", (h, w) => table(h, w, (i, j) => (j >= w / 2 ? 4 : 0))],
  eye: ["A cat\u2019s eye", () => EYE.map((line) => Array.from(line, Number))],
};

const tent = (k) => Array.from({ length: k }, (_, i) => 1 - Math.abs(i - (k - 1) / 2) / Math.ceil(k / 2));
const hill = (k) => Array.from({ length: k }, (_, i) => Math.min(i + 1, k - i));

export const FILTERS = {
  corner: ["Corner", (k) => table(k, k, (i, j) => (i * j ? 0 : k - i - j))],
  ones: ["Ones", (k) => table(k, k, () => 1)],
  bilinear: ["Bilinear", (k) => table(k, k, (i, j) => tent(k)[i] * tent(k)[j])],
  random: ["Random", (k) => table(k, k, (i, j) => RANDOM[i][j])],
  edge: ["Edge", (k) => table(k, k, (i, j) => (k === 1 ? 1 : hill(k)[i] * Math.sign(j - (k - 1) / 2)))],
};

// ---- What there is to see, in words --------------------------------------------------------------------------------

// The ways to reach an output: what the state is, what is to be seen, and a note for when no trial has one.
const WAYS = [
  {
    label: "Paint", values: { method: "transposed", mode: "paint" }, title: "Every input value paints the filter into the output",
    note: (s) => `A step in the input is ${plural(s, "step")} in the output: the stride. Point at a cell of the output, change a number, play.`,
  },
  {
    label: "Zeros inserted", values: { method: "transposed", mode: "zeros" },
    title: "Zeros between the input\u2019s values: the filter, turned, slides over them",
    note: (s) => "Each output cell gathers what lies under the window. The filter is turned by 180\u00b0, and one cell on is "
      + `${["one", "half a", "a third of a", "a quarter of a"][s - 1]} cell of the input. The numbers are those of painting.`,
  },
  {
    label: "Nearest", values: { method: "nearest" }, title: "Every input value fills a square of the output", stamp: "Square of ones",
    note: () => "That is the filter of ones whose kernel equals the stride: no overlap, no checkerboard, and nothing but blocks.",
  },
  {
    label: "Bilinear", values: { method: "bilinear" }, title: "Every input value paints a tent, and overlaps add", stamp: "Tent",
    note: () => "Values are read between the centres of the input\u2019s cells (align_corners = False). Inside, all tents are alike; at the border "
      + "they take over what would fall outside.",
  },
  {
    label: "Unpooling", values: { method: "unpool" }, title: "Every value goes back to where its maximum was", stamp: "Place of the maximum",
    note: (s) => `${s === 1 ? "With stride 1 there is one place only." : `${s * s - 1} of ${s * s} cells stay zero: a convolution has to fill them. `
      + "Click a cell, or press Enter on it, to move the maximum of its square there."}`,
  },
];
const wayOf = ({ method, mode }) => WAYS.findIndex(({ values }) => values.method === method && (values.mode ?? mode) === mode);

const FLAT = { method: "transposed", mode: "paint", stride: 2, output_padding: 0, padding: 0 };
const [ramp, flat] = [INPUTS.ramp[1](3, 3), INPUTS.ones[1](4, 4)];
const bilinear = FILTERS.bilinear[1](3);
const TRIALS = [
  {
    label: "A single 1", values: { ...FLAT, input: INPUTS.single[1](3, 3), filter: FILTERS.corner[1](3) },
    at: 5 / 9, note: "One 1 among zeros leaves exactly one copy of the filter: all other strokes add nothing.",
  },
  {
    label: "Bilinear filter", values: { ...FLAT, padding: 1, input: ramp, filter: bilinear },
    note: "The input\u2019s values stay where they land; each cell between is the mean of the two or four around it. "
      + "Padding 1 cuts off the rim, where strokes are missing.",
  },
  {
    label: "Checkerboard",
    values: [
      { ...FLAT, input: flat, filter: FILTERS.ones[1](3) },
      { ...FLAT, padding: 1, output_padding: 1, input: INPUTS.eye[1](), filter: FILTERS.random[1](3) },
    ],
    note: ({ input }) => (input.length === 4
      ? "A flat input, a flat filter, and yet a weave: 1, 2 or 4 strokes reach a cell. Press again for a photograph under an untrained filter."
      : "An untrained filter over a photograph, a cat\u2019s eye: the weave lies over everything."),
  },
  {
    label: "No checkerboard", values: [FILTERS.ones[1](4), bilinear].map((filter) => ({ ...FLAT, padding: 1, input: flat, filter })),
    note: ({ filter }) => (filter.length === 4
      ? "Kernel 4 is divisible by stride 2: inside, each cell gets 4 strokes. Change one weight, and the weave returns. Press again for a cure by weights."
      : "As many strokes reach each cell as in the checkerboard, 1, 2 or 4, and yet the output is flat: these weights make up for it. Change one."),
  },
];

// ---- Where one stands: `figure.position` is how many strokes, or cells, are done ------------------------------------

// What follows from the state, made anew if it has changed. While traits arrive one by one from a kernel they may be
// illegal together: the last legal figure stays.
function resultOf(figure) {
  if (figure.result && !figure.stale) return figure.result;
  const before = figure.result;
  if (!before || !optionProblem(sizesOf(figure.state))) figure.result = compute(figure.state);
  const { count, output } = figure.result;
  const ended = before && figure.position >= before.count;
  const wanted = figure.wanted ?? (figure.share !== null ? Math.round(figure.share * count) : ended ? count : figure.position);
  const told = figure.wanted !== null;
  [figure.stale, figure.wanted, figure.share] = [false, null, null];
  figure.pick = { row: Math.min(figure.pick.row, output.height - 1), column: Math.min(figure.pick.column, output.width - 1) };
  figure.position = clamp(wanted, 0, count);
  if (!told) figure.set({ step: Math.floor(figure.position) });
  return figure.result;
}

function settled(figure, names) {
  if (names.some((name) => name !== "step")) {
    figure.stale = true;
    figure.parts.settings?.forget();
  }
  if (!names.includes("step") || Math.floor(figure.position) === figure.state.step) return;
  [figure.wanted, figure.stale] = [figure.state.step, true];
  figure.parts.player?.stop();
}

function seek(figure, position) {
  figure.position = clamp(position, 0, resultOf(figure).count);
  figure.set({ step: Math.floor(figure.position) });
  figure.mark("step");
}

// Another state with a share of its strokes done.
function choose(figure, values, share) {
  resultOf(figure);
  [figure.share, figure.stale] = [share, true];
  figure.set(values);
  figure.mark("step");
}

// Which stroke is at work, and how much of it is there.
function moment(figure) {
  const { position, result } = figure;
  const done = Math.min(Math.floor(position), result.count);
  const part = done === result.count ? 0 : position - done;
  const current = part > 0 ? done : Math.max(0, done - 1);
  const glide = part > 0 ? ease(clamp(part / 0.45)) : 1;
  return { done, part, current, idle: position === 0, glide, ink: ease(clamp((part - 0.4) / 0.6)) };
}

function setPick(figure, row, column, aloud = false) {
  const { output } = resultOf(figure);
  const pick = { row: clamp(row, 0, output.height - 1), column: clamp(column, 0, output.width - 1) };
  if (same(pick, figure.pick)) return;
  Object.assign(figure, { pick, aloud });
  figure.mark("pick");
}

const pickTerms = ({ pick, result }) => termsAt(result.strokes, pick.row + result.cut, pick.column + result.cut);
// Unpooling: the maximum of a square is moved to the picked cell.
function movePlace(figure) {
  if (figure.state.method !== "unpool") return;
  const { state: { stride }, pick: { row, column }, result: { x } } = figure;
  const places = placesFor(figure.state, x.height, x.width);
  places[Math.floor(row / stride) * x.width + Math.floor(column / stride)] = (row % stride) * stride + (column % stride);
  figure.set({ places: rowsOf({ ...x, data: places }) });
}

// ---- Settings: what is typed may be illegal for a while; the figure follows as soon as it is legal -------------------

const FIELDS = {
  kernel: ["Kernel", "The kernel"], stride: ["Stride", "The stride"], padding: ["Padding", "Padding"],
  output_padding: ["Output padding", "Output padding"], rows: ["Rows of the input", "The number of rows"],
  columns: ["Columns", "The number of columns"],
};
const OWN = ["kernel", "padding", "output_padding"]; // of up-convolution alone

function draftOf({ stride, padding, output_padding, input, filter }) {
  return { stride, padding, output_padding, rows: input.length, columns: input[0].length, kernel: filter.length };
}

export function draftProblem(draft, transposed = true) {
  for (const [name, [low, high]] of Object.entries(LIMITS)) {
    const value = draft[name];
    if (!transposed && OWN.includes(name)) continue;
    if (Number.isInteger(value) && value >= low && value <= high) continue;
    if (name === "output_padding" && Number.isInteger(value) && value > high) break; // the stride says it better
    return { text: `${FIELDS[name][1]} must be a whole number from ${low} to ${high}.`, at: name, cure: null };
  }
  const found = transposed && optionProblem({ ...draft, height: draft.rows, width: draft.columns });
  return found ? { ...found, at: Object.keys(found.cure)[0] } : null;
}

// The other size of a grid: the same example, or the same numbers with a border cut off or put on.
function resizedRows(rows, height, width, presets) {
  const preset = Object.values(presets).find(([, make]) => same(make(rows.length, rows[0].length), rows));
  const made = preset?.[1](height, width);
  return made?.length === height && made[0].length === width ? made : table(height, width, (i, j) => rows[i]?.[j] ?? 0);
}

function applyDraft(figure, { stride, padding, output_padding, kernel, rows, columns }) {
  const { input, filter, method, ...state } = figure.state;
  const sized = rows !== input.length || columns !== input[0].length ? resizedRows(input, rows, columns, INPUTS) : input;
  const values = { stride, input: sized };
  if (method === "transposed") {
    const other = kernel === filter.length ? filter : resizedRows(filter, kernel, kernel, FILTERS);
    Object.assign(values, { padding, output_padding, filter: other });
  } else if (optionProblem(sizesOf({ ...state, filter, ...values }))) {
    Object.assign(values, { padding: 0, output_padding: 0 }); // they do not show here, and must not forbid anything
  }
  figure.set(values);
}

function buildSettings(figure) {
  const problem = element("p", { class: "segcore-problem", role: "status" });
  const cure = button("", () => {}, { class: "segcore-button cure", hidden: true });
  const sizes = element("p", { class: "sizes" });
  const isTransposed = () => figure.state.method === "transposed";
  let draft = draftOf(figure.state);
  const fields = Object.entries(FIELDS).map(([name, [label]]) => {
    const [min, max] = LIMITS[name];
    const field = numberField(label, { min, max }, (value) => settle({ ...draft, [name]: value }));
    field.input.addEventListener("blur", () => show());
    return { ...field, name };
  });

  function settle(next) {
    const found = draftProblem(next, isTransposed());
    if (!found) applyDraft(figure, next);
    draft = found ? next : draftOf(figure.state);
    show();
    return found?.text ?? "";
  }
  function show() {
    const found = draftProblem(draft, isTransposed());
    setText(problem, found ? `${found.text} The figure still shows the last legal choice.` : "");
    cure.hidden = !found?.cure;
    for (const { name, input, set } of fields) {
      const mark = () => put(input, { "aria-invalid": found?.at === name });
      mark(); // a field that is wrong keeps what was typed
      set(draft[name]);
      mark();
    }
    if (!found?.cure) return;
    const [name, value] = Object.entries(found.cure)[0];
    setText(cure, `Set ${FIELDS[name][1].toLowerCase()} to ${value}`);
    cure.onclick = () => settle({ ...draft, ...found.cure });
  }
  function draw() {
    for (const { name, node } of fields) node.hidden = !isTransposed() && OWN.includes(name);
    show();
    setText(sizes, sizeLine(figure));
  }
  const forget = () => (draft = draftOf(figure.state));
  const node = element("div", { class: "segcore-bar settings" }, ...fields.map((field) => field.node));
  return { nodes: [node, element("div", { class: "segcore-bar" }, problem, cure), sizes], draw, forget };
}

function sizeLine({ state, result }) {
  const { x, output, transposed } = result;
  const one = (size, out) => (transposed
    ? `(${size} \u2212 1) \u00b7 ${state.stride} \u2212 2 \u00b7 ${state.padding} + ${state.filter.length} + ${state.output_padding} = ${out}`
    : `${size} \u00b7 ${state.stride} = ${out}`);
  return x.height === x.width
    ? `Output: ${one(x.height, output.height)} rows and columns`
    : `Output: ${one(x.height, output.height)} rows, ${one(x.width, output.width)} columns`;
}

// ---- Grids of numbers ------------------------------------------------------------------------------------------------

// Make a canvas ready for so many rows and columns.
const ready = (canvas, { height, width }, unit) => clearCanvas(canvas, Math.round(width * unit), Math.round(height * unit));

const HELP = "Arrow keys walk from cell to cell. Type to change a value; fractions such as 1/4 may be typed. "
  + "Page Up and Page Down add or take off one.";

// A grid of fields for numbers, a single stop of the Tab key. Its cells lie where `draw` is told to put them, and `over`
// them a canvas, where there is one.
function buildEditor(figure, name, title, presets, over = "") {
  const help = element("p", { class: "segcore-hidden", id: uniqueId("upsampling-help"), text: HELP });
  const cells = element("div", { class: "cells", role: "group", "aria-label": `${title}, cell by cell`, "aria-describedby": help.id });
  const problem = element("p", { class: "segcore-problem", role: "status" });
  const words = heading(title);
  const make = (preset) => preset[1](figure.state[name].length, figure.state[name][0].length);
  const options = [["", ["Edited"]], ...Object.entries(presets)].map(([value, [text]]) => element("option", { value, text }));
  const onchange = () => picker.value && figure.set({ [name]: make(presets[picker.value]) });
  const picker = element("select", { "aria-label": `${title}: examples`, onchange }, ...options);
  const node = element("section", { class: `panel ${name}` }, element("div", { class: "head" }, words, picker), cells, help, problem);
  let inputs = [];
  const across = () => figure.state[name][0].length;
  const now = (n) => figure.state[name].flat()[n];
  walkCells(cells, () => rowsOf({ data: inputs, height: inputs.length / across(), width: across() }), {
    enter: (r, c) => inputs[r * across() + c].select(),
  });

  function edit(n, value) {
    const fine = Number.isFinite(value) && Math.abs(value) <= LARGEST;
    put(inputs[n], { "aria-invalid": !fine });
    setText(problem, fine ? "" : `A cell takes a number from \u2212${LARGEST} to ${LARGEST}, such as 2, \u22120.5 or 1/4.`);
    if (fine) figure.set({ [name]: figure.state[name].map((row, i) => row.map((old, j) => (i * across() + j === n ? value : old))) });
  }
  const field = (n) => element("input", {
    type: "text", autocomplete: "off", spellcheck: "false", tabindex: n ? -1 : 0,
    "aria-label": `${title}, ${placeWords(Math.floor(n / across()), n % across())}`,
    oninput: (event) => edit(n, parseNumber(event.target.value)),
    onkeydown: (event) => {
      const add = { PageUp: 1, PageDown: -1 }[event.key];
      if (!add) return;
      event.preventDefault();
      edit(n, now(n) + add);
      event.target.value = brief(now(n));
    },
    onblur: (event) => {
      event.target.value = brief(now(n) ?? 0);
      put(event.target, { "aria-invalid": false });
      setText(problem, "");
    },
    onpointerenter: () => pointAt(figure, name, n),
    onpointerleave: () => pointAt(figure, null),
  });
  function draw(look, { unit, height, width, at, text = title }) {
    const grid = gridOf(figure.state[name]);
    const size = `${grid.height}x${grid.width}`;
    if (cells.dataset.size !== size) {
      cells.dataset.size = size;
      inputs = Array.from(grid.data, (_, n) => field(n));
      cells.replaceChildren(...inputs, over);
    }
    setText(words, text);
    cells.classList.toggle("roomy", unit >= ROOMY);
    cells.style.cssText = `width: ${width * unit}px; height: ${height * unit}px; --unit: ${unit}px`;
    const most = largestOf(grid);
    inputs.forEach((input, n) => {
      const [row, column] = at(Math.floor(n / grid.width), n % grid.width);
      const { fill, ink } = look.colours.at(grid.data[n], most);
      input.style.cssText = `left: ${column * unit}px; top: ${row * unit}px; background: ${fill}; color: ${ink}`;
      input.hidden = row < 0 || column < 0 || row >= height || column >= width || unit < SMALLEST;
      const typed = input.getAttribute("aria-invalid") === "true" || parseNumber(input.value) === grid.data[n];
      if (document.activeElement !== input || !typed) input.value = brief(grid.data[n]);
    });
    const found = Object.keys(presets).find((key) => same(make(presets[key]), figure.state[name])) ?? "";
    picker.value = found;
    picker.options[0].hidden = picker.options[0].disabled = Boolean(found);
  }
  const light = (lit, kind) => inputs.forEach((input, n) => input.classList.toggle(kind, lit.has(n)));
  return { node, draw, light, cells };
}

function pointAt(figure, name, n = 0) {
  figure.pointed = { name, n };
  figure.mark("pick");
}

// ---- The pictures of the first form ------------------------------------------------------------------------------------

// How large a cell is in each of the three pictures, and how wide their columns are: in a row, or input and filter above
// the output. A head needs 168 px.
function layout({ result, root }) {
  const { zeros, x, filter, strokes } = result;
  const [source, shown] = zeros ? [result.ground, result.output] : [x, result.canvas];
  const kernel = result.transposed ? filter.width : Math.max(...strokes.flatMap((stroke) => [stroke.width, stroke.height]));
  const room = root.clientWidth;
  const fit = (...shares) => Math.max(4, Math.floor(2 * Math.min(...shares)) / 2);
  const sizes = { source, shown, kernel, shape: zeros ? "zeros" : "wide" };
  if (room >= 600) {
    sizes.filter = fit(42, 150 / kernel);
    const second = Math.max(168, kernel * sizes.filter);
    const rest = room - 48 - second;
    sizes.input = zeros ? fit(40, rest / (source.width + shown.width), 310 / source.height) : fit(42, 216 / source.width, 300 / source.height);
    const first = Math.max(168, sizes.input * source.width);
    return { ...sizes, first, second, output: zeros ? sizes.input : fit(44, (rest - first) / shown.width, 310 / shown.height) };
  }
  const tall = Math.min(zeros ? 184 : 200, Math.max(114, Math.min(132, 33 * source.height), 22 * source.height));
  sizes.input = fit(38, tall / source.height, room / source.width);
  const rest = room - 16 - sizes.input * source.width;
  sizes.shape = rest >= Math.max(84, 26 * kernel) ? "beside" : "stacked";
  sizes.filter = fit(38, (sizes.shape === "beside" ? rest : room) / kernel);
  const first = Math.max(sizes.input * source.width, Math.min((room - 16) / 2, room - 16 - sizes.filter * kernel));
  return { ...sizes, first, second: rest, output: fit(38, room / shown.width, (346 - tall) / shown.height) };
}

// Over the fields of the input: the zeros between them, and the window of the turned filter.
function drawWindow(figure, look, canvas, { unit, width, height }) {
  const { result, state } = figure;
  const pen = ready(canvas, { height, width }, unit);
  if (!result.zeros) return;
  const real = (n) => (n >= 0 && n % state.stride === 0 ? n / state.stride : Infinity);
  const largest = largestOf(result.x);
  for (let n = 0; n < width * height; n++) {
    const [row, column] = [Math.floor(n / width), n % width];
    const filled = real(row - result.border) < result.x.height && real(column - result.border) < result.x.width;
    if (filled && unit >= SMALLEST) continue; // a field lies there
    pen.fillStyle = filled ? look.colours.fill(result.ground.data[n], largest) : look.panel;
    pen.fillRect(column * unit + 0.5, row * unit + 0.5, unit - 1, unit - 1);
    if (!filled && unit > 12) drawNumber(pen, "0", column * unit, row * unit - (unit < ROOMY ? 0 : 5), unit, look.muted, look.font);
  }
  const { current, glide, part } = moment(figure);
  const spot = (n) => [n % result.output.width, Math.floor(n / result.output.width)];
  const [x1, y1] = spot(current);
  const [x0, y0] = part > 0 && current > 0 ? spot(current - 1) : [x1, y1];
  const side = result.filter.height;
  const [left, top] = [between(x0, x1, glide), between(y0, y1, glide)];
  pen.fillStyle = look["accent-soft"];
  pen.fillRect(left * unit, top * unit, side * unit, side * unit);
  frameCells(pen, { left, top, width: side, height: side }, unit, look.text);
  const asked = { left: figure.pick.column, top: figure.pick.row, width: side, height: side };
  frameCells(pen, asked, unit, look.second, { thickness: 2, dash: [4, 3] });
  if (unit < ROOMY) return;
  [pen.textAlign, pen.textBaseline, pen.font, pen.lineWidth] = ["right", "bottom", `600 11px ${look.font}`, 2.5];
  [pen.strokeStyle, pen.fillStyle] = [look.page, look.text];
  flip(result.filter).data.forEach((weight, n) => {
    const at = [`\u00d7${brief(weight, 2)}`, (left + (n % side) + 1) * unit - 4, (top + Math.floor(n / side) + 1) * unit - 3];
    pen.strokeText(...at);
    pen.fillText(...at);
  });
}

// A grid as a picture, with words above and below.
function buildPicture(className, title = "") {
  const [words, canvas, line] = [heading(title), element("canvas", { role: "img" }), element("p", { class: "caption" })];
  const node = element("section", { class: className }, words, canvas, line);
  function draw(look, grid, unit, { text = title, caption = "", largest = largestOf(grid) } = {}) {
    setText(words, text);
    setText(line, caption);
    put(canvas, { "aria-label": caption ? `${text}: ${caption}` : text });
    const pen = ready(canvas, grid, unit);
    drawCells(pen, grid, unit, { ...look, largest });
    return pen;
  }
  return { node, draw };
}

function drawStamp(figure, look, { stamp, stroke }, sizes) {
  const { result, state } = figure;
  stamp.node.hidden = result.transposed;
  stroke.node.hidden = sizes.shape !== "wide";
  if (result.zeros) return;
  const { current, idle } = moment(figure);
  const here = result.strokes[current];
  const value = result.x.data[current];
  const way = WAYS[wayOf(state)];
  const whole = { left: 0, top: 0, width: here.width, height: here.height };
  const shown = { ...whole, data: here.weights };
  if (!result.transposed) {
    const pen = stamp.draw(look, shown, sizes.filter, { text: way.stamp });
    if (!idle) frameCells(pen, whole, sizes.filter, look.text);
  }
  if (stroke.node.hidden) return;
  const words = `${brief(value)} \u00d7 ${way.stamp ? "this" : "the filter"}`;
  const unit = Math.min(38, sizes.filter, 130 / sizes.kernel);
  const products = { ...shown, data: Float64Array.from(here.weights, (weight) => weight * value) };
  stroke.draw(look, products, unit, { text: idle ? `First: ${words}` : words, largest: result.largest });
}

// The output. With padding the painted canvas is larger, and what is cut off is hatched.
function buildOutput(figure) {
  const words = heading("");
  const canvas = element("canvas",
    { class: "output-canvas", tabindex: 0, role: "application", "aria-roledescription": "grid of output values" });
  const node = element("section", { class: "panel result" }, words, canvas);
  let [unit, origin] = [1, 0];
  function pickAt(event) {
    const [column, row] = pointIn(canvas, event, unit).map((n) => Math.floor(n) - origin);
    const { output } = resultOf(figure);
    if (row < 0 || column < 0 || row >= output.height || column >= output.width) return false;
    setPick(figure, row, column);
    return true;
  }
  canvas.addEventListener("pointermove", pickAt);
  canvas.addEventListener("pointerdown", pickAt);
  canvas.addEventListener("click", (event) => pickAt(event) && movePlace(figure));
  onArrows(canvas, ([right, down]) => setPick(figure, figure.pick.row + down, figure.pick.column + right, true));
  onPress(canvas, () => movePlace(figure));
  function draw(look, sizes) {
    const { output, zeros, cut } = figure.result;
    [unit, origin] = [sizes.output, zeros ? 0 : cut];
    setText(words, `Output, ${output.height} \u00d7 ${output.width}`);
    const pen = ready(canvas, sizes.shown, unit);
    (zeros ? drawArrived : drawPainted)(figure, look, pen, unit);
    drawPick(figure, look, pen, unit, origin);
    drawPointed(figure, look, pen, unit, origin);
    put(canvas, { "aria-label": `Output, ${output.height} rows and ${output.width} columns. Arrow keys walk from cell to cell.` });
  }
  return { node, draw };
}

function drawPainted(figure, look, pen, unit) {
  const { done, part, current, idle, glide, ink } = moment(figure);
  const { result: { output, cut, strokes, canvas, ...result } } = figure;
  // Cells that no stroke has reached yet stay without a number, and those that are cut off.
  const reached = done < result.count ? result.reached(done).data : null;
  const outside = (row, column) => row < cut || column < cut || row >= cut + output.height || column >= cut + output.width;
  const blank = Array.from({ length: canvas.height * canvas.width }, (_, n) =>
    reached?.[n] === 0 || outside(Math.floor(n / canvas.width), n % canvas.width));
  drawCells(pen, paint(result.x, strokes, canvas, done, ink), unit, { ...look, largest: result.largest, blank });
  const kept = [cut, cut, output.width, output.height].map((n) => n * unit);
  pen.beginPath();
  pen.rect(0, 0, canvas.width * unit, canvas.height * unit);
  pen.rect(...kept);
  for (const fill of [look.veil, look.hatch]) {
    pen.fillStyle = fill;
    pen.fill("evenodd");
  }
  if (cut) outlineRect(pen, ...kept, [look.control, 1.25]);
  if (idle) return;
  const here = strokes[current];
  const before = part > 0 && current > 0 ? strokes[current - 1] : here;
  const at = ["left", "top", "width", "height"].map((name) => [name, between(before[name], here[name], glide)]);
  frameCells(pen, Object.fromEntries(at), unit, look.text);
}

function drawArrived(figure, look, pen, unit) {
  const { done, part, current, idle, ink } = moment(figure);
  const { output, largest } = figure.result;
  const data = output.data.map((value, n) => (n < done ? value : n === done && part > 0 ? value * ink : 0));
  drawCells(pen, { ...output, data }, unit, { ...look, largest, blank: data.map((_, n) => n >= done) });
  if (!idle) frameCells(pen, { top: Math.floor(current / output.width), left: current % output.width }, unit, look.text);
}

// The picked cell, and around it the outlines of all strokes that reach it.
function drawPick(figure, look, pen, unit, origin) {
  const { pick, result } = figure;
  for (const { n } of result.zeros ? [] : pickTerms(figure)) {
    frameCells(pen, result.strokes[n], unit, look.second, { thickness: 1.5, inset: 2 + (n % 3), dash: [4, 3] });
  }
  frameCells(pen, { top: pick.row + origin, left: pick.column + origin }, unit, look.second, { thickness: 3 });
}

// What the pointer is over in the editors: an input cell shows its stroke, a weight shows where it went in each stroke.
function drawPointed({ pointed, result }, look, pen, unit, origin) {
  if (!pointed.name) return;
  const shift = origin - result.cut;
  const side = result.filter.height;
  const marks = pointed.name === "input"
    ? result.strokes.slice(pointed.n, pointed.n + 1)
    : result.strokes.map(({ top, left }) => ({ top: top + Math.floor(pointed.n / side), left: left + (pointed.n % side) }));
  for (const mark of marks) frameCells(pen, { ...mark, left: mark.left + shift, top: mark.top + shift }, unit, look.accent, { thickness: 3 });
}

// One number of the output, written out.
function drawSum(figure, node) {
  const { pick, result } = figure;
  const [terms, { done }] = [pickTerms(figure), moment(figure)];
  const place = pick.row * result.output.width + pick.column;
  const arrived = (n) => (result.zeros ? place : n) < done;
  const parts = terms.flatMap(({ n, weight }, i) => [i ? " + " : "", element("span", {
    class: arrived(n) ? "term" : "term waiting", text: `${brief(result.x.data[n])} \u00b7 ${brief(weight)}`,
  })]);
  const count = terms.filter(({ n }) => arrived(n)).length;
  const missing = result.zeros ? " (not reached yet)" : ` (${count} of ${plural(terms.length, "stroke")} painted so far)`;
  const rest = !terms.length ? ": no stroke reaches it" : count < terms.length ? missing : "";
  node.replaceChildren(element("strong", { text: placeWords(pick.row, pick.column).replace("r", "R") }), " = ", ...parts,
    terms.length ? " = " : "",
    element("strong", { text: brief(result.output.data[place]) }), element("span", { class: "rest", text: rest }));
  node.dataset.value = String(result.output.data[place]);
  if (figure.aloud) figure.say(node.textContent);
  figure.aloud = false;
}

// Input cells and filter weights that take part: in the stroke at work, and in the picked sum.
function light(figure) {
  const { parts: { editors }, result, state } = figure;
  const { current, idle } = moment(figure);
  const working = !result.zeros && !idle;
  const terms = pickTerms(figure);
  editors.input.light(new Set(working ? [current] : []), "working");
  editors.input.light(new Set(terms.map(({ n }) => n)), "taking-part");
  editors.filter.light(new Set(result.transposed ? terms.map(({ a, b }) => a * state.filter.length + b) : []), "taking-part");
  editors.filter.cells.classList.toggle("working", !idle);
}

// ---- The folds ---------------------------------------------------------------------------------------------------------

function rangeOf({ data }) {
  const [low, high] = [Math.min(...data), Math.max(...data)].map((value) => tidy(value, 2));
  return low === high ? `${low} everywhere` : `from ${low} to ${high}`;
}

const inFold = (node, { height, width }) => Math.min(30, node.clientWidth / width, 210 / height); // pixels a cell

// How many strokes reach each cell, and what becomes of a flat input.
function buildEvenness() {
  const [counts, flat] = ["Strokes per output cell", "A flat input of ones comes out as"].map((title) => buildPicture("map", title));
  const verdict = element("p", { class: "verdict" });
  function draw(figure, look) {
    const { result } = figure;
    for (const [part, grid] of [[counts, result.counts], [flat, result.flat]]) {
      part.draw(look, grid, inFold(part.node, grid), { caption: rangeOf(grid) });
    }
    setText(verdict, verdictOf(figure));
    verdict.dataset.kind = result.transposed && !phases(figure).even ? "uneven" : "even";
  }
  return { nodes: [element("div", { class: "maps" }, counts.node, flat.node), verdict], draw };
}

// The same input by all four methods.
function buildMethods() {
  const maps = { transposed: "Up-convolution", nearest: "Nearest", bilinear: "Bilinear", unpool: "Max unpooling" };
  for (const method of METHODS) maps[method] = buildPicture("map", maps[method]);
  function draw({ state }, look) {
    for (const method of METHODS) {
      const { output } = compute({ ...state, method });
      const caption = `${output.height} \u00d7 ${output.width}, ${rangeOf(output)}`;
      maps[method].draw(look, output, inFold(maps[method].node, output), { caption });
    }
  }
  return { nodes: [element("div", { class: "maps" }, ...METHODS.map((method) => maps[method].node))], draw };
}

function phases({ state, result }) {
  const sums = phaseSums(result.filter, state.stride).data;
  const [low, high] = [Math.min(...sums), Math.max(...sums)];
  return { low, high, even: high - low < 1e-6 * Math.max(1, Math.abs(high)) };
}

function verdictOf(figure) {
  const { state, result } = figure;
  if (state.method === "unpool") return "A flat input comes out sparse: a convolution has to follow that spreads the values.";
  if (!result.transposed) return "A flat input stays flat: no checkerboard can arise. A convolution of stride 1 after it keeps that so.";
  const { low, high, even } = phases(figure);
  const [kernel, stride] = [state.filter.length, state.stride];
  const agree = ` Painting and zero insertion differ by ${result.views < 1e-9 ? "0" : result.views.toExponential(1)}.`;
  if (stride === 1) return `With stride 1 every inner cell gets the same weights: no pattern can arise.${agree}`;
  const [fewest, most] = [Math.floor(kernel / stride) ** 2, Math.ceil(kernel / stride) ** 2];
  const counts = kernel < stride ? `is smaller than stride ${stride}: some cells are never reached`
    : fewest === most ? `is divisible by stride ${stride}: every inner cell gets ${plural(most, "stroke")}`
      : `is not divisible by stride ${stride}: inner cells get ${fewest} to ${most} strokes`;
  const sums = even ? `${tidy(low, 2)} in every inner cell: no checkerboard`
    : `${tidy(low, 2)} in some inner cells and ${tidy(high, 2)} in others: a checkerboard`;
  return `Kernel ${kernel} ${counts}. These weights add up to ${sums}.${agree}`;
}

// ---- The figure --------------------------------------------------------------------------------------------------------

function buildParts(figure) {
  const window = element("canvas", { "aria-hidden": "true" });
  const tried = TRIALS.map((trial) => ({ ...trial, before: () => choose(figure, {}, trial.at ?? 1) }));
  return {
    title: element("h3", { class: "segcore-heading title" }),
    trials: trials(figure, tried, (state) => WAYS[wayOf(state)].note(state.stride)),
    way: choice("Reach the output by", WAYS.map(({ label }, n) => [n, label]), wayOf(figure.state), (n) => {
      const turned = figure.state.method === WAYS[n].values.method; // painting and zeros: as far as before
      choose(figure, WAYS[n].values, turned ? figure.position / figure.result.count : 1);
    }),
    window,
    editors: { input: buildEditor(figure, "input", "Input", INPUTS, window), filter: buildEditor(figure, "filter", "Filter", FILTERS) },
    stamp: buildPicture("panel filter"),
    stroke: buildPicture("panel stroke"),
    output: buildOutput(figure),
    work: element("div", { class: "work" }),
    sum: element("p", { class: "sum" }),
    player: player(figure, {
      label: "Strokes painted", reverse: true, get: () => figure.position, seek: (n) => seek(figure, n), count: () => resultOf(figure).count,
      rate: () => Math.max(1.1, figure.result.count / SECONDS), page: () => figure.result.x.width,
      words: (n) => `${Math.floor(n)} of ${plural(figure.result.count, figure.result.zeros ? "cell" : "stroke")}`,
    }),
    key: key(["ring text", "at work now"], ["ring second dashed-ring", "pointed at, and what reaches it"], ["scale", "zero to the largest"],
      ["scale below", "below zero"], ["hatch", "cut off"]),
    settings: buildSettings(figure),
    evenness: buildEvenness(),
    methods: buildMethods(),
  };
}

function build(figure) {
  Object.assign(figure, { position: 0, wanted: figure.state.step, share: null, stale: true });
  Object.assign(figure, { pick: { row: 2, column: 2 }, pointed: { name: null, n: 0 } });
  resultOf(figure);
  const parts = buildParts(figure);
  parts.work.append(parts.editors.input.node, parts.editors.filter.node, parts.stamp.node, parts.stroke.node, parts.output.node);
  figure.first(parts.title, parts.trials.node, parts.way.node, parts.work, parts.player.node, parts.sum, parts.key);
  parts.folds = [
    [figure.more("Settings: kernel, stride, padding, and the input\u2019s size", parts.settings.nodes), parts.settings],
    [figure.more("Is it even? Strokes per cell, and what a flat input becomes", parts.evenness.nodes), parts.evenness],
    [figure.more("The same input by all four methods", parts.methods.nodes), parts.methods],
  ];
  return parts;
}

function drawKey({ parts, result }) {
  const below = [result.x, result.filter, result.output].some(({ data }) => data.some((value) => value < 0));
  [true, true, true, below, !result.zeros && result.cut > 0].forEach((on, n) => (parts.key.children[n].hidden = !on));
}

function draw(figure, changed, now) {
  figure.parts.player.advance(now);
  const result = resultOf(figure);
  const { parts, look, state } = figure;
  const sizes = layout(figure);
  const { input, filter } = parts.editors;
  const place = {
    unit: sizes.input, height: sizes.source.height, width: sizes.source.width,
    at: (row, column) => (result.zeros ? [row, column].map((n) => result.border + n * state.stride) : [row, column]),
    text: result.zeros && state.stride > 1 ? `Input, ${plural(state.stride - 1, "zero")} between` : "Input",
  };
  if (changed(...SHAPE)) {
    const way = wayOf(state);
    setText(parts.title, WAYS[way].title);
    parts.way.set(way);
    parts.work.dataset.shape = sizes.shape;
    parts.work.style.cssText = `--first: ${sizes.first}px; --second: ${sizes.second}px; --stamp: ${sizes.kernel * sizes.filter}px`;
    filter.node.hidden = !result.transposed;
    input.draw(look, place);
    filter.draw(look, { ...result.filter, unit: sizes.filter, at: (...spot) => spot });
    drawKey(figure);
    for (const [node, part] of parts.folds) if (node.open) part.draw(figure, look);
  }
  drawWindow(figure, look, parts.window, place);
  drawStamp(figure, look, parts, sizes);
  parts.output.draw(look, sizes);
  drawSum(figure, parts.sum);
  parts.player.draw();
  light(figure);
}

const rowsOfOne = (check, most) => (rows) => {
  const line = (row) => Array.isArray(row) && row.length > 0 && row.length <= most && row.length === rows[0].length;
  const shaped = Array.isArray(rows) && rows.length > 0 && rows.length <= most && rows.every(line);
  return shaped ? listOf(listOf(check))(rows) : `rows of one length, at most ${most} each way`;
};
const [inputCheck, filterCheck] = [LIMITS.rows, LIMITS.kernel].map(([, most]) => rowsOfOne(number(-LARGEST, LARGEST), most));

export default widget({
  slug: "upsampling", build, draw, settled,
  traits: {
    input: inputCheck,
    filter: (rows) => filterCheck(rows) || (rows.length === rows[0].length ? "" : "a square"),
    stride: whole(...LIMITS.stride), padding: whole(...LIMITS.padding), output_padding: whole(...LIMITS.output_padding),
    method: oneOf(...METHODS), mode: oneOf("paint", "zeros"), step: whole(0, 9999), places: rowsOfOne(whole(0, 15), LIMITS.rows[1]),
  },
  check: (state) => optionProblem(sizesOf(state))?.text ?? "",
  colours: ["page", "panel", "text", "muted", "control", "accent", "second", "accent-soft", "low"],
  look: (colours) => {
    const pen = document.createElement("canvas").getContext("2d");
    return { ...colours, colours: palette(colours), veil: `${colours.page}a8`, hatch: hatchPattern(pen, `${colours.control}70`, 1, 6, 1) };
  },
});
