import { button, heading, key, matrixEditor, numberField, traitChoice, trials } from "./kit/controls.js";
import { element, put, setText, shape } from "./kit/elements.js";
import { listOf, number, oneOf, widget } from "./kit/figure.js";
import { conv2d, gridOf, maxPool, pad } from "./kit/maps.js";
import { between, clamp, ease, fixed, grouped, placeWords, plural, same, tidy } from "./kit/numbers.js";
import { clearCanvas, outlineRect } from "./kit/pictures.js";
import { player } from "./kit/player.js";
import { arrowOf, pointIn } from "./kit/pointer.js";

// From stride to dilation on a 5 x 5 image, and which pixels a stack of dilated layers touches.
// Arithmetic first, as pure functions; what is drawn comes below.
//
// A map is { data, height, width }, values in rows; a kernel is a map. Convolution is PyTorch's: the kernel is not flipped,
// and nothing is padded unless `pad` did it. A map too small for its kernel gives a map without cells.

export { conv2d, maxPool, pad };

// Move the map up by `dy` and left by `dx` cells: its first rows and columns leave.
export function shift(map, dy, dx) {
  const [height, width] = [map.height - dy, map.width - dx];
  const data = [];
  for (let y = dy; y < map.height; y++) data.push(...map.data.slice(y * map.width + dx, (y + 1) * map.width));
  return { data, height, width };
}

// Interleave the answers of stride * stride shifted copies, row of shifts by row of shifts.
export function stitch(copies, stride) {
  const height = Array.from({ length: stride }, (_, n) => copies[n * stride].height).reduce((a, b) => a + b);
  const width = copies.slice(0, stride).reduce((sum, copy) => sum + copy.width, 0);
  const data = new Array(height * width);
  copies.forEach((copy, n) => {
    const [dy, dx] = [Math.floor(n / stride), n % stride];
    copy.data.forEach((value, k) => {
      const [y, x] = [Math.floor(k / copy.width), k % copy.width];
      data[(y * stride + dy) * width + x * stride + dx] = value;
    });
  });
  return { data, height, width };
}

// The two-layer network A, B: A with a stride (or dense), B with a dilation. `first` says what A does: "filter" or "max".
export function run(image, { first, a, b }, stride, dilation) {
  const below = first === "max" ? maxPool(image, 3, stride) : conv2d(image, a, stride);
  return { below, output: conv2d(below, b, 1, dilation) };
}

// Four strided runs and their stitched answers beside one dilated run.
export function compare(image, network, stride = 2) {
  const copies = Array.from({ length: stride * stride }, (_, n) =>
    run(shift(image, Math.floor(n / stride), n % stride), network, stride, 1));
  const stitched = stitch(copies.map((copy) => copy.output), stride);
  const dilated = run(image, network, 1, stride);
  const difference = Math.max(0, ...stitched.data.map((value, n) => Math.abs(value - dilated.output.data[n])));
  return { copies, stitched, dilated, difference };
}

// The receptive field after each layer of a stack of dilated kernels.
export function fields(dilations, kernel = 3) {
  let field = 1;
  return dilations.map((dilation) => (field += dilation * (kernel - 1)));
}

// Along one axis: in how many ways a unit reaches each pixel of its field.
export function coverage(dilations, kernel = 3) {
  let counts = [1];
  for (const dilation of dilations) {
    const wider = new Array(counts.length + dilation * (kernel - 1)).fill(0);
    for (let tap = 0; tap < kernel; tap++) counts.forEach((count, n) => (wider[n + tap * dilation] += count));
    counts = wider;
  }
  return counts;
}

// In both axes the ways multiply.
export function coverage2d(dilations, kernel = 3) {
  const line = coverage(dilations, kernel);
  return { data: line.flatMap((a) => line.map((b) => a * b)), height: line.length, width: line.length };
}

// ---- The figure --------------------------------------------------------------------------------------------------

const SIZE = 5; // pixels of the image along a side
const RIM = 3; // zeros around it
const WIDE = SIZE + 2 * RIM;
const DENSE = WIDE - 2; // A's map when A looks everywhere
const COARSE = 5; // A's map in the first copy
const FIELD = 7;
const SHIFTS = [[0, 0], [0, 1], [1, 0], [1, 1]];
const LAST = 5;
const SECONDS = 1.2; // for a step when playing
const REST = 0.7; // and at it
const CELL = 10; // units of drawing per cell; groups are scaled
const LIMITS = { grid: 99, filter: 9, dilation: 16, layers: 7, sum: 64 };

