"""An S3-compatible server on a free loopback port, for the tests. Started by scripts/s3-server.

usage: s3_server.py ENDPOINT_FILE

Writes its address into ENDPOINT_FILE once it answers, and runs until it is told to stop or its standard input ends, which it also
does when whoever started it was killed.
"""

import io
import os
import sys
import threading
import urllib.request

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream


class OneAtATime:
    """Serves one request after the other.

    moto compares If-Match and If-None-Match first and stores the object later, in one thread per connection and with no lock between:
    two writers could both win. The body is read before the lock is taken, so that a client that stalls in mid-request delays nobody.
    """

    def __init__(self, app):
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        body = get_input_stream(environ).read()
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        # The body is whole now, so what said that it comes in pieces is no longer true.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        with self.lock:
            return list(self.app(environ, start_response))


class Quiet(MotoRequestHandler):
    """Logs errors and no requests: tests make tens of thousands of them."""

    def log_request(self, *args):
        pass


def main():
    endpoint_file = sys.argv[1]
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    endpoint = f"http://127.0.0.1:{server.server_port}"
    # moto loads its S3 part at the first request; let that be this one and not a test's.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(endpoint, timeout=60).read()
    with open(endpoint_file + ".new", "w") as file:
        file.write(endpoint)
    os.rename(endpoint_file + ".new", endpoint_file)

    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
