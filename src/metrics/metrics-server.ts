import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DomainError, methodNotAllowed, routeNotFound } from '../common/domain-error.js';
import { Metrics } from '../common/metrics.js';
import { writeProblem } from '../common/problem.filter.js';
import { Config } from '../config/config.js';
import { answerClientError } from '../http/client-errors.js';
import { headProblem } from '../http/request-head.js';
import { keepAllHeaders, timeLimits } from '../http/server-limits.js';
import { requireToken } from './metrics-token.js';

/**
 * With `METRICS_PORT`, metrics have a port of their own on the same address. It asks for `METRICS_TOKEN`; without one
 * it is on loopback, or the start has been refused.
 */
@Injectable()
export class MetricsServer implements OnApplicationBootstrap, OnApplicationShutdown {
  private server: Server | null = null;

  constructor(
    private readonly config: Config,
    private readonly meters: Metrics,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  /** null when there is none. */
  get port(): number | null {
    return (this.server?.address() as AddressInfo | null)?.port ?? null;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { metricsPort, host } = this.config;
    if (metricsPort === null) return;
    const { requestTimeout } = this.adapterHost.httpAdapter.getInstance<FastifyInstance>().server;
    const server = createServer(timeLimits(requestTimeout), (request, response) => void this.answer(request, response));
    server.on('clientError', answerClientError);
    keepAllHeaders(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(metricsPort, host, resolve);
    });
    this.server = server;
  }

  async onApplicationShutdown(): Promise<void> {
    const { server } = this;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      this.admit(request);
      const text = await this.meters.registry.metrics();
      response
        .writeHead(200, { 'Content-Type': this.meters.registry.contentType, 'Cache-Control': 'no-store' })
        .end(text);
    } catch (error) {
      if (error instanceof DomainError) writeProblem(response, error);
      else response.writeHead(500).end();
    }
  }

  /** @throws DomainError where the request must not be answered */
  private admit({ method, url, headers, rawHeaders }: IncomingMessage): void {
    const problem = headProblem(rawHeaders, this.config.maxHeaderLines);
    if (problem !== null) throw problem;
    if (url !== '/metrics') throw routeNotFound();
    if (method !== 'GET') throw methodNotAllowed(['GET']);
    if (this.config.metricsToken !== null) requireToken(headers.authorization, this.config.metricsToken);
  }
}
