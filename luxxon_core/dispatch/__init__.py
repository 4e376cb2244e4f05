"""Who gets the session."""
