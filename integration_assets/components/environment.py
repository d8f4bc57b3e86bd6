"""`{{ env.NAME }}` in a text of a YAML source, as Dagster's component files have it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from integration_assets.components.document import Where

_BRACES = re.compile(r"\{\{(.*?)\}\}")
_DOTTED = re.compile(r"env\.([A-Za-z_]\w*)")
_CALLED = re.compile(r"""env\(\s*(?P<quote>['"])([A-Za-z_]\w*)(?P=quote)\s*(?:,\s*(?P<other>['"])(.*?)(?P=other)\s*)?\)""")
_CONFIDENTIAL = re.compile(r"(?:^|_)(?:API)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)", re.IGNORECASE)


class TemplateError(ValueError):
    """A template that cannot be filled in, and where it is."""

    def __init__(self, where: Where, what: str, remedy: str) -> None:
        super().__init__(what)
        self.where, self.what, self.remedy = where, what, remedy


def filled(value: object, environ: Mapping[str, str], where: Where = ()) -> object:
    """`value` with `{{ env.NAME }}` and `{{ env('NAME', 'default') }}` replaced in every text. Raises `TemplateError`."""
    if isinstance(value, Mapping):
        return {name: filled(inner, environ, (*where, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, environ, (*where, position)) for position, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    return _BRACES.sub(lambda match: _look_up(match[1].strip(), environ, where), value)


def _look_up(text: str, environ: Mapping[str, str], where: Where) -> str:
    dotted, called = _DOTTED.fullmatch(text), _CALLED.fullmatch(text)
    if dotted:
        name, default = dotted[1], None
    elif called:
        name, default = called[2], called[4]
    else:
        raise TemplateError(where, f"{{{{ {text} }}}} is no template", "Write {{ env.NAME }} or {{ env('NAME', 'default') }}.")
    if _CONFIDENTIAL.search(name):
        raise TemplateError(
            where, f"{name} seems to be a secret, which a spec never holds", f"Describe it under auth, such as secret: {name}."
        )
    found = environ.get(name, default)
    if found is None:
        raise TemplateError(where, f"{name} is not set", f"Set it, or write {{{{ env('{name}', 'default') }}}}.")
    return found
