// The script of all pages. What comes from a run reaches the page as text nodes only, so nothing in it is ever run.
"use strict";

const PER_PAGE = 25;
const WORDS = { right: "Right", partly: "Partly", wrong: "Wrong", above: "Above mean", below: "Below mean", unscored: "Not scored" };

/** An element with properties and children; texts become text nodes. A page on a disk cannot load the server's dom.js. */
function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function remembered(key, value) {
  try { // a browser may forbid pages from a disk to remember
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch { return null; }
}

function addThemeButton() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const button = make("button", { className: "theme", type: "button", title: "Light or dark" });
  const show = () => {
    button.textContent = isDark() ? "☀" : "☾";
    button.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
  };
  const chosen = remembered("camml-theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  button.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered("camml-theme", root.dataset.theme);
    show();
  };
  system.onchange = show;
  show();
  document.body.append(button);
}

/** The questions of a run: found, ordered and shown a page at a time; all that a person chose is in the address. */
class Browser {
  constructor(place, run) {
    this.run = run;
    this.loading = new Map();
    this.counts = { all: run.entries.length };
    for (const entry of run.entries) this.counts[entry.verdict] = (this.counts[entry.verdict] || 0) + 1;
    this.kinds = Object.keys(WORDS).filter((kind) => this.counts[kind]);
    place.append(this.tools(), this.count = make("p", { className: "count" }), this.list = make("div"), this.pager(), keysHelp());
    this.count.setAttribute("role", "status");
    this.readAddress();
    window.addEventListener("hashchange", () => this.readAddress());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  tools() {
    this.search = make("input", { type: "search", placeholder: "Search questions, answers, samples", autocomplete: "off" });
    this.search.setAttribute("aria-label", "Search");
    this.search.oninput = () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.choose({ q: this.search.value }), 120);
    };
    const choices = make("div", { className: "choices" });
    choices.setAttribute("role", "group");
    choices.setAttribute("aria-label", "Show");
    this.buttons = new Map();
    for (const kind of ["all", ...this.kinds]) {
      const button = make("button", { type: "button" }, `${WORDS[kind] || "All"} ${this.counts[kind].toLocaleString("en")}`);
      button.dataset.show = kind;
      button.onclick = () => this.choose({ show: kind });
      this.buttons.set(kind, button);
      choices.append(button);
    }
    this.sort = make("select", {}, ...[["", "In order"], ["worst", "Worst first"], ["best", "Best first"]].map(
      ([value, text]) => make("option", { value }, text)));
    this.sort.setAttribute("aria-label", "Order");
    this.sort.onchange = () => this.choose({ sort: this.sort.value });
    return make("div", { className: "tools" }, this.search, choices, this.sort);
  }

  pager() {
    this.before = make("button", { type: "button" }, "← Previous");
    this.after = make("button", { type: "button" }, "Next →");
    this.where = make("span");
    this.before.onclick = () => this.turn(-1);
    this.after.onclick = () => this.turn(1);
    const node = make("nav", { className: "pager" }, this.before, this.where, this.after);
    node.setAttribute("aria-label", "Pages");
    return node;
  }

  readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const show = given.get("show");
    const sort = given.get("sort");
    this.chosen = {
      q: given.get("q") || "",
      show: this.buttons.has(show) ? show : "all",
      sort: sort === "worst" || sort === "best" ? sort : "",
      page: Math.max(1, parseInt(given.get("page"), 10) || 1),
    };
    this.search.value = this.chosen.q;
    this.find();
    const place = this.found.findIndex((index) => this.run.entries[index].id === given.get("id"));
    if (place >= 0) this.chosen.page = Math.floor(place / PER_PAGE) + 1;
    this.show();
    if (place >= 0) this.list.children[place % PER_PAGE].focus();
  }

  choose(change) {
    this.chosen = { ...this.chosen, page: 1, ...change };
    const kept = Object.entries(this.chosen).filter(([key, value]) => value && !(key === "show" && value === "all") && !(key === "page" && value === 1));
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
    if (!("page" in change)) this.find();
    this.show();
  }

  turn(by) {
    const page = this.chosen.page + by;
    if (page < 1 || page > this.pages) return false;
    this.choose({ page });
    this.list.parentElement.scrollIntoView();
    return true;
  }

  /** All text of a question that is searched, in small letters. */
  hay(entry) {
    const samples = (entry.samples || []).map(([number]) => this.run.samples[number]);
    const texts = [entry.id, entry.question, entry.answer, entry.truth, ...(entry.notes || []), ...samples.flatMap((one) => [one.id, one.text])];
    return texts.filter(Boolean).join("\n").toLowerCase();
  }

  find() {
    const { q, show, sort } = this.chosen;
    this.words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const entries = this.run.entries;
    this.found = [...entries.keys()].filter((index) => {
      if (show !== "all" && entries[index].verdict !== show) return false;
      if (!this.words.length) return true;
      const hay = entries[index].hay ??= this.hay(entries[index]);
      return this.words.every((word) => hay.includes(word));
    });
    if (!sort) return;
    const sign = sort === "worst" ? 1 : -1;
    const last = sign * Infinity; // those without a score come last either way
    const worth = (index) => entries[index].score ?? last;
    this.found.sort((one, other) => sign * (worth(one) - worth(other)) || one - other);
  }

  show() {
    const { show, sort } = this.chosen;
    this.pages = Math.max(1, Math.ceil(this.found.length / PER_PAGE));
    const page = this.chosen.page = Math.min(this.chosen.page, this.pages);
    for (const [kind, button] of this.buttons) button.setAttribute("aria-pressed", kind === show);
    this.sort.value = sort;
    const number = (value) => value.toLocaleString("en");
    this.count.textContent = `${number(this.found.length)} of ${number(this.run.entries.length)} questions`;
    this.where.textContent = `Page ${number(page)} of ${number(this.pages)}`;
    this.before.disabled = page === 1;
    this.after.disabled = page === this.pages;
    const shown = this.found.slice((page - 1) * PER_PAGE, page * PER_PAGE);
    this.list.replaceChildren(...shown.map((index) => this.card(index)));
    if (!shown.length) this.list.append(make("p", { className: "nothing" }, "No question fits. Search for fewer words, or show all."));
  }

  card(index) {
    const entry = this.run.entries[index];
    const plain = ["right", "wrong", "unscored"].includes(entry.verdict);
    const score = plain ? "" : ` ${Number(entry.score.toFixed(3))}`;
    const samples = entry.samples || [];
    const given = samples.filter(([, , place]) => place);
    const left = samples.filter(([, , place]) => !place);
    const link = make("a", { href: `#${new URLSearchParams({ id: entry.id })}`, title: "Link to this question" }, `#${index + 1} · `, this.marked("span", "", entry.id));
    const said = make("dl", { className: "said" },
      make("dt", {}, "Answer"), this.marked("dd", "answer", entry.answer || "(nothing)"),
      make("dt", {}, "Truth"), this.marked("dd", "truth", entry.truth || "(not public)"));
    const node = make("article", { className: entry.verdict, tabIndex: -1 },
      make("div", { className: "picture" }, picture(entry, `Picture of question ${entry.id}`) || make("div", { className: "empty" }, "No picture")),
      make("div", { className: "body" },
        make("div", { className: "top" }, link, make("span", { className: "badge" }, WORDS[entry.verdict] + score)),
        this.marked("p", "text question", entry.question), said,
        entry.notes ? make("ul", { className: "notes" }, ...entry.notes.map((note) => this.marked("li", "", note))) : null,
        given.length ? make("p", { className: "label" }, given.length === 1 ? "Sample given" : `${given.length} samples given`) : null,
        this.samples(given),
        left.length ? make("details", { open: this.words.length > 0 }, make("summary", {}, `${left.length} more retrieved, not given`), this.samples(left)) : null,
        this.prompt(index, entry)));
    return node;
  }

  samples(some) {
    return some.length ? make("ol", { className: "samples" }, ...some.map((one) => this.sample(one))) : null;
  }

  sample([number, score, place]) {
    const sample = this.run.samples[number];
    const parts = make("div", { className: "words" },
      make("div", { className: "about" }, make("span", {}, place ? `${place}. ` : "", this.marked("span", "name", sample.id)),
        make("span", { title: "Score of the retrieval" }, score === null ? "" : score.toFixed(3))),
      sample.text ? this.marked("p", "text", sample.text) : null);
    return make("li", {}, picture(sample, `Picture of sample ${sample.id}`), parts);
  }

  prompt(index, entry) {
    const [read, written] = entry.tokens;
    const place = make("pre", {}, "…");
    const fold = make("details", { className: "prompt" }, make("summary", {}, `Prompt (${read} tokens read, ${written} written)`), place);
    fold.ontoggle = async () => {
      if (!fold.open) return;
      const { perFile } = this.run;
      const part = Math.floor(index / perFile);
      try {
        await this.load(part);
        place.textContent = this.run.prompts[part][index % perFile] || "(none)";
      } catch { place.textContent = `prompts-${part}.js is not beside this page`; }
    };
    return fold;
  }

  /** A file of prompts, loaded once. */
  load(part) {
    if (!this.loading.has(part)) this.loading.set(part, new Promise((resolve, reject) => {
      document.head.append(make("script", { src: `prompts-${part}.js`, onload: resolve, onerror: reject }));
    }));
    return this.loading.get(part);
  }

  /** An element with a text in which the words searched for are marked. */
  marked(name, className, text) {
    const node = make(name, { className });
    const small = text.toLowerCase();
    const words = small.length === text.length ? this.words : []; // some letters are longer in small
    let start = 0;
    while (start < text.length) {
      const next = words.map((word) => [small.indexOf(word, start), word.length]).filter(([place]) => place >= 0).sort(([a, m], [b, n]) => a - b || n - m)[0];
      if (!next) break;
      const [place, length] = next;
      node.append(text.slice(start, place), make("mark", {}, text.slice(place, place + length)));
      start = place + length;
    }
    node.append(text.slice(start));
    return node;
  }

  key(event) {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && typing) return event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const act = {
      "/": () => { this.search.focus(); this.search.select(); },
      j: () => this.step(1), k: () => this.step(-1),
      n: () => this.turn(1), p: () => this.turn(-1),
      w: () => { const low = this.buttons.has("wrong") ? "wrong" : "below"; if (this.buttons.has(low)) this.choose({ show: this.chosen.show === low ? "all" : low }); },
      o: () => { const fold = document.activeElement.closest("article")?.querySelector(".prompt"); if (fold) fold.open = !fold.open; },
    }[event.key];
    if (!act) return undefined;
    event.preventDefault();
    return act();
  }

  /** To the next or previous question, over the edge of the page too. */
  step(by) {
    const cards = [...this.list.querySelectorAll("article")];
    const now = cards.indexOf(document.activeElement.closest("article"));
    const next = now < 0 ? (by > 0 ? 0 : -1) : now + by;
    if (cards[next]) return this.reach(cards[next]);
    if (!this.turn(by)) return undefined;
    const turned = this.list.querySelectorAll("article");
    return this.reach(turned[by > 0 ? 0 : turned.length - 1]);
  }

  reach(card) {
    card.focus();
    card.scrollIntoView({ block: "start" });
  }
}

function picture(entry, alt) {
  if (entry.picture) return make("img", { src: `../../pictures/${entry.picture}`, alt });
  return entry.lost ? make("div", { className: "empty" }, "The picture could not be read") : null;
}

function keysHelp() {
  const keys = { "/": "search", j: "next question", k: "previous", n: "next page", p: "previous", w: "wrong only", o: "prompt" };
  return make("p", { className: "keys" }, ...Object.entries(keys).flatMap(([key, act]) => [make("kbd", {}, key), ` ${act}  `]));
}

addThemeButton();
const records = document.getElementById("records");
if (records && typeof camml === "object") new Browser(records, camml);
else if (records) records.append(make("p", { className: "nothing" }, "records.js is not beside this page, or is broken: make the report again."));
