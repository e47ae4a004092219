# pyright: strict
"""A door of one's own, without and with an event loop, and views that want a token."""

from collections.abc import Mapping
from typing import Any, assert_type

from jwtguard import Guard, Requirement, VerifiedToken, drive, errors
from jwtguard.core import Allow, Deny, Fetch, Fetched, Flow, Request
from jwtguard.requires import judge, mark, published_token, requirement_from
from jwtguard.transport import for_loops, for_threads


class Headers:
    """Where a framework keeps its headers."""

    def get_all(self, name: str) -> list[str]:
        return []


def read() -> Request:
    return Request(
        "GET",
        "/a",
        raw_path="/a?b",
        query="b",
        headers=Headers(),
        scheme="https",
        client=None,
        websocket=False,
        mount="/m",
    )


def ask(fetch: Fetch) -> Fetched:
    if fetch.method != "GET":
        raise errors.FetchError(f"{fetch.url} was not asked")
    return Fetched(200, {"content-type": "application/json"}, b"{}")


async def aask(fetch: Fetch) -> Fetched:
    return ask(fetch)


def door(guard: Guard) -> tuple[int, list[tuple[str, str]], bytes]:
    decision = guard.judge(read())
    if not isinstance(decision, (Allow, Deny)):
        decision = drive.run(decision, *for_threads(guard, None, ask))
    if isinstance(decision, Deny):
        return decision.status, list(decision.headers), decision.body
    assert_type(decision.token, VerifiedToken | None)
    assert_type(decision.remove, frozenset[str])
    assert_type(decision.set, list[tuple[str, str]])
    assert_type(decision.query, str | None)
    assert_type(decision.variables, Mapping[str, str])
    assert_type(decision.remote_user, str | None)
    assert_type(decision.subprotocol, str | None)
    return 200, list(guard.response_headers), b""


async def adoor(guard: Guard) -> Allow | Deny:
    decision = guard.judge(read(), is_public=lambda: False)
    if not isinstance(decision, (Allow, Deny)):
        decision = await drive.arun(decision, *for_loops(guard, None, aask))
    assert_type(decision, Allow | Deny)
    return decision


def shortest(guard: Guard) -> Allow | Deny:
    return guard.decide(Request("GET", "/", headers=[("Authorization", "Bearer x")]))


async def ashortest(guard: Guard) -> Allow | Deny:
    return await guard.adecide(read())


def by_hand(flow: Flow[Allow | Deny]) -> Allow | Deny:
    return drive.run(flow)


def view(published: Mapping[str, Any], wanted: Requirement) -> Deny | None:
    assert_type(published_token(published), VerifiedToken | None)
    mark(view, requirement_from(None, {"scopes": "a"}))
    return judge(wanted, published, read(), {"id": 1}, "view")
