import { CLASS_COLOURS, viridis } from "./kit/colours.js";
import { traitChoice, traitSlider, trials } from "./kit/controls.js";
import { decodeBox, detectorOf, detectorWorker, matched, roiAlign } from "./kit/detector.js";
import { element, setText } from "./kit/elements.js";
import { number, oneOf, whole, widget } from "./kit/figure.js";
import { loadNetwork } from "./kit/network.js";
import { clamp, fixed, grouped, plural } from "./kit/numbers.js";
import { surface } from "./kit/photographs.js";
import { edgePath, outlineRect, paintPixels, strokeAll } from "./kit/pictures.js";
import { onArrows, pointIn } from "./kit/pointer.js";
import { CLASS_NAMES, buildScene, classKey, drawScene, ownPhotograph, photograph, pictureOf, sceneChoice, sceneSettled, sceneTraits, worldOf } from "./kit/scene.js";
import { renderScene } from "./kit/world.js";

// A scene that the reader moves, and a Mask R-CNN that finds its objects as they move: proposals, boxes, soft masks, masks.

// To be tried by the tests.
export const foundIn = (described, image, plain) => detectorOf(described, (part) => loadNetwork(part, plain))(Float32Array.from(image));
export { decodeBox, matched, renderScene as sceneOf, roiAlign, worldOf };

// ---- The figure --------------------------------------------------------------------------------------------------

const STAGES = [["proposals", "Proposals"], ["boxes", "Boxes"], ["soft", "Soft masks"], ["masks", "Masks"]];
const COUNTED = { proposals: ["proposal", "proposals"], boxes: ["box", "boxes"], soft: ["soft mask", "soft masks"], masks: ["mask", "masks"] };
const SCALE = viridis(101);
const MOST_TAGS = 6; // more would hide the picture
const state = (objects, more = {}) => ({ scene: 0, objects, lamp: [], threshold: 0.5, stage: "masks", ...more });
const together = (x) => state([[0, 1, 0.5, 3, -1], [2, 1, x, 3.3, -1]]);
const behind = (x) => state([[1, 2, 0, 2.9, -1], [0, 1, x, 3.8, -1]]);
const away = (z) => state([[2, 2, 0, z, -1]], { scene: 1, stage: "boxes", threshold: 0.4 });
const outside = [[0, 1, 4, 2, -1]]; // the one object stands where the camera does not look
const TRIALS = [
  { label: "Touching", values: [-0.3, 0.1, 0.35].map(together),
    note: "Press again: two spheres come together. Touching, each has its box and its mask. In the end one box covers both, and only one mask is left." },
  { label: "Hidden", values: [1, 0.6, 0.3].map(behind),
    note: "Press again: the sphere goes behind the box, and its mask keeps to what is seen of it. Half in sight, it is found with a lower score; a tenth in sight, not at all." },
  { label: "Far away", values: [2.4, 4.2, 6].map(away),
    note: "Press again: a box walks away. In the end it is found twice, as a box and, less surely, as a cylinder: suppression works class by class." },
  { label: "Nothing there", values: [state(outside, { stage: "proposals" }), state(outside)],
    note: ({ stage }) => (stage === "proposals" ? "An empty room. The first stage makes its proposals all the same. Press again."
      : "The box head calls every one of them background: nothing is found.") },
  { label: "Wrong name", values: state([], { scene: 5, stage: "boxes" }),
    note: "The cylinder in the middle is called a box. Its mask is good all the same, and it counts as wrong: the class is the box head\u2019s alone." },
].map((trial) => ({ ...trial, back: state([]) }));

// What is shown: detections at the threshold or above, surest first, and which objects they take.
function surest(figure) {
  const { answer, state: { threshold } } = figure;
  const sure = answer ? answer.found.filter(({ score }) => score >= threshold - 1e-9) : [];
  figure.sure = sure;
  figure.match = answer && !answer.shown.unknown ? matched(sure, answer.shown) : null;
}

const pickedNow = ({ sure, state: { picked } }) => sure[Math.min(picked, sure.length - 1)];

function startDetector(figure) {
  [figure.answer, figure.sure] = [null, []];
  figure.worker = detectorWorker(figure.model.get("data").detector, (answer, shown) => {
    figure.answer = { ...answer, shown };
    figure.mark("answer");
  }, (words) => figure.notice(`The network cannot be run: ${words}.`), { root: figure.root });
  figure.stops.push(figure.worker.stop);
}

