import { themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage } from "./kit/elements.js";
import { frameLoop, onResize, onTheme, prefersStillness } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { fitCanvas } from "./kit/pictures.js";

// From stride to dilation on a 5 x 5 image, and which pixels a stack of dilated layers touches.
// Arithmetic first, as pure functions; what is drawn comes below.
//
// A map is { data, height, width }, values in rows; a kernel is a map. Convolution is PyTorch's: the kernel is not flipped,
// and nothing is padded unless `pad` did it. A map too small for its kernel gives a map without cells.

export function mapOf(rows) {
  return { data: rows.flat(), height: rows.length, width: rows[0].length };
}

function slide(map, size, stride, dilation, combine) {
  const steps = (length, extent) => Math.max(0, Math.floor((length - dilation * (extent - 1) - 1) / stride) + 1);
  const [height, width] = [steps(map.height, size.height), steps(map.width, size.width)];
  const data = new Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const read = (i, j) => map.data[(y * stride + i * dilation) * map.width + x * stride + j * dilation];
      data[y * width + x] = combine(read);
    }
  }
  return { data, height, width };
}

export function conv2d(map, kernel, stride = 1, dilation = 1) {
  return slide(map, kernel, stride, dilation, (read) => {
    let sum = 0;
    for (let i = 0; i < kernel.height; i++) {
      for (let j = 0; j < kernel.width; j++) sum += kernel.data[i * kernel.width + j] * read(i, j);
    }
    return sum;
  });
}

export function maxPool(map, size, stride = 1, dilation = 1) {
  return slide(map, { height: size, width: size }, stride, dilation, (read) => {
    let best = -Infinity;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) best = Math.max(best, read(i, j));
    }
    return best;
  });
}

export function pad(map, rim) {
  const [height, width] = [map.height + 2 * rim, map.width + 2 * rim];
  const data = new Array(height * width).fill(0);
  for (let y = 0; y < map.height; y++) {
    for (let x = 0; x < map.width; x++) data[(y + rim) * width + x + rim] = map.data[y * map.width + x];
  }
  return { data, height, width };
}

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

// The kernel with dilation - 1 zeros between its weights.
export function sparseKernel(kernel, dilation) {
  const [height, width] = [dilation * (kernel.height - 1) + 1, dilation * (kernel.width - 1) + 1];
  const data = new Array(height * width).fill(0);
  kernel.data.forEach((weight, n) => {
    data[Math.floor(n / kernel.width) * dilation * width + (n % kernel.width) * dilation] = weight;
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
  ["Strided", "A looks at every second place (tinted), B at A\u2019s map. Nine of the 25 pixels get an answer."],
  ["Shift \u2192", "The same network once more, with the image moved by one column. A now looks at the columns in between: six new answers."],
  ["Shift \u2193", "Moved by one row instead: six more."],
  ["Shift \u2198", "Moved by both: the last four. The network has run four times."],
  ["Stitched", "Every answer goes to its pixel. Four coarse maps, interleaved, are one dense map."],
  ["Dilated", "One run instead of four. A looks everywhere; B, its weights pulled apart, takes every second cell of A\u2019s map."],
];
const STACKS = [[2, 2, 2], [1, 2, 3], [1, 2, 4], [1, 1, 1], [1, 1, 2, 4, 8, 16]];

const SVG = "http://www.w3.org/2000/svg";
const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));
const ease = (t) => t * t * (3 - 2 * t);
const between = (a, b, t) => a + (b - a) * t;
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const copyOf = (row, column) => 2 * (row % 2) + (column % 2);

function shape(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

// Few characters, so that any number fits into a cell.
function short(value) {
  if (Math.abs(value) >= 9999.5) return `${fixed(value / 1000, 0)}k`;
  if (Math.abs(value - Math.round(value)) < 1e-9 || Math.abs(value) >= 999.5) return fixed(value, 0);
  return fixed(value, Math.abs(value) < 9.95 ? 2 : 1).replace(/\.?0+$/, "");
}

// Cells in rows, each a square with a number; the callback may give a cell more attributes.
function lattice(rows, columns, attributes = {}, cellAttributes = () => ({})) {
  const cells = [];
  const node = shape("g", attributes);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const square = shape("rect", { x: CELL * c, y: CELL * r, width: CELL, height: CELL });
      const label = shape("text", { x: CELL * (c + 0.5), y: CELL * (r + 0.5) });
      const cell = shape("g", { class: "cell", ...cellAttributes(r, c) }, square, label);
      cells.push({ node: cell, square, label });
      node.append(cell);
    }
  }
  return { node, cells, rows, columns };
}

