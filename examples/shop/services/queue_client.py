"""What a driver of the broker is: no instrumentation knows it, its callers make the spans of messaging themselves."""

import http.client
import json

from service import HOSTS


class Refused(Exception):
    """The broker did not take a message."""


def send(queue, message, timeout_s=2.0):
    status, body = _post(f"/queues/{queue}/messages", json.dumps(message), timeout_s)
    if status != 201:
        raise Refused(body.decode().strip())


def receive(queue, timeout_s=5.0):
    """The next message, or none when there is none for a while."""
    status, body = _post(f"/queues/{queue}/next", "", timeout_s)
    return json.loads(body) if status == 200 else None


def _post(path, body, timeout_s):
    connection = http.client.HTTPConnection("broker", HOSTS["broker"], timeout=timeout_s)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as error:
        raise Refused(f"the broker does not answer: {error}") from error
    finally:
        connection.close()
