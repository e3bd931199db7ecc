"""The command line: `flowmate`, and the same as `airflow flowmate`."""
