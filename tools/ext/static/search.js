// Searches the course: looks each word up in `courseSearch` (search-index.js), ranks the pages, shows where it stands.
// A page of the index is { p: address, t: title, k: rank of its kind, s: sections, f: functions that it explains };
// a section [anchor, heading, text, code]; a function [name, first line of its docstring, number of the section].
"use strict";

const KINDS = ["Chapter", "Reference", "Lab"];
const [HEADING, TEXT, CODE] = [1, 2, 3];
const BOOK = document.title.replace(/^Search/, ""); // what stands behind each title
const NAMED = 30; // worth of a function's whole name
const SMALL = new Set("a an and are as at by for in is it of on or that the this to with".split(" "));
const ENDINGS = /(?:izations?|isations?|ations?|ators?|ings?|ions?|ers?|ed|es?|s|ly)$/;

/** The same text, as long as before, without capitals and accents. */
function folded(text) {
  return text.replace(/[\u00c0-\u024f]/g, (sign) => sign.normalize("NFD")[0]).toLowerCase();
}

/** What the forms of a word have in common: "rounding" and "rounds" give "round". */
function stem(word) {
  if (/[^a-z]/.test(word)) return word;
  const [ending] = word.match(ENDINGS) ?? [""];
  const rest = word.slice(0, word.length - ending.length);
  if (!ending || rest.length < 3 || (rest.length === 3 && ending.length > 2)) return word;
  return /^(?:ing|ed|er)/.test(ending) && /([bdgmnprt])\1$/.test(rest) ? rest.slice(0, -1) : rest;
}

/** The words of a query, each with two patterns: at the beginning of a word (`strong`), and anywhere (`weak`). */
function wordsOf(query) {
  const all = folded(query).match(/[\p{L}\p{N}_]+(?:[-\u2010-\u2015.][\p{L}\p{N}_]+)*/gu) ?? [];
  const words = all.some((word) => !SMALL.has(word)) ? all.filter((word) => !SMALL.has(word)) : all;
  return words.map((word) => {
    const parts = word.split(/[-\u2010-\u2015]/);
    parts.push(stem(parts.pop()));
    const letters = parts.map((part) => {
      const spelt = part.length > 4 ? part.replace(/ou?r/g, "ou?r").replace(/(?<=i)[sz](?=e?$|ed$|ing$)/, "[sz]") : part;
      const signs = spelt.match(/ou\?r|\[sz\]|\./g) ? [spelt.replace(/\./g, "\\.")] : [...part];
      return signs.join(part.length > 3 ? "[-\u2010-\u2015]?" : "");
    });
    const core = letters.join("[-\u2010-\u2015 ]?");
    const end = word.length > 2 ? "[\\p{L}\\p{N}]*" : "(?![\\p{L}\\p{N}])"; // two letters begin too many words
    return {
      word,
      core,
      strong: new RegExp(`(^|[^\\p{L}\\p{N}])(${core}${end})`, "gu"),
      weak: word.length > 3 ? new RegExp(`()(${core})`, "gu") : null,
    };
  });
}

/** Where a pattern stands in a folded text: [start, end] of each place, at most `limit`. */
function places(pattern, text, limit = 20) {
  const found = [];
  pattern.lastIndex = 0;
  for (let hit = pattern.exec(text); hit && found.length < limit; hit = pattern.exec(text)) {
    const start = hit.index + hit[1].length;
    found.push([start, start + hit[2].length]);
    pattern.lastIndex = start + Math.max(1, hit[2].length);
  }
  return found;
}

/** How well a section fits a word: headings above sentences, sentences above code. */
function fit(section, pattern) {
  const count = (column, most) => places(pattern, section[column], most).length;
  return 6 * Math.min(1, count(HEADING, 1)) + Math.log2(1 + count(TEXT, 15)) + 0.3 * Math.log2(1 + count(CODE, 7));
}

/** The words one after the other, with a small word or a sign between them; null for a single word. */
function phraseOf(words) {
  if (words.length < 2) return null;
  return new RegExp(`()(${words.map(({ core }) => core).join("\\p{L}*[^\\p{L}\\p{N}]{1,2}(?:(?:and|of|the|to|in)\\s)?")})`, "gu");
}

