"""The American sections as their specification lists them, and the strings that the reference encoders make of known answers.

Written down apart from `consent.signals.us_tables`, so that a slip there can't agree with itself.
"""

# IAB Tech Lab, Global Privacy Platform, Sections/US-National and Sections/US-States as of 17 December 2025, the fields of each
# core segment in their order: "*n" stands for N-Bitfield(2,n), nothing for Int(2).
SPECIFIED: dict[str, str] = {
    "usnat": "SharingNotice SaleOptOutNotice SharingOptOutNotice TargetedAdvertisingOptOutNotice "
    "SensitiveDataProcessingOptOutNotice SensitiveDataLimitUseNotice SaleOptOut SharingOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*16 KnownChildSensitiveDataConsents*3 PersonalDataConsents MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usca": "SaleOptOutNotice SharingOptOutNotice SensitiveDataLimitUseNotice SaleOptOut SharingOptOut "
    "SensitiveDataProcessing*9 KnownChildSensitiveDataConsents*2 PersonalDataConsents MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usva": "SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents MspaCoveredTransaction MspaOptOutOptionMode "
    "MspaServiceProviderMode",
    "usco": "SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*7 KnownChildSensitiveDataConsents MspaCoveredTransaction MspaOptOutOptionMode "
    "MspaServiceProviderMode",
    "usut": "SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SensitiveDataProcessingOptOutNotice SaleOptOut "
    "TargetedAdvertisingOptOut SensitiveDataProcessing*8 KnownChildSensitiveDataConsents MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usct": "SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents*3 MspaCoveredTransaction MspaOptOutOptionMode "
    "MspaServiceProviderMode",
    "usfl": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents*3 AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usmt": "SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents*3 AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usor": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*11 KnownChildSensitiveDataConsents*3 AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "ustx": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usde": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*9 KnownChildSensitiveDataConsents*5 AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usia": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SensitiveDataOptOutNotice SaleOptOut "
    "TargetedAdvertisingOptOut SensitiveDataProcessing*8 KnownChildSensitiveDataConsents MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usne": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usnh": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents*3 AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usnj": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*10 KnownChildSensitiveDataConsents*5 AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    # The table lacks MspaCoveredTransaction, and calls the consent for children by a singular; iabgpp-es has both like this.
    "ustn": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    "usmn": "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut "
    "SensitiveDataProcessing*8 KnownChildSensitiveDataConsents AdditionalDataProcessingConsent MspaCoveredTransaction "
    "MspaOptOutOptionMode MspaServiceProviderMode",
    # These four without the header that the specification puts before them; MspaVersion is their version.
    "usmd": "MspaCoveredTransaction MspaMode ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut "
    "TargetedAdvertisingOptOut AdditionalDataProcessingConsent",
    "usin": "MspaCoveredTransaction MspaMode ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut "
    "TargetedAdvertisingOptOut KnownChildSensitiveDataConsents AdditionalDataProcessingConsent",
    "usky": "MspaCoveredTransaction MspaMode ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut "
    "TargetedAdvertisingOptOut KnownChildSensitiveDataConsents AdditionalDataProcessingConsent",
    "usri": "MspaCoveredTransaction MspaMode ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut "
    "TargetedAdvertisingOptOut KnownChildSensitiveDataConsents AdditionalDataProcessingConsent",
}

# Section information.md.
SECTION_IDS: dict[str, int] = {
    "usnat": 7, "usca": 8, "usva": 9, "usco": 10, "usut": 11, "usct": 12, "usfl": 13, "usmt": 14, "usor": 15, "ustx": 16,
    "usde": 17, "usia": 18, "usne": 19, "usnh": 20, "usnj": 21, "ustn": 22, "usmn": 23, "usmd": 24, "usin": 25, "usky": 26,
    "usri": 27,
}  # fmt: skip

