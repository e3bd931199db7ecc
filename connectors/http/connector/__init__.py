"""The connector `http`: any JSON API."""
