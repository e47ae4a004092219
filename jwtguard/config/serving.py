"""Reading ``[server]``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwtguard.serve.settings import Settings

from .schema import SERVER
from .values import Values


def server(values: Values, mapping: Mapping[str, Any], base: Path) -> Settings | None:
    """What ``[server]`` says; None where there is none, or a problem."""
    table = mapping.get("server")
    if table is None:
        return None
    if not isinstance(table, Mapping):
        values.say("server", f"is a table, {SERVER}; found {type(table).__name__}")
        return None
    before = len(values.problems)
    plain = {key: value for key, value in table.items() if key != "shared_secret"}
    words = values.words(SERVER, "server", plain)
    if "shared_secret" in table:
        secret = values.secret_text("server.shared_secret", table["shared_secret"], base)
        words["shared_secret"] = secret
    settings = Settings(**words)
    values.say_of("server", settings.problems)
    return settings if len(values.problems) == before else None
