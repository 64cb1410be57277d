"""Models behind OpenAI-compatible servers: measured, asked for demonstrations, or made judges; never trained.

    from assay.endpoints.client import EndpointClient

is apart, so that whoever only names an endpoint does not load an HTTP library.
"""

from __future__ import annotations

from assay.endpoints.endpoint import Endpoint
from assay.endpoints.replies import Replies
from assay.endpoints.responder import Reply, Responder
from assay.endpoints.tally import Tally

__all__ = ["Endpoint", "Replies", "Reply", "Responder", "Tally"]
