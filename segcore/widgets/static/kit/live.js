// A scene that the reader moves, and trained networks of which parts can be switched off and changed while they answer. A
// widget's file says which parts: spec = { slug, lead, rest, trials, about, traits, controls, edits, keys }.
//
//   about     what stands behind each answer, by its name
//   controls  (figure) => { nodes, draw(state) }: the switches
//   edits     (state) => what changes in each network, as in network.js
//   keys      (state) => for each answer the name of this setting in `data.measured`, mean IoU over 100 scenes

import { traitChoice, trials } from "./controls.js";
import { element, setText } from "./elements.js";
import { oneOf, widget } from "./figure.js";
import { networkWorker } from "./network.js";
import { fixed } from "./numbers.js";
import { answerSurface, buildScene, classKey, drawScene, labelsOf, pictureOf, sceneChoice, sceneTraits } from "./scene.js";
import { meanIou } from "./scores.js";
import { pixelTrait } from "./fields.js";
import { unfolding } from "./unfold.js";

const VIEWS = [["labels", "Classes"], ["mistakes", "Mistakes"]];

export function startWorker(figure) {
  figure.answer = null;
  figure.worker = networkWorker(figure.model.get("data").networks, (answer, shown) => {
    const found = Object.entries(answer.outputs).map(([name, logits]) => [name, labelsOf(logits, shown.height * shown.width)]);
    figure.answer = { ...answer, labels: Object.fromEntries(found), shown };
    figure.mark("answer");
  }, (words) => figure.notice(`The networks cannot be run: ${words}.`), { root: figure.root });
  figure.stops.push(figure.worker.stop);
}

export function liveWidget(spec) {
  const settings = Object.keys(spec.traits);
  function build(figure) {
    const { answers } = figure.model.get("data");
    const names = answers.map(([, output]) => output);
    const parts = { ...buildScene(figure), nets: names.map((name) => answerSurface(name, spec.about[name])), names, controls: spec.controls(figure),
      scenes: sceneChoice(figure), words: element("p", { class: "words segcore-label", role: "status" }) };
    parts.view = traitChoice(figure, "view", "Show", VIEWS);
    startWorker(figure);
    figure.first(element("p", { class: "segcore-lead", text: spec.lead }), trials(figure, spec.trials, spec.rest).node,
      element("div", { class: "segcore-panels" }, parts.scene.node, parts.truth.node, ...parts.nets.map((net) => net.node)), classKey(), ...parts.controls.nodes,
      element("div", { class: "segcore-bar" }, parts.scenes.node, parts.view.node), parts.words);
    parts.unfold = unfolding(figure, parts.nets, { editsOf: (network) => spec.edits(figure.state)[network] });
    return parts;
  }

  function draw(figure, changed) {
    const { state, parts } = figure;
    const moved = drawScene(figure, changed);
    if (moved || changed("pixel", ...settings)) {
      figure.worker.ask(figure.shown.image, figure.shown, { edits: spec.edits(state), inside: parts.unfold.query() });
    }
    if (changed("scene", "view", ...settings)) {
      parts.controls.draw(state);
      drawMeasured(figure);
    }
    if (changed("answer", "view", "pixel", "scene")) drawAnswers(figure);
    if (changed("answer", "pixel", "view")) parts.unfold.draw(changed);
  }

  // What this setting was measured to be worth; in the book, so it stands there before the networks have answered.
  function drawMeasured({ state, parts, model }) {
    const { answers, measured } = model.get("data");
    const keys = spec.keys(state);
    const said = answers.map(([network, output], n) => {
      const [now, trained] = [measured[network][keys[n]], measured[network][""]];
      const value = now === undefined ? "not measured so" : fixed(now, 2);
      return `${output} ${value}${keys[n] ? ` (as trained ${fixed(trained, 2)})` : ""}`;
    });
    setText(parts.words, `Behind the names: mean IoU of this scene. Over 100 scenes: ${said.join(", ")}.`);
  }

  function drawAnswers({ state, parts, answer, shown }) {
    parts.names.forEach((name, n) => {
      const view = parts.nets[n];
      const labels = answer?.labels[name] ?? new Uint8Array(shown.labels.length);
      view.show(pictureOf(answer?.shown ?? shown, labels, answer ? state.view : "labels"));
      view.pen();
      if (answer) setText(view.head.lastChild, fixed(meanIou(labels, answer.shown.labels), 2));
    });
  }

  return widget({ slug: spec.slug, colours: ["page", "text", "low", "accent", "second"],
    traits: { ...sceneTraits, view: oneOf("labels", "mistakes"), pixel: pixelTrait, ...spec.traits }, build, draw });
}
