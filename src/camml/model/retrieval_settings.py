"""Settings of retrieval in a model's folder: encoder, mode, samples and passages that suit the model."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from camml.errors import ModelFolderError
from camml.model.folder import PACKED

FILE = "retrieval.json"


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """Settings that a datastore for a model is built with, and searched with.

    Attributes:
      encoder, encoder_options: what embeds samples and questions.
      mode: one of `camml.searches.MODES`.
      shots: samples that suit the model; None where nothing is known.
      passages: see `camml.answering.budget_of`.
      margin: see `camml.evidence.near`.
      stated: whether the folder says so; a model that says nothing answers from any datastore.
    """

    encoder: str = "mini"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "auto"
    shots: int | None = None
    passages: str = "auto"
    margin: float | None = None
    stated: bool = field(default=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Return what is written into a folder."""
        return {name: value for name, value in asdict(self).items() if name != "stated"}


def settings_of(folder: Path) -> RetrievalSettings:
    """Return what the model in a folder wants; the usual where it says nothing.

    Files of the encoder that are named without a path, such as `heads`, lie in the same folder.

    Raises:
      ModelFolderError: the file does not hold what it should.
    """
    file = folder / PACKED
    if not file.is_file():
        file = folder / FILE
    if not file.is_file():
        return RetrievalSettings()
    try:
        about = json.loads(file.read_text("utf-8"))
        values = about.get("retrieval", {}) if file.name == PACKED else about
        settings = RetrievalSettings(**values, stated=bool(values))
        options = {
            name: str(folder.resolve() / value) if isinstance(value, str) and (folder / value).is_file() else value
            for name, value in dict(settings.encoder_options).items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{file} cannot be used ({error}); copy or download the folder again") from error
    return replace(settings, encoder_options=options)


def copy_settings(source: Path, target: Path) -> None:
    """Write what the model in `source` says of retrieval, and files that it names, into the model folder `target`."""
    if about := copy_files(source, target):
        (target / FILE).write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def copy_files(source: Path, target: Path) -> dict[str, Any]:
    """Return what the model in `source` says of retrieval, and copy the files that it names to the folder `target`."""
    settings = settings_of(source)
    if not settings.stated:
        return {}
    options = dict(settings.encoder_options)
    for name, value in options.items():
        if isinstance(value, str) and Path(value).is_file() and Path(value).parent == source.resolve():
            shutil.copyfile(value, target / Path(value).name)
            options[name] = Path(value).name
    return replace(settings, encoder_options=options).as_json()
