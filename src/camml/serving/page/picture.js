// Pictures from a file, the clipboard, a drop or an address, small enough to send, and the place where one is chosen.

import { button, fill, make } from "./dom.js";

const LONGEST = 1536; // pixels a side; no vision tower here reads more
const AS_IS = ["image/png", "image/jpeg", "image/webp"];

/**
 * The picture in `blob`, upright and not larger than is of use: {url, blob, width, height, name}.
 *
 * `url` is a data address, which the API takes; a picture that needs no change is sent byte for byte.
 */
export async function readPicture(blob, name = "picture") {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Error(`${name} is not a picture this browser can read; take a PNG, JPEG, WebP or GIF file`);
  }
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const sent = scale === 1 && AS_IS.includes(blob.type) ? blob : await redrawn(bitmap, width, height);
  bitmap.close();
  return { url: await dataAddress(sent), blob: sent, width, height, name };
}

async function redrawn(bitmap, width, height) {
  const canvas = make("canvas", { width, height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // where the picture is transparent, as the server does
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

function dataAddress(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(new Error("the picture could not be read; choose it again"));
    reader.readAsDataURL(blob);
  });
}

/** The first picture among what was dropped or pasted, or null. */
function carried(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? null;
}

/**
 * A place to choose one picture: a button, a drop zone with `zone` around it, and the clipboard inside `zone`.
 *
 * @param {{zone?: HTMLElement, label?: string, onproblem: (text: string) => void, onchange?: () => void}} options
 * @returns {{node: HTMLElement, get: () => object|null, set: (picture: object|null) => void}}
 */
export function pictureWell({ zone, label = "Add a picture", onproblem, onchange = () => {} }) {
  let picture = null;
  const input = make("input.unseen", { type: "file", accept: "image/*", tabIndex: -1, "aria-label": label });
  const choose = button(label, () => input.click(), ".choose");
  const node = make("div.well", {}, choose, input);

  function set(next) {
    picture = next;
    if (next) {
      const remove = button(
        "×",
        () => {
          set(null);
          choose.focus();
        },
        ".remove",
        { "aria-label": "Remove the picture" },
      );
      fill(node, make("img", { src: next.url, alt: `Your picture: ${next.name}` }), remove, input);
    } else fill(node, choose, input);
    onchange();
  }

  async function take(file) {
    if (!file) return;
    try {
      set(await readPicture(file, file.name));
    } catch (problem) {
      onproblem(problem.message);
    }
  }

  input.addEventListener("change", () => {
    take(input.files[0]);
    input.value = "";
  });
  const around = zone ?? node;
  around.addEventListener("paste", (event) => take(carried(event.clipboardData)));
  around.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    around.classList.add("dropping");
  });
  around.addEventListener("dragleave", () => around.classList.remove("dropping"));
  around.addEventListener("drop", (event) => {
    around.classList.remove("dropping");
    const file = carried(event.dataTransfer);
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  return { node, get: () => picture, set };
}
