"""The command of magic links."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command

MAGIC = Command(
    "magic",
    "Make a magic link: an address at which a tenant's people link connectors without an account",
    "flowmate_airflow.cli.magic:magic_link",
    (
        Argument(("tenant",), "the tenant's id", {"metavar": "TENANT"}),
        Argument(
            ("--connector",),
            "only this connector; may be said again (default: all that can be linked)",
            {"metavar": "CONNECTOR", "action": "append"},
        ),
        Argument(("--return-to",), "where they go on then; one of the option return_urls", {"metavar": "URL"}),
        Argument(
            ("--expires-in",), "how long it can be used, such as 2h (default: 1d)", {"metavar": "AGE", "default": "1d"}
        ),
        Argument(("--revoke",), "make none, and let the tenant's others be over", {"action": "store_true"}),
        FORMAT,
        Argument(
            ("--connectors",),
            "your own connectors: a folder with a folder for each (default: the option connectors_folder)",
            {"metavar": "DIR"},
        ),
    ),
    (
        "links magic acme",
        "links magic acme --connector crm --connector shop --expires-in 7d",
        "links magic acme --revoke",
    ),
)
