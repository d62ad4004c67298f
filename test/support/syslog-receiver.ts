import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from './certificates.js';
import { listenAgain } from './listen-again.js';

/** What a receiver does with connections. */
export type ReceiverMode =
  /** Reads to the end, and closes. */
  | 'take'
  /** Reads nothing, and does not close. */
  | 'silent'
  /** Reads to the end, and does not close. */
  | 'open'
  /** Reads the first message, and dies. */
  | 'die';

/** One syslog message as it was received. */
export interface Received {
  readonly head: string;
  readonly data: Record<string, string>;
  readonly text: string;
}

/** A receiver of syslog over TCP or TLS with octet counting, that can be made to misbehave. */
export class SyslogReceiver {
  readonly messages: Received[] = [];
  /** Connections that were accepted; over TLS those whose handshake came to its end. */
  connections = 0;
  mode: ReceiverMode = 'take';
  /** Bytes a second that it reads; null: as they come. */
  bytesPerSecond: number | null = null;
  private server: Server | null = null;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly certificate: Certificate | null,
    private readonly clientCa: string | null,
    public port: number,
  ) {}

  /** @param clientCa the PEM file of the authority whose certificates senders must show */
  static async start(certificate: Certificate | null = null, clientCa: string | null = null): Promise<SyslogReceiver> {
    const receiver = new SyslogReceiver(certificate, clientCa, 0);
    await receiver.listen();
    return receiver;
  }

  /** Listens, where it listened before. */
  async listen(): Promise<void> {
    const accept = (socket: Socket) => this.accept(socket);
    const server =
      this.certificate === null
        ? createServer({ allowHalfOpen: true }, accept)
        : createTlsServer(
            {
              allowHalfOpen: true,
              cert: readFileSync(this.certificate.cert),
              key: readFileSync(this.certificate.key),
              ...(this.clientCa === null ? {} : { ca: readFileSync(this.clientCa), requestCert: true }),
            },
            accept,
          );
    server.on('connection', (socket: Socket) => this.sockets.add(socket));
    this.port = await listenAgain(server, this.port);
    this.server = server;
  }

  /** Ends, with all its connections. */
  async stop(): Promise<void> {
    const { server } = this;
    this.server = null;
    const closed = new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
    await closed;
  }

  private accept(socket: Socket): void {
    this.connections += 1;
    let rest: Buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    if (this.mode === 'silent') return;
    const { mode } = this;
    socket.on('data', (chunk: Buffer) => {
      rest = this.take(Buffer.concat([rest, chunk]));
      if (mode === 'die') return void socket.resetAndDestroy();
      if (this.bytesPerSecond === null) return;
      socket.pause();
      setTimeout(() => socket.resume(), (1_000 * chunk.length) / this.bytesPerSecond);
    });
    socket.on('end', () => {
      if (mode === 'take') socket.end();
    });
  }

  private take(bytes: Buffer): Buffer {
    for (let rest = bytes; ;) {
      const frame = /^([1-9]\d{0,8}) /.exec(rest.toString('latin1', 0, 10));
      const end = frame === null ? Infinity : frame[0].length + Number(frame[1]);
      if (rest.length < end) return rest;
      this.messages.push(received(rest.toString('utf8', frame![0].length, end)));
      rest = rest.subarray(end);
    }
  }
}

/** @throws Error for what is no message of RFC 5424 with one element of structured data */
function received(message: string): Received {
  const found =
    /^(<\d{1,3}>1 \S+ \S{1,255} \S{1,48} \S{1,128} \S{1,32}) \[latchkey@32473((?: [a-z]+="[^"\\\]]*")*)\] ([\x20-\x7e]+)$/.exec(
      message,
    );
  if (found === null) throw new Error(`No message of RFC 5424: ${message.slice(0, 200)}`);
  const data = Object.fromEntries(
    [...found[2]!.matchAll(/ ([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]),
  );
  return { head: found[1]!, data, text: found[3]! };
}
