// The course's networks in the page: forward passes of what `segcore.widgets.export_network` has written down, and a worker
// that makes them, so that the page never waits. Maps are channels, rows, columns of floats, one after another in one memory.
//
// Convolutions, all but a hundredth of the work, are done by a kernel of a few lines of C (kernels.c); where a browser has no
// WebAssembly with SIMD, by a twin in plain JavaScript. What stands between the two lines below runs in the worker, from its
// own text: it may use nothing else of this module.

import { KERNELS } from "./kernels.js";
import { unpackBytes } from "./pictures.js";
import { openWorker } from "./worker.js";

// --- In the worker ---

const bytesOf = (kind, count) => (kind === "int6" ? 3 * Math.ceil(count / 4) : count * { int8: 1, float16: 2, float32: 4 }[kind]);

// Numbers of a kind that begin at a byte; of six bits there are four in three bytes.
function floatsAt(bytes, at, count, kind) {
  if (kind === "int6") {
    return Float32Array.from({ length: count }, (_, n) => {
      const from = at + 3 * (n >> 2);
      return (((bytes[from] << 16) | (bytes[from + 1] << 8) | bytes[from + 2]) >> (18 - 6 * (n & 3)) & 63) - 32;
    });
  }
  const whole = bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + at + bytesOf(kind, count));
  if (kind === "int8") return Float32Array.from(new Int8Array(whole));
  if (kind === "float32") return new Float32Array(whole);
  return Float32Array.from(new Uint16Array(whole), (half) => {
    const [sign, exponent, part] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
    return sign * (exponent ? (1 + part / 1024) * 2 ** (exponent - 15) : part / 2 ** 24);
  });
}

// A convolution of one group as the kernel does it; `shape` as in kernels.c, places count floats.
export function convolveTwin(floats, shape, source, weight, bias, target, outputs) {
  const [channels, height, width, kernelHeight, kernelWidth, strideY, strideX, dilationY, dilationX, outHeight, outWidth, relu] = shape;
  for (let k = 0; k < outputs; k += 1) {
    const to = target + k * outHeight * outWidth;
    const line = new Float64Array(outWidth);
    for (let y = 0; y < outHeight; y += 1) {
      let w = weight + k * channels * kernelHeight * kernelWidth;
      line.fill(floats[bias + k]);
      for (let c = 0; c < channels; c += 1) {
        for (let i = 0; i < kernelHeight; i += 1) {
          const row = source + (c * height + y * strideY + i * dilationY) * width;
          for (let j = 0; j < kernelWidth; j += 1, w += 1) {
            const value = floats[w];
            for (let x = 0, p = row + j * dilationX; x < outWidth; x += 1, p += strideX) line[x] += value * floats[p];
          }
        }
      }
      for (let x = 0; x < outWidth; x += 1) floats[to + y * outWidth + x] = relu ? Math.max(0, line[x]) : line[x];
    }
  }
}

// A memory of so many floats and a convolution that works in it.
export function machine(count, kernels) {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(kernels));
    const begin = exports.memory.buffer.byteLength; // below lies the kernel's own stack
    exports.memory.grow(Math.ceil((4 * count + 64) / 65536));
    const [floats, shapes] = [new Float32Array(exports.memory.buffer, begin + 64), new Int32Array(exports.memory.buffer, begin, 16)];
    const place = (at) => begin + 64 + 4 * at;
    const convolve = (shape, source, weight, bias, target, outputs) => {
      shapes.set(shape);
      exports.convolve(begin, place(source), place(weight), place(bias), place(target), outputs);
    };
    return { floats, convolve, kernel: "simd" };
  } catch {
    const floats = new Float32Array(count);
    return { floats, convolve: (...given) => convolveTwin(floats, ...given), kernel: "plain" };
  }
}

