// Training in the page: forward and backward passes of small networks, and the optimizers. All is plain arithmetic over one
// memory of floats; convolutions, in all three of their roles, are done by the kernel of network.js.
//
// A step of a network is { op, name, from, ... }: map 0 is the image, map n what step n gives. "conv" and "transposed" have
// inputs, outputs, kernel, stride, dilation and relu, and borders of zeros that keep the size (of stride 1); "resize" doubles, by
// mode "nearest" or "bilinear"; "concatenate" lays maps side by side. Weights lie as torch has them, step after step.
//
// A transposed convolution is a convolution read backwards. So three operations serve both, forward and backward: `gathered`
// goes from the finer map to the coarser one, `scattered` back, and `correlated` gives the gradient of the weights.

import { DRAWING, makeScene, uniform } from "./draw.js";
import { KERNELS } from "./kernels.js";
import { convolveTwin, machine } from "./network.js";
import { unpackBytes } from "./pictures.js";
import { openWorker } from "./worker.js";

const MOMENTUM = 0.9;
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];
const FIRST_WEIGHTS = 4_000_000_000; // index of a seed's first random weights, beyond its scenes

// --- In the worker ---

const areaOf = ({ channels, height, width }) => channels * height * width;

function shapeOf(step, [source, ...others]) {
  const { channels, height, width } = source;
  if (step.op === "conv") return { channels: step.outputs, height: Math.ceil(height / step.stride), width: Math.ceil(width / step.stride) };
  if (step.op === "transposed") return { channels: step.outputs, height: step.stride * height, width: step.stride * width };
  if (step.op === "resize") return { channels, height: 2 * height, width: 2 * width };
  return { channels: others.reduce((sum, other) => sum + other.channels, channels), height, width };
}

// A step with weights: which of its maps is the finer one, the memory that it works in, and where its weights begin.
function preparedStep(step, source, target, reserve, first) {
  const [fine, coarse] = step.op === "conv" ? [source, target] : [target, source];
  const pad = (step.dilation * (step.kernel - 1)) / 2;
  const [rows, columns, taps] = [fine.height + 2 * pad, fine.width + 2 * pad, step.kernel ** 2];
  const length = fine.channels * coarse.channels * taps;
  return { ...step, fine, coarse, pad, rows, columns, taps, length, weight: first, bias: first + length,
    bordered: reserve(fine.channels * rows * columns), spread: reserve(coarse.channels * rows * columns), turned: reserve(length), shares: reserve(length) };
}

// A network with its maps, their gradients, its weights and theirs, all in one memory.
function tapeOf([channels, height, width], described, kernels) {
  let count = 0;
  const reserve = (length) => {
    const at = count;
    count += Math.ceil((length + 64) / 4) * 4; // the kernel reads and writes four columns at a time
    return at;
  };
  const map = (shape) => ({ ...shape, at: reserve(areaOf(shape)), grad: reserve(areaOf(shape)), touched: false });
  const [maps, steps] = [[map({ channels, height, width })], []];
  let total = 0;
  for (const step of described) {
    const sources = step.from.map((number) => maps[number]);
    maps.push(map(shapeOf(step, sources)));
    steps.push("kernel" in step ? preparedStep(step, sources[0], maps.at(-1), reserve, total) : { ...step });
    total = "kernel" in step ? steps.at(-1).bias + step.outputs : total;
  }
  const [weights, gradients, none] = [reserve(total), reserve(total), reserve(Math.max(...maps.map((each) => each.channels)))];
  const beside = reserve(Math.max(...maps.map(areaOf)));
  const { floats, convolve, kernel } = machine(count, kernels);
  return { floats, convolve, kernel, maps, steps, weights, gradients, none, beside, total, first: new Float32Array(total), second: new Float32Array(total), time: 0 };
}

