import { connect } from 'node:net';

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  /** Parsed JSON, or the text where it is none. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the assertions are what gives it a type
  body: any;
}

/**
 * Sends bytes exactly as they are (clients of Node tidy up paths and refuse what we want to try) and reads one
 * answer. The bytes must ask for `Connection: close`, or be refused.
 */
export function sendRaw(port: number, bytes: string | Buffer, timeoutMs = 20_000): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    const settle = () => {
      const answer = parse(Buffer.concat(chunks));
      if (answer) resolve(answer);
      else reject(new Error('The connection was closed without an answer.'));
    };
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('No answer in time.')));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', settle);
    socket.on('error', (error) => (chunks.length > 0 ? settle() : reject(error)));
    socket.write(bytes);
  });
}

/** A request line with headers; `headers` go as they are. */
export function rawRequest(method: string, target: string, headers: readonly string[] = [], body = ''): string {
  const length =
    body === '' && ['GET', 'HEAD', 'OPTIONS'].includes(method) ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const host = headers.some((header) => /^host:/i.test(header)) ? [] : ['Host: 127.0.0.1'];
  return `${[`${method} ${target} HTTP/1.1`, ...host, 'Connection: close', ...length, ...headers].join('\r\n')}\r\n\r\n${body}`;
}

function parse(bytes: Buffer): RawAnswer | null {
  const text = bytes.toString('utf8');
  const end = text.indexOf('\r\n\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  if (end === -1 || !status) return null;
  const headers = Object.fromEntries(
    text
      .slice(0, end)
      .split('\r\n')
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  let body: unknown = text.slice(end + 4);
  if (headers['transfer-encoding'] === 'chunked') body = (body as string).replace(/(^|\r\n)[0-9a-f]+\r\n/g, '');
  try {
    body = JSON.parse(body as string);
  } catch {
    // No JSON.
  }
  return { status, headers, body };
}
