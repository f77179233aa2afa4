// What the reader has answered and read: how it is kept in this browser, and when a question comes again.
// Every page loads it; review_marks.js, review_prompts.js and review_page.js work with it as `courseReview`.
//
// Kept is one object under one key:
//   { course: "segcore", version: 1,
//     cards:  { "13.index": { box: 2, due: "2026-12-04", first: "2026-11-29", last: "2026-12-01", seen: 3, right: 2 } },
//     pages:  { "13": "2026-11-29" },           chapters that were read, and when
//     chosen: { "13": true, "14": false },      chapters that the reader has ticked or unticked for the review
//     labs:   { "13.1": "passed" } }            from a progress file of the labs that was loaded
// What is kept is read anew before each change, so that two open tabs do not undo each other.
"use strict";

const courseReview = (() => {
  const KEY = "segcore-review";
  const ASIDE = "segcore-review-aside"; // a list of texts that could not be understood
  const VERSION = 1;
  const DAYS = [0, 1, 3, 7, 16, 35, 80]; // after which a card of each box is asked again
  const NEW_A_DAY = 10;

  // ---- Days: "2026-11-30", in the reader's own time zone -------------------------------------------------------------
  const dayOf = (date) =>
    [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
  const today = () => dayOf(new Date());
  const noon = (day) => new Date(`${day}T12:00:00`); // no change of the clocks leads from noon to another day
  const addDays = (day, count) => {
    const date = noon(day);
    date.setDate(date.getDate() + count);
    return dayOf(date);
  };
  const daysBetween = (from, to) => Math.round((noon(to) - noon(from)) / 86_400_000);

  // ---- Schedule: boxes. All functions here are pure -------------------------------------------------------------------

  /** The day on which a card is asked: never later than its box says, should the clock have been wrong. */
  const dueOn = (card, day) => {
    const latest = addDays(day, DAYS[card.box]);
    return card.due < latest ? card.due : latest;
  };
  const isDue = (card, day) => dueOn(card, day) <= day;

  /** A card after an answer; `card` is undefined for a question that was never answered. */
  function answered(card, right, day) {
    const early = card && !isDue(card, day);
    const before = card ?? { box: 0, first: day, seen: 0, right: 0 };
    const box = !right ? 0 : early ? before.box : Math.min(before.box + 1, DAYS.length - 1);
    return {
      box,
      due: right && early ? dueOn(before, day) : addDays(day, DAYS[box]),
      first: before.first,
      last: day,
      seen: before.seen + 1,
      right: before.right + (right ? 1 : 0),
    };
  }

  const chapterOf = (name) => String(Number.parseInt(name, 10));

  /** The chapters whose questions are asked: those ticked, and those read or worked in that were not unticked. */
  function chaptersAsked(kept) {
    const found = new Set([...Object.keys(kept.pages), ...Object.keys(kept.cards).map(chapterOf)]);
    for (const [chapter, wanted] of Object.entries(kept.chosen)) wanted ? found.add(chapter) : found.delete(chapter);
    return found;
  }

  /** A number that mixes the questions of a day, the same at each call. */
  function mixed(text) {
    let hash = 2166136261;
    for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
    return (hash ^ (hash >>> 15)) >>> 0;
  }

  /** Names to ask on a day, in order: what is due, the longest overdue first; then new ones; last what went wrong today. */
  function queue(kept, names, day, more = 0) {
    const chapters = chaptersAsked(kept);
    const asked = names.filter((name) => chapters.has(chapterOf(name)));
    const byChance = (a, b) => mixed(a + day) - mixed(b + day);
    const due = asked.filter((name) => kept.cards[name] && isDue(kept.cards[name], day)).sort(byChance);
    const wait = (name) => dueOn(kept.cards[name], day);
    const again = due.filter((name) => kept.cards[name].last === day);
    const old = due.filter((name) => kept.cards[name].last !== day)
      .sort((a, b) => (wait(a) < wait(b) ? -1 : wait(a) > wait(b) ? 1 : 0));
    const begun = Object.values(kept.cards).filter((card) => card.first === day).length;
    const fresh = asked.filter((name) => !kept.cards[name]).sort(byChance);
    return [...old, ...fresh.slice(0, Math.max(0, NEW_A_DAY + more - begun)), ...again];
  }

  // ---- What is kept: read part by part, so that an older form, or one with a fault, gives what can be understood ----
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const isDay = (value) => /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(noon(value).getTime());
  const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
  const isCard = (card) => isObject(card) && isCount(card.box) && card.box < DAYS.length
    && [card.due, card.first, card.last].every(isDay) && isCount(card.seen) && isCount(card.right);
  const PARTS = {
    cards: isCard,
    pages: isDay,
    chosen: (value) => typeof value === "boolean",
    labs: (value) => value === "passed" || value === "tried",
  };
  const nothing = () => ({ course: "segcore", version: VERSION, cards: {}, pages: {}, chosen: {}, labs: {} });

  /** The text of what is kept or exported as { kept, version, lost }; `kept` is null where it is none of ours or newer. */
  function parse(text) {
    let value = null;
    try { value = JSON.parse(text); } catch { /* null */ }
    if (!isObject(value) || value.course !== "segcore" || !isCount(value.version)) return { kept: null, version: null, lost: 0 };
    if (value.version > VERSION) return { kept: null, version: value.version, lost: 0 };
    const kept = nothing();
    let lost = 0;
    for (const [part, fits] of Object.entries(PARTS)) {
      if (part in value && !isObject(value[part])) lost += 1;
      for (const [name, entry] of Object.entries(isObject(value[part]) ? value[part] : {})) {
        if (fits(entry) && name !== "__proto__") kept[part][name] = entry;
        else lost += 1;
      }
    }
    return { kept, version: value.version, lost };
  }

  /** Two states as one: of each card the one answered last; what was read or passed in either. */
  function merged(mine, theirs) {
    const both = nothing();
    const later = (a, b) => !b || (a && (a.last > b.last || (a.last === b.last && a.seen >= b.seen))) ? a : b;
    for (const name of new Set([...Object.keys(mine.cards), ...Object.keys(theirs.cards)])) {
      both.cards[name] = later(mine.cards[name], theirs.cards[name]);
    }
    both.pages = { ...theirs.pages, ...mine.pages };
    both.chosen = { ...theirs.chosen, ...mine.chosen };
    both.labs = { ...mine.labs };
    for (const [name, state] of Object.entries(theirs.labs)) if (both.labs[name] !== "passed") both.labs[name] = state;
    return both;
  }

  // ---- The browser's storage ------------------------------------------------------------------------------------------
  const memory = new Map(); // what the storage did not take, or must not be given; it lasts as long as the page
  const listeners = [];
  const get = (key) => memory.get(key) ?? localStorage.getItem(key);

  /** Store a text; false where it is only in memory. `unsaved` has the stand-in for a storage that is full or forbidden. */
  function put(key, text) {
    try {
      localStorage.setItem(key, text);
      memory.delete(key);
      return !localStorage.unsaved?.has(key);
    } catch {
      memory.set(key, text);
      return false;
    }
  }

  function asides() {
    try {
      const list = JSON.parse(get(ASIDE) ?? "[]");
      return Array.isArray(list) ? list.filter((text) => typeof text === "string") : [];
    } catch {
      return [];
    }
  }

  /** Keep beside the rest a text that is not wholly understood. False where there is no room for it. */
  const setAside = (text) => {
    const list = asides();
    return put(ASIDE, JSON.stringify(list.includes(text) ? list : [...list, text]));
  };

  /** What is kept, and what is to be said of it: "", "older", "newer", "broken", "full" or "forbidden". */
  function read() {
    const stored = localStorage.getItem(KEY);
    if (stored !== null && parse(stored).version > VERSION) {
      return { kept: (memory.has(KEY) && parse(memory.get(KEY)).kept) || nothing(), note: "newer" };
    }
    const room = localStorage.unsaved?.why ?? (memory.has(KEY) ? "full" : "");
    const text = get(KEY);
    if (text === null) return { kept: nothing(), note: room };
    const { kept, version, lost } = parse(text);
    if (!kept || lost) return { kept: kept ?? nothing(), note: "broken" };
    return { kept, note: room || (version < VERSION ? "older" : "") };
  }

  /** Change what is kept: `change` gets it as it now is, and may give back another. Returns what was to be said of it. */
  function update(change) {
    const { kept, note } = read();
    const broken = get(KEY);
    const text = JSON.stringify(change(kept) ?? kept);
    // A newer edition's is not ours to write over, nor what could not be set aside.
    if (note === "newer" || (note === "broken" && !setAside(broken))) memory.set(KEY, text);
    else put(KEY, text);
    listeners.forEach((tell) => tell());
    return note;
  }

  /** Forget everything, what was set aside too, and which trials of the widgets were seen. */
  function forget() {
    memory.clear();
    const keys = Array.from({ length: localStorage.length ?? 0 }, (_, index) => localStorage.key(index));
    [KEY, ASIDE, ...keys.filter((key) => key?.startsWith("segcore-seen-"))].forEach((key) => localStorage.removeItem(key));
    listeners.forEach((tell) => tell());
  }

  const throwAway = () => { memory.delete(ASIDE); localStorage.removeItem(ASIDE); };
  const answer = (name, right) => update((kept) => { kept.cards[name] = answered(kept.cards[name], right, today()); });

  /** Call `tell` at each change, in this tab or another. */
  function onChange(tell) {
    listeners.push(tell);
    addEventListener("storage", ({ key }) => { if (key === null || key === KEY || key === ASIDE) tell(); });
  }

  return {
    KEY, ASIDE, VERSION, DAYS, NEW_A_DAY, today, addDays, daysBetween, dueOn, isDue, answered, chapterOf, chaptersAsked,
    queue, parse, merged, nothing, read, update, asides, throwAway, forget, answer, onChange,
  };
})();
