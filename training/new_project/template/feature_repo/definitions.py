"""What a customer is, what is known of one, and which features a model reads."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
customer_orders = FeatureView(
    name="customer_orders",
    entities=[customer],
    ttl=timedelta(days=30),
    schema=[Field(name="orders_30d", dtype=Int64), Field(name="spent_30d", dtype=Float32)],
    source=FileSource(
        path="../var/lake/customer_orders",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    ),
)
returns_v1 = FeatureService(name="returns_v1", features=[customer_orders])
