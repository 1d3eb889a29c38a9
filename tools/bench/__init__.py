"""How fast the course's code is, each beside a peer in the same run."""
