"""What becomes of a request: let through, refused, or let through and reported.

The guard judges. Here is what the app gets to see of somebody or of nobody (`publish`), what the
client is told (`answers`), and what stands between the two: a bad cookie that is nobody's, and a
rule that only reports.
"""

import logging

from . import refused
from .answers import Answers
from .errors import AuthError, InvalidRequest, InvalidToken, MalformedToken, Unavailable
from .extractor import Edits, as_text, read_one
from .model import NOTHING, Allow, Decision, Deny, Published, Request
from .policy import BoundRule
from .publish import headers_of, variables_of
from .setup import Setup
from .token import Verified, VerifiedToken
from .trust import unexpected


class Outcomes:
    """The outcomes of one guard. ``unruled`` stands for the rule where none was asked."""

    def __init__(self, setup: Setup, answers: Answers) -> None:
        self.unruled = setup.unruled
        self._answers = answers
        self._forward_names = setup.forward_names
        self._variables = setup.given.variables
        self._user_name = setup.user_name
        self._clock = setup.given.clock

    def allow(
        self,
        request: Request,
        bound: BoundRule,
        known: Verified | None = None,
        token: VerifiedToken | None = None,
    ) -> Allow:
        """Let it through: as whoever *token* speaks of, which is *known*, or as nobody."""
        published = NOTHING if known is None else self._published(known, bound)
        allow = Allow(token, bound.rule, self._forward_names, published)
        if bound.removed:
            edits = Edits()
            for place in bound.removed:
                place.remove(request, edits)
            kept = [(name, as_text(v)) for name, v in edits.headers.items() if v is not None]
            allow.remove = self._forward_names.union(edits.headers)
            headers = (*published.headers, *kept)
            allow.published = Published(headers, published.variables, published.user)
            allow.query = edits.query
            allow.subprotocol = edits.subprotocol
        return allow

    def _published(self, known: Verified, bound: BoundRule) -> Published:
        rule, published = known.published
        if rule is not bound.origin:
            published = Published(
                headers_of(known.claims, bound.forward) if bound.forward else (),
                variables_of(known, self._variables) if self._variables else NOTHING.variables,
                self._user_name.of(known) if self._user_name else None,
            )
            known.published = bound.origin, published
        found: Published = published
        return found

    def refuse(
        self,
        error: AuthError,
        request: Request,
        bound: BoundRule | None,
        raw: str | None = None,
        from_cookie: bool = False,
    ) -> Decision:
        """Refuse it, unless the rule only reports, or *raw* is a cookie that need not be good.

        *bound* is None where no rule was asked. Raises nothing.
        """
        if bound is not None and isinstance(error, InvalidToken):
            if from_cookie and bound.access == "optional":
                # Nobody chose to send it, and an old cookie must not lock people out.
                self.pass_over(error, request, bound, raw)
                return self.allow(request, bound)
            if isinstance(error, MalformedToken):
                error = _worse(error, request, bound)
        label = bound.label if bound else None
        try:
            where = bound or self.unruled
            if where.report_until is not None and self._clock() < where.report_until:
                refused.report(error, request, "-", label, raw, enforced=False)
                allow = self.allow(request, where)
                allow.reported = error
                return allow
            return self._answers.refusal(error, request, bound, label, raw)
        except Exception as defect:  # a request that cannot even be refused in style
            unexpected(defect)
            return Deny(Unavailable("internal_error"))

    @staticmethod
    def pass_over(error: AuthError, request: Request, bound: BoundRule, raw: str | None) -> None:
        """A bad cookie where none has to be: nobody sent it, and the log says why."""
        refused.report(error, request, "-", bound.label, raw, logging.DEBUG)


def _worse(error: MalformedToken, request: Request, bound: BoundRule) -> AuthError:
    """What is no token68 is no credentials of the scheme: 400, not 401 (RFC 6750 section 3.1)."""
    try:
        read_one(bound.explicit, request)
    except InvalidRequest as worse:
        return worse
    return error
