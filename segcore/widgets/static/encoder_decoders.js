import { CLASS_COLOURS, hexToRgb, viridis } from "./kit/colours.js";
import { button, heading, slider, trials } from "./kit/controls.js";
import { element, put, setText, shape } from "./kit/elements.js";
import { oneOf, prefersStillness, whole, widget } from "./kit/figure.js";
import { between, clamp, ease, fixed, grouped, same } from "./kit/numbers.js";
import { openImage, picture, pixelsOf } from "./kit/pictures.js";

// The up-sampling architectures as one diagram. First the arithmetic: what a network is made of, as plain data.
//
// `describe` returns blocks (a map of `channels` x `size` x `size`, and the layers that make it), the arrows between
// them, and the sums. Blocks that two networks share have one id: that is why the drawing can change one into the other.
// All is for square images of 3 channels and 4 classes, as segcore.encoder_decoders and segcore.skips have it.

export const CLASSES = 4;
export const COLOURS = 3;
export const LIMITS = { size: [16, 640], width: [4, 64], depth: [1, 5] };
export const NETWORKS = {
  fcn32: "FCN-32s",
  fcn8: "FCN-8s",
  unet: "U-Net",
  unet_valid: "U-Net, valid",
  deconvnet: "DeconvNet",
  segnet: "SegNet",
};
const FCN_DEPTH = 5;
const FULL_KERNEL = 7; // of DeconvNet's fc6, where the map is that large

// Weights that learn: a filter from each input to each output, a bias, two numbers a channel of a normalisation.
export function layerParameters({ op, kernel, from, to, bias, norm, learned }) {
  if (!(op === "conv" || op === "up") || learned === false) return 0;
  return kernel * kernel * from * to + (bias ? to : 0) + (norm ? 2 * to : 0);
}

// Multiply-adds of the filters alone: for each output cell of a convolution, for each input cell of an up-convolution.
export function layerCost({ op, kernel, from, to, learned, cells }) {
  if (!(op === "conv" || op === "up")) return 0;
  return kernel * kernel * from * (learned === false ? 1 : to) * cells * cells;
}

const halved = (size) => Math.ceil(size / 2);
const conv = (kernel, from, to, cells, more = {}) => ({ op: "conv", kernel, from, to, cells, bias: true, norm: false, ...more });

// A row of 3 x 3 convolutions with normalisation and ReLU; without padding each takes a cell from every border.
function convolutions(channels, size, valid = false) {
  const layers = [];
  for (let n = 1; n < channels.length; n++) {
    if (valid) size -= 2;
    layers.push(conv(3, channels[n - 1], channels[n], size, { norm: true, relu: true }));
  }
  return { layers, size, channels: channels.at(-1) };
}

function block(id, name, role, level, maps, layers = [], more = {}) {
  return { id, name, role, level, size: maps.size, channels: maps.channels, layers, ...more };
}

function describeUNet({ size, width, depth }, valid) {
  const blocks = [];
  const arrows = [];
  const skips = [];
  let maps = { size, channels: COLOURS };
  for (let level = 0; level < depth; level++) {
    const made = convolutions([maps.channels, width * 2 ** level, width * 2 ** level], maps.size, valid);
    blocks.push(block(`enc${level}`, `Encoder ${level + 1}`, "encoder", level, made, made.layers));
    skips.push(blocks.at(-1));
    maps = { size: halved(made.size), channels: made.channels };
  }
  const low = convolutions([maps.channels, width * 2 ** depth, width * 2 ** depth], maps.size, valid);
  blocks.push(block("bottom", "Bottom", "bottom", depth, low, low.layers));
  maps = low;
  for (let level = depth - 1; level >= 0; level--) {
    const channels = width * 2 ** level;
    const skip = skips[level];
    const joined = valid ? 2 * maps.size : skip.size;
    if (valid) skip.crop = joined;
    const up = { op: "up", kernel: 2, stride: 2, from: maps.channels, to: channels, cells: maps.size, bias: true };
    blocks.push(block(`join${level}`, "Concatenate", "join", level, { size: joined, channels: 2 * channels }, [up], { how: "concat" }));
    const made = convolutions([2 * channels, channels, channels], joined, valid);
    blocks.push(block(`dec${level}`, `Decoder ${level + 1}`, "decoder", level, made, made.layers));
    arrows.push({ id: `skip${level}`, kind: "concat", from: `enc${level}`, to: `join${level}` });
    maps = made;
  }
  const score = conv(1, maps.channels, CLASSES, maps.size);
  blocks.push(block("out", "Prediction", "out", 0, { size: maps.size, channels: CLASSES }, [score], { classes: true }));
  return { blocks, arrows };
}

function describeUnpooling({ size, width, depth }, full) {
  const blocks = [];
  const arrows = [];
  const widths = Array.from({ length: depth }, (_, level) => width * Math.min(2 ** level, 8));
  const count = (level) => (level < 2 ? 2 : 3);
  let maps = { size, channels: COLOURS };
  for (let level = 0; level < depth; level++) {
    const made = convolutions([maps.channels, ...Array(count(level)).fill(widths[level])], maps.size);
    blocks.push(block(`enc${level}`, `Encoder ${level + 1}`, "encoder", level, made, made.layers));
    maps = { size: halved(made.size), channels: made.channels };
  }
  const sizes = blocks.map((each) => each.size);
  if (full) {
    const kernel = Math.min(FULL_KERNEL, maps.size);
    const [hidden, cells] = [64 * width, maps.size - kernel + 1];
    const norm = { norm: true, relu: true };
    const down = [{ ...conv(kernel, maps.channels, hidden, cells, norm), name: "fc6" },
      { ...conv(1, hidden, hidden, cells, norm), name: "fc7" }];
    const back = { op: "up", kernel, stride: 1, from: hidden, to: maps.channels, cells, bias: true, ...norm, name: "deconv_fc6" };
    blocks.push(block("fc7", "fc7", "bottom", depth, { size: cells, channels: hidden }, down));
    blocks.push(block("bottom", "deconv_fc6", "bottom", depth, maps, [back]));
  } else {
    blocks.push(block("bottom", "Pooled", "bottom", depth, maps));
  }
  for (let level = depth - 1; level >= 0; level--) {
    const own = widths[level];
    blocks.push(block(`join${level}`, "Unpool", "join", level, { size: sizes[level], channels: own }, [], { how: "unpool" }));
    const made = convolutions([...Array(count(level)).fill(own), widths[Math.max(level - 1, 0)]], sizes[level]);
    blocks.push(block(`dec${level}`, `Decoder ${level + 1}`, "decoder", level, made, made.layers));
    arrows.push({ id: `skip${level}`, kind: "switches", from: `enc${level}`, to: `join${level}` });
    maps = made;
  }
  blocks.push(block("out", "Prediction", "out", 0, { size, channels: CLASSES }, [conv(1, maps.channels, CLASSES, size)], { classes: true }));
  return { blocks, arrows };
}

