"""One settings file for every place the platform runs in; the environment says where it is.

Nothing here computes anything a reader could not predict from the environment variables named in it.
"""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


def env_bool(name: str, default: bool = False) -> bool:
    return os.environ.get(name, str(default)).strip().lower() in {"1", "true", "yes", "on"}


def env_int(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    try:
        return int(value) if value else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number; received {value!r}") from None


def env_names(name: str, default: str) -> list[str]:
    return [one.strip() for one in os.environ.get(name, default).split(",") if one.strip()]


def env_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(name, "") or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}; received {value!r}")
    return value


def database_from_url(url: str, *, role: str | None = None) -> dict:
    """Django's settings for a ``postgresql://`` URL; sockets are named by a ``host`` query parameter.

    Args:
        role: the role that every connection takes on after log-in, when the login itself may do more.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must start with postgresql://")
    query = dict(parse_qsl(parts.query))
    options = dict(query)
    host = options.pop("host", None) or (unquote(parts.hostname) if parts.hostname else "")
    port = options.pop("port", None) or (str(parts.port) if parts.port else "")
    server_options = [options.pop("options", ""), f"-c role={role}" if role else ""]
    joined = " ".join(part for part in server_options if part)
    if joined:
        options["options"] = joined
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        # A thread keeps its connection: opening one costs more than a typical request.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


# ---- Where it runs -----------------------------------------------------------------------------------------
DEBUG = env_bool("CDP_DEBUG")
SECRET_KEY = os.environ.get("CDP_SECRET_KEY", "")
if not SECRET_KEY:
    if not env_bool("CDP_INSECURE_KEY"):
        raise ImproperlyConfigured(
            "CDP_SECRET_KEY is not set. `make demo` and `make test` set one by themselves; "
            "in production set it to 50 or more random characters."
        )
    SECRET_KEY = "only-for-commands-that-serve-nobody-" + "0" * 32
# Keys that signed before this one. Links that people were sent go on working while the key that signed them is among these.
SECRET_KEY_FALLBACKS = [k for k in os.environ.get("CDP_OLD_SECRET_KEYS", "").split(",") if k]
ALLOWED_HOSTS = [h for h in os.environ.get("CDP_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",") if h]
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("CDP_TRUSTED_ORIGINS", "").split(",") if o]
BEHIND_TLS = env_bool("CDP_BEHIND_TLS")

# ---- Data --------------------------------------------------------------------------------------------------
# Two roles: the owner runs migrations; the app has no DDL and may not change append-only tables.
APP_ROLE = os.environ.get("CDP_APP_ROLE", "cdp_app")
_database_url = os.environ.get("DATABASE_URL", "")
_owner_url = os.environ.get("DATABASE_OWNER_URL", "")
if not _database_url:
    raise ImproperlyConfigured(
        "DATABASE_URL is not set. `make demo` and `make test` start a private PostgreSQL by themselves; "
        "for your own server set DATABASE_URL=postgresql://user:password@host/database."
    )
# With a single login the app steps down to its role after log-in; start-up says that this is the weaker form.
ONE_LOGIN_FOR_BOTH_ROLES = not _owner_url
DATABASES = {
    "default": database_from_url(_database_url, role=APP_ROLE if ONE_LOGIN_FOR_BOTH_ROLES else None),
    "owner": database_from_url(_owner_url or _database_url),
}
DATABASES["owner"]["TEST"] = {"MIRROR": "default"}
# Whoever waits for a lock has all who come later wait behind them: a migration fails instead, and is run again.
MIGRATION_LOCK_SECONDS = env_int("CDP_MIGRATION_LOCK_SECONDS", 5)
_owner_options = DATABASES["owner"]["OPTIONS"]
_owner_options["options"] = f"{_owner_options.get('options', '')} -c lock_timeout={MIGRATION_LOCK_SECONDS}s".strip()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("REDIS_URL", "")
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# ---- The parts ---------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "cdp.apps.PlatformAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "csp",
    "guardian",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "cdp.apps.CdpConfig",
    "cdp.audit",
    "cdp.vault",
    "cdp.jobs",
    "cdp.rest",
    "cdp.profiles",
    "consent",
    "cdp.identity",
    "cdp.ingestion",
    "segments",
    "cdp.heartbeats",
    "cdp.activation",
    "cdp.webhooks",
    "cdp.exports",
    "cdp.bi",
    "cdp.collecting",
    "cdp.content",
    "cdp.accountability",
    "cdp.privacy",
    "cdp.pages",
    "cdp.log_in",
    "demo",
]
MIDDLEWARE = [
    "cdp.middleware.RequestContextMiddleware",
    "cdp.middleware.TrackingApiMiddleware",
    "cdp.content.quick.LookupMiddleware",
    "cdp.middleware.NulMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "cdp.log_in.middleware.SessionPolicyMiddleware",
    # django-allauth insists on it; of allauth only second factors are used, and their screens are ours.
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "cdp.middleware.WorkspaceTimeMiddleware",
]
ROOT_URLCONF = "cdp.urls"
WSGI_APPLICATION = "cdp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
STATIC_URL = "/static/"
# Where `manage.py collectstatic` puts them.
STATIC_ROOT = os.environ.get("CDP_STATIC_ROOT", str(BASE_DIR / "staticfiles"))
WHITENOISE_USE_FINDERS = True
LANGUAGE_CODE = "en"
# People's own pages speak these (`cdp.pages`); the console speaks English.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "cdp.formats"
TIME_ZONE = "UTC"
USE_TZ = True
APPEND_SLASH = True

# ---- Who may come in ---------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
GUARDIAN_MONKEY_PATCH_USER = False
ANONYMOUS_USER_NAME = None
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# The first makes new hashes; the others check old ones, which are made anew at the next log-in.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
# Whether a second factor is asked for at the console's log-in: never, of whoever set one up, or of everybody.
MFA = env_choice("CDP_MFA", "optional", ("off", "optional", "required"))
MFA_ADAPTER = "cdp.log_in.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1  # half a minute to either side, for phones whose clocks are a little off
# When a log-in ends: after so long without anything done, and at the latest so long after it.
SESSION_IDLE_SECONDS = env_int("CDP_SESSION_IDLE_SECONDS", 3600)
SESSION_LIFE_SECONDS = env_int("CDP_SESSION_LIFE_SECONDS", 43_200)
SESSION_COOKIE_AGE = SESSION_LIFE_SECONDS
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Whoever watches over a process asks it directly, without the proxy.
SECURE_SSL_REDIRECT, SECURE_REDIRECT_EXEMPT = BEHIND_TLS, [r"^healthz$", r"^readyz$", r"^metrics$"]
# Whether all subdomains are bound to TLS, and browsers are to know it by heart, is for the domain's owner: the proxy can say so.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# ---- REST --------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "cdp.rest.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["cdp.rest.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["cdp.rest.parsers.StrictJsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "cdp.rest.errors.problem_details",
    # `format` is a parameter like any other: renderers are chosen by the Accept header alone.
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_THROTTLE_CLASSES": ["cdp.rest.throttles.PerKeyThrottle"],
    "DEFAULT_THROTTLE_RATES": {"per_key": os.environ.get("CDP_API_RATE", "1200/min")},
    "UNAUTHENTICATED_USER": None,
}
# Whether edits over the API must name the version they were begun from (If-Match); else they may.
API_REQUIRES_IF_MATCH = env_bool("CDP_API_REQUIRE_IF_MATCH")
SPECTACULAR_SETTINGS = {
    "TITLE": "Customer data platform",
    "DESCRIPTION": (
        "Segments, people and jobs over REST. Send an API key as `Authorization: Bearer cdp_…`. "
        "Events are sent to the tracking API under /v1/ with a write key."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "cdp.rest.openapi.add_problems",
        "segments.serializers.add_rule_schema",
        "cdp.rest.description.let_null_be",
        "cdp.rest.description.put_in_rooms",
        "cdp.rest.description.add_examples",
    ],
    "ENUM_NAME_OVERRIDES": {
        "AudienceChannelEnum": "cdp.activation.models.Channel",
        "JobState": "cdp.jobs.models.JobState",
        "PrivacyRequestKind": "cdp.privacy.models.RequestKind",
        "PrivacyRequestState": "cdp.privacy.models.RequestState",
        "PrivacyTargetState": "cdp.privacy.models.TargetState",
        "SegmentStatus": "segments.models.SegmentStatus",
        "ImportState": "cdp.collecting.models.ImportState",
        "ConsentDecision": "consent.models.Decision",
        "ConsentMethod": "consent.models.Method",
        "ReportedDecision": "cdp.collecting.reading.DECISION_CHOICES",
        "ReportedMethod": "cdp.collecting.reading.METHOD_CHOICES",
        "Capability": "consent.models.CAPABILITIES",
        "WebhookOffReason": "cdp.webhooks.models.OffReason",
        "ScheduleOffReason": "cdp.exports.models.OffReason",
        "WebhookState": "cdp.webhooks.models.WebhookState",
        "WebhookEvent": "cdp.webhooks.api.EVENTS",
        "WebhookSigns": "cdp.webhooks.models.SecretKind",
        "DeliveryState": "cdp.webhooks.models.DeliveryState",
    },
}

# ---- Long work ---------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True  # the Job row is the result
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": env_int("CDP_BROKER_VISIBILITY_SECONDS", 3600),
    # A web request that asks for a job must not hang on a queue that is down: the job's row waits for the sweeper.
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = os.environ.get("CDP_BEAT_SCHEDULE", str(BASE_DIR / ".demo" / "beat-schedule"))
JOB_LEASE_SECONDS = env_int("CDP_JOB_LEASE_SECONDS", 60)
# How long a job may wait for a worker before its message is taken for lost, and sent again.
JOB_RESEND_SECONDS = env_int("CDP_JOB_RESEND_SECONDS", 30)
# How long a finished job can still be looked up.
JOB_DAYS = env_int("CDP_JOB_DAYS", 30)

# ---- Ingestion ---------------------------------------------------------------------------------------------
BATCH_MESSAGES = env_int("CDP_BATCH_MESSAGES", 4000)
RATE_DAYS = env_int("CDP_RATE_DAYS", 7)  # how long an exchange rate holds when no newer one comes
# How long a verdict may wait for its commit; what takes longer is undone and tried again. Sweeps look back as far.
BATCH_SECONDS = env_int("CDP_BATCH_SECONDS", 60)
SEEN_MESSAGE_DAYS = env_int("CDP_SEEN_MESSAGE_DAYS", 90)
# How long what could not be used waits for somebody to look at it. It holds people's data, so not for ever.
QUARANTINE_DAYS = env_int("CDP_QUARANTINE_DAYS", 90)
INBOX_LIMIT_BYTES = env_int("CDP_INBOX_LIMIT_BYTES", 2_000_000_000)

# ---- Time passing ------------------------------------------------------------------------------------------
# How often the sweeper looks what is due; segments in real time are swept at each look.
SWEEP_SECONDS = env_int("CDP_SWEEP_SECONDS", 5)
# At most so much of the past is made up for in one go, after the sweeper was away.
SWEEP_SLICE_SECONDS = env_int("CDP_SWEEP_SLICE_SECONDS", 3600)
# The hour of the workspace's day from which every segment is compared with its rule from scratch.
NIGHTLY_HOUR = env_int("CDP_NIGHTLY_HOUR", 3)
# How long the outcome of those comparisons is kept.
DRIFT_DAYS = env_int("CDP_DRIFT_DAYS", 90)

# ---- Consent ------------------------------------------------------------------------------------------------
# For how long the link in a double opt-in message works.
CONFIRMATION_DAYS = env_int("CDP_CONFIRMATION_DAYS", 7)
# How long an uploaded file of decisions waits to be applied; its rows are people's data, so not for ever.
IMPORT_DAYS = env_int("CDP_IMPORT_DAYS", 30)
# For how long the link to somebody's preference centre works; and the one by which they prove who asks for their data.
PREFERENCE_LINK_DAYS = env_int("CDP_PREFERENCE_LINK_DAYS", 30)
IDENTITY_LINK_HOURS = env_int("CDP_IDENTITY_LINK_HOURS", 48)
# How long before a yes ends people are offered to renew it.
RENEWAL_DAYS = env_int("CDP_RENEWAL_DAYS", 30)
# Where people reach the platform, as links in messages name it: https://data.shop.example
PUBLIC_URL = os.environ.get("CDP_PUBLIC_URL", "")
# Where people are of whom no trait says it: a country, a region (US-CA), or EU. Empty: the strictest of all laws protects them.
DEFAULT_JURISDICTION = os.environ.get("CDP_DEFAULT_JURISDICTION", "").strip().upper()
COUNTRY_TRAITS = env_names("CDP_COUNTRY_TRAITS", "country,country_code")
REGION_TRAITS = env_names("CDP_REGION_TRAITS", "region,state,province")
BIRTH_DATE_TRAITS = env_names("CDP_BIRTH_DATE_TRAITS", "birth_date,birthday,date_of_birth,dob")
# What somebody without a birth date is taken for. "child" is for services that children use.
UNKNOWN_AGE = env_choice("CDP_UNKNOWN_AGE", "adult", ("adult", "child"))
# A folder with figures of your own over the laws that come with the platform.
LAW_DIR = os.environ.get("CDP_LAW_DIR", "")
# Since when this site has honoured Global Privacy Control, as its gpc.json says.
GPC_SINCE = os.environ.get("CDP_GPC_SINCE", "2026-11-22")
# Who answers for the data, as receipts name them; each is CDP_CONTROLLER_ and the word: CDP_CONTROLLER_ADDRESS.
CONTROLLER = {
    word: os.environ.get(f"CDP_CONTROLLER_{word.upper()}", "")
    for word in ("name", "contact", "address", "country", "email", "phone", "url", "privacy_url", "choices_url")
}

# ---- What a rule may cost ----------------------------------------------------------------------------------
# People whose verdicts an estimate is made of: their share is known to within one in a hundred.
PREVIEW_SAMPLE = env_int("CDP_PREVIEW_SAMPLE", 10_000)
# How many exact previews run at once in the whole database, and as many estimates beside them.
PREVIEW_PLACES = env_int("CDP_PREVIEW_PLACES", 4)
# The most that the planner may expect of a rule, in its own units (docs/adr/0014): about a minute of one core.
RULE_COST_LIMIT = env_int("CDP_RULE_COST_LIMIT", 5_000_000)
# How long a full refresh may look for who disagrees, and a sweep for whom time may have changed.
REFRESH_SECONDS = env_int("CDP_REFRESH_SECONDS", 3600)
LOOK_SECONDS = env_int("CDP_LOOK_SECONDS", 600)

# ---- The audit log -----------------------------------------------------------------------------------------
# The file with the key that signs it (`manage.py audit_key --new FILE`), where the database's owner can't read it.
AUDIT_KEY = os.environ.get("CDP_AUDIT_KEY", "")
# By what name it signs; a host and path of yours, which never changes.
AUDIT_ORIGIN = os.environ.get("CDP_AUDIT_ORIGIN", "cdp/audit")
AUDIT_SECONDS = env_int("CDP_AUDIT_SECONDS", 1)
# Where checkpoints are anchored: a directory on another mount, mailboxes, an authority of time stamps; one of them or all.
AUDIT_ANCHOR_DIR = os.environ.get("CDP_AUDIT_ANCHORS", "")
AUDIT_ANCHOR_EMAILS = [a for a in os.environ.get("CDP_AUDIT_ANCHOR_EMAILS", "").split(",") if a]
# An authority that sets time stamps (RFC 3161), and the PEM file with the certificates it must lead to.
AUDIT_TSA_URL = os.environ.get("CDP_AUDIT_TSA_URL", "")
AUDIT_TSA_CERTS = os.environ.get("CDP_AUDIT_TSA_CERTS", "")
AUDIT_ANCHOR_SECONDS = env_int("CDP_AUDIT_ANCHOR_SECONDS", 300)

# ---- Keys of people ----------------------------------------------------------------------------------------
# The file with the master keys (`manage.py vault_key --new FILE`), where the database's owner can't read it.
VAULT_KEY_FILE = os.environ.get("CDP_VAULT_KEY_FILE", "")

# ---- Privacy requests --------------------------------------------------------------------------------------
# Where exports of people's data lie until they are fetched; a folder that workers and web servers share and nobody else sees.
PRIVACY_EXPORT_DIR = os.environ.get("CDP_PRIVACY_EXPORTS", str(BASE_DIR / ".exports"))
PRIVACY_EXPORT_DAYS = env_int("CDP_PRIVACY_EXPORT_DAYS", 14)
# How long feeds of changes go on saying that somebody who was erased has left.
TOMBSTONE_DAYS = env_int("CDP_TOMBSTONE_DAYS", 30)
# Systems outside that somebody must see to by hand for each request, with commas between their names.
PRIVACY_OUTSIDE = [one.strip() for one in os.environ.get("CDP_PRIVACY_OUTSIDE", "").split(",") if one.strip()]

# ---- Audiences ---------------------------------------------------------------------------------------------
# How often the keeper looks for what changed, and for how many days audiences' changes can be followed.
KEEPER_SECONDS = float(os.environ.get("CDP_KEEPER_SECONDS", "0.1"))
AUDIENCE_CHANGE_DAYS = env_int("CDP_AUDIENCE_CHANGE_DAYS", 30)
# How long a stream of changes lasts; whoever follows comes again with what they saw last, and rights are looked at again.
AUDIENCE_STREAM_SECONDS = float(os.environ.get("CDP_AUDIENCE_STREAM_SECONDS", "55"))

# ---- Webhooks ----------------------------------------------------------------------------------------------
# How many requests one `deliver` has open at once, and how long a receiver may take for each.
WEBHOOK_THREADS = env_int("CDP_WEBHOOK_THREADS", 64)
WEBHOOK_SECONDS = env_int("CDP_WEBHOOK_SECONDS", 15)
# How long to wait after each try that failed; after the last of them a delivery is given up.
WEBHOOK_BACKOFF_SECONDS = [
    float(one) for one in env_names("CDP_WEBHOOK_BACKOFF_SECONDS", "5,300,1800,7200,18000,36000,50400,72000,86400")
]
# After so many days on which nothing got through a webhook is turned off.
WEBHOOK_FAILING_DAYS = env_int("CDP_WEBHOOK_FAILING_DAYS", 5)
# How long an old secret signs beside a new one, and for how many days one can look up what was sent.
WEBHOOK_OVERLAP_HOURS = env_int("CDP_WEBHOOK_OVERLAP_HOURS", 24)
WEBHOOK_DAYS = env_int("CDP_WEBHOOK_DAYS", 30)

# ---- What is sent to addresses that somebody entered (webhooks, exports) -------------------------------------
# Names, numbers or networks inside that may be sent to all the same, over plain http too; with commas between them.
OUTBOUND_ALLOW = env_names("CDP_OUTBOUND_ALLOW", "")
# Whose certificates are believed, where that isn't the machine's own list: a file in PEM.
OUTBOUND_CA_FILE = os.environ.get("CDP_OUTBOUND_CA_FILE", "")
# For what BI tools read people in the schema `bi`, and the group of their log-ins. A change of the purpose takes `migrate`.
BI_PURPOSE = os.environ.get("CDP_BI_PURPOSE", "internal_analysis")
BI_ROLE = os.environ.get("CDP_BI_ROLE", "cdp_bi")
# Where files of exports lie until their days are over. Web processes and workers share it.
EXPORT_DIR = os.environ.get("CDP_EXPORTS", str(BASE_DIR / ".exports" / "audiences"))
EXPORT_DAYS = env_int("CDP_EXPORT_DAYS", 7)
# Under which exports may be left on this machine, in folders of their own; no such destinations without it.
EXPORT_FOLDERS = os.environ.get("CDP_EXPORT_FOLDERS", "")
# How long to wait before a destination is tried again, one after another.
EXPORT_RETRY_SECONDS = [5, 30, 120]
OUTBOUND_USER_AGENT = "customer-data-platform/1"

# ---- Email -------------------------------------------------------------------------------------------------
# Without a server it is written to the console.
EMAIL_HOST = os.environ.get("CDP_SMTP_HOST", "")
EMAIL_PORT = env_int("CDP_SMTP_PORT", 587)
EMAIL_HOST_USER = os.environ.get("CDP_SMTP_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("CDP_SMTP_PASSWORD", "")
EMAIL_USE_TLS = env_bool("CDP_SMTP_TLS")
EMAIL_TIMEOUT = 20
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
DEFAULT_FROM_EMAIL = os.environ.get("CDP_EMAIL_FROM", "cdp@localhost")

# ---- Logs: structured, and never a person's data -----------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "paths_without_people": {"()": "cdp.logs.PathsWithoutPeople"},
        "tasks_without_people": {"()": "cdp.logs.TasksWithoutPeople"},
    },
    "formatters": {
        "structured": {"()": "cdp.logs.formatter", "as_json": env_bool("CDP_LOG_JSON")},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "structured",
            # Whoever writes the line: not only Django's own log of requests names addresses.
            "filters": ["paths_without_people", "tasks_without_people"],
        }
    },
    "root": {"handlers": ["console"], "level": os.environ.get("CDP_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
    },
}
