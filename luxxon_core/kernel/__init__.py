"""What every slice may know: money, places, time, ids, errors and the unit of work."""
