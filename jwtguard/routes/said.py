"""What views say of themselves, found through the ways frameworks wrap them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jwtguard.core.errors import ConfigurationError
from jwtguard.core.requirement import Requirement
from jwtguard.requires import Said, refuse_open_routes, said_by


def said_of(views: Iterable[object]) -> tuple[Said, ...]:
    """What *views* say, each thing once.

    A view that has a decorator, a dependency or a guard function has what all of them say.
    """
    found: list[Said] = []
    for view in views:
        said = view if isinstance(view, Requirement) else said_by(view)
        if said is None and type(view).__module__.startswith("jwtguard."):
            # A dependency, a permission class: an object made of a Requirement.
            # An empty one is false, and asks for a valid token all the same.
            own = (getattr(view, name, None) for name in ("requirement", "wanted"))
            said = next((one for one in own if isinstance(one, Requirement)), None)
        if (said == "public" or isinstance(said, Requirement)) and said not in found:
            found.append(said)
    return tuple(found)


def passed_by(views: Iterable[Any]) -> tuple[str, ...]:
    """The names of those whose decorator stands above the route."""
    try:
        refuse_open_routes(view for view in views if callable(view))
    except ConfigurationError as error:
        return tuple(name for name, _ in error.problems)
    return ()


def by_method(
    methods: Sequence[str], view: object, owner: object, names: dict[str, str] | None = None
) -> Iterator[tuple[tuple[str, ...], list[object]]]:
    """Methods that the same is said of, with who says it: *view*, and *owner*'s own methods.

    *names* are those of the methods that answer, where they are not called like ``get``.
    """
    groups: list[tuple[list[str], list[object], tuple[Said, ...]]] = []
    for method in methods:
        name = (names or {}).get(method.lower(), method.lower())
        views = [view, getattr(owner, name, None)]
        said = said_of(views)
        for known, _, theirs in groups:
            if theirs == said:
                known.append(method)
                break
        else:
            groups.append(([method], views, said))
    for known, views, _ in groups:
        yield tuple(known), views
