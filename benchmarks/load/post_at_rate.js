// Posts the lines of a file in turn at a fixed rate: a path, a space, and a JSON body.
// Requests start when their time has come, whether or not earlier ones were answered, so a
// server that stalls is not spared the requests that would have come meanwhile.
import http from 'k6/http';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';

const lines = new SharedArray('lines', () => open(__ENV.LINES).trim().split('\n'));
const headers = { 'Content-Type': 'application/json' };

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ['med', 'p(99)', 'max'],
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      timeUnit: '1s',
      duration: __ENV.DURATION,
      preAllocatedVUs: 32,
      maxVUs: 64,
    },
  },
};

export default function () {
  const line = lines[exec.scenario.iterationInTest % lines.length];
  const space = line.indexOf(' ');
  http.post(__ENV.BASE + line.slice(0, space), line.slice(space + 1), { headers });
}

export function handleSummary(data) {
  const metrics = data.metrics;
  const took = metrics.http_req_duration.values;
  return {
    stdout: JSON.stringify({
      requests: metrics.http_reqs.values.count,
      per_sec: metrics.http_reqs.values.rate,
      p50_ms: took.med,
      p99_ms: took['p(99)'],
      max_ms: took.max,
      failed: metrics.http_req_failed.values.passes,
      dropped: metrics.dropped_iterations ? metrics.dropped_iterations.values.count : 0,
    }) + '\n',
  };
}