const CENTRE = [[0, 0, 0], [0, 1, 0], [0, 0, 0]];
const ONES = [[1, 1, 1], [1, 1, 1], [1, 1, 1]];
const NUMBERED = Array.from({ length: SIZE }, (_, r) => Array.from({ length: SIZE }, (_, c) => 5 * c + r + 1));
const DOT = NUMBERED.map((row) => row.map((value) => (value === 13 ? 1 : 0)));
const EXAMPLES = [
  ["The lecture\u2019s grid", { grid: NUMBERED, filter_a: CENTRE, filter_b: ONES, first: "filter" }],
  ["Edges", { grid: NUMBERED, filter_a: [[0, 1, 0], [1, -4, 1], [0, 1, 0]], filter_b: [[0, 1, 0], [0, 1, -1], [0, -1, 0]], first: "filter" }],
  ["One bright pixel", { grid: DOT, filter_a: [[0, 1, 0], [1, 2, 1], [0, 1, 0]], filter_b: [[1, 2, 3], [4, 5, 6], [7, 8, 9]], first: "filter" }],
  ["Max pooling", { grid: NUMBERED, filter_a: CENTRE, filter_b: [[0, 1, 0], [1, -4, 1], [0, 1, 0]], first: "max" }],
];
const STEPS = [
  ["Strided", "Layer A looks at every second place (tinted), layer B at A\u2019s map. Nine of the 25 pixels get an answer."],
  ["Shift \u2192", "The same network once more, with the image moved by one column. A now looks at the columns in between: six new answers."],
  ["Shift \u2193", "Moved by one row instead: six more."],
  ["Shift \u2198", "Moved by both: the last four. The network has run four times."],
  ["Stitched", "Every answer goes to its pixel. Four coarse maps, interleaved, are one dense map."],
  ["Dilated", "One run instead of four. A looks everywhere; B, its weights pulled apart, takes every second cell of A\u2019s map."],
];
const STACKS = [[2, 2, 2], [1, 2, 3], [1, 2, 4], [1, 1, 1], [1, 1, 2, 4, 8, 16]];

const inImage = (row, column) => [row, column].every((n) => n >= RIM && n < RIM + SIZE);
const copyOf = (row, column) => 2 * (row % 2) + (column % 2);

// Few characters, so that any number fits into a cell.
function short(value) {
  if (Math.abs(value) >= 9999.5) return `${fixed(value / 1000, 0)}k`;
  if (Math.abs(value - Math.round(value)) < 1e-9 || Math.abs(value) >= 999.5) return fixed(value, 0);
  return tidy(value, Math.abs(value) < 9.95 ? 2 : 1);
}

// Cells in rows, each a square with a number; `cellOf(row, column)` says what else a cell is.
function lattice(side, attributes, cellOf, row = {}) {
  const cells = [];
  const rows = Array.from({ length: side }, (_, r) => shape("g", row, ...Array.from({ length: side }, (__, c) => {
    const label = shape("text", { x: CELL / 2, y: CELL / 2 });
    const node = shape("g", { transform: `translate(${CELL * c} ${CELL * r})`, ...cellOf(r, c) },
      shape("rect", { width: CELL, height: CELL }), label);
    cells.push({ node, label });
    return node;
  })));
  return { node: shape("g", attributes, ...rows), cells, side };
}

function fill(grid, values, format = short) {
  grid.cells.forEach(({ label }, n) => {
    const text = values[n] === undefined ? "" : format(values[n]);
    setText(label, text);
    label.setAttribute("class", text.length > 4 ? "tight" : text.length > 3 ? "long" : "");
  });
}

// ---- What goes in: the image and the two filters

function buildInputs(figure) {
  const editor = (trait, title, size, limit) =>
    matrixEditor(title, { rows: size, columns: size, min: -limit, max: limit }, (rows) => figure.set({ [trait]: rows }));
  const editors = { grid: editor("grid", "Image", SIZE, LIMITS.grid), filter_a: editor("filter_a", "Filter A", 3, LIMITS.filter),
    filter_b: editor("filter_b", "Filter B", 3, LIMITS.filter) };
  const first = traitChoice(figure, "first", "A takes", [["filter", "a filtered sum"], ["max", "the maximum"]]);
  const examples = EXAMPLES.map(([text, values]) => button(text, () => figure.set(structuredClone(values))));
  const nodes = [element("div", { class: "segcore-bar examples" }, ...examples),
    element("div", { class: "editors" }, editors.grid.node,
      element("div", { class: "pair" }, editors.filter_a.node, editors.filter_b.node), first.node)];
  function update() {
    for (const [trait, each] of Object.entries(editors)) each.set(figure.state[trait]);
    editors.filter_a.inputs.forEach((input) => (input.disabled = figure.state.first === "max"));
    EXAMPLES.forEach(([, values], n) => {
      const chosen = Object.entries(values).every(([name, value]) => same(figure.state[name], value));
      examples[n].setAttribute("aria-pressed", String(chosen));
    });
  }
  return { nodes, update };
}

// The steps of the story are what there is to try, and a player runs through them.
function buildStory(figure) {
  const steps = STEPS.map(([label, note], n) => ({ label: `${n + 1} ${label}`, values: { step: n }, note, before: () => play.stop() }));
  const tried = trials(figure, steps, ({ step }) => `On the way from step ${Math.floor(step) + 1} to step ${Math.ceil(step) + 1}.`);
  const play = player(figure, {
    label: "Step", count: () => LAST, get: () => figure.state.step, seek: (step) => figure.set({ step }), rate: () => 1 / SECONDS,
    rest: REST, reverse: true,
    words: (step) => `${Math.round(step) + 1} of ${LAST + 1}: ${STEPS[Math.round(step)][0]}`,
  });
  return { nodes: [tried.node, play.node], play };
}

