"""For Django projects behind the WSGI or the ASGI door.

# wsgi.py                                           # asgi.py: the same with jwtguard.asgi
application = jwtguard.wsgi.GuardMiddleware(get_wsgi_application(), guard)

# views.py
@requires(scopes="reports:read")
def reports(request): ...
"""

from .decorators import requires

__all__ = ["requires"]
