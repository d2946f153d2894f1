"""Questions about records, each with the one right answer; yes and no are right equally often in every form."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from camml.factpix import invention
from camml.factpix.catalog import Fact
from camml.reading.records import Record, other_name
from camml.reading.words import fields, parts, wordings
from camml.refusals import REFUSAL

ATTEMPTS = 60
"""So often a value is drawn that is to be larger, or other, than a given one."""

OWN_QUESTION = 0.6
"""Share of the open questions that do not name the field."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer; `form` is what kind it is, `field` what it asks for."""

    form: str
    field: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Scene:
    """The subject of a question: the records that are given, the one it is about, and how that is spoken of.

    Attributes:
      pointed: "this boat" is understood: its record comes first, or its picture is shown.
      pictured: its picture is shown.
    """

    records: Sequence[Record]
    target: Record
    pointed: bool
    pictured: bool = False

    def mention(self, rng: Random) -> str:
        """Return words for the thing that is asked about."""
        if self.pointed and rng.random() < 0.6:
            return self.point(rng)
        return named(rng.choice(wordings("named")), self.target)

    def point(self, rng: Random) -> str:
        """Return words that point at the thing."""
        about = "shown" if self.pictured and rng.random() < 0.5 else "pointed"
        return named(rng.choice(wordings(about)), self.target)

    def peers(self, field: str) -> list[Record]:
        """Return the records of the same kind that tell a field."""
        return [record for record in self.records if record.kind == self.target.kind and field in record.facts]