// A border around a map, or a cut: pixel (0, 0) of the map comes to (top, left). `edge` repeats the outermost pixels.
function placed(floats, source, target, top, left, edge) {
  const [begin, end] = [0, source.width].map((column) => Math.min(target.width, Math.max(0, column + left))); // what comes from the map
  for (let c = 0; c < target.channels; c += 1) {
    for (let y = 0; y < target.height; y += 1) {
      const to = target.at + (c * target.height + y) * target.width;
      const from = edge ? Math.min(source.height - 1, Math.max(0, y - top)) : y - top;
      if (from < 0 || from >= source.height) {
        floats.fill(0, to, to + target.width);
        continue;
      }
      const row = source.at + (c * source.height + from) * source.width;
      const [before, behind] = edge ? [floats[row], floats[row + source.width - 1]] : [0, 0];
      for (let x = 0; x < begin; x += 1) floats[to + x] = before;
      for (let x = begin; x < end; x += 1) floats[to + x] = floats[row + x - left];
      for (let x = end; x < target.width; x += 1) floats[to + x] = behind;
    }
  }
}

// A convolution of a map that has its border: what it reads, group by group.
function convolved({ convolve }, step, read, target, stride) {
  const [channels, outputs] = [read.channels / step.groups, target.channels / step.groups];
  const alone = [...step.kernel, ...stride].every((each) => each === 1); // each pixel by itself: a map is one long row
  const [sizes, made] = [read, target].map(({ height, width }) => (alone ? [1, height * width] : [height, width]));
  const shape = [channels, ...sizes, ...step.kernel, ...stride, ...step.dilation, ...made, Number(step.relu)];
  for (let group = 0; group < step.groups; group += 1) {
    convolve(shape, read.at + group * channels * read.height * read.width, step.weightAt + group * outputs * step.each,
      step.biasAt + group * outputs, target.at + group * outputs * target.height * target.width, outputs);
  }
}

function convolution(network, step, [source], target) {
  const [top, left] = step.padding;
  const read = top || left ? { ...step.border, channels: source.channels } : source;
  if (read !== source) placed(network.floats, source, read, top, left, false);
  convolved(network, step, read, target, step.stride);
}

// A transposed convolution whose filters do not overlap: a 1 x 1 convolution makes the taps of each, which go to their places.
function apart({ floats, convolve }, step, [source], target) {
  const { outputs, weightAt, biasAt, at } = step.apart;
  const [[down, right], plane] = [step.stride, source.height * source.width];
  convolve([source.channels, 1, plane, 1, 1, 1, 1, 1, 1, 1, plane, Number(step.relu)], source.at, weightAt, biasAt, at, outputs);
  let from = at;
  for (let n = 0; n < outputs; n += 1) { // of a channel all taps, row by row
    const [channel, tap] = [Math.floor(n / (down * right)), n % (down * right)];
    for (let y = 0; y < source.height; y += 1) {
      let to = target.at + (channel * target.height + y * down + Math.floor(tap / right)) * target.width + (tap % right);
      for (let x = 0; x < source.width; x += 1, from += 1, to += right) floats[to] = floats[from];
    }
  }
}

// Its weights are those of the step, laid out by taps.
function layApart({ floats }, step, { channels }) {
  const [taps, { outputs, weightAt, biasAt }] = [step.stride[0] * step.stride[1], step.apart];
  for (let n = 0; n < outputs; n += 1) {
    const [channel, tap] = [Math.floor(n / taps), n % taps];
    floats[biasAt + n] = floats[step.biasAt + channel];
    for (let c = 0; c < channels; c += 1) floats[weightAt + n * channels + c] = floats[step.weightAt + (channel * channels + c) * taps + tap];
  }
}

