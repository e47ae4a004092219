"""A defect, of ours or of what a user put in, is a 503 that tells nothing."""

from jwtguard import Revocations

from .people import Provider, browser, sign_in

SECRET = "what it choked on"


class Broken(Revocations):
    """Revocations of a user's own, with a defect."""

    def revoke_flow(self, *args, **words):
        yield from ()
        raise KeyError(SECRET)


def is_told(seen, logged):
    assert (seen.status, seen.location, seen.cookies) == (503, None, [])
    assert b"internal" not in seen.body
    assert SECRET not in repr(seen)
    found = [line for line in logged if line.startswith("unexpected KeyError")]
    assert found
    assert not any(SECRET in line for line in logged)
    logged[:] = [line for line in logged if line not in found]


def test_a_defect_at_a_path_of_the_login_is_a_503(logged):
    provider = Provider()
    alice = browser(provider, revocations=Broken(clock=provider.clock))
    sign_in(alice, provider)

    is_told(alice.get("/auth/logout"), logged)


def test_a_defect_where_a_session_is_renewed_is_a_503(logged):
    provider = Provider()
    alice = browser(provider)
    sign_in(alice, provider)
    provider.clock.advance(2000)

    def renew(known, request):
        yield from ()
        raise KeyError(SECRET)

    alice.guard.site.renew = renew

    is_told(alice.get("/page"), logged)
