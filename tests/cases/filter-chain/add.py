def add(tag, timestamp, record):
    if record["dev"] == "fan1":
        return -1, timestamp, record
    record["tag"] = tag
    return record
