import { hatchPattern, mixer } from "./kit/colours.js";
import { button, checkbox, heading, key, numberField, trials } from "./kit/controls.js";
import { element, put, setText } from "./kit/elements.js";
import { listOf, whole, widget } from "./kit/figure.js";
import { clamp, fixed, grouped, placeWords, same, tidy } from "./kit/numbers.js";
import { clearCanvas, drawDisc, fillAround, openImage, outlineRect, strokeAll, strokeLine } from "./kit/pictures.js";
import { draggable, onArrows, pointIn } from "./kit/pointer.js";

// What a unit of a network sees. Arithmetic first, as pure functions of one axis; what is drawn comes below.
//
// A layer is { kind, kernel, stride, padding, dilation, weights? }; kind is "conv", "pool", "block" (a convolution beside
// a shortcut that reads the one input at the same place) or "up" (a transposed convolution). Level 0 is the image, level
// i + 1 the output of layers[i]. Units are counted from 0 but in words; those outside a level are padding.

export const sum = (values) => values.reduce((a, b) => a + b, 0);
const length = (span) => (span ? span[1] - span[0] + 1 : 0);

// How far a kernel reaches, in units of its input.
export const reach = ({ kernel, dilation }) => dilation * (kernel - 1) + 1;

export function outputSize(layer, size) {
  if (layer.kind === "up") return (size - 1) * layer.stride - 2 * layer.padding + reach(layer);
  return Math.floor((size + 2 * layer.padding - reach(layer)) / layer.stride) + 1;
}

// Units per level, from `size` pixels upwards.
export const levelSizes = (layers, size) => layers.reduce((sizes, layer) => [...sizes, outputSize(layer, sizes.at(-1))], [size]);

