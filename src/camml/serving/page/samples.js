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

function text(whole) {
  const short = whole.split("\n").slice(0, LINES).join("\n").slice(0, LONG).trimEnd();
  const node = make("p.text", { dir: "auto" });
  const show = (all) => {
    const label = all ? "Show the beginning of the text alone" : "Show the whole text";
    const toggle = button(all ? "less" : "more", () => show(!all), ".plain.more", { "aria-label": label });
    node.replaceChildren(all ? `${whole} ` : `${short} … `, toggle);
  };
  if (short.length < whole.trimEnd().length) show(false);
  else node.textContent = whole;
  return node;
}
