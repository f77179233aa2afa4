import { key, slider, traitSlider, trials } from "./kit/controls.js";
import { element, put, setText, shape } from "./kit/elements.js";
import { number, whole, widget } from "./kit/figure.js";
import { clamp, fixed } from "./kit/numbers.js";
import { draggable, onArrows, onPress, zoomOf } from "./kit/pointer.js";

// Detections take truths, one each; what was taken makes a curve; its area is AP. Arithmetic first, as pure functions.
//
// A shape is [x, y, half axis across, half axis down]: the pixels whose centre lies in the ellipse.

export function pixels([x, y, across, down], { width, height }) {
  const mask = new Uint8Array(width * height);
  for (let n = 0; n < mask.length; n++) {
    const [u, v] = [((n % width) + 0.5 - x) / across, (Math.floor(n / width) + 0.5 - y) / down];
    mask[n] = u * u + v * v <= 1 ? 1 : 0;
  }
  return mask;
}

export function maskIou(a, b) {
  let [both, either] = [0, 0];
  for (let n = 0; n < a.length; n++) {
    both += a[n] & b[n];
    either += a[n] | b[n];
  }
  return both ? both / either : 0;
}

// Detections from the surest down; equal scores keep their order.
export const ranking = (scores) => scores.map((_, n) => n).sort((a, b) => scores[b] - scores[a]);

// The truth that each detection takes, -1 for none: the surest first, of equal IoUs the last.
export function match(ious, scores, threshold) {
  const [taken, gone] = [scores.map(() => -1), new Set()];
  for (const d of ranking(scores)) {
    let least = Math.min(threshold, 1 - 1e-10);
    ious[d].forEach((iou, g) => {
      if (!gone.has(g) && iou >= least) [taken[d], least] = [g, iou];
    });
    gone.add(taken[d]);
  }
  return taken;
}

// Precision and recall after each detection of the ranking.
export function curve(right, truths) {
  let hits = 0;
  return right.map((hit, n) => {
    hits += hit ? 1 : 0;
    return { precision: hits / (n + 1), recall: hits / truths };
  });
}

// The highest precision at a recall or a higher one, 0 beyond the last.
export const interpolated = (points, least) => points.reduce((most, { precision, recall }) => (recall >= least ? Math.max(most, precision) : most), 0);

const RECALLS = Array.from({ length: 101 }, (_, n) => n * 0.01);
export const averagePrecision = (right, truths) => {
  const points = curve(right, truths);
  return RECALLS.reduce((sum, least) => sum + interpolated(points, least), 0) / 101;
};

const THRESHOLDS = Array.from({ length: 10 }, (_, n) => (n === 9 ? 0.95 : 0.5 + n * ((0.95 - 0.5) / 9)));

// All that the figure shows.
export function evaluate(detections, { width, height, truths, axes }, threshold) {
  const masks = truths.map((each) => pixels(each, { width, height }));
  const ious = detections.map(([x, y], n) => {
    const own = pixels([x, y, ...axes[n]], { width, height });
    return masks.map((mask) => maskIou(own, mask));
  });
  const scores = detections.map((each) => each[2]);
  const order = ranking(scores);
  const apAt = (least) => {
    const taken = match(ious, scores, least);
    return averagePrecision(order.map((d) => taken[d] >= 0), truths.length);
  };
  const taken = match(ious, scores, threshold);
  const points = curve(order.map((d) => taken[d] >= 0), truths.length);
  const ap = THRESHOLDS.reduce((sum, least) => sum + apAt(least), 0) / THRESHOLDS.length;
  return { ious, order, taken, points, apHere: apAt(threshold), ap };
}

// Where the letter of each detection stands, as [x, y] of its middle: around its outline, first at the top, apart from other letters
// and from the truths' numbers, from other outlines, and inside the picture.
export function placeLetters(ovals, numbers, { width, height }) {
  const placed = [...numbers];
  ovals.forEach(([x, y, across, down], n) => {
    const places = [6, 5, 7, 4, 0, 3, 1, 2].map((eighth) => {
      const turn = (eighth * Math.PI) / 4;
      return [x + (across + 4) * Math.cos(turn), y + (down + 4) * Math.sin(turn)];
    });
    const near = ([u, v], [cx, cy, rx, ry]) => Math.abs(Math.hypot((u - cx) / rx, (v - cy) / ry) - 1) * Math.min(rx, ry);
    const cost = ([u, v], rank) => 0.4 * rank
      + placed.reduce((sum, [a, b]) => sum + 3 * Math.max(0, 7 - Math.hypot(u - a, v - b)), 0)
      + ovals.reduce((sum, oval, other) => sum + (other === n ? 0 : Math.max(0, 3 - near([u, v], oval))), 0)
      + (u < 3 || v < 3 || u > width - 3 || v > height - 3 ? 50 : 0);
    const costs = places.map(cost);
    placed.push(places[costs.indexOf(Math.min(...costs))]);
  });
  return placed.slice(numbers.length);
}

