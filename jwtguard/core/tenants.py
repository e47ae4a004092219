"""The tenants of an issuer template such as ``https://login.example.com/{tenant}/v2.0``."""

import inspect
import re
from collections.abc import Callable, Iterable, Sequence

from .discovery import TENANT
from .errors import Problem
from .keyloader import AnyKeys, KeySource, as_source
from .remote import Discovery
from .wording import as_list

MAX_TENANTS = 1024
"""Tenants whose own keys are kept, where a function says who is one."""

AnyTenants = str | Iterable[str] | Callable[[str], bool]

# What stands for a tenant in an address and can be read in one way only.
_NAME = r"([A-Za-z0-9](?:[A-Za-z0-9_~-]|\.(?!\.)){0,127})"


class Tenants:
    """Which tenants may speak, and where the keys of each are.

    *allowed* lists them, or is a function that is asked about a name and lets it speak by
    returning True. It sees names out of tokens that nobody has verified yet. Keys that are found
    by discovery are each tenant's own; other sources are everybody's.
    """

    def __init__(self, template: str | None, allowed: AnyTenants, keys: AnyKeys) -> None:
        self._template = template
        self._ask = allowed if callable(allowed) else None
        self.are_asked_for = self._ask is not None
        self.listed: tuple[str, ...] = () if callable(allowed) else tuple(as_list(allowed))
        self._keys = keys
        self.have_own_keys = self._is_template() and any(
            isinstance(key, Discovery) for key in as_list(keys)
        )
        self._sources: dict[str, KeySource] = {}
        self.problems: Sequence[Problem] = list(self._find_problems())
        if self.problems or not self._is_template():
            self.are_asked_for = False
        elif self.have_own_keys:
            for tenant in self.listed:
                self.keys_of(tenant)

    def _is_template(self) -> bool:
        return isinstance(self._template, str) and TENANT in self._template

    def _find_problems(self) -> Iterable[Problem]:
        is_template = self._is_template()
        given = self.listed or self._ask is not None
        if is_template and not given:
            what = "the issuer holds {tenant}; list the tenants that may speak, or give a function"
            yield "tenants", what
        elif given and not is_template:
            yield "tenants", "need a place in the issuer, as in https://host/{tenant}/v2.0"
        elif is_template and str(self._template).count(TENANT) > 1:
            yield "issuer", f"holds {TENANT} more than once"
        if isinstance(self._template, str) and set("{}") & set(self._template.replace(TENANT, "")):
            yield "issuer", f"{self._template!r}: what stands for a tenant is written {TENANT}"
        for tenant in self.listed:
            if not isinstance(tenant, str) or not re.fullmatch(_NAME, tenant):
                yield (
                    "tenants",
                    "a tenant is one name of letters, digits and . _ ~ -, without a slash; found "
                    f"{tenant!r}",
                )
        if inspect.iscoroutinefunction(self._ask) or inspect.iscoroutinefunction(
            getattr(self._ask, "__call__", None)  # noqa: B004 - an object whose call is async
        ):
            yield "tenants", "is asked while a token is judged, and cannot be a coroutine function"

    def spelling(self, tenant: str) -> str:
        """The ``iss`` value of a tenant."""
        return str(self._template).replace(TENANT, str(tenant))

    def named_by(self, iss: str) -> str | None:
        """The tenant whose ``iss`` value this is, where the function lets it speak."""
        assert self._ask is not None
        before, _, behind = str(self._template).partition(TENANT)
        match = re.fullmatch(re.escape(before) + _NAME + re.escape(behind), iss)
        return match[1] if match and self._ask(match[1]) is True else None

    def keys_of(self, tenant: str) -> KeySource:
        """Where the keys of a tenant are that has its own."""
        source = self._sources.get(tenant)
        if source is None:
            iss = self.spelling(tenant)
            source = as_source(
                [
                    key.for_tenant(iss, tenant) if isinstance(key, Discovery) else key
                    for key in as_list(self._keys)
                ]
            )
            if self._ask is not None and len(self._sources) >= MAX_TENANTS:
                self._sources.pop(self._least_missed(), None)
            source = self._sources.setdefault(tenant, source)
        return source

    def _least_missed(self) -> str:
        """Who has no keys, and may be but a name in a forged token; else whoever was met first."""
        known = list(self._sources.items())
        return next((name for name, one in known if not one.current().keys), known[0][0])

    def sources(self) -> list[KeySource]:
        """Where the keys are of those that have spoken or are listed."""
        return list(self._sources.values())
