"""Keys as they are written down: what is taken, what is a start-up error, which one is tried."""

import base64
import logging

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519

from jwtguard import JWKSet, PublicKey, Secret, errors
from jwtguard.core import Fetch
from jwtguard.core.errors import FetchError
from jwtguard.core.keyloader import (
    Key,
    KeySet,
    SeveralSources,
    as_source,
    parse_jwk_set,
)
from jwtguard.core.verifier import verify_jws
from jwtguard.testing import private_key, public_jwk, sign

from .forge import CLAIMS, HEADER, OTHER_SECRET, SECRET, b64, make_guard, token

RSA = private_key("RS256")
EC = private_key("ES256")
OKP = private_key("Ed25519")


def pem(key):
    public = key if hasattr(key, "public_bytes") else key.public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


BINARY = bytes(range(200, 248))
GOOD_SECRETS = {
    "utf8 text": (SECRET.decode(), "utf8", SECRET),
    "utf8 bytes": (SECRET, "utf8", SECRET),
    "utf8 keeps white space": (f" {SECRET.decode()}\n", "utf8", b" " + SECRET + b"\n"),
    "utf8 beyond ASCII": ("é" * 16, "utf8", "é".encode() * 16),
    "hex": (BINARY.hex(), "hex", BINARY),
    "hex in capitals": (BINARY.hex().upper(), "hex", BINARY),
    "hex as bytes": (BINARY.hex().encode(), "hex", BINARY),
    "hex with a newline": (BINARY.hex() + "\n", "hex", BINARY),
    "base64": (base64.b64encode(BINARY).decode(), "base64", BINARY),
    "base64 with padding": (base64.b64encode(BINARY[:35]).decode(), "base64", BINARY[:35]),
    "base64url": (b64(BINARY), "base64url", BINARY),
    "base64url with padding": (b64(BINARY[:34]) + "==", "base64url", BINARY[:34]),
}


@pytest.mark.parametrize(("value", "encoding", "material"), GOOD_SECRETS.values(), ids=GOOD_SECRETS)
def test_a_secret_in_every_encoding(value, encoding, material):
    secret = Secret(value, encoding)
    assert list(secret.problems) == []
    assert [key.material for key in secret.current().keys] == [material]
    assert make_guard(keys=secret).verify(token(key=material))