# iabgpp-es 3.2.0, modules/cmpapi/test/encoder/section/*.test.ts, “should encode to …”: there every notice and opt-out is 1, the
# MSPA's three fields are 1, 1 and 2, GPC is true, and the questions about data and children are answered as here.
DATA = (2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0, 2)
CHILDREN = (2, 1, 0, 2, 1)
ENCODED: dict[str, str] = {
    "usca": "BVWSSSVY.YA",
    "usva": "BVWSSVY",
    "usco": "BVWSSVg.YA",
    "usut": "BVVkklWA",
    "usct": "BVWSSZFg.YA",
    "usmt": "BVWSSZFY.YA",
    "ustx": "BVWSSVWA.YA",
    "usde": "BVWSSSSVYA.YA",
    "usia": "BVVkklWA.YA",
    "usne": "BVWSSVWA.YA",
    "usnh": "BVWSSZFY.YA",
    "ustn": "BVWSSVWA.YA",
    "usmn": "BVWSSVWA.YA",
}
# Those whose answers are others there, or that have other fields.
ENCODED_OTHERWISE: list[tuple[str, str, dict[str, int | tuple[int, ...]], bool | None]] = [
    ("usfl", "BVWSSZlY", {"KnownChildSensitiveDataConsents": (2, 1, 2), "SaleOptOut": 1}, None),
    ("usor", "BVWSSRpFYA.YA", {"SensitiveDataProcessing": (2, 1, 0, 2, 1, 0, 2, 1, 0, 1, 2)}, True),
    (
        "usnj",
        "BVWSSRklWA.YA",
        {
            "SensitiveDataProcessing": (2, 1, 0, 2, 1, 0, 2, 1, 0, 1),
            "KnownChildSensitiveDataConsents": (2, 1, 0, 2, 1),
            "AdditionalDataProcessingConsent": 1,
        },
        True,
    ),
    ("usmd", "BVVU.YA", {"MspaCoveredTransaction": 1, "MspaMode": 1, "ProcessingNotice": 1, "SaleOptOut": 1}, True),
    *[
        (name, "BVVV.kkk", {"MspaMode": 1, "SaleOptOut": 1, "SensitiveDataProcessing": (2, 1, 0, 2, 1, 0, 2, 1)}, None)
        for name in ("usin", "usky", "usri")
    ],
    # Version 2 of the national section, with 16 and 3 questions; and version 1, with 12 and 2.
    (
        "usnat",
        "CVVVkkkkkpFY.YA",
        {
            "SensitiveDataProcessing": DATA,
            "KnownChildSensitiveDataConsents": (2, 1, 0),
            "PersonalDataConsents": 1,
            "TargetedAdvertisingOptOut": 1,
            "MspaCoveredTransaction": 1,
            "MspaServiceProviderMode": 2,
        },
        True,
    ),
    (
        "usnat",
        "BAAAVVVVUQA.QA",
        {"SensitiveDataProcessing": (1,) * 12, "KnownChildSensitiveDataConsents": (1, 1), "SaleOptOut": 0},
        False,
    ),
    # iabgpp-java UsNatTest, testDecode2, and the fields of version 2 under the number 1.
    (
        "usnat",
        "BVQqAAAACg",
        {
            "SharingNotice": 1,
            "SaleOptOutNotice": 1,
            "SharingOptOutNotice": 1,
            "TargetedAdvertisingOptOutNotice": 1,
            "SensitiveDataProcessingOptOutNotice": 0,
            "SensitiveDataLimitUseNotice": 0,
            "SaleOptOut": 2,
            "SharingOptOut": 2,
            "TargetedAdvertisingOptOut": 2,
            "PersonalDataConsents": 2,
            "MspaCoveredTransaction": 2,
            "MspaOptOutOptionMode": 0,
            "MspaServiceProviderMode": 0,
        },
        None,
    ),
    ("usnat", "BVVVkkkkkpFY.YA", {"SensitiveDataProcessing": DATA, "KnownChildSensitiveDataConsents": (2, 1, 0)}, True),
]

# iabgpp-es GppModel.test: one section of every kind, nothing said in any of them.
EVERY_SECTION = (
    "DBACOcGA~CPSG_8APSG_8ANwAAAENAAFgAAAAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"
    "~BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAAAA.YAAAAAAAAAA~1---~BAAAAAAAAQA.QA~BAAAAABA.QA~BAAAABA~BAAAAEA.QA"
    "~BAAAAAQA~BAAAAAEA.QA~BAAAAABA~BAAAAABA.QA~BAAAAAABAA.QA~BAAAAAQA.QA~BAAAAAABAA.QA~BAAAAAQA.QA~BAAAAAQA.QA"
    "~BAAAAABA.QA~BAAAAAAAQA.QA~BAAAAAQA.QA~BAAAAAQA.QA~BQAA.QA~BQAA.AAA~BQAA.AAA~BQAA.AAA"
)
