"""Reading the query part of an address: declared parameters only, each of its type.

A misspelt filter that is ignored would widen the answer, so an unknown name is an error.
"""

from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from cdp.errors import DomainError

OF_EVERY_LIST = {"cursor", "limit"}


class MomentField(serializers.DateTimeField):
    """A moment within the centuries of which data can tell, so that no sum of it and a span leaves the calendar."""

    default_error_messages = {"out_of_range": "A moment lies between the years 1970 and 9000."}

    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        if not 1970 <= moment.year <= 9000:
            self.fail("out_of_range")
        return moment


class Query(serializers.Serializer[Any]):
    """The parameters that a view takes, declared as fields."""

    @classmethod
    def of(cls, request: Request) -> dict[str, Any]:
        """The parameters given, read.

        Raises:
            DomainError: there is no parameter of that name.
            ValidationError: a value is not of its type.
        """
        query = cls(data=request.query_params)
        known = set(query.fields) | OF_EVERY_LIST
        for name in request.query_params:
            if name not in known:
                expected = ", ".join(sorted(known))
                raise DomainError(
                    "unknown_parameter", f"There is no parameter of that name here, only {expected}.", "/query"
                )
        query.is_valid(raise_exception=True)
        found: dict[str, Any] = query.validated_data
        return found
