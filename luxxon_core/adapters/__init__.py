"""One folder per technology, one file per port it serves. Adapters do not know each other."""