function fill(grid, values, format = short) {
  grid.cells.forEach(({ label }, n) => {
    const text = values[n] === undefined ? "" : format(values[n]);
    setText(label, text);
    label.setAttribute("class", text.length > 4 ? "tight" : text.length > 3 ? "long" : "");
  });
}

// Everything that the parts of the figure share: the traits, what is picked, and what to draw again.
function createContext(model, root) {
  const names = ["grid", "filter_a", "filter_b", "first", "step", "dilations"];
  const context = {
    model,
    root,
    state: Object.fromEntries(names.map((name) => [name, model.get(name)])),
    pick: null,
    dirty: new Set(["all"]),
    stops: [],
    announce: announcer(),
  };
  context.mark = (...what) => {
    what.forEach((name) => context.dirty.add(name));
    context.frames?.request();
  };
  const adopt = (name, value) => {
    context.state[name] = value;
    if (name === "step") context.pick = null;
    context.mark(name === "step" ? "step" : name === "dilations" ? "stacks" : "numbers");
  };
  context.change = (news) => {
    for (const [name, value] of Object.entries(news)) {
      if (same(context.state[name], value)) continue;
      adopt(name, value);
      model.set(name, value);
    }
    model.save_changes();
  };
  for (const name of names) {
    const follow = () => {
      if (!same(context.state[name], model.get(name))) adopt(name, model.get(name));
    };
    model.on(`change:${name}`, follow);
    context.stops.push(() => model.off(`change:${name}`, follow));
  }
  return context;
}

// ---- What goes in: the image and the two filters

function numberField(label, limit, onValue) {
  const input = element("input", { type: "number", step: "any", "aria-label": label, min: -limit, max: limit });
  input.addEventListener("input", () => {
    const value = input.valueAsNumber;
    const good = Number.isFinite(value) && Math.abs(value) <= limit;
    input.setAttribute("aria-invalid", String(!good));
    onValue(good ? value : null);
  });
  return input;
}

function matrixEditor(context, trait, title, limit, size) {
  const problem = element("p", { class: "problem", role: "alert" });
  const cells = Array.from({ length: size * size }, (_, n) => {
    const [r, c] = [Math.floor(n / size), n % size];
    const input = numberField(`${title}, row ${r + 1}, column ${c + 1}`, limit, (value) => {
      setText(problem, value === null ? `A number from \u2212${limit} to ${limit}, please.` : "");
      if (value === null) return;
      context.change({ [trait]: context.state[trait].map((row, i) => row.map((old, j) => (i === r && j === c ? value : old))) });
    });
    input.addEventListener("blur", () => update(true));
    return input;
  });
  function update(anew = false) {
    cells.forEach((input, n) => {
      const value = context.state[trait][Math.floor(n / size)][n % size];
      if (!anew && input === document.activeElement) return;
      if (input.valueAsNumber !== value) input.value = String(value);
      input.setAttribute("aria-invalid", "false");
    });
    if (anew) setText(problem, "");
  }
  const grid = element("div", { class: "matrix", style: `--columns: ${size}` }, ...cells);
  const node = element("div", { class: `editor ${trait}`, role: "group", "aria-label": title }, element("span", { class: "segcore-label", text: title }), grid, problem);
  return { node, update, cells };
}

function buildInputs(context) {
  const image = matrixEditor(context, "grid", "Image", LIMITS.grid, SIZE);
  const a = matrixEditor(context, "filter_a", "Filter A", LIMITS.filter, 3);
  const b = matrixEditor(context, "filter_b", "Filter B", LIMITS.filter, 3);
  const first = choice("A takes", [["filter", "a filtered sum"], ["max", "the maximum"]], context.state.first, (value) => context.change({ first: value }));
  const examples = EXAMPLES.map(([text, values]) =>
    element("button", { type: "button", class: "segcore-button", text, onclick: () => context.change(structuredClone(values)) }));
  const node = element("details", { class: "inputs" },
    element("summary", { text: "Change the image and the filters" }),
    element("div", { class: "editors" }, image.node, element("div", { class: "pair" }, a.node, b.node), first.node),
  );
  const bar = element("div", { class: "bar examples" }, element("span", { class: "segcore-label", text: "Numbers" }), ...examples);
  function update() {
    [image, a, b].forEach((editor) => editor.update());
    first.set(context.state.first);
    a.cells.forEach((input) => (input.disabled = context.state.first === "max"));
    EXAMPLES.forEach(([, values], n) => {
      const chosen = Object.entries(values).every(([name, value]) => same(context.state[name], value));
      examples[n].setAttribute("aria-pressed", String(chosen));
    });
  }
  return { bar, node, update };
}

