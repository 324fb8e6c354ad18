"""What a tool is: its recipe, its schema, what it needs of others, and how tools are found."""
