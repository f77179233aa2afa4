import { key, traitBox, traitChoice, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { whole, widget, yesNo } from "./kit/figure.js";
import { startWorker } from "./kit/live.js";
import { fixed, placeWords, signed } from "./kit/numbers.js";
import { palette } from "./kit/colours.js";
import { outlineRect } from "./kit/pictures.js";
import { CLASS_NAMES, answerSurface, buildScene, drawScene, pictureOf, sceneChoice, sceneTraits } from "./kit/scene.js";
import { boundaryF1, meanIou, nanMean } from "./kit/scores.js";
import { pixelTrait } from "./kit/fields.js";
import { heat, unfolding } from "./kit/unfold.js";

// A trained FCN-8s taken apart into what each of its layers adds to the scores: fc7, pool4 and pool3, class by class.

const PATHS = ["fc7", "pool4", "pool3"];
const SUM = "FCN-8s";
const MIDDLE = [48, 48];

// What changes in the network: a skip that is off adds zeros. The paths themselves are always computed.
export const edits = ({ pool4, pool3 }) => ({ paths: { ...(pool4 ? {} : { add: { zero: [0] } }), ...(pool3 ? {} : { add_1: { zero: [0] } }) } });

// The scores at a pixel: a row for each class, with what each path adds and the sum.
export function scoresAt(outputs, [x, y], size) {
  const n = y * size + x;
  return CLASS_NAMES.map((_, k) => [...PATHS, SUM].map((name) => outputs[name][k * size * size + n]));
}

// Mean over the classes of the boundary F-score at two pixels.
export const boundaryScore = (labels, truth, size) =>
  nanMean(boundaryF1(labels, truth, { height: size, width: size, count: CLASS_NAMES.length, tolerance: 2 }).map(({ f1 }) => f1));

const values = (pool4, pool3, more = {}) => ({ scene: 0, objects: [], lamp: [], pool4, pool3, ...more });
const TRIALS = [
  { label: "One skip after the other", values: [values(false, false), values(true, false)], back: values(true, true),
    note: "Press again: fc7 alone, then with pool4, then with both. The outline withdraws to where it belongs." },
  { label: "A lost corner", values: values(true, true, { pixel: [3, 26, 75], shown: 2 }),
    note: "The lowest corner of the box. fc7 and pool4 call it background; pool3 makes it a box. Switch pool3 off, and it is lost." },
  { label: "Overruled", values: values(true, true, { pixel: [3, 6, 51], shown: 2 }),
    note: "Background at the left of the box. fc7 calls it a box and pool4 does not object enough; pool3 overrules both." },
];

function build(figure) {
  const parts = { ...buildScene(figure), paths: PATHS.map((name, n) => answerSurface(n ? `+ ${name}` : name, "Its share of the scores", `What ${name} adds to the scores`)),
    sum: answerSurface("= labels", "The class with the highest sum", "The class with the highest sum of scores") };
  parts.scenes = sceneChoice(figure);
  parts.classes = traitChoice(figure, "shown", "Scores of", CLASS_NAMES.map((name, k) => [k, name]));
  parts.skips = ["pool4", "pool3"].map((name) => traitBox(figure, name, `+ ${name}`));
  parts.cells = CLASS_NAMES.map(() => [...PATHS, SUM].map(() => element("td")));
  const head = ["", "fc7", "+ pool4", "+ pool3", "= sum"].map((text) => element("th", { scope: "col", text }));
  parts.rows = CLASS_NAMES.map((name, k) => element("tr", {}, element("th", { scope: "row" }, element("i", { class: `segcore-mark scene-${name}` }), name), ...parts.cells[k]));
  parts.where = element("caption");
  const table = element("table", { class: "scores" }, parts.where, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...parts.rows));
  parts.words = element("p", { class: "words segcore-label", role: "status" });
  startWorker(figure);
  figure.first(element("p", { class: "segcore-lead", text: "Each layer adds its scores. Point at an edge, and see who decides." }),
    trials(figure, TRIALS, "Click a pixel of the labels or of a map below. Teal speaks for the class over the map, orange against it.").node,
    element("div", { class: "segcore-panels" }, parts.scene.node, parts.truth.node, parts.sum.node, ...parts.paths.map((path) => path.node)),
    element("div", { class: "side" }, table, element("div", {}, parts.words, element("div", { class: "segcore-bar" }, ...parts.skips.map((skip) => skip.node), key(["scale", "against, for"])))),
    element("div", { class: "segcore-bar" }, parts.classes.node, parts.scenes.node));
  parts.unfold = unfolding(figure, [...parts.paths, parts.sum], { editsOf: () => edits(figure.state).paths, quiet: true });
  return parts;
}