# (arguments, part of the message)
BAD_SECRETS = {
    "empty": (("",), "empty"),
    "empty bytes": ((b"",), "empty"),
    "empty hex": (("", "hex"), "empty"),
    "empty base64": (("", "base64"), "empty"),
    "blank base64url": ((" \n", "base64url"), "empty"),
    "31 bytes": (("x" * 31,), "31 bytes; HS256 needs at least 32"),
    "hex of odd length": (("abc", "hex"), "even number of hexadecimal digits"),
    "hex with other letters": (("zz" * 32, "hex"), "hexadecimal"),
    "hex not ASCII": (("é" * 64, "hex"), "hexadecimal"),
    "hex with 0x": (("0x" + "ab" * 32, "hex"), "hexadecimal"),
    "base64 without padding": ((b64(BINARY[:35]), "base64"), "base64 with padding"),
    "base64 with another alphabet": (("-_" * 32, "base64"), "base64 with padding"),
    "base64 with a space": ((f"{'A' * 32} {'A' * 32}", "base64"), "base64 with padding"),
    "base64url with another alphabet": (("+/" * 32, "base64url"), "RFC 4648 section 5"),
    "base64url cut off": (("A" * 45, "base64url"), "RFC 4648 section 5"),
    "base64 not ASCII": (("é" * 64, "base64"), "base64"),
    "unknown encoding": (("x" * 64, "Base64"), "use one of utf8, hex, base64, base64url"),
    "encoding None": (("x" * 64, None), "use one of"),
    "a number": ((5,), "text or bytes, not int"),
    "None": ((None,), "text or bytes, not NoneType"),
    "a list": (([1, 2],), "text or bytes, not list"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_SECRETS.values(), ids=BAD_SECRETS)
def test_a_secret_that_cannot_be_used_is_a_start_up_error(arguments, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(keys=Secret(*arguments))
    assert [where for where, _ in caught.value.problems] == ["issuers[0].keys.value"]
    assert message in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_secret_outside_unicode_is_explained():
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(keys=Secret("\ud800" * 40))
    assert "codec" not in str(caught.value)


LENGTHS = {32: {"HS256"}, 47: {"HS256"}, 48: {"HS256", "HS384"}, 63: {"HS256", "HS384"}}


@pytest.mark.parametrize(("length", "served"), LENGTHS.items())
def test_a_secret_serves_hashes_up_to_its_own_length(length, served):
    """RFC 7518 section 3.2."""
    material = bytes(range(1, length + 1))
    assert Secret(material).current().keys[0].algorithms == served
    jwk = {"kty": "oct", "k": b64(material)}
    assert JWKSet(jwk).current().keys[0].algorithms == served
    with pytest.raises(errors.ConfigurationError, match="HS512 needs a secret of at least 64"):
        make_guard(algorithms=["HS512"], keys=Secret(material))


def test_short_keys_pass_only_behind_their_switch(caplog):
    caplog.set_level(logging.WARNING)
    guard = make_guard(keys=Secret("short", insecure_short_keys=True))
    assert guard.verify(token(key=b"short"))
    assert "insecure_short_keys" in caplog.text
    assert "people" in caplog.text
    jwk = {"kty": "oct", "k": b64(b"short")}
    assert JWKSet(jwk).problems
    assert make_guard(keys=JWKSet(jwk, insecure_short_keys=True)).verify(token(key=b"short"))
    both = [Secret(SECRET), Secret("tiny", insecure_short_keys=True)]
    caplog.clear()
    make_guard(keys=both)
    assert "insecure_short_keys" in caplog.text


@pytest.mark.parametrize("kid", ["", "k" * 257, 5, b"k", ["k"]])
def test_a_key_id_is_a_short_text(kid):
    for source in (Secret(SECRET, kid=kid), PublicKey.from_pem(pem(RSA), kid=kid)):
        assert [where for where, _ in source.problems] == ["kid"]
    assert JWKSet(public_jwk(RSA) | {"kid": kid}).problems


def test_the_longest_key_id_is_found():
    secret = Secret(SECRET, kid="k" * 256)
    assert make_guard(keys=secret).verify(token(HEADER | {"kid": "k" * 256}))


GOOD_PEMS = {"RSA": RSA, "P-256": EC, "Ed25519": OKP, "Ed448": private_key("Ed448")}


@pytest.mark.parametrize(("kind", "key"), GOOD_PEMS.items(), ids=GOOD_PEMS)
def test_a_public_key_in_pem(kind, key):
    for text in (pem(key), pem(key).encode(), f"# comment\n{pem(key)}\n"):
        source = PublicKey.from_pem(text, kid="k")
        assert list(source.problems) == []
        assert [(k.kind, k.kid) for k in source.current().keys] == [(kind, "k")]


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


BAD_PEMS = {
    "private": (private_pem(RSA), "private key"),
    "private first": (private_pem(RSA) + pem(RSA), "private key"),
    "no PEM": ("hello", "not a public key in PEM"),
    "empty": ("", "not a public key in PEM"),
    "broken": (pem(RSA).replace("M", "!"), "not a public key in PEM"),
    "broken certificate": (
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "not a public key in PEM",
    ),
    "P-224": (pem(ec.generate_private_key(ec.SECP224R1())), "no JWT algorithm uses"),
    "brainpool": (pem(ec.generate_private_key(ec.BrainpoolP256R1())), "no JWT algorithm uses"),
    "DSA": (pem(dsa.generate_private_key(2048)), "no JWT algorithm uses"),
    "X25519": (pem(x25519.X25519PrivateKey.generate()), "no JWT algorithm uses"),
}


@pytest.mark.parametrize(("text", "message"), BAD_PEMS.values(), ids=BAD_PEMS)
def test_a_pem_that_cannot_be_used_is_a_start_up_error(text, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(algorithms=["RS256"], keys=PublicKey.from_pem(text))
    assert [where for where, _ in caught.value.problems] == ["issuers[0].keys.pem"]
    assert message in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, [], "\ud800"])
def test_a_pem_that_is_no_text_is_a_start_up_error(text):
    with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\]\.keys\.pem"):
        make_guard(algorithms=["RS256"], keys=PublicKey.from_pem(text))


