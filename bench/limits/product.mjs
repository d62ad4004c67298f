/** The product with limits, made by its routes, so that every replica knows them, and removed without a trace. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { load } from '../processes.mjs';

/** What replicas have in hand of a limit is handed back in that time once it is deleted. */
const HANDED_BACK_MS = 2_000;

/** Makes a limit of the installation by month, unless `draft` says otherwise. Gives its id: every replica knows it. */
export async function makeLimit({ latchkey }, draft) {
  const limit = { name: `Limit ${randomUUID()}`, per: 'month', target: { kind: 'installation' }, ...draft };
  return (await latchkey.call('/limits?wait=true', limit)).id;
}

/** Removes all limits, also those that were deleted: a booking looks whether there is any. */
export async function removeLimits({ latchkey }) {
  const limits = await latchkey.query('SELECT id FROM quota_limit WHERE ended_at IS NULL');
  for (const { id } of limits) await latchkey.call(`/limits/${id}?wait=true`, undefined, { method: 'DELETE' });
  if (limits.length > 0) await sleep(HANDED_BACK_MS);
  await latchkey.query(
    `DELETE FROM budget_lease l USING budget_account a WHERE a.key_id = l.key_id AND a.period = l.period AND a.limit_id IS NOT NULL`,
  );
  await latchkey.query('DELETE FROM budget_account WHERE limit_id IS NOT NULL');
  await latchkey.query('DELETE FROM quota_limit');
}

/** Writes service accounts, and gives keys that no replica has met to them in turn; gives their ids. */
export async function giveToOwners({ latchkey }, keys, count) {
  const owners = Array.from({ length: count }, () => randomUUID());
  await latchkey.query(
    `INSERT INTO users (id, name, kind) SELECT id, 'Bench owner', 'service' FROM unnest($1::uuid[]) AS id`,
    [owners],
  );
  await latchkey.query(
    `UPDATE api_key k SET owner_id = g.owner FROM unnest($1::uuid[], $2::uuid[]) AS g (id, owner) WHERE k.id = g.id`,
    [keys.map(({ id }) => id), keys.map((_, index) => owners[index % count])],
  );
  return owners;
}

/** The same load on every replica, the connections divided among them; rates are sums. */
export async function loadAll({ latchkey, loaderCpu }, path, { connections, ...options }) {
  const { replicas, serviceKey } = latchkey;
  const runs = await Promise.all(
    replicas.map(({ port }) =>
      load(loaderCpu, {
        url: `http://127.0.0.1:${port}/api/v1${path}`,
        headers: { 'x-api-key': serviceKey },
        connections: Math.ceil(connections / replicas.length),
        ...options,
      }),
    ),
  );
  const total = (pick) => runs.reduce((sum, run) => sum + pick(run), 0);
  return {
    requests: total((run) => run.requests - run.non2xx - run.errors),
    requestsPerSecond: total((run) => run.requestsPerSecond * (1 - (run.non2xx + run.errors) / run.requests)),
    unanswered: total((run) => run.non2xx + run.errors),
  };
}

/** A run that measured errors is no run. */
export function requireGood(what, { errors, non2xx, codes }) {
  const bad = Object.keys(codes).filter((code) => code !== 'VALID' && code !== '200');
  if (errors > 0 || non2xx > 0 || bad.length > 0)
    throw new Error(`${what}: not all answers were good: ${JSON.stringify({ errors, non2xx, codes })}`);
}

/** `0.93 to 1.01`, and the median, of values with two digits. */
export function rangeOf(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return `${round(sorted[0])} to ${round(sorted.at(-1))}`;
}

/** Two digits behind the point; enough for what a busy machine measures. */
export function round(value) {
  return Math.round(value * 100) / 100;
}