const pixelNow = ({ pixel }) => (pixel.length ? pixel.slice(1, 3) : MIDDLE);

function drawMaps(figure, { outputs, labels, shown }) {
  const { state, parts } = figure;
  const [size, colours] = [shown.width, palette(figure.look)];
  const plane = size * size;
  const maps = PATHS.map((name) => outputs[name].subarray(state.shown * plane, (state.shown + 1) * plane));
  const largest = Math.max(...maps.map((map) => map.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
  parts.paths.forEach((view, n) => {
    view.show(heat(maps[n], size, size, colours, largest));
    setText(view.head.firstChild, `${n ? "+ " : ""}${PATHS[n]}: ${CLASS_NAMES[state.shown]}`);
  });
  parts.sum.show(pictureOf(shown, labels[SUM]));
  const [x, y] = pixelNow(state);
  for (const view of [...parts.paths, parts.sum]) {
    outlineRect(view.pen(), x * view.unit - 2, y * view.unit - 2, view.unit + 4, view.unit + 4, [figure.look.page, 4], [figure.look.text, 1.8]);
  }
  parts.paths.slice(1).forEach((view, n) => view.node.classList.toggle("off", !state[PATHS[n + 1]]));
  parts.paths[0].node.classList.remove("off");
}

function drawScores({ state, parts }, { outputs, labels, shown }) {
  const size = shown.width;
  const at = pixelNow(state);
  scoresAt(outputs, at, size).forEach((row, k) => {
    row.forEach((value, n) => {
      const off = n > 0 && n < 3 && !state[PATHS[n]];
      setText(parts.cells[k][n], n && n < 3 ? signed(value, 2) : fixed(value, 2));
      parts.cells[k][n].classList.toggle("off", off);
    });
    parts.rows[k].classList.toggle("wins", labels[SUM][at[1] * size + at[0]] === k);
  });
  setText(parts.where, `Scores at ${placeWords(at[1], at[0])}; truth: ${CLASS_NAMES[shown.labels[at[1] * size + at[0]]]}`);
  setText(parts.words, `Mean IoU ${fixed(meanIou(labels[SUM], shown.labels), 2)}, boundary F at 2 pixels ${fixed(boundaryScore(labels[SUM], shown.labels, size), 2)}`);
}

function draw(figure, changed) {
  const { state, parts } = figure;
  const moved = drawScene(figure, changed);
  if (moved || changed("pixel", "pool4", "pool3")) {
    figure.worker.ask(figure.shown.image, figure.shown, { edits: edits(state), inside: parts.unfold.query() });
  }
  const answer = figure.answer ?? empty(figure.shown);
  if (changed("answer", "pixel", "shown", "scene")) {
    drawMaps(figure, answer);
    drawScores(figure, answer);
    parts.unfold.draw(changed);
  }
}

// Until the first answer: no score anywhere.
const empty = (shown) => ({ shown, labels: { [SUM]: new Uint8Array(shown.labels.length) },
  outputs: Object.fromEntries([...PATHS, SUM].map((name) => [name, new Float32Array(4 * shown.labels.length)])) });

export default widget({
  slug: "skip_paths",
  colours: ["page", "text", "low", "accent", "second"],
  traits: { ...sceneTraits, pixel: pixelTrait, shown: whole(0, 3), pool4: yesNo, pool3: yesNo },
  build,
  draw,
});
