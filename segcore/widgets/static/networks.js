import { button, choice, slider, traitChoice, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { oneOf, widget } from "./kit/figure.js";
import { startWorker } from "./kit/live.js";
import { insideOf, loadNetwork } from "./kit/network.js";
import { fixed } from "./kit/numbers.js";
import { MOST, PATTERNS, answerSurface, buildScene, change, chosenNow, classKey, drawScene, labelsOf, objectsNow, objectsOf, ownPhotograph, pictureOf, sceneChoice, sceneSettled, sceneTraits, storedNow, worldOf } from "./kit/scene.js";
import { meanIou } from "./kit/scores.js";
import { fieldsOf, pixelTrait } from "./kit/fields.js";
import { unfolding } from "./kit/unfold.js";
import { renderScene } from "./kit/world.js";

// A scene that the reader moves, and four networks that answer as it moves, each of whose pixels unfolds. The arithmetic is
// the kit's: `world.js` casts the rays, `network.js` runs the networks, `unfold.js` says what looks at what.

// To be tried by the tests.
export { fieldsOf, insideOf, labelsOf, loadNetwork as networkOf, meanIou, objectsOf, renderScene as sceneOf, worldOf };

// ---- The figure --------------------------------------------------------------------------------------------------

const NAMES = ["FCN-32s", "FCN-16s", "FCN-8s", "U-Net"];
const ABOUT = {
  "FCN-32s": "One score for each 32 × 32 pixels, enlarged",
  "FCN-16s": "The same, plus finer scores from halfway down",
  "FCN-8s": "And finer ones still",
  "U-Net": "An encoder, a decoder, and a bridge at every size",
};
const KINDS = [[1, "Sphere"], [2, "Box"], [3, "Cylinder"]];
const VIEWS = [["labels", "Classes"], ["mistakes", "Mistakes"]];
const REST = "Drag an object: towards you, away, behind another. The networks have never seen what you make.";
const state = (objects, view = "labels") => ({ scene: 0, objects, lamp: [], view });
const two = (z) => state([[0, 1, 0.2, z, -1], [1, 2, -0.9, z, -1]]);
const OLIVE = [[0, 1, 0.91, 2.61, -1], [1, 2, -0.59, 2.72, 60], [2, 1, 0.17, 4.85, -1], [3, 3, 1.15, 4.24, -1]];
const TRIALS = [
  { label: "Farther", values: [2.4, 3.6, 4.8, 5.8].map(two),
    note: "Press again: a sphere and a box walk away. What is smaller than a cell of 32 pixels, FCN-32s loses; the U-Net holds on to it." },
  { label: "Olive box", values: state(OLIVE), back: state([]),
    note: "Boxes lean to blue here, cylinders to green. All three FCNs go by the colour; the U-Net minds the shape as well." },
  { label: "Mistakes", values: state([], "mistakes"), back: state([]),
    note: "Bright is wrong, in the colour of what the network says there. Each skip takes mistakes away; what is left lies along the outlines." },
];

function add(figure) {
  const objects = objectsNow(figure);
  const [number, kind, x, ...rest] = objects[chosenNow(figure)];
  figure.set({ objects: [...objects, [number, kind, x > 0 ? x - 0.9 : x + 0.9, ...rest]].slice(0, MOST), chosen: Math.min(MOST - 1, objects.length) });
}

function remove(figure) {
  const which = chosenNow(figure);
  figure.set({ objects: objectsNow(figure).filter((_, n) => n !== which), chosen: Math.max(0, which - 1) });
}

// What is chosen at once, and below it, folded, what changes an object.
function buildControls(figure, drop) {
  const scene = sceneChoice(figure);
  const view = traitChoice(figure, "view", "Show", VIEWS);
  const kind = choice("The framed object", KINDS, 1, (value) => change(figure, chosenNow(figure), { 1: value }));
  const pattern = choice("Its pattern", PATTERNS, -1, (value) => change(figure, chosenNow(figure), { 5: value }));
  const hue = slider("Its colour", { min: 0, max: 360, step: 5 }, (value) => change(figure, chosenNow(figure), { 4: value }));
  const lamp = slider("Lamp, left to right", { min: -40, max: 40 }, (value) => figure.set({ lamp: [value / 10] }));
  const more = button("One more like it", () => add(figure));
  const less = button("Take it away", () => remove(figure));
  function draw(state) {
    const [objects, which] = [objectsNow(figure), chosenNow(figure)];
    const side = state.lamp[0] ?? storedNow(figure).lamp[0];
    kind.set(objects[which][1]);
    pattern.set(objects[which][5] ?? -1);
    hue.set(Math.max(0, objects[which][4]), objects[which][4] < 0 ? "its own" : `${Math.round(objects[which][4])}\u00b0`);
    lamp.set(Math.round(10 * side), `${fixed(Math.abs(side), 1)} m ${side < 0 ? "left" : "right"}`);
    more.disabled = objects.length >= MOST;
    less.disabled = objects.length < 2;
  }
  const bar = element("div", { class: "segcore-bar" }, scene.node, view.node);
  const folded = element("div", { class: "controls" }, element("div", { class: "segcore-bar" }, kind.node, more, less), element("div", { class: "segcore-bar" }, pattern.node), hue.node, lamp.node,
    element("div", { class: "segcore-bar" }, ...ownPhotograph(figure, drop)));
  return { bar, folded, draw };
}

function build(figure) {
  const pictures = buildScene(figure);
  const parts = { ...pictures, nets: Object.fromEntries(NAMES.map((name) => [name, answerSurface(name, ABOUT[name])])),
    controls: buildControls(figure, pictures.scene.node) };
  parts.words = element("p", { class: "words segcore-label" });
  startWorker(figure);
  figure.first(
    element("p", { class: "segcore-lead", text: "Move the scene: four networks answer." }),
    trials(figure, TRIALS, REST).node,
    element("div", { class: "segcore-panels" }, parts.scene.node, parts.truth.node, ...NAMES.map((name) => parts.nets[name].node)),
    classKey(), parts.controls.bar, parts.words);
  parts.unfold = unfolding(figure, NAMES.map((name) => parts.nets[name]));
  figure.more("Change an object or the light, or show them a photograph", [parts.controls.folded]);
  return parts;
}

function draw(figure, changed) {
  const { state, parts } = figure;
  const size = figure.model.get("data").size;
  const moved = drawScene(figure, changed);
  if (moved || changed("pixel")) figure.worker.ask(figure.shown.image, figure.shown, { inside: parts.unfold.query() });
  if (changed("scene") && !figure.answer) { // until the first answer: nothing found anywhere
    drawAnswers(figure, { shown: figure.shown, labels: Object.fromEntries(NAMES.map((name) => [name, new Uint8Array(size * size)])) });
  }
  if (changed("scene", "objects", "lamp", "chosen", "view")) parts.controls.draw(state);
  if (changed("answer", "view", "pixel") && figure.answer) drawAnswers(figure, figure.answer);
  if (changed("answer", "pixel", "view")) parts.unfold.draw(changed);
}

function drawAnswers({ state, parts, worker }, { labels, shown, times }) {
  for (const name of NAMES) {
    const view = parts.nets[name];
    view.show(pictureOf(shown, labels[name], times && !shown.unknown ? state.view : "labels"));
    view.pen();
    if (times) setText(view.head.lastChild, shown.unknown ? "\u2013" : fixed(meanIou(labels[name], shown.labels), 2));
  }
  const took = Object.values(times ?? {}).reduce((sum, each) => sum + each, 0);
  setText(parts.words, `Numbers: mean IoU of this scene. The four answer ${worker.inWorker ? "beside the page, in a worker" : "in the page"}.`);
  parts.words.title = times ? `The last answer took ${fixed(took, 0)} ms` : "";
}

export default widget({
  slug: "networks",
  colours: ["page", "text", "low", "accent", "second"],
  traits: { ...sceneTraits, view: oneOf("labels", "mistakes"), pixel: pixelTrait },
  settled: sceneSettled,
  build,
  draw,
});
