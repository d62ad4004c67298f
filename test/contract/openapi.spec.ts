import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RouteAccess } from '../../src/access/route-access.js';
import { looksLikeSecret } from '../../src/common/secret-shape.js';
import { TestApp } from '../support/app.js';
import { type Document, builtDocument, checkedInDocument, operationsOf } from '../support/openapi.js';

/** Key material that must appear in no answer and no document. */
const CANARY = 'canary-0123456789-abcdefghijklmnopqrstuvwxyz';
const CANARIES = {
  JWT_SECRET: `${CANARY}-jwt`,
  API_KEY_PEPPERS: `1:${CANARY}-pepper`,
  TAG_KEYS: `1:${CANARY}-tag`,
  RESERVATION_KEY: `${CANARY}-reservation`,
  AUDIT_KEY: `${CANARY}-audit`,
  ADMIN_PASSWORD: `${CANARY}-admin`,
  METRICS_TOKEN: `${CANARY}-metrics-token-0123456789`,
};

/** The made-up secret of the examples. */
const EXAMPLE_SECRET = 'lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw';

describe('the OpenAPI document', () => {
  let app: TestApp;
  let document: Document;

  beforeAll(async () => {
    document = await builtDocument();
    app = await TestApp.start(CANARIES);
  }, 120_000);
  afterAll(() => app.stop());

  it('is the one that is checked in (npm run contract:update, and review the diff)', async () => {
    expect(document).toEqual(await checkedInDocument());
  });

  it('passes a linter with its recommended rules', async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({ source: JSON.stringify(document), absoluteRef: 'openapi.json', config });
    expect(
      problems
        .filter(({ severity }) => severity === 'error')
        .map(({ ruleId, message, location }) => `${ruleId}: ${message} (${location[0]?.pointer})`),
    ).toEqual([]);
  });

  it('has every route with its access rule, and nothing else', () => {
    const declared = app.app
      .get(RouteAccess, { strict: false })
      .routes()
      .map(({ method, path, rule }) => [`${method} ${path.replace(/:(\w+)/g, '{$1}').replace(/\*$/, '{path}')}`, rule]);
    const documented = operationsOf(document).map(({ method, path, operation }) => [
      `${operation['x-any-method'] === true ? 'ALL' : method} ${path.replace('/api/v1', '')}`,
      operation['x-access'],
    ]);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(declared));
  });

  it('says of each operation what it does, under a tag that is explained', () => {
    const explained = new Set(document.tags.filter(({ description }) => description).map(({ name }) => name));
    const silent = operationsOf(document).filter(
      ({ operation }) =>
        !operation.summary || !operation.tags?.length || !operation.tags.every((tag) => explained.has(tag)),
    );
    expect(silent.map(({ operation }) => operation.operationId)).toEqual([]);
  });

  it('names each operation once, in camel case', () => {
    const ids = operationsOf(document).map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^[a-z][A-Za-z0-9]+$/.test(id))).toEqual([]);
  });

  it('names the errors each operation can meet, as problem documents', () => {
    const wrong: string[] = [];
    for (const { method, path, operation } of operationsOf(document)) {
      const statuses = Object.keys(operation.responses).map(Number);
      const expected = [
        ...(operation.security?.length ? (path === '/metrics' ? [] : [401, 403]) : []),
        ...(operation.requestBody ? [400, 413, 415] : []),
        ...(operation.parameters?.length ? [400] : []),
        ...(path.includes('{') ? [404] : []),
        500,
      ];
      for (const status of expected) if (!statuses.includes(status)) wrong.push(`${method} ${path}: no ${status}`);
      for (const [status, response] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        const types = response.$ref
          ? Object.keys(
              (document.components.responses[response.$ref.split('/').at(-1)!] as { content: object }).content,
            )
          : Object.keys(response.content ?? {});
        if (types.join() !== 'application/problem+json')
          wrong.push(`${method} ${path}: ${status} is ${types.join() || 'empty'}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('offers both kinds of credentials wherever some are needed', () => {
    expect(Object.keys(document.components.securitySchemes).sort()).toEqual([
      'apiKey',
      'bearer',
      'clientBasic',
      'gatewayKey',
    ]);
    const guarded = operationsOf(document).filter(
      ({ operation }) => (operation['x-access'] as { kind: string }).kind !== 'public',
    );
    const expected = (kind: string, path: string) =>
      kind === 'gateway'
        ? [
            { gatewayKey: [], bearer: [] },
            { gatewayKey: [], apiKey: [] },
          ]
        : [...(path.endsWith('/introspect') ? [{ clientBasic: [] }] : []), { bearer: [] }, { apiKey: [] }];
    const wrong = guarded.filter(
      ({ operation, path }) =>
        JSON.stringify(operation.security) !==
        JSON.stringify(expected((operation['x-access'] as { kind: string }).kind, path)),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  it('describes an answer of JSON for every success but 204 and what gateways get, whose answer is in headers', () => {
    const withBody = operationsOf(document).filter(
      ({ operation }) => (operation['x-access'] as { kind: string }).kind !== 'gateway',
    );
    const silent = withBody.flatMap(({ method, path, operation }) =>
      Object.entries(operation.responses)
        .filter(([status, response]) => Number(status) < 300 && status !== '204' && !response.content)
        .map(([status]) => `${method} ${path}: ${status}`),
    );
    expect(silent).toEqual([]);
  });

  it('has an example for each field of a body and each part of a path', () => {
    const silent: string[] = [];
    for (const { method, path, operation } of operationsOf(document)) {
      for (const parameter of operation.parameters ?? [])
        if (parameter.in === 'path' && parameter.example === undefined)
          silent.push(`${method} ${path}: ${parameter.name}`);
      for (const { schema, example } of Object.values(operation.requestBody?.content ?? {})) {
        if (example !== undefined) continue;
        const properties = (document.components.schemas[
          (schema['$ref'] as string | undefined)?.split('/').at(-1) ?? ''
        ]?.['properties'] ?? {}) as Record<
          string,
          { example?: unknown; type?: unknown; allOf?: unknown; $ref?: string; items?: { $ref?: string } }
        >;
        for (const [name, property] of Object.entries(properties)) {
          if (
            property.example === undefined &&
            property.type !== 'boolean' &&
            !property.allOf &&
            !property.$ref &&
            !property.items?.$ref
          )
            silent.push(`${method} ${path}: ${name}`);
        }
      }
    }
    expect(silent).toEqual([]);
  });

  it('has examples that its own schemas accept', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema({ $id: 'document', ...document });
    const wrong: string[] = [];
    for (const { method, path, operation } of operationsOf(document)) {
      for (const { schema, example } of Object.values(operation.requestBody?.content ?? {})) {
        if (example === undefined) continue;
        const validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as object);
        if (!validate(example)) wrong.push(`${method} ${path}: ${ajv.errorsText(validate.errors)}`);
      }
    }
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      for (const [field, property] of Object.entries(
        (schema['properties'] ?? {}) as Record<string, { example?: unknown }>,
      )) {
        if (property.example === undefined) continue;
        const validate = ajv.compile(JSON.parse(JSON.stringify(property).replaceAll('"#/', '"document#/')) as object);
        if (!validate(property.example)) wrong.push(`${name}.${field}: ${ajv.errorsText(validate.errors)}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('contains no secret but the made-up one', async () => {
    const served = await app.get('//docs-json');
    expect(served.status).toBe(200);
    for (const text of [JSON.stringify(document), JSON.stringify(served.body)]) {
      expect(text).not.toContain(CANARY);
      expect(looksLikeSecret(text.replaceAll(EXAMPLE_SECRET, '').replaceAll(`lk_live_${'0'.repeat(64)}`, ''))).toBe(
        false,
      );
    }
  });
});

describe('Swagger UI', () => {
  it('comes from this server alone and needs no inline script', async () => {
    const app = await TestApp.start();
    const { status, headers, body } = await app.get('//docs');
    expect(status).toBe(200);
    expect(headers.get('content-security-policy')).toContain("script-src 'self';");
    const scripts = [...(body as string).matchAll(/<script([^>]*)>([^<]*)/g)];
    expect(scripts.length).toBeGreaterThan(1);
    for (const [, attributes, inline] of scripts) {
      expect(inline!.trim()).toBe('');
      const source = /src="\.\/(docs\/[^"]+)"/.exec(attributes!)?.[1];
      expect((await app.get(`//${source}`)).status).toBe(200);
    }
    expect(body).not.toMatch(/\son\w+="/);
    await app.stop();
  });

  it('is off, with the document, where SWAGGER_ENABLED says so, and by itself in production', async () => {
    const app = await TestApp.start({ SWAGGER_ENABLED: 'false' });
    for (const path of ['//docs', '//docs-json', '//docs/swagger-ui-init.js'])
      expect((await app.get(path)).status).toBe(404);
    await app.stop();
    const production = await TestApp.start({ NODE_ENV: 'production' });
    expect((await production.get('//docs')).status).toBe(404);
    await production.stop();
  });
});