// The share of each tap: uniform, or as given. They sum to one.
export function tapWeights({ kernel, weights = Array(kernel).fill(1) }) {
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

// What a unit of a convolution, pooling or block reads: [offset from unit * stride, weight], in rising order.
// A block is the mean of its two branches.
export function taps(layer) {
  const list = tapWeights(layer).map((weight, j) => [layer.dilation * j - layer.padding, weight]);
  if (layer.kind !== "block") return list;
  const halves = list.map(([offset, weight]) => [offset, weight / 2]);
  const straight = halves.find(([offset]) => offset === 0);
  if (straight) straight[1] += 0.5;
  else halves.push([0, 0.5]);
  return halves.sort((a, b) => a[0] - b[0]);
}

// The inputs of one unit, with their weights: [index, weight], in rising order.
export function inputsOf(layer, unit) {
  if (layer.kind !== "up") return taps(layer).map(([offset, weight]) => [unit * layer.stride + offset, weight]);
  return tapWeights(layer)
    .map((weight, j) => [(unit + layer.padding - layer.dilation * j) / layer.stride, weight])
    .filter(([index]) => Number.isInteger(index))
    .reverse();
}

// The first and last input that units `from` to `to` read; null where they read none.
export function spanBelow(layer, span) {
  if (!span) return null;
  const [from, to] = span;
  if (layer.kind !== "up") {
    const list = taps(layer);
    return [from * layer.stride + list[0][0], to * layer.stride + list.at(-1)[0]];
  }
  const ends = []; // which inputs a unit has repeats every `stride` units, shifted by one
  for (let n = 0; n < layer.stride && from + n <= to; n++) ends.push(...inputsOf(layer, from + n), ...inputsOf(layer, to - n));
  return ends.length ? [Math.min(...ends.map(([i]) => i)), Math.max(...ends.map(([i]) => i))] : null;
}

// What one unit at level `level` sees of every level from its own down to the image, padding included: [from, to] by level.
export function fieldSpans(layers, level, unit) {
  const below = layers.slice(0, level);
  if (below.some(({ kind }) => kind === "up")) {
    // Some units between the first and the last may be unseen, and then so is what they alone would see.
    const alike = below.map((layer) => ({ ...layer, weights: undefined }));
    return effectiveField(alike, null, level, unit).map(({ from, weights }) => {
      const first = weights.findIndex((weight) => weight > 0);
      return first < 0 ? null : [from + first, from + weights.findLastIndex((weight) => weight > 0)];
    });
  }
  const spans = Array(level + 1);
  spans[level] = [unit, unit];
  for (let i = level - 1; i >= 0; i--) spans[i] = spanBelow(layers[i], spans[i + 1]);
  return spans;
}

// Size, stride and padding at every level: unit u sees pixels u * stride - padding, `size` of them. Above a transposed
// convolution units differ by their phase: then this is the hull over the phases.
export function receptiveFields(layers) {
  const fields = [{ size: 1, stride: 1, padding: 0 }];
  let [period, stride] = [1, 1];
  layers.forEach((layer, i) => {
    if (layer.kind === "up") period *= layer.stride;
    stride *= layer.kind === "up" ? 1 / layer.stride : layer.stride;
    let [low, high] = [Infinity, -Infinity];
    for (let u = 0; u < period; u++) {
      const span = fieldSpans(layers, i + 1, u)[0];
      if (!span) continue;
      low = Math.min(low, span[0] - u * stride);
      high = Math.max(high, span[1] - u * stride);
    }
    fields.push({ size: high - low + 1, stride, padding: low === 0 ? 0 : -low });
  });
  return fields;
}

// The weight with which a unit reads every unit below it when all layers are linear: by level, { from, weights }.
// Units outside a level are padding, and what falls on them is lost. Without `sizes` the levels have no end.
export function effectiveField(layers, sizes, level, unit) {
  const fields = Array(level + 1);
  fields[level] = { from: unit, weights: Float64Array.of(1) };
  for (let i = level - 1; i >= 0; i--) fields[i] = passDown(layers[i], fields[i + 1], sizes ? sizes[i] : null);
  return fields;
}

function passDown(layer, { from, weights }, size) {
  const span = weights.length ? spanBelow(layer, [from, from + weights.length - 1]) : null;
  if (!span) return { from: 0, weights: new Float64Array(0) };
  const [low, high] = size === null ? span : [Math.max(0, span[0]), Math.min(size - 1, span[1])];
  const below = new Float64Array(Math.max(0, high - low + 1));
  const list = layer.kind === "up" ? null : taps(layer);
  for (let n = 0; n < weights.length; n++) {
    if (weights[n] === 0) continue;
    const origin = list ? (from + n) * layer.stride - low : -low;
    for (const [offset, weight] of list ?? inputsOf(layer, from + n)) {
      const at = origin + offset;
      if (at >= 0 && at < below.length) below[at] += weight * weights[n];
    }
  }
  return { from: low, weights: below };
}

// The shortest run [first, last] that leaves at most (1 - share) / 2 of the weight outside at either end.
export function centralShare(weights, share = 0.95) {
  const spare = ((1 - share) / 2) * sum(weights);
  let [first, last] = [0, weights.length - 1];
  for (let lost = weights[first]; lost <= spare && first < last; lost += weights[first]) first += 1;
  for (let lost = weights[last]; lost <= spare && last > first; lost += weights[last]) last -= 1;
  return [first, last];
}

// The field in two dimensions: rows times columns, as the kernels are products of the same kernel along each axis. With
// blocks the sums along rows and columns are still exact, but the true mean of the branches is a little more peaked.
export function outerProduct(rows, columns) {
  const product = new Float64Array(rows.length * columns.length);
  rows.forEach((r, y) => columns.forEach((c, x) => { product[y * columns.length + x] = r * c; }));
  return product;
}

// All that follows from the layers alone.
export const network = (layers, [height, width]) =>
  ({ layers, fields: receptiveFields(layers), sizes: { x: levelSizes(layers, width), y: levelSizes(layers, height) } });

// All that follows from one unit of it, along both axes: the spans it sees, the weights, the run that holds 95 % of them
// (so that nine tenths lie in the product of both), and the share of the weight that is not lost on padding.
export function look({ layers, sizes }, level, [row, column]) {
  const axis = (unit, counts) => {
    const fields = effectiveField(layers, counts, level, unit);
    const free = layers.some(({ kind }) => kind === "up") ? sum(effectiveField(layers, null, level, unit)[0].weights) : 1;
    const { from, weights } = fields[0];
    const total = sum(weights);
    const [first, last] = total > 0 ? centralShare(weights) : [0, -1];
    return { unit, spans: fieldSpans(layers, level, unit), fields, kept: free ? total / free : 0, core: [from + first, from + last] };
  };
  return { level, x: axis(column, sizes.x), y: axis(row, sizes.y) };
}

const LIMITS = { kernel: [1, 31], stride: [1, 16], padding: [0, 64], dilation: [1, 64] };
const MOST_LAYERS = 40;
const MOST_UNITS = 4096;

// What is wrong with a network, in words; "" if nothing is. The same rules as in Python.
export function problem(layers, imageSize) {
  if (layers.length < 1) return "A network needs at least one layer.";
  if (layers.length > MOST_LAYERS) return `At most ${MOST_LAYERS} layers fit here.`;
  for (const layer of layers) {
    const wrong = Object.keys(LIMITS).find((name) => whole(...LIMITS[name])(layer[name]));
    if (wrong) return `${layer.name}: ${wrong} must be ${whole(...LIMITS[wrong])(layer[wrong])}.`;
    if (layer.kind === "pool" && 2 * layer.padding > layer.kernel) {
      return `${layer.name}: padding of a pooling must be at most half its kernel, ${Math.floor(layer.kernel / 2)}.`;
    }
  }
  for (const size of imageSize) {
    const sizes = levelSizes(layers, size);
    const bad = sizes.findIndex((count) => count < 1 || count > MOST_UNITS);
    if (bad < 0) continue;
    const { name, padding } = layers[bad - 1];
    return sizes[bad] > MOST_UNITS ? `${name}: ${grouped(sizes[bad])} units a row are too many.`
      : `${name}: no unit is left. Its input has ${sizes[bad - 1]} units a row, its kernel reaches over ${reach(layers[bad - 1])}, with padding ${padding}.`;
  }
  return "";
}

// Where the middle of a unit's field lies in the image, in pixels; `field` as from `receptiveFields`.
export const fieldCentre = ({ size, stride, padding }, unit) => unit * stride - padding + size / 2;
export const nearestUnit = (field, count, pixel) => clamp(Math.round((pixel - fieldCentre(field, 0)) / field.stride), 0, count - 1);

// Row and column of the unit whose field has its middle nearest to a place in the image, [row, column] in pixels.
const unitAt = ({ fields, sizes }, level, [y, x]) =>
  [nearestUnit(fields[level], sizes.y[level], y), nearestUnit(fields[level], sizes.x[level], x)];

// The network with one layer's values changed. Padding that kept the size goes on keeping it.
function withValues(layers, index, values) {
  const old = layers[index];
  const next = { ...old, ...values };
  const reached = values.kernel !== undefined || values.dilation !== undefined;
  if (reached && old.kind !== "up" && 2 * old.padding === reach(old) - 1 && reach(next) % 2 === 1) next.padding = (reach(next) - 1) / 2;
  if (next.weights && next.weights.length !== next.kernel) delete next.weights;
  return layers.with(index, next);
}

function withNew(layers, index, template) {
  const names = layers.map(({ name }) => name);
  const free = [...layers.keys(), layers.length].find((n) => !names.includes(`${template.kind}${n + 1}`));
  return layers.toSpliced(index + 1, 0, { name: `${template.kind}${free + 1}`, ...template });
}

const withSwap = (layers, a, b) => (layers[b] ? layers.with(a, layers[b]).with(b, layers[a]) : []);

// ---- Words ---------------------------------------------------------------------------------------------------------

const KIND_LABELS = { conv: "Convolution", pool: "Pooling", block: "Residual block", up: "Up-convolution" };
const px = (value) => tidy(value, 2);
const pixels = (value) => `${px(value)} ${value === 1 ? "pixel" : "pixels"}`;
const times = (rows, columns) => `${grouped(rows)} \u00d7 ${grouped(columns)}`;
const percent = (share) => (share > 1e-9 && share < 0.005 ? "less than 1 %" : `${fixed(100 * share, 0)} %`);

const NARROW = 560; // the width of a figure up to which the style has it in one column

// A layer in few words: "pool5: pooling 2 × 2, stride 2"; where there is little room, "pool5: 2 × 2, stride 2".
function layerWords({ name, kind, kernel, stride, dilation }, narrow) {
  const parts = [narrow ? "" : `${KIND_LABELS[kind].toLowerCase()} `, times(kernel, kernel)];
  if (stride > 1) parts.push(`, stride ${stride}`);
  if (dilation > 1) parts.push(narrow ? `, dil. ${dilation}` : `, dilation ${dilation}`);
  return `${name}: ${parts.join("")}`;
}

// What one unit sees, in sentences.
function fieldWords({ layers, fields, sizes }, { level, x, y }, hovering) {
  const { stride, padding } = fields[level];
  const [rows, columns] = [length(y.spans[0]), length(x.spans[0])];
  const [kept, part] = [x.kept * y.kept, (length(y.core) * length(x.core)) / (rows * columns)];
  return {
    sees: `This unit of ${layers[level - 1].name} sees ${rows && columns ? `${times(rows, columns)} pixels` : "nothing"}.`,
    stride: `Its neighbours look ${pixels(stride)} aside.`,
    core: kept > 0 ? `Nine tenths of its weight lie in ${times(length(y.core), length(x.core))}, ${percent(part)} of the area.`
      : "It weighs no pixel.",
    place: `Row ${grouped(y.unit + 1)} of ${grouped(sizes.y[level])}, column ${grouped(x.unit + 1)} of ${grouped(sizes.x[level])}`
      + `${hovering ? " (click to keep it)" : ""}. The layer\u2019s first field begins at pixel ${px(-padding)}. On padding: ${percent(1 - kept)}.`,
  };
}

// Which of a level's units are seen along an axis, counted from 1, and how many would lie outside.
function seenWords(span, count) {
  if (!span) return "\u2013";
  const [first, last] = [Math.max(0, span[0]), Math.min(count - 1, span[1])];
  const outside = length(span) - Math.max(0, last - first + 1);
  return `${last < first ? "none" : `${grouped(first + 1)} to ${grouped(last + 1)}`}${outside ? `, ${grouped(outside)} outside` : ""}`;
}

// ---- State: the network follows its name, the unit stays in its layer, the view follows both ---------------------------

const MARGIN = 0.075; // of the image's width, room beside it for fields that hang over the border
const WHOLE = 1 + 2 * MARGIN; // the widest view, in widths of the image
const CLOSEST = 16; // pixels across in the closest view
const SMALL = 24; // a network with no larger field is looked at closely

const alike = (a, b) => a.length === b.length
  && a.every((layer, n) => Object.keys({ ...layer, ...b[n] }).every((key) => same(layer[key], b[n][key])));
const nameOf = ({ presets }, layers) => presets.find((preset) => alike(preset.layers, layers))?.name ?? "";
const layersOf = ({ presets }, name) => presets.find((preset) => preset.name === name)?.layers;
const middleOf = ({ net }, { layer, unit }) => unit.map((n) => fieldCentre(net.fields[layer + 1], n));

function settled(figure, names) {
  const { scene, state, model } = figure;
  const derive = (name, value) => {
    if (same(state[name], value)) return;
    state[name] = value;
    model.set(name, value);
  };
  if (names.includes("preset")) derive("layers", layersOf(scene, state.preset) ?? state.layers);
  if (problem(state.layers, scene.size)) derive("layers", scene.net.layers);
  const rebuilt = !same(scene.net.layers, state.layers);
  if (rebuilt) Object.assign(scene, { net: network(state.layers, scene.size), hover: null, view: { ...scene.view, auto: true } });
  derive("preset", nameOf(scene, state.layers));
  derive("layer", clamp(state.layer, 0, state.layers.length - 1));
  const counts = [scene.net.sizes.y, scene.net.sizes.x].map((sizes) => sizes[state.layer + 1]);
  if (!counts.every((count, axis) => state.unit[axis] < count)) derive("unit", unitAt(scene.net, state.layer + 1, scene.focus));
  aim(figure, rebuilt);
}

// Which pixels of the image both pictures show: `across` of them about (x, y). The chosen unit stays well inside, except
// under a hand that drags it.
function aim(figure, anew = true) {
  const { scene: { view, net, held, size: [height, width] }, scene, state } = figure;
  const widest = Math.max(...net.fields.map((field) => field.size));
  if (view.auto) view.across = widest > SMALL ? width * WHOLE : Math.max(SMALL, 2.4 * widest);
  const [y, x] = middleOf(scene, state);
  const aside = Math.max(Math.abs(x - view.x), (Math.abs(y - view.y) * width) / height) / view.across;
  const within = (centre, span, full) => {
    const [low, high] = [span / 2 - MARGIN * full, (1 + MARGIN) * full - span / 2];
    return low > high ? full / 2 : clamp(centre, low, high);
  };
  if (anew || (!held && aside > 0.42)) Object.assign(view,
    { x: within(x, view.across, width), y: within(y, (view.across * height) / width, height) });
  figure.mark("unit");
}

function zoom(figure, factor) {
  const { view, size } = figure.scene;
  Object.assign(view, { auto: false, across: clamp(view.across * factor, CLOSEST, size[1] * WHOLE) });
  aim(figure);
}

// Another network, or another layer of this one: the chosen unit is the one that looks at `spot`, else where the old one did.
function go(figure, layers, layer, spot = middleOf(figure.scene, figure.state)) {
  const unit = unitAt(network(layers, figure.scene.size), layer + 1, spot);
  figure.set({ layers, preset: nameOf(figure.scene, layers), layer, unit });
}

function moveUnit(figure, down, right) {
  const { scene: { net: { sizes } }, state: { layer, unit: [row, column] } } = figure;
  figure.set({ unit: [clamp(row + down, 0, sizes.y[layer + 1] - 1), clamp(column + right, 0, sizes.x[layer + 1] - 1)] });
}

function checkTogether(state, { scene }, asked) {
  const layers = layersOf(scene, state.preset) ?? state.layers;
  if (asked.layer >= layers.length) return `layer must be 0 to ${layers.length - 1} in ${state.preset || "this network"}`;
  const level = Math.min(state.layer, layers.length - 1) + 1;
  const counts = scene.size.map((side) => levelSizes(layers, side)[level]);
  if (!asked.unit || asked.unit.every((n, axis) => n < counts[axis])) return "";
  return `unit must be a row from 0 to ${counts[0] - 1} and a column from 0 to ${counts[1] - 1} in ${layers[level - 1].name}`;
}

// ---- The figure's parts ------------------------------------------------------------------------------------------------

const TEMPLATES = [
  ["Convolution", { kind: "conv", kernel: 3, stride: 1, padding: 1, dilation: 1 }],
  ["Pooling", { kind: "pool", kernel: 2, stride: 2, padding: 0, dilation: 1 }],
  ["Block", { kind: "block", kernel: 3, stride: 1, padding: 1, dilation: 1 }],
  ["Up-convolution", { kind: "up", kernel: 4, stride: 2, padding: 1, dilation: 1 }],
];
const POOLS = [[2, [57, 158]], [5, [28, 79]], [9, [14, 39]], [13, [7, 19]], [17, [3, 9]]];
const TRIALS = [
  ["Up the layers", POOLS.map(([layer, unit]) => ({ preset: "VGG-16", layer, unit })),
    "Press again: from pool1 to pool5 the box grows from 6 to 212 pixels. Nine tenths of the weight fill all of the first box, "
    + "and only a quarter of the last."],
  ["Stride or depth", [{ preset: "VGG-16 without pooling", layer: 12, unit: [106, 171] }, { preset: "VGG-16", layer: 16, unit: [6, 10] }],
    "Press again. The same thirteen 3 \u00d7 3 convolutions see 27 pixels alone, and 196 with four poolings between them: "
    + "after each pooling, every further layer reaches twice as far."],
  ["Shortcuts", ["ResNet-50", "ResNet-50 without shortcuts"].map((preset) => ({ preset, layer: 17, unit: [3, 5] })),
    "Press again. Either way 427 pixels can be seen. Shortcuts let half of each block\u2019s weight fall straight down: the hill "
    + "is steeper, and nine tenths fit into 141 \u00d7 143, not 175 \u00d7 199."],
  ["Dilation", ["Dilations 2, 2, 2", "Dilations 1, 2, 4"].map((preset) => ({ preset, layer: 2, unit: [106, 171] })),
    "Press again. With dilation 2 three times over, 6 of the 13 columns are never read: the hill is a comb. With 1, 2, 4 all 15 are read."],
  ["On the border", { preset: "VGG-16", layer: 17, unit: [0, 0] },
    "Two thirds of this corner unit\u2019s weight fall on padding, the hatched part. Of the 98 units of pool5 only 8 see no padding at all."],
];
const REST = "Point at any unit in the rows, or at the picture, and see its field. A click or a tap keeps it; the arrow keys move it.";

function build(figure) {
  const photograph = figure.model.get("photograph");
  const size = [photograph.height, photograph.width];
  const scene = figure.scene = {
    size, focus: photograph.focus, presets: figure.model.get("presets"), net: network(figure.state.layers, size), hover: null, seen: null,
    held: false, picture: null, spotlight: false, view: { auto: true, across: 0, x: 0, y: 0 },
  };
  openImage(photograph.jpeg).then((canvas) => {
    scene.picture = canvas;
    figure.mark("unit");
  });
  aim(figure);
  const before = () => {
    scene.view.auto = true;
    aim(figure);
  };
  const words = Object.fromEntries(["sees", "stride", "core", "place"].map((name) =>
    [name, element(name === "place" ? "p" : "span", { class: name })]));
  const tried = trials(figure, TRIALS.map(([label, values, note]) => ({ label, values, note, before })), REST);
  const parts = { choices: buildChoices(figure), words, side: buildSide(figure), photo: buildPhoto(figure), view: buildView(figure) };
  figure.first(heading("What one unit inside a network sees"), parts.choices.node, tried.node,
    element("div", { class: "pictures" },
      element("div", { class: "words" }, element("p", {}, words.sees, " ", words.stride, " ", words.core), words.place),
      parts.side.node, parts.photo.node, parts.view.node),
    key(["ring", "can be seen"], ["scale second", "weight"], ["core", "nine tenths of it"], ["dashed", "if all weighed alike"],
      ["hatch", "padding"]));
  parts.editor = buildEditor(figure);
  figure.more("Change the layers", parts.editor.nodes);
  parts.table = buildTable(figure);
  return parts;
}

const labelled = (text, node) => element("label", { class: "pick" }, element("span", { class: "segcore-label", text }), node);

function buildChoices(figure) {
  const options = [["", "changed by hand"], ...figure.scene.presets.map(({ name }) => [name, name])].map(([value, text]) =>
    element("option", { value, text }));
  const load = (layers) => go(figure, layers, layers.length - 1, figure.scene.focus);
  const net = element("select", { onchange: () => load(layersOf(figure.scene, net.value)) }, ...options);
  const layer = element("select", { onchange: () => go(figure, figure.state.layers, Number(layer.value)) });
  return { node: element("div", { class: "segcore-bar" }, labelled("Network", net), labelled("Layer", layer)), edited: options[0],
    net, layer, listed: null };
}

// A picture with a canvas on which a unit is pointed at, clicked, dragged or moved by keys. `pick(x, y)` says which.
function stageFor(figure, name, label, pick, arrows) {
  const { scene } = figure;
  const canvas = element("canvas", { "aria-hidden": "true" });
  const node = element("div", { class: `stage ${name}`, tabindex: "0", role: "slider", "aria-label": label }, canvas);
  const choose = (event) => {
    const { level, unit } = pick(...pointIn(node, event));
    figure.set({ layer: level - 1, unit });
  };
  const show = (found) => {
    if (same(scene.hover, found)) return;
    scene.hover = found;
    figure.mark("hover");
  };
  const drag = draggable(node, {
    slack: 4,
    start: (event) => {
      show(null);
      scene.held = true;
      const byFinger = event.pointerType === "touch"; // one that goes up or down scrolls the page, and chooses nothing
      if (!byFinger) choose(event);
      return { byFinger, across: !byFinger };
    },
    move: (grip, event, { dx, dy }) => {
      grip.across ||= Math.abs(dx) > Math.abs(dy);
      if (grip.across) choose(event);
    },
    end: ({ byFinger }, event, moved) => {
      if (byFinger && !moved && event.type === "pointerup") choose(event);
      scene.held = false;
    },
  });
  node.addEventListener("pointermove", (event) => {
    if (!drag.active && event.pointerType !== "touch") show(pick(...pointIn(node, event)));
  });
  node.addEventListener("pointerleave", () => show(null));
  onArrows(node, (by) => {
    show(null);
    arrows(...by);
  });
  return { node, canvas, heat: element("canvas"), hatch: null };
}

function buildSide(figure) {
  const { scene, state } = figure;
  const pick = (x, y) => {
    const { pixelAt, left, right, top, row } = sideOf(figure);
    const level = clamp(state.layers.length - Math.floor((y - top) / row), 0, state.layers.length) || state.layer + 1;
    const [middleY, middleX] = middleOf(scene, state);
    return { level, unit: unitAt(scene.net, level, [middleY, x < left || x > right ? middleX : pixelAt(x)]) };
  };
  const arrows = (right, down) =>
    (right ? moveUnit(figure, 0, right) : go(figure, state.layers, clamp(state.layer - down, 0, state.layers.length - 1)));
  return stageFor(figure, "side", "The chosen unit, from the side: left and right change the unit, up and down the layer", pick, arrows);
}

function buildPhoto(figure) {
  const pick = (x, y) => {
    const { node } = figure.parts.photo;
    const { pixelAt, rowAt } = lens(figure.scene.view, node.clientWidth, node.clientHeight);
    const level = figure.state.layer + 1;
    return { level, unit: unitAt(figure.scene.net, level, [rowAt(y), pixelAt(x)]) };
  };
  return stageFor(figure, "photo", "The chosen unit, over the photograph: four arrows move it", pick, (right, down) =>
    moveUnit(figure, down, right));
}

function buildView(figure) {
  const spotlight = checkbox("Spotlight", (on) => {
    figure.scene.spotlight = on;
    figure.mark("unit");
  });
  const [farther, closer, all] = [["\u2212", "Farther away", 1.6], ["+", "Closer", 1 / 1.6], ["Whole", "The whole picture", 1e6]]
    .map(([text, label, factor]) => button(text, () => zoom(figure, factor), { "aria-label": label, title: label }));
  return { node: element("div", { class: "view" }, spotlight.node,
    element("div", { class: "zoom", role: "group", "aria-label": "Zoom" }, farther, closer, all)),
    farther, closer, all };
}

function buildEditor(figure) {
  const { state, scene } = figure;
  const [title, fault, note] = [heading(""), element("p", { class: "segcore-problem", role: "alert" }), element("p", { class: "place" })];
  const take = (layers, layer) => {
    const wrong = problem(layers, scene.size);
    setText(fault, wrong);
    if (wrong) figure.mark("unit");
    else go(figure, layers, layer);
    return wrong;
  };
  const edit = (values) => take(withValues(state.layers, state.layer, values), state.layer);
  const kind = element("select", { onchange: () => edit({ kind: kind.value }) },
    ...Object.entries(KIND_LABELS).map(([value, text]) => element("option", { value, text })));
  const name = element("input",
    { type: "text", maxlength: "24", onchange: () => edit({ name: name.value.trim() || state.layers[state.layer].kind }) });
  const fields = Object.fromEntries(Object.entries(LIMITS).map(([trait, [min, max]]) =>
    [trait, numberField(trait[0].toUpperCase() + trait.slice(1), { min, max }, (value) => edit({ [trait]: value }))]));
  // A button that makes another network, `make(layers, layer)`; it is dead where that could not be.
  const actions = [];
  const action = (text, label, make) => {
    actions.push({ node: button(text, () => take(...make(state.layers, state.layer)), { "aria-label": label }), make, label: label ?? text });
    return actions.at(-1).node;
  };
  const moves = [["\u2191", "Move the layer up, away from the image", 1], ["\u2193", "Move the layer down, towards the image", -1]]
    .map(([text, label, by]) => action(text, label, (layers, n) => [withSwap(layers, n, n + by), n + by]));
  moves.push(action("Remove", null, (layers, n) => [layers.toSpliced(n, 1), Math.max(0, n - 1)]));
  const adders = TEMPLATES.map(([text, template]) => action(`+ ${text}`, null, (layers, n) => [withNew(layers, n, template), n + 1]));
  const settings = element("div", { class: "segcore-bar" }, labelled("Kind", kind), labelled("Name", name),
    ...Object.values(fields).map(({ node }) => node));
  settings.addEventListener("focusout", () => setText(fault, ""));
  const nodes = [element("div", { class: "editor-head" }, title, element("div", { class: "zoom" }, ...moves)), settings, note, fault,
    element("div", { class: "segcore-trials", role: "group", "aria-label": "Add a layer above" },
      element("span", { class: "segcore-label", text: "Add above" }), ...adders)];
  return { nodes, title, kind, name, fields, note, actions };
}

function buildTable(figure) {
  const heads = ["Layer", "Kernel", "Stride", "Padding", "Dilation", "Field", "Stride", "Offset", "Columns it sees"];
  const groups = [["The layer", 4], ["Its units in the image, pixels", 3], ["The chosen unit", 1]];
  const body = element("tbody");
  const fold = figure.more("All layers in numbers",
    [element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "All layers in numbers" },
    element("table", {}, element("thead", {},
      element("tr", {}, element("td"), ...groups.map(([text, colspan]) => element("th", { colspan, scope: "colgroup", text }))),
      element("tr", {}, ...heads.map((text) => element("th", { scope: "col", text })))), body))]);
  return { fold, body };
}

