"""Behaviour signals from pictures: what can be measured honestly, and nothing that cannot."""
