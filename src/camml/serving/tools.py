"""Tools that an answer may call, or is to call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camml.serving.messages import ChosenTool, Tool
from camml.serving.problems import ApiError
from camml.serving.wire import ChatBody

DEEPEST = 64
"""Levels of a document that is handed to a chat template."""
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


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
    wanted = offered if choice == "required" else ()
    if isinstance(choice, ChosenTool):
        wanted = tuple(tool for tool in offered if tool["function"]["name"] == choice.function.name)
        if not wanted:
            raise _wrong(f"no tool {choice.function.name!r}; there are: {', '.join(names)}", "tool_choice")
    return Tools(offered, _schema(wanted) if wanted else "", body.parallel_tool_calls is False)


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
        place = f"#/anyOf/{number}/properties/arguments"
        calls.append({
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                # no function takes others, whether its schema says so or not
                "arguments": {"additionalProperties": False, **_moved(tool["function"]["parameters"], place)},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        })  # fmt: skip
    return json.dumps({"anyOf": calls})


def _moved(schema: Any, place: str) -> Any:
    """Return a schema as a part of another one at `place`, with what it says of its own parts still true."""
    if isinstance(schema, list):
        return [_moved(inner, place) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, place) for key, value in schema.items()}
    own = schema.get("$ref")
    return {**moved, "$ref": place + own[1:]} if isinstance(own, str) and own.startswith("#") else moved


def _wrong(message: str, param: str) -> ApiError:
    return ApiError(400, message, "invalid_value", param)
