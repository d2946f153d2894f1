"""A world of a few countries with plain flags."""


def entry(
    code: str,
    name: str,
    color: str,
    *,
    independent: bool = True,
    capital: str = "",
) -> dict[str, object]:
    """A country as `countries.json` has it; `color` is that of its plain flag."""
    return {
        "name": {"common": name},
        "cca2": code,
        "independent": independent,
        "region": "Africa",
        "subregion": "Eastern Africa",
        "demonyms": {"eng": {"m": f"{name}er"}},
        "capital": [capital or f"{name} City"],
        "languages": {"a": f"{name}ish", "b": "English"},
        "currencies": {"X": {"name": f"{name} dollar"}},
        "color": color,
    }


WORLD = [
    entry("RA", "Redland", "#e00000"),
    entry("GA", "Greenland Republic", "#00a000"),
    entry("BA", "Bluestan", "#0000d0"),
    entry("YA", "Yellonia", "#f0e000", capital="Yellonia"),
    entry("TE", "Territory", "#808080", independent=False),
]


def icon(item: dict[str, object]) -> dict[str, object]:
    return {"body": f'<rect x="0" y="0" width="40" height="30" fill="{item["color"]}"/>'}
