"""A running site as its three kinds of callers see it: the tracking API, REST, and the admin in a browser's session.

What is asked of it, and what should come back, stands in `main_job`.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import IO, Any, Final
from urllib.parse import quote, urlencode

SECONDS: Final = 20
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and text of an answer; `json` of it when it is JSON; where it points to when it is a redirect."""

    status: int
    text: str
    location: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer to look at, not to follow."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class Site:
    """The site at one address. One instance is one visitor: it keeps cookies."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(_KeepRedirects, urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(
        self, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, method: str = ""
    ) -> Answer:
        """The answer, whatever its status.

        Raises:
            OSError: nobody answers.
        """
        address = path if path.startswith("http") else self.url + path  # REST names its next page by its whole address
        request = urllib.request.Request(address, data=body, headers=headers or {}, method=method or None)  # noqa: S310
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                location = refused.headers.get("Location", "")
                return Answer(refused.code, refused.read().decode(errors="replace"), location)

    # ---- The tracking API ----

    def track(self, call: str, message: Body, *, write_key: str, in_body: bool = False, packed: bool = False) -> Answer:
        """Sends one call as a client library does: key by HTTP Basic or in the body, plain or as gzip."""
        headers = {"Content-Type": "application/json"}
        if in_body:
            message = {**message, "writeKey": write_key}
        else:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()
        body = json.dumps(message).encode()
        if packed:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return self.ask(f"/v1/{call}", body=body, headers=headers)

    # ---- REST ----

    def api(self, path: str, *, api_key: str, body: Body | None = None, method: str = "", **query: str) -> Answer:
        headers = {"Authorization": f"Bearer {api_key}"}
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        address = f"/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")
        return self.ask(address, body=data, headers=headers, method=method)

    def profile(self, identifier: str, *, api_key: str) -> Answer:
        return self.api(f"profiles/{quote(identifier, safe='')}/", api_key=api_key)

    def member_ids(self, key: str, purpose: str, *, api_key: str) -> set[str]:
        """Public ids of all members who permit the purpose, page after page.

        Raises:
            ValueError: the answer was no list of members.
        """
        found: set[str] = set()
        answer = self.api(f"segments/{key}/members/", api_key=api_key, purpose=purpose)
        while True:
            if answer.status != 200:
                raise ValueError(f"{answer.status} {answer.text[:200]}")
            found |= {row["profile"] for row in answer.json["results"]}
            if answer.json["next"] is None:
                return found
            answer = self.ask(answer.json["next"], headers={"Authorization": f"Bearer {api_key}"})

    # ---- The admin ----

    def log_in(self, username: str, password: str) -> int:
        """302 when let in, 200 when the form comes back."""
        return self.submit("/admin/login/", {"username": username, "password": password, "next": "/admin/"}).status

    def submit(self, path: str, fields: dict[str, str], *, form_at: str = "") -> Answer:
        """Posts a form, with the token that its page carries, as a browser would."""
        page = self.ask(form_at or path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        body = urlencode({**fields, "csrfmiddlewaretoken": token.group(1) if token else ""}).encode()
        return self.ask(path, body=body, headers={"Referer": self.url + path, "Origin": self.url})