class Questioner:
    """Makes questions; what it has asked so far decides whether yes or no is right next."""

    def __init__(self) -> None:
        self._said: Counter[tuple[str, bool]] = Counter()
        self._forms: Mapping[str, tuple[int, Callable[[Scene, Random], Asked | None]]] = {
            "open": (14, self._open),
            "called": (2, self._called),
            "untold": (6, self._untold),
            "stranger": (1, self._stranger),
            "check": (4, self._check),
            "bound": (2, self._bound),
            "pair": (6, self._pair),
            "pair_yesno": (6, self._pair_yesno),
            "which": (3, self._which),
            "count": (4, self._count),
        }

    def ask(self, scene: Scene, turns: int, rng: Random) -> list[Asked]:
        """Return up to `turns` questions, and at least one; no two are about one field."""
        forms, weights = list(self._forms), [weight for weight, _ in self._forms.values()]
        asked: list[Asked] = []
        for form in rng.choices(forms, weights, k=turns * 3):
            made = self._forms[form][1](scene, rng) if len(asked) < turns else None
            # No field twice: a second answer would stand in the conversation already.
            if made and made.field not in {question.field for question in asked}:
                asked.append(made)
                if made.answer in ("yes", "no"):
                    self._said[made.form, made.answer == "yes"] += 1
        return asked or [self._open(scene, rng)]

    def _yes_next(self, form: str, rng: Random) -> bool:
        yes, no = self._said[form, True], self._said[form, False]
        return rng.random() < 0.5 if yes == no else yes < no

    def _open(self, scene: Scene, rng: Random) -> Asked:
        field = rng.choice(list(scene.target.facts))
        return Asked("open", field, _question(scene, field, rng), scene.target.facts[field].answer)

    def _called(self, scene: Scene, rng: Random) -> Asked | None:
        """Ask for the name of the thing that is pointed at."""
        if not scene.pointed or scene.target.name not in scene.target.text:
            return None
        pattern = rng.choice(wordings("called"))
        return Asked("called", "name", _fill(pattern, "", scene.target, scene.point(rng)), scene.target.name)

    def _untold(self, scene: Scene, rng: Random) -> Asked | None:
        if not scene.target.untold:
            return None
        field = rng.choice(scene.target.untold)
        return Asked("untold", field, _question(scene, field, rng), REFUSAL)

    def _stranger(self, scene: Scene, rng: Random) -> Asked:
        """Ask about a thing that no record tells of."""
        field = rng.choice(list(scene.target.facts))
        name = other_name(scene.target.kind, [record.name for record in scene.records], rng)
        mention = rng.choice(wordings("named")).replace("{name}", name).replace("{noun}", scene.target.kind.noun)
        text = _fill(rng.choice(wordings("ask")), field, scene.target, mention)
        return Asked("stranger", field, text, REFUSAL)

    def _check(self, scene: Scene, rng: Random) -> Asked | None:
        field = rng.choice(list(scene.target.facts))
        fact, yes = scene.target.facts[field], self._yes_next("check", rng)
        value = fact.answer if yes else _other(scene, field, rng)
        if value is None:
            return None
        text = _fill(rng.choice(wordings("check")), field, scene.target, scene.mention(rng), value)
        return Asked("check", field, text, "yes" if yes else "no")

    def _bound(self, scene: Scene, rng: Random) -> Asked | None:
        field = _comparable(scene.target.facts, rng)
        if field is None:
            return None
        yes, up = self._yes_next("bound", rng), rng.random() < 0.5
        mine = _rank(field, scene.target.facts[field])
        for _ in range(ATTEMPTS):
            bound = invention.invent(fields()[field].make, parts(), rng)
            if _rank(field, bound) != mine and ((mine > _rank(field, bound)) is (up is yes)):
                names = ("later", "earlier") if fields()[field].type == "date" else ("more", "less")
                pattern = rng.choice(wordings(names[0] if up else names[1]))
                text = _fill(pattern, field, scene.target, scene.mention(rng), bound.answer)
                return Asked("bound", field, text, "yes" if yes else "no")
        return None

    def _pair(self, scene: Scene, rng: Random) -> Asked | None:
        pair = _two(scene, rng)
        if pair is None:
            return None
        field, first, second = pair
        up, date = rng.random() < 0.5, fields()[field].type == "date"
        pattern = rng.choice(wordings(("after" if up else "sooner") if date else ("larger" if up else "smaller")))
        text = _fill_two(pattern, field, first, second, rng)
        if field not in first.facts or field not in second.facts:
            return Asked("pair_untold", field, text, REFUSAL)
        larger = _rank(field, first.facts[field]) > _rank(field, second.facts[field])
        return Asked("pair", field, text, (first if larger is up else second).name)

    def _pair_yesno(self, scene: Scene, rng: Random) -> Asked | None:
        pair = _two(scene, rng, both=True)
        if pair is None:
            return None
        field, first, second = pair
        date, yes = fields()[field].type == "date", self._yes_next("pair_yesno", rng)
        larger = _rank(field, first.facts[field]) > _rank(field, second.facts[field])
        if (larger is not date) is not yes:
            first, second = second, first
        text = _fill_two(rng.choice(wordings("precedes" if date else "exceeds")), field, first, second, rng)
        return Asked("pair_yesno", field, text, "yes" if yes else "no")

    def _which(self, scene: Scene, rng: Random) -> Asked | None:
        field = rng.choice(list(scene.target.facts))
        peers, value = scene.peers(field), scene.target.facts[field].answer
        if len(peers) < 2 or sum(peer.facts[field].answer == value for peer in peers) != 1:
            return None
        text = _fill(rng.choice(wordings("which")), field, scene.target, "", value)
        return Asked("which", field, text, scene.target.name)

    def _count(self, scene: Scene, rng: Random) -> Asked | None:
        field = _comparable(scene.target.facts, rng, "number")
        same = [record for record in scene.records if record.kind == scene.target.kind]
        if field is None or len(same) < 2 or len(scene.peers(field)) < len(same):
            return None
        bound = invention.invent(fields()[field].make, parts(), rng)
        count = sum(_rank(field, record.facts[field]) > _rank(field, bound) for record in same)
        text = _fill(rng.choice(wordings("above")), field, scene.target, "", bound.answer)
        return Asked("count", field, text, str(count))


