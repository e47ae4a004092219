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

    # The process's transport, until a door brings a way of its own.
    in_threads: drive.InThreads = (_shared.fetch, _shared.background)
    on_loops: drive.OnLoops = (_shared.afetch, _shared.background)

    def exchange(
        self, in_threads: drive.InThreads | None = None, on_loops: drive.OnLoops | None = None
    ) -> None:
        """Make HTTP exchanges in this way from now on; None: as before.

        Doors that are given a ``client`` (for both) or a ``fetch`` call this, so that `warm`,
        `verify`, `decide` and doors that were given neither do as they do; the last one counts.
        """
        self.in_threads = in_threads or self.in_threads
        self.on_loops = on_loops or self.on_loops

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
        return drive.run(flow, *self.in_threads)

    async def averify(
        self,
        raw: str,
        requirement: Requirement | None = None,
        *,
        issuers: str | Sequence[str] | None = None,
    ) -> VerifiedToken:
        """The same on an event loop."""
        flow = self.verify_flow(raw, requirement, issuers)
        return await drive.arun(flow, *self.on_loops)

    def decide(self, request: Request) -> Decision:
        """Allow or Deny a request; for writers of doors."""
        return drive.run(self.decide_flow(request), *self.in_threads)

    async def adecide(self, request: Request) -> Decision:
        """The same on an event loop."""
        flow = self.decide_flow(request)
        return await drive.arun(flow, *self.on_loops)

    def warm(self) -> None:
        """Fetch the keys that must be fetched, so that the first request need not wait.

        For start-up, after the doors were made where one has a ``client`` or a ``fetch`` of its
        own. All sources are asked at once. An outage is logged and stops nothing.
        """
        drive.run_all(self.warm_flows(), *self.in_threads)

    async def awarm(self) -> None:
        """The same on an event loop, for a lifespan hook."""
        await drive.arun_all(self.warm_flows(), *self.on_loops)
