"""Windowed inference over any network callable."""
