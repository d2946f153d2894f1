// Image generation: the grounded answer becomes the prompt of a model that draws.

import { answerPlace } from "./answer.js";
import { draw } from "./api.js";
import { composer } from "./composer.js";
import { button, fill, labelled, make, sentence } from "./dom.js";
import { intro } from "./intro.js";

export function build(panel, app) {
  const results = make("div.results");
  const status = make("p.note", { hidden: true });
  const form = composer(app, {
    panel,
    label: "What to describe",
    placeholder: "Describe how this dish is served",
    send: "Describe",
    onask,
  });

  async function onask(question, picture, signal) {
    const place = answerPlace({ app });
    const stage = make("div.stage");
    fill(
      results,
      make("article.turn", { "aria-label": question }, make("div.said", {}, place.node, stage), place.evidence),
    );
    const answer = await place.run({ question, picture }, signal);
    if (answer) fill(stage, ...easel(app, answer.text.trim()));
  }

  fill(
    panel,
    intro(
      "Image generation",
      "First an answer from the samples, then a picture of it: so what is drawn rests on what the datastore knows. Change the prompt before it goes out.",
    ),
    status,
    form.node,
    results,
  );
  return {
    shown: () => form.shown(),
    started() {
      status.hidden = !app.setup.drawing.missing;
      status.textContent = sentence(app.setup.drawing.missing ?? "");
    },
  };
}

function easel(app, text) {
  const prompt = make("textarea", { rows: 4, value: text, maxLength: app.setup.drawing.longest });
  const result = make("div.drawn", { "aria-live": "polite" });
  const go = button("Draw it", paint, ".main", { disabled: Boolean(app.setup.drawing.missing) });

  async function paint() {
    go.disabled = true;
    fill(result, make("p.quiet", {}, `${app.setup.drawing.model} is drawing …`));
    try {
      const address = await draw(prompt.value);
      fill(
        result,
        make("img", { src: address, alt: prompt.value }),
        make("a", { href: address, download: "drawing.png" }, "Save the picture"),
      );
    } catch (error) {
      fill(result, make("p.problem", { role: "alert" }, error.message));
    } finally {
      go.disabled = false;
    }
  }
  return [labelled("Prompt for the picture", prompt, ".wide"), go, result];
}
