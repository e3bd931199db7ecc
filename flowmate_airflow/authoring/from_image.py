"""An image as a connector's manifest: it is asked what it is, in the protocols we speak."""

from __future__ import annotations

import base64
import binascii
import logging
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flowmate_airflow.authoring.component_json import Component, component_draft
from flowmate_airflow.authoring.draft import Draft, without_nothing
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.images import ImageFacts, files_of, look_at
from flowmate_airflow.authoring.jsontext import parse_json
from flowmate_airflow.authoring.names import connector_name, name_of_image
from flowmate_airflow.authoring.saying import say
from flowmate_airflow.authoring.settings_drafts import airbyte_draft, singer_draft
from flowmate_airflow.authoring.write_manifest import check_draft
from flowmate_airflow.catalog.manifest import Function, Manifest, NodeImage
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.singer_about import read_about, singer_facts
from flowmate_airflow.runtimes.base import Runtime
from flowmate_airflow.steps.asking import Answer, ask
from flowmate_airflow.steps.errors import StepError

if TYPE_CHECKING:
    from docker import APIClient

Protocol: TypeAlias = Literal["auto", "component", "singer", "airbyte"]

COMPONENT = "component.json"
MAX_COMPONENT = 8 * 1024 * 1024


class NotThis(Exception):
    """The image does not speak a protocol; the text says how it shows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known beforehand of an image.

    :param name: the connector's name, instead of the image's own
    :param entrypoint: what is started in it, instead of its own entry point
    """

    protocol: Protocol = "auto"
    name: str | None = None
    entrypoint: Sequence[str] = ()


