import { hatchPattern, themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage } from "./kit/elements.js";
import { frameLoop, onResize, onTheme, prefersStillness } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { fitCanvas, unpackBytes } from "./kit/pictures.js";

// A classifier run window by window, and over the whole image in one pass: the same numbers, and what each way costs.
// Arithmetic first, as pure functions; what is drawn comes below.
//
// A map is { data, channels, height, width }, channel by channel, in rows. A layer's weights are in PyTorch's order.
// Every sum starts at the bias and runs over channels, rows and columns, so that equal inputs give equal bits.

export function conv2d(map, { weight, bias, kernel }, padding = 0) {
  const outputs = bias.length;
  const [height, width] = [map.height, map.width].map((n) => Math.max(0, n + 2 * padding - kernel + 1));
  const data = new Float64Array(outputs * height * width);
  for (let o = 0; o < outputs; o++) {
    const base = o * height * width;
    data.fill(bias[o], base, base + height * width);
    for (let k = 0; k < map.channels * kernel * kernel; k++) {
      const [i, j] = [(Math.floor(k / kernel) % kernel) - padding, (k % kernel) - padding];
      const channel = Math.floor(k / (kernel * kernel)) * map.height;
      const w = weight[o * map.channels * kernel * kernel + k];
      const [first, last] = [Math.max(0, -j), Math.min(width, map.width - j)];
      for (let y = Math.max(0, -i); y < Math.min(height, map.height - i); y++) {
        const from = (channel + y + i) * map.width + j;
        const to = base + y * width;
        for (let x = first; x < last; x++) data[to + x] += w * map.data[from + x];
      }
    }
  }
  return { data, channels: outputs, height, width };
}

export function relu(map) {
  const data = new Float64Array(map.data.length);
  for (let n = 0; n < data.length; n++) if (map.data[n] > 0) data[n] = map.data[n];
  return { ...map, data };
}

export function maxPool(map, size = 2) {
  const [height, width] = [Math.floor(map.height / size), Math.floor(map.width / size)];
  const data = new Float64Array(map.channels * height * width).fill(-Infinity);
  for (let c = 0; c < map.channels; c++) {
    for (let y = 0; y < height * size; y++) {
      const from = (c * map.height + y) * map.width;
      const to = (c * height + Math.floor(y / size)) * width;
      for (let x = 0; x < width * size; x++) {
        const at = to + Math.floor(x / size);
        if (map.data[from + x] > data[at]) data[at] = map.data[from + x];
      }
    }
  }
  return { data, channels: map.channels, height, width };
}

// A fully connected layer on numbers in a row.
export function linear(x, { weight, bias }) {
  return Float64Array.from(bias, (b, o) => {
    let sum = b;
    for (let k = 0; k < x.length; k++) sum += weight[o * x.length + k] * x[k];
    return sum;
  });
}

export function crop(map, top, left, size) {
  const data = new Float64Array(map.channels * size * size);
  for (let row = 0; row < map.channels * size; row++) {
    const from = (Math.floor(row / size) * map.height + top + (row % size)) * map.width + left;
    for (let x = 0; x < size; x++) data[row * size + x] = map.data[from + x];
  }
  return { data, channels: map.channels, height: size, width: size };
}

// The layers that both ways share: convolution, ReLU and pooling, twice.
export function trunk(map, network) {
  const first = maxPool(relu(conv2d(map, network.conv1, network.padding)));
  const second = maxPool(relu(conv2d(first, network.conv2, network.padding)));
  return [first, second];
}

// One window, cut out and classified alone: flatten, linear, ReLU, linear. The score is face minus no face.
export function classify(patch, network) {
  const maps = trunk(patch, network);
  const hidden = linear(maps[1].data, network.fc1).map((value) => (value > 0 ? value : 0));
  const [no, yes] = linear(hidden, network.fc2);
  return { maps, score: yes - no };
}

// The whole image in one pass: the same weights, the linear layers as convolutions.
export function dense(image, network) {
  const maps = trunk(image, network);
  const side = Math.round(Math.sqrt(network.fc1.weight.length / network.fc1.bias.length / maps[1].channels));
  const hidden = relu(conv2d(maps[1], { ...network.fc1, kernel: side }));
  const { data, height, width } = conv2d(hidden, { ...network.fc2, kernel: 1 });
  const area = height * width;
  return { maps, scores: { data: Float64Array.from({ length: area }, (_, n) => data[area + n] - data[n]), height, width } };
}

