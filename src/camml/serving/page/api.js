// The server's own API: questions with streamed answers, datastores, and the few things only this page needs.

import { sentence } from "./dom.js";

const BROKEN = "The connection broke before the answer was whole. Ask again.";
const KEPT = "camml-key"; // in this tab's session alone

/** What went wrong, in words a person can act on; `status` is HTTP's, 0 where no answer came. */
export class ServerProblem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Keep a key for this tab; one that no server can have is a problem at once, since browsers cannot even send it. */
export function useKey(key) {
  if (/[^\x21-\x7e]/.test(key)) {
    throw new ServerProblem("A key has Latin letters, figures and signs alone, and no spaces. Was it copied whole?");
  }
  sessionStorage.setItem(KEPT, key);
}

async function send(path, { body, method = body ? "POST" : "GET", signal } = {}) {
  const headers = {};
  const key = sessionStorage.getItem(KEPT);
  if (key) headers.Authorization = `Bearer ${key}`;
  const form = body instanceof FormData;
  if (body && !form) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: !body || form ? body : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerProblem("The server cannot be reached. Is it running, and are you connected?");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const document = await response.json().catch(() => null);
  const said = sentence(document?.error?.message ?? `the server answers ${response.status} ${response.statusText}`);
  const wait = response.headers.get("Retry-After");
  if (response.status === 401) window.dispatchEvent(new Event("keywanted"));
  return new ServerProblem(wait ? `${said} Try again in ${wait} s.` : said, response.status);
}

const json = async (path, options) => (await send(path, options)).json();
const samplesOf = (store) => `v1/stores/${encodeURIComponent(store)}/samples`;

/** A sample as this page shows it. */
function shown({ id, text, meta = {}, score = null, supporting = null, thumbnail_url: thumbnail, store = null }) {
  const address = thumbnail && new URL(thumbnail, location); // of this very server, whatever name a proxy gives it
  return { id, text, meta, score, supporting, store, image: address ? address.pathname + address.search : null };
}

/**
 * Names and values as people write them, a `name: value` or `name=value` a line.
 *
 * @throws {ServerProblem} a line has no name or no value
 */
function pairsOf(words) {
  const lines = words.split(/\n|;/).map((line) => line.trim());
  return lines.filter(Boolean).map((line) => {
    const [, name, value] = /^([^:=]+?)\s*[:=]\s*(.+)$/.exec(line) ?? [];
    if (!name) throw new ServerProblem(`“${line}” should be a name and a value, such as country: France.`);
    return [name, value];
  });
}

/** A value as it is kept: a number only where that is written alike, so no code or version such as 1.10 is changed. */
function valueOf(text) {
  const number = /^-?(0|[1-9]\d{0,14})(\.\d+)?$/.test(text) && String(Number(text)) === text;
  return number || /^(true|false|null)$/.test(text) ? JSON.parse(text) : text;
}

/**
 * Metadata as people write it; figures, true, false and null are values of their own.
 *
 * @throws {ServerProblem} a line has no name or no value
 */
export const metaOf = (words) => Object.fromEntries(pairsOf(words).map(([name, text]) => [name, valueOf(text)]));

/**
 * Which samples may be found, as people write it: metadata, or `name<=value` and the like for figures and dates.
 *
 * Values are sent as texts, which the server compares with figures as well, as those of `--where` on a command line.
 *
 * @throws {ServerProblem} a line is neither
 */
export function filterOf(words) {
  const filter = {};
  for (const line of words.split(/\n|;/).filter((part) => part.trim())) {
    const [, name, sign, bound] = /^\s*([^:=<>]+?)\s*(<=|>=|<|>)\s*(.+?)\s*$/.exec(line) ?? [];
    if (!name) for (const [key, text] of pairsOf(line)) filter[key] = text === "null" ? null : text;
    else filter[name] = { ...(typeof filter[name] === "object" ? filter[name] : {}), [sign]: bound };
  }
  return filter;
}

export const setup = () => json("v1/page/setup");
export const stores = () => json("v1/stores");

