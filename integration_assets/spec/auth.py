"""How a source wants to be asked: which secret goes where. Secrets are named here, never held."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from integration_assets.spec.base import Spec

SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class NoAuth(Spec):
    """A public API."""

    kind: Literal["none"] = "none"


class Bearer(Spec):
    """`Authorization: Bearer <secret>`."""

    kind: Literal["bearer"] = "bearer"
    secret: SecretName


class ApiKeyHeader(Spec):
    """A key in a header of the API's choice."""

    kind: Literal["api_key_header"] = "api_key_header"
    secret: SecretName
    header: str = "X-API-Key"


class ApiKeyQuery(Spec):
    """A key in the query string; it is cut from every log, error and receipt."""

    kind: Literal["api_key_query"] = "api_key_query"
    secret: SecretName
    param: str = "api_key"


class Basic(Spec):
    """HTTP Basic; both halves are secrets by name."""

    kind: Literal["basic"] = "basic"
    username_secret: SecretName
    password_secret: SecretName


Auth = Annotated[NoAuth | Bearer | ApiKeyHeader | ApiKeyQuery | Basic, Field(discriminator="kind")]


def secret_names(auth: NoAuth | Bearer | ApiKeyHeader | ApiKeyQuery | Basic) -> tuple[str, ...]:
    """The environment names of the secrets that `auth` needs."""
    match auth:
        case NoAuth():
            return ()
        case Basic(username_secret=username, password_secret=password):
            return (username, password)
        case Bearer(secret=name) | ApiKeyHeader(secret=name) | ApiKeyQuery(secret=name):
            return (name,)
