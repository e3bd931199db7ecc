"""Connector manifests and where they are found. Knows no Airflow."""
