import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { RouteAccess } from '../access/route-access.js';
import { buildInfo } from '../common/build-info.js';
import { ProblemView } from '../common/problem.view.js';
import { documentAnyMethodOnce } from './any-method.js';
import { addErrors } from './errors.js';
import { addExamples } from './examples.js';
import { operationIdOf } from './operation-ids.js';
import { operationsOf } from './operations.js';
import { stateRequestDefaults } from './request-defaults.js';
import { type ValidatedClass, completeQueries, completeSchemas } from './schemas.js';

/** Everything below this path is the API; the rest is listed where the prefix is set, by name. */
export const API_PREFIX = 'api/v1';

/** What the parts of the API are for, in the order of the document. Tags that no route carries are left out. */
const TAGS: Record<string, string> = {
  Auth: 'Signing in and out, and who one is.',
  'API keys': 'Creating, reading, changing and ending keys.',
  Verification: 'What services ask on every request they serve.',
  Usage: 'Reporting what keys used, and reading it.',
  Gateways: 'Token introspection and the authorisation calls of reverse proxies.',
  Users: 'People and service accounts.',
  Roles: 'Roles, their grants and their key policies.',
  Projects: 'Keys that belong together, of any owners.',
  Limits: 'What a key, an owner, a project or all keys may spend in a period.',
  Audit: 'The trail of every change, read and refusal.',
  System: 'The replicas of this installation.',
  Health: 'For load balancers and orchestrators.',
};

const DESCRIPTION = `An API-key authority: issues, manages, verifies and meters API keys.

- **Credentials**: a bearer token from \`POST /api/v1/auth/login\`, or an API key in \`X-API-Key\` or as bearer token.
- **Errors** are \`application/problem+json\` (RFC 9457) with a stable \`code\`; every answer carries \`X-Request-Id\`.
- **Money** is in cents with at most six decimals, **instants** are UTC in ISO 8601, **ids** are UUIDs.
- Unknown fields are refused and nothing is coerced.`;

/** The OpenAPI 3.1 document of the application; needs neither a database nor a listening server. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const routes = app.get(RouteAccess);
  const document = SwaggerModule.createDocument(app, settings(), {
    extraModels: [ProblemView],
    operationIdFactory: operationIdOf,
  });
  const audited = new Set(
    routes
      .routes()
      .filter((route) => route.audited && route.method !== 'GET')
      .map((route) => `${route.method} ${route.path}`),
  );
  const short = (path: string) => path.replace(`/${API_PREFIX}`, '').replace(/\{(\w+)\}/g, ':$1');
  documentAnyMethodOnce(document);
  const bodies = bodyClasses(routes);
  completeSchemas(document, bodies);
  stateRequestDefaults(document, bodies);
  completeQueries(document, parameterClasses(routes));
  addErrors(document, (method, path) => audited.has(`${method} ${short(path)}`));
  addExamples(document, API_PREFIX);
  for (const { operation } of operationsOf(document)) operation.security ??= [];
  const used = new Set(operationsOf(document).flatMap(({ operation }) => operation.tags ?? []));
  delete document.info.contact;
  document.tags = Object.entries(TAGS)
    .filter(([name]) => used.has(name))
    .map(([name, description]) => ({ name, description }));
  return document;
}

function settings(): Omit<OpenAPIObject, 'paths'> {
  return new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Latchkey')
    .setDescription(DESCRIPTION)
    .setVersion(buildInfo().version)
    .addServer('/', 'This installation')
    .addBearerAuth({
      type: 'http',
      scheme: 'bearer',
      description: 'A session token, a token of the identity provider, or an API key.',
    })
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The API key of a service.' }, 'apiKey')
    .addSecurity('clientBasic', {
      type: 'http',
      scheme: 'basic',
      description: 'Any name, and the API key of the service as password.',
    })
    .addApiKey(
      {
        type: 'apiKey',
        in: 'header',
        name: 'X-Latchkey-Gateway-Key',
        description: 'The API key of a gateway, beside what its client presented.',
      },
      'gatewayKey',
    )
    .build();
}

/** The classes of each handler's parameters, by the id of its operation. */
function parameterClasses(routes: RouteAccess): Map<string, ValidatedClass[]> {
  return new Map(
    routes.routes().map(({ handler, parameterTypes }) => {
      const [controller, method] = handler.split('.') as [string, string];
      return [operationIdOf(controller, method), parameterTypes.filter(isClass)];
    }),
  );
}

/** The classes of all handlers' parameters, and of what these are made of. */
function bodyClasses(routes: RouteAccess): Set<ValidatedClass> {
  const classes = new Set<ValidatedClass>();
  for (const { parameterTypes } of routes.routes()) {
    for (const type of parameterTypes) if (typeof type === 'function') addWithParts(classes, type as ValidatedClass);
  }
  return classes;
}

const MODEL_PROPERTIES = 'swagger/apiModelPropertiesArray';
const MODEL_PROPERTY = 'swagger/apiModelProperties';

function addWithParts(classes: Set<ValidatedClass>, type: ValidatedClass): void {
  if (classes.has(type)) return;
  classes.add(type);
  const prototype = type.prototype as object;
  for (const property of (Reflect.getMetadata(MODEL_PROPERTIES, prototype) ?? []) as string[]) {
    const { type: part } = (Reflect.getMetadata(MODEL_PROPERTY, prototype, property.replace(/^:/, '')) ?? {}) as {
      type?: unknown;
    };
    for (const candidate of [part].flat()) {
      const resolved: unknown = isLazy(candidate) ? candidate() : candidate;
      for (const one of [resolved].flat()) if (isClass(one)) addWithParts(classes, one);
    }
  }
}

function isLazy(value: unknown): value is () => unknown {
  return typeof value === 'function' && value.prototype === undefined;
}

function isClass(value: unknown): value is ValidatedClass {
  return typeof value === 'function' && value.toString().startsWith('class ');
}
