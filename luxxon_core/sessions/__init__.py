"""Sessions: the state machine, the meter and the sweeps."""
