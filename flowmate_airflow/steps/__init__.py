"""What a step does when it runs: joins a protocol, a runtime and a batch. Knows no Airflow, so that the operators and
the command line run the same code."""
