"""FlowMate for Airflow: a YAML flow becomes a DAG, and each of its connector steps runs in a container."""

__version__ = "0.1.0"
