"""A place of an app, and where apps stand in one another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from jwtguard.core.paths import Pattern
from jwtguard.requires import Said

from .patterns import as_pattern


@dataclass(frozen=True)
class Route:
    """One place of an app.

    - ``methods``: none for whatever method comes.
    - ``text``: as the framework writes it.
    - ``pattern``: in the language of rules; it matches all the paths of the route, and more of
      them where that language cannot say it.
    - ``parts``: what the pattern was made of.
    - ``said``: what its view says of itself, or its dependencies do.
    - ``passed``: views whose decorator the route leads past, and so reaches nobody.
    - ``guarded``: whether a guard stands in front of it, as far as the app shows.
    - ``note``: what a reader should know.
    """

    methods: tuple[str, ...]
    text: str
    pattern: Pattern
    parts: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    passed: tuple[str, ...] = ()
    guarded: bool = False
    note: str = ""
    websocket: bool = False


@dataclass(frozen=True)
class Mount:
    """Where an app stands: below which prefix, and whether behind a guard.

    ``segments`` is the prefix as the guard sees it, ``text`` as a reader knows it.
    """

    text: str = ""
    segments: tuple[str, ...] = ()
    guarded: bool = False
    within: tuple[object, ...] = ()

    def behind_guard(self) -> "Mount":
        """Rules are written like the routes of what the outermost guard stands in front of."""
        return self if self.guarded else replace(self, segments=(), guarded=True)

    def below(self, text: str, segments: tuple[str, ...]) -> "Mount":
        """An app in this one."""
        return replace(self, text=self.text + text, segments=self.segments + segments)

    def route(
        self, methods: tuple[str, ...], text: str, segments: tuple[str, ...], **more: Any
    ) -> Route:
        """A route here; *text* and *segments* are below the prefix."""
        return Route(
            methods,
            self.text + text or "/",
            as_pattern((*self.segments, *segments)),
            (*self.segments, *segments),
            guarded=self.guarded,
            **more,
        )

    def enters(self, app: object) -> "Mount | None":
        """The same with *app* on the way here; None where it is on it already."""
        if len(self.within) > MAX_DEPTH or any(one is app for one in self.within):
            return None
        return replace(self, within=(*self.within, app))


MAX_DEPTH = 100


def is_guard(app: object) -> bool:
    """Whether *app* is a door of jwtguard, or a class of them."""
    kind = app if isinstance(app, type) else type(app)
    return any(
        base.__name__ == "GuardMiddleware" and base.__module__.startswith("jwtguard.")
        for base in kind.__mro__
    )


Mounted = tuple[object, Mount]
"""An app in another one."""

Found = Iterator[Route | Mounted]
