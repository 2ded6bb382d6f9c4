"""What the networks are, how a model folder is loaded and on which runtime it runs."""
