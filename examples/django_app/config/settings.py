"""Settings of a project that keeps no users and no sessions: tokens say who somebody is."""

import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "reports.example.com"]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
INSTALLED_APPS = ["jwtguard.django"]  # the system checks: manage.py check --deploy
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "jwtguard.django.GuardMiddleware",  # above all that answers
    "django.middleware.common.CommonMiddleware",
]
JWTGUARD = "config.guard:guard"
AUTHENTICATION_BACKENDS = ["jwtguard.django.TokenBackend"]  # request.user is the token's
USE_TZ = True
