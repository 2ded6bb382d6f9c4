"""How the networks are taught: one visible loop, and what is special to each network beside it."""
