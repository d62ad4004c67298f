import fastifyCookie from '@fastify/cookie';
import fastifyHelmet from '@fastify/helmet';
import { RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyServerOptions } from 'fastify';
import type { Writable } from 'node:stream';
import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { AppModule } from './app.module.js';
import { domainErrorOf, sendProblem } from './common/problem.filter.js';
import { DomainError } from './common/domain-error.js';
import { Meters } from './common/meters.js';
import { requestValidation } from './common/validation.pipe.js';
import type { Config } from './config/config.js';
import { NestLogger } from './common/nest-logger.js';

/** Bodies above this are 413; usage batches have a limit of their own. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_USAGE_BODY_BYTES = 1024 * 1024;

/** Everything below this path is the API; the rest is listed here, by name. */
export const API_PREFIX = 'api/v1';

/**
 * The application, ready to listen: filters, pipes, limits and headers as every entry point must have them.
 * The caller owns `dataSource` and closes it after the application. `logStream` takes the log instead of stdout.
 */
export async function createApp(config: Config, dataSource: DataSource, logStream?: Writable): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter(serverOptions(config, logStream));
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.for(config, dataSource), adapter, {
    bufferLogs: true,
    bodyParser: false,
    abortOnError: false,
  });
  app.useLogger(new NestLogger(app.getHttpAdapter().getInstance().log));
  app.setGlobalPrefix(API_PREFIX, {
    exclude: [
      { path: 'health/live', method: RequestMethod.GET },
      { path: 'health/ready', method: RequestMethod.GET },
      { path: 'metrics', method: RequestMethod.GET },
    ],
  });
  app.useGlobalPipes(requestValidation());
  // Nest's default cookie and helmet types follow another Fastify minor than ours; the plugins are the same.
  await app.register(fastifyCookie as never);
  await app.register(fastifyHelmet, helmetOptions(config));
  tameFastify(app);
  app.enableShutdownHooks([]);
  return app;
}

function serverOptions(config: Config, logStream: Writable | undefined): FastifyServerOptions {
  return {
    bodyLimit: MAX_BODY_BYTES,
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    disableRequestLogging: true,
    routerOptions: { maxParamLength: 200, caseSensitive: true },
    frameworkErrors: (error, request, reply) => {
      const domain = domainErrorOf(error) ?? new DomainError('invalid', 'VALIDATION_FAILED', 'The request line is not valid.');
      sendProblem(reply, domain, request.id);
    },
    logger:
      config.logLevel === 'silent'
        ? false
        : {
            level: config.logLevel,
            serializers: { req: () => ({}), res: () => ({}) },
            base: null,
            ...(logStream === undefined ? {} : { stream: logStream }),
          },
  };
}

function helmetOptions(config: Config): object {
  const https = config.publicUrl.startsWith('https:');
  return {
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        fontSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        frameAncestors: ["'none'"],
        objectSrc: ["'none'"],
        baseUri: ["'self'"],
        formAction: ["'self'"],
        upgradeInsecureRequests: https ? [] : null,
      },
    },
    strictTransportSecurity: https,
  };
}

/** What Fastify does by itself and we do not want. */
function tameFastify(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRoute', (route) => {
    if (route.url === `/${API_PREFIX}/usage` && route.method === 'POST') route.bodyLimit = MAX_USAGE_BODY_BYTES;
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header('X-Request-Id', request.id);
    done();
  });
  // An absent body is a request with defaults, also under a JSON content type; text/plain is not JSON.
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    if (body === '') return done(null, undefined);
    void fastify.getDefaultJsonParser('error', 'error')(_request, body as string, done);
  });
  const durations = app.get(Meters).duration('latchkey_http_request_duration_seconds', 'Duration of requests by route and status', ['method', 'route', 'status']);
  fastify.addHook('onResponse', (request, reply, done) => {
    durations.labels(request.method, request.routeOptions.url ?? 'none', String(reply.statusCode)).observe(reply.elapsedTime / 1000);
    request.log.info(
      {
        requestId: request.id,
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime * 100) / 100,
        principal: request.caller?.principal ? { kind: request.caller.principal.kind, id: request.caller.principal.id } : undefined,
      },
      'request',
    );
    done();
  });
}