// ---- The player

function buildPlayer(context) {
  const still = prefersStillness();
  let playing = 0; // -1 backward, 1 forward
  let timer = 0;
  let clock = 0;
  let rest = 0;
  const steps = STEPS.map(([name], n) =>
    element("button", { type: "button", class: "step", onclick: () => jump(n) },
      element("b", { text: String(n + 1), "aria-hidden": "true" }), element("span", { text: name })));
  const slider = element("input", {
    type: "range", min: 0, max: LAST, step: still ? 1 : 0.01, value: context.state.step, "aria-label": "Step", oninput: () => {
      play(0);
      context.change({ step: slider.valueAsNumber });
    },
  });
  slider.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!by || event.shiftKey) return;
    event.preventDefault();
    nudge(by);
  });
  const button = (text, label, onclick) => element("button", { type: "button", class: "segcore-button", "aria-label": label, text, onclick });
  const back = button("\u2039", "One step back", () => nudge(-1));
  const reverse = button("\u25c2 Play back", "Play backward", () => play(playing === -1 ? 0 : -1));
  const forward = button("Play \u25b8", "Play forward", () => play(playing === 1 ? 0 : 1));
  const next = button("\u203a", "One step on", () => nudge(1));
  const note = element("p", { class: "note", role: "status" });

  function jump(step) {
    play(0);
    context.change({ step: clamp(step, 0, LAST) });
  }
  function nudge(by) {
    const { step } = context.state;
    jump(by > 0 ? Math.floor(step + 1e-6) + 1 : Math.ceil(step - 1e-6) - 1);
  }
  function play(direction) {
    playing = direction;
    clearTimeout(timer);
    [clock, rest] = [0, 0];
    if (direction) {
      const end = direction > 0 ? LAST : 0;
      if (context.state.step === end) context.change({ step: LAST - end });
      if (still) timer = setTimeout(tick, 1000 * SECONDS);
    }
    context.mark("player");
  }
  function tick() {
    const end = playing > 0 ? LAST : 0;
    context.change({ step: clamp(Math.round(context.state.step) + playing, 0, LAST) });
    if (context.state.step === end) return play(0);
    timer = setTimeout(tick, 1000 * SECONDS);
  }
  // Called in every frame: moves on if playing, and rests for a moment at each step.
  function advance(now) {
    if (!playing || still) return;
    const passed = clock ? Math.min(0.1, (now - clock) / 1000) : 0;
    clock = now;
    context.mark("player");
    if ((rest -= passed) > 0) return;
    const { step } = context.state;
    const stop = playing > 0 ? Math.floor(step + 1e-9) + 1 : Math.ceil(step - 1e-9) - 1; // the next step to rest at
    const moved = step + (playing * passed) / SECONDS;
    const arrived = playing * (moved - stop) >= 0;
    context.change({ step: arrived ? stop : moved });
    if (arrived) rest = REST;
    if (context.state.step === (playing > 0 ? LAST : 0)) play(0);
  }
  function update() {
    const { step } = context.state;
    const at = Math.round(step);
    steps.forEach((node, n) => node.setAttribute("aria-current", n === at ? "step" : "false"));
    if (slider.valueAsNumber !== step) slider.value = String(step);
    slider.setAttribute("aria-valuetext", `${at + 1} of ${LAST + 1}: ${STEPS[at][0]}`);
    setText(note, STEPS[at][1]);
    setText(forward, playing === 1 ? "Pause" : "Play \u25b8");
    forward.setAttribute("aria-label", playing === 1 ? "Pause" : "Play forward");
    setText(reverse, playing === -1 ? "Pause" : "\u25c2 Play back");
    reverse.setAttribute("aria-label", playing === -1 ? "Pause" : "Play backward");
    back.disabled = step <= 0;
    next.disabled = step >= LAST;
  }
  context.stops.push(() => clearTimeout(timer));
  const node = element("div", { class: "player" },
    element("div", { class: "steps" }, ...steps),
    slider,
    element("div", { class: "bar" }, back, reverse, forward, next),
    note,
  );
  return { node, advance, update, stop: () => play(0) };
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