// Fixed up-sampling has one filter for each class by itself; the border is repeated once before.
function upscore(name, factor, cells, learned) {
  return { op: "up", name, kernel: 2 * factor, stride: factor, from: CLASSES, to: CLASSES, cells: cells + 2, bias: false, learned };
}

function describeFCN({ size, width }, finest) {
  const blocks = [];
  const arrows = [];
  const widths = [COLOURS, ...[1, 2, 4, 8, 8].map((times) => width * times)];
  let cells = size;
  for (let k = 1; k <= FCN_DEPTH; k++) {
    const layers = [conv(3, widths[k - 1], widths[k], cells, { bias: false, norm: true, relu: true }), { op: "pool" }];
    cells = halved(cells);
    blocks.push(block(`enc${k}`, `pool${k}`, "encoder", k, { size: cells, channels: widths[k] }, layers));
  }
  const hidden = 12 * width;
  const full = [{ ...conv(3, widths[5], hidden, cells, { relu: true }), name: "fc6" },
    { ...conv(1, hidden, hidden, cells, { relu: true }), name: "fc7" }];
  blocks.push(block("fc7", "fc7", "bottom", FCN_DEPTH, { size: cells, channels: hidden }, full));
  const score = { ...conv(1, hidden, CLASSES, cells), name: "score_fr" };
  blocks.push(block("score", "score_fr", "score", FCN_DEPTH, { size: cells, channels: CLASSES }, [score], { classes: true }));
  for (let level = FCN_DEPTH - 1; 2 ** level >= finest; level--) {
    const from = blocks.find((each) => each.id === `enc${level}`);
    const pooled = { ...conv(1, from.channels, CLASSES, from.size), name: `score_pool${level}` };
    const name = level === FCN_DEPTH - 1 ? "upscore2" : `upscore_pool${level + 1}`;
    const maps = { size: from.size, channels: CLASSES };
    blocks.push(block(`join${level}`, "Sum", "join", level, maps, [upscore(name, 2, cells, true), pooled], { how: "sum" }));
    blocks.push(block(`dec${level}`, `fuse_pool${level}`, "score", level, maps, [], { classes: true }));
    arrows.push({ id: `skip${level}`, kind: "sum", from: `enc${level}`, to: `join${level}` });
    cells = from.size;
  }
  const last = upscore(`upscore${finest}`, finest, cells, false);
  blocks.push(block("out", "Prediction", "out", 0, { size, channels: CLASSES }, [last], { classes: true }));
  return { blocks, arrows };
}

// The arrows along the main path: down where the next block lies deeper, up where it lies higher.
function mainPath(blocks) {
  return blocks.slice(1).map((to, n) => {
    const from = blocks[n];
    const kind = to.level > from.level ? "down" : to.level < from.level ? "up" : "on";
    return { id: `${kind}-${to.id}`, kind, from: from.id, to: to.id, factor: 2 ** Math.abs(to.level - from.level) };
  });
}

export function describe(kind, settings) {
  const makers = {
    fcn32: () => describeFCN(settings, 32),
    fcn8: () => describeFCN(settings, 8),
    unet: () => describeUNet(settings, false),
    unet_valid: () => describeUNet(settings, true),
    deconvnet: () => describeUnpooling(settings, true),
    segnet: () => describeUnpooling(settings, false),
  };
  const made = makers[kind]();
  const blocks = [block("image", "Image", "image", 0, { size: settings.size, channels: COLOURS }), ...made.blocks];
  for (const each of blocks) {
    each.parameters = each.layers.reduce((sum, layer) => sum + layerParameters(layer), 0);
    each.cost = each.layers.reduce((sum, layer) => sum + layerCost(layer), 0);
  }
  const total = (what) => blocks.reduce((sum, each) => sum + each[what], 0);
  const depth = kind.startsWith("fcn") ? FCN_DEPTH : settings.depth;
  const output = blocks.at(-1).size;
  if (kind === "unet_valid") blocks[0].crop = output;
  return { kind, depth, blocks, arrows: [...mainPath(blocks), ...made.arrows], output, parameters: total("parameters"), cost: total("cost") };
}

// Without padding: what is lost on each side, and the smallest image, whose output is 4 x 4.
export function validMargin(depth) {
  return 6 * 2 ** depth - 4;
}

// Why an image of this size cannot go in, and the nearest sizes that can; null where it can.
export function sizeProblem(kind, { size, depth }) {
  if (kind === "unet_valid") {
    const [step, least] = [2 ** depth, 2 * validMargin(depth) + 4];
    if (size < least) return { text: `Unpadded convolutions at depth ${depth} need ${least} pixels at least.`, sizes: [least] };
    const below = size - ((size - least) % step);
    if (below !== size) return { text: `${size} does not halve evenly ${depth} times once the convolutions have cut off their borders.`, sizes: [below, below + step] };
  }
  if (kind.startsWith("fcn") && size < 32) return { text: "Five poolings need 32 pixels at least.", sizes: [32] };
  return null;
}

// What remains when the pooling of an unpadded net meets an odd map: the sizes down to there, for the message.
export function descent(kind, { size, depth }) {
  const sizes = [];
  for (let level = 0, cells = size; level < depth; level++) {
    cells -= kind === "unet_valid" ? 4 : 0;
    sizes.push(cells);
    if (kind === "unet_valid" && (cells % 2 || cells < 2)) return sizes;
    cells = halved(cells);
  }
  return sizes;
}

// ---- Where the blocks stand, in pixels, for a drawing of a given width

const BIG = 0.42; // how sides follow sizes: a map a hundred times smaller is drawn seven times smaller

// `small`: labels in two lines; `stacked`: image and prediction stand above the first row instead of beside it.
function measures(width) {
  if (width < 520) return { small: true, stacked: true, least: 17, most: 74, gap: 8, radius: 7, label: 27, apart: 16, elbow: 12, edge: 2 };
  if (width < 800) return { small: true, stacked: false, least: 22, most: 92, gap: 15, radius: 9, label: 27, apart: 22, elbow: 18, edge: 3 };
  return { small: false, stacked: false, least: 24, most: 92, gap: 24, radius: 10.5, label: 19, apart: 37, elbow: 33, edge: 4 };
}

const sideOf = (ratio, whole, least) => Math.max(least, whole * ratio ** BIG);

// How thick a stack of maps is drawn: by the logarithm of their number.
export function thickness(channels, whole) {
  return Math.log2(channels + 1) * Math.min(1.7, whole / 45);
}

