"""Who may speak under which ``iss``, and who of them on a rule (RFC 8725 section 3.8)."""

from collections.abc import Iterable
from functools import cached_property

from .claims import Claims
from .errors import UnknownIssuer
from .issuer import Issuer


class Directory:
    """Every ``iss`` value that is somebody's: written out, or by a template."""

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        issuers = list(issuers)
        self.known: dict[str, tuple[Issuer, str | None]] = {
            iss: (issuer, tenant) for issuer in issuers for iss, tenant in issuer.spellings.items()
        }
        self._templates = [issuer for issuer in issuers if issuer.tenancy.are_asked_for]
        # For hints only. Forged tokens come here too, so nothing is searched for.
        self._without_slash = {iss.rstrip("/") for iss in self.known}
        self._without_scheme = {iss.partition("://")[2] for iss in self.known} - {""}

    def find(self, iss: str) -> tuple[Issuer, str | None] | None:
        """Whose this *iss* is, and which tenant's."""
        found = self.known.get(iss)
        if found is None:
            for issuer in self._templates:
                tenant = issuer.tenancy.named_by(iss)
                if tenant is not None:
                    return issuer, tenant
        return found

    def near_miss(self, iss: object) -> str | None:
        """How an *iss* that is nobody's differs from one that is somebody's."""
        if not isinstance(iss, str):
            return "the token carries no iss"
        if iss.rstrip("/") in self._without_slash:
            return "differs by a trailing slash"
        if iss.partition("://")[2] in self._without_scheme:
            return "differs in the scheme"
        return None


class Candidates:
    """The issuers that may speak on a rule.

    A token whose ``iss`` is a configured issuer's is judged by that issuer alone, or refused where
    the rule does not list it. ``introspecting`` is the one that may be asked about tokens that
    name nobody.
    """

    def __init__(self, directory: Directory, issuers: Iterable[Issuer]) -> None:
        self._directory = directory
        several = list(issuers)
        nameless = [issuer for issuer in several if issuer.issuer is None]
        self._nameless = nameless[0] if len(nameless) == 1 else None
        if self._nameless is None:  # of several without iss none may speak: which would it be?
            several = [issuer for issuer in several if issuer.issuer is not None]
        self.issuers = frozenset(several)
        asked = [issuer for issuer in several if issuer.introspection is not None]
        self.introspecting = asked[0] if len(asked) == 1 else None

    @cached_property
    def _wanted(self) -> str:
        """What a log line says; forged tokens come here too, so it is made once."""
        names = sorted(issuer.issuer or "no iss" for issuer in self.issuers)
        more = f" or one of {len(names) - 5} more" if len(names) > 6 else ""
        return " or ".join(names[: 5 if more else 6]) + more

    def choose(self, claims: Claims) -> tuple[Issuer, str | None]:
        """The issuer and tenant that must answer for these claims. Raises UnknownIssuer."""
        iss = claims.get("iss")
        found = None if iss is None else self._directory.find(iss)
        if found is not None:
            if found[0] in self.issuers:
                return found
            raise UnknownIssuer(
                "issuer_not_for_rule", found=iss, want=self._wanted, hint="the rule lists others"
            )
        nameless = self._nameless
        if nameless is not None and ("iss" not in claims or nameless.any_iss):
            return nameless, None
        raise UnknownIssuer(found=iss, want=self._wanted, hint=self._directory.near_miss(iss))
