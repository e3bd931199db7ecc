"""Ways to authenticate, as a manifest describes them: which credentials there are, and how they are come by.

A credential is what a connector's function gets, under the name that the manifest gives it. It comes from a part of an
Airflow Connection: people fill some in by a form, others are the fruit of a login (OAuth, a session).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from flowmate_airflow.catalog.model import Model

JsonSchema = dict[str, Any]

SOURCES = r"^(login|password|host|port|schema|url|extra(\.[A-Za-z_][A-Za-z0-9_-]*)?)$"
Source = Annotated[str, Field(pattern=SOURCES)]
"""A place in an Airflow Connection. `url` is its scheme, host and port put together; `extra` the whole extra."""
Target = Annotated[str, Field(pattern=r"^(login|host|extra\.[A-Za-z_][A-Za-z0-9_-]*)$")]
"""A place in an Airflow Connection that a login may fill."""
Place = Annotated[str, Field(min_length=1, max_length=200)]
"""A dotted path into JSON, such as `authed_user.access_token`."""
UrlTemplate = Annotated[str, Field(pattern=r"^(https?://|\{)[^\s]*$", max_length=2000)]
"""An address in which `{name}` stands for the credential of that name, such as `https://{shop}.example.com/token`."""
Params = dict[str, str]
"""Parameters of a request by their names; `{name}` in a value stands for the credential of that name."""
HostPattern = Annotated[
    str, Field(pattern=r"^(\*\.)?[A-Za-z0-9{][A-Za-z0-9.{}_-]*(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$")
]
"""A host, `*.` before it for all below it, with a port where it is neither 80 nor 443; `{name}` as in addresses."""


class Request(Model):
    """A request to the other system that carries the credentials, as the method says."""

    method: Literal["GET", "POST", "PUT"] = Field(default="GET", description="Of HTTP.")
    url: UrlTemplate = Field(description="Where it goes.")
    headers: Params = Field(default={}, description="Its headers; `{name}` stands for a credential.")
    params: Params = Field(default={}, description="Its query.")
    json_: dict[str, Any] | None = Field(
        default=None, alias="json", description="Its body as JSON; `{name}` in a text stands for a credential."
    )


class Verification(Request):
    """A request that shows whether the credentials are right: any answer below 400 does."""

    account: dict[Place, Target] = Field(
        default={},
        description="What the answer tells about the account, by path, and the part of the Connection that keeps it.",
    )


class AuthMethod(Model):
    """One way to authenticate: which credential the function gets from which part of the Connection."""

    default_required: ClassVar[dict[str, str]] = {}
    """The credentials of methods of this type that map none themselves."""
    produced: ClassVar[frozenset[str]] = frozenset()
    """The parts that a login fills, and no form asks for."""

    type: Literal["custom"] = Field(
        default="custom",
        description=(
            "`none`, `basic`, `api_key`, `bearer`, `oauth2`, `oauth1`, `session`, or `custom`: whatever `required` and "
            "`optional` name."
        ),
    )
    title: str | None = Field(default=None, description="What people call the method.")
    description: str = Field(default="", description="How to come by the credentials, shown with the form.")
    required: dict[str, Source] = Field(default={}, description="Credentials the method cannot do without.")
    optional: dict[str, Source] = Field(default={}, description="Credentials handed over where they are set.")
    fields: dict[str, JsonSchema] = Field(
        default={},
        description=(
            "How a form asks for a credential, by its name: a JSON Schema with `title`, `description`, `default`, "
            "`enum`, `pattern`; `format: password` hides it."
        ),
    )
    hosts: list[HostPattern] = Field(
        default=[],
        description=(
            "The hosts that the credentials may be sent to: containers of the connector reach these and no others. "
            "Empty: any."
        ),
    )
    private: bool = Field(
        default=False, description="The other system may be in a private network, and need not speak TLS."
    )
    verify: Verification | None = Field(default=None, description="A request that shows whether they are right.")

    @model_validator(mode="before")
    @classmethod
    def _default_parts(cls, value: Any) -> Any:
        """Fill in the credentials of the type where the method maps none of its parts itself."""
        if not isinstance(value, dict) or not cls.default_required:
            return value
        mapped = {**_mapping(value.get("optional")), **_mapping(value.get("required"))}
        missing = {name: part for name, part in cls.default_required.items() if part not in mapped.values()}
        return {**value, "required": {**missing, **_mapping(value.get("required"))}} if missing else value

    @model_validator(mode="after")
    def _fields_are_credentials(self) -> AuthMethod:
        unknown = sorted(set(self.fields) - set(self.parts) - set(self.login_parts))
        if unknown:
            raise ValueError(f"`fields` has {', '.join(unknown)}, which neither `required` nor `optional` names")
        return self

    @property
    def parts(self) -> dict[str, str]:
        """The part of the Connection that each credential comes from, by its name."""
        return {**self.required, **self.optional}

    @property
    def login_parts(self) -> dict[str, str]:
        """What a login needs and no task gets, such as a client's secret: its name in forms, and its part."""
        return {}

    @property
    def asked(self) -> dict[str, str]:
        """What a form asks for, and the part of the Connection that keeps it; all else is what a login brings."""
        filled = self.produced | self.filled()
        return {**{name: part for name, part in self.parts.items() if part not in filled}, **self.login_parts}

    def filled(self) -> frozenset[str]:
        """Return the parts that what this method's login answers fills."""
        return frozenset() if self.verify is None else frozenset(self.verify.account.values())


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


