import { themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage } from "./kit/elements.js";
import { frameLoop, onResize, onTheme } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { fitCanvas, unpackBytes } from "./kit/pictures.js";

// Which layers enter a hypercolumn. Arithmetic first, as pure functions; what is drawn comes below.
//
// A map is { data, channels, height, width }, one channel after the other, values in rows. A share is what one layer adds to
// the class scores: { name, stride, scores (at the layer's own size), full (at the image's) }.

export const STRIDES = [2, 4, 8, 16, 32];
const PATHS = {
  32: { score_fr: [] },
  16: { score_fr: ["upscore2"], score_pool4: [] },
  8: { score_fr: ["upscore2", "upscore_pool4"], score_pool4: ["upscore_pool4"], score_pool3: [] },
};
const HEADS = { score_fr: 32, score_pool4: 16, score_pool3: 8 };

// bfloat16, two bytes each, low byte first.
export function unpackHalves(text) {
  const bytes = unpackBytes(text);
  const bits = Uint32Array.from({ length: bytes.length / 2 }, (_, n) => (bytes[2 * n] << 16) | (bytes[2 * n + 1] << 24));
  return Float64Array.from(new Float32Array(bits.buffer));
}

// Labels 0 to 3 in runs: each byte four times the run's length plus the label.
export function unpackLabels(text, count) {
  const labels = new Uint8Array(count);
  let at = 0;
  for (const byte of unpackBytes(text)) labels.fill(byte & 3, at, (at += byte >> 2));
  return labels;
}

export function layerMap(data, scene, k) {
  const side = data.size / STRIDES[k];
  const bytes = unpackBytes(data.scenes[scene].features[k]);
  const [low, step] = data.ranges[k];
  const area = side * side;
  return { data: Float64Array.from(bytes, (byte, n) => low[Math.floor(n / area)] + step[Math.floor(n / area)] * byte), channels: low.length, height: side, width: side };
}

// A classifier's weights, layer by layer: { bias, parts: [{ k, weights }] }, weights in rows of one channel each.
export function classifierOf(data, strides) {
  const classes = data.classes.length;
  const all = unpackHalves(data.classifiers[strides.join(" ")]);
  let at = 0;
  const parts = strides.map((stride) => {
    const k = STRIDES.indexOf(stride);
    const weights = all.slice(at, (at += data.layers[k].kept * classes));
    return { k, weights };
  });
  return { bias: all.slice(at), parts };
}

// A 1 x 1 convolution: weights[channel * classes + class].
export function scoreMap(map, weights, classes) {
  const area = map.height * map.width;
  const data = new Float64Array(classes * area);
  for (let c = 0; c < map.channels; c++) {
    for (let k = 0; k < classes; k++) {
      const weight = weights[c * classes + k];
      for (let n = 0; n < area; n++) data[k * area + n] += weight * map.data[c * area + n];
    }
  }
  return { data, channels: classes, height: map.height, width: map.width };
}

// One axis of bilinear resizing with align_corners=False: the two cells beside each output and the second one's weight.
function axis(size, output) {
  const low = new Int32Array(output), high = new Int32Array(output), weight = new Float64Array(output);
  for (let n = 0; n < output; n++) {
    const at = Math.max(((n + 0.5) * size) / output - 0.5, 0);
    low[n] = Math.min(Math.floor(at), size - 1);
    high[n] = Math.min(low[n] + 1, size - 1);
    weight[n] = at - low[n];
  }
  return { low, high, weight };
}

export function resizeBilinear(map, height, width) {
  const [down, across] = [axis(map.height, height), axis(map.width, width)];
  const data = new Float64Array(map.channels * height * width);
  const row = new Float64Array(map.width);
  for (let c = 0, out = 0; c < map.channels; c++) {
    const start = c * map.height * map.width;
    for (let y = 0; y < height; y++) {
      const [upper, lower, v] = [start + down.low[y] * map.width, start + down.high[y] * map.width, down.weight[y]];
      for (let x = 0; x < map.width; x++) row[x] = (1 - v) * map.data[upper + x] + v * map.data[lower + x];
      for (let x = 0; x < width; x++, out++) {
        data[out] = (1 - across.weight[x]) * row[across.low[x]] + across.weight[x] * row[across.high[x]];
      }
    }
  }
  return { data, channels: map.channels, height, width };
}

// FCN's learned up-sampling by 2: the border repeated once, 4 x 4 strokes two cells apart, cut to twice the size.
// weights[((from * classes + to) * 4 + row) * 4 + column].
export function upscore(map, weights) {
  const { channels, height: h, width: w } = map;
  const [height, width] = [2 * h, 2 * w];
  const data = new Float64Array(channels * height * width);
  const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
  for (let from = 0; from < channels; from++) {
    for (let r = -1; r <= h; r++) {
      for (let s = -1; s <= w; s++) {
        const value = map.data[(from * h + within(r, h)) * w + within(s, w)];
        for (let n = 0; n < channels * 16; n++) {
          const [to, a, b] = [n >> 4, (n >> 2) & 3, n & 3];
          const [y, x] = [2 * r + a - 1, 2 * s + b - 1];
          if (y < 0 || y >= height || x < 0 || x >= width) continue;
          data[(to * height + y) * width + x] += value * weights[(from * channels + to) * 16 + (n & 15)];
        }
      }
    }
  }
  return { data, channels, height, width };
}

// What each chosen layer adds to the scores, and the bias.
export function layerShares(data, scene, strides) {
  const { bias, parts } = classifierOf(data, strides);
  const shares = parts.map(({ k, weights }) => {
    const scores = scoreMap(layerMap(data, scene, k), weights, data.classes.length);
    return { name: data.layers[k].name, stride: STRIDES[k], scores, full: resizeBilinear(scores, data.size, data.size) };
  });
  return { shares, bias };
}

// The same scores the other way round: every channel up-sampled, then the 1 x 1 convolution.
export function upsampleThenScore(data, scene, strides) {
  const { bias, parts } = classifierOf(data, strides);
  const shares = parts.map(({ k, weights }) => ({
    full: scoreMap(resizeBilinear(layerMap(data, scene, k), data.size, data.size), weights, data.classes.length),
  }));
  return sumShares(shares, bias);
}

