"""What the networks are, how a model folder is loaded and on which runtime it runs."""

from lung_nodules.surroundings import prepare_imports

prepare_imports()