// ---- The two lanes: four shifted copies above, the dilated network below

// What stands where at a moment of the story; `picked` is the copy of a number under the pointer, which then is shown.
export function scene(step, picked = null) {
  const from = Math.min(3, Math.floor(step));
  const to = Math.min(3, Math.ceil(step));
  const t = step < 3 ? step - from : 0;
  const moved = ease(clamp(t / 0.6));
  const copy = moved < 0.5 ? from : to;
  return {
    copy: picked ?? copy,
    shift: picked === null ? [0, 1].map((axis) => between(SHIFTS[from][axis], SHIFTS[to][axis], moved)) : SHIFTS[picked],
    blur: picked === null ? Math.sin(Math.PI * moved) : 0,
    arrived: SHIFTS.map((_, n) => (n <= from ? 1 : n === to ? clamp((t - 0.6) / 0.4) : 0)),
    woven: ease(clamp(step - 3)),
    dilated: clamp(step - 4),
  };
}

// Where an answer stands, in cells: in its copy's block (0) or at its pixel (1). The blocks together are as large as the image.
export function tilePlace(row, column, woven, split = 0.3) {
  return [column, row].map((n) => between((n % 2) * (3 + split) + Math.floor(n / 2), n + split / 2, woven));
}

// Where the parts of a lane stand, in CSS pixels; on a phone the answers lie below A's map.
function layout(width) {
  const [wide, top] = [width >= 500, 24];
  const gap = wide ? (width < 560 ? 40 : 52) : 26;
  const u = wide ? Math.min(17, (width - 2 * gap) / 27.5) : (width - gap - 2) / (WIDE + DENSE);
  const tile = wide ? 1.4 * u : 25;
  const across = WIDE * u + gap;
  const left = Math.min(across + 16, width - 5.35 * tile); // of the answers below, which must not stick out
  const a = [across, top + (wide ? WIDE : DENSE) * (u / 2)];
  const b = wide ? [(WIDE + DENSE) * u + 2 * gap, a[1]] : [left, top + DENSE * u + 40 + 2.65 * tile];
  const middle = [a[0] - gap / 2, a[1]];
  const height = wide ? top + WIDE * u : b[1] + 2.65 * tile;
  return { u, tile, height, width, image: [0, top], a, b, kernelA: middle,
    kernelB: wide ? [b[0] - gap / 2, a[1]] : [b[0] - 34, b[1]], pixel: wide ? 7.5 : 5.5 };
}

// A kernel as a small picture: full squares where its weights are not zero, apart by `spread` cells.
function kernelPicture(name) {
  const squares = Array.from({ length: 9 }, () => shape("rect", { class: "weight" }));
  const holes = Array.from({ length: 25 }, () => shape("rect", { class: "hole" }));
  const label = shape("text", { class: "head middle", text: name });
  const arrow = shape("path", { class: "arrow" });
  const node = shape("g", { "aria-hidden": "true", class: "kernel" }, ...holes, ...squares, label, arrow);
  function place([x, y], pixel, spread, weights) {
    const cell = pixel - 1;
    squares.forEach((square, n) => {
      const [i, j] = [Math.floor(n / 3) - 1, (n % 3) - 1];
      put(square, { x: x + j * pixel * spread - cell / 2, y: y + i * pixel * spread - cell / 2, width: cell, height: cell,
        class: weights[n] ? "weight" : "weight zero" });
    });
    holes.forEach((hole, n) => {
      const [i, j] = [Math.floor(n / 5) - 2, (n % 5) - 2];
      put(hole, { x: x + j * pixel - cell / 2, y: y + i * pixel - cell / 2, width: cell, height: cell, opacity: clamp(2 * spread - 3) });
    });
    const reach = pixel * (spread + 0.5) + 6;
    put(label, { x, y: y - reach - 2 });
    put(arrow, { d: `M${x - 12} ${y + reach + 5}h24m-5 -4l5 4l-5 4` });
  }
  return { node, place };
}

const answerGrid = (label) => lattice(SIZE, { class: "answers", role: "grid", "aria-label": label }, (r, c) =>
  ({ class: `cell tile copy-${copyOf(r, c)}`, role: "gridcell", tabindex: "-1", "data-out": `${r},${c}` }), { role: "row" });