function layout(width) {
  if (width >= 600) {
    const gap = 76;
    const u = Math.min(25, (width - 2 * gap) / 27.5);
    const tile = 1.4 * u;
    const height = 26 + WIDE * u;
    const middle = 26 + (WIDE * u) / 2;
    const [xa, xb] = [WIDE * u + gap, (WIDE + DENSE) * u + 2 * gap];
    return { u, tile, height, image: [0, 26], a: [xa, middle], b: [xb, middle], kernelA: [WIDE * u + gap / 2, middle], kernelB: [xb - gap / 2, middle], pixel: 7.5, width };
  }
  const gap = 34;
  const u = (width - gap - 2) / (WIDE + DENSE);
  const tile = Math.min(36, 2.1 * u);
  const top = 26 + WIDE * u + 34;
  const xb = (width - 5.3 * tile) / 2 + 26;
  return { u, tile, height: top + 5.3 * tile, image: [0, 26], a: [WIDE * u + gap, 26 + (WIDE * u) / 2], b: [xb, top + 2.65 * tile], kernelA: [WIDE * u + gap / 2, 26 + (WIDE * u) / 2], kernelB: [xb - 40, top + 2.65 * tile], pixel: 5.5, width };
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
      put(square, { x: x + j * pixel * spread - cell / 2, y: y + i * pixel * spread - cell / 2, width: cell, height: cell, class: weights[n] ? "weight" : "weight zero" });
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

function answerGrid(label) {
  const node = shape("g", { class: "answers", role: "grid", "aria-label": label });
  const tiles = [];
  for (let r = 0; r < SIZE; r++) {
    const line = shape("g", { role: "row" });
    for (let c = 0; c < SIZE; c++) {
      const square = shape("rect", { width: CELL, height: CELL });
      const text = shape("text", { x: CELL / 2, y: CELL / 2 });
      const cell = shape("g", { class: `cell tile copy-${copyOf(r, c)}`, role: "gridcell", tabindex: "-1", "data-out": `${r},${c}` }, square, text);
      tiles.push({ node: cell, square, label: text });
      line.append(cell);
    }
    node.append(line);
  }
  return { node, cells: tiles, tiles };
}

// A lane without its place on screen: image, A's map, answers.
function buildLane(kind, title, columnsOfA, label) {
  const image = lattice(WIDE, WIDE, { class: "sheet" }, (r, c) =>
    ({ class: r >= RIM && c >= RIM && r < RIM + SIZE && c < RIM + SIZE ? "cell pixel" : "cell rim" }));
  const glow = shape("rect", { class: "glow", visibility: "hidden" });
  const mark = shape("rect", { class: "mark", width: CELL, height: CELL, visibility: "hidden" });
  image.node.append(glow, mark);
  const below = lattice(columnsOfA, columnsOfA, { class: "below" }, (r, c) => ({ "data-a": `${r},${c}`, class: kind === "dilated" ? `cell parity-${copyOf(r, c)}` : "cell" }));
  const answers = answerGrid(label);
  const heads = ["Image", kind === "strided" ? "A, stride 2" : "A, stride 1", kind === "strided" ? "B\u2019s answers" : "B, dilation 2"].map((text) => shape("text", { class: "head", text }));
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
  const side = lane.below.columns * u;
  const [ax, ay] = [spot.a[0] + (room - side) / 2, spot.a[1] - side / 2];
  put(lane.below.node, { transform: `translate(${ax} ${ay}) scale(${u / CELL})` });
  const by = spot.b[1] - 2.65 * tile;
  put(lane.answers.node, { transform: `translate(${spot.b[0]} ${by}) scale(${tile / CELL})` });
  [[0, spot.image[1] - 9], [ax, ay - 9], [spot.b[0] + (lane.kind === "dilated" ? 0.15 * tile : 0), by - 9]].forEach(([x, y], n) => put(lane.heads[n], { x, y }));
  lane.dots.replaceChildren();
  const [count, step] = lane.kind === "strided" ? [COARSE, 2] : [DENSE, 1];
  for (let n = 0; n < count * count; n++) {
    const [i, j] = [Math.floor(n / count), n % count];
    lane.dots.append(shape("rect", { x: (1 + step * j) * u, y: (1 + step * i) * u, width: u, height: u, "data-i": i, "data-j": j, class: step === 2 ? "spot" : `spot parity-${copyOf(i, j)}` }));
  }
}

// The arrow keys walk from answer to answer. The listeners stand on an element of HTML, for a group of SVG that listens
// to focus becomes a tab stop itself.
function walkByKeys(context, view) {
  const cellOf = (event) => event.target.closest("[data-out]");
  const placeOf = (cell) => cell.dataset.out.split(",").map(Number);
  view.node.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (cell) context.choose("out", ...placeOf(cell));
  });
  view.node.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = cellOf(event);
    if (!by || !cell) return;
    event.preventDefault();
    const { tiles } = (view.upper.svg.contains(cell) ? view.upper : view.lower).answers;
    let [r, c] = placeOf(cell);
    const at = () => (r >= 0 && c >= 0 && r < SIZE && c < SIZE ? tiles[r * SIZE + c].node : null);
    do [r, c] = [r + by[0], c + by[1]];
    while (at()?.getAttribute("aria-disabled") === "true"); // an answer that has not come yet
    at()?.focus({ preventScroll: true });
  });
}

