"""Who may do what: tokens, roles, the audit log, limits, and what never enters a log."""
