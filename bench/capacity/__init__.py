"""What a number of speakers needs, and a simulation of placing them, losing a zone and the storm that follows."""
