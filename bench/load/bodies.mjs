import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * What gives the next JSON body. `bodiesFile` holds one a line; each connection walks them in its own order (`order`:
 * `cycle`, or `zipf` with exponent 1 over their ranks). Or `events`: reports of usage, `perRequest` each, no id twice.
 */
export function bodiesOf({ events, bodiesFile, order }) {
  if (events) return reports(events);
  const bodies = readFileSync(bodiesFile, 'utf8').split('\n').filter(Boolean);
  const next = order === 'zipf' ? zipf(bodies.length) : cycle(bodies.length);
  return () => bodies[next()];
}

function reports({ keyIds, perRequest }) {
  const run = randomUUID();
  let made = 0;
  const event = () => {
    made += 1;
    const apiKeyId = keyIds[made % keyIds.length];
    return {
      id: `${run}-${made}`,
      apiKeyId,
      inputTokens: 812,
      outputTokens: 96,
      costCents: 0.0123,
      model: 'gpt-4o-mini',
    };
  };
  return () => JSON.stringify({ events: Array.from({ length: perRequest }, event) });
}

function cycle(length) {
  let index = Math.floor(Math.random() * length);
  return () => (index = (index + 1) % length);
}

/** Ranks in Zipf order by inverting the cumulative weights; drawn ahead, so that drawing costs nothing under load. */
function zipf(length) {
  const cumulative = new Float64Array(length);
  let total = 0;
  for (let rank = 0; rank < length; rank += 1) cumulative[rank] = total += 1 / (rank + 1);
  const drawn = new Uint32Array(1 << 20);
  for (let draw = 0; draw < drawn.length; draw += 1) drawn[draw] = lowerBound(cumulative, Math.random() * total);
  let at = 0;
  return () => drawn[(at = (at + 1) & (drawn.length - 1))];
}

function lowerBound(values, wanted) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
