"""Tools that an answer may call, or is to call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camml.serving.messages import AllowedTools, ChosenTool, Tool
from camml.serving.problems import ApiError
from camml.serving.wire import ChatBody

DEEPEST = 64
"""Levels of a document that is handed to a chat template."""
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
ALTERNATIVES = ("anyOf", "oneOf", "allOf")
"""Words of a schema that say what it is made of."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request.

    Attributes:
      offered: as chat templates take them.
      schema: of all calls there can be, where the answer is to be one; empty where the model may also answer in words.
      single: one call, and no more.
    """

    offered: tuple[Mapping[str, Any], ...]
    schema: str = ""
    single: bool = False

    @property
    def names(self) -> list[str]:
        """Return the names of the tools."""
        return [tool["function"]["name"] for tool in self.offered]


def tools_of(body: ChatBody) -> Tools | None:
    """Return the tools that an answer may call; None where there are none, or it is to call none.

    Raises:
      ApiError: they do not fit together, or not with the rest of the request.
    """
    choice, tools = body.tool_choice, body.tools or []
    if not tools and choice not in (None, "none", "auto"):
        raise _wrong("a tool is to be called, and there are no tools", "tool_choice")
    if not tools or choice == "none":
        return None
    names = [tool.function.name for tool in tools]
    if len(set(names)) < len(names):
        raise _wrong("two tools have the same name", "tools")
    if body.response_format is not None and body.response_format.get("type") != "text":
        raise _wrong("an answer in the form of response_format calls no tools; give one of the two", "response_format")
    offered = tuple(_offered(number, tool) for number, tool in enumerate(tools))
    if isinstance(choice, AllowedTools):
        allowed = choice.allowed_tools
        offered, choice = _named(offered, [tool.function.name for tool in allowed.tools]), allowed.mode
    wanted = offered if choice == "required" else ()
    if isinstance(choice, ChosenTool):
        wanted = _named(offered, [choice.function.name])
    return Tools(offered, _schema(wanted) if wanted else "", body.parallel_tool_calls is False)


def _named(offered: tuple[dict[str, Any], ...], names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Return the tools of these names.

    Raises:
      ApiError: there is none of one of them.
    """
    there = [tool["function"]["name"] for tool in offered]
    for name in names:
        if name not in there:
            raise _wrong(f"no tool {name!r}; there are: {', '.join(there)}", "tool_choice")
    return tuple(tool for tool in offered if tool["function"]["name"] in names)


def check_depth(value: Any, param: str) -> None:
    """Raise an ApiError for a document that is nested deeper than anybody writes."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise _wrong(f"{param} is nested deeper than {DEEPEST} levels", param)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _offered(number: int, tool: Tool) -> dict[str, Any]:
    """Return a tool with all that chat templates look for."""
    function = tool.function
    parameters = function.parameters or NO_PARAMETERS
    place = f"tools.{number}.function.parameters"
    check_depth(parameters, place)
    if parameters.get("type", "object") != "object":
        raise _wrong(f"{place}: the arguments of a function are an object, so its schema is of type 'object'", place)
    about = {"name": function.name, "description": function.description or "", "parameters": parameters}
    return {"type": "function", "function": about}


def _schema(wanted: tuple[Mapping[str, Any], ...]) -> str:
    """Return the schema of a call of one of some tools."""
    calls = []
    for number, tool in enumerate(wanted):
        parameters = tool["function"]["parameters"]
        # no function takes others, whether its schema says so or not
        closed = {"additionalProperties": False} if _names_all(parameters) else {}
        calls.append({
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                "arguments": {**closed, **_part(parameters, f"#/anyOf/{number}/properties/arguments")},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        })  # fmt: skip
    return json.dumps({"anyOf": calls})


def _names_all(schema: Mapping[str, Any]) -> bool:
    """Return whether all properties stand at the top of a schema, and none in what it refers to or is made of."""
    parts = [part for word in ALTERNATIVES for part in _inside(schema.get(word))]
    return "$ref" not in schema and all(isinstance(part, dict) and part.keys() <= {"required"} for part in parts)


def _part(schema: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a whole schema as a part of another one at `place`, without a name and a version of its own."""
    name = schema.get("$id")
    own = {key: value for key, value in schema.items() if key not in ("$id", "$schema")}
    return {key: _moved(value, place, name) for key, value in own.items()} | _reference(own, place, name)


def _moved(schema: Any, place: str, name: Any) -> Any:
    """Return what stands in a schema of that name, now at `place`, with what it says of the whole still true."""
    if isinstance(schema, list):
        return [_moved(inner, place, name) for inner in schema]
    if not isinstance(schema, dict) or isinstance(schema.get("$id"), str):  # refers to parts of itself alone
        return schema
    return {key: _moved(value, place, name) for key, value in schema.items()} | _reference(schema, place, name)


def _reference(schema: Mapping[str, Any], place: str, name: Any) -> dict[str, str]:
    """Return what a schema refers to by its place in the whole, as a field; nothing where it does not do so."""
    to = schema.get("$ref")
    if isinstance(to, str) and isinstance(name, str) and name and to.partition("#")[0] == name.removesuffix("#"):
        to = "#" + to.partition("#")[2]
    return {"$ref": place + to[1:]} if isinstance(to, str) and (to == "#" or to.startswith("#/")) else {}


def _wrong(message: str, param: str) -> ApiError:
    return ApiError(400, message, "invalid_value", param)
