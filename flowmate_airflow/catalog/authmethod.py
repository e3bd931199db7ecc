"""A way to authenticate, as a manifest describes it: which credentials there are, and where they come from.

A credential is what a connector's function gets, under the name that the manifest gives it. It comes from a part of an
Airflow Connection: people fill some in by a form, others are the fruit of a login (OAuth, a session).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

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
        mapped = {**mapping(value.get("optional")), **mapping(value.get("required"))}
        missing = {name: part for name, part in cls.default_required.items() if part not in mapped.values()}
        return {**value, "required": {**missing, **mapping(value.get("required"))}} if missing else value

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


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping that is not checked yet, or an empty one."""
    return dict(value) if isinstance(value, dict) else {}
