"""What to ask people: orders to the policy loop, the schedule, the choice among drafts."""
