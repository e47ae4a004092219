"""Keys in files and in the environment: a problem at start-up, a new version while running."""

import json
import logging
import os

import pytest

from jwtguard import JWKSet, PublicKey, Secret, errors
from jwtguard.core.keyloader import secret_key
from jwtguard.keyfiles import KeyFile
from jwtguard.testing import private_key, public_jwk, sign

from .forge import CLAIMS, OTHER_SECRET, SECRET, make_guard, token
from .test_keys import pem

EC = private_key("ES256")

# what the file holds -> the secret in it
TEXTS = {
    "as it stands": (SECRET, SECRET),
    "newline": (SECRET + b"\n", SECRET),
    "CRLF": (SECRET + b"\r\n", SECRET),
    "one of two newlines, as text has none within": (SECRET + b"\n\n", SECRET + b"\n\n"),
    "spaces stay": (b" " + SECRET + b" \n", b" " + SECRET + b" "),
    "binary keeps its newline": (bytes(range(200, 240)) + b"\n", bytes(range(200, 240)) + b"\n"),
}


@pytest.mark.parametrize(("data", "material"), TEXTS.values(), ids=TEXTS)
def test_a_secret_in_a_file(tmp_path, data, material):
    path = tmp_path / "secret"
    path.write_bytes(data)
    for given in (path, str(path)):
        source = Secret.from_file(given)
        assert [key.material for key in source.current().keys] == [material]
    assert make_guard(keys=Secret.from_file(path)).verify(token(key=material))


def test_the_words_of_a_secret_go_for_files_too(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET.hex() + "\n")
    (key,) = Secret.from_file(path, "hex", kid="k").current().keys
    assert (key.material, key.kid) == (SECRET, "k")
    path.write_text("short")
    assert Secret.from_file(path).problems
    source = Secret.from_file(path, insecure_short_keys=True)
    assert source.insecure
    assert source.current().keys[0].material == b"short"


def test_public_keys_and_sets_in_files(tmp_path):
    key_file, set_file = tmp_path / "key.pem", tmp_path / "keys.json"
    key_file.write_text(pem(EC))
    set_file.write_text(json.dumps({"keys": [public_jwk(EC, kid="k")]}))
    raw = sign(CLAIMS, EC, "ES256", {"kid": "k"})
    for source in (PublicKey.from_file(key_file, kid="k"), JWKSet.from_file(set_file)):
        assert list(source.problems) == []
        assert make_guard(algorithms=["ES256"], keys=source).verify(raw)
        assert str(source.path) in repr(source)


# what makes the source, what the file holds (None: no file) -> part of the message
BROKEN = {
    "no secret file": (Secret.from_file, None, "No such file"),
    "empty secret": (Secret.from_file, b"", "empty"),
    "newline alone": (Secret.from_file, b"\n", "empty"),
    "short secret": (Secret.from_file, b"x", "HS256 needs at least 32"),
    "a public key": (Secret.from_file, pem(EC).encode(), "not an HMAC secret"),
    "no key file": (PublicKey.from_file, None, "No such file"),
    "no PEM": (PublicKey.from_file, b"x", "not a public key in PEM"),
    "no set file": (JWKSet.from_file, None, "No such file"),
    "no JSON": (JWKSet.from_file, b"{", "not JSON"),
    "deep JSON": (JWKSet.from_file, b"[" * 100_000, "not JSON"),
    "UTF-16 gone wrong": (JWKSet.from_file, b"\xff\xfe\x00", "not JSON"),
    "no set": (JWKSet.from_file, b"[]", "JWK Set"),
    "no usable key": (JWKSet.from_file, b'{"keys":[{}]}', "no usable key"),
}


