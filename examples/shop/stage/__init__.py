"""What sets the stage for the shop: processes, settings, tickets, and the play itself."""