// How many cells of a layer two windows share: `side` cells wide, `step` cells apart for each cell of the output.
export function shared(side, step, right, down = 0) {
  const overlap = (by) => Math.max(0, side - step * Math.abs(by));
  return overlap(right) * overlap(down);
}

// A family of unpadded classifiers: 3 x 3 convolutions, `Math.log2(stride)` poolings spread evenly among them, a
// linear layer on a 4 x 4 map, another one for two classes. Channels start at 16 and double with each pooling.
export function family(depth, stride) {
  const pools = Math.log2(stride);
  const layers = [];
  let channels = 3;
  let pooled = 0;
  for (let n = 1; n <= depth; n++) {
    const outputs = 16 * 2 ** pooled;
    layers.push({ kind: "conv", kernel: 3, inputs: channels, outputs });
    channels = outputs;
    if (pools && n === Math.round(((pooled + 1) * depth) / pools)) {
      layers.push({ kind: "pool", kernel: 2 });
      pooled += 1;
    }
  }
  layers.push({ kind: "linear", kernel: 4, inputs: channels, outputs: 64 }, { kind: "linear", kernel: 1, inputs: 64, outputs: 2 });
  return layers;
}

// The window for which the last map is 1 x 1, and the stride.
export function windowOf(layers) {
  let [size, stride] = [1, 1];
  for (const { kind, kernel } of [...layers].reverse()) size = kind === "pool" ? size * kernel : size + kernel - 1;
  for (const { kind, kernel } of layers) if (kind === "pool") stride *= kernel;
  return { size, stride };
}

// Multiplications of each layer with weights, for an input of size x size.
export function multiplications(layers, size) {
  const counts = [];
  for (const { kind, kernel, inputs, outputs } of layers) {
    size = kind === "pool" ? Math.floor(size / kernel) : Math.max(0, size - kernel + 1);
    if (kind !== "pool") counts.push(size * size * kernel * kernel * inputs * outputs);
  }
  return counts;
}

// Both ways: every window by itself, and one pass.
export function compare(layers, image) {
  const { size, stride } = windowOf(layers);
  const side = image < size ? 0 : Math.floor((image - size) / stride) + 1;
  const one = multiplications(layers, size);
  const pass = side ? multiplications(layers, image) : one.map(() => 0);
  const sum = (counts) => counts.reduce((a, b) => a + b, 0);
  const all = one.map((count) => count * side * side);
  return { window: size, stride, windows: side * side, alone: all, pass, one: sum(one), totals: [sum(all), sum(pass)] };
}

// Weights from bytes: whole numbers from -127 to 127, each array with its scale.
export function readNetwork({ arrays, bytes }) {
  const values = unpackBytes(bytes);
  let at = 0;
  const tensors = Object.fromEntries(arrays.map(([name, length, scale]) => {
    const array = Float64Array.from(values.slice(at, at + length), (byte) => (byte - 128) * scale);
    at += length;
    return [name, array];
  }));
  const layer = (name, kernel) => ({ weight: tensors[`${name}.weight`], bias: tensors[`${name}.bias`], kernel });
  const [conv1, conv2] = [layer("conv1", 4), layer("conv2", 4)];
  return [
    { padding: 0, conv1, conv2, fc1: layer("fc1", 4), fc2: layer("fc2", 1) },
    { padding: 2, conv1, conv2, fc1: layer("padded.fc1", 7), fc2: layer("padded.fc2", 1) },
  ];
}

export function readImage({ pixels, size }) {
  return { data: Float64Array.from(unpackBytes(pixels), (byte) => byte / 255), channels: 1, height: size, width: size };
}

// ---- The figure --------------------------------------------------------------------------------------------------

const WINDOW = 25;
const STRIDE = 4;
const CELLS = 27; // of the map, along a side
// The value at which the colour is full: of a score above 0, of one below, of a difference.
const FULL = { high: 4, low: 20, gap: 40 };
const PER_FRAME = 4; // windows while sliding
const BUDGET = 5; // milliseconds for windows in a frame when no one watches them
const TRAITS = ["window", "neighbour", "padding", "view", "channel", "cost"];
const VIEWS = [["dense", "One pass"], ["windows", "Window by window"], ["difference", "Difference"]];
const STRIDES = [1, 2, 4, 8, 16];