class JwtBearer(Model):
    """The assertion of the grant JWT bearer (RFC 7523), signed with the key that is the Connection's password."""

    algorithm: Literal["RS256", "RS384", "RS512", "ES256", "ES384"] = Field(
        default="RS256", description="Its signature."
    )
    issuer: str = Field(default="{client_id}", description="Its `iss`.")
    subject: str | None = Field(default=None, description="Its `sub`.")
    audience: str | None = Field(default=None, description="Its `aud`. Default: the token address.")
    lifetime: Annotated[int, Field(ge=30, le=3600)] = Field(default=300, description="Seconds that it is valid.")
    key_id: str | None = Field(default=None, description="Its header `kid`.")
    claims: dict[str, Any] = Field(default={}, description="More of its claims.")


class OAuth2(AuthMethod):
    """OAuth 2: a consent, a client of one's own, or a signed assertion gives an access token."""

    default_required: ClassVar[dict[str, str]] = {"access_token": "password"}
    produced: ClassVar[frozenset[str]] = frozenset({"password"})

    type: Literal["oauth2"]  # type: ignore[assignment]
    grant: Literal["authorization_code", "client_credentials", "jwt_bearer"] = Field(
        default="authorization_code", description="How the first token is come by."
    )
    authorize_url: UrlTemplate | None = Field(default=None, description="Where people consent.")
    token_url: UrlTemplate = Field(description="Where tokens are given.")
    refresh_url: UrlTemplate | None = Field(default=None, description="Where they are renewed. Default: `token_url`.")
    revoke_url: UrlTemplate | None = Field(default=None, description="Where they are given back (RFC 7009).")
    issuer: UrlTemplate | None = Field(
        default=None, description="Who answers: compared with the `iss` of an answer that has one (RFC 9207)."
    )
    require_issuer: bool = Field(default=False, description="An answer without `iss` is refused.")
    pkce: bool = Field(default=True, description="Send a PKCE challenge, S256. Only a few providers break on it.")
    scopes: dict[str, str] = Field(default={}, description="What is asked for, and why: shown before the consent.")
    scope_separator: Literal[" ", ",", "+"] = Field(default=" ", description="What stands between scopes.")
    authorize_params: Params = Field(default={}, description="More parameters of the consent, such as `prompt`.")
    token_params: Params = Field(default={}, description="More parameters when the first token is asked for.")
    refresh_params: Params = Field(default={}, description="More parameters when it is renewed.")
    token_headers: Params = Field(default={}, description="More headers of requests for tokens.")
    scope_on_refresh: bool = Field(default=False, description="Name the scopes again when a token is renewed.")
    client_auth: Literal["header", "body"] = Field(
        default="body", description="How the client says who it is: HTTP Basic, or in the body."
    )
    token_body: Literal["form", "json"] = Field(default="form", description="How bodies for tokens are written.")
    token_path: Place | None = Field(
        default=None, description="Where in the answer the tokens lie, such as `authed_user`. Default: at its top."
    )
    token_names: dict[Literal["access_token", "refresh_token", "expires_in", "expires_at", "scope"], Place] = Field(
        default={}, description="What the answer calls them, where it is not as OAuth does."
    )
    expires_unit: Literal["s", "ms"] = Field(default="s", description="Of `expires_in` and `expires_at`.")
    expires_in: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Seconds that a token is valid where the answer does not say."
    )
    token_metadata: dict[Place, Target] = Field(
        default={}, description="What else the answer tells, by path, and the part of the Connection that keeps it."
    )
    redirect_metadata: dict[str, Target] = Field(
        default={}, description="What the way back tells in its query, such as `realmId`, and the part that keeps it."
    )
    jwt: JwtBearer | None = Field(default=None, description="For the grant `jwt_bearer`: the assertion.")
    mtls: bool = Field(
        default=False,
        description=(
            "Show the certificate in `extra.certificate` of the Connection with the client id, with the key in "
            "`extra.private_key`, when tokens are asked for."
        ),
    )

    @model_validator(mode="after")
    def _grant_is_whole(self) -> OAuth2:
        if self.grant == "authorization_code" and self.authorize_url is None:
            raise ValueError("the grant `authorization_code` needs an `authorize_url`")
        if (self.grant == "jwt_bearer") != (self.jwt is not None):
            raise ValueError("the grant `jwt_bearer` goes with `jwt`")
        if self.grant != "authorization_code" and (self.redirect_metadata or self.authorize_params):
            raise ValueError("`redirect_metadata` and `authorize_params` go with the grant `authorization_code`")
        return self

    def filled(self) -> frozenset[str]:
        """See :meth:`AuthMethod.filled`."""
        return super().filled() | {*self.token_metadata.values(), *self.redirect_metadata.values()}

    @property
    def login_parts(self) -> dict[str, str]:
        """The tenant's own client. With a consent it is the application's, in the Connection `flowmate.CONNECTOR`."""
        if self.grant == "authorization_code":
            return {}
        return {"client_id": "login", "private_key" if self.jwt is not None else "client_secret": "password"}


