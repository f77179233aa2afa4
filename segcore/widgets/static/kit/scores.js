// Scores of a prediction against a truth, checked against `segcore.metrics`. A label map is a list of classes, row by row; 255 in
// the truth is ignored. A matrix is a list of count * count numbers, its rows are truth. A score of nothing is NaN and is left
// out of means.

export const IGNORE = 255;

export function confusionMatrix(prediction, truth, count) {
  const matrix = new Array(count * count).fill(0);
  for (let n = 0; n < truth.length; n++) {
    if (truth[n] !== IGNORE) matrix[truth[n] * count + prediction[n]] += 1;
  }
  return matrix;
}

// Of each class: the pixels right, those of the truth and those predicted.
export function classCounts(matrix, count) {
  return Array.from({ length: count }, (_, k) => {
    let [truth, predicted] = [0, 0];
    for (let other = 0; other < count; other++) {
      truth += matrix[k * count + other];
      predicted += matrix[other * count + k];
    }
    return { right: matrix[k * count + k], truth, predicted };
  });
}

export const iou = ({ right, truth, predicted }) => right / (truth + predicted - right);

// The mean of what can be counted.
export function nanMean(values) {
  const counted = values.filter((value) => !Number.isNaN(value));
  return counted.reduce((sum, value) => sum + value, 0) / counted.length;
}

// Mean IoU over the classes, of `count`, that are there or are predicted.
export const meanIou = (labels, truth, count = 4) => nanMean(classCounts(confusionMatrix(labels, truth, count), count).map(iou));

// Pixels with a counted neighbour of another class, up, down, left or right. The border of the image makes none.
export function boundaryPixels(labels, truth, { height, width }) {
  const edge = new Array(labels.length).fill(false);
  const compare = (a, b) => {
    if (labels[a] === labels[b] || truth[a] === IGNORE || truth[b] === IGNORE) return;
    edge[a] = edge[b] = true;
  };
  for (let n = 0; n < labels.length; n++) {
    if (n % width < width - 1) compare(n, n + 1);
    if (n < width * (height - 1)) compare(n, n + width);
  }
  return edge;
}

// Of each class: its boundary pixels in both maps, those that have the other's within the tolerance, and what follows.
export function boundaryF1(prediction, truth, { height, width, count, tolerance }) {
  const offsets = [];
  const reach = Math.floor(tolerance);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) if (dx * dx + dy * dy <= tolerance * tolerance) offsets.push([dx, dy]);
  }
  offsets.sort(([a, b], [c, d]) => a * a + b * b - c * c - d * d); // most are found near by
  const edges = [prediction, truth].map((labels) => boundaryPixels(labels, truth, { height, width }));
  return Array.from({ length: count }, (_, k) => {
    const [found, wanted] = [prediction, truth].map((labels, which) => edges[which].map((edge, n) => edge && labels[n] === k));
    const near = (others) => (n) => offsets.some(([dx, dy]) => {
      const [x, y] = [(n % width) + dx, Math.floor(n / width) + dy];
      return x >= 0 && y >= 0 && x < width && y < height && others[y * width + x];
    });
    const indices = (mask) => mask.flatMap((edge, n) => (edge ? [n] : []));
    const [predicted, real] = [indices(found), indices(wanted)];
    const [precise, recalled] = [predicted.filter(near(wanted)), real.filter(near(found))];
    const [precision, recall] = [precise.length / predicted.length, recalled.length / real.length];
    const harmonic = precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0;
    const f1 = predicted.length + real.length === 0 ? NaN : harmonic;
    return { f1, precision, recall, predicted, truth: real, precise, recalled };
  });
}

// How many pixels each segment shares with each region of the truth: a row for each segment.
export function overlaps(labels, truth) {
  const counted = (map) => {
    let most = 0;
    for (let n = 0; n < map.length; n++) if (map[n] > most) most = map[n];
    return most + 1;
  };
  const [segments, regions] = [counted(labels), counted(truth)];
  const shared = new Uint32Array(segments * regions);
  for (let n = 0; n < labels.length; n++) shared[labels[n] * regions + truth[n]] += 1;
  return Array.from({ length: segments }, (_, label) => shared.subarray(label * regions, (label + 1) * regions));
}
