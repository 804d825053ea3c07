"""What the features are about. A route is the pair of `origin` and `destination`."""

from feast import Entity, ValueType

carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=ValueType.STRING,
    description="Airline that operates the flight, by its two-character code.",
)
origin = Entity(
    name="origin",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="Airport of departure, by its three-letter code.",
)
destination = Entity(
    name="destination",
    join_keys=["dest"],
    value_type=ValueType.STRING,
    description="Airport of arrival, by its three-letter code.",
)
plane = Entity(
    name="plane",
    join_keys=["tailnum"],
    value_type=ValueType.STRING,
    description="Aircraft, by its tail number.",
)