// From left to right along the main path: down steps aside by little, a join stands where the way up ends.
function placeColumns(blocks, whole, m) {
  const places = new Map();
  let before = null;
  for (const each of blocks) {
    const join = each.role === "join";
    const side = join ? 2 * m.radius : sideOf((each.size || 1) / blocks[0].size, whole, m.least);
    const stacked = m.stacked && (before?.role === "image" || each.role === "out") && before.level === each.level;
    let x = m.edge + side / 2;
    if (stacked) x = before.x;
    else if (before && each.level > before.level) x = before.x + Math.max(m.apart, side / 2 + 0.7 * m.gap);
    else if (before && each.level < before.level) x = Math.max(before.x + m.elbow, before.right + 9);
    else if (before) x = before.right + (join || before.role === "join" ? 0.75 : 1) * m.gap + side / 2;
    const depth = join ? 0 : thickness(each.channels, whole);
    before = { id: each.id, role: each.role, level: each.level, x, side, depth, right: x + side / 2 + depth };
    places.set(each.id, before);
  }
  return places;
}

const rightmost = (places) => Math.max(...[...places.values()].map((each) => each.right));

// Rows: one for each level, as high as its largest map needs, and on a narrow page one more for image and prediction.
function rowHeights(depth, whole, m) {
  const rows = [];
  let y = 2;
  const add = (ratio) => {
    const side = sideOf(ratio, whole, m.least);
    y += m.label + side / 2 + thickness(64, whole);
    rows.push(y);
    y += side / 2 + 3;
  };
  if (m.stacked) add(1);
  for (let level = 0; level <= Math.max(depth, FCN_DEPTH); level++) add(2 ** -level);
  return { rows, height: y + 4 };
}

// The side of the largest map with which all these networks fit into a width.
export function fitting(networks, width) {
  const m = measures(width);
  let whole = m.most;
  const fits = ({ blocks }) => rightmost(placeColumns(blocks, whole, m)) <= width - m.edge;
  while (whole > 22 && !networks.every(fits)) whole -= 1;
  return whole;
}

// {places: {id: {x, y, side, depth}}, height}: the centre of each block's front, its side, how thick its stack is.
export function layout(network, width, whole = fitting([network], width)) {
  const m = measures(width);
  const columns = placeColumns(network.blocks, whole, m);
  const spare = Math.max(0, width - m.edge - rightmost(columns));
  const { rows, height } = rowHeights(network.depth, whole, m);
  const places = {};
  let rising = false;
  for (const { id, role, level, x, side, depth } of columns.values()) {
    rising ||= role === "join" || role === "out";
    const row = m.stacked && role !== "image" && role !== "out" ? level + 1 : level;
    places[id] = { x: x + (rising ? spare : 0), y: rows[row], side, depth };
  }
  return { places, height, small: m.small, radius: m.radius };
}

// The smallest image from which an unpadded U-Net predicts `size` pixels: what an overlapping tile reads.
export function coveringSize(size, depth) {
  const step = 2 ** depth;
  return Math.ceil((size - 4) / step) * step + 4 + 2 * validMargin(depth);
}

// Indices beyond a border come back, reflected at the outermost pixel.
export function mirroredIndex(index, size) {
  const period = Math.max(2 * (size - 1), 1);
  const at = ((index % period) + period) % period;
  return Math.min(at, period - at);
}

// ---- Words and numbers

// Three significant digits with k, M or G.
export function short(value) {
  const [unit, letter] = value >= 999.5e6
    ? [1e9, "\u202fG"] : value >= 999.5e3 ? [1e6, "\u202fM"] : value >= 99999.5 ? [1e3, "\u202fk"] : [1, ""];
  const number = value / unit;
  return (unit === 1 ? grouped(number) : fixed(number, number < 9.995 ? 2 : number < 99.95 ? 1 : 0)) + letter;
}

const times = (...numbers) => numbers.join(" \u00d7 ");

function layerText({ op, name, kernel, stride, from, to, norm, relu, learned }) {
  if (op === "pool") return "2 \u00d7 2 max pooling";
  const what = op === "conv" ? "convolution" : "up-convolution";
  const pace = op === "up" ? `, stride ${stride}` : "";
  const tail = learned === false ? ", fixed: bilinear" : `${norm ? ", normalisation" : ""}${relu ? ", ReLU" : ""}`;
  return `${name ? `${name}: ` : ""}${times(kernel, kernel)} ${what}${pace}, ${from} \u2192 ${to}${tail}`;
}

const JOINS = {
  concat: "The encoder\u2019s maps and the up-sampled ones are stacked: the next convolution reads both, with weights of its own for each.",
  sum: "The scores of the encoder\u2019s pool and the up-sampled ones from below are added, class by class.",
  unpool: "Each value goes back to where its maximum stood; three of four cells stay zero. Only the places come from the encoder.",
};

// What is said of a block besides its numbers.
export function remark({ role, how, id, crop, size, classes }, kind) {
  if (how) return JOINS[how];
  if (role === "image") return kind === "unet_valid"
    ? "The scene, mirrored beyond its borders. The dashed square is what will be predicted." : "A scene that no network was trained on.";
  if (crop && crop < size) return `Only the middle ${times(crop, crop)} of it (dashed) fits the decoder\u2019s maps.`;
  if (id === "out") return "The class of the largest score, pixel by pixel.";
  if (classes) return "Scores already: one map for each class. The picture shows the class of the largest.";
  if (id === "bottom" && kind === "segnet") return "The pooled maps: there is nothing between encoder and decoder.";
  if (id === "fc7") return kind === "deconvnet"
    ? "All of the map that the kernel covers, in one vector: the fully connected layers of a classifier."
    : "A classifier\u2019s fully connected layers, as convolutions.";
  return "";
}

const KINDS = {
  down: "pooling halves",
  on: "on to the next layers",
  up: "up-sampling",
  concat: "skip: maps, concatenated",
  sum: "skip: class scores, added",
  switches: "skip: places of the maxima",
};

// ---- Drawing

const SECONDS = 0.55; // from one network to another
const [SMALL, LARGE] = [{ size: 224, width: 64, depth: 5 }, { size: 572, width: 64, depth: 4 }];
const publishedOf = (kind) => (kind.startsWith("unet") ? LARGE : SMALL);
const settingsOf = ({ size, width, depth }) => ({ size, width, depth });

const round = (value) => Math.round(value * 10) / 10;

const show = (node, shown) => put(node, { visibility: shown ? "visible" : "hidden" });

