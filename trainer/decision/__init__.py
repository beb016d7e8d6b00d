"""From scores to decisions: calibration, costs and the rule that stops a transaction."""