// A transposed convolution of a small stride: zeros between the values, and a convolution with the filters turned around.
function spread(network, step, [source], target) {
  const { floats } = network;
  const read = { ...step.border, channels: source.channels };
  const [down, right] = [0, 1].map((axis) => step.dilation[axis] * (step.kernel[axis] - 1) - step.padding[axis]);
  floats.fill(0, read.at, read.at + read.channels * read.height * read.width);
  let from = source.at;
  for (let c = 0; c < source.channels; c += 1) {
    for (let y = 0; y < source.height; y += 1) {
      const row = y * step.stride[0] + down;
      for (let x = 0; x < source.width; x += 1, from += 1) {
        const column = x * step.stride[1] + right;
        if (row >= 0 && row < read.height && column >= 0 && column < read.width) floats[read.at + (c * read.height + row) * read.width + column] = floats[from];
      }
    }
  }
  convolved(network, step, read, target, [1, 1]);
}

// A transposed convolution of a large stride: each value paints its filter, and overlaps add.
function transposed({ floats }, step, [source], target) {
  const [[kernelHeight, kernelWidth], [strideY, strideX], [top, left], [dilationY, dilationX]] = [step.kernel, step.stride, step.padding, step.dilation];
  const [channels, outputs] = [source.channels / step.groups, target.channels / step.groups];
  const plane = target.height * target.width;
  for (let k = 0; k < target.channels; k += 1) {
    const [group, to] = [Math.floor(k / outputs), target.at + k * plane];
    floats.fill(floats[step.biasAt + k], to, to + plane);
    for (let c = 0; c < channels; c += 1) {
      const filter = step.weightAt + (k * channels + c) * kernelHeight * kernelWidth;
      let from = source.at + (group * channels + c) * source.height * source.width;
      for (let y = 0; y < source.height; y += 1) {
        for (let x = 0; x < source.width; x += 1, from += 1) {
          const value = floats[from];
          for (let i = 0; i < kernelHeight; i += 1) {
            const row = y * strideY + i * dilationY - top;
            if (row < 0 || row >= target.height) continue;
            for (let j = 0; j < kernelWidth; j += 1) {
              const column = x * strideX + j * dilationX - left;
              if (column >= 0 && column < target.width) floats[to + row * target.width + column] += value * floats[filter + i * kernelWidth + j];
            }
          }
        }
      }
    }
    if (step.relu) for (let n = to; n < to + plane; n += 1) floats[n] = Math.max(0, floats[n]);
  }
}

// Max pooling, which remembers for `unpool` where in its channel each maximum was: the first, as torch has it.
function maxPool({ floats }, step, [source], target) {
  const [[kernelHeight, kernelWidth], [strideY, strideX], [top, left], [dilationY, dilationX]] = [step.kernel, step.stride, step.padding, step.dilation];
  const where = (step.where ??= new Int32Array(target.channels * target.height * target.width));
  const { height, width } = source;
  let to = 0;
  for (let c = 0; c < target.channels; c += 1) {
    const plane = source.at + c * height * width;
    for (let y = 0; y < target.height; y += 1) {
      for (let x = 0; x < target.width; x += 1, to += 1) {
        let best = -Infinity;
        let place = 0;
        for (let i = 0, row = y * strideY - top; i < kernelHeight; i += 1, row += dilationY) {
          if (row < 0 || row >= height) continue;
          for (let j = 0, column = x * strideX - left; j < kernelWidth; j += 1, column += dilationX) {
            const value = floats[plane + row * width + column];
            if (value > best && column >= 0 && column < width) {
              best = value;
              place = row * width + column;
            }
          }
        }
        floats[target.at + to] = best;
        where[to] = place;
      }
    }
  }
}

function unpool({ floats, steps }, step, [source], target) {
  const [plane, units] = [target.height * target.width, source.height * source.width];
  const { where } = steps[step.from[1] - 1];
  floats.fill(0, target.at, target.at + target.channels * plane);
  for (let n = 0; n < source.channels * units; n += 1) {
    floats[target.at + Math.floor(n / units) * plane + where[n]] = floats[source.at + n];
  }
}

