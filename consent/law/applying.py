"""Which law protects a person, by where and when. What it demands is in `demands`, by when in `deadlines`."""

from datetime import date

from consent.law.library import Laws, shipped
from consent.law.places import cells_of
from consent.law.terms import Law


def law_for(country: str | None, region: str | None, on: date, *, laws: Laws | None = None) -> Law:
    """The law that protects somebody in this country and region on this day.

    Where the country is unknown, or its law differs by region and the region is unknown, it is the strictest of all that may
    apply; codes that aren't in ISO 3166 are unknown. Where a country has no law of its own here, it is the default.

    Args:
        country: ISO 3166-1 alpha-2, as `US`.
        region: ISO 3166-2, as `US-CA`. Looked at only in countries whose law differs by region.
        laws: other laws than the shipped ones, from `load`.
    """
    return (laws or shipped()).at(cells_of(country, region), on)
