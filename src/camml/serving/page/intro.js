// How each tab begins: what it is, and what a person can do there.

import { make } from "./dom.js";

export const intro = (title, text) => make("header.intro", {}, make("h2", {}, title), make("p", {}, text));
