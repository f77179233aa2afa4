import { hatchPattern, themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage } from "./kit/elements.js";
import { frameLoop, onResize, onTheme } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { fitCanvas } from "./kit/pictures.js";

// What a unit of a network sees. Arithmetic first, as pure functions of one axis; what is drawn comes below.
//
// A layer is { kind, kernel, stride, padding, dilation, weights? }; kind is "conv", "pool", "block" (a convolution beside
// a shortcut that reads the one input at the same place) or "up" (a transposed convolution). Level 0 is the image, level
// i + 1 the output of layers[i]. Units are counted from 0; those below 0 or beyond a level's last one are padding.

// How far a kernel reaches, in units of its input.
export function reach({ kernel, dilation }) {
  return dilation * (kernel - 1) + 1;
}

export function outputSize(layer, size) {
  if (layer.kind === "up") return (size - 1) * layer.stride - 2 * layer.padding + reach(layer);
  return Math.floor((size + 2 * layer.padding - reach(layer)) / layer.stride) + 1;
}

// Units per level, from `size` pixels upwards.
export function levelSizes(layers, size) {
  return layers.reduce((sizes, layer) => [...sizes, outputSize(layer, sizes.at(-1))], [size]);
}

// The share of each tap: uniform, or as given. They sum to one.
export function tapWeights({ kernel, weights }) {
  const given = weights ?? Array(kernel).fill(1);
  const sum = given.reduce((a, b) => a + b, 0);
  return given.map((weight) => weight / sum);
}

