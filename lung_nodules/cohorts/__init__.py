"""Collections of annotated scans and nodules, and their split by patient."""
