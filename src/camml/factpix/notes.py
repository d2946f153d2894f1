"""Invented facts, which no model can know: a keeper, an inventory number, a nickname, a shelf.

Names are made of syllables; those of the notes that come late (about held-out pictures) share none with those of
training, so what is tested is reading an unknown word and not recalling one.
"""

from collections.abc import Mapping
from random import Random

from camml.factpix.catalog import Fact

TRAIN, LATE = "train", "late"
SYLLABLES = {
    TRAIN: "ba ku fen lor mi dra tos vel gan ri shu pel nor qua zi hem bru ost lin jap",
    LATE: "wex oru tam hil cyr dov na plu zen kif gar umi sto vay bel trun eki yor mag fos",
}
LETTERS = {TRAIN: "ABDEGHKMPRT", LATE: "CFJLNQSVWXZ"}
FACTS_OF_A_NOTE = 2


def invent(kind: str, rng: Random) -> Mapping[str, Fact]:
    """Invent the facts of one note, two of the four fields, by field in the order in which a text tells them."""
    letters = LETTERS[kind]
    made = {
        "keeper": f"{name(kind, rng)} {name(kind, rng)}",
        "number": f"{rng.choice(letters)}{rng.choice(letters)}-{rng.randrange(1000, 10000)}",
        "nickname": name(kind, rng),
        "shelf": f"{rng.randrange(10, 100)}{rng.choice(letters)}",
    }
    chosen = rng.sample(sorted(made), FACTS_OF_A_NOTE)
    return {field: Fact((value,)) for field, value in made.items() if field in chosen}


def name(kind: str, rng: Random) -> str:
    """Return a name of two or three syllables."""
    return "".join(rng.sample(SYLLABLES[kind].split(), rng.choice((2, 2, 3)))).capitalize()