// The stored pictures by network and block, made when they are first asked for. A level is one of 16, from dark to bright.
async function openPictures(trained) {
  const [scene, truth, atlas] = (await Promise.all([trained.image, trained.truth, trained.atlas].map((each) =>
    openImage(each, "image/png")))).map(pixelsOf);
  const colours = { map: viridis(16), labels: CLASS_COLOURS.map(hexToRgb) };
  const cache = new Map();
  const level = (data, x, y) => Math.round(data.data[4 * (y * data.width + x)] / 17);
  const drawn = (width, height, colour) => picture(height, width, (n) => colour(n % width, Math.floor(n / width))).toDataURL();
  const make = (name, build) => {
    if (!cache.has(name)) cache.set(name, build());
    return cache.get(name);
  };
  function of(kind, id) {
    const stored = trained.networks[kind].blocks[id] ?? [];
    return make(`${kind} ${id}`, () => stored.map(({ at: [left, top, width, height], kind: what, step }, n) => ({
      get url() { // a block's face needs one of many
        return make(`${kind} ${id} ${n}`, () => drawn(width, height, (x, y) => colours[what][level(atlas, left + x, top + y)]));
      }, cells: width, step, what })));
  }
  function image(margin, side) {
    const { width, height } = scene;
    const colour = (x, y) => {
      const at = 4 * (mirroredIndex(y - margin, height) * width + mirroredIndex(x - margin, width));
      return scene.data.subarray(at, at + 3);
    };
    return make(`image ${margin}`, () => ({ url: drawn(side, side, colour), cells: side, step: 1, what: "image" }));
  }
  const right = () => make("truth", () =>
    ({ url: drawn(truth.width, truth.height, (x, y) => colours.labels[level(truth, x, y)]), cells: truth.width, step: 1, what: "truth" }));
  return { of, image, truth: right };
}

// The network of the present settings; where its image does not fit, that of the nearest size, with what is unknown left out.
function present(figure, kind = figure.state.architecture) {
  const settings = settingsOf(figure.state);
  const problem = sizeProblem(kind, settings);
  const network = describe(kind, problem ? { ...settings, size: problem.sizes.at(-1) } : settings);
  if (!problem) return network;
  const known = kind === "unet_valid" ? descent(kind, settings) : [];
  for (const each of network.blocks) {
    const level = each.role === "encoder" ? each.level : Infinity;
    each.told = each.role === "image" ? settings.size : level < known.length && known[level] > 0 ? known[level] : null;
    if (level === known.length - 1) each.odd = true;
  }
  return { ...network, problem };
}

const nameOf = ({ role, name, level }) => (role === "join" ? `${name}, level ${level + 1}` : name);
const sizeText = (each) => (each.told === undefined ? String(each.size) : each.told === null ? "?" : String(each.told));

// ---- The diagram

function buildBlock(figure) {
  const parts = {
    ring: shape("rect", { class: "ring", rx: 4 }),
    stack: shape("path", { class: "stack" }),
    front: shape("rect", { class: "front" }),
    face: shape("image", { class: "face", preserveAspectRatio: "none", href: "" }),
    crop: shape("rect", { class: "crop" }),
    disc: shape("circle", { class: "disc" }),
    glyph: shape("path", { class: "glyph" }),
    dot: shape("path", { class: "dot" }),
    channels: shape("tspan", { class: "channels" }),
    cells: shape("tspan", { class: "cells", dx: 4 }),
  };
  const label = shape("text", { class: "label" }, parts.channels, parts.cells);
  const { channels, cells, ...shapes } = parts;
  const node = shape("g", { class: "block", role: "radio", tabindex: -1 }, ...Object.values(shapes), label);
  return { node, label, ...parts };
}

// Marks of the three ways to join, as lines and what is filled: two stacks that touch, in the colours of the arrows that bring
// them; a plus; four cells, of which one is filled.
function dressMark({ glyph, dot }, how, radius) {
  const [a, side] = [round(0.475 * radius), round(0.58 * radius)];
  const paths = {
    sum: [`M${-a} 0H${a}M0 ${-a}V${a}`, ""],
    concat: [`M${-side} ${-a}H${side}V${a}H${-side}ZM0 ${-a}V${a}`, `M0 ${-a}H${side}V${a}H0Z`],
    unpool: [`M${-a} ${-a}H${a}V${a}H${-a}ZM0 ${-a}V${a}M${-a} 0H${a}`, `M0 0v${-a}h${a}v${a}z`],
  };
  const [lines, filled] = paths[how] ?? ["", ""];
  put(glyph, { d: lines, class: `glyph ${how ?? ""}` });
  put(dot, { d: filled, class: `dot ${how ?? ""}` });
}

// The sheets behind the front: one line for each doubling of the channels.
function stackPath(side, depth, channels) {
  const half = side / 2;
  const count = Math.max(1, Math.round(Math.log2(channels + 1)));
  let path = "";
  for (let n = count; n >= 1; n--) {
    const at = (depth * n) / count;
    path += `M${round(-half + at)} ${round(-half - at)}h${round(side)}v${round(side)}h${round(-side)}z`;
  }
  return path;
}

function paintBlock(parts, each, at, small) {
  const { side, depth } = at;
  const half = side / 2;
  const square = (long) => ({ x: round(-long / 2), y: round(-long / 2), width: round(long), height: round(long) });
  put(parts.node, { transform: `translate(${round(at.x)} ${round(at.y)})`, opacity: round(at.alpha * 100) / 100 });
  if (each.role === "join") {
    put(parts.ring, { ...square(side + 6), rx: half + 3 });
    put(parts.disc, { r: round(half) });
    return;
  }
  put(parts.ring, { ...square(side + 7), rx: 4 });
  put(parts.stack, { d: stackPath(side, depth, each.channels) });
  put(parts.front, square(side));
  put(parts.face, square(side));
  put(parts.crop, square(each.crop ? (side * each.crop) / each.size : 0));
  const top = round(-half - depth - 4);
  put(parts.channels, { x: round(depth / 2), y: small ? top - 10 : top });
  if (small) put(parts.cells, { x: round(depth / 2), y: top, dx: 0 });
  else if (parts.cells.hasAttribute("x")) ["x", "y"].forEach((name) => parts.cells.removeAttribute(name)); // one line
  if (!small) put(parts.cells, { dx: 4 });
}

// What does not move: face, mark, words.
function dressBlock(figure, parts, each, network, radius) {
  const { pictures } = figure;
  const join = each.role === "join";
  show(parts.disc, join);
  show(parts.glyph, join);
  [parts.stack, parts.front].forEach((node) => show(node, !join));
  show(parts.crop, Boolean(each.crop && each.crop < each.size));
  put(parts.node, { class: `block ${each.role}${each.odd ? " odd" : ""}${each.classes ? " classes" : ""}`, "data-id": each.id });
  dressMark(parts, each.how, radius);
  const url = join || !pictures ? null : picturesOf(figure, each, network)[0]?.url;
  if (url) put(parts.face, { href: url });
  show(parts.face, Boolean(url));
  setText(parts.channels, join ? "" : grouped(each.channels));
  setText(parts.cells, join ? "" : `${sizeText(each)}\u00b2`);
  put(parts.node, { "aria-label": `${nameOf(each)}: ${each.channels} channels, ${sizeText(each)} by ${sizeText(each)}` });
}