// The network of the figure, as `multiplications` wants it.
const SMALL = [
  { kind: "conv", kernel: 4, inputs: 1, outputs: 4 }, { kind: "pool", kernel: 2 },
  { kind: "conv", kernel: 4, inputs: 4, outputs: 8 }, { kind: "pool", kernel: 2 },
  { kind: "linear", kernel: 4, inputs: 8, outputs: 8 }, { kind: "linear", kernel: 1, inputs: 8, outputs: 2 },
];

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const percent = (part, whole) => `${Math.round((100 * part) / whole)} %`;

export function words(count) {
  for (const [size, name] of [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]]) {
    if (count >= size) return `${(count / size).toPrecision(3)} ${name}`;
  }
  return Math.round(count).toLocaleString("en-US");
}

// The other window: so many cells to the right, or to the left where the image ends.
export function neighbourOf([row, column], by) {
  return [row, column + by < CELLS ? column + by : column - by];
}

class Figure {
  constructor(model, root) {
    Object.assign(this, { model, root, dirty: new Set(["all"]), announce: announcer(), sliding: 0 });
    this.state = Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
    this.image = readImage(model.get("scene"));
    this.runs = readNetwork(model.get("network")).map((network) => {
      const layers = network.padding ? SMALL.map((layer) => (layer.kernel === 4 && layer.kind === "linear" ? { ...layer, kernel: 7 } : layer)) : SMALL;
      return { network, layers, ...dense(this.image, network), alone: new Float64Array(CELLS * CELLS).fill(NaN), done: 0 };
    });
    this.loop = frameLoop((now) => this.draw(now));
    root.frames = this.loop.times;
  }

  get run() {
    return this.runs[this.state.padding ? 1 : 0];
  }

  mark(what) {
    this.dirty.add(what);
    this.loop.request();
  }

  change(news) {
    for (const [name, value] of Object.entries(news)) {
      if (same(this.state[name], value)) continue;
      this.state[name] = value;
      this.model.set(name, value);
      this.mark(name === "cost" ? "cost" : name === "window" ? "window" : "all");
    }
    this.model.save_changes();
  }

  follow(name) {
    if (same(this.state[name], this.model.get(name))) return;
    this.state[name] = this.model.get(name);
    this.mark("all");
  }

  pick(row, column) {
    if (this.sliding) this.mark("all");
    this.sliding = 0;
    this.change({ window: [clamp(row, 0, CELLS - 1), clamp(column, 0, CELLS - 1)] });
  }

  alone(row, column, run = this.run) {
    return classify(crop(this.image, STRIDE * row, STRIDE * column, WINDOW), run.network);
  }

  // Compute more of the map window by window: a few in each frame.
  work() {
    const { run, state } = this;
    if (!this.sliding && (state.view === "dense" || run.done === CELLS * CELLS)) return;
    const begin = performance.now();
    const target = this.sliding ? this.sliding + PER_FRAME : CELLS * CELLS;
    const least = run.done + PER_FRAME; // on a slow machine, too, it comes to an end
    while (run.done < Math.min(CELLS * CELLS, target) && (run.done < least || performance.now() - begin < BUDGET)) {
      run.alone[run.done] = this.alone(Math.floor(run.done / CELLS), run.done % CELLS).score;
      run.done += 1;
    }
    if (this.sliding) this.slideOn(run.done);
    this.mark(run.done < CELLS * CELLS ? "window" : "all");
  }

  slide() {
    if (this.sliding) this.sliding = 0;
    else {
      this.run.done = 0;
      this.run.alone.fill(NaN);
      this.change({ view: "windows" });
      if (!prefersStillness()) this.sliding = 1;
    }
    this.mark("all");
  }

  slideOn(done) {
    this.sliding = done < CELLS * CELLS ? done : 0;
    const n = Math.max(0, done - 1);
    this.change({ window: [Math.floor(n / CELLS), n % CELLS] });
  }

  draw() {
    this.work();
    const all = this.dirty.has("all");
    const [moved, cost] = ["window", "cost"].map((name) => all || this.dirty.has(name));
    this.dirty.clear();
    if (!this.root.clientWidth) return;
    this.look ??= readLook(this.root);
    const { parts, look } = this;
    if (moved) this.found = this.alone(...this.state.window);
    if (all) parts.controls.draw();
    if (moved) for (const name of ["source", "map", "sliders", "readout", "layers"]) parts[name].draw(look);
    if (cost) parts.cost.draw();
  }
}