// The cells that each output reads along one axis, and their weights: two of them (bilinear), or a window's (its mean).
function readers(step, size, output) {
  return Array.from({ length: output }, (_, n) => {
    if (step.op === "average") {
      const [first, last] = [Math.floor((n * size) / output), Math.ceil(((n + 1) * size) / output)];
      return Array.from({ length: last - first }, (_, k) => [first + k, 1 / (last - first)]);
    }
    const at = Math.max(0, ((n + 0.5) * size) / output - 0.5);
    const low = Math.min(size - 1, Math.floor(at));
    return [[low, 1 - (at - low)], [Math.min(size - 1, low + 1), at - low]];
  });
}

// Bilinear resizing and average pooling: both are a weighted sum along y of weighted sums along x.
function resampled({ floats }, step, [source], target) {
  const [rows, columns] = (step.readers ??= [readers(step, source.height, target.height), readers(step, source.width, target.width)]);
  let to = target.at;
  for (let c = 0; c < target.channels; c += 1) {
    for (const row of rows) {
      for (const column of columns) {
        let sum = 0;
        for (const [y, down] of row) for (const [x, across] of column) sum += down * across * floats[source.at + (c * source.height + y) * source.width + x];
        floats[to] = sum;
        to += 1;
      }
    }
  }
}

// Each value, or a share of it, into every cell that lies over it.
function nearest({ floats }, step, [source], target) {
  let to = target.at;
  for (let c = 0; c < target.channels; c += 1) {
    for (let y = 0; y < target.height; y += 1) {
      const row = source.at + (c * source.height + Math.floor((y * source.height) / target.height)) * source.width;
      for (let x = 0; x < target.width; x += 1, to += 1) floats[to] = (step.share ?? 1) * floats[row + Math.floor((x * source.width) / target.width)];
    }
  }
}

function softmax({ floats }, step, [source], target) {
  const plane = source.height * source.width;
  for (let n = 0; n < plane; n += 1) {
    let [most, sum] = [-Infinity, 0];
    for (let c = 0; c < source.channels; c += 1) most = Math.max(most, floats[source.at + c * plane + n]);
    for (let c = 0; c < source.channels; c += 1) sum += Math.exp(floats[source.at + c * plane + n] - most);
    for (let c = 0; c < source.channels; c += 1) floats[target.at + c * plane + n] = Math.exp(floats[source.at + c * plane + n] - most) / sum;
  }
}

const lengthOf = ({ channels, height, width }) => channels * height * width;

// One step: reads its maps and fills another. Of a sum, or of maps laid side by side, those in `step.zero` count as zeros.
function operate(network, step, sources, target) {
  const { floats } = network;
  const [op, length] = [step.op, lengthOf(target)];
  const kept = (n) => Number(!step.zero?.includes(n));
  if (op === "conv") convolution(network, step, sources, target);
  else if (op === "transposed") (step.apart ? apart : step.border ? spread : transposed)(network, step, sources, target);
  else if (op === "max_pool") maxPool(network, step, sources, target);
  else if (op === "unpool") unpool(network, step, sources, target);
  else if (op === "resize" || op === "average") resampled(network, step, sources, target);
  else if (op === "nearest") nearest(network, step, sources, target);
  else if (op === "softmax") softmax(network, step, sources, target);
  else if (op === "pad") placed(floats, sources[0], target, step.top, step.left, step.mode === "replicate");
  else if (op === "relu") for (let n = 0; n < length; n += 1) floats[target.at + n] = Math.max(0, floats[sources[0].at + n]);
  else if (op === "add") {
    const [a, b] = [kept(0), kept(1)];
    for (let n = 0; n < length; n += 1) floats[target.at + n] = a * floats[sources[0].at + n] + b * floats[sources[1].at + n];
  } else if (op === "concatenate") {
    let to = target.at;
    sources.forEach((source, n) => {
      if (kept(n)) floats.copyWithin(to, source.at, source.at + lengthOf(source));
      else floats.fill(0, to, to + lengthOf(source));
      to += lengthOf(source);
    });
  } else throw new Error(`expected a step that this page can do, got "${op}"; build the page again`);
}

