"""Publish and subscribe without storage."""