// Click an object, or walk through them by the arrow keys.
function addPicking(figure, { canvas }) {
  const size = figure.model.get("data").size;
  canvas.addEventListener("click", (event) => {
    const [x, y] = pointIn(canvas, event, canvas.clientWidth / size);
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    const under = figure.sure.map(({ box }, n) => [n, box]).filter(([, [x1, y1, x2, y2]]) => x >= x1 && x <= x2 && y >= y1 && y <= y2);
    under.sort(([, a], [, b]) => area(a) - area(b));
    if (under.length) figure.set({ picked: under[0][0] });
  });
  onArrows(canvas, ([right, down]) => {
    const now = Math.min(figure.state.picked, figure.sure.length - 1);
    figure.set({ picked: clamp(now + Math.sign(right + down), 0, Math.max(0, figure.sure.length - 1)) });
  });
}

function buildFold() {
  const cells = ["Anchor", "Proposal", "Box"].map((name) => [name, ...Array.from({ length: 4 }, () => element("td"))]);
  const head = element("tr", {}, ...["", "x1", "y1", "x2", "y2"].map((text) => element("th", { scope: "col", text })));
  const rows = cells.map(([name, ...row]) => element("tr", {}, element("th", { scope: "row", text: name }), ...row));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  const masks = CLASS_NAMES.map((name) => surface("own", { role: "img", "aria-label": `The soft mask for ${name}` }, 1));
  const [says, scores] = [element("p"), element("p")];
  const note = element("p", { class: "segcore-label", text: "The mask head draws one mask for each class. The class that the box head has chosen decides which is taken; in training the others were not looked at." });
  return { nodes: [says, table, scores, element("div", { class: "every" }, ...masks.map((mask) => mask.node)), note], says, scores, masks,
    cells: cells.map(([, ...row]) => row) };
}

function build(figure) {
  const answer = surface("answer", { tabindex: "0", role: "application", "aria-roledescription": "picture to point at" }, 1);
  const soft = surface("soft", { role: "img" }, 1);
  const parts = { ...buildScene(figure), answer, soft, scenes: sceneChoice(figure), fold: buildFold(), stageWords: element("p", { class: "segcore-label stage" }),
    words: element("p", { class: "words" }) };
  parts.stage = traitChoice(figure, "stage", "What it says", STAGES);
  parts.threshold = traitSlider(figure, "threshold", "Shown from score", { min: 0.05, max: 0.95, step: 0.05 }, shortly);
  addPicking(figure, answer);
  startDetector(figure);
  const { node } = parts.scene;
  const own = ownPhotograph(figure, node);
  figure.first(element("p", { class: "segcore-lead", text: "Move the scene: a Mask R-CNN finds its objects, one by one." }),
    trials(figure, TRIALS, "Drag an object in front of another. Click an object that is found, and see its soft mask.").node,
    element("div", { class: "views" }, node, answer.node, parts.truth.node, soft.node, parts.words), classKey(),
    element("div", { class: "segcore-bar" }, parts.stage.node, parts.scenes.node), parts.stageWords, parts.threshold.node);
  parts.more = figure.more("The chosen object, from anchor to mask", parts.fold.nodes);
  figure.more("Show it a photograph", [element("p", { class: "segcore-label", text: "It knows spheres, boxes and cylinders alone, and makes of the world what it can." }),
    element("div", { class: "segcore-bar" }, ...own)]);
  return parts;
}

// ---- Pictures ----------------------------------------------------------------------------------------------------

const shortly = (value) => fixed(value, 2);
const nameOf = ({ label, score }) => `${CLASS_NAMES[label]} ${shortly(score)}`;

const heatOf = (values, side) => paintPixels(side, side, (n) => SCALE[Math.round(100 * clamp(values[n]))]);

// The masks that are shown, the surest on top: classes, and numbers of the detections from 1.
function laid(sure, plane) {
  const [labels, numbers] = [new Uint8Array(plane), new Uint8Array(plane)];
  for (let rank = sure.length - 1; rank >= 0; rank -= 1) {
    sure[rank].pasted.forEach((value, n) => {
      if (value >= 0.5) [labels[n], numbers[n]] = [sure[rank].label, rank + 1];
    });
  }
  return { labels, numbers };
}

function frameBox({ pen, unit }, [x1, y1, x2, y2], ...strokes) {
  outlineRect(pen, x1 * unit, y1 * unit, (x2 - x1) * unit, (y2 - y1) * unit, ...strokes);
}

