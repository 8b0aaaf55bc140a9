"""Actions: each plans one kind of change to an absolute end state. Siblings that do not know each other."""

from stopgap.actions.rollback import Good, Rollback

ACTIONS = (Rollback,)

__all__ = ["ACTIONS", "Good", "Rollback"]
