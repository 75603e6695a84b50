"""What signals mean for what we do with data: which of it they permit, which they rule out, and of which they say nothing.

The tables are the meaning; the functions only apply them. Two rules hold throughout. What is not said is not granted.
A law under which people opt out (the American ones, Global Privacy Control) can only take away: that somebody has not opted
out is no consent.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from consent.signals.canada import CanadianTcString
from consent.signals.fields import Restriction, RestrictionType
from consent.signals.gpc import BrowserSignal
from consent.signals.gpp import GppString
from consent.signals.ids import Ids
from consent.signals.tcf import PublisherTc, TcString
from consent.signals.us import UsPrivacy, UsSection, UsValue


class Capability(StrEnum):
    """Something that is done with a person's data."""

    DEVICE_STORAGE = "device_storage"  # keeping or reading anything on their device
    TARGETED_ADS = "targeted_ads"  # advertising chosen by what they did elsewhere, or profiles for it
    AD_MEASUREMENT = "ad_measurement"
    ANALYTICS = "analytics"
    PERSONALISATION = "personalisation"  # content chosen by a profile of them
    MARKETING = "marketing"  # messages to them: email, SMS, post
    SALE = "sale"
    SHARING = "sharing"  # for advertising across contexts, in California's words
    SENSITIVE_DATA = "sensitive_data"


class Stance(StrEnum):
    GRANTED = "granted"
    DENIED = "denied"
    UNSAID = "unsaid"


C = Capability
_ACROSS_CONTEXTS = frozenset({C.SALE, C.SHARING, C.TARGETED_ADS})

# ---- The tables ------------------------------------------------------------------------------------------------------
# IAB's purposes, the same numbers in the EU and in Canada: all of those named must be consented to.
PURPOSES: Mapping[Capability, frozenset[int]] = {
    C.DEVICE_STORAGE: frozenset({1}),
    C.TARGETED_ADS: frozenset({3, 4}),
    C.AD_MEASUREMENT: frozenset({7}),
    C.ANALYTICS: frozenset({8, 9}),
    C.PERSONALISATION: frozenset({5, 6}),
}
# Fields of the American sections, by the value that takes away; in a row of questions, one such answer is enough.
US_OPT_OUTS: Mapping[str, tuple[int, frozenset[Capability]]] = {
    "SaleOptOut": (1, frozenset({C.SALE})),
    "SharingOptOut": (1, frozenset({C.SHARING, C.TARGETED_ADS})),
    "TargetedAdvertisingOptOut": (1, frozenset({C.TARGETED_ADS})),
    "SensitiveDataProcessing": (1, frozenset({C.SENSITIVE_DATA})),
    "KnownChildSensitiveDataConsents": (1, _ACROSS_CONTEXTS | {C.SENSITIVE_DATA}),
    # No consent to purposes beyond those for which the data was collected.
    "PersonalDataConsents": (1, frozenset({C.TARGETED_ADS})),
    "AdditionalDataProcessingConsent": (1, frozenset({C.TARGETED_ADS})),
    # The business acts as a service provider in this transaction, and sells and shares nothing.
    "MspaServiceProviderMode": (1, _ACROSS_CONTEXTS),
    "MspaMode": (2, _ACROSS_CONTEXTS),
}
GPC_OPTS_OUT_OF = _ACROSS_CONTEXTS
# “Do not sell” of 2020 is “do not sell or share” since 2023, and a string doesn't say when it was chosen.
US_PRIVACY_OPTS_OUT_OF = _ACROSS_CONTEXTS


@dataclass(frozen=True, slots=True)
class Needs:
    """What something needs: all of these granted, and none of those denied."""

    granted: frozenset[Capability]
    not_denied: frozenset[Capability] = frozenset()


# The purposes that come with an installation, by key. Those that are missing here are of no concern to signals. What needs a
# capability that no signal grants can be denied by one, but must be granted by the person in another way.
OUR_PURPOSES: Mapping[str, Needs] = {
    "targeted_ads": Needs(frozenset({C.TARGETED_ADS}), frozenset({C.SHARING})),
    "partner_offers": Needs(frozenset({C.SALE, C.SHARING})),
    "personalisation": Needs(frozenset({C.PERSONALISATION})),
    "analytics": Needs(frozenset({C.ANALYTICS})),
    "marketing_email": Needs(frozenset({C.MARKETING})),
    "sms": Needs(frozenset({C.MARKETING})),
}


# ---- Applying them ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Meaning:
    """The stance on each capability that a signal speaks of, and which parts of it say so.

    Args:
        stances: capabilities that are missing are unsaid.
        because: for each capability with a stance, what was said, in the words of the signal's specification.
    """

    stances: Mapping[Capability, Stance] = field(default_factory=dict)
    because: Mapping[Capability, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, capability: Capability) -> Stance:
        return self.stances.get(capability, Stance.UNSAID)

    def fulfils(self, needs: Needs) -> Stance:
        """Denied if any of it is; granted if all of it is; else unsaid."""
        if any(self[one] is Stance.DENIED for one in needs.granted | needs.not_denied):
            return Stance.DENIED
        is_granted = bool(needs.granted) and all(self[one] is Stance.GRANTED for one in needs.granted)
        return Stance.GRANTED if is_granted else Stance.UNSAID

    def for_purposes(self, purposes: Mapping[str, Needs] = OUR_PURPOSES) -> dict[str, Stance]:
        return {key: self.fulfils(needs) for key, needs in purposes.items()}


NOTHING = Meaning()