// ---- Where things lie, in CSS pixels -------------------------------------------------------------------------------------

// From pixels of the image to those of a picture of `width` by `height`, and back.
function lens({ across, x, y }, width, height, left = 0) {
  const scale = width / across;
  return {
    scale, toX: (pixel) => left + width / 2 + (pixel - x) * scale, toY: (row) => height / 2 + (row - y) * scale,
    pixelAt: (at) => x + (at - left - width / 2) / scale, rowAt: (at) => y + (at - height / 2) / scale,
  };
}

const STRIP = 13; // height of the line of pixels
const LINE = 13; // the least distance of two names

// The view from the side: names at the left, rows of units, how many are seen at the right; the pixels and their hill below.
function sideOf({ scene: { net, view }, parts: { side: { node, canvas } }, look: { font } }) {
  const { layers, fields, sizes } = net;
  const pen = canvas.getContext("2d");
  pen.font = `12px ${font}`;
  const [width, height] = [node.clientWidth, node.clientHeight];
  const left = clamp(Math.max(...layers.map(({ name }) => pen.measureText(name).width)) + 14, 48, 0.28 * width);
  const [right, top, hill] = [width - 34, 1, Math.round(0.13 * height)];
  const strip = height - hill - STRIP - 4;
  const row = (strip - top - 6) / layers.length;
  const placed = lens(view, right - left, height, left);
  const unitX = (level, unit) => placed.toX(fieldCentre(fields[level], unit));
  const spacing = (level) => fields[level].stride * placed.scale;
  return {
    ...placed, net, width, height, left, right, top, row, strip, hill, unitX, spacing,
    levelY: (level) => (level === 0 ? strip + STRIP / 2 : top + (layers.length - level + 0.5) * row),
    // The first and the last unit of a level that can be seen in the picture.
    visible: (level) => {
      const at = (x) => (x - unitX(level, 0)) / spacing(level);
      return [Math.max(0, Math.floor(at(left - 10))), Math.min(sizes.x[level] - 1, Math.ceil(at(right + 10)))];
    },
  };
}

