// The frame of every page: light and dark, menu, contents, search, what scrolls sideways, print.
// A plain script, since a module does not load from file://. Small and deferred, so that no widget waits for it.
"use strict";

(() => {
  const page = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- Light and dark: the early script in the head has set the theme; here are the button and the changes ----------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const MODES = { auto: "as the system", light: "light", dark: "dark" };

  const themeOf = (mode) => (mode === "light" || mode === "dark" ? mode : dark.matches ? "dark" : "light");

  function setMode(mode) {
    page.dataset.mode = mode;
    page.dataset.theme = themeOf(mode);
    localStorage.setItem("mode", mode);
    localStorage.setItem("theme", page.dataset.theme);
    all(".theme-switch-button").forEach((button) => {
      button.title = `Colours: ${MODES[mode]}`;
      button.setAttribute("aria-label", `Colours: ${MODES[mode]}. Press to change`);
    });
  }

  function nextMode() {
    const order = dark.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
    setMode(order[(order.indexOf(page.dataset.mode) + 1) % 3]);
  }

  function setUpTheme() {
    setMode(page.dataset.mode in MODES ? page.dataset.mode : "auto");
    all(".theme-switch-button").forEach((button) => button.addEventListener("click", nextMode));
    dark.addEventListener("change", () => page.dataset.mode === "auto" && setMode("auto"));
  }

  // ---- Menu and contents: beside the text on a wide page, a drawer over it on a narrow one ---------------------------
  const move = (from, to) => {
    to.append(...from.childNodes);
    to.classList.add(...from.classList);
    from.removeAttribute("class");
  };

  function closeButton(label, dialog) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "drawer-close";
    button.setAttribute("aria-label", `Close: ${label}`);
    button.textContent = "×";
    button.addEventListener("click", () => dialog.close());
    return button;
  }

  function setUpDrawer({ button, sidebar, dialog, label, wide }) {
    if (!button || !sidebar || !dialog) return;
    const beside = matchMedia(`(min-width: ${wide}px)`);
    const close = closeButton(label, dialog);
    const tell = () => {
      const shown = beside.matches ? !sidebar.classList.contains("pst-sidebar-hidden") : dialog.open;
      button.setAttribute("aria-expanded", String(shown));
    };
    dialog.setAttribute("aria-label", label);
    button.addEventListener("click", () => {
      if (beside.matches) {
        sidebar.classList.toggle("pst-sidebar-hidden");
      } else {
        sidebar.classList.remove("pst-sidebar-hidden");
        move(sidebar, dialog);
        dialog.prepend(close);
        dialog.showModal();
      }
      tell();
    });
    dialog.addEventListener("close", () => {
      close.remove();
      move(dialog, sidebar);
      tell();
      button.focus({ preventScroll: true }); // browsers do so too, but not where a tap gave no focus
    });
    dialog.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      const outside = event.target === dialog && !within(dialog, event);
      if (outside || (link && link.pathname === location.pathname)) dialog.close();
    });
    closeByEscape(dialog);
    const shut = () => dialog.open && dialog.close();
    beside.addEventListener("change", () => { shut(); tell(); });
    addEventListener("pagehide", shut); // or it would stand open when the reader comes back
    tell();
  }

  // Sphinx's own scripts listen for Escape and prevent what it does in a dialog.
  function closeByEscape(dialog) {
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      dialog.close();
    });
  }

  function within(element, { clientX, clientY }) {
    const box = element.getBoundingClientRect();
    return clientX >= box.left && clientX < box.right && clientY >= box.top && clientY < box.bottom;
  }

  function setUpDrawers() {
    setUpDrawer({
      button: one(".primary-toggle"),
      sidebar: one("#pst-primary-sidebar"),
      dialog: one("#pst-primary-sidebar-modal"),
      label: "All chapters",
      wide: 960,
    });
    setUpDrawer({
      button: one(".secondary-toggle"),
      sidebar: one("#pst-secondary-sidebar"),
      dialog: one("#pst-secondary-sidebar-modal"),
      label: "On this page",
      wide: 1200,
    });
  }

  // In the menu the page that is open is in sight, though the page itself does not move.
  function showCurrentPage() {
    const sidebar = one("#pst-primary-sidebar");
    const current = sidebar && all("a.current", sidebar).at(-1);
    if (!current) return;
    const below = current.getBoundingClientRect().top - sidebar.getBoundingClientRect().top;
    if (below > sidebar.clientHeight / 2) sidebar.scrollTop = below - sidebar.clientHeight / 4;
  }

  // ---- Contents: the section that is being read -----------------------------------------------------------------------
  function setUpContents() {
    const links = new Map();
    all("#pst-page-toc-nav a[href^='#']").forEach((link) => {
      const section = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      const heading = section?.querySelector("h1, h2, h3, h4, h5, h6");
      if (heading) links.set(heading, link);
    });
    const mark = (current) => {
      links.forEach((link) => {
        link.classList.toggle("active", link === current);
        link.toggleAttribute("aria-current", link === current);
      });
      all("#pst-page-toc-nav .toc-entry").forEach((entry) => {
        entry.classList.toggle("active", entry.contains(current));
      });
    };
    const observer = new IntersectionObserver(
      (entries) => {
        const seen = entries.filter((entry) => entry.isIntersecting).at(-1);
        if (seen) mark(links.get(seen.target));
      },
      { rootMargin: "0px 0px -70% 0px" },
    );
    links.forEach((_, heading) => observer.observe(heading));
    const top = one(".sbt-scroll-pixel-helper");
    if (top) {
      new IntersectionObserver(([entry]) => {
        document.body.classList.toggle("scrolled", entry.boundingClientRect.y < 0);
      }).observe(top);
    }
  }

  // ---- Search: a field in a dialog, also by Ctrl+K or Cmd+K -----------------------------------------------------------
  function setUpSearch() {
    const dialog = one("#pst-search-dialog");
    const shown = one(":not(#pst-search-dialog) > form.bd-search input");
    const mac = /^(Mac|iPhone|iPad)/.test(navigator.platform);
    if (mac) all(".kbd-shortcut__modifier").forEach((key) => { if (key.textContent === "Ctrl") key.textContent = "⌘"; });
    const toggle = () => {
      if (shown) {
        shown.focus();
        shown.select();
      } else if (dialog?.open) {
        dialog.close();
      } else {
        dialog?.showModal();
      }
    };
    all(".search-button__button").forEach((button) => button.addEventListener("click", toggle));
    if (dialog) {
      closeByEscape(dialog);
      dialog.addEventListener("click", (event) => {
        if (event.target === dialog && !within(dialog, event)) dialog.close();
      });
    }
    addEventListener("keydown", (event) => {
      const modifier = mac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
      if (modifier && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        toggle();
      }
    });
  }

  // ---- Formulas: MathJax comes when the widgets are alive, which would wait for it else ------------------------------
  const PATIENCE = 5000; // milliseconds, should one of them never be

  function widgetsAlive() {
    return new Promise((done) => {
      const look = () => {
        if (all(".segcore-widget[data-widget]").every((widget) => widget.dataset.ready === "true")) done();
      };
      addEventListener("segcore-alive", look);
      setTimeout(done, PATIENCE);
      look();
    });
  }

  // Resolved when the page's formulas are drawn, at once where there are none.
  async function setUpFormulas() {
    const waiting = one("script[type=formulas]");
    if (!waiting) return;
    await widgetsAlive();
    const script = document.createElement("script");
    script.src = waiting.src;
    await new Promise((done) => {
      script.onload = script.onerror = done;
      waiting.after(script);
    });
    await window.MathJax.startup?.promise;
  }

  // ---- What is wider than the page: equations shrink a little, then all of it scrolls, which is shown and works by key --
  const SMALLEST = 0.75; // of the size of the text

  function fitEquation(block) {
    const formula = one("mjx-container > mjx-math", block);
    if (!formula) return;
    const container = formula.parentElement;
    container.style.fontSize = "";
    const full = Number.parseFloat(getComputedStyle(container).fontSize);
    const room = block.clientWidth - (one(".eqno", block)?.offsetWidth ?? 0);
    const share = room / formula.getBoundingClientRect().width;
    if (share < 1) container.style.fontSize = `${full * Math.max(SMALLEST, share * 0.995)}px`;
  }

  const KINDS = { pre: "Code", "div.math": "Equation", ".pst-scrollable-table-container": "Table", div: "Output" };

  function markScroller(element) {
    const room = element.scrollWidth - element.clientWidth;
    const wide = room > 1 && element.clientWidth > 0;
    if (wide !== element.hasAttribute("data-scrolls")) {
      if (wide) {
        const kind = Object.keys(KINDS).find((selector) => element.matches(selector)) ?? "div";
        element.tabIndex = 0;
        element.setAttribute("role", "region");
        element.setAttribute("aria-label", `${KINDS[kind]}, scrolls sideways`);
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) element.removeAttribute(name);
      }
    }
    element.toggleAttribute("data-scrolls", wide);
    if (!wide) return;
    const left = element.scrollLeft > 1;
    const right = element.scrollLeft < room - 1;
    element.dataset.scrolls = left && right ? "both" : left ? "left" : "right";
  }

  function setUpScrollers() {
    const article = one(".bd-article");
    if (!article) return;
    const equations = all("div.math", article);
    const scrollers = [
      ...equations,
      ...all("pre, .pst-scrollable-table-container, div.cell_output > .output, div.cell_output", article),
    ].filter((element) => !element.closest(".segcore-widget"));
    const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => {
      if (target.matches("div.math")) fitEquation(target);
      markScroller(target);
    }));
    scrollers.forEach((element) => {
      observer.observe(element);
      element.addEventListener("scroll", () => markScroller(element), { passive: true });
    });
    const look = () => {
      equations.forEach(fitEquation);
      scrollers.forEach(markScroller);
    };
    article.addEventListener("toggle", look, true); // what was folded had no width
    addEventListener("load", () => {
      look();
      window.courseFormulas.then(look);
    });
  }

  // ---- Print: for as long as it is printed, a dark page is light (pictures that scripts have drawn too), and solutions,
  // answers of prompts and expected pictures that are folded, which nobody can open on paper, stand open --------------------
  function setUpPrint() {
    const opened = [];
    const prepare = () => {
      page.dataset.theme = "light";
      for (const box of all("details:is(.admonition:not(.hide), .prompt-solution, :has(> img, > .figure-frame)):not([open])")) {
        box.open = true;
        opened.push(box);
      }
    };
    const restore = () => {
      page.dataset.theme = themeOf(page.dataset.mode);
      for (const box of opened.splice(0)) box.open = false;
    };
    addEventListener("beforeprint", prepare);
    addEventListener("afterprint", restore);
    matchMedia("print").addEventListener("change", ({ matches }) => (matches ? prepare() : restore()));
  }

  setUpTheme();
  setUpPrint();
  setUpDrawers();
  showCurrentPage();
  setUpContents();
  setUpSearch();
  window.courseFormulas = setUpFormulas();
  setUpScrollers();
})();