@pytest.mark.parametrize(("make", "data", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_used_is_a_start_up_error(tmp_path, make, data, message):
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(algorithms=["HS256"], keys=make(path))
    assert [where for where, _ in caught.value.problems] == ["issuers[0].keys.file"]
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_directory_is_no_key_file(tmp_path):
    with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\]\.keys\.file: "):
        make_guard(keys=Secret.from_file(tmp_path))


@pytest.mark.parametrize("path", ["\0", "a\0b"])
def test_a_path_that_no_file_can_have_is_a_start_up_error(path):
    with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\]\.keys\.file"):
        make_guard(keys=Secret.from_file(path))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def watched(path, clock):
    return KeyFile(path, lambda data: secret_key(data, "utf8", None, False), clock=clock)


def test_a_file_is_read_again_when_it_changes(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path, clock = tmp_path / "secret", Clock()
    path.write_bytes(SECRET)
    source = watched(path, clock)
    guard = make_guard(keys=source)
    old, new = token(), token(key=OTHER_SECRET)
    assert guard.verify(old)

    path.write_bytes(OTHER_SECRET + b"2")
    path.write_bytes(OTHER_SECRET)
    os.utime(path, ns=(1, 1))
    clock.now = 0.9  # looked at once a second at most
    assert guard.verify(old)
    clock.now = 1.0
    assert guard.verify(new)
    with pytest.raises(errors.BadSignature):  # the token seen before left with its key
        guard.verify(old)
    assert "changed" in caplog.text
    assert source.current() is source.current()


@pytest.mark.parametrize("broken", [None, b"", b"short", pem(EC).encode()])
def test_a_new_version_that_cannot_be_used_keeps_the_old_keys(tmp_path, caplog, broken):
    path, clock = tmp_path / "secret", Clock()
    path.write_bytes(SECRET)
    guard = make_guard(keys=watched(path, clock))
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    clock.now = 2.0
    assert guard.verify(token())
    assert "the keys in use stay" in caplog.text
    assert caplog.text.count("the keys in use stay") == 1
    clock.now = 4.0  # said once for each version
    assert guard.verify(token(sub="b"))
    assert caplog.text.count("the keys in use stay") == 1
    path.write_bytes(OTHER_SECRET)
    clock.now = 6.0
    assert guard.verify(token(key=OTHER_SECRET))


def test_a_file_that_was_only_touched_changes_nothing(tmp_path):
    path, clock = tmp_path / "secret", Clock()
    path.write_bytes(SECRET)
    source = watched(path, clock)
    before = source.current()
    os.utime(path, ns=(5, 5))
    clock.now = 2.0
    assert source.current() is before


def test_a_file_put_in_place_of_another_is_seen(tmp_path):
    path, clock = tmp_path / "secret", Clock()
    path.write_bytes(SECRET)
    source = watched(path, clock)
    stamp = path.stat().st_mtime_ns
    other = tmp_path / "new"
    other.write_bytes(OTHER_SECRET)
    os.utime(other, ns=(stamp, stamp))
    other.replace(path)  # the same time and size: another inode
    clock.now = 2.0
    assert source.current().keys[0].material == OTHER_SECRET


def test_a_secret_in_the_environment(monkeypatch):
    monkeypatch.setenv("JWTGUARD_TEST_KEY", SECRET.hex())
    assert make_guard(keys=Secret.from_env("JWTGUARD_TEST_KEY", "hex")).verify(token())
    assert Secret.from_env("JWTGUARD_TEST_KEY", kid="k").current().keys[0].kid == "k"
    for value, message in (("", "empty"), ("short", "at least 32")):
        monkeypatch.setenv("JWTGUARD_TEST_KEY", value)
        with pytest.raises(errors.ConfigurationError) as caught:
            make_guard(keys=Secret.from_env("JWTGUARD_TEST_KEY"))
        assert caught.value.problems[0][0] == "issuers[0].keys.env"
        assert "JWTGUARD_TEST_KEY" in str(caught.value)
        assert message in str(caught.value)
    monkeypatch.delenv("JWTGUARD_TEST_KEY")
    with pytest.raises(errors.ConfigurationError, match="JWTGUARD_TEST_KEY is not set"):
        make_guard(keys=Secret.from_env("JWTGUARD_TEST_KEY"))
