"""For WSGI servers: gunicorn config.wsgi"""

import os

from django.core.wsgi import get_wsgi_application

from config.guard import guard
from jwtguard.wsgi import GuardMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = GuardMiddleware(get_wsgi_application(), guard)
