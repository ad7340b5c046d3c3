"""Tenuto."""