// Whether the filters of a transposed convolution lie side by side and fill its map.
const isApart = (step, source) => step.op === "transposed" && step.groups === 1 && [0, 1].every((axis) => step.kernel[axis] === step.stride[axis] &&
  step.dilation[axis] === 1 && step.padding[axis] === 0 && step.shape[1 + axis] === step.stride[axis] * [source.height, source.width][axis]);

// Height and width of the map with its border, or with zeros between its values, that a step makes first; null if it makes none.
function borderOf(step, source) {
  const [, ...out] = step.shape;
  if (step.op === "conv") return step.padding[0] || step.padding[1] ? [source.height + 2 * step.padding[0], source.width + 2 * step.padding[1]] : null;
  if (isApart(step, source)) return null;
  const small = step.stride[0] * step.stride[1] <= 16 && step.each < 4096;
  return small ? out.map((size, axis) => size + step.dilation[axis] * (step.kernel[axis] - 1)) : null;
}

// Weights that a file holds too few of belong to another network.
function assertWeights(steps, bytes, kind) {
  const ends = steps.flatMap((step) => [step.weight + bytesOf(kind, step.shape[0] * step.each), step.bias + 4 * step.shape[0]]);
  const needed = Math.max(0, ...ends);
  if (needed > bytes.length) throw new Error(`expected ${needed} bytes of weights or more, got ${bytes.length}: they do not belong to these steps`);
}

// A described network, ready to run: its maps, what they hold, and `run(image)`, which gives the outputs by name. `edits`
// change steps by their name: { cat: { zero: [0] }, "aspp.convs.1.0": { dilation: [2, 2], padding: [2, 2] } }.
export function prepare(described, bytes, kernels, edits = {}) {
  const ROOM = 64; // floats behind a map that the kernel may read, four columns at a time
  let count = 0;
  const reserve = (length) => {
    const at = count;
    count += Math.ceil((length + ROOM) / 4) * 4;
    return at;
  };
  const map = ([channels, height, width]) => ({ channels, height, width, at: reserve(channels * height * width) });
  const steps = described.steps.map((step) => ({ ...step, ...edits[step.name] }));
  const maps = [described.image, ...steps.map((step) => step.shape)].map(map);
  const weighted = steps.filter((step) => "weight" in step);
  for (const step of weighted) {
    const [outputs, source] = [step.shape[0], maps[step.from[0]]];
    step.each = (source.channels / step.groups) * step.kernel[0] * step.kernel[1];
    [step.weightAt, step.biasAt] = [reserve(outputs * step.each), reserve(outputs)];
    const size = borderOf(step, source);
    if (size) step.border = { height: size[0], width: size[1], at: reserve(source.channels * size[0] * size[1]) };
    if (!isApart(step, source)) continue;
    const taken = outputs * step.stride[0] * step.stride[1];
    step.apart = { outputs: taken, weightAt: reserve(taken * source.channels), biasAt: reserve(taken), at: reserve(taken * source.height * source.width) };
  }
  assertWeights(weighted, bytes, described.kind);
  const { floats, convolve, kernel } = machine(count, kernels);
  const network = { maps, steps, floats, convolve, kernel, run };
  for (const step of weighted) {
    const [outputs, size] = [step.shape[0], step.kernel[0] * step.kernel[1]];
    const weight = floatsAt(bytes, step.weight, outputs * step.each, described.kind);
    const scale = "scale" in step ? floatsAt(bytes, step.scale, outputs, "float32") : null;
    if (scale) for (let n = 0; n < weight.length; n += 1) weight[n] *= scale[Math.floor(n / step.each)];
    if (step.op === "transposed" && step.border) for (let n = 0; n < weight.length; n += size) weight.subarray(n, n + size).reverse();
    floats.set(weight, step.weightAt);
    floats.set(floatsAt(bytes, step.bias, outputs, "float32"), step.biasAt);
    if (step.apart) layApart(network, step, maps[step.from[0]]);
  }
  function run(image) {
    floats.set(image, maps[0].at);
    steps.forEach((step, n) => operate(network, step, step.from.map((number) => maps[number]), maps[n + 1]));
    const copy = (number) => floats.slice(maps[number].at, maps[number].at + lengthOf(maps[number]));
    return Object.fromEntries(Object.entries(described.outputs).map(([name, number]) => [name, copy(number)]));
  }
  return network;
}

