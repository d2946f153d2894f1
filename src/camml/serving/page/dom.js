// Elements without markup: a text can only ever become text, whatever it holds.

/**
 * An element.
 *
 * @param {string} kind its name, with its classes after dots: "p.quiet"
 * @param {Object} traits properties; names with a hyphen, and `role`, are attributes; `on` holds listeners
 * @param {...(Node|string|null|undefined|false)} children strings become text; what is missing is left out
 */
export function make(kind, traits = {}, ...children) {
  const [name, ...classes] = kind.split(".");
  const node = document.createElement(name);
  node.className = classes.join(" ");
  for (const [key, value] of Object.entries(traits)) {
    if (key === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (key.includes("-") || key === "role" || key === "for") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children.filter((child) => child || child === 0));
  return node;
}

/** Put `children` in the place of all that `node` holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.filter(Boolean));
  return node;
}

/** A button; `kind` adds classes, as in `make`. */
export function button(label, onclick, kind = "", traits = {}) {
  return make(`button${kind}`, { type: "button", on: { click: onclick }, ...traits }, label);
}

/** A field under its label. */
export function labelled(label, field, kind = "") {
  return make(`label${kind}`, {}, make("span", {}, label), field);
}

/** A message of the server as a sentence of its own. */
export function sentence(text) {
  const whole = /^[a-z]+:\/\//.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

/** `1 sample`, `2 samples`. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