// The pictures of a block: those of a trained network only at the depth at which it was trained.
function picturesOf({ pictures, trained: { settings }, state }, { role, id }, { kind, depth }) {
  if (role === "image") {
    const margin = kind === "unet_valid" ? validMargin(state.depth) : 0;
    return [pictures.image(margin, margin ? coveringSize(settings.size, state.depth) : settings.size)];
  }
  return kind.startsWith("fcn") || depth === settings.depth ? pictures.of(kind, id) : [];
}

// An arrow's line, from the geometry of its ends.
function arrowPath(kind, a, b) {
  const [left, right] = [b.x - b.side / 2 - 3, a.x + a.side / 2 + a.depth + 2];
  if (kind === "down") return elbow([a.x, a.y + a.side / 2 + 2], [left, b.y], "down");
  if (kind === "up") return elbow([right, a.y], [b.x, b.y + b.side / 2 + 3], "up");
  if (Math.abs(a.x - b.x) < 2) return { line: "", tip: [-99, -99, 0] }; // one above the other, as near as they can be
  return { line: `M${round(right)} ${round(a.y)}L${round(left)} ${round(b.y)}`, tip: [left, b.y, 0] };
}

function elbow([x, y], [toX, toY], way) {
  const r = Math.max(0, Math.min(7, Math.abs(toX - x), Math.abs(toY - y)));
  const bend = round(r);
  return way === "down"
    ? { line: `M${round(x)} ${round(y)}V${round(toY - r)}q0 ${bend} ${bend} ${bend}H${round(toX)}`, tip: [toX, toY, 0] }
    : { line: `M${round(x)} ${round(y)}H${round(toX - r)}q${bend} 0 ${bend} ${-bend}V${round(toY)}`, tip: [toX, toY, -90] };
}

function buildArrow() {
  const line = shape("path", { class: "line" });
  const head = shape("path", { class: "head", d: "M0 0L-7 -3.6L-7 3.6Z" });
  const label = shape("text", { class: "word" });
  return { node: shape("g", { class: "arrow" }, line, head, label), line, head, label };
}

function paintArrow(parts, arrow, places) {
  const [a, b] = [places.get(arrow.from), places.get(arrow.to)];
  if (!a || !b) return;
  const { line, tip } = arrowPath(arrow.kind, a, b);
  const [x, y, turn] = tip.map(round);
  put(parts.node, { opacity: Math.round(100 * Math.min(a.alpha, b.alpha) * arrow.alpha) / 100 });
  put(parts.line, { d: line });
  put(parts.head, { transform: `translate(${x} ${y}) rotate(${turn})` });
  if (arrow.kind === "up") put(parts.label, { x: round(b.x - 6), y: round(b.y + b.side / 2 + 22) });
  else put(parts.label, { x: round((a.x + a.side / 2 + b.x) / 2), y: round(a.y - 6) });
}

const carried = { concat: "maps", sum: "scores", switches: "places" };

function dressArrow(parts, arrow, blocks, long) {
  const from = blocks.get(arrow.from);
  const skip = arrow.kind in carried;
  const width = arrow.kind === "concat" ? 1 + 0.5 * Math.log2(from.channels) : arrow.kind === "down" ? 1.5 : 2;
  put(parts.node, { class: `arrow ${arrow.kind}` });
  put(parts.line, { "stroke-width": round(width) });
  setText(parts.label, arrow.kind === "up" && arrow.factor > 2 ? `\u00d7 ${arrow.factor}` : skip && long ? carried[arrow.kind] : "");
}

function buildDiagram(figure) {
  const [arrowLayer, blockLayer] = [shape("g", { "aria-hidden": "true" }), shape("g")];
  const svg = shape("svg", { class: "diagram", role: "radiogroup", "aria-label": "Blocks of the network" }, arrowLayer, blockLayer);
  const diagram = { node: element("div", { class: "stage" }, svg), svg, arrowLayer, blockLayer, tween: null, network: null,
    blocks: new Map(), arrows: new Map(), shown: new Map(), lines: new Map() };
  listenToBlocks(figure, diagram);
  return diagram;
}

// Hovering shows a block, clicking keeps it, arrow keys walk along the network and across its skips.
function listenToBlocks(figure, diagram) {
  const { svg } = diagram;
  const idAt = (event) => event.target.closest?.("[data-id]")?.dataset.id ?? null;
  const hover = (id) => {
    if (figure.hover === id) return;
    figure.hover = id;
    figure.mark("block");
  };
  svg.addEventListener("pointermove", (event) => event.pointerType !== "touch" && hover(idAt(event)));
  svg.addEventListener("pointerleave", () => hover(null));
  svg.addEventListener("click", (event) => {
    const id = idAt(event);
    if (id) choose(figure, diagram, id);
  });
  svg.addEventListener("keydown", (event) => {
    const ids = diagram.network.blocks.map((each) => each.id);
    const at = ids.indexOf(event.target.dataset?.id);
    if (at < 0) return;
    const other = across(ids[at], ids);
    const ways = { ArrowRight: ids[at + 1], ArrowLeft: ids[at - 1], ArrowUp: other, ArrowDown: other, Home: ids[0], End: ids.at(-1) };
    if (!(event.key in ways)) return;
    event.preventDefault();
    if (ways[event.key]) choose(figure, diagram, ways[event.key]);
  });
}

function choose(figure, diagram, id) {
  figure.hover = null;
  figure.set({ block: id });
  figure.mark("block");
  diagram.blocks.get(id)?.node.focus({ preventScroll: true });
}

// The other end of a skip.
function across(id, ids) {
  const level = id.match(/\d+$/)?.[0];
  if (level === undefined) return null;
  const other = id.startsWith("enc") ? [`join${level}`, `dec${level}`] : [`enc${level}`];
  return other.find((each) => ids.includes(each)) ?? null;
}

// The block shown: the one under the pointer, the chosen one, or where a network lacks it, one like it.
export function blockIn(network, id) {
  const ids = network.blocks.map((each) => each.id);
  if (ids.includes(id)) return id;
  const level = Number(id.match(/\d+$/)?.[0] ?? 0);
  if (/^(enc)/.test(id)) return ids.includes(`enc${level + 1}`) ? `enc${level + 1}` : ids.findLast((each) => each.startsWith("enc"));
  if (/^(dec|join)/.test(id)) return [`dec${level}`, `join${level}`].find((each) => ids.includes(each)) ?? "out";
  return ids.find((each) => each === "fc7" || each === "bottom") ?? "out";
}

