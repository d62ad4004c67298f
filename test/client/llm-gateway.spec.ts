import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LatchkeyClient } from '@latchkey/client';
import OpenAI from 'openai';
import { ADMIN, TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { examplesIn, ROOT, run, start, type Started } from './examples.js';
import { freePort } from '../support/free-port.js';

const FOLDER = 'examples/llm-gateway';

describe('The LLM gateway', () => {
  let app: TestApp;
  let env: Record<string, string>;
  let admin: LatchkeyClient;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = new LatchkeyClient({ baseUrl: app.baseUrl, key: await app.adminToken() });
    env = {
      LATCHKEY_URL: app.baseUrl,
      LATCHKEY_EMAIL: ADMIN.email,
      LATCHKEY_PASSWORD: ADMIN.password,
      UPSTREAM_PORT: String(await freePort()),
      GATEWAY_PORT: String(await freePort()),
    };
  });
  afterAll(() => app.stop());

  it('stops a client in mid-month, as its README says', async () => {
    const examples = await examplesIn(`${FOLDER}/README.md`);
    const printed = await run('bash', ['-euc', examples.get('run.sh')!], { cwd: ROOT, env });
    expect(withoutAccidents(printed)).toBe(withoutAccidents(examples.get('output.txt')!));
    const [spent] = /([\d.]+) of 0.3 cents/.exec(printed)!.slice(1).map(Number);
    // A fourth call would cost 0.0625 cents and might cost 0.07525: there is room for the first only.
    expect(spent).toBeLessThanOrEqual(0.3);
    expect(spent).toBeGreaterThan(0.3 - 0.07525);
  });

  describe('beside OpenAI’s client', () => {
    let processes: Started[];
    let openai: OpenAI;

    beforeAll(async () => {
      const { secretKey } = await admin.keys.create({ name: 'LLM gateway', roles: ['gateway'] });
      env = { ...env, GATEWAY_KEY: secretKey };
      processes = ['upstream.mjs', 'gateway.mjs'].map((name) =>
        start(process.execPath, [`${FOLDER}/${name}`], { cwd: ROOT, env }),
      );
      const baseURL = `http://127.0.0.1:${env['GATEWAY_PORT']}/v1`;
      openai = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
      await eventually(async () => expect((await fetch(`${baseURL}/models`)).status).toBe(404), 15_000);
    });
    afterAll(async () => {
      for (const { child } of processes) child.kill('SIGTERM');
      await Promise.all(processes.map(({ ended }) => ended));
    });

    const messages = [{ role: 'user' as const, content: 'What do keys do?' }];
    const call = { model: 'gpt-4o', messages, max_completion_tokens: 40 };
    const clientOf = async (fields: object) => {
      const { apiKey, secretKey } = await admin.keys.create({
        scopes: ['chat'],
        allowedModels: ['gpt-4o*'],
        budgetLimitCents: 1,
        ...fields,
      });
      return { id: apiKey.id, openai: openai.withOptions({ apiKey: secretKey }) };
    };
    /** The books once the settlement is in them. */
    const settled = async (id: string) => {
      await eventually(async () =>
        expect(await admin.keys.usage(id)).toMatchObject({ totalRequests: 1, budget: { heldCents: 0 } }),
      );
      return admin.keys.usage(id);
    };

    it('charges what the provider counted', async () => {
      const client = await clientOf({});
      const { usage } = await client.openai.chat.completions.create(call);
      expect(usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 40 });
      expect(await settled(client.id)).toMatchObject({ totalTokens: 50, budget: { spentCents: 0.0425 } });
    });

    it.each([[true], [false]])(
      'charges a stream what the provider counted, whether the client asked for that or not (%s)',
      async (asked) => {
        const client = await clientOf({});
        const stream = await client.openai.chat.completions.create({
          ...call,
          stream: true,
          ...(asked ? { stream_options: { include_usage: true } } : {}),
        });
        const chunks = [];
        for await (const chunk of stream) chunks.push(chunk);
        expect(chunks.filter(({ choices }) => choices[0]?.delta.content)).toHaveLength(40);
        expect(chunks.some(({ usage }) => usage?.completion_tokens === 40)).toBe(asked);
        expect(await settled(client.id)).toMatchObject({ totalTokens: 50, budget: { spentCents: 0.0425 } });
      },
    );

    it('charges who leaves in the middle what came until then', async () => {
      const client = await clientOf({});
      const stream = await client.openai.chat.completions.create({ ...call, max_completion_tokens: 60, stream: true });
      let pieces = 0;
      for await (const _chunk of stream) if ((pieces += 1) === 10) break;
      const { budget, totalTokens } = await settled(client.id);
      // The ten pieces that were read at least; more may have come before the leaving was noticed.
      expect(totalTokens).toBeGreaterThanOrEqual(60 + 10);
      expect(totalTokens).toBeLessThan(63 + 60);
      expect(budget!.spentCents).toBeGreaterThan(0.01);
    });

    it('refuses in OpenAI’s words', async () => {
      const client = await clientOf({ rateLimitPerMinute: 1, budgetLimitCents: 0.06 });
      await expect(openai.chat.completions.create(call)).rejects.toMatchObject({
        status: 401,
        code: 'invalid_api_key',
      });
      await expect(client.openai.chat.completions.create({ ...call, model: 'o3' })).rejects.toMatchObject({
        status: 403,
        code: 'model_not_allowed',
      });
      await expect(client.openai.chat.completions.create({ ...call, model: 'gpt-1' })).rejects.toMatchObject({
        status: 404,
        code: 'model_not_found',
        param: 'model',
      });
      const tooMuch = client.openai.chat.completions.create({ ...call, max_completion_tokens: 100 }, { maxRetries: 3 });
      await expect(tooMuch).rejects.toMatchObject({
        status: 429,
        code: 'insufficient_quota',
        type: 'insufficient_quota',
      });
      await client.openai.chat.completions.create(call);
      await settled(client.id);
      const again = client.openai.chat.completions.create({ ...call, max_completion_tokens: 1 });
      await expect(again).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
      expect((await settled(client.id)).refusalsToday).toBeDefined();
    });

    it('waits for tokens a minute, and has again what a call did not use', async () => {
      const { id: projectId } = await admin.call('post', '/projects', { body: { name: 'Tokens a minute' } });
      await admin.call('post', '/limits', {
        query: { wait: 'true' },
        body: { name: 'Pace', unit: 'tokens', amount: 140, per: 'minute', target: { kind: 'project', id: projectId } },
      });
      const client = await clientOf({ projectId });
      // 60 bytes in and 40 tokens out are reserved; the provider counts 50.
      await client.openai.chat.completions.create(call);
      const again = client.openai.chat.completions.create(call);
      await expect(again).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'tokens' });
      const headers = await again.catch(({ headers: refused }: { headers: Headers }) => refused);
      expect(Number((headers as Headers).get('retry-after'))).toBeGreaterThan(0);
      await client.openai.chat.completions.create({ ...call, max_completion_tokens: 20 });
      const large = client.openai.chat.completions.create({ ...call, max_completion_tokens: 100 }, { maxRetries: 3 });
      await expect(large).rejects.toMatchObject({ status: 429, type: 'tokens' });
    });

    it('releases what it held when the provider fails', async () => {
      const client = await clientOf({});
      const broken = [
        { role: 'user' as const, content: [{ type: 'text' as const, text: 'The stand-in takes plain text only.' }] },
      ];
      await expect(client.openai.chat.completions.create({ ...call, messages: broken })).rejects.toMatchObject({
        status: 502,
        code: 'upstream_failed',
      });
      await eventually(async () =>
        expect(await admin.keys.usage(client.id)).toMatchObject({
          totalRequests: 0,
          budget: { spentCents: 0, heldCents: 0 },
        }),
      );
    });
  });
});

/** Days until the month ends, how many tokens came before a leaving client was noticed, and what follows from that. */
function withoutAccidents(text: string): string {
  return text
    .replace(/in [\d.]+ days/, 'in N days')
    .replace(/\d+ tokens, [\d.]+ of/, 'N tokens, N of')
    .replace(/^npm warn.*\n/gm, '');
}