function buildStage(context) {
  const upper = buildLane("strided", "Four strided runs over shifted images", COARSE, "Answers of the strided network, stitched");
  const lower = buildLane("dilated", "One run of the dilated network", DENSE, "Answers of the dilated network");
  const shiftText = element("p", { class: "lane-title" });
  const verdict = element("p", { class: "lane-title" });
  const node = element("div", { class: "stage" },
    element("section", { class: "lane-box strided" }, element("h3", { text: "Shift and stitch" }), shiftText, upper.svg),
    element("section", { class: "lane-box dilated" }, element("h3", { text: "Dilate" }), verdict, lower.svg));
  const view = { node, upper, lower, shiftText, verdict, spot: null, shown: 0 };
  walkByKeys(context, view);
  const hover = (event) => {
    const answer = event.target.closest?.("[data-out]");
    const cell = event.target.closest?.("[data-a]");
    if (answer && answer.getAttribute("aria-disabled") !== "true") context.choose("out", ...answer.dataset.out.split(",").map(Number));
    else if (cell) {
      const [i, j] = cell.dataset.a.split(",").map(Number);
      const [dy, dx] = SHIFTS[view.shown];
      const strided = event.currentTarget === upper.svg;
      if (strided && (i >= COARSE - dy || j >= COARSE - dx)) return;
      context.choose("a", ...(strided ? [2 * i + dy, 2 * j + dx] : [i, j]));
    } else if (event.type === "click") context.choose(null);
  };
  for (const lane of [upper, lower]) {
    lane.svg.addEventListener("pointermove", hover);
    lane.svg.addEventListener("click", hover);
    lane.svg.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && !node.contains(document.activeElement)) context.choose(null);
    });
  }
  return view;
}

// The numbers, where the data or the copy shown have changed.
function writeNumbers(view, result, copy) {
  const pixels = result.image.data;
  for (const lane of [view.upper, view.lower]) {
    fill(lane.image, pixels.map((value, n) => {
      const [r, c] = [Math.floor(n / WIDE) - RIM, (n % WIDE) - RIM];
      return r >= 0 && c >= 0 && r < SIZE && c < SIZE ? value : undefined;
    }));
  }
  const { below } = result.copies[copy];
  fill(view.upper.below, Array.from({ length: COARSE * COARSE }, (_, n) => {
    const [i, j] = [Math.floor(n / COARSE), n % COARSE];
    return i < below.height && j < below.width ? below.data[i * below.width + j] : undefined;
  }));
  view.upper.below.cells.forEach(({ node }, n) => {
    const there = Math.floor(n / COARSE) < below.height && n % COARSE < below.width;
    put(node, { visibility: there ? "visible" : "hidden" });
  });
  fill(view.lower.below, result.dilated.below.data);
  fill(view.upper.answers, result.stitched.data);
  fill(view.lower.answers, result.dilated.output.data);
  for (const lane of [view.upper, view.lower]) {
    lane.answers.tiles.forEach(({ node, label }, n) =>
      put(node, { "aria-label": `Pixel in row ${Math.floor(n / SIZE) + 1}, column ${(n % SIZE) + 1}: ${label.textContent}` }));
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
  upper.answers.tiles.forEach(({ node }, n) => {
    const [r, c] = [Math.floor(n / SIZE), n % SIZE];
    const [x, y] = tilePlace(r, c, now.woven);
    const there = now.arrived[copyOf(r, c)];
    put(node, { transform: `translate(${x * CELL} ${y * CELL})`, "aria-disabled": String(there < 0.5), class: `cell tile copy-${copyOf(r, c)}${there < 0.5 ? " absent" : ""}` });
    put(upper.answers.tiles[n].label, { opacity: there });
  });
  lower.answers.tiles.forEach(({ node }, n) => {
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
      const [i, j] = [Math.floor(n / lane.below.columns), n % lane.below.columns];
      node.classList.toggle("lit", lit.has(`${i * step + dy},${j * step + dx}`));
    });
    const extent = pick?.kind === "out" ? FIELD : 3;
    put(lane.glow, { visibility: pick ? "visible" : "hidden", x: CELL * (pick?.column ?? 0), y: CELL * (pick?.row ?? 0), width: CELL * extent, height: CELL * extent });
    const half = (extent - 1) / 2;
    put(lane.mark, { visibility: pick ? "visible" : "hidden", x: CELL * ((pick?.column ?? 0) + half), y: CELL * ((pick?.row ?? 0) + half) });
    lane.answers.tiles.forEach(({ node }, n) =>
      node.classList.toggle("lit", pick?.kind === "out" && n === pick.row * SIZE + pick.column));
  }
}

