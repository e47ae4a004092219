"""A gateway: checks tokens in front of a service that cannot, and tells it who calls."""

import os
from pathlib import Path

from werkzeug.exceptions import NotFound
from werkzeug.middleware.http_proxy import ProxyMiddleware

from jwtguard import Guard, from_toml
from jwtguard.wsgi import GuardMiddleware

HERE = Path(__file__).parent


def create_app(backend: str | None = None, guard: Guard | None = None) -> GuardMiddleware:
    """Hands /shop/… on to *backend*, an address such as http://127.0.0.1:9000."""
    target = backend or os.environ["SHOP_ADDRESS"]
    proxy = ProxyMiddleware(NotFound(), {"/shop/": {"target": target}})
    return GuardMiddleware(proxy, guard or from_toml(HERE / "gateway.toml"))
