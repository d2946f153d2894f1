// Localisation: the box of an answer, drawn on the picture in both conventions of coordinates.

import { answerPlace } from "./answer.js";
import { boxOf } from "./api.js";
import { composer } from "./composer.js";
import { fill, make } from "./dom.js";
import { intro } from "./intro.js";

const WORDING = "Please provide the bounding box coordinate of the region this sentence describes: {description}";
const CONVENTIONS = {
  padded: "on the padded square, as the published models are trained",
  normalised: "on the picture itself",
};
const SVG = "http://www.w3.org/2000/svg";

export function build(panel, app) {
  const results = make("div.results");
  const wording = make("textarea", { rows: 2, value: WORDING });
  const form = composer(app, {
    panel,
    label: "What to find",
    placeholder: "what you would drink from",
    send: "Find",
    carries: false,
    onask,
  });

  async function onask(description, picture, signal) {
    if (!picture) throw new Error("Add the picture to look at first.");
    const place = answerPlace({ app });
    const figure = make(
      "figure.located",
      {},
      make("div.canvas", {}, make("img", { src: picture.url, alt: "Your picture" })),
    );
    fill(
      results,
      make("article.turn", { "aria-label": description }, make("div.said", {}, figure, place.node), place.evidence),
    );
    const answer = await place.run(
      { question: wording.value.replace("{description}", () => description), picture },
      signal,
    );
    if (answer) draw(figure, await boxOf(answer.text, picture), picture);
  }

  const more = make(
    "details.wording",
    {},
    make("summary", {}, "Wording"),
    make("label", {}, make("span", {}, "{description} stands for what you write above"), wording),
  );
  fill(
    panel,
    intro(
      "Localisation",
      "Describe something without naming it, and the model answers where it is. The box is drawn in both conventions; which one a model means depends on how it was trained.",
    ),
    form.node,
    more,
    results,
  );
  return {
    shown() {
      if (!form.picture() && app.draft?.picture) form.set(form.words.value, app.draft.picture);
    },
  };
}

function draw(figure, found, { width, height }) {
  if (!found.box) {
    figure.append(
      make(
        "figcaption",
        {},
        make("p.note", {}, "The answer holds no box: four numbers in brackets, [left, top, right, bottom]."),
      ),
    );
    return;
  }
  const sheet = document.createElementNS(SVG, "svg");
  sheet.setAttribute("viewBox", `0 0 ${width} ${height}`);
  sheet.setAttribute("aria-hidden", "true"); // the legend says the same in numbers
  const legend = make("ul.legend");
  for (const [name, meaning] of Object.entries(CONVENTIONS)) {
    const shape = sheet.appendChild(rectangle(found[name], name));
    const tick = make("input", {
      type: "checkbox",
      checked: true,
      on: {
        change: () => {
          shape.style.display = tick.checked ? "" : "none";
        },
      },
    });
    const numbers = found[name].map((value) => Math.round(value)).join(", ");
    legend.append(
      make(
        `li.${name}`,
        {},
        make("label", {}, tick, make("i.swatch"), meaning),
        " ",
        make("span.quiet", {}, `[${numbers}] px`),
      ),
    );
  }
  figure.querySelector(".canvas").append(sheet);
  figure.append(make("figcaption", {}, legend));
}

function rectangle([left, top, right, bottom], name) {
  const shape = document.createElementNS(SVG, "rect");
  const traits = {
    x: Math.min(left, right),
    y: Math.min(top, bottom),
    width: Math.abs(right - left),
    height: Math.abs(bottom - top),
    class: name,
  };
  for (const [key, value] of Object.entries(traits)) shape.setAttribute(key, value);
  return shape;
}
