"""What happened: the log of events and those who follow it."""
