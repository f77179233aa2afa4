import { makeScene } from "./kit/draw.js";
import { button, choice, slider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { oneOf, whole, widget, yesNo } from "./kit/figure.js";
import { clamp, fixed, same, tidy } from "./kit/numbers.js";
import { fitCanvas } from "./kit/pictures.js";
import { surface } from "./kit/photographs.js";
import { classKey, photograph, pictureOf } from "./kit/scene.js";
import { classCounts, iou, nanMean } from "./kit/scores.js";
import { networkOf, trainingWorker } from "./kit/training.js";

// A small network that is trained in the page: three switches, a start, and two curves, beside those of the runs before.

const KEPT = 4; // runs before this one
const SLICE = 80; // milliseconds of training from one picture to the next
const SMOOTH = 10; // losses that a point of the curve is the mean of
const [LOWEST, HIGHEST] = [0.05, 5]; // of the losses shown
const SWITCHES = ["down", "skip", "up", "optimizer", "rate", "seed"];
const NAMES = { stride: "stride", dilation: "dilation", nearest: "nearest", bilinear: "bilinear", transposed: "learned", adam: "Adam", sgd: "SGD" };

// ---- The network ---------------------------------------------------------------------------------------------------

// The steps of `SwitchedNet`: what the switches make of the hourglass.
export function layersOf({ down, skip, up }) {
  const steps = [];
  const stride = down === "stride" ? 2 : 1;
  const spread = 2 / stride; // of the taps behind a halving that is left out
  const add = (step) => steps.push(step); // and its number
  const conv = (name, from, inputs, outputs, more = {}) =>
    add({ op: "conv", name, from: [from], inputs, outputs, kernel: 3, stride: 1, dilation: 1, relu: true, ...more });
  const doubled = (name, from, inputs, outputs, dilation) => {
    if (stride === 1) return conv(name, from, inputs, outputs, { dilation });
    if (up === "transposed") return conv(name, from, inputs, outputs, { op: "transposed", stride: 2 });
    return conv(name, add({ op: "resize", mode: up, from: [from] }), inputs, outputs);
  };
  const beside = (from, fine) => (skip ? add({ op: "concatenate", from: [from, fine] }) : from);
  const a = conv("enc1", 0, 3, 8);
  const b = conv("enc2", a, 8, 12, { stride });
  const c = conv("enc4", conv("enc3", b, 12, 16, { stride, dilation: spread }), 16, 16, { dilation: spread * spread });
  const d = conv("dec1", beside(doubled("up1", c, 16, 12, spread), b), skip ? 24 : 12, 12, { dilation: spread });
  const e = conv("dec2", beside(doubled("up2", d, 12, 8, 1), a), skip ? 16 : 8, 8);
  add({ op: "conv", name: "head", from: [e], inputs: 8, outputs: 4, kernel: 1, stride: 1, dilation: 1, relu: false });
  return steps;
}

export { networkOf as trainedHere };
export const sceneOf = makeScene;

// Mean IoU of a matrix whose rows are truth.
export const meanOf = (matrix, count = 4) => nanMean(classCounts(matrix, count).map(iou));

// The classes that the network says anywhere.
const said = (matrix, count = 4) => classCounts(matrix, count).filter(({ predicted }) => predicted > 0).length;

// ---- Runs ----------------------------------------------------------------------------------------------------------

const rateOf = (figure, rate = figure.state.rate) => figure.model.get("plan").rates[rate];

// What a run is called: its switches, and what is not as it was.
function nameOf(figure) {
  const { down, skip, up, optimizer, rate, seed } = figure.state;
  const rest = optimizer === "adam" && rate === 2 ? [] : [`${NAMES[optimizer]} ${rateOf(figure)}`];
  return [NAMES[down], skip ? "skips" : "no skips", ...(down === "stride" ? [NAMES[up]] : []), ...rest, ...(seed ? [`seed ${seed}`] : [])].join(", ");
}

// A run that has not begun; the one before is kept, as a line with its name. A place is a colour.
function newRun(figure) {
  const { run } = figure;
  if (run?.losses.length) figure.kept = [...figure.kept, run].slice(-KEPT);
  const taken = figure.kept.map(({ place }) => place);
  figure.runs = (figure.runs ?? 0) + 1;
  figure.run = { id: figure.runs, name: nameOf(figure), place: [0, 1, 2, 3, 4].find((place) => !taken.includes(place)), losses: [], scores: [], labels: null, of: -1,
    spent: 0, kernel: "", goal: 0 };
  figure.training = false;
  figure.mark("run");
}

const diverged = ({ losses }) => losses.length > 0 && !Number.isFinite(losses.at(-1));
const oneClass = ({ scores }) => scores.length > 1 && said(scores.at(-1)[1]) === 1;
const scoreOf = ({ scores }) => (scores.length ? meanOf(scores.at(-1)[1]) : NaN);

function answered(figure, found) {
  const { run } = figure;
  figure.busy = false;
  figure.root.removeAttribute("data-busy");
  if (found.run === run.id) {
    run.losses.push(...found.losses);
    run.scores.push(...found.scores);
    Object.assign(run, { spent: run.spent + found.spent, kernel: found.kernel, labels: found.labels, of: found.shown });
    if (figure.training && (diverged(run) || found.step >= run.goal)) {
      figure.training = false;
      figure.say(statusOf(figure));
    }
    figure.mark("run");
  }
  pump(figure);
}

// Ask for what is wanted next, if the worker is free: more steps, unless nobody sees them; or another scene's picture.
function pump(figure) {
  const { run, state, training, busy } = figure;
  const look = run.losses.length > 0 && run.of !== state.scene;
  if (busy || !((training && !document.hidden) || look)) return;
  figure.worker ??= trainingWorker(figure.model.get("plan"), (found) => answered(figure, found), (words) => {
    figure.training = figure.busy = false;
    figure.notice(`The network cannot be trained here: ${words}.`);
    figure.mark("run");
  });
  figure.busy = true;
  figure.root.toggleAttribute("data-busy", !training); // whoever waits for a picture can see that it is not there
  const settings = { steps: layersOf(state), optimizer: state.optimizer, rate: rateOf(figure), seed: state.seed };
  figure.worker.ask({ run: run.id, settings, until: training ? run.goal : 0, shown: state.scene, time: SLICE });
}

function train(figure, steps) {
  if (diverged(figure.run)) return;
  figure.run.goal = figure.run.losses.length + steps;
  figure.training = true;
  figure.mark("run");
  pump(figure);
}

// ---- Words ---------------------------------------------------------------------------------------------------------

export function statusOf({ run, training, model }) {
  const { steps } = model.get("plan");
  const done = run.losses.length;
  if (!done) return training ? "Drawing the scenes \u2026" : "Not trained yet. What do you expect?";
  if (diverged(run)) return `Diverged: at step ${done} the loss is no number any more. A smaller learning rate, and start anew.`;
  const loss = run.losses.slice(-SMOOTH).reduce((sum, value, _, { length }) => sum + value / length, 0);
  const stuck = oneClass(run) ? " It calls every pixel the same." : "";
  const speed = `${Math.round(run.spent / done)} ms a step`;
  return `Step ${done} of ${Math.max(steps, run.goal)}: loss ${loss < 1000 ? fixed(loss, 2) : loss.toExponential(0)}, held-out mIoU ${fixed(scoreOf(run), 2)}; ${speed}.${stuck}`;
}

const plain = { down: "stride", skip: false, up: "nearest", optimizer: "adam", rate: 2, seed: 0 };
const TRIALS = [
  { label: "1. Without skips", values: plain,
    note: "Two halvings, two doublings, nothing that goes around them. Press Train: what will it find, and what will its edges look like?" },
  { label: "2. With skips", values: { ...plain, skip: true },
    note: "The same start and the same scenes, but the decoder also sees the maps of the encoder. Press Train: by how much does the second curve rise above the first?" },
  { label: "3. Up-sampling", values: ["bilinear", "transposed"].map((up) => ({ ...plain, up })),
    note: ({ up }) => `Now ${NAMES[up]}, without skips (press again for the other). What the halvings threw away, can any up-sampling bring it back?` },
  { label: "4. Dilation", values: { ...plain, down: "dilation" },
    note: "Nothing is halved, the taps are spread instead: the same weights, no skips. Press Train, and look at the milliseconds a step too." },
  { label: "5. Too fast", values: [{ ...plain, skip: true, rate: 4 }, { ...plain, skip: true, optimizer: "sgd", rate: 5 }],
    note: ({ optimizer }) => `${NAMES[optimizer]} with ten to a hundred times the learning rate. Press Train: does the loss fall?` },
];

// ---- Build ---------------------------------------------------------------------------------------------------------

function buildControls(figure) {
  const { state } = figure;
  const pick = (name, legend, options) => choice(legend, options, state[name], (value) => figure.set({ [name]: value }));
  const { rates } = figure.model.get("plan");
  return {
    down: pick("down", "Down-sampling", [["stride", "Stride", "Two convolutions of stride 2"], ["dilation", "Dilation", "Stride 1; what follows is dilated"]]),
    skip: pick("skip", "Skips", [[false, "Off"], [true, "On"]]),
    up: pick("up", "Up-sampling", [["nearest", "Nearest"], ["bilinear", "Bilinear"], ["transposed", "Learned", "Transposed convolutions, kernel 3, stride 2"]]),
    optimizer: pick("optimizer", "Optimizer", [["adam", "Adam"], ["sgd", "SGD", "Stochastic gradient descent with momentum 0.9"]]),
    rate: slider("Learning rate", { min: 0, max: rates.length - 1 }, (rate) => figure.set({ rate })),
    seed: slider("Seed of weights and scenes", { min: 0, max: 99 }, (seed) => figure.set({ seed })),
    scene: pick("scene", "Held-out scene", [0, 1, 2, 3, 4, 5].map((n) => [n, String(n + 1)])),
  };
}

function build(figure) {
  const plan = figure.model.get("plan");
  Object.assign(figure, { kept: [], run: null, training: false, busy: false, worker: null, tests: new Map() });
  newRun(figure);
  const parts = { ...buildControls(figure),
    go: button("Train", () => (figure.training ? pause() : train(figure, Math.max(1, plan.steps - (figure.run.losses.length % plan.steps))))),
    step: button("One step", () => train(figure, 1)),
    anew: button("Start anew", () => newRun(figure)),
    status: element("p", { class: "training-status" }),
    loss: plotOf("Loss"), score: plotOf("Held-out mIoU"), lines: element("ul", { class: "training-lines", "aria-label": "Runs" }),
    views: ["Scene", "Truth", "Prediction"].map((name) => surface(name.toLowerCase(), { role: "img", "aria-label": name }, 1)) };
  parts.views.forEach((view, n) => setText(view.head, ["Held-out scene", "Truth", "Prediction"][n]));
  function pause() {
    figure.training = false;
    figure.say(`Paused. ${statusOf(figure)}`);
    figure.mark("run");
  }
  const tried = trials(figure, TRIALS, "Choose, guess, and press Train. Each run stays in the plots, so that the next can be compared with it.");
  figure.first(element("p", { class: "segcore-lead", text: "Train a network of 10,000 weights, here, on scenes that this page draws." }), tried.node,
    element("div", { class: "segcore-bar" }, parts.down.node, parts.skip.node, parts.up.node),
    element("div", { class: "segcore-bar training-go" }, parts.go, parts.step, parts.anew, parts.rate.node), parts.status,
    element("div", { class: "training-plots" }, parts.loss.node, parts.score.node), parts.lines,
    element("div", { class: "training-pictures" }, ...parts.views.map((view) => view.node), classKey()));
  figure.more("Optimizer, seed, scene", [element("div", { class: "segcore-bar" }, parts.optimizer.node, parts.scene.node), parts.seed.node]);
  parts.layers = element("table", { class: "training-layers" });
  figure.more("The network", [parts.layers, element("p", { class: "segcore-label", text: "The same in PyTorch, from the same weights and scenes:" }),
    element("pre", { tabindex: "0", role: "region", "aria-label": "The same run in PyTorch" }, parts.code = element("code"))]);
  const seen = () => pump(figure);
  document.addEventListener("visibilitychange", seen);
  figure.stops.push(() => document.removeEventListener("visibilitychange", seen), () => figure.worker?.stop());
  return parts;
}

function plotOf(title) {
  const canvas = element("canvas", { role: "img", "aria-label": title });
  return { node: element("div", { class: "training-plot" }, element("p", { class: "segcore-label", text: title }), canvas), canvas, title };
}

// ---- Draw ----------------------------------------------------------------------------------------------------------

// The mean of the last losses at each step.
export function smoothed(losses, width = SMOOTH) {
  return losses.map((_, n) => {
    const last = losses.slice(Math.max(0, n + 1 - width), n + 1);
    return last.reduce((sum, value) => sum + value, 0) / last.length;
  });
}

const logarithmic = (value) => clamp(Math.log(value / LOWEST) / Math.log(HIGHEST / LOWEST));

// Axes with ticks [share of the height, words], and a line for each run: points [step, share of the height].
function drawPlot(figure, { canvas, node }, ticks, pointsOf) {
  const [width, height] = [node.clientWidth, 128];
  const { look, kept, run } = figure;
  fitCanvas(canvas, width, height);
  const pen = canvas.getContext("2d");
  const most = Math.max(figure.model.get("plan").steps, ...[...kept, run].map(({ losses }) => losses.length));
  const [left, right, top, bottom] = [30, width - 6, 6, height - 18];
  const place = ([step, share]) => [left + (step / most) * (right - left), bottom - share * (bottom - top)];
  pen.clearRect(0, 0, width, height);
  Object.assign(pen, { font: `11px ${look.font}`, fillStyle: look.muted, strokeStyle: look.line, lineWidth: 1, textBaseline: "middle", textAlign: "right" });
  for (const [share, words] of ticks) {
    const y = Math.round(place([0, share])[1]) + 0.5;
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
    pen.fillText(words, left - 4, y);
  }
  pen.textBaseline = "alphabetic";
  pen.fillText(`${most} steps`, right, height - 4);
  pen.lineJoin = "round";
  for (const each of [...kept, run]) {
    pen.setLineDash(DASHES[each.place]);
    Object.assign(pen, { strokeStyle: look[`run${each.place}`], lineWidth: each === run ? 2.4 : 1.6 });
    pen.beginPath();
    pointsOf(each).forEach((point) => pen.lineTo(...place(point)));
    pen.stroke();
  }
  pen.setLineDash([]);
}

const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 4]];

