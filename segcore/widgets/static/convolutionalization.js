import { hatchPattern, hexToRgb, mixRgb, viridis } from "./kit/colours.js";
import { button, heading, key, slider, traitBox, traitChoice, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, oneOf, prefersStillness, whole, widget, yesNo } from "./kit/figure.js";
import { clamp, fixed, grouped, placeWords, plural, same } from "./kit/numbers.js";
import { clearCanvas, outlineRect, picture, strokeLine, unpackBytes } from "./kit/pictures.js";
import { draggable, onArrows, pointIn } from "./kit/pointer.js";

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
const ALL = CELLS * CELLS;
// Colours of the map, the same by day and by night, and the value at which each is full: a score above 0, one below, a gap.
const ZERO = hexToRgb("#e8ebef");
const HIGH = hexToRgb("#6d28d9");
const LOW = hexToRgb("#5b6470");
const FULL = { high: 4, low: 20, gap: 40 };
const LEVELS = viridis(256);
const CROSSED = ["#ffffff", 1.6];
const PER_FRAME = 4; // windows while sliding
const BUDGET = 5; // milliseconds for windows in a frame when no one watches them
const VIEWS = [["dense", "One pass"], ["windows", "Window by window"], ["difference", "Difference"]];
const STRIDES = [1, 2, 4, 8, 16];

// The network of the figure, as `multiplications` wants it.
const SMALL = [
  { kind: "conv", kernel: 4, inputs: 1, outputs: 4 }, { kind: "pool", kernel: 2 },
  { kind: "conv", kernel: 4, inputs: 4, outputs: 8 }, { kind: "pool", kernel: 2 },
  { kind: "linear", kernel: 4, inputs: 8, outputs: 8 }, { kind: "linear", kernel: 1, inputs: 8, outputs: 2 },
];

const TRIALS = [
  { label: "On the face", values: { window: [6, 12], padding: false, view: "dense" },
    note: "Two ways to the same score, equal to the last bit. It is above 0, so the network says: a face." },
  { label: "A false alarm", values: { window: [19, 25], padding: false, view: "dense" },
    note: "No face is here, and the score is above 0 as well. The map is no better than the classifier that it was made from." },
  { label: "Window by window", values: { padding: false, view: "windows" }, before: (figure) => slide(figure),
    note: "The slow way, one window after the other. Watch the count of multiplications grow past that of one pass." },
  { label: "Zero padding", values: { window: [6, 12], padding: true, view: "dense" },
    note: "Now each convolution pads with zeros. The window alone has zeros at its border where the map has picture: the numbers part." },
];

const percent = (part, all) => `${Math.round((100 * part) / all)} %`;

export function words(count) {
  for (const [size, name] of [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]]) {
    if (count >= size) return `${(count / size).toPrecision(3)} ${name}`;
  }
  return grouped(count);
}

// The other window: so many cells to the right, or to the left where the image ends.
export function neighbourOf([row, column], by) {
  return [row, column + by < CELLS ? column + by : column - by];
}

// The cell whose window has its centre nearest to a place in the image.
export function cellAt(x, y) {
  return [y, x].map((n) => clamp(Math.round((n - WINDOW / 2) / STRIDE), 0, CELLS - 1));
}

// ---- Both ways, computed: the map at once, the windows a few in each frame

function openRuns(model, image) {
  return readNetwork(model.get("network")).map((network) => {
    const layers = network.padding
      ? SMALL.map((layer) => (layer.kernel === 4 && layer.kind === "linear" ? { ...layer, kernel: 7 } : layer)) : SMALL;
    return { network, layers, ...dense(image, network), alone: new Float64Array(ALL).fill(NaN), done: 0 };
  });
}

const runOf = (figure) => figure.runs[figure.state.padding ? 1 : 0];

function scoreAlone(figure, [row, column]) {
  return classify(crop(figure.image, STRIDE * row, STRIDE * column, WINDOW), runOf(figure).network);
}

function pick(figure, row, column) {
  figure.sliding = 0;
  figure.set({ window: [clamp(row, 0, CELLS - 1), clamp(column, 0, CELLS - 1)] });
}

function slide(figure) {
  const run = figure.runs[0];
  run.done = 0;
  run.alone.fill(NaN);
  figure.sliding = prefersStillness() ? 0 : 1;
  figure.mark("view");
}

