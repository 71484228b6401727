"""A ticket server that behaves as GitHub's API for issues and their comments does, and keeps each ticket as Markdown.

    POST  /repos/OWNER/NAME/issues                     GET the same, or /issues/N
    PATCH /repos/OWNER/NAME/issues/N
    POST  /repos/OWNER/NAME/issues/N/comments          GET the same
    PATCH /repos/OWNER/NAME/issues/comments/ID

As there: a token, a User-Agent, titles of at most 256 and bodies of at most 65,536 characters, 404 for what is not
there.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

MOST_CHARACTERS = {"title": 256, "body": 65_536}


class Refused(Exception):
    """What GitHub would not take."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass
class Text:
    """The body of an issue or a comment, with the times of its versions."""

    id: int
    body: str
    written_at: list = field(default_factory=lambda: [time.time()])

    def edit(self, body):
        self.body = body
        self.written_at.append(time.time())


@dataclass
class Ticket(Text):
    """An issue. Its number is its id."""

    title: str = ""
    state: str = "open"
    comments: list = field(default_factory=list)
    first_body: str = ""
    """As it was before any edit."""


class Tickets:
    """All tickets of one repository."""

    def __init__(self, folder, repository, token):
        self.folder, self.repository, self.token = Path(folder), repository, token
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.tickets, self.refusals = [], []
        self.next_comment = 1001

    def since(self, at):
        """Tickets that were opened since then."""
        with self.lock:
            return [ticket for ticket in self.tickets if ticket.written_at[0] >= at]

    def path(self, ticket):
        return self.folder / f"{ticket.id}.md"

    def serve(self, port):
        """Serves in a thread of its own, which ends with the process."""
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def answer(self, method, path, query, body):
        """Status and answer to a request with a good token."""
        found = re.fullmatch(rf"/repos/{re.escape(self.repository)}/issues(/comments/\d+|/\d+(/comments)?)?", path)
        if not found:
            raise Refused(404, "Not Found")
        number, comment = re.search(r"issues/(\d+)", path), re.search(r"/comments/(\d+)$", path)
        if comment:
            return self.edit_comment(method, int(comment[1]), body)
        if number is None:
            return self.all_or_new(method, query, body)
        ticket = next((ticket for ticket in self.tickets if ticket.id == int(number[1])), None)
        if ticket is None:
            raise Refused(404, "Not Found")
        if path.endswith("/comments"):
            return self.comments_or_new(method, ticket, query, body)
        if method == "PATCH":
            self.edit(ticket, body)
        elif method != "GET":
            raise Refused(404, "Not Found")
        return 200, self.shown(ticket)

    def all_or_new(self, method, query, body):
        if method == "GET":
            states = ("open", "closed") if query.get("state") == "all" else (query.get("state", "open"),)
            return 200, [self.shown(ticket) for ticket in paged(self.tickets[::-1], query) if ticket.state in states]
        if not text(body, "title"):
            raise Refused(422, "Validation Failed: title is missing")
        ticket = Ticket(len(self.tickets) + 1, text(body, "body") or "", title=body["title"])
        ticket.first_body = ticket.body
        self.tickets.append(ticket)
        self.keep(ticket)
        return 201, self.shown(ticket)

    def edit(self, ticket, body):
        ticket.title = text(body, "title") or ticket.title
        if (new := text(body, "body")) is not None:
            ticket.edit(new)
        if (state := body.get("state")) is not None:
            if state not in ("open", "closed"):
                raise Refused(422, f"Validation Failed: {state} is no state")
            ticket.state = state
        self.keep(ticket)

    def comments_or_new(self, method, ticket, query, body):
        if method == "GET":
            return 200, [self.shown(comment) for comment in paged(ticket.comments, query)]
        if not text(body, "body"):
            raise Refused(422, "Validation Failed: body is missing")
        comment = Text(self.next_comment, body["body"])
        self.next_comment += 1
        ticket.comments.append(comment)
        self.keep(ticket)
        return 201, self.shown(comment)

    def edit_comment(self, method, comment_id, body):
        for ticket in self.tickets:
            for comment in ticket.comments:
                if comment.id == comment_id and method == "PATCH":
                    comment.edit(text(body, "body") or "")
                    self.keep(ticket)
                    return 200, self.shown(comment)
        raise Refused(404, "Not Found")

    def shown(self, item):
        when = [datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for at in item.written_at]
        shown = {"id": item.id, "body": item.body, "created_at": when[0], "updated_at": when[-1]}
        if isinstance(item, Ticket):
            shown |= {"number": item.id, "title": item.title, "state": item.state}
        return shown

    def keep(self, ticket):
        comments = "".join(f"\n\n---\n\n{comment.body}" for comment in ticket.comments)
        self.path(ticket).write_text(f"# {ticket.title}\n\n{ticket.body}{comments}\n")


def text(body, name):
    """A text of a request, within GitHub's limit; none if it is not there."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(422, f"Validation Failed: {name} is no string")
    # GitHub counts as JavaScript does.
    if value is not None and len(value.encode("utf-16-le")) // 2 > MOST_CHARACTERS[name]:
        raise Refused(422, f"Validation Failed: {name} is too long (maximum is {MOST_CHARACTERS[name]} characters)")
    return value


def paged(items, query):
    per_page, page = int(query.get("per_page", 30)), int(query.get("page", 1))
    if since := query.get("since"):
        since = datetime.fromisoformat(since.replace("Z", "+00:00")).timestamp()
        items = [item for item in items if item.written_at[-1] >= since]
    return items[(page - 1) * per_page : page * per_page]


def _handler(tickets):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            url = urlsplit(self.path)
            try:
                # Read in any case: what is left over would be taken for the next request.
                read = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.check()
                body = json.loads(read) if read else {}
                if not isinstance(body, dict):
                    raise Refused(400, "Body should be a JSON object")
                query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                with tickets.lock:
                    status, answer = tickets.answer(self.command, url.path, query, body)
            except json.JSONDecodeError:
                status, answer = 400, {"message": "Problems parsing JSON"}
            except Refused as refused:
                status, answer = refused.status, {"message": str(refused)}
            if status >= 400:
                tickets.refusals.append(f"{self.command} {self.path}: {status} {answer['message']}")
            shown = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(shown)))
            self.end_headers()
            self.wfile.write(shown)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

        def check(self):
            if not self.headers.get("User-Agent"):
                raise Refused(403, "Request forbidden by administrative rules: there is no User-Agent")
            if self.headers.get("Authorization") not in (f"Bearer {tickets.token}", f"token {tickets.token}"):
                raise Refused(401, "Bad credentials")

        def log_message(self, *_args):
            pass

    return Handler