function readLook(root) {
  const colours = themeColours(root, ["page", "panel", "text", "muted", "line", "accent", "second", "accent-soft", "second-soft"]);
  const own = getComputedStyle(root);
  const rgb = (text) => text.match(/[\da-f]{2}/gi).slice(0, 3).map((pair) => parseInt(pair, 16));
  return { ...colours, score: rgb(own.getPropertyValue("--score").trim()), low: rgb(own.getPropertyValue("--low").trim()), paper: rgb(colours.page), ink: rgb(colours.text), stamp: Math.random() };
}

// ---- Drawing

// A map as a small picture, one pixel a cell; `colour` gives [r, g, b, a] of a value.
function picture(height, width, colour) {
  const canvas = element("canvas", { width, height });
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  for (let n = 0; n < width * height; n++) pixels.data.set(colour(n), 4 * n);
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

const mix = (a, b, t) => a.map((value, n) => Math.round(value + (b[n] - value) * t));

// Pictures are kept until the theme or what they show changes.
function keep(figure, name, key, make) {
  figure.kept ??= {};
  if (figure.kept[name]?.key !== key) figure.kept[name] = { key, canvas: make() };
  return figure.kept[name].canvas;
}

function photo(figure) {
  return keep(figure, "photo", "photo", () => picture(figure.image.height, figure.image.width, (n) => {
    const grey = Math.round(255 * figure.image.data[n]);
    return [grey, grey, grey, 255];
  }));
}

// A frame with a rim of the page's colour, so that it stands out from whatever lies below.
function frame(pen, look, [x, y, side], colour, thick = 2) {
  pen.lineWidth = thick + 2;
  pen.strokeStyle = look.page;
  pen.strokeRect(x, y, side, side);
  pen.lineWidth = thick;
  pen.strokeStyle = colour;
  pen.strokeRect(x, y, side, side);
}

// Two squares, and a hatch where they overlap: what both need.
function twoFrames(pen, look, first, second, thick = 2) {
  const left = Math.max(first[0], second[0]);
  const width = Math.min(first[0], second[0]) + first[2] - left;
  if (width > 0) {
    pen.fillStyle = look["accent-soft"];
    pen.fillRect(left, first[1], width, first[2]);
    pen.fillStyle = hatchPattern(pen, look.accent, 1, 8, 1);
    pen.fillRect(left, first[1], width, first[2]);
  }
  frame(pen, look, second, look.accent, thick);
  frame(pen, look, first, look.second, thick + 0.5);
}

function surface(label, className) {
  const canvas = element("canvas", { role: "img", class: className });
  const title = element("h4", { text: label });
  const node = element("div", { class: "surface" }, title, canvas);
  return { node, canvas, title };
}

function begin(canvas, side) {
  fitCanvas(canvas, side, side);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, side, side);
  pen.imageSmoothingEnabled = false;
  return pen;
}

// Press or drag: the place in the image, in pixels.
function onPoint(canvas, figure, call) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = figure.image.width / box.width;
    call((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    at(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) at(event);
  });
}

// The cell whose window has its centre nearest to a place in the image.
export function cellAt(x, y) {
  return [y, x].map((n) => clamp(Math.round((n - WINDOW / 2) / STRIDE), 0, CELLS - 1));
}

function buildSource(figure) {
  const { node, canvas } = surface("The window", "source");
  onPoint(canvas, figure, (x, y) => figure.pick(...cellAt(x, y)));
  function draw(look) {
    const side = node.clientWidth;
    const pen = begin(canvas, side);
    const scale = side / figure.image.width;
    pen.imageSmoothingEnabled = true;
    pen.drawImage(photo(figure), 0, 0, side, side);
    const square = ([row, column]) => [column * STRIDE * scale, row * STRIDE * scale, WINDOW * scale];
    twoFrames(pen, look, square(figure.state.window), square(neighbourOf(figure.state.window, figure.state.neighbour)));
    canvas.setAttribute("aria-label", `A photograph of an astronaut; the window's upper left pixel is in row ${STRIDE * figure.state.window[0]}, column ${STRIDE * figure.state.window[1]}`);
  }
  return { node, draw };
}

