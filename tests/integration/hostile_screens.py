"""Every form of the console and of people's own pages, found by opening all addresses: what stands in their HTML, and what they read.

Nothing here lists a screen or a field; what an address is opened with is in `tests.integration.hostile_world`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

from django import forms
from django.db import transaction
from django.http import HttpResponse
from django.urls import Resolver404, resolve, reverse

from cdp.ingestion import keys
from cdp.profiles import catalogue
from segments import live
from tests.harness.harmless import Watch
from tests.harness.hostile import SEPARATOR, raw, sheet
from tests.harness.listening import Names, hearing
from tests.integration.hostile_world import OWN_PARTS, World, addresses, admin_parts

TYPED = {"number", "date", "datetime-local", "time", "select", "radio", "checkbox", "button"}
# Checked by Django before a view is asked.
NOT_OURS = {"csrfmiddlewaretoken"}


@dataclass(frozen=True)
class Address:
    """One that can be opened. ``name`` is the URL's, the same for all that it may be opened with."""

    name: str
    path: str


@dataclass(frozen=True)
class Field:
    name: str
    kind: str
    usual: tuple[str, ...] = ()


def family(method: str, one: Field) -> str:
    """What kind of field it is, as far as it matters to who reads it."""
    if one.kind == "file" or method == "GET":
        return one.kind if one.kind == "file" else method
    return f"{method} {'typed' if one.kind in TYPED else 'text'}"


@dataclass
class Entry:
    """Fields that are sent together to one address."""

    address: Address
    method: str
    fields: dict[str, Field] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.address.name}"


