"""Which privacy law protects a person, what it demands, and by when. Pure, and typed.

    law = law_for(country, region, on)          the law there and then; the strictest of all that may apply
    demands(law, capability)                    what it says of one use of data, with the source of each figure
    asked(demand, birth_date, on)               what must be so before that is done with data of somebody of that age
    age_band(law, birth_date, on)               whether they consent by themselves
    due(law, right, received_on, extended)      the last day on which a request is answered in time
    strictest(laws)                             one law that demands what any of them does
    load(folder)                                the same laws with the operator's own figures over them

The laws are data: `data/*.toml`, each figure with its source. What is unknown is settled by the stricter answer. No legal advice.

Django, databases and HTTP don't belong here: this package imports the standard library only.
"""

from consent.law.ages import AgeBand, age, age_band
from consent.law.applying import law_for
from consent.law.deadlines import acknowledge_by, due, extendable
from consent.law.demands import Asked, Demand, UnknownAge, asked, demands
from consent.law.library import Laws, load, shipped
from consent.law.reading import LawFileError, LawFileErrors
from consent.law.strictness import strictest
from consent.law.terms import (
    REACHED_BY_GPC,
    Capability,
    Clock,
    Figure,
    Law,
    LawError,
    Model,
    Period,
    Right,
    Source,
    Unit,
    Weekend,
)

__all__ = [
    "REACHED_BY_GPC",
    "AgeBand",
    "Asked",
    "Capability",
    "Clock",
    "Demand",
    "Figure",
    "Law",
    "LawError",
    "LawFileError",
    "LawFileErrors",
    "Laws",
    "Model",
    "Period",
    "Right",
    "Source",
    "Unit",
    "UnknownAge",
    "Weekend",
    "acknowledge_by",
    "age",
    "age_band",
    "asked",
    "demands",
    "due",
    "extendable",
    "law_for",
    "load",
    "shipped",
    "strictest",
]
