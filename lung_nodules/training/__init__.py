"""How the networks are taught: one visible loop, and what is special to each network beside it."""

from lung_nodules.surroundings import prepare_imports

prepare_imports()
