"""What a guard knows of browsers signing in: `jwtguard.login` builds it, on top of the core."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .errors import Problem
from .extractor import FromSession
from .issuer import Issuer
from .model import Clock, Deny, Flow, Pairs, Request
from .rates import Rate
from .revocation import SESSION, Revocations
from .store import Store
from .token import Verified

__all__ = ["SESSION", "SignIn", "Site"]


class Site(Protocol):
    """Signing in at one guard's site.

    ``login_path`` is where browsers are sent, ``backchannel_path`` what the provider calls,
    ``paths`` all that it serves; ``idp`` is the ``iss`` of the provider whose people sign in;
    ``issuer`` made the sessions, which ``place`` carries. ``revocations`` hold those that ended;
    ``switches`` say what was made less safe, ``rate`` how often one address may ask for the paths
    but that of the provider.
    """

    login_path: str
    backchannel_path: str
    paths: tuple[str, ...]
    idp: str
    issuer: Issuer
    revocations: Revocations
    place: FromSession
    switches: Sequence[str]
    rate: Rate | None

    def answer(self, request: Request, method: str) -> Flow[Deny]:
        """What a browser or the provider is told at one of the paths. Raises AuthError."""
        ...

    def is_due(self, known: Verified) -> bool:
        """Whether a session should be made anew, so that it does not end while it is used."""
        ...

    def renew(self, known: Verified, request: Request) -> Flow[Pairs]:
        """The headers that do so. Raises errors.InvalidToken where the session has ended."""
        ...

    def warm(self) -> Flow[None]:
        """Find out about the provider ahead of the first sign-in. An outage is logged."""
        ...


@runtime_checkable
class SignIn(Protocol):
    """What stands as a Guard's ``login``: `jwtguard.Login`."""

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with it wherever it is."""
        ...

    def at(
        self,
        origin: str,
        issuers: Sequence[Issuer],
        revocations: Revocations | None,
        store: Store | None,
        clock: Clock,
    ) -> tuple[Site | None, Sequence[Problem]]:
        """The same at the site that *origin* names, or what is wrong, by the words of the login.

        *issuers* are those that the guard trusts; sessions that end are told to *revocations*,
        or to some of the site's own. *store* is what its processes share.
        """
        ...
