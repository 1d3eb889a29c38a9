"""The desk, tried: a made class, with attacks, and a long run that is killed again and again."""
