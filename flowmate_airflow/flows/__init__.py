"""The flow language: reading, checking and describing flow files. Knows no Airflow."""
