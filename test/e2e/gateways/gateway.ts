import { request as httpRequest } from 'node:http';
import type { TestApp } from '../../support/app.js';

/** What a gateway gets. */
export interface GatewayAnswer {
  status: number;
  /** In lower case. */
  headers: Record<string, string>;
  text: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the assertions are what gives it a type
  problem: any;
}

/** Headers in their order; a name may come twice. */
export type HeaderList = readonly (readonly [string, string])[];

/** Asks as a gateway does: any method, headers exactly as given. `target` is a path below the port's root. */
export function askAs(
  port: number,
  method: string,
  target: string,
  headers: HeaderList,
  body = '',
  localAddress = '127.0.0.1',
): Promise<GatewayAnswer> {
  return new Promise((resolve, reject) => {
    // A list goes out as it is, so that it lacks even the host.
    const sent = headers.some(([name]) => name === 'Host') ? headers : [['Host', `127.0.0.1:${port}`], ...headers];
    const request = httpRequest(
      { host: '127.0.0.1', localAddress, port, method, path: target, headers: sent.flat() as never, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const isProblem = response.headers['content-type']?.startsWith('application/problem+json') === true;
          resolve({
            status: response.statusCode!,
            headers: response.headers as Record<string, string>,
            text,
            problem: isProblem && text !== '' ? JSON.parse(text) : null,
          });
        });
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

export function portOf(app: TestApp): number {
  return Number(new URL(app.baseUrl).port);
}
