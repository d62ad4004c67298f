import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that the system gives to connections and to listeners that ask for any: a server that is started, or
 * started again, on its port finds it free. Ports below 11 000 are left out, some of which browsers refuse.
 */
const [LOWEST, HIGHEST] = [11_000, 32_000];

/** What this process was given: a port may be listened on much later. */
const given = new Set<number>();

/** A port of loopback that is free, and that no process gets that asks for any. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

/** So many of them. */
export function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort));
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
