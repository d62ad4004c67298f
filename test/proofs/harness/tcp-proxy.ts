import { createServer, connect, type Server, type Socket } from 'node:net';

/** What the proxy does to bytes: passes them, swallows them without a word, or refuses connections. */
export type ProxyMode = 'pass' | 'silent' | 'refuse';

/** One connection through the proxy. */
interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Whether it swallows everything, whatever the mode. */
  isForgotten: boolean;
}

/**
 * A TCP proxy that breaks on command. It keeps its port while what is behind it may move, so that replicas
 * find a restarted PostgreSQL where it always was.
 */
export class TcpProxy {
  private readonly pairs = new Set<Pair>();
  private mode: ProxyMode = 'pass';
  private latencyMs = 0;

  private constructor(
    private readonly server: Server,
    readonly port: number,
    private upstreamPort: number,
  ) {}

  static async start(upstreamPort: number): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const proxy = new TcpProxy(server, (server.address() as { port: number }).port, upstreamPort);
    server.on('connection', (client) => proxy.accept(client));
    return proxy;
  }

  /** Sends new connections to another port. */
  pointTo(upstreamPort: number): void {
    this.upstreamPort = upstreamPort;
  }

  /** `silent` also swallows what runs over connections that are open: a peer that hangs, not one that is gone. */
  setMode(mode: ProxyMode): void {
    this.mode = mode;
    if (mode === 'refuse') this.reset();
  }

  /** What is open now stays open and never carries anything again: a firewall that forgot it. New connections work. */
  forget(): void {
    for (const pair of this.pairs) pair.isForgotten = true;
  }

  /** Adds a delay to every packet from now on. */
  setLatency(ms: number): void {
    this.latencyMs = ms;
  }

  /** Breaks all open connections with a reset. */
  reset(): void {
    for (const { client, upstream } of this.pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  async stop(): Promise<void> {
    this.reset();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private accept(client: Socket): void {
    if (this.mode === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(this.upstreamPort, '127.0.0.1');
    const pair: Pair = { client, upstream, isForgotten: false };
    this.pairs.add(pair);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const end = () => {
      this.pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        if (!pair.isForgotten) this.forward(to, chunk);
      });
      from.on('error', end);
      from.on('close', end);
    }
  }

  private forward(to: Socket, chunk: Buffer): void {
    if (this.mode === 'silent') return;
    if (this.latencyMs === 0) to.write(chunk);
    else setTimeout(() => to.writable && to.write(chunk), this.latencyMs);
  }
}
