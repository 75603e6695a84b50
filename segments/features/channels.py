"""By which channel a visit came, told by its campaign's tags, and on what kind of device somebody was.

Each is told twice, in Python and in SQL, from the same patterns. They are plain enough to mean the same in both; the tests
hold them to it.
"""

import re
from typing import Final

CHANNELS: Final = ("email", "paid", "social", "organic", "referral", "direct", "other")
DEVICES: Final = ("mobile", "tablet", "desktop")

# The usual tags, as in the default channel groups of web analytics; compared in lower case.
_EMAIL: Final = "(e-?mail|newsletter)"
_PAID: Final = "(^|[^a-z])(cp[acmv]|ppc|paid[a-z]*|display|banner|retargeting|remarketing|ads?|adwords)($|[^a-z])"
_SOCIAL: Final = "^(social.*|sm)$"
_NETWORKS: Final = "(^|[^a-z])(facebook|instagram|twitter|linkedin|tiktok|pinterest|youtube|reddit|snapchat|mastodon|bluesky)($|[^a-z])"
_REFERRAL: Final = "^(referral|affiliates?|partners?|link)$"
# By medium alone, by source alone, in this order; an ad on a social network is paid for.
_RULES: Final = (
    ("email", _EMAIL, _EMAIL),
    ("paid", _PAID, None),
    ("social", _SOCIAL, _NETWORKS),
    ("organic", "^organic$", None),
    ("referral", _REFERRAL, None),
)


def channel_of(source: str, medium: str) -> str:
    """One of `CHANNELS`: "direct" for a visit that names no campaign, "other" for tags that say none of them."""
    source, medium = source.lower(), medium.lower()
    if not source and not medium:
        return "direct"
    for channel, by_medium, by_source in _RULES:
        if re.search(by_medium, medium) or (by_source and re.search(by_source, source)):
            return channel
    return "other"


def _channel_sql() -> str:
    cases = []
    for channel, by_medium, by_source in _RULES:
        said = f"lower(s.utm_medium) ~ '{by_medium}'"
        said += f" OR lower(s.utm_source) ~ '{by_source}'" if by_source else ""
        cases.append(f"WHEN {said} THEN '{channel}'")
    return f"CASE WHEN s.utm_source = '' AND s.utm_medium = '' THEN 'direct' {' '.join(cases)} ELSE 'other' END"


CHANNEL: Final = _channel_sql()
"""The same in SQL, of a row `s` of `profiles_session`."""

_TABLET, _MOBILE, _DESKTOP = "(tablet|ipad)", "(mobile|phone|ios|android)", "(desktop|computer|laptop|browser)"
_AGENT_TABLET, _AGENT_MOBILE = "(ipad|tablet|kindle|silk/)", "(mobi|iphone|ipod)"


def device_of(said: str, agent: str) -> str | None:
    """One of `DEVICES`, by what the library says of the device, else by the browser's own words; None where neither says."""
    said, agent = said.lower(), agent.lower()
    for device, pattern in (("tablet", _TABLET), ("mobile", _MOBILE), ("desktop", _DESKTOP)):
        if re.search(pattern, said):
            return device
    if not agent:
        return None
    if re.search(_AGENT_TABLET, agent) or ("android" in agent and not re.search(_AGENT_MOBILE, agent)):
        return "tablet"
    return "mobile" if re.search(_AGENT_MOBILE, agent) else "desktop"


DEVICE: Final = f"""
    CASE WHEN e.said ~ '{_TABLET}' THEN 'tablet' WHEN e.said ~ '{_MOBILE}' THEN 'mobile' WHEN e.said ~ '{_DESKTOP}' THEN 'desktop'
         WHEN e.agent = '' THEN NULL
         WHEN e.agent ~ '{_AGENT_TABLET}' OR (e.agent ~ 'android' AND e.agent !~ '{_AGENT_MOBILE}') THEN 'tablet'
         WHEN e.agent ~ '{_AGENT_MOBILE}' THEN 'mobile' ELSE 'desktop' END
"""
"""The same in SQL, of a row `e` with what is `said` and the `agent`, both in lower case and not NULL."""
