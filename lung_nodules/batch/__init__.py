"""A whole cohort through the line: on this machine, on Ray, or shared out among the pods of a Kubernetes job."""
