"""Compare this project with what the official code computed: `python tests/parity.py DIR`.

DIR is a checkpoint in the official CaMML layout with `expected.json` and `expected.safetensors` beside it, or a folder
with a tiny ImageBind; those in `tests/golden` must be unpacked (`tar -xf`). Prints one JSON object with the largest
absolute differences and `"ok"`; exit code 0 or 1.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from camml import weights
from camml.encoders import imagebind
from camml.encoders._clip_bpe import ClipTokenizer
from camml.encoders._imagebind import Towers
from camml.errors import CaMMLError, ModelFolderError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.types import Sample

CAMML_TOLERANCE = 1e-4
IMAGEBIND_TOLERANCE = 1e-5
OFFICIAL_SLOT = -200  # the one id that marks both places in the official code


def camml_parity(folder: Path) -> dict[str, Any]:
    """The differences of one checkpoint, by name; booleans where things must be equal."""
    said = json.loads((folder / "expected.json").read_text())
    expected = load_file(folder / "expected.safetensors")
    model, processor = CamMLForConditionalGeneration.from_pretrained(folder), CamMLProcessor.from_pretrained(folder)
    files = [folder / name for name in said["images"]]
    samples = [
        Sample(str(n), text, file) for n, (text, file) in enumerate(zip(said["contexts"], files[1:], strict=True))
    ]
    pixels = processor.pixels(files)
    results: dict[str, Any] = {
        "pixel_values": difference(pixels, expected["pixel_values"]),
        "image_features": difference(model.vlm.patches(pixels), expected["image_features"]),
    }
    for name, case in said["cases"].items():
        inputs = processor.prepare(
            [said["question"]], images=[files[0] if name == "image" else None], samples=[samples]
        )
        prompt = processor.render(said["question"], True, name == "image")
        ids, labels = inputs["input_ids"], expand(expected[f"{name}.labels"], case["input_ids"], processor)
        embeds = model.embed(**{key: value for key, value in inputs.items() if key != "attention_mask"})
        output = model(**inputs, labels=labels)
        logits = output.logits[0][expected.get(f"{name}.positions", slice(None))]
        new = model.generate(**inputs, max_new_tokens=len(case["new"]), do_sample=False)[0, ids.shape[1] :]
        results |= {
            f"{name}.prompt": prompt.replace("\ue000", "<image>").replace("\ue001", "<image>") == case["prompt"],
            f"{name}.input_ids": collapse(ids[0].tolist(), processor) == case["input_ids"],
            f"{name}.inputs_embeds": difference(embeds[0], expected[f"{name}.inputs_embeds"]),
            f"{name}.logits": difference(logits, expected[f"{name}.logits"]),
            f"{name}.loss": abs(output.loss.item() - case["loss"]),
            f"{name}.new_tokens": new.tolist() == case["new"],
        }
    return results


def imagebind_parity(folder: Path) -> dict[str, float]:
    """Compare ImageBind's towers with reference results.

    Args:
      folder: one state dict `*.pth`; `expected.json` with `texts` and the constructor arguments in `config`;
        `expected.safetensors` with `pixel_values`, `tokens`, and the embeddings `vision` and `text`.

    Returns:
      The largest absolute differences, and the number of tokens that differ.

    Raises:
      ModelFolderError: it is another kind of folder.
    """
    paths = sorted(path for path in folder.glob("*.pth") if not path.name.startswith("."))
    if len(paths) != 1 or not (folder / "expected.json").exists():
        raise ModelFolderError(f"{folder} does not hold one .pth file with its expected.json and expected.safetensors")
    reference = json.loads((folder / "expected.json").read_text())
    expected = load_file(folder / "expected.safetensors")
    heads = {tower: int(reference["config"][f"{tower}_num_heads"]) for tower in ("vision", "text")}
    towers = Towers.from_official(imagebind._read(paths[0]), heads)
    tokens = torch.from_numpy(ClipTokenizer.read(weights.folder("clip-bpe") / "merges.txt")(reference["texts"]))
    with torch.inference_mode():
        vision = towers.vision(expected["pixel_values"].float())
        text = towers.text(expected["tokens"]) * towers.text.scale
    return {
        "vision": float((vision - expected["vision"]).abs().max()),
        "text": float((text - expected["text"]).abs().max()),
        "tokens": float((tokens != expected["tokens"]).sum()),
    }


def difference(item: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest absolute difference; infinite for another shape."""
    return (item.detach() - expected).abs().max().item() if item.shape == expected.shape else float("inf")


def slots(processor: CamMLProcessor) -> dict[int, int]:
    """How many times each of our placeholders stands for one official mark."""
    return {
        processor.context_token_id: processor.context_tokens,
        processor.image_token_id: processor.processor.image_tokens,
    }


def collapse(ids: list[int], processor: CamMLProcessor) -> list[int]:
    """Our ids with every run of placeholders as the one official mark."""
    result, number = [], 0
    while number < len(ids):
        run = slots(processor).get(ids[number])
        result.append(ids[number] if run is None else OFFICIAL_SLOT)
        number += run or 1
    return result


def expand(labels: torch.Tensor, ids: list[int], processor: CamMLProcessor) -> torch.Tensor:
    """Official labels, one a mark, at the length of our rows: int64[1, T]."""
    runs = iter(slots(processor).values())
    columns = [
        label.expand(next(runs)) if token == OFFICIAL_SLOT else label[None]
        for label, token in zip(labels, ids, strict=True)
    ]
    return torch.cat(columns)[None]


def compare(folder: Path) -> dict[str, Any]:
    """The differences and whether all of them are within the tolerance of their kind."""
    checkpoint = (folder / "config.json").is_file()
    result = camml_parity(folder) if checkpoint else imagebind_parity(folder)
    limit = CAMML_TOLERANCE if checkpoint else IMAGEBIND_TOLERANCE
    fine = [value if isinstance(value, bool) else value <= limit for value in result.values()]
    return {"folder": folder.name, **result, "tolerance": limit, "ok": all(fine)}


def main() -> int:
    """The command; 2 for a folder that cannot be compared."""
    if len(sys.argv) != 2:
        print("usage: python tests/parity.py DIR", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    try:
        result = compare(Path(sys.argv[1]))
    except (CaMMLError, OSError, KeyError, json.JSONDecodeError) as error:
        print(f"parity: error: {sys.argv[1]} cannot be compared: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
