"""The commands of links and tenants."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command, Group
from flowmate_airflow.cli.magiccommand import MAGIC

_TENANT = Argument(("tenant",), "the tenant's id", {"metavar": "TENANT"})
_CONNECTOR = Argument(("connector",), "the connector's name", {"metavar": "CONNECTOR"})
_CONNECTORS = Argument(
    ("--connectors",),
    "your own connectors: a folder with a folder for each (default: the option connectors_folder)",
    {"metavar": "DIR"},
)
_YES = Argument(("--yes",), "do not ask", {"action": "store_true"})
_FIELDS = (
    Argument(
        ("--field",),
        "what the connector asks for; a secret only as NAME=-, then it is asked for, or a line of standard input",
        {"metavar": "NAME=VALUE", "action": "append"},
    ),
    Argument(
        ("--fields-file",),
        "a file with all of it as a JSON object; - reads standard input",
        {"metavar": "FILE.json"},
    ),
)
_CONSENT = (
    Argument(
        ("--port",),
        "with a consent: the port of this machine that the provider sends people back to (default: any)",
        {"metavar": "PORT", "type": int, "default": 0},
    ),
    Argument(("--no-browser",), "with a consent: print the address only", {"action": "store_true"}),
)
_FORCE = Argument(("--force",), "also the links of others that use the same credentials", {"action": "store_true"})

LINKS = Group(
    "links",
    "Link connectors for tenants, and look after the links",
    (
        Command(
            "list",
            "List links, and which of them do not work",
            "flowmate_airflow.cli.links:list_links",
            (
                Argument(("--tenant",), "of this tenant only", {"metavar": "TENANT"}),
                Argument(("--connector",), "to this connector only", {"metavar": "CONNECTOR"}),
                FORMAT,
            ),
            ("links list", "links list --tenant acme --format json"),
        ),
        Command(
            "show",
            "Show one link: how it is, who uses it, what it reads",
            "flowmate_airflow.cli.links:show_link",
            (_TENANT, _CONNECTOR, FORMAT),
            ("links show acme shop",),
        ),
        Command(
            "check",
            "Find out whether credentials work, of one link or of all of a tenant",
            "flowmate_airflow.cli.links:check_links",
            (
                _TENANT,
                Argument(("connector",), "the connector's name (default: all)", {"metavar": "CONNECTOR", "nargs": "?"}),
                FORMAT,
                _CONNECTORS,
            ),
            ("links check acme shop", "links check acme --format json"),
        ),
        Command(
            "add",
            "Link a connector for a tenant: by a form, by a consent in the browser, or with another link's credentials",
            "flowmate_airflow.cli.linkadd:add_link",
            (
                *(_TENANT, _CONNECTOR),
                Argument(("--method",), "of the connector's (default: the only one)", {"metavar": "NAME"}),
                *_FIELDS,
                Argument(
                    ("--symlink",), "use the credentials of this link, with none of its own", {"metavar": "TENANT/NAME"}
                ),
                *_CONSENT,
                _CONNECTORS,
            ),
            (
                "links add acme shop --method key --field subdomain=acme --field key=-",
                "links add acme crm --port 8765",
                "links add acme mail --symlink acme/crm",
            ),
        ),
        Command(
            "remove",
            "Give a link's tokens back to the provider, then remove it with its credentials",
            "flowmate_airflow.cli.links:remove_link",
            (
                *(_TENANT, _CONNECTOR, _YES, _FORCE),
                Argument(
                    ("--must-revoke",),
                    "keep the link when the provider does not take the tokens back",
                    {"action": "store_true"},
                ),
                _CONNECTORS,
            ),
            ("links remove acme shop", "links remove acme shop --yes --must-revoke"),
        ),
        Command(
            "reauth",
            "Log in again for a link: what it reads, and what was filled in besides secrets, stays",
            "flowmate_airflow.cli.linkadd:reauth_link",
            (_TENANT, _CONNECTOR, *_FIELDS, *_CONSENT, _CONNECTORS),
            ("links reauth acme crm", "links reauth acme shop --field key=-"),
        ),
        MAGIC,
        Command(
            "fields",
            "Show or set which tables and fields are read for a tenant; those of the tenant default are the template",
            "flowmate_airflow.cli.links:link_fields",
            (
                *(_TENANT, _CONNECTOR),
                Argument(
                    ("--file",), "a file with a field map as JSON; - reads standard input", {"metavar": "FILE.json"}
                ),
                Argument(("--clear",), "have none of its own", {"action": "store_true"}),
                _CONNECTORS,
            ),
            ("links fields acme shop", "links fields default shop --file fields.json"),
        ),
    ),
)

TENANTS = Group(
    "tenants",
    "Tenants: their configs, and what differs for them in a flow",
    (
        Command(
            "list",
            "List tenants, and how many links each has",
            "flowmate_airflow.cli.tenants:list_tenants",
            (FORMAT,),
            ("tenants list", "tenants list --format json"),
        ),
        Command(
            "show",
            "Show a tenant: the config, the links, the flows",
            "flowmate_airflow.cli.tenants:show_tenant",
            (_TENANT, FORMAT),
            ("tenants show acme",),
        ),
        Command(
            "set",
            "Set a tenant's config, or what differs for them in a flow",
            "flowmate_airflow.cli.tenants:set_tenant",
            (
                _TENANT,
                Argument(
                    ("--config",),
                    "a file with the config as a JSON object; - reads standard input",
                    {"metavar": "FILE.json"},
                ),
                Argument(("--flow",), "the flow that the following is about", {"metavar": "FLOW"}),
                Argument(("--on",), "the flow runs for them", {"action": "store_true"}),
                Argument(("--off",), "it does not", {"action": "store_true"}),
                Argument(
                    ("--schedule",),
                    "when it runs for them, as in flow files; none: never by itself; inherit: as for the others",
                    {"metavar": "WHEN"},
                ),
                Argument(
                    ("--mapping",),
                    "a file with their custom field mapping as JSON; - reads standard input",
                    {"metavar": "FILE.json"},
                ),
                Argument(("--force",), "also when no such flow is found in the dags folder", {"action": "store_true"}),
            ),
            (
                "tenants set acme --config acme.json",
                "tenants set acme --flow orders --off",
                """tenants set acme --flow orders --schedule '0 6 * * *' --mapping fields.json""",
            ),
        ),
        Command(
            "delete",
            "Unlink all that a tenant has linked, and remove what is kept of them",
            "flowmate_airflow.cli.tenants:delete_tenant",
            (_TENANT, _YES, _FORCE, _CONNECTORS),
            ("tenants delete acme", "tenants delete acme --yes"),
        ),
    ),
)
