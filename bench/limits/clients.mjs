/** Clients that reserve, call and report, one call after the other, over connections that are kept. */
import { randomUUID } from 'node:crypto';
import { Connection } from '../load/connection.mjs';

/** One client of one replica. */
export class Client {
  #verify;
  #usage;

  static async open({ port }, apiKey) {
    const headers = { 'content-type': 'application/json', 'x-api-key': apiKey };
    const url = `http://127.0.0.1:${port}/api/v1`;
    return new Client(await Connection.open(`${url}/verify`, headers), await Connection.open(`${url}/usage`, headers));
  }

  constructor(verify, usage) {
    this.#verify = verify;
    this.#usage = usage;
  }

  /** Asks for a call and reports it if it may be made; gives the code of the verdict and how long the question took. */
  async call(question, costCents) {
    const began = performance.now();
    const verdict = JSON.parse((await this.#verify.post(JSON.stringify(question))).body);
    const verifyMs = performance.now() - began;
    if (!verdict.valid) return { code: verdict.code, verifyMs };
    const event = { id: randomUUID(), reservationId: verdict.reservation.id, costCents };
    const { status, body } = await this.#usage.post(JSON.stringify({ events: [event] }));
    if (status !== 200 || !body.includes('"accepted"')) throw new Error(`A report was answered ${status}: ${body}`);
    return { code: verdict.code, verifyMs };
  }

  close() {
    this.#verify.close();
    this.#usage.close();
  }
}

/** So many clients, over all replicas in turn, each doing `work` until it ends. */
export async function withClients({ latchkey }, count, work) {
  const { replicas, serviceKey } = latchkey;
  const clients = await Promise.all(
    Array.from({ length: count }, (_, index) => Client.open(replicas[index % replicas.length], serviceKey)),
  );
  try {
    await Promise.all(clients.map((client, index) => work(client, index)));
  } finally {
    for (const client of clients) client.close();
  }
}
