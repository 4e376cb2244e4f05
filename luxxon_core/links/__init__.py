"""Links to the page for phones: one side of one session, for whoever holds the link."""
