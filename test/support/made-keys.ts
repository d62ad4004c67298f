import type { Answer, TestApp } from './app.js';

export interface TestKey {
  id: string;
  kid: string;
  secret: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the view, as JSON; assertions give it a type
  view: any;
}

/** A key of the user the token belongs to. */
export async function makeKey(app: TestApp, token: string, body: object = {}): Promise<TestKey> {
  const { status, body: made } = await app.post('/api-keys', { token, body });
  if (status !== 201) throw new Error(`no key: ${JSON.stringify(made)}`);
  return { id: made.apiKey.id, kid: made.apiKey.secrets[0].kid, secret: made.secretKey, view: made.apiKey };
}

/** The code of the verdict on a secret. */
export async function verdictOn(app: TestApp, secret: string): Promise<string> {
  await app.applied();
  const { body } = await app.post('/verify', { token: await app.adminToken(), body: { key: secret } });
  return body.code as string;
}

export interface TrailRow {
  action: string;
  actor_kind: string;
  actor_id: string | null;
  changes: { field: string; before: unknown; after: unknown }[];
  details: Record<string, unknown>;
}

/** What the trail says was done to a key, oldest first; who read it meanwhile is left out. */
export function trailOf(app: TestApp, keyId: string): Promise<TrailRow[]> {
  return app.dataSource.query(
    `SELECT action, actor_kind, actor_id, changes, details FROM audit_event WHERE resource_id = $1 AND outcome = 'success' AND action <> 'api-keys:read' ORDER BY seq`,
    [keyId],
  );
}

/** The fields that a refusal names, each once. */
export function pathsOf({ body }: Answer): string[] {
  return [...new Set((body.errors as { path: string }[]).map(({ path }) => path))].sort();
}

/** How often each status came. */
export function countByStatus(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** Moves the expiry of a key without asking anybody. */
export async function expire(app: TestApp, keyId: string): Promise<void> {
  await app.dataSource.query(`UPDATE api_key SET expires_at = now() - interval '1 hour' WHERE id = $1`, [keyId]);
}

export const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();

/** Whether an instant lies `days` from now, to the minute. */
export const isInDays = (instant: string, days: number): boolean =>
  Math.abs(Date.parse(instant) - Date.parse(inDays(days))) < 60_000;
