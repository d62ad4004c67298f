/**
 * Makes a key for the gateway and one for Ada, who may use the gpt-4o models for 0.3 cents a month, and prints them as
 * shell commands for `eval`.
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
const ada = await latchkey.keys.create({
  name: 'Ada',
  scopes: ['chat'],
  allowedModels: ['gpt-4o*'],
  budgetLimitCents: 0.3,
  budgetType: 'monthly',
});

console.log(`export GATEWAY_KEY=${gateway.secretKey}`);
console.log(`export OPENAI_API_KEY=${ada.secretKey}`);
console.log(`export OPENAI_BASE_URL=http://127.0.0.1:${process.env.GATEWAY_PORT ?? 4000}/v1`);
console.log(`export ADA_KEY_ID=${ada.apiKey.id}`);
console.log(`export LATCHKEY_ADMIN_TOKEN=${accessToken}`);
