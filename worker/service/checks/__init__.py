"""What `offhook check` looks at and `offhook serve` starts with: the same checks, so that both say the same."""
