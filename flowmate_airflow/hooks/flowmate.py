"""The hook of the connection type `flowmate`: a connector's credentials for a task in Python, and the button Test."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook

from flowmate_airflow.auth.asking import ask
from flowmate_airflow.auth.byhand import connector_of, tried
from flowmate_airflow.auth.credentials import credentials_for
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.links import manifest_in
from flowmate_airflow.auth.origins import stored_of
from flowmate_airflow.catalog.catalog import configured_catalog
from flowmate_airflow.operators.step import airflow_failures
from flowmate_airflow.steps.errors import ConfigFailure


class FlowMateHook(BaseHook):
    """Gives the credentials of a Connection of the type `flowmate`, fresh ones where they are renewed.

    :param flowmate_conn_id: the Connection, such as a tenant's link, `flowmate.CONNECTOR.TENANT`
    :param connector: whose credentials they are, where the Connection does not say
    """

    conn_name_attr = "flowmate_conn_id"
    default_conn_name = "flowmate_default"
    conn_type = "flowmate"
    hook_name = "FlowMate"

    def __init__(self, flowmate_conn_id: str = default_conn_name, connector: str | None = None) -> None:
        super().__init__()
        self.flowmate_conn_id = flowmate_conn_id
        self.connector = connector

    def get_conn(self) -> dict[str, Any]:
        """Return the credentials under the names of the connector's manifest.

        :raises AirflowFailException: there are none, and another try would have none
        :raises AirflowException: there are none just now
        """
        with airflow_failures(None):
            account = ask(self.get_connection, self.flowmate_conn_id, "hook")
            name = self.connector or connector_of(account.extra)
            try:
                if name is None:
                    raise LoginError(f"the Connection `{self.flowmate_conn_id}` does not say which connector it is for")
                return credentials_for(manifest_in(configured_catalog(), name), account, "hook")
            except LoginError as error:
                raise ConfigFailure(error.text) from None

    def test_connection(self) -> tuple[bool, str]:
        """Check what the Connection has against the connector's manifest, then with the other system.

        :return: whether it works, and what to tell people, without a secret
        """
        try:
            return tried(configured_catalog(), stored_of(self.get_connection(self.flowmate_conn_id)), self.connector)
        except LoginError as error:
            return False, error.text
        except Exception as error:  # Airflow shows the text of any, and theirs may hold what was tried
            return False, f"the Connection could not be tested ({type(error).__name__}); the log tells more"
