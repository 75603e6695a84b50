"""A trait's type is what rules were checked against: it isn't changed under them, and a change by other means is seen."""

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from cdp.profiles.models import Trait
from segments.live import live_rules, rules_lock
from segments.models import Segment
from segments.services import archive
from tests.factories import BY, live
from tests.integration.shoppers import ann_bob_and_cyd

OF_AGE = {"trait": "age", "op": "gte", "value": 65}


@pytest.fixture
def segment(db: None) -> Segment:
    ann_bob_and_cyd()
    return live("elders", {"not": OF_AGE})


def test_the_type_of_a_trait_that_a_live_rule_reads_is_kept(segment: Segment, client: Client) -> None:
    live("grown-ups", OF_AGE)
    client.force_login(User.objects.create_superuser("root"))
    age = Trait.objects.get(key="age")
    address = reverse("admin:profiles_trait_change", args=[age.pk])
    given = {"label": "Age", "type": "text", "category": age.category, "description": ""}
    refused = client.post(address, given)
    assert "relied on by “Elders”, “Grown-ups”" in refused.content.decode()
    assert client.post(address, given | {"type": "number", "label": "Years"}).status_code == 302
    for one in Segment.objects.all():
        archive(segment=one, by=BY)
    assert client.post(address, given).status_code == 302
    assert Trait.objects.get(key="age").type == "text"


def test_rules_are_checked_again_when_a_type_was_changed_all_the_same(segment: Segment) -> None:
    with transaction.atomic():
        rules_lock(exclusive=False)
        assert live_rules() is live_rules()
        assert live_rules().by_segment(segment.pk) is not None
        Trait.objects.filter(key="age").update(type="text")
        assert live_rules().by_segment(segment.pk) is None
    segment.refresh_from_db()
    assert segment.broken_reason
