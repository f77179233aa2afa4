// The scenes of `segcore.data.scenes` in the page: the same rays, the same light, so that truth is known while the reader
// moves things. A world is { camera: [height, cosine, sine], wall, lamp: [x, y, z], room: [floor, wallpaper], objects }, an
// object { kind: 1 sphere, 2 box, 3 cylinder; centre, half: [x, y, z]; turn: [cosine, sine]; surface }; a surface is two
// colours, gloss, two waves and their phases. See `_world.py` and `_raycast.py`, whose names these are.

export const [SPHERE, BOX, CYLINDER] = [1, 2, 3];

const [SOFTNESS, REACH] = [0.12, 30];
const neverZero = (x) => (Math.abs(x) < 1e-9 ? 1e-9 : x);
const clip = (x) => (x < 0 ? 0 : x > 1 ? 1 : x);

// What follows is done for each of ten thousand pixels: plain numbers, and results in arrays that are made once.
const span = new Float64Array(2); // where a ray enters and leaves an object
const spot = new Float64Array(6); // a point in an object's axes, and the normal there in the world's
const light = new Float64Array(2); // diffuse and mirrored

// Narrow the span to where the ray from o in direction d is between -half and half.
function slab(o, d, half) {
  const inverse = 1 / neverZero(d);
  const [middle, reach] = [-o * inverse, half * Math.abs(inverse)];
  if (middle - reach > span[0]) span[0] = middle - reach;
  if (middle + reach < span[1]) span[1] = middle + reach;
}

// Whether the ray from o in direction d meets an object; where is in `span`.
function cut({ kind, centre, half, turn }, x, y, z, dx, dy, dz) {
  const [ox, oy, oz] = [x - centre[0], y - centre[1], z - centre[2]];
  span[0] = -Infinity;
  span[1] = Infinity;
  if (kind === BOX) {
    const [cosine, sine] = [turn[0], turn[1]];
    slab(cosine * ox + sine * oz, cosine * dx + sine * dz, half[0]);
    slab(cosine * oz - sine * ox, cosine * dz - sine * dx, half[2]);
  } else {
    const upright = kind === SPHERE ? 1 : 0;
    const square = Math.max(1e-12, dx * dx + upright * dy * dy + dz * dz);
    const middle = -(ox * dx + upright * oy * dy + oz * dz) / square;
    const [px, py, pz] = [ox + middle * dx, upright * (oy + middle * dy), oz + middle * dz];
    const left = (half[0] * half[0] - px * px - py * py - pz * pz) / square;
    if (left <= 0) return false;
    const root = Math.sqrt(left);
    span[0] = middle - root;
    span[1] = middle + root;
  }
  if (kind !== SPHERE) slab(oy, dy, half[1]);
  return span[0] < span[1];
}

// A point of an object's surface, and its normal, into `spot`.
function surfaceAt({ kind, centre, half, turn }, px, py, pz) {
  const [cosine, sine] = [turn[0], turn[1]];
  const [tx, ty, tz] = [px - centre[0], py - centre[1], pz - centre[2]];
  const [qx, qz] = [cosine * tx + sine * tz, cosine * tz - sine * tx];
  const [x, y, z] = [Math.abs(qx) / half[0], Math.abs(ty) / half[1], Math.abs(qz) / half[2]];
  const around = Math.max(1e-9, Math.sqrt(qx * qx + qz * qz));
  let [nx, ny, nz] = [0, 0, 0];
  if (kind === SPHERE) {
    const radius = Math.max(1e-9, Math.sqrt(qx * qx + ty * ty + qz * qz));
    [nx, ny, nz] = [qx / radius, ty / radius, qz / radius];
  } else if (y > (kind === CYLINDER ? around / half[0] : Math.max(x, z))) ny = Math.sign(ty);
  else if (kind === CYLINDER) [nx, nz] = [qx / around, qz / around];
  else if (x >= z) nx = Math.sign(qx);
  else nz = Math.sign(qz);
  [spot[0], spot[1], spot[2]] = [qx, ty, qz];
  [spot[3], spot[4], spot[5]] = [cosine * nx - sine * nz, ny, cosine * nz + sine * nx];
}

const wave = (x) => Math.abs((x - Math.floor(x)) * 2 - 1) * 2 - 1;

// How much of a surface's second colour shows at a point.
function mixAt(s, x, y, z) {
  const first = wave(s[7] * x + s[8] * y + s[9] * z + s[13]);
  return clip(0.5 + 2.5 * first * wave(s[10] * x + s[11] * y + s[12] * z + s[14]));
}