// What the map shows at a cell, in the chosen view; NaN where no window has been there yet.
function shownValue(figure, n) {
  const { run, state } = figure;
  if (state.view === "dense") return run.scores.data[n];
  return state.view === "windows" ? run.alone[n] : Math.abs(run.alone[n] - run.scores.data[n]);
}

function mapPicture(figure, look) {
  const { run, state } = figure;
  return keep(figure, "map", `${look.stamp} ${state.view} ${state.padding} ${run.done}`, () => picture(CELLS, CELLS, (n) => {
    const value = shownValue(figure, n);
    if (Number.isNaN(value)) return [0, 0, 0, 0];
    const full = state.view === "difference" ? FULL.gap : value > 0 ? FULL.high : FULL.low;
    return [...mix(look.paper, value > 0 ? look.score : look.low, clamp(Math.abs(value) / full, 0, 1)), 255];
  }));
}

function buildMap(figure) {
  const { node, canvas, title } = surface("The map", "map");
  const note = element("p", { class: "note" });
  node.append(note);
  onPoint(canvas, figure, (x, y) => figure.pick(...cellAt(x, y)));
  function draw(look) {
    const side = node.clientWidth;
    const pen = begin(canvas, side);
    const scale = side / figure.image.width;
    pen.globalAlpha = 0.28;
    pen.drawImage(photo(figure), 0, 0, side, side);
    pen.globalAlpha = 1;
    const edge = ((WINDOW - STRIDE) / 2) * scale;
    pen.drawImage(mapPicture(figure, look), edge, edge, CELLS * STRIDE * scale, CELLS * STRIDE * scale);
    const square = ([row, column]) => [edge + column * STRIDE * scale, edge + row * STRIDE * scale, STRIDE * scale];
    frame(pen, look, square(neighbourOf(figure.state.window, figure.state.neighbour)), look.accent);
    frame(pen, look, square(figure.state.window), look.second, 2.5);
    setText(title, figure.state.view === "difference" ? "Window alone minus map" : "The map");
    setText(note, mapNote(figure));
    canvas.setAttribute("aria-label", `Map of ${CELLS} by ${CELLS} scores. ${mapNote(figure)}`);
  }
  return { node, draw };
}

function mapNote(figure) {
  const { run, state } = figure;
  const cost = compare(run.layers, figure.image.width);
  const counts = state.padding ? paddedCounts(figure) : { one: cost.one, pass: cost.totals[1] };
  if (state.view === "dense") return `One pass: ${words(counts.pass)} multiplications for all ${CELLS * CELLS} cells.`;
  if (state.view === "windows") return `${run.done} of ${CELLS * CELLS} windows: ${words(run.done * counts.one)} multiplications.`;
  if (run.done < CELLS * CELLS) return `Computing window ${run.done} of ${CELLS * CELLS} \u2026`;
  const most = run.alone.reduce((top, value, n) => Math.max(top, Math.abs(value - run.scores.data[n])), 0);
  return most === 0 ? "Zero in every cell." : most < 1e-9 ? "Below 0.000000001 in every cell." : `Up to ${fixed(most, 1)}.`;
}

// With padding of 2 the 4 x 4 convolutions give one more than they take.
function paddedCounts(figure) {
  const count = (size) => {
    const [a, b] = [size + 1, Math.floor((size + 1) / 2) + 1];
    const c = Math.floor(b / 2) - 6;
    return a * a * 64 + b * b * 512 + c * c * (49 * 64 + 16);
  };
  return { one: count(WINDOW), pass: count(figure.image.width) };
}

function range(label, min, max, onInput, step = 1) {
  const input = element("input", { type: "range", min, max, step, "aria-label": label });
  input.addEventListener("input", () => onInput(input.valueAsNumber));
  const output = element("output");
  const node = element("label", { class: "slider" }, element("span", { class: "segcore-label", text: label }), input, output);
  const set = (value, text) => {
    if (input.valueAsNumber !== value) input.value = String(value);
    setText(output, text);
    input.setAttribute("aria-valuetext", text);
  };
  return { node, set };
}

