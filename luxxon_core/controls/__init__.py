"""Pan, tilt, zoom and gimbal of the camera of a LIVE session, for both of its sides."""
