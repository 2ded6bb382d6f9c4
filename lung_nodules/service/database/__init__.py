"""The PostgreSQL behind the service: an embedded one, or one that a URL names; and our tables in it."""
