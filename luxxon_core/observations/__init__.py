"""One frame of a place for a fixed price: a session of one unit, and the frame kept after it."""
