"""Which fields the segments of TC strings and of GPP strings have. Data; the sections of American states are in `us_tables`.

Sources: IAB Tech Lab, "Consent string and vendor list formats v2" (TCF 2.3); "GPP Extension: IAB Canada TCF"; Global Privacy
Platform, "Consent String Specification", header. Names of fields are theirs.
"""

from consent.signals.fields import (
    CustomPurposeFields,
    FibonacciRange,
    Flag,
    IntRange,
    Letters,
    Moment,
    Number,
    Numbered,
    Optimized,
    Restrictions,
)
from consent.signals.segments import Field, Segment

# Writers of TC strings pad to whole characters, to bytes, or to whole groups of base64.
_TCF_UNITS: tuple[tuple[int, ...], ...] = ((), (8,), (24,))

# ---- What the EU's and Canada's strings begin with -------------------------------------------------------------------
CREATED = Field("Created", Moment())
LAST_UPDATED = Field("LastUpdated", Moment())
CMP_ID = Field("CmpId", Number(12))
CMP_VERSION = Field("CmpVersion", Number(12))
CONSENT_SCREEN = Field("ConsentScreen", Number(6))
CONSENT_LANGUAGE = Field("ConsentLanguage", Letters(2))
VENDOR_LIST_VERSION = Field("VendorListVersion", Number(12))
TCF_POLICY_VERSION = Field("TcfPolicyVersion", Number(6))
_META = (
    CREATED,
    LAST_UPDATED,
    CMP_ID,
    CMP_VERSION,
    CONSENT_SCREEN,
    CONSENT_LANGUAGE,
    VENDOR_LIST_VERSION,
    TCF_POLICY_VERSION,
)
CUSTOM_PURPOSES = Field("CustomPurposes", CustomPurposeFields())

# ---- European Union --------------------------------------------------------------------------------------------------
EU_VERSION = Field("Version", Number(6, least=2, most=2))
IS_SERVICE_SPECIFIC = Field("IsServiceSpecific", Flag())
USE_NON_STANDARD_TEXTS = Field("UseNonStandardTexts", Flag())
SPECIAL_FEATURE_OPT_INS = Field("SpecialFeatureOptIns", Numbered(12))
PURPOSES_CONSENT = Field("PurposesConsent", Numbered(24))
PURPOSES_LI_TRANSPARENCY = Field("PurposesLITransparency", Numbered(24))
PURPOSE_ONE_TREATMENT = Field("PurposeOneTreatment", Flag())
PUBLISHER_CC = Field("PublisherCC", Letters(2))
VENDOR_CONSENT = Field("VendorConsent", Optimized(IntRange()))
VENDOR_LEGITIMATE_INTEREST = Field("VendorLegitimateInterest", Optimized(IntRange()))
PUB_RESTRICTIONS = Field("PubRestrictions", Restrictions(IntRange()))
EU_CORE = Segment(
    "core",
    (
        EU_VERSION,
        *_META,
        IS_SERVICE_SPECIFIC,
        USE_NON_STANDARD_TEXTS,
        SPECIAL_FEATURE_OPT_INS,
        PURPOSES_CONSENT,
        PURPOSES_LI_TRANSPARENCY,
        PURPOSE_ONE_TREATMENT,
        PUBLISHER_CC,
        VENDOR_CONSENT,
        VENDOR_LEGITIMATE_INTEREST,
        PUB_RESTRICTIONS,
    ),
    _TCF_UNITS,
)

# Segments after the first begin with three bits that say which they are.
DISCLOSED, ALLOWED, PUBLISHER = 1, 2, 3


def _type(number: int) -> Field[int]:
    return Field("SegmentType", Number(3, least=number, most=number))


