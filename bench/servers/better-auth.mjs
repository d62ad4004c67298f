/**
 * The peer: better-auth with its API-key plugin behind Fastify, rate limit and remaining count on, as in ours.
 * `STORAGE`: `database` (PostgreSQL, its default) or `memory` (its secondary storage, a Map in this process).
 */
import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import Fastify from 'fastify';
import { writeFileSync } from 'node:fs';
import pg from 'pg';

const { PORT, DATABASE_URL, STORAGE, KEYS, BODIES_FILE } = process.env;
const isInMemory = STORAGE === 'memory';

const auth = betterAuth({
  secret: 'a secret of benchmarks, thirty-two characters long',
  baseURL: `http://127.0.0.1:${PORT}`,
  database: new pg.Pool({ connectionString: DATABASE_URL, max: 10 }),
  ...(isInMemory ? { secondaryStorage: inMemory() } : {}),
  logger: { level: 'error' },
  telemetry: { enabled: false },
  plugins: [
    apiKey({
      storage: isInMemory ? 'secondary-storage' : 'database',
      rateLimit: { enabled: true, timeWindow: 60_000, maxRequests: 1_000_000 },
    }),
  ],
});
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
const context = await auth.$context;
const user = await context.internalAdapter.createUser({
  email: `${STORAGE}@bench.example`,
  name: 'Bench',
  emailVerified: true,
});
const secrets = [];
for (let index = 0; index < Number(KEYS); index += 1) {
  const { key } = await auth.api.createApiKey({
    body: {
      name: `Bench ${index}`,
      userId: user.id,
      remaining: 1_000_000_000,
      rateLimitEnabled: true,
      rateLimitMax: 1_000_000,
      rateLimitTimeWindow: 60_000,
      permissions: { chat: ['write', 'read'] },
    },
  });
  secrets.push(key);
}
writeFileSync(BODIES_FILE, secrets.map((key) => JSON.stringify({ key })).join('\n'));

const app = Fastify({ logger: false });
app.post('/verify', async (request, reply) => {
  const verdict = await auth.api.verifyApiKey({ body: { key: request.body.key, permissions: { chat: ['write'] } } });
  return reply.send({ ...verdict, code: verdict.valid ? 'VALID' : (verdict.error?.code ?? 'REFUSED') });
});
app.get('/ready', (_request, reply) => void reply.send({ ok: true }));
await app.listen({ port: Number(PORT), host: '127.0.0.1' });
process.on('SIGTERM', () => process.exit(0));

/** Its interface over a Map; times to live do not run out within a benchmark. */
function inMemory() {
  const values = new Map();
  return {
    get: (name) => values.get(name) ?? null,
    set: (name, value) => void values.set(name, value),
    delete: (name) => void values.delete(name),
    getAndDelete: (name) => {
      const value = values.get(name) ?? null;
      values.delete(name);
      return value;
    },
    increment: (name) => {
      const next = Number(values.get(name) ?? 0) + 1;
      values.set(name, String(next));
      return next;
    },
  };
}
