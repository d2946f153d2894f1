// A list that is put in order by dragging a handle (mouse, pen or finger) or by buttons and arrow keys.

import { button, fill, make } from "./dom.js";
import { sampleCard } from "./samples.js";

/**
 * An empty list of samples.
 *
 * @param {string} name for assistive technology
 * @returns {{node: HTMLElement, add: (sample: object) => void, items: () => object[]}}
 */
export function orderable(name) {
  let items = [];
  const rows = make("ol.order", { "aria-label": name });
  const news = make("p.unseen", { "aria-live": "polite" });
  const empty = make("p.quiet.empty", {}, "Nothing yet. Add samples from the datastore, or write some of your own.");
  const node = make("div", {}, empty, rows, news);

  function move(item, to, focus) {
    const from = items.indexOf(item);
    to = Math.max(0, Math.min(items.length - 1, to));
    if (from === to) return;
    items.splice(to, 0, ...items.splice(from, 1));
    render();
    // a button is disabled at the end of its way, and takes no focus there
    (rows.children[to].querySelector(`${focus}:enabled`) ?? rows.children[to].querySelector(".handle")).focus();
    say(item, to);
  }

  function say(item, place) {
    news.textContent = `${item.id} is now ${place + 1} of ${items.length}`;
  }

  function remove(item) {
    const place = items.indexOf(item);
    items = items.filter((one) => one !== item);
    render();
    news.textContent = `${item.id} is out of the sequence`;
    rows.children[Math.min(place, items.length - 1)]?.querySelector(".handle").focus();
  }

  function row(item, place) {
    const handle = button("⠿", null, ".plain.icon.handle", {
      "aria-label": `Move ${item.id}, ${place + 1} of ${items.length}; arrow keys, or drag`,
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      move(item, items.indexOf(item) + step, ".handle");
    });
    const card = sampleCard(item, {
      place: place + 1,
      actions: [
        button("↑", () => move(item, place - 1, ".up"), ".plain.icon.up", {
          "aria-label": `Move ${item.id} up`,
          disabled: place === 0,
        }),
        button("↓", () => move(item, place + 1, ".down"), ".plain.icon.down", {
          "aria-label": `Move ${item.id} down`,
          disabled: place === items.length - 1,
        }),
        button("×", () => remove(item), ".plain.icon", { "aria-label": `Take ${item.id} out` }),
      ],
    });
    card.prepend(handle);
    drag(handle, card, rows, (to) => move(item, to, ".handle"));
    return card;
  }

  function render() {
    empty.hidden = items.length > 0;
    fill(rows, ...items.map(row));
  }

  return {
    node,
    items: () => items,
    add(sample) {
      items = [...items, { ...sample, score: null }]; // the same sample may come twice
      render();
      say(sample, items.length - 1);
    },
  };
}

/** Let `handle` drag `card` among its siblings; `ondrop` gets the place where it was let go. */
function drag(handle, card, rows, ondrop) {
  let start = null;

  function placeOf(y) {
    const others = [...rows.children].filter((one) => one !== card);
    return others.filter((one) => {
      const box = one.getBoundingClientRect();
      return y > box.top + box.height / 2;
    }).length;
  }

  function end(event, drop) {
    if (start === null) return;
    start = null;
    card.classList.remove("dragged");
    card.style.transform = "";
    if (drop) ondrop(placeOf(event.clientY));
  }

  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = event.clientY;
    handle.setPointerCapture(event.pointerId);
    card.classList.add("dragged");
  });
  handle.addEventListener("pointermove", (event) => {
    if (start !== null) card.style.transform = `translateY(${event.clientY - start}px)`;
  });
  handle.addEventListener("pointerup", (event) => end(event, true));
  handle.addEventListener("pointercancel", (event) => end(event, false));
}
