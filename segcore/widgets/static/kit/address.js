// A figure's state in the page's address: `#slug:trait=value;trait=value`. Values are JSON; words need no quotes and
// lists no brackets. Where a page holds the same widget again, it is `slug.2`.

export const addressName = (slug, place) => (place > 1 ? `${slug}.${place}` : slug);

// A value as written, read as what the trait holds now.
function readValue(text, now) {
  if (typeof now === "string") return text.replace(/^"(.*)"$/, "$1");
  for (const form of Array.isArray(now) ? (text.startsWith("[") ? [text, `[${text}]`] : [`[${text}]`]) : [text]) {
    try {
      return JSON.parse(form);
    } catch {
      // perhaps with brackets around it
    }
  }
  return undefined;
}

const kindOf = (value) => (Array.isArray(value) ? "list" : value === null ? "nothing" : typeof value);

// What an address asks of the figure `name`: null if it does not speak to it, else the values and what could not be read.
export function parseAddress(hash, name, state) {
  let text = hash.replace(/^#/, "");
  try {
    text = decodeURIComponent(text);
  } catch {
    return null;
  }
  if (text !== name && !text.startsWith(`${name}:`)) return null;
  const [values, problems] = [{}, []];
  for (const part of text.slice(name.length + 1).split(";").filter(Boolean)) {
    const [trait, written] = [part.split("=", 1)[0].trim(), part.slice(part.indexOf("=") + 1).trim()];
    if (!part.includes("=") || !Object.hasOwn(state, trait)) {
      problems.push(`this figure has no \u201c${trait}\u201d`);
      continue;
    }
    const value = readValue(written, state[trait]);
    if (value === undefined || kindOf(value) !== kindOf(state[trait])) problems.push(`${trait} cannot be \u201c${written}\u201d`);
    else values[trait] = value;
  }
  return { values, problems };
}

function writeValue(value) {
  if (typeof value === "string") return value;
  const text = JSON.stringify(value);
  const flat = Array.isArray(value) && value.length > 0 && value.every((part) => typeof part !== "object" && typeof part !== "string");
  return flat ? text.slice(1, -1) : text;
}

// The address of a state: what differs from `start` alone; "" where nothing does. An empty word stands for what no
// address can say, such as a picture that was painted.
export function formatAddress(name, state, start) {
  const parts = Object.keys(state)
    .filter((trait) => state[trait] !== "" && JSON.stringify(state[trait]) !== JSON.stringify(start[trait]))
    .map((trait) => `${trait}=${writeValue(state[trait])}`);
  return parts.length ? `#${name}:${encodeURI(parts.join(";")).replaceAll("#", "%23")}` : "";
}

// Keep a figure of a static page and the address together, both ways. In a notebook a figure has no place, and no address.
export function followAddress(figure) {
  const { place } = figure.model;
  if (!place) return () => {};
  const name = addressName(figure.spec.slug, place);
  const start = { ...figure.state };
  let written = null;
  let timer = 0;
  const read = () => {
    const asked = location.hash === written ? null : parseAddress(location.hash, name, figure.state);
    if (!asked) return false;
    const { accepted, problems } = figure.sift(asked.values, start);
    figure.set({ ...start, ...accepted });
    const told = [...asked.problems, ...problems];
    figure.notice(told.length ? `The address asks for what this figure cannot show: ${told.join("; ")}. The rest is as asked.` : "");
    return true;
  };
  const onHash = () => {
    if (read()) figure.root.scrollIntoView({ block: "nearest" });
  };
  const write = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const shared = Object.fromEntries(Object.keys(start).filter((trait) => figure.spec.traits[trait] !== null).map((trait) =>
        [trait, figure.state[trait]]));
      const next = figure.spec.nameless?.(figure.state) ? "" : formatAddress(name, shared, start);
      const mine = parseAddress(location.hash, name, figure.state) !== null;
      if ((!next && !mine) || next === location.hash) return;
      written = next;
      history.replaceState(history.state, "", next || location.href.split("#")[0]);
    }, 400);
  };
  figure.onState = write;
  addEventListener("hashchange", onHash);
  if (read()) requestAnimationFrame(() => figure.root.scrollIntoView({ block: "start" }));
  return () => {
    clearTimeout(timer);
    removeEventListener("hashchange", onHash);
  };
}