DISCLOSED_VENDORS = Field("DisclosedVendors", Optimized(IntRange()))
ALLOWED_VENDORS = Field("AllowedVendors", Optimized(IntRange()))
PUB_PURPOSES_CONSENT = Field("PubPurposesConsent", Numbered(24))
PUB_PURPOSES_LI_TRANSPARENCY = Field("PubPurposesLITransparency", Numbered(24))
EU_SEGMENTS = {
    DISCLOSED: Segment("disclosed_vendors", (_type(DISCLOSED), DISCLOSED_VENDORS), _TCF_UNITS),
    # Of the global scope, which ended in 2021; here so that such a string can be told from a broken one.
    ALLOWED: Segment("allowed_vendors", (_type(ALLOWED), ALLOWED_VENDORS), _TCF_UNITS),
    PUBLISHER: Segment(
        "publisher",
        (_type(PUBLISHER), PUB_PURPOSES_CONSENT, PUB_PURPOSES_LI_TRANSPARENCY, CUSTOM_PURPOSES),
        _TCF_UNITS,
    ),
}

# ---- Canada ----------------------------------------------------------------------------------------------------------
CA_VERSION = Field("Version", Number(6, least=1, most=1))
USE_NON_STANDARD_STACKS = Field("UseNonStandardStacks", Flag())
SPECIAL_FEATURE_EXPRESS_CONSENT = Field("SpecialFeatureExpressConsent", Numbered(12))
PURPOSES_EXPRESS_CONSENT = Field("PurposesExpressConsent", Numbered(24))
PURPOSES_IMPLIED_CONSENT = Field("PurposesImpliedConsent", Numbered(24))
PUB_PURPOSES_EXPRESS_CONSENT = Field("PubPurposesExpressConsent", Numbered(24))
PUB_PURPOSES_IMPLIED_CONSENT = Field("PubPurposesImpliedConsent", Numbered(24))
# The reference encoders wrote ranges as the EU does until June 2026, and in Fibonacci code since (iabgpp-es 107,
# iabgpp-java 105); the text of the specification puts the choice before the highest id, which neither ever did. So there are
# two layouts with one version number, and what is read is the first one that gives the same bits when it is written again.
VENDOR_EXPRESS_CONSENT = Field("VendorExpressConsent", Optimized(FibonacciRange()))
VENDOR_IMPLIED_CONSENT = Field("VendorImpliedConsent", Optimized(FibonacciRange()))
CA_PUB_RESTRICTIONS = Field("PubRestrictions", Restrictions(Optimized(FibonacciRange())))
CA_DISCLOSED_VENDORS = Field("DisclosedVendors", Optimized(FibonacciRange()))
_CA_BEFORE_VENDORS = (
    CA_VERSION,
    *_META,
    USE_NON_STANDARD_STACKS,
    SPECIAL_FEATURE_EXPRESS_CONSENT,
    PURPOSES_EXPRESS_CONSENT,
    PURPOSES_IMPLIED_CONSENT,
)
CA_CORE = (
    Segment(
        "core",
        (*_CA_BEFORE_VENDORS, VENDOR_EXPRESS_CONSENT, VENDOR_IMPLIED_CONSENT, CA_PUB_RESTRICTIONS),
        _TCF_UNITS,
    ),
    Segment(
        "core",
        (
            *_CA_BEFORE_VENDORS,
            Field(VENDOR_EXPRESS_CONSENT.name, Optimized(IntRange())),
            Field(VENDOR_IMPLIED_CONSENT.name, Optimized(IntRange())),
            Field(CA_PUB_RESTRICTIONS.name, Restrictions(IntRange())),
        ),
        _TCF_UNITS,
    ),
)
CA_SEGMENTS = {
    DISCLOSED: (
        Segment("disclosed_vendors", (_type(DISCLOSED), CA_DISCLOSED_VENDORS), _TCF_UNITS),
        Segment(
            "disclosed_vendors", (_type(DISCLOSED), Field(CA_DISCLOSED_VENDORS.name, Optimized(IntRange()))), _TCF_UNITS
        ),
    ),
    PUBLISHER: (
        Segment(
            "publisher",
            (_type(PUBLISHER), PUB_PURPOSES_EXPRESS_CONSENT, PUB_PURPOSES_IMPLIED_CONSENT, CUSTOM_PURPOSES),
            _TCF_UNITS,
        ),
    ),
}

# ---- GPP -------------------------------------------------------------------------------------------------------------
SECTION_IDS = Field("Sections", FibonacciRange())
GPP_HEADER = Segment(
    "header",
    (
        Field("Type", Number(6, least=3, most=3)),
        Field("Version", Number(6, least=1, most=1)),
        SECTION_IDS,
    ),
)
