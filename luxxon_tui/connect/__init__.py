"""From a profile to a client of its server: by API key, by wallet, or of a marketplace of one's own."""