// A unit is a disc where there is room, else a bar.
function unitShape({ spacing, row }, level) {
  const gap = spacing(level);
  if (gap >= 7) return { disc: Math.min(gap * 0.36, row * 0.36, 8) };
  return { wide: Math.max(1, gap > 2.4 ? gap * 0.64 : gap), tall: Math.min(row * 0.6, 15) };
}

function traceUnit(pen, { disc, wide, tall }, x, y) {
  if (!disc) return pen.rect(x - wide / 2, y - tall / 2, wide, tall);
  pen.moveTo(x + disc, y);
  return pen.arc(x, y, disc, 0, 2 * Math.PI);
}

// ---- Drawing ---------------------------------------------------------------------------------------------------------------

const STEPS = 40; // of colour between no weight and the largest
const HEAT = 0x007aff; // orange, its bytes from the right

function makeLook(colours) {
  const mix = mixer(colours.low, colours.second);
  return { ...colours, ramp: Array.from({ length: STEPS + 1 }, (_, n) => (n ? mix(0.1 + (0.9 * n) / STEPS) : colours.low)) };
}

function draw(figure, changed) {
  const { scene, state, parts } = figure;
  const { level, unit } = scene.hover ?? { level: state.layer + 1, unit: state.unit };
  scene.seen = look(scene.net, level, unit);
  if (changed("all")) parts.choices.narrow = figure.root.clientWidth <= NARROW; // asked in each frame, it would cost a layout
  if (changed("all")) parts.photo.hatch = hatchPattern(parts.photo.canvas.getContext("2d"), figure.look.control, 1, 7, 1.2);
  drawSide(figure);
  drawPhoto(figure);
  drawWords(figure);
  if (changed("unit")) drawControls(figure);
  if (parts.table.fold.open) drawTable(figure);
}

