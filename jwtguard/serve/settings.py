"""``[server]``: where ``jwtguard serve`` listens, and whom it believes."""

from collections.abc import Sequence

from jwtguard.core.addresses import UNIX, Proxies
from jwtguard.core.errors import Problem
from jwtguard.core.wording import as_list

HOST, PORT = "127.0.0.1", 8642
MIN_SECRET = 16  # characters


class Settings:
    """The words of ``[server]``.

    - ``host``, ``port``: the address to listen on; 127.0.0.1 and 8642.
    - ``uds``: the path of a Unix socket to listen on instead, made with mode 0660.
    - ``workers``: processes, 1 by default.
    - ``trusted_proxies``: addresses and networks of the proxies that may ask; "unix" stands for
      whoever may open the socket.
    - ``shared_secret``: what they must send as ``X-Jwtguard-Proxy-Secret``. Where both are set,
      both are wanted.

    ``problems`` says what is wrong.
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        uds: str | None = None,
        workers: int = 1,
        trusted_proxies: str | Sequence[str] = (),
        shared_secret: str | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self.host = HOST if host is None else host
        self.port = PORT if port is None else port
        self.uds = uds
        self.workers = workers
        self.trusted = tuple(as_list(trusted_proxies))
        self.secret = None if shared_secret is None else shared_secret.encode()
        self._check_address(host, port)
        if not _is_number(workers, 1, 1024):
            self._say("workers", f"is a number of processes, 1 or more; found {workers!r}")
        self.problems += Proxies(self.trusted).problems
        if UNIX in self.trusted and uds is None:
            what = "has 'unix', which means whoever may open the Unix socket, and there is no uds"
            self._say("trusted_proxies", what)
        if shared_secret is not None and len(shared_secret) < MIN_SECRET:
            self._say(
                "shared_secret",
                f"is shorter than {MIN_SECRET} characters, and so may be guessed; "
                "`jwtguard keygen HS256` makes a good one",
            )

    def _say(self, word: str, what: str) -> None:
        self.problems.append((word, what))

    def _check_address(self, host: object, port: object) -> None:
        if not isinstance(self.host, str) or not self.host:
            self._say("host", f"is an address of this machine; found {host!r}")
        if not _is_number(self.port, 1, 65535):
            self._say("port", f"is a number from 1 to 65535; found {port!r}")
        if self.uds is None:
            return
        if not isinstance(self.uds, str) or not self.uds:
            self._say("uds", f"is the path of a Unix socket; found {self.uds!r}")
        if host is not None or port is not None:
            self._say("uds", "stands for host and port; remove those, or this")

    def check_trust(self) -> None:
        """A server must know whom to believe, a guard in an app need not."""
        if not self.trusted and self.secret is None:
            example = f'["{UNIX}"]' if self.uds else '["127.0.0.1"]'
            self._say(
                "trusted_proxies",
                "is missing: whose word to take for what a client asked for. Name the addresses "
                f"of your proxies, as in trusted_proxies = {example}, or set shared_secret",
            )


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
