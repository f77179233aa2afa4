import { CLASS_COLOURS, hexToRgb, palette } from "./kit/colours.js";
import { heading, key, traitChoice, trials } from "./kit/controls.js";
import { element, put, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { argmax, largestOf, resizeBilinear } from "./kit/maps.js";
import { clamp, fixed, grouped, same } from "./kit/numbers.js";
import { clearCanvas, drawDisc, edgePath, enlarge, openImage, picture, pixelsOf, strokeAll, strokeLine,
  unpackBytes, unpackRuns } from "./kit/pictures.js";
import { draggable, onArrows, pointIn } from "./kit/pointer.js";
import { boundaryF1, boundaryPixels, classCounts, confusionMatrix, iou, nanMean } from "./kit/scores.js";

// Which layers enter a hypercolumn. Arithmetic first, as pure functions; what is drawn comes below.
//
// A map is { data, channels, height, width }, one channel after the other, values in rows. A share is what one layer adds to
// the class scores: { name, stride, scores (at the layer's own size), full (at the image's) }.

export { argmax, resizeBilinear };

export const STRIDES = [2, 4, 8, 16, 32];
const PATHS = {
  32: { score_fr: [] },
  16: { score_fr: ["upscore2"], score_pool4: [] },
  8: { score_fr: ["upscore2", "upscore_pool4"], score_pool4: ["upscore_pool4"], score_pool3: [] },
};
const HEADS = { 32: "score_fr", 16: "score_pool4", 8: "score_pool3" };

// bfloat16, two bytes each, low byte first.
export function unpackHalves(text) {
  const bytes = unpackBytes(text);
  const bits = Uint32Array.from({ length: bytes.length / 2 }, (_, n) => (bytes[2 * n] << 16) | (bytes[2 * n + 1] << 24));
  return Float64Array.from(new Float32Array(bits.buffer));
}

export function layerMap(data, scene, k) {
  const side = data.size / STRIDES[k];
  const bytes = unpackBytes(data.scenes[scene].features[k]);
  const [low, step] = data.ranges[k];
  const area = side * side;
  const values = Float64Array.from(bytes, (byte, n) => low[Math.floor(n / area)] + step[Math.floor(n / area)] * byte);
  return { data: values, channels: low.length, height: side, width: side };
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

// FCN's learned up-sampling by 2: the border repeated once, 4 x 4 strokes two cells apart, cut to twice the size.
// weights[((from * classes + to) * 4 + row) * 4 + column].
export function upscore(map, weights) {
  const { channels, height: h, width: w } = map;
  const [height, width] = [2 * h, 2 * w];
  const data = new Float64Array(channels * height * width);
  for (let from = 0; from < channels; from++) {
    for (let r = -1; r <= h; r++) {
      for (let s = -1; s <= w; s++) {
        const value = map.data[(from * h + clamp(r, 0, h - 1)) * w + clamp(s, 0, w - 1)];
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

// What each score map of an FCN adds.
export function fcnShares(data, scene, net) {
  const classes = data.classes.length;
  const shares = Object.entries(PATHS[net]).map(([name, path]) => {
    const values = unpackHalves(data.scenes[scene].fcn[`FCN${net}s.${name}`]);
    const side = Math.sqrt(values.length / classes);
    const scores = { data: values, channels: classes, height: side, width: side };
    const finer = path.reduce((map, up) => upscore(map, unpackHalves(data.upscore[`FCN${net}s.${up}`])), scores);
    return { name, stride: STRIDES.find((stride) => HEADS[stride] === name), scores, full: resizeBilinear(finer, data.size, data.size) };
  });
  return { shares: shares.reverse(), bias: new Float64Array(classes) }; // fine first, as layers are
}

// The class scores: all shares and the bias.
export function sumShares(shares, bias) {
  const { data, ...shape } = shares[0].full;
  const total = new Float64Array(data.length);
  const area = total.length / bias.length;
  bias.forEach((value, k) => total.fill(value, k * area, (k + 1) * area));
  for (const { full } of shares) for (let n = 0; n < total.length; n++) total[n] += full.data[n];
  return { ...shape, data: total };
}

// What a label map is worth: mean IoU, and the mean over the classes of the boundary F1.
export function measure(labels, truth, { size, tolerance, count }) {
  const matrix = confusionMatrix(labels, truth, count);
  const outlines = boundaryF1(labels, truth, { height: size, width: size, count, tolerance });
  return { matrix, iou: nanMean(classCounts(matrix, count).map(iou)), outline: nanMean(outlines.map(({ f1 }) => f1)) };
}

// ---- The profile ---------------------------------------------------------------------------------------------------

// The labels at n equally spaced points of a line, and where along it (in pixels) the label changes.
export function labelsAlong(labels, width, [x1, y1, x2, y2], n) {
  const height = labels.length / width;
  const length = Math.hypot(x2 - x1, y2 - y1);
  const cell = (value, size) => clamp(Math.floor(value), 0, size - 1);
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
  const [first, last] = [along[0], along.at(-1)];
  if (first !== last) return [first, last];
  const other = along.find((label) => label !== first);
  return [first, other ?? (first === 0 ? 1 : 0)];
}

// One channel of a full-size map at a point, between pixel centres bilinearly.
export function valueAt(map, channel, x, y) {
  const { height, width } = map;
  const [u, v] = [clamp(x - 0.5, 0, width - 1), clamp(y - 0.5, 0, height - 1)];
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

// ---- What is shown ---------------------------------------------------------------------------------------------------

const WRONG = "#c81664";
const DASHES = { 2: [], 4: [7, 3], 8: [3, 3], 16: [9, 3, 2, 3], 32: [1.5, 3] };
const POINTS = 241; // of a profile
const REACH = 16; // CSS pixels around an end of the line that take hold of it
const SHORTEST = 8; // pixels from A to B
const SOURCE = ["view", "layers", "fcn", "scene"]; // what the prediction depends on
const CLASS_RGB = CLASS_COLOURS.map(hexToRgb);

const sourceKey = ({ view, layers, fcn }) => (view === "fcn" ? `FCN${fcn}s` : layers.join(" "));
const sourceWords = ({ view, layers, fcn }) => (view === "fcn" ? `FCN-${fcn}s` : `Layers of stride ${layers.join(", ")}`);
const lengthOf = ([x1, y1, x2, y2]) => Math.hypot(x2 - x1, y2 - y1);

// A scene unpacked; its picture arrives a moment later.
function openScene(figure, n) {
  const { data } = figure;
  const { size } = data;
  const labels = unpackRuns(data.scenes[n].labels, size ** 2);
  const edge = boundaryPixels(labels, labels, { height: size, width: size });
  const scene = { labels, nearEdge: edge.map((_, at) => nearAny(edge, size, at, 2)), picture: null, grey: null };
  openImage(data.scenes[n].image).then((canvas) => {
    const { data: pixels } = pixelsOf(canvas);
    scene.grey = Float64Array.from({ length: size ** 2 }, (_, i) => 0.3 * pixels[4 * i] + 0.59 * pixels[4 * i + 1] + 0.11 * pixels[4 * i + 2]);
    scene.picture = canvas;
    figure.mark("scene");
  });
  return scene;
}

function nearAny(edge, width, at, reach) {
  const [y, x] = [Math.floor(at / width), at % width];
  for (let a = Math.max(0, y - reach); a <= Math.min(width - 1, y + reach); a++) {
    for (let b = Math.max(0, x - reach); b <= Math.min(width - 1, x + reach); b++) if (edge[a * width + b]) return true;
  }
  return false;
}

// Scores, labels and what they are worth.
function compute(figure) {
  const { data, state } = figure;
  const { size } = data;
  const { view, scene: n } = state;
  const scene = (figure.scenes[n] ??= openScene(figure, n));
  const { shares, bias } = view === "fcn" ? fcnShares(data, n, state.fcn) : layerShares(data, n, state.layers);
  const labels = argmax(sumShares(shares, bias));
  const wrong = Array.from(labels.keys()).filter((n) => labels[n] !== scene.labels[n]);
  Object.assign(figure, { scene, pair: null });
  figure.result = {
    shares, bias, labels, wrong: wrong.length, nearEdge: wrong.filter((n) => scene.nearEdge[n]).length,
    ...measure(labels, scene.labels, { size, tolerance: data.tolerance, count: data.classes.length }),
    picture: picture(size, size, (n) => CLASS_RGB[labels[n]]),
  };
  trace(figure);
}

// What lies along the line.
function trace(figure) {
  const { data, state, scene, result } = figure;
  figure.along = labelsAlong(scene.labels, data.size, state.line, POINTS);
  figure.predicted = labelsAlong(result.labels, data.size, state.line, POINTS);
  const pair = pairOf(figure.along.labels);
  if (same(pair, figure.pair)) return;
  figure.pair = pair;
  figure.mark("pair");
}

function settled(figure, names) {
  if (!names.some((name) => SOURCE.includes(name))) return trace(figure);
  compute(figure);
  const { iou: area, outline } = figure.result;
  figure.say(`${sourceWords(figure.state)}: mean IoU ${fixed(area, 2)}, boundary F1 ${fixed(outline, 2)}.`);
}

// The first true edge on the line, and how far from it the prediction changes; null where there is none.
function edgeOf({ along, predicted }) {
  const [at = null] = along.changes;
  const off = at === null || !predicted.changes.length ? null : Math.min(...predicted.changes.map((place) => Math.abs(place - at)));
  return { at, off };
}

function edgeWords(figure) {
  const { at, off } = edgeOf(figure);
  if (at === null) return "The line crosses no true edge.";
  const found = off === null ? "does not change along the line" : `changes ${fixed(off, 1)} px from there`;
  return `True edge at ${fixed(at, 1)} px from A; the prediction ${found}.`;
}

// The kind of object that is taken for another one most often, as parts of its pixels.
function confused({ data, result: { matrix } }) {
  const count = data.classes.length;
  const pairs = [];
  for (let truth = 1; truth < count; truth++) {
    const all = matrix.slice(truth * count, (truth + 1) * count).reduce((a, b) => a + b);
    for (let other = 1; other < count; other++) {
      if (other !== truth && all) pairs.push({ truth, other, share: matrix[truth * count + other] / all });
    }
  }
  return pairs.reduce((a, b) => (b.share > a.share ? b : a));
}

function missing({ data, scene, result }) {
  const gone = data.classes.filter((_, k) => scene.labels.includes(k) && !result.labels.includes(k));
  return gone.length ? `No pixel is called ${gone.join(" or ")}.` : "";
}

// ---- Controls

function trialsOf({ data: { table, fcn_table: nets, classes, held_out: many } }) {
  const [area, outline] = [(key) => fixed(table[key][0], 2), (key) => fixed(table[key][1], 2)];
  const all = STRIDES.join(" ");
  return [
    { label: "Deepest alone", values: { view: "hypercolumn", layers: [32] },
      note: (_, figure) => "One number per class for 32 \u00d7 32 pixels, and ramps between them: "
        + `nothing in the profile can step, and outlines become blobs. ${missing(figure)}` },
    { label: "Finest alone", values: { view: "hypercolumn", layers: [2] },
      note: (_, figure) => {
        const { truth, other, share } = confused(figure);
        return "Sharp to two pixels and short-sighted: a cell judges by 4 \u00d7 4 pixels. "
          + `Of all ${classes[truth]} pixels ${Math.round(100 * share)} % are called ${classes[other]}.`;
      } },
    { label: "Both ends", values: { view: "hypercolumn", layers: [2, 32] },
      note: "What from the depth, where from the first pooling: all that steps in the profile comes from stride 2. "
        + `Boundary F over ${many} scenes: ${outline("32")} and ${outline("2")} alone, ${outline("2 32")} together.` },
    { label: "All five", values: { view: "hypercolumn", layers: STRIDES },
      note: "Every layer has its say, and no weight of the network has changed. "
        + `Over ${many} scenes mean IoU is ${area(all)}, against ${area("32")} from the deepest alone.` },
    { label: "FCN: 32s, 16s, 8s", values: [32, 16, 8].map((fcn) => ({ view: "fcn", fcn })),
      note: ({ fcn }) => "The same sum inside a network that was trained with it. "
        + `Boundary F of FCN-${fcn}s over ${many} scenes: ${fixed(nets[`FCN${fcn}s`][1], 2)}. `
        + (fcn > 8 ? `Press again to add stride ${fcn / 2}.` : "Press again for stride 32 alone.") },
  ];
}

// Pointing at a layer's control or card lights its curve.
function pointsAt(figure, node, stride) {
  const to = (next) => () => {
    figure.pointed = next;
    figure.mark("pointed");
  };
  for (const event of ["pointerenter", "focusin"]) node.addEventListener(event, to(stride));
  for (const event of ["pointerleave", "focusout"]) node.addEventListener(event, to(0));
  return node;
}

function buildControls(figure) {
  const view = traitChoice(figure, "view", "Scores from", [["hypercolumn", "Hypercolumn"], ["fcn", "FCN"]]);
  const fcn = traitChoice(figure, "fcn", "Down to stride", [[32, "32s"], [16, "16s"], [8, "8s"]]);
  const toggle = (stride) => figure.set({ layers: STRIDES.filter((each) => figure.state.layers.includes(each) !== (each === stride)) });
  const inputs = STRIDES.map((stride, k) =>
    element("input", { type: "checkbox", "aria-label": `Stride ${stride}, ${figure.data.layers[k].name}`, onchange: () => toggle(stride) }));
  const layers = element("fieldset", { class: "segcore-choice layers" }, element("legend", { text: "Layer strides, one or more" }),
    element("div", { class: "segcore-options" }, ...inputs.map((input, k) =>
      pointsAt(figure, element("label", {}, input, element("span", { text: String(STRIDES[k]) })), STRIDES[k]))));
  const numbers = ["Mean IoU", "Boundary F", "Edge off by"].map((label) => {
    const value = element("strong", {});
    return { value, node: element("div", { class: "number" }, element("span", { class: "segcore-label", text: label }), value) };
  });
  const measures = element("div", { class: "measures" }, ...numbers.map((each) => each.node));
  const node = element("div", { class: "segcore-bar" }, view.node, layers, fcn.node, measures);
  function update() {
    const { state: now, result } = figure;
    [layers.hidden, fcn.node.hidden] = [now.view === "fcn", now.view !== "fcn"];
    inputs.forEach((input, k) => {
      input.checked = now.layers.includes(STRIDES[k]);
      input.disabled = input.checked && now.layers.length === 1;
      input.parentNode.title = input.disabled ? "At least one layer stays" : "";
    });
    const { off } = edgeOf(figure);
    const texts = [fixed(result.iou, 2), fixed(result.outline, 2), off === null ? "\u2013" : `${fixed(off, 1)} px`];
    numbers.forEach(({ value }, n) => setText(value, texts[n]));
  }
  return { node, update };
}

// ---- The line

// Move the line, or an end of it, as far as the image goes; the ends never meet.
function moveLine(figure, line) {
  const inside = line.map((value) => Math.round(4 * clamp(value, 0, figure.data.size)) / 4);
  if (lengthOf(inside) >= SHORTEST) figure.set({ line: inside });
}

function shifted([x1, y1, x2, y2], dx, dy, size) {
  const room = (a, b, by) => clamp(by, -Math.min(a, b), size - Math.max(a, b));
  const [right, down] = [room(x1, x2, dx), room(y1, y2, dy)];
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

const withEnd = (line, n, x, y) => (n ? [line[0], line[1], x, y] : [x, y, line[2], line[3]]);

// One end of the line, for the keyboard and the thumb.
function handle(figure, name, n) {
  const node = element("button", { type: "button", class: "handle", text: name });
  const place = () => figure.state.line.slice(2 * n, 2 * n + 2);
  onArrows(node, ([right, down]) => {
    const [x, y] = place();
    moveLine(figure, withEnd(figure.state.line, n, x + right, y + down));
    figure.say(edgeWords(figure));
  });
  function update(unit) {
    const [x, y] = place();
    [node.style.left, node.style.top] = [`${x * unit}px`, `${y * unit}px`];
    node.setAttribute("aria-label", `End ${name} of the line, ${Math.round(x)} pixels right, ${Math.round(y)} down; arrow keys move it`);
  }
  return { node, update };
}

// An end if one is near, else the whole line. A tap or click elsewhere brings the line's middle there.
function holdLine(figure, plate, ends) {
  const { size } = figure.data;
  const far = ([x, y], [u, v]) => Math.hypot(x - u, y - v) * figure.unit;
  draggable(plate, {
    slack: 3,
    start(event) {
      const point = pointIn(plate, event, figure.unit);
      const { line } = figure.state;
      const near = [far(point, line.slice(0, 2)), far(point, line.slice(2))];
      const end = near[0] < near[1] ? 0 : 1;
      ends[end].node.focus({ preventScroll: true });
      return { line, point, end: near[end] < (event.pointerType === "touch" ? 1.6 : 1) * REACH ? end : null };
    },
    move({ line, point, end }, event) {
      const [x, y] = pointIn(plate, event, figure.unit);
      moveLine(figure, end === null ? shifted(line, x - point[0], y - point[1], size) : withEnd(line, end, x, y));
    },
    end({ line, point: [x, y], end }, event, moved) {
      if (event.type === "pointercancel") moveLine(figure, line); // the finger went on to scroll the page
      if (event.type !== "pointerup" || moved || end !== null) return;
      moveLine(figure, shifted(line, x - (line[0] + line[2]) / 2, y - (line[1] + line[3]) / 2, size));
    },
  });
}

const drawLine = (pen, line, unit) => strokeLine(pen, line.map((value) => value * unit), ["#000000b0", 4], ["#ffffff", 2]);

function strokeEdges(pen, labels, size, unit, colour, thickness = 1.2) {
  edgePath(pen, labels, size, unit);
  strokeAll(pen, [colour, thickness]);
}

// ---- Cause and effect: the scene with the line, the prediction, the profile

function buildPictures(figure) {
  const source = element("canvas", { "aria-hidden": "true" });
  const predicted = element("canvas", { role: "img" });
  const ends = ["A", "B"].map((name, n) => handle(figure, name, n));
  const plate = element("div", { class: "plate" }, source, ...ends.map((end) => end.node));
  holdLine(figure, plate, ends);
  const nodes = [
    element("section", { class: "panel" }, heading("Scene: drag A\u2013B"), plate),
    element("section", { class: "panel" }, heading("Prediction"), predicted)];
  function draw(look) {
    const { data, scene, result, state } = figure;
    const side = Math.min(260, nodes[0].clientWidth);
    const unit = (figure.unit = side / data.size);
    const pen = enlarge(source, scene.picture ?? picture(1, 1, () => hexToRgb(look.low)), side);
    strokeEdges(pen, scene.labels, data.size, unit, "#ffffffb0", 1);
    drawLine(pen, state.line, unit);
    ends.forEach((end) => end.update(unit));
    const over = enlarge(predicted, result.picture, side);
    strokeEdges(over, scene.labels, data.size, unit, "#ffffffd0");
    drawLine(over, state.line, unit);
    predicted.setAttribute("aria-label", `Predicted label map, ${sourceWords(state)}. True edges in white.`);
    return side;
  }
  return { nodes, draw };
}

// Scores along the line: each layer's share and their sum, over the true classes.
function buildProfile(figure) {
  const [title, canvas, words] = [heading(""), element("canvas", { role: "img" }), element("p", { class: "reading" })];
  const node = element("section", { class: "panel profile" }, title, canvas, words);
  function draw(look, side) {
    const { data, result, state, along, predicted, pair, pointed } = figure;
    const width = node.clientWidth;
    const height = clamp(side - 44, 176, 210);
    const pen = clearCanvas(canvas, width, height);
    const [from, to] = pair.map((k) => data.classes[k]);
    setText(title, `A to B: ${to}, not ${from}`);
    const { lines, sum } = profile(result.shares, result.bias, pair, state.line, POINTS);
    const box = { left: 40, right: width - 36, top: 18, bottom: height - 42 };
    const most = 1.08 * Math.max(1, ...[...lines, sum].map((line) => line.reduce((m, v) => Math.max(m, Math.abs(v)), 0)));
    const length = lengthOf(state.line);
    const frame = {
      pen, look, box, most, length,
      x: (i) => box.left + (i / (POINTS - 1)) * (box.right - box.left),
      y: (value) => (box.top + box.bottom) / 2 - (value / most) * ((box.bottom - box.top) / 2),
      at: (place) => box.left + (place / (length || 1)) * (box.right - box.left),
    };
    drawStrips(frame, along, predicted);
    drawAxes(frame);
    drawTrueEdges(frame, along);
    drawCurves(frame, { lines, sum, shares: result.shares, pointed });
    setText(words, edgeWords(figure));
    canvas.setAttribute("aria-label", `Profile of the scores from A to B. ${edgeWords(figure)}`);
  }
  return { node, draw };
}

function write(pen, look, align, baseline, colour = look.muted, weight = "") {
  pen.font = `${weight} 11px ${look.font}`;
  [pen.textAlign, pen.textBaseline, pen.fillStyle] = [align, baseline, colour];
}

function drawStrips({ pen, look, box, x }, along, predicted) {
  const step = x(1) - x(0);
  [["true", along, box.bottom + 4], ["found", predicted, box.bottom + 15]].forEach(([name, { labels }, top]) => {
    labels.forEach((label, i) => {
      pen.fillStyle = CLASS_COLOURS[label];
      pen.fillRect(x(i) - step / 2, top, step + 1, 9);
    });
    write(pen, look, "right", "middle");
    pen.fillText(name, box.left - 5, top + 5);
  });
}

function drawAxes({ pen, look, box, y, most, length, at }) {
  strokeLine(pen, [box.left, y(0), box.right, y(0)], [look.control, 1]);
  write(pen, look, "right", "middle");
  const tick = most > 12 ? 10 : most > 6 ? 5 : most > 2.4 ? 2 : 1;
  [-tick, 0, tick].forEach((value) => pen.fillText(fixed(value, 0), box.left - 5, y(value)));
  write(pen, look, "center", "top");
  for (let place = 0; place <= length; place += length > 60 ? 16 : 8) pen.fillText(String(place), at(place), box.bottom + 27);
  pen.textAlign = "left";
  pen.fillText("px", box.right + 12, box.bottom + 27);
}

function drawTrueEdges({ pen, look, box, at }, { changes }) {
  pen.setLineDash([4, 4]);
  changes.forEach((place) => strokeLine(pen, [at(place), box.top - 3, at(place), box.bottom], [look.text, 1.2]));
  pen.setLineDash([]);
  if (!changes.length) return;
  write(pen, look, "center", "bottom");
  pen.fillText("true edge", clamp(at(changes[0]), box.left + 24, box.right - 24), box.top - 4);
}

function drawCurves({ pen, look, box, x, y }, { lines, sum, shares, pointed }) {
  const stroke = (values, colour, thickness, dash = []) => {
    pen.setLineDash(dash);
    pen.beginPath();
    values.forEach((value, i) => (i ? pen.lineTo(x(i), y(value)) : pen.moveTo(x(i), y(value))));
    strokeAll(pen, [colour, thickness]);
    pen.setLineDash([]);
  };
  const names = lines.map((values, n) => {
    const { stride } = shares[n];
    const colour = stride === pointed ? look.second : look.accent;
    stroke(values, colour, stride === pointed ? 2.8 : 1.7, DASHES[stride]);
    return { text: String(stride), at: y(values.at(-1)), colour };
  });
  stroke(sum, look.text, 2.4);
  placeNames(pen, look, [...names, { text: "sum", at: y(sum.at(-1)), colour: look.text }], box);
}

// Names at the curves' right ends, moved apart where they would overlap.
function placeNames(pen, look, names, box) {
  names.sort((a, b) => a.at - b.at);
  for (let n = 1; n < names.length; n++) names[n].at = Math.max(names[n].at, names[n - 1].at + 12);
  names.forEach((name, n) => (name.at = Math.min(name.at, box.bottom - 12 * (names.length - 1 - n))));
  names.forEach(({ text, at, colour }) => {
    write(pen, look, "left", "middle", colour, "650");
    pen.fillText(text, box.right + 5, at);
  });
}

// ---- Folded: what each layer adds

// How much higher the second class's score is than the first's, cell by cell.
function leaning({ data, height, width }, [from, to]) {
  const area = height * width;
  return Float64Array.from({ length: area }, (_, n) => data[to * area + n] - data[from * area + n]);
}

function buildCards(figure) {
  const lead = element("p", { class: "prose" });
  const forms = [["up-sampled", "Up-sampled"], ["own", "In own cells"]];
  const maps = traitChoice(figure, "maps", "Show the shares", forms);
  const cards = STRIDES.map((stride, k) => {
    const [canvas, name, facts] = [element("canvas", { "aria-hidden": "true" }), heading(""), element("p", { class: "card-facts" })];
    return { stride, k, canvas, name, facts, node: pointsAt(figure, element("div", { class: "layer-card" }, name, canvas, facts), stride) };
  });
  const row = element("div", { class: "cards", role: "group", "aria-label": "Layers, from fine to coarse" }, ...cards.map((card) => card.node));
  const [less, more] = [element("span"), element("span")];
  const scale = element("p", { class: "scale" }, less, element("i", { class: "segcore-mark", "aria-hidden": "true" }), more);

  function drawCard({ stride, k, canvas, name, facts, node }, look, most) {
    const { state, data, result, pair } = figure;
    const hyper = state.view === "hypercolumn";
    const share = result.shares.find((each) => each.stride === stride);
    const cells = data.size / stride;
    const layer = data.layers[k];
    node.hidden = !hyper && stride < 8;
    node.dataset.on = String(Boolean(share));
    if (node.hidden) return;
    setText(name, `${hyper ? `stride ${stride}` : HEADS[stride]}${share ? "" : ": left out"}`);
    const grid = `${cells} \u00d7 ${cells} cells`;
    setText(facts, hyper ? `${layer.name}: ${grid}, each sees ${layer.field} px` : `stride ${stride}: ${grid} of ${layer.name}`);
    const side = node.clientWidth - 16;
    const map = share && (state.maps === "own" ? share.scores : share.full);
    const values = map && leaning(map, pair);
    const pen = enlarge(canvas, map
      ? picture(map.height, map.width, (n) => look.about.at(values[n], most).rgb)
      : picture(cells, cells, (n) => look.blank[(Math.floor(n / cells) + n) % 2]), side);
    if (map) strokeEdges(pen, figure.scene.labels, data.size, side / data.size, `${look.text}90`, 1);
  }
  function draw(look) {
    const { data, result, state, pair } = figure;
    row.dataset.view = state.view;
    const [from, to] = pair.map((k) => data.classes[k]);
    const constant = result.bias[pair[1]] - result.bias[pair[0]];
    const also = constant ? ` The sum also has the classifier\u2019s constant, ${fixed(constant, 1)}.` : "";
    setText(lead, `What each layer says for \u201c${to}, not ${from}\u201d, the classes at B and A. Lines: the true edges.${also}`);
    setText(less, from);
    setText(more, to);
    const most = Math.max(1e-6, ...result.shares.map(({ full }) => largestOf({ data: leaning(full, pair) })));
    cards.forEach((card) => drawCard(card, look, most));
  }
  return { nodes: [element("div", { class: "segcore-bar" }, maps.node, scale), lead, row], row, draw };
}

// ---- Folded: another scene and its wrong pixels

function buildErrors(figure) {
  const { data } = figure;
  const scene = traitChoice(figure, "scene", "Held-out scene", data.scenes.map((_, n) => [n, String(n + 1)]), (value) =>
    ({ scene: value, line: data.scenes[value].line }));
  const canvas = element("canvas", { role: "img" });
  const words = element("p", { class: "prose" });
  const box = element("div", { class: "errors" }, canvas, element("div", {}, words, key(["wrong", "wrong class"], ["line edge", "true edge"])));
  function draw() {
    const { result, scene: { labels, grey } } = figure;
    const side = Math.min(300, box.clientWidth);
    const red = hexToRgb(WRONG);
    const pale = (n) => Array(3).fill(120 + 0.5 * (grey?.[n] ?? 128));
    const pen = enlarge(canvas, picture(data.size, data.size, (n) => (result.labels[n] === labels[n] ? pale(n) : red)), side);
    strokeEdges(pen, labels, data.size, side / data.size, "#1d232b");
    const share = result.wrong ? Math.round((100 * result.nearEdge) / result.wrong) : 0;
    setText(words, `${grouped(result.wrong)} of ${grouped(data.size ** 2)} pixels are wrong, ${share} % of them within 3 px of a true edge.`);
    canvas.setAttribute("aria-label", `The scene in grey, wrong pixels in crimson: ${words.textContent}`);
  }
  return { nodes: [scene.node, box], box, draw };
}

// ---- Folded: all subsets over many scenes

function dotsOf({ data, state }) {
  const now = sourceKey(state);
  const dots = (table, fcn) => Object.entries(table).map(([key, point]) => ({ key, point, fcn, now: key === now }));
  return [...dots(data.table, false), ...dots(data.fcn_table, true)];
}

function buildCloud(figure) {
  const canvas = element("canvas", { class: "cloud", role: "slider", tabindex: "0", "aria-label": "Choice of layers, by mean IoU" });
  const words = element("p", { class: "prose" });
  const node = element("div", {}, canvas);
  const pick = ({ key: name, fcn }) =>
    figure.set(fcn ? { view: "fcn", fcn: parseInt(name.slice(3), 10) } : { view: "hypercolumn", layers: name.split(" ").map(Number) });
  const ranked = () => dotsOf(figure).sort((a, b) => a.point[0] - b.point[0]);
  canvas.addEventListener("click", (event) => {
    const { dots, x, y } = cloudFrame(figure, canvas.clientWidth);
    const [u, v] = pointIn(canvas, event);
    const far = ({ point }) => Math.hypot(x(point[0]) - u, y(point[1]) - v);
    const nearest = dots.reduce((best, dot) => (far(dot) < far(best) ? dot : best));
    if (far(nearest) < 20) pick(nearest);
  });
  onArrows(canvas, ([right, down]) => {
    const dots = ranked();
    pick(dots[clamp(dots.findIndex(({ now }) => now) + right - down, 0, dots.length - 1)]);
  });
  function draw(look) {
    const { data, state } = figure;
    const dots = ranked();
    const at = dots.findIndex(({ now }) => now);
    const [area, outline] = dots[at].point.map((value) => fixed(value, 2));
    drawCloud(figure, canvas, look, node.clientWidth);
    const text = `${sourceWords(state)}, over ${data.held_out} held-out scenes: mean IoU ${area}, boundary F1 ${outline}`;
    setText(words, `${text} (tolerance ${data.tolerance} px, mean over classes).`);
    put(canvas, { "aria-valuemin": 1, "aria-valuemax": dots.length, "aria-valuenow": at + 1, "aria-valuetext": text });
  }
  const lead = "Click or tap a dot to see that choice of layers above; with the keyboard, arrow keys go from one to the next by mean IoU.";
  const marks = key(["dot", "a hypercolumn"], ["text", "an FCN"], ["dot second", "the one shown above"]);
  return { nodes: [element("p", { class: "prose", text: lead }), node, marks, words], node, draw };
}

const CLOUD = 230; // its height

function cloudFrame(figure, width) {
  const dots = dotsOf(figure);
  const ends = [0, 1].map((n) => {
    const values = dots.map(({ point }) => point[n]);
    return [Math.floor(10 * Math.min(...values) - 0.2) / 10, Math.ceil(10 * Math.max(...values) + 0.2) / 10];
  });
  const box = { left: 34, right: width - 12, top: 10, bottom: CLOUD - 34 };
  const along = (n, from, to) => (value) => from + ((value - ends[n][0]) / (ends[n][1] - ends[n][0])) * (to - from);
  return { dots, ends, box, x: along(0, box.left, box.right), y: along(1, box.bottom, box.top) };
}

function drawCloud(figure, canvas, look, width) {
  const pen = clearCanvas(canvas, width, CLOUD);
  const { dots, ends, box, x, y } = cloudFrame(figure, width);
  for (const n of [0, 1]) {
    write(pen, look, n ? "right" : "center", n ? "middle" : "top");
    for (let tick = Math.round(10 * ends[n][0]); tick <= Math.round(10 * ends[n][1]); tick++) {
      const at = n ? y(tick / 10) : x(tick / 10);
      strokeLine(pen, n ? [box.left, at, box.right, at] : [at, box.bottom, at, box.top], [look.line, 1]);
      if (tick % 2 === 0) pen.fillText((tick / 10).toFixed(1), n ? box.left - 5 : at, n ? at : box.bottom + 5);
    }
  }
  write(pen, look, "right", "bottom");
  pen.fillText("mean IoU", box.right, CLOUD - 1);
  write(pen, look, "left", "top");
  pen.fillText("boundary F1", box.left + 4, box.top);
  dots.sort((a, b) => a.now - b.now).forEach((dot) => drawDot(pen, look, dot, x(dot.point[0]), y(dot.point[1]), box));
}

function drawDot(pen, look, { key: name, fcn, now }, x, y, box) {
  const radius = now ? 6 : 4;
  const colour = now ? look.second : fcn ? look.text : look.accent;
  pen.fillStyle = colour;
  if (fcn) pen.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
  else drawDisc(pen, x, y, radius, colour);
  if (!now && !fcn) return;
  const left = x > (box.left + box.right) / 2;
  write(pen, look, left ? "right" : "left", now ? "bottom" : "middle", colour, "650");
  [pen.lineWidth, pen.strokeStyle] = [3, look.page];
  const place = [fcn ? name.slice(3) : name.split(" ").join(" + "), x + (left ? -1 : 1) * (radius + 4), y - (now ? 3 : 0)];
  pen.strokeText(...place);
  pen.fillText(...place);
}

// ---- Folded: the order of operations

function orderWords({ data, state }) {
  if (state.view === "fcn") {
    return "Score maps are added from coarse to fine: each is up-sampled by 2 with a learned filter before the next one joins. "
      + "The last step to the image is bilinear.";
  }
  const channels = state.layers.map((stride) => data.layers[STRIDES.indexOf(stride)].channels);
  const { scoreFirst, upsampleFirst } = products(channels, state.layers, data.size, data.classes.length);
  const millions = (value) => `${fixed(value / 1e6, value < 1e7 ? 1 : 0)} million`;
  return `Score each layer, then up-sample: ${millions(scoreFirst)} products with all ${channels.join(" + ")} channels. `
    + `Up-sample, then score: ${millions(upsampleFirst)}. The scores are the same.`;
}

// ---- All together

function build(figure) {
  Object.assign(figure, { data: figure.state.data, scenes: [], pointed: 0, unit: 1 });
  compute(figure);
  const parts = {
    controls: buildControls(figure), pictures: buildPictures(figure), profile: buildProfile(figure),
    cards: buildCards(figure), errors: buildErrors(figure), cloud: buildCloud(figure), order: element("p", { class: "prose" }),
  };
  figure.first(
    element("p", { class: "segcore-lead", text: "Take layers in and out: which edges come back?" }),
    trials(figure, trialsOf(figure), "Take layers in and out, and drag the line A\u2013B across any edge.").node,
    parts.controls.node,
    element("div", { class: "work" }, ...parts.pictures.nodes, parts.profile.node),
    key(...figure.data.classes.map((name, k) => [`class-${k}`, name]), ["line edge white", "true edges"],
      ["line text", "sum + constant"], ["line", "layers"]));
  figure.more("What each layer adds, as maps", parts.cards.nodes);
  figure.more("Another scene, and which pixels are wrong", parts.errors.nodes);
  figure.more("All 31 choices of layers and three FCNs on many scenes", parts.cloud.nodes);
  figure.more("Score first or up-sample first: what it costs", [parts.order]);
  return parts;
}

function draw(figure, changed) {
  const { look, parts: { controls, pictures, profile: curves, cards, errors, cloud, order } } = figure;
  const [anew, moved] = [changed(...SOURCE), changed("line")];
  if (anew || moved) {
    controls.update();
    figure.side = pictures.draw(look);
  }
  if (anew || moved || changed("pointed")) curves.draw(look, figure.side);
  if (cards.row.clientWidth && (anew || changed("maps", "pair"))) cards.draw(look);
  if (!anew) return;
  if (errors.box.clientWidth) errors.draw();
  if (cloud.node.clientWidth) cloud.draw(look);
  setText(order, orderWords(figure));
}

function layersCheck(value) {
  const legal = Array.isArray(value) && value.length > 0 && same(value, STRIDES.filter((stride) => value.includes(stride)));
  return legal ? "" : `some of ${STRIDES.join(", ")}, in this order`;
}

export default widget({
  slug: "skips",
  traits: {
    data: null, view: oneOf("hypercolumn", "fcn"), layers: layersCheck, fcn: oneOf(32, 16, 8),
    scene: (value, figure) => whole(0, figure.data.scenes.length - 1)(value),
    line: (value, figure) => listOf(number(0, figure.data.size), 4)(value), maps: oneOf("up-sampled", "own"),
  },
  colours: ["page", "text", "muted", "line", "control", "accent", "second", "low"],
  look: (colours) => ({ ...colours, about: palette(colours, 0.9), blank: [hexToRgb(colours.low), hexToRgb(colours.line)] }),
  settled,
  build,
  draw,
});