function drawPlots(figure) {
  const { parts } = figure;
  drawPlot(figure, parts.loss, [[0, "0.05"], [logarithmic(0.5), "0.5"], [1, "5"]],
    ({ losses }) => smoothed(losses).map((loss, n) => [n + 1, loss]).filter(([, loss]) => Number.isFinite(loss)).map(([n, loss]) => [n, logarithmic(loss)]));
  drawPlot(figure, parts.score, [[0, "0"], [0.5, "0.5"], [1, "1"]], ({ scores }) => scores.map(([step, matrix]) => [step, meanOf(matrix)]));
  const runs = [...figure.kept, figure.run];
  const words = (run) => {
    if (!run.losses.length) return run.name;
    return `${run.name}: ${diverged(run) ? "diverged" : `mIoU ${fixed(scoreOf(run), 2)}`} at step ${run.losses.length}`;
  };
  parts.loss.canvas.setAttribute("aria-label", `Loss by step of ${runs.length === 1 ? "this run" : `${runs.length} runs`}. ${statusOf(figure)}`);
  parts.score.canvas.setAttribute("aria-label", `Held-out mean IoU by step. ${runs.map(words).join("; ")}`);
  const lines = runs.map((run) => [run.place, words(run), run === figure.run]);
  if (same(lines, figure.lines)) return;
  figure.lines = lines;
  parts.lines.replaceChildren(...lines.map(([place, text, now]) => element("li", { class: now ? "now" : "" },
    element("i", { class: `training-mark place${place}`, "aria-hidden": "true" }), text)));
}

