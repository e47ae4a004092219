"""What may be written in a configuration.

The schema is the Python parameters of `Guard`, `Issuer` and `Rule`, by the same names; only an
issuer's ``keys`` are spelled out (``jwks_uri``, ``discovery``, ``jwks_file``, ``public_key``,
``public_key_file``, ``secret``), because a file cannot hold objects.
"""

import inspect
from collections.abc import Mapping

from jwtguard.core import remote
from jwtguard.core.introspection import Introspection
from jwtguard.core.issuer import Issuer
from jwtguard.core.policy import Rule
from jwtguard.core.requirement import Requirement
from jwtguard.core.wording import as_list, did_you_mean
from jwtguard.guard import Guard
from jwtguard.login import Login
from jwtguard.presets import PROVIDERS
from jwtguard.ratelimits import MemoryRateStore, RedisRateStore
from jwtguard.serve.settings import Settings

KEY_SOURCES = ("jwks_file", "public_key", "public_key_file", "secret")
FETCHED = ("jwks_uri", "discovery")


def parameters_of(of: type, *left_out: str) -> tuple[str, ...]:
    """The names of the parameters of a class, which are the words for it."""
    return tuple(
        name
        for name, parameter in inspect.signature(of).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in left_out
    )


GUARD_KEYS = parameters_of(
    Guard, "issuers", "rules", "clock", "error_body", "revocations", "store", "rate_store"
)
ISSUER_KEYS = parameters_of(Issuer, "keys", "introspection")
INTROSPECTION_KEYS = parameters_of(Introspection, "clock")
REMOTE_KEYS = (*parameters_of(remote.RemoteKeys, "jwks_uri", "clock", "jitter"), "cache_file")
LOGIN_KEYS = parameters_of(Login)
RULE_KEYS = (*parameters_of(Rule), *parameters_of(Requirement, "check"))
SERVER_KEYS = parameters_of(Settings)

TOP, ISSUER, RULE = "the top of the file", "[[issuer]]", "[[rule]]"
REMOTE = "[issuer.remote]"
INTROSPECTION = "[issuer.introspection]"
LOGIN = "[login]"
REVOCATION, STORE = "[revocation]", "[store]"
RATE_STORE, SERVER = "[rate_store]", "[server]"
REVOCATION_KEYS = ("file", "redis", "prefix", "max_age", "when_stale")
STORE_KEYS = ("redis", "key", "prefix")
IN_REDIS = parameters_of(RedisRateStore, "url")
RATE_STORE_KEYS = ("redis", *IN_REDIS, *parameters_of(MemoryRateStore))
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    TOP: GUARD_KEYS,
    ISSUER: ISSUER_KEYS,
    REMOTE: REMOTE_KEYS,
    INTROSPECTION: INTROSPECTION_KEYS,
    RULE: RULE_KEYS,
    LOGIN: LOGIN_KEYS,
    REVOCATION: REVOCATION_KEYS,
    STORE: STORE_KEYS,
    RATE_STORE: RATE_STORE_KEYS,
    SERVER: SERVER_KEYS,
}
SECTIONS: Mapping[str, tuple[str, ...]] = {
    TOP: (
        *GUARD_KEYS,
        "include",
        "issuer",
        "issuers",
        "rule",
        "rules",
        "revocation",
        "store",
        "rate_store",
        "server",
    ),
    ISSUER: (*ISSUER_KEYS, *FETCHED, *KEY_SOURCES, "remote", "introspection", "preset"),
    REMOTE: REMOTE_KEYS,
    INTROSPECTION: INTROSPECTION_KEYS,
    RULE: RULE_KEYS,
    LOGIN: LOGIN_KEYS,
    REVOCATION: REVOCATION_KEYS,
    STORE: STORE_KEYS,
    RATE_STORE: RATE_STORE_KEYS,
    SERVER: SERVER_KEYS,
}
SOURCE_LIST = ", ".join((*FETCHED, *KEY_SOURCES[:-1])) + " or " + KEY_SOURCES[-1]

_IN_CODE = "is code, which a file cannot hold; make the Guard in Python for it"

# The places that presets have, and whose they are.
PLACES: Mapping[str, list[str]] = {
    place: [name for name, provider in PROVIDERS.items() if place in provider.places]
    for provider in PROVIDERS.values()
    for place in provider.places
}

# Words that somebody may well write, and what to write instead.
_ELSEWHERE: Mapping[tuple[str, str], str] = {
    (TOP, "clock"): _IN_CODE,
    (TOP, "error_body"): _IN_CODE,
    (TOP, "revocations"): "is written as a table, [revocation]",
    (RULE, "check"): _IN_CODE,
    (ISSUER, "keys"): f"is written by where the keys are: {SOURCE_LIST}",
    (ISSUER, "insecure_short_keys"): "stands with the key it is for, as in "
    'secret = { value = "…", insecure_short_keys = true }',
    **{
        (ISSUER, place): f"belongs to preset = {' or '.join(map(repr, names))}"
        for place, names in PLACES.items()
        if place not in GUARD_KEYS  # realm: most likely it is the guard's
    },
}

SECRETS = ("client_secret", "private_key")
_LISTS = frozenset(
    {
        *("audience", "algorithms", "required_claims", "roles", "tenants"),
        *("path", "methods", "issuers", "scopes", "any_scope", "any_role", "origins"),
        "trusted_proxies",
        *("claims", "default_roles"),
    }
)
_SWITCHES = frozenset(
    {"strip_credentials", "any_iss", "opaque_tail", "insecure_short_keys", "insecure_http"}
    | {"userinfo"}
)
# Their names are the user's, so that { env = … } in their place is an entry called "env".
TABLES = frozenset({"forward", "response_headers", "require"})


def complaint(key: str, value: object) -> str | None:
    """What is wrong with the type of a value, where the classes would take it amiss."""
    if key in _LISTS and not all(isinstance(one, str) for one in as_list(value)):
        return f"is text or a list of text; found {value!r}"
    if key in _SWITCHES and not isinstance(value, bool):
        return f"is true or false; found {value!r}"
    if key == "forward" and not isinstance(value, Mapping | None):
        return f"is a table, request header -> claim; found {value!r}"
    return None


def unknown(section: str, key: object) -> str:
    """What to say of a word that a section does not have."""
    known = SECTIONS[section]
    if (section, key) in _ELSEWHERE:
        return _ELSEWHERE[section, str(key)]
    if section != TOP and key in GUARD_KEYS:
        return f"belongs to {TOP}, above the first [table]"
    for other, keys in SECTIONS.items():
        if other not in (TOP, section) and key in keys:
            return f"is a key of {other}, not of {section}{did_you_mean(key, known)}"
    hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
    return f"is not a key of {section}{hint}"
