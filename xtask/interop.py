"""Reads back what `empiric export` wrote, with the programs it was written for.

Run by `cargo xtask interop` in an environment with mlflow, tensorboard, duckdb, polars, rocrate and opentelemetry-proto.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

empiric, study, out = sys.argv[1:4]
rows = 0


def export(*words):
    done = subprocess.run([empiric, "export", study, *words, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def say(name, text):
    print(f"{name:<12} {text}", flush=True)


trials = [json.loads(line) for line in
          subprocess.run([empiric, "trials", study, "--json"], capture_output=True, text=True, check=True).stdout.splitlines()]
keeps = [trial for trial in trials if (trial["outcome"] or {}).get("verdict") == "keep"]
values = sum(len(trial["measurements"]) for trial in trials)

# JSON Lines and Parquet say the same, to DuckDB and to Polars.
import duckdb
import polars

export("--jsonl", f"{out}/jsonl")
export("--parquet", f"{out}/parquet")
for table in ["trials", "replicates", "units", "measurements", "calls", "turns"]:
    told = [json.loads(line) for line in open(f"{out}/jsonl/{table}.jsonl")]
    frame = polars.read_parquet(f"{out}/parquet/{table}.parquet")
    assert frame.height == len(told), table
    for column in frame.columns:
        if frame[column].dtype != polars.Datetime("us", "UTC"):
            assert frame[column].to_list() == [row[column] for row in told], (table, column)
    counted = duckdb.sql(f"select count(*) from '{out}/parquet/{table}.parquet'").fetchall()[0][0]
    assert counted == len(told), table
    rows += counted
kept = duckdb.sql(f"""select count(*) from '{out}/parquet/trials.parquet' where outcome = 'keep'""").fetchall()[0][0]
assert kept == len(keeps)
joined = duckdb.sql(f"""select count(*) from '{out}/parquet/measurements.parquet' m
                        join '{out}/parquet/replicates.parquet' r using (study, trial, replicate)""").fetchall()[0][0]
assert joined == values, (joined, values)
say("parquet", f"{rows} rows in 6 tables equal in JSON Lines, DuckDB {duckdb.__version__} and Polars {polars.__version__}; {kept} keeps")

# TensorBoard's own reader.
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

export("--tensorboard", f"{out}/tensorboard")
found = 0
for arm in sorted({trial["arm"] for trial in trials}):
    events = EventAccumulator(f"{out}/tensorboard/{arm}")
    events.Reload()
    steps = [scalar.step for scalar in events.Scalars("cost/cpu_s")]
    assert steps == [int(trial["trial"][1:]) for trial in trials if trial["arm"] == arm]
    if any(trial["arm"] == arm for trial in keeps):
        found += len(events.Scalars("gain/kept"))
assert found == len(keeps)
say("tensorboard", f"{len(trials)} steps, {found} keeps read back")

# A research object, by the reader of the RO-Crate project, and its hashes.
from rocrate.rocrate import ROCrate

export("--ro-crate", f"{out}/crate")
crate = ROCrate(f"{out}/crate")
files = [entity for entity in crate.data_entities if entity.type == "File"]
on_disk = set(os.listdir(f"{out}/crate")) - {"ro-crate-metadata.json"}
assert {file.id for file in files} == on_disk, (on_disk, files)
for file in files:
    content = open(f"{out}/crate/{file.id}", "rb").read()
    assert hashlib.sha256(content).hexdigest() == file["sha256"], file.id
    assert str(len(content)) == file["contentSize"]
say("ro-crate", f"{len(files)} files with their hashes: {', '.join(sorted(on_disk))}")

# A collector, such as it is: what OTLP's own messages make of the body.
import http.server
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

told = []


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces", self.path
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        # OTLP's JSON has ids in hexadecimal where that of protobuf has base64.
        import base64
        for scope in body["resourceSpans"][0]["scopeSpans"]:
            for span in scope["spans"]:
                for key in ["traceId", "spanId", "parentSpanId"]:
                    if key in span:
                        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
        request = json_format.ParseDict(body, ExportTraceServiceRequest())
        told.extend(request.resource_spans[0].scope_spans[0].spans)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=collector.serve_forever, daemon=True).start()
sent = export("--otlp", f"http://127.0.0.1:{collector.server_port}")["written"]["spans"]
collector.shutdown()
assert sent == len(told) and len({span.trace_id for span in told}) == 1
assert sum(span.name.startswith("trial ") for span in told) == len(trials)
say("otlp", f"{sent} spans of one trace, as the messages of OpenTelemetry's protocol")

# A real tracking server.
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
url = f"http://127.0.0.1:{port}"
home = f"{out}/mlflow"
os.makedirs(home, exist_ok=True)
log = open(f"{home}/server.log", "w")
server = subprocess.Popen(
    [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
     "--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"],
    stdout=log, stderr=log, start_new_session=True)
try:
    for _ in range(600):
        assert server.poll() is None, open(f"{home}/server.log").read()
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).read()
            break
        except OSError:
            time.sleep(0.5)
    first = export("--mlflow", url)["written"]
    again = export("--mlflow", url)["written"]
    assert first["runs"] == len(trials) + 1 and again["runs"] == 0 and again["kept"] == first["runs"], (first, again)
    import mlflow

    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient()
    experiment = client.search_experiments(filter_string=f"name = '{json.load(open(out + '/status.json'))['task']}'")[0]
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    by_trial = {run.data.tags["empiric.trial"]: run for run in runs}
    assert len(runs) == len(trials) + 1
    for trial in trials:
        run = by_trial[trial["trial"]]
        outcome = trial["outcome"]
        assert run.info.status == ("FAILED" if outcome["kind"] == "failed" else "FINISHED")
        assert run.data.tags["mlflow.parentRunId"] == by_trial["study"].info.run_id
        if outcome["gain"] is not None:
            assert abs(run.data.metrics["gain"] - outcome["gain"]) < 1e-12
        searched = [m for m in trial["measurements"] if m["purpose"] == "search" and m["split"] == "search"]
        if searched:
            name = searched[0]["metric"]
            history = client.get_metric_history(run.info.run_id, name)
            assert searched[0]["value"] in [point.value for point in history]
    for trial in keeps:
        run = by_trial[trial["trial"]].info.run_id
        assert [file.path for file in client.list_artifacts(run)] == ["change.patch"]
        path = mlflow.artifacts.download_artifacts(f"runs:/{run}/change.patch", dst_path=f"{home}/got")
        assert open(path).read().startswith("diff --git")
    assert {file.path for file in client.list_artifacts(by_trial["study"].info.run_id)} == {"report.html", "report.md"}
    say("mlflow", f"{mlflow.__version__}: {first['runs']} runs, {first['artefacts']} files; the second time {again['runs']} runs")
finally:
    os.killpg(server.pid, 15)
    server.wait()
