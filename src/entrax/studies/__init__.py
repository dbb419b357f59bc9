"""Claims about soft optimality as experiments with a verdict; they return numbers and draw nothing."""
