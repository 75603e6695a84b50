"""What views ask of a request, heard while they ask: so a test knows every field that a screen reads, also one read by hand.

The middleware stands behind all others. The APIs read bodies of their own and are left alone; what they take stands in their schema.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.datastructures import MultiValueDict

Names = set[tuple[str, str]]
"""Where a name was looked for (GET, POST, FILES), and the name."""
_names: ContextVar[Names | None] = ContextVar("names", default=None)
_bound: ContextVar[list[forms.BaseForm] | None] = ContextVar("bound", default=None)


class _Overheard(MultiValueDict):  # type: ignore[type-arg]  # can't be subscripted at run time
    place = ""

    def _hear(self, name: object) -> None:
        heard = _names.get()
        if heard is not None and isinstance(name, str):
            heard.add((self.place, name))

    def __getitem__(self, key: Any) -> Any:
        self._hear(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._hear(key)
        return super().__contains__(key)

    def getlist(self, key: Any, default: Any = None) -> Any:
        self._hear(key)
        return super().getlist(key, default)


class _OverheardQuery(_Overheard, QueryDict):
    pass


def _overheard(given: QueryDict, place: str) -> QueryDict:
    copy = _OverheardQuery("", mutable=True, encoding=given.encoding)
    for name, values in given.lists():
        copy.setlist(name, values)
    copy.place = place
    copy._mutable = False
    return copy


class Listening:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.GET = _overheard(request.GET, "GET")  # type: ignore[assignment]  # cached on the request
        if request.method == "POST" and not request.path_info.startswith("/api/"):
            request.POST = _overheard(request.POST, "POST")  # type: ignore[assignment]
            files = _Overheard(dict(request.FILES.lists()))
            files.place = "FILES"
            request._files = files  # type: ignore[attr-defined]  # there is no other way to give it
        return self.get_response(request)


@contextmanager
def hearing() -> Iterator[tuple[Names, list[forms.BaseForm]]]:
    """The names that were looked for, and the forms that were filled, while the block runs."""
    names, bound = _names.set(set()), _bound.set([])
    heard, filled = _names.get(), _bound.get()
    assert heard is not None and filled is not None
    full_clean = forms.BaseForm.full_clean

    def cleaned(form: forms.BaseForm) -> None:
        if form.is_bound:
            filled.append(form)
        full_clean(form)

    forms.BaseForm.full_clean = cleaned  # type: ignore[method-assign,assignment]  # Django's, and put back
    try:
        yield heard, filled
    finally:
        forms.BaseForm.full_clean = full_clean  # type: ignore[method-assign]
        _names.reset(names)
        _bound.reset(bound)
