"""The base class of the model, without its forward pass: weights to start from, word embeddings, files."""

from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.generation.logits_process import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from camml.model import card, official
from camml.model.config import CamMLConfig, check_files
from camml.model.folder import check_complete
from camml.model.language import language_part
from camml.model.llava_parts import LlavaPartsForConditionalGeneration


class CamMLPreTrainedModel(PreTrainedModel):
    """The base of `CamMLForConditionalGeneration`."""

    config: CamMLConfig
    config_class = CamMLConfig
    base_model_prefix = "vlm"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules: ClassVar[list[str]] = ["PerceiverLayer"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("_queries"):
                init.normal_(parameter, mean=0.0, std=self.config.initializer_range)
            elif name.endswith("_position"):  # about as large as projected word embeddings are with new weights
                init.constant_(parameter, 0.1)

    def _watch(self) -> None:
        """Let the word embedding, which may be another one now, look out for placeholders."""

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the language model."""
        self.vlm.set_input_embeddings(value)
        self._watch()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head of the language model."""
        return self.vlm.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head of the language model."""
        self.vlm.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> Any:
        """Resize the word embeddings as transformers does; placeholders keep their ids, which the configuration has."""
        embeddings = self.vlm.resize_token_embeddings(*args, **kwargs)
        self._watch()
        return embeddings

    @property
    def language_part(self) -> nn.Module:
        """The smallest model inside the vision-language model that holds its word embeddings and its layers."""
        part: nn.Module = language_part(self.vlm)
        return part

    def _leave_placeholders_out(self, input_ids: Tensor, kwargs: dict[str, Any]) -> None:
        """Let a repetition penalty count the answer alone where placeholders are no words of the vocabulary."""
        settings = kwargs.get("generation_config") or self.generation_config
        penalty = kwargs.get("repetition_penalty", settings.repetition_penalty)
        own = isinstance(self.vlm, LlavaPartsForConditionalGeneration)  # its prompts are read as embeddings
        if own or penalty in (None, 1.0) or int(input_ids.max()) < self.config.get_text_config().vocab_size:
            return
        counted = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=input_ids.shape[1])
        kwargs["logits_processor"] = LogitsProcessorList([counted, *(kwargs.get("logits_processor") or [])])
        kwargs["repetition_penalty"] = 1.0

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a model as transformers does; a folder in the official CaMML layout is read as it is.

        Raises:
          OptionError: the processor in the same folder is of another model.
          ModelFolderError: of an official folder a tensor is missing, left over or of another shape than it says.
        """
        name = pretrained_model_name_or_path
        if not official.is_official(name):
            check_files(name)
            return super().from_pretrained(name, *args, **kwargs)
        kwargs["config"], kwargs["state_dict"] = official.config_and_tensors(Path(name))
        model, info = super().from_pretrained(None, *args, **kwargs | {"output_loading_info": True})
        check_complete(name, "the model", info)
        return (model, info) if kwargs.get("output_loading_info") else model

    def save_pretrained(self, save_directory: Any, *args: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Save a model as transformers does, with a model card; one that somebody wrote is left as it is."""
        own = set(signature(PreTrainedModel.save_pretrained).parameters)
        hub = {name: kwargs.pop(name) for name in list(kwargs) if name not in own}
        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True):
            card.write(Path(save_directory), card.compose(self.config, card.count(self), tags=self.model_tags or ()))
        if push_to_hub:
            self.push_to_hub(hub.pop("repo_id", Path(save_directory).name), **hub)

    def push_to_hub(self, repo_id: str, *, tags: str | list[str] | None = None, **kwargs: Any) -> Any:
        """Upload a model with its card; keywords are those of transformers' own `push_to_hub`."""
        self.add_model_tags(tags or [])
        return card.push(self, repo_id, **kwargs)
