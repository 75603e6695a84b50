"""The main job, done on a running site as its users do it: events in, people out, a segment, its members, consent.

Each step says what it expected and what came. How a step reaches the site stands in `site`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cdp.audit.models import AuditEntry
from demo.site import Site

ANALYSIS, MAILING = "internal_analysis", "marketing_email"
AUDITED: Final = frozenset({"segment.created", "segment.published", "members.read", "profile.read", "segment.archived"})
_FAILURES = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the table."""

    name: str
    expected: object
    got: object
    ms: float

    @property
    def is_ok(self) -> bool:
        return self.got == self.expected


@dataclass(slots=True, kw_only=True)
class MainJob:
    """One run; `run` keeps its people and its segment apart from those of other runs.

    `patience_seconds` is how long a step that takes effect a little later may take.
    """

    site: Site
    credentials: dict[str, Any]
    run: str
    patience_seconds: float
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    uuids: dict[str, str] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """All steps in order; a failed one doesn't keep the later ones from being tried."""
        yield self._step("the site is ready", 200, lambda: self.site.ask("/readyz").status)
        yield from self._events_come_in()
        yield from self._people_are_known()
        yield from self._a_rule_makes_a_segment()
        yield from self._members_are_read_for_a_purpose()
        yield from self._a_new_event_counts_at_once()
        yield from self._strangers_are_refused()
        yield from self._the_admin_shows_it()
        yield self._step("what was done is in the audit log", AUDITED, self._audited)

    # ---- What is sent ----

    def user(self, name: str) -> str:
        return f"check-{self.run}-{name}"

    @property
    def segment(self) -> str:
        return f"check-{self.run}"

    @property
    def city(self) -> str:
        return f"Checkton {self.run}"

    @property
    def rule(self) -> dict[str, Any]:
        """Lives in this run's city and spent 50 or more within the last day."""
        spent = {"performed": "Order Completed", "measure": "sum", "op": "gte", "value": 50, "within": {"days": 1}}
        return {"version": 1, "all": [self._lives_here(), spent]}

    def _lives_here(self) -> dict[str, Any]:
        return {"trait": "city", "op": "equals", "value": self.city}

    def _message(self, kind: str, name: str, part: str, **rest: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        message = {
            "type": kind,
            "messageId": f"check-{self.run}-{name}-{part}",
            "userId": self.user(name),
            "timestamp": now,
        }
        return {**message, **rest}

    def _identify(self, name: str) -> dict[str, Any]:
        traits = {
            "first_name": name.title(),
            "email": f"{self.user(name)}@example.com",
            "city": self.city,
            "country": "CH",
        }
        return self._message("identify", name, "who", traits=traits)

    def _order(self, name: str, amount: float, part: str = "order") -> dict[str, Any]:
        order = {"order_id": f"check-{self.run}-{name}-{part}", "revenue": amount, "currency": "USD"}
        return self._message("track", name, part, event="Order Completed", properties=order)

    def _consent(self, name: str, part: str, choice: bool) -> dict[str, Any]:
        context = {"consent": {"categoryPreferences": {MAILING: choice}}}
        return self._message("track", name, part, event="Segment Consent Preference Updated", context=context)

    def _send(self, call: str, message: dict[str, Any], **how: bool) -> tuple[int, bool]:
        answer = self.site.track(call, message, write_key=self.credentials["write_key"], **how)
        return answer.status, answer.json.get("success")

    # ---- The steps ----

    def _events_come_in(self) -> Iterator[Step]:
        taken = (200, True)
        ann, order = self._identify("ann"), self._order("ann", 60)
        batch = {
            "batch": [self._identify("bob"), self._order("bob", 75), self._identify("cyd"), self._order("cyd", 20)]
        }
        yield self._step("identify, key by HTTP Basic", taken, lambda: self._send("identify", ann))
        yield self._step("track, key in the body", taken, lambda: self._send("track", order, in_body=True))
        yield self._step("batch of two people, gzip", taken, lambda: self._send("batch", batch, packed=True))
        yield self._step("the same batch again", taken, lambda: self._send("batch", batch))
        yield self._step("the same order again", taken, lambda: self._send("track", order))

    def _people_are_known(self) -> Iterator[Step]:
        def learn_uuids() -> int:
            for name in ("ann", "bob", "cyd"):
                answer = self._profile(f"user_id:{self.user(name)}")
                if answer:
                    self.uuids[name] = answer["uuid"]
            return len(self.uuids)

        yield self._eventually("three people are known to REST", 3, learn_uuids)
        traits = self._identify("ann")["traits"]
        yield self._eventually(
            "Ann's traits are right", traits, lambda: self._profile(f"user_id:{self.user('ann')}")["traits"]
        )
        by_email = f"email:{self.user('ann').upper()}@EXAMPLE.com"
        yield self._step(
            "Ann is found by email, however written",
            self.uuids.get("ann", "Ann's uuid"),
            lambda: self._profile(by_email)["uuid"],
        )
        once = {"version": 1, "all": [self._lives_here(), {"performed": "Order Completed", "op": "equals", "value": 1}]}
        yield self._eventually("repeats are not counted: one order each", 3, lambda: self._preview(once))

    def _a_rule_makes_a_segment(self) -> Iterator[Step]:
        new = {"key": self.segment, "name": f"Main job {self.run}", "rule": self.rule, "publish": True}
        made: dict[str, Any] = {}

        def make() -> int:
            answer = self.site.api("segments/", api_key=self.credentials["api_key"], body=new)
            made.update(answer.json)
            return answer.status

        yield self._step("preview of the rule", 2, lambda: self._preview(self.rule))
        broken = {"version": 1, "all": []}
        yield self._step(
            "an empty group is refused", 400, lambda: self._api("segments/preview/", {"rule": broken}).status
        )
        yield self._step("the rule makes a live segment", 201, make)
        yield self._eventually(
            "its refresh runs on the Celery worker", ("succeeded", 1.0), lambda: self._job(made["refresh_job"]["uuid"])
        )

    def _members_are_read_for_a_purpose(self) -> Iterator[Step]:
        names = frozenset({"ann", "bob"})
        yield self._eventually("members, for analysis", names, lambda: self._members(ANALYSIS))
        yield self._step(
            "without a purpose nobody is read",
            (400, "purpose_missing"),
            lambda: self._refusal(f"segments/{self.segment}/members/"),
        )
        yield self._step("members, for mailing: nobody said yes", frozenset(), lambda: self._members(MAILING))
        yield self._step("Ann says yes", (200, True), lambda: self._send("track", self._consent("ann", "yes", True)))
        yield self._eventually("members, for mailing: Ann", frozenset({"ann"}), lambda: self._members(MAILING))
        yield self._step("Ann withdraws", (200, True), lambda: self._send("track", self._consent("ann", "no", False)))
        yield self._eventually("members, for mailing: nobody again", frozenset(), lambda: self._members(MAILING))

    def _a_new_event_counts_at_once(self) -> Iterator[Step]:
        refreshed: dict[str, Any] = {}

        def refresh() -> int:
            answer = self._api(f"segments/{self.segment}/refresh/", {})
            refreshed.update(answer.json)
            return answer.status

        more = self._order("cyd", 40, "second")
        yield self._step("Cyd orders once more", (200, True), lambda: self._send("track", more))
        everybody = frozenset({"ann", "bob", "cyd"})
        yield self._eventually("and is a member, without a refresh", everybody, lambda: self._members(ANALYSIS))
        yield self._step("a refresh is asked for", 202, refresh)
        yield self._eventually("it runs", ("succeeded", 1.0), lambda: self._job(refreshed["uuid"]))
        yield self._step("and finds 0 to enter, 0 to leave, 3 in", (0, 0, 3), lambda: self._result(refreshed["uuid"]))

    def _strangers_are_refused(self) -> Iterator[Step]:
        message = self._identify("eve")
        yield self._step(
            "an unknown write key", 401, lambda: self.site.track("identify", message, write_key="wk_no").status
        )
        yield self._step("an unknown API key", 401, lambda: self.site.api("segments/", api_key="cdp_no").status)

    def _the_admin_shows_it(self) -> Iterator[Step]:
        marketer = self.credentials["users"]["marketer"]
        stranger, browser = Site(self.site.url), Site(self.site.url)
        yield self._step("a wrong password", 200, lambda: stranger.log_in(marketer["username"], "not this one"))
        yield self._step("the marketer logs in", 302, lambda: browser.log_in(**marketer))
        shown = (200, True, True)
        yield self._step(
            "the home screen, marked as simulated", shown, lambda: _shows(browser, "/admin/", "Simulated data", "Home")
        )
        listed = f"/admin/segments/segment/?q={self.run}"
        yield self._step(
            "the segment is listed", shown, lambda: _shows(browser, listed, f"Main job {self.run}", "Live")
        )
        detail = f"/admin/segments/segment/{self._segment_uuid()}/"
        yield self._step(
            "its rule is on its page", shown, lambda: _shows(browser, detail, self.city, "Order Completed")
        )
        yield self._step(
            "Ann is found by her user id", (200, True), lambda: _shows(browser, self._way_to_ann(browser), self.city)
        )
        yield self._step(
            "the segment is put away", 302, lambda: browser.submit(f"{detail}archive/", {}, form_at=detail).status
        )

    # ---- What is asked ----

    def _api(self, path: str, body: dict[str, Any]) -> Any:
        return self.site.api(path, api_key=self.credentials["api_key"], body=body)

    def _profile(self, identifier: str) -> Any:
        answer = self.site.profile(identifier, api_key=self.credentials["api_key"])
        return answer.json if answer.status == 200 else {}

    def _preview(self, rule: dict[str, Any]) -> object:
        answer = self._api("segments/preview/", {"rule": rule}).json
        return answer.get("count", answer)

    def _job(self, uuid: str) -> tuple[str, float]:
        job = self.site.api(f"jobs/{uuid}/", api_key=self.credentials["api_key"]).json
        return job["state"], job["share"]

    def _result(self, uuid: str) -> tuple[int, int, int]:
        result = self.site.api(f"jobs/{uuid}/", api_key=self.credentials["api_key"]).json["result"]
        return result["entered"], result["exited"], result["members"]

    def _members(self, purpose: str) -> frozenset[str]:
        names = {uuid: name for name, uuid in self.uuids.items()}
        ids = self.site.member_ids(self.segment, purpose, api_key=self.credentials["api_key"])
        return frozenset(names.get(uuid, uuid) for uuid in ids)

    def _refusal(self, path: str) -> tuple[int, str]:
        answer = self.site.api(path, api_key=self.credentials["api_key"])
        return answer.status, answer.json["code"]

    def _way_to_ann(self, browser: Site) -> str:
        """The search answers with the way to her page, since only she is meant."""
        return browser.ask(f"/admin/profiles/profile/?q={self.user('ann')}").location

    def _segment_uuid(self) -> str:
        answer = self.site.api(f"segments/{self.segment}/", api_key=self.credentials["api_key"])
        return str(answer.json.get("uuid", "unknown"))

    def _audited(self) -> frozenset[str]:
        written = AuditEntry.objects.filter(recorded_at__gte=self.began, action__in=AUDITED)
        return frozenset(written.values_list("action", flat=True))

    # ---- How a step is told ----

    def _step(self, name: str, expected: object, act: Callable[[], object]) -> Step:
        began = time.perf_counter()
        try:
            got = act()
        except _FAILURES as failure:
            got = f"{type(failure).__name__}: {failure}"
        return Step(name=name, expected=expected, got=got, ms=(time.perf_counter() - began) * 1000)

    def _eventually(self, name: str, expected: object, look: Callable[[], object]) -> Step:
        """The step as soon as it is right; as it stands after a while, when it never is."""
        began = time.perf_counter()
        while True:
            step = self._step(name, expected, look)
            waited = time.perf_counter() - began
            if step.is_ok or waited > self.patience_seconds:
                return Step(name=name, expected=expected, got=step.got, ms=waited * 1000)
            time.sleep(0.02)


def _shows(browser: Site, path: str, *words: str) -> tuple[int, *tuple[bool, ...]]:
    page = browser.ask(path)
    return page.status, *(word in page.text for word in words)
