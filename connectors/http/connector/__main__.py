"""Starts the connector: `python -m connector run get`."""

from .functions import connector

connector.main()
