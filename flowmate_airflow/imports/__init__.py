"""Flows of other tools, turned into flow files. Knows no Airflow."""
