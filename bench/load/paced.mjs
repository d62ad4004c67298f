import { setImmediate } from 'node:timers';
import { Connection } from './connection.mjs';
import { percentile } from '../report.mjs';

/** Nearer than this a due instant is waited for without a timer, which may be a millisecond late. */
const SPIN_MS = 2;
/** What has not been answered so long after the last request was due counts as an error. */
const PATIENCE_MS = 5_000;

/**
 * `rate` requests a second at even intervals over `connections`. Latency counts from the instant a request was due, so
 * that one the server kept waiting is not forgiven those behind it. `lateP99Ms` is the loader's own part of that: how
 * late it noticed that a request was due.
 */
export async function run({ url, connections, seconds, rate, headers, nextBody, onAnswer }) {
  const idle = await Promise.all(Array.from({ length: connections }, () => Connection.open(url, headers)));
  const everyone = [...idle];
  const due = [];
  const latencies = [];
  const lateness = [];
  const counts = { non2xx: 0, errors: 0 };
  const total = Math.round(rate * seconds);
  const beganMs = performance.now() + SPIN_MS;
  let next = 0;

  /** On the connection that was idle longest; where none is, the request waits and its latency runs. */
  const dispatch = () => {
    while (due.length > 0 && idle.length > 0) send(idle.shift(), due.shift());
  };
  const send = (connection, dueMs) => {
    connection.post(nextBody()).then(
      ({ status, body }) => {
        latencies.push(performance.now() - dueMs);
        if (status < 200 || status > 299) counts.non2xx += 1;
        onAnswer(status, body);
        idle.push(connection);
        dispatch();
      },
      () => (counts.errors += 1),
    );
  };
  const look = () => {
    const nowMs = performance.now();
    for (; next < total && beganMs + (next * 1000) / rate <= nowMs; next += 1) {
      const dueMs = beganMs + (next * 1000) / rate;
      lateness.push(nowMs - dueMs);
      due.push(dueMs);
    }
    dispatch();
    return beganMs + (next * 1000) / rate - nowMs;
  };

  await new Promise((resolve) => {
    const turn = () => {
      const waitMs = look();
      const answered = latencies.length + counts.errors;
      const isOver = performance.now() > beganMs + seconds * 1000 + PATIENCE_MS;
      if (next === total && (answered === total || isOver || counts.errors === connections)) resolve();
      else if (next === total || waitMs > SPIN_MS) setTimeout(turn, next === total ? 1 : waitMs - SPIN_MS / 2);
      else setImmediate(turn);
    };
    turn();
  });
  for (const connection of everyone) connection.close();
  counts.errors += total - latencies.length - counts.errors;
  return {
    requests: latencies.length,
    requestsPerSecond: latencies.length / seconds,
    p50Ms: percentile(latencies, 0.5),
    p90Ms: percentile(latencies, 0.9),
    p99Ms: percentile(latencies, 0.99),
    lateP99Ms: percentile(lateness, 0.99),
    ...counts,
  };
}
