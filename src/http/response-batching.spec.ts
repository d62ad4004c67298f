import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Fastify, { type FastifyInstance } from 'fastify';
import { Readable } from 'node:stream';
import { ResponseBatching } from './response-batching.js';
import { sendAnswers } from './request-hooks.js';

describe('answers that leave together', () => {
  let fastify: FastifyInstance;
  let url: string;

  beforeEach(async () => {
    fastify = Fastify({ logger: false });
    sendAnswers(fastify, new ResponseBatching(fastify.log), () => false);
    fastify.get('/good', (_request, reply) => void reply.send({ good: true }));
    fastify.get('/torn', (_request, reply) => void reply.header('X-Torn', 'a\nb').send({ good: false }));
    fastify.get('/stream', (_request, reply) => void reply.type('text/plain').send(Readable.from(['one ', 'two'])));
    fastify.get('/broken-stream', (_request, reply) => {
      const stream = new Readable({ read() {} });
      process.nextTick(() => stream.destroy(new Error('broken')));
      void reply.type('text/plain').send(stream);
    });
    fastify.get('/empty', (_request, reply) => void reply.status(204).send());
    url = await fastify.listen({ port: 0, host: '127.0.0.1' });
  });
  afterEach(() => fastify.close());

  const get = async (path: string) => {
    const answer = await fetch(`${url}${path}`);
    return { status: answer.status, text: await answer.text() };
  };

  it('arrive, each whole and with its own body, however many there are', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => get('/good')));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`))).toEqual(new Set(['200 {"good":true}']));
    expect(await get('/empty')).toEqual({ status: 204, text: '' });
    expect(await get('/stream')).toEqual({ status: 200, text: 'one two' });
  });

  it('neither fail nor wait because one of them cannot be written', async () => {
    const answers = await Promise.all([get('/good'), get('/torn'), get('/good'), get('/torn'), get('/good')]);
    expect(answers.map(({ status }) => status)).toEqual([200, 500, 200, 500, 200]);
  });

  it('leave a stream to Fastify, which hears of its errors', async () => {
    await expect(get('/broken-stream')).resolves.toMatchObject({ status: 500 });
    expect((await get('/good')).status).toBe(200);
  });
});