function buildSliders(figure) {
  const row = range("Row of the map", 0, CELLS - 1, (value) => figure.pick(value, figure.state.window[1]));
  const column = range("Column of the map", 0, CELLS - 1, (value) => figure.pick(figure.state.window[0], value));
  const distance = range("Neighbour at", 1, 7, (value) => figure.change({ neighbour: value }));
  const node = element("div", { class: "sliders" }, row.node, column.node, distance.node);
  function draw() {
    const { window, neighbour } = figure.state;
    row.set(window[0], `${window[0]}`);
    column.set(window[1], `${window[1]}`);
    distance.set(neighbour, `${neighbour} ${neighbour === 1 ? "cell" : "cells"}, ${STRIDE * neighbour} pixels`);
  }
  return { node, draw };
}

function buildControls(figure) {
  const slide = element("button", { type: "button", class: "segcore-button", onclick: () => figure.slide() });
  const best = element("button", { type: "button", class: "segcore-button", text: "Best", "aria-label": "Best window", onclick: () => {
    const { data } = figure.run.scores;
    const n = data.indexOf(Math.max(...data));
    figure.pick(Math.floor(n / CELLS), n % CELLS);
  } });
  const view = choice("The map, computed", VIEWS, figure.state.view, (value) => {
    figure.sliding = 0;
    figure.change({ view: value });
  });
  const box = element("input", { type: "checkbox", onchange: () => {
    figure.sliding = 0;
    figure.change({ padding: box.checked });
  } });
  const node = element("div", { class: "bar" }, view.node,
    element("label", { class: "check" }, box, element("span", { text: "Zero padding" })), slide, best);
  function draw() {
    view.set(figure.state.view);
    box.checked = figure.state.padding;
    setText(slide, figure.sliding ? "Stop" : "Slide \u25b8");
    slide.setAttribute("aria-label", figure.sliding ? "Stop" : "Slide the window");
  }
  return { node, draw };
}

function buildReadout(figure) {
  const cells = ["Window alone", "Cell of the map", "Difference"].map((text, n) => {
    const value = element("b");
    return { value, node: element("div", { class: `value ${["alone", "cell", "gap"][n]}` }, element("span", { class: "segcore-label", text }), value) };
  });
  const verdict = element("p", { class: "verdict" });
  const node = element("div", { class: "readout" }, ...cells.map((cell) => cell.node), verdict);
  function draw() {
    const [row, column] = figure.state.window;
    const alone = figure.found.score;
    const cell = figure.run.scores.data[row * CELLS + column];
    const gap = alone - cell;
    [fixed(alone, 6), fixed(cell, 6), gap === 0 ? "0" : fixed(gap, 6)].forEach((text, n) => setText(cells[n].value, text));
    node.dataset.equal = String(Math.abs(gap) < 1e-9);
    const text = Math.abs(gap) < 1e-9
      ? `The same number. ${alone > 0 ? "It is above 0: the network calls this a face." : "It is below 0: no face."}`
      : "Not the same: the window alone has zeros around it, where the map has the picture.";
    setText(verdict, text);
    if (!figure.sliding) figure.announce.say(`Window alone ${fixed(alone, 3)}, cell of the map ${fixed(cell, 3)}. ${text}`);
  }
  return { node, draw };
}

// ---- The layers below

function featurePicture(figure, look, name, map, channel) {
  return keep(figure, name, `${look.stamp} ${figure.state.padding} ${channel} ${name.startsWith("alone") ? figure.state.window : ""}`, () => {
    const own = figure.run.maps[Number(name.at(-1))];
    const area = own.height * own.width;
    const top = own.data.subarray(channel * area, (channel + 1) * area).reduce((a, b) => Math.max(a, b), 1e-9);
    const cells = map.height * map.width;
    return picture(map.height, map.width, (n) => [...mix(look.paper, look.ink, Math.sqrt(clamp(map.data[channel * cells + n] / top, 0, 1))), 255]);
  });
}

