"""A datastore as tools for assistants that speak the Model Context Protocol: search with pictures, ask, add."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from uuid import uuid4

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Image as Picture
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from PIL import Image
from pydantic import ValidationError

from camml import __version__
from camml.assistant import Collection
from camml.datastore.uploads import UPLOADS
from camml.durable import disk_errors, write_file
from camml.errors import CaMMLError, ImageError, InputError
from camml.images import open_image
from camml.images.data_urls import bytes_in, decoded, is_data_url
from camml.types import Context, Query, Sample, Where

SIDE = 512
"""Pixels of the longer side of pictures that are returned."""
MOST = 20
"""Samples of one search."""
MOST_BYTES = 20 * 2**20
"""Of a picture that a client sends."""


class Tools:
    """The work of the tools.

    Args:
      collection: the datastore and the model that answers from it.
      pictures: the folder whose pictures a client may name by their paths; None for none.
      where: which samples may be found; None for all.
      shots: samples to answer from, where a question does not say; None for what suits the model.
      passages: how much of long texts is read, see `camml.answering.budget_of`; None for what suits the model.
    """

    def __init__(
        self,
        collection: Collection,
        pictures: Path | None = None,
        *,
        where: Where | None = None,
        shots: int | None = None,
        passages: str | None = None,
    ) -> None:
        self.collection = collection
        self.where, self.shots, self.passages = where, shots, passages
        self.pictures = None if pictures is None else pictures.resolve()

    def search(self, query: str = "", image: str = "", k: int = 4) -> list[Any]:
        """Return the nearest samples as texts, each with its picture.

        Raises:
          InputError: neither a query nor a picture is given, the picture cannot be used, or `k` is out of range.
        """
        asked = Query(query, self._picture(image) if image else None)
        if not query.strip() and asked.image is None:
            raise InputError("nothing to search for; give a query, an image or both")
        if not 1 <= k <= MOST:
            raise InputError(f"k is {k}; give 1 to {MOST}")
        self.collection.datastore.reload()
        [context] = self.collection.find([asked], min(k, max(1, len(self.collection))), self.where)
        return shown(context)

    def ask(self, question: str, image: str = "", shots: int = 0) -> list[Any]:
        """Return an answer, and after it the samples that it was made from.

        Raises:
          InputError: the question is empty, or the picture cannot be used.
        """
        if not question.strip():
            raise InputError("the question is empty")
        self.collection.datastore.reload()
        picture = self._picture(image) if image else None
        limits: dict[str, Any] = {"shots": shots or self.shots, "where": self.where, "passages": self.passages}
        answer = self.collection.ask(question, picture, **limits)
        facts = {"answer": answer.text, "refused": answer.refused, "notes": list(answer.notes)}
        facts |= {"reason": answer.reason} if answer.reason else {}
        return [json.dumps(facts, ensure_ascii=False), *shown(answer.evidence)]

    def add(self, id: str, text: str, image: str = "") -> str:
        """Add a sample, which the next question can find; its picture is kept in the datastore.

        Raises:
          InputError: there is a sample with this id, or the sample cannot be used.
        """
        datastore = self.collection.datastore
        datastore.reload()
        if id in datastore:
            raise InputError(f"there is a sample {id!r} already; give another id")
        with TemporaryDirectory(prefix="camml-mcp-") as scratch:
            place = Path(scratch) if datastore.manifest.copies else None
            file = self._kept(self._picture(image), place) if image else None
            try:
                datastore.add([Sample(id, text, file)])
            except BaseException:
                if file is not None:
                    file.unlink(missing_ok=True)
                raise
        return f"added {id!r}; there are {len(datastore)} samples now"

    def _kept(self, picture: Image.Image, place: Path | None = None) -> Path:
        """Return a file of its own that holds a picture: no other sample loses it with this one.

        Args:
          place: the folder for it; None for the datastore's.
        """
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        assert self.collection.datastore.path is not None
        folder = place or self.collection.datastore.path.resolve() / UPLOADS
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
        file = folder / f"mcp-{uuid4().hex}.png"
        write_file(file, buffer.getvalue())
        return file

    def _picture(self, given: str) -> Image.Image:
        """Return a picture that a client sent, or named by its path in the folder that it may see.

        Raises:
          ImageError: it cannot be used, or is elsewhere.
        """
        inline = is_data_url(given)
        if self.pictures is not None and len(given) < 4096 and "\0" not in given and not inline:
            path = (self.pictures / given).resolve()
            if os.path.isfile(path):  # False, too, for what is too long for a name: a small picture in base64
                if not path.is_relative_to(self.pictures):
                    raise ImageError(f"{given} is outside the allowed folder; give the path of a picture in it")
                return open_image(path)
        if len(given) > MOST_BYTES * 4 // 3:
            raise ImageError(f"the picture is larger than {MOST_BYTES >> 20} MB; send a smaller one")
        try:
            content = bytes_in(given) if inline else decoded(given)
        except ImageError:
            raise
        except ValueError:
            other = (
                "the path of a picture in the allowed folder"
                if self.pictures
                else "a path, if the server has --pictures DIR"
            )
            raise ImageError(f"the image is neither base64 nor a data URL; give one of these, or {other}") from None
        return open_image(content)


def shown(context: Context) -> list[Any]:
    """Return samples as texts in JSON, each followed by its picture if it has one that can be shown."""
    content: list[Any] = []
    for neighbor in context:
        sample = neighbor.sample
        facts: dict[str, Any] = {"id": sample.id, "text": neighbor.text, "score": round(neighbor.score, 4)}
        facts |= {"meta": dict(sample.meta)} if sample.meta else {}
        if neighbor.supporting:
            facts["supporting"] = sample.text[slice(*neighbor.supporting)]
        content.append(json.dumps(facts, ensure_ascii=False, default=str))
        if sample.image is not None:
            try:
                content.append(_small(sample.image))
            except ImageError:
                continue  # its text is shown alone
    return content


def _small(path: Path) -> Picture:
    buffer = io.BytesIO()
    open_image(path, max_side=SIDE).convert("RGB").save(buffer, "JPEG", quality=85)
    return Picture(data=buffer.getvalue(), format="jpeg")


class Server(MCPServer):
    """The SDK's server, which tells in words what is wrong with a call, and answers every one that it can read."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """See `MCPServer`; null is as good as no value, and arguments that the tool does not have are refused.

        Raises:
          ToolError: there is no such tool, or one of its arguments is invalid.
        """
        schemas = {tool.name: tool.input_schema for tool in await self.list_tools()}
        tools = {tool: list(schema.get("properties", ())) for tool, schema in schemas.items()}
        if name not in tools:
            raise ToolError(f"there is no tool {name[:80]!a}; there are: {', '.join(tools)}")
        if unknown := [given for given in arguments if given not in tools[name]]:
            raise ToolError(f"{name} has no argument {unknown[0][:80]!a}; it has: {', '.join(tools[name])}")
        needed = schemas[name].get("required", ())
        arguments = {given: value for given, value in arguments.items() if value is not None or given in needed}
        for given, value in arguments.items():
            if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                why = "it contains an unpaired surrogate, which is not valid Unicode; retype the text"
                raise ToolError(f"{name}, argument {given}: {why}")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            mistake = error.__cause__.errors(include_url=False)[0]
        raise ToolError(f"{name}, argument {'.'.join(map(str, mistake['loc']))}: {mistake['msg']}")

    async def run_stdio_async(self) -> None:
        """See `MCPServer`; a message with an unpaired surrogate, which the SDK passes over, is answered, too."""
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        async with stdio_server() as (read, write), anyio.create_task_group() as group:

            async def pass_on() -> None:
                async with send:
                    async for message in read:
                        await send.send(_mended(message) if isinstance(message, Exception) else message)

            group.start_soon(pass_on)
            inner = self._lowlevel_server
            await inner.run(receive, write, inner.create_initialization_options())


def _mended(error: Exception) -> SessionMessage | Exception:
    """Return the message that could not be read as UTF-8; what else could not be read as it came."""
    try:
        line = error.errors()[0]["input"] if isinstance(error, ValidationError) else ""
        return SessionMessage(jsonrpc_message_adapter.validate_python(json.loads(line), by_name=False))
    except (ValueError, TypeError, RecursionError):
        return error


def server_of(tools: Tools, writable: bool = False) -> MCPServer:
    """Return the server with its tools; `add` only where it may write."""
    server = Server(
        "camml",
        version=__version__,
        instructions=f"Looks up and answers from {len(tools.collection)} samples, texts mostly with pictures.",
    )
    how = "base64 or a data: URL" + ", or a path in the folder of pictures" * bool(tools.pictures)

    tool = partial(server.tool, structured_output=False)  # texts and pictures in turn
    alone = Lock()  # the SDK runs every call in a thread of its own

    @tool(description=f"Find the samples nearest to words, to a picture ({how}), or to both.")
    def search(query: str = "", image: str = "", k: int = 4) -> list[Any]:
        with alone, _in_words():
            return tools.search(query, image, k)

    @tool(
        description=f"Answer a question, about a picture ({how}) or not, from the nearest samples. `refused` says that "
        "the samples do not tell."
    )
    def ask(question: str, image: str = "", shots: int = 0) -> list[Any]:
        with alone, _in_words():
            return tools.ask(question, image, shots)

    if writable:

        @tool(description=f"Add a sample under a new id: a text, and a picture ({how}) if there is one.")
        def add(id: str, text: str, image: str = "") -> str:
            with alone, _in_words():
                return tools.add(id, text, image)

    return server


@contextmanager
def _in_words() -> Iterator[None]:
    """Let what a person did wrong reach the client in words."""
    try:
        yield
    except CaMMLError as error:
        raise ToolError(str(error)) from None