// A lane without its place on screen: image, A's map, answers.
function buildLane(kind, title, columnsOfA, label) {
  const image = lattice(WIDE, { class: "sheet" }, (r, c) => ({ class: inImage(r, c) ? "cell pixel" : "cell rim" }));
  const glow = shape("rect", { class: "glow", visibility: "hidden" });
  const mark = shape("rect", { class: "mark", width: CELL, height: CELL, visibility: "hidden" });
  image.node.append(glow, mark);
  const below = lattice(columnsOfA, { class: "below" }, (r, c) =>
    ({ "data-a": `${r},${c}`, class: kind === "dilated" ? `cell parity-${copyOf(r, c)}` : "cell" }));
  const answers = answerGrid(label);
  const heads = ["Image", kind === "strided" ? "A, stride 2" : "A, stride 1",
    kind === "strided" ? "B\u2019s answers" : "B, dilation 2"].map((text) => shape("text", { class: "head", text }));
  const ground = shape("g", {},
    shape("rect", { class: "ground rim", width: CELL * WIDE, height: CELL * WIDE }),
    shape("rect", { class: "ground", x: CELL * RIM, y: CELL * RIM, width: CELL * SIZE, height: CELL * SIZE }));
  const dots = shape("g", { class: "dots" });
  const window_ = shape("svg", { class: "window" }, ground, dots, image.node);
  const frame = shape("rect", { class: "frame" });
  const kernels = [kernelPicture("A"), kernelPicture("B")];
  const svg = shape("svg", { class: `lane ${kind}`, role: "group", "aria-label": title },
    window_, frame, below.node, answers.node, ...heads, ...kernels.map((kernel) => kernel.node));
  return { kind, svg, image, ground, glow, mark, below, answers, heads, window_, frame, dots, kernels };
}

function measureLane(lane, spot) {
  const { u, tile } = spot;
  put(lane.svg, { width: spot.width, height: spot.height, viewBox: `0 0 ${spot.width} ${spot.height}` });
  put(lane.window_, { x: 0, y: spot.image[1], width: WIDE * u, height: WIDE * u });
  put(lane.frame, { x: 0.5, y: spot.image[1] + 0.5, width: WIDE * u - 1, height: WIDE * u - 1 });
  const room = DENSE * u;
  const side = lane.below.side * u;
  const [ax, ay] = [spot.a[0] + (room - side) / 2, spot.a[1] - side / 2];
  put(lane.below.node, { transform: `translate(${ax} ${ay}) scale(${u / CELL})` });
  const by = spot.b[1] - 2.65 * tile;
  put(lane.answers.node, { transform: `translate(${spot.b[0]} ${by}) scale(${tile / CELL})` });
  [[0, spot.image[1] - 9], [ax, ay - 9], [spot.b[0] + (lane.kind === "dilated" ? 0.15 * tile : 0), by - 9]].forEach(([x, y], n) =>
    put(lane.heads[n], { x, y }));
  lane.dots.replaceChildren();
  const [count, step] = lane.kind === "strided" ? [COARSE, 2] : [DENSE, 1];
  for (let n = 0; n < count * count; n++) {
    const [i, j] = [Math.floor(n / count), n % count];
    lane.dots.append(shape("rect",
      { x: (1 + step * j) * u, y: (1 + step * i) * u, width: u, height: u, "data-i": i, "data-j": j,
        class: step === 2 ? "spot" : `spot parity-${copyOf(i, j)}` }));
  }
}

// The arrow keys walk from answer to answer. The listeners stand on an element of HTML, for a group of SVG that listens
// to focus becomes a tab stop itself.
function walkByKeys(figure, view) {
  const cellOf = (event) => event.target.closest("[data-out]");
  const placeOf = (cell) => cell.dataset.out.split(",").map(Number);
  view.node.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (cell) figure.choose("out", ...placeOf(cell));
  });
  view.node.addEventListener("keydown", (event) => {
    const [by, cell] = [arrowOf(event), cellOf(event)];
    if (!by || !cell) return;
    event.preventDefault();
    const { cells } = (view.upper.svg.contains(cell) ? view.upper : view.lower).answers;
    let [r, c] = placeOf(cell);
    const at = () => (r >= 0 && c >= 0 && r < SIZE && c < SIZE ? cells[r * SIZE + c].node : null);
    do [r, c] = [r + by[1], c + by[0]];
    while (at()?.getAttribute("aria-disabled") === "true"); // an answer that has not come yet
    at()?.focus({ preventScroll: true });
  });
}

function buildStage(figure) {
  const upper = buildLane("strided", "Four strided runs over shifted images", COARSE, "Answers of the strided network, stitched");
  const lower = buildLane("dilated", "One run of the dilated network", DENSE, "Answers of the dilated network");
  const shiftText = element("p", { class: "lane-title" });
  const verdict = element("p", { class: "lane-title" });
  const node = element("div", { class: "stage" },
    element("section", { class: "lane-box strided" }, heading("Shift and stitch: four runs of the strided network"), shiftText, upper.svg),
    element("section", { class: "lane-box dilated" }, heading("Dilate: one run"), verdict, lower.svg));
  const view = { node, upper, lower, shiftText, verdict, spot: null, shown: 0 };
  walkByKeys(figure, view);
  const hover = (event) => {
    const answer = event.target.closest?.("[data-out]");
    const cell = event.target.closest?.("[data-a]");
    if (answer && answer.getAttribute("aria-disabled") !== "true") figure.choose("out", ...answer.dataset.out.split(",").map(Number));
    else if (cell) {
      const [i, j] = cell.dataset.a.split(",").map(Number);
      const [dy, dx] = SHIFTS[view.shown];
      const strided = event.currentTarget === upper.svg;
      if (strided && (i >= COARSE - dy || j >= COARSE - dx)) return;
      figure.choose("a", ...(strided ? [2 * i + dy, 2 * j + dx] : [i, j]));
    } else if (event.type === "click") figure.choose(null);
  };
  for (const lane of [upper, lower]) {
    lane.svg.addEventListener("pointermove", hover);
    lane.svg.addEventListener("click", hover);
    lane.svg.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && !node.contains(document.activeElement)) figure.choose(null);
    });
  }
  return view;
}