// What a unit of a convolution, pooling or block reads: [offset from unit * stride, weight], in rising order.
// A block is the mean of its two branches.
export function taps(layer) {
  const list = tapWeights(layer).map((weight, j) => [layer.dilation * j - layer.padding, weight]);
  if (layer.kind !== "block") return list;
  const halves = list.map(([offset, weight]) => [offset, weight / 2]);
  const same = halves.find(([offset]) => offset === 0);
  if (same) same[1] += 0.5;
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
  // Which inputs a unit has repeats every `stride` units, shifted by one.
  const ends = [];
  for (let n = 0; n < layer.stride && from + n <= to; n++) {
    ends.push(...inputsOf(layer, from + n), ...inputsOf(layer, to - n));
  }
  if (!ends.length) return null;
  return [Math.min(...ends.map(([i]) => i)), Math.max(...ends.map(([i]) => i))];
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
    if (layer.kind === "up") { period *= layer.stride; stride /= layer.stride; }
    else stride *= layer.stride;
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
  const low = size === null ? span[0] : Math.max(0, span[0]);
  const high = size === null ? span[1] : Math.min(size - 1, span[1]);
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

export function sum(values) {
  return values.reduce((a, b) => a + b, 0);
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

const LIMITS = { kernel: [1, 31], stride: [1, 16], padding: [0, 64], dilation: [1, 64] };
const MOST_LAYERS = 40;
const MOST_UNITS = 4096;

// What is wrong with a network, in words; "" if nothing is. The same rules as in Python.
export function problem(layers, imageSize) {
  if (layers.length < 1) return "A network needs at least one layer.";
  if (layers.length > MOST_LAYERS) return `At most ${MOST_LAYERS} layers fit here.`;
  for (const layer of layers) {
    for (const [key, [low, high]] of Object.entries(LIMITS)) {
      if (!Number.isInteger(layer[key]) || layer[key] < low || layer[key] > high) {
        return `${layer.name}: ${key} must be a whole number from ${low} to ${high}.`;
      }
    }
    if (layer.kind === "pool" && 2 * layer.padding > layer.kernel) {
      return `${layer.name}: padding of a pooling must be at most half its kernel, ${Math.floor(layer.kernel / 2)}.`;
    }
  }
  for (const size of imageSize) {
    const sizes = levelSizes(layers, size);
    const bad = sizes.findIndex((count) => count < 1 || count > MOST_UNITS);
    if (bad < 0) continue;
    const { name, padding } = layers[bad - 1];
    return sizes[bad] < 1
      ? `${name}: no unit is left. Its input has ${sizes[bad - 1]} units a row, its kernel reaches over ${reach(layers[bad - 1])}, with padding ${padding}.`
      : `${name}: ${sizes[bad]} units a row are too many.`;
  }
  return "";
}

// Where the middle of a unit's field lies in the image, in pixels; `field` as from `receptiveFields`.
export function fieldCentre({ size, stride, padding }, unit) {
  return unit * stride - padding + size / 2;
}

export function nearestUnit(field, count, pixel) {
  const unit = Math.round((pixel - fieldCentre(field, 0)) / field.stride);
  return Math.min(count - 1, Math.max(0, unit));
}

// ---- The figure --------------------------------------------------------------------------------------------------

const COLOURS = ["page", "panel", "text", "muted", "line", "control", "accent", "second", "accent-soft", "second-soft", "low", "high"];
const KIND_LABELS = { conv: "Convolution", pool: "Pooling", block: "Residual block", up: "Up-convolution" };
const KIND_SHORT = { conv: "", pool: "pool ", block: "block ", up: "up " };
const TEMPLATES = [
  ["Convolution", { kind: "conv", kernel: 3, stride: 1, padding: 1, dilation: 1 }],
  ["Pooling", { kind: "pool", kernel: 2, stride: 2, padding: 0, dilation: 1 }],
  ["Block", { kind: "block", kernel: 3, stride: 1, padding: 1, dilation: 1 }],
  ["Up-convolution", { kind: "up", kernel: 4, stride: 2, padding: 1, dilation: 1 }],
];
const MARGIN = 0.075; // of the image's width, room beside it for fields that hang over the border
const STEPS = 40; // of colour between no weight and the largest
const WHOLE = 1 + 2 * MARGIN; // the widest view, in widths of the image
const CLOSEST = 16; // pixels across in the closest view

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function hexToRgb(hex) {
  return [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
}

function mixed(low, high, share) {
  const [a, b] = [hexToRgb(low), hexToRgb(high)];
  return `rgb(${a.map((v, n) => Math.round(v + (b[n] - v) * share)).join(" ")})`;
}

// A layer in few signs: "3×3, stride 2, dilation 4".
function spec({ kind, kernel, stride, padding, dilation }) {
  const parts = [`${KIND_SHORT[kind]}${kernel}\u00d7${kernel}`];
  if (stride > 1) parts.push(`${kind === "up" ? "\u00d7" : "/"}${stride}`);
  if (dilation > 1) parts.push(`dil ${dilation}`);
  return { text: parts.join(" "), padding };
}

const px = (value) => fixed(value, Number.isInteger(value) ? 0 : 2);
const times = (rows, columns) => `${px(rows)} \u00d7 ${px(columns)}`;

function decode(photograph, whenReady) {
  const image = new Image();
  image.onload = whenReady;
  image.src = `data:image/jpeg;base64,${photograph.jpeg}`;
  return image;
}

// All that follows from the layers alone.
function network(layers, [height, width]) {
  return { layers, fields: receptiveFields(layers), sizes: { x: levelSizes(layers, width), y: levelSizes(layers, height) } };
}

// Row and column of the unit whose field has its middle nearest to a pixel.
function unitAt({ fields, sizes }, level, x, y) {
  return [nearestUnit(fields[level], sizes.y[level], y), nearestUnit(fields[level], sizes.x[level], x)];
}

// All that follows from one unit of it: the spans, and the weights, along both axes.
function look({ layers, sizes }, level, [row, column]) {
  const axis = (unit, counts) => {
    const fields = effectiveField(layers, counts, level, unit);
    const free = sum(effectiveField(layers, null, level, unit)[0].weights);
    const { from, weights } = fields[0];
    const total = sum(weights);
    const [first, last] = weights.length ? centralShare(weights) : [0, -1];
    return { unit, spans: fieldSpans(layers, level, unit), fields, kept: free ? total / free : 0, core: [from + first, from + last] };
  };
  return { level, x: axis(column, sizes.x), y: axis(row, sizes.y) };
}

const length = (span) => (span ? span[1] - span[0] + 1 : 0);

function render({ model, el }) {
  const root = stage(el, "receptive-fields");
  const photograph = model.get("photograph");
  const presets = model.get("presets");
  const imageSize = [photograph.height, photograph.width];
  const [imageHeight, imageWidth] = imageSize;
  const focus = [...photograph.focus].reverse(); // x, y of what is worth looking at
  const picture = decode(photograph, () => mark("all"));

  const traits = ["layers", "layer", "unit"];
  const state = Object.fromEntries(traits.map((name) => [name, model.get(name)]));
  let net = network(state.layers, imageSize);
  let hover = null; // { level, unit } under the pointer: shown, not chosen
  let seen = null; // what the shown unit sees
  let mode = "heat";
  let fault = "";
  const camera = { span: imageWidth * WHOLE, x: imageWidth / 2, y: imageHeight / 2 };
  const dirty = new Set(["all"]);
  const loop = frameLoop(draw);
  const announce = announcer();
  const stops = [() => loop.stop(), announce.stop];
  let colours = null;
  let ramp = [];
  const size = { plot: 0, row: 0, top: 4, photoTop: 0, photo: 0, profile: 44, image: 14, gap: 4 };
  root.frames = loop.times;

  function mark(...parts) {
    parts.forEach((part) => dirty.add(part));
    loop.request();
  }

  // -- State: the reader's hand and the kernel's word meet here.
  function change(values) {
    const news = Object.entries(values).filter(([name, value]) => !same(state[name], value));
    if (!news.length) return;
    for (const [name, value] of news) {
      state[name] = value;
      model.set(name, value);
    }
    settle(news.some(([name]) => name === "layers"));
    model.save_changes();
  }
  function settle(rebuilt) {
    if (rebuilt) {
      net = network(state.layers, imageSize);
      hover = null;
      setFault("");
    }
    // The kernel mends a unit that a new network lacks; a static page has no kernel.
    const layer = clamp(state.layer, 0, state.layers.length - 1);
    const counts = [net.sizes.y[layer + 1], net.sizes.x[layer + 1]];
    const unit = state.unit.length === 2 && state.unit.every((n, axis) => n < counts[axis]) ? state.unit : unitAt(net, layer + 1, ...focus);
    if (layer !== state.layer) { state.layer = layer; model.set("layer", layer); }
    if (!same(unit, state.unit)) { state.unit = unit; model.set("unit", unit); }
    if (rebuilt) { aim(); mark("all"); }
    else mark("unit", "controls");
  }
  for (const name of traits) {
    const follow = () => {
      const value = model.get(name);
      if (same(state[name], value)) return;
      if (name === "layers" && problem(value, imageSize)) return;
      state[name] = value;
      settle(name === "layers");
      keepInView();
    };
    model.on(`change:${name}`, follow);
    stops.push(() => model.off(`change:${name}`, follow));
  }
  function load(layers) {
    const unit = unitAt(network(layers, imageSize), layers.length, ...focus);
    change({ layers, layer: layers.length - 1, unit });
  }

  // -- The camera: which pixels of the image the figure spans. Both views share it.
  function aim() {
    const widest = Math.max(...net.fields.map((field) => field.size));
    const wanted = 2.4 * widest;
    camera.span = wanted > 0.6 * imageWidth ? imageWidth * WHOLE : Math.max(24, wanted);
    recentre();
  }
  function recentre() {
    const aspect = imageHeight / imageWidth;
    camera.x = within(fieldCentre(net.fields[state.layer + 1], state.unit[1]), camera.span, imageWidth);
    camera.y = within(fieldCentre(net.fields[state.layer + 1], state.unit[0]), camera.span * aspect, imageHeight);
  }
  function within(centre, span, size) {
    const [low, high] = [span / 2 - MARGIN * size, (1 + MARGIN) * size - span / 2];
    return low > high ? size / 2 : clamp(centre, low, high);
  }
  function zoom(factor) {
    camera.span = clamp(camera.span * factor, CLOSEST, imageWidth * WHOLE);
    recentre();
    mark("all");
  }
  function keepInView() {
    const field = net.fields[state.layer + 1];
    const aside = Math.abs(fieldCentre(field, state.unit[1]) - camera.x) / camera.span;
    const above = Math.abs(fieldCentre(field, state.unit[0]) - camera.y) / (camera.span * (imageHeight / imageWidth));
    if (Math.max(aside, above) > 0.42) recentre();
    mark("all");
  }

  // -- Controls.
  const presetButtons = presets.map(({ name, layers }) =>
    element("button", { type: "button", class: "segcore-button", text: name, "aria-pressed": "false", onclick: () => load(layers.map((layer) => ({ ...layer }))) }));
  const presetBar = element("div", { class: "bar presets", role: "group", "aria-label": "Networks" }, ...presetButtons);

  const facts = Object.fromEntries([
    ["sees", "Receptive field"],
    ["stride", "Stride"],
    ["offset", "Offset"],
    ["core", "Nine tenths of its weight"],
    ["lost", "On padding"],
  ].map(([name, label]) => {
    const value = element("dd");
    return [name, { value, node: element("div", { class: name }, element("dt", { text: label }), value) }];
  }));
  const who = element("p", { class: "who" });
  const headline = element("div", { class: "headline" }, who, element("dl", {}, ...Object.values(facts).map(({ node }) => node)));

  const canvas = element("canvas", { "aria-hidden": "true" });
  const rowsStage = element("div", { class: "stage rows", tabindex: "0", role: "slider", "aria-label": "Chosen unit, side view: arrows left and right change the unit, up and down the layer", "aria-orientation": "horizontal" });
  const photoStage = element("div", { class: "stage photo", tabindex: "0", role: "slider", "aria-label": "Chosen unit over the photograph: four arrows move it" });
  const labels = element("div", { class: "labels" });
  const readouts = element("div", { class: "readouts", "aria-hidden": "true" });
  const plot = element("div", { class: "plot" }, canvas, rowsStage, photoStage);
  const figure = element("div", { class: "drawing" }, labels, plot, readouts);
  let rowNodes = [];

  const key = (name, text) => element("li", {}, element("span", { class: `key ${name}` }), text);
  const legend = element("ul", { class: "legend" },
    key("cone", "receptive field: every pixel that can matter"),
    key("weight", "weight of each unit: the effective field"),
    key("core", "nine tenths of the weight"),
    key("flat", "if all pixels weighed the same"));
  const modeChoice = choice("On the photograph", [["heat", "Heat"], ["spotlight", "Spotlight"]], mode, (value) => { mode = value; mark("unit"); });
  const zoomButton = (label, text, factor) =>
    element("button", { type: "button", class: "segcore-button", "aria-label": label, text, onclick: () => zoom(factor) });
  const viewBar = element("div", { class: "bar view" }, modeChoice.node,
    element("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
      element("span", { class: "segcore-label", text: "Zoom" }),
      element("div", {}, zoomButton("Closer", "+", 1 / 1.6), zoomButton("Farther", "\u2212", 1.6), zoomButton("Whole image", "Whole image", 1e6))));

  // -- The chosen layer's settings.
  const editorTitle = element("h4");
  const kindSelect = element("select", { onchange: () => edit({ kind: kindSelect.value }) },
    ...Object.entries(KIND_LABELS).map(([value, text]) => element("option", { value, text })));
  const nameInput = element("input", { type: "text", maxlength: "24", onchange: () => edit({ name: nameInput.value.trim() || current().kind }) });
  const numbers = Object.fromEntries(Object.entries(LIMITS).map(([name, [low, high]]) => [name,
    element("input", { type: "number", min: String(low), max: String(high), step: "1", oninput: () => editNumber(name), onblur: () => mark("controls") })]));
  const field = (text, input, className = "") => element("label", { class: `field ${className}` }, element("span", { class: "segcore-label", text }), input);
  const button = (text, act, label = null) => element("button", { type: "button", class: "segcore-button", text, "aria-label": label, onclick: act });
  const upButton = button("\u2191", () => move(1), "Move the layer up, away from the image");
  const downButton = button("\u2193", () => move(-1), "Move the layer down, towards the image");
  const removeButton = button("Remove", () => remove());
  const faultLine = element("p", { class: "fault", role: "alert" });
  const weightsLine = element("p", { class: "note" });
  const editor = element("section", { class: "editor", "aria-label": "The chosen layer" },
    element("div", { class: "editor-head" }, editorTitle, element("div", { class: "moves" }, upButton, downButton, removeButton)),
    element("div", { class: "bar" }, field("Kind", kindSelect), field("Name", nameInput, "name"),
      ...Object.entries(numbers).map(([name, input]) => field(name[0].toUpperCase() + name.slice(1), input))),
    weightsLine, faultLine,
    element("div", { class: "bar adders", role: "group", "aria-label": "Add a layer above" },
      element("span", { class: "segcore-label", text: "Add above" }),
      ...TEMPLATES.map(([text, template]) => button(`+ ${text}`, () => add(template)))));

  const tableBody = element("tbody");
  const heads = ["Layer", "Kernel", "Stride", "Padding", "Dilation", "Field", "Stride", "Offset", "Seen here"];
  const table = element("details", { ontoggle: () => mark("table") },
    element("summary", { text: "All layers in numbers" }),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "All layers in numbers" },
      element("table", {},
        element("thead", {},
          element("tr", {}, element("td"), element("th", { colspan: "4", scope: "colgroup", text: "The layer" }), element("th", { colspan: "3", scope: "colgroup", text: "Its units in the image, pixels" }), element("th", { scope: "col", text: "The chosen unit" })),
          element("tr", {}, ...heads.map((text) => element("th", { scope: "col", text })))),
        tableBody)));
  root.append(presetBar, headline, figure, legend, viewBar, editor, table, announce.node);

  const current = () => state.layers[state.layer];

  function setFault(text) {
    fault = text;
    setText(faultLine, text);
  }
  function rebuild(layers, layer = state.layer) {
    const words = problem(layers, imageSize);
    setFault(words);
    if (words) return false;
    // The chosen unit is again the one that looks where the old one did.
    const here = net.fields[state.layer + 1];
    const unit = unitAt(network(layers, imageSize), layer + 1, fieldCentre(here, state.unit[1]), fieldCentre(here, state.unit[0]));
    change({ layers, layer, unit });
    return true;
  }
  function edit(values) {
    const old = current();
    const next = { ...old, ...values };
    // Padding that kept the size goes on keeping it.
    const reached = values.kernel !== undefined || values.dilation !== undefined;
    if (reached && old.kind !== "up" && 2 * old.padding === reach(old) - 1 && reach(next) % 2 === 1) next.padding = (reach(next) - 1) / 2;
    if (next.weights && next.weights.length !== next.kernel) delete next.weights;
    const done = rebuild(state.layers.map((layer, n) => (n === state.layer ? next : layer)));
    if (!done && values.kind) mark("controls");
    return done;
  }
  function editNumber(name) {
    const input = numbers[name];
    const value = input.value.trim() === "" ? NaN : Number(input.value);
    input.setAttribute("aria-invalid", String(!edit({ [name]: value })));
  }
  function fresh(stem) {
    const names = new Set(state.layers.map(({ name }) => name));
    for (let n = 1; ; n++) if (!names.has(`${stem}${n}`)) return `${stem}${n}`;
  }
  function add(template) {
    const layers = [...state.layers];
    layers.splice(state.layer + 1, 0, { name: fresh(template.kind), ...template });
    rebuild(layers, state.layer + 1);
  }
  function remove() {
    rebuild(state.layers.filter((_, n) => n !== state.layer), Math.max(0, state.layer - 1));
  }
  function move(by) {
    const to = state.layer + by;
    if (to < 0 || to >= state.layers.length) return;
    const layers = [...state.layers];
    [layers[state.layer], layers[to]] = [layers[to], layers[state.layer]];
    rebuild(layers, to);
  }

  // -- Choosing a unit.
  const at = (level, x, y) => ({ level, unit: unitAt(net, level, x, y) });
  const rowCentre = () => fieldCentre(net.fields[state.layer + 1], state.unit[0]);
  function underPointer(event, stageNode) {
    const frame = plot.getBoundingClientRect();
    const x = toPixel(event.clientX - frame.left);
    if (stageNode === photoStage) return at(state.layer + 1, x, toRow(event.clientY - frame.top));
    const top = Math.floor((event.clientY - frame.top - size.top) / size.row);
    const level = clamp(state.layers.length - top, 0, state.layers.length);
    return at(level === 0 ? state.layer + 1 : level, x, rowCentre());
  }
  function choose({ level, unit }) {
    change({ layer: level - 1, unit });
  }
  for (const node of [rowsStage, photoStage]) {
    let pressed = null;
    node.addEventListener("pointermove", (event) => {
      const found = underPointer(event, node);
      if (pressed === event.pointerId) {
        if (node === rowsStage) found.level = Math.max(1, found.level);
        choose(found);
        return;
      }
      if (event.pointerType === "touch") return;
      if (!hover || !same(hover, found)) { hover = found; mark("unit"); }
    });
    node.addEventListener("pointerleave", () => { if (hover) { hover = null; mark("unit"); } });
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || pressed !== null) return;
      pressed = event.pointerId;
      node.setPointerCapture(pressed);
      hover = null;
      choose(underPointer(event, node));
      mark("unit");
    });
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      node.addEventListener(type, (event) => { if (event.pointerId === pressed) pressed = null; });
    }
    node.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (onKey(event.key, event.shiftKey, node === photoStage)) event.preventDefault();
    });
  }
  function onKey(name, shift, onPhoto) {
    const step = shift ? 5 : 1;
    const moves = { ArrowLeft: [0, -step], ArrowRight: [0, step], Home: [0, -1e9], End: [0, 1e9] };
    if (onPhoto) Object.assign(moves, { ArrowUp: [-step, 0], ArrowDown: [step, 0] });
    hover = null;
    if (moves[name]) {
      const counts = [net.sizes.y, net.sizes.x].map((sizes) => sizes[state.layer + 1]);
      change({ unit: state.unit.map((n, axis) => clamp(n + moves[name][axis], 0, counts[axis] - 1)) });
    } else if (!onPhoto && (name === "ArrowUp" || name === "ArrowDown" || name === "PageUp" || name === "PageDown")) {
      chooseLayer(clamp(state.layer + (name.endsWith("Up") ? 1 : -1), 0, state.layers.length - 1));
    } else return false;
    keepInView();
    return true;
  }
  // The unit of another layer that looks at the same place.
  function chooseLayer(layer) {
    const here = net.fields[state.layer + 1];
    choose(at(layer + 1, fieldCentre(here, state.unit[1]), fieldCentre(here, state.unit[0])));
  }

  // -- Places on the canvas, in CSS pixels.
  const scale = () => size.plot / camera.span;
  const toX = (pixel) => (pixel - camera.x) * scale() + size.plot / 2;
  const toPixel = (x) => (x - size.plot / 2) / scale() + camera.x;
  const toY = (row) => size.photoTop + (row - camera.y) * scale() + size.photo / 2;
  const toRow = (y) => (y - size.photoTop - size.photo / 2) / scale() + camera.y;
  const levelY = (level) => (level === 0
    ? size.top + state.layers.length * size.row + size.gap + size.image / 2
    : size.top + (state.layers.length - level + 0.5) * size.row);

  const base = element("canvas");
  const heat = element("canvas");
  let stripes = null;

  function readColours() {
    colours = themeColours(root, COLOURS);
    ramp = Array.from({ length: STEPS + 1 }, (_, n) => mixed(colours.low, colours.second, 0.1 + 0.9 * (n / STEPS)));
    ramp[0] = colours.low;
    stripes = hatchPattern(canvas.getContext("2d"), colours.line, 1, 7, 1.2);
  }

  function measure() {
    const count = state.layers.length;
    size.plot = Math.max(120, plot.clientWidth);
    size.row = clamp(Math.round(360 / (count + 1)), 16, 44);
    size.profileTop = size.top + count * size.row + size.gap + size.image + 6;
    size.photoTop = size.profileTop + size.profile + 1;
    size.photo = Math.round(size.plot * (imageHeight / imageWidth));
    size.height = size.photoTop + size.photo;
    fitCanvas(canvas, size.plot, size.height);
    fitCanvas(base, size.plot, size.height);
    plot.style.height = `${size.height}px`;
    rowsStage.style.height = `${size.profileTop + size.profile}px`;
    photoStage.style.top = `${size.photoTop}px`;
    photoStage.style.height = `${size.photo}px`;
    buildRows();
  }

  // Names at the left, what the chosen unit sees at the right; from the deepest layer down to the image.
  function buildRows() {
    const make = (level) => {
      const layer = state.layers[level - 1];
      const label = layer
        ? element("button", { type: "button", onclick: () => chooseLayer(level - 1) }, element("b", { text: layer.name }), element("small", { text: spec(layer).text }))
        : element("span", {}, element("b", { text: "image" }));
      const readout = element("span");
      for (const node of [label, readout]) node.style.top = `${levelY(level)}px`;
      for (const node of [label, readout]) node.style.height = `${level ? size.row : 16}px`;
      return { level, label, readout };
    };
    const focused = rowNodes.findIndex(({ label }) => label === document.activeElement);
    rowNodes = Array.from({ length: state.layers.length + 1 }, (_, n) => make(state.layers.length - n));
    labels.replaceChildren(...rowNodes.map(({ label }) => label));
    readouts.replaceChildren(...rowNodes.map(({ readout }) => readout));
    if (focused >= 0) rowNodes[Math.min(focused, rowNodes.length - 2)].label.focus();
  }

  // -- Drawing: first what stands still while the pointer moves.
  function drawBase() {
    const pen = base.getContext("2d");
    pen.clearRect(0, 0, size.plot, size.height);
    for (let level = state.layers.length; level > 0; level--) drawRow(pen, level);
    drawPicture(pen);
  }
  const spacing = (level) => net.fields[level].stride * scale();
  // A unit is a disc where there is room, else a bar.
  function unitShape(level) {
    const gap = spacing(level);
    const tall = Math.min(size.row * 0.5, 15);
    if (gap >= 9) return { disc: Math.min(gap * 0.34, size.row * 0.3, 8) };
    return { wide: Math.max(1, gap > 2.4 ? gap * 0.64 : gap), tall };
  }
  function visible(level) {
    const { stride } = net.fields[level];
    const first = Math.floor((toPixel(-10) - fieldCentre(net.fields[level], 0)) / stride);
    const last = Math.ceil((toPixel(size.plot + 10) - fieldCentre(net.fields[level], 0)) / stride);
    return [Math.max(0, first), Math.min(net.sizes.x[level] - 1, last)];
  }
  const unitX = (level, unit) => toX(fieldCentre(net.fields[level], unit));

  function drawRow(pen, level) {
    const [first, last] = visible(level);
    const shape = unitShape(level);
    const y = levelY(level);
    pen.fillStyle = colours.page;
    pen.strokeStyle = colours.control;
    pen.lineWidth = 1;
    if (!shape.disc && spacing(level) <= 2.4) {
      const left = unitX(level, first) - spacing(level) / 2;
      const right = unitX(level, last) + spacing(level) / 2;
      pen.fillStyle = colours.line;
      pen.fillRect(left, y - shape.tall / 2, right - left, shape.tall);
      return;
    }
    pen.beginPath();
    for (let u = first; u <= last; u++) traceUnit(pen, shape, unitX(level, u), y);
    if (shape.disc) { pen.fill(); pen.stroke(); }
    else { pen.fillStyle = colours.line; pen.fill(); }
  }
  function traceUnit(pen, { disc, wide, tall }, x, y) {
    if (disc) { pen.moveTo(x + disc, y); pen.arc(x, y, disc, 0, 2 * Math.PI); }
    else pen.rect(x - wide / 2, y - tall / 2, wide, tall);
  }

  function drawPicture(pen) {
    pen.save();
    pen.beginPath();
    pen.rect(0, size.photoTop, size.plot, size.photo);
    pen.clip();
    pen.fillStyle = colours.panel;
    pen.fillRect(0, size.photoTop, size.plot, size.photo);
    pen.fillStyle = stripes;
    pen.fillRect(0, size.photoTop, size.plot, size.photo);
    pen.imageSmoothingEnabled = scale() < 5;
    pen.drawImage(picture, toX(0), toY(0), imageWidth * scale(), imageHeight * scale());
    pen.restore();
  }

  // -- Then what follows the unit.
  function drawUnit() {
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, size.plot, size.height);
    pen.save();
    pen.beginPath();
    pen.rect(0, 0, size.plot, size.photoTop);
    pen.clip();
    drawCone(pen);
    pen.drawImage(base, 0, 0, size.plot, size.height);
    drawLines(pen);
    for (let level = seen.level; level > 0; level--) drawWeights(pen, level);
    drawStrip(pen);
    drawProfile(pen);
    pen.restore();
    drawField(pen);
  }

  const edges = (level, span) => {
    const half = spacing(level) / 2;
    return [unitX(level, span[0]) - half, unitX(level, span[1]) + half];
  };
  function drawCone(pen) {
    const { spans } = seen.x;
    const points = [];
    for (let level = seen.level; level >= 0 && spans[level]; level--) {
      const y = levelY(level);
      const deep = level === 0 ? size.image / 2 : Math.min(size.row * 0.5, 18) / 2;
      const [left, right] = level === 0 ? [toX(spans[0][0]), toX(spans[0][1] + 1)] : edges(level, spans[level]);
      points.push([left, right, y - deep], [left, right, y + deep]);
    }
    pen.beginPath();
    points.forEach(([left, , y], n) => (n ? pen.lineTo(left, y) : pen.moveTo(left, y)));
    [...points].reverse().forEach(([, right, y]) => pen.lineTo(right, y));
    pen.closePath();
    pen.fillStyle = colours["accent-soft"];
    pen.fill();
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  // Connections, where units are far enough apart to tell them one from another.
  function drawLines(pen) {
    pen.strokeStyle = colours.accent;
    for (let level = seen.level; level > 0; level--) {
      if (spacing(level - 1) < 5.5) continue;
      const { from, weights } = seen.x.fields[level];
      const [first, last] = visible(level);
      pen.globalAlpha = level === seen.level ? 1 : 0.55;
      pen.lineWidth = level === seen.level ? 1.6 : 1;
      pen.beginPath();
      for (let u = Math.max(first, from); u <= Math.min(last, from + weights.length - 1); u++) {
        if (weights[u - from] === 0) continue;
        for (const [v] of inputsOf(state.layers[level - 1], u)) {
          if (v < 0 || v >= net.sizes.x[level - 1]) continue;
          pen.moveTo(unitX(level, u), levelY(level));
          pen.lineTo(unitX(level - 1, v), levelY(level - 1) - (level === 1 ? size.image / 2 : 0));
        }
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  function drawWeights(pen, level) {
    const { from, weights } = seen.x.fields[level];
    const [first, last] = visible(level);
    const shape = unitShape(level);
    const y = levelY(level);
    const most = Math.max(...weights);
    let step = -1;
    const flush = () => {
      pen.fillStyle = ramp[step];
      pen.fill();
      if (shape.disc) pen.stroke();
    };
    pen.strokeStyle = colours.text;
    pen.lineWidth = 1.1;
    pen.beginPath();
    for (let u = Math.max(first, from); u <= Math.min(last, from + weights.length - 1); u++) {
      const next = Math.ceil((weights[u - from] / most) * STEPS);
      if (next !== step) {
        if (step >= 0) flush();
        pen.beginPath();
        step = next;
      }
      traceUnit(pen, shape, unitX(level, u), y);
    }
    if (step >= 0) flush();
    if (level === seen.level) drawChosen(pen, level, y);
  }
  function drawChosen(pen, level, y) {
    const x = unitX(level, seen.x.unit);
    const ring = Math.max(5, (unitShape(level).disc ?? 3) + 2.5);
    pen.beginPath();
    pen.arc(x, y, ring, 0, 2 * Math.PI);
    pen.fillStyle = colours.second;
    pen.fill();
    pen.strokeStyle = colours.text;
    pen.lineWidth = 2;
    pen.stroke();
  }

  // The line of pixels through the middle of the field.
  function drawStrip(pen) {
    const row = clamp(Math.floor(fieldCentre(net.fields[seen.level], seen.y.unit)), 0, imageHeight - 1);
    const y = levelY(0) - size.image / 2;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, 0, row, imageWidth, 1, toX(0), y, imageWidth * scale(), size.image);
    pen.imageSmoothingEnabled = true;
    const [left, right] = [toX(0), toX(imageWidth)];
    pen.fillStyle = colours.page;
    pen.globalAlpha = 0.68;
    const span = seen.x.spans[0];
    if (span) {
      const [a, b] = [clamp(toX(span[0]), left, right), clamp(toX(span[1] + 1), left, right)];
      pen.fillRect(left, y, a - left, size.image);
      pen.fillRect(b, y, right - b, size.image);
      pen.globalAlpha = 1;
      pen.strokeStyle = colours.accent;
      pen.lineWidth = 1.5;
      pen.strokeRect(toX(span[0]), y, toX(span[1] + 1) - toX(span[0]), size.image);
    }
    pen.globalAlpha = 1;
  }

  // The weights of the pixels as a hill, and how high it would be if all of them counted alike.
  function drawProfile(pen) {
    const span = seen.x.spans[0];
    const { from, weights } = seen.x.fields[0];
    if (!span || !weights.length) return;
    const floor = size.profileTop + size.profile;
    const most = Math.max(...weights);
    const flat = seen.x.kept ? sum(weights) / seen.x.kept / length(span) / most : 0;
    pen.beginPath();
    pen.moveTo(toX(from), floor);
    weights.forEach((weight, n) => {
      const y = floor - (weight / most) * (size.profile - 4);
      pen.lineTo(toX(from + n), y);
      pen.lineTo(toX(from + n + 1), y);
    });
    pen.lineTo(toX(from + weights.length), floor);
    pen.fillStyle = colours.second;
    pen.fill();
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(toX(span[0]), floor - flat * (size.profile - 4));
    pen.lineTo(toX(span[1] + 1), floor - flat * (size.profile - 4));
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    for (const edge of [span[0], span[1] + 1]) { pen.moveTo(toX(edge), size.profileTop - 6); pen.lineTo(toX(edge), size.photoTop + 2); }
    pen.stroke();
  }

  function paintHeat() {
    const { x, y } = seen;
    const [columns, rows] = [x.fields[0].weights, y.fields[0].weights];
    if (!columns.length || !rows.length) return false;
    const most = Math.max(...columns) * Math.max(...rows);
    const tone = mode === "heat" ? [255, 122, 0] : [0, 0, 0];
    heat.width = columns.length;
    heat.height = rows.length;
    const image = new ImageData(columns.length, rows.length);
    const { data } = image;
    const map = outerProduct(rows, columns);
    for (let n = 0; n < map.length; n++) {
      const share = map[n] / most;
      data[4 * n] = tone[0];
      data[4 * n + 1] = tone[1];
      data[4 * n + 2] = tone[2];
      data[4 * n + 3] = mode === "heat" ? 205 * share : 240 * (1 - share);
    }
    heat.getContext("2d").putImageData(image, 0, 0);
    return true;
  }

  // The same field over the photograph.
  function drawField(pen) {
    const ratio = base.width / size.plot;
    pen.drawImage(base, 0, size.photoTop * ratio, base.width, base.height - size.photoTop * ratio, 0, size.photoTop, size.plot, size.photo);
    const [spanX, spanY] = [seen.x.spans[0], seen.y.spans[0]];
    if (!spanX || !spanY) return;
    pen.save();
    pen.beginPath();
    pen.rect(0, size.photoTop, size.plot, size.photo);
    pen.clip();
    const box = (columns, rows) => [toX(columns[0]), toY(rows[0]), length(columns) * scale(), length(rows) * scale()];
    const [x, y, wide, tall] = box(spanX, spanY);
    pen.fillStyle = mode === "heat" ? colours.page : "#000000";
    pen.globalAlpha = mode === "heat" ? 0.55 : 0.94;
    pen.beginPath();
    pen.rect(toX(0), toY(0), imageWidth * scale(), imageHeight * scale());
    pen.rect(x, y, wide, tall);
    pen.fill("evenodd");
    pen.globalAlpha = 1;
    if (paintHeat()) {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(heat, ...box([seen.x.fields[0].from, seen.x.fields[0].from + heat.width - 1], [seen.y.fields[0].from, seen.y.fields[0].from + heat.height - 1]));
      pen.imageSmoothingEnabled = true;
      outlineBox(pen, box(seen.x.core, seen.y.core), ["#000000b0", 3.5, []], ["#ffffff", 1.6, [5, 4]]);
    }
    outlineBox(pen, [x, y, wide, tall], ["#000000a0", 4, []], ["#5cc3e6", 2.2, []]);
    pen.restore();
  }
  function outlineBox(pen, box, ...strokes) {
    for (const [colour, width, dash] of strokes) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.setLineDash(dash);
      pen.strokeRect(...box);
    }
    pen.setLineDash([]);
  }

  // -- Words and numbers.
  function sentence() {
    const { level, x, y } = seen;
    return `Row ${y.unit}, column ${x.unit} of ${state.layers[level - 1].name} sees ${length(y.spans[0])} by ${length(x.spans[0])} pixels; nine tenths of its weight lie in ${length(y.core)} by ${length(x.core)}.`;
  }
  function drawWords() {
    const { level, x, y } = seen;
    const { stride, padding } = net.fields[level];
    const { name } = state.layers[level - 1];
    setText(who, `${name}, row ${y.unit} of ${net.sizes.y[level]}, column ${x.unit} of ${net.sizes.x[level]}${hover ? " (click to keep it)" : ""}`);
    setText(facts.sees.value, x.spans[0] && y.spans[0] ? `${times(length(y.spans[0]), length(x.spans[0]))} px` : "nothing");
    setText(facts.stride.value, `${px(stride)} px`);
    setText(facts.offset.value, `${px(-padding)} px`);
    const part = (length(x.core) * length(y.core)) / (length(x.spans[0]) * length(y.spans[0]));
    setText(facts.core.value, length(x.core) && length(y.core) ? `${times(length(y.core), length(x.core))} px, ${fixed(100 * part, 0)} % of the area` : "none");
    setText(facts.lost.value, `${fixed(100 * (1 - x.kept * y.kept), 0)} %`);
    for (const { level: row, readout, label } of rowNodes) {
      const span = row <= level ? x.spans[row] : null;
      setText(readout, row > level ? "" : row === 0 ? `${length(span)} px` : String(length(span)));
      if (row) {
        label.setAttribute("aria-pressed", String(row === state.layer + 1));
        label.classList.toggle("shown", row === level);
      }
    }
    describeStages();
    announce.say(sentence());
  }
  function describeStages() {
    const { level, x, y } = seen;
    for (const node of [rowsStage, photoStage]) {
      node.setAttribute("aria-valuemin", "0");
      node.setAttribute("aria-valuemax", String(net.sizes.x[level] - 1));
      node.setAttribute("aria-valuenow", String(x.unit));
      node.setAttribute("aria-valuetext", `${state.layers[level - 1].name}, row ${y.unit}, column ${x.unit}: sees ${length(y.spans[0])} by ${length(x.spans[0])} pixels`);
    }
  }

  function refresh(input, value) {
    if (document.activeElement === input && input.getAttribute("aria-invalid") === "true") return;
    if (input.value !== String(value)) input.value = String(value);
    input.setAttribute("aria-invalid", "false");
  }
  function drawControls() {
    const layer = current();
    setText(editorTitle, `Layer ${state.layer + 1} of ${state.layers.length}: ${layer.name}`);
    kindSelect.value = layer.kind;
    if (document.activeElement !== nameInput) nameInput.value = layer.name;
    for (const [name, input] of Object.entries(numbers)) refresh(input, layer[name]);
    if (fault && !Object.values(numbers).some((input) => input.getAttribute("aria-invalid") === "true")) setFault("");
    upButton.disabled = state.layer === state.layers.length - 1;
    downButton.disabled = state.layer === 0;
    removeButton.disabled = state.layers.length === 1;
    setText(weightsLine, layer.weights ? `Its taps weigh ${tapWeights(layer).map((w) => fixed(w, 2)).join(", ")}.`
      : layer.kind === "block" ? "Main path and shortcut count one half each in the effective field, along each axis." : "");
    presets.forEach(({ layers }, n) => presetButtons[n].setAttribute("aria-pressed", String(same(layers, state.layers))));
  }

  function drawTable() {
    if (!table.open) return;
    const rows = state.layers.map((layer, n) => {
      const { size: wide, stride, padding } = net.fields[n + 1];
      const span = n + 1 <= seen.level ? seen.x.spans[n + 1] : null;
      const cells = [layer.kernel, layer.stride, layer.padding, layer.dilation, px(wide), px(stride), px(-padding), span ? `${px(span[0])} to ${px(span[1])}` : "\u2013"];
      return element("tr", { class: n === state.layer ? "chosen" : null },
        element("th", { scope: "row", text: layer.name }), ...cells.map((text) => element("td", { text })));
    });
    tableBody.replaceChildren(...rows.reverse());
  }

  // One frame: only what changed.
  function draw() {
    const all = dirty.has("all");
    const controls = all || dirty.has("controls");
    const words = all || dirty.has("unit") || dirty.has("table");
    dirty.clear();
    if (!root.clientWidth) return;
    if (!colours) readColours();
    if (all) { measure(); drawBase(); }
    const shown = hover ?? { level: state.layer + 1, unit: state.unit };
    seen = look(net, shown.level, shown.unit);
    if (controls) drawControls();
    if (words || controls) {
      drawUnit();
      drawWords();
      drawTable();
    }
  }

  aim();
  stops.push(onTheme(() => { colours = null; mark("all"); }));
  stops.push(onResize(root, () => mark("all")));
  draw();
  return () => {
    stops.forEach((stop) => stop());
    root.remove();
  };
}

export default { render };
