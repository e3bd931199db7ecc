"""The pages and the API by which tenants' connectors are linked."""
