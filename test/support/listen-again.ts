import type { Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Another test, or a connection, that was given a port meanwhile gives it back within this time. */
const PATIENCE_MS = 60_000;

/** Listens on a port of loopback, 0: any, and gives it. A port that was given up before may be in use for a while. */
export async function listenAgain(server: Server, port: number): Promise<number> {
  for (const deadline = performance.now() + PATIENCE_MS; ; await sleep(50)) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(port, '127.0.0.1', () => {
          server.off('error', reject);
          resolve();
        });
      });
      return (server.address() as { port: number }).port;
    } catch (error) {
      server.removeAllListeners('listening');
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || performance.now() > deadline) throw error;
    }
  }
}
