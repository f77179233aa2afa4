// Any pixel of an answer unfolds, in three levels: what it looks at in the image; a layer on the way, one channel of it; and
// how one number there came about, window times weights, channel by channel. Escape goes back a level. A widget has the trait
// `pixel` and `data` with `answers`, a list of [network, output]; its numbers come from the network that runs (network.js).

import { palette } from "./colours.js";
import { button, slider } from "./controls.js";
import { element, setText, shape } from "./elements.js";
import { edited, fieldsOf } from "./fields.js";
import { clamp, fixed, placeWords, same, signed } from "./numbers.js";
import { surface } from "./photographs.js";
import { outlineRect, paintPixels } from "./pictures.js";
import { onArrows, pointIn } from "./pointer.js";
import { CLASS_NAMES, photograph } from "./scene.js";

// ---- Words -------------------------------------------------------------------------------------------------------

const times = (sizes) => sizes.join(" \u00d7 ");
const KINDS = { add: "sum", average: "mean", concatenate: "side by side", nearest: "each value repeated", relu: "ReLU", resize: "enlarged",
  softmax: "softmax", unpool: "unpooling" };

function kindOf(step) {
  if (step.op === "conv") return `${times(step.kernel)} convolution${step.dilation[0] > 1 ? `, dilation ${step.dilation[0]}` : ""}`;
  if (step.op === "transposed") return `${times(step.kernel)} up-convolution`;
  if (step.op === "max_pool") return `largest of ${times(step.kernel)}`;
  return KINDS[step.op];
}

const nameOf = (step) => step.name.replace(/^(network|backbone)\./, "");

// ---- The figure --------------------------------------------------------------------------------------------------

// A heat map of values about zero.
export const heat = (values, height, width, colours, largest) =>
  paintPixels(height, width, (n) => colours.at(values[n], largest).rgb);

const largestOf = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value ?? 0)), 1e-9);

function grid(caption, rows, colours) {
  const largest = largestOf(rows.flat());
  const cell = (value) => {
    const { fill, ink } = colours.at(value ?? 0, largest);
    return element("td", { style: `background: ${fill}; color: ${ink}`, text: value === null ? "\u00b7" : fixed(value, 2) });
  };
  return element("table", {}, element("caption", { text: caption }),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell)))));
}

function bars(sums, chosen, pick) {
  const largest = largestOf(sums);
  const rects = sums.map((sum, n) => {
    const high = Math.max(0.5, (19 * Math.abs(sum)) / largest);
    return shape("rect", { x: 10 * n + 1, y: sum > 0 ? 20 - high : 20, width: 8, height: high, class: n === chosen ? "chosen" : sum > 0 ? "up" : "down" });
  });
  const node = shape("svg", { viewBox: `0 0 ${10 * sums.length} 40`, preserveAspectRatio: "none", role: "img",
    "aria-label": "What each input channel adds" }, ...rects);
  node.addEventListener("click", (event) => pick(clamp(Math.floor(pointIn(node, event, node.clientWidth / sums.length)[0]), 0, sums.length - 1)));
  return node;
}

// Click, or arrows and Enter, on an answer: `view` shows the answer number `at`.
function addPointing(figure, view, at, size) {
  const { canvas } = view;
  const label = canvas.getAttribute("aria-label");
  for (const [name, value] of Object.entries({ tabindex: "0", role: "application", "aria-roledescription": "picture to point at",
    "aria-label": `${label}. Enter shows what made a pixel\u2019s class, arrow keys choose another, Escape goes back.` })) canvas.setAttribute(name, value);
  const own = () => (figure.state.pixel.length ? figure.state.pixel.slice(1, 3) : [size >> 1, size >> 1]);
  const point = ([x, y]) => figure.set({ pixel: [at, clamp(x, 0, size - 1), clamp(y, 0, size - 1)] });
  canvas.addEventListener("click", (event) => point(pointIn(canvas, event, canvas.clientWidth / size).map(Math.floor)));
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    point(own());
  });
  onArrows(canvas, ([dx, dy]) => point([own()[0] + dx, own()[1] + dy]));
}

