"""Stores for what is kept for a while (`core.store.Store`): in memory, or shared in Redis."""

from jwtguard.core.store import Store

from .memory import MemoryStore
from .redis import RedisStore

__all__ = ["MemoryStore", "RedisStore", "Store"]