NOT_A_SET = {
    "None": None,
    "text": "{}",
    "list": [public_jwk(RSA)],
    "no keys": {},
    "keys None": {"keys": None},
    "keys object": {"keys": public_jwk(RSA)},
    "keys text": {"keys": "x"},
}


@pytest.mark.parametrize("mapping", NOT_A_SET.values(), ids=NOT_A_SET)
def test_what_is_no_jwk_set_is_a_start_up_error(mapping):
    with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\].keys.jwks: .*RFC 7517"):
        make_guard(algorithms=["RS256"], keys=JWKSet(mapping))


_n = public_jwk(RSA)["n"]
_x = public_jwk(EC)["x"]
# (JWK, part of the note): each is left out of a set, and a set of only these is unusable.
BAD_JWKS = {
    "number": (5, "not an object"),
    "None": (None, "not an object"),
    "text": ("x", "not an object"),
    "no kty": ({"n": _n, "e": "AQAB"}, ""),
    "kty None": (public_jwk(RSA, kty=None), ""),
    "kty list": (public_jwk(RSA, kty=["RSA"]), ""),
    "kty unknown": (public_jwk(RSA, kty="AKP"), "not a valid JWK of type 'AKP'"),
    "kty lower case": (public_jwk(RSA, kty="rsa"), "not a valid JWK"),
    "kid number": (public_jwk(RSA, kid=1), "kid"),
    "use enc": (public_jwk(RSA, use="enc"), "use 'enc'"),
    "use None": (public_jwk(RSA, use=None), "use"),
    "use list": (public_jwk(RSA, use=["sig"]), "use"),
    "key_ops sign": (public_jwk(RSA, key_ops=["sign"]), "key_ops"),
    "key_ops empty": (public_jwk(RSA, key_ops=[]), "key_ops"),
    "key_ops text": (public_jwk(RSA, key_ops="verify"), "key_ops"),
    "key_ops None": (public_jwk(RSA, key_ops=None), "key_ops"),
    "alg none": (public_jwk(RSA, alg="none"), "'none' is not a signature algorithm"),
    "alg for encryption": (public_jwk(RSA, alg="RSA-OAEP"), "not a signature algorithm"),
    "alg list": (public_jwk(RSA, alg=["RS256"]), "not a signature algorithm"),
    "alg lower case": (public_jwk(RSA, alg="rs256"), "not a signature algorithm"),
    "alg of another type": (public_jwk(RSA, alg="ES256"), "do not fit alg 'ES256'"),
    "alg of another curve": (public_jwk(EC, alg="ES384"), "do not fit alg 'ES384'"),
    "HMAC alg on RSA": (public_jwk(RSA, alg="HS256"), "do not fit alg 'HS256'"),
    "RSA alg on oct": ({"kty": "oct", "k": b64(BINARY), "alg": "RS256"}, "do not fit"),
    "private d": (public_jwk(RSA, d="AQAB"), "private key"),
    "private p": (public_jwk(RSA, p="AQAB"), "private key"),
    "private EC": (public_jwk(EC, d=_x), "private key"),
    "RSA without n": ({"kty": "RSA", "e": "AQAB"}, "not a valid JWK"),
    "RSA n number": (public_jwk(RSA, n=5), "not a valid JWK"),
    "RSA n empty": (public_jwk(RSA, n=""), "not a valid JWK"),
    "RSA n with padding": (public_jwk(RSA, n=_n + "="), "not a valid JWK"),
    "RSA n with a newline": (public_jwk(RSA, n=_n + "\n"), "not a valid JWK"),
    "RSA n not ASCII": (public_jwk(RSA, n="é"), "not a valid JWK"),
    "RSA n surrogate": (public_jwk(RSA, n="\ud800"), "not a valid JWK"),
    "RSA e = 1": (public_jwk(RSA, e="AQ"), ""),
    "RSA e = 2": (public_jwk(RSA, e="Ag"), ""),
    "RSA e = 0": (public_jwk(RSA, e="AA"), ""),
    "RSA e even": (public_jwk(RSA, e="AQAA"), ""),
    "RSA e = n": (public_jwk(RSA, e=_n), ""),
    "EC off the curve": (public_jwk(EC, y=_x), "not a valid JWK"),
    "EC point at infinity": (public_jwk(EC, x=b64(bytes(32)), y=b64(bytes(32))), "not a valid"),
    "EC x too short": (public_jwk(EC, x="AA"), "not a valid JWK"),
    "EC curve unknown": (public_jwk(EC, crv="P-192"), "not a valid JWK"),
    "EC curve list": (public_jwk(EC, crv=["P-256"]), "not a valid JWK"),
    "EC without y": ({"kty": "EC", "crv": "P-256", "x": _x}, "not a valid JWK"),
    "EC other curve": (public_jwk(EC, crv="P-384"), "not a valid JWK"),
    "OKP X25519": ({"kty": "OKP", "crv": "X25519", "x": b64(BINARY[:32])}, ""),
    "OKP too short": (public_jwk(OKP, x="AA"), "not a valid JWK"),
    "OKP curve list": (public_jwk(OKP, crv=[]), "not a valid JWK"),
    "oct k number": ({"kty": "oct", "k": 5}, "not a valid JWK"),
    "oct k None": ({"kty": "oct", "k": None}, "not a valid JWK"),
    "oct without k": ({"kty": "oct"}, "not a valid JWK"),
    "oct empty": ({"kty": "oct", "k": ""}, ""),
    "oct short": ({"kty": "oct", "k": b64(b"x" * 31)}, "size"),
    "oct short for its alg": ({"kty": "oct", "k": b64(SECRET), "alg": "HS512"}, "size"),
    "oct with standard alphabet": ({"kty": "oct", "k": "+/" * 32}, "not a valid JWK"),
    "names that are no text": ({5: 6, "kty": "RSA"}, "not a valid JWK"),
}


