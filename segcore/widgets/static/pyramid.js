import { checkbox, slider } from "./kit/controls.js";
import { element } from "./kit/elements.js";
import { listOf, whole } from "./kit/figure.js";
import { liveWidget } from "./kit/live.js";

// A trained DeepLabv3 whose pyramid can be taken apart while it answers: branches off and on, other rates than it was trained with.

const TRAINED = [2, 4, 6];
const MOST = 12; // cells of the map: from this rate on a 3 \u00d7 3 filter reads nothing but padding around its middle
const BRANCHES = ["1 \u00d7 1", "3 \u00d7 3", "3 \u00d7 3", "3 \u00d7 3", "mean"];

// What changes in the network.
export const edits = ({ off, rates }) => ({
  deeplab: {
    "network.classifier.0.cat": { zero: off },
    ...Object.fromEntries(rates.map((rate, n) => [`network.classifier.0.convs.${n + 1}.0`, { dilation: [rate, rate], padding: [rate, rate] }])),
  },
});

const values = (off, rates = TRAINED) => ({ scene: 0, objects: [], lamp: [], off, rates });
const TRIALS = [
  { label: "One branch less", values: [0, 1, 2, 3, 4].map((branch) => values([branch])), back: values([]),
    note: "Press again: each branch in turn is missing. Without the 1 \u00d7 1 filter much is lost; the others are hardly missed one by one." },
  { label: "One branch alone", values: [0, 1, 2, 3, 4].map((kept) => values([0, 1, 2, 3, 4].filter((branch) => branch !== kept))), back: values([]),
    note: "Press again: each branch in turn is alone. The 1 \u00d7 1 filter gets far by itself; none of the others does." },
  { label: "Other rates", values: [[1, 2, 3], [4, 8, 12], [12, 12, 12]].map((rates) => values([], rates)), back: values([]),
    note: "The same weights closer together, farther apart, and so far that only the middle one of each lies on the map of 12 \u00d7 12 cells. Less changes than one expects." },
];

function controls(figure) {
  const rows = BRANCHES.map((name, branch) => {
    const box = checkbox(name, (on) => {
      const rest = figure.state.off.filter((each) => each !== branch);
      figure.set({ off: on ? rest : [...rest, branch].sort() });
    });
    const which = branch - 1;
    if (branch > 0 && branch < 4) box.input.setAttribute("aria-label", `${name}, trained with rate ${TRAINED[which]}`);
    const rate = branch > 0 && branch < 4 ? slider(`Rate, trained with ${TRAINED[which]}`, { min: 1, max: MOST },
      (value) => figure.set({ rates: figure.state.rates.map((old, n) => (n === which ? value : old)) })) : null;
    return { box, rate, which };
  });
  const node = element("div", { class: "branches", role: "group", "aria-label": "Branches of the pyramid" },
    ...rows.map(({ box, rate }) => element("div", {}, box.node, rate?.node)));
  return { nodes: [node],
    draw(state) {
      rows.forEach(({ box, rate, which }, branch) => {
        box.set(!state.off.includes(branch));
        rate?.set(state.rates[which]);
      });
    } };
}

export default liveWidget({
  slug: "pyramid",
  lead: "Take a trained pyramid apart while it works.",
  rest: "Switch branches off, or move a rate away from what it was trained with. Drag an object; click a pixel to see what made its class.",
  trials: TRIALS,
  about: { DeepLabv3: "A dilated backbone, five looks at its map of 12 \u00d7 12 cells, class scores, enlarged" },
  traits: {
    off: (value) => listOf(whole(0, 4))(value) || (value.every((branch, n) => !n || branch > value[n - 1]) ? "" : "branches from 0 to 4 in order"),
    rates: listOf(whole(1, MOST), 3),
  },
  controls,
  edits,
  keys: ({ off, rates }) => {
    const changed = rates.join() === TRAINED.join() ? "" : rates.join("-");
    return [[off.join(""), changed].filter(Boolean).join(" ")];
  },
});
