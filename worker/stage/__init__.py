"""What a scene is played on: its clock, its model, its tools, and the script that is written down."""
