"""A server that speaks S3, in memory. It says its port, and ends when its standard input does."""

import sys
import threading

from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

upload_part = S3Backend.upload_part


def upload_part_that_is_known(self, bucket_name, multipart_id, *more, **named):
    # S3 answers 404 where moto fails.
    if multipart_id not in self.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(upload_id=multipart_id)
    return upload_part(self, bucket_name, multipart_id, *more, **named)


S3Backend.upload_part = upload_part_that_is_known

app = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()


def serve(environ, start_response):
    # Conditional writes are atomic in S3.
    with one_at_a_time:
        return list(app(environ, start_response))


server = make_server("127.0.0.1", 0, serve, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
