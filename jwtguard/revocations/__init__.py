"""What was revoked: in this process, in a file, or in Redis for many processes."""

from jwtguard.core.revocation import Entry

from .file import RevocationFile
from .locked import Revocations
from .redis import RedisRevocations

__all__ = ["Entry", "RedisRevocations", "RevocationFile", "Revocations"]
