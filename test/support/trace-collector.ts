import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { listenAgain } from './listen-again.js';

/** A span as a collector has it. */
export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** 2: of a server, 3: of a client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 2: an error. */
  readonly status: number | undefined;
}

interface Attribute {
  readonly key: string;
  readonly value: Record<string, unknown>;
}

type RawSpan = Omit<CollectedSpan, 'attributes' | 'status' | 'links'> & {
  attributes: Attribute[];
  links?: CollectedSpan['links'];
  status?: { code?: number };
};

interface Export {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: RawSpan[] }[] }[];
}

/** A collector of traces by OTLP over HTTP with JSON, that can be made to misbehave. */
export class TraceCollector {
  readonly spans: CollectedSpan[] = [];
  /** All that has come, as it came. */
  text = '';
  resource: Readonly<Record<string, unknown>> = {};
  headers: IncomingHttpHeaders = {};
  /** `silent`: it takes exports and answers none of them. */
  mode: 'take' | 'silent' | 'refuse' = 'take';
  private server: Server | null = null;
  private port = 0;

  static async start(): Promise<TraceCollector> {
    const collector = new TraceCollector();
    await collector.listen();
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1/traces`;
  }

  /** Listens, where it listened before. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (this.mode === 'silent') return;
        if (this.mode === 'take') this.take(Buffer.concat(chunks).toString('utf8'), request.headers);
        response.writeHead(this.mode === 'take' ? 200 : 400, { 'content-type': 'application/json' }).end('{}');
      });
    });
    this.port = await listenAgain(server, this.port);
    this.server = server;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = null;
    if (server === null) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  private take(text: string, headers: IncomingHttpHeaders): void {
    this.text += `${text}\n`;
    this.headers = headers;
    for (const { resource, scopeSpans } of (JSON.parse(text) as Export).resourceSpans) {
      this.resource = valuesOf(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({
          ...span,
          attributes: valuesOf(span.attributes),
          links: span.links ?? [],
          status: span.status?.code,
        });
    }
  }
}

function valuesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
