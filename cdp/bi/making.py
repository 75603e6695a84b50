"""Making the schema `bi` with its views, and log-ins that see them and nothing else.

Views stand on tables of nearly every app. So before migrations change those they are taken away, and made anew afterwards, as the code then
has them: they are never edited by a migration of their own.
"""

import re
import secrets
from typing import Any, Final

from django.conf import settings
from django.db import connections, transaction
from psycopg import errors, sql

from cdp.audit.actors import SYSTEM
from cdp.audit.services import record
from cdp.bi.views import SCHEMA, fingerprint, statements
from cdp.errors import Conflict, DomainError, NotFound

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
SECONDS: Final = 300
CONNECTIONS: Final = 10


class NoRole(DomainError):
    """The group of log-ins isn't there, and the owner's login may not make it."""


def make_way(*, using: str, plan: Any, **_: Any) -> None:
    """Before migrations: takes the views away, if there is something to migrate."""
    if plan:
        with connections[using].cursor() as cursor:
            cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))


def make_views(*, using: str, **_: Any) -> None:
    """After migrations: the views as the code has them, unless they are there."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        schema = sql.Identifier(SCHEMA)
        cursor.execute("SELECT obj_description(to_regnamespace(%s)::oid, 'pg_namespace')", [SCHEMA])
        if cursor.fetchone()[0] != fingerprint():
            cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
            for statement in statements():
                cursor.execute(statement)
            cursor.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, sql.Literal(fingerprint())))
    make_role(using=using)


def make_role(*, using: str) -> bool:
    """Whether there is the group of log-ins, made where that is allowed; it may read the views."""
    role, schema = sql.Identifier(settings.BI_ROLE), sql.Identifier(SCHEMA)
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [settings.BI_ROLE])
            if not cursor.rowcount:
                cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
            database = sql.Identifier(connections[using].settings_dict["NAME"])
            cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
            cursor.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, role))
    except Exception as error:
        if _is(error, errors.InsufficientPrivilege):
            return False
        if _is(error, errors.DuplicateObject, errors.UniqueViolation):
            return make_role(using=using)  # roles are the whole server's, and somebody else was quicker
        raise
    return True


def _is(error: BaseException, *kinds: type[errors.Error]) -> bool:
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def make_login(*, name: str, using: str) -> str:
    """The password of a new log-in that reads the views; it is kept nowhere.

    Raises:
        DomainError: it can't be called so.
        Conflict: there is a role of this name.
        NoRole: the group isn't there.
    """
    _checked(name)
    if not make_role(using=using):
        raise NoRole(
            "bi_role_missing", f"Have a superuser run: CREATE ROLE {settings.BI_ROLE} NOLOGIN; and grant it to nobody."
        )
    password = secrets.token_urlsafe(24)
    role = sql.Identifier(name)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if cursor.rowcount:
            raise Conflict("login_exists", f"There is a role {name} on this server already.")
        _allowed(
            cursor,
            sql.SQL(
                "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT {} PASSWORD {}"
            ).format(role, sql.Literal(CONNECTIONS), sql.Literal(_verifier(cursor, name, password))),
        )
        _allowed(cursor, sql.SQL("GRANT {} TO {}").format(sql.Identifier(settings.BI_ROLE), role))
        for setting, value in {
            "search_path": SCHEMA,
            "default_transaction_read_only": "on",
            "statement_timeout": f"{SECONDS}s",
        }.items():
            cursor.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(setting), sql.Literal(value))
            )
    _record("bi_login.made", name)
    return password


def change_password(*, name: str, using: str) -> str:
    """Another password of a log-in, which has the old one's place at once.

    Raises:
        NotFound: there is no such log-in.
    """
    password = secrets.token_urlsafe(24)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        _demand_login(cursor, name)
        _allowed(
            cursor,
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(name), sql.Literal(_verifier(cursor, name, password))
            ),
        )
    _record("bi_login.password_changed", name)
    return password


def drop_login(*, name: str, using: str) -> None:
    """
    Raises:
        NotFound: there is no such log-in.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        _demand_login(cursor, name)
        _allowed(cursor, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    _record("bi_login.dropped", name)


def _record(action: str, name: str) -> None:
    with transaction.atomic():
        record(by=SYSTEM, action=action, detail={"login": name})


def _verifier(cursor: Any, name: str, password: str) -> str:
    """What the server keeps of a password (SCRAM), made here, so that the password itself isn't in a statement, nor in a log of those."""
    verifier = cursor.connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    return str(verifier.decode())


def _demand_login(cursor: Any, name: str) -> None:
    cursor.execute(
        "SELECT FROM pg_auth_members m JOIN pg_roles l ON l.oid = m.member JOIN pg_roles g ON g.oid = m.roleid"
        " WHERE l.rolname = %s AND g.rolname = %s AND l.rolcanlogin",
        [name, settings.BI_ROLE],
    )
    if not cursor.rowcount:
        raise NotFound("login_unknown", f"There is no log-in {name} for the views.")


def _checked(name: str) -> None:
    if not NAME.fullmatch(name) or name.startswith("pg_"):
        raise DomainError("name_malformed", "A log-in has small letters, digits and “_”, and begins with a letter.")


def _allowed(cursor: Any, statement: sql.Composed) -> None:
    try:
        cursor.execute(statement)
    except Exception as error:
        if _is(error, errors.InsufficientPrivilege):
            raise NoRole(
                "roles_not_allowed",
                "The owner's login may not do this with roles: it needs CREATEROLE, and ADMIN on the group.",
            ) from None
        raise
