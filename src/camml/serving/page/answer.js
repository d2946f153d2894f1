// A place where an answer streams in, with the samples it was made from beside it.

import { ask } from "./api.js";
import { count, fill, make, sentence } from "./dom.js";
import { markSource, sampleCard } from "./samples.js";

/**
 * An answer to come.
 *
 * @param {{title?: string, app: object, evidence?: boolean}} options
 * @returns {{node, evidence, run: (request: object, signal: AbortSignal) => Promise<object|null>}} `run` gives null
 *   where no answer came, after it has said why
 */
export function answerPlace({ title, app, evidence: shown = true }) {
  const words = make("div.reply", { dir: "auto", "aria-live": "polite", "aria-atomic": "true" });
  const facts = make("p.quiet.facts");
  const remarks = make("div.remarks");
  const node = make("div.answer", {}, title && make("h3", {}, title), words, remarks, facts);
  const evidence = make("aside.evidence", { "aria-label": "Evidence", hidden: !shown });

  async function run(request, signal) {
    const started = performance.now();
    fill(words);
    fill(remarks);
    fill(evidence, make("p.quiet", {}, "Looking for samples …"));
    facts.textContent = "Thinking …";
    words.setAttribute("aria-busy", "true"); // a screen reader waits for the whole, and then reads it once
    try {
      const answer = await ask(
        { ...app.settings(), ...request },
        {
          signal,
          oncontext: (context) => fill(evidence, ...evidenceOf(context, request.given, app.fresh)),
          ontext(piece) {
            facts.textContent = "";
            words.append(piece);
          },
        },
      );
      facts.textContent = factsOf(answer, started);
      markEvidence(evidence, answer);
      const notes = new Set([...answer.notes, answer.reason].filter(Boolean));
      remarks.append(...[...notes].map((note) => make("p.note", {}, sentence(note))));
      if (!answer.text.trim()) remarks.append(make("p.note", {}, "The model answered with nothing."));
      return answer;
    } catch (error) {
      if (error.name === "AbortError") facts.textContent = "Stopped.";
      else {
        facts.textContent = "";
        remarks.append(make("p.problem", { role: "alert" }, error.message));
      }
      if (evidence.querySelector("li") === null) fill(evidence);
      return null;
    } finally {
      words.removeAttribute("aria-busy");
    }
  }
  return { node, evidence, run };
}

/** What the server says it used; of samples that were given by hand, this page knows name and picture. */
function evidenceOf(context, given, fresh) {
  if (!context.length) return [make("p.quiet", {}, "Answered without samples.")];
  const cards = context.map((sample, index) => {
    const { id, image } = given?.[index] ?? sample;
    return sampleCard({ ...sample, id, image }, { place: index + 1, fresh: fresh.has(id) });
  });
  return [make("h3", {}, `Made from ${count(context.length, "sample")}`), make("ol.samples", {}, ...cards)];
}

/** What the whole answer tells of its samples: which passage it was taken from, or that none of them tells. */
function markEvidence(evidence, answer) {
  if (answer.reason && answer.context.length) evidence.querySelector("h3").textContent = "Nearest samples";
  const cards = evidence.querySelectorAll("li.sample");
  answer.context.forEach((sample, index) => sample.supporting && markSource(cards[index], sample));
}

function factsOf(answer, started) {
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const tokens = answer.usage ? count(answer.usage.completion_tokens, "token") : "";
  const cut = answer.finish === "length" ? "cut at the longest answer (see More)" : "";
  return [seconds, tokens, cut].filter(Boolean).join(" · ");
}