// A map laid into a wider one, its values `apart`; what lies between and around is zero from the beginning.
function laid(floats, from, { channels, height, width }, to, { rows, columns, pad }, apart) {
  for (let c = 0, n = from; c < channels; c += 1) {
    for (let y = 0; y < height; y += 1, n += width) {
      const row = to + (c * rows + y * apart + pad) * columns + pad;
      if (apart === 1) floats.copyWithin(row, n, n + width);
      else for (let x = 0; x < width; x += 1) floats[row + x * apart] = floats[n + x];
    }
  }
}

// From the finer map, which lies in `bordered`, to the coarser one: a convolution.
function gathered({ convolve, weights }, step, bias, to, relu) {
  const { fine, coarse, kernel, stride, dilation } = step;
  convolve([fine.channels, step.rows, step.columns, kernel, kernel, stride, stride, dilation, dilation, coarse.height, coarse.width, relu],
    step.bordered, weights + step.weight, bias, to, coarse.channels);
}

// From the coarser map, which lies in `spread`, to the finer one: a convolution with the filters turned around.
function scattered({ convolve }, step, bias, to, relu) {
  const { fine, coarse, kernel, dilation } = step;
  convolve([coarse.channels, step.rows, step.columns, kernel, kernel, 1, 1, dilation, dilation, fine.height, fine.width, relu],
    step.spread, step.turned, bias, to, fine.channels);
}

// The gradient of the weights: each channel of `bordered` convolved with each of the coarser map, which is the filter here; what
// was the dilation is now the stride, and the other way round.
function correlated({ floats, convolve, gradients, none }, step, at) {
  const { fine, coarse, kernel, stride, dilation, taps } = step;
  const shape = [1, step.rows, step.columns, coarse.height, coarse.width, dilation, dilation, stride, stride, kernel, kernel, 0];
  for (let c = 0; c < fine.channels; c += 1) {
    convolve(shape, step.bordered + c * step.rows * step.columns, at, none, step.shares, coarse.channels);
    for (let k = 0, n = step.shares; k < coarse.channels; k += 1) {
      const to = gradients + step.weight + (k * fine.channels + c) * taps;
      for (let tap = 0; tap < taps; tap += 1, n += 1) floats[to + tap] += floats[n];
    }
  }
}

// Filters turned around, finer channels first: once for each state of the weights.
function turnWeights({ floats, steps, weights }) {
  for (const { turned, weight, fine, coarse, taps } of steps.filter((step) => "turned" in step)) {
    for (let k = 0, n = weights + weight; k < coarse.channels; k += 1) {
      for (let c = 0; c < fine.channels; c += 1) {
        const last = turned + (c * coarse.channels + k) * taps + taps - 1;
        for (let tap = 0; tap < taps; tap += 1, n += 1) floats[last - tap] = floats[n];
      }
    }
  }
}

// For each place of a doubled axis: the two cells that it reads, and the second one's share.
function tapsOf(size, mode) {
  const taps = { low: new Int32Array(2 * size), high: new Int32Array(2 * size), share: new Float32Array(2 * size) };
  for (let n = 0; n < 2 * size; n += 1) {
    const at = mode === "nearest" ? n >> 1 : Math.max(0, (n + 0.5) / 2 - 0.5);
    taps.low[n] = Math.floor(at);
    taps.high[n] = Math.min(size - 1, taps.low[n] + 1);
    taps.share[n] = at - taps.low[n];
  }
  return taps;
}

// A map doubled, or with `back` what each of its cells gets of the doubled map's gradient; both begin at a place of the memory.
function doubled(floats, step, { channels, height, width }, small, large, back) {
  step.taps ??= [tapsOf(height, step.mode), tapsOf(width, step.mode)];
  const [down, across] = step.taps;
  if (back) floats.fill(0, small, small + channels * height * width);
  for (let c = 0, n = large; c < channels; c += 1) {
    for (let y = 0; y < 2 * height; y += 1) {
      const [upper, lower, low] = [small + (c * height + down.low[y]) * width, small + (c * height + down.high[y]) * width, down.share[y]];
      for (let x = 0; x < 2 * width; x += 1, n += 1) {
        const [left, right, far] = [across.low[x], across.high[x], across.share[x]];
        if (back) {
          const [above, below] = [(1 - low) * floats[n], low * floats[n]];
          floats[upper + left] += (1 - far) * above;
          floats[upper + right] += far * above;
          floats[lower + left] += (1 - far) * below;
          floats[lower + right] += far * below;
        } else {
          const above = (1 - far) * floats[upper + left] + far * floats[upper + right];
          floats[n] = (1 - low) * above + low * ((1 - far) * floats[lower + left] + far * floats[lower + right]);
        }
      }
    }
  }
}

