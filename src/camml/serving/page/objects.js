// Hallucination check: is it in the picture? Yes/no questions about objects, asked with and without context.

import { ask } from "./api.js";
import { composer } from "./composer.js";
import { fill, make } from "./dom.js";
import { intro } from "./intro.js";

const WORDING = "Is there {a} {object} in the image? Answer yes or no.";

export function build(panel, app) {
  const results = make("div.results", { "aria-live": "polite" });
  const form = composer(app, {
    panel,
    label: "Objects, with commas between",
    placeholder: "dog, bicycle, umbrella",
    send: "Check",
    carries: false,
    onask,
  });

  async function onask(list, picture, signal) {
    if (!picture) throw new Error("Add the picture to check first.");
    const objects = [
      ...new Set(
        list
          .split(/[,;\n]/)
          .map((one) => one.trim())
          .filter(Boolean),
      ),
    ];
    const rows = make("tbody");
    const verdict = make("p.quiet.verdict");
    fill(results, table(rows), verdict);
    let changed = 0;
    for (const object of objects) {
      const [row, ...cells] = line(object);
      rows.append(row);
      const shots = app.settings().shots || app.setup.default_shots;
      const said = await Promise.all(
        [0, shots].map((number, index) => fillIn(cells[index], question(object), picture, number, signal)),
      );
      if (said[0] !== said[1]) {
        row.classList.add("differs");
        changed += 1;
      }
      verdict.textContent = `Context changed ${changed} of ${rows.children.length} answers.`;
    }
  }

  async function fillIn(cell, words, picture, shots, signal) {
    const request = { ...app.settings(), question: words, picture, shots };
    try {
      const answer = await ask(request, { signal, oncontext: () => {}, ontext: () => {} });
      const found = yesOrNo(answer.text);
      fill(
        cell,
        make(`strong.${found ?? "neither"}`, {}, found ?? "neither"),
        make("span.quiet", {}, answer.text.trim()),
      );
      return found;
    } catch (error) {
      fill(cell, make("span.quiet", {}, error.name === "AbortError" ? "stopped" : error.message));
      throw error;
    }
  }

  fill(
    panel,
    intro(
      "Hallucination check",
      "Models like to see what is often there. Name some objects that are in the picture and some that are not, and see which answers the samples put right.",
    ),
    form.node,
    results,
  );
  return {
    shown() {
      if (!form.picture() && app.draft?.picture) form.set(form.words.value, app.draft.picture);
    },
  };
}

/** "yes", "no" or null: the first of the two words in an answer, as the yes/no benchmarks read it. */
export function yesOrNo(text) {
  return (
    text
      .toLowerCase()
      .match(/\b(yes|no|not)\b/)?.[1]
      .replace("not", "no") ?? null
  );
}

const question = (object) =>
  WORDING.replace("{a}", /^[aeiou]/i.test(object) ? "an" : "a").replace("{object}", () => object);

function table(rows) {
  const heads = ["Object", "Without context", "With context"].map((text) => make("th", { scope: "col" }, text));
  return make("table.checks", {}, make("thead", {}, make("tr", {}, ...heads)), rows);
}

function line(object) {
  const cells = ["Without context", "With context"].map((label) =>
    make("td", { "data-label": label }, make("span.quiet", {}, "…")),
  );
  return [make("tr", {}, make("th", { scope: "row" }, object), ...cells), ...cells];
}
