"""Small servers for the tests of collect and upload: a hub, S3 that recomputes every signature, and plain files, each with faults on request.

They keep what was asked of them, so that tests can look: `log` holds (method, path with query, headers, status).
"""
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that are killed leave connections behind."""


class Server:
    """A threaded HTTP server on a free port; handle(request) is a subclass's."""

    def __init__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def serve(self):
                self.outer = outer
                bytes_in = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(bytes_in) if bytes_in else b""
                with outer.lock:
                    outer.moved += bytes_in
                self.answered = None
                try:
                    outer.handle(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                with outer.lock:
                    outer.log.append((self.command, self.path, dict(self.headers.items()), self.answered))

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

            def give(self, status, body=b"", headers=(), length=None):
                """An answer; length: what Content-Length says, where that is not the truth."""
                self.answered = status
                self.send_response(status)
                names = {name.lower() for name, _ in headers}
                if "content-length" not in names:
                    self.send_header("Content-Length", str(len(body) if length is None else length))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                if length is not None and length != len(body):
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)

            def drop(self):
                """No answer at all."""
                self.answered = 0
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        self.lock, self.log = threading.RLock(), []
        self.faults = []     # (matches(request) -> bool, action(request) -> bool: handled), used once each
        self.slow = 0.0      # seconds between pieces of 64 KiB
        self.moved = 0       # bytes of such bodies, and of what was sent to us
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def asked(self, method=None, part=""):
        with self.lock:
            return [row for row in self.log if (method is None or row[0] == method) and part in row[1]]

    def forget(self):
        with self.lock:
            self.log.clear()

    def fault(self, part, action, method=None):
        """The next request whose path holds part meets action."""
        with self.lock:
            self.faults.append((part, method, action))

    def meets_fault(self, request):
        with self.lock:
            for i, (part, method, action) in enumerate(self.faults):
                if part in request.path and method in (None, request.command):
                    del self.faults[i]
                    break
            else:
                return False
        return action(request) is not False

    def wait_moved(self, process, count):
        """Until so many more bytes have moved, or the process has ended; true if it still runs."""
        begin = self.moved
        while self.moved - begin < count and process.poll() is None:
            time.sleep(0.002)
        return process.poll() is None

    def give_file(self, request, content, etag, extra=(), whole=(), ranges=True):
        """A file, or the range that was asked for if If-Range allows it. whole: headers of a full answer only."""
        headers = [("ETag", etag), *extra] if etag else list(extra)
        wanted = request.headers.get("Range") if ranges else None
        condition = request.headers.get("If-Range")
        if wanted and (condition is None or condition == etag):
            begin = int(wanted[len("bytes="):].rstrip("-"))
            if begin >= len(content):
                request.give(416, b"", [("Content-Range", f"bytes */{len(content)}")])
                return
            status, body = 206, content[begin:]
            headers.append(("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}"))
        else:
            status, body = 200, content
            headers += whole
        if not self.slow or request.command == "HEAD":
            request.give(status, body, headers)
            return
        request.answered = status
        request.send_response(status)
        for name, value in [("Content-Length", str(len(body))), *headers]:
            request.send_header(name, value)
        request.end_headers()
        for at in range(0, len(body), 65536):
            request.wfile.write(body[at:at + 65536])
            request.wfile.flush()
            with self.lock:
                self.moved += 65536
            time.sleep(self.slow)


# ---- faults -----------------------------------------------------------------------------------------------------------------------------

def answer(status, headers=(), body=b"later"):
    return lambda request: request.give(status, body, list(headers))


def drop(request):
    request.drop()


def cut(content, at, etag):
    """The first bytes of a whole answer, then the connection ends."""
    return lambda request: request.give(200, content[:at], [("ETag", etag)] if etag else [], length=len(content))


# ---- plain files ------------------------------------------------------------------------------------------------------------------------