function forward(net) {
  const { floats, maps, steps, weights } = net;
  steps.forEach((step, number) => {
    const [sources, target] = [step.from.map((each) => maps[each]), maps[number + 1]];
    const [source] = sources;
    target.touched = false;
    if (step.op === "conv") {
      laid(floats, source.at, source, step.bordered, step, 1);
      gathered(net, step, weights + step.bias, target.at, Number(step.relu));
    } else if (step.op === "transposed") {
      laid(floats, source.at, source, step.spread, step, step.stride);
      scattered(net, step, weights + step.bias, target.at, Number(step.relu));
    } else if (step.op === "resize") {
      doubled(floats, step, source, source.at, target.at, false);
    } else {
      let to = target.at;
      for (const each of sources) {
        floats.copyWithin(to, each.at, each.at + areaOf(each));
        to += areaOf(each);
      }
    }
  });
}

// `write(to)` gives a part of a map's gradient: it is the first one, or is added.
function addGradient({ floats, beside }, map, write) {
  if (map.touched) {
    write(beside);
    for (let n = 0, length = areaOf(map); n < length; n += 1) floats[map.grad + n] += floats[beside + n];
  } else write(map.grad);
  map.touched = true;
}

function weightedBackward(net, step, source, target, wanted) {
  const { floats, gradients } = net;
  const plane = target.height * target.width;
  for (let k = 0, n = 0; k < target.channels; k += 1) {
    let sum = 0;
    for (const end = n + plane; n < end; n += 1) {
      if (step.relu && floats[target.at + n] <= 0) floats[target.grad + n] = 0;
      else sum += floats[target.grad + n];
    }
    floats[gradients + step.bias + k] += sum;
  }
  if (step.op === "conv") {
    correlated(net, step, target.grad);
    if (!wanted) return;
    laid(floats, target.grad, target, step.spread, step, step.stride);
    addGradient(net, source, (to) => scattered(net, step, net.none, to, 0));
  } else {
    laid(floats, target.grad, target, step.bordered, step, 1);
    correlated(net, step, source.at);
    if (wanted) addGradient(net, source, (to) => gathered(net, step, net.none, to, 0));
  }
}

// From the gradient of the last map to those of all others, and of the weights, to which they are added. The image's gradient is
// nobody's business, unless asked for.
function backward(net, ofImage = false) {
  const { floats, maps, steps } = net;
  maps[0].touched = false;
  for (let number = steps.length; number > 0; number -= 1) {
    const [step, target] = [steps[number - 1], maps[number]];
    const [source] = step.from.map((each) => maps[each]);
    if ("kernel" in step) weightedBackward(net, step, source, target, ofImage || step.from[0] > 0);
    else if (step.op === "resize") {
      addGradient(net, source, (to) => doubled(floats, step, source, to, target.grad, true));
    } else {
      let from = target.grad;
      for (const each of step.from.map((one) => maps[one])) {
        const begin = from;
        addGradient(net, each, (to) => floats.copyWithin(to, begin, begin + areaOf(each)));
        from += areaOf(each);
      }
    }
  }
}

