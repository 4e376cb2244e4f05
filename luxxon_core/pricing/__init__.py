"""What a second costs."""
