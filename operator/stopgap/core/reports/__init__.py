"""What people read, written from the record alone: equal records give equal texts. Pure, and nothing in them is invented."""