function buildParts(figure) {
  const set = (pixel) => figure.set({ pixel });
  const [image, map] = [surface("field", { role: "img", "aria-label": "What the pixel looks at" }, 1), surface("layer", { tabindex: "0", role: "application",
    "aria-roledescription": "map to point at", "aria-label": "One channel of the layer. Arrow keys choose a number, Escape goes back." }, 1)];
  const layer = element("select", { onchange: () => set([...figure.state.pixel.slice(0, 3), Number(layer.value), 0].slice(0, Number(layer.value) ? 5 : 3)) });
  const channel = slider("Channel", { min: 1, max: 1 }, (value) => set([...figure.state.pixel.slice(0, 4), value - 1, ...figure.state.pixel.slice(5)]));
  const input = slider("Input channel", { min: 1, max: 1 }, (value) => set([...figure.state.pixel.slice(0, 7), value - 1]));
  const [seen, about, sum] = ["seen", "about", "sum"].map((name) => element("p", { class: name }));
  const [crumbs, tables] = [element("div", { class: "segcore-bar crumbs", role: "group", "aria-label": "Levels" }), element("div", { class: "tables" })];
  const hint = element("p", { class: "segcore-label", text: "Click a pixel of an answer above; or move to an answer with Tab and press Enter." });
  const second = element("div", { class: "second" }, map.node, channel.node, about);
  const third = element("div", { class: "third" }, input.node, tables, sum);
  const first = element("div", { class: "levels" }, element("div", {}, image.node, seen,
    element("label", { class: "segcore-field" }, element("span", { class: "segcore-label", text: "Layer on the way" }), layer)), second);
  const unfold = { image, map, layer, channel, input, seen, about, sum, crumbs, tables, hint, first, second, third };
  const unit = () => figure.state.pixel.slice(5, 7);
  const point = ([x, y]) => {
    const [, height, width] = unfold.step.shape;
    set([...figure.state.pixel.slice(0, 5), clamp(x, 0, width - 1), clamp(y, 0, height - 1), figure.state.pixel[7] ?? 0]);
  };
  map.canvas.addEventListener("click", (event) => point(pointIn(map.canvas, event, map.unit).map(Math.floor)));
  onArrows(map.canvas, ([dx, dy]) => point(unit().length ? [unit()[0] + dx, unit()[1] + dy] : unfold.middle));
  map.canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !unit().length) point(unfold.middle);
  });
  return unfold;
}

// What stands in the fold. `views` shows the answers, in the order of `data.answers`; `editsOf(network)` is how it runs now.
// Pointing at a pixel opens the fold, unless it is `quiet` because the pixel is shown elsewhere, too.
export function unfolding(figure, views, { editsOf = () => ({}), quiet = false } = {}) {
  const { answers, networks, size } = figure.model.get("data");
  const parts = buildParts(figure);
  const node = figure.more("Unfold a pixel: what made its class", [parts.hint, parts.crumbs, parts.first, parts.third]);
  node.classList.add("unfold");
  views.forEach((view, at) => addPointing(figure, view, at, size));
  node.addEventListener("toggle", () => {
    if (!node.open) figure.set({ pixel: quiet ? figure.state.pixel.slice(0, 3) : [] });
  });
  const targets = () => [views[figure.state.pixel[0] ?? 0].canvas, parts.layer, parts.map.canvas];
  figure.root.addEventListener("keydown", (event) => {
    const level = [0, 3, 5, 8].indexOf(figure.state.pixel.length);
    if (event.key !== "Escape" || !level) return;
    event.preventDefault();
    event.stopPropagation();
    const back = targets()[level - 1];
    figure.set({ pixel: figure.state.pixel.slice(0, [0, 3, 5][level - 1]) });
    back.focus();
  });
  // The pixel, its path through the network as it runs, and what the worker is to show.
  function now() {
    const [at, x, y, map, channel, ...rest] = figure.state.pixel;
    if (at === undefined) return null;
    const [network, output] = answers[at];
    const described = edited(networks[network], editsOf(network));
    const fields = fieldsOf(described, described.outputs[output], [x, y]);
    const seen = map && fields[map];
    return { at, x, y, network, output, described, fields, map: seen ? map : 0, channel,
      query: seen ? { network, map, channel, unit: rest.length ? rest.slice(0, 2) : null, input: rest[2] ?? 0 } : null };
  }
  return { node, query: () => (node.open ? now()?.query ?? null : null), draw: (changed) => draw(figure, { parts, node, views, least: quiet ? 3 : 0 }, now(), changed) };
}

