/* ?slide=NAME: one figure or widget of the page alone on the screen, large, for a projector. NAME is a figure's label or a
   widget's slug. What is shown stays where it stands in the page, so a widget keeps its state; all else steps aside. */
"use strict";

(() => {
  const ICON = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M1.5 2.5h13v8h-13zM8 10.5v3m-3 0h6" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>';
  const COLUMN = 840; // pixels that a widget is laid out for; it is then enlarged as a whole
  const [SMALLEST, LARGEST] = [0.85, 4];
  const page = document.documentElement;
  const article = document.querySelector(".bd-article");
  const bar = document.createElement("div");
  let things = [];
  let shown = null;
  const watcher = new ResizeObserver(() => fit());

  // ---- What can be shown ---------------------------------------------------------------------------------------------
  function collect() {
    const seen = new Map();
    const nodes = article.querySelectorAll("figure[id]:not(.segcore-widget *), .segcore-widget[data-widget], .figure-frame");
    things = [...nodes].filter((node) => !node.matches(".figure-frame") || !node.closest("figure[id]")).map((node) => {
      const kind = node.dataset.widget ? "widget" : node.id ? "figure" : "picture";
      const base = node.dataset.widget ?? (node.id || "picture");
      seen.set(base, (seen.get(base) ?? 0) + 1);
      const count = seen.get(base);
      const name = kind === "picture" ? `picture-${count}` : count > 1 ? `${base}.${count}` : base;
      const number = node.querySelector?.(".caption-number")?.textContent.trim().replace("Fig.", "figure");
      const words = kind === "widget" ? "this interactive figure" : number || `picture ${count}`;
      return { node, kind, name, words };
    });
  }

  const nameInAddress = () => new URLSearchParams(location.search).get("slide");

  function setAddress(name) {
    const url = new URL(location.href);
    if (name) url.searchParams.set("slide", name);
    else url.searchParams.delete("slide");
    const thing = shown ?? things.find((each) => each.name === name);
    if (thing?.kind !== "widget" || !url.hash.startsWith(`#${thing.name}`)) {
      url.hash = !name && thing?.kind === "figure" ? thing.node.id : "";
    }
    try {
      history.replaceState(history.state, "", url.href.replace(/#$/, ""));
    } catch {
      // a host that allows no other address: the slide is shown all the same
    }
  }

  // ---- Showing ---------------------------------------------------------------------------------------------------------
  function stepAside(node) {
    for (let inner = node; inner !== document.body; inner = inner.parentElement) {
      for (const other of inner.parentElement.children) {
        if (other !== inner && other !== bar && !other.matches("script, style, link, template, dialog")) other.classList.add("slide-away");
      }
      inner.classList.add(inner === node ? "slide-shown" : "slide-path");
    }
  }

  function comeBack() {
    document.querySelectorAll(".slide-away, .slide-path, .slide-shown").forEach((node) => {
      node.classList.remove("slide-away", "slide-path", "slide-shown");
    });
  }

  /* A widget as large as the screen lets its first form be; on a screen that is too small it scrolls. */
  function fit() {
    if (shown?.kind !== "widget") return;
    const { node } = shown;
    node.style.width = `${Math.min(COLUMN, innerWidth - 32)}px`;
    const first = node.querySelector(".segcore-first") ?? node;
    watcher.observe(first);
    const [width, height] = [node.offsetWidth, first.offsetHeight]; // as laid out, however large it is drawn
    if (!height || !("currentCSSZoom" in node)) return; // without it, a pointer would be where it is not
    const room = Math.min(LARGEST, (innerWidth - 32) / width, (innerHeight - 28) / height);
    node.style.zoom = String(Math.max(SMALLEST, Math.round(100 * room) / 100));
  }

  function show(name, { focus = true } = {}) {
    const thing = things.find((each) => each.name === name);
    if (!thing) return;
    leave();
    shown = thing;
    page.dataset.slide = thing.kind;
    thing.node.closest("details")?.setAttribute("open", ""); // a lab's expected picture
    stepAside(thing.node);
    thing.node.tabIndex = -1;
    drawBar();
    fit();
    setAddress(name);
    scrollTo(0, 0);
    if (focus) thing.node.focus({ preventScroll: true });
  }

  function leave() {
    bar.remove();
    if (!shown) return;
    const { node } = shown;
    watcher.disconnect();
    comeBack();
    delete page.dataset.slide;
    node.removeAttribute("tabindex");
    Object.assign(node.style, { zoom: "", width: "" });
    if (!node.getAttribute("style")) node.removeAttribute("style");
  }

  function close() {
    const last = shown;
    leave();
    setAddress(null);
    shown = null;
    if (!last) return;
    last.node.scrollIntoView({ block: "center" });
    last.opener.focus({ preventScroll: true });
  }

  const go = (by) => {
    const next = things[things.indexOf(shown) + by];
    if (next) show(next.name);
  };

  // ---- The bar -----------------------------------------------------------------------------------------------------------
  function button(label, text, act, off = false) {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: text, onclick: act, disabled: off, title: label });
    made.setAttribute("aria-label", label);
    return made;
  }

  function drawBar() {
    const place = things.indexOf(shown);
    const count = document.createElement("span");
    count.textContent = `${place + 1} of ${things.length}`;
    bar.className = "slide-bar";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Slide");
    bar.replaceChildren(
      button("The figure before (left arrow)", "‹", () => go(-1), place === 0),
      count,
      button("The next figure (right arrow)", "›", () => go(1), place === things.length - 1),
      button("Back to the page (Escape)", "×", close),
    );
    document.body.append(bar);
  }

  function sayUnknown(name) {
    bar.className = "slide-bar slide-unknown";
    bar.setAttribute("role", "alert");
    const words = document.createElement("span");
    const names = things.map((each) => each.name).join(", ");
    words.textContent = `No figure of this page is called “${name}”. ${names ? `There are: ${names}.` : "It has none."}`;
    bar.replaceChildren(words, button("Close", "×", close));
    document.body.append(bar);
  }

  // ---- Keys: Escape goes back; arrows go on, but not from a control that they move; a remote's keys always do ------------
  const CONTROLS = "input, select, textarea, [contenteditable], [role=slider], [role=application], [tabindex]:not([tabindex='-1'])";

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && bar.isConnected) { // Sphinx's scripts have prevented what it does, so that is not asked

      event.preventDefault();
      close();
    } else if (shown && !event.defaultPrevented) {
      const busy = event.target.closest?.(CONTROLS);
      const by = { PageDown: 1, PageUp: -1, ...(busy ? {} : { ArrowRight: 1, ArrowLeft: -1 }) }[event.key];
      if (!by) return;
      event.preventDefault();
      go(by);
    }
  }

  function addOpeners() {
    for (const thing of things) {
      const opener = button(`Show ${thing.words} alone, for a projector`, "", (event) => {
        event.stopPropagation(); // or the frame that it stands in would be enlarged
        show(thing.name);
      });
      opener.innerHTML = ICON;
      opener.className = "slide-open";
      const frame = thing.kind === "widget" ? thing.node.closest(".cell") ?? thing.node.parentElement
        : thing.node.matches(".figure-frame") ? thing.node : thing.node.querySelector(".course-figure, .figure-frame") ?? thing.node;
      frame.classList.add(thing.kind === "widget" ? "slide-beside" : "slide-frame");
      frame.append(opener);
      thing.opener = opener;
      if (thing.kind === "widget") {
        new MutationObserver(() => requestAnimationFrame(fit)).observe(thing.node, { attributes: true, attributeFilter: ["data-ready"] });
      }
    }
  }

  function start() {
    collect();
    addOpeners();
    addEventListener("keydown", onKey);
    addEventListener("resize", fit);
    // On a slide a click enlarges nothing: it is large.
    document.addEventListener("click", (event) => {
      if (shown && shown.kind !== "widget" && shown.node.contains(event.target) && !event.target.closest("a, button")) event.stopPropagation();
    }, true);
    const name = nameInAddress();
    if (name === null) return;
    const wanted = name || decodeURIComponent(location.hash.slice(1)).split(":")[0];
    if (things.some((each) => each.name === wanted)) show(wanted);
    else sayUnknown(wanted);
  }

  if (!article) return;
  // After the script that frames pictures, wherever in the head that one stands.
  if (document.readyState === "complete") start();
  else document.addEventListener(document.readyState === "loading" ? "DOMContentLoaded" : "readystatechange", () => setTimeout(start), { once: true });
})();
