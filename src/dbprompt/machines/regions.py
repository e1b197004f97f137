"""Whether a region of a cloud lies in a place that data has to stay in.

Poor: `eu-west-2` looks like the European Union, and is London; `eu-central-2` and `europe-west6` are Zurich.
Better: what is known is looked up, and a name that is not known is left to a person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["lies_in", "no_other_region"]

_UNION = {"at", "be", "de", "dk", "es", "fi", "fr", "gr", "ie", "it", "nl", "pl", "pt", "se"}
_COUNTRIES = {
    "at": "austriaeast",
    "be": "europe-west1 belgiumcentral",
    "ch": "eu-central-2 europe-west6 switzerlandnorth switzerlandwest",
    "de": "eu-central-1 europe-west3 europe-west10 germanywestcentral germanynorth",
    "dk": "denmarkeast",
    "es": "eu-south-2 europe-southwest1 spaincentral",
    "fi": "europe-north1",
    "fr": "eu-west-3 europe-west9 francecentral francesouth",
    "gb": "eu-west-2 europe-west2 uksouth ukwest",
    "ie": "eu-west-1 northeurope",
    "it": "eu-south-1 europe-west8 europe-west12 italynorth",
    "nl": "europe-west4 westeurope",
    "no": "norwayeast norwaywest",
    "pl": "europe-central2 polandcentral",
    "se": "eu-north-1 europe-north2 swedencentral swedensouth",
}
_COUNTRY_OF = {region: country for country, regions in _COUNTRIES.items() for region in regions.split()}
_PLACES = (
    (
        re.compile(r"(us|northamerica-us)-[a-z0-9-]+|(east|west|central|northcentral|southcentral|westcentral)us\d?"),
        "us",
    ),
    (re.compile(r"(ap|asia|australia)-[a-z0-9-]+|(east|southeast)asia|australia[a-z0-9]+|japan[a-z]+"), "ap"),
    (re.compile(r"(ca|northamerica-northeast\d)(-[a-z0-9-]+)?|canada(east|central)"), "ca"),
    (re.compile(r"(sa|southamerica)-[a-z0-9-]+|brazil[a-z]+"), "sa"),
    (re.compile(r"eu-(central|west|north|south)-\d|europe-[a-z]+\d+"), "europe"),
)


_SAME = {"european union": "eu", "europe": "eu", "usa": "us", "united states": "us", "uk": "gb", "germany": "de"}
_CONTINENTS = {"eu", *(name for _, name in _PLACES if name != "europe")}


def lies_in(region: str, place: str) -> bool | None:
    """Whether a region is, or lies in, a place: `eu`, `us`, a country's two letters, or a region; None if unknown.

    >>> lies_in("eu-central-1", "eu"), lies_in("eu-west-2", "eu"), lies_in("us-east-1", "eu"), lies_in("berlin", "eu")
    (True, False, False, None)
    """
    here, wanted = region.lower(), _SAME.get(place.strip().lower(), place.strip().lower())
    if here == wanted or (len(wanted) > 2 and here.startswith(f"{wanted}-")):
        return True
    if wanted not in _CONTINENTS | set(_COUNTRIES) | set(_COUNTRY_OF):
        return None
    country = _country(here)
    if country is not None:
        return wanted == country or (wanted == "eu" and country in _UNION)
    continent = here if here in _CONTINENTS else _continent(here)
    if continent is None or wanted not in _CONTINENTS:
        # Somewhere in the wanted country's continent is not known to be in that country.
        return False if continent in {"us", "ap", "ca", "sa"} else None
    return continent == wanted


def no_other_region(region: str, places: Sequence[str]) -> bool:
    """Whether data that may be in these places only, each a region or a country, has no region but this one.

    >>> no_other_region("eu-central-1", ["eu-central-1"]), no_other_region("eu-central-1", ["de"])
    (True, False)
    """
    return bool(places) and all(_is_all_of(region.lower(), place.strip().lower()) for place in places)


def _is_all_of(here: str, place: str) -> bool:
    wanted = _SAME.get(place, place)
    if wanted in _CONTINENTS | set(_COUNTRIES):
        return _COUNTRIES.get(wanted, "").split() == [here]
    return wanted == here


def _country(here: str) -> str | None:
    """The country of a region, by name or because it is named after it: `de-fra`."""
    first = here.partition("-")[0]
    named = first if first in _COUNTRIES else None
    return _COUNTRY_OF.get(here) or named


def _continent(here: str) -> str | None:
    name = next((name for pattern, name in _PLACES if pattern.fullmatch(here)), None)
    return None if name == "europe" else name