@dataclass(slots=True)
class ImageReader:
    """Asks an image what it is.

    :param client: of the engine
    :param runtime: the docker runtime on it
    """

    client: APIClient
    runtime: Runtime
    log: logging.Logger
    pull_missing: bool = True
    _lines: list[str] = field(default_factory=list)

    def draft(self, image: str, wanted: Wanted) -> Draft:
        """Return the image's manifest, one that the reader of manifests takes.

        :raises AuthoringError: there is no such image, no engine answers, or the image speaks no protocol of ours
        :raises JsonFileError: its component.json is not JSON
        """
        facts = look_at(self.client, image, self.log, pull_missing=self.pull_missing)
        why = []
        for label, attempt in self._attempts(facts, wanted):
            try:
                draft = attempt(facts, wanted)
            except NotThis as error:
                why.append(f"  {label}: {error}")
            else:
                check_draft(draft)
                return draft
        raise AuthoringError(
            f"{image} speaks no protocol that FlowMate knows"
            + ("" if wanted.protocol == "auto" else f" as `{wanted.protocol}`")
            + ":\n"
            + "\n".join(why)
            + "\nIf it needs another entry point, give it with --entrypoint"
        )

    def _attempts(
        self, facts: ImageFacts, wanted: Wanted
    ) -> Sequence[tuple[str, Callable[[ImageFacts, Wanted], Draft]]]:
        node = ("component.json", self._node)
        own = ("describe", self._component)
        singer = ("singer", self._singer)
        airbyte = ("airbyte", self._airbyte)
        if wanted.protocol != "auto":
            return {"component": [node, own], "singer": [singer], "airbyte": [airbyte]}[wanted.protocol]
        if "io.airbyte.name" in facts.labels or "AIRBYTE_ENTRYPOINT" in facts.environment:
            return [airbyte, node, own, singer]
        words = facts.program.lower()
        if any(word in words for word in ("source-", "destination-", "source_", "destination_")):
            return [node, airbyte, singer, own]
        if any(word in words for word in ("tap-", "target-", "tap_", "target_")):
            return [node, singer, airbyte, own]
        return [node, own, singer, airbyte]

    def _node(self, facts: ImageFacts, wanted: Wanted) -> Draft:
        sub = facts.environment.get("ELASTICIO_COMPONENT_PATH") or facts.environment.get("COMPONENT_PATH") or ""
        folder = posixpath.normpath(posixpath.join(facts.folder, sub.lstrip("/")))
        with files_of(self.client, facts.image) as files:
            content = files.read(f"{folder}/{COMPONENT}", MAX_COMPONENT)
        if content is None:
            raise NotThis(f"there is no {COMPONENT} in its work folder {folder}")
        parse_json(content.removeprefix(b"\xef\xbb\xbf"), f"{facts.image}:{folder}/{COMPONENT}")
        manifest = self._provisional(facts, wanted, node=NodeImage())
        answer = self._ask(manifest)
        told = answer.description
        if told is None or not isinstance(told.get("component"), Mapping):
            raise AuthoringError(f"the component in {facts.image} could not say what it is: {_why(answer)}")
        return component_draft(_component(told), facts.image, wanted.name)

    def _component(self, facts: ImageFacts, wanted: Wanted) -> Draft:
        answer = self._ask(self._provisional(facts, wanted))
        told = answer.description
        if told is None or not isinstance(told.get("connector"), int) or "name" not in told:
            raise NotThis(f"asked to `describe` itself, it prints no manifest ({_why(answer)})")
        values = {key: value for key, value in told.items() if key not in ("type", "process", "icon")}
        values |= without_nothing({"image": facts.image, "name": wanted.name, "entrypoint": list(wanted.entrypoint)})
        return Draft(values)

    def _singer(self, facts: ImageFacts, wanted: Wanted) -> Draft:
        manifest = self._provisional(facts, wanted, protocol="singer")
        helped = say(self.runtime, manifest, ["--help"])
        about = say(self.runtime, manifest, ["--about", "--format=json"])
        described = read_about(about.out) if about.code == 0 else None
        text = f"{helped.out}\n{helped.err}" if helped.code == 0 else ""
        if described is None and "--config" not in text:
            raise NotThis(f"`--help` names no option `--config`, and `--about` tells nothing ({helped.last_line})")
        image = singer_facts(text, about.out if described is not None else None)
        return singer_draft(facts, wanted.name, wanted.entrypoint, image, described)

    def _airbyte(self, facts: ImageFacts, wanted: Wanted) -> Draft:
        answer = self._ask(self._provisional(facts, wanted, protocol="airbyte"))
        if answer.description is None or not isinstance(answer.description.get("connectionSpecification"), Mapping):
            raise NotThis(f"asked for its `spec`, it answers none ({_why(answer)})")
        return airbyte_draft(facts, wanted.name, wanted.entrypoint, answer.description)

    def _provisional(self, facts: ImageFacts, wanted: Wanted, **values: Any) -> Manifest:
        """Return as much of a manifest as it takes to start the image."""
        entrypoint = list(wanted.entrypoint) or (None if facts.entrypoint else list(facts.command[:1]) or None)
        return Manifest(
            connector=1,
            name=wanted.name or connector_name(name_of_image(facts.image)),
            version="0",
            title=facts.image,
            image=facts.image,
            entrypoint=None if "node" in values else entrypoint,
            triggers={"read": Function(title="Read")},
            **values,
        )

    def _ask(self, manifest: Manifest) -> Answer:
        self._lines.clear()
        try:
            return ask(
                self.runtime,
                manifest,
                Request(verb="describe"),
                runtime_name="docker",
                log=lambda level, text: self._lines.append(text),
                seconds=120.0,
            )
        except StepError as error:
            return Answer(code=-1, reason=str(error))


def _component(told: Mapping[str, Any]) -> Component:
    files = told.get("files")
    return Component(
        json=told["component"],
        package=_object(told.get("package")),
        metadata=_object(told.get("metadata")),
        dialect=str(told.get("dialect") or "auto"),
        icon=_decoded(_object(files).get("logo")),
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _decoded(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _why(answer: Answer) -> str:
    if answer.error is not None:
        return answer.error.text[:500]
    return (answer.reason or answer.last_line or f"exit code {answer.code}")[:500]
