// Chat: questions one after the other, each answer with its evidence beside it.

import { answerPlace } from "./answer.js";
import { composer } from "./composer.js";
import { button, fill, make } from "./dom.js";

export function build(panel, app) {
  const turns = make("div.turns");
  const welcome = make("div.welcome");
  const form = composer(app, {
    panel,
    label: "Your question",
    placeholder: "Ask a question",
    onask,
  });
  let topic = null; // the picture that is talked about
  let history = [];

  async function onask(question, picture, signal) {
    if (picture !== topic) [topic, history] = [picture, []]; // a new picture is a new conversation
    const before = history;
    welcome.hidden = true;
    form.words.value = "";
    const place = answerPlace({ app });
    const again = button("Ask again", () => form.during(run), ".plain.again", {
      title: "The same question, with what the datastore holds now",
    });
    const asked = make(
      "div.asked",
      {},
      picture && make("img", { src: picture.url, alt: "Your picture" }),
      make("p", { dir: "auto" }, question),
    );
    const turn = make(
      "article.turn",
      { "aria-label": question },
      make("div.said", {}, asked, place.node, again),
      place.evidence,
    );
    turns.append(turn);
    turn.scrollIntoView({ block: "start" });
    app.askAgain = () => {
      turn.scrollIntoView({ block: "start" });
      form.during(run);
    };

    async function run(stop) {
      again.hidden = true;
      const answer = await place.run({ question, picture, history: before }, stop);
      again.hidden = false;
      if (!answer || turn !== turns.lastChild) return; // what is asked anew further up is no part of what follows
      history = [...before, { role: "user", content: question }, { role: "assistant", content: answer.text }];
    }
    await run(signal);
  }

  fill(panel, turns, welcome, make("div.dock", {}, form.node));
  return {
    shown: () => form.shown(),
    started() {
      fill(
        welcome,
        ...greeting(app, (question, picture) => {
          form.set(question, picture);
          form.ask();
        }),
      );
    },
  };
}

function greeting(app, ask) {
  const examples = app.examples.map(({ question, image }) =>
    make(
      "button.example",
      {
        type: "button",
        on: { click: async () => ask(question, image ? await app.pictureAt(image) : null) },
        "aria-label": image ? `${question} (with a picture)` : question,
      },
      image && make("img", { src: image, alt: "" }),
      make("span", { dir: "auto" }, question),
    ),
  );
  return [
    make("h2", {}, "Ask about a picture"),
    make("p.quiet", {}, "CaMML looks for samples that help, answers from them, and shows you which they were."),
    examples.length > 0 && make("div.examples", { role: "group", "aria-label": "Examples" }, ...examples),
  ];
}
