"""OAuth 2 and OAuth 1 as a manifest describes them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from flowmate_airflow.catalog.authmethod import AuthMethod, Params, Place, Target, UrlTemplate, mapping
from flowmate_airflow.catalog.model import Model


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
        own = mapping(value.get("required"))
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
