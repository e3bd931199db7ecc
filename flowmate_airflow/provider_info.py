"""What Airflow is told about this provider. Imports nothing: discovery runs before Airflow's configuration is ready."""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, dict[str, Any]] = {
    "runtime": {
        "description": (
            "Where connector steps run: `docker` (a container each) or `process` (a child process of the worker in a "
            "virtual environment of the connector's own; it does not isolate, and runs Python connectors only)."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "process",
        "default": "docker",
    },
    "connectors_folder": {
        "description": (
            "Your own connectors: a folder with a folder for each, which holds a connector.yaml. "
            "Empty: the folder `connectors` in AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/opt/airflow/connectors",
        "default": "",
    },
    "batch_url": {
        "description": (
            "Where batches too large for XCom are kept: a folder that all workers share, or the URL of an object "
            "storage such as s3://conn_id@bucket/flowmate. Empty: the folder `flowmate/batches` in AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "s3://aws_default@my-bucket/flowmate",
        "default": "",
    },
    "store_url": {
        "description": (
            "The database of what FlowMate keeps (deliveries of webhooks, states, dead letters, results, links, "
            "catalogs, changed credentials): the URL of a PostgreSQL database, which may be Airflow's own, or of an "
            "SQLite file for one machine. Empty: the SQLite file `flowmate/store.db` in AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "sensitive": True,
        "example": "postgresql://user:password@host/flowmate",
        "default": "",
    },
    "public_url": {
        "description": (
            "The API server as other systems reach it, such as https://hooks.example.com: where providers "
            "are told to send webhooks. Never taken from a request. Empty: Airflow's `[api] base_url`."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "https://hooks.example.com",
        "default": "",
    },
    "return_urls": {
        "description": (
            "Where people may be sent when they have linked a connector: addresses with commas between them; each "
            "allows itself and all below its path. Empty: nowhere, they stay on FlowMate's pages."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "https://app.example.com/integrations",
        "default": "",
    },
    "embedding_keys": {
        "description": (
            "A file with the public RSA keys of the application that embeds FlowMate, as PEM one after the other or "
            "as a JWKS: its JWTs (RS256, `sub` is the tenant) let it use the API for one tenant. Read again when it "
            "changes, so keys are replaced without a restart. Empty: no JWT is taken."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/etc/flowmate/embedding.pem",
        "default": "",
    },
    "embedding_origins": {
        "description": (
            "The origins whose pages may call that API from a browser (CORS), with commas between them. Empty: none."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "https://app.example.com",
        "default": "",
    },
    "outgoing": {
        "description": (
            "The Connections of those who are told what becomes of runs, by webhooks: conn_ids with commas between "
            "them. Empty: nobody."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "my_app",
        "default": "",
    },
    "inline_limit": {
        "description": (
            "Bytes of JSON up to which the messages of a batch travel in XCom itself. Messages that XCom cannot carry "
            "unharmed (very deep ones, with NUL characters or with names that Airflow reserves) never do."
        ),
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "65536",
    },
    "files_folder": {
        "description": (
            "The folder that the connector `files` reads and writes in; containers see it as /data. "
            "Empty: the folder `flowmate/files` in AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/srv/exchange",
        "default": "",
    },
    "network": {
        "description": (
            "The Docker network of connector containers. Those whose connector lists the hosts that it reaches have "
            "none of their own, and reach these."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "none",
        "default": "bridge",
    },
    "egress_image": {
        "description": (
            "An image with `python3`, in which the helper runs that lets a container reach the hosts of its "
            "connector's manifest. Empty: the image of the connector `http`."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "registry.example.com/python:3-slim",
        "default": "",
    },
    "pull": {
        "description": "When a connector's image is pulled: `missing`, `always` or `never`.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "always",
        "default": "missing",
    },
}
"""Every option of the section `[flowmate]`: the one source of Airflow's config page, the docs and the defaults."""

CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "connector": {
        "label": "Connector",
        "description": "Which connector it is for, such as http. Its manifest says which other fields it needs.",
        "schema": {"type": ["string", "null"], "pattern": "^([a-z][a-z0-9_-]{0,63})?$"},
    },
    "auth": {
        "label": "Method",
        "description": "Which of the connector's ways to authenticate, where it has several.",
        "schema": {"type": ["string", "null"], "maxLength": 100},
    },
}
"""Fields of Airflow's form for Connections of the type `flowmate`; they are kept in the extra."""


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as Airflow's provider_info.schema.json wants it."""
    return {
        "package-name": "airflow-provider-flowmate",
        "name": "FlowMate",
        "description": "Embedded integrations: a YAML flow becomes a DAG, each connector step a container.",
        "integrations": [
            {
                "integration-name": "FlowMate",
                "external-doc-url": "https://airflow.apache.org/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": "FlowMate",
                "python-modules": [
                    "flowmate_airflow.operators.connector",
                    "flowmate_airflow.operators.map",
                    "flowmate_airflow.operators.outgoing",
                    "flowmate_airflow.operators.pair",
                    "flowmate_airflow.operators.reply",
                    "flowmate_airflow.operators.split",
                    "flowmate_airflow.operators.state",
                    "flowmate_airflow.operators.subscriptions",
                ],
            }
        ],
        "hooks": [{"integration-name": "FlowMate", "python-modules": ["flowmate_airflow.hooks.flowmate"]}],
        "connection-types": [
            {
                "connection-type": "flowmate",
                "hook-class-name": "flowmate_airflow.hooks.flowmate.FlowMateHook",
                "hook-name": "FlowMate",
                "conn-fields": CONNECTION_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "login": "Login, or client id",
                        "password": "Password, key, token or client secret",
                    },
                    "placeholders": {"host": "https://shop.example.com"},
                },
            }
        ],
        "sensors": [{"integration-name": "FlowMate", "python-modules": ["flowmate_airflow.sensors.webhook"]}],
        "triggers": [
            {
                "integration-name": "FlowMate",
                "python-modules": ["flowmate_airflow.triggers.outgoing", "flowmate_airflow.triggers.webhook"],
            }
        ],
        "cli": ["flowmate_airflow.cli.airflow.get_flowmate_commands"],
        "config": {
            "flowmate": {
                "description": "FlowMate: flows in YAML, connector steps in containers.",
                "options": OPTIONS,
            }
        },
    }
