import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LatchkeyClient, type Verdict } from '@latchkey/client';
import { requireApiKey } from '@latchkey/client/express';
import latchkey from '@latchkey/client/fastify';
import { ApiKeyRefused, CurrentApiKey, LatchkeyModule, RequireApiKey } from '@latchkey/client/nest';
import { Controller, Get, HttpCode, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import express from 'express';
import Fastify from 'fastify';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Answer, TestApp } from '../support/app.js';

/** A service in one of the frameworks: GET /open, and POST /chat for keys with chat:write and the body's model. */
interface Service {
  url: string;
  stop(): Promise<unknown>;
}

type Start = (options: { baseUrl: string; key: string }) => Promise<Service>;

const answerOf = (key: Verdict) => ({ keyId: key.keyId, name: key.name });

async function startExpress(options: { baseUrl: string; key: string }): Promise<Service> {
  const client = new LatchkeyClient(options);
  const app = express().set('trust proxy', ['loopback']);
  const guard = requireApiKey(client, {
    scopes: ['chat:write'],
    model: ({ body }) => (body as { model?: string } | undefined)?.model,
  });
  app.get('/open', (_, response) => void response.json({ open: true }));
  app.post('/chat', express.json(), guard, (request, response) => {
    void client.reportUsage({
      id: 'express',
      ...(request.apiKey!.keyId === undefined ? {} : { apiKeyId: request.apiKey!.keyId }),
    });
    response.json(answerOf(request.apiKey!));
  });
  const server = await new Promise<Server>((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening));
  });
  const stop = () => new Promise((resolve) => server.close(resolve)).then(() => client.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
}

async function startFastify(options: { baseUrl: string; key: string }): Promise<Service> {
  const app = Fastify({ trustProxy: ['127.0.0.1'] });
  await app.register(latchkey, options);
  app.get('/open', () => ({ open: true }));
  const model = ({ body }: { body: unknown }) => (body as { model?: string } | undefined)?.model;
  app.post('/chat', { preHandler: app.requireApiKey({ scopes: ['chat:write'], model }) }, (request) => {
    void app.latchkey.reportUsage({ id: 'fastify', apiKeyId: request.apiKey!.keyId! });
    return answerOf(request.apiKey!);
  });
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), stop: () => app.close() };
}

@Controller()
// On the class and on a handler: still one verify, by the handler's word.
@RequireApiKey({ scopes: ['never'] })
class ChatController {
  constructor(private readonly client: LatchkeyClient) {}

  @Post('chat')
  @HttpCode(200)
  @RequireApiKey({ scopes: ['chat:write'], model: ({ body }: { body?: { model?: string } }) => body?.model })
  chat(@CurrentApiKey() key: Verdict) {
    void this.client.reportUsage({ id: 'nest', apiKeyId: key.keyId! });
    return answerOf(key);
  }
}

@Controller('open')
class OpenController {
  @Get()
  open() {
    return { open: true };
  }
}

async function startNest(options: { baseUrl: string; key: string }): Promise<Service> {
  class Settings {
    readonly latchkey = options;
  }
  @Module({ providers: [Settings], exports: [Settings] })
  class SettingsModule {}
  const forRootAsync = LatchkeyModule.forRootAsync({
    imports: [SettingsModule],
    inject: [Settings],
    useFactory: (settings: Settings) => settings.latchkey,
  });
  @Module({ imports: [forRootAsync], controllers: [ChatController, OpenController] })
  class AppModule {}
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule,
    new FastifyAdapter({ trustProxy: ['127.0.0.1'] }),
    { logger: false },
  );
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, stop: () => app.close() };
}

