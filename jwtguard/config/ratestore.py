"""Reading ``[rate_store]``: where requests are counted."""

from collections.abc import Mapping

from jwtguard.core.errors import ConfigurationError
from jwtguard.ratelimits import MemoryRateStore, RateStore, RedisRateStore

from .schema import IN_REDIS, RATE_STORE
from .values import Values

PLACE = "rate_store"


def read_rate_store(values: Values, table: object) -> RateStore | None:
    """The store that the table says: Redis where it names one, else this process's memory.

    None where there is a problem, which *values* collects.
    """
    if not isinstance(table, Mapping):
        values.say(PLACE, f"is a table, {RATE_STORE}; found {type(table).__name__}")
        return None
    before = len(values.problems)
    words = values.words(RATE_STORE, PLACE, table)
    for word in words:
        if "redis" in table and word == "max_keys":
            values.say(f"{PLACE}.{word}", "is for counts in memory; Redis has its own maxmemory")
        elif "redis" not in table and word in IN_REDIS:
            values.say(f"{PLACE}.{word}", "is about Redis, and its address is missing: redis")
    if len(values.problems) > before:
        return None
    if "redis" not in words:
        return MemoryRateStore(**words)
    try:
        return RedisRateStore(words.pop("redis"), **words)
    except ConfigurationError as error:
        for word, what in error.problems:
            values.say(f"{PLACE}.{word}" if word else PLACE, what)
        return None
