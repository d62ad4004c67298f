/**
 * Prints a port of loopback that is free, below those that the system gives to connections and to listeners that ask
 * for any: what is started on it a while later finds it free.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const [LOWEST, HIGHEST] = [11_000, 32_000];

function tryOne() {
  const port = randomInt(LOWEST, HIGHEST);
  const server = createServer().once('error', tryOne);
  server.listen(port, '127.0.0.1', () => server.close(() => console.log(port)));
}
tryOne();
