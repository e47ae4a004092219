"""The Guard that users make: the core's, with its flows run for them."""

from collections.abc import Sequence

from . import drive
from .core import guard
from .core.model import Decision, Request
from .core.requirement import Requirement
from .core.token import VerifiedToken
from .transport import Shared

_shared = Shared()


class Guard(guard.Guard):
    __doc__ = guard.Guard.__doc__

    def verify(
        self,
        raw: str,
        requirement: Requirement | None = None,
        *,
        issuers: str | Sequence[str] | None = None,
    ) -> VerifiedToken:
        """Verify a token, and that it meets *requirement*. Raises `errors.AuthError`.

        *issuers* names those whose tokens count; by default all, but no issuer without an iss
        value where there are several of them.
        """
        flow = self.verify_flow(raw, requirement, issuers)
        return drive.run(flow, _shared.fetch, _shared.background)

    async def averify(
        self,
        raw: str,
        requirement: Requirement | None = None,
        *,
        issuers: str | Sequence[str] | None = None,
    ) -> VerifiedToken:
        """The same on an event loop."""
        flow = self.verify_flow(raw, requirement, issuers)
        return await drive.arun(flow, _shared.afetch, _shared.background)

    def decide(self, request: Request) -> Decision:
        """Allow or Deny a request; for writers of doors."""
        return drive.run(self.decide_flow(request), _shared.fetch, _shared.background)

    async def adecide(self, request: Request) -> Decision:
        """The same on an event loop."""
        flow = self.decide_flow(request)
        return await drive.arun(flow, _shared.afetch, _shared.background)

    def warm(self) -> None:
        """Fetch the keys that must be fetched, so that the first request need not wait.

        For start-up. An outage is logged and stops nothing.
        """
        drive.run(self.warm_flow(), _shared.fetch, _shared.background)

    async def awarm(self) -> None:
        """The same on an event loop, for a lifespan hook."""
        await drive.arun(self.warm_flow(), _shared.afetch, _shared.background)
