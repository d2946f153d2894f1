"""The writing, reading and uploading of a processor."""

import json
from pathlib import Path
from typing import Any

from transformers import ProcessorMixin
from transformers.models.auto.processing_auto import AutoProcessor
from transformers.utils import cached_file

from camml.errors import ModelFolderError
from camml.model import card, official
from camml.model.config import check_files

FILE, INNER = "processor_config.json", "vlm_processor"
IDS = ("context_tokens", "context_token_id", "image_token_id")
OWN = (*IDS, "prompt_style", "sample_max_length", "thinking", "seamless")


class SavedProcessor(ProcessorMixin):
    """The part of `CamMLProcessor` that is about files; that has the settings named in `OWN`, and `build`."""

    processor: ProcessorMixin

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that are this processor's own."""
        return {"processor_class": type(self).__name__, **{name: getattr(self, name) for name in OWN}}

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write the settings, and the vision-language model's processor into a folder beside them."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.processor.save_pretrained(folder / INNER)
        (folder / FILE).write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")
        if not (folder / card.CARD).is_file():  # that of the model says more
            card.write(folder, card.of_processor(self))
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
        return [str(folder / FILE)]

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:
        """Upload a processor with a card; keywords are those of transformers' own `push_to_hub`."""
        return card.push(self, repo_id, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a processor as transformers does; a folder in the official CaMML layout is read as it is.

        Args:
          kwargs: settings that are to be otherwise than usual, such as `prompt_style`; all else is for transformers.

        Raises:
          ModelFolderError: there is no processor of CaMML.
          OptionError: the model in the same folder is another one.
        """
        name = pretrained_model_name_or_path
        own = {key: kwargs.pop(key) for key in OWN if key in kwargs}
        if official.is_official(name):
            config = official.config_of(Path(name))
            return cls.build(config, official.processor(Path(name), config), **own)
        kwargs = {key: value for key, value in kwargs.items() if key not in ("_from_auto", "config")}
        places = {key: kwargs[key] for key in ("revision", "token", "cache_dir", "local_files_only") if key in kwargs}
        file = cached_file(name, FILE, **places)
        settings = json.loads(Path(str(file)).read_text("utf-8"))
        if settings.get("processor_class") != cls.__name__ or "patch_tokens" in settings:
            raise ModelFolderError(
                f"{name} holds no processor of this version of CaMML ({FILE}); make the folder again"
            )
        check_files(name)
        inner = Path(name) / INNER if Path(name).is_dir() else name
        if inner != name and not inner.is_dir():
            raise ModelFolderError(
                f"{name} has no {INNER}, the processor of its vision-language model; "
                "copy or download the whole folder again"
            )
        kwargs |= {} if Path(name).is_dir() else {"subfolder": INNER}
        processor = AutoProcessor.from_pretrained(inner, **kwargs)
        return cls(processor, **{key: settings[key] for key in OWN if key in settings} | own)
