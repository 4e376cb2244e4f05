"""Live inputs, frames and liveness: what the marketplace needs of a media edge."""
