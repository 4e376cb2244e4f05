"""SpiceDB as the authority on who may do what."""
