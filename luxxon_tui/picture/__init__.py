"""Live pictures in terminal cells: pixels in, rows of text out, through one driver interface."""
