/**
 * Offers verifies to a server, from a process of its own. Options come as JSON by standard input; standard output gets
 * `connected` once all connections are open, and one JSON object at the end.
 *
 * With `rate`, requests are due at even intervals, and are written to connections that have fewer than `depth` requests
 * without an answer; what no connection takes is the surplus. Without it, every connection has `depth` requests ahead.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const { port, connections, depth, rate, seconds, apiKey, keys } = JSON.parse(readFileSync(0, 'utf8'));
const END_OF_HEAD = Buffer.from('\r\n\r\n');

const requests = keys.map((key) => {
  const body = JSON.stringify({ key });
  const head = `POST /api/v1/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: ${apiKey}\r\nContent-Type: application/json`;
  return `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
});
const statuses = {};
const latencies = [];
let lost = 0;
let sent = 0;

class Connection {
  sentAt = [];
  #rest = Buffer.alloc(0);

  static open() {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Connection(socket)));
    });
  }

  constructor(socket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      lost += this.sentAt.length;
      this.sentAt = null;
    });
  }

  get hasRoom() {
    return this.sentAt !== null && this.sentAt.length < depth;
  }

  send() {
    this.sentAt.push(performance.now());
    this.socket.write(requests[sent++ % requests.length]);
  }

  #read(chunk) {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = bytes.indexOf(END_OF_HEAD);
      if (end === -1) break;
      const head = bytes.latin1Slice(0, end);
      const whole = end + 4 + Number(/content-length: (\d+)/i.exec(head)[1]);
      if (bytes.length < whole) break;
      bytes = bytes.subarray(whole);
      this.#note(head.slice(9, 12));
    }
    this.#rest = bytes;
  }

  #note(status) {
    statuses[status] = (statuses[status] ?? 0) + 1;
    const began = this.sentAt.shift();
    if (status === '200') latencies.push(performance.now() - began);
    if (!rate && !isOver) this.send();
  }
}

let isOver = false;
const all = [];
for (let n = 0; n < connections; n += 1) all.push(await Connection.open());
console.log('connected');

const began = performance.now();
const elapsed = () => (performance.now() - began) / 1000;
let due = 0;
if (rate) {
  let turn = 0;
  while (elapsed() < seconds) {
    due = Math.floor(elapsed() * rate);
    // Once round, so that a server that takes nothing is not asked in a loop.
    for (let n = 0; n < all.length * depth && sent < due; n += 1) {
      const connection = all[(turn += 1) % all.length];
      if (connection.hasRoom) connection.send();
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
} else {
  for (const connection of all) for (let n = 0; n < depth; n += 1) connection.send();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  due = sent;
}
isOver = true;
const took = elapsed();
const answered = { ...statuses };
for (const { socket } of all) socket.destroy();
latencies.sort((left, right) => left - right);
const quantile = (part) => latencies[Math.min(latencies.length - 1, Math.floor(part * latencies.length))] ?? 0;
console.log(
  JSON.stringify({ offered: due, sent, lost, answered, seconds: took, p50Ms: quantile(0.5), p99Ms: quantile(0.99) }),
);