function drawSide(figure) {
  const { scene: { seen }, state, look: colours } = figure;
  const side = sideOf(figure);
  const pen = clearCanvas(figure.parts.side.canvas, side.width, side.height);
  pen.fillStyle = colours.panel;
  pen.fillRect(0, side.levelY(state.layer + 1) - side.row / 2, side.width, side.row);
  pen.save();
  pen.beginPath();
  pen.rect(side.left, 0, side.right - side.left, side.height);
  pen.clip();
  drawCone(pen, side, seen, colours);
  for (let level = state.layers.length; level > 0; level--) drawRow(pen, side, level, colours);
  drawLines(pen, side, seen, colours);
  for (let level = seen.level; level > 0; level--) drawWeights(pen, side, level, seen, colours);
  drawStrip(pen, side, figure);
  drawHill(pen, side, seen, colours);
  pen.restore();
  drawNames(pen, side, figure);
}

function drawCone(pen, side, { level: top, x: { spans } }, colours) {
  const outline = [];
  for (let level = top; level >= 0 && spans[level]; level--) {
    const [half, y] = [side.spacing(level) / 2, side.levelY(level)];
    const deep = level === 0 ? STRIP / 2 : Math.min(side.row * 0.5, 18) / 2;
    const ends = [side.unitX(level, spans[level][0]) - half, side.unitX(level, spans[level][1]) + half];
    outline.push([...ends, y - deep], [...ends, y + deep]);
  }
  pen.beginPath();
  outline.forEach(([left, , y]) => pen.lineTo(left, y));
  outline.reverse().forEach(([, right, y]) => pen.lineTo(right, y));
  pen.closePath();
  pen.fillStyle = colours["accent-soft"];
  pen.fill();
  strokeAll(pen, [colours.accent, 1.5]);
}

