"""The page: a view, its drawings and the template, as one file without scripts or addresses.

Whatever a view holds is escaped by the template engine. The policy in the page's head allows the
one style sheet, by its hash, and pictures that the page itself holds; nothing else is loaded, run
or sent, whatever a name says.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from fingerprint.files import write_whole
from registry.reports.drawings import drawn, harm_figure, resemblance_figure
from registry.reports.family import family_figure
from registry.reports.view import View

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["page", "policy", "style_sheet", "template", "write_page"]

_PACKAGE = "registry.reports"


def page(view: View) -> str:
    """Returns a report as HTML."""
    style = style_sheet()
    family = view.family
    return template(_PACKAGE, "report.html").render(
        view=view,
        # Ours, and without a "<" that could end it.
        style=Markup(style),
        policy=policy(style),
        harm=drawn(partial(harm_figure, view.strips)) if view.strips else None,
        resemblance=drawn(partial(resemblance_figure, view.points)) if view.points else None,
        family=drawn(partial(family_figure, family.lineage, suspect=family.suspect)),
    )


def write_page(view: View, path: Path) -> None:
    """Writes a report: all of it or nothing; a file that is there is replaced.

    Raises:
        EnvironmentFailure: It cannot be written.
    """
    body = page(view).encode("utf-8")
    write_whole(path, lambda stream: stream.write(body))


@cache
def template(package: str, name: str) -> Template:
    """Returns a template that escapes all it is given; those of reports may be included in it.

    Args:
        package: Has it, in its folder ``templates``.
        name: Its file.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_PACKAGE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@cache
def style_sheet() -> str:
    """Returns the style sheet of a report, which other pages share."""
    return files(_PACKAGE).joinpath("templates", "report.css").read_text("utf-8")


def policy(style: str) -> str:
    """Returns a policy that allows this style sheet, by hash, and pictures that a page holds."""
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
