import helmet, { type HelmetOptions } from 'helmet';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Config } from '../config/config.js';

/** Headers of an answer, names in small letters. */
export type AnswerHeaders = Readonly<Record<string, string>>;

/** What is shown by a browser: the console and Swagger UI. */
const PAGE = /^\/(?:console|docs)(?:[/?]|$)/;

/** What a gateway may copy to its client, whose site has headers of its own. */
const OF_GATEWAYS = /^\/api\/v1\/(?:forward-auth|ext-authz)(?:[/?]|$)/;

/**
 * Gives the security headers of the answer to a URL: all of Helmet's where a browser shows a page, and for the rest
 * those that say something about JSON; null where a gateway asks. Helmet works its values out anew on each request,
 * which took a tenth of a verify; they never change, so they are worked out once.
 *
 * @see https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
 */
export function securityHeaders(config: Config): (url: string) => AnswerHeaders | null {
  const https = config.publicUrl.startsWith('https:');
  const ofPages = helmetHeaders({
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
        baseUri: ["'none'"],
        formAction: ["'self'"],
        upgradeInsecureRequests: https ? [] : null,
      },
    },
    strictTransportSecurity: https,
  });
  const ofData = helmetHeaders({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"], baseUri: ["'none'"] },
    },
    strictTransportSecurity: https,
    crossOriginEmbedderPolicy: false,
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    referrerPolicy: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
  // What a browser or a proxy keeps of an answer outlives the session and the right to see it.
  const uncached = Object.freeze({ ...ofData, 'cache-control': 'no-store' });
  return (url) => (OF_GATEWAYS.test(url) ? null : PAGE.test(url) ? ofPages : uncached);
}

/** What Helmet sets, read off an answer that nobody gets. */
function helmetHeaders(options: HelmetOptions): AnswerHeaders {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  helmet(options)(request, response, () => undefined);
  return Object.freeze(
    Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)])),
  );
}