// ---- The figure --------------------------------------------------------------------------------------------------

const LETTERS = ["A", "B", "C", "D", "E", "F"];
const PLOT = { left: 34, top: 20, width: 252, height: 132 };
const START = [[33, 30, 0.9], [84, 25, 0.8], [33, 73, 0.7], [93, 66, 0.6], [27, 25, 0.5], [66, 74, 0.4]];
const REST = "Drag a detection, or change its score. Solid blue took a truth, dashed orange took none. The curve and AP follow.";
const started = (changes, threshold = 0.5) => ({ detections: START.map((each, n) => changes[n] ?? each), threshold });
const TRIALS = [
  { label: "Stricter", values: [0.6, 0.75, 0.9].map((threshold) => started({}, threshold)),
    note: ({ threshold }) => `An IoU of ${fixed(threshold, 2)} is asked for. Press again: nothing moves, and one detection after the other turns wrong. AP of all ten thresholds stays.` },
  { label: "Twice found", values: started({ 4: [30, 28, 0.95] }),
    note: "E fits better than A and is surer: it takes the truth, and A comes too late. Make A surer than E again, by its score." },
  { label: "Sure and wrong", values: started({ 5: [66, 74, 0.99] }),
    note: "F lies on nothing and heads the ranking. Every precision behind it falls, and AP with them. Lower its score step by step." },
  { label: "Unsure and wrong", values: started({ 4: [60, 45, 0.03], 5: [66, 74, 0.02] }),
    note: "E and F are wrong and come last: AP at 0.5 is 1 all the same. Whatever stands behind the last hit costs nothing." },
  { label: "One pixel", values: [94, 95, 96].map((x) => started({ 3: [x, 66, 0.6] })),
    note: (_, { result }) => `The small D is off by a few pixels, its IoU is ${fixed(result.ious[3][3], 2)}. Press again. Move B just as far: a large one hardly notices.` },
];

const isRight = (figure, d) => figure.result.taken[d] >= 0;

function words(figure, d) {
  const { taken, ious } = figure.result;
  const score = fixed(figure.state.detections[d][2], 2);
  const best = Math.max(...ious[d]);
  const truth = taken[d] >= 0 ? taken[d] : ious[d].indexOf(best);
  const iou = fixed(ious[d][truth], 2);
  const name = `Detection ${LETTERS[d]}, score ${score}`;
  if (taken[d] >= 0) return `${name}: takes truth ${truth + 1}, IoU ${iou}. Right.`;
  if (!best) return `${name}: lies on no truth. Wrong.`;
  if (best < Math.min(figure.state.threshold, 1 - 1e-10)) return `${name}: its IoU with truth ${truth + 1} is ${iou}, below the threshold. Wrong.`;
  return `${name}: truth ${truth + 1} (IoU ${iou}) is taken by a surer one. Wrong.`;
}

function change(figure, d, values) {
  const detections = figure.state.detections.map((each, n) => (n === d ? values(each) : each));
  figure.set({ detections, picked: d });
}

function move(figure, d, x, y) {
  const { width, height } = figure.scene;
  change(figure, d, ([, , score]) => [clamp(Math.round(x), 0, width), clamp(Math.round(y), 0, height), score]);
}