// The numbers, where the data or the copy shown have changed.
function writeNumbers(view, result, copy) {
  const pixels = result.image.data;
  for (const lane of [view.upper, view.lower]) {
    fill(lane.image, Array.from(pixels, (value, n) => (inImage(Math.floor(n / WIDE), n % WIDE) ? value : undefined)));
  }
  const { below } = result.copies[copy];
  const there = ({ height, width }, n) => Math.floor(n / COARSE) < height && n % COARSE < width;
  fill(view.upper.below, Array.from({ length: COARSE * COARSE }, (_, n) =>
    (there(below, n) ? below.data[Math.floor(n / COARSE) * below.width + (n % COARSE)] : undefined)));
  view.upper.below.cells.forEach(({ node }, n) => put(node, { visibility: there(below, n) ? "visible" : "hidden" }));
  fill(view.lower.below, result.dilated.below.data);
  fill(view.upper.answers, result.stitched.data);
  fill(view.lower.answers, result.dilated.output.data);
  for (const lane of [view.upper, view.lower]) {
    lane.answers.cells.forEach(({ node, label }, n) =>
      put(node, { "aria-label": `Pixel in ${placeWords(Math.floor(n / SIZE), n % SIZE)}: ${label.textContent}` }));
  }
}

// Where things stand: everything that the step moves.
function placeScene(view, now, state) {
  const { upper, lower, spot } = view;
  const { u } = spot;
  const [dy, dx] = now.shift;
  for (const node of [upper.image.node, upper.ground]) put(node, { transform: `translate(${-dx * u} ${-dy * u}) scale(${u / CELL})` });
  for (const node of [lower.image.node, lower.ground]) put(node, { transform: `scale(${u / CELL})` });
  put(upper.svg, { "data-copy": now.copy });
  const [ey, ex] = SHIFTS[now.copy];
  for (const dot of upper.dots.children) {
    put(dot, { visibility: dot.dataset.i >= COARSE - ey || dot.dataset.j >= COARSE - ex ? "hidden" : "visible" });
  }
  put(upper.below.node, { opacity: 1 - 0.85 * now.blur });
  upper.answers.cells.forEach(({ node, label }, n) => {
    const [r, c] = [Math.floor(n / SIZE), n % SIZE];
    const [x, y] = tilePlace(r, c, now.woven);
    const there = now.arrived[copyOf(r, c)];
    put(node, { transform: `translate(${x * CELL} ${y * CELL})`, "aria-disabled": String(there < 0.5),
      class: `cell tile copy-${copyOf(r, c)}${there < 0.5 ? " absent" : ""}` });
    put(label, { opacity: there });
  });
  lower.answers.cells.forEach(({ node }, n) => {
    const [x, y] = tilePlace(Math.floor(n / SIZE), n % SIZE, 1);
    put(node, { transform: `translate(${x * CELL} ${y * CELL})`, "aria-disabled": String(now.dilated < 0.5) });
  });
  put(lower.svg, { opacity: 0.3 + 0.7 * ease(now.dilated), "aria-hidden": String(now.dilated < 0.5) });
  lower.svg.style.setProperty("--awake", ease(now.dilated).toFixed(3));
  lower.svg.classList.toggle("asleep", now.dilated < 0.5);
  const weights = { a: state.first === "max" ? ONES.flat() : state.filter_a.flat(), b: state.filter_b.flat() };
  for (const lane of [upper, lower]) {
    lane.kernels[0].place(spot.kernelA, spot.pixel, 1, weights.a);
    lane.kernels[1].place(spot.kernelB, spot.pixel, lane === lower ? 1 + ease(now.dilated) : 1, weights.b);
  }
}

// Light up what the picked number was made of, in both lanes.
function lightUp(view, pick) {
  for (const lane of [view.upper, view.lower]) {
    const lit = new Set();
    if (pick?.kind === "out") {
      for (let n = 0; n < 9; n++) lit.add(`${pick.row + 2 * Math.floor(n / 3)},${pick.column + 2 * (n % 3)}`);
    } else if (pick) lit.add(`${pick.row},${pick.column}`);
    const [dy, dx] = lane === view.upper ? SHIFTS[view.shown] : [0, 0];
    const step = lane === view.upper ? 2 : 1;
    lane.below.cells.forEach(({ node }, n) => {
      const [i, j] = [Math.floor(n / lane.below.side), n % lane.below.side];
      node.classList.toggle("lit", lit.has(`${i * step + dy},${j * step + dx}`));
    });
    const extent = pick?.kind === "out" ? FIELD : 3;
    const [x, y, half] = [pick?.column ?? 0, pick?.row ?? 0, (extent - 1) / 2];
    const visibility = pick ? "visible" : "hidden";
    put(lane.glow, { visibility, x: CELL * x, y: CELL * y, width: CELL * extent, height: CELL * extent });
    put(lane.mark, { visibility, x: CELL * (x + half), y: CELL * (y + half) });
    lane.answers.cells.forEach(({ node }, n) =>
      node.classList.toggle("lit", pick?.kind === "out" && n === pick.row * SIZE + pick.column));
  }
}

