"""The connector `files`: CSV, JSON Lines and JSON files."""
