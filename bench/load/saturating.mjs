import autocannon from 'autocannon';

/** As many requests as the server takes over `connections`, one at a time on each. */
export async function run({ url, connections, seconds, headers, nextBody, onAnswer }) {
  const result = await autocannon({
    url,
    method: 'POST',
    connections,
    duration: seconds,
    headers,
    requests: [{ setupRequest: (request) => ({ ...request, body: nextBody() }), onResponse: onAnswer }],
  });
  return {
    requests: result.requests.total,
    requestsPerSecond: result.requests.average,
    p50Ms: result.latency.p50,
    p90Ms: result.latency.p90,
    p99Ms: result.latency.p99,
    non2xx: result.non2xx,
    errors: result.errors,
  };
}