function draw(figure, { parts, node, views, least }, now, changed) {
  if (figure.state.pixel.length > least && changed("pixel") && !node.open) {
    node.open = true;
    node.scrollIntoView({ block: "nearest" });
  }
  parts.hint.hidden = Boolean(now);
  for (const each of [parts.crumbs, parts.first]) each.hidden = !now;
  parts.second.hidden = !now?.query;
  parts.third.hidden = !now?.query?.unit;
  if (!now || !figure.answer) return;
  const view = views[now.at];
  outlineRect(view.pen(), now.x * view.unit - 2, now.y * view.unit - 2, view.unit + 4, view.unit + 4, [figure.look.page, 4], [figure.look.text, 1.8]);
  if (!node.open) return;
  const { inside } = figure.answer;
  const colours = palette(figure.look);
  if (now.query) drawLayer(parts, now, same(inside?.asked, now.query) ? inside : null, colours, figure);
  drawFirst(figure, parts, now);
  if (now.query?.unit && same(inside?.asked, now.query)) drawNumber(figure, parts, now, inside.made, colours);
}

// Level 1: the pixel, its scores, its field on the image, and the layers on the way.
function drawFirst(figure, parts, { at, x, y, output, described, fields, map, query }) {
  const { shown, outputs } = figure.answer;
  const [left, top, right, bottom] = fields[0];
  const plane = shown.height * shown.width;
  const scores = CLASS_NAMES.map((name, k) => `${name} ${fixed(outputs[output][k * plane + y * shown.width + x], 2)}`);
  parts.image.show(photograph(shown));
  const pen = parts.image.pen();
  const frame = ([x1, y1, x2, y2], ...strokes) => outlineRect(pen, x1 * parts.image.unit, y1 * parts.image.unit, (x2 + 1 - x1) * parts.image.unit,
    (y2 + 1 - y1) * parts.image.unit, ...strokes);
  frame(fields[0], [figure.look.page, 6], [figure.look.accent, 3]);
  if (query) frame(parts.unitField, [figure.look.page, 4], [figure.look.second, 2]);
  frame([x, y, x, y], [figure.look.page, 4], [figure.look.text, 2]);
  setText(parts.image.head, "What it looks at");
  setText(parts.seen, `Scores of this pixel: ${scores.join(", ")}. It looks at ${times([right - left + 1, bottom - top + 1])} of the image's ` +
    `${times([shown.width, shown.height])} pixels${query ? "; the number marked in the layer at the thin frame" : ""}.`);
  const options = described.steps.map((step, n) => [n + 1, step]).filter(([n, step]) => fields[n] && step.op !== "pad");
  const key = `${output} ${options.map(([n]) => n)}`;
  if (parts.layer.dataset.key !== key) {
    parts.layer.dataset.key = key;
    parts.layer.replaceChildren(element("option", { value: 0, text: "Choose one \u2026" }),
      ...options.map(([n, step]) => element("option", { value: n, text: `${nameOf(step)}: ${kindOf(step)}` })));
  }
  parts.layer.value = String(map);
  drawCrumbs(figure, parts, [`${output}, ${placeWords(y, x)}`, map && nameOf(described.steps[map - 1]), query?.unit && placeWords(query.unit[1], query.unit[0])]);
}

