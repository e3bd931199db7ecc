"""A flow becomes a neutral graph, the graph a DAG."""
