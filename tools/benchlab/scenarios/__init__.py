"""One scenario a file; `bench --help` lists them in this order."""

ORDER = (
    "movie_log",
    "syslog_file_json",
    "syslog_tcp_csv",
    "syslog_udp_csv",
    "syslog_tcp_http",
    "syslog_tcp_mqtt",
    "syslog_udp_http",
    "syslog_udp_mqtt",
    "drain_http",
    "drain_mqtt",
    "serial",
    "idle",
    "idle_10s",
)
