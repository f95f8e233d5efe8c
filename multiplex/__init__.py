"""What both ends of a link between gateway and worker share: credit of its calls, and batches. No I/O."""
