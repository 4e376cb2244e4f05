"""A map of the world in braille dots: from the coastlines of all continents down to a grid of streets."""
