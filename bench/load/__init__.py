"""The load side: programs of their own, so that what they cost is known and is nobody else's."""