@dataclass
class Screens:
    """The walk: which addresses there are, what they take, and sending it."""

    world: World
    watch: Watch
    entries: dict[tuple[str, str, str], Entry] = field(default_factory=dict)
    # URL name -> statuses of opening it as it stands.
    opened: dict[str, set[int]] = field(default_factory=dict)
    # Class of form -> names of its fields as they are sent.
    filled: dict[type[forms.BaseForm], set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = self.world.client()
        self.cookies = SimpleCookie({name: one.value for name, one in self.client.cookies.items()})

    # ---- Finding -----------------------------------------------------------------------------------------------------

    def explore(self) -> None:
        """Opens all addresses, and sends nothing to them, which says what they would read."""
        waiting, seen = list(self.all()), set[tuple[str, frozenset[str]]]()
        while waiting:
            address = waiting.pop(0)
            page = self._ask(Entry(address, "GET"), {})
            for entry in self._in(page, address):
                self._keep(entry)
                # Some addresses are nothing without what a link says of them.
                which = entry.address.name, frozenset(entry.fields)
                if entry.method == "GET" and entry.address.name != address.name and which not in seen:
                    seen.add(which)
                    waiting.append(entry.address)
            self._ask(Entry(address, "POST"), {})
        refused = {name for name, statuses in self.opened.items() if statuses <= {403, 404, 405}}
        self.entries = {key: one for key, one in self.entries.items() if one.address.name not in refused}
        for entry in list(self.entries.values()):  # what is read only once something stands there
            if entry.method == "POST" and any(one.kind != "read" for one in entry.fields.values()):
                self._ask(entry, {name: one.usual for name, one in entry.fields.items()})

    def all(self) -> Iterator[Address]:
        for path, name, parts in addresses():
            if path.startswith("admin/") and name:
                for chosen in admin_parts(self.world, name, parts):
                    yield Address(name, reverse(f"admin:{name}", kwargs=chosen))
            elif name in OWN_PARTS or name in ("demo-shop",):
                yield Address(name, reverse(name, kwargs=OWN_PARTS[name](self.world) if name in OWN_PARTS else {}))

    def _in(self, response: HttpResponse, address: Address) -> Iterator[Entry]:
        """The forms of a page, and the parameters of its links."""
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return
        page = _Forms(address.path)
        page.feed(response.content.decode())
        for method, action, fields in page.found:
            split = urlsplit(urljoin(address.path, action or address.path))
            if not (name := _name_of(split.path)):
                self.watch.say(f"GET {address.name}", f"a form leads to {split.path}, where nothing is")
                continue
            if method == "GET":
                fields = {**{key: Field(key, "get") for key, _ in parse_qsl(split.query)}, **fields}
            yield Entry(
                Address(name, split.path + (f"?{split.query}" if method == "POST" and split.query else "")),
                method,
                fields,
            )
        for link in page.links:
            split = urlsplit(urljoin(address.path, link))
            if split.netloc or not (name := _name_of(split.path)):
                continue
            is_here = split.path == address.path.partition("?")[0]
            there = address if is_here else Address(name, f"{split.path}?{split.query}")
            yield Entry(there, "GET", {key: Field(key, "get", (value,)) for key, value in parse_qsl(split.query)})

    def _keep(self, found: Entry) -> None:
        if not found.fields:
            return
        which = urlsplit(found.address.path).path if found.address.name.endswith("_act") else ""
        kept = self.entries.setdefault((found.method, found.address.name, which), Entry(found.address, found.method))
        for name, one in found.fields.items():
            if name not in NOT_OURS:
                before = kept.fields.get(name)
                kept.fields[name] = one if before is None or (before.kind == "read" and one.kind != "read") else before

    # ---- Sending -----------------------------------------------------------------------------------------------------

    def send(self, entry: Entry, given: Mapping[str, str]) -> HttpResponse:
        """The answer to the entry with this in these fields, and in the others what usually stands there; then all is undone."""
        values = {name: (given[name],) if name in given else one.usual for name, one in entry.fields.items()}
        return self._ask(
            entry, values, sent={entry.fields[name].kind: text for name, text in given.items() if name in entry.fields}
        )

    def _ask(
        self, entry: Entry, values: Mapping[str, tuple[str, ...]], sent: Mapping[str, str] | None = None
    ) -> HttpResponse:
        where = f"{entry}{' ' + ','.join(sorted(values)) if len(values) < 4 and sent else ''}"
        said = "; ".join(f"{name}={value!r:.80}" for name, value in (sent or {}).items())
        before = transaction.savepoint()
        with hearing() as (names, filled):
            response = self.watch.send(where, lambda: self._request(entry, values), said)
            if entry.method == "POST" and response.status_code in (301, 302) and sent:
                self._read_back(where, response["Location"], entry, said)
        transaction.savepoint_rollback(before)
        transaction.savepoint_commit(before)  # let go of, else they pile up
        self.client.cookies = SimpleCookie({name: one.value for name, one in self.cookies.items()})
        if entry.method == "POST":
            for module in (catalogue, keys, live):
                module.forget()
        self._learn(entry, names, filled)
        if not sent:
            self.opened.setdefault(entry.address.name, set()).add(response.status_code)
        return response

    def _request(self, entry: Entry, values: Mapping[str, tuple[str, ...]]) -> HttpResponse:
        pairs = [
            (name, text)
            for name, texts in values.items()
            for text in texts
            if entry.fields.get(name, Field(name, "")).kind != "file"
        ]
        encoded = "&".join(f"{quote(raw(name))}={quote(raw(text))}" for name, text in pairs)
        if entry.method == "GET":
            path, _, query = entry.address.path.partition("?")
            usual = [one for one in query.split("&") if one.partition("=")[0] not in values]
            return self.client.generic("GET", f"{path}?{'&'.join([*usual, encoded])}")
        files = {
            name: texts
            for name, texts in values.items()
            if texts and entry.fields.get(name, Field(name, "")).kind == "file"
        }
        if not files:
            return self.client.generic(
                "POST", entry.address.path, encoded, content_type="application/x-www-form-urlencoded"
            )
        parts = [_part(name, b"", raw(text)) for name, text in pairs]
        parts += [_part(name, _filename(texts[0]), _file(texts[0])) for name, texts in files.items()]
        body = b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"
        return self.client.generic(
            "POST", entry.address.path, body, content_type=f"multipart/form-data; boundary={BOUNDARY.decode()}"
        )

    def _read_back(self, where: str, location: str, entry: Entry, said: str) -> None:
        """What was stored is shown again where the answer leads, and in the list of its kind."""
        for path in dict.fromkeys(
            (urlsplit(location).path or "/", f"{entry.address.path.partition('?')[0].rstrip('/').rpartition('/')[0]}/")
        ):
            try:
                resolve(path)
            except Resolver404:
                continue
            self.watch.send(f"GET {path} after {where}", lambda path=path: self.client.get(path), said)  # type: ignore[misc]

    def _learn(self, entry: Entry, names: Names, filled: list[forms.BaseForm]) -> None:
        for form in filled:
            ours = next(
                (
                    one
                    for one in type(form).__mro__
                    if one.__module__.split(".")[0] in ("cdp", "consent", "segments", "demo")
                ),
                None,
            )
            known = self.filled.setdefault(ours or type(form), set())
            known.update(form.add_prefix(name) for name in form.fields)
        for place, name in names:
            if name.startswith("_") or (place == "GET" and entry.method == "POST"):
                continue  # Django's own words of its own screens
            method = "GET" if place == "GET" else "POST"
            self._keep(Entry(entry.address, method, {name: Field(name, "file" if place == "FILES" else "read")}))


def _name_of(path: str) -> str:
    try:
        return resolve(path).url_name or ""
    except Resolver404:
        return ""


BOUNDARY = b"------walking"


def _part(name: str, filename: bytes, content: bytes) -> bytes:
    """A part of a form as a browser sends it."""
    about = b'; filename="%b"\r\nContent-Type: text/csv' % filename if filename else b""
    return b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (BOUNDARY, raw(name), about, content)


def _filename(text: str) -> bytes:
    """The text as a file's name; browsers write what would end it or the line in another way."""
    return raw(text[:300].replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")) or b"x.csv"


def _file(text: str) -> bytes:
    """A file of nothing but the text, or one that has several in its cells."""
    return sheet(text) if SEPARATOR in text else raw(text)


class _Forms(HTMLParser):
    """The forms of a page as a browser would send them, and where its links lead."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.found: list[tuple[str, str, dict[str, Field]]] = []
        self.links: list[str] = []
        self._outside: dict[str, Field] = {}
        self._select = self._textarea = ""
        self._is_chosen = False

    @property
    def _fields(self) -> dict[str, Field]:
        return self.found[-1][2] if self.found else self._outside

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.found.append((given.get("method", "get").upper(), given.get("action", ""), {}))
        elif tag == "a" and "?" in given.get("href", ""):
            self.links.append(given["href"])
        elif tag == "input" and name:
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio"):
                before = self._fields.get(name, Field(name, kind)).usual
                chosen = (given.get("value", "on"),) if "checked" in given else ()
                self._fields[name] = Field(name, kind, before + chosen if kind == "checkbox" else chosen or before)
            else:
                self._fields[name] = Field(name, kind, (given.get("value", ""),))
        elif tag == "button" and name:
            self._fields.setdefault(name, Field(name, "button", (given.get("value", ""),)))
        elif tag == "select" and name:
            self._select, self._is_chosen = name, False
            self._fields[name] = Field(name, "select")
        elif tag == "option" and self._select:
            usual = self._fields[self._select].usual
            if "selected" in given or not (usual or self._is_chosen):
                self._fields[self._select] = Field(self._select, "select", (given.get("value", ""),))
        elif tag == "textarea" and name:
            self._textarea = name
            self._fields[name] = Field(name, "textarea", ("",))

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self._fields[self._textarea] = Field(
                self._textarea, "textarea", (self._fields[self._textarea].usual[0] + data,)
            )

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""


def forms_of_ours() -> set[type[forms.BaseForm]]:
    """Every class of form that the platform declares."""

    def beneath(kind: type[forms.BaseForm]) -> Iterator[type[forms.BaseForm]]:
        for one in kind.__subclasses__():
            yield one
            yield from beneath(one)

    return {
        one
        for one in beneath(forms.BaseForm)
        if one.__module__.split(".")[0] in ("cdp", "consent", "segments", "demo") and getattr(one, "base_fields", None)
    }
