"""The conformance suite: what a connector must do, tried on the connector itself."""
