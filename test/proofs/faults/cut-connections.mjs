/** A server that is told to end cuts what it is answering. */
import { Server } from 'node:http';

const { listen } = Server.prototype;

Server.prototype.listen = function listenUntilToldToEnd(...given) {
  process.on('SIGTERM', () => setTimeout(() => this.closeAllConnections(), 200));
  return listen.apply(this, given);
};
