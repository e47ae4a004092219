"""Reading ``[rate_store]``: where requests are counted."""

from collections.abc import Mapping
from pathlib import Path

from jwtguard.ratelimits import MemoryRateStore, RateStore, RedisRateStore

from .schema import IN_REDIS, RATE_STORE
from .values import Values

PLACE = "rate_store"


def read_rate_store(values: Values, table: object, base: Path) -> RateStore | None:
    """The store that the table says: Redis where it names one, else this process's memory.

    None where there is none, or a problem, which *values* collects.
    """
    if table is None:
        return None
    if not isinstance(table, Mapping):
        values.say(PLACE, f"is a table, {RATE_STORE}; found {type(table).__name__}")
        return None
    plain = {word: value for word, value in table.items() if word != "redis"}
    words = values.words(RATE_STORE, PLACE, plain)
    if "redis" not in table:
        for word in words.keys() & {*IN_REDIS}:
            values.say(f"{PLACE}.{word}", "is about Redis, and its address is missing: redis")
        return MemoryRateStore(**{k: v for k, v in words.items() if k not in IN_REDIS})
    if words.pop("max_keys", None) is not None:
        values.say(f"{PLACE}.max_keys", "is for counts in memory; Redis has its own maxmemory")
    url = values.secret_text(f"{PLACE}.redis", table["redis"], base)
    return None if url is None else RedisRateStore(url, **words)