function keepTabStops(view, pick, now) {
  for (const lane of [view.upper, view.lower]) {
    const awake = lane === view.upper || now.dilated >= 0.5;
    const stop = pick?.kind === "out" ? pick.row * SIZE + pick.column : 0;
    lane.answers.tiles.forEach(({ node }, n) => put(node, { tabindex: awake && n === stop ? 0 : -1 }));
  }
}

// The picked number as a sum, in words that hold for both lanes.
export function explain(result, network, pick) {
  const product = (weight, value, first) => {
    const sign = first ? (weight < 0 ? "\u2212" : "") : weight < 0 ? " \u2212 " : " + ";
    return `${sign}${short(Math.abs(weight))}\u00b7${value < 0 ? `(${short(value)})` : short(value)}`;
  };
  const sum = (kernel, map, row, column, step) => {
    const terms = kernel.data.map((weight, n) =>
      [weight, map.data[(row + step * Math.floor(n / 3)) * map.width + column + step * (n % 3)]]).filter(([weight]) => weight !== 0);
    return terms.map(([weight, value], n) => product(weight, value, n === 0)).join("") || "0";
  };
  const [dy, dx] = [pick.row % 2, pick.column % 2];
  const copy = `the copy moved by ${dy} down, ${dx} right`;
  if (pick.kind === "a") {
    const value = short(result.dilated.below.data[pick.row * result.dilated.below.width + pick.column]);
    const made = network.first === "max" ? "the largest of nine pixels" : `${sum(network.a, result.image, pick.row, pick.column, 1)} = ${value}`;
    return { title: `A\u2019s value ${value}`, sum: made, place: `It stands in row ${Math.floor(pick.row / 2) + 1}, column ${Math.floor(pick.column / 2) + 1} of A\u2019s map for ${copy}, and in row ${pick.row + 1}, column ${pick.column + 1} of the dense one.` };
  }
  const value = short(result.stitched.data[pick.row * SIZE + pick.column]);
  return {
    title: `Pixel in row ${pick.row + 1}, column ${pick.column + 1}: ${value}`,
    sum: `${sum(network.b, result.dilated.below, pick.row, pick.column, 2)} = ${value}`,
    place: `Neighbours in A\u2019s map for ${copy}; every second cell of the dense map. The same nine numbers.`,
  };
}

function buildInspector() {
  const title = element("h4");
  const sum = element("p", { class: "sum" });
  const place = element("p", { class: "prose" });
  const node = element("div", { class: "why" }, title, sum, place);
  function update(result, network, pick) {
    const words = pick ? explain(result, network, pick) : { title: "Where does a number come from?", sum: "Point at an answer, or at a cell of A\u2019s map. Or reach the answers with Tab and walk with the arrow keys.", place: "" };
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
    const path = reached.map((at) => [-d, 0, d].map((by) => `M${x(at).toFixed(1)} ${y(layer).toFixed(1)}L${x(at + by).toFixed(1)} ${y(layer - 1).toFixed(1)}`).join("")).join("");
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
    nodes.push(shape("rect", { class: count ? "reached" : "missed", x: x(at) - side / 2, y: y(0) - side / 2, width: side, height: side, "fill-opacity": count ? 0.35 + 0.65 * (count / most) : 1 }));
  });
  put(svg, { width, height: height + 2, viewBox: `0 0 ${width} ${height + 2}` });
  svg.replaceChildren(...nodes);
}