function buildLayer(figure, index, name) {
  const title = element("h4");
  const [whole, alone] = ["whole", "alone"].map((kind) => element("canvas", { role: "img", class: kind }));
  const caption = element("p", { class: "prose" });
  const labels = ["whole image, one pass", "window alone"].map((text) => element("span", { class: "segcore-label", text }));
  const node = element("div", { class: "layer" }, title,
    element("div", { class: "maps" }, element("div", {}, labels[0], whole), element("div", {}, labels[1], alone)), caption);
  const step = index ? 1 : 2; // cells of this layer for one cell of the output
  function draw(look) {
    const { state, run, found } = figure;
    const [map, own] = [run.maps[index], found.maps[index]];
    const channel = state.channel;
    const wide = Math.floor(Math.min(200, node.clientWidth * 0.54));
    const small = Math.floor(wide * 0.66);
    let pen = begin(whole, wide);
    pen.drawImage(featurePicture(figure, look, `whole${index}`, map, channel), 0, 0, wide, wide);
    const square = ([row, column]) => [column * step * (wide / map.width), row * step * (wide / map.width), own.width * (wide / map.width)];
    twoFrames(pen, look, square(state.window), square(neighbourOf(state.window, state.neighbour)), 1.5);
    pen = begin(alone, small);
    pen.drawImage(featurePicture(figure, look, `alone${index}`, own, channel), 0, 0, small, small);
    const changed = differing(figure, index, step);
    markShared(pen, look, own.width, small / own.width, step * (neighbourOf(state.window, state.neighbour)[1] - state.window[1]));
    markChanged(pen, look, own.width, small / own.width, changed);
    frame(pen, look, [1.25, 1.25, small - 2.5], look.second, 2.5);
    setText(title, `${name}: ${map.width} \u00d7 ${map.height} cells`);
    setText(caption, layerCaption(own.width, shared(own.width, step, state.neighbour), changed.length, state.padding));
    whole.setAttribute("aria-label", `${name}, channel ${channel + 1}, of the whole image, with the cells of both windows framed`);
    alone.setAttribute("aria-label", `${name}, channel ${channel + 1}, of the window alone. ${caption.textContent}`);
  }
  return { node, draw };
}

function layerCaption(side, common, changed, padding) {
  const text = `${side} \u00d7 ${side} of them make one score. Shared with the neighbour: ${common} of ${side * side}, ${percent(common, side * side)}.`;
  return padding ? `${text} Changed by zeros around the window: ${changed} cells (marked).` : text;
}

// The cells in which the window alone and its part of the whole map differ, in any channel.
function differing(figure, index, step) {
  const [map, own] = [figure.run.maps[index], figure.found.maps[index]];
  const [top, left] = figure.state.window.map((n) => n * step);
  const cells = [];
  for (let n = 0; n < own.height * own.width; n++) {
    const [y, x] = [Math.floor(n / own.width), n % own.width];
    for (let c = 0; c < own.channels; c++) {
      const gap = own.data[c * own.height * own.width + n] - map.data[(c * map.height + top + y) * map.width + left + x];
      if (Math.abs(gap) > 1e-9) {
        cells.push(n);
        break;
      }
    }
  }
  return cells;
}

function markShared(pen, look, side, cell, by) {
  const columns = side - Math.abs(by);
  if (columns <= 0) return;
  pen.fillStyle = look["accent-soft"];
  pen.fillRect(Math.max(0, by) * cell, 0, columns * cell, side * cell);
  pen.fillStyle = hatchPattern(pen, look.accent, 1, 8, 1);
  pen.fillRect(Math.max(0, by) * cell, 0, columns * cell, side * cell);
}

function markChanged(pen, look, side, cell, changed) {
  pen.lineWidth = 1.6;
  pen.strokeStyle = `rgb(${look.score})`;
  for (const n of changed) {
    const [y, x] = [Math.floor(n / side) * cell, (n % side) * cell];
    pen.strokeRect(x + 2, y + 2, cell - 4, cell - 4);
    pen.beginPath();
    pen.moveTo(x + 3, y + 3);
    pen.lineTo(x + cell - 3, y + cell - 3);
    pen.stroke();
  }
}

function buildLayers(figure) {
  const channels = choice("Channel", [0, 1, 2, 3].map((n) => [n, `${n + 1}`]), figure.state.channel, (value) => figure.change({ channel: value }));
  const cards = [buildLayer(figure, 0, "After pooling 1"), buildLayer(figure, 1, "After pooling 2")];
  const node = element("section", { class: "layers" },
    element("header", {}, element("h3", { text: "What the two windows share" }), channels.node),
    element("div", { class: "cards" }, ...cards.map((card) => card.node)));
  function draw(look) {
    channels.set(figure.state.channel);
    cards.forEach((card) => card.draw(look));
  }
  return { node, draw };
}

// ---- What it costs

