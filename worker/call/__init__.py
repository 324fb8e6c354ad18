"""One call's shell: feeds the turn machine, carries out what it says, and lets the audio pass by."""
