import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, type Server, createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askAs, type GatewayAnswer, type HeaderList } from '../e2e/gateways/gateway.js';
import { freePort } from '../support/free-port.js';

/**
 * Where clients of the proxies are: not where the proxies are, whose address is never a client's. Linux has all of
 * 127.0.0.0/8.
 */
export const CLIENT = '127.0.0.9';

/** On a machine that is busy with other things. */
const READY_WITHIN_MS = 60_000;

const DOCS = new URL('../../docs/gateways/', `file://${import.meta.dirname}/`);

/** The configurations on a page, in its order. */
export async function blocksOf(page: string, language: string): Promise<string[]> {
  const text = await readFile(new URL(page, DOCS), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, block]) => block!);
}

/** The block with this installation's values in place of the page's; each of these must be in it. */
export function filled(block: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((text, [old, value]) => {
    if (!text.includes(old)) throw new Error(`The configuration does not contain "${old}".`);
    return text.replaceAll(old, value);
  }, block);
}

/** Whether a program can be run; said loudly where not, because then nothing below has been tested. */
export function isInstalled(program: string, ...versionArgs: string[]): boolean {
  if (process.platform === 'linux' && spawnSync(program, versionArgs).status === 0) return true;
  // Straight to the terminal: Jest leaves out what a file prints all of whose tests are skipped.
  process.stderr.write(
    `\n${program.toUpperCase()} TESTS SKIPPED: this is no Linux with ${program}. Install it (apt-get install ${program}) to try the configuration of docs/gateways/${program}.md.\n\n`,
  );
  return false;
}

/** What the service behind a proxy was sent. */
export interface Served {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  /** The headers as they came, in their order. */
  lines: [string, string][];
  body: string;
}

/** The service that is protected. It answers what it was sent; `/status/418` with that status. */
export class Upstream {
  readonly served: Served[] = [];
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.served.push({
          method: request.method!,
          url: request.url!,
          headers: request.headers,
          lines: linesOf(request.rawHeaders),
          body: Buffer.concat(chunks).toString(),
        });
        const status = Number(/\/status\/(\d+)/.exec(request.url!)?.[1] ?? 200);
        response.writeHead(status, { 'Content-Type': 'text/plain' }).end('served');
      });
    });
    // It sees every line that it was sent.
    this.server.maxHeadersCount = 0;
    // A proxy that keeps its connection never meets one that ends just then.
    this.server.keepAliveTimeout = 0;
  }

  static async start(): Promise<Upstream> {
    const upstream = new Upstream();
    await new Promise<void>((resolve) => upstream.server.listen(0, '127.0.0.1', resolve));
    return upstream;
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  /** The last request, and forgets all. */
  take(): Served | undefined {
    return this.served.splice(0).at(-1);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

function linesOf(rawHeaders: readonly string[]): [string, string][] {
  return Array.from({ length: rawHeaders.length / 2 }, (_, index) => [
    rawHeaders[2 * index]!,
    rawHeaders[2 * index + 1]!,
  ]);
}

/** A proxy that runs with a configuration, until it is stopped. */
export class Proxy {
  private constructor(
    readonly port: number,
    readonly directory: string,
    private readonly child: ChildProcess,
  ) {}

  static async nginx(http: (port: number) => string): Promise<Proxy> {
    const port = await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-nginx-'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${directory}/${name};`)
      .join(' ');
    const main = `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log info; events {}\n`;
    await writeFile(join(directory, 'nginx.conf'), `${main}http { access_log off; ${temporary}\n${http(port)}\n}`);
    return Proxy.run(
      'nginx',
      ['-p', directory, '-e', join(directory, 'error.log'), '-c', join(directory, 'nginx.conf')],
      directory,
      port,
    );
  }

  static async caddy(site: (port: number) => string): Promise<Proxy> {
    const port = await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-caddy-'));
    await writeFile(join(directory, 'Caddyfile'), `{\n\tadmin off\n\tauto_https off\n}\n${site(port)}`);
    return Proxy.run(
      'caddy',
      ['run', '--config', join(directory, 'Caddyfile'), '--adapter', 'caddyfile'],
      directory,
      port,
    );
  }

  private static async run(program: string, args: string[], directory: string, port: number): Promise<Proxy> {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
    });
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => output.push(chunk.toString()));
    for (const until = performance.now() + READY_WITHIN_MS; performance.now() < until;) {
      if (child.exitCode !== null) throw new Error(`${program} ended:\n${output.join('')}`);
      const answers = await fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      );
      if (answers) return new Proxy(port, directory, child);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    child.kill('SIGKILL');
    throw new Error(`${program} did not get ready:\n${output.join('')}`);
  }

  /** As a client of the proxy. */
  ask(method: string, path: string, headers: HeaderList, body = ''): Promise<GatewayAnswer> {
    return askAs(this.port, method, path, headers, body, CLIENT);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    await ended;
    await rm(this.directory, { recursive: true, force: true });
  }
}