@pytest.mark.parametrize(("jwk", "note"), BAD_JWKS.values(), ids=BAD_JWKS)
def test_a_bad_key_is_left_out_and_the_good_one_beside_it_works(jwk, note, caplog):
    good = public_jwk(RSA, kid="good")
    source = JWKSet({"keys": [jwk, good]})
    assert list(source.problems) == []
    assert [key.kid for key in source.current().keys] == ["good"]
    assert "keys[0]" in caplog.text
    assert note in caplog.text
    alone = JWKSet({"keys": [jwk]})
    assert [where for where, _ in alone.problems] == ["jwks"]
    assert "no usable key" in alone.problems[0][1]


def test_an_empty_set_is_a_start_up_error():
    for keys in (JWKSet({"keys": []}), JWKSet({"keys": [], "other": 1})):
        assert "it is empty" in keys.problems[0][1]
    with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\].keys: hold no key"):
        make_guard(keys=[])


def test_a_single_jwk_is_a_set_of_one():
    assert len(JWKSet(public_jwk(EC)).current()) == 1


@pytest.mark.parametrize("members", [{"use": "sig"}, {"key_ops": ["verify"]}, {"alg": "RS256"}])
def test_members_that_fit_change_nothing(members):
    keys = JWKSet(public_jwk(RSA, **members))
    assert verify_jws(sign(CLAIMS, RSA, "RS256"), keys, ["RS256"])


