import { RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type FastifyHttpOptions, type FastifyReply, LogController } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { RequestListener, Server } from 'node:http';
import type { DataSource } from 'typeorm';
import { AppModule } from './app.module.js';
import { PastedSecrets } from '../api-keys/pasted-secrets.js';
import { KeyAuthenticator } from '../access/authenticator.js';
import { ClientIps } from '../access/client-ip.js';
import { RouteAccess } from '../access/route-access.js';
import { validationFailed } from '../common/domain-error.js';
import { Conditions } from '../common/conditions.js';
import { createLog, type Log, logOutput } from '../common/log.js';
import { NestLogger } from '../common/nest-logger.js';
import { applyBodyLimit } from '../common/body-limit.js';
import { ProblemFilter, domainErrorOf, sendProblem } from '../common/problem.filter.js';
import { Metrics } from '../common/metrics.js';
import { requestValidation } from '../common/validation.pipe.js';
import type { Config } from '../config/config.js';
import type { EmbeddedSupervisor } from '../../packages/embedded-postgres/src/supervisor.js';
import { Readiness } from '../health/readiness.js';
import { ResponseBatching } from '../http/response-batching.js';
import { answerClientError } from '../http/client-errors.js';
import { compressAnswers } from '../http/compressed-answers.js';
import { serveConsole } from '../http/console.js';
import { acceptOnlyJson } from '../http/request-bodies.js';
import { otherMethods } from '../http/other-methods.js';
import { meetRequests, sendAnswers, tellAnswers } from '../http/request-hooks.js';
import { RequestLog, sharedLogger } from '../http/request-log.js';
import { securityHeaders } from '../http/security-headers.js';
import { REQUEST_TIMEOUT_MS, keepAllHeaders, timeLimits } from '../http/server-limits.js';
import type { ShortRoute } from '../http/short-cut/short-route.js';
import { shortCutTally, takeShortCut } from '../http/short-cut/short-cut.js';
import { boundTraffic } from '../http/traffic.js';
import { API_PREFIX } from '../openapi/document.js';
import { serveOpenApi } from '../openapi/serve.js';
import { Traces } from '../tracing/traces.js';
import { noteConnections } from './shutdown.js';
import { reportShortRoute } from '../usage/report.short-route.js';
import { UsageService } from '../usage/usage.service.js';
import { Verifier } from '../verification/verifier.js';
import { verifyShortRoutes } from '../verification/verify.short-routes.js';

/** Bodies above this are 413; routes with `@BodyLimit` have a limit of their own. */
const MAX_BODY_BYTES = 64 * 1024;

/** What an entry point may want to be otherwise. */
export interface AppOptions {
  /** The PostgreSQL that came with the server, as its supervisor sees it. */
  readonly embedded?: Pick<EmbeddedSupervisor, 'isDown' | 'restarts'>;
  /** The log of the process; without it there is one of its own, with `LOG_LEVEL`, on standard output. */
  readonly log?: Log;
  /** Milliseconds in which a request must arrive whole, on every listener; `REQUEST_TIMEOUT_MS` without. */
  readonly requestTimeoutMs?: number;
}

/**
 * The application, ready to listen: filters, pipes, limits and headers as every entry point must have them.
 * The caller owns `dataSource` and closes it after the application.
 */
export async function createApp(
  config: Config,
  dataSource: DataSource,
  options: AppOptions = {},
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    ...serverOptions(config, options),
    // No Express-style middleware anywhere: its runner need not look at every request.
    skipMiddie: true,
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.for(config, dataSource), adapter, {
    bufferLogs: true,
    bodyParser: false,
    abortOnError: false,
  });
  app.useLogger(new NestLogger(app.getHttpAdapter().getInstance().log));
  app.setGlobalPrefix(API_PREFIX, {
    exclude: [
      { path: 'health', method: RequestMethod.GET },
      { path: 'health/live', method: RequestMethod.GET },
      { path: 'health/ready', method: RequestMethod.GET },
      { path: 'metrics', method: RequestMethod.GET },
    ],
  });
  if (options.embedded) showEmbedded(app, options.embedded);
  showLog(app);
  const pasted = app.get(PastedSecrets, { strict: false });
  app.useGlobalPipes(requestValidation((body, except) => pasted.findIn(body, except)));
  configureFastify(app, config);
  await traceRequests(app);
  if (config.swaggerEnabled) serveOpenApi(app);
  await serveConsole(app, config);
  return app;
}