function drawCrumbs(figure, parts, names) {
  const shown = names.filter(Boolean);
  const key = shown.join("|");
  if (parts.crumbs.dataset.key === key) return;
  parts.crumbs.dataset.key = key;
  const lengths = [3, 5, 8];
  const go = (level) => () => {
    figure.set({ pixel: figure.state.pixel.slice(0, lengths[level]) });
    [parts.layer, parts.map.canvas, parts.map.canvas][level].focus();
  };
  parts.crumbs.replaceChildren(...shown.map((name, level) => button(name, go(level), { "aria-current": level === shown.length - 1 ? "true" : null })));
}

// Level 2: one channel of a layer, the units of it that the pixel looks at, and one of them.
function drawLayer(parts, { described, fields, map, channel, query }, inside, colours, figure) {
  const step = described.steps[map - 1];
  const [channels, height, width] = step.shape;
  const [left, top, right, bottom] = fields[map];
  parts.step = step;
  parts.middle = [(left + right) >> 1, (top + bottom) >> 1];
  const [x, y] = query.unit ?? parts.middle;
  parts.unitField = fieldsOf(described, map, [x, y])[0] ?? [0, 0, 0, 0];
  parts.channel.input.max = channels;
  parts.channel.set(channel + 1, `${channel + 1} of ${channels}`);
  setText(parts.map.head, `${nameOf(step)}, ${times([height, width])}`);
  if (inside) {
    parts.map.show(heat(inside.values, height, width, colours, largestOf(inside.values)));
    const pen = parts.map.pen();
    const frame = (x1, y1, x2, y2, ...strokes) => outlineRect(pen, x1 * parts.map.unit, y1 * parts.map.unit, (x2 + 1 - x1) * parts.map.unit,
      (y2 + 1 - y1) * parts.map.unit, ...strokes);
    frame(left, top, right, bottom, [figure.look.page, 5], [figure.look.accent, 3]);
    frame(x, y, x, y, [figure.look.page, 4], [figure.look.second, 2]);
  }
  const sees = [parts.unitField[2] - parts.unitField[0] + 1, parts.unitField[3] - parts.unitField[1] + 1];
  setText(parts.about, `${kindOf(step)}${step.relu ? ", then ReLU" : ""}. The pixel looks at ${times([right - left + 1, bottom - top + 1])} of these numbers; ` +
    `the one marked sees ${times(sees)} pixels. Click a number to take it apart.`);
}

// Level 3: how one number came about.
function drawNumber(figure, parts, { described, map, query }, made, colours) {
  const step = described.steps[map - 1];
  const count = made.sums?.length ?? 1;
  parts.input.node.hidden = count < 2;
  parts.input.input.max = count;
  parts.input.set(query.input + 1, `${query.input + 1} of ${count}`);
  const products = made.weights && made.values.map((row, i) => row.map((value, j) => (value ?? 0) * made.weights[i][j]));
  const pick = (n) => figure.set({ pixel: [...figure.state.pixel.slice(0, 7), n] });
  parts.tables.replaceChildren(...[made.values && grid("What comes in", made.values, colours), made.weights && grid("\u00d7 weights", made.weights, colours),
    products && grid("= products", products, colours), count > 1 && bars(made.sums, query.input, pick)].filter(Boolean));
  const value = fixed(made.value, 2);
  if (!made.values) setText(parts.sum, step.op === "unpool" ? `${value}: what the pooling below handed up if its switch points here, else 0.` : `${value}: carried over as it is (${kindOf(step)}).`);
  else if (!made.weights) setText(parts.sum, `The largest of them: ${value}.`);
  else {
    const all = made.sums.reduce((sum, each) => sum + each, 0);
    const total = all + made.bias;
    const channels = count > 1 ? `This channel adds ${signed(made.sums[query.input], 2)}. All ${count} add ${signed(all, 2)}, the bias ` : `They add ${signed(all, 2)}, the bias `;
    const plain = "weight" in step ? `${channels}${signed(made.bias, 2)}: ${fixed(total, 2)}.` : `They add up to ${fixed(total, 2)}.`;
    setText(parts.sum, plain + (step.relu ? ` ReLU makes ${total > 0 ? "no change" : "it 0"}: ${value}.` : ""));
  }
}
