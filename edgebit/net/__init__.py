"""Non-blocking connections: look-up, TCP and TLS as one state machine, HTTP on h11."""
