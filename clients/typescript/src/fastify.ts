import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { LatchkeyClient, type LatchkeyClientOptions } from './client.js';
import type { Verdict } from './contract.js';
import { type KeyRequirement, protect, type ProtectionOptions } from './protection/protect.js';

export type { FromRequest, KeyRequirement, ProtectionOptions } from './protection/protect.js';
export type { ProblemBody } from './protection/refusal.js';

/** A hook for `onRequest`, or for `preHandler` where the requirement reads the body. */
export type ApiKeyHook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

declare module 'fastify' {
  interface FastifyInstance {
    /** The client of the `latchkey` plugin. */
    latchkey: LatchkeyClient;
    /** Lets a request through with a key that may do this, and answers it otherwise. */
    requireApiKey(requirement?: KeyRequirement<FastifyRequest>): ApiKeyHook;
  }
  interface FastifyRequest {
    /** The verdict on the request's key; null without `requireApiKey`. */
    apiKey: Verdict | null;
  }
}

/** How to make the client, or the one there is: that is closed by who made it. */
export type LatchkeyPluginOptions = (LatchkeyClientOptions | { client: LatchkeyClient }) &
  ProtectionOptions<FastifyRequest>;

const plugin: FastifyPluginAsync<LatchkeyPluginOptions> = async (
  app: FastifyInstance,
  options: LatchkeyPluginOptions,
) => {
  const client = 'client' in options ? options.client : new LatchkeyClient(options);
  app.decorate('latchkey', client);
  app.decorateRequest('apiKey', null);
  app.decorate('requireApiKey', (requirement: KeyRequirement<FastifyRequest> = {}) =>
    hookOf(client, requirement, options),
  );
  // After the last request: usage that is queued is sent before the process ends.
  if (!('client' in options)) app.addHook('onClose', async () => void (await client.close()));
};

function hookOf(
  client: LatchkeyClient,
  requirement: KeyRequirement<FastifyRequest>,
  options: ProtectionOptions<FastifyRequest>,
): ApiKeyHook {
  return async (request, reply) => {
    const incoming = {
      authorization: request.headers.authorization,
      xApiKey: request.headers['x-api-key'],
      url: request.originalUrl,
      ip: request.ip,
    };
    const decision = await protect(client, request, incoming, requirement, options);
    if (decision.refusal !== null) {
      const { status, headers, problem } = decision.refusal;
      return reply
        .code(status)
        .headers(headers)
        .type('application/problem+json; charset=utf-8')
        .send(JSON.stringify(problem));
    }
    reply.headers(decision.headers);
    request.apiKey = decision.verdict;
  };
}

/**
 * Fastify plugin: decorates the instance with `latchkey` and `requireApiKey`, requests with `apiKey`. The end user's
 * address is `request.ip`: behind a proxy set `trustProxy`, or every user has the proxy's.
 */
export const latchkey: FastifyPluginAsync<LatchkeyPluginOptions> = Object.assign(plugin, {
  // What fastify-plugin would set: decorations are for the whole application, not for the plugin alone.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: '@latchkey/client',
});

export default latchkey;