function keepTabStops(view, pick, now) {
  for (const lane of [view.upper, view.lower]) {
    const awake = lane === view.upper || now.dilated >= 0.5;
    const stop = pick?.kind === "out" ? pick.row * SIZE + pick.column : 0;
    lane.answers.cells.forEach(({ node }, n) => put(node, { tabindex: awake && n === stop ? 0 : -1 }));
  }
}

// The picked number as a sum, in words that hold for both lanes.
export function explain(result, network, pick) {
  const product = (weight, value, first) => {
    const sign = first ? (weight < 0 ? "\u2212" : "") : weight < 0 ? " \u2212 " : " + ";
    return `${sign}${short(Math.abs(weight))}\u00b7${value < 0 ? `(${short(value)})` : short(value)}`;
  };
  const sum = (kernel, map, row, column, step) => {
    const terms = Array.from(kernel.data, (weight, n) =>
      [weight, map.data[(row + step * Math.floor(n / 3)) * map.width + column + step * (n % 3)]]).filter(([weight]) => weight !== 0);
    return terms.map(([weight, value], n) => product(weight, value, n === 0)).join("") || "0";
  };
  const [dy, dx] = [pick.row % 2, pick.column % 2];
  const copy = `the copy moved by ${dy} down, ${dx} right`;
  if (pick.kind === "a") {
    const value = short(result.dilated.below.data[pick.row * result.dilated.below.width + pick.column]);
    const made = network.first === "max" ? "the largest of nine pixels" : `${sum(network.a, result.image, pick.row, pick.column, 1)} = ${value}`;
    return { title: `A\u2019s value ${value}`, sum: made,
      place: `It stands in ${placeWords(Math.floor(pick.row / 2), Math.floor(pick.column / 2))} of A\u2019s map for ${copy}, and in ${placeWords(pick.row, pick.column)} of the dense one.` };
  }
  const value = short(result.stitched.data[pick.row * SIZE + pick.column]);
  return {
    title: `Pixel in ${placeWords(pick.row, pick.column)}: ${value}`,
    sum: `${sum(network.b, result.dilated.below, pick.row, pick.column, 2)} = ${value}`,
    place: `Neighbours in A\u2019s map for ${copy}; every second cell of the dense map. The same nine numbers.`,
  };
}

function buildInspector() {
  const title = heading("");
  const sum = element("p", { class: "sum" });
  const place = element("p", { class: "prose" });
  const node = element("div", { class: "why" }, title, sum, place);
  function update(result, network, pick) {
    const words = pick ? explain(result, network, pick)
      : { title: "Where does a number come from?",
      sum: "Point at an answer, or at a cell of A\u2019s map. Or reach the answers with Tab and walk with the arrow keys.", place: "" };
    setText(title, words.title);
    setText(sum, words.sum);
    setText(place, words.place);
    return words;
  }
  return { node, update };
}

// ---- The second panel: which pixels a stack touches

function drawTree(svg, dilations, width) {
  const labelRoom = Math.min(132, width * 0.38);
  const line = coverage(dilations);
  const field = line.length;
  const rows = dilations.length;
  const gap = clamp(150 / rows, 24, 44);
  const height = rows * gap + 20;
  const step = (width - labelRoom) / field;
  const x = (offset) => (width - labelRoom) / 2 + offset * step;
  const y = (layer) => height - 12 - layer * gap;
  const nodes = [];
  let reached = [0];
  const spans = fields(dilations);
  for (let layer = rows; layer > 0; layer--) {
    const d = dilations[layer - 1];
    const lower = [...new Set(reached.flatMap((at) => [at - d, at, at + d]))];
    const path = reached.map((at) =>
      [-d, 0, d].map((by) => `M${x(at).toFixed(1)} ${y(layer).toFixed(1)}L${x(at + by).toFixed(1)} ${y(layer - 1).toFixed(1)}`).join("")).join("");
    nodes.push(shape("path", { class: "branch", d: path, "stroke-width": reached.length > 12 ? 0.6 : 1.1 }));
    nodes.push(...reached.map((at) => shape("circle", { class: "unit", cx: x(at), cy: y(layer), r: clamp(step * 0.33, 1, 4.5) })));
    const [at, middle] = [width - labelRoom + 8, y(layer - 0.5)];
    if (gap > 32) {
      nodes.push(shape("text", { class: "row-label", x: at, y: middle - 7, text: `dilation ${d}` }));
      nodes.push(shape("text", { class: "row-label muted", x: at, y: middle + 8, text: `field ${spans[layer - 1]}, ${9 * layer} weights` }));
    } else nodes.push(shape("text", { class: "row-label", x: at, y: middle, text: `${d}: field ${spans[layer - 1]}, ${9 * layer} w.` }));
    reached = lower;
  }
  const most = Math.max(...line);
  const side = Math.max(1.5, Math.min(step * 0.86, 16));
  line.forEach((count, n) => {
    const at = n - (field - 1) / 2;
    nodes.push(shape("rect", { class: count ? "reached" : "missed", x: x(at) - side / 2, y: y(0) - side / 2, width: side,
      height: side, "fill-opacity": count ? 0.35 + 0.65 * (count / most) : 1 }));
  });
  put(svg, { width, height: height + 2, viewBox: `0 0 ${width} ${height + 2}` });
  svg.replaceChildren(...nodes);
}

