"""Actions: each plans one kind of change to an absolute end state. Siblings that do not know each other."""

from stopgap.actions.http import Http
from stopgap.actions.postgres import Postgres
from stopgap.actions.restart import Restart
from stopgap.actions.rollback import Rollback
from stopgap.actions.scale import Scale

Action = Rollback | Restart | Scale | Http | Postgres
ACTIONS = (Rollback, Restart, Scale, Http, Postgres)

__all__ = ["ACTIONS", "Action", "Http", "Postgres", "Restart", "Rollback", "Scale"]
