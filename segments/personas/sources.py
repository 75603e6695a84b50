"""What a persona can portray: clusters, RFM groups and segments, as they are named in addresses and chosen in forms.

Who belongs to one is a query here; whom it may take in, and what becomes of them, is in `segments.personas.running`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.contrib.auth.models import User
from django.utils.text import slugify

from cdp.errors import DomainError
from cdp.profiles.score_services import published_scores
from segments.clustering.models import KIND_PREFIX, Clustering
from segments.models import READABLE, Segment
from segments.personas.models import Persona, PersonaSource
from segments.queries import Query
from segments.sharing import visible_segments

RFM: Final = "rfm"
MOST_SEGMENTS: Final = 500


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group that can be portrayed: by what it is chosen, what it is called, and how many it has before consent is asked."""

    value: str
    name: str
    people: int | None
    source: PersonaSource
    score_kind: str = ""
    cluster: int | None = None
    rfm_group: str = ""
    segment: Segment | None = None


LABELS: Final = """
    SELECT s.kind, s.number::int, s.text, count(*) FROM profiles_currentscore AS s
     WHERE (s.kind = 'rfm' AND s.key = 'group') OR (starts_with(s.kind, 'clusters-') AND s.key = 'cluster' AND s.number >= 0)
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC, 3
"""


def groups_of_scores() -> tuple[list[Group], list[Group]]:
    """The RFM groups and the clusters that somebody is in now, as the published scores have them."""
    rfm: dict[str, Group] = {}
    clusters: dict[str, Group] = {}
    called = clusterings()
    for kind, number, label, people in Query(sql=LABELS).rows():
        if kind == RFM:
            key = slugify(label or "")
            before = rfm[key].people or 0 if key in rfm else 0
            rfm[key] = Group(
                value=f"rfm:{key}",
                name=label,
                people=before + people,
                source=PersonaSource.RFM,
                score_kind=RFM,
                rfm_group=key,
            )
        else:
            where = called.get(kind, (kind.removeprefix(KIND_PREFIX), kind.removeprefix(KIND_PREFIX)))
            value = f"cluster:{where[0]}:{number}"
            before = clusters[value].people or 0 if value in clusters else 0
            clusters[value] = Group(
                value=value,
                name=f"{where[1]}: {label or f'cluster {number}'}",
                people=before + people,
                source=PersonaSource.CLUSTER,
                score_kind=kind,
                cluster=number,
            )
    return sorted(rfm.values(), key=lambda one: one.name), list(clusters.values())


def clusterings() -> dict[str, tuple[str, str]]:
    """By the kind of their scores, how clusterings are named in addresses, and what they are called."""
    return {one.kind: (str(one.uuid), one.name) for one in Clustering.objects.only("key", "uuid", "name")}


def groups_of_segments(user: User) -> list[Group]:
    """The segments with members that this user sees."""
    seen = visible_segments(user).filter(status__in=READABLE).order_by("name")[:MOST_SEGMENTS]
    return [group_of_segment(one) for one in seen]


def group_of_segment(segment: Segment) -> Group:
    return Group(
        value=f"segment:{segment.uuid}",
        name=segment.name,
        people=segment.member_count,
        source=PersonaSource.SEGMENT,
        segment=segment,
    )


def group_named(value: str, *, user: User) -> Group:
    """The group that an address or a form names.

    Raises:
        DomainError: none was chosen, there is none by that name, or nobody is in it.
    """
    if not value:
        raise DomainError("source_missing", "Choose the group of people to portray.", "/source")
    kind, _, rest = value.partition(":")
    found: Sequence[Group] = ()
    if kind == PersonaSource.SEGMENT:
        try:
            segment = visible_segments(user).filter(uuid=UUID(rest)).first()
        except ValueError:
            segment = None
        if segment is not None and segment.status not in READABLE:
            raise DomainError("segment_not_live", f"“{segment.name}” is not live, so nobody is in it.", "/source")
        found = [group_of_segment(segment)] if segment else ()
    elif kind in (PersonaSource.RFM, PersonaSource.CLUSTER):
        rfm, clusters = groups_of_scores()
        wanted = f"rfm:{slugify(rest)}" if kind == PersonaSource.RFM else value
        found = [one for one in (*rfm, *clusters) if one.value == wanted]
    if not found:
        raise DomainError(
            "source_unknown", "There is no such group now. It may have been renamed, or nobody is in it.", "/source"
        )
    return found[0]


# ---- Who belongs -----------------------------------------------------------------------------------------------------

IN_CLUSTER: Final = """
    SELECT s.profile_id FROM profiles_currentscore AS s
     WHERE s.kind = %(kind)s AND s.key = 'cluster' AND s.number = %(cluster)s
"""
IN_RFM_GROUP: Final = """
    SELECT s.profile_id FROM profiles_currentscore AS s
     WHERE s.kind = %(kind)s AND s.key = 'group' AND s.text = ANY(%(labels)s::text[])
"""
IN_SEGMENT: Final = "SELECT m.profile_id FROM segments_membership AS m WHERE m.segment_id = %(segment)s"


def members_of(persona: Persona) -> Query | None:
    """One column, `profile_id`: who is in the group now. None where the group is gone, and then `why_gone` says how."""
    if why_gone(persona):
        return None
    match persona.source:
        case PersonaSource.SEGMENT:
            return Query(sql=IN_SEGMENT, params={"segment": persona.segment_id})
        case PersonaSource.CLUSTER:
            return Query(sql=IN_CLUSTER, params={"kind": persona.score_kind, "cluster": persona.cluster})
        case _:
            return Query(sql=IN_RFM_GROUP, params={"kind": persona.score_kind, "labels": rfm_labels(persona.rfm_group)})


def rfm_labels(key: str) -> list[str]:
    """What the group with this key is called in the scores that are read now."""
    rfm, _ = groups_of_scores()
    return [one.name for one in rfm if one.rfm_group == key]


def why_gone(persona: Persona) -> str:
    """Why there is nobody to portray; empty where there is."""
    if persona.source == PersonaSource.SEGMENT:
        if persona.segment is None:
            return "The segment it was made from was deleted."
        if persona.segment.status not in READABLE:
            return "The segment it was made from is not live, so nobody is in it."
        return ""
    if persona.score_kind not in published_scores([persona.score_kind]):
        return "The scores that say who is in it were never published, or are gone."
    if persona.source == PersonaSource.RFM and not rfm_labels(persona.rfm_group):
        return f"Nobody is in the RFM group “{persona.source_name}” now, or it was renamed."
    return ""