function drawRow(pen, side, level, colours) {
  const [first, last] = side.visible(level);
  const [shape, y, gap] = [unitShape(side, level), side.levelY(level), side.spacing(level)];
  pen.beginPath();
  if (shape.disc || gap > 2.4) for (let u = first; u <= last; u++) traceUnit(pen, shape, side.unitX(level, u), y);
  else pen.rect(side.unitX(level, first) - gap / 2, y - shape.tall / 2, (last - first + 1) * gap, shape.tall);
  pen.fillStyle = shape.disc ? colours.page : colours.line;
  pen.fill();
  if (shape.disc) strokeAll(pen, [colours.control, 1]);
}

// The units of a level that the shown one reads and the picture shows: visit(unit, weight).
function eachRead(side, level, { x: { fields } }, visit) {
  const { from, weights } = fields[level];
  const [first, last] = side.visible(level);
  for (let u = Math.max(first, from); u <= Math.min(last, from + weights.length - 1); u++) visit(u, weights[u - from]);
}

// Connections, where units are far enough apart to tell them one from another.
function drawLines(pen, side, seen, colours) {
  const { layers, sizes } = side.net;
  for (let level = seen.level; level > 0; level--) {
    if (side.spacing(level - 1) < 5) continue;
    pen.beginPath();
    eachRead(side, level, seen, (u, weight) => {
      for (const [v] of weight ? inputsOf(layers[level - 1], u) : []) {
        if (v < 0 || v >= sizes.x[level - 1]) continue;
        pen.moveTo(side.unitX(level, u), side.levelY(level));
        pen.lineTo(side.unitX(level - 1, v), side.levelY(level - 1) - (level === 1 ? STRIP / 2 : 0));
      }
    });
    pen.globalAlpha = level === seen.level ? 1 : 0.55;
    strokeAll(pen, [colours.accent, level === seen.level ? 1.6 : 1]);
  }
  pen.globalAlpha = 1;
}

