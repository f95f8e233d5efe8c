"""Everything between the gateway and its workers: channels, health, choice, retries, replay."""