function serverOptions(
  config: Config,
  { log, requestTimeoutMs = REQUEST_TIMEOUT_MS }: AppOptions,
): FastifyHttpOptions<Server> {
  return {
    bodyLimit: MAX_BODY_BYTES,
    http: timeLimits(requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    // While draining, what still comes over open connections is answered as ever.
    return503OnClosing: false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    childLoggerFactory: sharedLogger,
    logController: new LogController({ disableRequestLogging: true }),
    routerOptions: { maxParamLength: 200, caseSensitive: true },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      sendProblem(
        reply as FastifyReply,
        domainErrorOf(error) ?? validationFailed([{ path: 'url', message: 'is not valid' }]),
        request.id,
      );
    },
    ...(config.logLevel === 'silent' ? { logger: false } : { loggerInstance: log ?? createLog(config.logLevel) }),
  };
}

const DATABASE_DOWN = 'The embedded PostgreSQL has ended, and is being started again.';

function showEmbedded(app: NestFastifyApplication, supervisor: Pick<EmbeddedSupervisor, 'isDown' | 'restarts'>): void {
  app
    .get(Conditions)
    .register('embeddedPostgres', 'the embedded PostgreSQL runs', () => (supervisor.isDown ? DATABASE_DOWN : null));
  app
    .get(Metrics)
    .count(
      'latchkey_embedded_postgres_restarts_total',
      'Starts of the embedded PostgreSQL after it had died, by this process.',
      () => supervisor.restarts,
    );
}

const LOG_NOT_WRITTEN =
  'Lines of the log cannot be written to standard output: its disk is full, or what read it is gone.';

function showLog(app: NestFastifyApplication): void {
  app
    .get(Conditions)
    .register('log', 'lines of the log are written', () => (logOutput.isFailing ? LOG_NOT_WRITTEN : null));
  app
    .get(Metrics)
    .count(
      'latchkey_log_lines_dropped_total',
      'Lines of the log that standard output did not take.',
      () => logOutput.dropped,
    );
}

/** What the short cut answers. */
function shortRoutes(app: NestFastifyApplication): ShortRoute[] {
  return [
    ...verifyShortRoutes(app.get(Verifier, { strict: false })),
    reportShortRoute(app.get(UsageService, { strict: false })),
  ];
}

/** Puts traces around what answers requests, where they are on: otherwise nothing of them is there. */
async function traceRequests(app: NestFastifyApplication): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance();
  const traces = await app
    .get(Traces, { strict: false })
    .begin(new Set(shortRoutes(app).map(({ path }) => `/${API_PREFIX}${path}`)));
  if (traces === null) return;
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { url } = request.routeOptions;
    if (url !== undefined) traces.routed(request.raw, url);
    done();
  });
  const { server } = fastify;
  const routing = fastify.routing.bind(fastify);
  const [answer] = server.listeners('request') as RequestListener[];
  server.removeAllListeners('request');
  server.on('request', (request, response) => traces.run(request, response, () => answer!(request, response)));
  // What comes through GATEWAY_PORT.
  fastify.routing = (request, response) => traces.run(request, response, () => routing(request, response));
}

/** What Fastify does by itself and we do not want, and what every request meets before Nest. */
function configureFastify(app: NestFastifyApplication, config: Config): void {
  const fastify = app.getHttpAdapter().getInstance();
  const readiness = app.get(Readiness, { strict: false });
  const meters = app.get(Metrics);
  const declared = app.get(RouteAccess, { strict: false }).routes();
  // What ordinary routes and the short cut share.
  const headersOf = securityHeaders(config);
  const clientIps = new ClientIps(config.trustedProxies);
  const together = new ResponseBatching(fastify.log);
  const log = new RequestLog(fastify.log, config.logLevel, meters);
  const isLeaving = (): boolean => readiness.isDraining;

  fastify.addHook('onRoute', applyBodyLimit);
  meetRequests(fastify, {
    headersOf,
    clientIps,
    maxHeaderLines: config.maxHeaderLines,
    methodProblem: otherMethods(fastify),
  });
  acceptOnlyJson(fastify);
  keepAllHeaders(fastify.server);
  noteConnections(fastify.server);
  const traffic = boundTraffic(fastify, {
    maxInFlight: config.maxInFlight,
    trustedProxies: config.trustedProxies,
    apiPrefix: API_PREFIX,
    routes: declared,
    meters,
    conditions: app.get(Conditions),
  });
  sendAnswers(fastify, together, isLeaving);
  compressAnswers(fastify);
  tellAnswers(fastify, log);
  const tally = shortCutTally(meters);
  if (!config.fastPath) return;
  const shared = { ...traffic, headersOf, clientIps, together, log, isLeaving };
  takeShortCut(
    fastify,
    {
      ...shared,
      routes: shortRoutes(app),
      declared,
      apiPrefix: API_PREFIX,
      maxHeaderLines: config.maxHeaderLines,
      keys: app.get(KeyAuthenticator, { strict: false }),
      problems: app.get(ProblemFilter, { strict: false }),
    },
    tally,
  );
}