// The taps of a step's kernel along one axis that reach a unit of its output: [tap, the unit that it reads].
function tapsAt(step, axis, at, size) {
  const taps = Array.from({ length: step.kernel[axis] }, (_, tap) => tap);
  const [stride, padding, dilation] = [step.stride[axis], step.padding[axis], step.dilation[axis]];
  if (step.op !== "transposed") return taps.map((tap) => [tap, at * stride - padding + tap * dilation]);
  return taps.map((tap) => [tap, (at + padding - tap * dilation) / stride]).filter(([, n]) => Number.isInteger(n) && n >= 0 && n < size).reverse();
}

// How one number of a weighted step came about: of the input channel `input` what lies in the window, null where that is
// padding, and the weights; of all channels what their products add up to.
function convolvedOf({ floats, maps, steps }, number, channel, [x, y], input) {
  const [step, target] = [steps[number - 1], maps[number]];
  const source = maps[step.from[0]];
  const [each, taps] = [source.channels / step.groups, step.kernel[0] * step.kernel[1]];
  const first = Math.floor((channel * step.groups) / target.channels) * each; // of the channels that this group reads
  const turned = step.op === "transposed" && step.border; // its filters lie turned around
  const [rows, columns] = [tapsAt(step, 0, y, source.height), tapsAt(step, 1, x, source.width)];
  const inside = (row, column) => row >= 0 && row < source.height && column >= 0 && column < source.width;
  const grid = (read) => rows.map(([i, row]) => columns.map(([j, column]) => read(i * step.kernel[1] + j, row, column)));
  const values = (c) => grid((_, row, column) => (inside(row, column) ? floats[source.at + ((first + c) * source.height + row) * source.width + column] : null));
  const weights = (c) => grid((tap) => floats[step.weightAt + channel * step.each + c * taps + (turned ? taps - 1 - tap : tap)]);
  const sums = Array.from({ length: each }, (_, c) => {
    const [read, by] = [values(c).flat(), weights(c).flat()];
    return read.reduce((sum, value, n) => sum + (value ?? 0) * by[n], 0);
  });
  const places = grid((_, row, column) => [column, row]).flat();
  return { values: values(input), weights: weights(input), sums, bias: floats[step.biasAt + channel], relu: step.relu, first, places };
}

// The same of any other step: what it reads, with its weights where it adds.
function madeOf(network, number, channel, [x, y], input) {
  const { floats, maps, steps } = network;
  const [step, target] = [steps[number - 1], maps[number]];
  const value = floats[target.at + (channel * target.height + y) * target.width + x];
  if ("weight" in step) return { value, ...convolvedOf(network, number, channel, [x, y], input) };
  const sources = step.from.map((each) => maps[each]);
  const read = ({ at, height, width }, c, row, column) =>
    (row >= 0 && row < height && column >= 0 && column < width ? floats[at + (c * height + row) * width + column] : null);
  const [source] = sources;
  if (step.op === "max_pool") {
    const [rows, columns] = [tapsAt(step, 0, y, source.height), tapsAt(step, 1, x, source.width)];
    return { value, values: rows.map(([, row]) => columns.map(([, column]) => read(source, channel, row, column))) };
  }
  if (step.op === "resize" || step.op === "average") {
    const [rows, columns] = [step.readers[0][y], step.readers[1][x]];
    const grid = (cell) => rows.map((row) => columns.map((column) => cell(row, column)));
    const [values, weights] = [grid(([row], [column]) => read(source, channel, row, column)), grid(([, down], [, across]) => down * across)];
    return { value, values, weights, sums: [value], bias: 0 };
  }
  if (step.op === "add") {
    const weights = sources.map((_, n) => Number(!step.zero?.includes(n)));
    return { value, values: [sources.map((each) => read(each, channel, y, x))], weights: [weights], sums: [value], bias: 0 };
  }
  return { value }; // carried over as it is
}

