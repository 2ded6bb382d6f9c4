"""The service's HTTP interface. Routes only translate: the desk does the work."""
