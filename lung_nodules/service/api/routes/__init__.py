"""The routes, a file a resource; each only translates."""
