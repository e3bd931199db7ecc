"""Singer and Airbyte images as manifests: one function, whose fields are the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowmate_airflow.authoring.draft import Draft, without_nothing
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.images import ImageFacts
from flowmate_airflow.authoring.names import connector_name, name_of_image, tag_of_image, title_of_package, version
from flowmate_airflow.authoring.settings import SettingsDraft, airbyte_settings, singer_settings
from flowmate_airflow.authoring.texts import plain, sentence
from flowmate_airflow.catalog.manifest import SingerImage


def singer_draft(
    facts: ImageFacts,
    name: str | None,
    entrypoint: Sequence[str],
    image: SingerImage,
    about: Mapping[str, Any] | None,
) -> Draft:
    """Return the manifest of a Singer tap or target.

    :param about: what it tells about itself, None for a classic one
    """
    notes = []
    told = about or {}
    settings = singer_settings(told)
    if not settings.fields and not settings.auth:
        notes.append("it tells nothing about its settings: name them under `fields`, and its secrets under `auth`")
    package = plain(told.get("name"), 64) or name_of_image(facts.image)
    reads = _is_tap(package, facts, image)
    values = _values(
        facts, name, entrypoint, package, told.get("version"), sentence(told.get("description"), limit=1000)
    )
    values["protocol"] = "singer"
    if changed := image.model_dump(exclude_defaults=True):
        values["singer"] = changed
    return _with_function(values, settings, reads=reads, state=image.state, notes=notes)


def airbyte_draft(facts: ImageFacts, name: str | None, entrypoint: Sequence[str], spec: Mapping[str, Any]) -> Draft:
    """Return the manifest of an Airbyte source or destination.

    :param spec: what it answers to `spec`
    """
    try:
        settings = airbyte_settings(spec)
    except ValueError as error:
        raise AuthoringError(f"the `spec` of {facts.image} cannot be used: {error}") from None
    notes = []
    label = facts.labels.get("io.airbyte.name", "").rpartition("/")[2]
    package = label or name_of_image(facts.image)
    reads = _is_source(f"{label} {facts.program}", spec)
    if reads is None:
        notes.append("it does not say whether it is a source or a destination; it was taken for a source")
    about = spec.get("connectionSpecification") or {}
    link = spec.get("documentationUrl")
    told = sentence(about.get("description"), f"Its settings: {link}" if isinstance(link, str) else None, limit=1000)
    values = _values(facts, name, entrypoint, package, facts.labels.get("io.airbyte.version"), told)
    values["protocol"] = "airbyte"
    values["limits"] = {"memory": "1g"}
    return _with_function(values, settings, reads=reads is not False, state=True, notes=notes)


def _values(
    facts: ImageFacts, name: str | None, entrypoint: Sequence[str], package: str, stated: Any, description: str
) -> dict[str, Any]:
    start = list(entrypoint) or ([] if facts.entrypoint else list(facts.command[:1]))
    return without_nothing(
        {
            "connector": 1,
            "name": name or connector_name(name_of_image(facts.image), package),
            "version": version(stated, tag_of_image(facts.image)),
            "title": title_of_package(package),
            "description": description,
            "image": facts.image,
            "entrypoint": start,
        }
    )


def _with_function(
    values: dict[str, Any], settings: SettingsDraft, *, reads: bool, state: bool, notes: list[str]
) -> Draft:
    function = without_nothing(
        {
            "title": "Read records" if reads else "Write records",
            "state": (reads and state) or None,
            "fields": settings.fields,
            "required": settings.required,
        }
    )
    if settings.defaults:
        values["defaults"] = settings.defaults
    if settings.auth:
        values["auth"] = settings.auth
    values["triggers" if reads else "actions"] = {"read" if reads else "write": function}
    return Draft(values, notes=notes)


def _is_tap(package: str, facts: ImageFacts, image: SingerImage) -> bool:
    words = f"{package} {facts.program}".lower()
    named = [word for word in ("tap-", "target-", "tap_", "target_") if word in words]
    if len({word[:3] for word in named}) == 1:
        return named[0].startswith("tap")
    return image.discover or image.catalog != "none"


def _is_source(words: str, spec: Mapping[str, Any]) -> bool | None:
    if spec.get("supported_destination_sync_modes"):
        return False
    named = [word for word in ("source", "destination") if word in words.lower()]
    return named[0] == "source" if len(named) == 1 else None
