"""What the tests of signing in share: a provider, an app behind each door, two browsers."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .browser import NAMES, Browser, chromium
from .certificate import Certificate, certify
from .openid import OpenID, private_jwk, provider
from .sites import DOORS, PEOPLE, Site, Visitor, site


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Certificate:
    return certify(tmp_path_factory.mktemp("certificate"), NAMES)


@pytest.fixture(scope="session")
def people(tmp_path_factory, certificate) -> Iterator[OpenID]:
    """A provider on https that signs people in."""
    directory = tmp_path_factory.mktemp("people")
    key = private_jwk("ES256", "people")
    with provider(directory, key, certificate=certificate, people=PEOPLE, lean=False) as running:
        yield running


@pytest.fixture(scope="session", params=DOORS)
def app(request, people, certificate, tmp_path_factory) -> Iterator[Site]:
    """An app on https behind either door, with nothing unusual."""
    with site(request.param, people, tmp_path_factory.mktemp("app"), certificate) as running:
        yield running


@pytest.fixture(scope="session")
def _browsers(certificate, tmp_path_factory) -> Iterator[dict[bool, Browser]]:
    directory = tmp_path_factory.mktemp("browsers")
    with ExitStack() as stack:
        yield {
            scripts: stack.enter_context(chromium(directory, certificate, scripts=scripts))
            for scripts in (True, False)
        }


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def browser(request, _browsers) -> Browser:
    """Chromium without any cookies, with JavaScript and without."""
    found: Browser = _browsers[request.param]
    found.forget()
    return found


@pytest.fixture
def modern(_browsers) -> Browser:
    """The same with JavaScript."""
    found: Browser = _browsers[True]
    found.forget()
    return found


@pytest.fixture
def unpushed(people) -> Iterator[OpenID]:
    """The provider, while it takes no pushed authorization requests."""
    people.tell(pushed=False)
    yield people
    people.tell(pushed=True)


@pytest.fixture
def ada(app) -> Iterator[Visitor]:
    with app.visitor() as visitor:
        yield visitor


@pytest.fixture
def mallory(app) -> Iterator[Visitor]:
    with app.visitor() as visitor:
        yield visitor
