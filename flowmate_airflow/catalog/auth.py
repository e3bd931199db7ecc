"""The ways to authenticate that a manifest may describe, by their types."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from flowmate_airflow.catalog.authmethod import AuthMethod, Params, Place, Request, Source, Target
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2


class NoAuth(AuthMethod):
    """No credentials; only, perhaps, an address."""

    type: Literal["none"]  # type: ignore[assignment]


class BasicAuth(AuthMethod):
    """A user name and a password."""

    default_required: ClassVar[dict[str, str]] = {"username": "login", "password": "password"}
    type: Literal["basic"]  # type: ignore[assignment]


class ApiKeyAuth(AuthMethod):
    """A key that goes with each request."""

    default_required: ClassVar[dict[str, str]] = {"key": "password"}
    type: Literal["api_key"]  # type: ignore[assignment]
    place: Literal["header", "query"] = Field(default="header", description="Where requests carry it.")
    name: str = Field(default="X-API-Key", min_length=1, description="The header or parameter that carries it.")
    prefix: str = Field(default="", description="What stands before it, such as `Token `.")


class BearerAuth(AuthMethod):
    """A token that goes with each request as `Authorization: Bearer …`."""

    default_required: ClassVar[dict[str, str]] = {"token": "password"}
    type: Literal["bearer"]  # type: ignore[assignment]


class SessionAuth(AuthMethod):
    """A login by a request, whose answer has a token: it goes with each request until it is over."""

    default_required: ClassVar[dict[str, str]] = {"token": "password"}
    produced: ClassVar[frozenset[str]] = frozenset({"password"})

    type: Literal["session"]  # type: ignore[assignment]
    inputs: dict[str, Source] = Field(
        default={"username": "login", "password": "password"},
        description="What the login needs and no task gets, and the part of the Connection that keeps it.",
    )
    login: Request = Field(description="The request that logs in; `{name}` stands for what the form asked.")
    login_auth: Literal["none", "basic"] = Field(
        default="none", description="Whether the login carries the Connection's login and password by HTTP Basic."
    )
    form: Params | None = Field(default=None, description="The login's body as a form, instead of `json`.")
    token_path: Place = Field(description="Where in the answer the token lies, or `header:NAME` or `cookie:NAME`.")
    expires_path: Place | None = Field(default=None, description="Where it says when it is over, or in how long.")
    expires_unit: Literal["s", "ms", "date"] = Field(
        default="s", description="Of what lies there: seconds, milliseconds, or a date (RFC 3339)."
    )
    expires_in: Annotated[int, Field(ge=1)] = Field(
        default=3600, description="Seconds that a session lasts where the answer does not say."
    )
    token_metadata: dict[Place, Target] = Field(
        default={}, description="What else the answer tells, by path, and the part of the Connection that keeps it."
    )
    logout: Request | None = Field(default=None, description="The request that ends the session.")

    @property
    def login_parts(self) -> dict[str, str]:
        """See :attr:`inputs`."""
        return dict(self.inputs)

    def filled(self) -> frozenset[str]:
        """See :meth:`AuthMethod.filled`."""
        return super().filled() | frozenset(self.token_metadata.values())


METHODS: dict[str, type[AuthMethod]] = {
    "custom": AuthMethod,
    "none": NoAuth,
    "basic": BasicAuth,
    "api_key": ApiKeyAuth,
    "bearer": BearerAuth,
    "oauth2": OAuth2,
    "oauth1": OAuth1,
    "session": SessionAuth,
}
"""The model of each type."""
RENEWED = (OAuth2, SessionAuth)
"""The types whose credential is over at some time and is renewed without a person."""
_KEYS_OF_TYPES = {key for model in METHODS.values() for key in model.model_fields} - AuthMethod.model_fields.keys()


def _tag(value: Any) -> str | None:
    if isinstance(value, dict):
        # Keys of another type say that `type` was forgotten: then that is the one thing to be told.
        kind = value.get("type", None if _KEYS_OF_TYPES & value.keys() else "custom")
    else:
        kind = getattr(value, "type", None)
    return f"${kind}" if isinstance(kind, str) and kind in METHODS else None


AnyMethod: TypeAlias = Annotated[
    Annotated[AuthMethod, Tag("$custom")]
    | Annotated[NoAuth, Tag("$none")]
    | Annotated[BasicAuth, Tag("$basic")]
    | Annotated[ApiKeyAuth, Tag("$api_key")]
    | Annotated[BearerAuth, Tag("$bearer")]
    | Annotated[OAuth2, Tag("$oauth2")]
    | Annotated[OAuth1, Tag("$oauth1")]
    | Annotated[SessionAuth, Tag("$session")],
    Discriminator(
        _tag,
        custom_error_type="auth_type",
        custom_error_message="`type` is one of " + ", ".join(METHODS),
        custom_error_context={"types": ",".join(METHODS)},
    ),
]
"""A method of any type."""