// What each score map of an FCN adds.
export function fcnShares(data, scene, net) {
  const classes = data.classes.length;
  const shares = Object.entries(PATHS[net]).map(([name, path]) => {
    const values = unpackHalves(data.scenes[scene].fcn[`FCN${net}s.${name}`]);
    const side = Math.sqrt(values.length / classes);
    const scores = { data: values, channels: classes, height: side, width: side };
    const finer = path.reduce((map, up) => upscore(map, unpackHalves(data.upscore[`FCN${net}s.${up}`])), scores);
    return { name, stride: HEADS[name], scores, full: resizeBilinear(finer, data.size, data.size) };
  });
  return { shares: shares.reverse(), bias: new Float64Array(classes) }; // fine first, as layers are
}

export function sumShares(shares, bias) {
  const total = new Float64Array(shares[0].full.data.length);
  const area = total.length / bias.length;
  bias.forEach((value, k) => total.fill(value, k * area, (k + 1) * area));
  for (const { full } of shares) for (let n = 0; n < total.length; n++) total[n] += full.data[n];
  return total;
}

// The class with the greatest score at each pixel; among equals the first.
export function argmax(scores, classes) {
  const area = scores.length / classes;
  const labels = new Uint8Array(area);
  for (let n = 0; n < area; n++) {
    for (let k = 1; k < classes; k++) if (scores[k * area + n] > scores[labels[n] * area + n]) labels[n] = k;
  }
  return labels;
}

// Mean over the classes that occur of intersection over union.
export function meanIou(prediction, truth, classes) {
  const [both, either] = [new Float64Array(classes), new Float64Array(classes)];
  truth.forEach((label, n) => {
    either[label] += 1;
    if (prediction[n] === label) both[label] += 1;
    else either[prediction[n]] += 1;
  });
  const found = Array.from(both, (count, k) => count / either[k]).filter((value) => !Number.isNaN(value));
  return found.reduce((sum, value) => sum + value, 0) / found.length;
}

// 1 where one of a pixel's four neighbours has another label.
export function outline(labels, width) {
  const height = labels.length / width;
  return Uint8Array.from(labels, (label, n) => {
    const [y, x] = [Math.floor(n / width), n % width];
    return Number((x > 0 && labels[n - 1] !== label) || (x < width - 1 && labels[n + 1] !== label)
      || (y > 0 && labels[n - width] !== label) || (y < height - 1 && labels[n + width] !== label));
  });
}

// F1 of the boundary pixels of each class: how many have one of the other map, of the same class, within the tolerance.
export function boundaryF1(prediction, truth, width, tolerance, classes) {
  const edges = [prediction, truth].map((labels) => outline(labels, width));
  const near = offsetsWithin(tolerance);
  const height = truth.length / width;
  const share = (k, [labels, edge], [others, otherEdge]) => {
    let [count, met] = [0, 0];
    for (let n = 0; n < labels.length; n++) {
      if (!edge[n] || labels[n] !== k) continue;
      count += 1;
      const [y, x] = [Math.floor(n / width), n % width];
      met += near.some(([a, b]) => {
        const at = n + a * width + b;
        return y + a >= 0 && y + a < height && x + b >= 0 && x + b < width && otherEdge[at] && others[at] === k;
      });
    }
    return [count, met / count];
  };
  return Array.from({ length: classes }, (_, k) => {
    const [found, precision] = share(k, [prediction, edges[0]], [truth, edges[1]]);
    const [true_, recall] = share(k, [truth, edges[1]], [prediction, edges[0]]);
    if (!found && !true_) return NaN;
    return !found || !true_ || precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
  });
}

function offsetsWithin(tolerance) {
  const reach = Math.floor(tolerance);
  const offsets = [];
  for (let a = -reach; a <= reach; a++) for (let b = -reach; b <= reach; b++) if (a * a + b * b <= tolerance * tolerance) offsets.push([a, b]);
  return offsets.sort(([a, b], [c, d]) => a * a + b * b - c * c - d * d);
}