// A held-out scene, drawn once.
function testOf(figure, number) {
  const { size, heldOutSeed } = figure.model.get("plan");
  if (!figure.tests.has(number)) figure.tests.set(number, makeScene(size, heldOutSeed, number));
  return figure.tests.get(number);
}

function drawPictures({ parts, run, state }, shown) {
  const blank = new Uint8Array(shown.labels.length);
  const labels = run.labels && run.of === state.scene ? run.labels : null;
  [photograph(shown), pictureOf(shown, shown.labels), pictureOf(shown, labels ?? blank)].forEach((pixels, n) => {
    parts.views[n].show(pixels);
    parts.views[n].pen();
  });
  setText(parts.views[2].head, labels ? "Prediction" : "None yet");
}

function drawNetwork(figure) {
  const { parts, state } = figure;
  const steps = layersOf(state);
  const weights = (step) => step.inputs * step.outputs * step.kernel ** 2 + step.outputs;
  const about = (step) => [`${step.kernel} \u00d7 ${step.kernel}`, step.op === "transposed" ? "transposed" : "", step.stride > 1 ? `stride ${step.stride}` : "",
    step.dilation > 1 ? `dilation ${step.dilation}` : "", steps[step.from[0] - 1]?.op === "resize" ? `after doubling (${state.up})` : "",
    steps[step.from[0] - 1]?.op === "concatenate" ? "of both maps" : ""].filter(Boolean).join(", ");
  const rows = steps.filter((step) => "kernel" in step).map((step) => [step.name, about(step), `${step.inputs} to ${step.outputs}`, String(weights(step))]);
  const total = steps.reduce((sum, step) => sum + ("kernel" in step ? weights(step) : 0), 0);
  const cells = (tag, values) => element("tr", {}, ...values.map((text) => element(tag, { text })));
  parts.layers.replaceChildren(cells("th", ["Layer", "What it is", "Maps", "Weights"]), ...rows.map((row) => cells("td", row)), cells("td", ["all", "", "", String(total)]));
  const python = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value));
  setText(parts.code, ["from segcore.widgets.training import SwitchedNet, start, train", "",
    `net = start(SwitchedNet(${[state.down, state.skip, state.up].map(python).join(", ")}), ${state.seed})`,
    `losses, scores = train(net, seed=${state.seed}, steps=${figure.model.get("plan").steps},`,
    `                       optimizer="${state.optimizer}", rate=${rateOf(figure)})`].join("\n"));
}

