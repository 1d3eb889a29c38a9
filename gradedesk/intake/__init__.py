"""What students handed in, onto the desk."""
