import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { LatchkeyClient } from './client.js';
import type { Verdict } from './contract.js';
import { type KeyRequirement, protect, type ProtectionOptions } from './protection/protect.js';

export type { FromRequest, KeyRequirement, ProtectionOptions } from './protection/protect.js';
export type { ProblemBody } from './protection/refusal.js';

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- how Express lets requests be extended
  namespace Express {
    interface Request {
      /** The verdict on the request's key, behind `requireApiKey`. */
      apiKey?: Verdict;
    }
  }
}

/**
 * Middleware that lets a request through with a key that may do this, and answers it otherwise. The end user's address
 * is `req.ip`: behind a proxy set `trust proxy`, or every user has the proxy's. A model in the body needs
 * `express.json()` before it.
 */
export function requireApiKey(
  client: LatchkeyClient,
  requirement: KeyRequirement<Request> = {},
  options: ProtectionOptions<Request> = {},
): RequestHandler {
  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    const incoming = {
      authorization: request.headers.authorization,
      xApiKey: request.headers['x-api-key'],
      url: request.originalUrl,
      ip: request.ip,
    };
    const decision = await protect(client, request, incoming, requirement, options);
    if (decision.refusal !== null) {
      const { status, headers, problem } = decision.refusal;
      response.status(status).set(headers).type('application/problem+json').send(JSON.stringify(problem));
      return;
    }
    response.set(decision.headers);
    request.apiKey = decision.verdict;
    next();
  };
}
