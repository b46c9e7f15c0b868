"""What the command line is made of: how a command starts, the words of its failures, the commands for staff."""
