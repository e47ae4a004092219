"""Reading ``[login]``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwtguard.login import Login

from .schema import LOGIN, SECRETS
from .values import Values, listed

_HIDDEN = (*SECRETS, "secret")
_NEEDED = {
    "issuer": "the name of an [[issuer]], or the provider's address",
    "client_id": "the name of this service at the provider",
}


def read_login(values: Values, table: Mapping[str, Any], base: Path) -> Login:
    """What the table says; file names are relative to *base*."""
    words = values.words(LOGIN, "login", {k: v for k, v in table.items() if k not in _HIDDEN})
    for word, what in _NEEDED.items():
        if word not in table:
            values.say(f"login.{word}", f"is missing: {what}")
    for word in SECRETS:
        if word in table:
            words[word] = values.secret_text(f"login.{word}", table[word], base)
    if "secret" in table:
        words["secret"] = [
            text
            for at, given in listed("login.secret", table["secret"], always_index=False)
            if (text := values.secret_text(at, given, base)) is not None
        ]
    return Login(**{"issuer": "", "client_id": "", **words})