class OAuth1(AuthMethod):
    """OAuth 1: requests are signed (RFC 5849), so the function gets the secrets that it signs with.

    With three legs, people consent and the consumer is the application's, in the Connection `flowmate.CONNECTOR`. With
    two, the consumer is the tenant's own and there is no token.
    """

    type: Literal["oauth1"]  # type: ignore[assignment]
    legs: Literal[2, 3] = Field(default=3, description="Whether people consent (3) or not (2).")
    request_url: UrlTemplate | None = Field(default=None, description="Where a login begins.")
    authorize_url: UrlTemplate | None = Field(default=None, description="Where people consent.")
    access_url: UrlTemplate | None = Field(default=None, description="Where the token is given.")
    authorize_params: Params = Field(default={}, description="More parameters of the consent.")
    signature: Literal["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "RSA-SHA256", "PLAINTEXT"] = Field(
        default="HMAC-SHA1", description="How requests are signed. RSA: the consumer's secret is its private key."
    )
    signature_place: Literal["header", "query", "body"] = Field(default="header", description="Where it stands.")
    realm: str | None = Field(default=None, description="Of the signature, where the other system wants one.")
    scopes: dict[str, str] = Field(default={}, description="What the consent allows, and why: shown before it.")
    token_metadata: dict[Place, Target] = Field(
        default={},
        description="What else the answer with the token tells, by path, and the part that keeps it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_parts(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        parts = {"consumer_key": "login", "consumer_secret": "password"}
        if value.get("legs", 3) != 2:
            parts = {
                **{"consumer_key": "login", "consumer_secret": "extra.consumer_secret"},
                **{"token": "password", "token_secret": "extra.token_secret"},
            }
        own = _mapping(value.get("required"))
        missing = {name: part for name, part in parts.items() if part not in own.values()}
        return {**value, "required": {**missing, **own}}

    @model_validator(mode="after")
    def _legs_are_whole(self) -> OAuth1:
        urls = (self.request_url, self.authorize_url, self.access_url)
        if self.legs == 3 and None in urls:
            raise ValueError("three legs need `request_url`, `authorize_url` and `access_url`")
        if self.legs == 2 and any(url is not None for url in urls):
            raise ValueError("with two legs there is no consent: leave the addresses out")
        return self

    def filled(self) -> frozenset[str]:
        """See :meth:`AuthMethod.filled`."""
        # With three legs both pairs come from elsewhere: the consumer from the application, the token by consent.
        pairs = {"login", "password", "extra.consumer_secret", "extra.token_secret"} if self.legs == 3 else set()
        return super().filled() | frozenset(self.token_metadata.values()) | pairs


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


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
