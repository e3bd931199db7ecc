"""How a broken flow appears in Airflow's own list of import errors, under its own file, with all others running.

Airflow 3.3 keys import errors by file, and an error of the loader's file would make every flow stale. But an error
that a DAG raises while it is serialised is recorded under that DAG's `relative_fileloc`, and nothing else is touched.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from airflow.exceptions import SerializationError
from airflow.sdk import DAG

from flowmate_airflow.flows.errors import FlowFileError


class FlowImportError(SerializationError):
    """A flow file has problems. Of this type because Airflow wraps any other error that serialising raises."""


class BrokenFlow(DAG):
    """Stands for a flow file with problems; it never becomes a DAG of Airflow's.

    :param name: an id no flow has
    :param file: the file, relative to the loader's folder
    :param error: what is wrong with the file
    """

    def __init__(self, name: str, file: str, error: FlowFileError) -> None:
        super().__init__(name, schedule=None)
        self.__dict__.update(flow_file=file, flow_error=error)

    @property
    def relative_fileloc(self) -> str | None:
        """The flow's file, relative to the bundle."""
        loader = self.__dict__.get("loader")
        return None if loader is None else (PurePath(loader).parent / self.__dict__["flow_file"]).as_posix()

    @relative_fileloc.setter
    def relative_fileloc(self, value: str | None) -> None:
        """Airflow's importer sets the loader's own path, relative to the bundle."""
        self.__dict__["loader"] = value

    @property
    def access_control(self) -> None:
        """Asked for while the DAG is serialised; before that it is none."""
        error = self.__dict__.get("flow_error")
        if error is not None:
            raise FlowImportError(str(error))

    @access_control.setter
    def access_control(self, value: Any) -> None:
        pass