function draw(figure, changed) {
  const { state, parts, run, training } = figure;
  if (changed(...SWITCHES)) {
    for (const name of ["down", "skip", "up", "optimizer"]) parts[name].set(state[name]);
    parts.rate.set(state.rate, tidy(rateOf(figure), 3));
    parts.seed.set(state.seed);
    parts.up.node.disabled = state.down === "dilation"; // nothing was halved, so nothing is doubled
    drawNetwork(figure);
  }
  if (changed("scene")) {
    parts.scene.set(state.scene);
    pump(figure);
  }
  if (changed("run", "scene", ...SWITCHES)) {
    const { steps } = figure.model.get("plan");
    setText(parts.go, training ? "Pause" : run.losses.length && run.losses.length % steps === 0 ? "Train on" : run.losses.length ? "Go on" : "Train");
    parts.go.setAttribute("aria-pressed", String(training));
    parts.go.disabled = parts.step.disabled = diverged(run);
    parts.step.disabled ||= training;
    parts.anew.disabled = !run.losses.length;
    setText(parts.status, statusOf(figure));
    drawPlots(figure);
    drawPictures(figure, testOf(figure, state.scene));
  }
}

export default widget({
  slug: "training",
  traits: { down: oneOf("stride", "dilation"), skip: yesNo, up: oneOf("nearest", "bilinear", "transposed"), optimizer: oneOf("adam", "sgd"), rate: whole(0, 5),
    seed: whole(0, 99), scene: whole(0, 5), plan: null },
  colours: ["text", "muted", "line", "page", "run0", "run1", "run2", "run3", "run4"],
  settled: (figure, names) => {
    if (figure.run && names.some((name) => SWITCHES.includes(name))) newRun(figure);
  },
  build,
  draw,
});
