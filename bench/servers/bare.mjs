/** The yardstick: a bare Fastify server that parses the same body and answers the same JSON from a Map. */
import Fastify from 'fastify';
import { readFileSync } from 'node:fs';

const verdicts = new Map(
  readFileSync(process.env.VERDICTS_FILE, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line)),
);
const app = Fastify({ logger: false });
const unknown = { valid: false, code: 'NOT_FOUND' };
app.post('/verify', (request, reply) => {
  void reply.send(verdicts.get(request.body.key) ?? unknown);
});
app.post('/usage', (_request, reply) => {
  void reply.send({ accepted: 1, duplicates: 0, results: [{ id: 'x', outcome: 'accepted' }] });
});
app.get('/ready', (_request, reply) => void reply.send({ ok: true }));
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
process.on('SIGTERM', () => process.exit(0));