function work(figure) {
  const run = runOf(figure);
  if (!figure.sliding && (figure.state.view === "dense" || run.done === ALL)) return;
  const begin = performance.now();
  const target = figure.sliding ? Math.min(ALL, run.done + PER_FRAME) : ALL;
  const least = run.done + PER_FRAME; // on a slow machine, too, it comes to an end
  while (run.done < target && (run.done < least || performance.now() - begin < BUDGET)) {
    run.alone[run.done] = scoreAlone(figure, [Math.floor(run.done / CELLS), run.done % CELLS]).score;
    run.done += 1;
  }
  if (figure.sliding) {
    const n = Math.max(0, run.done - 1);
    figure.set({ window: [Math.floor(n / CELLS), n % CELLS] });
    if (run.done === ALL) figure.sliding = 0;
  }
  figure.mark("view");
}

// ---- Drawing

// Pictures are kept until what they show changes.
function keep(figure, name, stamp, make) {
  if (figure.kept[name]?.stamp !== stamp) figure.kept[name] = { stamp, canvas: make() };
  return figure.kept[name].canvas;
}

// A frame with a rim of the page's colour, so that it stands out from whatever lies below.
const frame = (pen, look, [x, y, side], colour, thick = 2) =>
  outlineRect(pen, x, y, side, side, [look.page, thick + 2], [colour, thick]);

function hatched(pen, look, x, y, width, height) {
  for (const ink of [look["accent-soft"], hatchPattern(pen, look.accent, 1, 8, 1)]) {
    pen.fillStyle = ink;
    pen.fillRect(x, y, width, height);
  }
}

// Two squares, and a hatch where they overlap: what both need.
function twoFrames(pen, look, first, second, thick = 2) {
  const left = Math.max(first[0], second[0]);
  const width = Math.min(first[0], second[0]) + first[2] - left;
  if (width > 0) hatched(pen, look, left, first[1], width, first[2]);
  frame(pen, look, second, look.accent, thick);
  frame(pen, look, first, look.second, thick + 0.5);
}

function begin(canvas, side) {
  const pen = clearCanvas(canvas, side);
  pen.imageSmoothingEnabled = false;
  return pen;
}

// A square picture to point at: pressed, dragged over, or walked through with the arrow keys.
function surface(figure, title, className) {
  const canvas = element("canvas", { class: className, tabindex: "0", role: "application", "aria-roledescription": "picture to point at" });
  const head = heading(title);
  const toPick = (event) => {
    const [x, y] = pointIn(canvas, event, canvas.clientWidth / figure.image.width);
    pick(figure, ...cellAt(x, y));
  };
  draggable(canvas, { start: (event) => { toPick(event); return true; }, move: (_, event) => toPick(event) });
  onArrows(canvas, ([x, y]) => pick(figure, figure.state.window[0] + y, figure.state.window[1] + x));
  return { node: element("div", { class: "surface" }, head, canvas), canvas, head };
}

function photo(figure) {
  return keep(figure, "photo", "", () =>
    picture(figure.image.height, figure.image.width, (n) => Array(3).fill(Math.round(255 * figure.image.data[n]))));
}

const bothPlaces = ({ state }, square) => [square(state.window), square(neighbourOf(state.window, state.neighbour))];

function buildSource(figure) {
  const { node, canvas } = surface(figure, "Drag the window", "source");
  function draw(look) {
    const side = node.clientWidth;
    const pen = begin(canvas, side);
    const scale = side / figure.image.width;
    pen.imageSmoothingEnabled = true;
    pen.drawImage(photo(figure), 0, 0, side, side);
    twoFrames(pen, look, ...bothPlaces(figure, ([row, column]) => [column * STRIDE * scale, row * STRIDE * scale, WINDOW * scale]));
    const [row, column] = figure.state.window;
    canvas.setAttribute("aria-label",
      `A photograph of an astronaut with the window at ${placeWords(STRIDE * row, STRIDE * column)} of its pixels. The arrow keys move it by ${STRIDE} pixels.`);
  }
  return { node, draw };
}

// What the map shows at a cell, in the chosen view; NaN where no window has been there yet.
function shownValue(run, view, n) {
  if (view === "dense") return run.scores.data[n];
  return view === "windows" ? run.alone[n] : Math.abs(run.alone[n] - run.scores.data[n]);
}

