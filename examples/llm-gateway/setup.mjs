/**
 * Makes a key for the gateway, a project whose keys share a budget, tokens a minute and calls in flight, and whose end
 * users have so many calls a day, and a key in it for Ada, who may use the gpt-4o models for 0.3 cents a month. Prints
 * keys as shell commands for `eval`.
 */
import { LatchkeyClient } from '@latchkey/client';

const baseUrl = process.env.LATCHKEY_URL ?? 'http://127.0.0.1:3000';
const email = process.env.LATCHKEY_EMAIL ?? 'admin@latchkey.local';

const response = await fetch(`${baseUrl}/api/v1/auth/login`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ email, password: process.env.LATCHKEY_PASSWORD ?? '' }),
});
if (!response.ok) {
  console.error(`Signing in as ${email} failed with ${response.status}: is LATCHKEY_PASSWORD set?`);
  process.exit(1);
}
const { accessToken } = await response.json();
const latchkey = new LatchkeyClient({ baseUrl, key: accessToken });

const gateway = await latchkey.keys.create({ name: 'LLM gateway', roles: ['gateway'] });
const { id: projectId } = await admin('PUT', '/projects/by-alias/llm-example', { name: 'LLM example' });
const target = { kind: 'project', id: projectId };
for (const [alias, limit] of [
  ['llm-example-budget', { amountCents: 100, per: 'month' }],
  ['llm-example-pace', { unit: 'tokens', amount: 100_000, per: 'minute' }],
  ['llm-example-calls', { unit: 'slots', amount: 5 }],
  ['llm-example-users', { unit: 'requests', amount: 200, per: 'day', each: 'subject' }],
]) {
  await admin('PUT', `/limits/by-alias/${alias}?wait=true`, {
    name: `LLM example: ${limit.unit ?? 'budget'}`,
    target,
    ...limit,
  });
}
const ada = await latchkey.keys.create({
  name: 'Ada',
  projectId,
  scopes: ['chat'],
  allowedModels: ['gpt-4o*'],
  budgetLimitCents: 0.3,
  budgetType: 'monthly',
});

/** A change with the rights of who runs this. */
async function admin(method, path, body) {
  const answer = await fetch(`${baseUrl}/api/v1${path}`, {
    method,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

console.log(`export GATEWAY_KEY=${gateway.secretKey}`);
console.log(`export OPENAI_API_KEY=${ada.secretKey}`);
console.log(`export OPENAI_BASE_URL=http://127.0.0.1:${process.env.GATEWAY_PORT ?? 4000}/v1`);
console.log(`export ADA_KEY_ID=${ada.apiKey.id}`);
console.log(`export LATCHKEY_ADMIN_TOKEN=${accessToken}`);
