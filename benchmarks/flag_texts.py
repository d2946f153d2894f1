"""How exactly a model copies: questions about countries, each with the one text that answers it, worded as in the demo.

    python benchmarks/flag_texts.py models/camml-mini
    python scripts/pack_model.py checkpoints/mini OUT --keep 0.25 && python benchmarks/flag_texts.py OUT

The 40 countries are drawn from those that the demo over flags does not ask about and training did show; the knowledge
base is the demo's (`python examples/flags/build.py --out data/flags`). Prints what is wrong, and how many are right.
"""

import argparse
import random
import sys
from pathlib import Path

from camml import answering
from camml.answering import Decoding
from camml.types import Neighbor, Query, Sample

ROOT = Path(__file__).parents[1]
COUNTRIES, BATCH = 40, 20


def main() -> None:
    """Ask, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "flags", help="(%(default)s)")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT / "examples" / "flags"))  # the demo's modules stand alone
    import countries
    import demo
    import questions

    known = countries.read(args.data / "countries.json")
    seen = [country for country in known if country.code not in questions.UNSEEN]
    drawn = random.Random(0).sample(seen, COUNTRIES)
    asked = [questions.Question(kind, country) for country in drawn for kind in questions.WORDING]
    answerer, judge, right = answering.load("perceiver", args.model, dtype="float32"), questions.Judge(known), 0
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        images = [min((args.data / "pictures").glob(f"*/{question.country.code}.png")) for question in some]
        queries = [Query(question.text, image) for question, image in zip(some, images, strict=True)]
        samples = [
            Sample(question.country.code, countries.describe(question.country), image)
            for question, image in zip(some, images, strict=True)
        ]
        contexts = [(Neighbor(sample, 1.0),) for sample in samples]
        answers = answerer.answer(queries, contexts, Decoding(demo.MAX_NEW_TOKENS))
        for question, answer in zip(some, answers, strict=True):
            text = demo.first_line(answer.text)
            if judge.is_right(question, text):
                right += 1
            else:
                print(f"{question.country.name}: {question.text} {text}")
    print(f"{right} of {len(asked)} right")


if __name__ == "__main__":
    main()
