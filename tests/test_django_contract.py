"""The contract table through the Django door, sync and async."""

import logging
from dataclasses import replace

import pytest

from .contract import CASES, GROUPS
from .django_door import DJANGO_DOORS, on_loop
from .doors import Ask
from .test_contract import _check_answer, _neighbours, check

# A row of the table that cannot reach a view through Django's ASGI handler: scopes of WebSockets
# are refused by it before any middleware, and of the mount prefix alone it makes the path "",
# which no pattern matches. Its WSGI handler takes every row.
NO_VIEW = "the mount prefix alone is /"
ROWS = [(door, name) for name in CASES for door in DJANGO_DOORS]


def has_no_view(door, case):
    return door == "django, async" and (case.websocket or case.name == NO_VIEW)


@pytest.mark.parametrize(
    ("door", "name"), [row for row in ROWS if not has_no_view(row[0], CASES[row[1]])]
)
def test_contract(door, name, caplog):
    check(CASES[name], DJANGO_DOORS[door], caplog)


def test_each_door_is_of_its_own_kind():
    for door in DJANGO_DOORS.values():
        door(CASES[NO_VIEW].guard(), CASES[NO_VIEW].ask)

    assert on_loop[-2:] == [False, True]


def test_rows_without_a_view_are_those_known():
    left_out = {name for door, name in ROWS if has_no_view(door, CASES[name])}

    assert left_out == {NO_VIEW} | {name for name, case in CASES.items() if case.websocket}


def test_the_mount_prefix_alone_is_judged_and_then_django_knows_no_page_for_it():
    case = CASES[NO_VIEW]

    answer = DJANGO_DOORS["django, async"](case.guard(), case.ask)
    closed = DJANGO_DOORS["django, async"](replace(case, rules=()).guard(), case.ask)

    assert (answer.status, closed.status) == (404, 401)


@pytest.mark.parametrize("door", DJANGO_DOORS)
@pytest.mark.parametrize("group", GROUPS)
def test_no_request_changes_the_answer_to_another(group, door, caplog):
    """Whatever a guard remembers of requests, it is nothing that another one could notice."""
    caplog.set_level(logging.DEBUG, logger="jwtguard")
    for case in GROUPS[group]:
        if has_no_view(door, case):
            continue
        guard = case.guard()
        for neighbour in _neighbours(case.ask):
            if not has_no_view(door, replace(case, websocket=neighbour.websocket)):
                DJANGO_DOORS[door](guard, neighbour, case.fetch)
        caplog.clear()
        _check_answer(case, DJANGO_DOORS[door](guard, case.ask, case.fetch), caplog)


def test_a_websocket_scope_is_django_s_to_refuse():
    """jwtguard.asgi in front of the ASGI application is what judges it."""
    with pytest.raises(ValueError, match="only handle ASGI/HTTP"):
        DJANGO_DOORS["django, async"](CASES[NO_VIEW].guard(), Ask("/x", websocket=True))
