-- Posts the bodies of a file, one per line, in turn; of a .bin, all of it as one: a line of JSON and binary tensors. Prints what was measured as one line of JSON.
local requests, count, turn = {}, 0, 0
function init(arguments)
  if arguments[1]:match("%.bin$") then
    local body = io.open(arguments[1], "rb"):read("*a")
    local length = tostring(body:find("\n", 1, true))
    local headers = {["Content-Type"] = "application/octet-stream", ["Inference-Header-Content-Length"] = length}
    count, requests[1] = 1, wrk.format("POST", nil, headers, body)
    return
  end
  for line in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, line)
  end
end
function request()
  turn = turn % count + 1
  return requests[turn]
end
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('JSON{"requests":%d,"microseconds":%d,"errors":%d,"p50":%d,"p99":%d}\n', summary.requests,
    summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
