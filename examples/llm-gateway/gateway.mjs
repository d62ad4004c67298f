/**
 * Speaks OpenAI's protocol in front of a provider. The client's API key is one of Latchkey's: before a call, an upper
 * bound of its cost and its tokens is reserved on it, and its place among calls in flight; after the call, what it has
 * really used is settled, also when the client leaves in the middle of a stream.
 */
import Fastify from 'fastify';
import { once } from 'node:events';
import { KeyRefused, LatchkeyClient, SettlementRefused } from '@latchkey/client';
import { errorBody, refusalOf } from './openai-error.mjs';
import { costCents, findPrice, mostInputTokens } from './prices.mjs';
import { readEvents } from './sse.mjs';

const UPSTREAM = process.env.UPSTREAM_URL ?? `http://127.0.0.1:${process.env.UPSTREAM_PORT ?? 4001}`;
/** A call is ended after this time. */
const MAX_CALL_SECONDS = 600;
/** What a call holds is free again so long after the gateway has died; the client renews it while the call runs. */
const HOLD_SECONDS = 90;
/** What Latchkey takes as the end user of a call. */
const SUBJECT = /^(?!\.{1,2}$)[!-~]{1,128}$/;

const latchkey = new LatchkeyClient({
  baseUrl: process.env.LATCHKEY_URL ?? 'http://127.0.0.1:3000',
  key: process.env.GATEWAY_KEY,
});
const app = Fastify({ trustProxy: ['127.0.0.1'], logger: { level: 'warn' } });

app.post('/v1/chat/completions', async (request, reply) => {
  const key = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const { model, messages, max_completion_tokens: asked, n = 1, user } = request.body ?? {};
  if (!Array.isArray(messages) || n !== 1)
    return reply.code(400).send(errorBody('messages must be given, and n must be 1.', 'invalid_request_error', null));
  if (user !== undefined && !(typeof user === 'string' && SUBJECT.test(user)))
    return reply.code(400).send(errorBody('user must be a plain id.', 'invalid_request_error', null, 'user'));
  const price = findPrice(model);
  if (price === null)
    return reply
      .code(404)
      .send(errorBody(`There is no model ${model}.`, 'invalid_request_error', 'model_not_found', 'model'));

  const most = {
    inputTokens: mostInputTokens(messages),
    outputTokens: Math.min(asked ?? price.maxOutputTokens, price.maxOutputTokens),
  };
  const question = { model, scopes: ['chat'], ip: request.ip };
  const tokens = most.inputTokens + most.outputTokens;
  try {
    return await latchkey.withReservation(
      key,
      // The end user of the client, as OpenAI's protocol has it: limits may count for each.
      { cents: costCents(price, most), tokens, subject: user, ttlSeconds: HOLD_SECONDS },
      (hold) => forward(request, reply, most, meterOf(hold, model, price)),
      question,
    );
  } catch (error) {
    if (error instanceof SettlementRefused) {
      // The caller has the answer already; that the call is not charged is for the operator to see.
      request.log.error(error);
      return error.result;
    }
    if (reply.sent) return reply.raw.destroy();
    if (error instanceof KeyRefused) {
      const { status, headers, body } = refusalOf(error);
      return reply.code(status).headers(headers).send(body);
    }
    request.log.error(error);
    return reply.code(502).send(errorBody('The call could not be made.', 'server_error', 'upstream_failed'));
  }
});

/** Says to the hold what the call has used so far; the last word is what it is charged. */
function meterOf(hold, model, price) {
  return (inputTokens, outputTokens, statusCode = 200) =>
    hold.record({
      inputTokens,
      outputTokens,
      costCents: costCents(price, { inputTokens, outputTokens }),
      model,
      endpoint: 'POST /v1/chat/completions',
      statusCode,
    });
}

async function forward(request, reply, most, record) {
  const left = new AbortController();
  const wantsUsage = request.body.stream_options?.include_usage === true;
  const { stream = false } = request.body;
  // A provider charges a whole answer also to who does not wait for it, so only a stream ends when the client leaves.
  if (stream) reply.raw.once('close', () => left.abort());
  const response = await fetch(`${UPSTREAM}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${process.env.UPSTREAM_KEY ?? ''}` },
    // More than was reserved must not come back, and a stream must say at its end what it has used.
    body: JSON.stringify({
      ...request.body,
      max_completion_tokens: most.outputTokens,
      ...(stream ? { stream_options: { include_usage: true } } : {}),
    }),
    signal: AbortSignal.any([left.signal, AbortSignal.timeout(MAX_CALL_SECONDS * 1000)]),
  });
  // Nothing was recorded: the reservation is released.
  if (!response.ok) throw new Error(`The provider answered ${response.status}.`);
  if (stream) return passStream(response, reply, wantsUsage, most, record);
  const answer = await response.json();
  record(answer.usage.prompt_tokens, answer.usage.completion_tokens);
  return reply.send(answer);
}

async function passStream(response, reply, wantsUsage, most, record) {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  let outputTokens = 0;
  // Until the provider says how much it was: all of the input, and a token for each piece that came.
  record(most.inputTokens, outputTokens);
  for await (const data of readEvents(response.body)) {
    const chunk = data === '[DONE]' ? null : JSON.parse(data);
    if (chunk?.usage) record(chunk.usage.prompt_tokens, chunk.usage.completion_tokens);
    else if (chunk?.choices[0]?.delta.content) record(most.inputTokens, (outputTokens += 1));
    if (chunk?.usage && !wantsUsage) continue;
    if (!raw.write(`data: ${data}\n\n`)) await Promise.race([once(raw, 'drain'), once(raw, 'close')]);
  }
  raw.end();
}

await app.listen({ port: Number(process.env.GATEWAY_PORT ?? 4000) });
process.once('SIGTERM', () => void app.close().then(() => latchkey.close()));
