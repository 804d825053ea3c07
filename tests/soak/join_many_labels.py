"""Join millions of labels with the example's views and print the time and the peak memory.

python -m tests.soak.join_many_labels LAKE OUT MAX_SLICE_ROWS N_LABELS
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.point_in_time_join import feature_names, flights_store, load_views, read_entity_rows


def main(lake: Path, out: Path, max_slice_rows: int, n_labels: int) -> None:
    """Join ``n_labels`` flights, drawn with replacement, and write the answer to ``out``."""
    labels = (
        read_entity_rows(lake, None).sample(n_labels, with_replacement=True, seed=1).to_pandas()
    )
    refs = [f"{known.name}:{name}" for known in load_views() for name in feature_names(known)[:2]]
    with tempfile.TemporaryDirectory() as folder:
        store = flights_store(Path(folder), lake, max_slice_rows=max_slice_rows)
        started = time.perf_counter()
        answer = store.get_historical_features(labels, refs).to_arrow()
        seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pq.write_table(answer, out)
    sys.stdout.write(f"{n_labels:,} labels, slices of {max_slice_rows:,} rows: {seconds:.1f} s, ")
    sys.stdout.write(f"peak {peak_mb:.0f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
