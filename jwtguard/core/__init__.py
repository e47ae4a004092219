"""The part of jwtguard that only decides: no sockets, threads, event loop, files or frameworks.

Writers of doors need four names from here: :class:`Request` goes in, :class:`Allow` or
:class:`Deny` comes out, and :class:`Fetch` is what a flow may ask for on the way.
"""

from .model import Allow, Deny, Fetch, Fetched, Flow, Request

__all__ = ["Allow", "Deny", "Fetch", "Fetched", "Flow", "Request"]
