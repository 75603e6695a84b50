"""A cursor for set-based statements: parameters go to the server apart from the text, whole arrays at once.

Django's own cursor writes parameters into the text, which is right for its small queries and slow for arrays of
thousands. What the statements say belongs to the app whose tables they touch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection


@contextmanager
def bound_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """A psycopg cursor on Django's connection, inside whatever transaction is open; errors come as Django's."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield cursor
