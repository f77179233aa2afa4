// What looks at what in a described network (network.js): the field of any unit on any map before it, from the steps alone; and
// which pixel, layer and number the trait `pixel` may name.

import { clamp } from "./numbers.js";

// The first and the last unit along an axis that a step's units from `first` to `last` look at, the map's border ignored.
function window1d(steps, step, axis, [first, last], size) {
  const out = step.shape[axis + 1];
  const by = step.op === "unpool" ? steps[step.from[1] - 1] : step;
  const [kernel, stride, padding, dilation] = ["kernel", "stride", "padding", "dilation"].map((name) => by[name]?.[axis]);
  const reach = dilation * (kernel - 1);
  const bilinear = (n) => Math.max(0, ((n + 0.5) * size) / out - 0.5);
  switch (step.op) {
    case "conv": case "max_pool": return [first * stride - padding, last * stride - padding + reach];
    case "transposed": case "unpool": return [Math.ceil((first + padding - reach) / stride), Math.floor((last + padding) / stride)];
    case "resize": return [Math.floor(bilinear(first)), Math.ceil(bilinear(last))];
    case "nearest": return [first, last].map((n) => Math.floor((n * size) / out));
    case "average": return [Math.floor((first * size) / out), Math.ceil(((last + 1) * size) / out) - 1];
    case "pad": {
      const moved = [first, last].map((n) => n - [step.top, step.left][axis]);
      return step.mode === "replicate" ? moved.map((n) => clamp(n, 0, size - 1)) : moved;
    }
    default: return [first, last];
  }
}

// Of each map, 0 the image, the units that unit [x, y] of map `number` looks at: [left, top, right, bottom], the last two
// included; null where it does not look.
export function fieldsOf({ image, steps }, number, [x, y]) {
  const shapes = [image, ...steps.map((step) => step.shape)];
  const fields = shapes.map((_, n) => (n === number ? [x, y, x, y] : null));
  for (let n = number; n > 0; n -= 1) {
    const [step, field] = [steps[n - 1], fields[n]];
    if (!field) continue;
    step.from.forEach((source, k) => {
      if (step.zero?.includes(k) || (step.op === "unpool" || step.op === "nearest") && k > 0) return;
      const [, height, width] = shapes[source];
      const [top, bottom] = window1d(steps, step, 0, [field[1], field[3]], height);
      const [left, right] = window1d(steps, step, 1, [field[0], field[2]], width);
      const seen = [Math.max(0, left), Math.max(0, top), Math.min(width - 1, right), Math.min(height - 1, bottom)];
      if (seen[0] > seen[2] || seen[1] > seen[3]) return;
      const old = fields[source] ?? seen;
      fields[source] = seen.map((value, side) => (side < 2 ? Math.min(value, old[side]) : Math.max(value, old[side])));
    });
  }
  return fields;
}

// How many channels a number of a step is made of.
function inputsOf({ image, steps }, step) {
  if (!("weight" in step)) return 1;
  return (step.from[0] ? steps[step.from[0] - 1].shape[0] : image[0]) / step.groups;
}

// A described network with some steps changed by name, as the worker runs it.
export const edited = (described, edits = {}) => ({ ...described, steps: described.steps.map((step) => ({ ...step, ...edits[step.name] })) });

const LEGAL = "empty, or [answer, x, y], with [step, channel] behind it, and [column, row, input] behind that, all within the network";

export function pixelTrait(value, figure) {
  const { answers, networks, size } = figure.model.get("data");
  if (!Array.isArray(value) || ![0, 3, 5, 8].includes(value.length) || !value.every((n) => Number.isInteger(n) && n >= 0)) return LEGAL;
  const [at, x, y, map, channel, column, row, input] = value;
  if (at === undefined) return "";
  if (at >= answers.length || x >= size || y >= size) return LEGAL;
  if (map === undefined) return "";
  const described = networks[answers[at][0]];
  const step = described.steps[map - 1];
  if (!step || step.op === "pad" || channel >= step.shape[0]) return LEGAL;
  return column === undefined || (column < step.shape[2] && row < step.shape[1] && input < inputsOf(described, step)) ? "" : LEGAL;
}
