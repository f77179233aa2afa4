// The minimum cut of a picture's grid: Boykov and Kolmogorov's maximum flow, two trees that grow towards each other.
// Each pixel has eight neighbours. Of a pair the half that comes first owns its edge: right, down, down right, down left.

const FORWARD = 4;
const NONE = -1;
const TERMINAL = 8;
const ORPHAN = 9;
const [FREE, SOURCE, SINK] = [0, 1, 2];

// Steps to the eight neighbours; the four that come back are the first four turned round: opposite(d) = d ^ 4.
export const STEPS = [[1, 0], [0, 1], [1, 1], [-1, 1], [-1, 0], [0, -1], [-1, -1], [1, -1]];

// Everything that the search needs, and no flow yet. `edges`: four maps, what it costs to part a pixel from its neighbour.
// Beyond the picture's border, and from its right side to the left, nothing can flow: those capacities stay 0.
export function openCut({ edges, height, width }) {
  const size = height * width;
  const graph = {
    size, steps: STEPS.map(([dx, dy]) => dy * width + dx),
    terminals: new Float64Array(size), rest: new Float64Array(size), capacity: new Float64Array(8 * size),
    tree: new Uint8Array(size), parent: new Int8Array(size),
    distance: new Int32Array(size), stamp: new Int32Array(size), time: 0,
    active: new Int32Array(size + 1), waiting: new Uint8Array(size), head: 0, tail: 0, orphans: [],
  };
  for (let d = 0; d < FORWARD; d++) {
    const [dx, dy] = STEPS[d];
    for (let y = 0; y < height - dy; y++) {
      for (let x = Math.max(0, -dx); x < width - Math.max(0, dx); x++) {
        const n = y * width + x;
        graph.capacity[8 * n + d] = edges[d][n];
        graph.capacity[8 * (n + graph.steps[d]) + (d ^ 4)] = edges[d][n];
      }
    }
  }
  return graph;
}

// Plant the trees for these terminals: what more it costs to leave a pixel to the sink than to the source, so positive pixels
// lean to the source. The flow of the last cut stays; what has changed of a terminal is added to what is left of it.
function plant(graph, terminals) {
  const { rest, tree, parent, distance, size } = graph;
  tree.fill(FREE);
  parent.fill(NONE);
  graph.stamp.fill(0);
  graph.waiting.fill(0);
  graph.time = graph.head = graph.tail = 0;
  for (let n = 0; n < size; n++) {
    rest[n] += terminals[n] - graph.terminals[n];
    graph.terminals[n] = terminals[n];
    if (!rest[n]) continue;
    tree[n] = rest[n] > 0 ? SOURCE : SINK;
    parent[n] = TERMINAL;
    distance[n] = 1;
    wake(graph, n);
  }
}

function wake(graph, n) {
  if (graph.waiting[n]) return;
  graph.waiting[n] = 1;
  graph.active[graph.tail] = n;
  graph.tail = graph.tail + 1 === graph.active.length ? 0 : graph.tail + 1;
}

// Grow the trees until they meet: the pixel of the source's side and the step to the sink's; null when they cannot.
function grow(graph) {
  const { active, waiting, tree, parent, steps, capacity } = graph;
  while (graph.head !== graph.tail) {
    const n = active[graph.head];
    for (let d = 0; tree[n] !== FREE && d < 8; d++) {
      const m = n + steps[d];
      if (!((tree[n] === SOURCE ? capacity[8 * n + d] : capacity[8 * m + (d ^ 4)]) > 0)) continue;
      if (tree[m] === FREE) {
        tree[m] = tree[n];
        parent[m] = d ^ 4;
        graph.distance[m] = graph.distance[n] + 1;
        graph.stamp[m] = graph.stamp[n];
        wake(graph, m);
      } else if (tree[m] !== tree[n]) {
        return tree[n] === SOURCE ? [n, d] : [m, d ^ 4];
      } else if (graph.stamp[m] <= graph.stamp[n] && graph.distance[m] > graph.distance[n] + 1) {
        parent[m] = d ^ 4; // a shorter way to the root
        graph.distance[m] = graph.distance[n] + 1;
        graph.stamp[m] = graph.stamp[n];
      }
    }
    waiting[n] = 0;
    graph.head = graph.head + 1 === active.length ? 0 : graph.head + 1;
  }
  return null;
}

// Send flow over an edge; true if that fills it.
function send({ capacity, steps }, n, d, flow) {
  capacity[8 * n + d] -= flow;
  capacity[8 * (n + steps[d]) + (d ^ 4)] += flow;
  return capacity[8 * n + d] <= 0;
}

