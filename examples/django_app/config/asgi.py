"""For ASGI servers: uvicorn config.asgi:application"""

import os

from django.core.asgi import get_asgi_application

from config.guard import guard
from jwtguard.asgi import GuardMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = GuardMiddleware(get_asgi_application(), guard)
