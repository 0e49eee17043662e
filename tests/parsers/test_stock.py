"""The parsers that are there by name: each takes its kind of line."""

import time

import pytest

from edgebit.options import Setting, read
from edgebit.parsers.stock import STOCK
from edgebit.record import to_dict
from edgebit.registry import find

NOW = 1_767_225_600 * 10**9
S = 10**9
ID = "0123456789abcdef" * 4


def stock(name):
    cls = find("parser", STOCK[name]["format"])
    settings = [Setting(key, value) for key, value in STOCK[name].items() if key != "format"]
    return cls(name, read(cls.OPTIONS, settings, name))


CLF = "10/Oct/2000:13:55:36 -0700"
CLF_NS = 971211336 * S
LINES = [
    ("apache", f'192.0.2.7 - frank [{CLF}] "GET /a b.gif HTTP/1.0" 200 2326 "http://x/" "Moz (X11)"', CLF_NS,
     {"host": "192.0.2.7", "user": "frank", "method": "GET", "path": "/a b.gif", "code": "200", "size": "2326",
      "referer": "http://x/", "agent": "Moz (X11)"}),
    ("apache", f'h - - [{CLF}] "-" 408 -', CLF_NS, {"host": "h", "user": "-", "method": "-", "code": "408", "size": "-"}),
    ("apache", f'h - - [{CLF}] "GET /" 400 0', CLF_NS,
     {"host": "h", "user": "-", "method": "GET", "path": "/", "code": "400", "size": "0"}),
    ("apache2", f'h - - [{CLF}] "GET /x HTTP/1.1" 200 5 "-" "a "q" b"', CLF_NS,
     {"host": "h", "user": "-", "method": "GET", "path": "/x", "code": "200", "size": "5", "referer": "-",
      "agent": 'a "q" b'}),
    ("apache_error", "[Wed Oct 11 14:32:52 2000] [error] [pid 7] [client 127.0.0.1] denied: /x", NOW,
     {"time": "Oct 11 14:32:52 2000", "level": "error", "pid": "7", "client": "127.0.0.1", "message": "denied: /x"}),
    ("nginx", f'1.2.3.4 - - [{CLF}] "POST /api HTTP/2.0" 201 17 "-" "curl/8" "-"', CLF_NS,
     {"remote": "1.2.3.4", "host": "-", "user": "-", "method": "POST", "path": "/api", "code": "201", "size": "17",
      "referer": "-", "agent": "curl/8"}),
    ("k8s-nginx-ingress", f'1.2.3.4 - - [{CLF}] "GET / HTTP/1.1" 200 5 "-" "curl" 80 0.002 [ns-svc-80] [] 10.0.0.1:80 5 '
     "0.001 200 abc", CLF_NS,
     {"host": "1.2.3.4", "user": "-", "method": "GET", "path": "/", "code": "200", "size": "5", "referer": "-",
      "agent": "curl", "request_length": "80", "request_time": "0.002", "proxy_upstream_name": "ns-svc-80",
      "upstream_addr": "10.0.0.1:80", "upstream_response_length": "5", "upstream_response_time": "0.001",
      "upstream_status": "200", "reg_id": "abc"}),
    ("docker", '{"log":"x\\n","stream":"stdout","time":"2024-05-05T09:06:40.5Z"}', 1714900000 * S + S // 2,
     {"log": "x\n", "stream": "stdout", "time": "2024-05-05T09:06:40.5Z"}),
    ("docker-daemon", 'time="2024-05-05T09:06:40.25Z" level=info msg="API listen on \\"x\\""', 1714900000 * S + S // 4,
     {"time": "2024-05-05T09:06:40.25Z", "level": "info", "msg": 'API listen on \\"x\\"'}),
    ("syslog-rfc3164-local", "<13>Jan  1 00:00:00 su[42]: hello", NOW,
     {"pri": "13", "time": "Jan  1 00:00:00", "ident": "su", "pid": "42", "message": "hello"}),
    ("mongodb", "2024-05-05T09:06:40.250+0000 I COMMAND  [conn3] command a.b took  it 12ms", 1714900000 * S + S // 4,
     {"time": "2024-05-05T09:06:40.250+0000", "severity": "I", "component": "COMMAND", "context": "conn3",
      "message": "command a.b took  it", "ms": "12"}),
    ("envoy", '[2024-05-05T09:06:40.000Z] "GET /p HTTP/1.1" 200 - 0 5 3 2 "-" "curl/8" "id" "example.com" "10.0.0.1:80"',
     1714900000 * S,
     {"start_time": "2024-05-05T09:06:40.000Z", "method": "GET", "path": "/p", "protocol": "HTTP/1.1", "code": "200",
      "response_flags": "-", "bytes_received": "0", "bytes_sent": "5", "duration": "3",
      "x_envoy_upstream_service_time": "2", "x_forwarded_for": "-", "user_agent": "curl/8", "request_id": "id",
      "authority": "example.com", "upstream_host": "10.0.0.1:80"}),
    ("istio-envoy-proxy", '[2024-05-05T09:06:40.000Z] "GET /p HTTP/2" 200 - via_upstream - "-" 0 5 3 2 "-" "curl" "id" '
     '"a.b" "10.0.0.1:80" out 10.0.0.2:1 10.0.0.3:2 10.0.0.4:3 - default', 1714900000 * S,
     {"start_time": "2024-05-05T09:06:40.000Z", "method": "GET", "path": "/p", "protocol": "HTTP/2", "response_code": "200",
      "response_flags": "-", "response_code_details": "via_upstream", "connection_termination_details": "-",
      "upstream_transport_failure_reason": '"-"', "bytes_received": "0", "bytes_sent": "5", "duration": "3",
      "x_envoy_upstream_service_time": "2", "x_forwarded_for": "-", "user_agent": "curl", "x_request_id": "id",
      "authority": "a.b", "upstream_host": "10.0.0.1:80", "upstream_cluster": "out",
      "upstream_local_address": "10.0.0.2:1", "downstream_local_address": "10.0.0.3:2",
      "downstream_remote_address": "10.0.0.4:3", "requested_server_name": "-", "route_name": "default"}),
    ("cri", "2024-05-05T11:06:40.5+02:00 stderr F a message", 1714900000 * S + S // 2,
     {"time": "2024-05-05T11:06:40.5+02:00", "stream": "stderr", "logtag": "F", "message": "a message"}),
    ("kube-custom", f"kube.var.log.containers.etcd-a.b_kube-system_my-app-{ID}.log", NOW,
     {"tag": "kube", "pod_name": "etcd-a.b", "namespace_name": "kube-system", "container_name": "my-app",
      "docker_id": ID}),
    ("kube-custom", f"web-1_default_c-{ID}.log", NOW,
     {"pod_name": "web-1", "namespace_name": "default", "container_name": "c", "docker_id": ID}),
    ("kmsg-netfilter-log", "<4>1 2024-05-05T09:06:40.0+00:00 gw kernel - - - [123.45] DROP IN=eth0 OUT= "
     "MAC=aa:bb:cc:dd:ee:ff:11:22:33:44:55:66:08:00 SRC=1.2.3.4 DST=5.6.7.8 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF "
     "PROTO=TCP SPT=1 DPT=22 WINDOW=64240 RES=0x00 ACK SYN URGP=0", 1714900000 * S,
     {"pri": "4", "host": "gw", "logprefix": "DROP", "in": "eth0", "macsrc": "aa:bb:cc:dd:ee:ff",
      "macdst": "11:22:33:44:55:66", "ethtype": "08:00", "saddr": "1.2.3.4", "daddr": "5.6.7.8", "len": "60",
      "tos": "0x00", "prec": "0x00", "ttl": "64", "id": "1", "proto": "TCP", "sport": "1", "dport": "22",
      "window": "64240", "res": "0x00", "flag": "ACK SYN", "urgp": "0"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "time_ns", "fields"), LINES, ids=[line[0] for line in LINES])
def test_takes_its_kind_of_line(name, line, time_ns, fields):
    record = stock(name).parse(line, NOW)

    assert record is not None
    assert (record[0], to_dict(record)) == (time_ns, fields)


def test_no_text_takes_one_long():
    """Lines that are cut off somewhere and go on with 64 KiB of what could be gone over again and again."""
    for name, line, *_ in LINES:
        parser = stock(name)
        for cut in range(0, len(line), 16):
            for filler in (" ", "a ", "1", '"', "\\", ": ", line[max(0, cut - 12) : cut] or "["):
                hostile = line[:cut] + (filler * 65536)[:65536] + "\x01"
                begin = time.process_time()
                parser.parse(hostile, NOW)
                assert time.process_time() - begin < 0.1, (name, cut, filler)


def test_every_one_is_tried():
    assert {name for name, *_ in LINES} == {name for name in STOCK if name[0] != "_"}