def test_a_symmetric_key_in_a_fetched_set_is_refused():
    secret = {"kty": "oct", "k": b64(SECRET), "kid": "s"}
    keys, notes = parse_jwk_set({"keys": [secret, public_jwk(RSA)]}, symmetric=False)
    assert [key.kind for key in keys.keys] == ["RSA"]
    assert "symmetric" in notes[0]


def test_a_key_id_that_stands_twice_is_disabled():
    """wycheproof DuplicateKid; the token that names it finds no key, one without kid another."""
    pair = [public_jwk(private_key("ES256"), kid="twice") for _ in range(2)]
    source = JWKSet({"keys": [*pair, public_jwk(EC, kid="once"), public_jwk(OKP)]})
    assert {key.kid for key in source.current().keys} == {"once", None}
    assert source.current().disabled == {"twice"}
    with pytest.raises(errors.KeyNotFound):
        verify_jws(sign(CLAIMS, EC, "ES256", {"kid": "twice"}), source, ["ES256"])
    assert verify_jws(sign(CLAIMS, EC, "ES256", {"kid": "once"}), source, ["ES256"])
    assert verify_jws(sign(CLAIMS, EC, "ES256"), source, ["ES256"])


def test_a_bad_key_spoils_the_key_id_it_shares():
    source = JWKSet({"keys": [public_jwk(EC, kid="k"), public_jwk(RSA, kid="k", use="enc")]})
    assert source.problems


# --- which key ----------------------------------------------------------------------------------


def secrets(count, kid=None):
    return [(f"{n:03d}" * 11).encode() for n in range(count)]


def test_a_token_that_names_its_key_gets_that_key_only():
    a, b = secrets(2)
    keys = [Secret(a, kid="a"), Secret(b, kid="b")]
    guard = make_guard(keys=keys)
    assert guard.verify(token(HEADER | {"kid": "a"}, key=a))
    with pytest.raises(errors.BadSignature):
        guard.verify(token(HEADER | {"kid": "a"}, key=b))
    with pytest.raises(errors.KeyNotFound):
        guard.verify(token(HEADER | {"kid": "c"}, key=a))
    assert guard.verify(token(key=b))


def test_a_token_with_an_unknown_key_id_gets_the_keys_without_one():
    a, b = secrets(2)
    guard = make_guard(keys=[Secret(a, kid="a"), Secret(b)])
    assert guard.verify(token(HEADER | {"kid": "unknown"}, key=b))
    with pytest.raises(errors.BadSignature):
        guard.verify(token(HEADER | {"kid": "unknown"}, key=a))
    with pytest.raises(errors.BadSignature):
        guard.verify(token(HEADER | {"kid": "a"}, key=b))


def test_a_known_key_id_never_leads_to_another_key():
    keys = JWKSet({"keys": [public_jwk(EC, kid="k"), public_jwk(RSA)]})
    with pytest.raises(errors.KeyNotFound):
        verify_jws(sign(CLAIMS, RSA, "RS256", {"kid": "k"}), keys, ["RS256"])
    assert verify_jws(sign(CLAIMS, RSA, "RS256"), keys, ["RS256"])


def test_at_most_eight_keys_are_tried():
    ten = secrets(10)
    guard = make_guard(keys=[Secret(s) for s in ten])
    assert guard.verify(token(key=ten[7]))
    with pytest.raises(errors.BadSignature) as caught:
        guard.verify(token(key=ten[8]))
    assert caught.value.want == "HS256, keys tried: 8"


def test_a_key_knows_itself_by_what_it_is():
    one = JWKSet(public_jwk(RSA, kid="a")).current().keys[0]
    same = JWKSet(public_jwk(RSA, kid="a")).current().keys[0]
    other = JWKSet(public_jwk(RSA, kid="b")).current().keys[0]
    assert one == same
    assert hash(one) == hash(same)
    assert one not in (other, Key(SECRET, "oct", frozenset({"HS256"})), "a")
    assert repr(one) == "<Key kid='a' kind=RSA>"
    assert same in KeySet([one])
    assert SECRET.decode() not in repr(Secret(SECRET)) + repr(Secret(SECRET).current().keys)