// Where the tags of boxes stand, the first as it likes: above its box, below, or inside, at either end. None lies on another, and
// each on as little of other boxes as can be. Gives [left, top] of each, in the boxes' pixels.
export function placeTags(boxes, widths, side, high) {
  const placed = [];
  boxes.forEach(([x1, y1, x2, y2], n) => {
    const width = widths[n];
    const covered = ([x, y], [left, top, right, bottom]) =>
      Math.max(0, Math.min(x + width, right) - Math.max(x, left)) * Math.max(0, Math.min(y + high, bottom) - Math.max(y, top));
    const rows = [y1 - high - 1, y2 + 1, y1 - 2 * high - 2, y2 + high + 2, ...boxes.map((_, row) => y1 + 1 + (high + 1) * row)];
    const places = rows.flatMap((y) => [x1 - 2, x2 + 2 - width].map((x) => [clamp(x, 0, side - width), y]));
    const free = places.filter((at) => at[1] >= 0 && at[1] + high <= side && !placed.some((other) => covered(at, other)));
    const cost = (at) => 15 * places.indexOf(at) + boxes.reduce((sum, box, other) => sum + (other === n ? 0 : covered(at, box)), 0);
    const [x, y] = free.reduce((best, at) => (best && cost(best) <= cost(at) ? best : at), null) ?? [places[0][0], clamp(places[0][1], 0, side - high)];
    placed.push([x, y, x + width, y + high]);
  });
  return placed.map(([x, y]) => [x, y]);
}

// Classes and scores of boxes; scores alone where there is little room.
function drawTags({ pen, unit, size }, detections, font) {
  const [side, high] = [size * unit, 15];
  Object.assign(pen, { font: `600 11px ${font}`, textAlign: "left", textBaseline: "middle" });
  const texts = detections.map((each) => (side < 230 ? shortly(each.score) : nameOf(each)));
  const widths = texts.map((text) => pen.measureText(text).width + 6);
  placeTags(detections.map(({ box }) => box.map((edge) => edge * unit)), widths, side, high).forEach(([x, y], n) => {
    pen.fillStyle = CLASS_COLOURS[detections[n].label];
    pen.fillRect(x, y, widths[n], high);
    pen.fillStyle = "#10151b";
    pen.fillText(texts[n], x + 3, y + 8);
  });
}

function pictureAt(stage, { shown }, sure) {
  const plane = shown.height * shown.width;
  if (stage === "soft") return heatOf(Float32Array.from({ length: plane }, (_, n) => sure.reduce((most, { pasted }) => Math.max(most, pasted[n]), 0)), shown.width);
  return stage === "masks" ? pictureOf(shown, laid(sure, plane).labels) : photograph(shown);
}

function drawAnswer(figure) {
  const { state: { stage }, parts: { answer: view }, sure, look } = figure;
  const answer = figure.answer ?? { shown: figure.shown, proposals: [], found: [] };
  view.show(pictureAt(stage, answer, sure));
  const size = answer.shown.width;
  const on = { pen: view.pen(), unit: view.unit, size };
  if (stage === "proposals") for (const { box } of answer.proposals) frameBox(on, box, ["#1d232b", 2], ["#ffffff", 1]);
  if (stage === "masks") {
    edgePath(on.pen, laid(sure, size * size).numbers, size, on.unit);
    strokeAll(on.pen, [look.page, 2]);
  }
  const picked = pickedNow(figure);
  const upwards = [...sure].reverse().filter((each) => each !== picked).concat(picked ?? []); // the chosen one on top
  for (const each of upwards) {
    const box = stage === "proposals" ? each.proposal.box : each.box;
    if (each === picked) frameBox(on, box, [look.page, 6.5], [look.text, 4.5], [CLASS_COLOURS[each.label], 2]);
    else if (stage !== "masks") frameBox(on, box, [look.page, 3], [CLASS_COLOURS[each.label], 1.8]);
  }
  if (stage === "boxes" || stage === "masks") drawTags(on, [...upwards].reverse().slice(0, MOST_TAGS), look.font);
  const count = stage === "proposals" ? answer.proposals.length : sure.length;
  setText(view.head, figure.answer ? `${count} ${COUNTED[stage][Number(count !== 1)]}` : "\u2026");
  view.canvas.setAttribute("aria-label", `What the network says: ${sure.map(nameOf).join(", ") || "nothing found"}. ` +
    `${picked ? `Chosen: ${nameOf(picked)}. ` : ""}Arrow keys choose another.`);
}

// Truth, object by object; those that are not found have a dashed frame.
function drawTruth(figure) {
  const { parts: { truth: view }, shown, look, match } = figure;
  const [pen, { unit }] = [view.pen(), view];
  if (shown.unknown) return;
  edgePath(pen, shown.instances, shown.width, unit);
  strokeAll(pen, [look.page, 2]);
  if (figure.answer?.shown !== shown) return;
  for (const { number: own } of match.truths.filter(({ by }) => by < 0)) {
    const places = Array.from(shown.instances, (each, n) => [each, n]).filter(([each]) => each === own).map(([, n]) => [n % shown.width, Math.floor(n / shown.width)]);
    const [left, top, right, bottom] = [0, 1].map((axis) => Math.min(...places.map((place) => place[axis])))
      .concat([0, 1].map((axis) => 1 + Math.max(...places.map((place) => place[axis]))));
    pen.setLineDash([4, 3]);
    frameBox({ pen, unit }, [left, top, right, bottom], [look.page, 3.5], [look.text, 1.8]);
    pen.setLineDash([]);
  }
}

