"""What people are told: notices, their versions, what each led to, the words between two of them, and publishing the next.

Rates over time are in `cdp.console.consent_rates`.
"""

from itertools import pairwise
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Min
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.console.notice_forms import LANGUAGES, NoticeForm, WordsForm
from cdp.errors import DomainError, DomainErrors
from consent.models import ConsentRecord, Decision, Notice, NoticeVersion, ServedNotice
from consent.notices import Content, content_of, create_notice, publish
from consent.wording import changes

FIRST_LOCALE = "en"


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "consent_notice"
        return [
            path("new/", wrap(self.new_view), name=f"{name}_new"),
            path("<slug:key>/", wrap(self.notice_view), name=f"{name}_detail"),
            path("<slug:key>/publish/", wrap(self.publish_view), name=f"{name}_publish"),
            path("<slug:key>/preview/", wrap(require_POST(self.preview_view)), name=f"{name}_preview"),
            path("<slug:key>/compare/", wrap(self.compare_view), name=f"{name}_compare"),
            path("<slug:key>/versions/<int:pk>/", wrap(self.version_view), name=f"{name}_version"),
            path("<slug:key>/versions/<int:pk>/bytes/", wrap(self.bytes_view), name=f"{name}_bytes"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._refuse_unless_allowed(request)
        rows = list(Notice.objects.annotate(published=Max("versions__published_at")))
        by_notice: dict[int, list[NoticeVersion]] = {}
        for version in newest_versions():
            by_notice.setdefault(version.notice_id, []).append(version)
        context = {
            "rows": [(notice, by_notice.get(notice.pk, [])) for notice in rows],
            "may_add": request.user.has_perm("consent.add_notice"),
        }
        return render(request, "consent/notices.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("consent.add_notice"):
            raise PermissionDenied
        form = NoticeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                notice = create_notice(**form.cleaned_data, by=actor_of(request))
            except DomainError as error:
                form.add_error("key", error.message)
            else:
                return redirect("admin:consent_notice_publish", key=notice.key)
        return render(request, "consent/new_notice.html", {"form": form}, status=422 if form.errors else 200)

    def notice_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """All versions, by language, with how often each was shown and what was chosen."""
        notice = self._notice(request, key)
        versions = list(notice.versions.defer("content").order_by("locale", "-number"))
        shown, chosen = shown_of(versions), chosen_of(versions)
        languages: dict[str, list[dict[str, Any]]] = {}
        for version in versions:
            earlier = languages.setdefault(version.locale, [])
            until = earlier[-1]["version"].published_at if earlier else None
            row = {
                "version": version,
                "until": until,
                "shown": shown.get(version.pk),
                "chosen": chosen.get(version.pk, {}),
            }
            earlier.append(row)
        context = {
            "notice": notice,
            "languages": list(languages.items()),
            "versions": versions,
            "may_publish": request.user.has_perm("consent.add_noticeversion"),
        }
        return render(request, "consent/notice.html", context)

    def version_view(self, request: HttpRequest, key: str, pk: int) -> HttpResponse:
        notice = self._notice(request, key)
        version = get_object_or_404(notice.versions, pk=pk)
        before = notice.versions.filter(locale=version.locale, number=version.number - 1).first()
        after = notice.versions.filter(locale=version.locale, number=version.number + 1).defer("content").first()
        context = {
            "notice": notice,
            "version": version,
            "content": content_of(version),
            "before": before,
            "after": after,
            "changes": changes(content_of(before), content_of(version)) if before else None,
            "shown": shown_of([version]).get(version.pk),
            "chosen": chosen_of([version]).get(version.pk, {}),
            "size": len(version.content),
            "may_see_records": request.user.has_perm("consent.view_consentrecord"),
        }
        return render(request, "consent/version.html", context)

    def bytes_view(self, request: HttpRequest, key: str, pk: int) -> HttpResponse:
        """The exact bytes that were hashed."""
        version = get_object_or_404(self._notice(request, key).versions, pk=pk)
        name = f"{key}-{version.locale}-{version.number}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-SHA256": version.sha256}
        return HttpResponse(bytes(version.content), content_type="application/json", headers=headers)

    def compare_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Any two versions of a notice, word by word; the newest two of the language published in last, if none are named."""
        notice = self._notice(request, key)
        versions = list(notice.versions.order_by("locale", "-number"))
        by_pk = {str(version.pk): version for version in versions}
        before, after = by_pk.get(request.GET.get("a", "")), by_pk.get(request.GET.get("b", ""))
        if before is None or after is None:
            before, after = _newest_two(versions)
        context: dict[str, Any] = {"notice": notice, "versions": versions, "before": before, "after": after}
        if before is not None and after is not None:
            context["changes"] = changes(content_of(before), content_of(after))
        return render(request, "consent/compare.html", context)

    def publish_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """The words of the next version, beside what people will see and what differs from now."""
        notice = self._notice(request, key)
        if not request.user.has_perm("consent.add_noticeversion"):
            raise PermissionDenied
        # A NUL can't be looked for; the form refuses it.
        locale = request.POST.get("locale", request.GET.get("locale", FIRST_LOCALE)).replace("\0", "").strip()
        newest = self._newest(notice, locale)
        if request.method != "POST":
            # A new language begins with the words of another, for the translator to work from.
            words = newest or self._newest(notice, FIRST_LOCALE) or notice.versions.order_by("-pk").first()
            form = WordsForm.of(content_of(words) if words else None, locale=locale, newest=newest)
            return self._publish_page(request, notice, form, newest)
        form = WordsForm(request.POST)
        if form.is_valid() and "look" not in request.POST:
            try:
                version = publish(
                    notice=notice,
                    locale=locale,
                    content=form.content(),
                    by=actor_of(request),
                    based_on=form.cleaned_data["based_on"],
                )
            except DomainErrors as error:
                form.add_errors(error.errors)
            except DomainError as error:
                form.add_error(None, error.message)
            else:
                messages.success(
                    request, f"Version {version.number} in {version.locale} is what people are shown from now on."
                )
                return redirect("admin:consent_notice_detail", key=key)
        return self._publish_page(request, notice, form, newest, status=422 if form.errors else 200)

    def preview_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """What the words would look like, and what differs, while somebody writes."""
        notice = self._notice(request, key)
        if not request.user.has_perm("consent.add_noticeversion"):
            raise PermissionDenied
        form = WordsForm(request.POST)
        form.is_valid()
        newest = self._newest(notice, request.POST.get("locale", "").replace("\0", "").strip())
        return render(request, "consent/_preview.html", {"notice": notice, **self._outlook(form, newest)})

    def _publish_page(
        self, request: HttpRequest, notice: Notice, form: WordsForm, newest: NoticeVersion | None, status: int = 200
    ) -> HttpResponse:
        context = {"notice": notice, "form": form, "languages": LANGUAGES, **self._outlook(form, newest)}
        return render(request, "consent/publish.html", context, status=status)

    @staticmethod
    def _outlook(form: WordsForm, newest: NoticeVersion | None) -> dict[str, Any]:
        content: Content = form.content()
        before = content_of(newest) if newest else None
        return {
            "content": content,
            "newest": newest,
            "next_number": newest.number + 1 if newest else 1,
            "changes": changes(before, content) if before else None,
        }

    @staticmethod
    def _newest(notice: Notice, locale: str) -> NoticeVersion | None:
        return notice.versions.filter(locale=locale).order_by("-number").first()

    def _notice(self, request: HttpRequest, key: str) -> Notice:
        self._refuse_unless_allowed(request)
        return get_object_or_404(Notice, key=key)

    def _refuse_unless_allowed(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _newest_two(versions: list[NoticeVersion]) -> tuple[NoticeVersion, NoticeVersion] | tuple[None, None]:
    """Of the language that was published in last, the version before its newest, and that one."""
    pairs = [(older, newer) for newer, older in pairwise(versions) if newer.locale == older.locale]
    return max(pairs, key=lambda pair: pair[1].published_at, default=(None, None))


def newest_versions() -> list[NoticeVersion]:
    """Of each notice and language the one that is shown now."""
    return list(
        NoticeVersion.objects.order_by("notice_id", "locale", "-number")
        .distinct("notice_id", "locale")
        .defer("content")
    )


def shown_of(versions: list[NoticeVersion]) -> dict[int, dict[str, Any]]:
    """How often each was shown, first and last, by its key."""
    rows = ServedNotice.objects.filter(version__in=versions).values("version_id").order_by()
    counted = rows.annotate(count=Count("pk"), first=Min("served_at"), last=Max("served_at"))
    return {row["version_id"]: dict(row) for row in counted}


def chosen_of(versions: list[NoticeVersion]) -> dict[int, dict[str, int]]:
    """How often each decision was made on each, by its key and the decision's words."""
    rows = ConsentRecord.objects.filter(notice_version__in=versions).values("notice_version_id", "decision").order_by()
    found: dict[int, dict[str, int]] = {}
    for row in rows.annotate(count=Count("pk")):
        found.setdefault(row["notice_version_id"], {})[Decision(row["decision"]).label] = row["count"]
    return found
