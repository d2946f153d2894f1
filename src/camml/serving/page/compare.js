// With and without context: one question, two answers, side by side.

import { answerPlace } from "./answer.js";
import { composer } from "./composer.js";
import { fill, make } from "./dom.js";
import { intro } from "./intro.js";

export function build(panel, app) {
  const results = make("div.results");
  const form = composer(app, {
    panel,
    label: "Your question",
    placeholder: "What do the samples add?",
    send: "Compare",
    onask,
  });

  async function onask(question, picture, signal) {
    const grounded = answerPlace({ app, title: "With context" });
    const bare = answerPlace({ app, title: "Without context", evidence: false });
    fill(
      results,
      make(
        "div.pair",
        {},
        make("section.half.grounded", {}, grounded.node, grounded.evidence),
        make("section.half", {}, bare.node),
      ),
    );
    const shots = app.settings().shots || app.setup.default_shots; // with none, both sides would be the same
    await Promise.all([
      grounded.run({ question, picture, shots }, signal),
      bare.run({ question, picture, shots: 0 }, signal),
    ]);
  }

  fill(
    panel,
    intro(
      "With and without context",
      "The same model answers the same question twice: once from the samples it finds, once from what it happens to know.",
    ),
    form.node,
    results,
  );
  return { shown: () => form.shown() };
}
