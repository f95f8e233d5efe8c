"""Real stacks to start, hurt and measure: what benches and tests share."""
