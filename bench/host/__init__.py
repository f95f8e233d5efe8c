"""What a host carries, measured in five minutes: streams, memory, and the numbers of an autoscaler."""