function drawWeights(pen, side, level, seen, colours) {
  const [shape, y, most] = [unitShape(side, level), side.levelY(level), Math.max(...seen.x.fields[level].weights)];
  const paint = (colour, outline) => {
    pen.fillStyle = colour;
    pen.fill();
    if (outline) strokeAll(pen, [colours.text, outline]);
  };
  let step = -1;
  eachRead(side, level, seen, (u, weight) => {
    const next = Math.ceil((weight / most) * STEPS);
    if (next !== step) { // units of one colour at a time
      if (step >= 0) paint(colours.ramp[step], shape.disc ? 1.1 : 0);
      pen.beginPath();
      step = next;
    }
    traceUnit(pen, shape, side.unitX(level, u), y);
  });
  if (step >= 0) paint(colours.ramp[step], shape.disc ? 1.1 : 0);
  if (level !== seen.level) return;
  drawDisc(pen, side.unitX(level, seen.x.unit), y, Math.max(5, (shape.disc ?? 3) + 2), colours.second, [colours.text, 2]);
}

// The line of pixels through the middle of the field.
function drawStrip(pen, { toX, strip }, { scene: { net, seen, picture, size: [height, width] }, look: colours }) {
  const row = clamp(Math.floor(fieldCentre(net.fields[seen.level], seen.y.unit)), 0, height - 1);
  const box = ([from, to]) => [toX(from), strip, toX(to + 1) - toX(from), STRIP];
  pen.imageSmoothingEnabled = false;
  if (picture) pen.drawImage(picture, 0, row, width, 1, ...box([0, width - 1]));
  pen.imageSmoothingEnabled = true;
  const span = seen.x.spans[0];
  if (!span) return;
  fillAround(pen, box([0, width - 1]), box(span), colours.page, 0.68);
  outlineRect(pen, ...box(span), [colours.accent, 1.5]);
}

// The weights of the pixels as a hill, and how high it would be if all of them counted alike.
function drawHill(pen, { toX, scale, height, hill }, { x: { spans: [span], fields: [{ from, weights }], kept } }, colours) {
  const most = Math.max(0, ...weights);
  if (!span || !most) return;
  const [floor, high] = [height - 1, hill - 5];
  pen.beginPath();
  weights.forEach((weight, n) => pen.rect(toX(from + n), floor, scale, (-weight / most) * high));
  pen.fillStyle = colours.second;
  pen.fill();
  const flat = floor - (sum(weights) / kept / length(span) / most) * high;
  pen.setLineDash([5, 4]);
  strokeLine(pen, [toX(span[0]), flat, toX(span[1] + 1), flat], [colours.accent, 1.5]);
  pen.setLineDash([]);
}

// Which levels have room for their names: the one shown and the image first, then where the stride changes, then the rest.
function namedLevels({ net: { fields }, levelY }, shown) {
  const rank = (level) => (level === shown ? 0 : level === 0 ? 1 : fields[level].stride !== fields[level - 1].stride ? 2 : 3);
  const chosen = [];
  for (const level of [...fields.keys()].sort((a, b) => rank(a) - rank(b) || b - a)) {
    if (chosen.every((other) => Math.abs(levelY(other) - levelY(level)) >= LINE)) chosen.push(level);
  }
  return chosen;
}

function drawNames(pen, side, { scene: { seen }, state, look: colours }) {
  const write = (text, colour, weight, align, x, y) => {
    Object.assign(pen, { font: `${weight} 12px ${colours.font}`, fillStyle: colour, textAlign: align, textBaseline: "middle" });
    pen.fillText(text, x, y, align === "left" ? side.left - 9 : undefined);
  };
  for (const level of namedLevels(side, seen.level)) {
    const [y, span] = [side.levelY(level) + 0.5, level > seen.level ? null : seen.x.spans[level]];
    write(level ? state.layers[level - 1].name : "image", colours.text, level === seen.level ? 700 : 400, "left", 5, y);
    if (span) write(grouped(length(span)), colours.accent, 600, "right", side.width - 2, y);
  }
  pen.fillStyle = colours.text; // the chosen layer
  pen.fillRect(0, side.levelY(state.layer + 1) - side.row / 2, 3, side.row);
}