function orphan(graph, n) {
  graph.parent[n] = ORPHAN;
  graph.orphans.push(n);
}

// Send along the path through this edge what its narrowest place takes. Who loses its way to the root is an orphan.
function augment(graph, [from, step]) {
  const { capacity, parent, rest, steps } = graph;
  const to = from + steps[step];
  let flow = capacity[8 * from + step];
  let n = from;
  for (; parent[n] !== TERMINAL; n += steps[parent[n]]) flow = Math.min(flow, capacity[8 * (n + steps[parent[n]]) + (parent[n] ^ 4)]);
  flow = Math.min(flow, rest[n]);
  for (n = to; parent[n] !== TERMINAL; n += steps[parent[n]]) flow = Math.min(flow, capacity[8 * n + parent[n]]);
  flow = Math.min(flow, -rest[n]);

  send(graph, from, step, flow);
  for (n = from; parent[n] !== TERMINAL; ) {
    const above = n + steps[parent[n]];
    if (send(graph, above, parent[n] ^ 4, flow)) orphan(graph, n);
    n = above;
  }
  if (!(rest[n] -= flow)) orphan(graph, n);
  for (n = to; parent[n] !== TERMINAL; ) {
    const above = n + steps[parent[n]];
    if (send(graph, n, parent[n], flow)) orphan(graph, n);
    n = above;
  }
  if (!(rest[n] += flow)) orphan(graph, n);
  return flow;
}

// How far a pixel is from its root, or Infinity if an orphan stands in the way; marks the way as seen at this time.
function rootDistance(graph, start) {
  const { parent, steps, stamp, distance } = graph;
  let far = 0;
  let n = start;
  for (;;) {
    if (stamp[n] === graph.time) {
      far += distance[n];
      break;
    }
    far += 1;
    if (parent[n] === TERMINAL) {
      stamp[n] = graph.time;
      distance[n] = 1;
      break;
    }
    if (parent[n] === ORPHAN || parent[n] === NONE) return Infinity;
    n += steps[parent[n]];
  }
  for (let m = start, d = far; stamp[m] !== graph.time; m += steps[parent[m]]) {
    stamp[m] = graph.time;
    distance[m] = d--;
  }
  return far;
}

// Each orphan looks for a new parent in its tree, the nearest to the root; one that finds none is free, and its children
// are orphans.
function adopt(graph) {
  const { tree, parent, steps, orphans, capacity } = graph;
  for (let at = 0; at < orphans.length; at++) {
    const n = orphans[at];
    const mine = tree[n];
    let best = NONE;
    let least = Infinity;
    for (let d = 0; d < 8; d++) {
      const m = n + steps[d];
      if (tree[m] !== mine || !((mine === SOURCE ? capacity[8 * m + (d ^ 4)] : capacity[8 * n + d]) > 0)) continue;
      const far = rootDistance(graph, m);
      if (far < least) {
        least = far;
        best = d;
      }
    }
    if (best !== NONE) {
      parent[n] = best;
      graph.stamp[n] = graph.time;
      graph.distance[n] = least + 1;
      continue;
    }
    for (let d = 0; d < 8; d++) {
      const m = n + steps[d];
      if (tree[m] !== mine) continue;
      if ((mine === SOURCE ? capacity[8 * m + (d ^ 4)] : capacity[8 * n + d]) > 0) wake(graph, m);
      if (parent[m] === (d ^ 4)) orphan(graph, m);
    }
    tree[n] = FREE;
    parent[n] = NONE;
  }
  orphans.length = 0;
}

// The cheapest way to part the pixels: `side`, 1 where a pixel stays with the source, and the `flow` that this took beside
// what `terminals` say already. Where two cuts cost the same, the source keeps as few as it can. A graph that was cut before
// begins with that flow (Kohli and Torr, "Dynamic graph cuts for efficient inference in Markov random fields", 2007): little
// is left to do where little has changed.
export function cutAgain(graph, terminals) {
  plant(graph, terminals);
  let flow = 0;
  for (;;) {
    const meeting = grow(graph);
    if (!meeting) break;
    graph.time += 1;
    flow += augment(graph, meeting);
    adopt(graph);
  }
  return { side: graph.tree.map((tree) => (tree === SINK ? 0 : 1)), flow };
}

export const minimumCut = ({ terminals, ...grid }) => cutAgain(openCut(grid), terminals);

// What a worker needs to do the same.
export const CUT = { FORWARD, NONE, TERMINAL, ORPHAN, FREE, SOURCE, SINK, STEPS, openCut, plant, wake, grow, send, orphan, augment, rootDistance, adopt, cutAgain };
