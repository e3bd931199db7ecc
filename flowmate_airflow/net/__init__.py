"""Connections to addresses that others have chosen. Knows no Airflow."""