function mapPicture(figure) {
  const [run, { view }] = [runOf(figure), figure.state];
  return keep(figure, "map", `${view} ${figure.state.padding} ${run.done}`, () => picture(CELLS, CELLS, (n) => {
    const value = shownValue(run, view, n);
    if (Number.isNaN(value)) return [0, 0, 0, 0];
    const full = view === "difference" ? FULL.gap : value > 0 ? FULL.high : FULL.low;
    return mixRgb(ZERO, value > 0 ? HIGH : LOW, clamp(Math.abs(value) / full));
  }));
}

function buildMap(figure) {
  const { node, canvas, head } = surface(figure, "The map", "map");
  const scale = key(["scale score", ""], ["ring second", "its cell"]);
  const meaning = scale.firstChild.appendChild(element("span"));
  function draw(look) {
    const side = node.clientWidth;
    const pen = begin(canvas, side);
    const unit = side / figure.image.width;
    pen.globalAlpha = 0.28;
    pen.drawImage(photo(figure), 0, 0, side, side);
    pen.globalAlpha = 1;
    const edge = ((WINDOW - STRIDE) / 2) * unit;
    pen.drawImage(mapPicture(figure), edge, edge, CELLS * STRIDE * unit, CELLS * STRIDE * unit);
    const [own, other] = bothPlaces(figure, ([row, column]) => [edge + column * STRIDE * unit, edge + row * STRIDE * unit, STRIDE * unit]);
    frame(pen, look, other, look.accent);
    frame(pen, look, own, look.second, 2.5);
    const gap = figure.state.view === "difference";
    setText(head, gap ? "How far the two are apart" : `The map, ${CELLS} \u00d7 ${CELLS}`);
    scale.firstChild.firstChild.classList.toggle("gap", gap);
    setText(meaning, gap ? `0 to ${FULL.gap}` : `\u2212${FULL.low}, 0, +${FULL.high}: above 0 is a face`);
    canvas.setAttribute("aria-label", `${head.textContent}. ${mapNote(figure)} The arrow keys move the cell.`);
  }
  return { node: element("div", {}, node, scale), draw };
}

// What the map, or as much of it as there is, has cost; or how far apart the two ways are.
function mapNote(figure) {
  const [run, { state }] = [runOf(figure), figure];
  const cost = compare(run.layers, figure.image.width);
  const counts = state.padding ? paddedCounts(figure.image.width) : { one: cost.one, pass: cost.totals[1] };
  if (state.view === "dense") return `One pass: ${words(counts.pass)} multiplications for all ${ALL} cells. Window by window: ${words(ALL * counts.one)}.`;
  if (state.view === "windows") return `${run.done} of ${ALL} windows: ${words(run.done * counts.one)} multiplications. One pass: ${words(counts.pass)}.`;
  if (run.done < ALL) return `Computing window ${run.done + 1} of ${ALL} \u2026`;
  const most = run.alone.reduce((top, value, n) => Math.max(top, Math.abs(value - run.scores.data[n])), 0);
  return most === 0 ? "Zero in every cell." : most < 1e-9 ? "Below 0.000000001 in every cell." : `Up to ${fixed(most, 1)}.`;
}

// With padding of 2 the 4 x 4 convolutions give one more than they take.
function paddedCounts(side) {
  const count = (size) => {
    const [a, b] = [size + 1, Math.floor((size + 1) / 2) + 1];
    const c = Math.floor(b / 2) - 6;
    return a * a * 64 + b * b * 512 + c * c * (49 * 64 + 16);
  };
  return { one: count(WINDOW), pass: count(side) };
}

function buildControls(figure) {
  const halted = (trait) => (value) => {
    figure.sliding = 0;
    return { [trait]: value };
  };
  const view = traitChoice(figure, "view", "The map, computed", VIEWS, halted("view"));
  const padding = traitBox(figure, "padding", "Zero padding", halted("padding"));
  const stop = button("Stop", () => (figure.sliding = 0));
  const best = button("Highest score", () => {
    const { data } = runOf(figure).scores;
    const n = data.indexOf(Math.max(...data));
    pick(figure, Math.floor(n / CELLS), n % CELLS);
  });
  function draw() {
    stop.hidden = !figure.sliding;
    const { data } = runOf(figure).scores;
    const [row, column] = figure.state.window;
    best.disabled = data[row * CELLS + column] === Math.max(...data);
  }
  return { node: element("div", { class: "segcore-bar" }, view.node, padding.node, best, stop), draw };
}

