"""The model hub: asked once, with a short wait, and never when the user says offline."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camml.errors import DiskError, FetchError, first_line

logger = logging.getLogger(__name__)

WAIT_SECONDS = 5.0
"""How long the hub may take to say that it is there."""

PICKLED = ("pytorch_model*.bin", "adapter_model.bin", "mm_projector.bin")
"""Weights as older models have them (Vicuna), in shards or not; their index is JSON."""

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", *PICKLED)
"""What a transformers folder is made of; of weights that come in both forms the pickled one is left out."""


def revision(name: str) -> str:
    """Ask the hub for the current commit of `name`, which also tests whether the hub can be reached.

    Raises:
      FetchError: offline by choice, not reachable, or the hub does not give that name.
    """
    return _commit(_info(name))


def _commit(info: Any) -> str:
    return str(info.sha or "main")


def _info(name: str) -> Any:
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise FetchError(f"{name} was not asked for on the model hub: HF_HUB_OFFLINE is set")
    try:
        return huggingface_hub.HfApi().model_info(name, timeout=WAIT_SECONDS)
    except Exception as error:  # the HTTP library's own errors differ between versions of huggingface_hub
        raise FetchError(f"the model hub did not give {name}: {first_line(error)}") from error


def download(name: str, folder: Path, patterns: Sequence[str]) -> str:
    """Copy the files of `name` that match `patterns` into `folder`, and return their commit.

    Raises:
      FetchError: as for `revision`, or the download broke off.
    """
    return _snapshot(name, revision(name), patterns, (), folder)[1]


def snapshot(name: str) -> Path:
    """Return the folder of `name` in the hub's own cache, newest if the hub can be reached, else as fetched before.

    Raises:
      FetchError: the hub cannot be reached and the cache does not hold it.
    """
    import huggingface_hub

    try:
        info = _info(name)
    except FetchError as error:
        try:
            before = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
        except Exception:
            remedy = "check the name and the network, or give a folder that holds it"
            raise FetchError(f"{error}, and the hub's local cache does not hold it; {remedy}") from error
        logger.warning("%s: the weights are those fetched from the hub before (%s), for %s", name, before.name, error)
        return before
    files = [str(file.rfilename) for file in getattr(info, "siblings", None) or ()]
    both = any("/" not in file and file.endswith(".safetensors") for file in files)
    return _snapshot(name, _commit(info), WANTED, PICKLED if both else (), None)[0]


def _snapshot(
    name: str, commit: str, patterns: Sequence[str], left: Sequence[str], folder: Path | None
) -> tuple[Path, str]:
    import huggingface_hub

    try:
        path = huggingface_hub.snapshot_download(
            name, revision=commit, allow_patterns=list(patterns), ignore_patterns=list(left) or None, local_dir=folder
        )
    except OSError as error:
        if error.errno is not None:
            raise DiskError(f"{name} could not be stored: {error.strerror or error}") from error
        raise FetchError(f"the download of {name} broke off: {first_line(error)}") from error
    except Exception as error:
        raise FetchError(f"the download of {name} broke off: {first_line(error)}") from error
    return Path(path), commit
