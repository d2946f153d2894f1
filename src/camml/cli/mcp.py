"""`camml mcp`: a datastore as tools for assistants that speak the Model Context Protocol."""

import argparse
from pathlib import Path

from camml.cli._answering import add_model, add_search, assistant_of, collection_of
from camml.errors import InputError, OptionError

SUMMARY = "Serve a datastore to assistants over the Model Context Protocol: search, ask and add."


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
        raise OptionError(f"--pictures {args.pictures} is no folder")
    if args.http is not None and not 1 <= args.http <= 65535:
        raise OptionError(f"--http is {args.http}; give a port from 1 to 65535")
    assistant = assistant_of(args)
    collection = collection_of(args, assistant)
    server = mcp_server.server_of(mcp_server.Tools(collection, args.pictures), args.writable)
    if args.http is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=args.http)
    return 0
