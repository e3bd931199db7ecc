"""The connector author's SDK: a connector is a file of decorated functions."""

from flowmate_connector.connector import Connector
from flowmate_connector.context import Context
from flowmate_connector.errors import ConfigError, ConnectorError, MessageError, TransientError
from flowmate_connector.message import Message
from flowmate_connector.webhook import Subscription, Webhook

__version__ = "1.0.0"

__all__ = [
    "ConfigError",
    "Connector",
    "ConnectorError",
    "Context",
    "Message",
    "MessageError",
    "Subscription",
    "TransientError",
    "Webhook",
]
