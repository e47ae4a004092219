"""Issuers of well-known identity providers: their words are filled in, yours are what differs.

::

    from jwtguard import Guard, presets

    guard = Guard([presets.issuer("auth0", domain="acme.eu.auth0.com",
                                  audience="https://api.example.com")])

The same words make an issuer in a file: ``preset = "auth0"``, ``domain = "acme.eu.auth0.com"``.
`PROVIDERS` is all that is known; a provider that is not in it is an `Issuer` written out.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from .core.errors import ConfigurationError, Problem
from .core.issuer import Issuer
from .core.wording import as_list, did_you_mean, one_of
from .keyfiles import Discovery, RemoteKeys
from .providers import PROVIDERS, Place, Provider

BROWSER_FILES = (
    "/favicon.ico",
    "/robots.txt",
    "/site.webmanifest",
    "/manifest.json",
    "/apple-touch-icon.png",
    "/apple-touch-icon-precomposed.png",
)
"""What browsers and crawlers ask for unasked, without credentials, for a rule to open:
``Rule(presets.BROWSER_FILES, access="public")``.
"""

__all__ = ["BROWSER_FILES", "PROVIDERS", "Place", "Provider", "expand", "find", "issuer"]

_ISSUER_WORDS = frozenset(inspect.signature(Issuer).parameters)
_FETCHED = frozenset({"discovery", "jwks_uri"})


def issuer(preset: str, /, **words: Any) -> Issuer:
    """The `Issuer` of a provider in `PROVIDERS`.

    *words* are the provider's places, ``audience``, and any parameter of `Issuer`: it counts
    instead of the preset's own, except that ``require`` is asked for on top of it.

    Raises `errors.ConfigurationError` with every problem of the preset at once; what is wrong with
    the issuer's own words is reported by `Guard`.
    """
    provider = find(preset)
    known, problems = expand(provider, words, own_keys="keys" in words)
    for word in words:
        if word not in _ISSUER_WORDS and word not in provider.places:
            hint = did_you_mean(word, [*provider.places, *_ISSUER_WORDS])
            problems.append((word, f"is no word of this preset, nor of Issuer{hint}"))
    if problems:
        raise ConfigurationError([(f"{preset}.{where}", what) for where, what in problems])
    if "jwks_uri" in known:
        known["keys"] = RemoteKeys(known.pop("jwks_uri"))
    elif "discovery" in known:
        url = known.pop("discovery")
        known["keys"] = Discovery(None if url is True else url)
    return Issuer(**known)


def find(preset: object) -> Provider:
    """The provider of this name. Raises `errors.ConfigurationError`."""
    if not isinstance(preset, str) or preset not in PROVIDERS:
        raise ConfigurationError([("preset", one_of(preset, tuple(PROVIDERS)))])
    return PROVIDERS[preset]


def expand(
    provider: Provider, given: Mapping[str, Any], *, own_keys: bool
) -> tuple[dict[str, Any], list[Problem]]:
    """What the provider's words and those *given* say together, in words of ``[[issuer]]``.

    *own_keys*: where the keys are is given, too. Where there are problems, examples stand in for
    what is missing or wrong, so that whoever goes on finds the other problems and no echoes.
    """
    problems: list[Problem] = []
    places = dict(provider.places)
    values: dict[str, Any] = {}
    words = dict(provider.words)
    if "tenants" in given and "tenant" in places:
        # A function, or what is no text: `Issuer` judges it.
        tenants = [one for one in as_list(given["tenants"]) if isinstance(one, str)]
        problems += _misfits("tenants", places.pop("tenant"), tenants)
        values["tenant"] = "{tenant}"  # issuer and discovery stay templates
        if "tenant" in given:
            problems.append(("tenant", "stands beside tenants; write one of the two"))
    if own_keys:
        words = _without(words, _FETCHED)
    theirs = {word: value for word, value in given.items() if word not in provider.places}
    words = _without(words, theirs.keys() - {"require"})
    for name, place in places.items():
        value = given.get(name)
        several = as_list(value) if place.several else []
        values[name] = place.example
        if not _mentions(words, name):
            if name in given:
                problems.append((name, "has no effect beside issuer; remove one of the two"))
        elif name not in given:
            problems.append((name, f"is missing: {place.meaning}, such as {place.example!r}"))
        elif misfits := _misfits(name, place, several or [value]):
            problems += misfits
        else:
            values[name] = value
    if "audience" not in theirs | words:
        problems.append(("audience", f"is missing: {provider.audience}"))
        words["audience"] = None
    words = _filled(words, values)
    if "require" in theirs:
        words["require"] = _and(words.get("require", {}), theirs["require"])
    return theirs | words, problems


def _without(words: Mapping[str, Any], left_out: Any) -> dict[str, Any]:
    return {word: value for word, value in words.items() if word not in left_out}


def _misfits(name: str, place: Place, values: list[Any]) -> list[Problem]:
    fits = re.compile(place.pattern).fullmatch
    return [
        (name, f"should be {place.meaning}, such as {place.example!r}; found {value!r}")
        for value in values
        if not isinstance(value, str) or not fits(value)
    ]


_only_a_place = re.compile(r"\{(\w+)\}").fullmatch


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with the values in their places; one that is a place only becomes the value."""
    if isinstance(template, Mapping):
        return {key: _filled(one, values) for key, one in template.items()}
    if isinstance(template, list):
        return [_filled(one, values) for one in template]
    if not isinstance(template, str):
        return template
    alone = _only_a_place(template)
    return values[alone[1]] if alone else template.format_map(values)


def _mentions(template: Any, name: str) -> bool:
    """Whether filling the template would put the place's value anywhere."""
    if isinstance(template, Mapping):
        return _mentions([*template.values()], name)
    if isinstance(template, list):
        return any(_mentions(one, name) for one in template)
    return isinstance(template, str) and f"{{{name}}}" in template


def _and(ours: Any, theirs: Any) -> Any:
    """Two ``require`` at once, where theirs counts for a claim that both name."""
    alternatives = as_list(theirs)
    if not alternatives or not all(isinstance(one, Mapping) for one in alternatives):
        return theirs  # which is a problem, and Issuer says which
    both = [{**mine, **one} for mine in as_list(ours) for one in alternatives]
    return both[0] if len(both) == 1 else both
