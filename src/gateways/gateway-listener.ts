import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { type IncomingMessage, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { routeNotFound } from '../common/domain-error.js';
import { writeProblem } from '../common/problem.filter.js';
import { Config } from '../config/config.js';
import { answerClientError } from '../http/client-errors.js';
import { keepAllHeaders, timeLimits } from '../http/server-limits.js';
import { Periodic } from '../common/periodic.js';

/** All that this listener serves, by the beginning of its paths. */
const SERVED = /^\/api\/v1\/(?:forward-auth|ext-authz)(?:[/?]|$)/;
const SWEEP_MS = 50;

/**
 * With `GATEWAY_PORT`, gateways have a listener of their own, on loopback or a private address, that answers them
 * without a key: who may reach it is the network's business. It leads to the gateways' routes and nowhere else, and
 * there only is it worth anything.
 */
@Injectable()
export class GatewayListener implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private server: Server | null = null;
  private readonly requests = new WeakSet<IncomingMessage>();

  constructor(
    private readonly config: Config,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  /** Whether the request came in here. */
  received(request: IncomingMessage): boolean {
    return this.requests.has(request);
  }

  /** null when there is none. */
  get port(): number | null {
    return (this.server?.address() as AddressInfo | null)?.port ?? null;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { gatewayListener } = this.config;
    if (gatewayListener === null) return;
    const fastify = this.adapterHost.httpAdapter.getInstance<FastifyInstance>();
    const { requestTimeout } = fastify.server;
    const server = createServer(timeLimits(requestTimeout), (request, response) => {
      if (!SERVED.test(request.url ?? '')) {
        writeProblem(response, routeNotFound());
        return;
      }
      this.requests.add(request);
      fastify.routing(request, response);
    });
    server.on('clientError', answerClientError);
    keepAllHeaders(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(gatewayListener.port, gatewayListener.host, resolve);
    });
    this.server = server;
  }

  /**
   * Answers what is in flight to its end, before anything that answers goes; the caller of the shutdown bounds the
   * whole.
   */
  async beforeApplicationShutdown(): Promise<void> {
    const { server } = this;
    if (server === null) return;
    const sweeps = new Periodic(SWEEP_MS, () => server.closeIdleConnections()).start();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await sweeps.stop();
  }
}