function barRow(name) {
  const bars = ["alone", "pass"].map((kind) => ({ kind, fill: element("i", { class: kind }), text: element("span") }));
  const ratio = element("td", { class: "ratio" });
  const node = element("tr", {}, element("th", { scope: "row", text: name }),
    element("td", {}, ...bars.map(({ fill, text }) => element("div", { class: "meter" }, fill, text))), ratio);
  function set(alone, pass, top) {
    [alone, pass].forEach((count, n) => {
      bars[n].fill.style.setProperty("--part", top ? Math.max(0.006, count / top).toFixed(4) : "0");
      setText(bars[n].text, words(count));
    });
    setText(ratio, pass ? `${(alone / pass).toPrecision(3).replace(/\.0+$/, "")} \u00d7` : "\u2013");
  }
  return { node, set };
}

function layerNames(layers) {
  let conv = 0;
  let fc = 0;
  return layers.filter(({ kind }) => kind !== "pool").map((layer) =>
    layer.kind === "conv" ? `Convolution ${++conv}, ${layer.outputs} maps` : `Linear ${++fc}, ${layer.outputs} outputs`);
}

function buildCost(figure) {
  const set = (index, value) => {
    const cost = figure.state.cost.map((old, n) => (n === index ? value : old));
    cost[2] = Math.min(cost[2], 2 ** cost[1]);
    figure.change({ cost });
  };
  const image = range("Side of the image, pixels", 64, 1024, (value) => set(0, value), 16);
  const depth = range("Convolutions", 1, 8, (value) => set(1, value));
  const stride = range("Stride, pixels", 0, 4, (value) => set(2, STRIDES[value]));
  const summary = element("p", { class: "summary" });
  const body = element("tbody");
  const table = element("table", {},
    element("thead", {}, element("tr", {}, element("th", { scope: "col", text: "Layer" }),
      element("th", { scope: "col" }, element("span", { class: "alone", text: "window by window" }), " and ", element("span", { class: "pass", text: "one pass" })),
      element("th", { scope: "col", text: "ratio" }))), body);
  const node = element("section", { class: "cost" }, element("h3", { text: "What it costs" }),
    element("div", { class: "sliders" }, image.node, depth.node, stride.node), summary, table);
  let rows = [];
  function draw() {
    const [side, count, by] = figure.state.cost;
    const layers = family(count, by);
    const found = compare(layers, side);
    const names = layerNames(layers);
    if (!same(names, rows.names)) {
      rows = names.map(barRow);
      rows.names = names;
      body.replaceChildren(...rows.map((row) => row.node));
    }
    image.set(side, `${side}`);
    depth.set(count, `${count}`);
    stride.set(STRIDES.indexOf(by), `${by}`);
    const top = Math.max(...found.alone);
    rows.forEach((row, n) => row.set(found.alone[n], found.pass[n], top));
    setText(summary, costSentence(found, side));
  }
  return { node, draw };
}

export function costSentence(found, side) {
  if (!found.windows) return `The window is ${found.window} \u00d7 ${found.window} pixels: larger than the image.`;
  const [alone, pass] = found.totals;
  return `A window is ${found.window} \u00d7 ${found.window} pixels; ${words(found.windows)} of them fit into ${side} \u00d7 ${side}. One by one: ${words(alone)} multiplications. One pass: ${words(pass)}, ${(alone / pass).toPrecision(3)} times fewer.`;
}

// ---- Together

function render({ model, el }) {
  const root = stage(el, "convolutionalization");
  const figure = new Figure(model, root);
  const parts = (figure.parts = {
    controls: buildControls(figure), source: buildSource(figure), map: buildMap(figure), readout: buildReadout(figure),
    sliders: buildSliders(figure), layers: buildLayers(figure), cost: buildCost(figure),
  });
  root.append(parts.controls.node, element("div", { class: "views" }, parts.source.node, parts.map.node), parts.readout.node,
    parts.sliders.node, parts.layers.node, parts.cost.node, figure.announce.node);
  const stops = TRAITS.map((name) => {
    const follow = () => figure.follow(name);
    model.on(`change:${name}`, follow);
    return () => model.off(`change:${name}`, follow);
  });
  stops.push(onTheme(() => { figure.look = null; figure.mark("all"); }));
  stops.push(onResize(root, () => figure.mark("all")));
  figure.draw();
  return () => {
    figure.loop.stop();
    figure.announce.stop();
    stops.forEach((stop) => stop());
    root.remove();
  };
}

export default { render };
