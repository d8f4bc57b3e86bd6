"""What is done to rows that passed the gate, before they land."""
