"""One file a group of commands; heavy libraries are imported inside the commands."""
