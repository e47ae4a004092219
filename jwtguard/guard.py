"""The Guard that users make: the core's, with its flows run for them."""

from collections.abc import Sequence

from . import drive
from .core import guard
from .core.model import Decision, Request, VerifiedToken
from .core.requirement import Requirement


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
        return drive.run(self.verify_flow(raw, requirement, issuers))

    async def averify(
        self,
        raw: str,
        requirement: Requirement | None = None,
        *,
        issuers: str | Sequence[str] | None = None,
    ) -> VerifiedToken:
        """The same on an event loop."""
        return await drive.arun(self.verify_flow(raw, requirement, issuers))

    def decide(self, request: Request) -> Decision:
        """Allow or Deny a request; for writers of doors."""
        return drive.run(self.decide_flow(request))

    async def adecide(self, request: Request) -> Decision:
        """The same on an event loop."""
        return await drive.arun(self.decide_flow(request))