describe('Guards in front of a service', () => {
  let app: TestApp;
  let admin: LatchkeyClient;
  let serviceKey: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = new LatchkeyClient({ baseUrl: app.baseUrl, key: await app.adminToken() });
    serviceKey = (await admin.keys.create({ name: 'A service', roles: ['gateway'] })).secretKey;
  });
  afterAll(() => app.stop());

  describe.each<[string, Start]>([
    ['express', startExpress],
    ['fastify', startFastify],
    ['nest', startNest],
  ])('with %s', (framework, start) => {
    let service: Service;
    let key: Awaited<ReturnType<LatchkeyClient['keys']['create']>>;

    beforeAll(async () => {
      service = await start({ baseUrl: app.baseUrl, key: serviceKey });
      key = await admin.keys.create({
        name: 'Ada',
        scopes: ['chat:write'],
        allowedModels: ['gpt-*'],
        allowedIps: ['203.0.113.0/24'],
        rateLimitPerMinute: 5,
      });
    });

    const ask = async (
      headers: Record<string, string>,
      { model = 'gpt-4o', path = '/chat', from = '203.0.113.7' } = {},
    ): Promise<Answer> => {
      const response = await fetch(service.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-forwarded-for': from, ...headers },
        body: JSON.stringify({ model }),
      });
      return { status: response.status, headers: response.headers, body: await response.json() };
    };
    const bearer = () => ({ authorization: `Bearer ${key.secretKey}` });

    it('lets a request through with the key of an allowed user, and says what is left', async () => {
      const { status, body, headers } = await ask(bearer());
      expect([status, body]).toEqual([200, { keyId: key.apiKey.id, name: 'Ada' }]);
      expect(headers.get('ratelimit-policy')).toBe('"minute";q=5;w=60');
      expect(headers.get('ratelimit')).toMatch(/^"minute";r=4;t=\d+$/);
    });

    it('leaves alone what is not protected', async () => {
      expect((await fetch(`${service.url}/open`)).status).toBe(200);
    });

    it('reads X-API-Key too, and refuses a key in the URL', async () => {
      expect((await ask({ 'x-api-key': key.secretKey })).status).toBe(200);
      expect(await ask(bearer(), { path: `/chat?api_key=${key.secretKey}` })).toMatchObject({
        status: 400,
        body: { code: 'VALIDATION_FAILED' },
      });
    });

    it('answers a problem document to who has no key', async () => {
      const { status, headers, body } = await ask({});
      expect(status).toBe(401);
      expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      expect(headers.get('www-authenticate')).toBe('Bearer');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body).toEqual({
        type: 'about:blank',
        title: 'Unauthorized',
        status: 401,
        code: 'UNAUTHENTICATED',
        detail: expect.any(String),
      });
    });

    it('passes the end user’s address, which only a trusted proxy may say', async () => {
      expect(await ask(bearer(), { from: '198.51.100.1' })).toMatchObject({
        status: 403,
        body: { code: 'IP_NOT_ALLOWED' },
      });
      expect(await ask(bearer(), { from: '203.0.113.7, 198.51.100.1' })).toMatchObject({
        status: 403,
        body: { code: 'IP_NOT_ALLOWED' },
      });
    });

    it('reads the address whatever the proxy writes around it, and is never an outage for what is no address', async () => {
      for (const from of ['198.51.100.1:54321', '[2001:db8::5]:443', 'unknown', 'garbage']) {
        expect(await ask(bearer(), { from })).toMatchObject({ status: 403, body: { code: 'IP_NOT_ALLOWED' } });
      }
      const free = await admin.keys.create({ scopes: ['chat:write'] });
      const allowed = await admin.keys.create({
        scopes: ['chat:write'],
        allowedIps: ['203.0.113.0/24', '2001:db8::/32'],
      });
      for (const from of ['203.0.113.7:54321', '[2001:db8::5]:443', 'unknown', 'garbage']) {
        const isAddress = !/unknown|garbage/.test(from);
        expect((await ask({ 'x-api-key': free.secretKey }, { from })).status).toBe(200);
        expect((await ask({ 'x-api-key': allowed.secretKey }, { from })).status).toBe(isAddress ? 200 : 403);
      }
    });

    it('refuses another model, and a made-up key', async () => {
      expect(await ask(bearer(), { model: 'o3' })).toMatchObject({ status: 403, body: { code: 'MODEL_NOT_ALLOWED' } });
      expect(await ask(bearer(), { model: 'gpt-4o\n' })).toMatchObject({
        status: 400,
        body: { code: 'VALIDATION_FAILED', errors: [{ path: 'model' }] },
      });
      expect(await ask(bearer(), { model: 'x'.repeat(200) })).toMatchObject({
        status: 400,
        body: { code: 'VALIDATION_FAILED', errors: [{ path: 'model' }] },
      });
      const stranger = await ask({ authorization: `Bearer ${key.secretKey.slice(0, -1)}#` });
      expect(stranger).toMatchObject({ status: 401, body: { code: 'MALFORMED' } });
      expect(stranger.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    });

    it('says when to come back', async () => {
      // Of five, two were let through above; what was refused did not count.
      const statuses = [];
      for (let time = 0; time < 3; time += 1) statuses.push((await ask(bearer())).status);
      expect(statuses).toEqual([200, 200, 200]);
      const { status, headers, body } = await ask(bearer());
      expect([status, body.code]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('ratelimit')).toMatch(/r=0/);
    });

    it('sends the usage that is queued when the application ends', async () => {
      await service.stop();
      expect(await admin.keys.usage(key.apiKey.id)).toMatchObject({ totalRequests: 1 });
      expect(framework).toEqual(expect.any(String));
    });
  });

  it('throws an error that a filter of Nest’s may look into', () => {
    const refusal = {
      status: 403,
      headers: {},
      problem: { type: 'about:blank' as const, title: 'Forbidden', status: 403, detail: 'No.', code: 'REVOKED' },
      verdict: null,
    };
    const error = new ApiKeyRefused(refusal);
    expect([error.getStatus(), error.getResponse(), error.verdict]).toEqual([403, refusal.problem, null]);
  });
});
