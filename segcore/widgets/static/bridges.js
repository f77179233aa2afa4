import { checkbox, traitChoice } from "./kit/controls.js";
import { element } from "./kit/elements.js";
import { listOf, oneOf, whole } from "./kit/figure.js";
import { liveWidget } from "./kit/live.js";

// A trained U-Net whose bridges can be taken away while it answers, and a SegNet that can lose its switches.

const SIZES = [96, 48, 24]; // of the maps that cross over, from the top
const CATS = ["cat_2", "cat_1", "cat"]; // where each arrives; the encoder's map is the first of the two
const UNPOOLINGS = ["max_unpool2d", "max_unpool2d_1", "max_unpool2d_2"].map((name) => `network.${name}`);
const PLACES = [["switches", "By switches"], ["quarters", "A quarter each"], ["whole", "The whole each"]];
const SPREAD = { quarters: { op: "nearest", share: 0.25 }, whole: { op: "nearest" } };

// What changes in the networks.
export const edits = ({ off, places }) => ({
  unet: Object.fromEntries(off.map((bridge) => [CATS[bridge - 1], { zero: [0] }])),
  segnet: places === "switches" ? {} : Object.fromEntries(UNPOOLINGS.map((name) => [name, SPREAD[places]])),
});

const values = (off, places = "switches") => ({ scene: 0, objects: [], lamp: [], off, places });
const TRIALS = [
  { label: "No finest bridge", values: values([1]), back: values([]),
    note: "The topmost bridge alone is gone. The box, right before, breaks into stripes, and the outlines roughen." },
  { label: "One after the other", values: [values([3]), values([2, 3]), values([1, 2, 3])], back: values([]),
    note: "Press again: from the deepest bridge to the finest. This network was trained with its bridges and leans on them." },
  { label: "SegNet without places", values: [values([], "quarters"), values([], "whole")], back: values([]),
    note: ({ places }) => (places === "quarters" ? "Each value is spread over its four pixels: all that SegNet has lost is places. Its outlines swell. Press again."
      : "The whole value in each pixel: the sums are four times as large as in training, and that does more harm than the lost places.") },
];

function controls(figure) {
  const boxes = SIZES.map((size, n) => checkbox(`${size} \u00d7 ${size}`, (on) => {
    const rest = figure.state.off.filter((bridge) => bridge !== n + 1);
    figure.set({ off: on ? rest : [...rest, n + 1].sort() });
  }));
  const places = traitChoice(figure, "places", "SegNet unpools", PLACES);
  const bridges = element("fieldset", { class: "segcore-choice bridges-on" }, element("legend", { text: "Bridges of the U-Net" }),
    element("div", { class: "segcore-bar" }, ...boxes.map(({ node }) => node)));
  const draw = ({ off }) => boxes.forEach((box, n) => box.set(!off.includes(n + 1)));
  return { nodes: [element("div", { class: "segcore-bar" }, bridges, places.node)], draw };
}

export default liveWidget({
  slug: "bridges",
  lead: "Take away what crosses over, while two networks work.",
  rest: "Switch a bridge off, or SegNet\u2019s switches. Drag an object; click a pixel to see what made its class.",
  trials: TRIALS,
  about: { "U-Net": "An encoder, a decoder, and a bridge at every size", SegNet: "An encoder, a decoder, and of each maximum its place" },
  traits: {
    off: (value) => listOf(whole(1, 3))(value) || (value.every((bridge, n) => !n || bridge > value[n - 1]) ? "" : "bridges from 1 to 3 in order"),
    places: oneOf(...PLACES.map(([name]) => name)),
  },
  controls,
  edits,
  keys: ({ off, places }) => [off.join(""), places === "switches" ? "" : places],
});
