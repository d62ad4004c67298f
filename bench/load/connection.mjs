import { connect } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * One kept-alive HTTP/1.1 connection that posts one body at a time: no more of the protocol than a server's answer with
 * a `Content-Length` needs, so that the loader costs less than what it measures.
 */
export class Connection {
  #socket;
  #head;
  #received = Buffer.alloc(0);
  #waiting = null;

  /** Connects to the host of `url`. @throws when it cannot be reached */
  static async open(url, headers) {
    const { hostname, port, pathname } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const lines = Object.entries({ host: `${hostname}:${port}`, ...headers }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    return new Connection(socket, `POST ${pathname} HTTP/1.1\r\n${lines.join('')}content-length: `);
  }

  constructor(socket, head) {
    this.#socket = socket;
    this.#head = head;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** The answer to one body. @throws when the connection ends before it */
  post(body) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(`${this.#head}${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
  }

  close() {
    this.#waiting = null;
    this.#socket.destroy();
  }

  #take(chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf(HEAD_END);
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) return this.#fail(new Error('an answer without Content-Length'));
    const from = end + HEAD_END.length;
    if (this.#received.length < from + Number(length)) return;
    const body = this.#received.toString('utf8', from, from + Number(length));
    this.#received = Buffer.alloc(0);
    const { resolve } = this.#waiting;
    this.#waiting = null;
    resolve({ status: Number(head.slice(9, 12)), body });
  }

  #fail(error) {
    this.#waiting?.reject(error);
    this.#waiting = null;
  }
}