// The sum of the cross-entropies of the last map's pixels; its gradient, times `scale`, into the map's.
function crossEntropy({ floats, maps }, labels, scale) {
  const { at, grad, channels, height, width } = maps.at(-1);
  const plane = height * width;
  let loss = 0;
  for (let n = 0; n < plane; n += 1) {
    let [most, sum] = [-Infinity, 0];
    for (let c = 0; c < channels; c += 1) most = Math.max(most, floats[at + c * plane + n]);
    for (let c = 0; c < channels; c += 1) {
      const power = Math.exp(floats[at + c * plane + n] - most);
      floats[grad + c * plane + n] = power;
      sum += power;
    }
    loss += Math.log(sum) + most - floats[at + labels[n] * plane + n];
    for (let c = 0; c < channels; c += 1) floats[grad + c * plane + n] *= scale / sum;
    floats[grad + labels[n] * plane + n] -= scale;
  }
  return loss;
}

// The mean loss over the pixels of some scenes, { image, labels } each; the gradients of the weights are those of this mean.
function lossOf(net, scenes) {
  const { floats, maps, gradients, total } = net;
  const pixels = scenes.length * scenes[0].labels.length;
  let loss = 0;
  floats.fill(0, gradients, gradients + total);
  turnWeights(net);
  for (const { image, labels } of scenes) {
    floats.set(image, maps[0].at);
    forward(net);
    loss += crossEntropy(net, labels, 1 / pixels);
    backward(net);
  }
  return loss / pixels;
}

// One step of Adam, or of stochastic gradient descent with momentum, as torch makes them.
function optimise(net, { optimizer, rate }) {
  const { floats, weights, gradients, total, first, second } = net;
  net.time += 1;
  const [size, root] = [rate / (1 - BETA1 ** net.time), Math.sqrt(1 - BETA2 ** net.time)];
  for (let n = 0; n < total; n += 1) {
    const gradient = floats[gradients + n];
    if (optimizer === "adam") {
      first[n] += (1 - BETA1) * (gradient - first[n]);
      second[n] = BETA2 * second[n] + (1 - BETA2) * gradient * gradient;
      floats[weights + n] -= (size * first[n]) / (Math.sqrt(second[n]) / root + EPSILON);
    } else {
      first[n] = MOMENTUM * first[n] + gradient;
      floats[weights + n] -= rate * first[n];
    }
  }
}

// The weights that a seed starts from: He's, uniform; biases are zero. A coarse cell of a transposed convolution reaches an
// output through a quarter of its taps.
function startWeights({ floats, steps, weights }, seed) {
  steps.filter((step) => "kernel" in step).forEach((step, number) => {
    const bound = Math.sqrt(6 / (step.inputs * step.taps * (step.op === "transposed" ? 1 / step.stride ** 2 : 1)));
    const lots = uniform(seed, FIRST_WEIGHTS + number, step.length);
    for (let n = 0; n < step.length; n += 1) floats[weights + step.weight + n] = (2 * lots[n] - 1) * bound;
    floats.fill(0, weights + step.bias, weights + step.bias + step.outputs);
  });
}

// The class with the highest score at each pixel of an image.
function predicted(net, image) {
  const { floats, maps } = net;
  floats.set(image, maps[0].at);
  turnWeights(net);
  forward(net);
  const { at, channels, height, width } = maps.at(-1);
  const plane = height * width;
  return Uint8Array.from({ length: plane }, (_, n) => {
    let best = 0;
    for (let c = 1; c < channels; c += 1) if (floats[at + c * plane + n] > floats[at + best * plane + n]) best = c;
    return best;
  });
}

// A scene as the network takes it: the image between -1 and 1.
function lesson({ size, scenes }, index) {
  const { image, labels } = makeScene(size, scenes, index);
  return { image: image.map((value) => 2 * value - 1), labels };
}

// Rows are truth: the pixels of all held-out scenes.
function heldOutMatrix(net, scenes, classes) {
  const matrix = new Array(classes * classes).fill(0);
  for (const { image, labels } of scenes) {
    const found = predicted(net, image);
    for (let n = 0; n < labels.length; n += 1) matrix[labels[n] * classes + found[n]] += 1;
  }
  return matrix;
}

