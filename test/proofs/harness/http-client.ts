import { Agent, request as httpRequest } from 'node:http';

export interface ProofAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the experiment says what it expects
  body: any;
}

export interface ProofRequest {
  token?: string;
  apiKey?: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** Gives up after this long: the outcome is then unknown. */
  timeoutMs?: number;
}

/** A client that keeps connections and adds little of its own to what it measures. */
export class HttpClient {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 256, noDelay: true });

  constructor(private readonly port: number) {}

  /** Below /api/v1. */
  post(path: string, options: ProofRequest): Promise<ProofAnswer> {
    return this.request('POST', `/api/v1${path}`, options);
  }

  /** @throws Error when no whole answer came: what was asked may or may not have happened */
  request(method: string, path: string, options: ProofRequest): Promise<ProofAnswer> {
    const payload = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          host: '127.0.0.1',
          port: this.port,
          method,
          path,
          agent: this.agent,
          headers: {
            ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
            ...(options.apiKey === undefined ? {} : { 'x-api-key': options.apiKey }),
            ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
            ...options.headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed(text) });
          });
        },
      );
      request.setTimeout(options.timeoutMs ?? 10_000, () => request.destroy(new Error('timed out')));
      // A kept connection that was closed meanwhile is another thing than one that broke under a request.
      request.on('error', (error) => reject(Object.assign(error, { reusedSocket: request.reusedSocket })));
      request.end(payload);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