export function meanOf(values) {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

// ---- The profile ---------------------------------------------------------------------------------------------------

// The labels at n equally spaced points of a line, and where along it (in pixels) the label changes.
export function labelsAlong(labels, width, [x1, y1, x2, y2], n) {
  const height = labels.length / width;
  const length = Math.hypot(x2 - x1, y2 - y1);
  const cell = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
  const found = Array.from({ length: n }, (_, i) => {
    const t = i / (n - 1);
    return labels[cell(y1 + t * (y2 - y1), height) * width + cell(x1 + t * (x2 - x1), width)];
  });
  const changes = [];
  for (let i = 1; i < n; i++) if (found[i] !== found[i - 1]) changes.push(((i - 0.5) * length) / (n - 1));
  return { labels: found, changes };
}

// The two classes that the profile weighs: those at the line's ends, or else the first other one along it.
export function pairOf(along) {
  const first = along[0];
  const last = along.at(-1);
  if (first !== last) return [first, last];
  const other = along.find((label) => label !== first);
  return [first, other ?? (first === 0 ? 1 : 0)];
}

// One channel of a full-size map at a point, between pixel centres bilinearly.
export function valueAt(map, channel, x, y) {
  const { height, width } = map;
  const u = Math.min(Math.max(x - 0.5, 0), width - 1), v = Math.min(Math.max(y - 0.5, 0), height - 1);
  const [j, i] = [Math.min(Math.floor(u), width - 2), Math.min(Math.floor(v), height - 2)];
  const [b, a] = [u - j, v - i];
  const at = channel * height * width + i * width + j;
  const { data } = map;
  return (1 - a) * ((1 - b) * data[at] + b * data[at + 1]) + a * ((1 - b) * data[at + width] + b * data[at + width + 1]);
}

// Along the line, what each share gives to the second class above the first; and the sum, bias included.
export function profile(shares, bias, [from, to], [x1, y1, x2, y2], n) {
  const lines = shares.map(({ full }) => Float64Array.from({ length: n }, (_, i) => {
    const [x, y] = [x1 + (i / (n - 1)) * (x2 - x1), y1 + (i / (n - 1)) * (y2 - y1)];
    return valueAt(full, to, x, y) - valueAt(full, from, x, y);
  }));
  const sum = Float64Array.from({ length: n }, (_, i) => lines.reduce((total, line) => total + line[i], bias[to] - bias[from]));
  return { lines, sum };
}

// Products: scoring each layer at its own size and up-sampling the scores, or up-sampling every channel first.
export function products(channels, strides, size, classes) {
  const cells = strides.map((stride) => (size / stride) ** 2);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const perPixel = 4 * size * size; // bilinear: four neighbours
  return {
    scoreFirst: sum(strides.map((_, n) => cells[n] * channels[n] * classes + perPixel * classes)),
    upsampleFirst: sum(strides.map((_, n) => perPixel * channels[n] + size * size * channels[n] * classes)),
  };
}

// ---- Drawing ---------------------------------------------------------------------------------------------------------

const TRAITS = ["view", "layers", "fcn", "scene", "line", "maps"];
const COLOURS = ["page", "panel", "text", "muted", "line", "control", "accent", "second", "accent-soft", "second-soft", "low"];
const CLASS_COLOURS = ["#777c84", "#1c90f7", "#f16a01", "#23a862"];
const WRONG = "#c81664";
const DASHES = { 2: [], 4: [7, 3], 8: [3, 3], 16: [9, 3, 2, 3], 32: [1.5, 3] };
const POINTS = 241; // of a profile
const REACH = 16; // CSS pixels around an end of the line that take hold of it

const TRIALS = [
  ["Deepest alone", { view: "hypercolumn", layers: [32] }, "One number per class for 32 \u00d7 32 pixels. Look at the profile: the step is smeared over more than a cell."],
  ["Finest alone", { view: "hypercolumn", layers: [2] }, "Sharp to two pixels, and short-sighted: each cell judges by 4 \u00d7 4 pixels. Shadows, highlights and dull colours fool it."],
  ["Both ends", { view: "hypercolumn", layers: [2, 32] }, "What from the depth, where from the first pooling. In the profile the fine layer supplies the step."],
  ["All five", { view: "hypercolumn", layers: STRIDES }, "Each layer gives what the others lack. No weight of the network has changed: all of it was there."],
  ["FCN-8s", { view: "fcn", fcn: 8 }, "The same idea inside a network, which may now learn layers that are worth adding."],
];

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const percent = (value) => (Number.isNaN(value) ? "\u2013" : fixed(value, 2));

function rgb(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return [r, g, b];
}

// A small picture with one pixel for each cell, to be enlarged; paint(n) gives red, green, blue and, if need be, alpha.
function picture(width, height, paint) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    const [r, g, b, a = 255] = paint(n);
    pixels.data.set([r, g, b, a], 4 * n);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function enlarge(canvas, small, side) {
  fitCanvas(canvas, side, (side * small.height) / small.width);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.clearRect(0, 0, side, side);
  pen.drawImage(small, 0, 0, side, (side * small.height) / small.width);
  return pen;
}

// Teal above zero, orange below, the page's tone at zero.
function diverging(look, value, most) {
  const share = clamp(value / most, -1, 1);
  const [from, to] = [look.zero, share > 0 ? look.above : look.below];
  return from.map((base, n) => base + Math.abs(share) ** 0.8 * (to[n] - base));
}

// The edges of a label map as lines between pixels.
function strokeEdges(pen, labels, width, unit, colour, thickness) {
  const height = labels.length / width;
  pen.beginPath();
  for (let n = 0; n < labels.length; n++) {
    const [y, x] = [Math.floor(n / width), n % width];
    if (x + 1 < width && labels[n] !== labels[n + 1]) {
      pen.moveTo((x + 1) * unit, y * unit);
      pen.lineTo((x + 1) * unit, (y + 1) * unit);
    }
    if (y + 1 < height && labels[n] !== labels[n + width]) {
      pen.moveTo(x * unit, (y + 1) * unit);
      pen.lineTo((x + 1) * unit, (y + 1) * unit);
    }
  }
  pen.strokeStyle = colour;
  pen.lineWidth = thickness;
  pen.stroke();
}

function strokeLine(pen, [x1, y1, x2, y2], unit, look) {
  for (const [colour, thickness] of [["#000000b0", 4.5], ["#ffffff", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    pen.beginPath();
    pen.moveTo(x1 * unit, y1 * unit);
    pen.lineTo(x2 * unit, y2 * unit);
    pen.stroke();
  }
  [[x1, y1, "A"], [x2, y2, "B"]].forEach(([x, y, name]) => {
    pen.beginPath();
    pen.arc(x * unit, y * unit, 8, 0, 7);
    pen.fillStyle = "#ffffff";
    pen.fill();
    pen.strokeStyle = "#000000b0";
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.fillStyle = "#1d232b";
    pen.font = `650 10.5px ${look.font}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(name, x * unit, y * unit + 0.5);
  });
}

// ---- Parts -----------------------------------------------------------------------------------------------------------

function buildTrials(figure) {
  const note = element("p", { class: "trial-note", role: "status" });
  const buttons = TRIALS.map(([label, values, text]) => element("button", {
    type: "button", class: "segcore-button", text: label, "aria-pressed": "false",
    onclick: () => { figure.change(values); setText(note, text); },
  }));
  function draw() {
    let any = false;
    TRIALS.forEach(([, values], n) => {
      const on = Object.entries(values).every(([name, value]) => same(figure.state[name], value));
      buttons[n].setAttribute("aria-pressed", String(on));
      if (on) setText(note, TRIALS[n][2]);
      any ||= on;
    });
    if (!any) setText(note, "Take layers in and out, and drag the line A\u2013B across any edge.");
  }
  return { node: element("div", {}, element("div", { class: "trials" }, element("span", { class: "segcore-label", text: "Try" }), ...buttons), note), draw };
}

function buildChoices(figure) {
  const view = choice("Scores from", [["hypercolumn", "Hypercolumn"], ["fcn", "FCN"]], figure.state.view, (value) => figure.change({ view: value }));
  const fcn = choice("Net", [[32, "32s"], [16, "16s"], [8, "8s"]], figure.state.fcn, (value) => figure.change({ fcn: value }));
  const scene = choice("Held-out scene", figure.data.scenes.map((_, n) => [n, String(n + 1)]), figure.state.scene, (value) =>
    figure.change({ scene: value, line: figure.data.scenes[value].line }));
  const maps = choice("Shares", [["up-sampled", "Up-sampled"], ["own", "Own cells"]], figure.state.maps, (value) => figure.change({ maps: value }));
  function draw() {
    const { state } = figure;
    view.set(state.view);
    fcn.set(state.fcn);
    fcn.node.hidden = state.view !== "fcn";
    scene.set(state.scene);
    maps.set(state.maps);
  }
  return { node: element("div", { class: "choices" }, view.node, fcn.node, scene.node, maps.node), draw };
}

// A card for each layer: in or out, and what it adds.
function buildCards(figure) {
  const lead = element("p", { class: "caption" });
  const cards = STRIDES.map((stride, k) => {
    const input = element("input", { type: "checkbox", onchange: () => figure.toggle(stride) });
    const canvas = element("canvas", { "aria-hidden": "true" });
    const name = element("span", { class: "card-name" });
    const facts = element("span", { class: "card-facts" });
    const head = element("span", { class: "card-head" }, input, name);
    const node = element("label", { class: "layer-card" }, head, canvas, facts);
    for (const [event, to] of [["pointerenter", stride], ["pointerleave", 0], ["focusin", stride], ["focusout", 0]]) {
      node.addEventListener(event, () => figure.point(to));
    }
    return { stride, k, node, input, canvas, name, facts };
  });
  const row = element("div", { class: "cards", role: "group", "aria-label": "Layers, from fine to coarse" }, ...cards.map((card) => card.node));

  function drawCard(card, look, most, side) {
    const { state, data, result } = figure;
    const hyper = state.view === "hypercolumn";
    const share = result.shares.find((each) => each.stride === card.stride);
    const layer = data.layers[card.k];
    card.node.hidden = !hyper && card.stride < 8;
    card.node.dataset.on = String(Boolean(share));
    card.input.checked = Boolean(share);
    card.input.hidden = !hyper;
    setText(card.name, hyper ? `stride ${card.stride}` : { 32: "score_fr", 16: "score_pool4", 8: "score_pool3" }[card.stride]);
    card.input.setAttribute("aria-label", `Stride ${card.stride}, ${layer.name}`);
    const cells = data.size / card.stride;
    setText(card.facts, hyper ? `${layer.name}: ${cells} \u00d7 ${cells} cells, each sees ${layer.field} px` : `stride ${card.stride}: ${cells} \u00d7 ${cells} cells of ${layer.name}`);
    const map = share && (state.maps === "own" ? share.scores : share.full);
    const [from, to] = result.pair;
    const area = map ? map.height * map.width : 1;
    const small = map
      ? picture(map.width, map.height, (n) => diverging(look, map.data[to * area + n] - map.data[from * area + n], most))
      : picture(cells, cells, (n) => ((Math.floor(n / cells) + n) % 2 ? look.zero : look.faint));
    const pen = enlarge(card.canvas, small, side);
    if (map) strokeEdges(pen, figure.scene.labels, data.size, side / data.size, `${look.text}70`, 1);
  }
  function draw(look) {
    const { result, data, state } = figure;
    const [from, to] = result.pair.map((k) => data.classes[k]);
    row.dataset.view = state.view;
    setText(lead, `What each layer adds to \u201c${to} rather than ${from}\u201d, the classes at B and A: teal for ${to}, orange for ${from}. Lines: the true edges.`);
    const shown = state.view === "hypercolumn" ? 5 : 3;
    const columns = row.clientWidth < 460 ? 3 : shown;
    const side = Math.floor(Math.min(196, (row.clientWidth - 8 * (columns - 1)) / columns - 18));
    const most = mostOf(result);
    cards.forEach((card) => drawCard(card, look, most, side));
  }
  return { node: element("section", {}, lead, row), draw };
}

function mostOf({ shares, pair: [from, to] }) {
  let most = 1e-6;
  for (const { full } of shares) {
    const area = full.height * full.width;
    for (let n = 0; n < area; n += 7) most = Math.max(most, Math.abs(full.data[to * area + n] - full.data[from * area + n]));
  }
  return most;
}

// The scene with the line, the prediction, and where it is wrong.
function buildPanels(figure) {
  const titles = ["Scene, with the line A\u2013B", "Prediction", "Wrong pixels"];
  const panels = titles.map((title) => {
    const canvas = element("canvas", {});
    const caption = element("p", { class: "caption" });
    return { canvas, caption, node: element("section", { class: "panel" }, element("h3", { text: title }), element("div", { class: "plate" }, canvas), caption) };
  });
  const [source, predicted, wrong] = panels;
  predicted.canvas.setAttribute("role", "img");
  wrong.canvas.setAttribute("role", "img");
  source.canvas.setAttribute("aria-hidden", "true");
  const ends = ["A", "B"].map((name, n) => handle(figure, name, n));
  source.node.querySelector(".plate").append(...ends.map((end) => end.node));
  dragging(figure, source.node.querySelector(".plate"), source.canvas);
  const legend = element("p", { class: "legend" }, ...figure.data.classes.map((name, k) =>
    element("span", {}, element("i", { style: `background:${CLASS_COLOURS[k]}` }), name)));
  predicted.caption.append(legend);

  function draw(look, all) {
    const { data, scene, result, state } = figure;
    const [wide, side] = [source, predicted].map((panel) => Math.min(350, panel.node.clientWidth));
    const unit = (figure.unit = wide / data.size);
    const small = scene.picture ?? picture(1, 1, () => look.zero);
    const pen = enlarge(source.canvas, small, wide);
    strokeLine(pen, state.line, unit, look);
    ends.forEach((end) => end.draw());
    const onLabels = enlarge(predicted.canvas, result.picture, side);
    strokeEdges(onLabels, scene.labels, data.size, side / data.size, "#ffffffd0", 1.2);
    thinLine(onLabels, state.line, side / data.size);
    if (!all) return;
    drawErrors(wrong, figure, look, side);
    setText(source.caption, "Drag A, B or the line between them, or focus one and use the arrow keys.");
    predicted.canvas.setAttribute("aria-label", `Predicted label map, ${figure.sourceWords()}. True edges in white.`);
  }
  return { node: element("div", { class: "panels" }, ...panels.map((panel) => panel.node)), draw };
}

function thinLine(pen, [x1, y1, x2, y2], unit) {
  for (const [colour, thickness] of [["#00000090", 3], ["#ffffff", 1.2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    pen.beginPath();
    pen.moveTo(x1 * unit, y1 * unit);
    pen.lineTo(x2 * unit, y2 * unit);
    pen.stroke();
  }
}

function drawErrors(panel, { data, scene, result }, look, side) {
  const grey = scene.grey;
  const red = rgb(WRONG);
  const small = picture(data.size, data.size, (n) => {
    const light = look.dark ? 20 + (grey ? grey[n] * 0.45 : 60) : 150 + (grey ? grey[n] * 0.41 : 50);
    return result.labels[n] === scene.labels[n] ? [light, light, light] : red;
  });
  const pen = enlarge(panel.canvas, small, side);
  strokeEdges(pen, scene.labels, data.size, side / data.size, look.text, 1.2);
  const { wrong, nearEdge } = result;
  const text = `${wrong} of ${data.size ** 2} pixels, ${wrong ? Math.round((100 * nearEdge) / wrong) : 0} % of them within 3 px of a true edge.`;
  setText(panel.caption, text);
  panel.canvas.setAttribute("aria-label", `Wrong pixels in crimson over the scene: ${text}`);
}

// One end of the line, for the keyboard.
function handle(figure, name, n) {
  const node = element("button", { type: "button", class: "handle", onkeydown: (event) => {
    const step = event.shiftKey ? 5 : 1;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const line = [...figure.state.line];
    line[2 * n] += by[0];
    line[2 * n + 1] += by[1];
    figure.moveLine(line);
    figure.announce.say(figure.sentence());
  } });
  function draw() {
    const [x, y] = figure.state.line.slice(2 * n, 2 * n + 2);
    node.style.left = `${x * figure.unit}px`;
    node.style.top = `${y * figure.unit}px`;
    node.setAttribute("aria-label", `End ${name} of the line, ${Math.round(x)} pixels right, ${Math.round(y)} down; arrow keys move it`);
  }
  return { node, draw };
}

// Pointers: an end if one is near, else the whole line.
function dragging(figure, plate, canvas) {
  let grip = null;
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [(event.clientX - frame.left) / figure.unit, (event.clientY - frame.top) / figure.unit];
  };
  const distance = ([x, y], [u, v]) => Math.hypot(x - u, y - v) * figure.unit;
  plate.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const point = at(event);
    const line = figure.state.line;
    const [a, b] = [line.slice(0, 2), line.slice(2)];
    const near = [distance(point, a), distance(point, b)];
    const nearest = near[0] < near[1] ? 0 : 1;
    const middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    if (near[nearest] < (event.pointerType === "touch" ? 1.6 : 1) * REACH) grip = { end: nearest };
    else {
      const onLine = distance(point, footOn(point, line)) < 1.3 * REACH;
      grip = { from: onLine ? point : middle, line };
    }
    plate.setPointerCapture(event.pointerId);
    event.preventDefault();
    plate.querySelectorAll(".handle")[nearest].focus({ preventScroll: true });
    move(event);
  });
  function move(event) {
    if (!grip) return;
    const [x, y] = at(event);
    const line = [...(grip.line ?? figure.state.line)];
    if (grip.end !== undefined) [line[2 * grip.end], line[2 * grip.end + 1]] = [x, y];
    else figure.shiftLine(line, x - grip.from[0], y - grip.from[1]);
    figure.moveLine(line);
  }
  plate.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) plate.addEventListener(name, () => { grip = null; });
}

function footOn([x, y], [x1, y1, x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const t = clamp(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1), 0, 1);
  return [x1 + t * dx, y1 + t * dy];
}

// Scores along the line: each layer's share and their sum, over the true classes.
function buildProfile(figure) {
  const canvas = element("canvas", { role: "img" });
  const title = element("h3", {});
  const words = element("p", { class: "reading" });
  const node = element("section", { class: "profile" }, title, canvas, words);

  function draw(look) {
    const { data, result, state, along, predictedAlong } = figure;
    const width = node.clientWidth;
    const height = width < 460 ? 210 : 230;
    fitCanvas(canvas, width, height);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const [from, to] = result.pair.map((k) => data.classes[k]);
    setText(title, `Along the line: \u201c${to} rather than ${from}\u201d`);
    const { lines, sum } = profile(result.shares, result.bias, result.pair, state.line, POINTS);
    const box = { left: 40, right: width - 34, top: 24, bottom: height - 40 };
    const most = 1.08 * Math.max(1, ...[...lines, sum].map((line) => line.reduce((m, v) => Math.max(m, Math.abs(v)), 0)));
    const x = (i) => box.left + (i / (POINTS - 1)) * (box.right - box.left);
    const y = (value) => (box.top + box.bottom) / 2 - (value / most) * ((box.bottom - box.top) / 2);
    strips(pen, look, box, x, along, predictedAlong);
    axes(pen, look, box, y, most, Math.hypot(state.line[2] - state.line[0], state.line[3] - state.line[1]));
    trueEdges(pen, look, box, along, Math.hypot(state.line[2] - state.line[0], state.line[3] - state.line[1]));
    curves(pen, look, box, { x, y, lines, sum, shares: result.shares, pointed: figure.pointed });
    const constant = result.bias[result.pair[1]] - result.bias[result.pair[0]];
    setText(words, `${figure.sentence()}${constant ? ` The sum includes the classifier\u2019s constant, ${fixed(constant, 1)}.` : ""}`);
    canvas.setAttribute("aria-label", `Profile of the scores from A to B. ${figure.sentence()}`);
  }
  return { node, draw };
}

function strips(pen, look, box, x, along, predictedAlong) {
  const rows = [["truth", along, box.bottom + 4], ["predicted", predictedAlong, box.bottom + 15]];
  pen.font = `11px ${look.font}`;
  rows.forEach(([, { labels }, top]) => {
    const step = x(1) - x(0);
    labels.forEach((label, i) => {
      pen.fillStyle = CLASS_COLOURS[label];
      pen.fillRect(x(i) - step / 2, top, step + 0.5, 9);
    });
  });
  pen.fillStyle = look.muted;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  rows.forEach(([name, , top]) => pen.fillText(name === "truth" ? "true" : "found", box.left - 5, top + 5));
}

function axes(pen, look, box, y, most, length) {
  pen.strokeStyle = look.control;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(box.left, y(0));
  pen.lineTo(box.right, y(0));
  pen.stroke();
  pen.fillStyle = look.muted;
  pen.font = `11px ${look.font}`;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const tick = most > 12 ? 10 : most > 6 ? 5 : most > 2.4 ? 2 : 1;
  [-tick, 0, tick].forEach((value) => pen.fillText(fixed(value, 0), box.left - 5, y(value)));
  pen.textBaseline = "top";
  pen.textAlign = "center";
  for (let at = 0; at <= length; at += length > 60 ? 16 : 8) pen.fillText(String(at), box.left + (at / length) * (box.right - box.left), box.bottom + 27);
  pen.textAlign = "left";
  pen.fillText("px", box.right + 14, box.bottom + 27);
}

function trueEdges(pen, look, box, along, length) {
  pen.strokeStyle = look.text;
  pen.setLineDash([4, 4]);
  pen.lineWidth = 1.2;
  along.changes.forEach((at) => {
    const x = box.left + (at / length) * (box.right - box.left);
    pen.beginPath();
    pen.moveTo(x, box.top - 6);
    pen.lineTo(x, box.bottom);
    pen.stroke();
  });
  pen.setLineDash([]);
  if (!along.changes.length) return;
  pen.fillStyle = look.muted;
  pen.font = `11px ${look.font}`;
  pen.textBaseline = "bottom";
  pen.textAlign = "center";
  const first = box.left + (along.changes[0] / length) * (box.right - box.left);
  pen.fillText("true edge", clamp(first, box.left + 24, box.right - 24), box.top - 7);
}

function curves(pen, look, box, { x, y, lines, sum, shares, pointed }) {
  const stroke = (values, colour, thickness, dash = []) => {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    pen.setLineDash(dash);
    pen.beginPath();
    values.forEach((value, i) => (i ? pen.lineTo(x(i), y(value)) : pen.moveTo(x(i), y(value))));
    pen.stroke();
    pen.setLineDash([]);
  };
  const labels = [];
  lines.forEach((values, n) => {
    const { stride } = shares[n];
    const lit = stride === pointed;
    stroke(values, lit ? look.second : look.accent, lit ? 2.6 : 1.6, DASHES[stride]);
    labels.push({ text: String(stride), at: y(values.at(-1)), colour: lit ? look.second : look.accent });
  });
  if (lines.length > 1) stroke(sum, look.text, 2.6);
  labels.push({ text: lines.length > 1 ? "sum" : "", at: y(sum.at(-1)), colour: look.text });
  placeLabels(pen, look, labels.filter(({ text }) => text), box);
}

// Names at the curves' right ends, moved apart where they would overlap.
function placeLabels(pen, look, labels, box) {
  labels.sort((a, b) => a.at - b.at);
  for (let n = 1; n < labels.length; n++) labels[n].at = Math.max(labels[n].at, labels[n - 1].at + 12);
  const over = labels.length ? labels.at(-1).at - box.bottom : 0;
  if (over > 0) for (let n = labels.length - 1; n >= 0; n--) labels[n].at = Math.min(labels[n].at, box.bottom - 12 * (labels.length - 1 - n));
  pen.font = `650 11.5px ${look.font}`;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  labels.forEach(({ text, at, colour }) => {
    pen.fillStyle = colour;
    pen.fillText(text, box.right + 5, at);
  });
}

// This scene's figures, and all subsets over many scenes.
function buildNumbers(figure) {
  const cells = ["Mean IoU", "Boundary F1", "Off at the edge"].map((label) => {
    const value = element("strong", {});
    return { value, node: element("div", { class: "number" }, element("span", { class: "segcore-label", text: label }), value) };
  });
  const many = element("p", { class: "caption" });
  const order = element("p", { class: "caption order" });
  const canvas = element("canvas", { role: "img", class: "cloud" });
  const title = element("h3", {});
  canvas.addEventListener("pointerdown", (event) => pickDot(figure, canvas, event));
  const cloud = element("section", { class: "cloud-part" }, title, canvas);
  const node = element("div", { class: "numbers" },
    element("section", { class: "figures" }, element("h3", { text: "This scene" }), element("div", { class: "measures" }, ...cells.map((cell) => cell.node)), many, order), cloud);

  function draw(look, all) {
    const { result, data, state } = figure;
    const { off } = figure.edge();
    setText(cells[2].value, off === null ? "\u2013" : `${fixed(off, 1)} px`);
    if (!all) return;
    setText(cells[0].value, percent(result.iou));
    setText(cells[1].value, percent(result.outline));
    const [iou, outline] = figure.tableEntry();
    setText(many, `Over ${data.held_out} held-out scenes: mean IoU ${fixed(iou, 2)}, boundary F1 ${fixed(outline, 2)} (tolerance ${data.tolerance} px, mean over classes).`);
    setText(order, state.view === "hypercolumn" ? figure.orderWords() : "Score maps at strides 32, 16 and 8 are added, the coarser one up-sampled by 2 with a learned filter each time; the last step to the image is bilinear.");
    setText(title, `All 31 subsets and three FCNs on ${data.held_out} scenes`);
    drawCloud(figure, canvas, look, cloud.clientWidth);
  }
  return { node, draw };
}

function dotsOf(figure) {
  const { data, state } = figure;
  const now = state.view === "hypercolumn" ? state.layers.join(" ") : `FCN${state.fcn}s`;
  const hyper = Object.entries(data.table).map(([key, point]) => ({ key, point, fcn: false, now: key === now }));
  const nets = Object.entries(data.fcn_table).map(([key, point]) => ({ key, point, fcn: true, now: key === now }));
  return [...hyper, ...nets];
}

function cloudFrame(figure, width, height) {
  const dots = dotsOf(figure);
  const ends = [0, 1].map((n) => {
    const values = dots.map(({ point }) => point[n]);
    return [Math.floor(10 * Math.min(...values) - 0.2) / 10, Math.ceil(10 * Math.max(...values) + 0.2) / 10];
  });
  const box = { left: 34, right: width - 12, top: 10, bottom: height - 34 };
  const x = (value) => box.left + ((value - ends[0][0]) / (ends[0][1] - ends[0][0])) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - ends[1][0]) / (ends[1][1] - ends[1][0])) * (box.bottom - box.top);
  return { dots, ends, box, x, y };
}

function drawCloud(figure, canvas, look, width) {
  const height = 220;
  fitCanvas(canvas, width, height);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const { dots, ends, box, x, y } = cloudFrame(figure, width, height);
  pen.strokeStyle = look.line;
  pen.fillStyle = look.muted;
  pen.font = `11px ${look.font}`;
  pen.lineWidth = 1;
  for (const n of [0, 1]) {
    for (let tick = Math.round(10 * ends[n][0]); tick <= Math.round(10 * ends[n][1]); tick += 1) {
      const at = n ? y(tick / 10) : x(tick / 10);
      pen.beginPath();
      pen.moveTo(n ? box.left : at, n ? at : box.bottom);
      pen.lineTo(n ? box.right : at, n ? at : box.top);
      pen.stroke();
      pen.textAlign = n ? "right" : "center";
      pen.textBaseline = n ? "middle" : "top";
      if (tick % 2 === 0) pen.fillText((tick / 10).toFixed(1), n ? box.left - 5 : at, n ? at : box.bottom + 5);
    }
  }
  pen.textAlign = "right";
  pen.textBaseline = "bottom";
  pen.fillText("mean IoU", box.right, height - 1);
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.fillText("boundary F1", box.left + 4, box.top);
  dots.sort((a, b) => a.now - b.now).forEach((dot) => drawDot(pen, look, dot, x(dot.point[0]), y(dot.point[1]), box));
  const now = dots.find((dot) => dot.now);
  canvas.setAttribute("aria-label", `Mean IoU and boundary F1 of all subsets. ${figure.sourceWords()}: ${now.point[0]} and ${now.point[1]}.`);
}

function drawDot(pen, look, { key, fcn, now }, x, y, box) {
  const radius = now ? 6 : 3.6;
  pen.beginPath();
  if (fcn) pen.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  else pen.arc(x, y, radius, 0, 7);
  pen.fillStyle = now ? look.second : fcn ? look.text : look.accent;
  pen.fill();
  if (!now && !fcn) return;
  pen.font = `650 11.5px ${look.font}`;
  const left = x > (box.left + box.right) / 2;
  pen.textAlign = left ? "right" : "left";
  pen.textBaseline = now ? "bottom" : "middle";
  pen.lineWidth = 3;
  pen.strokeStyle = look.page;
  const text = fcn ? key.slice(3) : key.split(" ").join(" + ");
  const place = [x + (left ? -1 : 1) * (radius + 4), y - (now ? 3 : 0)];
  pen.strokeText(text, ...place);
  pen.fillText(text, ...place);
}

function pickDot(figure, canvas, event) {
  const frame = canvas.getBoundingClientRect();
  const { dots, x, y } = cloudFrame(figure, frame.width, frame.height);
  const [u, v] = [event.clientX - frame.left, event.clientY - frame.top];
  const far = ({ point }) => Math.hypot(x(point[0]) - u, y(point[1]) - v);
  const nearest = dots.reduce((best, dot) => (far(dot) < far(best) ? dot : best));
  if (far(nearest) > 20) return;
  figure.change(nearest.fcn ? { view: "fcn", fcn: parseInt(nearest.key.slice(3), 10) } : { view: "hypercolumn", layers: nearest.key.split(" ").map(Number) });
}

// ---- The figure ------------------------------------------------------------------------------------------------------

function readLook(root) {
  const colours = themeColours(root, COLOURS);
  const dark = rgb(colours.page)[0] < 128;
  return {
    ...colours, dark, zero: rgb(colours.low), faint: rgb(colours.panel),
    above: dark ? [70, 200, 235] : [6, 104, 138], below: dark ? [244, 156, 78] : [184, 86, 8],
  };
}

// A scene unpacked; its picture arrives a moment later.
function openScene(data, n, onPicture) {
  const scene = { labels: unpackLabels(data.scenes[n].labels, data.size ** 2), picture: null, grey: null };
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [data.size, data.size];
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    const { data: pixels } = pen.getImageData(0, 0, data.size, data.size);
    scene.grey = Float64Array.from({ length: data.size ** 2 }, (_, i) => 0.3 * pixels[4 * i] + 0.59 * pixels[4 * i + 1] + 0.11 * pixels[4 * i + 2]);
    scene.picture = canvas;
    onPicture();
  };
  image.src = `data:image/jpeg;base64,${data.scenes[n].image}`;
  const edge = outline(scene.labels, data.size);
  scene.nearEdge = edge.map((_, at) => Number(nearAny(edge, data.size, at, 2)));
  return scene;
}

function nearAny(edge, width, at, reach) {
  const [y, x] = [Math.floor(at / width), at % width];
  for (let a = -reach; a <= reach; a++) {
    for (let b = -reach; b <= reach; b++) {
      if (y + a >= 0 && y + a < width && x + b >= 0 && x + b < width && edge[at + a * width + b]) return true;
    }
  }
  return false;
}

class Figure {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.data = model.get("data");
    this.state = Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
    this.scenes = new Map();
    this.pointed = 0;
    this.unit = 1;
    this.dirty = "all";
    this.announce = announcer();
    this.loop = frameLoop(() => this.draw());
    root.frames = this.loop.times;
    this.compute();
  }

  get scene() {
    const { scene } = this.state;
    if (!this.scenes.has(scene)) this.scenes.set(scene, openScene(this.data, scene, () => this.mark("all")));
    return this.scenes.get(scene);
  }

  mark(what) {
    if (this.dirty !== "all") this.dirty = what;
    this.loop.request();
  }

  change(values) {
    const news = Object.entries(values).filter(([name, value]) => !same(this.state[name], value));
    if (!news.length) return;
    for (const [name, value] of news) {
      this.state[name] = value;
      this.model.set(name, value);
    }
    this.model.save_changes();
    if (news.some(([name]) => name !== "line" && name !== "maps")) this.compute();
    else this.follow();
    this.mark("all");
    if (!news.every(([name]) => name === "line")) this.announce.say(this.summary());
  }

  toggle(stride) {
    const layers = STRIDES.filter((each) => this.state.layers.includes(each) !== (each === stride));
    if (layers.length) this.change({ layers });
    else {
      this.announce.say("A hypercolumn needs at least one layer.");
      this.parts.cards.node.querySelectorAll("input")[STRIDES.indexOf(stride)].checked = true;
    }
  }

  // Scores, labels and what they are worth.
  compute() {
    const { data, state, scene } = this;
    const classes = data.classes.length;
    const { shares, bias } = state.view === "hypercolumn" ? layerShares(data, state.scene, state.layers) : fcnShares(data, state.scene, state.fcn);
    const scores = sumShares(shares, bias);
    const labels = argmax(scores, classes);
    const colours = CLASS_COLOURS.map(rgb);
    let [wrong, nearEdge] = [0, 0];
    labels.forEach((label, n) => {
      if (label === scene.labels[n]) return;
      wrong += 1;
      nearEdge += scene.nearEdge[n];
    });
    this.result = {
      shares, bias, scores, labels, wrong, nearEdge, pair: [0, 1],
      iou: meanIou(labels, scene.labels, classes),
      outline: meanOf(boundaryF1(labels, scene.labels, data.size, data.tolerance, classes)),
      picture: picture(data.size, data.size, (n) => colours[labels[n]]),
    };
    this.follow();
  }

  // What lies along the line.
  follow() {
    const { data, state, scene, result } = this;
    this.along = labelsAlong(scene.labels, data.size, state.line, POINTS);
    this.predictedAlong = labelsAlong(result.labels, data.size, state.line, POINTS);
    const pair = pairOf(this.along.labels);
    this.pairChanged = !same(pair, result.pair);
    result.pair = pair;
  }

  moveLine(line) {
    const { size } = this.data;
    const inside = line.map((value) => Math.round(4 * clamp(value, 0, size)) / 4);
    if (Math.hypot(inside[2] - inside[0], inside[3] - inside[1]) < 8 || same(inside, this.state.line)) return;
    this.state.line = inside;
    this.model.set("line", inside);
    this.model.save_changes();
    this.follow();
    this.mark(this.pairChanged ? "all" : "line");
  }

  // Move the whole line, as far as the image goes.
  shiftLine(line, dx, dy) {
    const { size } = this.data;
    const room = (a, b, by) => clamp(by, -Math.min(a, b), size - Math.max(a, b));
    const [right, down] = [room(line[0], line[2], dx), room(line[1], line[3], dy)];
    line[0] += right;
    line[2] += right;
    line[1] += down;
    line[3] += down;
  }

  point(stride) {
    if (stride === this.pointed) return;
    this.pointed = stride;
    this.mark("line");
  }

  // The first true edge on the line, and how far from it the prediction changes.
  edge() {
    const [at] = this.along.changes;
    if (at === undefined) return { at: null, off: null };
    const off = Math.min(...this.predictedAlong.changes.map((place) => Math.abs(place - at)));
    return { at, off: Number.isFinite(off) ? off : null };
  }

  sentence() {
    const { at, off } = this.edge();
    if (at === null) return "The line crosses no true edge.";
    return off === null
      ? `True edge at ${fixed(at, 1)} px from A; the prediction does not change along the line.`
      : `True edge at ${fixed(at, 1)} px from A; the prediction changes ${fixed(off, 1)} px from there.`;
  }

  sourceWords() {
    return this.state.view === "hypercolumn" ? `Layers of stride ${this.state.layers.join(", ")}` : `FCN-${this.state.fcn}s`;
  }

  summary() {
    return `${this.sourceWords()}: mean IoU ${percent(this.result.iou)}, boundary F1 ${percent(this.result.outline)}.`;
  }

  tableEntry() {
    const { data, state } = this;
    return state.view === "hypercolumn" ? data.table[state.layers.join(" ")] : data.fcn_table[`FCN${state.fcn}s`];
  }

  orderWords() {
    const { data, state } = this;
    const channels = state.layers.map((stride) => data.layers[STRIDES.indexOf(stride)].channels);
    const { scoreFirst, upsampleFirst } = products(channels, state.layers, data.size, data.classes.length);
    const millions = (value) => `${fixed(value / 1e6, value < 1e7 ? 1 : 0)} million`;
    return `Score each layer, then up-sample: ${millions(scoreFirst)} products with all ${channels.join(" + ")} channels. Up-sample, then score: ${millions(upsampleFirst)}. The scores are the same.`;
  }

  adopt(name) {
    const value = this.model.get(name);
    if (same(this.state[name], value)) return;
    this.state[name] = value;
    this.stale = true;
    this.mark("all");
  }

  draw() {
    if (this.stale) {
      this.stale = false;
      this.compute();
    }
    const all = this.dirty === "all";
    if (!this.root.clientWidth) return;
    this.dirty = "";
    const look = (this.look ??= readLook(this.root));
    const { parts } = this;
    if (all) {
      parts.trials.draw();
      parts.choices.draw();
      parts.cards.draw(look);
    }
    parts.panels.draw(look, all);
    parts.profile.draw(look);
    parts.numbers.draw(look, all);
  }
}

function render({ model, el }) {
  const root = stage(el, "skips");
  const figure = new Figure(model, root);
  const parts = (figure.parts = {
    trials: buildTrials(figure), choices: buildChoices(figure), cards: buildCards(figure),
    panels: buildPanels(figure), profile: buildProfile(figure), numbers: buildNumbers(figure),
  });
  root.append(parts.trials.node, parts.choices.node, parts.cards.node, parts.panels.node, parts.profile.node, parts.numbers.node, figure.announce.node);
  const stops = TRAITS.map((name) => {
    const adopt = () => figure.adopt(name);
    model.on(`change:${name}`, adopt);
    return () => model.off(`change:${name}`, adopt);
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