function buildScene(figure) {
  const { width, height, truths, axes } = figure.scene;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "scene", role: "group", "aria-label": "Truths and detections" });
  const numbers = truths.map(([cx, cy, , ry]) => [cx, cy + (ry > 8 ? ry - 4 : ry + 4)]);
  truths.forEach(([cx, cy, rx, ry], n) => svg.append(shape("ellipse", { class: "truth", cx, cy, rx, ry }),
    shape("text", { class: "number", x: cx, y: numbers[n][1], text: String(n + 1) })));
  const grips = axes.map(([rx, ry], d) => {
    const link = shape("line", { class: "link" });
    const oval = shape("ellipse", { rx, ry });
    const label = shape("text", { text: LETTERS[d] });
    const node = shape("g", { class: "detection", tabindex: "0", role: "button" }, oval, label);
    svg.append(link, node);
    draggable(node, {
      start: () => { figure.set({ picked: d }); return figure.state.detections[d]; },
      move: ([x, y], _, { dx, dy }) => {
        const unit = svg.getBoundingClientRect().width / zoomOf(svg) / width;
        move(figure, d, x + dx / unit, y + dy / unit);
      },
    });
    onArrows(node, ([dx, dy]) => { const [x, y] = figure.state.detections[d]; move(figure, d, x + dx, y + dy); });
    node.addEventListener("focus", () => figure.set({ picked: d }));
    onPress(node, () => figure.set({ picked: d }));
    return { node, link, label };
  });
  function update() {
    const { detections, picked } = figure.state;
    const letters = placeLetters(detections.map(([x, y], d) => [x, y, ...axes[d]]), numbers, { width, height });
    grips.forEach(({ node, link, label }, d) => {
      const [x, y] = detections[d];
      put(label, { x: letters[d][0] - x, y: letters[d][1] - y });
      const truth = figure.result.taken[d];
      put(node, { transform: `translate(${x} ${y})`, class: `detection ${isRight(figure, d) ? "right" : "wrong"}${d === picked ? " picked" : ""}`,
        "aria-label": words(figure, d), "aria-pressed": d === picked });
      const [tx, ty] = truth >= 0 ? truths[truth] : [x, y];
      put(link, { x1: x, y1: y, x2: tx, y2: ty });
    });
  }
  return { node: svg, update };
}

function buildCurve(figure) {
  const { left, top, width, height } = PLOT;
  const at = (recall, precision) => [left + recall * width, top + (1 - precision) * height];
  const area = shape("path", { class: "area" });
  const line = shape("path", { class: "curve" });
  const dots = LETTERS.map((letter) => shape("g", { class: "dot" }, shape("circle", { r: 4 }), shape("text", { text: letter, x: 6, y: 14 })));
  const ticks = [0, 0.5, 1].flatMap((value) => {
    const [x, y] = at(value, value);
    return [shape("text", { class: "tick", x, y: top + height + 15, "text-anchor": "middle", text: String(value) }),
      shape("text", { class: "tick", x: left - 6, y: y + 4, "text-anchor": "end", text: String(value) })];
  });
  const frame = shape("path", { class: "axes", d: `M${left} ${top}V${top + height}H${left + width}` });
  const names = [shape("text", { class: "tick", x: left + width / 2 + 44, y: top + height + 15, "text-anchor": "middle", text: "recall" }),
    shape("text", { class: "tick", x: left + 6, y: top + height - 8, text: "precision \u2191" })];
  const node = shape("svg", { viewBox: "0 0 304 174", class: "plot", role: "img" }, area, frame, line, ...ticks, ...names, ...dots);
  function update() {
    const { points, order } = figure.result;
    const levels = [...new Set(points.map((each) => each.recall))].filter((recall) => recall > 0);
    let path = `M${at(0, interpolated(points, 0)).join(" ")}`;
    levels.forEach((recall) => (path += `V${at(0, interpolated(points, recall))[1]}H${at(recall, 0)[0]}`));
    put(line, { d: path });
    put(area, { d: `${path}V${top + height}H${left}Z` });
    const letters = [];
    order.forEach((d, n) => {
      const [x, y] = at(points[n].recall, points[n].precision);
      const free = (by) => x + by < 296 && letters.every(([u, v]) => Math.abs(u - x - by) >= 10 || Math.abs(v - y) >= 12);
      const aside = [6, 16, 26, 36, 46, 56, -15, -25, -35, -45, -55].find(free);
      letters.push([x + aside, y]);
      put(dots[d].lastChild, { x: aside });
      put(dots[d], { transform: `translate(${x} ${y})`, class: `dot ${isRight(figure, d) ? "right" : "wrong"}` });
    });
    put(node, { "aria-label": `Precision over recall: ${order.map((d, n) =>
      `after ${LETTERS[d]} ${fixed(points[n].precision, 2)} at ${fixed(points[n].recall, 2)}`).join(", ")}` });
  }
  return { node, update };
}

