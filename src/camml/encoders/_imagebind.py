"""The two towers of ImageBind (arXiv 2305.05665, appendix B): pre-norm vision transformers with a linear head each."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from camml.errors import ModelFolderError, OptionError

EPS = 1e-6
LARGEST_SCALE = 100.0

# The official names, and ours. The mask of the text tower is the causal one and need not be read.
NAMES = (
    (r"modality_preprocessors\.vision\.cls_token", "vision.cls_token"),
    (r"modality_preprocessors\.vision\.rgbt_stem\.proj\.1\.weight", "vision.stem.weight"),
    (r"modality_preprocessors\.vision\.pos_embedding_helper\.pos_embed", "vision.positions"),
    (r"modality_trunks\.vision\.pre_transformer_layer\.0\.(weight|bias)", r"vision.norm_in.\1"),
    (r"modality_heads\.vision\.0\.(weight|bias)", r"vision.norm_out.\1"),
    (r"modality_heads\.vision\.2\.weight", "vision.head.weight"),
    (r"modality_preprocessors\.text\.token_embedding\.weight", "text.words.weight"),
    (r"modality_preprocessors\.text\.pos_embed", "text.positions"),
    (r"modality_heads\.text\.proj\.0\.(weight|bias)", r"text.norm_out.\1"),
    (r"modality_heads\.text\.proj\.1\.weight", "text.head.weight"),
    (r"modality_postprocessors\.text\.1\.log_logit_scale", "text.log_scale"),
    (r"modality_trunks\.(vision|text)\.blocks\.(.+)", r"\1.blocks.\2"),
)


class Block(nn.Module):
    """One transformer layer, norms before attention and before the feed-forward part."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width, EPS)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_2 = nn.LayerNorm(width, EPS)
        layers = OrderedDict(fc1=nn.Linear(width, inner), act=nn.GELU(), fc2=nn.Linear(inner, width))
        self.mlp = nn.Sequential(layers)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return float[B, T, width] for an input of that shape; `mask` is True where attention is not allowed."""
        normed = self.norm_1(x)
        attended, _ = self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)
        x = x + attended
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out


class VisionTower(nn.Module):
    """float[B, 3, H, W] normalised pixels to float[B, D] of length 1."""

    def __init__(self, shapes: Mapping[str, torch.Size], heads: int) -> None:
        super().__init__()
        width, channels, *patch = shapes["stem.weight"]
        self.stem = nn.Conv2d(channels, width, (patch[0], patch[1]), stride=(patch[0], patch[1]), bias=False)
        self.cls_token = nn.Parameter(torch.empty(shapes["cls_token"]))
        self.positions = nn.Parameter(torch.empty(shapes["positions"]))
        self.norm_in = nn.LayerNorm(width, EPS)
        self.blocks = _blocks(shapes, width, heads)
        self.norm_out = nn.LayerNorm(width, EPS)
        self.head = nn.Linear(width, shapes["head.weight"][0], bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the embedding of each image."""
        patches = self.stem(pixels.to(self.stem.weight.dtype)).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.positions
        x = self.norm_in(x)
        for block in self.blocks:
            x = block(x)
        return normalize(self.head(self.norm_out(x[:, 0])), dim=-1)


class TextTower(nn.Module):
    """int64[B, T] tokens to float[B, D] of length 1; tokens see those before them, and the end mark sums up."""

    def __init__(self, shapes: Mapping[str, torch.Size], heads: int) -> None:
        super().__init__()
        vocabulary, width = shapes["words.weight"]
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(shapes["positions"]))
        self.blocks = _blocks(shapes, width, heads)
        self.norm_out = nn.LayerNorm(width, EPS)
        self.head = nn.Linear(width, shapes["head.weight"][0], bias=False)
        self.log_scale = nn.Parameter(torch.empty(()))

    @property
    def scale(self) -> Tensor:
        """The factor of text embeddings in the official code; it changes no ranking."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the embedding of each text, without `scale`."""
        length = tokens.shape[1]
        x = self.words(tokens) + self.positions[:, :length]
        mask = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        # The end mark has the highest number of all tokens, so it is where the row is largest.
        ends = x[torch.arange(len(x), device=x.device), tokens.argmax(-1)]
        return normalize(self.head(self.norm_out(ends)), dim=-1)


class Towers(nn.Module):
    """Both towers; the sizes follow from the state dict."""

    def __init__(self, vision: VisionTower, text: TextTower) -> None:
        super().__init__()
        self.vision, self.text = vision, text
        self.dim = vision.head.out_features

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor], heads: Mapping[str, int]) -> "Towers":
        """Build the towers from an official state dict; those of other modalities are ignored.

        Raises:
          ModelFolderError: it holds other tensors than these towers need.
          OptionError: a number of heads that does not divide the width.
        """
        tensors = dict(_rename(state))
        try:
            shapes = {tower: _shapes(tensors, tower) for tower in ("vision", "text")}
            with torch.device("meta"):
                towers = cls(VisionTower(shapes["vision"], heads["vision"]), TextTower(shapes["text"], heads["text"]))
            towers.load_state_dict(tensors, assign=True)
        except KeyError as error:
            raise ModelFolderError(f"not an ImageBind state dict: there is no {error}") from error
        except AssertionError as error:  # what PyTorch's attention raises
            raise OptionError(f"{dict(heads)} attention heads do not fit the widths of this file: {error}") from error
        except RuntimeError as error:
            raise ModelFolderError(f"not an ImageBind state dict: {error}") from error
        return towers.eval().requires_grad_(False)


def _rename(state: Mapping[str, Tensor]) -> Iterable[tuple[str, Tensor]]:
    """Yield the tensors of the two towers with our names."""
    for official, tensor in state.items():
        for pattern, name in NAMES:
            if match := re.fullmatch(pattern, official):
                ours = match.expand(name)
                # The official code shows a still image as two equal frames, so its two kernels may be added up.
                yield ours, tensor.sum(2) if ours == "vision.stem.weight" else tensor


def _shapes(tensors: Mapping[str, Tensor], tower: str) -> dict[str, torch.Size]:
    prefix = f"{tower}."
    return {name.removeprefix(prefix): tensor.shape for name, tensor in tensors.items() if name.startswith(prefix)}


def _blocks(shapes: Mapping[str, torch.Size], width: int, heads: int) -> nn.ModuleList:
    count = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    return nn.ModuleList(Block(width, shapes[f"blocks.{i}.mlp.fc1.weight"][0], heads) for i in range(count))