class Files(Server):
    def __init__(self, files):
        super().__init__()
        self.files, self.passwords, self.no_head, self.etags, self.ranges = dict(files), {}, set(), True, True
        self.redirects, self.dates = {}, {}

    def etag(self, path):
        return '"' + hashlib.sha1(self.files[path]).hexdigest()[:16] + '"' if self.etags else None

    def handle(self, request):
        path = request.path.split("?")[0]
        if self.meets_fault(request):
            return
        if path in self.redirects:
            request.give(302, b"", [("Location", self.redirects[path])])
        elif path not in self.files:
            request.give(404, b"none")
        elif path in self.passwords and request.headers.get("Authorization") != self.passwords[path]:
            request.give(401, b"who")
        elif request.command == "HEAD" and path in self.no_head:
            request.give(403)
        else:
            extra = [("Last-Modified", self.dates[path])] if path in self.dates else []
            self.give_file(request, self.files[path], self.etag(path), extra, ranges=self.ranges)


# ---- the hub ----------------------------------------------------------------------------------------------------------------------------

class Hub(Server):
    """One or more data sets; files above `lfs` bytes are served by another server (`store`), to which resolve redirects."""

    def __init__(self, store, token=None, lfs=1000, page=3):
        super().__init__()
        self.store, self.token, self.lfs, self.page = store, token, lfs, page
        self.repos = {}      # name -> {revision: commit}
        self.trees = {}      # (name, commit) -> {path: content}
        self.lies = {}       # path -> sha256 that the tree tells instead of the true one

    def add(self, name, commit, files, revisions=("main",)):
        repo = self.repos.setdefault(name, {})
        repo[commit] = commit
        for revision in revisions:
            repo[revision] = commit
        self.trees[name, commit] = dict(files)
        for path, content in files.items():
            if len(content) > self.lfs:
                self.store.files[f"/blob/{hashlib.sha256(content).hexdigest()}"] = content

    def handle(self, request):
        if self.meets_fault(request):
            return
        path = urllib.parse.urlsplit(request.path)
        parts = path.path.lstrip("/").split("/")
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            request.give(401, b"{}", [("X-Error-Code", "GatedRepo"), ("X-Error-Message", "Access to this data set is restricted.")])
        elif parts[0] == "api":
            self.api(request, parts[2:], urllib.parse.parse_qs(path.query))
        else:
            self.resolve(request, parts[1:])

    def split(self, parts, word):
        for n in (2, 1):
            name = "/".join(parts[:n])
            if name in self.repos and len(parts) > n and parts[n] == word:
                return name, [urllib.parse.unquote(p) for p in parts[n + 1:]]
        return None, None

    def missing(self, request, code):
        request.give(404, b"{}", [("X-Error-Code", code), ("X-Error-Message", code)])

    def api(self, request, parts, query):
        name, rest = self.split(parts, "revision")
        if name is not None:
            commit = self.repos[name].get("/".join(rest))
            if commit is None:
                self.missing(request, "RevisionNotFound")
            else:
                request.give(200, json.dumps({"id": name, "sha": commit}).encode())
            return
        name, rest = self.split(parts, "tree")
        if name is None:
            self.missing(request, "RepoNotFound")
            return
        tree, directory = self.trees[name, rest[0]], "/".join(rest[1:])
        if directory and not any(p.startswith(directory + "/") for p in tree):
            self.missing(request, "EntryNotFound")
            return
        entries = self.entries(tree, directory, query.get("recursive") == ["true"])
        at = int(query.get("cursor", ["0"])[0])
        headers = []
        if at + self.page < len(entries):
            more = urllib.parse.urlencode({"recursive": query["recursive"][0], "cursor": at + self.page})
            headers.append(("Link", f'<{self.url}{request.path.split("?")[0]}?{more}>; rel="next"'))
        request.give(200, json.dumps(entries[at:at + self.page]).encode(), headers)

    def entries(self, tree, directory, recursive):
        rows, seen = [], set()
        start = directory + "/" if directory else ""
        for path, content in sorted(tree.items()):
            if not path.startswith(start):
                continue
            below = path[len(start):].split("/")
            for n in range(1, len(below) if recursive else min(len(below), 2)):
                folder = start + "/".join(below[:n])
                if folder not in seen:
                    rows.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": folder})
                seen.add(folder)
            if not recursive and len(below) > 1:
                continue
            row = {"type": "file", "path": path, "size": len(content),
                   "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
            if len(content) > self.lfs:
                row["lfs"] = {"oid": self.lies.get(path, hashlib.sha256(content).hexdigest()), "size": len(content), "pointerSize": 130}
                row["oid"] = "1" * 40
            elif path in self.lies:
                row["oid"] = self.lies[path]
            rows.append(row)
        return rows

    def resolve(self, request, parts):
        name, rest = self.split(parts, "resolve")
        tree = self.trees.get((name, rest[0])) if name else None
        path = "/".join(rest[1:]) if name else None
        if tree is None or path not in tree:
            self.missing(request, "EntryNotFound")
            return
        content = tree[path]
        if len(content) > self.lfs:
            digest = hashlib.sha256(content).hexdigest()
            request.give(302, b"", [("Location", f"{self.store.url}/blob/{digest}?signature=secret"), ("X-Repo-Commit", rest[0]),
                                    ("X-Linked-Size", str(len(content))), ("X-Linked-ETag", f'"{digest}"')])
        else:
            self.give_file(request, content, '"' + hashlib.sha1(content).hexdigest() + '"', [("X-Repo-Commit", rest[0])])


# ---- S3 ---------------------------------------------------------------------------------------------------------------------------------

def sign(secret, day, region, text):
    key = ("AWS4" + secret).encode()
    for word in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class S3(Server):
    """Buckets of one region. keys: access key -> secret; none: anybody may read and write, and signed requests are refused."""

    def __init__(self, keys=None, region="us-east-1", page=3, token=None, checksums=True):
        super().__init__()
        self.keys, self.region, self.page, self.token, self.checksums = keys or {}, region, page, token, checksums
        self.buckets = {}   # name -> {key: {"data", "etag", "sum", "meta"}}
        self.uploads = {}   # id -> {"bucket", "key", "meta", "parts": {number: {...}}}
        self.count, self.kms, self.no_list, self.corrupt = 0, False, False, set()

    def put(self, bucket, key, data, **more):
        digest = hashlib.sha256(data).digest()
        self.buckets.setdefault(bucket, {})[key] = {"data": data, "etag": '"' + hashlib.md5(data).hexdigest() + '"', "meta": {},
                                                    "sum": base64.b64encode(digest).decode(), **more}

    def error(self, request, status, code, message="no"):
        request.give(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode(),
                     [("Content-Type", "application/xml")])

    def signature_fault(self, request):
        """None if the request is signed as its content asks, else what is wrong. The canonical request is made of what arrived."""
        text = request.headers.get("Authorization")
        if not self.keys:
            return "signed, but anonymous was expected" if text else None
        if not text or not text.startswith("AWS4-HMAC-SHA256 "):
            return "not signed"
        fields = dict(field.strip().split("=", 1) for field in text[len("AWS4-HMAC-SHA256 "):].split(","))
        access, day, region, service, end = fields["Credential"].split("/")
        names = fields["SignedHeaders"].split(";")
        stamp, payload = request.headers["x-amz-date"], request.headers["x-amz-content-sha256"]
        if names != sorted(names) or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
            return "headers are missing from the signature"
        if {n.lower() for n in request.headers if n.lower().startswith("x-amz-")} - set(names):
            return "an x-amz header is not signed"
        if access not in self.keys or (region, service, end) != (self.region, "s3", "aws4_request") or not stamp.startswith(day):
            return "another scope"
        if self.token and request.headers.get("x-amz-security-token") != self.token:
            return "no session token"
        if payload != hashlib.sha256(request.body).hexdigest():
            return "another payload"
        if abs(time.time() - time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) + time.timezone) > 900:
            return "another time"
        path, _, query = request.path.partition("?")
        # Each value is decoded and coded again: a client that codes differently from the rules gets another signature.
        code = lambda text, safe="": urllib.parse.quote(urllib.parse.unquote(text), safe=safe + "-._~")
        pairs = sorted((code(k), code(v)) for k, _, v in (pair.partition("=") for pair in query.split("&") if pair))
        canonical = "\n".join([request.command, code(path, "/"), "&".join(f"{k}={v}" for k, v in pairs),
                               "".join(f"{n}:{' '.join(request.headers[n].split())}\n" for n in names), ";".join(names), payload])
        scope = f"{day}/{region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        wanted = sign(self.keys[access], day, region, to_sign)
        return None if hmac.compare_digest(wanted, fields["Signature"]) else "another signature"

    def handle(self, request):
        wrong = self.signature_fault(request)
        if wrong:
            request.wrong = wrong
            self.error(request, 403, "SignatureDoesNotMatch", wrong)
            return
        if self.meets_fault(request):
            return
        path, _, query = request.path.partition("?")
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        fields = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if bucket not in self.buckets:
            self.error(request, 404, "NoSuchBucket")
            return
        with self.lock:
            self.route(request, bucket, key, fields)

    def route(self, request, bucket, key, fields):
        if not key and "uploads" in fields:
            self.list_uploads(request, bucket, fields)
        elif not key:
            self.list_objects(request, bucket, fields)
        elif request.command == "POST" and "uploads" in fields:
            self.begin_upload(request, bucket, key)
        elif "uploadId" in fields and fields["uploadId"] not in self.uploads:
            self.error(request, 404, "NoSuchUpload")
        elif request.command == "PUT" and "uploadId" in fields:
            self.put_part(request, fields)
        elif request.command == "POST":
            self.complete(request, fields)
        elif "uploadId" in fields:
            self.list_parts(request, fields)
        elif request.command == "PUT":
            self.put_object(request, bucket, key)
        elif request.command == "DELETE":
            self.buckets[bucket].pop(key, None)
            request.give(204)
        else:
            self.get_object(request, bucket, key)

    def list_objects(self, request, bucket, fields):
        if self.no_list:
            self.error(request, 403, "AccessDenied")
            return
        keys = sorted(k for k in self.buckets[bucket] if k.startswith(fields.get("prefix", "")))
        at = int(fields.get("continuation-token", "0:").split(":")[0])
        rows = "".join(f"<Contents><Key>{escape(urllib.parse.quote_plus(k, safe='/'))}</Key><Size>{len(self.buckets[bucket][k]['data'])}</Size>"
                       f"<ETag>{escape(self.buckets[bucket][k]['etag'])}</ETag><Owner><ID>x</ID></Owner></Contents>" for k in keys[at:at + self.page])
        more = at + self.page < len(keys)
        token = f"<NextContinuationToken>{at + self.page}:+/=&amp; x</NextContinuationToken>" if more else ""
        request.give(200, (f"<?xml version='1.0' encoding='UTF-8'?>\n<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
                           f"<Name>{bucket}</Name><Prefix></Prefix><KeyCount>1</KeyCount>"
                           f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}<EncodingType>url</EncodingType></ListBucketResult>").encode())

    def sums(self, request, entry):
        headers = [("x-amz-meta-" + k, v) for k, v in entry["meta"].items()]
        if self.kms:
            headers.append(("x-amz-server-side-encryption", "aws:kms"))
        if self.checksums and entry["sum"] and request.headers.get("x-amz-checksum-mode") == "ENABLED":
            headers.append(("x-amz-checksum-sha256", entry["sum"]))
        return headers

    def get_object(self, request, bucket, key):
        entry = self.buckets[bucket].get(key)
        if entry is None:
            request.give(404) if request.command == "HEAD" else self.error(request, 404, "NoSuchKey")
            return
        etag = '"' + hashlib.sha1(entry["data"]).hexdigest()[:32] + '"' if self.kms else entry["etag"]
        self.give_file(request, entry["data"], etag, [("Accept-Ranges", "bytes")], whole=self.sums(request, entry))

    def checked(self, request):
        """The body's checksum, or None after an error answer."""
        digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
        told = request.headers.get("x-amz-checksum-sha256")
        if told is not None and told != digest:
            self.error(request, 400, "BadDigest")
            return None
        return digest

    def put_object(self, request, bucket, key):
        digest = self.checked(request)
        if digest is None:
            return
        meta = {n.lower()[11:]: v for n, v in request.headers.items() if n.lower().startswith("x-amz-meta-")}
        data = request.body[:-1] + b"?" if key in self.corrupt else request.body
        self.corrupt.discard(key)
        self.put(bucket, key, data, meta=meta)
        if not request.headers.get("x-amz-checksum-sha256"):
            self.buckets[bucket][key]["sum"] = None
        request.give(200, b"", [("ETag", self.buckets[bucket][key]["etag"])])

    def begin_upload(self, request, bucket, key):
        self.count += 1
        name = f"id+{self.count}/x="
        meta = {n.lower()[11:]: v for n, v in request.headers.items() if n.lower().startswith("x-amz-meta-")}
        self.uploads[name] = {"bucket": bucket, "key": key, "meta": meta, "parts": {}}
        request.give(200, f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
                          f"<UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())

    def put_part(self, request, fields):
        digest = self.checked(request)
        if digest is None:
            return
        etag = '"' + hashlib.md5(request.body).hexdigest() + '"'
        self.uploads[fields["uploadId"]]["parts"][int(fields["partNumber"])] = {"data": request.body, "etag": etag, "sum": digest}
        request.give(200, b"", [("ETag", etag)])

    def list_uploads(self, request, bucket, fields):
        rows = "".join(f"<Upload><Key>{escape(u['key'])}</Key><UploadId>{name}</UploadId></Upload>" for name, u in self.uploads.items()
                       if u["bucket"] == bucket and u["key"].startswith(fields.get("prefix", "")))
        request.give(200, f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{rows}</ListMultipartUploadsResult>".encode())

    def list_parts(self, request, fields):
        parts = sorted(self.uploads[fields["uploadId"]]["parts"].items())
        after = int(fields.get("part-number-marker", "0"))
        parts = [(n, p) for n, p in parts if n > after]
        more = len(parts) > self.page
        rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{escape(p['etag'])}</ETag><Size>{len(p['data'])}</Size>"
                       + (f"<ChecksumSHA256>{p['sum']}</ChecksumSHA256>" if self.checksums else "") + "</Part>" for n, p in parts[:self.page])
        marker = f"<NextPartNumberMarker>{parts[self.page - 1][0]}</NextPartNumberMarker>" if more else ""
        request.give(200, f"<ListPartsResult><IsTruncated>{str(more).lower()}</IsTruncated>{marker}{rows}</ListPartsResult>".encode())

    def complete(self, request, fields):
        import xml.etree.ElementTree as tree
        upload = self.uploads[fields["uploadId"]]
        root = tree.fromstring(request.body)
        told = [{child.tag.split("}")[-1]: child.text for child in part} for part in root]
        parts = [upload["parts"].get(int(t["PartNumber"])) for t in told]
        good = len(told) == len(upload["parts"]) and [int(t["PartNumber"]) for t in told] == list(range(1, len(told) + 1))
        good = good and all(p and p["etag"] == t["ETag"] and p["sum"] == t["ChecksumSHA256"] for p, t in zip(parts, told))
        good = good and all(len(p["data"]) >= 5 << 20 for p in parts[:-1])
        if not good:
            self.error(request, 400, "InvalidPart")
            return
        digests = b"".join(base64.b64decode(p["sum"]) for p in parts)
        md5s = b"".join(bytes.fromhex(p["etag"].strip('"')) for p in parts)
        self.put(upload["bucket"], upload["key"], b"".join(p["data"] for p in parts), meta=upload["meta"],
                 etag=f'"{hashlib.md5(md5s).hexdigest()}-{len(parts)}"',
                 sum=base64.b64encode(hashlib.sha256(digests).digest()).decode() + f"-{len(parts)}")
        del self.uploads[fields["uploadId"]]
        request.give(200, b"<CompleteMultipartUploadResult><Key>x</Key></CompleteMultipartUploadResult>")
