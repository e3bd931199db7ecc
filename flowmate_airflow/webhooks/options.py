"""What a flow may say to refine a scheme: a header's name, how a signature is written, how old it may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from flowmate_airflow.flows.errors import shown
from flowmate_airflow.flows.values import Duration, FlowModel
from flowmate_airflow.webhooks.proofs import Proof, Stamp, Token
from flowmate_airflow.webhooks.scheme import Scheme
from flowmate_airflow.webhooks.signatures import Digest, Encoding, Hmac, Signature
from flowmate_airflow.webhooks.signed import has_field, template
from flowmate_airflow.webhooks.sources import Source, in_body, in_header

MAX_TOLERANCE = timedelta(days=7)

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"), AfterValidator(str.lower)]
Path = Annotated[str, Field(pattern=r"^[^.]{1,100}(\.[^.]{1,100}){0,15}$", max_length=500)]
Prefix = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", max_length=64)]


class SchemeOptions(FlowModel):
    """Options of a scheme. Each scheme takes some of them."""

    header: HeaderName | None = Field(default=None, description="The header with the signature or the secret.")
    algorithm: Digest | None = Field(default=None, description="The hash of the HMAC. Default: sha256.")
    encoding: Encoding | None = Field(default=None, description="How the signature is written. Default: hex.")
    prefix: Prefix | None = Field(default=None, description="What stands before it.", examples=["sha256="])
    timestamp_header: HeaderName | None = Field(
        default=None, description="The header with the seconds since 1970 at which it was signed."
    )
    signed: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="What is signed: a text with `{body}`, `{timestamp}`, `{method}`, `{url}` and `{header:NAME}`. "
        "Default: `{body}`, or `{timestamp}.{body}` where there is a timestamp.",
    )
    handshake: Literal["dropbox", "okta", "asana", "trello"] | None = Field(
        default=None, description="Whose question is answered before the first delivery."
    )
    tolerance: Duration | None = Field(
        default=None, description="How far the timestamp may be from now, before or after. At most 7d."
    )
    id_header: HeaderName | None = Field(default=None, description="The header with the delivery's id.")
    id_path: Path | None = Field(
        default=None, description="The dotted path to the delivery's id in a JSON body.", examples=["event.id"]
    )
    event_header: HeaderName | None = Field(default=None, description="The header with the event's type.")
    event_path: Path | None = Field(default=None, description="The dotted path to the event's type in a JSON body.")


EVERY = ("id_header", "id_path", "event_header", "event_path")
"""Options that every scheme takes; those whose proof tells a time take `tolerance`, too."""
OF_HMAC = ("header", "algorithm", "encoding", "prefix", "timestamp_header", "signed", "handshake")


def option_names(scheme: Scheme) -> tuple[str, ...]:
    """Return the options that a scheme takes."""
    of_time = ("tolerance",) if scheme.tolerance is not None or "timestamp_header" in scheme.options else ()
    return (*scheme.options, *of_time, *EVERY)


def refined(scheme: Scheme, options: Mapping[str, Any]) -> Scheme:
    """Return a scheme with what a flow says of it.

    :raises ValueError: an option is unknown, not one of this scheme, or wrong
    """
    try:
        read = SchemeOptions.model_validate(dict(options))
    except ValidationError as error:
        raise ValueError("; ".join(_problems(scheme, error))) from None
    given = {name: value for name in SchemeOptions.model_fields if (value := getattr(read, name)) is not None}
    foreign = sorted(set(given) - set(option_names(scheme)))
    if foreign:
        raise ValueError(f"{_named(foreign)} no option of the scheme {scheme.name}; {_there_are(scheme)}")
    try:
        return _with_proof(_with_sources(scheme, given), given)
    except ValueError as error:
        raise ValueError(f"options of the scheme {scheme.name}: {error}") from None


def _problems(scheme: Scheme, error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False):
        name = ".".join(map(str, problem["loc"])) or "it"
        if problem["type"] == "extra_forbidden":
            yield f"{shown(name)} is no option of the scheme {scheme.name}; {_there_are(scheme)}"
        else:
            told = problem["msg"].removeprefix("Value error, ")
            yield f"the option `{name}` of the scheme {scheme.name} is wrong: {told[:1].lower()}{told[1:]}"


def _named(names: list[str]) -> str:
    return f"{', '.join(f'`{name}`' for name in names)} {'is' if len(names) == 1 else 'are'}"


def _there_are(scheme: Scheme) -> str:
    return f"there are {', '.join(option_names(scheme))}"


def _with_sources(scheme: Scheme, given: Mapping[str, Any]) -> Scheme:
    delivery_id, event = _source("id", given), _source("event", given)
    return replace(
        scheme,
        delivery_id=(delivery_id,) if delivery_id else scheme.delivery_id,
        event=(event,) if event else scheme.event,
    )


def _source(what: str, given: Mapping[str, Any]) -> Source | None:
    header, path = given.get(f"{what}_header"), given.get(f"{what}_path")
    if header and path:
        raise ValueError(f"`{what}_header` and `{what}_path` cannot both be set")
    if header:
        return in_header(header)
    return in_body(path) if path else None


def _with_proof(scheme: Scheme, given: Mapping[str, Any]) -> Scheme:
    proof = scheme.proof
    if isinstance(proof, Token):
        proof = replace(proof, **{name: given[name] for name in ("header", "prefix") if name in given})
    if isinstance(proof, Signature):
        proof = _signature(proof, given)
        scheme = _with_methods(scheme, proof)
    if "tolerance" in given:
        proof = _within(proof, given["tolerance"])
    if "handshake" in given:
        scheme = replace(scheme, handshakes=(*scheme.handshakes, given["handshake"]))
    return replace(scheme, proof=proof)


def _signature(proof: Signature, given: Mapping[str, Any]) -> Signature:
    proof = replace(proof, **{name: given[name] for name in ("header", "encoding", "prefix") if name in given})
    if "algorithm" in given:
        proof = replace(proof, algorithm=Hmac(given["algorithm"]))
    if "timestamp_header" in given:
        proof = replace(proof, stamp=Stamp(given["timestamp_header"]), signed="{timestamp}.{body}")
    if "signed" in given:
        proof = replace(proof, signed=_checked(given["signed"], has_stamp=proof.stamp is not None))
    return proof


def _checked(signed: str, *, has_stamp: bool) -> str:
    if any(kind == "form" for kind, _ in template(signed)) or not has_field(signed, "body"):
        raise ValueError("`signed` must have {body} in it, or anybody could send another body with the same signature")
    if has_stamp != has_field(signed, "timestamp"):
        raise ValueError("`timestamp_header` and {timestamp} in `signed` go together: unsigned it proves nothing")
    return signed


def _with_methods(scheme: Scheme, proof: Signature) -> Scheme:
    # What a GET or DELETE says stands in its address, which must be signed, too.
    covers_address = has_field(proof.signed, "url") and has_field(proof.signed, "method")
    is_ours = "signed" in scheme.options
    return replace(scheme, methods=(*scheme.methods, "GET", "DELETE")) if is_ours and covers_address else scheme


def _within(proof: Proof, tolerance: timedelta) -> Proof:
    if tolerance > MAX_TOLERANCE:
        raise ValueError(f"`tolerance` is at most {MAX_TOLERANCE.days}d")
    return proof.within(int(tolerance.total_seconds()))