// The weights as a picture to lay over the photograph: as heat, or as darkness where nothing counts.
function paintHeat(canvas, { x, y }, spotlight) {
  const [columns, rows] = [x.fields[0].weights, y.fields[0].weights];
  const most = Math.max(0, ...columns) * Math.max(0, ...rows);
  if (!most) return null;
  const image = new ImageData(columns.length, rows.length);
  const [map, pixels] = [outerProduct(rows, columns), new Uint32Array(image.data.buffer)]; // alpha, blue, green, red
  for (let n = 0; n < map.length; n++) pixels[n] = spotlight ? (240 * (1 - map[n] / most)) << 24 : HEAT | (((205 * map[n]) / most) << 24);
  Object.assign(canvas, { width: columns.length, height: rows.length });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function drawPhoto({ scene: { view, seen, picture, spotlight, size: [height, width] }, parts, look: colours }) {
  const { node, canvas, hatch } = parts.photo;
  const pen = clearCanvas(canvas, node.clientWidth, node.clientHeight);
  const { toX, toY, scale } = lens(view, node.clientWidth, node.clientHeight);
  const box = ([left, right], [top, bottom]) => [toX(left), toY(top), (right - left + 1) * scale, (bottom - top + 1) * scale];
  const all = box([0, width - 1], [0, height - 1]);
  for (const fill of [colours.panel, hatch]) {
    pen.fillStyle = fill;
    pen.fillRect(0, 0, node.clientWidth, node.clientHeight);
  }
  pen.imageSmoothingEnabled = scale < 5;
  if (picture) pen.drawImage(picture, ...all);
  const [columns, rows] = [seen.x.spans[0], seen.y.spans[0]];
  if (!columns || !rows) return;
  fillAround(pen, all, box(columns, rows), spotlight ? "#000000" : colours.page, spotlight ? 0.94 : 0.55);
  const heat = paintHeat(parts.photo.heat, seen, spotlight);
  if (heat) {
    const [{ from: left }, { from: top }] = [seen.x.fields[0], seen.y.fields[0]];
    pen.imageSmoothingEnabled = false;
    pen.drawImage(heat, ...box([left, left + heat.width - 1], [top, top + heat.height - 1]));
    outlineRect(pen, ...box(seen.x.core, seen.y.core), ["#000000b0", 3.5]);
    pen.setLineDash([5, 4]);
    outlineRect(pen, ...box(seen.x.core, seen.y.core), ["#ffffff", 1.6]);
    pen.setLineDash([]);
  }
  outlineRect(pen, ...box(columns, rows), ["#000000a0", 4], ["#5cc3e6", 2.2]);
}

function drawWords(figure) {
  const { scene: { net, seen: { level, x, y }, seen, hover }, parts } = figure;
  const words = fieldWords(net, seen, hover !== null);
  for (const part of Object.keys(words)) setText(parts.words[part], words[part]);
  for (const { node } of [parts.side, parts.photo]) {
    put(node, { "aria-valuemin": 1, "aria-valuemax": net.sizes.x[level], "aria-valuenow": x.unit + 1,
      "aria-valuetext": `${net.layers[level - 1].name}, ${placeWords(y.unit, x.unit)}: sees ${times(length(y.spans[0]), length(x.spans[0]))} pixels` });
  }
  figure.say(`${words.sees} ${words.core} ${words.place}`);
}

function drawControls({ scene, state, parts: { choices, view, editor } }) {
  const layer = state.layers[state.layer];
  const texts = state.layers.map((each) => layerWords(each, choices.narrow));
  if (!same(choices.listed, texts)) {
    choices.listed = texts;
    choices.layer.replaceChildren(...texts.map((text, value) => element("option", { value, text })).reverse());
  }
  choices.edited.hidden = state.preset !== "";
  choices.net.value = state.preset;
  choices.layer.value = String(state.layer);
  view.farther.disabled = view.all.disabled = scene.view.across >= scene.size[1] * WHOLE;
  view.closer.disabled = scene.view.across <= CLOSEST;
  setText(editor.title, `Layer ${state.layer + 1} of ${state.layers.length}: ${layer.name}`);
  editor.kind.value = layer.kind;
  if (document.activeElement !== editor.name) editor.name.value = layer.name;
  for (const [name, field] of Object.entries(editor.fields)) field.set(layer[name]);
  for (const { node, make, label } of editor.actions) {
    const wrong = problem(make(state.layers, state.layer)[0], scene.size);
    node.disabled = wrong !== "";
    node.title = wrong || label;
  }
  setText(editor.note, layer.weights ? `Its taps weigh ${tapWeights(layer).map((w) => fixed(w, 2)).join(", ")}.`
    : layer.kind === "block" ? "Main path and shortcut count one half each in the effective field, along each axis." : "");
}

function drawTable({ scene: { net, seen }, state, parts }) {
  const rows = state.layers.map((layer, n) => {
    const { size, stride, padding } = net.fields[n + 1];
    const cells = [layer.kernel, layer.stride, layer.padding, layer.dilation, px(size), px(stride), px(-padding),
      n < seen.level ? seenWords(seen.x.spans[n + 1], net.sizes.x[n + 1]) : "\u2013"];
    return element("tr", { class: n === state.layer ? "chosen" : null }, element("th", { scope: "row", text: layer.name }),
      ...cells.map((text) => element("td", { text })));
  });
  parts.table.body.replaceChildren(...rows.reverse());
}

export default widget({
  slug: "receptive_fields", build, draw, settled, look: makeLook, check: checkTogether, nameless: ({ preset }) => !preset,
  colours: ["page", "panel", "text", "line", "control", "accent", "second", "accent-soft", "low"],
  traits: {
    preset: (name, { scene: { presets } }) =>
      (presets.some((each) => each.name === name) ? "" : `one of ${presets.map((each) => each.name).join("; ")}`),
    layers: null, layer: whole(0, MOST_LAYERS - 1), unit: listOf(whole(0, MOST_UNITS - 1), 2),
  },
});