/** The functions that a page explains and the words name: with all of the name, or with its parts. */
function namedBy(page, words) {
  const whole = words.map(({ word }) => word).join("_");
  const named = [];
  for (const entry of page.f) {
    const name = folded(entry[0]);
    const parts = words.every(({ word }) => word.length > 2 && name.includes(word));
    if (name === whole || parts) named.push({ entry, score: name === whole ? NAMED : 8 });
  }
  return named.sort((a, b) => b.score - a.score);
}

/** How a page fits all words, or null if one is missing; `weak` looks inside words too. */
function judge(page, plain, words, weak) {
  const patterns = words.map((word) => (weak && word.weak) || word.strong);
  const title = patterns.map((pattern) => (places(pattern, folded(page.t), 1).length ? 10 : 0));
  const table = plain.map((section) => patterns.map((pattern) => fit(section, pattern)));
  const phrase = phraseOf(words);
  const together = (index) => (phrase ? fit(plain[index], phrase) : 0);
  const functions = namedBy(page, words);
  const held = patterns.map((_, i) => title[i] > 0 || table.some((row) => row[i] > 0));
  const sections = table
    .map((row, index) => ({ index, score: row.reduce((a, b) => a + b, 0) + (row.every((x) => x > 0) ? 2 + together(index) : 0) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || a.index - b.index);
  if (!functions.length && !held.every(Boolean)) return null;
  const rest = sections.slice(1).reduce((sum, { score }) => sum + score, 0);
  const score = title.reduce((a, b) => a + b, 0) + (functions[0]?.score ?? 0) + (sections[0]?.score ?? 0) + 0.2 * rest;
  return { page, sections, functions, patterns, score };
}

/** The pages that hold all words of a query: first what explains a function of that name, then chapters, reference, labs. */
function search(query, pages = globalThis.courseSearch) {
  const words = wordsOf(query);
  if (!words.length) return [];
  for (const page of pages) page.plain ??= page.s.map((section) => section.map(folded));
  const found = (weak) => pages.map((page) => judge(page, page.plain, words, weak)).filter(Boolean);
  const strong = found(false);
  const exact = ({ functions }) => Number(functions[0]?.score === NAMED);
  const order = (a, b) => exact(b) - exact(a) || a.page.k - b.page.k || b.score - a.score;
  const seen = new Set(strong.map(({ page }) => page));
  return [...strong.sort(order), ...found(true).filter(({ page }) => !seen.has(page)).sort(order)];
}

/** Some 200 letters of a section around the place where most of the words stand: [text, marks]. */
function excerpt(section, plain, patterns, size = 200) {
  const holds = (column) => patterns.some((pattern) => places(pattern, plain[column], 1).length);
  const column = !holds(TEXT) && holds(CODE) ? CODE : TEXT;
  const marks = patterns.flatMap((pattern, word) => places(pattern, plain[column]).map(([a, b]) => ({ a, b, word })));
  marks.sort((x, y) => x.a - y.a);
  const worth = (first) => new Set(marks.filter(({ a, b }) => a >= first && b < first + size * 0.8).map(({ word }) => word)).size;
  const best = marks.reduce((top, mark) => (top && worth(top.a) >= worth(mark.a) ? top : mark), null);
  const text = section[column];
  let start = Math.max(0, (best?.a ?? 0) - size * 0.3);
  const sentence = text.slice(start, best?.a ?? 0).search(/(?<=[.?!:]\s|\n)\S/);
  if (sentence >= 0) start += sentence;
  else if (start > 0) start = text.indexOf(" ", start) + 1;
  let end = Math.min(text.length, Math.max(start + size, best?.b ?? 0));
  if (end < text.length) end = Math.max(text.lastIndexOf(" ", end), best?.b ?? 0);
  const block = text.indexOf("\n", Math.max(start + size / 3, best?.b ?? 0)); // a paragraph is whole
  const whole = block >= 0 && block <= end;
  if (whole) end = block;
  const inside = marks.filter(({ a, b }) => a >= start && b <= end).map(({ a, b }) => [a - start, b - start]);
  const ends = [start > 0 && sentence < 0 ? "… " : "", end < text.length && !whole ? " …" : ""];
  return { text: text.slice(start, end), marks: inside, ends };
}

/** An element with text or elements in it. */
function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A text with its marks as `<mark>`. */
function marked({ text, marks, ends = ["", ""] }) {
  const parts = [ends[0]];
  let at = 0;
  for (const [a, b] of marks) {
    if (a < at) continue;
    parts.push(text.slice(at, a), element("mark", {}, text.slice(a, b)));
    at = b;
  }
  parts.push(text.slice(at), ends[1]);
  return parts;
}

/** A heading with the words marked in it. */
function markedIn(text, patterns) {
  const plain = folded(text);
  const marks = patterns.flatMap((pattern) => places(pattern, plain)).sort((x, y) => x[0] - y[0]);
  return marked({ text, marks });
}

/** One section of a page that was found: its heading, and the sentence. */
function sectionFound({ page, patterns }, index) {
  const [anchor, heading] = page.s[index];
  const item = element("li", {});
  const address = `${page.p}.html${anchor && index > 0 ? `#${anchor}` : ""}`;
  if (index > 0) item.append(element("a", { href: address, class: "search-section" }, ...markedIn(heading, patterns)));
  const words = marked(excerpt(page.s[index], page.plain[index], patterns));
  if (words.some((part) => part.nodeType || part.trim())) item.append(element("p", {}, ...words));
  return item;
}

/** A function of the library: its name, what it does, and where it is explained. */
function functionFound({ page }, [name, words, index]) {
  const anchor = index > 0 && page.s[index]?.[0] ? `#${page.s[index][0]}` : "";
  const link = element("a", { href: `${page.p}.html${anchor}` }, element("code", {}, name));
  return element("li", { class: "search-function" }, link, ` ${words}`);
}

/** A page that was found, with its three best sections and the rest folded. */
function pageFound(result) {
  const { page, sections, functions, patterns } = result;
  const title = element("a", { href: `${page.p}.html` }, ...markedIn(page.t, patterns));
  const kind = element("span", { class: "search-kind" }, KINDS[page.k]);
  const list = element("ul", {}, ...functions.slice(0, 3).map(({ entry }) => functionFound(result, entry)));
  list.append(...sections.slice(0, 3).map(({ index }) => sectionFound(result, index)));
  const article = element("article", { class: "search-page" }, element("h2", {}, title, " ", kind), list);
  if (sections.length > 3) {
    const more = sections.slice(3).sort((a, b) => a.index - b.index).map(({ index }) => sectionFound(result, index));
    const words = more.length === 1 ? "1 more section" : `${more.length} more sections`;
    article.append(element("details", {}, element("summary", {}, words), element("ul", {}, ...more)));
  }
  return article;
}

/** Show what a query finds, and say how much it is. */
function show(query) {
  const status = document.getElementById("search-status");
  const results = document.getElementById("search-results");
  if (!globalThis.courseSearch) {
    status.textContent = "The index of the search is missing: search-index.js could not be read.";
    return;
  }
  const found = search(query);
  results.replaceChildren(...found.map(pageFound));
  document.title = `${query.trim() ? `Search: ${query.trim()}` : "Search"}${BOOK}`;
  if (!query.trim()) status.textContent = "";
  else if (!found.length) status.textContent = "No page holds all of these words. Fewer words, or shorter ones, find more.";
  else status.textContent = found.length === 1 ? "One page" : `${found.length} pages`;
}

function start() {
  const field = document.getElementById("course-query");
  field.value = new URLSearchParams(location.search).get("q") ?? "";
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => show(field.value), 120);
  });
  field.form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(field.value);
    try {
      history.replaceState(null, "", `?q=${encodeURIComponent(field.value)}`);
    } catch {
      // from file:// some browsers keep the address as it is
    }
  });
  if (!field.value) field.focus();
  show(field.value);
}

start();
