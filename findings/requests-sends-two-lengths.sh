#!/bin/sh
# requests 2.34.2: a body that is chunked by hand is sent with Content-Length beside Transfer-Encoding.
#
# What one would guess: a caller who sets `Transfer-Encoding: chunked` and gives the framed bytes gets
# that one header, as RFC 9112, 6.2 demands: a sender must not send Content-Length with it. What
# happens: requests adds the length of the framed bytes, so servers that hold to the RFC answer 400.
# An inference server's public test suite rests on it. Give `data` a generator, without the header.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check requests==2.34.2
cat > ask.py <<'PYTHON'
import http.server
import threading

import requests


class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        names = {"content-length", "transfer-encoding"}
        print(*sorted(f"{k}: {v}" for k, v in self.headers.items() if k.lower() in names), sep=" + ")
        self.send_response(204)
        self.end_headers()
        self.close_connection = True

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
requests.post(url, data=b"5\r\nhello\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"})
requests.post(url, data=iter([b"hello"]))
PYTHON
seen=$(venv/bin/python ask.py)
echo "$seen"
[ "$seen" = "Content-Length: 15 + Transfer-Encoding: chunked
Transfer-Encoding: chunked" ] || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# Content-Length: 15 + Transfer-Encoding: chunked, and for the generator Transfer-Encoding: chunked
