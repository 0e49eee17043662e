"""The same at an interval that is usual on a device: 10 s."""

from benchlab.scenarios.idle import Idle


class Idle10(Idle):
    name = "idle_10s"
    about = "five metrics at 10s over MQTT; a record is a second"
    every = "10s"


SCENARIO = Idle10()
