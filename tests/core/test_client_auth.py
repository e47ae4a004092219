"""How we prove to a server who we are: every byte of it."""

import base64
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwtguard import Guard, Introspection, Issuer, drive
from jwtguard.core import Fetched
from jwtguard.core.client_auth import ClientAuthentication

FORM = {"token": "a+b"}
AUDIENCE = "https://issuer.test/"
NOW = 1_800_000_000.9


def pem(key, encryption=None, form=PrivateFormat.PKCS8):
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


RSA = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "EdDSA with Ed448": ed448.Ed448PrivateKey.generate(),
}


def client(client_id="app", secret=None, key=None, method="client_secret_basic"):
    return ClientAuthentication(client_id, secret, key, method)


# --- client_secret_basic (RFC 6749 section 2.3.1) -----------------------------------------------

BASIC = [
    ("app", "secret", b"app:secret"),
    ("a:b", "c:d", b"a%3Ab:c%3Ad"),
    ("https://app.test/?a=b&c", "p@ss word+/=%~", b"https%3A%2F%2Fapp.test%2F%3Fa%3Db%26c:"
     b"p%40ss+word%2B%2F%3D%25~"),
    ("äpp", "€", b"%C3%A4pp:%E2%82%AC"),
    ("a", "\r\nX: y", b"a:%0D%0AX%3A+y"),
    ("a", "\x00", b"a:%00"),
]  # fmt: skip