// New goals: blocks that stay move there, new ones fade in where they will stand, others fade out where they stood.
function retarget(figure, diagram, network, still) {
  const width = diagram.node.clientWidth;
  const settings = { ...settingsOf(figure.state), size: Math.max(figure.state.size, 32) };
  const whole = fitting(["fcn8", "unet", "deconvnet"].map((kind) => describe(kind, settings)), width);
  const { places, height, small, radius } = layout(network, width, whole);
  const goals = new Map(network.blocks.map((each) => [each.id, { ...places[each.id], alpha: 1 }]));
  for (const [id, at] of diagram.shown) if (!goals.has(id)) goals.set(id, { ...at, alpha: 0 });
  const from = new Map([...goals].map(([id, goal]) => [id, diagram.shown.get(id) ?? { ...goal, alpha: 0 }]));
  const lineGoals = new Map(network.arrows.map((each) => [each.id, 1]));
  for (const id of diagram.lines.keys()) if (!lineGoals.has(id)) lineGoals.set(id, 0);
  diagram.tween = { from, goals, lineFrom: new Map(diagram.lines), lineGoals, begin: null, done: still };
  Object.assign(diagram, { network, small, radius });
  put(diagram.svg, { width, height: Math.ceil(height), viewBox: `0 0 ${width} ${Math.ceil(height)}` });
  dress(figure, diagram);
}

// One node for each block and each arrow that is or was there.
function dress(figure, diagram) {
  const { network, tween } = diagram;
  const blocks = new Map(network.blocks.map((each) => [each.id, each]));
  network.blocks.forEach((each, n) => {
    if (!diagram.blocks.has(each.id)) diagram.blocks.set(each.id, buildBlock(figure));
    const parts = diagram.blocks.get(each.id);
    parts.block = each;
    dressBlock(figure, parts, each, network, diagram.radius);
    put(parts.label, { class: `label${diagram.small ? " small" : ""}` });
    const here = diagram.blockLayer.children[n] ?? null; // reading order is the network's
    if (here !== parts.node) diagram.blockLayer.insertBefore(parts.node, here); // only then: a node that moves loses the focus
  });
  const skips = network.arrows.filter((each) => each.kind in carried);
  const long = skips.reduce((best, each) => (!best || blocks.get(each.from).level < blocks.get(best.from).level ? each : best), null);
  for (const arrow of network.arrows) {
    if (!diagram.arrows.has(arrow.id)) {
      diagram.arrows.set(arrow.id, buildArrow());
      diagram.arrowLayer.append(diagram.arrows.get(arrow.id).node);
    }
    const parts = diagram.arrows.get(arrow.id);
    parts.arrow = arrow;
    dressArrow(parts, arrow, blocks, arrow === long);
  }
  if (!tween) figure.mark("move");
}

// A frame of the way from one network to another; true once it has arrived.
function move(diagram, now) {
  const { tween } = diagram;
  tween.begin ??= now;
  const t = tween.done ? 1 : clamp((now - tween.begin) / 1000 / SECONDS);
  const s = ease(t);
  for (const [id, goal] of tween.goals) {
    const from = tween.from.get(id);
    const at = Object.fromEntries(Object.keys(goal).map((key) => [key, between(from[key], goal[key], s)]));
    diagram.shown.set(id, at);
    const parts = diagram.blocks.get(id);
    paintBlock(parts, parts.block, at, diagram.small);
    if (t === 1 && goal.alpha === 0) drop(diagram.blocks, diagram.shown, id);
  }
  for (const [id, goal] of tween.lineGoals) {
    const alpha = between(tween.lineFrom.get(id) ?? 0, goal, s);
    diagram.lines.set(id, alpha);
    const parts = diagram.arrows.get(id);
    paintArrow(parts, { ...parts.arrow, alpha }, diagram.shown);
    if (t === 1 && goal === 0) drop(diagram.arrows, diagram.lines, id);
  }
  return t === 1;
}

function drop(nodes, shown, id) {
  nodes.get(id).node.remove();
  nodes.delete(id);
  shown.delete(id);
}

function markChosen(figure, diagram) {
  const chosen = blockIn(diagram.network, figure.state.block);
  const shown = blockIn(diagram.network, figure.hover ?? figure.state.block);
  for (const [id, { node }] of diagram.blocks) {
    put(node, { "aria-checked": String(id === chosen), tabindex: id === chosen ? 0 : -1 });
    node.classList.toggle("shown", id === shown);
  }
  return diagram.network.blocks.find((each) => each.id === shown);
}

// ---- Controls

function buildControls(figure) {
  const sliders = [["size", "Input size", 4], ["width", "Width", 4], ["depth", "Depth", 1]].map(([name, text, step]) =>
    ({ name, ...slider(text, { min: LIMITS[name][0], max: LIMITS[name][1], step }, (value) => figure.set({ [name]: value })) }));
  const presets = [["As trained here", () => figure.trained.settings],
    ["As large as published", () => publishedOf(figure.state.architecture)]].map(([text, settings]) => {
    const values = () => presetOf(figure, settings());
    return { values, node: button(text, () => figure.set(values())) };
  });
  const [note, problem] = [element("p", { class: "note" }), element("p", { class: "problem segcore-problem", role: "status" })];
  const nodes = [element("div", { class: "controls" }, ...sliders.map((each) => each.node)),
    element("div", { class: "segcore-bar" }, ...presets.map((each) => each.node)), note];
  return { nodes, problem, update: (network) => updateControls(figure, { sliders, presets, note, problem }, network) };
}

// An unpadded net reads more than it predicts: switching to it enlarges the image, switching back restores it.
function fitTo(figure, kind) {
  const { size, depth, architecture } = figure.state;
  if (kind === "unet_valid" && architecture !== kind) {
    if (!sizeProblem(kind, { size, depth })) return;
    const excess = Math.max(0, coveringSize(size, depth) - LIMITS.size[1]);
    const large = coveringSize(size, depth) - 2 ** depth * Math.ceil(excess / 2 ** depth);
    figure.before = { size, large };
    figure.set({ size: large });
  } else if (architecture === "unet_valid" && kind !== architecture && figure.before?.large === size) {
    const before = figure.before.size;
    figure.before = null;
    figure.set({ size: before });
  }
}

// The block that holds most of a network's parameters, and its share of them.
function heaviest({ blocks, parameters }) {
  const most = blocks.reduce((best, each) => (each.parameters > best.parameters ? each : best));
  return `${most.name} holds ${Math.round((100 * most.parameters) / parameters)} % of the parameters`;
}

