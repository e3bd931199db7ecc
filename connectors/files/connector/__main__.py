"""Starts the connector: `python -m connector run read`."""

from .functions import connector

connector.main()
