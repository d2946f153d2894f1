"""`camml mcp`: a datastore as tools for assistants that speak the Model Context Protocol."""

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from camml.cli._answering import add_model, add_search, assistant_of, collection_of, where_of
from camml.cli.serve import listen
from camml.errors import InputError, OptionError
from camml.passages import check_passages

if TYPE_CHECKING:
    from mcp.server import MCPServer

SUMMARY = "Serve a datastore to assistants over the Model Context Protocol: search, ask and add."
HOST = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--store", required=True, metavar="DIR", help="the datastore")
    parser.add_argument("--writable", action="store_true", help="assistants may add samples")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="pictures below it may be named by their paths")
    parser.add_argument(
        "--http", type=int, metavar="PORT",
        help="over streamable HTTP at http://127.0.0.1:PORT/mcp (default: over standard input and output)",
    )  # fmt: skip
    add_search(parser)
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the client goes, or until told to stop."""
    try:
        from camml import mcp_server
    except ModuleNotFoundError as error:
        raise InputError(f"`camml mcp` needs the package {error.name}: pip install 'camml[mcp]'") from None
    if args.pictures is not None and not args.pictures.is_dir():
        raise OptionError(f"--pictures {args.pictures} is not a folder")
    if args.http is not None and not 1 <= args.http <= 65535:
        raise OptionError(f"--http is {args.http}; give a port from 1 to 65535")
    if args.shots is not None and args.shots < 1:
        raise OptionError(f"--shots is {args.shots}; give 1 or more")
    check_passages(args.passages or "auto")
    where = where_of(args)
    listener = None if args.http is None else listen(HOST, args.http, "--http")
    collection = collection_of(args, assistant_of(args))
    tools = mcp_server.Tools(collection, args.pictures, where=where, shots=args.shots, passages=args.passages)
    server = mcp_server.server_of(tools, args.writable)
    if listener is None:
        server.run("stdio")
    else:
        _serve(server, listener)
    return 0


def _serve(server: "MCPServer", listener: socket.socket) -> None:
    """Serve over HTTP on a socket that was taken before anything was loaded."""
    import uvicorn

    app = server.streamable_http_app(host=HOST)
    uvicorn.Server(uvicorn.Config(app, log_level=server.settings.log_level.lower())).run(sockets=[listener])
