"""One module for each kind of file that comes out of the line."""