function drawSoft(figure) {
  const { parts: { soft: view } } = figure;
  const picked = pickedNow(figure);
  view.show(picked ? heatOf(picked.soft[picked.label], picked.cells) : heatOf(new Float32Array(28 * 28), 28));
  view.pen();
  setText(view.head, picked ? `Soft: ${nameOf(picked)}` : "Soft: none");
  view.canvas.setAttribute("aria-label", picked ? `The soft mask of the chosen object, ${nameOf(picked)}, before it is pasted` : "No object is found");
}

function drawFold(figure) {
  const { parts: { fold, more } } = figure;
  const picked = pickedNow(figure);
  if (!more.open) return;
  const objectness = picked && 1 / (1 + Math.exp(-picked.proposal.score));
  setText(fold.says, picked ? `Proposal ${picked.from + 1} of ${figure.answer.proposals.length}. That something is there, the first stage says with ${shortly(objectness)}.` : "Nothing is found.");
  fold.cells.forEach((row, n) => row.forEach((cell, edge) => {
    setText(cell, picked ? fixed([picked.proposal.anchor, picked.proposal.box, picked.box][n][edge], 1) : "");
  }));
  setText(fold.scores, picked ? `The box head: ${picked.classes.map((score, label) => `${CLASS_NAMES[label]} ${shortly(score)}`).join(", ")}.` : "");
  fold.masks.forEach((view, label) => {
    view.show(picked ? heatOf(picked.soft[label], picked.cells) : heatOf(new Float32Array(28 * 28), 28));
    view.pen();
    setText(view.head, CLASS_NAMES[label]);
    view.node.classList.toggle("taken", picked?.label === label);
  });
}

// ---- Words -------------------------------------------------------------------------------------------------------

function wordsOf({ answer, sure, match }) {
  if (!answer) return "The network is at work.";
  if (!match) return `Truth: nobody knows. Found: ${plural(sure.length, "object")}.`;
  const hits = match.truths.filter(({ by }) => by >= 0);
  const wrong = match.taken.filter((each) => !each).length;
  const mean = hits.reduce((sum, { iou }) => sum + iou, 0) / hits.length;
  const right = hits.length ? `, mean IoU of the masks ${shortly(mean)}` : "";
  if (!match.truths.length) return `No object is there; ${wrong ? `${wrong} found.` : "none is found."}`;
  return `Found ${hits.length} of ${plural(match.truths.length, "object")}${right}; ${wrong ? `wrong: ${wrong}` : "nothing wrong"}.`;
}

const anchorsIn = ({ size, detector: { stride, sides, ratios } }) => (size / stride) ** 2 * sides.length * ratios.length;
const STAGE_WORDS = {
  proposals: (data) => `Of ${grouped(anchorsIn(data))} anchors the best ${4 * data.detector.proposals}, moved; of those that overlap much, the surest. Coloured: what became an answer.`,
  boxes: () => "The box head names what stands in each proposal, corrects its box, and drops doubles of a class.",
  soft: () => "The mask head\u2019s 28 \u00d7 28 cells, drawn into each box: bright where it is sure of the object.",
  masks: () => "Soft masks from one half on. Dashed in the truth: objects that no mask of their class fits to an IoU of one half.",
};

function draw(figure, changed) {
  const { state: now, parts, model } = figure;
  const moved = drawScene(figure, changed);
  if (moved) figure.worker.ask(figure.shown.image, figure.shown);
  if (changed("scene", "stage", "threshold")) setText(parts.stageWords, STAGE_WORDS[now.stage](model.get("data")));
  if (changed("answer", "threshold")) surest(figure);
  if (moved || changed("answer", "threshold")) drawTruth(figure);
  if (!changed("answer", "threshold", "stage", "picked")) return;
  drawAnswer(figure);
  drawSoft(figure);
  drawFold(figure);
  const words = wordsOf(figure);
  setText(parts.words, words);
  parts.words.title = figure.answer ? `The last answer took ${fixed(figure.answer.time, 0)} ms` : "";
  if (figure.answer) figure.say(words);
}

export default widget({
  slug: "instances",
  colours: ["page", "text", "low", "accent", "second"],
  traits: { ...sceneTraits, stage: oneOf(...STAGES.map(([name]) => name)), threshold: number(0.05, 0.95), picked: whole(0, 31) },
  settled: sceneSettled,
  build,
  draw,
});
