import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fastify, { type FastifyInstance } from 'fastify';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type Socket, connect } from 'node:net';
import { ResponseBatching } from './response-batching.js';
import { boundInFlight } from './in-flight.js';
import { sendAnswers, tellAnswers } from './request-hooks.js';
import { TrafficLane } from './traffic-lane.js';

const PLACES = 4;
const TIMERS = {
  soon: (run: () => void) => void setImmediate(run),
  after: (delayMs: number, run: () => void) => void setTimeout(run, delayMs).unref(),
};

/** A raw connection, and what has come over it. */
class Client {
  text = '';

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
    socket.on('error', () => undefined);
  }

  static async open(port: number): Promise<Client> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Client(socket);
  }

  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
  }
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`;
const post = (path: string, body: string, sent = body) =>
  `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n` +
  `Content-Length: ${body.length}\r\n\r\n${sent}`;

/** Waits for a state, for as long as it takes; the test's own time limit ends it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('What is in flight', () => {
  let server: FastifyInstance;
  let lane: TrafficLane;
  let isProxy: boolean;
  let port: number;
  let began: number;
  let atOnce: number;
  let mostAtOnce: number;
  let finish: (() => void)[];
  let clients: Client[];
  let peers: Socket[];
  /** Those of them that were not read at some time. */
  let paused: Set<Socket>;

  const open = async () => {
    const client = await Client.open(port);
    clients.push(client);
    return client;
  };
  const finishAll = () => {
    for (const end of finish.splice(0)) end();
  };

  beforeEach(async () => {
    [began, atOnce, mostAtOnce, finish, clients, peers] = [0, 0, 0, [], [], []];
    lane = new TrafficLane({ maxInFlight: PLACES, perTurn: 100, alwaysHeld: 2, maxHeld: 2 }, TIMERS);
    server = fastify();
    isProxy = false;
    boundInFlight(server, { laneOf: ({ url }) => (url === '/free' ? null : lane), isProxy: () => isProxy });
    sendAnswers(server, new ResponseBatching(server.log), () => false);
    tellAnswers(server, { tell: () => undefined });
    const work = async () => {
      began += 1;
      atOnce += 1;
      mostAtOnce = Math.max(mostAtOnce, atOnce);
      await new Promise<void>((resolve) => finish.push(resolve));
      atOnce -= 1;
      return { ok: true };
    };
    server.get('/work', work);
    server.post('/work', work);
    server.get('/free', () => ({ ok: true }));
    server.get('/quick', () => ({ ok: true }));
    server.get('/broken', () => {
      throw new Error('broken');
    });
    server.get('/big', () => 'x'.repeat(20_000_000));
    paused = new Set();
    server.server.on('connection', (socket) => {
      peers.push(socket);
      socket.on('pause', () => paused.add(socket));
    });
    await server.listen({ port: 0, host: '127.0.0.1' });
    port = (server.server.address() as AddressInfo).port;
  });
  afterEach(async () => {
    const sweep = setInterval(finishAll, 5);
    for (const { socket } of clients) socket.destroy();
    await server.close();
    clearInterval(sweep);
  });

  /** As many requests as there are places, each on a connection of its own. */
  const fill = async () => {
    const all = await Promise.all(Array.from({ length: PLACES }, open));
    for (const { socket } of all) socket.write(get('/work'));
    await until(() => began === PLACES);
    return all;
  };

  it('waits for a place beyond the bound, and is answered once there is one', async () => {
    await fill();
    const waiting = await open();
    waiting.socket.write(post('/work', '{}'));
    await until(() => lane.queued === 1);
    expect(began).toBe(PLACES);
    finish.shift()!();
    await until(() => began === PLACES + 1);
    finishAll();
    await until(() => waiting.statuses.length === 1);
    expect(waiting.statuses).toEqual([200]);
    expect(mostAtOnce).toBe(PLACES);
  });

  it('is 503 with a time to wait where too much waits already, before its body is sent', async () => {
    await fill();
    const held = await Promise.all([open(), open()]);
    for (const { socket } of held) socket.write(get('/work'));
    await until(() => lane.queued === 2);
    const refused = await open();
    refused.socket.write(post('/work', ' '.repeat(5000), ''));
    await until(() => refused.text.includes('requestId'));
    expect(refused.statuses).toEqual([503]);
    expect(refused.text).toMatch(/\r\nretry-after: [123]\r\n/i);
    expect(refused.text).toMatch(/\r\nx-latchkey-code: OVERLOADED\r\n/i);
    expect(refused.text).toContain('"code":"OVERLOADED"');
    expect(lane.refused).toBe(1);
  });

  it('is read no further over a connection that was refused, for a while; then as ever', async () => {
    await fill();
    const held = await Promise.all([open(), open()]);
    for (const { socket } of held) socket.write(get('/work'));
    await until(() => lane.queued === 2);
    const client = await open();
    client.socket.write(get('/work'));
    await until(() => client.statuses.length === 1);
    const peer = peers.find(({ remotePort }) => remotePort === client.socket.localPort)!;
    await until(() => paused.has(peer));
    client.socket.write(get('/free'));
    await until(() => client.statuses.length === 2);
    expect(client.statuses).toEqual([503, 200]);
    expect(peer.isPaused()).toBe(false);
  });

  it('is read on over the connection of a proxy: it brings the requests of others', async () => {
    isProxy = true;
    await fill();
    const held = await Promise.all([open(), open()]);
    for (const { socket } of held) socket.write(get('/work'));
    await until(() => lane.queued === 2);
    const proxy = await open();
    proxy.socket.write(get('/work'));
    await until(() => proxy.statuses.length === 1);
    const peer = peers.find(({ remotePort }) => remotePort === proxy.socket.localPort)!;
    expect([proxy.statuses, peer.isPaused()]).toEqual([[503], false]);
    proxy.socket.write(get('/free'));
    await until(() => proxy.statuses.length === 2);
    expect(proxy.statuses).toEqual([503, 200]);
  });

  it('is not taken by what a client says of a body that it never sends', async () => {
    const [liar, slow, other] = await Promise.all([open(), open(), open()]);
    const head = `POST /work HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: `;
    liar.socket.write(`${head}${Number.MAX_SAFE_INTEGER}\r\n\r\n`);
    await until(() => liar.statuses.length === 1);
    expect(liar.statuses).toEqual([413]);
    slow.socket.write(`${head}1000000\r\n\r\n`);
    await until(() => peers.length === 3);
    other.socket.write(get('/quick'));
    await until(() => other.statuses.length === 1);
    expect(other.statuses).toEqual([200]);
    await until(() => lane.inFlight === 0);
  });

  it('holds a request whose body came late where there is no place any more', async () => {
    const late = await open();
    late.socket.write(post('/work', '{"a":1}', '{"a"'));
    const client = await open();
    client.socket.write(get('/quick'));
    await until(() => client.statuses.length === 1);
    await fill();
    late.socket.write(':1}');
    await until(() => lane.queued === 1);
    expect(began).toBe(PLACES);
    finish.shift()!();
    await until(() => began === PLACES + 1);
    expect(lane.inFlight).toBe(PLACES);
  });

  it('leaves routes without a lane alone', async () => {
    await fill();
    const held = await Promise.all([open(), open()]);
    for (const { socket } of held) socket.write(get('/work'));
    await until(() => lane.queued === 2);
    const probe = await open();
    probe.socket.write(get('/free'));
    await until(() => probe.statuses.length === 1);
    expect(probe.statuses).toEqual([200]);
  });

  it('is one request of a connection at a time, whatever it sends ahead, answered in order', async () => {
    const client = await open();
    client.socket.write(get('/work') + get('/quick') + get('/work'));
    await until(() => began === 1);
    expect(lane.inFlight).toBe(1);
    finishAll();
    await until(() => began === 2);
    finishAll();
    await until(() => client.statuses.length === 3);
    expect(client.statuses).toEqual([200, 200, 200]);
    expect(mostAtOnce).toBe(1);
  });

  it('reads no further from a connection that sends ahead, until its request is answered', async () => {
    const client = await open();
    client.socket.write(get('/work'));
    await until(() => began === 1);
    // More than the buffers of both ends take.
    client.socket.write(get('/quick').repeat(400_000));
    const [peer] = peers;
    await until(() => peer!.bytesRead > 10_000 && peer!.isPaused());
    finishAll();
    await until(() => client.statuses.length > 10);
    expect(peer!.bytesRead).toBeLessThan(2_000_000);
    expect(peer!.destroyed).toBe(false);
  });

  it('reads a connection on after what it sent ahead is answered', async () => {
    const client = await open();
    for (let n = 1; n <= 3; n += 1) {
      client.socket.write(get('/quick').repeat(50));
      await until(() => client.statuses.length === 50 * n);
    }
    expect(lane.inFlight).toBe(0);
  });

  it('keeps no place for a client that sends its body slowly', async () => {
    const slow = await Promise.all(Array.from({ length: PLACES }, open));
    for (const { socket } of slow) socket.write(post('/work', '{"a":1}', '{"a"'));
    const client = await open();
    client.socket.write(get('/quick'));
    await until(() => client.statuses.length === 1);
    expect(client.statuses).toEqual([200]);
    await until(() => lane.inFlight === 0);
    for (const { socket } of slow) socket.write(':1}');
    await until(() => began === PLACES);
    expect(lane.inFlight).toBe(PLACES);
  });

  it('does not count an answer that its client reads slowly', async () => {
    const client = await open();
    client.socket.pause();
    client.socket.write(get('/big'));
    const other = await open();
    other.socket.write(get('/quick'));
    await until(() => other.statuses.length === 1);
    await until(() => lane.inFlight === 0);
    client.socket.destroy();
  });

  describe('is nothing again after', () => {
    const nothing = () => lane.inFlight === 0 && lane.queued === 0;

    it('answers, errors and unknown routes', async () => {
      const client = await open();
      for (const path of ['/quick', '/broken', '/none', '/quick']) client.socket.write(get(path));
      await until(() => client.statuses.length === 4);
      expect(client.statuses).toEqual([200, 500, 404, 200]);
      await until(nothing);
    });

    it('a client that leaves while its request is worked on, once the work is done', async () => {
      const all = await fill();
      for (const { socket } of all) socket.destroy();
      expect(lane.inFlight).toBe(PLACES);
      finishAll();
      await until(nothing);
    });

    it('a client that leaves while it is held: its request never begins', async () => {
      await fill();
      const leaver = await open();
      leaver.socket.write(get('/work'));
      await until(() => lane.queued === 1);
      leaver.socket.destroy();
      await until(() => lane.queued === 0);
      finishAll();
      await until(nothing);
      expect(began).toBe(PLACES);
    });

    it('a client that leaves in the middle of its body', async () => {
      const leaver = await open();
      leaver.socket.write(post('/work', '{"a":1}', '{"a"'));
      const client = await open();
      client.socket.write(get('/quick'));
      await until(() => client.statuses.length === 1);
      leaver.socket.destroy();
      await until(nothing);
      expect(began).toBe(0);
    });

    // A connection that is not read is known to be gone once an answer is written to it.
    it('a client that leaves with requests sent ahead', async () => {
      const leaver = await open();
      leaver.socket.write(get('/work').repeat(20));
      await until(() => began === 1);
      leaver.socket.resetAndDestroy();
      const sweep = setInterval(finishAll, 5);
      await until(() => peers[0]!.destroyed);
      await until(nothing);
      clearInterval(sweep);
    });

    it('a body that is too long, and one that is no JSON', async () => {
      const client = await open();
      client.socket.write(post('/work', 'no JSON'));
      await until(() => client.statuses.length === 1);
      const long = await open();
      long.socket.write(post('/work', ' '.repeat(2_000_000), ' '.repeat(100)));
      await until(() => long.statuses.length === 1);
      expect([client.statuses, long.statuses]).toEqual([[400], [413]]);
      await until(nothing);
    });
  });
});
