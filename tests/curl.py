"""Sends what a printed curl line says, so that a test needs no curl."""

import http.client
import shlex
import urllib.parse
from typing import NamedTuple


class Answer(NamedTuple):
    port: int
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def send(command: str) -> Answer:
    """The answer to a line such as ``curl -i -X POST -H 'Name: value' http://127.0.0.1:8000/``."""
    words = iter(shlex.split(command)[1:])
    method, headers, body, address = "GET", {}, None, None
    for word in words:
        if word in ("-i", "--path-as-is"):
            continue
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "--json":
            method, body = "POST", next(words)
            headers["Content-Type"] = "application/json"
        else:
            assert address is None, f"{word!r} in {command!r}"
            address = urllib.parse.urlsplit(word)
    assert address is not None, command
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.request(method, address.path, body, headers)
    response = connection.getresponse()
    answer = Answer(address.port, response.status, response.headers, response.read())
    connection.close()
    return answer