function drawCounts(canvas, dilations, side, colours, kind) {
  const counts = coverage2d(dilations);
  const cell = side / counts.width;
  const pen = clearCanvas(canvas, side);
  const most = Math.max(...counts.data);
  const gap = cell > 5 ? 1 : 0;
  counts.data.forEach((count, n) => {
    const [y, x] = [Math.floor(n / counts.width), n % counts.width];
    pen.globalAlpha = count ? 0.3 + 0.7 * Math.sqrt(count / most) : 1;
    pen.fillStyle = count ? colours[kind] : colours.page;
    pen.fillRect(x * cell, y * cell, cell - gap, cell - gap);
    if (!count && cell > 5) outlineRect(pen, x * cell + 0.5, y * cell + 0.5, cell - gap - 1, cell - gap - 1, [colours.line, 1]);
  });
  pen.globalAlpha = 1;
  return { counts, cell };
}

export function stackProblem(dilations) {
  if (!dilations.every((d) => Number.isInteger(d) && d >= 1 && d <= LIMITS.dilation)) return `Dilations are whole numbers from 1 to ${LIMITS.dilation}.`;
  if (dilations.reduce((a, b) => a + b, 0) > LIMITS.sum) return `Together at most ${LIMITS.sum}, or the field outgrows the picture.`;
  return "";
}

function buildStack(figure, index) {
  const kind = index ? "accent" : "second";
  const name = index ? "Second stack" : "First stack";
  const presets = STACKS.map((stack) => button(stack.join(" "), () => set(stack), { "aria-label": `${name}: dilations ${stack.join(", ")}` }));
  const layers = element("div", { class: "layers" });
  const more = button("+", () => set([...stack(), 1]), { "aria-label": `${name}: one layer more` });
  const less = button("\u2212", () => set(stack().slice(0, -1)), { "aria-label": `${name}: one layer less` });
  const problem = element("p", { class: "segcore-problem", role: "alert" });
  const fields = [];
  const tree = shape("svg", { class: "tree", role: "img" });
  const canvas = element("canvas", { role: "img" });
  const summary = element("p", { class: "summary" });
  const detail = element("p", { class: "prose" });
  const node = element("section", { class: `stack ${index ? "dilated" : "strided"}` },
    heading(name), element("div", { class: "segcore-bar presets" }, ...presets),
    element("div", { class: "segcore-bar" }, layers, less, more), problem, tree,
    element("div", { class: "field-view" }, canvas, element("div", {}, summary, detail)));
  let drawn = null;

  function stack() { return figure.state.dilations[index]; }
  function set(dilations) {
    const wrong = stackProblem(dilations);
    setText(problem, wrong);
    if (!wrong) figure.set({ dilations: figure.state.dilations.map((old, n) => (n === index ? [...dilations] : old)) });
    return wrong;
  }
  function writeLayers() {
    while (fields.length > stack().length) fields.pop().node.remove();
    while (fields.length < stack().length) {
      const n = fields.length;
      fields.push(numberField(`${name}, dilation of layer ${n + 1}`, { min: 1, max: LIMITS.dilation, hidden: true }, (value) =>
        set(stack().map((d, k) => (k === n ? value : d)))));
      fields[n].input.addEventListener("blur", () => setText(problem, ""));
      layers.append(fields[n].node);
    }
    fields.forEach((field, n) => field.set(stack()[n]));
    less.disabled = stack().length <= 1;
    more.disabled = stack().length >= LIMITS.layers;
    presets.forEach((button, n) => button.setAttribute("aria-pressed", String(same(STACKS[n], stack()))));
  }
  canvas.addEventListener("pointermove", (event) => {
    const { counts, cell } = drawn;
    const [x, y] = pointIn(canvas, event, cell).map(Math.floor);
    const count = counts.data[y * counts.width + x];
    if (count === undefined) return;
    const middle = (counts.width - 1) / 2;
    setText(detail, `${fixed(x - middle, 0)} right, ${fixed(y - middle, 0)} down: reached in ${plural(count, "way")}.`);
  });
  canvas.addEventListener("pointerleave", () => update(false));
  function update(anew, colours) {
    const dilations = stack();
    const line = coverage(dilations);
    const touched = line.filter((count) => count > 0).length;
    const [all, some] = [line.length ** 2, touched ** 2];
    const plain = (line.length - 1) / 2;
    const words = `Field ${line.length} \u00d7 ${line.length}. Touches ${grouped(some)} of ${grouped(all)} pixels${some === all ? "" : `, ${Math.round((100 * some) / all)} %`}.`;
    setText(summary, words);
    setText(detail, `${9 * dilations.length} weights for each pair of channels. Undilated layers would need ${9 * plain} for this field.`);
    if (!anew) return;
    writeLayers();
    put(tree, { "aria-label": `Along one axis: layers with dilation ${dilations.join(", ")} reach ${touched} of ${line.length} pixels.` });
    canvas.setAttribute("aria-label", words);
    const width = node.clientWidth;
    drawTree(tree, dilations, width);
    drawn = drawCounts(canvas, dilations, Math.min(190, Math.floor(width * 0.5)), colours, kind);
  }
  return { node, update };
}

