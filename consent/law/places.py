"""Where people may be: the countries of ISO 3166-1, and the regions of ISO 3166-2 in countries whose law differs by region.

Which law applies there doesn't belong here. Derived from `iso3166.tab` of the IANA time zone database (public domain);
regions from ISO 3166-2:US and ISO 3166-2:CA.
"""

from collections.abc import Mapping
from typing import Final

_COUNTRIES: Final = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS
BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE
EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM
HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC
LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
_STATES: Final = """
AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP MS MT NC ND
NE NH NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UM UT VA VI VT WA WI WV WY
"""
_PROVINCES: Final = "AB BC MB NB NL NS NT NU ON PE QC SK YT"

COUNTRIES: Final = frozenset(_COUNTRIES.split())

REGIONS: Final[Mapping[str, frozenset[str]]] = {
    "US": frozenset(f"US-{code}" for code in _STATES.split()),
    "CA": frozenset(f"CA-{code}" for code in _PROVINCES.split()),
}


def is_place(code: str) -> bool:
    """Whether it is a country, or a region of a country whose regions are told apart."""
    return code in COUNTRIES or code in REGIONS.get(code.partition("-")[0], ())


def cells_of(country: str | None, region: str | None) -> tuple[str, ...]:
    """The places a person may be in by what is known: one, or as many as it leaves open; all of them, if nothing is known.

    A region counts only in its own country: one of another country, like one that doesn't exist, is an unknown region.
    """
    known = _code(country)
    if known not in COUNTRIES:
        return ALL_CELLS
    regions = REGIONS.get(known)
    if regions is None:
        return (known,)
    return (_code(region),) if _code(region) in regions else tuple(sorted(regions))


def _code(raw: str | None) -> str:
    return (raw or "").strip().upper()


ALL_CELLS: Final = tuple(
    sorted((COUNTRIES - REGIONS.keys()) | {region for regions in REGIONS.values() for region in regions})
)