function drawCounts(canvas, dilations, side, colours, kind) {
  const counts = coverage2d(dilations);
  const cell = side / counts.width;
  fitCanvas(canvas, side, side);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, side, side);
  const most = Math.max(...counts.data);
  const gap = cell > 5 ? 1 : 0;
  counts.data.forEach((count, n) => {
    const [y, x] = [Math.floor(n / counts.width), n % counts.width];
    pen.globalAlpha = count ? 0.3 + 0.7 * Math.sqrt(count / most) : 1;
    pen.fillStyle = count ? colours[kind] : colours.page;
    pen.fillRect(x * cell, y * cell, cell - gap, cell - gap);
    if (!count && cell > 5) {
      pen.strokeStyle = colours.line;
      pen.strokeRect(x * cell + 0.5, y * cell + 0.5, cell - gap - 1, cell - gap - 1);
    }
  });
  pen.globalAlpha = 1;
  return { counts, cell };
}

export function stackProblem(dilations) {
  if (!dilations.every((d) => Number.isInteger(d) && d >= 1 && d <= LIMITS.dilation)) return `Dilations are whole numbers from 1 to ${LIMITS.dilation}.`;
  if (dilations.reduce((a, b) => a + b, 0) > LIMITS.sum) return `Together at most ${LIMITS.sum}, or the field outgrows the picture.`;
  return "";
}

