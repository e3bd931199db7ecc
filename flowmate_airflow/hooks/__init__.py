"""Airflow's hook for Connections of the type `flowmate`."""