# --- several sources ----------------------------------------------------------------------------


def test_one_source_in_a_list_is_that_source():
    secret = Secret(SECRET)
    assert as_source(secret) is secret
    assert as_source([secret]) is secret


def test_several_sources_are_one_set_until_one_changes():
    class Changing(Secret):
        def turn(self, value):
            self._keys = Secret(value).current()

    changing = Changing(SECRET)
    several = SeveralSources([changing, Secret(OTHER_SECRET)])
    before = several.current()
    assert several.current() is before
    assert len(before) == 2
    changing.turn(b"x" * 32)
    after = several.current()
    assert [key.material for key in after.keys] == [b"x" * 32, OTHER_SECRET]
    assert several.current() is after


def test_problems_of_several_sources_are_placed():
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(keys=[Secret(SECRET), Secret("short"), PublicKey.from_pem("x")])
    places = [where for where, _ in caught.value.problems]
    assert places == ["issuers[0].keys[1].value", "issuers[0].keys[2].pem"]


class Asked:
    """A key source that has to ask; what it is told comes from the test."""

    local = False
    problems = ()

    def __init__(self):
        self.keys = KeySet()
        self.lookups = []

    def current(self):
        return self.keys

    def lookup(self, algorithm, kid):
        self.lookups.append((algorithm, kid))
        self.keys = yield Fetch("https://issuer.test/jwks")


def test_a_key_that_is_not_at_hand_is_asked_for_once():
    source = Asked()
    guard = make_guard(algorithms=["ES256"], keys=source)
    raw = sign(CLAIMS, EC, "ES256", {"kid": "k"})

    flow = guard.verify_flow(raw)
    assert next(flow).url == "https://issuer.test/jwks"
    with pytest.raises(StopIteration) as stop:
        flow.send(JWKSet(public_jwk(EC, kid="k")).current())

    assert stop.value.value.subject == "alice"
    assert source.lookups == [("ES256", "k")]
    assert guard.verify(raw).subject == "alice"
    assert guard.verify(sign(CLAIMS | {"sub": "b"}, EC, "ES256", {"kid": "k"})).subject == "b"


def test_an_answer_without_the_key_is_key_not_found():
    flow = make_guard(algorithms=["ES256"], keys=Asked()).verify_flow(sign(CLAIMS, EC, "ES256"))
    next(flow)
    with pytest.raises(errors.KeyNotFound):
        flow.send(KeySet())


def test_keys_that_cannot_be_had_are_503_and_never_a_401():
    guard = make_guard(algorithms=["ES256"], keys=Asked())
    flow = guard.verify_flow(sign(CLAIMS, EC, "ES256"))
    next(flow)
    with pytest.raises(errors.KeysUnavailable) as caught:
        flow.throw(FetchError("connection refused"))
    assert caught.value.status == 503
    with pytest.raises(errors.KeysUnavailable):  # the default has nobody to ask
        guard.verify(sign(CLAIMS, EC, "ES256"))


@pytest.mark.parametrize(
    "raw",
    [
        "garbage",
        sign(CLAIMS | {"iss": "https://evil.test"}, EC, "ES256"),
        sign(CLAIMS, RSA, "RS256"),
        sign(CLAIMS | {"exp": 1}, EC, "ES256"),
        sign(CLAIMS | {"aud": "other"}, EC, "ES256"),
        sign(CLAIMS | {"sub": 5}, private_key("ES384"), "ES384"),
        sign(CLAIMS | {"cnf": {}}, EC, "ES256"),
        sign(CLAIMS, EC, "ES256", {"typ": "dpop+jwt"}),
    ],
)
def test_a_token_that_could_never_pass_asks_for_no_key(raw):
    source = Asked()
    with pytest.raises(errors.InvalidToken):
        make_guard(algorithms=["ES256"], keys=source).verify(raw)
    assert source.lookups == []


