"""What rules that speak of personal data leave behind, and who may write them."""

import json

import pytest

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Trait
from cdp.rest.models import Scope
from consent.models import Decision, Purpose
from segments.previews import preview, record_preview
from tests.factories import BY, draft, identify, performed, process_all, rule, track, tracker
from tests.integration.callers import decide, found, key, problem

pytestmark = pytest.mark.django_db

PERSONAL = {
    "all": [
        {"trait": "email", "op": "equals", "value": "erika@example.com"},
        {"trait": "city", "op": "any_of", "value": ["Bern", "erika@example.org"]},
        performed("Bought", where=[{"property": "email", "op": "equals", "value": "Erika Mustermann"}]),
    ]
}


@pytest.fixture
def known(db: None) -> None:
    source = tracker()
    source.send(*(identify(f"u{n}", traits={"email": f"u{n}@example.com", "city": "Bern"}) for n in range(80)))
    source.send(track("Bought", "u1"))
    process_all()
    assert Trait.objects.get(key="email").is_pii


def test_the_audit_log_keeps_the_form_of_a_rule_but_nobodys_values(known: None) -> None:
    draft("erika", PERSONAL)
    analysis = Purpose.objects.get(key="internal_analysis")
    seen = preview(rule=rule(PERSONAL), purpose=analysis)
    record_preview(seen, rule=rule(PERSONAL), purpose=analysis, by=BY)
    kept = [entry.detail["rule"] for entry in AuditEntry.objects.filter(detail__has_key="rule")]
    assert len(kept) == 2
    for one in kept:
        assert "rika" not in json.dumps(one)
        email, city, bought = one["all"]
        assert email == {"trait": "email", "op": "equals", "value": "••••"}
        assert city["value"] == ["Bern", "••••"] and bought["where"][0]["value"] == "••••"
        assert (bought["performed"], bought["value"]) == ("Bought", 1)


def test_a_sample_shows_the_few_who_permit_among_the_many_who_do_not(known: None) -> None:
    everyone = rule({"everyone": True})
    email = Purpose.objects.get(key="marketing_email")
    assert preview(rule=everyone, purpose=email).sample == []
    for user in ("u7", "u51"):
        decide(user, "marketing_email", Decision.GRANTED)
    drawn = preview(rule=everyone, purpose=email)
    assert {person.traits["email"] for person in drawn.sample} == {"u7@example.com", "u51@example.com"}
    assert (drawn.count, drawn.of) == (80, 80)
    assert len(preview(rule=everyone, purpose=Purpose.objects.get(key="internal_analysis")).sample) == 10


def test_only_who_may_look_people_up_writes_and_counts_rules_on_personal_data(known: None) -> None:
    by_email = rule({"any": [{"not": {"trait": "email", "op": "equals", "value": "u1@example.com"}}]})
    made = draft("plain", performed("Bought"))
    counts_only = key(Scope.SEGMENTS_READ, Scope.SEGMENTS_WRITE, Scope.MEMBERS_READ, sees=[made])
    for response in (
        counts_only.post("segments/preview/", {"rule": by_email}),
        counts_only.post("segments/", {"name": "x", "rule": by_email}),
        counts_only.patch("segments/plain/", {"rule": by_email}),
    ):
        body = problem(response, 400)
        (only,) = body["errors"]
        assert (only["code"], only["pointer"]) == ("personal_data", "/rule/any/0/not/trait")
    assert found(counts_only.post("segments/preview/", {"rule": rule(performed("Bought"))}))["count"] == 1
    looks_up = key(Scope.SEGMENTS_WRITE, Scope.PROFILES_READ)
    assert found(looks_up.post("segments/preview/", {"rule": by_email}))["count"] == 79
