"""Members follow what people decide about their data, in the transaction in which they say it.

What comes in with events is judged by the pipeline, with the rest of its batch.
"""

from collections.abc import Collection

from consent.models import Purpose
from segments.evaluation import Facts, evaluate
from segments.live import live_rules, rules_lock
from segments.models import ChangeWhy
from segments.moments import moment_of_writing


def judge(changed: Collection[tuple[int, int]]) -> None:
    """Judges these (profile id, purpose id) again. All the people are locked, and nobody more may be locked afterwards."""
    if not changed:
        return
    key_of = dict(Purpose.objects.filter(pk__in={purpose_id for _, purpose_id in changed}).values_list("pk", "key"))
    facts = Facts()
    for profile_id, purpose_id in changed:
        facts.consents[key_of[purpose_id]].add(profile_id)
    rules_lock(exclusive=False)
    evaluate(facts, live_rules(), as_of=moment_of_writing(), why=ChangeWhy.EDIT)
