"""Studies that wait, are read, and are done: the queue, its states and the worker."""
