"""The console: Luxxon in a terminal, full screen, keyboard first."""
