"""What the pages of the issuer are made of: forms, and who may send them."""

import html
import json
from pathlib import Path
from string import Template

from werkzeug.wrappers import Request, Response

from .issuer import Wish, listed

HERE = Path(__file__).parent


class Form(Request):
    """A request with a form of 64 KiB at most."""

    max_content_length = 65_536
    max_form_memory_size = 65_536


def file(name: str) -> bytes:
    """One of the files beside this one."""
    return (HERE / name).read_bytes()


def is_own(request: Request, host: str) -> bool:
    """Whether a form comes from this page, or from no browser: nobody else may set its cookies."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin == f"http://{host}"
    return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


def wish_of(request: Form) -> Wish:
    """What the form asks for."""
    form = request.form
    if not form:
        return Wish()
    return Wish(
        issuer=form.get("issuer", ""),
        tenant=form.get("tenant", ""),
        sub=form.get("sub", "alice"),
        # What is ticked stands as it is; what is written may hold several.
        roles=(*form.getlist("role"), *listed(form.getlist("roles"), ",")),
        scopes=(*form.getlist("scope"), *listed(form.getlist("scopes"), " ,\t")),
        claims=form.get("claims", ""),
        expires=form.get("expires", "3600"),
    )


def choices(name: str, offered: list[str], chosen: tuple[str, ...]) -> str:
    """Boxes to tick for what rules ask for, and a field for everything else."""
    boxes = "".join(
        f'<label class="box"><input type="checkbox" name="{name}" value="{html.escape(one)}"'
        f"{' checked' if one in chosen else ''}> {html.escape(one)}</label>\n"
        for one in offered
    )
    others = html.escape(", ".join(one for one in chosen if one not in offered))
    label = "others, with commas between" if offered else "with commas between"
    return (
        f'{boxes}<input name="{name}s" value="{others}" placeholder="{label}" '
        f'aria-label="{name}s: {label}" autocapitalize="off" spellcheck="false">'
    )


def page(name: str, **values: str) -> Response:
    """The file *name* with *values*, which are HTML already."""
    text = Template(file(name).decode()).substitute(values)
    return Response(text, mimetype="text/html")


def as_json(members: object, status: int = 200) -> Response:
    """A document."""
    return Response(json.dumps(members), status, mimetype="application/json")
