"""Where the service's actors live in the Ray cluster, and under which names they are found."""

from __future__ import annotations

NAMESPACE = "labelworks"
ACTOR_NAME = "job-registry"
# What serves stays on the head: other nodes come and go, an actor would keep them from going, and their profile may
# give them less. Ray Data's helper actors live where the first driver does.
HEAD_RESOURCES = {"node:__internal_head__": 0.001}
