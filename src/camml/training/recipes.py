"""Recipes: a YAML file of flags, and flags on the command line, to settings."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from camml.errors import OptionError
from camml.training import machine
from camml.training.arguments import DataArguments, ModelArguments, RunArguments, Settings

PARTS = (ModelArguments, DataArguments, RunArguments)


class _Parser(HfArgumentParser):
    """Flags of the three dataclasses; an error is an OptionError."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (see `camml train --help`)")


def names() -> list[str]:
    """Return the names of all flags, sorted."""
    return sorted({field.name for part in PARTS for field in fields(part) if field.init})


def parse(arguments: Sequence[str]) -> Settings:
    """Return the settings of a command line: a YAML file, or none, and then flags, which override it.

    Raises:
      OptionError: an unknown flag (the message has the nearest one), or a value that cannot be.
    """
    parser, words, _ = _read(arguments)
    model, data, run = parser.parse_args_into_dataclasses(words)
    return Settings(model, data, run)


def read(arguments: Sequence[str]) -> Namespace:
    """Return the values of a command line as they stand there; no process is joined, and no folder is looked for.

    Raises:
      OptionError: as `parse`, as far as can be told.
    """
    return _read(arguments)[2]


def _read(arguments: Sequence[str]) -> tuple[_Parser, list[str], Namespace]:
    """Return the parser, the words of the recipe and the command line together, and the values."""
    rest = list(arguments)
    given: list[str] = []
    if rest and not rest[0].startswith("-"):
        given = from_yaml(Path(rest.pop(0)))
    parser = _Parser(PARTS, allow_abbrev=False, prog="camml train", add_help=False)
    words = [*given, *rest]
    values, unknown = parser.parse_known_args(words)
    if unknown:
        raise OptionError(_unknown(unknown[0]))
    if not values.dry_run:  # before anything else: no other check is worth a wait if this one fails
        machine.check_precision(values.fp16, values.use_cpu)
    return parser, words, values


def from_yaml(path: Path) -> list[str]:
    """Return the flags in a YAML file.

    Raises:
      OptionError: there is no such file, or it is not a mapping of flags to values.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"no configuration {path} ({error.strerror}); the project's are in configs/") from error
    except yaml.YAMLError as error:
        raise OptionError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} must map flags to values, such as `learning_rate: 2e-5`")
    flags: list[str] = []
    known = set(names())
    for name, value in content.items():
        if name not in known:
            raise OptionError(f"{path}: {_unknown(str(name))}")
        if value is not None:
            values = value if isinstance(value, list) else [value]
            flags += [f"--{name}", *(json.dumps(value) if isinstance(value, dict) else str(value) for value in values)]
    return flags


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
