"""`camml store search`: the nearest samples."""

import argparse

from camml.cli._answering import add_ranking, add_where
from camml.cli._encoder import add_encoder_option, encoder_options
from camml.cli._output import conditions, neighbor_as_json, neighbor_as_text, numbers, print_json
from camml.cli._store import add_store
from camml.errors import OptionError

SUMMARY = "show the samples nearest to a text, an image or both"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser, official=True)
    parser.add_argument("--text", default="", help="what to look for, in words")
    parser.add_argument("--image", metavar="FILE|URL", help="a picture to look for")
    parser.add_argument("-k", type=int, default=4, help="how many samples (default: %(default)s)")
    parser.add_argument("--mode", default="auto", help="auto, text-image, image-image, text-text or fused")
    add_where(parser)
    add_ranking(parser)
    parser.add_argument("--encoder", metavar="NAME", help="what made the vectors, where the datastore does not say")
    add_encoder_option(parser)


def run(args: argparse.Namespace) -> int:
    """Search and print."""
    from camml.datastore import open_store
    from camml.features.reranking import DEPTH, Reranker
    from camml.images import open_image
    from camml.retriever import Retriever
    from camml.types import Query

    if not args.text.strip() and not args.image:
        raise OptionError("nothing to search for; give --text, --image or both")
    where = conditions(args.where)
    image = open_image(args.image) if args.image else None
    options = encoder_options(args)
    datastore, encoder = open_store(args.store, args.encoder, options or None, args.store_images)
    retriever = Retriever(datastore, encoder, args.mode, weights=numbers(args.weights, "--weights"))
    query = Query(args.text, image)
    [context] = retriever.retrieve([query], max(args.k, DEPTH) if args.rerank else args.k, where or None)
    if args.rerank:
        [ordered] = Reranker.load(args.rerank).ordered([query], [context])
        context = ordered[: args.k]
    if args.json:
        asked = {"text": args.text, "image": args.image, "mode": args.mode, "k": args.k, "where": where}
        print_json({"query": asked, "neighbors": [neighbor_as_json(neighbor) for neighbor in context]})
    else:
        for neighbor in context:
            print(neighbor_as_text(neighbor))
    return 0
