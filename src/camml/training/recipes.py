"""Recipes: a YAML file of flags, and flags on the command line, to settings."""

import json
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from camml.errors import OptionError
from camml.training import machine, places
from camml.training.arguments import DataArguments, ModelArguments, RunArguments, Settings

PARTS = (ModelArguments, DataArguments, RunArguments)

YAML = (".yaml", ".yml")
"""Endings of the names of recipes."""

WARMUP = ("warmup_ratio", "warmup_steps")
"""Flags that say the same in two ways."""
STRATEGIES = ("eval_strategy", "evaluation_strategy", "logging_strategy", "save_strategy")
"""Flags with a value `no`, which YAML reads as false."""


class _Parser(HfArgumentParser):
    """Flags of the three dataclasses; an error is an OptionError.

    Args:
      recipe: the file that the flags are in, which errors then name.
    """

    def __init__(self, recipe: Path | None = None) -> None:
        super().__init__(PARTS, allow_abbrev=False, prog="camml train", add_help=False)
        self.recipe = recipe

    def error(self, message: str) -> NoReturn:
        where = f"{self.recipe}: " if self.recipe else ""
        raise OptionError(f"{where}{message} (see `camml train --help`)")


def names() -> list[str]:
    """Return the names of all flags, sorted."""
    return sorted({field.name for part in PARTS for field in fields(part) if field.init})


def parse(arguments: Sequence[str]) -> Settings:
    """Return the settings of a command line: flags, and a YAML file, or none, whose values they override.

    Raises:
      OptionError: an unknown flag (the message has the nearest one), or an invalid value.
    """
    with _together(arguments) as words:
        model, data, run = _read(words)[0].parse_args_into_dataclasses(words)
        return Settings(model, data, run)


def read(arguments: Sequence[str]) -> Namespace:
    """Return the values of a command line, paths with the home folder for `~`; no process is joined.

    For scripts that prepare the data of a recipe.

    Raises:
      OptionError: as `parse`, as far as can be told.
    """
    with _together(arguments) as words:
        values = _read(words)[1]
        places.expand(values)
        return values


@contextmanager
def _together(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of the recipe and then those of the command line.

    Raises:
      OptionError: what is raised inside, with the name of the recipe where it is about a flag that only this gives.
    """
    rest = list(arguments)
    place = _place_of_recipe(rest)
    recipe = None if place is None else Path(rest.pop(place))
    given = _without_rivals(from_yaml(recipe), rest) if recipe else []
    try:
        yield [*given, *rest]
    except OptionError as error:
        flag = re.search(r"--\w+", str(error))
        own = {f"--{word.partition('=')[0].lstrip('-').replace('-', '_')}" for word in rest if word.startswith("--")}
        if flag and flag[0] in given and flag[0] not in own:
            raise OptionError(f"{recipe}: {error}") from error
        raise


def _without_rivals(given: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the words of a recipe without a way to give the warmup, where the command line gives it in another."""
    rivals = {name for name in WARMUP if any(word.partition("=")[0].replace("-", "_") == f"__{name}" for word in words)}
    places = [place for place, word in enumerate(given) if rivals and word.removeprefix("--") in set(WARMUP) - rivals]
    return [word for place, word in enumerate(given) if not {place, place - 1} & set(places)]


def _place_of_recipe(words: Sequence[str]) -> int | None:
    """Return which word names the recipe: the first, unless it is a flag, or a YAML file that is no flag's value."""
    if words and not words[0].startswith("-"):
        return 0
    alone = {f"--{field.name}" for part in PARTS for field in fields(part) if field.type in (bool, "bool")}
    for place in range(1, len(words)):
        before = words[place - 1]
        is_value = before.startswith("--") and "=" not in before and before not in alone
        if words[place].lower().endswith(YAML) and not is_value:
            return place
    return None


def _read(words: list[str]) -> tuple[_Parser, Namespace]:
    """Return the parser of all flags, and the values that some words give."""
    parser = _Parser()
    values, unknown = parser.parse_known_args(words)
    if unknown:
        raise OptionError(_unknown(unknown[0]))
    if not values.dry_run:  # before anything else: no other check is worth a wait if this one fails
        machine.check_precision(values.fp16, values.use_cpu)
    return parser, values


def from_yaml(path: Path) -> list[str]:
    """Return the flags in a YAML file.

    Raises:
      OptionError: there is no such file, or it is not a mapping of flags to values; or one of these is of another kind
        than its flag takes, or there twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content, keys = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise OptionError(f"no configuration {path} ({error.strerror}); the project's are in configs/") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise OptionError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} must map flags to values, such as `learning_rate: 2e-5`")
    _check_once(path, keys)
    flags: list[str] = []
    known, parser = set(names()), _Parser(path)
    for name, value in content.items():
        if name not in known:
            raise OptionError(f"{path}: {_unknown(str(name))}")
        if value is not None:
            values = value if isinstance(value, list) else ["no" if value is False and name in STRATEGIES else value]
            words = [json.dumps(value) if isinstance(value, dict) else str(value) for value in values]
            if parser.parse_known_args([f"--{name}", *words])[1]:
                raise OptionError(f"{path}: {name} takes one value, not a list")
            flags += [f"--{name}", *words]
    return flags


def _check_once(path: Path, keys: Any) -> None:
    """Raise an OptionError if a key of a YAML mapping is there twice: the reader would take the last one silently."""
    lines: dict[str, int] = {}
    for key, _ in keys.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise OptionError(f"{path}: {key.value} is there twice, in lines {lines[key.value]} and {line}; remove one")
        lines[key.value] = line


def describe() -> str:
    """Return the project's own flags with their defaults and meanings, for `--help`."""
    lines = ["usage: camml train [CONFIG.yaml] [--flag value ...]", ""]
    for part in PARTS:
        lines.append((part.__doc__ or "").splitlines()[0])
        own = part.__annotations__ if part is RunArguments else {field.name for field in fields(part)}
        for field in fields(part):
            if field.name in own and field.init:
                default = "" if field.default in (None, "") else f" ({field.default})"
                lines.append(f"  --{field.name:26} {field.metadata.get('help', '')}{default}")
    lines.append("  and every flag of transformers' TrainingArguments")
    return "\n".join(lines)


def _unknown(flag: str) -> str:
    name = flag.lstrip("-")
    near = get_close_matches(name, names(), n=1)
    hint = f"; did you mean --{near[0]}?" if near else "; see `camml train --help`"
    return f"unknown flag --{name}{hint}" if flag.startswith("-") or near else f"unknown argument {flag!r}{hint}"


def namespace(settings: Settings) -> dict[str, Any]:
    """Return all settings that differ from their defaults, as a recipe."""
    recipe: dict[str, Any] = {}
    for part in (settings.model, settings.data, settings.run):
        for field in fields(part):
            value = getattr(part, field.name)
            value = getattr(value, "value", value)
            default = getattr(field.default, "value", field.default)
            if field.init and value != default and isinstance(value, str | int | float | bool | dict | list | None):
                recipe[field.name] = value
    return recipe
