"""The line as a service: a durable queue of studies, workers, a web API and a page."""