function buildReadout(figure) {
  const cells = [["alone", "The window, cut out and classified alone"], ["cell", "Its cell of the map, from one pass"],
    ["gap", "Difference"]].map(([name, text]) => {
    const value = element("b");
    return { value, node: element("div", { class: `value ${name}` }, element("span", { class: "segcore-label", text }), value) };
  });
  const [verdict, note] = [element("p", { class: "verdict" }), element("p", { class: "note" })];
  const node = element("div", { class: "readout" }, ...cells.map((cell) => cell.node), verdict, note);
  function draw() {
    const [row, column] = figure.state.window;
    const alone = figure.found.score;
    const cell = runOf(figure).scores.data[row * CELLS + column];
    const equal = Math.abs(alone - cell) < 1e-9;
    [fixed(alone, 6), fixed(cell, 6), alone === cell ? "0" : fixed(alone - cell, 6)].forEach((text, n) => setText(cells[n].value, text));
    node.dataset.equal = String(equal);
    const text = equal
      ? `The same number, ${alone > 0 ? "above 0: the network says \u201ca face\u201d." : "below 0: no face."}`
      : "Not the same: the window alone has zeros around it, where the map has picture.";
    setText(verdict, text);
    setText(note, mapNote(figure));
    if (!figure.sliding) figure.say(`Window alone ${fixed(alone, 3)}, cell of the map ${fixed(cell, 3)}. ${text}`);
  }
  return { node, draw };
}

// ---- The layers below: what two windows share

function featurePicture(figure, name, map, channel) {
  const stamp = `${figure.state.padding} ${channel} ${name.startsWith("alone") ? figure.state.window : ""}`;
  return keep(figure, name, stamp, () => {
    const own = runOf(figure).maps[Number(name.at(-1))];
    const area = own.height * own.width;
    const top = own.data.subarray(channel * area, (channel + 1) * area).reduce((a, b) => Math.max(a, b), 1e-9);
    const cells = map.height * map.width;
    return picture(map.height, map.width, (n) => LEVELS[Math.round(255 * Math.sqrt(clamp(map.data[channel * cells + n] / top)))]);
  });
}

function buildLayer(figure, index, name) {
  const title = heading("");
  const [wide, small] = ["whole", "alone"].map((kind) => element("canvas", { role: "img", class: kind }));
  const caption = element("p", { class: "prose" });
  const labels = ["whole image, one pass", "window alone"].map((text) => element("span", { class: "segcore-label", text }));
  const node = element("div", { class: "layer" }, title,
    element("div", { class: "maps" }, element("div", {}, labels[0], wide), element("div", {}, labels[1], small)), caption);
  const step = index ? 1 : 2; // cells of this layer for one cell of the output
  function draw(look) {
    const { state, found } = figure;
    const [map, own] = [runOf(figure).maps[index], found.maps[index]];
    const side = Math.floor(Math.min(200, node.clientWidth * 0.54));
    const unit = side / map.width;
    const pen = begin(wide, side);
    pen.drawImage(featurePicture(figure, `whole${index}`, map, state.channel), 0, 0, side, side);
    twoFrames(pen, look, ...bothPlaces(figure, ([row, column]) => [column * step * unit, row * step * unit, own.width * unit]), 1.5);
    const changed = differing(figure, index, step);
    drawAlone(figure, small, look, { side: Math.floor(side * 0.66), own, index, step, changed });
    setText(title, `${name}: ${map.width} \u00d7 ${map.height} cells`);
    setText(caption, layerCaption(own.width, shared(own.width, step, state.neighbour), changed.length, state.padding));
    wide.setAttribute("aria-label", `${name}, channel ${state.channel + 1}, of the whole image, with the cells of both windows framed`);
    small.setAttribute("aria-label", `${name}, channel ${state.channel + 1}, of the window alone. ${caption.textContent}`);
  }
  return { node, draw };
}

