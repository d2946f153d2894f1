// Samples as a person reads them: picture, text, score.

import { button, make } from "./dom.js";

const LONG = 260; // characters that are shown before "more"
const LINES = 6; // and lines

/**
 * A sample in a list.
 *
 * @param {{id: string, text: string, score?: number|null, image?: string|null}} sample
 * @param {{place?: number, fresh?: boolean, actions?: Node[]}} options `place` counts from 1; `fresh` marks a new one
 */
export function sampleCard(sample, { place, fresh = false, actions = [] } = {}) {
  const view = make("div.view");
  if (sample.image) view.append(thumbnail(sample));
  else view.append(make("span.quiet", {}, "no picture"));
  const about = make(
    "p.about",
    {},
    place && make("span.place", {}, `${place}`),
    make("span.id", { title: "The sample's id" }, sample.id),
    fresh && make("span.fresh", {}, "new"),
    Number.isFinite(sample.score) &&
      make("span.score", { title: "How near it is to the question" }, sample.score.toFixed(3)),
  );
  const words = make("div.words", {}, about, text(sample.text), facts(sample.meta));
  if (actions.length) words.append(make("div.actions", {}, ...actions));
  return make("li.sample", {}, view, words);
}

function thumbnail(sample) {
  const image = make("img", {
    src: sample.image,
    alt: `Picture of sample ${sample.id}`,
    loading: "lazy",
    decoding: "async",
  });
  image.addEventListener("error", () => image.replaceWith(make("span.quiet", {}, "picture not available")));
  return image;
}

/** What is known of a sample beside its text; nothing where nothing is. */
function facts(meta) {
  const known = Object.entries(meta ?? {});
  if (!known.length) return null;
  return make(
    "dl.meta",
    {},
    ...known.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, `${value}`))),
  );
}

/** Mark the card of the sample that an answer was taken from, and the passage in its text. */
export function markSource(card, sample) {
  card.classList.add("source");
  card.querySelector(".id").after(make("span.from", { title: "The answer was taken from here, as its words show" }, "source"));
  card.querySelector(".text").replaceWith(text(sample.text, sample.supporting));
}

/** A text, a long one by its beginning; of a marked passage that lies further on, that as well. */
function text(whole, passage = "") {
  const at = passage ? whole.indexOf(passage) : -1;
  const short = whole.split("\n").slice(0, LINES).join("\n").slice(0, LONG).trimEnd();
  const node = make("p.text", { dir: "auto" });
  const mark = () => make("mark", {}, passage);
  const all = at < 0 ? [whole] : [whole.slice(0, at), mark(), whole.slice(at + passage.length)];
  let some = [`${short} … `];
  if (at >= 0 && at < short.length) {
    const rest = short.slice(at + passage.length);
    some = [whole.slice(0, at), mark(), rest ? `${rest} … ` : " … "];
  } else if (at >= 0) some = [`${short} … `, mark(), " … "];
  const show = (wanted) => {
    const label = wanted ? "Show the beginning of the text alone" : "Show the whole text";
    const toggle = button(wanted ? "less" : "more", () => show(!wanted), ".plain.more", { "aria-label": label });
    node.replaceChildren(...(wanted ? [...all, " "] : some), toggle);
  };
  if (short.length < whole.trimEnd().length) show(false);
  else node.replaceChildren(...all);
  return node;
}
