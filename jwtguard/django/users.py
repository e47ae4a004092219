"""Whose token it is, as Django's users: rows of the database, or users without one."""

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from jwtguard.core.errors import AccessDenied, ConfigurationError
from jwtguard.core.model import Deny
from jwtguard.core.publish import UserName
from jwtguard.core.token import VerifiedToken

from .requests import asked, guard_of, keep_private

log = logging.getLogger("jwtguard")

BACKEND = "jwtguard.django.TokenBackend"


class TokenUser:
    """Somebody who has a token and no row: authenticated, never staff, without permissions."""

    pk = None
    id = None
    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False
    is_superuser = False
    last_login = None
    backend = BACKEND

    def __init__(self, token: VerifiedToken) -> None:
        self.token = token
        self.username = token.subject or ""

    def __str__(self) -> str:
        return self.username

    def __repr__(self) -> str:
        return f"<TokenUser issuer={self.token.issuer!r}>"

    def __eq__(self, other: object) -> bool:
        # A subject is somebody only within its issuer (OpenID Connect Core section 5.7).
        if not isinstance(other, TokenUser) or self.token.subject is None:
            return self is other
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str | None, ...]:
        return self.token.issuer, self.token.tenant, self.token.subject

    def get_username(self) -> str:
        """``sub``, or "" where the token has none; unique only within the issuer."""
        return self.username

    get_full_name = get_short_name = get_username

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Never: permissions are rows. Ask the token for scopes and roles."""
        return False

    def has_perms(self, perm_list: object, obj: object = None) -> bool:
        """Never."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        """Never."""
        return False

    def get_all_permissions(self, obj: object = None) -> set[str]:
        """None."""
        return set()

    get_user_permissions = get_group_permissions = get_all_permissions

    async def ahas_perm(self, perm: str, obj: object = None) -> bool:
        """Never."""
        return False

    ahas_perms = ahas_perm

    async def ahas_module_perms(self, app_label: str) -> bool:
        """Never."""
        return False

    async def aget_all_permissions(self, obj: object = None) -> set[str]:
        """None."""
        return set()

    aget_user_permissions = aget_group_permissions = aget_all_permissions

    @property
    def groups(self) -> Any:
        """None, as a manager."""
        from django.contrib.auth.models import AnonymousUser

        return AnonymousUser().groups


def get_or_create_user(token: VerifiedToken, username: str = "{issuer}:{sub}") -> Any | None:
    """The row of the user model whose name *username* makes of the token, made where there is none.

    *username* is a template of claims and ``{issuer}`` (the configured name). A new row has an
    unusable password; its email is set where ``email_verified`` is True. Staff and superuser are
    never set, and nothing of a row that exists is changed. None (nobody) where a claim is absent,
    where ``{email}`` is not verified, or where the database would not keep the name as it is.

    For ``JWTGUARD_USER``. Subjects are unique within an issuer only: leave out ``{issuer}`` only
    where there is one, and where no row got its name in another way. Raises
    errors.ConfigurationError for an issuer with tenants, unless ``{iss}`` tells them apart.
    """
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import make_password

    if token.tenant is not None and "{iss}" not in username:
        raise ConfigurationError(
            f"get_or_create_user: the issuer {token.issuer!r} has tenants, and a subject is unique "
            "within its tenant only; put {iss} into username"
        )
    model = get_user_model()
    key, emails = model.USERNAME_FIELD, model.get_email_field_name()
    name = UserName(username).of(token._verified)
    email = token.get("email") if token.get("email_verified") is True else None
    if name is None or ("{email}" in username and email is None):
        return None
    limit = model._meta.get_field(key).max_length
    if model.normalize_username(name) != name or (limit and len(name) > limit):
        log.warning("no user has the name of this token: over %s characters, or not NFKC", limit)
        return None
    made = {"password": make_password(None)}
    if isinstance(email, str) and emails in {f.name for f in model._meta.fields} - {key}:
        made[emails] = email
    user, _ = model._default_manager.get_or_create(**{key: name}, defaults=made)
    # A collation that ignores case would make one person of two.
    return user if user.get_username() == name else None


# --- from a token to its user -------------------------------------------------------------------


class UserRefused(PermissionDenied):
    """The token is good, and its user may not come in. `GuardMiddleware` answers as a rule would.

    ``error`` is the `errors.AccessDenied` with the reason.
    """

    def __init__(self, reason: str, token: VerifiedToken) -> None:
        super().__init__("Access denied.")
        self.error = AccessDenied(reason)
        self.error.issuer, self.error.subject = token.issuer, token.subject
        self.token = token

    def deny(self, request: HttpRequest) -> Deny:
        """The refusal to send."""
        return guard_of(request).refusal(self.error, asked(request), "user", self.token.raw)


@cache
def user_function() -> Callable[[VerifiedToken], Any]:
    """What ``JWTGUARD_USER`` names: token -> user or None, sync or async.

    Raises errors.ConfigurationError where it names none.
    """
    named = getattr(settings, "JWTGUARD_USER", None)
    if named is None:
        return TokenUser
    try:
        function = import_string(named) if isinstance(named, str) else named
    except ImportError as error:
        raise ConfigurationError([("JWTGUARD_USER", str(error))]) from error
    if not callable(function):
        raise ConfigurationError(
            [("JWTGUARD_USER", f"names a function, token -> user or None; found {named!r}")]
        )
    found: Callable[[VerifiedToken], Any] = function
    return found


@cache
def backend_is_used() -> bool:
    """Whether tokens are users here: `TokenBackend` stands in AUTHENTICATION_BACKENDS."""
    for path in settings.AUTHENTICATION_BACKENDS:
        # Django's own, which stand there by default, cannot be imported without its app.
        if path == BACKEND or (
            not path.startswith("django.contrib.") and issubclass(import_string(path), TokenBackend)
        ):
            return True
    return False


def _forget(*, setting: str, **_: object) -> None:
    if setting == "JWTGUARD_USER":
        user_function.cache_clear()
    elif setting == "AUTHENTICATION_BACKENDS":
        backend_is_used.cache_clear()


setting_changed.connect(_forget)


def _checked(user: Any, token: VerifiedToken) -> Any:
    if user is None:
        raise UserRefused("user_unknown", token)
    if not getattr(user, "is_active", True):
        raise UserRefused("user_inactive", token)
    return user


def user_of(token: VerifiedToken) -> Any:
    """The user that ``JWTGUARD_USER`` knows under *token*.

    Raises UserRefused where it knows none, or one who is not active.
    """
    function = user_function()
    if function is TokenUser:
        return TokenUser(token)
    find = async_to_sync(function) if iscoroutinefunction(function) else function
    return _checked(find(token), token)


async def auser_of(token: VerifiedToken) -> Any:
    """The same on an event loop."""
    function = user_function()
    if function is TokenUser:
        return TokenUser(token)
    find = function if iscoroutinefunction(function) else sync_to_async(function)
    return _checked(await find(token), token)


_KNOWN = "_jwtguard_user"


def user_for(request: Any) -> Any:
    """The user of ``request.jwt``, looked up once a request. Raises UserRefused."""
    keep_private(request)
    if not hasattr(request, _KNOWN):
        setattr(request, _KNOWN, user_of(request.jwt))
    return getattr(request, _KNOWN)


async def auser_for(request: Any) -> Any:
    """The same on an event loop."""
    keep_private(request)
    if not hasattr(request, _KNOWN):
        setattr(request, _KNOWN, await auser_of(request.jwt))
    return getattr(request, _KNOWN)


def _anonymous() -> Any:
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


async def _aanonymous() -> Any:
    return _anonymous()


def bind(request: Any) -> None:
    """``request.user`` and ``request.auser`` are those of the token, once somebody asks.

    Where there is no token they are nobody, and a session that is read below may say more.
    """
    if request.jwt is None:
        if not hasattr(request, "user"):
            request.user, request.auser = SimpleLazyObject(_anonymous), _aanonymous
        return
    request.user = SimpleLazyObject(partial(user_for, request))
    request.auser = partial(auser_for, request)
    # What Django's AuthenticationMiddleware looks at before the session: where it stands below,
    # the middlewares between it and the view must not meet the session's user.
    request._cached_user = request._acached_user = request.user


class TokenBackend:
    """For AUTHENTICATION_BACKENDS: the user of a token is ``request.user``."""

    def authenticate(
        self, request: HttpRequest | None, token: VerifiedToken | None = None
    ) -> Any | None:
        """The user of a verified token; None where there is none, or one who is not active."""
        if not isinstance(token, VerifiedToken):
            return None
        try:
            return user_of(token)
        except UserRefused:
            return None

    async def aauthenticate(
        self, request: HttpRequest | None, token: VerifiedToken | None = None
    ) -> Any | None:
        """The same on an event loop."""
        if not isinstance(token, VerifiedToken):
            return None
        try:
            return await auser_of(token)
        except UserRefused:
            return None

    def get_user(self, user_id: object) -> Any | None:
        """Nobody: a token is sent with every request, and no session stands for it."""
        return None

    async def aget_user(self, user_id: object) -> Any | None:
        """Nobody."""
        return None