// The layer of the window alone: hatched what the neighbour needs too, crossed what zeros at the border have changed.
function drawAlone(figure, canvas, look, { side, own, index, step, changed }) {
  const { state } = figure;
  const cell = side / own.width;
  const pen = begin(canvas, side);
  pen.drawImage(featurePicture(figure, `alone${index}`, own, state.channel), 0, 0, side, side);
  const by = step * (neighbourOf(state.window, state.neighbour)[1] - state.window[1]);
  const columns = own.width - Math.abs(by);
  if (columns > 0) hatched(pen, look, Math.max(0, by) * cell, 0, columns * cell, side);
  for (const n of changed) {
    const [y, x] = [Math.floor(n / own.width) * cell, (n % own.width) * cell];
    outlineRect(pen, x + 2, y + 2, cell - 4, cell - 4, CROSSED);
    strokeLine(pen, [x + 3, y + 3, x + cell - 3, y + cell - 3], CROSSED);
  }
  frame(pen, look, [1.25, 1.25, side - 2.5], look.second, 2.5);
}

function layerCaption(side, common, changed, padding) {
  const text = `${side} \u00d7 ${side} of them make one score. Shared with the neighbour: ${common} of ${side * side}, ${percent(common, side * side)}.`;
  return padding ? `${text} Changed by zeros around the window: ${plural(changed, "cell")} (crossed).` : text;
}

// The cells in which the window alone and its part of the whole map differ, in any channel.
function differing(figure, index, step) {
  const [map, own] = [runOf(figure).maps[index], figure.found.maps[index]];
  const [top, left] = figure.state.window.map((n) => n * step);
  const at = (c, n) => (c * map.height + top + Math.floor(n / own.width)) * map.width + left + (n % own.width);
  const area = own.height * own.width;
  const differs = (n) => Array.from({ length: own.channels }, (_, c) =>
    Math.abs(own.data[c * area + n] - map.data[at(c, n)])).some((gap) => gap > 1e-9);
  return Array.from({ length: area }, (_, n) => n).filter(differs);
}

function buildLayers(figure) {
  const channels = traitChoice(figure, "channel", "Channel", [0, 1, 2, 3].map((n) => [n, `${n + 1}`]));
  const place = ["Row", "Column"].map((name, axis) =>
    slider(`${name} of the map`, { min: 1, max: CELLS }, (value) =>
      pick(figure, ...figure.state.window.map((n, i) => (i === axis ? value - 1 : n)))));
  const distance = traitSlider(figure, "neighbour", "Neighbour at", { min: 1, max: 7 }, (value) =>
    `${plural(value, "cell")}, ${STRIDE * value} pixels`);
  const cards = [buildLayer(figure, 0, "After pooling 1"), buildLayer(figure, 1, "After pooling 2")];
  const crossed = key(["line second", "the window"], ["line", "its neighbour"], ["hatch shared", "what both need"],
    ["scale feature", "0 to the layer\u2019s largest value"], ["crossed", "changed by zeros around the window"]);
  function draw(look) {
    const { window: at } = figure.state;
    place.forEach((each, axis) => each.set(at[axis] + 1, `${at[axis] + 1} of ${CELLS}`));
    crossed.lastChild.hidden = !figure.state.padding;
    cards.forEach((card) => card.draw(look));
  }
  const nodes = [element("div", { class: "sliders" }, ...place.map((each) => each.node), distance.node), channels.node,
    element("div", { class: "cards" }, ...cards.map((card) => card.node)), crossed];
  return { nodes, draw };
}

// ---- What it costs

function barRow(name) {
  const bars = ["alone", "pass"].map((kind) => ({ fill: element("i", { class: kind }), text: element("span") }));
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
  const count = { conv: 0, linear: 0 };
  return layers.filter(({ kind }) => kind !== "pool").map(({ kind, outputs }) => {
    count[kind] += 1;
    return kind === "conv" ? `Convolution ${count[kind]}, ${outputs} maps` : `Linear ${count[kind]}, ${outputs} outputs`;
  });
}

