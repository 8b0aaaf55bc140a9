"""Actions: each plans one kind of change to an absolute end state. Siblings that do not know each other."""

from stopgap.actions.restart import Restart
from stopgap.actions.rollback import Rollback
from stopgap.actions.scale import Scale

Action = Rollback | Restart | Scale
ACTIONS = (Rollback, Restart, Scale)

__all__ = ["ACTIONS", "Action", "Restart", "Rollback", "Scale"]
