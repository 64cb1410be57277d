"""Past one process: Ray places the ranks of the learner and the engines, and says when one is gone.

Ray is imported when a cluster is used, and nowhere but here.
"""

from __future__ import annotations

from assay.cluster.settings import ClusterSettings

__all__ = ["ClusterSettings"]
