// Where a question is written: a picture, words, and one button that asks and, while an answer comes, stops it.

import { make } from "./dom.js";
import { pictureWell } from "./picture.js";

/**
 * A form for one question at a time.
 *
 * @param {object} app what all tabs share; a form left empty takes over the question written last in another tab
 * @param {object} options
 *   panel: around the form; pictures may be dropped and pasted there, and Escape stops
 *   label, placeholder: of the words; send: what the button says; carries: take over questions of other tabs
 *   onask: (question, picture, signal) => Promise, which ends when the answer is whole
 */
export function composer(app, { panel, label, placeholder, send = "Ask", carries = true, onask }) {
  let running = null;
  const problem = make("p.problem", { role: "alert", hidden: true });
  const say = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };
  const words = make("textarea", { rows: 1, dir: "auto", placeholder, "aria-label": label, enterKeyHint: "send", maxLength: 20000 });
  const go = make("button.main", { type: "submit" }, send);
  const well = pictureWell({ zone: panel, onproblem: say, onchange: () => say("") });
  const node = make("form.composer", { noValidate: true }, well.node, words, go, problem);

  async function ask() {
    const question = words.value.trim();
    if (!question) {
      words.focus();
      return say("Write a question first.");
    }
    if (carries) app.draft = { question, picture: well.get() };
    await during((signal) => onask(question, well.get(), signal));
  }

  /** Do what takes its time and a signal to stop; meanwhile the button stops it. */
  async function during(task) {
    if (running) return;
    running = new AbortController();
    say("");
    go.textContent = "Stop";
    go.classList.add("stop");
    try {
      await task(running.signal);
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    } finally {
      running = null;
      go.textContent = send;
      go.classList.remove("stop");
    }
  }

  node.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) ask();
    else if (event.submitter) running.abort();
  });
  words.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    node.requestSubmit();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });

  return {
    node,
    words,
    picture: well.get,
    during,
    set(question, picture) {
      words.value = question;
      well.set(picture);
    },
    ask: () => (running ? undefined : node.requestSubmit()),
    shown() {
      if (carries && app.draft && !running && !words.value && !well.get())
        this.set(app.draft.question, app.draft.picture);
    },
  };
}
