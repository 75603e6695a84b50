"""Who may use which door. Default-deny: a view that doesn't say what it needs lets nobody in.

Which objects a caller may see behind the door is django-guardian's to say, where the objects are read.
"""

from typing import TYPE_CHECKING, Final

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from cdp.errors import Forbidden
from cdp.rest.models import ApiKey, Scope

if TYPE_CHECKING:  # DRF reads this module while it makes its views
    from rest_framework.views import APIView

# For what tells nothing of this installation or its people: the description of the API itself.
PUBLIC: Final = "public"
# For what every caller needs and only callers should see, such as the list of purposes.
ANY_CALLER: Final = "any caller"


def needed(view: object, attribute: str, method: str) -> str | None:
    """What the view declares for the method, either once for all of them or as a mapping by method."""
    declared = getattr(view, attribute, None)
    return declared.get(method) if isinstance(declared, dict) else declared


def sees_unmasked(request: Request) -> bool:
    """Whether the answer may hold personal data as it is. Somebody at a screen reveals it there, each time on record."""
    return isinstance(request.auth, ApiKey) and Scope.PROFILES_REVEAL in request.auth.scopes


def may_reveal(request: Request) -> bool:
    """Whether the caller may come to see personal data unmasked, here or on a screen."""
    if isinstance(request.auth, ApiKey):
        return sees_unmasked(request)
    return request.user is not None and request.user.has_perm("profiles.reveal_pii")


def may_ask_for(request: Request, purpose: str) -> bool:
    """Whether the caller may read people for this purpose at all: a key only for those that it was given."""
    return not isinstance(request.auth, ApiKey) or request.auth.may_read_for(purpose)


def demand_purpose(request: Request, purpose: str) -> None:
    """For whoever reads people: a key does so only for the purposes that it was given.

    Raises:
        Forbidden: the key lacks it.
    """
    if not may_ask_for(request, purpose):
        raise Forbidden("purpose_missing", f"This API key may not read people for the purpose {purpose}.", "/purpose")


class HasScope(BasePermission):
    """A view declares ``required_scope`` for API keys and ``required_permission`` for people who are logged in."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.method == "OPTIONS" or request.method not in view.allowed_methods:
            return True  # goes no further than "405 Method Not Allowed"
        scope = needed(view, "required_scope", request.method)
        if scope == PUBLIC:
            return True
        if scope is None or request.user is None or not request.user.is_authenticated:
            return False
        if scope == ANY_CALLER:
            return True
        if isinstance(request.auth, ApiKey):
            if scope in request.auth.scopes:
                return True
            raise PermissionDenied(f"This API key lacks the scope {scope}.", code="scope_missing")
        permission = needed(view, "required_permission", request.method)
        if permission and request.user.has_perm(permission):
            return True
        raise PermissionDenied("Your role does not allow this.", code="permission_missing")