function buildCost(figure) {
  const set = (index, value) => {
    const cost = figure.state.cost.map((old, n) => (n === index ? value : old));
    figure.set({ cost: [cost[0], cost[1], Math.min(cost[2], 2 ** cost[1])] });
  };
  const image = slider("Side of the image, pixels", { min: 64, max: 1024, step: 16 }, (value) => set(0, value));
  const depth = slider("Convolutions", { min: 1, max: 8 }, (value) => set(1, value));
  const stride = slider("Stride, pixels", { min: 0, max: 4 }, (value) => set(2, STRIDES[value]));
  const summary = element("p", { class: "summary" });
  const body = element("tbody");
  const table = element("table", {},
    element("thead", {}, element("tr", {}, element("th", { scope: "col", text: "Layer" }),
      element("th", { scope: "col" }, element("span", { class: "alone", text: "window by window" }), " and ",
        element("span", { class: "pass", text: "one pass" })),
      element("th", { scope: "col", text: "ratio" }))), body);
  let [rows, shown] = [[], []];
  function draw() {
    const [side, count, by] = figure.state.cost;
    const layers = family(count, by);
    const found = compare(layers, side);
    const names = layerNames(layers);
    if (!same(names, shown)) {
      [rows, shown] = [names.map(barRow), names];
      body.replaceChildren(...rows.map((row) => row.node));
    }
    image.set(side, grouped(side));
    depth.set(count);
    stride.input.max = String(Math.min(4, count));
    stride.set(STRIDES.indexOf(by), String(by));
    const top = Math.max(...found.alone);
    rows.forEach((row, n) => row.set(found.alone[n], found.pass[n], top));
    setText(summary, costSentence(found, side));
  }
  return { nodes: [element("div", { class: "sliders" }, image.node, depth.node, stride.node), summary,
    element("div", { class: "cost" }, table)], draw };
}

export function costSentence(found, side) {
  if (!found.windows) return `The window is ${found.window} \u00d7 ${found.window} pixels: larger than the image.`;
  const [alone, pass] = found.totals;
  return `A window is ${found.window} \u00d7 ${found.window} pixels; ${words(found.windows)} of them fit into ${grouped(side)} \u00d7 ${grouped(side)}. One by one: ${words(alone)} multiplications. One pass: ${words(pass)}, ${(alone / pass).toPrecision(3)} times fewer.`;
}

// ---- Together

function build(figure) {
  Object.assign(figure, { image: readImage(figure.model.get("scene")), sliding: 0, kept: {} });
  figure.runs = openRuns(figure.model, figure.image);
  const parts = {
    source: buildSource(figure), map: buildMap(figure), readout: buildReadout(figure), controls: buildControls(figure),
    layers: buildLayers(figure), cost: buildCost(figure),
  };
  const rest = "Drag the orange window over the photograph, or point at a cell of the map. Are the two numbers ever different?";
  const frames = key(["ring second", "the window"], ["ring", ""], ["hatch shared", "pixels that both need"]);
  parts.away = frames.children[1].appendChild(element("span"));
  figure.first(
    element("p", { class: "segcore-lead",
      text: "Cut out one window and classify it, or run the network once over the whole image and read the score from its map." }),
    trials(figure, TRIALS, rest).node,
    element("div", { class: "views" }, element("div", {}, parts.source.node, frames), parts.map.node, parts.readout.node),
    parts.controls.node);
  parts.folds = [
    figure.more("What two neighbouring windows share, layer by layer", parts.layers.nodes),
    figure.more("What it costs in larger networks, and which layers gain", parts.cost.nodes)];
  return parts;
}

function draw(figure, changed) {
  work(figure);
  const { parts, look } = figure;
  const moved = changed("window", "neighbour", "padding", "view", "channel");
  if (moved) figure.found = scoreAlone(figure, figure.state.window);
  if (moved) setText(parts.away, `${plural(figure.state.neighbour, "cell")} further`);
  if (moved) for (const name of ["controls", "source", "map", "readout"]) parts[name].draw(look);
  if (moved && parts.folds[0].open) parts.layers.draw(look);
  if (changed("cost") && parts.folds[1].open) parts.cost.draw();
}

const costCheck = (cost) =>
  listOf(whole(1, 1024), 3)(cost) || whole(64, 1024)(cost[0]) || whole(1, 8)(cost[1])
    || oneOf(...STRIDES.filter((by) => by <= 2 ** cost[1]))(cost[2]);

export default widget({
  slug: "convolutionalization",
  traits: {
    window: listOf(whole(0, CELLS - 1), 2), neighbour: whole(1, 7), padding: yesNo, view: oneOf("dense", "windows", "difference"),
    channel: whole(0, 3), cost: costCheck,
  },
  colours: ["page", "text", "accent", "second", "accent-soft"],
  build,
  draw,
});