def together(meanings: Iterable[Meaning]) -> Meaning:
    """What several signals mean at once: of two stances the stricter holds, and silence takes away nothing."""
    stances: dict[Capability, Stance] = {}
    because: dict[Capability, tuple[str, ...]] = {}
    for meaning in meanings:
        for capability, stance in meaning.stances.items():
            before = stances.get(capability)
            if before == stance:
                because[capability] += meaning.because[capability]
            elif before is None or stance is Stance.DENIED:
                stances[capability], because[capability] = stance, meaning.because[capability]
    return Meaning(stances, because)


def of_browser(signal: BrowserSignal) -> Meaning:
    return _denied(GPC_OPTS_OUT_OF, "Sec-GPC") if signal.opts_out else NOTHING


def of_us_privacy(said: UsPrivacy) -> Meaning:
    return _denied(US_PRIVACY_OPTS_OUT_OF, "uspv1 OptOutSale") if said.opted_out_of_sale else NOTHING


def of_us_section(section: UsSection) -> Meaning:
    opt_outs = [
        _denied(capabilities, f"{section.prefix} {name}")
        for name, (value, capabilities) in US_OPT_OUTS.items()
        if name in section.fields and value in _answers(section.fields[name])
    ]
    if section.gpc:
        opt_outs.append(_denied(GPC_OPTS_OUT_OF, f"{section.prefix} Gpc"))
    return together(opt_outs)


def of_tcf(tc: TcString, *, vendor: int | None = None) -> Meaning:
    """What a TC string permits us, on consent alone.

    That a legitimate interest was shown is neither a yes nor a no: its bit is also unset where it never was.

    Args:
        tc: as `tcf.read` gives it, and no other.
        vendor: our number on the Global Vendor List, where we act as a vendor on others' sites. Then the vendor's consent
            counts, too, and what the publisher lays down for it. Without: we are the publisher; if it was asked for itself,
            both answers must be yes.
    """
    purposes = tc.purposes_consent
    if vendor is None:
        purposes = _for_publisher(purposes, tc.publisher)
    else:
        purposes = _for_vendor(purposes, vendor, tc.vendors_consent, tc.disclosed_vendors, tc.restrictions)
    return _by_purposes(purposes, "tcfeuv2")


def of_canada(tc: CanadianTcString, *, vendor: int | None = None) -> Meaning:
    """The same of Canada's section, on express consent alone: implied consent is no yes."""
    purposes = tc.purposes_express_consent
    if vendor is None:
        purposes = _for_publisher(purposes, tc.publisher)
    else:
        purposes = _for_vendor(purposes, vendor, tc.vendors_express_consent, tc.disclosed_vendors, tc.restrictions)
    return _by_purposes(purposes, "tcfcav1")


def of_gpp(gpp: GppString, *, in_force: Collection[int] | None = None, vendor: int | None = None) -> Meaning:
    """What a GPP string means: of all its sections at once, the stricter.

    A section that can't be read may have been an opt-out. So beside one nothing is granted, while opt-outs still hold.

    Args:
        gpp: as `gpp.read` gives it.
        in_force: numbers of the sections whose laws apply to this person now (`gpp_sid`), where that is known. The EU's and
            Canada's say nothing outside of them; an opt-out holds wherever the person made it.
        vendor: see `of_tcf`.
    """
    meanings: list[Meaning] = []
    for section in gpp.sections:
        applies = in_force is None or section.id in in_force
        match section.content:
            case TcString() as tc if applies:
                meanings.append(of_tcf(tc, vendor=vendor))
            case CanadianTcString() as tc if applies:
                meanings.append(of_canada(tc, vendor=vendor))
            case UsPrivacy() as said:
                meanings.append(of_us_privacy(said))
            case UsSection() as said:
                meanings.append(of_us_section(said))
    meaning = together(meanings)
    return _without_grants(meaning) if any(section.error for section in gpp.sections) else meaning


def _denied(capabilities: Iterable[Capability], reason: str) -> Meaning:
    denied = sorted(capabilities)
    return Meaning(dict.fromkeys(denied, Stance.DENIED), dict.fromkeys(denied, (reason,)))


def _without_grants(meaning: Meaning) -> Meaning:
    denied = {capability: stance for capability, stance in meaning.stances.items() if stance is Stance.DENIED}
    return Meaning(denied, {capability: meaning.because[capability] for capability in denied})


def _answers(value: UsValue) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _by_purposes(consented: frozenset[int], prefix: str) -> Meaning:
    """Every capability in the table is granted or denied: these strings state all that was chosen, so their no is one."""
    stances: dict[Capability, Stance] = {}
    because: dict[Capability, tuple[str, ...]] = {}
    for capability, purposes in PURPOSES.items():
        missing = purposes - consented
        stances[capability] = Stance.DENIED if missing else Stance.GRANTED
        because[capability] = tuple(f"{prefix} purpose {number}" for number in sorted(missing or purposes))
    return Meaning(stances, because)


def _for_publisher(purposes: frozenset[int], publisher: PublisherTc | None) -> frozenset[int]:
    return purposes if publisher is None else purposes & publisher.purposes_consent


def _for_vendor(
    purposes: frozenset[int],
    vendor: int,
    consented: Ids,
    disclosed: Ids | None,
    restrictions: Collection[Restriction],
) -> frozenset[int]:
    """The purposes for which this vendor may act on consent."""
    if vendor not in consented or (disclosed is not None and vendor not in disclosed):
        return frozenset()
    ruled_out = {
        restriction.purpose
        for restriction in restrictions
        if restriction.type is not RestrictionType.REQUIRE_CONSENT and vendor in restriction.vendors
    }
    return purposes - ruled_out