// The lamp's light at p, where a ray in direction d has met object `own` (or none) with normal n, dimmed by the length of its
// way inside other objects; into `light`.
function lightAt({ lamp, objects }, own, px, py, pz, dx, dy, dz, nx, ny, nz) {
  const [tx, ty, tz] = [lamp[0] - px, lamp[1] - py, lamp[2] - pz];
  const square = tx * tx + ty * ty + tz * tz;
  const distance = Math.sqrt(square);
  const lit = Math.max(0, (nx * tx + ny * ty + nz * tz) / distance);
  light[0] = 0;
  light[1] = 0;
  if (lit === 0) return;
  let inside = 0;
  for (let m = 0; m < objects.length; m += 1) { // an object is convex: its normal says whether it shades itself
    if (m !== own && cut(objects[m], px, py, pz, tx, ty, tz)) inside += Math.max(0, Math.min(1, span[1]) - Math.max(0, span[0]));
  }
  const thickness = (inside * distance) / SOFTNESS;
  const power = 1.25 / ((1 + square / REACH) * (1 + 3 * thickness * thickness));
  const back = Math.sqrt(dx * dx + dy * dy + dz * dz);
  const [hx, hy, hz] = [tx / distance - dx / back, ty / distance - dy / back, tz / distance - dz / back];
  const cosine = Math.max(0, (nx * hx + ny * hy + nz * hz) / Math.max(1e-6, Math.sqrt(hx * hx + hy * hy + hz * hz)));
  light[0] = power * lit;
  light[1] = power * cosine ** 32;
}

// What one pixel shows, into the maps of `out` at n: the ray is d, in the world's axes.
function renderPixel(world, out, n, dx, dy, dz) {
  const [camera, cosine, sine] = world.camera;
  const { objects } = world;
  const plane = out.height * out.width;
  let depth = camera / Math.max(1e-9, dy);
  let own = -2; // -2 floor, -1 wall, else the number of the object
  if (world.wall / dz < depth) [depth, own] = [world.wall / dz, -1];
  for (let m = 0; m < objects.length; m += 1) {
    if (cut(objects[m], 0, -camera, 0, dx, dy, dz) && span[0] < depth) [depth, own] = [span[0], m];
  }
  const [px, py, pz] = [depth * dx, depth * dy - camera, depth * dz];
  if (own >= 0) surfaceAt(objects[own], px, py, pz);
  else [spot[0], spot[1], spot[2], spot[3], spot[4], spot[5]] = [px, py, pz, 0, own + 1, -own - 2];
  const [nx, ny, nz] = [spot[3], spot[4], spot[5]];
  const surface = own >= 0 ? objects[own].surface : world.room[own + 2];
  const mix = mixAt(surface, spot[0], spot[1], spot[2]);
  lightAt(world, own, px, py, pz, dx, dy, dz, nx, ny, nz);
  const [diffuse, gleam] = [0.34 - 0.1 * ny + light[0], light[1] * surface[6]];
  for (let c = 0; c < 3; c += 1) {
    const colour = surface[c] + (surface[c + 3] - surface[c]) * mix;
    out.image[c * plane + n] = Math.sqrt(clip(colour * colour * diffuse + gleam));
  }
  out.labels[n] = own >= 0 ? objects[own].kind : 0;
  out.instances[n] = Math.max(0, own + 1);
  out.depth[n] = depth;
  out.normals[n] = nx;
  out.normals[plane + n] = cosine * ny - sine * nz;
  out.normals[2 * plane + n] = sine * ny + cosine * nz;
}

// Render a world: image (3, H, W) in [0, 1], labels, instances (0 where there is no object, else 1, 2, ...), depth, and
// normals (3, H, W) in the camera's axes.
export function renderScene(world, height, width) {
  const plane = height * width;
  const out = { height, width, image: new Float32Array(3 * plane), normals: new Float32Array(3 * plane),
    depth: new Float32Array(plane), labels: new Uint8Array(plane), instances: new Uint8Array(plane) };
  const focal = 1.1 * Math.max(height, width);
  const [, cosine, sine] = world.camera;
  for (let n = 0, y = 0; y < height; y += 1) {
    const down = (y + 0.5 - height / 2) / focal;
    for (let x = 0; x < width; x += 1, n += 1) {
      renderPixel(world, out, n, (x + 0.5 - width / 2) / focal, cosine * down + sine, cosine - sine * down);
    }
  }
  return out;
}

// All that renders a scene, by name, for a worker.
export const WORLD = { SPHERE, BOX, CYLINDER, SOFTNESS, REACH, neverZero, clip, span, spot, light, slab, cut, surfaceAt, wave, mixAt, lightAt, renderPixel,
  renderScene };

// Where a pixel's ray meets the floor, or a level `lift` metres above it: [x, z], or null above the horizon.
export function floorUnder(world, x, y, height, width, lift = 0) {
  const [camera, cosine, sine] = world.camera;
  const focal = 1.1 * Math.max(height, width);
  const [right, down] = [(x - width / 2) / focal, (y - height / 2) / focal];
  const fall = cosine * down + sine;
  const far = (camera - lift) / fall;
  return fall > 1e-6 && far > 0 ? [far * right, far * (cosine - sine * down)] : null;
}

// A surface in another hue (0 to 1 around the circle): each of its two colours keeps how pale and how bright it is.
export function inHue(surface, hue) {
  const painted = (rgb) => {
    const [most, least] = [Math.max(...rgb), Math.min(...rgb)];
    const pure = [0, 4, 2].map((offset) => {
      const sixth = (((hue * 6 + offset) % 6) + 6) % 6;
      return Math.min(1, Math.max(0, Math.abs(sixth - 3) - 1));
    });
    return pure.map((part) => most - (most - least) * (1 - part));
  };
  return [...painted(surface.slice(0, 3)), ...painted(surface.slice(3, 6)), ...surface.slice(6)];
}
