// Sequences: the person chooses the samples and their order, and asks.

import { answerPlace } from "./answer.js";
import { list } from "./api.js";
import { composer } from "./composer.js";
import { button, fill, labelled, make } from "./dom.js";
import { finder } from "./finder.js";
import { intro } from "./intro.js";
import { pictureWell } from "./picture.js";
import { orderable } from "./order.js";
import { sampleCard } from "./samples.js";

export function build(panel, app) {
  const results = make("div.results");
  const shelf = make("ul.samples.shelf", { "aria-label": "Samples to choose from" });
  const find = finder(app, { zone: shelf, onfound: (found) => (found ? offer(found) : browse()) });
  const sequence = orderable("Your sequence");
  const form = composer(app, {
    panel,
    label: "Your question",
    placeholder: "What comes next?",
    carries: false,
    onask,
  });
  let [last, turn] = ["", 0];

  function offer(samples) {
    turn += 1;
    const { store } = app.settings();
    fill(
      shelf,
      ...samples.map((sample) =>
        sampleCard(sample, {
          actions: [
            button("Add to the sequence", () => sequence.add({ ...sample, from: store }), ".plain", {
              "aria-label": `Add ${sample.id} to the sequence`,
            }),
          ],
        }),
      ),
    );
  }

  async function browse() {
    const { store } = app.settings();
    const mine = ++turn; // a slower, older answer has nothing to say any more
    if (!store) return;
    try {
      const { samples } = await list(store, 0, 12);
      if (mine === turn && store === app.settings().store) offer(samples);
    } catch (error) {
      if (mine === turn) fill(shelf, make("li.problem", {}, error.message));
    }
  }

  async function onask(question, picture, signal) {
    const chosen = sequence.items();
    if (!chosen.length) throw new Error("Put at least one sample into the sequence first.");
    const { store } = app.settings();
    const foreign = chosen.find(({ own, from }) => !own && from !== store);
    if (foreign) throw new Error(`${foreign.id} is from the datastore ${foreign.from}. Choose that one, or take it out.`);
    const samples = chosen.map(({ id, text, own, picture: shown }) =>
      own ? { text, ...(shown && { image_url: shown.url }) } : { id },
    );
    const place = answerPlace({ app, title: chosen.map(({ id }) => id).join(" → ") });
    results.prepend(
      make(
        "article.turn",
        { "aria-label": question },
        make("div.said", {}, make("div.asked", {}, make("p", {}, question)), place.node),
        place.evidence,
      ),
    );
    await place.run({ question, picture, samples, given: chosen }, signal);
  }

  fill(
    panel,
    intro(
      "Sequences",
      "Choose samples and put them in order, then ask. Drag a sample by its handle, or use the arrows; the order is part of the question.",
    ),
    make(
      "div.bench",
      {},
      make(
        "section",
        { "aria-label": "Datastore" },
        make("h3", {}, "Choose"),
        find.node,
        shelf,
        ownSample((item) => sequence.add(item)),
      ),
      make("section", {}, make("h3", {}, "Your sequence"), sequence.node, form.node, results),
    ),
  );
  return {
    shown() {
      const { store } = app.settings();
      if (store !== last) browse();
      last = store;
    },
  };
}

/** A form for a sample that is in no datastore. */
function ownSample(onadd) {
  let made = 0;
  const problem = make("p.problem", { role: "alert", hidden: true });
  const words = make("textarea", { rows: 2, required: true });
  const node = make("details.own");
  const well = pictureWell({
    zone: node,
    onproblem: (text) => {
      problem.textContent = text;
      problem.hidden = false;
    },
  });
  const form = make(
    "form",
    {},
    well.node,
    labelled("Its text", words, ".wide"),
    make("button", { type: "submit" }, "Add to the sequence"),
    problem,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onadd({
      id: `own ${++made}`,
      text: words.value.trim(),
      own: true,
      image: well.get()?.url ?? null,
      picture: well.get(),
    });
    words.value = "";
    well.set(null);
  });
  node.append(make("summary", {}, "Write a sample of your own"), form);
  return node;
}
