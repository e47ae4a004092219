"""For tests of Django projects: ``client.force_login(user)`` with a token.

class Reports(TokenLogins, TestCase):
    def test_reports_are_for_those_who_may_read_them(self):
        self.client.force_login("alice", scopes="reports:read")
        self.assertEqual(self.client.get("/reports").status_code, 200)
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import django.test
from asgiref.sync import sync_to_async
from django.conf import settings

from jwtguard.core.errors import AuthError
from jwtguard.core.guard import Guard
from jwtguard.core.issuer import Issuer
from jwtguard.django.settings import current_guard
from jwtguard.django.users import (
    BACKEND,
    TokenUser,
    UserRefused,
    auser_of,
    backend_is_used,
    user_of,
)

from .issuer import FakeIssuer
from .standing_in import chosen

if TYPE_CHECKING:
    from jwtguard.core.token import VerifiedToken

__all__ = ["AsyncClient", "Client", "TokenLogins", "logins"]


class _Logins:
    """The stand-ins of one test: one for each issuer, whichever clients log in."""

    def __init__(self, until: ExitStack) -> None:
        self._until = until
        self._idps: dict[tuple[Guard, Issuer], FakeIssuer] = {}

    def issuer(self, guard: Guard, name: str | None) -> FakeIssuer:
        place = guard, chosen(guard, name)
        if place not in self._idps:
            standing_in = FakeIssuer.standing_in(guard, name)
            self._idps[place] = self._until.enter_context(standing_in)
        return self._idps[place]


_open: list[_Logins] = []


@contextmanager
def logins() -> Iterator[None]:
    """Until the block ends, ``force_login`` puts a fake issuer in the place of the real one.

    For pytest; `TokenLogins` does it for Django's test cases::

        @pytest.fixture
        def client():
            with logins():
                yield Client()
    """
    with ExitStack() as until:
        now = _Logins(until)
        _open.append(now)
        until.callback(_open.remove, now)
        yield


class _TokenClient:
    """What both clients have beside Django's own."""

    cookies: SimpleCookie
    _sent: Mapping[str, str] = {}

    def force_login(
        self,
        user: Any,
        backend: str | None = None,
        *,
        issuer: str | None = None,
        cookie: bool = False,
        **words: Any,
    ) -> None:
        """From now on every request carries a token of *user*, as `FakeIssuer.token` makes it.

        - *user*: the token's ``sub``, or a user, whose name that is, without the ``{issuer}:``
          of `get_or_create_user`. Say ``sub=`` where your ``JWTGUARD_USER`` reads another claim.
        - *issuer*: the configured name of who issues it; a guard with one issuer needs none.
        - *cookie*: as a browser sends it, in the cookie that the guard's rules read.
        - *words*: ``scopes``, ``roles``, ``expires`` (seconds) and claims.

        A request's own headers come first. A *backend* other than `TokenBackend` makes a session,
        as Django does. Raises ValueError where ``JWTGUARD_USER`` makes another user of the token,
        RuntimeError outside of `logins`, errors.ConfigurationError for an unknown issuer.
        """
        if backend not in (None, BACKEND):
            super().force_login(user, backend)  # type: ignore[misc]
            return
        token = self._log_in(user, issuer, cookie, words)
        if token is not None and _has_a_row(user):
            try:
                found = user_of(token)
            except UserRefused as refused:
                found = _refused(refused, user)
            _check(user, found)

    async def aforce_login(
        self,
        user: Any,
        backend: str | None = None,
        *,
        issuer: str | None = None,
        cookie: bool = False,
        **words: Any,
    ) -> None:
        """The same on an event loop."""
        if backend not in (None, BACKEND):
            # Django has aforce_login since 5.0.
            await sync_to_async(super().force_login)(user, backend)  # type: ignore[misc]
            return
        token = self._log_in(user, issuer, cookie, words)
        if token is not None and _has_a_row(user):
            try:
                found = await auser_of(token)
            except UserRefused as refused:
                found = _refused(refused, user)
            _check(user, found)

    def _log_in(
        self, user: Any, issuer: str | None, cookie: bool, words: dict[str, Any]
    ) -> "VerifiedToken | None":
        """Keep what is sent from now on. None for a token that is not good."""
        if not _open:
            raise RuntimeError(
                "force_login puts a fake issuer in the place of the real one until the test ends: "
                "class MyTests(TokenLogins, TestCase), or with jwtguard.testing.django.logins():"
            )
        guard = current_guard()
        idp = _open[-1].issuer(guard, issuer)
        words = {"sub": _subject(user, idp), **words}
        if cookie:
            self._sent = idp.cookie(**words)
            name, _, raw = self._sent.pop("Cookie").partition("=")
            self.cookies[name] = raw
        else:
            raw = idp.token(**words)
            self._sent = {"Authorization": f"Bearer {raw}"}
        try:
            return guard.verify(raw)
        except AuthError:  # on purpose, as expires=-60: the request is refused
            return None

    def logout(self) -> None:
        """Send no token any more, and no cookies; a session ends, too."""
        self._sent = {}
        if settings.SESSION_COOKIE_NAME in self.cookies:
            super().logout()  # type: ignore[misc]
        self.cookies = SimpleCookie()

    async def alogout(self) -> None:
        """The same on an event loop."""
        self._sent = {}
        if settings.SESSION_COOKIE_NAME in self.cookies:
            await sync_to_async(super().logout)()  # type: ignore[misc]
        self.cookies = SimpleCookie()

    def generic(
        self,
        method: str,
        path: str,
        *args: Any,
        headers: Mapping[str, str] | None = None,
        **words: Any,
    ) -> Any:
        """A request, with what `force_login` adds to it."""
        given = {name.lower() for name in headers or ()}
        given |= {name.lower().removeprefix("http_").replace("_", "-") for name in words}
        sent = {name: value for name, value in self._sent.items() if name.lower() not in given}
        both = {**sent, **(headers or {})}
        return super().generic(method, path, *args, headers=both, **words)  # type: ignore[misc]


class Client(_TokenClient, django.test.Client):
    """Django's client; ``force_login`` takes a token, ``logout`` forgets it."""


class AsyncClient(_TokenClient, django.test.AsyncClient):
    """The same for async tests; both ``force_login`` and ``aforce_login`` (users with rows)."""


class TokenLogins:
    """For a test case: `Client` and `AsyncClient`, whose logins last as long as the test."""

    client_class = Client
    async_client_class = AsyncClient

    def run(self, result: Any = None) -> Any:
        """One test, within `logins`."""
        with logins():
            return super().run(result)  # type: ignore[misc]


def _subject(user: Any, idp: FakeIssuer) -> str | None:
    if user is None or isinstance(user, str):
        return user
    name: str = user.get_username()
    return name.removeprefix(f"{idp.name}:")


def _has_a_row(user: Any) -> bool:
    return backend_is_used() and getattr(user, "pk", None) is not None


def _refused(refused: UserRefused, user: Any) -> Any:
    # Who is inactive may log in and is refused at the first request, as with Django's own.
    return user if refused.error.reason == "user_inactive" else None


def _check(user: Any, found: Any) -> None:
    if not isinstance(found, TokenUser) and found != user:
        raise ValueError(
            f"JWTGUARD_USER makes {found!r} of this token, not {user!r}; "
            "say what their tokens have: force_login(user, sub=…)"
        )