// Trains on: a run that is not yet begun (or is asked for anew) starts; then as many steps as fit into `time` milliseconds, up
// to `until`. What was asked may be no training at all (`until` 0), but how a held-out scene looks by now.
function answerTraining(held, { kernels, plan }, { run, settings, until, shown, time }) {
  held.tests ??= Array.from({ length: plan.heldOut }, (_, n) => lesson({ size: plan.size, scenes: plan.heldOutSeed }, n));
  if (held.run !== run) {
    held.run = run;
    held.net = tapeOf([3, plan.size, plan.size], settings.steps, kernels);
    startWeights(held.net, settings.seed);
  }
  const { net, tests } = held;
  const classes = settings.steps.at(-1).outputs;
  const [losses, scores, begin] = [[], [], performance.now()];
  const score = () => scores.push([net.time, heldOutMatrix(net, tests, classes)]);
  if (until && net.time === 0) score();
  let spent = 0;
  while (net.time < until && (!losses.length || (Number.isFinite(losses.at(-1)) && performance.now() - begin < time))) {
    const from = performance.now();
    const batch = Array.from({ length: plan.batch }, (_, n) => lesson({ size: plan.size, scenes: settings.seed }, net.time * plan.batch + n));
    losses.push(lossOf(net, batch));
    optimise(net, settings);
    spent += performance.now() - from;
    if (net.time % plan.every === 0 || net.time === plan.steps) score();
  }
  return { run, step: net.time, losses, scores, spent, kernel: net.kernel, labels: predicted(net, tests[shown].image), shown };
}

// --- In the page ---

const PARTS = { ...DRAWING, MOMENTUM, BETA1, BETA2, EPSILON, FIRST_WEIGHTS, convolveTwin, machine, areaOf, shapeOf, preparedStep, tapeOf, laid, gathered, scattered,
  correlated, turnWeights, tapsOf, doubled, forward, addGradient, weightedBackward, backward, crossEntropy, lossOf, optimise, startWeights, predicted, lesson,
  heldOutMatrix, answerTraining };

const kernelsOf = (plain) => (plain ? null : unpackBytes(KERNELS));

// Trains beside the page: each `ask(...)` is answered by `answered(...)`, or by `failed(words)`; ask again only then. `plan` is what all
// runs have in common. Without WebAssembly, or where `plain`, the arithmetic is plain JavaScript.
export function trainingWorker(plan, answered, failed, plain = false) {
  let stopped = false;
  const worker = openWorker({ kernels: kernelsOf(plain), plan }, PARTS, "answerTraining", (found) => {
    if (stopped) return;
    if (found.error) failed(found.error);
    else answered(found);
  });
  return { ask: worker.post, inWorker: worker.inWorker, stop: () => { stopped = true; worker.stop(); } };
}

// For tests and the curious: a network in the page itself. `loss(scenes)`, `step(how)` and `gradientsAt(scene, upstream)` are those of the
// worker; numbers come as arrays.
export function networkOf(image, steps, plain = false) {
  const net = tapeOf(image, steps, kernelsOf(plain));
  const part = (at, length) => net.floats.slice(at, at + length);
  return {
    kernel: net.kernel,
    setWeights: (values) => net.floats.set(values, net.weights),
    start: (seed) => startWeights(net, seed),
    weights: () => part(net.weights, net.total),
    loss: (scenes) => lossOf(net, scenes),
    step: (how) => optimise(net, how),
    gradients: () => part(net.gradients, net.total),
    predict: (values) => predicted(net, values),
    // The last map, and the gradients of weights and image where the last map's is `upstream`.
    gradientsAt(values, upstream) {
      net.floats.fill(0, net.gradients, net.gradients + net.total);
      net.floats.set(values, net.maps[0].at);
      turnWeights(net);
      forward(net);
      const last = net.maps.at(-1);
      const output = part(last.at, areaOf(last));
      net.floats.set(upstream, last.grad);
      backward(net, true);
      return { output, weights: part(net.gradients, net.total), image: part(net.maps[0].grad, areaOf(net.maps[0])) };
    },
  };
}