function buildStack(context, index) {
  const kind = index ? "accent" : "second";
  const name = index ? "Second stack" : "First stack";
  const presets = STACKS.map((stack) =>
    element("button", { type: "button", class: "segcore-button", text: stack.join(" "), "aria-label": `${name}: dilations ${stack.join(", ")}`, onclick: () => set(stack) }));
  const layers = element("div", { class: "layers" });
  const more = element("button", { type: "button", class: "segcore-button", text: "+", "aria-label": `${name}: one layer more`, onclick: () => set([...stack(), 1]) });
  const less = element("button", { type: "button", class: "segcore-button", text: "\u2212", "aria-label": `${name}: one layer less`, onclick: () => set(stack().slice(0, -1)) });
  const problem = element("p", { class: "problem", role: "alert" });
  const tree = shape("svg", { class: "tree", role: "img" });
  const canvas = element("canvas", { role: "img" });
  const summary = element("p", { class: "summary" });
  const detail = element("p", { class: "prose" });
  const node = element("section", { class: `stack ${index ? "dilated" : "strided"}` },
    element("h4", { text: name }),
    element("div", { class: "bar presets" }, ...presets),
    element("div", { class: "bar" }, layers, less, more), problem, tree,
    element("div", { class: "field-view" }, canvas, element("div", {}, summary, detail)));
  let drawn = null;

  function stack() { return context.state.dilations[index]; }
  function set(dilations) {
    const wrong = stackProblem(dilations);
    setText(problem, wrong);
    if (!wrong) context.change({ dilations: context.state.dilations.map((old, n) => (n === index ? [...dilations] : old)) });
    return !wrong;
  }
  function writeLayers() {
    while (layers.children.length > stack().length) layers.lastChild.remove();
    while (layers.children.length < stack().length) {
      const n = layers.children.length;
      const input = element("input", { type: "number", min: 1, max: LIMITS.dilation, step: 1, "aria-label": `${name}, dilation of layer ${n + 1}` });
      input.addEventListener("input", () => input.setAttribute("aria-invalid", String(!set(stack().map((d, k) => (k === n ? input.valueAsNumber : d))))));
      input.addEventListener("blur", () => { setText(problem, ""); writeLayers(); });
      layers.append(input);
    }
    [...layers.children].forEach((input, n) => {
      if (input === document.activeElement && input.getAttribute("aria-invalid") === "true") return;
      if (input.valueAsNumber !== stack()[n]) input.value = String(stack()[n]);
      input.setAttribute("aria-invalid", "false");
    });
    less.disabled = stack().length <= 1;
    more.disabled = stack().length >= LIMITS.layers;
    presets.forEach((button, n) => button.setAttribute("aria-pressed", String(same(STACKS[n], stack()))));
  }
  canvas.addEventListener("pointermove", (event) => {
    const frame = canvas.getBoundingClientRect();
    const { counts, cell } = drawn;
    const [x, y] = [Math.floor((event.clientX - frame.left) / cell), Math.floor((event.clientY - frame.top) / cell)];
    const count = counts.data[y * counts.width + x];
    if (count === undefined) return;
    const middle = (counts.width - 1) / 2;
    setText(detail, `${fixed(x - middle, 0)} right, ${fixed(y - middle, 0)} down: reached in ${count} ${count === 1 ? "way" : "ways"}.`);
  });
  canvas.addEventListener("pointerleave", () => update(false));
  function update(anew, colours) {
    const dilations = stack();
    const line = coverage(dilations);
    const touched = line.filter((count) => count > 0).length;
    const [all, some] = [line.length ** 2, touched ** 2];
    const plain = (line.length - 1) / 2;
    const words = `Field ${line.length} \u00d7 ${line.length}. Touches ${some} of ${all} pixels${some === all ? "" : `, ${Math.round((100 * some) / all)} %`}.`;
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

function render({ model, el }) {
  const root = stage(el, "dilation");
  const context = createContext(model, root);
  const inputs = buildInputs(context);
  const player = buildPlayer(context);
  const view = buildStage(context);
  const inspector = buildInspector();
  const stacks = [0, 1].map((index) => buildStack(context, index));
  root.append(
    inputs.bar, inputs.node, player.node, view.node, inspector.node,
    element("div", { class: "gridding" },
      element("header", {}, element("h3", { text: "What a stack of dilated layers touches" }),
        element("p", { class: "prose", text: "3 \u00d7 3 layers, the image at the bottom. Filled pixels reach the unit at the top, the darker the more ways there are; hollow ones never do." })),
      ...stacks.map((stack) => stack.node)),
    context.announce.node,
  );
  let result = null;
  let network = null;
  let colours = null;

  context.choose = (kind, row, column) => {
    const pick = kind === null ? null : { kind, row, column };
    if (same(pick, context.pick)) return;
    if (pick) player.stop();
    context.pick = pick;
    context.mark("pick");
  };

  function draw(now) {
    player.advance(now);
    const { state, dirty } = context;
    const all = dirty.has("all");
    const changed = new Set(dirty);
    dirty.clear();
    if (!root.clientWidth) return;
    const asked = (...names) => all || names.some((name) => changed.has(name));
    if (all) {
      colours = themeColours(root, ["page", "line", "accent", "second"]);
      view.spot = layout(view.node.clientWidth);
      [view.upper, view.lower].forEach((lane) => measureLane(lane, view.spot));
    }
    if (asked("numbers")) {
      network = { first: state.first, a: mapOf(state.filter_a), b: mapOf(state.filter_b) };
      const image = pad(mapOf(state.grid), RIM);
      result = { image, ...compare(image, network) };
      inputs.update();
    }
    if (asked("numbers", "step", "pick")) drawStage(state, asked("numbers"));
    if (asked("player", "step")) player.update();
    if (asked("stacks")) stacks.forEach((stack) => stack.update(true, colours));
  }

  function drawStage(state, anew) {
    const { pick } = context;
    const now = scene(state.step, pick ? copyOf(pick.row, pick.column) : null);
    if (anew || view.shown !== now.copy) writeNumbers(view, result, now.copy);
    view.shown = now.copy;
    placeScene(view, now, state);
    lightUp(view, pick);
    keepTabStops(view, pick, now);
    const words = inspector.update(result, network, pick);
    if (pick) context.announce.say(`${words.title}. ${words.sum}`);
    const [dy, dx] = SHIFTS[now.copy];
    setText(view.shiftText, `Image moved by ${dy} down, ${dx} right. Run ${now.copy + 1} of 4.`);
    const equal = result.difference < 1e-9 ? "0" : result.difference.toExponential(0);
    setText(view.verdict, now.dilated < 0.5 ? "Comes at the last step." : `One run. Largest difference from the stitched answers: ${equal}.`);
  }

  context.frames = frameLoop(draw);
  root.frames = context.frames.times;
  context.stops.push(() => context.frames.stop(), () => player.stop(), () => context.announce.stop());
  context.stops.push(onTheme(() => context.mark("all")), onResize(root, () => context.mark("all")));
  draw(performance.now());
  return () => {
    context.stops.forEach((stop) => stop());
    context.frames.stop();
    root.remove();
  };
}

export default { render };