function buildRanking(figure) {
  const items = LETTERS.map(() => element("li", {}, element("b", {}), element("span", {})));
  const node = element("ol", { class: "ranking", "aria-label": "Ranking, the surest first" }, ...items);
  function update() {
    figure.result.order.forEach((d, n) => {
      const right = isRight(figure, d);
      items[n].className = right ? "right" : "wrong";
      setText(items[n].firstChild, LETTERS[d]);
      setText(items[n].lastChild, `${fixed(figure.state.detections[d][2], 2)} ${right ? "\u2713" : "\u2717"}`);
    });
  }
  return { node, update };
}

function buildTable(figure) {
  const { truths } = figure.scene;
  const cells = LETTERS.map(() => truths.map(() => element("td", {})));
  const head = element("tr", {}, element("td", {}), ...truths.map((_, g) => element("th", { scope: "col", text: `Truth ${g + 1}` })));
  const rows = cells.map((row, d) => element("tr", {}, element("th", { scope: "row", text: LETTERS[d] }), ...row));
  const node = element("table", { class: "ious" }, element("caption", { text: "IoU of each detection with each truth" }),
    element("thead", {}, head), element("tbody", {}, ...rows));
  function update() {
    cells.forEach((row, d) => row.forEach((cell, g) => {
      setText(cell, fixed(figure.result.ious[d][g], 2));
      cell.classList.toggle("taken", figure.result.taken[d] === g);
    }));
  }
  return { node, update };
}

function build(figure) {
  figure.scene = figure.model.get("scene");
  figure.result = evaluate(figure.state.detections, figure.scene, figure.state.threshold);
  const threshold = traitSlider(figure, "threshold", "IoU threshold", { min: 0.05, max: 0.95, step: 0.05 }, (value) => fixed(value, 2));
  const score = slider("Score", { min: 0.01, max: 0.99, step: 0.01 }, (value) =>
    change(figure, figure.state.picked, ([x, y]) => [x, y, Math.round(value * 100) / 100]));
  const [here, all] = [element("b", {}), element("b", {})];
  const numbers = element("p", { class: "numbers" }, element("span", {}, "AP at this IoU ", here), element("span", {}, "mean AP, IoU .50 to .95 ", all));
  const parts = { score, here, all, views: [buildScene, buildCurve, buildRanking, buildTable].map((make) => make(figure)),
    words: element("p", { class: "words" }) };
  const [scene, plot, order, table] = parts.views;
  figure.first(element("p", { class: "segcore-lead", text: "Average precision: the surest detection takes a truth first." }),
    trials(figure, TRIALS, REST).node,
    element("div", { class: "pictures" },
      element("div", {}, scene.node, key(["truth", "truth"], ["right", "took a truth"], ["wrong", "took none"])), element("div", {}, plot.node, numbers)),
    order.node, element("div", { class: "controls" }, threshold.node, score.node), parts.words);
  figure.more("All IoUs", [table.node]);
  return parts;
}

function draw(figure, changed) {
  const { score, here, all, views, words: line } = figure.parts;
  const { state } = figure;
  if (changed("detections", "threshold")) figure.result = evaluate(state.detections, figure.scene, state.threshold);
  views.forEach((view) => view.update());
  score.set(state.detections[state.picked][2], `${LETTERS[state.picked]}: ${fixed(state.detections[state.picked][2], 2)}`);
  setText(here, fixed(figure.result.apHere, 3));
  setText(all, fixed(figure.result.ap, 3));
  const text = words(figure, state.picked);
  setText(line, text);
  if (!changed("all")) figure.say(`${text} AP ${fixed(figure.result.apHere, 2)}.`);
  figure.trials.draw();
}

const detectionsCheck = (value, figure) => {
  const { width, height } = figure.scene ?? { width: 120, height: 90 };
  const good = Array.isArray(value) && value.length === LETTERS.length && value.every((each) => Array.isArray(each) && each.length === 3 &&
    !whole(0, width)(each[0]) && !whole(0, height)(each[1]) && !number(0.01, 0.99)(each[2]));
  return good ? "" : `six of x, y and score: whole pixels from 0 to ${width} and ${height}, and a score from 0.01 to 0.99`;
};

export default widget({
  slug: "instance_metrics",
  traits: { detections: detectionsCheck, threshold: number(0.05, 0.95), picked: whole(0, LETTERS.length - 1), scene: null },
  build,
  draw,
});
