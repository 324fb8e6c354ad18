"""rq-dashboard on the tools' queue, on loopback: what a call has in the queue can be read there, and cancelled.

rq-dashboard's own Delete takes a job's record away and leaves its tool running, while a call waits for what nobody will
write. Here that button cancels: a job that waits never starts, one that runs is stopped, and the call which asked is
told. What is over stays, since a job's record is what keeps its tool from running twice. The pages that rq-dashboard
0.9 reads with pickle (workers, requeue) read JSON here, and none shows a tool's arguments.

It has no password, so it answers on 127.0.0.1 alone, and to no page but its own.
"""

from __future__ import annotations

import functools
import importlib
import socket
from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Response, abort, jsonify, request
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, requeue_job
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from werkzeug.serving import WSGIRequestHandler, make_server

from tools.errors import QueueUnavailable
from tools.queue import names
from tools.queue.client import QueueClient, QueueSettings, reason
from tools.queue.job import QueueJob
from tools.tool_call.request import job_id as tool_call_job

HOST: Final = "127.0.0.1"
WAITING = {"deferred": DeferredJobRegistry, "scheduled": ScheduledJobRegistry, "started": StartedJobRegistry}


class _ShownJob(Job):
    """A job whose call is shown by what it is for: RQ's way has the arguments in it."""

    def get_call_string(self) -> str | None:
        return self.description


class _Workers:
    """What the page of the workers asks rq for."""

    all = staticmethod(functools.partial(Worker.all, job_class=_ShownJob, serializer=JSONSerializer))


class _Quiet(WSGIRequestHandler):
    """Logs no requests: a page asks every 2.5 s."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def make_app(settings: QueueSettings) -> Flask:
    """Return rq-dashboard as an application, with what is said above; it starts nothing."""
    web: Any = importlib.import_module("rq_dashboard.web")
    cli: Any = importlib.import_module("rq_dashboard.cli")
    web.config.serializer = JSONSerializer
    web.Worker = _Workers
    web.requeue_job = functools.partial(requeue_job, serializer=JSONSerializer)
    app: Flask = cli.make_flask_app(None, None, None, "")
    app.config["RQ_DASHBOARD_REDIS_URL"] = settings.url
    web.setup_rq_connection(app)
    client = QueueClient(settings)
    app.before_request(_from_here_only)
    app.view_functions["rq_dashboard.delete_job_view"] = _told(functools.partial(_cancel, client))
    app.view_functions["rq_dashboard.empty_queue"] = _told(functools.partial(_cancel_all, client))
    return app


def run_dashboard(settings: QueueSettings, port: int, on_ready: Callable[[str], None], host: str = HOST) -> None:
    """Show it until interrupted; port 0 takes a free one. `on_ready` gets its URL. Raises OSError for a busy port.

    host: where to listen. It is another one in a container only, whose port is published on 127.0.0.1.
    """
    app = make_app(settings)
    with socket.create_server((host, port)) as listening:  # with a port of its own, werkzeug exits where it is busy
        found = listening.getsockname()[1]
        server = make_server(host, found, app, threaded=True, request_handler=_Quiet, fd=listening.fileno())
        on_ready(f"http://{HOST}:{found}")
        server.serve_forever()


def _from_here_only() -> None:
    """Refuse what another site's page sends through the operator's browser."""
    changes = request.method == "POST" or request.endpoint == "rq_dashboard.requeue_all"
    own = request.host_url.rstrip("/")
    if request.host.partition(":")[0] not in (HOST, "localhost"):
        abort(403, "this dashboard is for 127.0.0.1 and localhost only")
    if changes and (request.method != "POST" or request.headers.get("Origin", own) != own):
        abort(403, "this comes from another site's page")


def _told(view: Callable[..., dict[str, Any]]) -> Callable[..., Response]:
    """Make a view of a function; where Redis is away, that is its answer."""

    def answer(**words: str) -> Response:
        try:
            return jsonify(view(**words))
        except (QueueUnavailable, RedisError) as error:
            why = str(error) if isinstance(error, QueueUnavailable) else reason(error)
            return jsonify({"status": "ERROR", "reason": why})

    return answer


def _cancel(client: QueueClient, job_id: str) -> dict[str, Any]:
    """Cancel a job, or the whole of the tool call that it is a step of."""
    how = client.cancel(_whole(client, job_id))
    return {"status": "OK" if how in ("removed", "stopped") else "ERROR", "how": how}


def _cancel_all(client: QueueClient, queue_name: str, registry_name: str) -> dict[str, Any]:
    """Cancel what waits or runs; what is over is kept."""
    if registry_name == "queued":
        found: Any = client.redis.lrange(names.queue_key(queue_name), 0, -1)
        jobs = [job.decode() for job in found if names.is_job_id(job)]
    elif registry := WAITING.get(registry_name):
        jobs = registry(queue_name, connection=client.redis).get_job_ids(cleanup=False)
    else:
        return {"status": "DISABLED"}
    return {"status": "OK", "cancelled": sum(_cancel(client, job)["status"] == "OK" for job in jobs)}


def _whole(client: QueueClient, job_id: str) -> str:
    """The id of the tool call's own job, of which this one may be a step: nobody else would end what waits for it."""
    try:
        job = QueueJob.fetch(job_id, connection=client.redis, serializer=JSONSerializer)
    except NoSuchJobError:
        return job_id
    if (isinstance(job, QueueJob) and job.damage) or job.func_name != names.ENTRY or not job.args[0].get("step"):
        return job_id
    return tool_call_job(job.meta["call_id"], job.meta["tool_call_id"])