def test_several_sources_are_asked_in_turn():
    first, second = Asked(), Asked()
    guard = make_guard(algorithms=["ES256"], keys=[first, second])
    flow = guard.verify_flow(sign(CLAIMS, EC, "ES256", {"kid": "k"}))
    next(flow)
    flow.send(KeySet())
    with pytest.raises(StopIteration):
        flow.send(JWKSet(public_jwk(EC, kid="k")).current())
    assert (first.lookups, second.lookups) == ([("ES256", "k")], [("ES256", "k")])
    flow = guard.verify_flow(sign(CLAIMS, EC, "ES256", {"kid": "nobody's"}))
    next(flow)
    flow.send(KeySet())
    with pytest.raises(errors.KeyNotFound):
        flow.send(KeySet())


def test_hs_with_fetched_keys_is_a_start_up_error():
    with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\].algorithms: HS\* needs"):
        make_guard(algorithms=["RS256", "HS256"], keys=[Secret(SECRET), Asked()])


def test_the_switch_for_short_keys_is_true_or_false():
    for source in (Secret(SECRET, insecure_short_keys="no"), Secret("x", insecure_short_keys=1)):
        assert [where for where, _ in source.problems] == ["insecure_short_keys"]


def test_only_the_sources_that_must_ask_are_asked():
    source = Asked()
    guard = make_guard(algorithms=["ES256"], keys=[JWKSet(public_jwk(EC, kid="a")), source])
    assert guard.verify(sign(CLAIMS, EC, "ES256", {"kid": "a"}))
    flow = guard.verify_flow(sign(CLAIMS, EC, "ES256", {"kid": "b"}))
    next(flow)
    with pytest.raises(errors.KeyNotFound):
        flow.send(KeySet())
    assert source.lookups == [("ES256", "b")]


OCT = {"kty": "oct", "alg": "HS256", "kid": "s", "k": b64(SECRET)}
MIXED = {
    "public EC": public_jwk(EC, kid="e"),
    "public RSA": public_jwk(RSA, kid="r"),
    "private EC": public_jwk(EC, kid="e", d=_x),
    "for encryption": public_jwk(RSA, kid="r", use="enc"),
}


@pytest.mark.parametrize("other", MIXED.values(), ids=MIXED)
def test_a_set_that_mixes_a_secret_with_other_keys_is_refused(other):
    """wycheproof MixedKeySet: what stands beside public keys is soon published with them."""
    for entries in ([OCT, other], [other, OCT]):
        with pytest.raises((errors.ConfigurationError, errors.InvalidToken)):
            verify_jws(token(HEADER | {"kid": "s"}), JWKSet({"keys": entries}), ["HS256"])
    several = [JWKSet(OCT), JWKSet(public_jwk(EC, kid="e"))]
    assert verify_jws(token(HEADER | {"kid": "s"}), several, ["HS256"])


def test_a_set_of_too_many_keys_is_not_read():
    entry = {"kty": "EC"}
    with pytest.raises(ValueError, match="at most 10000 are read"):
        parse_jwk_set({"keys": [entry] * 10_001}, symmetric=False)
    assert len(parse_jwk_set({"keys": [entry] * 10_000}, symmetric=False)[1]) == 10_000


def test_an_rsa_exponent_that_makes_checks_slow_is_refused():
    numbers = private_key("RS256").public_key().public_numbers()

    def jwk(exponent):
        size = (exponent.bit_length() + 7) // 8
        members = {"n": numbers.n.to_bytes(256), "e": exponent.to_bytes(size)}
        coded = {k: base64.urlsafe_b64encode(v).rstrip(b"=").decode() for k, v in members.items()}
        return {"keys": [{"kty": "RSA", **coded}]}

    assert parse_jwk_set(jwk(65537), symmetric=False)[0].keys
    keys, notes = parse_jwk_set(jwk(2**64 + 1), symmetric=False)
    assert (keys.keys, "exponent" in notes[0]) == ((), True)