/**
 * Ask, and hear the answer as it comes.
 *
 * @param {object} request question, picture, history, store, mode, shots, samples, tokens, temperature
 * @param {{signal, oncontext: (samples: object[]) => void, ontext: (piece: string) => void}} listeners `oncontext` hears
 *   the samples before the answer; in what is returned the passage is marked that it was taken from
 * @returns {Promise<{text, context, notes, reason, usage, finish}>} `reason` says why the samples do not tell
 */
export async function ask(request, { signal, oncontext, ontext }) {
  const response = await send("v1/chat/completions", { body: bodyOf(request), signal });
  const answer = { text: "", context: null, notes: [], reason: "", usage: null, finish: null };
  for await (const event of events(response.body)) {
    if (event.error) throw new ServerProblem(sentence(event.error.message ?? "The answer broke off."));
    if (event.notes) answer.notes = event.notes;
    if (event.usage) answer.usage = event.usage;
    if (event.reason) answer.reason = event.reason;
    if (event.context) {
      const samples = event.context.map(shown);
      if (!answer.context) oncontext(samples);
      answer.context = samples;
    }
    const piece = event.choices?.[0]?.delta?.content;
    if (piece) ontext(piece);
    answer.text += piece ?? "";
    answer.finish = event.choices?.[0]?.finish_reason ?? answer.finish;
  }
  if (!answer.finish) throw new ServerProblem(BROKEN);
  answer.context ??= [];
  return answer;
}

/** A way of searching to ask for; none where it is left to the server. */
const chosen = (mode) => (mode === "auto" ? undefined : mode);

function bodyOf({ question, picture, history = [], store, mode, shots, samples, tokens, temperature, model }) {
  const content = picture
    ? [
        { type: "text", text: question },
        { type: "image_url", image_url: { url: picture.url } },
      ]
    : question;
  const body = {
    model,
    max_tokens: tokens,
    temperature,
    stream: true,
    stream_options: { include_usage: true },
    messages: [...history, { role: "user", content }],
  };
  if (samples) return { ...body, store, samples };
  return { ...body, store, mode: chosen(mode), shots };
}

/** The JSON documents of a stream of server-sent events, up to its end or "[DONE]". */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    while (true) {
      const { value, done } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new ServerProblem(BROKEN); // the server was ended, or the network is gone
      });
      if (done) return;
      const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block
          .split("\n")
          .filter((line) => line.startsWith("data:"))
          .map((line) => line.slice(5).trim())
          .join("\n");
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** One page of a datastore: {samples, total}. */
export async function list(store, offset, limit) {
  const found = await json(`${samplesOf(store)}?${new URLSearchParams({ offset, limit })}`);
  return { samples: found.data.map(shown), total: found.total };
}

/** The samples nearest to words, a picture, or both. */
export async function search(store, { text, picture, filter, mode, k = 12 }, signal) {
  const body = { k, mode: chosen(mode) };
  if (filter && Object.keys(filter).length) body.filter = filter;
  if (text) body.query = text;
  if (picture) body.image_url = picture.url;
  const found = await json(`v1/stores/${encodeURIComponent(store)}/search`, { body, signal });
  return found.data.map(shown);
}

/** A new sample; without an id the server makes one. */
export async function add(store, { id, text, picture, meta = {} }) {
  const body = new FormData();
  body.append("text", text);
  if (id) body.append("id", id);
  body.append("meta", JSON.stringify(meta));
  if (picture) body.append("image", picture.blob, "picture");
  return shown(await json(samplesOf(store), { body }));
}

export const remove = (store, id) => json(`${samplesOf(store)}?${new URLSearchParams({ id })}`, { method: "DELETE" });

/** Where the first box of an answer lies on a picture, in pixels, by convention: {box, normalised, padded} or {box: null}. */
export const boxOf = (text, { width, height }) => json("v1/page/box", { body: { text, width, height } });

/** A drawn picture, as an address for `img`. */
export async function draw(prompt, signal) {
  const response = await send("v1/page/drawing", { body: { prompt }, signal });
  return URL.createObjectURL(await response.blob());
}

/** A picture of the server as a Blob; a data address holds its own. */
export async function fetchPicture(address) {
  if (!address.startsWith("data:")) return (await send(address)).blob();
  const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: address.slice(5, address.indexOf(";")) });
}