// What to look for in each network, with what it reached here.
const LOOK_FOR = {
  fcn32: () => "Class scores, framed in orange, are made at the bottom and up-sampled 32 times in one step.",
  fcn8: () => "Scores of two pools join the way up: class scores, framed in orange, are what this skip carries.",
  unet: () => "The encoder\u2019s maps themselves cross over at each level; the scores come last. Point at the topmost join: one knows where, the other what.",
  unet_valid: (network) => `Nothing is padded: it reads ${network.blocks[0].size} pixels and predicts ${network.output}. The dashed squares are what is left of a skip after the cut.`,
  deconvnet: (network) => `Only the places of the maxima cross over. ${heaviest(network)}.`,
  segnet: () => "As DeconvNet, without its middle. Point at a join: values sit at places that the encoder chose, and the rest is zero.",
};

function networkTrials(figure) {
  const list = Object.entries(NETWORKS).map(([kind, label]) => ({
    label, values: { architecture: kind }, before: () => fitTo(figure, kind),
    note: () => {
      const { settings, networks } = figure.trained;
      return `${LOOK_FOR[kind](present(figure))} Trained here for ${settings.steps} steps: mean IoU ${fixed(networks[kind].score, 2)}.`;
    },
  }));
  return trials(figure, list, "");
}

// These settings, with an image that the chosen network can read.
function presetOf({ state: { architecture } }, { size, width, depth }) {
  return { size: sizeProblem(architecture, { size, depth }) ? coveringSize(size, depth) : size, width, depth };
}

function updateControls(figure, { sliders, presets, note, problem }, network) {
  const { state } = figure;
  const fcn = state.architecture.startsWith("fcn");
  const words = { size: `${state.size} px`, width: `${state.width} channels`, depth: fcn ? `${FCN_DEPTH}, always` : `${state.depth} poolings` };
  for (const { name, input, set } of sliders) {
    set(state[name], words[name]);
    input.disabled = name === "depth" && fcn;
  }
  presets.forEach(({ values, node }) => (node.disabled = same(values(), settingsOf(state))));
  setText(note, noteText(figure, network));
  const text = network.problem?.text ?? "";
  if (problem.dataset.text === text) return;
  problem.dataset.text = text;
  const fixes = (network.problem?.sizes ?? []).filter((size) => size <= LIMITS.size[1]).map((size) =>
    button(`Use ${size}`, () => figure.set({ size })));
  problem.replaceChildren(...(text ? [text] : []), ...fixes.flatMap((each) => [" ", each]));
}

function noteText(figure, network) {
  const { architecture: kind, width, depth } = figure.state;
  const { settings: trained } = figure.trained;
  const words = [];
  if (kind === "unet_valid" && !network.problem) {
    words.push(`Reads ${network.blocks[0].size}, predicts ${network.output}: ${validMargin(depth)} pixels less on each side, whatever the size.`);
  }
  if (same(publishedOf(kind), settingsOf(figure.state))) {
    words.push("The published size, but with this course\u2019s 3 colours, 4 classes and normalisation, "
      + "so not the published number of parameters.");
  }
  if (width !== trained.width || (!kind.startsWith("fcn") && depth !== trained.depth)) {
    words.push(`The pictures stay those of the networks trained here, of width ${trained.width} and depth ${trained.depth}.`);
  }
  return words.join(" ");
}

// ---- The panel of one block

function buildPanel(figure) {
  const words = { name: heading("") };
  for (const [name, tag] of [["shape", "p"], ["layers", "ul"], ["sums", "p"], ["remark", "p"]]) words[name] = element(tag, { class: name });
  const pictures = element("div", { class: "pictures" });
  const node = element("div", { class: "panel" }, element("div", { class: "words" }, ...Object.values(words)), pictures);
  return { node, update: (each, network) => updatePanel(figure, { ...words, pictures }, each, network) };
}

function updatePanel(figure, parts, each, network) {
  setText(parts.name, nameOf(each));
  setText(parts.shape, `${times(each.channels, sizeText(each), sizeText(each))}`);
  const rows = each.layers.map((layer) =>
    element("li", {}, element("span", { text: layerText(layer) }), element("b", { text: grouped(layerParameters(layer)) })));
  if (!same(rows.map((row) => row.textContent), [...parts.layers.children].map((row) => row.textContent))) parts.layers.replaceChildren(...rows);
  const cost = network.problem ? "" : `, ${short(each.cost)} multiply-adds`;
  setText(parts.sums, each.layers.length ? `${grouped(each.parameters)} parameters${cost}` : each.role === "image" ? "" : "No parameters");
  setText(parts.remark, remark(each, network.kind));
  updatePictures(figure, parts.pictures, each, network);
}

function updatePictures(figure, node, each, network) {
  if (!figure.pictures) return;
  const own = picturesOf(figure, each, network);
  const pictures = each.id === "out" && own.length ? [...own, figure.pictures.truth()] : own;
  const key = pictures.map((picture) => picture.url.length + picture.url.slice(-40)).join() + each.id + network.kind;
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  const figures = pictures.map((picture, n) => {
    const text = each.role === "join" && own.length > 1 ? ["from the encoder", "from below"][n] : captionOf(picture, each, network);
    return element("figure", {}, element("img", { src: picture.url, alt: text }), element("figcaption", { text }));
  });
  const { depth } = figure.trained.settings;
  const missing = element("p", { class: "missing",
    text: each.layers.length || each.role === "join" ? `Maps are stored for depth ${depth}.` : "" });
  node.replaceChildren(...(figures.length ? figures : network.kind.startsWith("fcn") || network.depth === depth ? [] : [missing]));
}

function captionOf({ what, step }, each, network) {
  if (what === "image") return network.kind === "unet_valid" ? "mirrored scene" : "the scene";
  if (what === "truth") return "truth";
  if (what === "labels") return each.id === "out" ? "prediction" : "class of the largest score";
  const thinned = step > 1 ? `, every ${step === 2 ? "2nd" : `${step}th`} cell` : "";
  return `strongest channel${thinned}`;
}

// ---- All networks at these settings

function buildTable(figure) {
  const head = ["Network", "Output", "Parameters", "Multiply-adds", "mIoU"];
  const rows = Object.entries(NETWORKS).map(([kind, text]) => {
    const cells = head.slice(1).map((name) => element("td", { class: name === "mIoU" || name === "Output" ? "" : "bar" }));
    return { kind, cells, node: element("tr", {}, element("th", { scope: "row", text }), ...cells) };
  });
  const { settings } = figure.trained;
  const caption = `All six at these settings. mIoU: on 100 held-out scenes, as trained here (${settings.size} pixels, width ${settings.width}, ${settings.steps} steps). An unpadded net reads as much as it needs.`;
  const node = element("table", {},
    element("caption", { text: caption }),
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col", text })))),
    element("tbody", {}, ...rows.map((row) => row.node)));
  return { node: element("div", { class: "comparison" }, node), update: () => updateTable(figure, rows) };
}