// ---- All together

function build(figure) {
  figure.pick = null;
  const parts = { inputs: buildInputs(figure), story: buildStory(figure), view: buildStage(figure), inspector: buildInspector(),
    stacks: [0, 1].map((index) => buildStack(figure, index)) };
  figure.choose = (kind, row, column) => {
    const pick = kind === null ? null : { kind, row, column };
    if (same(pick, figure.pick)) return;
    if (pick) parts.story.play.stop();
    figure.pick = pick;
    figure.mark("pick");
  };
  figure.first(
    element("p", { class: "segcore-lead", text: "Four strided runs over shifted images, or one dilated run: the same answer for every pixel." }),
    ...parts.story.nodes,
    element("div", { class: "work" }, parts.view.node, element("div", { class: "side" }, parts.inspector.node,
      key(["copy copy-0", "first run"], ["copy copy-1", "moved right"], ["copy copy-2", "moved down"],
        ["copy copy-3", "moved both ways"], ["ring second", "what an answer sees"]))));
  figure.more("What a stack of dilated layers touches, and what it misses", [
    element("p", { class: "prose",
      text: "3 \u00d7 3 layers, the image at the bottom. Filled pixels reach the unit at the top, the darker the more ways there are; hollow ones never do." }),
    element("div", { class: "gridding" }, ...parts.stacks.map((stack) => stack.node))]);
  figure.more("Other numbers: the image and the two filters", parts.inputs.nodes);
  return parts;
}

function draw(figure, changed, now) {
  const { state, parts, look } = figure;
  parts.story.play.advance(now);
  const numbers = changed("grid", "filter_a", "filter_b", "first");
  if (changed("all")) {
    parts.view.spot = layout(parts.view.node.clientWidth);
    [parts.view.upper, parts.view.lower].forEach((lane) => measureLane(lane, parts.view.spot));
  }
  if (numbers) {
    figure.network = { first: state.first, a: gridOf(state.filter_a), b: gridOf(state.filter_b) };
    const image = pad(gridOf(state.grid), RIM);
    figure.result = { image, ...compare(image, figure.network) };
    parts.inputs.update();
  }
  if (numbers || changed("step", "pick")) drawStage(figure, numbers);
  parts.story.play.draw();
  if (changed("dilations")) parts.stacks.filter((stack) => stack.node.clientWidth).forEach((stack) => stack.update(true, look));
}

function drawStage(figure, anew) {
  const { pick, result, parts: { view, inspector } } = figure;
  const now = scene(figure.state.step, pick ? copyOf(pick.row, pick.column) : null);
  if (anew || view.shown !== now.copy) writeNumbers(view, result, now.copy);
  view.shown = now.copy;
  placeScene(view, now, figure.state);
  lightUp(view, pick);
  keepTabStops(view, pick, now);
  const words = inspector.update(result, figure.network, pick);
  if (pick) figure.say(`${words.title}. ${words.sum}`);
  const [dy, dx] = SHIFTS[now.copy];
  setText(view.shiftText, `Run ${now.copy + 1} of 4: image moved ${dy} down, ${dx} right.`);
  const equal = result.difference < 1e-9 ? "0" : result.difference.toExponential(0);
  setText(view.verdict, now.dilated < 0.5 ? "Comes at the last step." : `Largest difference from the stitched answers: ${equal}.`);
  view.node.dataset.awake = String(now.dilated >= 0.5);
}

const matrixOf = (size, limit) => listOf(listOf(number(-limit, limit), size), size);
const stackCheck = (stack) =>
  (Array.isArray(stack) && stack.length >= 1 && stack.length <= LIMITS.layers && !stackProblem(stack) ? "" : `1 to ${LIMITS.layers} whole numbers from 1 to ${LIMITS.dilation}, together at most ${LIMITS.sum}`);

export default widget({
  slug: "dilation",
  traits: {
    grid: matrixOf(SIZE, LIMITS.grid), filter_a: matrixOf(3, LIMITS.filter), filter_b: matrixOf(3, LIMITS.filter), first: oneOf("filter", "max"),
    step: number(0, LAST), dilations: listOf(stackCheck, 2),
  },
  colours: ["page", "line", "accent", "second"],
  settled: (figure, names) => { if (names.includes("step")) figure.pick = null; },
  build,
  draw,
});
