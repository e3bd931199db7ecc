"""What can be seen of an image without starting it: its settings, and files in it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.runtimes.archive import unpack_one
from flowmate_airflow.runtimes.base import Log, RuntimeFailure

if TYPE_CHECKING:
    from docker import APIClient


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image's settings.

    :param user: None or empty: root
    """

    image: str
    labels: Mapping[str, str]
    entrypoint: Sequence[str]
    command: Sequence[str]
    folder: str
    user: str
    environment: Mapping[str, str]

    @property
    def program(self) -> str:
        """The words that tell what the image is: its name, program and labels."""
        start = [*self.entrypoint, *self.command][:4]
        return " ".join([self.image, *start, self.labels.get("io.airbyte.name", "")])


def look_at(client: APIClient, image: str, log: Log, *, pull_missing: bool = True) -> ImageFacts:
    """Return an image's settings; it is pulled when it is missing.

    :raises AuthoringError: there is no such image, or no engine answers
    """
    import docker.errors

    from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure, image_missing, pull

    try:
        try:
            found = _inspect(client, image)
        except docker.errors.ImageNotFound:
            if not pull_missing:
                raise image_missing(image) from None
            pull(client, image, log)
            found = _inspect(client, image)
    except RuntimeFailure as error:
        raise AuthoringError(str(error)) from None
    except ENGINE_ERRORS as error:
        raise AuthoringError(str(engine_failure(error, f"look at the image {image}", str(client.base_url)))) from None
    return _facts(image, found.get("Config") or {})


@contextmanager
def files_of(client: APIClient, image: str) -> Iterator[ImageFiles]:
    """Open an image's files: of a container that is made for them and never started.

    :raises AuthoringError: it cannot be made
    """
    from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure

    try:
        made = client.create_container(image, command=["-"], network_disabled=True)
    except ENGINE_ERRORS as error:
        raise AuthoringError(str(engine_failure(error, f"read the files of {image}", str(client.base_url)))) from None
    try:
        yield ImageFiles(client, str(made["Id"]))
    finally:
        with suppress(*ENGINE_ERRORS):
            client.remove_container(made["Id"], force=True, v=True)


class ImageFiles:
    """The files of an image."""

    def __init__(self, client: APIClient, container: str) -> None:
        self._client = client
        self._container = container

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a file's content, None when it is not there, no plain file, or larger.

        :param path: from the root
        """
        from flowmate_airflow.runtimes.engine import ENGINE_ERRORS

        try:
            chunks, _ = self._client.get_archive(self._container, path)
            return unpack_one(chunks, posixpath.basename(path), limit)
        except (RuntimeFailure, *ENGINE_ERRORS):
            return None


def _inspect(client: APIClient, image: str) -> Mapping[str, Any]:
    untyped: Any = client
    found: Mapping[str, Any] = untyped.inspect_image(image)
    return found


def _facts(image: str, config: Mapping[str, Any]) -> ImageFacts:
    environment = dict(each.partition("=")[::2] for each in config.get("Env") or ())
    return ImageFacts(
        image=image,
        labels=config.get("Labels") or {},
        entrypoint=config.get("Entrypoint") or (),
        command=config.get("Cmd") or (),
        folder=config.get("WorkingDir") or "/",
        user=config.get("User") or "",
        environment=environment,
    )
