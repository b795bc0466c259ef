"""What a plan for a day says, hour by hour and against the plan that never changes."""
