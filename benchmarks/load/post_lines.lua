-- Posts the lines of a file in turn, each of them a path, a space, and a JSON body.
--   wrk ... -s post_lines.lua http://host:port -- FILE
-- The last line printed is a JSON object with what was measured, times in microseconds.

local requests, next_request = {}, 0

function init(arguments)
  local headers = { ["Content-Type"] = "application/json" }
  for line in io.lines(arguments[1]) do
    local path, body = line:match("^(%S+) (.*)$")
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, ' ..
    '"bad_status": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
