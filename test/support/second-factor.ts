import { Secret, TOTP } from 'otpauth';
import type { TestApp } from './app.js';

/** A person's second factor, as the authenticator app and the printed codes have it. */
export interface TestFactor {
  readonly secret: string;
  readonly uri: string;
  readonly recoveryCodes: string[];
}

/** The code of a secret at the database's time, `steps` later. */
export async function codeOf(app: TestApp, secret: string, steps = 0): Promise<string> {
  const [row] = await app.dataSource.query<{ ms: number }[]>(
    `SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms`,
  );
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: row!.ms + steps * 30_000 });
}

/** The code of a secret in a step that is numbered since 1970. */
export function codeOfStep(secret: string, step: number): string {
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: step * 30_000 });
}

/** A code of six digits that is none of those around now. */
export async function wrongCode(app: TestApp, secret: string): Promise<string> {
  const right = await Promise.all([-2, -1, 0, 1, 2].map((steps) => codeOf(app, secret, steps)));
  return ['000000', '111111', '222222', '333333', '444444', '555555'].find((code) => !right.includes(code))!;
}

/** Sets up a second factor with the session `token`. */
export async function setUpFactor(app: TestApp, token: string, password: string): Promise<TestFactor> {
  const begun = await app.post('/auth/second-factor', { token, body: { password } });
  if (begun.status !== 201) throw new Error(`begin answered ${begun.status}: ${JSON.stringify(begun.body)}`);
  const { secret, uri } = begun.body as TestFactor;
  const confirmed = await app.post('/auth/second-factor/confirm', { token, body: { code: await codeOf(app, secret) } });
  if (confirmed.status !== 200)
    throw new Error(`confirm answered ${confirmed.status}: ${JSON.stringify(confirmed.body)}`);
  return { secret, uri, recoveryCodes: confirmed.body.recoveryCodes as string[] };
}

/** As if some steps had passed: the current code was not used, and the tries of the step are left. */
export async function afterAWhile(app: TestApp, userId: string): Promise<void> {
  await app.dataSource.query('UPDATE second_factor SET last_step = 0, tried_step = 0, tries = 0 WHERE user_id = $1', [
    userId,
  ]);
}
