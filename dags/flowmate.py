"""Makes an Airflow DAG of every flow (YAML) below this folder."""

from flowmate_airflow.build.loader import load_flows

globals().update(load_flows(__file__))
