"""The web server's door."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")
application = get_wsgi_application()

from cdp.content.counting import counter  # noqa: E402  (its models need Django set up)

counter.start()