// In the table an unpadded net reads as much as it needs to predict the whole image.
function inTable(figure, kind) {
  const { size, depth, architecture } = figure.state;
  if (kind !== "unet_valid" || kind === architecture) return present(figure, kind);
  return describe(kind, { ...settingsOf(figure.state), size: coveringSize(size, depth) });
}

function updateTable(figure, rows) {
  const networks = rows.map(({ kind }) => inTable(figure, kind));
  const most = (what) => Math.max(...networks.map((each) => (each.problem ? 0 : each[what])), 1);
  const [parameters, cost] = [most("parameters"), most("cost")];
  rows.forEach(({ kind, cells: [output, left, right, quality], node }, n) => {
    const network = networks[n];
    node.classList.toggle("current", kind === figure.state.architecture);
    setText(output, network.problem ? "\u2013" : `${network.output}\u00b2`);
    setText(left, short(network.parameters));
    setText(right, network.problem ? "\u2013" : short(network.cost));
    left.style.setProperty("--part", String(network.parameters / parameters));
    right.style.setProperty("--part", String(network.problem ? 0 : network.cost / cost));
    setText(quality, fixed(figure.trained.networks[kind].score, 2));
  });
}

function buildFacts() {
  const items = ["Output", "Parameters", "Multiply-adds", "Skips carry"].map((name) => {
    const value = element("dd");
    return { value, node: element("div", {}, element("dt", { text: name }), value) };
  });
  const node = element("dl", { class: "facts" }, ...items.map((each) => each.node));
  function update({ kind, output, parameters, cost, problem, arrows }) {
    const skip = arrows.find((each) => each.kind in carried);
    const texts = [problem ? "\u2013" : times(CLASSES, output, output), grouped(parameters), problem ? "\u2013" : short(cost),
      skip ? `${carried[skip.kind]}${kind.startsWith("fcn") ? " of two pools" : " at each level"}` : "there are none"];
    items.forEach(({ value }, n) => setText(value, texts[n]));
  }
  return { node, update };
}

function swatch(name, colour) {
  return element("span", { class: "item" },
    element("span", { class: "swatch", style: `background: ${colour}`, "aria-hidden": "true" }), element("span", { text: name }));
}

// An arrow as it runs in the diagram: down or up by an elbow, a skip to the mark where it joins.
function keyArrow(kind) {
  const how = { concat: "concat", sum: "sum", switches: "unpool" }[kind];
  const [d, tip] = { down: ["M3 0v2q0 5 5 5H23", "30 7"], up: ["M1 13h12q5 0 5 -5V7", "18 0) rotate(-90"] }[kind] ?? ["M1 7H19", "25 7"];
  const mark = { disc: shape("circle", { class: "disc", r: 6.3 }), glyph: shape("path"), dot: shape("path") };
  dressMark(mark, how, 6.3);
  return shape("svg", { width: how ? 40 : kind === "up" ? 22 : 30, height: 14, "aria-hidden": "true" },
    shape("g", { class: `arrow ${kind}` }, shape("path", { class: "line", d, "stroke-width": kind === "concat" ? 3.5 : 2 }),
      shape("path", { class: "head", d: "M0 0L-7 -3.6L-7 3.6Z", transform: `translate(${tip})` })),
    how ? shape("g", { transform: "translate(32.5 7)" }, mark.disc, mark.glyph, mark.dot) : null);
}

function buildLegend({ classes }) {
  const items = new Map(Object.entries(KINDS).map(([kind, text]) =>
    [kind, element("span", { class: `item ${kind}` }, keyArrow(kind), element("span", { text }))]));
  const numbers = element("span", { class: "item" }, element("span", {}, element("b", { text: "16" }), " 64\u00b2"),
    element("span", { text: "channels, cells" }));
  const node = element("div", { class: "legend" }, numbers, ...items.values(), ...classes.map((name, n) => swatch(name, CLASS_COLOURS[n])));
  function update({ arrows }) {
    const used = new Set(arrows.map((each) => each.kind));
    items.forEach((item, kind) => { item.hidden = !used.has(kind); });
  }
  return { node, update };
}

function announceBlock(figure, each, network) {
  figure.say(`${NETWORKS[network.kind]}: ${each.name}, ${each.channels} channels of ${sizeText(each)} by ${sizeText(each)}, ${grouped(each.parameters)} parameters.`);
}

function build(figure) {
  Object.assign(figure, { trained: figure.model.get("trained"), pictures: null, hover: null, before: null });
  const parts = { facts: buildFacts(), diagram: buildDiagram(figure), legend: buildLegend(figure.trained),
    panel: buildPanel(figure), controls: buildControls(figure), table: buildTable(figure) };
  figure.first(
    element("p", { class: "segcore-lead", text: "Down to what is there, up again to where: six networks, and what each carries across." }),
    networkTrials(figure).node, parts.facts.node, parts.diagram.node, parts.legend.node, parts.controls.problem);
  figure.more("The block that is framed: its layers and its maps", [parts.panel.node], { open: true });
  figure.more("Another size, width or depth", parts.controls.nodes);
  figure.more("All six in numbers", [parts.table.node]);
  openPictures(figure.trained).then((pictures) => {
    figure.pictures = pictures;
    figure.mark("pictures");
  });
  return parts;
}

function draw(figure, changed, now) {
  const { facts, diagram, legend, panel, controls, table } = figure.parts;
  const anew = changed();
  if (changed("architecture", "size", "width", "depth")) {
    const network = present(figure);
    retarget(figure, diagram, network, prefersStillness() || anew || !diagram.shown.size);
    [facts, legend, controls, table].forEach((each) => each.update(network));
  }
  if (changed("pictures")) dress(figure, diagram);
  if (changed("architecture", "size", "width", "depth", "block", "pictures")) {
    const each = markChosen(figure, diagram);
    panel.update(each, diagram.network);
    if (changed("block") && !anew) announceBlock(figure, each, diagram.network);
  }
  if (diagram.tween && move(diagram, now)) diagram.tween = null;
  if (diagram.tween) figure.mark("move");
}

const blockName = (value) => (/^(image|out|bottom|fc7|score|(enc|dec|join)\d+)$/.test(value) ? "" : "a block, such as enc0, bottom, join1, dec1 or out");

export default widget({
  slug: "encoder_decoders",
  traits: { architecture: oneOf(...Object.keys(NETWORKS)), size: whole(...LIMITS.size), width: whole(...LIMITS.width),
    depth: whole(...LIMITS.depth), block: blockName },
  build,
  draw,
});
