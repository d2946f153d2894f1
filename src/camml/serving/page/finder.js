// Finding samples of the chosen datastore, by words, by a picture, or by both, in the way that the settings say.

import { filterOf, search } from "./api.js";
import { make } from "./dom.js";
import { pictureWell } from "./picture.js";

/**
 * A search form.
 *
 * @param {object} app
 * @param {{zone: HTMLElement, onfound: (samples: object[]|null) => void}} options `onfound` gets null where the search
 *   was cleared
 */
export function finder(app, { zone, onfound }) {
  const problem = make("p.problem", { role: "alert", hidden: true });
  const say = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };
  const words = make("input", {
    type: "search",
    placeholder: "Search the samples",
    "aria-label": "Search the samples",
    maxLength: 2000,
    dir: "auto",
  });
  const only = make("input.only", {
    placeholder: "only where, such as country: France or year<=1900",
    "aria-label": "Only samples with this metadata",
    maxLength: 500,
    dir: "auto",
  });
  const well = pictureWell({ zone, label: "By picture", onproblem: say, onchange: () => run() });
  const node = make(
    "form.finder",
    { role: "search" },
    words,
    well.node,
    only,
    make("button", { type: "submit" }, "Search"),
    problem,
  );
  let latest = 0;

  async function run() {
    const [text, picture, turn] = [words.value.trim(), well.get(), ++latest];
    say("");
    try {
      const filter = filterOf(only.value);
      if (!text && !picture && Object.keys(filter).length) return say("Write what to search for, too.");
      if (!text && !picture) return onfound(null);
      const { store, mode } = app.settings();
      const found = await search(store, { text, picture, filter, mode });
      // a slower, older search has nothing to say any more, nor has one of another datastore
      if (turn === latest && store === app.settings().store) onfound(found);
    } catch (error) {
      say(error.message);
    }
  }

  node.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  words.addEventListener("search", () => {
    if (!words.value) run();
  });
  return { node, run };
}
