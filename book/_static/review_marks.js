// What the pages know of their reader: which chapter was read to its end, what was answered, what stands passed in the
// labs. It is shown as a small disc that fills, in the margin of the menu and of the chapter map. Nothing kept, no discs.
"use strict";

{
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const HERE = /\/book\/(\d\d)_\w+\.html$/.exec(location.pathname);
  const root = document.documentElement.dataset.content_root ?? "./";
  const LOCAL = /^https?:$/.test(location.protocol) && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname);
  const CHAPTER = /(?:^|\/)(\d\d)_(\w+)\.html$/;

  // ---- Sources: the index of the chapters, and the labs' progress where `make serve` knows it --------------------------
  let index = null;
  courseReview.index = () => (index ??= new Promise((done) => {
    const script = document.createElement("script");
    script.src = `${root}_static/review-index.js`;
    script.onload = () => done(window.courseIndex ?? {});
    script.onerror = () => done({});
    document.head.append(script);
  }));

  let labs = null;
  courseReview.labs = () => (labs ??= !LOCAL ? Promise.resolve({}) : fetch(`${root}progress.json`)
    .then((answer) => (answer.ok ? answer.json() : {}))
    .then((found) => found.exercises ?? {})
    .catch(() => ({})));

  /** Of each chapter, by its number: whether it was read, how many questions were answered, how many exercises passed. */
  courseReview.progress = async (kept) => {
    const passed = { ...kept.labs, ...(await courseReview.labs()) };
    const chapters = Object.entries(await courseReview.index()).map(([name, { items, exercises }]) => {
      const number = courseReview.chapterOf(name);
      return [number, {
        read: number in kept.pages,
        items: items.length,
        answered: items.filter((item) => item in kept.cards).length,
        exercises: exercises.length,
        passed: exercises.filter((id) => passed[id] === "passed").length,
      }];
    });
    return Object.fromEntries(chapters);
  };

  // ---- Marks -------------------------------------------------------------------------------------------------------------
  const words = (state) => [
    state.read ? "read" : "",
    state.answered ? `${state.answered} of ${state.items} questions answered` : "",
    state.passed ? `${state.passed} of ${state.exercises} exercises passed` : "",
  ].filter(Boolean).join(", ");

  /** How much of a chapter is done, from 0 to 1: its reading, its questions and its lab count alike. */
  const share = (state) =>
    (Number(state.read) + state.answered / Math.max(1, state.items) + state.passed / Math.max(1, state.exercises)) / 3;

  function mark(link, state) {
    const said = state ? words(state) : "";
    const disc = one(":scope > .course-mark", link);
    if (!said) return disc?.remove();
    const shown = disc ?? link.appendChild(document.createElement("span"));
    shown.className = "course-mark";
    shown.style.setProperty("--share", share(state).toFixed(3));
    shown.title = said;
    shown.innerHTML = `<span class="visually-hidden"> (${said})</span>`;
  }

  const isEmpty = (kept) => Object.values(kept).every((part) => typeof part !== "object" || Object.keys(part).length === 0);

  async function showMarks() {
    const { kept } = courseReview.read();
    const nothing = isEmpty(kept) && Object.keys(await courseReview.labs()).length === 0;
    const found = nothing ? {} : await courseReview.progress(kept);
    for (const link of all("nav.bd-links li.toctree-l1 > a, .chapter-map .map-chapters a")) {
      const number = (CHAPTER.exec(link.pathname) ?? HERE)?.[1];
      const own = link.getAttribute("href") === "#";
      if (CHAPTER.test(link.pathname) || (own && HERE)) mark(link, found[courseReview.chapterOf(number)]);
    }
  }

  // ---- Reading and answering -----------------------------------------------------------------------------------------------
  const REST = 1500; // milliseconds: a choice that stands so long, or that the reader leaves, is an answer

  /** The box at the end of a chapter: ticked by the reader, or when the end has been in sight for a moment. */
  function setUpReading(number) {
    const box = one(".read-mark input");
    if (!box) return;
    const show = () => { box.checked = number in courseReview.read().kept.pages; };
    const set = (read) => courseReview.update((kept) => {
      if (read) kept.pages[number] ??= courseReview.today();
      else delete kept.pages[number];
    });
    let timer = 0;
    const watch = new IntersectionObserver(([entry]) => {
      clearTimeout(timer);
      if (!entry.isIntersecting) return;
      timer = setTimeout(() => {
        watch.disconnect();
        if (!(number in courseReview.read().kept.pages)) set(true);
      }, REST);
    });
    box.addEventListener("change", () => {
      watch.disconnect(); // whoever unticks it means it
      set(box.checked);
    });
    courseReview.onChange(show);
    show();
    if (!box.checked) watch.observe(box);
  }

  /** The first choice that stands for a moment is the answer: the arrow keys pass over others on their way. */
  function setUpQuestion(question) {
    let [timer, told] = [0, false];
    const settle = () => {
      clearTimeout(timer);
      const choice = one("input:checked", question);
      if (!choice || told) return;
      told = true;
      courseReview.answer(question.dataset.name, choice.closest(".quiz-right") !== null);
    };
    question.addEventListener("change", () => {
      clearTimeout(timer);
      timer = setTimeout(settle, REST);
    });
    question.addEventListener("focusout", ({ relatedTarget }) => {
      if (!question.contains(relatedTarget)) settle();
    });
    addEventListener("pagehide", settle);
  }

  if (HERE) setUpReading(courseReview.chapterOf(HERE[1]));
  all(".bd-article .quiz-question[data-name]").forEach(setUpQuestion);
  courseReview.onChange(showMarks);
  showMarks();
}