@pytest.mark.parametrize(("client_id", "secret", "pair"), BASIC)
def test_basic_form_encodes_both(client_id, secret, pair):
    made = client(client_id, secret)
    assert made.problems == ()

    headers, form = made.prove(FORM, AUDIENCE, NOW)

    assert headers == {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    assert form == FORM
    assert form is not FORM
    decoded = base64.b64decode(headers["Authorization"][6:]).decode().split(":")
    assert [unquote_plus(part) for part in decoded] == [client_id, secret]


def test_post_puts_both_into_the_form():
    headers, form = client("a:b", "c +&=", method="client_secret_post").prove(FORM, AUDIENCE, NOW)
    assert headers == {}
    assert form == {"token": "a+b", "client_id": "a:b", "client_secret": "c +&="}


# --- private_key_jwt (RFC 7523) -----------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("as_text", [True, False])
def test_an_assertion_is_verified_by_pyjwt(name, as_text):
    text = pem(KEYS[name])
    made = client(key=text if as_text else text.encode(), method="private_key_jwt")
    assert made.problems == ()

    headers, form = made.prove(FORM, AUDIENCE, NOW)

    assert headers == {}
    assert form.keys() == {"token", "client_id", "client_assertion_type", "client_assertion"}
    assert form["client_id"] == "app"
    assert form["client_assertion_type"] == (
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
    algorithm = name.partition(" ")[0]
    read = jwt.decode_complete(
        form["client_assertion"],
        KEYS[name].public_key(),
        algorithms=[algorithm],
        audience=AUDIENCE,
        issuer="app",
        options={"verify_exp": False, "verify_iat": False, "require": ["exp", "jti", "sub"]},
    )
    assert read["header"] == {"alg": algorithm, "typ": "JWT"}
    claims = read["payload"]
    assert claims["sub"] == "app"
    assert (claims["iat"], claims["exp"]) == (1_800_000_000, 1_800_000_060)
    assert type(claims["iat"]) is int
    assert len(claims["jti"]) >= 22  # 128 bits


def test_no_two_assertions_have_one_jti():
    made = client(key=pem(KEYS["ES256"]), method="private_key_jwt")
    proofs = [made.prove(FORM, AUDIENCE, NOW)[1]["client_assertion"] for _ in range(20)]
    read = [jwt.decode(one, options={"verify_signature": False})["jti"] for one in proofs]
    assert len(set(read)) == 20


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
@pytest.mark.parametrize("name", ["RS256", "ES256"])
def test_either_form_of_pem_is_read(name, form):
    assert client(key=pem(KEYS[name], form=form), method="private_key_jwt").problems == ()


def audience_for(iss, **words):
    introspection = Introspection(
        "https://issuer.test/i",
        client_id="app",
        private_key=pem(KEYS["ES256"]),
        method="private_key_jwt",
    )
    issuer = Issuer(
        iss, audience=None, algorithms=(), keys=None, introspection=introspection, **words
    )
    seen = []

    def fetch(wish):
        seen.append(dict(pair.split("=") for pair in wish.body.decode().split("&")))
        return Fetched(200, {}, b'{"active": true, "exp": 99999999999, "iss": "https://x/a/"}')

    drive.run(Guard([issuer]).verify_flow("opaque"), fetch)
    [sent] = seen
    return jwt.decode(sent["client_assertion"], options={"verify_signature": False})["aud"]


def test_an_assertion_is_for_the_issuer_or_else_the_endpoint():
    assert audience_for("https://x/a/") == "https://x/a/"
    assert audience_for(None, any_iss=True) == "https://issuer.test/i"
    # A template is nobody's name.
    assert audience_for("https://x/{tenant}/", tenants=["a"]) == "https://issuer.test/i"


# --- start-up -----------------------------------------------------------------------------------

GOOD_KEY = pem(KEYS["ES256"])
SMALL = pem(rsa.generate_private_key(65537, 1024))
PASSPHRASE = pem(RSA, BestAvailableEncryption(b"x"))
PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
UNFIT = "is RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519 or Ed448"
NO_PEM = "is not a private key in PEM without a passphrase"
SIGNS = "private_key_jwt"

PROBLEMS = {
    "no client_id": ({"client_id": ""}, "client_id", "is text, the name of this service"),
    "client_id None": ({"client_id": None}, "client_id", "found None"),
    "client_id bytes": ({"client_id": b"app"}, "client_id", "is text"),
    "client_id that UTF-8 cannot write": ({"client_id": "a\udcff"}, "client_id", "UTF-8"),
    "no secret": ({"secret": None}, "client_secret", "is missing"),
    "an empty secret": ({"secret": ""}, "client_secret", "is empty"),
    "a secret of bytes": ({"secret": b"SECRET"}, "client_secret", "is a bytes"),
    "a secret that UTF-8 cannot write": ({"secret": "SECRET\udcff"}, "client_secret", "UTF-8"),
    "no secret to post": (
        {"secret": None, "method": "client_secret_post"}, "client_secret", "client_secret_post"),
    "an unknown method": ({"method": "client_secret_jwt"}, "method", "is not one of"),
    "a method with a slip": ({"method": "client_secret_bsic"}, "method", "did you mean"),
    "a method that is no text": ({"method": ["client_secret_basic"]}, "method", "is not one of"),
    "a key beside a secret": ({"key": GOOD_KEY}, "private_key", "'private_key_jwt'"),
    "a secret beside a key": (
        {"method": SIGNS, "key": GOOD_KEY}, "client_secret", "is not used by private_key_jwt"),
    "no key": ({"method": SIGNS, "secret": None}, "private_key", "give PEM text"),
    "a key that is a number": ({"method": SIGNS, "secret": None, "key": 5}, "private_key",
                               "is PEM text; found int"),
    "a key that is no PEM": ({"method": SIGNS, "secret": None, "key": "SECRET"}, "private_key",
                             NO_PEM),
    "an empty key": ({"method": SIGNS, "secret": None, "key": ""}, "private_key", NO_PEM),
    "a key that UTF-8 cannot write": (
        {"method": SIGNS, "secret": None, "key": "\udcff"}, "private_key", NO_PEM),
    "a truncated key": (
        {"method": SIGNS, "secret": None, "key": GOOD_KEY[:80]}, "private_key", NO_PEM),
    "a key with a passphrase": (
        {"method": SIGNS, "secret": None, "key": PASSPHRASE}, "private_key", NO_PEM),
    "a public key": ({"method": SIGNS, "secret": None, "key": PUBLIC}, "private_key", NO_PEM),
    "a small RSA key": ({"method": SIGNS, "secret": None, "key": SMALL}, "private_key", UNFIT),
    "secp256k1": (
        {"method": SIGNS, "secret": None, "key": pem(ec.generate_private_key(ec.SECP256K1()))},
        "private_key", UNFIT),
    "X25519": (
        {"method": SIGNS, "secret": None, "key": pem(x25519.X25519PrivateKey.generate())},
        "private_key", UNFIT),
    "DSA": (
        {"method": SIGNS, "secret": None, "key": pem(dsa.generate_private_key(2048))},
        "private_key", UNFIT),
}  # fmt: skip


@pytest.mark.parametrize(("words", "place", "what"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_client_that_could_prove_nothing_is_a_problem(words, place, what):
    made = client(**({"secret": "SECRET-TEXT"} | words))
    [(where, said)] = made.problems
    assert where == place
    assert what in said
    assert "SECRET" not in said.replace("client_SECRET", "")
    assert "BEGIN" not in said


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_the_representation_names_the_client_only(method):
    secret, key = (None, GOOD_KEY) if method == "private_key_jwt" else ("SECRET", None)
    made = client("app", secret, key, method)
    assert repr(made) == f"<ClientAuthentication 'app' {method}>"