def named(pattern: str, record: Record) -> str:
    """Return a pattern with what a thing is called put in."""
    kind = record.kind
    return pattern.replace("{name}", record.name).replace("{noun}", kind.noun).replace("{plural}", kind.plural)


def _question(scene: Scene, field: str, rng: Random) -> str:
    own = rng.random() < OWN_QUESTION
    pattern = rng.choice(fields()[field].ask if own else wordings("ask"))
    return _fill(pattern, field, scene.target, scene.mention(rng), rng=rng)


def _fill(pattern: str, field: str, record: Record, mention: str, value: str = "", rng: Random | None = None) -> str:
    """Return a question; it calls the field as the text does, or in another way if `rng` says so."""
    noun = rng.choice(fields()[field].nouns) if rng else record.nouns.get(field, "")
    filled = named(pattern.replace("{l}", noun).replace("{it}", mention).replace("{v}", value), record)
    return filled[0].upper() + filled[1:]


def _fill_two(pattern: str, field: str, first: Record, second: Record, rng: Random) -> str:
    put = pattern.replace("{a}", named(rng.choice(wordings("named")[:2]), first))
    put = put.replace("{b}", named(rng.choice(wordings("named")[:2]), second))
    return _fill(put, field, first, "", rng=rng)


def _other(scene: Scene, field: str, rng: Random) -> str | None:
    """Return a wrong value: where there is one, that of another record, as a careless reader would take."""
    true = scene.target.facts[field]
    near = [record.facts[field].answer for record in scene.records if field in record.facts]
    if fields()[field].type != "number":  # another unit would give it away
        near += [
            fact.answer for name, fact in scene.target.facts.items() if fields()[name].type == fields()[field].type
        ]
    if fields()[field].type == "code":  # of the same form, or that would give it away
        near = [value for value in (_mistyped(true.answer, rng) for _ in range(2)) if value]
    wrong = [value for value in near if value not in (true.answer, *true.accept)]
    if wrong and (fields()[field].type == "code" or rng.random() < 0.5):
        return rng.choice(wrong)
    for _ in range(ATTEMPTS):
        value = invention.invent(fields()[field].make, parts(), rng).answer
        if value not in (true.answer, *true.accept):
            return value
    return None


def _mistyped(code: str, rng: Random) -> str:
    """Return a code with one or two of its letters and digits changed."""
    signs = list(code)
    places = [place for place, sign in enumerate(signs) if sign.isalnum()]
    for place in rng.sample(places, min(len(places), rng.randint(1, 2))):
        signs[place] = str(rng.randrange(10)) if signs[place].isdigit() else rng.choice(parts().letters)
    return "".join(signs)


def _two(scene: Scene, rng: Random, both: bool = False) -> tuple[str, Record, Record] | None:
    """Return a field and two records of a kind, in any order, of which both tell it, or seldom only one."""
    others = [record for record in scene.records if record.kind == scene.target.kind and record is not scene.target]
    field = _comparable(scene.target.facts, rng)
    if field is None or not others:
        return None
    other = rng.choice(others)
    if field in other.facts:
        if _rank(field, scene.target.facts[field]) == _rank(field, other.facts[field]):
            return None
    elif both or rng.random() < 0.7:
        return None
    first, second = rng.sample([scene.target, other], 2)
    return field, first, second


def _comparable(facts: Mapping[str, Fact], rng: Random, *types: str) -> str | None:
    known = [name for name in facts if fields()[name].type in (types or ("number", "date"))]
    return rng.choice(known) if known else None


def _rank(field: str, fact: Fact) -> float:
    """Return by what values of a field are compared: the number, or the day as one."""
    if fields()[field].type == "number":
        return float(fact.answer.split()[0])
    day = next(way for way in (fact.answer, *fact.accept) if way[:4].isdigit() and way.count("-") == 2)
    return float(day.replace("-", ""))