// What a reader asks to see of a network that has just run: one channel of a map, and how one of its numbers came about.
export function insideOf(network, { map, channel, unit, input }) {
  const { at, height, width } = network.maps[map];
  const values = network.floats.slice(at + channel * height * width, at + (channel + 1) * height * width);
  return { values, height, width, made: unit ? madeOf(network, map, channel, unit, input) : null };
}

// The answer of all networks to an image, or to the last one: their outputs, the milliseconds that each took, and what the
// reader asks to see of one. `held` keeps what is ready; of each network as it was edited last.
function answerOf(held, given, { image, edits = {}, inside = null }) {
  held.image = image ?? held.image;
  for (const [name, ...parts] of given) {
    const asked = JSON.stringify(edits[name] ?? {});
    const changed = held[name]?.asked !== asked;
    if (changed) held[name] = { asked, network: prepare(...parts, edits[name]) };
    if (!image && !changed) continue;
    const begin = performance.now();
    Object.assign(held[name], { outputs: held[name].network.run(held.image), time: performance.now() - begin });
  }
  const of = (what) => given.map(([name]) => [name, held[name][what]]);
  return { outputs: Object.assign({}, ...of("outputs").map(([, each]) => each)), times: Object.fromEntries(of("time")),
    inside: inside && { ...insideOf(held[inside.network].network, inside), asked: inside } };
}

// --- In the page ---

const WORKERS = Object.fromEntries([floatsAt, convolveTwin, machine, placed, convolved, convolution, apart, layApart, spread, transposed, maxPool, unpool, nearest, readers, resampled, softmax, operate,
  borderOf, assertWeights, prepare, tapsAt, convolvedOf, madeOf, insideOf].map((each) => [each.name, each]));

export const loadNetwork = (described, plain = false, edits = {}) =>
  prepare(described, unpackBytes(described.weights), plain ? null : unpackBytes(KERNELS), edits);

// Runs networks, given by name, beside the page. `ask(image, about, { edits, inside })` is answered by
// `answered({ outputs, times, inside }, about)`; of what is asked while it computes, only the last is looked at. What cannot
// be run is said by `failed(words)`. Where no worker may be made, the page computes by itself, between two frames. What does
// more with the networks than to run them brings its `functions`, by name, of which one gives the `answer`. `root`, the
// widget's element, has `data-busy` from a question to its answer: whoever waits for the picture can see that it is not there.
export function networkWorker(described, answered, failed, { root, functions = {}, answer = "answerOf" } = {}) {
  const given = Object.entries(described).map(([name, each]) => [name, each, unpackBytes(each.weights), unpackBytes(KERNELS)]);
  let [now, waiting, stopped, last] = [null, null, false, null];
  const worker = openWorker(given, { ...WORKERS, bytesOf, lengthOf, isApart, answerOf, ...functions }, answer, (found) => {
    const { about } = now;
    now = null;
    if (stopped) return;
    if (found.error) failed(found.error);
    else answered(found, about);
    if (waiting) ask(waiting.image, waiting.about, waiting.more);
    else root?.removeAttribute("data-busy");
  });
  function ask(image, about, more = {}) {
    if (now) {
      waiting = { image, about, more };
      return;
    }
    [now, waiting] = [{ about }, null];
    root?.setAttribute("data-busy", "");
    worker.post({ image: image === last ? null : image, ...more });
    last = image;
  }
  return { ask, inWorker: worker.inWorker, stop: () => { stopped = true; worker.stop(); } };
}
