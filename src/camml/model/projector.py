"""The map from a vision tower to a language model."""

from torch import nn

from camml.errors import OptionError


def build_projector(kind: str, vision_width: int, text_width: int) -> nn.Module:
    """The map from a vision tower's features to a language model's embeddings.

    Raises:
      OptionError: `kind` is neither `linear` nor `mlpNx_gelu`.
    """
    depth = kind.removeprefix("mlp").removesuffix("x_gelu")
    if kind == "linear":
        return nn.Linear(vision_width, text_width)
    if kind != f"mlp{depth}x_gelu" or not depth.isdigit() or int(depth) < 1:
        raise OptionError(f"no projector type {kind!r}; there are: linear, mlpNx_gelu with N = 1, 2, ...")
    layers: list[nn.Module] = [nn.Linear(vision_width, text_width)]
    for _ in range(int(depth) - 1):
        layers += [nn.GELU(), nn.Linear(text_width, text_width)]
    return nn.Sequential(*layers)
