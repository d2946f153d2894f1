// The datastore: look through it, search it, add a sample, remove one. What changes here, the next question sees.

import { add, list, metaOf, remove } from "./api.js";
import { button, count, fill, labelled, make } from "./dom.js";
import { finder } from "./finder.js";
import { intro } from "./intro.js";
import { pictureWell } from "./picture.js";
import { sampleCard } from "./samples.js";

const PAGE = 24;

export function build(panel, app) {
  const status = make("p.quiet", { role: "status" });
  const grid = make("ul.samples.grid", { "aria-label": "Samples" });
  const pager = make("nav.pager", { "aria-label": "Pages" });
  const news = make("div.news", { role: "status" });
  const find = finder(app, { zone: grid, onfound: (found) => (found ? nearest(found) : browse(0)) });
  const adding = addForm(app, async (sample) => {
    app.fresh.add(sample.id);
    fill(
      news,
      make("span", {}, `Added ${sample.id}. The next question sees it. `),
      app.askAgain &&
        button("Ask the last question again", () => {
          app.tabs.choose("chat");
          app.askAgain();
        }),
    );
    await app.refresh();
    await browse(0);
  });
  const narrow = matchMedia("(max-width: 56rem)");
  const adder = make("details.adder", { open: !narrow.matches }, make("summary", {}, "Add a sample"), adding.node);
  narrow.addEventListener("change", () => {
    adder.open = !narrow.matches;
  });
  let [offset, searching, seen, turn] = [0, false, "", 0];

  async function browse(from, again = true) {
    const shelf = app.store();
    const mine = ++turn; // a slower, older answer has nothing to say any more
    if (!shelf) return fill(grid);
    const end = PAGE * Math.max(0, Math.ceil(shelf.samples / PAGE) - 1); // of the last page, which may have gone
    [offset, searching] = [Math.min(from, end), false];
    const first = Math.max(0, shelf.samples - offset - PAGE); // the server counts from the oldest, this list from the newest
    try {
      const { samples, total } = await list(shelf.id, first, Math.max(1, shelf.samples - offset - first));
      if (mine !== turn) return;
      if (again && total !== shelf.samples) {
        // somebody else has changed the datastore, and where a page begins depends on how many samples there are
        await app.refresh();
        if (mine === turn) await browse(from, false);
        return;
      }
      const last = Math.min(offset + PAGE, total);
      show(
        samples.reverse(),
        total
          ? `${offset + 1}–${last} of ${count(total, "sample")} in ${shelf.id}, newest first`
          : `${shelf.id} is empty: add a sample.`,
      );
      fill(pager, ...steps(total));
    } catch (error) {
      if (mine === turn) fill(grid, make("li.problem", { role: "alert" }, error.message));
    }
  }

  function steps(total) {
    if (total <= PAGE) return [];
    const pages = Math.ceil(total / PAGE);
    return [
      button("← Previous", () => browse(offset - PAGE), "", { disabled: offset === 0 }),
      jump(pages),
      button("Next →", () => browse(offset + PAGE), "", { disabled: offset + PAGE >= total }),
    ];
  }

  /** The number of the page, which can be changed. */
  function jump(pages) {
    const number = make("input", {
      type: "number",
      min: 1,
      max: pages,
      value: offset / PAGE + 1,
      "aria-label": "Page",
      on: { change: () => browse(PAGE * (Math.min(pages, Math.max(1, Math.round(number.value) || 1)) - 1)) },
    });
    return make("span", {}, "Page ", number, ` of ${pages}`);
  }

  function nearest(samples) {
    [searching, turn] = [true, turn + 1];
    fill(pager);
    show(samples, `${count(samples.length, "sample")}, nearest first`);
  }

  function show(samples, words) {
    status.textContent = words;
    const mayRemove = !app.store()?.read_only;
    fill(
      grid,
      ...samples.map((sample) =>
        sampleCard(sample, { fresh: app.fresh.has(sample.id), actions: mayRemove ? [removal(sample)] : [] }),
      ),
    );
  }

  function removal(sample) {
    const { store } = app.settings(); // that of the sample, whatever is chosen when this is clicked
    const node = button("Remove", onclick, ".plain.danger", { "aria-label": `Remove ${sample.id}` });
    node.addEventListener("blur", () => {
      node.textContent = "Remove";
    });
    async function onclick() {
      if (node.textContent === "Remove") {
        node.textContent = "Really remove?";
        return;
      } // asked twice, undone never
      node.disabled = true;
      try {
        await remove(store, sample.id);
        app.fresh.delete(sample.id);
        fill(news, `Removed ${sample.id}.`);
        await app.refresh();
        await (searching ? find.run() : browse(offset));
        status.focus();
      } catch (error) {
        fill(news, make("span.problem", { role: "alert" }, error.message));
        node.disabled = false;
      }
    }
    return node;
  }

  fill(
    panel,
    intro(
      "Datastore",
      "What the model answers from. A sample added here is used by the very next question, without any training.",
    ),
    make(
      "div.keeper",
      {},
      make("section", { "aria-label": "Samples" }, find.node, news, status, grid, pager),
      adder,
    ),
  );
  status.tabIndex = -1;
  return {
    shown() {
      const { store } = app.settings();
      adder.hidden = Boolean(app.store()?.read_only) || !store;
      if (store !== seen) browse(0);
      seen = store;
    },
  };
}

function addForm(app, onadded) {
  const problem = make("p.problem", { role: "alert", hidden: true });
  const say = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };
  const words = make("textarea", { rows: 4, dir: "auto", placeholder: "This is the flag of …" });
  const id = make("input", { placeholder: "made for you if left empty", maxLength: 200, autocomplete: "off" });
  const facts = make("textarea", { rows: 2, dir: "auto", placeholder: "country: France\npage: 12", maxLength: 4000 });
  const go = make("button.main", { type: "submit" }, "Add the sample");
  const node = make("form.add");
  const well = pictureWell({ zone: node, onproblem: say, onchange: () => say("") });
  node.append(
    well.node,
    labelled("Its text", words, ".wide"),
    labelled("Its id", id, ".wide"),
    labelled("What else is known, a line each", facts, ".wide"),
    go,
    problem,
  );
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!words.value.trim() && !well.get()) return say("A sample needs a text or a picture.");
    go.disabled = true;
    say("");
    try {
      const sample = await add(app.settings().store, {
        id: id.value.trim(),
        text: words.value.trim(),
        picture: well.get(),
        meta: metaOf(facts.value),
      });
      for (const field of [words, id, facts]) field.value = "";
      well.set(null);
      await onadded(sample);
    } catch (error) {
      say(error.message);
    } finally {
      go.disabled = false;
    }
  });
  return { node };
}
