"""Notices over REST: what people are told before they decide, in versions that never change.

Publishing a version is done in the console.
"""

import hashlib
from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import NotFound
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import ANY_CALLER
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.models import Notice, NoticeVersion
from consent.notices import content_of, newest


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    """Something people are shown before they decide."""

    class Meta:
        model = Notice
        fields = ("key", "label", "created_at")
        read_only_fields = fields


class NoticeVersionSerializer(serializers.ModelSerializer[NoticeVersion]):
    """What a notice says in one language, for ever."""

    version = serializers.IntegerField(source="number")

    class Meta:
        model = NoticeVersion
        fields: tuple[str, ...] = ("version", "locale", "sha256", "published_at")
        read_only_fields = fields


class NoticeTextSerializer(NoticeVersionSerializer):
    """The text as well, word by word."""

    notice = serializers.CharField(source="notice.key")
    content = serializers.SerializerMethodField(help_text="What is shown, field by field.")
    canonical = serializers.SerializerMethodField(
        help_text="The exact text (RFC 8785), of which sha256 is the hash in UTF-8."
    )

    class Meta(NoticeVersionSerializer.Meta):
        fields = ("notice", *NoticeVersionSerializer.Meta.fields, "content", "canonical")
        read_only_fields = fields

    def get_content(self, version: NoticeVersion) -> dict[str, Any]:
        return dict(msgspec.to_builtins(content_of(version)))

    def get_canonical(self, version: NoticeVersion) -> str:
        return bytes(version.content).decode()


class LocaleQuery(Query):
    locale = serializers.CharField(max_length=35, required=False, help_text="BCP 47: en, de-CH.")


class VersionQuery(Query):
    locale = serializers.CharField(max_length=35, default="en", help_text="BCP 47: en, de-CH.")


class NoticeList(ApiView):
    required_scope = ANY_CALLER
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(operation_id="notices_list", summary="List notices", responses=NoticeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The notices there are: banners, forms, preference centres."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(Notice.objects.all(), request, self)
        return pages.get_paginated_response(NoticeSerializer(rows, many=True).data)


class NoticeNewest(ApiView):
    required_scope = ANY_CALLER

    @extend_schema(
        operation_id="notices_newest",
        summary="What a notice says now",
        parameters=[LocaleQuery],
        responses=NoticeTextSerializer,
        examples=[
            OpenApiExample(
                "A newsletter",
                value={
                    "notice": "newsletter",
                    "version": 3,
                    "locale": "en",
                    "sha256": hashlib.sha256(b"{}").hexdigest(),
                    "published_at": "2026-11-21T08:00:00Z",
                    "content": {"title": "News by email", "text": "Once a week."},
                    "canonical": '{"text":"Once a week.","title":"News by email"}',
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, key: str) -> Response:
        """The newest version, in the language asked for or the nearest there is. Name its version with each decision."""
        asked = LocaleQuery.of(request)
        found = newest(notice_key=key, locales=[asked["locale"]] if "locale" in asked else [])
        if found is None:
            raise NotFound("notice_not_found", "There is no such notice, or nothing of it was published yet.")
        return Response(NoticeTextSerializer(found).data)


class NoticeVersions(ApiView):
    required_scope = ANY_CALLER
    pagination_class = KeysetPagination
    keyset = ("id",)
    keyset_descends = True

    @extend_schema(
        operation_id="notices_versions",
        summary="List the versions of a notice",
        parameters=[LocaleQuery],
        responses=NoticeVersionSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        """Every version there ever was, newest first, with the hash of its exact text."""
        asked = LocaleQuery.of(request)
        versions = NoticeVersion.objects.filter(notice__key=key)
        if "locale" in asked:
            versions = versions.filter(locale__iexact=asked["locale"])
        pages = KeysetPagination()
        rows = pages.paginate_queryset(versions, request, self)
        return pages.get_paginated_response(NoticeVersionSerializer(rows, many=True).data)


class NoticeVersionDetail(ApiView):
    required_scope = ANY_CALLER

    @extend_schema(
        operation_id="notices_version",
        summary="What a version of a notice says",
        parameters=[VersionQuery],
        responses=NoticeTextSerializer,
    )
    def get(self, request: Request, key: str, number: int) -> Response:
        """The text of one version, as people saw it."""
        asked = VersionQuery.of(request)
        found = (
            NoticeVersion.objects.select_related("notice")
            .filter(notice__key=key, number=number, locale__iexact=asked["locale"])
            .first()
        )
        if found is None:
            raise NotFound("notice_not_found", "There is no such version of a notice in this language.")
        return Response(NoticeTextSerializer(found).data)
