"""From Airflow's Connections to what a connector's function gets as credentials."""
