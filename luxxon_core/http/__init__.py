"""The wire: operations, envelopes, the guard and the middleware that turns errors into answers."""
