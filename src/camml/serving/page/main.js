// The page comes to life: tabs, settings, key, and what all tabs share.

import { ServerProblem, fetchPicture, list, setup, stores, useKey } from "./api.js";
import * as boxes from "./boxes.js";
import * as chat from "./chat.js";
import * as compare from "./compare.js";
import * as datastore from "./datastore.js";
import { count, fill, make } from "./dom.js";
import * as drawing from "./drawing.js";
import * as objects from "./objects.js";
import { readPicture } from "./picture.js";
import * as sequences from "./sequences.js";
import { tabs } from "./tabs.js";

const TABS = { chat, compare, sequences, objects, boxes, drawing, datastore };
const MODES = {
  auto: "automatic",
  "text-image": "words → pictures",
  "image-image": "picture → pictures",
  "text-text": "words → texts",
  fused: "everything, joined",
};
const EXAMPLES = 4;
const at = (id) => document.getElementById(id);
const fields = at("settings").elements;

/** What the tabs share. */
const app = {
  setup: { model: "", default_shots: 1, examples: [], drawing: { missing: "" } },
  shelves: [], // the datastores, as the server describes them
  examples: [],
  draft: null, // the question and picture asked last, for a tab that has none yet
  fresh: new Set(), // ids of samples added here
  askAgain: null, // asks the last question of the chat once more
  store: () => app.shelves.find((one) => one.id === fields.store.value) ?? null,

  settings() {
    const number = (name, otherwise) =>
      fields[name].value !== "" && fields[name].checkValidity() ? Number(fields[name].value) : otherwise;
    return {
      model: app.setup.model,
      store: fields.store.value || null,
      mode: fields.mode.value || "auto",
      shots: app.shelves.length ? number("shots", app.setup.default_shots) : 0,
      tokens: number("tokens", 128),
      temperature: number("temperature", 0),
    };
  },

  /** Hear from the server what its datastores hold now. */
  async refresh() {
    const found = await stores();
    const chosen = app.shelves.length ? fields.store.value : found.default;
    app.shelves = found.data;
    fill(fields.store, ...app.shelves.map(({ id }) => make("option", { value: id, selected: id === chosen }, id)));
    at("settings").classList.toggle("bare", !app.shelves.length);
    chosenStore();
  },

  pictureAt: async (address) => readPicture(await fetchPicture(address), "the picture of the example"),
};

/** Follow the choice of a datastore. */
function chosenStore() {
  const shelf = app.store();
  at("model").textContent = `${app.setup.model} · ${shelf ? count(shelf.samples, "sample") : "no datastore"}`;
  const chosen = fields.mode.value || "auto";
  const works = shelf?.modes ?? ["auto"];
  fill(
    fields.mode,
    ...works.map((name) => make("option", { value: name, selected: name === chosen }, MODES[name] ?? name)),
  );
}

/** What is said of settings that are out of range, and what holds instead. */
function unfit() {
  const wrong = ["shots", "tokens", "temperature"].filter((name) => !fields[name].checkValidity());
  return wrong
    .map((name) => {
      const { min, max, labels } = fields[name];
      return `${labels[0].textContent.trim()}: from ${min} to ${max}. Until then ${app.settings()[name]} is used.`;
    })
    .join(" ");
}

/** Questions to begin with: the operator's, or the first pictures of the datastore. */
async function examples() {
  if (app.setup.examples.length || !app.shelves.length) return app.setup.examples;
  const { samples } = await list(app.settings().store, 0, 5 * EXAMPLES);
  const seen = samples.filter(({ image }) => image);
  const step = Math.max(1, Math.floor(seen.length / EXAMPLES)); // neighbours are often much alike
  return seen
    .filter((_, index) => index % step === 0)
    .slice(0, EXAMPLES)
    .map(({ image }) => ({ question: "What is this?", image }));
}

async function start(parts, tried = false) {
  const say = (text) => {
    at("problem").textContent = text;
    at("problem").hidden = !text;
  };
  say("");
  try {
    app.setup = await setup();
    fields.shots.value = app.setup.default_shots;
    await app.refresh();
    app.examples = await examples();
  } catch (error) {
    if (!(error instanceof ServerProblem)) console.error(error); // a mistake of this page
    if (error.status !== 401) say(error.message);
    else if (tried) say("This is not one of the server's keys.");
    at("model").textContent = error.status === 401 ? "Locked" : "Not connected";
    return;
  }
  at("key").hidden = true;
  document.body.classList.remove("locked");
  at("settings").hidden = false;
  for (const part of Object.values(parts)) part.started?.();
  app.tabs.start();
}

function themes() {
  const kept = localStorage.getItem("camml-theme");
  if (kept) document.documentElement.dataset.theme = kept;
  at("theme").addEventListener("click", () => {
    const dark =
      getComputedStyle(document.documentElement).getPropertyValue("color-scheme") === "dark" ||
      (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("camml-theme", document.documentElement.dataset.theme);
  });
}

function begin() {
  themes();
  const parts = Object.fromEntries(Object.entries(TABS).map(([name, tab]) => [name, tab.build(at(name), app)]));
  app.tabs = tabs(document.querySelector("[role=tablist]"), (name) => parts[name].shown?.());
  fields.store.addEventListener("change", async () => {
    chosenStore();
    app.tabs.start();
    app.examples = await examples().catch(() => []); // those of another datastore would find nothing
    for (const part of Object.values(parts)) part.started?.();
  });
  at("settings").addEventListener("input", () => {
    at("unfit").textContent = unfit();
    at("unfit").hidden = !at("unfit").textContent;
  });
  at("settings").addEventListener("submit", (event) => event.preventDefault());
  at("key").addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      useKey(at("key-field").value.trim());
      start(parts, true);
    } catch (error) {
      at("problem").textContent = error.message;
      at("problem").hidden = false;
    }
  });
  window.addEventListener("keywanted", () => {
    at("key").hidden = false;
    document.body.classList.add("locked"); // what is on the page comes back with the key
    at("key-field").focus();
  });
  for (const kind of ["dragover", "drop"]) {
    // a picture that misses its place must not replace the page
    document.addEventListener(kind, (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
  }
  app.tabs.start();
  start(parts);
}

begin();
