"""How django-allauth's second factors fit in here: what seals their secrets, and by what names they go in people's apps."""

from base64 import urlsafe_b64encode

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.crypto import salted_hmac

from cdp.profiles.models import Workspace


class MFAAdapter(DefaultMFAAdapter):
    """Seals what the database keeps of a factor, so that whoever reads the database can't make codes."""

    def encrypt(self, text: str) -> str:
        return _sealer().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _sealer().decrypt(encrypted_text.encode()).decode()

    def get_totp_issuer(self) -> str:
        return Workspace.current().name

    def _get_site_name(self) -> str:
        return Workspace.current().name

    def _get_user_identifier(self, user: AbstractBaseUser) -> str:
        return user.get_username()


def _sealer() -> MultiFernet:
    """Of the secret key and those before it: the newest seals, each opens what it sealed."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(urlsafe_b64encode(_derived(key))) for key in keys])


def _derived(secret: str) -> bytes:
    return salted_hmac("cdp.log_in.factors", "seal", secret=secret, algorithm="sha256").digest()
