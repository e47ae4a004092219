"""The contract table through a door that is not ours.

``pytest tests/test_own_door.py --door module:door``; without the option it is the door of
docs/adapters.md, as it stands there.
"""

import importlib
import sys
from pathlib import Path

import pytest

from jwtguard import Discovery, Guard, Introspection, Issuer, Rule
from jwtguard.testing import FakeIssuer

from .contract import CASES, bearer
from .doors import Ask
from .test_contract import check

PAGE = Path(__file__).parents[1] / "docs" / "adapters.md"


def blocks(text):
    """The Python blocks of a page that name a file, by that name."""
    for block in text.split("```python\n# ")[1:]:
        name, _, source = block.partition("```")[0].partition("\n")
        yield name, source


@pytest.fixture(scope="module")
def door(request, tmp_path_factory):
    """The door that was asked for, or that of the page."""
    named = request.config.getoption("--door")
    if named is not None:
        module, _, name = named.partition(":")
        yield getattr(importlib.import_module(module), name or "door")
        return
    folder = tmp_path_factory.mktemp("page")
    names = []
    for name, source in blocks(PAGE.read_text("utf-8")):
        (folder / name).write_text(source)
        names.append(Path(name).stem)
    assert names == ["tern", "tern_guard", "tern_door"]
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("tern_door").door
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_contract_holds(case, door, caplog):
    check(case, door, caplog)


def check_choice(door):
    """The marker's subprotocol is chosen where the app accepts without a choice."""
    idp = FakeIssuer(algorithm="ES256")
    guard = Guard([idp.trusted()], [Rule("/ws", credentials={"subprotocol": "bearer"})])
    offer = ("Sec-WebSocket-Protocol", f"bearer, {idp.token()}, chat")
    page = ("Origin", "https://api.test"), ("Host", "api.test")

    answer = door(guard, Ask("/ws", headers=(offer, *page), websocket=True))

    assert (answer.status, answer.seen.subprotocols) == (200, ["chat"])
    assert answer.subprotocol == "bearer"


def test_an_accept_without_a_choice_is_completed(door):
    check_choice(door)


ASKED = {
    "its keys": {"keys": Discovery()},
    "about every token": {
        "keys": Discovery(),
        "introspection": Introspection(client_id="api", client_secret="x", when="always"),
    },
}


@pytest.mark.parametrize("words", ASKED.values(), ids=ASKED)
def test_an_issuer_is_asked_and_an_outage_is_told(words, door):
    idp = FakeIssuer(algorithm="ES256")
    guard = Guard([Issuer(idp.issuer, audience=idp.audience, algorithms=["ES256"], **words)])
    ask = Ask("/x", headers=tuple(bearer(idp.bearer("alice")).items()))

    answer = door(guard, ask, idp.fetch)

    assert (answer.status, answer.seen.token.subject) == (200, "alice")
    idp.rotate(keep=0)
    idp.go_down()
    new = Ask("/x", headers=tuple(bearer(idp.bearer("bob")).items()))
    answer = door(guard, new, idp.fetch)
    assert (answer.status, answer.seen) == (401, None)  # too early to ask again


def test_nobody_is_let_through_while_nobody_can_be_asked(door):
    idp = FakeIssuer(algorithm="ES256")
    guard = Guard(
        [Issuer(idp.issuer, audience=idp.audience, algorithms=["ES256"], keys=Discovery())]
    )
    idp.go_down()

    answer = door(guard, Ask("/x", headers=tuple(bearer(idp.bearer()).items())), idp.fetch)

    assert (answer.status, answer.seen) == (503, None)
    assert int(answer.header("Retry-After")) > 0
