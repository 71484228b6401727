"""All processes of a play, below one temporary folder, on free ports, and all ended at the end."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SHOP = Path(__file__).resolve().parent.parent
SERVICES = ("gateway", "cart", "checkout", "payment", "stock", "mailer")
OTHERS = {"broker": "broker", "api.cardpay.example": "cardpay"}
# What the files of settings say, for which free ones are taken.
USUAL_PORTS = {
    "gateway": 8001,
    "cart": 8002,
    "checkout": 8003,
    "payment": 8004,
    "stock": 8005,
    "mailer": 8006,
    "broker": 8007,
    "api.cardpay.example": 8008,
    "tickets": 8090,
    "prometheus": 9090,
    "alertmanager": 9093,
    "web": 9464,
    "otlp-grpc": 4317,
    "otlp-http": 4318,
}
REQUESTS_PER_S = 24
RESTART_AFTER_S = 1.5


class Broken(Exception):
    """The stage itself does not hold, whatever is played."""


def get(url, timeout_s=5):
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return answer.read()


def post(url, body, timeout_s=5):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return answer.read()


def free_ports(names):
    """A free port for each name; all are held until all are known."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: held.getsockname()[1] for name, held in sockets.items()}
    for held in sockets.values():
        held.close()
    return ports


def _end_with_parent():
    """Whatever becomes of the script, what it has started does not outlive it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class World:
    """Starts, watches and ends processes. Use it as `with World(…) as world`."""

    def __init__(self, folder, hypocenter, python=sys.executable):
        self.folder, self.hypocenter, self.python = Path(folder), hypocenter, python
        self.ports = free_ports(USUAL_PORTS)
        self.children = {}
        self.ended_at, self.versions, self.faults = {}, dict.fromkeys(SERVICES, "1.0.0"), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def url(self, name, path=""):
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def settings(self, name):
        """A file of settings in the folder, with the ports of this world."""
        text = (SHOP / name).read_text()
        for host, usual in USUAL_PORTS.items():
            text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{self.ports[host]}")
        target = self.folder / name
        target.write_text(text)
        return target

    def start_all(self):
        """Everything but the load; gives when all of it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in ("logs", "prometheus", "alertmanager"):
            (self.folder / folder).mkdir(exist_ok=True)
        self.settings("rules.yml")
        self.start("hypocenter", [self.hypocenter, "serve", "--config", self.settings("hypocenter.toml")])
        address = lambda name: f"127.0.0.1:{self.ports[name]}"  # noqa: E731
        self.start(
            "alertmanager",
            [
                find("prometheus-alertmanager", "alertmanager"),
                f"--config.file={self.settings('alertmanager.yml')}",
                f"--storage.path={self.folder}/alertmanager",
                f"--web.listen-address={address('alertmanager')}",
                "--cluster.listen-address=",  # alone
            ],
        )
        self.start(
            "prometheus",
            [
                find("prometheus"),
                f"--config.file={self.settings('prometheus.yml')}",
                f"--storage.tsdb.path={self.folder}/prometheus",
                f"--web.listen-address={address('prometheus')}",
            ],
        )
        self.await_answer(self.url("web", "/-/ready"), "hypocenter")
        subprocess.run([self.python, SHOP / "services/database.py"], env=self.environment("database"), check=True)
        for name in SERVICES:
            self.start_service(name)
        for host, script in OTHERS.items():
            self.start(host, [self.python, SHOP / f"services/{script}.py"], self.environment(host))
        for name in (*SERVICES, *OTHERS):
            self.await_answer(self.url(name, "/healthy"), name)
        self.await_answer(self.url("prometheus", "/-/ready"), "prometheus")
        self.await_answer(self.url("alertmanager", "/-/ready"), "alertmanager")

    def start_load(self, requests_per_s=REQUESTS_PER_S):
        script = [self.python, SHOP / "services/load.py", str(self.ports["gateway"]), str(requests_per_s)]
        self.start("load", script)

    def start_service(self, name):
        self.start(name, [self.python, SHOP / f"services/{name}.py"], self.environment(name))

    def environment(self, name):
        hosts = {host: self.ports[host] for host in (*SERVICES, *OTHERS)}
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url("otlp-http"),
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OTEL_BLRP_SCHEDULE_DELAY": "500",
            "SHOP_VERSION": self.versions.get(name, ""),
            "SHOP_HOSTS": json.dumps(hosts),
            "SHOP_DATABASE": str(self.folder / "shop.db"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, name, command, environment=None):
        with open(self.folder / "logs" / f"{name}.log", "ab") as log:
            self.children[name] = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the script, which ends them in order
                preexec_fn=_end_with_parent,
            )

    def await_answer(self, url, name, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.children[name].poll() is not None:
                raise Broken(f"{name} ended:\n{self.last_lines(name)}")
            try:
                return get(url, 1)
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.1)
        raise Broken(f"{name} does not answer after {seconds} s:\n{self.last_lines(name)}")

    def last_lines(self, name):
        lines = (self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def tick(self, seconds=0.2):
        """Lets time pass and does what a supervisor does: what has ended is started again, faults included."""
        until = time.monotonic() + seconds
        while True:
            for name, child in list(self.children.items()):
                self._look_after(name, child)
            if time.monotonic() >= until:
                return
            time.sleep(0.1)

    def _look_after(self, name, child):
        if child.poll() is None:
            return
        if name not in SERVICES:
            raise Broken(f"{name} ended:\n{self.last_lines(name)}")
        ended = self.ended_at.setdefault(name, time.monotonic())
        if time.monotonic() - ended >= RESTART_AFTER_S:
            del self.ended_at[name]
            self.start_service(name)
            self.await_answer(self.url(name, "/healthy"), name)
            for kind in self.faults.get(name, ()):
                post(self.url(name, "/fault"), {"kind": kind, "on": True})

    def switch(self, name, kind, on):
        """Switches a fault of a service; it survives the end of the process."""
        kinds = self.faults.setdefault(name, set())
        (kinds.add if on else kinds.discard)(kind)
        try:
            post(self.url(name, "/fault"), {"kind": kind, "on": on})
        except OSError:
            self.tick(RESTART_AFTER_S + 0.5)  # it is being started again, with what holds now

    def deploy(self, name, version):
        """Another version of a service."""
        self.versions[name] = version
        self._end([self.children[name]])
        self.start_service(name)
        self.await_answer(self.url(name, "/healthy"), name)

    def stop(self):
        """Ends all processes; what sends before what receives."""
        receivers = ["prometheus", "alertmanager", "hypocenter"]
        senders = [child for name, child in self.children.items() if name not in receivers]
        self._end(senders)
        self._end([self.children[name] for name in receivers if name in self.children])
        self.children.clear()

    @staticmethod
    def _end(children):
        for child in children:
            child.terminate()
        until = time.monotonic() + 5
        for child in children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def find(*names):
    """The first of these programs that is on the path."""
    for name in names:
        if path := shutil.which(name):
            return path
    raise Broken(f"{names[0]} is not on the path: apt-get install {names[0]}")
